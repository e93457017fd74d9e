/* SPDX-License-Identifier: BSD-3-Clause */
/* Control elements (virtio 1.3, 5.14.6.10): volumes and switches. */
#include <endian.h>
#include <string.h>

#include "common/base/num.h"
#include "devices/sound/request_priv.h"

/* Of a scale in dB; the driver may ask for up to 64 KiB. */
#define TLV_WORDS_MAX 256

void vhu_sound_describe_element(const struct vhu_sound *sound, unsigned i, void *item)
{
	const struct vhu_sound_element *element = vhu_sound_element(sound, i);
	struct virtio_snd_ctl_info *info = item;

	info->hdr.hda_fn_nid = htole32(sound->streams[element->stream].nid);
	info->role = htole32(element->role);
	info->type = htole32(element->type);
	info->access = htole32(element->access);
	info->count = htole32(element->count);
	info->index = htole32(element->index);
	memcpy(info->name, element->name, sizeof(info->name));
	info->value.integer.min = htole32((uint32_t)element->min);
	info->value.integer.max = htole32((uint32_t)element->max);
	info->value.integer.step = htole32((uint32_t)element->step);
}

/* The element that a request is about, with that access, or NULL. */
static const struct vhu_sound_element_place *
find_element(const struct vhu_sound *sound, const struct vhu_sound_request *request,
	     unsigned access, uint32_t *ret_status)
{
	uint32_t id = le32toh(request->head.ctl.control_id);

	if (!sound->controls) {
		*ret_status = VIRTIO_SND_S_NOT_SUPP;
		return NULL;
	}
	*ret_status = VIRTIO_SND_S_BAD_MSG;
	if (id >= sound->n_elements)
		return NULL;
	*ret_status = VIRTIO_SND_S_NOT_SUPP;
	return vhu_sound_element(sound, id)->access >> access & 1 ? &sound->elements[id] : NULL;
}

uint32_t vhu_sound_read_element(struct vhu_sound *sound, struct vhu_sound_request *request)
{
	const struct vhu_sound_element_place *place;
	int32_t values[VHU_SOUND_VALUES_MAX] = { 0 };
	uint32_t status, count;

	place = find_element(sound, request, VIRTIO_SND_CTL_ACCESS_READ, &status);
	if (!place)
		return status;
	count = place->card->elements[place->index].count;
	if (request->writer.left < count * sizeof(uint32_t))
		return VIRTIO_SND_S_BAD_MSG;
	if (place->card->ops->read(place->card, place->index, values) < 0)
		return VIRTIO_SND_S_IO_ERR;
	for (uint32_t i = 0; i < count; i++)
		values[i] = (int32_t)htole32((uint32_t)values[i]);
	/* All of struct virtio_snd_ctl_value, where there is room. */
	request->written = vhu_iov_write(&request->writer, values, sizeof(values));
	return VIRTIO_SND_S_OK;
}

uint32_t vhu_sound_write_element(struct vhu_sound *sound, struct vhu_sound_request *request)
{
	const struct vhu_sound_element_place *place;
	const struct vhu_sound_element *element;
	int32_t values[VHU_SOUND_VALUES_MAX];
	uint32_t status;
	size_t bytes;

	place = find_element(sound, request, VIRTIO_SND_CTL_ACCESS_WRITE, &status);
	if (!place)
		return status;
	element = &place->card->elements[place->index];
	bytes = element->count * sizeof(uint32_t);
	if (vhu_iov_read(&request->reader, values, bytes) < bytes)
		return VIRTIO_SND_S_BAD_MSG;
	for (uint32_t i = 0; i < element->count; i++) {
		values[i] = (int32_t)le32toh((uint32_t)values[i]);
		if (values[i] < element->min || values[i] > element->max)
			return VIRTIO_SND_S_BAD_MSG;
	}
	return place->card->ops->write(place->card, place->index, values) < 0
		       ? VIRTIO_SND_S_IO_ERR
		       : VIRTIO_SND_S_OK;
}

/* As much as there is room for is told (virtio 1.3, 5.14.6.10.3). */
uint32_t vhu_sound_read_tlv(struct vhu_sound *sound, struct vhu_sound_request *request)
{
	const struct vhu_sound_element_place *place;
	uint32_t words[TLV_WORDS_MAX], status;
	int n;

	place = find_element(sound, request, VIRTIO_SND_CTL_ACCESS_TLV_READ, &status);
	if (!place)
		return status;
	if (request->writer.left < sizeof(struct vhu_snd_ctl_tlv))
		return VIRTIO_SND_S_BAD_MSG;
	n = place->card->ops->tlv(place->card, place->index, words, TLV_WORDS_MAX);
	if (n < 0)
		return VIRTIO_SND_S_IO_ERR;
	for (int i = 0; i < n; i++)
		words[i] = htole32(words[i]);
	request->written =
		vhu_iov_write(&request->writer, words, (size_t)n * sizeof(*words));
	return VIRTIO_SND_S_OK;
}

/* No element has items, or metadata to be written. */
uint32_t vhu_sound_refuse_control(struct vhu_sound *sound, struct vhu_sound_request *request)
{
	if (sound->controls && le32toh(request->head.ctl.control_id) >= sound->n_elements)
		return VIRTIO_SND_S_BAD_MSG;
	return VIRTIO_SND_S_NOT_SUPP;
}
