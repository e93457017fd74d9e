/* SPDX-License-Identifier: BSD-3-Clause */
#include "devices/blk/flush.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

void vhu_blk_flush_init(struct vhu_blk_flush *flush)
{
	memset(flush, 0, sizeof(*flush));
	pthread_mutex_init(&flush->mutex, NULL);
	pthread_cond_init(&flush->done_cond, NULL);
}

void vhu_blk_flush_finish(struct vhu_blk_flush *flush)
{
	pthread_cond_destroy(&flush->done_cond);
	pthread_mutex_destroy(&flush->mutex);
}

/* With the mutex held, which is let go for the call itself. */
static void sync_once(struct vhu_blk_flush *flush, int fd)
{
	int error = 0;

	flush->begun++;
	pthread_mutex_unlock(&flush->mutex);
	if (fdatasync(fd) < 0)
		error = -errno;
	pthread_mutex_lock(&flush->mutex);
	flush->done++;
	if (error < 0) {
		flush->failed = flush->done;
		flush->error = error;
	}
	pthread_cond_broadcast(&flush->done_cond);
}

/* With the mutex held. */
static int wait_for_next(struct vhu_blk_flush *flush, int fd)
{
	/* One that is under way may have passed over our last write: the one after it is ours. */
	uint64_t wanted = flush->begun + 1;

	while (flush->done < wanted) {
		if (flush->begun == flush->done)
			sync_once(flush, fd);
		else
			pthread_cond_wait(&flush->done_cond, &flush->mutex);
	}
	return flush->failed >= wanted ? flush->error : 0;
}

int vhu_blk_flush(struct vhu_blk_flush *flush, int fd)
{
	int r;

	pthread_mutex_lock(&flush->mutex);
	r = wait_for_next(flush, fd);
	if (r == 0)
		r = flush->owed;
	flush->owed = 0;
	pthread_mutex_unlock(&flush->mutex);
	return r;
}

int vhu_blk_flush_unasked(struct vhu_blk_flush *flush, int fd)
{
	int r;

	pthread_mutex_lock(&flush->mutex);
	r = wait_for_next(flush, fd);
	if (r < 0)
		flush->owed = r;
	pthread_mutex_unlock(&flush->mutex);
	return r;
}
