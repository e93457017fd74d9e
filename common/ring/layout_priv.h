/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_RING_LAYOUT_PRIV_H
#define VHU_RING_LAYOUT_PRIV_H

/*
 * What a ring layout gives to virtqueue.c. The slots but start, base and is_new are called only
 * while the queue is started and not broken; a slot may break it.
 */

#include <errno.h>

#include "common/memory/dirty_log.h"
#include "common/ring/virtqueue.h"

/* One area in guest memory: its bytes are fixed_bytes + size * entry_bytes. */
struct vhu_ring_area {
	uint16_t fixed_bytes;
	uint16_t entry_bytes;
	uint16_t align_bytes;
	uint8_t access; /* what the device does there: VHU_ACCESS_* */
};

struct vhu_ring_layout {
	struct vhu_ring_area desc;
	struct vhu_ring_area driver;
	struct vhu_ring_area device;
	struct vhu_ring_area record; /* a queue's region of the in-flight record */
	bool power_of_two; /* what the size must be */
	uint32_t initial_base;

	/*
	 * The areas are known: sets the indices. Returns 0, -EINVAL for a base out of range, or as
	 * vhu_inflight_*_recover().
	 */
	int (*start)(struct vhu_virtqueue *q, uint32_t base);
	uint32_t (*base)(const struct vhu_virtqueue *q);
	bool (*is_new)(const struct vhu_virtqueue *q);

	/*
	 * The next chain; NULL: nothing there, or broken, or one that cannot be served in
	 * q->refused: malformed, or q->missed has what is to be asked for first.
	 */
	struct vhu_chain *(*pop)(struct vhu_virtqueue *q);
	/* Both leave the chain to the caller, who gives it to chain_put(). */
	void (*unpop)(struct vhu_virtqueue *q, const struct vhu_chain *chain);
	void (*push)(struct vhu_virtqueue *q, const struct vhu_chain *chain, uint32_t written);
	bool (*publish)(struct vhu_virtqueue *q);
	bool (*has_news)(struct vhu_virtqueue *q);
	bool (*enable_kicks)(struct vhu_virtqueue *q);
	void (*disable_kicks)(struct vhu_virtqueue *q);
};

extern const struct vhu_ring_layout vhu_ring_split, vhu_ring_packed;

static inline uint64_t area_bytes(const struct vhu_ring_area *area, uint32_t size)
{
	return area->fixed_bytes + (uint64_t)size * area->entry_bytes;
}

/*
 * What the driver calls address, as iovecs: as vhu_memory_translate(); with an IOMMU also -EACCES,
 * or -EAGAIN with what is to be asked for in q->missed.
 */
int vhu_ring_translate(struct vhu_virtqueue *q, uint64_t address, uint64_t len, uint8_t access,
		       struct iovec *iov, size_t max);
/* Marks what was written to the ring at host in the dirty log, by its guest addresses. */
void vhu_ring_mark(const struct vhu_virtqueue *q, const void *host, size_t len);
/* Looks for the areas of a ring behind an IOMMU. False: they are not known, or q->broken. */
bool vhu_ring_see(struct vhu_virtqueue *q);

/*
 * A chain that is not in flight, or NULL: a driver with size entries cannot have more, so
 * broken.
 */
static inline struct vhu_chain *chain_get(struct vhu_virtqueue *q)
{
	struct vhu_chain *chain = q->free;

	if (chain) {
		q->free = chain->next;
	} else if (q->fresh < q->size) {
		chain = &q->chains[q->fresh];
		chain->slot = (uint16_t)q->fresh++;
	} else {
		vhu_virtqueue_break(q, "more requests in flight than the queue has entries");
		return NULL;
	}
	q->in_flight++;
	return chain;
}

static inline void chain_put(struct vhu_virtqueue *q, struct vhu_chain *chain)
{
	chain->next = q->free;
	q->free = chain;
	q->in_flight--;
}

/*
 * Marks what was written at offset of the device's area (vhost-user, Migration). Behind an IOMMU
 * log_gpa is no guest address, and what QEMU looks at is where the ring lies.
 */
static inline void log_device_area(const struct vhu_virtqueue *q, size_t offset, size_t len)
{
	if (!q->memory->log || !q->setup.log_device)
		return;
	if (q->setup.iotlb)
		vhu_ring_mark(q, (char *)q->device + offset, len);
	else
		vhu_memory_mark_range(q->memory, q->setup.log_gpa + offset, len);
}

/* What pop returns for a chain that is malformed: virtqueue.c gives it back to the driver. */
static inline struct vhu_chain *chain_refused(struct vhu_virtqueue *q, struct vhu_chain *chain)
{
	q->refused = chain;
	return NULL;
}

static inline int chain_malformed(struct vhu_virtqueue *q, const char *why)
{
	q->why_malformed = why;
	return -EINVAL;
}

#endif
