/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_FRONTEND_IOTLB_H
#define VHU_FRONTEND_IOTLB_H

/*
 * The IOMMU of the guest that we play (vhost-user, IOMMU support): a table of what is mapped, from
 * which the back-end's misses are answered while a driver waits (vhu_frontend_serve()), as QEMU
 * does: a page at a time, and nothing for what is not mapped.
 *
 * With ACCESS_PLATFORM negotiated, a driver adds guest.iova_offset to every address that it writes
 * or tells, so vhu_frontend_iotlb_map_guest() is all that most need. Who wants stranger mappings
 * adds buffers whose gpa + iova_offset is the address meant.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/frontend/frontend.h"

#define VHU_FRONTEND_IOTLB_MAX 64
#define VHU_FRONTEND_IOTLB_PAGE 4096u

struct vhu_frontend_iotlb {
	struct vhu_frontend *frontend; /* borrowed */
	unsigned n;
	struct vhu_iotlb_msg maps[VHU_FRONTEND_IOTLB_MAX]; /* as an update tells them */
	uint64_t page_bytes; /* a power of two; 4096 at first, 0: answer with the whole mapping */
	bool hold;	     /* keep misses until release */
	unsigned n_held;
	struct vhu_iotlb_msg held[VHU_FRONTEND_IOTLB_MAX];
	unsigned n_misses, n_unknown, n_access_fails; /* all; of what is not mapped; type 4 */
	struct vhu_iotlb_msg last_miss, last_fail;
};

/* Becomes the one that answers what the back-end asks. Until finish it stays where it is. */
void vhu_frontend_iotlb_init(struct vhu_frontend_iotlb *iotlb, struct vhu_frontend *frontend);
void vhu_frontend_iotlb_finish(struct vhu_frontend_iotlb *iotlb);

/*
 * Enters a mapping of iova to guest memory, without a word to the back-end. perm: 1 read, 2 write,
 * 3 both. -EINVAL: the memory is not inside one region; -ENOSPC.
 */
int vhu_frontend_iotlb_map(struct vhu_frontend_iotlb *iotlb, uint64_t iova, uint64_t gpa,
			   uint64_t size, uint8_t perm);
/* All of the guest's regions, read and write, each at its address + offset (also kept there). */
int vhu_frontend_iotlb_map_guest(struct vhu_frontend_iotlb *iotlb, uint64_t offset);
/* Takes out what is mapped there (mappings are cut), then INVALIDATE, whose answer it returns. */
int vhu_frontend_iotlb_unmap(struct vhu_frontend_iotlb *iotlb, uint64_t iova, uint64_t size);

/* UPDATE with what is mapped at iova; -EFAULT when nothing is with that permission. */
int vhu_frontend_iotlb_answer(struct vhu_frontend_iotlb *iotlb, uint64_t iova, uint8_t perm);
/* Ends hold, and answers what was held. */
int vhu_frontend_iotlb_release(struct vhu_frontend_iotlb *iotlb);
/* Any message, as it stands. */
int vhu_frontend_iotlb_send(struct vhu_frontend *frontend, const struct vhu_iotlb_msg *message);

#endif
