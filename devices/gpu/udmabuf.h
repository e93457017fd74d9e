/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_DEVICES_GPU_UDMABUF_H
#define VHU_DEVICES_GPU_UDMABUF_H

/* Guest memory as a dma-buf: the very pages, in a row, whatever their files and places are. */

#include "devices/gpu/backing.h"

struct vhu_memory;

/*
 * Of a backing that was resolved by memory; the caller's, who has the pages for as long as he likes
 * to. Negative errno where the host, or this memory, is not made for it; why is told at level
 * debug.
 */
int vhu_gpu_udmabuf_new(const struct vhu_gpu_backing *backing, const struct vhu_memory *memory);

#endif
