/* SPDX-License-Identifier: BSD-3-Clause */
/* What an ALSA PCM can, and why there is none. */
#include "devices/sound/alsa_priv.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <alsa/asoundlib.h>

#include "common/base/log.h"
#include "common/base/num.h"
#include "devices/sound/format.h"

#define CARDS_MAX 32

/* Channel positions have the same numbers here and there, but for the flags of ALSA's. */
static_assert((int)SND_CHMAP_MONO == VIRTIO_SND_CHMAP_MONO &&
		      (int)SND_CHMAP_FL == VIRTIO_SND_CHMAP_FL &&
		      (int)SND_CHMAP_LFE == VIRTIO_SND_CHMAP_LFE &&
		      (int)SND_CHMAP_TC == VIRTIO_SND_CHMAP_TC &&
		      (int)SND_CHMAP_BRC == VIRTIO_SND_CHMAP_BRC,
	      "virtio 1.3, 5.14.6.9.1");

static const snd_pcm_format_t formats[VHU_SOUND_N_FORMATS] = {
	[VIRTIO_SND_PCM_FMT_IMA_ADPCM] = SND_PCM_FORMAT_UNKNOWN,
	[VIRTIO_SND_PCM_FMT_MU_LAW] = SND_PCM_FORMAT_MU_LAW,
	[VIRTIO_SND_PCM_FMT_A_LAW] = SND_PCM_FORMAT_A_LAW,
	[VIRTIO_SND_PCM_FMT_S8] = SND_PCM_FORMAT_S8,
	[VIRTIO_SND_PCM_FMT_U8] = SND_PCM_FORMAT_U8,
	[VIRTIO_SND_PCM_FMT_S16] = SND_PCM_FORMAT_S16_LE,
	[VIRTIO_SND_PCM_FMT_U16] = SND_PCM_FORMAT_U16_LE,
	[VIRTIO_SND_PCM_FMT_S18_3] = SND_PCM_FORMAT_S18_3LE,
	[VIRTIO_SND_PCM_FMT_U18_3] = SND_PCM_FORMAT_U18_3LE,
	[VIRTIO_SND_PCM_FMT_S20_3] = SND_PCM_FORMAT_S20_3LE,
	[VIRTIO_SND_PCM_FMT_U20_3] = SND_PCM_FORMAT_U20_3LE,
	[VIRTIO_SND_PCM_FMT_S24_3] = SND_PCM_FORMAT_S24_3LE,
	[VIRTIO_SND_PCM_FMT_U24_3] = SND_PCM_FORMAT_U24_3LE,
	[VIRTIO_SND_PCM_FMT_S20] = SND_PCM_FORMAT_S20_LE,
	[VIRTIO_SND_PCM_FMT_U20] = SND_PCM_FORMAT_U20_LE,
	[VIRTIO_SND_PCM_FMT_S24] = SND_PCM_FORMAT_S24_LE,
	[VIRTIO_SND_PCM_FMT_U24] = SND_PCM_FORMAT_U24_LE,
	[VIRTIO_SND_PCM_FMT_S32] = SND_PCM_FORMAT_S32_LE,
	[VIRTIO_SND_PCM_FMT_U32] = SND_PCM_FORMAT_U32_LE,
	[VIRTIO_SND_PCM_FMT_FLOAT] = SND_PCM_FORMAT_FLOAT_LE,
	[VIRTIO_SND_PCM_FMT_FLOAT64] = SND_PCM_FORMAT_FLOAT64_LE,
	[VIRTIO_SND_PCM_FMT_DSD_U8] = SND_PCM_FORMAT_DSD_U8,
	[VIRTIO_SND_PCM_FMT_DSD_U16] = SND_PCM_FORMAT_DSD_U16_LE,
	[VIRTIO_SND_PCM_FMT_DSD_U32] = SND_PCM_FORMAT_DSD_U32_LE,
	[VIRTIO_SND_PCM_FMT_IEC958_SUBFRAME] = SND_PCM_FORMAT_IEC958_SUBFRAME_LE,
};

int vhu_sound_alsa_format(unsigned format)
{
	return formats[format];
}

/* --- alsa-lib's own words ------------------------------------------------------------------- */

static void hear(const char *file, int line, const char *function, int err, const char *format, ...)
	__attribute__((format(printf, 5, 6)));

static void hear(const char *file, int line, const char *function, int err, const char *format, ...)
{
	char text[256];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	vhu_debug("alsa-lib: %s:%d: %s: %s%s%s", file, line, function, text, err ? ": " : "",
		  err ? snd_strerror(err) : "");
}

static void set_handler(void)
{
	snd_lib_error_set_handler(hear);
}

void vhu_sound_alsa_quiet(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, set_handler);
}

/* --- what is wrong -------------------------------------------------------------------------- */

static const struct {
	int error;
	const char *text;
} troubles[] = {
	{ EBUSY, "another program has it; try a PCM that mixes (default, dmix, pipewire, pulse)" },
	{ ENOENT, "there is no such PCM; --list shows what there is" },
	{ ENODEV, "there is no such device; --list shows what there is" },
	{ ENXIO, "ALSA has no plugin for it (packages libasound2-plugins, pipewire-alsa), or it is "
		 "not there; --list shows what there is" },
	{ EACCES, "no permission; add this user to the group \"audio\"" },
	{ EPERM, "no permission; add this user to the group \"audio\"" },
	{ ECONNREFUSED, "the sound server does not answer; run it, or as its user (it looks in "
			"XDG_RUNTIME_DIR)" },
	{ EHOSTDOWN, "the sound server does not answer; run it, or as its user (it looks in "
		     "XDG_RUNTIME_DIR)" },
};

/* Of the cards whose device files there are: how many, and how many we may not open. */
static unsigned count_cards(unsigned *ret_closed)
{
	unsigned n = 0;

	*ret_closed = 0;
	for (unsigned i = 0; i < CARDS_MAX; i++) {
		char path[32];

		snprintf(path, sizeof(path), "/dev/snd/controlC%u", i);
		if (access(path, F_OK) < 0)
			continue;
		n++;
		*ret_closed += access(path, R_OK | W_OK) < 0;
	}
	return n;
}

/* Has ALSA's configuration, as it was read by the open, such a name? */
static bool is_defined(const char *pcm)
{
	snd_config_t *node;
	char key[64];

	snprintf(key, sizeof(key), "pcm.%.*s", (int)strcspn(pcm, ":"), pcm);
	return snd_config && snd_config_search(snd_config, key, &node) >= 0;
}

/* Its plugin brings the name, which is known to be one. */
static bool is_server(const char *pcm)
{
	static const char *const names[] = { "pipewire", "pulse" };
	size_t len = strcspn(pcm, ":");

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strlen(names[i]) == len && !strncmp(names[i], pcm, len))
			return true;
	return false;
}

const char *vhu_sound_alsa_explain(const char *pcm, int r)
{
	unsigned closed, n = count_cards(&closed);

	if (r == -ENOENT && is_server(pcm) && !is_defined(pcm))
		r = -ENXIO;
	if ((r == -ENOENT && is_defined(pcm)) || r == -ENODEV) {
		if (!n)
			return "this machine has no sound card; try a sound server's PCM "
			       "(pipewire, pulse), wav:FILE, or null";
		if (n == closed)
			r = -EACCES;
	}
	for (size_t i = 0; i < ARRAY_SIZE(troubles); i++)
		if (troubles[i].error == -r)
			return troubles[i].text;
	return snd_strerror(r);
}

/* --- what it can ---------------------------------------------------------------------------- */

int vhu_sound_alsa_open(const struct vhu_sound_stream_options *options, snd_pcm_t **ret_pcm)
{
	vhu_sound_alsa_quiet();
	return snd_pcm_open(ret_pcm, options->where,
			    options->capture ? SND_PCM_STREAM_CAPTURE : SND_PCM_STREAM_PLAYBACK,
			    SND_PCM_NONBLOCK);
}

static bool has_map(const struct vhu_sound_caps *caps, unsigned channels)
{
	for (unsigned i = 0; i < caps->n_maps; i++)
		if (caps->maps[i].channels == channels)
			return true;
	return false;
}

/* The first for each number of channels is the one that is in use. */
static void add_map(struct vhu_sound_caps *caps, const snd_pcm_chmap_t *from)
{
	struct vhu_sound_map *map = &caps->maps[caps->n_maps];

	if (!from->channels || from->channels > VIRTIO_SND_CHMAP_MAX_SIZE ||
	    caps->n_maps == VHU_SOUND_MAPS_MAX || has_map(caps, from->channels))
		return;
	map->channels = (uint8_t)from->channels;
	for (unsigned i = 0; i < from->channels; i++) {
		unsigned position = from->pos[i] & SND_CHMAP_POSITION_MASK;

		if (from->pos[i] & SND_CHMAP_DRIVER_SPEC || position > VIRTIO_SND_CHMAP_BRC)
			position = VIRTIO_SND_CHMAP_NONE;
		map->positions[i] = (uint8_t)position;
	}
	caps->n_maps++;
}

/* A PCM that tells of none has ALSA's usual order. */
static void ask_maps(snd_pcm_t *pcm, struct vhu_sound_caps *caps)
{
	snd_pcm_chmap_query_t **maps = snd_pcm_query_chmaps(pcm);

	for (unsigned i = 0; maps && maps[i]; i++)
		add_map(caps, &maps[i]->map);
	if (maps)
		snd_pcm_free_chmaps(maps);
	if (!caps->n_maps)
		vhu_sound_usual_maps(caps);
}

static int ask(snd_pcm_t *pcm, struct vhu_sound_caps *caps)
{
	snd_pcm_hw_params_t *hw;
	int r;

	snd_pcm_hw_params_alloca(&hw);
	r = snd_pcm_hw_params_any(pcm, hw);
	if (r < 0)
		return r;
	if (snd_pcm_hw_params_test_access(pcm, hw, SND_PCM_ACCESS_MMAP_INTERLEAVED) < 0 &&
	    snd_pcm_hw_params_test_access(pcm, hw, SND_PCM_ACCESS_RW_INTERLEAVED) < 0)
		return -EINVAL;
	for (unsigned i = 0; i < VHU_SOUND_N_FORMATS; i++)
		if (formats[i] != SND_PCM_FORMAT_UNKNOWN &&
		    snd_pcm_hw_params_test_format(pcm, hw, formats[i]) == 0)
			caps->formats |= 1ull << i;
	for (unsigned i = 0; i < VHU_SOUND_N_RATES; i++)
		if (snd_pcm_hw_params_test_rate(pcm, hw, vhu_sound_rates_hz[i], 0) == 0)
			caps->rates |= 1ull << i;
	snd_pcm_hw_params_get_channels_min(hw, &caps->channels_min);
	snd_pcm_hw_params_get_channels_max(hw, &caps->channels_max);
	caps->channels_max = (unsigned)min_u64(caps->channels_max, VIRTIO_SND_CHMAP_MAX_SIZE);
	if (!caps->formats || !caps->rates || caps->channels_min > caps->channels_max)
		return -EINVAL;
	ask_maps(pcm, caps);
	return 0;
}

int vhu_sound_alsa_probe(const struct vhu_sound_stream_options *options,
			 struct vhu_sound_caps *ret_caps)
{
	struct vhu_sound_caps caps = { 0 };
	snd_pcm_t *pcm;
	int r = vhu_sound_alsa_open(options, &pcm);

	if (r < 0) {
		vhu_error("%s: cannot open it for %s: %s", options->where,
			  options->capture ? "capture" : "playback",
			  vhu_sound_alsa_explain(options->where, r));
		return r;
	}
	r = ask(pcm, &caps);
	snd_pcm_close(pcm);
	if (r < 0)
		vhu_error("%s: it has no frames that a guest could be offered; a plughw: PCM, or "
			  "one of type plug, converts",
			  options->where);
	else
		*ret_caps = caps;
	return r;
}
