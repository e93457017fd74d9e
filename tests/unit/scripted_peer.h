/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_UNIT_SCRIPTED_PEER_H
#define TESTS_UNIT_SCRIPTED_PEER_H

/*
 * A front-end whose back-end is the test itself, in the same thread: what it will answer is put
 * into the socket before the call, what it was asked is read after it.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/frontend/frontend.h"

struct scripted_peer {
	struct vhu_frontend frontend;
	int fd;
};

static inline void peer_start(struct scripted_peer *peer, uint64_t features,
			      uint64_t protocol_features)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	vhu_frontend_init(&peer->frontend);
	assert_int_equal(vhu_frontend_attach(&peer->frontend, fds[0]), 0);
	peer->frontend.timeout_ms = 200;
	peer->frontend.acked_features = features;
	peer->frontend.acked_protocol_features = protocol_features;
	/* It answers nothing but what it was told to. */
	peer->frontend.no_acks = !(protocol_features & VHU_BIT(VHU_PROTOCOL_F_REPLY_ACK));
	peer->fd = fds[1];
}

static inline void peer_finish(struct scripted_peer *peer)
{
	vhu_frontend_finish(&peer->frontend);
	close(peer->fd);
}

/* The answer to come; fd (borrowed) -1 for none. */
static inline void peer_will_reply(const struct scripted_peer *peer, uint32_t request,
				   const void *payload, uint32_t size, int fd)
{
	assert_int_equal(vhu_message_send(peer->fd, request, VHU_VERSION | VHU_FLAG_REPLY, payload,
					  size, &fd, fd >= 0 ? 1 : 0, 200),
			 0);
}

static inline void peer_will_ack(const struct scripted_peer *peer, uint32_t request, uint64_t value)
{
	peer_will_reply(peer, request, &value, sizeof(value), -1);
}

/* What was asked next; the caller finishes it. */
static inline struct vhu_message peer_asked(const struct scripted_peer *peer, uint32_t request)
{
	struct vhu_receiver receiver;

	vhu_receiver_init(&receiver);
	assert_int_equal(vhu_receiver_read(&receiver, peer->fd), 1);
	assert_int_equal(receiver.message.header.request, request);
	return receiver.message;
}

/* The same, of a message without fds and with exactly this payload. */
static inline void peer_expect(const struct scripted_peer *peer, uint32_t request,
			       const void *payload, uint32_t size)
{
	struct vhu_message message = peer_asked(peer, request);

	assert_int_equal(message.header.size, size);
	if (size)
		assert_memory_equal(&message.payload, payload, size);
	assert_int_equal(message.n_fds, 0);
}

#endif
