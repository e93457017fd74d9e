/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_DEVICES_BLK_HOLDERS_PRIV_H
#define VHU_DEVICES_BLK_HOLDERS_PRIV_H

/* Who else on this machine uses a file or a block device. */

#include <sys/stat.h>

enum vhu_blk_hold {
	VHU_BLK_MOUNTED, /* who: the mount point */
	VHU_BLK_SWAP,	 /* who: the device */
	VHU_BLK_HELD,	 /* by another block device; who: its name */
	VHU_BLK_LOCKED,	 /* by a process; who: its number and name */
	VHU_BLK_OURS,	 /* by this process */
};

extern const char *const vhu_blk_hold_words[];

typedef void vhu_blk_holder_fn(void *data, enum vhu_blk_hold how, const char *who);

/*
 * Mounts, swap and holders of a block device and of its partitions; of a file, swap and the loop
 * devices that it is behind.
 */
void vhu_blk_device_holders(const struct stat *st, vhu_blk_holder_fn *fn, void *data);

/* Processes that have locks on the file or device, but for our own_fd; those we may look at. */
void vhu_blk_lock_holders(const struct stat *st, int own_fd, vhu_blk_holder_fn *fn, void *data);

#endif
