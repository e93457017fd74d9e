/* SPDX-License-Identifier: BSD-3-Clause */

/* WAV files: what is written is read again, and what is none is not taken for one. */

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/iov.h"
#include "common/base/num.h"
#include "devices/sound/format.h"
#include "devices/sound/host.h"
#include "devices/sound/wav.h"

static void round_trips(void **state)
{
	(void)state;
	for (unsigned format = 0; format < VHU_SOUND_N_FORMATS; format++) {
		struct vhu_wav wav = { .channels = 3, .rate_hz = 44100, .data_bytes = 72 }, got;
		uint8_t bytes[VHU_WAV_HEADER_BYTES + 72] = { 0 };
		int fd;

		if (vhu_wav_describe(format, &wav.tag, &wav.bits) < 0)
			continue;
		vhu_wav_header(&wav, bytes);
		fd = memfd_create("wav", MFD_CLOEXEC);
		assert_int_equal(write(fd, bytes, sizeof(bytes)), sizeof(bytes));
		assert_int_equal(vhu_wav_read(fd, &got), 0);
		assert_int_equal(got.tag, wav.tag);
		assert_int_equal(got.bits, wav.bits);
		assert_int_equal(got.channels, 3);
		assert_int_equal(got.rate_hz, 44100);
		assert_int_equal(got.data_bytes, 72);
		assert_int_equal(got.data_offset, VHU_WAV_HEADER_BYTES);
		close(fd);
	}
}

/* A good file, of which some bytes are others. */
static void not_one(void **state)
{
	static const struct {
		size_t at;
		const char *bytes;
		size_t n;
		size_t len; /* of the file */
	} cases[] = {
		{ 0, "RIFX", 4, 64 },
		{ 8, "AVI ", 4, 64 },
		{ 12, "fm  ", 4, 64 },
		/* Shorter than any, and longer than the file. */
		{ 16, "\x0f\0\0\0", 4, 64 },
		{ 16, "\xff\xff\xff\xff", 4, 64 },
		/* MPEG; no channels; no rate; samples of 13 and of 12 bits. */
		{ 20, "\x50\0", 2, 64 },
		{ 22, "\0\0", 2, 64 },
		{ 24, "\0\0\0\0", 4, 64 },
		{ 34, "\x0d\0", 2, 64 },
		{ 34, "\x0c\0", 2, 64 },
		{ 36, "list", 4, 64 },
		{ 0, "", 0, 0 },
		{ 0, "", 0, 11 },
		{ 0, "", 0, 30 },
		{ 0, "", 0, 40 },
	};
	struct vhu_wav wav = { 1, 2, 16, 48000, 0, 20 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int fd = memfd_create("wav", MFD_CLOEXEC);
		uint8_t bytes[64] = { 0 };

		vhu_wav_header(&wav, bytes);
		memcpy(bytes + cases[i].at, cases[i].bytes, cases[i].n);
		assert_int_equal(write(fd, bytes, cases[i].len), cases[i].len);
		assert_true(vhu_wav_read(fd, &wav) < 0);
		close(fd);
	}
}

/* Bytes are unsigned there, and a chunk of an odd length has one behind it. */
static void signed_bytes(void **state)
{
	char path[] = "/tmp/vhu-wav.XXXXXX";
	const struct vhu_sound_stream_options options = { .host = "wav", .where = path };
	const struct vhu_sound_params params = {
		.format = VIRTIO_SND_PCM_FMT_S8,
		.rate_hz = 8000,
		.channels = 1,
		.frame_bytes = 1,
	};
	int8_t samples[] = { -128, -1, 0, 1, 127 };
	static const uint8_t expected[] = { 0, 127, 128, 129, 255, 0 };
	struct iovec iov = { samples, sizeof(samples) };
	uint8_t file[64];
	struct vhu_sound_host *host;
	struct vhu_iov_cursor from;
	int fd = mkstemp(path);

	(void)state;
	assert_int_equal(vhu_sound_host_wav.open(&options, &params, &host), 0);
	vhu_iov_cursor_init(&from, &iov, 1);
	assert_int_equal(host->ops->write(host, &from, 5), 5);
	host->ops->close(host);
	assert_int_equal(pread(fd, file, sizeof(file), 0), 44 + 6);
	assert_memory_equal(file + 44, expected, 6);
	assert_int_equal(file[40], 5);
	assert_int_equal(file[4], 36 + 6);
	unlink(path);
	close(fd);
}

static int open_changed(const char *path, const struct vhu_wav *now)
{
	const struct vhu_sound_stream_options options = { true, .host = "wav", .where = path };
	const struct vhu_sound_params params = {
		.format = VIRTIO_SND_PCM_FMT_S16, .rate_hz = 8000, .channels = 2, .frame_bytes = 4,
	};
	uint8_t bytes[VHU_WAV_HEADER_BYTES + 40] = { 0 };
	struct vhu_sound_host *host;
	int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC), r;

	vhu_wav_header(now, bytes);
	assert_int_equal(write(fd, bytes, sizeof(bytes)), sizeof(bytes));
	close(fd);
	r = vhu_sound_host_wav.open(&options, &params, &host);
	if (r == 0)
		host->ops->close(host);
	return r;
}

/* The guest was told of another one when the program began. */
static void changed_meanwhile(void **state)
{
	static const struct vhu_wav others[] = {
		{ 1, 2, 24, 8000, 0, 40 }, { 1, 1, 16, 8000, 0, 40 }, { 1, 2, 16, 44100, 0, 40 },
	};
	const struct vhu_wav same = { 1, 2, 16, 8000, 0, 40 };
	char path[] = "/tmp/vhu-wav.XXXXXX";

	(void)state;
	close(mkstemp(path));
	assert_int_equal(open_changed(path, &same), 0);
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		assert_int_equal(open_changed(path, &others[i]), -EINVAL);
	unlink(path);
}

/* In a frame, while it is read: silence from that frame on, and all of it. */
static void cut_off_meanwhile(void **state)
{
	char path[] = "/tmp/vhu-wav.XXXXXX";
	const struct vhu_sound_stream_options options = { true, .host = "wav", .where = path };
	const struct vhu_sound_params params = {
		.format = VIRTIO_SND_PCM_FMT_S16, .rate_hz = 8000, .channels = 2, .frame_bytes = 4,
	};
	const struct vhu_wav wav = { 1, 2, 16, 8000, 0, 40 };
	uint8_t bytes[VHU_WAV_HEADER_BYTES + 40], got[40], expected[40] = { 0 };
	struct iovec iov = { got, sizeof(got) };
	struct vhu_sound_host *host;
	struct vhu_iov_cursor to;
	int fd = mkstemp(path);

	(void)state;
	memset(bytes, 0x11, sizeof(bytes));
	memset(got, 0xee, sizeof(got));
	memset(expected, 0x11, 20);
	vhu_wav_header(&wav, bytes);
	assert_int_equal(write(fd, bytes, sizeof(bytes)), sizeof(bytes));
	assert_int_equal(vhu_sound_host_wav.open(&options, &params, &host), 0);
	assert_int_equal(ftruncate(fd, VHU_WAV_HEADER_BYTES + 23), 0);
	vhu_iov_cursor_init(&to, &iov, 1);
	assert_int_equal(host->ops->read(host, &to, 10), 10);
	assert_memory_equal(got, expected, sizeof(got));
	host->ops->close(host);
	unlink(path);
	close(fd);
}

static struct vhu_sound_host *open_recording(const struct vhu_sound_stream_options *options)
{
	const struct vhu_sound_params params = {
		.format = VIRTIO_SND_PCM_FMT_S16, .rate_hz = 8000, .channels = 2, .frame_bytes = 4,
	};
	struct vhu_sound_host *host = NULL;

	if (vhu_sound_host_wav.open(options, &params, &host) < 0)
		assert_null(host);
	return host;
}

static void record(const struct vhu_sound_stream_options *options, uint8_t value, unsigned n_frames)
{
	struct vhu_sound_host *host = open_recording(options);
	uint8_t frames[400];
	struct iovec iov = { frames, sizeof(frames) };
	struct vhu_iov_cursor from;

	assert_non_null(host);
	memset(frames, value, sizeof(frames));
	vhu_iov_cursor_init(&from, &iov, 1);
	assert_int_equal(host->ops->write(host, &from, n_frames), n_frames);
	host->ops->close(host);
}

/* By its owner, between one sound and the next. */
static void taken_away_meanwhile(void **state)
{
	static char path[] = "/tmp/vhu-wav.XXXXXX";
	static struct vhu_sound_stream_options options = { .host = "wav", .where = path };
	uint8_t bytes[4];
	struct vhu_wav wav;
	int fd;

	(void)state;
	close(mkstemp(path));
	record(&options, 0x11, 100);
	unlink(path);
	record(&options, 0x22, 10);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_int_equal(vhu_wav_read(fd, &wav), 0);
	assert_int_equal(wav.data_bytes, 40);
	/* Cut off in a frame. */
	assert_int_equal(ftruncate(fd, VHU_WAV_HEADER_BYTES + 23), 0);
	record(&options, 0x33, 10);
	assert_int_equal(vhu_wav_read(fd, &wav), 0);
	assert_int_equal(wav.data_bytes, 60);
	assert_int_equal(pread(fd, bytes, 4, VHU_WAV_HEADER_BYTES + 18), 4);
	assert_memory_equal(bytes, "\x22\x22\x33\x33", 4);
	close(fd);
	unlink(path);
}

/* Whatever its name: a recording is one stream's. */
static void written_by_another(void **state)
{
	static char path[] = "/tmp/vhu-wav.XXXXXX", other[sizeof(path) + 2];
	static struct vhu_sound_stream_options options[] = {
		{ .host = "wav", .where = path }, { .host = "wav", .where = other },
	};
	struct vhu_sound_host *host;
	struct stat before, after;

	(void)state;
	close(mkstemp(path));
	snprintf(other, sizeof(other), "/tmp/./%s", path + strlen("/tmp/"));
	record(&options[0], 0x11, 100);
	host = open_recording(&options[0]);
	assert_non_null(host);
	assert_int_equal(stat(path, &before), 0);
	assert_null(open_recording(&options[1]));
	assert_int_equal(stat(path, &after), 0);
	assert_int_equal(after.st_size, before.st_size);
	host->ops->close(host);
	unlink(path);
}

/* Told at the start, and without waiting for anyone at the other end. */
static void not_a_file(void **state)
{
	char dir[] = "/tmp/vhu-wav-XXXXXX", fifo[64];
	const char *const paths[] = { fifo, dir, "/dev/null" };
	struct vhu_sound_caps caps;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(fifo, sizeof(fifo), "%s/fifo", dir);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		for (unsigned capture = 0; capture < 2; capture++) {
			const struct vhu_sound_stream_options options = {
				.capture = capture, .host = "wav", .where = paths[i],
			};

			assert_true(vhu_sound_host_wav.probe(&options, &caps) < 0);
		}
	unlink(fifo);
	rmdir(dir);
}

/* As a full disk: the guest plays on, and the file is right as far as it goes. */
static void no_room(void **state)
{
	const struct vhu_sound_params params = { .format = VIRTIO_SND_PCM_FMT_S16,
						 .rate_hz = 48000, .channels = 2,
						 .frame_bytes = 4 };
	char path[] = "/tmp/vhu-wav-XXXXXX", frames[4096] = { 1 };
	/* A recording is known by its stream's options. */
	static struct vhu_sound_stream_options options = { .host = "wav" };
	struct rlimit before, limit;
	struct vhu_sound_host *host;
	struct vhu_wav wav;
	int fd = mkstemp(path);

	(void)state;
	options.where = path;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(vhu_sound_host_wav.open(&options, &params, &host), 0);
	limit = (struct rlimit){ VHU_WAV_HEADER_BYTES + 2 * sizeof(frames) + 8, before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	for (unsigned i = 0; i < 5; i++) {
		const struct iovec iov = { frames, sizeof(frames) };
		struct vhu_iov_cursor from;

		vhu_iov_cursor_init(&from, &iov, 1);
		assert_int_equal(vhu_sound_host_wav.write(host, &from, sizeof(frames) / 4),
				 sizeof(frames) / 4);
	}
	vhu_sound_host_wav.close(host);
	setrlimit(RLIMIT_FSIZE, &before);
	assert_int_equal(vhu_wav_read(fd, &wav), 0);
	assert_int_equal(wav.data_bytes, 2 * sizeof(frames));
	close(fd);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trips),
		cmocka_unit_test(not_one),
		cmocka_unit_test(signed_bytes),
		cmocka_unit_test(changed_meanwhile),
		cmocka_unit_test(cut_off_meanwhile),
		cmocka_unit_test(taken_away_meanwhile),
		cmocka_unit_test(written_by_another),
		cmocka_unit_test(not_a_file),
		cmocka_unit_test(no_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
