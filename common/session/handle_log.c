/* SPDX-License-Identifier: BSD-3-Clause */
/* The dirty log of a migration (vhost-user, Migration). */

#include <errno.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "common/memory/dirty_log.h"
#include "common/session/handlers_priv.h"
#include "common/session/session_priv.h"

static bool logs_all(const struct vhu_session *session)
{
	return session->features & VHU_BIT(VHU_F_LOG_ALL);
}

int vhu_session_apply_log(struct vhu_session *session, vhu_step_fn after)
{
	struct vhu_dirty_log *log = logs_all(session) ? session->log : NULL;
	int r;

	if (session->memory->log == log)
		return after(session);
	r = vhu_memory_with_log(session->memory, log, &session->next_memory);
	return r < 0 ? r : vhu_session_publish_memory(session, after);
}

/* Takes log. What was marked in the old one until the answer is there for the front-end to see. */
static int set_log(struct vhu_session *session, struct vhu_dirty_log *log, vhu_step_fn after)
{
	vhu_dirty_log_unref(session->log);
	session->log = log;
	return vhu_session_apply_log(session, after);
}

static int step_base_set(struct vhu_session *session)
{
	reply_u64(session, 0);
	return 0;
}

int vhu_handle_set_log_base(struct vhu_session *session, struct vhu_message *message)
{
	const struct vhu_log_base *base = &message->payload.log_base;
	struct vhu_dirty_log *log;
	int r;

	/* The form without an fd is an address in the front-end's own memory. */
	if (!message->n_fds || !has_protocol_feature(session, VHU_PROTOCOL_F_LOG_SHMFD))
		return -EPERM;
	r = vhu_dirty_log_new(message->fds[0], base->size, base->offset, session->log_fd,
			      session->memory->health, &log);
	if (r < 0) {
		complain(session, "the front-end's dirty log is refused: %s",
			 r == -ERANGE ? "its file is shorter than the log" : strerror(-r));
		return r;
	}
	return set_log(session, log, step_base_set);
}

/* Nobody signals the old one any more. */
static int step_fd_set(struct vhu_session *session)
{
	close_fd(&session->log_fd);
	session->log_fd = vhu_message_steal_fd(session_message(session), 0);
	return 0;
}

int vhu_handle_set_log_fd(struct vhu_session *session, struct vhu_message *message)
{
	struct vhu_notifier changed;
	struct vhu_dirty_log *log;
	int r = vhu_notifier_init(&changed, message->fds[0]);

	if (r < 0)
		return r;
	if (!session->log)
		return step_fd_set(session);
	r = vhu_dirty_log_with_fd(session->log, message->fds[0], &log);
	return r < 0 ? r : set_log(session, log, step_fd_set);
}
