/* SPDX-License-Identifier: BSD-3-Clause */
/* --record: what a device is and does, in the form that --replay reads (that of evemu). */
#include "devices/input/input.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fd.h"
#include "common/base/log.h"
#include "common/base/num.h"
#include "devices/input/source.h"

struct recorder {
	struct vhu_input_sink sink;
	struct vhu_loop *loop;
	FILE *file;
	struct vhu_input_ident ident;
	struct vhu_input_state state; /* as recorded */
	uint64_t begin_ns;	      /* of the first event; 0: none yet */
	struct vhu_input_event repair[VHU_INPUT_REPAIR_MAX];
};

#define BYTES_A_LINE 8

static void write_bits(FILE *file, const char *label, const uint8_t *bits, size_t n)
{
	while (n > 1 && !bits[n - 1])
		n--;
	for (size_t i = 0; i < n; i += BYTES_A_LINE) {
		fprintf(file, "%s", label);
		for (size_t j = i; j < i + BYTES_A_LINE; j++)
			fprintf(file, " %02x", j < n ? bits[j] : 0);
		fputc('\n', file);
	}
}

static void write_ident(FILE *file, const struct vhu_input_ident *ident)
{
	uint8_t types[(EV_CNT + 7) / 8] = { 1u << EV_SYN };
	char label[16];

	fprintf(file, "# EVEMU 1.3\nN: %s\n", ident->name);
	fprintf(file, "I: %04x %04x %04x %04x\n", ident->ids.bustype, ident->ids.vendor,
		ident->ids.product, ident->ids.version);
	write_bits(file, "P:", ident->props, sizeof(ident->props));
	for (unsigned type = EV_KEY; type < EV_CNT; type++)
		for (unsigned code = 0; code < KEY_CNT; code++)
			if (vhu_input_ident_has(ident, type, code))
				types[type / 8] |= (uint8_t)(1u << type % 8);
	write_bits(file, "B: 00", types, sizeof(types));
	for (unsigned type = EV_KEY; type < EV_CNT; type++) {
		snprintf(label, sizeof(label), "B: %02x", type);
		if (types[type / 8] >> type % 8 & 1)
			write_bits(file, label, ident->codes[type], sizeof(ident->codes[type]));
	}
	for (unsigned code = 0; code < ABS_CNT; code++) {
		const struct input_absinfo *axis = &ident->abs[code];

		if (vhu_input_ident_has(ident, EV_ABS, code))
			fprintf(file, "A: %02x %d %d %d %d %d\n", code, axis->minimum,
				axis->maximum, axis->fuzz, axis->flat, axis->resolution);
	}
}

static void write_packet(struct vhu_input_sink *sink, const struct vhu_input_event *events,
			 size_t n, uint64_t time_ns)
{
	struct recorder *recorder = container_of(sink, struct recorder, sink);
	uint64_t us;

	if (!recorder->begin_ns)
		recorder->begin_ns = time_ns;
	us = time_ns > recorder->begin_ns ? (time_ns - recorder->begin_ns) / NS_PER_US : 0;
	for (size_t i = 0; i < n; i++) {
		fprintf(recorder->file, "E: %" PRIu64 ".%06" PRIu64 " %04x %04x %d\n",
			us / 1000000, us % 1000000, events[i].type, events[i].code,
			events[i].value);
		vhu_input_state_apply(&recorder->state, &events[i]);
	}
	if (fflush(recorder->file))
		vhu_loop_stop(recorder->loop);
}

/* What is pressed when it begins; what an unplugged device released. */
static void write_resync(struct vhu_input_sink *sink, const struct vhu_input_state *state)
{
	struct recorder *recorder = container_of(sink, struct recorder, sink);
	size_t n = vhu_input_state_repair(&recorder->state, state, recorder->repair);

	if (n)
		write_packet(sink, recorder->repair, n, vhu_now_ns());
}

static void on_signal(void *data, uint32_t events)
{
	struct vhu_loop *loop = data;

	(void)events;
	vhu_loop_stop(loop);
}

static int run(struct recorder *recorder, struct vhu_input_source *source)
{
	struct vhu_source *unused;
	int r = vhu_loop_new(&recorder->loop);

	if (r == 0)
		r = vhu_loop_add_signal(recorder->loop, SIGTERM, on_signal, recorder->loop,
					&unused);
	if (r == 0)
		r = vhu_loop_add_signal(recorder->loop, SIGINT, on_signal, recorder->loop, &unused);
	if (r == 0)
		r = source->ops->attach(source, recorder->loop, &recorder->sink);
	if (r == 0) {
		vhu_info("recording %s, until an interrupt", source->label);
		r = vhu_loop_run(recorder->loop);
	}
	vhu_loop_destroy(recorder->loop);
	return r;
}

static FILE *open_file(const char *path)
{
	return strcmp(path, "-") ? fopen(path, "we") : stdout;
}

static int record_to_file(struct recorder *recorder, struct vhu_input_source *source,
			  const char *path)
{
	int r;

	recorder->file = open_file(path);
	if (!recorder->file) {
		r = -errno;
		vhu_error("cannot write %s: %s", path, strerror(-r));
		return r;
	}
	write_ident(recorder->file, &recorder->ident);
	r = run(recorder, source);
	if (r == 0 && ferror(recorder->file))
		r = -EIO;
	if (fclose(recorder->file) && r == 0)
		r = -errno;
	if (r < 0)
		vhu_error("cannot write all of %s: %s", path, strerror(-r));
	return r;
}

int vhu_input_record(const struct vhu_input_options *options)
{
	struct recorder *recorder = calloc(1, sizeof(*recorder));
	struct vhu_input_source *source;
	int r = -ENOMEM;

	if (!recorder)
		return r;
	recorder->sink = (struct vhu_input_sink){ write_packet, write_resync };
	vhu_input_state_init(&recorder->state);
	r = vhu_input_source_evdev.open(options, &recorder->ident, &source);
	if (r == 0) {
		r = record_to_file(recorder, source, options->record);
		source->ops->close(source);
	}
	free(recorder);
	return r;
}
