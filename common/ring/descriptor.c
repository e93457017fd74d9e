/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include "common/base/iov.h"
#include "common/base/num.h"
#include "common/ring/descriptor_priv.h"

/* A miss is for pop to tell; anything else makes the chain malformed. */
static int untranslated(struct vhu_virtqueue *q, int error, const char *why)
{
	if (error == -EAGAIN)
		return error;
	return chain_malformed(q, error == -EACCES ? "an access that the IOMMU denies" : why);
}

int vhu_table_open(struct vhu_virtqueue *q, uint64_t gpa, uint32_t len, struct table *ret_table)
{
	struct iovec whole;
	int n;

	if (!q->indirect)
		return chain_malformed(q, "an indirect table that was not negotiated");
	if (!len || len % DESCRIPTOR_BYTES)
		return chain_malformed(q, "an indirect table of an odd length");
	if (len / DESCRIPTOR_BYTES > q->max_chain)
		return chain_malformed(q, "an indirect table that is too long");
	n = vhu_ring_translate(q, gpa, len, VHU_ACCESS_READ, &whole, 1);
	if (n < 0 && n != -E2BIG)
		return untranslated(q, n, "an indirect table outside guest memory");
	*ret_table = (struct table){
		.host = n == 1 ? whole.iov_base : NULL,
		.gpa = gpa,
		.count = len / DESCRIPTOR_BYTES,
		.indirect = true,
	};
	return 0;
}

int vhu_table_fetch_pieces(struct vhu_virtqueue *q, const struct table *table, uint32_t i,
			   void *ret_descriptor)
{
	struct iovec pieces[DESCRIPTOR_BYTES];
	struct vhu_iov_cursor cursor;
	int n;

	n = vhu_ring_translate(q, table->gpa + (uint64_t)i * DESCRIPTOR_BYTES, DESCRIPTOR_BYTES,
			       VHU_ACCESS_READ, pieces, ARRAY_SIZE(pieces));
	if (n < 0)
		return untranslated(q, n, "an indirect table outside guest memory");
	vhu_iov_cursor_init(&cursor, pieces, (size_t)n);
	vhu_iov_read(&cursor, ret_descriptor, DESCRIPTOR_BYTES);
	return 0;
}

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
	uint8_t access = g->writable ? VHU_ACCESS_WRITE : VHU_ACCESS_READ;
	const struct iovec *pieces;
	int n;

	do {
		pieces = &g->iov[g->n];
		n = vhu_ring_translate(q, gpa, len, access, &g->iov[g->n], g->max - g->n);
	} while (n == -E2BIG && gather_grow(q, g));
	if (n == -E2BIG)
		return chain_malformed(q, "too many segments in one chain");
	if (n < 0)
		return untranslated(q, n, "a buffer outside guest memory");
	for (int i = 0; i < n; i++) {
		g->iov[g->n] = pieces[i];
		gather_take(g);
	}
	return 0;
}
