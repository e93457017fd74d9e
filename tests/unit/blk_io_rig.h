/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_UNIT_BLK_IO_RIG_H
#define TESTS_UNIT_BLK_IO_RIG_H

/* An engine on a file, and short ways to ask it. */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/log.h"
#include "common/base/num.h"
#include "devices/blk/io.h"

#define MIB (1ull << 20)
#define CHUNK (2 * MIB)

struct rig {
	const char *engine;
	int fd;
	struct vhu_blk_io *io;
};

static inline int memory_file(uint64_t bytes)
{
	int fd = memfd_create("disk", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
	return fd;
}

static inline int disk_file(uint64_t bytes)
{
	char path[] = "/tmp/vhu-blk-io.XXXXXX";
	int fd = mkostemp(path, O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
	return fd;
}

static inline void open_rig(struct rig *rig, const char *engine, int fd)
{
	const struct vhu_blk_io_ops *ops = vhu_blk_io_find(engine, fd);

	assert_non_null(ops);
	rig->engine = engine;
	rig->fd = fd;
	assert_int_equal(ops->open(fd, false, &rig->io), 0);
}

static inline void close_rig(struct rig *rig)
{
	rig->io->ops->close(rig->io);
	close(rig->fd);
}

static inline int submit(struct rig *rig, enum vhu_blk_op what, unsigned flags, uint64_t offset,
			 const struct iovec *iov, size_t n, uint64_t len)
{
	struct vhu_blk_io_op op = {
		.op = what, .flags = flags, .offset_bytes = offset, .len_bytes = len
	};

	vhu_iov_cursor_init(&op.data, iov, n);
	return rig->io->ops->submit(rig->io, &op);
}

static inline int transfer(struct rig *rig, enum vhu_blk_op what, uint64_t offset, void *buf,
			   uint64_t len)
{
	struct iovec iov = { buf, len };

	return submit(rig, what, 0, offset, &iov, 1, len);
}

static inline int no_data(struct rig *rig, enum vhu_blk_op what, unsigned flags, uint64_t offset,
			  uint64_t len)
{
	return submit(rig, what, flags, offset, NULL, 0, len);
}

static inline void fill(struct rig *rig, uint64_t offset, uint64_t len, uint8_t byte)
{
	static uint8_t block[65536];

	memset(block, byte, sizeof(block));
	for (uint64_t at = 0; at < len; at += sizeof(block))
		assert_int_equal(transfer(rig, VHU_BLK_WRITE, offset + at, block,
					  min_u64(sizeof(block), len - at)), 0);
}

static inline void expect(struct rig *rig, uint64_t offset, uint64_t len, uint8_t byte)
{
	static uint8_t block[65536], wanted[65536];

	memset(wanted, byte, sizeof(wanted));
	for (uint64_t at = 0; at < len; at += sizeof(block)) {
		uint64_t n = min_u64(sizeof(block), len - at);

		memset(block, ~byte, sizeof(block));
		assert_int_equal(transfer(rig, VHU_BLK_READ, offset + at, block, n), 0);
		assert_memory_equal(block, wanted, n);
	}
}

static inline uint64_t allocated(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return (uint64_t)st.st_blocks * 512;
}

/* Is a read done by copying? It then works although the fd has become one that reads nothing. */
static inline bool is_copied(struct rig *rig, uint64_t offset)
{
	int saved = dup(rig->fd), nothing = open("/dev/null", O_RDWR | O_CLOEXEC), r;
	uint8_t sector[512];

	/* The look that is due at a first touch needs the file. */
	assert_int_equal(transfer(rig, VHU_BLK_READ, offset, sector, sizeof(sector)), 0);
	assert_true(saved >= 0 && nothing >= 0);
	assert_int_equal(dup2(nothing, rig->fd), rig->fd);
	r = transfer(rig, VHU_BLK_READ, offset, sector, sizeof(sector));
	assert_int_equal(dup2(saved, rig->fd), rig->fd);
	close(saved);
	close(nothing);
	assert_true(r == 0 || r == -EIO);
	return r == 0;
}

#endif
