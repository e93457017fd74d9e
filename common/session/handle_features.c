/* SPDX-License-Identifier: BSD-3-Clause */
/* Features, ownership, status and reset (vhost-user, Feature negotiation; virtio 1.3, 2.1, 2.4). */

#include <errno.h>
#include <string.h>

#include "common/base/log.h"
#include "common/session/handlers_priv.h"
#include "common/session/session_priv.h"

int vhu_handle_get_features(struct vhu_session *session, struct vhu_message *message)
{
	(void)message;
	reply_u64(session, session->device->features);
	return 0;
}

static bool event_idx(const struct vhu_session *session)
{
	return session->features & VHU_BIT(VHU_F_RING_EVENT_IDX);
}

static void work_event_idx(struct vhu_job *job)
{
	if (job->vring->live)
		vhu_virtqueue_set_event_idx(&job->vring->queue, event_idx(job->session));
	vhu_errand_done(&job->errand, 0);
}

int vhu_session_tell_acked(struct vhu_session *session)
{
	vhu_device_acked_features(session->device, session->features);
	vhu_device_set_event_idx(session->device, event_idx(session));
	return 0;
}

/* Without protocol features there is no SET_VRING_ENABLE (Ring states). */
static bool rings_wait_for_enable(const struct vhu_session *session)
{
	return session->features & VHU_BIT(VHU_F_PROTOCOL_FEATURES);
}

static int step_enable(struct vhu_session *session)
{
	return rings_wait_for_enable(session)
		       ? 0
		       : vhu_session_activate_rings(session, vhu_session_started(session));
}

static int step_acked(struct vhu_session *session)
{
	return vhu_session_on_control(session, vhu_session_tell_acked, step_enable);
}

static int step_logged(struct vhu_session *session)
{
	return vhu_session_on_rings(session, vhu_session_started(session), work_event_idx,
				    step_acked);
}

int vhu_handle_set_features(struct vhu_session *session, struct vhu_message *message)
{
	struct vhu_device *device = session->device;
	uint64_t features = message->payload.u64 & ~device->ops->ignored_features;
	uint64_t unknown = features & ~device->features;

	if (unknown) {
		complain(session, "SET_FEATURES with bits that were not offered: 0x%llx",
			 (unsigned long long)unknown);
		return -EINVAL;
	}
	session->features = features;
	for (unsigned i = 0; i < device->n_queues; i++) {
		device->vrings[i].setup.features = features;
		if (!rings_wait_for_enable(session))
			device->vrings[i].enabled = true;
	}
	return vhu_session_apply_log(session, step_logged);
}

int vhu_handle_get_protocol_features(struct vhu_session *session, struct vhu_message *message)
{
	(void)message;
	reply_u64(session, session->device->protocol_features);
	return 0;
}

/* Else the session is to be closed (vhost-user, In-band notifications). */
#define INBAND_NEEDS (VHU_BIT(VHU_PROTOCOL_F_BACKEND_REQ) | VHU_BIT(VHU_PROTOCOL_F_REPLY_ACK))

int vhu_handle_set_protocol_features(struct vhu_session *session, struct vhu_message *message)
{
	uint64_t unknown = message->payload.u64 &
			   ~session->device->protocol_features;

	if (unknown) {
		complain(session, "SET_PROTOCOL_FEATURES with bits that were not offered: 0x%llx",
			 (unsigned long long)unknown);
		return -EINVAL;
	}
	if (message->payload.u64 & VHU_BIT(VHU_PROTOCOL_F_INBAND_NOTIFICATIONS) &&
	    ~message->payload.u64 & INBAND_NEEDS) {
		complain(session, "%s without BACKEND_REQ and REPLY_ACK",
			 "in-band notifications");
		return VHU_SESSION_ENDS;
	}
	session->protocol_features = message->payload.u64;
	vhu_device_set_protocol_features(session->device, session->protocol_features);
	return 0;
}

int vhu_handle_set_owner(struct vhu_session *session, struct vhu_message *message)
{
	(void)session;
	(void)message;
	return 0;
}

/* No more than that: who took it for a reset lost what the front-end still relied on. */
int vhu_handle_reset_owner(struct vhu_session *session, struct vhu_message *message)
{
	(void)message;
	for (unsigned i = 0; i < session->device->n_queues; i++)
		session->device->vrings[i].enabled = false;
	return vhu_session_on_rings(session, vhu_session_started(session),
				    vhu_session_deactivate_ring, vhu_session_step_result);
}

int vhu_handle_get_queue_num(struct vhu_session *session, struct vhu_message *message)
{
	(void)message;
	reply_u64(session, session->device->n_queues);
	return 0;
}

static int control_reset(struct vhu_session *session)
{
	vhu_device_reset_device(session->device);
	return 0;
}

static int step_reset(struct vhu_session *session)
{
	session->reset_seen = true;
	vhu_session_forget_inflight(session);
	return vhu_session_on_control(session, control_reset, vhu_session_step_result);
}

int vhu_handle_reset_device(struct vhu_session *session, struct vhu_message *message)
{
	(void)message;
	session->status = 0;
	for (unsigned i = 0; i < session->device->n_queues; i++)
		session->device->vrings[i].enabled = false;
	return vhu_session_stop_rings(session, vhu_session_started(session), VHU_DRAIN_RESET,
				      step_reset);
}

int vhu_handle_set_status(struct vhu_session *session, struct vhu_message *message)
{
	if (message->payload.u64 > UINT8_MAX)
		return -EINVAL;
	session->status = message->payload.u64;
	return 0;
}

int vhu_handle_get_status(struct vhu_session *session, struct vhu_message *message)
{
	uint64_t status = session->status;

	(void)message;
	for (unsigned i = 0; i < session->device->n_queues; i++)
		if (atomic_load(&session->device->vrings[i].broken))
			status |= VHU_STATUS_NEEDS_RESET;
	reply_u64(session, status);
	return 0;
}
