/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_DEVICES_BLK_COPY_H
#define VHU_DEVICES_BLK_COPY_H

#include <stddef.h>

#include "common/base/iov.h"

/*
 * The next len bytes of data into a mapping of the disk, len at most what is left of data. Long
 * copies go past the caches: what the guest has just written is not read back soon, and a line need
 * not be fetched in order to be overwritten.
 */
void vhu_blk_copy_to_disk(struct vhu_iov_cursor *data, char *to, size_t len);

#endif
