/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * What a queue costs without a device: nanoseconds for one pop and push, with a publish and a
 * re-arming a batch, one thread, everything in the cache. The driver's part is one store a batch.
 */

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "common/base/fd.h"
#include "common/base/num.h"
#include "common/memory/access.h"
#include "common/ring/virtqueue.h"

#define QUEUE_SIZE 256
#define CHAINS 64 /* of up to 4 descriptors; the available ring names them over and over */
#define MEMORY_BYTES 0x400000ull
#define GPA 0x40000000ull
#define ROUND_REQUESTS (1u << 20)
#define ROUNDS 9

struct bench_case {
	const char *name;
	unsigned descriptors;
	unsigned batch;
	bool indirect;
};

static const struct bench_case cases[] = {
	{ "1 descriptor, batches of 32", 1, 32, false },
	{ "3 descriptors, batches of 32", 3, 32, false },
	{ "3 descriptors, one by one", 3, 1, false },
	{ "3 descriptors in a table, batches of 32", 3, 32, true },
	{ "34 descriptors in a table, batches of 32", 34, 32, true },
};

struct bench {
	char *mem;
	struct vhu_memory *memory;
	struct vring ring;
	struct vhu_virtqueue q;
};

static int share_memory(struct bench *b)
{
	struct vhu_memory_region region = { .gpa = GPA, .uaddr = GPA, .size = MEMORY_BYTES };
	int fd = memfd_create("bench", MFD_CLOEXEC);
	struct vhu_memory *empty;
	int err;

	if (fd < 0 || ftruncate(fd, MEMORY_BYTES))
		return -1;
	b->mem = mmap(NULL, MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (b->mem == MAP_FAILED || vhu_memory_new(&empty))
		return -1;
	err = vhu_memory_with_table(empty, &region, &fd, 1, &b->memory);
	vhu_memory_unref(empty);
	close(fd);
	return err;
}

/* A header and data that the device reads, a status that it writes: no two touch. */
static void describe(struct vring_desc *table, unsigned first, unsigned n, uint64_t gpa)
{
	for (unsigned i = 0; i < n; i++)
		table[first + i] = (struct vring_desc){
			.addr = htole64(gpa + i * 512),
			.len = htole32(64),
			.flags = htole16((i + 1 < n ? VRING_DESC_F_NEXT : VRING_DESC_F_WRITE)),
			.next = htole16((uint16_t)(first + i + 1)),
		};
}

static int set_up(struct bench *b, const struct bench_case *c)
{
	struct vhu_virtqueue_setup setup = {
		.features = 1ull << VIRTIO_RING_F_EVENT_IDX | 1ull << VIRTIO_RING_F_INDIRECT_DESC,
		.size = QUEUE_SIZE,
		.desc_uaddr = GPA,
		.driver_uaddr = GPA + 0x4000,
		.device_uaddr = GPA + 0x8000,
	};

	b->ring.desc = (void *)b->mem;
	b->ring.avail = (void *)(b->mem + 0x4000);
	b->ring.used = (void *)(b->mem + 0x8000);
	b->ring.avail->idx = b->ring.used->idx = 0;
	for (unsigned i = 0; i < CHAINS; i++) {
		uint64_t data = 0x20000 + i * 0x8000ull, table = 0x10000 + i * 1024ull;

		if (c->indirect) {
			describe((void *)(b->mem + table), 0, c->descriptors, GPA + data);
			b->ring.desc[i * 4] = (struct vring_desc){
				.addr = htole64(GPA + table),
				.len = htole32(c->descriptors * 16),
				.flags = htole16(VRING_DESC_F_INDIRECT),
			};
		} else {
			describe(b->ring.desc, i * 4, c->descriptors, GPA + data);
		}
	}
	for (unsigned i = 0; i < QUEUE_SIZE; i++)
		b->ring.avail->ring[i] = htole16((uint16_t)(i % CHAINS * 4));
	vhu_virtqueue_init(&b->q);
	return vhu_virtqueue_start(&b->q, &setup, b->memory);
}

/* Requests served; fewer than asked for is a fault of ours. */
static unsigned serve(struct bench *b, const struct bench_case *c)
{
	uint16_t idx = le16toh(b->ring.avail->idx);
	struct vhu_chain *chain;
	unsigned done = 0;

	for (unsigned n = 0; n < ROUND_REQUESTS; n += c->batch) {
		idx = (uint16_t)(idx + c->batch);
		vhu_store_release_le16(&b->ring.avail->idx, idx);
		while ((chain = vhu_virtqueue_pop(&b->q))) {
			vhu_virtqueue_push(&b->q, chain, 1);
			done++;
		}
		vhu_virtqueue_publish(&b->q);
		vhu_virtqueue_enable_kicks(&b->q);
	}
	return done;
}

static int run(struct bench *b, const struct bench_case *c)
{
	double best = 0, ns;
	uint64_t begin;

	if (set_up(b, c))
		return -1;
	for (unsigned round = 0; round < ROUNDS; round++) {
		begin = vhu_now_ns();
		if (serve(b, c) != ROUND_REQUESTS)
			return -1;
		ns = (double)(vhu_now_ns() - begin) / ROUND_REQUESTS;
		if (round == 0 || ns < best)
			best = ns;
	}
	vhu_virtqueue_stop(&b->q);
	printf("%-42s %6.1f ns\n", c->name, best);
	return 0;
}

int main(void)
{
	struct bench b = { 0 };
	int err = share_memory(&b);

	for (size_t i = 0; !err && i < ARRAY_SIZE(cases); i++)
		err = run(&b, &cases[i]);
	vhu_memory_unref(b.memory);
	if (err)
		fprintf(stderr, "ring: the queue did not serve what it was given\n");
	return err ? EXIT_FAILURE : EXIT_SUCCESS;
}
