/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_BASE_FAULT_H
#define VHU_BASE_FAULT_H

/*
 * SIGBUS on a mapping whose file was cut short, or whose hole could not be filled. An access to a
 * guarded range that faults gets an anonymous page of zeros in place of the missing one, so that
 * the instruction can end, and the guard's flag is set: whoever copied looks at the flag after the
 * copy and throws the result away. A SIGBUS anywhere else kills the process as if there were no
 * handler.
 *
 * The registry is the process's, not a thread's: a mapping is used by every worker. A thread that
 * touches one must not block SIGBUS: the kernel kills who faults with it blocked.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/* Zero-initialised: guards nothing. */
struct vhu_fault_guard {
	unsigned number; /* the registry's */
};

/*
 * Installs the handler for the process unless it is there. Faults that are not ours go on to the
 * handler that was there before. Returns 0 or negative errno.
 */
int vhu_fault_init(void);

/*
 * Guards [base, base + len_bytes). base is aligned to page_bytes, the page size of the mapping:
 * larger than the system's for huge pages, which can only be replaced whole. faulted is borrowed
 * and outlives the guard. Any thread. Installs the handler too. Returns 0, -ENOSPC
 * when VHU_FAULT_MAX ranges are guarded already, or another negative errno.
 */
#define VHU_FAULT_MAX 65536
int vhu_fault_guard(struct vhu_fault_guard *guard, void *base, size_t len_bytes, size_t page_bytes,
		    atomic_bool *faulted);
/* Before the range is unmapped, when no thread can touch it any more. */
void vhu_fault_unguard(struct vhu_fault_guard *guard);

#endif
