/* SPDX-License-Identifier: BSD-3-Clause */

/* What a front-end with an IOMMU tells, and what it may do wrong. */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/backend/channel.h"
#include "common/base/fd.h"
#include "common/base/num.h"
#include "tests/unit/iommu_rig.h"

static void send_no_wait(const struct vhu_iotlb_msg *msg)
{
	struct vhu_header header = { VHU_IOTLB_MSG, VHU_VERSION, sizeof(*msg) };

	assert_int_equal(
		vhu_frontend_send(&iommu_rig.frontend, &header, msg, sizeof(*msg), NULL, 0), 0);
}

static bool replied(int ms)
{
	struct pollfd p = { .fd = iommu_rig.frontend.fd, .events = POLLIN };

	return poll(&p, 1, ms) == 1;
}

/* What is taken away, or moved, is not touched any more after the reply. */
static void invalidations_wait_for_requests(void **state)
{
	(void)state;
	for (unsigned move = 0; move < 2; move++) {
		struct vhu_guest_buffer buffers[2];
		struct vhu_iotlb_msg msg = { .type = VHU_IOTLB_INVALIDATE, .size = PAGE };
		struct vhu_message reply;

		iommu_bring_up(false);
		iommu_echo(0);
		iommu_echo(1);
		iommu_alloc(buffers, PAGE);
		assert_int_equal(iommu_update(buffers[0].gpa, PAGE, R), 0);
		assert_int_equal(iommu_update(buffers[1].gpa, PAGE, W), 0);
		atomic_store(&iommu_rig.device->hold, true);
		iommu_add(0, buffers);
		rig_wait_for(&iommu_rig.device->n_held[0], 1);
		/* Another page is another matter. */
		assert_int_equal(iommu_invalidate(buffers[1].gpa + PAGE, PAGE), 0);
		assert_int_equal(iommu_update(buffers[1].gpa, PAGE, RW), 0);
		assert_int_equal(iommu_rig.device->n_drain, 0);
		msg.iova = buffers[1].gpa;
		if (move) {
			msg.type = VHU_IOTLB_UPDATE;
			msg.uaddr = vhu_guest_uaddr(&iommu_rig.frontend.guest, 0);
			msg.perm = RW;
		}
		send_no_wait(&msg);
		assert_false(replied(100));
		assert_int_equal(iommu_rig.device->n_drain, 1);
		assert_int_equal(iommu_rig.device->last_reason, VHU_DRAIN_MEMORY_REMOVED);
		rig_release(&iommu_rig);
		assert_int_equal(
			iommu_verdict(vhu_frontend_receive(&iommu_rig.frontend, &reply), &reply),
			0);
		assert_int_equal(iommu_serve_until_used(&iommu_rig.driver[0]).len, 32);
		assert_memory_equal(buffers[0].host, buffers[1].host, 32);
		/* The ring goes on. */
		atomic_store(&iommu_rig.device->hold, false);
		assert_int_equal(iommu_update(buffers[1].gpa, PAGE, RW), 0);
		iommu_echo(0);
		rig_stop(&iommu_rig);
	}
}

/* All at once, the rings included, as a guest does that resets its IOMMU. */
static void everything_is_taken_back(void **state)
{
	static const uint64_t pieces[][2] = {
		{ 0, 0 },
		{ 0, 1ull << 47 },
		{ 0, 0xffffffff01100000 },
		{ 7, UINT64_MAX },
	};

	(void)state;
	iommu_bring_up(true);
	for (unsigned i = 0; i < 3 * ARRAY_SIZE(pieces); i++) {
		iommu_echo(0);
		iommu_echo(1);
		iommu_n_asked = 0;
		assert_int_equal(iommu_invalidate(pieces[i % 4][0], pieces[i % 4][1]), 0);
		iommu_echo(0);
		assert_int_equal(
			iommu_times_asked(iommu_rig.driver[0].desc_gpa, iommu_packed ? RW : R), 1);
	}
	rig_stop(&iommu_rig);
}

static void refused_messages(void **state)
{
	uint64_t uaddr, end;

	(void)state;
	iommu_bring_up(false);
	iommu_echo(0);
	uaddr = iommu_rig.frontend.guest.regions[0].wire.uaddr;
	end = uaddr + iommu_rig.frontend.guest.regions[0].wire.size;
	{
		const struct vhu_iotlb_msg bad[] = {
			{ .type = VHU_IOTLB_MISS, .size = PAGE, .uaddr = uaddr, .perm = RW },
			{ .type = VHU_IOTLB_ACCESS_FAIL, .size = PAGE, .uaddr = uaddr, .perm = W },
			{ .type = 0, .size = PAGE, .uaddr = uaddr, .perm = RW },
			{ .type = 255, .size = PAGE, .uaddr = uaddr, .perm = RW },
			{ .type = VHU_IOTLB_UPDATE, .size = 0, .uaddr = uaddr, .perm = RW },
			{ .type = VHU_IOTLB_UPDATE, .size = PAGE, .uaddr = uaddr, .perm = 4 },
			{ .type = VHU_IOTLB_UPDATE, .size = PAGE, .uaddr = uaddr, .perm = 255 },
			{ .type = VHU_IOTLB_UPDATE, .size = PAGE, .uaddr = 0, .perm = RW },
			{ .type = VHU_IOTLB_UPDATE, .size = PAGE, .uaddr = end, .perm = RW },
			{ .type = VHU_IOTLB_UPDATE, .size = PAGE, .uaddr = end - 1, .perm = RW },
			{ .type = VHU_IOTLB_UPDATE, .size = PAGE, .uaddr = uaddr - 1, .perm = RW },
			{ .type = VHU_IOTLB_UPDATE, .size = UINT64_MAX, .uaddr = uaddr, .perm = R },
			{ .type = VHU_IOTLB_UPDATE, .size = PAGE, .uaddr = UINT64_MAX, .perm = R },
			{ .type = VHU_IOTLB_UPDATE,
			  .iova = UINT64_MAX,
			  .size = 2,
			  .uaddr = uaddr,
			  .perm = R },
		};

		for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
			assert_int_equal(iommu_tell(&bad[i]), 1);
			iommu_echo(i % 2);
		}
	}
	rig_stop(&iommu_rig);
}

static void not_without_the_feature(void **state)
{
	(void)state;
	iommu_start(false);
	rig_bring_up(&iommu_rig);
	assert_int_equal(iommu_update(0, PAGE, RW), 1);
	assert_int_equal(iommu_invalidate(0, PAGE), 1);
	rig_echo(&iommu_rig, 0);
	rig_stop(&iommu_rig);
}

static void a_flood_of_updates(void **state)
{
	struct vhu_iotlb_msg msg = { .type = VHU_IOTLB_UPDATE, .size = PAGE, .perm = RW };

	(void)state;
	iommu_bring_up(true);
	iommu_echo(0);
	msg.uaddr = vhu_guest_uaddr(&iommu_rig.frontend.guest, 0);
	for (uint64_t i = 0; i < 2 * VHU_IOTLB_RANGES; i++) {
		msg.iova = (1ull << 45) + i * 2 * PAGE;
		assert_int_equal(iommu_tell(&msg), 0);
		if (i % 1000 == 0) {
			iommu_echo(0);
			iommu_echo(1);
		}
	}
	rig_stop(&iommu_rig);
}

static void nobody_to_ask(void **state)
{
	static const unsigned missing[] = { VHU_PROTOCOL_F_BACKEND_REQ, VHU_PROTOCOL_F_REPLY_ACK };

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(missing); i++) {
		iommu_start(false);
		iommu_negotiate(VHU_FRONTEND_PROTOCOL_FEATURES & ~VHU_BIT(missing[i]));
		if (vhu_driver_start(&iommu_rig.driver[0]) == 0)
			assert_int_equal(vhu_frontend_wait_closed(&iommu_rig.frontend), 0);
		rig_stop(&iommu_rig);
	}
}

/* A ring that is at work is behind the IOMMU that it was started behind. */
static void the_feature_goes(void **state)
{
	struct vhu_driver *driver = &iommu_rig.driver[0];
	struct vhu_guest_buffer buffers[2];
	struct vhu_header header = { VHU_SET_VRING_ADDR, VHU_VERSION, 0 };
	struct vhu_vring_addr addr;

	(void)state;
	iommu_bring_up(false);
	iommu_echo(0);
	iommu_alloc(buffers, PAGE);
	atomic_store(&iommu_rig.device->hold, true);
	iommu_add(0, buffers);
	iommu_serve(100);
	rig_wait_for(&iommu_rig.device->n_held[0], 1);
	assert_int_equal(vhu_frontend_set_features(&iommu_rig.frontend,
						   iommu_rig.frontend.acked_features &
							   ~VHU_BIT(VHU_F_ACCESS_PLATFORM)),
			 0);
	addr = (struct vhu_vring_addr){ 0, 0, driver->desc_gpa, driver->used_gpa,
					driver->avail_gpa, 0 };
	header.size = sizeof(addr);
	assert_int_equal(
		vhu_frontend_send(&iommu_rig.frontend, &header, &addr, sizeof(addr), NULL, 0), 0);
	rig_wait_for(&iommu_rig.device->n_drain, 1);
	assert_int_equal(iommu_rig.device->last_reason, VHU_DRAIN_MEMORY_REMOVED);
	rig_release(&iommu_rig);
	assert_int_equal(iommu_serve_until_used(driver).len, 32);
	rig_stop(&iommu_rig);
}

/* The front-end closes its end of the channel, and the session goes on. */
static void the_channel_goes(void **state)
{
	struct vhu_guest_buffer buffers[2];
	struct vhu_driver_used used;

	(void)state;
	iommu_start(false);
	iommu_set_patience(NS_PER_SEC);
	iommu_negotiate(VHU_FRONTEND_PROTOCOL_FEATURES);
	iommu_start_rings();
	iommu_echo(0);
	iommu_echo(1);
	close(iommu_rig.frontend.channel_fd);
	iommu_rig.frontend.channel_fd = -1;
	iommu_alloc(buffers, PAGE);
	iommu_add(0, buffers);
	assert_int_equal(vhu_driver_wait(&iommu_rig.driver[0], &used), -EIO);
	assert_true(iommu_needs_reset());
	/* With a new one the other ring goes on; what was not read on the old one comes again. */
	assert_int_equal(vhu_frontend_open_channel(&iommu_rig.frontend), 0);
	iommu_alloc(buffers, PAGE);
	iommu_add(1, buffers);
	usleep(50000);
	assert_int_equal(vhu_frontend_open_channel(&iommu_rig.frontend), 0);
	assert_int_equal(iommu_serve_until_used(&iommu_rig.driver[1]).len, 32);
	iommu_echo(1);
	iommu_alloc(buffers, PAGE);
	iommu_add(1, buffers);
	assert_int_equal(iommu_serve_until_used(&iommu_rig.driver[1]).len, 32);
	rig_stop(&iommu_rig);
}

/* A front-end that does not read its channel for a while gets every miss in the end. */
static void a_full_channel(void **state)
{
	struct vhu_guest_buffer buffers[2];
	struct vhu_message message;
	unsigned n_sent = 0, n_other = 0, full = 0;
	struct vhu_driver_used used;

	(void)state;
	iommu_bring_up(false);
	iommu_echo(0);
	iommu_alloc(buffers, PAGE);
	/* Until the socket and the queue are full. */
	while (full < 100) {
		int r = vhu_channel_send(iommu_rig.device->device.channel,
					 VHU_BACKEND_CONFIG_CHANGE_MSG, NULL, 0);

		n_sent += r == 0;
		full = r == -EAGAIN ? full + 1 : 0;
		if (r == -EAGAIN)
			usleep(1000);
	}
	iommu_add(0, buffers);
	usleep(50000);
	assert_int_equal(vhu_frontend_sync(&iommu_rig.frontend), 0);
	while (vhu_driver_get(&iommu_rig.driver[0], &used) == 0) {
		struct pollfd p = { .fd = iommu_rig.frontend.channel_fd, .events = POLLIN };

		assert_int_equal(poll(&p, 1, 5000), 1);
		assert_int_equal(vhu_frontend_next_request(&iommu_rig.frontend, &message), 0);
		if (message.header.request == VHU_BACKEND_IOTLB_MSG) {
			iommu_note_miss(&message.payload.iotlb);
			assert_int_equal(
				iommu_update(message.payload.iotlb.iova & ~(PAGE - 1), PAGE, RW),
				0);
			usleep(10000);
		} else {
			n_other++;
		}
		vhu_message_finish(&message);
	}
	assert_int_equal(n_other, n_sent);
	assert_int_equal(used.len, 32);
	rig_stop(&iommu_rig);
}

/* No RESET_DEVICE, and no used index to be read: the base tells a new driver from an old one. */
static void silent_resets(void **state)
{
	(void)state;
	iommu_bring_up(true);
	assert_int_equal(iommu_rig.device->n_reset, 1);
	iommu_echo(0);
	for (unsigned q = 0; q < RIG_QUEUES; q++)
		assert_int_equal(vhu_driver_stop(&iommu_rig.driver[q]), 0);
	rig_wait_for(&iommu_rig.device->n_suspended, 1);
	iommu_start_rings();
	iommu_echo(0);
	assert_int_equal(iommu_rig.device->n_reset, 1);
	for (unsigned q = 0; q < RIG_QUEUES; q++) {
		assert_int_equal(vhu_driver_stop(&iommu_rig.driver[q]), 0);
		vhu_driver_reset(&iommu_rig.driver[q]);
		iommu_rig.driver[q].base = vhu_driver_idle_base(&iommu_rig.driver[q]);
	}
	iommu_start_rings();
	iommu_echo(1);
	assert_int_equal(iommu_rig.device->n_reset, 2);
	rig_stop(&iommu_rig);
}

static void expect_asked_for_the_ring(void)
{
	iommu_n_asked = 0;
	iommu_start_rings();
	iommu_echo(0);
	assert_int_equal(iommu_times_asked(iommu_rig.driver[0].desc_gpa, iommu_packed ? RW : R), 1);
}

/*
 * QEMU tells nothing while no ring runs: what was known before a stop is not believed after it, nor
 * an answer that came too late for the stop.
 */
static void a_stop_forgets(void **state)
{
	(void)state;
	for (unsigned late = 0; late < 2; late++) {
		iommu_bring_up(true);
		iommu_echo(0);
		iommu_echo(1);
		for (unsigned q = 0; q < RIG_QUEUES; q++)
			assert_int_equal(vhu_driver_stop(&iommu_rig.driver[q]), 0);
		if (late)
			assert_int_equal(iommu_update(0, 1 << 20, RW), 0);
		expect_asked_for_the_ring();
		rig_stop(&iommu_rig);
	}
}

static void what_another_session_was_told(void **state)
{
	(void)state;
	iommu_start(true);
	iommu_negotiate(VHU_FRONTEND_PROTOCOL_FEATURES);
	assert_int_equal(iommu_update(0, 1 << 20, RW), 0);
	rig_disconnect(&iommu_rig);
	rig_connect(&iommu_rig);
	iommu_negotiate(VHU_FRONTEND_PROTOCOL_FEATURES);
	expect_asked_for_the_ring();
	rig_stop(&iommu_rig);
}

/* Requests on both rings, memory that comes and goes, rings that are told again where they are. */
static void all_at_once(void **state)
{
	struct vhu_guest_buffer buffers[RIG_QUEUES][2];
	struct vhu_driver_used used;
	unsigned served = 0;

	(void)state;
	srand(3);
	iommu_bring_up(true);
	for (unsigned q = 0; q < RIG_QUEUES; q++) {
		iommu_alloc(buffers[q], PAGE);
		iommu_add(q, buffers[q]);
	}
	for (unsigned round = 0; round < 2000 || served < 200; round++) {
		unsigned q = (unsigned)rand() % RIG_QUEUES;
		uint64_t page = (uint64_t)(rand() % 64) * PAGE;
		struct vhu_driver *driver = &iommu_rig.driver[q];
		const struct vhu_vring_addr addr = {
			q, 0, driver->desc_gpa, driver->used_gpa, driver->avail_gpa, 0
		};
		struct vhu_iotlb_msg msg;

		assert_true(round < 100000);
		switch (rand() % 8) {
		case 0:
			assert_int_equal(iommu_invalidate(page, PAGE), 0);
			break;
		case 1:
			assert_int_equal(iommu_update(page, PAGE, RW), 0);
			break;
		case 2:
			assert_int_equal(vhu_frontend_set_vring_addr(&iommu_rig.frontend, &addr),
					 0);
			break;
		default:
			if (iommu_next_request(0, &msg)) {
				assert_int_equal(msg.type, VHU_IOTLB_MISS);
				assert_int_equal(iommu_update(msg.iova & ~(PAGE - 1), PAGE, RW), 0);
			}
		}
		if (vhu_driver_get(driver, &used) == 0)
			continue;
		assert_int_equal(used.len, 32);
		assert_memory_equal(buffers[q][0].host, buffers[q][1].host, 32);
		served++;
		iommu_add(q, buffers[q]);
	}
	rig_stop(&iommu_rig);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(invalidations_wait_for_requests),
		cmocka_unit_test(everything_is_taken_back),
		cmocka_unit_test(refused_messages),
		cmocka_unit_test(not_without_the_feature),
		cmocka_unit_test(a_flood_of_updates),
		cmocka_unit_test(nobody_to_ask),
		cmocka_unit_test(the_feature_goes),
		cmocka_unit_test(the_channel_goes),
		cmocka_unit_test(a_full_channel),
		cmocka_unit_test(silent_resets),
		cmocka_unit_test(a_stop_forgets),
		cmocka_unit_test(what_another_session_was_told),
		cmocka_unit_test(all_at_once),
	};
	int failed = cmocka_run_group_tests_name("split", tests, NULL, NULL);

	iommu_packed = true;
	return failed + cmocka_run_group_tests_name("packed", tests, NULL, NULL);
}
