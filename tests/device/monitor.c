/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/device/monitor.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/fd.h"
#include "common/base/num.h"
#include "common/wire/message.h"
#include "tests/device/program.h"

static bool read_all(struct monitor *monitor, void *buf, size_t len)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = read(monitor->fd, (char *)buf + done, len - done);

		if (n <= 0)
			return false;
		done += (size_t)n;
	}
	return true;
}

static void fault(struct monitor *monitor, const char *what)
{
	if (!*monitor->fault)
		snprintf(monitor->fault, sizeof(monitor->fault), "%s", what);
}

static void reply(struct monitor *monitor, uint32_t request, const void *payload, uint32_t size)
{
	struct {
		struct vhu_header header;
		char payload[sizeof(union vhu_gpu_reply)];
	} message = { .header = { request, VHU_GPU_FLAG_REPLY, size } };

	if (monitor->dumb)
		return;
	memcpy(message.payload, payload, size);
	if (send(monitor->fd, &message, sizeof(message.header) + size, MSG_NOSIGNAL) < 0 &&
	    errno != EPIPE)
		fault(monitor, "it does not take answers");
}

static void set_scanout(struct monitor *monitor, const struct vhu_gpu_scanout *scanout)
{
	struct monitor_picture *picture;

	if (scanout->scanout_id >= MONITOR_SCANOUTS) {
		fault(monitor, "SCANOUT of a scanout that is none");
		return;
	}
	picture = &monitor->pictures[scanout->scanout_id];
	free(picture->pixels);
	picture->width = scanout->width;
	picture->height = scanout->height;
	picture->pixels = calloc(scanout->width ? scanout->width : 1,
				 4 * (size_t)(scanout->height ? scanout->height : 1));
	picture->n_scanouts++;
}

/* The pixels are read anyway. */
static bool update(struct monitor *monitor, const struct vhu_gpu_update *update, size_t bytes)
{
	struct monitor_picture *picture = &monitor->pictures[update->scanout_id % MONITOR_SCANOUTS];
	uint32_t *pixels = malloc(bytes + 1);
	bool fits;

	if (!read_all(monitor, pixels, bytes)) {
		free(pixels);
		return false;
	}
	pthread_mutex_lock(&monitor->mutex);
	fits = update->scanout_id < MONITOR_SCANOUTS && picture->width &&
	       (uint64_t)update->x + update->width <= picture->width &&
	       (uint64_t)update->y + update->height <= picture->height &&
	       bytes == 4ull * update->width * update->height;
	if (!fits)
		fault(monitor, "UPDATE outside of what SCANOUT said");
	for (uint32_t y = 0; fits && y < update->height; y++)
		memcpy(picture->pixels + (size_t)picture->width * (update->y + y) + update->x,
		       pixels + (size_t)update->width * y, 4 * (size_t)update->width);
	picture->n_updates++;
	pthread_mutex_unlock(&monitor->mutex);
	free(pixels);
	return true;
}

static void set_cursor(struct monitor *monitor, uint32_t request,
		       const struct vhu_gpu_cursor_update *cursor)
{
	struct monitor_picture *picture = &monitor->pictures[cursor->pos.scanout_id %
							    MONITOR_SCANOUTS];

	if (cursor->pos.scanout_id >= MONITOR_SCANOUTS)
		fault(monitor, "a cursor on a scanout that is none");
	picture->cursor_x = cursor->pos.x;
	picture->cursor_y = cursor->pos.y;
	picture->cursor_visible = request != VHU_GPU_CURSOR_POS_HIDE;
	if (request != VHU_GPU_CURSOR_UPDATE)
		return;
	picture->hot_x = cursor->hot_x;
	picture->hot_y = cursor->hot_y;
	memcpy(picture->cursor, cursor->pixels, sizeof(picture->cursor));
	picture->n_cursors++;
}

static void handle(struct monitor *monitor, uint32_t request, const void *payload)
{
	const uint64_t features = 1ull << VHU_GPU_PROTOCOL_F_EDID;

	switch (request) {
	case VHU_GPU_GET_PROTOCOL_FEATURES:
		reply(monitor, request, &features, sizeof(features));
		break;
	case VHU_GPU_SET_PROTOCOL_FEATURES:
		break;
	case VHU_GPU_GET_DISPLAY_INFO:
		monitor->n_asked++;
		reply(monitor, request, &monitor->modes, sizeof(monitor->modes));
		break;
	case VHU_GPU_CURSOR_POS:
	case VHU_GPU_CURSOR_POS_HIDE:
	case VHU_GPU_CURSOR_UPDATE:
		set_cursor(monitor, request, payload);
		break;
	case VHU_GPU_SCANOUT:
		set_scanout(monitor, payload);
		break;
	default:
		fault(monitor, "a request that is none");
	}
}

static bool take(struct monitor *monitor)
{
	struct vhu_gpu_cursor_update payload; /* the longest one */
	struct vhu_gpu_update where;
	struct vhu_header header;

	if (!read_all(monitor, &header, sizeof(header)))
		return false;
	if (header.request == VHU_GPU_UPDATE) {
		if (header.size < sizeof(where) || !read_all(monitor, &where, sizeof(where)))
			return false;
		return update(monitor, &where, header.size - sizeof(where));
	}
	if (header.size > sizeof(payload) || !read_all(monitor, &payload, header.size))
		return false;
	pthread_mutex_lock(&monitor->mutex);
	handle(monitor, header.request, &payload);
	pthread_mutex_unlock(&monitor->mutex);
	return true;
}

static void *watch(void *data)
{
	struct monitor *monitor = data;

	do
		while (monitor->paused)
			sleep_ms(1);
	while (take(monitor));
	pthread_mutex_lock(&monitor->mutex);
	monitor->ended = true;
	pthread_mutex_unlock(&monitor->mutex);
	return NULL;
}

void monitor_open(struct monitor *monitor, uint32_t width, uint32_t height)
{
	int fds[2];

	memset(monitor, 0, sizeof(*monitor));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	monitor->fd = fds[0];
	monitor->peer_fd = fds[1];
	monitor->modes.hdr.type = htole32(VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
	monitor->modes.pmodes[0].enabled = htole32(1);
	monitor->modes.pmodes[0].r.width = htole32(width);
	monitor->modes.pmodes[0].r.height = htole32(height);
	pthread_mutex_init(&monitor->mutex, NULL);
	assert_int_equal(pthread_create(&monitor->thread, NULL, watch, monitor), 0);
}

void monitor_close(struct monitor *monitor)
{
	monitor->paused = false;
	shutdown(monitor->fd, SHUT_RDWR);
	pthread_join(monitor->thread, NULL);
	close(monitor->fd);
	if (monitor->peer_fd >= 0)
		close(monitor->peer_fd);
	for (unsigned i = 0; i < MONITOR_SCANOUTS; i++)
		free(monitor->pictures[i].pixels);
	pthread_mutex_destroy(&monitor->mutex);
}

bool monitor_wait(struct monitor *monitor, bool (*fn)(const struct monitor *monitor, void *data),
		  void *data, unsigned timeout_ms)
{
	uint64_t until_ns = vhu_now_ns() + timeout_ms * NS_PER_MS;
	bool so;

	do {
		pthread_mutex_lock(&monitor->mutex);
		so = fn(monitor, data);
		pthread_mutex_unlock(&monitor->mutex);
		if (!so)
			sleep_ms(1);
	} while (!so && vhu_now_ns() < until_ns);
	return so;
}
