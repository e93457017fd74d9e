/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * For guests: input_read SOCKET RING DELAY_US [packed] [seat] is the driver of the device at
 * SOCKET, with so many buffers, which it gives back in batches after a delay; seat: the axes are
 * those of a seat, not those of the real device. It does what the lines of its standard input say:
 *
 *	tally FILE	what has come so far, see input_tally.h
 *	send T C V	to the device, by the status queue
 *	stop, start	the rings
 *	info		on standard output: packets, torn ones and so on
 *	forget		what has come, but not the state
 *
 * At the end of input it goes without a word.
 */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <linux/virtio_input.h>

#include "common/frontend/driver.h"
#include "tests/qemu/guest/input_tally.h"

#define GUEST_BYTES (1u << 20)
#define RING_MAX 64
#define SEAT_AXIS_UNITS (32768 / (TALLY_AXIS_MAX + 1))

static struct vhu_frontend frontend;
static struct vhu_driver events, status;
static struct vhu_guest_buffer buffers[RING_MAX], status_buffer;
static unsigned delay_us;
static int32_t units = 1; /* of an axis, for each of the real device's */
static struct tally tally;

static void fail(const char *what, int r)
{
	printf("not ok: input_read: %s: %s\n", what, strerror(-r));
	exit(1);
}

static void must(const char *what, int r)
{
	if (r < 0)
		fail(what, r);
}

static void connect_to(const char *path, uint16_t size, uint64_t more_features)
{
	vhu_frontend_init(&frontend);
	frontend.timeout_ms = 60000;
	must("memory", vhu_guest_add(&frontend.guest, 0, GUEST_BYTES));
	must("connect", vhu_frontend_connect(&frontend, path));
	must("negotiate", vhu_frontend_negotiate(&frontend, VHU_FRONTEND_FEATURES | more_features,
						 VHU_FRONTEND_PROTOCOL_FEATURES));
	must("share memory", vhu_frontend_share_memory(&frontend));
	must("event queue", vhu_driver_init(&events, &frontend, 0, size));
	must("status queue", vhu_driver_init(&status, &frontend, 1, size));
	for (unsigned i = 0; i < size; i++)
		buffers[i] = vhu_guest_alloc(&frontend.guest, 8, 8);
	status_buffer = vhu_guest_alloc(&frontend.guest, 8, 8);
}

static void give(unsigned i)
{
	must("give a buffer", vhu_driver_add(&events, &buffers[i], 0, 1, i));
}

static void start(void)
{
	must("start", vhu_driver_start(&events));
	must("start", vhu_driver_start(&status));
	must("kick", vhu_driver_kick(&events));
}

static void stop(void)
{
	must("stop", vhu_driver_stop(&events));
	must("stop", vhu_driver_stop(&status));
}

static bool is_xy(unsigned code)
{
	return code == ABS_X || code == ABS_Y || code == ABS_MT_POSITION_X ||
	       code == ABS_MT_POSITION_Y;
}

static void take_event(const struct virtio_input_event *event)
{
	unsigned type = le16toh(event->type), code = le16toh(event->code);
	int32_t value = (int32_t)le32toh(event->value);

	tally_event(&tally, type, code, type == EV_ABS && is_xy(code) ? value / units : value);
}

/* Buffers that were used, which are given back when all have been looked at. */
static unsigned take(unsigned used[RING_MAX])
{
	struct virtio_input_event event;
	struct vhu_driver_used chain;
	unsigned n = 0;

	while (n < RING_MAX && vhu_driver_get(&events, &chain) == 1) {
		if (chain.len != sizeof(event))
			printf("not ok: input_read: %u bytes of an event\n", chain.len);
		memcpy(&event, buffers[chain.token].host, sizeof(event));
		take_event(&event);
		used[n++] = (unsigned)chain.token;
	}
	return n;
}

static bool take_batch(void)
{
	const struct timespec delay = { delay_us / 1000000, delay_us % 1000000 * 1000 };
	unsigned used[RING_MAX], n = take(used);

	if (!n)
		return false;
	if (delay_us)
		nanosleep(&delay, NULL);
	for (unsigned i = 0; i < n; i++)
		give(used[i]);
	must("kick", vhu_driver_kick(&events));
	return true;
}

static void send_status(unsigned type, unsigned code, int value)
{
	const struct virtio_input_event event = {
		htole16((uint16_t)type), htole16((uint16_t)code), htole32((uint32_t)value),
	};

	memcpy(status_buffer.host, &event, sizeof(event));
	must("send", vhu_driver_run(&status, &status_buffer, 1, 0, NULL));
}

static void tell_info(void)
{
	printf("info: events %" PRIu64 " packets %" PRIu64 " torn %" PRIu64 " longest %" PRIu64
	       " released %" PRIu64 "\n",
	       tally.events, tally.packets, tally.torn, tally.longest, tally.most_released);
}

static void forget(void)
{
	tally_forget(&tally);
}

static const struct {
	const char *line;
	void (*fn)(void);
} commands[] = {
	{ "stop\n", stop }, { "start\n", start }, { "info\n", tell_info }, { "forget\n", forget },
};

static void obey(const char *line)
{
	unsigned a, b;
	char path[64];
	int c;

	if (sscanf(line, "tally %63s", path) == 1) {
		while (take_batch())
			;
		tally_write(&tally, path);
	} else if (sscanf(line, "send %u %u %d", &a, &b, &c) == 3) {
		send_status(a, b, c);
	} else {
		for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
			if (!strcmp(line, commands[i].line))
				commands[i].fn();
	}
}

static void serve(void)
{
	struct pollfd polled[2] = { { .fd = 0, .events = POLLIN },
				    { .fd = events.call_fd, .events = POLLIN } };
	char line[128];

	for (;;) {
		while (take_batch())
			;
		if (vhu_driver_want_call(&events))
			continue;
		polled[1].fd = events.call_fd;
		if (poll(polled, 2, -1) < 0)
			fail("wait", -errno);
		vhu_driver_count_calls(&events);
		if (polled[0].revents && !fgets(line, sizeof(line), stdin))
			return;
		if (polled[0].revents)
			obey(line);
	}
}

int main(int argc, char **argv)
{
	uint64_t features = 0;
	unsigned size;

	setvbuf(stdout, NULL, _IOLBF, 0);
	setvbuf(stdin, NULL, _IONBF, 0);
	if (argc < 4)
		return 2;
	size = (unsigned)atoi(argv[2]);
	delay_us = (unsigned)atoi(argv[3]);
	if (!size || size > RING_MAX)
		return 2;
	for (int i = 4; i < argc; i++)
		if (!strcmp(argv[i], "packed"))
			features = VHU_BIT(VHU_F_RING_PACKED);
		else
			units = SEAT_AXIS_UNITS;
	connect_to(argv[1], (uint16_t)size, features);
	for (unsigned i = 0; i < size; i++)
		give(i);
	start();
	must("sync", vhu_frontend_sync(&frontend));
	printf("ready\n");
	serve();
	vhu_driver_finish(&events);
	vhu_driver_finish(&status);
	vhu_frontend_finish(&frontend);
	return 0;
}
