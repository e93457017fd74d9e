/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_TESTS_PACKED_GUEST_H
#define VHU_TESTS_PACKED_GUEST_H

/* The guest of ring_guest.h with a packed ring: its descriptors lie where the split ones would. */

#include "tests/unit/ring_guest.h"

#define PACKED (1ull << VIRTIO_F_RING_PACKED)
#define PACKED_BASE 0x80008000u /* of a driver that begins */
#define AVAIL (1 << VRING_PACKED_DESC_F_AVAIL)
#define USED (1 << VRING_PACKED_DESC_F_USED)
#define WRAP 0x8000 /* in a place: the wrap counter; below it the offset */

struct packed {
	struct guest g;
	uint32_t size;
	struct vring_packed_desc *ring;
	struct vring_packed_desc_event *driver, *device;
	uint16_t next_avail, next_used; /* places */
};

/* A descriptor but for what packed_offer() adds: the buffer id and the flags of its place. */
struct element {
	uint64_t addr;
	uint32_t len;
	uint16_t flags;
};

static inline uint16_t packed_place(const struct packed *p, uint16_t place, uint32_t n)
{
	for (; n; n--)
		place = (place & 0x7fff) + 1u == p->size ? ~place & WRAP : place + 1;
	return place;
}

/* The queue is not started; both sides stand at base. */
static inline void packed_init(struct packed *p, uint32_t size, uint64_t features, uint32_t base)
{
	static const uint64_t end = GUEST_BYTES;

	guest_init_regions(&p->g, size, features | PACKED, &end, 1);
	p->g.setup.base = base;
	p->size = size;
	p->ring = (void *)p->g.mem;
	p->driver = (void *)p->g.ring.avail;
	p->device = (void *)p->g.ring.used;
	p->next_avail = (uint16_t)base;
	p->next_used = (uint16_t)(base >> 16);
	/* The lap before: everything used. */
	for (uint32_t i = 0; i < size; i++)
		p->ring[i].flags =
			((i < (base & 0x7fff)) ^ !(base & WRAP)) ? htole16(AVAIL | USED) : 0;
}

static inline void packed_start(struct packed *p, uint32_t size, uint64_t features)
{
	packed_init(p, size, features, PACKED_BASE);
	assert_int_equal(vhu_virtqueue_start(&p->g.q, &p->g.setup, p->g.memory), 0);
}

/* Writes a list of n descriptors, the flags of its first one last. */
static inline void packed_offer(struct packed *p, uint16_t id, const struct element *list,
				unsigned n)
{
	uint16_t head = p->next_avail & 0x7fff, head_flags = 0;

	for (unsigned i = 0; i < n; i++) {
		struct vring_packed_desc *desc = &p->ring[p->next_avail & 0x7fff];
		uint16_t flags = list[i].flags | (p->next_avail & WRAP ? AVAIL : USED);

		desc->addr = htole64(list[i].addr);
		desc->len = htole32(list[i].len);
		desc->id = htole16(i + 1 < n ? (uint16_t)~id : id); /* the last one has it */
		if (i)
			desc->flags = htole16(flags);
		else
			head_flags = flags;
		p->next_avail = packed_place(p, p->next_avail, 1);
	}
	vhu_store_release_le16(&p->ring[head].flags, head_flags);
}

static inline void packed_offer_one(struct packed *p, uint16_t id, uint64_t addr, uint32_t len,
				    uint16_t flags)
{
	packed_offer(p, id, &(struct element){ addr, len, flags }, 1);
}

static inline bool packed_is_used(const struct packed *p)
{
	uint16_t flags = vhu_load_acquire_le16(&p->ring[p->next_used & 0x7fff].flags);

	return (flags & (AVAIL | USED)) == (p->next_used & WRAP ? AVAIL | USED : 0);
}

/* The next used descriptor is this one, for a list of span descriptors. */
static inline void packed_expect_used(struct packed *p, uint16_t id, uint32_t len, unsigned span)
{
	const struct vring_packed_desc *desc = &p->ring[p->next_used & 0x7fff];

	assert_true(packed_is_used(p));
	assert_int_equal(le16toh(desc->id), id);
	assert_int_equal(le32toh(desc->len), len);
	assert_int_equal(le16toh(desc->flags) & ~(AVAIL | USED), len ? WRITE : 0);
	p->next_used = packed_place(p, p->next_used, span);
}

static inline void packed_finish(struct packed *p)
{
	guest_finish(&p->g);
}

#endif
