/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_DEVICES_GPU_RESOURCES_H
#define VHU_DEVICES_GPU_RESOURCES_H

/* What the driver has made, and how much of it there may be. */

#include "devices/gpu/gpu_priv.h"

struct vhu_gpu_resource *vhu_gpu_find_resource(const struct vhu_gpu *gpu, uint32_t id);
/*
 * A new one: of image's format and size, or a blob (NULL) without memory yet. VIRTIO_GPU_RESP_*, or
 * VHU_GPU_LATER.
 */
uint32_t vhu_gpu_add_resource(struct vhu_gpu *gpu, uint32_t id, const struct vhu_gpu_image *image,
			      uint64_t token, struct vhu_gpu_resource **ret_resource);
/* Its scanouts are off then; the renderer's half goes too. */
void vhu_gpu_remove_resource(struct vhu_gpu *gpu, struct vhu_gpu_resource *resource);
/* Takes ranges (malloc), also on an error. VIRTIO_GPU_RESP_*, or VHU_GPU_LATER. */
uint32_t vhu_gpu_attach(struct vhu_gpu *gpu, struct vhu_gpu_resource *resource,
			struct vhu_gpu_range *ranges, unsigned n, uint64_t token);
uint32_t vhu_gpu_detach(struct vhu_gpu *gpu, struct vhu_gpu_resource *resource, uint64_t token);
/* The renderer has them. Takes ranges. */
void vhu_gpu_keep_ranges(struct vhu_gpu *gpu, struct vhu_gpu_resource *resource,
			 struct vhu_gpu_range *ranges, unsigned n);
/* A new one, which the front-end is told. False: the system has no random numbers. */
bool vhu_gpu_give_uuid(struct vhu_gpu *gpu, struct vhu_gpu_resource *resource);
int vhu_gpu_get_shared_object(struct vhu_device *device, const uint8_t uuid[16], int *ret_fd);
void vhu_gpu_remove_all(struct vhu_gpu *gpu);

#endif
