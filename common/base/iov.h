/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_BASE_IOV_H
#define VHU_BASE_IOV_H

/* A cursor over an array of iovecs. The array and its memory are borrowed. One thread. */

#include <stddef.h>
#include <sys/uio.h>

struct vhu_iov_cursor {
	const struct iovec *iov; /* the current element */
	size_t n;		 /* elements left, the current one included */
	size_t offset;		 /* bytes of the current element already passed */
	size_t left;		 /* bytes left in all */
};

/* The caller has made sure that the lengths do not overflow size_t when summed. */
void vhu_iov_cursor_init(struct vhu_iov_cursor *c, const struct iovec *iov, size_t n);

/* Copy up to len bytes out of or into the iovecs and move on. Return the bytes copied. */
size_t vhu_iov_read(struct vhu_iov_cursor *c, void *buf, size_t len);
size_t vhu_iov_write(struct vhu_iov_cursor *c, const void *buf, size_t len);
size_t vhu_iov_fill(struct vhu_iov_cursor *c, int byte, size_t len);
size_t vhu_iov_skip(struct vhu_iov_cursor *c, size_t len);

/*
 * Moves past the next len bytes and describes them in out (at most max elements, adjacent ones
 * merged). Returns the elements used, or -EINVAL when len bytes are not there, -E2BIG when max is
 * too small; on error the cursor has not moved.
 */
int vhu_iov_take(struct vhu_iov_cursor *c, size_t len, struct iovec *out, size_t max);

size_t vhu_iov_length(const struct iovec *iov, size_t n);

#endif
