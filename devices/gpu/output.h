/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_DEVICES_GPU_OUTPUT_H
#define VHU_DEVICES_GPU_OUTPUT_H

/*
 * Where the display's pictures go: the front-end's socket, VNC. Everything on the display's thread,
 * and nothing waits: an output that is slow adds up what has changed and sends it when it can.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/base/loop.h"
#include "devices/gpu/display.h"
#include "devices/gpu/stats.h"
#include "devices/gpu/tiles.h"

/* What is on a scanout, as it was last looked at: x8r8g8b8, a stride of 4 x the width. */
struct vhu_gpu_picture {
	unsigned scanout;
	uint32_t width, height; /* 0: it shows nothing */
	uint32_t *pixels;
	struct vhu_gpu_cursor cursor;
	uint32_t cursor_x, cursor_y;
	bool cursor_visible;
};

struct vhu_gpu_output_sink {
	/* Somebody looks now, or nobody any more. */
	void (*wants_changed)(struct vhu_gpu_output_sink *sink);
	/* The front-end's modes; it tells the guest itself when they have changed. */
	void (*has_modes)(struct vhu_gpu_output_sink *sink,
			  const struct vhu_gpu_mode modes[VHU_GPU_OUTPUTS_MAX]);
	/* Who looks would like this one, not enabled: no longer. We tell the guest. */
	void (*wants_mode)(struct vhu_gpu_output_sink *sink, unsigned scanout,
			   const struct vhu_gpu_mode *mode);
	/* To vhu_gpu_socket_ask_modes(): has_modes() has told them, or nobody will for now. */
	void (*answered)(struct vhu_gpu_output_sink *sink);
};

struct vhu_gpu_viewer;

struct vhu_gpu_viewer_ops {
	/* Does anybody look? Else pictures need not be brought up to date. */
	bool (*wants)(struct vhu_gpu_viewer *viewer);
	/*
	 * The picture has another size, or is off; its pixels lie elsewhere. Unless it is off, all
	 * of it comes as changed next.
	 */
	void (*resized)(struct vhu_gpu_viewer *viewer, const struct vhu_gpu_picture *picture);
	/* These tiles of it are others than before; borrowed. */
	void (*changed)(struct vhu_gpu_viewer *viewer, const struct vhu_gpu_picture *picture,
			const struct vhu_gpu_tiles *tiles);
	/* The cursor has moved, or (image) is another one. */
	void (*cursor)(struct vhu_gpu_viewer *viewer, const struct vhu_gpu_picture *picture,
		       bool image);
	void (*free)(struct vhu_gpu_viewer *viewer);
};

struct vhu_gpu_viewer {
	const struct vhu_gpu_viewer_ops *ops;
	struct vhu_gpu_output_sink *sink;
};

/*
 * The VNC server of options->vnc: makes its sockets, and says what is wrong. loop is the display's,
 * pictures its VHU_GPU_OUTPUTS_MAX; borrows all for life. In a build without libvncserver:
 * -EOPNOTSUPP.
 */
int vhu_gpu_vnc_new(const struct vhu_gpu_options *options, struct vhu_loop *loop,
		    const struct vhu_gpu_picture *pictures, struct vhu_gpu_output_sink *sink,
		    struct vhu_gpu_display_stats *stats, struct vhu_gpu_viewer **ret_viewer);
/* All devices of the process are made: viewers may come (see vnc_client.h). */
void vhu_gpu_vnc_start(struct vhu_gpu_viewer *viewer);

/*
 * The front-end's sockets, one after the other; none yet. blank: nothing is shown there, but modes
 * are asked for. Borrows all for life.
 */
int vhu_gpu_socket_new(bool blank, struct vhu_loop *loop, const struct vhu_gpu_picture *pictures,
		       struct vhu_gpu_output_sink *sink, struct vhu_gpu_display_stats *stats,
		       struct vhu_gpu_viewer **ret_viewer);
/* In place of the last one. Takes fd; -1: there is none any more. */
void vhu_gpu_socket_set(struct vhu_gpu_viewer *viewer, int fd);
/* No message until it goes on. */
void vhu_gpu_socket_suspend(struct vhu_gpu_viewer *viewer, bool suspended);
/* sink->answered() follows, or comes from within, and is for all that asked until then. */
void vhu_gpu_socket_ask_modes(struct vhu_gpu_viewer *viewer);

#endif
