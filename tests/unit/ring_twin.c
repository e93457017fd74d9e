/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/unit/ring_twin.h"

void twin_start(struct twin *t, bool packed, uint64_t features)
{
	memset(t, 0, sizeof(*t));
	t->packed = packed;
	t->event_idx = features & EVENT_IDX;
	packed_init(&t->p, TWIN_SIZE, features, PACKED_BASE);
	if (!packed) {
		t->p.g.setup.features &= ~PACKED;
		t->p.g.setup.base = 0;
	}
	assert_int_equal(vhu_virtqueue_start(&t->p.g.q, &t->p.g.setup, t->p.g.memory), 0);
}

void twin_restart(struct twin *t)
{
	struct guest *g = &t->p.g;

	vhu_virtqueue_stop(&g->q);
	g->setup.base = vhu_virtqueue_base(&g->q);
	assert_int_equal(vhu_virtqueue_start(&g->q, &g->setup, g->memory), 0);
}

void twin_finish(struct twin *t)
{
	guest_finish(&t->p.g);
}

void twin_write_table(const struct twin *t, uint64_t gpa, const struct element *elements,
		      unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		const struct element *e = &elements[i];
		struct vring_packed_desc packed = { htole64(e->addr), htole32(e->len), 0,
						    htole16(e->flags & WRITE) };
		struct vring_desc split;

		guest_desc(&split, 0, e->addr, e->len,
			   (e->flags & WRITE) | (i + 1 < n ? NEXT : 0), (uint16_t)(i + 1));
		memcpy(guest_at(&t->p.g, gpa + i * 16ull),
		       t->packed ? (void *)&packed : (void *)&split, 16);
	}
}

static bool split_offer(struct twin *t, unsigned id, const struct element *elements, unsigned n)
{
	struct guest *g = &t->p.g;
	uint16_t head = (uint16_t)(id * TWIN_STRIDE), idx = le16toh(g->ring.avail->idx);

	for (unsigned i = 0; i < n; i++)
		guest_desc(g->ring.desc, (uint16_t)(head + i), elements[i].addr, elements[i].len,
			   elements[i].flags, (uint16_t)(head + i + 1));
	guest_offer(g, head);
	if (!t->event_idx)
		return !(le16toh(g->ring.used->flags) & VRING_USED_F_NO_NOTIFY);
	return vring_need_event(le16toh(vring_avail_event(&g->ring)), (uint16_t)(idx + 1), idx);
}

/* Was the place passed over on the way from one to the other? */
static bool passed(const struct packed *p, uint16_t place, uint16_t from, unsigned n)
{
	for (; n; n--, from = packed_place(p, from, 1))
		if (place == from)
			return true;
	return false;
}

bool twin_offer(struct twin *t, unsigned id, const struct element *elements, unsigned n)
{
	struct packed *p = &t->p;
	uint16_t old = p->next_avail, flags = le16toh(p->device->flags);

	t->spans[id] = n;
	if (!t->packed)
		return split_offer(t, id, elements, n);
	packed_offer(p, (uint16_t)id, elements, n);
	if (flags == VRING_PACKED_EVENT_FLAG_DESC)
		return passed(p, le16toh(p->device->off_wrap), old, n);
	return flags == VRING_PACKED_EVENT_FLAG_ENABLE;
}

unsigned twin_id(const struct twin *t, const struct vhu_chain *chain)
{
	unsigned id = t->packed ? chain->head : chain->head / TWIN_STRIDE;

	assert_true(id < TWIN_REQUESTS);
	return id;
}

bool twin_get_used(struct twin *t, unsigned *ret_id, uint32_t *ret_len)
{
	struct vring *ring = &t->p.g.ring;
	const struct vring_packed_desc *desc = &t->p.ring[t->p.next_used & ~WRAP];
	const struct vring_used_elem *elem = &ring->used->ring[t->p.g.used_seen % TWIN_SIZE];

	if (t->packed ? !packed_is_used(&t->p) : le16toh(ring->used->idx) == t->p.g.used_seen)
		return false;
	*ret_id = t->packed ? le16toh(desc->id) : le32toh(elem->id) / TWIN_STRIDE;
	*ret_len = t->packed ? le32toh(desc->len) : le32toh(elem->len);
	assert_true(*ret_id < TWIN_REQUESTS);
	if (t->packed)
		t->p.next_used = packed_place(&t->p, t->p.next_used, t->spans[*ret_id]);
	else
		t->p.g.used_seen++;
	return true;
}

static void packed_want_call(struct twin *t, bool wanted)
{
	struct vring_packed_desc_event *event = t->p.driver;
	/* A place that was passed is as good as none. */
	uint16_t place = wanted ? t->p.next_used
				: packed_place(&t->p, t->p.next_used, 2 * TWIN_SIZE - 1);

	event->off_wrap = htole16(place);
	if (t->event_idx)
		event->flags = htole16(VRING_PACKED_EVENT_FLAG_DESC);
	else
		event->flags = htole16(wanted ? VRING_PACKED_EVENT_FLAG_ENABLE
					      : VRING_PACKED_EVENT_FLAG_DISABLE);
}

void twin_want_call(struct twin *t, bool wanted)
{
	struct guest *g = &t->p.g;

	if (t->packed)
		packed_want_call(t, wanted);
	else if (t->event_idx)
		vring_used_event(&g->ring) = htole16((uint16_t)(g->used_seen - !wanted));
	else
		g->ring.avail->flags = htole16(wanted ? 0 : VRING_AVAIL_F_NO_INTERRUPT);
}
