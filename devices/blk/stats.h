/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_DEVICES_BLK_STATS_H
#define VHU_DEVICES_BLK_STATS_H

/* What a disk counts, one set a queue. */

#include <stddef.h>

#include "common/base/log.h"
#include "common/base/stats.h"

/* Its worker counts. */
struct vhu_blk_stats {
	struct vhu_counter reads, read_bytes;
	struct vhu_counter writes, written_bytes;
	struct vhu_counter flushes;
	struct vhu_counter discards;
	struct vhu_counter zeroes;
	struct vhu_counter erases;
	struct vhu_counter others;
	struct vhu_counter errors;
	struct vhu_log_limit log_limit;
} __attribute__((aligned(64)));

/* The counters in an order that stays: it is that of the saved state. */
#define VHU_BLK_COUNTERS 10
extern const char *const vhu_blk_counter_names[VHU_BLK_COUNTERS];
struct vhu_counter *vhu_blk_counter(struct vhu_blk_stats *stats, size_t i);

#endif
