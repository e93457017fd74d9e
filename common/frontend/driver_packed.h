/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_FRONTEND_DRIVER_PACKED_H
#define VHU_FRONTEND_DRIVER_PACKED_H

/* The packed part of a struct vhu_driver (virtio 1.3, 2.8), for who spoils rings. */

#include <stdbool.h>
#include <stdint.h>

#include <linux/virtio_ring.h>

/* A place in the ring, with the wrap counter there (virtio 1.3, 2.8.1). */
struct vhu_driver_place {
	uint16_t at;
	bool wrap;
};

struct vhu_driver_packed {
	struct vring_packed_desc *desc;
	struct vring_packed_desc_event *driver_event, *device_event;
	struct vhu_driver_place avail, published, used;
	/* Of the descriptor at published, which get into the ring by the next publish. */
	uint16_t held_flags;
};

#endif
