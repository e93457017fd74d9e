/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_DEVICES_SOUND_HOST_H
#define VHU_DEVICES_SOUND_HOST_H

/*
 * Where the frames of a stream go to or come from: an ALSA PCM, a WAV file, nowhere. A host has a
 * ring of its own, of which the stream keeps at most its target filled (playback), or which it
 * empties (capture). One that has no clock is paced by the stream, with CLOCK_MONOTONIC.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/base/iov.h"
#include "devices/sound/protocol.h"
#include "devices/sound/sound.h"

#define VHU_SOUND_MAPS_MAX 8

/* Of a channel map: VIRTIO_SND_CHMAP_*. */
struct vhu_sound_map {
	uint8_t channels;
	uint8_t positions[VIRTIO_SND_CHMAP_MAX_SIZE];
};

/* What a PCM can. */
struct vhu_sound_caps {
	uint64_t formats, rates; /* masks of 1 << VIRTIO_SND_PCM_FMT_*, _RATE_* */
	unsigned channels_min, channels_max;
	unsigned n_maps;
	struct vhu_sound_map maps[VHU_SOUND_MAPS_MAX];
};

/* What was chosen of it: SET_PARAMS. */
struct vhu_sound_params {
	unsigned format; /* VIRTIO_SND_PCM_FMT_* */
	unsigned rate_hz;
	unsigned channels;
	uint32_t frame_bytes;
	uint32_t period_frames, buffer_frames; /* the guest's */
	uint32_t target_frames; /* the most that a playback ring is filled with */
};

struct vhu_sound_host;

struct vhu_sound_host_ops {
	const char *name;
	/* Main, before anything is served. Says what is wrong and what to try. */
	int (*probe)(const struct vhu_sound_stream_options *options,
		     struct vhu_sound_caps *ret_caps);
	/*
	 * A thread that may be kept waiting. -EBUSY, -ENODEV (not there, or has gone), -EINVAL (it
	 * cannot do this), others. The ring is empty and does not run. Silent: the caller speaks.
	 */
	int (*open)(const struct vhu_sound_stream_options *options,
		    const struct vhu_sound_params *params, struct vhu_sound_host **ret_host);
	/* The same. What is in the ring is not played. */
	void (*close)(struct vhu_sound_host *host);

	/*
	 * The rest: the worker, never waits, never allocates. 0 or a count of frames, or
	 *	-EPIPE	the ring ran out or over, or the host slept: reset() and begin again
	 *	-ENODEV	the device has gone: only close() follows
	 */

	/* Empties the ring, which then does not run. */
	int (*reset)(struct vhu_sound_host *host);
	/* The ring runs. Playback: after the first frames were written. */
	int (*start)(struct vhu_sound_host *host);
	/*
	 * NULL: there is no clock. Frames in the ring: playback not played yet, capture not read
	 * yet. Asks the device, not what was known of it before.
	 */
	int64_t (*fill)(struct vhu_sound_host *host);
	/* Optional; default: fill. Until a frame written now is heard; since one was picked up. */
	int64_t (*delay)(struct vhu_sound_host *host);
	/* Of one direction each. Up to n_frames; less when the ring is full, or empty. */
	int64_t (*write)(struct vhu_sound_host *host, struct vhu_iov_cursor *from,
			 uint32_t n_frames);
	int64_t (*read)(struct vhu_sound_host *host, struct vhu_iov_cursor *to, uint32_t n_frames);
};

/* A host embeds this as its first member. */
struct vhu_sound_host {
	const struct vhu_sound_host_ops *ops;
	struct vhu_sound_params params;
};

/* For hosts: maps of 1, 2, 4, 6 and 8 channels. */
void vhu_sound_usual_maps(struct vhu_sound_caps *caps);

extern const struct vhu_sound_host_ops vhu_sound_host_alsa;
extern const struct vhu_sound_host_ops vhu_sound_host_null;
extern const struct vhu_sound_host_ops vhu_sound_host_wav;

#endif
