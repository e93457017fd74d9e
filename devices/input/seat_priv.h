/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_DEVICES_INPUT_SEAT_PRIV_H
#define VHU_DEVICES_INPUT_SEAT_PRIV_H

/* Between a seat and its libinput, which is one file. On the seat's thread. */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/queue.h>

#include "common/base/log.h"
#include "common/base/loop.h"
#include "devices/input/evdev.h"
#include "devices/input/seat.h"

struct vhu_libinput;

/* A device that libinput has open, or had. */
struct vhu_seat_node {
	LIST_ENTRY(vhu_seat_node) link;
	char *path;
	struct vhu_evdev *evdev; /* NULL: closed */
	bool added;		 /* libinput made a device of it and has not removed it yet */
	bool touchpad;		 /* libinput's to say */
	bool grabbed;
	unsigned kinds;
	uint64_t told; /* of VHU_INPUT_WANTS_LED and _LIT: what it has been told */
};

struct vhu_input_seat {
	LIST_ENTRY(vhu_input_seat) link;
	unsigned refs;
	char *key;  /* the name, or the path */
	char *path; /* NULL: all devices of the seat */
	bool by_link;
	bool known; /* ident is that of the device of the path */
	struct vhu_input_ident ident;

	struct vhu_libinput *libinput;
	struct vhu_loop *loop;
	struct vhu_source *source;
	bool running;
	pthread_t thread;
	struct vhu_call call;
	atomic_flag posted;
	bool explained; /* why a device cannot be opened */
	struct vhu_log_limit log_limit;
	LIST_HEAD(, vhu_seat_node) nodes;
	bool waits; /* some device is not yet as the members want it */

	pthread_mutex_t mutex; /* of what follows: main may add and take away */
	LIST_HEAD(, vhu_input_member) members;
	bool switches[2]; /* from SW_LID on */
};

/* What libinput asks for: an fd that is the node's, or negative errno. */
int vhu_seat_open(struct vhu_input_seat *seat, const char *path);
void vhu_seat_close(struct vhu_input_seat *seat, int fd);
/* What was opened as /dev/input/NAME has become a device, or is none any more. May be NULL. */
struct vhu_seat_node *vhu_seat_add(struct vhu_input_seat *seat, const char *name);
void vhu_seat_remove(struct vhu_input_seat *seat, struct vhu_seat_node *node);
/* From SW_LID on; also for members to come. */
void vhu_seat_switch(struct vhu_input_seat *seat, uint64_t time_ns, unsigned number, bool on);

/* All devices of the seat; those that udev puts on none are on "seat0". Main. */
int vhu_libinput_new(struct vhu_input_seat *seat, const char *name,
		     struct vhu_libinput **ret_libinput);
void vhu_libinput_free(struct vhu_libinput *libinput);
int vhu_libinput_fd(const struct vhu_libinput *libinput);
/* Gives the members what there is, with the mutex held where they are looked at. */
int vhu_libinput_dispatch(struct vhu_libinput *libinput);
/*
 * The seat of a device as udev has it; -ENODATA: udev has not seen the device, and libinput takes
 * none that it has not. Main.
 */
int vhu_libinput_seat_of(const char *path, char ret_name[VHU_INPUT_TEXT_MAX]);

#endif
