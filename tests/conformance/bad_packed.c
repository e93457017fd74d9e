/* SPDX-License-Identifier: BSD-3-Clause */
/* Packed rings of the back-end that breaks rules on demand. */
#include <endian.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "common/base/num.h"
#include "common/memory/access.h"
#include "tests/conformance/bad_parts.h"

#define AVAIL 0x80u
#define USED 0x8000u
#define INITIAL_BASE 0x80008000u

bool bad_is_packed(void)
{
	return bad.acked & VHU_BIT(VHU_F_RING_PACKED);
}

static struct bad_place place_of(uint32_t half)
{
	return (struct bad_place){ half & 0x7fff, half >> 15 & 1 };
}

static uint32_t half_of(struct bad_place place)
{
	return place.at | (place.wrap ? 0x8000u : 0);
}

static void move_on(const struct bad_ring *ring, struct bad_place *place, uint32_t n)
{
	place->at += n;
	if (place->at < ring->num)
		return;
	place->at -= ring->num;
	place->wrap = !place->wrap;
}

void bad_packed_set_base(struct bad_ring *ring, uint32_t base)
{
	if (breaks("PKD-07"))
		base = INITIAL_BASE;
	ring->packed.avail = place_of(base & 0xffff);
	ring->packed.used = place_of(base >> 16);
}

uint32_t bad_packed_base(const struct bad_ring *ring)
{
	uint32_t avail = half_of(ring->packed.avail), used = half_of(ring->packed.used);

	if (breaks("PKD-06") || breaks("PKD-08"))
		used = breaks("PKD-06") ? 0 : used ^ 1;
	return avail | used << 16;
}

/* How far the second place is ahead of the first. */
static int64_t ahead(const struct bad_ring *ring, struct bad_place from, struct bad_place to)
{
	return (int64_t)to.at - from.at + (to.wrap == from.wrap ? 0 : (int64_t)ring->num);
}

int bad_packed_start(struct bad_ring *ring)
{
	struct bad_packed *packed = &ring->packed;
	int64_t in_flight = ahead(ring, packed->used, packed->avail);
	bool odd = packed->avail.at >= ring->num || packed->used.at >= ring->num || in_flight < 0 ||
		   in_flight > (int64_t)ring->num;

	dies_of("PKD-16", odd);
	packed->desc = bad_at_ring(ring->addr.desc_uaddr, 16ull * ring->num, 3);
	packed->driver = bad_at_ring(ring->addr.avail_uaddr, 4, 1);
	packed->device = bad_at_ring(ring->addr.used_uaddr, 4, 3);
	if (odd || !ring->num || !packed->desc || !packed->driver || !packed->device)
		return -EINVAL;
	if (!ring->started && bad_record_packed_start(ring) < 0)
		return -EINVAL;
	ring->started = true;
	ring->broken = breaks("PKD-03") && !(bad.acked & VHU_BIT(VHU_F_RING_EVENT_IDX));
	return 0;
}

bool bad_packed_is_available(const struct bad_ring *ring, struct bad_place place)
{
	uint16_t flags = vhu_load_acquire_le16(&ring->packed.desc[place.at].flags);

	return (flags & (AVAIL | USED)) == (place.wrap ? AVAIL : USED);
}

static bool add(struct bad_chain *chain, const struct vring_packed_desc *desc)
{
	bool writable = desc->flags & htole16(VRING_DESC_F_WRITE);

	if (chain->n == BAD_SEGMENTS || (!writable && chain->n > chain->n_readable))
		return false;
	chain->segments[chain->n++] = (struct bad_segment){
		le64toh(desc->addr), le32toh(desc->len)
	};
	chain->n_readable += !writable;
	return true;
}

static bool add_table(struct bad_chain *chain, const struct vring_packed_desc *whole)
{
	uint32_t len = le32toh(whole->len);
	struct vring_packed_desc desc;

	if (!len || len % 16 || breaks("PKD-02") ||
	    (breaks("PKD-12") && whole->flags & htole16(VRING_DESC_F_WRITE)))
		return false;
	for (uint32_t i = 0; i < len / 16; i++)
		if (!bad_read(le64toh(whole->addr) + 16ull * i, &desc, 16) ||
		    (breaks("PKD-11") && desc.flags & htole16(VRING_DESC_F_INDIRECT)) ||
		    !add(chain, &desc))
			return false;
	return true;
}

/* Returns the number of descriptors of the list, or 0: it has no end. */
static uint32_t gather(const struct bad_ring *ring, struct bad_place place,
		       struct bad_chain *chain, bool *ret_right)
{
	struct vring_packed_desc desc;
	uint32_t n = 0;

	*chain = (struct bad_chain){ .head = 0 };
	*ret_right = true;
	do {
		if (n == ring->num || !bad_packed_is_available(ring, place))
			return 0;
		desc = ring->packed.desc[place.at];
		if (!n++ || !breaks("PKD-10"))
			chain->head = le16toh(desc.id);
		move_on(ring, &place, 1);
		if (desc.flags & htole16(VRING_DESC_F_INDIRECT))
			*ret_right = *ret_right && add_table(chain, &desc);
		else
			*ret_right = *ret_right && add(chain, &desc);
	} while (desc.flags & htole16(VRING_DESC_F_NEXT));
	return n;
}

static void push(struct bad_ring *ring, uint16_t id, uint32_t len, uint32_t span)
{
	struct bad_place *used = &ring->packed.used;
	struct vring_packed_desc *desc = &ring->packed.desc[used->at];
	uint16_t flags = used->wrap ? AVAIL | USED : 0;
	struct bad_place next = *used;

	if (len && !breaks("PKD-09"))
		flags |= VRING_DESC_F_WRITE;
	desc->id = htole16(id);
	desc->len = htole32(len);
	move_on(ring, &next, breaks("PKD-05") && span > 1 ? span - 1 : span);
	bad_record_packed_use(ring, next);
	vhu_store_release_le16(&desc->flags, flags);
	*used = next;
	bad_record_packed_done(ring, id);
	if (breaks("PKD-01"))
		used->wrap = true;
}

static bool wants_call(const struct bad_ring *ring, struct bad_place before)
{
	uint16_t flags, off_wrap;
	int64_t at;

	vhu_full_barrier();
	flags = vhu_load_acquire_le16(&ring->packed.driver->flags);
	off_wrap = vhu_load_le16(&ring->packed.driver->off_wrap);
	if (flags != VRING_PACKED_EVENT_FLAG_DESC || breaks("PKD-14"))
		return breaks("PKD-13") || flags == VRING_PACKED_EVENT_FLAG_ENABLE;
	at = ahead(ring, before, place_of(off_wrap));
	return at >= 0 && at < ahead(ring, before, ring->packed.used);
}

static void ask_kicks(struct bad_ring *ring)
{
	bool by_index = bad.acked & VHU_BIT(VHU_F_RING_EVENT_IDX);

	vhu_store_le16(&ring->packed.device->off_wrap, (uint16_t)half_of(ring->packed.avail));
	vhu_store_release_le16(&ring->packed.device->flags,
			       by_index ? VRING_PACKED_EVENT_FLAG_DESC :
					  VRING_PACKED_EVENT_FLAG_ENABLE);
	vhu_full_barrier();
}

static struct bad_chain held;
static uint32_t held_span;

static bool is_next_available(const struct bad_ring *ring, uint32_t span)
{
	struct bad_place next = ring->packed.avail;

	move_on(ring, &next, span);
	return bad_packed_is_available(ring, next);
}

/* ORD-02: the first of two comes after the second. */
static void use(struct bad_ring *ring, struct bad_chain *chain, uint32_t span)
{
	uint32_t len;

	if (breaks("ORD-02") && !held_span && is_next_available(ring, span)) {
		held = *chain;
		held_span = span;
		move_on(ring, &ring->packed.avail, span);
		return;
	}
	bad_record_packed_take(ring, chain->head);
	len = bad_device_serve(chain);
	if (bad_iotlb_missed())
		return;
	move_on(ring, &ring->packed.avail, span);
	push(ring, chain->head, len, span);
	if (held_span) {
		usleep(BAD_LATE_US);
		push(ring, held.head, bad_device_serve(&held), held_span);
	}
	held_span = 0;
}

void bad_packed_run(struct bad_ring *ring)
{
	static struct bad_chain chain;
	struct bad_place before = ring->packed.used;
	bool right;

	do {
		while (!ring->broken && bad_packed_is_available(ring, ring->packed.avail)) {
			uint32_t span;

			bad_iotlb_begin();
			span = gather(ring, ring->packed.avail, &chain, &right);
			if (bad_iotlb_missed())
				goto out;
			dies_of("PKD-15", !span || !right);
			ring->broken = !span || !right;
			if (ring->broken)
				break;
			use(ring, &chain, span);
			if (bad_iotlb_missed())
				goto out;
		}
		ask_kicks(ring);
	} while (!ring->broken && bad_packed_is_available(ring, ring->packed.avail));
out:
	if (half_of(before) != half_of(ring->packed.used) && wants_call(ring, before))
		bad_ring_call(ring);
}
