/* SPDX-License-Identifier: BSD-3-Clause */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/num.h"
#include "devices/gpu/gpu.h"

#define REFRESH_HZ_MAX 1000
#define SIDE_MM_MAX 100000

/* Four screens of 4K that are drawn on twofold, and as much again for all that is small. */
const struct vhu_gpu_options vhu_gpu_defaults = {
	.max_fps = 60,
	.max_resource_mem = 512ull << 20,
	.max_resources = 65536,
};

/* --- --output ------------------------------------------------------------------------------- */

/* Moves *at past a number from 1 to max. */
static bool take_number(const char **at, uint32_t max, uint32_t *ret_number)
{
	uint64_t number = 0;

	if (!isdigit((unsigned char)**at))
		return false;
	for (; isdigit((unsigned char)**at); ++*at) {
		number = number * 10 + (uint64_t)(**at - '0');
		if (number > max)
			return false;
	}
	*ret_number = (uint32_t)number;
	return number;
}

static bool take_size(const char **at, uint32_t max, uint32_t *ret_width, uint32_t *ret_height)
{
	return take_number(at, max, ret_width) && *(*at)++ == 'x' &&
	       take_number(at, max, ret_height);
}

static bool take_word(const char **at, const char *word)
{
	size_t len = strlen(word);

	if (strncmp(*at, word, len) != 0)
		return false;
	*at += len;
	return true;
}

/* What an EDID can hold: 1 to 13 characters that can be printed. */
static bool take_text(const char **at, char ret_text[14])
{
	size_t len = strcspn(*at, ",");

	if (!len || len > 13)
		return false;
	for (size_t i = 0; i < len; i++)
		if ((*at)[i] < ' ' || (*at)[i] > '~')
			return false;
	memcpy(ret_text, *at, len);
	ret_text[len] = '\0';
	*at += len;
	return true;
}

static bool take_property(const char **at, struct vhu_gpu_output *output)
{
	if (take_word(at, "name="))
		return take_text(at, output->name);
	if (take_word(at, "serial="))
		return take_text(at, output->serial);
	return take_word(at, "mm=") &&
	       take_size(at, SIDE_MM_MAX, &output->width_mm, &output->height_mm);
}

int vhu_gpu_output_parse(const char *text, struct vhu_gpu_output *ret_output, const char **ret_why)
{
	struct vhu_gpu_output output = { .refresh_hz = 0 };
	const char *at = text;

	*ret_why = "WIDTHxHEIGHT, 1 to 16384 each, or with @HZ; behind it, with commas, name= and "
		   "serial= of 1 to 13 characters, mm=WIDTHxHEIGHT";
	if (!take_size(&at, VHU_GPU_SIDE_MAX, &output.width, &output.height))
		return -EINVAL;
	if (*at == '@' && (at++, !take_number(&at, REFRESH_HZ_MAX, &output.refresh_hz)))
		return -EINVAL;
	while (*at)
		if (*at++ != ',' || !take_property(&at, &output))
			return -EINVAL;
	*ret_output = output;
	return 0;
}

/* --- together ------------------------------------------------------------------------------- */

typedef const struct vhu_gpu_options options;

static bool input_without_vnc(options *o)
{
	return o->vnc_input && !o->vnc;
}

static bool password_without_vnc(options *o)
{
	return o->vnc_password_file && !o->vnc;
}

static bool vnc_is_a_path(options *o)
{
	return !strncmp(o->vnc, "unix:", strlen("unix:"));
}

static bool open_vnc(options *o)
{
	return o->vnc && !vnc_is_a_path(o) && !o->vnc_password_file;
}

static const struct {
	bool (*is_wrong)(options *o);
	const char *why;
} rules[] = {
	{ input_without_vnc, "--vnc-input is for who looks by --vnc" },
	{ password_without_vnc, "--vnc-password-file is for --vnc" },
	{ open_vnc, "whoever is on this machine could look at --vnc 127.0.0.1:PORT: give "
		    "--vnc-password-file, or --vnc unix:PATH" },
};

int vhu_gpu_options_check(const struct vhu_gpu_options *o)
{
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
		if (rules[i].is_wrong(o)) {
			vhu_error("%s", rules[i].why);
			return -EINVAL;
		}
	}
	return 0;
}
