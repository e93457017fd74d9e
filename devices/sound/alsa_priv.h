/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_DEVICES_SOUND_ALSA_PRIV_H
#define VHU_DEVICES_SOUND_ALSA_PRIV_H

/* What alsa_*.c have in common. Nobody else sees alsa-lib. */

#include "devices/sound/host.h"

struct _snd_pcm; /* snd_pcm_t */

/* SND_PCM_FORMAT_*; UNKNOWN: ALSA has no frames of it. */
int vhu_sound_alsa_format(unsigned format);

/* alsa-lib tells standard error of whatever goes wrong; we say it ourselves, in one line. */
void vhu_sound_alsa_quiet(void);

/* Never waits for another program to close it: -EBUSY then. Says nothing. */
int vhu_sound_alsa_open(const struct vhu_sound_stream_options *options, struct _snd_pcm **ret_pcm);

int vhu_sound_alsa_probe(const struct vhu_sound_stream_options *options,
			 struct vhu_sound_caps *ret_caps);

/* What to do about an open of the PCM that failed with r. */
const char *vhu_sound_alsa_explain(const char *pcm, int r);

#endif
