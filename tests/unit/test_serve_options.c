/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/num.h"
#include "common/serve/options.h"
#include "tests/unit/capture.h"

struct disk {
	bool read_only;
	const char *file;
	uint64_t queues, size;
	unsigned engine;
	unsigned n_tags;
};

struct place {
	const char *path;
};

static const char *const engines[] = { "auto", "mmap", "sync", NULL };

static int parse_tag(const struct vhu_option *option, void *field, const char *text,
		     const char **ret_why)
{
	(void)option;
	if (strcmp(text, "bad") == 0) {
		*ret_why = "a good tag";
		return -EINVAL;
	}
	++*(unsigned *)field;
	return 0;
}

#define DISK(field) offsetof(struct disk, field)
static const struct vhu_option disk_rows[] = {
	{ .name = "read-only", .letter = 'r', .help = "nothing is written",
	  .parse = vhu_option_flag, .offset = DISK(read_only) },
	{ .name = "blk-file", .alias = "file", .letter = 'b', .argument = "SPEC",
	  .help = "the image", .parse = vhu_option_text, .offset = DISK(file) },
	{ .name = "num-queues", .argument = "N", .help = "how many",
	  .parse = vhu_option_number, .offset = DISK(queues), .min = 1, .max = 64 },
	{ .name = "size", .argument = "SIZE", .parse = vhu_option_size, .offset = DISK(size),
	  .help = "a text that is longer than what is left of one line, so that it goes on in "
		  "the next one and even after that\nbegins anew",
	  .min = 512, .max = 1ull << 40 },
	{ .name = "engine", .argument = "NAME", .help = "how", .parse = vhu_option_choice,
	  .offset = DISK(engine), .words = engines },
	{ .name = "tag", .argument = "TAG", .help = "a mark", .parse = parse_tag,
	  .offset = DISK(n_tags), .repeats = true },
};
static const struct vhu_option place_rows[] = {
	{ .name = "socket-path", .alias = "socket", .argument = "PATH", .help = "where",
	  .parse = vhu_option_text, .offset = offsetof(struct place, path) },
};

static struct disk disk;
static struct place place;
static const struct vhu_option_table tables[] = {
	{ "Disk", disk_rows, ARRAY_SIZE(disk_rows), &disk },
	{ "Place", place_rows, ARRAY_SIZE(place_rows), &place },
};

static int reset(void **state)
{
	(void)state;
	disk = (struct disk){ 0 };
	place = (struct place){ 0 };
	return 0;
}

#define WORDS(...) ((char *[]){ "program", __VA_ARGS__, NULL })

static int parse(char **words, int *ret_used)
{
	int n = 0;

	while (words[n])
		n++;
	return vhu_options_parse(n, words, tables, ARRAY_SIZE(tables), ret_used);
}

static void test_values_arrive(void **state)
{
	int used;

	(void)state;
	assert_int_equal(parse(WORDS("--read-only", "--blk-file", "/a b", "--num-queues=64",
				     "--size", "10G", "--engine=sync", "--socket-path", "s"),
			       &used), 0);
	assert_int_equal(used, 10);
	assert_true(disk.read_only);
	assert_string_equal(disk.file, "/a b");
	assert_int_equal(disk.queues, 64);
	assert_int_equal(disk.size, 10ull << 30);
	assert_int_equal(disk.engine, 2);
	assert_string_equal(place.path, "s");
}

static void test_other_ways_to_write(void **state)
{
	int used;

	(void)state;
	assert_int_equal(parse(WORDS("-r", "--file=--odd=name", "--socket", "-"), &used), 0);
	assert_true(disk.read_only);
	assert_string_equal(disk.file, "--odd=name");
	assert_string_equal(place.path, "-");
	reset(NULL);
	assert_int_equal(parse(WORDS("-b", "a", "-r"), &used), 0);
	assert_true(disk.read_only);
	assert_string_equal(disk.file, "a");
	assert_int_equal(parse(WORDS("-b=-r"), &used), 0);
	assert_string_equal(disk.file, "-r");
}

static void test_next_splits(void **state)
{
	char **words = WORDS("--file", "a", "--next", "--file", "b", "--read-only");
	int used;

	(void)state;
	assert_int_equal(vhu_options_parse(7, words, tables, 2, &used), 0);
	assert_int_equal(used, 4);
	assert_string_equal(disk.file, "a");
	assert_false(disk.read_only);
	assert_int_equal(vhu_options_parse(7 - (used - 1), words + used - 1, tables, 2, &used), 0);
	assert_int_equal(used, 4);
	assert_string_equal(disk.file, "b");
	assert_true(disk.read_only);
}

static void test_repeats(void **state)
{
	int used;

	(void)state;
	assert_int_equal(parse(WORDS("--tag", "a", "--tag=b", "-r", "-r"), &used), 0);
	assert_int_equal(disk.n_tags, 2);
}

struct bad_line {
	char *words[6];
	const char *said;
};

static void test_bad_lines(void **state)
{
	static struct bad_line lines[] = {
		{ { "p", "--num-queues", "0" }, "--num-queues '0': must be a number from 1 to 64" },
		{ { "p", "--num-queues", "65" }, "a number from 1 to 64" },
		{ { "p", "--num-queues=4x" }, "a number from 1 to 64" },
		{ { "p", "--num-queues=" }, "a number from 1 to 64" },
		{ { "p", "--num-queues=-1" }, "a number from 1 to 64" },
		{ { "p", "--num-queues=99999999999999999999999" }, "a number from 1 to 64" },
		{ { "p", "--size", "511" }, "a size from 512 to 1T" },
		{ { "p", "--size", "2T" }, "a size from 512 to 1T" },
		{ { "p", "--engine", "fast" }, "must be one of auto, mmap, sync" },
		{ { "p", "--tag", "bad" }, "--tag 'bad': must be a good tag" },
		{ { "p", "--file", "" }, "must be a text that is not empty" },
		{ { "p", "--file" }, "--blk-file needs a value: SPEC" },
		{ { "p", "--file", "--read-only" }, "--blk-file needs a value: SPEC" },
		{ { "p", "--read-only=yes" }, "--read-only takes no value" },
		{ { "p", "--file", "a", "--blk-file", "b" }, "--blk-file is given twice" },
		{ { "p", "--read-onyl" }, "did you mean --read-only?" },
		{ { "p", "--sockett", "s" }, "unknown option --sockett: did you mean --socket?" },
		{ { "p", "--queues=2" }, "unknown option --queues; --help lists them" },
		{ { "p", "--read" }, "did you mean --read-only?" },
		{ { "p", "--xyzzy=1" }, "unknown option --xyzzy; --help lists them" },
		{ { "p", "-read-only" }, "did you mean --read-only?" },
		{ { "p", "--r" }, "unknown option --r; --help" },
		{ { "p", "-rb", "a" }, "unknown option -rb; --help" },
		{ { "p", "-b" }, "--blk-file needs a value: SPEC" },
		{ { "p", "-b", "--read-only" }, "--blk-file needs a value: SPEC" },
		{ { "p", "-b", "a", "--file", "b" }, "--blk-file is given twice" },
		{ { "p", "-r=1" }, "--read-only takes no value" },
		{ { "p", "-x" }, "unknown option -x; --help" },
		{ { "p", "image" }, "'image' stands alone" },
		{ { "p", "--" }, "unknown option --; --help" },
		{ { "p", "-" }, "'-' stands alone" },
		{ { "p", "" }, "'' stands alone" },
		{ { "p", "--read-only", "--next" }, "--next: no device follows" },
	};
	struct capture capture;
	int used = -7, r;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		reset(NULL);
		capture_begin(&capture, STDERR_FILENO);
		r = parse(lines[i].words, &used);
		capture_end_line(&capture, lines[i].said);
		assert_int_equal(r, -EINVAL);
		assert_int_equal(used, -7);
	}
}

static void test_given_anywhere(void **state)
{
	char **words = WORDS("--bogus", "--file", "--read-only", "x", "--size=3");

	(void)state;
	assert_true(vhu_option_given(&disk_rows[0], 6, words));
	assert_true(vhu_option_given(&disk_rows[1], 6, words)); /* by its alias */
	assert_false(vhu_option_given(&disk_rows[2], 6, words));
	assert_true(vhu_option_given(&disk_rows[3], 6, words));
	assert_true(vhu_option_given(&disk_rows[0], 2, WORDS("-r")));
	assert_false(vhu_option_given(&disk_rows[0], 2, WORDS("--r")));
	assert_false(vhu_option_given(&disk_rows[2], 2, WORDS("-")));
}

/* Every row is there with its names; no line is too long. */
static void test_help(void **state)
{
	static const char *const parts[] = {
		"\nDisk:\n", "\nPlace:\n", "  --read-only, -r ", "  --blk-file, --file, -b SPEC\n",
		"  --num-queues N ", "  --size SIZE ", "  --engine NAME ", "\n  --socket-path, ",
		"nothing is written\n", "    begins anew\n",
	};
	struct capture capture;
	const char *text, *line;

	(void)state;
	capture_begin(&capture, STDOUT_FILENO);
	vhu_options_help(tables, ARRAY_SIZE(tables));
	text = capture_end(&capture);
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		if (!strstr(text, parts[i]))
			fail_msg("no \"%s\" in:\n%s", parts[i], text);
	for (line = text; *line; line += strcspn(line, "\n") + 1) {
		assert_in_range(strcspn(line, "\n"), 0, 80);
		assert_false(line[0] != '\n' && line[strcspn(line, "\n") - 1] == ' ');
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_values_arrive, reset),
		cmocka_unit_test_setup(test_other_ways_to_write, reset),
		cmocka_unit_test_setup(test_next_splits, reset),
		cmocka_unit_test_setup(test_repeats, reset),
		cmocka_unit_test_setup(test_bad_lines, reset),
		cmocka_unit_test_setup(test_given_anywhere, reset),
		cmocka_unit_test_setup(test_help, reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
