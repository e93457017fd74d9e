/* SPDX-License-Identifier: BSD-3-Clause */
#include "common/backend/shared.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "common/wire/payload.h"
#include "common/wire/protocol.h"

/* Sends when the front-end has taken all of those protocol features. */
static int tell(struct vhu_device *device, uint64_t needed, uint32_t request, const void *payload,
		uint32_t payload_bytes, int fd, struct vhu_channel_call *call)
{
	struct vhu_channel *channel = NULL;
	int r = 0;

	pthread_mutex_lock(&device->link_mutex);
	if (!device->channel)
		r = -ENOTCONN;
	else if (needed & ~device->acked_protocol_features)
		r = -EOPNOTSUPP;
	else if (!device->running)
		r = -ESHUTDOWN;
	else
		channel = vhu_channel_ref(device->channel);
	pthread_mutex_unlock(&device->link_mutex);
	if (r == 0)
		r = vhu_channel_call(channel, request, payload, payload_bytes, fd, call);
	vhu_channel_unref(channel);
	return r;
}

/* What a message needs that has no reply of its own. */
static uint64_t needed_for(enum vhu_protocol_feature feature, int fd,
			   const struct vhu_channel_call *call)
{
	return VHU_BIT(feature) | (fd >= 0 ? VHU_BIT(VHU_PROTOCOL_F_BACKEND_SEND_FD) : 0) |
	       (call ? VHU_BIT(VHU_PROTOCOL_F_REPLY_ACK) : 0);
}

int vhu_device_shared_object_add(struct vhu_device *device, const uint8_t uuid[16])
{
	return tell(device, VHU_BIT(VHU_PROTOCOL_F_SHARED_OBJECT),
		    VHU_BACKEND_SHARED_OBJECT_ADD, uuid, 16, -1, NULL);
}

int vhu_device_shared_object_remove(struct vhu_device *device, const uint8_t uuid[16])
{
	return tell(device, VHU_BIT(VHU_PROTOCOL_F_SHARED_OBJECT),
		    VHU_BACKEND_SHARED_OBJECT_REMOVE, uuid, 16, -1, NULL);
}

int vhu_device_shared_object_lookup(struct vhu_device *device, const uint8_t uuid[16],
				    struct vhu_channel_call *call)
{
	return tell(device, VHU_BIT(VHU_PROTOCOL_F_SHARED_OBJECT),
		    VHU_BACKEND_SHARED_OBJECT_LOOKUP, uuid, 16, -1, call);
}

static bool is_whole_pages(uint64_t bytes)
{
	return bytes % (uint64_t)sysconf(_SC_PAGESIZE) == 0;
}

static bool range_is_ours(const struct vhu_device *device, const struct vhu_shmem_range *range)
{
	return device->shmem_bytes && range->len && is_whole_pages(range->offset) &&
	       is_whole_pages(range->len) &&
	       range_fits(range->offset, range->len, device->shmem_bytes[range->shmid]);
}

int vhu_device_shmem_map(struct vhu_device *device, const struct vhu_shmem_range *range, int fd,
			 uint64_t fd_offset, bool writable, struct vhu_channel_call *call)
{
	struct vhu_shmem_map map = {
		.shmid = range->shmid,
		.fd_offset = fd_offset,
		.shm_offset = range->offset,
		.len = range->len,
		.flags = writable ? VHU_SHMEM_MAP_WRITABLE : 0,
	};

	if (fd < 0 || !range_is_ours(device, range) || !is_whole_pages(fd_offset) ||
	    !range_fits(fd_offset, range->len, INT64_MAX))
		return -EINVAL;
	return tell(device, needed_for(VHU_PROTOCOL_F_SHMEM, fd, call), VHU_BACKEND_SHMEM_MAP,
		    &map, sizeof(map), fd, call);
}

int vhu_device_shmem_unmap(struct vhu_device *device, const struct vhu_shmem_range *range,
			   struct vhu_channel_call *call)
{
	struct vhu_shmem_map map = {
		.shmid = range->shmid,
		.shm_offset = range->offset,
		.len = range->len,
	};

	if (!range_is_ours(device, range))
		return -EINVAL;
	return tell(device, needed_for(VHU_PROTOCOL_F_SHMEM, -1, call), VHU_BACKEND_SHMEM_UNMAP,
		    &map, sizeof(map), -1, call);
}

int vhu_device_set_host_notifier(struct vhu_device *device, unsigned queue, int fd,
				 uint64_t offset, struct vhu_channel_call *call)
{
	struct vhu_vring_area area = {
		.value = queue | (fd < 0 ? VHU_VRING_NO_FD : 0),
		.size = fd < 0 ? 0 : (uint64_t)sysconf(_SC_PAGESIZE),
		.offset = offset,
	};

	if (queue >= device->n_queues || !is_whole_pages(offset))
		return -EINVAL;
	return tell(device, needed_for(VHU_PROTOCOL_F_HOST_NOTIFIER, fd, call),
		    VHU_BACKEND_VRING_HOST_NOTIFIER_MSG, &area, sizeof(area), fd, call);
}
