/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_TESTS_BENCH_BLK_REPORT_H
#define VHU_TESTS_BENCH_BLK_REPORT_H

/*
 * What was measured, on standard output: medians, and ratios to the first back-end. A ratio is the
 * median of those of runs that were next to each other, so that a machine which slows down for a
 * while does not matter; its least and greatest tell how far to trust it.
 */

#include <stdbool.h>
#include <stdint.h>

#include "tests/bench/blk_load.h"

#define RUNS_MAX 100

struct result {
	unsigned n_failed;
	char failure[300]; /* the last one's reason */
	bool ok[RUNS_MAX];
	struct figures runs[RUNS_MAX];
};

/* A workload on an image. */
struct row {
	const char *image;
	const struct workload *workload;
	unsigned n_backends, n_runs;
	const char *const *names;     /* of the back-ends */
	const struct result *results; /* likewise */
};

struct conditions {
	unsigned n_runs;
	double seconds;
	uint64_t image_bytes;
	int client_cpu, backend_cpu; /* or NO_CPU */
};

struct report_ops {
	void (*begin)(const struct conditions *conditions);
	void (*row)(const struct row *row);
	void (*end)(void);
};

extern const struct report_ops report_markdown, report_json;

#endif
