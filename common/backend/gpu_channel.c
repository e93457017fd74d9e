/* SPDX-License-Identifier: BSD-3-Clause */
#include "common/backend/gpu_channel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/backend/await_priv.h"
#include "common/base/cleanup.h"
#include "common/base/fd.h"
#include "common/base/iov.h"
#include "common/base/log.h"
#include "common/wire/message.h"

/* A frame in one piece spares the peer, which naps between two reads, some naps. */
#define SOCKET_BYTES (8 << 20)
#define REPLIES_AT_ONCE 16

/* The tag of a request whose answer nobody wants. */
#define FENCE 1

#define NO_REPLY (-1)
#define NO_GATE (-1)

static const struct rule {
	uint32_t payload_bytes;
	int reply_bytes;
	int gate; /* feature bit */
	bool pixels, may_have_fd;
} rules[VHU_GPU_REQUEST_END] = {
#define RULE(request, payload, reply, gate, ...) \
	[VHU_GPU_##request] = { payload, reply, gate, ##__VA_ARGS__ }
#define FEATURE(name) VHU_GPU_PROTOCOL_F_##name
	RULE(GET_PROTOCOL_FEATURES, 0, sizeof(uint64_t), NO_GATE),
	RULE(SET_PROTOCOL_FEATURES, sizeof(uint64_t), NO_REPLY, NO_GATE),
	RULE(GET_DISPLAY_INFO, 0, sizeof(struct virtio_gpu_resp_display_info), NO_GATE),
	RULE(CURSOR_POS, sizeof(struct vhu_gpu_cursor_pos), NO_REPLY, NO_GATE),
	RULE(CURSOR_POS_HIDE, sizeof(struct vhu_gpu_cursor_pos), NO_REPLY, NO_GATE),
	RULE(CURSOR_UPDATE, sizeof(struct vhu_gpu_cursor_update), NO_REPLY, NO_GATE),
	RULE(SCANOUT, sizeof(struct vhu_gpu_scanout), NO_REPLY, NO_GATE),
	RULE(UPDATE, sizeof(struct vhu_gpu_update), NO_REPLY, NO_GATE, .pixels = true),
	RULE(DMABUF_SCANOUT, sizeof(struct vhu_gpu_dmabuf_scanout), NO_REPLY, NO_GATE,
	     .may_have_fd = true),
	RULE(DMABUF_UPDATE, sizeof(struct vhu_gpu_update), 0, NO_GATE),
	RULE(GET_EDID, sizeof(struct vhu_gpu_edid_request), sizeof(struct virtio_gpu_resp_edid),
	     FEATURE(EDID)),
	RULE(DMABUF_SCANOUT2, sizeof(struct vhu_gpu_dmabuf_scanout2), NO_REPLY, FEATURE(DMABUF2),
	     .may_have_fd = true),
};

/* The rest of a message that the socket did not take. */
struct packet {
	STAILQ_ENTRY(packet) link;
	int fd; /* owned; goes with the first byte; -1 none */
	size_t at, len;
	char bytes[];
};

struct vhu_gpu_channel {
	unsigned refs; /* who runs in it, and the owner */
	int fd; /* -1: lost */
	struct vhu_source *source, *timer;
	const struct vhu_gpu_channel_ops *ops;
	void *data;
	struct vhu_receiver receiver;
	uint64_t features;
	STAILQ_HEAD(, packet) packets;
	unsigned n_packets;
	size_t queued_bytes;
	bool refused; /* since the queue was last empty */
	bool destroyed;
	struct vhu_await await; /* waiters are calls; given up from the start: a fence */
	bool fenced;
};

static void unref(struct vhu_gpu_channel *channel)
{
	if (--channel->refs == 0)
		free(channel);
}

static void drop_packet(struct vhu_gpu_channel *channel)
{
	struct packet *packet = STAILQ_FIRST(&channel->packets);

	STAILQ_REMOVE_HEAD(&channel->packets, link);
	channel->n_packets--;
	channel->queued_bytes -= packet->len - packet->at;
	close_fd(&packet->fd);
	free(packet);
}

static void finish_call(struct vhu_gpu_call *call, int result, const union vhu_gpu_reply *reply)
{
	call->result = result;
	call->reply = reply;
	call->done(call);
}

/* The socket and what waits for it or from it go. */
static void shut(struct vhu_gpu_channel *channel, int error)
{
	struct vhu_await_entry entry;

	vhu_source_remove(steal_ptr(&channel->source));
	vhu_source_remove(steal_ptr(&channel->timer));
	vhu_receiver_finish(&channel->receiver);
	close_fd(&channel->fd);
	while (!STAILQ_EMPTY(&channel->packets))
		drop_packet(channel);
	while (vhu_await_first(&channel->await, &entry)) {
		vhu_await_drop_first(&channel->await);
		if (!entry.given_up)
			finish_call(entry.waiter, error, NULL);
	}
}

static void lose(struct vhu_gpu_channel *channel, int error)
{
	if (channel->fd < 0)
		return;
	/* A driver that starts again has another one. */
	vhu_log(error == -ECONNRESET || error == -EPIPE ? VHU_LOG_DEBUG : VHU_LOG_WARNING,
		"GPU socket: %s; it is closed", strerror(-error));
	shut(channel, error == -EPROTO ? -EPROTO : -ENOTCONN);
	if (channel->ops->lost && !channel->destroyed)
		channel->ops->lost(channel->data);
}

/* One write of what fits: bytes, or negative errno. Never waits, whatever the socket's flags. */
static ssize_t send_some(int socket_fd, const struct iovec *iov, unsigned n, int fd)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { .space = { 0 } };
	struct msghdr msg = { .msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = n };
	ssize_t sent;

	if (fd >= 0) {
		msg.msg_control = &control;
		msg.msg_controllen = sizeof(control);
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.header), &fd, sizeof(int));
	}
	do
		sent = sendmsg(socket_fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? -errno : sent;
}

static int send_packet(struct vhu_gpu_channel *channel, struct packet *packet)
{
	struct iovec iov = { packet->bytes + packet->at, packet->len - packet->at };
	ssize_t n = send_some(channel->fd, &iov, 1, packet->fd);

	if (n < 0)
		return (int)n;
	close_fd(&packet->fd);
	packet->at += (size_t)n;
	channel->queued_bytes -= (size_t)n;
	return packet->at == packet->len ? 0 : -EAGAIN;
}

static void flush(struct vhu_gpu_channel *channel)
{
	struct packet *packet;
	int r = 0;

	while (r == 0 && (packet = STAILQ_FIRST(&channel->packets))) {
		r = send_packet(channel, packet);
		if (r == 0)
			drop_packet(channel);
	}
	if (r < 0 && r != -EAGAIN) {
		lose(channel, r);
	} else if (r == 0) {
		vhu_source_set_events(channel->source, EPOLLIN);
		if (channel->refused && channel->ops->room) {
			channel->refused = false;
			channel->ops->room(channel->data);
		}
	}
}

/* Behind all that waits: iov from its byte skip on. */
static int enqueue(struct vhu_gpu_channel *channel, const struct iovec *iov, unsigned n,
		   size_t skip, size_t bytes, int fd)
{
	struct packet *packet = malloc(sizeof(*packet) + bytes - skip);
	struct vhu_iov_cursor cursor;

	if (!packet)
		return -ENOMEM;
	packet->fd = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (fd >= 0 && packet->fd < 0) {
		free(packet);
		return -errno;
	}
	packet->at = 0;
	packet->len = bytes - skip;
	vhu_iov_cursor_init(&cursor, iov, n);
	vhu_iov_skip(&cursor, skip);
	vhu_iov_read(&cursor, packet->bytes, packet->len);
	if (STAILQ_EMPTY(&channel->packets))
		vhu_source_set_events(channel->source, EPOLLIN | EPOLLOUT);
	STAILQ_INSERT_TAIL(&channel->packets, packet, link);
	channel->n_packets++;
	channel->queued_bytes += packet->len;
	return 0;
}

/* At once, as far as there is room. A message of which a part is out cannot be taken back. */
static int send_parts(struct vhu_gpu_channel *channel, const struct iovec *iov, unsigned n,
		      size_t bytes, int fd)
{
	ssize_t sent = 0;
	int r;

	if (STAILQ_EMPTY(&channel->packets))
		sent = send_some(channel->fd, iov, n, fd);
	if (sent == -EAGAIN)
		sent = 0;
	if (sent < 0) {
		lose(channel, (int)sent);
		return -ENOTCONN;
	}
	if ((size_t)sent == bytes)
		return 0;
	r = enqueue(channel, iov, n, (size_t)sent, bytes, sent ? -1 : fd);
	if (r < 0 && sent) {
		lose(channel, r);
		return -ENOTCONN;
	}
	return r;
}

/*
 * What was not answered may be answered late or never. A request that always is answered tells
 * which, before the next one of its kind.
 */
static void send_fence(struct vhu_gpu_channel *channel)
{
	struct vhu_await_entry fence = { .request = VHU_GPU_GET_PROTOCOL_FEATURES,
					 .given_up = true, .tag = FENCE };
	struct vhu_header header = { .request = VHU_GPU_GET_PROTOCOL_FEATURES };
	struct iovec iov = { &header, sizeof(header) };

	if (channel->fenced || vhu_await_is_full(&channel->await) ||
	    send_parts(channel, &iov, 1, sizeof(header), -1) < 0)
		return;
	vhu_await_add(&channel->await, &fence);
	channel->fenced = true;
}

static void time_over(void *data, uint32_t events)
{
	struct vhu_gpu_channel *channel = data;
	uint64_t now_ns = vhu_now_ns();
	struct vhu_await_entry late;

	(void)events;
	channel->refs++;
	while (channel->fd >= 0 && vhu_await_expire(&channel->await, now_ns, &late)) {
		send_fence(channel);
		finish_call(late.waiter, -ETIMEDOUT, NULL);
	}
	if (channel->timer)
		vhu_await_set_timer(&channel->await, channel->timer);
	unref(channel);
}

/*
 * Replies come in order, but some requests never get one: what was given up is passed over when a
 * later one is answered. Everything else is a peer that lies.
 */
static bool find_asker(struct vhu_gpu_channel *channel, uint32_t request,
		       struct vhu_await_entry *ret_entry)
{
	while (vhu_await_first(&channel->await, ret_entry)) {
		if (ret_entry->request != request && !ret_entry->given_up)
			return false;
		vhu_await_drop_first(&channel->await);
		if (ret_entry->tag == FENCE)
			channel->fenced = false;
		if (ret_entry->request == request)
			return true;
	}
	return false;
}

static int take_reply(struct vhu_gpu_channel *channel, struct vhu_message *message)
{
	const struct vhu_header *header = &message->header;
	struct vhu_await_entry entry;
	union vhu_gpu_reply reply;

	if (!(header->flags & VHU_GPU_FLAG_REPLY) || header->request >= VHU_GPU_REQUEST_END ||
	    (int)header->size != rules[header->request].reply_bytes ||
	    !find_asker(channel, header->request, &entry))
		return -EPROTO;
	if (entry.given_up)
		return 0;
	memset(&reply, 0, sizeof(reply));
	memcpy(&reply, &message->payload, header->size);
	finish_call(entry.waiter, 0, &reply);
	return 0;
}

static void read_replies(struct vhu_gpu_channel *channel)
{
	int r = 1;

	for (unsigned i = 0; i < REPLIES_AT_ONCE && r > 0 && channel->fd >= 0; i++) {
		struct vhu_message message;

		r = vhu_receiver_read(&channel->receiver, channel->fd);
		if (r <= 0)
			break;
		message = channel->receiver.message;
		vhu_receiver_init(&channel->receiver);
		r = take_reply(channel, &message) < 0 ? -EPROTO : 1;
		vhu_message_finish(&message);
	}
	if (r < 0 && r != -EAGAIN)
		lose(channel, r);
	else if (channel->timer)
		vhu_await_set_timer(&channel->await, channel->timer);
}

static void ready(void *data, uint32_t events)
{
	struct vhu_gpu_channel *channel = data;

	channel->refs++;
	if (events & EPOLLOUT)
		flush(channel);
	if (channel->fd >= 0 && events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		read_replies(channel);
	unref(channel);
}

int vhu_gpu_channel_new(struct vhu_loop *loop, int fd, const struct vhu_gpu_channel_ops *ops,
			void *data, struct vhu_gpu_channel **ret_channel)
{
	struct vhu_gpu_channel *channel = calloc(1, sizeof(*channel));
	int bytes = SOCKET_BYTES, r;

	if (!channel) {
		close(fd);
		return -ENOMEM;
	}
	channel->refs = 1;
	channel->fd = fd;
	channel->ops = ops;
	channel->data = data;
	STAILQ_INIT(&channel->packets);
	vhu_receiver_init(&channel->receiver);
	/* As much of it as the system lets us have. */
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	r = vhu_loop_add_fd(loop, fd, EPOLLIN, ready, channel, &channel->source);
	if (r == 0)
		r = vhu_loop_add_timer(loop, time_over, channel, &channel->timer);
	if (r < 0) {
		vhu_gpu_channel_destroy(channel);
		return r;
	}
	*ret_channel = channel;
	return 0;
}

void vhu_gpu_channel_destroy(struct vhu_gpu_channel *channel)
{
	if (!channel)
		return;
	channel->destroyed = true;
	shut(channel, -ENOTCONN);
	unref(channel);
}

/* Bytes of a right message, or negative errno. */
static int64_t measure(const struct vhu_gpu_channel *channel,
		       const struct vhu_gpu_message *message, const struct vhu_gpu_call *call)
{
	const struct rule *rule = &rules[message->request % VHU_GPU_REQUEST_END];
	const struct vhu_gpu_update *update = message->payload;
	uint64_t pixels = vhu_iov_length(message->pixels, message->n_pixels), area;

	if (message->request == 0 || message->request >= VHU_GPU_REQUEST_END ||
	    (call != NULL) != (rule->reply_bytes != NO_REPLY) ||
	    message->n_pixels > VHU_GPU_CHANNEL_PARTS)
		return -EINVAL;
	if (rule->pixels) {
		if (mul_overflows((uint64_t)update->width * update->height, VHU_GPU_PIXEL_BYTES,
				  &area) ||
		    area != pixels)
			return -EINVAL;
	} else if (pixels) {
		return -EINVAL;
	}
	if (rule->gate != NO_GATE && !(channel->features & (1ull << rule->gate)))
		return -EOPNOTSUPP;
	if (pixels > VHU_GPU_CHANNEL_BYTES - sizeof(struct vhu_header) - rule->payload_bytes)
		return -EMSGSIZE;
	return (int64_t)(sizeof(struct vhu_header) + rule->payload_bytes + pixels);
}

static int send_message(struct vhu_gpu_channel *channel, const struct vhu_gpu_message *message,
			size_t bytes)
{
	const struct rule *rule = &rules[message->request];
	struct vhu_header header = {
		.request = message->request,
		.size = (uint32_t)(bytes - sizeof(header)),
	};
	struct iovec iov[2 + VHU_GPU_CHANNEL_PARTS];

	iov[0] = (struct iovec){ &header, sizeof(header) };
	iov[1] = (struct iovec){ (void *)(uintptr_t)message->payload, rule->payload_bytes };
	if (message->n_pixels)
		memcpy(iov + 2, message->pixels, message->n_pixels * sizeof(iov[0]));
	return send_parts(channel, iov, 2 + message->n_pixels, bytes,
			  rule->may_have_fd ? message->fd : -1);
}

int vhu_gpu_channel_send(struct vhu_gpu_channel *channel, const struct vhu_gpu_message *message,
			 struct vhu_gpu_call *call)
{
	struct vhu_await_entry wait = { .request = message->request, .waiter = call };
	int64_t bytes = measure(channel, message, call);
	int r;

	if (channel->fd < 0)
		return -ENOTCONN;
	if (bytes < 0)
		return (int)bytes;
	if (channel->queued_bytes + (uint64_t)bytes > VHU_GPU_CHANNEL_BYTES ||
	    channel->n_packets >= VHU_GPU_CHANNEL_MESSAGES ||
	    (call && vhu_await_is_full(&channel->await))) {
		channel->refused = true;
		return -EAGAIN;
	}
	channel->refs++;
	r = send_message(channel, message, (size_t)bytes);
	if (r == 0 && message->request == VHU_GPU_SET_PROTOCOL_FEATURES)
		memcpy(&channel->features, message->payload, sizeof(channel->features));
	if (r == 0 && call) {
		wait.deadline_ns = vhu_now_ns() + (call->timeout_ns ? call->timeout_ns
								    : VHU_GPU_CHANNEL_TIMEOUT_NS);
		vhu_await_add(&channel->await, &wait);
		vhu_await_set_timer(&channel->await, channel->timer);
	}
	unref(channel);
	return r;
}

bool vhu_gpu_channel_is_empty(struct vhu_gpu_channel *channel)
{
	bool empty = STAILQ_EMPTY(&channel->packets);

	channel->refused |= !empty;
	return empty;
}
