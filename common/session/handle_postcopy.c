/* SPDX-License-Identifier: BSD-3-Clause */
/* Postcopy: the guest runs here before its memory has come (vhost-user, Migration). */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "common/base/num.h"
#include "common/session/handlers_priv.h"
#include "common/session/session_priv.h"

int vhu_handle_postcopy_advise(struct vhu_session *session, struct vhu_message *message)
{
	struct vhu_userfault userfault;
	int r;

	(void)message;
	if (session->postcopy)
		return -EBUSY;
	r = vhu_userfault_open(&userfault);
	if (r < 0)
		return r;
	vhu_userfault_close(&session->userfault);
	session->userfault = userfault;
	session->reply.made = true;
	session->reply.fd = fcntl(userfault.fd, F_DUPFD_CLOEXEC, 0);
	return session->reply.fd < 0 ? -errno : 0;
}

/* What is mapped already is mapped where the front-end does not know. */
int vhu_handle_postcopy_listen(struct vhu_session *session, struct vhu_message *message)
{
	(void)message;
	if (session->userfault.fd < 0)
		return -EINVAL;
	if (session->memory->n_slots) {
		complain(session, "%s with %u memory regions already mapped", session->rule->name,
			 session->memory->n_slots);
		return -EBUSY;
	}
	session->postcopy = true;
	return 0;
}

int vhu_session_tell_bases(struct vhu_session *session, struct vhu_memory *next,
			   struct vhu_wire_region *regions, unsigned n)
{
	const struct vhu_message *message = session_message(session);
	int r = vhu_userfault_register(&session->userfault, next);

	if (r < 0) {
		vhu_memory_unref(next);
		return r;
	}
	for (unsigned i = 0; i < n; i++)
		regions[i].uaddr = (uintptr_t)vhu_memory_from_gpa(next, regions[i].gpa, 1);
	vhu_memory_unref(session->told_memory);
	session->told_memory = next;
	session->reply.made = true;
	session->reply.size = message->header.size;
	memcpy(&session->reply.payload, &message->payload, message->header.size);
	return 0;
}

/* The log may be another by now. */
static int publish_told(struct vhu_session *session, vhu_step_fn after)
{
	struct vhu_memory *told = steal_ptr(&session->told_memory);
	int r = vhu_memory_with_log(told, session->memory->log, &session->next_memory);

	vhu_memory_unref(told);
	return r < 0 ? r : vhu_session_replace_memory(session, after);
}

int vhu_session_bases_acked(struct vhu_session *session)
{
	return session->told_memory ? publish_told(session, vhu_session_step_result) : -EINVAL;
}

static int step_end(struct vhu_session *session)
{
	reply_u64(session, 0);
	return 0;
}

/* All of the memory has come: what waits for an ack waits for nothing any more. */
int vhu_handle_postcopy_end(struct vhu_session *session, struct vhu_message *message)
{
	struct vhu_memory *newest = session->told_memory ? session->told_memory : session->memory;

	(void)message;
	if (session->postcopy) {
		vhu_userfault_unregister(&session->userfault, session->memory);
		vhu_userfault_unregister(&session->userfault, newest);
	}
	session->postcopy = false;
	vhu_userfault_close(&session->userfault);
	return session->told_memory ? publish_told(session, step_end) : step_end(session);
}

/*
 * First of all at the end of a session, while workers may wait for pages that nobody will bring:
 * they must fail, and find no zeros that a request of the guest would carry to the disk.
 */
void vhu_session_lose_postcopy(struct vhu_session *session)
{
	struct vhu_memory *maps[] = { session->memory, session->next_memory, session->told_memory };

	if (session->postcopy)
		vhu_warning("%s: the session ends in the middle of postcopy: the memory that has "
			    "not come is lost", session->device->ops->name);
	for (unsigned i = 0; session->postcopy && i < ARRAY_SIZE(maps); i++)
		if (maps[i])
			vhu_userfault_abandon(&session->userfault, maps[i]);
	vhu_userfault_close(&session->userfault);
	vhu_memory_unref(steal_ptr(&session->told_memory));
	session->postcopy = false;
}
