/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_DEVICES_SOUND_WAV_H
#define VHU_DEVICES_SOUND_WAV_H

/* The header of a WAV file (RIFF WAVE), to and from bytes. */

#include <stddef.h>
#include <stdint.h>

/* Of one that we write. */
#define VHU_WAV_HEADER_BYTES 44
/* What the sizes in it can say; the rest cannot be told of. */
#define VHU_WAV_DATA_MAX (UINT32_MAX - VHU_WAV_HEADER_BYTES)

struct vhu_wav {
	uint16_t tag; /* 1 PCM, 3 float, 6 A-law, 7 mu-law */
	uint16_t channels;
	uint16_t bits; /* of a sample */
	uint32_t rate_hz;
	uint64_t data_offset, data_bytes;
};

void vhu_wav_header(const struct vhu_wav *wav, uint8_t ret_header[VHU_WAV_HEADER_BYTES]);
/* Reads it. -EINVAL: it is none, or one of a kind that is not known. */
int vhu_wav_read(int fd, struct vhu_wav *ret_wav);

/* VIRTIO_SND_PCM_FMT_* of its samples, or -EINVAL. */
int vhu_wav_format(const struct vhu_wav *wav);
/* The tag and bits that samples of a format are written with. -EINVAL: they cannot be. */
int vhu_wav_describe(unsigned format, uint16_t *ret_tag, uint16_t *ret_bits);

#endif
