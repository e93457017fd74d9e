/* SPDX-License-Identifier: BSD-3-Clause */
/* Notifications in both directions, wrapping indices, and restarts (virtio 1.3, 2.7 and 2.8). */
#include <string.h>
#include <unistd.h>

#include "common/base/fd.h"
#include "common/base/num.h"
#include "common/memory/access.h"
#include "tests/device/load.h"

#define NO_EVENT_IDX (VHU_FRONTEND_FEATURES & ~VHU_BIT(VHU_F_RING_EVENT_IDX))

static bool is_packed(const struct vhu_driver *driver)
{
	return driver->frontend->acked_features & VHU_BIT(VHU_F_RING_PACKED);
}

static void add_published(struct scene *scene, struct vhu_driver *driver, unsigned n)
{
	while (n--)
		assert_true(scene_add(scene, driver, 0) >= 0);
	assert_true(vhu_driver_kick(driver) >= 0);
}

/* Busily, so that whether there are calls does not matter. */
static void collect_busily(struct scene *scene, struct vhu_driver *driver, unsigned n)
{
	driver->busy = true;
	scene_collect(scene, driver, n);
	driver->busy = false;
}

/* Until the program asks for a kick: then it has made all the calls that it had to make. */
static bool is_idle(const struct vhu_driver *driver)
{
	const struct vring_packed_desc_event *event = driver->packed.device_event;
	const struct vring *vring = &driver->split.vring;
	uint16_t flags;

	if (!is_packed(driver))
		return driver->event_idx
			       ? vhu_load_le16(&vring_avail_event(vring)) == driver->split.avail_idx
			       : !(vhu_load_le16(&vring->used->flags) & VRING_USED_F_NO_NOTIFY);
	flags = vhu_load_acquire_le16(&event->flags);
	/* Where the driver will add next: the half of the base that is the available place. */
	return driver->event_idx ? flags == VRING_PACKED_EVENT_FLAG_DESC &&
					   vhu_load_le16(&event->off_wrap) ==
						   (uint16_t)vhu_driver_idle_base(driver)
				 : flags == VRING_PACKED_EVENT_FLAG_ENABLE;
}

static void wait_idle(const struct vhu_driver *driver)
{
	uint64_t deadline_ns = vhu_now_ns() + 10 * NS_PER_SEC;

	while (!is_idle(driver) && vhu_now_ns() < deadline_ns)
		sleep_ms(1);
	assert_true(is_idle(driver));
}

static void no_call_is_made_that_nobody_wants(struct scene *scene)
{
	struct vhu_driver *driver = &scene->driver;
	uint64_t n_calls;

	scene_io(scene, driver);
	wait_idle(driver);
	n_calls = vhu_driver_count_calls(driver);
	/* Once, while the device rests: it may still look at the index after we took an entry. */
	vhu_driver_refuse_calls(driver);
	for (unsigned i = 0; i < 200; i++) {
		add_published(scene, driver, 1);
		collect_busily(scene, driver, 1);
	}
	wait_idle(driver);
	assert_true(vhu_driver_count_calls(driver) == n_calls);
	/* And one that is wanted comes. */
	assert_false(vhu_driver_want_call(driver));
	add_published(scene, driver, 1);
	scene_collect(scene, driver, 1);
}

static void calls_are_suppressed_by_index(void **state)
{
	scene_ring(*state);
	no_call_is_made_that_nobody_wants(*state);
}

static void calls_are_suppressed_by_flag(void **state)
{
	scene_ring_bits(*state, NO_EVENT_IDX, VHU_FRONTEND_PROTOCOL_FEATURES);
	no_call_is_made_that_nobody_wants(*state);
}

/* A call for what is used after n more chains, each of one descriptor. */
static void ask_call_after(struct vhu_driver *driver, uint16_t n)
{
	if (is_packed(driver)) {
		const struct vhu_driver_packed *packed = &driver->packed;
		unsigned at = packed->used.at + n;
		bool wrap = packed->used.wrap != (at >= RING_SIZE);

		vhu_store_le16(&packed->driver_event->off_wrap,
			       (uint16_t)(at % RING_SIZE | (wrap ? 0x8000 : 0)));
		vhu_store_release_le16(&packed->driver_event->flags, VRING_PACKED_EVENT_FLAG_DESC);
	} else {
		vhu_store_le16(&vring_used_event(&driver->split.vring),
			       (uint16_t)(driver->split.used_idx + n));
	}
}

/* The event index is further ahead than the next entry: one call, when it is reached. */
static void calls_come_when_the_index_is_reached(void **state)
{
	struct scene *scene = *state;
	struct vhu_driver *driver = &scene->driver;
	uint64_t n_calls;

	scene_ring(scene);
	for (unsigned round = 0; round < 20; round++) {
		scene_io(scene, driver);
		wait_idle(driver);
		n_calls = vhu_driver_count_calls(driver);
		ask_call_after(driver, 4);
		for (unsigned i = 0; i < 4; i++) {
			add_published(scene, driver, 1);
			collect_busily(scene, driver, 1);
		}
		wait_idle(driver);
		assert_true(vhu_driver_count_calls(driver) == n_calls);
		add_published(scene, driver, 1);
		collect_busily(scene, driver, 1);
		wait_idle(driver);
		assert_true(vhu_driver_count_calls(driver) == n_calls + 1);
	}
}

/*
 * Idle rings ask for a kick. But for some: the last one may wake a worker that has found its
 * request before, and looks at the ring by itself then.
 */
static void kicks_are_asked_for(struct scene *scene)
{
	struct vhu_driver *driver = &scene->driver;
	int n_kicks = 0;

	for (unsigned round = 0; round < 20; round++) {
		wait_idle(driver);
		assert_true(scene_add(scene, driver, 0) >= 0);
		n_kicks += vhu_driver_kick(driver);
		scene_collect(scene, driver, 1);
	}
	assert_in_range(n_kicks, 10, 20);
}

static void kicks_are_asked_for_by_index(void **state)
{
	scene_ring(*state);
	kicks_are_asked_for(*state);
}

static void kicks_are_asked_for_by_flag(void **state)
{
	scene_ring_bits(*state, NO_EVENT_IDX, VHU_FRONTEND_PROTOCOL_FEATURES);
	kicks_are_asked_for(*state);
}

/* One kick was asked for, and no second one until it came: with it all is served. */
static void kicks_are_suppressed_by_index(void **state)
{
	struct scene *scene = *state;
	struct vhu_driver *driver = &scene->driver;
	int kicks = 0;

	scene_ring(scene);
	wait_idle(driver);
	for (unsigned i = 0; i < 16; i++) {
		assert_true(scene_add(scene, driver, 0) >= 0);
		vhu_driver_publish(driver);
	}
	/* The index that was asked for was passed by the first. */
	for (unsigned i = 0; i < 16; i++) {
		assert_true(scene_add(scene, driver, 0) >= 0);
		kicks += vhu_driver_kick(driver);
	}
	assert_int_equal(kicks, 0);
	assert_int_equal(write(driver->kick_fd, &(uint64_t){ 1 }, 8), 8);
	scene_collect(scene, driver, 32);
}

static void wrap_on(struct scene *scene, uint64_t features)
{
	struct vhu_driver *driver = &scene->driver;
	unsigned total = 70000 / SLOWNESS;

	scene_ring_bits(scene, features, VHU_FRONTEND_PROTOCOL_FEATURES);
	assert_int_equal(vhu_driver_stop(driver), 0);
	vhu_driver_finish(driver);
	assert_int_equal(vhu_driver_init(driver, &scene->frontend, 0, 4), 0);
	/* Sanitized programs begin near the border, to cross it all the same. */
	if (SLOWNESS > 1 && !is_packed(driver)) {
		driver->base = driver->split.avail_idx = driver->split.published_idx = 60000;
		driver->split.used_idx = driver->split.seen_idx = 60000;
		driver->split.vring.used->idx = htole16(60000);
		vhu_driver_publish(driver);
	}
	assert_int_equal(vhu_driver_start(driver), 0);
	for (unsigned done = 0; done < total; done += 4) {
		for (unsigned i = 0; i < 4; i++)
			if (scene_add(scene, driver, done + i) < 0)
				fail();
		if (vhu_driver_kick(driver) < 0)
			fail();
		scene_collect(scene, driver, 4);
	}
	assert_int_equal(vhu_driver_stop(driver), 0);
	assert_int_equal(driver->base, vhu_driver_idle_base(driver));
}

static void indices_wrap(void **state)
{
	wrap_on(*state, VHU_FRONTEND_FEATURES);
	wrap_on(*state, NO_EVENT_IDX);
}

static void smallest_ring_is_served(void **state)
{
	struct scene *scene = *state;
	struct vhu_driver *driver = &scene->driver;

	scene_ring(scene);
	assert_int_equal(vhu_driver_stop(driver), 0);
	vhu_driver_finish(driver);
	assert_int_equal(vhu_driver_init(driver, &scene->frontend, 0, 1), 0);
	assert_int_equal(vhu_driver_start(driver), 0);
	for (unsigned i = 0; i < 100; i++)
		scene_io(scene, driver);
}

static void largest_ring_is_served(void **state)
{
	struct scene *scene = *state;
	struct vhu_driver *driver = &scene->driver;
	unsigned size = scene->target->queue_size_max;

	scene_ring(scene);
	assert_int_equal(vhu_driver_stop(driver), 0);
	vhu_driver_finish(driver);
	assert_int_equal(vhu_driver_init(driver, &scene->frontend, 0, (uint16_t)size), 0);
	assert_int_equal(vhu_driver_start(driver), 0);
	for (unsigned round = 0; round < 3; round++) {
		add_published(scene, driver, size);
		scene_collect(scene, driver, size);
	}
}

/* How many chains were used since it stopped with that base, each of one descriptor. */
static uint16_t used_since(const struct vhu_driver *driver, uint32_t base_before)
{
	uint32_t now = driver->base;
	bool lap = (now ^ base_before) >> 31;

	if (is_packed(driver))
		return (uint16_t)((now >> 16 & 0x7fff) + (lap ? RING_SIZE : 0) -
				  (base_before >> 16 & 0x7fff));
	return (uint16_t)(vhu_load_acquire_le16(&driver->split.vring.used->idx) - base_before);
}

/* Whatever was taken before the stop is done; the rest is served after the next start. */
static void stopped_amid_requests(void **state)
{
	struct scene *scene = *state;
	struct vhu_driver *driver = &scene->driver;

	scene_ring(scene);
	for (unsigned round = 0; round < 100; round++) {
		uint32_t base_before = driver->base;
		uint16_t used;

		add_published(scene, driver, RING_SIZE);
		assert_int_equal(vhu_driver_stop(driver), 0);
		used = used_since(driver, base_before);
		/* Nothing is in flight: the two places of a packed ring are one. */
		if (is_packed(driver))
			assert_int_equal(driver->base >> 16, driver->base & 0xffff);
		else
			assert_int_equal(driver->base, (uint16_t)(base_before + used));
		assert_true(used <= RING_SIZE);
		scene_collect(scene, driver, used);
		assert_int_equal(vhu_driver_start(driver), 0);
		scene_collect(scene, driver, RING_SIZE - used);
		/* For the next round's count. */
		assert_int_equal(vhu_driver_stop(driver), 0);
		assert_int_equal(driver->base, vhu_driver_idle_base(driver));
		assert_int_equal(vhu_driver_start(driver), 0);
	}
}

static void restarted_under_load(void **state)
{
	struct scene *scene = *state;
	uint64_t deadline_ns;
	struct load load;
	int r = 0;

	scene_ring(scene);
	load_begin(&load, scene);
	deadline_ns = vhu_now_ns() + 20 * NS_PER_SEC;
	for (unsigned i = 0; i < 200 && r == 0 && vhu_now_ns() < deadline_ns; i++) {
		r = vhu_driver_stop(&scene->driver);
		if (r == 0)
			r = vhu_driver_start(&scene->driver);
		/* The load's turn to run at all. */
		if (i % 4 == 0)
			sleep_ms(2);
	}
	load_end(&load);
	assert_int_equal(r, 0);
	assert_int_equal(load.error, 0);
	assert_int_equal(load.done, load.sent);
	assert_true(load.sent > 0);
}

/* The same, with the ring disabled and enabled in between, and memory that comes and goes. */
static void disturbed_under_load(void **state)
{
	struct scene *scene = *state;
	struct vhu_frontend *frontend = &scene->frontend;
	struct load load;
	int fd = make_memfd(1 << 20), r = 0;
	const struct vhu_wire_region region = { 1ull << 40, 1 << 20, 1ull << 41, 0 };

	scene_ring(scene);
	load_begin(&load, scene);
	for (unsigned i = 0; i < 100 && r == 0; i++) {
		r = vhu_frontend_set_vring(frontend, VHU_SET_VRING_ENABLE, 0, 0);
		if (r == 0)
			r = vhu_frontend_add_mem_reg(frontend, &region, fd);
		if (r == 0)
			r = vhu_frontend_set_vring(frontend, VHU_SET_VRING_ENABLE, 0, 1);
		if (r == 0)
			r = vhu_frontend_set_features(frontend, frontend->acked_features);
		if (r == 0)
			r = vhu_frontend_rem_mem_reg(frontend, &region);
	}
	load_end(&load);
	close(fd);
	assert_int_equal(r, 0);
	assert_int_equal(load.error, 0);
	assert_true(load.done == load.sent);
}

int main(int argc, char **argv)
{
	static const struct device_test tests[] = {
		DEVICE_TEST(calls_are_suppressed_by_index, ON_BOTH),
		DEVICE_TEST(calls_are_suppressed_by_flag, ON_BOTH),
		DEVICE_TEST(calls_come_when_the_index_is_reached, ON_BOTH),
		DEVICE_TEST(kicks_are_asked_for_by_index, ON_BOTH),
		DEVICE_TEST(kicks_are_asked_for_by_flag, ON_BOTH),
		DEVICE_TEST(kicks_are_suppressed_by_index, ON_BOTH),
		DEVICE_TEST(indices_wrap, ON_BOTH),
		DEVICE_TEST(smallest_ring_is_served, ON_RNG),
		DEVICE_TEST(largest_ring_is_served, ON_BOTH),
		DEVICE_TEST(stopped_amid_requests, ON_BOTH),
		DEVICE_TEST(restarted_under_load, ON_BOTH),
		DEVICE_TEST(disturbed_under_load, ON_BOTH),
	};

	return run_device_tests(tests, ARRAY_SIZE(tests), argc, argv);
}
