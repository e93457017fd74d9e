/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The card of an ALSA PCM, as vhu-sound sees it.
 *
 *	sound_card make CARD		gives a card a volume (two channels, 0 to 100, a dB scale),
 *					a switch and a jack
 *	sound_card watch PCM [CONTROL]	tells what the card of the PCM has, and what changes
 *	sound_card set PCM ELEMENT N	writes all channels
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <alsa/asoundlib.h>

#include "common/base/loop.h"
#include "common/base/num.h"
#include "devices/sound/card.h"

#define TLV_WORDS 16

static void must(int r, const char *what)
{
	if (r >= 0)
		return;
	fprintf(stderr, "sound_card: %s: %s\n", what, strerror(-r));
	exit(2);
}

/* --- making --------------------------------------------------------------------------------- */

static void name(snd_ctl_elem_id_t *id, snd_ctl_elem_iface_t iface, const char *text)
{
	snd_ctl_elem_id_set_interface(id, iface);
	snd_ctl_elem_id_set_name(id, text);
}

static int make(const char *card)
{
	static const unsigned scale[] = { SND_CTL_TLVT_DB_SCALE, 8, (unsigned)-5000, 50 };
	snd_ctl_elem_info_t *info;
	snd_ctl_elem_id_t *id;
	snd_ctl_t *ctl;

	snd_ctl_elem_info_alloca(&info);
	snd_ctl_elem_id_alloca(&id);
	must(snd_ctl_open(&ctl, card, 0), card);
	name(id, SND_CTL_ELEM_IFACE_MIXER, "PCM Playback Volume");
	snd_ctl_elem_info_set_id(info, id);
	must(snd_ctl_add_integer_elem_set(ctl, info, 1, 2, 0, 100, 1), "a volume");
	must(snd_ctl_elem_tlv_write(ctl, id, scale), "a scale");
	name(id, SND_CTL_ELEM_IFACE_MIXER, "PCM Playback Switch");
	snd_ctl_elem_info_set_id(info, id);
	must(snd_ctl_add_boolean_elem_set(ctl, info, 1, 1), "a switch");
	name(id, SND_CTL_ELEM_IFACE_CARD, "Headphone Jack");
	snd_ctl_elem_info_set_id(info, id);
	must(snd_ctl_add_boolean_elem_set(ctl, info, 1, 1), "a jack");
	snd_ctl_close(ctl);
	return 0;
}

/* --- watching ------------------------------------------------------------------------------- */

static struct vhu_sound_card *card;

static void print_values(const struct vhu_sound_element *element)
{
	int32_t values[VHU_SOUND_VALUES_MAX];
	int r = card->ops->read(card, (unsigned)(element - card->elements), values);

	for (unsigned i = 0; r == 0 && i < element->count; i++)
		printf(" %d", values[i]);
	puts(r < 0 ? " none" : "");
}

static void element_changed(struct vhu_sound_card_sink *sink,
			    const struct vhu_sound_element *element)
{
	(void)sink;
	printf("changed %s:", element->name);
	print_values(element);
}

static void jack_changed(struct vhu_sound_card_sink *sink, const struct vhu_sound_jack *jack)
{
	(void)sink;
	printf("jack %s: %d\n", jack->name, jack->connected);
}

static void print_card(void)
{
	for (unsigned i = 0; i < card->n_elements; i++) {
		const struct vhu_sound_element *e = &card->elements[i];
		uint32_t words[TLV_WORDS];
		int n = card->ops->tlv(card, i, words, TLV_WORDS);

		printf("element %s: type %u role %u access %#x range %d-%d tlv", e->name, e->type,
		       e->role, e->access, e->min, e->max);
		for (int w = 0; w < n; w++)
			printf(" %d", (int)words[w]);
		printf(" values");
		print_values(e);
	}
	for (unsigned i = 0; i < card->n_jacks; i++)
		printf("jack %s: %d defconf %#x\n", card->jacks[i].name, card->jacks[i].connected,
		       card->jacks[i].defconf);
	printf("where %s\n", card->where);
}

static int watch(void)
{
	static struct vhu_sound_card_sink sink = { element_changed, jack_changed };
	struct vhu_loop *loop;

	must(vhu_loop_new(&loop), "a loop");
	must(card->ops->attach(card, loop, &sink), "attach");
	print_card();
	return vhu_loop_run(loop);
}

static int set(unsigned element, int32_t value)
{
	int32_t values[VHU_SOUND_VALUES_MAX];

	for (unsigned i = 0; i < VHU_SOUND_VALUES_MAX; i++)
		values[i] = value;
	must(card->ops->write(card, element, values), "write");
	return 0;
}

int main(int argc, char **argv)
{
	struct vhu_sound_stream_options options = { .host = "alsa" };

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc < 3)
		return 2;
	if (!strcmp(argv[1], "make"))
		return make(argv[2]);
	options.where = argv[2];
	if (!strcmp(argv[1], "watch"))
		options.control = argc > 3 ? argv[3] : NULL;
	must(vhu_sound_card_alsa.open(&options, &card), argv[2]);
	if (!strcmp(argv[1], "set") && argc > 4)
		return set((unsigned)atoi(argv[3]), atoi(argv[4]));
	return watch();
}
