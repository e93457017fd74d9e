/* SPDX-License-Identifier: BSD-3-Clause */
#include "devices/input/evdev.h"

#include <errno.h>

int vhu_evdev_new(int fd, struct vhu_evdev **ret_evdev)
{
	(void)fd;
	(void)ret_evdev;
	return -EOPNOTSUPP;
}

void vhu_evdev_free(struct vhu_evdev *evdev)
{
	(void)evdev;
}

int vhu_evdev_fd(const struct vhu_evdev *evdev)
{
	(void)evdev;
	return -1;
}

void vhu_evdev_ident(const struct vhu_evdev *evdev, struct vhu_input_ident *ret_ident)
{
	(void)evdev;
	(void)ret_ident;
}

void vhu_evdev_state(const struct vhu_evdev *evdev, struct vhu_input_state *ret_state)
{
	(void)evdev;
	(void)ret_state;
}

int vhu_evdev_next(struct vhu_evdev *evdev, struct vhu_input_event *ret_event,
		   uint64_t *ret_time_ns)
{
	(void)evdev;
	(void)ret_event;
	(void)ret_time_ns;
	return -ENODEV;
}

int vhu_evdev_grab(struct vhu_evdev *evdev, bool on)
{
	(void)evdev;
	(void)on;
	return -ENODEV;
}

void vhu_evdev_write(struct vhu_evdev *evdev, unsigned type, unsigned code, int32_t value)
{
	(void)evdev;
	(void)type;
	(void)code;
	(void)value;
}
