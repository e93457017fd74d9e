/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Our driver of packed rings against a small device written for this test alone, which reads the
 * ring as virtio 1.3, 2.8 has it; and what IN_ORDER lets a device leave out, in both layouts.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/num.h"
#include "common/frontend/driver.h"

#define MEMORY_BYTES (2u << 20)
#define CHAIN_MAX 6
#define HELD_MAX 64
#define PACKED VHU_BIT(VHU_F_RING_PACKED)
#define EVENT_IDX VHU_BIT(VHU_F_RING_EVENT_IDX)
#define INDIRECT VHU_BIT(VHU_F_RING_INDIRECT_DESC)
#define IN_ORDER VHU_BIT(VHU_F_IN_ORDER)

/* A place counted from the start of time, so that laps need no care here. */
struct device {
	struct vhu_driver_packed *ring;
	unsigned size;
	uint64_t avail, used;
	struct held {
		uint16_t id;
		unsigned n_descriptors;
		uint32_t writable_len;
	} held[HELD_MAX];
	unsigned n_held;
};

struct world {
	struct vhu_frontend frontend;
	struct vhu_driver driver;
	struct device device;
	uint64_t random;
};

static uint32_t draw(struct world *world, uint32_t below)
{
	world->random = world->random * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(world->random >> 33) % below;
}

static struct world *make_world(uint64_t features, uint16_t size)
{
	struct world *world = calloc(1, sizeof(*world));

	assert_non_null(world);
	vhu_frontend_init(&world->frontend);
	world->frontend.acked_features = features;
	assert_int_equal(vhu_guest_add(&world->frontend.guest, 0, MEMORY_BYTES), 0);
	assert_int_equal(vhu_driver_init(&world->driver, &world->frontend, 0, size), 0);
	world->device.ring = &world->driver.packed;
	world->device.size = size;
	world->random = size;
	return world;
}

static void free_world(struct world *world)
{
	vhu_driver_finish(&world->driver);
	vhu_frontend_finish(&world->frontend);
	free(world);
}

static bool wrap_at(const struct device *device, uint64_t place)
{
	return place / device->size % 2 == 0;
}

static bool is_available(const struct device *device, uint64_t place)
{
	uint16_t flags = le16toh(device->ring->desc[place % device->size].flags);

	return (flags >> 7 & 1) == wrap_at(device, place) &&
	       (flags >> 15 & 1) != wrap_at(device, place);
}

/* Takes one chain and keeps it. False when there is none. */
static bool take(struct world *world)
{
	struct device *device = &world->device;
	struct held *held = &device->held[device->n_held];
	const struct vring_packed_desc *desc;

	if (!is_available(device, device->avail))
		return false;
	*held = (struct held){ 0 };
	do {
		assert_true(is_available(device, device->avail));
		desc = &device->ring->desc[device->avail++ % device->size];
		held->n_descriptors++;
		if (le16toh(desc->flags) & VRING_DESC_F_WRITE)
			held->writable_len += le32toh(desc->len);
	} while (le16toh(desc->flags) & VRING_DESC_F_NEXT);
	held->id = le16toh(desc->id);
	if (le16toh(desc->flags) & VRING_DESC_F_INDIRECT) {
		const struct vring_packed_desc *table = vhu_guest_at(
			&world->frontend.guest, le64toh(desc->addr), le32toh(desc->len));

		assert_int_equal(held->n_descriptors, 1);
		assert_non_null(table);
		for (unsigned i = 0; i < le32toh(desc->len) / sizeof(*table); i++)
			if (le16toh(table[i].flags) & VRING_DESC_F_WRITE)
				held->writable_len += le32toh(table[i].len);
	}
	device->n_held++;
	return true;
}

/* Gives back one of those it keeps; its length is told apart by the ID. */
static void give(struct device *device, unsigned which, unsigned skipped_descriptors)
{
	struct held held = device->held[which];
	struct vring_packed_desc *desc = &device->ring->desc[device->used % device->size];
	bool wrap = wrap_at(device, device->used);

	desc->id = htole16(held.id);
	desc->len = htole32(held.writable_len + 1000);
	desc->flags = htole16(wrap ? 1 << 7 | 1 << 15 : 0);
	device->used += held.n_descriptors + skipped_descriptors;
	memmove(&device->held[which], &device->held[which + 1],
		(--device->n_held - which) * sizeof(held));
}

/* The word that the driver asks for calls with, or the device for kicks. */
static uint16_t word_of(const struct device *device, uint64_t place)
{
	return (uint16_t)(place % device->size | (wrap_at(device, place) ? 0x8000 : 0));
}

/* A random chain. Returns its writable length, or -1 when the ring is full. */
static int add_random(struct world *world, uint64_t token)
{
	struct vhu_guest_buffer buffers[CHAIN_MAX];
	unsigned n = 1 + draw(world, (uint32_t)min_u64(CHAIN_MAX, world->device.size));
	unsigned n_readable = draw(world, n + 1);
	uint32_t writable_len = 0;

	for (unsigned i = 0; i < n; i++) {
		buffers[i] = (struct vhu_guest_buffer){ 4096 * i, 1 + draw(world, 99), NULL };
		if (i >= n_readable)
			writable_len += buffers[i].len;
	}
	if (vhu_driver_add(&world->driver, buffers, n_readable, n - n_readable, token) < 0)
		return -1;
	return (int)writable_len;
}

/* What was given back arrives once, with its length. */
static unsigned collect(struct world *world, uint32_t lengths[HELD_MAX], unsigned given)
{
	struct vhu_driver_used used;
	unsigned n = 0;

	while (n < given) {
		assert_true(vhu_driver_has_used(&world->driver));
		assert_int_equal(vhu_driver_get(&world->driver, &used), 1);
		assert_true(used.token < HELD_MAX && lengths[used.token] != UINT32_MAX);
		assert_int_equal(used.len, lengths[used.token] + 1000);
		lengths[used.token] = UINT32_MAX;
		n++;
	}
	assert_false(vhu_driver_has_used(&world->driver));
	assert_int_equal(vhu_driver_get(&world->driver, &used), 0);
	return n;
}

/* Sets the device's event, kicks, and looks whether it was kicked as the event asks for. */
static void kick(struct world *world, uint64_t shown_before)
{
	struct device *device = &world->device;
	uint64_t shown = shown_before, event = shown_before + draw(world, 2 * device->size);
	unsigned mode = draw(world, 3);
	bool expected;

	while (event >= device->used + device->size) /* no place further on can be asked for */
		event -= device->size;
	device->ring->device_event->off_wrap = htole16(word_of(device, event));
	device->ring->device_event->flags = htole16((uint16_t)mode);
	assert_false(is_available(device, shown_before));
	shown += (world->driver.packed.avail.at + device->size - shown % device->size) %
		 device->size;
	if (shown == shown_before && !world->driver.n_free)
		shown += device->size;
	expected = mode == VRING_PACKED_EVENT_FLAG_ENABLE;
	if (mode == VRING_PACKED_EVENT_FLAG_DESC)
		expected = !world->driver.event_idx || (event >= shown_before && event < shown);
	assert_int_equal(vhu_driver_kick(&world->driver), expected);
}

static void run_model(uint64_t features, uint16_t size)
{
	struct world *world = make_world(PACKED | features, size);
	struct device *device = &world->device;
	uint32_t lengths[HELD_MAX];

	memset(lengths, 0xff, sizeof(lengths));
	for (int round = 0; round < 4000; round++) {
		uint64_t shown_before = device->avail;
		unsigned given = 0;

		for (unsigned i = draw(world, 4); i; i--) {
			unsigned token = draw(world, HELD_MAX);
			int len = lengths[token] == UINT32_MAX ? add_random(world, token) : -1;

			if (len >= 0)
				lengths[token] = (uint32_t)len;
		}
		kick(world, shown_before);
		while (take(world))
			;
		for (unsigned i = draw(world, 5); i && device->n_held; i--, given++)
			give(device, features & IN_ORDER ? 0 : draw(world, device->n_held), 0);
		assert_int_equal(collect(world, lengths, given), given);
		assert_int_equal(world->driver.n_in_flight, device->n_held);
	}
	while (device->n_held) {
		give(device, 0, 0);
		collect(world, lengths, 1);
	}
	assert_int_equal(world->driver.n_free, size);
	assert_int_equal(vhu_driver_idle_base(&world->driver),
			 word_of(device, device->used) * 0x10001u);
	assert_true(device->used > 10ull * size);
	free_world(world);
}

static void test_model(void **state)
{
	static const uint64_t features[] = { 0, EVENT_IDX, INDIRECT, INDIRECT | EVENT_IDX,
					     IN_ORDER | EVENT_IDX };
	static const uint16_t sizes[] = { 1, 2, 7, 16, 33 };

	(void)state;
	for (size_t f = 0; f < ARRAY_SIZE(features); f++)
		for (size_t s = 0; s < ARRAY_SIZE(sizes); s++)
			run_model(features[f], sizes[s]);
}

/* Nothing of what was added is there before it is published, however much it is. */
static void test_publish(void **state)
{
	struct world *world = make_world(PACKED, 8);
	const struct vhu_guest_buffer buffers[2] = { { .len = 8 }, { .len = 8 } };

	(void)state;
	for (int lap = 0; lap < 5; lap++) {
		uint32_t lengths[HELD_MAX] = { 8, 8, 8, 8 };

		for (uint64_t i = 0; i < 4; i++)
			assert_true(vhu_driver_add(&world->driver, buffers, 1, 1, i) >= 0);
		assert_int_equal(vhu_driver_add(&world->driver, buffers, 1, 0, 4), -ENOSPC);
		assert_false(take(world));
		vhu_driver_publish(&world->driver);
		for (int i = 0; i < 4; i++)
			assert_true(take(world));
		for (int i = 0; i < 4; i++)
			give(&world->device, (unsigned)(3 - i), 0);
		collect(world, lengths, 4);
	}
	free_world(world);
}

static void test_calls(void **state)
{
	struct world *world = make_world(PACKED | EVENT_IDX, 4);
	struct vring_packed_desc_event *event = world->driver.packed.driver_event;
	const struct vhu_guest_buffer buffer = { .len = 8 };
	struct vhu_driver_used used;

	(void)state;
	for (int i = 0; i < 11; i++) {
		assert_false(vhu_driver_want_call(&world->driver));
		assert_int_equal(le16toh(event->flags), VRING_PACKED_EVENT_FLAG_DESC);
		assert_int_equal(le16toh(event->off_wrap),
				 word_of(&world->device, world->device.used));
		vhu_driver_refuse_calls(&world->driver);
		assert_int_equal(le16toh(event->flags), VRING_PACKED_EVENT_FLAG_DISABLE);
		assert_true(vhu_driver_add(&world->driver, &buffer, 0, 1, 1) >= 0);
		vhu_driver_publish(&world->driver);
		assert_true(take(world));
		give(&world->device, 0, 0);
		assert_true(vhu_driver_want_call(&world->driver));
		assert_int_equal(vhu_driver_get(&world->driver, &used), 1);
	}
	free_world(world);

	world = make_world(PACKED, 4);
	event = world->driver.packed.driver_event;
	vhu_driver_refuse_calls(&world->driver);
	assert_int_equal(le16toh(event->flags), VRING_PACKED_EVENT_FLAG_DISABLE);
	vhu_driver_want_call(&world->driver);
	assert_int_equal(le16toh(event->flags), VRING_PACKED_EVENT_FLAG_ENABLE);
	free_world(world);
}

static void test_wrong_ids(void **state)
{
	struct world *world = make_world(PACKED, 4);
	struct vring_packed_desc *desc = world->driver.packed.desc;
	const struct vhu_guest_buffer buffer = { .len = 8 };
	struct vhu_driver_used used;
	struct vhu_driver none;

	(void)state;
	assert_int_equal(vhu_driver_add(&world->driver, &buffer, 0, 1, 7), 0);
	vhu_driver_publish(&world->driver);
	assert_true(take(world));
	give(&world->device, 0, 0);
	desc[0].id = htole16(1); /* not in flight */
	assert_int_equal(vhu_driver_get(&world->driver, &used), -EPROTO);
	desc[0].id = htole16(4); /* not a slot */
	assert_int_equal(vhu_driver_get(&world->driver, &used), -EPROTO);
	desc[0].id = 0;
	assert_int_equal(vhu_driver_get(&world->driver, &used), 1);
	assert_int_equal(used.token, 7);

	assert_int_equal(vhu_driver_init(&none, &world->frontend, 0, 0), -EINVAL);
	assert_int_equal(vhu_driver_init(&none, &world->frontend, 0, 32769), -EINVAL);
	free_world(world);
}

/* Three chains of two descriptors, of which only the last is said to be used, over and over. */
static void test_batch_packed(void **state)
{
	struct world *world = make_world(PACKED | IN_ORDER, 9);
	const struct vhu_guest_buffer buffers[2] = { { .len = 8 }, { .len = 9 } };
	struct vhu_driver_used used;

	(void)state;
	for (int round = 0; round < 20; round++) {
		for (uint64_t i = 0; i < 3; i++)
			assert_true(vhu_driver_add(&world->driver, buffers, 1, 1, i) >= 0);
		vhu_driver_publish(&world->driver);
		while (take(world))
			;
		assert_int_equal(world->device.n_held, 3);
		give(&world->device, 2, 4);
		world->device.n_held = 0;
		for (uint64_t i = 0; i < 3; i++) {
			assert_true(vhu_driver_has_used(&world->driver));
			assert_int_equal(vhu_driver_get(&world->driver, &used), 1);
			assert_int_equal(used.token, i);
			assert_int_equal(used.len, i == 2 ? 1009 : 9);
		}
		assert_int_equal(vhu_driver_get(&world->driver, &used), 0);
		assert_int_equal(world->driver.n_free, 9);
	}
	free_world(world);
}

/* In a split ring the entry of the batch is where its first would be, and the index goes past. */
static void test_batch_split(void **state)
{
	struct world *world = make_world(IN_ORDER, 8);
	struct vring *vring = &world->driver.split.vring;
	const struct vhu_guest_buffer buffers[3] = { { .len = 8 }, { .len = 9 }, { .len = 1 } };
	struct vhu_driver_used used;
	uint16_t next = 0;

	(void)state;
	for (int round = 0; round < 20; round++) {
		uint16_t at = le16toh(vring->used->idx), n = (uint16_t)(1 + round % 2);
		int head = 0;

		for (uint64_t i = 0; i < n; i++) {
			head = vhu_driver_add(&world->driver, buffers, 1, 2, i);
			assert_int_equal(head, next); /* the order of the ring */
			next = (uint16_t)((next + 3) % 8);
		}
		vhu_driver_publish(&world->driver);
		vring->used->ring[at % 8].id = htole32((uint32_t)head);
		vring->used->ring[at % 8].len = htole32(4);
		vring->used->idx = htole16((uint16_t)(at + n));
		for (uint64_t i = 0; i < n; i++) {
			assert_int_equal(vhu_driver_get(&world->driver, &used), 1);
			assert_int_equal(used.token, i);
			assert_int_equal(used.len, i == n - 1u ? 4 : 10);
		}
		assert_int_equal(vhu_driver_get(&world->driver, &used), 0);
	}
	free_world(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_model),	     cmocka_unit_test(test_publish),
		cmocka_unit_test(test_calls),	     cmocka_unit_test(test_wrong_ids),
		cmocka_unit_test(test_batch_packed), cmocka_unit_test(test_batch_split),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
