/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_SERVE_OPTIONS_H
#define VHU_SERVE_OPTIONS_H

/*
 * Command lines as tables: each option is one row, from which parsing, --help and its checks are
 * made. Rows that every program has are written once (program.c); a device adds its own.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vhu_option;

/*
 * Stores text (NULL for a flag) into the options struct. Returns 0 or negative errno; *ret_why
 * may be set to a constant text that completes "must be ...", else one is made from the row.
 */
typedef int (*vhu_option_fn)(const struct vhu_option *option, void *field, const char *text,
			     const char **ret_why);

struct vhu_option {
	const char *name;     /* without the dashes */
	const char *alias;    /* another name, or NULL */
	char letter;	      /* a third, with one dash; or 0 */
	const char *argument; /* as --help names it, or NULL for a flag */
	const char *help;     /* wrapped by --help; a newline is a line's end */
	vhu_option_fn parse;
	size_t offset;	      /* of the field in the options struct */
	uint64_t min, max;    /* of numbers and sizes; max 0: no limit */
	const char *const *words; /* of a choice: NULL-terminated; the field is an unsigned index */
	bool repeats;	      /* may be given more than once for a device */
};

/* Parsers for rows. Fields: bool, const char * (borrows argv), uint64_t, uint64_t, unsigned. */
int vhu_option_flag(const struct vhu_option *option, void *field, const char *text,
		    const char **ret_why);
int vhu_option_text(const struct vhu_option *option, void *field, const char *text,
		    const char **ret_why);
int vhu_option_number(const struct vhu_option *option, void *field, const char *text,
		      const char **ret_why);
int vhu_option_size(const struct vhu_option *option, void *field, const char *text,
		    const char **ret_why);
int vhu_option_choice(const struct vhu_option *option, void *field, const char *text,
		      const char **ret_why);

/* A table and the struct it fills. */
struct vhu_option_table {
	const char *title; /* of its part of --help */
	const struct vhu_option *options;
	size_t n;
	void *fields;
};

/* Rows of all tables together. */
#define VHU_OPTIONS_MAX 128

/*
 * Parses argv[1 ..] by all tables: --name VALUE, --name=VALUE or -n VALUE. Stops behind "--next"
 * (several devices in one process): *ret_used is the number of arguments used, argv[0] and the
 * "--next" included, so that argv + *ret_used - 1 is the next one's argv. Returns 0, or -EINVAL
 * with the line said on standard error (an unknown option, with the nearest name; a missing or bad
 * value; an option given twice; a stray word).
 */
int vhu_options_parse(int argc, char **argv, const struct vhu_option_table *tables,
		      size_t n_tables, int *ret_used);

/* Does argv hold this row by any of its names? For what is answered even if the rest is wrong. */
bool vhu_option_given(const struct vhu_option *option, int argc, char **argv);

/* The tables in 80 columns on standard output. */
void vhu_options_help(const struct vhu_option_table *tables, size_t n_tables);

#endif
