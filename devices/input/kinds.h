/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_DEVICES_INPUT_KINDS_H
#define VHU_DEVICES_INPUT_KINDS_H

/*
 * The devices that a seat or a stream shows. A driver reads what a device has only once, so each
 * has all that its kind can have, and outlives the real ones.
 */

#include "devices/input/ident.h"
#include "devices/input/input.h"

/* Contacts at once. */
#define VHU_INPUT_KIND_SLOTS 16
/* Largest values; the smallest is 0 where nothing else is said. */
#define VHU_INPUT_XY_MAX 32767
#define VHU_INPUT_PRESSURE_MAX 8191
#define VHU_INPUT_DISTANCE_MAX 1023
#define VHU_INPUT_WHEEL_MAX 1023  /* ABS_WHEEL: of an airbrush, and the ring of a pad */
#define VHU_INPUT_TILT_MAX 90	  /* and -90, in degrees */
#define VHU_INPUT_ROTATION_MIN (-900)
#define VHU_INPUT_ROTATION_MAX 899
#define VHU_INPUT_STRIP_BITS 12 /* a strip of a pad has one bit for each place */
#define VHU_INPUT_PAD_BUTTONS 16

/* kinds: mask of 1 << enum vhu_input_kind, not 0. */
void vhu_input_kinds_ident(unsigned kinds, struct vhu_input_ident *ret_ident);

/* Of which kinds a device is, as udev and libinput see it; 0: of no kind (a joystick, a beeper). */
unsigned vhu_input_kinds_of(const struct vhu_input_ident *ident);

/* The key code of a pad's button, counted from 0 to VHU_INPUT_PAD_BUTTONS - 1. */
uint16_t vhu_input_pad_button(unsigned number);

#endif
