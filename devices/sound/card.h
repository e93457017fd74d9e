/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_DEVICES_SOUND_CARD_H
#define VHU_DEVICES_SOUND_CARD_H

/*
 * What is beside the streams: elements (volume, mute) and jacks. A card is one of the host's, found
 * by a stream's PCM, or our own: a gain in software for a stream whose PCM has no volume, and
 * jacks that are always connected. On main until attach, then the worker's.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/loop.h"
#include "devices/sound/protocol.h"
#include "devices/sound/sound.h"

#define VHU_SOUND_VALUES_MAX 128

struct vhu_sound_element {
	char name[44]; /* ALSA's: "PCM Playback Volume" */
	uint32_t index; /* of those with one name in the guest */
	uint32_t role;	/* VIRTIO_SND_CTL_ROLE_* << 1 | VIRTIO_SND_D_* */
	uint32_t type;	/* BOOLEAN, INTEGER */
	uint32_t access; /* mask of 1 << VIRTIO_SND_CTL_ACCESS_* */
	uint32_t count;
	int32_t min, max, step;
	unsigned stream; /* whose it is, of the device's */
};

struct vhu_sound_jack {
	char name[44];
	bool connected;
	uint32_t defconf; /* HDA 7.3.3.31 */
	unsigned stream;  /* the first one on its card */
};

/* The default configuration of a jack of that name ("Headphone", "Front Mic Jack"). */
uint32_t vhu_sound_jack_defconf(const char *name);
/* Does sound come in there? What its name does not say is otherwise. */
bool vhu_sound_jack_is_input(uint32_t defconf, bool otherwise);

/* Who is told of what happens at the host. On the worker. */
struct vhu_sound_card_sink {
	void (*element_changed)(struct vhu_sound_card_sink *sink,
				const struct vhu_sound_element *element);
	void (*jack_changed)(struct vhu_sound_card_sink *sink, const struct vhu_sound_jack *jack);
};

struct vhu_sound_card;

struct vhu_sound_card_ops {
	/*
	 * The host's card of a stream. -ENOENT: it has none, or nothing for us; -EINVAL: not the
	 * control that the options name, which has been said. Main. There may be jacks and no
	 * elements. Where several streams have one card (the same where) each has its jacks; the
	 * elements are numbered and their stream is set by who calls.
	 */
	int (*open)(const struct vhu_sound_stream_options *options,
		    struct vhu_sound_card **ret_card);
	/* Before the worker runs; both are borrowed for the card's life. */
	int (*attach)(struct vhu_sound_card *card, struct vhu_loop *loop,
		      struct vhu_sound_card_sink *sink);
	/* The worker. values: as many as the element's count. 0, -EIO, -EINVAL. */
	int (*read)(struct vhu_sound_card *card, unsigned element, int32_t *ret_values);
	int (*write)(struct vhu_sound_card *card, unsigned element, const int32_t *values);
	/*
	 * The worker. The dB scale, ALSA's TLV (type, length, values) in our byte order. Returns
	 * the number of words, at most n_max, or -ENOENT.
	 */
	int (*tlv)(struct vhu_sound_card *card, unsigned element, uint32_t *ret_words,
		   size_t n_max);
	/* Optional, the worker. For a new driver: as it was at first. */
	void (*reset)(struct vhu_sound_card *card);
	/* The last call; the loop is gone, and what it had. */
	void (*close)(struct vhu_sound_card *card);
};

/* A card embeds this as its first member. */
struct vhu_sound_card {
	const struct vhu_sound_card_ops *ops;
	const char *where; /* its name at the host, as "hw:PCH"; NULL: our own */
	unsigned n_elements, n_jacks;
	struct vhu_sound_element elements[2]; /* of the stream it was opened for */
	struct vhu_sound_jack jacks[VHU_SOUND_JACKS_MAX];
};

extern const struct vhu_sound_card_ops vhu_sound_card_alsa;

#endif
