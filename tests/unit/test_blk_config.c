/* SPDX-License-Identifier: BSD-3-Clause */

/* The disk as a device: features, config space (virtio 1.3, 5.2.4), resize, statistics. */

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/backend/device.h"
#include "common/backend/slots.h"
#include "common/base/log.h"
#include "common/base/num.h"
#include "devices/blk/blk.h"
#include "devices/blk/request.h"
#include "tests/unit/capture.h"

#define WCE_AT offsetof(struct virtio_blk_config, wce)
#define MIB (1ull << 20)

static char path[64];

static struct vhu_device *open_disk(const struct vhu_blk_options *options)
{
	struct vhu_blk_options o = *options;
	struct vhu_device *device;
	int fd;

	if (strcmp(o.engine, "null")) {
		snprintf(path, sizeof(path), "/tmp/vhu-blk-config.XXXXXX");
		fd = mkstemp(path);
		assert_true(fd >= 0);
		assert_int_equal(ftruncate(fd, 4 * MIB), 0);
		close(fd);
		o.file = path;
	}
	assert_int_equal(vhu_blk_new(&o, &device), 0);
	return device;
}

static void close_disk(struct vhu_device *device)
{
	vhu_device_unref(device);
	unlink(path);
}

static struct virtio_blk_config config_of(struct vhu_device *device)
{
	struct virtio_blk_config config;

	assert_int_equal(vhu_device_get_config(device, 0, sizeof(config), (uint8_t *)&config), 0);
	return config;
}

static void what_is_offered(void **state)
{
	const uint64_t always = VHU_BLK_FEATURE(SIZE_MAX) | VHU_BLK_FEATURE(SEG_MAX) |
				VHU_BLK_FEATURE(BLK_SIZE) | VHU_BLK_FEATURE(TOPOLOGY) |
				VHU_BLK_FEATURE(MQ) | VHU_BLK_FEATURE(FLUSH) |
				VHU_BLK_FEATURE(CONFIG_WCE);
	struct vhu_blk_options o = vhu_blk_defaults;
	struct vhu_device *device = open_disk(&o);

	(void)state;
	assert_int_equal(device->ops->features(device),
			 always | VHU_BLK_FEATURE(DISCARD) | VHU_BLK_FEATURE(WRITE_ZEROES));
	close_disk(device);
	o.discard = VHU_BLK_DISCARD_IGNORE;
	device = open_disk(&o);
	assert_int_equal(device->ops->features(device), always | VHU_BLK_FEATURE(WRITE_ZEROES));
	assert_int_equal(config_of(device).write_zeroes_may_unmap, 0);
	close_disk(device);
	o.read_only = true;
	device = open_disk(&o);
	assert_int_equal(device->ops->features(device), always | VHU_BLK_FEATURE(RO));
	close_disk(device);
}

static void the_config_space(void **state)
{
	struct vhu_blk_options o = vhu_blk_defaults;
	struct vhu_device *device = open_disk(&o);
	struct virtio_blk_config c = config_of(device);

	(void)state;
	assert_int_equal(le64toh(c.capacity), 4 * MIB / 512);
	assert_int_equal(le32toh(c.blk_size), 512);
	assert_int_equal(le32toh(c.seg_max), 126);
	assert_true(le32toh(c.size_max) >= 65536);
	assert_int_equal(le16toh(c.num_queues), 64);
	assert_int_equal(c.wce, 1);
	assert_int_equal(le16toh(c.min_io_size) % (1u << c.physical_block_exp), 0);
	/* Zeros here stop a Windows guest. */
	assert_true(c.max_discard_sectors && c.max_discard_seg && c.discard_sector_alignment);
	assert_true(c.max_write_zeroes_sectors && c.max_write_zeroes_seg);
	assert_true(c.max_secure_erase_sectors && c.max_secure_erase_seg &&
		    c.secure_erase_sector_alignment);
	assert_int_equal(c.write_zeroes_may_unmap, 1);
	close_disk(device);

	o.block_size = 4096;
	o.num_queues = 3;
	o.queue_size = 16;
	o.cache = VHU_BLK_WRITETHROUGH;
	device = open_disk(&o);
	c = config_of(device);
	assert_int_equal(le64toh(c.capacity), 4 * MIB / 512);
	assert_int_equal(le32toh(c.blk_size), 4096);
	assert_int_equal(c.physical_block_exp, 0);
	assert_int_equal(le32toh(c.seg_max), 14);
	assert_int_equal(le16toh(c.num_queues), 3);
	assert_int_equal(c.wce, 0);
	assert_int_equal(le32toh(c.discard_sector_alignment), 8);
	assert_int_equal(device->n_queues, 3);
	assert_int_equal(device->n_workers, 3);
	assert_int_equal(device->queue_size_max, 16);
	close_disk(device);
}

/* In any portions, and zeros past its end. */
static void portions(void **state)
{
	struct vhu_device *device = open_disk(&vhu_blk_defaults);
	struct virtio_blk_config c = config_of(device);
	uint8_t buf[256];

	(void)state;
	for (uint32_t offset = 0; offset < sizeof(buf); offset++) {
		uint32_t size = (uint32_t)sizeof(buf) - offset;

		assert_int_equal(vhu_device_get_config(device, offset, size, buf), 0);
		for (uint32_t i = 0; i < size; i++)
			assert_int_equal(buf[i], offset + i < sizeof(c) ?
							 ((uint8_t *)&c)[offset + i] : 0);
	}
	close_disk(device);
}

static int set(struct vhu_device *device, uint32_t offset, uint32_t size, const void *bytes)
{
	return vhu_device_set_config(device, offset, size, bytes, 0);
}

static void only_the_cache_mode_can_be_set(void **state)
{
	struct vhu_device *device = open_disk(&vhu_blk_defaults);
	struct virtio_blk_config c;
	uint8_t byte;

	(void)state;
	byte = 0;
	assert_int_equal(set(device, WCE_AT, 1, &byte), 0);
	assert_int_equal(config_of(device).wce, 0);
	byte = 2;
	assert_int_equal(set(device, WCE_AT, 1, &byte), -EINVAL);
	assert_int_equal(config_of(device).wce, 0);

	/* All of it with one byte changed: that one must be the mode. */
	for (uint32_t i = 0; i < sizeof(c); i++) {
		c = config_of(device);
		assert_int_equal(set(device, 0, sizeof(c), &c), 0);
		((uint8_t *)&c)[i] ^= 1;
		assert_int_equal(set(device, 0, sizeof(c), &c), i == WCE_AT ? 0 : -EINVAL);
		if (i != WCE_AT) {
			byte = ((uint8_t *)&c)[i];
			assert_int_equal(set(device, i, 1, &byte), -EINVAL);
		}
	}
	/* A mode that comes with a change that is refused is not taken. */
	c = config_of(device);
	c.wce ^= 1;
	c.num_queues ^= 1;
	assert_int_equal(set(device, 0, sizeof(c), &c), -EINVAL);
	assert_int_equal(config_of(device).wce, c.wce ^ 1);
	/* Past the end are zeros. */
	byte = 0;
	assert_int_equal(set(device, 200, 1, &byte), 0);
	byte = 1;
	assert_int_equal(set(device, 200, 1, &byte), -EINVAL);
	close_disk(device);
}

/* What the driver set last: QEMU goes on to tell it that, whatever we think. */
static void the_cache_mode_survives_a_reset(void **state)
{
	static const unsigned modes[] = { VHU_BLK_WRITEBACK, VHU_BLK_WRITETHROUGH };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		struct vhu_blk_options o = vhu_blk_defaults;
		uint8_t first = modes[i] == VHU_BLK_WRITEBACK, other = !first;
		struct vhu_device *device;

		o.cache = modes[i];
		device = open_disk(&o);
		assert_int_equal(config_of(device).wce, first);
		assert_int_equal(set(device, WCE_AT, 1, &other), 0);
		assert_int_equal(config_of(device).wce, other);
		vhu_device_reset_device(device);
		assert_int_equal(config_of(device).wce, other);
		close_disk(device);
	}
}

/* Blocks of 512 bytes up to the file system's next block. */
static void alignment_of_a_part(void **state)
{
	static const struct {
		unsigned offset, block, blocks;
	} cases[] = { { 0, 512, 0 }, { 512, 512, 7 }, { 3584, 512, 1 }, { 4096, 512, 0 },
		      { 5120, 1024, 3 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct vhu_blk_options o = vhu_blk_defaults;
		struct virtio_blk_config c;
		struct vhu_device *device;

		o.offset = cases[i].offset;
		o.size = MIB;
		o.block_size = cases[i].block;
		device = open_disk(&o);
		c = config_of(device);
		/* The file system's blocks may be others than those of 4096 bytes. */
		if (cases[i].block << c.physical_block_exp == 4096)
			assert_int_equal(c.alignment_offset, cases[i].blocks);
		assert_int_equal((c.alignment_offset * cases[i].block + o.offset) %
				 (cases[i].block << c.physical_block_exp), 0);
		close_disk(device);
	}
}

/* A file of a tmpfs that cannot be mapped for writing: auto takes the other engine. */
static void no_mapping_to_be_had(void **state)
{
	struct vhu_blk_options o = vhu_blk_defaults;
	int fd = memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct vhu_device *device;
	struct capture capture;
	char name[64];

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, MIB), 0);
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE) < 0)
		skip();
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	o.file = name;
	assert_int_equal(vhu_blk_new(&o, &device), 0);
	capture_begin(&capture, STDERR_FILENO);
	vhu_blk_print_stats(device, stderr);
	assert_non_null(strstr(capture_end(&capture), "\"engine\": \"sync\""));
	vhu_device_unref(device);
	o.engine = "mmap";
	capture_begin(&capture, STDERR_FILENO);
	assert_true(vhu_blk_new(&o, &device) < 0);
	capture_end_line(&capture, "engine mmap cannot serve it");
	close(fd);
}

static void another_size(void **state)
{
	struct vhu_device *device = open_disk(&vhu_blk_defaults);

	(void)state;
	assert_int_equal(truncate(path, 8 * MIB + 100), 0);
	vhu_blk_check_size(device);
	assert_int_equal(le64toh(config_of(device).capacity), 8 * MIB / 512);
	/* Who asks is told the size as it is. */
	assert_int_equal(truncate(path, MIB), 0);
	assert_int_equal(le64toh(config_of(device).capacity), MIB / 512);
	close_disk(device);
}

static void the_null_disk(void **state)
{
	struct vhu_blk_options o = vhu_blk_defaults;
	struct vhu_device *device;

	(void)state;
	o.engine = "null";
	o.size = 1ull << 40;
	device = open_disk(&o);
	vhu_blk_check_size(device);
	assert_int_equal(le64toh(config_of(device).capacity), 1ull << 31);
	assert_false(device->ops->features(device) & VHU_BLK_FEATURE(SECURE_ERASE));
	vhu_device_unref(device);
}

static void statistics(void **state)
{
	struct vhu_device *device = open_disk(&vhu_blk_defaults);
	struct capture capture;
	char wanted[160];

	(void)state;
	snprintf(wanted, sizeof(wanted), "{\"device\": \"blk\", \"file\": \"%s\", ", path);
	capture_begin(&capture, STDERR_FILENO);
	vhu_blk_print_stats(device, stderr);
	assert_ptr_equal(strstr(capture_end(&capture), wanted), capture.text);
	assert_string_equal(strstr(capture.text, "\"queues\": "), "\"queues\": []}");
	close_disk(device);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_offered),
		cmocka_unit_test(the_config_space),
		cmocka_unit_test(portions),
		cmocka_unit_test(only_the_cache_mode_can_be_set),
		cmocka_unit_test(the_cache_mode_survives_a_reset),
		cmocka_unit_test(alignment_of_a_part),
		cmocka_unit_test(no_mapping_to_be_had),
		cmocka_unit_test(another_size),
		cmocka_unit_test(the_null_disk),
		cmocka_unit_test(statistics),
	};

	vhu_log_set_level(VHU_LOG_WARNING);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
