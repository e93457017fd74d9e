/* SPDX-License-Identifier: BSD-3-Clause */
/* Transfers of a device's state, with peers that read slowly, never end, or go. */

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/backend/state.h"
#include "common/base/fd.h"
#include "tests/unit/capture.h"

#define SECONDS_5 (5 * NS_PER_SEC)
#define SHORT_NS (50 * NS_PER_MS)

static struct vhu_loop *loop;
static unsigned n_ended;

static void ended(void *data)
{
	(void)data;
	n_ended++;
}

static int setup(void **state)
{
	(void)state;
	n_ended = 0;
	return vhu_loop_new(&loop);
}

static int teardown(void **state)
{
	(void)state;
	vhu_loop_destroy(loop);
	return 0;
}

static struct vhu_state_transfer *begin(enum vhu_state_direction direction, int fd, void *bytes,
					size_t len, uint64_t timeout_ns)
{
	struct vhu_state_transfer *transfer;

	assert_int_equal(vhu_state_transfer_new(loop, direction, fd, bytes, len, timeout_ns, ended,
						NULL, &transfer),
			 0);
	assert_int_equal(vhu_state_transfer_result(transfer), -EINPROGRESS);
	return transfer;
}

static int result_of(struct vhu_state_transfer *transfer)
{
	uint64_t end_ns = vhu_now_ns() + SECONDS_5;

	while (!n_ended && vhu_now_ns() < end_ns)
		vhu_loop_turn(loop, NS_PER_MS);
	assert_int_equal(n_ended, 1);
	return vhu_state_transfer_result(transfer);
}

static char *pattern(size_t len)
{
	char *bytes = malloc(len);

	assert_non_null(bytes);
	for (size_t i = 0; i < len; i++)
		bytes[i] = (char)(i * 7 + i / 251);
	return bytes;
}

static void make_pipe(int fds[2])
{
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
}

static void bytes_go_there_and_back(void **state)
{
	static const size_t lengths[] = { 0, 1, 4095, 4096, 4097, 3 << 20 };
	struct vhu_state_transfer *save, *load;
	const void *got;
	size_t len;
	int fds[2];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		char *bytes = pattern(lengths[i] + 1);

		n_ended = 0;
		make_pipe(fds);
		load = begin(VHU_STATE_LOAD, fds[0], NULL, 64 << 20, SECONDS_5);
		save = begin(VHU_STATE_SAVE, fds[1], pattern(lengths[i] + 1), lengths[i],
			     SECONDS_5);
		while (n_ended < 2)
			vhu_loop_turn(loop, SECONDS_5);
		assert_int_equal(vhu_state_transfer_result(save), 0);
		assert_int_equal(vhu_state_transfer_result(load), 0);
		got = vhu_state_transfer_bytes(load, &len);
		assert_int_equal(len, lengths[i]);
		assert_memory_equal(got, bytes, len);
		vhu_state_transfer_drop(save);
		vhu_state_transfer_drop(load);
		free(bytes);
	}
}

static void a_reader_that_does_not_read(void **state)
{
	struct vhu_state_transfer *save;
	int fds[2];

	(void)state;
	make_pipe(fds);
	save = begin(VHU_STATE_SAVE, fds[1], pattern(1 << 20), 1 << 20, SHORT_NS);
	assert_int_equal(result_of(save), -ETIMEDOUT);
	vhu_state_transfer_drop(save);
	close(fds[0]);
}

static void a_reader_that_goes(void **state)
{
	struct vhu_state_transfer *save;
	int fds[2];

	(void)state;
	make_pipe(fds);
	close(fds[0]);
	save = begin(VHU_STATE_SAVE, fds[1], pattern(1 << 20), 1 << 20, SECONDS_5);
	assert_int_equal(result_of(save), -EPIPE);
	vhu_state_transfer_drop(save);
}

static void a_writer_that_does_not_write(void **state)
{
	struct vhu_state_transfer *load;
	int fds[2];

	(void)state;
	make_pipe(fds);
	load = begin(VHU_STATE_LOAD, fds[0], NULL, 1 << 20, SHORT_NS);
	assert_int_equal(result_of(load), -ETIMEDOUT);
	vhu_state_transfer_drop(load);
	close(fds[1]);
}

/* A file that has no end to speak of. */
static void a_writer_that_does_not_end(void **state)
{
	int fd = memfd_create("state", MFD_CLOEXEC);
	struct vhu_state_transfer *load;

	(void)state;
	assert_int_equal(ftruncate(fd, INT64_C(1) << 40), 0);
	load = begin(VHU_STATE_LOAD, fd, NULL, 1 << 20, SECONDS_5);
	assert_int_equal(result_of(load), -EFBIG);
	vhu_state_transfer_drop(load);
}

/* Dropped while it waits: nothing is told, and the thread goes, which the pipe's other end sees. */
static void dropped_in_the_middle(void **state)
{
	int in[2], out[2];
	char byte;

	(void)state;
	make_pipe(in);
	make_pipe(out);
	vhu_state_transfer_drop(begin(VHU_STATE_LOAD, in[0], NULL, 1 << 20, SECONDS_5));
	vhu_state_transfer_drop(begin(VHU_STATE_SAVE, out[1], pattern(1 << 20), 1 << 20,
				      SECONDS_5));
	while (read(out[0], &byte, 1) == 1)
		;
	signal(SIGPIPE, SIG_IGN);
	while (write(in[1], "x", 1) == 1)
		usleep(1000);
	assert_int_equal(errno, EPIPE);
	vhu_loop_turn(loop, SHORT_NS);
	assert_int_equal(n_ended, 0);
	close(in[1]);
	close(out[0]);
}

/* Dropped when its end is told already. */
static void dropped_behind_the_end(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 200; i++) {
		struct timespec moment = { .tv_nsec = 1000 * (long)i };
		struct vhu_state_transfer *save;
		int fds[2];

		make_pipe(fds);
		save = begin(VHU_STATE_SAVE, fds[1], pattern(10), 10, SECONDS_5);
		nanosleep(&moment, NULL);
		vhu_state_transfer_drop(save);
		close(fds[0]);
	}
	vhu_loop_turn(loop, 0);
	assert_int_equal(n_ended, 0);
}

static void fds_have_a_direction(void **state)
{
	int fds[2], pair[2];

	(void)state;
	make_pipe(fds);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_true(vhu_state_fd_fits(fds[1], VHU_STATE_SAVE));
	assert_false(vhu_state_fd_fits(fds[0], VHU_STATE_SAVE));
	assert_true(vhu_state_fd_fits(fds[0], VHU_STATE_LOAD));
	assert_false(vhu_state_fd_fits(fds[1], VHU_STATE_LOAD));
	assert_true(vhu_state_fd_fits(pair[0], VHU_STATE_SAVE));
	assert_true(vhu_state_fd_fits(pair[0], VHU_STATE_LOAD));
	for (unsigned i = 0; i < 2; i++) {
		close(fds[i]);
		close(pair[i]);
	}
}

/* The header, by a device that has nothing but a state. */

static char kept[16];
static size_t kept_len;
static uint32_t kept_version;

static int save(struct vhu_device *device, void **ret_bytes, size_t *ret_len)
{
	(void)device;
	*ret_bytes = malloc(kept_len + 1);
	assert_non_null(*ret_bytes);
	memcpy(*ret_bytes, kept, kept_len);
	*ret_len = kept_len;
	return 0;
}

static int load(struct vhu_device *device, uint32_t version, const void *bytes, size_t len)
{
	(void)device;
	if (len > sizeof(kept))
		return -EINVAL;
	memcpy(kept, bytes, len);
	kept_len = len;
	kept_version = version;
	return 0;
}

static const struct vhu_device_ops ops = {
	.name = "box",
	.state_version = 2,
	.save = save,
	.load = load,
};

static void a_state_is_loaded(void **state)
{
	struct vhu_device device = { .ops = &ops };
	void *bytes;
	size_t len;

	(void)state;
	for (unsigned n = 0; n <= 10; n += 10) {
		memcpy(kept, "0123456789", 10);
		kept_len = n;
		assert_int_equal(vhu_state_pack(&device, &bytes, &len), 0);
		assert_int_equal(len, 40 + n);
		memset(kept, 0, sizeof(kept));
		kept_len = 99;
		assert_int_equal(vhu_state_unpack(&device, bytes, len), 0);
		assert_int_equal(kept_len, n);
		assert_int_equal(kept_version, 2);
		assert_memory_equal(kept, "0123456789", n);
		free(bytes);
	}
}

static void a_wrong_header_is_refused(void **state)
{
	static const struct {
		size_t at, n;
		const char *bytes, *said;
		int result;
	} rows[] = {
		{ 0, 1, "V", "no state of a device", -EINVAL },
		{ 8, 4, "blk", "of another kind", -EXDEV },
		{ 8, 16, "0123456789abcdef", "no state of a device", -EINVAL },
		{ 24, 4, "\3\0\0", "version 3, this program knows up to 2", -EPROTONOSUPPORT },
		{ 27, 1, "\x80", "version 2147483650", -EPROTONOSUPPORT },
		{ 28, 1, "\1", "no state of a device", -EINVAL },
		{ 32, 1, "\x0b", "should have 11 bytes and has 10", -EINVAL },
		{ 39, 1, "\xff", "and has 10", -EINVAL },
	};
	struct vhu_device device = { .ops = &ops };
	struct capture capture;
	void *good;
	char bad[64];
	size_t len;
	int r;

	(void)state;
	kept_len = 10;
	assert_int_equal(vhu_state_pack(&device, &good, &len), 0);
	kept_len = 99;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		memcpy(bad, good, len);
		memcpy(bad + rows[i].at, rows[i].bytes, rows[i].n);
		capture_begin(&capture, STDERR_FILENO);
		r = vhu_state_unpack(&device, bad, len);
		capture_end_line(&capture, rows[i].said);
		assert_int_equal(r, rows[i].result);
	}
	/* Cut short anywhere, or followed by more; and the slot refuses, too. */
	capture_begin(&capture, STDERR_FILENO);
	for (size_t n = 0; n < len; n++) {
		char *cut = malloc(n ? n : 1);

		memcpy(cut, good, n);
		r = vhu_state_unpack(&device, cut, n);
		free(cut);
		if (r != -EINVAL)
			break;
	}
	capture_end(&capture);
	assert_int_equal(r, -EINVAL);
	assert_int_equal(kept_len, 99);
	free(good);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(bytes_go_there_and_back),
		TEST(a_reader_that_does_not_read),
		TEST(a_reader_that_goes),
		TEST(a_writer_that_does_not_write),
		TEST(a_writer_that_does_not_end),
		TEST(dropped_in_the_middle),
		TEST(dropped_behind_the_end),
		TEST(fds_have_a_direction),
		TEST(a_state_is_loaded),
		TEST(a_wrong_header_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
