/* SPDX-License-Identifier: BSD-3-Clause */
#include "devices/gpu/tiles.h"

#include <string.h>

#include "common/base/num.h"

static uint32_t tiles_of(uint32_t pixels)
{
	return (pixels + VHU_GPU_TILE - 1) / VHU_GPU_TILE;
}

void vhu_gpu_tiles_init(struct vhu_gpu_tiles *tiles, uint32_t width, uint32_t height)
{
	memset(tiles, 0, sizeof(*tiles));
	tiles->width = width;
	tiles->height = height;
}

bool vhu_gpu_tiles_have(const struct vhu_gpu_tiles *tiles, uint32_t column, uint32_t row)
{
	return tiles->rows[row][column / 64] >> column % 64 & 1;
}

/* The bits of a word, the first of which is of column base, that are of columns first to end. */
static uint64_t mask_of(uint32_t base, uint32_t first, uint32_t end)
{
	uint64_t mask = UINT64_MAX;

	if (first > base)
		mask &= UINT64_MAX << (first - base);
	if (end < base + 64)
		mask &= UINT64_MAX >> (base + 64 - end);
	return mask;
}

/* Columns first to end of a row, not empty. */
static void set_run(struct vhu_gpu_tiles *tiles, uint32_t row, uint32_t first, uint32_t end,
		    bool in)
{
	for (uint32_t base = first / 64 * 64; base < end; base += 64) {
		uint64_t *word = &tiles->rows[row][base / 64];
		uint64_t mask = mask_of(base, first, end);

		tiles->n -= (unsigned)__builtin_popcountll(*word);
		*word = in ? *word | mask : *word & ~mask;
		tiles->n += (unsigned)__builtin_popcountll(*word);
	}
}

void vhu_gpu_tiles_add(struct vhu_gpu_tiles *tiles, const struct vhu_gpu_rect *rect)
{
	uint64_t right = min_u64((uint64_t)rect->x + rect->width, tiles->width);
	uint64_t bottom = min_u64((uint64_t)rect->y + rect->height, tiles->height);

	if (rect->x >= right || rect->y >= bottom)
		return;
	for (uint32_t row = rect->y / VHU_GPU_TILE; row < tiles_of((uint32_t)bottom); row++)
		set_run(tiles, row, rect->x / VHU_GPU_TILE, tiles_of((uint32_t)right), true);
}

void vhu_gpu_tiles_add_all(struct vhu_gpu_tiles *tiles)
{
	const struct vhu_gpu_rect all = { 0, 0, tiles->width, tiles->height };

	vhu_gpu_tiles_add(tiles, &all);
}

void vhu_gpu_tiles_merge(struct vhu_gpu_tiles *tiles, const struct vhu_gpu_tiles *more)
{
	tiles->n = 0;
	for (uint32_t row = 0; row < tiles_of(tiles->height); row++)
		for (uint32_t i = 0; i < VHU_GPU_TILES_SIDE / 64; i++) {
			tiles->rows[row][i] |= more->rows[row][i];
			tiles->n += (unsigned)__builtin_popcountll(tiles->rows[row][i]);
		}
}

static bool has_run(const struct vhu_gpu_tiles *tiles, uint32_t row, uint32_t first, uint32_t end)
{
	for (uint32_t i = first; i < end; i++)
		if (!vhu_gpu_tiles_have(tiles, i, row))
			return false;
	return true;
}

static bool find_first(const struct vhu_gpu_tiles *tiles, uint32_t *ret_column, uint32_t *ret_row)
{
	for (uint32_t row = 0; tiles->n && row < tiles_of(tiles->height); row++)
		for (uint32_t i = 0; i < VHU_GPU_TILES_SIDE / 64; i++)
			if (tiles->rows[row][i]) {
				*ret_column = 64 * i +
					      (uint32_t)__builtin_ctzll(tiles->rows[row][i]);
				*ret_row = row;
				return true;
			}
	return false;
}

bool vhu_gpu_tiles_take(struct vhu_gpu_tiles *tiles, uint64_t max_bytes,
			struct vhu_gpu_rect *ret_rect)
{
	uint64_t most = max_bytes / (4 * VHU_GPU_TILE * VHU_GPU_TILE);
	uint32_t first, row, end, bottom;

	if (!find_first(tiles, &first, &row))
		return false;
	for (end = first + 1; end < tiles_of(tiles->width) && end - first < most &&
			      vhu_gpu_tiles_have(tiles, end, row);)
		end++;
	for (bottom = row + 1; bottom < tiles_of(tiles->height) &&
			       (uint64_t)(end - first) * (bottom + 1 - row) <= most &&
			       has_run(tiles, bottom, first, end);)
		bottom++;
	for (uint32_t r = row; r < bottom; r++)
		set_run(tiles, r, first, end, false);
	ret_rect->x = first * VHU_GPU_TILE;
	ret_rect->y = row * VHU_GPU_TILE;
	ret_rect->width = (uint32_t)min_u64(end * VHU_GPU_TILE, tiles->width) - ret_rect->x;
	ret_rect->height = (uint32_t)min_u64(bottom * VHU_GPU_TILE, tiles->height) - ret_rect->y;
	return true;
}
