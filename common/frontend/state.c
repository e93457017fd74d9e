/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/fd.h"
#include "common/base/num.h"
#include "common/frontend/state.h"

#define ERROR_MASK 0xffu
#define NO_FD (1u << 8)

/* The end that the back-end gave, or -1: ours is to be used. */
static int read_answer(struct vhu_message *reply, int *ret_fd)
{
	uint64_t value = reply->payload.u64;
	unsigned n_fds = value & NO_FD ? 0 : 1;

	if (reply->header.size != sizeof(value))
		return -EPROTO;
	/* "The back-end must not both indicate an error and return a file descriptor." */
	if (value & ERROR_MASK)
		return reply->n_fds ? -EPROTO : -EREMOTEIO;
	if (reply->n_fds != n_fds)
		return -EPROTO;
	*ret_fd = vhu_message_steal_fd(reply, 0);
	return 0;
}

int vhu_frontend_open_state(struct vhu_frontend *frontend, uint32_t direction, int *ret_fd)
{
	struct vhu_transfer_state transfer = { .direction = direction };
	cleanup_fd int ours = -1;
	cleanup_fd int theirs = -1;
	struct vhu_message reply;
	int fds[2], given = -1, r;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	ours = fds[direction == VHU_FRONTEND_LOAD];
	theirs = fds[direction != VHU_FRONTEND_LOAD];
	r = vhu_frontend_call(frontend, VHU_SET_DEVICE_STATE_FD, &transfer, sizeof(transfer),
			      &theirs, 1, &reply);
	if (r < 0)
		return r;
	r = read_answer(&reply, &given);
	vhu_message_finish(&reply);
	if (r < 0)
		return r;
	if (given >= 0) {
		close_fd(&ours);
		ours = given;
	}
	r = vhu_fd_set_nonblock(ours, true);
	if (r == 0)
		*ret_fd = steal_fd(&ours);
	return r;
}

int vhu_frontend_check_state(struct vhu_frontend *frontend)
{
	uint64_t value;
	int r = vhu_frontend_ask_u64(frontend, VHU_CHECK_DEVICE_STATE, &value);

	if (r < 0)
		return r;
	return value ? -EREMOTEIO : 0;
}

static int wait_for(const struct vhu_frontend *frontend, int fd, short events)
{
	struct pollfd pollfd = { .fd = fd, .events = events };
	int n = poll(&pollfd, 1, frontend->timeout_ms);

	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	return n ? 0 : -ETIMEDOUT;
}

/* Up to the end of file. */
static int read_all(const struct vhu_frontend *frontend, int fd, char *buf, size_t size,
		    size_t *ret_len)
{
	size_t len = 0;
	char one_more;

	for (;;) {
		ssize_t n = len < size ? read(fd, buf + len, size - len) : read(fd, &one_more, 1);
		int r;

		if (n == 0)
			break;
		if (n > 0 && len == size)
			return -EMSGSIZE;
		if (n > 0) {
			len += (size_t)n;
			continue;
		}
		r = errno == EAGAIN ? wait_for(frontend, fd, POLLIN) : -errno;
		if (r < 0)
			return r;
	}
	*ret_len = len;
	return 0;
}

/* A back-end that has heard enough and closed its end is asked by the check. */
static int write_all(const struct vhu_frontend *frontend, int fd, const char *buf, size_t len)
{
	while (len) {
		ssize_t n = write(fd, buf, len);
		int r;

		if (n >= 0) {
			buf += n;
			len -= (size_t)n;
			continue;
		}
		if (errno == EPIPE)
			return 0;
		r = errno == EAGAIN ? wait_for(frontend, fd, POLLOUT) : -errno;
		if (r < 0)
			return r;
	}
	return 0;
}

int vhu_frontend_save_state(struct vhu_frontend *frontend, void *buf, size_t size, size_t *ret_len)
{
	cleanup_fd int fd = -1;
	int r = vhu_frontend_open_state(frontend, VHU_FRONTEND_SAVE, &fd);

	if (r == 0)
		r = read_all(frontend, fd, buf, size, ret_len);
	return r < 0 ? r : vhu_frontend_check_state(frontend);
}

int vhu_frontend_load_state(struct vhu_frontend *frontend, const void *buf, size_t len)
{
	cleanup_fd int fd = -1;
	int r = vhu_frontend_open_state(frontend, VHU_FRONTEND_LOAD, &fd);

	if (r == 0)
		r = write_all(frontend, fd, buf, len);
	close_fd(&fd);
	return r < 0 ? r : vhu_frontend_check_state(frontend);
}
