/* SPDX-License-Identifier: BSD-3-Clause */
#include "devices/input/gate.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "common/base/num.h"

/* QEMU's names (input-linux, grab-toggle). One key of each set is down. */
static const struct {
	uint16_t first[2], second[2];
} hotkeys[] = {
	{ { KEY_LEFTCTRL }, { KEY_RIGHTCTRL } },
	{ { KEY_LEFTALT }, { KEY_RIGHTALT } },
	{ { KEY_LEFTSHIFT }, { KEY_RIGHTSHIFT } },
	{ { KEY_LEFTMETA }, { KEY_RIGHTMETA } },
	{ { KEY_SCROLLLOCK }, { KEY_SCROLLLOCK } },
	{ { KEY_LEFTCTRL, KEY_RIGHTCTRL }, { KEY_SCROLLLOCK } },
};

const char *const vhu_input_hotkey_names[] = {
	"ctrl-ctrl",  "alt-alt",	"shift-shift", "meta-meta",
	"scrolllock", "ctrl-scrolllock", NULL,
};

static pthread_mutex_t toggled_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct vhu_input_gate *toggled; /* those that are listened to */
static atomic_bool toggled_off;	       /* until nobody listens any more */

static bool is_down(const struct vhu_input_state *state, const uint16_t codes[2])
{
	for (unsigned i = 0; i < 2; i++)
		if (codes[i] && state->keys[codes[i] / 8] >> codes[i] % 8 & 1)
			return true;
	return false;
}

static bool wants_grab(const struct vhu_input_gate *gate)
{
	if (!gate->listened || gate->policy == VHU_INPUT_GRAB_NEVER)
		return false;
	return gate->policy == VHU_INPUT_GRAB_ALWAYS || !atomic_load(&toggled_off);
}

static void put_output(struct vhu_input_gate *gate, const struct vhu_input_event *event)
{
	/* How fast keys repeat is for the one who has the keyboard to himself. */
	if (gate->source->ops->write && (event->type != EV_REP || gate->source->grabbed))
		gate->source->ops->write(gate->source, event);
}

static void put_outputs(struct vhu_input_gate *gate)
{
	for (unsigned i = 0; i < gate->n_outputs; i++)
		put_output(gate, &gate->outputs[i]);
}

static void grab(struct vhu_input_gate *gate, bool on)
{
	struct vhu_input_source *source = gate->source;
	int r = source->ops->grab ? source->ops->grab(source, on) : 0;

	/* One that has gone is asked again when it is back, any other after its next packet. */
	if (r < 0 && r != -ENODEV)
		vhu_log_limited(&gate->log_limit, VHU_LOG_WARNING,
				"%s: cannot keep its events for the guest: %s", source->label,
				r == -EBUSY ? "another program does" : strerror(-r));
	if (r < 0)
		return;
	source->grabbed = on;
	if (on)
		vhu_counter_add(&gate->stats->grabs, 1);
	vhu_debug("%s: its events are %s", source->label, on ? "the guest's" : "the host's");
}

static void set_open(struct vhu_input_gate *gate, bool open)
{
	struct vhu_input_state state;

	if (open == gate->open)
		return;
	gate->open = open;
	state = gate->source->state;
	if (open)
		put_outputs(gate);
	else
		vhu_input_state_release(&state);
	gate->next->resync(gate->next, &state);
}

static bool is_held(const struct vhu_input_state *state)
{
	return vhu_input_state_any_key(state) || vhu_input_state_any_contact(state);
}

static void update(struct vhu_input_gate *gate)
{
	struct vhu_input_source *source = gate->source;
	bool wanted = wants_grab(gate);

	if (wanted != source->grabbed && !is_held(&source->state))
		grab(gate, wanted);
	set_open(gate, gate->listened &&
			       (gate->policy == VHU_INPUT_GRAB_NEVER || source->grabbed));
}

static void on_toggled(struct vhu_call *call)
{
	struct vhu_input_gate *gate = container_of(call, struct vhu_input_gate, toggle_call);

	atomic_flag_clear(&gate->toggle_posted);
	update(gate);
}

static void toggle(void)
{
	struct vhu_input_gate *gate;

	pthread_mutex_lock(&toggled_mutex);
	atomic_store(&toggled_off, !atomic_load(&toggled_off));
	for (gate = toggled; gate; gate = gate->next_toggled)
		if (!atomic_flag_test_and_set(&gate->toggle_posted))
			vhu_loop_post(gate->source->loop, &gate->toggle_call);
	pthread_mutex_unlock(&toggled_mutex);
}

/* The keys of a hotkey go up where they went down: what they do is done when they are up. */
static void watch_hotkey(struct vhu_input_gate *gate)
{
	const struct vhu_input_state *state = &gate->source->state;

	if (is_down(state, hotkeys[gate->hotkey].first) &&
	    is_down(state, hotkeys[gate->hotkey].second)) {
		gate->hotkey_was_down = true;
	} else if (gate->hotkey_was_down && !vhu_input_state_any_key(state)) {
		gate->hotkey_was_down = false;
		toggle();
	}
}

static void take_packet(struct vhu_input_sink *sink, const struct vhu_input_event *events, size_t n,
			uint64_t time_ns)
{
	struct vhu_input_gate *gate = container_of(sink, struct vhu_input_gate, sink);

	if (gate->open)
		gate->next->packet(gate->next, events, n, time_ns);
	else if (!gate->listened)
		vhu_counter_add(&gate->stats->unheard, 1);
	if (gate->listened && gate->policy == VHU_INPUT_GRAB_TOGGLE)
		watch_hotkey(gate);
	update(gate);
}

static void take_resync(struct vhu_input_sink *sink, const struct vhu_input_state *state)
{
	struct vhu_input_gate *gate = container_of(sink, struct vhu_input_gate, sink);
	bool was_open = gate->open;

	/* Keys that were not seen to go up end no hotkey. */
	if (!vhu_input_state_any_key(state))
		gate->hotkey_was_down = false;
	update(gate);
	if (!was_open || !gate->open)
		return;
	put_outputs(gate);
	gate->next->resync(gate->next, state);
}

static size_t tell_backlog(struct vhu_input_sink *sink)
{
	struct vhu_input_gate *gate = container_of(sink, struct vhu_input_gate, sink);

	return gate->open ? gate->next->backlog(gate->next) : 0;
}

void vhu_input_gate_init(struct vhu_input_gate *gate, const struct vhu_input_options *options,
			 struct vhu_input_source *source, struct vhu_input_sink *next,
			 struct vhu_input_stats *stats)
{
	memset(gate, 0, sizeof(*gate));
	gate->sink = (struct vhu_input_sink){ take_packet, take_resync, tell_backlog };
	gate->next = next;
	gate->source = source;
	gate->stats = stats;
	gate->policy = options->grab;
	gate->hotkey = options->hotkey;
	gate->toggle_call.fn = on_toggled;
}

static void set_toggled(struct vhu_input_gate *gate, bool on)
{
	struct vhu_input_gate **at;

	pthread_mutex_lock(&toggled_mutex);
	for (at = &toggled; *at && *at != gate; at = &(*at)->next_toggled)
		;
	if (on) {
		gate->next_toggled = NULL;
		*at = gate;
	} else if (*at) {
		*at = gate->next_toggled;
	}
	if (!toggled)
		atomic_store(&toggled_off, false);
	pthread_mutex_unlock(&toggled_mutex);
}

/* A tone goes on until somebody ends it. A grab that ends does so, too, but there may be none. */
static void silence(struct vhu_input_gate *gate)
{
	for (unsigned i = 0; i < gate->n_outputs; i++) {
		const struct vhu_input_event end = { EV_SND, gate->outputs[i].code, 0 };

		if (gate->outputs[i].type == EV_SND && gate->outputs[i].value)
			put_output(gate, &end);
	}
}

void vhu_input_gate_listen(struct vhu_input_gate *gate, bool on)
{
	struct vhu_input_source *source = gate->source;

	if (gate->listened == on)
		return;
	if (gate->open)
		silence(gate);
	gate->listened = on;
	gate->hotkey_was_down = false;
	gate->n_outputs = 0;
	if (gate->policy == VHU_INPUT_GRAB_TOGGLE)
		set_toggled(gate, on);
	update(gate);
	if (source->ops->listened)
		source->ops->listened(source, on);
}

static struct vhu_input_event *find_output(struct vhu_input_gate *gate,
					   const struct vhu_input_event *event)
{
	unsigned i;

	for (i = 0; i < gate->n_outputs; i++)
		if (gate->outputs[i].type == event->type && gate->outputs[i].code == event->code)
			return &gate->outputs[i];
	return i < VHU_INPUT_OUTPUTS ? &gate->outputs[gate->n_outputs++] : NULL;
}

void vhu_input_gate_write(struct vhu_input_gate *gate, const struct vhu_input_event *event)
{
	struct vhu_input_event *output = find_output(gate, event);

	if (output)
		*output = *event;
	if (gate->open)
		put_output(gate, event);
}
