/* SPDX-License-Identifier: BSD-3-Clause */
/* Guest memory (vhost-user, Memory region description). */

#include <errno.h>
#include <string.h>

#include "common/base/log.h"
#include "common/session/handlers_priv.h"
#include "common/session/session_priv.h"

static void work_set_memory(struct vhu_job *job)
{
	struct vhu_vring *vring = job->vring;

	if (vring->live) {
		if (vhu_virtqueue_set_memory(&vring->queue, job->session->next_memory) < 0)
			vhu_vring_break(vring, "its memory was taken away");
		vhu_vring_set_active(vring, vring->enabled && vring->device->running);
	}
	vhu_errand_done(&job->errand, 0);
}

static int control_update(struct vhu_session *session)
{
	return vhu_device_update_memory(session->device, session->memory);
}

/* Every ring has the new map: the old one goes, and with it what was only there. */
static int step_update(struct vhu_session *session)
{
	vhu_memory_unref(session->memory);
	session->memory = session->next_memory;
	session->next_memory = NULL;
	return vhu_session_on_control(session, control_update, session->after);
}

int vhu_session_publish_memory(struct vhu_session *session, vhu_step_fn after)
{
	session->after = after;
	return vhu_session_on_rings(session, vhu_session_started(session), work_set_memory,
				    step_update);
}

static int step_publish(struct vhu_session *session)
{
	return vhu_session_publish_memory(session, vhu_session_step_result);
}

/* Requests in flight point into the map: what is removed is drained first. */
static int publish(struct vhu_session *session, bool removed)
{
	if (!removed)
		return step_publish(session);
	return vhu_session_drain_rings(session, vhu_session_started(session),
				       VHU_DRAIN_MEMORY_REMOVED, step_publish);
}

static int bad_memory(struct vhu_session *session, int error)
{
	complain(session, "the front-end's memory region is refused: %s",
		 error == -ERANGE ? "its file is shorter than the region" : strerror(-error));
	return error;
}

int vhu_handle_set_mem_table(struct vhu_session *session, struct vhu_message *message)
{
	struct vhu_memory_region regions[VHU_MEM_TABLE_MAX];
	uint32_t n = message->payload.mem_table.n_regions;
	int r;

	for (uint32_t i = 0; i < n; i++) {
		const struct vhu_wire_region *from = &message->payload.mem_table.regions[i];

		regions[i] = (struct vhu_memory_region){
			.gpa = from->gpa,
			.size = from->size,
			.uaddr = from->uaddr,
			.mmap_offset = from->mmap_offset,
		};
	}
	r = vhu_memory_with_table(session->memory, regions, message->fds, n, &session->next_memory);
	return r < 0 ? bad_memory(session, r) : publish(session, session->memory->n_slots > 0);
}

int vhu_handle_get_max_mem_slots(struct vhu_session *session, struct vhu_message *message)
{
	(void)message;
	reply_u64(session, VHU_MEMORY_SLOTS);
	return 0;
}

static struct vhu_memory_region single_region(const struct vhu_message *message)
{
	const struct vhu_wire_region *from = &message->payload.region.region;

	return (struct vhu_memory_region){
		.gpa = from->gpa,
		.size = from->size,
		.uaddr = from->uaddr,
		.mmap_offset = from->mmap_offset,
	};
}

int vhu_handle_add_mem_reg(struct vhu_session *session, struct vhu_message *message)
{
	struct vhu_memory_region region = single_region(message);
	int r;

	/* The form without an fd is an answer of postcopy, which is not offered. */
	if (!message->n_fds)
		return -EINVAL;
	r = vhu_memory_with_region(session->memory, &region, message->fds[0],
				   &session->next_memory);
	return r < 0 ? bad_memory(session, r) : publish(session, false);
}

int vhu_handle_rem_mem_reg(struct vhu_session *session, struct vhu_message *message)
{
	struct vhu_memory_region region = single_region(message);
	int r = vhu_memory_without_region(session->memory, &region, &session->next_memory);

	return r < 0 ? bad_memory(session, r) : publish(session, true);
}
