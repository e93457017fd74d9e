/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_BASE_OWN_SOCKET_H
#define VHU_BASE_OWN_SOCKET_H

/*
 * A listening Unix stream socket at a path, for its owner only (mode 0600): who may connect may do
 * what the program's user may. A front-end's socket is serve/listener.h.
 */

#include <sys/types.h>

struct vhu_own_socket {
	int fd;		  /* owned, not blocking; -1: none */
	const char *path; /* borrowed; NULL: none */
	dev_t dev;
	ino_t ino;
};

/*
 * A socket file that nobody listens on is replaced. -EADDRINUSE: a program listens there; -EEXIST:
 * the file is no socket; -ENAMETOOLONG, -EACCES and the like.
 */
int vhu_own_socket_listen(const char *path, int backlog, struct vhu_own_socket *ret_socket);
/* Why that failed, for people. */
const char *vhu_own_socket_explain(int error);
/* Closes it, and removes the file, if there is one and it is still the one we made. */
void vhu_own_socket_close(struct vhu_own_socket *own);

#endif
