/* SPDX-License-Identifier: BSD-3-Clause */
/* What goes between the two ends: the back-end channel, the GPU socket, shared objects, memory. */

#include <errno.h>
#include <string.h>

#include "common/backend/channel.h"
#include "common/backend/miss.h"
#include "common/session/handlers_priv.h"
#include "common/session/session_priv.h"

static int control_channel(struct vhu_session *session)
{
	vhu_device_set_backend_req_fd(session->device, session->device->channel);
	return 0;
}

static void work_channel(struct vhu_job *job)
{
	vhu_vring_set_channel(job->vring, job->session->device->channel);
	vhu_errand_done(&job->errand, 0);
}

static int step_channel(struct vhu_session *session)
{
	return vhu_session_on_control(session, control_channel, vhu_session_step_result);
}

int vhu_handle_set_backend_req_fd(struct vhu_session *session, struct vhu_message *message)
{
	struct vhu_device *device = session->device;
	struct vhu_channel *channel;
	int r = vhu_channel_new(session->loop, vhu_message_steal_fd(message, 0), &channel);

	if (r < 0)
		return r;
	if (device->channel)
		vhu_channel_close(device->channel);
	vhu_device_set_channel(device, channel);
	vhu_channel_unref(channel);
	return vhu_session_on_rings(session, vhu_session_started(session), work_channel,
				    step_channel);
}

static int control_gpu_socket(struct vhu_session *session)
{
	return vhu_device_set_gpu_socket(session->device,
					 vhu_message_steal_fd(session_message(session), 0));
}

int vhu_handle_gpu_set_socket(struct vhu_session *session, struct vhu_message *message)
{
	(void)message;
	return vhu_session_on_control(session, control_gpu_socket, vhu_session_step_result);
}

static int control_shared_object(struct vhu_session *session)
{
	return vhu_device_get_shared_object(session->device,
					    session_message(session)->payload.uuid,
					    &session->reply.fd);
}

/* Found or not is told by the fd alone. */
static int step_shared_object(struct vhu_session *session)
{
	session->reply.made = true;
	return 0;
}

int vhu_handle_get_shared_object(struct vhu_session *session, struct vhu_message *message)
{
	(void)message;
	return vhu_session_on_control(session, control_shared_object, step_shared_object);
}

int vhu_handle_get_shmem_config(struct vhu_session *session, struct vhu_message *message)
{
	struct vhu_shmem_config *config = &session->reply.payload.shmem_config;

	(void)message;
	memcpy(config->size, session->device->shmem_bytes, sizeof(config->size));
	config->n_regions = config->padding = 0;
	for (unsigned i = 0; i < VHU_SHMEM_MAX; i++)
		config->n_regions += config->size[i] > 0;
	session->reply.made = true;
	session->reply.size = sizeof(*config);
	return 0;
}
