/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_RING_VIRTQUEUE_H
#define VHU_RING_VIRTQUEUE_H

/*
 * The device's side of a virtqueue: one face over the layouts. All limits on what the guest wrote
 * are checked here (virtio 1.3, 2.7, 2.8). A queue belongs to one thread between start and stop.
 *
 * A request that breaks a rule is malformed: it goes back with length 0 and the next one is taken.
 * An index that breaks a rule makes the queue broken, and so does a packed list whose end cannot be
 * found: from then on nothing is popped and guest memory is not touched any more, until the next
 * start.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/memory/map.h"
#include "common/memory/view.h"
#include "common/ring/chain.h"
#include "common/ring/setup.h"

#define VHU_RING_AREAS 3 /* descriptors, the driver's, the device's */

struct vhu_ring_layout; /* layout_priv.h */

struct vhu_virtqueue {
	const struct vhu_ring_layout *layout; /* kept after stop, for base */
	void *desc, *driver, *device;	      /* ours */
	struct vhu_memory_cache cache;
	uint32_t size;
	uint16_t next_avail;	   /* the next entry to pop */
	uint16_t next_used;	   /* the next used entry to fill */
	uint16_t used_published;   /* the used index as the driver sees it */
	uint16_t avail_seen;	   /* split: the driver's index when last read */
	uint16_t n_seen;	   /* packed: descriptors from next_avail on known to be there */
	uint16_t first_used_flags; /* packed: of the batch that is not yet published */
	bool broken;
	bool begun; /* the layout has started: behind an IOMMU, when the areas are first known */
	bool blind; /* broken, or the areas are not known: the ring is not to be touched */
	bool cut_short; /* pop gave up at a malformed chain; the caller clears */
	bool event_idx;
	bool indirect;
	bool in_order;
	bool signalled;		   /* publish has decided on a call since start */
	struct vhu_chain *refused; /* malformed: from the layout's pop to ours */
	struct vhu_chain *free;	   /* were in use: the last one back is still in the CPU's cache */
	struct vhu_chain *chains;  /* size of them */
	uint32_t fresh;		   /* of chains: from here on never used */
	uint32_t in_flight;	   /* popped and not pushed */
	uint16_t turn;		   /* with IN_ORDER: of the next chain to pop */
	struct iovec *overflow;	   /* for chains of more than VHU_CHAIN_INLINE segments */
	uint32_t max_chain;	   /* descriptors of one table */
	uint32_t max_segments;	   /* of one chain; overflow has so many for each of chains */
	struct vhu_memory *memory; /* a reference; NULL: not started */
	struct vhu_inflight_tracker *inflight; /* inflight_priv.h; NULL: nothing is recorded */
	const char *why_broken;	   /* for the log; a constant text */
	const char *why_malformed; /* of the last one; a constant text */
	uint64_t malformed; /* chains pushed back for being malformed; counts up, never reset */
	struct vhu_virtqueue_setup setup;
	size_t arena_bytes; /* the mapping that holds chains and overflow */
	struct vhu_iotlb_miss missed; /* why pop gave nothing; the caller clears */
	struct vhu_iotlb_miss denied; /* will not be allowed: no use in asking; the caller's */
	struct vhu_view views[VHU_RING_AREAS]; /* of areas that do not lie in one piece */
};

/* Everything zero; nothing is allocated until start. */
void vhu_virtqueue_init(struct vhu_virtqueue *q);

/*
 * Translates the addresses, allocates what the size needs and reads the used index. With an IOMMU
 * the first pop does so, if the addresses are known by then. Returns 0; -EINVAL (size 0, too large,
 * or not a power of two, unless packed; an area misaligned; base out of range); -EFAULT (an area is
 * not inside one region); -EBADMSG (the in-flight record is not of this ring); -ENOMEM. Takes a
 * reference to memory.
 */
int vhu_virtqueue_start(struct vhu_virtqueue *q, const struct vhu_virtqueue_setup *setup,
			struct vhu_memory *memory);
/*
 * Frees all; the caller has made sure that no chain is in flight. The base and the counters stay.
 * A queue that was not started is fine.
 */
void vhu_virtqueue_stop(struct vhu_virtqueue *q);

/*
 * On a live queue: new addresses, same indices. Errors as start; the queue is then unchanged. With
 * an IOMMU nothing may be in flight.
 */
int vhu_virtqueue_set_addresses(struct vhu_virtqueue *q, const struct vhu_virtqueue_setup *setup);
/*
 * On a live queue: the next map. -EFAULT when the ring no longer lies in it: the queue is then
 * broken. Chains in flight still point into the old map: the caller keeps that alive.
 */
int vhu_virtqueue_set_memory(struct vhu_virtqueue *q, struct vhu_memory *memory);
void vhu_virtqueue_set_event_idx(struct vhu_virtqueue *q, bool on);

/*
 * The value for GET_VRING_BASE, also after stop. Split: the next available index. Packed: bits 0-14
 * the next available descriptor, 15 its wrap counter, 16-30 the next used one, 31 its wrap counter.
 */
uint32_t vhu_virtqueue_base(const struct vhu_virtqueue *q);
/*
 * Is the ring as a driver leaves it that has just begun, by our index and by its memory? When that
 * cannot be read yet, by our index alone.
 */
bool vhu_virtqueue_is_new(const struct vhu_virtqueue *q);

/*
 * The next request, or NULL: nothing there, or q->missed (an address that the IOMMU has not told:
 * the ring is as it was), or q->broken (an available index more than size ahead, a head out of
 * range, more in flight than size, a list that has no end). A malformed chain is pushed back with
 * length 0 on the way (q->malformed counts) and the next one is taken: publish also after NULL.
 * With IN_ORDER it waits in the ring until nothing is in flight any more.
 */
struct vhu_chain *vhu_virtqueue_pop(struct vhu_virtqueue *q);
/*
 * Gives the last popped chain back to the ring as if it had not been popped; several go in reverse
 * order. Where one behind it went back to the driver, it goes there too, with length 0.
 */
void vhu_virtqueue_unpop(struct vhu_virtqueue *q, struct vhu_chain *chain);

/*
 * Fills a used entry; written is what the device wrote into the writable part, bytes. With IN_ORDER
 * the chains come in the order in which they were popped.
 */
void vhu_virtqueue_push(struct vhu_virtqueue *q, struct vhu_chain *chain, uint32_t written);
/*
 * Shows the driver what was pushed since the last publish: one store, of the used index or of the
 * flags of the first used descriptor. True when the driver wants a call for it.
 */
bool vhu_virtqueue_publish(struct vhu_virtqueue *q);

/*
 * Has the driver made anything available since the last look (pop on an empty queue, has_news or
 * enable_kicks)? One load from guest memory if not. A device may leave requests unpopped on
 * purpose, so what is merely there is no news; areas that pop has to look for first are.
 */
bool vhu_virtqueue_has_news(struct vhu_virtqueue *q);

/*
 * Asks the driver for a kick at the next request; true when one came in the meantime (then pop
 * instead of sleeping). Without: the driver need not kick.
 */
bool vhu_virtqueue_enable_kicks(struct vhu_virtqueue *q);
void vhu_virtqueue_disable_kicks(struct vhu_virtqueue *q);

/* Marks the queue broken; why is a constant text, the first one stays. */
void vhu_virtqueue_break(struct vhu_virtqueue *q, const char *why);

#endif
