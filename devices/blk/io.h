/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_DEVICES_BLK_IO_H
#define VHU_DEVICES_BLK_IO_H

/*
 * How the bytes of a disk are reached. An engine is a struct vhu_blk_io_ops, found by its name.
 * Any number of threads submit at once.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/base/iov.h"
#include "devices/blk/flush.h"

enum vhu_blk_op {
	VHU_BLK_READ,
	VHU_BLK_WRITE,
	VHU_BLK_FLUSH,	 /* what was written and answered before is durable */
	VHU_BLK_DISCARD, /* the content is no longer wanted */
	VHU_BLK_ZERO,
	VHU_BLK_ERASE, /* no copy of it is left on the medium */
	VHU_BLK_N_OPS,
};

#define VHU_BLK_DURABLE 1u /* on stable storage before it is answered */
#define VHU_BLK_UNMAP 2u   /* zeros may be a hole */
#define VHU_BLK_PARTIAL 4u /* the memory of data may be missing: system calls are to move it */

/* One operation. It belongs to who submits it, who keeps it until it is answered. */
struct vhu_blk_io_op {
	enum vhu_blk_op op;
	unsigned flags;
	uint64_t offset_bytes; /* in the file; a multiple of 512, as the length is */
	uint64_t len_bytes;
	struct vhu_iov_cursor data; /* of READ and WRITE: moves on as bytes are done */
	/* For an engine that answers later: on the submitting thread. */
	void (*done)(struct vhu_blk_io_op *op, int result);
};

/* submit: the engine will call done(). READ, WRITE and FLUSH only. */
#define VHU_BLK_LATER 1

struct vhu_blk_io;

struct vhu_blk_io_ops {
	const char *name;
	bool in_order; /* never answers later */
	/* fd is borrowed for the engine's life. */
	int (*open)(int fd, bool read_only, struct vhu_blk_io **ret_io);
	void (*close)(struct vhu_blk_io *io);
	/*
	 * 0 when all of it is done, VHU_BLK_LATER, or negative errno: -EFAULT when the memory of
	 * data is not there, else a fault of the backing.
	 */
	int (*submit)(struct vhu_blk_io *io, struct vhu_blk_io_op *op);
	/* Optional. A hint: what is at offset_bytes of the file will be wanted soon. */
	void (*prefetch)(struct vhu_blk_io *io, uint64_t offset_bytes);
	/* Optional. The backing has another size now. */
	void (*resize)(struct vhu_blk_io *io, uint64_t size_bytes);
};

/* An engine embeds this as its first member. */
struct vhu_blk_io {
	const struct vhu_blk_io_ops *ops;
	int fd;
	bool is_block;
	uint32_t block_bytes; /* what a block device's own operations are aligned to */
	struct vhu_blk_flush flush;
};

extern const struct vhu_blk_io_ops vhu_blk_io_mmap;
extern const struct vhu_blk_io_ops vhu_blk_io_null;
extern const struct vhu_blk_io_ops vhu_blk_io_sync;

/* NULL when there is no such engine. "auto" gives the one that is best for fd. */
const struct vhu_blk_io_ops *vhu_blk_io_find(const char *name, int fd);

/* For engines: fills in what is common. 0 or negative errno. */
int vhu_blk_io_init(struct vhu_blk_io *io, const struct vhu_blk_io_ops *ops, int fd);
void vhu_blk_io_finish(struct vhu_blk_io *io);

/* The sync engine's submit, for engines that leave some operations to it. */
int vhu_blk_sync_submit(struct vhu_blk_io *io, struct vhu_blk_io_op *op);

#endif
