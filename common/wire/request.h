/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_WIRE_REQUEST_H
#define VHU_WIRE_REQUEST_H

/*
 * The request tables: for each message of either direction what its payload, its fds and its answer
 * must look like, and which bit must have been negotiated for it. All that can be said of a message
 * without knowing a session's state is said here, once.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/wire/payload.h"
#include "common/wire/protocol.h"

struct vhu_message;

/* What a message is answered with. Whatever has no reply is acked when need_reply asks for it. */
enum vhu_reply_rule {
	VHU_REPLY_ACK,	    /* u64, only with need_reply and REPLY_ACK */
	VHU_REPLY_ALWAYS,   /* a reply of its own, also without need_reply; exactly one */
	VHU_REPLY_LOG_BASE, /* u64 always when LOG_SHMFD was negotiated, else as ACK */
};

/* How many fds a message carries. */
enum vhu_fd_rule {
	VHU_FDS_NONE,	     /* what comes all the same is closed, and the message goes on */
	VHU_FDS_ONE,	     /* exactly one */
	VHU_FDS_BY_NO_FD,    /* one, or none when bit 8 of the u64 says so */
	VHU_FDS_PER_REGION,  /* one a region of the memory table */
	VHU_FDS_OPTIONAL,    /* one or none, by the form of the message: its check says which */
};

/* Where in the payload the index of a vring stands. */
enum vhu_index_rule {
	VHU_INDEX_NONE,
	VHU_INDEX_U32,	  /* the first u32: vring state and address */
	VHU_INDEX_BITS07, /* bits 0-7 of the u64: kick, call, err, area */
};

#define VHU_NO_GATE (-1)

struct vhu_request_rule {
	const char *name;	    /* NULL: no such request */
	uint32_t min_size, max_size; /* of the payload, bytes */
	enum vhu_fd_rule fds;
	enum vhu_reply_rule reply;
	enum vhu_index_rule index;
	int gate; /* the protocol feature bit without which it may not come, or VHU_NO_GATE */
	/*
	 * More on the payload than its size: 0 or negative errno. NULL where the size says it all.
	 * Lengths inside the payload are checked here (memory table, config).
	 */
	int (*check)(const struct vhu_message *message);
};

/* The rule, or NULL for an unknown number. */
const struct vhu_request_rule *vhu_frontend_request_rule(uint32_t request);
const struct vhu_request_rule *vhu_backend_request_rule(uint32_t request);

/*
 * Holds a received message against its rule, framing first. Returns 0; -EPROTO when framing is
 * broken (version, reply flag, size, inner lengths, number of fds): the session must end. Surplus
 * fds of a VHU_FDS_NONE message are closed. A NULL rule (an unknown request) asks only for the
 * version and the direction, and closes all fds. Gates are the session's to look at.
 */
int vhu_request_check(const struct vhu_request_rule *rule, struct vhu_message *message);

/* The vring index of a message; only where rule->index is not VHU_INDEX_NONE. */
uint32_t vhu_request_index(const struct vhu_request_rule *rule, const struct vhu_message *message);

#endif
