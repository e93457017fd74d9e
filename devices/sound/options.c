/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/num.h"
#include "devices/sound/format.h"
#include "devices/sound/protocol.h"
#include "devices/sound/sound.h"

#define CHANNELS_MAX 32
#define BUFFER_MS_MAX 10000

/* Few: the Linux driver makes its buffers for the widest of what is offered. */
const struct vhu_sound_options vhu_sound_defaults = {
	.backend = "alsa",
	.latency_ms = 40,
	.formats = 1ull << VIRTIO_SND_PCM_FMT_S16 | 1ull << VIRTIO_SND_PCM_FMT_S32 |
		   1ull << VIRTIO_SND_PCM_FMT_FLOAT,
	.rates = 1ull << VIRTIO_SND_PCM_RATE_44100 | 1ull << VIRTIO_SND_PCM_RATE_48000,
	.channels_min = 1,
	.channels_max = 2,
	.queue_size = 1024,
};

/* --- words ---------------------------------------------------------------------------------- */

static int find_format(const char *word, size_t len)
{
	for (int i = 0; i < VHU_SOUND_N_FORMATS; i++)
		if (strlen(vhu_sound_formats[i].name) == len &&
		    !strncmp(vhu_sound_formats[i].name, word, len))
			return i;
	return -1;
}

static int find_rate(const char *word, size_t len)
{
	char digits[16];

	for (int i = 0; i < VHU_SOUND_N_RATES; i++)
		if (snprintf(digits, sizeof(digits), "%u", vhu_sound_rates_hz[i]) == (int)len &&
		    !strncmp(digits, word, len))
			return i;
	return -1;
}

static int parse_set(const char *text, int (*find)(const char *word, size_t len), uint64_t *ret_set)
{
	uint64_t set = 0;

	for (;;) {
		size_t len = strcspn(text, ",+");
		int i = find(text, len);

		if (i < 0)
			return -EINVAL;
		set |= 1ull << i;
		if (!text[len])
			break;
		text += len + 1;
	}
	*ret_set = set;
	return 0;
}

int vhu_sound_formats_parse(const char *text, uint64_t *ret_formats)
{
	return parse_set(text, find_format, ret_formats);
}

int vhu_sound_rates_parse(const char *text, uint64_t *ret_rates)
{
	return parse_set(text, find_rate, ret_rates);
}

int vhu_sound_channels_parse(const char *text, unsigned *ret_min, unsigned *ret_max)
{
	char first[8];
	size_t len = strcspn(text, "-");
	uint64_t min, max;

	if (len >= sizeof(first))
		return -EINVAL;
	memcpy(first, text, len);
	first[len] = '\0';
	if (vhu_parse_u64(first, 1, CHANNELS_MAX, &min) < 0)
		return -EINVAL;
	max = min;
	if (text[len] && vhu_parse_u64(text + len + 1, min, CHANNELS_MAX, &max) < 0)
		return -EINVAL;
	*ret_min = (unsigned)min;
	*ret_max = (unsigned)max;
	return 0;
}

/* --- a stream ------------------------------------------------------------------------------- */

typedef struct vhu_sound_stream_options stream_options;

static int parse_formats(stream_options *stream, const char *value)
{
	return vhu_sound_formats_parse(value, &stream->formats);
}

static int parse_rates(stream_options *stream, const char *value)
{
	return vhu_sound_rates_parse(value, &stream->rates);
}

static int parse_channels(stream_options *stream, const char *value)
{
	return vhu_sound_channels_parse(value, &stream->channels_min, &stream->channels_max);
}

static int parse_period(stream_options *stream, const char *value)
{
	return vhu_parse_u64(value, 1, BUFFER_MS_MAX, &stream->period_ms);
}

static int parse_buffer(stream_options *stream, const char *value)
{
	return vhu_parse_u64(value, 1, BUFFER_MS_MAX, &stream->buffer_ms);
}

static int parse_control(stream_options *stream, const char *value)
{
	stream->control = value;
	return *value ? 0 : -EINVAL;
}

static const struct {
	const char *key;
	int (*parse)(stream_options *stream, const char *value);
	const char *why;
} keys[] = {
	{ "formats", parse_formats, "a PCM with formats=s16+s32 or the like" },
	{ "rates", parse_rates, "a PCM with rates=44100+48000 or the like" },
	{ "rate", parse_rates, "a PCM with rate=48000 or the like" },
	{ "channels", parse_channels, "a PCM with channels=2 or channels=1-8 or the like" },
	{ "period", parse_period, "a PCM with period= and milliseconds, 1 to 10000" },
	{ "buffer", parse_buffer, "a PCM with buffer= and milliseconds, 1 to 10000" },
	{ "control", parse_control, "a PCM with control= and the name of an element" },
};

/* The KEY=VALUE at the end of text, cut off; 0 when there is none of ours. */
static int cut_key(char *text, stream_options *stream, const char **ret_why)
{
	char *word = strrchr(text, ',');

	for (size_t i = 0; word && i < ARRAY_SIZE(keys); i++) {
		size_t len = strlen(keys[i].key);

		if (strncmp(word + 1, keys[i].key, len) || word[1 + len] != '=')
			continue;
		*ret_why = keys[i].why;
		if (keys[i].parse(stream, word + len + 2) < 0)
			return -EINVAL;
		*word = '\0';
		return 1;
	}
	return 0;
}

static int parse_host(const char *text, stream_options *stream)
{
	static const char *const with_where[] = { "alsa", "wav" };

	for (size_t i = 0; i < ARRAY_SIZE(with_where); i++) {
		size_t len = strlen(with_where[i]);

		if (strncmp(text, with_where[i], len) || text[len] != ':')
			continue;
		stream->host = with_where[i];
		stream->where = text + len + 1;
		return *stream->where ? 0 : -EINVAL;
	}
	if (!strcmp(text, "null")) {
		stream->host = "null";
		return 0;
	}
	stream->host = "alsa";
	stream->where = strcmp(text, "alsa") ? text : "default";
	return *text ? 0 : -EINVAL;
}

int vhu_sound_stream_parse(char *text, bool capture, stream_options *ret_stream,
			   const char **ret_why)
{
	stream_options stream = { .capture = capture };
	int r;

	while ((r = cut_key(text, &stream, ret_why)) > 0)
		;
	if (r < 0)
		return r;
	/* No PCM is called so, and in the names of others anything may stand behind a comma. */
	*ret_why = "null with formats=, rates=, channels= or control= behind it, or nothing";
	if (!strncmp(text, "null,", 5))
		return -EINVAL;
	*ret_why = "the name of an ALSA PCM, wav:FILE, or null";
	if (parse_host(text, &stream) < 0)
		return -EINVAL;
	*ret_stream = stream;
	return 0;
}

/* --- all of them ---------------------------------------------------------------------------- */

unsigned vhu_sound_options_streams(const struct vhu_sound_options *o,
				   stream_options ret_streams[VHU_SOUND_STREAMS_MAX])
{
	if (o->n_streams) {
		memcpy(ret_streams, o->streams, o->n_streams * sizeof(*ret_streams));
		return o->n_streams;
	}
	for (unsigned i = 0; i < 2; i++) {
		ret_streams[i] = (stream_options){ .capture = i };
		if (parse_host(o->backend, &ret_streams[i]) < 0)
			return 0;
	}
	/* What is written is not what is heard. */
	if (!strcmp(ret_streams[1].host, "wav"))
		ret_streams[1] = (stream_options){ .capture = true, .host = "null" };
	return 2;
}

typedef const struct vhu_sound_options options;

static bool bad_backend(options *o)
{
	return strcmp(o->backend, "alsa") && strcmp(o->backend, "null") &&
	       (strncmp(o->backend, "wav:", 4) || !o->backend[4]);
}

static bool backend_and_streams(options *o)
{
	return o->n_streams && o->backend != vhu_sound_defaults.backend;
}

/* One would write over what the other writes, or reads. */
static bool one_file_twice(options *o)
{
	for (unsigned i = 0; i < o->n_streams; i++)
		for (unsigned k = 0; k < i; k++)
			if (!strcmp(o->streams[i].host, "wav") &&
			    !strcmp(o->streams[k].host, "wav") &&
			    !strcmp(o->streams[i].where, o->streams[k].where) &&
			    !(o->streams[i].capture && o->streams[k].capture))
				return true;
	return false;
}

static bool list_with_more(options *o)
{
	return o->list && o->n_streams;
}

static bool json_alone(options *o)
{
	return o->json && !o->list;
}

static bool bad_queue_size(options *o)
{
	return !is_pow2(o->queue_size) || o->queue_size < 4 || o->queue_size > 1024;
}

static const struct {
	bool (*is_wrong)(options *o);
	const char *why;
} rules[] = {
	{ bad_backend, "--backend is alsa, null or wav:FILE" },
	{ backend_and_streams, "--backend is for when neither --playback nor --capture is given" },
	{ one_file_twice, "a WAV file that is played to is one stream's: give each its own" },
	{ list_with_more, "--list shows what there is: leave --playback and --capture away" },
	{ json_alone, "--json is for --list" },
	{ bad_queue_size, "--queue-size is a power of two from 4 to 1024" },
};

int vhu_sound_options_check(const struct vhu_sound_options *o)
{
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
		if (rules[i].is_wrong(o)) {
			vhu_error("%s", rules[i].why);
			return -EINVAL;
		}
	}
	return 0;
}
