/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_DEVICES_INPUT_GATE_H
#define VHU_DEVICES_INPUT_GATE_H

/*
 * Who gets the events of a source: the guest, the host or both (--grab, --hotkey). It stands
 * between a source and who delivers; behind a gate that is shut everything is released. The grab
 * begins and ends only while no key is down and no contact there, or the one who no longer gets
 * events would have it for ever. On the device's worker.
 */

#include <stdatomic.h>
#include <stdbool.h>

#include "common/base/log.h"
#include "common/base/loop.h"
#include "devices/input/source.h"
#include "devices/input/stats.h"

/* LEDs, sounds and the repeat, as the guest has set them. */
#define VHU_INPUT_OUTPUTS (LED_CNT + SND_CNT + REP_CNT)

struct vhu_input_gate {
	struct vhu_input_sink sink; /* what the source is given */
	struct vhu_input_sink *next;
	struct vhu_input_source *source;
	unsigned policy; /* enum vhu_input_grab */
	unsigned hotkey;
	bool listened;
	bool open;
	bool hotkey_was_down;
	unsigned n_outputs;
	struct vhu_input_event outputs[VHU_INPUT_OUTPUTS];
	struct vhu_log_limit log_limit;
	struct vhu_input_stats *stats;

	/* Of all that one hotkey opens and shuts: the mouse goes with the keyboard. */
	struct vhu_input_gate *next_toggled;
	struct vhu_call toggle_call;
	atomic_flag toggle_posted;
};

/* Borrows the rest for life; the source is attached to gate->sink by the caller. */
void vhu_input_gate_init(struct vhu_input_gate *gate, const struct vhu_input_options *options,
			 struct vhu_input_source *source, struct vhu_input_sink *next,
			 struct vhu_input_stats *stats);
/*
 * A driver listens: from the first start of the event queue until the session ends. Repeated calls
 * do nothing. The source is told too.
 */
void vhu_input_gate_listen(struct vhu_input_gate *gate, bool on);
/* An EV_LED, EV_SND or EV_REP of the guest, one that the device has. */
void vhu_input_gate_write(struct vhu_input_gate *gate, const struct vhu_input_event *event);

#endif
