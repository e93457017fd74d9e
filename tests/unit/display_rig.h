/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_TESTS_UNIT_DISPLAY_RIG_H
#define VHU_TESTS_UNIT_DISPLAY_RIG_H

/*
 * A display with its thread; the test is the worker, whose loop it turns, and the front-end: a
 * screen, which reads only when told to, and holds every message against the protocol.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/base/num.h"
#include "common/wire/gpu_protocol.h"
#include "devices/gpu/display.h"
#include "devices/gpu/stats.h"

#define RIG_PATIENCE_NS (20 * NS_PER_SEC)

struct screen_head {
	uint32_t width, height;
	uint32_t *pixels; /* NULL: off */
	unsigned n_sizes;
	uint32_t cursor_x, cursor_y;
	bool cursor_visible;
	uint32_t cursor[VHU_GPU_CURSOR_SIDE * VHU_GPU_CURSOR_SIDE];
	unsigned n_images, n_moves;
};

struct screen {
	int fd;
	bool silent; /* answers nothing */
	struct virtio_gpu_resp_display_info info;
	unsigned n_messages, n_asked, n_features, n_updates;
	uint64_t update_bytes;
	struct screen_head heads[VHU_GPU_OUTPUTS_MAX];
};

struct display_rig {
	struct vhu_gpu_options options; /* of the next start */
	struct vhu_loop *loop;
	struct vhu_gpu_display *display;
	unsigned n_modes_changed;
	struct screen screen;
};
extern struct display_rig rig;

/* Of each test. */
int rig_setup(void **state);
int rig_teardown(void **state);
void rig_start(void);
#define RIG_COUNT(name) vhu_counter_get(&vhu_gpu_display_stats(rig.display)->name)

/* A new socket of the front-end; the last one's end is closed. */
void screen_plug(void);
void screen_unplug(void);
/* Takes a message that is there within so many ms. */
bool screen_read(int timeout_ms);
/* Takes what comes until it is so. */
#define SCREEN_UNTIL(condition) \
	do { \
		uint64_t end_ns_ = vhu_now_ns() + RIG_PATIENCE_NS; \
		while (!(condition)) { \
			assert_true(vhu_now_ns() < end_ns_); \
			screen_read(10); \
		} \
	} while (0)
/* All that comes, until the display has been quiet for a while: no more of it. */
void screen_settle(void);
void screen_send(uint32_t request, uint32_t flags, uint32_t size, const void *payload,
		 uint32_t payload_bytes);
/* The display has closed the socket. */
void screen_expect_closed(void);
/* Reads until it looks like that part of the surface. */
void screen_expect(unsigned scanout, const struct vhu_gpu_surface *surface,
		   const struct vhu_gpu_rect *part);

/* Pixels that no other seed has. */
struct vhu_gpu_surface *surface_make(uint32_t format, uint32_t width, uint32_t height);
void surface_draw(struct vhu_gpu_surface *surface, const struct vhu_gpu_rect *rect, uint32_t seed);
/* All of it. */
struct vhu_gpu_rect surface_rect(const struct vhu_gpu_surface *surface);
void rig_show(unsigned scanout, struct vhu_gpu_surface *surface);
void rig_draw_and_damage(unsigned scanout, struct vhu_gpu_surface *surface, uint32_t seed);

struct rig_ask {
	struct vhu_gpu_display_call call;
	unsigned n_done;
};
void rig_ask(struct rig_ask *ask);
/* Turns the worker's loop, and the screen reads. */
void rig_wait_done(const struct rig_ask *ask);

#endif
