/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_TESTS_DEVICE_SCREEN_H
#define VHU_TESTS_DEVICE_SCREEN_H

/*
 * vhu-gpu as a program, a driver of ours that draws, and a monitor that looks. Functions without a
 * result assert.
 */

#include <endian.h>
#include <linux/virtio_gpu.h>

#include "common/base/num.h"
#include "tests/device/harness.h"
#include "tests/device/monitor.h"

#define SCREEN_PIXEL_BYTES (8u << 20)
#define OK VIRTIO_GPU_RESP_OK_NODATA
#define ERR(what) VIRTIO_GPU_RESP_ERR_##what

struct screen {
	struct program program;
	struct vhu_frontend frontend;
	uint64_t refused; /* features that are not taken */
	struct vhu_driver control, cursor;
	bool has_drivers;
	struct vhu_guest_buffer request, response;
	struct vhu_guest_buffer pixels; /* SCREEN_PIXEL_BYTES, in a row */
	struct monitor monitor;
	bool has_monitor;
};

int screen_setup(void **state);
int screen_teardown(void **state);
#define SCREEN_TEST(fn) cmocka_unit_test_setup_teardown(fn, screen_setup, screen_teardown)

/* args, NULL-terminated, or NULL; "DIR" in one stands for the folder. */
void screen_start(struct screen *screen, const char *const *args);
/* A new front-end with rings at work, and no monitor. */
void screen_connect(struct screen *screen, uint64_t ring_features);
/* A new monitor, 640x480, in place of the last one. */
void screen_plug(struct screen *screen);
/* All of that. */
void screen_begin(struct screen *screen);

/*
 * A command of bytes, its answer: the type, or 0 when there was no room for it. room: for the
 * answer, which is in screen->response then. Its fence and flags are checked.
 */
uint32_t screen_command(struct screen *screen, void *command, size_t bytes, size_t room);
uint32_t screen_cursor(struct screen *screen, uint32_t type, uint32_t scanout, uint32_t resource,
		       uint32_t x, uint32_t y);

uint32_t screen_create(struct screen *screen, uint32_t id, uint32_t format, uint32_t width,
		       uint32_t height);
uint32_t screen_unref(struct screen *screen, uint32_t id);
/* One entry: so many bytes of screen->pixels at offset. */
uint32_t screen_attach(struct screen *screen, uint32_t id, uint64_t offset, uint32_t bytes);
/* Entries as they stand; n is what the command says. */
uint32_t screen_attach_entries(struct screen *screen, uint32_t id, uint32_t n,
			       const struct virtio_gpu_mem_entry *entries, unsigned n_sent);
uint32_t screen_detach(struct screen *screen, uint32_t id);
uint32_t screen_transfer(struct screen *screen, uint32_t id, struct virtio_gpu_rect rect,
			 uint64_t offset);
uint32_t screen_set_scanout(struct screen *screen, uint32_t scanout, uint32_t id,
			    struct virtio_gpu_rect rect);
uint32_t screen_flush(struct screen *screen, uint32_t id, struct virtio_gpu_rect rect);

/* A picture of its own at each seed, b8g8r8x8. */
uint32_t screen_color(uint32_t seed, uint32_t x, uint32_t y);
/* Draws it into screen->pixels at offset. */
void screen_draw(struct screen *screen, uint64_t offset, uint32_t seed, uint32_t width,
		 uint32_t height);
/* A resource with that picture on the scanout: created, attached, transferred, set, flushed. */
void screen_show(struct screen *screen, uint32_t scanout, uint32_t id, uint32_t seed,
		 uint32_t width, uint32_t height);
/* The monitor has exactly this picture, soon. */
void screen_expect_picture(struct screen *screen, uint32_t scanout, uint32_t seed, uint32_t width,
			   uint32_t height);
/* The scanout is off, soon. */
void screen_expect_off(struct screen *screen, unsigned scanout);

static inline struct virtio_gpu_rect screen_rect(uint32_t x, uint32_t y, uint32_t width,
						 uint32_t height)
{
	return (struct virtio_gpu_rect){ htole32(x), htole32(y), htole32(width), htole32(height) };
}

#endif
