/* SPDX-License-Identifier: BSD-3-Clause */
/* SIGTERM ends a busy program quickly and cleanly (vhost-user, Backend program conventions). */
#include <endian.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/num.h"
#include "tests/device/disk.h"
#include "tests/device/load.h"

#define ON_ALL (ON_BOTH | ON_IMAGE)

static void expect_end(struct scene *scene)
{
	/* Within END_MS, with status 0. */
	assert_int_equal(program_end(&scene->program), 0);
	assert_int_not_equal(access(scene->program.socket, F_OK), 0);
}

static void under_load(void **state)
{
	struct scene *scene = *state;
	struct load load;

	scene_ring(scene);
	load_begin(&load, scene);
	sleep_ms(50);
	expect_end(scene);
	load_wait(&load);
	/* The driver sees the connection go; until then all was in order. */
	assert_int_equal(load.error, -ECONNRESET);
	assert_true(load.done > 0);
}

/* The front-end waits for a ring to be drained, and the program for its requests. */
static void amid_a_stop(void **state)
{
	struct scene *scene = *state;
	const struct vhu_vring_state index = { 0, 0 };

	scene_ring(scene);
	for (unsigned i = 0; i < RING_SIZE; i++)
		assert_true(scene_add(scene, &scene->driver, i) >= 0);
	assert_true(vhu_driver_kick(&scene->driver) >= 0);
	send_raw(&scene->frontend, VHU_GET_VRING_BASE, VHU_VERSION, &index, sizeof(index), NULL, 0);
	expect_end(scene);
}

/* In the middle of a message, and with others in the queue for a connection. */
static void amid_a_message(void **state)
{
	struct scene *scene = *state;
	struct vhu_frontend others[4];

	scene_negotiate(scene);
	assert_int_equal(vhu_frontend_send_bytes(&scene->frontend, "\1\0\0\0\1", 5, NULL, 0), 0);
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		vhu_frontend_init(&others[i]);
		assert_int_equal(vhu_frontend_connect(&others[i], scene->program.socket), 0);
	}
	expect_end(scene);
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		vhu_frontend_finish(&others[i]);
}

/* Large writes in flight: what was answered is in the image, and the image is whole. */
static void amid_writes(void **state)
{
	struct scene *scene = *state;
	struct vhu_driver_used used;
	struct disk disk;

	scene_ring(scene);
	disk_open(&disk, scene);
	for (unsigned i = 0; i < 20; i++) {
		const struct virtio_blk_outhdr header = { htole32(VIRTIO_BLK_T_OUT), 0,
							  htole64(i * 2048) };
		struct vhu_guest_buffer buffers[3] = { disk.header, disk.data, disk.status };

		buffers[0] = vhu_guest_alloc(&scene->frontend.guest, sizeof(header), 16);
		buffers[2] = vhu_guest_alloc(&scene->frontend.guest, 1, 1);
		assert_non_null(buffers[2].host);
		memcpy(buffers[0].host, &header, sizeof(header));
		assert_true(vhu_driver_add(&scene->driver, buffers, 2, 1, i) >= 0);
	}
	fill_pattern(disk.data.host, DATA_BYTES, 7);
	assert_true(vhu_driver_kick(&scene->driver) >= 0);
	expect_end(scene);
	while (vhu_driver_get(&scene->driver, &used) > 0) {
		static uint8_t image[DATA_BYTES];

		image_read(&disk, used.token * DATA_BYTES, image, sizeof(image));
		assert_true(is_pattern(image, sizeof(image), 7));
	}
	disk_close(&disk);
}

/* A front-end that is killed while the device works for it leaves nothing behind. */
static void frontends_are_killed_under_load(void **state)
{
	struct scene *scene = *state;

	for (unsigned round = 0; round < 5; round++) {
		int status;
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (pid == 0) {
			scene_ring(scene);
			for (;;)
				scene_io(scene, &scene->driver);
		}
		sleep_ms(30 * SLOWNESS);
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		scene_serves(scene);
	}
}

int main(int argc, char **argv)
{
	static const struct device_test tests[] = {
		DEVICE_TEST(under_load, ON_ALL),
		DEVICE_TEST(amid_a_stop, ON_ALL),
		DEVICE_TEST(amid_a_message, ON_ALL),
		DEVICE_TEST(amid_writes, ON_IMAGE),
		DEVICE_TEST(frontends_are_killed_under_load, ON_ALL),
	};

	return run_device_tests(tests, ARRAY_SIZE(tests), argc, argv);
}
