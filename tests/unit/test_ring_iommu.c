/* SPDX-License-Identifier: BSD-3-Clause */

/* What a ring behind an IOMMU misses, and what becomes of it. */

#include "tests/unit/ring_iommu.h"

#include "common/base/num.h"
#include "common/memory/dirty_log.h"

/*
 * A chain that needs the IOMMU wherever it can: the second page of descriptors, a readable buffer
 * on two pages, a table on two pages with a descriptor that is on both, a writable buffer on three.
 */
static void offer_wide_chain(struct guest *g)
{
	uint64_t table = GUEST_DATA + PAGE - 24;

	guest_desc(g->ring.desc, 3, GUEST_DATA + 3 * PAGE - 16, 32, NEXT, 300);
	guest_desc(g->ring.desc, 300, table, 32, TABLE, 0);
	guest_desc(guest_at(g, table), 0, GUEST_DATA + 10 * PAGE, 16, NEXT, 1);
	guest_desc(guest_at(g, table), 1, GUEST_DATA + 21 * PAGE - 8, PAGE + 16, WRITE, 0);
	memset(guest_at(g, GUEST_DATA + 3 * PAGE - 16), 'r', 32);
	memset(guest_at(g, GUEST_DATA + 10 * PAGE), 's', 16);
	guest_offer(g, 3);
}

static void check_wide_chain(struct guest *g, struct vhu_chain *chain)
{
	char *written = guest_at(g, GUEST_DATA + 21 * PAGE - 8);
	struct vhu_iov_cursor cursor;
	char buf[48];

	assert_int_equal(chain->head, 3);
	assert_int_equal(chain->readable_bytes, 48);
	assert_int_equal(chain->writable_bytes, PAGE + 16);
	assert_int_equal(chain->n_writable, 3);
	vhu_chain_reader(chain, &cursor);
	assert_int_equal(vhu_iov_read(&cursor, buf, 48), 48);
	for (unsigned i = 0; i < 48; i++)
		assert_int_equal(buf[i], i < 32 ? 'r' : 's');
	vhu_chain_writer(chain, &cursor);
	assert_int_equal(vhu_iov_fill(&cursor, 'w', PAGE + 16), PAGE + 16);
	for (unsigned i = 0; i < PAGE + 16; i++)
		assert_int_equal(written[i], 'w');
	assert_int_equal(written[-1], 0);
	assert_int_equal(written[PAGE + 16], 0);
}

static void each_miss_leaves_the_ring_as_it_was(void **state)
{
	/* In the order in which they are met. */
	static const struct vhu_iotlb_miss expected[] = {
		{ IOVA(GUEST_DESC), R },	   { IOVA(GUEST_DESC) + PAGE, R },
		{ IOVA(GUEST_AVAIL), R },	   { IOVA(GUEST_USED), RW },
		{ IOVA(GUEST_USED) + PAGE, RW },   { GUEST_DATA + 3 * PAGE - 16, R },
		{ GUEST_DATA + 3 * PAGE, R },	   { GUEST_DATA + PAGE - 24, R },
		{ GUEST_DATA + PAGE, R },	   { GUEST_DATA + 10 * PAGE, R },
		{ GUEST_DATA + 21 * PAGE - 8, W }, { GUEST_DATA + 21 * PAGE, W },
		{ GUEST_DATA + 22 * PAGE, W },
	};
	struct vhu_chain *chain;
	struct guest g;
	char *before = malloc(GUEST_BYTES);

	(void)state;
	assert_non_null(before);
	iommu_start(&g, SIZE);
	offer_wide_chain(&g);
	memcpy(before, g.mem, GUEST_BYTES);
	for (unsigned i = 0; i < ARRAY_SIZE(expected); i++) {
		/* As often as one likes: only an answer changes anything. */
		for (unsigned again = 0; again < 3; again++) {
			assert_null(pop(&g));
			assert_int_equal(g.q.missed.iova, expected[i].iova);
			assert_int_equal(g.q.missed.access, expected[i].access);
			assert_false(g.q.broken || g.q.cut_short);
			assert_int_equal(g.q.in_flight, 0);
			assert_int_equal(g.q.malformed, 0);
			assert_int_equal(vhu_virtqueue_base(&g.q), 0);
			assert_false(vhu_virtqueue_publish(&g.q));
			assert_memory_equal(before, g.mem, GUEST_BYTES);
		}
		/* The rights of the driver's area alone are not enough for the device's. */
		if (expected[i].access == RW) {
			tell(&g, expected[i].iova, R);
			assert_null(pop(&g));
			assert_int_equal(g.q.missed.iova, expected[i].iova);
		}
		tell(&g, expected[i].iova, expected[i].access);
	}
	chain = pop(&g);
	assert_non_null(chain);
	check_wide_chain(&g, chain);
	vhu_virtqueue_push(&g.q, chain, PAGE + 16);
	assert_true(vhu_virtqueue_publish(&g.q));
	guest_expect_used(&g, 3, PAGE + 16);
	assert_null(pop(&g));
	assert_int_equal(g.q.missed.access, 0);
	assert_int_equal(vhu_virtqueue_base(&g.q), 1);
	iommu_finish(&g);
	free(before);
}

/* What went back before the miss stays there, and what is behind it waits its turn. */
static void a_miss_behind_a_malformed_chain(void **state)
{
	struct vhu_chain *chain;
	unsigned n = 0;
	struct guest g;

	(void)state;
	iommu_start(&g, SIZE);
	assert_null(pop_answered(&g, &n));
	assert_int_equal(n, RING_PAGES);
	guest_offer_one(&g, 1, GUEST_DATA, 0, NEXT);
	guest_desc(g.ring.desc, 1, GUEST_DATA, 0, NEXT, 1); /* a loop */
	guest_offer_one(&g, 2, GUEST_DATA + PAGE, 8, WRITE);
	guest_offer_one(&g, 4, GUEST_DATA + 2 * PAGE, 8, WRITE);
	tell(&g, GUEST_DATA + 2 * PAGE, W);
	assert_null(pop(&g));
	assert_int_equal(g.q.missed.iova, GUEST_DATA + PAGE);
	assert_int_equal(g.q.malformed, 1);
	assert_false(g.q.cut_short);
	assert_true(vhu_virtqueue_publish(&g.q));
	guest_expect_used(&g, 1, 0);
	assert_null(pop(&g));
	assert_int_equal(g.q.malformed, 1);
	tell(&g, GUEST_DATA + PAGE, W);
	for (unsigned head = 2; head <= 4; head += 2) {
		chain = pop(&g);
		assert_int_equal(chain->head, head);
		vhu_virtqueue_push(&g.q, chain, 8);
	}
	vhu_virtqueue_publish(&g.q);
	guest_expect_used(&g, 2, 8);
	guest_expect_used(&g, 4, 8);
	iommu_finish(&g);
}

static void what_is_denied_fails(void **state)
{
	unsigned n = 0;
	struct guest g;

	(void)state;
	iommu_start(&g, SIZE);
	assert_null(pop_answered(&g, &n));
	guest_offer_one(&g, 7, GUEST_DATA, 8, WRITE);
	tell(&g, GUEST_DATA, R);
	assert_null(pop(&g));
	assert_int_equal(g.q.missed.access, W);
	g.q.denied = g.q.missed;
	assert_null(pop(&g));
	assert_int_equal(g.q.missed.access, 0);
	assert_int_equal(g.q.malformed, 1);
	assert_string_equal(g.q.why_malformed, "an access that the IOMMU denies");
	vhu_virtqueue_publish(&g.q);
	guest_expect_used(&g, 7, 0);
	/* Of another page, or another access, nothing was said. */
	guest_offer_one(&g, 8, GUEST_DATA + PAGE, 8, WRITE);
	assert_null(pop(&g));
	assert_int_equal(g.q.missed.iova, GUEST_DATA + PAGE);
	assert_false(g.q.broken);
	iommu_finish(&g);
}

static void a_ring_that_is_denied_is_broken(void **state)
{
	struct guest g;

	(void)state;
	iommu_start(&g, SIZE);
	assert_null(pop(&g));
	g.q.denied = g.q.missed;
	assert_null(pop(&g));
	assert_true(g.q.broken);
	assert_string_equal(g.q.why_broken, "the IOMMU denies access to the ring");
	assert_false(vhu_virtqueue_has_news(&g.q));
	assert_null(pop(&g));
	iommu_finish(&g);
}

static void until_it_is_seen(void **state)
{
	struct guest g;

	(void)state;
	iommu_init(&g, SIZE);
	g.setup.base = 77;
	assert_int_equal(vhu_virtqueue_start(&g.q, &g.setup, g.memory), 0);
	/* Somebody has to look; nothing is written. */
	assert_true(vhu_virtqueue_has_news(&g.q));
	assert_true(vhu_virtqueue_enable_kicks(&g.q));
	vhu_virtqueue_disable_kicks(&g.q);
	assert_int_equal(vhu_virtqueue_base(&g.q), 77);
	assert_false(vhu_virtqueue_is_new(&g.q));
	vhu_virtqueue_stop(&g.q);
	assert_int_equal(vhu_virtqueue_base(&g.q), 77);
	assert_false(vhu_virtqueue_is_new(&g.q));
	/* All that can tell it is new is the base. */
	g.setup.base = 0;
	assert_int_equal(vhu_virtqueue_start(&g.q, &g.setup, g.memory), 0);
	assert_true(vhu_virtqueue_is_new(&g.q));
	iommu_finish(&g);
}

/* The used index is read when the ring is first seen, not at the start. */
static void the_used_index_is_read_late(void **state)
{
	struct vhu_chain *chain;
	unsigned n = 0;
	struct guest g;

	(void)state;
	iommu_init(&g, SIZE);
	g.setup.base = 40;
	assert_int_equal(vhu_virtqueue_start(&g.q, &g.setup, g.memory), 0);
	g.ring.avail->idx = htole16(40);
	g.ring.used->idx = htole16(40);
	g.used_seen = 40;
	guest_offer_one(&g, 9, GUEST_DATA, 8, WRITE);
	chain = pop_answered(&g, &n);
	assert_int_equal(chain->head, 9);
	vhu_virtqueue_push(&g.q, chain, 8);
	vhu_virtqueue_publish(&g.q);
	guest_expect_used(&g, 9, 8);
	assert_int_equal(vhu_virtqueue_base(&g.q), 41);
	assert_false(vhu_virtqueue_is_new(&g.q));
	iommu_finish(&g);
}

static bool uses_page(const struct guest *g, uint64_t iova)
{
	return vhu_virtqueue_uses(&g->q, iova & ~(PAGE - 1), iova | (PAGE - 1));
}

static void what_a_ring_uses(void **state)
{
	struct vhu_chain *first, *second;
	unsigned n = 0;
	struct guest g;

	(void)state;
	iommu_start(&g, SIZE);
	assert_false(vhu_virtqueue_uses(&g.q, 0, UINT64_MAX));
	assert_null(pop_answered(&g, &n));
	/* The ring itself: the pages of its areas and no others. */
	assert_true(uses_page(&g, IOVA(GUEST_DESC)));
	assert_true(uses_page(&g, IOVA(GUEST_DESC) + PAGE));
	assert_false(uses_page(&g, IOVA(GUEST_DESC) + 2 * PAGE));
	assert_true(uses_page(&g, IOVA(GUEST_AVAIL)));
	assert_true(vhu_virtqueue_uses(&g.q, IOVA(GUEST_AVAIL) - PAGE, IOVA(GUEST_AVAIL)));
	assert_false(vhu_virtqueue_uses(&g.q, IOVA(GUEST_AVAIL) - PAGE, IOVA(GUEST_AVAIL) - 1));
	assert_false(uses_page(&g, IOVA(GUEST_USED) - PAGE));
	assert_true(uses_page(&g, IOVA(GUEST_USED) + PAGE));
	assert_true(vhu_virtqueue_uses(&g.q, 0, UINT64_MAX));
	/* What is in flight. */
	guest_offer_one(&g, 5, GUEST_DATA + PAGE - 4, 8, 0);
	guest_offer_one(&g, 6, GUEST_DATA + 7 * PAGE, 8, WRITE);
	first = pop_answered(&g, &n);
	second = pop_answered(&g, &n);
	assert_true(uses_page(&g, GUEST_DATA));
	assert_true(uses_page(&g, GUEST_DATA + PAGE));
	assert_false(uses_page(&g, GUEST_DATA + 2 * PAGE));
	assert_true(uses_page(&g, GUEST_DATA + 7 * PAGE));
	vhu_virtqueue_push(&g.q, first, 0);
	assert_false(uses_page(&g, GUEST_DATA));
	assert_true(uses_page(&g, GUEST_DATA + 7 * PAGE));
	/* Of pages that the table has as one: the other one is not in use. */
	assert_int_equal(vhu_iotlb_update(g.setup.iotlb, GUEST_DATA + 20 * PAGE, 2 * PAGE,
					  GUEST_UADDR, RW),
			 0);
	guest_offer_one(&g, 7, GUEST_DATA + 21 * PAGE, 8, 0);
	first = pop(&g);
	assert_non_null(first);
	assert_false(uses_page(&g, GUEST_DATA + 20 * PAGE));
	assert_true(uses_page(&g, GUEST_DATA + 21 * PAGE));
	vhu_virtqueue_push(&g.q, first, 0);
	/* Where the table has lost something, nobody knows. */
	g.setup.iotlb->evicted = true;
	assert_true(uses_page(&g, GUEST_DATA));
	g.setup.iotlb->evicted = false;
	vhu_virtqueue_push(&g.q, second, 8);
	assert_false(uses_page(&g, GUEST_DATA + 7 * PAGE));
	iommu_finish(&g);
}

static void an_invalidated_ring_is_asked_for_again(void **state)
{
	struct vhu_chain *chain;
	unsigned n = 0;
	struct guest g;

	(void)state;
	iommu_start(&g, SIZE);
	for (unsigned round = 1; round <= 5; round++) {
		guest_offer_one(&g, (uint16_t)round, GUEST_DATA + round * PAGE, 8, WRITE);
		chain = pop_answered(&g, &n);
		assert_int_equal(chain->head, round);
		assert_int_equal(n, RING_PAGES + 1 + (round - 1) * 3);
		vhu_virtqueue_push(&g.q, chain, 8);
		vhu_virtqueue_publish(&g.q);
		guest_expect_used(&g, round, 8);
		take_back(&g, IOVA(GUEST_USED));
		take_back(&g, IOVA(GUEST_DESC) + PAGE);
		vhu_virtqueue_forget_areas(&g.q);
		assert_int_equal(vhu_virtqueue_base(&g.q), round);
	}
	iommu_finish(&g);
}

/* Rings are moved by SET_VRING_ADDR, and maps follow each other, whatever is in flight. */
static void live_changes(void **state)
{
	static const uint64_t ends[] = { 0x200000, GUEST_BYTES };
	struct vhu_memory *next;
	struct vhu_chain *chain;
	unsigned n = 0;
	struct guest g;

	(void)state;
	iommu_start(&g, SIZE);
	guest_offer_one(&g, 1, GUEST_DATA, 8, WRITE);
	chain = pop_answered(&g, &n);
	assert_non_null(chain);
	next = guest_map(&g, ends, 2);
	assert_int_equal(vhu_virtqueue_set_memory(&g.q, g.memory), 0);
	vhu_virtqueue_push(&g.q, chain, 8);
	vhu_virtqueue_publish(&g.q);
	guest_expect_used(&g, 1, 8);
	assert_int_equal(vhu_virtqueue_set_memory(&g.q, next), 0);
	vhu_memory_unref(g.memory);
	g.memory = next;
	/* The descriptors move to where the data was. */
	g.setup.desc_uaddr = GUEST_DATA + 64 * PAGE;
	g.ring.desc = guest_at(&g, GUEST_DATA + 64 * PAGE);
	assert_int_equal(vhu_virtqueue_set_addresses(&g.q, &g.setup), 0);
	guest_offer_one(&g, 300, GUEST_DATA, 8, WRITE);
	n = 0;
	chain = pop_answered(&g, &n);
	assert_int_equal(n, 2);
	assert_int_equal(chain->head, 300);
	vhu_virtqueue_push(&g.q, chain, 8);
	vhu_virtqueue_publish(&g.q);
	guest_expect_used(&g, 300, 8);
	iommu_finish(&g);
}

/* The log has the guest's addresses of the pages behind, wherever SET_VRING_ADDR says it is. */
static void the_dirty_log_has_guest_addresses(void **state)
{
	static const uint64_t features[] = { 0, 1ull << VIRTIO_F_RING_PACKED };
	uint64_t log_bytes = GUEST_END / PAGE / 8;

	(void)state;
	for (unsigned packed = 0; packed < 2; packed++) {
		int fd = memfd_create("log", MFD_CLOEXEC);
		struct vhu_dirty_log *log;
		struct vhu_memory *next;
		unsigned n = 0;
		struct guest g;
		uint8_t *bits;

		assert_int_equal(ftruncate(fd, (off_t)log_bytes), 0);
		bits = mmap(NULL, log_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		iommu_init(&g, SIZE);
		g.setup.features |= features[packed];
		g.setup.base = packed ? 0x80008000 : 0;
		g.setup.log_device = true;
		g.setup.log_gpa = UINT64_MAX - 100;
		assert_int_equal(vhu_dirty_log_new(fd, log_bytes, 0, -1, g.memory->health, &log),
				 0);
		assert_int_equal(vhu_memory_with_log(g.memory, log, &next), 0);
		vhu_dirty_log_unref(log);
		assert_int_equal(vhu_virtqueue_start(&g.q, &g.setup, next), 0);
		vhu_memory_unref(next);
		/* The used entry on the second page; the packed descriptor on the first. */
		for (unsigned i = 0; i < 512; i++) {
			struct vring_packed_desc *desc = (void *)g.ring.desc;
			struct vhu_chain *chain;

			if (packed)
				desc[i] = (struct vring_packed_desc){
					GUEST_DATA + i * 8, 8, (uint16_t)i, WRITE | 1 << 7 };
			else
				guest_offer_one(&g, (uint16_t)i, GUEST_DATA + i * 8, 8, WRITE);
			chain = pop_answered(&g, &n);
			assert_non_null(chain);
			vhu_virtqueue_push(&g.q, chain, 8);
			vhu_virtqueue_publish(&g.q);
			if (i != 0 && i != 511) {
				memset(bits, 0, log_bytes);
				continue;
			}
			for (uint64_t page = 0; page < PAGES; page++) {
				uint64_t gpn = GUEST_GPA / PAGE + page_behind(page);
				uint64_t iova = GUEST_GPA + page * PAGE;
				bool written = iova == GUEST_DATA;

				if (packed)
					written |= iova == IOVA(GUEST_DESC) + (i ? PAGE : 0);
				else
					written |= iova == IOVA(GUEST_USED) ||
						   (i && iova == IOVA(GUEST_USED) + PAGE);
				assert_int_equal(bits[gpn / 8] >> gpn % 8 & 1, written);
			}
			memset(bits, 0, log_bytes);
		}
		assert_false(vhu_memory_faulted(g.memory));
		iommu_finish(&g);
		munmap(bits, log_bytes);
		close(fd);
	}
}

/* What cannot be seen in a row, or is nowhere, breaks the ring. */
static void rings_that_cannot_be(void **state)
{
	static const struct {
		uint64_t iova, size, uaddr;
		const char *why;
		bool partial; /* in postcopy a second mapping shows zeros for what is missing */
	} cases[] = {
		{ IOVA(GUEST_DESC), GUEST_BYTES, GUEST_UADDR + GUEST_BYTES,
		  "its addresses do not lie in guest memory" },
		{ IOVA(GUEST_DESC) + 64, 512, GUEST_UADDR + 0x20000,
		  "its pages cannot be mapped in a row" },
		{ IOVA(GUEST_AVAIL), 2 * PAGE, GUEST_UADDR + 0x20001,
		  "its addresses do not lie in guest memory" },
		{ IOVA(GUEST_DESC) + PAGE, PAGE, GUEST_UADDR + 0x20000,
		  "its pages cannot be mapped in a row", true },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct guest g;

		iommu_start(&g, SIZE);
		g.memory->health->partial = cases[i].partial;
		assert_int_equal(vhu_iotlb_update(g.setup.iotlb, GUEST_GPA, GUEST_BYTES,
						  GUEST_UADDR, RW),
				 0);
		assert_int_equal(vhu_iotlb_update(g.setup.iotlb, cases[i].iova, cases[i].size,
						  cases[i].uaddr, RW),
				 0);
		assert_null(pop(&g));
		assert_true(g.q.broken);
		assert_string_equal(g.q.why_broken, cases[i].why);
		iommu_finish(&g);
	}
}

/* Requests by the hundred, while the IOMMU forgets one page or the other at any time. */
static void a_forgetful_iommu(void **state)
{
	uint16_t offered = 0, done = 0;
	unsigned n_misses = 0;
	struct guest g;

	(void)state;
	srand(2);
	iommu_start(&g, 16);
	while (done < 3000) {
		struct vhu_chain *chain;
		uint64_t at = GUEST_DATA + ((uint64_t)done * 1000) % 0x80000;

		if (offered == done) {
			uint32_t len = 1 + (uint32_t)rand() % 9000;
			uint64_t table = GUEST_DATA + 0x90000 + (uint64_t)(rand() % 0x8000) * 16;

			guest_desc(g.ring.desc, done % 16, table, 32, TABLE, 0);
			guest_desc(guest_at(&g, table), 0, table + 40, 2, NEXT, 1);
			guest_desc(guest_at(&g, table), 1, at, len, WRITE, 0);
			memcpy(guest_at(&g, table + 40), &done, 2);
			guest_offer(&g, done % 16);
			offered++;
		}
		take_back(&g, GUEST_GPA + (uint64_t)(rand() % (int)PAGES) * PAGE);
		if (rand() % 8 == 0) {
			vhu_iotlb_clear(g.setup.iotlb);
			vhu_virtqueue_forget_areas(&g.q);
		}
		chain = pop(&g);
		if (!chain) {
			assert_int_not_equal(g.q.missed.access, 0);
			tell(&g, g.q.missed.iova, g.q.missed.access);
			assert_in_range(++n_misses, 1, 200000);
			continue;
		}
		struct vhu_iov_cursor cursor;
		uint16_t number;

		vhu_chain_reader(chain, &cursor);
		assert_int_equal(vhu_iov_read(&cursor, &number, 2), 2);
		assert_int_equal(number, done);
		vhu_chain_writer(chain, &cursor);
		vhu_iov_fill(&cursor, done & 0xff, chain->writable_bytes);
		assert_int_equal(((uint8_t *)guest_at(&g, at))[chain->writable_bytes - 1],
				 done & 0xff);
		vhu_virtqueue_push(&g.q, chain, (uint32_t)chain->writable_bytes);
		vhu_virtqueue_publish(&g.q);
		guest_expect_used(&g, done % 16, (uint32_t)chain->writable_bytes);
		done++;
	}
	assert_int_equal(g.q.malformed, 0);
	iommu_finish(&g);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_miss_leaves_the_ring_as_it_was),
		cmocka_unit_test(a_miss_behind_a_malformed_chain),
		cmocka_unit_test(what_is_denied_fails),
		cmocka_unit_test(a_ring_that_is_denied_is_broken),
		cmocka_unit_test(until_it_is_seen),
		cmocka_unit_test(the_used_index_is_read_late),
		cmocka_unit_test(what_a_ring_uses),
		cmocka_unit_test(an_invalidated_ring_is_asked_for_again),
		cmocka_unit_test(live_changes),
		cmocka_unit_test(the_dirty_log_has_guest_addresses),
		cmocka_unit_test(rings_that_cannot_be),
		cmocka_unit_test(a_forgetful_iommu),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
