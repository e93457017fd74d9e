/* SPDX-License-Identifier: BSD-3-Clause */
#include "devices/blk/stats.h"

#define COUNTERS(X) \
	X(reads) X(read_bytes) X(writes) X(written_bytes) X(flushes) X(discards) X(zeroes) \
	X(erases) X(others) X(errors)

const char *const vhu_blk_counter_names[VHU_BLK_COUNTERS] = {
#define NAME(counter) #counter,
	COUNTERS(NAME)
};

static const size_t offsets[VHU_BLK_COUNTERS] = {
#define OFFSET(counter) offsetof(struct vhu_blk_stats, counter),
	COUNTERS(OFFSET)
};

struct vhu_counter *vhu_blk_counter(struct vhu_blk_stats *stats, size_t i)
{
	return (struct vhu_counter *)((char *)stats + offsets[i]);
}
