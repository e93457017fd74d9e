/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_DEVICES_INPUT_INPUT_H
#define VHU_DEVICES_INPUT_INPUT_H

/* A virtio input device (virtio 1.3, 5.8): a keyboard, a mouse, a touch screen and so on. */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "common/backend/device.h"

enum vhu_input_mode {
	VHU_INPUT_EVDEV,    /* the kernel's events as they are */
	VHU_INPUT_LIBINPUT, /* as libinput makes them */
};

enum vhu_input_grab {
	VHU_INPUT_GRAB_ALWAYS, /* while a guest is there nobody else gets the events */
	VHU_INPUT_GRAB_NEVER,
	VHU_INPUT_GRAB_TOGGLE, /* by hotkey; begins grabbed */
};

enum vhu_input_repeat {
	VHU_INPUT_REPEAT_GUEST, /* the guest repeats keys that are held */
	VHU_INPUT_REPEAT_HOST,	/* the source does */
	VHU_INPUT_REPEAT_OFF,
};

/* What a seat or a stream shows; a mask of them. */
enum vhu_input_kind {
	VHU_INPUT_KEYBOARD,
	VHU_INPUT_MOUSE,
	VHU_INPUT_ABSOLUTE, /* a pointer with absolute coordinates */
	VHU_INPUT_TOUCH,
	VHU_INPUT_TABLET,
	VHU_INPUT_SWITCH,
	VHU_INPUT_PAD, /* the buttons, ring and strips of a tablet */
	VHU_INPUT_N_KINDS,
};

extern const char *const vhu_input_kind_names[VHU_INPUT_N_KINDS + 1]; /* NULL-terminated */

struct vhu_input_options {
	/* The source: one of these. */
	const char *evdev_path;
	int64_t device_fd; /* -1: none */
	const char *seat;
	const char *replay;
	const char *stream;

	unsigned kinds; /* mask of 1 << enum vhu_input_kind; 0: by the source */
	unsigned mode;	/* enum vhu_input_mode and so on */
	unsigned grab;
	unsigned hotkey;
	unsigned repeat;
	const char *name;   /* NULL: the source's */
	const char *serial; /* NULL: the source's */
	uint64_t queue_size;
	uint64_t replay_delay_ms; /* from the driver's start to the first event */
	bool replay_wait;	  /* the first event waits for SIGUSR2 */
	bool wait_device;	  /* the path may not be there yet */
	bool list;		  /* these are the program's */
	bool json;
	const char *record;
};

extern const struct vhu_input_options vhu_input_defaults;
extern const char *const vhu_input_hotkey_names[]; /* NULL-terminated, for options.hotkey */

/* Do the options fit together? Touches nothing. 0 or -EINVAL; says what is wrong. */
int vhu_input_options_check(const struct vhu_input_options *options);

/* Opens the source; says what is wrong. The options are borrowed for the device's life. */
int vhu_input_new(const struct vhu_input_options *options, struct vhu_device **ret_device);

/* Any thread. The counters as an object of JSON, without a newline. */
void vhu_input_print_stats(struct vhu_device *device, FILE *out);

/* Main: a replay that waits begins. -EOPNOTSUPP: there is none that could. */
int vhu_input_begin_replay(struct vhu_device *device);

/* The devices that could be served, on standard output, as text or JSON. 0 or negative errno. */
int vhu_input_print_list(const struct vhu_input_options *options);

/* Writes what comes from options->evdev_path to options->record, until SIGINT or SIGTERM. */
int vhu_input_record(const struct vhu_input_options *options);

#endif
