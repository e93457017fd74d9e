/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * vhu-sound under a driver that sends anything: requests of all kinds, messages for streams in any
 * state, in any order, with time that passes as the input says. After each run nothing is in
 * flight, and no fd is left.
 */

#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <sys/mman.h>
#include <sys/timerfd.h>

#include "common/backend/vring.h"
#include "common/backend/worker.h"
#include "common/base/fd.h"
#include "common/base/log.h"
#include "common/base/num.h"
#include "devices/sound/protocol.h"
#include "devices/sound/sound.h"
#include "tests/fuzz/input.h"

#define GPA 0x100000ull
#define UADDR 0x7f0000000000ull
#define MEMORY_BYTES 0x80000ull
#define N_QUEUES 4
#define SIZE 16
/* Each ring has a page; behind them is what the descriptors point to. */
#define AVAIL 0x400
#define USED 0x800
#define DATA 0x10000
#define OPENING_NS (200 * NS_PER_US) /* what the thread that opens a host may need */

struct scene {
	struct input *in;
	struct vhu_device *device;
	struct vhu_worker *worker;
	uint16_t next_desc[N_QUEUES], avail_idx[N_QUEUES];
	unsigned n_drained;
};

static struct vhu_memory *memory;
static char *guest;
static uint64_t now_ns = NS_PER_SEC;

/* --- time: the input's ---------------------------------------------------------------------- */

uint64_t __wrap_vhu_now_ns(void);
int __wrap_timerfd_settime(int fd, int flags, const struct itimerspec *when,
			   struct itimerspec *old);
int __real_timerfd_settime(int fd, int flags, const struct itimerspec *when,
			   struct itimerspec *old);

uint64_t __wrap_vhu_now_ns(void)
{
	return now_ns;
}

/* Any timer fires at the next turn; whoever finds that it is too early sets it again. */
int __wrap_timerfd_settime(int fd, int flags, const struct itimerspec *when,
			   struct itimerspec *old)
{
	struct itimerspec soon = *when;

	if (soon.it_value.tv_sec || soon.it_value.tv_nsec)
		soon.it_value = (struct timespec){ .tv_nsec = 1 };
	return __real_timerfd_settime(fd, flags, &soon, old);
}

/* --- the driver ----------------------------------------------------------------------------- */

static char *ring_of(unsigned queue)
{
	return guest + queue * 0x1000;
}

static void add_desc(struct scene *s, unsigned queue, uint32_t at, uint32_t len, uint16_t flags)
{
	uint16_t i = s->next_desc[queue]++ % SIZE;
	const struct vring_desc desc = {
		.addr = htole64(GPA + DATA + at),
		.len = htole32(len),
		.flags = htole16(flags),
		.next = htole16((i + 1) % SIZE),
	};

	memcpy(ring_of(queue) + 16 * i, &desc, sizeof(desc));
}

static void make_available(struct scene *s, unsigned queue, uint16_t head)
{
	struct vring_avail *avail = (struct vring_avail *)(ring_of(queue) + AVAIL);

	avail->ring[s->avail_idx[queue]++ % SIZE] = htole16(head % SIZE);
	__atomic_store_n(&avail->idx, htole16(s->avail_idx[queue]), __ATOMIC_RELEASE);
}

/* Readable and writable bytes, each in one piece or two. */
static void offer(struct scene *s, unsigned queue, const void *bytes, uint32_t len,
		  uint32_t readable, uint32_t writable)
{
	uint32_t at = 64u * input_u8(s->in), cut = input_below(s->in, 9);
	uint16_t head = s->next_desc[queue];

	if (len)
		memcpy(guest + DATA + at, bytes, min_u64(len, readable));
	if (cut && cut < readable) {
		add_desc(s, queue, at, cut, VRING_DESC_F_NEXT);
		add_desc(s, queue, at + cut, readable - cut, writable ? VRING_DESC_F_NEXT : 0);
	} else if (readable) {
		add_desc(s, queue, at, readable, writable ? VRING_DESC_F_NEXT : 0);
	}
	if (writable)
		add_desc(s, queue, 0x8000 + at, writable, VRING_DESC_F_WRITE);
	make_available(s, queue, head);
}

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
static void ask(struct scene *s)
{
	uint32_t request[160] = { htole32(some_code(s->in)) };

	for (unsigned i = 1; i < 6; i++)
		request[i] = htole32((uint32_t)input_u64(s->in));
	offer(s, 0, request, sizeof(request), input_u8(s->in) & 7 ? 528 : input_u8(s->in),
	      input_u8(s->in) & 7 ? 2048 : input_u8(s->in));
}

static void command(struct scene *s)
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
	offer(s, 0, &params, sizeof(params), odd & 64 ? input_u8(s->in) : sizeof(params),
	      odd & 128 ? input_below(s->in, 9) : 4);
}

static void send_message(struct scene *s)
{
	unsigned queue = 2 + input_below(s->in, 2);
	uint32_t id = htole32(input_below(s->in, 5)), len = input_u16(s->in) % 0x4000;
	uint8_t odd = input_u8(s->in);

	len -= odd & 3 ? len % 4 : 0;
	if (odd & 4)
		offer(s, queue, &id, sizeof(id), input_u8(s->in), input_u8(s->in));
	else if (queue == 2)
		offer(s, queue, &id, sizeof(id), 4 + len, 8);
	else
		offer(s, queue, &id, sizeof(id), 4, len + 8);
}

static void give_event_buffer(struct scene *s)
{
	offer(s, 1, NULL, 0, 0, input_u8(s->in) & 7 ? 8 : input_u8(s->in));
}

/* --- the device's life ---------------------------------------------------------------------- */

static void turn(struct scene *s, uint64_t timeout_ns)
{
	vhu_loop_turn(s->worker->loop, timeout_ns);
	for (unsigned i = 0; i < N_QUEUES; i++)
		if (s->device->vrings[i].active)
			vhu_vring_process(&s->device->vrings[i]);
}

static void pass_time(struct scene *s)
{
	now_ns += input_u8(s->in) * (input_u8(s->in) & 1 ? NS_PER_MS : 100 * NS_PER_MS);
	turn(s, 0);
}

/* A thread opens or closes a host meanwhile. */
static void let_open(struct scene *s)
{
	turn(s, OPENING_NS);
}

static void start(struct scene *s, unsigned i, uint32_t base)
{
	struct vhu_vring *vring = &s->device->vrings[i];

	vring->setup = (struct vhu_virtqueue_setup){
		.features = 1ull << VIRTIO_F_VERSION_1,
		.size = SIZE,
		.base = base,
		.desc_uaddr = UADDR + 0x1000 * i,
		.driver_uaddr = UADDR + 0x1000 * i + AVAIL,
		.device_uaddr = UADDR + 0x1000 * i + USED,
	};
	vring->started = true;
	expect(vhu_vring_start(vring, memory) == 0);
	vhu_vring_set_active(vring, true);
}

static void drained(struct vhu_errand *errand)
{
	(void)errand;
}

static void stop(struct scene *s, unsigned i, enum vhu_drain_reason reason)
{
	struct vhu_vring *vring = &s->device->vrings[i];
	struct vhu_errand errand = { .worker = s->worker, .back = drained };

	vhu_vring_drain(vring, reason, &errand);
	expect(vring->queue.in_flight == 0);
	vhu_vring_stop(vring);
	vring->started = false;
}

/* The guest stops and goes on. What it gets then is what it had not got before. */
static void stop_and_go(struct scene *s)
{
	for (unsigned i = 0; i < N_QUEUES; i++) {
		bool broken = atomic_load(&s->device->vrings[i].broken);

		stop(s, i, VHU_DRAIN_STOP);
		start(s, i, broken ? s->avail_idx[i] : s->device->vrings[i].setup.base);
	}
}

static void stop_for_good(struct scene *s, enum vhu_drain_reason reason)
{
	for (unsigned i = 0; i < N_QUEUES; i++)
		stop(s, i, reason);
	if (reason == VHU_DRAIN_RESET)
		s->device->ops->reset_device(s->device);
	else
		s->device->ops->set_backend_req_fd(s->device, NULL);
}

static void start_all(struct scene *s)
{
	memset(guest, 0, DATA);
	for (unsigned i = 0; i < N_QUEUES; i++) {
		s->next_desc[i] = s->avail_idx[i] = 0;
		start(s, i, 0);
	}
}

static void reset(struct scene *s)
{
	stop_for_good(s, VHU_DRAIN_RESET);
	start_all(s);
}

static void scribble(struct scene *s)
{
	uint64_t at = input_u16(s->in) % 0x4000;
	uint8_t bytes[16];
	size_t n = input_below(s->in, sizeof(bytes) + 1);

	input_bytes(s->in, bytes, n);
	memcpy(guest + at, bytes, n);
}

static void make_memory(void)
{
	const struct vhu_memory_region region = { .gpa = GPA, .size = MEMORY_BYTES,
						  .uaddr = UADDR };
	struct vhu_memory *none;
	int fd = memfd_create("guest", 0);

	expect(fd >= 0 && ftruncate(fd, (off_t)MEMORY_BYTES) == 0);
	guest = mmap(NULL, MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	expect(guest != MAP_FAILED && vhu_memory_new(&none) == 0);
	expect(vhu_memory_with_region(none, &region, fd, &memory) == 0);
	vhu_memory_unref(none);
	close(fd);
}

static const struct vhu_sound_options *some_options(void)
{
	static struct vhu_sound_options options;

	options = vhu_sound_defaults;
	options.controls = true;
	options.n_streams = 4;
	for (unsigned i = 0; i < 4; i++)
		options.streams[i] = (struct vhu_sound_stream_options){
			.capture = i & 1, .host = "null", .formats = UINT64_MAX,
			.rates = UINT64_MAX, .channels_max = 8,
		};
	options.jacks[options.n_jacks++] = "a jack";
	return &options;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const steps[])(struct scene *s) = {
		ask, command, command, command, send_message, send_message, give_event_buffer,
		pass_time, pass_time, let_open, stop_and_go, reset, scribble,
	};
	struct input in = { data, size };
	struct scene s = { .in = &in };
	int lowest;

	if (!memory) {
		vhu_log_set_level(VHU_LOG_ERROR);
		make_memory();
		/* The first device opens what the process keeps. */
		expect(vhu_sound_new(some_options(), &s.device) == 0);
		vhu_device_unref(s.device);
	}
	lowest = lowest_fd();
	expect(vhu_sound_new(some_options(), &s.device) == 0);
	s.worker = vhu_device_worker(s.device, 0);
	start_all(&s);
	for (unsigned i = 0; i < 200 && in.left; i++) {
		steps[input_below(&in, ARRAY_SIZE(steps))](&s);
		turn(&s, 0);
	}
	stop_for_good(&s, VHU_DRAIN_SESSION_GONE);
	vhu_device_unref(s.device);
	expect(lowest_fd() == lowest);
	return 0;
}
