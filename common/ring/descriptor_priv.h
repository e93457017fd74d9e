/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_RING_DESCRIPTOR_PRIV_H
#define VHU_RING_DESCRIPTOR_PRIV_H

/*
 * From descriptors to the segments of a chain, for every layout: order, translation, merging and
 * sums. The layout hands over what each descriptor, read once, says.
 */

#include "common/ring/table_priv.h"

/* A chain while its descriptors are read. */
struct vhu_gather {
	struct vhu_chain *chain;
	struct iovec *iov;
	uint32_t n;
	uint32_t max;	/* room at iov */
	uint32_t first; /* of the part at work: readable or writable */
	bool writable;	/* the writable part has begun */
	uint64_t bytes;
	uint64_t readable_bytes; /* once the writable part has begun */
};

static inline void gather_begin(struct vhu_gather *g, struct vhu_chain *chain)
{
	*g = (struct vhu_gather){
		.chain = chain,
		.iov = chain->inline_iov,
		.max = VHU_CHAIN_INLINE,
	};
}

/*
 * Takes in the segment that was written to iov[n]. One that touches the last one makes it longer:
 * the device may not rely on the framing (virtio 1.3, 2.6.4).
 */
static inline void gather_take(struct vhu_gather *g)
{
	const struct iovec *piece = &g->iov[g->n];

	if (g->n > g->first) {
		struct iovec *last = &g->iov[g->n - 1];

		if ((char *)last->iov_base + last->iov_len == piece->iov_base) {
			last->iov_len += piece->iov_len;
			return;
		}
	}
	g->n++;
}

/*
 * For what the cache does not have (which is empty behind an IOMMU) or finds no room. Returns 0;
 * -EINVAL: malformed; -EAGAIN: q->missed.
 */
int vhu_gather_pieces(struct vhu_virtqueue *q, struct vhu_gather *g, uint64_t gpa, uint32_t len);

/*
 * Returns as vhu_gather_pieces(). An empty buffer is none, wherever it lies: no rule forbids
 * it.
 */
static inline int gather_add(struct vhu_virtqueue *q, struct vhu_gather *g, uint64_t gpa,
			     uint32_t len, bool writable)
{
	struct vhu_gather copy;
	char *host;
	int err;

	if (writable != g->writable) {
		if (!writable)
			return chain_malformed(q, "a readable buffer after a writable one");
		g->writable = true;
		g->first = g->n;
		g->readable_bytes = g->bytes;
	}
	g->bytes += len;
	host = vhu_memory_cached(&q->cache, gpa, len);
	if (!host || !len || g->n == g->max) {
		copy = *g; /* so that *g itself can live in registers */
		err = vhu_gather_pieces(q, &copy, gpa, len);
		*g = copy;
		return err;
	}
	g->iov[g->n] = (struct iovec){ .iov_base = host, .iov_len = len };
	gather_take(g);
	return 0;
}

/*
 * Completes the chain. virtio 1.3, 2.7.5.2: no more than 2^32 bytes in total; and what the device
 * can write has to fit the used length. The sums cannot overflow: 2^16 lengths of 32 bits at most.
 */
static inline int gather_end(struct vhu_virtqueue *q, struct vhu_gather *g)
{
	struct vhu_chain *chain = g->chain;
	uint64_t readable_bytes = g->writable ? g->readable_bytes : g->bytes;

	if (g->bytes > 1ull << 32 || g->bytes - readable_bytes > UINT32_MAX)
		return chain_malformed(q, "more than 4 GiB in one chain");
	chain->iov = g->iov;
	chain->n_readable = g->writable ? g->first : g->n;
	chain->n_writable = g->n - chain->n_readable;
	chain->readable_bytes = readable_bytes;
	chain->writable_bytes = g->bytes - readable_bytes;
	return 0;
}

#endif
