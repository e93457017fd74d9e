/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The in-flight record: what is written in it, and records that somebody has tampered with. That
 * nothing is lost at any instant is test_ring_crash's.
 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "common/base/num.h"
#include "common/ring/inflight.h"
#include "tests/unit/crash_world.h"

#define PACKED (1ull << VIRTIO_F_RING_PACKED)
#define SIZE 4
#define TAMPERINGS 20000

static const uint64_t forms[] = { 0, PACKED };

/* A device that has died with n requests in flight. */
static void die_with(struct world *w, struct world_device *d, uint64_t features, unsigned n)
{
	struct vhu_chain *chain;

	world_init(w, SIZE, features, 7);
	assert_int_equal(world_device_start(d, w), 0);
	/* Past the beginning of the ring. */
	for (unsigned i = 0; i < 9; i++) {
		world_submit(w);
		world_device_finish(d);
		assert_int_equal(world_device_start(d, w), 0);
		world_collect(w);
	}
	while (n) {
		while (world_submit(w))
			;
		chain = vhu_virtqueue_pop(&d->q);
		if (!chain)
			break;
		d->held[d->n_held++] = chain;
		n--;
	}
	assert_null(w->notes->fault);
}

/* Its memory goes with it, in this process by hand. */
static void bury(struct world_device *d)
{
	while (d->n_held)
		vhu_virtqueue_leave(&d->q, d->held[--d->n_held]);
	vhu_virtqueue_stop(&d->q);
}

static uint8_t *flag_of(const struct world *w, uint64_t features, unsigned i)
{
	struct vhu_inflight_packed *packed = w->record;
	struct vhu_inflight_split *split = w->record;

	return features & PACKED ? &packed->desc[i].inflight : &split->desc[i].inflight;
}

static unsigned count(const struct world *w, uint64_t features)
{
	unsigned n = 0;

	for (unsigned i = 0; i < SIZE; i++)
		n += *flag_of(w, features, i);
	return n;
}

static void a_pop_is_noted_and_an_unpop_undone(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(forms); i++) {
		struct world_device d;
		struct world w;

		die_with(&w, &d, forms[i], 1);
		assert_int_equal(count(&w, forms[i]), 1);
		vhu_virtqueue_unpop(&d.q, d.held[--d.n_held]);
		assert_int_equal(count(&w, forms[i]), 0);
		world_device_finish(&d);
		assert_int_equal(count(&w, forms[i]), 0);
		assert_true(world_collect(&w) > 0);
		world_finish(&w);
	}
}

static uint64_t *counter_of(const struct world *w, uint64_t features, unsigned entry)
{
	struct vhu_inflight_packed *packed = w->record;
	struct vhu_inflight_split *split = w->record;

	return features & PACKED ? &packed->desc[entry].counter : &split->desc[entry].counter;
}

static unsigned entry_of(uint64_t features, const struct vhu_chain *chain)
{
	return features & PACKED ? chain->entry : chain->head;
}

/* Theirs is that of the counters, whichever it is. */
static void they_come_again_in_order(uint64_t features, bool swap)
{
	uint64_t *counters[2], last;
	uint16_t heads[2];
	struct world_device d;
	struct vhu_chain *chain;
	struct world w;

	die_with(&w, &d, features, 2);
	assert_int_equal(d.n_held, 2);
	for (unsigned k = 0; k < 2; k++) {
		heads[k ^ swap] = d.held[k]->head;
		counters[k ^ swap] = counter_of(&w, features, entry_of(features, d.held[k]));
	}
	bury(&d);
	last = max_u64(*counters[0], *counters[1]);
	*counters[0] = last - 1;
	*counters[1] = last;
	assert_int_equal(world_device_start(&d, &w), 0);
	assert_int_equal(vhu_virtqueue_n_again(&d.q), 2);
	/* Nor does a look at the ring bring up what is in there before them. */
	assert_false(vhu_virtqueue_has_news(&d.q));
	for (unsigned k = 0; k < 2; k++) {
		chain = vhu_virtqueue_pop(&d.q);
		assert_non_null(chain);
		assert_int_equal(chain->head, heads[k]);
		d.held[d.n_held++] = chain;
	}
	/* Back and again, before what is in the ring, be it seen already. */
	vhu_virtqueue_has_news(&d.q);
	vhu_virtqueue_unpop(&d.q, d.held[--d.n_held]);
	chain = vhu_virtqueue_pop(&d.q);
	assert_int_equal(chain->head, heads[1]);
	d.held[d.n_held++] = chain;
	/* What is taken now comes behind them the next time. */
	chain = vhu_virtqueue_pop(&d.q);
	assert_non_null(chain);
	assert_true(*counter_of(&w, features, entry_of(features, chain)) > last);
	d.held[d.n_held++] = chain;
	bury(&d);
	world_finish(&w);
}

static void they_come_again_in_their_order(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2 * ARRAY_SIZE(forms); i++)
		they_come_again_in_order(forms[i / 2], i % 2);
}

/* Others have come free in between: the record's free list is not what it was. */
static void an_unpop_after_a_push(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(forms); i++) {
		struct world_device d;
		struct world w;

		die_with(&w, &d, forms[i], 2);
		vhu_virtqueue_push(&d.q, d.held[0], 0);
		vhu_virtqueue_publish(&d.q);
		vhu_virtqueue_unpop(&d.q, d.held[1]);
		d.n_held = 0;
		bury(&d);
		assert_int_equal(world_device_start(&d, &w), 0);
		assert_int_equal(vhu_virtqueue_n_again(&d.q), 0);
		bury(&d);
		world_finish(&w);
	}
}

static void make_malformed(struct world *w, uint64_t features, const struct vhu_chain *chain)
{
	const uint16_t flags = VRING_DESC_F_INDIRECT | VRING_DESC_F_NEXT;
	struct vhu_inflight_packed *packed = w->record;
	struct vring_desc *desc = (void *)w->mem;

	if (features & PACKED)
		packed->desc[chain->entry].flags |= flags;
	else
		desc[chain->head].flags |= flags;
}

/* The driver has the second one back by then, and gets the first one too. */
static void an_unpop_before_a_malformed_one(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(forms); i++) {
		struct world_device d;
		struct world w;

		die_with(&w, &d, forms[i], 2);
		make_malformed(&w, forms[i], d.held[1]);
		bury(&d);
		assert_int_equal(world_device_start(&d, &w), 0);
		while ((d.held[d.n_held] = vhu_virtqueue_pop(&d.q)))
			d.n_held++;
		assert_int_equal(d.q.malformed, 1);
		while (d.n_held)
			vhu_virtqueue_unpop(&d.q, d.held[--d.n_held]);
		assert_int_equal(vhu_virtqueue_n_again(&d.q), 0);
		bury(&d);
		world_finish(&w);
	}
}

/* Killed behind the used index; and again, when the driver's next requests have been taken. */
static void two_deaths(void **state)
{
	struct vhu_inflight_split *split;
	struct world_device d;
	struct world w;
	unsigned n;

	(void)state;
	die_with(&w, &d, 0, 1);
	split = w.record;
	vhu_virtqueue_push(&d.q, d.held[--d.n_held], 0);
	vhu_virtqueue_publish(&d.q);
	split->used_idx--;
	split->desc[split->last_batch_head].inflight = 1;
	bury(&d);
	assert_int_equal(world_device_start(&d, &w), 0);
	assert_int_equal(vhu_virtqueue_n_again(&d.q), 0);
	world_collect(&w);
	while (world_submit(&w))
		;
	while ((d.held[d.n_held] = vhu_virtqueue_pop(&d.q)))
		d.n_held++;
	n = d.n_held;
	assert_true(split->desc[split->last_batch_head].inflight);
	bury(&d);
	assert_int_equal(world_device_start(&d, &w), 0);
	assert_int_equal(vhu_virtqueue_n_again(&d.q), n);
	bury(&d);
	world_finish(&w);
}

static void expect_start(struct world *w, int result)
{
	struct world_device d;

	assert_int_equal(world_device_start(&d, w), result);
	if (result == 0)
		bury(&d);
}

static void another_version_is_refused(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(forms); i++) {
		struct vhu_inflight_split *record;
		struct world_device d;
		struct world w;

		die_with(&w, &d, forms[i], 2);
		bury(&d);
		record = w.record;
		record->version = 2;
		expect_start(&w, -EBADMSG);
		record->version = 1;
		record->features = 1;
		expect_start(&w, -EBADMSG);
		record->features = 0;
		record->desc_num = 0;
		/* Of nobody: it begins anew, from the base. */
		expect_start(&w, 0);
		world_finish(&w);
	}
}

static void bad_numbers_are_refused(void **state)
{
	struct vhu_inflight_packed *packed;
	struct vhu_inflight_split *split;
	struct world_device d;
	struct world w;

	(void)state;
	die_with(&w, &d, 0, 2);
	bury(&d);
	split = w.record;
	split->desc_num = 64; /* one more than the region has room for */
	expect_start(&w, -EBADMSG);
	split->desc_num = SIZE - 1;
	split->desc[0].inflight = 1;
	expect_start(&w, -EBADMSG);
	split->desc_num = SIZE;
	split->used_idx -= SIZE + 1;
	expect_start(&w, -EBADMSG);
	split->used_idx += SIZE;
	split->last_batch_head = SIZE;
	expect_start(&w, -EBADMSG);
	world_finish(&w);

	die_with(&w, &d, PACKED, 2);
	bury(&d);
	packed = w.record;
	packed->used_idx = packed->old_used_idx = SIZE;
	expect_start(&w, -EBADMSG);
	packed->used_idx = packed->old_used_idx = 0;
	packed->old_free_head = SIZE + 1;
	expect_start(&w, -EBADMSG);
	world_finish(&w);
}

/* A record of a larger ring, with more in flight than this one can have. */
static void too_many_are_refused(void **state)
{
	struct vhu_inflight_packed *packed;
	struct vhu_inflight_split *split;
	struct world_device d;
	struct world w;

	(void)state;
	die_with(&w, &d, 0, 2);
	bury(&d);
	split = w.record;
	split->desc_num = 63;
	for (unsigned i = 0; i < split->desc_num; i++)
		split->desc[i].inflight = 1;
	expect_start(&w, -EBADMSG);
	world_finish(&w);

	die_with(&w, &d, PACKED, 2);
	bury(&d);
	packed = w.record;
	packed->desc_num = packed->free_head = packed->old_free_head = 31;
	for (uint16_t num = 0; num < 2; num++) {
		for (unsigned i = 0; i < packed->desc_num; i++) {
			packed->desc[i].inflight = 1;
			packed->desc[i].num = num;
		}
		expect_start(&w, -EBADMSG);
	}
	world_finish(&w);
}

static void cycles_are_refused(void **state)
{
	struct vhu_inflight_packed *packed;
	struct world_device d;
	struct world w;

	(void)state;
	die_with(&w, &d, PACKED, 1);
	bury(&d);
	packed = w.record;
	for (unsigned i = 0; i < SIZE; i++)
		packed->desc[i].next = (uint16_t)i;
	expect_start(&w, -EBADMSG);
	for (unsigned i = 0; i < SIZE; i++)
		packed->desc[i].num = UINT16_MAX;
	expect_start(&w, -EBADMSG);
	world_finish(&w);
}

/*
 * Any bytes may have changed. The driver is not ours to please then, but nothing may be touched
 * that is not the ring's, and all must come to an end.
 */
static void tampering_does_no_harm(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(forms); i++) {
		static char good[WORLD_BYTES];
		unsigned n_started = 0;
		struct world_device d;
		struct world w;

		die_with(&w, &d, forms[i], 2);
		bury(&d);
		memcpy(good, w.mem, WORLD_BYTES);
		for (unsigned n = 0; n < TAMPERINGS; n++) {
			memcpy(w.mem, good, WORLD_BYTES);
			for (unsigned k = world_draw(&w, 4) + 1; k; k--)
				((uint8_t *)w.record)[world_draw(&w, 32 + SIZE * 32)] =
					(uint8_t)(world_draw(&w, 2) ? world_draw(&w, 8)
								    : world_draw(&w, 256));
			if (world_device_start(&d, &w) < 0)
				continue;
			n_started++;
			for (unsigned k = 0; k < 20 && d.n_held < SIZE; k++)
				world_device_step(&d);
			bury(&d);
		}
		assert_in_range(n_started, 1, TAMPERINGS - 1);
		world_finish(&w);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_pop_is_noted_and_an_unpop_undone),
		cmocka_unit_test(they_come_again_in_their_order),
		cmocka_unit_test(an_unpop_after_a_push),
		cmocka_unit_test(an_unpop_before_a_malformed_one),
		cmocka_unit_test(two_deaths),
		cmocka_unit_test(another_version_is_refused),
		cmocka_unit_test(bad_numbers_are_refused),
		cmocka_unit_test(too_many_are_refused),
		cmocka_unit_test(cycles_are_refused),
		cmocka_unit_test(tampering_does_no_harm),
	};

	return cmocka_run_group_tests_name("ring/inflight", tests, NULL, NULL);
}
