/* SPDX-License-Identifier: BSD-3-Clause */

/* What a driver does with a stream: how it polls, stops, releases and resets. */
#include "tests/unit/sound_rig.h"

/* A driver that has queued minutes: what a stop of the queue plays of it has a bound. */
static void a_stop_of_minutes(void **state)
{
	struct rig *rig = *state;
	struct vhu_sound_message *message = &rig->messages[0];

	rig_begin(rig);
	rig->plays = false;
	rig_run(rig, 20);
	while (rig->stream.head)
		rig_run(rig, 1);
	fake.all = 0;
	rig_queue(rig, message);
	message->frames = message->left = 600 * RATE;
	vhu_sound_stream_finish_messages(&rig->stream);
	assert_null(rig->stream.head);
	assert_in_range(fake.all, RATE, 2 * RATE);
}

/* Of what it has queued, as much becomes silence as its buffer has. */
static void a_release_of_gigabytes(void **state)
{
	struct rig *rig = *state;
	static char frames[4 * PERIOD * MESSAGES];
	const struct iovec iov = { frames, sizeof(frames) };

	rig->stream.options.capture = true;
	assert_int_equal(rig_set_params(rig, 2), VIRTIO_SND_S_OK);
	assert_int_equal(rig_prepare(rig, 5000), VIRTIO_SND_S_OK);
	memset(frames, 0xee, sizeof(frames));
	memset(rig->frames, 0xee, sizeof(rig->frames));
	for (unsigned i = 0; i < 2; i++)
		rig_queue(rig, &rig->messages[i]);
	rig->messages[0].frames = rig->messages[0].left = PERIOD * MESSAGES;
	vhu_iov_cursor_init(&rig->messages[0].data, &iov, 1);
	assert_int_equal(rig_command(rig, VHU_SOUND_RELEASE), VIRTIO_SND_S_OK);
	assert_null(rig->stream.head);
	for (size_t i = 0; i < sizeof(frames); i++)
		assert_int_equal(frames[i], 0);
	assert_int_equal((uint8_t)rig->frames[0], 0xee);
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
	assert_int_equal(rig_prepare(rig, 5000), VIRTIO_SND_S_OK);
	assert_int_equal(rig_command(rig, VHU_SOUND_START), VIRTIO_SND_S_OK);
	rig_run(rig, 100);
	assert_in_range(vhu_counter_get(&rig->stream.stats.pumps), 10, 110);
}

/* A driver that polls, and has one message at a time: it is found while the ring still plays. */
static void one_at_a_time(void **state)
{
	struct rig *rig = *state;

	assert_int_equal(rig_set_params(rig, 2), VIRTIO_SND_S_OK);
	rig->stream.features |= 1u << VIRTIO_SND_PCM_F_MSG_POLLING;
	assert_int_equal(rig_prepare(rig, 5000), VIRTIO_SND_S_OK);
	rig->polled = true;
	rig_queue(rig, &rig->messages[0]);
	assert_int_equal(rig_command(rig, VHU_SOUND_START), VIRTIO_SND_S_OK);
	rig_run(rig, 300);
	assert_int_equal(fake.starts, 1 + rig->xruns);
	assert_in_range(rig->xruns, 0, 1);
	assert_true(rig->done > 20 * PERIOD);
}

/* What is in the ring is heard after RELEASE, and whoever comes back meanwhile finds it open. */
static void the_tail(void **state)
{
	struct rig *rig = *state;

	rig_begin(rig);
	rig_run(rig, 100);
	rig->plays = false;
	while (rig->stream.head)
		rig_run(rig, 1);
	assert_int_equal(rig_command(rig, VHU_SOUND_STOP), VIRTIO_SND_S_OK);
	assert_int_equal(rig_command(rig, VHU_SOUND_RELEASE), VIRTIO_SND_S_OK);
	rig_run(rig, 10);
	assert_int_equal(fake.closes, 0);
	/* Who has played it may go. */
	vhu_sound_stream_reset(&rig->stream);
	rig_run(rig, 1);
	assert_int_equal(fake.closes, 0);
	assert_int_equal(fake.resets, 0);
	assert_int_equal(rig_set_params(rig, 2), VIRTIO_SND_S_OK);
	assert_int_equal(rig_prepare(rig, 0), VIRTIO_SND_S_OK);
	assert_int_equal(fake.opens, 1);
	assert_int_equal(rig_command(rig, VHU_SOUND_RELEASE), VIRTIO_SND_S_OK);
	rig_run(rig, 100);
	assert_int_equal(fake.closes, 1);
	/* Other parameters need another one. */
	assert_int_equal(rig_prepare(rig, 5000), VIRTIO_SND_S_OK);
	assert_int_equal(rig_set_params(rig, 1), VIRTIO_SND_S_OK);
	assert_int_equal(rig_prepare(rig, 5000), VIRTIO_SND_S_OK);
	assert_int_equal(fake.opens, 3);
	assert_int_equal(fake.closes, 2);
}

/* A stream that comes from another process does not end with the tail of the one before it. */
static void another_comes_during_the_tail(void **state)
{
	struct rig *rig = *state;
	struct virtio_snd_pcm_set_params asked;

	rig_begin(rig);
	rig_run(rig, 100);
	rig->plays = false;
	while (rig->stream.head)
		rig_run(rig, 1);
	assert_int_equal(rig_command(rig, VHU_SOUND_STOP), VIRTIO_SND_S_OK);
	assert_int_equal(rig_command(rig, VHU_SOUND_RELEASE), VIRTIO_SND_S_OK);
	asked = rig->stream.asked;
	vhu_sound_stream_resume(&rig->stream, VHU_SOUND_STARTED, &asked);
	rig->plays = true;
	for (unsigned i = 0; i < MESSAGES; i++)
		rig_queue(rig, &rig->messages[i]);
	rig_run(rig, 200);
	fake.all = 0;
	rig_run(rig, 100);
	assert_non_null(rig->stream.port.host);
	assert_true(fake.all > 0);
}

/* The rest of the ring is not heard where the driver has given up. */
static void an_abort(void **state)
{
	struct rig *rig = *state;

	rig_begin(rig);
	rig_run(rig, 100);
	rig->plays = false;
	assert_int_equal(rig_command(rig, VHU_SOUND_STOP), VIRTIO_SND_S_OK);
	assert_non_null(rig->stream.head);
	assert_int_equal(rig_command(rig, VHU_SOUND_RELEASE), VIRTIO_SND_S_OK);
	assert_null(rig->stream.head);
	assert_int_equal(fake.resets, 1);
	rig_run(rig, 20);
	assert_int_equal(fake.closes, 1);
}

/* Left alone while it is opened. */
static void a_reset_while_it_opens(void **state)
{
	struct rig *rig = *state;

	fake.open_ms = 100;
	assert_int_equal(rig_set_params(rig, 2), VIRTIO_SND_S_OK);
	assert_int_equal(rig_command(rig, VHU_SOUND_PREPARE), VHU_SOUND_LATER);
	vhu_sound_stream_reset(&rig->stream);
	assert_int_equal(rig_set_params(rig, 1), VIRTIO_SND_S_OK);
	assert_int_equal(rig_prepare(rig, 5000), VIRTIO_SND_S_OK);
	assert_int_equal(fake.opens, 2);
	assert_int_equal(fake.closes, 1);
	assert_int_equal(rig->stream.port.host->params.channels, 1);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(a_stop_of_minutes),
		RIG_TEST(a_release_of_gigabytes),
		RIG_TEST(short_periods),
		RIG_TEST(one_at_a_time),
		RIG_TEST(the_tail),
		RIG_TEST(another_comes_during_the_tail),
		RIG_TEST(an_abort),
		RIG_TEST(a_reset_while_it_opens),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
