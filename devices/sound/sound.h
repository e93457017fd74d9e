/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_DEVICES_SOUND_SOUND_H
#define VHU_DEVICES_SOUND_SOUND_H

/* A virtio sound device (virtio 1.3, 5.14): playback and capture streams, each on a host PCM. */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "common/backend/device.h"

#define VHU_SOUND_STREAMS_MAX 32
#define VHU_SOUND_JACKS_MAX 32

enum vhu_sound_pace {
	VHU_SOUND_PACE_AUTO,   /* the PCM's clock; a timer when it turns out to have none */
	VHU_SOUND_PACE_DEVICE, /* the PCM's clock */
	VHU_SOUND_PACE_TIMER,  /* CLOCK_MONOTONIC */
};

/* One --playback or --capture: PCM, alsa:PCM, wav:FILE or null, and [,KEY=VALUE]... */
struct vhu_sound_stream_options {
	bool capture;
	const char *host;  /* "alsa", "null", "wav" */
	const char *where; /* the PCM's name, the file; NULL for null */
	/* What the guest is offered, of what the host can. 0: see vhu_sound_defaults. */
	uint64_t formats, rates; /* masks of 1 << VIRTIO_SND_PCM_FMT_*, _RATE_* */
	unsigned channels_min, channels_max;
	uint64_t period_ms; /* of the host PCM; 0: the guest's */
	uint64_t buffer_ms; /* of the host PCM's ring; 0: as is needed */
	const char *control; /* the card's element for its volume; "soft", "none"; NULL: found */
};

struct vhu_sound_options {
	unsigned n_streams; /* 0: one playback and one capture on the default host */
	struct vhu_sound_stream_options streams[VHU_SOUND_STREAMS_MAX];
	unsigned n_jacks;
	const char *jacks[VHU_SOUND_JACKS_MAX]; /* names, connected for good */
	const char *backend; /* of the streams when none is named: "alsa", "null", "wav:FILE" */
	unsigned pace;	     /* enum vhu_sound_pace */
	uint64_t latency_ms; /* of what a playback ring holds ahead; at least two guest periods */
	uint64_t formats, rates; /* the offer of streams that name none of their own */
	unsigned channels_min, channels_max;
	bool controls; /* VIRTIO_SND_F_CTLS is offered where there are elements */
	uint64_t queue_size;
	bool list; /* these are the program's */
	bool json;
};

extern const struct vhu_sound_options vhu_sound_defaults;

/*
 * Takes apart text, which is changed and kept, into *ret_stream. A PCM's name may hold commas and
 * equals signs: only what is a known KEY=VALUE at its end is not part of it. 0, or -EINVAL with
 * *ret_why a constant text that completes "must be ...".
 */
int vhu_sound_stream_parse(char *text, bool capture, struct vhu_sound_stream_options *ret_stream,
			   const char **ret_why);

/* Names with commas or plus signs between ("s16,float", "44100,48000") to masks. 0 or -EINVAL. */
int vhu_sound_formats_parse(const char *text, uint64_t *ret_formats);
int vhu_sound_rates_parse(const char *text, uint64_t *ret_rates);
/* "2" or "1-8". 0 or -EINVAL. */
int vhu_sound_channels_parse(const char *text, unsigned *ret_min, unsigned *ret_max);

/* The streams that options ask for, by name or by default; returns how many. */
unsigned vhu_sound_options_streams(const struct vhu_sound_options *options,
				   struct vhu_sound_stream_options
					   ret_streams[VHU_SOUND_STREAMS_MAX]);

/* Do the options fit together? Touches nothing. 0 or -EINVAL; says what is wrong. */
int vhu_sound_options_check(const struct vhu_sound_options *options);

/* Looks at the host PCMs; says what is wrong. The options are borrowed for the device's life. */
int vhu_sound_new(const struct vhu_sound_options *options, struct vhu_device **ret_device);

/* Any thread. The counters as an object of JSON, without a newline. */
void vhu_sound_print_stats(struct vhu_device *device, FILE *out);

/* The host PCMs that could be used, on standard output, as text or JSON. 0 or negative errno. */
int vhu_sound_print_list(const struct vhu_sound_options *options);

#endif
