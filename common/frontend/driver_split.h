/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_FRONTEND_DRIVER_SPLIT_H
#define VHU_FRONTEND_DRIVER_SPLIT_H

/* The split part of a struct vhu_driver (virtio 1.3, 2.7), for who spoils rings. */

#include <stdint.h>

#include <linux/virtio_ring.h>

struct vhu_driver;

struct vhu_driver_split {
	struct vring vring;		   /* as mapped here */
	uint16_t avail_idx, published_idx; /* written to the ring; and shown to the back-end */
	uint16_t used_idx, seen_idx;	   /* taken from the ring; and seen there */
	uint16_t free_tail;
};

/* Makes any number available as a head, sense or none. No descriptor is taken or given back. */
void vhu_driver_split_add_head(struct vhu_driver *driver, uint16_t head, uint64_t token);

#endif
