/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "common/serve/program.h"
#include "devices/sound/sound.h"

#define EXIT_USAGE 2

static const char *const paces[] = {
	[VHU_SOUND_PACE_AUTO] = "auto",
	[VHU_SOUND_PACE_DEVICE] = "device",
	[VHU_SOUND_PACE_TIMER] = "timer",
	NULL,
};

static int add_stream(struct vhu_sound_options *options, const char *text, bool capture,
		      const char **ret_why)
{
	*ret_why = "one of at most 32 streams";
	if (options->n_streams == VHU_SOUND_STREAMS_MAX)
		return -EINVAL;
	/* It is one of main()'s, which are ours to change and live as long as the process. */
	if (vhu_sound_stream_parse((char *)(uintptr_t)text, capture,
				   &options->streams[options->n_streams], ret_why) < 0)
		return -EINVAL;
	options->n_streams++;
	return 0;
}

static int parse_playback(const struct vhu_option *option, void *field, const char *text,
			  const char **ret_why)
{
	(void)option;
	return add_stream(field, text, false, ret_why);
}

static int parse_capture(const struct vhu_option *option, void *field, const char *text,
			 const char **ret_why)
{
	(void)option;
	return add_stream(field, text, true, ret_why);
}

static int parse_formats(const struct vhu_option *option, void *field, const char *text,
			 const char **ret_why)
{
	(void)option;
	*ret_why = "s8, u8, s16, s24, s24-3, s32, float, float64 and others, with commas between";
	return vhu_sound_formats_parse(text, field);
}

static int parse_rates(const struct vhu_option *option, void *field, const char *text,
		       const char **ret_why)
{
	(void)option;
	*ret_why = "5512, 8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, "
		   "88200, 96000, 176400, 192000, 384000, with commas between";
	return vhu_sound_rates_parse(text, field);
}

static int parse_channels(const struct vhu_option *option, void *field, const char *text,
			  const char **ret_why)
{
	struct vhu_sound_options *options = field;

	(void)option;
	*ret_why = "a number of channels, 1 to 32, or two with - between";
	return vhu_sound_channels_parse(text, &options->channels_min, &options->channels_max);
}

static int parse_jack(const struct vhu_option *option, void *field, const char *text,
		      const char **ret_why)
{
	struct vhu_sound_options *options = field;

	(void)option;
	*ret_why = "the name of one of at most 32 jacks, 1 to 43 bytes";
	if (options->n_jacks == VHU_SOUND_JACKS_MAX || !*text || strlen(text) > 43)
		return -EINVAL;
	options->jacks[options->n_jacks++] = text;
	return 0;
}

#define TO(field) offsetof(struct vhu_sound_options, field)
static const struct vhu_option rows[] = {
	{ .name = "playback", .argument = "PCM",
	  .help = "a stream that the guest plays on: an ALSA PCM (default, hw:0,0 ...), wav:FILE, "
		  "null; behind it, with commas: formats=s16+s32, rates=44100+48000, channels=1-2, "
		  "period=MS, buffer=MS, control=NAME. May be given several times",
	  .parse = parse_playback, .repeats = true },
	{ .name = "capture", .argument = "PCM",
	  .help = "the same, a stream that the guest records from",
	  .parse = parse_capture, .repeats = true },
	{ .name = "backend", .argument = "HOST",
	  .help = "without --playback and --capture, one of each on alsa (default), null or "
		  "wav:FILE",
	  .parse = vhu_option_text, .offset = TO(backend) },
	{ .name = "formats", .argument = "LIST",
	  .help = "the sample formats offered, as far as the PCM has them; default: s16,s32,float",
	  .parse = parse_formats, .offset = TO(formats) },
	{ .name = "rates", .argument = "LIST",
	  .help = "the same of rates; default: 44100,48000",
	  .parse = parse_rates, .offset = TO(rates) },
	{ .name = "channels", .argument = "A-B",
	  .help = "the same of channels; default: 1-2",
	  .parse = parse_channels },
	{ .name = "latency", .argument = "MS",
	  .help = "what is kept ready in the host's ring, at least two of the guest's periods; "
		  "default: 40 milliseconds",
	  .parse = vhu_option_number, .offset = TO(latency_ms), .min = 1, .max = 2000 },
	{ .name = "pace", .argument = "CLOCK",
	  .help = "whose clock the guest hears: device, timer, or auto (default): the device's if "
		  "it turns out to have one",
	  .parse = vhu_option_choice, .offset = TO(pace), .words = paces },
	{ .name = "jack", .argument = "NAME",
	  .help = "a jack that the guest sees, always connected: Headphone, Speaker, Line Out, "
		  "Mic ...; the guest goes by such words. May be given several times",
	  .parse = parse_jack, .repeats = true },
	{ .name = "controls",
	  .help = "the guest may set volumes and switches; QEMU's device needs controls=on then, "
		  "and only then",
	  .parse = vhu_option_flag, .offset = TO(controls) },
	{ .name = "queue-size", .argument = "N",
	  .help = "largest size of a queue, a power of two from 4 to 1024 (default)",
	  .parse = vhu_option_number, .offset = TO(queue_size), .min = 4, .max = 1024 },
	{ .name = "list",
	  .help = "print the PCMs of this machine, and exit",
	  .parse = vhu_option_flag, .offset = TO(list) },
	{ .name = "json",
	  .help = "the same as JSON",
	  .parse = vhu_option_flag, .offset = TO(json) },
};

static int instead(const void *data)
{
	const struct vhu_sound_options *options = data;

	if (vhu_sound_options_check(options) < 0)
		return EXIT_USAGE;
	if (options->list)
		return vhu_sound_print_list(options) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
	return VHU_PROGRAM_SERVE;
}

static int make(const void *options, struct vhu_device **ret_device)
{
	return vhu_sound_new(options, ret_device);
}

static void print_properties(const void *data, FILE *out)
{
	const struct vhu_sound_options *options = data;

	if (options->controls)
		fputs(",controls=on", out);
}

static const struct vhu_program program = {
	.name = "vhu-sound",
	.summary = "Serves a virtio sound card.",
	.example = "--socket-path /run/sound.sock --playback default --capture default",
	.type = "sound",
	.options = rows,
	.n_options = sizeof(rows) / sizeof(rows[0]),
	.options_bytes = sizeof(struct vhu_sound_options),
	.defaults = &vhu_sound_defaults,
	.instead = instead,
	.make = make,
	.print_stats = vhu_sound_print_stats,
	.qemu_device = "vhost-user-snd-pci",
	.qemu_properties = print_properties,
};

int main(int argc, char **argv)
{
	return vhu_program_main(&program, argc, argv);
}
