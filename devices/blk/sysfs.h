/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_DEVICES_BLK_SYSFS_H
#define VHU_DEVICES_BLK_SYSFS_H

/* What the kernel tells of a block device below /sys/dev/block. */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "devices/blk/request.h"

#define VHU_BLK_SYSFS_PATH 256

/* The folder of a device, and that of the whole disk when it is a partition. */
void vhu_blk_sysfs_folder(dev_t rdev, char path[VHU_BLK_SYSFS_PATH]);
void vhu_blk_sysfs_disk_folder(dev_t rdev, char path[VHU_BLK_SYSFS_PATH]);

/* The first line of folder/name, without its end. 0 or negative errno. */
int vhu_blk_sysfs_line(const char *folder, const char *name, char *line, size_t size);
/* The same as a number, decimal or with 0x. */
int vhu_blk_sysfs_number(const char *folder, const char *name, uint64_t *ret_value);

/* How far flash memory is used up, as its kind tells. -EOPNOTSUPP when it does not. */
int vhu_blk_sysfs_lifetime(const char *disk_folder, struct vhu_blk_lifetime *ret_lifetime);

#endif
