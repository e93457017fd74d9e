/* SPDX-License-Identifier: BSD-3-Clause */
#include "devices/sound/events.h"

#include <endian.h>
#include <string.h>

#include "common/base/num.h"

static_assert(sizeof(struct virtio_snd_event) == 8, "virtio 1.3, 5.14.6");
static_assert(sizeof(struct virtio_snd_ctl_event) == 8, "virtio 1.3, 5.14.6.10.4");

void vhu_sound_events_reset(struct vhu_sound_events *events)
{
	memset(events, 0, sizeof(*events));
}

void vhu_sound_events_add(struct vhu_sound_events *events, uint32_t code, unsigned id)
{
	uint64_t bit = 1ull << id;

	switch (code) {
	case VIRTIO_SND_EVT_JACK_CONNECTED:
		events->connected |= bit;
		events->disconnected &= ~bit;
		break;
	case VIRTIO_SND_EVT_JACK_DISCONNECTED:
		events->disconnected |= bit;
		events->connected &= ~bit;
		break;
	case VIRTIO_SND_EVT_PCM_PERIOD_ELAPSED:
		events->periods |= bit;
		break;
	case VIRTIO_SND_EVT_PCM_XRUN:
		events->xruns |= bit;
		break;
	}
}

void vhu_sound_events_notify(struct vhu_sound_events *events, unsigned element, uint16_t mask)
{
	events->notified |= 1ull << element;
	events->notify_masks[element] |= mask;
}

static bool send(struct vhu_vring *vring, const void *event)
{
	struct vhu_chain *chain;
	struct vhu_iov_cursor writer;

	while ((chain = vhu_vring_pop(vring))) {
		bool fits = chain->writable_bytes >= sizeof(struct virtio_snd_event);

		vhu_chain_writer(chain, &writer);
		if (fits)
			vhu_iov_write(&writer, event, sizeof(struct virtio_snd_event));
		vhu_vring_push(vring, chain, fits ? sizeof(struct virtio_snd_event) : 0);
		if (fits)
			return true;
	}
	return false;
}

/* Of a set, one after the other; what could not be told stays in it. */
static bool send_set(struct vhu_vring *vring, uint32_t code, uint64_t *set)
{
	while (*set) {
		unsigned id = (unsigned)__builtin_ctzll(*set);
		const struct virtio_snd_event event = { { htole32(code) }, htole32(id) };

		if (!send(vring, &event))
			return false;
		*set &= *set - 1;
	}
	return true;
}

static bool send_notes(struct vhu_sound_events *events, struct vhu_vring *vring)
{
	while (events->notified) {
		unsigned id = (unsigned)__builtin_ctzll(events->notified);
		const struct virtio_snd_ctl_event event = {
			{ htole32(VIRTIO_SND_EVT_CTL_NOTIFY) }, htole16((uint16_t)id),
			htole16(events->notify_masks[id]),
		};

		if (!send(vring, &event))
			return false;
		events->notified &= events->notified - 1;
		events->notify_masks[id] = 0;
	}
	return true;
}

void vhu_sound_events_send(struct vhu_sound_events *events, struct vhu_vring *vring)
{
	if (send_set(vring, VIRTIO_SND_EVT_PCM_XRUN, &events->xruns) &&
	    send_set(vring, VIRTIO_SND_EVT_PCM_PERIOD_ELAPSED, &events->periods) &&
	    send_set(vring, VIRTIO_SND_EVT_JACK_DISCONNECTED, &events->disconnected) &&
	    send_set(vring, VIRTIO_SND_EVT_JACK_CONNECTED, &events->connected))
		send_notes(events, vring);
}
