/* SPDX-License-Identifier: BSD-3-Clause */
#include "devices/sound/format.h"

#include <endian.h>

#include "common/base/num.h"
#include "devices/sound/protocol.h"

const struct vhu_sound_format vhu_sound_formats[VHU_SOUND_N_FORMATS] = {
	[VIRTIO_SND_PCM_FMT_IMA_ADPCM] = { "ima-adpcm", 4, 4 },
	[VIRTIO_SND_PCM_FMT_MU_LAW] = { "mu-law", 8, 8 },
	[VIRTIO_SND_PCM_FMT_A_LAW] = { "a-law", 8, 8 },
	[VIRTIO_SND_PCM_FMT_S8] = { "s8", 8, 8 },
	[VIRTIO_SND_PCM_FMT_U8] = { "u8", 8, 8 },
	[VIRTIO_SND_PCM_FMT_S16] = { "s16", 16, 16 },
	[VIRTIO_SND_PCM_FMT_U16] = { "u16", 16, 16 },
	[VIRTIO_SND_PCM_FMT_S18_3] = { "s18-3", 24, 18 },
	[VIRTIO_SND_PCM_FMT_U18_3] = { "u18-3", 24, 18 },
	[VIRTIO_SND_PCM_FMT_S20_3] = { "s20-3", 24, 20 },
	[VIRTIO_SND_PCM_FMT_U20_3] = { "u20-3", 24, 20 },
	[VIRTIO_SND_PCM_FMT_S24_3] = { "s24-3", 24, 24 },
	[VIRTIO_SND_PCM_FMT_U24_3] = { "u24-3", 24, 24 },
	[VIRTIO_SND_PCM_FMT_S20] = { "s20", 32, 20 },
	[VIRTIO_SND_PCM_FMT_U20] = { "u20", 32, 20 },
	[VIRTIO_SND_PCM_FMT_S24] = { "s24", 32, 24 },
	[VIRTIO_SND_PCM_FMT_U24] = { "u24", 32, 24 },
	[VIRTIO_SND_PCM_FMT_S32] = { "s32", 32, 32 },
	[VIRTIO_SND_PCM_FMT_U32] = { "u32", 32, 32 },
	[VIRTIO_SND_PCM_FMT_FLOAT] = { "float", 32, 32 },
	[VIRTIO_SND_PCM_FMT_FLOAT64] = { "float64", 64, 64 },
	[VIRTIO_SND_PCM_FMT_DSD_U8] = { "dsd-u8", 8, 8 },
	[VIRTIO_SND_PCM_FMT_DSD_U16] = { "dsd-u16", 16, 16 },
	[VIRTIO_SND_PCM_FMT_DSD_U32] = { "dsd-u32", 32, 32 },
	[VIRTIO_SND_PCM_FMT_IEC958_SUBFRAME] = { "iec958", 32, 32 },
};

const unsigned vhu_sound_rates_hz[VHU_SOUND_N_RATES] = {
	[VIRTIO_SND_PCM_RATE_5512] = 5512,	 [VIRTIO_SND_PCM_RATE_8000] = 8000,
	[VIRTIO_SND_PCM_RATE_11025] = 11025,	 [VIRTIO_SND_PCM_RATE_16000] = 16000,
	[VIRTIO_SND_PCM_RATE_22050] = 22050,	 [VIRTIO_SND_PCM_RATE_32000] = 32000,
	[VIRTIO_SND_PCM_RATE_44100] = 44100,	 [VIRTIO_SND_PCM_RATE_48000] = 48000,
	[VIRTIO_SND_PCM_RATE_64000] = 64000,	 [VIRTIO_SND_PCM_RATE_88200] = 88200,
	[VIRTIO_SND_PCM_RATE_96000] = 96000,	 [VIRTIO_SND_PCM_RATE_176400] = 176400,
	[VIRTIO_SND_PCM_RATE_192000] = 192000,	 [VIRTIO_SND_PCM_RATE_384000] = 384000,
	[VHU_SND_PCM_RATE_12000] = 12000,	 [VHU_SND_PCM_RATE_24000] = 24000,
};

size_t vhu_sound_frame_bytes(unsigned format, unsigned channels)
{
	size_t bits = (size_t)vhu_sound_formats[format].physical_bits * channels;

	return bits % 8 ? 0 : bits / 8;
}

/* One sample of it, little-endian: the middle of what is unsigned, nothing of what is signed. */
static uint64_t silent_sample(unsigned format)
{
	switch (format) {
	case VIRTIO_SND_PCM_FMT_MU_LAW:
		return 0x7f;
	case VIRTIO_SND_PCM_FMT_A_LAW:
		return 0x55;
	case VIRTIO_SND_PCM_FMT_DSD_U8:
	case VIRTIO_SND_PCM_FMT_DSD_U16:
	case VIRTIO_SND_PCM_FMT_DSD_U32:
		return 0x69696969;
	case VIRTIO_SND_PCM_FMT_U8:
	case VIRTIO_SND_PCM_FMT_U16:
	case VIRTIO_SND_PCM_FMT_U18_3:
	case VIRTIO_SND_PCM_FMT_U20_3:
	case VIRTIO_SND_PCM_FMT_U24_3:
	case VIRTIO_SND_PCM_FMT_U20:
	case VIRTIO_SND_PCM_FMT_U24:
	case VIRTIO_SND_PCM_FMT_U32:
		return 1ull << (vhu_sound_formats[format].bits - 1);
	default:
		return 0;
	}
}

void vhu_sound_silence(unsigned format, struct vhu_iov_cursor *to, size_t n_samples)
{
	uint64_t sample = htole64(silent_sample(format));
	size_t bytes = vhu_sound_formats[format].physical_bits / 8;

	if (!sample)
		vhu_iov_fill(to, 0, n_samples * bytes);
	else
		for (; n_samples; n_samples--)
			vhu_iov_write(to, &sample, bytes);
}
