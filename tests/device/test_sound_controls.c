/* SPDX-License-Identifier: BSD-3-Clause */

/* Volumes and switches of vhu-sound: what they are called, what they take, and what is heard. */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/device/studio.h"

#define OK VIRTIO_SND_S_OK
#define BAD VIRTIO_SND_S_BAD_MSG
#define NOT_SUPP VIRTIO_SND_S_NOT_SUPP

#define PERIOD 480
#define N_CONTROLS (2u * N_STREAMS)
/* Two a stream. */
#define VOLUME(stream) (2u * (stream))
#define SWITCH(stream) (2u * (stream) + 1)

static void descriptions(void **state)
{
	struct studio *studio = *state;
	static const char *const names[N_STREAMS][2] = {
		[TO_WAV] = { "PCM Playback Volume", "PCM Playback Switch" },
		[FROM_WAV] = { "Capture Volume", "Capture Switch" },
		[TO_NULL] = { "PCM Playback Volume", "PCM Playback Switch" },
		[FROM_NULL] = { "Capture Volume", "Capture Switch" },
	};
	struct virtio_snd_ctl_info info[N_CONTROLS];

	studio_begin(studio);
	studio_expect_ok(studio_query(studio, VIRTIO_SND_R_CTL_INFO, 0, N_CONTROLS, sizeof(info[0]),
				      sizeof(info)));
	memcpy(info, studio_payload(studio), sizeof(info));
	for (unsigned i = 0; i < N_CONTROLS; i++) {
		bool is_switch = i % 2, capture = i / 2 % 2;

		assert_string_equal((const char *)info[i].name, names[i / 2][i % 2]);
		assert_int_equal(le32toh(info[i].index), i / 4);
		assert_int_equal(le32toh(info[i].hdr.hda_fn_nid), i / 4);
		assert_int_equal(le32toh(info[i].count), 1);
		assert_int_equal(le32toh(info[i].type), is_switch ? VIRTIO_SND_CTL_TYPE_BOOLEAN
								  : VIRTIO_SND_CTL_TYPE_INTEGER);
		assert_int_equal(le32toh(info[i].role), (is_switch ? 2 << 1 : 1 << 1) | capture);
		assert_int_equal(le32toh(info[i].access), is_switch ? 3 : 0x13);
		assert_int_equal(le32toh(info[i].value.integer.min), 0);
		assert_int_equal(le32toh(info[i].value.integer.max), is_switch ? 1 : 100);
		assert_int_equal(studio_control_get(studio, i), is_switch ? 1 : 100);
	}
}

static void writes(void **state)
{
	struct studio *studio = *state;
	static const struct {
		uint32_t id, value;
		size_t bytes;
		uint32_t status;
	} cases[] = {
		{ VOLUME(TO_NULL), 0, 512, OK },
		{ VOLUME(TO_NULL), 100, 512, OK },
		{ VOLUME(TO_NULL), 37, 4, OK },
		{ VOLUME(TO_NULL), 101, 512, BAD },
		{ VOLUME(TO_NULL), UINT32_MAX, 512, BAD },
		{ VOLUME(TO_NULL), 0x80000000, 512, BAD },
		{ VOLUME(TO_NULL), 3, 3, BAD },
		{ VOLUME(TO_NULL), 3, 0, BAD },
		{ SWITCH(TO_NULL), 0, 512, OK },
		{ SWITCH(TO_NULL), 2, 512, BAD },
		{ N_CONTROLS, 0, 512, BAD },
		{ UINT32_MAX, 0, 512, BAD },
	};

	studio_begin(studio);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(studio_control_set(studio, cases[i].id, cases[i].value,
						    cases[i].bytes), cases[i].status);
	assert_int_equal(studio_control_get(studio, VOLUME(TO_NULL)), 37);
	assert_int_equal(studio_control_get(studio, SWITCH(TO_NULL)), 0);
	assert_int_equal(studio_control_get(studio, VOLUME(TO_WAV)), 100);
	/* The next driver finds them as new. */
	studio_connect(studio, 0);
	assert_int_equal(studio_control_get(studio, VOLUME(TO_NULL)), 100);
	assert_int_equal(studio_control_get(studio, SWITCH(TO_NULL)), 1);
}

static void refusals(void **state)
{
	struct studio *studio = *state;
	static const struct {
		uint32_t code, id;
		size_t room;
		uint32_t status;
	} cases[] = {
		{ VIRTIO_SND_R_CTL_READ, N_CONTROLS, 512, BAD },
		{ VIRTIO_SND_R_CTL_READ, 0, 3, BAD },
		{ VIRTIO_SND_R_CTL_TLV_READ, SWITCH(0), 64, NOT_SUPP },
		{ VIRTIO_SND_R_CTL_TLV_READ, N_CONTROLS, 64, BAD },
		{ VIRTIO_SND_R_CTL_TLV_READ, 0, 7, BAD },
		{ VIRTIO_SND_R_CTL_TLV_WRITE, 0, 0, NOT_SUPP },
		{ VIRTIO_SND_R_CTL_TLV_COMMAND, 0, 0, NOT_SUPP },
		{ VIRTIO_SND_R_CTL_TLV_COMMAND, N_CONTROLS, 0, BAD },
		{ VIRTIO_SND_R_CTL_ENUM_ITEMS, 0, 64, NOT_SUPP },
	};

	studio_begin(studio);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(studio_control(studio, cases[i].code, cases[i].id, cases[i].room),
				 cases[i].status);
	assert_int_equal(studio_query(studio, VIRTIO_SND_R_CTL_INFO, 0, N_CONTROLS + 1, 4, 4096),
			 BAD);
}

/* Half a dB a step; as much of it as there is room for. */
static void scales(void **state)
{
	struct studio *studio = *state;
	static const uint32_t scale[] = { 1, 8, (uint32_t)-5000, 50 | 0x10000 };
	uint32_t words[4];

	studio_begin(studio);
	studio_expect_ok(studio_control(studio, VIRTIO_SND_R_CTL_TLV_READ, VOLUME(TO_WAV), 16));
	memcpy(words, studio_payload(studio), sizeof(words));
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(le32toh(words[i]), scale[i]);
	studio_expect_ok(studio_control(studio, VIRTIO_SND_R_CTL_TLV_READ, VOLUME(TO_WAV), 8));
}

/* A driver that has not taken the feature knows of none. */
static void not_negotiated(void **state)
{
	struct studio *studio = *state;

	studio_start(studio, NULL);
	studio->refused = 1ull << VIRTIO_SND_F_CTLS;
	studio_connect(studio, 0);
	assert_int_equal(studio_query(studio, VIRTIO_SND_R_CTL_INFO, 0, 1, 96, 96), NOT_SUPP);
	assert_int_equal(studio_control(studio, VIRTIO_SND_R_CTL_READ, 0, 512), NOT_SUPP);
	assert_int_equal(studio_control_set(studio, 0, 0, 512), NOT_SUPP);
}

/* A period each: as it is, 6 dB less, silent, as it is again. */
static void what_is_heard(void **state)
{
	struct studio *studio = *state;
	static const struct {
		uint32_t volume, on;
		double factor;
	} parts[] = {
		{ 100, 1, 1.0 }, { 88, 1, 0.501187 }, { 88, 0, 0.0 }, { 0, 1, 0.0 }, { 100, 1, 1.0 }
	};
	int16_t *samples;
	size_t bytes;
	char *file;

	studio_begin(studio);
	studio_prepare(studio, TO_WAV, PERIOD, 0);
	studio_expect_ok(studio_pcm(studio, VIRTIO_SND_R_PCM_START, TO_WAV));
	for (unsigned i = 0; i < ARRAY_SIZE(parts); i++) {
		studio_expect_ok(studio_control_set(studio, VOLUME(TO_WAV), parts[i].volume, 512));
		studio_expect_ok(studio_control_set(studio, SWITCH(TO_WAV), parts[i].on, 512));
		studio_queue(studio, TO_WAV, i, i * 5 * PERIOD, 4 * PERIOD);
		studio_kick(studio);
		studio_wait(studio, false);
	}
	studio_expect_ok(studio_pcm(studio, VIRTIO_SND_R_PCM_STOP, TO_WAV));
	studio_expect_ok(studio_pcm(studio, VIRTIO_SND_R_PCM_RELEASE, TO_WAV));
	assert_int_equal(program_end(&studio->program), 0);
	file = studio_file(studio, "out.wav", &bytes);
	assert_int_equal(bytes, 44 + ARRAY_SIZE(parts) * 4 * PERIOD);
	samples = (int16_t *)(file + 44);
	for (unsigned i = 0; i < ARRAY_SIZE(parts) * PERIOD; i++) {
		uint32_t frame = ramp(i / PERIOD * 5 * PERIOD + i % PERIOD);
		double left = (int16_t)(frame & 0xffff) * parts[i / PERIOD].factor;
		double right = (int16_t)(frame >> 16) * parts[i / PERIOD].factor;

		assert_in_range(samples[2 * i] + 40000, left + 40000 - 0.6, left + 40000 + 0.6);
		assert_in_range(samples[2 * i + 1] + 40000, right + 40000 - 0.6,
				right + 40000 + 0.6);
	}
	free(file);
}

static void what_is_recorded(void **state)
{
	struct studio *studio = *state;
	const uint32_t *frames;

	studio_begin(studio);
	studio_prepare(studio, FROM_WAV, PERIOD, 0);
	studio_queue(studio, FROM_WAV, 0, 0, 4 * PERIOD);
	studio_kick(studio);
	studio_expect_ok(studio_pcm(studio, VIRTIO_SND_R_PCM_START, FROM_WAV));
	assert_int_equal(studio_wait(studio, true), 0);
	studio_expect_ok(studio_control_set(studio, SWITCH(FROM_WAV), 0, 512));
	studio_queue(studio, FROM_WAV, 1, 0, 4 * PERIOD);
	studio_kick(studio);
	assert_int_equal(studio_wait(studio, true), 1);
	for (unsigned i = 0; i < 2; i++) {
		frames = studio->messages[i].data.host;
		for (uint32_t k = 0; k < PERIOD; k++)
			assert_int_equal(le32toh(frames[k]), i ? 0 : ramp(k));
	}
}

/* Formats that no volume can be made for have none, and who wants none has none. */
static void without(void **state)
{
	struct studio *studio = *state;
	static const char *const args[] = {
		"--playback", "null,formats=mu-law+s16", "--playback", "null,control=none",
		"--playback", "null,control=soft",	 "--controls", NULL,
	};
	struct vhu_snd_config config;

	studio_start(studio, args);
	studio_connect(studio, 0);
	assert_int_equal(vhu_frontend_get_config(&studio->frontend, 0, &config, sizeof(config)), 0);
	assert_int_equal(le32toh(config.controls), 2);
}

/* Nor is there any for a front-end that is not said to have a place for it in the config space. */
static void not_offered(void **state)
{
	struct studio *studio = *state;
	static const char *const args[] = { "--playback", "null,control=soft", NULL };
	struct vhu_snd_config config;

	studio_start(studio, args);
	studio_connect(studio, 0);
	assert_int_equal(studio->frontend.offered_features & 1ull << VIRTIO_SND_F_CTLS, 0);
	assert_int_equal(vhu_frontend_get_config(&studio->frontend, 0, &config, sizeof(config)), 0);
	assert_int_equal(le32toh(config.controls), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		STUDIO_TEST(not_offered),      STUDIO_TEST(descriptions),
		STUDIO_TEST(writes),	       STUDIO_TEST(refusals),
		STUDIO_TEST(scales),	       STUDIO_TEST(not_negotiated),
		STUDIO_TEST(what_is_heard),    STUDIO_TEST(what_is_recorded),
		STUDIO_TEST(without),
	};

	signal(SIGPIPE, SIG_IGN);
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
