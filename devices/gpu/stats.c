/* SPDX-License-Identifier: BSD-3-Clause */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>

#include "common/base/num.h"
#include "devices/gpu/gpu_priv.h"

struct named {
	const char *name;
	size_t offset;
};

static const struct named counters[] = {
#define COUNTER(field) { #field, offsetof(struct vhu_gpu_stats, field) }
	COUNTER(commands),  COUNTER(errors),	     COUNTER(resources), COUNTER(held_bytes),
	COUNTER(transfers), COUNTER(transfer_bytes), COUNTER(scanouts),	 COUNTER(flushes),
	COUNTER(cursors),
#undef COUNTER
};

static const struct named display_counters[] = {
#define COUNTER(field) { #field, offsetof(struct vhu_gpu_display_stats, field) }
	COUNTER(frames), COUNTER(superseded), COUNTER(looks),  COUNTER(tiles_compared),
	COUNTER(tiles_changed), COUNTER(sockets), COUNTER(updates), COUNTER(update_bytes),
	{ "cursors_sent", offsetof(struct vhu_gpu_display_stats, cursors) },
#undef COUNTER
};

static void print(const struct named *named, size_t n, const void *stats, const char *end)
{
	for (size_t i = 0; i < n; i++) {
		const void *counter = (const char *)stats + named[i].offset;

		fprintf(stderr, "\"%s\": %" PRIu64 "%s", named[i].name, vhu_counter_get(counter),
			i + 1 < n ? ", " : end);
	}
}

void vhu_gpu_print_stats(struct vhu_device *device)
{
	const struct vhu_gpu *gpu = container_of(device, struct vhu_gpu, device);

	fprintf(stderr, "{");
	print(counters, ARRAY_SIZE(counters), &gpu->stats, ", ");
	print(display_counters, ARRAY_SIZE(display_counters), vhu_gpu_display_stats(gpu->display),
	      "}\n");
}
