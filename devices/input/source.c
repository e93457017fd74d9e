/* SPDX-License-Identifier: BSD-3-Clause */
#include "devices/input/source.h"

void vhu_input_source_init(struct vhu_input_source *source, const struct vhu_input_source_ops *ops,
			   const char *label)
{
	source->ops = ops;
	source->loop = NULL;
	source->sink = NULL;
	source->label = label;
	source->grabbed = false;
	source->cut_short = false;
	source->n_events = 0;
	vhu_input_state_init(&source->state);
}

static void apply_gathered(struct vhu_input_source *source)
{
	for (size_t i = 0; i < source->n_events; i++)
		vhu_input_state_apply(&source->state, &source->events[i]);
}

static void gather(struct vhu_input_source *source, const struct vhu_input_event *event)
{
	/* One place is for SYN_REPORT. */
	if (source->n_events < VHU_INPUT_PACKET_MAX - 1) {
		source->events[source->n_events++] = *event;
		return;
	}
	if (!source->cut_short)
		apply_gathered(source);
	source->cut_short = true;
	vhu_input_state_apply(&source->state, event);
}

void vhu_input_source_event(struct vhu_input_source *source, uint16_t type, uint16_t code,
			    int32_t value, uint64_t time_ns)
{
	const struct vhu_input_event event = { type, code, value };
	bool cut_short = source->cut_short;
	size_t n;

	if (type != EV_SYN || code != SYN_REPORT) {
		gather(source, &event);
		return;
	}
	if (!source->n_events)
		return;
	if (!cut_short)
		apply_gathered(source);
	source->events[source->n_events] = event;
	n = source->n_events + 1;
	source->n_events = 0;
	source->cut_short = false;
	source->sink->packet(source->sink, source->events, n, time_ns);
	if (cut_short)
		source->sink->resync(source->sink, &source->state);
}

void vhu_input_source_release(struct vhu_input_source *source)
{
	source->n_events = 0;
	source->cut_short = false;
	vhu_input_state_release(&source->state);
	source->sink->resync(source->sink, &source->state);
}
