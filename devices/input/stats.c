/* SPDX-License-Identifier: BSD-3-Clause */
#include "devices/input/stats.h"

#include <inttypes.h>

#include "common/base/json.h"
#include "common/base/num.h"

static const struct {
	const char *name;
	size_t offset;
} counters[] = {
#define COUNTER(name) \
	{ \
#name, offsetof(struct vhu_input_stats, name) \
	}
	COUNTER(packets), COUNTER(events),    COUNTER(unheard),	    COUNTER(merged),
	COUNTER(repairs), COUNTER(overflows), COUNTER(bad_buffers), COUNTER(status_events),
	COUNTER(grabs),
};

void vhu_input_stats_add_latency(struct vhu_input_stats *stats, uint64_t ns)
{
	uint64_t us = ns / NS_PER_US;
	unsigned i = us ? 63 - (unsigned)__builtin_clzll(us) : 0;

	vhu_counter_add(&stats->latency[min_u64(i, VHU_INPUT_LATENCIES - 1)], 1);
}

/* The upper end of the class that the share, in hundredths, of all latencies is within. */
static uint64_t latency_within(const uint64_t counts[VHU_INPUT_LATENCIES], uint64_t all,
			       unsigned share)
{
	uint64_t seen = 0;

	for (unsigned i = 0; i < VHU_INPUT_LATENCIES; i++) {
		seen += counts[i];
		if (seen && seen * 100 >= all * share)
			return 2ull << i;
	}
	return 0;
}

static void print_latency(FILE *out, const struct vhu_input_stats *stats)
{
	uint64_t counts[VHU_INPUT_LATENCIES], all = 0;
	unsigned n = 0;

	for (unsigned i = 0; i < VHU_INPUT_LATENCIES; i++) {
		counts[i] = vhu_counter_get(&stats->latency[i]);
		all += counts[i];
		if (counts[i])
			n = i + 1;
	}
	fprintf(out, ",\"latency\":{\"p50_us\":%" PRIu64 ",\"p99_us\":%" PRIu64 ",\"log2_us\":[",
		latency_within(counts, all, 50), latency_within(counts, all, 99));
	for (unsigned i = 0; i < n; i++)
		fprintf(out, "%s%" PRIu64, i ? "," : "", counts[i]);
	fprintf(out, "]}");
}

void vhu_input_stats_print(const struct vhu_input_stats *stats, const char *label, FILE *out)
{
	fprintf(out, "{\"source\":");
	vhu_json_put_text(out, label);
	for (size_t i = 0; i < ARRAY_SIZE(counters); i++)
		fprintf(out, ",\"%s\":%" PRIu64, counters[i].name,
			vhu_counter_get((const void *)((const char *)stats + counters[i].offset)));
	print_latency(out, stats);
	fputc('}', out);
}
