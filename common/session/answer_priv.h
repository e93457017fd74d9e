/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_SESSION_ANSWER_PRIV_H
#define VHU_SESSION_ANSWER_PRIV_H

/* What handlers say of the message at hand, in the reply and in the log. */

#include "common/session/session_priv.h"

static inline struct vhu_message *session_message(struct vhu_session *session)
{
	return &session->receiver.message;
}

static inline void reply_u64(struct vhu_session *session, uint64_t value)
{
	session->reply.made = true;
	session->reply.payload.u64 = value;
	session->reply.size = sizeof(value);
}

static inline bool has_protocol_feature(const struct vhu_session *session, unsigned bit)
{
	return session->protocol_features & VHU_BIT(bit);
}

static inline bool wants_ack(const struct vhu_session *session)
{
	return has_protocol_feature(session, VHU_PROTOCOL_F_REPLY_ACK) &&
	       session->receiver.message.header.flags & VHU_FLAG_NEED_REPLY;
}

/*
 * The result of a request that failed by what the guest did, not the front-end: told where it
 * can be told, but no reason to end the session.
 */
static inline int guest_error(const struct vhu_session *session, int error)
{
	return wants_ack(session) ? error : 0;
}

/* A line about what the front-end did wrong, which it may do as often as it likes. */
#define complain(session, format, ...) \
	vhu_log_limited(&(session)->log_limit, VHU_LOG_ERROR, "%s: " format, \
			(session)->device->ops->name, __VA_ARGS__)

#endif
