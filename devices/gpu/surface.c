/* SPDX-License-Identifier: BSD-3-Clause */
#include "devices/gpu/surface.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

static void release_own(struct vhu_gpu_surface *surface)
{
	munmap(surface->pixels, surface->bytes);
}

int vhu_gpu_surface_new(uint32_t format, uint32_t width, uint32_t height,
			struct vhu_gpu_surface **ret_surface)
{
	struct vhu_gpu_surface *surface = calloc(1, sizeof(*surface));

	if (!surface)
		return -ENOMEM;
	*surface = (struct vhu_gpu_surface){
		.refs = 1,
		.width = width,
		.height = height,
		.stride_bytes = 4 * width,
		.format = format,
		.bytes = (size_t)4 * width * height,
		.release = release_own,
	};
	/* Zeros, which take no memory until they are drawn on. */
	surface->pixels = mmap(NULL, surface->bytes, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (surface->pixels == MAP_FAILED) {
		free(surface);
		return -ENOMEM;
	}
	pthread_mutex_init(&surface->mutex, NULL);
	*ret_surface = surface;
	return 0;
}

struct vhu_gpu_surface *vhu_gpu_surface_ref(struct vhu_gpu_surface *surface)
{
	atomic_fetch_add_explicit(&surface->refs, 1, memory_order_relaxed);
	return surface;
}

void vhu_gpu_surface_unref(struct vhu_gpu_surface *surface)
{
	if (!surface || atomic_fetch_sub_explicit(&surface->refs, 1, memory_order_acq_rel) != 1)
		return;
	if (surface->release)
		surface->release(surface);
	pthread_mutex_destroy(&surface->mutex);
	free(surface);
}
