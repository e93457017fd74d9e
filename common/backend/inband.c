/* SPDX-License-Identifier: BSD-3-Clause */
#include "common/backend/inband.h"

#include "common/backend/channel.h"
#include "common/backend/device.h"
#include "common/backend/slots.h"
#include "common/wire/protocol.h"

static const uint32_t requests[VHU_INBAND_KINDS] = {
	[VHU_INBAND_CALL] = VHU_BACKEND_VRING_CALL,
	[VHU_INBAND_ERR] = VHU_BACKEND_VRING_ERR,
};

static void flush(struct vhu_device *device)
{
	for (unsigned kind = 0; device->channel && kind < VHU_INBAND_KINDS; kind++) {
		uint64_t due = atomic_exchange(&device->inband.due[kind], 0);

		if (due)
			vhu_channel_notify(device->channel, requests[kind], due);
	}
}

static void posted(struct vhu_call *call)
{
	struct vhu_device *device = container_of(call, struct vhu_device, inband.call);

	atomic_flag_clear(&device->inband.posted);
	flush(device);
	vhu_device_unref(device);
}

void vhu_inband_offer(struct vhu_device *device)
{
	device->protocol_features |= VHU_BIT(VHU_PROTOCOL_F_INBAND_NOTIFICATIONS);
}

void vhu_inband_init(struct vhu_inband *inband)
{
	inband->call.fn = posted;
}

void vhu_inband_tell(struct vhu_device *device, enum vhu_inband_kind kind, unsigned queue)
{
	atomic_fetch_or(&device->inband.due[kind], VHU_BIT(queue));
	vhu_device_post(device, &device->inband.posted, &device->inband.call);
}

void vhu_inband_stopped(struct vhu_device *device, unsigned queue)
{
	uint64_t due[VHU_INBAND_KINDS];

	for (unsigned kind = 0; kind < VHU_INBAND_KINDS; kind++) {
		due[kind] = atomic_fetch_and(&device->inband.due[kind], ~VHU_BIT(queue));
		if (device->channel)
			due[kind] |= vhu_channel_withdraw(device->channel, requests[kind],
							  VHU_BIT(queue));
	}
	device->inband.owed |= due[VHU_INBAND_CALL] & VHU_BIT(queue);
}

void vhu_inband_started(struct vhu_device *device, unsigned queue)
{
	if (!(device->inband.owed & VHU_BIT(queue)))
		return;
	device->inband.owed &= ~VHU_BIT(queue);
	vhu_inband_tell(device, VHU_INBAND_CALL, queue);
}

void vhu_inband_move(struct vhu_device *device, struct vhu_channel *old)
{
	for (unsigned kind = 0; kind < VHU_INBAND_KINDS; kind++) {
		uint64_t left = old ? vhu_channel_withdraw(old, requests[kind], UINT64_MAX) : 0;

		if (device->channel)
			atomic_fetch_or(&device->inband.due[kind], left);
		else
			atomic_store(&device->inband.due[kind], 0);
	}
	if (!device->channel)
		device->inband.owed = 0;
	flush(device);
}
