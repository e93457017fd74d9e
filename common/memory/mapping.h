/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_MEMORY_MAPPING_H
#define VHU_MEMORY_MAPPING_H

/*
 * A part of a file that the front-end passed, mapped to be shared with it. The file is the peer's
 * and may be cut short at any time: a fault sets a flag instead of ending the program. References
 * are atomic; everything else is read-only: any thread.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/fault.h"

/* Of all that one session has mapped. */
struct vhu_memory_health {
	atomic_uint refs;
	atomic_bool faulted;  /* what was read is not to be trusted, and the session must end */
	atomic_bool unlogged; /* the same, since the dirty log was too small for a write */
	atomic_bool partial;  /* pages may be missing still: see userfault.h */
	bool keeps_files;     /* of regions, open; set before there is any */
};

int vhu_memory_health_new(struct vhu_memory_health **ret_health);
struct vhu_memory_health *vhu_memory_health_ref(struct vhu_memory_health *health);
void vhu_memory_health_unref(struct vhu_memory_health *health);

struct vhu_mapping {
	atomic_uint refs;
	char *host; /* the byte at the offset that was asked for */
	char *base; /* and the start of its page */
	size_t len_bytes;
	uint64_t offset; /* of host, in the file */
	int fd;		 /* a copy of the file's, where that is kept; else -1 */
	struct vhu_fault_guard guard;
	struct vhu_memory_health *health; /* a reference */
};

/*
 * Maps [offset, offset + size) of fd, which is borrowed and not kept. -EINVAL: size 0 or a sum that
 * overflows; -ERANGE: the file is shorter than that; or the errno of fstat or mmap.
 */
int vhu_mapping_new(int fd, uint64_t offset, uint64_t size, struct vhu_memory_health *health,
		    struct vhu_mapping **ret_mapping);
struct vhu_mapping *vhu_mapping_ref(struct vhu_mapping *mapping);
void vhu_mapping_unref(struct vhu_mapping *mapping);

#endif
