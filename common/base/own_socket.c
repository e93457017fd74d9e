/* SPDX-License-Identifier: BSD-3-Clause */
#include "common/base/own_socket.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/cleanup.h"

static int bind_socket(int fd, const struct sockaddr_un *address)
{
	if (bind(fd, (const struct sockaddr *)address, sizeof(*address)) == 0)
		return 0;
	return -errno;
}

/* The file of a program that was killed; a program that listens is left alone. */
static bool is_stale(const struct sockaddr_un *address)
{
	cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 &&
	       errno == ECONNREFUSED;
}

int vhu_own_socket_listen(const char *path, int backlog, struct vhu_own_socket *ret_socket)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct stat st;
	int r;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	strcpy(address.sun_path, path);
	/* connect() takes any file for a socket that nobody listens on. */
	if (lstat(path, &st) == 0 && !S_ISSOCK(st.st_mode))
		return -EEXIST;
	if (fd < 0 || fchmod(fd, 0600) < 0)
		return -errno;
	r = bind_socket(fd, &address);
	if (r == -EADDRINUSE && is_stale(&address) && unlink(path) == 0)
		r = bind_socket(fd, &address);
	if (r < 0)
		return r;
	if (listen(fd, backlog) < 0 || lstat(path, &st) < 0) {
		r = -errno;
		unlink(path);
		return r;
	}
	*ret_socket = (struct vhu_own_socket){ steal_fd(&fd), path, st.st_dev, st.st_ino };
	return 0;
}

const char *vhu_own_socket_explain(int error)
{
	switch (error) {
	case -EADDRINUSE:
		return "a program listens there";
	case -EEXIST:
		return "it exists and is no socket";
	case -ENAMETOOLONG:
		return "a socket's path has at most 107 bytes";
	default:
		return strerror(-error);
	}
}

void vhu_own_socket_close(struct vhu_own_socket *own)
{
	struct stat st;

	/* The open socket keeps its inode, so the number cannot be another file's by now. */
	if (own->path && lstat(own->path, &st) == 0 && st.st_dev == own->dev &&
	    st.st_ino == own->ino)
		unlink(own->path);
	own->path = NULL;
	close_fd(&own->fd);
}
