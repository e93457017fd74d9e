/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_TESTS_BENCH_FRAMEWORK_BARE_H
#define VHU_TESTS_BENCH_FRAMEWORK_BARE_H

/*
 * A device that believes all that the driver says: the least that is to be done for a request, to
 * hold against what the checks of a virtqueue cost. It makes the same segments and asks for the
 * same notifications.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "common/memory/map.h"
#include "common/ring/virtqueue.h"

#define BARE_SEGMENTS 128

struct bare {
	char *host; /* of guest address gpa: one region, which holds everything */
	uint64_t gpa;
	void *desc, *driver, *device;
	uint32_t size;
	bool event_idx;
	uint16_t next_avail, next_used; /* split: indices; packed: offsets */
	bool avail_wrap, used_wrap;
	uint32_t n_readable, n_writable; /* of the chain at hand */
	struct iovec iov[BARE_SEGMENTS];
};

void bare_init(struct bare *bare, const struct vhu_virtqueue_setup *setup,
	       const struct vhu_memory *memory);
/* Serves what there is, a publish for each batch. Returns the requests. */
unsigned bare_serve_split(struct bare *bare, unsigned batch);
unsigned bare_serve_packed(struct bare *bare, unsigned batch);

#endif
