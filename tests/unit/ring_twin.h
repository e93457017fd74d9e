/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_TESTS_RING_TWIN_H
#define VHU_TESTS_RING_TWIN_H

/*
 * One driver for both layouts, so that a test can say the same to a split and to a packed ring. It
 * has TWIN_REQUESTS requests, each with TWIN_STRIDE descriptors of a split ring for itself and a
 * zone of memory.
 */

#include "tests/unit/packed_guest.h"

#define TWIN_REQUESTS 16u
#define TWIN_STRIDE 4u
#define TWIN_SIZE (TWIN_REQUESTS * TWIN_STRIDE)
#define TWIN_ZONE_BYTES 0x8000ull

struct twin {
	bool packed;
	bool event_idx;
	struct packed p; /* its guest is the split ring's too */
	unsigned spans[TWIN_REQUESTS];
};

/* A running queue, at its beginning. IN_ORDER and the others are features. */
void twin_start(struct twin *t, bool packed, uint64_t features);
/* Stop and start as a session does it, from the base that the queue had. */
void twin_restart(struct twin *t);
void twin_finish(struct twin *t);

static inline uint64_t twin_zone(unsigned id)
{
	return GUEST_DATA + id * TWIN_ZONE_BYTES;
}

/* Writes n elements as an indirect table of the layout. */
void twin_write_table(const struct twin *t, uint64_t gpa, const struct element *elements,
		      unsigned n);
/*
 * Makes request id available: up to TWIN_STRIDE elements, NEXT set by the caller. True when the
 * device wants a kick for it.
 */
bool twin_offer(struct twin *t, unsigned id, const struct element *elements, unsigned n);
unsigned twin_id(const struct twin *t, const struct vhu_chain *chain);

/* The next used request. */
bool twin_get_used(struct twin *t, unsigned *ret_id, uint32_t *ret_len);
/* A call at the next used request, or none. */
void twin_want_call(struct twin *t, bool wanted);

#endif
