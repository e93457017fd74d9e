/* SPDX-License-Identifier: BSD-3-Clause */
#include "common/backend/miss.h"

#include <errno.h>

#include "common/backend/channel.h"
#include "common/backend/worker.h"
#include "common/base/num.h"
#include "common/ring/iommu.h"
#include "common/wire/protocol.h"

#define PAGE_BYTES 4096u
/* While the channel's queue is full. */
#define RETRY_NS NS_PER_MS

/* Made at first use. */
static struct vhu_iotlb *iotlb_of(struct vhu_worker *worker)
{
	if (!worker->iotlb)
		worker->iotlb = vhu_iotlb_new();
	return worker->iotlb;
}

/*
 * A front-end need not tell of what changes in its IOMMU while no ring runs, and QEMU does not. So
 * what is there from before is not believed, be it an answer that came after the last ring stopped.
 */
struct vhu_iotlb *vhu_worker_start_iotlb(struct vhu_worker *worker)
{
	struct vhu_iotlb *iotlb = iotlb_of(worker);

	for (uint64_t left = worker->queues; left; left &= left - 1)
		if (worker->device->vrings[__builtin_ctzll(left)].live)
			return iotlb;
	if (iotlb)
		vhu_iotlb_clear(iotlb);
	return iotlb;
}

static int tell_front_end(struct vhu_vring *vring, enum vhu_iotlb_type type)
{
	struct vhu_iotlb_msg msg = {
		.iova = vring->asked.iova,
		.perm = vring->asked.access,
		.type = type,
	};

	return vring->channel ? vhu_channel_send(vring->channel, VHU_BACKEND_IOTLB_MSG, &msg,
						 sizeof(msg))
			      : -ENOTCONN;
}

static void unpark(struct vhu_vring *vring)
{
	vring->asked.access = 0;
	vhu_source_set_timer(vring->asked_timer, 0);
	vhu_vring_set_active(vring, vring->on);
}

/*
 * Does another ring of this worker wait for the same page? An answer that comes when the guest has
 * taken the page back is a fault in its IOMMU's log: nothing is asked for twice.
 */
static bool is_asked_for(const struct vhu_vring *vring)
{
	uint64_t others = vring->worker->queues & ~VHU_BIT(vring->index);

	for (; others; others &= others - 1) {
		const struct vhu_vring *other =
			&vring->device->vrings[__builtin_ctzll(others)];

		if (other->asked_sent && other->channel == vring->channel &&
		    other->asked.access == vring->asked.access &&
		    other->asked.iova / PAGE_BYTES == vring->asked.iova / PAGE_BYTES)
			return true;
	}
	return false;
}

/* A channel that is closed may be followed by another one soon, and then it is asked for there. */
static void ask(struct vhu_vring *vring)
{
	int r = is_asked_for(vring) ? 0 : tell_front_end(vring, VHU_IOTLB_MISS);

	vring->asked_sent = r == 0;
	vhu_source_set_timer(vring->asked_timer,
			     r == -EAGAIN ? RETRY_NS : vring->worker->miss_patience_ns);
}

/* What was asked for on the old one may never have been read. */
void vhu_vring_set_channel(struct vhu_vring *vring, struct vhu_channel *channel)
{
	struct vhu_channel *old = vring->channel;

	vring->channel = channel ? vhu_channel_ref(channel) : NULL;
	vhu_channel_unref(old);
	vring->asked_sent = false;
	if (vring->asked.access)
		ask(vring);
}

static void waited(void *data, uint32_t events)
{
	struct vhu_vring *vring = data;

	(void)events;
	if (vhu_now_ns() < vring->asked_until_ns) {
		ask(vring);
		return;
	}
	vring->asked.access = 0;
	vhu_vring_break(vring, "the front-end does not answer an IOTLB miss");
}

void vhu_vring_park(struct vhu_vring *vring)
{
	if (!vring->asked_timer && vhu_loop_add_timer(vring->worker->loop, waited, vring,
						      &vring->asked_timer) < 0) {
		vhu_vring_break(vring, "no timer for an IOTLB miss");
		return;
	}
	vring->asked = vring->queue.missed;
	vring->asked_sent = false;
	vring->asked_until_ns = vhu_now_ns() + vring->worker->miss_patience_ns;
	vring->queue.missed.access = 0;
	vhu_vring_set_active(vring, vring->on);
	ask(vring);
}

void vhu_vring_forget_miss(struct vhu_vring *vring)
{
	vring->asked.access = 0;
	vhu_source_remove(vring->asked_timer);
	vring->asked_timer = NULL;
}

static bool is_allowed(const struct vhu_vring *vring)
{
	const struct vhu_iotlb_miss *asked = &vring->asked;

	return asked->access &&
	       vhu_iotlb_allows(vring->worker->iotlb, asked->iova, asked->access);
}

void vhu_vring_deny(struct vhu_vring *vring)
{
	if (!vring->asked.access)
		return;
	tell_front_end(vring, VHU_IOTLB_ACCESS_FAIL);
	vring->queue.denied = vring->asked;
	unpark(vring);
}

/* What the update brought may be what rings wait for, or no more than a part of it. */
static void answer(struct vhu_worker *worker, uint64_t first, uint64_t last)
{
	for (uint64_t left = worker->queues; left; left &= left - 1) {
		struct vhu_vring *vring = &worker->device->vrings[__builtin_ctzll(left)];

		if (is_allowed(vring)) {
			unpark(vring);
			worker->iotlb_answered = true;
		} else if (vring->asked.access && vring->asked.iova >= first &&
			   vring->asked.iova <= last) {
			worker->iotlb_denied |= VHU_BIT(vring->index);
		}
	}
}

static uint64_t rings_using(struct vhu_worker *worker, uint64_t first, uint64_t last)
{
	uint64_t rings = 0;

	for (uint64_t left = worker->queues; left; left &= left - 1) {
		const struct vhu_vring *vring = &worker->device->vrings[__builtin_ctzll(left)];

		if (vring->live && vhu_virtqueue_uses(&vring->queue, first, last))
			rings |= VHU_BIT(vring->index);
	}
	/* Where something was forgotten, those are all that have anything in flight. */
	worker->iotlb->evicted = false;
	return rings;
}

int vhu_worker_iotlb_told(struct vhu_worker *worker, const struct vhu_iotlb_msg *msg)
{
	struct vhu_iotlb *iotlb = iotlb_of(worker);
	uint64_t first = msg->iova, last = vhu_iotlb_last(&first, msg->size);
	bool update = msg->type == VHU_IOTLB_UPDATE;
	int r;

	worker->iotlb_users = worker->iotlb_denied = 0;
	worker->iotlb_answered = false;
	if (!iotlb)
		return -ENOMEM;
	if (!update || vhu_iotlb_contradicts(iotlb, msg->iova, msg->size, msg->uaddr, msg->perm))
		worker->iotlb_users = rings_using(worker, first, last);
	if (!update) {
		vhu_iotlb_invalidate(iotlb, first, last);
		return 0;
	}
	r = vhu_iotlb_update(iotlb, msg->iova, msg->size, msg->uaddr, msg->perm);
	if (r == 0)
		answer(worker, first, last);
	return r;
}

void vhu_vring_look_again(struct vhu_vring *vring)
{
	if (vring->live)
		vhu_virtqueue_forget_areas(&vring->queue);
}
