/* SPDX-License-Identifier: BSD-3-Clause */
#include "devices/gpu/edid.h"

#include <stdbool.h>
#include <string.h>

#include "common/base/num.h"

#define BLOCK_BYTES 128
#define DESCRIPTOR_BYTES 18
#define DEFAULT_HZ 60
/* VESA CVT 1.2, reduced blanking. */
#define H_BLANK_MIN 160
#define H_FRONT 48
#define H_SYNC 32
#define V_FRONT 3
#define V_BACK_MIN 6
#define V_BLANK_MIN_NS 460000ull
/* Of a detailed timing of the base block. */
#define SIDE_MAX 4095
#define CLOCK_MIN 1000
#define CLOCK_MAX 65535
/* Of a size in the base block. */
#define MM_MIN 100
#define MM_MAX 2559
/* A picture of 96 dots an inch. */
#define MM_OF(pixels) ((uint32_t)((uint64_t)(pixels) * 254 / 960))

struct timing {
	uint32_t width, height, hz;
	uint32_t h_blank, v_blank, v_sync;
	uint64_t clock; /* 10 kHz */
};

/* Usual ones: where each stands in an EDID besides detailed timings. */
static const struct mode {
	uint16_t width, height;
	uint8_t established; /* byte and bit of the established timings: 8 x byte + bit */
	uint8_t aspect;	     /* of a standard timing, or NONE */
} modes[] = {
#define NONE 4
	{ 3840, 2160, 0, NONE }, { 2560, 1600, 0, NONE }, { 2560, 1440, 0, NONE },
	{ 1920, 1200, 0, NONE }, { 1920, 1080, 0, 3 },	  { 1680, 1050, 0, 0 },
	{ 1600, 1200, 0, 1 },	 { 1600, 900, 0, 3 },	  { 1440, 900, 0, 0 },
	{ 1366, 768, 0, NONE },	 { 1280, 1024, 0, 2 },	  { 1280, 800, 0, 0 },
	{ 1280, 720, 0, 3 },	 { 1024, 768, 8 + 3, NONE }, { 800, 600, 0, NONE },
	{ 640, 480, 5, NONE },
};
#define N_STANDARD 8

static uint32_t v_sync_of(uint32_t width, uint32_t height)
{
	static const struct {
		uint32_t x, y, lines;
	} aspects[] = { { 4, 3, 4 }, { 16, 9, 5 }, { 16, 10, 6 }, { 5, 4, 7 }, { 15, 9, 7 } };

	for (size_t i = 0; i < ARRAY_SIZE(aspects); i++)
		if ((uint64_t)width * aspects[i].y == (uint64_t)height * aspects[i].x)
			return aspects[i].lines;
	return 10;
}

static struct timing timing_of(uint32_t width, uint32_t height, uint32_t hz)
{
	struct timing t = { width, height, hz, H_BLANK_MIN, .v_sync = v_sync_of(width, height) };
	/* A line's share of what the blanking leaves of a frame. */
	uint64_t frame_ns = 1000000000ull / hz;
	uint64_t line_ps = frame_ns > V_BLANK_MIN_NS ?
				   (frame_ns - V_BLANK_MIN_NS) * 1000 / height : 0;

	t.v_blank = V_FRONT + t.v_sync + V_BACK_MIN;
	if (line_ps)
		t.v_blank = (uint32_t)max_u64(t.v_blank, V_BLANK_MIN_NS * 1000 / line_ps + 1);
	t.clock = (uint64_t)(width + t.h_blank) * (height + t.v_blank) * hz / 10000;
	if (t.clock < CLOCK_MIN) {
		t.h_blank = (uint32_t)(CLOCK_MIN * 10000ull / hz / (height + t.v_blank) + 1);
		t.h_blank -= width;
		t.clock = CLOCK_MIN;
	}
	return t;
}

static bool is_plain(const struct timing *t)
{
	return t->width <= SIDE_MAX && t->height <= SIDE_MAX && t->h_blank <= SIDE_MAX &&
	       t->v_blank <= SIDE_MAX && t->clock <= CLOCK_MAX;
}

static uint64_t khz_of(const struct timing *t)
{
	return t->clock * 10 / (t->width + t->h_blank);
}

/* Besides what is shown, and no larger. */
static bool offers(const struct mode *mode, const struct timing *shown)
{
	return mode->width <= shown->width && mode->height <= shown->height &&
	       (mode->width != shown->width || mode->height != shown->height ||
		shown->hz != DEFAULT_HZ);
}

/* By a detailed timing. */
static bool offers_detailed(const struct mode *mode, const struct timing *shown)
{
	return mode->aspect == NONE && mode->width > 1024 && offers(mode, shown);
}

static void seal(uint8_t *block, size_t bytes)
{
	uint8_t sum = 0;

	for (size_t i = 0; i < bytes - 1; i++)
		sum = (uint8_t)(sum + block[i]);
	block[bytes - 1] = (uint8_t)-sum;
}

/* As it is told everywhere; 0: it is not known. */
struct size {
	uint32_t width_mm, height_mm;
};

static struct size size_of(const struct vhu_gpu_output *output, const struct timing *shown)
{
	struct size size = { output->width_mm, output->height_mm };

	if (!size.width_mm)
		size = (struct size){ MM_OF(shown->width), MM_OF(shown->height) };
	if (size.width_mm < MM_MIN || size.height_mm < MM_MIN || size.width_mm > MM_MAX ||
	    size.height_mm > MM_MAX)
		return (struct size){ 0 };
	return size;
}

/* E-EDID 1.4, 3.10.2 */
static void put_detailed(uint8_t *d, const struct timing *t, const struct size *size)
{
	d[0] = (uint8_t)t->clock;
	d[1] = (uint8_t)(t->clock >> 8);
	d[2] = (uint8_t)t->width;
	d[3] = (uint8_t)t->h_blank;
	d[4] = (uint8_t)(t->width >> 8 << 4 | t->h_blank >> 8);
	d[5] = (uint8_t)t->height;
	d[6] = (uint8_t)t->v_blank;
	d[7] = (uint8_t)(t->height >> 8 << 4 | t->v_blank >> 8);
	d[8] = H_FRONT;
	d[9] = H_SYNC;
	d[10] = (uint8_t)(V_FRONT << 4 | t->v_sync);
	d[12] = (uint8_t)size->width_mm;
	d[13] = (uint8_t)size->height_mm;
	d[14] = (uint8_t)(size->width_mm >> 8 << 4 | size->height_mm >> 8);
	d[17] = 0x1a; /* digital separate sync, horizontal positive, vertical negative */
}

/* E-EDID 1.4, 3.10.3: a descriptor that is text, ended by a line feed, filled with blanks. */
static void put_text(uint8_t *d, uint8_t tag, const char *text)
{
	size_t len = strlen(text);

	d[3] = tag;
	memset(d + 5, ' ', 13);
	memcpy(d + 5, text, len);
	if (len < 13)
		d[5 + len] = '\n';
}

/* The frequencies of all that is offered, with room for what is rounded. */
static void put_range(uint8_t *d, const struct timing *shown, const struct timing *plain)
{
	/* Of the standard timings, 1600x1200 is the fastest, with 75 kHz and 162 MHz. */
	uint64_t khz_min = min_u64(min_u64(khz_of(shown), khz_of(plain)), 30);
	uint64_t khz = max_u64(khz_of(shown), 75);
	uint64_t clock = max_u64(shown->clock, 16200);
	uint64_t v_min = min_u64(shown->hz, DEFAULT_HZ) - 1;
	uint64_t v_max = max_u64(shown->hz, DEFAULT_HZ) + 1, tens_mhz;

	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		if (offers_detailed(&modes[i], shown)) {
			const struct timing t =
				timing_of(modes[i].width, modes[i].height, DEFAULT_HZ);

			khz = max_u64(khz, khz_of(&t));
			clock = max_u64(clock, t.clock);
		}
	}
	khz++;
	tens_mhz = (clock + 999) / 1000;
	/* What has no place in it. */
	if (khz > 510 || tens_mhz > 255) {
		d[3] = 0x10;
		return;
	}
	d[3] = 0xfd;
	/* Above 255 there is a bit that says so. */
	d[4] = (uint8_t)((v_max > 255 ? 0x02 : 0) | (khz > 255 ? 0x08 : 0));
	d[5] = (uint8_t)v_min;
	d[6] = (uint8_t)(v_max > 255 ? v_max - 255 : v_max);
	d[7] = (uint8_t)khz_min;
	d[8] = (uint8_t)(khz > 255 ? khz - 255 : khz);
	d[9] = (uint8_t)tens_mhz;
	d[10] = 0x01; /* range limits only */
	d[11] = '\n';
	memset(d + 12, ' ', 6);
}

static void put_usual(uint8_t *edid, const struct timing *shown)
{
	unsigned n = 0;

	memset(edid + 38, 0x01, 2 * N_STANDARD); /* unused */
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		const struct mode *mode = &modes[i];

		if (mode->width <= 1024 && mode->width <= shown->width &&
		    mode->height <= shown->height)
			edid[35 + mode->established / 8] |= (uint8_t)(1 << mode->established % 8);
		if (mode->aspect == NONE || n == N_STANDARD || !offers(mode, shown))
			continue;
		edid[38 + 2 * n] = (uint8_t)(mode->width / 8 - 31);
		edid[39 + 2 * n++] = (uint8_t)(mode->aspect << 6);
	}
}

static void put_base(uint8_t *edid, const struct vhu_gpu_output *output, unsigned scanout,
		     const struct timing *shown, const struct timing *plain, unsigned n_extensions)
{
	static const uint8_t header[8] = { 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0 };
	static const uint8_t srgb[10] = { 0xee, 0x91, 0xa3, 0x54, 0x4c,
					  0x99, 0x26, 0x0f, 0x50, 0x54 };
	struct size size = size_of(output, shown);
	const unsigned vendor = ('V' - '@') << 10 | ('H' - '@') << 5 | ('U' - '@');
	char name[14] = "vhu monitor";

	memcpy(edid, header, sizeof(header));
	edid[8] = (uint8_t)(vendor >> 8);
	edid[9] = (uint8_t)vendor;
	edid[10] = 1; /* product */
	if (!*output->serial)
		edid[12] = (uint8_t)(scanout + 1);
	edid[17] = 2026 - 1990;
	edid[18] = 1;
	edid[19] = 4;
	edid[20] = 0xa5; /* digital, 8 bits a colour, DisplayPort */
	edid[21] = (uint8_t)(size.width_mm / 10);
	edid[22] = (uint8_t)(size.height_mm / 10);
	edid[23] = 120;	 /* gamma 2.2 */
	edid[24] = 0x06; /* sRGB; the preferred timing is the native one */
	memcpy(edid + 25, srgb, sizeof(srgb));
	put_usual(edid, shown);
	put_detailed(edid + 54, plain, &size);
	put_range(edid + 72, shown, plain);
	put_text(edid + 90, 0xfc, *output->name ? output->name : name);
	if (*output->serial)
		put_text(edid + 108, 0xff, output->serial);
	else
		edid[111] = 0x10; /* dummy */
	edid[126] = (uint8_t)n_extensions;
	seal(edid, BLOCK_BYTES);
}

/* CTA-861: modes that have no other place. */
static void put_cta(uint8_t *block, const struct vhu_gpu_output *output, const struct timing *shown)
{
	uint8_t *at = block + 7, *end = block + BLOCK_BYTES - 1;
	struct size size = size_of(output, shown);

	block[0] = 0x02;
	block[1] = 0x03;
	block[2] = 7;
	block[3] = 0x80; /* underscan */
	/* Video capability: all of the picture is seen, and the range of RGB can be chosen. */
	block[4] = 7 << 5 | 2;
	block[5] = 0;
	block[6] = 0x4a;
	for (size_t i = 0; i < ARRAY_SIZE(modes) && at + DESCRIPTOR_BYTES <= end; i++) {
		const struct timing t = timing_of(modes[i].width, modes[i].height, DEFAULT_HZ);

		if (!offers_detailed(&modes[i], shown))
			continue;
		put_detailed(at, &t, &size);
		at += DESCRIPTOR_BYTES;
	}
	seal(block, BLOCK_BYTES);
}

static uint8_t *put_u16(uint8_t *at, uint32_t value)
{
	*at++ = (uint8_t)value;
	*at++ = (uint8_t)(value >> 8);
	return at;
}

static uint8_t *begin_block(uint8_t *at, uint8_t tag, uint8_t revision, uint8_t bytes)
{
	*at++ = tag;
	*at++ = revision;
	*at++ = bytes;
	return at;
}

/* DisplayID 1.3: what a detailed timing has no room for, and what has to be said with it. */
static void put_displayid(uint8_t *block, unsigned scanout, const struct timing *t)
{
	uint64_t clock = min_u64(t->clock - 1, 0xffffff);
	uint8_t *at = begin_block(block + 5, 0x00, 0, 12); /* product */

	block[0] = 0x70;
	block[1] = 0x13;
	block[2] = 121;
	block[3] = 0x03; /* a monitor */
	memcpy(at, "VHU", 3);
	at[3] = 1;
	at[5] = (uint8_t)(scanout + 1);
	at[10] = 2026 - 2000;
	at = begin_block(at + 12, 0x01, 0, 12); /* parameters */
	put_u16(put_u16(at + 4, t->width), t->height);
	at[9] = 120; /* gamma 2.2 */
	at[11] = 0x77; /* 8 bits a colour */
	at = begin_block(at + 12, 0x0f, 0, 10); /* interface: DisplayPort */
	at[0] = 0x91;
	at = begin_block(at + 10, 0x03, 1, 20); /* a timing of type I */
	at = put_u16(at, (uint32_t)clock);
	*at++ = (uint8_t)(clock >> 16);
	*at++ = 0x88; /* preferred; the aspect is not said */
	at = put_u16(at, t->width - 1);
	at = put_u16(at, t->h_blank - 1);
	at = put_u16(at, (H_FRONT - 1) | 0x8000);
	at = put_u16(at, H_SYNC - 1);
	at = put_u16(at, t->height - 1);
	at = put_u16(at, t->v_blank - 1);
	at = put_u16(at, V_FRONT - 1);
	put_u16(at, t->v_sync - 1);
	seal(block + 1, BLOCK_BYTES - 2);
	seal(block, BLOCK_BYTES);
}

size_t vhu_gpu_edid_make(const struct vhu_gpu_output *output, unsigned scanout, uint32_t width,
			 uint32_t height, uint8_t ret_edid[VHU_GPU_EDID_BYTES_MAX])
{
	uint32_t hz = output->refresh_hz ? output->refresh_hz : DEFAULT_HZ;
	struct timing shown = timing_of((uint32_t)max_u64(width, VHU_GPU_OUTPUT_SIDE_MIN),
					(uint32_t)max_u64(height, VHU_GPU_OUTPUT_SIDE_MIN), hz);
	struct timing plain = shown;
	/* CTA-861 wants 640x480. */
	bool has_cta = shown.width >= 640 && shown.height >= 480;
	size_t n = 1;

	/* The largest usual one in its place. */
	for (size_t i = 0; !is_plain(&plain) && i < ARRAY_SIZE(modes); i++)
		if (offers(&modes[i], &shown))
			plain = timing_of(modes[i].width, modes[i].height, DEFAULT_HZ);
	if (!is_plain(&plain))
		plain = timing_of((uint32_t)min_u64(shown.width, 1920),
				  (uint32_t)min_u64(shown.height, 1080), DEFAULT_HZ);
	memset(ret_edid, 0, VHU_GPU_EDID_BYTES_MAX);
	if (has_cta)
		put_cta(ret_edid + BLOCK_BYTES * n++, output, &shown);
	if (!is_plain(&shown))
		put_displayid(ret_edid + BLOCK_BYTES * n++, scanout, &shown);
	put_base(ret_edid, output, scanout, &shown, &plain, (unsigned)n - 1);
	return BLOCK_BYTES * n;
}
