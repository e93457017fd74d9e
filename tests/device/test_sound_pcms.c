/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * vhu-sound on ALSA's PCMs: null and file, which have no clock, and one of ours that has, and has
 * troubles on demand (tests/unit/alsa_plugin.c).
 */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fd.h"
#include "tests/device/studio.h"

#define RATE 48000
#define PERIOD 480
#define N_FRAMES(ms) ((ms) * (RATE / 1000))
#define DEPTH 16 /* messages of a stream */
#define PLUGIN "tests/unit/libasound_module_pcm_vhutest.so"

/* Streams, in the order that a studio has them. */
enum {
	TO_CLOCKED,
	FROM_CLOCKED,
	TO_FILE,
	FROM_NOWHERE,
};

static const char *const args[] = {
	"--playback", "clocked", "--capture", "clocked", "--playback", "tofile",
	"--capture",  "nowhere", "--latency", "200",	 NULL,
};

static void path_in(const struct studio *studio, const char *name, char ret_path[80])
{
	snprintf(ret_path, 80, "%s/%s", studio->program.dir, name);
}

static void say(const struct studio *studio, const char *word)
{
	char path[80];
	FILE *f;

	path_in(studio, "word", path);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(word, f);
	fclose(f);
}

static int set_up(void **state)
{
	int r = studio_setup(state);
	struct studio *studio = *state;
	char *plugin = NULL;
	char path[80];
	FILE *f;

	if (r < 0)
		return r;
	assert_true(asprintf(&plugin, "%s/%s", getenv("VHU_BUILD"), PLUGIN) > 0);
	path_in(studio, "word", path);
	setenv("VHU_TEST_PCM", path, 1);
	path_in(studio, "clocked.raw", path);
	setenv("VHU_TEST_PCM_FILE", path, 1);
	path_in(studio, "asound.conf", path);
	setenv("ALSA_CONFIG_PATH", path, 1);
	f = fopen(path, "w");
	assert_non_null(f);
	fprintf(f,
		"pcm_type.vhutest { lib \"%s\" }\n"
		"pcm.clocked { type vhutest }\n"
		"pcm.nowhere { type null }\n"
		"pcm.tofile { type file slave.pcm nowhere file \"%s/file.raw\" format raw }\n",
		plugin, studio->program.dir);
	fclose(f);
	free(plugin);
	say(studio, "");
	studio_start(studio, args);
	studio_connect(studio, 0);
	return 0;
}

#define PCM_TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, studio_teardown)

static bool has_said(const struct studio *studio, const char *text)
{
	char *said = program_said(&studio->program);
	bool found = strstr(said, text);

	free(said);
	return found;
}

/* --- a stream ------------------------------------------------------------------------------- */

struct line {
	uint32_t stream;
	uint32_t queued, done; /* frames */
	uint32_t heard;	       /* next frame of the clocked one */
	/* How far behind the clock the messages come, at best, early and late in the test. */
	int64_t early_ns, late_ns;
};

static bool is_capture(const struct line *line)
{
	return line->stream % 2;
}

static void queue(struct studio *studio, struct line *line, unsigned token)
{
	studio_queue(studio, line->stream, token, line->queued, 4 * PERIOD);
	studio_kick(studio);
	line->queued += PERIOD;
}

static void begin(struct studio *studio, struct line *line, uint32_t stream, uint32_t features)
{
	*line = (struct line){ .stream = stream, .early_ns = INT64_MAX, .late_ns = INT64_MAX };
	studio_prepare(studio, stream, PERIOD, features);
	for (unsigned i = 0; i < DEPTH; i++)
		queue(studio, line, stream * DEPTH + i);
	studio_expect_ok(studio_pcm(studio, VIRTIO_SND_R_PCM_START, stream));
}

static void end(struct studio *studio, const struct line *line)
{
	studio_expect_ok(studio_pcm(studio, VIRTIO_SND_R_PCM_STOP, line->stream));
	studio_expect_ok(studio_pcm(studio, VIRTIO_SND_R_PCM_RELEASE, line->stream));
	studio_collect(studio, is_capture(line));
}

static void hear(struct studio *studio, struct line *line, unsigned token)
{
	const uint32_t *frames = studio->messages[token].data.host;

	for (unsigned i = 0; i < PERIOD; i++)
		assert_int_equal(le32toh(frames[i]),
				 line->stream == FROM_CLOCKED ? line->heard + i : 0);
	line->heard += PERIOD;
}

/* The next message of the ring, whichever of the lines it belongs to; it is queued again. */
static void take(struct studio *studio, struct line *lines, bool capture)
{
	unsigned token = studio_wait(studio, capture);
	struct line *line = &lines[token / DEPTH];
	int64_t behind_ns;

	studio_expect_ok(studio_status(studio, token));
	if (capture)
		hear(studio, line, token);
	line->done += PERIOD;
	behind_ns = (int64_t)vhu_now_ns() - (int64_t)line->done * 1000000 / (RATE / 1000);
	/* Before, one without a clock may still be ahead: it has to be found out. */
	if (line->done > RATE && line->done <= RATE * 3 / 2 && behind_ns < line->early_ns)
		line->early_ns = behind_ns;
	else if (line->done > RATE * 3 / 2 && behind_ns < line->late_ns)
		line->late_ns = behind_ns;
	queue(studio, line, token);
}

/* --- what is to be shown -------------------------------------------------------------------- */

static unsigned pace_ms = 2000;

/* The file begins with the ramp, and has at least what was completed but for the ring. */
static void expect_file(const struct studio *studio, const char *name, uint32_t n_frames)
{
	size_t bytes;
	uint32_t *frames = studio_file(studio, name, &bytes);

	assert_true(bytes / 4 >= n_frames);
	for (uint32_t i = 0; i < n_frames; i++)
		assert_int_equal(le32toh(frames[i]), ramp(i));
	free(frames);
}

/* A machine that is too busy for us makes the device run dry, and time is lost then. */
#define DRY_NS (250 * (int64_t)NS_PER_MS)

static void expect_pace(const struct line *line, unsigned n_xruns)
{
	int64_t allowed_ns = (int64_t)pace_ms * 1000 + PERIOD * (int64_t)NS_PER_SEC / RATE +
			     n_xruns * DRY_NS;
	int64_t drift_ns = line->late_ns - line->early_ns;

	if (llabs(drift_ns) > allowed_ns)
		fail_msg("stream %u: %d us off", line->stream, (int)(drift_ns / 1000));
}

static bool are_done(const struct line *lines, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (lines[i].done < N_FRAMES(pace_ms))
			return false;
	return true;
}

static void all_are_paced_and_every_frame_arrives(void **state)
{
	struct studio *studio = *state;
	struct line lines[4];
	unsigned n_xruns[4] = { 0 };
	struct virtio_snd_event event;

	for (unsigned i = 0; i < 4; i++)
		begin(studio, &lines[i], i, 1u << VIRTIO_SND_PCM_F_EVT_XRUNS);
	while (!are_done(lines, 4)) {
		if (vhu_driver_has_used(&studio->tx))
			take(studio, lines, false);
		else if (vhu_driver_has_used(&studio->rx))
			take(studio, lines, true);
		else
			sleep_ms(1);
	}
	while (studio_next_event(studio, 0, &event))
		n_xruns[le32toh(event.data) % 4]++;
	for (unsigned i = 0; i < 4; i++) {
		assert_in_range(n_xruns[i], 0, i <= FROM_CLOCKED ? 2 : 0);
		expect_pace(&lines[i], n_xruns[i]);
		end(studio, &lines[i]);
	}
	assert_int_equal(program_end(&studio->program), 0);
	expect_file(studio, "clocked.raw", N_FRAMES(pace_ms));
	expect_file(studio, "file.raw", N_FRAMES(pace_ms - 200));
	assert_true(has_said(studio, "tofile: it has no clock"));
	assert_true(has_said(studio, "nowhere: it has no clock"));
	assert_false(has_said(studio, "clocked: it has no clock"));
}

static void play_ms(struct studio *studio, struct line *line, unsigned ms)
{
	uint32_t until = line->done + N_FRAMES(ms);

	while (line->done < until)
		take(studio, line, false);
}

static void a_device_goes_and_comes_back(void **state)
{
	struct studio *studio = *state;
	struct line line;

	begin(studio, &line, TO_CLOCKED, 0);
	play_ms(studio, &line, 1500);
	say(studio, "gone");
	play_ms(studio, &line, 500);
	assert_true(has_said(studio, "clocked: it has gone"));
	say(studio, "");
	while (!has_said(studio, "clocked: it is there again"))
		play_ms(studio, &line, 100);
	play_ms(studio, &line, 200);
	/* The guest was neither kept waiting nor hurried on. */
	expect_pace(&line, 0);
	end(studio, &line);
}

static void nobody_waits_for_a_device_that_is_slow(void **state)
{
	struct studio *studio = *state;
	uint64_t begun_ns = vhu_now_ns();
	struct line line;
	size_t bytes;

	say(studio, "slow");
	begin(studio, &line, TO_CLOCKED, 0);
	/* The Linux driver would have given up. */
	assert_true(vhu_now_ns() - begun_ns < 1000 * NS_PER_MS);
	play_ms(studio, &line, 1500);
	say(studio, "");
	assert_true(has_said(studio, "it takes long to open"));
	assert_true(has_said(studio, "clocked: it is there again"));
	free(studio_file(studio, "clocked.raw", &bytes));
	assert_true(bytes > 0);
	end(studio, &line);
}

static void a_device_that_is_busy_is_an_error(void **state)
{
	struct studio *studio = *state;
	struct virtio_snd_pcm_set_params params = studio_params(TO_CLOCKED, PERIOD, DEPTH);
	struct line line;

	studio_expect_ok(studio_set_params(studio, &params));
	say(studio, "busy");
	assert_int_equal(studio_pcm(studio, VIRTIO_SND_R_PCM_PREPARE, TO_CLOCKED),
			 VIRTIO_SND_S_IO_ERR);
	assert_true(has_said(studio, "clocked: cannot open it: another stream or program has it"));
	say(studio, "");
	begin(studio, &line, TO_CLOCKED, 0);
	play_ms(studio, &line, 200);
	end(studio, &line);
}

static void a_device_that_slept_goes_on(void **state)
{
	struct studio *studio = *state;
	struct virtio_snd_event event;
	struct line line;

	begin(studio, &line, TO_CLOCKED, 1u << VIRTIO_SND_PCM_F_EVT_XRUNS);
	play_ms(studio, &line, 200);
	say(studio, "slept");
	assert_true(studio_next_event(studio, WAIT_MS, &event));
	assert_int_equal(le32toh(event.hdr.code), VIRTIO_SND_EVT_PCM_XRUN);
	assert_int_equal(le32toh(event.data), TO_CLOCKED);
	say(studio, "");
	play_ms(studio, &line, 500);
	assert_false(has_said(studio, "it has gone"));
	end(studio, &line);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		PCM_TEST(all_are_paced_and_every_frame_arrives),
		PCM_TEST(a_device_goes_and_comes_back),
		PCM_TEST(nobody_waits_for_a_device_that_is_slow),
		PCM_TEST(a_device_that_is_busy_is_an_error),
		PCM_TEST(a_device_that_slept_goes_on),
	};

	signal(SIGPIPE, SIG_IGN);
	if (argc > 1 && !strcmp(argv[1], "--long"))
		pace_ms = 10000;
	else if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
