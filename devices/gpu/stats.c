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

static const struct named card[] = {
#define COUNTER(field) { #field, offsetof(struct vhu_gpu_stats, field) }
	COUNTER(commands),   COUNTER(errors),	      COUNTER(resources),
	COUNTER(held_bytes), COUNTER(transfer_bytes),
#undef COUNTER
};

static const struct named shown[] = {
#define COUNTER(field) { #field, offsetof(struct vhu_gpu_display_stats, field) }
	COUNTER(frames),	 COUNTER(superseded),	 COUNTER(looks),
	COUNTER(tiles_compared), COUNTER(tiles_changed), COUNTER(sockets),
	COUNTER(updates),	 COUNTER(update_bytes),	 COUNTER(cursors),
	COUNTER(vnc_clients),
#undef COUNTER
};

static void print(FILE *out, const struct named *named, size_t n, const void *stats)
{
	for (size_t i = 0; i < n; i++) {
		const void *counter = (const char *)stats + named[i].offset;

		fprintf(out, "%s\"%s\": %" PRIu64, i ? ", " : "", named[i].name,
			vhu_counter_get(counter));
	}
}

/* Those that have come. */
static void print_kinds(FILE *out, const struct vhu_counter *kinds)
{
	const char *name, *comma = "";

	for (unsigned i = 0; (name = vhu_gpu_command_name(i)); i++) {
		uint64_t n = vhu_counter_get(&kinds[i]);

		if (!n)
			continue;
		fprintf(out, "%s\"%s\": %" PRIu64, comma, name, n);
		comma = ", ";
	}
}

void vhu_gpu_print_stats(struct vhu_device *device, FILE *out)
{
	const struct vhu_gpu *gpu = container_of(device, struct vhu_gpu, device);

	fputs("{", out);
	print(out, card, ARRAY_SIZE(card), &gpu->stats);
	fputs(", \"kinds\": {", out);
	print_kinds(out, gpu->stats.kinds);
	fputs("}, \"display\": {", out);
	print(out, shown, ARRAY_SIZE(shown), vhu_gpu_display_stats(gpu->display));
	fputs("}}", out);
}
