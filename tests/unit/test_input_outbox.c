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

/* Nor is anything added to what was before it. */
static void motion_stays_behind_a_resync(void **state)
{
	struct vhu_input_state to;

	(void)state;
	begin();
	fill(64);
	PUT(REL(REL_X, 1));
	to = source;
	to.abs[ABS_X] = 5;
	vhu_input_outbox_resync(&outbox, &to);
	PUT(REL(REL_X, 2));
	send(64);
	EXPECT(REL(REL_X, 1), SYN, ABS(ABS_X, 5), SYN, REL(REL_X, 2), SYN);
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

/*
 * A guest that is now fast and now slow, a source that is now cut off and now back: at each
 * SYN_REPORT the guest is where the source once was, later and later, sums included, and in the end
 * where it is.
 */
#define STEPS 300000
#define N_KEYS 17
#define N_SLOTS 4
#define N_SUMS 2

struct model {
	int64_t sums[N_SUMS];	  /* of all that was put */
	uint64_t were[2 * STEPS]; /* prints of the states that the guest may see */
	size_t n_were;
	bool stopped;

	struct vhu_input_state guest;
	int64_t guest_sums[N_SUMS];
	size_t is;	/* the guest is at were[is] */
	bool ends_only; /* of the packet that it reads: contacts end, no more */
	bool cut;	/* what the packet began with was not sent to its end */
	unsigned packets, ends;
};

static struct model model;

static uint64_t add_print(uint64_t print, uint64_t value)
{
	return (print ^ value) * 0x100000001b3;
}

static uint64_t print_of(const struct vhu_input_state *state, const int64_t sums[N_SUMS])
{
	uint64_t print = 0xcbf29ce484222325;

	for (unsigned i = 0; i < N_SUMS; i++)
		print = add_print(print, (uint64_t)sums[i]);
	for (unsigned i = 0; i < (N_KEYS + 7) / 8; i++)
		print = add_print(print, state->keys[i]);
	for (unsigned i = 0; i < N_SLOTS; i++)
		for (unsigned j = 0; j < VHU_INPUT_MT_CODES; j++)
			print = add_print(print, (uint32_t)state->contacts[i].values[j]);
	return print;
}

static void may_be(const struct vhu_input_state *state)
{
	assert_true(model.n_were < ARRAY_SIZE(model.were));
	model.were[model.n_were++] = print_of(state, model.sums);
}

static void begin_model(void)
{
	begin();
	memset(&model, 0, sizeof(model));
	vhu_input_state_init(&model.guest);
	model.ends_only = true;
	may_be(&source);
}

/* One packet may end contacts whose places others take in the next. */
static void check_packet(void)
{
	uint64_t print = print_of(&model.guest, model.guest_sums);
	size_t i = model.is;

	while (i < model.n_were && model.were[i] != print)
		i++;
	if (i < model.n_were)
		model.is = i;
	else if (!model.ends_only && !model.cut)
		fail_msg("packet %u leads to where the source never was", model.packets);
	else
		model.ends++;
	model.packets++;
	model.ends_only = true;
	model.cut = false;
}

static void read_some(unsigned n)
{
	const struct vhu_input_event *event;
	uint64_t time_ns;

	while (n-- && (event = vhu_input_outbox_front(&outbox))) {
		vhu_input_state_apply(&model.guest, event);
		if (event->type == EV_REL)
			model.guest_sums[event->code] += event->value;
		if (event->type == EV_SYN)
			check_packet();
		else
			model.ends_only &= event->type == EV_ABS &&
					   (event->code == ABS_MT_SLOT ||
					    (event->code == ABS_MT_TRACKING_ID &&
					     event->value == -1));
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
		if (rand() % 2)
			events[n++] = (struct vhu_input_event)ABS(ABS_MT_SLOT, rand() % 4);
		events[n++] = (struct vhu_input_event)ABS(ABS_MT_POSITION_X, rand() % 100);
		events[n++] = (struct vhu_input_event)ABS(ABS_MT_POSITION_Y, rand() % 100);
	}
	events[n++] = (struct vhu_input_event)SYN;
	return n;
}

static void put_any_packet(void)
{
	uint64_t overflows = vhu_counter_get(&stats.overflows);
	struct vhu_input_event events[8];
	size_t n = make_packet(events);

	if (n < 2)
		return;
	if (model.stopped) {
		for (size_t i = 0; i < n; i++)
			vhu_input_state_apply(&source, &events[i]);
		return;
	}
	for (size_t i = 0; i < n; i++)
		if (events[i].type == EV_REL)
			model.sums[events[i].code] += events[i].value;
	put(events, n);
	may_be(&source);
	model.cut |= vhu_counter_get(&stats.overflows) > overflows;
}

static void go_on(void)
{
	model.stopped = false;
	vhu_input_outbox_resync(&outbox, &source);
	may_be(&source);
}

/* As a guest that stops and goes on, a device that is unplugged, a driver that is new. */
enum {
	STOP,
	UNPLUG,
	RESET,
	N_HOW
};

static void interrupt(unsigned how)
{
	struct vhu_input_state up = outbox.guest;

	if (how == STOP && !model.stopped) {
		vhu_input_state_release(&up);
		vhu_input_outbox_shortcut(&outbox, &up);
		model.cut = model.stopped = true;
		may_be(&up);
	} else if (how == UNPLUG) {
		vhu_input_state_release(&source);
	} else if (how == RESET) {
		vhu_input_outbox_reset(&outbox);
		vhu_input_state_init(&model.guest);
		memcpy(model.guest_sums, model.sums, sizeof(model.sums));
		model.is = model.n_were;
		model.cut = model.ends_only = true;
		may_be(&model.guest);
	}
	if (!model.stopped)
		go_on();
}

static void whatever_happens(void **state)
{
	(void)state;
	srand(20);
	begin_model();
	for (unsigned i = 0; i < STEPS; i++) {
		/* It stands still for a while now and then. */
		bool reads = i % 75000 < 20000;

		put_any_packet();
		if (reads)
			read_some((unsigned)rand() % 12);
		/* Each resync makes the next overflow later. */
		if (rand() % (i % 75000 < 25000 ? 500 : 5000) == 0)
			interrupt(reads ? (unsigned)rand() % N_HOW : UNPLUG);
		if (model.stopped && rand() % 20 == 0)
			go_on();
	}
	if (model.stopped)
		go_on();
	read_some(UINT32_MAX);
	assert_true(vhu_counter_get(&stats.overflows) > 0);
	assert_true(vhu_counter_get(&stats.merged) > 0);
	assert_true(model.packets > 50 * model.ends);
	assert_false(outbox.unfinished);
	assert_memory_equal(&outbox.guest, &source, sizeof(source));
	assert_memory_equal(&outbox.queued, &source, sizeof(source));
	assert_memory_equal(&model.guest, &source, sizeof(source));
	assert_memory_equal(model.guest_sums, model.sums, sizeof(model.sums));
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
		cmocka_unit_test(motion_stays_behind_a_resync),
		cmocka_unit_test(a_replaced_contact_ends_first),
		cmocka_unit_test(a_new_driver_has_seen_nothing),
		cmocka_unit_test(whatever_happens),
		cmocka_unit_test(no_key_is_lost),
		cmocka_unit_test(latencies_are_sorted_into_classes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
