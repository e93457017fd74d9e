/* SPDX-License-Identifier: BSD-3-Clause */

/* Opening what a disk is made of: one clear line for all that is wrong, and nothing changed. */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/log.h"
#include "common/base/num.h"
#include "devices/blk/image.h"
#include "devices/blk/lock.h"
#include "tests/unit/capture.h"
#include "tests/unit/loop_device.h"

static char folder[] = "/tmp/vhu-blk-image.XXXXXX";

static int set_up(void **state)
{
	(void)state;
	return mkdtemp(folder) && chmod(folder, 0755) == 0 ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	/* Fails when a test has left a file behind. */
	return rmdir(folder);
}

static const char *path_of(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return path;
}

static const char *make_file(const char *name, uint64_t bytes, const void *head, size_t head_bytes)
{
	const char *path = path_of(name);
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	if (head_bytes)
		assert_int_equal(write(fd, head, head_bytes), head_bytes);
	assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
	close(fd);
	return path;
}

static void refused(const struct vhu_blk_options *options, int error, const char *part)
{
	struct vhu_blk_image image;
	struct capture capture;
	int r;

	capture_begin(&capture, STDERR_FILENO);
	r = vhu_blk_image_open(options, &image);
	capture_end_line(&capture, part);
	assert_int_equal(r, error);
	if (options->file)
		assert_non_null(strstr(capture.text, options->file));
}

static void what_is_no_disk(void **state)
{
	struct vhu_blk_options o = vhu_blk_defaults;

	(void)state;
	o.file = path_of("missing");
	refused(&o, -ENOENT, "--create");
	assert_int_equal(symlink("nowhere", path_of("link")), 0);
	o.file = path_of("link");
	refused(&o, -ENOENT, "symbolic link to where nothing is");
	o.create = 1 << 20;
	refused(&o, -EEXIST, "is a symbolic link");
	o.create = 0;
	unlink(o.file);
	o.file = folder;
	refused(&o, -EISDIR, "is a directory");
	o.file = "/dev/null";
	refused(&o, -EINVAL, "neither a file nor a block device");
	o.file = make_file("empty", 0, NULL, 0);
	refused(&o, -EINVAL, "is empty");
	unlink(o.file);
	o.file = make_file("odd", 1000, NULL, 0);
	refused(&o, -EINVAL, "1000 bytes, no multiple of 512");
	o.read_only = true;
	refused(&o, -EINVAL, "truncate -s %512");
	unlink(o.file);
}

static void parts_that_are_not_there(void **state)
{
	struct vhu_blk_options o = vhu_blk_defaults;

	(void)state;
	o.file = make_file("disk", 8192, NULL, 0);
	o.offset = 8192;
	refused(&o, -ERANGE, "nothing is left at offset 8192");
	o.offset = 4096;
	o.size = 8192;
	refused(&o, -ERANGE, "4096 bytes at offset 4096");
	o.size = 512;
	o.block_size = 4096;
	refused(&o, -EINVAL, "no multiple of 4096");
	unlink(o.file);
}

static void containers(void **state)
{
	static const struct {
		const char *name;
		char head[128];
	} files[] = {
		{ "qcow2", "QFI\xfb\0\0\0\3" },
		{ "qcow container", "QFI\xfb\0\0\0\1" },
		{ "QED", "QED" },
		{ "VMDK", "KDMV" },
		{ "VMDK", "# Disk DescriptorFile\nversion=1\n" },
		{ "VHDX", "vhdxfile" },
		{ "VHD", "conectix" },
		{ "VDI", { [64] = 0x7f, 0x10, (char)0xda, (char)0xbe } },
		{ "Parallels", "WithouFreSpacExt" },
	};
	struct vhu_blk_options o = vhu_blk_defaults;
	struct vhu_blk_image image;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		/* Also one whose size is no disk's: it is told what it is. */
		o.file = make_file("disk", i % 2 ? 65536 : 65537, files[i].head,
				   sizeof(files[i].head));
		o.format = VHU_BLK_FORMAT_AUTO;
		refused(&o, -EINVAL, files[i].name);
		if (i % 2) {
			o.format = VHU_BLK_FORMAT_RAW;
			assert_int_equal(vhu_blk_image_open(&o, &image), 0);
			vhu_blk_image_close(&image);
		}
		unlink(o.file);
	}
	/* A boot sector is none of them. */
	o.file = make_file("disk", 65536, "\xeb\x3c\x90MSDOS5.0", 11);
	o.format = VHU_BLK_FORMAT_AUTO;
	assert_int_equal(vhu_blk_image_open(&o, &image), 0);
	vhu_blk_image_close(&image);
	unlink(o.file);
}

static void rights(void **state)
{
	struct vhu_blk_options o = vhu_blk_defaults;
	struct vhu_blk_image image;

	(void)state;
	if (geteuid() != 0)
		skip();
	o.file = make_file("disk", 8192, NULL, 0);
	assert_int_equal(seteuid(65534), 0);
	refused(&o, -EACCES, "--read-only");
	o.read_only = true;
	assert_int_equal(vhu_blk_image_open(&o, &image), 0);
	vhu_blk_image_close(&image);
	assert_int_equal(seteuid(0), 0);
	assert_int_equal(chmod(o.file, 0600), 0);
	assert_int_equal(seteuid(65534), 0);
	refused(&o, -EACCES, "cannot be opened");
	assert_int_equal(seteuid(0), 0);
	unlink(o.file);
}

static void create(void **state)
{
	struct vhu_blk_options o = vhu_blk_defaults;
	struct vhu_blk_image image;
	struct stat st;

	(void)state;
	o.file = path_of("new");
	o.create = 1ull << 30;
	assert_int_equal(vhu_blk_image_open(&o, &image), 0);
	assert_int_equal(image.size_bytes, 1ull << 30);
	assert_int_equal(stat(o.file, &st), 0);
	assert_int_equal(st.st_size, 1ull << 30);
	assert_int_equal(st.st_blocks, 0);
	/* The start failed later: it goes again. */
	vhu_blk_image_close(&image);
	assert_int_equal(access(o.file, F_OK), -1);

	assert_int_equal(vhu_blk_image_open(&o, &image), 0);
	image.created = false;
	vhu_blk_image_close(&image);
	assert_int_equal(access(o.file, F_OK), 0);
	o.create = 4096;
	refused(&o, -EEXIST, "is there already");
	assert_int_equal(stat(o.file, &st), 0);
	assert_int_equal(st.st_size, 1ull << 30);
	unlink(o.file);

	/* Somebody else's file of the same name stays. */
	assert_int_equal(vhu_blk_image_open(&o, &image), 0);
	unlink(o.file);
	make_file("new", 512, NULL, 0);
	vhu_blk_image_close(&image);
	assert_int_equal(unlink(o.file), 0);

	o.create = INT64_MAX / 512 * 512;
	refused(&o, -EFBIG, "cannot have");
	assert_int_equal(access(o.file, F_OK), -1);
	o.create = 4096;
	o.file = "/nowhere/disk";
	refused(&o, -ENOENT, "cannot be created");
	o.file = "LABEL=x";
	refused(&o, -EINVAL, "give a path");
}

static void sizes(void **state)
{
	struct vhu_blk_options o = vhu_blk_defaults;
	struct vhu_blk_image image;
	uint64_t bytes;

	(void)state;
	o.file = make_file("disk", 16384, NULL, 0);
	assert_int_equal(vhu_blk_image_open(&o, &image), 0);
	assert_int_equal(image.size_bytes, 16384);
	assert_int_equal(image.block_bytes, 512);
	assert_int_equal(truncate(o.file, 20000), 0);
	assert_int_equal(vhu_blk_image_measure(&image, &bytes), 0);
	assert_int_equal(bytes, 20000 / 512 * 512);
	assert_int_equal(truncate(o.file, 0), 0);
	assert_int_equal(vhu_blk_image_measure(&image, &bytes), 0);
	assert_int_equal(bytes, 0);
	vhu_blk_image_close(&image);

	/* A part of a told size stays that part; one to the end moves with the end. */
	assert_int_equal(truncate(o.file, 16384), 0);
	o.offset = 1024;
	assert_int_equal(vhu_blk_image_open(&o, &image), 0);
	assert_int_equal(image.size_bytes, 16384 - 1024);
	assert_int_equal(truncate(o.file, 512), 0);
	assert_int_equal(vhu_blk_image_measure(&image, &bytes), 0);
	assert_int_equal(bytes, 0);
	vhu_blk_image_close(&image);
	assert_int_equal(truncate(o.file, 16384), 0);
	o.size = 4096;
	assert_int_equal(vhu_blk_image_open(&o, &image), 0);
	assert_int_equal(image.size_bytes, 4096);
	assert_int_equal(truncate(o.file, 65536), 0);
	assert_int_equal(vhu_blk_image_measure(&image, &bytes), 0);
	assert_int_equal(bytes, 4096);
	assert_int_equal(truncate(o.file, 2048), 0);
	assert_int_equal(vhu_blk_image_measure(&image, &bytes), 0);
	assert_int_equal(bytes, 1024);
	vhu_blk_image_close(&image);
	unlink(o.file);
}

static void serials(void **state)
{
	struct vhu_blk_options o = vhu_blk_defaults;
	struct vhu_blk_image a, b;

	(void)state;
	o.file = make_file("disk", 65536, NULL, 0);
	o.serial = "exactly-twenty-chars";
	assert_int_equal(vhu_blk_image_open(&o, &a), 0);
	assert_string_equal(a.serial, o.serial);
	vhu_blk_image_close(&a);

	o.serial = NULL;
	o.read_only = true;
	assert_int_equal(vhu_blk_image_open(&o, &a), 0);
	assert_int_equal(vhu_blk_image_open(&o, &b), 0);
	assert_string_equal(a.serial, b.serial);
	assert_int_equal(strlen(a.serial), 20);
	vhu_blk_image_close(&b);
	make_file("other", 65536, NULL, 0);
	o.file = path_of("other");
	assert_int_equal(vhu_blk_image_open(&o, &b), 0);
	assert_string_not_equal(a.serial, b.serial);
	vhu_blk_image_close(&a);
	vhu_blk_image_close(&b);
	unlink(path_of("other"));
	unlink(path_of("disk"));
}

static void two_users(void **state)
{
	struct vhu_blk_options writer = vhu_blk_defaults, reader = vhu_blk_defaults;
	struct vhu_blk_image a, b;

	(void)state;
	writer.file = reader.file = make_file("disk", 65536, NULL, 0);
	reader.read_only = true;
	assert_int_equal(vhu_blk_image_open(&writer, &a), 0);
	refused(&writer, -EBUSY, "used by another disk of this command");
	refused(&reader, -EBUSY, "used by another disk of this command");
	writer.lock = VHU_BLK_LOCK_OFF;
	assert_int_equal(vhu_blk_image_open(&writer, &b), 0);
	vhu_blk_image_close(&b);
	writer.lock = VHU_BLK_LOCK_AUTO;
	vhu_blk_image_close(&a);

	assert_int_equal(vhu_blk_image_open(&reader, &a), 0);
	assert_int_equal(vhu_blk_image_open(&reader, &b), 0);
	refused(&writer, -EBUSY, "used by another disk of this command");
	vhu_blk_image_close(&b);
	vhu_blk_image_close(&a);
	assert_int_equal(vhu_blk_image_open(&writer, &a), 0);
	vhu_blk_image_close(&a);
	unlink(writer.file);
}

/* The line of a disk whose guest has come already. */
static void refused_late(struct vhu_blk_image *image, const char *part)
{
	struct capture capture;
	int r;

	capture_begin(&capture, STDERR_FILENO);
	r = vhu_blk_image_take(image, true);
	capture_end_line(&capture, part);
	assert_int_equal(r, -EBUSY);
	assert_non_null(strstr(capture.text, image->path));
	assert_non_null(strstr(capture.text, "the guest was stopped and continued"));
}

/* As of two programs that a guest migrates between. */
static void given_up_and_taken_again(void **state)
{
	struct vhu_blk_options here = vhu_blk_defaults, there = vhu_blk_defaults;
	struct vhu_blk_image a, b;

	(void)state;
	here.file = there.file = make_file("disk", 65536, NULL, 0);
	there.incoming = true;
	assert_int_equal(vhu_blk_image_open(&here, &a), 0);
	assert_int_equal(vhu_blk_image_open(&there, &b), 0);
	refused_late(&b, "used by another disk of this command");
	vhu_blk_image_give_up(&a);
	assert_int_equal(vhu_blk_image_take(&b, true), 0);
	refused_late(&a, "used by another disk of this command");
	/* Who was refused has left no lock behind. */
	vhu_blk_image_give_up(&b);
	assert_int_equal(vhu_blk_image_take(&a, true), 0);
	vhu_blk_image_close(&a);
	assert_int_equal(vhu_blk_image_take(&b, true), 0);
	vhu_blk_image_close(&b);
	unlink(here.file);
}

static bool is_locked(int fd, off_t byte)
{
	struct flock lock = { .l_type = F_WRLCK, .l_start = byte, .l_len = 1 };

	assert_int_equal(fcntl(fd, F_OFD_GETLK, &lock), 0);
	return lock.l_type != F_UNLCK;
}

static void lock_byte(int fd, off_t byte, short type)
{
	struct flock lock = { .l_type = type, .l_start = byte, .l_len = 1 };

	assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), 0);
}

/* Byte for byte what QEMU's guest disks lock, and what it takes to refuse us. */
static void the_bytes_of_qemu(void **state)
{
	/* Of another user: the byte; does it keep a writer, a reader out? */
	static const struct {
		off_t byte;
		bool writer, reader;
	} others[] = {
		{ 100, false, false }, { 101, true, true },   { 102, false, false },
		{ 103, false, false }, { 200, true, true },   { 201, true, false },
		{ 202, false, false }, { 203, false, false },
	};
	const char *path = make_file("disk", 65536, NULL, 0);
	int other = open(path, O_RDWR | O_CLOEXEC);

	(void)state;
	assert_true(other >= 0);
	for (int read_only = 0; read_only < 2; read_only++) {
		int fd = open(path, read_only ? O_RDONLY : O_RDWR | O_CLOEXEC);

		assert_int_equal(vhu_blk_lock(fd, read_only), 0);
		for (off_t byte = 90; byte < 210; byte++)
			assert_int_equal(is_locked(other, byte),
					 byte == 100 || byte == 201 ||
						 (byte == 101 && !read_only));
		close(fd);
		for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
			bool out = read_only ? others[i].reader : others[i].writer;

			lock_byte(other, others[i].byte, F_RDLCK);
			fd = open(path, read_only ? O_RDONLY : O_RDWR | O_CLOEXEC);
			assert_int_equal(vhu_blk_lock(fd, read_only), out ? -EBUSY : 0);
			close(fd);
			lock_byte(other, others[i].byte, F_UNLCK);
		}
	}
	close(other);
	unlink(path);
}

static void devices_in_use(void **state)
{
	struct vhu_blk_options device = vhu_blk_defaults, file = vhu_blk_defaults;
	int fd, loop, holder;
	struct vhu_blk_image image;
	char path[32];

	(void)state;
	file.file = make_file("disk", 65536, NULL, 0);
	fd = open(file.file, O_RDWR | O_CLOEXEC);
	loop = loop_over(fd, path);
	close(fd);
	if (loop < 0) {
		unlink(file.file);
		skip();
	}
	device.file = path;
	assert_int_equal(vhu_blk_image_open(&device, &image), 0);
	assert_int_equal(image.block_bytes, 4096);
	assert_int_equal(image.size_bytes, 65536);
	/* It is ours alone. */
	assert_int_equal(open(path, O_RDWR | O_EXCL | O_CLOEXEC), -1);
	vhu_blk_image_give_up(&image);
	holder = open(path, O_RDWR | O_EXCL | O_CLOEXEC);
	assert_true(holder >= 0);
	refused_late(&image, "in use");
	close(holder);
	assert_int_equal(vhu_blk_image_take(&image, true), 0);
	assert_int_equal(open(path, O_RDWR | O_EXCL | O_CLOEXEC), -1);
	vhu_blk_image_close(&image);

	/* As a mount holds it. */
	holder = open(path, O_RDWR | O_EXCL | O_CLOEXEC);
	assert_true(holder >= 0);
	refused(&device, -EBUSY, "--force");
	device.read_only = true;
	refused(&device, -EBUSY, "--force");
	device.force = true;
	assert_int_equal(vhu_blk_image_open(&device, &image), 0);
	vhu_blk_image_close(&image);
	close(holder);

	/* The file behind it is in use as well. */
	refused(&file, -EBUSY, "used by block device loop");
	file.force = true;
	assert_int_equal(vhu_blk_image_open(&file, &image), 0);
	vhu_blk_image_close(&image);
	close(loop);
	unlink(file.file);
}

static void wrong_options(void **state)
{
	static const struct {
		struct vhu_blk_options o;
		const char *part;
	} cases[] = {
		{ { .file = NULL }, "give --file" },
		{ { .file = "x", .engine = "slow" }, "--engine is one of" },
		{ { .engine = "null" }, "give its --size" },
		{ { .engine = "null", .size = 512, .file = "x" }, "no file" },
		{ { .file = "x", .serial = "123456789012345678901" }, "--serial" },
		{ { .file = "x", .serial = "a b" }, "--serial" },
		{ { .file = "x", .block_size = 256 }, "--block-size" },
		{ { .file = "x", .block_size = 1000 }, "--block-size" },
		{ { .file = "x", .block_size = 8192 }, "--block-size" },
		{ { .engine = "null", .size = 4608, .block_size = 4096 }, "--size is a multiple" },
		{ { .file = "x", .num_queues = 65 }, "--num-queues" },
		{ { .file = "x", .queue_size = 100 }, "--queue-size" },
		{ { .file = "x", .offset = 100 }, "--offset and --size" },
		{ { .file = "x", .size = 513 }, "--offset and --size" },
		{ { .file = "x", .partition = 1, .offset = 512 }, "--partition" },
		{ { .file = "x", .create = 1000 }, "--create" },
		{ { .file = "x", .create = 512, .block_size = 4096 }, "--create" },
		{ { .file = "x", .create = 512, .incoming = true }, "--incoming" },
		{ { .file = "x", .probe = true, .incoming = true }, "--probe" },
		{ { .file = "x", .create = 512, .read_only = true }, "--create" },
		{ { .file = "x", .json = true }, "--probe" },
		{ { .file = "x", .probe = true, .offset = 512 }, "--probe takes" },
		{ { .file = "x", .probe = true, .partition = 1 }, "--probe takes" },
		{ { .file = "x", .probe = true, .num_queues = 2 }, "--probe takes" },
		{ { .file = "x", .probe = true, .engine = "sync" }, "--probe takes" },
		{ { .file = "x", .probe = true, .read_only = true }, "--probe takes" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct vhu_blk_options o = cases[i].o;
		struct capture capture;
		int r;

		o.engine = o.engine ? o.engine : vhu_blk_defaults.engine;
		o.num_queues = o.num_queues ? o.num_queues : vhu_blk_defaults.num_queues;
		o.queue_size = o.queue_size ? o.queue_size : vhu_blk_defaults.queue_size;
		capture_begin(&capture, STDERR_FILENO);
		r = vhu_blk_options_check(&o);
		capture_end_line(&capture, cases[i].part);
		assert_int_equal(r, -EINVAL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_no_disk),
		cmocka_unit_test(parts_that_are_not_there),
		cmocka_unit_test(containers),
		cmocka_unit_test(rights),
		cmocka_unit_test(create),
		cmocka_unit_test(sizes),
		cmocka_unit_test(serials),
		cmocka_unit_test(two_users),
		cmocka_unit_test(given_up_and_taken_again),
		cmocka_unit_test(the_bytes_of_qemu),
		cmocka_unit_test(devices_in_use),
		cmocka_unit_test(wrong_options),
	};

	vhu_log_set_level(VHU_LOG_WARNING);
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
