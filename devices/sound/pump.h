/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_DEVICES_SOUND_PUMP_H
#define VHU_DEVICES_SOUND_PUMP_H

/* Between stream.c, the commands, and pump.c, the frames. */

#include "devices/sound/stream.h"

#define VHU_SOUND_STREAM_FEATURES \
	(1u << VIRTIO_SND_PCM_F_MSG_POLLING | 1u << VIRTIO_SND_PCM_F_EVT_SHMEM_PERIODS | \
	 1u << VIRTIO_SND_PCM_F_EVT_XRUNS)

/* Frames in the ring of a stream that runs, or -EPIPE, -ENODEV. */
int64_t vhu_sound_stream_fill(struct vhu_sound_stream *stream);
/* The first message is over; delay: until what is written now is heard, in frames. */
void vhu_sound_stream_complete(struct vhu_sound_stream *stream, int64_t delay);
/* The host has gone. */
void vhu_sound_stream_lose(struct vhu_sound_stream *stream);
/* Another host takes the place of the clock. */
void vhu_sound_stream_rehost(struct vhu_sound_stream *stream);

#endif
