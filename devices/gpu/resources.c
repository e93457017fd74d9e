/* SPDX-License-Identifier: BSD-3-Clause */
#include "devices/gpu/resources.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/backend/shared.h"
#include "common/base/num.h"

/* Of ours for one: what an attacker could have for nothing counts as well. */
#define OVERHEAD_BYTES 1024
/* For an entry of a backing, of ours and of the renderer. */
#define ENTRY_BYTES 64

struct vhu_gpu_resource *vhu_gpu_find_resource(const struct vhu_gpu *gpu, uint32_t id)
{
	struct vhu_gpu_id *found = vhu_gpu_ids_find(&gpu->resources, id);

	return found ? container_of(found, struct vhu_gpu_resource, id) : NULL;
}

static void hold(struct vhu_gpu *gpu, struct vhu_gpu_resource *resource, int64_t bytes)
{
	resource->held_bytes += (uint64_t)bytes;
	gpu->held_bytes += (uint64_t)bytes;
	vhu_counter_set(&gpu->stats.held_bytes, gpu->held_bytes);
	vhu_counter_set(&gpu->stats.resources, gpu->resources.n);
}

static bool is_room(const struct vhu_gpu *gpu, uint64_t bytes)
{
	return range_fits(gpu->held_bytes, bytes, gpu->options->max_resource_mem);
}

static uint32_t make(struct vhu_gpu *gpu, uint32_t id, const struct vhu_gpu_image *image,
		     uint64_t token, struct vhu_gpu_resource **ret_resource)
{
	struct vhu_gpu_resource *resource = calloc(1, sizeof(*resource));
	uint32_t status = VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;

	if (resource)
		status = gpu->renderer->ops->create(gpu->renderer, id, image, token);
	if (status >= VIRTIO_GPU_RESP_ERR_UNSPEC) {
		free(resource);
		return status;
	}
	*ret_resource = resource;
	return status;
}

uint32_t vhu_gpu_add_resource(struct vhu_gpu *gpu, uint32_t id, const struct vhu_gpu_image *image,
			      uint64_t token, struct vhu_gpu_resource **ret_resource)
{
	uint64_t bytes = OVERHEAD_BYTES + (image ? 4ull * image->width * image->height : 0);
	struct vhu_gpu_resource *resource;
	uint32_t status;

	if (!id || vhu_gpu_find_resource(gpu, id))
		return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
	if (gpu->resources.n >= gpu->options->max_resources || !is_room(gpu, bytes))
		return VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
	status = make(gpu, id, image, token, &resource);
	if (status >= VIRTIO_GPU_RESP_ERR_UNSPEC)
		return status;
	resource->id.id = id;
	resource->is_blob = !image;
	if (image) {
		resource->format = image->format;
		resource->width = image->width;
		resource->height = image->height;
	}
	vhu_gpu_ids_add(&gpu->resources, &resource->id);
	hold(gpu, resource, (int64_t)bytes);
	*ret_resource = resource;
	return status;
}

static void drop_ranges(struct vhu_gpu *gpu, struct vhu_gpu_resource *resource)
{
	hold(gpu, resource, -(int64_t)resource->n_ranges * ENTRY_BYTES);
	free(resource->ranges);
	resource->ranges = NULL;
	resource->n_ranges = 0;
}

void vhu_gpu_remove_resource(struct vhu_gpu *gpu, struct vhu_gpu_resource *resource)
{
	for (unsigned i = 0; i < VHU_GPU_OUTPUTS_MAX; i++)
		if (resource->scanouts >> i & 1)
			vhu_gpu_show_nothing(gpu, i);
	if (resource->has_uuid)
		vhu_device_shared_object_remove(&gpu->device, resource->uuid);
	gpu->renderer->ops->destroy(gpu->renderer, resource->id.id);
	drop_ranges(gpu, resource);
	vhu_gpu_ids_remove(&gpu->resources, &resource->id);
	hold(gpu, resource, -(int64_t)resource->held_bytes);
	free(resource);
}

static void remove_one(struct vhu_gpu_id *id, void *data)
{
	vhu_gpu_remove_resource(data, container_of(id, struct vhu_gpu_resource, id));
}

void vhu_gpu_remove_all(struct vhu_gpu *gpu)
{
	vhu_gpu_ids_each(&gpu->resources, remove_one, gpu);
}

void vhu_gpu_keep_ranges(struct vhu_gpu *gpu, struct vhu_gpu_resource *resource,
			 struct vhu_gpu_range *ranges, unsigned n)
{
	resource->ranges = ranges;
	resource->n_ranges = n;
	hold(gpu, resource, (int64_t)n * ENTRY_BYTES);
}

uint32_t vhu_gpu_attach(struct vhu_gpu *gpu, struct vhu_gpu_resource *resource,
			struct vhu_gpu_range *ranges, unsigned n, uint64_t token)
{
	uint32_t status = VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;

	if (is_room(gpu, (uint64_t)n * ENTRY_BYTES))
		status = gpu->renderer->ops->attach(gpu->renderer, resource->id.id, ranges, n,
						    token);
	if (status >= VIRTIO_GPU_RESP_ERR_UNSPEC)
		free(ranges);
	else
		vhu_gpu_keep_ranges(gpu, resource, ranges, n);
	return status;
}

/* A blob without its memory shows nothing. */
uint32_t vhu_gpu_detach(struct vhu_gpu *gpu, struct vhu_gpu_resource *resource, uint64_t token)
{
	for (unsigned i = 0; resource->is_blob && i < VHU_GPU_OUTPUTS_MAX; i++)
		if (resource->scanouts >> i & 1)
			vhu_gpu_show_nothing(gpu, i);
	drop_ranges(gpu, resource);
	return gpu->renderer->ops->detach(gpu->renderer, resource->id.id, token);
}

/* --- shared objects ------------------------------------------------------------------------- */

bool vhu_gpu_give_uuid(struct vhu_gpu *gpu, struct vhu_gpu_resource *resource)
{
	if (getrandom(resource->uuid, sizeof(resource->uuid), 0) !=
	    (ssize_t)sizeof(resource->uuid))
		return false;
	/* Random (RFC 9562, 5.4). */
	resource->uuid[6] = (uint8_t)((resource->uuid[6] & 0x0f) | 0x40);
	resource->uuid[8] = (uint8_t)((resource->uuid[8] & 0x3f) | 0x80);
	resource->has_uuid = true;
	/* A front-end that has not taken the feature does without. */
	vhu_device_shared_object_add(&gpu->device, resource->uuid);
	return true;
}

struct wanted {
	const uint8_t *uuid;
	const struct vhu_gpu_resource *found;
};

static void compare(struct vhu_gpu_id *id, void *data)
{
	const struct vhu_gpu_resource *resource = container_of(id, struct vhu_gpu_resource, id);
	struct wanted *wanted = data;

	if (resource->has_uuid && !memcmp(resource->uuid, wanted->uuid, sizeof(resource->uuid)))
		wanted->found = resource;
}

int vhu_gpu_get_shared_object(struct vhu_device *device, const uint8_t uuid[16], int *ret_fd)
{
	struct vhu_gpu *gpu = container_of(device, struct vhu_gpu, device);
	struct wanted wanted = { .uuid = uuid };
	int fd;

	vhu_gpu_ids_each(&gpu->resources, compare, &wanted);
	if (!wanted.found)
		return -ENOENT;
	fd = gpu->renderer->ops->share(gpu->renderer, wanted.found->id.id);
	if (fd < 0)
		return fd;
	*ret_fd = fd;
	return 0;
}
