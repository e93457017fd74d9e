/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Requests of the last run that are popped again behind an IOMMU which has forgotten everything: no
 * miss may touch the in-flight record, and each comes once, in its order.
 */

#include "tests/unit/ring_iommu.h"

#include "common/base/num.h"
#include "common/memory/mapping.h"
#include "common/ring/inflight.h"

#define RECORD_BYTES 0x10000
#define REQUESTS 5u
#define PACKED (1ull << VIRTIO_F_RING_PACKED)
#define PACKED_AVAIL (1 << VRING_PACKED_DESC_F_AVAIL)

static char *record;
static struct vhu_mapping *mapping;

static void give_record(struct guest *g)
{
	int fd = memfd_create("record", MFD_CLOEXEC);

	assert_int_equal(ftruncate(fd, RECORD_BYTES), 0);
	assert_int_equal(vhu_mapping_new(fd, 0, RECORD_BYTES, g->memory->health, &mapping), 0);
	close(fd);
	record = mapping->host;
	g->setup.inflight = (struct vhu_inflight_region){
		.mapping = mapping,
		.record = record,
		.size_bytes = RECORD_BYTES,
	};
}

/* A buffer to be written for each, on pages of their own. */
static void offer(struct guest *g, uint16_t i)
{
	uint64_t address = GUEST_DATA + (2 * i + 1) * PAGE - 8;
	struct vring_packed_desc *desc = (void *)g->ring.desc;

	if (g->setup.features & PACKED)
		desc[i] = (struct vring_packed_desc){ htole64(address), htole32(16), htole16(i),
						      htole16(WRITE | PACKED_AVAIL) };
	else
		guest_offer_one(g, i, address, 16, WRITE);
}

static void start(struct guest *g)
{
	assert_int_equal(vhu_virtqueue_start(&g->q, &g->setup, g->memory), 0);
}

static unsigned recorded(const struct guest *g)
{
	size_t entry = g->setup.features & PACKED ? sizeof(struct vhu_inflight_packed_desc)
						  : sizeof(struct vhu_inflight_split_desc);
	unsigned n = 0;

	/* The header is as long as an entry, and each begins with the flag. */
	for (unsigned i = 1; i <= SIZE; i++)
		n += record[i * entry];
	return n;
}

static void nothing_is_lost_or_doubled(uint64_t layout)
{
	char *before = malloc(RECORD_BYTES);
	unsigned n = 0, n_misses = 0;
	struct vhu_chain *chain;
	struct guest g;

	iommu_init(&g, SIZE);
	g.setup.features |= layout;
	g.setup.base = layout ? 0x80008000 : 0;
	give_record(&g);
	start(&g);
	for (uint16_t i = 0; i < REQUESTS; i++) {
		offer(&g, i);
		chain = pop_answered(&g, &n);
		assert_int_equal(chain->head, i);
		vhu_virtqueue_leave(&g.q, chain);
	}
	/* The one after them was not taken. */
	offer(&g, REQUESTS);
	vhu_virtqueue_stop(&g.q);
	vhu_iotlb_clear(g.setup.iotlb);
	start(&g);
	for (unsigned next = 0; next <= REQUESTS;) {
		bool seen = !g.q.blind;

		memcpy(before, record, RECORD_BYTES);
		chain = pop(&g);
		if (!chain) {
			assert_int_not_equal(g.q.missed.access, 0);
			/* Of what was not in flight the place may be touched, but not kept. */
			assert_int_equal(recorded(&g), REQUESTS - next);
			/* It is brought to order when the ring is first seen. */
			if (next < REQUESTS && (seen || g.q.blind))
				assert_memory_equal(before, record, RECORD_BYTES);
			tell(&g, g.q.missed.iova, g.q.missed.access);
			assert_in_range(++n_misses, 1, 100);
			continue;
		}
		assert_int_equal(chain->head, next++);
		assert_int_equal(chain->writable_bytes, 16);
		assert_int_equal(chain->n_writable, 2);
		vhu_virtqueue_push(&g.q, chain, 16);
		vhu_virtqueue_publish(&g.q);
		if (!layout)
			guest_expect_used(&g, chain->head, 16);
	}
	assert_null(pop(&g));
	assert_int_equal(g.q.missed.access, 0);
	assert_int_equal(g.q.malformed, 0);
	assert_int_equal(vhu_virtqueue_n_again(&g.q), 0);
	assert_int_equal(recorded(&g), 0);
	iommu_finish(&g);
	vhu_mapping_unref(mapping);
	free(before);
}

static void split_again(void **state)
{
	(void)state;
	nothing_is_lost_or_doubled(0);
}

static void packed_again(void **state)
{
	(void)state;
	nothing_is_lost_or_doubled(PACKED);
}

/* What is wrong with a record is found when the ring is seen, and said. */
static void a_damaged_record_breaks_the_ring(void **state)
{
	struct vhu_inflight_split *split;
	unsigned n = 0;
	struct guest g;

	(void)state;
	iommu_init(&g, SIZE);
	give_record(&g);
	split = (void *)record;
	split->version = 77;
	start(&g);
	assert_null(pop_answered(&g, &n));
	assert_true(g.q.broken);
	assert_string_equal(g.q.why_broken, "its in-flight record is damaged");
	iommu_finish(&g);
	vhu_mapping_unref(mapping);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(split_again),
		cmocka_unit_test(packed_again),
		cmocka_unit_test(a_damaged_record_breaks_the_ring),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
