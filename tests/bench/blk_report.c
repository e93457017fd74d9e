/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/bench/blk_report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "common/base/json.h"
#include "common/base/num.h"

#define RATIO_TEXT 40

static const struct field {
	const char *name;
	size_t offset;
} fields[] = {
	{ "iops", offsetof(struct figures, iops) },
	{ "p50_us", offsetof(struct figures, p50_us) },
	{ "p99_us", offsetof(struct figures, p99_us) },
	{ "cpu_us", offsetof(struct figures, cpu_us) },
	{ "backend_cpus", offsetof(struct figures, backend_cpus) },
	{ "client_cpus", offsetof(struct figures, client_cpus) },
};
enum { IOPS, P50_US, P99_US, CPU_US };

static double value_of(const struct figures *figures, const struct field *field)
{
	return *(const double *)((const char *)figures + field->offset);
}

struct spread {
	unsigned n;
	double median, least, greatest;
};

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static struct spread spread_of(double values[RUNS_MAX], unsigned n)
{
	if (n == 0)
		return (struct spread){ 0 };
	qsort(values, n, sizeof(*values), compare);
	return (struct spread){
		.n = n,
		.median = (values[(n - 1) / 2] + values[n / 2]) / 2,
		.least = values[0],
		.greatest = values[n - 1],
	};
}

static struct spread spread_of_field(const struct row *row, unsigned backend,
				     const struct field *field)
{
	const struct result *result = &row->results[backend];
	double values[RUNS_MAX];
	unsigned n = 0;

	for (unsigned i = 0; i < row->n_runs; i++)
		if (result->ok[i])
			values[n++] = value_of(&result->runs[i], field);
	return spread_of(values, n);
}

/* Of the first back-end to this one. */
static struct spread spread_of_ratio(const struct row *row, unsigned backend,
				     const struct field *field)
{
	const struct result *ours = &row->results[0], *theirs = &row->results[backend];
	double values[RUNS_MAX];
	unsigned n = 0;

	for (unsigned i = 0; i < row->n_runs; i++)
		if (ours->ok[i] && theirs->ok[i] && value_of(&theirs->runs[i], field) > 0)
			values[n++] = value_of(&ours->runs[i], field) /
				      value_of(&theirs->runs[i], field);
	return spread_of(values, n);
}

/* The first "model name" of the kernel, or "". */
static void read_cpu_model(char *model, size_t size)
{
	FILE *file = fopen("/proc/cpuinfo", "re");
	char line[256];

	model[0] = '\0';
	while (file && !model[0] && fgets(line, sizeof(line), file)) {
		char *colon = strchr(line, ':');

		if (colon && !strncmp(line, "model name", strlen("model name")))
			snprintf(model, size, "%.*s", (int)strcspn(colon + 2, "\n"), colon + 2);
	}
	if (file)
		fclose(file);
}

static void begin_markdown(const struct conditions *conditions)
{
	struct utsname names = { 0 };
	char model[128];
	double load = 0;

	read_cpu_model(model, sizeof(model));
	uname(&names);
	getloadavg(&load, 1);
	printf("%s, %ld CPUs, Linux %s, load %.1f; image of %llu MiB; medians of %u runs of "
	       "%.2f s",
	       model, sysconf(_SC_NPROCESSORS_ONLN), names.release, load,
	       (unsigned long long)conditions->image_bytes >> 20, conditions->n_runs,
	       conditions->seconds);
	if (conditions->client_cpu == NO_CPU)
		printf("; nobody is pinned\n");
	else
		printf("; client on CPU %d, back-end on CPU %d\n", conditions->client_cpu,
		       conditions->backend_cpu);
	printf("\nRatios are the first back-end's figure to this one's: median "
	       "(least-greatest).\n\n"
	       "| image | workload | back-end | I/Os a second | p50 us | p99 us | CPU us an I/O "
	       "| ratio of I/Os | ratio of CPU | failed |\n"
	       "|--|--|--|--:|--:|--:|--:|--:|--:|--|\n");
	fflush(stdout);
}

static const char *ratio_text(const struct row *row, unsigned backend, unsigned field,
			      char text[RATIO_TEXT])
{
	struct spread ratio = spread_of_ratio(row, backend, &fields[field]);

	if (backend == 0 || ratio.n == 0)
		return "";
	snprintf(text, RATIO_TEXT, "%.2f (%.2f-%.2f)", ratio.median, ratio.least, ratio.greatest);
	return text;
}

/* What a program said, inside a table. */
static void print_cell(const char *text)
{
	for (; *text; text++)
		putchar(*text == '|' ? '/' : *text);
}

static void print_line(const struct row *row, unsigned backend)
{
	const struct result *result = &row->results[backend];
	char iops_ratio[RATIO_TEXT], cpu_ratio[RATIO_TEXT];
	double medians[ARRAY_SIZE(fields)];
	unsigned n_ok = 0;

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		struct spread spread = spread_of_field(row, backend, &fields[i]);

		n_ok = spread.n;
		medians[i] = spread.median;
	}
	printf("| %s | %s | %s |", row->image, row->workload->text, row->names[backend]);
	if (n_ok)
		printf(" %.0f | %.1f | %.1f | %.2f | %s | %s |", medians[IOPS], medians[P50_US],
		       medians[P99_US], medians[CPU_US],
		       ratio_text(row, backend, IOPS, iops_ratio),
		       ratio_text(row, backend, CPU_US, cpu_ratio));
	else
		printf(" - | - | - | - | | |");
	if (result->n_failed) {
		printf(" %u of %u: ", result->n_failed, n_ok + result->n_failed);
		print_cell(result->failure);
	}
	printf(" |\n");
}

static void row_markdown(const struct row *row)
{
	for (unsigned i = 0; i < row->n_backends; i++)
		print_line(row, i);
	fflush(stdout);
}

static void end_markdown(void)
{
}

const struct report_ops report_markdown = {
	.begin = begin_markdown,
	.row = row_markdown,
	.end = end_markdown,
};

static const char *json_separator;

static void begin_json(const struct conditions *conditions)
{
	struct utsname names = { 0 };
	char model[128];

	read_cpu_model(model, sizeof(model));
	uname(&names);
	printf("{\"cpu\": ");
	vhu_json_put_text(stdout, model);
	printf(", \"cpus\": %ld, \"kernel\": ", sysconf(_SC_NPROCESSORS_ONLN));
	vhu_json_put_text(stdout, names.release);
	printf(", \"pinned\": %s, \"image_bytes\": %llu, \"runs\": %u, \"seconds\": %.3f,\n"
	       "\"rows\": [",
	       conditions->client_cpu == NO_CPU ? "false" : "true",
	       (unsigned long long)conditions->image_bytes, conditions->n_runs,
	       conditions->seconds);
	json_separator = "\n";
}

static void print_json_run(const struct figures *figures)
{
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		printf("%s\"%s\": %.3f", i ? ", " : "{", fields[i].name,
		       value_of(figures, &fields[i]));
	putchar('}');
}

static void print_json_ratios(const struct row *row, unsigned backend)
{
	for (unsigned i = 0; i < ARRAY_SIZE(fields); i++) {
		struct spread ratio = spread_of_ratio(row, backend, &fields[i]);

		if (ratio.n)
			printf(", \"%s_ratio\": {\"median\": %.3f, \"least\": %.3f, "
			       "\"greatest\": %.3f}",
			       fields[i].name, ratio.median, ratio.least, ratio.greatest);
	}
}

static void print_json_result(const struct row *row, unsigned backend)
{
	const struct result *result = &row->results[backend];
	const char *separator = "";

	printf("%s{\"image\": \"%s\", \"workload\": \"%s\", \"backend\": ", json_separator,
	       row->image, row->workload->text);
	json_separator = ",\n";
	vhu_json_put_text(stdout, row->names[backend]);
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		struct spread spread = spread_of_field(row, backend, &fields[i]);

		if (spread.n)
			printf(", \"%s\": %.3f", fields[i].name, spread.median);
	}
	if (backend)
		print_json_ratios(row, backend);
	printf(", \"failed\": %u", result->n_failed);
	if (result->n_failed) {
		printf(", \"failure\": ");
		vhu_json_put_text(stdout, result->failure);
	}
	printf(", \"runs\": [");
	for (unsigned i = 0; i < row->n_runs; i++) {
		if (!result->ok[i])
			continue;
		printf("%s", separator);
		print_json_run(&result->runs[i]);
		separator = ", ";
	}
	printf("]}");
}

static void row_json(const struct row *row)
{
	for (unsigned i = 0; i < row->n_backends; i++)
		print_json_result(row, i);
	fflush(stdout);
}

static void end_json(void)
{
	printf("\n]}\n");
}

const struct report_ops report_json = {
	.begin = begin_json,
	.row = row_json,
	.end = end_json,
};
