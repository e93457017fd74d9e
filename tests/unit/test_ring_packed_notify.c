/* SPDX-License-Identifier: BSD-3-Clause */

/* Who tells whom, and when, on a packed ring: event suppression, both ways (virtio 1.3, 2.8.10). */

#include "tests/unit/packed_guest.h"

#include "common/base/num.h"

#define ENABLE VRING_PACKED_EVENT_FLAG_ENABLE
#define DISABLE VRING_PACKED_EVENT_FLAG_DISABLE
#define DESC VRING_PACKED_EVENT_FLAG_DESC

static void driver_wants(struct packed *p, uint16_t flags, uint16_t place)
{
	p->driver->off_wrap = htole16(place);
	p->driver->flags = htole16(flags);
}

static void expect_device_wants(const struct packed *p, uint16_t flags, uint16_t place)
{
	assert_int_equal(le16toh(p->device->flags), flags);
	if (flags == DESC)
		assert_int_equal(le16toh(p->device->off_wrap), place);
}

/* Serves n requests of one descriptor; what publish says. */
static bool serve(struct packed *p, unsigned n)
{
	bool call;

	for (unsigned i = 0; i < n; i++) {
		struct vhu_chain *chain;

		packed_offer_one(p, (uint16_t)i, GUEST_DATA, 8, WRITE);
		chain = vhu_virtqueue_pop(&p->g.q);
		assert_non_null(chain);
		vhu_virtqueue_push(&p->g.q, chain, 8);
	}
	call = vhu_virtqueue_publish(&p->g.q);
	p->next_used = packed_place(p, p->next_used, n);
	return call;
}

static void flags_decide_on_calls(void **state)
{
	struct packed p;

	(void)state;
	packed_start(&p, 7, 0);
	assert_true(serve(&p, 1));
	assert_true(serve(&p, 3));
	driver_wants(&p, DISABLE, 0);
	assert_false(serve(&p, 3));
	driver_wants(&p, 0xfffc | DISABLE, 0); /* the reserved bits mean nothing */
	assert_false(serve(&p, 3));
	driver_wants(&p, ENABLE, 0);
	assert_true(serve(&p, 1));
	driver_wants(&p, DESC, 5 | WRAP); /* not negotiated, and reserved: better a call */
	assert_true(serve(&p, 1));
	driver_wants(&p, 3, 0);
	assert_true(serve(&p, 1));
	packed_finish(&p);
}

/* The one before us may have published and gone without the call. */
static void first_publish_always_calls(void **state)
{
	struct packed p;

	(void)state;
	packed_start(&p, 8, EVENT_IDX);
	driver_wants(&p, DESC, 6 | WRAP);
	assert_true(serve(&p, 1));
	assert_false(serve(&p, 1));
	vhu_virtqueue_stop(&p.g.q);
	p.g.setup.base = vhu_virtqueue_base(&p.g.q);
	assert_int_equal(vhu_virtqueue_start(&p.g.q, &p.g.setup, p.g.memory), 0);
	assert_true(serve(&p, 1));
	assert_false(serve(&p, 1));
	/* Who wants none gets none. */
	vhu_virtqueue_stop(&p.g.q);
	p.g.setup.base = vhu_virtqueue_base(&p.g.q);
	driver_wants(&p, DISABLE, 0);
	assert_int_equal(vhu_virtqueue_start(&p.g.q, &p.g.setup, p.g.memory), 0);
	assert_false(serve(&p, 1));
	packed_finish(&p);
}

/* Every event from everywhere against the rule said another way: a place that is passed over. */
static void event_agrees_with_the_rule(void **state)
{
	static const uint32_t sizes[] = { 1, 2, 7, 8 };
	struct packed p;

	(void)state;
	for (size_t s = 0; s < ARRAY_SIZE(sizes); s++) {
		uint32_t size = sizes[s];

		packed_start(&p, size, EVENT_IDX);
		serve(&p, 1);
		for (unsigned i = 0; i < 40 * size * size; i++) {
			uint16_t event = (uint16_t)(i % size | (i / size % 2 ? WRAP : 0));
			unsigned n = 1 + i / 3 % size;
			bool wanted = false;

			for (unsigned k = 0; k < n; k++)
				wanted |= packed_place(&p, p.next_used, k) == event;
			driver_wants(&p, DESC, event);
			assert_int_equal(serve(&p, n), wanted);
		}
		packed_finish(&p);
	}
}

/* Lists are skipped as a whole: an event in their middle is passed over too. */
static void event_inside_a_list_calls(void **state)
{
	static const struct element list[] = {
		{ GUEST_DATA, 8, NEXT }, { GUEST_DATA + 64, 8, NEXT }, { GUEST_DATA + 128, 8, 0 },
	};
	struct packed p;

	(void)state;
	packed_start(&p, 7, EVENT_IDX);
	serve(&p, 1);
	for (unsigned i = 0; i < 100; i++) {
		unsigned ahead = i % 7;
		struct vhu_chain *chain;

		driver_wants(&p, DESC, packed_place(&p, p.next_used, ahead));
		packed_offer(&p, 0, list, 3);
		chain = vhu_virtqueue_pop(&p.g.q);
		assert_non_null(chain);
		vhu_virtqueue_push(&p.g.q, chain, 0);
		assert_int_equal(vhu_virtqueue_publish(&p.g.q), ahead < 3);
		packed_expect_used(&p, 0, 0, 3);
	}
	packed_finish(&p);
}

static void flags_ask_for_kicks(void **state)
{
	struct packed p;

	(void)state;
	packed_start(&p, 7, 0);
	vhu_virtqueue_disable_kicks(&p.g.q);
	expect_device_wants(&p, DISABLE, 0);
	assert_false(vhu_virtqueue_enable_kicks(&p.g.q));
	expect_device_wants(&p, ENABLE, 0);
	vhu_virtqueue_disable_kicks(&p.g.q);
	packed_offer_one(&p, 0, GUEST_DATA, 8, 0);
	assert_true(vhu_virtqueue_enable_kicks(&p.g.q)); /* it came in the meantime */
	expect_device_wants(&p, ENABLE, 0);
	vhu_virtqueue_push(&p.g.q, vhu_virtqueue_pop(&p.g.q), 0);
	assert_false(vhu_virtqueue_enable_kicks(&p.g.q));
	packed_finish(&p);
}

static void place_asks_for_kicks(void **state)
{
	struct packed p;

	(void)state;
	packed_init(&p, 7, EVENT_IDX, 0x80068006);
	assert_int_equal(vhu_virtqueue_start(&p.g.q, &p.g.setup, p.g.memory), 0);
	assert_false(vhu_virtqueue_enable_kicks(&p.g.q));
	expect_device_wants(&p, DESC, 6 | WRAP);
	serve(&p, 3);
	expect_device_wants(&p, DESC, 6 | WRAP); /* stays behind: no kicks */
	vhu_virtqueue_disable_kicks(&p.g.q); /* but it would be reached again */
	expect_device_wants(&p, DISABLE, 0);
	packed_offer_one(&p, 3, GUEST_DATA, 8, 0);
	assert_true(vhu_virtqueue_enable_kicks(&p.g.q));
	expect_device_wants(&p, DESC, 2);
	vhu_virtqueue_push(&p.g.q, vhu_virtqueue_pop(&p.g.q), 0);
	assert_false(vhu_virtqueue_enable_kicks(&p.g.q));
	expect_device_wants(&p, DESC, 3);
	packed_finish(&p);
}

/* A device that waits for an event of its own leaves requests where they are: they are no news. */
static void what_is_left_unpopped_is_no_news(void **state)
{
	static const struct element list[] = { { GUEST_DATA, 8, NEXT }, { GUEST_DATA, 8, WRITE } };
	struct packed p;

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		packed_start(&p, 7, i ? EVENT_IDX : 0);
		for (unsigned lap = 0; lap < 20; lap++) {
			packed_offer_one(&p, 0, GUEST_DATA, 8, 0);
			packed_offer(&p, 1, list, 2);
			assert_true(vhu_virtqueue_has_news(&p.g.q));
			assert_false(vhu_virtqueue_has_news(&p.g.q));
			assert_false(vhu_virtqueue_enable_kicks(&p.g.q));
			if (i) /* the driver kicks for the third one */
				expect_device_wants(&p, DESC, p.next_avail);
			vhu_virtqueue_unpop(&p.g.q, vhu_virtqueue_pop(&p.g.q));
			assert_false(vhu_virtqueue_enable_kicks(&p.g.q));
			packed_offer(&p, 2, list, 2);
			assert_true(vhu_virtqueue_enable_kicks(&p.g.q));
			for (unsigned k = 0; k < 3; k++)
				vhu_virtqueue_push(&p.g.q, vhu_virtqueue_pop(&p.g.q), 0);
			assert_false(vhu_virtqueue_enable_kicks(&p.g.q));
			if (i)
				expect_device_wants(&p, DESC, p.next_avail);
			vhu_virtqueue_publish(&p.g.q);
		}
		packed_finish(&p);
	}
}

static void event_idx_is_switched_on_a_live_queue(void **state)
{
	struct packed p;

	(void)state;
	packed_start(&p, 7, 0);
	driver_wants(&p, DESC, 6 | WRAP);
	assert_true(serve(&p, 1));
	assert_true(serve(&p, 1));
	vhu_virtqueue_set_event_idx(&p.g.q, true);
	assert_false(serve(&p, 1));
	vhu_virtqueue_enable_kicks(&p.g.q);
	expect_device_wants(&p, DESC, 3 | WRAP);
	vhu_virtqueue_set_event_idx(&p.g.q, false);
	assert_true(serve(&p, 1));
	vhu_virtqueue_enable_kicks(&p.g.q);
	expect_device_wants(&p, ENABLE, 0);
	packed_finish(&p);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(flags_decide_on_calls),
		cmocka_unit_test(first_publish_always_calls),
		cmocka_unit_test(event_agrees_with_the_rule),
		cmocka_unit_test(event_inside_a_list_calls),
		cmocka_unit_test(flags_ask_for_kicks),
		cmocka_unit_test(place_asks_for_kicks),
		cmocka_unit_test(what_is_left_unpopped_is_no_news),
		cmocka_unit_test(event_idx_is_switched_on_a_live_queue),
	};

	return cmocka_run_group_tests_name("ring/packed notify", tests, NULL, NULL);
}
