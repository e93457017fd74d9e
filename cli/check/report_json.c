/* SPDX-License-Identifier: BSD-3-Clause */
#include <inttypes.h>

#include "cli/check/report.h"

/* What a back-end says may be any bytes; those beyond ASCII are taken for Latin-1. */
static void put_string(FILE *out, const char *text)
{
	fputc('"', out);
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\')
			fprintf(out, "\\%c", c);
		else if (c < 0x20 || c > 0x7e)
			fprintf(out, "\\u%04x", c);
		else
			fputc(c, out);
	}
	fputc('"', out);
}

static void put_field(FILE *out, const char *name, const char *text)
{
	fprintf(out, ", \"%s\": ", name);
	put_string(out, text);
}

static void put_optional(FILE *out, const char *name, const char *text)
{
	if (*text)
		put_field(out, name, text);
}

static void put_bits(FILE *out, const char *name, uint64_t bits, bool protocol, const char *device)
{
	const char *comma = "";
	char buf[16];

	fprintf(out, "    \"%s\": {\"value\": \"0x%" PRIx64 "\", \"names\": [", name, bits);
	for (unsigned bit = 0; bit < 64; bit++) {
		if (!(bits & VHU_BIT(bit)))
			continue;
		fputs(comma, out);
		put_string(out, protocol ? check_protocol_feature_name(bit, buf)
					 : check_feature_name(device, bit, buf));
		comma = ", ";
	}
	fputs("]},\n", out);
}

static void put_backend(const struct check_runner *runner, FILE *out)
{
	const struct check_facts *facts = &runner->facts;

	fputs("  \"backend\": {\n", out);
	put_bits(out, "features", facts->features, false, runner->device->name);
	put_bits(out, "protocol_features", facts->protocol_features, true, NULL);
	fprintf(out, "    \"device\": \"%s\",\n    \"queues\": %" PRIu64 ",\n",
		runner->device->name, facts->n_queues);
	fprintf(out, "    \"memory_slots\": %" PRIu64 ",\n    \"outlives_connection\": %s\n  },\n",
		facts->n_memory_slots, facts->persistent ? "true" : "false");
}

static void put_row(const struct check_row *row, FILE *out)
{
	const struct check_case *one = row->one;
	const struct check_record *record = &row->record;

	fprintf(out, "    {\"id\": \"%s\"", one->id);
	put_field(out, "group", row->group->name);
	put_field(out, "result", check_result_name(record->result));
	put_field(out, "level", check_level_name(one->level));
	put_field(out, "title", one->title);
	put_field(out, "section", one->section);
	put_field(out, "says", one->text);
	put_optional(out, "expected", record->expected);
	put_optional(out, record->result == CHECK_SKIP ? "reason" : "seen", record->seen);
	put_optional(out, "note", record->note);
	put_optional(out, "backend", record->backend);
	put_optional(out, "output", record->said);
	fprintf(out, ", \"duration_ms\": %u}", record->duration_ms);
}

void check_json_write(const struct check_report *report, FILE *out)
{
	const struct check_target *target = &report->runner->target;

	fprintf(out, "{\n  \"vhu_check\": \"%s\",\n  \"%s\": ", VHU_RELEASE,
		target->command ? "command" : "socket");
	put_string(out, target->command ? target->command : target->socket);
	fputs(",\n", out);
	put_backend(report->runner, out);
	if (report->bail_out) {
		fputs("  \"bail_out\": ", out);
		put_string(out, report->bail_out);
		fputs(",\n", out);
	}
	fputs("  \"totals\": {", out);
	for (unsigned result = 0; result < CHECK_RESULTS; result++)
		fprintf(out, "%s\"%s\": %zu", result ? ", " : "",
			check_result_name((enum check_result)result),
			check_count(report, (enum check_result)result));
	fputs("},\n  \"cases\": [\n", out);
	for (size_t i = 0; i < report->n_rows; i++) {
		put_row(&report->rows[i], out);
		fputs(i + 1 < report->n_rows ? ",\n" : "\n", out);
	}
	fputs("  ]\n}\n", out);
}
