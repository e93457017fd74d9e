/* SPDX-License-Identifier: BSD-3-Clause */
/* The in-flight record in a session, on split and packed rings. */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/num.h"
#include "common/frontend/inflight.h"
#include "common/ring/inflight.h"
#include "tests/unit/session_rig.h"

#define INFLIGHT VHU_BIT(VHU_PROTOCOL_F_INFLIGHT_SHMFD)
#define SUSPEND (INFLIGHT | VHU_BIT(VHU_PROTOCOL_F_GET_VRING_BASE_INFLIGHT))
#define PACKED VHU_BIT(VHU_F_RING_PACKED)
#define RING_SIZE 16
#define HELD 5

static const uint64_t forms[] = { 0, PACKED };
static struct rig rig;
static struct vhu_record record;
static struct vhu_guest_buffer buffer;

static void negotiate(uint64_t features, uint64_t protocol_features)
{
	struct vhu_frontend *f = &rig.frontend;

	assert_int_equal(vhu_frontend_negotiate(f, VHU_FRONTEND_FEATURES | features,
						VHU_FRONTEND_PROTOCOL_FEATURES | protocol_features),
			 0);
	assert_int_equal(vhu_frontend_share_memory(f), 0);
}

static void set_up(uint64_t features, uint64_t protocol_features)
{
	struct vhu_device_ops ops = rig_ops();

	rig_start(&rig, &ops);
	negotiate(features, protocol_features);
	assert_int_equal(vhu_driver_init(&rig.driver[0], &rig.frontend, 0, RING_SIZE), 0);
	buffer = vhu_guest_alloc(&rig.frontend.guest, 64, 8);
}

static void give_record(void)
{
	assert_int_equal(vhu_frontend_get_record(&rig.frontend, 1, RING_SIZE, &record), 0);
	assert_int_equal(vhu_frontend_set_record(&rig.frontend, &record), 0);
}

static unsigned recorded(void)
{
	void *region = vhu_record_queue(&record, 0);

	return rig.frontend.acked_features & PACKED ? vhu_record_count_packed(region)
						    : vhu_record_count_split(region);
}

static void add(unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		assert_true(vhu_driver_add(&rig.driver[0], &buffer, 0, 1, i) >= 0);
	assert_true(vhu_driver_kick(&rig.driver[0]) >= 0);
}

/* Each of the tokens 0 to n - 1 comes once. */
static void collect(unsigned n)
{
	struct vhu_driver_used used;
	uint64_t seen = 0;

	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(vhu_driver_wait(&rig.driver[0], &used), 0);
		assert_true(used.token < n && !(seen & 1ull << used.token));
		seen |= 1ull << used.token;
	}
	assert_false(vhu_driver_has_used(&rig.driver[0]));
}

/* A ring that was stopped with requests in flight, which the record has. */
static void suspend_with_some(uint64_t features)
{
	set_up(features, SUSPEND);
	give_record();
	assert_int_equal(vhu_driver_start(&rig.driver[0]), 0);
	/* Not at the beginning of the ring. */
	add(3);
	collect(3);
	atomic_store(&rig.device->leaves, true);
	atomic_store(&rig.device->hold, true);
	add(HELD);
	rig_wait_for(&rig.device->n_held[0], HELD);
	assert_int_equal(vhu_driver_stop(&rig.driver[0]), 0);
	assert_int_equal(rig.device->last_reason, VHU_DRAIN_SUSPEND);
	assert_int_equal(rig.device->n_held[0], 0);
	assert_false(vhu_driver_has_used(&rig.driver[0]));
	assert_int_equal(recorded(), HELD);
}

static void finish(void)
{
	vhu_record_finish(&record);
	rig_stop(&rig);
}

/* The driver is shown what is done, then the record says so (vhost-user, Inflight I/O tracking). */
static void wait_until_none_is_recorded(void)
{
	for (unsigned i = 0; i < 5000 && recorded(); i++)
		usleep(1000);
	assert_int_equal(recorded(), 0);
}

static void released_once(void)
{
	rig_wait_for(&rig.device->n_held[0], HELD);
	atomic_store(&rig.device->hold, false);
	rig_release(&rig);
	collect(HELD);
	wait_until_none_is_recorded();
	add(RING_SIZE);
	collect(RING_SIZE);
}

static void what_was_left_comes_again(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(forms); i++) {
		suspend_with_some(forms[i]);
		assert_int_equal(vhu_driver_start(&rig.driver[0]), 0);
		released_once();
		finish();
	}
}

/* Another session, as after a crash: the base is the one that QEMU has then. */
static void reconnect(uint64_t features, uint64_t protocol_features)
{
	struct vhu_driver driver = rig.driver[0];

	memset(&rig.driver[0], 0, sizeof(driver));
	rig_disconnect(&rig);
	rig_connect(&rig);
	rig.driver[0] = driver;
	negotiate(features, protocol_features);
	vhu_driver_restore_base(&rig.driver[0]);
}

static void another_session_takes_it_up(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(forms); i++) {
		suspend_with_some(forms[i]);
		reconnect(forms[i], SUSPEND);
		assert_int_equal(vhu_frontend_set_record(&rig.frontend, &record), 0);
		assert_int_equal(vhu_driver_start(&rig.driver[0]), 0);
		released_once();
		finish();
	}
}

static void it_may_come_after_the_rings(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(forms); i++) {
		suspend_with_some(forms[i]);
		reconnect(forms[i], SUSPEND);
		assert_int_equal(vhu_driver_set_up(&rig.driver[0]), 0);
		assert_int_equal(vhu_frontend_set_record(&rig.frontend, &record), 0);
		assert_int_equal(vhu_frontend_set_vring(&rig.frontend, VHU_SET_VRING_ENABLE, 0, 1),
				 0);
		released_once();
		finish();
	}
}

/*
 * Without GET_VRING_BASE_INFLIGHT nothing may be in flight behind the answer, be it of a ring that
 * was never enabled.
 */
static void a_stop_finishes_the_last_run(void **state)
{
	(void)state;
	for (unsigned n = 0; n < 2 * ARRAY_SIZE(forms); n++) {
		unsigned i = n / 2;

		suspend_with_some(forms[i]);
		atomic_store(&rig.device->hold, false);
		reconnect(forms[i], INFLIGHT);
		assert_int_equal(vhu_frontend_set_record(&rig.frontend, &record), 0);
		assert_int_equal(n % 2 ? vhu_driver_start(&rig.driver[0])
				       : vhu_driver_set_up(&rig.driver[0]),
				 0);
		assert_int_equal(vhu_driver_stop(&rig.driver[0]), 0);
		assert_int_equal(rig.device->last_reason, VHU_DRAIN_STOP);
		assert_int_equal(recorded(), 0);
		collect(HELD);
		assert_int_equal(rig.driver[0].base, vhu_driver_idle_base(&rig.driver[0]));
		finish();
	}
}

static void a_reset_forgets(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(forms); i++) {
		suspend_with_some(forms[i]);
		assert_int_equal(vhu_frontend_tell(&rig.frontend, VHU_RESET_DEVICE), 0);
		vhu_driver_reset(&rig.driver[0]);
		atomic_store(&rig.device->hold, false);
		assert_int_equal(vhu_driver_start(&rig.driver[0]), 0);
		add(HELD);
		collect(HELD);
		finish();
	}
}

/* Under a ring at work: what is in flight is finished, and the new one is used. */
static void it_may_be_replaced(void **state)
{
	struct vhu_record first;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(forms); i++) {
		set_up(forms[i], INFLIGHT);
		give_record();
		first = record;
		assert_int_equal(vhu_driver_start(&rig.driver[0]), 0);
		atomic_store(&rig.device->drain_at_once, true);
		atomic_store(&rig.device->hold, true);
		add(HELD);
		rig_wait_for(&rig.device->n_held[0], HELD);
		give_record();
		vhu_record_finish(&first);
		collect(HELD);
		add(HELD);
		rig_wait_for(&rig.device->n_held[0], HELD);
		assert_int_equal(recorded(), HELD);
		finish();
	}
}

static void nothing_given_is_nothing_tracked(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(forms); i++) {
		set_up(forms[i], SUSPEND);
		assert_int_equal(vhu_driver_start(&rig.driver[0]), 0);
		atomic_store(&rig.device->leaves, true);
		atomic_store(&rig.device->drain_at_once, true);
		atomic_store(&rig.device->hold, true);
		add(HELD);
		rig_wait_for(&rig.device->n_held[0], HELD);
		assert_int_equal(vhu_driver_stop(&rig.driver[0]), 0);
		assert_int_equal(rig.device->last_reason, VHU_DRAIN_STOP);
		collect(HELD);
		rig_stop(&rig);
	}
}

/* Both forms of the payload; the file is sealed and there is room for the largest ring. */
static void a_record_is_made(void **state)
{
	static const uint32_t sizes[] = { VHU_INFLIGHT_SIZE, sizeof(struct vhu_inflight) };
	struct vhu_inflight asked = { .n_queues = 2, .queue_size = 4 };

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct vhu_inflight *got;
		struct vhu_message reply;
		int seals;

		set_up(0, INFLIGHT);
		assert_int_equal(vhu_frontend_call(&rig.frontend, VHU_GET_INFLIGHT_FD, &asked,
						   sizes[i], NULL, 0, &reply),
				 0);
		got = &reply.payload.inflight;
		assert_int_equal(reply.header.size, sizes[i]);
		assert_int_equal(got->n_queues, 2);
		assert_int_equal(got->queue_size, 4);
		assert_int_equal(got->mmap_offset, 0);
		assert_int_equal(got->mmap_size, 2 * vhu_inflight_bytes(64));
		seals = fcntl(reply.fds[0], F_GET_SEALS);
		assert_true(seals & F_SEAL_SHRINK);
		vhu_message_finish(&reply);
		rig_stop(&rig);
	}
}

static int file_of(uint64_t size)
{
	int fd = memfd_create("record", MFD_CLOEXEC);

	assert_true(fd >= 0 && ftruncate(fd, (off_t)size) == 0);
	return fd;
}

static int set_raw(const struct vhu_inflight *wire, int fd)
{
	return vhu_frontend_call(&rig.frontend, VHU_SET_INFLIGHT_FD, wire, sizeof(*wire), &fd, 1,
				 NULL);
}

static void bad_ones_are_refused(void **state)
{
	static const struct vhu_inflight bad[] = {
		{ 4096, 0, 0, 16 },
		{ 4096, 0, RIG_QUEUES + 1, 16 },
		{ 4096, 0, 1, 0 },
		{ 4096, 0, 1, 32769 },
		{ 0, 0, 1, 16 },
		{ 24, 0, 1, 16 },
		{ 4096, 4, 1, 16 },
		{ 4100, 0, 1, 16 },
		{ 4096, 8192, 1, 16 },
		{ 16384, 0, 1, 16 },
		{ UINT64_MAX - 7, 0, 1, 16 },
		{ 4096, UINT64_MAX - 7, 1, 16 },
	};
	int fd = file_of(8192);

	(void)state;
	set_up(0, INFLIGHT);
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(set_raw(&bad[i], fd), -EREMOTEIO);
	assert_int_equal(vhu_driver_start(&rig.driver[0]), 0);
	rig_echo(&rig, 0);
	close(fd);
	rig_stop(&rig);
}

/* A ring larger than the record is served all the same. */
static void a_small_one_is_not_used(void **state)
{
	static const struct vhu_inflight small = { 2 * 160, 0, 2, 4 };
	int fd = file_of(4096);

	(void)state;
	set_up(0, INFLIGHT);
	assert_int_equal(set_raw(&small, fd), 0);
	assert_int_equal(vhu_driver_start(&rig.driver[0]), 0);
	add(RING_SIZE);
	collect(RING_SIZE);
	close(fd);
	rig_stop(&rig);
}

static void a_file_cut_short_ends_the_session(void **state)
{
	static const struct vhu_inflight wire = { 8192, 0, 1, 16 };
	int fd = file_of(8192);

	(void)state;
	set_up(0, INFLIGHT);
	assert_int_equal(set_raw(&wire, fd), 0);
	assert_int_equal(vhu_driver_start(&rig.driver[0]), 0);
	add(1);
	collect(1);
	assert_int_equal(ftruncate(fd, 0), 0);
	add(1);
	assert_int_equal(vhu_frontend_wait_closed(&rig.frontend), 0);
	close(fd);
	rig_stop(&rig);
}

static void a_damaged_one_breaks_the_ring(void **state)
{
	struct vhu_record_split *split;
	struct vhu_driver_used used;

	(void)state;
	suspend_with_some(0);
	split = vhu_record_queue(&record, 0);
	split->version = 2;
	assert_int_equal(vhu_driver_start(&rig.driver[0]), -EREMOTEIO);
	assert_int_equal(vhu_driver_wait(&rig.driver[0], &used), -EIO);
	/* The next one is none of its business. */
	assert_int_equal(vhu_frontend_tell(&rig.frontend, VHU_RESET_DEVICE), 0);
	vhu_driver_reset(&rig.driver[0]);
	atomic_store(&rig.device->hold, false);
	assert_int_equal(vhu_driver_start(&rig.driver[0]), 0);
	rig_echo(&rig, 0);
	finish();
}

/* It comes under a ring at work, which may be given other fds all the same. */
static void a_damaged_one_breaks_a_ring_at_work(void **state)
{
	struct vhu_record_split *split;
	int kick_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	(void)state;
	set_up(0, INFLIGHT);
	assert_int_equal(vhu_driver_start(&rig.driver[0]), 0);
	rig_echo(&rig, 0);
	assert_int_equal(vhu_frontend_get_record(&rig.frontend, 1, RING_SIZE, &record), 0);
	split = vhu_record_queue(&record, 0);
	split->version = 2;
	assert_int_equal(vhu_frontend_set_record(&rig.frontend, &record), -EREMOTEIO);
	assert_int_equal(
		vhu_frontend_set_vring_fd(&rig.frontend, VHU_SET_VRING_KICK, 0, kick_fd), 0);
	close(kick_fd);
	finish();
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_left_comes_again),
		cmocka_unit_test(another_session_takes_it_up),
		cmocka_unit_test(it_may_come_after_the_rings),
		cmocka_unit_test(a_stop_finishes_the_last_run),
		cmocka_unit_test(a_reset_forgets),
		cmocka_unit_test(it_may_be_replaced),
		cmocka_unit_test(nothing_given_is_nothing_tracked),
		cmocka_unit_test(a_record_is_made),
		cmocka_unit_test(bad_ones_are_refused),
		cmocka_unit_test(a_small_one_is_not_used),
		cmocka_unit_test(a_file_cut_short_ends_the_session),
		cmocka_unit_test(a_damaged_one_breaks_the_ring),
		cmocka_unit_test(a_damaged_one_breaks_a_ring_at_work),
	};

	return cmocka_run_group_tests_name("session/inflight", tests, NULL, NULL);
}
