/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_CLI_CHECK_RECORD_H
#define VHU_CLI_CHECK_RECORD_H

/* What became of a case. The process of the case writes it, into memory shared with the runner. */

#include <stdbool.h>
#include <stdint.h>

enum check_result {
	CHECK_PASS,
	CHECK_FAIL,
	CHECK_WARN,
	CHECK_SKIP,    /* a bit is not offered, or the like */
	CHECK_UNTRIED, /* its preparations came to nothing */
	CHECK_NOT_RUN, /* the back-end was gone before */
	CHECK_RESULTS
};

struct check_record {
	enum check_result result;
	bool connected; /* to the process of the back-end that is there now, once at least */
	uint32_t duration_ms;
	char seen[600];	    /* or why it was skipped */
	char expected[300];
	char note[300];	    /* something to know though nothing is wrong */
	char backend[200];  /* how the back-end ended, if it did */
	char said[2400];    /* its last lines then */
};

/* What the process of a case may ask of the runner, which answers D (done) or E (it failed). */
#define CHECK_ERRAND_RESTART 'R' /* kill the back-end by SIGKILL, and start it again */
#define CHECK_ERRAND_NEXT 'N'	 /* it ends with its connection: start the next one */

const char *check_result_name(enum check_result result);

#endif
