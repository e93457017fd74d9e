/* SPDX-License-Identifier: BSD-3-Clause */
/* The config space, and an image that changes or fails under the disk (blk.md). */
#include <endian.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/fd.h"
#include "common/base/num.h"
#include "tests/device/disk.h"

#define WCE_AT offsetof(struct virtio_blk_config, wce)

static struct disk open_running_disk(struct scene *scene)
{
	struct disk disk;

	scene_ring(scene);
	disk_open(&disk, scene);
	return disk;
}

static struct virtio_blk_config get_config(struct scene *scene)
{
	struct virtio_blk_config config;

	assert_int_equal(vhu_frontend_get_config(&scene->frontend, 0, &config, sizeof(config)), 0);
	return config;
}

static uint64_t capacity(struct scene *scene)
{
	return le64toh(get_config(scene).capacity);
}

static void config_describes_the_disk(void **state)
{
	struct scene *scene = *state;
	struct virtio_blk_config config;
	uint64_t features;

	scene_negotiate(scene);
	config = get_config(scene);
	features = scene->frontend.offered_features;
	for (unsigned bit = VIRTIO_BLK_F_SIZE_MAX; bit <= VIRTIO_BLK_F_WRITE_ZEROES; bit++)
		if (bit != VIRTIO_BLK_F_RO && bit != VIRTIO_BLK_F_GEOMETRY && bit != 0 &&
		    bit != 3 && bit != VIRTIO_BLK_F_SCSI && bit != 8)
			assert_true(features & VHU_BIT(bit));
	assert_false(features & VHU_BIT(VIRTIO_BLK_F_RO));
	assert_false(features & VHU_BIT(VIRTIO_BLK_F_SCSI));
	assert_true(le64toh(config.capacity) == IMAGE_BYTES / SECTOR);
	assert_int_equal(le32toh(config.blk_size), 512);
	assert_true(le32toh(config.seg_max) >= 1 && le32toh(config.seg_max) <= 126);
	assert_true(le32toh(config.size_max) >= 4096);
	assert_int_equal(le16toh(config.num_queues), 8);
	assert_int_equal(config.wce, 1);
	assert_true(le16toh(config.min_io_size) >= 1);
	/* Zeros here take a Windows guest down. */
	assert_true(le32toh(config.max_discard_sectors) && le32toh(config.max_discard_seg));
	assert_true(le32toh(config.discard_sector_alignment));
	assert_true(le32toh(config.max_write_zeroes_sectors) &&
		    le32toh(config.max_write_zeroes_seg));
	assert_int_equal(config.write_zeroes_may_unmap, 1);
}

static int set_wce(struct scene *scene, uint8_t value)
{
	return vhu_frontend_set_config(&scene->frontend, WCE_AT, 0, &value, 1);
}

static void write_cache_is_switched(void **state)
{
	struct scene *scene = *state;
	struct disk disk = open_running_disk(scene);

	for (unsigned i = 0; i < 6; i++) {
		uint8_t on = i % 2;

		assert_int_equal(set_wce(scene, on), 0);
		assert_int_equal(get_config(scene).wce, on);
		fill_pattern(disk.data.host, 8192, i);
		assert_int_equal(disk_run(&disk, VIRTIO_BLK_T_OUT, i, 8192, 0), 0);
		image_read(&disk, i * SECTOR, disk.data.host, 8192);
		assert_true(is_pattern(disk.data.host, 8192, i));
	}
	expect_refused(&scene->frontend, set_wce(scene, 2));
	expect_refused(&scene->frontend, set_wce(scene, 0xff));
	assert_int_equal(get_config(scene).wce, 1);
	assert_int_equal(set_wce(scene, 0), 0);
	assert_int_equal(vhu_frontend_tell(&scene->frontend, VHU_RESET_DEVICE), 0);
	assert_int_equal(get_config(scene).wce, 0);
	disk_close(&disk);
}

/* The next driver reads the mode; QEMU tells it the last one that was set. */
static void silent_reset_keeps_the_write_cache(void **state)
{
	struct scene *scene = *state;

	scene_ring(scene);
	scene_io(scene, &scene->driver);
	assert_int_equal(set_wce(scene, 0), 0);
	/* A pause is none. */
	assert_int_equal(vhu_driver_stop(&scene->driver), 0);
	assert_int_equal(vhu_driver_start(&scene->driver), 0);
	scene_io(scene, &scene->driver);
	assert_int_equal(get_config(scene).wce, 0);
	assert_int_equal(vhu_driver_stop(&scene->driver), 0);
	vhu_driver_reset(&scene->driver);
	assert_int_equal(vhu_driver_start(&scene->driver), 0);
	scene_io(scene, &scene->driver);
	assert_int_equal(get_config(scene).wce, 0);
}

static void expect_config_change(struct scene *scene)
{
	struct vhu_message message;

	assert_int_equal(vhu_frontend_next_request(&scene->frontend, &message), 0);
	assert_int_equal(message.header.request, VHU_BACKEND_CONFIG_CHANGE_MSG);
	assert_int_equal(message.header.size, 0);
	/* Nobody waits for the front-end. */
	assert_false(message.header.flags & VHU_FLAG_NEED_REPLY);
	vhu_message_finish(&message);
}

static void resize(struct disk *disk, uint64_t bytes)
{
	assert_int_equal(ftruncate(disk->image_fd, (off_t)bytes), 0);
	assert_int_equal(kill(disk->scene->program.pid, SIGHUP), 0);
}

static void resize_is_told(void **state)
{
	struct scene *scene = *state;
	struct disk disk = open_running_disk(scene);
	uint64_t old = IMAGE_BYTES / SECTOR;

	assert_int_equal(disk_run(&disk, VIRTIO_BLK_T_IN, old, 0, 512), VIRTIO_BLK_S_IOERR);
	resize(&disk, 2 * IMAGE_BYTES);
	expect_config_change(scene);
	assert_true(capacity(scene) == 2 * old);
	/* What is new can be used, by reads, by writes and by many of them. */
	assert_int_equal(disk_run(&disk, VIRTIO_BLK_T_IN, old, 0, 65536), VIRTIO_BLK_S_OK);
	assert_true(is_filled(disk.data.host, 65536, 0));
	for (uint32_t i = 0; i < 8; i++) {
		fill_pattern(disk.data.host, DATA_BYTES, i);
		assert_int_equal(disk_run(&disk, VIRTIO_BLK_T_OUT, old + i * 2048, DATA_BYTES, 0),
				 VIRTIO_BLK_S_OK);
		assert_int_equal(disk_run(&disk, VIRTIO_BLK_T_IN, old + i * 2048, 0, DATA_BYTES),
				 VIRTIO_BLK_S_OK);
		assert_true(is_pattern(disk.data.host, DATA_BYTES, i));
	}
	resize(&disk, IMAGE_BYTES / 2);
	expect_config_change(scene);
	assert_true(capacity(scene) == old / 2);
	assert_int_equal(disk_run(&disk, VIRTIO_BLK_T_IN, old / 2, 0, 512), VIRTIO_BLK_S_IOERR);
	assert_int_equal(disk_run(&disk, VIRTIO_BLK_T_OUT, old, 512, 0), VIRTIO_BLK_S_IOERR);
	disk_close(&disk);
}

/* Nobody sends a signal. */
static void growth_is_noticed(void **state)
{
	struct scene *scene = *state;
	struct disk disk = open_running_disk(scene);

	assert_int_equal(ftruncate(disk.image_fd, 2 * IMAGE_BYTES), 0);
	expect_config_change(scene);
	assert_true(capacity(scene) == 2 * IMAGE_BYTES / SECTOR);
	disk_close(&disk);
}

/* A size that is no multiple of a sector is rounded down. */
static void odd_sizes_are_rounded(void **state)
{
	struct scene *scene = *state;
	struct disk disk = open_running_disk(scene);

	resize(&disk, IMAGE_BYTES + 512 + 511);
	expect_config_change(scene);
	assert_true(capacity(scene) == IMAGE_BYTES / SECTOR + 1);
	disk_close(&disk);
}

/* All rings stopped: no message to the front-end; one when the first ring has started. */
static void suspended_disks_are_silent(void **state)
{
	struct scene *scene = *state;
	struct disk disk = open_running_disk(scene);
	struct vhu_message message;

	assert_int_equal(vhu_driver_stop(&scene->driver), 0);
	for (unsigned i = 1; i < 4; i++)
		resize(&disk, IMAGE_BYTES + i * 4096);
	scene->frontend.timeout_ms = 200;
	assert_int_equal(vhu_frontend_next_request(&scene->frontend, &message), -ETIMEDOUT);
	scene->frontend.timeout_ms = 20000;
	assert_int_equal(vhu_driver_start(&scene->driver), 0);
	expect_config_change(scene);
	assert_true(capacity(scene) == IMAGE_BYTES / SECTOR + 24);
	scene->frontend.timeout_ms = 100;
	assert_int_equal(vhu_frontend_next_request(&scene->frontend, &message), -ETIMEDOUT);
	scene->frontend.timeout_ms = 20000;
	disk_close(&disk);
}

/* A channel that nobody reads, and many changes: they are told once when told at all. */
static void unread_changes_block_nobody(void **state)
{
	struct scene *scene = *state;
	struct disk disk = open_running_disk(scene);

	for (unsigned i = 1; i < 300; i++) {
		resize(&disk, IMAGE_BYTES + i % 2 * 4096);
		if (i % 16 == 0)
			scene_io(scene, &scene->driver);
	}
	expect_config_change(scene);
	scene_io(scene, &scene->driver);
	disk_close(&disk);
}

/* Written and read so often that an engine which maps will have mapped it. */
static void warm_up(struct disk *disk)
{
	for (uint32_t i = 0; i < 8; i++) {
		fill_pattern(disk->data.host, DATA_BYTES, i);
		assert_int_equal(disk_run(disk, VIRTIO_BLK_T_OUT, i * 2048, DATA_BYTES, 0), 0);
	}
	for (uint32_t i = 0; i < 32; i++) {
		assert_int_equal(disk_run(disk, VIRTIO_BLK_T_IN, i % 8 * 2048, 0, DATA_BYTES), 0);
		assert_true(is_pattern(disk->data.host, DATA_BYTES, i % 8));
	}
}

/* Requests fail, the ring and the session live; and go on when the image is back. */
static void truncated_images_are_errors(void **state)
{
	struct scene *scene = *state;
	struct disk disk = open_running_disk(scene);

	for (unsigned round = 0; round < 3; round++) {
		warm_up(&disk);
		assert_int_equal(ftruncate(disk.image_fd, 4096), 0);
		for (uint32_t i = 1; i < 8; i++) {
			assert_int_equal(disk_run(&disk, VIRTIO_BLK_T_IN, i * 2048, 0, DATA_BYTES),
					 VIRTIO_BLK_S_IOERR);
			assert_int_equal(disk_run(&disk, VIRTIO_BLK_T_IN, i * 2048, 0, 4096),
					 VIRTIO_BLK_S_IOERR);
		}
		assert_int_equal(disk_run(&disk, VIRTIO_BLK_T_IN, 0, 0, 4096), VIRTIO_BLK_S_OK);
		assert_true(is_pattern(disk.data.host, 4096, 0));
		resize(&disk, IMAGE_BYTES);
		assert_true(capacity(scene) == IMAGE_BYTES / SECTOR);
		assert_int_equal(disk_run(&disk, VIRTIO_BLK_T_IN, 2048, 0, DATA_BYTES), 0);
		assert_true(is_filled(disk.data.host, DATA_BYTES, 0));
	}
	disk_close(&disk);
}

/* Writes behind the cut either fail or make the file longer; never is an OK a lie. */
static void truncated_images_take_no_lies(void **state)
{
	struct scene *scene = *state;
	struct disk disk = open_running_disk(scene);
	uint8_t image[4096];

	warm_up(&disk);
	assert_int_equal(ftruncate(disk.image_fd, 4096), 0);
	for (uint32_t i = 1; i < 64; i++) {
		int status;

		fill_pattern(disk.data.host, 4096, i + 100);
		status = disk_run(&disk, VIRTIO_BLK_T_OUT, i * 8, 4096, 0);
		assert_true(status == VIRTIO_BLK_S_OK || status == VIRTIO_BLK_S_IOERR);
		if (status != VIRTIO_BLK_S_OK)
			continue;
		image_read(&disk, i * 4096, image, sizeof(image));
		assert_true(is_pattern(image, sizeof(image), i + 100));
	}
	disk_close(&disk);
}

/* A file system with no room left, in a mount name space of our own. */
static void full_file_systems_are_errors(void **state)
{
	struct scene *scene = *state;
	const char *const args[] = { "--file", "DIR/mnt/image", "--create", "16M", NULL };
	const struct virtio_blk_discard_write_zeroes all = { 0, htole32(16 * 2048), 0 };
	struct disk disk;
	char mnt[64];
	uint32_t ok = 0, failed = 0, i;

	snprintf(mnt, sizeof(mnt), "%s/mnt", scene->program.dir);
	assert_int_equal(mkdir(mnt, 0700), 0);
	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", mnt, "tmpfs", 0, "size=4M") < 0)
		skip();
	assert_int_equal(program_end(&scene->program), 0);
	program_start(&scene->program, scene->target->path, args);
	disk = open_running_disk(scene);
	for (i = 0; i < 16; i++) {
		int status;

		fill_pattern(disk.data.host, DATA_BYTES, i);
		status = disk_run(&disk, VIRTIO_BLK_T_OUT, i * 2048, DATA_BYTES, 0);
		ok += status == VIRTIO_BLK_S_OK;
		failed += status == VIRTIO_BLK_S_IOERR;
		/* What was answered with OK is there. */
		if (status == VIRTIO_BLK_S_OK) {
			assert_int_equal(disk_run(&disk, VIRTIO_BLK_T_IN, i * 2048, 0, DATA_BYTES),
					 0);
			assert_true(is_pattern(disk.data.host, DATA_BYTES, i));
		}
	}
	assert_int_equal(ok + failed, 16);
	assert_true(ok >= 2 && failed >= 8);
	/* Holes are read, and what is discarded makes room. */
	assert_int_equal(disk_run(&disk, VIRTIO_BLK_T_IN, 15 * 2048 + 2040, 0, 4096), 0);
	assert_int_equal(disk_run_segments(&disk, VIRTIO_BLK_T_DISCARD, &all, 1), 0);
	assert_int_equal(disk_run(&disk, VIRTIO_BLK_T_OUT, 15 * 2048, DATA_BYTES, 0), 0);
	disk_close(&disk);
	vhu_frontend_disconnect(&scene->frontend);
	assert_int_equal(program_end(&scene->program), 0);
	assert_int_equal(umount(mnt), 0);
}

int main(int argc, char **argv)
{
	static const struct device_test tests[] = {
		DEVICE_TEST(config_describes_the_disk, ON_IMAGE),
		DEVICE_TEST(write_cache_is_switched, ON_IMAGE),
		DEVICE_TEST(silent_reset_keeps_the_write_cache, ON_IMAGE),
		DEVICE_TEST(resize_is_told, ON_IMAGE),
		DEVICE_TEST(growth_is_noticed, ON_IMAGE),
		DEVICE_TEST(odd_sizes_are_rounded, ON_IMAGE),
		DEVICE_TEST(suspended_disks_are_silent, ON_IMAGE),
		DEVICE_TEST(unread_changes_block_nobody, ON_IMAGE),
		DEVICE_TEST(truncated_images_are_errors, ON_IMAGE),
		DEVICE_TEST(truncated_images_take_no_lies, ON_IMAGE),
		DEVICE_TEST(full_file_systems_are_errors, ON_IMAGE),
	};

	return run_device_tests(tests, ARRAY_SIZE(tests), argc, argv);
}
