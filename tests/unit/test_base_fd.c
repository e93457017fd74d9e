/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/cleanup.h"
#include "common/base/fd.h"
#include "common/base/num.h"

/* More than a socket's buffers hold. */
#define LARGE_BYTES (8u << 20)

/* Whatever blocks where it must not is killed by this. */
static int setup(void **state)
{
	(void)state;
	alarm(60);
	return 0;
}

static void make_pair(int pair[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
}

static void close_pair(int pair[2])
{
	close(pair[0]);
	close(pair[1]);
}

static void test_fds_travel(void **state)
{
	int pair[2], sent[2], fds[VHU_FD_MAX];
	size_t n_fds = 99;
	char buf[16];

	(void)state;
	make_pair(pair);
	assert_int_equal(pipe2(sent, 0), 0);
	assert_int_equal(vhu_fd_send(pair[0], "hello", 5, sent, 2, 1000), 0);
	assert_int_equal(vhu_fd_receive(pair[1], buf, 2, fds, &n_fds), 2);
	assert_int_equal(n_fds, 2);
	assert_true(fcntl(fds[0], F_GETFD) & FD_CLOEXEC);
	assert_true(fcntl(fds[1], F_GETFD) & FD_CLOEXEC);
	/* They are the two ends of the pipe. */
	assert_int_equal(write(fds[1], "x", 1), 1);
	assert_int_equal(read(fds[0], buf + 2, 1), 1);
	close_pair(fds);
	close_pair(sent);

	/* The rest of the bytes brings none. */
	assert_int_equal(vhu_fd_receive(pair[1], buf + 2, sizeof(buf) - 2, fds, &n_fds), 3);
	assert_int_equal(n_fds, 0);
	assert_memory_equal(buf, "hello", 5);

	assert_int_equal(vhu_fd_set_nonblock(pair[1], true), 0);
	assert_int_equal(vhu_fd_receive(pair[1], buf, 1, fds, &n_fds), -EAGAIN);
	close(pair[0]);
	n_fds = 99;
	assert_int_equal(vhu_fd_receive(pair[1], buf, 1, fds, &n_fds), 0);
	assert_int_equal(n_fds, 0);
	close(pair[1]);
	assert_int_equal(vhu_fd_receive(-1, buf, 1, fds, &n_fds), -EBADF);
}

static void test_too_many_fds(void **state)
{
	int pair[2], fds[VHU_FD_MAX], sent[VHU_FD_MAX + 1];
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(sent))];
	} control;
	struct iovec iov = { .iov_base = "x", .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	size_t n_fds = 0, i;
	char byte;

	(void)state;
	make_pair(pair);
	for (i = 0; i < ARRAY_SIZE(sent); i++)
		sent[i] = pair[0];
	assert_int_equal(vhu_fd_send(pair[0], "x", 1, sent, VHU_FD_MAX + 1, 0), -EINVAL);
	assert_int_equal(vhu_fd_send(pair[0], "x", 0, sent, 1, 0), -EINVAL);

	memset(&control, 0, sizeof(control));
	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = SCM_RIGHTS;
	control.header.cmsg_len = CMSG_LEN(sizeof(sent));
	memcpy(CMSG_DATA(&control.header), sent, sizeof(sent));
	assert_int_equal(sendmsg(pair[0], &msg, 0), 1);
	assert_int_equal(vhu_fd_receive(pair[1], &byte, 1, fds, &n_fds), -EMSGSIZE);
	assert_int_equal(n_fds, VHU_FD_MAX);
	for (i = 0; i < n_fds; i++)
		assert_int_equal(close(fds[i]), 0);

	/* Exactly as many as there is room for are no trouble. */
	assert_int_equal(vhu_fd_send(pair[0], "y", 1, sent, VHU_FD_MAX, 0), 0);
	assert_int_equal(vhu_fd_receive(pair[1], &byte, 1, fds, &n_fds), 1);
	assert_int_equal(n_fds, VHU_FD_MAX);
	for (i = 0; i < n_fds; i++)
		assert_int_equal(close(fds[i]), 0);
	close_pair(pair);
}

/* The peer shares the open file, and with it the flag that says whether to wait. */
static void test_receive_never_waits(void **state)
{
	int pair[2], fds[VHU_FD_MAX];
	size_t n_fds;
	char byte;

	(void)state;
	make_pair(pair);
	assert_int_equal(vhu_fd_set_nonblock(pair[1], false), 0);
	assert_int_equal(vhu_fd_receive(pair[1], &byte, 1, fds, &n_fds), -EAGAIN);
	close_pair(pair);
}

struct reader {
	int fd;
	size_t bytes;
	size_t n_fds;
};

static void *read_all(void *data)
{
	struct reader *r = data;
	struct pollfd p = { .fd = r->fd, .events = POLLIN };
	static char buf[65536];
	int fds[VHU_FD_MAX];
	ssize_t n = 1;
	size_t n_fds;

	usleep(20000);
	while (r->bytes < LARGE_BYTES && n > 0 && poll(&p, 1, 5000) == 1) {
		n = vhu_fd_receive(r->fd, buf, sizeof(buf), fds, &n_fds);
		r->bytes += n > 0 ? (size_t)n : 0;
		r->n_fds += n_fds;
		while (n_fds)
			close(fds[--n_fds]);
	}
	return NULL;
}

static void test_send_waits(void **state)
{
	cleanup_free char *large = calloc(1, LARGE_BYTES);
	struct reader reader = { 0 };
	pthread_t thread;
	uint64_t start_ns;
	int pair[2];

	(void)state;
	make_pair(pair);
	assert_int_equal(vhu_fd_set_nonblock(pair[0], true), 0);
	reader.fd = pair[1];
	assert_int_equal(pthread_create(&thread, NULL, read_all, &reader), 0);
	assert_int_equal(vhu_fd_send(pair[0], large, LARGE_BYTES, pair, 2, 50000), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(reader.bytes, LARGE_BYTES);
	assert_int_equal(reader.n_fds, 2); /* with the first byte only */

	start_ns = vhu_now_ns();
	assert_int_equal(vhu_fd_send(pair[0], large, LARGE_BYTES, NULL, 0, 30), -ETIMEDOUT);
	assert_in_range(vhu_now_ns() - start_ns, 30 * NS_PER_MS, 20 * NS_PER_SEC);
	assert_int_equal(vhu_fd_send(pair[0], "x", 1, NULL, 0, 1000), -EAGAIN);

	/* No SIGPIPE. */
	close(pair[1]);
	assert_int_equal(vhu_fd_send(pair[0], "x", 1, NULL, 0, 0), -EPIPE);
	close(pair[0]);
}

static uint64_t count_of(int fd)
{
	uint64_t count = 0;

	assert_int_equal(eventfd_read(fd, &count), 0);
	return count;
}

static void test_signal(void **state)
{
	const uint64_t full = UINT64_MAX - 1;
	int flags, fd;

	(void)state;
	for (flags = 0; flags <= EFD_NONBLOCK; flags += EFD_NONBLOCK) {
		struct vhu_notifier notifier;

		fd = eventfd(0, flags);
		assert_int_equal(vhu_notifier_init(&notifier, fd), 0);
		assert_int_equal(notifier.nonblock, flags != 0);
		assert_int_equal(vhu_fd_signal(fd), 0);
		assert_int_equal(vhu_notifier_signal(&notifier), 0);
		assert_true(count_of(fd) == 2);

		/* Full, and nobody reads. */
		assert_int_equal(eventfd_write(fd, full), 0);
		assert_int_equal(vhu_fd_signal(fd), 0);
		assert_int_equal(vhu_notifier_signal(&notifier), 0);
		assert_true(count_of(fd) == full);
		/* The peer's flag is as it was. */
		assert_int_equal(fcntl(fd, F_GETFL) & O_NONBLOCK, flags ? O_NONBLOCK : 0);
		close(fd);
		assert_int_equal(vhu_fd_signal(fd), -EBADF);
		assert_int_equal(vhu_notifier_signal(&notifier), -EBADF);
	}
}

static void test_notifier_refuses(void **state)
{
	struct vhu_notifier notifier = { .fd = 4711 };
	int pair[2], fd;

	(void)state;
	make_pair(pair);
	fd = memfd_create("vhu-test", MFD_CLOEXEC);
	assert_int_equal(vhu_notifier_init(&notifier, fd), -EINVAL);
	assert_int_equal(vhu_notifier_init(&notifier, pair[0]), -EINVAL);
	close(fd);
	assert_int_equal(vhu_notifier_init(&notifier, fd), -EBADF);
	assert_int_equal(notifier.fd, 4711);
	close_pair(pair);

	assert_int_equal(vhu_notifier_init(&notifier, -1), 0);
	assert_int_equal(vhu_notifier_signal(&notifier), 0);
}

static void test_drain(void **state)
{
	static char block[4096];
	int pipe_fds[2], fd, i;

	(void)state;
	fd = eventfd(7, 0); /* blocking */
	assert_int_equal(vhu_fd_drain(fd), 0);
	assert_int_equal(vhu_fd_drain(fd), 0);
	assert_int_equal(vhu_fd_set_nonblock(fd, true), 0);
	assert_int_equal(vhu_fd_drain(fd), 0);
	assert_int_equal(eventfd_write(fd, 1), 0);
	assert_true(count_of(fd) == 1);
	close(fd);
	assert_int_equal(vhu_fd_drain(fd), -EBADF);

	/* Each read of a semaphore takes one: it is not emptied, but we are not caught either. */
	fd = eventfd(1000000, EFD_SEMAPHORE);
	assert_int_equal(vhu_fd_drain(fd), 0);
	close(fd);

	/* A pipe that is refilled all the time is no trap either. */
	assert_int_equal(pipe2(pipe_fds, 0), 0);
	assert_in_range(fcntl(pipe_fds[0], F_SETPIPE_SZ, 17 * 4096), 17 * 4096, INT_MAX);
	for (i = 0; i < 17; i++)
		assert_int_equal(write(pipe_fds[1], block, sizeof(block)), sizeof(block));
	assert_int_equal(vhu_fd_drain(pipe_fds[0]), 0);
	assert_int_equal(read(pipe_fds[0], block, 1), 1);
	assert_int_equal(vhu_fd_drain(pipe_fds[0]), 0);
	assert_int_equal(vhu_fd_set_nonblock(pipe_fds[0], true), 0);
	assert_int_equal(read(pipe_fds[0], block, 1), -1);
	assert_int_equal(errno, EAGAIN);
	close_pair(pipe_fds);
}

static void test_flags(void **state)
{
	int pipe_fds[2];

	(void)state;
	assert_int_equal(pipe2(pipe_fds, 0), 0);
	assert_int_equal(vhu_fd_set_cloexec(pipe_fds[0]), 0);
	assert_int_equal(fcntl(pipe_fds[0], F_GETFD), FD_CLOEXEC);
	assert_int_equal(vhu_fd_set_nonblock(pipe_fds[0], true), 0);
	assert_true(fcntl(pipe_fds[0], F_GETFL) & O_NONBLOCK);
	assert_int_equal(vhu_fd_set_nonblock(pipe_fds[0], false), 0);
	assert_false(fcntl(pipe_fds[0], F_GETFL) & O_NONBLOCK);
	close_pair(pipe_fds);
	assert_int_equal(vhu_fd_set_cloexec(pipe_fds[0]), -EBADF);
	assert_int_equal(vhu_fd_set_nonblock(pipe_fds[0], true), -EBADF);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fds_travel),
		cmocka_unit_test(test_too_many_fds),
		cmocka_unit_test(test_receive_never_waits),
		cmocka_unit_test(test_send_waits),
		cmocka_unit_test(test_signal),
		cmocka_unit_test(test_notifier_refuses),
		cmocka_unit_test(test_drain),
		cmocka_unit_test(test_flags),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
