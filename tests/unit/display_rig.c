/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/unit/display_rig.h"

#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/cleanup.h"
#include "common/base/fd.h"
#include "common/base/num.h"

#define QUIET_MS 60

struct display_rig rig;
static unsigned fds_before;

/* --- the worker ------------------------------------------------------------------------------ */

static unsigned open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static void modes_changed(void *data)
{
	assert_ptr_equal(data, &rig);
	rig.n_modes_changed++;
}

static const struct vhu_gpu_display_ops ops = { .modes_changed = modes_changed };

int rig_setup(void **state)
{
	(void)state;
	memset(&rig, 0, sizeof(rig));
	rig.options.max_fps = 500;
	rig.options.max_resource_mem = 256 << 20;
	rig.screen.fd = -1;
	fds_before = open_fds();
	assert_int_equal(vhu_loop_new(&rig.loop), 0);
	return 0;
}

void rig_start(void)
{
	assert_int_equal(vhu_gpu_display_new(&rig.options, rig.loop, &ops, &rig, &rig.display), 0);
}

int rig_teardown(void **state)
{
	(void)state;
	vhu_loop_destroy(rig.loop);
	vhu_gpu_display_destroy(rig.display);
	screen_unplug();
	return open_fds() == fds_before ? 0 : -1;
}

static void asked(struct vhu_gpu_display_call *call)
{
	container_of(call, struct rig_ask, call)->n_done++;
}

void rig_ask(struct rig_ask *ask)
{
	*ask = (struct rig_ask){ .call.done = asked };
	vhu_gpu_display_ask_modes(rig.display, &ask->call);
}

void rig_wait_done(const struct rig_ask *ask)
{
	uint64_t end_ns = vhu_now_ns() + RIG_PATIENCE_NS;

	while (!ask->n_done && vhu_now_ns() < end_ns) {
		vhu_loop_turn(rig.loop, NS_PER_MS);
		if (rig.screen.fd >= 0)
			screen_read(0);
	}
	assert_int_equal(ask->n_done, 1);
}

/* --- the screen ------------------------------------------------------------------------------ */

void screen_unplug(void)
{
	close_fd(&rig.screen.fd);
	for (unsigned i = 0; i < VHU_GPU_OUTPUTS_MAX; i++)
		free(rig.screen.heads[i].pixels);
	memset(rig.screen.heads, 0, sizeof(rig.screen.heads));
	rig.screen.n_messages = rig.screen.n_asked = rig.screen.n_features = 0;
	rig.screen.n_updates = 0;
	rig.screen.update_bytes = 0;
}

void screen_plug(void)
{
	int fds[2];

	screen_unplug();
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	rig.screen.fd = fds[1];
	vhu_gpu_display_set_socket(rig.display, fds[0]);
}

static void read_bytes(void *buf, size_t len)
{
	struct pollfd poll_fd = { .fd = rig.screen.fd, .events = POLLIN };
	char *at = buf;

	while (len) {
		ssize_t n;

		assert_int_equal(poll(&poll_fd, 1, RIG_PATIENCE_NS / NS_PER_MS), 1);
		n = recv(rig.screen.fd, at, len, MSG_DONTWAIT);
		assert_true(n > 0);
		at += n;
		len -= (size_t)n;
	}
}

void screen_send(uint32_t request, uint32_t flags, uint32_t size, const void *payload,
		 uint32_t payload_bytes)
{
	struct {
		struct vhu_header header;
		char payload[2048];
	} message = { .header = { request, flags, size } };

	memcpy(message.payload, payload, payload_bytes);
	assert_int_equal(send(rig.screen.fd, &message, sizeof(message.header) + payload_bytes,
			      MSG_NOSIGNAL),
			 sizeof(message.header) + payload_bytes);
}

static void answer(uint32_t request, const void *payload, uint32_t bytes)
{
	if (!rig.screen.silent)
		screen_send(request, VHU_GPU_FLAG_REPLY, bytes, payload, bytes);
}

static struct screen_head *head_of(uint32_t scanout)
{
	assert_in_range(scanout, 0, VHU_GPU_OUTPUTS_MAX - 1);
	return &rig.screen.heads[scanout];
}

static void take_size(uint32_t size)
{
	struct vhu_gpu_scanout scanout;
	struct screen_head *head;

	assert_int_equal(size, sizeof(scanout));
	read_bytes(&scanout, size);
	head = head_of(scanout.scanout_id);
	/* Only when it changes. */
	assert_true(!head->n_sizes || head->width != scanout.width ||
		    head->height != scanout.height);
	head->n_sizes++;
	head->width = scanout.width;
	head->height = scanout.height;
	free(head->pixels);
	head->pixels = head->width ? calloc((size_t)head->width * head->height, 4) : NULL;
}

static void take_update(uint32_t size)
{
	struct vhu_gpu_update update;
	struct screen_head *head;

	assert_true(size > sizeof(update));
	read_bytes(&update, sizeof(update));
	head = head_of(update.scanout_id);
	assert_true(range_fits(update.x, update.width, head->width) &&
		    range_fits(update.y, update.height, head->height));
	assert_int_equal(size - sizeof(update), (uint64_t)update.width * update.height * 4);
	for (uint32_t y = 0; y < update.height; y++)
		read_bytes(head->pixels + (size_t)head->width * (update.y + y) + update.x,
			   (size_t)4 * update.width);
	rig.screen.n_updates++;
	rig.screen.update_bytes += size - sizeof(update);
}

static void take_cursor(uint32_t request, uint32_t size)
{
	struct vhu_gpu_cursor_update update;
	bool image = request == VHU_GPU_CURSOR_UPDATE;
	struct screen_head *head;

	assert_int_equal(size, image ? sizeof(update) : sizeof(update.pos));
	read_bytes(&update, size);
	head = head_of(update.pos.scanout_id);
	head->cursor_x = update.pos.x;
	head->cursor_y = update.pos.y;
	head->cursor_visible = request != VHU_GPU_CURSOR_POS_HIDE;
	if (image)
		memcpy(head->cursor, update.pixels, sizeof(update.pixels));
	head->n_images += image;
	head->n_moves += !image;
}

static void take(const struct vhu_header *header)
{
	uint64_t features;

	assert_int_equal(header->flags, 0);
	switch (header->request) {
	case VHU_GPU_GET_PROTOCOL_FEATURES:
		features = UINT64_MAX;
		answer(header->request, &features, sizeof(features));
		break;
	case VHU_GPU_SET_PROTOCOL_FEATURES:
		read_bytes(&features, sizeof(features));
		assert_int_equal(features, 0);
		rig.screen.n_features++;
		break;
	case VHU_GPU_GET_DISPLAY_INFO:
		rig.screen.n_asked++;
		answer(header->request, &rig.screen.info, sizeof(rig.screen.info));
		break;
	case VHU_GPU_SCANOUT:
		take_size(header->size);
		break;
	case VHU_GPU_UPDATE:
		take_update(header->size);
		break;
	default:
		assert_in_range(header->request, VHU_GPU_CURSOR_POS, VHU_GPU_CURSOR_UPDATE);
		take_cursor(header->request, header->size);
		break;
	}
}

bool screen_read(int timeout_ms)
{
	struct pollfd poll_fd = { .fd = rig.screen.fd, .events = POLLIN };
	struct vhu_header header;

	if (poll(&poll_fd, 1, timeout_ms) == 0)
		return false;
	read_bytes(&header, sizeof(header));
	take(&header);
	rig.screen.n_messages++;
	return true;
}

void screen_settle(void)
{
	while (screen_read(QUIET_MS))
		;
}

void screen_expect_closed(void)
{
	struct pollfd poll_fd = { .fd = rig.screen.fd };

	assert_int_equal(poll(&poll_fd, 1, RIG_PATIENCE_NS / NS_PER_MS), 1);
	assert_true(poll_fd.revents & POLLHUP);
}

/* --- pixels ---------------------------------------------------------------------------------- */

/* Where in a pixel's four bytes red, green and blue are. */
static const uint8_t bytes_of[][3] = {
	[VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM] = { 2, 1, 0 },
	[VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM] = { 2, 1, 0 },
	[VIRTIO_GPU_FORMAT_A8R8G8B8_UNORM] = { 1, 2, 3 },
	[VIRTIO_GPU_FORMAT_X8R8G8B8_UNORM] = { 1, 2, 3 },
	[VIRTIO_GPU_FORMAT_R8G8B8A8_UNORM] = { 0, 1, 2 },
	[VIRTIO_GPU_FORMAT_X8B8G8R8_UNORM] = { 3, 2, 1 },
	[VIRTIO_GPU_FORMAT_A8B8G8R8_UNORM] = { 3, 2, 1 },
	[VIRTIO_GPU_FORMAT_R8G8B8X8_UNORM] = { 0, 1, 2 },
};

static const uint8_t *pixel_at(const struct vhu_gpu_surface *surface, uint32_t x, uint32_t y)
{
	return (uint8_t *)surface->pixels + (size_t)surface->stride_bytes * y + (size_t)4 * x;
}

static bool looks_like(const struct screen_head *head, const struct vhu_gpu_surface *surface,
		       const struct vhu_gpu_rect *part)
{
	const uint8_t *at = bytes_of[surface->format];

	if (head->width != part->width || head->height != part->height)
		return false;
	for (uint32_t y = 0; y < part->height; y++)
		for (uint32_t x = 0; x < part->width; x++) {
			const uint8_t *p = pixel_at(surface, part->x + x, part->y + y);
			uint32_t seen = head->pixels[(size_t)head->width * y + x] & 0xffffff;

			if (seen != ((uint32_t)p[at[0]] << 16 | (uint32_t)p[at[1]] << 8 | p[at[2]]))
				return false;
		}
	return true;
}

void screen_expect(unsigned scanout, const struct vhu_gpu_surface *surface,
		   const struct vhu_gpu_rect *part)
{
	uint64_t end_ns = vhu_now_ns() + RIG_PATIENCE_NS;

	while (!looks_like(&rig.screen.heads[scanout], surface, part)) {
		assert_true(vhu_now_ns() < end_ns);
		/* What is there already, before it is looked at again. */
		if (screen_read(100))
			while (screen_read(0))
				;
	}
}

struct vhu_gpu_surface *surface_make(uint32_t format, uint32_t width, uint32_t height)
{
	struct vhu_gpu_surface *surface;
	struct vhu_gpu_rect all = { 0, 0, width, height };

	assert_int_equal(vhu_gpu_surface_new(format, width, height, &surface), 0);
	surface_draw(surface, &all, 1);
	return surface;
}

void surface_draw(struct vhu_gpu_surface *surface, const struct vhu_gpu_rect *rect, uint32_t seed)
{
	pthread_mutex_lock(&surface->mutex);
	for (uint32_t y = rect->y; y < rect->y + rect->height; y++)
		for (uint32_t x = rect->x; x < rect->x + rect->width; x++) {
			uint32_t pixel = (y * 16384 + x) * 2654435761u + seed * 0x01010101;

			memcpy((void *)(uintptr_t)pixel_at(surface, x, y), &pixel, 4);
		}
	pthread_mutex_unlock(&surface->mutex);
}

struct vhu_gpu_rect surface_rect(const struct vhu_gpu_surface *surface)
{
	return (struct vhu_gpu_rect){ 0, 0, surface->width, surface->height };
}

void rig_show(unsigned scanout, struct vhu_gpu_surface *surface)
{
	struct vhu_gpu_rect all = surface_rect(surface);

	vhu_gpu_display_show(rig.display, scanout, surface, &all);
}

void rig_draw_and_damage(unsigned scanout, struct vhu_gpu_surface *surface, uint32_t seed)
{
	struct vhu_gpu_rect all = surface_rect(surface);

	surface_draw(surface, &all, seed);
	vhu_gpu_display_damage(rig.display, scanout, &all);
}
