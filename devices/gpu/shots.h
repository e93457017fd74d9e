/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_DEVICES_GPU_SHOTS_H
#define VHU_DEVICES_GPU_SHOTS_H

/* Screenshots: a thread of their own writes them, since a large one takes its time. */

#include "devices/gpu/output.h"

struct vhu_gpu_shots;

/* dir is borrowed; NULL: the working directory. */
int vhu_gpu_shots_new(const char *dir, struct vhu_gpu_shots **ret_shots);
/* What is being written is waited for. NULL is fine. */
void vhu_gpu_shots_free(struct vhu_gpu_shots *shots);
/*
 * Those that show something are copied, and written soon; what became of each is logged, and all
 * calls are told.
 */
void vhu_gpu_shots_take(struct vhu_gpu_shots *shots,
			const struct vhu_gpu_picture pictures[VHU_GPU_OUTPUTS_MAX],
			struct vhu_gpu_shots_call *calls);
/* There are none. */
void vhu_gpu_shots_refuse(struct vhu_gpu_shots_call *calls, const char *why);

#endif
