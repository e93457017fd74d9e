/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_TESTS_CRASH_WORLD_H
#define VHU_TESTS_CRASH_WORLD_H

/*
 * A driver and its ring, in memory that outlives the device: the ring, the in-flight record, and
 * all that the driver knows lie in one shared file, so that a copy of it is the world at an instant
 * and a device that dies takes nothing with it. The driver submits requests with a token, and the
 * device notes which token it has carried out; whoever finds that the two disagree says so in
 * fault.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/memory/map.h"
#include "common/memory/mapping.h"
#include "common/ring/virtqueue.h"

#define WORLD_MAX_SIZE 8
#define WORLD_BYTES 0x3000

/* The driver's own, and the notes of the device. */
struct world_slot {
	uint64_t token;	   /* 0: not submitted */
	uint64_t done;	   /* the token that the device has carried out */
	uint64_t finished; /* requests the driver got back from here */
	uint16_t n_descriptors;
	bool malformed;
};

struct world_notes {
	const char *fault;  /* the first disagreement, a constant text */
	uint32_t in_device; /* it is the device that runs */
	uint32_t n_lives;   /* devices so far; atomic */
	uint16_t size;
	bool packed;
	uint64_t next_token;
	uint64_t n_finished;
	uint16_t n_free;
	uint16_t avail, used; /* split: indices; packed: places, bit 15 is the wrap counter */
	uint16_t free[WORLD_MAX_SIZE]; /* split: descriptors */
	struct world_slot slots[WORLD_MAX_SIZE]; /* by head; packed: by buffer id */
};

struct world {
	int fd;
	char *mem; /* WORLD_BYTES of it */
	struct world_notes *notes;
	void *record;
	struct vhu_memory *memory;
	struct vhu_mapping *mapping; /* of the record */
	struct vhu_virtqueue_setup setup;
	uint64_t random;
};

/* features: RING_PACKED and IN_ORDER, or not. */
void world_init(struct world *w, uint16_t size, uint64_t features, uint64_t seed);
void world_finish(struct world *w);
uint32_t world_draw(struct world *w, uint32_t below);
void world_fault(struct world *w, const char *fault);

/* Submits one request of a random form if there is room. */
bool world_submit(struct world *w);
/* Takes back what the device shows as used; returns how many. */
unsigned world_collect(struct world *w);
/* Nothing is submitted that has not come back. */
bool world_is_idle(const struct world *w);

struct world_device {
	struct world *world;
	struct vhu_virtqueue q;
	struct vhu_chain *held[WORLD_MAX_SIZE];
	unsigned n_held;
};

/* Returns as vhu_virtqueue_start(). */
int world_device_start(struct world_device *d, struct world *w);
/* One random step: pop, unpop, push any of what is held, or publish. */
void world_device_step(struct world_device *d);
/* Until nothing is left to do. */
void world_device_finish(struct world_device *d);

#endif
