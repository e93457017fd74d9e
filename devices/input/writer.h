/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_DEVICES_INPUT_WRITER_H
#define VHU_DEVICES_INPUT_WRITER_H

/*
 * Events of evdev from what libinput tells: fractions are carried, wheels count in clicks and in
 * parts of them, contacts get ids, and what happened at one time becomes one packet. It knows no
 * libinput itself. One thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "devices/input/ident.h"
#include "devices/input/kinds.h"
#include "devices/input/state.h"

#define VHU_INPUT_WRITER_MAX 256 /* events of a packet */

struct vhu_input_writer {
	/* What it does not have is left out. */
	const struct vhu_input_ident *ident;
	/* SYN_REPORT is the last event. */
	void (*packet)(struct vhu_input_writer *writer, const struct vhu_input_event *events,
		       size_t n, uint64_t time_ns);

	double rest[REL_CNT];	 /* what was no whole unit yet */
	int32_t clicks[REL_CNT]; /* of wheels: what was no whole click yet, in parts of 120 */
	uint8_t holders[KEY_CNT]; /* devices that have a key down */
	bool touched;		  /* BTN_TOUCH */
	uint32_t n_contacts;	 /* that ever began */
	struct vhu_input_writer_contact {
		bool down;
		uint32_t number;
		int32_t x, y;
	} contacts[VHU_INPUT_KIND_SLOTS];
	uint64_t time_ns;
	size_t n;
	struct vhu_input_event events[VHU_INPUT_WRITER_MAX];
};

void vhu_input_writer_init(struct vhu_input_writer *writer, const struct vhu_input_ident *ident,
			   void (*packet)(struct vhu_input_writer *writer,
					  const struct vhu_input_event *events, size_t n,
					  uint64_t time_ns));

/* Two devices may have the same key down: it is up when both have let go. */
void vhu_input_writer_key(struct vhu_input_writer *writer, uint64_t time_ns, uint32_t code,
			  bool down);
/* Switches, axes, and keys that only one device can have down. */
void vhu_input_writer_put(struct vhu_input_writer *writer, uint64_t time_ns, uint16_t type,
			  uint16_t code, int32_t value);
void vhu_input_writer_motion(struct vhu_input_writer *writer, uint64_t time_ns, double dx,
			     double dy);
/* code: REL_WHEEL, v120 up and away from the user, or REL_HWHEEL, to the right. */
void vhu_input_writer_wheel(struct vhu_input_writer *writer, uint64_t time_ns, uint16_t code,
			    double v120);
/* Begins there or moves there. A slot that the device does not have is left out. */
void vhu_input_writer_contact(struct vhu_input_writer *writer, uint64_t time_ns, unsigned slot,
			      int32_t x, int32_t y);
void vhu_input_writer_contact_end(struct vhu_input_writer *writer, uint64_t time_ns, unsigned slot);
/* All contacts are told; for those who know only one: the oldest. */
void vhu_input_writer_frame(struct vhu_input_writer *writer, uint64_t time_ns);

/* Nothing more of this time follows. */
void vhu_input_writer_flush(struct vhu_input_writer *writer);

/* A whole number; 0 for what no device can mean. */
int32_t vhu_input_whole(double value);

#endif
