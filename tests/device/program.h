/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_TESTS_DEVICE_PROGRAM_H
#define VHU_TESTS_DEVICE_PROGRAM_H

/*
 * A program of ours as a process: started in a folder of its own, watched, ended. Programs are
 * looked for below the environment's VHU_BUILD. Functions without a result assert.
 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <cmocka.h>

/* A sanitized program takes its time, above all to end. */
#ifdef __has_feature
#define HAS_FEATURE(name) __has_feature(name)
#else
#define HAS_FEATURE(name) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || \
	HAS_FEATURE(address_sanitizer) || HAS_FEATURE(thread_sanitizer)
#define SLOWNESS 4
#else
#define SLOWNESS 1
#endif
/* How long a program may take to end by SIGTERM. */
#define END_MS (3000 * SLOWNESS)
/* Of each wait: a machine that is busy with other tests is slow. */
#define WAIT_MS 20000

struct program {
	pid_t pid; /* 0: none */
	char dir[40];
	char socket[56]; /* empty: args say where to serve */
	char image[56];
	char log[56]; /* its standard error */
	uid_t uid;    /* whose rights it has; 0: ours */
};

/* The folder, then the program: args as in struct target, and --socket-path. */
void program_init(struct program *program, const char *parent);
void program_start(struct program *program, const char *path, const char *const *args);
/* Waits for its end: the exit status, 128 + signal, or -ETIMEDOUT (it is killed then). */
int program_wait(struct program *program, unsigned timeout_ms);
/* The same after a SIGTERM, for END_MS. */
int program_end(struct program *program);
void program_finish(struct program *program); /* kills what is left, removes the folder */
bool program_lives(const struct program *program);
unsigned program_fds(const struct program *program);
/* Waits until it has that many open fds. */
void program_wait_fds(const struct program *program, unsigned n);
unsigned program_rss_kib(const struct program *program);
unsigned program_cpu_ms(const struct program *program);
/* Its standard error, to be freed. */
char *program_said(const struct program *program);

void sleep_ms(unsigned ms);

#endif
