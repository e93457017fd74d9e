/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_RING_CHAIN_H
#define VHU_RING_CHAIN_H

/*
 * One request of the driver: a chain of descriptors, checked and translated. First what the device
 * reads, then what it may write (virtio 1.3, 2.7.4.2).
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "common/base/iov.h"

/* Segments that a chain holds without the queue's overflow area. */
#define VHU_CHAIN_INLINE 8

struct vhu_chain {
	uint16_t head; /* what is pushed back: the first descriptor; packed: the buffer id */
	uint16_t slot; /* 0 .. queue size - 1, unique among the chains in flight: index for a
			  device's own per-request array */
	uint32_t n_readable;
	uint32_t n_writable;
	uint16_t span;	/* packed: descriptors of the ring that it takes */
	uint16_t turn;	/* with IN_ORDER: when it was popped */
	uint16_t entry; /* packed: where the in-flight record has it */
	uint16_t next_place; /* where the queue stood when it was popped */
	bool again;	/* it was in flight when the ring started */
	size_t readable_bytes;
	size_t writable_bytes;
	struct iovec *iov;	/* readable first, then writable; valid until push */
	struct vhu_chain *next; /* the queue's free list; the device's while it holds the chain */
	struct iovec inline_iov[VHU_CHAIN_INLINE];
};

static inline const struct iovec *vhu_chain_readable(const struct vhu_chain *chain)
{
	return chain->iov;
}

static inline const struct iovec *vhu_chain_writable(const struct vhu_chain *chain)
{
	return chain->iov + chain->n_readable;
}

static inline void vhu_chain_reader(const struct vhu_chain *chain,
				    struct vhu_iov_cursor *ret_reader)
{
	vhu_iov_cursor_init(ret_reader, vhu_chain_readable(chain), chain->n_readable);
}

static inline void vhu_chain_writer(const struct vhu_chain *chain,
				    struct vhu_iov_cursor *ret_writer)
{
	vhu_iov_cursor_init(ret_writer, vhu_chain_writable(chain), chain->n_writable);
}

#endif
