/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_SERVE_LISTENER_H
#define VHU_SERVE_LISTENER_H

/*
 * Unix sockets by path, by inherited number and from LISTEN_FDS. All functions say what is
 * wrong.
 */

#include <stdbool.h>
#include <sys/types.h>

/* The longest path that sockaddr_un holds with its NUL. */
#define VHU_SOCKET_PATH_MAX 107

/* A listening socket, and the file it stands on if we made that. fd -1: none. */
struct vhu_listener {
	int fd; /* owned */
	char *path; /* owned; NULL when the socket came from outside */
	dev_t dev;
	ino_t ino;
};

/* Would vhu_listener_open() work? Changes nothing. */
int vhu_listener_check(const char *path);
/* Listens at path; a stale socket file there is replaced. */
int vhu_listener_open(const char *path, struct vhu_listener *ret_listener);
/* Closes it, and removes the file if it is still the one we made. */
void vhu_listener_close(struct vhu_listener *listener);

/* Is fd, which somebody gave us, a Unix stream socket, and does it listen or is it connected? */
int vhu_socket_inspect(int fd, bool *ret_listens);

/* Can path name a socket at all? */
int vhu_socket_check_path(const char *path);
/* Connects without waiting and without a word on failure: -ECONNREFUSED, -ENOENT, -EAGAIN ... */
int vhu_socket_connect(const char *path, int *ret_fd);

/* The sockets that were handed to this very process: LISTEN_FDS of them from number 3 on. */
#define VHU_LISTEN_FDS_START 3
unsigned vhu_listen_fds(void);

#endif
