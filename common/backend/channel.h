/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_BACKEND_CHANNEL_H
#define VHU_BACKEND_CHANNEL_H

/*
 * The channel to the front-end (vhost-user, Back-end communication): a socket for requests of ours.
 * Nobody waits on it: messages go through a bounded queue, sent by the main loop as the socket
 * takes them; who wants to know what became of one is called back.
 */

#include <stdint.h>

#include "common/base/loop.h"
#include "common/base/num.h"

struct vhu_channel;

/* Main. Takes fd, also on error. */
int vhu_channel_new(struct vhu_loop *main_loop, int fd, struct vhu_channel **ret_channel);
struct vhu_channel *vhu_channel_ref(struct vhu_channel *channel);   /* any thread */
void vhu_channel_unref(struct vhu_channel *channel);		    /* any thread; NULL is fine */
/* Main: the session is over; closes the socket. Later sends give -ENOTCONN. */
void vhu_channel_close(struct vhu_channel *channel);

/* Messages that may wait for the socket. */
#define VHU_CHANNEL_QUEUE 64

/*
 * Any thread. payload is copied. 0; -ENOTCONN when the channel is closed; -EAGAIN when the queue
 * is full (the front-end does not read).
 */
int vhu_channel_send(struct vhu_channel *channel, uint32_t request, const void *payload,
		     uint32_t payload_bytes);

#define VHU_CHANNEL_TIMEOUT_NS (10 * NS_PER_SEC)

/*
 * A request with an answer. It belongs to who made it, from vhu_channel_call() until done(), which
 * is called exactly once.
 */
struct vhu_channel_call {
	/* Set before; the first is required. */
	void (*done)(struct vhu_channel_call *call);
	struct vhu_loop *loop; /* where done runs: a worker's, which must run; NULL: main's */
	uint64_t timeout_ns;   /* 0: VHU_CHANNEL_TIMEOUT_NS */
	/*
	 * The answer: 0; -EREMOTEIO (the front-end says no); -ETIMEDOUT (what it did is not known);
	 * -ENOTCONN (the channel was closed); -EPROTO (yes, but without the fd that was asked for).
	 */
	int result;
	int fd; /* of SHARED_OBJECT_LOOKUP, done's to close; else -1 */

	struct vhu_call post; /* the channel's */
};

/*
 * As vhu_channel_send(), with an fd (borrowed; -1 for none), and an answer. call NULL: nobody wants
 * one; -EINVAL where there is one all the same. Where the message has no reply of its own,
 * REPLY_ACK must have been negotiated. When this fails done is not called.
 */
int vhu_channel_call(struct vhu_channel *channel, uint32_t request, const void *payload,
		     uint32_t payload_bytes, int fd, struct vhu_channel_call *call);

/*
 * Main. VRING_CALL or VRING_ERR for each ring of the mask, never refused: a ring's next one goes
 * when the one before was answered (vhost-user, In-band notifications), and stands for all that
 * came meanwhile. withdraw: nothing more of those rings; the ones that were not answered.
 */
void vhu_channel_notify(struct vhu_channel *channel, uint32_t request, uint64_t rings);
uint64_t vhu_channel_withdraw(struct vhu_channel *channel, uint32_t request, uint64_t rings);

#endif
