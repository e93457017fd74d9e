/* SPDX-License-Identifier: BSD-3-Clause */
#include "common/backend/vring.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include "common/backend/miss.h"
#include "common/backend/slots.h"
#include "common/backend/worker.h"
#include "common/base/cleanup.h"
#include "common/base/fd.h"
#include "common/ring/iommu.h"
#include "common/wire/protocol.h"

struct vhu_vring *vhu_device_vring(struct vhu_device *device, unsigned queue)
{
	return queue < device->n_queues ? &device->vrings[queue] : NULL;
}

struct vhu_chain *vhu_vring_pop(struct vhu_vring *vring)
{
	struct vhu_chain *chain;

	if (!vring->active || (vring->in_pass && !vring->budget))
		return NULL;
	chain = vhu_virtqueue_pop(&vring->queue);
	if (chain)
		vring->budget--;
	else if (vring->queue.missed.access)
		vhu_vring_park(vring);
	return chain;
}

/* A device without a drain slot has nothing in flight between two events. */
static void check_drained(struct vhu_vring *vring)
{
	struct vhu_errand *errand = vring->draining;

	if (!errand || (vring->queue.in_flight && vring->device->ops->drain))
		return;
	vring->draining = NULL;
	vhu_vring_notify(vring);
	vhu_errand_done(errand, 0);
}

void vhu_vring_unpop(struct vhu_vring *vring, struct vhu_chain *chain)
{
	vhu_virtqueue_unpop(&vring->queue, chain);
	if (vring->draining)
		check_drained(vring);
}

int vhu_vring_translate(struct vhu_vring *vring, uint64_t address, uint64_t len, uint8_t access,
			struct iovec *iov, size_t max)
{
	return vhu_virtqueue_translate(&vring->queue, address, len, access, iov, max);
}

void vhu_vring_put_off(struct vhu_vring *vring, struct vhu_chain *chain)
{
	vhu_virtqueue_unpop(&vring->queue, chain);
	vhu_vring_park(vring);
	if (vring->draining)
		check_drained(vring);
}

void vhu_vring_push(struct vhu_vring *vring, struct vhu_chain *chain, uint32_t written)
{
	vhu_virtqueue_push(&vring->queue, chain, written);
	vhu_counter_add(&vring->requests, 1);
	if (vring->in_pass && vring->pushed++ % VHU_VRING_NOTIFY_EACH == 0 &&
	    !vring->device->ops->calls_once)
		vhu_vring_notify(vring);
	if (vring->draining)
		check_drained(vring);
}

void vhu_vring_leave(struct vhu_vring *vring, struct vhu_chain *chain)
{
	vhu_virtqueue_leave(&vring->queue, chain);
	if (vring->draining)
		check_drained(vring);
}

void vhu_vring_notify(struct vhu_vring *vring)
{
	if (!vring->live || !vhu_virtqueue_publish(&vring->queue))
		return;
	if (vring->call.fd >= 0)
		vhu_notifier_signal(&vring->call);
	else if (vring->calls_inband)
		vhu_inband_tell(vring->device, VHU_INBAND_CALL, vring->index);
	else
		return;
	vhu_counter_add(&vring->calls, 1);
}

void vhu_vring_init(struct vhu_vring *vring, struct vhu_device *device, unsigned index)
{
	memset(vring, 0, sizeof(*vring));
	vring->device = device;
	vring->index = index;
	vring->kick_fd = vring->call_fd = vring->call.fd = vring->err.fd = -1;
	vhu_virtqueue_init(&vring->queue);
}

void vhu_vring_forget(struct vhu_vring *vring)
{
	vring->call.fd = -1;
	close_fd(&vring->call_fd);
	close_fd(&vring->err.fd);
	memset(&vring->setup, 0, sizeof(vring->setup));
	vring->has_addr = false;
	vring->enabled = false;
	vring->call_was_set = false;
}

void vhu_vring_finish(struct vhu_vring *vring)
{
	vhu_vring_stop(vring);
	vhu_vring_forget(vring);
}

void vhu_vring_break(struct vhu_vring *vring, const char *why)
{
	if (atomic_exchange(&vring->broken, true))
		return;
	vhu_vring_set_active(vring, false);
	vhu_log_limited(&vring->log_limit, VHU_LOG_ERROR,
			"%s: queue %u is broken (%s); it rests until the driver resets the device",
			vring->device->ops->name, vring->index, why);
	if (vring->err.fd < 0 && vring->errs_inband)
		vhu_inband_tell(vring->device, VHU_INBAND_ERR, vring->index);
	else
		vhu_notifier_signal(&vring->err);
}

static void kicked(void *data, uint32_t events)
{
	struct vhu_vring *vring = data;

	(void)events;
	vhu_worker_wake_ring(vring->worker, vring->index);
}

/*
 * Edge-triggered, and never read: each write of the driver is an edge, which spares a system call a
 * kick.
 */
int vhu_vring_watch_kick(struct vhu_vring *vring)
{
	vhu_source_remove(vring->kick_source);
	vring->kick_source = NULL;
	if (!vring->live || vring->kick_fd < 0)
		return 0;
	return vhu_loop_add_fd(vring->worker->loop, vring->kick_fd, EPOLLIN | EPOLLET, kicked,
			       vring, &vring->kick_source);
}

static const char *why_not_started(int error)
{
	switch (error) {
	case -EFAULT:
		return "its addresses do not lie in guest memory";
	case -EBADMSG:
		return "its in-flight record is damaged";
	case -EINVAL:
		return "its size, base or alignment is not one of its layout";
	default:
		return strerror(-error);
	}
}

static int start_queue(struct vhu_vring *vring, struct vhu_memory *memory)
{
	int r = vhu_virtqueue_start(&vring->queue, &vring->setup, memory);

	if (r < 0)
		vhu_vring_break(vring, why_not_started(r));
	else if (vring->setup.inflight.record && !vring->queue.inflight)
		vhu_log_limited(&vring->log_limit, VHU_LOG_WARNING,
				"%s: queue %u has more entries than the in-flight record: what is "
				"in flight when the program is killed may be lost",
				vring->device->ops->name, vring->index);
	return r;
}

int vhu_vring_start(struct vhu_vring *vring, struct vhu_memory *memory)
{
	bool iommu = vring->setup.features & VHU_BIT(VHU_F_ACCESS_PLATFORM);
	int r;

	vring->setup.iotlb = iommu ? vhu_worker_start_iotlb(vring->worker) : NULL;
	if (iommu && !vring->setup.iotlb) {
		vhu_vring_break(vring, "no memory for its IOTLB");
		return -ENOMEM;
	}
	r = start_queue(vring, memory);
	if (r < 0)
		return r;
	vring->live = true;
	vring->malformed_told = 0;
	r = vhu_vring_watch_kick(vring);
	if (r < 0)
		vhu_vring_break(vring, "its kick fd cannot be watched");
	return r;
}

int vhu_vring_restart(struct vhu_vring *vring, struct vhu_memory *memory)
{
	int r;

	if (!vring->live)
		return 0;
	vring->setup.base = vhu_virtqueue_base(&vring->queue);
	vhu_virtqueue_stop(&vring->queue);
	r = start_queue(vring, memory);
	vring->live = r == 0;
	return r;
}

/* At the first activation, not at the start: a reset may come between the two. */
static void begin(struct vhu_vring *vring)
{
	if (vring->begun || !vring->live || vring->broken)
		return;
	/* Who served it before may have died between showing what it had done and the call. */
	if (!vhu_virtqueue_is_new(&vring->queue) && vring->call.fd >= 0)
		vhu_notifier_signal(&vring->call);
	if (vhu_virtqueue_n_again(&vring->queue))
		vhu_log_limited(&vring->log_limit, VHU_LOG_INFO,
				"%s: queue %u: %u requests were in flight and are done again",
				vring->device->ops->name, vring->index,
				vhu_virtqueue_n_again(&vring->queue));
	vring->begun = vhu_device_start(vring->device, vring->index, vring->queue.size) >= 0;
	if (!vring->begun)
		vhu_vring_break(vring, "the device cannot serve it");
}

void vhu_vring_set_active(struct vhu_vring *vring, bool active)
{
	struct vhu_worker *worker = vring->worker;
	uint64_t bit = VHU_BIT(vring->index);

	if (active)
		begin(vring);
	vring->on = active;
	vring->active = active && vring->live && !vring->broken && !vring->asked.access &&
			!worker->exited;
	worker->active &= ~bit;
	worker->kickless &= ~bit;
	if (!vring->active)
		return;
	worker->active |= bit;
	if (vring->kick_fd < 0 && !vring->kicks_inband)
		worker->kickless |= bit;
	vhu_worker_wake_ring(worker, vring->index);
}

/*
 * Requests of the last run that are not popped yet are in flight, too: whoever goes on without the
 * record would know nothing of them.
 */
static void take_up_last_run(struct vhu_vring *vring)
{
	uint32_t left = vhu_virtqueue_n_again(&vring->queue), before;

	/* It may have been disabled before its first pass. */
	if (left)
		vhu_vring_set_active(vring, true);
	do {
		before = left;
		if (!left || !vring->active)
			return;
		vhu_vring_process(vring);
		left = vhu_virtqueue_n_again(&vring->queue);
	} while (left < before);
}

void vhu_vring_stop(struct vhu_vring *vring)
{
	if (vring->live) {
		vring->setup.base = vhu_virtqueue_base(&vring->queue);
		/* The front-end is not told that all went well. */
		if (vhu_memory_faulted(vring->queue.memory))
			vhu_worker_memory_faulted(vring->worker);
	}
	if (vring->worker)
		vhu_vring_set_active(vring, false);
	vhu_source_remove(vring->kick_source);
	vring->kick_source = NULL;
	vhu_vring_forget_miss(vring);
	vhu_vring_set_channel(vring, NULL);
	vhu_virtqueue_stop(&vring->queue);
	close_fd(&vring->kick_fd);
	vring->call.fd = -1;
	vring->live = vring->begun = false;
	atomic_store(&vring->broken, false);
}

static void tell_malformed(struct vhu_vring *vring)
{
	if (vring->queue.malformed == vring->malformed_told)
		return;
	vhu_log_limited(&vring->log_limit, VHU_LOG_WARNING,
			"%s: queue %u: malformed request returned unserved (%s)",
			vring->device->ops->name, vring->index, vring->queue.why_malformed);
	vring->malformed_told = vring->queue.malformed;
}

/* What a pass has come to. Of memory that is gone nothing can be said but that. */
static void judge(struct vhu_vring *vring, int result)
{
	if (vhu_memory_faulted(vring->queue.memory)) {
		vhu_vring_set_active(vring, false);
		vhu_worker_memory_faulted(vring->worker);
		return;
	}
	tell_malformed(vring);
	if (vring->queue.broken)
		vhu_vring_break(vring, vring->queue.why_broken);
	else if (result < 0)
		vhu_vring_break(vring, strerror(-result));
}

static void end_pass(struct vhu_vring *vring, int result)
{
	vring->in_pass = false;
	vring->queue.denied.access = 0;
	vhu_counter_add(&vring->passes, 1);
	vhu_vring_notify(vring);
	if (result == -EFAULT)
		vhu_memory_note_fault(vring->queue.memory);
	judge(vring, result);
}

static void begin_pass(struct vhu_vring *vring, unsigned budget)
{
	vring->budget = budget;
	vring->pushed = 0;
	vring->in_pass = true;
	vring->queue.cut_short = false;
}

bool vhu_vring_process(struct vhu_vring *vring)
{
	uint64_t malformed = vring->queue.malformed;
	bool more, moved;
	int r;

	vhu_virtqueue_disable_kicks(&vring->queue);
	begin_pass(vring, VHU_VRING_BUDGET);
	r = vhu_device_handle_event(vring->device, vring->index, EPOLLIN, vring->worker->index);
	/* Else a malformed one waits for others that the device does not take yet. */
	moved = vring->pushed || vring->queue.malformed != malformed;
	more = !vring->budget || (vring->queue.cut_short && moved);
	end_pass(vring, r);
	return more;
}

/* The front-end waits: a driver that goes on giving buffers does not hold it up. */
void vhu_vring_rest(struct vhu_vring *vring)
{
	if (vring->active) {
		begin_pass(vring, vring->queue.size);
		vhu_device_farewell(vring->device, vring->index);
		end_pass(vring, 0);
	}
	vhu_vring_set_active(vring, false);
}

void vhu_vring_drain(struct vhu_vring *vring, enum vhu_drain_reason reason,
		     struct vhu_errand *errand)
{
	if (reason == VHU_DRAIN_SUSPEND && !vring->queue.inflight)
		reason = VHU_DRAIN_STOP;
	if (reason == VHU_DRAIN_STOP)
		take_up_last_run(vring);
	if (reason == VHU_DRAIN_STOP || reason == VHU_DRAIN_SUSPEND)
		vhu_vring_rest(vring);
	vhu_vring_set_active(vring, false);
	if (!vring->live || !vring->begun) {
		vhu_errand_done(errand, 0);
		return;
	}
	vhu_device_drain(vring->device, vring->index, reason);
	vring->draining = errand;
	check_drained(vring);
}
