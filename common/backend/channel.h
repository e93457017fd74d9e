/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_BACKEND_CHANNEL_H
#define VHU_BACKEND_CHANNEL_H

/*
 * The channel to the front-end (vhost-user, Back-end communication): a socket for requests of ours.
 * Nobody waits on it: messages go out without need_reply through a bounded queue, sent by the main
 * loop as the socket takes them.
 */

#include <stdint.h>

#include "common/base/loop.h"

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

#endif
