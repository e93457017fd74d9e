/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An ALSA PCM. Nothing here waits: how far it is, is asked for when a timer of the stream says so,
 * since the descriptors that some PCMs give out to be polled say nothing, or cannot be polled.
 */
#include <errno.h>
#include <stdlib.h>

#include <alsa/asoundlib.h>

#include "common/base/num.h"
#include "devices/sound/alsa_priv.h"

struct alsa_host {
	struct vhu_sound_host host;
	snd_pcm_t *pcm;
	bool capture, mapped;
	snd_pcm_uframes_t ring_frames;
	char *bounce; /* a period, where the ring is not mapped */
	uint32_t bounce_frames;
};

static struct alsa_host *of(struct vhu_sound_host *host)
{
	return container_of(host, struct alsa_host, host);
}

/* --- opening -------------------------------------------------------------------------------- */

static snd_pcm_uframes_t wanted_period(const struct vhu_sound_stream_options *options,
				       const struct vhu_sound_params *params)
{
	return options->period_ms ? max_u64(options->period_ms * params->rate_hz / 1000, 1) :
				    params->period_frames;
}

static snd_pcm_uframes_t wanted_ring(const struct vhu_sound_stream_options *options,
				     const struct vhu_sound_params *params)
{
	if (options->buffer_ms)
		return max_u64(options->buffer_ms * params->rate_hz / 1000, 2);
	/* Nobody waits for what is free of it: when we are late nothing is lost. */
	if (options->capture)
		return max_u64(2ull * params->buffer_frames, params->rate_hz / 4);
	return max_u64(4ull * params->period_frames,
		       (uint64_t)params->target_frames + params->period_frames);
}

static int set_hw_params(struct alsa_host *alsa, const struct vhu_sound_stream_options *options)
{
	const struct vhu_sound_params *params = &alsa->host.params;
	snd_pcm_uframes_t period = wanted_period(options, params);
	snd_pcm_uframes_t ring = wanted_ring(options, params);
	snd_pcm_t *pcm = alsa->pcm;
	snd_pcm_hw_params_t *hw;
	int r;

	snd_pcm_hw_params_alloca(&hw);
	r = snd_pcm_hw_params_any(pcm, hw);
	if (r < 0)
		return r;
	alsa->mapped = snd_pcm_hw_params_set_access(pcm, hw, SND_PCM_ACCESS_MMAP_INTERLEAVED) == 0;
	if (!alsa->mapped)
		r = snd_pcm_hw_params_set_access(pcm, hw, SND_PCM_ACCESS_RW_INTERLEAVED);
	if (r >= 0)
		r = snd_pcm_hw_params_set_format(
			pcm, hw, (snd_pcm_format_t)vhu_sound_alsa_format(params->format));
	if (r >= 0)
		r = snd_pcm_hw_params_set_channels(pcm, hw, params->channels);
	if (r >= 0)
		r = snd_pcm_hw_params_set_rate(pcm, hw, params->rate_hz, 0);
	/* The ring first: there must be room for the target, and a period may be any. */
	if (r >= 0)
		r = snd_pcm_hw_params_set_buffer_size_near(pcm, hw, &ring);
	if (r >= 0)
		r = snd_pcm_hw_params_set_period_size_near(pcm, hw, &period, NULL);
	if (r >= 0)
		r = snd_pcm_hw_params(pcm, hw);
	return r < 0 ? r : snd_pcm_get_params(pcm, &alsa->ring_frames, &period);
}

/*
 * It starts when we say so. A playback ring that runs out goes on with silence, not with what was
 * in it before, until that is seen.
 */
static int set_sw_params(struct alsa_host *alsa)
{
	snd_pcm_sw_params_t *sw;
	snd_pcm_uframes_t boundary;
	int r;

	snd_pcm_sw_params_alloca(&sw);
	r = snd_pcm_sw_params_current(alsa->pcm, sw);
	if (r >= 0)
		r = snd_pcm_sw_params_get_boundary(sw, &boundary);
	if (r >= 0)
		r = snd_pcm_sw_params_set_start_threshold(alsa->pcm, sw, boundary);
	if (r >= 0 && !alsa->capture)
		r = snd_pcm_sw_params_set_stop_threshold(alsa->pcm, sw, boundary);
	if (r >= 0 && !alsa->capture)
		r = snd_pcm_sw_params_set_silence_size(alsa->pcm, sw, boundary);
	return r < 0 ? r : snd_pcm_sw_params(alsa->pcm, sw);
}

/*
 * What is captured of ALSA's null is what is in its ring, and that is what was in our memory there
 * before. The rings of cards are left alone: others may have them, too.
 */
static int clear_ring(struct alsa_host *alsa)
{
	const snd_pcm_channel_area_t *areas;
	snd_pcm_uframes_t offset, n = 0;
	snd_pcm_info_t *info;
	int r;

	snd_pcm_info_alloca(&info);
	r = snd_pcm_info(alsa->pcm, info);
	if (r < 0 || snd_pcm_info_get_card(info) >= 0 || !alsa->capture || !alsa->mapped)
		return r;
	r = snd_pcm_mmap_begin(alsa->pcm, &areas, &offset, &n);
	if (r < 0)
		return r;
	return snd_pcm_areas_silence(
		areas, 0, alsa->host.params.channels, alsa->ring_frames,
		(snd_pcm_format_t)vhu_sound_alsa_format(alsa->host.params.format));
}

static int set_up(struct alsa_host *alsa, const struct vhu_sound_stream_options *options)
{
	struct vhu_sound_params *params = &alsa->host.params;
	int r = set_hw_params(alsa, options);

	if (r >= 0)
		r = set_sw_params(alsa);
	if (r >= 0)
		r = snd_pcm_prepare(alsa->pcm);
	if (r >= 0)
		r = clear_ring(alsa);
	if (r < 0)
		return r;
	params->target_frames = (uint32_t)min_u64(params->target_frames, alsa->ring_frames);
	if (alsa->mapped)
		return 0;
	alsa->bounce_frames = (uint32_t)min_u64(params->period_frames, alsa->ring_frames);
	alsa->bounce = calloc(alsa->bounce_frames, params->frame_bytes);
	return alsa->bounce ? 0 : -ENOMEM;
}

static void close_host(struct vhu_sound_host *host)
{
	struct alsa_host *alsa = of(host);

	/* It does not play on: non-blocking PCMs do not drain. */
	if (alsa->pcm)
		snd_pcm_close(alsa->pcm);
	free(alsa->bounce);
	free(alsa);
}

static int open_host(const struct vhu_sound_stream_options *options,
		     const struct vhu_sound_params *params, struct vhu_sound_host **ret_host)
{
	struct alsa_host *alsa = calloc(1, sizeof(*alsa));
	int r;

	if (!alsa)
		return -ENOMEM;
	alsa->host = (struct vhu_sound_host){ .ops = &vhu_sound_host_alsa, .params = *params };
	alsa->capture = options->capture;
	r = vhu_sound_alsa_open(options, &alsa->pcm);
	if (r >= 0)
		r = set_up(alsa, options);
	if (r < 0) {
		close_host(&alsa->host);
		/* As long as its card is not there nobody knows its name. */
		return r == -ENOENT || r == -ENXIO ? -ENODEV : r;
	}
	*ret_host = &alsa->host;
	return 0;
}

/* --- running -------------------------------------------------------------------------------- */

/* What came of a call, in the words of host.h. */
static int64_t result_of(struct alsa_host *alsa, snd_pcm_sframes_t r)
{
	if (r >= 0)
		return r;
	if (r == -EAGAIN || r == -EINTR)
		return 0;
	if (r == -ENODEV || r == -ENXIO || r == -EIO ||
	    snd_pcm_state(alsa->pcm) == SND_PCM_STATE_DISCONNECTED)
		return -ENODEV;
	/* -EPIPE, -ESTRPIPE after the machine slept, -EBADFD after a server went on without us. */
	return -EPIPE;
}

/* Also wakes one that slept. Where nothing helps, another open may. */
static int reset(struct vhu_sound_host *host)
{
	struct alsa_host *alsa = of(host);

	snd_pcm_drop(alsa->pcm);
	return snd_pcm_prepare(alsa->pcm) < 0 ? -ENODEV : 0;
}

static int start(struct vhu_sound_host *host)
{
	struct alsa_host *alsa = of(host);

	return (int)result_of(alsa, snd_pcm_start(alsa->pcm));
}

static int64_t fill(struct vhu_sound_host *host)
{
	struct alsa_host *alsa = of(host);
	snd_pcm_sframes_t avail = snd_pcm_avail(alsa->pcm);

	if (avail < 0)
		return result_of(alsa, avail);
	if ((snd_pcm_uframes_t)avail > alsa->ring_frames)
		return -EPIPE;
	return alsa->capture ? avail : (int64_t)alsa->ring_frames - avail;
}

static int64_t delay(struct vhu_sound_host *host)
{
	struct alsa_host *alsa = of(host);
	snd_pcm_sframes_t frames;
	int r = snd_pcm_delay(alsa->pcm, &frames);

	return r < 0 ? result_of(alsa, r) : frames;
}

static size_t move(struct alsa_host *alsa, struct vhu_iov_cursor *cursor, void *at, size_t n_frames)
{
	size_t n = n_frames * alsa->host.params.frame_bytes;

	return alsa->capture ? vhu_iov_write(cursor, at, n) : vhu_iov_read(cursor, at, n);
}

/* Straight between the guest's memory and the ring; in two parts where that begins anew. */
static snd_pcm_sframes_t move_mapped(struct alsa_host *alsa, struct vhu_iov_cursor *cursor,
				     uint32_t n_frames)
{
	const snd_pcm_channel_area_t *areas;
	snd_pcm_uframes_t offset, n = n_frames;
	snd_pcm_sframes_t r = snd_pcm_mmap_begin(alsa->pcm, &areas, &offset, &n);
	char *at;

	if (r < 0)
		return r;
	at = (char *)areas[0].addr + (areas[0].first + offset * areas[0].step) / 8;
	move(alsa, cursor, at, n);
	return snd_pcm_mmap_commit(alsa->pcm, offset, n);
}

static snd_pcm_sframes_t move_unmapped(struct alsa_host *alsa, struct vhu_iov_cursor *cursor,
				       uint32_t n_frames)
{
	snd_pcm_uframes_t n = min_u64(n_frames, alsa->bounce_frames);
	struct vhu_iov_cursor ahead = *cursor;
	snd_pcm_sframes_t r;

	if (alsa->capture) {
		r = snd_pcm_readi(alsa->pcm, alsa->bounce, n);
		if (r > 0)
			move(alsa, cursor, alsa->bounce, (size_t)r);
		return r;
	}
	move(alsa, &ahead, alsa->bounce, n);
	r = snd_pcm_writei(alsa->pcm, alsa->bounce, n);
	if (r > 0)
		vhu_iov_skip(cursor, (size_t)r * alsa->host.params.frame_bytes);
	return r;
}

static int64_t move_frames(struct vhu_sound_host *host, struct vhu_iov_cursor *cursor,
			   uint32_t n_frames)
{
	struct alsa_host *alsa = of(host);
	snd_pcm_sframes_t r = snd_pcm_avail_update(alsa->pcm);
	uint32_t done = 0, n = r < 0 ? 0 : (uint32_t)min_u64(n_frames, (uint64_t)r);

	while (done < n) {
		r = alsa->mapped ? move_mapped(alsa, cursor, n - done)
				 : move_unmapped(alsa, cursor, n - done);
		if (r <= 0)
			break;
		done += (uint32_t)r;
	}
	return done ? done : result_of(alsa, r < 0 ? r : 0);
}

const struct vhu_sound_host_ops vhu_sound_host_alsa = {
	.name = "alsa",
	.probe = vhu_sound_alsa_probe,
	.open = open_host,
	.close = close_host,
	.reset = reset,
	.start = start,
	.fill = fill,
	.delay = delay,
	.write = move_frames,
	.read = move_frames,
};
