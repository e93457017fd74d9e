/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * vhu-sound under a driver that sends anything: requests of all kinds, messages for streams in any
 * state, in any order, with time that passes as the input says. After each run nothing is in
 * flight, and no fd is left.
 */

#include "common/base/num.h"
#include "devices/sound/protocol.h"
#include "devices/sound/sound.h"
#include "tests/fuzz/clock.h"
#include "tests/fuzz/driver.h"

#define OPENING_NS (200 * NS_PER_US) /* what the thread that opens a host may need */

/* --- the driver ----------------------------------------------------------------------------- */

static uint32_t some_code(struct input *in)
{
	static const uint32_t codes[] = {
		VIRTIO_SND_R_JACK_INFO,	  VIRTIO_SND_R_JACK_REMAP,  VIRTIO_SND_R_PCM_INFO,
		VIRTIO_SND_R_CHMAP_INFO,  VIRTIO_SND_R_CTL_INFO,    VIRTIO_SND_R_CTL_ENUM_ITEMS,
		VIRTIO_SND_R_CTL_READ,	  VIRTIO_SND_R_CTL_WRITE,   VIRTIO_SND_R_CTL_TLV_READ,
		VIRTIO_SND_R_CTL_TLV_WRITE, VIRTIO_SND_R_CTL_TLV_COMMAND,
	};
	unsigned i = input_below(in, ARRAY_SIZE(codes) + 1);

	return i < ARRAY_SIZE(codes) ? codes[i] : (uint32_t)input_u64(in);
}

/* A request that is not about the state of a stream. */
static void ask(struct driver *s)
{
	uint32_t request[160] = { htole32(some_code(s->in)) };

	for (unsigned i = 1; i < 6; i++)
		request[i] = htole32((uint32_t)input_u64(s->in));
	driver_offer(s, 0, request, sizeof(request), input_u8(s->in) & 7 ? 528 : input_u8(s->in),
	      input_u8(s->in) & 7 ? 2048 : input_u8(s->in));
}

static void command(struct driver *s)
{
	struct virtio_snd_pcm_set_params params = {
		.hdr = { { htole32(VIRTIO_SND_R_PCM_SET_PARAMS + input_below(s->in, 5)) },
			 htole32(input_below(s->in, 5)) },
		.channels = 2,
		.format = VIRTIO_SND_PCM_FMT_S16,
		.rate = VIRTIO_SND_PCM_RATE_8000,
	};
	uint8_t odd = input_u8(s->in);
	uint32_t period = 4u * (1 + input_u8(s->in));

	if (odd & 1)
		params.format = (uint8_t)input_below(s->in, 27);
	if (odd & 2)
		params.rate = (uint8_t)input_below(s->in, 18);
	if (odd & 4)
		params.channels = input_u8(s->in);
	if (odd & 8)
		params.features = htole32(input_u8(s->in));
	params.period_bytes = htole32(odd & 16 ? (uint32_t)input_u64(s->in) : period);
	params.buffer_bytes = htole32(odd & 32 ? (uint32_t)input_u64(s->in) :
						 period * (2 + input_below(s->in, 8)));
	driver_offer(s, 0, &params, sizeof(params), odd & 64 ? input_u8(s->in) : sizeof(params),
	      odd & 128 ? input_below(s->in, 9) : 4);
}

static void send_message(struct driver *s)
{
	unsigned queue = 2 + input_below(s->in, 2);
	uint32_t id = htole32(input_below(s->in, 5)), len = input_u16(s->in) % 0x4000;
	uint8_t odd = input_u8(s->in);

	len -= odd & 3 ? len % 4 : 0;
	if (odd & 4)
		driver_offer(s, queue, &id, sizeof(id), input_u8(s->in), input_u8(s->in));
	else if (queue == 2)
		driver_offer(s, queue, &id, sizeof(id), 4 + len, 8);
	else
		driver_offer(s, queue, &id, sizeof(id), 4, len + 8);
}

static void give_event_buffer(struct driver *s)
{
	driver_offer(s, 1, NULL, 0, 0, input_u8(s->in) & 7 ? 8 : input_u8(s->in));
}

/* --- the device's life ---------------------------------------------------------------------- */

static void pass_time(struct driver *s)
{
	clock_ns += input_u8(s->in) * (input_u8(s->in) & 1 ? NS_PER_MS : 100 * NS_PER_MS);
	driver_turn(s, 0);
}

/* A thread opens or closes a host meanwhile. */
static void let_open(struct driver *s)
{
	driver_turn(s, OPENING_NS);
}

static struct vhu_device *make(void)
{
	static struct vhu_sound_options options;
	struct vhu_device *device;

	options = vhu_sound_defaults;
	options.controls = true;
	options.n_streams = 4;
	for (unsigned i = 0; i < 4; i++)
		options.streams[i] = (struct vhu_sound_stream_options){
			.capture = i & 1, .host = "null", .formats = UINT64_MAX,
			.rates = UINT64_MAX, .channels_max = 8,
		};
	options.jacks[options.n_jacks++] = "a jack";
	expect(vhu_sound_new(&options, &device) == 0);
	return device;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const driver_step steps[] = {
		ask, command, command, command, send_message, send_message, give_event_buffer,
		pass_time, pass_time, let_open, driver_stop_and_go, driver_reset, driver_scribble,
	};

	driver_run(data, size, make, 4, steps, ARRAY_SIZE(steps));
	return 0;
}
