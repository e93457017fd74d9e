/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_DEVICES_GPU_STATS_H
#define VHU_DEVICES_GPU_STATS_H

#include "common/base/stats.h"

#define VHU_GPU_COMMANDS_MAX 16 /* kinds of them */

/* The worker's. */
struct vhu_gpu_stats {
	struct vhu_counter commands, errors;	  /* of both queues */
	struct vhu_counter resources, held_bytes; /* that there are now */
	struct vhu_counter transfer_bytes;
	struct vhu_counter kinds[VHU_GPU_COMMANDS_MAX]; /* of commands: vhu_gpu_command_name() */
};

/* A kind of commands, or NULL: there are no more. */
const char *vhu_gpu_command_name(unsigned kind);

struct vhu_gpu_display_stats {
	/* Counted by the worker. */
	struct vhu_counter frames;     /* that the guest has flushed */
	struct vhu_counter superseded; /* of them, before they were looked at */
	/* By the display's thread. */
	struct vhu_counter looks; /* at a scanout */
	struct vhu_counter tiles_compared, tiles_changed;
	struct vhu_counter sockets; /* that the front-end gave */
	struct vhu_counter vnc_clients; /* that there are now */
	struct vhu_counter updates, update_bytes, cursors; /* sent to the front-end */
};

#endif
