/* SPDX-License-Identifier: BSD-3-Clause */
#include "common/memory/view.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/base/num.h"

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
static int show(struct vhu_view *view)
{
	char *at = view->base;

	for (size_t i = 0; i < view->n_pieces; at += view->pieces[i++].iov_len)
		if (mremap(view->pieces[i].iov_base, 0, view->pieces[i].iov_len,
			   MREMAP_MAYMOVE | MREMAP_FIXED, at) == MAP_FAILED)
			return -errno;
	return 0;
}

static int copy_pieces(struct vhu_view *view, const struct iovec *pieces, size_t n,
		       size_t page_bytes)
{
	view->pieces = calloc(n, sizeof(*pieces));
	if (!view->pieces)
		return -ENOMEM;
	for (; view->n_pieces < n; view->n_pieces++) {
		const struct iovec *piece = &pieces[view->n_pieces];
		size_t lead = (uintptr_t)piece->iov_base % page_bytes;

		view->pieces[view->n_pieces] = (struct iovec){
			.iov_base = (char *)piece->iov_base - lead,
			.iov_len = round_up(lead + piece->iov_len, page_bytes),
		};
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
	r = copy_pieces(&next, pieces, n, page_bytes);
	if (r == 0)
		r = show(&next);
	if (r == 0)
		r = vhu_fault_guard(&next.guard, next.base, next.len_bytes, page_bytes, faulted);
	if (r < 0) {
		vhu_view_drop(&next);
		return r;
	}
	*view = next;
	*ret_host = next.base + (uintptr_t)pieces[0].iov_base % page_bytes;
	return 0;
}

bool vhu_view_behind(const struct vhu_view *view, const void *at, size_t len,
		     struct iovec *ret_piece)
{
	uintptr_t offset = (uintptr_t)at - (uintptr_t)view->base;
	size_t i = 0;

	if (!view->base || offset >= view->len_bytes)
		return false;
	while (offset >= view->pieces[i].iov_len)
		offset -= view->pieces[i++].iov_len;
	*ret_piece = (struct iovec){
		.iov_base = (char *)view->pieces[i].iov_base + offset,
		.iov_len = min_u64(len, view->pieces[i].iov_len - offset),
	};
	return true;
}

void vhu_view_drop(struct vhu_view *view)
{
	if (!view->base)
		return;
	vhu_fault_unguard(&view->guard);
	munmap(view->base, view->len_bytes);
	free(view->pieces);
	*view = (struct vhu_view){ 0 };
}
