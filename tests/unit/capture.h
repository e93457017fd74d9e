/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_UNIT_CAPTURE_H
#define TESTS_UNIT_CAPTURE_H

/* What the code under test writes to standard output or standard error. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define CAPTURE_BYTES 16384

struct capture {
	int fd, saved, memory;
	char text[CAPTURE_BYTES];
};

static inline void capture_begin(struct capture *c, int fd)
{
	fflush(stdout);
	c->fd = fd;
	c->saved = dup(fd);
	c->memory = memfd_create("capture", MFD_CLOEXEC);
	assert_true(c->saved >= 0 && c->memory >= 0);
	assert_int_equal(dup2(c->memory, fd), fd);
}

/* Returns what was written. */
static inline const char *capture_end(struct capture *c)
{
	ssize_t n;

	fflush(stdout);
	assert_int_equal(dup2(c->saved, c->fd), c->fd);
	n = pread(c->memory, c->text, sizeof(c->text) - 1, 0);
	assert_true(n >= 0);
	c->text[n] = '\0';
	close(c->memory);
	close(c->saved);
	return c->text;
}

/* Exactly one line, with this in it. */
static inline void capture_end_line(struct capture *c, const char *part)
{
	const char *text = capture_end(c), *end = strchr(text, '\n');

	if (!strstr(text, part) || !end || end[1])
		fail_msg("wanted one line with \"%s\", got \"%s\"", part, text);
}

#endif
