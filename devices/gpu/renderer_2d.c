/* SPDX-License-Identifier: BSD-3-Clause */
/* In this process, with nothing but copies: no GL, and every answer at once. */
#include "devices/gpu/renderer.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_gpu.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/iov.h"
#include "common/base/num.h"
#include "common/memory/map.h"
#include "common/memory/view.h"
#include "devices/gpu/backing.h"
#include "devices/gpu/ids.h"
#include "devices/gpu/udmabuf.h"

#define OK VIRTIO_GPU_RESP_OK_NODATA
/* Each is a mapping, of which a process may have some 65,000. */
#define PIECES_MAX 32768

/* Guest memory that is shown where it is. */
struct window {
	struct vhu_gpu_surface surface; /* one reference is ours */
	struct vhu_gpu_image seen;	/* as which image */
	struct vhu_view view; /* where its pieces lie apart: so many */
	unsigned n_pieces;
	struct window *next;
};

struct image {
	struct vhu_gpu_id id;
	bool is_blob;
	struct vhu_gpu_surface *surface; /* not of a blob */
	int fd;				 /* its pixels, when they are shared; -1 */
	struct window *windows;		 /* of a blob */
	struct vhu_gpu_backing backing;
};

struct renderer_2d {
	struct vhu_gpu_renderer renderer;
	struct vhu_gpu_ids images;
	struct vhu_memory *memory; /* a reference, or NULL */
	unsigned n_pieces;	   /* of all windows */
};

static struct renderer_2d *of(struct vhu_gpu_renderer *renderer)
{
	return container_of(renderer, struct renderer_2d, renderer);
}

static struct image *find(struct vhu_gpu_renderer *renderer, uint32_t id)
{
	return container_of(vhu_gpu_ids_find(&of(renderer)->images, id), struct image, id);
}

/* --- blobs ---------------------------------------------------------------------------------- */

/* Nobody looks there any more, also if he still has the surface. */
static void close_window(struct renderer_2d *r, struct window **at)
{
	struct window *window = *at;

	*at = window->next;
	pthread_mutex_lock(&window->surface.mutex);
	window->surface.pixels = NULL;
	pthread_mutex_unlock(&window->surface.mutex);
	vhu_view_drop(&window->view);
	r->n_pieces -= window->n_pieces;
	vhu_gpu_surface_unref(&window->surface);
}

static void close_windows(struct renderer_2d *r, struct image *image)
{
	while (image->windows)
		close_window(r, &image->windows);
}

/* Those that are on no scanout any more. */
static void close_unseen(struct renderer_2d *r, struct image *image)
{
	struct window **at = &image->windows;

	while (*at)
		if (atomic_load(&(*at)->surface.refs) == 1)
			close_window(r, at);
		else
			at = &(*at)->next;
}

/* The pixels in a row: where they are, or where they are seen. */
static char *look_at(struct renderer_2d *r, struct window *window,
		     const struct vhu_gpu_backing *backing, uint64_t offset, size_t bytes)
{
	struct iovec *pieces = reallocarray(NULL, backing->n_iov + 1, sizeof(*pieces));
	struct vhu_iov_cursor cursor;
	void *seen = NULL;
	int n;

	if (!pieces)
		return NULL;
	vhu_iov_cursor_init(&cursor, backing->iov, backing->n_iov);
	vhu_iov_skip(&cursor, offset);
	n = vhu_iov_take(&cursor, bytes, pieces, backing->n_iov);
	if (n == 1) {
		seen = pieces[0].iov_base;
	} else if (n > 1 && r->n_pieces + (unsigned)n <= PIECES_MAX &&
		   vhu_view_make(&window->view, pieces, (size_t)n, &r->memory->health->faulted,
				 &seen) == 0) {
		window->n_pieces = (unsigned)n;
		r->n_pieces += (unsigned)n;
	}
	free(pieces);
	return (uintptr_t)seen % 4 ? NULL : seen;
}

static struct window *open_window(struct renderer_2d *r, struct image *image,
				  const struct vhu_gpu_image *seen)
{
	size_t bytes = (size_t)seen->stride_bytes * (seen->height - 1) + 4 * (size_t)seen->width;
	struct window *window = image->backing.iov ? calloc(1, sizeof(*window)) : NULL;
	char *pixels;

	if (!window)
		return NULL;
	pixels = look_at(r, window, &image->backing, seen->offset, bytes);
	if (!pixels) {
		free(window);
		return NULL;
	}
	window->surface = (struct vhu_gpu_surface){
		.refs = 1,
		.width = seen->width,
		.height = seen->height,
		.stride_bytes = seen->stride_bytes,
		.format = seen->format,
		.pixels = pixels,
		.bytes = bytes,
	};
	pthread_mutex_init(&window->surface.mutex, NULL);
	window->seen = *seen;
	window->next = image->windows;
	image->windows = window;
	return window;
}

/* A driver that flips within one blob has a window for each of its pages. */
static struct vhu_gpu_surface *see(struct renderer_2d *r, struct image *image,
				   const struct vhu_gpu_image *as)
{
	struct window *window = image->windows;

	while (window && memcmp(&window->seen, as, sizeof(*as)))
		window = window->next;
	if (!window) {
		close_unseen(r, image);
		window = open_window(r, image, as);
	}
	return window ? &window->surface : NULL;
}

/* --- images --------------------------------------------------------------------------------- */

static uint32_t create(struct vhu_gpu_renderer *renderer, uint32_t id,
		       const struct vhu_gpu_image *as, uint64_t token)
{
	struct image *image = calloc(1, sizeof(*image));

	(void)token;
	if (!image || (as && vhu_gpu_surface_new(as->format, as->width, as->height,
						 &image->surface) < 0)) {
		free(image);
		return VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
	}
	image->id.id = id;
	image->fd = -1;
	image->is_blob = !as;
	vhu_gpu_ids_add(&of(renderer)->images, &image->id);
	return OK;
}

static uint32_t restore(struct vhu_gpu_renderer *renderer, uint32_t id,
			const struct vhu_gpu_range *ranges, unsigned n)
{
	return vhu_gpu_backing_init(&find(renderer, id)->backing, ranges, n,
				    of(renderer)->memory) < 0 ?
		       VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY : OK;
}

static uint32_t attach(struct vhu_gpu_renderer *renderer, uint32_t id,
		       const struct vhu_gpu_range *ranges, unsigned n, uint64_t token)
{
	struct image *image = find(renderer, id);
	uint32_t status = restore(renderer, id, ranges, n);

	(void)token;
	if (status != OK || image->backing.iov)
		return status;
	vhu_gpu_backing_finish(&image->backing);
	return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
}

static uint32_t detach(struct vhu_gpu_renderer *renderer, uint32_t id, uint64_t token)
{
	struct image *image = find(renderer, id);

	(void)token;
	if (!image->backing.ranges)
		return VIRTIO_GPU_RESP_ERR_UNSPEC;
	close_windows(of(renderer), image);
	vhu_gpu_backing_finish(&image->backing);
	return OK;
}

static void dispose(struct vhu_gpu_id *id, void *data)
{
	struct image *image = container_of(id, struct image, id);
	struct renderer_2d *r = data;

	vhu_gpu_ids_remove(&r->images, id);
	close_windows(r, image);
	vhu_gpu_surface_unref(image->surface);
	close_fd(&image->fd);
	vhu_gpu_backing_finish(&image->backing);
	free(image);
}

static void destroy(struct vhu_gpu_renderer *renderer, uint32_t id)
{
	dispose(&find(renderer, id)->id, of(renderer));
}

/* Rows from y on, as many as one may hold the mutex for. Whole lines are one copy. */
static uint32_t copy_band(struct vhu_gpu_surface *surface, const struct vhu_gpu_rect *rect,
			  uint32_t y, struct vhu_iov_cursor *from)
{
	size_t line = 4 * (size_t)rect->width, stride = surface->stride_bytes;
	uint32_t n = (uint32_t)min_u64(VHU_GPU_BAND_BYTES / line + 1, rect->height - y);
	char *to = surface->pixels + stride * (rect->y + y) + 4 * (size_t)rect->x;

	pthread_mutex_lock(&surface->mutex);
	if (line == stride)
		vhu_iov_read(from, to, line * n);
	for (uint32_t i = 0; line != stride && i < n; i++) {
		vhu_iov_read(from, to + stride * i, line);
		vhu_iov_skip(from, stride - line);
	}
	pthread_mutex_unlock(&surface->mutex);
	return n;
}

static uint32_t transfer(struct vhu_gpu_renderer *renderer, uint32_t id,
			 const struct vhu_gpu_rect *rect, uint64_t offset, uint64_t token)
{
	struct image *image = find(renderer, id);
	const struct vhu_gpu_backing *backing = &image->backing;
	struct vhu_iov_cursor from;
	uint64_t bytes;

	(void)token;
	if (!backing->iov || !image->surface)
		return VIRTIO_GPU_RESP_ERR_UNSPEC;
	bytes = (uint64_t)image->surface->stride_bytes * (rect->height - 1) + 4ull * rect->width;
	if (!range_fits(offset, bytes, backing->bytes))
		return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
	vhu_iov_cursor_init(&from, backing->iov, backing->n_iov);
	vhu_iov_skip(&from, offset);
	for (uint32_t y = 0; y < rect->height;)
		y += copy_band(image->surface, rect, y, &from);
	return OK;
}

static struct vhu_gpu_surface *surface(struct vhu_gpu_renderer *renderer, uint32_t id,
				       const struct vhu_gpu_image *as)
{
	struct image *image = find(renderer, id);

	return image->is_blob ? see(of(renderer), image, as) : image->surface;
}

/* From now on the pixels are those of a file, where they were. */
static int move_to_file(struct image *image)
{
	struct vhu_gpu_surface *s = image->surface;
	cleanup_fd int fd = memfd_create("vhu-gpu", MFD_CLOEXEC);
	void *pixels;

	if (fd < 0 || ftruncate(fd, (off_t)s->bytes) < 0)
		return -errno;
	pixels = mmap(NULL, s->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (pixels == MAP_FAILED)
		return -errno;
	memcpy(pixels, s->pixels, s->bytes);
	pthread_mutex_lock(&s->mutex);
	munmap(s->pixels, s->bytes);
	s->pixels = pixels;
	pthread_mutex_unlock(&s->mutex);
	image->fd = steal_fd(&fd);
	return 0;
}

static int share(struct vhu_gpu_renderer *renderer, uint32_t id)
{
	struct image *image = find(renderer, id);
	int r = 0;

	if (image->is_blob)
		return vhu_gpu_udmabuf_new(&image->backing, of(renderer)->memory);
	if (image->fd < 0)
		r = move_to_file(image);
	if (r < 0)
		return r;
	r = fcntl(image->fd, F_DUPFD_CLOEXEC, 0);
	return r < 0 ? -errno : r;
}

/* --- the renderer --------------------------------------------------------------------------- */

static void resolve(struct vhu_gpu_id *id, void *data)
{
	struct image *image = container_of(id, struct image, id);
	struct renderer_2d *r = data;

	close_windows(r, image);
	if (image->backing.ranges)
		vhu_gpu_backing_resolve(&image->backing, r->memory);
}

static void update_memory(struct vhu_gpu_renderer *renderer, struct vhu_memory *memory)
{
	struct vhu_memory *old = of(renderer)->memory;

	of(renderer)->memory = memory ? vhu_memory_ref(memory) : NULL;
	vhu_gpu_ids_each(&of(renderer)->images, resolve, of(renderer));
	vhu_memory_unref(old);
}

static int open_2d(struct vhu_gpu_renderer_sink *sink, struct vhu_gpu_renderer **ret_renderer)
{
	struct renderer_2d *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->renderer = (struct vhu_gpu_renderer){ &vhu_gpu_renderer_2d, sink };
	*ret_renderer = &r->renderer;
	return 0;
}

static void close_2d(struct vhu_gpu_renderer *renderer)
{
	struct renderer_2d *r = of(renderer);

	vhu_gpu_ids_each(&r->images, dispose, r);
	vhu_memory_unref(r->memory);
	free(r);
}

const struct vhu_gpu_renderer_ops vhu_gpu_renderer_2d = {
	.open = open_2d,
	.close = close_2d,
	.update_memory = update_memory,
	.create = create,
	.destroy = destroy,
	.attach = attach,
	.detach = detach,
	.transfer = transfer,
	.restore = restore,
	.surface = surface,
	.share = share,
};
