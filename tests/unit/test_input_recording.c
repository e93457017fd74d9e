/* SPDX-License-Identifier: BSD-3-Clause */

/* Recordings as evemu writes them, and what is none. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/num.h"
#include "devices/input/recording.h"
#include "tests/unit/capture.h"

static const char whole[] = "# EVEMU 1.3\n"
			    "# Kernel: 6.1\n"
			    "N: A touch screen\n"
			    "I: 0003 1234 abcd 0111\n"
			    "P: 02 00 00 00 00 00 00 00\n"
			    "B: 00 0b 00 12 00 00 00 00 00\n"
			    "B: 01 00 00 00 00 00 00 00 00\n"
			    "B: 01 00 04 00 00 00 00 00 00\n"
			    "B: 03 03 00 00 00 00 80 00 00\n"
			    "A: 00 -5 4095 1 2 30\n"
			    "A: 01 0 4095 0 0\n"
			    "A: 2f 0 9 0 0 0\n"
			    "L: 01 1\n"
			    "S: 00 1\n"
			    "\n"
			    "E: 1398319532.000345 0003 0000 -7\t# EV_ABS / ABS_X -7\n"
			    "E: 1398319532.000345 0000 0000 0\r\n"
			    "E: 1398319531.000000 0001 014a 1\n"
			    "E: 1398319533.5 0000 0000 0\n";

static char path[] = "/tmp/vhu-recording.XXXXXX";

static int read_text(const char *text, size_t len, struct vhu_input_recording *ret_recording)
{
	FILE *file = fopen(path, "w");
	int r;

	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, len, file), len);
	assert_int_equal(fclose(file), 0);
	r = vhu_input_recording_read(path, ret_recording);
	return r;
}

static void a_whole_one(void **state)
{
	struct vhu_input_recording recording;
	const struct vhu_input_ident *ident = &recording.ident;

	(void)state;
	assert_int_equal(read_text(whole, strlen(whole), &recording), 0);
	assert_string_equal(ident->name, "A touch screen");
	assert_int_equal(ident->ids.bustype, 3);
	assert_int_equal(ident->ids.vendor, 0x1234);
	assert_int_equal(ident->ids.product, 0xabcd);
	assert_int_equal(ident->ids.version, 0x111);
	assert_int_equal(ident->props[0], 2);
	assert_true(vhu_input_ident_has(ident, EV_KEY, 64 + 10));
	assert_true(vhu_input_ident_has(ident, EV_ABS, ABS_Y));
	assert_int_equal(vhu_input_ident_slots(ident), 10);
	assert_true(vhu_input_ident_has(ident, EV_REP, REP_PERIOD));
	assert_int_equal(ident->abs[ABS_X].minimum, -5);
	assert_int_equal(ident->abs[ABS_X].resolution, 30);
	assert_int_equal(ident->abs[ABS_Y].resolution, 0);
	assert_int_equal(recording.state.switches[0], 1);
	assert_int_equal(recording.n, 4);
	assert_int_equal(recording.events[0].event.value, -7);
	assert_int_equal(recording.events[0].time_ns, 1398319532000345000);
	/* The clock was set. */
	assert_int_equal(recording.events[2].time_ns, 1398319532000345000);
	assert_int_equal(recording.events[3].time_ns, 1398319533500000000);
	assert_int_equal(recording.events[2].event.code, 0x14a);
	vhu_input_recording_free(&recording);
}

/* Wherever it is cut, it is read up to its last whole packet, or refused. */
static void cut_short(void **state)
{
	struct vhu_input_recording recording;

	(void)state;
	for (size_t len = 0; len < strlen(whole); len++) {
		struct capture said;
		const char *text;
		int r;

		capture_begin(&said, STDERR_FILENO);
		r = read_text(whole, len, &recording);
		text = capture_end(&said);
		assert_true(r == 0 || r == -EINVAL);
		assert_true(r == 0 || strstr(text, "does not say what device it is of"));
		if (r < 0)
			continue;
		assert_true(recording.n % 2 == 0);
		vhu_input_recording_free(&recording);
	}
}

static void wrong_lines(void **state)
{
	static const char *const lines[] = {
		"x",
		"E: 0.0",
		"E: 0.0 0001 0001",
		"E: 0 0001 0001 1",
		"E: 0.0 0020 0001 1",
		"E: 0.0 0001 10000 1",
		"E: 0.0 0001 0001 2147483648",
		"E: 0.0 0001 0001 1 1",
		"E: -1.0 0001 0001 1",
		"E: 99999999999999999999.0 0001 0001 1",
		"I: 0 0 0",
		"I: 0 0 0 10000",
		"P: 100",
		"B: 20 00",
		"B: 01 0x",
		"A: 40 0 1 0 0 0",
		"A: 00 1 0 0 0 0",
		"A: 00 0 1 0",
		"A: 00 0 1 0 0 0 0",
		"S: 00 2",
		"S: 11 1",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		struct vhu_input_recording recording;
		char file[sizeof(whole) + 64];
		struct capture said;
		const char *text;
		int n = snprintf(file, sizeof(file), "%s%s\n%s", whole, lines[i], "E: 1.0 0 0 0\n");
		int r;

		capture_begin(&said, STDERR_FILENO);
		r = read_text(file, (size_t)n, &recording);
		text = capture_end(&said);
		if (r != -EINVAL || !strstr(text, ": line 20 "))
			fail_msg("%s: %d %s", lines[i], r, text);
	}
}

/* Some devices have none, and --record says so. */
static void no_name(void **state)
{
	static const char text[] = "N: \nI: 0003 0001 0001 0001\nB: 00 0b\n";
	struct vhu_input_recording recording;

	(void)state;
	assert_int_equal(read_text(text, sizeof(text) - 1, &recording), 0);
	assert_string_equal(recording.ident.name, "");
	vhu_input_recording_free(&recording);
}

static void what_is_no_text(void **state)
{
	struct vhu_input_recording recording;
	char *line = malloc(100000);
	struct capture said;
	const char *text;

	(void)state;
	capture_begin(&said, STDERR_FILENO);
	memset(line, 'N', 100000);
	assert_int_equal(read_text(line, 100000, &recording), -EINVAL);
	memset(line, 0, 100000);
	assert_int_equal(read_text(line, 100000, &recording), -EINVAL);
	assert_int_equal(read_text("N: x\nE\0\n", 8, &recording), -EINVAL);
	assert_int_equal(vhu_input_recording_read("/dev/zero", &recording), -EINVAL);
	assert_int_equal(vhu_input_recording_read("/", &recording), -EIO);
	assert_int_equal(vhu_input_recording_read("/dev/null", &recording), -EINVAL);
	assert_int_equal(vhu_input_recording_read("/nothing", &recording), -ENOENT);
	text = capture_end(&said);
	assert_non_null(strstr(text, "line 1 is too long, or no text"));
	assert_non_null(strstr(text, "Is a directory"));
	free(line);
}

static int make_path(void **state)
{
	int fd = mkstemp(path);

	(void)state;
	if (fd < 0)
		return -1;
	close(fd);
	return 0;
}

static int remove_path(void **state)
{
	(void)state;
	return unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_whole_one),
		cmocka_unit_test(cut_short),
		cmocka_unit_test(wrong_lines),
		cmocka_unit_test(no_name),
		cmocka_unit_test(what_is_no_text),
	};

	return cmocka_run_group_tests(tests, make_path, remove_path);
}
