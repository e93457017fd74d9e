/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_DEVICES_GPU_PIXELS_H
#define VHU_DEVICES_GPU_PIXELS_H

/* The formats of a guest's pixels (virtio 1.3, 5.7.6.8: enum virtio_gpu_formats). */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* x8r8g8b8 (or with alpha there) in the machine's byte order: needs no conversion. */
bool vhu_gpu_pixels_are_plain(uint32_t format);
/*
 * To plain ones, with a stride of 4 x the width. False: there is no memory, or no such format, or a
 * stride that is no multiple of 4.
 */
bool vhu_gpu_pixels_convert(uint32_t format, const char *pixels, uint32_t stride_bytes,
			    uint32_t width, uint32_t height, uint32_t *ret_plain);

#endif
