/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The in-flight record (vhost-user, Inflight I/O tracking). We make it, the front-end keeps it and
 * gives it to whoever serves the rings next.
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "common/base/num.h"
#include "common/session/handlers_priv.h"
#include "common/session/session_priv.h"

static int bad_record(struct vhu_session *session, const char *what, int error)
{
	complain(session, "%s refused: %s", what,
		 error == -ERANGE ? "its file is shorter than the record" : strerror(-error));
	return error;
}

static bool counts_fit(const struct vhu_session *session, const struct vhu_inflight *wire)
{
	return wire->n_queues >= 1 && wire->n_queues <= session->device->n_queues &&
	       wire->queue_size >= 1 && wire->queue_size <= VHU_VIRTQUEUE_MAX_SIZE;
}

/* Nobody who has the fd can take the memory away. Returns the fd. */
static int make_file(uint64_t size)
{
	cleanup_fd int fd = memfd_create("vhu-inflight", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, (off_t)size) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return -errno;
	return steal_fd(&fd);
}

/*
 * There is room for rings of the device's largest size, whatever size was asked for: QEMU asks with
 * a property of its own, and the driver's ring may be larger. Zeros are a record without a history.
 */
int vhu_handle_get_inflight_fd(struct vhu_session *session, struct vhu_message *message)
{
	struct vhu_inflight wire = message->payload.inflight;
	uint64_t entries = max_u64(wire.queue_size, session->device->queue_size_max);

	if (!counts_fit(session, &wire))
		return bad_record(session, "GET_INFLIGHT_FD", -EINVAL);
	wire.mmap_offset = 0;
	wire.mmap_size = wire.n_queues * vhu_inflight_bytes((uint32_t)entries);
	session->reply.fd = make_file(wire.mmap_size);
	if (session->reply.fd < 0)
		return bad_record(session, "GET_INFLIGHT_FD", session->reply.fd);
	wire.padding = 0;
	session->reply.payload.inflight = wire;
	session->reply.size = message->header.size;
	session->reply.made = true;
	return 0;
}

static void work_take_up(struct vhu_job *job)
{
	struct vhu_vring *vring = job->vring;
	int r = vhu_vring_restart(vring, job->session->memory);

	vhu_vring_set_active(vring, vring->enabled && vring->device->running);
	vhu_errand_done(&job->errand, guest_error(job->session, r));
}

/* Every ring that runs has left the old one. */
static int step_taken_up(struct vhu_session *session)
{
	if (session->old_inflight)
		vhu_mapping_unref(steal_ptr(&session->old_inflight));
	return session->step_error;
}

static int step_drained(struct vhu_session *session)
{
	return vhu_session_on_rings(session, vhu_session_started(session), work_take_up,
				    step_taken_up);
}

/* As far as it goes: rings that it has no part for are not tracked. */
static void share_out(struct vhu_session *session, unsigned n_queues, uint64_t size_bytes)
{
	struct vhu_device *device = session->device;

	for (unsigned i = 0; i < device->n_queues; i++)
		device->vrings[i].setup.inflight =
			i >= n_queues ? (struct vhu_inflight_region){ 0 }
				      : (struct vhu_inflight_region){
						.mapping = session->inflight,
						.record = session->inflight->host + i * size_bytes,
						.size_bytes = size_bytes,
					};
}

/*
 * Before the rings or behind them. A ring that runs is drained, and goes on from where the new
 * record says it stands, as if it had been stopped and started.
 */
int vhu_handle_set_inflight_fd(struct vhu_session *session, struct vhu_message *message)
{
	const struct vhu_inflight *wire = &message->payload.inflight;
	struct vhu_mapping *mapping;
	uint64_t size_bytes;
	int r;

	if (!counts_fit(session, wire))
		return bad_record(session, "SET_INFLIGHT_FD", -EINVAL);
	size_bytes = wire->mmap_size / wire->n_queues;
	if (wire->mmap_offset % VHU_INFLIGHT_ALIGN_BYTES ||
	    size_bytes % VHU_INFLIGHT_ALIGN_BYTES ||
	    size_bytes < sizeof(struct vhu_inflight_packed))
		return bad_record(session, "SET_INFLIGHT_FD", -EINVAL);
	r = vhu_mapping_new(message->fds[0], wire->mmap_offset, wire->mmap_size,
			    session->memory->health, &mapping);
	if (r < 0)
		return bad_record(session, "SET_INFLIGHT_FD", r);
	session->old_inflight = session->inflight;
	session->inflight = mapping;
	share_out(session, wire->n_queues, size_bytes);
	return vhu_session_drain_rings(session, vhu_session_started(session),
				       VHU_DRAIN_MEMORY_REMOVED, step_drained);
}

void vhu_session_forget_inflight(struct vhu_session *session)
{
	for (unsigned i = 0; i < session->device->n_queues; i++)
		vhu_inflight_forget(&session->device->vrings[i].setup.inflight);
}
