/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * What a request costs in the framework, without a device: nanoseconds for a pop and a push, with a
 * publish and a look for more a batch. One thread plays driver and device by turns, and the clock
 * runs for the device only, so everything is in the cache. Split and packed rings and, for the
 * share of the checks, a device that makes none of them, in turns too: medians of the rounds.
 *
 *	framework [ROUNDS [REQUESTS]]
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/num.h"
#include "common/frontend/driver.h"
#include "common/memory/map.h"
#include "common/ring/virtqueue.h"
#include "tests/bench/framework_bare.h"

#define QUEUE_SIZE 256
#define FILL 64 /* requests at a time: 256 descriptors, without a table */
#define GPA 0x40000000ull
#define MEMORY_BYTES 0x800000ull
#define ROUNDS 301 /* short ones: what else the machine does meets few of them */
#define ROUNDS_MAX 1001
#define ROUND_REQUESTS 4096

#define EVENT_IDX VHU_BIT(VHU_F_RING_EVENT_IDX)
#define INDIRECT VHU_BIT(VHU_F_RING_INDIRECT_DESC)

struct bench_case {
	const char *name;
	unsigned descriptors; /* all but the last are readable */
	unsigned batch;
	uint64_t features;
};

static const struct bench_case cases[] = {
	{ "1 descriptor, batches of 32", 1, 32, EVENT_IDX },
	{ "3 descriptors, batches of 32", 3, 32, EVENT_IDX },
	{ "3, batches of 32, no EVENT_IDX", 3, 32, 0 },
	{ "3, one by one", 3, 1, EVENT_IDX },
	{ "3, one by one, no EVENT_IDX", 3, 1, 0 },
	{ "3 in a table, batches of 32", 3, 32, EVENT_IDX | INDIRECT },
	{ "34 in a table, batches of 32", 34, 32, EVENT_IDX | INDIRECT },
};

/* A ring and who serves it. */
struct lane {
	bool packed, bare;
	struct vhu_driver driver;
	struct vhu_virtqueue queue;
	struct bare device;
	double ns[ROUNDS_MAX];
};

enum { SPLIT, SPLIT_BARE, PACKED, PACKED_BARE, LANES };

struct bench {
	struct vhu_frontend frontend; /* talks to nobody: its guest has the rings */
	struct vhu_memory *memory;
	struct vhu_guest_buffer buffers[BARE_SEGMENTS];
	struct lane lanes[LANES];
	unsigned rounds, requests;
	uint64_t clock_ns; /* what it costs to look at it */
};

static int share_memory(struct bench *b)
{
	struct vhu_guest *guest = &b->frontend.guest;
	struct vhu_memory_region region;
	struct vhu_memory *empty;
	int r = vhu_guest_add(guest, GPA, MEMORY_BYTES);

	if (r < 0)
		return r;
	region = (struct vhu_memory_region){
		.gpa = GPA,
		.size = MEMORY_BYTES,
		.uaddr = guest->regions[0].wire.uaddr,
	};
	r = vhu_memory_new(&empty);
	if (r < 0)
		return r;
	r = vhu_memory_with_table(empty, &region, &guest->regions[0].fd, 1, &b->memory);
	vhu_memory_unref(empty);
	return r;
}

static int open_lane(struct bench *b, struct lane *lane, uint64_t features)
{
	struct vhu_driver *driver = &lane->driver;
	struct vhu_virtqueue_setup setup = {
		.features = features | (lane->packed ? VHU_BIT(VHU_F_RING_PACKED) : 0),
		.size = QUEUE_SIZE,
	};
	int r;

	b->frontend.acked_features = setup.features;
	r = vhu_driver_init(driver, &b->frontend, 0, QUEUE_SIZE);
	if (r < 0)
		return r;
	setup.base = driver->base;
	setup.desc_uaddr = vhu_guest_uaddr(&b->frontend.guest, driver->desc_gpa);
	setup.driver_uaddr = vhu_guest_uaddr(&b->frontend.guest, driver->avail_gpa);
	setup.device_uaddr = vhu_guest_uaddr(&b->frontend.guest, driver->used_gpa);
	bare_init(&lane->device, &setup, b->memory);
	vhu_virtqueue_init(&lane->queue);
	return vhu_virtqueue_start(&lane->queue, &setup, b->memory);
}

static void close_lane(struct lane *lane)
{
	vhu_virtqueue_stop(&lane->queue);
	vhu_driver_finish(&lane->driver);
}

/* As a worker and a device do it; what it serves is there already. */
static unsigned serve(struct vhu_virtqueue *q, unsigned batch)
{
	struct vhu_chain *chain;
	unsigned n = 0;

	while ((chain = vhu_virtqueue_pop(q))) {
		vhu_virtqueue_push(q, chain, 1);
		if (++n % batch == 0) {
			vhu_virtqueue_publish(q);
			vhu_virtqueue_enable_kicks(q);
		}
	}
	return n;
}

static unsigned serve_lane(struct lane *lane, unsigned batch)
{
	if (!lane->bare)
		return serve(&lane->queue, batch);
	return lane->packed ? bare_serve_packed(&lane->device, batch)
			    : bare_serve_split(&lane->device, batch);
}

/* A full ring, served, and taken back. Returns nanoseconds; 0: something went wrong. */
static uint64_t serve_fill(struct bench *b, struct lane *lane, const struct bench_case *c)
{
	struct vhu_driver_used used;
	uint64_t ns;
	unsigned n;

	for (unsigned i = 0; i < FILL; i++)
		if (vhu_driver_add(&lane->driver, b->buffers, c->descriptors - 1, 1, i) < 0)
			return 0;
	vhu_driver_publish(&lane->driver);
	vhu_driver_want_call(&lane->driver);
	ns = vhu_now_ns();
	n = serve_lane(lane, c->batch);
	ns = vhu_now_ns() - ns;
	if (n != FILL)
		return 0;
	for (unsigned i = 0; i < FILL; i++)
		if (vhu_driver_get(&lane->driver, &used) != 1 || used.token != i || used.len != 1)
			return 0;
	return max_u64(ns, b->clock_ns + 1) - b->clock_ns;
}

static int run_round(struct bench *b, struct lane *lane, const struct bench_case *c,
		     unsigned round)
{
	uint64_t total_ns = 0, ns;
	unsigned n;

	for (n = 0; n < b->requests; n += FILL) {
		ns = serve_fill(b, lane, c);
		if (!ns)
			return -EPROTO;
		total_ns += ns;
	}
	lane->ns[round] = (double)total_ns / n;
	return 0;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(const struct bench *b, unsigned lane)
{
	double sorted[ROUNDS_MAX];

	memcpy(sorted, b->lanes[lane].ns, b->rounds * sizeof(*sorted));
	qsort(sorted, b->rounds, sizeof(*sorted), compare);
	return sorted[b->rounds / 2];
}

static void report(const struct bench *b, const struct bench_case *c)
{
	double split = median(b, SPLIT), packed = median(b, PACKED);

	printf("%-32s %7.1f %6.0f %%  %7.1f %6.0f %%  %10.2f\n", c->name, split,
	       100 * (1 - median(b, SPLIT_BARE) / split), packed,
	       100 * (1 - median(b, PACKED_BARE) / packed), packed / split);
	fflush(stdout);
}

static int run_case(struct bench *b, const struct bench_case *c)
{
	unsigned lanes = 0, round, i;
	int r = 0;

	b->frontend.guest.regions[0].used_bytes = 0;
	for (i = 0; i < c->descriptors; i++) {
		b->buffers[i] = vhu_guest_alloc(&b->frontend.guest, 64, 64);
		vhu_guest_alloc(&b->frontend.guest, 64, 64); /* so that no two touch */
	}
	for (; r == 0 && lanes < LANES; lanes++)
		r = open_lane(b, &b->lanes[lanes], c->features);
	for (round = 0; r == 0 && round < b->rounds; round++)
		for (i = 0; r == 0 && i < LANES; i++)
			r = run_round(b, &b->lanes[i], c, round);
	while (lanes)
		close_lane(&b->lanes[--lanes]);
	if (r == 0)
		report(b, c);
	return r;
}

static uint64_t clock_cost(void)
{
	uint64_t least = UINT64_MAX;

	for (unsigned i = 0; i < 1000; i++) {
		uint64_t ns = vhu_now_ns();

		ns = vhu_now_ns() - ns;
		least = min_u64(least, ns);
	}
	return least;
}

int main(int argc, char **argv)
{
	static struct bench b = {
		.rounds = ROUNDS,
		.requests = ROUND_REQUESTS,
		.lanes = {
			[SPLIT_BARE] = { .bare = true },
			[PACKED] = { .packed = true },
			[PACKED_BARE] = { .packed = true, .bare = true },
		},
	};
	int r;

	if (argc > 1)
		b.rounds = (unsigned)min_u64(max_u64(strtoul(argv[1], NULL, 0), 1), ROUNDS_MAX);
	if (argc > 2)
		b.requests = (unsigned)min_u64(strtoul(argv[2], NULL, 0), 1u << 30);
	vhu_frontend_init(&b.frontend);
	b.clock_ns = clock_cost();
	r = share_memory(&b);
	printf("ns a request, median of %u          split  checks    packed  checks  "
	       "packed/split\n", b.rounds);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(cases); i++)
		r = run_case(&b, &cases[i]);
	vhu_memory_unref(b.memory);
	vhu_frontend_finish(&b.frontend);
	if (r < 0)
		fprintf(stderr, "framework: %s\n", strerror(-r));
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
