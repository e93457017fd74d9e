/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Live events, in the lines of a recording, from the clients of a Unix socket. Each has packets, a
 * slot and keys of its own, which are released when it goes.
 */

#include "devices/input/source.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/fd.h"
#include "common/base/log.h"
#include "common/base/num.h"
#include "common/base/own_socket.h"
#include "devices/input/kinds.h"
#include "devices/input/recording.h"

#define CLIENTS_MAX 16
#define CHUNK_BYTES 4096
/* A guest that is so far behind is waited for, this long each time. */
#define BACKLOG_MAX 1024
#define PATIENCE_NS (5 * NS_PER_MS)
/* Beside what a client sends: its slot, and the end. */
#define CLIENT_PACKET_MAX (VHU_INPUT_PACKET_MAX - 2)

#define DEFAULT_KINDS (1u << VHU_INPUT_KEYBOARD | 1u << VHU_INPUT_MOUSE)

struct client {
	struct stream *stream;
	int fd;			  /* -1: nobody */
	struct vhu_source *watch; /* NULL while the guest is waited for */
	unsigned line_number;
	size_t line_len;
	char line[VHU_INPUT_LINE_MAX];
	struct vhu_input_state state;
	size_t n;
	struct vhu_input_event packet[CLIENT_PACKET_MAX];
};

struct stream {
	struct vhu_input_source source;
	struct vhu_input_ident ident;
	struct vhu_own_socket socket;
	struct vhu_source *listening, *patience;
	struct client clients[CLIENTS_MAX];
	struct vhu_log_limit log_limit;
	struct vhu_input_event repair[VHU_INPUT_REPAIR_MAX];
};

static struct stream *stream_of(struct vhu_input_source *source)
{
	return container_of(source, struct stream, source);
}

static int stream_open(const struct vhu_input_options *options, struct vhu_input_ident *ret_ident,
		       struct vhu_input_source **ret_source)
{
	struct stream *stream = calloc(1, sizeof(*stream));
	int r;

	if (!stream)
		return -ENOMEM;
	/* Only who may type as we do. */
	r = vhu_own_socket_listen(options->stream, CLIENTS_MAX, &stream->socket);
	if (r < 0) {
		vhu_error("%s: cannot listen there: %s", options->stream,
			  vhu_own_socket_explain(r));
		free(stream);
		return r;
	}
	for (unsigned i = 0; i < CLIENTS_MAX; i++) {
		stream->clients[i] = (struct client){ .stream = stream, .fd = -1 };
		vhu_input_state_init(&stream->clients[i].state);
	}
	vhu_input_source_init(&stream->source, &vhu_input_source_stream, options->stream);
	vhu_input_kinds_ident(options->kinds ? options->kinds : DEFAULT_KINDS, &stream->ident);
	*ret_ident = stream->ident;
	*ret_source = &stream->source;
	return 0;
}

static bool is_of_contact(const struct vhu_input_event *event)
{
	return event->type == EV_ABS && event->code >= VHU_INPUT_MT_FIRST &&
	       event->code < VHU_INPUT_MT_FIRST + VHU_INPUT_MT_CODES;
}

/* Another client may have changed the slot since this one's last packet. */
static void send_packet(struct client *client, const struct vhu_input_event *events, size_t n)
{
	struct vhu_input_source *source = &client->stream->source;
	uint64_t now_ns = vhu_now_ns();
	bool has_contact = false;

	for (size_t i = 0; i < n; i++)
		has_contact |= is_of_contact(&events[i]);
	if (has_contact && source->state.slot != client->state.slot)
		vhu_input_source_event(source, EV_ABS, ABS_MT_SLOT, (int32_t)client->state.slot,
				       now_ns);
	for (size_t i = 0; i < n; i++) {
		vhu_input_source_event(source, events[i].type, events[i].code, events[i].value,
				       now_ns);
		vhu_input_state_apply(&client->state, &events[i]);
	}
	vhu_input_source_event(source, EV_SYN, SYN_REPORT, 0, now_ns);
}

static bool holds_contact(const struct client *client, unsigned slot)
{
	return client->state.contacts[slot].values[ABS_MT_TRACKING_ID - VHU_INPUT_MT_FIRST] >= 0;
}

/* What another client holds, too, stays: a key, the contact of a slot. */
static void release_all(struct client *client)
{
	struct stream *stream = client->stream;
	struct vhu_input_state up = client->state;
	size_t n;

	vhu_input_state_release(&up);
	for (unsigned i = 0; i < CLIENTS_MAX; i++) {
		const struct client *other = &stream->clients[i];

		for (size_t j = 0; other != client && j < sizeof(up.keys); j++)
			up.keys[j] |= other->state.keys[j] & client->state.keys[j];
		for (unsigned j = 0; other != client && j < VHU_INPUT_SLOTS_MAX; j++)
			if (holds_contact(other, j))
				up.contacts[j] = client->state.contacts[j];
	}
	n = vhu_input_state_repair(&client->state, &up, stream->repair);
	if (n)
		send_packet(client, stream->repair, n - 1);
}

static void drop_client(struct client *client)
{
	vhu_source_remove(steal_ptr(&client->watch));
	close_fd(&client->fd);
	release_all(client);
	vhu_input_state_init(&client->state);
}

static void refuse_line(struct client *client, const char *why)
{
	char text[160];
	int len = snprintf(text, sizeof(text), "line %u %s\n", client->line_number, why);

	/* It may not listen. */
	if (send(client->fd, text, (size_t)len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		vhu_debug("%s: a client is not told: %s", client->stream->source.label,
			  strerror(errno));
	vhu_log_limited(&client->stream->log_limit, VHU_LOG_WARNING, "%s: a client's line %u %s",
			client->stream->source.label, client->line_number, why);
}

/* What recordings hold beside a device's events: nothing to send. */
static bool is_left_out(const struct vhu_input_event *event)
{
	return event->type == EV_MSC || event->type == EV_LED || event->type == EV_SND ||
	       event->type == EV_REP;
}

static const char *why_wrong(const struct client *client, const struct vhu_input_event *event)
{
	const struct vhu_input_ident *ident = &client->stream->ident;

	if (event->type == EV_SYN)
		return event->code == SYN_REPORT ? NULL : "is a SYN other than SYN_REPORT";
	if (!vhu_input_ident_has(ident, event->type, event->code))
		return "is of a code that the device does not have";
	if (event->type == EV_KEY && (event->value < 0 || event->value > 2))
		return "is of a key, with a value other than 0, 1 and 2";
	if (event->type == EV_ABS && event->code == ABS_MT_SLOT &&
	    (event->value < 0 || (unsigned)event->value >= vhu_input_ident_slots(ident)))
		return "is of a slot that the device does not have";
	return client->n == CLIENT_PACKET_MAX ? "is one too many for a packet" : NULL;
}

/* NULL, or why not. */
static const char *take_line(struct client *client)
{
	struct vhu_input_timed_event event;
	const char *why = NULL;
	int r = vhu_input_parse_event(client->line, &event, &why);

	if (r < 0)
		return why;
	if (r == 0 || is_left_out(&event.event))
		return NULL;
	why = why_wrong(client, &event.event);
	if (why)
		return why;
	if (event.event.type != EV_SYN) {
		client->packet[client->n++] = event.event;
		return NULL;
	}
	send_packet(client, client->packet, client->n);
	client->n = 0;
	return NULL;
}

static const char *take_byte(struct client *client, char byte)
{
	const char *why;

	if (byte != '\n' && byte) {
		if (client->line_len + 1 == sizeof(client->line))
			return "is too long";
		client->line[client->line_len++] = byte;
		return NULL;
	}
	if (!byte)
		return "is no text";
	while (client->line_len && client->line[client->line_len - 1] == '\r')
		client->line_len--;
	client->line[client->line_len] = '\0';
	why = take_line(client);
	client->line_len = 0;
	client->line_number += !why;
	return why;
}

static void client_ready(void *data, uint32_t events);

static void watch_client(struct client *client)
{
	if (client->fd >= 0 && !client->watch &&
	    vhu_loop_add_fd(client->stream->source.loop, client->fd, EPOLLIN, client_ready, client,
			    &client->watch) < 0)
		drop_client(client);
}

static void patience_over(void *data, uint32_t events)
{
	struct stream *stream = data;

	(void)events;
	vhu_source_set_events(stream->listening, EPOLLIN);
	for (unsigned i = 0; i < CLIENTS_MAX; i++)
		watch_client(&stream->clients[i]);
}

/* Not watched at all: a client that has gone would be told of again and again. */
static void wait_for_guest(struct client *client)
{
	vhu_source_remove(steal_ptr(&client->watch));
	vhu_source_set_timer(client->stream->patience, PATIENCE_NS);
}

static void client_ready(void *data, uint32_t events)
{
	struct client *client = data;
	struct vhu_input_sink *sink = client->stream->source.sink;
	char bytes[CHUNK_BYTES];
	const char *why = NULL;
	ssize_t n;

	(void)events;
	if (sink->backlog(sink) > BACKLOG_MAX) {
		wait_for_guest(client);
		return;
	}
	n = recv(client->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	for (ssize_t i = 0; i < n && !why; i++)
		why = take_byte(client, bytes[i]);
	if (why)
		refuse_line(client, why);
	if (n <= 0 || why)
		drop_client(client);
}

static void client_comes(void *data, uint32_t events)
{
	struct stream *stream = data;
	cleanup_fd int fd = accept4(stream->socket.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct client *client = stream->clients;

	(void)events;
	while (client < stream->clients + CLIENTS_MAX && client->fd >= 0)
		client++;
	if (fd < 0) {
		/* It is there still when the process has no fd left. */
		vhu_source_set_events(stream->listening, 0);
		vhu_source_set_timer(stream->patience, PATIENCE_NS);
		return;
	}
	if (client == stream->clients + CLIENTS_MAX) {
		static const char text[] = "too many clients\n";

		send(fd, text, sizeof(text) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
		return;
	}
	client->fd = steal_fd(&fd);
	client->line_number = 1;
	client->line_len = client->n = 0;
	watch_client(client);
}

static int stream_attach(struct vhu_input_source *source, struct vhu_loop *loop,
			 struct vhu_input_sink *sink)
{
	struct stream *stream = stream_of(source);
	int r;

	source->loop = loop;
	source->sink = sink;
	r = vhu_loop_add_timer(loop, patience_over, stream, &stream->patience);
	if (r == 0)
		r = vhu_loop_add_fd(loop, stream->socket.fd, EPOLLIN, client_comes, stream,
				    &stream->listening);
	return r;
}

static void stream_close(struct vhu_input_source *source)
{
	struct stream *stream = stream_of(source);

	for (unsigned i = 0; i < CLIENTS_MAX; i++)
		close_fd(&stream->clients[i].fd);
	vhu_own_socket_close(&stream->socket);
	free(stream);
}

const struct vhu_input_source_ops vhu_input_source_stream = {
	.name = "stream",
	.open = stream_open,
	.attach = stream_attach,
	.close = stream_close,
};
