/* SPDX-License-Identifier: BSD-3-Clause */

/* The split ring as a well-behaved driver uses it: chains, indices, notifications. */

#include "tests/unit/ring_guest.h"

#include "common/base/num.h"

static void bad_setups_are_refused(void **state)
{
	static const struct {
		uint32_t size, base;
		uint64_t desc, driver, device;
		int err;
	} cases[] = {
		{ 0, 0, GUEST_DESC, GUEST_AVAIL, GUEST_USED, -EINVAL },
		{ 3, 0, GUEST_DESC, GUEST_AVAIL, GUEST_USED, -EINVAL },
		{ 65536, 0, GUEST_DESC, GUEST_AVAIL, GUEST_USED, -EINVAL },
		{ UINT32_MAX, 0, GUEST_DESC, GUEST_AVAIL, GUEST_USED, -EINVAL },
		{ 8, 65536, GUEST_DESC, GUEST_AVAIL, GUEST_USED, -EINVAL },
		{ 8, 0, GUEST_DESC + 8, GUEST_AVAIL, GUEST_USED, -EINVAL },
		{ 8, 0, GUEST_DESC, GUEST_AVAIL + 1, GUEST_USED, -EINVAL },
		{ 8, 0, GUEST_DESC, GUEST_AVAIL, GUEST_USED + 2, -EINVAL },
		{ 8, 0, 0, GUEST_AVAIL, GUEST_USED, -EFAULT },
		{ 8, 0, GUEST_DESC, GUEST_UADDR + GUEST_BYTES, GUEST_USED, -EFAULT },
		{ 8, 0, GUEST_DESC, GUEST_AVAIL, 0xfffffffffffffff0, -EFAULT },
		/* 8 entries: 128, 22 and 70 bytes; the last byte is outside, or past the border. */
		{ 8, 0, GUEST_UADDR + GUEST_BYTES - 112, GUEST_AVAIL, GUEST_USED, -EFAULT },
		{ 8, 0, GUEST_DESC, GUEST_UADDR + GUEST_BYTES - 20, GUEST_USED, -EFAULT },
		{ 8, 0, GUEST_DESC, GUEST_AVAIL, GUEST_UADDR + GUEST_BYTES - 68, -EFAULT },
		{ 8, 0, GUEST_UADDR + 0x200000 - 16, GUEST_AVAIL, GUEST_USED, -EFAULT },
		{ 8, 0, GUEST_UADDR + GUEST_BYTES - 128, GUEST_AVAIL, GUEST_USED, 0 },
		{ 8, 65535, GUEST_DESC, GUEST_UADDR + GUEST_BYTES - 22, GUEST_USED, 0 },
		{ 8, 0, GUEST_DESC, GUEST_AVAIL, GUEST_UADDR + GUEST_BYTES - 72, 0 },
		{ 1, 0, GUEST_DESC, GUEST_AVAIL, GUEST_USED, 0 },
		{ 32768, 0, GUEST_DESC, GUEST_AVAIL, GUEST_USED, 0 },
	};
	static const uint64_t ends[] = { 0x200000, GUEST_BYTES };
	struct guest g;

	(void)state;
	guest_init_regions(&g, 8, 0, ends, 2);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		g.setup.size = cases[i].size;
		g.setup.base = cases[i].base;
		g.setup.desc_uaddr = cases[i].desc;
		g.setup.driver_uaddr = cases[i].driver;
		g.setup.device_uaddr = cases[i].device;
		assert_int_equal(vhu_virtqueue_start(&g.q, &g.setup, g.memory), cases[i].err);
		if (!cases[i].err)
			assert_int_equal(vhu_virtqueue_base(&g.q), cases[i].base);
		else
			assert_null(g.q.memory);
		vhu_virtqueue_stop(&g.q);
	}
	guest_finish(&g);
}

/* The largest queue has 16 GiB of untouched room: the address space ends before the loop does. */
static void stop_gives_everything_back(void **state)
{
	static const uint64_t end = GUEST_BYTES;
	struct guest g;

	(void)state;
	guest_init_regions(&g, VHU_VIRTQUEUE_MAX_SIZE, 0, &end, 1);
	for (unsigned i = 0; i < 10000; i++) {
		assert_int_equal(vhu_virtqueue_start(&g.q, &g.setup, g.memory), 0);
		vhu_virtqueue_stop(&g.q);
	}
	vhu_virtqueue_stop(&g.q); /* nothing to stop */
	guest_finish(&g);
}

static void chain_is_read_written_and_pushed(void **state)
{
	struct vhu_iov_cursor reader, writer;
	struct vhu_chain *chain;
	char buf[64] = { 0 };
	struct guest g;

	(void)state;
	guest_start(&g, 8, 0);
	assert_false(vhu_virtqueue_has_news(&g.q));
	assert_null(vhu_virtqueue_pop(&g.q));
	memcpy(guest_at(&g, GUEST_DATA), "to the device", 13);
	guest_desc(g.ring.desc, 5, GUEST_DATA, 3, NEXT, 1);
	guest_desc(g.ring.desc, 1, GUEST_DATA + 3, 10, NEXT, 7);
	guest_desc(g.ring.desc, 7, GUEST_DATA + 4096, 4, NEXT | WRITE, 2);
	guest_desc(g.ring.desc, 2, GUEST_DATA + 8192, 8, WRITE, 0);
	guest_offer(&g, 5);

	assert_true(vhu_virtqueue_has_news(&g.q));
	chain = vhu_virtqueue_pop(&g.q);
	assert_non_null(chain);
	assert_int_equal(chain->head, 5);
	assert_int_equal(chain->readable_bytes, 13);
	assert_int_equal(chain->writable_bytes, 12);
	assert_int_equal(chain->n_readable, 1); /* the two touch */
	assert_int_equal(chain->n_writable, 2);
	vhu_chain_reader(chain, &reader);
	assert_int_equal(vhu_iov_read(&reader, buf, sizeof(buf)), 13);
	assert_string_equal(buf, "to the device");
	vhu_chain_writer(chain, &writer);
	assert_int_equal(vhu_iov_write(&writer, "for you", 7), 7);

	assert_int_equal(g.q.in_flight, 1);
	vhu_virtqueue_push(&g.q, chain, 7);
	assert_int_equal(g.q.in_flight, 0);
	assert_int_equal(le16toh(g.ring.used->idx), 0); /* not yet shown */
	assert_true(vhu_virtqueue_publish(&g.q));
	guest_expect_used(&g, 5, 7);
	assert_memory_equal(guest_at(&g, GUEST_DATA + 4096), "for ", 4);
	assert_memory_equal(guest_at(&g, GUEST_DATA + 8192), "you", 3);
	assert_false(vhu_virtqueue_publish(&g.q)); /* nothing new */
	assert_null(vhu_virtqueue_pop(&g.q));
	guest_finish(&g);
}

static void readable_and_writable_are_not_merged(void **state)
{
	struct vhu_chain *chain;
	struct guest g;

	(void)state;
	guest_start(&g, 8, 0);
	guest_desc(g.ring.desc, 0, GUEST_DATA, 16, NEXT, 1);
	guest_desc(g.ring.desc, 1, GUEST_DATA + 16, 16, NEXT | WRITE, 2);
	guest_desc(g.ring.desc, 2, GUEST_DATA + 32, 16, WRITE, 0);
	guest_offer(&g, 0);
	chain = vhu_virtqueue_pop(&g.q);
	assert_non_null(chain);
	assert_int_equal(chain->n_readable, 1);
	assert_int_equal(chain->n_writable, 1);
	assert_int_equal(vhu_chain_readable(chain)->iov_len, 16);
	assert_int_equal(vhu_chain_writable(chain)->iov_len, 32);
	vhu_virtqueue_push(&g.q, chain, 32);
	guest_finish(&g);
}

/* Also the one for which there was no room left. */
static void buffers_that_touch_are_merged(void **state)
{
	struct vhu_chain *chain;
	struct guest g;

	(void)state;
	guest_start(&g, 16, 0);
	for (uint16_t i = 0; i < VHU_CHAIN_INLINE; i++)
		guest_desc(g.ring.desc, i, GUEST_DATA + i * 64ull, 16, NEXT, i + 1);
	guest_desc(g.ring.desc, VHU_CHAIN_INLINE, GUEST_DATA + (VHU_CHAIN_INLINE - 1) * 64 + 16, 16,
		   0, 0);
	guest_offer(&g, 0);
	chain = vhu_virtqueue_pop(&g.q);
	assert_non_null(chain);
	assert_int_equal(chain->n_readable, VHU_CHAIN_INLINE);
	assert_int_equal(chain->iov[VHU_CHAIN_INLINE - 1].iov_len, 32);
	vhu_virtqueue_push(&g.q, chain, 0);
	guest_finish(&g);
}

static void empty_buffers_are_no_buffers(void **state)
{
	struct vhu_chain *chain;
	struct guest g;

	(void)state;
	guest_start(&g, 8, 0);
	guest_desc(g.ring.desc, 0, 0, 0, NEXT, 1);
	guest_desc(g.ring.desc, 1, GUEST_DATA, 5, NEXT, 2);
	guest_desc(g.ring.desc, 2, UINT64_MAX, 0, NEXT | WRITE, 3);
	guest_desc(g.ring.desc, 3, GUEST_DATA + 5, 6, WRITE, 0);
	guest_offer(&g, 0);
	guest_offer_one(&g, 4, 0, 0, 0);
	chain = vhu_virtqueue_pop(&g.q);
	assert_non_null(chain);
	assert_int_equal(chain->n_readable, 1);
	assert_int_equal(chain->readable_bytes, 5);
	assert_int_equal(chain->n_writable, 1);
	assert_int_equal(chain->writable_bytes, 6);
	vhu_virtqueue_push(&g.q, chain, 6);
	chain = vhu_virtqueue_pop(&g.q);
	assert_non_null(chain);
	assert_int_equal(chain->n_readable + chain->n_writable, 0);
	assert_int_equal(chain->readable_bytes + chain->writable_bytes, 0);
	vhu_virtqueue_push(&g.q, chain, 0);
	guest_finish(&g);
}

/* A chain as long as the queue, with holes between its buffers: more than the inline segments. */
static void long_chains_use_the_overflow(void **state)
{
	struct vhu_chain *chains[2];
	struct guest g;

	(void)state;
	guest_start(&g, 64, 0);
	for (uint16_t i = 0; i < 64; i++)
		guest_desc(g.ring.desc, i, GUEST_DATA + i * 32ull, 16,
			   (i % 32 < 31 ? NEXT : 0) | (i % 32 > 9 ? WRITE : 0), i + 1);
	guest_offer(&g, 0);
	guest_offer(&g, 32);
	for (unsigned c = 0; c < 2; c++) {
		chains[c] = vhu_virtqueue_pop(&g.q);
		assert_non_null(chains[c]);
	}
	for (unsigned c = 0; c < 2; c++) {
		assert_int_equal(chains[c]->n_readable, 10);
		assert_int_equal(chains[c]->n_writable, 22);
		for (unsigned i = 0; i < 32; i++) {
			*(char *)chains[c]->iov[i].iov_base = (char)(1 + 32 * c + i);
			assert_int_equal(chains[c]->iov[i].iov_len, 16);
		}
		vhu_virtqueue_push(&g.q, chains[c], 22 * 16);
	}
	for (unsigned i = 0; i < 64; i++)
		assert_int_equal(*(char *)guest_at(&g, GUEST_DATA + i * 32ull), 1 + i);
	guest_finish(&g);
}

static void indirect_table_is_followed(void **state)
{
	struct vring_desc *table;
	struct vhu_chain *chain;
	struct guest g;

	(void)state;
	guest_start(&g, 8, INDIRECT);
	table = guest_at(&g, GUEST_DATA);
	guest_desc(table, 0, GUEST_DATA + 4096, 16, NEXT, 2);
	guest_desc(table, 1, GUEST_DATA + 16384, 1, WRITE, 0);
	guest_desc(table, 2, GUEST_DATA + 8192, 512, NEXT | WRITE, 1);
	/* The table's own WRITE flag is to be ignored (virtio 1.3, 2.7.5.3.2). */
	guest_offer_one(&g, 3, GUEST_DATA, 48, TABLE | WRITE);
	/* The same after a direct descriptor, and a table at an odd address. */
	guest_desc(g.ring.desc, 0, GUEST_DATA + 1024, 8, NEXT, 1);
	guest_desc(g.ring.desc, 1, GUEST_DATA + 2049, 48, TABLE, 0);
	memcpy(guest_at(&g, GUEST_DATA + 2049), table, 48);
	guest_offer(&g, 0);

	chain = vhu_virtqueue_pop(&g.q);
	assert_non_null(chain);
	assert_int_equal(chain->head, 3);
	assert_int_equal(chain->readable_bytes, 16);
	assert_int_equal(chain->n_writable, 2);
	assert_int_equal(chain->writable_bytes, 513);
	vhu_virtqueue_push(&g.q, chain, 513);
	chain = vhu_virtqueue_pop(&g.q);
	assert_non_null(chain);
	assert_int_equal(chain->head, 0);
	assert_int_equal(chain->n_readable, 2);
	assert_int_equal(chain->readable_bytes, 24);
	assert_int_equal(chain->writable_bytes, 513);
	vhu_virtqueue_push(&g.q, chain, 0);
	assert_int_equal(g.q.malformed, 0);
	guest_finish(&g);
}

/* Linux makes such tables and QEMU takes them: longer than the queue, up to 1024. */
static void indirect_table_may_be_longer_than_the_queue(void **state)
{
	struct vring_desc *table;
	struct vhu_chain *chain;
	struct guest g;

	(void)state;
	guest_start(&g, 16, INDIRECT);
	table = guest_at(&g, GUEST_DATA);
	for (uint16_t i = 0; i < 1024; i++)
		guest_desc(table, i, GUEST_DATA + 0x10000 + i * 32ull, 16,
			   WRITE | (i < 1023 ? NEXT : 0), i + 1);
	guest_offer_one(&g, 0, GUEST_DATA, 1024 * 16, TABLE);
	chain = vhu_virtqueue_pop(&g.q);
	assert_non_null(chain);
	assert_int_equal(chain->n_writable, 1024);
	assert_int_equal(chain->writable_bytes, 16384);
	vhu_virtqueue_push(&g.q, chain, 0);
	guest_finish(&g);
}

/* Buffers and tables that cross the border of two regions (CVE-2018-1059). */
static void borders_of_regions_are_crossed(void **state)
{
	static const uint64_t ends[] = { 0x200000, 0x201000, GUEST_BYTES };
	const uint64_t border = GUEST_GPA + 0x200000;
	struct vring_desc table[3];
	struct vhu_iov_cursor writer;
	struct vhu_chain *chain;
	struct guest g;

	(void)state;
	guest_init_regions(&g, 8, INDIRECT, ends, 3);
	assert_int_equal(vhu_virtqueue_start(&g.q, &g.setup, g.memory), 0);
	guest_desc(table, 0, border - 0x800, 0x2000, WRITE | NEXT, 2); /* three regions */
	guest_desc(table, 2, border + 0x1000, 0x100, WRITE, 0);
	for (unsigned shift = 0; shift < 48; shift++) {
		memcpy(guest_at(&g, border - shift), table, 48);
		guest_offer_one(&g, 0, border - shift, 48, TABLE);
		chain = vhu_virtqueue_pop(&g.q);
		assert_non_null(chain);
		assert_int_equal(chain->writable_bytes, 0x2100);
		vhu_chain_writer(chain, &writer);
		assert_int_equal(vhu_iov_fill(&writer, 'a' + (int)(shift % 26), 0x2000), 0x2000);
		vhu_virtqueue_push(&g.q, chain, 0x2000);
		for (unsigned i = 0; i < 0x2000; i++)
			assert_int_equal(((char *)guest_at(&g, border - 0x800))[i],
					 'a' + (int)(shift % 26));
	}
	assert_int_equal(g.q.malformed, 0);
	guest_finish(&g);
}

static void many_in_flight_complete_in_any_order(void **state)
{
	struct vhu_chain *chains[8];
	unsigned slots = 0;
	struct guest g;

	(void)state;
	guest_start(&g, 8, 0);
	for (uint16_t i = 0; i < 8; i++)
		guest_offer_one(&g, i, GUEST_DATA + i * 64ull, 64, WRITE);
	for (unsigned i = 0; i < 8; i++) {
		chains[i] = vhu_virtqueue_pop(&g.q);
		assert_non_null(chains[i]);
		assert_true(chains[i]->slot < 8);
		slots |= 1u << chains[i]->slot;
	}
	assert_int_equal(slots, 0xff);
	assert_null(vhu_virtqueue_pop(&g.q));
	for (unsigned i = 0; i < 8; i++)
		vhu_virtqueue_push(&g.q, chains[(5 * i) % 8], i);
	assert_true(vhu_virtqueue_publish(&g.q));
	for (unsigned i = 0; i < 8; i++)
		guest_expect_used(&g, (5 * i) % 8, i);
	/* The last one back is the first one out: it is the one in the cache. */
	guest_offer(&g, 0);
	assert_ptr_equal(vhu_virtqueue_pop(&g.q), chains[3]);
	vhu_virtqueue_push(&g.q, chains[3], 0);
	guest_finish(&g);
}

static void indices_wrap_around(void **state)
{
	struct vhu_chain *chain;
	struct guest g;

	(void)state;
	guest_start(&g, 4, 0);
	guest_desc(g.ring.desc, 1, GUEST_DATA, 8, 0, 0);
	guest_desc(g.ring.desc, 2, GUEST_DATA, 8, WRITE, 0);
	for (unsigned i = 0; i < 70000; i++) {
		guest_offer(&g, 1);
		guest_offer(&g, 2);
		for (uint32_t head = 1; head < 3; head++) {
			chain = vhu_virtqueue_pop(&g.q);
			assert_non_null(chain);
			assert_int_equal(chain->head, head);
			vhu_virtqueue_push(&g.q, chain, 8 * (head - 1));
		}
		assert_true(vhu_virtqueue_publish(&g.q));
		guest_expect_used(&g, 1, 0);
		guest_expect_used(&g, 2, 8);
	}
	assert_int_equal(vhu_virtqueue_base(&g.q), 140000 % 65536);
	guest_finish(&g);
}

static void start_takes_up_where_the_last_one_left(void **state)
{
	static const uint64_t end = GUEST_BYTES;
	struct vhu_chain *chain;
	struct guest g;

	(void)state;
	guest_init_regions(&g, 4, 0, &end, 1);
	g.ring.avail->idx = htole16(65535);
	g.ring.used->idx = htole16(65534);
	g.used_seen = 65534;
	g.setup.base = 65535;
	assert_int_equal(vhu_virtqueue_start(&g.q, &g.setup, g.memory), 0);
	assert_false(vhu_virtqueue_is_new(&g.q));
	guest_offer_one(&g, 1, GUEST_DATA, 8, 0);
	guest_offer_one(&g, 2, GUEST_DATA, 8, 0);
	for (unsigned head = 1; head < 3; head++) {
		chain = vhu_virtqueue_pop(&g.q);
		assert_non_null(chain);
		vhu_virtqueue_push(&g.q, chain, 0);
		assert_true(vhu_virtqueue_publish(&g.q));
		guest_expect_used(&g, head, 0);
	}
	assert_int_equal(vhu_virtqueue_base(&g.q), 1);
	assert_int_equal(g.ring.used->idx, 0); /* it wrapped */
	assert_false(vhu_virtqueue_is_new(&g.q));
	vhu_virtqueue_stop(&g.q);
	assert_int_equal(vhu_virtqueue_base(&g.q), 1);
	assert_false(vhu_virtqueue_is_new(&g.q));
	g.setup.base = 1;
	assert_int_equal(vhu_virtqueue_start(&g.q, &g.setup, g.memory), 0);
	assert_null(vhu_virtqueue_pop(&g.q));
	assert_false(g.q.broken);
	guest_finish(&g);
}

static void unpop_gives_the_request_back(void **state)
{
	struct vhu_chain *first, *again;
	struct guest g;

	(void)state;
	guest_start(&g, 4, 0);
	assert_int_equal(vhu_virtqueue_base(&g.q), 0);
	assert_true(vhu_virtqueue_is_new(&g.q));
	guest_offer_one(&g, 3, GUEST_DATA, 8, WRITE);
	first = vhu_virtqueue_pop(&g.q);
	assert_non_null(first);
	vhu_virtqueue_unpop(&g.q, first);
	assert_int_equal(g.q.in_flight, 0);
	assert_int_equal(vhu_virtqueue_base(&g.q), 0);
	assert_false(vhu_virtqueue_has_news(&g.q)); /* we know of it */
	again = vhu_virtqueue_pop(&g.q);
	assert_non_null(again);
	assert_int_equal(again->head, 3);
	assert_int_equal(again->writable_bytes, 8);
	vhu_virtqueue_push(&g.q, again, 8);
	assert_null(vhu_virtqueue_pop(&g.q));
	assert_false(g.q.broken);
	guest_finish(&g);
}

/* The log flag of SET_VRING_ADDR: the same ring elsewhere, the indices go on. */
static void addresses_change_on_a_live_queue(void **state)
{
	struct vhu_virtqueue_setup setup;
	struct vhu_chain *chain;
	struct guest g;

	(void)state;
	guest_start(&g, 4, 0);
	guest_offer_one(&g, 0, GUEST_DATA, 8, WRITE);
	chain = vhu_virtqueue_pop(&g.q);
	assert_non_null(chain);

	setup = g.setup;
	setup.device_uaddr = GUEST_UADDR + GUEST_BYTES;
	assert_int_equal(vhu_virtqueue_set_addresses(&g.q, &setup), -EFAULT);
	setup.device_uaddr = GUEST_USED + 1;
	assert_int_equal(vhu_virtqueue_set_addresses(&g.q, &setup), -EINVAL);
	assert_false(g.q.broken);

	setup.device_uaddr = GUEST_USED + 0x1000;
	assert_int_equal(vhu_virtqueue_set_addresses(&g.q, &setup), 0);
	vhu_virtqueue_push(&g.q, chain, 8);
	assert_true(vhu_virtqueue_publish(&g.q));
	assert_int_equal(le16toh(g.ring.used->idx), 0);
	g.ring.used = (void *)((char *)g.ring.used + 0x1000);
	guest_expect_used(&g, 0, 8);
	assert_int_equal(vhu_virtqueue_base(&g.q), 1);

	/* The next map finds them where they are now. */
	assert_int_equal(vhu_virtqueue_set_memory(&g.q, g.memory), 0);
	guest_offer(&g, 0);
	vhu_virtqueue_push(&g.q, vhu_virtqueue_pop(&g.q), 4);
	vhu_virtqueue_publish(&g.q);
	guest_expect_used(&g, 0, 4);
	guest_finish(&g);
}

static void memory_changes_on_a_live_queue(void **state)
{
	static const uint64_t with_border[] = { 0x200000, GUEST_BYTES }, half[] = { 0x200000 };
	struct vhu_memory *next;
	struct vhu_chain *chain;
	struct guest g;

	(void)state;
	guest_start(&g, 4, 0);
	guest_offer_one(&g, 0, GUEST_END - 64, 64, WRITE);
	chain = vhu_virtqueue_pop(&g.q);
	assert_non_null(chain);

	next = guest_map(&g, with_border, 2);
	assert_int_equal(vhu_virtqueue_set_memory(&g.q, next), 0);
	vhu_memory_unref(next);
	vhu_virtqueue_push(&g.q, chain, 64); /* g.memory keeps the old map */
	assert_true(vhu_virtqueue_publish(&g.q));
	guest_expect_used(&g, 0, 64);

	guest_offer(&g, 0);
	chain = vhu_virtqueue_pop(&g.q);
	assert_non_null(chain);
	vhu_virtqueue_push(&g.q, chain, 64);
	next = guest_map(&g, half, 1);
	assert_int_equal(vhu_virtqueue_set_memory(&g.q, next), 0);
	vhu_memory_unref(next);
	guest_offer(&g, 0); /* is gone now, and no cache remembers it */
	assert_null(vhu_virtqueue_pop(&g.q));
	assert_int_equal(g.q.malformed, 1);
	assert_false(g.q.broken);
	guest_finish(&g);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad_setups_are_refused),
		cmocka_unit_test(chain_is_read_written_and_pushed),
		cmocka_unit_test(stop_gives_everything_back),
		cmocka_unit_test(readable_and_writable_are_not_merged),
		cmocka_unit_test(buffers_that_touch_are_merged),
		cmocka_unit_test(empty_buffers_are_no_buffers),
		cmocka_unit_test(long_chains_use_the_overflow),
		cmocka_unit_test(indirect_table_is_followed),
		cmocka_unit_test(indirect_table_may_be_longer_than_the_queue),
		cmocka_unit_test(borders_of_regions_are_crossed),
		cmocka_unit_test(many_in_flight_complete_in_any_order),
		cmocka_unit_test(indices_wrap_around),
		cmocka_unit_test(start_takes_up_where_the_last_one_left),
		cmocka_unit_test(unpop_gives_the_request_back),
		cmocka_unit_test(addresses_change_on_a_live_queue),
		cmocka_unit_test(memory_changes_on_a_live_queue),
	};

	return cmocka_run_group_tests_name("ring/split", tests, NULL, NULL);
}
