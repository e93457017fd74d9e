/* SPDX-License-Identifier: BSD-3-Clause */

/* The words of vhu-gpu's command line: what they come to, and what is not taken. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/num.h"
#include "devices/gpu/gpu.h"
#include "tests/unit/capture.h"

static void outputs(void **state)
{
	static const struct {
		const char *text;
		struct vhu_gpu_output is;
	} cases[] = {
		{ "1280x800", { .width = 1280, .height = 800 } },
		{ "64x64", { .width = 64, .height = 64 } },
		{ "16384x16384@500", { .width = 16384, .height = 16384, .refresh_hz = 500 } },
		{ "1366x768@24", { .width = 1366, .height = 768, .refresh_hz = 24 } },
		{ "800x600,name=a", { .width = 800, .height = 600, .name = "a" } },
		{ "800x600@60,serial=0123456789abc,name=On the = left",
		  { .width = 800, .height = 600, .refresh_hz = 60, .name = "On the = left",
		    .serial = "0123456789abc" } },
		{ "3840x2160,mm=2559x100",
		  { .width = 3840, .height = 2160, .width_mm = 2559, .height_mm = 100 } },
		{ "800x600,name=a,name=b,mm=300x190",
		  { .width = 800, .height = 600, .name = "b", .width_mm = 300,
		    .height_mm = 190 } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct vhu_gpu_output got;
		const char *why;

		memset(&got, 0xff, sizeof(got));
		if (vhu_gpu_output_parse(cases[i].text, &got, &why) < 0)
			fail_msg("\"%s\" is not taken: %s", cases[i].text, why);
		assert_int_equal(got.width, cases[i].is.width);
		assert_int_equal(got.height, cases[i].is.height);
		assert_int_equal(got.refresh_hz, cases[i].is.refresh_hz);
		assert_int_equal(got.width_mm, cases[i].is.width_mm);
		assert_int_equal(got.height_mm, cases[i].is.height_mm);
		assert_string_equal(got.name, cases[i].is.name);
		assert_string_equal(got.serial, cases[i].is.serial);
	}
}

static void no_outputs(void **state)
{
	static const char *const cases[] = {
		"", "x", "1280", "1280x", "x800", "1280x800x", "1280X800", "63x64", "64x63",
		"16385x64", "64x16385", "4294968576x800", "-1280x800", " 1280x800", "1280x800 ",
		"1280x800@", "1280x800@23", "1280x800@501", "1280x800@60Hz", "1280x800@59.9",
		"1280x800,", "1280x800,,name=a", "1280x800,name", "1280x800,name=",
		"1280x800,name=0123456789abcd", "1280x800,name= a", "1280x800,name=a ",
		"1280x800,name=\x7f", "1280x800,name=\xc3\xa4", "1280x800,serial=",
		"1280x800,serial=a\nb", "1280x800,mm=", "1280x800,mm=99x100", "1280x800,mm=100x99",
		"1280x800,mm=2560x100", "1280x800,mm=300", "1280x800,mm=300x200mm",
		"1280x800,depth=24", "name=a,1280x800", "1280x800name=a",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct vhu_gpu_output got = { .width = 77 };
		const char *why = NULL;

		if (vhu_gpu_output_parse(cases[i], &got, &why) == 0)
			fail_msg("\"%s\" is taken", cases[i]);
		assert_non_null(why);
		assert_int_equal(got.width, 77);
	}
}

static void rules(void **state)
{
	static const struct {
		const char *vnc, *password_file, *input;
		unsigned n_outputs;
		const char *says; /* NULL: right */
	} cases[] = {
		{ 0 },
		{ .vnc = "unix:vnc.sock" },
		{ .vnc = "unix:vnc.sock", .password_file = "secret", .input = "input.sock" },
		{ .vnc = "127.0.0.1:5900", .password_file = "secret" },
		{ .vnc = "127.0.0.1:65535", .password_file = "secret" },
		{ .vnc = "127.0.0.1:65520", .password_file = "secret", .n_outputs = 16 },
		{ .vnc = "127.0.0.1:65521", .password_file = "secret", .n_outputs = 16,
		  .says = "--vnc is unix:PATH or" },
		{ .vnc = "", .says = "--vnc is unix:PATH or" },
		{ .vnc = "unix:", .says = "--vnc is unix:PATH or" },
		{ .vnc = "vnc.sock", .says = "--vnc is unix:PATH or" },
		{ .vnc = "127.0.0.1", .password_file = "secret", .says = "--vnc is unix:PATH or" },
		{ .vnc = "127.0.0.1:0", .password_file = "secret", .says = "--vnc is unix:PATH" },
		{ .vnc = "127.0.0.1:65536", .password_file = "s", .says = "--vnc is unix:PATH" },
		{ .vnc = "0.0.0.0:5900", .password_file = "secret", .says = "--vnc is unix:PATH" },
		{ .vnc = ":5900", .password_file = "secret", .says = "--vnc is unix:PATH or" },
		{ .vnc = "127.0.0.1:5900", .says = "give --vnc-password-file" },
		{ .password_file = "secret", .says = "--vnc-password-file is for --vnc" },
		{ .input = "input.sock", .says = "--vnc-input is for" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct vhu_gpu_options o = vhu_gpu_defaults;
		struct capture said;
		int r;

		o.vnc = cases[i].vnc;
		o.vnc_password_file = cases[i].password_file;
		o.vnc_input = cases[i].input;
		o.n_outputs = cases[i].n_outputs;
		capture_begin(&said, STDERR_FILENO);
		r = vhu_gpu_options_check(&o);
		if (cases[i].says)
			capture_end_line(&said, cases[i].says);
		else
			assert_string_equal(capture_end(&said), "");
		assert_int_equal(r < 0, cases[i].says != NULL);
	}
}

/* Sixteen outputs of 4K, drawn on twofold. */
static void defaults_are_enough(void **state)
{
	(void)state;
	assert_true(vhu_gpu_defaults.max_resource_mem >=
		    2ull * VHU_GPU_OUTPUTS_MAX * 4 * 3840 * 2160);
	assert_int_equal(vhu_gpu_options_check(&vhu_gpu_defaults), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(outputs),
		cmocka_unit_test(no_outputs),
		cmocka_unit_test(rules),
		cmocka_unit_test(defaults_are_enough),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
