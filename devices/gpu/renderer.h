/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_DEVICES_GPU_RENDERER_H
#define VHU_DEVICES_GPU_RENDERER_H

/*
 * Who makes pixels of commands that the card has checked. What it is asked is plain data (ids,
 * guest ranges, numbers), so that it may live in another process; an answer may come later.
 */

#include <stddef.h>
#include <stdint.h>

#include "devices/gpu/surface.h"

struct vhu_memory;

/* A part of guest memory: guest physical, or I/O virtual behind an IOMMU. */
struct vhu_gpu_range {
	uint64_t address;
	uint64_t bytes;
};

struct vhu_gpu_renderer;

/* The answer comes by sink->done(). Other results are VIRTIO_GPU_RESP_*. */
#define VHU_GPU_LATER 0

struct vhu_gpu_renderer_sink {
	void (*done)(struct vhu_gpu_renderer_sink *sink, uint64_t token, uint32_t response);
};

/* On the worker. An id is one that create gave, and destroy has not taken. */
struct vhu_gpu_renderer_ops {
	const char *name;
	int (*new)(struct vhu_gpu_renderer_sink *sink, struct vhu_gpu_renderer **ret_renderer);
	void (*free)(struct vhu_gpu_renderer *renderer);
	/* A new map of guest memory, borrowed: what does not resolve any more has no backing. */
	void (*update_memory)(struct vhu_gpu_renderer *renderer, struct vhu_memory *memory);

	uint32_t (*create)(struct vhu_gpu_renderer *renderer, uint32_t id, uint32_t format,
			   uint32_t width, uint32_t height, uint64_t token);
	void (*destroy)(struct vhu_gpu_renderer *renderer, uint32_t id);
	/* ranges are borrowed for the call. */
	uint32_t (*attach)(struct vhu_gpu_renderer *renderer, uint32_t id,
			   const struct vhu_gpu_range *ranges, unsigned n, uint64_t token);
	void (*detach)(struct vhu_gpu_renderer *renderer, uint32_t id);
	/* From the backing at offset, with a stride of 4 x the width. */
	uint32_t (*transfer)(struct vhu_gpu_renderer *renderer, uint32_t id,
			     const struct vhu_gpu_rect *rect, uint64_t offset, uint64_t token);
	/* What is to be shown of it, or NULL. Borrowed. */
	struct vhu_gpu_surface *(*surface)(struct vhu_gpu_renderer *renderer, uint32_t id);
};

extern const struct vhu_gpu_renderer_ops vhu_gpu_renderer_2d;

struct vhu_gpu_renderer {
	const struct vhu_gpu_renderer_ops *ops;
	struct vhu_gpu_renderer_sink *sink;
};

#endif
