/* SPDX-License-Identifier: BSD-3-Clause */
/* Guest memory: what is refused, and changes under live rings (protocol.md, What broke others). */
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/num.h"
#include "tests/device/harness.h"

#define PAGE 4096ull
#define SLOTS 509
/* Away from the memory of the rings, by guest and by user address. */
#define FREE_GPA (1ull << 40)
#define FREE_UADDR (1ull << 41)

static struct vhu_wire_region free_region(uint64_t number, uint64_t size)
{
	return (struct vhu_wire_region){
		.gpa = FREE_GPA + number * 16 * PAGE,
		.size = size,
		.uaddr = FREE_UADDR + number * 16 * PAGE,
	};
}

static void bad_regions_are_refused(void **state)
{
	const struct {
		struct vhu_wire_region region;
		const char *why;
	} bad[] = {
		{ { FREE_GPA, 0, FREE_UADDR, 0 }, "no size" },
		{ { FREE_GPA, 17 * PAGE, FREE_UADDR, 0 }, "longer than its file" },
		{ { FREE_GPA, PAGE, FREE_UADDR, 16 * PAGE }, "past the end of its file" },
		{ { FREE_GPA, 16 * PAGE, FREE_UADDR, 1 }, "one byte past its file" },
		{ { UINT64_MAX - PAGE, 2 * PAGE, FREE_UADDR, 0 }, "wraps the guest's space" },
		{ { FREE_GPA, 2 * PAGE, UINT64_MAX - PAGE, 0 }, "wraps the user's space" },
		{ { FREE_GPA, PAGE, FREE_UADDR, UINT64_MAX - PAGE / 2 }, "wraps the file" },
		{ { FREE_GPA, UINT64_MAX, FREE_UADDR, 0 }, "everything" },
		{ { FREE_GPA, PAGE, FREE_UADDR, 1ull << 63 }, "no offset of a file" },
		{ { 0, PAGE, FREE_UADDR, 0 }, "a guest address that is taken" },
		{ { PAGE, PAGE, FREE_UADDR, 0 }, "inside a region" },
	};
	struct scene *scene = *state;
	struct vhu_frontend *frontend = &scene->frontend;
	cleanup_fd int fd = make_memfd(16 * PAGE);
	struct vhu_wire_region taken;

	scene_ring(scene);
	taken = free_region(0, PAGE);
	taken.uaddr = frontend->guest.regions[0].wire.uaddr + PAGE;
	expect_refused(frontend, vhu_frontend_add_mem_reg(frontend, &taken, fd));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		print_message("%s\n", bad[i].why);
		expect_refused(frontend, vhu_frontend_add_mem_reg(frontend, &bad[i].region, fd));
	}
	scene_io(scene, &scene->driver);
}

static void bad_tables_are_refused_whole(void **state)
{
	struct scene *scene = *state;
	struct vhu_frontend *frontend = &scene->frontend;
	struct vhu_wire_region regions[8];
	cleanup_fd int fd = make_memfd(PAGE);
	int fds[8];

	scene_ring(scene);
	regions[0] = frontend->guest.regions[0].wire;
	fds[0] = frontend->guest.regions[0].fd;
	for (unsigned i = 1; i < 8; i++) {
		regions[i] = free_region(i, PAGE);
		fds[i] = fd;
	}
	regions[7].size = 2 * PAGE; /* longer than its file */
	expect_refused(frontend, vhu_frontend_set_mem_table(frontend, regions, fds, 8));
	regions[7].size = PAGE;
	regions[7].gpa = regions[3].gpa;
	expect_refused(frontend, vhu_frontend_set_mem_table(frontend, regions, fds, 8));
	regions[7].gpa = regions[7].uaddr;
	regions[7].uaddr = regions[3].uaddr;
	expect_refused(frontend, vhu_frontend_set_mem_table(frontend, regions, fds, 8));
	/* The old map is as it was. */
	scene_io(scene, &scene->driver);
	regions[7] = free_region(7, PAGE);
	assert_int_equal(vhu_frontend_set_mem_table(frontend, regions, fds, 8), 0);
	scene_io(scene, &scene->driver);
}

static void fds_that_cannot_be_mapped_are_refused(void **state)
{
	struct scene *scene = *state;
	struct vhu_frontend *frontend = &scene->frontend;
	const struct vhu_wire_region region = free_region(0, PAGE);
	int pipe_fds[2], fds[5];

	assert_int_equal(pipe(pipe_fds), 0);
	fds[0] = make_eventfd(0, 0);
	fds[1] = pipe_fds[0];
	fds[2] = pipe_fds[1];
	fds[3] = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fds[4] = open("/proc/self/exe", O_RDONLY | O_CLOEXEC); /* not for writing */
	scene_ring(scene);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		expect_refused(frontend, vhu_frontend_add_mem_reg(frontend, &region, fds[i]));
		close(fds[i]);
	}
	scene_io(scene, &scene->driver);
}

static void slots_are_counted(void **state)
{
	struct scene *scene = *state;
	struct vhu_frontend *frontend = &scene->frontend;
	cleanup_fd int fd = make_memfd(PAGE);
	struct vhu_wire_region region;
	unsigned n_fds;

	scene_ring(scene);
	n_fds = scene_fds(scene);
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 1; i < SLOTS; i++) {
			region = free_region(i, PAGE);
			assert_int_equal(vhu_frontend_add_mem_reg(frontend, &region, fd), 0);
		}
		region = free_region(SLOTS, PAGE);
		expect_refused(frontend, vhu_frontend_add_mem_reg(frontend, &region, fd));
		scene_io(scene, &scene->driver);
		for (unsigned i = 1; i < SLOTS; i++) {
			region = free_region(i, PAGE);
			assert_int_equal(vhu_frontend_rem_mem_reg(frontend, &region), 0);
		}
		scene_io(scene, &scene->driver);
	}
	/* A mapping keeps no fd. */
	assert_int_equal(scene_fds(scene), n_fds);
}

static void unknown_regions_are_not_removed(void **state)
{
	struct scene *scene = *state;
	struct vhu_frontend *frontend = &scene->frontend;
	const struct vhu_wire_region *known = &frontend->guest.regions[0].wire;
	struct vhu_wire_region unknown[] = { free_region(0, PAGE), *known, *known, *known };

	scene_ring(scene);
	unknown[1].gpa += PAGE;
	unknown[2].uaddr += PAGE;
	unknown[3].size -= PAGE;
	for (size_t i = 0; i < ARRAY_SIZE(unknown); i++)
		expect_refused(frontend, vhu_frontend_rem_mem_reg(frontend, &unknown[i]));
	scene_io(scene, &scene->driver);
}

static void stray_fd_of_removal_is_closed(void **state)
{
	struct scene *scene = *state;
	struct vhu_frontend *frontend = &scene->frontend;
	struct vhu_single_region single = { .region = free_region(0, PAGE) };
	cleanup_fd int fd = make_memfd(PAGE);
	int fds[3] = { fd, fd, fd };
	unsigned n_fds;

	scene_ring(scene);
	n_fds = scene_fds(scene);
	for (unsigned i = 0; i < 20; i++) {
		assert_int_equal(vhu_frontend_add_mem_reg(frontend, &single.region, fd), 0);
		assert_int_equal(vhu_frontend_call(frontend, VHU_REM_MEM_REG, &single,
						   sizeof(single), fds, 1 + i % 3, NULL), 0);
	}
	assert_int_equal(scene_fds(scene), n_fds);
	scene_io(scene, &scene->driver);
}

/* The ack of postcopy, outside of one. */
static void short_add_mem_reg_is_refused(void **state)
{
	struct scene *scene = *state;
	uint64_t zero = 0;

	scene_negotiate(scene);
	expect_refused(&scene->frontend, vhu_frontend_call(&scene->frontend, VHU_ADD_MEM_REG,
							   &zero, sizeof(zero), NULL, 0, NULL));
}

static void empty_table_takes_all_memory(void **state)
{
	struct scene *scene = *state;
	struct vhu_frontend *frontend = &scene->frontend;
	uint64_t n;

	scene_ring(scene);
	scene_io(scene, &scene->driver);
	assert_int_equal(vhu_frontend_set_mem_table(frontend, NULL, NULL, 0), 0);
	assert_int_equal(read(scene->driver.err_fd, &n, sizeof(n)), sizeof(n));
	assert_int_equal(vhu_driver_stop(&scene->driver), 0);
	assert_int_equal(vhu_frontend_share_memory(frontend), 0);
	assert_int_equal(vhu_driver_start(&scene->driver), 0);
	scene_io(scene, &scene->driver);
}

static void memory_comes_and_goes_under_load(void **state)
{
	struct scene *scene = *state;
	struct vhu_frontend *frontend = &scene->frontend;
	const struct vhu_wire_region region = free_region(0, 16 * PAGE);
	cleanup_fd int fd = make_memfd(16 * PAGE);

	scene_ring(scene);
	for (unsigned round = 0; round < 50; round++) {
		for (unsigned i = 0; i < 16; i++)
			assert_true(scene_add(scene, &scene->driver, i) >= 0);
		assert_true(vhu_driver_kick(&scene->driver) >= 0);
		assert_int_equal(vhu_frontend_add_mem_reg(frontend, &region, fd), 0);
		assert_int_equal(vhu_frontend_rem_mem_reg(frontend, &region), 0);
		scene_collect(scene, &scene->driver, 16);
	}
	assert_int_equal(vhu_driver_stop(&scene->driver), 0);
	assert_int_equal(scene->driver.base, vhu_driver_idle_base(&scene->driver));
}

/* Memory that came while the ring was live is used by it. */
static void added_memory_is_used(void **state)
{
	struct scene *scene = *state;
	struct vhu_frontend *frontend = &scene->frontend;
	const struct target *target = scene->target;
	struct vhu_driver_used used;
	struct vhu_guest_region *added;
	int number;

	scene_ring(scene);
	scene_io(scene, &scene->driver);
	number = vhu_guest_add(&frontend->guest, FREE_GPA, PAGE);
	assert_true(number >= 0);
	added = &frontend->guest.regions[number];
	assert_int_equal(vhu_frontend_add_mem_reg(frontend, &added->wire, added->fd), 0);
	for (unsigned i = 0, at = 0; i < target->n_readable + target->n_writable; i++) {
		scene->buffers[i].gpa = FREE_GPA + at;
		scene->buffers[i].host = added->host + at;
		at += target->lengths[i];
	}
	scene_io(scene, &scene->driver);
	/* Gone again: the same request has nowhere to go and comes back unserved. */
	assert_int_equal(vhu_frontend_rem_mem_reg(frontend, &added->wire), 0);
	assert_true(scene_add(scene, &scene->driver, 0) >= 0);
	assert_true(vhu_driver_kick(&scene->driver) >= 0);
	assert_int_equal(vhu_driver_wait(&scene->driver, &used), 0);
	assert_int_equal(used.len, 0);
}

/* The ring lies in what is taken away: it breaks, and the program lives. */
static void memory_of_a_live_ring_is_removed(void **state)
{
	struct scene *scene = *state;
	struct vhu_frontend *frontend = &scene->frontend;
	const struct vhu_guest_region *memory = &frontend->guest.regions[0];
	uint64_t status, n;

	scene_ring(scene);
	scene_io(scene, &scene->driver);
	assert_int_equal(vhu_frontend_rem_mem_reg(frontend, &memory->wire), 0);
	assert_int_equal(vhu_frontend_ask_u64(frontend, VHU_GET_STATUS, &status), 0);
	assert_true(status & VHU_STATUS_NEEDS_RESET);
	assert_int_equal(read(scene->driver.err_fd, &n, sizeof(n)), sizeof(n));
	assert_true(scene_add(scene, &scene->driver, 0) >= 0);
	assert_true(vhu_driver_kick(&scene->driver) >= 0);
	scene_expect_silence(&scene->driver);
	/* With the memory back, a new start finds the request. */
	assert_int_equal(vhu_frontend_add_mem_reg(frontend, &memory->wire, memory->fd), 0);
	assert_int_equal(vhu_driver_stop(&scene->driver), 0);
	assert_int_equal(vhu_driver_start(&scene->driver), 0);
	scene_collect(scene, &scene->driver, 1);
	assert_int_equal(vhu_frontend_ask_u64(frontend, VHU_GET_STATUS, &status), 0);
	assert_false(status & VHU_STATUS_NEEDS_RESET);
}

/* A kick that needs nothing of the guest's memory, which is gone. */
static void kick_blindly(const struct vhu_driver *driver)
{
	const uint64_t one = 1;

	assert_int_equal(write(driver->kick_fd, &one, sizeof(one)), sizeof(one));
}

static void truncated_ring_ends_the_session(void **state)
{
	struct scene *scene = *state;
	const struct vhu_guest_region *memory = &scene->frontend.guest.regions[0];
	uint64_t size = memory->wire.size;

	scene_ring(scene);
	scene_io(scene, &scene->driver);
	assert_int_equal(ftruncate(memory->fd, 0), 0);
	kick_blindly(&scene->driver);
	scene_expect_closed(scene);
	assert_int_equal(ftruncate(memory->fd, (off_t)size), 0);
	scene_ring(scene);
	scene_io(scene, &scene->driver);
}

/* Only the buffers are gone. */
static void truncated_buffers_end_the_session(void **state)
{
	struct scene *scene = *state;
	struct vhu_frontend *frontend = &scene->frontend;
	struct vhu_guest_region *spare;
	int number = vhu_guest_add(&frontend->guest, FREE_GPA, 16 * PAGE);

	assert_true(number >= 0);
	spare = &frontend->guest.regions[number];
	scene_ring(scene);
	scene_io(scene, &scene->driver);
	for (unsigned i = 0; i < REQUEST_BUFFERS; i++)
		scene->buffers[i].gpa = FREE_GPA + i * PAGE;
	assert_true(scene_add(scene, &scene->driver, 0) >= 0);
	assert_int_equal(ftruncate(spare->fd, 0), 0);
	assert_true(vhu_driver_kick(&scene->driver) >= 0);
	scene_expect_closed(scene);
}

/* The file is cut while requests are served from it. */
static void memory_is_truncated_under_load(void **state)
{
	struct scene *scene = *state;
	struct vhu_guest_region *memory = &scene->frontend.guest.regions[0];
	uint64_t size = memory->wire.size;

	for (unsigned round = 0; round < 10; round++) {
		scene_ring(scene);
		for (unsigned i = 0; i < RING_SIZE; i++)
			assert_true(scene_add(scene, &scene->driver, i) >= 0);
		assert_true(vhu_driver_kick(&scene->driver) >= 0);
		assert_int_equal(ftruncate(memory->fd, 0), 0);
		kick_blindly(&scene->driver);
		scene_expect_closed(scene);
		assert_int_equal(ftruncate(memory->fd, (off_t)size), 0);
	}
}

int main(int argc, char **argv)
{
	static const struct device_test tests[] = {
		DEVICE_TEST(bad_regions_are_refused, ON_BOTH),
		DEVICE_TEST(bad_tables_are_refused_whole, ON_BOTH),
		DEVICE_TEST(fds_that_cannot_be_mapped_are_refused, ON_BOTH),
		DEVICE_TEST(slots_are_counted, ON_BOTH),
		DEVICE_TEST(unknown_regions_are_not_removed, ON_BOTH),
		DEVICE_TEST(stray_fd_of_removal_is_closed, ON_BOTH),
		DEVICE_TEST(short_add_mem_reg_is_refused, ON_BOTH),
		DEVICE_TEST(empty_table_takes_all_memory, ON_BOTH),
		DEVICE_TEST(memory_comes_and_goes_under_load, ON_BOTH),
		DEVICE_TEST(added_memory_is_used, ON_BOTH),
		DEVICE_TEST(memory_of_a_live_ring_is_removed, ON_BOTH),
		DEVICE_TEST(truncated_ring_ends_the_session, ON_BOTH),
		DEVICE_TEST(truncated_buffers_end_the_session, ON_BOTH),
		DEVICE_TEST(memory_is_truncated_under_load, ON_BOTH),
	};

	return run_device_tests(tests, ARRAY_SIZE(tests), argc, argv);
}
