/* SPDX-License-Identifier: BSD-3-Clause */
#include "devices/gpu/picture.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/num.h"
#include "devices/gpu/pixels.h"

uint32_t *vhu_gpu_picture_resize(struct vhu_gpu_picture *picture, uint32_t width, uint32_t height)
{
	uint32_t *before = picture->pixels;

	picture->pixels = width && height ? calloc((size_t)width * height, 4) : NULL;
	picture->width = picture->pixels ? width : 0;
	picture->height = picture->pixels ? height : 0;
	return before;
}

/* Where they differ, to becomes as from. Strides in bytes. */
static bool take_over(const char *from, size_t from_stride, char *to, size_t to_stride,
		      size_t line_bytes, uint32_t lines)
{
	uint32_t y = 0;

	while (y < lines && memcmp(to + y * to_stride, from + y * from_stride, line_bytes) == 0)
		y++;
	if (y == lines)
		return false;
	for (; y < lines; y++)
		memcpy(to + y * to_stride, from + y * from_stride, line_bytes);
	return true;
}

/* from: the first pixel of the tile, in the surface. */
static bool update_tile(struct vhu_gpu_picture *picture, const struct vhu_gpu_surface *surface,
			const char *from, const struct vhu_gpu_rect *tile)
{
	size_t to_stride = (size_t)4 * picture->width, line_bytes = (size_t)4 * tile->width;
	char *to = (char *)picture->pixels + tile->y * to_stride + (size_t)4 * tile->x;
	uint32_t plain[VHU_GPU_TILE * VHU_GPU_TILE];

	if (vhu_gpu_pixels_are_plain(surface->format))
		return take_over(from, surface->stride_bytes, to, to_stride, line_bytes,
				 tile->height);
	return vhu_gpu_pixels_convert(surface->format, from, surface->stride_bytes, tile->width,
				      tile->height, plain) &&
	       take_over((const char *)plain, line_bytes, to, to_stride, line_bytes, tile->height);
}

/* The surface's mutex is held. band is of whole tiles, as far as the picture goes. */
static void update_band(struct vhu_gpu_picture *picture, const struct vhu_gpu_surface *surface,
			const struct vhu_gpu_rect *part, const struct vhu_gpu_rect *band,
			struct vhu_gpu_tiles *changed)
{
	uint32_t right = band->x + band->width, bottom = band->y + band->height;

	for (uint32_t y = band->y; y < bottom; y += VHU_GPU_TILE)
		for (uint32_t x = band->x; x < right; x += VHU_GPU_TILE) {
			struct vhu_gpu_rect tile = {
				.x = x,
				.y = y,
				.width = (uint32_t)min_u64(VHU_GPU_TILE, right - x),
				.height = (uint32_t)min_u64(VHU_GPU_TILE, bottom - y),
			};
			const char *from = surface->pixels +
					   (size_t)surface->stride_bytes * (part->y + y) +
					   (size_t)4 * (part->x + x);

			if (update_tile(picture, surface, from, &tile))
				vhu_gpu_tiles_add(changed, &tile);
		}
}

void vhu_gpu_picture_update(struct vhu_gpu_picture *picture, struct vhu_gpu_surface *surface,
			    const struct vhu_gpu_rect *part, struct vhu_gpu_tiles *damage,
			    struct vhu_gpu_tiles *ret_changed, struct vhu_gpu_display_stats *stats)
{
	struct vhu_gpu_rect band;

	vhu_counter_add(&stats->tiles_compared, damage->n);
	vhu_gpu_tiles_init(ret_changed, picture->width, picture->height);
	while (vhu_gpu_tiles_take(damage, VHU_GPU_BAND_BYTES, &band)) {
		pthread_mutex_lock(&surface->mutex);
		if (surface->pixels)
			update_band(picture, surface, part, &band, ret_changed);
		pthread_mutex_unlock(&surface->mutex);
	}
	vhu_counter_add(&stats->tiles_changed, ret_changed->n);
}
