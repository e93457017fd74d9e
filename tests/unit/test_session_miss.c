/* SPDX-License-Identifier: BSD-3-Clause */

/* Misses: rings that are parked until they are answered, and what may come in between. */
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

static void misses_are_answered_late(bool both_workers)
{
	struct vhu_guest_buffer buffers[RIG_QUEUES][2];
	struct vhu_driver_used used;

	iommu_bring_up(both_workers);
	for (unsigned q = 0; q < RIG_QUEUES; q++) {
		iommu_alloc(buffers[q], PAGE);
		iommu_add(q, buffers[q]);
	}
	/* Nothing waits for us, whatever we ask for meanwhile. */
	usleep(50000);
	assert_int_equal(vhu_frontend_sync(&iommu_rig.frontend), 0);
	for (unsigned q = 0; q < RIG_QUEUES; q++)
		assert_int_equal(vhu_driver_get(&iommu_rig.driver[q], &used), 0);
	iommu_serve(200);
	for (unsigned q = 0; q < RIG_QUEUES; q++) {
		assert_int_equal(iommu_serve_until_used(&iommu_rig.driver[q]).len, 32);
		assert_memory_equal(buffers[q][0].host, buffers[q][1].host, 32);
		assert_int_equal(iommu_times_asked(buffers[q][0].gpa, R), 1);
		assert_int_equal(iommu_times_asked(buffers[q][1].gpa, W), 1);
	}
	/* One worker asks for nothing twice. */
	for (unsigned i = 0; !both_workers && i < iommu_n_asked; i++)
		assert_int_equal(iommu_times_asked(iommu_asked[i].iova, iommu_asked[i].perm), 1);
	/* And what is known is not asked for at all. */
	iommu_n_asked = 0;
	for (unsigned q = 0; q < RIG_QUEUES; q++) {
		iommu_add(q, buffers[q]);
		assert_int_equal(iommu_serve_until_used(&iommu_rig.driver[q]).len, 32);
	}
	assert_int_equal(iommu_n_asked, 0);
	rig_stop(&iommu_rig);
}

static void misses_are_answered_late_to_one_worker(void **state)
{
	(void)state;
	misses_are_answered_late(false);
}

static void misses_are_answered_late_to_two_workers(void **state)
{
	(void)state;
	misses_are_answered_late(true);
}

/* A second answer may come when the page is the guest's again: a fault in its eyes. */
static void a_page_is_asked_for_once(void **state)
{
	struct vhu_guest_buffer buffers[2];

	(void)state;
	iommu_bring_up(false);
	for (unsigned q = 0; q < RIG_QUEUES; q++) {
		iommu_rig.driver[q].indirect = false;
		iommu_echo(q);
	}
	iommu_alloc(buffers, PAGE);
	for (unsigned q = 0; q < RIG_QUEUES; q++)
		iommu_add(q, buffers);
	usleep(50000);
	for (unsigned q = 0; q < RIG_QUEUES; q++)
		assert_int_equal(iommu_serve_until_used(&iommu_rig.driver[q]).len, 32);
	assert_int_equal(iommu_times_asked(buffers[0].gpa, R), 1);
	assert_int_equal(iommu_times_asked(buffers[1].gpa, W), 1);
	rig_stop(&iommu_rig);
}

/* What nobody has read on the old channel is asked for again: once, whoever of the two does it. */
static void a_page_is_asked_for_once_a_channel(void **state)
{
	struct vhu_guest_buffer buffers[2];

	(void)state;
	iommu_bring_up(false);
	for (unsigned q = 0; q < RIG_QUEUES; q++) {
		iommu_rig.driver[q].indirect = false;
		iommu_echo(q);
	}
	iommu_alloc(buffers, PAGE);
	for (unsigned q = 0; q < RIG_QUEUES; q++)
		iommu_add(q, buffers);
	usleep(50000);
	iommu_n_asked = 0;
	assert_int_equal(vhu_frontend_open_channel(&iommu_rig.frontend), 0);
	for (unsigned q = 0; q < RIG_QUEUES; q++)
		assert_int_equal(iommu_serve_until_used(&iommu_rig.driver[q]).len, 32);
	assert_int_equal(iommu_times_asked(buffers[0].gpa, R), 1);
	rig_stop(&iommu_rig);
}

/* The old one is closed, and the worker has yet to learn of the new one. */
static void a_miss_while_the_channel_changes(void **state)
{
	struct vhu_guest_buffer buffers[2];

	(void)state;
	iommu_bring_up(false);
	iommu_echo(0);
	iommu_alloc(buffers, PAGE);
	atomic_store(&iommu_rig.device->slow, true);
	iommu_add(0, buffers);
	rig_wait_for(&iommu_rig.device->n_inside, 1);
	atomic_store(&iommu_rig.device->slow, false);
	assert_int_equal(vhu_frontend_open_channel(&iommu_rig.frontend), 0);
	assert_int_equal(iommu_serve_until_used(&iommu_rig.driver[0]).len, 32);
	rig_stop(&iommu_rig);
}

/* The ring is broken and says so; another one and the next start are as good as ever. */
static void a_miss_that_is_never_answered(void **state)
{
	struct vhu_guest_buffer buffers[2];
	struct vhu_driver_used used;

	(void)state;
	iommu_start(false);
	iommu_set_patience(300 * NS_PER_MS);
	iommu_negotiate(VHU_FRONTEND_PROTOCOL_FEATURES);
	iommu_start_rings();
	iommu_echo(0);
	iommu_echo(1);
	assert_false(iommu_needs_reset());
	iommu_alloc(buffers, PAGE);
	iommu_add(0, buffers);
	assert_int_equal(vhu_driver_wait(&iommu_rig.driver[0], &used), -EIO);
	assert_true(iommu_needs_reset());
	iommu_echo(1);
	/* An answer that comes now is of no use, and no harm. */
	iommu_serve(100);
	assert_true(iommu_n_asked > 0);
	assert_int_equal(vhu_driver_get(&iommu_rig.driver[0], &used), 0);
	assert_int_equal(vhu_driver_stop(&iommu_rig.driver[0]), 0);
	vhu_driver_reset(&iommu_rig.driver[0]);
	iommu_rig.driver[0].base = vhu_driver_idle_base(&iommu_rig.driver[0]);
	assert_int_equal(vhu_driver_start(&iommu_rig.driver[0]), 0);
	assert_false(iommu_needs_reset());
	iommu_echo(0);
	rig_stop(&iommu_rig);
}

/* A request for what the IOMMU denies comes back unserved, and the front-end is told. */
static void access_that_fails_is_told(void **state)
{
	static const unsigned granted[] = { R, 0 };

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(granted); i++) {
		struct vhu_guest_buffer buffers[2];
		struct vhu_driver_used used;
		struct vhu_iotlb_msg msg, fail;

		iommu_bring_up(false);
		iommu_echo(0);
		iommu_alloc(buffers, PAGE);
		iommu_add(0, buffers);
		iommu_serve_up_to(buffers[1].gpa, W, &msg);
		assert_int_equal(iommu_update(msg.iova, PAGE, granted[i]), 0);
		assert_true(iommu_next_request(5000, &fail));
		assert_int_equal(fail.type, VHU_IOTLB_ACCESS_FAIL);
		assert_int_equal(fail.iova, msg.iova);
		assert_int_equal(fail.perm, W);
		assert_int_equal(vhu_driver_wait(&iommu_rig.driver[0], &used), 0);
		assert_int_equal(used.len, 0);
		assert_false(iommu_needs_reset());
		/* It is asked for anew when it is needed anew: the guest may have mended it. */
		iommu_add(0, buffers);
		assert_int_equal(iommu_serve_until_used(&iommu_rig.driver[0]).len, 32);
		iommu_echo(1);
		rig_stop(&iommu_rig);
	}
}

/* Each answer allows what was asked for and no more: it is not the other one's. */
static void two_ways_of_access_to_a_page(bool both_workers)
{
	struct vhu_guest_buffer buffers[RIG_QUEUES][2];
	struct vhu_iotlb_msg msg;

	iommu_bring_up(both_workers);
	for (unsigned q = 0; q < RIG_QUEUES; q++) {
		iommu_rig.driver[q].indirect = false;
		iommu_echo(q);
		iommu_alloc(buffers[q], PAGE);
	}
	/* Other bytes: two workers touch them at once. */
	buffers[1][1] = buffers[0][0];
	buffers[1][1].gpa += PAGE / 2;
	buffers[1][1].host = (char *)buffers[1][1].host + PAGE / 2;
	assert_int_equal(iommu_update(buffers[1][0].gpa, PAGE, R), 0);
	for (unsigned q = 0; q < RIG_QUEUES; q++)
		iommu_add(q, buffers[q]);
	usleep(50000);
	iommu_n_asked = 0;
	while (iommu_next_request(200, &msg)) {
		iommu_note_miss(&msg);
		assert_int_equal(iommu_update(msg.iova & ~(PAGE - 1), PAGE, msg.perm), 0);
	}
	/* Again when the other one's came before the ring had got on: it takes the page's place. */
	assert_true(iommu_times_asked(buffers[0][0].gpa, R) >= 1);
	assert_true(iommu_times_asked(buffers[0][0].gpa, W) >= 1);
	for (unsigned q = 0; q < RIG_QUEUES; q++)
		assert_int_equal(iommu_serve_until_used(&iommu_rig.driver[q]).len, 32);
	rig_stop(&iommu_rig);
}

static void one_worker_asks_for_a_page_in_two_ways(void **state)
{
	(void)state;
	two_ways_of_access_to_a_page(false);
}

static void two_workers_ask_for_a_page_in_two_ways(void **state)
{
	(void)state;
	two_ways_of_access_to_a_page(true);
}

static void a_ring_that_is_denied(void **state)
{
	struct vhu_driver_used used;
	struct vhu_iotlb_msg msg;

	(void)state;
	iommu_start(false);
	iommu_negotiate(VHU_FRONTEND_PROTOCOL_FEATURES);
	assert_int_equal(vhu_driver_start(&iommu_rig.driver[0]), 0);
	/* The areas of so small a ring are on one page: readable is what some of them are to be. */
	for (unsigned i = iommu_packed; i < 2; i++) {
		assert_true(iommu_next_request(5000, &msg));
		assert_int_equal(msg.iova / PAGE, iommu_rig.driver[0].desc_gpa / PAGE);
		assert_int_equal(msg.perm, i ? RW : R);
		assert_int_equal(iommu_update(msg.iova & ~(PAGE - 1), PAGE, R), 0);
	}
	assert_int_equal(vhu_driver_wait(&iommu_rig.driver[0], &used), -EIO);
	assert_true(iommu_needs_reset());
	rig_stop(&iommu_rig);
}

/* A parked ring is as idle as a disabled one. */
static void parked_rings_stop_at_once(void **state)
{
	struct vhu_guest_buffer buffers[2];
	uint64_t began;

	(void)state;
	iommu_bring_up(true);
	began = vhu_now_ns();
	for (unsigned q = 0; q < RIG_QUEUES; q++)
		assert_int_equal(vhu_driver_stop(&iommu_rig.driver[q]), 0);
	assert_int_equal(iommu_rig.driver[0].base, vhu_driver_idle_base(&iommu_rig.driver[0]));
	iommu_start_rings();
	iommu_echo(0);
	/* In the middle of a chain. */
	iommu_alloc(buffers, PAGE);
	iommu_add(0, buffers);
	usleep(20000);
	assert_int_equal(vhu_driver_stop(&iommu_rig.driver[0]), 0);
	assert_int_equal(vhu_driver_start(&iommu_rig.driver[0]), 0);
	assert_int_equal(iommu_serve_until_used(&iommu_rig.driver[0]).len, 32);
	/* And one that the front-end leaves alone. */
	iommu_alloc(buffers, PAGE);
	iommu_add(1, buffers);
	usleep(20000);
	rig_disconnect(&iommu_rig);
	assert_true(vhu_now_ns() - began < VHU_POLL_DEFAULT_NS + 8 * NS_PER_SEC);
	rig_stop(&iommu_rig);
}

/* What comes in between does not wake a parked ring, nor forget it. */
static void parked_rings_are_woken_by_an_answer_only(void **state)
{
	struct vhu_guest_buffer buffers[2], later[2];
	struct vhu_iotlb_msg msg, other;
	struct vhu_driver *driver = &iommu_rig.driver[0];
	struct vhu_guest_region *region = &iommu_rig.frontend.guest.regions[0];
	struct vhu_wire_region wire = region->wire;
	int kick;

	(void)state;
	iommu_bring_up(false);
	iommu_echo(0);
	iommu_alloc(buffers, PAGE);
	iommu_alloc(later, PAGE);
	iommu_add(0, buffers);
	iommu_serve_up_to(buffers[0].gpa, R, &msg);
	iommu_n_asked = 0;
	iommu_add(0, later);
	eventfd_write(driver->kick_fd, 1);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(
			vhu_frontend_set_vring(&iommu_rig.frontend, VHU_SET_VRING_ENABLE, 0, i), 0);
	kick = eventfd(0, EFD_NONBLOCK);
	assert_int_equal(
		vhu_frontend_set_vring_fd(&iommu_rig.frontend, VHU_SET_VRING_KICK, 0, kick), 0);
	wire.gpa = REAL_GPA;
	assert_int_equal(vhu_frontend_set_mem_table(&iommu_rig.frontend, &wire, &region->fd, 1), 0);
	assert_int_equal(iommu_update(later[1].gpa, PAGE, RW), 0);
	assert_int_equal(iommu_invalidate(later[0].gpa, PAGE), 0);
	assert_false(iommu_next_request(100, &other));
	/* Disabled when the answer comes. */
	assert_int_equal(vhu_frontend_set_vring(&iommu_rig.frontend, VHU_SET_VRING_ENABLE, 0, 0),
			 0);
	assert_int_equal(iommu_update(msg.iova & ~(PAGE - 1), PAGE, RW), 0);
	assert_false(iommu_next_request(100, &other));
	assert_int_equal(vhu_frontend_set_vring(&iommu_rig.frontend, VHU_SET_VRING_ENABLE, 0, 1),
			 0);
	assert_int_equal(iommu_serve_until_used(driver).len, 32);
	assert_int_equal(iommu_serve_until_used(driver).len, 32);
	close(kick);
	rig_stop(&iommu_rig);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(misses_are_answered_late_to_one_worker),
		cmocka_unit_test(misses_are_answered_late_to_two_workers),
		cmocka_unit_test(a_page_is_asked_for_once),
		cmocka_unit_test(a_page_is_asked_for_once_a_channel),
		cmocka_unit_test(a_miss_while_the_channel_changes),
		cmocka_unit_test(a_miss_that_is_never_answered),
		cmocka_unit_test(access_that_fails_is_told),
		cmocka_unit_test(one_worker_asks_for_a_page_in_two_ways),
		cmocka_unit_test(two_workers_ask_for_a_page_in_two_ways),
		cmocka_unit_test(a_ring_that_is_denied),
		cmocka_unit_test(parked_rings_stop_at_once),
		cmocka_unit_test(parked_rings_are_woken_by_an_answer_only),
	};
	int failed = cmocka_run_group_tests_name("split", tests, NULL, NULL);

	iommu_packed = true;
	return failed + cmocka_run_group_tests_name("packed", tests, NULL, NULL);
}
