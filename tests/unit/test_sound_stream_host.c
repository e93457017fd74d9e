/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * A host that takes long, fails, goes away, stands still, runs out. The driver plays on, at the
 * pace of the clock, whatever happens.
 */
#include "tests/unit/sound_rig.h"

static void refused(void **state)
{
	struct rig *rig = *state;

	fake.open_result = -EBUSY;
	assert_int_equal(rig_set_params(rig, 2), VIRTIO_SND_S_OK);
	assert_int_equal(rig_prepare(rig, 5000), VIRTIO_SND_S_IO_ERR);
	assert_int_equal(rig_command(rig, VHU_SOUND_START), VIRTIO_SND_S_BAD_MSG);
	assert_int_equal(fake.opens, 1);
	fake.open_result = 0;
	fake.opens = 0;
	assert_int_equal(rig_prepare(rig, 5000), VIRTIO_SND_S_OK);
	assert_int_equal(rig_command(rig, VHU_SOUND_START), VIRTIO_SND_S_OK);
}

/* An answer within 700 ms, and sound when the host is there. */
static void slow(void **state)
{
	struct rig *rig = *state;
	uint64_t began_ns = vhu_now_ns();

	fake.open_ms = 1000;
	rig_begin(rig);
	assert_in_range(vhu_now_ns() - began_ns, 600 * NS_PER_MS, 990 * NS_PER_MS);
	assert_int_equal(fake.opens, 0);
	rig_run(rig, 50);
	rig_expect_pace(rig, 100, 2 * PERIOD);
	assert_int_equal(fake.all, 0);
	rig_run(rig, 500);
	assert_int_equal(fake.opens, 1);
	assert_true(fake.all > 100 * RATE / 1000);
	rig_expect_pace(rig, 100, 2 * PERIOD);
	assert_int_equal(rig->xruns, 0);
}

/* PREPARE once more, of one that is not open yet: it is tried again all the same. */
static void prepared_again_in_vain(void **state)
{
	struct rig *rig = *state;

	fake.open_ms = 900;
	fake.open_result = -EBUSY;
	assert_int_equal(rig_set_params(rig, 2), VIRTIO_SND_S_OK);
	assert_int_equal(rig_prepare(rig, 5000), VIRTIO_SND_S_OK);
	rig_run(rig, 400);
	assert_int_equal(fake.opens, 1);
	fake.open_ms = 0;
	assert_int_equal(rig_prepare(rig, 5000), VIRTIO_SND_S_IO_ERR);
	assert_int_equal(rig_command(rig, VHU_SOUND_START), VIRTIO_SND_S_OK);
	fake.open_result = 0;
	fake.opens = 0;
	rig_run(rig, 1200);
	assert_true(rig->is_there);
	assert_int_equal(fake.opens, 1);
}

/* The driver hears nothing of it but silence. */
static void lost_and_back(void **state)
{
	struct rig *rig = *state;
	int64_t all;

	rig_begin(rig);
	rig_run(rig, 100);
	rig_expect_pace(rig, 100, 2 * PERIOD);
	fake.open_result = -ENODEV;
	fake.fails = -ENODEV;
	/* No jump where it goes. */
	rig_expect_pace(rig, 60, 2 * PERIOD);
	assert_int_equal(rig->gone, 1);
	all = fake.all;
	rig_expect_pace(rig, 300, 2 * PERIOD);
	rig_run(rig, 800);
	assert_true(fake.opens >= 2);
	assert_false(rig->is_there);
	fake.fails = 0;
	fake.open_result = 0;
	fake.opens = 1;
	fake.closes = 1;
	rig_run(rig, 1100);
	assert_true(rig->is_there);
	assert_true(fake.all > all);
	rig_expect_pace(rig, 200, 2 * PERIOD);
	fake.opens = 1;
	fake.closes = 0;
}

/* The new one is started, also when a timer paces it. */
static void lost_and_back_by_a_timer(void **state)
{
	struct rig *rig = *state;
	unsigned starts;

	rig->stream.pace = VHU_SOUND_PACE_TIMER;
	rig_begin(rig);
	rig_run(rig, 50);
	fake.fails = -ENODEV;
	rig_run(rig, 100);
	assert_int_equal(rig->gone, 1);
	fake.fails = 0;
	starts = fake.starts;
	rig_run(rig, 1200);
	assert_true(rig->is_there);
	assert_int_equal(fake.starts, starts + 1);
	assert_int_equal(rig->xruns, 0);
}

/* Whoever opens it then finds it as it was. */
static void lost_and_released(void **state)
{
	struct rig *rig = *state;

	rig_begin(rig);
	rig_run(rig, 50);
	assert_true(rig->is_there);
	fake.fails = -ENODEV;
	rig_run(rig, 30);
	assert_false(rig->is_there);
	rig->plays = false;
	assert_int_equal(rig_command(rig, VHU_SOUND_STOP), VIRTIO_SND_S_OK);
	assert_int_equal(rig_command(rig, VHU_SOUND_RELEASE), VIRTIO_SND_S_OK);
	fake.fails = 0;
	assert_int_equal(rig_prepare(rig, 5000), VIRTIO_SND_S_OK);
	assert_true(rig->is_there);
}

/* One whose position does not move while it has something to play. */
static void stands_still(void **state)
{
	struct rig *rig = *state;
	uint64_t before;

	fake.stands = true;
	rig_begin(rig);
	rig_run(rig, 500);
	before = rig->done;
	assert_true(before <= 4 * PERIOD);
	rig_run(rig, 700);
	assert_int_equal(rig->gone, 1);
	rig_expect_pace(rig, 100, 2 * PERIOD);
}

static void runs_out(void **state)
{
	struct rig *rig = *state;

	rig_begin(rig);
	rig_run(rig, 100);
	fake.fails = -EPIPE;
	rig_run(rig, 50);
	assert_int_equal(rig->xruns, 1);
	assert_int_equal(fake.resets, 1);
	assert_int_equal(fake.starts, 2);
	rig_expect_pace(rig, 100, 2 * PERIOD);
	assert_int_equal(rig->gone, 0);
}

/* It takes whatever comes, and is paced all the same; unless the device is to say. */
static void no_clock(void **state)
{
	struct rig *rig = *state;

	fake.has_no_clock = true;
	rig_begin(rig);
	rig_run(rig, 300);
	rig_expect_pace(rig, 300, 2 * PERIOD);
	assert_int_equal(rig->xruns, 0);
}

static void a_timer_instead(void **state)
{
	struct rig *rig = *state;

	rig->stream.pace = VHU_SOUND_PACE_TIMER;
	fake.stands = true;
	rig_begin(rig);
	rig_run(rig, 100);
	rig_expect_pace(rig, 300, 2 * PERIOD);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(refused),
		RIG_TEST(slow),
		RIG_TEST(prepared_again_in_vain),
		RIG_TEST(lost_and_back),
		RIG_TEST(lost_and_back_by_a_timer),
		RIG_TEST(lost_and_released),
		RIG_TEST(stands_still),
		RIG_TEST(runs_out),
		RIG_TEST(no_clock),
		RIG_TEST(a_timer_instead),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
