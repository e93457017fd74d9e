/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Packed rings with and without event indices and indirect tables, of sizes that are no power of
 * two; and in order, which the harness adds.
 */
#include <string.h>

#include "common/base/num.h"
#include "tests/device/load.h"

#define PACKED VHU_BIT(VHU_F_RING_PACKED)
#define EVENT_IDX VHU_BIT(VHU_F_RING_EVENT_IDX)
#define INDIRECT VHU_BIT(VHU_F_RING_INDIRECT_DESC)
#define PLAIN (VHU_FRONTEND_FEATURES & ~(EVENT_IDX | INDIRECT))

static const struct {
	uint64_t features;
	uint16_t size; /* of a small ring */
} layouts[] = {
	{ PLAIN | PACKED, 5 },
	{ PLAIN | PACKED | EVENT_IDX, 4 },
	{ PLAIN | PACKED | INDIRECT, 1 },
	{ VHU_FRONTEND_FEATURES | PACKED, 7 },
};

typedef void (*layout_fn)(struct scene *scene, struct vhu_driver *driver, uint16_t size);

static void on_each_layout(struct scene *scene, layout_fn fn)
{
	for (size_t i = 0; i < ARRAY_SIZE(layouts); i++) {
		scene_ring_bits(scene, layouts[i].features, VHU_FRONTEND_PROTOCOL_FEATURES);
		fn(scene, &scene->driver, layouts[i].size);
	}
}

static void resize(struct scene *scene, struct vhu_driver *driver, uint16_t size)
{
	assert_int_equal(vhu_driver_stop(driver), 0);
	vhu_driver_finish(driver);
	assert_int_equal(vhu_driver_init(driver, &scene->frontend, 0, size), 0);
	assert_int_equal(vhu_driver_start(driver), 0);
}

/* As many as fit, asleep until the call comes, round and round, and stopped now and then. */
static void go_round(struct scene *scene, struct vhu_driver *driver, uint16_t size)
{
	const struct target *target = scene->target;

	if (!driver->indirect && size < target->n_readable + target->n_writable)
		size = (uint16_t)(target->n_readable + target->n_writable);
	resize(scene, driver, size);
	for (unsigned i = 0; i < 2000 / SLOWNESS; i++) {
		unsigned n = 0;

		while (scene_add(scene, driver, n) >= 0)
			n++;
		assert_true(n > 0);
		assert_true(vhu_driver_kick(driver) >= 0);
		scene_collect(scene, driver, n);
		if (i % 64)
			continue;
		assert_int_equal(vhu_driver_stop(driver), 0);
		assert_int_equal(driver->base, vhu_driver_idle_base(driver));
		assert_int_equal(vhu_driver_start(driver), 0);
	}
}

static void small_rings_go_round(void **state)
{
	on_each_layout(*state, go_round);
}

static void serve_the_largest(struct scene *scene, struct vhu_driver *driver, uint16_t size)
{
	(void)size;
	resize(scene, driver, (uint16_t)scene->target->queue_size_max);
	for (unsigned round = 0; round < 3; round++) {
		unsigned n = 0;

		while (scene_add(scene, driver, n) >= 0)
			n++;
		assert_true(vhu_driver_kick(driver) >= 0);
		scene_collect(scene, driver, n);
	}
}

static void largest_rings_are_served(void **state)
{
	on_each_layout(*state, serve_the_largest);
}

static void restart_under_load(struct scene *scene, struct vhu_driver *driver, uint16_t size)
{
	struct load load;
	int r = 0;

	(void)size;
	load_begin(&load, scene);
	for (unsigned i = 0; i < 50 && r == 0; i++) {
		r = vhu_driver_stop(driver);
		if (r == 0)
			r = vhu_driver_start(driver);
		if (i % 8 == 0)
			sleep_ms(1);
	}
	load_end(&load);
	assert_int_equal(r, 0);
	assert_int_equal(load.error, 0);
	assert_true(load.done == load.sent);
}

static void restarted_under_load(void **state)
{
	on_each_layout(*state, restart_under_load);
}

/* A malformed one among good ones comes back with length 0, and in order keeps its place. */
static void mix(struct scene *scene, struct vhu_driver *driver, uint16_t size)
{
	const struct vhu_guest_buffer nowhere[] = { { 1ull << 50, 8, NULL }, { 0, 8, NULL } };
	struct vhu_driver_used used;

	(void)size;
	for (unsigned round = 0; round < 50; round++) {
		unsigned seen = 0;

		for (unsigned i = 0; i < 8; i++) {
			if (i % 4 == 2)
				assert_true(vhu_driver_add(driver, nowhere, 1, 1, i) >= 0);
			else
				assert_true(scene_add(scene, driver, i) >= 0);
		}
		assert_true(vhu_driver_kick(driver) >= 0);
		for (unsigned i = 0; i < 8; i++) {
			assert_int_equal(vhu_driver_wait(driver, &used), 0);
			if (driver->in_order)
				assert_int_equal(used.token, i);
			assert_int_equal(used.len,
					 used.token % 4 == 2 ? 0 : scene->target->used_len);
			seen |= 1u << used.token;
		}
		assert_int_equal(seen, 0xff);
	}
}

static void malformed_ones_among_good_ones(void **state)
{
	on_each_layout(*state, mix);
}

int main(int argc, char **argv)
{
	/* The layouts are chosen here. */
	const unsigned targets = ON_BOTH | SPLIT_ONLY;
	const struct device_test tests[] = {
		DEVICE_TEST(small_rings_go_round, targets),
		DEVICE_TEST(largest_rings_are_served, targets),
		DEVICE_TEST(restarted_under_load, targets),
		DEVICE_TEST(malformed_ones_among_good_ones, targets),
	};

	return run_device_tests(tests, ARRAY_SIZE(tests), argc, argv);
}
