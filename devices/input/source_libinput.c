/* SPDX-License-Identifier: BSD-3-Clause */
/* A source that shows what libinput makes of a device, or of some kinds of those of a seat. */
#include "devices/input/source.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "common/base/log.h"
#include "devices/input/kinds.h"
#include "devices/input/node.h"
#include "devices/input/seat.h"

#define SEAT_KINDS (1u << VHU_INPUT_KEYBOARD | 1u << VHU_INPUT_MOUSE)

struct libinput_source {
	struct vhu_input_source source;
	struct vhu_input_seat *seat;
	struct vhu_input_member member;
	struct vhu_input_ident ident;
	char label[VHU_INPUT_TEXT_MAX + 1];
};

static struct libinput_source *of(struct vhu_input_source *source)
{
	return (struct libinput_source *)source;
}

/* The kinds of the device, and its name; -ENOENT is none when it is waited for. */
static int look_at_path(const struct vhu_input_options *options, struct vhu_input_ident *ret_ident)
{
	struct vhu_evdev *evdev;
	unsigned kinds;
	int r = vhu_input_node_open(options->evdev_path, &evdev);

	if (r < 0) {
		if (r != -ENOENT || !options->wait_device)
			vhu_input_node_explain(options->evdev_path, r);
		return r;
	}
	vhu_evdev_ident(evdev, ret_ident);
	vhu_evdev_free(evdev);
	kinds = options->kinds ? options->kinds : vhu_input_kinds_of(ret_ident);
	if (kinds)
		return (int)kinds;
	vhu_error("%s: libinput knows no such kind of device (--mode evdev serves any)",
		  options->evdev_path);
	return -EINVAL;
}

static int open_path(struct libinput_source *s, const struct vhu_input_options *options)
{
	struct vhu_input_ident real;
	int r = look_at_path(options, &real), kinds = r;

	if (r == -ENOENT && options->wait_device) {
		kinds = (int)options->kinds;
		if (!kinds)
			vhu_error("%s: of what kind will it be? (--kind)", options->evdev_path);
	}
	if (kinds <= 0)
		return kinds ? kinds : -EINVAL;
	s->member.kinds = (unsigned)kinds;
	vhu_input_kinds_ident(s->member.kinds, &s->ident);
	if (r > 0) {
		memcpy(s->ident.name, real.name, sizeof(real.name));
		memcpy(s->ident.serial, real.serial, sizeof(real.serial));
		s->ident.ids = real.ids;
	}
	return vhu_input_seat_get_path(options->evdev_path, r > 0, &s->seat);
}

static int open_seat(struct libinput_source *s, const struct vhu_input_options *options)
{
	s->member.kinds = options->kinds ? options->kinds : SEAT_KINDS;
	vhu_input_kinds_ident(s->member.kinds, &s->ident);
	return vhu_input_seat_get(options->seat, &s->seat);
}

static int open_source(const struct vhu_input_options *options, struct vhu_input_ident *ret_ident,
		       struct vhu_input_source **ret_source)
{
	struct libinput_source *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	r = vhu_input_handoff_init(&s->member.handoff);
	if (r < 0) {
		free(s);
		return r;
	}
	r = options->seat ? open_seat(s, options) : open_path(s, options);
	if (r < 0) {
		vhu_input_handoff_finish(&s->member.handoff);
		free(s);
		return r;
	}
	s->member.ident = &s->ident;
	snprintf(s->label, sizeof(s->label), "%s",
		 options->seat ? options->seat : options->evdev_path);
	vhu_input_source_init(&s->source, &vhu_input_source_libinput, s->label);
	*ret_ident = s->ident;
	*ret_source = &s->source;
	return 0;
}

static void on_handoff(void *data, uint32_t events)
{
	struct libinput_source *s = data;

	(void)events;
	vhu_input_handoff_take(&s->member.handoff, &s->source);
}

static int attach(struct vhu_input_source *source, struct vhu_loop *loop,
		  struct vhu_input_sink *sink)
{
	struct libinput_source *s = of(source);
	struct vhu_source *unused;
	int r;

	source->loop = loop;
	source->sink = sink;
	r = vhu_loop_add_fd(loop, s->member.handoff.fd, EPOLLIN | EPOLLET, on_handoff, s, &unused);
	if (r < 0)
		return r;
	sink->resync(sink, &source->state);
	return vhu_input_seat_join(s->seat, &s->member);
}

static void want(struct libinput_source *s, uint64_t clear, uint64_t set)
{
	uint64_t wants = atomic_load(&s->member.wants);

	atomic_store(&s->member.wants, (wants & ~clear) | set);
	vhu_input_seat_tell(s->seat);
}

/* The seat does so when no key of a device is down, also with those that are still to come. */
static int grab(struct vhu_input_source *source, bool on)
{
	/* What the LEDs are is the host's until the guest says it anew. */
	want(of(source), UINT64_MAX, on ? VHU_INPUT_WANTS_GRAB : 0);
	return 0;
}

/* Sounds libinput has none, and what it tells of keys has no repeats. */
static void write_event(struct vhu_input_source *source, const struct vhu_input_event *event)
{
	if (event->type == EV_LED && event->code < LED_CNT)
		want(of(source), VHU_INPUT_WANTS_LIT(event->code),
		     VHU_INPUT_WANTS_LED(event->code) |
			     (event->value ? VHU_INPUT_WANTS_LIT(event->code) : 0));
}

static void close_source(struct vhu_input_source *source)
{
	struct libinput_source *s = of(source);

	vhu_input_seat_leave(s->seat, &s->member);
	vhu_input_seat_put(s->seat);
	vhu_input_handoff_finish(&s->member.handoff);
	free(s);
}

const struct vhu_input_source_ops vhu_input_source_libinput = {
	.name = "libinput",
	.open = open_source,
	.attach = attach,
	.grab = grab,
	.write = write_event,
	.close = close_source,
};
