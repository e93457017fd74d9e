/* SPDX-License-Identifier: BSD-3-Clause */
#include <inttypes.h>
#include <stdio.h>

#include "common/base/json.h"
#include "common/base/num.h"
#include "devices/sound/sound_priv.h"

static const struct {
	const char *name;
	size_t offset;
} counters[] = {
#define COUNTER(field) { #field, offsetof(struct vhu_sound_stats, field) }
	COUNTER(messages), COUNTER(frames), COUNTER(unplayed), COUNTER(bad_messages),
	COUNTER(xruns), COUNTER(opens), COUNTER(losses), COUNTER(pumps), COUNTER(fill_frames),
	COUNTER(latency_frames),
#undef COUNTER
};

static void print_stream(FILE *out, const struct vhu_sound_stream *stream)
{
	uint64_t n = vhu_counter_get(&stream->stats.messages);

	fprintf(out, "{\"stream\": %u, \"direction\": \"%s\", \"pcm\": ", stream->id,
		vhu_sound_is_capture(stream) ? "capture" : "playback");
	vhu_json_put_text(out, stream->label);
	for (size_t i = 0; i < ARRAY_SIZE(counters); i++) {
		const char *at = (const char *)&stream->stats + counters[i].offset;

		fprintf(out, ", \"%s\": %" PRIu64, counters[i].name,
			vhu_counter_get((const struct vhu_counter *)at));
	}
	fprintf(out, ", \"latency_mean_frames\": %" PRIu64 "}",
		n ? vhu_counter_get(&stream->stats.latency_sum) / n : 0);
}

void vhu_sound_print_stats(struct vhu_device *device, FILE *out)
{
	const struct vhu_sound *sound = container_of(device, struct vhu_sound, device);

	fprintf(out, "{\"requests\": %" PRIu64 ", \"bad_requests\": %" PRIu64 ", \"streams\": [",
		vhu_counter_get(&sound->requests), vhu_counter_get(&sound->bad_requests));
	for (unsigned i = 0; i < sound->n_streams; i++) {
		fputs(i ? ", " : "", out);
		print_stream(out, &sound->streams[i]);
	}
	fputs("]}", out);
}
