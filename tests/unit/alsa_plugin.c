/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * An ALSA PCM of type "vhutest", for tests: with a clock of its own, a ring that cannot be mapped
 * (so that rw is used), and troubles on demand: the file that the environment's VHU_TEST_PCM names
 * holds one word for what happens from now on:
 *
 *	busy	it cannot be opened		slow	opening it takes more than a second
 *	slept	the machine sleeps		gone	the device goes
 *	broken	nothing helps but to open it anew
 *
 * It plays into the file VHU_TEST_PCM_FILE, and captures frames that count from 0.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <alsa/asoundlib.h>
#include <alsa/pcm_external.h>

/* Of the one that was set up last, for the test that has loaded us. */
snd_pcm_uframes_t vhu_test_period;

struct vhutest {
	snd_pcm_ioplug_t io;
	snd_pcm_t *pcm;
	struct timespec started;
	snd_pcm_sframes_t moved; /* to or from us, since the start */
	uint32_t next;		 /* frame to be captured */
	int fd;
	int gone;
};

static int word_is(const char *word)
{
	const char *path = getenv("VHU_TEST_PCM");
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	char now[16];
	ssize_t n = fd < 0 ? 0 : read(fd, now, sizeof(now));

	if (fd >= 0)
		close(fd);
	return n == (ssize_t)strlen(word) && !memcmp(now, word, (size_t)n);
}

static int trouble(struct vhutest *t)
{
	if (word_is("gone"))
		t->gone = 1;
	if (t->gone)
		snd_pcm_ioplug_set_state(&t->io, SND_PCM_STATE_DISCONNECTED);
	return t->gone ? -ENODEV : word_is("slept") ? -ESTRPIPE : word_is("broken") ? -EBADFD : 0;
}

static snd_pcm_sframes_t passed(const struct vhutest *t)
{
	struct timespec now;
	long long ns;

	clock_gettime(CLOCK_MONOTONIC, &now);
	ns = (now.tv_sec - t->started.tv_sec) * 1000000000ll + now.tv_nsec - t->started.tv_nsec;
	return ns * t->io.rate / 1000000000ll;
}

static int do_start(snd_pcm_ioplug_t *io)
{
	struct vhutest *t = io->private_data;

	clock_gettime(CLOCK_MONOTONIC, &t->started);
	return trouble(t);
}

static int do_stop(snd_pcm_ioplug_t *io)
{
	(void)io;
	return 0;
}

static int do_prepare(snd_pcm_ioplug_t *io)
{
	struct vhutest *t = io->private_data;

	t->moved = 0;
	vhu_test_period = io->period_size;
	return trouble(t) == -ESTRPIPE ? 0 : trouble(t);
}

static snd_pcm_sframes_t where(snd_pcm_ioplug_t *io)
{
	struct vhutest *t = io->private_data;
	int r = trouble(t);
	snd_pcm_sframes_t at = passed(t);

	if (r < 0)
		return r;
	if (io->state != SND_PCM_STATE_RUNNING)
		at = 0;
	else if (io->stream == SND_PCM_STREAM_PLAYBACK
			 ? at > t->moved
			 : at - t->moved > (snd_pcm_sframes_t)io->buffer_size)
		return -EPIPE;
	return at % (snd_pcm_sframes_t)io->buffer_size;
}

static snd_pcm_sframes_t move(snd_pcm_ioplug_t *io, const snd_pcm_channel_area_t *areas,
			      snd_pcm_uframes_t offset, snd_pcm_uframes_t size)
{
	struct vhutest *t = io->private_data;
	char *at = (char *)areas->addr + (areas->first + areas->step * offset) / 8;
	size_t bytes = size * areas->step / 8;

	if (io->stream == SND_PCM_STREAM_CAPTURE)
		for (size_t i = 0; i < bytes / sizeof(t->next); i++, t->next++)
			memcpy(at + i * sizeof(t->next), &t->next, sizeof(t->next));
	else if (t->fd >= 0 && write(t->fd, at, bytes) != (ssize_t)bytes)
		return -EIO;
	t->moved += (snd_pcm_sframes_t)size;
	return (snd_pcm_sframes_t)size;
}

static int do_close(snd_pcm_ioplug_t *io)
{
	struct vhutest *t = io->private_data;

	close(io->poll_fd);
	if (t->fd >= 0)
		close(t->fd);
	free(t);
	return 0;
}

static const snd_pcm_ioplug_callback_t callbacks = {
	.start = do_start,
	.stop = do_stop,
	.prepare = do_prepare,
	.pointer = where,
	.transfer = move,
	.close = do_close,
};

static int constrain(snd_pcm_ioplug_t *io)
{
	static const unsigned access[] = { SND_PCM_ACCESS_RW_INTERLEAVED };
	static const unsigned formats[] = { SND_PCM_FORMAT_S16_LE };
	int r = snd_pcm_ioplug_set_param_list(io, SND_PCM_IOPLUG_HW_ACCESS, 1, access);

	if (r >= 0)
		r = snd_pcm_ioplug_set_param_list(io, SND_PCM_IOPLUG_HW_FORMAT, 1, formats);
	if (r >= 0)
		r = snd_pcm_ioplug_set_param_minmax(io, SND_PCM_IOPLUG_HW_CHANNELS, 2, 2);
	if (r >= 0)
		r = snd_pcm_ioplug_set_param_minmax(io, SND_PCM_IOPLUG_HW_RATE, 44100, 48000);
	if (r >= 0)
		r = snd_pcm_ioplug_set_param_minmax(io, SND_PCM_IOPLUG_HW_BUFFER_BYTES, 4096,
						    1 << 20);
	return r;
}

SND_PCM_PLUGIN_DEFINE_FUNC(vhutest);
SND_PCM_PLUGIN_DEFINE_FUNC(vhutest)
{
	struct vhutest *t = calloc(1, sizeof(*t));
	const char *path = getenv("VHU_TEST_PCM_FILE");
	int r;

	(void)root;
	(void)conf;
	if (!t || word_is("busy") || word_is("gone")) {
		free(t);
		return word_is("busy") ? -EBUSY : word_is("gone") ? -ENODEV : -ENOMEM;
	}
	if (word_is("slow"))
		usleep(1300000);
	t->fd = path && stream == SND_PCM_STREAM_PLAYBACK
			? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666)
			: -1;
	t->io = (snd_pcm_ioplug_t){
		.version = SND_PCM_IOPLUG_VERSION,
		.name = "a PCM of a test",
		.callback = &callbacks,
		.private_data = t,
		.poll_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC),
		.poll_events = POLLIN,
	};
	r = snd_pcm_ioplug_create(&t->io, name, stream, mode);
	if (r >= 0)
		r = constrain(&t->io);
	*pcmp = t->io.pcm;
	return r;
}

SND_PCM_PLUGIN_SYMBOL(vhutest);
