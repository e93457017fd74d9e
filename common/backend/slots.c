/* SPDX-License-Identifier: BSD-3-Clause */
#include "common/backend/slots.h"

#include <errno.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/base/num.h"
#include "common/wire/payload.h"

static void lock_write(struct vhu_device *device)
{
	if (device->ops->locking == VHU_LOCK_MUTEX)
		pthread_mutex_lock(&device->lock.mutex);
	else if (device->ops->locking == VHU_LOCK_RWLOCK)
		pthread_rwlock_wrlock(&device->lock.rwlock);
}

static void lock_read(struct vhu_device *device)
{
	if (device->ops->locking == VHU_LOCK_MUTEX)
		pthread_mutex_lock(&device->lock.mutex);
	else if (device->ops->locking == VHU_LOCK_RWLOCK)
		pthread_rwlock_rdlock(&device->lock.rwlock);
}

static void unlock(struct vhu_device *device)
{
	if (device->ops->locking == VHU_LOCK_MUTEX)
		pthread_mutex_unlock(&device->lock.mutex);
	else if (device->ops->locking == VHU_LOCK_RWLOCK)
		pthread_rwlock_unlock(&device->lock.rwlock);
}

void vhu_device_acked_features(struct vhu_device *device, uint64_t features)
{
	if (!device->ops->acked_features)
		return;
	lock_write(device);
	device->ops->acked_features(device, features);
	unlock(device);
}

void vhu_device_reset_device(struct vhu_device *device)
{
	if (!device->ops->reset_device)
		return;
	lock_write(device);
	device->ops->reset_device(device);
	unlock(device);
}

void vhu_device_set_event_idx(struct vhu_device *device, bool enabled)
{
	if (!device->ops->set_event_idx)
		return;
	lock_write(device);
	device->ops->set_event_idx(device, enabled);
	unlock(device);
}

int vhu_device_get_config(struct vhu_device *device, uint32_t offset, uint32_t size, uint8_t *buf)
{
	int r;

	if (!device->ops->get_config)
		return -EOPNOTSUPP;
	if (!range_fits(offset, size, VHU_CONFIG_MAX))
		return -EINVAL;
	memset(buf, 0, size);
	lock_read(device);
	r = device->ops->get_config(device, offset, size, buf);
	unlock(device);
	return r;
}

int vhu_device_set_config(struct vhu_device *device, uint32_t offset, uint32_t size,
			  const uint8_t *buf, uint32_t flags)
{
	int r;

	if (!device->ops->set_config)
		return -EOPNOTSUPP;
	if (!range_fits(offset, size, VHU_CONFIG_MAX) || flags > VHU_CONFIG_MIGRATION)
		return -EINVAL;
	lock_write(device);
	r = device->ops->set_config(device, offset, size, buf, flags);
	unlock(device);
	return r;
}

int vhu_device_update_memory(struct vhu_device *device, struct vhu_memory *memory)
{
	int r;

	if (!device->ops->update_memory)
		return 0;
	lock_write(device);
	r = device->ops->update_memory(device, memory);
	unlock(device);
	return r;
}

void vhu_device_set_backend_req_fd(struct vhu_device *device, struct vhu_channel *channel)
{
	if (!device->ops->set_backend_req_fd)
		return;
	lock_write(device);
	device->ops->set_backend_req_fd(device, channel);
	unlock(device);
}

int vhu_device_get_shared_object(struct vhu_device *device, const uint8_t uuid[16], int *ret_fd)
{
	int r;

	if (!device->ops->get_shared_object)
		return -ENOENT;
	lock_write(device);
	r = device->ops->get_shared_object(device, uuid, ret_fd);
	unlock(device);
	return r;
}

int vhu_device_set_gpu_socket(struct vhu_device *device, int fd)
{
	int r;

	if (!device->ops->set_gpu_socket) {
		close_fd(&fd);
		return -EOPNOTSUPP;
	}
	lock_write(device);
	r = device->ops->set_gpu_socket(device, fd);
	unlock(device);
	return r;
}

int vhu_device_handle_event(struct vhu_device *device, unsigned event_id, uint32_t epoll_events,
			    unsigned worker_idx)
{
	int r;

	lock_write(device);
	r = device->ops->handle_event(device, event_id, epoll_events, worker_idx);
	unlock(device);
	return r;
}

int vhu_device_set_device_state_fd(struct vhu_device *device, uint32_t direction, uint32_t phase,
				   int fd, int *ret_fd)
{
	int r;

	if (!device->ops->set_device_state_fd || direction > 1 || phase != 0) {
		close_fd(&fd);
		return device->ops->set_device_state_fd ? -EINVAL : -EOPNOTSUPP;
	}
	lock_write(device);
	r = device->ops->set_device_state_fd(device, direction, phase, fd, ret_fd);
	unlock(device);
	return r;
}

int vhu_device_check_device_state(struct vhu_device *device)
{
	int r;

	if (!device->ops->check_device_state)
		return -EOPNOTSUPP;
	lock_read(device);
	r = device->ops->check_device_state(device);
	unlock(device);
	return r;
}

int vhu_device_save(struct vhu_device *device, void **ret_bytes, size_t *ret_len)
{
	int r;

	lock_write(device);
	r = device->ops->save(device, ret_bytes, ret_len);
	unlock(device);
	return r;
}

int vhu_device_load(struct vhu_device *device, uint32_t version, const void *bytes, size_t len)
{
	int r;

	lock_write(device);
	r = device->ops->load(device, version, bytes, len);
	unlock(device);
	return r;
}

bool vhu_device_poll(struct vhu_device *device, unsigned worker_idx)
{
	bool found;

	if (!device->ops->poll)
		return false;
	lock_write(device);
	found = device->ops->poll(device, worker_idx);
	unlock(device);
	return found;
}

int vhu_device_start(struct vhu_device *device, unsigned queue, unsigned size)
{
	int r;

	if (!device->ops->start)
		return 0;
	lock_write(device);
	r = device->ops->start(device, queue, size);
	unlock(device);
	return r;
}

void vhu_device_farewell(struct vhu_device *device, unsigned queue)
{
	if (!device->ops->farewell)
		return;
	lock_write(device);
	device->ops->farewell(device, queue);
	unlock(device);
}

void vhu_device_drain(struct vhu_device *device, unsigned queue, enum vhu_drain_reason reason)
{
	if (!device->ops->drain)
		return;
	lock_write(device);
	device->ops->drain(device, queue, reason);
	unlock(device);
}

void vhu_device_suspended(struct vhu_device *device)
{
	if (!device->ops->suspended)
		return;
	lock_write(device);
	device->ops->suspended(device);
	unlock(device);
}

void vhu_device_resumed(struct vhu_device *device)
{
	if (!device->ops->resumed)
		return;
	lock_write(device);
	device->ops->resumed(device);
	unlock(device);
}
