/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_DEVICES_INPUT_IDENT_H
#define VHU_DEVICES_INPUT_IDENT_H

/*
 * What a device says of itself: constant, since a guest reads it once. From it comes the config
 * space (virtio 1.3, 5.8.4).
 */

#include <stdbool.h>
#include <stdint.h>

#include <linux/input.h>
#include <linux/virtio_input.h>

#define VHU_INPUT_TEXT_MAX 128 /* without a NUL */

struct vhu_input_ident {
	char name[VHU_INPUT_TEXT_MAX + 1];
	char serial[VHU_INPUT_TEXT_MAX + 1];
	struct input_id ids;
	uint8_t props[(INPUT_PROP_CNT + 7) / 8];
	uint8_t codes[EV_CNT][(KEY_CNT + 7) / 8]; /* by event type */
	struct input_absinfo abs[ABS_CNT];	  /* value is not used */
};

void vhu_input_ident_add(struct vhu_input_ident *ident, unsigned type, unsigned code);
void vhu_input_ident_remove(struct vhu_input_ident *ident, unsigned type, unsigned code);
/* false also for what is out of range. */
bool vhu_input_ident_has(const struct vhu_input_ident *ident, unsigned type, unsigned code);

/* Contacts at once: of ABS_MT_SLOT; 0: it has none. */
unsigned vhu_input_ident_slots(const struct vhu_input_ident *ident);

/* Are they the same device: what a device that comes back is known by. */
bool vhu_input_ident_same(const struct vhu_input_ident *a, const struct vhu_input_ident *b);

/* The config space when the driver has written select and subsel. */
void vhu_input_ident_answer(const struct vhu_input_ident *ident, uint8_t select, uint8_t subsel,
			    struct virtio_input_config *ret_config);

#endif
