/* SPDX-License-Identifier: BSD-3-Clause */
#include "common/base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/fd.h"
#include "common/base/num.h"

/* The longest line, its end included; the rest of a longer one is cut off. */
#define LINE_MAX_BYTES 1024

static const struct {
	const char *name;
	int priority; /* syslog(3) */
} levels[] = {
	[VHU_LOG_ERROR] = { "error", 3 },
	[VHU_LOG_WARNING] = { "warning", 4 },
	[VHU_LOG_INFO] = { "info", 6 },
	[VHU_LOG_DEBUG] = { "debug", 7 },
};

static const char *program = "vhu";
static atomic_int max_level = VHU_LOG_INFO;
static bool to_journal;
static pthread_once_t journal_once = PTHREAD_ONCE_INIT;

void vhu_log_set_program(const char *name)
{
	program = name;
}

void vhu_log_set_level(enum vhu_log_level level)
{
	atomic_store_explicit(&max_level, (int)level, memory_order_relaxed);
}

bool vhu_log_enabled(enum vhu_log_level level)
{
	return (int)level <= atomic_load_explicit(&max_level, memory_order_relaxed);
}

int vhu_log_parse_level(const char *text, enum vhu_log_level *ret_level)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(levels); i++) {
		if (strcmp(text, levels[i].name) == 0) {
			*ret_level = (enum vhu_log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}

/* The variable is inherited also where standard error is not (systemd.exec(5), JOURNAL_STREAM). */
static void find_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;

	to_journal = stream && sscanf(stream, "%llu:%llu", &dev, &ino) == 2 &&
		     fstat(STDERR_FILENO, &st) == 0 && st.st_dev == dev && st.st_ino == ino;
}

/* What a peer put into a message may not look like a line of its own or steer a terminal. */
static void blank_controls(char *text, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
			text[i] = ' ';
	}
}

static void log_line(enum vhu_log_level level, const char *format, va_list args)
	__attribute__((format(printf, 2, 0)));

static void log_line(enum vhu_log_level level, const char *format, va_list args)
{
	char line[LINE_MAX_BYTES];
	size_t len, max = sizeof(line) - 1; /* the last byte is for the end of the line */
	int saved_errno = errno;
	ssize_t r;

	pthread_once(&journal_once, find_journal);
	if (to_journal)
		snprintf(line, max, "<%d>", levels[level].priority);
	else
		snprintf(line, max, "%s: ", program);
	len = strlen(line);
	vsnprintf(line + len, max - len, format, args);
	len = strlen(line);
	blank_controls(line, len);
	line[len] = '\n';
	do {
		r = write(STDERR_FILENO, line, len + 1);
	} while (r < 0 && errno == EINTR);
	errno = saved_errno;
}

void vhu_log(enum vhu_log_level level, const char *format, ...)
{
	va_list args;

	if (!vhu_log_enabled(level))
		return;
	va_start(args, format);
	log_line(level, format, args);
	va_end(args);
}

void vhu_log_limited(struct vhu_log_limit *limit, enum vhu_log_level level, const char *format, ...)
{
	uint64_t now_ns;
	va_list args;

	if (!vhu_log_enabled(level))
		return;
	now_ns = vhu_now_ns();
	if (!limit->in_window || now_ns - limit->window_start_ns >= VHU_LOG_WINDOW_NS) {
		if (limit->left_out)
			vhu_log(level, "(%u more lines like the last one were left out)",
				limit->left_out);
		*limit = (struct vhu_log_limit){ .window_start_ns = now_ns };
	}
	if (limit->in_window == VHU_LOG_BURST) {
		limit->left_out++;
		return;
	}
	limit->in_window++;
	va_start(args, format);
	log_line(level, format, args);
	va_end(args);
}
