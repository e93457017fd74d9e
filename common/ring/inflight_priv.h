/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_RING_INFLIGHT_PRIV_H
#define VHU_RING_INFLIGHT_PRIV_H

/*
 * What the layouts do to the in-flight record. Who dies by SIGKILL has made all stores up to some
 * instruction and none behind it, so the order of the program is the order that counts, and a store
 * with release semantics is one that no earlier store may be moved behind.
 *
 * Pushed chains are only remembered until publish, which then does all that the specification has
 * for a batch in one go. In between others may be popped: entries of a packed record that were free
 * already would be taken again by these, though their requests have yet to be given back.
 */

#include "common/ring/inflight.h"
#include "common/ring/virtqueue.h"

/* One entry of a packed record, as we know it. */
struct vhu_inflight_link {
	uint16_t next;
	uint16_t last;
	uint16_t num;
};

struct vhu_inflight_tracker {
	union {
		struct vhu_inflight_split *split;
		struct vhu_inflight_packed *packed;
		void *record;
	};
	struct vhu_mapping *mapping; /* a reference */
	uint64_t counter;	     /* of the next request taken */
	uint32_t desc_num;
	uint32_t n_batch; /* pushed since the last publish */
	uint32_t n_again; /* of the last run's requests, oldest first; and how many are popped */
	uint32_t n_again_popped;
	uint16_t last_batch_head; /* split */
	uint16_t free_head;	  /* packed; desc_num: none */
	uint16_t *batch; /* entries; queue size of them */
	uint16_t *again; /* entries; queue size of them */
	struct vhu_inflight_link *links; /* packed: desc_num */
};

/*
 * Makes q->inflight for the region in q->setup; NULL where there is none, or one too small for the
 * ring. Returns 0 or -ENOMEM.
 */
int vhu_inflight_attach(struct vhu_virtqueue *q);
void vhu_inflight_detach(struct vhu_virtqueue *q); /* without one is fine */

/*
 * Reads the record and brings it to order; who is killed meanwhile leaves it as good as it was.
 * *base becomes the one to start from. Returns 0, -EBADMSG (not a record of this ring), -EINVAL
 * (the base is not) or -ENOMEM.
 */
int vhu_inflight_split_recover(struct vhu_virtqueue *q, uint32_t *base);
int vhu_inflight_packed_recover(struct vhu_virtqueue *q, uint32_t *base);

/* For these two. */
struct vhu_inflight_found {
	uint64_t counter;
	uint16_t entry;
};
/* Entries that the region has room for. */
uint32_t vhu_inflight_room(const struct vhu_virtqueue *q);
/* What was found in flight is to be done again, in the order of the counters. */
void vhu_inflight_do_again(struct vhu_inflight_tracker *t, struct vhu_inflight_found *found,
			   uint32_t n);

static inline uint16_t inflight_load16(const void *p)
{
	return __atomic_load_n((const uint16_t *)p, __ATOMIC_RELAXED);
}

static inline void inflight_store16(void *p, uint16_t v)
{
	__atomic_store_n((uint16_t *)p, v, __ATOMIC_RELEASE);
}

static inline void inflight_store8(void *p, uint8_t v)
{
	__atomic_store_n((uint8_t *)p, v, __ATOMIC_RELEASE);
}

/* Are there requests that come before those in the ring? */
static inline bool inflight_has_again(const struct vhu_virtqueue *q)
{
	return q->inflight && q->inflight->n_again_popped < q->inflight->n_again;
}

/* A driver that has its chains right cannot have more at once than the queue has entries. */
static inline void inflight_pushed(struct vhu_virtqueue *q, uint16_t entry)
{
	if (q->inflight->n_batch < q->size)
		q->inflight->batch[q->inflight->n_batch++] = entry;
	else
		vhu_virtqueue_break(q, "more requests given back than the queue has entries");
}

/* The next of those, by its entry. */
static inline uint16_t inflight_pop_again(struct vhu_virtqueue *q, struct vhu_chain *chain)
{
	chain->again = true;
	return q->inflight->again[q->inflight->n_again_popped++];
}

static inline void inflight_split_take(struct vhu_virtqueue *q, struct vhu_chain *chain)
{
	struct vhu_inflight_split_desc *desc = &q->inflight->split->desc[chain->head];

	chain->again = false;
	desc->counter = q->inflight->counter++;
	inflight_store8(&desc->inflight, 1);
}

static inline void inflight_split_give_back(struct vhu_virtqueue *q, uint16_t head)
{
	inflight_store8(&q->inflight->split->desc[head].inflight, 0);
}

/* Around the store of the used index. */
void vhu_inflight_split_link(struct vhu_virtqueue *q);
void vhu_inflight_split_clear(struct vhu_virtqueue *q, uint16_t used_idx);

struct descriptor; /* table_priv.h */
/* The list at next_avail. */
void vhu_inflight_packed_take(struct vhu_virtqueue *q, struct vhu_chain *chain);
void vhu_inflight_packed_give_back(struct vhu_virtqueue *q, const struct vhu_chain *chain);
/* The descriptor of a list that is to be done again; *entry becomes the next one's. */
struct descriptor vhu_inflight_packed_read(const struct vhu_virtqueue *q, uint16_t *entry);
/* Around the store of the flags that show the batch; from and to are places of the ring. */
void vhu_inflight_packed_link(struct vhu_virtqueue *q, uint16_t from, uint16_t to);
void vhu_inflight_packed_clear(struct vhu_virtqueue *q, uint16_t to);

#endif
