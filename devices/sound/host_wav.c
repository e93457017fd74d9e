/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * WAV files: what is played is written to one, exactly; what is captured comes from one, and after
 * its end there is silence. While the parameters stay the same a recording goes on in its file;
 * others begin the next one, FILE-2 and so on.
 */
#include "devices/sound/host.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "common/base/num.h"
#include "devices/sound/format.h"
#include "devices/sound/wav.h"

#define BUFFER_BYTES 16384
#define FILES_MAX 10000

struct recording;

struct wav_host {
	struct vhu_sound_host host;
	struct recording *recording; /* of playback */
	struct vhu_wav wav;
	int fd;
	bool failed;	   /* said */
	uint64_t position; /* of capture, in the data */
	uint64_t told;	   /* data bytes that the header says */
	uint8_t buffer[BUFFER_BYTES];
};

/* The file that a stream writes to. */
struct recording {
	const struct vhu_sound_stream_options *options;
	char *path;
	struct vhu_wav wav;
	struct vhu_log_limit log_limit;
	struct recording *next;
};

static pthread_mutex_t recordings_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct recording *recordings;

static struct wav_host *of(struct vhu_sound_host *host)
{
	return container_of(host, struct wav_host, host);
}

/* --- what it can ------------------------------------------------------------------------------ */

static int probe_playback(const char *path, struct vhu_sound_caps *caps)
{
	/* A pipe would be waited for until somebody reads it. */
	cleanup_fd int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0666);
	uint16_t tag, bits;
	struct stat st;

	if (fd < 0 && errno != ENXIO) {
		vhu_error("cannot write %s: %s", path, strerror(errno));
		return -errno;
	}
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		vhu_error("%s is not a regular file, as a WAV file has to be", path);
		return -EINVAL;
	}
	for (unsigned i = 0; i < VHU_SOUND_N_FORMATS; i++)
		if (vhu_wav_describe(i, &tag, &bits) == 0)
			caps->formats |= 1ull << i;
	caps->rates = (1ull << VHU_SOUND_N_RATES) - 1;
	caps->channels_min = 1;
	caps->channels_max = VIRTIO_SND_CHMAP_MAX_SIZE;
	return 0;
}

static int probe_capture(const char *path, struct vhu_sound_caps *caps)
{
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct vhu_wav wav;

	if (fd < 0) {
		vhu_error("cannot read %s: %s", path, strerror(errno));
		return -errno;
	}
	if (vhu_wav_read(fd, &wav) < 0) {
		vhu_error("%s is not a WAV file of a known kind (PCM of 8, 16, 24, 32 bits, float, "
			  "A-law or mu-law)", path);
		return -EINVAL;
	}
	caps->formats = 1ull << vhu_wav_format(&wav);
	caps->channels_min = caps->channels_max = wav.channels;
	for (unsigned i = 0; i < VHU_SOUND_N_RATES; i++)
		if (vhu_sound_rates_hz[i] == wav.rate_hz)
			caps->rates = 1ull << i;
	if (caps->rates && wav.channels <= VIRTIO_SND_CHMAP_MAX_SIZE)
		return 0;
	vhu_error("%s: %u channels at %u Hz are none that a guest can be offered", path,
		  wav.channels, wav.rate_hz);
	return -EINVAL;
}

static int probe(const struct vhu_sound_stream_options *options, struct vhu_sound_caps *ret_caps)
{
	struct vhu_sound_caps caps = { 0 };
	int r = options->capture ? probe_capture(options->where, &caps) :
				   probe_playback(options->where, &caps);

	if (r < 0)
		return r;
	vhu_sound_usual_maps(&caps);
	*ret_caps = caps;
	return 0;
}

/* --- files ------------------------------------------------------------------------------------ */

static struct recording *find_recording(const struct vhu_sound_stream_options *options)
{
	for (struct recording *r = recordings; r; r = r->next)
		if (r->options == options)
			return r;
	return NULL;
}

/* FILE-2.wav behind FILE.wav: the first that is not there. */
static int begin_next(const char *first, char **ret_path)
{
	const char *slash = strrchr(first, '/');
	const char *end = strrchr(slash ? slash : first, '.');

	if (!end)
		end = first + strlen(first);
	for (unsigned i = 2; i < FILES_MAX; i++) {
		char *path;
		int fd;

		if (asprintf(&path, "%.*s-%u%s", (int)(end - first), first, i, end) < 0)
			return -ENOMEM;
		fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
		if (fd >= 0) {
			flock(fd, LOCK_EX | LOCK_NB);
			*ret_path = path;
			return fd;
		}
		free(path);
		if (errno != EEXIST)
			return -errno;
	}
	return -EEXIST;
}

/* Of nobody else, in this process or another one, under whatever name. */
static int open_alone(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);

	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) == 0)
		return fd < 0 ? -errno : fd;
	close(fd);
	return -EBUSY;
}

static int begin_first(const char *first, char **ret_path)
{
	int fd = open_alone(first), r;

	if (fd < 0)
		return fd;
	*ret_path = strdup(first);
	if (*ret_path && ftruncate(fd, 0) == 0)
		return fd;
	r = -errno;
	free(*ret_path);
	close(fd);
	return r;
}

/* Whole frames that are still there, if somebody has taken the file away or cut it off. */
static uint64_t what_is_left(int fd, const struct vhu_wav *wav)
{
	uint64_t frame_bytes = (uint64_t)wav->channels * wav->bits / 8, bytes = 0;
	struct stat st;

	if (fstat(fd, &st) == 0 && (uint64_t)st.st_size > wav->data_offset)
		bytes = min_u64((uint64_t)st.st_size - wav->data_offset, wav->data_bytes);
	return bytes - bytes % frame_bytes;
}

static bool same_kind(const struct vhu_wav *a, const struct vhu_wav *b)
{
	return a->tag == b->tag && a->bits == b->bits && a->channels == b->channels &&
	       a->rate_hz == b->rate_hz;
}

/* The file that it goes on in, or the next one. With the mutex. Returns its fd. */
static int open_recording(const struct vhu_sound_stream_options *options, struct vhu_wav *wav,
			  struct recording **ret_recording)
{
	struct recording *recording = find_recording(options);
	char *path = NULL;
	int fd;

	if (recording && same_kind(&recording->wav, wav)) {
		fd = open_alone(recording->path);
		if (fd < 0)
			return fd;
		wav->data_bytes = what_is_left(fd, &recording->wav);
		*ret_recording = recording;
		return fd;
	}
	fd = recording ? begin_next(options->where, &path) : begin_first(options->where, &path);
	if (fd < 0)
		return fd;
	if (!recording) {
		recording = calloc(1, sizeof(*recording));
		if (!recording) {
			free(path);
			close(fd);
			return -ENOMEM;
		}
		recording->options = options;
		recording->next = recordings;
		recordings = recording;
	}
	free(recording->path);
	recording->path = path;
	recording->wav = *wav;
	*ret_recording = recording;
	return fd;
}

static int open_playback(struct wav_host *wav_host, const struct vhu_sound_stream_options *options)
{
	struct recording *recording = NULL;

	if (vhu_wav_describe(wav_host->host.params.format, &wav_host->wav.tag,
			     &wav_host->wav.bits) < 0)
		return -EINVAL;
	wav_host->wav.channels = (uint16_t)wav_host->host.params.channels;
	wav_host->wav.rate_hz = wav_host->host.params.rate_hz;
	wav_host->wav.data_offset = VHU_WAV_HEADER_BYTES;
	pthread_mutex_lock(&recordings_mutex);
	wav_host->fd = open_recording(options, &wav_host->wav, &recording);
	if (wav_host->fd >= 0)
		wav_host->recording = recording;
	pthread_mutex_unlock(&recordings_mutex);
	return wav_host->fd < 0 ? wav_host->fd : 0;
}

static int open_capture(struct wav_host *wav_host, const char *path)
{
	const struct vhu_sound_params *params = &wav_host->host.params;
	struct vhu_wav *wav = &wav_host->wav;
	int r;

	wav_host->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (wav_host->fd < 0)
		return -errno;
	r = vhu_wav_read(wav_host->fd, wav);
	/* It may be another one by now than the guest was told of. */
	if (r == 0 && (vhu_wav_format(wav) != (int)params->format ||
		       wav->channels != params->channels || wav->rate_hz != params->rate_hz))
		r = -EINVAL;
	/* Of one that was cut off in a frame. */
	wav->data_bytes -= wav->data_bytes % params->frame_bytes;
	return r;
}

/* So that whoever reads the file meanwhile, or after the worst, finds all that is in it. */
static void tell(struct wav_host *wav_host)
{
	const struct vhu_wav *wav = &wav_host->wav;
	uint8_t header[VHU_WAV_HEADER_BYTES];

	/* A chunk of an odd length has a byte behind it, which the next samples take. */
	if (wav->data_bytes % 2 &&
	    pwrite(wav_host->fd, "", 1, (off_t)(wav->data_offset + wav->data_bytes)) != 1)
		return;
	vhu_wav_header(wav, header);
	if (pwrite(wav_host->fd, header, sizeof(header), 0) == sizeof(header))
		wav_host->told = wav_host->wav.data_bytes;
}

static void close_host(struct vhu_sound_host *host)
{
	struct wav_host *wav_host = of(host);

	if (wav_host->fd >= 0 && host->ops->write && wav_host->wav.data_offset &&
	    wav_host->told != wav_host->wav.data_bytes)
		tell(wav_host);
	/* A stream opens and closes one after the other. */
	if (wav_host->recording)
		wav_host->recording->wav.data_bytes = wav_host->wav.data_bytes;
	if (wav_host->fd >= 0)
		close(wav_host->fd);
	free(wav_host);
}

static int open_host(const struct vhu_sound_stream_options *options,
		     const struct vhu_sound_params *params, struct vhu_sound_host **ret_host)
{
	struct wav_host *wav_host = calloc(1, sizeof(*wav_host));
	int r;

	if (!wav_host)
		return -ENOMEM;
	wav_host->host = (struct vhu_sound_host){ .ops = &vhu_sound_host_wav, .params = *params };
	wav_host->fd = -1;
	r = options->capture ? open_capture(wav_host, options->where) :
			       open_playback(wav_host, options);
	if (r == 0 && !options->capture)
		tell(wav_host);
	if (r < 0) {
		if (wav_host->fd >= 0)
			close(wav_host->fd);
		free(wav_host);
		return r;
	}
	*ret_host = &wav_host->host;
	return 0;
}

/* --- frames ----------------------------------------------------------------------------------- */

static int start(struct vhu_sound_host *host)
{
	(void)host;
	return 0;
}

static int reset(struct vhu_sound_host *host)
{
	(void)host;
	return 0;
}

/* WAV has no signed samples of 8 bits, and no 24 bits in 32. Returns the bytes in place. */
static size_t convert(unsigned format, uint8_t *bytes, size_t n)
{
	if (format == VIRTIO_SND_PCM_FMT_S8)
		for (size_t i = 0; i < n; i++)
			bytes[i] ^= 0x80;
	if (format != VIRTIO_SND_PCM_FMT_S24)
		return n;
	for (size_t i = 0; i < n / 4; i++)
		memmove(bytes + 3 * i, bytes + 4 * i, 3);
	return n / 4 * 3;
}

static void fail(struct wav_host *wav_host, const char *why)
{
	struct recording *recording = wav_host->recording;

	/* A driver can have it opened as often as it likes. */
	vhu_log_limited(&recording->log_limit, VHU_LOG_ERROR,
			"%s: %s; what follows is not written", recording->path, why);
	wav_host->failed = true;
}

static void put(struct wav_host *wav_host, size_t n)
{
	uint64_t at = wav_host->wav.data_offset + wav_host->wav.data_bytes;

	if (wav_host->failed)
		return;
	if (wav_host->wav.data_bytes + n > VHU_WAV_DATA_MAX) {
		fail(wav_host, "a WAV file cannot be longer than 4 GiB");
	} else {
		ssize_t written = pwrite(wav_host->fd, wav_host->buffer, n, (off_t)at);

		if (written == (ssize_t)n)
			wav_host->wav.data_bytes += n;
		else
			fail(wav_host, written < 0 ? strerror(errno) : "there is no more room");
	}
}

static int64_t write_frames(struct vhu_sound_host *host, struct vhu_iov_cursor *from,
			    uint32_t n_frames)
{
	struct wav_host *wav_host = of(host);
	size_t left = (size_t)n_frames * host->params.frame_bytes;
	/* Whole samples at a time. */
	size_t most = BUFFER_BYTES / host->params.frame_bytes * host->params.frame_bytes;

	while (left) {
		size_t n = vhu_iov_read(from, wav_host->buffer, min_u64(left, most));

		left -= n;
		put(wav_host, convert(host->params.format, wav_host->buffer, n));
	}
	if (wav_host->wav.data_bytes - wav_host->told >=
	    (uint64_t)host->params.rate_hz * host->params.frame_bytes)
		tell(wav_host);
	return n_frames;
}

static int64_t read_frames(struct vhu_sound_host *host, struct vhu_iov_cursor *to,
			   uint32_t n_frames)
{
	struct wav_host *wav_host = of(host);
	size_t left = (size_t)n_frames * host->params.frame_bytes;

	while (left) {
		uint64_t there = wav_host->wav.data_bytes - wav_host->position;
		ssize_t n = pread(wav_host->fd, wav_host->buffer,
				  min_u64(min_u64(left, BUFFER_BYTES), there),
				  (off_t)(wav_host->wav.data_offset + wav_host->position));

		/* Whole frames, also of a file that was cut off meanwhile. */
		n -= n > 0 ? n % host->params.frame_bytes : 0;
		if (n <= 0)
			break;
		vhu_iov_write(to, wav_host->buffer, (size_t)n);
		wav_host->position += (size_t)n;
		left -= (size_t)n;
	}
	vhu_sound_silence(host->params.format, to,
			  left * host->params.channels / host->params.frame_bytes);
	return n_frames;
}

const struct vhu_sound_host_ops vhu_sound_host_wav = {
	.name = "wav",
	.probe = probe,
	.open = open_host,
	.close = close_host,
	.reset = reset,
	.start = start,
	.write = write_frames,
	.read = read_frames,
};
