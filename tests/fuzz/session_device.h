/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_TESTS_FUZZ_SESSION_DEVICE_H
#define VHU_TESTS_FUZZ_SESSION_DEVICE_H

/* The device of the session target: echoes what it reads, and has all that a device can have. */

#include "common/backend/device.h"

#define N_QUEUES 2
#define STATE_BYTES 100
#define MEMORY_BYTES 0x20000ull

extern const struct vhu_device_ops fuzz_device_ops;
extern int memory_fd; /* of the guest's memory */

#endif
