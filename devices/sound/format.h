/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_DEVICES_SOUND_FORMAT_H
#define VHU_DEVICES_SOUND_FORMAT_H

/* Sample formats and rates of virtio 1.3, 5.14.6.6.2, by their number. */

#include <stddef.h>
#include <stdint.h>

#include "common/base/iov.h"

#define VHU_SOUND_N_FORMATS 25
#define VHU_SOUND_N_RATES 16

struct vhu_sound_format {
	const char *name;      /* "s16" */
	unsigned physical_bits; /* of a sample in memory */
	unsigned bits;		/* of them that count; the low ones */
};

extern const struct vhu_sound_format vhu_sound_formats[VHU_SOUND_N_FORMATS];
extern const unsigned vhu_sound_rates_hz[VHU_SOUND_N_RATES];

/* So many samples of silence. */
void vhu_sound_silence(unsigned format, struct vhu_iov_cursor *to, size_t n_samples);

/* Bytes of a frame; 0: such frames do not end at a byte. */
size_t vhu_sound_frame_bytes(unsigned format, unsigned channels);

#endif
