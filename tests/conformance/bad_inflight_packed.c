/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The in-flight record of the back-end that breaks rules on demand, for packed rings. It serves one
 * request after another, so all that there is to know is where the next is used: what was in flight
 * still stands there, available.
 */
#include <endian.h>
#include <errno.h>

#include "common/memory/access.h"
#include "tests/conformance/bad_parts.h"

struct entry {
	uint8_t inflight, padding;
	uint16_t next, last, num;
	uint64_t counter;
	uint16_t id, flags;
	uint32_t len;
	uint64_t addr;
};

struct region {
	uint64_t features;
	uint16_t version, desc_num, free_head, old_free_head, used_idx, old_used_idx;
	uint8_t used_wrap_counter, old_used_wrap_counter, padding[10];
	struct entry desc[];
};

uint64_t bad_record_packed_bytes(uint16_t queue_size)
{
	return sizeof(struct region) + queue_size * sizeof(struct entry);
}

static void note(struct region *region, struct bad_place used)
{
	region->used_idx = (uint16_t)used.at;
	region->used_wrap_counter = used.wrap;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static void commit(struct region *region)
{
	region->old_used_idx = region->used_idx;
	region->old_used_wrap_counter = region->used_wrap_counter;
}

/* Of the next to be used. What was about to be used, and is not, is to be done again. */
static struct bad_place place_of_next(const struct bad_ring *ring, const struct region *region)
{
	struct bad_place old = { region->old_used_idx, region->old_used_wrap_counter };

	return bad_packed_is_available(ring, old)
		       ? old
		       : (struct bad_place){ region->used_idx, region->used_wrap_counter };
}

int bad_record_packed_start(struct bad_ring *ring)
{
	struct region *region = bad_record_region(ring);
	bool right;

	if (!region || breaks("INF-08"))
		return 0;
	if (region->version == 0) {
		region->version = 1;
		region->desc_num = (uint16_t)ring->num;
		note(region, ring->packed.used);
		commit(region);
		return 0;
	}
	right = region->version == 1 && region->desc_num == ring->num &&
		region->used_idx < ring->num && region->old_used_idx < ring->num;
	dies_of("INF-12", !right);
	if (!right)
		return -EINVAL;
	ring->packed.used = place_of_next(ring, region);
	note(region, ring->packed.used);
	commit(region);
	ring->packed.avail = ring->packed.used;
	/* INF-15: and what is there is forgotten. */
	if (breaks("INF-15"))
		ring->packed.avail.wrap = !ring->packed.avail.wrap;
	return 0;
}

void bad_record_packed_take(const struct bad_ring *ring, uint16_t id)
{
	struct region *region = bad_record_region(ring);

	if (region && id < ring->num)
		region->desc[id].inflight = 1;
}

/* Just before the descriptor is used; to is the place of the next. */
void bad_record_packed_use(const struct bad_ring *ring, struct bad_place to)
{
	struct region *region = bad_record_region(ring);

	if (region)
		note(region, to);
}

void bad_record_packed_done(const struct bad_ring *ring, uint16_t id)
{
	struct region *region = bad_record_region(ring);

	if (!region)
		return;
	if (id < ring->num && !breaks("INF-03"))
		region->desc[id].inflight = 0;
	commit(region);
}
