/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_RING_IOMMU_H
#define VHU_RING_IOMMU_H

/* A queue behind an IOMMU: what its owner does when the IOMMU changes. */

#include "common/ring/virtqueue.h"

/*
 * Does the ring, or a request in flight, lie in these I/O virtual addresses, both inside? To be
 * asked before they are taken out of the queue's IOTLB; may say yes for one that does not.
 */
bool vhu_virtqueue_uses(const struct vhu_virtqueue *q, uint64_t first, uint64_t last);
/*
 * An address that the last popped chain holds in its bytes, as guest memory: iovecs, split where
 * regions or pages of the IOMMU meet. Returns how many; -EAGAIN: q->missed, and the chain is to be
 * put back until the IOMMU has told; -EACCES: it never will; -EFAULT; -E2BIG.
 */
int vhu_virtqueue_translate(struct vhu_virtqueue *q, uint64_t address, uint64_t len,
			    uint8_t access, struct iovec *iov, size_t max);
/* Nothing is in flight: the areas are looked up anew at the next pop. */
void vhu_virtqueue_forget_areas(struct vhu_virtqueue *q);

#endif
