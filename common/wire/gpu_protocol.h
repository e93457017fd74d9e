/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_WIRE_GPU_PROTOCOL_H
#define VHU_WIRE_GPU_PROTOCOL_H

/*
 * Numbers and layouts of the protocol between a GPU back-end and the display of its front-end
 * (vhost-user-gpu specification). We ask; a few requests are answered. All fields are in the
 * machine's native byte order. The header is struct vhu_header, without a version.
 */

#include <assert.h>
#include <linux/virtio_gpu.h>
#include <stdint.h>

#include "common/wire/payload.h"

enum vhu_gpu_request {
	VHU_GPU_GET_PROTOCOL_FEATURES = 1,
	VHU_GPU_SET_PROTOCOL_FEATURES = 2,
	VHU_GPU_GET_DISPLAY_INFO = 3,
	VHU_GPU_CURSOR_POS = 4,
	VHU_GPU_CURSOR_POS_HIDE = 5,
	VHU_GPU_CURSOR_UPDATE = 6,
	VHU_GPU_SCANOUT = 7,
	VHU_GPU_UPDATE = 8,
	VHU_GPU_DMABUF_SCANOUT = 9,
	VHU_GPU_DMABUF_UPDATE = 10,
	VHU_GPU_GET_EDID = 11,
	VHU_GPU_DMABUF_SCANOUT2 = 12,
	VHU_GPU_REQUEST_END
};

enum vhu_gpu_protocol_feature {
	VHU_GPU_PROTOCOL_F_EDID = 0,
	VHU_GPU_PROTOCOL_F_DMABUF2 = 1,
};

#define VHU_GPU_FLAG_REPLY (1u << 2)

struct vhu_gpu_cursor_pos {
	uint32_t scanout_id;
	uint32_t x, y;
};

#define VHU_GPU_CURSOR_SIDE 64

struct vhu_gpu_cursor_update {
	struct vhu_gpu_cursor_pos pos;
	uint32_t hot_x, hot_y;
	uint32_t pixels[VHU_GPU_CURSOR_SIDE * VHU_GPU_CURSOR_SIDE]; /* a8r8g8b8 */
};

/* Width and height 0: the scanout is off. */
struct vhu_gpu_scanout {
	uint32_t scanout_id;
	uint32_t width, height;
};

/* UPDATE: width x height pixels follow, x8r8g8b8. */
struct vhu_gpu_update {
	uint32_t scanout_id;
	uint32_t x, y;
	uint32_t width, height;
};
#define VHU_GPU_PIXEL_BYTES 4

/* With an fd, or of size 0 and without. */
struct vhu_gpu_dmabuf_scanout {
	uint32_t scanout_id;
	uint32_t x, y;
	uint32_t width, height;
	uint32_t fd_width, fd_height;
	uint32_t fd_stride;
	uint32_t fd_flags;
	int32_t fd_drm_fourcc;
};

struct vhu_gpu_dmabuf_scanout2 {
	struct vhu_gpu_dmabuf_scanout scanout;
	uint64_t modifier;
};

struct vhu_gpu_edid_request {
	uint32_t scanout_id;
};

union vhu_gpu_reply {
	uint64_t u64;
	struct virtio_gpu_resp_display_info display_info; /* virtio 1.3, 5.7.6.8 */
	struct virtio_gpu_resp_edid edid;
};

static_assert(sizeof(struct vhu_gpu_cursor_pos) == 12, "cursor position");
static_assert(sizeof(struct vhu_gpu_cursor_update) == 16404, "cursor update");
static_assert(sizeof(struct vhu_gpu_scanout) == 12, "scanout");
static_assert(sizeof(struct vhu_gpu_update) == 20, "update");
static_assert(sizeof(struct vhu_gpu_dmabuf_scanout) == 40, "DMABUF scanout");
static_assert(sizeof(struct vhu_gpu_dmabuf_scanout2) == 48, "DMABUF scanout 2");
static_assert(sizeof(struct vhu_gpu_edid_request) == 4, "EDID request");
static_assert(sizeof(struct virtio_gpu_resp_display_info) == 408, "display info");
static_assert(sizeof(struct virtio_gpu_resp_edid) == 1056, "EDID");
static_assert(sizeof(union vhu_gpu_reply) <= sizeof(union vhu_payload), "reply");

#endif
