/* SPDX-License-Identifier: BSD-3-Clause */

/* vhu-gpu's answers: what is right is done, and what is not is refused, with its error. */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/device/screen.h"

#define BGRX VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM
#define HEADER_BYTES sizeof(struct virtio_gpu_ctrl_hdr)
#define MAX UINT32_MAX

/* A picture of 64x32 in screen->pixels, backed; number 7. */
static void make_one(struct screen *screen)
{
	screen_draw(screen, 0, 1, 64, 32);
	assert_int_equal(screen_create(screen, 7, BGRX, 64, 32), OK);
	assert_int_equal(screen_attach(screen, 7, 0, 64 * 32 * 4), OK);
}

static void creations(void **state)
{
	struct screen *screen = *state;
	static const struct {
		uint32_t id, format, width, height, expected;
	} cases[] = {
		{ 0, BGRX, 64, 64, ERR(INVALID_RESOURCE_ID) },
		{ 7, BGRX, 64, 64, ERR(INVALID_RESOURCE_ID) }, /* it is there */
		{ 8, 0, 64, 64, ERR(INVALID_PARAMETER) },
		{ 8, 5, 64, 64, ERR(INVALID_PARAMETER) },
		{ 8, 135, 64, 64, ERR(INVALID_PARAMETER) },
		{ 8, MAX, 64, 64, ERR(INVALID_PARAMETER) },
		{ 8, BGRX, 0, 64, ERR(INVALID_PARAMETER) },
		{ 8, BGRX, 64, 0, ERR(INVALID_PARAMETER) },
		{ 8, BGRX, 16385, 1, ERR(INVALID_PARAMETER) },
		{ 8, BGRX, 1, 16385, ERR(INVALID_PARAMETER) },
		{ 8, BGRX, 1u << 31, 1, ERR(INVALID_PARAMETER) },
		{ 8, BGRX, MAX, MAX, ERR(INVALID_PARAMETER) },
		{ 8, BGRX, 0x10000, 0x10000, ERR(INVALID_PARAMETER) },
		{ 8, BGRX, 1, 1, OK },
		{ 9, BGRX, 16384, 1, OK },
		{ MAX, VIRTIO_GPU_FORMAT_R8G8B8X8_UNORM, 3, 5, OK },
	};

	screen_begin(screen);
	make_one(screen);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(screen_create(screen, cases[i].id, cases[i].format, cases[i].width,
					       cases[i].height), cases[i].expected);
	assert_int_equal(screen_unref(screen, 0), ERR(INVALID_RESOURCE_ID));
	assert_int_equal(screen_unref(screen, 10), ERR(INVALID_RESOURCE_ID));
	assert_int_equal(screen_unref(screen, MAX), OK);
	assert_int_equal(screen_unref(screen, MAX), ERR(INVALID_RESOURCE_ID));
}

static void backings(void **state)
{
	struct screen *screen = *state;
	struct virtio_gpu_mem_entry entries[4] = { 0 };
	uint64_t gpa;

	screen_begin(screen);
	make_one(screen);
	gpa = screen->pixels.gpa;
	entries[0] = (struct virtio_gpu_mem_entry){ htole64(gpa), htole32(4096), 0 };
	/* Twice; of what is not there. */
	assert_int_equal(screen_attach_entries(screen, 7, 1, entries, 1), ERR(UNSPEC));
	assert_int_equal(screen_attach_entries(screen, 8, 1, entries, 1),
			 ERR(INVALID_RESOURCE_ID));
	assert_int_equal(screen_detach(screen, 7), OK);
	assert_int_equal(screen_detach(screen, 7), ERR(UNSPEC));
	assert_int_equal(screen_detach(screen, 8), ERR(INVALID_RESOURCE_ID));
	/* Numbers that are none, and a table that is short. */
	assert_int_equal(screen_attach_entries(screen, 7, 0, entries, 1), ERR(INVALID_PARAMETER));
	assert_int_equal(screen_attach_entries(screen, 7, 2, entries, 1), ERR(INVALID_PARAMETER));
	assert_int_equal(screen_attach_entries(screen, 7, 16385, entries, 1),
			 ERR(INVALID_PARAMETER));
	assert_int_equal(screen_attach_entries(screen, 7, MAX, entries, 1),
			 ERR(INVALID_PARAMETER));
	/* Outside of memory, across its end, around the end of all addresses. */
	entries[1] = (struct virtio_gpu_mem_entry){ htole64(1ull << 40), htole32(4096), 0 };
	assert_int_equal(screen_attach_entries(screen, 7, 2, entries, 2), ERR(INVALID_PARAMETER));
	entries[1].addr = htole64((16u << 20) - 4095);
	assert_int_equal(screen_attach_entries(screen, 7, 2, entries, 2), ERR(INVALID_PARAMETER));
	entries[1].addr = htole64(UINT64_MAX - 4094);
	assert_int_equal(screen_attach_entries(screen, 7, 2, entries, 2), ERR(INVALID_PARAMETER));
	/* None of them was attached, and nothing in an entry is fine. */
	entries[1] = (struct virtio_gpu_mem_entry){ htole64(gpa + 4096), htole32(4096), 0 };
	entries[2] = (struct virtio_gpu_mem_entry){ htole64(gpa), 0, 0 };
	assert_int_equal(screen_attach_entries(screen, 7, 3, entries, 3), OK);
	assert_int_equal(screen_transfer(screen, 7, screen_rect(0, 0, 64, 32), 0), OK);
}

static void transfers(void **state)
{
	struct screen *screen = *state;
	static const struct {
		uint32_t id, x, y, width, height;
		uint64_t offset;
		uint32_t expected;
	} cases[] = {
		{ 7, 0, 0, 64, 32, 0, OK },
		{ 7, 63, 31, 1, 1, 64 * 32 * 4 - 4, OK },
		{ 7, 0, 0, 64, 32, 4, ERR(INVALID_PARAMETER) },
		{ 7, 0, 0, 64, 32, UINT64_MAX, ERR(INVALID_PARAMETER) },
		{ 7, 0, 0, 64, 32, UINT64_MAX - 64 * 32 * 4 + 1, ERR(INVALID_PARAMETER) },
		{ 7, 0, 0, 1, 32, 4 * 63, OK },
		{ 7, 0, 0, 1, 32, 4 * 64, ERR(INVALID_PARAMETER) },
		{ 7, 0, 0, 65, 32, 0, ERR(INVALID_PARAMETER) },
		{ 7, 0, 0, 64, 33, 0, ERR(INVALID_PARAMETER) },
		{ 7, 1, 0, 64, 32, 0, ERR(INVALID_PARAMETER) },
		{ 7, 0, 0, 0, 1, 0, ERR(INVALID_PARAMETER) },
		{ 7, 0, 0, 1, 0, 0, ERR(INVALID_PARAMETER) },
		{ 7, MAX, 0, 1, 1, 0, ERR(INVALID_PARAMETER) },
		{ 7, 1, 1, MAX, MAX, 0, ERR(INVALID_PARAMETER) },
		{ 8, 0, 0, 1, 1, 0, ERR(INVALID_RESOURCE_ID) },
		{ 9, 0, 0, 1, 1, 0, ERR(UNSPEC) }, /* without backing */
	};

	screen_begin(screen);
	make_one(screen);
	assert_int_equal(screen_create(screen, 9, BGRX, 64, 32), OK);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(screen_transfer(screen, cases[i].id,
						 screen_rect(cases[i].x, cases[i].y,
							     cases[i].width, cases[i].height),
						 cases[i].offset), cases[i].expected);
}

static void scanouts(void **state)
{
	struct screen *screen = *state;
	static const struct {
		uint32_t scanout, id, x, y, width, height, expected;
	} cases[] = {
		{ 0, 7, 0, 0, 64, 32, OK },
		{ 15, 7, 63, 31, 1, 1, OK }, /* on several */
		{ 16, 7, 0, 0, 64, 32, ERR(INVALID_SCANOUT_ID) },
		{ MAX, 7, 0, 0, 64, 32, ERR(INVALID_SCANOUT_ID) },
		{ 16, 0, 0, 0, 0, 0, ERR(INVALID_SCANOUT_ID) },
		{ 0, 8, 0, 0, 64, 32, ERR(INVALID_RESOURCE_ID) },
		{ 0, 7, 0, 0, 65, 32, ERR(INVALID_PARAMETER) },
		{ 0, 7, 0, 1, 64, 32, ERR(INVALID_PARAMETER) },
		{ 0, 7, MAX, 0, 2, 32, ERR(INVALID_PARAMETER) },
		{ 0, 7, 0, 0, 0, 32, ERR(INVALID_PARAMETER) },
		{ 3, 0, 0, 0, 0, 0, OK }, /* off, as it was */
		{ 0, 0, 0, 0, 0, 0, OK },
		{ 0, 7, 0, 0, 64, 32, OK },
	};

	screen_begin(screen);
	make_one(screen);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(screen_set_scanout(screen, cases[i].scanout, cases[i].id,
						    screen_rect(cases[i].x, cases[i].y,
								cases[i].width, cases[i].height)),
				 cases[i].expected);
	assert_int_equal(screen_flush(screen, 7, screen_rect(0, 0, 64, 32)), OK);
	assert_int_equal(screen_flush(screen, 7, screen_rect(0, 0, 64, 33)),
			 ERR(INVALID_PARAMETER));
	assert_int_equal(screen_flush(screen, 7, screen_rect(MAX, MAX, MAX, MAX)),
			 ERR(INVALID_PARAMETER));
	assert_int_equal(screen_flush(screen, 8, screen_rect(0, 0, 1, 1)),
			 ERR(INVALID_RESOURCE_ID));
	/* Of one that is on no scanout. */
	assert_int_equal(screen_create(screen, 9, BGRX, 64, 32), OK);
	assert_int_equal(screen_flush(screen, 9, screen_rect(0, 0, 64, 32)), OK);
	/* While it is shown. */
	assert_int_equal(screen_unref(screen, 7), OK);
	assert_int_equal(screen_flush(screen, 7, screen_rect(0, 0, 64, 32)),
			 ERR(INVALID_RESOURCE_ID));
}

static void cursors(void **state)
{
	struct screen *screen = *state;
	static const struct {
		uint32_t type, scanout, id, expected;
	} cases[] = {
		{ VIRTIO_GPU_CMD_UPDATE_CURSOR, 0, 7, OK },
		{ VIRTIO_GPU_CMD_UPDATE_CURSOR, 15, 7, OK },
		{ VIRTIO_GPU_CMD_UPDATE_CURSOR, 16, 7, ERR(INVALID_SCANOUT_ID) },
		{ VIRTIO_GPU_CMD_UPDATE_CURSOR, 0, 0, OK },
		{ VIRTIO_GPU_CMD_UPDATE_CURSOR, 0, 8, ERR(INVALID_RESOURCE_ID) },
		{ VIRTIO_GPU_CMD_UPDATE_CURSOR, 0, 9, ERR(INVALID_PARAMETER) }, /* too large */
		{ VIRTIO_GPU_CMD_MOVE_CURSOR, 0, 0, OK },
		{ VIRTIO_GPU_CMD_MOVE_CURSOR, 0, MAX, OK },
		{ VIRTIO_GPU_CMD_MOVE_CURSOR, MAX, 0, ERR(INVALID_SCANOUT_ID) },
		{ VIRTIO_GPU_CMD_GET_DISPLAY_INFO, 0, 0, ERR(UNSPEC) }, /* of the other queue */
		{ 0, 0, 0, ERR(UNSPEC) },
	};

	screen_begin(screen);
	make_one(screen);
	assert_int_equal(screen_create(screen, 9, BGRX, 65, 64), OK);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(screen_cursor(screen, cases[i].type, cases[i].scanout, cases[i].id,
					       5, 6), cases[i].expected);
}

/* Commands that are cut off after each byte, and the room for their answer. */
static void pieces(void **state)
{
	struct screen *screen = *state;
	struct virtio_gpu_set_scanout set = {
		.hdr.type = htole32(VIRTIO_GPU_CMD_SET_SCANOUT),
		.r = { 0, 0, htole32(64), htole32(32) },
		.resource_id = htole32(7),
	};
	struct virtio_gpu_ctrl_hdr info = { .type = htole32(VIRTIO_GPU_CMD_GET_DISPLAY_INFO) };
	const size_t whole = sizeof(struct virtio_gpu_resp_display_info);

	screen_begin(screen);
	make_one(screen);
	for (size_t n = 1; n < sizeof(set); n++)
		assert_int_equal(screen_command(screen, &set, n, HEADER_BYTES),
				 ERR(INVALID_PARAMETER));
	assert_int_equal(screen_command(screen, &set, sizeof(set), HEADER_BYTES), OK);
	assert_int_equal(screen_command(screen, &set, sizeof(set), 0), 0);
	assert_int_equal(screen_command(screen, &set, sizeof(set), HEADER_BYTES - 1), 0);
	assert_int_equal(screen_command(screen, &info, sizeof(info), HEADER_BYTES - 1), 0);
	assert_int_equal(screen_command(screen, &info, sizeof(info), HEADER_BYTES),
			 ERR(INVALID_PARAMETER));
	assert_int_equal(screen_command(screen, &info, sizeof(info), whole - 1),
			 ERR(INVALID_PARAMETER));
	assert_int_equal(screen_command(screen, &info, sizeof(info), whole),
			 VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
}

static void unknown_types(void **state)
{
	struct screen *screen = *state;
	static const uint32_t types[] = {
		0, 1, 0x00ff, VIRTIO_GPU_CMD_UPDATE_CURSOR, 0x0110, MAX,
		/* Of features that are not offered. */
		VIRTIO_GPU_CMD_GET_CAPSET_INFO, VIRTIO_GPU_CMD_GET_CAPSET,
		VIRTIO_GPU_CMD_CTX_CREATE, VIRTIO_GPU_CMD_CTX_DESTROY,
		VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE, VIRTIO_GPU_CMD_CTX_DETACH_RESOURCE,
		VIRTIO_GPU_CMD_RESOURCE_CREATE_3D, VIRTIO_GPU_CMD_TRANSFER_TO_HOST_3D,
		VIRTIO_GPU_CMD_TRANSFER_FROM_HOST_3D, VIRTIO_GPU_CMD_SUBMIT_3D,
		VIRTIO_GPU_CMD_RESOURCE_MAP_BLOB, VIRTIO_GPU_CMD_RESOURCE_UNMAP_BLOB,
	};
	char command[256] = { 0 };

	screen_begin(screen);
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		uint32_t type = htole32(types[i]);

		memcpy(command, &type, sizeof(type));
		assert_int_equal(screen_command(screen, command, sizeof(command), 64), ERR(UNSPEC));
	}
}

static void features_not_taken(void **state)
{
	struct screen *screen = *state;
	static const uint32_t types[] = {
		VIRTIO_GPU_CMD_GET_EDID, VIRTIO_GPU_CMD_RESOURCE_ASSIGN_UUID,
		VIRTIO_GPU_CMD_RESOURCE_CREATE_BLOB, VIRTIO_GPU_CMD_SET_SCANOUT_BLOB,
	};
	char command[256] = { 0 };

	screen->refused = VHU_BIT(VIRTIO_GPU_F_EDID) | VHU_BIT(VIRTIO_GPU_F_RESOURCE_UUID) |
			  VHU_BIT(VIRTIO_GPU_F_RESOURCE_BLOB);
	screen_begin(screen);
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		uint32_t type = htole32(types[i]);

		memcpy(command, &type, sizeof(type));
		assert_int_equal(screen_command(screen, command, sizeof(command), 2048),
				 ERR(UNSPEC));
	}
}

/* As QEMU's front-end has it, which lets the driver have RING_RESET; others are refused. */
static void features_not_offered(void **state)
{
	struct screen *screen = *state;
	uint64_t features;

	screen_begin(screen);
	features = screen->frontend.acked_features;
	assert_false(screen->frontend.offered_features & VHU_BIT(VHU_F_RING_RESET));
	assert_int_equal(vhu_frontend_set_features(&screen->frontend,
						   features | VHU_BIT(VHU_F_RING_RESET)), 0);
	assert_int_equal(vhu_frontend_set_features(&screen->frontend, features | VHU_BIT(41)),
			 -EREMOTEIO);
}

/* 100,000 of them, and one of 4 GiB: there is an end, and nothing is lost by it. */
static void quotas(void **state)
{
	struct screen *screen = *state;
	static const char *const args[] = { "--max-resources", "1000", "--max-resource-mem", "64M",
					    NULL };
	unsigned rss_kib;

	screen_start(screen, args);
	screen_connect(screen, 0);
	assert_int_equal(screen_create(screen, 1, BGRX, 16384, 16384), ERR(OUT_OF_MEMORY));
	assert_int_equal(screen_create(screen, 1, BGRX, 4096, 4000), OK);
	assert_int_equal(screen_create(screen, 2, BGRX, 1024, 1024), ERR(OUT_OF_MEMORY));
	assert_int_equal(screen_unref(screen, 1), OK);
	rss_kib = program_rss_kib(&screen->program);
	for (uint32_t i = 1; i <= 100000; i++)
		assert_int_equal(screen_create(screen, i, BGRX, 8, 8),
				 i <= 1000 ? OK : ERR(OUT_OF_MEMORY));
	assert_true(program_rss_kib(&screen->program) < rss_kib + 20000 * SLOWNESS);
	for (uint32_t i = 1; i <= 1000; i++)
		assert_int_equal(screen_unref(screen, i), OK);
	assert_int_equal(screen_create(screen, 1, BGRX, 4096, 4000), OK);
	/* The entries of a backing count as well. */
	assert_int_equal(screen_unref(screen, 1), OK);
	assert_int_equal(screen_create(screen, 1, BGRX, 4096, 4090), OK);
	assert_int_equal(screen_attach(screen, 1, 0, 4096), OK);
}

static void display_info(void **state)
{
	struct screen *screen = *state;
	struct virtio_gpu_ctrl_hdr command = { .type = htole32(VIRTIO_GPU_CMD_GET_DISPLAY_INFO) };
	const struct virtio_gpu_resp_display_info *info;
	static const struct {
		bool plugged, dumb;
		uint32_t width, height;
	} cases[] = {
		{ false, false, 1280, 800 },
		{ true, false, 640, 480 },
		{ true, true, 1280, 800 },
	};

	screen_start(screen, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		screen_connect(screen, 0);
		if (cases[i].plugged)
			screen_plug(screen);
		if (cases[i].dumb)
			screen->monitor.dumb = true;
		info = screen->response.host;
		assert_int_equal(screen_command(screen, &command, sizeof(command), sizeof(*info)),
				 VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
		assert_int_equal(le32toh(info->pmodes[0].enabled), 1);
		if (!cases[i].dumb) {
			assert_int_equal(le32toh(info->pmodes[0].r.width), cases[i].width);
			assert_int_equal(le32toh(info->pmodes[0].r.height), cases[i].height);
		}
		for (unsigned k = 1; k < 16; k++)
			assert_int_equal(le32toh(info->pmodes[k].enabled), 0);
	}
}

/* Right behind the start, when the front-end has not been asked yet. */
static void edid_of_the_front_end(void **state)
{
	struct screen *screen = *state;
	struct virtio_gpu_cmd_get_edid get = { .hdr.type = htole32(VIRTIO_GPU_CMD_GET_EDID) };
	const struct virtio_gpu_resp_edid *edid;

	screen_start(screen, NULL);
	for (unsigned i = 0; i < 10; i++) {
		screen_connect(screen, 0);
		screen_plug(screen);
		edid = screen->response.host;
		assert_int_equal(screen_command(screen, &get, sizeof(get), sizeof(*edid)),
				 VIRTIO_GPU_RESP_OK_EDID);
		assert_int_equal(edid->edid[54 + 2] | (edid->edid[54 + 4] & 0xf0) << 4, 640);
		assert_int_equal(edid->edid[54 + 5] | (edid->edid[54 + 7] & 0xf0) << 4, 480);
	}
}

static void outputs(void **state)
{
	struct screen *screen = *state;
	static const char *const args[] = { "--output", "1920x1080,name=left", "--output",
					    "800x600@75", NULL };
	struct virtio_gpu_ctrl_hdr command = { .type = htole32(VIRTIO_GPU_CMD_GET_DISPLAY_INFO) };
	struct virtio_gpu_cmd_get_edid get = { .hdr.type = htole32(VIRTIO_GPU_CMD_GET_EDID) };
	const struct virtio_gpu_resp_display_info *info;
	const struct virtio_gpu_resp_edid *edid;
	struct virtio_gpu_config config;

	screen_start(screen, args);
	screen_connect(screen, 0);
	screen_plug(screen);
	assert_int_equal(vhu_frontend_get_config(&screen->frontend, 0, &config, sizeof(config)), 0);
	assert_int_equal(le32toh(config.num_scanouts), 2);
	assert_int_equal(le32toh(config.num_capsets), 0);
	info = screen->response.host;
	assert_int_equal(screen_command(screen, &command, sizeof(command), sizeof(*info)),
			 VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
	assert_int_equal(le32toh(info->pmodes[0].r.width), 1920);
	assert_int_equal(le32toh(info->pmodes[1].r.x), 1920);
	assert_int_equal(le32toh(info->pmodes[1].r.height), 600);
	assert_int_equal(le32toh(info->pmodes[2].enabled), 0);
	edid = screen->response.host;
	for (uint32_t i = 0; i < 16; i++) {
		get.scanout = htole32(i);
		assert_int_equal(screen_command(screen, &get, sizeof(get), sizeof(*edid)),
				 VIRTIO_GPU_RESP_OK_EDID);
		assert_int_equal(le32toh(edid->size) % 128, 0);
		assert_memory_equal(edid->edid, "\0\xff\xff\xff\xff\xff\xff\0", 8);
	}
	get.scanout = htole32(16);
	assert_int_equal(screen_command(screen, &get, sizeof(get), sizeof(*edid)),
			 ERR(INVALID_SCANOUT_ID));
}

/* Shared by its UUID: the pixels, also those that come later. */
static void uuids(void **state)
{
	struct screen *screen = *state;
	struct virtio_gpu_resource_assign_uuid command = {
		.hdr.type = htole32(VIRTIO_GPU_CMD_RESOURCE_ASSIGN_UUID),
		.resource_id = htole32(7),
	};
	const struct virtio_gpu_resp_resource_uuid *answer;
	uint32_t pixels[64 * 32];
	struct vhu_message message;
	uint8_t uuid[16];
	int fd, again;

	screen_begin(screen);
	make_one(screen);
	answer = screen->response.host;
	assert_int_equal(screen_command(screen, &command, sizeof(command), sizeof(*answer)),
			 VIRTIO_GPU_RESP_OK_RESOURCE_UUID);
	memcpy(uuid, answer->uuid, 16);
	assert_int_equal(vhu_frontend_next_request(&screen->frontend, &message), 0);
	assert_int_equal(message.header.request, VHU_BACKEND_SHARED_OBJECT_ADD);
	vhu_frontend_answer(&screen->frontend, &message, 0, -1);
	vhu_message_finish(&message);
	/* The same again. */
	assert_int_equal(screen_command(screen, &command, sizeof(command), sizeof(*answer)),
			 VIRTIO_GPU_RESP_OK_RESOURCE_UUID);
	assert_memory_equal(answer->uuid, uuid, 16);
	assert_int_equal(vhu_frontend_get_shared_object(&screen->frontend, uuid, &fd), 0);
	assert_true(fd >= 0);
	/* Who asks later takes nothing from who asked before. */
	assert_int_equal(vhu_frontend_get_shared_object(&screen->frontend, uuid, &again), 0);
	assert_true(again >= 0);
	close(again);
	assert_int_equal(screen_transfer(screen, 7, screen_rect(0, 0, 64, 32), 0), OK);
	assert_int_equal(pread(fd, pixels, sizeof(pixels), 0), sizeof(pixels));
	close(fd);
	for (uint32_t i = 0; i < 64 * 32; i++)
		assert_int_equal(le32toh(pixels[i]), screen_color(1, i % 64, i / 64));
	assert_int_equal(screen_unref(screen, 7), OK);
	assert_int_equal(vhu_frontend_next_request(&screen->frontend, &message), 0);
	assert_int_equal(message.header.request, VHU_BACKEND_SHARED_OBJECT_REMOVE);
	vhu_frontend_answer(&screen->frontend, &message, 0, -1);
	vhu_message_finish(&message);
	assert_int_equal(vhu_frontend_get_shared_object(&screen->frontend, uuid, &fd), 0);
	assert_int_equal(fd, -1);
	command.resource_id = htole32(8);
	assert_int_equal(screen_command(screen, &command, sizeof(command), sizeof(*answer)),
			 ERR(INVALID_RESOURCE_ID));
}

static void statistics_at_the_end(void **state)
{
	struct screen *screen = *state;
	static const char *const args[] = { "--stats", NULL };
	char *said;

	screen_start(screen, args);
	screen_connect(screen, 0);
	make_one(screen);
	assert_int_equal(screen_transfer(screen, 7, screen_rect(0, 0, 64, 16), 0), OK);
	assert_int_equal(screen_flush(screen, 8, screen_rect(0, 0, 1, 1)),
			 ERR(INVALID_RESOURCE_ID));
	assert_int_equal(screen_cursor(screen, VIRTIO_GPU_CMD_MOVE_CURSOR, 0, 0, 1, 1), OK);
	assert_int_equal(program_end(&screen->program), 0);
	said = program_said(&screen->program);
	assert_non_null(strstr(said, "{\"commands\": 5, \"errors\": 1, \"resources\": "));
	assert_non_null(strstr(said, ", \"transfer_bytes\": 4096, \"kinds\": {"
				     "\"RESOURCE_CREATE_2D\": 1, \"RESOURCE_FLUSH\": 1, "
				     "\"TRANSFER_TO_HOST_2D\": 1, \"RESOURCE_ATTACH_BACKING\": 1, "
				     "\"MOVE_CURSOR\": 1}, \"display\": {\"frames\": 0, "));
	free(said);
}

/* QEMU's usual card would be beside ours, and in front of it. */
static void qemu_lines(void **state)
{
	const char *build = getenv("VHU_BUILD");
	char command[256], text[1024];
	FILE *lines;
	size_t n;

	(void)state;
	snprintf(command, sizeof(command), "%s/cli/vhu-gpu --socket-path /g --print-qemu-args",
		 build ? build : ".");
	lines = popen(command, "r");
	assert_non_null(lines);
	n = fread(text, 1, sizeof(text) - 1, lines);
	text[n] = '\0';
	assert_int_equal(pclose(lines), 0);
	assert_non_null(strstr(text, "-vga none \\\n-device vhost-user-gpu-pci,chardev=vhu0\n"));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(qemu_lines),
		SCREEN_TEST(creations),
		SCREEN_TEST(backings),
		SCREEN_TEST(transfers),
		SCREEN_TEST(scanouts),
		SCREEN_TEST(cursors),
		SCREEN_TEST(pieces),
		SCREEN_TEST(unknown_types),
		SCREEN_TEST(features_not_taken),
		SCREEN_TEST(features_not_offered),
		SCREEN_TEST(quotas),
		SCREEN_TEST(display_info),
		SCREEN_TEST(edid_of_the_front_end),
		SCREEN_TEST(outputs),
		SCREEN_TEST(uuids),
		SCREEN_TEST(statistics_at_the_end),
	};

	signal(SIGPIPE, SIG_IGN);
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
