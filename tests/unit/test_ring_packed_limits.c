/* SPDX-License-Identifier: BSD-3-Clause */

/* What a hostile driver writes into a packed ring: back with length 0, or the queue is broken. */

#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "tests/unit/packed_guest.h"

#include "common/base/num.h"

#define SIZE 11
#define INNER (GUEST_DATA + 0x10000) /* an indirect table */

/* One malformed list of n, which takes as many descriptors, and the table at INNER. */
struct malformed {
	const char *name;
	const char *why;
	unsigned n;
	struct element list[4];
	struct element inner[3];
	bool no_indirect;
};

static const struct malformed malformed[] = {
	{ "readable after writable", "a readable buffer after a writable one", 2,
	  { { GUEST_DATA, 8, NEXT | WRITE }, { GUEST_DATA, 8, 0 } } },
	{ "readable after an empty writable", "a readable buffer after a writable one", 3,
	  { { GUEST_DATA, 0, NEXT | WRITE }, { GUEST_DATA, 8, NEXT }, { GUEST_DATA, 8, WRITE } } },
	{ "readable after writable in a table", "a readable buffer after a writable one", 1,
	  { { INNER, 48, TABLE } }, { { GUEST_DATA, 8, 0 }, { GUEST_DATA, 8, WRITE } } },
	{ "address below memory", "a buffer outside guest memory", 1,
	  { { GUEST_GPA - 1, 8, 0 } } },
	{ "one byte past the end", "a buffer outside guest memory", 1,
	  { { GUEST_END - 8, 9, 0 } } },
	{ "address 0", "a buffer outside guest memory", 1, { { 0, 4096, WRITE } } },
	{ "address and length overflow", "a buffer outside guest memory", 1,
	  { { UINT64_MAX - 7, 64, WRITE } } },
	{ "longest length", "a buffer outside guest memory", 1,
	  { { GUEST_DATA, UINT32_MAX, WRITE } } },
	{ "bad buffer first", "a buffer outside guest memory", 4,
	  { { GUEST_END, 8, NEXT }, { GUEST_DATA, 8, NEXT }, { GUEST_DATA, 8, NEXT },
	    { GUEST_DATA, 8, WRITE } } },
	{ "bad buffer last", "a buffer outside guest memory", 3,
	  { { GUEST_DATA, 8, NEXT }, { GUEST_DATA, 8, NEXT }, { GUEST_END, 8, WRITE } } },
	{ "table that was not negotiated", "an indirect table that was not negotiated", 1,
	  { { INNER, 16, TABLE } }, { { GUEST_DATA, 8, 0 } }, .no_indirect = true },
	{ "table with a next", "a descriptor after an indirect table", 2,
	  { { INNER, 16, TABLE | NEXT }, { GUEST_DATA, 8, 0 } }, { { GUEST_DATA, 8, 0 } } },
	{ "table after a descriptor", "an indirect table after a descriptor", 2,
	  { { GUEST_DATA, 8, NEXT }, { INNER, 16, TABLE } }, { { GUEST_DATA, 8, 0 } } },
	{ "table between descriptors", "a descriptor after an indirect table", 3,
	  { { GUEST_DATA, 8, NEXT }, { INNER, 16, TABLE | NEXT }, { GUEST_DATA, 8, 0 } },
	  { { GUEST_DATA, 8, 0 } } },
	{ "table of length 0", "an indirect table of an odd length", 1,
	  { { INNER, 0, TABLE } } },
	{ "table of length 15", "an indirect table of an odd length", 1,
	  { { INNER, 15, TABLE } } },
	{ "table of length 24", "an indirect table of an odd length", 1,
	  { { INNER, 24, TABLE } }, { { GUEST_DATA, 8, 0 } } },
	{ "table of 1025", "an indirect table that is too long", 1,
	  { { INNER, 1025 * 16, TABLE } }, { { GUEST_DATA, 8, 0 } } },
	{ "longest table", "an indirect table that is too long", 1,
	  { { INNER, 0xfffffff0, TABLE } }, { { GUEST_DATA, 8, 0 } } },
	{ "table outside memory", "an indirect table outside guest memory", 1,
	  { { GUEST_END, 16, TABLE } } },
	{ "table that leaves memory", "an indirect table outside guest memory", 1,
	  { { GUEST_END - 16, 32, TABLE } } },
	{ "table at the last address", "an indirect table outside guest memory", 1,
	  { { UINT64_MAX - 15, 32, TABLE } } },
};

static void write_inner(struct packed *p, const struct element *inner, unsigned n)
{
	struct vring_packed_desc *table = guest_at(&p->g, INNER);

	for (unsigned i = 0; i < n; i++)
		table[i] = (struct vring_packed_desc){ htole64(inner[i].addr),
						       htole32(inner[i].len), 0,
						       htole16(inner[i].flags) };
}

/*
 * The bad one comes back with length 0 and its id, which only the end of the list tells, and the
 * good one after it is served: at every place of the ring.
 */
static void malformed_then_good(void **state)
{
	const struct malformed *bad = *state;
	struct vhu_chain *chain;
	struct packed p;

	packed_start(&p, SIZE, bad->no_indirect ? 0 : INDIRECT);
	for (unsigned round = 1; round <= 3 * SIZE; round++) {
		write_inner(&p, bad->inner, 3);
		packed_offer(&p, (uint16_t)(1000 + round), bad->list, bad->n);
		packed_offer_one(&p, 9, GUEST_DATA, 8, WRITE);
		chain = vhu_virtqueue_pop(&p.g.q);
		assert_non_null(chain);
		assert_int_equal(chain->head, 9);
		assert_int_equal(chain->writable_bytes, 8);
		assert_int_equal(p.g.q.malformed, round);
		assert_string_equal(p.g.q.why_malformed, bad->why);
		vhu_virtqueue_push(&p.g.q, chain, 8);
		assert_true(vhu_virtqueue_publish(&p.g.q));
		packed_expect_used(&p, (uint16_t)(1000 + round), 0, bad->n);
		packed_expect_used(&p, 9, 8, 1);
	}
	assert_false(p.g.q.broken);
	assert_int_equal(p.g.q.in_flight, 0);
	packed_finish(&p);
}

static void many_malformed_are_taken_in_turns(void **state)
{
	struct packed p;

	(void)state;
	packed_start(&p, 64, 0);
	for (uint16_t i = 0; i < 64; i++)
		packed_offer_one(&p, i, 0, 8, 0);
	for (unsigned turn = 1; turn <= 4; turn++) {
		assert_null(vhu_virtqueue_pop(&p.g.q));
		assert_int_equal(p.g.q.malformed, 16 * turn);
		assert_true(p.g.q.cut_short);
		p.g.q.cut_short = false;
		assert_false(vhu_virtqueue_has_news(&p.g.q) && turn > 1);
	}
	assert_null(vhu_virtqueue_pop(&p.g.q));
	assert_false(p.g.q.cut_short);
	assert_true(vhu_virtqueue_publish(&p.g.q));
	for (uint16_t i = 0; i < 64; i++)
		packed_expect_used(&p, i, 0, 1);
	packed_finish(&p);
}

/* After it broke, a queue reads and writes nothing; what was popped can still be pushed. */
static void expect_broken(struct packed *p, struct vhu_chain *held)
{
	char before[16 * SIZE];

	assert_null(vhu_virtqueue_pop(&p->g.q));
	assert_true(p->g.q.broken);
	assert_string_equal(p->g.q.why_broken, "a list of descriptors without an end");
	memcpy(before, p->ring, sizeof(before));
	*p->device = (struct vring_packed_desc_event){ 0xaaaa, 0xaaaa };
	if (held)
		vhu_virtqueue_push(&p->g.q, held, 0);
	assert_int_equal(p->g.q.in_flight, 0);
	assert_false(vhu_virtqueue_publish(&p->g.q));
	assert_false(vhu_virtqueue_has_news(&p->g.q));
	assert_false(vhu_virtqueue_enable_kicks(&p->g.q));
	vhu_virtqueue_disable_kicks(&p->g.q);
	assert_memory_equal(before, p->ring, sizeof(before));
	assert_int_equal(p->device->flags, 0xaaaa);
	packed_finish(p);
}

/* All descriptors say that there is a next one: a pass round the ring, and no more. */
static void ring_without_an_end_breaks(void **state)
{
	static const uint32_t sizes[] = { 1, 2, SIZE, 32768 };
	struct element *list = calloc(32768, sizeof(*list));
	struct packed p;

	(void)state;
	assert_non_null(list);
	for (unsigned i = 0; i < 32768; i++)
		list[i] = (struct element){ GUEST_DATA, 8, NEXT };
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		packed_start(&p, sizes[i], 0);
		packed_offer(&p, 0, list, sizes[i]);
		if (sizes[i] == SIZE) {
			expect_broken(&p, NULL);
			continue;
		}
		assert_null(vhu_virtqueue_pop(&p.g.q));
		assert_true(p.g.q.broken);
		packed_finish(&p);
	}
	free(list);
}

/* The last descriptor's next one was never made available. */
static void list_that_runs_into_the_void_breaks(void **state)
{
	static const struct element list[] = { { GUEST_DATA, 8, NEXT }, { GUEST_DATA, 8, NEXT } };
	struct vhu_chain *held;
	struct packed p;

	(void)state;
	packed_start(&p, SIZE, 0);
	packed_offer_one(&p, 0, GUEST_DATA, 8, 0);
	held = vhu_virtqueue_pop(&p.g.q);
	assert_non_null(held);
	packed_offer(&p, 0, list, 2);
	expect_broken(&p, held);
}

/* What is in flight, or used and not yet shown, is not the driver's to offer: we do not look. */
static void descriptors_that_are_ours_are_not_taken(void **state)
{
	struct vhu_chain *chains[SIZE];
	struct packed p;

	(void)state;
	for (unsigned n_pushed = SIZE - 1; n_pushed <= SIZE; n_pushed++) {
		packed_start(&p, SIZE, 0);
		for (unsigned i = 0; i < SIZE; i++) {
			packed_offer_one(&p, 0, GUEST_DATA, 8, 0);
			chains[i] = vhu_virtqueue_pop(&p.g.q);
			assert_non_null(chains[i]);
		}
		for (unsigned i = 0; i < n_pushed; i++)
			vhu_virtqueue_push(&p.g.q, chains[i], 0);
		packed_offer_one(&p, 0, GUEST_DATA, 8, 0);
		assert_false(vhu_virtqueue_has_news(&p.g.q));
		assert_null(vhu_virtqueue_pop(&p.g.q));
		assert_false(vhu_virtqueue_enable_kicks(&p.g.q));
		if (n_pushed < SIZE)
			vhu_virtqueue_push(&p.g.q, chains[SIZE - 1], 0);
		assert_true(vhu_virtqueue_publish(&p.g.q));
		assert_false(p.g.q.broken);
		packed_finish(&p);
	}
}

/* Such a list runs into what is ours. */
static void list_that_is_ours_in_part_breaks(void **state)
{
	static const struct element list[] = { { GUEST_DATA, 8, NEXT }, { GUEST_DATA, 8, 0 } };
	struct vhu_chain *held = NULL;
	struct packed p;

	(void)state;
	packed_start(&p, SIZE, 0);
	for (unsigned i = 0; i < SIZE - 1; i++) {
		packed_offer_one(&p, 0, GUEST_DATA, 8, 0);
		if (held)
			vhu_virtqueue_push(&p.g.q, held, 0);
		held = vhu_virtqueue_pop(&p.g.q);
		assert_non_null(held);
	}
	packed_offer(&p, 0, list, 2);
	expect_broken(&p, held);
}

/* Writes good and bad descriptors over one another, as fast as it can, until it is killed. */
static pid_t begin_flipping(const struct packed *p)
{
	struct vring_packed_desc *inner = guest_at(&p->g, INNER);
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* a failed assertion does not wait for us */
	for (;;) {
		p->ring[0].addr = htole64(INNER);
		p->ring[0].len = htole32(32);
		p->ring[0].flags = htole16(AVAIL | TABLE);
		inner->addr = htole64(GUEST_DATA);
		inner->len = htole32(16);
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
		p->ring[0].flags = htole16(AVAIL | WRITE);
		p->ring[0].addr = htole64(GUEST_END - 16);
		p->ring[0].len = htole32(UINT32_MAX);
		inner->addr = htole64(GUEST_END - 8);
		inner->len = htole32(0x40000000);
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
	}
}

/* Double fetches: whatever it is that we read, what we checked is what we use. */
static void racing_writes_never_lead_outside(void **state)
{
	unsigned good = 0, rounds = 0;
	struct packed p;
	pid_t pid;

	(void)state;
	packed_start(&p, SIZE, INDIRECT);
	packed_offer_one(&p, 0, GUEST_DATA, 8, 0);
	pid = begin_flipping(&p);
	for (; rounds < 300000; rounds++) {
		const char *base = vhu_memory_from_gpa(p.g.memory, GUEST_GPA, GUEST_BYTES);
		struct vhu_chain *chain;

		/* The same descriptor over and over; a malformed one has moved us on. */
		chain = vhu_virtqueue_pop(&p.g.q);
		if (!chain) {
			vhu_virtqueue_stop(&p.g.q);
			assert_int_equal(vhu_virtqueue_start(&p.g.q, &p.g.setup, p.g.memory), 0);
			continue;
		}
		for (unsigned k = 0; k < chain->n_writable; k++) {
			const struct iovec *iov = &vhu_chain_writable(chain)[k];

			assert_true((const char *)iov->iov_base >= base);
			assert_true(range_fits((uint64_t)((const char *)iov->iov_base - base),
					       iov->iov_len, GUEST_BYTES));
		}
		good++;
		vhu_virtqueue_unpop(&p.g.q, chain);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	assert_int_equal(good + p.g.q.malformed, rounds);
	packed_finish(&p);
}

int main(void)
{
	static const struct CMUnitTest others[] = {
		cmocka_unit_test(many_malformed_are_taken_in_turns),
		cmocka_unit_test(ring_without_an_end_breaks),
		cmocka_unit_test(list_that_runs_into_the_void_breaks),
		cmocka_unit_test(descriptors_that_are_ours_are_not_taken),
		cmocka_unit_test(list_that_is_ours_in_part_breaks),
		cmocka_unit_test(racing_writes_never_lead_outside),
	};
	struct CMUnitTest tests[ARRAY_SIZE(malformed) + ARRAY_SIZE(others)];

	for (size_t i = 0; i < ARRAY_SIZE(malformed); i++)
		tests[i] = (struct CMUnitTest){
			.name = malformed[i].name,
			.test_func = malformed_then_good,
			.initial_state = (void *)&malformed[i],
		};
	memcpy(tests + ARRAY_SIZE(malformed), others, sizeof(others));
	return cmocka_run_group_tests_name("ring/packed limits", tests, NULL, NULL);
}
