/* SPDX-License-Identifier: BSD-3-Clause */

/* Seats, as far as they go without devices: what is wrong, who shares what, and the end. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/num.h"
#include "devices/input/kinds.h"
#include "devices/input/source.h"

/* No udev gives a device to such a seat. */
#define SEAT "seat-of-a-test"

static unsigned n_resyncs;

static void no_packet(struct vhu_input_sink *sink, const struct vhu_input_event *events, size_t n,
		      uint64_t time_ns)
{
	(void)sink;
	(void)events;
	(void)n;
	(void)time_ns;
	fail_msg("a packet of nobody");
}

static void resync(struct vhu_input_sink *sink, const struct vhu_input_state *state)
{
	(void)sink;
	assert_false(vhu_input_state_any_key(state));
	n_resyncs++;
}

static struct vhu_input_sink sink = { no_packet, resync };
static struct vhu_input_ident ident;

static int open_source(const struct vhu_input_options *options, struct vhu_input_source **ret)
{
	int r = vhu_input_source_libinput.open(options, &ident, ret);

	if (r == -EOPNOTSUPP)
		skip();
	return r;
}

static struct vhu_input_source *open_seat(unsigned kinds)
{
	const struct vhu_input_options options = { .seat = SEAT, .kinds = kinds };
	struct vhu_input_source *source = NULL;

	assert_int_equal(open_source(&options, &source), 0);
	return source;
}

static void what_is_no_device_is_refused(void **state)
{
	static const struct {
		const char *path;
		bool wait;
		unsigned kinds;
		int r;
	} cases[] = {
		{ "/nonexistent/event0", false, 0, -ENOENT },
		{ "/nonexistent/event0", true, 0, -EINVAL }, /* of what kind? */
		{ "/dev/null", false, 0, -ENOTTY },
		{ "/dev/null", true, 1u << VHU_INPUT_MOUSE, -ENOTTY },
		{ "/proc/self/exe", false, 0, -ENOTTY },
	};
	struct vhu_input_source *source;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct vhu_input_options options = {
			.evdev_path = cases[i].path,
			.wait_device = cases[i].wait,
			.kinds = cases[i].kinds,
		};

		assert_int_equal(open_source(&options, &source), cases[i].r);
	}
}

static void a_path_may_be_waited_for(void **state)
{
	const struct vhu_input_options options = {
		.evdev_path = "/nonexistent/event0",
		.wait_device = true,
		.kinds = 1u << VHU_INPUT_TOUCH,
	};
	struct vhu_input_source *source;

	(void)state;
	assert_int_equal(open_source(&options, &source), 0);
	assert_int_equal(vhu_input_kinds_of(&ident), 1u << VHU_INPUT_TOUCH);
	source->ops->close(source);
}

static void a_seat_shows_kinds(void **state)
{
	struct vhu_input_source *source = open_seat(1u << VHU_INPUT_TABLET);

	(void)state;
	assert_int_equal(vhu_input_kinds_of(&ident), 1u << VHU_INPUT_TABLET);
	assert_string_equal(source->label, SEAT);
	source->ops->close(source);
	source = open_seat(0);
	assert_int_equal(vhu_input_kinds_of(&ident),
			 1u << VHU_INPUT_KEYBOARD | 1u << VHU_INPUT_MOUSE);
	source->ops->close(source);
}

static void attach(struct vhu_input_source *source, struct vhu_loop *loop)
{
	unsigned before = n_resyncs;

	assert_int_equal(source->ops->attach(source, loop, &sink), 0);
	assert_int_equal(n_resyncs, before + 1);
}

/* The threads of a seat and of its members, and who comes while others are at work. */
static void members_come_and_go(void **state)
{
	const struct vhu_input_event led = { EV_LED, LED_CAPSL, 1 };
	struct vhu_input_source *sources[4];
	struct vhu_loop *loop;

	(void)state;
	assert_int_equal(vhu_loop_new(&loop), 0);
	for (unsigned round = 0; round < 20; round++) {
		for (unsigned i = 0; i < ARRAY_SIZE(sources); i++) {
			sources[i] = open_seat(1u << i);
			attach(sources[i], loop);
			assert_int_equal(sources[i]->ops->grab(sources[i], true), 0);
			sources[i]->ops->write(sources[i], &led);
		}
		vhu_loop_turn(loop, 0);
		for (unsigned i = 0; i < ARRAY_SIZE(sources); i++)
			if (i != round % 4)
				assert_int_equal(sources[i]->ops->grab(sources[i], false), 0);
		/* The loops of devices have ended by then. */
		vhu_loop_destroy(loop);
		for (unsigned i = 0; i < ARRAY_SIZE(sources); i++)
			sources[(i + round) % 4]->ops->close(sources[(i + round) % 4]);
		assert_int_equal(vhu_loop_new(&loop), 0);
	}
	vhu_loop_destroy(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_no_device_is_refused),
		cmocka_unit_test(a_path_may_be_waited_for),
		cmocka_unit_test(a_seat_shows_kinds),
		cmocka_unit_test(members_come_and_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
