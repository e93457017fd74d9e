/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_DEVICES_INPUT_STATS_H
#define VHU_DEVICES_INPUT_STATS_H

/* What a device counts. Its worker counts; any thread may look. */

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/base/stats.h"

/* Latencies of 2^i us up to less than 2^(i + 1); the first has those below 1 us, too. */
#define VHU_INPUT_LATENCIES 24

struct vhu_input_stats {
	struct vhu_counter packets;   /* that the guest has got, whole */
	struct vhu_counter events;    /* of these */
	struct vhu_counter unheard;   /* packets that came while no driver listened */
	struct vhu_counter grabs;
	struct vhu_counter merged;    /* packets that were added to the one before */
	struct vhu_counter repairs;   /* packets made of a difference */
	struct vhu_counter overflows; /* the guest was too slow */
	struct vhu_counter bad_buffers;
	struct vhu_counter status_events;
	struct vhu_counter latency[VHU_INPUT_LATENCIES]; /* event to used ring */
};

void vhu_input_stats_add_latency(struct vhu_input_stats *stats, uint64_t ns);
/* An object of JSON, without a newline. */
void vhu_input_stats_print(const struct vhu_input_stats *stats, const char *label, FILE *out);

#endif
