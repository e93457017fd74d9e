/* SPDX-License-Identifier: BSD-3-Clause */

/* The split virtqueue (virtio 1.3, 2.7). */

#include <assert.h>

#include <linux/virtio_ring.h>

#include "common/memory/access.h"
#include "common/ring/descriptor_priv.h"
#include "common/ring/inflight_priv.h"

static_assert(sizeof(struct vring_desc) == 16, "virtio 1.3, 2.7.5");
static_assert(sizeof(struct vring_used_elem) == 8, "virtio 1.3, 2.7.8");

#define PREFETCH_ENTRIES 2

static int split_start(struct vhu_virtqueue *q, uint32_t base)
{
	const struct vring_used *used = q->device;

	int err = q->inflight ? vhu_inflight_split_recover(q, &base) : 0;

	if (err)
		return err;
	if (base > UINT16_MAX)
		return -EINVAL;
	q->next_avail = q->avail_seen = (uint16_t)base;
	q->next_used = q->used_published = vhu_load_le16(&used->idx);
	return 0;
}

static uint32_t split_base(const struct vhu_virtqueue *q)
{
	return q->next_avail;
}

static bool split_is_new(const struct vhu_virtqueue *q)
{
	const struct vring_used *used = q->device;

	return q->next_avail == 0 && vhu_load_le16(&used->idx) == 0;
}

static bool split_has_news(struct vhu_virtqueue *q)
{
	const struct vring_avail *avail = q->driver;
	uint16_t idx = vhu_load_acquire_le16(&avail->idx);

	/* While requests of the last run are left nothing is seen: so pop need not ask. */
	if (idx == q->avail_seen || inflight_has_again(q))
		return false;
	if ((uint16_t)(idx - q->next_avail) > q->size) {
		vhu_virtqueue_break(q, "the available index is more than the queue's size ahead");
		return false;
	}
	q->avail_seen = idx;
	return true;
}

/*
 * Goes on in the table that desc names (virtio 1.3, 2.7.5.3). It may come after direct descriptors
 * and its own WRITE flag means nothing (2.7.5.3.2).
 */
static int enter_table(struct vhu_virtqueue *q, struct descriptor desc, struct table *table)
{
	if (table->indirect)
		return chain_malformed(q, "an indirect table within an indirect table");
	if (desc.third & VRING_DESC_F_NEXT)
		return chain_malformed(q, "a descriptor after an indirect table");
	return vhu_table_open(q, desc.addr, desc.len, table);
}

/* Returns as vhu_gather_pieces(). As many descriptors as the table has, then it is a loop. */
static int read_chain(struct vhu_virtqueue *q, struct vhu_chain *chain)
{
	struct table table = { .host = q->desc, .count = q->size };
	uint32_t i = chain->head, left = q->size;
	struct descriptor desc;
	struct vhu_gather g;
	int err;

	gather_begin(&g, chain);
	for (;;) {
		if (!left--)
			return chain_malformed(q, "a loop of descriptors");
		err = table_fetch(q, &table, i, &desc);
		if (err)
			return err;
		if (desc.third & VRING_DESC_F_INDIRECT) {
			err = enter_table(q, desc, &table);
			if (err)
				return err;
			left = table.count;
			i = 0;
			continue;
		}
		err = gather_add(q, &g, desc.addr, desc.len, desc.third & VRING_DESC_F_WRITE);
		if (err)
			return err;
		if (!(desc.third & VRING_DESC_F_NEXT))
			return gather_end(q, &g);
		i = desc.fourth;
		if (i >= table.count)
			return chain_malformed(q, "a next descriptor outside its table");
	}
}

static void split_push(struct vhu_virtqueue *q, const struct vhu_chain *chain, uint32_t written)
{
	struct vring_used *used = q->device;
	struct vring_used_elem *elem = &used->ring[q->next_used & (q->size - 1)];

	elem->id = htole32(chain->head);
	elem->len = htole32(written);
	q->next_used++;
	if (q->inflight)
		inflight_pushed(q, chain->head);
}

/*
 * Brings in the descriptors of an entry whose turn comes soon: they are in the driver's CPU's
 * cache. Only a hint, so the head is read again, and checked, when it is its turn.
 */
static inline void prefetch(const struct vhu_virtqueue *q)
{
	const struct vring_avail *avail = q->driver;
	const struct vring_desc *desc = q->desc;
	uint16_t mask = (uint16_t)(q->size - 1), head;

	if ((uint16_t)(q->avail_seen - q->next_avail) <= PREFETCH_ENTRIES)
		return;
	head = vhu_load_le16(&avail->ring[(q->next_avail + PREFETCH_ENTRIES) & mask]);
	__builtin_prefetch(&desc[head & mask]);
}

/* What was in flight when the ring started; its entry in the available ring may be another's. */
static struct vhu_chain *pop_again(struct vhu_virtqueue *q)
{
	struct vhu_chain *chain = chain_get(q);

	if (!chain)
		return NULL;
	chain->head = inflight_pop_again(q, chain);
	return read_chain(q, chain) ? chain_refused(q, chain) : chain;
}

static struct vhu_chain *split_pop(struct vhu_virtqueue *q)
{
	const struct vring_avail *avail = q->driver;
	struct vhu_chain *chain;
	uint16_t head;

	if (q->next_avail == q->avail_seen) {
		if (inflight_has_again(q))
			return pop_again(q);
		if (!split_has_news(q))
			return NULL;
	}
	head = vhu_load_le16(&avail->ring[q->next_avail & (q->size - 1)]);
	if (head >= q->size) {
		vhu_virtqueue_break(q, "an available entry that names no descriptor");
		return NULL;
	}
	chain = chain_get(q);
	if (!chain)
		return NULL;
	chain->head = head;
	prefetch(q);
	q->next_avail++;
	if (q->inflight)
		inflight_split_take(q, chain);
	return read_chain(q, chain) ? chain_refused(q, chain) : chain;
}

static void split_unpop(struct vhu_virtqueue *q, const struct vhu_chain *chain)
{
	q->next_avail--;
	if (q->inflight)
		inflight_split_give_back(q, chain->head);
}

/* The entries from old to new; what was pushed and is never published nobody reads. */
static void log_entries(const struct vhu_virtqueue *q, uint16_t old, uint16_t new)
{
	const struct vring_used *used = NULL;
	uint16_t first = old & (q->size - 1), n = (uint16_t)(new - old);
	uint16_t to_end = (uint16_t)min_u64(n, q->size - first);

	log_device_area(q, offsetof(struct vring_used, ring) + first * sizeof(used->ring[0]),
			to_end * sizeof(used->ring[0]));
	log_device_area(q, offsetof(struct vring_used, ring), (n - to_end) * sizeof(used->ring[0]));
	log_device_area(q, offsetof(struct vring_used, idx), sizeof(used->idx));
}

static bool split_publish(struct vhu_virtqueue *q)
{
	const struct vring_avail *avail = q->driver;
	struct vring_used *used = q->device;
	uint16_t old = q->used_published, new = q->next_used;
	bool signalled = q->signalled;

	if (new == old)
		return false;
	if (q->inflight)
		vhu_inflight_split_link(q);
	vhu_store_release_le16(&used->idx, new);
	if (q->inflight)
		vhu_inflight_split_clear(q, new);
	if (q->memory->log)
		log_entries(q, old, new);
	q->used_published = new;
	q->signalled = true;
	/* The driver stores its wish and then looks at the index (virtio 1.3, 2.7.7.2, 2.7.10). */
	vhu_full_barrier();
	if (!q->event_idx)
		return !(vhu_load_le16(&avail->flags) & VRING_AVAIL_F_NO_INTERRUPT);
	/* Who published before us may have gone without the call: the first time always calls. */
	return vring_need_event(vhu_load_le16(&avail->ring[q->size]), new, old) || !signalled;
}

/* A word of the used ring that is not part of an entry. */
static void store_word(struct vhu_virtqueue *q, size_t offset, uint16_t value)
{
	vhu_store_le16((char *)q->device + offset, value);
	log_device_area(q, offset, sizeof(value));
}

static size_t avail_event_offset(const struct vhu_virtqueue *q)
{
	return offsetof(struct vring_used, ring) + q->size * sizeof(struct vring_used_elem);
}

static bool split_enable_kicks(struct vhu_virtqueue *q)
{
	if (q->event_idx)
		store_word(q, avail_event_offset(q), q->avail_seen);
	else
		store_word(q, offsetof(struct vring_used, flags), 0);
	/* The driver stores the index and then looks at this (virtio 1.3, 2.7.10, 2.7.13.3). */
	vhu_full_barrier();
	return split_has_news(q);
}

/* With event indices nothing: the one we asked for stays behind, and so is no event. */
static void split_disable_kicks(struct vhu_virtqueue *q)
{
	if (!q->event_idx)
		store_word(q, offsetof(struct vring_used, flags), VRING_USED_F_NO_NOTIFY);
}

/* Alignments and sizes: virtio 1.3, 2.7; with the event indices at the ends of both rings. */
const struct vhu_ring_layout vhu_ring_split = {
	.desc = { .entry_bytes = 16, .align_bytes = 16, .access = VHU_ACCESS_READ },
	.driver = { .fixed_bytes = 6, .entry_bytes = 2, .align_bytes = 2,
		    .access = VHU_ACCESS_READ },
	.device = { .fixed_bytes = 6, .entry_bytes = 8, .align_bytes = 4,
		    .access = VHU_ACCESS_BOTH },
	.record = { .fixed_bytes = 16, .entry_bytes = 16 },
	.power_of_two = true,
	.start = split_start,
	.base = split_base,
	.is_new = split_is_new,
	.pop = split_pop,
	.unpop = split_unpop,
	.push = split_push,
	.publish = split_publish,
	.has_news = split_has_news,
	.enable_kicks = split_enable_kicks,
	.disable_kicks = split_disable_kicks,
};
