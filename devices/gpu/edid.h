/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_DEVICES_GPU_EDID_H
#define VHU_DEVICES_GPU_EDID_H

/* What the monitor of a scanout says of itself (VESA E-EDID 1.4, with a CTA-861 extension). */

#include <stddef.h>
#include <stdint.h>

#include "devices/gpu/gpu.h"

#define VHU_GPU_EDID_BYTES_MAX 1024

/*
 * Of output, with width and height (up to VHU_GPU_SIDE_MAX) in place of its own as the preferred
 * mode, and the usual modes up to that size. Returns the bytes, a multiple of 128.
 */
size_t vhu_gpu_edid_make(const struct vhu_gpu_output *output, unsigned scanout, uint32_t width,
			 uint32_t height, uint8_t ret_edid[VHU_GPU_EDID_BYTES_MAX]);

#endif
