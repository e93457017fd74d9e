/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_RING_PACKED_PRIV_H
#define VHU_RING_PACKED_PRIV_H

/* Places of a packed ring and what is found there (virtio 1.3, 2.8). */

#include <linux/virtio_ring.h>

#include "common/ring/layout_priv.h"

#define AVAIL (1u << VRING_PACKED_DESC_F_AVAIL)
#define USED (1u << VRING_PACKED_DESC_F_USED)

/*
 * A place in the ring is an offset and the wrap counter of the lap, as it is in the event
 * suppression structures and in SET_VRING_BASE (vhost-user, Vring descriptor indices for packed
 * virtqueues), which has the next used place in its upper half.
 */
#define WRAP (1u << VRING_PACKED_EVENT_F_WRAP_CTR)

static inline uint32_t offset_of(uint16_t place)
{
	return place & ~WRAP;
}

static inline uint16_t move_on(const struct vhu_virtqueue *q, uint16_t place, uint32_t n)
{
	uint32_t offset = offset_of(place) + n;

	if (offset < q->size)
		return (uint16_t)(place + n);
	return (uint16_t)((offset - q->size) | (~place & WRAP));
}

/* The AVAIL and USED flags of a descriptor that is available on that lap (virtio 1.3, 2.8.1). */
static inline uint16_t flags_available(uint16_t place)
{
	return place & WRAP ? AVAIL : USED;
}

/* Marks the descriptors from one place to another as written. Only with q->memory->log. */
void vhu_packed_log(const struct vhu_virtqueue *q, uint16_t from, uint16_t to);

#endif
