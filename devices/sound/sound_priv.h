/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_DEVICES_SOUND_SOUND_PRIV_H
#define VHU_DEVICES_SOUND_SOUND_PRIV_H

#include "common/backend/device.h"
#include "devices/sound/card.h"
#include "devices/sound/events.h"
#include "devices/sound/stream.h"

/* Virtqueues (virtio 1.3, 5.14.2). */
enum {
	VHU_SOUND_CONTROL,
	VHU_SOUND_EVENT,
	VHU_SOUND_TX,
	VHU_SOUND_RX,
	VHU_SOUND_N_QUEUES,
};

#define VHU_SOUND_QUEUE_MAX 1024
#define VHU_SOUND_ELEMENTS_MAX (2 * VHU_SOUND_STREAMS_MAX)
#define VHU_SOUND_ALL_MAPS_MAX (VHU_SOUND_MAPS_MAX * VHU_SOUND_STREAMS_MAX)

struct vhu_sound_chmap {
	const struct vhu_sound_map *map;
	const struct vhu_sound_stream *stream; /* the first one that it is for */
};

struct vhu_sound_jack_state {
	const struct vhu_sound_jack *jack;
	unsigned stream;
	uint32_t defconf; /* as the driver has mapped it */
	bool gone;	  /* with the whole card */
	bool fixed;	  /* of --jack: no card goes with it */
};

/* An element: the one of that index of a card. */
struct vhu_sound_element_place {
	struct vhu_sound_card *card;
	unsigned index;
};

/* Messages of a transfer queue, by the slot of their chains. */
struct vhu_sound_transfers {
	struct vhu_sound_message messages[VHU_SOUND_QUEUE_MAX];
	uint64_t turns; /* chains popped so far */
	struct vhu_log_limit log_limit;
};

struct vhu_sound {
	struct vhu_device device;
	const struct vhu_sound_options *options;
	struct vhu_sound_stream_sink stream_sink;
	unsigned n_streams, n_chmaps, n_jacks;
	struct vhu_sound_stream streams[VHU_SOUND_STREAMS_MAX];
	struct vhu_sound_chmap chmaps[VHU_SOUND_ALL_MAPS_MAX];
	struct vhu_sound_jack_state jacks[VHU_SOUND_JACKS_MAX];
	struct vhu_sound_jack own_jacks[VHU_SOUND_JACKS_MAX]; /* of --jack */
	struct vhu_sound_card_sink card_sink;
	unsigned n_cards, n_elements;
	struct vhu_sound_card *cards[2 * VHU_SOUND_STREAMS_MAX]; /* the host's and ours */
	struct vhu_sound_element_place elements[VHU_SOUND_ELEMENTS_MAX];
	bool controls; /* VIRTIO_SND_F_CTLS was taken */
	struct vhu_sound_transfers tx, rx;
	struct vhu_sound_events events;
	struct vhu_counter requests, bad_requests;
	struct vhu_log_limit log_limit;
};

static inline const struct vhu_sound_element *vhu_sound_element(const struct vhu_sound *sound,
								 unsigned i)
{
	return &sound->elements[i].card->elements[sound->elements[i].index];
}

/* cards.c; the first two on main. The streams' offers are known. */
int vhu_sound_add_cards(struct vhu_sound *sound, struct vhu_sound_stream *stream);
int vhu_sound_attach_cards(struct vhu_sound *sound);
void vhu_sound_close_cards(struct vhu_sound *sound);
/* The driver is told how that jack is. */
void vhu_sound_tell_jack(struct vhu_sound *sound, unsigned i);

/* state.c */
int vhu_sound_save(struct vhu_device *device, void **ret_bytes, size_t *ret_len);
int vhu_sound_load(struct vhu_device *device, uint32_t version, const void *bytes, size_t len);

/* control.c */
void vhu_sound_handle_control(struct vhu_sound *sound, struct vhu_vring *vring);
/* written: bytes behind the status. */
void vhu_sound_answer(struct vhu_vring *vring, struct vhu_chain *chain, uint32_t status,
		      size_t written);

/* transfer.c */
void vhu_sound_take_messages(struct vhu_sound *sound, struct vhu_vring *vring,
			     struct vhu_sound_transfers *transfers);
void vhu_sound_end_message(struct vhu_vring *vring, struct vhu_sound_message *message,
			   uint32_t status, uint32_t latency_bytes);
/* What the queue's streams hold goes back to the ring, or is completed where that cannot be. */
void vhu_sound_give_back(struct vhu_sound *sound, struct vhu_vring *vring,
			 struct vhu_sound_transfers *transfers);

#endif
