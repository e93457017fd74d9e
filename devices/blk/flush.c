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

int vhu_blk_flush(struct vhu_blk_flush *flush, int fd)
{
	uint64_t wanted;
	int r = 0;

	pthread_mutex_lock(&flush->mutex);
	/* One that is under way may have passed over our last write: the one after it is ours. */
	wanted = flush->begun + 1;
	while (flush->done < wanted) {
		if (flush->begun == flush->done)
			sync_once(flush, fd);
		else
			pthread_cond_wait(&flush->done_cond, &flush->mutex);
	}
	if (flush->failed >= wanted)
		r = flush->error;
	pthread_mutex_unlock(&flush->mutex);
	return r;
}
