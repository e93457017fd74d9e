/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_DEVICES_BLK_BLK_PRIV_H
#define VHU_DEVICES_BLK_BLK_PRIV_H

#include "common/backend/device.h"
#include "common/base/loop.h"
#include "devices/blk/image.h"
#include "devices/blk/request.h"

struct vhu_blk {
	struct vhu_device device;
	struct vhu_blk_image image; /* fd -1: none, the null engine */
	struct vhu_blk_disk disk;
	struct vhu_blk_stats *stats; /* num_queues */
	uint64_t features;	     /* offered */
	unsigned num_queues, queue_size;
	struct vhu_source *watch; /* of the size; while rings run; main's */

	/* Of the image; see hold.c. */
	pthread_mutex_t hold_mutex;
	bool held;
	int refused; /* why it could not be held since the rings last stopped, or 0 */
};

/* hold.c: keeps others away from the image, or lets them. */
int vhu_blk_hold(struct vhu_blk *blk);
void vhu_blk_let_go(struct vhu_blk *blk);

#define VHU_BLK_STATE_VERSION 1
int vhu_blk_save(struct vhu_device *device, void **ret_bytes, size_t *ret_len);
int vhu_blk_load(struct vhu_device *device, uint32_t version, const void *bytes, size_t len);

#endif
