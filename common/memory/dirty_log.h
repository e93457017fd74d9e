/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_MEMORY_DIRTY_LOG_H
#define VHU_MEMORY_DIRTY_LOG_H

/*
 * The front-end's log of the pages that we wrote, a bit each, which it clears as it copies them to
 * where the guest migrates (vhost-user, Migration). It travels with the memory map: who writes
 * looks at the map it has. A write is marked after it was made, so that a page that is copied
 * between the two is copied again.
 *
 * A log never changes once it is made; references are atomic: any thread.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "common/base/fd.h"
#include "common/memory/map.h"

#define VHU_LOG_PAGE_BYTES 4096 /* VHOST_LOG_PAGE, whatever the pages of host and guest */

struct vhu_dirty_log {
	atomic_uint refs;
	struct vhu_mapping *mapping; /* a reference */
	uint8_t *bits;
	uint64_t size_bytes;
	struct vhu_notifier changed; /* signalled when a bit is newly set; its fd is owned */
};

/*
 * SET_LOG_BASE: size bytes at offset of fd. changed_fd is an eventfd, or -1. Both are borrowed and
 * not kept. -EINVAL, -ERANGE and others as vhu_mapping_new(); -EINVAL when changed_fd is no
 * eventfd.
 */
int vhu_dirty_log_new(int fd, uint64_t size, uint64_t offset, int changed_fd,
		      struct vhu_memory_health *health, struct vhu_dirty_log **ret_log);
/* SET_LOG_FD: the same log with another eventfd. */
int vhu_dirty_log_with_fd(const struct vhu_dirty_log *log, int changed_fd,
			  struct vhu_dirty_log **ret_log);
struct vhu_dirty_log *vhu_dirty_log_ref(struct vhu_dirty_log *log);
void vhu_dirty_log_unref(struct vhu_dirty_log *log); /* NULL is fine */

/* Has the log a bit for each page of guest physical [gpa, gpa + len)? */
bool vhu_dirty_log_covers(const struct vhu_dirty_log *log, uint64_t gpa, uint64_t len);

/*
 * Only with memory->log: marks guest physical [gpa, gpa + len), or where in guest memory the pieces
 * lie, which are ours. A log too small for it is noted in the map's health: the session must end.
 */
void vhu_memory_mark_range(const struct vhu_memory *memory, uint64_t gpa, uint64_t len);
void vhu_memory_mark_pieces(const struct vhu_memory *memory, const struct iovec *iov, size_t n);

/* For devices: what they have just written outside of a chain's writable part. */
static inline void vhu_memory_mark(const struct vhu_memory *memory, uint64_t gpa, uint64_t len)
{
	if (memory->log)
		vhu_memory_mark_range(memory, gpa, len);
}

#endif
