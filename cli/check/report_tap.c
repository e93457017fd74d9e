/* SPDX-License-Identifier: BSD-3-Clause */
/* TAP version 13; what is to be known of a case stands in a YAML block below it. */
#include <string.h>

#include "cli/check/report.h"

const char *check_result_name(enum check_result result)
{
	static const char *const names[CHECK_RESULTS] = {
		[CHECK_PASS] = "pass", [CHECK_FAIL] = "fail",	      [CHECK_WARN] = "warn",
		[CHECK_SKIP] = "skip", [CHECK_UNTRIED] = "untried", [CHECK_NOT_RUN] = "not-run",
	};

	return names[result];
}

const char *check_level_name(enum check_level level)
{
	static const char *const names[] = {
		[CHECK_MUST] = "MUST", [CHECK_SHOULD] = "SHOULD", [CHECK_ROBUST] = "robustness",
	};

	return names[level];
}

size_t check_count(const struct check_report *report, enum check_result result)
{
	size_t n = 0;

	for (size_t i = 0; i < report->n_rows; i++)
		n += report->rows[i].record.result == result;
	return n;
}

static void print_bits(FILE *out, const char *title, uint64_t bits, bool protocol,
		       const char *device)
{
	char buf[16];

	fprintf(out, "# %s 0x%llx:", title, (unsigned long long)bits);
	for (unsigned bit = 0; bit < 64; bit++)
		if (bits & VHU_BIT(bit))
			fprintf(out, " %s",
				protocol ? check_protocol_feature_name(bit, buf)
					 : check_feature_name(device, bit, buf));
	fputc('\n', out);
}

/* What a back-end says may be any bytes, and YAML none of these. */
static void put_text(FILE *out, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		fputc(text[i] >= 0x20 && text[i] <= 0x7e ? text[i] : '?', out);
}

void check_tap_begin(const struct check_report *report, FILE *out)
{
	const struct check_runner *runner = report->runner;
	const struct check_facts *facts = &runner->facts;
	const char *target =
		runner->target.command ? runner->target.command : runner->target.socket;

	fprintf(out, "TAP version 13\n# vhu-check %s against ", VHU_RELEASE);
	put_text(out, target, strlen(target));
	fputc('\n', out);
	print_bits(out, "features", facts->features, false, runner->device->name);
	print_bits(out, "protocol features", facts->protocol_features, true, NULL);
	fprintf(out, "# device: %s, queues: %llu, memory slots: %llu%s\n1..%zu\n",
		runner->device->name, (unsigned long long)facts->n_queues,
		(unsigned long long)facts->n_memory_slots,
		facts->persistent ? "" : ", ends with its connection", report->n_rows);
	fflush(out);
}

/* As a YAML scalar, behind its key. */
static void put_quoted(FILE *out, const char *text, size_t len)
{
	fputs(" '", out);
	for (size_t i = 0; i < len; i++) {
		put_text(out, &text[i], 1);
		if (text[i] == '\'')
			fputc('\'', out);
	}
	fputs("'\n", out);
}

/* One line as a scalar; several by number, since TAP's readers of YAML know little of it. */
static void print_field(FILE *out, const char *name, const char *text)
{
	if (!*text)
		return;
	fprintf(out, "  %s:", name);
	if (!strchr(text, '\n')) {
		put_quoted(out, text, strlen(text));
		return;
	}
	fputc('\n', out);
	for (unsigned i = 1; *text; i++) {
		size_t len = strcspn(text, "\n");

		fprintf(out, "    %u:", i);
		put_quoted(out, text, len);
		text += len + (text[len] == '\n');
	}
}

/* Whole lines from the end of what the back-end said. */
static const char *last_lines(const char *said, unsigned n)
{
	const char *at = said + strlen(said);

	while (at > said && at[-1] == '\n')
		at--;
	while (at > said && (at[-1] != '\n' || --n))
		at--;
	return at;
}

void check_tap_row(const struct check_report *report, size_t i, FILE *out)
{
	const struct check_row *row = &report->rows[i];
	const struct check_record *record = &row->record;

	fprintf(out, "%sok %zu - %s %s", record->result == CHECK_FAIL ? "not " : "", i + 1,
		row->one->id, row->one->title);
	switch (record->result) {
	case CHECK_SKIP:
		fprintf(out, " # SKIP %s", record->seen);
		break;
	case CHECK_UNTRIED:
		fprintf(out, " # SKIP could not be tried: %s", record->seen);
		break;
	case CHECK_NOT_RUN:
		fputs(" # SKIP not run", out);
		break;
	default:
		break;
	}
	fputc('\n', out);
	if (record->result == CHECK_FAIL || record->result == CHECK_WARN || *record->note) {
		fprintf(out, "  ---\n  result: %s\n  level: %s\n",
			check_result_name(record->result), check_level_name(row->one->level));
		print_field(out, "section", row->one->section);
		print_field(out, "says", row->one->text);
		print_field(out, "expected", record->expected);
		print_field(out, "seen", record->seen);
		print_field(out, "note", record->note);
		print_field(out, "backend", record->backend);
		print_field(out, "output", last_lines(record->said, 8));
		fprintf(out, "  duration_ms: %u\n  ...\n", record->duration_ms);
	}
	fflush(out);
}

static void print_names(const struct check_report *report, enum check_result result,
			const char *title, FILE *out)
{
	size_t n = check_count(report, result);

	if (!n)
		return;
	fprintf(out, "# %s:", title);
	for (size_t i = 0; i < report->n_rows; i++)
		if (report->rows[i].record.result == result)
			fprintf(out, " %s", report->rows[i].one->id);
	fputc('\n', out);
}

void check_tap_end(const struct check_report *report, FILE *out)
{
	if (report->bail_out)
		fprintf(out, "Bail out! %s\n", report->bail_out);
	print_names(report, CHECK_FAIL, "failed", out);
	print_names(report, CHECK_WARN, "warned", out);
	print_names(report, CHECK_UNTRIED, "could not be tried", out);
	fprintf(out, "# %zu passed, %zu failed, %zu warned, %zu skipped\n",
		check_count(report, CHECK_PASS), check_count(report, CHECK_FAIL),
		check_count(report, CHECK_WARN),
		check_count(report, CHECK_SKIP) + check_count(report, CHECK_UNTRIED) +
			check_count(report, CHECK_NOT_RUN));
	fflush(out);
}
