/* SPDX-License-Identifier: BSD-3-Clause */
/* --list: the PCMs that ALSA's configuration gives a name to, and those of the cards. */
#include "devices/sound/sound.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <alsa/asoundlib.h>

#include "common/base/json.h"
#include "common/base/log.h"
#include "devices/sound/alsa_priv.h"

struct listed {
	char *name, *description; /* the latter may be NULL; owned */
	bool playback, capture;
};

/* Of several lines one. */
static void join_lines(char *text)
{
	while (text && (text = strchr(text, '\n')))
		*text = ',';
}

static void take_hint(const void *hint, struct listed *ret_listed)
{
	char *direction = snd_device_name_get_hint(hint, "IOID");

	ret_listed->name = snd_device_name_get_hint(hint, "NAME");
	ret_listed->description = snd_device_name_get_hint(hint, "DESC");
	join_lines(ret_listed->description);
	ret_listed->playback = !direction || !strcmp(direction, "Output");
	ret_listed->capture = !direction || !strcmp(direction, "Input");
	free(direction);
}

static void print_json(const struct listed *listed)
{
	printf("{\"name\": ");
	vhu_json_put_text(stdout, listed->name);
	printf(", \"playback\": %s, \"capture\": %s, \"description\": ",
	       listed->playback ? "true" : "false", listed->capture ? "true" : "false");
	if (listed->description)
		vhu_json_put_text(stdout, listed->description);
	else
		printf("null");
	putchar('}');
}

static void print_line(const struct listed *listed)
{
	printf("%s  %s%s%s", listed->name, listed->playback ? "playback" : "",
	       listed->playback && listed->capture ? "," : "", listed->capture ? "capture" : "");
	if (listed->description)
		printf("  \"%s\"", listed->description);
	putchar('\n');
}

int vhu_sound_print_list(const struct vhu_sound_options *options)
{
	const char *before = "[\n  ";
	void **hints = NULL;
	int r, card = -1;

	vhu_sound_alsa_quiet();
	r = snd_device_name_hint(-1, "pcm", &hints);
	if (r < 0) {
		vhu_error("cannot read ALSA's configuration: %s", snd_strerror(r));
		return r;
	}
	for (void **hint = hints; *hint; hint++) {
		struct listed listed;

		take_hint(*hint, &listed);
		if (listed.name && options->json) {
			fputs(before, stdout);
			print_json(&listed);
			before = ",\n  ";
		} else if (listed.name) {
			print_line(&listed);
		}
		free(listed.name);
		free(listed.description);
	}
	snd_device_name_free_hint(hints);
	if (options->json)
		puts(*before == '[' ? "[]" : "\n]");
	if (snd_card_next(&card) < 0 || card < 0)
		vhu_info("%s", vhu_sound_alsa_explain("default", -ENODEV));
	return fflush(stdout) ? -errno : 0;
}
