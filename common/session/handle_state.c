/* SPDX-License-Identifier: BSD-3-Clause */
/* Transfer of the device's state (vhost-user, Migrating back-end state). */

#include <errno.h>

#include "common/session/handlers_priv.h"
#include "common/session/session_priv.h"

/* Bits 0-7 tell an error, bit 8 that no fd comes with the reply. */
#define STATE_ERROR 1ull
#define STATE_NO_FD (1ull << 8)

static int control_set_fd(struct vhu_session *session)
{
	struct vhu_message *message = session_message(session);
	const struct vhu_transfer_state *transfer = &message->payload.transfer;

	return vhu_device_set_device_state_fd(session->device, transfer->direction,
					      transfer->phase, vhu_message_steal_fd(message, 0),
					      &session->reply.fd);
}

static int step_set_fd(struct vhu_session *session)
{
	reply_u64(session, (session->step_error < 0 ? STATE_ERROR : 0) |
				   (session->reply.fd < 0 ? STATE_NO_FD : 0));
	return 0;
}

int vhu_handle_set_device_state_fd(struct vhu_session *session, struct vhu_message *message)
{
	(void)message;
	if (vhu_session_started(session)) {
		reply_u64(session, STATE_ERROR | STATE_NO_FD);
		return 0;
	}
	return vhu_session_on_control(session, control_set_fd, step_set_fd);
}

static int control_check(struct vhu_session *session)
{
	return vhu_device_check_device_state(session->device);
}

static int step_check(struct vhu_session *session)
{
	reply_u64(session, session->step_error < 0 ? STATE_ERROR : 0);
	return 0;
}

int vhu_handle_check_device_state(struct vhu_session *session, struct vhu_message *message)
{
	(void)message;
	return vhu_session_on_control(session, control_check, step_check);
}
