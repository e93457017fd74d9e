/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_DEVICES_INPUT_NODE_H
#define VHU_DEVICES_INPUT_NODE_H

/* Event devices by their paths. */

#include <stdbool.h>

#include "devices/input/evdev.h"

#define VHU_INPUT_NODES "/dev/input"

/*
 * Says nothing. -ENOTTY: it is there and no event device (it is not opened then, lest that does
 * something). Who may only read it gets it without LEDs.
 */
int vhu_input_node_open(const char *path, struct vhu_evdev **ret_evdev);
/* Why that failed with r, and what can be done, as an error in the log. */
void vhu_input_node_explain(const char *path, int r);

/* Calls fn for each path of an event device, in the order of their numbers, until it is true. */
void vhu_input_node_each(bool (*fn)(const char *path, void *data), void *data);

#endif
