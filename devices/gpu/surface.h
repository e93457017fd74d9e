/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_DEVICES_GPU_SURFACE_H
#define VHU_DEVICES_GPU_SURFACE_H

/*
 * Pixels that the worker, or a renderer, draws and the display's thread shows. References are
 * atomic: what the guest has given up stays as long as it is looked at. Where the pixels are
 * changes under the mutex only, and may be NULL: guest memory that has gone. Whoever touches pixels
 * holds the mutex, for VHU_GPU_BAND_BYTES of them at most and no longer: the other one waits.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define VHU_GPU_BAND_BYTES (1u << 20)

struct vhu_gpu_rect {
	uint32_t x, y, width, height;
};

struct vhu_gpu_surface {
	atomic_uint refs;
	uint32_t width, height; /* pixels, 1 to VHU_GPU_SIDE_MAX */
	uint32_t stride_bytes;	/* at least 4 x width */
	uint32_t format;	/* VIRTIO_GPU_FORMAT_*: all have 4 bytes a pixel */
	pthread_mutex_t mutex;
	char *pixels;
	size_t bytes;
	/* Pixels that are not the surface's own; the last reference went. Any thread. */
	void (*release)(struct vhu_gpu_surface *surface);
};

/* Black pixels of its own. -ENOMEM. */
int vhu_gpu_surface_new(uint32_t format, uint32_t width, uint32_t height,
			struct vhu_gpu_surface **ret_surface);
struct vhu_gpu_surface *vhu_gpu_surface_ref(struct vhu_gpu_surface *surface);
void vhu_gpu_surface_unref(struct vhu_gpu_surface *surface); /* NULL is fine */

#endif
