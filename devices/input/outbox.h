/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_DEVICES_INPUT_OUTBOX_H
#define VHU_DEVICES_INPUT_OUTBOX_H

/*
 * What a guest is still to get. Bounded, and nothing that counts is lost: when the guest is slow
 * motion is merged; when it has stopped, all that waits gives way to a packet that leads from what
 * it has seen to how things are. One thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "devices/input/state.h"
#include "devices/input/stats.h"

#define VHU_INPUT_OUTBOX_EVENTS 16384 /* a power of two */
/* Above so many motion is merged. */
#define VHU_INPUT_OUTBOX_HIGH 64

struct vhu_input_outbox {
	struct vhu_input_stats *stats;
	struct vhu_input_state guest;  /* what it has seen */
	struct vhu_input_state queued; /* what it will have seen when all is sent */
	bool unfinished;	       /* it has seen events without their SYN_REPORT */
	uint32_t head, tail;	       /* count up */
	/* The last packet, when motion may be added to it. */
	bool mergeable;
	uint32_t last;	    /* where it begins */
	unsigned last_slot; /* in which slot */
	struct vhu_input_event events[VHU_INPUT_OUTBOX_EVENTS];
	uint64_t times_ns[VHU_INPUT_OUTBOX_EVENTS]; /* of each packet, where it ends */
	struct vhu_input_event repair[VHU_INPUT_REPAIR_MAX];
};

/* stats are borrowed for life. */
void vhu_input_outbox_init(struct vhu_input_outbox *outbox, struct vhu_input_stats *stats);
/* A new driver: it has seen nothing, and nothing waits for it. */
void vhu_input_outbox_reset(struct vhu_input_outbox *outbox);

/* A packet. */
void vhu_input_outbox_add(struct vhu_input_outbox *outbox, const struct vhu_input_event *events,
			  size_t n, uint64_t time_ns);
/* Behind what waits: whatever it takes to lead to state. */
void vhu_input_outbox_resync(struct vhu_input_outbox *outbox, const struct vhu_input_state *state);
/* The same in place of what waits; the sums of relative motion stay. */
void vhu_input_outbox_shortcut(struct vhu_input_outbox *outbox,
			       const struct vhu_input_state *state);

static inline uint32_t vhu_input_outbox_length(const struct vhu_input_outbox *outbox)
{
	return outbox->tail - outbox->head;
}

/* The next event, or NULL; valid until the outbox is changed. */
const struct vhu_input_event *vhu_input_outbox_front(const struct vhu_input_outbox *outbox);
/* The guest has it. *ret_time_ns: when the packet that it ends happened; else 0. */
void vhu_input_outbox_sent(struct vhu_input_outbox *outbox, uint64_t *ret_time_ns);

#endif
