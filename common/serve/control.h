/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_SERVE_CONTROL_H
#define VHU_SERVE_CONTROL_H

/*
 * The control socket: a line of text asks, and a line of JSON answers. {"ok": true, ...}, or
 * {"ok": false, "error": TEXT}. A Unix stream socket that only our own user may connect to. All of
 * it is served on the main loop, which waits for no client: a client has one command at work, and
 * the next one is looked at when it has taken the answer to the last.
 */

#include <stddef.h>
#include <stdio.h>

#include "common/base/loop.h"

#define VHU_CONTROL_LINE_MAX 4096 /* bytes with the newline */
#define VHU_CONTROL_CLIENTS_MAX 16

/* A command at work. It has to be answered, once, now or later: by then the client may be gone. */
struct vhu_control_request;

struct vhu_control_command {
	const char *name;
	const char *argument; /* as help names it: the rest of the line; NULL: there is none */
	const char *help;
	/* Main. data: the table's. argument, not empty, or NULL; it goes with the return. */
	void (*fn)(void *data, const char *argument, struct vhu_control_request *request);
};

/* Commands, and what they are about. Both are borrowed for the socket's life. */
struct vhu_control_table {
	const struct vhu_control_command *commands;
	size_t n;
	void *data;
};

/*
 * Whoever the request is with, on any thread. What is written to out follows "ok": true, as in
 * ", \"name\": 1".
 */
FILE *vhu_control_out(struct vhu_control_request *request);
/* Takes the request: it is answered with that, or with an error in place of it. */
void vhu_control_answer(struct vhu_control_request *request);
void vhu_control_refuse(struct vhu_control_request *request, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#define VHU_CONTROL_TABLES_MAX 4

struct vhu_control;

/*
 * Main. Listens at path, and says what is wrong. There is a "help" besides. loop has to outlive the
 * requests.
 */
int vhu_control_new(struct vhu_loop *loop, const char *path, const struct vhu_control_table *tables,
		    size_t n_tables, struct vhu_control **ret_control);
/* Main. Removes the file, and lets the clients go. NULL is fine. */
void vhu_control_free(struct vhu_control *control);

#endif
