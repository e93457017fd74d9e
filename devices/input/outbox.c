/* SPDX-License-Identifier: BSD-3-Clause */
#include "devices/input/outbox.h"

#include <assert.h>

#include "common/base/num.h"

#define MASK (VHU_INPUT_OUTBOX_EVENTS - 1)
#define TRACKING_ID (ABS_MT_TRACKING_ID - VHU_INPUT_MT_FIRST)
/* A repair, the end of the contacts before it, and relative motion. */
#define RESYNC_MAX (2 * VHU_INPUT_REPAIR_MAX + REL_CNT)

static_assert(!(VHU_INPUT_OUTBOX_EVENTS & MASK), "a power of two");
static_assert(RESYNC_MAX < VHU_INPUT_OUTBOX_EVENTS, "one fits an empty outbox");

static const struct vhu_input_event report = { EV_SYN, SYN_REPORT, 0 };

void vhu_input_outbox_init(struct vhu_input_outbox *outbox, struct vhu_input_stats *stats)
{
	outbox->stats = stats;
	vhu_input_outbox_reset(outbox);
}

void vhu_input_outbox_reset(struct vhu_input_outbox *outbox)
{
	vhu_input_state_init(&outbox->guest);
	vhu_input_state_init(&outbox->queued);
	outbox->unfinished = outbox->mergeable = false;
	outbox->head = outbox->tail = 0;
}

static struct vhu_input_event *event_at(struct vhu_input_outbox *outbox, uint32_t at)
{
	return &outbox->events[at & MASK];
}

static uint32_t room(const struct vhu_input_outbox *outbox)
{
	return VHU_INPUT_OUTBOX_EVENTS - vhu_input_outbox_length(outbox);
}

static bool is_report(const struct vhu_input_event *event)
{
	return event->type == EV_SYN && event->code == SYN_REPORT;
}

static void append(struct vhu_input_outbox *outbox, const struct vhu_input_event *event)
{
	*event_at(outbox, outbox->tail++) = *event;
	vhu_input_state_apply(&outbox->queued, event);
}

static void append_report(struct vhu_input_outbox *outbox, uint64_t time_ns)
{
	outbox->times_ns[outbox->tail & MASK] = time_ns;
	append(outbox, &report);
}

/* What may be late or left out, as long as its last value, or its sum, arrives. */
static bool is_motion(const struct vhu_input_event *event)
{
	switch (event->type) {
	case EV_REL:
		return true;
	case EV_ABS:
		return event->code != ABS_MT_TRACKING_ID;
	case EV_MSC:
		return event->code == MSC_TIMESTAMP;
	default:
		return is_report(event);
	}
}

static bool all_motion(const struct vhu_input_event *events, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!is_motion(&events[i]))
			return false;
	return true;
}

static bool has_slot(const struct vhu_input_event *event)
{
	return event->type == EV_ABS && event->code >= VHU_INPUT_MT_FIRST &&
	       event->code < VHU_INPUT_MT_FIRST + VHU_INPUT_MT_CODES;
}

static bool is_slot(const struct vhu_input_event *event)
{
	return event->type == EV_ABS && event->code == ABS_MT_SLOT;
}

/* The event of the last packet that says the same, of that slot. */
static struct vhu_input_event *find_in_last(struct vhu_input_outbox *outbox,
					    const struct vhu_input_event *event, unsigned slot)
{
	unsigned at_slot = outbox->last_slot;

	for (uint32_t i = outbox->last; i != outbox->tail; i++) {
		struct vhu_input_event *old = event_at(outbox, i);

		if (is_slot(old))
			at_slot = (unsigned)old->value;
		else if (old->type == event->type && old->code == event->code &&
			 (!has_slot(event) || at_slot == slot))
			return old;
	}
	return NULL;
}

static bool sums_fit(struct vhu_input_outbox *outbox, const struct vhu_input_event *events,
		     size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct vhu_input_event *old = NULL;
		int32_t sum;

		if (events[i].type == EV_REL)
			old = find_in_last(outbox, &events[i], 0);
		if (old && __builtin_add_overflow(old->value, events[i].value, &sum))
			return false;
	}
	return true;
}

static bool may_merge(struct vhu_input_outbox *outbox, const struct vhu_input_event *events,
		      size_t n)
{
	return outbox->mergeable && vhu_input_outbox_length(outbox) > VHU_INPUT_OUTBOX_HIGH &&
	       (int32_t)(outbox->last - outbox->head) >= 0 && 2 * n <= room(outbox) &&
	       all_motion(events, n) && sums_fit(outbox, events, n);
}

static void select_slot(struct vhu_input_outbox *outbox, unsigned slot)
{
	const struct vhu_input_event event = { EV_ABS, ABS_MT_SLOT, (int32_t)slot };

	if (outbox->queued.slot != slot)
		append(outbox, &event);
}

static void merge_event(struct vhu_input_outbox *outbox, const struct vhu_input_event *event,
			unsigned slot)
{
	struct vhu_input_event *old = find_in_last(outbox, event, slot);
	unsigned end_slot = outbox->queued.slot;

	if (!old) {
		if (has_slot(event))
			select_slot(outbox, slot);
		append(outbox, event);
		return;
	}
	old->value = event->type == EV_REL ? old->value + event->value : event->value;
	outbox->queued.slot = slot;
	vhu_input_state_apply(&outbox->queued, event);
	outbox->queued.slot = end_slot;
}

/* The last packet is opened at its end and closed again. */
static void merge(struct vhu_input_outbox *outbox, const struct vhu_input_event *events, size_t n)
{
	unsigned slot = outbox->queued.slot;
	uint64_t time_ns = outbox->times_ns[--outbox->tail & MASK];

	for (size_t i = 0; i < n; i++) {
		if (is_slot(&events[i])) {
			if (events[i].value >= 0 && events[i].value < VHU_INPUT_SLOTS_MAX)
				slot = (unsigned)events[i].value;
		} else if (!is_report(&events[i])) {
			merge_event(outbox, &events[i], slot);
		}
	}
	select_slot(outbox, slot);
	append_report(outbox, time_ns);
	vhu_counter_add(&outbox->stats->merged, 1);
}

static void sum_motion(int64_t sums[REL_CNT], const struct vhu_input_event *event)
{
	if (event->type == EV_REL && event->code < REL_CNT)
		sums[event->code] += event->value;
}

/* No sum is nearer to its limit than an outbox full of int32_t. */
static void append_sums(struct vhu_input_outbox *outbox, const int64_t sums[REL_CNT])
{
	for (unsigned i = 0; i < REL_CNT; i++) {
		int64_t sum = sums[i] > INT32_MAX ? INT32_MAX : sums[i];
		struct vhu_input_event event = { EV_REL, (uint16_t)i, 0 };

		event.value = (int32_t)(sum < INT32_MIN ? INT32_MIN : sum);
		if (sum)
			append(outbox, &event);
	}
}

/* Everything but the end of it. */
static void append_way(struct vhu_input_outbox *outbox, const struct vhu_input_state *to)
{
	size_t n = vhu_input_state_repair(&outbox->queued, to, outbox->repair);

	for (size_t i = 0; i + 1 < n; i++)
		append(outbox, &outbox->repair[i]);
}

/* A contact must have ended, in a packet before, when another one begins in its slot. */
static bool end_replaced(const struct vhu_input_state *from, const struct vhu_input_state *to,
			 struct vhu_input_state *ret_between)
{
	bool any = false;

	*ret_between = *from;
	for (unsigned i = 0; i < VHU_INPUT_SLOTS_MAX; i++) {
		int32_t *id = &ret_between->contacts[i].values[TRACKING_ID];
		int32_t to_id = to->contacts[i].values[TRACKING_ID];

		if (*id >= 0 && to_id >= 0 && *id != to_id) {
			*id = -1;
			any = true;
		}
	}
	return any;
}

static void append_resync(struct vhu_input_outbox *outbox, const struct vhu_input_state *state,
			  const int64_t sums[REL_CNT], bool unfinished)
{
	struct vhu_input_state between;
	uint32_t begin = outbox->tail;

	outbox->mergeable = false;
	if (end_replaced(&outbox->queued, state, &between)) {
		append_way(outbox, &between);
		append_report(outbox, 0);
		unfinished = false;
	}
	append_way(outbox, state);
	append_sums(outbox, sums);
	if (unfinished || (outbox->tail != begin && !is_report(event_at(outbox, outbox->tail - 1))))
		append_report(outbox, 0);
	if (outbox->tail != begin)
		vhu_counter_add(&outbox->stats->repairs, 1);
}

static void drop_all(struct vhu_input_outbox *outbox, int64_t sums[REL_CNT])
{
	for (; outbox->head != outbox->tail; outbox->head++)
		sum_motion(sums, event_at(outbox, outbox->head));
	outbox->queued = outbox->guest;
}

void vhu_input_outbox_shortcut(struct vhu_input_outbox *outbox, const struct vhu_input_state *state)
{
	int64_t sums[REL_CNT] = { 0 };

	drop_all(outbox, sums);
	append_resync(outbox, state, sums, outbox->unfinished);
}

void vhu_input_outbox_resync(struct vhu_input_outbox *outbox, const struct vhu_input_state *state)
{
	static const int64_t no_sums[REL_CNT];

	if (room(outbox) >= RESYNC_MAX)
		append_resync(outbox, state, no_sums, false);
	else
		vhu_input_outbox_shortcut(outbox, state);
}

static void overflow(struct vhu_input_outbox *outbox, const struct vhu_input_event *events,
		     size_t n)
{
	struct vhu_input_state to = outbox->queued;
	int64_t sums[REL_CNT] = { 0 };

	drop_all(outbox, sums);
	for (size_t i = 0; i < n; i++) {
		vhu_input_state_apply(&to, &events[i]);
		sum_motion(sums, &events[i]);
	}
	append_resync(outbox, &to, sums, outbox->unfinished);
	vhu_counter_add(&outbox->stats->overflows, 1);
}

void vhu_input_outbox_add(struct vhu_input_outbox *outbox, const struct vhu_input_event *events,
			  size_t n, uint64_t time_ns)
{
	assert(n && is_report(&events[n - 1]));
	if (may_merge(outbox, events, n)) {
		merge(outbox, events, n);
		return;
	}
	if (n > room(outbox)) {
		overflow(outbox, events, n);
		return;
	}
	outbox->last = outbox->tail;
	outbox->last_slot = outbox->queued.slot;
	outbox->mergeable = all_motion(events, n);
	for (size_t i = 0; i + 1 < n; i++)
		append(outbox, &events[i]);
	append_report(outbox, time_ns);
}

const struct vhu_input_event *vhu_input_outbox_front(const struct vhu_input_outbox *outbox)
{
	return outbox->head != outbox->tail ? &outbox->events[outbox->head & MASK] : NULL;
}

void vhu_input_outbox_sent(struct vhu_input_outbox *outbox, uint64_t *ret_time_ns)
{
	const struct vhu_input_event *event = &outbox->events[outbox->head & MASK];

	vhu_input_state_apply(&outbox->guest, event);
	outbox->unfinished = !is_report(event);
	*ret_time_ns = outbox->unfinished ? 0 : outbox->times_ns[outbox->head & MASK];
	vhu_counter_add(&outbox->stats->events, 1);
	if (!outbox->unfinished)
		vhu_counter_add(&outbox->stats->packets, 1);
	outbox->head++;
	/* The same memory over and over, as long as the guest keeps up. */
	if (outbox->head == outbox->tail) {
		outbox->head = outbox->tail = 0;
		outbox->mergeable = false;
	}
}
