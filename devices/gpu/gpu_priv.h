/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_DEVICES_GPU_GPU_PRIV_H
#define VHU_DEVICES_GPU_GPU_PRIV_H

/* The card: what the driver has made, and what is shown of it. Everything on the worker. */

#include <endian.h>
#include <linux/virtio_gpu.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/backend/device.h"
#include "common/backend/vring.h"
#include "common/base/log.h"
#include "devices/gpu/display.h"
#include "devices/gpu/gpu.h"
#include "devices/gpu/ids.h"
#include "devices/gpu/renderer.h"
#include "devices/gpu/stats.h"

enum {
	VHU_GPU_CONTROL,
	VHU_GPU_CURSOR,
	VHU_GPU_N_QUEUES
};
#define VHU_GPU_QUEUE_MAX 1024
/* Of a backing: entries that it is told in, ranges that they are behind an IOMMU, bytes. */
#define VHU_GPU_ENTRIES_MAX 16384
#define VHU_GPU_RANGES_MAX 65536
#define VHU_GPU_BACKING_MAX UINT32_MAX

struct vhu_gpu_resource {
	struct vhu_gpu_id id;
	bool is_blob;
	uint32_t format, width, height; /* not of a blob */
	uint64_t blob_bytes;
	uint64_t held_bytes; /* of what there may be for the guest in all */
	struct vhu_gpu_range *ranges; /* of the backing, or NULL */
	unsigned n_ranges;
	uint32_t scanouts; /* mask: which show it */
	bool has_uuid;
	uint8_t uuid[16];
};

/* What a scanout shows. */
struct vhu_gpu_scanout {
	uint32_t resource_id; /* 0: nothing */
	struct vhu_gpu_rect rect; /* of the resource, or of the image */
	struct vhu_gpu_image image; /* a blob, as this */
};

struct vhu_gpu_cursor_state {
	uint32_t resource_id; /* 0: hidden */
	uint32_t x, y;
	struct vhu_gpu_cursor cursor;
};

struct vhu_gpu;
union vhu_gpu_response;
/* The answer, of *ret_bytes, but for its header; returns VIRTIO_GPU_RESP_*. */
typedef uint32_t vhu_gpu_fill_fn(struct vhu_gpu *gpu, uint32_t scanout,
				 union vhu_gpu_response *ret_response, size_t *ret_bytes);

/* A chain that waits for an answer, at the place of its slot. */
struct vhu_gpu_held {
	struct vhu_chain *chain; /* NULL: none */
	struct virtio_gpu_ctrl_hdr header;
	vhu_gpu_fill_fn *fill; /* it waits for the display's modes; NULL: for the renderer */
	uint32_t scanout;
};

/* Memory entries of the command at work, as far as they are known behind an IOMMU. */
struct vhu_gpu_entries {
	struct vhu_gpu_range *ranges;
	unsigned n, max;
	uint64_t bytes;	     /* of those that are done */
	uint32_t next;	     /* entry to be looked at, */
	uint64_t done_bytes; /* and so much of it is there */
};

struct vhu_gpu {
	struct vhu_device device;
	const struct vhu_gpu_options *options;
	uint64_t features; /* what the driver took */
	struct vhu_gpu_display *display;
	struct vhu_gpu_renderer_sink renderer_sink;
	struct vhu_gpu_renderer *renderer;

	struct vhu_gpu_ids resources;
	uint64_t held_bytes;
	struct vhu_gpu_scanout scanouts[VHU_GPU_OUTPUTS_MAX];
	struct vhu_gpu_cursor_state cursors[VHU_GPU_OUTPUTS_MAX];
	struct vhu_gpu_entries entries;
	uint32_t events; /* VIRTIO_GPU_EVENT_*, of the config space */

	struct vhu_gpu_held held[VHU_GPU_QUEUE_MAX];
	struct vhu_gpu_display_call modes_call;
	bool asking; /* modes_call is the display's */
	struct vhu_log_limit log_limit;
	struct vhu_gpu_stats stats;
};

/* --- scanouts.c ----------------------------------------------------------------------------- */

/* image: of a blob, else NULL. All has been checked. VIRTIO_GPU_RESP_*. */
uint32_t vhu_gpu_show(struct vhu_gpu *gpu, unsigned scanout, struct vhu_gpu_resource *resource,
		      const struct vhu_gpu_rect *rect, const struct vhu_gpu_image *image);
void vhu_gpu_show_nothing(struct vhu_gpu *gpu, unsigned scanout);
/* Guest memory is elsewhere: blobs are to be seen anew. */
void vhu_gpu_show_blobs_again(struct vhu_gpu *gpu);
/* rect of the resource has changed. */
void vhu_gpu_flush(struct vhu_gpu *gpu, const struct vhu_gpu_resource *resource,
		   const struct vhu_gpu_rect *rect);
/* As the guest is to be told. */
void vhu_gpu_get_modes(struct vhu_gpu *gpu, struct vhu_gpu_mode ret_modes[VHU_GPU_OUTPUTS_MAX]);

/* --- cursor.c ------------------------------------------------------------------------------- */

uint32_t vhu_gpu_update_cursor(struct vhu_gpu *gpu, const struct virtio_gpu_update_cursor *command);
uint32_t vhu_gpu_move_cursor(struct vhu_gpu *gpu, const struct virtio_gpu_update_cursor *command);
void vhu_gpu_send_cursor(struct vhu_gpu *gpu, unsigned scanout);

/* --- state.c -------------------------------------------------------------------------------- */

int vhu_gpu_save(struct vhu_device *device, void **ret_bytes, size_t *ret_len);
int vhu_gpu_load(struct vhu_device *device, uint32_t version, const void *bytes, size_t len);

bool vhu_gpu_format_known(uint32_t format);

#endif
