/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/unit/iommu_rig.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/fd.h"
#include "common/base/num.h"

struct rig iommu_rig;

struct vhu_iotlb_msg iommu_asked[IOMMU_MAX_ASKED];
unsigned iommu_n_asked;
bool iommu_packed;

static unsigned queue_each(struct vhu_device *device, uint64_t masks[VHU_MAX_WORKERS])
{
	(void)device;
	masks[0] = 1;
	masks[1] = 2;
	return 2;
}

uint64_t iommu_verdict(int result, struct vhu_message *reply)
{
	uint64_t value;

	assert_int_equal(result, 0);
	value = reply->payload.u64;
	assert_int_equal(reply->header.size, sizeof(value));
	vhu_message_finish(reply);
	return value;
}

uint64_t iommu_tell(const struct vhu_iotlb_msg *msg)
{
	struct vhu_message reply;

	return iommu_verdict(vhu_frontend_call(&iommu_rig.frontend, VHU_IOTLB_MSG, msg,
					       sizeof(*msg), NULL, 0, &reply),
			     &reply);
}

uint64_t iommu_update(uint64_t iova, uint64_t size, unsigned access)
{
	return iommu_tell(&(struct vhu_iotlb_msg){
		.type = VHU_IOTLB_UPDATE,
		.iova = iova,
		.size = size,
		.uaddr = vhu_guest_uaddr(&iommu_rig.frontend.guest, iova),
		.perm = (uint8_t)access,
	});
}

uint64_t iommu_invalidate(uint64_t iova, uint64_t size)
{
	return iommu_tell(&(struct vhu_iotlb_msg){
		.type = VHU_IOTLB_INVALIDATE, .iova = iova, .size = size });
}

void iommu_start(bool both)
{
	struct vhu_device_ops ops = rig_ops();

	if (both)
		ops.queues_per_thread = queue_each;
	rig_start(&iommu_rig, &ops);
	iommu_n_asked = 0;
}

void iommu_negotiate(uint64_t protocol_features)
{
	struct vhu_guest_region *region = &iommu_rig.frontend.guest.regions[0];
	struct vhu_wire_region wire = region->wire;
	uint64_t features = VHU_FRONTEND_FEATURES | VHU_BIT(VHU_F_ACCESS_PLATFORM);

	if (iommu_packed)
		features |= VHU_BIT(VHU_F_RING_PACKED);
	assert_int_equal(vhu_frontend_negotiate(&iommu_rig.frontend, features, protocol_features),
			 0);
	wire.gpa = REAL_GPA;
	assert_int_equal(vhu_frontend_set_mem_table(&iommu_rig.frontend, &wire, &region->fd, 1), 0);
	for (unsigned q = 0; q < RIG_QUEUES; q++)
		assert_int_equal(vhu_driver_init(&iommu_rig.driver[q], &iommu_rig.frontend, q, 16),
				 0);
}

void iommu_start_rings(void)
{
	for (unsigned q = 0; q < RIG_QUEUES; q++)
		assert_int_equal(vhu_driver_start(&iommu_rig.driver[q]), 0);
}

void iommu_bring_up(bool both_workers)
{
	iommu_start(both_workers);
	iommu_negotiate(VHU_FRONTEND_PROTOCOL_FEATURES);
	iommu_start_rings();
}

bool iommu_next_request(int ms, struct vhu_iotlb_msg *ret_msg)
{
	struct pollfd p = { .fd = iommu_rig.frontend.channel_fd, .events = POLLIN };
	struct vhu_message message;

	if (poll(&p, 1, ms) == 0)
		return false;
	assert_int_equal(vhu_frontend_next_request(&iommu_rig.frontend, &message), 0);
	assert_int_equal(message.header.request, VHU_BACKEND_IOTLB_MSG);
	assert_false(message.header.flags & VHU_FLAG_NEED_REPLY);
	*ret_msg = message.payload.iotlb;
	vhu_message_finish(&message);
	return true;
}

void iommu_note_miss(const struct vhu_iotlb_msg *msg)
{
	assert_int_equal(msg->type, VHU_IOTLB_MISS);
	assert_in_range(msg->perm, R, RW);
	assert_true(iommu_n_asked < IOMMU_MAX_ASKED);
	iommu_asked[iommu_n_asked++] = *msg;
}

void iommu_serve(int ms)
{
	struct vhu_iotlb_msg msg;

	while (iommu_next_request(ms, &msg)) {
		iommu_note_miss(&msg);
		assert_int_equal(iommu_update(msg.iova & ~(PAGE - 1), PAGE, RW), 0);
	}
}

struct vhu_driver_used iommu_serve_until_used(struct vhu_driver *driver)
{
	struct vhu_driver_used used;
	uint64_t deadline = vhu_now_ns() + 10 * NS_PER_SEC;

	while (vhu_driver_get(driver, &used) == 0) {
		iommu_serve(1);
		assert_true(vhu_now_ns() < deadline);
	}
	return used;
}

void iommu_add(unsigned q, const struct vhu_guest_buffer buffers[2])
{
	memset(buffers[0].host, 0x5a, buffers[0].len);
	memset(buffers[1].host, 0, buffers[1].len);
	assert_true(vhu_driver_add(&iommu_rig.driver[q], buffers, 1, 1, 0) >= 0);
	assert_true(vhu_driver_kick(&iommu_rig.driver[q]) >= 0);
}

void iommu_alloc(struct vhu_guest_buffer buffers[2], uint32_t align)
{
	buffers[0] = vhu_guest_alloc(&iommu_rig.frontend.guest, 32, align);
	buffers[1] = vhu_guest_alloc(&iommu_rig.frontend.guest, 32, align);
	assert_non_null(buffers[1].host);
}

void iommu_echo(unsigned q)
{
	struct vhu_guest_buffer buffers[2];

	iommu_alloc(buffers, 8);
	iommu_add(q, buffers);
	assert_int_equal(iommu_serve_until_used(&iommu_rig.driver[q]).len, 32);
	assert_memory_equal(buffers[0].host, buffers[1].host, 32);
}

unsigned iommu_times_asked(uint64_t iova, unsigned access)
{
	unsigned n = 0;

	for (unsigned i = 0; i < iommu_n_asked; i++)
		n += iommu_asked[i].iova / PAGE == iova / PAGE && iommu_asked[i].perm == access;
	return n;
}

void iommu_set_patience(uint64_t ns)
{
	for (unsigned i = 0; i < iommu_rig.device->device.n_workers; i++)
		iommu_rig.device->device.workers[i].miss_patience_ns = ns;
}

bool iommu_needs_reset(void)
{
	uint64_t status;

	assert_int_equal(vhu_frontend_ask_u64(&iommu_rig.frontend, VHU_GET_STATUS, &status), 0);
	return status & VHU_STATUS_NEEDS_RESET;
}

void iommu_serve_up_to(uint64_t iova, unsigned access, struct vhu_iotlb_msg *ret_msg)
{
	for (;;) {
		assert_true(iommu_next_request(5000, ret_msg));
		iommu_note_miss(ret_msg);
		if (ret_msg->iova / PAGE == iova / PAGE && ret_msg->perm == access)
			return;
		assert_int_equal(iommu_update(ret_msg->iova & ~(PAGE - 1), PAGE, RW), 0);
	}
}
