/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_TESTS_BENCH_BLK_PROCESS_H
#define VHU_TESTS_BENCH_BLK_PROCESS_H

/* A back-end as a process: made of a command, kept on one core, watched and ended. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define NO_CPU (-1)

/* Every {name} in a command becomes the value. */
struct placeholder {
	const char *name;
	const char *value;
};

struct process {
	pid_t pid;	 /* 0: none */
	const char *log; /* the file of what it says, overwritten at each start; borrowed */
};

/*
 * The command is split at blanks, then its placeholders (up to one without a name) are filled in,
 * so a value may have blanks. Dies with us. 0 or negative errno; a program that is not there is a
 * process that ends at once.
 */
int process_start(struct process *process, const char *command,
		  const struct placeholder *placeholders, int cpu);
bool process_lives(const struct process *process);
/* Of all its threads, also of those that have ended. */
uint64_t process_cpu_ns(const struct process *process);
/*
 * SIGTERM, and SIGKILL if that does not help. 0 when it lived until then and ended well, else
 * -ECHILD and in text how it ended and the last it said.
 */
int process_end(struct process *process, char *text, size_t size);

#endif
