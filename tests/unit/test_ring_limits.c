/* SPDX-License-Identifier: BSD-3-Clause */

/* What a hostile driver writes: the request goes back with length 0, or the queue is broken. */

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "tests/unit/ring_guest.h"

#include "common/base/num.h"

#define SIZE 16
#define INNER (GUEST_DATA + 0x10000) /* an indirect table */

/*
 * One malformed chain. Descriptors of the ring from 0 on, then those of the table at INNER; the
 * head is 0. why is what the queue says of it.
 */
struct malformed {
	const char *name;
	const char *why;
	struct vring_desc ring[3];
	struct vring_desc inner[3];
	bool no_indirect;
};

static const struct malformed malformed[] = {
	{ "next outside the ring", "a next descriptor outside its table",
	  .ring = { { GUEST_DATA, 8, NEXT, SIZE } } },
	{ "next far outside the ring", "a next descriptor outside its table",
	  .ring = { { GUEST_DATA, 8, NEXT, 65535 } } },
	{ "descriptor that is its own next", "a loop of descriptors",
	  .ring = { { GUEST_DATA, 8, NEXT, 0 } } },
	{ "loop of two", "a loop of descriptors",
	  .ring = { { GUEST_DATA, 8, NEXT, 1 }, { GUEST_DATA, 0, NEXT, 0 } } },
	{ "loop of writable ones", "a loop of descriptors",
	  .ring = { { GUEST_DATA, 8, NEXT | WRITE, 1 }, { GUEST_DATA, 8, NEXT | WRITE, 0 } } },
	{ "loop in a table", "a loop of descriptors", .ring = { { INNER, 48, TABLE, 0 } },
	  .inner = { { GUEST_DATA, 8, NEXT, 1 }, { GUEST_DATA, 8, NEXT, 1 } } },
	{ "next outside the table", "a next descriptor outside its table",
	  .ring = { { INNER, 48, TABLE, 0 } }, .inner = { { GUEST_DATA, 8, NEXT, 3 } } },
	{ "readable after writable", "a readable buffer after a writable one",
	  .ring = { { GUEST_DATA, 8, NEXT | WRITE, 1 }, { GUEST_DATA, 8, 0, 0 } } },
	{ "readable after an empty writable", "a readable buffer after a writable one",
	  .ring = { { GUEST_DATA, 0, NEXT | WRITE, 1 }, { GUEST_DATA, 8, 0, 0 } } },
	{ "readable in a table after writable", "a readable buffer after a writable one",
	  .ring = { { GUEST_DATA, 8, NEXT | WRITE, 1 }, { INNER, 16, TABLE | WRITE, 0 } },
	  .inner = { { GUEST_DATA, 8, 0, 0 } } },
	{ "address below memory", "a buffer outside guest memory",
	  .ring = { { GUEST_GPA - 1, 8, 0, 0 } } },
	{ "address at the end of memory", "a buffer outside guest memory",
	  .ring = { { GUEST_END, 1, 0, 0 } } },
	{ "one byte past the end", "a buffer outside guest memory",
	  .ring = { { GUEST_END - 8, 9, 0, 0 } } },
	{ "address 0", "a buffer outside guest memory", .ring = { { 0, 4096, WRITE, 0 } } },
	{ "address and length overflow", "a buffer outside guest memory",
	  .ring = { { UINT64_MAX - 7, 64, WRITE, 0 } } },
	{ "longest length", "a buffer outside guest memory",
	  .ring = { { GUEST_DATA, UINT32_MAX, WRITE, 0 } } },
	{ "bad buffer after a good one", "a buffer outside guest memory",
	  .ring = { { GUEST_DATA, 8, NEXT, 1 }, { GUEST_END, 8, WRITE, 0 } } },
	{ "table that was not negotiated", "an indirect table that was not negotiated",
	  .ring = { { INNER, 16, TABLE, 0 } }, .inner = { { GUEST_DATA, 8, 0, 0 } },
	  .no_indirect = true },
	{ "table within a table", "an indirect table within an indirect table",
	  .ring = { { INNER, 16, TABLE, 0 } }, .inner = { { INNER, 16, TABLE, 0 } } },
	{ "table with a next", "a descriptor after an indirect table",
	  .ring = { { INNER, 16, TABLE | NEXT, 1 }, { GUEST_DATA, 8, 0, 0 } },
	  .inner = { { GUEST_DATA, 8, 0, 0 } } },
	{ "table of length 0", "an indirect table of an odd length",
	  .ring = { { INNER, 0, TABLE, 0 } } },
	{ "table of length 15", "an indirect table of an odd length",
	  .ring = { { INNER, 15, TABLE, 0 } } },
	{ "table of length 24", "an indirect table of an odd length",
	  .ring = { { INNER, 24, TABLE, 0 } }, .inner = { { GUEST_DATA, 8, 0, 0 } } },
	{ "table of 1025", "an indirect table that is too long",
	  .ring = { { INNER, 1025 * 16, TABLE, 0 } }, .inner = { { GUEST_DATA, 8, 0, 0 } } },
	{ "longest table", "an indirect table that is too long",
	  .ring = { { INNER, 0xfffffff0, TABLE, 0 } }, .inner = { { GUEST_DATA, 8, 0, 0 } } },
	{ "table outside memory", "an indirect table outside guest memory",
	  .ring = { { GUEST_END, 16, TABLE, 0 } } },
	{ "table that leaves memory", "an indirect table outside guest memory",
	  .ring = { { GUEST_END - 16, 32, TABLE, 0 } } },
	{ "table at the last address", "an indirect table outside guest memory",
	  .ring = { { UINT64_MAX - 15, 32, TABLE, 0 } } },
};

/* The bad one comes back with length 0, and the good one after it is served. */
static void malformed_then_good(void **state)
{
	const struct malformed *bad = *state;
	struct vhu_chain *chain;
	struct guest g;

	guest_start(&g, SIZE, bad->no_indirect ? 0 : INDIRECT);
	for (unsigned round = 1; round <= 2 * SIZE; round++) {
		memcpy(g.ring.desc, bad->ring, sizeof(bad->ring));
		memcpy(guest_at(&g, INNER), bad->inner, sizeof(bad->inner));
		guest_offer(&g, 0);
		guest_offer_one(&g, 9, GUEST_DATA, 8, WRITE);
		chain = vhu_virtqueue_pop(&g.q);
		assert_non_null(chain);
		assert_int_equal(chain->head, 9);
		assert_int_equal(chain->writable_bytes, 8);
		assert_int_equal(g.q.malformed, round);
		assert_string_equal(g.q.why_malformed, bad->why);
		vhu_virtqueue_push(&g.q, chain, 8);
		assert_true(vhu_virtqueue_publish(&g.q));
		guest_expect_used(&g, 0, 0);
		guest_expect_used(&g, 9, 8);
	}
	assert_false(g.q.broken);
	assert_int_equal(g.q.in_flight, 0);
	guest_finish(&g);
}

/* Many at once are much work for nothing: pop gives up after some and says that it did. */
static void many_malformed_are_taken_in_turns(void **state)
{
	struct guest g;

	(void)state;
	guest_start(&g, 64, 0);
	guest_desc(g.ring.desc, 0, GUEST_DATA, 8, VRING_DESC_F_NEXT, 0); /* a loop */
	for (unsigned i = 0; i < 64; i++)
		guest_offer(&g, 0);
	for (unsigned turn = 1; turn <= 4; turn++) {
		assert_null(vhu_virtqueue_pop(&g.q));
		assert_int_equal(g.q.malformed, 16 * turn);
		assert_true(g.q.cut_short);
		g.q.cut_short = false;
	}
	assert_null(vhu_virtqueue_pop(&g.q));
	assert_false(g.q.cut_short);
	assert_false(g.q.broken);
	vhu_virtqueue_publish(&g.q);
	assert_int_equal(g.ring.used->idx, 64);
	guest_finish(&g);
}

/* Only malformed ones: pop has nothing to give, and publish shows them. */
static void malformed_alone_is_published(void **state)
{
	struct guest g;

	(void)state;
	guest_start(&g, SIZE, 0);
	for (uint16_t i = 0; i < SIZE; i++)
		guest_offer_one(&g, i, 0, 8, 0);
	assert_null(vhu_virtqueue_pop(&g.q));
	assert_int_equal(g.q.malformed, SIZE);
	assert_true(vhu_virtqueue_publish(&g.q));
	for (unsigned i = 0; i < SIZE; i++)
		guest_expect_used(&g, i, 0);
	vhu_virtqueue_stop(&g.q);
	assert_int_equal(vhu_virtqueue_start(&g.q, &g.setup, g.memory), 0);
	assert_int_equal(g.q.malformed, SIZE); /* a counter for life */
	guest_finish(&g);
}

/* 2^32 bytes at most, and the writable part must fit the used length of 32 bits. */
static void sum_of_lengths_is_bounded(void **state)
{
	static const struct {
		unsigned readable, writable; /* MiB */
		bool fine;
	} cases[] = {
		{ 0, 4095, true },  { 4096, 0, true },	{ 1, 4095, true },  { 4095, 1, true },
		{ 0, 4096, false }, { 4097, 0, false }, { 2, 4095, false }, { 4095, 2, false },
		{ 8192, 0, false }, { 0, 8192, false },
	};
	static const uint64_t end = GUEST_BYTES;
	struct vring_desc *table;
	struct vhu_chain *chain;
	struct guest g;

	(void)state;
	guest_init_regions(&g, 16384, INDIRECT, &end, 1);
	assert_int_equal(vhu_virtqueue_start(&g.q, &g.setup, g.memory), 0);
	table = guest_at(&g, GUEST_DATA);
	for (size_t c = 0; c < ARRAY_SIZE(cases); c++) {
		unsigned n = cases[c].readable + cases[c].writable;

		for (unsigned i = 0; i < n; i++)
			guest_desc(table, (uint16_t)i, GUEST_DATA + 0x100000, 1 << 20,
				   (i < cases[c].readable ? 0 : WRITE) | (i + 1 < n ? NEXT : 0),
				   (uint16_t)(i + 1));
		guest_offer_one(&g, 0, GUEST_DATA, n * 16, TABLE);
		chain = vhu_virtqueue_pop(&g.q);
		assert_int_equal(chain != NULL, cases[c].fine);
		if (chain) {
			assert_int_equal(chain->readable_bytes, (uint64_t)cases[c].readable << 20);
			assert_int_equal(chain->writable_bytes, (uint64_t)cases[c].writable << 20);
			vhu_virtqueue_push(&g.q, chain, 0);
		} else {
			assert_string_equal(g.q.why_malformed, "more than 4 GiB in one chain");
		}
	}
	guest_finish(&g);
}

/* A direct part and a table that are each as long as may be are too much together. */
static void segments_are_bounded(void **state)
{
	struct vring_desc *table;
	struct guest g;

	(void)state;
	guest_start(&g, 256, INDIRECT);
	table = guest_at(&g, GUEST_DATA);
	for (uint16_t i = 0; i < 1024; i++)
		guest_desc(table, i, GUEST_DATA + 0x10000 + i * 16ull, 8, i < 1023 ? NEXT : 0,
			   i + 1);
	for (uint16_t i = 0; i < 255; i++)
		guest_desc(g.ring.desc, i, GUEST_DATA + 0x20000 + i * 16ull, 8, NEXT, i + 1);
	guest_desc(g.ring.desc, 255, GUEST_DATA, 1024 * 16, TABLE, 0);
	guest_offer(&g, 0);
	assert_null(vhu_virtqueue_pop(&g.q));
	assert_int_equal(g.q.malformed, 1);
	assert_string_equal(g.q.why_malformed, "too many segments in one chain");
	guest_finish(&g);
}

/* After it broke, a queue reads and writes nothing; what was popped can still be pushed. */
static void expect_broken(struct guest *g, struct vhu_chain *held, const char *why)
{
	char before[6 + 8 * SIZE];

	assert_null(vhu_virtqueue_pop(&g->q));
	assert_true(g->q.broken);
	assert_string_equal(g->q.why_broken, why);
	memset(g->ring.used->ring, 0xaa, SIZE * sizeof(struct vring_used_elem));
	memcpy(before, g->ring.used, sizeof(before));
	if (held)
		vhu_virtqueue_push(&g->q, held, 0);
	assert_int_equal(g->q.in_flight, 0);
	assert_false(vhu_virtqueue_publish(&g->q));
	assert_false(vhu_virtqueue_has_news(&g->q));
	assert_false(vhu_virtqueue_enable_kicks(&g->q));
	vhu_virtqueue_disable_kicks(&g->q);
	assert_memory_equal(before, g->ring.used, sizeof(before));
	vhu_virtqueue_break(&g->q, "something else");
	assert_string_equal(g->q.why_broken, why);
	/* The next start is a new beginning. */
	vhu_virtqueue_stop(&g->q);
	g->setup.base = le16toh(g->ring.avail->idx);
	assert_int_equal(vhu_virtqueue_start(&g->q, &g->setup, g->memory), 0);
	guest_offer_one(g, 2, GUEST_DATA, 8, 0);
	held = vhu_virtqueue_pop(&g->q);
	assert_non_null(held);
	vhu_virtqueue_push(&g->q, held, 0);
}

static void avail_index_too_far_ahead_breaks(void **state)
{
	static const uint16_t ahead[] = { SIZE + 1, 1000, 32768, 65535 };
	struct vhu_chain *held;
	struct guest g;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(ahead); i++) {
		guest_start(&g, SIZE, 0);
		guest_offer_one(&g, 0, GUEST_DATA, 8, 0);
		guest_offer_one(&g, 1, GUEST_DATA, 8, 0);
		vhu_virtqueue_push(&g.q, vhu_virtqueue_pop(&g.q), 0); /* to be published */
		held = vhu_virtqueue_pop(&g.q);
		assert_non_null(held);
		g.ring.avail->idx = htole16((uint16_t)(2 + ahead[i]));
		expect_broken(&g, held, "the available index is more than the queue's size ahead");
		guest_finish(&g);
	}
}

/* enable_kicks and has_news look at the index too. */
static void avail_index_is_checked_wherever_it_is_read(void **state)
{
	struct guest g;

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		guest_start(&g, SIZE, EVENT_IDX);
		g.ring.avail->idx = htole16(SIZE + 1);
		assert_false(i ? vhu_virtqueue_enable_kicks(&g.q) : vhu_virtqueue_has_news(&g.q));
		expect_broken(&g, NULL, "the available index is more than the queue's size ahead");
		guest_finish(&g);
	}
}

static void head_outside_the_ring_breaks(void **state)
{
	static const uint16_t heads[] = { SIZE, 65535 };
	struct guest g;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(heads); i++) {
		guest_start(&g, SIZE, 0);
		guest_offer(&g, heads[i]);
		expect_broken(&g, NULL, "an available entry that names no descriptor");
		guest_finish(&g);
	}
}

/* The same head again and again while it is in flight: as many as the queue has entries. */
static void more_in_flight_than_entries_breaks(void **state)
{
	struct vhu_chain *chains[SIZE];
	struct guest g;

	(void)state;
	guest_start(&g, SIZE, 0);
	for (unsigned i = 0; i < SIZE; i++) {
		guest_offer_one(&g, 0, GUEST_DATA, 8, 0);
		chains[i] = vhu_virtqueue_pop(&g.q);
		assert_non_null(chains[i]);
		for (unsigned k = 0; k < i; k++)
			assert_int_not_equal(chains[i]->slot, chains[k]->slot);
	}
	guest_offer(&g, 0);
	assert_null(vhu_virtqueue_pop(&g.q));
	assert_int_equal(vhu_virtqueue_base(&g.q), SIZE);
	for (unsigned i = 1; i < SIZE; i++)
		vhu_virtqueue_push(&g.q, chains[i], 0);
	expect_broken(&g, chains[0], "more requests in flight than the queue has entries");
	guest_finish(&g);
}

static void ring_outside_the_next_map_breaks(void **state)
{
	struct vhu_memory *empty;
	struct vhu_chain *held;
	struct guest g;

	(void)state;
	guest_start(&g, SIZE, 0);
	guest_offer_one(&g, 0, GUEST_DATA, 8, 0);
	held = vhu_virtqueue_pop(&g.q);
	assert_non_null(held);
	assert_int_equal(vhu_memory_new(&empty), 0);
	assert_int_equal(vhu_virtqueue_set_memory(&g.q, empty), -EFAULT);
	vhu_memory_unref(empty);
	assert_false(vhu_virtqueue_is_new(&g.q));
	vhu_virtqueue_unpop(&g.q, held);
	expect_broken(&g, NULL, "the ring is no longer in guest memory");
	guest_finish(&g);
}

/* Writes good and bad descriptors over one another, as fast as it can, until it is killed. */
static pid_t begin_flipping(const struct guest *g)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* a failed assertion does not wait for us */
	for (;;) {
		guest_desc(g->ring.desc, 0, INNER, 32, TABLE, 0);
		guest_desc(guest_at(g, INNER), 0, GUEST_DATA, 16, WRITE | NEXT, 1);
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
		guest_desc(g->ring.desc, 0, GUEST_END - 16, UINT32_MAX, WRITE, 65535);
		guest_desc(guest_at(g, INNER), 0, GUEST_END - 8, 0x40000000, NEXT | TABLE, 65535);
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
	}
}

/* Double fetches: whatever it is that we read, what we checked is what we use. */
static void racing_writes_never_lead_outside(void **state)
{
	unsigned good = 0;
	struct guest g;
	pid_t pid;

	(void)state;
	guest_start(&g, SIZE, INDIRECT);
	guest_desc(guest_at(&g, INNER), 1, GUEST_DATA + 4096, 16, WRITE, 0);
	pid = begin_flipping(&g);
	for (unsigned i = 0; i < 300000; i++) {
		struct vhu_chain *chain;

		guest_offer(&g, 0);
		chain = vhu_virtqueue_pop(&g.q);
		if (!chain)
			continue;
		for (unsigned k = 0; k < chain->n_writable; k++) {
			const struct iovec *iov = &vhu_chain_writable(chain)[k];
			const char *base = vhu_memory_from_gpa(g.memory, GUEST_GPA, GUEST_BYTES);

			assert_true((const char *)iov->iov_base >= base);
			assert_true(range_fits((uint64_t)((const char *)iov->iov_base - base),
					       iov->iov_len, GUEST_BYTES));
		}
		good++;
		vhu_virtqueue_push(&g.q, chain, 0);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	assert_false(g.q.broken);
	assert_int_equal(good + g.q.malformed, 300000);
	guest_finish(&g);
}

int main(void)
{
	static const struct CMUnitTest others[] = {
		cmocka_unit_test(malformed_alone_is_published),
		cmocka_unit_test(sum_of_lengths_is_bounded),
		cmocka_unit_test(segments_are_bounded),
		cmocka_unit_test(avail_index_too_far_ahead_breaks),
		cmocka_unit_test(avail_index_is_checked_wherever_it_is_read),
		cmocka_unit_test(head_outside_the_ring_breaks),
		cmocka_unit_test(more_in_flight_than_entries_breaks),
		cmocka_unit_test(ring_outside_the_next_map_breaks),
		cmocka_unit_test(many_malformed_are_taken_in_turns),
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
	return cmocka_run_group_tests_name("ring/limits", tests, NULL, NULL);
}
