/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_DEVICES_SOUND_GAIN_H
#define VHU_DEVICES_SOUND_GAIN_H

/* A volume in software, for streams whose PCM has none. One thread. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "devices/sound/host.h"

#define VHU_SOUND_GAIN_MAX 100 /* 0 dB: frames stay as they are */
/* From one volume to the next; 0 is silence. */
#define VHU_SOUND_GAIN_STEP 50 /* hundredths of a dB */

struct vhu_sound_gain {
	int32_t volume; /* 0 to VHU_SOUND_GAIN_MAX */
	int32_t on;
	double factor; /* of both */
};

void vhu_sound_gain_set(struct vhu_sound_gain *gain, int32_t volume, int32_t on);

static inline bool vhu_sound_gain_is_unity(const struct vhu_sound_gain *gain)
{
	return gain->volume == VHU_SOUND_GAIN_MAX && gain->on;
}

/* A mask of the formats that it can be applied to. */
uint64_t vhu_sound_gain_formats(void);
void vhu_sound_gain_apply(const struct vhu_sound_gain *gain, unsigned format, void *samples,
			  size_t bytes);

/* As the host's own write and read. */
int64_t vhu_sound_gain_write(const struct vhu_sound_gain *gain, struct vhu_sound_host *host,
			     struct vhu_iov_cursor *from, uint32_t n_frames);
int64_t vhu_sound_gain_read(const struct vhu_sound_gain *gain, struct vhu_sound_host *host,
			    struct vhu_iov_cursor *to, uint32_t n_frames);

#endif
