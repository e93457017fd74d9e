/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_RING_SETUP_H
#define VHU_RING_SETUP_H

/* What a queue is told before it starts. */

#include <stdbool.h>
#include <stdint.h>

#include "common/memory/iotlb.h"
#include "common/ring/inflight.h"

#define VHU_VIRTQUEUE_MAX_SIZE 32768 /* virtio 1.3, 2.7, 2.8 */

/*
 * What SET_FEATURES, SET_VRING_NUM, ADDR and BASE said. Addresses are the front-end's user ones; or
 * the driver's I/O virtual ones, to be looked up in iotlb.
 */
struct vhu_virtqueue_setup {
	uint64_t features;
	uint32_t size;
	uint32_t base; /* split: the next available index; packed: see vhu_virtqueue_base() */
	uint64_t desc_uaddr;
	uint64_t driver_uaddr; /* available ring; packed: driver event suppression */
	uint64_t device_uaddr; /* used ring; packed: device event suppression */
	bool log_device;       /* what is written to the ring is logged; split: at log_gpa */
	uint64_t log_gpa;
	struct vhu_iotlb *iotlb; /* borrowed; NULL: no IOMMU */
	struct vhu_inflight_region inflight;
};

/* The bytes from log_gpa on that may be marked; packed: none, it marks where it writes. */
uint64_t vhu_virtqueue_logged_bytes(const struct vhu_virtqueue_setup *setup);

#endif
