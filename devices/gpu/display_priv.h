/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_DEVICES_GPU_DISPLAY_PRIV_H
#define VHU_DEVICES_GPU_DISPLAY_PRIV_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/log.h"
#include "devices/gpu/output.h"
#include "devices/gpu/shots.h"

/* What the worker has told of a scanout. */
struct vhu_gpu_head {
	struct vhu_gpu_surface *surface; /* NULL: off */
	struct vhu_gpu_rect part;
	struct vhu_gpu_tiles damage; /* of that part */
	bool dirty;		     /* to be looked at */
	bool flushed;		     /* since it was last looked at */
	bool cursor_image, cursor_place; /* that are new */
	struct vhu_gpu_cursor cursor;
	uint32_t cursor_x, cursor_y;
	bool cursor_visible;
};

struct vhu_gpu_display {
	const struct vhu_gpu_options *options;
	const struct vhu_gpu_display_ops *ops;
	void *data;
	struct vhu_gpu_display_stats stats;

	/* Held for some copies at most, and no other mutex with it. */
	pthread_mutex_t mutex;
	/* To the thread. */
	struct vhu_call told;
	bool posted;
	bool rests; /* it wants to hear of a new picture at once */
	struct vhu_gpu_head heads[VHU_GPU_OUTPUTS_MAX];
	bool cursors; /* of some head are new */
	bool socket_is_new;
	int socket_fd; /* a new one, owned */
	bool suspended;
	bool shoot;
	struct vhu_gpu_shots_call *shoot_calls; /* who wants to know of that */
	bool start;
	struct vhu_gpu_display_call *asks;
	/* To the worker, whose loop may have gone: an eventfd stays. */
	int answers_fd;
	struct vhu_gpu_mode modes[VHU_GPU_OUTPUTS_MAX]; /* the front-end's */
	struct vhu_gpu_mode viewer_modes[VHU_GPU_OUTPUTS_MAX];
	bool modes_changed;
	struct vhu_gpu_display_call *answered;

	/* The thread's. */
	pthread_t thread;
	struct vhu_loop *loop;
	struct vhu_source *timer;
	bool timing; /* too early for another look */
	struct vhu_gpu_output_sink sink;
	struct vhu_gpu_viewer *socket;
	struct vhu_gpu_viewer *vnc; /* NULL: none */
	struct vhu_gpu_viewer *viewers[2];
	unsigned n_viewers;
	struct vhu_gpu_display_call *asking;
	struct vhu_gpu_shots *shots;
	struct vhu_gpu_picture pictures[VHU_GPU_OUTPUTS_MAX];
	uint64_t picture_bytes;
	struct vhu_gpu_tiles damage, changed; /* of the one at work */
	struct vhu_log_limit log_limit;
};

static inline void vhu_gpu_display_append(struct vhu_gpu_display_call **list,
					  struct vhu_gpu_display_call *calls)
{
	while (*list)
		list = &(*list)->next;
	*list = calls;
}

#endif
