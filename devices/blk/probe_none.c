/* SPDX-License-Identifier: BSD-3-Clause */
#include "devices/blk/probe.h"

#include <errno.h>

int vhu_blk_probe_resolve(const char *spec, char **ret_path, char **ret_second)
{
	(void)spec;
	(void)ret_path;
	(void)ret_second;
	return -EOPNOTSUPP;
}

int vhu_blk_probe_topology(int fd, struct vhu_blk_topology *ret_topology)
{
	(void)fd;
	(void)ret_topology;
	return -EOPNOTSUPP;
}

int vhu_blk_probe_content(int fd, uint64_t offset_bytes, uint64_t size_bytes,
			  uint32_t block_bytes, struct vhu_blk_content *ret_content)
{
	(void)fd;
	(void)offset_bytes;
	(void)size_bytes;
	(void)block_bytes;
	(void)ret_content;
	return -EOPNOTSUPP;
}
