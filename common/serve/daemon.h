/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_SERVE_DAEMON_H
#define VHU_SERVE_DAEMON_H

/*
 * A process that serves devices: sockets, sessions, signals (rust-vmm: VhostUserDaemon). New, add
 * each device with its endpoint, run, destroy. What a main needs besides is in program.h.
 */

#include <stdbool.h>

#include "common/backend/device.h"
#include "common/base/loop.h"
#include "common/serve/control.h"

/*
 * Where a device is served. One of the first three, or none: then a socket of LISTEN_FDS is
 * taken.
 */
struct vhu_endpoint {
	const char *socket_path; /* --socket-path, --socket: listen there */
	const char *connect;	 /* --connect: a front-end that listens; tried again with backoff */
	int fd;			 /* --fd: connected or listening (SO_ACCEPTCONN); -1 none */
	bool once;		 /* --once: end with the first front-end */
	bool inband;		 /* --inband-notifications */
	const char *control;	 /* --control: its control socket, or NULL, */
	struct vhu_control_table commands[2]; /* and what is answered there besides "help" */
};

/*
 * Would vhu_daemon_add() take it? Says why not: a path too long (107 bytes), a missing folder, a
 * path in use by a live server, a file that is no socket, a number that is no open socket.
 * Changes nothing, so that a program can ask before it creates anything else. -EINVAL when it is
 * the command line that is wrong (none of the kinds, or two), else another negative errno.
 */
int vhu_endpoint_check(const struct vhu_endpoint *endpoint);

struct vhu_daemon;

/*
 * From here on SIGTERM and SIGINT wait for vhu_daemon_run(), SIGPIPE and SIGXFSZ are ignored and
 * SIGBUS is handled (base/fault.h). Takes the sockets of LISTEN_FDS, and takes that variable out of
 * the environment.
 */
int vhu_daemon_new(struct vhu_daemon **ret_daemon);
void vhu_daemon_destroy(struct vhu_daemon *daemon);

/*
 * Opens the endpoint (its texts are borrowed) and takes a reference to the device. Errors are
 * logged here. Nothing is left behind when it fails.
 */
int vhu_daemon_add(struct vhu_daemon *daemon, struct vhu_device *device,
		   const struct vhu_endpoint *endpoint);

/* Main. Does a front-end have it? */
bool vhu_daemon_is_connected(const struct vhu_daemon *daemon, const struct vhu_device *device);

/*
 * fn runs on main when the signal comes (SIGHUP, SIGUSR1). One callback a signal: the last one
 * set.
 */
int vhu_daemon_on_signal(struct vhu_daemon *daemon, int signo, vhu_source_fn fn, void *data);

/*
 * Serves until SIGTERM or SIGINT (rings are drained for at most VHU_DAEMON_DRAIN_NS, and a
 * second signal ends at once: the process then exits from here), or until every endpoint is done
 * (--once, a connected --fd). Removes the socket files it made. Returns the program's exit
 * status: 0, or 1 when a front-end that was the only one was lost by an error.
 */
#define VHU_DAEMON_DRAIN_NS (2 * 1000000000ull)
int vhu_daemon_run(struct vhu_daemon *daemon);

#endif
