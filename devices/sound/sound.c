/* SPDX-License-Identifier: BSD-3-Clause */
#include "devices/sound/sound.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/backend/vring.h"
#include "common/backend/worker.h"
#include "common/base/log.h"
#include "common/base/num.h"
#include "devices/sound/sound_priv.h"

static struct vhu_sound *sound_of(struct vhu_device *device)
{
	return container_of(device, struct vhu_sound, device);
}

static struct vhu_vring *ring(struct vhu_sound *sound, unsigned queue)
{
	return vhu_device_vring(&sound->device, queue);
}

static void wake(struct vhu_sound *sound, unsigned queue)
{
	vhu_worker_wake_ring(vhu_device_worker(&sound->device, 0), queue);
}

static unsigned queue_of(const struct vhu_sound_stream *stream)
{
	return vhu_sound_is_capture(stream) ? VHU_SOUND_RX : VHU_SOUND_TX;
}

/* --- what a stream says --------------------------------------------------------------------- */

static struct vhu_sound *of_sink(struct vhu_sound_stream_sink *sink)
{
	return container_of(sink, struct vhu_sound, stream_sink);
}

static void stream_wake(struct vhu_sound_stream_sink *sink, const struct vhu_sound_stream *stream)
{
	wake(of_sink(sink), queue_of(stream));
}

static void stream_complete(struct vhu_sound_stream_sink *sink,
			    const struct vhu_sound_stream *stream,
			    struct vhu_sound_message *message, uint32_t status,
			    uint32_t latency_bytes)
{
	vhu_sound_end_message(ring(of_sink(sink), queue_of(stream)), message, status,
			      latency_bytes);
}

static void stream_prepared(struct vhu_sound_stream_sink *sink, struct vhu_sound_stream *stream,
			    uint32_t status)
{
	struct vhu_vring *vring = ring(of_sink(sink), VHU_SOUND_CONTROL);
	struct vhu_chain *chain = stream->held;

	stream->held = NULL;
	if (!chain)
		return;
	vhu_sound_answer(vring, chain, status, 0);
	vhu_vring_notify(vring);
}

static void stream_event(struct vhu_sound_stream_sink *sink, const struct vhu_sound_stream *stream,
			 uint32_t code)
{
	struct vhu_sound *sound = of_sink(sink);

	vhu_sound_events_add(&sound->events, code, stream->id);
	wake(sound, VHU_SOUND_EVENT);
}

/* The jacks of a card go with it. */
static void stream_present(struct vhu_sound_stream_sink *sink,
			   const struct vhu_sound_stream *stream, bool present)
{
	struct vhu_sound *sound = of_sink(sink);

	for (unsigned i = 0; i < sound->n_jacks; i++) {
		struct vhu_sound_jack_state *jack = &sound->jacks[i];

		if (jack->fixed || jack->stream != stream->id || jack->gone == !present)
			continue;
		jack->gone = !present;
		if (jack->jack->connected)
			vhu_sound_tell_jack(sound, i);
	}
}

static const struct vhu_sound_stream_sink stream_sink = {
	.wake = stream_wake,
	.complete = stream_complete,
	.prepared = stream_prepared,
	.event = stream_event,
	.present = stream_present,
};

/* --- the contract --------------------------------------------------------------------------- */

static unsigned sound_num_queues(struct vhu_device *device)
{
	(void)device;
	return VHU_SOUND_N_QUEUES;
}

static unsigned sound_max_queue_size(struct vhu_device *device)
{
	return (unsigned)sound_of(device)->options->queue_size;
}

static uint64_t sound_features(struct vhu_device *device)
{
	return sound_of(device)->n_elements ? 1u << VIRTIO_SND_F_CTLS : 0;
}

static void sound_acked_features(struct vhu_device *device, uint64_t features)
{
	sound_of(device)->controls = features >> VIRTIO_SND_F_CTLS & 1;
}

static int sound_get_config(struct vhu_device *device, uint32_t offset, uint32_t size, uint8_t *buf)
{
	const struct vhu_sound *sound = sound_of(device);
	const struct vhu_snd_config config = {
		.jacks = htole32(sound->n_jacks),
		.streams = htole32(sound->n_streams),
		.chmaps = htole32(sound->n_chmaps),
		.controls = htole32(sound->n_elements),
	};

	if (offset < sizeof(config))
		memcpy(buf, (const char *)&config + offset,
		       min_u64(size, sizeof(config) - offset));
	return 0;
}

static void handle_transfers(struct vhu_sound *sound, unsigned queue)
{
	bool capture = queue == VHU_SOUND_RX;

	vhu_sound_take_messages(sound, ring(sound, queue), capture ? &sound->rx : &sound->tx);
	for (unsigned i = 0; i < sound->n_streams; i++) {
		struct vhu_sound_stream *stream = &sound->streams[i];

		if (stream->due && vhu_sound_is_capture(stream) == capture)
			vhu_sound_stream_pump(stream);
	}
}

static int sound_handle_event(struct vhu_device *device, unsigned event_id, uint32_t epoll_events,
			      unsigned worker_idx)
{
	struct vhu_sound *sound = sound_of(device);

	(void)epoll_events;
	(void)worker_idx;
	if (event_id == VHU_SOUND_CONTROL)
		vhu_sound_handle_control(sound, ring(sound, event_id));
	else if (event_id == VHU_SOUND_EVENT)
		vhu_sound_events_send(&sound->events, ring(sound, event_id));
	else
		handle_transfers(sound, event_id);
	return 0;
}

/* A stream that plays goes on where it is. */
static int sound_start(struct vhu_device *device, unsigned queue, unsigned size)
{
	struct vhu_sound *sound = sound_of(device);

	(void)size;
	for (unsigned i = 0; i < sound->n_streams; i++)
		if (queue_of(&sound->streams[i]) == queue)
			sound->streams[i].due = true;
	return 0;
}

static void sound_drain(struct vhu_device *device, unsigned queue, enum vhu_drain_reason reason)
{
	struct vhu_sound *sound = sound_of(device);

	(void)reason;
	if (queue == VHU_SOUND_TX)
		vhu_sound_give_back(sound, ring(sound, queue), &sound->tx);
	else if (queue == VHU_SOUND_RX)
		vhu_sound_give_back(sound, ring(sound, queue), &sound->rx);
	else if (queue == VHU_SOUND_CONTROL)
		for (unsigned i = 0; i < sound->n_streams; i++)
			vhu_sound_stream_answer(&sound->streams[i]);
}

static void reset(struct vhu_sound *sound)
{
	for (unsigned i = 0; i < sound->n_streams; i++)
		vhu_sound_stream_reset(&sound->streams[i]);
	for (unsigned i = 0; i < sound->n_cards; i++)
		if (sound->cards[i]->ops->reset)
			sound->cards[i]->ops->reset(sound->cards[i]);
	vhu_sound_events_reset(&sound->events);
	for (unsigned i = 0; i < sound->n_jacks; i++) {
		sound->jacks[i].defconf = sound->jacks[i].jack->defconf;
		sound->jacks[i].gone = false;
	}
}

static void sound_reset_device(struct vhu_device *device)
{
	reset(sound_of(device));
}

static void sound_set_backend_req_fd(struct vhu_device *device, struct vhu_channel *channel)
{
	/* The session has ended. */
	if (!channel)
		reset(sound_of(device));
}

static void dispose(struct vhu_sound *sound)
{
	bool alone = true;

	for (unsigned i = 0; i < sound->n_streams; i++)
		alone &= vhu_sound_stream_finish(&sound->streams[i]);
	vhu_sound_close_cards(sound);
	if (alone)
		free(sound);
}

static void sound_destroy(struct vhu_device *device)
{
	dispose(sound_of(device));
}

static const struct vhu_device_ops sound_ops = {
	.name = "sound",
	.locking = VHU_LOCK_WORKER,
	.calls_once = true,
	.num_queues = sound_num_queues,
	.max_queue_size = sound_max_queue_size,
	.features = sound_features,
	.acked_features = sound_acked_features,
	.reset_device = sound_reset_device,
	.get_config = sound_get_config,
	.set_backend_req_fd = sound_set_backend_req_fd,
	.handle_event = sound_handle_event,
	.start = sound_start,
	.drain = sound_drain,
	.state_version = 1,
	.save = vhu_sound_save,
	.load = vhu_sound_load,
	.destroy = sound_destroy,
};

/* --- its making ----------------------------------------------------------------------------- */

static const struct vhu_sound_host_ops *const hosts[] = {
	&vhu_sound_host_alsa,
	&vhu_sound_host_null,
	&vhu_sound_host_wav,
};

static const struct vhu_sound_host_ops *find_host(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++)
		if (!strcmp(hosts[i]->name, name))
			return hosts[i];
	return NULL;
}

static bool narrow_mask(uint64_t *mask, uint64_t own, uint64_t all)
{
	if (own)
		*mask &= own;
	else if (*mask & all)
		*mask &= all;
	return *mask;
}

static bool narrow_channels(struct vhu_sound_caps *caps, unsigned min, unsigned max, bool strictly)
{
	unsigned from = (unsigned)max_u64(caps->channels_min, min);
	unsigned to = (unsigned)min_u64(caps->channels_max, max);

	if (from > to)
		return !strictly;
	caps->channels_min = from;
	caps->channels_max = to;
	return true;
}

/* Can the PCM nothing of what is asked for all of them? */
static bool is_other(const struct vhu_sound_stream *stream, const struct vhu_sound_options *o)
{
	const struct vhu_sound_stream_options *own = &stream->options;
	const struct vhu_sound_caps *caps = &stream->caps;

	return (!own->formats && !(caps->formats & o->formats)) ||
	       (!own->rates && !(caps->rates & o->rates)) ||
	       (!own->channels_max && (caps->channels_min > o->channels_max ||
				       caps->channels_max < o->channels_min));
}

/*
 * What a stream asks for, as far as the PCM can. What is asked for all of them a PCM that has
 * nothing of it need not have: a file to be heard is as it is.
 */
static int narrow(struct vhu_sound_stream *stream, const struct vhu_sound_options *o)
{
	const struct vhu_sound_stream_options *own = &stream->options;
	struct vhu_sound_caps *caps = &stream->caps;
	const char *what = NULL;

	if (is_other(stream, o))
		vhu_info("%s: it has nothing of --formats, --rates or --channels; the guest is "
			 "offered what it has",
			 stream->label);
	if (!narrow_mask(&caps->formats, own->formats, o->formats))
		what = "format";
	else if (!narrow_mask(&caps->rates, own->rates, o->rates))
		what = "rate";
	else if (!narrow_channels(caps, own->channels_max ? own->channels_min : o->channels_min,
				  own->channels_max ? own->channels_max : o->channels_max,
				  own->channels_max))
		what = "number of channels";
	if (!what)
		return 0;
	vhu_error("%s: it has no %s of those asked for; ask for others, or try a PCM that converts "
		  "(plughw:, default)",
		  stream->label, what);
	return -EINVAL;
}

static void add_chmaps(struct vhu_sound *sound, const struct vhu_sound_stream *stream)
{
	for (unsigned i = 0; i < stream->caps.n_maps; i++) {
		const struct vhu_sound_map *map = &stream->caps.maps[i];

		if (map->channels >= stream->caps.channels_min &&
		    map->channels <= stream->caps.channels_max)
			sound->chmaps[sound->n_chmaps++] =
				(struct vhu_sound_chmap){ map, stream };
	}
}

/* What the guest is offered: known before there is a device. */
static int add_stream(struct vhu_sound *sound, const struct vhu_sound_stream_options *options)
{
	struct vhu_sound_stream *stream = &sound->streams[sound->n_streams];
	int r;

	stream->sink = &sound->stream_sink;
	stream->options = *options;
	stream->label = options->where ? options->where : options->host;
	stream->id = sound->n_streams;
	stream->latency_ms = sound->options->latency_ms;
	stream->pace = sound->options->pace;
	for (unsigned i = 0; i < sound->n_streams; i++)
		stream->nid += sound->streams[i].options.capture == options->capture;
	r = find_host(options->host)->probe(&stream->options, &stream->caps);
	if (r == 0)
		r = narrow(stream, sound->options);
	if (r < 0)
		return r;
	sound->n_streams++;
	add_chmaps(sound, stream);
	return vhu_sound_add_cards(sound, stream);
}

static void add_own_jacks(struct vhu_sound *sound)
{
	for (unsigned i = 0; i < sound->options->n_jacks; i++) {
		struct vhu_sound_jack *jack = &sound->own_jacks[i];

		snprintf(jack->name, sizeof(jack->name), "%s", sound->options->jacks[i]);
		jack->connected = true;
		jack->defconf = vhu_sound_jack_defconf(jack->name);
		sound->jacks[sound->n_jacks++] = (struct vhu_sound_jack_state){
			.jack = jack,
			.defconf = jack->defconf,
			.fixed = true,
		};
	}
}

static int add_all(struct vhu_sound *sound)
{
	struct vhu_sound_stream_options streams[VHU_SOUND_STREAMS_MAX];
	unsigned n = vhu_sound_options_streams(sound->options, streams);
	int r = 0;

	add_own_jacks(sound);
	for (unsigned i = 0; i < n && r == 0; i++)
		r = add_stream(sound, &streams[i]);
	return r;
}

/* What needs the worker's loop. */
static int attach(struct vhu_sound *sound)
{
	struct vhu_loop *loop = vhu_device_worker(&sound->device, 0)->loop;
	int r = vhu_sound_attach_cards(sound);

	sound->device.poll_max_ns = 0; /* a timer says when */
	for (unsigned i = 0; i < sound->n_streams && r == 0; i++)
		r = vhu_sound_stream_init(&sound->streams[i], loop,
					  find_host(sound->streams[i].options.host));
	return r;
}

int vhu_sound_new(const struct vhu_sound_options *options, struct vhu_device **ret_device)
{
	struct vhu_sound *sound;
	int r = vhu_sound_options_check(options);

	if (r < 0)
		return r;
	sound = calloc(1, sizeof(*sound));
	if (!sound)
		return -ENOMEM;
	sound->options = options;
	sound->stream_sink = stream_sink;
	r = add_all(sound);
	if (r == 0)
		r = vhu_device_init(&sound->device, &sound_ops);
	if (r < 0) {
		dispose(sound);
		return r;
	}
	r = attach(sound);
	if (r < 0) {
		vhu_error("sound: cannot watch its cards and streams: %s", strerror(-r));
		vhu_device_unref(&sound->device);
		return r;
	}
	*ret_device = &sound->device;
	return 0;
}
