/* SPDX-License-Identifier: BSD-3-Clause */
#include "devices/blk/probe.h"

#include <blkid/blkid.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/cleanup.h"
#include "devices/blk/request.h"

static void free_probe(blkid_probe *probe)
{
	blkid_free_probe(*probe);
}

#define cleanup_probe __attribute__((cleanup(free_probe)))

static bool is_other_device(const char *path, const char *other)
{
	struct stat st, other_st;

	return stat(path, &st) == 0 && stat(other, &other_st) == 0 &&
	       st.st_rdev != other_st.st_rdev;
}

/* NULL when no device but the one at path has it. */
static char *find_second(const char *spec, const char *path)
{
	cleanup_free char *type = NULL, *value = NULL;
	blkid_dev_iterate iterate;
	char *second = NULL;
	blkid_cache cache;
	blkid_dev device;

	/* No file keeps what is found. */
	if (blkid_parse_tag_string(spec, &type, &value) < 0 ||
	    blkid_get_cache(&cache, "/dev/null") < 0)
		return NULL;
	blkid_probe_all(cache);
	iterate = blkid_dev_iterate_begin(cache);
	blkid_dev_set_search(iterate, type, value);
	while (!second && blkid_dev_next(iterate, &device) == 0)
		if (is_other_device(path, blkid_dev_devname(device)))
			second = strdup(blkid_dev_devname(device));
	blkid_dev_iterate_end(iterate);
	blkid_put_cache(cache);
	return second;
}

int vhu_blk_probe_resolve(const char *spec, char **ret_path, char **ret_second)
{
	char *path = blkid_evaluate_spec(spec, NULL);

	if (!path)
		return -ENOENT;
	*ret_path = path;
	*ret_second = find_second(spec, path);
	return 0;
}

static int device_topology(int fd, struct vhu_blk_topology *ret_topology)
{
	cleanup_probe blkid_probe probe = blkid_new_probe();
	blkid_topology t;

	if (!probe || blkid_probe_set_device(probe, fd, 0, 0) < 0)
		return -EIO;
	t = blkid_probe_get_topology(probe);
	if (!t)
		return -ENODEV;
	*ret_topology = (struct vhu_blk_topology){
		.logical = (uint32_t)blkid_topology_get_logical_sector_size(t),
		.physical = (uint32_t)blkid_topology_get_physical_sector_size(t),
		.alignment_offset = (uint32_t)blkid_topology_get_alignment_offset(t),
		.min_io = (uint32_t)blkid_topology_get_minimum_io_size(t),
		.opt_io = (uint32_t)blkid_topology_get_optimal_io_size(t),
	};
	return 0;
}

/* The file system may be on a partition; its blocks are the disk's. */
static int open_disk_below(dev_t device)
{
	char name[256], path[sizeof(name) + sizeof("/dev/")];
	int fd;

	if (blkid_devno_to_wholedisk(device, name, sizeof(name), NULL) < 0)
		return -ENODEV;
	snprintf(path, sizeof(path), "/dev/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int vhu_blk_probe_topology(int fd, struct vhu_blk_topology *ret_topology)
{
	cleanup_fd int disk_fd = -1;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISBLK(st.st_mode))
		return device_topology(fd, ret_topology);
	disk_fd = open_disk_below(st.st_dev);
	return disk_fd < 0 ? disk_fd : device_topology(disk_fd, ret_topology);
}

/* Cut at the border of a UTF-8 character. */
static void copy_text(char to[VHU_BLK_TEXT], const char *text)
{
	size_t n = text ? strnlen(text, VHU_BLK_TEXT) : 0;

	if (n == VHU_BLK_TEXT)
		for (n--; n && (text[n] & 0xc0) == 0x80;)
			n--;
	if (n)
		memcpy(to, text, n);
	to[n] = '\0';
}

static void copy_value(blkid_probe probe, const char *name, char to[VHU_BLK_TEXT])
{
	const char *text = NULL;

	blkid_probe_lookup_value(probe, name, &text, NULL);
	copy_text(to, text);
}

/* libblkid counts in sectors of 512 bytes, whatever the device has. */
static void copy_partitions(blkid_partlist list, struct vhu_blk_content *content)
{
	int n = blkid_partlist_numof_partitions(list);

	for (int i = 0; i < n && content->n_partitions < VHU_BLK_MAX_PARTITIONS; i++) {
		struct vhu_blk_partition *to = &content->partitions[content->n_partitions];
		blkid_partition from = blkid_partlist_get_partition(list, i);

		if (blkid_partition_is_extended(from))
			continue;
		to->number = (unsigned)blkid_partition_get_partno(from);
		to->offset_bytes = (uint64_t)blkid_partition_get_start(from) *
				   VHU_BLK_SECTOR_BYTES;
		to->size_bytes = (uint64_t)blkid_partition_get_size(from) * VHU_BLK_SECTOR_BYTES;
		copy_text(to->uuid, blkid_partition_get_uuid(from));
		copy_text(to->name, blkid_partition_get_name(from));
		if (blkid_partition_get_type_string(from))
			copy_text(to->type, blkid_partition_get_type_string(from));
		else
			snprintf(to->type, sizeof(to->type), "0x%x",
				 (unsigned)blkid_partition_get_type(from));
		content->n_partitions++;
	}
}

int vhu_blk_probe_content(int fd, uint64_t offset_bytes, uint64_t size_bytes,
			  uint32_t block_bytes, struct vhu_blk_content *ret_content)
{
	cleanup_probe blkid_probe probe = blkid_new_probe();
	blkid_partlist list;

	if (!probe ||
	    blkid_probe_set_device(probe, fd, (blkid_loff_t)offset_bytes,
				   (blkid_loff_t)size_bytes) < 0 ||
	    blkid_probe_set_sectorsize(probe, block_bytes) < 0)
		return -EIO;
	blkid_probe_enable_superblocks(probe, 1);
	blkid_probe_set_superblocks_flags(probe, BLKID_SUBLKS_DEFAULT | BLKID_SUBLKS_TYPE);
	blkid_probe_enable_partitions(probe, 1);
	memset(ret_content, 0, sizeof(*ret_content));
	/* Negative: a read error, or several file systems at once, of which none is told. */
	blkid_do_safeprobe(probe);
	copy_value(probe, "TYPE", ret_content->type);
	copy_value(probe, "UUID", ret_content->uuid);
	copy_value(probe, "LABEL", ret_content->label);
	copy_value(probe, "PTTYPE", ret_content->table);
	copy_value(probe, "PTUUID", ret_content->table_uuid);
	list = blkid_probe_get_partitions(probe);
	if (list)
		copy_partitions(list, ret_content);
	return 0;
}
