/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_TESTS_FUZZ_SESSION_DEVICE_H
#define VHU_TESTS_FUZZ_SESSION_DEVICE_H

/*
 * The device of the session target: echoes what it reads, and has all that a device can have. Of
 * each queue it holds a request back until the next event, or until it is to be drained.
 */

#include "common/backend/device.h"

#define N_QUEUES 2
#define STATE_BYTES 100
#define MEMORY_BYTES 0x20000ull

struct fuzz_device {
	struct vhu_device device;
	struct vhu_chain *held[N_QUEUES];
	int drain_fds[N_QUEUES]; /* eventfds */
};

extern int memory_fd; /* of the guest's memory */

void fuzz_device_init(struct fuzz_device *device);

#endif
