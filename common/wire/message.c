/* SPDX-License-Identifier: BSD-3-Clause */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/base/num.h"
#include "common/wire/message.h"

void vhu_message_init(struct vhu_message *message)
{
	memset(message, 0, sizeof(*message));
	for (size_t i = 0; i < ARRAY_SIZE(message->fds); i++)
		message->fds[i] = -1;
}

void vhu_message_finish(struct vhu_message *message)
{
	for (unsigned i = 0; i < message->n_fds; i++)
		close_fd(&message->fds[i]);
	vhu_message_init(message);
}

int vhu_message_steal_fd(struct vhu_message *message, unsigned i)
{
	return i < message->n_fds ? steal_fd(&message->fds[i]) : -1;
}

void vhu_receiver_init(struct vhu_receiver *receiver)
{
	vhu_message_init(&receiver->message);
	receiver->got = 0;
}

void vhu_receiver_finish(struct vhu_receiver *receiver)
{
	vhu_message_finish(&receiver->message);
	receiver->got = 0;
}

/* Takes the fds, and closes those that there is no room for. */
static int keep_fds(struct vhu_message *message, int *fds, size_t n_fds)
{
	size_t i = 0;

	while (i < n_fds && message->n_fds < VHU_FD_MAX)
		message->fds[message->n_fds++] = fds[i++];
	if (i == n_fds)
		return 0;
	while (i < n_fds)
		close_fd(&fds[i++]);
	return -EMSGSIZE;
}

/* One read of at most len bytes: 1 when something came. */
static int receive_some(struct vhu_receiver *receiver, int fd, void *buf, size_t len)
{
	int fds[VHU_FD_MAX];
	size_t n_fds = 0;
	ssize_t n = vhu_fd_receive(fd, buf, len, fds, &n_fds);
	int kept = keep_fds(&receiver->message, fds, n_fds);

	if (n < 0)
		return (int)n;
	if (kept < 0)
		return kept;
	if (n == 0)
		return -ECONNRESET;
	receiver->got += (size_t)n;
	return 1;
}

int vhu_receiver_read(struct vhu_receiver *receiver, int fd)
{
	struct vhu_header *header = &receiver->message.header;
	union vhu_payload *payload = &receiver->message.payload;
	int r;

	while (receiver->got < sizeof(*header)) {
		r = receive_some(receiver, fd, (char *)header + receiver->got,
				 sizeof(*header) - receiver->got);
		if (r < 0)
			return r;
	}
	if (header->size > sizeof(*payload))
		return -EMSGSIZE;
	while (receiver->got < sizeof(*header) + header->size) {
		size_t got = receiver->got - sizeof(*header);

		r = receive_some(receiver, fd, payload->bytes + got, header->size - got);
		if (r < 0)
			return r;
	}
	return 1;
}

/* 0 also when the peer has gone: the next send tells. */
static int wait_for_room(int fd, uint64_t deadline_ns)
{
	struct pollfd pollfd = { .fd = fd, .events = POLLOUT };
	uint64_t now_ns = vhu_now_ns();
	int r;

	if (now_ns >= deadline_ns)
		return -EAGAIN;
	r = poll(&pollfd, 1, (int)((deadline_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS));
	return r < 0 && errno != EINTR ? -errno : 0;
}

int vhu_message_send(int fd, uint32_t request, uint32_t flags, const void *payload,
		     uint32_t payload_size, const int *fds, unsigned n_fds, int timeout_ms)
{
	uint64_t deadline_ns = vhu_now_ns() + (uint64_t)timeout_ms * NS_PER_MS;
	struct {
		struct vhu_header header;
		uint8_t payload[sizeof(union vhu_payload)];
	} out = { .header = { request, flags, payload_size } };
	int r;

	assert(payload_size <= sizeof(out.payload) && timeout_ms >= 0);
	if (payload_size)
		memcpy(out.payload, payload, payload_size);
	do {
		r = vhu_fd_send(fd, &out, sizeof(out.header) + payload_size, fds, n_fds,
				timeout_ms);
		if (r != -EAGAIN)
			return r;
		r = wait_for_room(fd, deadline_ns);
	} while (!r);
	return r;
}
