/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_DEVICES_INPUT_SOURCE_H
#define VHU_DEVICES_INPUT_SOURCE_H

/*
 * Where events come from: evdev, libinput, a recording, a stream. A source is found in a table by
 * what the options name. It lives on the device's worker from attach on.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/base/loop.h"
#include "devices/input/ident.h"
#include "devices/input/input.h"
#include "devices/input/state.h"

/* Events of one packet; a longer one is cut short and repaired. */
#define VHU_INPUT_PACKET_MAX 1024

/* Who takes the events. */
struct vhu_input_sink {
	/*
	 * A packet: SYN_REPORT is its last event and no other. time_ns: CLOCK_MONOTONIC, when it
	 * happened; 0 not known. Borrows events.
	 */
	void (*packet)(struct vhu_input_sink *sink, const struct vhu_input_event *events, size_t n,
		       uint64_t time_ns);
	/* Something happened unseen (the device has gone, or is back); this is how things are. */
	void (*resync)(struct vhu_input_sink *sink, const struct vhu_input_state *state);
	/* Events that the guest has not taken yet: a source that can wait does. */
	size_t (*backlog)(struct vhu_input_sink *sink);
};

struct vhu_input_source;

struct vhu_input_source_ops {
	const char *name;
	/* Main. Says what is wrong. *ret_ident: what the source is, before the options' changes. */
	int (*open)(const struct vhu_input_options *options, struct vhu_input_ident *ret_ident,
		    struct vhu_input_source **ret_source);
	/*
	 * Before the worker runs. Events go to the sink from now on, from callbacks of loop, which
	 * is the worker's. Both are borrowed for the source's life. Calls resync for what is
	 * already pressed.
	 */
	int (*attach)(struct vhu_input_source *source, struct vhu_loop *loop,
		      struct vhu_input_sink *sink);
	/*
	 * From here on, on the worker. Optional: keeps the events from everyone else, or gives them
	 * back; never called while a key is down. -ENODEV while the device is gone: it is asked
	 * again at the next resync.
	 */
	int (*grab)(struct vhu_input_source *source, bool on);
	/* Optional. EV_LED, EV_SND, EV_REP of the guest, each one that ident has. */
	void (*write)(struct vhu_input_source *source, const struct vhu_input_event *event);
	/* Optional. A driver listens from now on, or no longer does. */
	void (*listened)(struct vhu_input_source *source, bool on);
	/* Optional. What waits to be told begins. */
	void (*begin)(struct vhu_input_source *source);
	/* The last call; the worker has ended or never ran. The loop is gone, and what it had. */
	void (*close)(struct vhu_input_source *source);
};

/* A source embeds this as its first member and calls vhu_input_source_init(). */
struct vhu_input_source {
	const struct vhu_input_source_ops *ops;
	struct vhu_loop *loop;	     /* NULL until attach */
	struct vhu_input_sink *sink; /* the same */
	const char *label;	     /* for the log: the path, the seat; the source's */
	struct vhu_input_state state; /* of the source: after the last packet */
	bool grabbed; /* set by who calls grab; cleared by the source when the device goes */
	bool cut_short;		      /* of the packet that is gathered */
	size_t n_events;
	struct vhu_input_event events[VHU_INPUT_PACKET_MAX];
};

void vhu_input_source_init(struct vhu_input_source *source,
			   const struct vhu_input_source_ops *ops, const char *label);
/* For sources: gathers the events of a packet and gives it to the sink at SYN_REPORT. */
void vhu_input_source_event(struct vhu_input_source *source, uint16_t type, uint16_t code,
			    int32_t value, uint64_t time_ns);
/* For sources: everything is up now, what was gathered is forgotten; tells the sink. */
void vhu_input_source_release(struct vhu_input_source *source);

extern const struct vhu_input_source_ops vhu_input_source_evdev;
extern const struct vhu_input_source_ops vhu_input_source_libinput;
extern const struct vhu_input_source_ops vhu_input_source_replay;
extern const struct vhu_input_source_ops vhu_input_source_stream;

#endif
