/* SPDX-License-Identifier: BSD-3-Clause */
/* Rings without kicks, a call more, and devices that have completions of their own to poll for. */

#include <assert.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/backend/inband.h"
#include "tests/unit/session_rig.h"

#define INBAND VHU_BIT(VHU_PROTOCOL_F_INBAND_NOTIFICATIONS)
#define BUDGET 64

static struct rig rig;

static void start_bits(const struct vhu_device_ops *ops, uint64_t bits)
{
	rig_start(&rig, ops);
	if (bits & INBAND)
		vhu_inband_offer(&rig.device->device);
	assert_int_equal(vhu_frontend_negotiate(&rig.frontend, VHU_FRONTEND_FEATURES,
						VHU_FRONTEND_PROTOCOL_FEATURES | bits),
			 0);
	assert_int_equal(vhu_frontend_share_memory(&rig.frontend), 0);
}

static void start_ring(unsigned q)
{
	assert_int_equal(vhu_driver_init(&rig.driver[q], &rig.frontend, q, 16), 0);
	rig.driver[q].in_band = false;
	assert_int_equal(vhu_driver_start(&rig.driver[q]), 0);
}

static void take_kick_away(unsigned q)
{
	assert_int_equal(vhu_frontend_set_vring_fd(&rig.frontend, VHU_SET_VRING_KICK, q, -1), 0);
}

static void add(unsigned q, uint64_t token, bool kick)
{
	struct vhu_guest_buffer buffer = vhu_guest_alloc(&rig.frontend.guest, 8, 8);

	assert_true(vhu_driver_add(&rig.driver[q], &buffer, 0, 1, token) >= 0);
	if (kick)
		assert_true(vhu_driver_kick(&rig.driver[q]) >= 0);
	else
		vhu_driver_publish(&rig.driver[q]);
}

static void expect_used(unsigned q, uint64_t token)
{
	struct vhu_driver_used used;

	assert_int_equal(vhu_driver_wait(&rig.driver[q], &used), 0);
	assert_int_equal(used.token, token);
}

/* Looked at again and again, also with in-band notifications, where no fd is a wish too. */
static void rings_without_kicks(void **state)
{
	struct vhu_device_ops ops = rig_ops();

	(void)state;
	for (unsigned inband = 0; inband < 2; inband++) {
		start_bits(&ops, inband ? INBAND : 0);
		start_ring(0);
		take_kick_away(0);
		for (unsigned i = 0; i < 20; i++) {
			usleep(i % 4 * 1000); /* also after it has gone to sleep */
			add(0, i, false);
			expect_used(0, i);
		}
		assert_int_equal(rig.driver[0].n_kicks, 0);
		rig_stop(&rig);
	}
}

/* Who served the ring before may have died between showing what it had done and the call. */
static void a_ring_that_goes_on_is_called(void **state)
{
	struct vhu_device_ops ops = rig_ops();
	struct vhu_driver *driver = &rig.driver[0];
	uint64_t n_calls;

	(void)state;
	start_bits(&ops, 0);
	start_ring(0);
	rig_echo(&rig, 0);
	assert_int_equal(vhu_driver_stop(driver), 0);
	n_calls = vhu_driver_count_calls(driver);
	assert_int_equal(vhu_driver_start(driver), 0);
	for (unsigned i = 0; i < 5000 && vhu_driver_count_calls(driver) == n_calls; i++)
		usleep(1000);
	assert_int_equal(vhu_driver_count_calls(driver), n_calls + 1);
	rig_stop(&rig);
}

/* Queue 0 always has more than its share; queue 1 is served. */
static int handle_busy_ring(struct vhu_device *device, unsigned event_id, uint32_t epoll_events,
			    unsigned worker_idx)
{
	struct vhu_vring *vring = vhu_device_vring(device, event_id);
	struct vhu_chain *chain;

	(void)epoll_events;
	(void)worker_idx;
	if (!vring)
		return 0;
	for (unsigned i = 0; event_id == 0 && i < BUDGET; i++) {
		chain = vhu_vring_pop(vring);
		if (chain)
			vhu_vring_unpop(vring, chain);
	}
	while (event_id == 1 && (chain = vhu_vring_pop(vring)))
		vhu_vring_push(vring, chain, 0);
	return 0;
}

static void a_ring_without_kicks_beside_a_busy_one(void **state)
{
	struct vhu_device_ops ops = rig_ops();

	(void)state;
	ops.handle_event = handle_busy_ring;
	ops.drain = NULL;
	start_bits(&ops, 0);
	start_ring(0);
	start_ring(1);
	take_kick_away(1);
	add(0, 0, true);
	for (unsigned i = 0; i < 20; i++) {
		add(1, i, false);
		expect_used(1, i);
	}
	rig_stop(&rig);
}

static atomic_uint n_passes;

/* Two requests or none; and with IN_ORDER what is malformed waits for those before it. */
static int wants_two(struct vhu_device *device, unsigned event_id, uint32_t epoll_events,
		     unsigned worker_idx)
{
	struct vhu_vring *vring = vhu_device_vring(device, event_id);
	struct vhu_chain *first = vring ? vhu_vring_pop(vring) : NULL;
	struct vhu_chain *second = first ? vhu_vring_pop(vring) : NULL;

	(void)epoll_events;
	(void)worker_idx;
	atomic_fetch_add(&n_passes, 1);
	if (second)
		vhu_vring_unpop(vring, second);
	if (first)
		vhu_vring_unpop(vring, first);
	return 0;
}

static void nobody_turns_in_circles(void **state)
{
	struct vhu_guest_buffer good, bad = { .gpa = 1ull << 60, .len = 8 };
	struct vhu_device_ops ops = rig_ops();

	(void)state;
	ops.handle_event = wants_two;
	ops.completes_in_order = true;
	rig_start(&rig, &ops);
	assert_int_equal(vhu_frontend_negotiate(&rig.frontend,
						VHU_FRONTEND_FEATURES | VHU_BIT(VHU_F_IN_ORDER),
						VHU_FRONTEND_PROTOCOL_FEATURES),
			 0);
	assert_int_equal(vhu_frontend_share_memory(&rig.frontend), 0);
	start_ring(0);
	n_passes = 0;
	good = vhu_guest_alloc(&rig.frontend.guest, 8, 8);
	assert_true(vhu_driver_add(&rig.driver[0], &good, 0, 1, 0) >= 0);
	assert_true(vhu_driver_add(&rig.driver[0], &bad, 0, 1, 1) >= 0);
	assert_true(vhu_driver_kick(&rig.driver[0]) >= 0);
	usleep(50000);
	assert_in_range(n_passes, 1, 10);
	rig_stop(&rig);
}

/* A request is done the moment after it was taken: the device finds out by polling or is told. */
#define DONE_EVENT (RIG_QUEUES + 2)
static int done_fd;
static struct vhu_chain *under_way;
static atomic_uint n_polls, n_polled, n_told;

static bool finish(struct vhu_device *device, atomic_uint *count)
{
	struct vhu_vring *vring = vhu_device_vring(device, 0);
	eventfd_t value;

	if (!under_way)
		return false;
	eventfd_read(done_fd, &value);
	vhu_vring_push(vring, under_way, 0);
	under_way = NULL;
	vhu_vring_notify(vring);
	atomic_fetch_add(count, 1);
	return true;
}

static int handle_slow(struct vhu_device *device, unsigned event_id, uint32_t epoll_events,
		       unsigned worker_idx)
{
	(void)epoll_events;
	(void)worker_idx;
	if (event_id == DONE_EVENT)
		finish(device, &n_told);
	if (event_id || under_way)
		return 0;
	under_way = vhu_vring_pop(vhu_device_vring(device, 0));
	if (under_way)
		eventfd_write(done_fd, 1);
	return 0;
}

static bool poll_slow(struct vhu_device *device, unsigned worker_idx)
{
	assert(worker_idx == 0);
	atomic_fetch_add(&n_polls, 1);
	return finish(device, &n_polled);
}

static void a_device_polls(uint64_t poll_max_ns)
{
	struct vhu_device_ops ops = rig_ops();

	ops.handle_event = handle_slow;
	ops.poll = poll_slow;
	n_polls = n_polled = n_told = 0;
	done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	rig_start(&rig, &ops);
	rig.device->device.poll_max_ns = poll_max_ns;
	assert_int_equal(vhu_worker_register_listener(vhu_device_worker(&rig.device->device, 0),
						      done_fd, EPOLLIN, DONE_EVENT),
			 0);
	assert_int_equal(vhu_frontend_negotiate(&rig.frontend, VHU_FRONTEND_FEATURES,
						VHU_FRONTEND_PROTOCOL_FEATURES),
			 0);
	assert_int_equal(vhu_frontend_share_memory(&rig.frontend), 0);
	start_ring(0);
	rig.driver[0].busy = true;
	for (unsigned i = 0; i < 200; i++) {
		add(0, i, true);
		expect_used(0, i);
	}
	assert_int_equal(n_polled + n_told, 200);
	rig_stop(&rig);
	close(done_fd);
}

static void what_polling_finds(void **state)
{
	(void)state;
	a_device_polls(NS_PER_SEC);
	assert_true(n_polled > 0);
}

static void what_is_told_without_polling(void **state)
{
	(void)state;
	a_device_polls(0);
	assert_int_equal(n_polls, 0);
	assert_int_equal(n_told, 200);
}

/* As many at once as the device likes: an event of several parts is no use in parts. */
static void what_is_pushed_elsewhere_waits_for_notify(void **state)
{
	const unsigned n = 11;
	struct vhu_guest_buffer buffer;
	struct vhu_driver_used used;
	struct vhu_device_ops ops = rig_ops();
	uint64_t calls;

	(void)state;
	rig_start(&rig, &ops);
	/* Without EVENT_IDX each time that something is shown is a call. */
	assert_int_equal(vhu_frontend_negotiate(&rig.frontend,
						VHU_FRONTEND_FEATURES &
							~VHU_BIT(VHU_F_RING_EVENT_IDX),
						VHU_FRONTEND_PROTOCOL_FEATURES),
			 0);
	assert_int_equal(vhu_frontend_share_memory(&rig.frontend), 0);
	start_ring(0);
	atomic_store(&rig.device->hold, true);
	buffer = vhu_guest_alloc(&rig.frontend.guest, 8, 8);
	for (unsigned i = 0; i < n; i++)
		assert_true(vhu_driver_add(&rig.driver[0], &buffer, 0, 1, i) >= 0);
	assert_true(vhu_driver_kick(&rig.driver[0]) >= 0);
	rig_wait_for(&rig.device->n_held[0], n);
	calls = vhu_driver_count_calls(&rig.driver[0]);
	rig_release(&rig);
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(vhu_driver_wait(&rig.driver[0], &used), 0);
	/* The worker has come to this when it is answered. */
	assert_int_equal(vhu_frontend_set_vring(&rig.frontend, VHU_SET_VRING_ENABLE, 0, 0), 0);
	assert_int_equal(vhu_driver_count_calls(&rig.driver[0]), calls + 1);
	rig_stop(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rings_without_kicks),
		cmocka_unit_test(a_ring_that_goes_on_is_called),
		cmocka_unit_test(a_ring_without_kicks_beside_a_busy_one),
		cmocka_unit_test(nobody_turns_in_circles),
		cmocka_unit_test(what_polling_finds),
		cmocka_unit_test(what_is_told_without_polling),
		cmocka_unit_test(what_is_pushed_elsewhere_waits_for_notify),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
