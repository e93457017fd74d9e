/* SPDX-License-Identifier: BSD-3-Clause */
/* What a device may still say when the front-end takes a ring away. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/session_rig.h"

static struct rig rig;

static int takes_nothing(struct vhu_device *device, unsigned event_id, uint32_t epoll_events,
			 unsigned worker_idx)
{
	(void)device;
	(void)event_id;
	(void)epoll_events;
	(void)worker_idx;
	return 0;
}

static void push_one(struct vhu_device *device, unsigned queue)
{
	struct vhu_vring *vring = vhu_device_vring(device, queue);
	struct vhu_chain *chain = vhu_vring_pop(vring);

	assert_non_null(chain);
	vhu_vring_push(vring, chain, 0);
}

/* Once a time that the front-end takes the ring away, and while it may be written to. */
static void a_last_word(void **state)
{
	struct vhu_device_ops ops = rig_ops();
	struct vhu_driver *driver = rig.driver;
	struct vhu_guest_buffer buffer;
	uint32_t base;

	(void)state;
	ops.handle_event = takes_nothing;
	ops.farewell = push_one;
	rig_start(&rig, &ops);
	rig_bring_up(&rig);
	buffer = vhu_guest_alloc(&rig.frontend.guest, 8, 8);
	for (unsigned i = 0; i < 8; i++)
		assert_true(vhu_driver_add(driver, &buffer, 0, 1, i) >= 0);
	assert_true(vhu_driver_kick(driver) >= 0);
	assert_int_equal(vhu_driver_stop(driver), 0);
	assert_int_equal(driver->base, 1);
	assert_int_equal(vhu_driver_count_calls(driver), 1);
	assert_int_equal(vhu_driver_start(driver), 0);
	assert_int_equal(vhu_frontend_get_vring_base(&rig.frontend, 0, &base), 0);
	assert_int_equal(base, 2);
	driver->base = base;
	assert_int_equal(vhu_driver_start(driver), 0);
	assert_int_equal(vhu_frontend_tell(&rig.frontend, VHU_RESET_DEVICE), 0);
	assert_int_equal(driver->split.vring.used->idx, 2);
	rig_stop(&rig);
}

#define MANY 100000
static unsigned n_said;

/* A driver on another CPU gives a buffer for each that is taken. */
static void say_much(struct vhu_device *device, unsigned queue)
{
	struct vhu_vring *vring = vhu_device_vring(device, queue);
	struct vhu_chain *chain;

	while (n_said < MANY && (chain = vhu_vring_pop(vring))) {
		struct vring_avail *avail = rig.driver->split.vring.avail;

		n_said++;
		vhu_vring_push(vring, chain, 0);
		avail->ring[avail->idx % rig.driver->size] = 0;
		__atomic_store_n(&avail->idx, (uint16_t)(avail->idx + 1), __ATOMIC_RELEASE);
	}
}

/* However many buffers a driver gives, the front-end gets its answer. */
static void a_last_word_has_an_end(void **state)
{
	struct vhu_device_ops ops = rig_ops();
	struct vhu_driver *driver = rig.driver;
	struct vhu_guest_buffer buffer;

	(void)state;
	n_said = 0;
	ops.handle_event = takes_nothing;
	ops.farewell = say_much;
	rig_start(&rig, &ops);
	rig_bring_up(&rig);
	buffer = vhu_guest_alloc(&rig.frontend.guest, 8, 8);
	assert_true(vhu_driver_add(driver, &buffer, 0, 1, 0) >= 0);
	assert_true(vhu_driver_kick(driver) >= 0);
	assert_int_equal(vhu_driver_stop(driver), 0);
	assert_int_equal(n_said, driver->size);
	rig_stop(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_last_word),
		cmocka_unit_test(a_last_word_has_an_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
