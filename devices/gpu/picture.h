/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_DEVICES_GPU_PICTURE_H
#define VHU_DEVICES_GPU_PICTURE_H

/* How a picture of output.h comes to be. On the display's thread. */

#include "devices/gpu/output.h"
#include "devices/gpu/stats.h"

/*
 * Black, of another size. Returns the pixels that it had, to be freed when nobody has them any
 * more; where there is no memory, it is off.
 */
uint32_t *vhu_gpu_picture_resize(struct vhu_gpu_picture *picture, uint32_t width, uint32_t height);
/*
 * Compares the tiles of damage with that part of surface, which is as large as the picture, and
 * takes over what differs: ret_changed. damage is empty then. Guest memory that has gone looks as
 * it did last.
 */
void vhu_gpu_picture_update(struct vhu_gpu_picture *picture, struct vhu_gpu_surface *surface,
			    const struct vhu_gpu_rect *part, struct vhu_gpu_tiles *damage,
			    struct vhu_gpu_tiles *ret_changed, struct vhu_gpu_display_stats *stats);

#endif
