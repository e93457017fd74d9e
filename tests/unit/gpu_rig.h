/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_TESTS_UNIT_GPU_RIG_H
#define VHU_TESTS_UNIT_GPU_RIG_H

/* A GPU channel, and the display at its other end, on the test's own thread. */

#include <stdbool.h>
#include <stdint.h>

#include "common/backend/gpu_channel.h"

struct gpu_rig {
	struct vhu_loop *loop;
	struct vhu_gpu_channel *channel; /* NULL: destroyed */
	int display_fd;
	unsigned n_lost, n_room;
	bool destroys; /* the channel, in the callbacks */
};
extern struct gpu_rig gpu;

struct gpu_asked {
	struct vhu_gpu_call call;
	unsigned n_done;
	int result;
	union vhu_gpu_reply reply;
};

/* Of each test. */
int gpu_setup(void **state);
int gpu_teardown(void **state);

void gpu_open(void);
void gpu_destroy(void);
void gpu_pump(void);
int gpu_send(uint32_t request, const void *payload);
int gpu_ask(struct gpu_asked *asked, uint32_t request, const void *payload);
void gpu_done(struct vhu_gpu_call *call);
void gpu_pump_until_done(const struct gpu_asked *asked);
void gpu_set_features(uint64_t features);

/* Frames of 1 MiB in two parts, each of them different. */
#define GPU_SIDE 512u
#define GPU_FRAME_BYTES (GPU_SIDE * GPU_SIDE * 4)
int gpu_send_frame(uint32_t *frame, uint32_t seed);

/* The display's half. */
void gpu_read(void *buf, size_t len);
/* Returns the fd that came with it, or -1. */
int gpu_expect_request(uint32_t request, const void *payload, uint32_t size);
void gpu_expect_nothing(void);
void gpu_expect_frame(uint32_t *frame, uint32_t seed);
void gpu_reply(uint32_t request, uint32_t flags, const void *payload, uint32_t size);
void gpu_answer(uint32_t request, const void *payload, uint32_t size);

#endif
