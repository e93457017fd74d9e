/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_DEVICES_INPUT_EVDEV_H
#define VHU_DEVICES_INPUT_EVDEV_H

/* One event device of the kernel, by libevdev. Without it there is none: -EOPNOTSUPP. */

#include <stdbool.h>
#include <stdint.h>

#include "devices/input/ident.h"
#include "devices/input/state.h"

struct vhu_evdev;

/* Takes fd, which is non-blocking, on 0. -ENOTTY: it is no event device. */
int vhu_evdev_new(int fd, struct vhu_evdev **ret_evdev);
/* What it was grabbed for goes back. NULL is fine. */
void vhu_evdev_free(struct vhu_evdev *evdev);
int vhu_evdev_fd(const struct vhu_evdev *evdev);

/*
 * Contacts of devices that do not number them (Linux, multi-touch-protocol, type A) are left out,
 * since their packets cannot be repaired; such a device also has a pointer.
 */
void vhu_evdev_ident(const struct vhu_evdev *evdev, struct vhu_input_ident *ret_ident);
void vhu_evdev_state(const struct vhu_evdev *evdev, struct vhu_input_state *ret_state);

/*
 * The next event; -EAGAIN: none now; -ENODEV and others: the device has gone. Where the kernel had
 * to drop events, those that lead to how things are now take their place, SYN_REPORT at the end.
 */
int vhu_evdev_next(struct vhu_evdev *evdev, struct vhu_input_event *ret_event,
		   uint64_t *ret_time_ns);

/* Nobody else gets events. LEDs, sounds and the repeat are put back when it ends. */
int vhu_evdev_grab(struct vhu_evdev *evdev, bool on);
/* EV_LED, EV_SND, EV_REP. */
void vhu_evdev_write(struct vhu_evdev *evdev, unsigned type, unsigned code, int32_t value);

#endif
