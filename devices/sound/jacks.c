/* SPDX-License-Identifier: BSD-3-Clause */
/* What a jack is for: a driver is not told its name, but its default configuration. */
#include <string.h>

#include "common/base/num.h"
#include "devices/sound/card.h"

/* Default devices, HDA 7.3.3.31. */
enum {
	LINE_OUT,
	SPEAKER,
	HEADPHONE,
	CD,
	SPDIF_OUT,
	DIGITAL_OUT,
	LINE_IN = 8,
	AUX,
	MIC_IN,
	SPDIF_IN = 12,
	OTHER = 15,
};

#define DEVICE_SHIFT 20
#define OUTPUTS (1u << LINE_OUT | 1u << SPEAKER | 1u << HEADPHONE | 1u << SPDIF_OUT | \
		 1u << DIGITAL_OUT)

/* The first word that is in the name. */
static const struct {
	const char *word;
	uint32_t device;
} kinds[] = {
	{ "Headphone", HEADPHONE }, { "Headset", HEADPHONE }, { "Mic", MIC_IN },
	{ "Line Out", LINE_OUT },   { "Speaker", SPEAKER },   { "Line", LINE_IN },
	{ "SPDIF In", SPDIF_IN },   { "SPDIF", SPDIF_OUT },   { "HDMI", DIGITAL_OUT },
	{ "CD", CD },		    { "Aux", AUX },
};

uint32_t vhu_sound_jack_defconf(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (strcasestr(name, kinds[i].word))
			return kinds[i].device << DEVICE_SHIFT;
	return (uint32_t)OTHER << DEVICE_SHIFT;
}

bool vhu_sound_jack_is_input(uint32_t defconf, bool otherwise)
{
	uint32_t device = defconf >> DEVICE_SHIFT & 0xf;

	return device == OTHER ? otherwise : !(OUTPUTS >> device & 1);
}
