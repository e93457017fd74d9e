/* SPDX-License-Identifier: BSD-3-Clause */
/* Sessions, workers and locking, with a device that can hold requests back. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/session_rig.h"

static struct rig rig;

static void start_plain(enum vhu_locking locking)
{
	struct vhu_device_ops ops = rig_ops();

	ops.locking = locking;
	rig_start(&rig, &ops);
}

static unsigned queue_each(struct vhu_device *device, uint64_t masks[VHU_MAX_WORKERS])
{
	(void)device;
	masks[0] = 1;
	masks[1] = 2;
	return 2;
}

static void serves_under_every_locking(void **state)
{
	static const enum vhu_locking all[] = {
		VHU_LOCK_NONE,
		VHU_LOCK_MUTEX,
		VHU_LOCK_RWLOCK,
		VHU_LOCK_WORKER,
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(all) / sizeof(*all); i++) {
		start_plain(all[i]);
		rig_bring_up(&rig);
		rig_echo(&rig, 0);
		rig_echo(&rig, 1);
		assert_true(rig.device->acked & 1ull << 5);
		rig_stop(&rig);
	}
}

/* Control requests while requests flow: no two slots of a locked device at a time. */
static void keeps_slots_apart(enum vhu_locking locking)
{
	struct vhu_device_ops ops = rig_ops();
	uint8_t byte;

	ops.locking = locking;
	if (locking != VHU_LOCK_WORKER)
		ops.queues_per_thread = queue_each;
	rig_start(&rig, &ops);
	rig_bring_up(&rig);
	for (unsigned i = 0; i < 50; i++) {
		struct vhu_guest_buffer buffer = vhu_guest_alloc(&rig.frontend.guest, 8, 8);

		for (unsigned q = 0; q < RIG_QUEUES; q++) {
			struct vhu_driver_used used;

			while (vhu_driver_get(&rig.driver[q], &used) > 0)
				;
			vhu_driver_add(&rig.driver[q], &buffer, 0, 1, i);
			vhu_driver_kick(&rig.driver[q]);
		}
		byte = (uint8_t)i;
		assert_int_equal(vhu_frontend_set_config(&rig.frontend, 3, 0, &byte, 1), 0);
		byte = 0;
		assert_int_equal(vhu_frontend_get_config(&rig.frontend, 3, &byte, 1), 0);
		assert_int_equal(byte, (uint8_t)i);
	}
	if (locking != VHU_LOCK_RWLOCK)
		assert_int_equal(rig.device->n_overlaps, 0);
	assert_int_equal(rig.device->n_foreign, 0);
	rig_stop(&rig);
}

static void mutex_keeps_slots_apart(void **state)
{
	(void)state;
	keeps_slots_apart(VHU_LOCK_MUTEX);
	keeps_slots_apart(VHU_LOCK_RWLOCK);
}

static void worker_locking_is_one_thread(void **state)
{
	(void)state;
	keeps_slots_apart(VHU_LOCK_WORKER);
	start_plain(VHU_LOCK_WORKER);
	rig_bring_up(&rig);
	rig_echo(&rig, 0);
	assert_true(pthread_equal(rig.device->control_thread, rig.device->worker_thread));
	rig_stop(&rig);
}

static unsigned bad_at;

static unsigned bad_masks(struct vhu_device *device, uint64_t masks[VHU_MAX_WORKERS])
{
	static const uint64_t bad[][2] = { { 1, 0 }, { 1, 3 }, { 1, 1 }, { 1, 6 } };

	(void)device;
	masks[0] = bad[bad_at][0];
	masks[1] = bad[bad_at][1];
	return 2;
}

static void masks_must_cover_each_queue_once(void **state)
{
	struct vhu_device_ops ops = rig_ops();
	struct vhu_device device;

	(void)state;
	ops.queues_per_thread = bad_masks;
	for (bad_at = 0; bad_at < 4; bad_at++)
		assert_int_equal(vhu_device_init(&device, &ops), -EINVAL);
	ops.queues_per_thread = queue_each;
	ops.locking = VHU_LOCK_WORKER;
	assert_int_equal(vhu_device_init(&device, &ops), -EINVAL);
}

/* Holds n requests of queue 0 in the device. */
static void hold(unsigned n)
{
	struct vhu_guest_buffer buffer = vhu_guest_alloc(&rig.frontend.guest, 8, 8);
	struct vhu_driver *driver = &rig.driver[0];

	atomic_store(&rig.device->hold, true);
	for (unsigned i = 0; i < n; i++)
		assert_true(vhu_driver_add(driver, &buffer, 0, 1, i) >= 0);
	assert_true(vhu_driver_kick(driver) >= 0);
	rig_wait_for(&rig.device->n_held[0], n);
}

/* All of n_held requests are used then, or none is. */
static void stop_drains(unsigned n_held, unsigned n_used)
{
	uint64_t offered;

	rig_bring_up(&rig);
	hold(n_held);
	/* The answer is owed until the device is done, and nothing else is answered meanwhile. */
	rig.frontend.timeout_ms = 200;
	assert_int_equal(vhu_driver_stop(&rig.driver[0]), -ETIMEDOUT);
	rig_wait_for(&rig.device->n_drain, 1);
	assert_int_equal(rig.device->last_reason, VHU_DRAIN_STOP);
	assert_int_equal(rig.driver[0].split.vring.used->idx, 0);
	rig_release(&rig);
	rig.frontend.timeout_ms = 5000;
	{
		struct vhu_message reply;

		vhu_message_init(&reply);
		assert_int_equal(vhu_frontend_receive(&rig.frontend, &reply), 0);
		assert_int_equal(reply.header.request, VHU_GET_VRING_BASE);
		assert_int_equal(reply.payload.vring_state.num, n_used);
		vhu_message_finish(&reply);
	}
	assert_int_equal(rig.driver[0].split.vring.used->idx, n_used);
	assert_int_equal(vhu_frontend_ask_u64(&rig.frontend, VHU_GET_FEATURES, &offered), 0);
	rig_stop(&rig);
}

static void get_vring_base_drains(void **state)
{
	(void)state;
	start_plain(VHU_LOCK_NONE);
	stop_drains(3, 3);
	/* A device may also give back to the ring what it has not begun. */
	start_plain(VHU_LOCK_NONE);
	atomic_store(&rig.device->unpops, true);
	stop_drains(3, 0);
}

static void front_end_gone_while_parked(void **state)
{
	(void)state;
	start_plain(VHU_LOCK_NONE);
	rig_bring_up(&rig);
	hold(2);
	rig.frontend.timeout_ms = 100;
	assert_int_equal(vhu_driver_stop(&rig.driver[0]), -ETIMEDOUT);
	vhu_frontend_disconnect(&rig.frontend);
	usleep(50000);
	rig_release(&rig);
	while (sem_wait(&rig.closed))
		;
	for (unsigned q = 0; q < RIG_QUEUES; q++)
		vhu_driver_finish(&rig.driver[q]);
	memset(rig.driver, 0, sizeof(rig.driver));

	/* The device is served again, as new. */
	atomic_store(&rig.device->hold, false);
	rig.frontend.timeout_ms = 5000;
	rig_connect(&rig);
	rig_bring_up(&rig);
	rig_echo(&rig, 0);
	rig_stop(&rig);
}

static void session_end_drains(void **state)
{
	(void)state;
	start_plain(VHU_LOCK_WORKER);
	rig_bring_up(&rig);
	atomic_store(&rig.device->drain_at_once, true);
	hold(2);
	rig_disconnect(&rig);
	assert_int_equal(rig.device->last_reason, VHU_DRAIN_SESSION_GONE);
	assert_int_equal(rig.device->n_suspended, 1);
	rig_stop(&rig);
}

static void removed_memory_waits_for_requests(void **state)
{
	struct vhu_wire_region region;
	int extra;

	(void)state;
	start_plain(VHU_LOCK_NONE);
	extra = vhu_guest_add(&rig.frontend.guest, 1 << 21, 1 << 16);
	assert_true(extra > 0);
	region = rig.frontend.guest.regions[extra].wire;
	rig_bring_up(&rig);
	hold(1);
	rig.frontend.timeout_ms = 200;
	assert_int_equal(vhu_frontend_rem_mem_reg(&rig.frontend, &region), -ETIMEDOUT);
	assert_int_equal(rig.device->last_reason, VHU_DRAIN_MEMORY_REMOVED);
	atomic_store(&rig.device->hold, false);
	rig_release(&rig);
	rig.frontend.timeout_ms = 5000;
	{
		struct vhu_message ack;

		vhu_message_init(&ack);
		assert_int_equal(vhu_frontend_receive(&rig.frontend, &ack), 0);
		assert_int_equal(ack.header.request, VHU_REM_MEM_REG);
		assert_int_equal(ack.payload.u64, 0);
		vhu_message_finish(&ack);
	}
	/* The ring goes on with the smaller map. */
	{
		struct vhu_driver_used used;

		assert_int_equal(vhu_driver_wait(&rig.driver[0], &used), 0);
	}
	rig_echo(&rig, 0);
	rig_stop(&rig);
}

/* As QEMU does it: all rings are set up before the first is enabled. */
static void restart_both(void)
{
	for (unsigned q = 0; q < RIG_QUEUES; q++)
		assert_int_equal(vhu_driver_set_up(&rig.driver[q]), 0);
	for (unsigned q = 0; q < RIG_QUEUES; q++)
		assert_int_equal(vhu_frontend_set_vring(&rig.frontend, VHU_SET_VRING_ENABLE, q, 1),
				 0);
}

static void stop_both(void)
{
	for (unsigned q = 0; q < RIG_QUEUES; q++)
		assert_int_equal(vhu_driver_stop(&rig.driver[q]), 0);
}

/* Two laps of a packed ring lead to its initial indices, which are no new driver's. */
static void pause_where_laps_begin(void)
{
	restart_both();
	for (unsigned q = 0; q < RIG_QUEUES; q++)
		while (vhu_driver_idle_base(&rig.driver[q]) != 0x80008000)
			rig_echo(&rig, q);
	stop_both();
	restart_both();
	assert_int_equal(rig.device->n_reset, 0);
	rig_echo(&rig, 0);
	stop_both();
}

/* Reset or pause: a start at initial indices is a new driver's, any other goes on. */
static void tell_reset_from_pause(uint64_t layout)
{
	start_plain(VHU_LOCK_NONE);
	rig.more_features = layout;
	rig_bring_up(&rig);
	assert_int_equal(rig.device->n_resumed, 1);
	rig_echo(&rig, 1);
	stop_both();
	assert_int_equal(rig.device->n_suspended, 1);
	atomic_store(&rig.device->n_reset, 0);

	/* stop, cont: queue 0 is at its beginning, queue 1 is not. */
	restart_both();
	assert_int_equal(rig.device->n_resumed, 2);
	rig_echo(&rig, 1);
	stop_both();
	assert_int_equal(rig.device->n_reset, 0);

	if (layout)
		pause_where_laps_begin();

	/* A reboot, which is said by nothing but the rings. */
	for (unsigned q = 0; q < RIG_QUEUES; q++)
		vhu_driver_reset(&rig.driver[q]);
	restart_both();
	rig_echo(&rig, 0);
	assert_int_equal(rig.device->n_reset, 1);
	assert_true(rig.device->acked & 1ull << 5);
	stop_both();

	/* A reboot with RESET_DEVICE: once is enough. */
	assert_int_equal(vhu_frontend_tell(&rig.frontend, VHU_RESET_DEVICE), 0);
	for (unsigned q = 0; q < RIG_QUEUES; q++)
		vhu_driver_reset(&rig.driver[q]);
	restart_both();
	rig_echo(&rig, 0);
	assert_int_equal(rig.device->n_reset, 2);
	stop_both();

	/* Which is not said for the next one. */
	for (unsigned q = 0; q < RIG_QUEUES; q++)
		vhu_driver_reset(&rig.driver[q]);
	restart_both();
	assert_int_equal(rig.device->n_reset, 3);
	rig_stop(&rig);
}

static void tells_reset_from_pause(void **state)
{
	(void)state;
	tell_reset_from_pause(0);
	tell_reset_from_pause(VHU_BIT(VHU_F_RING_PACKED));
}

static void next_config_change(void)
{
	struct vhu_message request;

	vhu_message_init(&request);
	assert_int_equal(vhu_frontend_next_request(&rig.frontend, &request), 0);
	assert_int_equal(request.header.request, VHU_BACKEND_CONFIG_CHANGE_MSG);
	vhu_message_finish(&request);
}

static void config_change_waits_for_a_ring(void **state)
{
	struct vhu_message request;

	(void)state;
	start_plain(VHU_LOCK_NONE);
	rig_bring_up(&rig);
	vhu_device_config_changed(&rig.device->device);
	next_config_change();
	stop_both();
	vhu_device_config_changed(&rig.device->device);
	rig.frontend.timeout_ms = 200;
	vhu_message_init(&request);
	assert_int_equal(vhu_frontend_next_request(&rig.frontend, &request), -ETIMEDOUT);
	rig.frontend.timeout_ms = 5000;
	restart_both();
	next_config_change();
	rig_stop(&rig);
}

static void workers_start_with_their_first_ring(void **state)
{
	struct vhu_device_ops ops = rig_ops();

	(void)state;
	ops.queues_per_thread = queue_each;
	rig_start(&rig, &ops);
	assert_int_equal(vhu_frontend_negotiate(&rig.frontend, VHU_FRONTEND_FEATURES,
						VHU_FRONTEND_PROTOCOL_FEATURES),
			 0);
	assert_int_equal(vhu_frontend_share_memory(&rig.frontend), 0);
	assert_int_equal(vhu_driver_init(&rig.driver[1], &rig.frontend, 1, 16), 0);
	assert_int_equal(vhu_driver_start(&rig.driver[1]), 0);
	rig_echo(&rig, 1);
	assert_false(rig.device->device.workers[0].running);
	assert_true(rig.device->device.workers[1].running);
	rig_stop(&rig);
}

static int exit_fd;

static int exit_event(struct vhu_device *device, unsigned worker_idx)
{
	(void)device;
	(void)worker_idx;
	return exit_fd;
}

/* A worker that was told to exit serves nothing more, and holds nobody up. */
static void exit_event_ends_a_worker(void **state)
{
	struct vhu_device_ops ops = rig_ops();
	struct timespec moment = { .tv_nsec = 1000000 };

	(void)state;
	exit_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_true(exit_fd >= 0);
	ops.exit_event = exit_event;
	rig_start(&rig, &ops);
	rig_bring_up(&rig);
	rig_echo(&rig, 0);
	eventfd_write(exit_fd, 1);
	for (int i = 0; i < 100; i++) {
		nanosleep(&moment, NULL);
		assert_int_equal(vhu_frontend_sync(&rig.frontend), 0);
	}
	stop_both();
	/* A ring may still be set up and stopped; nobody serves it. */
	restart_both();
	stop_both();
	rig_stop(&rig);
	close(exit_fd);
}

static void reset_device_stops_live_rings(void **state)
{
	(void)state;
	start_plain(VHU_LOCK_NONE);
	rig_bring_up(&rig);
	rig_echo(&rig, 0);
	assert_int_equal(vhu_frontend_tell(&rig.frontend, VHU_RESET_DEVICE), 0);
	assert_int_equal(rig.device->last_reason, VHU_DRAIN_RESET);
	assert_int_equal(rig.device->n_suspended, 1);
	for (unsigned q = 0; q < RIG_QUEUES; q++)
		vhu_driver_reset(&rig.driver[q]);
	restart_both();
	rig_echo(&rig, 0);
	rig_stop(&rig);
}

static int cannot_start(struct vhu_device *device, unsigned queue, unsigned size)
{
	(void)device;
	(void)size;
	return queue ? 0 : -ENOMEM;
}

/* A ring that was never enabled, and one that the device could not serve. */
static void only_what_was_started_is_drained(void **state)
{
	struct vhu_device_ops ops = rig_ops();
	struct vhu_driver *driver = rig.driver;

	(void)state;
	ops.start = cannot_start;
	rig_start(&rig, &ops);
	assert_int_equal(vhu_frontend_negotiate(&rig.frontend, VHU_FRONTEND_FEATURES,
						VHU_FRONTEND_PROTOCOL_FEATURES),
			 0);
	assert_int_equal(vhu_frontend_share_memory(&rig.frontend), 0);
	for (unsigned q = 0; q < RIG_QUEUES; q++) {
		assert_int_equal(vhu_driver_init(&driver[q], &rig.frontend, q, 16), 0);
		assert_int_equal(vhu_driver_set_up(&driver[q]), 0);
		assert_int_equal(vhu_driver_stop(&driver[q]), 0);
		assert_int_equal(vhu_driver_start(&driver[q]), 0);
		assert_int_equal(vhu_driver_stop(&driver[q]), 0);
		assert_int_equal(rig.device->n_drain, q);
	}
	rig_stop(&rig);
}

static int push_all_slowly(struct vhu_device *device, unsigned event_id, uint32_t epoll_events,
			   unsigned worker_idx)
{
	struct vhu_vring *vring = vhu_device_vring(device, event_id);
	struct vhu_chain *chain;

	(void)epoll_events;
	(void)worker_idx;
	while ((chain = vhu_vring_pop(vring))) {
		vhu_vring_push(vring, chain, 0);
		usleep(20000);
	}
	return 0;
}

/* Requests of one pass that belong together. */
static void one_call_a_pass(void **state)
{
	struct vhu_device_ops ops = rig_ops();
	struct vhu_driver *driver = rig.driver;
	struct vhu_driver_used used;
	struct vhu_guest_buffer buffer;

	(void)state;
	ops.calls_once = true;
	ops.handle_event = push_all_slowly;
	rig_start(&rig, &ops);
	rig_bring_up(&rig);
	buffer = vhu_guest_alloc(&rig.frontend.guest, 8, 8);
	for (unsigned i = 0; i < 10; i++)
		assert_true(vhu_driver_add(driver, &buffer, 0, 1, i) >= 0);
	assert_true(vhu_driver_kick(driver) >= 0);
	assert_int_equal(vhu_driver_wait(driver, &used), 0);
	assert_int_equal(driver->split.vring.used->idx, 10);
	rig_stop(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(serves_under_every_locking),
		cmocka_unit_test(mutex_keeps_slots_apart),
		cmocka_unit_test(worker_locking_is_one_thread),
		cmocka_unit_test(masks_must_cover_each_queue_once),
		cmocka_unit_test(get_vring_base_drains),
		cmocka_unit_test(front_end_gone_while_parked),
		cmocka_unit_test(session_end_drains),
		cmocka_unit_test(removed_memory_waits_for_requests),
		cmocka_unit_test(tells_reset_from_pause),
		cmocka_unit_test(config_change_waits_for_a_ring),
		cmocka_unit_test(workers_start_with_their_first_ring),
		cmocka_unit_test(exit_event_ends_a_worker),
		cmocka_unit_test(reset_device_stops_live_rings),
		cmocka_unit_test(only_what_was_started_is_drained),
		cmocka_unit_test(one_call_a_pass),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
