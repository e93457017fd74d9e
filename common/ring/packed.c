/* SPDX-License-Identifier: BSD-3-Clause */

/* The packed virtqueue (virtio 1.3, 2.8). */

#include <assert.h>
#include <string.h>

#include <linux/virtio_ring.h>

#include "common/base/num.h"
#include "common/memory/access.h"
#include "common/ring/descriptor_priv.h"
#include "common/ring/inflight_priv.h"
#include "common/ring/packed_priv.h"

static_assert(sizeof(struct vring_packed_desc) == DESCRIPTOR_BYTES, "virtio 1.3, 2.8.13");
static_assert(sizeof(struct vring_packed_desc_event) == 4, "virtio 1.3, 2.8.14");

#define EVENT_FLAGS 3u /* the others are reserved (virtio 1.3, 2.8.14) */

#define INITIAL_BASE (WRAP | WRAP << 16)

static inline uint16_t move_back(const struct vhu_virtqueue *q, uint16_t place, uint32_t n)
{
	if (offset_of(place) >= n)
		return (uint16_t)(place - n);
	return (uint16_t)((offset_of(place) + q->size - n) | (~place & WRAP));
}

/* Descriptors from one place to another that is less than two laps ahead; negative: behind. */
static inline int32_t distance(const struct vhu_virtqueue *q, uint16_t from, uint16_t to)
{
	return (int32_t)(offset_of(to) - offset_of(from) + ((from ^ to) & WRAP ? q->size : 0));
}

/* What the driver can have made available: it has not got the rest back. */
static inline uint32_t room(const struct vhu_virtqueue *q)
{
	return q->size - (uint32_t)distance(q, q->used_published, q->next_avail);
}

/* Both places must be in the ring, and the next available one 0 to size after the used one. */
static int packed_start(struct vhu_virtqueue *q, uint32_t base)
{
	int err = q->inflight ? vhu_inflight_packed_recover(q, &base) : 0;
	int32_t in_flight;

	if (err)
		return err;
	q->next_avail = (uint16_t)base;
	q->next_used = q->used_published = (uint16_t)(base >> 16);
	in_flight = distance(q, q->next_used, q->next_avail);
	if (offset_of(q->next_avail) >= q->size || offset_of(q->next_used) >= q->size ||
	    in_flight < 0 || in_flight > (int32_t)q->size)
		return -EINVAL;
	return 0;
}

static uint32_t packed_base(const struct vhu_virtqueue *q)
{
	return q->next_avail | (uint32_t)q->next_used << 16;
}

/*
 * Every other lap begins as the first one does, but only then is the ring zero-initialised (virtio
 * 1.3, 2.8.13): the last descriptor tells, unless it is available (again) already. Then it is the
 * device's area that does, where we have left something if we were there.
 */
static bool packed_is_new(const struct vhu_virtqueue *q)
{
	static const struct vring_packed_desc zero;
	const struct vring_packed_desc *ring = q->desc;
	struct vring_packed_desc last;

	if (packed_base(q) != INITIAL_BASE)
		return false;
	vhu_copy_once(&last, &ring[q->size - 1], sizeof(last));
	if ((le16toh(last.flags) & (AVAIL | USED)) == flags_available(WRAP))
		return !vhu_load_le32(q->device);
	return !memcmp(&last, &zero, sizeof(last));
}

/*
 * Takes note of all that is there, since it is no news the next time. The first descriptor that is
 * not available begins a list: a list becomes available by its first one (virtio 1.3, 2.8.6). What
 * the driver wrote before it made a descriptor available is visible after this.
 */
static bool packed_has_news(struct vhu_virtqueue *q)
{
	const struct vring_packed_desc *ring = q->desc;
	uint16_t place = move_on(q, q->next_avail, q->n_seen);
	uint32_t n = q->n_seen, max = room(q), at = offset_of(place);
	uint16_t available = flags_available(place);

	while (n < max &&
	       (vhu_load_acquire_le16(&ring[at].flags) & (AVAIL | USED)) == available) {
		n++;
		if (++at == q->size) {
			at = 0;
			available ^= AVAIL | USED;
		}
	}
	/* While requests of the last run are left nothing is seen: so pop need not ask. */
	if (n == q->n_seen || inflight_has_again(q))
		return false;
	q->n_seen = (uint16_t)n;
	return true;
}

/* An indirect table stands alone, and of its flags only WRITE counts (virtio 1.3, 2.8.7). */
static inline int gather_table(struct vhu_virtqueue *q, struct vhu_gather *g,
			       struct descriptor desc, bool follows)
{
	struct descriptor inner;
	struct table table;
	int err;

	if (desc.fourth & VRING_DESC_F_NEXT)
		return chain_malformed(q, "a descriptor after an indirect table");
	if (follows)
		return chain_malformed(q, "an indirect table after a descriptor");
	err = vhu_table_open(q, desc.addr, desc.len, &table);
	for (uint32_t i = 0; !err && i < table.count; i++) {
		err = table_fetch(q, &table, i, &inner);
		if (!err)
			err = gather_add(q, g, inner.addr, inner.len,
					 inner.fourth & VRING_DESC_F_WRITE);
	}
	return err;
}

static inline int gather_descriptor(struct vhu_virtqueue *q, struct vhu_gather *g,
				    struct descriptor desc, bool follows)
{
	if (desc.fourth & VRING_DESC_F_INDIRECT)
		return gather_table(q, g, desc, follows);
	return gather_add(q, g, desc.addr, desc.len, desc.fourth & VRING_DESC_F_WRITE);
}

/*
 * Reads the list of descriptors at next_avail. One that is malformed is read to its end too: the
 * last descriptor has the buffer id, and the next list is behind it. So the end must be found, and
 * among what is there: a list becomes available as a whole.
 */
static int read_list(struct vhu_virtqueue *q, struct vhu_chain *chain)
{
	const struct vring_packed_desc *ring = q->desc;
	uint32_t at = offset_of(q->next_avail), n = 0;
	struct descriptor desc;
	struct vhu_gather g;
	int err = 0;

	gather_begin(&g, chain);
	do {
		if (n++ == q->n_seen) {
			vhu_virtqueue_break(q, "a list of descriptors without an end");
			return -EINVAL;
		}
		desc = descriptor_read(&ring[at]);
		at = at + 1 == q->size ? 0 : at + 1;
		if (!err)
			err = gather_descriptor(q, &g, desc, n > 1);
	} while (desc.fourth & VRING_DESC_F_NEXT);
	chain->head = desc.third;
	chain->span = (uint16_t)n;
	return err ? err : gather_end(q, &g);
}

/* The same from the in-flight record: in the ring there may be used descriptors in its place. */
static int read_recorded_list(struct vhu_virtqueue *q, struct vhu_chain *chain)
{
	uint16_t entry = chain->entry;
	struct descriptor desc = { 0 };
	struct vhu_gather g;
	int err = 0;

	gather_begin(&g, chain);
	chain->span = q->inflight->links[entry].num;
	for (uint32_t n = 0; n < chain->span; n++) {
		desc = vhu_inflight_packed_read(q, &entry);
		if (!err)
			err = gather_descriptor(q, &g, desc, n > 0);
	}
	chain->head = desc.third;
	return err ? err : gather_end(q, &g);
}

static struct vhu_chain *pop_again(struct vhu_virtqueue *q)
{
	struct vhu_chain *chain = chain_get(q);

	if (!chain)
		return NULL;
	chain->entry = inflight_pop_again(q, chain);
	return read_recorded_list(q, chain) ? chain_refused(q, chain) : chain;
}

static struct vhu_chain *packed_pop(struct vhu_virtqueue *q)
{
	struct vhu_chain *chain;
	int err;

	if (!q->n_seen) {
		if (inflight_has_again(q))
			return pop_again(q);
		if (!packed_has_news(q))
			return NULL;
	}
	chain = chain_get(q);
	if (!chain)
		return NULL;
	err = read_list(q, chain);
	if (q->broken) {
		chain_put(q, chain);
		return NULL;
	}
	if (q->inflight)
		vhu_inflight_packed_take(q, chain);
	q->next_avail = move_on(q, q->next_avail, chain->span);
	q->n_seen -= chain->span;
	return err ? chain_refused(q, chain) : chain;
}

static void packed_unpop(struct vhu_virtqueue *q, const struct vhu_chain *chain)
{
	q->next_avail = move_back(q, q->next_avail, chain->span);
	q->n_seen += chain->span;
	if (q->inflight)
		vhu_inflight_packed_give_back(q, chain);
}

/*
 * The driver looks at one place only, the next used one (virtio 1.3, 2.8.2): so the flags of the
 * first descriptor of a batch, written last, show it all of them.
 */
static void packed_push(struct vhu_virtqueue *q, const struct vhu_chain *chain, uint32_t written)
{
	struct vring_packed_desc *desc =
		(struct vring_packed_desc *)q->desc + offset_of(q->next_used);
	uint16_t flags = (uint16_t)((q->next_used & WRAP ? AVAIL | USED : 0) |
				    (written ? VRING_DESC_F_WRITE : 0));

	desc->id = htole16(chain->head);
	desc->len = htole32(written);
	if (q->next_used == q->used_published)
		q->first_used_flags = flags;
	else
		vhu_store_le16(&desc->flags, flags);
	q->next_used = move_on(q, q->next_used, chain->span);
	if (q->inflight)
		inflight_pushed(q, chain->entry);
}

/* Marks what was written to the ring, where it lies in guest memory (vhost-user, Migration). */
static void log_written(const struct vhu_virtqueue *q, const void *at, size_t len)
{
	if (q->memory->log && q->setup.log_device)
		vhu_ring_mark(q, at, len);
}

/* All from one place to another: the used descriptors are somewhere among them. */
void vhu_packed_log(const struct vhu_virtqueue *q, uint16_t from, uint16_t to)
{
	const struct vring_packed_desc *ring = q->desc;
	uint32_t n = (uint32_t)distance(q, from, to);
	uint32_t to_end = (uint32_t)min_u64(n, q->size - offset_of(from));

	log_written(q, &ring[offset_of(from)], to_end * sizeof(*ring));
	log_written(q, ring, (n - to_end) * sizeof(*ring));
}

static bool packed_publish(struct vhu_virtqueue *q)
{
	struct vring_packed_desc *ring = q->desc;
	uint16_t old = q->used_published;
	bool signalled = q->signalled;
	uint32_t event, wish;
	int32_t ahead;

	if (q->next_used == old)
		return false;
	if (q->inflight)
		vhu_inflight_packed_link(q, old, q->next_used);
	vhu_store_release_le16(&ring[offset_of(old)].flags, q->first_used_flags);
	if (q->inflight)
		vhu_inflight_packed_clear(q, q->next_used);
	if (q->memory->log)
		vhu_packed_log(q, old, q->next_used);
	q->used_published = q->next_used;
	q->signalled = true;
	/* The driver stores its wish and then looks at the flags (virtio 1.3, 2.8.22). */
	vhu_full_barrier();
	event = vhu_load_le32(q->driver);
	wish = event >> 16 & EVENT_FLAGS;
	if (wish == VRING_PACKED_EVENT_FLAG_DISABLE)
		return false;
	if (wish != VRING_PACKED_EVENT_FLAG_DESC || !q->event_idx)
		return true;
	ahead = distance(q, old, (uint16_t)event);
	/* Who published before us may have gone without the call: the first time always calls. */
	return (ahead >= 0 && ahead < distance(q, old, q->next_used)) || !signalled;
}

static void store_event(const struct vhu_virtqueue *q, uint32_t event)
{
	vhu_store_le32(q->device, event);
	log_written(q, q->device, sizeof(event));
}

static bool packed_enable_kicks(struct vhu_virtqueue *q)
{
	/* The place has no meaning here (virtio 1.3, 2.8.14), but zero is what a new ring has. */
	uint32_t event = WRAP | (uint32_t)VRING_PACKED_EVENT_FLAG_ENABLE << 16;

	if (q->event_idx)
		event = move_on(q, q->next_avail, q->n_seen) |
			(uint32_t)VRING_PACKED_EVENT_FLAG_DESC << 16;
	store_event(q, event);
	/* The driver stores the flags and then looks at this (virtio 1.3, 2.8.21.2). */
	vhu_full_barrier();
	return packed_has_news(q);
}

/* Looks first, since the driver reads it at each request: a store would take it from its cache. */
static void packed_disable_kicks(struct vhu_virtqueue *q)
{
	const uint32_t event = (uint32_t)VRING_PACKED_EVENT_FLAG_DISABLE << 16;

	if (vhu_load_le32(q->device) != event)
		store_event(q, event);
}

/* Alignments and sizes: virtio 1.3, 2.8.10.1. */
const struct vhu_ring_layout vhu_ring_packed = {
	.desc = { .entry_bytes = 16, .align_bytes = 16, .access = VHU_ACCESS_BOTH },
	.driver = { .fixed_bytes = 4, .align_bytes = 4, .access = VHU_ACCESS_READ },
	.device = { .fixed_bytes = 4, .align_bytes = 4, .access = VHU_ACCESS_BOTH },
	.initial_base = INITIAL_BASE,
	.record = { .fixed_bytes = 32, .entry_bytes = 32 },
	.start = packed_start,
	.base = packed_base,
	.is_new = packed_is_new,
	.pop = packed_pop,
	.unpop = packed_unpop,
	.push = packed_push,
	.publish = packed_publish,
	.has_news = packed_has_news,
	.enable_kicks = packed_enable_kicks,
	.disable_kicks = packed_disable_kicks,
};
