/* SPDX-License-Identifier: BSD-3-Clause */

/* Flushes wanted at the same time: how many fdatasync() they take, and who hears of an error. */

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "devices/blk/flush.h"

#define LATER 8

static atomic_uint n_calls;
static sem_t gate;
static int errors[16]; /* of each call */

/* In place of the library's: each call waits for the gate. */
int fdatasync(int fd)
{
	unsigned call = atomic_fetch_add(&n_calls, 1);

	(void)fd;
	sem_wait(&gate);
	errno = errors[call];
	return errors[call] ? -1 : 0;
}

struct flusher {
	pthread_t thread;
	struct vhu_blk_flush *flush;
	atomic_int tid;
	int result;
};

static void *run_flusher(void *data)
{
	struct flusher *flusher = data;

	atomic_store(&flusher->tid, gettid());
	flusher->result = vhu_blk_flush(flusher->flush, -1);
	return NULL;
}

static void start(struct flusher *flusher, struct vhu_blk_flush *flush)
{
	*flusher = (struct flusher){ .flush = flush, .result = 1 };
	assert_int_equal(pthread_create(&flusher->thread, NULL, run_flusher, flusher), 0);
}

static bool is_asleep(struct flusher *flusher)
{
	char path[64], state = '?';
	FILE *file;

	if (!atomic_load(&flusher->tid))
		return false;
	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", atomic_load(&flusher->tid));
	file = fopen(path, "re");
	assert_non_null(file);
	assert_int_equal(fscanf(file, "%*d (%*[^)]) %c", &state), 1);
	fclose(file);
	return state == 'S';
}

/* Until all wait: asleep several times in a row, as nobody is who only meets a lock. */
static void wait_until_asleep(struct flusher *flushers, size_t n)
{
	for (unsigned in_a_row = 0; in_a_row < 5; in_a_row++) {
		usleep(5000);
		for (size_t i = 0; i < n; i++)
			if (!is_asleep(&flushers[i]))
				in_a_row = 0;
	}
}

static void run(const int *of_calls, size_t n_of_calls, int first_result, int later_result)
{
	struct flusher first, later[LATER];
	struct vhu_blk_flush flush;

	vhu_blk_flush_init(&flush);
	sem_init(&gate, 0, 0);
	atomic_store(&n_calls, 0);
	memset(errors, 0, sizeof(errors));
	memcpy(errors, of_calls, n_of_calls * sizeof(*of_calls));

	start(&first, &flush);
	wait_until_asleep(&first, 1);
	for (size_t i = 0; i < LATER; i++)
		start(&later[i], &flush);
	wait_until_asleep(later, LATER);
	/* The call under way may have missed their writes: it is not for them. */
	assert_int_equal(atomic_load(&n_calls), 1);
	sem_post(&gate);
	pthread_join(first.thread, NULL);
	assert_int_equal(first.result, first_result);

	/* One call for them all. */
	sem_post(&gate);
	for (size_t i = 0; i < LATER; i++) {
		pthread_join(later[i].thread, NULL);
		assert_int_equal(later[i].result, later_result);
	}
	assert_int_equal(atomic_load(&n_calls), 2);
	sem_destroy(&gate);
	vhu_blk_flush_finish(&flush);
}

static void later_ones_share(void **state)
{
	(void)state;
	run((const int[]){ 0, 0 }, 2, 0, 0);
}

static void the_first_fails(void **state)
{
	(void)state;
	run((const int[]){ EIO, 0 }, 2, -EIO, 0);
}

static void the_shared_one_fails(void **state)
{
	(void)state;
	run((const int[]){ 0, ENOSPC }, 2, 0, -ENOSPC);
}

/* The file system tells of an error once, and then it was not the guest who heard of it. */
static void one_that_nobody_asked_for_fails(void **state)
{
	struct vhu_blk_flush flush;

	(void)state;
	vhu_blk_flush_init(&flush);
	sem_init(&gate, 0, 6);
	atomic_store(&n_calls, 0);
	memset(errors, 0, sizeof(errors));
	errors[0] = EIO;
	errors[4] = ENOSPC;
	assert_int_equal(vhu_blk_flush_unasked(&flush, -1), -EIO);
	assert_int_equal(vhu_blk_flush_unasked(&flush, -1), 0);
	assert_int_equal(vhu_blk_flush(&flush, -1), -EIO);
	assert_int_equal(vhu_blk_flush(&flush, -1), 0);
	assert_int_equal(vhu_blk_flush(&flush, -1), -ENOSPC);
	assert_int_equal(vhu_blk_flush(&flush, -1), 0);
	assert_int_equal(atomic_load(&n_calls), 6);
	sem_destroy(&gate);
	vhu_blk_flush_finish(&flush);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(later_ones_share),
		cmocka_unit_test(the_first_fails),
		cmocka_unit_test(the_shared_one_fails),
		cmocka_unit_test(one_that_nobody_asked_for_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
