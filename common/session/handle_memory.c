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

static int step_drained(struct vhu_session *session)
{
	return vhu_session_publish_memory(session, session->after);
}

int vhu_session_replace_memory(struct vhu_session *session, vhu_step_fn after)
{
	session->after = after;
	return vhu_session_drain_rings(session, vhu_session_started(session),
				       VHU_DRAIN_MEMORY_REMOVED, step_drained);
}

static int bad_memory(struct vhu_session *session, int error)
{
	complain(session, "the front-end's memory region is refused: %s",
		 error == -ERANGE ? "its file is shorter than the region" : strerror(-error));
	return error;
}

/* The map that follows from the n regions of a message; replaces: regions that were there go. */
static int change(struct vhu_session *session, struct vhu_memory *next,
		  struct vhu_wire_region *regions, unsigned n, bool replaces)
{
	if (session->postcopy) {
		int r = vhu_session_tell_bases(session, next, regions, n);

		return r < 0 ? bad_memory(session, r) : 0;
	}
	session->next_memory = next;
	return replaces ? vhu_session_replace_memory(session, vhu_session_step_result)
			: vhu_session_publish_memory(session, vhu_session_step_result);
}

static struct vhu_memory_region region_of(const struct vhu_wire_region *wire)
{
	return (struct vhu_memory_region){
		.gpa = wire->gpa,
		.size = wire->size,
		.uaddr = wire->uaddr,
		.mmap_offset = wire->mmap_offset,
	};
}

/* An empty table is in postcopy the front-end's ack of the last one. */
int vhu_handle_set_mem_table(struct vhu_session *session, struct vhu_message *message)
{
	struct vhu_mem_table *table = &message->payload.mem_table;
	struct vhu_memory_region regions[VHU_MEM_TABLE_MAX];
	struct vhu_memory *next;
	int r;

	if (session->postcopy && !table->n_regions)
		return vhu_session_bases_acked(session);
	for (uint32_t i = 0; i < table->n_regions; i++)
		regions[i] = region_of(&table->regions[i]);
	r = vhu_memory_with_table(session->memory, regions, message->fds, table->n_regions, &next);
	if (r < 0)
		return bad_memory(session, r);
	return change(session, next, table->regions, table->n_regions,
		      session->memory->n_slots > 0);
}

int vhu_handle_get_max_mem_slots(struct vhu_session *session, struct vhu_message *message)
{
	(void)message;
	reply_u64(session, VHU_MEMORY_SLOTS);
	return 0;
}

/* The short form, without an fd, is in postcopy the front-end's ack of all regions told so far. */
int vhu_handle_add_mem_reg(struct vhu_session *session, struct vhu_message *message)
{
	struct vhu_memory *old = session->told_memory ? session->told_memory : session->memory;
	struct vhu_wire_region *wire = &message->payload.region.region;
	struct vhu_memory_region region = region_of(wire);
	struct vhu_memory *next;
	int r;

	if (!message->n_fds)
		return message->payload.u64 ? -EINVAL : vhu_session_bases_acked(session);
	r = vhu_memory_with_region(old, &region, message->fds[0], &next);
	return r < 0 ? bad_memory(session, r) : change(session, next, wire, 1, false);
}

int vhu_handle_rem_mem_reg(struct vhu_session *session, struct vhu_message *message)
{
	struct vhu_memory_region region = region_of(&message->payload.region.region);
	int r;

	/* It would come back with those that wait for their ack. */
	if (session->told_memory)
		return -EBUSY;
	r = vhu_memory_without_region(session->memory, &region, &session->next_memory);
	if (r < 0)
		return bad_memory(session, r);
	return vhu_session_replace_memory(session, vhu_session_step_result);
}
