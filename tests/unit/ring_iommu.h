/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_TESTS_RING_IOMMU_H
#define VHU_TESTS_RING_IOMMU_H

/*
 * A ring behind an IOMMU: I/O virtual addresses are what ring_guest.h calls guest addresses, and
 * behind each page of them is another page of the file, none next to its neighbour. The guest's
 * mapping shows them in the order that the driver sees.
 */

#include <stdlib.h>

#include "tests/unit/ring_guest.h"

#include "common/ring/iommu.h"

#define PAGE 4096ull
#define PAGES (GUEST_BYTES / PAGE)
#define SIZE 512
#define IOVA(uaddr) ((uaddr) - GUEST_UADDR + GUEST_GPA)
#define R VHU_ACCESS_READ
#define W VHU_ACCESS_WRITE
#define RW VHU_ACCESS_BOTH
/* In pages: descriptors take 2, the available ring 1, the used ring 2. */
#define RING_PAGES 5

/* The page of the file behind this page of the driver's. */
static inline uint64_t page_behind(uint64_t page)
{
	return (page * 37 + 5) % PAGES;
}

static inline void tell(struct guest *g, uint64_t iova, unsigned access)
{
	uint64_t page = (iova - GUEST_GPA) / PAGE;

	assert_int_equal(vhu_iotlb_update(g->setup.iotlb, GUEST_GPA + page * PAGE, PAGE,
					  GUEST_UADDR + page_behind(page) * PAGE, access),
			 0);
}

static inline void take_back(struct guest *g, uint64_t iova)
{
	vhu_iotlb_invalidate(g->setup.iotlb, iova & ~(PAGE - 1), iova | (PAGE - 1));
}

static inline void iommu_init(struct guest *g, uint32_t size)
{
	static const uint64_t end = GUEST_BYTES;

	guest_init_regions(g, size, INDIRECT | EVENT_IDX, &end, 1);
	for (uint64_t i = 0; i < PAGES; i++)
		assert_true(mmap(g->mem + i * PAGE, PAGE, PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_FIXED, g->fd,
				 (off_t)(page_behind(i) * PAGE)) != MAP_FAILED);
	g->setup.desc_uaddr = IOVA(GUEST_DESC);
	g->setup.driver_uaddr = IOVA(GUEST_AVAIL);
	g->setup.device_uaddr = IOVA(GUEST_USED);
	g->setup.iotlb = vhu_iotlb_new();
	assert_non_null(g->setup.iotlb);
}

static inline void iommu_start(struct guest *g, uint32_t size)
{
	iommu_init(g, size);
	assert_int_equal(vhu_virtqueue_start(&g->q, &g->setup, g->memory), 0);
}

static inline void iommu_finish(struct guest *g)
{
	struct vhu_iotlb *iotlb = g->setup.iotlb;

	guest_finish(g);
	free(iotlb);
}

static inline struct vhu_chain *pop(struct guest *g)
{
	g->q.missed.access = 0;
	return vhu_virtqueue_pop(&g->q);
}

/* The next chain when every miss is answered, by no more than was asked; adds to *n_misses. */
static inline struct vhu_chain *pop_answered(struct guest *g, unsigned *n_misses)
{
	struct vhu_chain *chain;

	while (!(chain = pop(g)) && g->q.missed.access) {
		tell(g, g->q.missed.iova, g->q.missed.access);
		assert_in_range(++*n_misses, 1, 10000);
	}
	return chain;
}

#endif
