/* SPDX-License-Identifier: BSD-3-Clause */
#include "common/serve/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "common/base/num.h"

#define BACKLOG 16
#define LOCK_TRIES 100
#define LOCK_PAUSE_NS (10 * NS_PER_MS)

/* Returns error, which is negative. */
static int complain(int error, const char *what, const char *path)
{
	vhu_error("%s '%s': %s", what, path, strerror(-error));
	return error;
}

int vhu_socket_check_path(const char *path)
{
	size_t len = strlen(path);

	if (len <= VHU_SOCKET_PATH_MAX)
		return 0;
	vhu_error("socket path '%s' has %zu bytes; a socket's path has at most %d", path, len,
		  VHU_SOCKET_PATH_MAX);
	return -ENAMETOOLONG;
}

static struct sockaddr_un address_of(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	memcpy(address.sun_path, path, strlen(path) + 1);
	return address;
}

int vhu_socket_connect(const char *path, int *ret_fd)
{
	struct sockaddr_un address = address_of(path);
	cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	*ret_fd = steal_fd(&fd);
	return 0;
}

/*
 * Two programs that find the same stale file must not both replace it: the second would remove the
 * first one's fresh socket. So look, remove, bind and listen are done under a lock on the folder
 * itself: a lock file would have to stay behind for ever, or be open to the same race. The lock is
 * advice that others need not take, and anybody who can read the folder can hold it, so nobody
 * waits long for it.
 *
 * Returns the folder's fd, which holds the lock until it is closed, or negative errno.
 */
static int lock_folder(const char *path)
{
	const struct timespec pause = { .tv_nsec = LOCK_PAUSE_NS };
	cleanup_free char *folder = strdup(path);
	char *slash;
	int fd, tries;

	if (!folder)
		return -ENOMEM;
	slash = strrchr(folder, '/');
	if (slash)
		slash[slash == folder] = '\0';
	fd = open(slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return complain(-errno, "cannot open the folder of socket", path);
	for (tries = 0; flock(fd, LOCK_EX | LOCK_NB) < 0 && tries < LOCK_TRIES; tries++)
		nanosleep(&pause, NULL);
	return fd;
}

static int complain_in_use(const char *path)
{
	vhu_error("socket '%s' is in use: a program listens there", path);
	return -EADDRINUSE;
}

/* What is at path? *ret_stale: a socket that nobody listens on any more. */
static int look_at_path(const char *path, bool *ret_stale)
{
	cleanup_fd int fd = -1;
	struct stat st;
	int r;

	*ret_stale = false;
	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : complain(-errno, "cannot look at", path);
	if (!S_ISSOCK(st.st_mode)) {
		vhu_error("'%s' exists and is no socket: it is left alone", path);
		return -EEXIST;
	}
	r = vhu_socket_connect(path, &fd);
	if (r == 0 || r == -EAGAIN || r == -EPROTOTYPE)
		return complain_in_use(path);
	if (r != -ECONNREFUSED && r != -ENOENT)
		return complain(r, "cannot tell who uses socket", path);
	*ret_stale = r == -ECONNREFUSED;
	return 0;
}

int vhu_listener_check(const char *path)
{
	cleanup_fd int folder_fd = -1;
	bool stale;
	int r = vhu_socket_check_path(path);

	if (r < 0)
		return r;
	folder_fd = lock_folder(path);
	if (folder_fd < 0)
		return folder_fd;
	r = look_at_path(path, &stale);
	if (r < 0)
		return r;
	if (faccessat(folder_fd, ".", W_OK | X_OK, AT_EACCESS) < 0)
		return complain(-errno, "cannot make socket", path);
	return 0;
}

/* The lock is held. Returns 0 when the file is there, and ours. */
static int bind_socket(int fd, const char *path)
{
	struct sockaddr_un address = address_of(path);
	bool stale;
	int r = look_at_path(path, &stale);

	if (r < 0)
		return r;
	if (stale && unlink(path) < 0 && errno != ENOENT)
		return complain(-errno, "cannot remove the stale socket", path);
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return 0;
	return errno == EADDRINUSE ? complain_in_use(path)
				   : complain(-errno, "cannot make socket", path);
}

int vhu_listener_open(const char *path, struct vhu_listener *ret_listener)
{
	struct vhu_listener listener = { .fd = -1 };
	cleanup_fd int folder_fd = -1;
	cleanup_free char *copy = strdup(path);
	struct stat st;
	int r = vhu_socket_check_path(path);

	if (r < 0)
		return r;
	folder_fd = lock_folder(path);
	if (folder_fd < 0)
		return folder_fd;
	listener.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	r = listener.fd < 0 ? -errno : copy ? bind_socket(listener.fd, path) : -ENOMEM;
	if (r < 0) {
		close_fd(&listener.fd);
		return r;
	}
	if (lstat(path, &st) < 0 || listen(listener.fd, BACKLOG) < 0) {
		r = complain(-errno, "cannot listen on", path);
		unlink(path);
		close_fd(&listener.fd);
		return r;
	}
	listener.path = copy;
	listener.dev = st.st_dev;
	listener.ino = st.st_ino;
	copy = NULL;
	*ret_listener = listener;
	return 0;
}

void vhu_listener_close(struct vhu_listener *listener)
{
	struct stat st;

	/* The open socket keeps its inode, so the number cannot be another file's by now. */
	if (listener->path && lstat(listener->path, &st) == 0 && st.st_dev == listener->dev &&
	    st.st_ino == listener->ino)
		unlink(listener->path);
	free(listener->path);
	listener->path = NULL;
	close_fd(&listener->fd);
}

static int socket_number(int fd, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, name, &value, &len) < 0 ? -errno : value;
}

int vhu_socket_inspect(int fd, bool *ret_listens)
{
	struct sockaddr_un address;
	socklen_t len = sizeof(address);
	int domain = socket_number(fd, SO_DOMAIN);
	int listens;

	if (domain == -EBADF) {
		vhu_error("file descriptor %d is not open", fd);
		return domain;
	}
	if (domain != AF_UNIX || socket_number(fd, SO_TYPE) != SOCK_STREAM) {
		vhu_error("file descriptor %d is no Unix stream socket", fd);
		return -EPROTOTYPE;
	}
	listens = socket_number(fd, SO_ACCEPTCONN);
	if (listens == 0 && getpeername(fd, (struct sockaddr *)&address, &len) < 0) {
		vhu_error("file descriptor %d neither listens nor is connected", fd);
		return -ENOTCONN;
	}
	*ret_listens = listens > 0;
	return 0;
}

unsigned vhu_listen_fds(void)
{
	const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
	uint64_t n;

	if (!pid || !fds || vhu_parse_u64(pid, (uint64_t)getpid(), (uint64_t)getpid(), &n) < 0 ||
	    vhu_parse_u64(fds, 1, 1024, &n) < 0)
		return 0;
	return (unsigned)n;
}
