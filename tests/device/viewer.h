/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_TESTS_DEVICE_VIEWER_H
#define VHU_TESTS_DEVICE_VIEWER_H

/*
 * Who looks by VNC (RFC 6143): raw pixels, desktops that change their size, cursors. Functions
 * without a result assert.
 */

#include <stdbool.h>
#include <stdint.h>

#define VIEWER_CURSOR_PIXELS (64 * 64)

struct viewer {
	int fd; /* -1: closed */
	uint32_t width, height;
	uint32_t *pixels; /* x8r8g8b8 */
	uint32_t cursor_width, cursor_height, hot_x, hot_y;
	uint32_t cursor[VIEWER_CURSOR_PIXELS]; /* 0 where it is not seen */
	unsigned n_cursors;
	uint32_t cursor_x, cursor_y;
	int resize_reason, resize_status; /* of the last ExtendedDesktopSize; -1: none yet */
	char name[64];
};

/* A connection, and nothing said; path may be a port of 127.0.0.1. */
int viewer_dial(const char *path);
/* False: the password is wrong, or the server has closed. password NULL: it asks for none. */
bool viewer_open(struct viewer *viewer, const char *path, const char *password);
void viewer_close(struct viewer *viewer);

/* Asks for all that is new, and takes one update. False: none within so long. */
bool viewer_look(struct viewer *viewer, int timeout_ms);
/* Looks until fn says so. */
void viewer_expect(struct viewer *viewer, bool (*fn)(const struct viewer *viewer, void *data),
		   void *data);

void viewer_key(struct viewer *viewer, uint32_t keysym, bool down);
void viewer_point(struct viewer *viewer, uint8_t buttons, uint16_t x, uint16_t y);
void viewer_resize(struct viewer *viewer, uint16_t width, uint16_t height);

#endif
