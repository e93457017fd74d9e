/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_CLI_CHECK_TARGET_H
#define VHU_CLI_CHECK_TARGET_H

/*
 * The back-end under test: a socket, and when it is ours to start a process too. That one runs in a
 * process group of its own; what it says is read all the time, so that it never waits for us, and
 * the last of it is kept.
 */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct check_target {
	const char *command; /* NULL: it is not ours; {socket} stands for the path */
	bool verbose;	     /* what it says goes on to standard error */
	char dir[64];	     /* of the socket, when the process is ours */
	char socket[108];
	pid_t pid;   /* 0: it does not run, or is not ours */
	int pidfd, output_fd;
	int status;  /* of waitpid(2), when it has ended */
	char said[2048];
	size_t n_said;
};

/* One of the two is NULL. Returns 0 or negative errno. */
int check_target_init(struct check_target *target, const char *socket, const char *command);
/* Ends the process, by SIGTERM first, and removes its folder. */
void check_target_finish(struct check_target *target);

/* Anew; one that runs is killed. */
int check_target_start(struct check_target *target);
void check_target_kill(struct check_target *target);
/* It was started, and has ended; without waiting. */
bool check_target_has_ended(struct check_target *target);
/* The same, after at most that time. */
bool check_target_wait_end(struct check_target *target, int timeout_ms);
/* Somebody listens at its socket, whether it runs or not. */
bool check_target_is_listened_to(const struct check_target *target);
/* Reads what it says, without waiting. */
void check_target_listen(struct check_target *target);

/* The number of the signal that ended it, or 0. A shell says 128 + signal. */
int check_target_signal(const struct check_target *target);
/* "was killed by signal 11 (Segmentation fault)", "ended with status 1". */
void check_target_describe(const struct check_target *target, char *buf, size_t size);

#endif
