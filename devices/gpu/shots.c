/* SPDX-License-Identifier: BSD-3-Clause */
#include "devices/gpu/shots.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "devices/gpu/screenshot.h"

#define ERROR_BYTES 512

struct vhu_gpu_shots {
	const char *dir;
	pthread_t thread;
	bool has_thread;
	atomic_bool busy; /* the thread has the pictures */
	struct vhu_gpu_picture pictures[VHU_GPU_OUTPUTS_MAX];
	struct vhu_gpu_shots_call *calls; /* for when they are written */
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

/* error is left alone when there is none. */
static bool write_one(const struct vhu_gpu_shots *shots, const struct vhu_gpu_picture *picture,
		      struct vhu_gpu_shot *ret_shot, char error[ERROR_BYTES])
{
	struct vhu_gpu_shot shot = { picture->scanout, picture->width, picture->height, NULL };
	int r = picture->pixels ? vhu_gpu_write_png(picture, shots->dir, &shot.path) : -ENOMEM;

	if (r < 0) {
		snprintf(error, ERROR_BYTES, "no screenshot of scanout %u in %s: %s",
			 picture->scanout, shots->dir, explain(r));
		vhu_error("%s", error);
		return false;
	}
	vhu_info("screenshot of scanout %u: %s", shot.scanout, shot.path);
	*ret_shot = shot;
	return true;
}

static void tell(struct vhu_gpu_shots_call *calls, const struct vhu_gpu_shot *done, unsigned n,
		 const char *error)
{
	for (struct vhu_gpu_shots_call *next; calls; calls = next) {
		next = calls->next;
		calls->done(calls, done, n, error);
	}
}

void vhu_gpu_shots_refuse(struct vhu_gpu_shots_call *calls, const char *why)
{
	tell(calls, NULL, 0, why);
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
	struct vhu_gpu_shots_call *calls = shots->calls;
	struct vhu_gpu_shot done[VHU_GPU_OUTPUTS_MAX];
	char error[ERROR_BYTES] = "";
	unsigned n = 0;

	for (unsigned i = 0; i < VHU_GPU_OUTPUTS_MAX; i++)
		if (shots->pictures[i].width)
			n += write_one(shots, &shots->pictures[i], &done[n], error);
	drop(shots);
	/* Who is told may ask for the next one at once. */
	shots->busy = false;
	tell(calls, done, n, *error ? error : NULL);
	while (n)
		free(done[--n].path);
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
	}
	return any;
}

static void refuse(struct vhu_gpu_shots_call *calls, const char *why)
{
	vhu_warning("%s", why);
	vhu_gpu_shots_refuse(calls, why);
}

void vhu_gpu_shots_take(struct vhu_gpu_shots *shots,
			const struct vhu_gpu_picture pictures[VHU_GPU_OUTPUTS_MAX],
			struct vhu_gpu_shots_call *calls)
{
	int r;

	if (shots->busy) {
		refuse(calls, "no screenshot: the last one is still being written");
		return;
	}
	join(shots);
	if (!copy(shots, pictures)) {
		refuse(calls, "no screenshot: the guest shows nothing");
		return;
	}
	shots->calls = calls;
	shots->busy = true;
	r = -pthread_create(&shots->thread, NULL, write_all, shots);
	shots->has_thread = r == 0;
	if (r == 0)
		return;
	shots->busy = false;
	drop(shots);
	refuse(calls, "no screenshot: there can be no thread for it now");
}
