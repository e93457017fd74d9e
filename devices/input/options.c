/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/num.h"
#include "devices/input/ident.h"
#include "devices/input/input.h"

const struct vhu_input_options vhu_input_defaults = {
	.device_fd = -1,
	.queue_size = 1024,
};

typedef const struct vhu_input_options options;

static unsigned n_sources(options *o)
{
	return !!o->evdev_path + (o->device_fd >= 0) + !!o->seat + !!o->replay + !!o->stream;
}

static bool no_source(options *o)
{
	return !n_sources(o) && !o->list;
}

static bool two_sources(options *o)
{
	return n_sources(o) > 1;
}

static bool list_with_more(options *o)
{
	return o->list && (n_sources(o) || o->record);
}

static bool json_alone(options *o)
{
	return o->json && !o->list;
}

static bool record_of_what(options *o)
{
	return o->record && !o->evdev_path;
}

static bool is_live(options *o)
{
	return o->evdev_path || o->device_fd >= 0;
}

static bool mode_of_what(options *o)
{
	return o->mode == VHU_INPUT_LIBINPUT && !o->evdev_path && !o->seat;
}

static bool wait_for_what(options *o)
{
	return o->wait_device && !o->evdev_path;
}

static bool kinds_of_what(options *o)
{
	return o->kinds && (o->replay || (is_live(o) && o->mode != VHU_INPUT_LIBINPUT));
}

static bool grab_of_what(options *o)
{
	return o->grab && (o->replay || o->stream);
}

static bool hotkey_of_what(options *o)
{
	return o->hotkey && o->grab != VHU_INPUT_GRAB_TOGGLE;
}

static bool replay_of_what(options *o)
{
	return (o->replay_delay_ms || o->replay_wait) && !o->replay;
}

static bool is_too_long(const char *text)
{
	return text && (!*text || strlen(text) > VHU_INPUT_TEXT_MAX);
}

static bool bad_text(options *o)
{
	return is_too_long(o->name) || is_too_long(o->serial);
}

static bool bad_queue_size(options *o)
{
	return !is_pow2(o->queue_size) || o->queue_size < 4 || o->queue_size > 1024;
}

static const struct {
	bool (*is_wrong)(options *o);
	const char *why;
} rules[] = {
	{ no_source, "give one of --evdev-path, --device-fd, --seat, --replay, --stream; --list "
		     "shows what there is" },
	{ two_sources, "give only one of --evdev-path, --device-fd, --seat, --replay, --stream" },
	{ list_with_more, "--list shows what there is: leave --record and what is to be served "
			  "away" },
	{ json_alone, "--json is for --list" },
	{ record_of_what, "--record takes the events of --evdev-path" },
	{ mode_of_what, "--mode libinput is for --evdev-path and --seat" },
	{ wait_for_what, "--wait-device is for --evdev-path" },
	{ kinds_of_what, "--kind is for --seat, --stream and --mode libinput; other devices are "
			 "what they are" },
	{ grab_of_what, "--grab is for real devices; nobody else gets a replay or a stream" },
	{ hotkey_of_what, "--hotkey is for --grab toggle" },
	{ replay_of_what, "--replay-delay and --replay-wait are for --replay" },
	{ bad_text, "--name and --serial are 1 to 128 bytes long" },
	{ bad_queue_size, "--queue-size is a power of two from 4 to 1024" },
};

int vhu_input_options_check(const struct vhu_input_options *o)
{
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
		if (rules[i].is_wrong(o)) {
			vhu_error("%s", rules[i].why);
			return -EINVAL;
		}
	}
	return 0;
}
