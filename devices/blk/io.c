/* SPDX-License-Identifier: BSD-3-Clause */
#include "devices/blk/io.h"

#include <errno.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "common/base/num.h"

static const struct vhu_blk_io_ops *const engines[] = {
	&vhu_blk_io_mmap,
	&vhu_blk_io_null,
	&vhu_blk_io_sync,
};

/* Memory is best copied; whatever has a page cache or a driver between is best asked. */
static const char *best_for(int fd)
{
	struct statfs fs;
	struct stat st;

	/* Device nodes lie on a tmpfs, too. */
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || fstatfs(fd, &fs) < 0)
		return "sync";
	return fs.f_type == TMPFS_MAGIC ? "mmap" : "sync";
}

const struct vhu_blk_io_ops *vhu_blk_io_find(const char *name, int fd)
{
	if (!strcmp(name, "auto"))
		name = best_for(fd);
	for (size_t i = 0; i < ARRAY_SIZE(engines); i++)
		if (!strcmp(engines[i]->name, name))
			return engines[i];
	return NULL;
}

int vhu_blk_io_init(struct vhu_blk_io *io, const struct vhu_blk_io_ops *ops, int fd)
{
	struct stat st;
	int block_bytes = 512;

	if (fstat(fd, &st) < 0)
		return -errno;
	io->ops = ops;
	io->fd = fd;
	io->is_block = S_ISBLK(st.st_mode);
	if (io->is_block && ioctl(fd, BLKSSZGET, &block_bytes) < 0)
		return -errno;
	io->block_bytes = (uint32_t)block_bytes;
	vhu_blk_flush_init(&io->flush);
	return 0;
}

void vhu_blk_io_finish(struct vhu_blk_io *io)
{
	vhu_blk_flush_finish(&io->flush);
}
