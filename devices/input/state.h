/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_DEVICES_INPUT_STATE_H
#define VHU_DEVICES_INPUT_STATE_H

/*
 * Events and what they add up to: which keys are down, where the switches, axes and contacts are.
 * One thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/input.h>

/* The codes of a contact (Linux, multi-touch-protocol): ABS_MT_TOUCH_MAJOR to TOOL_Y. */
#define VHU_INPUT_MT_FIRST ABS_MT_TOUCH_MAJOR
#define VHU_INPUT_MT_CODES (ABS_MT_TOOL_Y - ABS_MT_TOUCH_MAJOR + 1)
#define VHU_INPUT_SLOTS_MAX 64
#define VHU_INPUT_NO_SLOT VHU_INPUT_SLOTS_MAX /* one beyond: its events count for nothing */

struct vhu_input_event {
	uint16_t type;
	uint16_t code;
	int32_t value;
};

struct vhu_input_contact {
	int32_t values[VHU_INPUT_MT_CODES]; /* tracking id -1: none here */
};

struct vhu_input_state {
	uint8_t keys[(KEY_CNT + 7) / 8];
	uint8_t switches[(SW_CNT + 7) / 8];
	int32_t abs[ABS_CNT]; /* those of contacts are not used */
	unsigned slot;	      /* the one that the next event of a contact is of */
	struct vhu_input_contact contacts[VHU_INPUT_SLOTS_MAX];
};

/* Nothing is pressed, no contact, everything else zero: a new device to a driver. */
void vhu_input_state_init(struct vhu_input_state *state);

void vhu_input_state_apply(struct vhu_input_state *state, const struct vhu_input_event *event);

/* Everything up, no contacts; switches and axes as they are. */
void vhu_input_state_release(struct vhu_input_state *state);

bool vhu_input_state_any_key(const struct vhu_input_state *state);
bool vhu_input_state_any_contact(const struct vhu_input_state *state);

/*
 * The events that lead from one to the other, SYN_REPORT last; none when there is no difference.
 * Returns their number, at most VHU_INPUT_REPAIR_MAX.
 */
#define VHU_INPUT_REPAIR_MAX \
	(KEY_CNT + SW_CNT + ABS_CNT + VHU_INPUT_SLOTS_MAX * (VHU_INPUT_MT_CODES + 1) + 2)
size_t vhu_input_state_repair(const struct vhu_input_state *from, const struct vhu_input_state *to,
			      struct vhu_input_event events[VHU_INPUT_REPAIR_MAX]);

#endif
