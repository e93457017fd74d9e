/* SPDX-License-Identifier: BSD-3-Clause */
#include "devices/input/state.h"

#include <string.h>

#define TRACKING_ID (ABS_MT_TRACKING_ID - VHU_INPUT_MT_FIRST)

void vhu_input_state_init(struct vhu_input_state *state)
{
	memset(state, 0, sizeof(*state));
	for (unsigned i = 0; i < VHU_INPUT_SLOTS_MAX; i++)
		state->contacts[i].values[TRACKING_ID] = -1;
}

static bool get_bit(const uint8_t *bits, unsigned i)
{
	return bits[i / 8] >> i % 8 & 1;
}

static void put_bit(uint8_t *bits, unsigned i, bool on)
{
	if (on)
		bits[i / 8] |= (uint8_t)(1u << i % 8);
	else
		bits[i / 8] &= (uint8_t) ~(1u << i % 8);
}

static bool is_of_contact(unsigned code)
{
	return code >= VHU_INPUT_MT_FIRST && code < VHU_INPUT_MT_FIRST + VHU_INPUT_MT_CODES;
}

static void apply_abs(struct vhu_input_state *state, const struct vhu_input_event *event)
{
	if (event->code == ABS_MT_SLOT) {
		bool is_slot = event->value >= 0 && event->value < VHU_INPUT_SLOTS_MAX;

		state->slot = is_slot ? (unsigned)event->value : VHU_INPUT_NO_SLOT;
	} else if (is_of_contact(event->code)) {
		if (state->slot != VHU_INPUT_NO_SLOT)
			state->contacts[state->slot].values[event->code - VHU_INPUT_MT_FIRST] =
				event->value;
	} else if (event->code < ABS_CNT) {
		state->abs[event->code] = event->value;
	}
}

void vhu_input_state_apply(struct vhu_input_state *state, const struct vhu_input_event *event)
{
	if (event->type == EV_KEY && event->code < KEY_CNT)
		put_bit(state->keys, event->code, event->value);
	else if (event->type == EV_SW && event->code < SW_CNT)
		put_bit(state->switches, event->code, event->value);
	else if (event->type == EV_ABS)
		apply_abs(state, event);
}

void vhu_input_state_release(struct vhu_input_state *state)
{
	memset(state->keys, 0, sizeof(state->keys));
	for (unsigned i = 0; i < VHU_INPUT_SLOTS_MAX; i++)
		state->contacts[i].values[TRACKING_ID] = -1;
}

bool vhu_input_state_any_key(const struct vhu_input_state *state)
{
	for (size_t i = 0; i < sizeof(state->keys); i++)
		if (state->keys[i])
			return true;
	return false;
}

bool vhu_input_state_any_contact(const struct vhu_input_state *state)
{
	for (unsigned i = 0; i < VHU_INPUT_SLOTS_MAX; i++)
		if (state->contacts[i].values[TRACKING_ID] >= 0)
			return true;
	return false;
}

struct repair {
	struct vhu_input_event *events;
	size_t n;
};

static void add(struct repair *repair, uint16_t type, unsigned code, int32_t value)
{
	repair->events[repair->n++] = (struct vhu_input_event){ type, (uint16_t)code, value };
}

static void repair_bits(struct repair *repair, uint16_t type, const uint8_t *from,
			const uint8_t *to, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (get_bit(from, i) != get_bit(to, i))
			add(repair, type, i, get_bit(to, i));
}

static void repair_axes(struct repair *repair, const int32_t *from, const int32_t *to)
{
	for (unsigned i = 0; i < ABS_CNT; i++)
		if (from[i] != to[i] && i != ABS_MT_SLOT && !is_of_contact(i))
			add(repair, EV_ABS, i, to[i]);
}

/*
 * The values of a slot without a contact count, too: the next contact there says only what is new.
 * A contact's id comes before its values when it begins, and after them when it ends.
 */
static void repair_contact(struct repair *repair, const struct vhu_input_contact *from,
			   const struct vhu_input_contact *to)
{
	int32_t id = to->values[TRACKING_ID];
	bool new_id = from->values[TRACKING_ID] != id;

	if (new_id && id >= 0)
		add(repair, EV_ABS, ABS_MT_TRACKING_ID, id);
	for (unsigned i = 0; i < VHU_INPUT_MT_CODES; i++)
		if (i != TRACKING_ID && from->values[i] != to->values[i])
			add(repair, EV_ABS, VHU_INPUT_MT_FIRST + i, to->values[i]);
	if (new_id && id < 0)
		add(repair, EV_ABS, ABS_MT_TRACKING_ID, id);
}

static void repair_contacts(struct repair *repair, const struct vhu_input_state *from,
			    const struct vhu_input_state *to)
{
	unsigned slot = from->slot;

	for (unsigned i = 0; i < VHU_INPUT_SLOTS_MAX; i++) {
		if (!memcmp(&from->contacts[i], &to->contacts[i], sizeof(from->contacts[i])))
			continue;
		if (i != slot)
			add(repair, EV_ABS, ABS_MT_SLOT, (int32_t)i);
		repair_contact(repair, &from->contacts[i], &to->contacts[i]);
		slot = i;
	}
	if (slot != to->slot && to->slot != VHU_INPUT_NO_SLOT)
		add(repair, EV_ABS, ABS_MT_SLOT, (int32_t)to->slot);
}

size_t vhu_input_state_repair(const struct vhu_input_state *from, const struct vhu_input_state *to,
			      struct vhu_input_event events[VHU_INPUT_REPAIR_MAX])
{
	struct repair repair = { .events = events };

	repair_bits(&repair, EV_SW, from->switches, to->switches, SW_CNT);
	repair_axes(&repair, from->abs, to->abs);
	repair_contacts(&repair, from, to);
	repair_bits(&repair, EV_KEY, from->keys, to->keys, KEY_CNT);
	if (repair.n)
		add(&repair, EV_SYN, SYN_REPORT, 0);
	return repair.n;
}
