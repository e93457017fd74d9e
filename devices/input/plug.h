/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_DEVICES_INPUT_PLUG_H
#define VHU_DEVICES_INPUT_PLUG_H

/* Waits for a device to be plugged in, at no cost while none is. On the loop's thread. */

#include <stdbool.h>

#include "common/base/loop.h"

/* All zero: it does not wait. */
struct vhu_input_plug {
	const char *path;
	bool (*found)(void *data); /* looks for the device; true: that was it */
	void *data;
	bool waits;
	int fd;		/* inotify */
	unsigned tries; /* left until the next change; 1: this is the last */
	struct vhu_source *source, *timer;
};

/*
 * From now on found is called when something is plugged in, until it is true, or until stop. path
 * may be NULL; it is borrowed. On an error nobody waits.
 */
int vhu_input_plug_wait(struct vhu_input_plug *plug, struct vhu_loop *loop, const char *path,
			bool (*found)(void *data), void *data);
/* Also when nobody waits, and from found. */
void vhu_input_plug_stop(struct vhu_input_plug *plug);

#endif
