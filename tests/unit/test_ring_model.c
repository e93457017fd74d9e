/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Random valid requests against a model: chains of any form, buffers anywhere in memory of five
 * regions, any number in flight, any order of completion. The model is the list of buffers that
 * the driver made the chain of. A run is repeatable: its seed is in the message of a failure.
 */

#include "tests/unit/ring_guest.h"

#include "common/base/num.h"

#define SIZE 64
#define REQUESTS 16	  /* at once */
#define ZONE_BYTES 0x8000 /* of one request's buffers */
#define MAX_BUFFERS 40
#define RUNS 60
#define STEPS 2000

static const uint64_t region_ends[] = { 0x104321, 0x110000, 0x110010, 0x150000, GUEST_BYTES };

struct buffer {
	uint64_t gpa;
	uint32_t len;
};

struct request {
	bool offered;
	unsigned n_readable, n_writable;
	struct buffer buffers[MAX_BUFFERS];
	uint32_t readable_bytes, writable_bytes, written;
	uint8_t seed; /* of the bytes, both ways */
	struct vhu_chain *chain;
	bool pushed;
};

struct model {
	struct guest g;
	struct request requests[REQUESTS];
	unsigned order[REQUESTS], n_order; /* pushed, not yet published */
	uint64_t random;
	unsigned seed;
};

static uint32_t draw(struct model *m, uint32_t below)
{
	m->random ^= m->random << 13;
	m->random ^= m->random >> 7;
	m->random ^= m->random << 17;
	return (uint32_t)((m->random >> 16) % below);
}

static void fail_unless(const struct model *m, bool right, const char *what)
{
	if (!right)
		fail_msg("seed %u: %s", m->seed, what);
}

static uint8_t byte_at(const struct request *r, uint32_t i, bool writable)
{
	return (uint8_t)(r->seed + i * 7 + (writable ? 128 : 0));
}

/* Lays buffers into the request's zone, some touching, some empty, and fills what is readable. */
static void make_buffers(struct model *m, struct request *r, uint64_t zone)
{
	unsigned n = 1 + draw(m, MAX_BUFFERS);

	r->n_readable = draw(m, n + 1);
	r->n_writable = n - r->n_readable;
	r->readable_bytes = r->writable_bytes = 0;
	r->seed = (uint8_t)draw(m, 256);
	for (unsigned i = 0; i < n; i++) {
		uint32_t len = draw(m, 4) ? 1 + draw(m, 600) : 0;
		char *mem = guest_at(&m->g, zone);

		r->buffers[i] = (struct buffer){ zone, len };
		for (uint32_t k = 0; k < len; k++)
			mem[k] = (char)(i < r->n_readable ? byte_at(r, r->readable_bytes + k, false)
							  : 0);
		*(i < r->n_readable ? &r->readable_bytes : &r->writable_bytes) += len;
		zone += len + (draw(m, 2) ? draw(m, 150) : 0);
	}
}

/*
 * Descriptors for n buffers, at n places of the table in random order, the first at offset. more:
 * the last one goes on to the place after them.
 */
static void describe(struct model *m, const struct request *r, unsigned begin, unsigned n,
		     struct vring_desc *table, unsigned offset, bool more)
{
	uint16_t places[MAX_BUFFERS];

	for (unsigned i = 0; i < n; i++)
		places[i] = (uint16_t)i;
	for (unsigned i = n; i-- > 2;) { /* the first stays: it is the head */
		unsigned other = 1 + draw(m, i);
		uint16_t place = places[i];

		places[i] = places[other];
		places[other] = place;
	}
	for (unsigned i = 0; i < n; i++) {
		const struct buffer *b = &r->buffers[begin + i];
		bool last = i + 1 == n && !more;

		guest_desc(table, (uint16_t)(offset + places[i]), b->gpa, b->len,
			   (begin + i < r->n_readable ? 0 : WRITE) | (last ? 0 : NEXT),
			   (uint16_t)(last ? draw(m, 65536)
					   : offset + (i + 1 < n ? places[i + 1] : n)));
	}
}

/* A request has four entries of the ring to itself; what does not fit there is in a table. */
static void offer(struct model *m, unsigned i)
{
	struct request *r = &m->requests[i];
	uint64_t zone = GUEST_DATA + (uint64_t)i * ZONE_BYTES;
	uint64_t table = zone + ZONE_BYTES - 0x400 + draw(m, 0x180);
	unsigned n, direct, head = i * 4;

	make_buffers(m, r, zone);
	n = r->n_readable + r->n_writable;
	direct = n <= 4 && draw(m, 2) ? n : draw(m, (uint32_t)min_u64(n, 4));
	describe(m, r, 0, direct, m->g.ring.desc, head, direct < n);
	if (direct < n) {
		struct vring_desc built[MAX_BUFFERS];

		describe(m, r, direct, n - direct, built, 0, false);
		memcpy(guest_at(&m->g, table), built, (n - direct) * sizeof(*built));
		guest_desc(m->g.ring.desc, (uint16_t)(head + direct), table, (n - direct) * 16,
			   TABLE | (draw(m, 2) ? WRITE : 0), (uint16_t)draw(m, 65536));
	}
	r->offered = true;
	guest_offer(&m->g, (uint16_t)head);
}

/* The device's part of a request: what it sees must be what the driver meant. */
static void pop(struct model *m)
{
	struct vhu_chain *chain = vhu_virtqueue_pop(&m->g.q);
	struct vhu_iov_cursor cursor;
	struct request *r;
	uint8_t byte;

	if (!chain)
		return;
	if (!draw(m, 8)) {
		vhu_virtqueue_unpop(&m->g.q, chain);
		return;
	}
	r = &m->requests[chain->head / 4];
	fail_unless(m, r->offered && !r->chain && chain->head % 4 == 0, "a head not offered");
	fail_unless(m, chain->readable_bytes == r->readable_bytes, "readable bytes");
	fail_unless(m, chain->writable_bytes == r->writable_bytes, "writable bytes");
	vhu_chain_reader(chain, &cursor);
	for (uint32_t k = 0; k < r->readable_bytes; k++) {
		fail_unless(m, vhu_iov_read(&cursor, &byte, 1) == 1, "a byte to read");
		fail_unless(m, byte == byte_at(r, k, false), "another byte to read");
	}
	r->written = draw(m, r->writable_bytes + 1);
	vhu_chain_writer(chain, &cursor);
	for (uint32_t k = 0; k < r->written; k++) {
		byte = byte_at(r, k, true);
		fail_unless(m, vhu_iov_write(&cursor, &byte, 1) == 1, "room to write");
	}
	r->chain = chain;
}

static void push(struct model *m)
{
	unsigned i = draw(m, REQUESTS);
	struct request *r = &m->requests[i];

	if (!r->chain || r->pushed)
		return;
	vhu_virtqueue_push(&m->g.q, r->chain, r->written);
	r->pushed = true;
	m->order[m->n_order++] = i;
}

/* Publishes; the driver finds what was pushed, in that order, and its memory as it should be. */
static void publish(struct model *m)
{
	vhu_virtqueue_publish(&m->g.q);
	for (unsigned o = 0; o < m->n_order; o++) {
		struct request *r = &m->requests[m->order[o]];
		uint32_t at = 0;

		guest_expect_used(&m->g, m->order[o] * 4, r->written);
		for (unsigned i = r->n_readable; i < r->n_readable + r->n_writable; i++) {
			const uint8_t *mem = guest_at(&m->g, r->buffers[i].gpa);

			for (uint32_t k = 0; k < r->buffers[i].len; k++, at++)
				fail_unless(m,
					    mem[k] == (at < r->written ? byte_at(r, at, true) : 0),
					    "written bytes");
		}
		memset(r, 0, sizeof(*r));
	}
	m->n_order = 0;
	fail_unless(m, le16toh(m->g.ring.used->idx) == m->g.used_seen, "used entries too many");
}

static void random_requests_agree_with_the_model(void **state)
{
	static struct model m;

	(void)state;
	for (unsigned seed = 1; seed <= RUNS; seed++) {
		memset(&m, 0, sizeof(m));
		m.seed = seed;
		m.random = seed * 0x9e3779b97f4a7c15ull;
		guest_init_regions(&m.g, SIZE, INDIRECT | (seed % 2 ? EVENT_IDX : 0), region_ends,
				   ARRAY_SIZE(region_ends));
		m.g.setup.base = m.g.used_seen = (uint16_t)draw(&m, 65536);
		m.g.ring.avail->idx = m.g.ring.used->idx = htole16(m.g.used_seen);
		assert_int_equal(vhu_virtqueue_start(&m.g.q, &m.g.setup, m.g.memory), 0);
		for (unsigned step = 0; step < STEPS; step++) {
			unsigned i = draw(&m, REQUESTS);

			if (!m.requests[i].offered)
				offer(&m, i);
			pop(&m);
			push(&m);
			if (!draw(&m, 5))
				publish(&m);
		}
		while (m.g.q.in_flight)
			push(&m);
		publish(&m);
		fail_unless(&m, !m.g.q.broken && !m.g.q.malformed, "all of them were valid");
		guest_finish(&m.g);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_requests_agree_with_the_model),
	};

	return cmocka_run_group_tests_name("ring/model", tests, NULL, NULL);
}
