/* SPDX-License-Identifier: BSD-3-Clause */
/* Blobs of guest memory (virtio 1.3, 5.7.6.8): shown where they are. */
#include <stdlib.h>

#include "common/base/num.h"
#include "devices/gpu/command.h"
#include "devices/gpu/resources.h"

#define OK VIRTIO_GPU_RESP_OK_NODATA

uint32_t vhu_gpu_create_blob(struct vhu_gpu *gpu, struct vhu_gpu_request *request)
{
	const struct virtio_gpu_resource_create_blob *command = &request->command.create_blob;
	uint32_t id = le32toh(command->resource_id), n = le32toh(command->nr_entries), status;
	uint64_t size = le64toh(command->size), bytes = 0;
	struct vhu_gpu_resource *resource;
	struct vhu_gpu_range *ranges;
	unsigned n_ranges;

	if (le32toh(command->blob_mem) != VIRTIO_GPU_BLOB_MEM_GUEST || !size)
		return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
	status = vhu_gpu_read_entries(gpu, request, n, &ranges, &n_ranges);
	if (status != OK)
		return status;
	for (unsigned i = 0; i < n_ranges; i++)
		bytes += ranges[i].bytes;
	status = bytes < size ? VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER :
				vhu_gpu_add_resource(gpu, id, NULL, request->chain->slot,
						     &resource);
	if (status >= VIRTIO_GPU_RESP_ERR_UNSPEC) {
		free(ranges);
		return status;
	}
	resource->blob_bytes = size;
	status = vhu_gpu_attach(gpu, resource, ranges, n_ranges, request->chain->slot);
	if (status >= VIRTIO_GPU_RESP_ERR_UNSPEC)
		vhu_gpu_remove_resource(gpu, resource);
	return status;
}

bool vhu_gpu_image_fits(const struct vhu_gpu_image *image, uint64_t bytes)
{
	return vhu_gpu_format_known(image->format) && image->width && image->height &&
	       image->width <= VHU_GPU_SIDE_MAX && image->height <= VHU_GPU_SIDE_MAX &&
	       image->stride_bytes / 4 >= image->width && image->stride_bytes % 4 == 0 &&
	       image->offset % 4 == 0 &&
	       range_fits(image->offset,
			  (uint64_t)image->stride_bytes * (image->height - 1) + 4ull * image->width,
			  bytes);
}

uint32_t vhu_gpu_set_scanout_blob(struct vhu_gpu *gpu, struct vhu_gpu_request *request)
{
	const struct virtio_gpu_set_scanout_blob *command = &request->command.set_scanout_blob;
	struct vhu_gpu_rect rect = vhu_gpu_rect_of(&command->r);
	uint32_t scanout = le32toh(command->scanout_id), id = le32toh(command->resource_id);
	struct vhu_gpu_resource *resource = vhu_gpu_find_resource(gpu, id);
	const struct vhu_gpu_image image = {
		.format = le32toh(command->format),
		.width = le32toh(command->width),
		.height = le32toh(command->height),
		.stride_bytes = le32toh(command->strides[0]),
		.offset = le32toh(command->offsets[0]),
	};

	if (scanout >= VHU_GPU_OUTPUTS_MAX)
		return VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID;
	if (!id) {
		vhu_gpu_show_nothing(gpu, scanout);
		return OK;
	}
	if (!resource)
		return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
	if (!resource->is_blob || !vhu_gpu_image_fits(&image, resource->blob_bytes) ||
	    !vhu_gpu_rect_fits(&rect, image.width, image.height))
		return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
	return vhu_gpu_show(gpu, scanout, resource, &rect, &image);
}
