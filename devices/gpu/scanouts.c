/* SPDX-License-Identifier: BSD-3-Clause */
#include <inttypes.h>
#include <string.h>

#include "common/base/num.h"
#include "devices/gpu/gpu_priv.h"
#include "devices/gpu/resources.h"

#define DEFAULT_WIDTH 1280
#define DEFAULT_HEIGHT 800

static void forget(struct vhu_gpu *gpu, unsigned scanout)
{
	struct vhu_gpu_scanout *s = &gpu->scanouts[scanout];
	struct vhu_gpu_resource *resource = vhu_gpu_find_resource(gpu, s->resource_id);

	if (resource)
		resource->scanouts &= ~(1u << scanout);
	*s = (struct vhu_gpu_scanout){ 0 };
}

void vhu_gpu_show_nothing(struct vhu_gpu *gpu, unsigned scanout)
{
	forget(gpu, scanout);
	vhu_gpu_display_show(gpu->display, scanout, NULL, NULL);
}

uint32_t vhu_gpu_show(struct vhu_gpu *gpu, unsigned scanout, struct vhu_gpu_resource *resource,
		      const struct vhu_gpu_rect *rect, const struct vhu_gpu_image *image)
{
	struct vhu_gpu_surface *surface =
		gpu->renderer->ops->surface(gpu->renderer, resource->id.id, image);

	if (!surface)
		return VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
	forget(gpu, scanout);
	gpu->scanouts[scanout] = (struct vhu_gpu_scanout){ .resource_id = resource->id.id,
							   .rect = *rect };
	if (image)
		gpu->scanouts[scanout].image = *image;
	resource->scanouts |= 1u << scanout;
	vhu_gpu_display_show(gpu->display, scanout, surface, rect);
	return VIRTIO_GPU_RESP_OK_NODATA;
}

void vhu_gpu_show_blobs_again(struct vhu_gpu *gpu)
{
	for (unsigned i = 0; i < VHU_GPU_OUTPUTS_MAX; i++) {
		const struct vhu_gpu_scanout *s = &gpu->scanouts[i];
		const struct vhu_gpu_resource *resource =
			vhu_gpu_find_resource(gpu, s->resource_id);

		/* It is not forgotten: what is gone now may be there with the next map. */
		if (resource && resource->is_blob)
			vhu_gpu_display_show(gpu->display, i,
					     gpu->renderer->ops->surface(gpu->renderer,
									 s->resource_id, &s->image),
					     &s->rect);
	}
}

void vhu_gpu_flush(struct vhu_gpu *gpu, const struct vhu_gpu_resource *resource,
		   const struct vhu_gpu_rect *rect)
{
	for (unsigned i = 0; i < VHU_GPU_OUTPUTS_MAX; i++) {
		const struct vhu_gpu_rect *shown = &gpu->scanouts[i].rect;
		uint64_t x = max_u64(rect->x, shown->x), y = max_u64(rect->y, shown->y);
		uint64_t right = min_u64((uint64_t)rect->x + rect->width,
					 (uint64_t)shown->x + shown->width);
		uint64_t bottom = min_u64((uint64_t)rect->y + rect->height,
					  (uint64_t)shown->y + shown->height);
		struct vhu_gpu_rect part;

		if (!(resource->scanouts >> i & 1) || x >= right || y >= bottom)
			continue;
		part = (struct vhu_gpu_rect){ (uint32_t)x - shown->x, (uint32_t)y - shown->y,
					      (uint32_t)(right - x), (uint32_t)(bottom - y) };
		vhu_gpu_display_damage(gpu->display, i, &part);
	}
}

/* --- modes ---------------------------------------------------------------------------------- */

/* --output goes before what the front-end, or a viewer, would like. */
static void set_own(const struct vhu_gpu_options *options,
		    struct vhu_gpu_mode modes[VHU_GPU_OUTPUTS_MAX])
{
	uint32_t x = 0;

	for (unsigned i = 0; i < options->n_outputs; i++) {
		const struct vhu_gpu_output *output = &options->outputs[i];

		modes[i] = (struct vhu_gpu_mode){ true,
						  { x, 0, output->width, output->height } };
		x += output->width;
	}
}

void vhu_gpu_get_modes(struct vhu_gpu *gpu, struct vhu_gpu_mode ret_modes[VHU_GPU_OUTPUTS_MAX])
{
	bool any = false;

	vhu_gpu_display_modes(gpu->display, ret_modes);
	set_own(gpu->options, ret_modes);
	for (unsigned i = 0; i < VHU_GPU_OUTPUTS_MAX; i++) {
		struct vhu_gpu_rect *rect = &ret_modes[i].rect;

		any |= ret_modes[i].enabled;
		rect->width = (uint32_t)min_u64(rect->width, VHU_GPU_SIDE_MAX);
		rect->height = (uint32_t)min_u64(rect->height, VHU_GPU_SIDE_MAX);
		if (!rect->width || !rect->height)
			*rect = (struct vhu_gpu_rect){ 0, 0, DEFAULT_WIDTH, DEFAULT_HEIGHT };
	}
	ret_modes[0].enabled |= !any;
}

void vhu_gpu_print_outputs(struct vhu_device *device, FILE *out)
{
	struct vhu_gpu *gpu = container_of(device, struct vhu_gpu, device);
	struct vhu_gpu_shown shown[VHU_GPU_OUTPUTS_MAX];
	struct vhu_gpu_mode modes[VHU_GPU_OUTPUTS_MAX];
	const char *comma = "";

	vhu_gpu_display_shown(gpu->display, shown);
	vhu_gpu_get_modes(gpu, modes);
	fputs("[", out);
	for (unsigned i = 0; i < VHU_GPU_OUTPUTS_MAX; i++) {
		const struct vhu_gpu_rect *rect = &modes[i].rect;

		if (!shown[i].width && !modes[i].enabled)
			continue;
		fprintf(out, "%s{\"scanout\": %u, \"width\": %" PRIu32 ", \"height\": %" PRIu32
			", \"cursor\": %s", comma, i, shown[i].width, shown[i].height,
			shown[i].cursor ? "true" : "false");
		if (modes[i].enabled)
			fprintf(out, ", \"wanted\": {\"width\": %" PRIu32 ", \"height\": %" PRIu32
				"}", rect->width, rect->height);
		fputs("}", out);
		comma = ", ";
	}
	fputs("]", out);
}
