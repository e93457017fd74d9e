/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_DEVICES_GPU_RENDERER_H
#define VHU_DEVICES_GPU_RENDERER_H

/*
 * Who makes pixels of commands that the card has checked. What it is asked is plain data (ids,
 * guest ranges, numbers), so that it may live in another process; an answer may come later. All on
 * the worker.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "devices/gpu/surface.h"

struct vhu_memory;

/* A part of guest memory. */
struct vhu_gpu_range {
	uint64_t gpa;
	uint64_t bytes;
};

/* What a resource is: pixels of the renderer's own, or guest memory (a blob). */
struct vhu_gpu_image {
	uint32_t format; /* VIRTIO_GPU_FORMAT_* */
	uint32_t width, height;
	uint32_t stride_bytes;
	uint64_t offset; /* in the blob */
};

struct vhu_gpu_renderer;

/* Else the results are VIRTIO_GPU_RESP_*. */
#define VHU_GPU_LATER 0

struct vhu_gpu_renderer_sink {
	/* The answer to what gave VHU_GPU_LATER, with that token. */
	void (*done)(struct vhu_gpu_renderer_sink *sink, uint64_t token, uint32_t response);
};

/* Ids have been checked: create's is free, all others are there. */
struct vhu_gpu_renderer_ops {
	int (*open)(struct vhu_gpu_renderer_sink *sink, struct vhu_gpu_renderer **ret_renderer);
	/* With all that it has. */
	void (*close)(struct vhu_gpu_renderer *renderer);
	/*
	 * A new map of guest memory, borrowed. What does not resolve any more has no backing from
	 * now on.
	 */
	void (*update_memory)(struct vhu_gpu_renderer *renderer, struct vhu_memory *memory);

	/*
	 * Pixels of its own, black; image->stride_bytes and offset are not looked at. NULL: a blob
	 * of guest memory, which has no pixels but those.
	 */
	uint32_t (*create)(struct vhu_gpu_renderer *renderer, uint32_t id,
			   const struct vhu_gpu_image *image, uint64_t token);
	void (*destroy)(struct vhu_gpu_renderer *renderer, uint32_t id);
	/* Of one that has no backing. ranges are borrowed for the call. */
	uint32_t (*attach)(struct vhu_gpu_renderer *renderer, uint32_t id,
			   const struct vhu_gpu_range *ranges, unsigned n, uint64_t token);
	/* ERR_UNSPEC: there is none. */
	uint32_t (*detach)(struct vhu_gpu_renderer *renderer, uint32_t id, uint64_t token);
	/* rect is inside. From the backing at offset on, where a line is as long as the image's. */
	uint32_t (*transfer)(struct vhu_gpu_renderer *renderer, uint32_t id,
			     const struct vhu_gpu_rect *rect, uint64_t offset, uint64_t token);

	/* The same as attach, at once, of what may be guest memory some time later. */
	uint32_t (*restore)(struct vhu_gpu_renderer *renderer, uint32_t id,
			    const struct vhu_gpu_range *ranges, unsigned n);

	/*
	 * What is to be shown: of a blob, seen as such an image (inside of it); image is NULL for
	 * others. Borrowed; until the resource or its memory goes it is there as long as somebody
	 * has a reference. NULL: out of memory, or not to be had in a row.
	 */
	struct vhu_gpu_surface *(*surface)(struct vhu_gpu_renderer *renderer, uint32_t id,
					   const struct vhu_gpu_image *image);
	/* The pixels, or a blob's memory, as an open file, the caller's. Negative errno. */
	int (*share)(struct vhu_gpu_renderer *renderer, uint32_t id);
};

struct vhu_gpu_renderer {
	const struct vhu_gpu_renderer_ops *ops;
	struct vhu_gpu_renderer_sink *sink;
};

extern const struct vhu_gpu_renderer_ops vhu_gpu_renderer_2d;

#endif
