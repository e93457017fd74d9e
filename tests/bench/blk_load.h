/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_TESTS_BENCH_BLK_LOAD_H
#define VHU_TESTS_BENCH_BLK_LOAD_H

/* One run: a workload on a back-end that listens, its data checked first. */

#include <stdbool.h>
#include <stdint.h>

#include "tests/bench/blk_client.h"
#include "tests/bench/blk_process.h"

struct workload {
	char text[48]; /* as it was given */
	bool random, writes;
	uint32_t block_bytes;
	unsigned depth, n_queues;
	bool polls;
};

/* "randread:4096:32:1:sleep" and so on, len characters of text. 0 or -EINVAL. */
int workload_parse(const char *text, size_t len, struct workload *ret_workload);

struct load_setup {
	const char *socket;
	const struct process *process; /* the back-end's */
	int image_fd;		       /* what it serves */
	const struct workload *workload;
	uint64_t warm_up_ns, measure_ns;
	const volatile sig_atomic_t *interrupted;
};

struct figures {
	double iops;
	double p50_us, p99_us; /* latency, from the kick until the client has seen it */
	double cpu_us;	       /* of the back-end an I/O */
	double backend_cpus;   /* that it kept busy */
	double client_cpus;
};

/*
 * Before the back-end starts: the host's own data, for it to read. The image is written to also by
 * what follows.
 */
int load_prepare(const struct load_setup *setup);
/*
 * Connects, checks that reads bring what the image holds and that the image holds what was written,
 * warms up, measures, and stops the queues. Returns 0, or negative errno and in *ret_why what went
 * wrong, a constant text.
 */
int load_run(const struct load_setup *setup, struct figures *ret_figures, const char **ret_why);

#endif
