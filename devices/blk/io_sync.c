/* SPDX-License-Identifier: BSD-3-Clause */
/* Each operation is one system call, or a few, on the thread that submits it. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/base/num.h"
#include "devices/blk/io.h"

/* Segments of one system call; longer requests take several. */
#define BATCH 64
#define ZEROS_BYTES 65536

/* The next segments of data, adjacent ones merged, at most BATCH of them and len bytes. */
static int next_batch(const struct vhu_iov_cursor *data, uint64_t len, struct iovec *iov)
{
	struct vhu_iov_cursor at = *data;
	int n = 0;

	while (len) {
		uint64_t piece_bytes = min_u64(len, at.iov->iov_len - at.offset);
		char *piece = (char *)at.iov->iov_base + at.offset;

		at.iov++;
		at.offset = 0;
		if (!piece_bytes)
			continue;
		if (n && (char *)iov[n - 1].iov_base + iov[n - 1].iov_len == piece) {
			iov[n - 1].iov_len += piece_bytes;
		} else if (n < BATCH) {
			iov[n++] = (struct iovec){ piece, piece_bytes };
		} else {
			break;
		}
		len -= piece_bytes;
	}
	return n;
}

typedef ssize_t transfer_fn(int fd, const struct iovec *iov, int n, off_t offset, int flags);

/* Until all is done; a transfer that stops short is taken up where it stopped. */
static int transfer(struct vhu_blk_io *io, struct vhu_blk_io_op *op, transfer_fn *fn, int flags)
{
	uint64_t offset = op->offset_bytes, left = op->len_bytes;
	struct iovec iov[BATCH];
	ssize_t r;

	while (left) {
		r = fn(io->fd, iov, next_batch(&op->data, left, iov), (off_t)offset, flags);
		if (r < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (r < 0)
			return -errno;
		if (r == 0)
			return -EIO; /* past the end of the file */
		vhu_iov_skip(&op->data, (size_t)r);
		offset += (uint64_t)r;
		left -= (uint64_t)r;
	}
	return 0;
}

static int sync_read(struct vhu_blk_io *io, struct vhu_blk_io_op *op)
{
	return transfer(io, op, preadv2, 0);
}

static int sync_flush(struct vhu_blk_io *io, struct vhu_blk_io_op *op)
{
	(void)op;
	return vhu_blk_flush(&io->flush, io->fd);
}

static int sync_write(struct vhu_blk_io *io, struct vhu_blk_io_op *op)
{
	struct vhu_iov_cursor begin = op->data;
	int r;

	if (!(op->flags & VHU_BLK_DURABLE))
		return transfer(io, op, pwritev2, 0);
	r = transfer(io, op, pwritev2, RWF_DSYNC);
	if (r != -EOPNOTSUPP)
		return r;
	op->data = begin;
	r = transfer(io, op, pwritev2, 0);
	return r < 0 ? r : sync_flush(io, op);
}

/* A hint: where the backing cannot forget, nothing is done. */
static int sync_discard(struct vhu_blk_io *io, struct vhu_blk_io_op *op)
{
	uint64_t end = op->offset_bytes + op->len_bytes;
	uint64_t range[2];
	int r;

	if (io->is_block) {
		/* Only whole blocks of the device can be forgotten. */
		range[0] = (op->offset_bytes + io->block_bytes - 1) / io->block_bytes *
			   io->block_bytes;
		end = end / io->block_bytes * io->block_bytes;
		if (range[0] >= end)
			return 0;
		range[1] = end - range[0];
		r = ioctl(io->fd, BLKDISCARD, range);
	} else {
		r = fallocate(io->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			      (off_t)op->offset_bytes, (off_t)op->len_bytes);
	}
	if (r < 0 && errno != EOPNOTSUPP && errno != ENOTTY)
		return -errno;
	return 0;
}

/* The one way that every backing knows. */
static int write_zeros(struct vhu_blk_io *io, uint64_t offset, uint64_t len)
{
	static const char zeros[ZEROS_BYTES];
	struct iovec iov[BATCH];
	struct vhu_blk_io_op op = { .op = VHU_BLK_WRITE };
	int r = 0;

	for (size_t i = 0; i < BATCH; i++)
		iov[i] = (struct iovec){ (void *)zeros, sizeof(zeros) };
	while (len && r == 0) {
		vhu_iov_cursor_init(&op.data, iov, BATCH);
		op.offset_bytes = offset;
		op.len_bytes = min_u64(len, op.data.left);
		r = transfer(io, &op, pwritev2, 0);
		offset += op.len_bytes;
		len -= op.len_bytes;
	}
	return r;
}

/* The file system's or the device's own ways, the best one first. */
static bool fallocate_zeros(struct vhu_blk_io *io, const struct vhu_blk_io_op *op)
{
	off_t offset = (off_t)op->offset_bytes, len = (off_t)op->len_bytes;

	if (op->flags & VHU_BLK_UNMAP &&
	    fallocate(io->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, len) == 0)
		return true;
	return fallocate(io->fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, offset, len) == 0;
}

static int sync_zero(struct vhu_blk_io *io, struct vhu_blk_io_op *op)
{
	int r = 0;

	if (!fallocate_zeros(io, op))
		r = write_zeros(io, op->offset_bytes, op->len_bytes);
	if (r == 0 && op->flags & VHU_BLK_DURABLE)
		r = sync_flush(io, op);
	return r;
}

static int sync_erase(struct vhu_blk_io *io, struct vhu_blk_io_op *op)
{
	uint64_t range[2] = { op->offset_bytes, op->len_bytes };

	return ioctl(io->fd, BLKSECDISCARD, range) < 0 ? -errno : 0;
}

int vhu_blk_sync_submit(struct vhu_blk_io *io, struct vhu_blk_io_op *op)
{
	static int (*const ways[VHU_BLK_N_OPS])(struct vhu_blk_io *, struct vhu_blk_io_op *) = {
		[VHU_BLK_READ] = sync_read,
		[VHU_BLK_WRITE] = sync_write,
		[VHU_BLK_FLUSH] = sync_flush,
		[VHU_BLK_DISCARD] = sync_discard,
		[VHU_BLK_ZERO] = sync_zero,
		[VHU_BLK_ERASE] = sync_erase,
	};

	return ways[op->op](io, op);
}

static int sync_open(int fd, bool read_only, struct vhu_blk_io **ret_io)
{
	struct vhu_blk_io *io = calloc(1, sizeof(*io));
	int r;

	(void)read_only;
	if (!io)
		return -ENOMEM;
	r = vhu_blk_io_init(io, &vhu_blk_io_sync, fd);
	if (r < 0) {
		free(io);
		return r;
	}
	*ret_io = io;
	return 0;
}

static void sync_close(struct vhu_blk_io *io)
{
	vhu_blk_io_finish(io);
	free(io);
}

const struct vhu_blk_io_ops vhu_blk_io_sync = {
	.name = "sync",
	.in_order = true,
	.open = sync_open,
	.close = sync_close,
	.submit = vhu_blk_sync_submit,
};
