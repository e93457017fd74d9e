/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_RING_INFLIGHT_H
#define VHU_RING_INFLIGHT_H

/*
 * The in-flight record (vhost-user, Inflight I/O tracking): which requests were taken from a ring
 * and not given back, in memory that the front-end keeps for us. At whatever instant the program is
 * killed, the next one finds in it what to do again, and the driver gets each request back once.
 *
 * The record is the front-end's too, so nothing in it is trusted. It is written while the ring
 * runs, and read only when the ring starts, but for the descriptors of a packed ring, which are
 * checked as those in the ring are.
 *
 * A ring that starts without a history there (version 0) takes the base it was given; with one, the
 * record and the ring tell where it stands, and the base is ignored: after a crash the front-end
 * has an old one.
 */

#include <assert.h>
#include <stdint.h>

struct vhu_chain;
struct vhu_mapping;
struct vhu_virtqueue;

struct vhu_inflight_split_desc {
	uint8_t inflight; /* of a head: taken, and not given back */
	uint8_t padding[5];
	uint16_t next;	  /* the one given back before it */
	uint64_t counter; /* the order in which they were taken */
};

struct vhu_inflight_split {
	uint64_t features;
	uint16_t version;
	uint16_t desc_num;
	uint16_t last_batch_head;
	uint16_t used_idx;
	struct vhu_inflight_split_desc desc[];
};

struct vhu_inflight_packed_desc {
	uint8_t inflight; /* of a head: taken, and not given back */
	uint8_t padding;
	uint16_t next; /* of the same list, or of the free ones */
	uint16_t last; /* of a head's list */
	uint16_t num;  /* entries in a head's list */
	uint64_t counter;
	uint16_t id; /* from here on the descriptor, as it was in the ring */
	uint16_t flags;
	uint32_t len;
	uint64_t addr;
};

struct vhu_inflight_packed {
	uint64_t features;
	uint16_t version;
	uint16_t desc_num;
	uint16_t free_head;
	uint16_t old_free_head;
	uint16_t used_idx;
	uint16_t old_used_idx;
	uint8_t used_wrap_counter;
	uint8_t old_used_wrap_counter;
	uint8_t padding[7];
	struct vhu_inflight_packed_desc desc[];
};

static_assert(sizeof(struct vhu_inflight_split_desc) == 16, "DescStateSplit");
static_assert(sizeof(struct vhu_inflight_split) == 16, "QueueRegionSplit");
static_assert(sizeof(struct vhu_inflight_packed_desc) == 32, "DescStatePacked");
static_assert(sizeof(struct vhu_inflight_packed) == 32, "QueueRegionPacked");

#define VHU_INFLIGHT_VERSION 1
#define VHU_INFLIGHT_ALIGN_BYTES 8  /* of a queue's region, at the least */
#define VHU_INFLIGHT_UNIT_BYTES 64u /* what ours are made of */

/* One queue's region of the record. Of zeros: nothing is tracked. */
struct vhu_inflight_region {
	struct vhu_mapping *mapping; /* borrowed; a queue that starts takes a reference */
	void *record;
	uint64_t size_bytes;
};

/* What a queue of that size needs, whatever its layout. */
uint64_t vhu_inflight_bytes(uint32_t queue_size);

/* No ring runs on it: what was in flight is so no more. */
void vhu_inflight_forget(const struct vhu_inflight_region *region);

/* Of the requests that a queue will pop, how many were in flight when it was started. */
uint32_t vhu_virtqueue_n_again(const struct vhu_virtqueue *q);
/* A queue with a record: the chain stays there, and is popped again after the next start. */
void vhu_virtqueue_leave(struct vhu_virtqueue *q, struct vhu_chain *chain);

#endif
