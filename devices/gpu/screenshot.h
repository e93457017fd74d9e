/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_DEVICES_GPU_SCREENSHOT_H
#define VHU_DEVICES_GPU_SCREENSHOT_H

/* Pictures as PNG files. */

#include "devices/gpu/output.h"

/*
 * A new file of its own name in dir, whole from the moment that it is there: *ret_path is
 * malloc()ed. Any thread. -EOPNOTSUPP in a build without libpng, or another negative errno.
 */
int vhu_gpu_write_png(const struct vhu_gpu_picture *picture, const char *dir, char **ret_path);

#endif
