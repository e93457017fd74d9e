/* SPDX-License-Identifier: BSD-3-Clause */
#include "devices/gpu/backing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/num.h"
#include "common/memory/map.h"

/* Pieces that a range can have: it crosses each border of two regions once. */
#define PIECES_MAX (VHU_MEMORY_SLOTS + 1)

struct pieces {
	struct iovec *iov;
	unsigned n, max;
};

static int append(struct pieces *pieces, const struct iovec *piece)
{
	struct iovec *last = pieces->n ? &pieces->iov[pieces->n - 1] : NULL;

	if (last && (char *)last->iov_base + last->iov_len == piece->iov_base) {
		last->iov_len += piece->iov_len;
		return 0;
	}
	if (pieces->n == pieces->max) {
		unsigned max = pieces->max ? 2 * pieces->max : 16;
		struct iovec *iov = reallocarray(pieces->iov, max, sizeof(*iov));

		if (!iov)
			return -ENOMEM;
		pieces->iov = iov;
		pieces->max = max;
	}
	pieces->iov[pieces->n++] = *piece;
	return 0;
}

void vhu_gpu_backing_resolve(struct vhu_gpu_backing *backing, const struct vhu_memory *memory)
{
	struct vhu_memory_cache cache = { 0 };
	struct pieces pieces = { 0 };
	struct iovec some[PIECES_MAX];
	int r = 0;

	free(backing->iov);
	backing->iov = NULL;
	backing->n_iov = 0;
	for (unsigned i = 0; i < backing->n_ranges && r >= 0; i++) {
		const struct vhu_gpu_range *range = &backing->ranges[i];
		int n = memory ? vhu_memory_translate(memory, &cache, range->gpa, range->bytes,
						      some, PIECES_MAX) : -EFAULT;

		r = n < 0 ? n : 0;
		for (int k = 0; k < n && r == 0; k++)
			r = append(&pieces, &some[k]);
	}
	if (r < 0) {
		free(pieces.iov);
		return;
	}
	backing->iov = pieces.iov;
	backing->n_iov = pieces.n;
}

int vhu_gpu_backing_init(struct vhu_gpu_backing *backing, const struct vhu_gpu_range *ranges,
			 unsigned n, const struct vhu_memory *memory)
{
	struct vhu_gpu_range *copy = reallocarray(NULL, n, sizeof(*ranges));

	if (!copy)
		return -ENOMEM;
	memcpy(copy, ranges, n * sizeof(*ranges));
	*backing = (struct vhu_gpu_backing){ .ranges = copy, .n_ranges = n };
	/* Each is below 4 GiB, and there are few: no overflow. */
	for (unsigned i = 0; i < n; i++)
		backing->bytes += ranges[i].bytes;
	vhu_gpu_backing_resolve(backing, memory);
	return 0;
}

void vhu_gpu_backing_finish(struct vhu_gpu_backing *backing)
{
	free(backing->ranges);
	free(backing->iov);
	*backing = (struct vhu_gpu_backing){ 0 };
}
