/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_TESTS_DEVICE_MONITOR_H
#define VHU_TESTS_DEVICE_MONITOR_H

/*
 * The front-end's end of a GPU socket: a thread that answers what a front-end answers, as QEMU
 * does, and keeps what it is shown. It notes what QEMU would not bear.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/wire/gpu_protocol.h"

#define MONITOR_SCANOUTS 16

struct monitor_picture {
	uint32_t width, height; /* 0: off */
	uint32_t *pixels;
	atomic_uint n_scanouts;
	unsigned n_updates;
	uint32_t cursor_x, cursor_y;
	bool cursor_visible;
	unsigned n_cursors;
	uint32_t hot_x, hot_y;
	uint32_t cursor[VHU_GPU_CURSOR_SIDE * VHU_GPU_CURSOR_SIDE];
};

struct monitor {
	int fd, peer_fd; /* peer_fd: the back-end's end, until it was given away; -1 */
	pthread_t thread;
	pthread_mutex_t mutex;
	atomic_bool dumb;   /* answers nothing */
	atomic_bool paused; /* reads nothing */
	bool ended; /* the back-end has closed */
	unsigned n_asked; /* GET_DISPLAY_INFO */
	char fault[128]; /* what QEMU would have died of, or "" */
	struct virtio_gpu_resp_display_info modes;
	struct monitor_picture pictures[MONITOR_SCANOUTS];
};

/* One scanout of that size is wanted. */
void monitor_open(struct monitor *monitor, uint32_t width, uint32_t height);
void monitor_close(struct monitor *monitor);
/* A locked look; true as soon as fn says so, false after so long. */
bool monitor_wait(struct monitor *monitor, bool (*fn)(const struct monitor *monitor, void *data),
		  void *data, unsigned timeout_ms);

#endif
