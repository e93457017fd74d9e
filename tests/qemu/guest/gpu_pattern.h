/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_TESTS_GPU_PATTERN_H
#define VHU_TESTS_GPU_PATTERN_H

#include <stdint.h>

/*
 * Pixel (x, y) of the test picture of a seed, as x8r8g8b8: stripes and a gradient to look at, with
 * noise in the low bits, so that a picture which is moved or stale by however little differs in
 * most of its pixels.
 */
static inline uint32_t gpu_pattern(uint32_t seed, uint32_t x, uint32_t y)
{
	uint32_t noise = (x * 0x9e3779b1u) ^ (y * 0x85ebca77u) ^ (seed * 0xc2b2ae3du);
	uint32_t red = (x + seed * 37) & 0xff, green = (y + seed * 91) & 0xff;
	uint32_t blue = (x / 64 + y / 64 + seed) % 2 ? 0xc0 : 0x40;

	noise ^= noise >> 15;
	noise *= 0x2c1b3c6du;
	noise ^= noise >> 13;
	return (red << 16 | green << 8 | blue) ^ (noise & 0x0f0f0f);
}

#endif
