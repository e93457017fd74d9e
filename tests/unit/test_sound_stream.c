/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * A stream and a host that does what we want: takes long, fails, goes away, stands still, runs out.
 * The driver plays on, at the pace of the clock, whatever happens.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <stdatomic.h>
#include <unistd.h>

#include "common/base/fd.h"
#include "common/base/num.h"
#include "devices/sound/clock.h"
#include "devices/sound/format.h"
#include "devices/sound/stream.h"

#define RATE 48000
#define PERIOD 480
#define MESSAGES 8

/* The host. What it is to do is said by the test; open and close run in a thread of the port's. */
static struct {
	atomic_int open_result;
	atomic_uint open_ms, opens, closes, resets, starts;
	atomic_int fails; /* what each call gives, or 0 */
	bool stands, has_no_clock;
	int64_t written; /* since the last reset */
	int64_t all;	 /* since ever */
	uint64_t started_ns;
} fake;

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

/* A device with one stream, and its driver. */
struct rig {
	struct vhu_loop *loop;
	struct vhu_sound_stream_sink sink;
	struct vhu_sound_stream stream;
	bool wanted; /* a pass of the queue */
	uint32_t answer;
	unsigned xruns, gone;
	bool is_there;
	uint64_t done; /* frames that came back */
	bool plays;    /* what comes back is queued again */
	bool polled;   /* but not before the queue is looked at */
	struct vhu_sound_message *later;
	struct vhu_sound_message messages[MESSAGES];
	struct iovec iov;
	char frames[4 * PERIOD];
};

static void queue(struct rig *rig, struct vhu_sound_message *message)
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
		queue(rig, message);
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

static int setup(void **state)
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

static int teardown(void **state)
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

/* The device's worker, for so long. */
static void run(struct rig *rig, unsigned ms)
{
	uint64_t until_ns = vhu_now_ns() + ms * NS_PER_MS;

	do {
		vhu_loop_turn(rig->loop, NS_PER_MS);
		if (rig->wanted || rig->stream.due) {
			rig->wanted = false;
			if (rig->later)
				queue(rig, rig->later);
			rig->later = NULL;
			vhu_sound_stream_pump(&rig->stream);
		}
	} while (vhu_now_ns() < until_ns);
}

static uint32_t set_params(struct rig *rig, uint8_t channels)
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

static uint32_t command(struct rig *rig, enum vhu_sound_command which)
{
	return vhu_sound_stream_command(&rig->stream, which, NULL);
}

/* Returns the answer to PREPARE, which comes within so long. */
static uint32_t prepare(struct rig *rig, unsigned ms)
{
	uint64_t until_ns = vhu_now_ns() + ms * NS_PER_MS;
	uint32_t status;

	rig->answer = 0;
	status = command(rig, VHU_SOUND_PREPARE);
	if (status != VHU_SOUND_LATER)
		return status;
	while (!rig->answer && vhu_now_ns() < until_ns)
		run(rig, 1);
	return rig->answer;
}

static void begin(struct rig *rig)
{
	assert_int_equal(set_params(rig, 2), VIRTIO_SND_S_OK);
	assert_int_equal(prepare(rig, 5000), VIRTIO_SND_S_OK);
	rig->plays = true;
	for (unsigned i = 0; i < MESSAGES; i++)
		queue(rig, &rig->messages[i]);
	assert_int_equal(command(rig, VHU_SOUND_START), VIRTIO_SND_S_OK);
}

/*
 * Frames have come back as by the clock: never more than so many ahead of it. How far behind it
 * they are is also a matter of what else the machine does.
 */
static void expect_pace(struct rig *rig, unsigned ms, unsigned off)
{
	uint64_t before = rig->done, began_ns = vhu_now_ns();
	int64_t passed, moved;

	run(rig, ms);
	passed = vhu_sound_frames_in(vhu_now_ns() - began_ns, RATE);
	moved = (int64_t)(rig->done - before);
	if (moved < passed - 4 * (int64_t)off || moved > passed + (int64_t)off)
		print_error("%d frames in the time of %d\n", (int)moved, (int)passed);
	assert_true(moved >= passed - 4 * (int64_t)off && moved <= passed + (int64_t)off);
}

static void refused(void **state)
{
	struct rig *rig = *state;

	fake.open_result = -EBUSY;
	assert_int_equal(set_params(rig, 2), VIRTIO_SND_S_OK);
	assert_int_equal(prepare(rig, 5000), VIRTIO_SND_S_IO_ERR);
	assert_int_equal(command(rig, VHU_SOUND_START), VIRTIO_SND_S_BAD_MSG);
	assert_int_equal(fake.opens, 1);
	fake.open_result = 0;
	fake.opens = 0;
	assert_int_equal(prepare(rig, 5000), VIRTIO_SND_S_OK);
	assert_int_equal(command(rig, VHU_SOUND_START), VIRTIO_SND_S_OK);
}

/* An answer within 700 ms, and sound when the host is there. */
static void slow(void **state)
{
	struct rig *rig = *state;
	uint64_t began_ns = vhu_now_ns();

	fake.open_ms = 1000;
	begin(rig);
	assert_in_range(vhu_now_ns() - began_ns, 600 * NS_PER_MS, 990 * NS_PER_MS);
	assert_int_equal(fake.opens, 0);
	run(rig, 50);
	expect_pace(rig, 100, 2 * PERIOD);
	assert_int_equal(fake.all, 0);
	run(rig, 500);
	assert_int_equal(fake.opens, 1);
	assert_true(fake.all > 100 * RATE / 1000);
	expect_pace(rig, 100, 2 * PERIOD);
	assert_int_equal(rig->xruns, 0);
}

/* The driver hears nothing of it but silence. */
static void lost_and_back(void **state)
{
	struct rig *rig = *state;
	int64_t all;

	begin(rig);
	run(rig, 100);
	expect_pace(rig, 100, 2 * PERIOD);
	fake.open_result = -ENODEV;
	fake.fails = -ENODEV;
	/* No jump where it goes. */
	expect_pace(rig, 60, 2 * PERIOD);
	assert_int_equal(rig->gone, 1);
	all = fake.all;
	expect_pace(rig, 300, 2 * PERIOD);
	run(rig, 800);
	assert_true(fake.opens >= 2);
	assert_false(rig->is_there);
	fake.fails = 0;
	fake.open_result = 0;
	fake.opens = 1;
	fake.closes = 1;
	run(rig, 1100);
	assert_true(rig->is_there);
	assert_true(fake.all > all);
	expect_pace(rig, 200, 2 * PERIOD);
	fake.opens = 1;
	fake.closes = 0;
}

/* Whoever opens it then finds it as it was. */
static void lost_and_released(void **state)
{
	struct rig *rig = *state;

	begin(rig);
	run(rig, 50);
	assert_true(rig->is_there);
	fake.fails = -ENODEV;
	run(rig, 30);
	assert_false(rig->is_there);
	rig->plays = false;
	assert_int_equal(command(rig, VHU_SOUND_STOP), VIRTIO_SND_S_OK);
	assert_int_equal(command(rig, VHU_SOUND_RELEASE), VIRTIO_SND_S_OK);
	fake.fails = 0;
	assert_int_equal(prepare(rig, 5000), VIRTIO_SND_S_OK);
	assert_true(rig->is_there);
}

/* A driver that polls, in periods of a frame: no reason to look each 20 us. */
static void short_periods(void **state)
{
	struct rig *rig = *state;
	const struct virtio_snd_pcm_set_params params = {
		.buffer_bytes = htole32(8),
		.period_bytes = htole32(4),
		.features = htole32(1u << VIRTIO_SND_PCM_F_MSG_POLLING),
		.channels = 2,
		.format = VIRTIO_SND_PCM_FMT_S16,
		.rate = VIRTIO_SND_PCM_RATE_48000,
	};

	assert_int_equal(vhu_sound_stream_command(&rig->stream, VHU_SOUND_SET_PARAMS, &params),
			 VIRTIO_SND_S_OK);
	assert_int_equal(prepare(rig, 5000), VIRTIO_SND_S_OK);
	assert_int_equal(command(rig, VHU_SOUND_START), VIRTIO_SND_S_OK);
	run(rig, 100);
	assert_in_range(vhu_counter_get(&rig->stream.stats.pumps), 10, 110);
}

/* A driver that polls, and has one message at a time: it is found while the ring still plays. */
static void one_at_a_time(void **state)
{
	struct rig *rig = *state;

	assert_int_equal(set_params(rig, 2), VIRTIO_SND_S_OK);
	rig->stream.features |= 1u << VIRTIO_SND_PCM_F_MSG_POLLING;
	assert_int_equal(prepare(rig, 5000), VIRTIO_SND_S_OK);
	rig->polled = true;
	queue(rig, &rig->messages[0]);
	assert_int_equal(command(rig, VHU_SOUND_START), VIRTIO_SND_S_OK);
	run(rig, 300);
	assert_int_equal(fake.starts, 1 + rig->xruns);
	assert_in_range(rig->xruns, 0, 1);
	assert_true(rig->done > 20 * PERIOD);
}

/* One whose position does not move while it has something to play. */
static void stands_still(void **state)
{
	struct rig *rig = *state;
	uint64_t before;

	fake.stands = true;
	begin(rig);
	run(rig, 500);
	before = rig->done;
	assert_true(before <= 4 * PERIOD);
	run(rig, 700);
	assert_int_equal(rig->gone, 1);
	expect_pace(rig, 100, 2 * PERIOD);
}

static void runs_out(void **state)
{
	struct rig *rig = *state;

	begin(rig);
	run(rig, 100);
	fake.fails = -EPIPE;
	run(rig, 50);
	assert_int_equal(rig->xruns, 1);
	assert_int_equal(fake.resets, 1);
	assert_int_equal(fake.starts, 2);
	expect_pace(rig, 100, 2 * PERIOD);
	assert_int_equal(rig->gone, 0);
}

/* It takes whatever comes, and is paced all the same; unless the device is to say. */
static void no_clock(void **state)
{
	struct rig *rig = *state;

	fake.has_no_clock = true;
	begin(rig);
	run(rig, 300);
	expect_pace(rig, 300, 2 * PERIOD);
	assert_int_equal(rig->xruns, 0);
}

static void a_timer_instead(void **state)
{
	struct rig *rig = *state;

	rig->stream.pace = VHU_SOUND_PACE_TIMER;
	fake.stands = true;
	begin(rig);
	run(rig, 100);
	expect_pace(rig, 300, 2 * PERIOD);
}

/* What is in the ring is heard after RELEASE, and whoever comes back meanwhile finds it open. */
static void the_tail(void **state)
{
	struct rig *rig = *state;

	begin(rig);
	run(rig, 100);
	rig->plays = false;
	while (rig->stream.head)
		run(rig, 1);
	assert_int_equal(command(rig, VHU_SOUND_STOP), VIRTIO_SND_S_OK);
	assert_int_equal(command(rig, VHU_SOUND_RELEASE), VIRTIO_SND_S_OK);
	run(rig, 10);
	assert_int_equal(fake.closes, 0);
	/* Who has played it may go. */
	vhu_sound_stream_reset(&rig->stream);
	run(rig, 1);
	assert_int_equal(fake.closes, 0);
	assert_int_equal(fake.resets, 0);
	assert_int_equal(set_params(rig, 2), VIRTIO_SND_S_OK);
	assert_int_equal(prepare(rig, 0), VIRTIO_SND_S_OK);
	assert_int_equal(fake.opens, 1);
	assert_int_equal(command(rig, VHU_SOUND_RELEASE), VIRTIO_SND_S_OK);
	run(rig, 100);
	assert_int_equal(fake.closes, 1);
	/* Other parameters need another one. */
	assert_int_equal(prepare(rig, 5000), VIRTIO_SND_S_OK);
	assert_int_equal(set_params(rig, 1), VIRTIO_SND_S_OK);
	assert_int_equal(prepare(rig, 5000), VIRTIO_SND_S_OK);
	assert_int_equal(fake.opens, 3);
	assert_int_equal(fake.closes, 2);
}

/* A stream that comes from another process does not end with the tail of the one before it. */
static void another_comes_during_the_tail(void **state)
{
	struct rig *rig = *state;
	struct virtio_snd_pcm_set_params asked;

	begin(rig);
	run(rig, 100);
	rig->plays = false;
	while (rig->stream.head)
		run(rig, 1);
	assert_int_equal(command(rig, VHU_SOUND_STOP), VIRTIO_SND_S_OK);
	assert_int_equal(command(rig, VHU_SOUND_RELEASE), VIRTIO_SND_S_OK);
	asked = rig->stream.asked;
	vhu_sound_stream_resume(&rig->stream, VHU_SOUND_STARTED, &asked);
	rig->plays = true;
	for (unsigned i = 0; i < MESSAGES; i++)
		queue(rig, &rig->messages[i]);
	run(rig, 200);
	fake.all = 0;
	run(rig, 100);
	assert_non_null(rig->stream.port.host);
	assert_true(fake.all > 0);
}

/* The rest of the ring is not heard where the driver has given up. */
static void an_abort(void **state)
{
	struct rig *rig = *state;

	begin(rig);
	run(rig, 100);
	rig->plays = false;
	assert_int_equal(command(rig, VHU_SOUND_STOP), VIRTIO_SND_S_OK);
	assert_non_null(rig->stream.head);
	assert_int_equal(command(rig, VHU_SOUND_RELEASE), VIRTIO_SND_S_OK);
	assert_null(rig->stream.head);
	assert_int_equal(fake.resets, 1);
	run(rig, 20);
	assert_int_equal(fake.closes, 1);
}

/* Left alone while it is opened. */
static void a_reset_while_it_opens(void **state)
{
	struct rig *rig = *state;

	fake.open_ms = 100;
	assert_int_equal(set_params(rig, 2), VIRTIO_SND_S_OK);
	assert_int_equal(command(rig, VHU_SOUND_PREPARE), VHU_SOUND_LATER);
	vhu_sound_stream_reset(&rig->stream);
	assert_int_equal(set_params(rig, 1), VIRTIO_SND_S_OK);
	assert_int_equal(prepare(rig, 5000), VIRTIO_SND_S_OK);
	assert_int_equal(fake.opens, 2);
	assert_int_equal(fake.closes, 1);
	assert_int_equal(rig->stream.port.host->params.channels, 1);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(refused),
		TEST(slow),
		TEST(lost_and_back),
		TEST(lost_and_released),
		TEST(short_periods),
		TEST(one_at_a_time),
		TEST(stands_still),
		TEST(runs_out),
		TEST(no_clock),
		TEST(a_timer_instead),
		TEST(the_tail),
		TEST(another_comes_during_the_tail),
		TEST(an_abort),
		TEST(a_reset_while_it_opens),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
