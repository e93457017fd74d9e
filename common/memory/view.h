/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_MEMORY_VIEW_H
#define VHU_MEMORY_VIEW_H

/*
 * Pieces of guest memory that lie apart in our address space, seen in a row: a second mapping of
 * their pages. For what is contiguous to the device but not to us, as a ring behind an IOMMU is.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

#include "common/base/fault.h"

/* Zero-initialised: shows nothing. */
struct vhu_view {
	char *base;
	size_t len_bytes;
	struct vhu_fault_guard guard;
	struct iovec *pieces; /* whole pages */
	size_t n_pieces;
};

/*
 * pieces are parts of mappings of a map. *ret_host is where the first byte is seen. faulted: as
 * for vhu_fault_guard(). -EINVAL when two pieces do not meet at a border of pages, or lie in pages
 * too large for it; or the errno of mmap or mremap.
 */
int vhu_view_make(struct vhu_view *view, const struct iovec *pieces, size_t n,
		  atomic_bool *faulted, void **ret_host);
/*
 * The first piece of what is seen at [at, at + len). False when at is not in the view; else
 * *ret_piece is of the memory behind it, at most len long.
 */
bool vhu_view_behind(const struct vhu_view *view, const void *at, size_t len,
		     struct iovec *ret_piece);
/* When nobody looks at it any more. One that shows nothing is fine. */
void vhu_view_drop(struct vhu_view *view);

#endif
