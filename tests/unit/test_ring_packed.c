/* SPDX-License-Identifier: BSD-3-Clause */

/* The packed ring as a well-behaved driver uses it: lists, wrap counters, order. */

#include "tests/unit/packed_guest.h"

#include "common/base/num.h"

static void bad_setups_are_refused(void **state)
{
	static const struct {
		uint32_t size, base;
		uint64_t desc, driver, device;
		int err;
	} cases[] = {
		{ 0, PACKED_BASE, GUEST_DESC, GUEST_AVAIL, GUEST_USED, -EINVAL },
		{ 32769, PACKED_BASE, GUEST_DESC, GUEST_AVAIL, GUEST_USED, -EINVAL },
		{ UINT32_MAX, PACKED_BASE, GUEST_DESC, GUEST_AVAIL, GUEST_USED, -EINVAL },
		{ 7, 0x80078007, GUEST_DESC, GUEST_AVAIL, GUEST_USED, -EINVAL }, /* past the end */
		{ 7, 0x80068007, GUEST_DESC, GUEST_AVAIL, GUEST_USED, -EINVAL },
		{ 7, 0x80078006, GUEST_DESC, GUEST_AVAIL, GUEST_USED, -EINVAL },
		{ 7, 0x80028001, GUEST_DESC, GUEST_AVAIL, GUEST_USED, -EINVAL }, /* used ahead */
		{ 7, 0x80010002, GUEST_DESC, GUEST_AVAIL, GUEST_USED, -EINVAL }, /* size + 1 */
		{ 7, 0xffffffff, GUEST_DESC, GUEST_AVAIL, GUEST_USED, -EINVAL },
		{ 7, PACKED_BASE, GUEST_DESC + 8, GUEST_AVAIL, GUEST_USED, -EINVAL },
		{ 7, PACKED_BASE, GUEST_DESC, GUEST_AVAIL + 2, GUEST_USED, -EINVAL },
		{ 7, PACKED_BASE, GUEST_DESC, GUEST_AVAIL, GUEST_USED + 2, -EINVAL },
		{ 7, PACKED_BASE, 0, GUEST_AVAIL, GUEST_USED, -EFAULT },
		{ 7, PACKED_BASE, GUEST_UADDR + GUEST_BYTES - 96, GUEST_AVAIL, GUEST_USED,
		  -EFAULT },
		{ 7, PACKED_BASE, GUEST_DESC, GUEST_UADDR + GUEST_BYTES, GUEST_USED, -EFAULT },
		{ 7, PACKED_BASE, GUEST_DESC, GUEST_AVAIL, UINT64_MAX - 3, -EFAULT },
		{ 7, PACKED_BASE, GUEST_UADDR + GUEST_BYTES - 112, GUEST_AVAIL, GUEST_USED, 0 },
		{ 7, 0, GUEST_DESC, GUEST_UADDR + GUEST_BYTES - 4, GUEST_USED, 0 },
		{ 7, 0x80060006, GUEST_DESC, GUEST_AVAIL, GUEST_UADDR + GUEST_BYTES - 4, 0 },
		{ 7, 0x80010001, GUEST_DESC, GUEST_AVAIL, GUEST_USED, 0 }, /* all in flight */
		{ 1, PACKED_BASE, GUEST_DESC, GUEST_AVAIL, GUEST_USED, 0 },
		{ 32767, PACKED_BASE, GUEST_DESC, GUEST_AVAIL, GUEST_USED, 0 },
		{ 32768, 0xffffffff, GUEST_DESC, GUEST_AVAIL, GUEST_USED, 0 },
	};
	struct packed p;

	(void)state;
	packed_init(&p, 7, 0, PACKED_BASE);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		p.g.setup.size = cases[i].size;
		p.g.setup.base = cases[i].base;
		p.g.setup.desc_uaddr = cases[i].desc;
		p.g.setup.driver_uaddr = cases[i].driver;
		p.g.setup.device_uaddr = cases[i].device;
		assert_int_equal(vhu_virtqueue_start(&p.g.q, &p.g.setup, p.g.memory),
				 cases[i].err);
		if (!cases[i].err) {
			assert_int_equal(vhu_virtqueue_base(&p.g.q), cases[i].base);
			assert_int_equal(vhu_virtqueue_is_new(&p.g.q),
					 cases[i].base == PACKED_BASE);
		} else {
			assert_null(p.g.q.memory);
		}
		vhu_virtqueue_stop(&p.g.q);
	}
	packed_finish(&p);
}

static void list_is_read_written_and_pushed(void **state)
{
	static const struct element list[] = {
		{ GUEST_DATA, 3, NEXT },
		{ GUEST_DATA + 3, 10, NEXT },
		{ GUEST_DATA + 4096, 4, NEXT | WRITE },
		{ GUEST_DATA + 8192, 8, WRITE },
	};
	struct vhu_iov_cursor reader, writer;
	struct vring_packed_desc before[4];
	struct vhu_chain *chain;
	char buf[64] = { 0 };
	struct packed p;

	(void)state;
	packed_start(&p, 7, 0);
	assert_true(vhu_virtqueue_is_new(&p.g.q));
	assert_false(vhu_virtqueue_has_news(&p.g.q));
	assert_null(vhu_virtqueue_pop(&p.g.q));
	memcpy(guest_at(&p.g, GUEST_DATA), "to the device", 13);
	packed_offer(&p, 0xabcd, list, 4); /* the id is the driver's: any number will do */
	memcpy(before, p.ring, sizeof(before));

	assert_true(vhu_virtqueue_has_news(&p.g.q));
	chain = vhu_virtqueue_pop(&p.g.q);
	assert_non_null(chain);
	assert_int_equal(chain->head, 0xabcd);
	assert_int_equal(chain->readable_bytes, 13);
	assert_int_equal(chain->writable_bytes, 12);
	assert_int_equal(chain->n_readable, 1); /* the two touch */
	assert_int_equal(chain->n_writable, 2);
	vhu_chain_reader(chain, &reader);
	assert_int_equal(vhu_iov_read(&reader, buf, sizeof(buf)), 13);
	assert_string_equal(buf, "to the device");
	vhu_chain_writer(chain, &writer);
	assert_int_equal(vhu_iov_write(&writer, "for you", 7), 7);

	vhu_virtqueue_push(&p.g.q, chain, 7);
	assert_int_equal(p.g.q.in_flight, 0);
	assert_false(packed_is_used(&p)); /* not yet shown */
	assert_true(vhu_virtqueue_publish(&p.g.q));
	packed_expect_used(&p, 0xabcd, 7, 4);
	assert_memory_equal(guest_at(&p.g, GUEST_DATA + 4096), "for ", 4);
	assert_memory_equal(guest_at(&p.g, GUEST_DATA + 8192), "you", 3);
	assert_memory_equal(&before[1], &p.ring[1], 3 * sizeof(before[0])); /* not ours to write */
	assert_false(vhu_virtqueue_publish(&p.g.q)); /* nothing new */
	assert_null(vhu_virtqueue_pop(&p.g.q));
	assert_int_equal(vhu_virtqueue_base(&p.g.q), 0x80048004);
	packed_finish(&p);
}

/* Lists of 1 to 4 in rings of any size, until everything has wrapped many times. */
static void wrap_counters_turn(void **state)
{
	static const uint32_t sizes[] = { 1, 2, 3, 4, 7, 8, 13 };
	static const struct element list[] = {
		{ GUEST_DATA, 8, NEXT },
		{ GUEST_DATA + 64, 8, NEXT },
		{ GUEST_DATA + 128, 8, NEXT | WRITE },
		{ GUEST_DATA + 192, 8, WRITE },
	};
	struct packed p;

	(void)state;
	for (size_t s = 0; s < ARRAY_SIZE(sizes); s++) {
		packed_start(&p, sizes[s], 0);
		for (unsigned i = 0; i < 2000; i++) {
			unsigned n = 1 + i % (unsigned)min_u64(4, sizes[s]);
			struct vhu_chain *chain;

			packed_offer(&p, (uint16_t)i, list + 4 - n, n);
			chain = vhu_virtqueue_pop(&p.g.q);
			assert_non_null(chain);
			assert_int_equal(chain->head, i);
			assert_int_equal(chain->n_readable + chain->n_writable, n);
			assert_null(vhu_virtqueue_pop(&p.g.q));
			vhu_virtqueue_push(&p.g.q, chain, 1);
			assert_true(vhu_virtqueue_publish(&p.g.q));
			packed_expect_used(&p, (uint16_t)i, 1, n);
			assert_false(packed_is_used(&p));
			assert_int_equal(vhu_virtqueue_base(&p.g.q),
					 p.next_avail | (uint32_t)p.next_used << 16);
		}
		packed_finish(&p);
	}
}

/* The largest one, in one batch, twice round. */
static void a_full_ring_is_served(void **state)
{
	static const uint32_t sizes[] = { 5, 256, 32768 };
	static struct vhu_chain *chains[32768];
	struct packed p;

	(void)state;
	for (size_t s = 0; s < ARRAY_SIZE(sizes); s++) {
		packed_start(&p, sizes[s], 0);
		for (unsigned lap = 0; lap < 4; lap++) {
			for (unsigned i = 0; i < sizes[s]; i++)
				packed_offer_one(&p, (uint16_t)i, GUEST_DATA, 8, WRITE);
			assert_true(vhu_virtqueue_has_news(&p.g.q));
			assert_false(vhu_virtqueue_has_news(&p.g.q));
			for (unsigned i = 0; i < sizes[s]; i++) {
				chains[i] = vhu_virtqueue_pop(&p.g.q);
				assert_non_null(chains[i]);
			}
			assert_null(vhu_virtqueue_pop(&p.g.q));
			assert_false(vhu_virtqueue_enable_kicks(&p.g.q));
			for (unsigned i = 0; i < sizes[s]; i++) {
				assert_false(packed_is_used(&p));
				vhu_virtqueue_push(&p.g.q, chains[i], 8);
			}
			assert_true(vhu_virtqueue_publish(&p.g.q));
			for (unsigned i = 0; i < sizes[s]; i++)
				packed_expect_used(&p, (uint16_t)i, 8, 1);
		}
		assert_int_equal(vhu_virtqueue_base(&p.g.q), PACKED_BASE);
		assert_false(vhu_virtqueue_is_new(&p.g.q)); /* as far as can be seen */
		packed_finish(&p);
	}
}

/* The driver may have been quick. */
static void new_ring_may_be_full(void **state)
{
	struct packed p;

	(void)state;
	packed_start(&p, 5, 0);
	for (uint16_t i = 0; i < 5; i++) {
		assert_true(vhu_virtqueue_is_new(&p.g.q));
		packed_offer_one(&p, i, GUEST_DATA, 8, WRITE);
	}
	assert_true(vhu_virtqueue_is_new(&p.g.q));
	packed_finish(&p);
}

/* As the event queue of a keyboard is at most times: all there is the device's. */
static void a_full_ring_is_new_once(void **state)
{
	static const uint64_t features[] = { 0, EVENT_IDX };
	const uint16_t size = 5;
	struct packed p;

	(void)state;
	for (size_t f = 0; f < ARRAY_SIZE(features); f++) {
		packed_start(&p, size, features[f]);
		for (uint16_t i = 0; i < 3 * size; i++) {
			packed_offer_one(&p, i, GUEST_DATA, 8, WRITE);
			if (i < 2 * size) {
				vhu_virtqueue_push(&p.g.q, vhu_virtqueue_pop(&p.g.q), 8);
				vhu_virtqueue_publish(&p.g.q);
			}
		}
		assert_true(vhu_virtqueue_enable_kicks(&p.g.q));
		assert_false(vhu_virtqueue_enable_kicks(&p.g.q));
		vhu_virtqueue_stop(&p.g.q);
		assert_int_equal(vhu_virtqueue_base(&p.g.q), PACKED_BASE);
		assert_int_equal(vhu_virtqueue_start(&p.g.q, &p.g.setup, p.g.memory), 0);
		assert_false(vhu_virtqueue_is_new(&p.g.q));
		vhu_virtqueue_stop(&p.g.q);
		/* The same again, from a driver that has just begun. */
		memset(p.ring, 0, size * sizeof(*p.ring));
		memset(p.device, 0, sizeof(*p.device));
		p.next_avail = WRAP;
		for (uint16_t i = 0; i < size; i++)
			packed_offer_one(&p, i, GUEST_DATA, 8, WRITE);
		assert_int_equal(vhu_virtqueue_start(&p.g.q, &p.g.setup, p.g.memory), 0);
		assert_true(vhu_virtqueue_is_new(&p.g.q));
		packed_finish(&p);
	}
}

/* A used descriptor goes where the next one belongs, whoever was there (2.8.6). */
static void lists_complete_in_any_order(void **state)
{
	static const struct element list[] = {
		{ GUEST_DATA, 8, NEXT },
		{ GUEST_DATA + 64, 8, NEXT },
		{ GUEST_DATA + 192, 8, WRITE },
	};
	static const unsigned order[] = { 3, 1, 4, 0, 2 };
	static const unsigned spans[] = { 3, 1, 2, 3, 2 };
	struct vhu_chain *chains[5];
	struct packed p;

	(void)state;
	packed_start(&p, 13, 0);
	for (unsigned lap = 0; lap < 100; lap++) {
		for (unsigned i = 0; i < 5; i++)
			packed_offer(&p, (uint16_t)(100 + i), list + 3 - spans[i], spans[i]);
		for (unsigned i = 0; i < 5; i++) {
			chains[i] = vhu_virtqueue_pop(&p.g.q);
			assert_non_null(chains[i]);
			assert_int_equal(chains[i]->head, 100 + i);
		}
		for (unsigned i = 0; i < 5; i++) {
			unsigned which = order[i];

			vhu_virtqueue_push(&p.g.q, chains[which], which);
			if (lap % 2)
				assert_true(vhu_virtqueue_publish(&p.g.q));
		}
		assert_int_equal(vhu_virtqueue_publish(&p.g.q), !(lap % 2));
		for (unsigned i = 0; i < 5; i++)
			packed_expect_used(&p, (uint16_t)(100 + order[i]), order[i],
					   spans[order[i]]);
		assert_false(packed_is_used(&p));
	}
	packed_finish(&p);
}

static void indirect_table_is_followed(void **state)
{
	struct vring_packed_desc *table;
	struct vhu_chain *chain;
	struct packed p;

	(void)state;
	packed_start(&p, 3, INDIRECT);
	table = guest_at(&p.g, GUEST_DATA);
	/* One after the other; but for WRITE, flags and ids mean nothing (virtio 1.3, 2.8.7). */
	table[0] = (struct vring_packed_desc){ htole64(GUEST_DATA + 4096), htole32(16),
					       htole16(77), htole16(USED | TABLE) };
	table[1] = (struct vring_packed_desc){ htole64(GUEST_DATA + 8192), htole32(512), 0,
					       htole16(NEXT | WRITE) };
	table[2] = (struct vring_packed_desc){ htole64(GUEST_DATA + 16384), htole32(1), 0,
					       htole16(AVAIL | NEXT | WRITE) };
	memcpy(guest_at(&p.g, GUEST_DATA + 2049), table, 48);
	for (unsigned i = 0; i < 10; i++) {
		packed_offer_one(&p, 3, i % 2 ? GUEST_DATA : GUEST_DATA + 2049, 48,
				 TABLE | (i & 2 ? WRITE : 0));
		chain = vhu_virtqueue_pop(&p.g.q);
		assert_non_null(chain);
		assert_int_equal(chain->head, 3);
		assert_int_equal(chain->readable_bytes, 16);
		assert_int_equal(chain->n_writable, 2);
		assert_int_equal(chain->writable_bytes, 513);
		vhu_virtqueue_push(&p.g.q, chain, 513);
		vhu_virtqueue_publish(&p.g.q);
		packed_expect_used(&p, 3, 513, 1);
	}
	assert_int_equal(p.g.q.malformed, 0);
	packed_finish(&p);
}

/* Longer than the queue, and across the border of two regions (CVE-2018-1059). */
static void long_tables_and_borders(void **state)
{
	static const uint64_t ends[] = { 0x200000, GUEST_BYTES };
	const uint64_t border = GUEST_GPA + 0x200000;
	struct vring_packed_desc *table;
	struct vhu_memory *next;
	struct vhu_chain *chain;
	struct packed p;

	(void)state;
	packed_start(&p, 16, INDIRECT);
	next = guest_map(&p.g, ends, 2);
	assert_int_equal(vhu_virtqueue_set_memory(&p.g.q, next), 0);
	vhu_memory_unref(next);
	for (unsigned shift = 0; shift < 64; shift += 7) {
		table = guest_at(&p.g, border - 8000 - shift);
		for (unsigned i = 0; i < 1024; i++) {
			struct vring_packed_desc desc = { htole64(GUEST_DATA + i * 32ull),
							  htole32(16), 0, htole16(WRITE) };

			memcpy(&table[i], &desc, sizeof(desc));
		}
		packed_offer_one(&p, 0, border - 8000 - shift, 1024 * 16, TABLE);
		chain = vhu_virtqueue_pop(&p.g.q);
		assert_non_null(chain);
		assert_int_equal(chain->n_writable, 1024);
		assert_int_equal(chain->writable_bytes, 16384);
		vhu_virtqueue_push(&p.g.q, chain, 0);
	}
	packed_finish(&p);
}

static void list_as_long_as_the_ring(void **state)
{
	struct element list[64];
	struct vhu_chain *chain;
	struct packed p;

	(void)state;
	packed_start(&p, 64, 0);
	packed_offer_one(&p, 1, GUEST_DATA, 8, 0); /* so that it goes round the end */
	chain = vhu_virtqueue_pop(&p.g.q);
	assert_non_null(chain);
	vhu_virtqueue_push(&p.g.q, chain, 0);
	vhu_virtqueue_publish(&p.g.q);
	packed_expect_used(&p, 1, 0, 1);
	for (unsigned i = 0; i < 64; i++)
		list[i] = (struct element){ GUEST_DATA + i * 32ull, 16,
					    (i < 63 ? NEXT : 0) | (i > 9 ? WRITE : 0) };
	for (unsigned lap = 0; lap < 3; lap++) {
		packed_offer(&p, 9, list, 64);
		chain = vhu_virtqueue_pop(&p.g.q);
		assert_non_null(chain);
		assert_int_equal(chain->n_readable, 10);
		assert_int_equal(chain->n_writable, 54);
		assert_null(vhu_virtqueue_pop(&p.g.q));
		vhu_virtqueue_push(&p.g.q, chain, 54 * 16);
		assert_true(vhu_virtqueue_publish(&p.g.q));
		packed_expect_used(&p, 9, 54 * 16, 64);
	}
	packed_finish(&p);
}

/* The driver writes the first descriptor of a list last: until then the list is not there. */
static void half_a_list_is_none(void **state)
{
	static const struct element list[] = { { GUEST_DATA, 8, NEXT }, { GUEST_DATA, 8, WRITE } };
	struct vhu_chain *chain;
	uint16_t flags;
	struct packed p;

	(void)state;
	packed_start(&p, 7, 0);
	packed_offer_one(&p, 1, GUEST_DATA, 8, 0);
	packed_offer(&p, 2, list, 2);
	flags = p.ring[1].flags;
	p.ring[1].flags = 0;
	assert_true(vhu_virtqueue_has_news(&p.g.q));
	chain = vhu_virtqueue_pop(&p.g.q);
	assert_non_null(chain);
	vhu_virtqueue_push(&p.g.q, chain, 0);
	assert_null(vhu_virtqueue_pop(&p.g.q));
	assert_false(vhu_virtqueue_has_news(&p.g.q));
	p.ring[1].flags = flags;
	assert_true(vhu_virtqueue_has_news(&p.g.q));
	chain = vhu_virtqueue_pop(&p.g.q);
	assert_non_null(chain);
	assert_int_equal(chain->head, 2);
	vhu_virtqueue_push(&p.g.q, chain, 0);
	packed_finish(&p);
}

static void start_takes_up_where_the_last_one_left(void **state)
{
	static const uint32_t bases[] = { 0x00000000, 0x80068006, 0x00060006, 0x80038003 };
	struct vhu_chain *chain;
	struct packed p;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bases); i++) {
		packed_init(&p, 7, 0, bases[i]);
		assert_int_equal(vhu_virtqueue_start(&p.g.q, &p.g.setup, p.g.memory), 0);
		assert_false(vhu_virtqueue_is_new(&p.g.q));
		assert_null(vhu_virtqueue_pop(&p.g.q));
		for (uint16_t id = 1; id < 6; id++) {
			packed_offer_one(&p, id, GUEST_DATA, 8, 0);
			chain = vhu_virtqueue_pop(&p.g.q);
			assert_non_null(chain);
			vhu_virtqueue_push(&p.g.q, chain, 0);
			assert_true(vhu_virtqueue_publish(&p.g.q));
			packed_expect_used(&p, id, 0, 1);
			vhu_virtqueue_stop(&p.g.q);
			p.g.setup.base = vhu_virtqueue_base(&p.g.q);
			assert_int_equal(vhu_virtqueue_start(&p.g.q, &p.g.setup, p.g.memory), 0);
		}
		packed_finish(&p);
	}
}

static void unpop_gives_requests_back(void **state)
{
	static const struct element list[] = { { GUEST_DATA, 8, NEXT }, { GUEST_DATA, 8, WRITE } };
	struct vhu_chain *first, *second;
	struct packed p;

	(void)state;
	packed_init(&p, 4, 0, 0x80038003);
	assert_int_equal(vhu_virtqueue_start(&p.g.q, &p.g.setup, p.g.memory), 0);
	packed_offer(&p, 5, list, 2);
	packed_offer(&p, 6, list, 2);
	for (unsigned i = 0; i < 3; i++) {
		first = vhu_virtqueue_pop(&p.g.q);
		second = vhu_virtqueue_pop(&p.g.q);
		assert_non_null(first);
		assert_non_null(second);
		assert_int_equal(vhu_virtqueue_base(&p.g.q), 0x80030003);
		vhu_virtqueue_unpop(&p.g.q, second);
		assert_int_equal(vhu_virtqueue_base(&p.g.q), 0x80030001);
		vhu_virtqueue_unpop(&p.g.q, first);
		assert_int_equal(vhu_virtqueue_base(&p.g.q), 0x80038003);
		assert_int_equal(p.g.q.in_flight, 0);
		assert_false(vhu_virtqueue_has_news(&p.g.q)); /* we know of them */
	}
	first = vhu_virtqueue_pop(&p.g.q);
	assert_non_null(first);
	assert_int_equal(first->head, 5);
	second = vhu_virtqueue_pop(&p.g.q);
	assert_non_null(second);
	vhu_virtqueue_push(&p.g.q, first, 8);
	vhu_virtqueue_unpop(&p.g.q, second);
	second = vhu_virtqueue_pop(&p.g.q);
	assert_non_null(second);
	assert_int_equal(second->head, 6);
	vhu_virtqueue_push(&p.g.q, second, 8);
	assert_null(vhu_virtqueue_pop(&p.g.q));
	assert_true(vhu_virtqueue_publish(&p.g.q));
	packed_expect_used(&p, 5, 8, 2);
	packed_expect_used(&p, 6, 8, 2);
	assert_false(p.g.q.broken);
	packed_finish(&p);
}

/* The log flag of SET_VRING_ADDR: the same ring elsewhere, the places go on. */
static void addresses_and_memory_change_on_a_live_queue(void **state)
{
	struct vhu_virtqueue_setup setup;
	struct vhu_chain *chain;
	struct packed p;

	(void)state;
	packed_start(&p, 4, 0);
	packed_offer_one(&p, 0, GUEST_DATA, 8, WRITE);
	chain = vhu_virtqueue_pop(&p.g.q);
	assert_non_null(chain);

	setup = p.g.setup;
	setup.device_uaddr = GUEST_USED + 2;
	assert_int_equal(vhu_virtqueue_set_addresses(&p.g.q, &setup), -EINVAL);
	setup.desc_uaddr = GUEST_UADDR + GUEST_BYTES - 48;
	setup.device_uaddr = GUEST_USED + 4;
	assert_int_equal(vhu_virtqueue_set_addresses(&p.g.q, &setup), -EFAULT);

	setup.desc_uaddr = GUEST_DESC + 0x1000;
	assert_int_equal(vhu_virtqueue_set_addresses(&p.g.q, &setup), 0);
	p.ring = (void *)((char *)p.ring + 0x1000);
	p.device++;
	vhu_virtqueue_push(&p.g.q, chain, 8);
	assert_true(vhu_virtqueue_publish(&p.g.q));
	packed_expect_used(&p, 0, 8, 1);
	assert_int_equal(vhu_virtqueue_base(&p.g.q), 0x80018001);
	vhu_virtqueue_disable_kicks(&p.g.q);
	assert_int_equal(le16toh(p.device->flags), VRING_PACKED_EVENT_FLAG_DISABLE);

	/* The next map finds them where they are now. */
	assert_int_equal(vhu_virtqueue_set_memory(&p.g.q, p.g.memory), 0);
	packed_offer_one(&p, 7, GUEST_DATA, 8, WRITE);
	chain = vhu_virtqueue_pop(&p.g.q);
	assert_non_null(chain);
	vhu_virtqueue_push(&p.g.q, chain, 4);
	vhu_virtqueue_publish(&p.g.q);
	packed_expect_used(&p, 7, 4, 1);
	packed_finish(&p);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad_setups_are_refused),
		cmocka_unit_test(list_is_read_written_and_pushed),
		cmocka_unit_test(wrap_counters_turn),
		cmocka_unit_test(a_full_ring_is_served),
		cmocka_unit_test(new_ring_may_be_full),
		cmocka_unit_test(a_full_ring_is_new_once),
		cmocka_unit_test(lists_complete_in_any_order),
		cmocka_unit_test(indirect_table_is_followed),
		cmocka_unit_test(long_tables_and_borders),
		cmocka_unit_test(list_as_long_as_the_ring),
		cmocka_unit_test(half_a_list_is_none),
		cmocka_unit_test(start_takes_up_where_the_last_one_left),
		cmocka_unit_test(unpop_gives_requests_back),
		cmocka_unit_test(addresses_and_memory_change_on_a_live_queue),
	};

	return cmocka_run_group_tests_name("ring/packed", tests, NULL, NULL);
}
