/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_BACKEND_SHARED_H
#define VHU_BACKEND_SHARED_H

/*
 * For devices: what they share with the guest and with other devices by way of the front-end. Any
 * thread; nobody waits. All give -EOPNOTSUPP when the front-end has not taken the feature,
 * -ESHUTDOWN while the device is suspended (no ring runs: the front-end is left alone), -ENOTCONN
 * and -EAGAIN as vhu_channel_call(). Where there is a call it may be NULL, but for a lookup; with
 * one, and for a message without a reply of its own, the front-end must have taken REPLY_ACK.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/backend/channel.h"
#include "common/backend/device.h"

/*
 * Objects known by UUID (vhost-user, VHOST_USER_BACKEND_SHARED_OBJECT_ADD and so on). Who adds one
 * answers for it in get_shared_object. lookup: call->fd is the object, -EREMOTEIO: there is none.
 */
int vhu_device_shared_object_add(struct vhu_device *device, const uint8_t uuid[16]);
int vhu_device_shared_object_remove(struct vhu_device *device, const uint8_t uuid[16]);
int vhu_device_shared_object_lookup(struct vhu_device *device, const uint8_t uuid[16],
				    struct vhu_channel_call *call);

/* A part of a shared memory region (virtio 1.3, 2.10). */
struct vhu_shmem_range {
	uint8_t shmid;
	uint64_t offset, len; /* multiples of the page size */
};

/*
 * Shows len bytes of fd (borrowed) from fd_offset in a free range; takes away what one map has
 * shown. -EINVAL: outside what get_shmem_config said, or no whole pages. A reset takes all away
 * (vhost-user, VHOST_USER_BACKEND_SHMEM_MAP).
 */
int vhu_device_shmem_map(struct vhu_device *device, const struct vhu_shmem_range *range, int fd,
			 uint64_t fd_offset, bool writable, struct vhu_channel_call *call);
int vhu_device_shmem_unmap(struct vhu_device *device, const struct vhu_shmem_range *range,
			   struct vhu_channel_call *call);

/*
 * The page of fd (borrowed) at offset becomes the place where the driver notifies of the queue,
 * without us and without the front-end; fd -1: no longer (vhost-user,
 * VHOST_USER_BACKEND_VRING_HOST_NOTIFIER_MSG). -EINVAL: no such queue, or not a page's offset.
 */
int vhu_device_set_host_notifier(struct vhu_device *device, unsigned queue, int fd,
				 uint64_t offset, struct vhu_channel_call *call);

#endif
