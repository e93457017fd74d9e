/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_DEVICES_SOUND_STATS_H
#define VHU_DEVICES_SOUND_STATS_H

/* What a stream counts. The worker writes, anyone reads. */

#include "common/base/stats.h"

struct vhu_sound_stats {
	struct vhu_counter messages, frames; /* completed; played or captured */
	struct vhu_counter unplayed;	     /* frames of messages completed by RELEASE */
	struct vhu_counter bad_messages;
	struct vhu_counter xruns;
	struct vhu_counter opens, losses; /* of the host */
	struct vhu_counter pumps;
	struct vhu_counter fill_frames;	   /* as last seen */
	struct vhu_counter latency_frames; /* as last told */
	struct vhu_counter latency_sum;	   /* of all messages */
};

#endif
