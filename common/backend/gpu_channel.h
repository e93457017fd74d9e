/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_BACKEND_GPU_CHANNEL_H
#define VHU_BACKEND_GPU_CHANNEL_H

/*
 * The socket of GPU_SET_SOCKET: what a GPU shows, to whoever displays it (vhost-user-gpu
 * specification). Nobody waits on it: what the peer does not read at once waits in a bounded queue,
 * and answers call back. All on one thread, that of the loop. A front-end gives a new socket each
 * time its driver starts: make a new channel of it, and destroy the old one.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "common/base/loop.h"
#include "common/base/num.h"
#include "common/wire/gpu_protocol.h"

/* What may wait for the peer; no message may be longer. */
#define VHU_GPU_CHANNEL_BYTES (64u << 20)
#define VHU_GPU_CHANNEL_MESSAGES 4096
/* Of the pixels of one message. */
#define VHU_GPU_CHANNEL_PARTS 1022
#define VHU_GPU_CHANNEL_TIMEOUT_NS (5 * NS_PER_SEC)

struct vhu_gpu_channel;

/* From the loop, or from within a send. The channel may be destroyed there. */
struct vhu_gpu_channel_ops {
	/* Optional, once: the peer has gone, or broke the protocol. Sends give -ENOTCONN now. */
	void (*lost)(void *data);
	/*
	 * Optional: all that was queued has gone, after a send that there was no room for, or a
	 * look that found it waiting.
	 */
	void (*room)(void *data);
};

/* Takes fd, also on error. ops is borrowed for life. */
int vhu_gpu_channel_new(struct vhu_loop *loop, int fd, const struct vhu_gpu_channel_ops *ops,
			void *data, struct vhu_gpu_channel **ret_channel);
/* Open calls are done first: -ENOTCONN. NULL is fine. */
void vhu_gpu_channel_destroy(struct vhu_gpu_channel *channel);

struct vhu_gpu_message {
	uint32_t request;	    /* enum vhu_gpu_request */
	const void *payload;	    /* the struct of the request; its size is known */
	const struct iovec *pixels; /* of UPDATE; sent from where they are when there is room */
	unsigned n_pixels;
	int fd; /* borrowed; of DMABUF_SCANOUT and DMABUF_SCANOUT2, else -1 */
};

/* A request with a reply. It belongs to who made it, from call until done(), called once. */
struct vhu_gpu_call {
	void (*done)(struct vhu_gpu_call *call);
	uint64_t timeout_ns; /* 0: VHU_GPU_CHANNEL_TIMEOUT_NS */
	/*
	 * 0; -ETIMEDOUT (QEMU does not answer GET_EDID for a scanout it does not have); -ENOTCONN;
	 * -EPROTO.
	 */
	int result;
	const union vhu_gpu_reply *reply; /* while done runs; NULL without a result */
};

/*
 * call is required where the request has a reply, and NULL where it has none. Returns 0; -EAGAIN:
 * no room now (room() will tell); -EMSGSIZE; -ENOTCONN; -EOPNOTSUPP: a request whose feature
 * was not set by SET_PROTOCOL_FEATURES; -EINVAL: no such message. done is not called then.
 */
int vhu_gpu_channel_send(struct vhu_gpu_channel *channel, const struct vhu_gpu_message *message,
			 struct vhu_gpu_call *call);
/* All that was sent has gone, for who would rather send what is newest; else room() will tell. */
bool vhu_gpu_channel_is_empty(struct vhu_gpu_channel *channel);

#endif
