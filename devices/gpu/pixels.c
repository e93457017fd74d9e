/* SPDX-License-Identifier: BSD-3-Clause */
#include "devices/gpu/pixels.h"

#include <linux/virtio_gpu.h>
#include <pixman.h>

#include "common/base/num.h"

/* The names of virtio go from the first byte to the last, those of pixman down from the top bit. */
static pixman_format_code_t format_of(uint32_t format)
{
	static const pixman_format_code_t formats[] = {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
		[VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM] = PIXMAN_a8r8g8b8,
		[VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM] = PIXMAN_x8r8g8b8,
		[VIRTIO_GPU_FORMAT_A8R8G8B8_UNORM] = PIXMAN_b8g8r8a8,
		[VIRTIO_GPU_FORMAT_X8R8G8B8_UNORM] = PIXMAN_b8g8r8x8,
		[VIRTIO_GPU_FORMAT_R8G8B8A8_UNORM] = PIXMAN_a8b8g8r8,
		[VIRTIO_GPU_FORMAT_X8B8G8R8_UNORM] = PIXMAN_r8g8b8x8,
		[VIRTIO_GPU_FORMAT_A8B8G8R8_UNORM] = PIXMAN_r8g8b8a8,
		[VIRTIO_GPU_FORMAT_R8G8B8X8_UNORM] = PIXMAN_x8b8g8r8,
#else
		[VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM] = PIXMAN_b8g8r8a8,
		[VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM] = PIXMAN_b8g8r8x8,
		[VIRTIO_GPU_FORMAT_A8R8G8B8_UNORM] = PIXMAN_a8r8g8b8,
		[VIRTIO_GPU_FORMAT_X8R8G8B8_UNORM] = PIXMAN_x8r8g8b8,
		[VIRTIO_GPU_FORMAT_R8G8B8A8_UNORM] = PIXMAN_r8g8b8a8,
		[VIRTIO_GPU_FORMAT_X8B8G8R8_UNORM] = PIXMAN_x8b8g8r8,
		[VIRTIO_GPU_FORMAT_A8B8G8R8_UNORM] = PIXMAN_a8b8g8r8,
		[VIRTIO_GPU_FORMAT_R8G8B8X8_UNORM] = PIXMAN_r8g8b8x8,
#endif
	};

	return format < ARRAY_SIZE(formats) ? formats[format] : 0;
}

bool vhu_gpu_pixels_are_plain(uint32_t format)
{
	pixman_format_code_t code = format_of(format);

	return code == PIXMAN_x8r8g8b8 || code == PIXMAN_a8r8g8b8;
}

bool vhu_gpu_pixels_convert(uint32_t format, const char *pixels, uint32_t stride_bytes,
			    uint32_t width, uint32_t height, uint32_t *ret_plain)
{
	pixman_image_t *from, *to;
	bool done = false;

	if (!format_of(format) || stride_bytes % 4)
		return false;
	from = pixman_image_create_bits_no_clear(format_of(format), (int)width, (int)height,
						 (uint32_t *)(uintptr_t)pixels, (int)stride_bytes);
	to = pixman_image_create_bits_no_clear(PIXMAN_x8r8g8b8, (int)width, (int)height, ret_plain,
					       (int)(4 * width));
	if (from && to) {
		pixman_image_composite32(PIXMAN_OP_SRC, from, NULL, to, 0, 0, 0, 0, 0, 0,
					 (int)width, (int)height);
		done = true;
	}
	if (from)
		pixman_image_unref(from);
	if (to)
		pixman_image_unref(to);
	return done;
}
