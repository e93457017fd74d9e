/* SPDX-License-Identifier: BSD-3-Clause */

/* ALSA PCMs without a card: a configuration of our own, with ALSA's null and file, and one of ours
 * that has a clock, a ring that cannot be mapped, and troubles. argv[1]: that plugin. */

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/fd.h"
#include "common/base/num.h"
#include "devices/sound/format.h"
#include "devices/sound/host.h"
#include "tests/unit/capture.h"

#define RATE 48000
#define PERIOD 480
#define FRAME_BYTES 4

static const char *plugin;
static char dir[] = "/tmp/vhu-test-alsa.XXXXXX";
static char file_path[64], config_path[64], word_path[64];

/* To the plugin. */
static void say(const char *word)
{
	FILE *f = fopen(word_path, "w");

	assert_non_null(f);
	fputs(word, f);
	fclose(f);
}

static struct vhu_sound_stream_options playback_on(const char *pcm)
{
	return (struct vhu_sound_stream_options){ .host = "alsa", .where = pcm };
}

static struct vhu_sound_stream_options capture_on(const char *pcm)
{
	return (struct vhu_sound_stream_options){ .capture = true, .host = "alsa", .where = pcm };
}

static const struct vhu_sound_params usual = {
	.format = VIRTIO_SND_PCM_FMT_S16,
	.rate_hz = RATE,
	.channels = 2,
	.frame_bytes = FRAME_BYTES,
	.period_frames = PERIOD,
	.buffer_frames = 4 * PERIOD,
	.target_frames = 4 * PERIOD,
};

static const struct vhu_sound_host_ops *const ops = &vhu_sound_host_alsa;

static struct vhu_sound_host *open_on(const struct vhu_sound_stream_options *options)
{
	struct vhu_sound_host *host = NULL;

	assert_int_equal(ops->open(options, &usual, &host), 0);
	assert_non_null(host);
	return host;
}

/* Frames that count, in guest memory that begins anew at an odd place. */
static uint32_t frames[64 * PERIOD];

static int64_t transfer(struct vhu_sound_host *host, uint32_t first, uint32_t n, bool capture)
{
	char *at = (char *)&frames[first];
	struct iovec iov[] = { { at, 6 }, { at + 6, (size_t)n * FRAME_BYTES - 6 } };
	struct vhu_iov_cursor cursor;
	int64_t r;

	vhu_iov_cursor_init(&cursor, iov, 2);
	r = capture ? ops->read(host, &cursor, n) : ops->write(host, &cursor, n);
	if (r > 0)
		assert_int_equal(cursor.left, ((size_t)n - (size_t)r) * FRAME_BYTES);
	return r;
}

static void count_up(uint32_t add)
{
	for (uint32_t i = 0; i < ARRAY_SIZE(frames); i++)
		frames[i] = i + add;
}

/* The file holds the frames from 0 to n. */
static void check_file(uint32_t n)
{
	int fd = open(file_path, O_RDONLY);
	uint32_t got[64 * PERIOD];

	assert_true(fd >= 0);
	assert_int_equal(read(fd, got, sizeof(got)), n * sizeof(got[0]));
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(got[i], i);
	close(fd);
}

static void pause_ms(unsigned ms)
{
	usleep(ms * 1000);
}

/* --- what there is -------------------------------------------------------------------------- */

static void a_pcm_says_what_it_can(void **state)
{
	struct vhu_sound_stream_options options = playback_on("nowhere");
	struct vhu_sound_caps caps;

	(void)state;
	assert_int_equal(ops->probe(&options, &caps), 0);
	assert_true(caps.formats & 1ull << VIRTIO_SND_PCM_FMT_S16);
	assert_true(caps.formats & 1ull << VIRTIO_SND_PCM_FMT_FLOAT);
	assert_false(caps.formats & 1ull << VIRTIO_SND_PCM_FMT_IMA_ADPCM);
	assert_int_equal(caps.rates, (1ull << VHU_SOUND_N_RATES) - 1);
	assert_int_equal(caps.channels_min, 1);
	assert_int_equal(caps.channels_max, VIRTIO_SND_CHMAP_MAX_SIZE);
	options = capture_on("clocked");
	assert_int_equal(ops->probe(&options, &caps), 0);
	assert_int_equal(caps.formats, 1ull << VIRTIO_SND_PCM_FMT_S16);
	assert_int_equal(caps.rates,
			 1ull << VIRTIO_SND_PCM_RATE_44100 | 1ull << VIRTIO_SND_PCM_RATE_48000);
	assert_int_equal(caps.channels_min, 2);
	assert_int_equal(caps.channels_max, 2);
	assert_true(caps.n_maps > 0);
}

static void trouble_is_one_line_that_says_what_to_try(void **state)
{
	static const struct {
		const char *pcm, *word, *says;
		int r;
	} cases[] = {
		{ "nonsense", "", "there is no such PCM; --list", -ENOENT },
		{ "pipewire", "", "packages libasound2-plugins, pipewire-alsa", -ENOENT },
		{ "pulse:x", "", "packages libasound2-plugins, pipewire-alsa", -ENOENT },
		{ "clocked", "busy", "another program has it; try", -EBUSY },
		{ "clocked", "gone", "clocked: cannot open it for playback: ", -ENODEV },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct vhu_sound_stream_options options = playback_on(cases[i].pcm);
		struct vhu_sound_caps caps;
		struct capture said;

		say(cases[i].word);
		capture_begin(&said, STDERR_FILENO);
		assert_int_equal(ops->probe(&options, &caps), cases[i].r);
		capture_end_line(&said, cases[i].says);
		say("");
	}
}

static void what_it_cannot_do_is_not_opened(void **state)
{
	struct vhu_sound_stream_options options = playback_on("clocked");
	struct vhu_sound_params params = usual;
	struct vhu_sound_host *host = NULL;

	(void)state;
	params.format = VIRTIO_SND_PCM_FMT_FLOAT;
	assert_int_equal(ops->open(&options, &params, &host), -EINVAL);
	params = usual;
	params.rate_hz = 96000;
	assert_int_equal(ops->open(&options, &params, &host), -EINVAL);
	params = usual;
	params.channels = 6;
	params.frame_bytes = 12;
	assert_int_equal(ops->open(&options, &params, &host), -EINVAL);
	say("busy");
	assert_int_equal(ops->open(&options, &usual, &host), -EBUSY);
	say("gone");
	assert_int_equal(ops->open(&options, &usual, &host), -ENODEV);
	say("");
	options.where = "nonsense";
	assert_int_equal(ops->open(&options, &usual, &host), -ENODEV);
	assert_null(host);
}

static void a_ring_has_room_for_the_target(void **state)
{
	struct vhu_sound_stream_options options = playback_on("clocked");
	struct vhu_sound_host *host = open_on(&options);

	(void)state;
	assert_int_equal(host->params.target_frames, usual.target_frames);
	assert_true(transfer(host, 0, 64 * PERIOD, false) > usual.target_frames);
	ops->close(host);
	options.buffer_ms = 25;
	host = open_on(&options);
	assert_true(host->params.target_frames < usual.target_frames);
	assert_int_equal(transfer(host, 0, 64 * PERIOD, false), host->params.target_frames);
	assert_int_equal(transfer(host, 0, PERIOD, false), 0);
	ops->close(host);
}

static unsigned long plugins_period(void)
{
	void *so = dlopen(plugin, RTLD_NOW | RTLD_NOLOAD);
	const unsigned long *at = so ? dlsym(so, "vhu_test_period") : NULL;
	unsigned long period;

	assert_non_null(at);
	period = *at;
	dlclose(so);
	return period;
}

static void its_periods_are_the_guests_or_as_asked_for(void **state)
{
	struct vhu_sound_stream_options options = playback_on("clocked");
	struct vhu_sound_host *host = open_on(&options);

	(void)state;
	assert_int_equal(plugins_period(), PERIOD);
	ops->close(host);
	options.period_ms = 5;
	host = open_on(&options);
	assert_int_equal(plugins_period(), RATE / 200);
	ops->close(host);
}

/* --- frames --------------------------------------------------------------------------------- */

static void all_that_is_written_arrives(void **state)
{
	/* Mapped, and not. */
	static const char *const pcms[] = { "tofile", "clocked" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(pcms); i++) {
		struct vhu_sound_stream_options options = playback_on(pcms[i]);
		struct vhu_sound_host *host;
		uint32_t done = 0;

		unlink(file_path);
		count_up(0);
		host = open_on(&options);
		while (done < 20 * PERIOD) {
			int64_t n = transfer(host, done, 333, false);

			assert_in_range(n, 0, 333);
			if (!done)
				assert_int_equal(ops->start(host), 0);
			done += (uint32_t)n;
			if (n < 333)
				pause_ms(5);
		}
		ops->close(host);
		check_file(done);
	}
}

static void all_that_is_captured_arrives(void **state)
{
	struct vhu_sound_stream_options options = capture_on("clocked");
	struct vhu_sound_host *host = open_on(&options);
	uint32_t done = 0;

	(void)state;
	memset(frames, 0xff, sizeof(frames));
	assert_int_equal(ops->start(host), 0);
	while (done < 10 * PERIOD) {
		int64_t fill = ops->fill(host), n;

		assert_in_range(fill, 0, 64 * PERIOD);
		n = fill < 3 ? 0 : transfer(host, done, (uint32_t)fill, true);
		assert_int_equal(n, fill < 3 ? 0 : fill);
		done += (uint32_t)n;
		pause_ms(3);
	}
	for (uint32_t i = 0; i < done; i++)
		assert_int_equal(frames[i], i);
	ops->close(host);
}

/* And not what was in our memory. */
static void nothing_is_silence(void **state)
{
	struct vhu_sound_stream_options options = capture_on("nowhere");
	struct vhu_sound_host *host;

	(void)state;
	mallopt(M_PERTURB, 0x5a);
	host = open_on(&options);
	mallopt(M_PERTURB, 0);
	memset(frames, 0xff, sizeof(frames));
	assert_int_equal(ops->start(host), 0);
	for (unsigned i = 0; i < 30; i++)
		assert_int_equal(transfer(host, i * PERIOD, PERIOD, true), PERIOD);
	for (uint32_t i = 0; i < 30 * PERIOD; i++)
		assert_int_equal(frames[i], 0);
	ops->close(host);
}

static void it_starts_when_it_is_started_and_tells_how_far_it_is(void **state)
{
	struct vhu_sound_stream_options options = playback_on("clocked");
	struct vhu_sound_host *host = open_on(&options);
	uint64_t before, ms;
	int64_t fill, delay;

	(void)state;
	assert_int_equal(transfer(host, 0, 4 * PERIOD, false), 4 * PERIOD);
	pause_ms(10);
	assert_int_equal(ops->fill(host), 4 * PERIOD);
	before = vhu_now_ns();
	assert_int_equal(ops->start(host), 0);
	pause_ms(15);
	fill = ops->fill(host);
	ms = (vhu_now_ns() - before) / NS_PER_MS + 1;
	if (ms < 38) { /* else the machine was too busy for us */
		assert_true(fill > 0);
		assert_true(fill <= 4 * PERIOD - 15 * RATE / 1000);
		assert_true(fill >= 4 * PERIOD - (int64_t)ms * RATE / 1000);
		delay = ops->delay(host);
		assert_true(delay == -EPIPE || (delay >= 0 && delay <= fill));
	}
	ops->close(host);
}

/* --- troubles ------------------------------------------------------------------------------- */

static void goes_on_after_reset(struct vhu_sound_host *host)
{
	assert_int_equal(ops->reset(host), 0);
	assert_int_equal(transfer(host, 0, 2 * PERIOD, false), 2 * PERIOD);
	assert_int_equal(ops->start(host), 0);
	assert_in_range(ops->fill(host), 0, 2 * PERIOD);
}

static void a_ring_that_ran_out_begins_anew(void **state)
{
	struct vhu_sound_stream_options options = playback_on("clocked");
	struct vhu_sound_host *host = open_on(&options);

	(void)state;
	assert_int_equal(transfer(host, 0, PERIOD, false), PERIOD);
	assert_int_equal(ops->start(host), 0);
	pause_ms(20);
	assert_int_equal(ops->fill(host), -EPIPE);
	goes_on_after_reset(host);
	pause_ms(30);
	assert_int_equal(transfer(host, 0, PERIOD, false), -EPIPE);
	goes_on_after_reset(host);
	ops->close(host);
}

static void a_capture_ring_that_ran_over_begins_anew(void **state)
{
	struct vhu_sound_stream_options options = capture_on("clocked");
	struct vhu_sound_host *host;

	(void)state;
	options.buffer_ms = 22;
	host = open_on(&options);
	assert_int_equal(ops->start(host), 0);
	pause_ms(60);
	assert_int_equal(ops->fill(host), -EPIPE);
	assert_int_equal(ops->reset(host), 0);
	assert_int_equal(ops->start(host), 0);
	pause_ms(2);
	assert_true(ops->fill(host) >= 0);
	ops->close(host);
}

static void sleep_is_slept_off(void **state)
{
	struct vhu_sound_stream_options options = playback_on("clocked");
	struct vhu_sound_host *host = open_on(&options);

	(void)state;
	assert_int_equal(transfer(host, 0, 2 * PERIOD, false), 2 * PERIOD);
	assert_int_equal(ops->start(host), 0);
	say("slept");
	assert_int_equal(ops->fill(host), -EPIPE);
	say("");
	goes_on_after_reset(host);
	ops->close(host);
}

static void a_device_that_goes_is_told_of(void **state)
{
	static const char *const words[] = { "gone", "broken" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		struct vhu_sound_stream_options options = playback_on("clocked");
		struct vhu_sound_host *host = open_on(&options);
		int64_t fill;

		assert_int_equal(transfer(host, 0, 2 * PERIOD, false), 2 * PERIOD);
		assert_int_equal(ops->start(host), 0);
		say(words[i]);
		fill = ops->fill(host);
		assert_true(fill == -EPIPE || fill == -ENODEV);
		assert_int_equal(ops->reset(host), -ENODEV);
		say("");
		ops->close(host);
	}
}

/* --- the rest ------------------------------------------------------------------------------- */

/* What there is to be listed has a hint, and all of it is one line. */
static void what_there_is_is_listed(void **state)
{
	struct vhu_sound_options options = { .list = true };
	struct capture said;

	(void)state;
	capture_begin(&said, STDOUT_FILENO);
	assert_int_equal(vhu_sound_print_list(&options), 0);
	assert_string_equal(capture_end(&said),
			    "nowhere  playback,capture  \"of a \"test\",in two lines\"\n");
	options.json = true;
	capture_begin(&said, STDOUT_FILENO);
	assert_int_equal(vhu_sound_print_list(&options), 0);
	assert_string_equal(capture_end(&said),
			    "[\n  {\"name\": \"nowhere\", \"playback\": true, \"capture\": true, "
			    "\"description\": \"of a \\\"test\\\",in two lines\"}\n]\n");
}

static void write_config(void)
{
	FILE *f = fopen(config_path, "w");

	assert_non_null(f);
	fprintf(f,
		"pcm.nowhere { type null hint { show on description "
		"'of a \"test\"\nin two lines' } }\n"
		"pcm.tofile { type file slave.pcm nowhere file \"%s\" format raw }\n"
		"pcm_type.vhutest { lib \"%s\" }\n"
		"pcm.clocked { type vhutest }\n",
		file_path, plugin);
	fclose(f);
}

static int set_up(void **state)
{
	assert_non_null(mkdtemp(dir));
	snprintf(file_path, sizeof(file_path), "%s/frames", dir);
	snprintf(word_path, sizeof(word_path), "%s/word", dir);
	snprintf(config_path, sizeof(config_path), "%s/asound.conf", dir);
	setenv("ALSA_CONFIG_PATH", config_path, 1);
	setenv("VHU_TEST_PCM", word_path, 1);
	setenv("VHU_TEST_PCM_FILE", file_path, 1);
	(void)state;
	write_config();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	unlink(file_path);
	unlink(config_path);
	unlink(word_path);
	return rmdir(dir);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_pcm_says_what_it_can),
		cmocka_unit_test(trouble_is_one_line_that_says_what_to_try),
		cmocka_unit_test(what_it_cannot_do_is_not_opened),
		cmocka_unit_test(a_ring_has_room_for_the_target),
		cmocka_unit_test(its_periods_are_the_guests_or_as_asked_for),
		cmocka_unit_test(all_that_is_written_arrives),
		cmocka_unit_test(all_that_is_captured_arrives),
		cmocka_unit_test(nothing_is_silence),
		cmocka_unit_test(it_starts_when_it_is_started_and_tells_how_far_it_is),
		cmocka_unit_test(a_ring_that_ran_out_begins_anew),
		cmocka_unit_test(a_capture_ring_that_ran_over_begins_anew),
		cmocka_unit_test(sleep_is_slept_off),
		cmocka_unit_test(a_device_that_goes_is_told_of),
		cmocka_unit_test(what_there_is_is_listed),
	};

	/* alsa-lib looks for a relative one elsewhere. */
	plugin = argc < 2 ? NULL : realpath(argv[1], NULL);
	if (!plugin)
		return 1;
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
