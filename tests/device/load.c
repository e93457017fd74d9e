/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/device/load.h"

static bool is_stopped(struct load *load)
{
	return __atomic_load_n(&load->stop, __ATOMIC_RELAXED);
}

static int add_some(struct load *load)
{
	int r = 0;

	while (load->sent - load->done < RING_SIZE / 2 && r >= 0) {
		r = scene_add(load->scene, &load->scene->driver, load->sent);
		if (r >= 0)
			load->sent++;
	}
	r = vhu_driver_kick(&load->scene->driver);
	return r < 0 ? r : 0;
}

static void *run_load(void *data)
{
	struct load *load = data;
	struct vhu_driver_used used;
	int r = 0;

	while (r == 0 && (!is_stopped(load) || load->done < load->sent)) {
		if (!is_stopped(load))
			r = add_some(load);
		if (r == 0)
			r = vhu_driver_wait(&load->scene->driver, &used);
		/* These devices answer in the order that they were asked in. */
		if (r == 0 && used.token != load->done++)
			r = -EILSEQ;
	}
	load->error = r;
	return NULL;
}

void load_begin(struct load *load, struct scene *scene)
{
	*load = (struct load){ .scene = scene };
	assert_int_equal(pthread_create(&load->thread, NULL, run_load, load), 0);
}

void load_end(struct load *load)
{
	__atomic_store_n(&load->stop, true, __ATOMIC_RELAXED);
	load_wait(load);
}

void load_wait(struct load *load)
{
	pthread_join(load->thread, NULL);
}
