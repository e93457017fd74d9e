/* SPDX-License-Identifier: BSD-3-Clause */

/* From the thread that reads a seat to the worker of a device. */

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include <cmocka.h>

#include "common/base/num.h"
#include "devices/input/handoff.h"

struct world {
	struct vhu_input_handoff handoff;
	struct vhu_input_source source;
	struct vhu_input_sink sink;
	struct vhu_input_state seen; /* by who gets the packets */
	size_t n_packets, n_resyncs, n_key_events;
	int64_t x;
	uint64_t time_ns;
};

static struct world world;

static void take_packet(struct vhu_input_sink *sink, const struct vhu_input_event *events, size_t n,
			uint64_t time_ns)
{
	(void)sink;
	assert_int_equal(events[n - 1].type, EV_SYN);
	for (size_t i = 0; i < n; i++) {
		vhu_input_state_apply(&world.seen, &events[i]);
		if (events[i].type == EV_REL)
			world.x += events[i].value;
		world.n_key_events += events[i].type == EV_KEY;
	}
	world.n_packets++;
	world.time_ns = time_ns;
}

static void resync(struct vhu_input_sink *sink, const struct vhu_input_state *state)
{
	(void)sink;
	world.seen = *state;
	world.n_resyncs++;
}

static int setup(void **state)
{
	(void)state;
	memset(&world, 0, sizeof(world));
	world.sink = (struct vhu_input_sink){ take_packet, resync };
	vhu_input_state_init(&world.seen);
	vhu_input_source_init(&world.source, NULL, "test");
	world.source.sink = &world.sink;
	return vhu_input_handoff_init(&world.handoff);
}

static int teardown(void **state)
{
	(void)state;
	vhu_input_handoff_finish(&world.handoff);
	return 0;
}

static bool is_down(const struct vhu_input_state *state, unsigned code)
{
	return state->keys[code / 8] >> code % 8 & 1;
}

static void put(uint16_t code, int32_t down, int32_t x, uint64_t time_ns)
{
	const struct vhu_input_event events[] = {
		{ EV_REL, REL_X, x },
		{ EV_KEY, code, down },
		{ EV_SYN, SYN_REPORT, 0 },
	};

	vhu_input_handoff_put(&world.handoff, events, ARRAY_SIZE(events), time_ns);
}

static void packets_pass(void **state)
{
	eventfd_t n;

	(void)state;
	put(KEY_A, 1, 5, 100);
	put(KEY_B, 1, -2, 200);
	vhu_input_handoff_take(&world.handoff, &world.source);
	assert_int_equal(world.n_packets, 2);
	assert_int_equal(world.x, 3);
	assert_int_equal(world.time_ns, 200);
	assert_true(is_down(&world.source.state, KEY_A) && is_down(&world.source.state, KEY_B));
	vhu_input_handoff_take(&world.handoff, &world.source);
	assert_int_equal(world.n_packets, 2);
	assert_int_equal(world.n_resyncs, 0);
	/* Once for both. */
	assert_int_equal(eventfd_read(world.handoff.fd, &n), 0);
	assert_int_equal(n, 1);
	put(KEY_B, 0, 0, 300);
	assert_int_equal(eventfd_read(world.handoff.fd, &n), 0);
}

static void what_does_not_fit_is_made_good(void **state)
{
	const unsigned fitting = VHU_INPUT_HANDOFF_MAX / 3;

	(void)state;
	for (unsigned i = 0; i < fitting + 10; i++)
		put(KEY_A, i % 2, 1, i);
	put(KEY_B, 1, 0, 0);
	put(KEY_A, 0, 0, 0);
	vhu_input_handoff_take(&world.handoff, &world.source);
	assert_int_equal(world.n_key_events, fitting);
	assert_int_equal(world.n_packets, fitting + 1);
	assert_int_equal(world.n_resyncs, 1);
	assert_int_equal(world.x, fitting + 10);
	assert_false(is_down(&world.seen, KEY_A));
	assert_true(is_down(&world.seen, KEY_B));
	/* And all is well again. */
	put(KEY_B, 0, 1, 0);
	vhu_input_handoff_take(&world.handoff, &world.source);
	assert_int_equal(world.n_resyncs, 1);
	assert_int_equal(world.x, fitting + 11);
	assert_false(is_down(&world.seen, KEY_B));
}

#define N_PUT 100000

static atomic_bool done;

static void *put_many(void *data)
{
	for (unsigned i = 0; i < N_PUT; i++)
		put((uint16_t)(KEY_A + i % 5), i % 2, 1, i);
	put(KEY_Z, 1, 1, 0);
	atomic_store(&done, true);
	return data;
}

static void two_threads(void **state)
{
	struct pollfd polled = { .fd = world.handoff.fd, .events = POLLIN };
	eventfd_t n;
	pthread_t thread;

	(void)state;
	atomic_store(&done, false);
	assert_int_equal(pthread_create(&thread, NULL, put_many, NULL), 0);
	while (!is_down(&world.seen, KEY_Z)) {
		/* Nothing may wait without its having been told. */
		assert_int_equal(poll(&polled, 1, 60000), 1);
		assert_int_equal(eventfd_read(world.handoff.fd, &n), 0);
		vhu_input_handoff_take(&world.handoff, &world.source);
	}
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_true(atomic_load(&done));
	assert_int_equal(world.x, N_PUT + 1);
	assert_memory_equal(&world.seen, &world.handoff.state, sizeof(world.seen));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(packets_pass, setup, teardown),
		cmocka_unit_test_setup_teardown(what_does_not_fit_is_made_good, setup, teardown),
		cmocka_unit_test_setup_teardown(two_threads, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
