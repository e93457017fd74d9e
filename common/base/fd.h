/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_BASE_FD_H
#define VHU_BASE_FD_H

/* File descriptors: sockets that carry others, event fds of a peer, clocks. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The most fds that one read may bring; more is an error (MSG_CTRUNC). */
#define VHU_FD_MAX 64

/*
 * Reads at most len bytes and the fds that came with them (close-on-exec). fds has room for
 * VHU_FD_MAX; *ret_n_fds is set on every return, and the caller owns them also on error.
 * Never waits, whatever the flags of the open file, which the peer may share. Returns the number of
 * bytes (0: end of file), -EAGAIN, -EMSGSIZE (control data was cut) or
 * another negative errno. Never raises SIGPIPE. Restarts on EINTR.
 */
ssize_t vhu_fd_receive(int fd, void *buf, size_t len, int fds[VHU_FD_MAX], size_t *ret_n_fds);

/*
 * Sends all of buf with fds attached to its first byte. A non-blocking socket that is full gives
 * -EAGAIN when nothing was sent; after that the rest is waited for up to timeout_ms (then
 * -ETIMEDOUT: the stream is torn and must be closed). Returns 0 or negative errno.
 */
int vhu_fd_send(int fd, const void *buf, size_t len, const int *fds, size_t n_fds, int timeout_ms);

int vhu_fd_set_nonblock(int fd, bool on);
int vhu_fd_set_cloexec(int fd);

/*
 * Adds 1 to an eventfd that a peer may have made blocking and filled up: never blocks. A full
 * counter means that the peer has not looked yet, which is as good as a signal. Returns 0 or
 * negative errno. Two system calls; see vhu_notifier for one.
 */
int vhu_fd_signal(int fd);

/*
 * The same for an eventfd that is signalled often (SET_VRING_CALL): one system call when it was
 * non-blocking at init. We do not make it so: the flag belongs to the open file that we share with
 * the peer, who may rely on a blocking read (libblkio does). A peer that fills the counter between
 * our look and our write, or clears the flag later, can hold up the one thread that signals it;
 * vhu_fd_drain() from another thread frees that one when the session ends.
 */
struct vhu_notifier {
	int fd; /* borrowed; -1: nobody is signalled */
	bool nonblock;
};

/* fd -1: signals go nowhere. -EINVAL when fd is not an eventfd by its looks (a file, a socket). */
int vhu_notifier_init(struct vhu_notifier *notifier, int fd);
int vhu_notifier_signal(const struct vhu_notifier *notifier);

/*
 * Empties an eventfd or pipe without blocking, also when the fd is a blocking one. Returns 0, also
 * when there was nothing, or negative errno. One read of an eventfd, at most 64 KiB of a pipe.
 */
int vhu_fd_drain(int fd);

uint64_t vhu_now_ns(void); /* CLOCK_MONOTONIC */

#endif
