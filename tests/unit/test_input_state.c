/* SPDX-License-Identifier: BSD-3-Clause */

/* What events add up to, and the way from one such state to another. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/num.h"
#include "devices/input/source.h"
#include "devices/input/state.h"

#define KEY(code, value) \
	{ \
		EV_KEY, code, value \
	}
#define ABS(code, value) \
	{ \
		EV_ABS, code, value \
	}
#define SYN \
	{ \
		EV_SYN, SYN_REPORT, 0 \
	}

static struct vhu_input_event repair[VHU_INPUT_REPAIR_MAX];

static void apply_all(struct vhu_input_state *state, const struct vhu_input_event *events, size_t n)
{
	for (size_t i = 0; i < n; i++)
		vhu_input_state_apply(state, &events[i]);
}

struct repair_case {
	const char *name;
	struct vhu_input_event from[12], to[12], repair[12]; /* up to a SYN */
};

static const struct repair_case repair_cases[] = {
	{ "nothing", { SYN }, { SYN }, { { 0 } } },
	{ "the same", { KEY(KEY_A, 1), SYN }, { KEY(KEY_A, 1), SYN }, { { 0 } } },
	{ "keys change",
	  { KEY(KEY_A, 1), KEY(KEY_B, 1), SYN },
	  { KEY(KEY_B, 2), KEY(KEY_C, 1), SYN },
	  { KEY(KEY_A, 0), KEY(KEY_C, 1), SYN } },
	{ "the last key", { SYN }, { KEY(KEY_MAX, 1), SYN }, { KEY(KEY_MAX, 1), SYN } },
	{ "a switch", { { EV_SW, SW_LID, 1 }, SYN }, { SYN }, { { EV_SW, SW_LID, 0 }, SYN } },
	{ "axes",
	  { ABS(ABS_X, 5), SYN },
	  { ABS(ABS_X, 7), ABS(ABS_Y, -1), SYN },
	  { ABS(ABS_X, 7), ABS(ABS_Y, -1), SYN } },
	{ "relative motion is no state", { { EV_REL, REL_X, 4 }, SYN }, { SYN }, { { 0 } } },
	{ "a contact begins with its id",
	  { SYN },
	  { ABS(ABS_MT_POSITION_X, 9), ABS(ABS_MT_TRACKING_ID, 3), SYN },
	  { ABS(ABS_MT_TRACKING_ID, 3), ABS(ABS_MT_POSITION_X, 9), SYN } },
	{ "a contact ends with its id",
	  { ABS(ABS_MT_TRACKING_ID, 3), SYN },
	  { ABS(ABS_MT_POSITION_X, 9), SYN },
	  { ABS(ABS_MT_POSITION_X, 9), ABS(ABS_MT_TRACKING_ID, -1), SYN } },
	{ "two slots, and the slot that comes next",
	  { ABS(ABS_MT_TRACKING_ID, 3), ABS(ABS_MT_SLOT, 2), SYN },
	  { ABS(ABS_MT_SLOT, 63), ABS(ABS_MT_TRACKING_ID, 4), ABS(ABS_MT_SLOT, 1), SYN },
	  { ABS(ABS_MT_SLOT, 0), ABS(ABS_MT_TRACKING_ID, -1), ABS(ABS_MT_SLOT, 63),
	    ABS(ABS_MT_TRACKING_ID, 4), ABS(ABS_MT_SLOT, 1), SYN } },
	{ "a slot too many",
	  { ABS(ABS_MT_SLOT, 64), ABS(ABS_MT_TRACKING_ID, 5), SYN },
	  { ABS(ABS_MT_SLOT, 3), SYN },
	  { ABS(ABS_MT_SLOT, 3), SYN } },
	{ "towards it", { SYN }, { ABS(ABS_MT_SLOT, -1), SYN }, { { 0 } } },
	{ "what is out of range",
	  { KEY(KEY_CNT, 1),
	    ABS(ABS_CNT, 1),
	    { EV_SW, SW_CNT, 1 },
	    { EV_CNT, 0, 1 },
	    { UINT16_MAX, UINT16_MAX, 1 },
	    SYN },
	  { SYN },
	  { { 0 } } },
};

static size_t length(const struct vhu_input_event *events)
{
	size_t n = 0;

	while (events[n].type || events[n].value)
		n++;
	return n;
}

static void repairs(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < ARRAY_SIZE(repair_cases); i++) {
		const struct repair_case *c = &repair_cases[i];
		size_t want = length(c->repair) ? length(c->repair) + 1 : 0;
		struct vhu_input_state from, to;

		vhu_input_state_init(&from);
		vhu_input_state_init(&to);
		apply_all(&from, c->from, length(c->from));
		apply_all(&to, c->to, length(c->to));
		if (vhu_input_state_repair(&from, &to, repair) != want ||
		    memcmp(repair, c->repair, want * sizeof(*repair)))
			fail_msg("%s", c->name);
	}
}

static struct vhu_input_event random_event(void)
{
	static const uint16_t types[] = { EV_KEY, EV_SW, EV_ABS };
	struct vhu_input_event event = { .type = types[rand() % 3] };

	if (event.type == EV_KEY)
		event = (struct vhu_input_event)KEY((uint16_t)(rand() % KEY_CNT), rand() % 2);
	else if (event.type == EV_SW)
		event = (struct vhu_input_event){ EV_SW, (uint16_t)(rand() % SW_CNT), rand() % 2 };
	else
		event = (struct vhu_input_event)ABS((uint16_t)(rand() % ABS_CNT), rand() % 65 - 1);
	return event;
}

/* From any state to any other, and never more events than there is room for. */
static void a_repair_leads_there(void **unused)
{
	struct vhu_input_state from, to;

	(void)unused;
	srand(4);
	vhu_input_state_init(&from);
	for (unsigned i = 0; i < 200; i++) {
		size_t n;

		vhu_input_state_init(&to);
		for (unsigned j = 0; j < i * 40; j++) {
			struct vhu_input_event event = random_event();

			vhu_input_state_apply(&to, &event);
		}
		n = vhu_input_state_repair(&from, &to, repair);
		assert_true(n <= VHU_INPUT_REPAIR_MAX);
		apply_all(&from, repair, n);
		if (to.slot == VHU_INPUT_NO_SLOT)
			to.slot = from.slot;
		assert_memory_equal(&from, &to, sizeof(to));
	}
	for (unsigned i = 0; i < VHU_INPUT_SLOTS_MAX; i++)
		for (unsigned j = 0; j < VHU_INPUT_MT_CODES; j++)
			to.contacts[i].values[j]++;
	memset(to.keys, 0xff, sizeof(to.keys));
	memset(from.keys, 0, sizeof(from.keys));
	assert_true(vhu_input_state_repair(&from, &to, repair) <= VHU_INPUT_REPAIR_MAX);
}

static void everything_up(void **unused)
{
	static const struct vhu_input_event down[] = {
		KEY(KEY_LEFTSHIFT, 1), { EV_SW, SW_LID, 1 },	   ABS(ABS_X, 9),
		ABS(ABS_MT_SLOT, 5),   ABS(ABS_MT_TRACKING_ID, 1), ABS(ABS_MT_POSITION_Y, 7),
	};
	static const struct vhu_input_event up[] = {
		ABS(ABS_MT_SLOT, 5),
		ABS(ABS_MT_TRACKING_ID, -1),
		KEY(KEY_LEFTSHIFT, 0),
		SYN,
	};
	struct vhu_input_state from, to;

	(void)unused;
	vhu_input_state_init(&from);
	assert_false(vhu_input_state_any_key(&from));
	apply_all(&from, down, ARRAY_SIZE(down));
	assert_true(vhu_input_state_any_key(&from));
	assert_true(vhu_input_state_any_contact(&from));
	to = from;
	vhu_input_state_release(&to);
	assert_false(vhu_input_state_any_key(&to));
	assert_false(vhu_input_state_any_contact(&to));
	assert_int_equal(vhu_input_state_repair(&from, &to, repair), 3);
	assert_memory_equal(repair, up + 1, 3 * sizeof(*up));
	from.slot = 4;
	assert_int_equal(vhu_input_state_repair(&from, &to, repair), 4);
	assert_memory_equal(repair, up, 4 * sizeof(*up));
}

/* A sink that counts and remembers the last. */
struct heard {
	struct vhu_input_sink sink;
	unsigned packets, resyncs;
	size_t n;
	struct vhu_input_event events[VHU_INPUT_PACKET_MAX];
	uint64_t time_ns;
	struct vhu_input_state state;
};

static void hear_packet(struct vhu_input_sink *sink, const struct vhu_input_event *events, size_t n,
			uint64_t time_ns)
{
	struct heard *heard = container_of(sink, struct heard, sink);

	assert_true(n >= 2 && n <= VHU_INPUT_PACKET_MAX);
	memcpy(heard->events, events, n * sizeof(*events));
	heard->n = n;
	heard->time_ns = time_ns;
	heard->packets++;
}

static void hear_resync(struct vhu_input_sink *sink, const struct vhu_input_state *state)
{
	struct heard *heard = container_of(sink, struct heard, sink);

	heard->state = *state;
	heard->resyncs++;
}

static struct heard heard;
static struct vhu_input_source source;

static void listen(void)
{
	heard = (struct heard){ .sink = { hear_packet, hear_resync } };
	vhu_input_source_init(&source, NULL, "test");
	source.sink = &heard.sink;
}

static void a_packet_ends_at_syn_report(void **unused)
{
	(void)unused;
	listen();
	vhu_input_source_event(&source, EV_SYN, SYN_REPORT, 0, 1);
	vhu_input_source_event(&source, EV_KEY, KEY_A, 1, 2);
	vhu_input_source_event(&source, EV_SYN, SYN_MT_REPORT, 0, 3);
	assert_int_equal(heard.packets, 0);
	assert_false(vhu_input_state_any_key(&source.state));
	vhu_input_source_event(&source, EV_SYN, SYN_REPORT, 0, 4);
	assert_int_equal(heard.packets, 1);
	assert_int_equal(heard.n, 3);
	assert_int_equal(heard.time_ns, 4);
	assert_int_equal(heard.events[2].type, EV_SYN);
	assert_int_equal(heard.events[2].code, SYN_REPORT);
	assert_true(vhu_input_state_any_key(&source.state));
	vhu_input_source_event(&source, EV_KEY, KEY_B, 1, 5);
	vhu_input_source_release(&source);
	vhu_input_source_event(&source, EV_SYN, SYN_REPORT, 0, 6);
	assert_int_equal(heard.packets, 1);
	assert_int_equal(heard.resyncs, 1);
	assert_false(vhu_input_state_any_key(&heard.state));
}

static void a_packet_too_long_is_cut_and_repaired(void **unused)
{
	(void)unused;
	listen();
	for (unsigned i = 0; i < 2; i++)
		for (unsigned code = 1; code < 601; code++)
			vhu_input_source_event(&source, EV_KEY, (uint16_t)code, (int32_t)i, 0);
	vhu_input_source_event(&source, EV_SYN, SYN_REPORT, 0, 0);
	assert_int_equal(heard.packets, 1);
	assert_int_equal(heard.n, VHU_INPUT_PACKET_MAX);
	assert_int_equal(heard.events[heard.n - 1].type, EV_SYN);
	assert_int_equal(heard.resyncs, 1);
	for (unsigned code = 0; code < KEY_CNT; code++)
		assert_int_equal(heard.state.keys[code / 8] >> code % 8 & 1,
				 code >= 1 && code < 601);
	vhu_input_source_event(&source, EV_KEY, 1, 0, 0);
	vhu_input_source_event(&source, EV_SYN, SYN_REPORT, 0, 0);
	assert_int_equal(heard.n, 2);
	assert_int_equal(heard.resyncs, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(repairs),
		cmocka_unit_test(a_repair_leads_there),
		cmocka_unit_test(everything_up),
		cmocka_unit_test(a_packet_ends_at_syn_report),
		cmocka_unit_test(a_packet_too_long_is_cut_and_repaired),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
