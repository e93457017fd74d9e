/* SPDX-License-Identifier: BSD-3-Clause */
/* The cursor queue (virtio 1.3, 5.7.6.10). */
#include <string.h>

#include "common/base/num.h"
#include "devices/gpu/gpu_priv.h"
#include "devices/gpu/resources.h"

#define SIDE VHU_GPU_CURSOR_SIDE_MAX
#define OK VIRTIO_GPU_RESP_OK_NODATA

/*
 * Which byte of a pixel is what. Also where the format has none, the fourth is alpha: Linux has its
 * cursors in such resources.
 */
static const struct {
	uint8_t a, r, g, b;
} bytes_of[] = {
	[VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM] = { 3, 2, 1, 0 },
	[VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM] = { 3, 2, 1, 0 },
	[VIRTIO_GPU_FORMAT_A8R8G8B8_UNORM] = { 0, 1, 2, 3 },
	[VIRTIO_GPU_FORMAT_X8R8G8B8_UNORM] = { 0, 1, 2, 3 },
	[VIRTIO_GPU_FORMAT_R8G8B8A8_UNORM] = { 3, 0, 1, 2 },
	[VIRTIO_GPU_FORMAT_X8B8G8R8_UNORM] = { 0, 3, 2, 1 },
	[VIRTIO_GPU_FORMAT_A8B8G8R8_UNORM] = { 0, 3, 2, 1 },
	[VIRTIO_GPU_FORMAT_R8G8B8X8_UNORM] = { 3, 0, 1, 2 },
};

/* What is smaller is at the top left of 64 x 64, the rest of which is not seen. */
static void draw(struct vhu_gpu_cursor *cursor, struct vhu_gpu_surface *surface)
{
	memset(cursor->pixels, 0, sizeof(cursor->pixels));
	pthread_mutex_lock(&surface->mutex);
	for (uint32_t y = 0; surface->pixels && y < surface->height; y++) {
		const char *line = surface->pixels + (size_t)surface->stride_bytes * y;

		for (uint32_t x = 0; x < surface->width; x++) {
			const uint8_t *p = (const uint8_t *)line + 4 * (size_t)x;

			cursor->pixels[SIDE * y + x] =
				(uint32_t)p[bytes_of[surface->format].a] << 24 |
				(uint32_t)p[bytes_of[surface->format].r] << 16 |
				(uint32_t)p[bytes_of[surface->format].g] << 8 |
				(uint32_t)p[bytes_of[surface->format].b];
		}
	}
	pthread_mutex_unlock(&surface->mutex);
}

/* A blob has no size: it is seen as what all drivers make. */
static struct vhu_gpu_surface *picture_of(struct vhu_gpu *gpu,
					  const struct vhu_gpu_resource *resource)
{
	static const struct vhu_gpu_image usual = {
		.format = VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM,
		.width = SIDE,
		.height = SIDE,
		.stride_bytes = 4 * SIDE,
	};

	if (resource->is_blob ? resource->blob_bytes < sizeof(uint32_t) * SIDE * SIDE :
				resource->width > SIDE || resource->height > SIDE)
		return NULL;
	return gpu->renderer->ops->surface(gpu->renderer, resource->id.id,
					   resource->is_blob ? &usual : NULL);
}

static void place(struct vhu_gpu *gpu, unsigned scanout,
		  const struct virtio_gpu_update_cursor *command)
{
	struct vhu_gpu_cursor_state *c = &gpu->cursors[scanout];

	c->x = le32toh(command->pos.x);
	c->y = le32toh(command->pos.y);
	vhu_gpu_display_move_cursor(gpu->display, scanout, c->x, c->y, c->resource_id);
}

uint32_t vhu_gpu_update_cursor(struct vhu_gpu *gpu, const struct virtio_gpu_update_cursor *command)
{
	uint32_t scanout = le32toh(command->pos.scanout_id), id = le32toh(command->resource_id);
	const struct vhu_gpu_resource *resource = vhu_gpu_find_resource(gpu, id);
	struct vhu_gpu_surface *surface;
	struct vhu_gpu_cursor_state *c;

	if (scanout >= VHU_GPU_OUTPUTS_MAX)
		return VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID;
	c = &gpu->cursors[scanout];
	if (id) {
		if (!resource)
			return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
		surface = picture_of(gpu, resource);
		if (!surface)
			return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
		c->cursor.hot_x = le32toh(command->hot_x);
		c->cursor.hot_y = le32toh(command->hot_y);
		draw(&c->cursor, surface);
		vhu_gpu_display_set_cursor(gpu->display, scanout, &c->cursor);
	}
	c->resource_id = id;
	place(gpu, scanout, command);
	return OK;
}

/* Also of one that is hidden, which it stays. */
uint32_t vhu_gpu_move_cursor(struct vhu_gpu *gpu, const struct virtio_gpu_update_cursor *command)
{
	uint32_t scanout = le32toh(command->pos.scanout_id);

	if (scanout >= VHU_GPU_OUTPUTS_MAX)
		return VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID;
	place(gpu, scanout, command);
	return OK;
}
