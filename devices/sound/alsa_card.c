/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The card of a PCM: its volume, its switch, its jacks. They are known by their names, so that a
 * card which is unplugged and comes back has them again.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include <alsa/asoundlib.h>

#include "common/base/log.h"
#include "common/base/num.h"
#include "devices/sound/alsa_priv.h"
#include "devices/sound/card.h"

#define RETRY_NS NS_PER_SEC

struct alsa_card {
	struct vhu_sound_card card;
	char name[40];	/* "hw:ID"; its number may be another one when it is back */
	snd_ctl_t *ctl; /* NULL: it has gone */
	unsigned jack_index[VHU_SOUND_JACKS_MAX];
	struct vhu_loop *loop;
	struct vhu_sound_card_sink *sink;
	struct vhu_source *source, *timer;
};

static struct alsa_card *of(struct vhu_sound_card *card)
{
	return container_of(card, struct alsa_card, card);
}

/* --- elements ------------------------------------------------------------------------------- */

/* Info of the element of that name. */
static int ask(snd_ctl_t *ctl, snd_ctl_elem_iface_t iface, const char *name, unsigned index,
	       snd_ctl_elem_info_t *info)
{
	memset(info, 0, snd_ctl_elem_info_sizeof());
	snd_ctl_elem_info_set_interface(info, iface);
	snd_ctl_elem_info_set_name(info, name);
	snd_ctl_elem_info_set_index(info, index);
	return snd_ctl_elem_info(ctl, info);
}

static void name_value(snd_ctl_elem_value_t *value, snd_ctl_elem_iface_t iface, const char *name,
		       unsigned index)
{
	memset(value, 0, snd_ctl_elem_value_sizeof());
	snd_ctl_elem_value_set_interface(value, iface);
	snd_ctl_elem_value_set_name(value, name);
	snd_ctl_elem_value_set_index(value, index);
}

/* Is it one that the guest can have? */
static bool is_usable(snd_ctl_elem_info_t *info, uint32_t type)
{
	unsigned count = snd_ctl_elem_info_get_count(info);
	bool fits = type == VIRTIO_SND_CTL_TYPE_BOOLEAN;

	if (snd_ctl_elem_info_get_type(info) !=
	    (fits ? SND_CTL_ELEM_TYPE_BOOLEAN : SND_CTL_ELEM_TYPE_INTEGER))
		return false;
	if (!fits)
		fits = snd_ctl_elem_info_get_min(info) >= INT32_MIN &&
		       snd_ctl_elem_info_get_max(info) <= INT32_MAX &&
		       snd_ctl_elem_info_get_min(info) < snd_ctl_elem_info_get_max(info);
	return fits && count && count <= VHU_SOUND_VALUES_MAX &&
	       snd_ctl_elem_info_is_readable(info) && snd_ctl_elem_info_is_writable(info) &&
	       !snd_ctl_elem_info_is_inactive(info);
}

static void describe(snd_ctl_elem_info_t *info, uint32_t type, bool capture,
		     struct vhu_sound_element *ret_element)
{
	bool is_switch = type == VIRTIO_SND_CTL_TYPE_BOOLEAN;
	struct vhu_sound_element element = {
		.role = (is_switch ? VIRTIO_SND_CTL_ROLE_MUTE : VIRTIO_SND_CTL_ROLE_VOLUME) << 1 |
			(capture ? VIRTIO_SND_D_INPUT : VIRTIO_SND_D_OUTPUT),
		.type = type,
		.access = 1u << VIRTIO_SND_CTL_ACCESS_READ | 1u << VIRTIO_SND_CTL_ACCESS_WRITE,
		.count = snd_ctl_elem_info_get_count(info),
		.max = 1,
	};

	if (snd_ctl_elem_info_is_volatile(info))
		element.access |= 1u << VIRTIO_SND_CTL_ACCESS_VOLATILE;
	if (snd_ctl_elem_info_is_tlv_readable(info))
		element.access |= 1u << VIRTIO_SND_CTL_ACCESS_TLV_READ;
	if (!is_switch) {
		element.min = (int32_t)snd_ctl_elem_info_get_min(info);
		element.max = (int32_t)snd_ctl_elem_info_get_max(info);
		element.step = (int32_t)snd_ctl_elem_info_get_step(info);
	}
	snprintf(element.name, sizeof(element.name), "%s", snd_ctl_elem_info_get_name(info));
	*ret_element = element;
}

static const char *const type_words[] = {
	[VIRTIO_SND_CTL_TYPE_BOOLEAN] = "Switch",
	[VIRTIO_SND_CTL_TYPE_INTEGER] = "Volume",
};

/* An element of what is called so: "PCM" has "PCM Playback Volume". */
static bool find_of(struct alsa_card *alsa, const char *base, uint32_t type, bool capture)
{
	const char *direction = capture ? " Capture" : " Playback";
	snd_ctl_elem_info_t *info;
	char names[3][64];

	snd_ctl_elem_info_alloca(&info);
	snprintf(names[0], sizeof(names[0]), "%s%s %s", base, direction, type_words[type]);
	snprintf(names[1], sizeof(names[1]), "%s %s", base, type_words[type]);
	snprintf(names[2], sizeof(names[2]), "%s", base);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (ask(alsa->ctl, SND_CTL_ELEM_IFACE_MIXER, names[i], 0, info) < 0 ||
		    !is_usable(info, type))
			continue;
		describe(info, type, capture, &alsa->card.elements[alsa->card.n_elements++]);
		return true;
	}
	return false;
}

/* What cards call it, the one nearest to the PCM first. */
static const char *const usual_bases[2][8] = {
	{ "PCM", "Master", "Digital", "Speaker", "Headphone", "Front", NULL },
	{ "Capture", "Mic", "Digital", "ADC", "Internal Mic", NULL },
};

static void find_usual(struct alsa_card *alsa, bool capture)
{
	static const uint32_t types[] = { VIRTIO_SND_CTL_TYPE_INTEGER,
					  VIRTIO_SND_CTL_TYPE_BOOLEAN };
	const char *const *first = usual_bases[capture], *const * base;

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		for (base = first; *base && !find_of(alsa, *base, types[i], capture); base++)
			;
		/* The switch is that of the volume, if it has one. */
		if (*base)
			first = base;
	}
}

static int find_elements(struct alsa_card *alsa, const struct vhu_sound_stream_options *options)
{
	const char *control = options->control;

	if (control && (!strcmp(control, "none") || !strcmp(control, "soft")))
		return 0;
	if (!control) {
		find_usual(alsa, options->capture);
		return 0;
	}
	find_of(alsa, control, VIRTIO_SND_CTL_TYPE_INTEGER, options->capture);
	find_of(alsa, control, VIRTIO_SND_CTL_TYPE_BOOLEAN, options->capture);
	if (alsa->card.n_elements)
		return 0;
	vhu_error("%s: its card has no volume or switch \"%s\"; \"amixer -D %s controls\" shows "
		  "what it has, control=soft makes one",
		  options->where, control, alsa->name);
	return -EINVAL;
}

/* --- jacks ---------------------------------------------------------------------------------- */

static bool is_jack(const char *name)
{
	size_t len = strlen(name);

	return len > 5 && !strcmp(name + len - 5, " Jack");
}

static int read_jack(struct alsa_card *alsa, unsigned jack, bool *ret_connected)
{
	snd_ctl_elem_value_t *value;
	int r;

	snd_ctl_elem_value_alloca(&value);
	name_value(value, SND_CTL_ELEM_IFACE_CARD, alsa->card.jacks[jack].name,
		   alsa->jack_index[jack]);
	r = snd_ctl_elem_read(alsa->ctl, value);
	if (r >= 0)
		*ret_connected = snd_ctl_elem_value_get_boolean(value, 0);
	return r;
}

static void add_jack(struct alsa_card *alsa, const char *name, unsigned index)
{
	unsigned i = alsa->card.n_jacks;
	struct vhu_sound_jack *jack = &alsa->card.jacks[i];

	if (i == VHU_SOUND_JACKS_MAX)
		return;
	snprintf(jack->name, sizeof(jack->name), "%s", name);
	jack->defconf = vhu_sound_jack_defconf(name);
	alsa->jack_index[i] = index;
	if (read_jack(alsa, i, &jack->connected) >= 0)
		alsa->card.n_jacks++;
}

static int find_jacks(struct alsa_card *alsa)
{
	snd_ctl_elem_list_t *list;
	int r;

	snd_ctl_elem_list_alloca(&list);
	r = snd_ctl_elem_list(alsa->ctl, list);
	if (r >= 0)
		r = snd_ctl_elem_list_alloc_space(list, snd_ctl_elem_list_get_count(list));
	if (r >= 0)
		r = snd_ctl_elem_list(alsa->ctl, list);
	for (unsigned i = 0; r >= 0 && i < snd_ctl_elem_list_get_used(list); i++)
		if (snd_ctl_elem_list_get_interface(list, i) == SND_CTL_ELEM_IFACE_CARD &&
		    is_jack(snd_ctl_elem_list_get_name(list, i)))
			add_jack(alsa, snd_ctl_elem_list_get_name(list, i),
				 snd_ctl_elem_list_get_index(list, i));
	snd_ctl_elem_list_free_space(list);
	return r < 0 ? r : 0;
}

/* --- what happens at the host --------------------------------------------------------------- */

static void set_jack(struct alsa_card *alsa, unsigned jack, bool connected)
{
	struct vhu_sound_jack *changed = &alsa->card.jacks[jack];

	if (changed->connected == connected)
		return;
	changed->connected = connected;
	alsa->sink->jack_changed(alsa->sink, changed);
}

static void look_at_jack(struct alsa_card *alsa, unsigned jack)
{
	bool connected;

	if (read_jack(alsa, jack, &connected) >= 0)
		set_jack(alsa, jack, connected);
}

static void take_event(struct alsa_card *alsa, const snd_ctl_event_t *event)
{
	snd_ctl_elem_iface_t iface;
	const char *name;

	if (snd_ctl_event_get_type(event) != SND_CTL_EVENT_ELEM ||
	    snd_ctl_event_elem_get_mask(event) == SND_CTL_EVENT_MASK_REMOVE)
		return;
	iface = snd_ctl_event_elem_get_interface(event);
	name = snd_ctl_event_elem_get_name(event);
	for (unsigned i = 0; i < alsa->card.n_elements; i++)
		if (iface == SND_CTL_ELEM_IFACE_MIXER && snd_ctl_event_elem_get_index(event) == 0 &&
		    !strcmp(name, alsa->card.elements[i].name))
			alsa->sink->element_changed(alsa->sink, &alsa->card.elements[i]);
	for (unsigned i = 0; i < alsa->card.n_jacks; i++)
		if (iface == SND_CTL_ELEM_IFACE_CARD &&
		    snd_ctl_event_elem_get_index(event) == alsa->jack_index[i] &&
		    !strcmp(name, alsa->card.jacks[i].name))
			look_at_jack(alsa, i);
}

/* A card that has gone has no jack that is connected. */
static void lose(struct alsa_card *alsa)
{
	vhu_source_remove(alsa->source);
	alsa->source = NULL;
	snd_ctl_close(alsa->ctl);
	alsa->ctl = NULL;
	for (unsigned i = 0; i < alsa->card.n_jacks; i++)
		set_jack(alsa, i, false);
	vhu_source_set_timer(alsa->timer, RETRY_NS);
}

static void on_event(void *data, uint32_t events)
{
	struct alsa_card *alsa = data;
	snd_ctl_event_t *event;
	int r;

	snd_ctl_event_alloca(&event);
	while ((r = snd_ctl_read(alsa->ctl, event)) > 0)
		take_event(alsa, event);
	if ((r < 0 && r != -EAGAIN && r != -EINTR) || events & (EPOLLERR | EPOLLHUP))
		lose(alsa);
}

static int listen_to(struct alsa_card *alsa)
{
	struct pollfd poll;
	int r = snd_ctl_subscribe_events(alsa->ctl, 1);

	if (r >= 0 && snd_ctl_poll_descriptors(alsa->ctl, &poll, 1) != 1)
		r = -ENOENT;
	if (r >= 0)
		r = vhu_loop_add_fd(alsa->loop, poll.fd, EPOLLIN, on_event, alsa, &alsa->source);
	return r;
}

static void on_retry(void *data, uint32_t events)
{
	struct alsa_card *alsa = data;

	(void)events;
	if (snd_ctl_open(&alsa->ctl, alsa->name, SND_CTL_NONBLOCK) < 0) {
		alsa->ctl = NULL;
		vhu_source_set_timer(alsa->timer, RETRY_NS);
		return;
	}
	if (listen_to(alsa) < 0) {
		lose(alsa);
		return;
	}
	for (unsigned i = 0; i < alsa->card.n_elements; i++)
		alsa->sink->element_changed(alsa->sink, &alsa->card.elements[i]);
	for (unsigned i = 0; i < alsa->card.n_jacks; i++)
		look_at_jack(alsa, i);
}

/* --- the card ------------------------------------------------------------------------------- */

static int number_of(const struct vhu_sound_stream_options *options)
{
	snd_pcm_info_t *info;
	snd_pcm_t *pcm;
	int r = vhu_sound_alsa_open(options, &pcm);

	if (r < 0)
		return r;
	snd_pcm_info_alloca(&info);
	r = snd_pcm_info(pcm, info);
	if (r >= 0)
		r = snd_pcm_info_get_card(info);
	snd_pcm_close(pcm);
	return r;
}

static void close_card(struct vhu_sound_card *card)
{
	struct alsa_card *alsa = of(card);

	if (alsa->ctl)
		snd_ctl_close(alsa->ctl);
	free(alsa);
}

static int look(struct alsa_card *alsa, const struct vhu_sound_stream_options *options, int number)
{
	snd_ctl_card_info_t *info;
	int r;

	snprintf(alsa->name, sizeof(alsa->name), "hw:%d", number);
	r = snd_ctl_open(&alsa->ctl, alsa->name, SND_CTL_NONBLOCK);
	if (r < 0) {
		alsa->ctl = NULL;
		return r;
	}
	snd_ctl_card_info_alloca(&info);
	r = snd_ctl_card_info(alsa->ctl, info);
	if (r < 0)
		return r;
	snprintf(alsa->name, sizeof(alsa->name), "hw:%s", snd_ctl_card_info_get_id(info));
	alsa->card.where = alsa->name;
	r = find_elements(alsa, options);
	return r < 0 ? r : find_jacks(alsa);
}

static int open_card(const struct vhu_sound_stream_options *options,
		     struct vhu_sound_card **ret_card)
{
	struct alsa_card *alsa;
	int r, number = number_of(options);

	if (number < 0)
		return -ENOENT;
	alsa = calloc(1, sizeof(*alsa));
	if (!alsa)
		return -ENOMEM;
	alsa->card.ops = &vhu_sound_card_alsa;
	r = look(alsa, options, number);
	if (r >= 0 && !alsa->card.n_elements && !alsa->card.n_jacks)
		r = -ENOENT;
	if (r < 0) {
		close_card(&alsa->card);
		return r == -EINVAL || r == -ENOMEM ? r : -ENOENT;
	}
	*ret_card = &alsa->card;
	return 0;
}

static int attach(struct vhu_sound_card *card, struct vhu_loop *loop,
		  struct vhu_sound_card_sink *sink)
{
	struct alsa_card *alsa = of(card);
	int r = vhu_loop_add_timer(loop, on_retry, alsa, &alsa->timer);

	alsa->loop = loop;
	alsa->sink = sink;
	return r < 0 ? r : listen_to(alsa);
}

static int read_values(struct vhu_sound_card *card, unsigned element, int32_t *ret_values)
{
	const struct vhu_sound_element *e = &card->elements[element];
	struct alsa_card *alsa = of(card);
	snd_ctl_elem_value_t *value;

	snd_ctl_elem_value_alloca(&value);
	name_value(value, SND_CTL_ELEM_IFACE_MIXER, e->name, 0);
	if (!alsa->ctl || snd_ctl_elem_read(alsa->ctl, value) < 0)
		return -EIO;
	for (unsigned i = 0; i < e->count; i++)
		ret_values[i] = e->type == VIRTIO_SND_CTL_TYPE_BOOLEAN
					? snd_ctl_elem_value_get_boolean(value, i)
					: (int32_t)snd_ctl_elem_value_get_integer(value, i);
	return 0;
}

static int write_values(struct vhu_sound_card *card, unsigned element, const int32_t *values)
{
	const struct vhu_sound_element *e = &card->elements[element];
	struct alsa_card *alsa = of(card);
	snd_ctl_elem_value_t *value;

	snd_ctl_elem_value_alloca(&value);
	name_value(value, SND_CTL_ELEM_IFACE_MIXER, e->name, 0);
	for (unsigned i = 0; i < e->count; i++) {
		if (values[i] < e->min || values[i] > e->max)
			return -EINVAL;
		if (e->type == VIRTIO_SND_CTL_TYPE_BOOLEAN)
			snd_ctl_elem_value_set_boolean(value, i, values[i]);
		else
			snd_ctl_elem_value_set_integer(value, i, values[i]);
	}
	return alsa->ctl && snd_ctl_elem_write(alsa->ctl, value) >= 0 ? 0 : -EIO;
}

static int read_tlv(struct vhu_sound_card *card, unsigned element, uint32_t *ret_words,
		    size_t n_max)
{
	const struct vhu_sound_element *e = &card->elements[element];
	struct alsa_card *alsa = of(card);
	snd_ctl_elem_id_t *id;
	size_t words;

	if (!(e->access & 1u << VIRTIO_SND_CTL_ACCESS_TLV_READ) || n_max < 2 || !alsa->ctl)
		return -ENOENT;
	snd_ctl_elem_id_alloca(&id);
	snd_ctl_elem_id_set_interface(id, SND_CTL_ELEM_IFACE_MIXER);
	snd_ctl_elem_id_set_name(id, e->name);
	if (snd_ctl_elem_tlv_read(alsa->ctl, id, ret_words,
				  (unsigned)(n_max * sizeof(*ret_words))) < 0)
		return -ENOENT;
	words = 2 + (size_t)ret_words[1] / sizeof(*ret_words);
	return words > n_max ? -ENOENT : (int)words;
}

const struct vhu_sound_card_ops vhu_sound_card_alsa = {
	.open = open_card,
	.attach = attach,
	.read = read_values,
	.write = write_values,
	.tlv = read_tlv,
	.close = close_card,
};
