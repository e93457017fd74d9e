/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_BASE_LOG_H
#define VHU_BASE_LOG_H

/*
 * One line an event on standard error. Any thread. A line is written with one write(), so lines of
 * several threads do not mix. Lines carry a priority prefix ("<3>") when standard error is the
 * systemd journal (JOURNAL_STREAM), else "PROGRAM: ".
 */

#include <stdbool.h>
#include <stdint.h>

enum vhu_log_level {
	VHU_LOG_ERROR,
	VHU_LOG_WARNING,
	VHU_LOG_INFO,
	VHU_LOG_DEBUG,
};

/* PROGRAM of the lines; borrows name for the life of the process. Default "vhu". */
void vhu_log_set_program(const char *name);
void vhu_log_set_level(enum vhu_log_level level);
bool vhu_log_enabled(enum vhu_log_level level);

/* "error", "warning", "info", "debug". Returns 0 or -EINVAL. */
int vhu_log_parse_level(const char *text, enum vhu_log_level *ret_level);

void vhu_log(enum vhu_log_level level, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#define vhu_error(...) vhu_log(VHU_LOG_ERROR, __VA_ARGS__)
#define vhu_warning(...) vhu_log(VHU_LOG_WARNING, __VA_ARGS__)
#define vhu_info(...) vhu_log(VHU_LOG_INFO, __VA_ARGS__)
#define vhu_debug(...) \
	do { \
		if (vhu_log_enabled(VHU_LOG_DEBUG)) \
			vhu_log(VHU_LOG_DEBUG, __VA_ARGS__); \
	} while (0)

/*
 * For what a peer can cause as often as it likes: at most VHU_LOG_BURST lines in each
 * VHU_LOG_WINDOW_NS, then one line that says how many were left out. Zero-initialised; one a source
 * of trouble; used by one thread at a time.
 */
#define VHU_LOG_BURST 5
#define VHU_LOG_WINDOW_NS (10ull * 1000000000ull)

struct vhu_log_limit {
	uint64_t window_start_ns;
	uint32_t in_window;
	uint32_t left_out;
};

void vhu_log_limited(struct vhu_log_limit *limit, enum vhu_log_level level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
