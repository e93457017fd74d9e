/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_CLI_CHECK_REPORT_H
#define VHU_CLI_CHECK_REPORT_H

/* The same run as TAP, case by case, and as JSON, at the end. */

#include <stddef.h>
#include <stdio.h>

#include "cli/check/case.h"
#include "cli/check/runner.h"

struct check_row {
	const struct check_group *group;
	const struct check_case *one;
	struct check_record record;
};

struct check_report {
	const struct check_runner *runner;
	struct check_row *rows;
	size_t n_rows;
	const char *bail_out; /* why the run ended early, or NULL */
};

void check_tap_begin(const struct check_report *report, FILE *out);
void check_tap_row(const struct check_report *report, size_t i, FILE *out);
void check_tap_end(const struct check_report *report, FILE *out);

void check_json_write(const struct check_report *report, FILE *out);

size_t check_count(const struct check_report *report, enum check_result result);

#endif
