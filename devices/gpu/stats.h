/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_DEVICES_GPU_STATS_H
#define VHU_DEVICES_GPU_STATS_H

#include "common/base/stats.h"

struct vhu_gpu_display_stats {
	/* Counted by the worker. */
	struct vhu_counter frames;     /* that the guest has shown or flushed */
	struct vhu_counter superseded; /* of them, before they were looked at */
	/* By the display's thread. */
	struct vhu_counter looks; /* at a scanout */
	struct vhu_counter tiles_compared, tiles_changed;
	struct vhu_counter sockets; /* that the front-end gave */
	struct vhu_counter updates, update_bytes, cursors; /* sent to the front-end */
};

#endif
