/* SPDX-License-Identifier: BSD-3-Clause */

/* What libinput tells, as events of evdev. */

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/num.h"
#include "devices/input/writer.h"

struct world {
	struct vhu_input_writer writer;
	struct vhu_input_ident ident;
	struct vhu_input_event events[512];
	size_t n, n_packets;
	uint64_t time_ns;
};

static void take_packet(struct vhu_input_writer *writer, const struct vhu_input_event *events,
			size_t n, uint64_t time_ns)
{
	struct world *world = container_of(writer, struct world, writer);

	assert_true(n >= 2);
	assert_int_equal(events[n - 1].type, EV_SYN);
	for (size_t i = 0; i < n; i++) {
		assert_true(i == n - 1 || events[i].type != EV_SYN);
		world->events[world->n++] = events[i];
	}
	world->n_packets++;
	world->time_ns = time_ns;
}

static struct world world;

static void begin(unsigned kinds)
{
	memset(&world, 0, sizeof(world));
	vhu_input_kinds_ident(kinds, &world.ident);
	vhu_input_writer_init(&world.writer, &world.ident, take_packet);
}

/* All that came since, and nothing else. */
static void expect(const struct vhu_input_event *events, size_t n)
{
	vhu_input_writer_flush(&world.writer);
	assert_int_equal(world.n, n);
	for (size_t i = 0; i < n; i++)
		if (memcmp(&world.events[i], &events[i], sizeof(events[i])))
			fail_msg("event %zu is %u %u %d", i, world.events[i].type,
				 world.events[i].code, world.events[i].value);
	world.n = 0;
}

#define EXPECT(...) \
	do { \
		const struct vhu_input_event events_[] = { __VA_ARGS__ }; \
		expect(events_, ARRAY_SIZE(events_)); \
	} while (0)
#define EXPECT_NOTHING() expect(NULL, 0)
#define EVENT(type, code, value) { type, code, value }
#define SYN EVENT(EV_SYN, SYN_REPORT, 0)

static void one_time_is_one_packet(void **state)
{
	(void)state;
	begin(1u << VHU_INPUT_KEYBOARD);
	for (uint16_t code = KEY_A; code < KEY_A + 6; code++)
		vhu_input_writer_put(&world.writer, 7000, EV_KEY, code, 0);
	vhu_input_writer_put(&world.writer, 8000, EV_KEY, KEY_Q, 1);
	assert_int_equal(world.n_packets, 1);
	assert_int_equal(world.time_ns, 7000);
	assert_int_equal(world.n, 7);
	vhu_input_writer_flush(&world.writer);
	assert_int_equal(world.n_packets, 2);
	assert_int_equal(world.time_ns, 8000);
	vhu_input_writer_flush(&world.writer);
	assert_int_equal(world.n_packets, 2);
}

static void a_key_changes_once_a_packet(void **state)
{
	(void)state;
	begin(1u << VHU_INPUT_KEYBOARD);
	vhu_input_writer_put(&world.writer, 1, EV_KEY, KEY_A, 1);
	vhu_input_writer_put(&world.writer, 1, EV_KEY, KEY_A, 0);
	EXPECT(EVENT(EV_KEY, KEY_A, 1), SYN, EVENT(EV_KEY, KEY_A, 0), SYN);
}

static void the_last_holder_lets_go(void **state)
{
	(void)state;
	begin(1u << VHU_INPUT_KEYBOARD);
	/* It was held before we were there. */
	vhu_input_writer_key(&world.writer, 1, KEY_A, false);
	EXPECT_NOTHING();
	vhu_input_writer_key(&world.writer, 2, KEY_A, true);
	vhu_input_writer_key(&world.writer, 3, KEY_A, true);
	EXPECT(EVENT(EV_KEY, KEY_A, 1), SYN);
	vhu_input_writer_key(&world.writer, 4, KEY_A, false);
	EXPECT_NOTHING();
	vhu_input_writer_key(&world.writer, 5, KEY_A, false);
	EXPECT(EVENT(EV_KEY, KEY_A, 0), SYN);
	vhu_input_writer_key(&world.writer, 6, UINT32_MAX, true);
	EXPECT_NOTHING();
}

static void what_it_has_not_is_left_out(void **state)
{
	(void)state;
	begin(1u << VHU_INPUT_KEYBOARD);
	vhu_input_writer_put(&world.writer, 1, EV_KEY, BTN_LEFT, 1);
	vhu_input_writer_motion(&world.writer, 1, 3, 4);
	vhu_input_writer_put(&world.writer, 1, EV_KEY, KEY_CNT, 1);
	EXPECT_NOTHING();
}

static void fractions_are_carried(void **state)
{
	(void)state;
	begin(1u << VHU_INPUT_MOUSE);
	vhu_input_writer_motion(&world.writer, 1, 0.75, -0.5);
	EXPECT_NOTHING();
	vhu_input_writer_motion(&world.writer, 2, 0.75, -0.75);
	EXPECT(EVENT(EV_REL, REL_X, 1), EVENT(EV_REL, REL_Y, -1), SYN);
	vhu_input_writer_motion(&world.writer, 3, 0.5, 0.25);
	EXPECT(EVENT(EV_REL, REL_X, 1), SYN);
}

static void nonsense_moves_nothing(void **state)
{
	static const double nonsense[] = { NAN, INFINITY, -INFINITY, 1e300, -3e9 };

	(void)state;
	begin(1u << VHU_INPUT_MOUSE);
	for (size_t i = 0; i < ARRAY_SIZE(nonsense); i++) {
		vhu_input_writer_motion(&world.writer, i, nonsense[i], 0);
		vhu_input_writer_wheel(&world.writer, i, REL_WHEEL, nonsense[i]);
		EXPECT_NOTHING();
	}
	vhu_input_writer_motion(&world.writer, 9, 2, 0);
	EXPECT(EVENT(EV_REL, REL_X, 2), SYN);
}

static void wheels_click_at_120(void **state)
{
	(void)state;
	begin(1u << VHU_INPUT_MOUSE);
	vhu_input_writer_wheel(&world.writer, 1, REL_WHEEL, 120);
	EXPECT(EVENT(EV_REL, REL_WHEEL_HI_RES, 120), EVENT(EV_REL, REL_WHEEL, 1), SYN);
	vhu_input_writer_wheel(&world.writer, 2, REL_HWHEEL, -360);
	EXPECT(EVENT(EV_REL, REL_HWHEEL_HI_RES, -360), EVENT(EV_REL, REL_HWHEEL, -3), SYN);
	vhu_input_writer_wheel(&world.writer, 3, REL_WHEEL, 80);
	EXPECT(EVENT(EV_REL, REL_WHEEL_HI_RES, 80), SYN);
	vhu_input_writer_wheel(&world.writer, 4, REL_WHEEL, 80);
	EXPECT(EVENT(EV_REL, REL_WHEEL_HI_RES, 80), EVENT(EV_REL, REL_WHEEL, 1), SYN);
	/* 40 are left of it, but who turns back wants no click for 80. */
	vhu_input_writer_wheel(&world.writer, 5, REL_WHEEL, -80);
	EXPECT(EVENT(EV_REL, REL_WHEEL_HI_RES, -80), SYN);
	vhu_input_writer_wheel(&world.writer, 6, REL_WHEEL, -40);
	EXPECT(EVENT(EV_REL, REL_WHEEL_HI_RES, -40), EVENT(EV_REL, REL_WHEEL, -1), SYN);
}

static void contacts_come_and_go(void **state)
{
	(void)state;
	begin(1u << VHU_INPUT_TOUCH);
	vhu_input_writer_contact(&world.writer, 1, 0, 10, 20);
	vhu_input_writer_contact(&world.writer, 1, 3, 30, 40);
	vhu_input_writer_frame(&world.writer, 1);
	EXPECT(EVENT(EV_ABS, ABS_MT_SLOT, 0), EVENT(EV_ABS, ABS_MT_TRACKING_ID, 0),
	       EVENT(EV_ABS, ABS_MT_POSITION_X, 10), EVENT(EV_ABS, ABS_MT_POSITION_Y, 20),
	       EVENT(EV_ABS, ABS_MT_SLOT, 3), EVENT(EV_ABS, ABS_MT_TRACKING_ID, 1),
	       EVENT(EV_ABS, ABS_MT_POSITION_X, 30), EVENT(EV_ABS, ABS_MT_POSITION_Y, 40),
	       EVENT(EV_KEY, BTN_TOUCH, 1), EVENT(EV_ABS, ABS_X, 10), EVENT(EV_ABS, ABS_Y, 20),
	       SYN);
	/* The pointer goes on with the other one. */
	vhu_input_writer_contact_end(&world.writer, 2, 0);
	vhu_input_writer_frame(&world.writer, 2);
	EXPECT(EVENT(EV_ABS, ABS_MT_SLOT, 0), EVENT(EV_ABS, ABS_MT_TRACKING_ID, -1),
	       EVENT(EV_ABS, ABS_X, 30), EVENT(EV_ABS, ABS_Y, 40), SYN);
	/* A newer contact in an older slot is not the pointer. */
	vhu_input_writer_contact(&world.writer, 3, 0, 50, 60);
	vhu_input_writer_frame(&world.writer, 3);
	EXPECT(EVENT(EV_ABS, ABS_MT_SLOT, 0), EVENT(EV_ABS, ABS_MT_TRACKING_ID, 2),
	       EVENT(EV_ABS, ABS_MT_POSITION_X, 50), EVENT(EV_ABS, ABS_MT_POSITION_Y, 60),
	       EVENT(EV_ABS, ABS_X, 30), EVENT(EV_ABS, ABS_Y, 40), SYN);
	vhu_input_writer_contact_end(&world.writer, 4, 3);
	vhu_input_writer_contact_end(&world.writer, 4, 0);
	vhu_input_writer_contact_end(&world.writer, 4, 0);
	vhu_input_writer_frame(&world.writer, 4);
	EXPECT(EVENT(EV_ABS, ABS_MT_SLOT, 3), EVENT(EV_ABS, ABS_MT_TRACKING_ID, -1),
	       EVENT(EV_ABS, ABS_MT_SLOT, 0), EVENT(EV_ABS, ABS_MT_TRACKING_ID, -1),
	       EVENT(EV_KEY, BTN_TOUCH, 0), SYN);
}

static void contacts_past_the_last_slot_are_left_out(void **state)
{
	(void)state;
	begin(1u << VHU_INPUT_TOUCH);
	vhu_input_writer_contact(&world.writer, 1, VHU_INPUT_KIND_SLOTS, 1, 2);
	vhu_input_writer_contact(&world.writer, 1, UINT32_MAX, 1, 2);
	vhu_input_writer_contact_end(&world.writer, 1, VHU_INPUT_KIND_SLOTS);
	vhu_input_writer_frame(&world.writer, 1);
	EXPECT_NOTHING();
}

/* The ids of the kernel's touch screens wrap as well. */
static void ids_wrap(void **state)
{
	(void)state;
	begin(1u << VHU_INPUT_TOUCH);
	world.writer.n_contacts = UINT32_MAX;
	vhu_input_writer_contact(&world.writer, 1, 0, 1, 1);
	vhu_input_writer_contact(&world.writer, 1, 1, 2, 2);
	vhu_input_writer_frame(&world.writer, 1);
	assert_int_equal(world.events[1].value, UINT16_MAX);
	assert_int_equal(world.events[5].value, 0);
	assert_int_equal(world.events[9].value, 1); /* ABS_X: of the older one */
}

static void all_contacts_fit_a_packet(void **state)
{
	(void)state;
	begin(1u << VHU_INPUT_TOUCH);
	for (unsigned slot = 0; slot < VHU_INPUT_KIND_SLOTS; slot++)
		vhu_input_writer_contact(&world.writer, 1, slot, 1, 2);
	vhu_input_writer_frame(&world.writer, 1);
	assert_int_equal(world.n_packets, 1);
	assert_int_equal(world.n, 4 * VHU_INPUT_KIND_SLOTS + 4);
}

static void a_packet_without_end_is_cut(void **state)
{
	(void)state;
	begin(1u << VHU_INPUT_TABLET);
	for (int32_t i = 0; i < VHU_INPUT_WRITER_MAX; i++)
		vhu_input_writer_put(&world.writer, 1, EV_ABS, ABS_X, i);
	assert_int_equal(world.n_packets, 1);
	vhu_input_writer_flush(&world.writer);
	assert_int_equal(world.n, VHU_INPUT_WRITER_MAX + 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_time_is_one_packet),
		cmocka_unit_test(a_key_changes_once_a_packet),
		cmocka_unit_test(the_last_holder_lets_go),
		cmocka_unit_test(what_it_has_not_is_left_out),
		cmocka_unit_test(fractions_are_carried),
		cmocka_unit_test(nonsense_moves_nothing),
		cmocka_unit_test(wheels_click_at_120),
		cmocka_unit_test(contacts_come_and_go),
		cmocka_unit_test(contacts_past_the_last_slot_are_left_out),
		cmocka_unit_test(ids_wrap),
		cmocka_unit_test(all_contacts_fit_a_packet),
		cmocka_unit_test(a_packet_without_end_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
