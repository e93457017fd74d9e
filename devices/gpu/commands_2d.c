/* SPDX-License-Identifier: BSD-3-Clause */
/* virtio 1.3, 5.7.6.8 */
#include <string.h>

#include "common/backend/shared.h"
#include "common/base/num.h"
#include "devices/gpu/command.h"
#include "devices/gpu/edid.h"
#include "devices/gpu/resources.h"

#define OK VIRTIO_GPU_RESP_OK_NODATA

bool vhu_gpu_format_known(uint32_t format)
{
	static const uint32_t formats[] = {
		VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM, VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM,
		VIRTIO_GPU_FORMAT_A8R8G8B8_UNORM, VIRTIO_GPU_FORMAT_X8R8G8B8_UNORM,
		VIRTIO_GPU_FORMAT_R8G8B8A8_UNORM, VIRTIO_GPU_FORMAT_X8B8G8R8_UNORM,
		VIRTIO_GPU_FORMAT_A8B8G8R8_UNORM, VIRTIO_GPU_FORMAT_R8G8B8X8_UNORM,
	};

	for (size_t i = 0; i < ARRAY_SIZE(formats); i++)
		if (formats[i] == format)
			return true;
	return false;
}

static uint32_t fill_display_info(struct vhu_gpu *gpu, uint32_t scanout,
				  union vhu_gpu_response *ret_response, size_t *ret_bytes)
{
	struct virtio_gpu_resp_display_info *info = &ret_response->display_info;
	struct vhu_gpu_mode modes[VHU_GPU_OUTPUTS_MAX];

	(void)scanout;
	vhu_gpu_get_modes(gpu, modes);
	memset(info, 0, sizeof(*info));
	for (unsigned i = 0; i < VHU_GPU_OUTPUTS_MAX; i++) {
		info->pmodes[i].r = (struct virtio_gpu_rect){
			htole32(modes[i].rect.x), htole32(modes[i].rect.y),
			htole32(modes[i].rect.width), htole32(modes[i].rect.height),
		};
		info->pmodes[i].enabled = htole32(modes[i].enabled);
	}
	*ret_bytes = sizeof(*info);
	return VIRTIO_GPU_RESP_OK_DISPLAY_INFO;
}

uint32_t vhu_gpu_get_display_info(struct vhu_gpu *gpu, struct vhu_gpu_request *request)
{
	return vhu_gpu_ask_modes(gpu, request, 0, fill_display_info);
}

static uint32_t fill_edid(struct vhu_gpu *gpu, uint32_t scanout,
			  union vhu_gpu_response *ret_response, size_t *ret_bytes)
{
	static const struct vhu_gpu_output unnamed;
	const struct vhu_gpu_options *options = gpu->options;
	struct virtio_gpu_resp_edid *edid = &ret_response->edid;
	struct vhu_gpu_mode modes[VHU_GPU_OUTPUTS_MAX];
	size_t bytes;

	vhu_gpu_get_modes(gpu, modes);
	memset(edid, 0, sizeof(*edid));
	bytes = vhu_gpu_edid_make(scanout < options->n_outputs ? &options->outputs[scanout] :
								 &unnamed,
				  scanout, modes[scanout].rect.width, modes[scanout].rect.height,
				  edid->edid);
	edid->size = htole32((uint32_t)bytes);
	*ret_bytes = sizeof(*edid);
	return VIRTIO_GPU_RESP_OK_EDID;
}

/* Its preferred mode is what the front-end is asked for: Linux reads it first, and goes by it. */
uint32_t vhu_gpu_get_edid(struct vhu_gpu *gpu, struct vhu_gpu_request *request)
{
	uint32_t scanout = le32toh(request->command.get_edid.scanout);

	if (scanout >= VHU_GPU_OUTPUTS_MAX)
		return VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID;
	return vhu_gpu_ask_modes(gpu, request, scanout, fill_edid);
}

uint32_t vhu_gpu_create_2d(struct vhu_gpu *gpu, struct vhu_gpu_request *request)
{
	const struct virtio_gpu_resource_create_2d *command = &request->command.create_2d;
	const struct vhu_gpu_image image = {
		.format = le32toh(command->format),
		.width = le32toh(command->width),
		.height = le32toh(command->height),
	};
	struct vhu_gpu_resource *resource;

	if (!vhu_gpu_format_known(image.format) || !image.width || !image.height ||
	    image.width > VHU_GPU_SIDE_MAX || image.height > VHU_GPU_SIDE_MAX)
		return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
	return vhu_gpu_add_resource(gpu, le32toh(command->resource_id), &image,
				    request->chain->slot, &resource);
}

uint32_t vhu_gpu_unref(struct vhu_gpu *gpu, struct vhu_gpu_request *request)
{
	struct vhu_gpu_resource *resource =
		vhu_gpu_find_resource(gpu, le32toh(request->command.unref.resource_id));

	if (!resource)
		return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
	vhu_gpu_remove_resource(gpu, resource);
	return OK;
}

uint32_t vhu_gpu_set_scanout(struct vhu_gpu *gpu, struct vhu_gpu_request *request)
{
	const struct virtio_gpu_set_scanout *command = &request->command.set_scanout;
	struct vhu_gpu_rect rect = vhu_gpu_rect_of(&command->r);
	uint32_t scanout = le32toh(command->scanout_id), id = le32toh(command->resource_id);
	struct vhu_gpu_resource *resource = vhu_gpu_find_resource(gpu, id);

	if (scanout >= VHU_GPU_OUTPUTS_MAX)
		return VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID;
	if (!id) {
		vhu_gpu_show_nothing(gpu, scanout);
		return OK;
	}
	if (!resource)
		return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
	if (resource->is_blob || !vhu_gpu_rect_fits(&rect, resource->width, resource->height))
		return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
	return vhu_gpu_show(gpu, scanout, resource, &rect, NULL);
}

/* Of a blob the rectangle is one of the image that is shown. */
uint32_t vhu_gpu_resource_flush(struct vhu_gpu *gpu, struct vhu_gpu_request *request)
{
	const struct virtio_gpu_resource_flush *command = &request->command.flush;
	struct vhu_gpu_rect rect = vhu_gpu_rect_of(&command->r);
	struct vhu_gpu_resource *resource =
		vhu_gpu_find_resource(gpu, le32toh(command->resource_id));

	if (!resource)
		return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
	if (!resource->is_blob && !vhu_gpu_rect_fits(&rect, resource->width, resource->height))
		return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
	vhu_gpu_flush(gpu, resource, &rect);
	return OK;
}

/* To a blob nothing is copied: it is the guest's memory. Linux asks for it all the same. */
uint32_t vhu_gpu_transfer(struct vhu_gpu *gpu, struct vhu_gpu_request *request)
{
	const struct virtio_gpu_transfer_to_host_2d *command = &request->command.transfer;
	struct vhu_gpu_rect rect = vhu_gpu_rect_of(&command->r);
	uint32_t id = le32toh(command->resource_id);
	struct vhu_gpu_resource *resource = vhu_gpu_find_resource(gpu, id);

	if (!resource)
		return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
	if (resource->is_blob)
		return OK;
	if (!vhu_gpu_rect_fits(&rect, resource->width, resource->height))
		return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
	vhu_counter_add(&gpu->stats.transfer_bytes, 4ull * rect.width * rect.height);
	return gpu->renderer->ops->transfer(gpu->renderer, id, &rect, le64toh(command->offset),
					    request->chain->slot);
}

uint32_t vhu_gpu_attach_backing(struct vhu_gpu *gpu, struct vhu_gpu_request *request)
{
	const struct virtio_gpu_resource_attach_backing *command = &request->command.attach;
	uint32_t n = le32toh(command->nr_entries), status;
	struct vhu_gpu_resource *resource =
		vhu_gpu_find_resource(gpu, le32toh(command->resource_id));
	struct vhu_gpu_range *ranges;
	unsigned n_ranges;

	if (!resource)
		return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
	if (resource->ranges)
		return VIRTIO_GPU_RESP_ERR_UNSPEC;
	status = vhu_gpu_read_entries(gpu, request, n, &ranges, &n_ranges);
	if (status != OK)
		return status;
	return vhu_gpu_attach(gpu, resource, ranges, n_ranges, request->chain->slot);
}

uint32_t vhu_gpu_detach_backing(struct vhu_gpu *gpu, struct vhu_gpu_request *request)
{
	struct vhu_gpu_resource *resource =
		vhu_gpu_find_resource(gpu, le32toh(request->command.detach.resource_id));

	if (!resource)
		return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
	if (!resource->ranges)
		return VIRTIO_GPU_RESP_ERR_UNSPEC;
	return vhu_gpu_detach(gpu, resource, request->chain->slot);
}

/* Others find it by that, through the front-end (virtio 1.3, 2.12). */
uint32_t vhu_gpu_assign_uuid(struct vhu_gpu *gpu, struct vhu_gpu_request *request)
{
	struct vhu_gpu_resource *resource =
		vhu_gpu_find_resource(gpu, le32toh(request->command.assign_uuid.resource_id));
	struct virtio_gpu_resp_resource_uuid *answer = &request->response.uuid;

	if (!resource)
		return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
	if (!resource->has_uuid && !vhu_gpu_give_uuid(gpu, resource))
		return VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
	memcpy(answer->uuid, resource->uuid, sizeof(answer->uuid));
	request->response_bytes = sizeof(*answer);
	return VIRTIO_GPU_RESP_OK_RESOURCE_UUID;
}
