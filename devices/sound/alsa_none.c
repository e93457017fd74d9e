/* SPDX-License-Identifier: BSD-3-Clause */
/* In the place of alsa_*.c where there is no alsa-lib. */
#include <errno.h>

#include "common/base/log.h"
#include "devices/sound/card.h"
#include "devices/sound/host.h"

static int probe(const struct vhu_sound_stream_options *options, struct vhu_sound_caps *ret_caps)
{
	(void)ret_caps;
	vhu_error("%s: this program was built without alsa-lib; wav:FILE and null are left",
		  options->where);
	return -EOPNOTSUPP;
}

const struct vhu_sound_host_ops vhu_sound_host_alsa = {
	.name = "alsa",
	.probe = probe,
};

static int open_card(const struct vhu_sound_stream_options *options,
		     struct vhu_sound_card **ret_card)
{
	(void)options;
	(void)ret_card;
	return -ENOENT;
}

const struct vhu_sound_card_ops vhu_sound_card_alsa = {
	.open = open_card,
};

int vhu_sound_print_list(const struct vhu_sound_options *options)
{
	(void)options;
	vhu_error("this program was built without alsa-lib: there is nothing to list");
	return -EOPNOTSUPP;
}
