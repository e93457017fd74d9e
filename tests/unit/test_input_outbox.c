/* SPDX-License-Identifier: BSD-3-Clause */

/* What waits for a guest: merged, never lost, never torn. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/num.h"
#include "devices/input/outbox.h"

#define SYN \
	{ \
		EV_SYN, SYN_REPORT, 0 \
	}
#define ABS(code, value) \
	{ \
		EV_ABS, code, value \
	}
#define KEY(code, value) \
	{ \
		EV_KEY, code, value \
	}
#define REL(code, value) \
	{ \
		EV_REL, code, value \
	}
#define N(array) (sizeof(array) / sizeof(*(array)))

static struct vhu_input_outbox outbox;
static struct vhu_input_stats stats;
static struct vhu_input_state source; /* after all that was put */

static void begin(void)
{
	memset(&stats, 0, sizeof(stats));
	vhu_input_outbox_init(&outbox, &stats);
	vhu_input_state_init(&source);
}

static void put(const struct vhu_input_event *events, size_t n)
{
	for (size_t i = 0; i < n; i++)
		vhu_input_state_apply(&source, &events[i]);
	vhu_input_outbox_add(&outbox, events, n, 1);
}

#define PUT(...) \
	do { \
		const struct vhu_input_event put_[] = { __VA_ARGS__, SYN }; \
		put(put_, N(put_)); \
	} while (0)

/* What waits is that and no more; it is sent. */
static void expect(const struct vhu_input_event *events, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct vhu_input_event *event = vhu_input_outbox_front(&outbox);
		uint64_t time_ns;

		assert_non_null(event);
		assert_memory_equal(event, &events[i], sizeof(*event));
		vhu_input_outbox_sent(&outbox, &time_ns);
	}
	assert_null(vhu_input_outbox_front(&outbox));
}

#define EXPECT(...) \
	do { \
		const struct vhu_input_event expect_[] = { __VA_ARGS__ }; \
		expect(expect_, N(expect_)); \
	} while (0)

static void send(unsigned n)
{
	uint64_t time_ns;

	while (n--) {
		assert_non_null(vhu_input_outbox_front(&outbox));
		vhu_input_outbox_sent(&outbox, &time_ns);
	}
}

/* So many that motion is merged behind them; even: each key is down and up. */
static void fill(unsigned n)
{
	for (unsigned i = 0; i < n / 2; i++)
		PUT(KEY(KEY_A, !(i % 2)));
}

static void in_order_and_whole(void **state)
{
	uint64_t time_ns;

	(void)state;
	begin();
	PUT(REL(REL_X, 1));
	PUT(REL(REL_X, 2), KEY(BTN_LEFT, 1));
	EXPECT(REL(REL_X, 1), SYN, REL(REL_X, 2), KEY(BTN_LEFT, 1), SYN);
	PUT(REL(REL_X, 3));
	vhu_input_outbox_sent(&outbox, &time_ns);
	assert_int_equal(time_ns, 0);
	vhu_input_outbox_sent(&outbox, &time_ns);
	assert_int_equal(time_ns, 1);
	assert_int_equal(vhu_counter_get(&stats.packets), 3);
	assert_int_equal(vhu_counter_get(&stats.events), 7);
}

static void motion_is_merged_when_much_waits(void **state)
{
	(void)state;
	begin();
	fill(64);
	PUT(REL(REL_X, 1), REL(REL_WHEEL, 1));
	PUT(REL(REL_X, 2));
	PUT(REL(REL_Y, -5), { EV_MSC, MSC_TIMESTAMP, 7 });
	PUT(REL(REL_X, 4), { EV_MSC, MSC_TIMESTAMP, 9 });
	PUT(KEY(BTN_LEFT, 1));
	PUT(REL(REL_X, 8));
	send(64);
	EXPECT(REL(REL_X, 7), REL(REL_WHEEL, 1), REL(REL_Y, -5), { EV_MSC, MSC_TIMESTAMP, 9 }, SYN,
	       KEY(BTN_LEFT, 1), SYN, REL(REL_X, 8), SYN);
	assert_int_equal(vhu_counter_get(&stats.merged), 3);
}

static void sums_do_not_overflow(void **state)
{
	(void)state;
	begin();
	fill(64);
	PUT(REL(REL_X, INT32_MAX - 1));
	PUT(REL(REL_X, 1));
	PUT(REL(REL_X, 1));
	PUT(REL(REL_X, INT32_MIN));
	send(64);
	EXPECT(REL(REL_X, INT32_MAX), SYN, REL(REL_X, 1 + INT32_MIN), SYN);
}

static void contacts_are_merged_in_their_slots(void **state)
{
	(void)state;
	begin();
	fill(64);
	PUT(ABS(ABS_MT_TRACKING_ID, 1), ABS(ABS_MT_POSITION_X, 10));
	PUT(ABS(ABS_MT_SLOT, 1), ABS(ABS_MT_TRACKING_ID, 2), ABS(ABS_MT_POSITION_X, 20));
	PUT(ABS(ABS_MT_POSITION_X, 21));
	PUT(ABS(ABS_MT_SLOT, 0), ABS(ABS_MT_POSITION_X, 11));
	PUT(ABS(ABS_MT_POSITION_X, 12), ABS(ABS_MT_SLOT, 1), ABS(ABS_MT_POSITION_X, 22));
	PUT(ABS(ABS_MT_POSITION_Y, 23), ABS(ABS_X, 5));
	PUT(ABS(ABS_MT_TRACKING_ID, -1));
	send(64);
	EXPECT(ABS(ABS_MT_TRACKING_ID, 1), ABS(ABS_MT_POSITION_X, 10), SYN, ABS(ABS_MT_SLOT, 1),
	       ABS(ABS_MT_TRACKING_ID, 2), ABS(ABS_MT_POSITION_X, 20), SYN,
	       ABS(ABS_MT_POSITION_X, 22), ABS(ABS_MT_SLOT, 0), ABS(ABS_MT_POSITION_X, 12),
	       ABS(ABS_MT_SLOT, 1), ABS(ABS_MT_POSITION_Y, 23), ABS(ABS_X, 5), SYN,
	       ABS(ABS_MT_TRACKING_ID, -1), SYN);
	assert_memory_equal(&outbox.guest, &source, sizeof(source));
}

/* Nothing may be added to what the guest has begun to read. */
static void a_packet_that_is_being_sent_is_left_alone(void **state)
{
	struct vhu_input_event events[VHU_INPUT_OUTBOX_HIGH + 2];

	(void)state;
	begin();
	for (unsigned i = 0; i < N(events); i++)
		events[i] = (struct vhu_input_event)REL((uint16_t)(i % 8), 1);
	events[N(events) - 1] = (struct vhu_input_event)SYN;
	put(events, N(events));
	PUT(REL(REL_X, 1));
	assert_int_equal(vhu_counter_get(&stats.merged), 1);
	send(1);
	PUT(REL(REL_X, 1));
	assert_int_equal(vhu_counter_get(&stats.merged), 1);
	send(N(events) - 1);
	EXPECT(REL(REL_X, 1), SYN);
}

static void overflow_is_repaired(void **state)
{
	unsigned n = 0;

	(void)state;
	begin();
	PUT(KEY(KEY_LEFTSHIFT, 1), REL(REL_X, 3));
	send(1); /* half a packet */
	while (!vhu_counter_get(&stats.overflows)) {
		PUT(KEY(KEY_B, n % 2 == 0), REL(REL_X, 1));
		assert_true(vhu_input_outbox_length(&outbox) <= VHU_INPUT_OUTBOX_EVENTS);
		n++;
	}
	assert_int_equal(n, (VHU_INPUT_OUTBOX_EVENTS - 2) / 3 + 1);
	EXPECT(KEY(KEY_B, n % 2), REL(REL_X, (int32_t)n + 3), SYN);
	assert_memory_equal(&outbox.guest, &source, sizeof(source));
}

/* The guest holds half a packet, and there is nothing to add to it. */
static void half_a_packet_is_ended(void **state)
{
	struct vhu_input_state up;

	(void)state;
	begin();
	PUT(KEY(KEY_A, 1), ABS(ABS_X, 7));
	send(2);
	vhu_input_outbox_shortcut(&outbox, &source);
	EXPECT(SYN);
	PUT(KEY(KEY_B, 1), KEY(KEY_C, 1));
	send(1);
	up = outbox.guest;
	vhu_input_state_release(&up);
	vhu_input_outbox_shortcut(&outbox, &up);
	EXPECT(KEY(KEY_A, 0), KEY(KEY_B, 0), SYN);
	vhu_input_outbox_shortcut(&outbox, &up);
	assert_null(vhu_input_outbox_front(&outbox));
}

static void a_resync_waits_its_turn(void **state)
{
	struct vhu_input_state to;

	(void)state;
	begin();
	vhu_input_outbox_resync(&outbox, &source);
	assert_null(vhu_input_outbox_front(&outbox));
	PUT(KEY(KEY_A, 1), ABS(ABS_MT_TRACKING_ID, 4));
	to = source;
	vhu_input_state_release(&to);
	vhu_input_outbox_resync(&outbox, &to);
	EXPECT(KEY(KEY_A, 1), ABS(ABS_MT_TRACKING_ID, 4), SYN, ABS(ABS_MT_TRACKING_ID, -1),
	       KEY(KEY_A, 0), SYN);
}

/* Both in one packet would be no end at all to whoever reads packets. */
static void a_replaced_contact_ends_first(void **state)
{
	struct vhu_input_state to;

	(void)state;
	begin();
	PUT(ABS(ABS_MT_TRACKING_ID, 4));
	send(2);
	to = source;
	to.contacts[0].values[ABS_MT_TRACKING_ID - VHU_INPUT_MT_FIRST] = 5;
	vhu_input_outbox_resync(&outbox, &to);
	EXPECT(ABS(ABS_MT_TRACKING_ID, -1), SYN, ABS(ABS_MT_TRACKING_ID, 5), SYN);
}

static void a_new_driver_has_seen_nothing(void **state)
{
	(void)state;
	begin();
	PUT(KEY(KEY_A, 1));
	send(1);
	vhu_input_outbox_reset(&outbox);
	assert_null(vhu_input_outbox_front(&outbox));
	vhu_input_outbox_resync(&outbox, &source);
	EXPECT(KEY(KEY_A, 1), SYN);
}

/* A guest that is now fast and now slow: it gets every sum, and ends up with every state. */
struct reader {
	int64_t sums[2];
	unsigned keys;
};

static void read_some(struct reader *reader, unsigned n)
{
	const struct vhu_input_event *event;
	uint64_t time_ns;

	while (n-- && (event = vhu_input_outbox_front(&outbox))) {
		if (event->type == EV_REL)
			reader->sums[event->code] += event->value;
		if (event->type == EV_KEY)
			reader->keys++;
		vhu_input_outbox_sent(&outbox, &time_ns);
	}
}

static size_t make_packet(struct vhu_input_event events[8])
{
	size_t n = 0;
	unsigned what = (unsigned)rand() % 8;

	if (what == 0)
		events[n++] = (struct vhu_input_event)KEY((uint16_t)(rand() % 16 + 1), rand() % 2);
	if (what == 1) {
		events[n++] = (struct vhu_input_event)ABS(ABS_MT_SLOT, rand() % 4);
		events[n++] = (struct vhu_input_event)ABS(ABS_MT_TRACKING_ID, rand() % 3 - 1);
	}
	if (what & 2)
		events[n++] = (struct vhu_input_event)REL((uint16_t)(rand() % 2), rand() % 9 - 4);
	if (what & 4) {
		events[n++] = (struct vhu_input_event)ABS(ABS_MT_SLOT, rand() % 4);
		events[n++] = (struct vhu_input_event)ABS(ABS_MT_POSITION_X, rand() % 100);
		events[n++] = (struct vhu_input_event)ABS(ABS_MT_POSITION_Y, rand() % 100);
	}
	events[n++] = (struct vhu_input_event)SYN;
	return n;
}

static void whatever_happens(void **state)
{
	struct reader reader = { { 0 } };
	int64_t sums[2] = { 0 };
	unsigned keys = 0;

	(void)state;
	srand(20);
	begin();
	for (unsigned i = 0; i < 300000; i++) {
		struct vhu_input_event events[8];
		size_t n = make_packet(events);

		for (size_t j = 0; j < n; j++) {
			if (events[j].type == EV_REL)
				sums[events[j].code] += events[j].value;
			keys += events[j].type == EV_KEY;
		}
		if (n > 1)
			put(events, n);
		/* It stands still for a while now and then. */
		if (i % 75000 < 20000)
			read_some(&reader, (unsigned)rand() % 12);
		if (i % 10000 == 0)
			vhu_input_outbox_resync(&outbox, &source);
		if (i == 150000) {
			assert_true(vhu_counter_get(&stats.overflows) > 0);
			assert_true(vhu_counter_get(&stats.merged) > 0);
		}
	}
	read_some(&reader, UINT32_MAX);
	assert_false(outbox.unfinished);
	assert_memory_equal(&outbox.guest, &source, sizeof(source));
	assert_memory_equal(&outbox.queued, &source, sizeof(source));
	assert_int_equal(reader.sums[0], sums[0]);
	assert_int_equal(reader.sums[1], sums[1]);
	assert_true(reader.keys <= keys);
}

/* Without an overflow each key that went down or up is there, in order. */
static void no_key_is_lost(void **state)
{
	unsigned expected = 0;

	(void)state;
	begin();
	for (unsigned i = 0; i < 20000; i++) {
		const struct vhu_input_event *event;
		uint64_t time_ns;

		PUT(REL(REL_X, 1));
		PUT(REL(REL_X, 1));
		if (i % 3 == 0)
			PUT(KEY((uint16_t)(i / 3 % 200 + 1), !(i / 3 / 200 % 2)));
		for (unsigned j = 0; j < 3 && (event = vhu_input_outbox_front(&outbox)); j++) {
			if (event->type == EV_KEY) {
				assert_int_equal(event->code, expected % 200 + 1);
				assert_int_equal(event->value, !(expected / 200 % 2));
				expected++;
			}
			vhu_input_outbox_sent(&outbox, &time_ns);
		}
	}
	assert_true(vhu_counter_get(&stats.merged) > 10000);
	assert_int_equal(vhu_counter_get(&stats.overflows), 0);
	assert_true(expected > 6000);
}

static void latencies_are_sorted_into_classes(void **state)
{
	static const uint64_t us[] = { 0, 1, 2, 3, 4, 1ull << 40 };
	static const unsigned class[] = { 0, 0, 1, 1, 2, VHU_INPUT_LATENCIES - 1 };

	(void)state;
	for (size_t i = 0; i < N(us); i++) {
		memset(&stats, 0, sizeof(stats));
		vhu_input_stats_add_latency(&stats, us[i] * NS_PER_US + 999);
		assert_int_equal(vhu_counter_get(&stats.latency[class[i]]), 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_order_and_whole),
		cmocka_unit_test(motion_is_merged_when_much_waits),
		cmocka_unit_test(sums_do_not_overflow),
		cmocka_unit_test(contacts_are_merged_in_their_slots),
		cmocka_unit_test(a_packet_that_is_being_sent_is_left_alone),
		cmocka_unit_test(overflow_is_repaired),
		cmocka_unit_test(half_a_packet_is_ended),
		cmocka_unit_test(a_resync_waits_its_turn),
		cmocka_unit_test(a_replaced_contact_ends_first),
		cmocka_unit_test(a_new_driver_has_seen_nothing),
		cmocka_unit_test(whatever_happens),
		cmocka_unit_test(no_key_is_lost),
		cmocka_unit_test(latencies_are_sorted_into_classes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
