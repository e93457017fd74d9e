/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "common/serve/program.h"
#include "devices/input/input.h"

#define EXIT_USAGE 2

static const char *const modes[] = {
	[VHU_INPUT_EVDEV] = "evdev",
	[VHU_INPUT_LIBINPUT] = "libinput",
	NULL,
};

static const char *const grabs[] = {
	[VHU_INPUT_GRAB_ALWAYS] = "always",
	[VHU_INPUT_GRAB_NEVER] = "never",
	[VHU_INPUT_GRAB_TOGGLE] = "toggle",
	NULL,
};

static const char *const repeats[] = {
	[VHU_INPUT_REPEAT_GUEST] = "guest",
	[VHU_INPUT_REPEAT_HOST] = "host",
	[VHU_INPUT_REPEAT_OFF] = "off",
	NULL,
};

static int parse_no_grab(const struct vhu_option *option, void *field, const char *text,
			 const char **ret_why)
{
	(void)option;
	(void)text;
	(void)ret_why;
	*(unsigned *)field = VHU_INPUT_GRAB_NEVER;
	return 0;
}

static int parse_fd(const struct vhu_option *option, void *field, const char *text,
		    const char **ret_why)
{
	uint64_t fd;
	int r = vhu_option_number(option, &fd, text, ret_why);

	if (r == 0)
		*(int64_t *)field = (int64_t)fd;
	return r;
}

static bool find_kind(const char *word, size_t len, unsigned *ret_kind)
{
	for (unsigned i = 0; vhu_input_kind_names[i]; i++) {
		if (strlen(vhu_input_kind_names[i]) == len &&
		    !strncmp(vhu_input_kind_names[i], word, len)) {
			*ret_kind = i;
			return true;
		}
	}
	return false;
}

static int parse_kinds(const struct vhu_option *option, void *field, const char *text,
		       const char **ret_why)
{
	unsigned kinds = 0, kind;

	(void)option;
	*ret_why = "keyboard, mouse, absolute, touch, tablet, pad, switch, or several of them "
		   "with commas between";
	for (;;) {
		size_t len = strcspn(text, ",");

		if (!find_kind(text, len, &kind))
			return -EINVAL;
		kinds |= 1u << kind;
		if (!text[len])
			break;
		text += len + 1;
	}
	*(unsigned *)field = kinds;
	return 0;
}

#define TO(field) offsetof(struct vhu_input_options, field)
static const struct vhu_option rows[] = {
	{ .name = "evdev-path", .alias = "device", .letter = 'p', .argument = "PATH",
	  .help = "the device: /dev/input/by-id/... finds it again after it was unplugged",
	  .parse = vhu_option_text, .offset = TO(evdev_path) },
	{ .name = "device-fd", .argument = "N",
	  .help = "the same, opened by somebody else and handed over as file descriptor N",
	  .parse = parse_fd, .offset = TO(device_fd), .max = INT32_MAX },
	{ .name = "seat", .argument = "NAME",
	  .help = "all devices of a seat (seat0) that are of --kind, those plugged in later too",
	  .parse = vhu_option_text, .offset = TO(seat) },
	{ .name = "replay", .argument = "FILE",
	  .help = "play a recording, of --record or evemu",
	  .parse = vhu_option_text, .offset = TO(replay) },
	{ .name = "stream", .argument = "PATH",
	  .help = "take events, in the lines of a recording, from programs that connect to a Unix "
		  "socket, made at PATH",
	  .parse = vhu_option_text, .offset = TO(stream) },
	{ .name = "kind", .argument = "LIST",
	  .help = "what a seat or a stream shows the guest: keyboard, mouse, absolute, touch, "
		  "tablet, pad, switch, or several with commas between; default: keyboard,mouse",
	  .parse = parse_kinds, .offset = TO(kinds) },
	{ .name = "mode", .argument = "MODE",
	  .help = "evdev (default): the device's own events; libinput: as libinput makes them",
	  .parse = vhu_option_choice, .offset = TO(mode), .words = modes },
	{ .name = "grab", .argument = "POLICY",
	  .help = "always (default): while a guest has the device nobody else gets its events; "
		  "never; toggle: as the hotkey says, at first the guest has it",
	  .parse = vhu_option_choice, .offset = TO(grab), .words = grabs },
	{ .name = "no-grab", .letter = 'n',
	  .help = "--grab never",
	  .parse = parse_no_grab, .offset = TO(grab) },
	{ .name = "hotkey", .argument = "KEYS",
	  .help = "ctrl-ctrl (default), alt-alt, shift-shift, meta-meta, scrolllock, "
		  "ctrl-scrolllock: gives all devices of --grab toggle to the guest or back",
	  .parse = vhu_option_choice, .offset = TO(hotkey), .words = vhu_input_hotkey_names },
	{ .name = "repeat", .argument = "WHO",
	  .help = "who repeats a key that is held: guest (default), host, off",
	  .parse = vhu_option_choice, .offset = TO(repeat), .words = repeats },
	{ .name = "name", .argument = "TEXT",
	  .help = "what the guest sees as its name; default: the device's",
	  .parse = vhu_option_text, .offset = TO(name) },
	{ .name = "serial", .argument = "TEXT",
	  .help = "the same for its serial number",
	  .parse = vhu_option_text, .offset = TO(serial) },
	{ .name = "queue-size", .argument = "N",
	  .help = "largest size of a queue, a power of two from 4 to 1024 (default)",
	  .parse = vhu_option_number, .offset = TO(queue_size), .min = 4, .max = 1024 },
	{ .name = "wait-device",
	  .help = "--evdev-path may not be there yet: wait for it",
	  .parse = vhu_option_flag, .offset = TO(wait_device) },
	{ .name = "replay-delay", .argument = "MS",
	  .help = "from the start of the guest's driver to the first event, in milliseconds",
	  .parse = vhu_option_number, .offset = TO(replay_delay_ms), .max = 86400000 },
	{ .name = "replay-wait",
	  .help = "play at SIGUSR2, each time",
	  .parse = vhu_option_flag, .offset = TO(replay_wait) },
	{ .name = "list",
	  .help = "print the devices that could be served, and exit",
	  .parse = vhu_option_flag, .offset = TO(list) },
	{ .name = "json",
	  .help = "the same as JSON",
	  .parse = vhu_option_flag, .offset = TO(json) },
	{ .name = "record", .argument = "FILE",
	  .help = "write what --evdev-path is and does to FILE until an interrupt, and exit",
	  .parse = vhu_option_text, .offset = TO(record) },
};

static const char *const capabilities[] = { "evdev-path", "no-grab", NULL };

static void replay(struct vhu_device *device)
{
	vhu_input_begin_replay(device);
}

static const struct vhu_program_signal signals[] = {
	{ SIGUSR2, replay },
};

static void command_replay(void *device, const char *argument, struct vhu_control_request *request)
{
	(void)argument;
	if (vhu_input_begin_replay(device) < 0)
		vhu_control_refuse(request, "there is no recording that waits: it takes --replay "
				   "and --replay-wait");
	else
		vhu_control_answer(request);
}

static const struct vhu_control_command commands[] = {
	{ "replay", NULL, "play the recording of --replay-wait, as at SIGUSR2", command_replay },
};

static int instead(const void *data)
{
	const struct vhu_input_options *options = data;

	if (vhu_input_options_check(options) < 0)
		return EXIT_USAGE;
	if (options->list)
		return vhu_input_print_list(options) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
	if (options->record)
		return vhu_input_record(options) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
	return VHU_PROGRAM_SERVE;
}

static int make(const void *options, struct vhu_device **ret_device)
{
	return vhu_input_new(options, ret_device);
}

static const struct vhu_program program = {
	.name = "vhu-input",
	.summary = "Serves a keyboard, a mouse, a touch screen and the like as a virtio input "
		   "device.",
	.example = "--socket-path /run/kbd.sock --device /dev/input/by-id/usb-KEYBOARD-event-kbd",
	.type = "input",
	.capabilities = capabilities,
	.options = rows,
	.n_options = sizeof(rows) / sizeof(rows[0]),
	.options_bytes = sizeof(struct vhu_input_options),
	.defaults = &vhu_input_defaults,
	.instead = instead,
	.make = make,
	.print_stats = vhu_input_print_stats,
	.commands = commands,
	.n_commands = sizeof(commands) / sizeof(commands[0]),
	.signals = signals,
	.n_signals = sizeof(signals) / sizeof(signals[0]),
	.qemu_device = "vhost-user-input-pci",
};

int main(int argc, char **argv)
{
	return vhu_program_main(&program, argc, argv);
}
