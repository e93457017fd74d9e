/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_DEVICES_GPU_TILES_H
#define VHU_DEVICES_GPU_TILES_H

/*
 * A set of the tiles of a picture: what is damaged, or has changed. As large as the largest
 * picture, so that it never has to grow.
 */

#include <stdbool.h>
#include <stdint.h>

#include "devices/gpu/gpu.h"
#include "devices/gpu/surface.h"

#define VHU_GPU_TILE 64 /* pixels, both ways */
#define VHU_GPU_TILES_SIDE (VHU_GPU_SIDE_MAX / VHU_GPU_TILE)

struct vhu_gpu_tiles {
	uint32_t width, height; /* of the picture, in pixels */
	unsigned n;		/* in the set */
	uint64_t rows[VHU_GPU_TILES_SIDE][VHU_GPU_TILES_SIDE / 64];
};

/* Empty, for a picture of that size. */
void vhu_gpu_tiles_init(struct vhu_gpu_tiles *tiles, uint32_t width, uint32_t height);
/* The tiles that rect touches; what is outside of the picture is cut off. */
void vhu_gpu_tiles_add(struct vhu_gpu_tiles *tiles, const struct vhu_gpu_rect *rect);
void vhu_gpu_tiles_add_all(struct vhu_gpu_tiles *tiles);
/* Of a picture of the same size. */
void vhu_gpu_tiles_merge(struct vhu_gpu_tiles *tiles, const struct vhu_gpu_tiles *more);
bool vhu_gpu_tiles_have(const struct vhu_gpu_tiles *tiles, uint32_t column, uint32_t row);
/*
 * Takes a rectangle of tiles out of the set, in pixels and cut to the picture: a run of a row, and
 * the same run of the rows below it. At most max_bytes of pixels, but for one tile. False: empty.
 */
bool vhu_gpu_tiles_take(struct vhu_gpu_tiles *tiles, uint64_t max_bytes,
			struct vhu_gpu_rect *ret_rect);

#endif
