/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What moves with a sound card besides its rings: how far each stream has been brought, our own
 * volumes, what the driver has done to jacks. What a card of the host is set to stays there.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/num.h"
#include "devices/sound/card_soft.h"
#include "devices/sound/sound_priv.h"

/* Little-endian, as are the rest: streams, elements, jacks. */
struct saved {
	uint32_t n_streams, n_elements, n_jacks, zero;
};

struct saved_stream {
	uint32_t state; /* enum vhu_sound_state */
	struct virtio_snd_pcm_set_params asked;
};

struct saved_element {
	uint32_t ours; /* 0 or 1; else value is nothing */
	int32_t value;
};

static_assert(sizeof(struct saved_stream) == 28 && sizeof(struct saved_element) == 8, "no holes");

static size_t bytes_of(uint64_t n_streams, uint64_t n_elements, uint64_t n_jacks)
{
	return sizeof(struct saved) + n_streams * sizeof(struct saved_stream) +
	       n_elements * sizeof(struct saved_element) + n_jacks * sizeof(uint32_t);
}

static bool is_ours(const struct vhu_sound_element_place *place)
{
	return vhu_sound_card_gain(place->card);
}

int vhu_sound_save(struct vhu_device *device, void **ret_bytes, size_t *ret_len)
{
	const struct vhu_sound *sound = container_of(device, struct vhu_sound, device);
	size_t len = bytes_of(sound->n_streams, sound->n_elements, sound->n_jacks);
	struct saved *saved = calloc(1, len);
	struct saved_stream *stream;
	struct saved_element *element;
	uint32_t *jack;

	if (!saved)
		return -ENOMEM;
	stream = (struct saved_stream *)(saved + 1);
	element = (struct saved_element *)(stream + sound->n_streams);
	jack = (uint32_t *)(element + sound->n_elements);
	*saved = (struct saved){
		.n_streams = htole32(sound->n_streams),
		.n_elements = htole32(sound->n_elements),
		.n_jacks = htole32(sound->n_jacks),
	};
	for (unsigned i = 0; i < sound->n_streams; i++) {
		stream[i].state = htole32(sound->streams[i].state);
		stream[i].asked = sound->streams[i].asked;
	}
	for (unsigned i = 0; i < sound->n_elements; i++) {
		const struct vhu_sound_element_place *place = &sound->elements[i];
		int32_t value;

		if (!is_ours(place) || place->card->ops->read(place->card, place->index, &value))
			continue;
		element[i] = (struct saved_element){ htole32(1),
						     (int32_t)htole32((uint32_t)value) };
	}
	for (unsigned i = 0; i < sound->n_jacks; i++)
		jack[i] = htole32(sound->jacks[i].defconf);
	*ret_bytes = saved;
	*ret_len = len;
	return 0;
}

static int check_streams(const struct vhu_sound *sound, const struct saved_stream *streams)
{
	for (unsigned i = 0; i < sound->n_streams; i++) {
		if (vhu_sound_stream_may_resume(&sound->streams[i], le32toh(streams[i].state),
						&streams[i].asked))
			continue;
		vhu_error("%s: it cannot take over stream %u: not in its format, rate or channels",
			  sound->streams[i].label, i);
		return -EINVAL;
	}
	return 0;
}

static int check_elements(const struct vhu_sound *sound, const struct saved_element *elements)
{
	for (unsigned i = 0; i < sound->n_elements; i++) {
		const struct vhu_sound_element *element = vhu_sound_element(sound, i);
		int32_t value = (int32_t)le32toh((uint32_t)elements[i].value);

		if (le32toh(elements[i].ours) > 1)
			return -EINVAL;
		if (elements[i].ours && is_ours(&sound->elements[i]) &&
		    (value < element->min || value > element->max))
			return -EINVAL;
	}
	return 0;
}

static int check(const struct vhu_sound *sound, const struct saved *saved, size_t len)
{
	const struct saved_stream *streams = (const struct saved_stream *)(saved + 1);

	if (len < sizeof(*saved) || saved->zero)
		return -EINVAL;
	if (le32toh(saved->n_streams) != sound->n_streams ||
	    le32toh(saved->n_elements) != sound->n_elements ||
	    le32toh(saved->n_jacks) != sound->n_jacks) {
		vhu_error("sound: the other side has %u streams, %u controls and %u jacks; here "
			  "there are %u, %u and %u", le32toh(saved->n_streams),
			  le32toh(saved->n_elements), le32toh(saved->n_jacks), sound->n_streams,
			  sound->n_elements, sound->n_jacks);
		return -EINVAL;
	}
	if (len != bytes_of(sound->n_streams, sound->n_elements, sound->n_jacks))
		return -EINVAL;
	if (check_streams(sound, streams) < 0)
		return -EINVAL;
	return check_elements(sound,
			      (const struct saved_element *)(streams + sound->n_streams));
}

int vhu_sound_load(struct vhu_device *device, uint32_t version, const void *bytes, size_t len)
{
	struct vhu_sound *sound = container_of(device, struct vhu_sound, device);
	const struct saved *saved = bytes;
	const struct saved_stream *stream = (const struct saved_stream *)(saved + 1);
	const struct saved_element *element =
		(const struct saved_element *)(stream + sound->n_streams);
	const uint32_t *jack = (const uint32_t *)(element + sound->n_elements);
	int r = check(sound, saved, len);

	(void)version;
	if (r < 0)
		return r;
	for (unsigned i = 0; i < sound->n_streams; i++)
		vhu_sound_stream_resume(&sound->streams[i], le32toh(stream[i].state),
					&stream[i].asked);
	for (unsigned i = 0; i < sound->n_elements; i++) {
		const struct vhu_sound_element_place *place = &sound->elements[i];
		int32_t value = (int32_t)le32toh((uint32_t)element[i].value);

		if (element[i].ours && is_ours(place))
			place->card->ops->write(place->card, place->index, &value);
	}
	/* What kind of jack it is, is said here. */
	for (unsigned i = 0; i < sound->n_jacks; i++)
		sound->jacks[i].defconf =
			(sound->jacks[i].defconf & ~0xffu) | (le32toh(jack[i]) & 0xff);
	return 0;
}
