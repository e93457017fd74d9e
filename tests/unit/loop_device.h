/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_UNIT_LOOP_DEVICE_H
#define TESTS_UNIT_LOOP_DEVICE_H

#include <fcntl.h>
#include <linux/loop.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/*
 * A loop device with blocks of 4096 bytes over fd, which goes when it is closed; its path to
 * ret_path unless that is NULL. -1 where there are none to be had.
 */
static inline int loop_over(int fd, char ret_path[32])
{
	struct loop_config config = { .fd = (uint32_t)fd, .block_size = 4096 };
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC), number, loop = -1;
	char path[32];

	config.info.lo_flags = LO_FLAGS_AUTOCLEAR;
	/* Another test may be quicker with the number. */
	for (int tries = 0; control >= 0 && loop < 0 && tries < 10; tries++) {
		number = ioctl(control, LOOP_CTL_GET_FREE);
		snprintf(path, sizeof(path), "/dev/loop%d", number);
		loop = number < 0 ? -1 : open(path, O_RDWR | O_CLOEXEC);
		if (loop >= 0 && ioctl(loop, LOOP_CONFIGURE, &config) < 0) {
			close(loop);
			loop = -1;
		}
	}
	if (control >= 0)
		close(control);
	if (loop >= 0 && ret_path)
		memcpy(ret_path, path, sizeof(path));
	return loop;
}

#endif
