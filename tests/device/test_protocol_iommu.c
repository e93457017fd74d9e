/* SPDX-License-Identifier: BSD-3-Clause */
/* Whole programs behind an IOMMU (vhost-user, IOMMU support). */
#include <stdlib.h>
#include <string.h>

#include "common/base/fd.h"
#include "common/base/num.h"
#include "common/frontend/iotlb.h"
#include "tests/device/disk.h"

#define OFFSET 0x123456000000ull
#define PAGE VHU_FRONTEND_IOTLB_PAGE
#define FEATURES (VHU_FRONTEND_FEATURES | VHU_BIT(VHU_F_ACCESS_PLATFORM))

static struct vhu_frontend_iotlb iotlb;

/* The guest's memory, at other addresses. */
static void start(struct scene *scene)
{
	vhu_frontend_iotlb_init(&iotlb, &scene->frontend);
	assert_int_equal(vhu_frontend_iotlb_map_guest(&iotlb, OFFSET), 0);
	scene_ring_bits(scene, FEATURES, VHU_FRONTEND_PROTOCOL_FEATURES);
}

static void is_served(void **state)
{
	struct scene *scene = *state;
	unsigned n_misses;

	start(scene);
	for (unsigned i = 0; i < 3 * RING_SIZE; i++)
		scene_io(scene, &scene->driver);
	n_misses = iotlb.n_misses;
	assert_true(n_misses > 1);
	/* By now it knows the way. */
	for (unsigned i = 0; i < 3 * RING_SIZE; i++)
		scene_io(scene, &scene->driver);
	assert_int_equal(iotlb.n_misses, n_misses);
	assert_int_equal(iotlb.n_unknown, 0);
	assert_int_equal(iotlb.n_access_fails, 0);
}

static void stops_while_it_waits(void **state)
{
	struct scene *scene = *state;
	struct vhu_driver *driver = &scene->driver;

	start(scene);
	iotlb.hold = true;
	assert_true(scene_add(scene, driver, 0) >= 0);
	assert_true(vhu_driver_kick(driver) >= 0);
	scene_expect_silence(driver);
	assert_int_equal(vhu_driver_stop(driver), 0);
	assert_int_equal(vhu_driver_start(driver), 0);
	scene_expect_silence(driver);
	assert_int_equal(vhu_frontend_serve(&scene->frontend), 0);
	assert_int_equal(vhu_frontend_iotlb_release(&iotlb), 0);
	scene_collect(scene, driver, 1);
}

/* What the test ends with is done while a ring waits. */
static void is_left_waiting(void **state)
{
	struct scene *scene = *state;
	start(scene);
	iotlb.n = 0;
	assert_true(scene_add(scene, &scene->driver, 0) >= 0);
	assert_true(vhu_driver_kick(&scene->driver) >= 0);
	scene_expect_silence(&scene->driver);
	assert_int_equal(vhu_frontend_serve(&scene->frontend), 0);
	assert_in_range(iotlb.n_unknown, 1, 2);
	scene_expect_silence(&scene->driver);
}

/* Data through pages that are taken away and given back between any two requests. */
static void data_through_pages_that_come_and_go(void **state)
{
	struct scene *scene = *state;
	const uint32_t bytes = 64 << 10;
	struct disk disk;

	srand(4);
	start(scene);
	disk_open(&disk, scene);
	for (uint32_t i = 0; i < 60; i++) {
		uint64_t sector = (i % 16) * (bytes / SECTOR);

		fill_pattern(disk.data.host, bytes, i);
		assert_int_equal(disk_run(&disk, VIRTIO_BLK_T_OUT, sector, bytes, 0), 0);
		for (unsigned n = 0; n < 8; n++) {
			uint64_t page = (uint64_t)rand() % (DATA_BYTES / PAGE) * PAGE;

			assert_int_equal(vhu_frontend_iotlb_unmap(
						 &iotlb, disk.data.gpa + OFFSET + page, PAGE),
					 0);
		}
		/* With the ring itself, every time but a few. */
		if (i % 4)
			assert_int_equal(vhu_frontend_iotlb_unmap(&iotlb, 0, 1ull << 47), 0);
		iotlb.n = 0;
		assert_int_equal(vhu_frontend_iotlb_map_guest(&iotlb, OFFSET), 0);
		memset(disk.data.host, 0, bytes);
		assert_int_equal(disk_run(&disk, VIRTIO_BLK_T_IN, sector, 0, bytes), 0);
		assert_true(is_pattern(disk.data.host, bytes, i));
	}
	assert_int_equal(iotlb.n_unknown, 0);
	disk_close(&disk);
}

/* What the front-end maps is written by nobody but the device, and elsewhere by nobody at all. */
static void is_written_where_it_is_mapped(void **state)
{
	struct scene *scene = *state;
	struct vhu_guest_buffer page, buffer = { .gpa = -(uint64_t)PAGE, .len = 64 };
	char *host;

	start(scene);
	page = vhu_guest_alloc(&scene->frontend.guest, 2 * PAGE, PAGE);
	host = page.host;
	memset(host, 0, 2 * PAGE);
	/* An address that nothing has, with the second of the two pages behind it. */
	assert_int_equal(vhu_frontend_iotlb_map(&iotlb, OFFSET - PAGE, page.gpa + PAGE, PAGE, 3),
			 0);
	assert_int_equal(vhu_driver_run(&scene->driver, &buffer, 0, 1, NULL), 0);
	assert_true(is_filled(host, PAGE, 0));
	assert_false(is_filled(host + PAGE, 64, 0));
	assert_true(is_filled(host + PAGE + 64, PAGE - 64, 0));
}

static void what_is_denied_comes_back(void **state)
{
	struct scene *scene = *state;
	struct vhu_driver *driver = &scene->driver;
	struct vhu_iotlb_msg msg = { .type = VHU_IOTLB_UPDATE, .size = PAGE, .perm = 1 };
	struct vhu_guest_buffer buffer;
	struct vhu_driver_used used;

	start(scene);
	/* Without a table, which may be on another page that has to be asked for. */
	driver->indirect = false;
	scene_io(scene, driver);
	buffer = vhu_guest_alloc(&scene->frontend.guest, PAGE, PAGE);
	memset(buffer.host, 0, PAGE);
	iotlb.hold = true;
	assert_true(vhu_driver_add(driver, &buffer, 0, 1, 0) >= 0);
	assert_true(vhu_driver_kick(driver) >= 0);
	while (!iotlb.n_held)
		assert_int_equal(vhu_frontend_serve(&scene->frontend), 0);
	assert_int_equal(iotlb.last_miss.iova / PAGE, (buffer.gpa + OFFSET) / PAGE);
	assert_int_equal(iotlb.last_miss.perm, 2);
	msg.iova = buffer.gpa + OFFSET;
	msg.uaddr = vhu_guest_uaddr(&scene->frontend.guest, buffer.gpa);
	assert_int_equal(vhu_frontend_iotlb_send(&scene->frontend, &msg), 0);
	assert_int_equal(vhu_driver_wait(driver, &used), 0);
	assert_int_equal(used.len, 0);
	assert_int_equal(vhu_frontend_serve(&scene->frontend), 0);
	assert_int_equal(iotlb.n_access_fails, 1);
	assert_true(is_filled(buffer.host, PAGE, 0));
	scene_io(scene, driver);
}

/* Numbers of all sizes, with and without a ring that runs; each is answered. */
static void whatever_it_is_told(void **state)
{
	struct scene *scene = *state;
	static const uint64_t numbers[] = {
		0, 1, PAGE - 1, PAGE, OFFSET, 1ull << 47, 0xffffffff01100000, UINT64_MAX - PAGE,
		UINT64_MAX,
	};
	uint64_t uaddr;

	srand(5);
	start(scene);
	uaddr = scene->frontend.guest.regions[0].wire.uaddr;
	for (unsigned i = 0; i < 4000; i++) {
		struct vhu_iotlb_msg msg = {
			.iova = numbers[(unsigned)rand() % ARRAY_SIZE(numbers)],
			.size = numbers[(unsigned)rand() % ARRAY_SIZE(numbers)],
			.uaddr = rand() % 4 ? uaddr + (uint64_t)rand() % (64 * PAGE)
					    : numbers[(unsigned)rand() % ARRAY_SIZE(numbers)],
			.perm = (uint8_t)(rand() % 6),
			.type = (uint8_t)(rand() % 6),
		};
		int r = vhu_frontend_iotlb_send(&scene->frontend, &msg);

		assert_true(r == 0 || r == -EREMOTEIO);
		if (msg.type == VHU_IOTLB_INVALIDATE)
			assert_int_equal(r, 0);
		if (msg.type != VHU_IOTLB_INVALIDATE && msg.type != VHU_IOTLB_UPDATE)
			assert_int_equal(r, -EREMOTEIO);
	}
	/* The ring may be broken by what it was told of its own address; a new start helps. */
	assert_int_equal(vhu_driver_stop(&scene->driver), 0);
	vhu_fd_drain(scene->driver.err_fd);
	vhu_driver_reset(&scene->driver);
	scene->driver.base = vhu_driver_idle_base(&scene->driver);
	assert_int_equal(vhu_driver_start(&scene->driver), 0);
	scene_io(scene, &scene->driver);
}

static void needs_a_channel(void **state)
{
	struct scene *scene = *state;
	static const unsigned missing[] = { VHU_PROTOCOL_F_BACKEND_REQ, VHU_PROTOCOL_F_REPLY_ACK };

	for (unsigned i = 0; i < ARRAY_SIZE(missing); i++) {
		struct vhu_driver driver;

		scene_negotiate_bits(scene, FEATURES,
				     VHU_FRONTEND_PROTOCOL_FEATURES & ~VHU_BIT(missing[i]));
		scene_driver(scene, &driver, 0);
		if (vhu_driver_start(&driver) == 0)
			scene_expect_closed(scene);
		vhu_driver_finish(&driver);
	}
}

int main(int argc, char **argv)
{
	static const struct device_test tests[] = {
		DEVICE_TEST(is_served, ON_BOTH | ON_IMAGE),
		DEVICE_TEST(stops_while_it_waits, ON_BOTH),
		DEVICE_TEST(is_left_waiting, ON_BOTH),
		DEVICE_TEST(data_through_pages_that_come_and_go, ON_IMAGE),
		DEVICE_TEST(is_written_where_it_is_mapped, ON_RNG),
		DEVICE_TEST(what_is_denied_comes_back, ON_RNG),
		DEVICE_TEST(whatever_it_is_told, ON_BOTH),
		DEVICE_TEST(needs_a_channel, ON_BOTH),
	};

	return run_device_tests(tests, ARRAY_SIZE(tests), argc, argv);
}
