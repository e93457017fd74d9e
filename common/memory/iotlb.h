/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_MEMORY_IOTLB_H
#define VHU_MEMORY_IOTLB_H

/*
 * What the front-end told of its IOMMU (vhost-user, IOMMU support): I/O virtual addresses, the user
 * addresses behind them, and what the device may do there. Sorted ranges that do not overlap;
 * neighbours that go on in user memory are one. Bounded: where a range too many comes, an old one
 * goes, and is asked for again when it is needed. One thread, no lock.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "common/memory/map.h"

/* What an access does, and what a range allows; the numbers of an IOTLB message. */
#define VHU_ACCESS_READ 1u
#define VHU_ACCESS_WRITE 2u
#define VHU_ACCESS_BOTH 3u

#define VHU_IOTLB_RANGES 8192

struct vhu_iotlb_range {
	uint64_t first, last; /* I/O virtual; the last one is inside */
	uint64_t uaddr;	      /* of first */
	uint8_t access;
};

/* What a look-up did not find. access 0: nothing. */
struct vhu_iotlb_miss {
	uint64_t iova;
	uint8_t access;
};

struct vhu_iotlb {
	unsigned n;
	unsigned hit;	 /* where the last look-up found something */
	unsigned victim; /* next to give way */
	bool evicted;	 /* since the owner cleared it: ranges are in use that are not here */
	struct vhu_iotlb_range ranges[VHU_IOTLB_RANGES];
};

/* Empty; NULL when there is no memory. To be freed with free(). */
struct vhu_iotlb *vhu_iotlb_new(void);
void vhu_iotlb_clear(struct vhu_iotlb *iotlb);

/*
 * [iova, iova + size) is at uaddr, whatever was there before; access 0: nothing is there. -EINVAL:
 * size 0, an overflow, or an access that is none.
 */
int vhu_iotlb_update(struct vhu_iotlb *iotlb, uint64_t iova, uint64_t size, uint64_t uaddr,
		     unsigned access);
/* Would that take away or change what is there? */
bool vhu_iotlb_contradicts(const struct vhu_iotlb *iotlb, uint64_t iova, uint64_t size,
			   uint64_t uaddr, unsigned access);

/*
 * An invalidation is of [*iova, last], both inside. All of the space has no size that fits: 0 and
 * what overflows mean everything.
 */
uint64_t vhu_iotlb_last(uint64_t *iova, uint64_t size);
void vhu_iotlb_invalidate(struct vhu_iotlb *iotlb, uint64_t first, uint64_t last);

/* The first range that ends at iova or behind it; ranges + n when there is none. */
const struct vhu_iotlb_range *vhu_iotlb_at(const struct vhu_iotlb *iotlb, uint64_t iova);
/* Is that address known, for that access? */
bool vhu_iotlb_allows(const struct vhu_iotlb *iotlb, uint64_t iova, unsigned access);

/*
 * [iova, iova + len) through the table and the map as iovecs. Returns the elements used; -EAGAIN
 * when something is not known, or not for that access: *ret_missed is the first such address;
 * -EFAULT when what is known does not lie in the map, or the sum overflows; -E2BIG when max is too
 * small.
 */
int vhu_iotlb_translate(struct vhu_iotlb *iotlb, const struct vhu_memory *memory, uint64_t iova,
			uint64_t len, unsigned access, struct iovec *iov, size_t max,
			uint64_t *ret_missed);

#endif
