/* SPDX-License-Identifier: BSD-3-Clause */

/* The mmap engine: what is copied and what is not, and files that change or fill up under it. */

#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>

#include "tests/unit/blk_io_rig.h"
#include "tests/unit/capture.h"

static void full_chunks_are_copied(void **state)
{
	struct rig rig;

	(void)state;
	open_rig(&rig, "mmap", memory_file(4 * CHUNK + 4096));
	fill(&rig, 0, CHUNK, 1);
	fill(&rig, CHUNK, CHUNK - 4096, 2);
	fill(&rig, 4 * CHUNK, 4096, 3);
	expect(&rig, 0, CHUNK, 1);
	expect(&rig, CHUNK, CHUNK - 4096, 2);
	assert_true(is_copied(&rig, 0));
	assert_true(is_copied(&rig, CHUNK - 512));
	assert_false(is_copied(&rig, CHUNK));
	assert_false(is_copied(&rig, 2 * CHUNK));
	assert_false(is_copied(&rig, 4 * CHUNK)); /* never full: the file ends in it */
	/* A chunk that has filled up is found out by and by. */
	fill(&rig, CHUNK, CHUNK, 4);
	expect(&rig, CHUNK, CHUNK, 4);
	assert_true(is_copied(&rig, CHUNK));
	expect(&rig, 0, CHUNK, 1);
	close_rig(&rig);
}

static void holes_stay_holes(void **state)
{
	struct rig rig;

	(void)state;
	open_rig(&rig, "mmap", memory_file(32 * MIB));
	expect(&rig, 0, 32 * MIB, 0);
	assert_int_equal(allocated(rig.fd), 0);
	fill(&rig, 0, 8 * MIB, 1);
	expect(&rig, 0, 8 * MIB, 1);
	assert_true(is_copied(&rig, 2 * CHUNK));
	assert_int_equal(no_data(&rig, VHU_BLK_DISCARD, 0, CHUNK, 2 * CHUNK), 0);
	assert_int_equal(allocated(rig.fd), 4 * MIB);
	expect(&rig, CHUNK, 2 * CHUNK, 0);
	expect(&rig, 3 * CHUNK, CHUNK, 1);
	assert_int_equal(allocated(rig.fd), 4 * MIB);
	assert_int_equal(no_data(&rig, VHU_BLK_ZERO, VHU_BLK_UNMAP, 0, CHUNK), 0);
	assert_int_equal(allocated(rig.fd), 2 * MIB);
	expect(&rig, 0, CHUNK, 0);
	assert_int_equal(allocated(rig.fd), 2 * MIB);
	/* Zeros that may not be a hole take room. */
	assert_int_equal(no_data(&rig, VHU_BLK_ZERO, 0, 0, CHUNK), 0);
	assert_int_equal(allocated(rig.fd), 4 * MIB);
	close_rig(&rig);
}

static void a_file_cut_short(void **state)
{
	struct capture capture;
	uint8_t sector[512];
	struct rig rig;

	(void)state;
	open_rig(&rig, "mmap", memory_file(4 * CHUNK));
	fill(&rig, 0, 4 * CHUNK, 1);
	expect(&rig, 0, 4 * CHUNK, 1);
	assert_true(is_copied(&rig, 3 * CHUNK));
	assert_int_equal(ftruncate(rig.fd, CHUNK), 0);

	capture_begin(&capture, STDERR_FILENO);
	assert_int_equal(transfer(&rig, VHU_BLK_READ, 2 * CHUNK, sector, 512), -EIO);
	assert_int_equal(transfer(&rig, VHU_BLK_READ, 3 * CHUNK, sector, 512), -EIO);
	capture_end_line(&capture, "not mapped any more");
	/* What is left is served, and so is what comes back. */
	assert_false(is_copied(&rig, 0));
	expect(&rig, 0, CHUNK, 1);
	fill(&rig, 3 * CHUNK, CHUNK, 5);
	expect(&rig, 3 * CHUNK, CHUNK, 5);
	expect(&rig, CHUNK, 2 * CHUNK, 0);
	close_rig(&rig);
}

static void a_write_to_a_file_cut_short(void **state)
{
	uint8_t data[4096], back[4096];
	struct rig rig;

	(void)state;
	open_rig(&rig, "mmap", memory_file(2 * CHUNK));
	fill(&rig, 0, 2 * CHUNK, 1);
	expect(&rig, 0, 2 * CHUNK, 1);
	assert_true(is_copied(&rig, CHUNK));
	assert_int_equal(ftruncate(rig.fd, 0), 0);
	memset(data, 7, sizeof(data));
	assert_int_equal(transfer(&rig, VHU_BLK_WRITE, CHUNK, data, sizeof(data)), 0);
	/* It is in the file, and not in a page that nobody has. */
	assert_int_equal(pread(rig.fd, back, sizeof(back), CHUNK), sizeof(back));
	assert_memory_equal(back, data, sizeof(data));
	close_rig(&rig);
}

static void a_file_that_grows(void **state)
{
	struct rig rig;

	(void)state;
	open_rig(&rig, "mmap", memory_file(CHUNK));
	fill(&rig, 0, CHUNK, 1);
	assert_int_equal(ftruncate(rig.fd, 3 * CHUNK), 0);
	rig.io->ops->resize(rig.io, 3 * CHUNK);
	expect(&rig, CHUNK, 2 * CHUNK, 0);
	fill(&rig, CHUNK, 2 * CHUNK, 2);
	expect(&rig, CHUNK, 2 * CHUNK, 2);
	assert_true(is_copied(&rig, 2 * CHUNK));
	/* Smaller and larger again: what was full is not. */
	assert_int_equal(ftruncate(rig.fd, CHUNK), 0);
	rig.io->ops->resize(rig.io, CHUNK);
	assert_int_equal(ftruncate(rig.fd, 3 * CHUNK), 0);
	rig.io->ops->resize(rig.io, 3 * CHUNK);
	expect(&rig, CHUNK, 2 * CHUNK, 0);
	assert_int_equal(allocated(rig.fd), CHUNK);
	close_rig(&rig);
}

/* Mounts a tmpfs in a namespace of its own; false where that is not allowed. */
static bool mount_small(char *folder, const char *size)
{
	char options[32];

	snprintf(options, sizeof(options), "size=%s", size);
	assert_non_null(mkdtemp(folder));
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("small", folder, "tmpfs", 0, options) < 0) {
		rmdir(folder);
		return false;
	}
	return true;
}

/* No room is an error of the request, not a signal, and room that comes back is used. */
static void a_full_file_system(void **state)
{
	char folder[] = "/tmp/vhu-blk-io.XXXXXX", path[64];
	uint8_t block[65536];
	struct rig rig;
	uint64_t at;
	int fd;

	(void)state;
	if (!mount_small(folder, "4m"))
		skip();
	snprintf(path, sizeof(path), "%s/disk", folder);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 16 * MIB), 0);
	open_rig(&rig, "auto", fd);
	assert_string_equal(rig.io->ops->name, "mmap");

	memset(block, 1, sizeof(block));
	for (at = 0; at < 16 * MIB; at += sizeof(block)) {
		int r = transfer(&rig, VHU_BLK_WRITE, at, block, sizeof(block));

		if (r < 0) {
			assert_int_equal(r, -ENOSPC);
			break;
		}
	}
	assert_int_equal(at, 4 * MIB);
	expect(&rig, 0, 4 * MIB, 1);
	expect(&rig, 4 * MIB, 12 * MIB, 0);
	assert_true(is_copied(&rig, 0));
	assert_int_equal(no_data(&rig, VHU_BLK_ZERO, 0, 8 * MIB, CHUNK), -ENOSPC);
	assert_int_equal(no_data(&rig, VHU_BLK_DISCARD, 0, 0, CHUNK), 0);
	fill(&rig, 8 * MIB, CHUNK, 2);
	expect(&rig, 8 * MIB, CHUNK, 2);
	expect(&rig, 0, CHUNK, 0);
	close_rig(&rig);
	assert_int_equal(umount(folder), 0);
	assert_int_equal(rmdir(folder), 0);
}

/* Memory that may be missing is moved by system calls: no page of zeros takes its place. */
static void partial_memory_is_not_copied(void **state)
{
	struct iovec gone = { NULL, 4096 };
	int empty = memory_file(0);
	struct rig rig;

	(void)state;
	open_rig(&rig, "mmap", memory_file(CHUNK));
	fill(&rig, 0, CHUNK, 1);
	expect(&rig, 0, CHUNK, 1);
	assert_true(is_copied(&rig, 0));
	gone.iov_base = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, empty, 0);
	assert_true(gone.iov_base != MAP_FAILED);
	assert_int_equal(submit(&rig, VHU_BLK_WRITE, VHU_BLK_PARTIAL, 0, &gone, 1, 4096), -EFAULT);
	assert_int_equal(submit(&rig, VHU_BLK_READ, VHU_BLK_PARTIAL, 0, &gone, 1, 4096), -EFAULT);
	expect(&rig, 0, CHUNK, 1);
	munmap(gone.iov_base, 4096);
	close(empty);
	close_rig(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(full_chunks_are_copied),
		cmocka_unit_test(holes_stay_holes),
		cmocka_unit_test(a_file_cut_short),
		cmocka_unit_test(a_write_to_a_file_cut_short),
		cmocka_unit_test(a_file_that_grows),
		cmocka_unit_test(a_full_file_system),
		cmocka_unit_test(partial_memory_is_not_copied),
	};

	vhu_log_set_level(VHU_LOG_WARNING);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
