/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_TESTS_RING_GUEST_H
#define VHU_TESTS_RING_GUEST_H

/*
 * A guest for the ring tests: memory in a memfd, with a mapping of the test's own, and the few
 * lines of a split driver. Guest addresses are GUEST_GPA + offset in the file, user addresses
 * GUEST_UADDR + offset.
 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "common/memory/access.h"
#include "common/ring/virtqueue.h"

#define GUEST_GPA 0x40000000ull
#define GUEST_UADDR 0x7f0000000000ull
#define GUEST_BYTES 0x400000ull
#define GUEST_DESC GUEST_UADDR
#define GUEST_AVAIL (GUEST_UADDR + 0x80000)
#define GUEST_USED (GUEST_UADDR + 0xa0000)
#define GUEST_DATA (GUEST_GPA + 0x100000) /* for buffers */
#define GUEST_END (GUEST_GPA + GUEST_BYTES)

#define EVENT_IDX (1ull << VIRTIO_RING_F_EVENT_IDX)
#define INDIRECT (1ull << VIRTIO_RING_F_INDIRECT_DESC)
#define NEXT VRING_DESC_F_NEXT
#define WRITE VRING_DESC_F_WRITE
#define TABLE VRING_DESC_F_INDIRECT

struct guest {
	int fd;
	char *mem; /* the test's own mapping */
	struct vhu_memory *memory;
	struct vhu_virtqueue_setup setup;
	struct vring ring;
	uint16_t used_seen;
	struct vhu_virtqueue q;
};

/* The map whose regions end at these offsets. */
static inline struct vhu_memory *guest_map(const struct guest *g, const uint64_t *ends, unsigned n)
{
	struct vhu_memory_region regions[8];
	struct vhu_memory *empty, *memory;
	uint64_t begin = 0;
	int fds[8];

	for (unsigned i = 0; i < n; begin = ends[i++]) {
		regions[i].gpa = GUEST_GPA + begin;
		regions[i].uaddr = GUEST_UADDR + begin;
		regions[i].size = ends[i] - begin;
		regions[i].mmap_offset = begin;
		fds[i] = g->fd;
	}
	assert_int_equal(vhu_memory_new(&empty), 0);
	assert_int_equal(vhu_memory_with_table(empty, regions, fds, n, &memory), 0);
	vhu_memory_unref(empty);
	return memory;
}

/* Memory with regions that end at these offsets, and the driver's side of a ring of this size. */
static inline void guest_init_regions(struct guest *g, uint32_t size, uint64_t features,
				      const uint64_t *ends, unsigned n)
{
	memset(g, 0, sizeof(*g));
	g->fd = memfd_create("guest", MFD_CLOEXEC);
	assert_true(g->fd >= 0);
	assert_int_equal(ftruncate(g->fd, GUEST_BYTES), 0);
	g->mem = mmap(NULL, GUEST_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, g->fd, 0);
	assert_true(g->mem != MAP_FAILED);
	g->memory = guest_map(g, ends, n);
	vhu_virtqueue_init(&g->q);
	g->setup = (struct vhu_virtqueue_setup){
		.features = features,
		.size = size,
		.desc_uaddr = GUEST_DESC,
		.driver_uaddr = GUEST_AVAIL,
		.device_uaddr = GUEST_USED,
	};
	vring_init(&g->ring, size, g->mem, 1); /* num and desc; the others lie elsewhere */
	g->ring.avail = (void *)(g->mem + (GUEST_AVAIL - GUEST_UADDR));
	g->ring.used = (void *)(g->mem + (GUEST_USED - GUEST_UADDR));
}

/* One region, the queue started. */
static inline void guest_start(struct guest *g, uint32_t size, uint64_t features)
{
	static const uint64_t end = GUEST_BYTES;

	guest_init_regions(g, size, features, &end, 1);
	assert_int_equal(vhu_virtqueue_start(&g->q, &g->setup, g->memory), 0);
}

static inline void guest_finish(struct guest *g)
{
	vhu_virtqueue_stop(&g->q);
	vhu_memory_unref(g->memory);
	munmap(g->mem, GUEST_BYTES);
	close(g->fd);
}

static inline void *guest_at(const struct guest *g, uint64_t gpa)
{
	return g->mem + (gpa - GUEST_GPA);
}

static inline void guest_desc(struct vring_desc *table, uint16_t i, uint64_t addr, uint32_t len,
			      uint16_t flags, uint16_t next)
{
	table[i] = (struct vring_desc){ htole64(addr), htole32(len), htole16(flags),
					htole16(next) };
}

static inline void guest_offer(struct guest *g, uint16_t head)
{
	struct vring_avail *avail = g->ring.avail;

	avail->ring[le16toh(avail->idx) % g->ring.num] = htole16(head);
	vhu_store_release_le16(&avail->idx, (uint16_t)(le16toh(avail->idx) + 1));
}

static inline void guest_offer_one(struct guest *g, uint16_t head, uint64_t addr, uint32_t len,
				   uint16_t flags)
{
	guest_desc(g->ring.desc, head, addr, len, flags, 0);
	guest_offer(g, head);
}

/* The next used entry is this one. */
static inline void guest_expect_used(struct guest *g, uint32_t head, uint32_t len)
{
	struct vring_used_elem elem = g->ring.used->ring[g->used_seen % g->ring.num];

	assert_int_not_equal(le16toh(g->ring.used->idx), g->used_seen++);
	assert_int_equal(le32toh(elem.id), head);
	assert_int_equal(le32toh(elem.len), len);
}

#endif
