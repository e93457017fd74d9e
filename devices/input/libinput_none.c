/* SPDX-License-Identifier: BSD-3-Clause */
#include "devices/input/seat_priv.h"

#include <errno.h>

int vhu_libinput_new(struct vhu_input_seat *seat, const char *name,
		     struct vhu_libinput **ret_libinput)
{
	(void)seat;
	(void)name;
	(void)ret_libinput;
	return -EOPNOTSUPP;
}

void vhu_libinput_free(struct vhu_libinput *libinput)
{
	(void)libinput;
}

int vhu_libinput_fd(const struct vhu_libinput *libinput)
{
	(void)libinput;
	return -1;
}

int vhu_libinput_dispatch(struct vhu_libinput *libinput)
{
	(void)libinput;
	return -EOPNOTSUPP;
}

int vhu_libinput_seat_of(const char *path, char ret_name[VHU_INPUT_TEXT_MAX])
{
	(void)path;
	(void)ret_name;
	return -EOPNOTSUPP;
}
