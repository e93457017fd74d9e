/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Draws on the first graphics card by its kernel's mode setting, without a library. A head is a
 * CRTC with the connector of the same number, be a monitor there or not.
 *
 *	gpu_draw heads			"HEAD connected|disconnected WxH": the preferred mode
 *	gpu_draw pattern SEED WxH...	the test picture on the first heads, whose sizes these are
 *	gpu_draw flip WxH N		page flips between pictures that differ in every pixel
 *	gpu_draw full|small WxH N	DIRTYFB of all, which changes everywhere, or of 32x32
 *	gpu_draw cursor WxH N		moves of a cursor
 *
 * The last three print "NAME N SECONDS MEDIAN-US P99-US". A pattern, and with one argument more the
 * last picture of these, stays until a signal comes; "drawn" is printed then.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <drm.h>
#include <drm_fourcc.h>
#include <drm_mode.h>

#include "tests/qemu/guest/gpu_pattern.h"

#define CARD "/dev/dri/card0"
#define HEADS_MAX 16
#define FLIP_BUFFERS 4
#define MODES_MAX 256
#define SMALL 32
#define CURSOR 64

struct card {
	int fd;
	uint32_t crtcs[HEADS_MAX], connectors[HEADS_MAX];
	unsigned n_heads;
};

struct buffer {
	uint32_t width, height, pitch, handle, fb;
	uint32_t *pixels;
};

_Noreturn static void die(const char *what)
{
	fprintf(stderr, "gpu_draw: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void must(const struct card *card, unsigned long request, void *data, const char *what)
{
	while (ioctl(card->fd, request, data) < 0) {
		if (errno != EINTR && errno != EAGAIN)
			die(what);
	}
}

#define POINTER(p) ((uint64_t)(uintptr_t)(p))

static void card_open(struct card *card)
{
	struct drm_mode_card_res resources = {
		.crtc_id_ptr = POINTER(card->crtcs),
		.connector_id_ptr = POINTER(card->connectors),
		.count_crtcs = HEADS_MAX,
		.count_connectors = HEADS_MAX,
	};

	card->fd = open(CARD, O_RDWR | O_CLOEXEC);
	if (card->fd < 0)
		die(CARD);
	must(card, DRM_IOCTL_MODE_GETRESOURCES, &resources, "resources");
	card->n_heads = resources.count_crtcs;
	if (card->n_heads > HEADS_MAX || resources.count_connectors != card->n_heads) {
		errno = E2BIG;
		die("heads");
	}
}

static void buffer_make(const struct card *card, uint32_t width, uint32_t height, uint32_t format,
			struct buffer *buffer)
{
	struct drm_mode_create_dumb create = { .width = width, .height = height, .bpp = 32 };
	struct drm_mode_map_dumb map = { 0 };
	struct drm_mode_fb_cmd2 fb = { .width = width, .height = height, .pixel_format = format };

	must(card, DRM_IOCTL_MODE_CREATE_DUMB, &create, "a buffer");
	map.handle = create.handle;
	must(card, DRM_IOCTL_MODE_MAP_DUMB, &map, "a buffer's offset");
	fb.handles[0] = create.handle;
	fb.pitches[0] = create.pitch;
	must(card, DRM_IOCTL_MODE_ADDFB2, &fb, "a framebuffer");
	*buffer = (struct buffer){ .width = width,
				   .height = height,
				   .pitch = create.pitch / 4,
				   .handle = create.handle,
				   .fb = fb.fb_id };
	buffer->pixels = mmap(NULL, create.size, PROT_READ | PROT_WRITE, MAP_SHARED, card->fd,
			      (off_t)map.offset);
	if (buffer->pixels == MAP_FAILED)
		die("mapping a buffer");
}

static void buffer_draw(const struct buffer *buffer, uint32_t seed)
{
	for (uint32_t y = 0; y < buffer->height; y++) {
		for (uint32_t x = 0; x < buffer->width; x++)
			buffer->pixels[y * buffer->pitch + x] = gpu_pattern(seed, x, y);
	}
}

/* A mode of our own making: no monitor minds here, and each back-end offers others. */
static void head_show(const struct card *card, unsigned head, const struct buffer *buffer)
{
	uint32_t connector = card->connectors[head];
	uint16_t width = (uint16_t)buffer->width, height = (uint16_t)buffer->height;
	struct drm_mode_crtc crtc = {
		.set_connectors_ptr = POINTER(&connector),
		.count_connectors = 1,
		.crtc_id = card->crtcs[head],
		.fb_id = buffer->fb,
		.mode_valid = 1,
		.mode = {
			.clock = (uint32_t)(width + 160) * (height + 40) * 60 / 1000,
			.hdisplay = width,
			.hsync_start = (uint16_t)(width + 48),
			.hsync_end = (uint16_t)(width + 80),
			.htotal = (uint16_t)(width + 160),
			.vdisplay = height,
			.vsync_start = (uint16_t)(height + 3),
			.vsync_end = (uint16_t)(height + 9),
			.vtotal = (uint16_t)(height + 40),
			.vrefresh = 60,
			.name = "test",
		},
	};

	must(card, DRM_IOCTL_MODE_SETCRTC, &crtc, "setting a mode");
}

/* The kernel tells of a flip when it has queued the commands; it waits while the queue is full. */
static void head_flip(const struct card *card, unsigned head, const struct buffer *buffer)
{
	struct drm_mode_crtc_page_flip flip = {
		.crtc_id = card->crtcs[head],
		.fb_id = buffer->fb,
		.flags = DRM_MODE_PAGE_FLIP_EVENT,
	};
	char events[1024];

	must(card, DRM_IOCTL_MODE_PAGE_FLIP, &flip, "a page flip");
	if (read(card->fd, events, sizeof(events)) <= 0)
		die("waiting for a page flip");
}

static void cursor_set(const struct card *card, const struct buffer *buffer)
{
	struct drm_mode_cursor cursor = {
		.flags = DRM_MODE_CURSOR_BO,
		.crtc_id = card->crtcs[0],
		.width = CURSOR,
		.height = CURSOR,
		.handle = buffer->handle,
	};

	must(card, DRM_IOCTL_MODE_CURSOR, &cursor, "a cursor");
}

static void cursor_move(const struct card *card, unsigned n)
{
	struct drm_mode_cursor cursor = {
		.flags = DRM_MODE_CURSOR_MOVE,
		.crtc_id = card->crtcs[0],
		.x = (int)(n * 7 % 1000),
		.y = (int)(n * 3 % 700),
	};

	must(card, DRM_IOCTL_MODE_CURSOR, &cursor, "moving a cursor");
}

/* Of all that the driver queues, only a cursor's new image makes it wait for an answer. */
static void wait_for_device(const struct card *card)
{
	struct buffer empty;

	buffer_make(card, CURSOR, CURSOR, DRM_FORMAT_ARGB8888, &empty);
	memset(empty.pixels, 0, CURSOR * CURSOR * 4);
	cursor_set(card, &empty);
}

static double now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

/* A line in each row of tiles, from edge to edge. */
static void touch_all(const struct buffer *buffer, unsigned n)
{
	for (uint32_t y = n % SMALL; y < buffer->height; y += SMALL) {
		for (uint32_t x = 0; x < buffer->width; x++)
			buffer->pixels[y * buffer->pitch + x] ^= 0x00ffffff;
	}
}

static void touch_small(const struct buffer *buffer, uint32_t left, uint32_t top)
{
	for (uint32_t y = top; y < top + SMALL; y++) {
		for (uint32_t x = left; x < left + SMALL; x++)
			buffer->pixels[y * buffer->pitch + x] ^= 0x00ffffff;
	}
}

static void damage(const struct card *card, const struct buffer *buffer, bool full, unsigned n)
{
	uint32_t left = n * 37 % (buffer->width - SMALL), top = n * 23 % (buffer->height - SMALL);
	struct drm_clip_rect clip = {
		.x1 = (uint16_t)(full ? 0 : left),
		.y1 = (uint16_t)(full ? 0 : top),
		.x2 = (uint16_t)(full ? buffer->width : left + SMALL),
		.y2 = (uint16_t)(full ? buffer->height : top + SMALL),
	};
	struct drm_mode_fb_dirty_cmd dirty = {
		.fb_id = buffer->fb,
		.num_clips = 1,
		.clips_ptr = POINTER(&clip),
	};

	if (full)
		touch_all(buffer, n);
	else
		touch_small(buffer, left, top);
	must(card, DRM_IOCTL_MODE_DIRTYFB, &dirty, "damage");
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void parse_size(const char *text, uint32_t *ret_width, uint32_t *ret_height)
{
	if (sscanf(text, "%ux%u", ret_width, ret_height) != 2) {
		errno = EINVAL;
		die(text);
	}
}

enum work {
	FLIP,
	FULL,
	SMALL_PART,
	MOVE,
	N_WORKS
};

static const char *const work_names[N_WORKS] = { "flip", "full", "small", "cursor" };

static void work_once(const struct card *card, enum work work, const struct buffer *buffers,
		      unsigned n)
{
	const struct buffer *next = &buffers[(n + 1) % FLIP_BUFFERS];

	switch (work) {
	case FLIP:
		touch_small(next, n * 37 % (next->width - SMALL), n * 23 % (next->height - SMALL));
		head_flip(card, 0, next);
		break;
	case MOVE:
		cursor_move(card, n);
		break;
	default:
		damage(card, &buffers[0], work == FULL, n);
		break;
	}
}

static void measure(const struct card *card, enum work work, const char *size, unsigned n)
{
	struct buffer buffers[FLIP_BUFFERS], cursor;
	double *took = calloc(n, sizeof(*took)), start, before, now;
	uint32_t width, height;

	if (!took)
		die("memory");
	parse_size(size, &width, &height);
	for (unsigned i = 0; i < FLIP_BUFFERS; i++) {
		buffer_make(card, width, height, DRM_FORMAT_XRGB8888, &buffers[i]);
		buffer_draw(&buffers[i], i);
	}
	head_show(card, 0, &buffers[0]);
	wait_for_device(card);
	if (work == MOVE) {
		buffer_make(card, CURSOR, CURSOR, DRM_FORMAT_ARGB8888, &cursor);
		buffer_draw(&cursor, 9);
		cursor_set(card, &cursor);
	}
	before = start = now_us();
	for (unsigned i = 0; i < n; i++) {
		work_once(card, work, buffers, i);
		now = now_us();
		took[i] = now - before;
		before = now;
	}
	wait_for_device(card);
	now = now_us();
	qsort(took, n, sizeof(*took), compare);
	printf("%s %u %.3f %.0f %.0f\n", work_names[work], n, (now - start) / 1e6, took[n / 2],
	       took[n - 1 - n / 100]);
	fflush(stdout);
	free(took);
}

static void print_heads(const struct card *card)
{
	static struct drm_mode_modeinfo modes[MODES_MAX];

	for (unsigned i = 0; i < card->n_heads; i++) {
		struct drm_mode_get_connector connector = {
			.connector_id = card->connectors[i],
		};

		/* Without room for modes it looks for them; they are read by a second call. */
		must(card, DRM_IOCTL_MODE_GETCONNECTOR, &connector, "a connector");
		connector.count_props = connector.count_encoders = 0;
		connector.modes_ptr = POINTER(modes);
		if (connector.count_modes > MODES_MAX)
			connector.count_modes = MODES_MAX;
		must(card, DRM_IOCTL_MODE_GETCONNECTOR, &connector, "a connector's modes");
		printf("%u %s", i, connector.connection == 1 ? "connected" : "disconnected");
		for (unsigned m = 0; m < connector.count_modes; m++) {
			if (modes[m].type & DRM_MODE_TYPE_PREFERRED)
				printf(" %ux%u", modes[m].hdisplay, modes[m].vdisplay);
		}
		printf("\n");
	}
}

/* First another picture, so that the wanted one comes by a flip. */
static void draw_pattern(const struct card *card, uint32_t seed, unsigned n, char **sizes)
{
	struct buffer buffers[2];

	for (unsigned i = 0; i < n && i < card->n_heads; i++) {
		uint32_t width, height;

		parse_size(sizes[i], &width, &height);
		for (unsigned b = 0; b < 2; b++) {
			buffer_make(card, width, height, DRM_FORMAT_XRGB8888, &buffers[b]);
			buffer_draw(&buffers[b], seed + i + 1 - b);
		}
		head_show(card, i, &buffers[0]);
		head_flip(card, i, &buffers[1]);
	}
	wait_for_device(card);
}

_Noreturn static void stay(void)
{
	printf("drawn\n");
	fflush(stdout);
	for (;;)
		pause();
}

int main(int argc, char **argv)
{
	struct card card;
	int work = N_WORKS;

	if (argc == 2 && !strcmp(argv[1], "heads")) {
		card_open(&card);
		print_heads(&card);
		return 0;
	}
	if (argc >= 4 && !strcmp(argv[1], "pattern")) {
		card_open(&card);
		draw_pattern(&card, (uint32_t)atoi(argv[2]), (unsigned)argc - 3, argv + 3);
		stay();
	}
	for (int i = 0; argc >= 4 && i < N_WORKS; i++) {
		if (!strcmp(argv[1], work_names[i]))
			work = i;
	}
	if (work == N_WORKS || atoi(argv[3]) <= 0) {
		fprintf(stderr, "gpu_draw: see its source\n");
		return 2;
	}
	card_open(&card);
	measure(&card, (enum work)work, argv[2], (unsigned)atoi(argv[3]));
	if (argc > 4)
		stay();
	return 0;
}
