/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include "common/ring/descriptor_priv.h"

/* Moves on to the queue's overflow area. False when it is in use already: the chain is too long. */
static bool gather_grow(const struct vhu_virtqueue *q, struct vhu_gather *g)
{
	struct iovec *more = q->overflow + (size_t)g->chain->slot * q->max_segments;

	if (g->iov == more)
		return false;
	memcpy(more, g->iov, g->n * sizeof(*more));
	g->iov = more;
	g->max = q->max_segments;
	return true;
}

int vhu_gather_pieces(struct vhu_virtqueue *q, struct vhu_gather *g, uint64_t gpa, uint32_t len)
{
	const struct iovec *pieces;
	int n;

	do {
		pieces = &g->iov[g->n];
		n = vhu_memory_translate(q->memory, &q->cache, gpa, len, &g->iov[g->n],
					 g->max - g->n);
	} while (n == -E2BIG && gather_grow(q, g));
	if (n == -E2BIG)
		return chain_malformed(q, "too many segments in one chain");
	if (n < 0)
		return chain_malformed(q, "a buffer outside guest memory");
	for (int i = 0; i < n; i++) {
		g->iov[g->n] = pieces[i];
		gather_take(g);
	}
	return 0;
}
