/* SPDX-License-Identifier: BSD-3-Clause */
#include "devices/sound/wav.h"

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/num.h"
#include "devices/sound/protocol.h"

#define TAG_PCM 1
#define TAG_FLOAT 3
#define TAG_A_LAW 6
#define TAG_MU_LAW 7
#define TAG_EXTENSIBLE 0xfffe
/* Chunks before the samples; pictures and the like stand behind them. */
#define CHUNKS_MAX 64

static const struct {
	uint8_t format; /* VIRTIO_SND_PCM_FMT_* */
	uint16_t tag, bits;
} kinds[] = {
	{ VIRTIO_SND_PCM_FMT_U8, TAG_PCM, 8 },	      { VIRTIO_SND_PCM_FMT_S16, TAG_PCM, 16 },
	{ VIRTIO_SND_PCM_FMT_S24_3, TAG_PCM, 24 },    { VIRTIO_SND_PCM_FMT_S32, TAG_PCM, 32 },
	{ VIRTIO_SND_PCM_FMT_FLOAT, TAG_FLOAT, 32 },  { VIRTIO_SND_PCM_FMT_FLOAT64, TAG_FLOAT, 64 },
	{ VIRTIO_SND_PCM_FMT_A_LAW, TAG_A_LAW, 8 },   { VIRTIO_SND_PCM_FMT_MU_LAW, TAG_MU_LAW, 8 },
	/* From here on: written only, as the ones before say them. */
	{ VIRTIO_SND_PCM_FMT_S8, TAG_PCM, 8 },	      { VIRTIO_SND_PCM_FMT_S24, TAG_PCM, 24 },
};

int vhu_wav_describe(unsigned format, uint16_t *ret_tag, uint16_t *ret_bits)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (kinds[i].format != format)
			continue;
		*ret_tag = kinds[i].tag;
		*ret_bits = kinds[i].bits;
		return 0;
	}
	return -EINVAL;
}

int vhu_wav_format(const struct vhu_wav *wav)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (kinds[i].tag == wav->tag && kinds[i].bits == wav->bits)
			return kinds[i].format;
	return -EINVAL;
}

static void put16(uint8_t *at, uint16_t value)
{
	value = htole16(value);
	memcpy(at, &value, sizeof(value));
}

static void put32(uint8_t *at, uint64_t value)
{
	uint32_t word = htole32((uint32_t)value);

	memcpy(at, &word, sizeof(word));
}

static uint16_t get16(const uint8_t *at)
{
	return (uint16_t)(at[0] | at[1] << 8);
}

static uint32_t get32(const uint8_t *at)
{
	return get16(at) | (uint32_t)get16(at + 2) << 16;
}

void vhu_wav_header(const struct vhu_wav *wav, uint8_t ret_header[VHU_WAV_HEADER_BYTES])
{
	uint16_t frame_bytes = (uint16_t)(wav->channels * wav->bits / 8);
	uint8_t *h = ret_header;

	memcpy(h, "RIFF", 4);
	put32(h + 4, VHU_WAV_HEADER_BYTES - 8 + wav->data_bytes + wav->data_bytes % 2);
	memcpy(h + 8, "WAVEfmt ", 8);
	put32(h + 16, 16);
	put16(h + 20, wav->tag);
	put16(h + 22, wav->channels);
	put32(h + 24, wav->rate_hz);
	put32(h + 28, (uint64_t)wav->rate_hz * frame_bytes);
	put16(h + 32, frame_bytes);
	put16(h + 34, wav->bits);
	memcpy(h + 36, "data", 4);
	put32(h + 40, wav->data_bytes);
}

/* The chunk "fmt " of so many bytes. */
static int take_format(const uint8_t *chunk, size_t len, struct vhu_wav *wav)
{
	if (len < 16)
		return -EINVAL;
	wav->tag = get16(chunk);
	wav->channels = get16(chunk + 2);
	wav->rate_hz = get32(chunk + 4);
	wav->bits = get16(chunk + 14);
	/* There the tag begins the GUID of the format. */
	if (wav->tag == TAG_EXTENSIBLE && len >= 26)
		wav->tag = get16(chunk + 24);
	return wav->channels && wav->rate_hz && vhu_wav_format(wav) >= 0 ? 0 : -EINVAL;
}

/* What a writer has not filled in, or a file that was cut off: up to the end. */
static int take_data(int fd, uint64_t offset, uint64_t len, struct vhu_wav *wav)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!wav->bits || (uint64_t)st.st_size < offset)
		return -EINVAL;
	wav->data_offset = offset;
	wav->data_bytes = min_u64(len, (uint64_t)st.st_size - offset);
	return 0;
}

int vhu_wav_read(int fd, struct vhu_wav *ret_wav)
{
	uint8_t head[12], chunk[8], format[40];
	struct vhu_wav wav = { 0 };
	uint64_t at = sizeof(head);

	if (pread(fd, head, sizeof(head), 0) != sizeof(head) || memcmp(head, "RIFF", 4) ||
	    memcmp(head + 8, "WAVE", 4))
		return -EINVAL;
	for (unsigned i = 0; i < CHUNKS_MAX; i++) {
		uint64_t len;
		int r = 0;

		if (pread(fd, chunk, sizeof(chunk), (off_t)at) != sizeof(chunk))
			return -EINVAL;
		len = get32(chunk + 4);
		at += sizeof(chunk);
		if (!memcmp(chunk, "data", 4)) {
			r = take_data(fd, at, len, &wav);
			if (r == 0)
				*ret_wav = wav;
			return r;
		}
		if (!memcmp(chunk, "fmt ", 4)) {
			ssize_t n = pread(fd, format, min_u64(len, sizeof(format)), (off_t)at);

			r = n < 0 ? -errno : take_format(format, (size_t)n, &wav);
		}
		if (r < 0)
			return r;
		at += len + len % 2;
	}
	return -EINVAL;
}
