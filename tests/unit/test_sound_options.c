/* SPDX-License-Identifier: BSD-3-Clause */

/* The words of vhu-sound's command line: what they come to, and what is not taken. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/num.h"
#include "devices/sound/format.h"
#include "devices/sound/protocol.h"
#include "devices/sound/sound.h"
#include "tests/unit/capture.h"

#define FORMAT(name) (1ull << VIRTIO_SND_PCM_FMT_##name)
#define RATE(hz) (1ull << VIRTIO_SND_PCM_RATE_##hz)

static void streams(void **state)
{
	static const struct {
		const char *text, *host, *where;
		struct vhu_sound_stream_options is;
	} cases[] = {
		{ "null", "null", NULL, { 0 } },
		{ "default", "alsa", "default", { 0 } },
		{ "alsa", "alsa", "default", { 0 } },
		{ "alsa:null", "alsa", "null", { 0 } },
		{ "wav:a,b.wav", "wav", "a,b.wav", { 0 } },
		{ "hw:CARD=PCH,DEV=0", "alsa", "hw:CARD=PCH,DEV=0", { 0 } },
		{ "hw:0,0,buffer=20", "alsa", "hw:0,0", { .buffer_ms = 20 } },
		{ "hw:CARD=PCH,period=5,buffer=20,channels=2", "alsa", "hw:CARD=PCH",
		  { .period_ms = 5, .buffer_ms = 20, .channels_min = 2, .channels_max = 2 } },
		{ "null,channels=3-8", "null", NULL, { .channels_min = 3, .channels_max = 8 } },
		{ "null,formats=s16+float", "null", NULL,
		  { .formats = FORMAT(S16) | FORMAT(FLOAT) } },
		{ "null,rates=44100+5512", "null", NULL, { .rates = RATE(44100) | RATE(5512) } },
		{ "null,rate=48000", "null", NULL, { .rates = RATE(48000) } },
		{ "null,rates=12000+24000", "null", NULL, { .rates = 1 << 14 | 1 << 15 } },
		{ "wav:x.wav,control=none", "wav", "x.wav", { .control = "none" } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct vhu_sound_stream_options *is = &cases[i].is;
		struct vhu_sound_stream_options got;
		const char *why = NULL;
		char text[80];

		snprintf(text, sizeof(text), "%s", cases[i].text);
		assert_int_equal(vhu_sound_stream_parse(text, i % 2, &got, &why), 0);
		assert_int_equal(got.capture, i % 2);
		assert_string_equal(got.host, cases[i].host);
		assert_string_equal(got.where ? got.where : "", cases[i].where ? cases[i].where
									       : "");
		assert_int_equal(got.formats, is->formats);
		assert_int_equal(got.rates, is->rates);
		assert_int_equal(got.channels_min, is->channels_min);
		assert_int_equal(got.channels_max, is->channels_max);
		assert_int_equal(got.period_ms, is->period_ms);
		assert_int_equal(got.buffer_ms, is->buffer_ms);
		assert_string_equal(got.control ? got.control : "",
				    is->control ? is->control : "");
	}
}

static void no_streams(void **state)
{
	static const struct {
		const char *text, *why;
	} cases[] = {
		{ "", "the name of an ALSA PCM" },
		{ "wav:", "wav:FILE" },
		{ "alsa:", "the name of an ALSA PCM" },
		{ "null,rates=7", "rates=" },
		{ "null,rates=", "rates=" },
		{ "null,rate=48000+", "rate=" },
		{ "null,formats=s17", "formats=" },
		{ "null,channels=0", "channels=" },
		{ "null,channels=33", "channels=" },
		{ "null,channels=3-2", "channels=" },
		{ "null,channels=2-", "channels=" },
		{ "hw:0,period=0", "period=" },
		{ "hw:0,period=10s", "period=" },
		{ "hw:0,buffer=10001", "buffer=" },
		{ "hw:0,buffer=-1", "buffer=" },
		{ "hw:0,control=", "control=" },
		{ "null,bufer=20", "null with formats=" },
		{ "null,20", "null with formats=" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct vhu_sound_stream_options got = { .channels_min = 77 };
		const char *why = NULL;
		char text[80];

		snprintf(text, sizeof(text), "%s", cases[i].text);
		if (vhu_sound_stream_parse(text, false, &got, &why) == 0)
			fail_msg("\"%s\" is taken", cases[i].text);
		if (!why || !strstr(why, cases[i].why))
			fail_msg("\"%s\": %s", cases[i].text, why ? why : "not said why");
		assert_int_equal(got.channels_min, 77);
	}
}

/* Each name is found, and is no other's. */
static void names(void **state)
{
	uint64_t set;

	(void)state;
	for (unsigned i = 0; i < VHU_SOUND_N_FORMATS; i++) {
		assert_int_equal(vhu_sound_formats_parse(vhu_sound_formats[i].name, &set), 0);
		assert_int_equal(set, 1ull << i);
	}
	for (unsigned i = 0; i < VHU_SOUND_N_RATES; i++) {
		char text[16];

		snprintf(text, sizeof(text), "%u", vhu_sound_rates_hz[i]);
		assert_int_equal(vhu_sound_rates_parse(text, &set), 0);
		assert_int_equal(set, 1ull << i);
	}
}

static void rules(void **state)
{
	static const struct vhu_sound_stream_options to_a = { .host = "wav", .where = "a.wav" },
						     to_b = { .host = "wav", .where = "b.wav" },
						     of_a = { .host = "wav",
							      .where = "a.wav",
							      .capture = true },
						     null = { .host = "null" };
	struct vhu_sound_options o;
	const struct {
		struct vhu_sound_stream_options streams[2];
		const char *backend;
		uint64_t queue_size;
		bool list, json;
		const char *says; /* NULL: right */
	} cases[] = {
		{ .queue_size = 64 },
		{ .streams = { to_a, to_b } },
		{ .streams = { of_a, of_a } },
		{ .streams = { null, null } },
		{ .list = true, .json = true },
		{ .backend = "null" },
		{ .backend = "wav:a.wav" },
		{ .streams = { to_a, to_a }, .says = "give each its own" },
		{ .streams = { to_a, of_a }, .says = "give each its own" },
		{ .streams = { of_a, to_a }, .says = "give each its own" },
		{ .streams = { null }, .backend = "null", .says = "--backend is for when" },
		{ .backend = "oss", .says = "--backend is alsa, null or wav:FILE" },
		{ .backend = "wav:", .says = "--backend is alsa, null or wav:FILE" },
		{ .streams = { null }, .list = true, .says = "leave --playback" },
		{ .json = true, .says = "--json is for --list" },
		{ .queue_size = 5, .says = "a power of two" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct capture said;
		int r;

		o = vhu_sound_defaults;
		for (unsigned k = 0; k < 2 && cases[i].streams[k].host; k++)
			o.streams[o.n_streams++] = cases[i].streams[k];
		o.backend = cases[i].backend ? cases[i].backend : o.backend;
		o.queue_size = cases[i].queue_size ? cases[i].queue_size : o.queue_size;
		o.list = cases[i].list;
		o.json = cases[i].json;
		capture_begin(&said, STDERR_FILENO);
		r = vhu_sound_options_check(&o);
		if (cases[i].says)
			capture_end_line(&said, cases[i].says);
		else
			assert_string_equal(capture_end(&said), "");
		assert_int_equal(r < 0, cases[i].says != NULL);
	}
}

static void one_of_each_without_any(void **state)
{
	struct vhu_sound_stream_options got[VHU_SOUND_STREAMS_MAX];
	struct vhu_sound_options o = vhu_sound_defaults;

	(void)state;
	assert_int_equal(vhu_sound_options_streams(&o, got), 2);
	assert_string_equal(got[0].where, "default");
	assert_string_equal(got[1].where, "default");
	assert_false(got[0].capture);
	assert_true(got[1].capture);
	o.backend = "wav:a.wav";
	assert_int_equal(vhu_sound_options_streams(&o, got), 2);
	assert_string_equal(got[0].where, "a.wav");
	assert_string_equal(got[1].host, "null");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(streams), cmocka_unit_test(no_streams),
		cmocka_unit_test(names),   cmocka_unit_test(rules),
		cmocka_unit_test(one_of_each_without_any),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
