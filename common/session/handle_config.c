/* SPDX-License-Identifier: BSD-3-Clause */
/* The config space (vhost-user, Virtio device config space). */

#include <errno.h>
#include <string.h>

#include "common/session/handlers_priv.h"
#include "common/session/session_priv.h"

static int control_get(struct vhu_session *session)
{
	const struct vhu_config *asked = &session_message(session)->payload.config;
	struct vhu_config *config = &session->reply.payload.config;

	config->offset = asked->offset;
	config->size = asked->size;
	config->flags = asked->flags;
	return vhu_device_get_config(session->device, asked->offset, asked->size, config->bytes);
}

/* An error is told by a reply without payload. */
static int step_got(struct vhu_session *session)
{
	session->reply.made = true;
	session->reply.size = session->step_error < 0 ?
				      0 :
				      (uint32_t)(VHU_CONFIG_HEADER +
						 session->reply.payload.config.size);
	return 0;
}

int vhu_handle_get_config(struct vhu_session *session, struct vhu_message *message)
{
	(void)message;
	return vhu_session_on_control(session, control_get, step_got);
}

static int control_set(struct vhu_session *session)
{
	const struct vhu_config *config = &session_message(session)->payload.config;

	return vhu_device_set_config(session->device, config->offset, config->size, config->bytes,
				     config->flags);
}

/* What is written comes from the guest. */
static int step_set(struct vhu_session *session)
{
	return guest_error(session, session->step_error);
}

int vhu_handle_set_config(struct vhu_session *session, struct vhu_message *message)
{
	(void)message;
	return vhu_session_on_control(session, control_set, step_set);
}
