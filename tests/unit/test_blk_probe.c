/* SPDX-License-Identifier: BSD-3-Clause */

/* What a disk is said to hold, by libblkid and by sysfs, and how it is printed. */

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
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/log.h"
#include "common/base/num.h"
#include "devices/blk/image.h"
#include "devices/blk/sysfs.h"
#include "tests/unit/capture.h"
#include "tests/unit/loop_device.h"

#define DISK_BYTES (8ull << 20)
#define PART_SECTOR 2048u
#define PART_SECTORS 4096u
#define PART_BYTES (PART_SECTORS * 512u)

static char folder[] = "/tmp/vhu-blk-probe.XXXXXX";
static char path[64];
static int fd;

static void put(uint64_t offset, const void *bytes, size_t n)
{
	assert_int_equal(pwrite(fd, bytes, n, (off_t)offset), n);
}

static void put_le32(uint64_t offset, uint32_t value)
{
	value = htole32(value);
	put(offset, &value, sizeof(value));
}

/* Swap space: a page with its signature at the end (mkswap(8)). */
static void put_swap(uint64_t offset)
{
	static const uint8_t uuid[16] = { 0xc0, 0xff, 0xee, 0, 1, 2,  3,  4,
					  5,	6,    7,    8, 9, 10, 11, 12 };

	put_le32(offset + 1024, 1);
	put_le32(offset + 1028, PART_BYTES / 4096 - 1);
	put(offset + 1036, uuid, sizeof(uuid));
	put(offset + 1052, "a \"label\"", 9);
	put(offset + 4096 - 10, "SWAPSPACE2", 10);
}

/* A DOS partition table with one partition, counted in blocks. */
static void put_table(uint32_t block_bytes)
{
	put_le32(440, 0x1234abcd);
	put(446 + 4, "\x82", 1);
	put_le32(446 + 8, PART_SECTOR * 512 / block_bytes);
	put_le32(446 + 12, PART_BYTES / block_bytes);
	put(510, "\x55\xaa", 2);
}

static int set_up(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/a\"b\\c", folder);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, DISK_BYTES) < 0)
		return -1;
	put_table(512);
	put_swap(PART_SECTOR * 512);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	close(fd);
	unlink(path);
	return rmdir(folder);
}

/* Built without libblkid there is nothing to see here. */
static struct vhu_blk_content probe(uint64_t offset, uint64_t size)
{
	struct vhu_blk_content content;
	int r = vhu_blk_probe_content(fd, offset, size, 512, &content);

	if (r == -EOPNOTSUPP)
		skip();
	assert_int_equal(r, 0);
	return content;
}

static void a_partitioned_disk(void **state)
{
	struct vhu_blk_content content = probe(0, 0);
	const struct vhu_blk_partition *part = &content.partitions[0];

	(void)state;
	assert_string_equal(content.table, "dos");
	assert_string_equal(content.table_uuid, "1234abcd");
	assert_string_equal(content.type, "");
	assert_int_equal(content.n_partitions, 1);
	assert_int_equal(part->number, 1);
	assert_int_equal(part->offset_bytes, PART_SECTOR * 512);
	assert_int_equal(part->size_bytes, PART_BYTES);
	assert_string_equal(part->type, "0x82");
	assert_string_equal(part->uuid, "1234abcd-01");
}

static void what_is_in_a_partition(void **state)
{
	struct vhu_blk_content content = probe(PART_SECTOR * 512, PART_BYTES);

	(void)state;
	assert_string_equal(content.type, "swap");
	assert_string_equal(content.uuid, "c0ffee00-0102-0304-0506-0708090a0b0c");
	assert_string_equal(content.label, "a \"label\"");
	assert_int_equal(content.n_partitions, 0);
}

static void nothing_that_is_known(void **state)
{
	struct vhu_blk_content content = probe(DISK_BYTES / 2, DISK_BYTES / 2);

	(void)state;
	assert_string_equal(content.type, "");
	assert_string_equal(content.table, "");
	assert_int_equal(content.n_partitions, 0);
}

static void a_partition_as_the_disk(void **state)
{
	struct vhu_blk_options o = vhu_blk_defaults;
	struct vhu_blk_image image;
	struct capture capture;
	int r;

	(void)state;
	probe(0, 0);
	o.file = path;
	assert_int_equal(vhu_blk_image_open(&o, &image), 0);
	assert_string_equal(image.serial, "1234abcd");
	vhu_blk_image_close(&image);
	o.partition = 1;
	assert_int_equal(vhu_blk_image_open(&o, &image), 0);
	assert_int_equal(image.offset_bytes, PART_SECTOR * 512);
	assert_int_equal(image.size_bytes, PART_BYTES);
	assert_true(image.fixed);
	assert_string_equal(image.serial, "c0ffee00-0102-0304-0");
	vhu_blk_image_close(&image);
	o.partition = 2;
	capture_begin(&capture, STDERR_FILENO);
	r = vhu_blk_image_open(&o, &image);
	capture_end_line(&capture, "no partition 2");
	assert_int_equal(r, -ENOENT);
}

/* A table made where blocks have 4096 bytes. */
static void a_partition_in_large_blocks(void **state)
{
	struct vhu_blk_options o = vhu_blk_defaults;
	struct vhu_blk_image image;

	(void)state;
	probe(0, 0);
	put_table(4096);
	o.file = path;
	o.partition = 1;
	o.block_size = 4096;
	assert_int_equal(vhu_blk_image_open(&o, &image), 0);
	assert_int_equal(image.offset_bytes, PART_SECTOR * 512);
	assert_int_equal(image.size_bytes, PART_BYTES);
	vhu_blk_image_close(&image);
	put_table(512);
}

/* Two disks with one label: neither is taken. */
static void a_name_of_two_devices(void **state)
{
	struct vhu_blk_options o = vhu_blk_defaults;
	char loops[2][32], first[128], second[128];
	int disk = fd, backing[2], loop[2] = { -1, -1 };
	struct vhu_blk_image image;
	struct capture capture;
	int r;

	(void)state;
	probe(0, 0);
	o.file = "LABEL=vhu-two-of-it";
	for (int i = 0; i < 2; i++) {
		backing[i] = fd = memfd_create("disk", MFD_CLOEXEC);
		assert_int_equal(ftruncate(fd, PART_BYTES), 0);
		put_swap(0);
		put(1052, "vhu-two-of-it\0", 14);
		loop[i] = loop_over(fd, loops[i]);
		fd = disk;
		if (loop[i] < 0)
			skip();
		if (i)
			break;
		assert_int_equal(vhu_blk_image_open(&o, &image), 0);
		assert_string_equal(image.path, loops[0]);
		vhu_blk_image_close(&image);
	}
	capture_begin(&capture, STDERR_FILENO);
	r = vhu_blk_image_open(&o, &image);
	snprintf(first, sizeof(first), "%s: has %s, but so has %s:", loops[0], o.file, loops[1]);
	snprintf(second, sizeof(second), "%s: has %s, but so has %s:", loops[1], o.file, loops[0]);
	capture_end_line(&capture, "give a path");
	assert_int_equal(r, -ENOTUNIQ);
	assert_true(strstr(capture.text, first) || strstr(capture.text, second));
	for (int i = 0; i < 2; i++) {
		close(loop[i]);
		close(backing[i]);
	}
}

static void names_of_devices(void **state)
{
	struct vhu_blk_options o = vhu_blk_defaults;
	struct vhu_blk_image image;
	struct capture capture;

	(void)state;
	o.file = "LABEL=vhu-there-is-no-such-label";
	capture_begin(&capture, STDERR_FILENO);
	assert_true(vhu_blk_image_open(&o, &image) < 0);
	capture_end_line(&capture, o.file);
}

static void topology_of_a_file(void **state)
{
	struct vhu_blk_options o = vhu_blk_defaults;
	struct vhu_blk_image image;

	(void)state;
	o.file = path;
	assert_int_equal(vhu_blk_image_open(&o, &image), 0);
	assert_int_equal(image.topology.logical, 512);
	assert_true(is_pow2(image.topology.physical) && image.topology.physical >= 512);
	assert_true(image.topology.min_io >= image.topology.physical);
	assert_int_equal(image.topology.alignment_offset, 0);
	assert_true(is_pow2(image.discard_block_bytes) && image.discard_block_bytes >= 512);
	vhu_blk_image_close(&image);
}

static void printed(void **state)
{
	struct vhu_blk_options o = vhu_blk_defaults;
	struct capture capture;
	char escaped[128];
	const char *text;
	int r;

	(void)state;
	probe(0, 0);
	o.file = path;
	o.json = true;
	capture_begin(&capture, STDOUT_FILENO);
	r = vhu_blk_print_probe(&o);
	text = capture_end(&capture);
	assert_int_equal(r, 0);
	snprintf(escaped, sizeof(escaped), "{\"file\": \"%s/a\\\"b\\\\c\", \"kind\": \"file\", "
		 "\"size_bytes\": 8388608, ", folder);
	assert_memory_equal(text, escaped, strlen(escaped));
	assert_non_null(strstr(text, "\"partition_table\": \"dos\", "
			       "\"partition_table_uuid\": \"1234abcd\", "
			       "\"partitions\": [{\"number\": 1, \"offset_bytes\": 1048576, "
			       "\"size_bytes\": 2097152, \"partition_type\": \"0x82\", "
			       "\"partition_uuid\": \"1234abcd-01\", \"type\": \"swap\", "
			       "\"uuid\": \"c0ffee00-0102-0304-0506-0708090a0b0c\", "
			       "\"label\": \"a \\\"label\\\"\"}], \"holders\": []}\n"));

	capture_begin(&capture, STDOUT_FILENO);
	o.json = false;
	r = vhu_blk_print_probe(&o);
	text = capture_end(&capture);
	assert_int_equal(r, 0);
	assert_non_null(strstr(text, "\npartitions:\n  - number: 1\n    offset_bytes: 1048576\n"));
	assert_non_null(strstr(text, "\n    label: a \"label\"\nholders:\n"));
}

static void write_file(const char *name, const char *text)
{
	char file[256];
	int out;

	snprintf(file, sizeof(file), "%s/%s", folder, name);
	out = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(out >= 0);
	assert_int_equal(write(out, text, strlen(text)), strlen(text));
	close(out);
}

static void make_folder(const char *name)
{
	char dir[256];

	snprintf(dir, sizeof(dir), "%s/%s", folder, name);
	assert_int_equal(mkdir(dir, 0700), 0);
}

static void remove_entry(const char *name)
{
	char entry[256];

	snprintf(entry, sizeof(entry), "%s/%s", folder, name);
	assert_int_equal(remove(entry), 0);
}

/* eMMC has its files in the device's folder, both types of cells on one line. */
static void lifetime_of_emmc(void **state)
{
	struct vhu_blk_lifetime life;

	(void)state;
	assert_int_equal(vhu_blk_sysfs_lifetime(folder, &life), -EOPNOTSUPP);
	make_folder("device");
	write_file("device/pre_eol_info", "0x02\n");
	assert_int_equal(vhu_blk_sysfs_lifetime(folder, &life), -EOPNOTSUPP);
	write_file("device/life_time", "0x0a 0x0b\n");
	assert_int_equal(vhu_blk_sysfs_lifetime(folder, &life), 0);
	assert_int_equal(life.pre_eol_info, 2);
	assert_int_equal(life.est_typ_a, 10);
	assert_int_equal(life.est_typ_b, 11);
	remove_entry("device/life_time");
	remove_entry("device/pre_eol_info");
	remove_entry("device");
}

/* Of UFS the controller knows, three floors up. */
static void lifetime_of_ufs(void **state)
{
	struct vhu_blk_lifetime life;
	char disk[256];

	(void)state;
	make_folder("host");
	make_folder("host/target");
	make_folder("host/target/device");
	make_folder("health_descriptor");
	write_file("health_descriptor/eol_info", "0x01\n");
	write_file("health_descriptor/life_time_estimation_a", "0x03\n");
	write_file("health_descriptor/life_time_estimation_b", "0x04\n");
	snprintf(disk, sizeof(disk), "%s/host/target", folder);
	assert_int_equal(vhu_blk_sysfs_lifetime(disk, &life), 0);
	assert_int_equal(life.pre_eol_info, 1);
	assert_int_equal(life.est_typ_a, 3);
	assert_int_equal(life.est_typ_b, 4);
	remove_entry("health_descriptor/eol_info");
	remove_entry("health_descriptor/life_time_estimation_a");
	remove_entry("health_descriptor/life_time_estimation_b");
	remove_entry("health_descriptor");
	remove_entry("host/target/device");
	remove_entry("host/target");
	remove_entry("host");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_partitioned_disk),
		cmocka_unit_test(what_is_in_a_partition),
		cmocka_unit_test(nothing_that_is_known),
		cmocka_unit_test(a_partition_as_the_disk),
		cmocka_unit_test(a_partition_in_large_blocks),
		cmocka_unit_test(a_name_of_two_devices),
		cmocka_unit_test(names_of_devices),
		cmocka_unit_test(topology_of_a_file),
		cmocka_unit_test(printed),
		cmocka_unit_test(lifetime_of_emmc),
		cmocka_unit_test(lifetime_of_ufs),
	};

	vhu_log_set_level(VHU_LOG_WARNING);
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
