/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * vhu-sound in time: every frame arrives, as it was sent, at the pace of the clock; and nobody is
 * kept waiting.
 */

#include <dirent.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fd.h"
#include "tests/device/studio.h"

#define RATE 48000
#define PERIOD 480
#define POLLING (1u << VIRTIO_SND_PCM_F_MSG_POLLING)
#define XRUNS (1u << VIRTIO_SND_PCM_F_EVT_XRUNS)
#define PERIODS (1u << VIRTIO_SND_PCM_F_EVT_SHMEM_PERIODS)

static uint64_t now_ms(void)
{
	return vhu_now_ns() / NS_PER_MS;
}

static uint32_t start(struct studio *studio, uint32_t stream)
{
	return studio_pcm(studio, VIRTIO_SND_R_PCM_START, stream);
}

static void stop_and_release(struct studio *studio, uint32_t stream)
{
	studio_expect_ok(studio_pcm(studio, VIRTIO_SND_R_PCM_STOP, stream));
	studio_expect_ok(studio_pcm(studio, VIRTIO_SND_R_PCM_RELEASE, stream));
}

/* What has been played: one chunk of data behind 44 bytes, the ramp from first on. */
static void expect_ramp(const struct studio *studio, const char *name, uint32_t first,
			uint32_t n_frames)
{
	size_t bytes;
	uint8_t *file = studio_file(studio, name, &bytes);
	uint32_t said;

	assert_int_equal(bytes, 44 + 4 * (size_t)n_frames);
	memcpy(&said, file + 40, 4);
	assert_int_equal(le32toh(said), 4 * n_frames);
	for (uint32_t i = 0; i < n_frames; i++) {
		uint32_t frame;

		memcpy(&frame, file + 44 + 4 * (size_t)i, 4);
		assert_int_equal(le32toh(frame), ramp(first + i));
	}
	free(file);
}

/* Keeps depth messages under way until n_frames have been taken; a kick each when not polled. */
struct player {
	uint32_t stream, period, n_frames;
	unsigned depth;
	bool polls;
	uint32_t queued, done;
	uint64_t last_ms; /* when the last one came back */
};

static void queue_next(struct studio *studio, struct player *player, unsigned token)
{
	uint32_t n = (uint32_t)min_u64(player->period, player->n_frames - player->queued);

	if (!n)
		return;
	studio_queue(studio, player->stream, token, player->queued, 4 * n);
	player->queued += n;
}

static void show(struct studio *studio, const struct player *player)
{
	if (player->polls)
		vhu_driver_publish(&studio->tx);
	else
		studio_kick(studio);
}

static void prefill(struct studio *studio, struct player *player)
{
	for (unsigned i = 0; i < player->depth; i++)
		queue_next(studio, player, i);
	show(studio, player);
}

static void play_until(struct studio *studio, struct player *player, uint32_t n_frames)
{
	while (player->done < n_frames) {
		unsigned token = studio_wait(studio, false);

		studio_expect_ok(studio_status(studio, token));
		player->done += (uint32_t)min_u64(player->period, player->n_frames - player->done);
		queue_next(studio, player, token);
		show(studio, player);
	}
	player->last_ms = now_ms();
}

/* All of it, of a stream that is prepared. */
static void play_all(struct studio *studio, struct player *player)
{
	prefill(studio, player);
	studio_expect_ok(start(studio, player->stream));
	play_until(studio, player, player->n_frames);
	stop_and_release(studio, player->stream);
}

/*
 * From START to the last frame's acceptance, which is as much before its end as is kept ahead.
 * Returns by how many milliseconds that is off.
 */
static int play_once(struct studio *studio, uint32_t stream, uint32_t period, uint32_t features,
		     unsigned ms)
{
	struct player player = {
		.stream = stream,
		.period = period,
		.n_frames = ms * (RATE / 1000),
		.depth = 6,
		.polls = features & POLLING,
	};
	uint64_t begun_ms, target_ms = max_u64(40, 2000ull * period / RATE);

	studio_prepare(studio, stream, period, features);
	prefill(studio, &player);
	begun_ms = now_ms();
	studio_expect_ok(start(studio, stream));
	play_until(studio, &player, player.n_frames);
	stop_and_release(studio, stream);
	return (int)(player.last_ms - begun_ms + target_ms) - (int)ms;
}

/* A machine that is busy may make one of them late, though none early. */
static void pace(struct studio *studio, uint32_t stream, uint32_t period, uint32_t features,
		 unsigned ms)
{
	int allowed_ms = (int)(ms / 1000 + period * 1000 / RATE + 1), error_ms = INT_MAX;

	for (unsigned i = 0; i < 3 && error_ms > allowed_ms; i++) {
		error_ms = play_once(studio, stream, period, features, ms);
		if (error_ms < -allowed_ms || error_ms > allowed_ms)
			fprintf(stderr, "%u ms in periods of %u: %d ms off\n", ms, period,
				error_ms);
		assert_true(error_ms >= -allowed_ms);
	}
	assert_true(error_ms <= allowed_ms * SLOWNESS);
}

static unsigned play_ms = 1000;

static void paced_to_null(void **state)
{
	studio_begin(*state);
	pace(*state, TO_NULL, PERIOD, POLLING, play_ms);
	pace(*state, TO_NULL, 4 * PERIOD, 0, play_ms);
}

static void paced_to_a_file(void **state)
{
	studio_begin(*state);
	pace(*state, TO_WAV, PERIOD, POLLING, play_ms);
}

/* The last message is not a whole period; the file is right while the program still runs. */
static void every_frame_arrives(void **state)
{
	struct studio *studio = *state;
	struct player player = { TO_WAV, PERIOD, 20 * PERIOD + 7, 4, false };

	studio_begin(studio);
	studio_prepare(studio, TO_WAV, PERIOD, 0);
	play_all(studio, &player);
	sleep_ms(100 * SLOWNESS);
	expect_ramp(studio, "out.wav", 0, player.n_frames);
	/* The same parameters go on in the file. */
	player = (struct player){ TO_WAV, PERIOD,	   23 * PERIOD + 7, 4,
				  false,  player.n_frames, player.n_frames };
	studio_expect_ok(studio_pcm(studio, VIRTIO_SND_R_PCM_PREPARE, TO_WAV));
	play_all(studio, &player);
	assert_int_equal(program_end(&studio->program), 0);
	expect_ramp(studio, "out.wav", 0, player.n_frames);
}

/* Others begin another one, and a message may be longer than what is kept ahead. */
static void long_messages(void **state)
{
	struct studio *studio = *state;
	struct player player = { TO_WAV, 4096, 3 * 4096, 3, false };

	studio_begin(studio);
	studio_prepare(studio, TO_WAV, 16, 0);
	play_all(studio, &player);
	assert_int_equal(program_end(&studio->program), 0);
	expect_ramp(studio, "out.wav", 0, player.n_frames);
}

static void release_is_prompt(void **state)
{
	struct studio *studio = *state;

	studio_begin(studio);
	for (unsigned round = 0; round < 4; round++) {
		/* With and without a START, looked at or not. */
		uint32_t stream = round % 2 ? FROM_NULL : TO_NULL;
		bool starts = round < 2, capture = round % 2;
		uint64_t begun_ms;

		studio_prepare(studio, stream, 8 * PERIOD, POLLING);
		if (starts) {
			studio_expect_ok(start(studio, stream));
			sleep_ms(5);
		}
		for (unsigned i = 0; i < 16; i++)
			studio_queue(studio, stream, i, 0, 4 * 8 * PERIOD);
		vhu_driver_publish(capture ? &studio->rx : &studio->tx);
		begun_ms = now_ms();
		if (starts)
			studio_expect_ok(studio_pcm(studio, VIRTIO_SND_R_PCM_STOP, stream));
		studio_expect_ok(studio_pcm(studio, VIRTIO_SND_R_PCM_RELEASE, stream));
		/* All of them are there with the answer. */
		assert_int_equal(studio_collect(studio, capture), 16);
		assert_true(now_ms() - begun_ms < 100 * SLOWNESS);
		for (unsigned i = 0; i < 16; i++)
			studio_expect_ok(studio_status(studio, i));
	}
}

/* One stream's messages end, and another's go on. */
static void two_streams(void **state)
{
	struct studio *studio = *state;
	struct player player = { TO_WAV, PERIOD, 60 * PERIOD, 4, false };

	studio_begin(studio);
	studio_prepare(studio, TO_NULL, PERIOD, 0);
	studio_prepare(studio, TO_WAV, PERIOD, 0);
	prefill(studio, &player);
	studio_expect_ok(start(studio, TO_WAV));
	for (unsigned i = 20; i < 36; i++)
		studio_queue(studio, TO_NULL, i, 0, 4 * PERIOD);
	studio_kick(studio);
	studio_expect_ok(studio_pcm(studio, VIRTIO_SND_R_PCM_RELEASE, TO_NULL));
	for (unsigned taken = 0; taken < 16; taken++) {
		unsigned token = studio_wait(studio, false);

		if (token < 20) {
			player.done += PERIOD;
			queue_next(studio, &player, token);
			taken--;
		}
	}
	show(studio, &player);
	play_until(studio, &player, player.n_frames);
	stop_and_release(studio, TO_WAV);
	assert_int_equal(program_end(&studio->program), 0);
	expect_ramp(studio, "out.wav", 0, player.n_frames);
}

/* PAUSE of Linux: STOP keeps what is queued, and an empty ring is no under-run. */
static void pause_and_resume(void **state)
{
	struct studio *studio = *state;
	struct player player = { TO_WAV, PERIOD, 60 * PERIOD, 16, false };
	struct virtio_snd_event event;

	studio_begin(studio);
	studio_prepare(studio, TO_WAV, PERIOD, XRUNS);
	prefill(studio, &player);
	for (unsigned i = 1; i <= 3; i++) {
		uint64_t begun_ms = now_ms();

		studio_expect_ok(start(studio, TO_WAV));
		play_until(studio, &player, 10 * i * PERIOD);
		/* But for what is kept ahead it takes its time: the pause is not made up for. */
		assert_true(player.last_ms - begun_ms >= 40);
		studio_expect_ok(studio_pcm(studio, VIRTIO_SND_R_PCM_STOP, TO_WAV));
		player.done += studio_collect(studio, false) * PERIOD;
		sleep_ms(100);
		assert_int_equal(studio_collect(studio, false), 0);
	}
	studio_expect_ok(start(studio, TO_WAV));
	/* Those that were collected above were not queued again. */
	while (player.done < player.queued) {
		studio_wait(studio, false);
		player.done += PERIOD;
	}
	studio_expect_ok(studio_pcm(studio, VIRTIO_SND_R_PCM_STOP, TO_WAV));
	assert_false(studio_next_event(studio, 0, &event));
	studio_expect_ok(studio_pcm(studio, VIRTIO_SND_R_PCM_RELEASE, TO_WAV));
	assert_int_equal(program_end(&studio->program), 0);
	expect_ramp(studio, "out.wav", 0, player.queued);
}

/* A guest that is stopped and goes on hears all, and of no under-run. */
static void stop_of_the_queue(void **state)
{
	struct studio *studio = *state;
	struct player player = { TO_WAV, PERIOD, 90 * PERIOD, 16, false };
	struct virtio_snd_event event;

	studio_start(studio, NULL);
	for (unsigned packed = 0; packed < 2; packed++) {
		player.done = player.queued = packed * 45 * PERIOD;
		player.n_frames = player.done + 45 * PERIOD;
		studio_connect(studio, packed ? VHU_BIT(VHU_F_RING_PACKED) : 0);
		studio_prepare(studio, TO_WAV, PERIOD, XRUNS);
		prefill(studio, &player);
		studio_expect_ok(start(studio, TO_WAV));
		for (unsigned i = 1; i <= 3; i++) {
			uint32_t before = player.done;
			uint64_t begun_ms = now_ms();
			unsigned n;

			play_until(studio, &player, packed * 45 * PERIOD + 10 * i * PERIOD);
			assert_true(player.last_ms - begun_ms >= 30);
			assert_int_equal(vhu_driver_stop(&studio->tx), 0);
			/* Few were completed for it: the rest is in the ring again. */
			n = studio_collect(studio, false);
			assert_in_range(n, 0, 8);
			player.done += n * PERIOD;
			assert_true(player.done > before);
			sleep_ms(120);
			assert_int_equal(vhu_driver_start(&studio->tx), 0);
			assert_true(vhu_driver_kick(&studio->tx) >= 0);
		}
		while (player.done < player.queued) {
			studio_wait(studio, false);
			player.done += PERIOD;
		}
		studio_expect_ok(studio_pcm(studio, VIRTIO_SND_R_PCM_STOP, TO_WAV));
		assert_false(studio_next_event(studio, 0, &event));
		studio_expect_ok(studio_pcm(studio, VIRTIO_SND_R_PCM_RELEASE, TO_WAV));
		if (packed) {
			assert_int_equal(program_end(&studio->program), 0);
			expect_ramp(studio, "out.wav", 0, player.queued);
		}
		player.n_frames = player.queued;
	}
}

/* One that is none, behind good ones: none of them is lost, or played twice, by a stop. */
static void stop_behind_a_bad_message(void **state)
{
	struct studio *studio = *state;
	unsigned n = 0;

	for (unsigned packed = 0; packed < 2; packed++) {
		studio_start(studio, NULL);
		studio_connect(studio, packed ? VHU_BIT(VHU_F_RING_PACKED) : 0);
		studio_prepare(studio, TO_WAV, PERIOD, 0);
		for (unsigned i = 0; i < 12; i++)
			studio_queue(studio, TO_WAV, i, i * PERIOD, 4 * PERIOD);
		studio_queue(studio, TO_WAV, 12, 0, 4 * PERIOD - 1);
		studio_kick(studio);
		studio_expect_ok(start(studio, TO_WAV));
		while (studio_wait(studio, false) != 12)
			n++;
		assert_int_equal(vhu_driver_stop(&studio->tx), 0);
		n += studio_collect(studio, false);
		assert_int_equal(vhu_driver_start(&studio->tx), 0);
		for (assert_true(vhu_driver_kick(&studio->tx) >= 0); n < 12; n++)
			studio_wait(studio, false);
		for (unsigned i = 0; i < 12; i++) {
			studio_expect_ok(studio_status(studio, i));
			assert_int_equal(studio->messages[i].used_len, 8);
		}
		assert_int_equal(studio_status(studio, 12), VIRTIO_SND_S_BAD_MSG);
		stop_and_release(studio, TO_WAV);
		assert_int_equal(program_end(&studio->program), 0);
		expect_ramp(studio, "out.wav", 0, 12 * PERIOD);
		n = 0;
	}
}

static void expect_recorded(const struct studio *studio, unsigned token, uint32_t first,
			    uint32_t n_frames)
{
	const uint32_t *frames = studio->messages[token].data.host;

	studio_expect_ok(studio_status(studio, token));
	assert_int_equal(studio->messages[token].used_len, 4 * n_frames + 8);
	for (uint32_t i = 0; i < n_frames; i++)
		assert_int_equal(le32toh(frames[i]),
				 first + i < INPUT_FRAMES ? ramp(first + i) : 0);
}

/* All of the file, then silence, each in its time. */
static void recording(void **state)
{
	struct studio *studio = *state;
	uint32_t n_messages = INPUT_FRAMES / PERIOD + 10, next = 0;
	uint64_t begun_ms;

	studio_begin(studio);
	studio_prepare(studio, FROM_WAV, PERIOD, XRUNS);
	for (unsigned i = 0; i < 8; i++)
		studio_queue(studio, FROM_WAV, i, 0, 4 * PERIOD);
	studio_kick(studio);
	sleep_ms(30);
	assert_int_equal(studio_collect(studio, true), 0);
	begun_ms = now_ms();
	studio_expect_ok(start(studio, FROM_WAV));
	while (next < n_messages) {
		unsigned token = studio_wait(studio, true);

		expect_recorded(studio, token, next++ * PERIOD, PERIOD);
		studio_queue(studio, FROM_WAV, token, 0, 4 * PERIOD);
		studio_kick(studio);
	}
	assert_in_range(now_ms() - begun_ms, 10 * n_messages, 10 * n_messages + 300);
	/* Those that are left come back with silence. */
	stop_and_release(studio, FROM_WAV);
	assert_int_equal(studio_collect(studio, true), 8);
	expect_recorded(studio, 0, INPUT_FRAMES, PERIOD);
}

/* A guest that gives no buffers costs no time, and has the newest when it does. */
static void recording_without_buffers(void **state)
{
	struct studio *studio = *state;
	struct virtio_snd_event event;
	unsigned cpu_ms;

	studio_begin(studio);
	studio_prepare(studio, FROM_NULL, PERIOD, XRUNS);
	studio_expect_ok(start(studio, FROM_NULL));
	cpu_ms = program_cpu_ms(&studio->program);
	sleep_ms(400);
	assert_true(program_cpu_ms(&studio->program) - cpu_ms <= 10);
	for (unsigned i = 0; i < 8; i++)
		studio_queue(studio, FROM_NULL, i, 0, 4 * PERIOD);
	studio_kick(studio);
	assert_int_equal(studio_wait(studio, true), 0);
	assert_in_range(studio_collect(studio, true), 0, 5);
	assert_true(studio_next_event(studio, WAIT_MS, &event));
	assert_int_equal(le32toh(event.hdr.code), VIRTIO_SND_EVT_PCM_XRUN);
	assert_int_equal(le32toh(event.data), FROM_NULL);
}

/* Once each time that nothing comes, and nobody hears of it who has not asked. */
static void xruns_are_told(void **state)
{
	struct studio *studio = *state;
	struct virtio_snd_event event;

	studio_begin(studio);
	for (unsigned asks = 0; asks < 2; asks++) {
		struct player player = { TO_NULL, PERIOD, 6 * PERIOD, 6, true };

		studio_prepare(studio, TO_NULL, PERIOD, POLLING | (asks ? XRUNS : 0));
		prefill(studio, &player);
		studio_expect_ok(start(studio, TO_NULL));
		for (unsigned round = 0; round < 2; round++) {
			play_until(studio, &player, player.n_frames);
			if (asks) {
				assert_true(studio_next_event(studio, WAIT_MS, &event));
				assert_int_equal(le32toh(event.hdr.code), VIRTIO_SND_EVT_PCM_XRUN);
				assert_int_equal(le32toh(event.data), TO_NULL);
			}
			assert_false(studio_next_event(studio, 100, &event));
			player.n_frames += 6 * PERIOD;
			prefill(studio, &player);
		}
		stop_and_release(studio, TO_NULL);
		studio_collect(studio, false);
	}
}

static void periods_are_told(void **state)
{
	struct studio *studio = *state;
	struct virtio_snd_event event;

	studio_begin(studio);
	studio_prepare(studio, TO_NULL, PERIOD, PERIODS);
	studio_expect_ok(start(studio, TO_NULL));
	for (unsigned i = 0; i < 5; i++) {
		studio_queue(studio, TO_NULL, 0, 0, 4 * PERIOD);
		studio_kick(studio);
		studio_wait(studio, false);
		assert_true(studio_next_event(studio, WAIT_MS, &event));
		assert_int_equal(le32toh(event.hdr.code), VIRTIO_SND_EVT_PCM_PERIOD_ELAPSED);
		assert_int_equal(le32toh(event.data), TO_NULL);
	}
}

/* How often threads of the program have slept. */
static unsigned count_sleeps(const struct studio *studio)
{
	unsigned sum = 0, n;
	char path[64], line[128];
	struct dirent *task;
	DIR *tasks;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)studio->program.pid);
	tasks = opendir(path);
	assert_non_null(tasks);
	while ((task = readdir(tasks))) {
		char *status;
		FILE *file;

		assert_true(asprintf(&status, "%s/%s/status", path, task->d_name) > 0);
		file = fopen(status, "r");
		while (file && fgets(line, sizeof(line), file))
			if (sscanf(line, "voluntary_ctxt_switches: %u", &n) == 1)
				sum += n;
		if (file)
			fclose(file);
		free(status);
	}
	closedir(tasks);
	return sum;
}

/* Of a stream that plays nothing, and of one that plays: 100 wake-ups a second. */
static void cost(void **state)
{
	struct studio *studio = *state;
	struct player player = { TO_NULL, PERIOD, 100 * PERIOD, 8, true };
	unsigned cpu_ms, sleeps;

	studio_begin(studio);
	studio_prepare(studio, TO_NULL, PERIOD, POLLING);
	cpu_ms = program_cpu_ms(&studio->program);
	sleep_ms(300);
	assert_true(program_cpu_ms(&studio->program) - cpu_ms <= 10);
	prefill(studio, &player);
	studio_expect_ok(start(studio, TO_NULL));
	cpu_ms = program_cpu_ms(&studio->program);
	sleeps = count_sleeps(studio);
	play_until(studio, &player, player.n_frames);
	/* A second of sound. */
	assert_in_range(count_sleeps(studio) - sleeps, 1, 110 * SLOWNESS);
	assert_true(program_cpu_ms(&studio->program) - cpu_ms <= 20 * SLOWNESS);
	stop_and_release(studio, TO_NULL);
}

static void statistics(void **state)
{
	struct studio *studio = *state;
	struct player player = { TO_NULL, PERIOD, 10 * PERIOD, 10, false };
	char *said = NULL;

	studio_begin(studio);
	studio_prepare(studio, TO_NULL, PERIOD, 0);
	prefill(studio, &player);
	studio_expect_ok(start(studio, TO_NULL));
	play_until(studio, &player, player.n_frames);
	kill(studio->program.pid, SIGUSR1);
	for (unsigned i = 0; i < 500 && !(said && strstr(said, "}]}\n")); i++) {
		free(said);
		sleep_ms(10);
		said = program_said(&studio->program);
	}
	assert_non_null(strstr(said, "{\"requests\": 3, \"bad_requests\": 0, \"streams\": [{"));
	assert_non_null(strstr(said, "{\"stream\": 2, \"direction\": \"playback\", "
				     "\"pcm\": \"null\", \"messages\": 10, "
				     "\"frames\": 4800, \"unplayed\": 0, "
				     "\"bad_messages\": 0, \"xruns\": 0, \"opens\": 1, "));
	free(said);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		STUDIO_TEST(paced_to_null),
		STUDIO_TEST(paced_to_a_file),
		STUDIO_TEST(every_frame_arrives),
		STUDIO_TEST(long_messages),
		STUDIO_TEST(release_is_prompt),
		STUDIO_TEST(two_streams),
		STUDIO_TEST(pause_and_resume),
		STUDIO_TEST(stop_of_the_queue),
		STUDIO_TEST(stop_behind_a_bad_message),
		STUDIO_TEST(recording),
		STUDIO_TEST(recording_without_buffers),
		STUDIO_TEST(xruns_are_told),
		STUDIO_TEST(periods_are_told),
		STUDIO_TEST(cost),
		STUDIO_TEST(statistics),
	};

	signal(SIGPIPE, SIG_IGN);
	if (argc > 1 && !strcmp(argv[1], "--long"))
		play_ms = 10000;
	else if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
