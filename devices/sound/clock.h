/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_DEVICES_SOUND_CLOCK_H
#define VHU_DEVICES_SOUND_CLOCK_H

/* How many frames have passed, by CLOCK_MONOTONIC; reckoned from the start, so nothing drifts. */

#include <stdint.h>

#include "common/base/num.h"

static inline int64_t vhu_sound_frames_in(uint64_t ns, unsigned rate_hz)
{
	return (int64_t)(ns / NS_PER_SEC * rate_hz + ns % NS_PER_SEC * rate_hz / NS_PER_SEC);
}

/* Rounded up: when it is over they have passed. */
static inline uint64_t vhu_sound_ns_of(int64_t frames, unsigned rate_hz)
{
	uint64_t n = frames > 0 ? (uint64_t)frames : 0;

	return n / rate_hz * NS_PER_SEC + (n % rate_hz * NS_PER_SEC + rate_hz - 1) / rate_hz;
}

#endif
