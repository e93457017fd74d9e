/* SPDX-License-Identifier: BSD-3-Clause */
#include "devices/gpu/remote_input.h"

#include <errno.h>
#include <linux/input-event-codes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "common/base/cleanup.h"
#include "common/base/num.h"

#define AXIS_MAX 32767 /* of vhu-input --kind absolute */
#define WHEEL_UP (1u << 3)

struct vhu_gpu_remote_input {
	const char *path;
	struct vhu_loop *loop;
	struct vhu_source *timer, *source;
	int fd; /* -1: nobody is there */
	bool held[KEY_CNT];
	uint8_t buttons;
};

/* --- the connection -------------------------------------------------------------------------- */

/* The other side lets go of what is held. */
static void disconnect(struct vhu_gpu_remote_input *input)
{
	vhu_source_remove(steal_ptr(&input->source));
	close_fd(&input->fd);
	memset(input->held, 0, sizeof(input->held));
	input->buttons = 0;
	vhu_source_set_timer(input->timer, NS_PER_SEC);
}

/* It never says anything but what is wrong, before it hangs up. */
static void on_word(void *data, uint32_t events)
{
	(void)events;
	disconnect(data);
}

static void on_time(void *data, uint32_t events)
{
	struct vhu_gpu_remote_input *input = data;
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	(void)events;
	memcpy(address.sun_path, input->path, strlen(input->path));
	input->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (input->fd < 0 ||
	    connect(input->fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    vhu_loop_add_fd(input->loop, input->fd, EPOLLIN | EPOLLRDHUP, on_word, input,
			    &input->source) < 0)
		disconnect(input);
}

int vhu_gpu_remote_input_new(const char *path, struct vhu_loop *loop,
			     struct vhu_gpu_remote_input **ret_input)
{
	struct vhu_gpu_remote_input *input;
	int r;

	if (strlen(path) >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
		return -ENAMETOOLONG;
	input = calloc(1, sizeof(*input));
	if (!input)
		return -ENOMEM;
	input->path = path;
	input->loop = loop;
	input->fd = -1;
	r = vhu_loop_add_timer(loop, on_time, input, &input->timer);
	if (r < 0) {
		free(input);
		return r;
	}
	on_time(input, 0);
	*ret_input = input;
	return 0;
}

void vhu_gpu_remote_input_free(struct vhu_gpu_remote_input *input)
{
	if (!input)
		return;
	vhu_source_remove(input->source);
	vhu_source_remove(input->timer);
	close_fd(&input->fd);
	free(input);
}

/* --- packets --------------------------------------------------------------------------------- */

/* A packet: lines of a recording, whose time is not looked at. */
struct packet {
	char text[512];
	size_t len;
};

static void add(struct packet *packet, unsigned type, unsigned code, int value)
{
	packet->len += (size_t)snprintf(packet->text + packet->len,
					sizeof(packet->text) - packet->len,
					"E: 0.000000 %04x %04x %d\n", type, code, value);
}

/* A packet that does not fit would be torn. */
static void send_packet(struct vhu_gpu_remote_input *input, struct packet *packet)
{
	if (!packet->len)
		return;
	add(packet, EV_SYN, SYN_REPORT, 0);
	if (send(input->fd, packet->text, packet->len, MSG_DONTWAIT | MSG_NOSIGNAL) !=
	    (ssize_t)packet->len)
		disconnect(input);
}

static void set_key(struct vhu_gpu_remote_input *input, uint16_t code, bool down)
{
	struct packet packet = { .len = 0 };

	if (input->fd < 0 || input->held[code] == down)
		return;
	input->held[code] = down;
	add(&packet, EV_KEY, code, down);
	send_packet(input, &packet);
}

void vhu_gpu_remote_input_key(struct vhu_gpu_remote_input *input, uint32_t keysym, bool down)
{
	uint16_t code = vhu_gpu_key_of_keysym(keysym);

	if (code)
		set_key(input, code, down);
}

static int scale(uint32_t at, uint32_t side)
{
	return side > 1 ? (int)(min_u64(at, side - 1) * AXIS_MAX / (side - 1)) : 0;
}

/* Left, middle and right are the first three; the next four are steps of wheels as buttons. */
static void add_buttons(struct packet *packet, uint8_t before, uint8_t now)
{
	static const uint16_t codes[] = { BTN_LEFT, BTN_MIDDLE, BTN_RIGHT };
	static const struct {
		uint16_t code;
		int value;
	} steps[] = { { REL_WHEEL, 1 }, { REL_WHEEL, -1 }, { REL_HWHEEL, -1 }, { REL_HWHEEL, 1 } };

	for (unsigned i = 0; i < ARRAY_SIZE(codes); i++)
		if ((before ^ now) >> i & 1)
			add(packet, EV_KEY, codes[i], now >> i & 1);
	for (unsigned i = 0; i < ARRAY_SIZE(steps); i++)
		if (now & ~before & WHEEL_UP << i)
			add(packet, EV_REL, steps[i].code, steps[i].value);
}

void vhu_gpu_remote_input_point(struct vhu_gpu_remote_input *input, uint8_t buttons, uint32_t x,
				uint32_t y, uint32_t width, uint32_t height)
{
	struct packet packet = { .len = 0 };

	if (input->fd < 0)
		return;
	add(&packet, EV_ABS, ABS_X, scale(x, width));
	add(&packet, EV_ABS, ABS_Y, scale(y, height));
	add_buttons(&packet, input->buttons, buttons);
	input->buttons = buttons;
	send_packet(input, &packet);
}

void vhu_gpu_remote_input_release(struct vhu_gpu_remote_input *input)
{
	struct packet packet = { .len = 0 };

	for (uint16_t code = 0; code < KEY_CNT; code++)
		set_key(input, code, false);
	if (input->fd < 0)
		return;
	add_buttons(&packet, input->buttons, 0);
	input->buttons = 0;
	send_packet(input, &packet);
}
