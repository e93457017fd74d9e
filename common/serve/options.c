/* SPDX-License-Identifier: BSD-3-Clause */
#include "common/serve/options.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/num.h"

#define NAME_MAX_CHARS 40
#define HELP_COLUMNS 80
#define HELP_TEXT_COLUMN 28

int vhu_option_flag(const struct vhu_option *option, void *field, const char *text,
		    const char **ret_why)
{
	(void)option;
	(void)text;
	(void)ret_why;
	*(bool *)field = true;
	return 0;
}

int vhu_option_text(const struct vhu_option *option, void *field, const char *text,
		    const char **ret_why)
{
	(void)option;
	if (!*text) {
		*ret_why = "a text that is not empty";
		return -EINVAL;
	}
	*(const char **)field = text;
	return 0;
}

static uint64_t option_max(const struct vhu_option *option)
{
	return option->max ? option->max : UINT64_MAX;
}

int vhu_option_number(const struct vhu_option *option, void *field, const char *text,
		      const char **ret_why)
{
	(void)ret_why;
	return vhu_parse_u64(text, option->min, option_max(option), field);
}

int vhu_option_size(const struct vhu_option *option, void *field, const char *text,
		    const char **ret_why)
{
	uint64_t bytes;
	int r = vhu_parse_size(text, &bytes);

	(void)ret_why;
	if (r < 0)
		return r;
	if (bytes < option->min || bytes > option_max(option))
		return -ERANGE;
	*(uint64_t *)field = bytes;
	return 0;
}

int vhu_option_choice(const struct vhu_option *option, void *field, const char *text,
		      const char **ret_why)
{
	unsigned i;

	(void)ret_why;
	for (i = 0; option->words[i]; i++) {
		if (!strcmp(option->words[i], text)) {
			*(unsigned *)field = i;
			return 0;
		}
	}
	return -EINVAL;
}

static bool is_name(const char *name, const char *word, size_t len)
{
	return name && len == 2 + strlen(name) && !strncmp(word, "--", 2) &&
	       !strncmp(word + 2, name, len - 2);
}

static bool names_option(const struct vhu_option *option, const char *word)
{
	size_t len = strcspn(word, "=");

	return is_name(option->name, word, len) || is_name(option->alias, word, len) ||
	       (len == 2 && word[0] == '-' && word[1] == option->letter);
}

bool vhu_option_given(const struct vhu_option *option, int argc, char **argv)
{
	int i;

	for (i = 1; i < argc; i++)
		if (names_option(option, argv[i]))
			return true;
	return false;
}

static size_t min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* How many letters must be put in, taken out or replaced to make b of a. */
static size_t edit_distance(const char *a, size_t a_len, const char *b)
{
	size_t row[NAME_MAX_CHARS + 1], b_len = strlen(b), i, j;

	if (a_len > NAME_MAX_CHARS || b_len > NAME_MAX_CHARS)
		return SIZE_MAX;
	for (j = 0; j <= b_len; j++)
		row[j] = j;
	for (i = 0; i < a_len; i++) {
		size_t diagonal = row[0];

		row[0] = i + 1;
		for (j = 0; j < b_len; j++) {
			size_t replaced = diagonal + (a[i] != b[j]);

			diagonal = row[j + 1];
			row[j + 1] = min_size(replaced, min_size(row[j], row[j + 1]) + 1);
		}
	}
	return row[b_len];
}

/* 0: the same; SIZE_MAX: nothing that anybody could have meant. */
static size_t unlikeness(const char *typed, size_t len, const char *name)
{
	size_t distance;

	if (!name)
		return SIZE_MAX;
	if (len >= 2 && len < strlen(name) && !strncmp(typed, name, len))
		return 1;
	distance = edit_distance(typed, len, name);
	return distance <= strlen(name) / 3 ? distance : SIZE_MAX;
}

static void complain_unknown(const char *word, const struct vhu_option_table *tables,
			     size_t n_tables)
{
	size_t skip = strspn(word, "-"), len = strcspn(word, "=") - skip, best = SIZE_MAX, t, i, k;
	const char *nearest = NULL;

	for (t = 0; t < n_tables; t++) {
		for (i = 0; i < tables[t].n; i++) {
			const struct vhu_option *option = &tables[t].options[i];
			const char *names[] = { option->name, option->alias };

			for (k = 0; k < ARRAY_SIZE(names); k++) {
				size_t u = unlikeness(word + skip, len, names[k]);

				if (u < best) {
					best = u;
					nearest = names[k];
				}
			}
		}
	}
	if (nearest)
		vhu_error("unknown option %.*s: did you mean --%s?", (int)(skip + len), word,
			  nearest);
	else
		vhu_error("unknown option %.*s; --help lists them", (int)(skip + len), word);
}

static const char *format_size(uint64_t bytes, char buf[32])
{
	static const char units[] = " KMGTP";
	unsigned unit = 0;

	while (bytes && !(bytes % 1024) && units[unit + 1]) {
		bytes /= 1024;
		unit++;
	}
	snprintf(buf, 32, "%" PRIu64 "%.*s", bytes, unit > 0, &units[unit]);
	return buf;
}

/* What must be given for the option, from its row. */
static void describe_wanted(const struct vhu_option *option, char *buf, size_t size)
{
	char low[32], high[32];
	size_t used, i;

	if (option->words) {
		used = (size_t)snprintf(buf, size, "one of");
		for (i = 0; option->words[i] && used < size; i++)
			used += (size_t)snprintf(buf + used, size - used, "%s %s", i ? "," : "",
						 option->words[i]);
	} else if (option->parse == vhu_option_size && option->max) {
		snprintf(buf, size, "a size from %s to %s", format_size(option->min, low),
			 format_size(option->max, high));
	} else if (option->parse == vhu_option_size) {
		snprintf(buf, size, "a size like 4096, 64K or 10G, at least %s",
			 format_size(option->min, low));
	} else if (option->max) {
		snprintf(buf, size, "a number from %" PRIu64 " to %" PRIu64, option->min,
			 option->max);
	} else {
		snprintf(buf, size, "%s", option->argument);
	}
}

static int store_value(const struct vhu_option *option, void *fields, const char *text)
{
	const char *why = NULL;
	char wanted[200];

	if (option->parse(option, (char *)fields + option->offset, text, &why) == 0)
		return 0;
	if (!why)
		describe_wanted(option, wanted, sizeof(wanted));
	vhu_error("--%s '%s': must be %s", option->name, text ? text : "", why ? why : wanted);
	return -EINVAL;
}

/* *ret_idx: its number among the rows of all tables. */
static const struct vhu_option *find_option(const char *word, const struct vhu_option_table *tables,
					    size_t n_tables, size_t *ret_idx, void **ret_fields)
{
	size_t t, i, before = 0;

	for (t = 0; t < n_tables; before += tables[t++].n) {
		for (i = 0; i < tables[t].n; i++) {
			if (!names_option(&tables[t].options[i], word))
				continue;
			*ret_idx = before + i;
			*ret_fields = tables[t].fields;
			return &tables[t].options[i];
		}
	}
	return NULL;
}

/* Returns the words used, 1 or 2, or -EINVAL. */
static int parse_one(int n_words, char **words, const struct vhu_option_table *tables,
		     size_t n_tables, bool seen[VHU_OPTIONS_MAX])
{
	const struct vhu_option *option;
	const char *text = strchr(words[0], '=');
	size_t idx = 0;
	void *fields = NULL;
	int used = 1;

	if (words[0][0] != '-' || !words[0][1]) {
		vhu_error("'%s' stands alone: it belongs to no option", words[0]);
		return -EINVAL;
	}
	option = find_option(words[0], tables, n_tables, &idx, &fields);
	if (!option) {
		complain_unknown(words[0], tables, n_tables);
		return -EINVAL;
	}
	assert(idx < VHU_OPTIONS_MAX);
	if (text && !option->argument) {
		vhu_error("--%s takes no value", option->name);
		return -EINVAL;
	}
	if (text) {
		text++;
	} else if (option->argument) {
		if (n_words < 2 || !strncmp(words[1], "--", 2)) {
			vhu_error("--%s needs a value: %s", option->name, option->argument);
			return -EINVAL;
		}
		text = words[1];
		used = 2;
	}
	if (seen[idx] && option->argument && !option->repeats) {
		vhu_error("--%s is given twice (--next begins another device)", option->name);
		return -EINVAL;
	}
	seen[idx] = true;
	return store_value(option, fields, text) < 0 ? -EINVAL : used;
}

int vhu_options_parse(int argc, char **argv, const struct vhu_option_table *tables,
		      size_t n_tables, int *ret_used)
{
	bool seen[VHU_OPTIONS_MAX] = { false };
	int i, used;

	for (i = 1; i < argc && strcmp(argv[i], "--next") != 0; i += used) {
		used = parse_one(argc - i, argv + i, tables, n_tables, seen);
		if (used < 0)
			return used;
	}
	if (i < argc && i + 1 == argc) {
		vhu_error("--next: no device follows it");
		return -EINVAL;
	}
	*ret_used = i < argc ? i + 1 : argc;
	return 0;
}

/* Words at a column, the first line going on at `at`. */
static void print_wrapped(const char *text, int at)
{
	while (*text) {
		int len = (int)strcspn(text, " \n");

		if (at > HELP_TEXT_COLUMN && at + 1 + len > HELP_COLUMNS) {
			putchar('\n');
			at = 0;
		}
		if (at < HELP_TEXT_COLUMN)
			at += printf("%*s", HELP_TEXT_COLUMN - at, "");
		else if (at > HELP_TEXT_COLUMN)
			at += printf(" ");
		at += printf("%.*s", len, text);
		text += len;
		if (*text == '\n') {
			putchar('\n');
			at = 0;
		}
		text += *text != '\0';
	}
	putchar('\n');
}

static void print_option(const struct vhu_option *option)
{
	int at = printf("  --%s", option->name);

	if (option->alias)
		at += printf(", --%s", option->alias);
	if (option->letter)
		at += printf(", -%c", option->letter);
	if (option->argument)
		at += printf(" %s", option->argument);
	if (at > HELP_TEXT_COLUMN - 2) {
		putchar('\n');
		at = 0;
	}
	print_wrapped(option->help, at);
}

void vhu_options_help(const struct vhu_option_table *tables, size_t n_tables)
{
	size_t t, i;

	for (t = 0; t < n_tables; t++) {
		if (tables[t].n)
			printf("\n%s:\n", tables[t].title);
		for (i = 0; i < tables[t].n; i++)
			print_option(&tables[t].options[i]);
	}
}
