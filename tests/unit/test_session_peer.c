/* SPDX-License-Identifier: BSD-3-Clause */
/* What a front-end does with the fds that it shares with us, and while a device is busy. */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/fd.h"
#include "tests/unit/session_rig.h"

static struct rig rig;

static void start(enum vhu_locking locking)
{
	struct vhu_device_ops ops = rig_ops();

	ops.locking = locking;
	rig_start(&rig, &ops);
	rig_bring_up(&rig);
}

/* The open file of the channel is the front-end's as well: it takes O_NONBLOCK away. */
static void a_channel_made_blocking(void **state)
{
	struct vhu_header half = { .request = VHU_BACKEND_CONFIG_CHANGE_MSG,
				   .flags = VHU_VERSION | VHU_FLAG_REPLY, .size = 8 };
	int pair[2], shared;

	(void)state;
	start(VHU_LOCK_NONE);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	shared = dup(pair[1]);
	assert_int_equal(vhu_frontend_call(&rig.frontend, VHU_SET_BACKEND_REQ_FD, NULL, 0, &pair[1],
					   1, NULL),
			 0);
	assert_int_equal(vhu_fd_set_nonblock(shared, false), 0);
	assert_int_equal(write(pair[0], &half, sizeof(half)), sizeof(half));
	usleep(50000);
	assert_int_equal(vhu_frontend_sync(&rig.frontend), 0);
	close(pair[0]);
	close(pair[1]);
	close(shared);
	rig_stop(&rig);
}

/* A call may have gone to the old fd after the front-end looked there: the new one gets one. */
static void a_new_call_fd_is_called(void **state)
{
	struct pollfd p = { .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), .events = POLLIN };

	(void)state;
	start(VHU_LOCK_NONE);
	rig_echo(&rig, 0);
	assert_int_equal(vhu_frontend_set_vring_fd(&rig.frontend, VHU_SET_VRING_CALL, 0, p.fd), 0);
	assert_int_equal(poll(&p, 1, 5000), 1);
	close(p.fd);
	rig_stop(&rig);
}

static void call_and_err_must_be_eventfds(void **state)
{
	int file = inotify_init1(IN_CLOEXEC);

	(void)state;
	start(VHU_LOCK_NONE);
	assert_true(file >= 0);
	assert_int_equal(vhu_frontend_set_vring_fd(&rig.frontend, VHU_SET_VRING_CALL, 0, file),
			 -EREMOTEIO);
	assert_int_equal(vhu_frontend_set_vring_fd(&rig.frontend, VHU_SET_VRING_ERR, 0, file),
			 -EREMOTEIO);
	close(file);
	rig_echo(&rig, 0);
	rig_stop(&rig);
}

/* Main answers what it can while a device holds its lock. */
static void main_waits_for_no_lock(void **state)
{
	static const enum vhu_locking locked[] = { VHU_LOCK_MUTEX, VHU_LOCK_RWLOCK,
						   VHU_LOCK_WORKER };
	struct vhu_guest_buffer buffer;

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		start(locked[i]);
		atomic_store(&rig.device->slow, true);
		buffer = vhu_guest_alloc(&rig.frontend.guest, 8, 8);
		vhu_driver_add(&rig.driver[0], &buffer, 0, 1, 0);
		vhu_driver_kick(&rig.driver[0]);
		rig_wait_for(&rig.device->n_inside, 1);
		rig.frontend.timeout_ms = 500;
		assert_int_equal(vhu_frontend_sync(&rig.frontend), 0);
		rig.frontend.timeout_ms = 5000;
		atomic_store(&rig.device->slow, false);
		rig_stop(&rig);
	}
}

/* The file behind a buffer is cut short while the request waits for an event of the device. */
static void memory_goes_between_two_passes(void **state)
{
	struct vhu_guest *guest = &rig.frontend.guest;
	struct vhu_guest_buffer buffers[2];
	struct vhu_device_ops ops = rig_ops();
	int second;

	(void)state;
	rig_start(&rig, &ops);
	second = vhu_guest_add(guest, 1 << 30, 1 << 20);
	assert_int_equal(second, 1);
	rig_bring_up(&rig);
	atomic_store(&rig.device->hold, true);
	buffers[0] = vhu_guest_alloc(guest, 32, 8);
	buffers[1] = (struct vhu_guest_buffer){ 1 << 30, 32, guest->regions[second].host };
	assert_true(vhu_driver_add(&rig.driver[0], buffers, 1, 1, 0) >= 0);
	assert_int_equal(vhu_driver_kick(&rig.driver[0]), 1);
	rig_wait_for(&rig.device->n_held[0], 1);
	assert_int_equal(ftruncate(guest->regions[second].fd, 0), 0);
	rig_release(&rig);
	assert_int_equal(vhu_frontend_wait_closed(&rig.frontend), 0);
	rig_stop(&rig);
	assert_int_equal(rig.close_error, -EFAULT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_channel_made_blocking),
		cmocka_unit_test(a_new_call_fd_is_called),
		cmocka_unit_test(call_and_err_must_be_eventfds),
		cmocka_unit_test(main_waits_for_no_lock),
		cmocka_unit_test(memory_goes_between_two_passes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
