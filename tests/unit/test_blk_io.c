/* SPDX-License-Identifier: BSD-3-Clause */

/* The engines of vhu-blk: the same bytes by each of them, for several queues at once. */

#include <pthread.h>
#include <stdio.h>

#include "devices/blk/copy.h"
#include "tests/unit/blk_io_rig.h"
#include "tests/unit/loop_device.h"

#define N_RIGS 4
#define RANDOM_BYTES (7 * MIB + 512 * 3)

static uint8_t model[RANDOM_BYTES];

/* The bytes of a request as pieces of random lengths, some adjacent, some empty. */
static size_t random_pieces(uint8_t *buf, size_t len, struct iovec *iov, size_t max)
{
	size_t n = 0, done = 0;

	while (done < len) {
		size_t piece = n + 1 == max ? len - done : (size_t)random() % (len - done + 1);

		iov[n++] = (struct iovec){ buf + done, piece };
		done += piece;
	}
	return n;
}

static void random_op(struct rig *rigs)
{
	static uint8_t data[256 * 1024], back[256 * 1024];
	uint64_t len = (1 + (uint64_t)random() % (random() % 8 ? 32 : 512)) * 512;
	uint64_t offset = (uint64_t)random() % ((RANDOM_BYTES - len) / 512 + 1) * 512;
	unsigned flags = random() % 2 ? VHU_BLK_UNMAP : 0;
	enum vhu_blk_op what = (enum vhu_blk_op)(random() % 5);
	struct iovec iov[100];
	size_t n;

	if (what == VHU_BLK_FLUSH || (what > VHU_BLK_FLUSH && random() % 4))
		what = VHU_BLK_WRITE;
	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)random();
	for (size_t i = 0; i < N_RIGS; i++) {
		memset(back, 0, len);
		n = random_pieces(what == VHU_BLK_READ ? back : data, len, iov, ARRAY_SIZE(iov));
		assert_int_equal(submit(&rigs[i], what, flags, offset, iov, n, len), 0);
		if (what == VHU_BLK_READ)
			assert_memory_equal(back, model + offset, len);
	}
	if (what == VHU_BLK_WRITE)
		memcpy(model + offset, data, len);
	else if (what != VHU_BLK_READ)
		memset(model + offset, 0, len);
}

static void all_engines_agree(void **state)
{
	static uint8_t back[RANDOM_BYTES];
	struct rig rigs[N_RIGS];

	(void)state;
	srandom(4711);
	open_rig(&rigs[0], "mmap", memory_file(RANDOM_BYTES));
	open_rig(&rigs[1], "sync", memory_file(RANDOM_BYTES));
	open_rig(&rigs[2], "mmap", disk_file(RANDOM_BYTES));
	open_rig(&rigs[3], "sync", disk_file(RANDOM_BYTES));
	/* The first chunk is full of data, the second half full, the rest holes. */
	for (size_t i = 0; i < N_RIGS; i++)
		fill(&rigs[i], 0, 3 * MIB, 0x11);
	memset(model, 0, sizeof(model));
	memset(model, 0x11, 3 * MIB);
	for (unsigned i = 0; i < 3000; i++)
		random_op(rigs);
	for (size_t i = 0; i < N_RIGS; i++) {
		assert_int_equal(no_data(&rigs[i], VHU_BLK_FLUSH, 0, 0, 0), 0);
		assert_int_equal(pread(rigs[i].fd, back, sizeof(back), 0), sizeof(back));
		assert_memory_equal(back, model, sizeof(model));
		close_rig(&rigs[i]);
	}
}

/* Long copies go another way, whatever the pieces; nothing before or behind is touched. */
static void copies_of_any_shape(void **state)
{
	static uint8_t from[40000], to[40000 + 64];
	struct vhu_iov_cursor data;
	struct iovec iov[20];

	(void)state;
	srandom(815);
	for (unsigned i = 0; i < 2000; i++) {
		size_t len = (size_t)random() % sizeof(from), at = (size_t)random() % 32;
		size_t n = random_pieces(from, sizeof(from), iov, ARRAY_SIZE(iov));
		size_t skipped = min_u64((size_t)random() % 100, sizeof(from) - len);

		for (size_t j = 0; j < sizeof(from); j++)
			from[j] = (uint8_t)(j * 3 + i);
		memset(to, 0xa5, sizeof(to));
		vhu_iov_cursor_init(&data, iov, n);
		vhu_iov_skip(&data, skipped);
		vhu_blk_copy_to_disk(&data, (char *)to + at, len);
		assert_memory_equal(to + at, from + skipped, len);
		assert_int_equal(data.left, sizeof(from) - skipped - len);
		for (size_t j = 0; j < at; j++)
			assert_int_equal(to[j], 0xa5);
		assert_int_equal(to[at + len], 0xa5);
		/* The cursor goes on where it should. */
		vhu_iov_read(&data, to, 1);
		if (skipped + len < sizeof(from))
			assert_int_equal(to[0], from[skipped + len]);
	}
}

static void auto_takes_what_fits(void **state)
{
	int memory = memory_file(MIB), null = open("/dev/null", O_RDWR | O_CLOEXEC);

	(void)state;
	assert_string_equal(vhu_blk_io_find("auto", memory)->name, "mmap");
	/* Its node lies on a tmpfs, but it is no file. */
	assert_string_equal(vhu_blk_io_find("auto", null)->name, "sync");
	assert_null(vhu_blk_io_find("other", memory));
	close(memory);
	close(null);
}

static void null_answers(void **state)
{
	struct rig rig = { .fd = -1 };
	uint8_t sector[512];

	(void)state;
	open_rig(&rig, "null", -1);
	for (int what = 0; what < VHU_BLK_N_OPS; what++)
		assert_int_equal(transfer(&rig, what, 1ull << 40, sector, sizeof(sector)), 0);
	rig.io->ops->close(rig.io);
}

static void many_segments(void **state)
{
	static const char *const engines[] = { "mmap", "sync" };
	static uint8_t buf[300][1024];
	struct iovec iov[300];

	(void)state;
	for (size_t e = 0; e < ARRAY_SIZE(engines); e++) {
		struct rig rig;

		open_rig(&rig, engines[e], memory_file(MIB));
		for (size_t i = 0; i < ARRAY_SIZE(iov); i++) {
			memset(buf[i], (int)i, 512);
			iov[i] = (struct iovec){ buf[i], 512 };
		}
		assert_int_equal(submit(&rig, VHU_BLK_WRITE, VHU_BLK_DURABLE, 1024, iov, 300,
					300 * 512), 0);
		memset(buf, 0xff, sizeof(buf));
		assert_int_equal(submit(&rig, VHU_BLK_READ, 0, 1024, iov, 300, 300 * 512), 0);
		for (size_t i = 0; i < ARRAY_SIZE(iov); i++) {
			assert_int_equal(buf[i][0], i & 0xff);
			assert_int_equal(buf[i][511], i & 0xff);
			assert_int_equal(buf[i][512], 0xff);
		}
		close_rig(&rig);
	}
}

/* By system calls a write is durable by itself (RWF_DSYNC), by copying it is not. */
static void what_is_durable_is_flushed(void **state)
{
	static const char *const engines[] = { "mmap", "sync" };
	static char chunk[CHUNK];
	struct iovec iov = { chunk, 512 };

	(void)state;
	for (size_t e = 0; e < ARRAY_SIZE(engines); e++) {
		int fd = memory_file(CHUNK);
		const uint64_t *done;
		struct rig rig;

		assert_int_equal(pwrite(fd, chunk, CHUNK, 0), CHUNK);
		open_rig(&rig, engines[e], fd);
		done = &rig.io->flush.done;
		assert_int_equal(is_copied(&rig, 0), e == 0);
		assert_int_equal(submit(&rig, VHU_BLK_WRITE, 0, 0, &iov, 1, 512), 0);
		assert_int_equal(*done, 0);
		assert_int_equal(submit(&rig, VHU_BLK_WRITE, VHU_BLK_DURABLE, 0, &iov, 1, 512), 0);
		assert_int_equal(*done, e == 0);
		assert_int_equal(no_data(&rig, VHU_BLK_ZERO, 0, 4096, 4096), 0);
		assert_int_equal(*done, e == 0);
		assert_int_equal(no_data(&rig, VHU_BLK_ZERO, VHU_BLK_DURABLE, 4096, 4096), 0);
		assert_int_equal(*done, (e == 0) + 1);
		close_rig(&rig);
	}
}

/* Guest memory that has gone is told apart from a disk that fails. */
static void memory_that_is_not_there(void **state)
{
	char *gone = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct rig rig;

	(void)state;
	assert_ptr_not_equal(gone, MAP_FAILED);
	assert_int_equal(munmap(gone + 4096, 4096), 0);
	open_rig(&rig, "sync", memory_file(MIB));
	assert_int_equal(transfer(&rig, VHU_BLK_READ, 0, gone, 8192), -EFAULT);
	assert_int_equal(transfer(&rig, VHU_BLK_WRITE, 0, gone + 4096, 512), -EFAULT);
	close_rig(&rig);
	munmap(gone, 4096);
}

static void read_only_files(void **state)
{
	char path[64];
	uint8_t sector[512];
	int fd = memory_file(CHUNK), ro;
	struct rig rig;

	(void)state;
	open_rig(&rig, "sync", fd);
	fill(&rig, 0, CHUNK, 9);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ro = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(ro >= 0);
	close_rig(&rig);

	rig.fd = ro;
	assert_int_equal(vhu_blk_io_mmap.open(ro, true, &rig.io), 0);
	expect(&rig, 0, CHUNK, 9);
	assert_true(is_copied(&rig, 0));
	close_rig(&rig);

	rig.fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(vhu_blk_io_mmap.open(rig.fd, true, &rig.io), -ENODEV);
	assert_int_equal(vhu_blk_io_sync.open(rig.fd, true, &rig.io), 0);
	assert_int_equal(transfer(&rig, VHU_BLK_READ, 0, sector, 512), -EIO);
	close_rig(&rig);
}

static void flush_errors(void **state)
{
	struct vhu_blk_flush flush;
	int pipe_fds[2], fd = memory_file(4096);

	(void)state;
	assert_int_equal(pipe(pipe_fds), 0);
	vhu_blk_flush_init(&flush);
	assert_int_equal(vhu_blk_flush(&flush, fd), 0);
	assert_int_equal(vhu_blk_flush(&flush, pipe_fds[1]), -EINVAL);
	assert_int_equal(vhu_blk_flush(&flush, fd), 0);
	assert_int_equal(flush.begun, 3);
	assert_int_equal(flush.done, 3);
	vhu_blk_flush_finish(&flush);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	close(fd);
}

#define THREADS 4

struct worker {
	pthread_t thread;
	struct rig *rig;
	unsigned number;
	bool failed;
};

/* Sectors of its own in chunks that all share: writes, reads back, now and then makes holes. */
static void *work(void *data)
{
	struct worker *w = data;
	unsigned seed = w->number;
	uint8_t out[512], in[512];

	for (unsigned i = 0; i < 3000 && !w->failed; i++) {
		uint64_t slot = (uint64_t)rand_r(&seed) % (4 * CHUNK / 512 / THREADS);
		uint64_t at = (slot * THREADS + w->number) * 512;

		memset(out, (int)(i + w->number), sizeof(out));
		w->failed = transfer(w->rig, VHU_BLK_WRITE, at, out, 512) < 0 ||
			    transfer(w->rig, VHU_BLK_READ, at, in, 512) < 0 || memcmp(in, out, 512);
		if (i % 16 == 0 && !w->failed) {
			memset(out, 0, sizeof(out));
			w->failed = no_data(w->rig, VHU_BLK_DISCARD, 0, at, 512) < 0 ||
				    transfer(w->rig, VHU_BLK_READ, at, in, 512) < 0 ||
				    memcmp(in, out, 512);
		}
		if (i % 64 == 0 && no_data(w->rig, VHU_BLK_FLUSH, 0, 0, 0) < 0)
			w->failed = true;
	}
	return NULL;
}

static void several_queues(void **state)
{
	static const char *const engines[] = { "mmap", "sync" };
	struct worker workers[THREADS];

	(void)state;
	for (size_t e = 0; e < ARRAY_SIZE(engines); e++) {
		struct rig rig;

		open_rig(&rig, engines[e], memory_file(4 * CHUNK));
		fill(&rig, 0, 3 * CHUNK, 0xcc);
		for (unsigned i = 0; i < THREADS; i++) {
			workers[i] = (struct worker){ .rig = &rig, .number = i };
			assert_int_equal(pthread_create(&workers[i].thread, NULL, work,
							&workers[i]), 0);
		}
		for (unsigned i = 0; i < THREADS; i++) {
			pthread_join(workers[i].thread, NULL);
			assert_false(workers[i].failed);
		}
		/* Each flush was one, or shared one. */
		assert_int_equal(rig.io->flush.begun, rig.io->flush.done);
		assert_true(rig.io->flush.begun <= THREADS * 3000 / 64 + THREADS);
		close_rig(&rig);
	}
}

/* Requests are in sectors of 512 bytes, whatever the device's blocks are. */
static void block_devices(void **state)
{
	int fd = disk_file(4 * MIB), loop = loop_over(fd, NULL);
	struct rig rig;

	(void)state;
	if (loop < 0) {
		close(fd);
		skip();
	}
	open_rig(&rig, "sync", loop);
	fill(&rig, 0, 4 * MIB, 1);
	assert_int_equal(no_data(&rig, VHU_BLK_ZERO, VHU_BLK_UNMAP, 512, 65536), 0);
	expect(&rig, 0, 512, 1);
	expect(&rig, 512, 65536, 0);
	expect(&rig, 512 + 65536, 512, 1);
	/* Only whole blocks can be forgotten: here none, and there all but the ends. */
	assert_int_equal(no_data(&rig, VHU_BLK_DISCARD, 0, MIB + 512, 4096), 0);
	expect(&rig, MIB, 65536, 1);
	assert_int_equal(no_data(&rig, VHU_BLK_DISCARD, 0, 2 * MIB + 512, 65536), 0);
	expect(&rig, 2 * MIB, 4096, 1);
	expect(&rig, 2 * MIB + 65536, 512, 1);
	assert_int_equal(submit(&rig, VHU_BLK_FLUSH, 0, 0, NULL, 0, 0), 0);
	assert_true(no_data(&rig, VHU_BLK_ERASE, 0, 0, 4096) < 0);
	assert_int_equal(transfer(&rig, VHU_BLK_READ, 4 * MIB, model, 512), -EIO);
	close_rig(&rig);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_engines_agree),
		cmocka_unit_test(copies_of_any_shape),
		cmocka_unit_test(auto_takes_what_fits),
		cmocka_unit_test(null_answers),
		cmocka_unit_test(many_segments),
		cmocka_unit_test(what_is_durable_is_flushed),
		cmocka_unit_test(memory_that_is_not_there),
		cmocka_unit_test(read_only_files),
		cmocka_unit_test(flush_errors),
		cmocka_unit_test(several_queues),
		cmocka_unit_test(block_devices),
	};

	vhu_log_set_level(VHU_LOG_WARNING);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
