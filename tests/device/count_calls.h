/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_TESTS_DEVICE_COUNT_CALLS_H
#define VHU_TESTS_DEVICE_COUNT_CALLS_H

/*
 * What a program is preloaded with counts here: calls that allocate or free memory, and calls that
 * may wait for another thread, by worker threads ("vhu-NAME-N") and by all others.
 */

#include <stdatomic.h>
#include <stdint.h>

#define COUNTS_ENV "VHU_COUNTS" /* the file that both map */

struct counts {
	_Atomic uint64_t worker_allocations, worker_locks;
	_Atomic uint64_t other_allocations, other_locks;
};

#endif
