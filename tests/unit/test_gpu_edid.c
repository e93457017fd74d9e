/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * What monitors say of themselves: read back by a reader that shares nothing with what wrote it,
 * and held against the specifications by edid-decode.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/num.h"
#include "devices/gpu/edid.h"

#define SKIPPED 77
#define MODES_MAX 64
#define SCANOUT 3

/* --- a reader ------------------------------------------------------------------------------- */

struct mode {
	unsigned width, height;
	double hz; /* 0: not said */
};

struct reading {
	struct mode preferred, modes[MODES_MAX];
	unsigned n_modes;
	char name[14], serial[14];
	unsigned serial_number, width_mm, height_mm;
};

static unsigned u16(const uint8_t *at)
{
	return at[0] | (unsigned)at[1] << 8;
}

static void add(struct reading *r, unsigned width, unsigned height, double hz)
{
	assert_true(r->n_modes < MODES_MAX);
	r->modes[r->n_modes++] = (struct mode){ width, height, hz };
}

struct half {
	unsigned active, blank, front, sync; /* pixels, or lines */
};

/* VESA CVT, reduced blanking; more of it where pixels would be slower than 10 MHz. */
static void add_timing(struct reading *r, unsigned clock_10khz, struct half h, struct half v)
{
	double line_us = (h.active + h.blank) / (clock_10khz / 100.0);

	assert_true(h.blank == 160 || (h.blank > 160 && clock_10khz == 1000));
	assert_int_equal(h.front, 48);
	assert_int_equal(h.sync, 32);
	assert_int_equal(v.front, 3);
	assert_in_range(v.sync, 4, 10);
	assert_true(v.blank >= v.front + v.sync + 6);
	assert_true(v.blank * line_us >= 460);
	add(r, h.active, v.active, 1e6 / line_us / (v.active + v.blank));
}

static void read_text(const uint8_t *d, char *ret_text)
{
	size_t len = 0;

	while (len < 13 && d[5 + len] != '\n')
		len++;
	memcpy(ret_text, d + 5, len);
	ret_text[len] = '\0';
}

static void read_descriptor(struct reading *r, const uint8_t *d)
{
	const struct half h = { d[2] | (d[4] & 0xf0u) << 4, d[3] | (d[4] & 0x0fu) << 8,
				d[8] | (d[11] & 0xc0u) << 2, d[9] | (d[11] & 0x30u) << 4 };
	const struct half v = { d[5] | (d[7] & 0xf0u) << 4, d[6] | (d[7] & 0x0fu) << 8,
				d[10] >> 4 | (d[11] & 0x0cu) << 2,
				(d[10] & 0x0fu) | (d[11] & 0x03u) << 4 };

	if (u16(d)) {
		assert_int_equal(d[17], 0x1a); /* not interlaced; the syncs are digital */
		add_timing(r, u16(d), h, v);
	} else if (d[3] == 0xfc) {
		read_text(d, r->name);
	} else if (d[3] == 0xff) {
		read_text(d, r->serial);
	}
}

static void read_base(struct reading *r, const uint8_t *e)
{
	static const struct {
		unsigned byte, bit, width, height, hz;
	} established[] = {
		{ 35, 0, 800, 600, 60 },
		{ 35, 5, 640, 480, 60 },
		{ 36, 3, 1024, 768, 60 },
	};
	static const unsigned aspects[4][2] = { { 16, 10 }, { 4, 3 }, { 5, 4 }, { 16, 9 } };

	assert_memory_equal(e, "\0\xff\xff\xff\xff\xff\xff\0", 8);
	assert_int_equal(e[18] << 8 | e[19], 0x104);
	r->serial_number = u16(e + 12) | u16(e + 14) << 16;
	for (unsigned i = 54; i < 126; i += 18)
		read_descriptor(r, e + i);
	r->preferred = r->modes[0];
	r->width_mm = e[66] | (e[68] & 0xf0u) << 4;
	r->height_mm = e[67] | (e[68] & 0x0fu) << 8;
	assert_int_equal(e[21], r->width_mm / 10);
	assert_int_equal(e[22], r->height_mm / 10);
	for (size_t i = 0; i < ARRAY_SIZE(established); i++) {
		if (e[established[i].byte] & 1 << established[i].bit)
			add(r, established[i].width, established[i].height, established[i].hz);
	}
	for (unsigned i = 38; i < 54; i += 2) {
		const unsigned *aspect = aspects[e[i + 1] >> 6];
		unsigned width = (e[i] + 31u) * 8;

		if (e[i] != 1 || e[i + 1] != 1)
			add(r, width, width * aspect[1] / aspect[0], (e[i + 1] & 63) + 60);
	}
}

static void read_displayid(struct reading *r, const uint8_t *block)
{
	const uint8_t *end = block + 5 + block[2];

	for (const uint8_t *b = block + 5; b + 3 <= end && (b[0] || b[2]); b += 3 + b[2]) {
		const uint8_t *t = b + 3;

		if (b[0] != 0x03)
			continue;
		assert_int_equal(b[2], 20);
		assert_true(t[3] & 0x80); /* preferred */
		add_timing(r, (u16(t) | (unsigned)t[2] << 16) + 1,
			   (struct half){ u16(t + 4) + 1, u16(t + 6) + 1, (u16(t + 8) & 0x7fff) + 1,
					  u16(t + 10) + 1 },
			   (struct half){ u16(t + 12) + 1, u16(t + 14) + 1,
					  (u16(t + 16) & 0x7fff) + 1, u16(t + 18) + 1 });
		r->preferred = r->modes[r->n_modes - 1];
	}
}

static void read_edid(const uint8_t *edid, size_t bytes, struct reading *r)
{
	*r = (struct reading){ 0 };
	assert_true(bytes && bytes % 128 == 0 && bytes <= VHU_GPU_EDID_BYTES_MAX);
	assert_int_equal(edid[126], bytes / 128 - 1);
	for (const uint8_t *block = edid; block < edid + bytes; block += 128) {
		uint8_t sum = 0;

		for (unsigned i = 0; i < 128; i++)
			sum = (uint8_t)(sum + block[i]);
		assert_int_equal(sum, 0);
		if (block == edid)
			read_base(r, block);
		else if (block[0] == 0x70)
			read_displayid(r, block);
		else if (block[0] == 0x02)
			for (unsigned i = block[2]; i + 18 < 128 && u16(block + i); i += 18)
				read_descriptor(r, block + i);
		else
			fail_msg("a block of kind 0x%x", block[0]);
	}
}

/* --- edid-decode ---------------------------------------------------------------------------- */

static bool have_edid_decode;

/* Runs edid-decode; returns its exit status, with what it said in text. */
static int decode(const uint8_t *edid, size_t bytes, char *text, size_t max)
{
	int in = memfd_create("edid", MFD_CLOEXEC), out = memfd_create("said", MFD_CLOEXEC);
	ssize_t n;
	pid_t pid;
	int status;

	assert_true(in >= 0 && out >= 0);
	assert_int_equal(pwrite(in, edid, bytes, 0), bytes);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		if (dup2(in, STDIN_FILENO) >= 0 && dup2(out, STDOUT_FILENO) >= 0 &&
		    dup2(out, STDERR_FILENO) >= 0)
			execlp("edid-decode", "edid-decode", "--check", "--skip-hex-dump", NULL);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	n = pread(out, text, max - 1, 0);
	assert_true(n >= 0);
	text[n] = '\0';
	close(in);
	close(out);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/*
 * No failure, and no warning but one: nobody has given us the three letters of a vendor, so a
 * DisplayID has some that it does not know.
 */
static void check_decoded(const char *what, const uint8_t *edid, size_t bytes)
{
	static char text[32768];
	char *line, *rest;

	if (!have_edid_decode)
		return;
	if (decode(edid, bytes, text, sizeof(text)) != 0 ||
	    !strstr(text, "EDID conformity: PASS") || strstr(text, "Failures:"))
		fail_msg("%s: %s", what, text);
	line = strstr(text, "\nWarnings:\n");
	for (line = line ? strtok_r(line + 11, "\n", &rest) : NULL; line;
	     line = strtok_r(NULL, "\n", &rest)) {
		size_t len = strlen(line);

		if (!strncmp(line, "EDID conformity", 15))
			break;
		if (line[0] != ' ' && line[len - 1] == ':')
			continue; /* which block it is of */
		if (!strstr(line, "PNP ID 'VHU': Unknown OUI"))
			fail_msg("%s: %s", what, line);
	}
}

/* --- tests ---------------------------------------------------------------------------------- */

static const struct {
	unsigned width, height;
} usual[] = {
	{ 3840, 2160 }, { 2560, 1440 }, { 1920, 1080 }, { 1680, 1050 }, { 1600, 900 },
	{ 1440, 900 },	{ 1280, 1024 }, { 1280, 800 },	{ 1280, 720 },	{ 1024, 768 },
	{ 800, 600 },	{ 640, 480 },
};

static bool reads_mode(const struct reading *r, unsigned width, unsigned height)
{
	for (unsigned i = 0; i < r->n_modes; i++)
		if (r->modes[i].width == width && r->modes[i].height == height)
			return true;
	return false;
}

static void check_modes(const char *what, const struct reading *r, unsigned width, unsigned height,
			unsigned hz)
{
	if (r->preferred.width != width || r->preferred.height != height)
		fail_msg("%s: prefers %ux%u", what, r->preferred.width, r->preferred.height);
	if (r->preferred.hz < 0.995 * hz || r->preferred.hz > 1.005 * hz)
		fail_msg("%s: at %.2f Hz", what, r->preferred.hz);
	for (unsigned i = 0; i < r->n_modes; i++) {
		const struct mode *mode = &r->modes[i];

		if (mode->width > width || mode->height > height)
			fail_msg("%s: offers %ux%u", what, mode->width, mode->height);
		if (mode->hz < 23.9 || (mode->hz > 60.1 && mode->hz > 1.005 * hz))
			fail_msg("%s: offers %ux%u at %.2f Hz", what, mode->width, mode->height,
				 mode->hz);
	}
	for (size_t i = 0; i < ARRAY_SIZE(usual); i++)
		if (usual[i].width <= width && usual[i].height <= height &&
		    !reads_mode(r, usual[i].width, usual[i].height))
			fail_msg("%s: does not offer %ux%u", what, usual[i].width, usual[i].height);
}

static void check_output(const char *what, const struct vhu_gpu_output *output, uint32_t width,
			 uint32_t height, struct reading *ret_reading)
{
	uint8_t edid[VHU_GPU_EDID_BYTES_MAX];
	size_t bytes = vhu_gpu_edid_make(output, SCANOUT, width, height, edid);

	read_edid(edid, bytes, ret_reading);
	check_modes(what, ret_reading, (uint32_t)max_u64(width, VHU_GPU_OUTPUT_SIDE_MIN),
		    (uint32_t)max_u64(height, VHU_GPU_OUTPUT_SIDE_MIN),
		    output->refresh_hz ? output->refresh_hz : 60);
	check_decoded(what, edid, bytes);
}

static void sizes(void **state)
{
	static const char *const cases[] = {
		"64x64", "64x64@24", "64x64@500", "65x65", "320x240", "639x481", "640x480",
		"640x480@500", "800x480", "800x600", "1024x600", "1024x768", "1280x720", "1280x800",
		"1280x1024", "1366x768", "1367x769", "1440x900", "1600x900", "1600x1200",
		"1680x1050", "1920x1080", "1920x1080@24", "1920x1080@75", "1920x1080@144",
		"1920x1080@240", "1920x1080@500", "1920x1200", "2000x2000@24", "2048x1152",
		"2560x1080", "2560x1440", "2560x1440@165", "2560x1600", "3440x1440", "3840x1600",
		"3840x2160", "3840x2160@30", "3840x2160@75", "3840x2160@120", "4095x2160",
		"4095x2161@24", "4096x2160", "4095x4095", "4096x4096@30", "5120x1440", "5120x2880",
		"6016x3384", "7680x4320", "7680x4320@120", "8192x8192", "64x4095", "4095x64",
		"64x16384", "16384x64", "16384x64@500", "64x16384@500", "16384x16384",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct vhu_gpu_output output;
		struct reading r;
		const char *why;

		assert_int_equal(vhu_gpu_output_parse(cases[i], &output, &why), 0);
		check_output(cases[i], &output, output.width, output.height, &r);
		assert_string_equal(r.name, "vhu monitor");
		assert_string_equal(r.serial, "");
		assert_int_equal(r.serial_number, SCANOUT + 1);
	}
}

/* What no option says, but a front-end may. */
static void sizes_of_a_front_end(void **state)
{
	static const struct vhu_gpu_output output;
	static const uint32_t cases[][2] = { { 1, 1 }, { 1, 16384 }, { 16384, 1 }, { 63, 1000 } };
	struct reading r;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		check_output("of a front-end", &output, cases[i][0], cases[i][1], &r);
}

/* As fast as a DisplayID can say. */
static void too_fast_to_be_said(void **state)
{
	static const struct vhu_gpu_output output = { .refresh_hz = 500 };
	uint8_t edid[VHU_GPU_EDID_BYTES_MAX];
	struct reading r;

	(void)state;
	read_edid(edid, vhu_gpu_edid_make(&output, 0, 16384, 16384, edid), &r);
	assert_int_equal(r.preferred.width, 16384);
	assert_true(r.preferred.hz > 470 && r.preferred.hz < 500);
}

static void texts_and_millimetres(void **state)
{
	static const struct {
		const char *text, *name, *serial;
		unsigned serial_number, width_mm, height_mm;
	} cases[] = {
		/* 96 pixels an inch */
		{ "1920x1080", "vhu monitor", "", SCANOUT + 1, 508, 285 },
		{ "1920x1080,name=a", "a", "", SCANOUT + 1, 508, 285 },
		{ "1920x1080,name=On the = left,serial=0123456789abc", "On the = left",
		  "0123456789abc", 0, 508, 285 },
		{ "1920x1080,mm=2559x100", "vhu monitor", "", SCANOUT + 1, 2559, 100 },
		{ "3840x2160,mm=600x340,serial=7", "vhu monitor", "7", 0, 600, 340 },
		{ "7680x4320,mm=1872x1053,serial=7", "vhu monitor", "7", 0, 1872, 1053 },
		/* Unknown: smaller or larger than there is a place for. */
		{ "320x200", "vhu monitor", "", SCANOUT + 1, 0, 0 },
		{ "16384x4096", "vhu monitor", "", SCANOUT + 1, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct vhu_gpu_output output;
		struct reading r;
		const char *why;

		assert_int_equal(vhu_gpu_output_parse(cases[i].text, &output, &why), 0);
		check_output(cases[i].text, &output, output.width, output.height, &r);
		assert_string_equal(r.name, cases[i].name);
		assert_string_equal(r.serial, cases[i].serial);
		assert_int_equal(r.serial_number, cases[i].serial_number);
		assert_int_equal(r.width_mm, cases[i].width_mm);
		assert_int_equal(r.height_mm, cases[i].height_mm);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes),
		cmocka_unit_test(sizes_of_a_front_end),
		cmocka_unit_test(too_fast_to_be_said),
		cmocka_unit_test(texts_and_millimetres),
	};
	char text[64];
	int failed;

	have_edid_decode = decode((const uint8_t *)"", 1, text, sizeof(text)) != 127;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	return failed || have_edid_decode ? failed : SKIPPED;
}
