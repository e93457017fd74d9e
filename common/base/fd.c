/* SPDX-License-Identifier: BSD-3-Clause */
#include "common/base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "common/base/num.h"

/* A pipe of the usual size is empty after so many reads; nobody can keep us here longer. */
#define DRAIN_READS 16

union control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(sizeof(int) * VHU_FD_MAX)];
};

static size_t collect_fds(struct msghdr *msg, int *fds)
{
	struct cmsghdr *cmsg;
	size_t n = 0, more;

	for (cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR(msg, cmsg)) {
		if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		more = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(fds + n, CMSG_DATA(cmsg), more * sizeof(int));
		n += more;
	}
	return n;
}

ssize_t vhu_fd_receive(int fd, void *buf, size_t len, int fds[VHU_FD_MAX], size_t *ret_n_fds)
{
	union control control;
	struct iovec iov = { .iov_base = buf, .iov_len = len };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n;

	*ret_n_fds = 0;
	do {
		n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	*ret_n_fds = collect_fds(&msg, fds);
	return msg.msg_flags & MSG_CTRUNC ? -EMSGSIZE : n;
}

/* Returns 0 when the socket takes more, -ETIMEDOUT or another negative errno. */
static int wait_writable(int fd, uint64_t deadline_ns)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	uint64_t now_ns = vhu_now_ns();
	int n;

	if (now_ns >= deadline_ns)
		return -ETIMEDOUT;
	n = poll(&p, 1, (int)((deadline_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS));
	return n < 0 && errno != EINTR ? -errno : 0;
}

int vhu_fd_send(int fd, const void *buf, size_t len, const int *fds, size_t n_fds, int timeout_ms)
{
	uint64_t deadline_ns = vhu_now_ns() + (uint64_t)timeout_ms * NS_PER_MS;
	union control control = { 0 };
	struct iovec iov = { .iov_base = (void *)buf, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	bool begun = false;
	ssize_t n;
	int r = 0;

	if (len == 0 || n_fds > VHU_FD_MAX)
		return -EINVAL;
	if (n_fds) {
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(&control.align), fds, n_fds * sizeof(int));
	}
	while (iov.iov_len && r == 0) {
		n = sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n >= 0) {
			begun = true;
			msg.msg_control = NULL;
			msg.msg_controllen = 0;
			iov.iov_base = (char *)iov.iov_base + n;
			iov.iov_len -= (size_t)n;
		} else if (errno == EAGAIN && begun) {
			r = wait_writable(fd, deadline_ns);
		} else if (errno != EINTR) {
			r = -errno;
		}
	}
	return r;
}

int vhu_fd_set_nonblock(int fd, bool on)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return -errno;
	flags = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
	return fcntl(fd, F_SETFL, flags) < 0 ? -errno : 0;
}

int vhu_fd_set_cloexec(int fd)
{
	return fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 ? -errno : 0;
}

static int add_one(int fd)
{
	const uint64_t one = 1;
	ssize_t n;

	do {
		n = write(fd, &one, sizeof(one));
	} while (n < 0 && errno == EINTR);
	return n < 0 && errno != EAGAIN ? -errno : 0;
}

int vhu_fd_signal(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	int n;

	do {
		n = poll(&p, 1, 0);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (p.revents & POLLNVAL)
		return -EBADF;
	return p.revents == POLLOUT ? add_one(fd) : 0;
}

int vhu_notifier_init(struct vhu_notifier *notifier, int fd)
{
	const uint64_t zero = 0;
	struct stat st;
	int flags;

	if (fd < 0) {
		*notifier = (struct vhu_notifier){ .fd = -1 };
		return 0;
	}
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fstat(fd, &st) < 0)
		return -errno;
	/*
	 * Files without a name have no type. Of these only an eventfd takes eight bytes, and zero
	 * changes nothing and never waits.
	 */
	if (st.st_mode & S_IFMT || write(fd, &zero, sizeof(zero)) != sizeof(zero))
		return -EINVAL;
	*notifier = (struct vhu_notifier){ .fd = fd, .nonblock = flags & O_NONBLOCK };
	return 0;
}

int vhu_notifier_signal(const struct vhu_notifier *notifier)
{
	if (notifier->fd < 0)
		return 0;
	return notifier->nonblock ? add_one(notifier->fd) : vhu_fd_signal(notifier->fd);
}

/* read(2) that fails with EAGAIN where it would wait, also on a blocking fd that we share. */
static ssize_t read_nowait(int fd, void *buf, size_t len)
{
	struct iovec iov = { .iov_base = buf, .iov_len = len };
	struct pollfd p = { .fd = fd, .events = POLLIN };
	ssize_t n = preadv2(fd, &iov, 1, -1, RWF_NOWAIT);

	if (n >= 0 || errno != EOPNOTSUPP)
		return n;
	n = poll(&p, 1, 0);
	if (n > 0)
		return read(fd, buf, len);
	if (n == 0)
		errno = EAGAIN;
	return -1;
}

int vhu_fd_drain(int fd)
{
	char buf[4096];
	ssize_t n = sizeof(buf);
	int i;

	for (i = 0; i < DRAIN_READS && n == sizeof(buf); i++) {
		do {
			n = read_nowait(fd, buf, sizeof(buf));
		} while (n < 0 && errno == EINTR);
	}
	return n < 0 && errno != EAGAIN ? -errno : 0;
}

uint64_t vhu_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_SEC + (uint64_t)ts.tv_nsec;
}
