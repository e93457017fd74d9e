/* SPDX-License-Identifier: BSD-3-Clause */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/num.h"
#include "devices/gpu/gpu.h"

#define REFRESH_HZ_MIN 24
#define REFRESH_HZ_MAX 500
/* What an EDID can say: it has whole centimetres in a byte, and below 10 they are not believed. */
#define SIDE_MM_MIN 100
#define SIDE_MM_MAX 2559

/*
 * 16 outputs of 3840x2160, each drawn on twofold, are 1012.5 MiB; what the guest does not draw on
 * costs nothing.
 */
const struct vhu_gpu_options vhu_gpu_defaults = {
	.max_fps = 60,
	.max_resource_mem = 1ull << 30,
	.max_resources = 65536,
};

/* --- --output ------------------------------------------------------------------------------- */

/* Moves *at past a number. */
static bool take_number(const char **at, uint32_t min, uint32_t max, uint32_t *ret_number)
{
	uint32_t number = 0;

	for (; isdigit((unsigned char)**at); ++*at) {
		number = number * 10 + (uint32_t)(**at - '0');
		if (number > max)
			return false;
	}
	*ret_number = number;
	return number >= min;
}

static bool take_word(const char **at, const char *word)
{
	size_t len = strlen(word);

	if (strncmp(*at, word, len) != 0)
		return false;
	*at += len;
	return true;
}

static bool take_size(const char **at, uint32_t min, uint32_t max, uint32_t *ret_width,
		      uint32_t *ret_height)
{
	return take_number(at, min, max, ret_width) && take_word(at, "x") &&
	       take_number(at, min, max, ret_height);
}

/* What an EDID can hold. */
static bool take_text(const char **at, char ret_text[14])
{
	size_t len = strcspn(*at, ",");

	if (!len || len > 13 || **at == ' ' || (*at)[len - 1] == ' ')
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
	       take_size(at, SIDE_MM_MIN, SIDE_MM_MAX, &output->width_mm, &output->height_mm);
}

int vhu_gpu_output_parse(const char *text, struct vhu_gpu_output *ret_output, const char **ret_why)
{
	struct vhu_gpu_output output = { .refresh_hz = 0 };
	const char *at = text;

	*ret_why = "WxH, 64 to 16384 each, or WxH@HZ, 24 to 500; behind it, with commas, name= "
		   "and serial= of 1 to 13 characters, mm=WxH, 100 to 2559 each";
	if (!take_size(&at, VHU_GPU_OUTPUT_SIDE_MIN, VHU_GPU_SIDE_MAX, &output.width,
		       &output.height))
		return -EINVAL;
	if (take_word(&at, "@") &&
	    !take_number(&at, REFRESH_HZ_MIN, REFRESH_HZ_MAX, &output.refresh_hz))
		return -EINVAL;
	while (*at)
		if (!take_word(&at, ",") || !take_property(&at, &output))
			return -EINVAL;
	*ret_output = output;
	return 0;
}

/* --- together ------------------------------------------------------------------------------- */

typedef const struct vhu_gpu_options options;

/* The outputs behind the first have the ports behind it. */
static bool is_port(options *o, const char *text)
{
	uint64_t port;

	return vhu_parse_u64(text, 1, 65536 - max_u64(o->n_outputs, 1), &port) == 0;
}

static bool on_port(options *o)
{
	const char *at = o->vnc;

	return at && take_word(&at, "127.0.0.1:") && is_port(o, at);
}

static bool bad_vnc(options *o)
{
	const char *at = o->vnc;

	return at && !on_port(o) && !(take_word(&at, "unix:") && *at);
}

static bool input_without_vnc(options *o)
{
	return o->vnc_input && !o->vnc;
}

static bool password_without_vnc(options *o)
{
	return o->vnc_password_file && !o->vnc;
}

static bool open_to_all(options *o)
{
	return on_port(o) && !o->vnc_password_file;
}

static const struct {
	bool (*is_wrong)(options *o);
	const char *why;
} rules[] = {
	{ bad_vnc, "--vnc is unix:PATH or 127.0.0.1:PORT, with a port for each output" },
	{ input_without_vnc, "--vnc-input is for who looks by --vnc" },
	{ password_without_vnc, "--vnc-password-file is for --vnc" },
	{ open_to_all, "whoever is on this machine could look at --vnc 127.0.0.1:PORT: give "
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
