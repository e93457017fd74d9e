/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_DEVICES_GPU_COMMAND_H
#define VHU_DEVICES_GPU_COMMAND_H

/* Commands (virtio 1.3, 5.7.6.7): how they are taken from a chain, and answered. */

#include "common/base/iov.h"
#include "devices/gpu/gpu_priv.h"

union vhu_gpu_response {
	struct virtio_gpu_ctrl_hdr header;
	struct virtio_gpu_resp_display_info display_info;
	struct virtio_gpu_resp_edid edid;
	struct virtio_gpu_resp_resource_uuid uuid;
};

/* A command on its way; everything in it is little-endian, as it came. */
struct vhu_gpu_request {
	union {
		struct virtio_gpu_ctrl_hdr header;
		struct virtio_gpu_resource_create_2d create_2d;
		struct virtio_gpu_resource_unref unref;
		struct virtio_gpu_set_scanout set_scanout;
		struct virtio_gpu_resource_flush flush;
		struct virtio_gpu_transfer_to_host_2d transfer;
		struct virtio_gpu_resource_attach_backing attach;
		struct virtio_gpu_resource_detach_backing detach;
		struct virtio_gpu_cmd_get_edid get_edid;
		struct virtio_gpu_resource_assign_uuid assign_uuid;
		struct virtio_gpu_resource_create_blob create_blob;
		struct virtio_gpu_set_scanout_blob set_scanout_blob;
		struct virtio_gpu_update_cursor cursor;
	} command;
	struct vhu_iov_cursor rest; /* what follows the struct */
	struct vhu_chain *chain;
	/* Its header is filled by who sends it; the rest by who answers with more than that. */
	union vhu_gpu_response response;
	size_t response_bytes;
};

/* Beside VIRTIO_GPU_RESP_* and VHU_GPU_LATER: the IOMMU has to tell something first. */
#define VHU_GPU_AGAIN 1

/* Everything that is in the queue. */
void vhu_gpu_handle_queue(struct vhu_gpu *gpu, unsigned queue);
/* It is answered by fill, of that scanout, when the front-end has told its modes. VHU_GPU_LATER. */
uint32_t vhu_gpu_ask_modes(struct vhu_gpu *gpu, struct vhu_gpu_request *request, uint32_t scanout,
			   vhu_gpu_fill_fn *fill);
/* Those that wait for that, with what is known. */
void vhu_gpu_answer_modes(struct vhu_gpu *gpu);
/* The renderer's answer to one that waits. */
void vhu_gpu_answer_held(struct vhu_gpu *gpu, uint64_t token, uint32_t response);

struct vhu_gpu_rect vhu_gpu_rect_of(const struct virtio_gpu_rect *rect);
/* Not empty, and inside. */
bool vhu_gpu_rect_fits(const struct vhu_gpu_rect *rect, uint32_t width, uint32_t height);
/* A known format, and every line inside of so many bytes. */
bool vhu_gpu_image_fits(const struct vhu_gpu_image *image, uint64_t bytes);
/*
 * The n memory entries that follow, as *ret_n of guest memory (to be freed). Returns
 * VIRTIO_GPU_RESP_* (a number that is none, or not all of them are there), or VHU_GPU_AGAIN.
 */
uint32_t vhu_gpu_read_entries(struct vhu_gpu *gpu, struct vhu_gpu_request *request, uint32_t n,
			      struct vhu_gpu_range **ret_ranges, unsigned *ret_n);

/* The command that was put off will not come back as it was. */
void vhu_gpu_forget_entries(struct vhu_gpu *gpu);

/* commands_2d.c, commands_blob.c */
uint32_t vhu_gpu_get_display_info(struct vhu_gpu *gpu, struct vhu_gpu_request *request);
uint32_t vhu_gpu_get_edid(struct vhu_gpu *gpu, struct vhu_gpu_request *request);
uint32_t vhu_gpu_create_2d(struct vhu_gpu *gpu, struct vhu_gpu_request *request);
uint32_t vhu_gpu_unref(struct vhu_gpu *gpu, struct vhu_gpu_request *request);
uint32_t vhu_gpu_set_scanout(struct vhu_gpu *gpu, struct vhu_gpu_request *request);
uint32_t vhu_gpu_resource_flush(struct vhu_gpu *gpu, struct vhu_gpu_request *request);
uint32_t vhu_gpu_transfer(struct vhu_gpu *gpu, struct vhu_gpu_request *request);
uint32_t vhu_gpu_attach_backing(struct vhu_gpu *gpu, struct vhu_gpu_request *request);
uint32_t vhu_gpu_detach_backing(struct vhu_gpu *gpu, struct vhu_gpu_request *request);
uint32_t vhu_gpu_assign_uuid(struct vhu_gpu *gpu, struct vhu_gpu_request *request);
uint32_t vhu_gpu_create_blob(struct vhu_gpu *gpu, struct vhu_gpu_request *request);
uint32_t vhu_gpu_set_scanout_blob(struct vhu_gpu *gpu, struct vhu_gpu_request *request);

#endif
