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
	int owed;	 /* of one that nobody asked for: told to the next who asks, or 0 */
};

void vhu_blk_flush_init(struct vhu_blk_flush *flush);
void vhu_blk_flush_finish(struct vhu_blk_flush *flush);

/* Waits until an fdatasync() that began after this call has ended; how it ended. Any thread. */
int vhu_blk_flush(struct vhu_blk_flush *flush, int fd);
/*
 * The same where there is nobody to tell but the log. An error is told by the file system only
 * once: the next who asks still hears of it.
 */
int vhu_blk_flush_unasked(struct vhu_blk_flush *flush, int fd);

#endif
