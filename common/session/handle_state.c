/* SPDX-License-Identifier: BSD-3-Clause */
/* Transfer of the device's state (vhost-user, Migrating back-end state). */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/backend/state.h"
#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "common/session/handlers_priv.h"
#include "common/session/session_priv.h"

/* Bits 0-7 tell an error, bit 8 that no fd comes with the reply. */
#define STATE_ERROR 1ull
#define STATE_NO_FD (1ull << 8)

/* A device with these slots makes its transfers by itself. */
static bool has_own(const struct vhu_session *session)
{
	return session->device->ops->set_device_state_fd;
}

void vhu_session_drop_transfer(struct vhu_session *session)
{
	vhu_state_transfer_drop(steal_ptr(&session->transfer));
	free(steal_ptr(&session->state_bytes));
	if (session->awaits_transfer)
		session->parked = false;
	session->awaits_transfer = false;
}

static void transfer_ended(void *data)
{
	struct vhu_session *session = data;

	if (!session->awaits_transfer)
		return;
	session->awaits_transfer = false;
	vhu_session_part_done(session, 0);
}

static int reply_fd_set(struct vhu_session *session, int error)
{
	reply_u64(session, (error < 0 ? STATE_ERROR : 0) |
				   (session->reply.fd < 0 ? STATE_NO_FD : 0));
	return 0;
}

static int step_set_fd(struct vhu_session *session)
{
	return reply_fd_set(session, session->step_error);
}

static int control_set_fd(struct vhu_session *session)
{
	struct vhu_message *message = session_message(session);
	const struct vhu_transfer_state *transfer = &message->payload.transfer;

	return vhu_device_set_device_state_fd(session->device, transfer->direction,
					      transfer->phase, vhu_message_steal_fd(message, 0),
					      &session->reply.fd);
}

static int control_save(struct vhu_session *session)
{
	return vhu_state_pack(session->device, &session->state_bytes, &session->state_len);
}

static int step_transfer(struct vhu_session *session)
{
	struct vhu_message *message = session_message(session);
	size_t len = message->payload.transfer.direction == VHU_STATE_SAVE ?
			     session->state_len : vhu_state_max(session->device);

	if (session->step_error < 0)
		return reply_fd_set(session, session->step_error);
	return reply_fd_set(session,
			    vhu_state_transfer_new(session->loop,
						   message->payload.transfer.direction,
						   vhu_message_steal_fd(message, 0),
						   steal_ptr(&session->state_bytes),
						   len, VHU_STATE_TIMEOUT_NS,
						   transfer_ended, session, &session->transfer));
}

/* What can be said against a transfer before it begins; NULL: nothing. */
static const char *against(const struct vhu_session *session, const struct vhu_message *message)
{
	const struct vhu_transfer_state *asked = &message->payload.transfer;

	if (vhu_session_started(session))
		return "rings are at work";
	if (asked->direction > VHU_STATE_LOAD || asked->phase)
		return "no such direction or phase";
	if (has_own(session))
		return NULL;
	if (session->transfer && vhu_state_transfer_result(session->transfer) == -EINPROGRESS)
		return "another one is under way";
	return vhu_state_fd_fits(message->fds[0], asked->direction)
		       ? NULL
		       : "its fd is for the other direction";
}

int vhu_handle_set_device_state_fd(struct vhu_session *session, struct vhu_message *message)
{
	const char *why = against(session, message);

	if (why) {
		complain(session, "transfer of the device's state refused: %s", why);
		return reply_fd_set(session, -EINVAL);
	}
	/* What is loaded is not to be taken for a new driver's device, however new its rings. */
	if (message->payload.transfer.direction == VHU_STATE_LOAD)
		session->reset_seen = true;
	if (has_own(session))
		return vhu_session_on_control(session, control_set_fd, step_set_fd);
	vhu_session_drop_transfer(session);
	if (message->payload.transfer.direction == VHU_STATE_SAVE)
		return vhu_session_on_control(session, control_save, step_transfer);
	session->step_error = 0;
	return step_transfer(session);
}

static int reply_checked(struct vhu_session *session, int error)
{
	vhu_session_drop_transfer(session);
	reply_u64(session, error < 0 ? STATE_ERROR : 0);
	return 0;
}

static int step_checked(struct vhu_session *session)
{
	return reply_checked(session, session->step_error);
}

static int control_check(struct vhu_session *session)
{
	return vhu_device_check_device_state(session->device);
}

static int control_load(struct vhu_session *session)
{
	size_t len;
	const void *bytes = vhu_state_transfer_bytes(session->transfer, &len);

	return vhu_state_unpack(session->device, bytes, len);
}

static int step_loaded(struct vhu_session *session)
{
	if (session->step_error == 0)
		vhu_info("%s: its state is loaded", session->device->ops->name);
	return step_checked(session);
}

static int step_ended(struct vhu_session *session)
{
	int r = vhu_state_transfer_result(session->transfer);

	if (r < 0) {
		complain(session, "the transfer of the device's state failed: %s", strerror(-r));
		return reply_checked(session, r);
	}
	if (vhu_state_transfer_direction(session->transfer) == VHU_STATE_LOAD)
		return vhu_session_on_control(session, control_load, step_loaded);
	vhu_info("%s: its state is saved", session->device->ops->name);
	return reply_checked(session, 0);
}

int vhu_handle_check_device_state(struct vhu_session *session, struct vhu_message *message)
{
	(void)message;
	if (has_own(session))
		return vhu_session_on_control(session, control_check, step_checked);
	if (!session->transfer || vhu_session_started(session)) {
		complain(session, "no state to check: %s",
			 session->transfer ? "rings are at work" : "there was no transfer");
		return reply_checked(session, -EINVAL);
	}
	if (vhu_state_transfer_result(session->transfer) != -EINPROGRESS)
		return step_ended(session);
	session->next = step_ended;
	session->step_error = 0;
	session->outstanding = 1;
	session->awaits_transfer = true;
	return VHU_PARKED;
}
