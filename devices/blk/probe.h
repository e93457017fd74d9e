/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_DEVICES_BLK_PROBE_H
#define VHU_DEVICES_BLK_PROBE_H

/*
 * What a disk holds, and how it is best used: probe.c by libblkid, probe_none.c without it (then
 * each function gives -EOPNOTSUPP).
 */

#include <stdint.h>

/* Bytes. */
struct vhu_blk_topology {
	uint32_t logical;
	uint32_t physical;
	uint32_t alignment_offset;
	uint32_t min_io;
	uint32_t opt_io; /* 0: unknown */
};

#define VHU_BLK_TEXT 64 /* longer ones are cut */
#define VHU_BLK_MAX_PARTITIONS 128

struct vhu_blk_partition {
	unsigned number;
	uint64_t offset_bytes; /* from where the look began */
	uint64_t size_bytes;
	char type[VHU_BLK_TEXT];
	char uuid[VHU_BLK_TEXT];
	char name[VHU_BLK_TEXT];
};

/* Empty texts: not there. */
struct vhu_blk_content {
	char type[VHU_BLK_TEXT]; /* of a file system, swap space, RAID member ... */
	char uuid[VHU_BLK_TEXT];
	char label[VHU_BLK_TEXT];
	char table[VHU_BLK_TEXT]; /* "gpt", "dos" */
	char table_uuid[VHU_BLK_TEXT];
	unsigned n_partitions;
	struct vhu_blk_partition partitions[VHU_BLK_MAX_PARTITIONS];
};

/*
 * "LABEL=x" and the like to the path of the device that has it, and of a second one that has it
 * too, or NULL; the caller frees both.
 */
int vhu_blk_probe_resolve(const char *spec, char **ret_path, char **ret_second);

/* Of a block device, or of the one below a file's file system. -ENODEV when there is none. */
int vhu_blk_probe_topology(int fd, struct vhu_blk_topology *ret_topology);

/*
 * Looks at [offset, offset + size) of fd; size 0: from offset to the end. Content that nobody knows
 * is no error. Partition tables count in logical blocks: block_bytes.
 */
int vhu_blk_probe_content(int fd, uint64_t offset_bytes, uint64_t size_bytes,
			  uint32_t block_bytes, struct vhu_blk_content *ret_content);

#endif
