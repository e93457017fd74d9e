/* SPDX-License-Identifier: BSD-3-Clause */
/* Answers at once and moves nothing: what is left is the cost of the framework. */
#include <errno.h>
#include <stdlib.h>

#include "devices/blk/io.h"

static int null_open(int fd, bool read_only, struct vhu_blk_io **ret_io)
{
	struct vhu_blk_io *io = calloc(1, sizeof(*io));

	(void)fd;
	(void)read_only;
	if (!io)
		return -ENOMEM;
	io->ops = &vhu_blk_io_null;
	*ret_io = io;
	return 0;
}

static void null_close(struct vhu_blk_io *io)
{
	free(io);
}

static int null_submit(struct vhu_blk_io *io, struct vhu_blk_io_op *op)
{
	(void)io;
	(void)op;
	return 0;
}

const struct vhu_blk_io_ops vhu_blk_io_null = {
	.name = "null",
	.in_order = true,
	.open = null_open,
	.close = null_close,
	.submit = null_submit,
};
