/* SPDX-License-Identifier: BSD-3-Clause */
#include "common/session/session.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "common/backend/channel.h"
#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "common/base/num.h"
#include "common/memory/dirty_log.h"
#include "common/session/handlers_priv.h"
#include "common/session/session_priv.h"

/* Messages taken in one go, before other sessions get their turn. */
#define MESSAGES_PER_TURN 32
#define UNBLOCK_NS (10 * NS_PER_MS)

/* What is not here is refused: an unknown number, or a part of the protocol that is not offered. */
static const vhu_handler_fn handlers[VHU_FRONTEND_REQUEST_END] = {
	[VHU_GET_FEATURES] = vhu_handle_get_features,
	[VHU_SET_FEATURES] = vhu_handle_set_features,
	[VHU_SET_OWNER] = vhu_handle_set_owner,
	[VHU_RESET_OWNER] = vhu_handle_reset_owner,
	[VHU_SET_MEM_TABLE] = vhu_handle_set_mem_table,
	[VHU_SET_LOG_BASE] = vhu_handle_set_log_base,
	[VHU_SET_LOG_FD] = vhu_handle_set_log_fd,
	[VHU_SET_VRING_NUM] = vhu_handle_set_vring_num,
	[VHU_SET_VRING_ADDR] = vhu_handle_set_vring_addr,
	[VHU_SET_VRING_BASE] = vhu_handle_set_vring_base,
	[VHU_GET_VRING_BASE] = vhu_handle_get_vring_base,
	[VHU_SET_VRING_KICK] = vhu_handle_set_vring_kick,
	[VHU_SET_VRING_CALL] = vhu_handle_set_vring_call,
	[VHU_SET_VRING_ERR] = vhu_handle_set_vring_err,
	[VHU_GET_PROTOCOL_FEATURES] = vhu_handle_get_protocol_features,
	[VHU_SET_PROTOCOL_FEATURES] = vhu_handle_set_protocol_features,
	[VHU_GET_QUEUE_NUM] = vhu_handle_get_queue_num,
	[VHU_SET_VRING_ENABLE] = vhu_handle_set_vring_enable,
	[VHU_SET_BACKEND_REQ_FD] = vhu_handle_set_backend_req_fd,
	[VHU_IOTLB_MSG] = vhu_handle_iotlb_msg,
	[VHU_SET_VRING_ENDIAN] = vhu_handle_set_vring_endian,
	[VHU_GET_CONFIG] = vhu_handle_get_config,
	[VHU_SET_CONFIG] = vhu_handle_set_config,
	[VHU_POSTCOPY_ADVISE] = vhu_handle_postcopy_advise,
	[VHU_POSTCOPY_LISTEN] = vhu_handle_postcopy_listen,
	[VHU_POSTCOPY_END] = vhu_handle_postcopy_end,
	[VHU_GPU_SET_SOCKET] = vhu_handle_gpu_set_socket,
	[VHU_RESET_DEVICE] = vhu_handle_reset_device,
	[VHU_VRING_KICK] = vhu_handle_vring_kick,
	[VHU_GET_MAX_MEM_SLOTS] = vhu_handle_get_max_mem_slots,
	[VHU_ADD_MEM_REG] = vhu_handle_add_mem_reg,
	[VHU_REM_MEM_REG] = vhu_handle_rem_mem_reg,
	[VHU_GET_INFLIGHT_FD] = vhu_handle_get_inflight_fd,
	[VHU_SET_INFLIGHT_FD] = vhu_handle_set_inflight_fd,
	[VHU_SET_STATUS] = vhu_handle_set_status,
	[VHU_GET_STATUS] = vhu_handle_get_status,
	[VHU_GET_SHARED_OBJECT] = vhu_handle_get_shared_object,
	[VHU_SET_DEVICE_STATE_FD] = vhu_handle_set_device_state_fd,
	[VHU_CHECK_DEVICE_STATE] = vhu_handle_check_device_state,
	[VHU_GET_SHMEM_CONFIG] = vhu_handle_get_shmem_config,
};

static void complete(struct vhu_session *session, int result);
static void tear_down(struct vhu_session *session);

uint64_t vhu_session_started(const struct vhu_session *session)
{
	uint64_t started = 0;

	for (unsigned i = 0; i < session->device->n_queues; i++)
		if (session->device->vrings[i].started)
			started |= VHU_BIT(i);
	return started;
}

/* One part of the step is done. Goes on when it was the last. */
static int part_done(struct vhu_session *session)
{
	if (--session->outstanding)
		return VHU_PARKED;
	return session->next(session);
}

void vhu_session_part_done(struct vhu_session *session, int error)
{
	int r;

	if (error < 0 && !session->step_error)
		session->step_error = error;
	r = part_done(session);
	if (r != VHU_PARKED && session->parked)
		complete(session, r);
}

static void job_back(struct vhu_errand *errand)
{
	vhu_session_part_done(container_of(errand, struct vhu_job, errand)->session,
			      errand->result);
}

static void ring_work(struct vhu_errand *errand)
{
	struct vhu_job *job = container_of(errand, struct vhu_job, errand);

	job->work(job);
}

int vhu_session_on_rings(struct vhu_session *session, uint64_t rings, vhu_ring_work_fn work,
			 vhu_step_fn next)
{
	session->next = next;
	session->step_error = 0;
	session->outstanding = 1;
	for (; rings; rings &= rings - 1) {
		struct vhu_job *job = &session->jobs[__builtin_ctzll(rings)];

		session->outstanding++;
		job->work = work;
		job->errand.work = ring_work;
		vhu_errand_send(&job->errand, job->vring->worker, session->loop);
	}
	return part_done(session);
}

static void control_work(struct vhu_errand *errand)
{
	struct vhu_session *session = container_of(errand, struct vhu_job, errand)->session;

	vhu_errand_done(errand, session->control(session));
}

int vhu_session_on_control(struct vhu_session *session, vhu_control_fn fn, vhu_step_fn next)
{
	struct vhu_device *device = session->device;

	session->next = next;
	session->step_error = 0;
	session->outstanding = 1;
	session->control = fn;
	if (device->ops->locking == VHU_LOCK_NONE) {
		int r = fn(session);

		session->step_error = r < 0 ? r : 0;
		return part_done(session);
	}
	session->outstanding++;
	session->control_job.errand.work = control_work;
	vhu_errand_send(&session->control_job.errand, &device->workers[0], session->loop);
	return part_done(session);
}

int vhu_session_step_result(struct vhu_session *session)
{
	return session->step_error;
}

static void refused(struct vhu_session *session, int error)
{
	uint32_t request = session_message(session)->header.request;
	uint64_t bit = request < 64 ? VHU_BIT(request) : 1;

	if (session->unknown_told & bit)
		return;
	session->unknown_told |= bit;
	if (session->rule)
		vhu_warning("%s: %s refused: %s", session->device->ops->name, session->rule->name,
			    strerror(-error));
	else
		vhu_warning("%s: unknown request %u ignored", session->device->ops->name, request);
}

static int send_reply(struct vhu_session *session, const void *payload, uint32_t size, int fd)
{
	return vhu_message_send(session->fd, session_message(session)->header.request,
				VHU_VERSION | VHU_FLAG_REPLY, payload, size, &fd, fd >= 0, 0);
}

/* The one place where a request is answered. Returns 0, or why the session must end. */
static int answer(struct vhu_session *session, int result)
{
	struct vhu_reply *reply = &session->reply;
	uint64_t ack = result < 0;

	if (result == VHU_SESSION_ENDS)
		return result;
	if (result < 0)
		refused(session, result);
	if (result == 0 && reply->made)
		return send_reply(session, &reply->payload, reply->size, reply->fd);
	if (session->rule && session->rule->reply == VHU_REPLY_ALWAYS)
		return result;
	if (wants_ack(session))
		return send_reply(session, &ack, sizeof(ack), -1);
	/* Not told, and not applied: the two ends would disagree from here on. */
	return result == -EOPNOTSUPP ? 0 : result;
}

/*
 * An eventfd that the peer has made blocking and filled up holds up a worker: it is emptied. Only
 * such a one: a call that nobody has looked at yet is an interrupt of the guest.
 */
static void unblock(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	if (fd >= 0 && poll(&p, 1, 0) == 0)
		vhu_fd_drain(fd);
}

static void unblock_workers(struct vhu_session *session)
{
	for (unsigned i = 0; i < session->device->n_queues; i++)
		unblock(session->device->vrings[i].call_fd);
	unblock(session->log_fd);
}

/* Again and again until the end: a hostile peer fills it anew. */
static void unblock_again(void *data, uint32_t events)
{
	struct vhu_session *session = data;

	(void)events;
	unblock_workers(session);
	vhu_source_set_timer(session->unblock_timer, UNBLOCK_NS);
}

static void begin_close(struct vhu_session *session, int error)
{
	if (session->closing)
		return;
	session->closing = true;
	session->close_error = error;
	vhu_source_remove(session->source);
	session->source = NULL;
	vhu_session_lose_postcopy(session);
	if (vhu_loop_add_timer(session->loop, unblock_again, session, &session->unblock_timer) == 0)
		unblock_again(session, 0);
	if (session->awaits_transfer)
		vhu_session_drop_transfer(session);
	if (!session->parked)
		tear_down(session);
}

static void forget_message(struct vhu_session *session)
{
	vhu_receiver_finish(&session->receiver);
	close_fd(&session->reply.fd);
	session->reply.made = false;
	session->reply.size = 0;
	for (unsigned i = 0; i < session->device->n_queues; i++)
		close_fd(&session->jobs[i].fd);
}

static void end(struct vhu_call *call)
{
	struct vhu_session *session = container_of(call, struct vhu_session, close_call);
	vhu_session_closed_fn closed = session->closed;
	void *data = session->closed_data;
	int error = session->close_error;

	vhu_device_unref(session->device);
	free(session);
	closed(data, error);
}

/* Everything has left the rings: what the session owned goes. */
static void torn_down(struct vhu_session *session)
{
	struct vhu_device *device = session->device;

	for (unsigned i = 0; i < device->n_queues; i++)
		vhu_vring_forget(&device->vrings[i]);
	if (device->channel)
		vhu_channel_close(device->channel);
	vhu_device_set_channel(device, NULL);
	vhu_device_set_protocol_features(device, 0);
	device->session = NULL;
	device->memory_faulted = NULL;
	vhu_source_remove(session->unblock_timer);
	forget_message(session);
	vhu_session_drop_transfer(session);
	vhu_memory_unref(session->memory);
	vhu_memory_unref(session->no_memory);
	vhu_dirty_log_unref(session->log);
	if (session->inflight)
		vhu_mapping_unref(session->inflight);
	close_fd(&session->log_fd);
	close_fd(&session->fd);
	session->close_call.fn = end;
	vhu_loop_post(session->loop, &session->close_call);
}

static void complete(struct vhu_session *session, int result)
{
	bool was_parked = session->parked;
	int r;

	session->parked = false;
	if (session->tearing) {
		torn_down(session);
		return;
	}
	r = session->closing ? 0 : answer(session, result);
	forget_message(session);
	if (session->closing)
		tear_down(session);
	else if (r < 0)
		begin_close(session, r);
	else if (was_parked)
		vhu_source_set_events(session->source, EPOLLIN);
}

static int control_gone(struct vhu_session *session)
{
	vhu_device_set_backend_req_fd(session->device, NULL);
	return vhu_device_update_memory(session->device, session->no_memory);
}

static int step_gone(struct vhu_session *session)
{
	return vhu_session_on_control(session, control_gone, vhu_session_step_result);
}

static void tear_down(struct vhu_session *session)
{
	int r;

	session->tearing = true;
	r = vhu_session_stop_rings(session, vhu_session_started(session), VHU_DRAIN_SESSION_GONE,
				   step_gone);
	if (r == VHU_PARKED)
		session->parked = true;
	else
		complete(session, r);
}

/* All that can be said against a message before its handler sees it. */
static int admit(struct vhu_session *session)
{
	struct vhu_message *message = session_message(session);
	const struct vhu_request_rule *rule = session->rule;

	if (!rule)
		return -EOPNOTSUPP;
	if (rule->gate != VHU_NO_GATE && !has_protocol_feature(session, (unsigned)rule->gate))
		return -EPERM;
	if (rule->index != VHU_INDEX_NONE &&
	    vhu_request_index(rule, message) >= session->device->n_queues)
		return -EINVAL;
	return handlers[message->header.request] ? 0 : -EOPNOTSUPP;
}

static void handle_message(struct vhu_session *session)
{
	struct vhu_message *message = session_message(session);
	int r;

	session->rule = vhu_frontend_request_rule(message->header.request);
	r = vhu_request_check(session->rule, message);
	if (r < 0) {
		vhu_error("%s: malformed %s from the front-end; the session ends",
			  session->device->ops->name,
			  session->rule ? session->rule->name : "message");
		begin_close(session, r);
		return;
	}
	vhu_debug("%s: %s", session->device->ops->name,
		  session->rule ? session->rule->name : "unknown request");
	r = admit(session);
	if (r == 0)
		r = handlers[message->header.request](session, message);
	if (r == VHU_PARKED) {
		session->parked = true;
		vhu_source_set_events(session->source, 0);
	} else {
		complete(session, r);
	}
}

static void readable(void *data, uint32_t events)
{
	struct vhu_session *session = data;

	/* While parked only a hang-up is reported. */
	if (session->parked) {
		if (events & (EPOLLHUP | EPOLLERR))
			begin_close(session, 0);
		return;
	}
	for (unsigned i = 0; i < MESSAGES_PER_TURN; i++) {
		int r = vhu_receiver_read(&session->receiver, session->fd);

		if (r == -EAGAIN)
			return;
		if (r < 0) {
			begin_close(session, r == -ECONNRESET && !session->receiver.got ? 0 : r);
			return;
		}
		handle_message(session);
		if (session->parked || session->closing)
			return;
	}
}

static void memory_faulted(void *data)
{
	struct vhu_session *session = data;

	if (session->closing)
		return;
	vhu_error("%s: %s; the session ends", session->device->ops->name,
		  session->memory->health->unlogged ?
			  "the dirty log is too small for a page that was written" :
			  "a file of the front-end's memory was cut short");
	begin_close(session, -EFAULT);
}

static void jobs_init(struct vhu_session *session)
{
	session->control_job.session = session;
	session->control_job.fd = -1;
	session->control_job.errand.back = job_back;
	for (unsigned i = 0; i < session->device->n_queues; i++) {
		session->jobs[i].session = session;
		session->jobs[i].vring = &session->device->vrings[i];
		session->jobs[i].fd = -1;
		session->jobs[i].errand.back = job_back;
	}
}

int vhu_session_new(struct vhu_device *device, struct vhu_loop *loop, int fd,
		    vhu_session_closed_fn closed, void *data, struct vhu_session **ret_session)
{
	struct vhu_session *session = calloc(1, sizeof(*session));
	int r = -ENOMEM;

	if (!session)
		goto fail;
	session->device = device;
	session->loop = loop;
	session->fd = fd;
	session->closed = closed;
	session->closed_data = data;
	session->reply.fd = -1;
	session->log_fd = -1;
	session->userfault = (struct vhu_userfault){ .fd = -1, .empty_fd = -1 };
	vhu_receiver_init(&session->receiver);
	jobs_init(session);
	r = vhu_fd_set_nonblock(fd, true);
	if (r == 0)
		r = vhu_memory_new(&session->no_memory);
	if (r < 0)
		goto fail;
	session->no_memory->health->keeps_files = device->ops->keeps_memory_files;
	session->memory = vhu_memory_ref(session->no_memory);
	r = vhu_loop_add_fd(loop, fd, EPOLLIN, readable, session, &session->source);
	if (r < 0) {
		vhu_memory_unref(session->memory);
		vhu_memory_unref(session->no_memory);
		goto fail;
	}
	vhu_device_ref(device);
	device->session = session;
	device->memory_faulted = memory_faulted;
	*ret_session = session;
	return 0;
fail:
	free(session);
	close(fd);
	return r;
}

void vhu_session_close(struct vhu_session *session)
{
	begin_close(session, 0);
}
