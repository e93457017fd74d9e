/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * For guests: input_make KIND NAME makes a uinput device of that kind and name, and does what the
 * lines of its standard input say:
 *
 *	play N GAP_US	so many packets of the kind's own, with time between them
 *	hold		6 keys or 3 contacts go down and stay
 *	event T C V	this one (0 0 0 ends the packet)
 *	tally FILE	what was played so far, see input_tally.h
 *	forget		that it was
 *
 * At the end of input the device is unplugged. LEDs that are lit are told of: "led CODE VALUE";
 * other events that are written to it: "repeat CODE VALUE", "written TYPE CODE VALUE".
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include <linux/input.h>
#include <linux/uinput.h>

#include "tests/qemu/guest/input_tally.h"

#define N_SLOTS 10
#define N_PACKET_MAX 128
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

static int fd;
static struct tally tally;
static struct input_event packet[N_PACKET_MAX];
static unsigned n_packet;
static unsigned step; /* of play */
static int32_t next_id;

static void fail(const char *what)
{
	printf("not ok: input_make: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void add(unsigned type, unsigned code, int32_t value)
{
	struct input_event *event = &packet[n_packet++];

	*event = (struct input_event){ .type = (uint16_t)type, .code = (uint16_t)code,
				       .value = value };
	tally_event(&tally, type, code, value);
	if (type != EV_SYN && n_packet < N_PACKET_MAX)
		return;
	if (write(fd, packet, n_packet * sizeof(*packet)) != (ssize_t)(n_packet * sizeof(*packet)))
		fail("cannot write events");
	n_packet = 0;
}

static void toggle(unsigned code)
{
	add(EV_KEY, code, !tally.key[code]);
}

static void add_axes(int32_t x)
{
	add(EV_ABS, ABS_X, x);
	add(EV_ABS, ABS_Y, TALLY_AXIS_MAX - x);
}

static void play_keyboard(void)
{
	unsigned code = KEY_Q + step * 7 % 10;

	add(EV_MSC, MSC_SCAN, (int32_t)code);
	toggle(code);
}

static void play_mouse(void)
{
	int32_t a = (int32_t)(step * 13 % 17) - 8, wheel = step % 8 < 4 ? 1 : -1;

	add(EV_REL, REL_X, a);
	add(EV_REL, REL_Y, -a);
	if (step % 3 == 0) {
		add(EV_REL, REL_WHEEL, wheel);
		add(EV_REL, REL_WHEEL_HI_RES, 120 * wheel);
	}
	if (step % 5 == 0)
		toggle(BTN_LEFT + step / 5 % 3);
}

static void play_absolute(void)
{
	add_axes(1 + (int32_t)(step * 37 % TALLY_AXIS_MAX));
	if (step % 4 == 0)
		toggle(BTN_LEFT);
}

static int32_t touch_x(unsigned slot)
{
	return 1 + (int32_t)((step * 37 + slot * 401) % TALLY_AXIS_MAX);
}

static void add_contact(unsigned slot, bool begins)
{
	add(EV_ABS, ABS_MT_SLOT, (int32_t)slot);
	if (begins)
		add(EV_ABS, ABS_MT_TRACKING_ID, next_id++);
	add(EV_ABS, ABS_MT_POSITION_X, touch_x(slot));
	add(EV_ABS, ABS_MT_POSITION_Y, TALLY_AXIS_MAX - touch_x(slot));
}

static bool any_contact(void)
{
	for (unsigned i = 0; i < N_SLOTS; i++)
		if (tally.contact[i])
			return true;
	return false;
}

/* Each packet one contact comes or goes, and all of them move: up to 36 events. */
static void play_touch(void)
{
	unsigned changing = step * 3 % N_SLOTS;

	for (unsigned i = 0; i < N_SLOTS; i++) {
		if (i == changing && tally.contact[i]) {
			add(EV_ABS, ABS_MT_SLOT, (int32_t)i);
			add(EV_ABS, ABS_MT_TRACKING_ID, -1);
		} else if (i == changing || tally.contact[i]) {
			add_contact(i, i == changing);
		}
	}
	if (any_contact() != tally.key[BTN_TOUCH])
		toggle(BTN_TOUCH);
	if (tally.contact[0])
		add_axes(touch_x(0));
}

static void play_tablet(void)
{
	unsigned phase = step % 16;

	if (phase == 0 || phase == 15)
		toggle(BTN_TOOL_PEN);
	add_axes(1 + (int32_t)(step * 37 % TALLY_AXIS_MAX));
	if (phase == 3 || phase == 12)
		toggle(BTN_TOUCH);
	add(EV_ABS, ABS_PRESSURE, phase >= 3 && phase < 12 ? 1000 + (int32_t)step % 900 : 0);
	if (phase == 6 || phase == 9)
		toggle(BTN_STYLUS);
}

/* Two fingers come, go down the pad together, and leave. */
static void play_touchpad(void)
{
	unsigned phase = step % 32;

	for (unsigned i = 0; i < 2; i++) {
		add(EV_ABS, ABS_MT_SLOT, (int32_t)i);
		if (phase == 0 || phase == 31)
			add(EV_ABS, ABS_MT_TRACKING_ID, phase ? -1 : next_id++);
		if (phase == 31)
			continue;
		add(EV_ABS, ABS_MT_POSITION_X, 1500 + 500 * (int32_t)i);
		add(EV_ABS, ABS_MT_POSITION_Y, 1000 + 40 * (int32_t)phase);
	}
	if (phase == 0 || phase == 31) {
		toggle(BTN_TOUCH);
		toggle(BTN_TOOL_DOUBLETAP);
	}
}

static void play_switch(void)
{
	add(EV_SW, SW_LID, !tally.sw[SW_LID]);
}

static void hold_keys(void)
{
	for (unsigned code = KEY_A; code < KEY_A + 6; code++)
		add(EV_KEY, code, 1);
}

static void hold_contacts(void)
{
	for (unsigned i = 0; i < 3; i++)
		add_contact(i, true);
	add(EV_KEY, BTN_TOUCH, 1);
	add_axes(touch_x(0));
}

static void hold_button(void)
{
	add(EV_KEY, BTN_LEFT, 1);
}

static void hold_pad(void)
{
	add(EV_KEY, BTN_1, 1);
}

struct codes {
	unsigned type, first, last;
};

static const struct kind {
	const char *name;
	void (*play)(void);
	void (*hold)(void);
	uint16_t product;
	unsigned property; /* and one; 0: none */
	struct codes codes[8];
} kinds[] = {
	{ "keyboard", play_keyboard, hold_keys, 1, 0,
	  { { EV_KEY, KEY_ESC, KEY_MICMUTE }, { EV_MSC, MSC_SCAN, MSC_SCAN },
	    { EV_LED, LED_NUML, LED_SCROLLL }, { EV_SND, SND_CLICK, SND_TONE },
	    { EV_REP, REP_DELAY, REP_PERIOD } } },
	{ "mouse", play_mouse, hold_button, 2, 0,
	  { { EV_KEY, BTN_LEFT, BTN_EXTRA }, { EV_REL, REL_X, REL_Y },
	    { EV_REL, REL_WHEEL, REL_WHEEL }, { EV_REL, REL_WHEEL_HI_RES, REL_WHEEL_HI_RES } } },
	{ "absolute", play_absolute, hold_button, 3, 0,
	  { { EV_KEY, BTN_LEFT, BTN_MIDDLE }, { EV_ABS, ABS_X, ABS_Y } } },
	{ "touch", play_touch, hold_contacts, 4, 1 + INPUT_PROP_DIRECT,
	  { { EV_KEY, BTN_TOUCH, BTN_TOUCH }, { EV_ABS, ABS_X, ABS_Y },
	    { EV_ABS, ABS_MT_SLOT, ABS_MT_SLOT },
	    { EV_ABS, ABS_MT_POSITION_X, ABS_MT_POSITION_Y },
	    { EV_ABS, ABS_MT_TRACKING_ID, ABS_MT_TRACKING_ID } } },
	{ "tablet", play_tablet, hold_button, 5, 1 + INPUT_PROP_DIRECT,
	  { { EV_KEY, BTN_TOOL_PEN, BTN_TOOL_PEN }, { EV_KEY, BTN_TOUCH, BTN_STYLUS },
	    { EV_ABS, ABS_X, ABS_Y }, { EV_ABS, ABS_PRESSURE, ABS_PRESSURE } } },
	{ "switch", play_switch, play_switch, 6, 0, { { EV_SW, SW_LID, SW_LID } } },
	{ "touchpad", play_touchpad, hold_button, 7, 1 + INPUT_PROP_POINTER,
	  { { EV_KEY, BTN_LEFT, BTN_RIGHT }, { EV_KEY, BTN_TOOL_FINGER, BTN_TOOL_FINGER },
	    { EV_KEY, BTN_TOUCH, BTN_TOUCH }, { EV_KEY, BTN_TOOL_DOUBLETAP, BTN_TOOL_DOUBLETAP },
	    { EV_ABS, ABS_X, ABS_Y }, { EV_ABS, ABS_MT_SLOT, ABS_MT_SLOT },
	    { EV_ABS, ABS_MT_POSITION_X, ABS_MT_POSITION_Y },
	    { EV_ABS, ABS_MT_TRACKING_ID, ABS_MT_TRACKING_ID } } },
	{ "artpen", play_tablet, hold_button, 8, 1 + INPUT_PROP_DIRECT,
	  { { EV_KEY, BTN_TOOL_PEN, BTN_TOOL_PEN }, { EV_KEY, BTN_TOUCH, BTN_STYLUS },
	    { EV_ABS, ABS_X, ABS_Z }, { EV_ABS, ABS_PRESSURE, ABS_PRESSURE },
	    { EV_ABS, ABS_TILT_X, ABS_TILT_Y } } },
	{ "pad", hold_pad, hold_pad, 9, 0,
	  { { EV_KEY, BTN_0, BTN_3 }, { EV_KEY, BTN_STYLUS, BTN_STYLUS },
	    { EV_ABS, ABS_X, ABS_Y }, { EV_ABS, ABS_WHEEL, ABS_WHEEL },
	    { EV_ABS, ABS_MISC, ABS_MISC } } },
};

static const struct kind *kind_of(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (!strcmp(kinds[i].name, name))
			return &kinds[i];
	errno = EINVAL;
	fail(name);
	return NULL;
}

static void set_up(unsigned long request, unsigned long value)
{
	if (ioctl(fd, request, value) < 0)
		fail("cannot set up the device");
}

static void set_up_axis(unsigned code)
{
	struct uinput_abs_setup setup = {
		.code = (uint16_t)code,
		.absinfo = { .maximum = TALLY_AXIS_MAX, .resolution = 20 },
	};

	if (code == ABS_MT_SLOT)
		setup.absinfo = (struct input_absinfo){ .maximum = N_SLOTS - 1 };
	if (code == ABS_MT_TRACKING_ID)
		setup.absinfo = (struct input_absinfo){ .maximum = 65535 };
	if (code == ABS_WHEEL)
		setup.absinfo = (struct input_absinfo){ .maximum = 71 };
	if (code == ABS_TILT_X || code == ABS_TILT_Y)
		setup.absinfo = (struct input_absinfo){ .minimum = -64, .maximum = 63,
							.resolution = 57 };
	if (code == ABS_Z)
		setup.absinfo = (struct input_absinfo){ .minimum = -900, .maximum = 899 };
	set_up(UI_ABS_SETUP, (unsigned long)&setup);
}

static const unsigned long requests[EV_CNT] = {
	[EV_KEY] = UI_SET_KEYBIT, [EV_REL] = UI_SET_RELBIT, [EV_ABS] = UI_SET_ABSBIT,
	[EV_MSC] = UI_SET_MSCBIT, [EV_SW] = UI_SET_SWBIT,   [EV_LED] = UI_SET_LEDBIT,
	[EV_SND] = UI_SET_SNDBIT,
};

static void set_up_codes(const struct codes *codes)
{
	set_up(UI_SET_EVBIT, codes->type);
	for (unsigned code = codes->first; code <= codes->last; code++) {
		if (requests[codes->type])
			set_up(requests[codes->type], code);
		if (codes->type == EV_ABS)
			set_up_axis(code);
	}
}

static void make(const struct kind *kind, const char *name)
{
	struct uinput_setup setup = {
		.id = { BUS_USB, 0x1d6b, kind->product, 0x0101 },
	};
	char phys[80];

	fd = open("/dev/uinput", O_RDWR | O_NONBLOCK);
	if (fd < 0)
		fail("cannot open /dev/uinput");
	for (size_t i = 0; i < ARRAY_SIZE(kind->codes) && kind->codes[i].type; i++)
		set_up_codes(&kind->codes[i]);
	if (kind->property)
		set_up(UI_SET_PROPBIT, kind->property - 1);
	snprintf(phys, sizeof(phys), "vhu-test/%s", name);
	set_up(UI_SET_PHYS, (unsigned long)phys);
	snprintf(setup.name, sizeof(setup.name), "%s", name);
	set_up(UI_DEV_SETUP, (unsigned long)&setup);
	set_up(UI_DEV_CREATE, 0);
}

static void play(const struct kind *kind, unsigned n, unsigned gap_us)
{
	const struct timespec gap = { gap_us / 1000000, gap_us % 1000000 * 1000 };

	for (; n; n--, step++) {
		kind->play();
		add(EV_SYN, SYN_REPORT, 0);
		if (gap_us)
			nanosleep(&gap, NULL);
	}
}

static void obey(const struct kind *kind, const char *line)
{
	unsigned a, b;
	char path[64];
	int c;

	if (sscanf(line, "play %u %u", &a, &b) == 2) {
		play(kind, a, b);
	} else if (!strcmp(line, "hold\n")) {
		kind->hold();
		add(EV_SYN, SYN_REPORT, 0);
	} else if (sscanf(line, "event %u %u %d", &a, &b, &c) == 3) {
		add(a, b, c);
	} else if (sscanf(line, "tally %63s", path) == 1) {
		tally_write(&tally, path);
	} else if (!strcmp(line, "forget\n")) {
		tally_forget(&tally);
	} else {
		errno = EINVAL;
		fail(line);
	}
}

static void tell_leds(void)
{
	struct input_event event;

	while (read(fd, &event, sizeof(event)) == sizeof(event))
		if (event.type == EV_LED)
			printf("led %u %d\n", event.code, event.value);
		else if (event.type == EV_REP)
			printf("repeat %u %d\n", event.code, event.value);
		else if (event.type != EV_SYN)
			printf("written %u %u %d\n", event.type, event.code, event.value);
}

int main(int argc, char **argv)
{
	struct pollfd polled[2] = { { .fd = 0, .events = POLLIN }, { .events = POLLIN } };
	const struct kind *kind;
	char line[128];

	setvbuf(stdout, NULL, _IOLBF, 0);
	setvbuf(stdin, NULL, _IONBF, 0); /* poll knows nothing of what is buffered */
	if (argc != 3)
		return 2;
	kind = kind_of(argv[1]);
	make(kind, argv[2]);
	polled[1].fd = fd;
	while (poll(polled, 2, -1) > 0) {
		if (polled[1].revents)
			tell_leds();
		if (polled[0].revents && !fgets(line, sizeof(line), stdin))
			return 0;
		if (polled[0].revents)
			obey(kind, line);
	}
	fail("cannot wait");
}
