/* SPDX-License-Identifier: BSD-3-Clause */
#include "devices/gpu/shots.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "devices/gpu/screenshot.h"

struct vhu_gpu_shots {
	const char *dir;
	pthread_t thread;
	bool has_thread;
	atomic_bool busy; /* the thread has the pictures */
	struct vhu_gpu_picture pictures[VHU_GPU_OUTPUTS_MAX];
};

int vhu_gpu_shots_new(const char *dir, struct vhu_gpu_shots **ret_shots)
{
	struct vhu_gpu_shots *shots = calloc(1, sizeof(*shots));

	if (!shots)
		return -ENOMEM;
	shots->dir = dir ? dir : ".";
	*ret_shots = shots;
	return 0;
}

static void join(struct vhu_gpu_shots *shots)
{
	if (shots->has_thread)
		pthread_join(shots->thread, NULL);
	shots->has_thread = false;
}

void vhu_gpu_shots_free(struct vhu_gpu_shots *shots)
{
	if (shots)
		join(shots);
	free(shots);
}

static const char *explain(int r)
{
	return r == -EOPNOTSUPP ? "this program was built without libpng" : strerror(-r);
}

static void write_one(const struct vhu_gpu_shots *shots, struct vhu_gpu_picture *picture)
{
	char *path = NULL;
	int r = vhu_gpu_write_png(picture, shots->dir, &path);

	if (r < 0)
		vhu_error("no screenshot of scanout %u in %s: %s", picture->scanout, shots->dir,
			  explain(r));
	else
		vhu_info("screenshot of scanout %u: %s", picture->scanout, path);
	free(path);
}

static void drop(struct vhu_gpu_shots *shots)
{
	for (unsigned i = 0; i < VHU_GPU_OUTPUTS_MAX; i++) {
		free(shots->pictures[i].pixels);
		shots->pictures[i].pixels = NULL;
	}
}

static void *write_all(void *data)
{
	struct vhu_gpu_shots *shots = data;

	for (unsigned i = 0; i < VHU_GPU_OUTPUTS_MAX; i++)
		if (shots->pictures[i].pixels)
			write_one(shots, &shots->pictures[i]);
	drop(shots);
	shots->busy = false;
	return NULL;
}

/* False: there is nothing to be seen. */
static bool copy(struct vhu_gpu_shots *shots, const struct vhu_gpu_picture *pictures)
{
	bool any = false;

	for (unsigned i = 0; i < VHU_GPU_OUTPUTS_MAX; i++) {
		struct vhu_gpu_picture *to = &shots->pictures[i];
		size_t bytes = (size_t)4 * pictures[i].width * pictures[i].height;

		*to = (struct vhu_gpu_picture){ .scanout = pictures[i].scanout,
						.width = pictures[i].width,
						.height = pictures[i].height };
		if (!bytes)
			continue;
		any = true;
		to->pixels = malloc(bytes);
		if (to->pixels)
			memcpy(to->pixels, pictures[i].pixels, bytes);
		else
			vhu_error("no memory for a screenshot of scanout %u", i);
	}
	return any;
}

void vhu_gpu_shots_take(struct vhu_gpu_shots *shots,
			const struct vhu_gpu_picture pictures[VHU_GPU_OUTPUTS_MAX])
{
	int r;

	if (shots->busy) {
		vhu_warning("no screenshot: the last one is still being written");
		return;
	}
	join(shots);
	if (!copy(shots, pictures)) {
		vhu_warning("no screenshot: the guest shows nothing");
		return;
	}
	shots->busy = true;
	r = -pthread_create(&shots->thread, NULL, write_all, shots);
	shots->has_thread = r == 0;
	if (r == 0)
		return;
	vhu_error("no screenshot: %s", strerror(-r));
	shots->busy = false;
	drop(shots);
}
