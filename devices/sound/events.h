/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_DEVICES_SOUND_EVENTS_H
#define VHU_DEVICES_SOUND_EVENTS_H

/*
 * What the driver is still to be told of. Not a queue but a note for each thing that can happen, so
 * that a driver which gives no buffers costs nothing, and learns the latest when it does.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/backend/vring.h"
#include "devices/sound/protocol.h"

#define VHU_SOUND_EVENT_IDS 64

struct vhu_sound_events {
	uint64_t connected, disconnected; /* masks of jacks */
	uint64_t periods, xruns;	  /* masks of streams */
	uint64_t notified;		  /* mask of elements with: */
	uint16_t notify_masks[VHU_SOUND_EVENT_IDS];
};

void vhu_sound_events_reset(struct vhu_sound_events *events);
/* code: VIRTIO_SND_EVT_JACK_*, _PCM_*. */
void vhu_sound_events_add(struct vhu_sound_events *events, uint32_t code, unsigned id);
/* mask: 1 << VIRTIO_SND_CTL_EVT_MASK_*. */
void vhu_sound_events_notify(struct vhu_sound_events *events, unsigned element, uint16_t mask);
/* As far as there are buffers. In a pass of the event queue. */
void vhu_sound_events_send(struct vhu_sound_events *events, struct vhu_vring *vring);

#endif
