/* SPDX-License-Identifier: BSD-3-Clause */
/* Vrings: what is refused, how they start and stop, and the fds they come with (protocol.md). */
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/fd.h"
#include "common/base/num.h"
#include "tests/device/harness.h"

static void indices_are_bounded(void **state)
{
	static const uint32_t by_u32[] = { VHU_SET_VRING_NUM, VHU_SET_VRING_BASE,
					   VHU_SET_VRING_ENABLE };
	struct scene *scene = *state;
	struct vhu_frontend *frontend = &scene->frontend;
	const uint32_t indices[] = { scene->target->n_queues, scene->target->n_queues + 1, 255,
				     256, 0x10000, 0x80000000, 0xffffffff };
	struct vhu_vring_addr addr = { 0 };
	uint32_t base;

	scene_ring(scene);
	for (size_t i = 0; i < ARRAY_SIZE(indices); i++) {
		for (size_t k = 0; k < ARRAY_SIZE(by_u32); k++)
			expect_refused(frontend, vhu_frontend_set_vring(frontend, by_u32[k],
									indices[i], 0));
		addr.index = indices[i];
		expect_refused(frontend, vhu_frontend_set_vring_addr(frontend, &addr));
	}
	scene_io(scene, &scene->driver);
	/* This one has no answer that says no. */
	for (size_t i = 0; i < ARRAY_SIZE(indices); i++) {
		scene_negotiate(scene);
		assert_int_equal(vhu_frontend_get_vring_base(frontend, indices[i], &base),
				 -ECONNRESET);
	}
}

static void indices_with_fds_are_bounded(void **state)
{
	static const uint32_t requests[] = { VHU_SET_VRING_KICK, VHU_SET_VRING_CALL,
					     VHU_SET_VRING_ERR };
	struct scene *scene = *state;
	struct vhu_frontend *frontend = &scene->frontend;
	const uint32_t indices[] = { scene->target->n_queues, 254, 255 };
	cleanup_fd int fd = make_eventfd(0, 0);
	unsigned n_fds;

	scene_ring(scene);
	n_fds = scene_fds(scene);
	for (size_t i = 0; i < ARRAY_SIZE(indices); i++) {
		for (size_t k = 0; k < ARRAY_SIZE(requests); k++) {
			expect_refused(frontend, vhu_frontend_set_vring_fd(frontend, requests[k],
									   indices[i], fd));
			expect_refused(frontend, vhu_frontend_set_vring_fd(frontend, requests[k],
									   indices[i], -1));
		}
	}
	assert_int_equal(scene_fds(scene), n_fds);
	scene_io(scene, &scene->driver);
}

static void sizes_are_bounded(void **state)
{
	struct scene *scene = *state;
	struct vhu_frontend *frontend = &scene->frontend;
	const uint32_t max = scene->target->queue_size_max;
	const uint32_t sizes[] = { 0, 3, 100, max + 1, 2 * max, 32768u * 2, 0x80000000,
				   0xffffffff };

	scene_negotiate(scene);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		expect_refused(frontend, vhu_frontend_set_vring(frontend, VHU_SET_VRING_NUM, 0,
								sizes[i]));
	for (uint32_t size = 1; size <= max; size *= 2)
		assert_int_equal(vhu_frontend_set_vring(frontend, VHU_SET_VRING_NUM, 0, size), 0);
}

static void bases_are_bounded(void **state)
{
	static const uint32_t bases[] = { 0x10000, 0x80008000, 0xffffffff };
	struct scene *scene = *state;

	scene_negotiate(scene);
	for (size_t i = 0; i < ARRAY_SIZE(bases); i++)
		expect_refused(&scene->frontend,
			       vhu_frontend_set_vring(&scene->frontend, VHU_SET_VRING_BASE, 0,
						      bases[i]));
}

static void enable_is_0_or_1(void **state)
{
	struct scene *scene = *state;
	struct vhu_frontend *frontend = &scene->frontend;

	scene_ring(scene);
	expect_refused(frontend, vhu_frontend_set_vring(frontend, VHU_SET_VRING_ENABLE, 0, 2));
	expect_refused(frontend,
		       vhu_frontend_set_vring(frontend, VHU_SET_VRING_ENABLE, 0, 0xffffffff));
	scene_io(scene, &scene->driver);
}

/* QEMU enables all queues, also those that it never set up. */
static void rings_that_were_not_set_up_are_enabled(void **state)
{
	struct scene *scene = *state;
	struct vhu_frontend *frontend = &scene->frontend;
	uint32_t base;

	scene_negotiate(scene);
	for (unsigned i = 0; i < scene->target->n_queues; i++) {
		assert_int_equal(vhu_frontend_set_vring(frontend, VHU_SET_VRING_ENABLE, i, 1), 0);
		assert_int_equal(vhu_frontend_set_vring(frontend, VHU_SET_VRING_ENABLE, i, 0), 0);
		assert_int_equal(vhu_frontend_get_vring_base(frontend, i, &base), 0);
		assert_int_equal(base, 0);
	}
}

static void base_of_a_ring_that_never_started(void **state)
{
	struct scene *scene = *state;
	struct vhu_frontend *frontend = &scene->frontend;
	uint32_t base;

	scene_negotiate(scene);
	assert_int_equal(vhu_frontend_set_vring(frontend, VHU_SET_VRING_BASE, 0, 1234), 0);
	assert_int_equal(vhu_frontend_get_vring_base(frontend, 0, &base), 0);
	assert_int_equal(base, 1234);
	assert_int_equal(vhu_frontend_get_vring_base(frontend, 0, &base), 0);
	assert_int_equal(base, 1234);
}

static void kick_before_setup_is_refused(void **state)
{
	struct scene *scene = *state;
	struct vhu_frontend *frontend = &scene->frontend;
	cleanup_fd int fd = make_eventfd(0, 0);
	struct vhu_vring_addr addr = { 0 };
	unsigned n_fds;

	scene_negotiate(scene);
	n_fds = scene_fds(scene);
	expect_refused(frontend, vhu_frontend_set_vring_fd(frontend, VHU_SET_VRING_KICK, 0, fd));
	assert_int_equal(vhu_frontend_set_vring(frontend, VHU_SET_VRING_NUM, 0, 16), 0);
	expect_refused(frontend, vhu_frontend_set_vring_fd(frontend, VHU_SET_VRING_KICK, 0, fd));
	assert_int_equal(scene_fds(scene), n_fds);
	/* Addresses that are in no memory: the ring breaks, its reset is a stop. */
	assert_int_equal(vhu_frontend_set_vring_addr(frontend, &addr), 0);
	expect_refused(frontend, vhu_frontend_set_vring_fd(frontend, VHU_SET_VRING_KICK, 0, fd));
	scene_ring(scene);
	scene_io(scene, &scene->driver);
}

static void bad_addresses_break_the_ring(void **state)
{
	/* The areas of a packed ring that are not descriptors have 4 bytes. */
	static const struct {
		int64_t desc, avail, used;
		bool split_only;
	} bad[] = {
		{ -1, 0, 0 },
		{ 0, -1, 0 },
		{ 0, 0, -1 }, /* before the region, and misaligned */
		{ 8, 0, 0 },
		{ 0, 1, 0 },
		{ 0, 0, 2 }, /* misaligned: 16, 2, 4 */
		{ 64 << 20, 0, 0 },
		{ 0, 64 << 20, 0 },
		{ 0, 0, 64 << 20 },
		{ (64 << 20) - 16, 0, 0 },
		{ 0, (64 << 20) - 4, 0, true },
		{ 0, 0, (64 << 20) - 16, true },
		{ INT64_MIN, 0, 0 },
		{ 0, INT64_MIN, 0 },
		{ 0, 0, INT64_MAX - 15 },
	};
	struct scene *scene = *state;
	struct vhu_frontend *frontend = &scene->frontend;
	cleanup_fd int fd = make_eventfd(0, 0);
	uint32_t base;

	scene_negotiate(scene);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		uint64_t uaddr = frontend->guest.regions[0].wire.uaddr;
		struct vhu_vring_addr addr = {
			.desc_uaddr = uaddr + (uint64_t)bad[i].desc,
			.avail_uaddr = uaddr + (uint64_t)bad[i].avail,
			.used_uaddr = uaddr + (uint64_t)bad[i].used,
		};
		uint64_t status;

		if (bad[i].split_only && scene->ring_features & VHU_BIT(VHU_F_RING_PACKED))
			continue;
		assert_int_equal(vhu_frontend_set_vring(frontend, VHU_SET_VRING_NUM, 0, 64), 0);
		assert_int_equal(vhu_frontend_set_vring_addr(frontend, &addr), 0);
		expect_refused(frontend,
			       vhu_frontend_set_vring_fd(frontend, VHU_SET_VRING_KICK, 0, fd));
		assert_int_equal(vhu_frontend_ask_u64(frontend, VHU_GET_STATUS, &status), 0);
		assert_true(status & VHU_STATUS_NEEDS_RESET);
		assert_int_equal(vhu_frontend_get_vring_base(frontend, 0, &base), 0);
	}
	scene_ring(scene);
	scene_io(scene, &scene->driver);
}

static void live_rings_keep_size_and_base(void **state)
{
	struct scene *scene = *state;
	struct vhu_frontend *frontend = &scene->frontend;

	scene_ring(scene);
	scene_io(scene, &scene->driver);
	expect_refused(frontend, vhu_frontend_set_vring(frontend, VHU_SET_VRING_NUM, 0, 16));
	expect_refused(frontend, vhu_frontend_set_vring(frontend, VHU_SET_VRING_BASE, 0, 0));
	scene_io(scene, &scene->driver);
}

/* The scene's driver has its ring where the other has one. */
static void move_areas(struct scene *scene, const struct vhu_driver *to)
{
	struct vhu_driver *driver = &scene->driver;

	if (scene->frontend.acked_features & VHU_BIT(VHU_F_RING_PACKED)) {
		const struct vhu_driver_packed *packed = &to->packed;

		memcpy(packed->desc, driver->packed.desc, RING_SIZE * sizeof(*packed->desc));
		*packed->driver_event = *driver->packed.driver_event;
		*packed->device_event = *driver->packed.device_event;
		driver->packed.desc = packed->desc;
		driver->packed.driver_event = packed->driver_event;
		driver->packed.device_event = packed->device_event;
	} else {
		const struct vring *vring = &to->split.vring;

		memcpy(vring->desc, driver->split.vring.desc, RING_SIZE * sizeof(*vring->desc));
		memcpy(vring->avail, driver->split.vring.avail, 2 * (RING_SIZE + 3));
		memcpy(vring->used, driver->split.vring.used, 6 + 8 * RING_SIZE);
		driver->split.vring = *vring;
	}
}

/* As for the log flag of a migration: other addresses, the same indices. */
static void live_rings_move(void **state)
{
	struct scene *scene = *state;
	struct vhu_frontend *frontend = &scene->frontend;
	struct vhu_driver *driver = &scene->driver;
	struct vhu_driver moved;
	struct vhu_vring_addr addr = { .index = 0 };

	scene_ring(scene);
	for (unsigned i = 0; i < 5; i++)
		scene_io(scene, driver);
	scene_driver(scene, &moved, 0);
	move_areas(scene, &moved);
	addr.desc_uaddr = vhu_guest_uaddr(&frontend->guest, moved.desc_gpa);
	addr.avail_uaddr = vhu_guest_uaddr(&frontend->guest, moved.avail_gpa);
	addr.used_uaddr = vhu_guest_uaddr(&frontend->guest, moved.used_gpa);
	assert_int_equal(vhu_frontend_set_vring_addr(frontend, &addr), 0);
	for (unsigned i = 0; i < 5; i++)
		scene_io(scene, driver);
	/* An address that is not there breaks the ring. */
	addr.used_uaddr = 0;
	expect_refused(frontend, vhu_frontend_set_vring_addr(frontend, &addr));
	assert_int_equal(vhu_driver_stop(driver), 0);
	assert_int_equal(driver->base, vhu_driver_idle_base(driver));
	vhu_driver_finish(&moved);
}

static void unknown_address_flags_are_refused(void **state)
{
	struct scene *scene = *state;
	struct vhu_vring_addr addr = { .flags = VHU_VRING_ADDR_LOG << 1 };

	scene_negotiate(scene);
	expect_refused(&scene->frontend, vhu_frontend_set_vring_addr(&scene->frontend, &addr));
	addr.flags = 0xfffffffe;
	expect_refused(&scene->frontend, vhu_frontend_set_vring_addr(&scene->frontend, &addr));
}

/* QEMU's first SET_VRING_CALLs. */
static void call_may_come_first(void **state)
{
	struct scene *scene = *state;
	struct vhu_frontend *frontend = &scene->frontend;
	cleanup_fd int fd = make_eventfd(0, 0);
	unsigned n_fds;

	scene_connect(scene);
	assert_int_equal(vhu_frontend_sync(frontend), 0);
	n_fds = scene_fds(scene);
	for (unsigned i = 0; i < 20; i++) {
		assert_int_equal(vhu_frontend_set_vring_fd(frontend, VHU_SET_VRING_CALL, 0, fd),
				 0);
		assert_int_equal(vhu_frontend_set_vring_fd(frontend, VHU_SET_VRING_ERR, 0, fd), 0);
	}
	assert_int_equal(vhu_frontend_sync(frontend), 0);
	assert_int_equal(scene_fds(scene), n_fds + 2);
	assert_int_equal(vhu_frontend_set_vring_fd(frontend, VHU_SET_VRING_CALL, 0, -1), 0);
	assert_int_equal(vhu_frontend_set_vring_fd(frontend, VHU_SET_VRING_ERR, 0, -1), 0);
	assert_int_equal(vhu_frontend_sync(frontend), 0);
	assert_int_equal(scene_fds(scene), n_fds);
}

static void no_call_fd_no_calls(void **state)
{
	struct scene *scene = *state;

	scene_ring(scene);
	assert_int_equal(vhu_frontend_set_vring_fd(&scene->frontend, VHU_SET_VRING_CALL, 0, -1),
			 0);
	scene->driver.busy = true;
	for (unsigned i = 0; i < 100; i++)
		scene_io(scene, &scene->driver);
	assert_int_equal(vhu_driver_count_calls(&scene->driver), 0);
	/* And with one again, there are calls. */
	scene->driver.busy = false;
	assert_int_equal(vhu_frontend_set_vring_fd(&scene->frontend, VHU_SET_VRING_CALL, 0,
						   scene->driver.call_fd), 0);
	vhu_driver_want_call(&scene->driver);
	scene_io(scene, &scene->driver);
}

static void no_kick_fd_is_polled(void **state)
{
	struct scene *scene = *state;
	struct vhu_driver *driver = &scene->driver;
	cleanup_fd int kick_fd = -1;
	unsigned cpu_ms;

	scene_ring(scene);
	assert_int_equal(vhu_driver_stop(driver), 0);
	kick_fd = driver->kick_fd;
	driver->kick_fd = -1;
	assert_int_equal(vhu_driver_start(driver), 0);
	driver->kick_fd = make_eventfd(0, EFD_NONBLOCK); /* nobody has the other end */
	for (unsigned i = 0; i < 10; i++) {
		scene_io(scene, driver);
		sleep_ms(2);
	}
	/* A kick fd for a ring that was polled, and polled no more. */
	assert_int_equal(vhu_frontend_set_vring_fd(&scene->frontend, VHU_SET_VRING_KICK, 0,
						   driver->kick_fd), 0);
	scene_io(scene, driver);
	cpu_ms = program_cpu_ms(&scene->program);
	sleep_ms(300);
	assert_true(program_cpu_ms(&scene->program) - cpu_ms < 20);
	scene_io(scene, driver);
}

static void kick_and_call_are_replaced_on_live_rings(void **state)
{
	struct scene *scene = *state;
	struct vhu_frontend *frontend = &scene->frontend;
	struct vhu_driver *driver = &scene->driver;

	scene_ring(scene);
	for (unsigned i = 0; i < 20; i++) {
		close(driver->kick_fd);
		driver->kick_fd = make_eventfd(0, EFD_NONBLOCK);
		assert_int_equal(vhu_frontend_set_vring_fd(frontend, VHU_SET_VRING_KICK, 0,
							   driver->kick_fd), 0);
		scene_io(scene, driver);
		close(driver->call_fd);
		driver->call_fd = make_eventfd(0, EFD_NONBLOCK);
		assert_int_equal(vhu_frontend_set_vring_fd(frontend, VHU_SET_VRING_CALL, 0,
							   driver->call_fd), 0);
		scene_io(scene, driver);
	}
}

/* A call fd that blocks and is full: the worker would wait there, and the control path with it. */
static void full_call_fd_blocks_nothing(void **state)
{
	struct scene *scene = *state;
	struct vhu_driver *driver = &scene->driver;

	scene_ring(scene);
	close(driver->call_fd);
	driver->call_fd = make_eventfd(0xfffffffffffffffe, 0);
	assert_int_equal(vhu_frontend_set_vring_fd(&scene->frontend, VHU_SET_VRING_CALL, 0,
						   driver->call_fd), 0);
	driver->busy = true;
	for (unsigned i = 0; i < 20; i++) {
		vhu_driver_want_call(driver);
		scene_io(scene, driver);
	}
	assert_int_equal(vhu_driver_stop(driver), 0);
	assert_int_equal(driver->base, vhu_driver_idle_base(driver));
}

/*
 * One that was non-blocking when it was handed over, and then was not: it may hold up its worker,
 * but not for longer than the session.
 */
static void hold_up_worker(struct scene *scene)
{
	const uint64_t almost_full = 0xfffffffffffffffe;
	struct vhu_driver *driver = &scene->driver;

	scene_ring(scene);
	vhu_fd_drain(driver->call_fd);
	assert_int_equal(vhu_fd_set_nonblock(driver->call_fd, false), 0);
	assert_int_equal(write(driver->call_fd, &almost_full, 8), 8);
	driver->busy = true;
	vhu_driver_want_call(driver);
	scene_io(scene, driver);
}

static void full_call_fd_is_left_with_the_session(void **state)
{
	struct scene *scene = *state;
	struct vhu_vring_state index = { 0, 0 };

	hold_up_worker(scene);
	vhu_frontend_disconnect(&scene->frontend);
	scene_serves(scene);
	/* The same while the session waits for that worker. */
	hold_up_worker(scene);
	send_raw(&scene->frontend, VHU_GET_VRING_BASE, VHU_VERSION, &index, sizeof(index), NULL, 0);
	sleep_ms(20);
	vhu_frontend_disconnect(&scene->frontend);
	scene_serves(scene);
	hold_up_worker(scene);
	assert_int_equal(program_end(&scene->program), 0);
}

/* An interrupt that nobody has looked at yet outlives the session: the guest waits for it. */
static void calls_outlive_the_session(void **state)
{
	struct scene *scene = *state;
	struct vhu_driver *driver = &scene->driver;
	uint64_t n;

	scene_ring(scene);
	driver->busy = true;
	vhu_driver_want_call(driver);
	scene_io(scene, driver);
	vhu_frontend_disconnect(&scene->frontend);
	scene_serves(scene);
	assert_int_equal(read(driver->call_fd, &n, sizeof(n)), sizeof(n));
}

/* A full err fd that blocks, on a ring that breaks. */
static void full_err_fd_blocks_nothing(void **state)
{
	struct scene *scene = *state;
	struct vhu_driver *driver = &scene->driver;
	uint32_t base;

	scene_ring(scene);
	close(driver->err_fd);
	driver->err_fd = make_eventfd(0xfffffffffffffffe, 0);
	assert_int_equal(vhu_frontend_set_vring_fd(&scene->frontend, VHU_SET_VRING_ERR, 0,
						   driver->err_fd), 0);
	base = driver->base;
	scene_break(scene, driver);
	assert_true(vhu_driver_kick(driver) >= 0);
	assert_int_equal(vhu_driver_stop(driver), 0);
	assert_int_equal(driver->base, base);
}

/* What the fds of a ring may be, other than eventfds: files, sockets and pipes. */
struct odd_fds {
	int file, pipe[2], socket[2];
};

static void open_odd_fds(const struct scene *scene, struct odd_fds *fds)
{
	fds->file = open(scene->program.dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fds->file < 0)
		fds->file = make_memfd(0);
	assert_int_equal(pipe(fds->pipe), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds->socket), 0);
}

static void close_odd_fds(struct odd_fds *fds)
{
	close(fds->file);
	close_fd(&fds->pipe[0]);
	close_fd(&fds->pipe[1]);
	close_fd(&fds->socket[0]);
	close_fd(&fds->socket[1]);
}

/* Refused or served, a request that was there before the start; and the next session is served. */
static void odd_kick_fds_do_no_harm(void **state)
{
	struct scene *scene = *state;
	struct odd_fds odd;

	open_odd_fds(scene, &odd);
	const int kinds[] = { odd.file, odd.pipe[0], odd.pipe[1], odd.socket[0] };

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct vhu_driver *driver = &scene->driver;
		int eventfd_kick, r;

		scene_ring(scene);
		assert_int_equal(vhu_driver_stop(driver), 0);
		assert_true(scene_add(scene, driver, 0) >= 0);
		vhu_driver_publish(driver);
		eventfd_kick = driver->kick_fd;
		driver->kick_fd = kinds[i];
		r = vhu_driver_start(driver);
		driver->kick_fd = eventfd_kick;
		assert_true(r == 0 || r == -EREMOTEIO);
		if (r == 0)
			scene_collect(scene, driver, 1);
		assert_int_equal(vhu_frontend_sync(&scene->frontend), 0);
	}
	close_odd_fds(&odd);
}

static void odd_kick_fds_on_live_rings_do_no_harm(void **state)
{
	struct scene *scene = *state;
	struct odd_fds odd;
	int r;

	open_odd_fds(scene, &odd);
	const int kinds[] = { odd.file, odd.pipe[0], odd.pipe[1], odd.socket[0] };

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		scene_ring(scene);
		r = vhu_frontend_set_vring_fd(&scene->frontend, VHU_SET_VRING_KICK, 0, kinds[i]);
		assert_true(r == 0 || r == -EREMOTEIO);
		assert_int_equal(vhu_driver_stop(&scene->driver), 0);
	}
	close_odd_fds(&odd);
}

/* Written to when the program calls; their other ends are closed. SIGPIPE would end it. */
static void odd_call_fds_do_no_harm(void **state)
{
	struct scene *scene = *state;
	struct odd_fds odd;

	open_odd_fds(scene, &odd);
	close_fd(&odd.pipe[0]);
	close_fd(&odd.socket[0]);
	const int kinds[] = { odd.file, odd.pipe[1], odd.socket[1] };

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct vhu_driver *driver = &scene->driver;

		int r;

		scene_ring(scene);
		r = vhu_frontend_set_vring_fd(&scene->frontend, VHU_SET_VRING_CALL, 0, kinds[i]);
		assert_true(r == 0 || r == -EREMOTEIO);
		r = vhu_frontend_set_vring_fd(&scene->frontend, VHU_SET_VRING_ERR, 0, kinds[i]);
		assert_true(r == 0 || r == -EREMOTEIO);
		driver->busy = true;
		for (unsigned k = 0; k < 5; k++) {
			vhu_driver_want_call(driver);
			scene_io(scene, driver);
		}
		scene_break(scene, driver);
		assert_true(vhu_driver_kick(driver) >= 0);
		assert_int_equal(vhu_driver_stop(driver), 0);
	}
	close_odd_fds(&odd);
}

int main(int argc, char **argv)
{
	static const struct device_test tests[] = {
		DEVICE_TEST(indices_are_bounded, ON_BOTH),
		DEVICE_TEST(indices_with_fds_are_bounded, ON_BOTH),
		DEVICE_TEST(sizes_are_bounded, ON_BOTH | SPLIT_ONLY),
		DEVICE_TEST(bases_are_bounded, ON_BOTH | SPLIT_ONLY),
		DEVICE_TEST(enable_is_0_or_1, ON_BOTH),
		DEVICE_TEST(rings_that_were_not_set_up_are_enabled, ON_BOTH),
		DEVICE_TEST(base_of_a_ring_that_never_started, ON_BOTH),
		DEVICE_TEST(kick_before_setup_is_refused, ON_BOTH),
		DEVICE_TEST(bad_addresses_break_the_ring, ON_BOTH),
		DEVICE_TEST(live_rings_keep_size_and_base, ON_BOTH),
		DEVICE_TEST(live_rings_move, ON_BOTH),
		DEVICE_TEST(unknown_address_flags_are_refused, ON_BOTH),
		DEVICE_TEST(call_may_come_first, ON_BOTH),
		DEVICE_TEST(no_call_fd_no_calls, ON_BOTH),
		DEVICE_TEST(no_kick_fd_is_polled, ON_BOTH),
		DEVICE_TEST(kick_and_call_are_replaced_on_live_rings, ON_BOTH),
		DEVICE_TEST(full_call_fd_blocks_nothing, ON_BOTH),
		DEVICE_TEST(full_call_fd_is_left_with_the_session, ON_BOTH),
		DEVICE_TEST(calls_outlive_the_session, ON_BOTH),
		DEVICE_TEST(full_err_fd_blocks_nothing, ON_BOTH),
		DEVICE_TEST(odd_kick_fds_do_no_harm, ON_BOTH),
		DEVICE_TEST(odd_kick_fds_on_live_rings_do_no_harm, ON_BOTH),
		DEVICE_TEST(odd_call_fds_do_no_harm, ON_BOTH),
	};

	return run_device_tests(tests, ARRAY_SIZE(tests), argc, argv);
}
