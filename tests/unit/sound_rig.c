/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/unit/sound_rig.h"

#include <unistd.h>

struct fake_host fake;

static int fake_open(const struct vhu_sound_stream_options *options,
		     const struct vhu_sound_params *params, struct vhu_sound_host **ret_host);

static void fake_close(struct vhu_sound_host *host)
{
	atomic_fetch_add(&fake.closes, 1);
	free(host);
}

static int fake_reset(struct vhu_sound_host *host)
{
	(void)host;
	atomic_fetch_add(&fake.resets, 1);
	fake.written = 0;
	if (fake.fails == -EPIPE)
		fake.fails = 0;
	return fake.fails;
}

static int fake_start(struct vhu_sound_host *host)
{
	(void)host;
	atomic_fetch_add(&fake.starts, 1);
	fake.started_ns = vhu_now_ns();
	return fake.fails;
}

static int64_t fake_fill(struct vhu_sound_host *host)
{
	int64_t passed = vhu_sound_frames_in(vhu_now_ns() - fake.started_ns, RATE);

	(void)host;
	if (fake.fails)
		return fake.fails;
	if (fake.has_no_clock)
		return 0;
	if (fake.stands)
		return fake.written;
	return passed > fake.written ? -EPIPE : fake.written - passed;
}

static int64_t fake_write(struct vhu_sound_host *host, struct vhu_iov_cursor *from,
			  uint32_t n_frames)
{
	if (fake.fails)
		return fake.fails;
	vhu_iov_skip(from, (size_t)n_frames * host->params.frame_bytes);
	fake.written += n_frames;
	fake.all += n_frames;
	return n_frames;
}

static const struct vhu_sound_host_ops fake_ops = {
	.name = "fake",
	.open = fake_open,
	.close = fake_close,
	.reset = fake_reset,
	.start = fake_start,
	.fill = fake_fill,
	.write = fake_write,
};

static int fake_open(const struct vhu_sound_stream_options *options,
		     const struct vhu_sound_params *params, struct vhu_sound_host **ret_host)
{
	struct vhu_sound_host *host;

	(void)options;
	usleep(fake.open_ms * 1000);
	atomic_fetch_add(&fake.opens, 1);
	if (fake.open_result < 0)
		return fake.open_result;
	host = calloc(1, sizeof(*host));
	fake.written = 0;
	*host = (struct vhu_sound_host){ &fake_ops, *params };
	*ret_host = host;
	return 0;
}

void rig_queue(struct rig *rig, struct vhu_sound_message *message)
{
	memset(message, 0, sizeof(*message));
	message->frames = message->left = PERIOD;
	vhu_iov_cursor_init(&message->data, &rig->iov, 1);
	vhu_sound_stream_add(&rig->stream, message);
}

static void on_wake(struct vhu_sound_stream_sink *sink, const struct vhu_sound_stream *stream)
{
	(void)stream;
	container_of(sink, struct rig, sink)->wanted = true;
}

static void on_complete(struct vhu_sound_stream_sink *sink, const struct vhu_sound_stream *stream,
			struct vhu_sound_message *message, uint32_t status, uint32_t latency_bytes)
{
	struct rig *rig = container_of(sink, struct rig, sink);

	(void)stream;
	(void)latency_bytes;
	assert_int_equal(status, VIRTIO_SND_S_OK);
	rig->done += message->frames;
	if (rig->polled)
		rig->later = message;
	else if (rig->plays)
		rig_queue(rig, message);
}

static void on_prepared(struct vhu_sound_stream_sink *sink, struct vhu_sound_stream *stream,
			uint32_t status)
{
	(void)stream;
	container_of(sink, struct rig, sink)->answer = status;
}

static void on_event(struct vhu_sound_stream_sink *sink, const struct vhu_sound_stream *stream,
		     uint32_t code)
{
	(void)stream;
	assert_int_equal(code, VIRTIO_SND_EVT_PCM_XRUN);
	container_of(sink, struct rig, sink)->xruns++;
}

static void on_present(struct vhu_sound_stream_sink *sink, const struct vhu_sound_stream *stream,
		       bool present)
{
	struct rig *rig = container_of(sink, struct rig, sink);

	(void)stream;
	rig->is_there = present;
	rig->gone += !present;
}

int rig_setup(void **state)
{
	struct rig *rig = calloc(1, sizeof(*rig));

	memset(&fake, 0, sizeof(fake));
	assert_int_equal(vhu_loop_new(&rig->loop), 0);
	rig->sink = (struct vhu_sound_stream_sink){ on_wake, on_complete, on_prepared, on_event,
						    on_present };
	rig->iov = (struct iovec){ rig->frames, sizeof(rig->frames) };
	rig->stream.sink = &rig->sink;
	rig->stream.label = rig->stream.options.where = "fake";
	rig->stream.latency_ms = 40;
	rig->stream.caps = (struct vhu_sound_caps){
		.formats = 1u << VIRTIO_SND_PCM_FMT_S16,
		.rates = 1u << VIRTIO_SND_PCM_RATE_48000,
		.channels_min = 1,
		.channels_max = 2,
	};
	assert_int_equal(vhu_sound_stream_init(&rig->stream, rig->loop, &fake_ops), 0);
	*state = rig;
	return 0;
}

int rig_teardown(void **state)
{
	struct rig *rig = *state;

	rig->plays = false;
	vhu_sound_stream_reset(&rig->stream);
	vhu_loop_destroy(rig->loop);
	vhu_sound_stream_finish(&rig->stream);
	free(rig);
	/* Whatever was opened has been closed. */
	return fake.open_result < 0 || fake.opens == fake.closes ? 0 : -1;
}

void rig_run(struct rig *rig, unsigned ms)
{
	uint64_t until_ns = vhu_now_ns() + ms * NS_PER_MS;

	do {
		vhu_loop_turn(rig->loop, NS_PER_MS);
		if (rig->wanted || rig->stream.due) {
			rig->wanted = false;
			if (rig->later)
				rig_queue(rig, rig->later);
			rig->later = NULL;
			vhu_sound_stream_pump(&rig->stream);
		}
	} while (vhu_now_ns() < until_ns);
}

uint32_t rig_set_params(struct rig *rig, uint8_t channels)
{
	const struct virtio_snd_pcm_set_params params = {
		.buffer_bytes = htole32(2u * channels * MESSAGES * PERIOD),
		.period_bytes = htole32(2u * channels * PERIOD),
		.features = htole32(1u << VIRTIO_SND_PCM_F_EVT_XRUNS),
		.channels = channels,
		.format = VIRTIO_SND_PCM_FMT_S16,
		.rate = VIRTIO_SND_PCM_RATE_48000,
	};

	return vhu_sound_stream_command(&rig->stream, VHU_SOUND_SET_PARAMS, &params);
}

uint32_t rig_command(struct rig *rig, enum vhu_sound_command which)
{
	return vhu_sound_stream_command(&rig->stream, which, NULL);
}

uint32_t rig_prepare(struct rig *rig, unsigned ms)
{
	uint64_t until_ns = vhu_now_ns() + ms * NS_PER_MS;
	uint32_t status;

	rig->answer = 0;
	status = rig_command(rig, VHU_SOUND_PREPARE);
	if (status != VHU_SOUND_LATER)
		return status;
	while (!rig->answer && vhu_now_ns() < until_ns)
		rig_run(rig, 1);
	return rig->answer;
}

void rig_begin(struct rig *rig)
{
	assert_int_equal(rig_set_params(rig, 2), VIRTIO_SND_S_OK);
	assert_int_equal(rig_prepare(rig, 5000), VIRTIO_SND_S_OK);
	rig->plays = true;
	for (unsigned i = 0; i < MESSAGES; i++)
		rig_queue(rig, &rig->messages[i]);
	assert_int_equal(rig_command(rig, VHU_SOUND_START), VIRTIO_SND_S_OK);
}

void rig_expect_pace(struct rig *rig, unsigned ms, unsigned off)
{
	uint64_t before = rig->done, began_ns = vhu_now_ns();
	int64_t passed, moved;

	rig_run(rig, ms);
	passed = vhu_sound_frames_in(vhu_now_ns() - began_ns, RATE);
	moved = (int64_t)(rig->done - before);
	if (moved < passed - 4 * (int64_t)off || moved > passed + (int64_t)off)
		print_error("%d frames in the time of %d\n", (int)moved, (int)passed);
	assert_true(moved >= passed - 4 * (int64_t)off && moved <= passed + (int64_t)off);
}
