/* SPDX-License-Identifier: BSD-3-Clause */
#include "devices/sound/host.h"

#include <string.h>

#include "common/base/num.h"

#define AT(name) VIRTIO_SND_CHMAP_##name

/* As loudspeakers usually stand. */
static const struct vhu_sound_map usual[] = {
	{ 1, { AT(MONO) } },
	{ 2, { AT(FL), AT(FR) } },
	{ 4, { AT(FL), AT(FR), AT(RL), AT(RR) } },
	{ 6, { AT(FL), AT(FR), AT(RL), AT(RR), AT(FC), AT(LFE) } },
	{ 8, { AT(FL), AT(FR), AT(RL), AT(RR), AT(FC), AT(LFE), AT(SL), AT(SR) } },
};

void vhu_sound_usual_maps(struct vhu_sound_caps *caps)
{
	static_assert(ARRAY_SIZE(usual) <= VHU_SOUND_MAPS_MAX, "they fit");
	memcpy(caps->maps, usual, sizeof(usual));
	caps->n_maps = ARRAY_SIZE(usual);
}
