/* SPDX-License-Identifier: BSD-3-Clause */
#include "devices/sound/gain.h"

#include <endian.h>
#include <string.h>

#include "common/base/num.h"
#include "devices/sound/format.h"

#define SCRATCH_BYTES 4096
/* 10 to the power of -0.025: half a dB less. */
#define STEP_DOWN 0.94406087628592339

/* How samples of a format are numbers. */
enum form {
	NONE,
	SIGNED,
	UNSIGNED,
	FLOAT,
};

static const uint8_t forms[VHU_SOUND_N_FORMATS] = {
	[VIRTIO_SND_PCM_FMT_S8] = SIGNED,     [VIRTIO_SND_PCM_FMT_U8] = UNSIGNED,
	[VIRTIO_SND_PCM_FMT_S16] = SIGNED,    [VIRTIO_SND_PCM_FMT_U16] = UNSIGNED,
	[VIRTIO_SND_PCM_FMT_S18_3] = SIGNED,  [VIRTIO_SND_PCM_FMT_U18_3] = UNSIGNED,
	[VIRTIO_SND_PCM_FMT_S20_3] = SIGNED,  [VIRTIO_SND_PCM_FMT_U20_3] = UNSIGNED,
	[VIRTIO_SND_PCM_FMT_S24_3] = SIGNED,  [VIRTIO_SND_PCM_FMT_U24_3] = UNSIGNED,
	[VIRTIO_SND_PCM_FMT_S20] = SIGNED,    [VIRTIO_SND_PCM_FMT_U20] = UNSIGNED,
	[VIRTIO_SND_PCM_FMT_S24] = SIGNED,    [VIRTIO_SND_PCM_FMT_U24] = UNSIGNED,
	[VIRTIO_SND_PCM_FMT_S32] = SIGNED,    [VIRTIO_SND_PCM_FMT_U32] = UNSIGNED,
	[VIRTIO_SND_PCM_FMT_FLOAT] = FLOAT,   [VIRTIO_SND_PCM_FMT_FLOAT64] = FLOAT,
};

uint64_t vhu_sound_gain_formats(void)
{
	uint64_t mask = 0;

	for (unsigned i = 0; i < VHU_SOUND_N_FORMATS; i++)
		if (forms[i] != NONE)
			mask |= 1ull << i;
	return mask;
}

void vhu_sound_gain_set(struct vhu_sound_gain *gain, int32_t volume, int32_t on)
{
	gain->volume = volume;
	gain->on = on;
	gain->factor = on && volume ? 1.0 : 0.0;
	for (int32_t i = volume; i < VHU_SOUND_GAIN_MAX; i++)
		gain->factor *= STEP_DOWN;
}

/* Bits above those that count say what the sign is, whatever was there before. */
static uint64_t scale_integer(double factor, uint64_t sample, unsigned bits, bool is_signed)
{
	uint64_t top = 1ull << (bits - 1), mask = (top << 1) - 1;
	int64_t value = (int64_t)((sample & mask) ^ (is_signed ? top : 0)) - (int64_t)top;
	double scaled = (double)value * factor;

	value = (int64_t)(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
	return is_signed ? (uint64_t)value : (uint64_t)(value + (int64_t)top);
}

static uint64_t scale_float(double factor, uint64_t sample)
{
	uint32_t bits = (uint32_t)sample;
	float value;

	memcpy(&value, &bits, sizeof(value));
	value = (float)(value * factor);
	memcpy(&bits, &value, sizeof(bits));
	return bits;
}

static uint64_t scale_double(double factor, uint64_t sample)
{
	double value;

	memcpy(&value, &sample, sizeof(value));
	value *= factor;
	memcpy(&sample, &value, sizeof(sample));
	return sample;
}

void vhu_sound_gain_apply(const struct vhu_sound_gain *gain, unsigned format, void *samples,
			  size_t bytes)
{
	const struct vhu_sound_format *f = &vhu_sound_formats[format];
	size_t n = f->physical_bits / 8;

	for (char *at = samples; bytes >= n; at += n, bytes -= n) {
		uint64_t sample = 0;

		memcpy(&sample, at, n);
		sample = le64toh(sample);
		if (forms[format] != FLOAT)
			sample = scale_integer(gain->factor, sample, f->bits,
					       forms[format] == SIGNED);
		else if (n == sizeof(float))
			sample = scale_float(gain->factor, sample);
		else
			sample = scale_double(gain->factor, sample);
		sample = htole64(sample);
		memcpy(at, &sample, n);
	}
}

static uint32_t most_frames(const struct vhu_sound_host *host, uint32_t n_frames)
{
	return (uint32_t)min_u64(n_frames, SCRATCH_BYTES / host->params.frame_bytes);
}

int64_t vhu_sound_gain_write(const struct vhu_sound_gain *gain, struct vhu_sound_host *host,
			     struct vhu_iov_cursor *from, uint32_t n_frames)
{
	const struct vhu_sound_params *p = &host->params;
	uint32_t done = 0;

	while (done < n_frames) {
		uint32_t n = most_frames(host, n_frames - done);
		char scratch[SCRATCH_BYTES];
		struct iovec iov = { scratch, (size_t)n * p->frame_bytes };
		struct vhu_iov_cursor ahead = *from, scaled;
		int64_t got;

		vhu_iov_read(&ahead, scratch, iov.iov_len);
		vhu_sound_gain_apply(gain, p->format, scratch, iov.iov_len);
		vhu_iov_cursor_init(&scaled, &iov, 1);
		got = host->ops->write(host, &scaled, n);
		if (got <= 0)
			return done ? done : got;
		vhu_iov_skip(from, (size_t)got * p->frame_bytes);
		done += (uint32_t)got;
	}
	return done;
}

int64_t vhu_sound_gain_read(const struct vhu_sound_gain *gain, struct vhu_sound_host *host,
			    struct vhu_iov_cursor *to, uint32_t n_frames)
{
	const struct vhu_sound_params *p = &host->params;
	uint32_t done = 0;

	while (done < n_frames) {
		uint32_t n = most_frames(host, n_frames - done);
		char scratch[SCRATCH_BYTES];
		struct iovec iov = { scratch, (size_t)n * p->frame_bytes };
		struct vhu_iov_cursor raw;
		int64_t got;

		vhu_iov_cursor_init(&raw, &iov, 1);
		got = host->ops->read(host, &raw, n);
		if (got <= 0)
			return done ? done : got;
		vhu_sound_gain_apply(gain, p->format, scratch, (size_t)got * p->frame_bytes);
		vhu_iov_write(to, scratch, (size_t)got * p->frame_bytes);
		done += (uint32_t)got;
	}
	return done;
}
