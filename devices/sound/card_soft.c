/* SPDX-License-Identifier: BSD-3-Clause */
#include "devices/sound/card_soft.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/num.h"

/* include/uapi/sound/tlv.h of Linux: a scale in hundredths of a dB, whose lowest value is mute. */
#define TLV_DB_SCALE 1
#define TLV_DB_SCALE_MUTE 0x10000

enum {
	VOLUME,
	SWITCH,
	N_ELEMENTS,
};

struct soft_card {
	struct vhu_sound_card card;
	struct vhu_sound_gain gain;
};

static struct soft_card *of(struct vhu_sound_card *card)
{
	return container_of(card, struct soft_card, card);
}

static void describe(struct vhu_sound_card *card, bool capture)
{
	const uint32_t access =
		1u << VIRTIO_SND_CTL_ACCESS_READ | 1u << VIRTIO_SND_CTL_ACCESS_WRITE;
	const char *base = capture ? "Capture" : "PCM Playback";
	uint32_t direction = capture ? VIRTIO_SND_D_INPUT : VIRTIO_SND_D_OUTPUT;

	card->n_elements = N_ELEMENTS;
	card->elements[VOLUME] = (struct vhu_sound_element){
		.role = VIRTIO_SND_CTL_ROLE_VOLUME << 1 | direction,
		.type = VIRTIO_SND_CTL_TYPE_INTEGER,
		.access = access | 1u << VIRTIO_SND_CTL_ACCESS_TLV_READ,
		.count = 1,
		.max = VHU_SOUND_GAIN_MAX,
		.step = 1,
	};
	card->elements[SWITCH] = (struct vhu_sound_element){
		.role = VIRTIO_SND_CTL_ROLE_MUTE << 1 | direction,
		.type = VIRTIO_SND_CTL_TYPE_BOOLEAN,
		.access = access,
		.count = 1,
		.max = 1,
	};
	snprintf(card->elements[VOLUME].name, sizeof(card->elements[VOLUME].name), "%s Volume",
		 base);
	snprintf(card->elements[SWITCH].name, sizeof(card->elements[SWITCH].name), "%s Switch",
		 base);
}

static void reset(struct vhu_sound_card *card)
{
	vhu_sound_gain_set(&of(card)->gain, VHU_SOUND_GAIN_MAX, 1);
}

static int open_card(const struct vhu_sound_stream_options *options,
		     struct vhu_sound_card **ret_card)
{
	struct soft_card *soft = calloc(1, sizeof(*soft));

	if (!soft)
		return -ENOMEM;
	soft->card.ops = &vhu_sound_card_soft;
	describe(&soft->card, options->capture);
	reset(&soft->card);
	*ret_card = &soft->card;
	return 0;
}

static int attach(struct vhu_sound_card *card, struct vhu_loop *loop,
		  struct vhu_sound_card_sink *sink)
{
	(void)card;
	(void)loop;
	(void)sink;
	return 0;
}

static int read_values(struct vhu_sound_card *card, unsigned element, int32_t *ret_values)
{
	*ret_values = element == VOLUME ? of(card)->gain.volume : of(card)->gain.on;
	return 0;
}

static int write_values(struct vhu_sound_card *card, unsigned element, const int32_t *values)
{
	struct vhu_sound_gain *gain = &of(card)->gain;

	if (element == VOLUME)
		vhu_sound_gain_set(gain, *values, gain->on);
	else
		vhu_sound_gain_set(gain, gain->volume, *values);
	return 0;
}

static int tlv(struct vhu_sound_card *card, unsigned element, uint32_t *ret_words, size_t n_max)
{
	const uint32_t scale[] = {
		TLV_DB_SCALE, 2 * sizeof(uint32_t),
		(uint32_t)(-VHU_SOUND_GAIN_MAX * VHU_SOUND_GAIN_STEP),
		VHU_SOUND_GAIN_STEP | TLV_DB_SCALE_MUTE,
	};

	(void)card;
	if (element != VOLUME || n_max < ARRAY_SIZE(scale))
		return -ENOENT;
	for (size_t i = 0; i < ARRAY_SIZE(scale); i++)
		ret_words[i] = scale[i];
	return ARRAY_SIZE(scale);
}

static void close_card(struct vhu_sound_card *card)
{
	free(of(card));
}

const struct vhu_sound_card_ops vhu_sound_card_soft = {
	.open = open_card,
	.attach = attach,
	.read = read_values,
	.write = write_values,
	.tlv = tlv,
	.reset = reset,
	.close = close_card,
};

const struct vhu_sound_gain *vhu_sound_card_gain(struct vhu_sound_card *card)
{
	return card->ops == &vhu_sound_card_soft ? &of(card)->gain : NULL;
}
