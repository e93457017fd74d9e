/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_DEVICES_GPU_BACKING_H
#define VHU_DEVICES_GPU_BACKING_H

/* Guest memory behind a resource: what the guest said, and where that is now. */

#include <stdint.h>
#include <sys/uio.h>

#include "devices/gpu/renderer.h"

struct vhu_gpu_backing {
	struct vhu_gpu_range *ranges; /* NULL: there is no backing */
	unsigned n_ranges;
	uint64_t bytes;
	struct iovec *iov; /* NULL: some of it is not there */
	unsigned n_iov;
};

/* ranges are copied; iov is NULL when not all of them are guest memory. -ENOMEM. */
int vhu_gpu_backing_init(struct vhu_gpu_backing *backing, const struct vhu_gpu_range *ranges,
			 unsigned n, const struct vhu_memory *memory);
/* The map is another one; or there is none (NULL). */
void vhu_gpu_backing_resolve(struct vhu_gpu_backing *backing, const struct vhu_memory *memory);
/* To what there is not any more. One that is zero is fine. */
void vhu_gpu_backing_finish(struct vhu_gpu_backing *backing);

#endif
