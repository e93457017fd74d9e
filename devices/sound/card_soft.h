/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_DEVICES_SOUND_CARD_SOFT_H
#define VHU_DEVICES_SOUND_CARD_SOFT_H

/* A card of our own: a volume and a switch in software, one a stream. */

#include "devices/sound/card.h"
#include "devices/sound/gain.h"

extern const struct vhu_sound_card_ops vhu_sound_card_soft;

/* What its elements set, for the card's life; NULL when card is another one. */
const struct vhu_sound_gain *vhu_sound_card_gain(struct vhu_sound_card *card);

#endif
