/* SPDX-License-Identifier: BSD-3-Clause */

/* A volume in software, for samples of all forms. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/num.h"
#include "devices/sound/format.h"
#include "devices/sound/gain.h"

/* Half of a sample, or as near as a step of 12 half dBs comes to it. */
#define HALF 88

struct sample {
	unsigned format;
	uint64_t loud, half, silent;
};

/* Numbers of bytes in memory, which is as little-endian as the guest's. */
static const struct sample samples[] = {
	{ VIRTIO_SND_PCM_FMT_S8, 0x7f, 0x40, 0 },
	{ VIRTIO_SND_PCM_FMT_S8, 0x80, 0xc0, 0 },
	{ VIRTIO_SND_PCM_FMT_U8, 0xff, 0xc0, 0x80 },
	{ VIRTIO_SND_PCM_FMT_U8, 0x00, 0x40, 0x80 },
	{ VIRTIO_SND_PCM_FMT_S16, 0x7fff, 0x4026, 0 },
	{ VIRTIO_SND_PCM_FMT_S16, 0x8000, 0xbfd9, 0 },
	{ VIRTIO_SND_PCM_FMT_U16, 0xffff, 0xc026, 0x8000 },
	{ VIRTIO_SND_PCM_FMT_S24_3, 0x800000, 0xbfd919, 0 },
	{ VIRTIO_SND_PCM_FMT_U24_3, 0x000000, 0x3fd919, 0x800000 },
	{ VIRTIO_SND_PCM_FMT_S24, 0xff800000, 0xffbfd919, 0 },
	/* Nobody has to extend the sign. */
	{ VIRTIO_SND_PCM_FMT_S24, 0x00800000, 0xffbfd919, 0 },
	{ VIRTIO_SND_PCM_FMT_U24, 0x000000, 0x3fd919, 0x800000 },
	{ VIRTIO_SND_PCM_FMT_S20_3, 0x080000, 0xfbfd92, 0 },
	{ VIRTIO_SND_PCM_FMT_S18_3, 0x020000, 0xfeff64, 0 },
	{ VIRTIO_SND_PCM_FMT_S32, 0x80000000, 0xbfd918c3, 0 },
	{ VIRTIO_SND_PCM_FMT_U32, 0x00000000, 0x3fd918c3, 0x80000000 },
	/* 1.0 */
	{ VIRTIO_SND_PCM_FMT_FLOAT, 0x3f800000, 0x3f004dce, 0 },
	{ VIRTIO_SND_PCM_FMT_FLOAT64, 0x3ff0000000000000, 0x3fe009b9cf334252, 0 },
};

static uint64_t scale(const struct vhu_sound_gain *gain, const struct sample *sample)
{
	size_t bytes = vhu_sound_frame_bytes(sample->format, 1);
	uint64_t pair[2] = { 0 };
	char frames[16];

	/* Two of them: what is behind the first is not its own. */
	memcpy(frames, &sample->loud, bytes);
	memcpy(frames + bytes, &sample->loud, bytes);
	vhu_sound_gain_apply(gain, sample->format, frames, 2 * bytes);
	memcpy(&pair[0], frames, bytes);
	memcpy(&pair[1], frames + bytes, bytes);
	assert_int_equal(pair[0], pair[1]);
	return pair[0];
}

static void near(const struct sample *sample, uint64_t got)
{
	/* Of a double the last bits are not worth a word. */
	uint64_t allowed = sample->format == VIRTIO_SND_PCM_FMT_FLOAT64 ? 1ull << 24 : 1;

	if (got + allowed < sample->half || got > sample->half + allowed)
		print_error("format %u: 0x%llx\n", sample->format, (unsigned long long)got);
	assert_in_range(got, sample->half - allowed, sample->half + allowed);
}

static void half_and_silent(void **state)
{
	struct vhu_sound_gain gain;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
		vhu_sound_gain_set(&gain, HALF, 1);
		assert_false(vhu_sound_gain_is_unity(&gain));
		near(&samples[i], scale(&gain, &samples[i]));
		vhu_sound_gain_set(&gain, HALF, 0);
		assert_int_equal(scale(&gain, &samples[i]), samples[i].silent);
		vhu_sound_gain_set(&gain, 0, 1);
		assert_int_equal(scale(&gain, &samples[i]), samples[i].silent);
	}
}

/* Only what is linear. */
static void which_formats(void **state)
{
	uint64_t mask = vhu_sound_gain_formats();
	struct vhu_sound_gain gain;

	(void)state;
	for (unsigned i = 0; i < VHU_SOUND_N_FORMATS; i++)
		assert_int_equal(mask >> i & 1,
				 i >= VIRTIO_SND_PCM_FMT_S8 && i <= VIRTIO_SND_PCM_FMT_FLOAT64);
	vhu_sound_gain_set(&gain, VHU_SOUND_GAIN_MAX, 1);
	assert_true(vhu_sound_gain_is_unity(&gain));
}

/* A host that takes five frames at a time, and twelve in all. */
struct small_host {
	struct vhu_sound_host host;
	uint32_t left;
	int16_t taken[12];
	uint32_t n;
};

static int64_t small_write(struct vhu_sound_host *host, struct vhu_iov_cursor *from,
			   uint32_t n_frames)
{
	struct small_host *small = container_of(host, struct small_host, host);
	uint32_t n = (uint32_t)min_u64(min_u64(5, n_frames), small->left);

	vhu_iov_read(from, small->taken + small->n, 2 * n);
	small->n += n;
	small->left -= n;
	return n;
}

static void no_frame_is_lost(void **state)
{
	static const struct vhu_sound_host_ops ops = { .write = small_write };
	struct small_host small = {
		.host = { &ops, { .format = VIRTIO_SND_PCM_FMT_S16, .frame_bytes = 2 } },
		.left = 12,
	};
	struct vhu_sound_gain gain;
	struct vhu_iov_cursor from;
	int16_t frames[20];
	struct iovec iov = { frames, sizeof(frames) };

	(void)state;
	for (int16_t i = 0; i < 20; i++)
		frames[i] = (int16_t)(1000 * i);
	vhu_iov_cursor_init(&from, &iov, 1);
	vhu_sound_gain_set(&gain, HALF, 1);
	assert_int_equal(vhu_sound_gain_write(&gain, &small.host, &from, 20), 12);
	assert_int_equal(from.left, 2 * 8);
	for (int i = 0; i < 12; i++)
		assert_in_range(small.taken[i], 501 * i, 502 * i);
	assert_int_equal(vhu_sound_gain_write(&gain, &small.host, &from, 8), 0);
	assert_int_equal(frames[19], 19000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(half_and_silent),
		cmocka_unit_test(which_formats),
		cmocka_unit_test(no_frame_is_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
