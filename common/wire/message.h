/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_WIRE_MESSAGE_H
#define VHU_WIRE_MESSAGE_H

/*
 * One message, and its way through a stream socket. A message owns its fds: a handler steals what
 * it keeps, vhu_message_finish() closes the rest.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/fd.h"
#include "common/wire/payload.h"
#include "common/wire/protocol.h"

struct vhu_message {
	struct vhu_header header;
	union vhu_payload payload;
	unsigned n_fds;
	int fds[VHU_FD_MAX];
};

void vhu_message_init(struct vhu_message *message);
/* Closes the fds that are left and makes the message as after init. */
void vhu_message_finish(struct vhu_message *message);

/* Takes fd number i out of the message: the caller owns it. -1 when there is none. */
int vhu_message_steal_fd(struct vhu_message *message, unsigned i);

/* A message in the course of being received. */
struct vhu_receiver {
	struct vhu_message message;
	size_t got; /* bytes of header and payload that are there */
};

void vhu_receiver_init(struct vhu_receiver *receiver);
void vhu_receiver_finish(struct vhu_receiver *receiver);

/*
 * Reads on, never more than this message. Returns 1 when receiver->message is whole (the caller
 * takes what it wants from it, then calls vhu_receiver_finish(), which leaves the receiver ready
 * for the next message); -EAGAIN when the socket has no more (non-blocking); -ECONNRESET at end
 * of file, mid-message or not (got tells); -EMSGSIZE when the header announces more than any
 * payload, or too many fds came; or another negative errno.
 */
int vhu_receiver_read(struct vhu_receiver *receiver, int fd);

/*
 * Sends a request or a reply: header (flags is the whole field, VHU_VERSION included), payload_size
 * bytes of payload, fds (borrowed). Waits up to timeout_ms for room on a non-blocking socket.
 * Returns 0; -EAGAIN: there was no room in time and nothing was sent; or another negative errno:
 * the stream is not to be used any more.
 */
int vhu_message_send(int fd, uint32_t request, uint32_t flags, const void *payload,
		     uint32_t payload_size, const int *fds, unsigned n_fds, int timeout_ms);

#endif
