/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/device/screen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MEMORY_BYTES (16u << 20)
#define RING_ENTRIES 64
#define ARGS_MAX 24
#define FENCE 0x123456789abcdefull
#define HEADER_BYTES sizeof(struct virtio_gpu_ctrl_hdr)

int screen_setup(void **state)
{
	struct screen *screen = calloc(1, sizeof(*screen));

	assert_non_null(screen);
	program_init(&screen->program, "/tmp");
	vhu_frontend_init(&screen->frontend);
	screen->frontend.timeout_ms = WAIT_MS;
	assert_true(vhu_guest_add(&screen->frontend.guest, 0, MEMORY_BYTES) >= 0);
	*state = screen;
	return 0;
}

static void finish_drivers(struct screen *screen)
{
	if (!screen->has_drivers)
		return;
	vhu_driver_finish(&screen->control);
	vhu_driver_finish(&screen->cursor);
	screen->has_drivers = false;
}

static int unplug(struct screen *screen)
{
	int status = 0;

	if (!screen->has_monitor)
		return 0;
	monitor_close(&screen->monitor);
	if (*screen->monitor.fault) {
		fprintf(stderr, "monitor: %s\n", screen->monitor.fault);
		status = -1;
	}
	screen->has_monitor = false;
	return status;
}

int screen_teardown(void **state)
{
	struct screen *screen = *state;
	int status = screen->program.pid ? -1 : 0; /* 0: the test has ended it */
	char *said;

	vhu_frontend_finish(&screen->frontend);
	finish_drivers(screen);
	if (screen->program.pid && program_lives(&screen->program))
		status = program_end(&screen->program);
	if (unplug(screen))
		status = -1;
	said = program_said(&screen->program);
	if (strstr(said, "Sanitizer") || strstr(said, "runtime error"))
		status = -1;
	if (status)
		fprintf(stderr, "status %d\n%s", status, said);
	free(said);
	program_finish(&screen->program);
	free(screen);
	return status;
}

static char *expand(const struct screen *screen, const char *arg)
{
	const char *dir = strstr(arg, "DIR");
	char *text;

	if (!dir)
		return strdup(arg);
	assert_true(asprintf(&text, "%.*s%s%s", (int)(dir - arg), arg, screen->program.dir,
			     dir + 3) > 0);
	return text;
}

void screen_start(struct screen *screen, const char *const *args)
{
	char *expanded[ARGS_MAX + 1] = { NULL };
	unsigned n = 0;

	for (; args && *args; args++) {
		assert_true(n < ARGS_MAX);
		expanded[n++] = expand(screen, *args);
	}
	program_start(&screen->program, "cli/vhu-gpu", (const char *const *)expanded);
	while (n)
		free(expanded[--n]);
}

void screen_connect(struct screen *screen, uint64_t ring_features)
{
	struct vhu_frontend *frontend = &screen->frontend;
	struct vhu_driver *drivers[] = { &screen->control, &screen->cursor };
	uint64_t features = VHU_FRONTEND_FEATURES | VHU_BIT(VIRTIO_GPU_F_EDID) |
			    VHU_BIT(VIRTIO_GPU_F_RESOURCE_UUID) |
			    VHU_BIT(VIRTIO_GPU_F_RESOURCE_BLOB) | ring_features;

	finish_drivers(screen);
	frontend->guest.regions[0].used_bytes = 0;
	vhu_frontend_disconnect(frontend);
	assert_int_equal(vhu_frontend_connect(frontend, screen->program.socket), 0);
	assert_int_equal(
		vhu_frontend_negotiate(frontend, features & ~screen->refused,
				       VHU_FRONTEND_PROTOCOL_FEATURES |
					       VHU_BIT(VHU_PROTOCOL_F_DEVICE_STATE) |
					       VHU_BIT(VHU_PROTOCOL_F_SHARED_OBJECT)),
		0);
	assert_int_equal(vhu_frontend_share_memory(frontend), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(drivers); i++)
		assert_int_equal(vhu_driver_init(drivers[i], frontend, i, RING_ENTRIES), 0);
	screen->has_drivers = true;
	screen->request = vhu_guest_alloc(&frontend->guest, 512 << 10, 8);
	screen->response = vhu_guest_alloc(&frontend->guest, 4096, 8);
	screen->pixels = vhu_guest_alloc(&frontend->guest, SCREEN_PIXEL_BYTES, 4096);
	assert_non_null(screen->pixels.host);
	for (unsigned i = 0; i < ARRAY_SIZE(drivers); i++)
		assert_int_equal(vhu_driver_start(drivers[i]), 0);
}

void screen_plug(struct screen *screen)
{
	assert_int_equal(unplug(screen), 0);
	monitor_open(&screen->monitor, 640, 480);
	screen->has_monitor = true;
	assert_int_equal(vhu_frontend_call(&screen->frontend, VHU_GPU_SET_SOCKET, NULL, 0,
					   &screen->monitor.peer_fd, 1, NULL), 0);
	close(screen->monitor.peer_fd);
	screen->monitor.peer_fd = -1;
}

void screen_begin(struct screen *screen)
{
	screen_start(screen, NULL);
	screen_connect(screen, 0);
	screen_plug(screen);
}

/* --- commands ------------------------------------------------------------------------------- */

static uint32_t run(struct screen *screen, struct vhu_driver *driver, size_t bytes, size_t room)
{
	struct vhu_guest_buffer buffers[2] = { screen->request, screen->response };
	struct virtio_gpu_ctrl_hdr asked, answer;
	uint32_t written;

	buffers[0].len = (uint32_t)bytes;
	buffers[1].len = (uint32_t)room;
	assert_true(bytes <= screen->request.len && room <= screen->response.len);
	memset(screen->response.host, 0xee, screen->response.len);
	assert_int_equal(vhu_driver_run(driver, buffers, 1, room ? 1 : 0, &written), 0);
	if (!written)
		return 0;
	assert_true(written >= HEADER_BYTES && written <= room);
	memset(&asked, 0, sizeof(asked));
	memcpy(&asked, screen->request.host, min_u64(bytes, sizeof(asked)));
	memcpy(&answer, screen->response.host, sizeof(answer));
	if (bytes >= sizeof(asked) && le32toh(asked.flags) & VIRTIO_GPU_FLAG_FENCE) {
		assert_int_equal(le32toh(answer.flags), VIRTIO_GPU_FLAG_FENCE);
		assert_int_equal(answer.fence_id, asked.fence_id);
		assert_int_equal(answer.ctx_id, asked.ctx_id);
	} else {
		assert_int_equal(answer.flags, 0);
		assert_int_equal(answer.fence_id, 0);
	}
	return le32toh(answer.type);
}

uint32_t screen_command(struct screen *screen, void *command, size_t bytes, size_t room)
{
	memcpy(screen->request.host, command, bytes);
	return run(screen, &screen->control, bytes, room);
}

/* With a fence beyond 32 bits. */
static uint32_t fenced(struct screen *screen, struct virtio_gpu_ctrl_hdr *header, uint32_t type,
		       size_t bytes)
{
	*header = (struct virtio_gpu_ctrl_hdr){ .type = htole32(type),
						.flags = htole32(VIRTIO_GPU_FLAG_FENCE),
						.fence_id = htole64(FENCE) };
	return screen_command(screen, header, bytes, HEADER_BYTES);
}
#define FENCED(screen, command, type) \
	fenced(screen, &(command).hdr, VIRTIO_GPU_CMD_##type, sizeof(command))

uint32_t screen_cursor(struct screen *screen, uint32_t type, uint32_t scanout, uint32_t resource,
		       uint32_t x, uint32_t y)
{
	const struct virtio_gpu_update_cursor command = {
		.hdr.type = htole32(type),
		.pos = { htole32(scanout), htole32(x), htole32(y), 0 },
		.resource_id = htole32(resource),
		.hot_x = htole32(3),
		.hot_y = htole32(4),
	};

	memcpy(screen->request.host, &command, sizeof(command));
	return run(screen, &screen->cursor, sizeof(command), HEADER_BYTES);
}

uint32_t screen_create(struct screen *screen, uint32_t id, uint32_t format, uint32_t width,
		       uint32_t height)
{
	struct virtio_gpu_resource_create_2d command = {
		.resource_id = htole32(id), .format = htole32(format),
		.width = htole32(width),    .height = htole32(height),
	};

	return FENCED(screen, command, RESOURCE_CREATE_2D);
}

uint32_t screen_unref(struct screen *screen, uint32_t id)
{
	struct virtio_gpu_resource_unref command = { .resource_id = htole32(id) };

	return FENCED(screen, command, RESOURCE_UNREF);
}

uint32_t screen_attach_entries(struct screen *screen, uint32_t id, uint32_t n,
			       const struct virtio_gpu_mem_entry *entries, unsigned n_sent)
{
	const struct virtio_gpu_resource_attach_backing command = {
		.hdr.type = htole32(VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING),
		.resource_id = htole32(id),
		.nr_entries = htole32(n),
	};
	size_t bytes = n_sent * sizeof(*entries);

	assert_true(sizeof(command) + bytes <= screen->request.len);
	memcpy(screen->request.host, &command, sizeof(command));
	memcpy((char *)screen->request.host + sizeof(command), entries, bytes);
	return run(screen, &screen->control, sizeof(command) + bytes, HEADER_BYTES);
}

uint32_t screen_attach(struct screen *screen, uint32_t id, uint64_t offset, uint32_t bytes)
{
	const struct virtio_gpu_mem_entry entry = { htole64(screen->pixels.gpa + offset),
						    htole32(bytes), 0 };

	return screen_attach_entries(screen, id, 1, &entry, 1);
}

uint32_t screen_detach(struct screen *screen, uint32_t id)
{
	struct virtio_gpu_resource_detach_backing command = { .resource_id = htole32(id) };

	return FENCED(screen, command, RESOURCE_DETACH_BACKING);
}

uint32_t screen_transfer(struct screen *screen, uint32_t id, struct virtio_gpu_rect rect,
			 uint64_t offset)
{
	struct virtio_gpu_transfer_to_host_2d command = {
		.r = rect, .offset = htole64(offset), .resource_id = htole32(id),
	};

	return FENCED(screen, command, TRANSFER_TO_HOST_2D);
}

uint32_t screen_set_scanout(struct screen *screen, uint32_t scanout, uint32_t id,
			    struct virtio_gpu_rect rect)
{
	struct virtio_gpu_set_scanout command = {
		.r = rect, .scanout_id = htole32(scanout), .resource_id = htole32(id),
	};

	return FENCED(screen, command, SET_SCANOUT);
}

uint32_t screen_flush(struct screen *screen, uint32_t id, struct virtio_gpu_rect rect)
{
	struct virtio_gpu_resource_flush command = { .r = rect, .resource_id = htole32(id) };

	return FENCED(screen, command, RESOURCE_FLUSH);
}

/* --- pictures ------------------------------------------------------------------------------- */

uint32_t screen_color(uint32_t seed, uint32_t x, uint32_t y)
{
	return ((x * 2654435761u) ^ (y * 40503u) ^ (seed * 97u)) & 0xffffff;
}

void screen_draw(struct screen *screen, uint64_t offset, uint32_t seed, uint32_t width,
		 uint32_t height)
{
	uint32_t *pixels = (uint32_t *)((char *)screen->pixels.host + offset);

	assert_true(offset + 4ull * width * height <= SCREEN_PIXEL_BYTES);
	for (uint32_t y = 0; y < height; y++)
		for (uint32_t x = 0; x < width; x++)
			*pixels++ = htole32(screen_color(seed, x, y));
}

void screen_show(struct screen *screen, uint32_t scanout, uint32_t id, uint32_t seed,
		 uint32_t width, uint32_t height)
{
	struct virtio_gpu_rect all = screen_rect(0, 0, width, height);

	screen_draw(screen, 0, seed, width, height);
	assert_int_equal(screen_create(screen, id, VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM, width,
				       height), OK);
	assert_int_equal(screen_attach(screen, id, 0, 4 * width * height), OK);
	assert_int_equal(screen_transfer(screen, id, all, 0), OK);
	assert_int_equal(screen_set_scanout(screen, scanout, id, all), OK);
	assert_int_equal(screen_flush(screen, id, all), OK);
}

struct expected {
	uint32_t scanout, seed, width, height;
};

static bool is_there(const struct monitor *monitor, void *data)
{
	const struct expected *expected = data;
	const struct monitor_picture *picture = &monitor->pictures[expected->scanout];

	if (picture->width != expected->width || picture->height != expected->height)
		return false;
	for (uint32_t y = 0; y < picture->height; y++)
		for (uint32_t x = 0; x < picture->width; x++)
			if ((picture->pixels[(size_t)y * picture->width + x] & 0xffffff) !=
			    screen_color(expected->seed, x, y))
				return false;
	return true;
}

void screen_expect_picture(struct screen *screen, uint32_t scanout, uint32_t seed, uint32_t width,
			   uint32_t height)
{
	struct expected expected = { scanout, seed, width, height };

	assert_true(monitor_wait(&screen->monitor, is_there, &expected, WAIT_MS / 4));
}

static bool is_off(const struct monitor *monitor, void *data)
{
	return monitor->pictures[*(const unsigned *)data].width == 0;
}

void screen_expect_off(struct screen *screen, unsigned scanout)
{
	assert_true(monitor_wait(&screen->monitor, is_off, &scanout, WAIT_MS / 4));
}
