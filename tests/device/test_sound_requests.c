/* SPDX-License-Identifier: BSD-3-Clause */

/* vhu-sound's answers, as tables: what is right is done, and what is not is refused. */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/device/studio.h"

#define OK VIRTIO_SND_S_OK
#define BAD VIRTIO_SND_S_BAD_MSG
#define NOT_SUPP VIRTIO_SND_S_NOT_SUPP
#define IO_ERR VIRTIO_SND_S_IO_ERR

static void config_space(void **state)
{
	struct studio *studio = *state;
	struct vhu_snd_config config;

	studio_begin(studio);
	assert_int_equal(vhu_frontend_get_config(&studio->frontend, 0, &config, sizeof(config)), 0);
	assert_int_equal(le32toh(config.jacks), 1);
	assert_int_equal(le32toh(config.streams), N_STREAMS);
	/* Of one and two channels each; what is read from a file has two. */
	assert_int_equal(le32toh(config.chmaps), 2 * N_STREAMS - 1);
	assert_int_equal(le32toh(config.controls), 2 * N_STREAMS);
}

static void streams_are_described(void **state)
{
	struct studio *studio = *state;
	static const struct {
		uint8_t direction;
		uint32_t nid;
		uint64_t formats;
	} expected[N_STREAMS] = {
		[TO_WAV] = { VIRTIO_SND_D_OUTPUT, 0,
			     1 << VIRTIO_SND_PCM_FMT_S8 | 1 << VIRTIO_SND_PCM_FMT_U8 |
				     1 << VIRTIO_SND_PCM_FMT_S16 | 1 << VIRTIO_SND_PCM_FMT_S24 |
				     1 << VIRTIO_SND_PCM_FMT_S32 | 1 << VIRTIO_SND_PCM_FMT_FLOAT },
		[FROM_WAV] = { VIRTIO_SND_D_INPUT, 0, 1 << VIRTIO_SND_PCM_FMT_S16 },
		[TO_NULL] = { VIRTIO_SND_D_OUTPUT, 1, 0 },
		[FROM_NULL] = { VIRTIO_SND_D_INPUT, 1, 0 },
	};
	const struct virtio_snd_pcm_info *info;

	studio_begin(studio);
	studio_expect_ok(studio_query(studio, VIRTIO_SND_R_PCM_INFO, 0, N_STREAMS, sizeof(*info),
				      N_STREAMS * sizeof(*info)));
	info = studio_payload(studio);
	for (unsigned i = 0; i < N_STREAMS; i++) {
		assert_int_equal(info[i].direction, expected[i].direction);
		assert_int_equal(le32toh(info[i].hdr.hda_fn_nid), expected[i].nid);
		if (expected[i].formats)
			assert_int_equal(le64toh(info[i].formats), expected[i].formats);
		assert_int_equal(info[i].channels_min, i == FROM_WAV ? 2 : 1);
		assert_int_equal(info[i].channels_max, 2);
		/* No shared memory. */
		assert_int_equal(le32toh(info[i].features), 0x1c);
		for (unsigned k = 0; k < sizeof(info[i].padding); k++)
			assert_int_equal(info[i].padding[k], 0);
	}
	assert_int_equal(le64toh(info[FROM_WAV].rates), 1 << VIRTIO_SND_PCM_RATE_48000);
}

/* What is asked for all of them a PCM need not have, but it is told. */
static void a_stream_that_is_other(void **state)
{
	struct studio *studio = *state;
	static const char *const args[] = {
		"--playback", "null", "--capture", "wav:DIR/in.wav", "--rates", "8000", NULL,
	};
	const struct virtio_snd_pcm_info *info;
	char *said;

	studio_start(studio, args);
	studio_connect(studio, 0);
	studio_expect_ok(studio_query(studio, VIRTIO_SND_R_PCM_INFO, 0, 2, 32, 64));
	info = studio_payload(studio);
	assert_int_equal(le64toh(info[0].rates), 1 << VIRTIO_SND_PCM_RATE_8000);
	assert_int_equal(le64toh(info[1].rates), 1 << VIRTIO_SND_PCM_RATE_48000);
	said = program_said(&studio->program);
	assert_non_null(strstr(said, "in.wav: it has nothing of --formats, --rates"));
	assert_null(strstr(said, "null: it has nothing"));
	free(said);
}

static void maps_are_described(void **state)
{
	struct studio *studio = *state;
	const struct virtio_snd_chmap_info *info;

	studio_begin(studio);
	studio_expect_ok(studio_query(studio, VIRTIO_SND_R_CHMAP_INFO, 0, 7, sizeof(*info),
				      7 * sizeof(*info)));
	info = studio_payload(studio);
	assert_int_equal(info[0].channels, 1);
	assert_int_equal(info[0].positions[0], VIRTIO_SND_CHMAP_MONO);
	assert_int_equal(info[1].channels, 2);
	assert_int_equal(info[1].positions[0], VIRTIO_SND_CHMAP_FL);
	assert_int_equal(info[1].positions[1], VIRTIO_SND_CHMAP_FR);
	assert_int_equal(info[2].direction, VIRTIO_SND_D_INPUT);
	assert_int_equal(info[2].channels, 2);
	assert_int_equal(le32toh(info[3].hdr.hda_fn_nid), 1);
}

/* A driver of another version knows less of an item, or more; what it cannot have is refused. */
static void items_of_any_size(void **state)
{
	struct studio *studio = *state;
	static const struct {
		uint32_t start, count, size;
		size_t room;
		uint32_t status;
	} cases[] = {
		{ 0, 4, 32, 128, OK },
		{ 1, 2, 32, 64, OK },
		{ 0, 0, 32, 0, OK },
		{ 4, 0, 32, 0, OK },
		{ 0, 4, 8, 32, OK },
		{ 0, 4, 100, 400, OK },
		{ 0, 5, 32, 160, BAD },
		{ 4, 1, 32, 32, BAD },
		{ UINT32_MAX, 1, 32, 32, BAD },
		{ 1, UINT32_MAX, 32, 128, BAD },
		{ UINT32_MAX, UINT32_MAX, UINT32_MAX, 128, BAD },
		{ 0, 4, 32, 127, BAD },
		{ 0, 4, 32, 0, BAD },
		{ 0, 1, UINT32_MAX, 32, BAD },
		{ 0, 4, 0x40000000, 16, BAD },
		{ 0, 4, 3, 12, BAD },
	};

	studio_begin(studio);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const uint8_t *bytes = studio_payload(studio);

		assert_int_equal(studio_query(studio, VIRTIO_SND_R_PCM_INFO, cases[i].start,
					      cases[i].count, cases[i].size, cases[i].room),
				 cases[i].status);
		if (cases[i].status != OK)
			continue;
		for (uint32_t k = 0; k < cases[i].count * cases[i].size; k++)
			if (k % cases[i].size >= 32)
				assert_int_equal(bytes[k], 0);
	}
	assert_int_equal(studio_query(studio, VIRTIO_SND_R_CHMAP_INFO, 0, 8, 24, 192), BAD);
	assert_int_equal(studio_query(studio, VIRTIO_SND_R_JACK_INFO, 1, 1, 24, 24), BAD);
}

static void jacks(void **state)
{
	struct studio *studio = *state;
	static const struct {
		uint32_t id, association, sequence, status;
	} cases[] = {
		{ 0, 3, 5, OK },   { 0, 15, 15, OK }, { 0, 16, 0, BAD },
		{ 0, 0, 16, BAD }, { 1, 0, 0, BAD },  { UINT32_MAX, 0, 0, BAD },
	};
	const struct virtio_snd_jack_info *info;

	studio_begin(studio);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct virtio_snd_jack_remap remap = {
			.hdr = { { htole32(VIRTIO_SND_R_JACK_REMAP) }, htole32(cases[i].id) },
			.association = htole32(cases[i].association),
			.sequence = htole32(cases[i].sequence),
		};

		assert_int_equal(studio_request(studio, &remap, sizeof(remap), 0), cases[i].status);
	}
	studio_expect_ok(studio_query(studio, VIRTIO_SND_R_JACK_INFO, 0, 1, 24, 24));
	info = studio_payload(studio);
	assert_int_equal(info->connected, 1);
	assert_int_equal(le32toh(info->features), 1 << VIRTIO_SND_JACK_F_REMAP);
	assert_int_equal(le32toh(info->hda_reg_defconf) & 0xff, 0xff);
}

/* A driver is told no name, but what it is for, and the direction. */
static void jacks_are_what_they_are_called(void **state)
{
	struct studio *studio = *state;
	static const char *const args[] = {
		"--capture", "null",	 "--jack", "Headphone", "--jack", "front mic",
		"--jack",    "Line Out", "--jack", "Line",	"--jack", "Lamp",
		NULL,
	};
	static const struct {
		uint32_t device, caps;
	} expected[] = {
		{ 0x2, 0x14 }, { 0xa, 0x24 }, { 0x0, 0x14 }, { 0x8, 0x24 }, { 0xf, 0x24 },
	};
	const struct virtio_snd_jack_info *info;

	studio_start(studio, args);
	studio_connect(studio, 0);
	studio_expect_ok(studio_query(studio, VIRTIO_SND_R_JACK_INFO, 0, 5, 24, 120));
	info = studio_payload(studio);
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
		assert_int_equal(le32toh(info[i].hda_reg_defconf), expected[i].device << 20);
		assert_int_equal(le32toh(info[i].hda_reg_caps), expected[i].caps);
		assert_int_equal(info[i].connected, 1);
	}
}

/* Requests that are too short, and such as there are none of. */
static void malformed_requests(void **state)
{
	struct studio *studio = *state;
	static const struct {
		uint32_t code;
		size_t bytes;
		uint32_t status;
	} cases[] = {
		{ VIRTIO_SND_R_PCM_INFO, 15, BAD },
		{ VIRTIO_SND_R_JACK_INFO, 4, BAD },
		{ VIRTIO_SND_R_CHMAP_INFO, 12, BAD },
		{ VIRTIO_SND_R_JACK_REMAP, 15, BAD },
		{ VIRTIO_SND_R_PCM_SET_PARAMS, 23, BAD },
		{ VIRTIO_SND_R_PCM_PREPARE, 7, BAD },
		{ VIRTIO_SND_R_PCM_START, 4, BAD },
		{ VIRTIO_SND_R_PCM_STOP, 4, BAD },
		{ VIRTIO_SND_R_PCM_RELEASE, 4, BAD },
		{ VIRTIO_SND_R_PCM_INFO, 3, BAD },
		{ 0, 4, NOT_SUPP },
		{ 0x106, 64, NOT_SUPP },
		{ 0xffffffff, 64, NOT_SUPP },
		{ 0x1000, 8, NOT_SUPP },
		{ 0x8000, 4, NOT_SUPP },
	};
	uint32_t request[16] = { 0 };

	studio_begin(studio);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		request[0] = htole32(cases[i].code);
		assert_int_equal(studio_request(studio, request, cases[i].bytes, 0),
				 cases[i].status);
	}
	/* No such stream. */
	for (uint32_t code = VIRTIO_SND_R_PCM_PREPARE; code <= VIRTIO_SND_R_PCM_STOP; code++) {
		assert_int_equal(studio_pcm(studio, code, N_STREAMS), BAD);
		assert_int_equal(studio_pcm(studio, code, UINT32_MAX), BAD);
	}
}

/* Nothing can be said where there is no room for it, and it all comes back. */
static void no_room_for_an_answer(void **state)
{
	struct studio *studio = *state;
	uint32_t written;

	studio_begin(studio);
	for (unsigned room = 0; room < 4; room++) {
		struct vhu_guest_buffer buffers[2] = { studio->request, studio->response };

		buffers[0].len = 16;
		buffers[1].len = room;
		memset(buffers[0].host, 1, 16);
		assert_int_equal(
			vhu_driver_run(&studio->control, buffers, 1, room ? 1 : 0, &written), 0);
		assert_int_equal(written, 0);
	}
	studio->response.len = 4;
	assert_int_equal(vhu_driver_run(&studio->control, &studio->response, 0, 1, &written), 0);
	assert_int_equal(written, 4);
}

static void parameters(void **state)
{
	struct studio *studio = *state;
	struct virtio_snd_pcm_set_params good, p;
	struct {
		const char *what;
		void *field;
		uint32_t value;
		size_t bytes;
		uint32_t status;
	} cases[] = {
		{ "stream", &p.hdr.stream_id, N_STREAMS, 4, BAD },
		{ "format 25", &p.format, 25, 1, BAD },
		{ "format 64", &p.format, 64, 1, BAD },
		{ "format 255", &p.format, 255, 1, BAD },
		{ "a format not offered", &p.format, VIRTIO_SND_PCM_FMT_A_LAW, 1, NOT_SUPP },
		{ "rate 16", &p.rate, 16, 1, BAD },
		{ "rate 255", &p.rate, 255, 1, BAD },
		{ "a rate not offered", &p.rate, VIRTIO_SND_PCM_RATE_8000, 1, NOT_SUPP },
		{ "no channels", &p.channels, 0, 1, BAD },
		{ "channels not offered", &p.channels, 3, 1, NOT_SUPP },
		{ "255 channels", &p.channels, 255, 1, NOT_SUPP },
		{ "shared memory", &p.features, 1, 4, NOT_SUPP },
		{ "an unknown feature", &p.features, 1u << 31, 4, NOT_SUPP },
		{ "no period", &p.period_bytes, 0, 4, BAD },
		{ "half a frame", &p.period_bytes, 1922, 4, BAD },
		{ "a period that divides nothing", &p.period_bytes, 1924, 4, BAD },
		{ "no buffer", &p.buffer_bytes, 0, 4, BAD },
		{ "one period", &p.buffer_bytes, 1920, 4, BAD },
		{ "half a period", &p.buffer_bytes, 960, 4, BAD },
		{ "not whole periods", &p.buffer_bytes, 4000, 4, BAD },
		{ "two periods", &p.buffer_bytes, 3840, 4, OK },
		{ "polling and events", &p.features, 0x1c, 4, OK },
		{ "one channel", &p.channels, 1, 1, OK },
	};

	studio_begin(studio);
	good = studio_params(TO_NULL, 480, 16);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint32_t value = htole32(cases[i].value), status;

		p = good;
		memcpy(cases[i].field, &value, cases[i].bytes);
		status = studio_set_params(studio, &p);
		if (status != cases[i].status)
			fprintf(stderr, "%s\n", cases[i].what);
		assert_int_equal(status, cases[i].status);
	}
}

/* Every command in every state (virtio 1.3, 5.14.6.6.1). */

enum {
	UNSET,
	SET,
	PREPARED,
	STARTED,
	STOPPED,
	RELEASED,
	N_STATES
};

static uint32_t command(struct studio *studio, uint32_t code, uint32_t stream)
{
	struct virtio_snd_pcm_set_params params = studio_params(stream, 480, 4);

	return code == VIRTIO_SND_R_PCM_SET_PARAMS ? studio_set_params(studio, &params)
						   : studio_pcm(studio, code, stream);
}

static void bring_to(struct studio *studio, unsigned to, uint32_t stream)
{
	static const uint32_t ways[N_STATES][5] = {
		[SET] = { 0x101 },
		[PREPARED] = { 0x101, 0x102 },
		[STARTED] = { 0x101, 0x102, 0x104 },
		[STOPPED] = { 0x101, 0x102, 0x104, 0x105 },
		[RELEASED] = { 0x101, 0x102, 0x104, 0x105, 0x103 },
	};

	assert_int_equal(vhu_frontend_tell(&studio->frontend, VHU_RESET_DEVICE), 0);
	studio_connect(studio, 0);
	for (unsigned i = 0; i < 5 && ways[to][i]; i++)
		studio_expect_ok(command(studio, ways[to][i], stream));
}

static void commands_in_each_state(void **state)
{
	struct studio *studio = *state;
	/* SET_PARAMS, PREPARE, RELEASE, START, STOP. */
	static const bool fits[N_STATES][5] = {
		[UNSET] = { true },
		[SET] = { true, true },
		[PREPARED] = { true, true, true, true },
		[STARTED] = { false, false, false, false, true },
		[STOPPED] = { false, false, true, true },
		[RELEASED] = { true, true },
	};

	studio_begin(studio);
	for (unsigned from = 0; from < N_STATES; from++) {
		for (unsigned i = 0; i < 5; i++) {
			bring_to(studio, from, i % N_STREAMS);
			assert_int_equal(
				command(studio, VIRTIO_SND_R_PCM_SET_PARAMS + i, i % N_STREAMS),
				fits[from][i] ? OK : BAD);
		}
	}
}

/* Messages that are none come back at once, with a status where there is room for one. */
static void malformed_messages(void **state)
{
	struct studio *studio = *state;
	static const struct {
		const char *what;
		bool rx;
		uint32_t header, data, status, id;
		uint32_t expected; /* 0: nothing is written */
	} cases[] = {
		{ "no status", false, 4, 64, 0, TO_NULL, 0 },
		{ "half a status", false, 4, 64, 7, TO_NULL, 0 },
		{ "half a header", false, 3, 0, 8, TO_NULL, BAD },
		{ "no such stream", false, 4, 64, 8, N_STREAMS, BAD },
		{ "a stream of 32 bits", false, 4, 64, 8, UINT32_MAX, BAD },
		{ "a capture stream", false, 4, 64, 8, FROM_NULL, BAD },
		{ "half a frame", false, 4, 66, 8, TO_NULL, BAD },
		{ "one byte", false, 4, 1, 8, TO_NULL, BAD },
		{ "nothing", false, 4, 0, 8, TO_NULL, OK },
		{ "a stream that was not prepared", false, 4, 64, 8, TO_WAV, IO_ERR },
		{ "a playback stream", true, 4, 64, 8, TO_NULL, BAD },
		{ "half a header", true, 3, 64, 8, FROM_NULL, BAD },
		{ "half a frame", true, 4, 63, 8, FROM_NULL, BAD },
		{ "half a status", true, 4, 0, 4, FROM_NULL, 0 },
		{ "nothing", true, 4, 0, 8, FROM_NULL, OK },
		{ "a stream that was not prepared", true, 4, 64, 8, FROM_WAV, IO_ERR },
	};

	studio_begin(studio);
	studio_prepare(studio, TO_NULL, 480, 0);
	studio_prepare(studio, FROM_NULL, 480, 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct studio_message *message = &studio->messages[0];
		struct vhu_guest_buffer buffers[3] = { message->header };
		unsigned n = 1, n_readable = 1;
		uint32_t id = htole32(cases[i].id), written, status;

		memcpy(message->header.host, &id, 4);
		memset(message->status.host, 0xee, 8);
		buffers[0].len = cases[i].header;
		if (cases[i].data) {
			buffers[n] = message->data;
			buffers[n++].len = cases[i].data;
			n_readable += !cases[i].rx;
		}
		if (cases[i].status) {
			buffers[n] = message->status;
			buffers[n++].len = cases[i].status;
		}
		assert_int_equal(vhu_driver_run(cases[i].rx ? &studio->rx : &studio->tx, buffers,
						n_readable, n - n_readable, &written),
				 0);
		status = studio_status(studio, 0);
		if (written != (cases[i].expected ? 8 : 0) ||
		    status != (cases[i].expected ? cases[i].expected : 0xeeeeeeee))
			fprintf(stderr, "%s: %u bytes, 0x%x\n", cases[i].what, written, status);
		assert_int_equal(written, cases[i].expected ? 8 : 0);
		assert_int_equal(status, cases[i].expected ? cases[i].expected : 0xeeeeeeee);
	}
}

/* A driver that begins anew finds nothing of the one before. */
static void a_reset_forgets(void **state)
{
	struct studio *studio = *state;

	studio_begin(studio);
	for (unsigned round = 0; round < 3; round++) {
		studio_prepare(studio, TO_NULL, 480, 0);
		studio_expect_ok(studio_pcm(studio, VIRTIO_SND_R_PCM_START, TO_NULL));
		for (unsigned i = 0; i < 16; i++)
			studio_queue(studio, TO_NULL, i, i * 480, 1920);
		studio_kick(studio);
		sleep_ms(5);
		if (round == 0)
			assert_int_equal(vhu_frontend_tell(&studio->frontend, VHU_RESET_DEVICE), 0);
		studio_connect(studio, round ? VHU_BIT(VHU_F_RING_PACKED) : 0);
		assert_int_equal(studio_pcm(studio, VIRTIO_SND_R_PCM_STOP, TO_NULL), BAD);
		assert_int_equal(studio_pcm(studio, VIRTIO_SND_R_PCM_PREPARE, TO_NULL), BAD);
		for (unsigned i = 0; i < STUDIO_MESSAGES; i++)
			studio->messages[i].under_way = false;
	}
}

static void statistics_at_the_end(void **state)
{
	struct studio *studio = *state;
	static const char *const args[] = { "--playback", "null", "--stats", NULL };
	char *said;

	studio_start(studio, args);
	studio_connect(studio, 0);
	assert_int_equal(program_end(&studio->program), 0);
	said = program_said(&studio->program);
	assert_non_null(strstr(said, "{\"requests\": 0, \"bad_requests\": 0, \"streams\": [{"));
	free(said);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		STUDIO_TEST(config_space),
		STUDIO_TEST(streams_are_described),
		STUDIO_TEST(a_stream_that_is_other),
		STUDIO_TEST(maps_are_described),
		STUDIO_TEST(items_of_any_size),
		STUDIO_TEST(jacks),
		STUDIO_TEST(jacks_are_what_they_are_called),
		STUDIO_TEST(malformed_requests),
		STUDIO_TEST(no_room_for_an_answer),
		STUDIO_TEST(parameters),
		STUDIO_TEST(commands_in_each_state),
		STUDIO_TEST(malformed_messages),
		STUDIO_TEST(a_reset_forgets),
		STUDIO_TEST(statistics_at_the_end),
	};

	signal(SIGPIPE, SIG_IGN);
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
