/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_DEVICES_GPU_DISPLAY_H
#define VHU_DEVICES_GPU_DISPLAY_H

/*
 * The half of the card that is looked at: a thread of its own. The worker tells it what each
 * scanout shows and what has changed there, and waits for nothing; the thread compares, merges and
 * gives what is new to its outputs (output.h), at most max_fps times a second. What a slow output
 * has not taken is superseded by what comes later.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/base/loop.h"
#include "devices/gpu/gpu.h"
#include "devices/gpu/surface.h"

struct vhu_gpu_display;

/* What an output wants of a scanout: where it is on the desk of the guest, and how large. */
struct vhu_gpu_mode {
	bool enabled;
	struct vhu_gpu_rect rect;
};

#define VHU_GPU_CURSOR_SIDE_MAX 64

struct vhu_gpu_cursor {
	uint32_t hot_x, hot_y;
	uint32_t pixels[VHU_GPU_CURSOR_SIDE_MAX * VHU_GPU_CURSOR_SIDE_MAX]; /* a8r8g8b8 */
};

/* From the display to the card, on the worker's loop. */
struct vhu_gpu_display_ops {
	/* What GET_DISPLAY_INFO is to say has changed. */
	void (*modes_changed)(void *data);
};

/*
 * Main. Opens what the options ask for (the VNC server), starts the thread, and says what is wrong.
 * loop is the worker's, and does not run yet; options and ops are borrowed for life.
 */
int vhu_gpu_display_new(const struct vhu_gpu_options *options, struct vhu_loop *loop,
			const struct vhu_gpu_display_ops *ops, void *data,
			struct vhu_gpu_display **ret_display);
/* Main. All devices of the process are made: who looks by VNC may come. */
void vhu_gpu_display_start(struct vhu_gpu_display *display);
/* After the worker's loop has been destroyed. Joins the thread. NULL is fine. */
void vhu_gpu_display_destroy(struct vhu_gpu_display *display);

/*
 * From here on: on the worker; none waits, but for a mutex that is held for some copies.
 *
 * The scanout shows this part of a surface, or nothing (NULL). Takes a reference of its own. All of
 * it counts as damaged.
 */
void vhu_gpu_display_show(struct vhu_gpu_display *display, unsigned scanout,
			  struct vhu_gpu_surface *surface, const struct vhu_gpu_rect *rect);
/* Of the scanout; what is outside is cut off. */
void vhu_gpu_display_damage(struct vhu_gpu_display *display, unsigned scanout,
			    const struct vhu_gpu_rect *rect);
/* A new picture (copied), where it is, and whether it is seen. */
void vhu_gpu_display_set_cursor(struct vhu_gpu_display *display, unsigned scanout,
				const struct vhu_gpu_cursor *cursor);
void vhu_gpu_display_move_cursor(struct vhu_gpu_display *display, unsigned scanout, uint32_t x,
				 uint32_t y, bool visible);

/* A new socket of the front-end in place of the last one. Takes fd; -1: there is none any more. */
void vhu_gpu_display_set_socket(struct vhu_gpu_display *display, int fd);
/*
 * Suspended: but for one that is on its way, no message to the front-end until it goes on; what
 * changed meanwhile goes then.
 */
void vhu_gpu_display_suspend(struct vhu_gpu_display *display, bool suspended);

/* The modes that are wanted now, by the front-end or who looks by VNC; a copy. */
void vhu_gpu_display_modes(struct vhu_gpu_display *display,
			   struct vhu_gpu_mode ret_modes[VHU_GPU_OUTPUTS_MAX]);
/*
 * Asks the front-end for its modes, now that the guest asks; done() comes on the worker's loop: at
 * once when there is nobody to be asked, soon after a time-out otherwise. One at a time: a further
 * one waits for the same answer.
 */
struct vhu_gpu_display_call {
	void (*done)(struct vhu_gpu_display_call *call);
	struct vhu_gpu_display_call *next; /* the display's */
};
void vhu_gpu_display_ask_modes(struct vhu_gpu_display *display, struct vhu_gpu_display_call *call);

/* Any thread. A PNG of each scanout that shows something; as vhu_gpu_screenshot(). */
void vhu_gpu_display_screenshot(struct vhu_gpu_display *display, struct vhu_gpu_shots_call *call);

/* Any thread. What a scanout was last told to show; width 0: nothing. */
struct vhu_gpu_shown {
	uint32_t width, height;
	bool cursor;
};
void vhu_gpu_display_shown(struct vhu_gpu_display *display,
			   struct vhu_gpu_shown ret_shown[VHU_GPU_OUTPUTS_MAX]);

/* Counters, any thread; see stats.h. */
struct vhu_gpu_display_stats;
const struct vhu_gpu_display_stats *vhu_gpu_display_stats(const struct vhu_gpu_display *display);

#endif
