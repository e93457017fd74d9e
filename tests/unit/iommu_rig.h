/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_TESTS_UNIT_IOMMU_RIG_H
#define VHU_TESTS_UNIT_IOMMU_RIG_H

/*
 * A session behind an IOMMU, which this front-end plays as QEMU does: it answers misses when it
 * gets to it, a page at a time, on the one connection and by hand. What the driver takes for guest
 * addresses are I/O virtual ones; the real guest addresses are told to be elsewhere.
 */

#include "common/memory/iotlb.h"
#include "tests/unit/session_rig.h"

#define PAGE 4096ull
#define REAL_GPA (1ull << 40)
#define R VHU_ACCESS_READ
#define W VHU_ACCESS_WRITE
#define RW VHU_ACCESS_BOTH
#define IOMMU_MAX_ASKED 4096

extern struct rig iommu_rig;
extern bool iommu_packed; /* the layout of the rings */
/* Misses in the order in which they came. */
extern struct vhu_iotlb_msg iommu_asked[IOMMU_MAX_ASKED];
extern unsigned iommu_n_asked;

void iommu_start(bool both_workers);
void iommu_set_patience(uint64_t ns);
void iommu_negotiate(uint64_t protocol_features);
void iommu_start_rings(void);
/* All of that. */
void iommu_bring_up(bool both_workers);

/* The u64 of a reply. */
uint64_t iommu_verdict(int result, struct vhu_message *reply);
uint64_t iommu_tell(const struct vhu_iotlb_msg *msg);
uint64_t iommu_update(uint64_t iova, uint64_t size, unsigned access);
uint64_t iommu_invalidate(uint64_t iova, uint64_t size);

/* The next request of the back-end within so many ms. False: there is none. */
bool iommu_next_request(int ms, struct vhu_iotlb_msg *ret_msg);
void iommu_note_miss(const struct vhu_iotlb_msg *msg);
unsigned iommu_times_asked(uint64_t iova, unsigned access);
/* Answers what comes until there is nothing more for so long. */
void iommu_serve(int ms);
/* The same until the driver has a used chain. */
struct vhu_driver_used iommu_serve_until_used(struct vhu_driver *driver);
/* The same until this is asked for, which is left to the caller. */
void iommu_serve_up_to(uint64_t iova, unsigned access, struct vhu_iotlb_msg *ret_msg);

void iommu_alloc(struct vhu_guest_buffer buffers[2], uint32_t align);
void iommu_add(unsigned q, const struct vhu_guest_buffer buffers[2]);
void iommu_echo(unsigned q);
bool iommu_needs_reset(void);

#endif
