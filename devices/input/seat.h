/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_DEVICES_INPUT_SEAT_H
#define VHU_DEVICES_INPUT_SEAT_H

/*
 * The devices of a seat, or the one of a path, as libinput sees them: in a thread of its own,
 * since it opens what is plugged in. All devices of the process that show parts of the same seat
 * are its members; each gets what is of its kinds.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "devices/input/handoff.h"
#include "devices/input/ident.h"
#include "devices/input/writer.h"

struct vhu_input_seat;

/* What a member wants of the devices of its kinds; LEDs have a bit each. */
#define VHU_INPUT_WANTS_GRAB (1ull << 63)
#define VHU_INPUT_WANTS_LED(code) (1ull << (code))	/* to be as the next bit says */
#define VHU_INPUT_WANTS_LIT(code) (1ull << (32 + (code)))

struct vhu_input_member {
	/* Set by who joins. */
	unsigned kinds;
	const struct vhu_input_ident *ident;

	atomic_uint_fast64_t wants; /* by the worker; vhu_input_seat_tell() follows */
	struct vhu_input_handoff handoff;
	/* The seat's. */
	struct vhu_input_writer writer;
	LIST_ENTRY(vhu_input_member) link;
};

/* Main, as all that follows unless it says otherwise. Says what is wrong. */
int vhu_input_seat_get(const char *name, struct vhu_input_seat **ret_seat);
/* Of one device. One that is not there yet is taken up when it is plugged in. */
int vhu_input_seat_get_path(const char *path, bool is_there, struct vhu_input_seat **ret_seat);
/* All members have left. NULL is fine. */
void vhu_input_seat_put(struct vhu_input_seat *seat);

/* The member's handoff is set up. Packets come from now on. */
int vhu_input_seat_join(struct vhu_input_seat *seat, struct vhu_input_member *member);
/* No packets come from now on. One that did not join may leave. */
void vhu_input_seat_leave(struct vhu_input_seat *seat, struct vhu_input_member *member);

/* Any thread: a member wants something else. */
void vhu_input_seat_tell(struct vhu_input_seat *seat);

#endif
