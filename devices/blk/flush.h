/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_DEVICES_BLK_FLUSH_H
#define VHU_DEVICES_BLK_FLUSH_H

/* Flushes that several queues want at the same time, by one fdatasync(). */

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct vhu_blk_flush {
	pthread_mutex_t mutex;
	pthread_cond_t done_cond;
	uint64_t begun;	 /* fdatasync() calls so far */
	uint64_t done;	 /* of them, ended */
	uint64_t failed; /* the last one that failed, counted from 1 */
	int error;	 /* its negative errno */
};

void vhu_blk_flush_init(struct vhu_blk_flush *flush);
void vhu_blk_flush_finish(struct vhu_blk_flush *flush);

/* Waits until an fdatasync() that began after this call has ended; how it ended. Any thread. */
int vhu_blk_flush(struct vhu_blk_flush *flush, int fd);

#endif
