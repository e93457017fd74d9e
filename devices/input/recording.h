/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_DEVICES_INPUT_RECORDING_H
#define VHU_DEVICES_INPUT_RECORDING_H

/*
 * What a device is and what it did, in the form of evemu: lines that begin with N: (name), I:
 * (ids), P: (properties), B: (codes), A: (axes), S: (a switch at the start), L: (an LED, not used),
 * E: (an event), or #.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "devices/input/ident.h"
#include "devices/input/state.h"

#define VHU_INPUT_LINE_MAX 1024 /* with its end */

struct vhu_input_timed_event {
	uint64_t time_ns; /* from wherever the recording counts */
	struct vhu_input_event event;
};

struct vhu_input_recording {
	struct vhu_input_ident ident;
	struct vhu_input_state state; /* at the start */
	struct vhu_input_timed_event *events;
	size_t n;
};

/* Says what is wrong, with the line's number. Nothing is left behind on an error. */
int vhu_input_recording_read(const char *path, struct vhu_input_recording *ret_recording);
void vhu_input_recording_free(struct vhu_input_recording *recording);

/*
 * One line, without its end. 1: an event; 0: no event, but right where it stands; -EINVAL: neither,
 * and *ret_why is a constant text.
 */
int vhu_input_parse_event(const char *line, struct vhu_input_timed_event *ret_event,
			  const char **ret_why);

#endif
