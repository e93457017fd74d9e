/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Vrings (vhost-user, Ring states). A ring is started by SET_VRING_KICK and stopped by
 * GET_VRING_BASE; requests are taken while it is enabled as well.
 */

#include <errno.h>
#include <unistd.h>

#include "common/backend/miss.h"
#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "common/base/num.h"
#include "common/memory/dirty_log.h"
#include "common/session/handlers_priv.h"
#include "common/session/session_priv.h"

static unsigned index_of(const struct vhu_session *session)
{
	return vhu_request_index(session->rule, &session->receiver.message);
}

static struct vhu_vring *ring_of(struct vhu_session *session)
{
	return &session->device->vrings[index_of(session)];
}

static int on_ring(struct vhu_session *session, vhu_ring_work_fn work)
{
	return vhu_session_on_rings(session, VHU_BIT(index_of(session)), work,
				    vhu_session_step_result);
}

/* Before SET_FEATURES nobody knows: what does not fit the layout is refused at the start then. */
static bool may_be_packed(const struct vhu_session *session)
{
	return !session->features || session->features & VHU_BIT(VHU_F_RING_PACKED);
}

int vhu_handle_set_vring_num(struct vhu_session *session, struct vhu_message *message)
{
	struct vhu_vring *vring = ring_of(session);
	uint32_t num = message->payload.vring_state.num;

	if (vring->started)
		return -EBUSY;
	if (!num || num > session->device->queue_size_max ||
	    !(is_pow2(num) || may_be_packed(session))) {
		complain(session, "queue %u: size %u refused: a power of two up to %u, or packed",
			 vring->index, num, session->device->queue_size_max);
		return -EINVAL;
	}
	vring->setup.size = num;
	return 0;
}

static void work_set_addresses(struct vhu_job *job)
{
	struct vhu_vring *vring = job->vring;
	int r = vring->live ? vhu_virtqueue_set_addresses(&vring->queue, &vring->setup) : 0;

	if (r < 0)
		vhu_vring_break(vring, "its new addresses do not lie in guest memory");
	vhu_vring_set_active(vring, vring->enabled && vring->device->running);
	vhu_errand_done(&job->errand, guest_error(job->session, r));
}

/*
 * It may lie outside guest memory, never outside the log (vhost-user, Migration). Behind an IOMMU
 * it is not used.
 */
static bool log_address_fits(struct vhu_session *session, const struct vhu_vring *vring,
			     const struct vhu_vring_addr *addr)
{
	if (!(addr->flags & VHU_VRING_ADDR_LOG) || !session->log ||
	    session->features & VHU_BIT(VHU_F_ACCESS_PLATFORM) ||
	    vhu_dirty_log_covers(session->log, addr->log_gpa,
				 vhu_virtqueue_logged_bytes(&vring->setup)))
		return true;
	complain(session, "queue %u: its log address lies outside the dirty log", vring->index);
	return false;
}

static int step_set_addresses(struct vhu_session *session)
{
	return on_ring(session, work_set_addresses);
}

int vhu_handle_set_vring_addr(struct vhu_session *session, struct vhu_message *message)
{
	const struct vhu_vring_addr *addr = &message->payload.vring_addr;
	struct vhu_vring *vring = ring_of(session);

	if (addr->flags & ~VHU_VRING_ADDR_LOG || !log_address_fits(session, vring, addr))
		return -EINVAL;
	vring->setup.desc_uaddr = addr->desc_uaddr;
	vring->setup.driver_uaddr = addr->avail_uaddr;
	vring->setup.device_uaddr = addr->used_uaddr;
	vring->setup.log_device = addr->flags & VHU_VRING_ADDR_LOG;
	vring->setup.log_gpa = addr->log_gpa;
	vring->has_addr = true;
	if (!vring->started)
		return 0;
	/*
	 * Behind an IOMMU, whatever SET_FEATURES said since, the new ones may have to be asked for:
	 * nobody may need them before.
	 */
	if (vring->setup.iotlb)
		return vhu_session_drain_rings(session, VHU_BIT(vring->index),
					       VHU_DRAIN_MEMORY_REMOVED, step_set_addresses);
	return step_set_addresses(session);
}

int vhu_handle_set_vring_base(struct vhu_session *session, struct vhu_message *message)
{
	struct vhu_vring *vring = ring_of(session);
	uint32_t base = message->payload.vring_state.num;

	if (vring->started)
		return -EBUSY;
	if (base > UINT16_MAX && !may_be_packed(session)) {
		complain(session, "queue %u: base 0x%x refused: the ring is not packed",
			 vring->index, base);
		return -EINVAL;
	}
	vring->setup.base = base;
	return 0;
}

int vhu_handle_set_vring_endian(struct vhu_session *session, struct vhu_message *message)
{
	(void)session;
	return message->payload.vring_state.num ? -EOPNOTSUPP : 0;
}

/* Stopping: drain on the workers, leave the rings, suspend when none is left. */

static void work_drain(struct vhu_job *job)
{
	vhu_vring_drain(job->vring, job->session->drain_reason, &job->errand);
}

int vhu_session_drain_rings(struct vhu_session *session, uint64_t rings,
			    enum vhu_drain_reason reason, vhu_step_fn next)
{
	session->drain_reason = reason;
	return vhu_session_on_rings(session, rings, work_drain, next);
}

static void work_stop(struct vhu_job *job)
{
	vhu_vring_stop(job->vring);
	vhu_errand_done(&job->errand, 0);
}

static int control_suspended(struct vhu_session *session)
{
	vhu_device_suspended(session->device);
	return 0;
}

static int step_after(struct vhu_session *session)
{
	return session->after(session);
}

static void set_stopped(struct vhu_vring *vring)
{
	vring->started = false;
	vring->call_was_set = false;
	close_fd(&vring->call_fd);
	vhu_inband_stopped(vring->device, vring->index);
}

static int step_stopped(struct vhu_session *session)
{
	for (uint64_t rings = session->rings; rings; rings &= rings - 1)
		set_stopped(&session->device->vrings[__builtin_ctzll(rings)]);
	if (!session->device->running || vhu_session_started(session))
		return step_after(session);
	vhu_device_set_running(session->device, false);
	session->reset_seen = false;
	return vhu_session_on_control(session, control_suspended, step_after);
}

static int step_stop(struct vhu_session *session)
{
	return vhu_session_on_rings(session, session->rings, work_stop, step_stopped);
}

int vhu_session_stop_rings(struct vhu_session *session, uint64_t rings,
			   enum vhu_drain_reason reason, vhu_step_fn after)
{
	session->rings = rings;
	session->after = after;
	return vhu_session_drain_rings(session, rings, reason, step_stop);
}

static int reply_base(struct vhu_session *session)
{
	struct vhu_vring *vring = ring_of(session);

	session->reply.made = true;
	session->reply.size = sizeof(session->reply.payload.vring_state);
	session->reply.payload.vring_state = (struct vhu_vring_state){
		.index = vring->index,
		.num = vring->setup.base,
	};
	return 0;
}

int vhu_handle_get_vring_base(struct vhu_session *session, struct vhu_message *message)
{
	struct vhu_vring *vring = ring_of(session);

	(void)message;
	if (!vring->started)
		return reply_base(session);
	return vhu_session_stop_rings(session, VHU_BIT(vring->index),
				      has_protocol_feature(session,
							   VHU_PROTOCOL_F_GET_VRING_BASE_INFLIGHT)
					      ? VHU_DRAIN_SUSPEND
					      : VHU_DRAIN_STOP,
				      reply_base);
}

/* Starting. */

static void work_activate(struct vhu_job *job)
{
	vhu_vring_set_active(job->vring, true);
	vhu_errand_done(&job->errand, 0);
}

void vhu_session_deactivate_ring(struct vhu_job *job)
{
	vhu_vring_rest(job->vring);
	vhu_errand_done(&job->errand, 0);
}

static int step_activate(struct vhu_session *session)
{
	return vhu_session_on_rings(session, session->rings, work_activate,
				    vhu_session_step_result);
}

static int control_resumed(struct vhu_session *session)
{
	struct vhu_device *device = session->device;

	if (session->silent_reset) {
		vhu_device_reset_device(device);
		vhu_session_tell_acked(session);
	}
	vhu_device_resumed(device);
	return 0;
}

/*
 * A reboot without RESET_DEVICE looks like a pause and a resumption, but for this: a driver that
 * begins has rings at their initial indices.
 */
static int step_resume(struct vhu_session *session)
{
	session->silent_reset = !session->step_error && !session->reset_seen;
	vhu_device_set_running(session->device, true);
	return vhu_session_on_control(session, control_resumed, step_activate);
}

static void work_is_new(struct vhu_job *job)
{
	bool new = job->vring->live && vhu_virtqueue_is_new(&job->vring->queue);

	vhu_errand_done(&job->errand, new ? 0 : -ESTALE);
}

/* The first activation after a suspension resumes the device. */
int vhu_session_activate_rings(struct vhu_session *session, uint64_t rings)
{
	session->rings = rings;
	if (!rings)
		return 0;
	if (session->device->running)
		return step_activate(session);
	return vhu_session_on_rings(session, vhu_session_started(session), work_is_new,
				    step_resume);
}

static void work_start(struct vhu_job *job)
{
	struct vhu_session *session = job->session;
	int r;

	vhu_vring_set_channel(job->vring, session->device->channel);
	r = vhu_vring_start(job->vring, session->memory);
	vhu_errand_done(&job->errand, guest_error(session, r));
}

static int step_started(struct vhu_session *session)
{
	struct vhu_vring *vring = ring_of(session);

	if (session->step_error == 0)
		vhu_inband_started(session->device, vring->index);
	if (session->step_error < 0 || !vring->enabled)
		return session->step_error;
	return vhu_session_activate_rings(session, VHU_BIT(vring->index));
}

static int start(struct vhu_session *session, struct vhu_vring *vring, int fd)
{
	bool inband = has_protocol_feature(session, VHU_PROTOCOL_F_INBAND_NOTIFICATIONS);
	int r;

	if (!vring->has_addr || !vring->setup.size) {
		complain(session, "queue %u: started before its size and addresses are set",
			 vring->index);
		close_fd(&fd);
		return -EINVAL;
	}
	r = vhu_session_check_iommu(session);
	if (r == 0)
		r = vhu_worker_run(vring->worker);
	if (r < 0) {
		close_fd(&fd);
		return r;
	}
	/* What was transferred is old from now on. */
	vhu_session_drop_transfer(session);
	close_fd(&vring->kick_fd);
	vring->kick_fd = fd;
	vring->kicks_inband = session->rule == vhu_frontend_request_rule(VHU_VRING_KICK);
	vring->calls_inband = inband && !vring->call_was_set;
	vring->errs_inband = inband;
	vring->started = true;
	return vhu_session_on_rings(session, VHU_BIT(vring->index), work_start, step_started);
}

static void work_set_kick(struct vhu_job *job)
{
	struct vhu_vring *vring = job->vring;
	int old_fd = vring->kick_fd; /* open until its source is gone */
	int r;

	vring->kick_fd = steal_fd(&job->fd);
	vring->kicks_inband = false;
	r = vhu_vring_watch_kick(vring);
	if (r < 0)
		vhu_vring_break(vring, "its kick fd cannot be watched");
	close_fd(&old_fd);
	vhu_vring_set_active(vring, vring->on);
	vhu_errand_done(&job->errand, r);
}

static void work_set_call(struct vhu_job *job)
{
	struct vhu_vring *vring = job->vring;
	int r = vhu_notifier_init(&vring->call, job->fd);

	vring->calls_inband &= r < 0;

	/* The last call may have gone to the old one after the front-end had looked there. */
	if (r == 0 && vring->live)
		vhu_notifier_signal(&vring->call);
	vhu_errand_done(&job->errand, r);
}

/* The worker has the new one; the old one goes with the message. */
static int step_call_set(struct vhu_session *session)
{
	struct vhu_vring *vring = ring_of(session);
	struct vhu_job *job = &session->jobs[vring->index];
	int old_fd = vring->call_fd;

	if (session->step_error < 0)
		return session->step_error;
	vring->call_was_set = true;
	vring->call_fd = job->fd;
	job->fd = old_fd;
	return 0;
}

static void work_set_err(struct vhu_job *job)
{
	int old_fd = job->vring->err.fd;
	int r = vhu_notifier_init(&job->vring->err, job->fd);

	if (r == 0)
		job->fd = old_fd;
	vhu_errand_done(&job->errand, r);
}

int vhu_handle_set_vring_kick(struct vhu_session *session, struct vhu_message *message)
{
	struct vhu_vring *vring = ring_of(session);
	int fd = vhu_message_steal_fd(message, 0);

	if (!vring->started)
		return start(session, vring, fd);
	session->jobs[vring->index].fd = fd;
	return on_ring(session, work_set_kick);
}

static void work_kick(struct vhu_job *job)
{
	struct vhu_vring *vring = job->vring;

	if (vring->active && vhu_vring_process(vring))
		vhu_worker_wake_ring(vring->worker, vring->index);
	vhu_errand_done(&job->errand, 0);
}

/*
 * In-band. The first one starts the ring (vhost-user, Ring states); the others are answered when
 * the ring has been looked at, which is what their sender waits for (In-band notifications).
 */
int vhu_handle_vring_kick(struct vhu_session *session, struct vhu_message *message)
{
	struct vhu_vring *vring = ring_of(session);

	(void)message;
	return vring->started ? on_ring(session, work_kick) : start(session, vring, -1);
}

int vhu_handle_set_vring_call(struct vhu_session *session, struct vhu_message *message)
{
	session->jobs[index_of(session)].fd = vhu_message_steal_fd(message, 0);
	return vhu_session_on_rings(session, VHU_BIT(index_of(session)), work_set_call,
				    step_call_set);
}

int vhu_handle_set_vring_err(struct vhu_session *session, struct vhu_message *message)
{
	session->jobs[index_of(session)].fd = vhu_message_steal_fd(message, 0);
	return on_ring(session, work_set_err);
}

int vhu_handle_set_vring_enable(struct vhu_session *session, struct vhu_message *message)
{
	struct vhu_vring *vring = ring_of(session);
	uint32_t enable = message->payload.vring_state.num;

	if (enable > 1)
		return -EINVAL;
	vring->enabled = enable;
	if (!vring->started)
		return 0;
	return enable ? vhu_session_activate_rings(session, VHU_BIT(vring->index))
		      : on_ring(session, vhu_session_deactivate_ring);
}
