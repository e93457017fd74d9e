/* SPDX-License-Identifier: BSD-3-Clause */
#include "devices/input/input.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/backend/vring.h"
#include "common/backend/worker.h"
#include "common/base/log.h"
#include "common/base/num.h"
#include "devices/input/gate.h"
#include "devices/input/outbox.h"
#include "devices/input/source.h"
#include "devices/input/stats.h"

enum {
	QUEUE_EVENT,
	QUEUE_STATUS,
	N_QUEUES,
};

static_assert(sizeof(struct virtio_input_event) == 8, "virtio 1.3, 5.8.6");

/* Source, gate, outbox, event queue: that is the way of an event. */
struct vhu_input {
	struct vhu_device device;
	const struct vhu_input_options *options;
	struct vhu_input_ident ident;
	struct vhu_input_source *source;
	struct vhu_input_gate gate;
	struct vhu_input_sink sink; /* behind the gate */
	struct vhu_input_outbox outbox;
	struct vhu_input_stats stats;
	uint8_t select, subsel;
	struct virtio_input_config shown; /* what the front-end has read last */
	bool listening;	 /* the event queue is at work */
	bool slot_known; /* of the contact whose events come */
	struct vhu_log_limit log_limit;
	struct vhu_call begin_call;
	atomic_flag begin_posted;
	struct vhu_input_event packet[VHU_INPUT_PACKET_MAX];
};

static struct vhu_input *input_of(struct vhu_device *device)
{
	return container_of(device, struct vhu_input, device);
}

static unsigned input_num_queues(struct vhu_device *device)
{
	(void)device;
	return N_QUEUES;
}

static unsigned input_max_queue_size(struct vhu_device *device)
{
	return (unsigned)input_of(device)->options->queue_size;
}

/* The type has no feature bits (virtio 1.3, 5.8.3). */
static uint64_t input_features(struct vhu_device *device)
{
	(void)device;
	return 0;
}

static int input_get_config(struct vhu_device *device, uint32_t offset, uint32_t size, uint8_t *buf)
{
	struct vhu_input *input = input_of(device);
	struct virtio_input_config *config = &input->shown;

	vhu_input_ident_answer(&input->ident, input->select, input->subsel, config);
	if (offset < sizeof(*config))
		memcpy(buf, (char *)config + offset, min_u64(size, sizeof(*config) - offset));
	return 0;
}

/*
 * The first two bytes are the driver's (virtio 1.3, 5.8.4). QEMU writes all of them, the others as
 * it has read them last, be it before a reset.
 */
static int input_set_config(struct vhu_device *device, uint32_t offset, uint32_t size,
			    const uint8_t *buf, uint32_t flags)
{
	struct vhu_input *input = input_of(device);
	uint8_t select = input->select, subsel = input->subsel;
	const uint8_t *shown = (uint8_t *)&input->shown;

	(void)flags;
	for (uint32_t i = 0; i < size; i++) {
		uint32_t at = offset + i;

		if (at == offsetof(struct virtio_input_config, select))
			select = buf[i];
		else if (at == offsetof(struct virtio_input_config, subsel))
			subsel = buf[i];
		else if (buf[i] != (at < sizeof(input->shown) ? shown[at] : 0))
			return -EINVAL;
	}
	input->select = select;
	input->subsel = subsel;
	return 0;
}

/* Like the events of what the guest was not told of: a recording may have anything. */
static void leave_out_unknown(const struct vhu_input_ident *ident, struct vhu_input_state *state)
{
	unsigned n_slots = vhu_input_ident_slots(ident);
	struct vhu_input_state none;

	vhu_input_state_init(&none);
	for (unsigned i = 0; i < sizeof(state->keys); i++)
		state->keys[i] &= ident->codes[EV_KEY][i];
	for (unsigned i = 0; i < sizeof(state->switches); i++)
		state->switches[i] &= ident->codes[EV_SW][i];
	for (unsigned i = 0; i < ABS_CNT; i++)
		if (!vhu_input_ident_has(ident, EV_ABS, i))
			state->abs[i] = none.abs[i];
	for (unsigned i = n_slots; i < VHU_INPUT_SLOTS_MAX; i++)
		state->contacts[i] = none.contacts[i];
	for (unsigned i = 0; i < n_slots; i++)
		for (unsigned j = 0; j < VHU_INPUT_MT_CODES; j++)
			if (!vhu_input_ident_has(ident, EV_ABS, VHU_INPUT_MT_FIRST + j))
				state->contacts[i].values[j] = none.contacts[i].values[j];
	if (state->slot >= n_slots)
		state->slot = VHU_INPUT_NO_SLOT;
}

static void resync(struct vhu_input *input, const struct vhu_input_state *source)
{
	struct vhu_input_state state = *source;

	leave_out_unknown(&input->ident, &state);
	/* Behind a gate that is shut nothing is pressed. */
	if (!input->gate.open)
		vhu_input_state_release(&state);
	vhu_input_outbox_resync(&input->outbox, &state);
}

static void write_event(struct vhu_input *input, const struct vhu_chain *chain,
			const struct vhu_input_event *event)
{
	const struct virtio_input_event bytes = {
		.type = htole16(event->type),
		.code = htole16(event->code),
		.value = htole32((uint32_t)event->value),
	};
	struct vhu_iov_cursor writer;
	uint64_t time_ns, now_ns;

	vhu_chain_writer(chain, &writer);
	vhu_iov_write(&writer, &bytes, sizeof(bytes));
	vhu_input_outbox_sent(&input->outbox, &time_ns);
	if (!time_ns)
		return;
	now_ns = vhu_now_ns();
	vhu_input_stats_add_latency(&input->stats, now_ns > time_ns ? now_ns - time_ns : 0);
}

/*
 * As many events as there are buffers for. A packet may need more than the driver ever gives at
 * once: it holds back what it has until SYN_REPORT comes.
 */
static void deliver(struct vhu_input *input, struct vhu_vring *vring)
{
	const struct vhu_input_event *event;
	struct vhu_chain *chain;

	while ((event = vhu_input_outbox_front(&input->outbox)) && (chain = vhu_vring_pop(vring))) {
		if (chain->writable_bytes >= sizeof(struct virtio_input_event)) {
			write_event(input, chain, event);
			vhu_vring_push(vring, chain, sizeof(struct virtio_input_event));
			continue;
		}
		vhu_counter_add(&input->stats.bad_buffers, 1);
		vhu_log_limited(&input->log_limit, VHU_LOG_WARNING,
				"input: a buffer of %zu bytes is too small for an event",
				chain->writable_bytes);
		vhu_vring_push(vring, chain, 0);
	}
}

static void handle_events(struct vhu_input *input, struct vhu_vring *vring)
{
	if (!input->listening) {
		input->listening = true;
		vhu_input_gate_listen(&input->gate, true);
		resync(input, &input->source->state);
	}
	deliver(input, vring);
}

/* The guest's driver echoes EV_MSC and others: only what has an effect goes to the source. */
static void take_status(struct vhu_input *input, const struct vhu_chain *chain)
{
	struct virtio_input_event bytes;
	struct vhu_input_event event;
	struct vhu_iov_cursor reader;

	vhu_chain_reader(chain, &reader);
	if (vhu_iov_read(&reader, &bytes, sizeof(bytes)) < sizeof(bytes))
		return;
	event.type = le16toh(bytes.type);
	event.code = le16toh(bytes.code);
	event.value = (int32_t)le32toh(bytes.value);
	vhu_counter_add(&input->stats.status_events, 1);
	if ((event.type == EV_LED || event.type == EV_SND || event.type == EV_REP) &&
	    vhu_input_ident_has(&input->ident, event.type, event.code))
		vhu_input_gate_write(&input->gate, &event);
}

static void handle_status(struct vhu_input *input, struct vhu_vring *vring)
{
	struct vhu_chain *chain;

	while ((chain = vhu_vring_pop(vring))) {
		take_status(input, chain);
		vhu_vring_push(vring, chain, 0);
	}
}

static int input_handle_event(struct vhu_device *device, unsigned event_id, uint32_t epoll_events,
			      unsigned worker_idx)
{
	struct vhu_vring *vring = vhu_device_vring(device, event_id);

	(void)epoll_events;
	(void)worker_idx;
	if (event_id == QUEUE_EVENT)
		handle_events(input_of(device), vring);
	else
		handle_status(input_of(device), vring);
	return 0;
}

/* Whoever held a key when the guest stops does not when it goes on. */
static void input_farewell(struct vhu_device *device, unsigned queue)
{
	struct vhu_input *input = input_of(device);
	struct vhu_input_state state = input->outbox.guest;

	if (queue != QUEUE_EVENT || !input->listening)
		return;
	vhu_input_state_release(&state);
	vhu_input_outbox_shortcut(&input->outbox, &state);
	deliver(input, vhu_device_vring(device, queue));
	input->listening = false;
}

static void input_drain(struct vhu_device *device, unsigned queue, enum vhu_drain_reason reason)
{
	if (queue == QUEUE_EVENT && reason != VHU_DRAIN_MEMORY_REMOVED)
		input_of(device)->listening = false;
}

static void input_reset_device(struct vhu_device *device)
{
	struct vhu_input *input = input_of(device);

	input->select = input->subsel = 0;
	input->listening = false;
	vhu_input_outbox_reset(&input->outbox);
}

static void input_set_backend_req_fd(struct vhu_device *device, struct vhu_channel *channel)
{
	struct vhu_input *input = input_of(device);

	if (channel)
		return;
	/* The session has ended. */
	vhu_input_gate_listen(&input->gate, false);
	input->select = input->subsel = 0;
	memset(&input->shown, 0, sizeof(input->shown));
}

static void input_destroy(struct vhu_device *device)
{
	struct vhu_input *input = input_of(device);

	if (input->source)
		input->source->ops->close(input->source);
	free(input);
}

static const struct vhu_device_ops input_ops = {
	.name = "input",
	.locking = VHU_LOCK_WORKER,
	.completes_in_order = true,
	.calls_once = true,
	.num_queues = input_num_queues,
	.max_queue_size = input_max_queue_size,
	.features = input_features,
	.reset_device = input_reset_device,
	.get_config = input_get_config,
	.set_config = input_set_config,
	.set_backend_req_fd = input_set_backend_req_fd,
	.handle_event = input_handle_event,
	.farewell = input_farewell,
	.drain = input_drain,
	.destroy = input_destroy,
};

static bool drops_repeats(const struct vhu_input *input)
{
	return input->options->repeat == VHU_INPUT_REPEAT_OFF ||
	       (input->options->repeat == VHU_INPUT_REPEAT_GUEST &&
		vhu_input_ident_has(&input->ident, EV_REP, REP_DELAY));
}

static bool is_known_slot(struct vhu_input *input, const struct vhu_input_event *event)
{
	if (event->code == ABS_MT_SLOT)
		input->slot_known = event->value >= 0 &&
				    (unsigned)event->value < vhu_input_ident_slots(&input->ident);
	return input->slot_known;
}

/*
 * What the guest was told of. LEDs, sounds and the repeat are its own to set: their echo, when it
 * comes late, would undo what it has set since.
 */
static bool passes(struct vhu_input *input, const struct vhu_input_event *event)
{
	switch (event->type) {
	case EV_SYN: /* contacts that are not numbered need another one, and cannot be repaired */
		return event->code == SYN_REPORT;
	case EV_KEY:
		if (event->value == 2 && drops_repeats(input))
			return false;
		break;
	case EV_ABS:
		if (event->code >= ABS_MT_SLOT && !is_known_slot(input, event))
			return false;
		break;
	case EV_REL:
	case EV_MSC:
	case EV_SW:
		break;
	default:
		return false;
	}
	return vhu_input_ident_has(&input->ident, event->type, event->code);
}

static void wake(struct vhu_input *input)
{
	vhu_worker_wake_ring(vhu_device_worker(&input->device, 0), QUEUE_EVENT);
}

static void sink_packet(struct vhu_input_sink *sink, const struct vhu_input_event *events, size_t n,
			uint64_t time_ns)
{
	struct vhu_input *input = container_of(sink, struct vhu_input, sink);
	size_t n_passed = 0;

	for (size_t i = 0; i < n; i++)
		if (passes(input, &events[i]))
			input->packet[n_passed++] = events[i];
	if (!input->listening)
		vhu_counter_add(&input->stats.unheard, 1);
	if (!input->listening || n_passed < 2)
		return;
	vhu_input_outbox_add(&input->outbox, input->packet, n_passed, time_ns);
	wake(input);
}

static void sink_resync(struct vhu_input_sink *sink, const struct vhu_input_state *state)
{
	struct vhu_input *input = container_of(sink, struct vhu_input, sink);

	input->slot_known = state->slot < vhu_input_ident_slots(&input->ident);
	if (!input->listening)
		return;
	resync(input, state);
	wake(input);
}

static size_t sink_backlog(struct vhu_input_sink *sink)
{
	return vhu_input_outbox_length(&container_of(sink, struct vhu_input, sink)->outbox);
}

static void begin_posted(struct vhu_call *call)
{
	struct vhu_input *input = container_of(call, struct vhu_input, begin_call);

	atomic_flag_clear(&input->begin_posted);
	input->source->ops->begin(input->source);
}

int vhu_input_begin_replay(struct vhu_device *device)
{
	struct vhu_input *input = input_of(device);

	if (!input->options->replay_wait)
		return -EOPNOTSUPP;
	if (!atomic_flag_test_and_set(&input->begin_posted))
		vhu_loop_post(vhu_device_worker(device, 0)->loop, &input->begin_call);
	return 0;
}

void vhu_input_print_stats(struct vhu_device *device, FILE *out)
{
	const struct vhu_input *input = input_of(device);

	vhu_input_stats_print(&input->stats, input->source->label, out);
}

static const struct vhu_input_source_ops *source_of(const struct vhu_input_options *o)
{
	if (o->replay)
		return &vhu_input_source_replay;
	if (o->stream)
		return &vhu_input_source_stream;
	return o->seat || o->mode == VHU_INPUT_LIBINPUT ? &vhu_input_source_libinput
							: &vhu_input_source_evdev;
}

static void adapt_ident(struct vhu_input_ident *ident, const struct vhu_input_options *o)
{
	if (o->name)
		strcpy(ident->name, o->name); /* as long as it may be: see options.c */
	if (o->serial)
		strcpy(ident->serial, o->serial);
	if (o->repeat != VHU_INPUT_REPEAT_GUEST)
		memset(ident->codes[EV_REP], 0, sizeof(ident->codes[EV_REP]));
	if (vhu_input_ident_slots(ident) > VHU_INPUT_SLOTS_MAX)
		ident->abs[ABS_MT_SLOT].maximum = VHU_INPUT_SLOTS_MAX - 1;
}

static int init_input(struct vhu_input *input)
{
	const struct vhu_input_options *o = input->options;
	int r = source_of(o)->open(o, &input->ident, &input->source);

	if (r < 0)
		return r;
	adapt_ident(&input->ident, o);
	input->sink = (struct vhu_input_sink){ sink_packet, sink_resync, sink_backlog };
	vhu_input_outbox_init(&input->outbox, &input->stats);
	vhu_input_gate_init(&input->gate, o, input->source, &input->sink, &input->stats);
	input->slot_known = vhu_input_ident_slots(&input->ident);
	input->begin_call.fn = begin_posted;
	return vhu_device_init(&input->device, &input_ops);
}

int vhu_input_new(const struct vhu_input_options *options, struct vhu_device **ret_device)
{
	struct vhu_input *input;
	int r = vhu_input_options_check(options);

	if (r < 0)
		return r;
	input = calloc(1, sizeof(*input));
	if (!input)
		return -ENOMEM;
	input->options = options;
	r = init_input(input);
	if (r < 0) {
		input_destroy(&input->device);
		return r;
	}
	input->device.poll_max_ns = 0; /* nobody types that fast */
	r = input->source->ops->attach(input->source, vhu_device_worker(&input->device, 0)->loop,
				       &input->gate.sink);
	if (r < 0) {
		vhu_error("%s: %s", input->source->label, strerror(-r));
		vhu_device_unref(&input->device);
		return r;
	}
	vhu_info("%s: \"%s\", by %s", input->source->label, input->ident.name,
		 input->source->ops->name);
	*ret_device = &input->device;
	return 0;
}
