/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The in-flight record of a packed ring. The ring's own descriptors are overwritten by used ones,
 * so the record has copies: each list of descriptors takes as many entries of the record, which are
 * linked, as are the entries that are free.
 */

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/base/num.h"
#include "common/ring/inflight_priv.h"
#include "common/ring/packed_priv.h"
#include "common/ring/table_priv.h"

/*
 * What has to change at once is stored at once: were the old used index and the old wrap counter
 * stored one after the other, a kill between the two would leave a place of another lap, and the
 * flags found there would tell nothing.
 */
#define HEADS offsetof(struct vhu_inflight_packed, free_head)
#define PLACES offsetof(struct vhu_inflight_packed, used_idx)
#define PLACES_END offsetof(struct vhu_inflight_packed, desc)

static_assert(HEADS % sizeof(uint32_t) == 0 && PLACES % sizeof(uint64_t) == 0 &&
		      PLACES + sizeof(uint64_t) <= PLACES_END,
	      "stores that cannot be torn");

union heads {
	struct {
		uint16_t now, old;
	};
	uint32_t word;
};

union places {
	struct {
		uint16_t idx, old_idx;
		uint8_t wrap, old_wrap;
		uint8_t padding[2];
	};
	uint64_t word;
};

static union heads load_heads(const struct vhu_inflight_tracker *t)
{
	const void *at = (const char *)t->record + HEADS;

	return (union heads){ .word = __atomic_load_n((const uint32_t *)at, __ATOMIC_RELAXED) };
}

static void store_heads(struct vhu_inflight_tracker *t, uint32_t now, uint32_t old)
{
	union heads heads = { .now = (uint16_t)now, .old = (uint16_t)old };
	void *at = (char *)t->record + HEADS;

	__atomic_store_n((uint32_t *)at, heads.word, __ATOMIC_RELEASE);
}

static union places load_places(const struct vhu_inflight_tracker *t)
{
	const void *at = (const char *)t->record + PLACES;

	return (union places){ .word = __atomic_load_n((const uint64_t *)at, __ATOMIC_RELAXED) };
}

static void store_places(struct vhu_inflight_tracker *t, uint16_t now, uint16_t old)
{
	union places places = {
		.idx = (uint16_t)offset_of(now),
		.old_idx = (uint16_t)offset_of(old),
		.wrap = now & WRAP ? 1 : 0,
		.old_wrap = old & WRAP ? 1 : 0,
	};
	void *at = (char *)t->record + PLACES;

	__atomic_store_n((uint64_t *)at, places.word, __ATOMIC_RELEASE);
}

static uint16_t place_of(uint16_t idx, uint8_t wrap)
{
	return (uint16_t)(idx | (wrap ? WRAP : 0));
}

/*
 * It is the move of the free list that takes the entries: until then they are free. The descriptors
 * are read from the ring once more, so that pop without a record does not pay; whoever takes the
 * copies up checks them anew.
 */
void vhu_inflight_packed_take(struct vhu_virtqueue *q, struct vhu_chain *chain)
{
	const struct vring_packed_desc *ring = q->desc;
	struct vhu_inflight_tracker *t = q->inflight;
	struct vhu_inflight_packed_desc *head = &t->packed->desc[t->free_head];
	uint32_t at = offset_of(q->next_avail), entry = t->free_head;

	chain->again = false;
	chain->entry = t->free_head;
	for (uint32_t n = 0; n < chain->span; n++) {
		struct descriptor desc = descriptor_read(&ring[at]);
		struct vhu_inflight_packed_desc *copy = &t->packed->desc[entry];

		/* There are as many as the ring has, and the ring's are counted. */
		assert(entry < t->desc_num);
		copy->id = desc.third;
		copy->flags = desc.fourth;
		copy->len = desc.len;
		copy->addr = desc.addr;
		at = at + 1 == q->size ? 0 : at + 1;
		t->links[chain->entry].last = (uint16_t)entry;
		entry = t->links[entry].next;
	}
	head->last = t->links[chain->entry].last;
	head->num = chain->span;
	head->counter = t->counter++;
	inflight_store8(&head->inflight, 1);
	t->free_head = (uint16_t)entry;
	store_heads(t, entry, entry);
}

/* Free entries may have changed since, so it is linked as one that was given back. */
void vhu_inflight_packed_give_back(struct vhu_virtqueue *q, const struct vhu_chain *chain)
{
	struct vhu_inflight_tracker *t = q->inflight;
	uint16_t last = t->links[chain->entry].last;

	t->links[last].next = t->free_head;
	inflight_store16(&t->packed->desc[last].next, t->free_head);
	t->free_head = chain->entry;
	store_heads(t, t->free_head, t->free_head);
	inflight_store8(&t->packed->desc[chain->entry].inflight, 0);
}

struct descriptor vhu_inflight_packed_read(const struct vhu_virtqueue *q, uint16_t *entry)
{
	struct vhu_inflight_packed_desc copy;

	vhu_copy_once(&copy, &q->inflight->packed->desc[*entry], sizeof(copy));
	*entry = q->inflight->links[*entry].next;
	return (struct descriptor){ copy.addr, copy.len, copy.id, copy.flags };
}

/*
 * A batch is given back by one store, that of its first descriptor's flags. Who dies before it has
 * the old free list and all of the batch in flight still; who dies behind it has two places that
 * differ, and at the old one flags that are not those of an available descriptor: then the new
 * free list and place hold.
 */
void vhu_inflight_packed_link(struct vhu_virtqueue *q, uint16_t from, uint16_t to)
{
	struct vhu_inflight_tracker *t = q->inflight;
	uint16_t head = t->free_head;

	for (uint32_t i = 0; i < t->n_batch; i++) {
		uint16_t last = t->links[t->batch[i]].last;

		t->links[last].next = head;
		inflight_store16(&t->packed->desc[last].next, head);
		head = t->batch[i];
	}
	store_heads(t, head, t->free_head);
	store_places(t, to, from);
	t->free_head = head;
}

void vhu_inflight_packed_clear(struct vhu_virtqueue *q, uint16_t to)
{
	struct vhu_inflight_tracker *t = q->inflight;

	for (uint32_t i = 0; i < t->n_batch; i++)
		inflight_store8(&t->packed->desc[t->batch[i]].inflight, 0);
	t->n_batch = 0;
	store_heads(t, t->free_head, t->free_head);
	store_places(t, to, to);
}

static bool is_in_flight(const struct vhu_inflight_tracker *t, uint32_t i)
{
	return __atomic_load_n(&t->packed->desc[i].inflight, __ATOMIC_RELAXED);
}

static bool any_in_flight(const struct vhu_inflight_tracker *t, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (is_in_flight(t, i))
			return true;
	return false;
}

static int make_links(struct vhu_inflight_tracker *t, uint32_t desc_num)
{
	t->desc_num = desc_num;
	t->links = calloc(desc_num, sizeof(*t->links));
	return t->links ? 0 : -ENOMEM;
}

static int begin(struct vhu_virtqueue *q, uint16_t used)
{
	struct vhu_inflight_tracker *t = q->inflight;
	int err = make_links(t, q->size);

	if (err)
		return err;
	if (offset_of(used) >= q->size)
		return -EINVAL;
	inflight_store16(&t->packed->version, 0);
	for (uint32_t i = 0; i < q->size; i++) {
		t->links[i].next = (uint16_t)(i + 1);
		inflight_store16(&t->packed->desc[i].next, (uint16_t)(i + 1));
		inflight_store8(&t->packed->desc[i].inflight, 0);
	}
	t->packed->features = 0;
	inflight_store16(&t->packed->desc_num, (uint16_t)q->size);
	store_heads(t, 0, 0);
	store_places(t, used, used);
	inflight_store16(&t->packed->version, VHU_INFLIGHT_VERSION);
	return 0;
}

static bool is_available(const struct vhu_virtqueue *q, uint16_t place)
{
	const struct vring_packed_desc *ring = q->desc;
	uint16_t flags = vhu_load_acquire_le16(&ring[offset_of(place)].flags);

	return (flags & (AVAIL | USED)) == flags_available(place);
}

/* The batch under way was given back, or it was not. *ret_used is the next place either way. */
static int settle(struct vhu_virtqueue *q, uint16_t *ret_used)
{
	struct vhu_inflight_tracker *t = q->inflight;
	union places places = load_places(t);
	union heads heads = load_heads(t);
	uint16_t now = place_of(places.idx, places.wrap);
	uint16_t old = place_of(places.old_idx, places.old_wrap);

	if (places.idx >= q->size || places.old_idx >= q->size)
		return -EBADMSG;
	/* A batch of a whole lap has the same index, and the other wrap counter. */
	if (now != old && !is_available(q, old)) {
		old = now;
		heads.old = heads.now;
	}
	store_heads(t, heads.old, heads.old);
	store_places(t, old, old);
	t->free_head = heads.old;
	*ret_used = old;
	return 0;
}

/* Each entry must be in one list only, once. */
static int claim(struct vhu_inflight_tracker *t, uint8_t *seen, uint32_t entry)
{
	if (entry >= t->desc_num || seen[entry])
		return -EBADMSG;
	seen[entry] = 1;
	t->links[entry].next = inflight_load16(&t->packed->desc[entry].next);
	return 0;
}

static int read_free_list(struct vhu_inflight_tracker *t, uint8_t *seen)
{
	for (uint32_t entry = t->free_head; entry != t->desc_num; entry = t->links[entry].next) {
		int err = claim(t, seen, entry);

		if (err)
			return err;
		inflight_store8(&t->packed->desc[entry].inflight, 0);
	}
	return 0;
}

/* Returns the number of its descriptors. */
static int read_list(struct vhu_inflight_tracker *t, uint8_t *seen, uint32_t head)
{
	uint16_t num = inflight_load16(&t->packed->desc[head].num);
	uint32_t entry = head;

	for (uint32_t i = 0; i < num; i++) {
		int err = claim(t, seen, entry);

		if (err)
			return err;
		t->links[head].last = (uint16_t)entry;
		entry = t->links[entry].next;
	}
	t->links[head].num = num;
	return num ? num : -EBADMSG;
}

/*
 * All that is not free must be in flight. Returns how many descriptors of the ring that is, which
 * lie from the used place on.
 */
static int read_lists(struct vhu_virtqueue *q)
{
	struct vhu_inflight_tracker *t = q->inflight;
	cleanup_free struct vhu_inflight_found *found = calloc(q->size, sizeof(*found));
	cleanup_free uint8_t *seen = calloc(t->desc_num, 1);
	uint32_t n = 0, n_taken = 0;
	int r;

	if (!found || !seen)
		return -ENOMEM;
	if (read_free_list(t, seen))
		return -EBADMSG;
	for (uint32_t i = 0; i < t->desc_num; i++) {
		if (!is_in_flight(t, i))
			continue;
		r = read_list(t, seen, i);
		if (r < 0 || (uint32_t)r > q->size - n_taken)
			return -EBADMSG;
		n_taken += (uint32_t)r;
		found[n++] = (struct vhu_inflight_found){ t->packed->desc[i].counter, (uint16_t)i };
	}
	if (memchr(seen, 0, t->desc_num))
		return -EBADMSG;
	vhu_inflight_do_again(t, found, n);
	return (int)n_taken;
}

/*
 * Descriptors that were pushed and not shown have the flags of used ones, all but the first: a
 * driver that is shown the first would take the others for its, though they are done again. Nobody
 * reads those that a driver made and we have taken.
 */
static void take_back(struct vhu_virtqueue *q, uint16_t from, uint16_t to)
{
	struct vring_packed_desc *ring = q->desc;

	for (uint16_t place = from; place != to; place = move_on(q, place, 1)) {
		uint16_t *flags = &ring[offset_of(place)].flags;

		vhu_store_release_le16(flags, flags_available(place));
	}
	if (q->memory->log)
		vhu_packed_log(q, from, to);
}

int vhu_inflight_packed_recover(struct vhu_virtqueue *q, uint32_t *base)
{
	struct vhu_inflight_tracker *t = q->inflight;
	uint16_t version = inflight_load16(&t->packed->version), used, avail;
	uint32_t desc_num = inflight_load16(&t->packed->desc_num);
	int r;

	if (version == 0)
		return begin(q, (uint16_t)(*base >> 16));
	if (version != VHU_INFLIGHT_VERSION || t->packed->features ||
	    desc_num > vhu_inflight_room(q))
		return -EBADMSG;
	/* Another driver's, with another size. */
	if (desc_num != q->size && !any_in_flight(t, desc_num))
		return begin(q, (uint16_t)(*base >> 16));
	if (desc_num < q->size)
		return -EBADMSG;
	r = make_links(t, desc_num);
	if (r == 0)
		r = settle(q, &used);
	if (r == 0)
		r = read_lists(q);
	if (r < 0)
		return r;
	avail = move_on(q, used, (uint32_t)r);
	take_back(q, used, avail);
	*base = avail | (uint32_t)used << 16;
	return 0;
}
