/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_DEVICES_BLK_LOCK_H
#define VHU_DEVICES_BLK_LOCK_H

/*
 * The locks by which QEMU's programs keep out of one another's images, so that they keep out of
 * ours and we of theirs: bytes of the file, locked by open file description. What a user does with
 * the image is one byte each, what he does not allow others is another.
 */

#include <stdbool.h>

/*
 * For a disk of a guest: reads, and unless read_only writes; nobody else may write. Readers share.
 * The locks go with the last copy of fd. 0; -EBUSY when another holds the image; -EOPNOTSUPP when
 * the file system has no locks; or another negative errno.
 */
int vhu_blk_lock(int fd, bool read_only);
/* Gives them back. */
void vhu_blk_unlock(int fd);

#endif
