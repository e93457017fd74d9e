/* SPDX-License-Identifier: BSD-3-Clause */
/* Which cards the streams have, and what happens there. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/backend/worker.h"
#include "common/base/num.h"
#include "devices/sound/card_soft.h"
#include "devices/sound/sound_priv.h"

/* Streams of one card at the host have the same of it. */
static bool is_same_card(const struct vhu_sound_card *a, const struct vhu_sound_card *b)
{
	return a == b || (a->where && b->where && !strcmp(a->where, b->where));
}

static bool has_element(const struct vhu_sound *sound, const struct vhu_sound_card *card,
			const struct vhu_sound_element *element)
{
	for (unsigned i = 0; i < sound->n_elements; i++) {
		const struct vhu_sound_element_place *place = &sound->elements[i];

		if (is_same_card(place->card, card) &&
		    !strcmp(place->card->elements[place->index].name, element->name))
			return true;
	}
	return false;
}

/* Of a name that several have; one name and index are one element (virtio 1.3, 5.14.6.10.1). */
static uint32_t count_name(const struct vhu_sound *sound, const char *name)
{
	uint32_t n = 0;

	for (unsigned i = 0; i < sound->n_elements; i++)
		n += !strcmp(sound->elements[i].card->elements[sound->elements[i].index].name,
			     name);
	return n;
}

static void add_elements(struct vhu_sound *sound, struct vhu_sound_card *card, unsigned stream)
{
	for (unsigned i = 0; i < card->n_elements; i++) {
		struct vhu_sound_element *element = &card->elements[i];

		if (has_element(sound, card, element))
			continue;
		element->index = count_name(sound, element->name);
		element->stream = stream;
		sound->elements[sound->n_elements++] = (struct vhu_sound_element_place){ card, i };
	}
}

static void add_jacks(struct vhu_sound *sound, struct vhu_sound_card *card, unsigned stream)
{
	for (unsigned i = 0; i < sound->n_cards; i++)
		if (is_same_card(sound->cards[i], card))
			return;
	for (unsigned i = 0; i < card->n_jacks && sound->n_jacks < VHU_SOUND_JACKS_MAX; i++) {
		card->jacks[i].stream = stream;
		sound->jacks[sound->n_jacks++] = (struct vhu_sound_jack_state){
			.jack = &card->jacks[i],
			.stream = stream,
			.defconf = card->jacks[i].defconf,
		};
	}
}

static void add_card(struct vhu_sound *sound, struct vhu_sound_card *card, unsigned stream)
{
	if (sound->options->controls)
		add_elements(sound, card, stream);
	add_jacks(sound, card, stream);
	sound->cards[sound->n_cards++] = card;
}

/* Nothing else sets the volume of what is played, so the guest's is ours to make. */
static int add_soft(struct vhu_sound *sound, struct vhu_sound_stream *stream)
{
	struct vhu_sound_card *card;
	int r = vhu_sound_card_soft.open(&stream->options, &card);

	if (r < 0)
		return r;
	stream->gain = vhu_sound_card_gain(card);
	add_card(sound, card, stream->id);
	return 0;
}

int vhu_sound_add_cards(struct vhu_sound *sound, struct vhu_sound_stream *stream)
{
	const char *control = stream->options.control;
	bool has_volume = false;
	struct vhu_sound_card *card;
	int r = -ENOENT;

	if (!strcmp(stream->options.host, "alsa"))
		r = vhu_sound_card_alsa.open(&stream->options, &card);
	if (r == 0) {
		has_volume = card->n_elements;
		add_card(sound, card, stream->id);
	} else if (r != -ENOENT) {
		return r;
	}
	if (has_volume || (control && strcmp(control, "soft")) ||
	    stream->caps.formats & ~vhu_sound_gain_formats())
		return 0;
	return add_soft(sound, stream);
}

static struct vhu_sound *of_sink(struct vhu_sound_card_sink *sink)
{
	return container_of(sink, struct vhu_sound, card_sink);
}

static void wake_events(struct vhu_sound *sound)
{
	vhu_worker_wake_ring(vhu_device_worker(&sound->device, 0), VHU_SOUND_EVENT);
}

static void element_changed(struct vhu_sound_card_sink *sink,
			    const struct vhu_sound_element *element)
{
	struct vhu_sound *sound = of_sink(sink);

	for (unsigned i = 0; i < sound->n_elements; i++) {
		const struct vhu_sound_element_place *place = &sound->elements[i];

		if (element != &place->card->elements[place->index] || !sound->controls)
			continue;
		vhu_sound_events_notify(&sound->events, i, 1u << VIRTIO_SND_CTL_EVT_MASK_VALUE);
		wake_events(sound);
	}
}

void vhu_sound_tell_jack(struct vhu_sound *sound, unsigned i)
{
	bool connected = sound->jacks[i].jack->connected && !sound->jacks[i].gone;

	vhu_sound_events_add(&sound->events,
			     connected ? VIRTIO_SND_EVT_JACK_CONNECTED
				       : VIRTIO_SND_EVT_JACK_DISCONNECTED,
			     i);
	wake_events(sound);
}

static void jack_changed(struct vhu_sound_card_sink *sink, const struct vhu_sound_jack *jack)
{
	struct vhu_sound *sound = of_sink(sink);

	for (unsigned i = 0; i < sound->n_jacks; i++)
		if (sound->jacks[i].jack == jack)
			vhu_sound_tell_jack(sound, i);
}

int vhu_sound_attach_cards(struct vhu_sound *sound)
{
	struct vhu_loop *loop = vhu_device_worker(&sound->device, 0)->loop;
	int r = 0;

	sound->card_sink = (struct vhu_sound_card_sink){ element_changed, jack_changed };
	for (unsigned i = 0; i < sound->n_cards && r == 0; i++)
		r = sound->cards[i]->ops->attach(sound->cards[i], loop, &sound->card_sink);
	return r;
}

void vhu_sound_close_cards(struct vhu_sound *sound)
{
	for (unsigned i = 0; i < sound->n_cards; i++)
		sound->cards[i]->ops->close(sound->cards[i]);
}
