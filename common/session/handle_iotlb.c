/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the front-end tells of its IOMMU (vhost-user, IOMMU support). Each worker has a table of its
 * own; the reply, which says whether the message was right, goes out when all have it and nobody
 * uses any more what was taken away.
 */

#include <errno.h>

#include "common/backend/miss.h"
#include "common/base/log.h"
#include "common/base/num.h"
#include "common/session/handlers_priv.h"
#include "common/session/session_priv.h"

#define REFUSED 1ull

/* The first ring of each worker stands for it. */
static uint64_t all_workers(const struct vhu_session *session)
{
	uint64_t rings = 0;

	for (unsigned i = 0; i < session->device->n_workers; i++) {
		uint64_t queues = session->device->workers[i].queues;

		rings |= queues & -queues;
	}
	return rings;
}

static int step_reply(struct vhu_session *session)
{
	reply_u64(session, session->step_error < 0 ? REFUSED : 0);
	return 0;
}

static void work_look_again(struct vhu_job *job)
{
	struct vhu_vring *vring = job->vring;

	vhu_vring_look_again(vring);
	vhu_vring_set_active(vring, vring->enabled && vring->device->running);
	vhu_errand_done(&job->errand, 0);
}

static int step_look_again(struct vhu_session *session)
{
	return vhu_session_on_rings(session, session->rings, work_look_again, step_reply);
}

/* What was handed out may be unmapped after the reply: who still uses it is done first. */
static int step_drain(struct vhu_session *session)
{
	session->rings = 0;
	for (unsigned i = 0; i < session->device->n_workers; i++)
		session->rings |= session->device->workers[i].iotlb_users;
	if (session->step_error < 0 || !session->rings)
		return step_reply(session);
	return vhu_session_drain_rings(session, session->rings, VHU_DRAIN_MEMORY_REMOVED,
				       step_look_again);
}

static void work_deny(struct vhu_job *job)
{
	vhu_vring_deny(job->vring);
	vhu_errand_done(&job->errand, 0);
}

/* Of two rings that asked for a page in two ways, each has an answer of its own to come. */
static int step_told(struct vhu_session *session)
{
	uint64_t denied = 0;
	bool answered = false;

	for (unsigned i = 0; i < session->device->n_workers; i++) {
		denied |= session->device->workers[i].iotlb_denied;
		answered |= session->device->workers[i].iotlb_answered;
	}
	if (session->step_error < 0 || answered)
		denied = 0;
	return denied ? vhu_session_on_rings(session, denied, work_deny, step_drain)
		      : step_drain(session);
}

static void work_tell(struct vhu_job *job)
{
	const struct vhu_iotlb_msg *msg = &session_message(job->session)->payload.iotlb;

	vhu_errand_done(&job->errand, vhu_worker_iotlb_told(job->vring->worker, msg));
}

/* Addresses and size must be within the memory regions (vhost-user, IOMMU support). */
static bool is_in_memory(const struct vhu_session *session, const struct vhu_iotlb_msg *msg)
{
	struct iovec pieces[VHU_MEMORY_SLOTS];

	return vhu_memory_translate_uaddr(session->memory, msg->uaddr, msg->size, pieces,
					  ARRAY_SIZE(pieces)) > 0;
}

static const char *why_refused(const struct vhu_session *session, const struct vhu_iotlb_msg *msg)
{
	uint64_t ignored;

	if (!(session->features & VHU_BIT(VHU_F_ACCESS_PLATFORM)))
		return "without ACCESS_PLATFORM";
	if (msg->type == VHU_IOTLB_INVALIDATE)
		return NULL;
	if (msg->type != VHU_IOTLB_UPDATE)
		return "neither an update nor an invalidation";
	if (msg->perm > VHU_ACCESS_BOTH || !msg->size ||
	    add_overflows(msg->iova, msg->size - 1, &ignored))
		return "an update that makes no sense";
	if (msg->perm && !is_in_memory(session, msg))
		return "an update outside the memory regions";
	return NULL;
}

int vhu_handle_iotlb_msg(struct vhu_session *session, struct vhu_message *message)
{
	const char *why = why_refused(session, &message->payload.iotlb);

	if (why) {
		complain(session, "IOTLB_MSG refused: %s", why);
		reply_u64(session, REFUSED);
		return 0;
	}
	return vhu_session_on_rings(session, all_workers(session), work_tell, step_told);
}

int vhu_session_check_iommu(struct vhu_session *session)
{
	if (!(session->features & VHU_BIT(VHU_F_ACCESS_PLATFORM)))
		return 0;
	if (has_protocol_feature(session, VHU_PROTOCOL_F_BACKEND_REQ) &&
	    has_protocol_feature(session, VHU_PROTOCOL_F_REPLY_ACK) && session->device->channel)
		return 0;
	complain(session, "%s", "ACCESS_PLATFORM needs BACKEND_REQ, REPLY_ACK and "
				"SET_BACKEND_REQ_FD: no ring can start");
	return -EINVAL;
}
