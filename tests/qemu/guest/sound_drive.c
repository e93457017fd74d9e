/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A driver of a sound device, without a virtual machine: plays or captures frames that count from
 * 1, and tells how well they were paced.
 *
 *	sound_drive SOCKET playback|capture RATE PERIOD-FRAMES PERIODS SECONDS [FILE]
 *	sound_drive make FRAMES		such frames (S16, two channels) on standard output
 *	sound_drive check FILE		how many of them are in a raw file
 *
 * FILE gets what is captured. Each period is a message; PERIODS of them are always queued. Reports
 * are lines "NAME VALUE". The pace is that of the completions, from the first second on:
 * ahead_frames is how many frames more there were than the time had room for, worst_frames the
 * longest time between two completions.
 */
#include <endian.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/base/fd.h"
#include "common/base/num.h"
#include "common/frontend/driver.h"
#include "devices/sound/protocol.h"

#define N_QUEUES 4
#define RING 64
#define PERIODS_MAX 32
#define FRAME_BYTES 4u
#define N_EVENTS 16
#define GUEST_BYTES (64u << 20)

enum {
	CONTROL,
	EVENT,
	TX,
	RX
};

struct tally {
	uint64_t frames, silent, lost, jumps;
	uint32_t last;
};

struct message {
	struct vhu_guest_buffer header, data, status;
};

struct drive {
	struct vhu_frontend frontend;
	struct vhu_driver drivers[N_QUEUES];
	struct vhu_guest_buffer request, response;
	struct vhu_guest_buffer events[N_EVENTS];
	struct message messages[PERIODS_MAX];
	uint32_t stream;
	bool capture;
	unsigned rate, period, periods;
	uint64_t queued, done, total; /* frames */
	uint32_t next;		      /* to be played */
	struct tally tally;
	FILE *out;
	uint64_t first_ns, first_done, last_ns, gap_ns;
	uint64_t latency_bytes, n_latencies, n_bad, n_xruns, n_gone, n_back,
		n_notified;
};

_Noreturn static void die(const char *what, int r)
{
	fprintf(stderr, "sound_drive: %s: %s\n", what, strerror(-r));
	exit(2);
}

static void must(int r, const char *what)
{
	if (r < 0)
		die(what, r);
}

/* --- frames --------------------------------------------------------------------------------- */

static void judge(struct tally *t, const uint32_t *frames, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint32_t frame = le32toh(frames[i]);

		if (!frame) {
			t->silent++;
			continue;
		}
		t->frames++;
		if (t->last && frame != t->last + 1) {
			t->jumps++;
			t->lost += frame > t->last ? frame - t->last - 1 : 0;
		}
		t->last = frame;
	}
}

static void report_tally(const struct tally *t)
{
	printf("frames %llu\nsilent %llu\nlost %llu\njumps %llu\nlast %u\n",
	       (unsigned long long)t->frames, (unsigned long long)t->silent,
	       (unsigned long long)t->lost, (unsigned long long)t->jumps, t->last);
}

static int check_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	struct tally tally = { 0 };
	uint32_t frames[1024];
	size_t n;

	if (!f)
		die(path, -errno);
	while ((n = fread(frames, FRAME_BYTES, ARRAY_SIZE(frames), f)))
		judge(&tally, frames, n);
	fclose(f);
	report_tally(&tally);
	return 0;
}

static int make_frames(uint32_t n)
{
	for (uint32_t i = 1; i <= n; i++) {
		uint32_t frame = htole32(i);

		if (fwrite(&frame, FRAME_BYTES, 1, stdout) != 1)
			die("standard output", -errno);
	}
	return 0;
}

/* --- the device ----------------------------------------------------------------------------- */

static struct vhu_guest_buffer get_memory(struct drive *d, uint32_t len)
{
	struct vhu_guest_buffer buffer = vhu_guest_alloc(&d->frontend.guest, len, 16);

	if (!buffer.host)
		die("memory", -ENOMEM);
	return buffer;
}

/* Of response_len bytes; dies unless the status is OK. */
static const void *ask(struct drive *d, const void *request, uint32_t len, uint32_t response_len)
{
	struct vhu_guest_buffer buffers[] = { d->request, d->response };
	const struct virtio_snd_hdr *status = d->response.host;
	uint32_t code = le32toh(((const struct virtio_snd_hdr *)request)->code);

	memcpy(d->request.host, request, len);
	buffers[0].len = len;
	buffers[1].len = response_len;
	must(vhu_driver_run(&d->drivers[CONTROL], buffers, 1, 1, NULL), "a request");
	if (le32toh(status->code) == VIRTIO_SND_S_OK)
		return d->response.host;
	fprintf(stderr, "sound_drive: request %#x: status %#x\n", code, le32toh(status->code));
	exit(3);
}

static void command(struct drive *d, uint32_t code)
{
	const struct virtio_snd_pcm_hdr request = { { htole32(code) }, htole32(d->stream) };

	ask(d, &request, sizeof(request), sizeof(struct virtio_snd_hdr));
}

static void open_device(struct drive *d, const char *path)
{
	struct vhu_frontend *frontend = &d->frontend;

	vhu_frontend_init(frontend);
	must(vhu_guest_add(&frontend->guest, 0, GUEST_BYTES), "memory");
	must(vhu_frontend_connect(frontend, path), "the socket");
	must(vhu_frontend_negotiate(frontend, VHU_FRONTEND_FEATURES,
				    VHU_FRONTEND_PROTOCOL_FEATURES),
	     "negotiation");
	must(vhu_frontend_share_memory(frontend), "memory");
	for (unsigned i = 0; i < N_QUEUES; i++)
		must(vhu_driver_init(&d->drivers[i], frontend, i, RING), "a ring");
	for (unsigned i = 0; i < N_QUEUES; i++)
		must(vhu_driver_start(&d->drivers[i]), "a ring");
	d->request = get_memory(d, 256);
	d->response = get_memory(d, 4096);
}

static void find_stream(struct drive *d)
{
	struct virtio_snd_query_info query = { { htole32(VIRTIO_SND_R_PCM_INFO) } };
	struct vhu_snd_config config;
	const struct virtio_snd_pcm_info *info;
	uint32_t n;

	must(vhu_frontend_get_config(&d->frontend, 0, &config, sizeof(config)), "the config");
	printf("jacks %u\ncontrols %u\n", le32toh(config.jacks), le32toh(config.controls));
	n = (uint32_t)min_u64(le32toh(config.streams), 32);
	query.count = htole32(n);
	query.size = htole32(sizeof(*info));
	info = (const struct virtio_snd_pcm_info *)((const char *)ask(d, &query, sizeof(query),
								      (uint32_t)(4 + n * 32)) +
						    4);
	for (uint32_t i = 0; i < n; i++)
		if ((info[i].direction == VIRTIO_SND_D_INPUT) == d->capture) {
			d->stream = i;
			return;
		}
	die("no such stream", -ENOENT);
}

static unsigned rate_code(unsigned hz)
{
	return hz == 44100 ? VIRTIO_SND_PCM_RATE_44100 : VIRTIO_SND_PCM_RATE_48000;
}

static void prepare(struct drive *d)
{
	const struct virtio_snd_pcm_set_params params = {
		.hdr = { { htole32(VIRTIO_SND_R_PCM_SET_PARAMS) }, htole32(d->stream) },
		.buffer_bytes = htole32(d->periods * d->period * FRAME_BYTES),
		.period_bytes = htole32(d->period * FRAME_BYTES),
		.features = htole32(1u << VIRTIO_SND_PCM_F_EVT_XRUNS),
		.channels = 2,
		.format = VIRTIO_SND_PCM_FMT_S16,
		.rate = (uint8_t)rate_code(d->rate),
	};

	ask(d, &params, sizeof(params), sizeof(struct virtio_snd_hdr));
	command(d, VIRTIO_SND_R_PCM_PREPARE);
	for (unsigned i = 0; i < d->periods; i++) {
		d->messages[i].header = get_memory(d, sizeof(struct virtio_snd_pcm_xfer));
		d->messages[i].data = get_memory(d, d->period * FRAME_BYTES);
		d->messages[i].status = get_memory(d, sizeof(struct virtio_snd_pcm_status));
	}
}

/* --- events --------------------------------------------------------------------------------- */

static void give_event(struct drive *d, unsigned i)
{
	must(vhu_driver_add(&d->drivers[EVENT], &d->events[i], 0, 1, i), "an event buffer");
	must(vhu_driver_kick(&d->drivers[EVENT]), "a kick");
}

static void take_events(struct drive *d)
{
	struct vhu_driver_used used;

	while (vhu_driver_get(&d->drivers[EVENT], &used) == 1) {
		const struct virtio_snd_event *event = d->events[used.token].host;
		uint32_t code = le32toh(event->hdr.code);

		d->n_xruns += code == VIRTIO_SND_EVT_PCM_XRUN;
		d->n_gone += code == VIRTIO_SND_EVT_JACK_DISCONNECTED;
		d->n_back += code == VIRTIO_SND_EVT_JACK_CONNECTED;
		d->n_notified += code == VIRTIO_SND_EVT_CTL_NOTIFY;
		give_event(d, (unsigned)used.token);
	}
}

/* --- transfers ------------------------------------------------------------------------------ */

static struct vhu_driver *transfers(struct drive *d)
{
	return &d->drivers[d->capture ? RX : TX];
}

static void queue(struct drive *d, unsigned i)
{
	const struct message *m = &d->messages[i];
	struct vhu_guest_buffer buffers[] = { m->header, m->data, m->status };
	struct virtio_snd_pcm_xfer *header = m->header.host;
	uint32_t *frames = m->data.host;

	header->stream_id = htole32(d->stream);
	for (unsigned f = 0; f < d->period; f++)
		frames[f] = d->capture ? 0xffffffff : htole32(++d->next);
	must(vhu_driver_add(transfers(d), buffers, d->capture ? 1 : 2, d->capture ? 2 : 1, i),
	     "a message");
	must(vhu_driver_kick(transfers(d)), "a kick");
	d->queued += d->period;
}

static void note_time(struct drive *d)
{
	uint64_t now = vhu_now_ns();

	if (d->done >= d->rate && d->first_ns)
		d->gap_ns = max_u64(d->gap_ns, now - d->last_ns);
	if (d->done >= d->rate && !d->first_ns) {
		d->first_ns = now;
		d->first_done = d->done;
	}
	d->last_ns = now;
}

static void take(struct drive *d)
{
	struct vhu_driver_used used;
	const struct virtio_snd_pcm_status *status;
	struct message *m;

	must(vhu_driver_wait(transfers(d), &used), "a message to come back");
	m = &d->messages[used.token];
	status = m->status.host;
	d->done += d->period;
	note_time(d);
	d->n_bad += le32toh(status->status) != VIRTIO_SND_S_OK;
	d->latency_bytes += le32toh(status->latency_bytes);
	d->n_latencies++;
	if (d->capture) {
		judge(&d->tally, m->data.host, d->period);
		if (d->out)
			fwrite(m->data.host, FRAME_BYTES, d->period, d->out);
	}
	take_events(d);
	if (d->queued < d->total)
		queue(d, (unsigned)used.token);
}

static void report(struct drive *d)
{
	uint64_t ns = d->last_ns - d->first_ns, n = d->done - d->first_done;
	double due = (double)ns * d->rate / 1e9;

	if (d->capture)
		report_tally(&d->tally);
	else
		printf("frames %llu\n", (unsigned long long)d->done);
	printf("ahead_frames %.0f\n", (double)n - due);
	printf("allowed_frames %.0f\n", due / 1000 + d->period);
	printf("worst_frames %.0f\n", (double)d->gap_ns * d->rate / 1e9);
	printf("latency_frames %llu\n",
	       (unsigned long long)(d->latency_bytes / FRAME_BYTES / max_u64(d->n_latencies, 1)));
	printf("bad %llu\nxruns %llu\ngone %llu\nback %llu\nnotified %llu\n",
	       (unsigned long long)d->n_bad, (unsigned long long)d->n_xruns,
	       (unsigned long long)d->n_gone, (unsigned long long)d->n_back,
	       (unsigned long long)d->n_notified);
}

static void run(struct drive *d)
{
	uint64_t before;

	for (unsigned i = 0; i < N_EVENTS; i++) {
		d->events[i] = get_memory(d, sizeof(struct virtio_snd_event));
		give_event(d, i);
	}
	prepare(d);
	for (unsigned i = 0; i < d->periods; i++)
		queue(d, i);
	command(d, VIRTIO_SND_R_PCM_START);
	while (d->done < d->total)
		take(d);
	command(d, VIRTIO_SND_R_PCM_STOP);
	before = vhu_now_ns();
	command(d, VIRTIO_SND_R_PCM_RELEASE);
	report(d);
	printf("release_us %llu\n", (unsigned long long)((vhu_now_ns() - before) / NS_PER_US));
	fflush(stdout);
	/* The end of it is still to be heard. */
	usleep(600000);
}

int main(int argc, char **argv)
{
	static struct drive d;

	signal(SIGPIPE, SIG_IGN);
	if (argc == 3 && !strcmp(argv[1], "make"))
		return make_frames((uint32_t)atoi(argv[2]));
	if (argc == 3 && !strcmp(argv[1], "check"))
		return check_file(argv[2]);
	if (argc < 7) {
		fprintf(stderr, "sound_drive SOCKET playback|capture RATE PERIOD PERIODS SECONDS "
				"[FILE]\n");
		return 2;
	}
	d.capture = !strcmp(argv[2], "capture");
	d.rate = (unsigned)atoi(argv[3]);
	d.period = (unsigned)atoi(argv[4]);
	d.periods = (unsigned)min_u64((uint64_t)atoi(argv[5]), PERIODS_MAX);
	d.total = (uint64_t)atoi(argv[6]) * d.rate / d.period * d.period;
	d.out = argc > 7 ? fopen(argv[7], "wb") : NULL;
	open_device(&d, argv[1]);
	d.frontend.timeout_ms = 20000;
	find_stream(&d);
	run(&d);
	for (unsigned i = 0; i < N_QUEUES; i++)
		vhu_driver_finish(&d.drivers[i]);
	vhu_frontend_finish(&d.frontend);
	if (d.out)
		fclose(d.out);
	return 0;
}
