/* SPDX-License-Identifier: BSD-3-Clause */
#include "common/memory/view.h"

#include <errno.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

static size_t round_up(size_t bytes, size_t page_bytes)
{
	return (bytes + page_bytes - 1) / page_bytes * page_bytes;
}

/* Room for the pieces with their pages whole, or 0 when some border is inside a page. */
static size_t room_for(const struct iovec *pieces, size_t n, size_t page_bytes)
{
	size_t bytes = (uintptr_t)pieces[0].iov_base % page_bytes;

	for (size_t i = 0; i < n; i++) {
		if (i && ((uintptr_t)pieces[i].iov_base % page_bytes || bytes % page_bytes))
			return 0;
		bytes += pieces[i].iov_len;
	}
	return round_up(bytes, page_bytes);
}

/* With an old size of 0 a shared mapping is not moved: it is there twice (mremap(2)). */
static int show(struct vhu_view *view, const struct iovec *pieces, size_t n, size_t page_bytes)
{
	char *at = view->base;

	for (size_t i = 0; i < n; i++) {
		size_t lead = (uintptr_t)pieces[i].iov_base % page_bytes;
		size_t bytes = round_up(lead + pieces[i].iov_len, page_bytes);

		if (mremap((char *)pieces[i].iov_base - lead, 0, bytes,
			   MREMAP_MAYMOVE | MREMAP_FIXED, at) == MAP_FAILED)
			return -errno;
		at += bytes;
	}
	return 0;
}

int vhu_view_make(struct vhu_view *view, const struct iovec *pieces, size_t n,
		  atomic_bool *faulted, void **ret_host)
{
	size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);
	struct vhu_view next = { .len_bytes = room_for(pieces, n, page_bytes) };
	int r;

	if (!next.len_bytes)
		return -EINVAL;
	next.base = mmap(NULL, next.len_bytes, PROT_NONE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (next.base == MAP_FAILED)
		return -errno;
	r = show(&next, pieces, n, page_bytes);
	if (r == 0)
		r = vhu_fault_guard(&next.guard, next.base, next.len_bytes, page_bytes, faulted);
	if (r < 0) {
		munmap(next.base, next.len_bytes);
		return r;
	}
	*view = next;
	*ret_host = next.base + (uintptr_t)pieces[0].iov_base % page_bytes;
	return 0;
}

void vhu_view_drop(struct vhu_view *view)
{
	if (!view->base)
		return;
	vhu_fault_unguard(&view->guard);
	munmap(view->base, view->len_bytes);
	*view = (struct vhu_view){ 0 };
}
