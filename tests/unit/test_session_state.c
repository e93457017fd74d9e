/* SPDX-License-Identifier: BSD-3-Clause */
/* Device state under each locking: the slots run where they should, also as the session goes. */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/session_rig.h"

#define BITS (VHU_FRONTEND_PROTOCOL_FEATURES | VHU_BIT(VHU_PROTOCOL_F_DEVICE_STATE))
#define NO_FD (1ull << 8)

static struct rig rig;
static atomic_uint n_saved, n_loaded, n_inside;
static atomic_bool slow, fails;

static const enum vhu_locking lockings[] = { VHU_LOCK_NONE, VHU_LOCK_MUTEX, VHU_LOCK_RWLOCK,
					     VHU_LOCK_WORKER };

static void take_time(void)
{
	atomic_fetch_add(&n_inside, 1);
	if (atomic_load(&slow))
		usleep(200000);
}

static int save(struct vhu_device *device, void **ret_bytes, size_t *ret_len)
{
	(void)device;
	take_time();
	if (atomic_load(&fails))
		return -EIO;
	*ret_bytes = strdup("state");
	*ret_len = 5;
	atomic_fetch_add(&n_saved, 1);
	return 0;
}

static int load(struct vhu_device *device, uint32_t version, const void *bytes, size_t len)
{
	(void)device;
	take_time();
	if (version != 7 || len != 5 || memcmp(bytes, "state", 5) || atomic_load(&fails))
		return -EINVAL;
	atomic_fetch_add(&n_loaded, 1);
	return 0;
}

static void start(enum vhu_locking locking)
{
	struct vhu_device_ops ops = rig_ops();

	ops.locking = locking;
	ops.state_version = 7;
	ops.save = save;
	ops.load = load;
	n_saved = n_loaded = n_inside = 0;
	slow = fails = false;
	rig_start(&rig, &ops);
	assert_int_equal(vhu_frontend_negotiate(&rig.frontend, VHU_FRONTEND_FEATURES, BITS), 0);
}

static uint64_t set_fd(uint32_t direction, int fd)
{
	struct vhu_transfer_state asked = { direction, 0 };
	struct vhu_message reply;
	uint64_t value;

	assert_int_equal(vhu_frontend_call(&rig.frontend, VHU_SET_DEVICE_STATE_FD, &asked,
					   sizeof(asked), &fd, 1, &reply),
			 0);
	value = reply.payload.u64;
	vhu_message_finish(&reply);
	return value;
}

static uint64_t value_of(uint32_t request)
{
	uint64_t value;

	assert_int_equal(vhu_frontend_ask_u64(&rig.frontend, request, &value), 0);
	return value;
}

static void send_check(void)
{
	struct vhu_header header = { VHU_CHECK_DEVICE_STATE, VHU_VERSION, 0 };

	assert_int_equal(vhu_frontend_send(&rig.frontend, &header, NULL, 0, NULL, 0), 0);
}

/* Its answer. */
static uint64_t checked(void)
{
	struct vhu_message reply;
	uint64_t value;

	assert_int_equal(vhu_frontend_receive(&rig.frontend, &reply), 0);
	assert_int_equal(reply.header.request, VHU_CHECK_DEVICE_STATE);
	value = reply.payload.u64;
	vhu_message_finish(&reply);
	return value;
}

static size_t read_all(int fd, char *bytes, size_t size)
{
	size_t len = 0;
	ssize_t n;

	while ((n = read(fd, bytes + len, size - len)) > 0)
		len += (size_t)n;
	return len;
}

static void there_and_back(void **state)
{
	char bytes[256];
	size_t len;
	int fds[2];

	(void)state;
	for (size_t i = 0; i < sizeof(lockings) / sizeof(*lockings); i++) {
		start(lockings[i]);
		assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
		assert_int_equal(set_fd(0, fds[1]), NO_FD);
		close(fds[1]);
		len = read_all(fds[0], bytes, sizeof(bytes));
		close(fds[0]);
		assert_int_equal(value_of(VHU_CHECK_DEVICE_STATE), 0);
		assert_int_equal(n_saved, 1);

		/* CHECK comes before the end: it is answered then. */
		assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
		assert_int_equal(set_fd(1, fds[0]), NO_FD);
		close(fds[0]);
		assert_int_equal(write(fds[1], bytes, len / 2), len / 2);
		send_check();
		usleep(20000);
		assert_int_equal(n_loaded, 0);
		assert_int_equal(write(fds[1], bytes + len / 2, len - len / 2), len - len / 2);
		close(fds[1]);
		assert_int_equal(checked(), 0);
		assert_int_equal(n_loaded, 1);
		/* Rings at their first index are no new driver's here: the state stays. */
		rig_bring_up(&rig);
		rig_echo(&rig, 0);
		assert_int_equal(rig.device->n_reset, 0);
		/* And it does not come back behind what the guest has done since. */
		for (unsigned q = 0; q < RIG_QUEUES; q++)
			assert_int_equal(vhu_driver_stop(&rig.driver[q]), 0);
		assert_int_equal(vhu_frontend_set_protocol_features(&rig.frontend, BITS), 0);
		assert_int_not_equal(value_of(VHU_CHECK_DEVICE_STATE), 0);
		assert_int_equal(n_loaded, 1);
		rig_stop(&rig);
	}
}

static void slots_that_fail(void **state)
{
	int fds[2];

	(void)state;
	start(VHU_LOCK_MUTEX);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	fails = true;
	assert_int_equal(set_fd(0, fds[1]), NO_FD | 1);
	assert_int_not_equal(value_of(VHU_CHECK_DEVICE_STATE), 0);
	close(fds[0]);
	close(fds[1]);
	rig_stop(&rig);
}

/* The slot is still at work on its thread when the front-end has gone. */
static void gone_inside_a_slot(void **state)
{
	static char header[45] = "vhustaterig";
	struct vhu_transfer_state asked = { 0, 0 };
	struct vhu_header call = { VHU_SET_DEVICE_STATE_FD, VHU_VERSION, sizeof(asked) };
	int fds[2];

	(void)state;
	header[24] = 7;
	header[32] = 5;
	memcpy(header + 40, "state", 5);
	for (size_t i = 0; i < sizeof(lockings) / sizeof(*lockings); i++) {
		for (unsigned direction = 0; direction < 2; direction++) {
			start(lockings[i]);
			slow = true;
			assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
			if (direction == 0) {
				assert_int_equal(vhu_frontend_send(&rig.frontend, &call, &asked,
								   sizeof(asked), &fds[1], 1),
						 0);
			} else {
				assert_int_equal(set_fd(1, fds[0]), NO_FD);
				assert_int_equal(write(fds[1], header, sizeof(header)),
						 sizeof(header));
				close(fds[1]);
				fds[1] = -1;
				send_check();
			}
			rig_wait_for(&n_inside, 1);
			rig_stop(&rig);
			assert_int_equal(n_saved + n_loaded, 1);
			close(fds[0]);
			if (fds[1] >= 0)
				close(fds[1]);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(there_and_back),
		cmocka_unit_test(slots_that_fail),
		cmocka_unit_test(gone_inside_a_slot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
