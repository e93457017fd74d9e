/* SPDX-License-Identifier: BSD-3-Clause */
#include "common/backend/device.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/backend/channel.h"
#include "common/backend/slots.h"
#include "common/backend/vring.h"
#include "common/backend/worker.h"
#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "common/base/num.h"
#include "common/memory/userfault.h"
#include "common/wire/payload.h"
#include "common/wire/protocol.h"

/* What the rings and the transport can do, whatever the device (virtio 1.3, 6). */
#define RING_FEATURES \
	(VHU_BIT(VHU_F_RING_INDIRECT_DESC) | VHU_BIT(VHU_F_RING_EVENT_IDX) | \
	 VHU_BIT(VHU_F_PROTOCOL_FEATURES) | VHU_BIT(VHU_F_VERSION_1) | \
	 VHU_BIT(VHU_F_LOG_ALL) | VHU_BIT(VHU_F_RING_PACKED) | VHU_BIT(VHU_F_ACCESS_PLATFORM))
/* Bits that are the framework's to offer or not, never a device's. */
#define RESERVED_FEATURES \
	(RING_FEATURES | VHU_BIT(VHU_F_IN_ORDER) | VHU_BIT(VHU_F_RING_RESET))

#define BASE_PROTOCOL_FEATURES \
	(VHU_BIT(VHU_PROTOCOL_F_MQ) | VHU_BIT(VHU_PROTOCOL_F_LOG_SHMFD) | \
	 VHU_BIT(VHU_PROTOCOL_F_REPLY_ACK) | \
	 VHU_BIT(VHU_PROTOCOL_F_BACKEND_REQ) | VHU_BIT(VHU_PROTOCOL_F_RESET_DEVICE) | \
	 VHU_BIT(VHU_PROTOCOL_F_CONFIGURE_MEM_SLOTS) | VHU_BIT(VHU_PROTOCOL_F_STATUS) | \
	 VHU_BIT(VHU_PROTOCOL_F_INFLIGHT_SHMFD) | \
	 VHU_BIT(VHU_PROTOCOL_F_GET_VRING_BASE_INFLIGHT))

static void lock_init(struct vhu_device *device)
{
	if (device->ops->locking == VHU_LOCK_MUTEX)
		pthread_mutex_init(&device->lock.mutex, NULL);
	else if (device->ops->locking == VHU_LOCK_RWLOCK)
		pthread_rwlock_init(&device->lock.rwlock, NULL);
}

static void lock_finish(struct vhu_device *device)
{
	if (device->ops->locking == VHU_LOCK_MUTEX)
		pthread_mutex_destroy(&device->lock.mutex);
	else if (device->ops->locking == VHU_LOCK_RWLOCK)
		pthread_rwlock_destroy(&device->lock.rwlock);
}

static uint64_t all_queues(const struct vhu_device *device)
{
	return UINT64_MAX >> (VHU_MAX_QUEUES - device->n_queues);
}

/* Every queue must be in exactly one mask. */
static unsigned ask_masks(struct vhu_device *device, uint64_t masks[VHU_MAX_WORKERS])
{
	uint64_t seen = 0;
	unsigned n = 1;

	masks[0] = all_queues(device);
	if (device->ops->queues_per_thread)
		n = device->ops->queues_per_thread(device, masks);
	if (n == 0 || n > VHU_MAX_WORKERS)
		return 0;
	for (unsigned i = 0; i < n; i++) {
		if (!masks[i] || masks[i] & seen)
			return 0;
		seen |= masks[i];
	}
	return seen == all_queues(device) ? n : 0;
}

static bool constants_fit(const struct vhu_device *device)
{
	return device->n_queues >= 1 && device->n_queues <= VHU_MAX_QUEUES &&
	       is_pow2(device->queue_size_max) &&
	       device->queue_size_max <= VHU_VIRTQUEUE_MAX_SIZE;
}

static void finish_parts(struct vhu_device *device)
{
	/* Threads first: nobody may look at a ring that goes. */
	for (unsigned i = 0; i < device->n_workers; i++)
		if (device->workers[i].running)
			vhu_loop_stop(device->workers[i].loop);
	for (unsigned i = 0; i < device->n_workers; i++) {
		if (device->workers[i].running)
			pthread_join(device->workers[i].thread, NULL);
		device->workers[i].running = false;
	}
	for (unsigned i = 0; device->vrings && i < device->n_queues; i++)
		vhu_vring_finish(&device->vrings[i]);
	for (unsigned i = 0; i < device->n_workers; i++)
		vhu_worker_finish(&device->workers[i]);
	free(device->workers);
	free(device->vrings);
	free(device->shmem_bytes);
	pthread_mutex_destroy(&device->link_mutex);
	lock_finish(device);
}

static int make_workers(struct vhu_device *device, const uint64_t *masks, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		int r = vhu_worker_init(&device->workers[i], device, i, masks[i]);

		if (r < 0)
			return r;
		device->n_workers = i + 1;
		for (unsigned q = 0; q < device->n_queues; q++)
			if (masks[i] & VHU_BIT(q))
				device->vrings[q].worker = &device->workers[i];
	}
	return 0;
}

static void send_config_change(struct vhu_device *device)
{
	device->config_pending = true;
	if (!device->channel || !device->running ||
	    !(device->acked_protocol_features & VHU_BIT(VHU_PROTOCOL_F_CONFIG)))
		return;
	if (vhu_channel_send(device->channel, VHU_BACKEND_CONFIG_CHANGE_MSG, NULL, 0) == 0)
		device->config_pending = false;
}

static void config_change_posted(struct vhu_call *call)
{
	struct vhu_device *device = container_of(call, struct vhu_device, config_call);

	atomic_flag_clear(&device->config_posted);
	send_config_change(device);
	vhu_device_unref(device);
}

static void fault_posted(struct vhu_call *call)
{
	struct vhu_device *device = container_of(call, struct vhu_device, fault_call);

	atomic_flag_clear(&device->fault_posted);
	if (device->memory_faulted)
		device->memory_faulted(device->session);
	vhu_device_unref(device);
}

static uint64_t ask_features(struct vhu_device *device)
{
	uint64_t bits = RING_FEATURES;

	if (device->ops->completes_in_order)
		bits |= VHU_BIT(VHU_F_IN_ORDER);
	return (device->ops->features(device) & ~RESERVED_FEATURES) | bits;
}

static uint64_t ask_protocol_features(struct vhu_device *device)
{
	const struct vhu_device_ops *ops = device->ops;
	uint64_t bits = BASE_PROTOCOL_FEATURES;

	if (ops->get_config)
		bits |= VHU_BIT(VHU_PROTOCOL_F_CONFIG);
	if (vhu_userfault_available())
		bits |= VHU_BIT(VHU_PROTOCOL_F_PAGEFAULT);
	if (ops->get_shared_object)
		bits |= VHU_BIT(VHU_PROTOCOL_F_SHARED_OBJECT);
	if ((ops->set_device_state_fd && ops->check_device_state) || (ops->save && ops->load))
		bits |= VHU_BIT(VHU_PROTOCOL_F_DEVICE_STATE);
	if (ops->get_shmem_config)
		bits |= VHU_BIT(VHU_PROTOCOL_F_SHMEM) | VHU_BIT(VHU_PROTOCOL_F_BACKEND_SEND_FD);
	if (ops->gives_host_notifiers)
		bits |= VHU_BIT(VHU_PROTOCOL_F_HOST_NOTIFIER) |
			VHU_BIT(VHU_PROTOCOL_F_BACKEND_SEND_FD);
	return ops->protocol_features ? bits & ops->protocol_features(device) : bits;
}

int vhu_device_init(struct vhu_device *device, const struct vhu_device_ops *ops)
{
	uint64_t masks[VHU_MAX_WORKERS] = { 0 };
	unsigned n_workers;
	int r;

	memset(device, 0, sizeof(*device));
	device->ops = ops;
	atomic_init(&device->refs, 1);
	device->n_queues = ops->num_queues(device);
	device->queue_size_max = ops->max_queue_size(device);
	if (!constants_fit(device))
		return -EINVAL;
	device->features = ask_features(device);
	device->protocol_features = ask_protocol_features(device);
	n_workers = ask_masks(device, masks);
	if (!n_workers || (ops->locking == VHU_LOCK_WORKER && n_workers > 1))
		return -EINVAL;

	device->poll_max_ns = VHU_POLL_DEFAULT_NS;
	device->config_call.fn = config_change_posted;
	device->fault_call.fn = fault_posted;
	vhu_inband_init(&device->inband);
	lock_init(device);
	pthread_mutex_init(&device->link_mutex, NULL);
	device->vrings = calloc(device->n_queues, sizeof(*device->vrings));
	device->workers = calloc(n_workers, sizeof(*device->workers));
	if (ops->get_shmem_config)
		device->shmem_bytes = calloc(VHU_SHMEM_MAX, sizeof(*device->shmem_bytes));
	if (!device->vrings || !device->workers ||
	    (ops->get_shmem_config && !device->shmem_bytes)) {
		finish_parts(device);
		return -ENOMEM;
	}
	if (ops->get_shmem_config)
		ops->get_shmem_config(device, device->shmem_bytes);
	for (unsigned i = 0; i < device->n_queues; i++)
		vhu_vring_init(&device->vrings[i], device, i);
	r = make_workers(device, masks, n_workers);
	if (r < 0)
		finish_parts(device);
	return r;
}

struct vhu_device *vhu_device_ref(struct vhu_device *device)
{
	atomic_fetch_add_explicit(&device->refs, 1, memory_order_relaxed);
	return device;
}

void vhu_device_unref(struct vhu_device *device)
{
	if (!device || atomic_fetch_sub_explicit(&device->refs, 1, memory_order_acq_rel) != 1)
		return;
	finish_parts(device);
	if (device->ops->destroy)
		device->ops->destroy(device);
}

int vhu_device_attach(struct vhu_device *device, struct vhu_loop *main_loop)
{
	device->main_loop = main_loop;
	/* The control thread of a device with a lock. */
	return device->ops->locking == VHU_LOCK_NONE ? 0 : vhu_worker_run(&device->workers[0]);
}

static bool ref_unless_gone(struct vhu_device *device)
{
	unsigned refs = atomic_load(&device->refs);

	while (refs && !atomic_compare_exchange_weak(&device->refs, &refs, refs + 1))
		;
	return refs;
}

void vhu_device_post(struct vhu_device *device, atomic_flag *posted, struct vhu_call *call)
{
	if (!atomic_flag_test_and_set(posted) && ref_unless_gone(device))
		vhu_loop_post(device->main_loop, call);
}

void vhu_device_config_changed(struct vhu_device *device)
{
	if (device->main_loop)
		vhu_device_post(device, &device->config_posted, &device->config_call);
	else
		device->config_pending = true;
}

void vhu_device_set_protocol_features(struct vhu_device *device, uint64_t acked)
{
	pthread_mutex_lock(&device->link_mutex);
	device->acked_protocol_features = acked;
	pthread_mutex_unlock(&device->link_mutex);
}

void vhu_device_set_channel(struct vhu_device *device, struct vhu_channel *channel)
{
	struct vhu_channel *old = device->channel;

	pthread_mutex_lock(&device->link_mutex);
	device->channel = channel ? vhu_channel_ref(channel) : NULL;
	pthread_mutex_unlock(&device->link_mutex);
	vhu_inband_move(device, old);
	vhu_channel_unref(old);
	if (device->config_pending)
		send_config_change(device);
}

void vhu_device_set_running(struct vhu_device *device, bool running)
{
	pthread_mutex_lock(&device->link_mutex);
	device->running = running;
	pthread_mutex_unlock(&device->link_mutex);
	if (device->config_pending)
		send_config_change(device);
}
