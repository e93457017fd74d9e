/* SPDX-License-Identifier: BSD-3-Clause */

/* Who tells whom, and when: flags and event indices, both ways (virtio 1.3, 2.7.7 and 2.7.10). */

#include "tests/unit/ring_guest.h"

#include "common/memory/access.h"

static void set_used_event(struct guest *g, uint16_t event)
{
	vring_used_event(&g->ring) = htole16(event);
}

static uint16_t avail_event(const struct guest *g)
{
	return vhu_load_le16(&g->ring.used->ring[g->ring.num]);
}

/* Serves n requests; what publish says. */
static bool serve(struct guest *g, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct vhu_chain *chain;

		guest_offer_one(g, (uint16_t)i, GUEST_DATA, 8, WRITE);
		chain = vhu_virtqueue_pop(&g->q);
		assert_non_null(chain);
		vhu_virtqueue_push(&g->q, chain, 8);
	}
	return vhu_virtqueue_publish(&g->q);
}

static void flag_decides_on_calls(void **state)
{
	struct guest g;

	(void)state;
	guest_start(&g, 8, 0);
	assert_true(serve(&g, 1));
	assert_true(serve(&g, 3));
	g.ring.avail->flags = htole16(VRING_AVAIL_F_NO_INTERRUPT);
	assert_false(serve(&g, 3));
	g.ring.avail->flags = 0;
	assert_true(serve(&g, 1));
	guest_finish(&g);
}

/* The one before us may have published and gone without the call. */
static void first_publish_always_calls(void **state)
{
	struct guest g;

	(void)state;
	guest_start(&g, 8, EVENT_IDX);
	set_used_event(&g, 1000);
	assert_true(serve(&g, 1));
	assert_false(serve(&g, 1));
	vhu_virtqueue_stop(&g.q);
	g.setup.base = 2;
	assert_int_equal(vhu_virtqueue_start(&g.q, &g.setup, g.memory), 0);
	assert_true(serve(&g, 1));
	assert_false(serve(&g, 1));
	guest_finish(&g);
}

static void used_event_decides_on_calls(void **state)
{
	struct guest g;

	(void)state;
	guest_start(&g, 8, EVENT_IDX);
	assert_true(serve(&g, 1));				   /* 0 -> 1, the first */
	g.ring.avail->flags = htole16(VRING_AVAIL_F_NO_INTERRUPT); /* means nothing here */
	set_used_event(&g, 1);
	assert_true(serve(&g, 1)); /* 1 -> 2 */
	assert_false(serve(&g, 1));
	set_used_event(&g, 5);
	assert_false(serve(&g, 2)); /* 3 -> 5: entry 5 is still to come */
	assert_true(serve(&g, 8));  /* 5 -> 13 */
	set_used_event(&g, 12);
	assert_false(serve(&g, 8)); /* long past */
	guest_finish(&g);
}

static void used_event_wraps(void **state)
{
	static const uint64_t end = GUEST_BYTES;
	struct guest g;

	(void)state;
	guest_init_regions(&g, 8, EVENT_IDX, &end, 1);
	g.ring.avail->idx = htole16(65530);
	g.ring.used->idx = htole16(65530);
	g.setup.base = 65530;
	assert_int_equal(vhu_virtqueue_start(&g.q, &g.setup, g.memory), 0);
	set_used_event(&g, 1);
	assert_true(serve(&g, 1));  /* 65530 -> 65531, the first */
	assert_false(serve(&g, 4)); /* 65535 */
	assert_false(serve(&g, 2)); /* 1 */
	assert_true(serve(&g, 1));  /* 2 */
	set_used_event(&g, 65535);
	assert_false(serve(&g, 8));
	guest_finish(&g);
}

/* 65,536 decisions against the rule of 2.7.10 said another way: an entry in [old, new). */
static void used_event_agrees_with_the_rule(void **state)
{
	uint16_t old = 0;
	struct guest g;

	(void)state;
	guest_start(&g, 8, EVENT_IDX);
	serve(&g, 1);
	old = 1;
	for (unsigned i = 0; i < 65536; i++) {
		unsigned n = 1 + i * 7 % 8;
		uint16_t event = (uint16_t)(old - 3 + i * 5 % 16);
		bool wanted = false;

		for (unsigned k = 0; k < n; k++)
			wanted |= (uint16_t)(old + k) == event;
		set_used_event(&g, event);
		assert_int_equal(serve(&g, n), wanted);
		old = (uint16_t)(old + n);
	}
	guest_finish(&g);
}

static void flag_asks_for_kicks(void **state)
{
	struct guest g;

	(void)state;
	guest_start(&g, 8, 0);
	vhu_virtqueue_disable_kicks(&g.q);
	assert_int_equal(le16toh(g.ring.used->flags), VRING_USED_F_NO_NOTIFY);
	assert_false(vhu_virtqueue_enable_kicks(&g.q));
	assert_int_equal(g.ring.used->flags, 0);
	vhu_virtqueue_disable_kicks(&g.q);
	guest_offer_one(&g, 0, GUEST_DATA, 8, 0);
	assert_true(vhu_virtqueue_enable_kicks(&g.q)); /* it came in the meantime */
	assert_int_equal(g.ring.used->flags, 0);
	vhu_virtqueue_push(&g.q, vhu_virtqueue_pop(&g.q), 0);
	assert_false(vhu_virtqueue_enable_kicks(&g.q));
	guest_finish(&g);
}

static void avail_event_asks_for_kicks(void **state)
{
	static const uint64_t end = GUEST_BYTES;
	struct guest g;

	(void)state;
	guest_init_regions(&g, 8, EVENT_IDX, &end, 1);
	g.ring.avail->idx = htole16(65535);
	g.setup.base = 65535;
	assert_int_equal(vhu_virtqueue_start(&g.q, &g.setup, g.memory), 0);
	assert_false(vhu_virtqueue_enable_kicks(&g.q));
	assert_int_equal(avail_event(&g), 65535);
	/* The driver's test, as it adds the next one: 65535 -> 0. */
	assert_true(vring_need_event(avail_event(&g), 0, 65535));
	serve(&g, 3);
	assert_int_equal(avail_event(&g), 65535); /* stays behind: no kicks */
	assert_false(vring_need_event(avail_event(&g), 3, 2));
	guest_offer_one(&g, 3, GUEST_DATA, 8, 0);
	assert_true(vhu_virtqueue_enable_kicks(&g.q));
	assert_int_equal(avail_event(&g), 2);
	vhu_virtqueue_push(&g.q, vhu_virtqueue_pop(&g.q), 0);
	assert_false(vhu_virtqueue_enable_kicks(&g.q));
	assert_int_equal(avail_event(&g), 3);
	vhu_virtqueue_disable_kicks(&g.q);
	assert_int_equal(avail_event(&g), 3);
	assert_int_equal(g.ring.used->flags, 0);
	guest_finish(&g);
}

/* A device that waits for an event of its own leaves requests where they are: they are no news. */
static void what_is_left_unpopped_is_no_news(void **state)
{
	struct guest g;

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		guest_start(&g, 8, i ? EVENT_IDX : 0);
		guest_offer_one(&g, 0, GUEST_DATA, 8, 0);
		guest_offer_one(&g, 1, GUEST_DATA, 8, 0);
		assert_true(vhu_virtqueue_has_news(&g.q));
		assert_false(vhu_virtqueue_has_news(&g.q));
		assert_false(vhu_virtqueue_enable_kicks(&g.q));
		if (i) /* the driver kicks for the third one */
			assert_true(vring_need_event(avail_event(&g), 3, 2));
		vhu_virtqueue_unpop(&g.q, vhu_virtqueue_pop(&g.q));
		assert_false(vhu_virtqueue_enable_kicks(&g.q));
		guest_offer_one(&g, 2, GUEST_DATA, 8, 0);
		assert_true(vhu_virtqueue_enable_kicks(&g.q));
		for (unsigned k = 0; k < 3; k++)
			vhu_virtqueue_push(&g.q, vhu_virtqueue_pop(&g.q), 0);
		assert_false(vhu_virtqueue_enable_kicks(&g.q));
		guest_finish(&g);
	}
}

static void event_idx_is_switched_on_a_live_queue(void **state)
{
	struct guest g;

	(void)state;
	guest_start(&g, 8, 0);
	set_used_event(&g, 1000);
	assert_true(serve(&g, 1));
	assert_true(serve(&g, 1));
	vhu_virtqueue_set_event_idx(&g.q, true);
	assert_false(serve(&g, 1));
	vhu_virtqueue_enable_kicks(&g.q);
	assert_int_equal(avail_event(&g), 3);
	vhu_virtqueue_set_event_idx(&g.q, false);
	assert_true(serve(&g, 1));
	guest_finish(&g);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(flag_decides_on_calls),
		cmocka_unit_test(first_publish_always_calls),
		cmocka_unit_test(used_event_decides_on_calls),
		cmocka_unit_test(used_event_wraps),
		cmocka_unit_test(used_event_agrees_with_the_rule),
		cmocka_unit_test(flag_asks_for_kicks),
		cmocka_unit_test(avail_event_asks_for_kicks),
		cmocka_unit_test(what_is_left_unpopped_is_no_news),
		cmocka_unit_test(event_idx_is_switched_on_a_live_queue),
	};

	return cmocka_run_group_tests_name("ring/notify", tests, NULL, NULL);
}
