/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What moves with a card besides its rings: resources with their pixels, what is shown, cursors.
 * All is little-endian: struct saved, then for each resource a struct saved_resource, its ranges
 * (struct virtio_gpu_mem_entry) and, unless it is a blob, its pixels.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/num.h"
#include "devices/gpu/command.h"
#include "devices/gpu/resources.h"

struct saved_rect {
	uint32_t x, y, width, height;
};

struct saved_scanout {
	uint32_t resource_id;
	struct saved_rect rect;
	uint32_t format, width, height, stride_bytes;
	uint32_t zero;
	uint64_t offset;
};

struct saved_cursor {
	uint32_t resource_id, x, y, hot_x, hot_y;
	uint32_t pixels[VHU_GPU_CURSOR_SIDE_MAX * VHU_GPU_CURSOR_SIDE_MAX];
};

struct saved {
	uint32_t events, n_resources;
	struct saved_scanout scanouts[VHU_GPU_OUTPUTS_MAX];
	struct saved_cursor cursors[VHU_GPU_OUTPUTS_MAX];
};

struct saved_resource {
	uint32_t id, is_blob;
	uint32_t format, width, height;
	uint32_t n_ranges, has_uuid, zero;
	uint64_t blob_bytes;
	uint8_t uuid[16];
};

static_assert(sizeof(struct saved_scanout) == 48 && sizeof(struct saved_resource) == 56 &&
	      sizeof(struct saved_cursor) == 16404 && sizeof(struct saved) % 8 == 0, "no holes");

static size_t pixel_bytes(const struct vhu_gpu_resource *resource)
{
	return resource->is_blob ? 0 : 4 * (size_t)resource->width * resource->height;
}

/* --- saving --------------------------------------------------------------------------------- */

static void add_bytes(struct vhu_gpu_id *id, void *data)
{
	const struct vhu_gpu_resource *resource = container_of(id, struct vhu_gpu_resource, id);

	*(size_t *)data += sizeof(struct saved_resource) +
			   resource->n_ranges * sizeof(struct virtio_gpu_mem_entry) +
			   pixel_bytes(resource);
}

struct writer {
	struct vhu_gpu *gpu;
	char *at;
};

static void put(struct writer *writer, const void *bytes, size_t len)
{
	memcpy(writer->at, bytes, len);
	writer->at += len;
}

static void put_resource(struct vhu_gpu_id *id, void *data)
{
	const struct vhu_gpu_resource *resource = container_of(id, struct vhu_gpu_resource, id);
	struct writer *writer = data;
	struct vhu_gpu_renderer *renderer = writer->gpu->renderer;
	struct saved_resource saved = {
		.id = htole32(id->id),
		.is_blob = htole32(resource->is_blob),
		.format = htole32(resource->format),
		.width = htole32(resource->width),
		.height = htole32(resource->height),
		.n_ranges = htole32(resource->n_ranges),
		.has_uuid = htole32(resource->has_uuid),
		.blob_bytes = htole64(resource->blob_bytes),
	};

	memcpy(saved.uuid, resource->uuid, sizeof(saved.uuid));
	put(writer, &saved, sizeof(saved));
	for (unsigned i = 0; i < resource->n_ranges; i++) {
		const struct virtio_gpu_mem_entry range = {
			htole64(resource->ranges[i].gpa),
			htole32((uint32_t)resource->ranges[i].bytes), 0
		};

		put(writer, &range, sizeof(range));
	}
	if (!resource->is_blob)
		put(writer, renderer->ops->surface(renderer, id->id, NULL)->pixels,
		    pixel_bytes(resource));
}

static void save_scanouts(const struct vhu_gpu *gpu, struct saved *saved)
{
	for (unsigned i = 0; i < VHU_GPU_OUTPUTS_MAX; i++) {
		const struct vhu_gpu_scanout *s = &gpu->scanouts[i];
		const struct vhu_gpu_cursor_state *c = &gpu->cursors[i];

		saved->scanouts[i] = (struct saved_scanout){
			.resource_id = htole32(s->resource_id),
			.rect = { htole32(s->rect.x), htole32(s->rect.y),
				  htole32(s->rect.width), htole32(s->rect.height) },
			.format = htole32(s->image.format),
			.width = htole32(s->image.width),
			.height = htole32(s->image.height),
			.stride_bytes = htole32(s->image.stride_bytes),
			.offset = htole64(s->image.offset),
		};
		saved->cursors[i].resource_id = htole32(c->resource_id);
		saved->cursors[i].x = htole32(c->x);
		saved->cursors[i].y = htole32(c->y);
		saved->cursors[i].hot_x = htole32(c->cursor.hot_x);
		saved->cursors[i].hot_y = htole32(c->cursor.hot_y);
		for (size_t k = 0; k < ARRAY_SIZE(c->cursor.pixels); k++)
			saved->cursors[i].pixels[k] = htole32(c->cursor.pixels[k]);
	}
}

int vhu_gpu_save(struct vhu_device *device, void **ret_bytes, size_t *ret_len)
{
	struct vhu_gpu *gpu = container_of(device, struct vhu_gpu, device);
	size_t len = sizeof(struct saved);
	struct writer writer = { .gpu = gpu };
	struct saved *saved;

	vhu_gpu_ids_each(&gpu->resources, add_bytes, &len);
	saved = malloc(len);
	if (!saved)
		return -ENOMEM;
	saved->events = htole32(gpu->events);
	saved->n_resources = htole32(gpu->resources.n);
	save_scanouts(gpu, saved);
	writer.at = (char *)(saved + 1);
	vhu_gpu_ids_each(&gpu->resources, put_resource, &writer);
	*ret_bytes = saved;
	*ret_len = len;
	return 0;
}

/* --- loading -------------------------------------------------------------------------------- */

/* A resource as it was saved; what follows is where it is, unaligned. */
struct found {
	struct saved_resource saved;
	const char *ranges, *pixels;
};

struct reader {
	const char *at;
	size_t left;
};

static const char *take(struct reader *reader, uint64_t len)
{
	const char *at = reader->at;

	if (len > reader->left)
		return NULL;
	reader->at += len;
	reader->left -= len;
	return at;
}

/* False: there is none, or one that a driver could not have made. */
static bool next_resource(struct reader *reader, struct found *ret_found)
{
	const char *at = take(reader, sizeof(struct saved_resource));
	struct saved_resource *saved = &ret_found->saved;
	uint32_t width, height;
	bool is_blob;

	if (!at)
		return false;
	memcpy(saved, at, sizeof(*saved));
	is_blob = le32toh(saved->is_blob);
	width = le32toh(saved->width);
	height = le32toh(saved->height);
	if (!saved->id || saved->zero || le32toh(saved->is_blob) > 1 ||
	    le32toh(saved->has_uuid) > 1 || le32toh(saved->n_ranges) > VHU_GPU_RANGES_MAX)
		return false;
	if (is_blob ? !saved->blob_bytes || width || height :
		      !vhu_gpu_format_known(le32toh(saved->format)) || !width || !height ||
			      width > VHU_GPU_SIDE_MAX || height > VHU_GPU_SIDE_MAX)
		return false;
	ret_found->ranges = take(reader, le32toh(saved->n_ranges) *
						 sizeof(struct virtio_gpu_mem_entry));
	ret_found->pixels = take(reader, 4ull * width * height);
	return ret_found->ranges && ret_found->pixels;
}

static int check(const struct saved *saved, size_t len)
{
	struct reader reader = { (const char *)saved, len };
	struct found found;

	if (!take(&reader, sizeof(*saved)))
		return -EINVAL;
	for (uint32_t i = 0; i < le32toh(saved->n_resources); i++)
		if (!next_resource(&reader, &found))
			return -EINVAL;
	return reader.left ? -EINVAL : 0;
}

static struct vhu_gpu_range *copy_ranges(const struct found *found, unsigned n)
{
	struct vhu_gpu_range *ranges = reallocarray(NULL, n, sizeof(*ranges));

	for (unsigned i = 0; ranges && i < n; i++) {
		struct virtio_gpu_mem_entry range;

		memcpy(&range, found->ranges + i * sizeof(range), sizeof(range));
		ranges[i] = (struct vhu_gpu_range){ le64toh(range.addr), le32toh(range.length) };
	}
	return ranges;
}

/* The guest's memory may come later: what is not there now is looked for then. */
static int load_backing(struct vhu_gpu *gpu, struct vhu_gpu_resource *resource,
			const struct found *found)
{
	unsigned n = le32toh(found->saved.n_ranges);
	struct vhu_gpu_range *ranges;

	if (!n)
		return 0;
	ranges = copy_ranges(found, n);
	if (!ranges || gpu->renderer->ops->restore(gpu->renderer, resource->id.id, ranges, n) !=
			       VIRTIO_GPU_RESP_OK_NODATA) {
		free(ranges);
		return -ENOMEM;
	}
	vhu_gpu_keep_ranges(gpu, resource, ranges, n);
	return 0;
}

static int load_resource(struct vhu_gpu *gpu, const struct found *found)
{
	const struct saved_resource *saved = &found->saved;
	const struct vhu_gpu_image image = { le32toh(saved->format), le32toh(saved->width),
					     le32toh(saved->height), 0, 0 };
	struct vhu_gpu_renderer *renderer = gpu->renderer;
	struct vhu_gpu_resource *resource;
	uint32_t id = le32toh(saved->id);

	if (vhu_gpu_add_resource(gpu, id, saved->is_blob ? NULL : &image, 0, &resource) !=
	    VIRTIO_GPU_RESP_OK_NODATA) {
		vhu_error("gpu: resource %u, %ux%u, is one too many here (--max-resources, "
			  "--max-resource-mem), or there twice", id, image.width, image.height);
		return -EINVAL;
	}
	resource->blob_bytes = le64toh(saved->blob_bytes);
	resource->has_uuid = le32toh(saved->has_uuid);
	memcpy(resource->uuid, saved->uuid, sizeof(resource->uuid));
	if (!resource->is_blob)
		memcpy(renderer->ops->surface(renderer, id, NULL)->pixels, found->pixels,
		       pixel_bytes(resource));
	return load_backing(gpu, resource, found);
}

static int load_scanout(struct vhu_gpu *gpu, unsigned i, const struct saved_scanout *saved)
{
	uint32_t id = le32toh(saved->resource_id);
	struct vhu_gpu_resource *resource = vhu_gpu_find_resource(gpu, id);
	const struct vhu_gpu_rect rect = { le32toh(saved->rect.x), le32toh(saved->rect.y),
					   le32toh(saved->rect.width),
					   le32toh(saved->rect.height) };
	const struct vhu_gpu_image image = { le32toh(saved->format), le32toh(saved->width),
					     le32toh(saved->height),
					     le32toh(saved->stride_bytes),
					     le64toh(saved->offset) };

	if (!id)
		return 0;
	if (!resource)
		return -EINVAL;
	if (!resource->is_blob) {
		if (!vhu_gpu_rect_fits(&rect, resource->width, resource->height))
			return -EINVAL;
		vhu_gpu_show(gpu, i, resource, &rect, NULL);
		return 0;
	}
	if (!vhu_gpu_image_fits(&image, resource->blob_bytes) ||
	    !vhu_gpu_rect_fits(&rect, image.width, image.height))
		return -EINVAL;
	gpu->scanouts[i] = (struct vhu_gpu_scanout){ id, rect, image };
	resource->scanouts |= 1u << i;
	return 0;
}

static void load_cursor(struct vhu_gpu *gpu, unsigned i, const struct saved_cursor *saved)
{
	struct vhu_gpu_cursor_state *c = &gpu->cursors[i];

	c->resource_id = le32toh(saved->resource_id);
	c->x = le32toh(saved->x);
	c->y = le32toh(saved->y);
	c->cursor.hot_x = le32toh(saved->hot_x);
	c->cursor.hot_y = le32toh(saved->hot_y);
	for (size_t k = 0; k < ARRAY_SIZE(c->cursor.pixels); k++)
		c->cursor.pixels[k] = le32toh(saved->pixels[k]);
	vhu_gpu_display_set_cursor(gpu->display, i, &c->cursor);
	vhu_gpu_display_move_cursor(gpu->display, i, c->x, c->y, c->resource_id);
}

static int load_all(struct vhu_gpu *gpu, const struct saved *saved, size_t len)
{
	struct reader reader = { (const char *)(saved + 1), len - sizeof(*saved) };
	struct found found;
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < le32toh(saved->n_resources); i++) {
		next_resource(&reader, &found);
		r = load_resource(gpu, &found);
	}
	for (unsigned i = 0; r == 0 && i < VHU_GPU_OUTPUTS_MAX; i++)
		r = load_scanout(gpu, i, &saved->scanouts[i]);
	return r;
}

int vhu_gpu_load(struct vhu_device *device, uint32_t version, const void *bytes, size_t len)
{
	struct vhu_gpu *gpu = container_of(device, struct vhu_gpu, device);
	const struct saved *saved = bytes;
	int r = check(saved, len);

	(void)version;
	if (r < 0)
		return r;
	vhu_gpu_remove_all(gpu);
	r = load_all(gpu, saved, len);
	if (r < 0) {
		vhu_gpu_remove_all(gpu);
		return r;
	}
	gpu->events = le32toh(saved->events) & VIRTIO_GPU_EVENT_DISPLAY;
	for (unsigned i = 0; i < VHU_GPU_OUTPUTS_MAX; i++)
		load_cursor(gpu, i, &saved->cursors[i]);
	vhu_gpu_show_blobs_again(gpu);
	return 0;
}
