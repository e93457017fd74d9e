/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/bench/blk_load.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "common/base/cleanup.h"
#include "common/base/fd.h"
#include "common/base/num.h"
#include "tests/bench/blk_verify.h"

#define BLOCK_MAX (1u << 20)
#define CONNECT_NS (5 * NS_PER_SEC)
#define CONNECT_TRY_MS 50

/* Latencies by powers of two, each in so many parts: 3 % of a value. */
#define PARTS 32
#define PARTS_LOG2 5
#define BUCKETS (64 * PARTS)

static const struct {
	const char *name;
	bool random, writes;
} directions[] = {
	{ "randread", true, false },
	{ "randwrite", true, true },
	{ "read", false, false },
	{ "write", false, true },
};

/* Takes the field up to the next colon, or the end, out of *text. */
static bool next_field(char **text, char **ret_field)
{
	*ret_field = strsep(text, ":");
	return *ret_field && **ret_field;
}

static bool parse_direction(const char *name, struct workload *workload)
{
	for (size_t i = 0; i < ARRAY_SIZE(directions); i++) {
		if (strcmp(directions[i].name, name))
			continue;
		workload->random = directions[i].random;
		workload->writes = directions[i].writes;
		return true;
	}
	return false;
}

static bool parse_numbers(char *fields[], struct workload *workload)
{
	uint64_t bytes, depth, n_queues;

	if (vhu_parse_size(fields[0], &bytes) || bytes < 512 || bytes > BLOCK_MAX || bytes % 512 ||
	    vhu_parse_u64(fields[1], 1, CLIENT_DEPTH, &depth) ||
	    vhu_parse_u64(fields[2], 1, CLIENT_QUEUES, &n_queues))
		return false;
	workload->block_bytes = (uint32_t)bytes;
	workload->depth = (unsigned)depth;
	workload->n_queues = (unsigned)n_queues;
	return true;
}

int workload_parse(const char *text, size_t len, struct workload *ret_workload)
{
	struct workload workload = { 0 };
	char copy[sizeof(workload.text)], *rest = copy, *fields[5];

	if (len >= sizeof(copy))
		return -EINVAL;
	memcpy(copy, text, len);
	copy[len] = '\0';
	strcpy(workload.text, copy);
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		if (!next_field(&rest, &fields[i]))
			return -EINVAL;
	workload.polls = !strcmp(fields[4], "poll");
	if (rest || !parse_direction(fields[0], &workload) ||
	    !parse_numbers(&fields[1], &workload) ||
	    (!workload.polls && strcmp(fields[4], "sleep") != 0))
		return -EINVAL;
	*ret_workload = workload;
	return 0;
}

int load_prepare(const struct load_setup *setup)
{
	struct stat st;

	if (fstat(setup->image_fd, &st) < 0)
		return -errno;
	return verify_prepare(setup->image_fd, (uint64_t)st.st_size);
}

struct snapshot {
	uint64_t now_ns, backend_ns, client_ns;
};

struct load {
	const struct load_setup *setup;
	struct client client;
	uint64_t n_blocks;
	uint64_t random;
	uint64_t now_ns; /* when requests were last seen done */
	uint64_t n_done;
	bool ends; /* what is done is not followed by another request */
	uint64_t histogram[BUCKETS];
};

static unsigned bucket_of(uint64_t ns)
{
	unsigned exponent;

	if (ns < PARTS)
		return (unsigned)ns;
	exponent = 63 - (unsigned)__builtin_clzll(ns);
	return (exponent - PARTS_LOG2 + 1) * PARTS +
	       (unsigned)(ns >> (exponent - PARTS_LOG2)) % PARTS;
}

/* The middle of the bucket. */
static double bucket_us(unsigned bucket)
{
	unsigned shift = bucket / PARTS - 1;

	if (bucket < PARTS)
		return bucket / 1e3;
	return (double)((2 * (bucket % PARTS + PARTS) + 1ull) << shift) / 2e3;
}

/* The latency that so many of a thousand requests did not exceed. */
static double quantile_us(const struct load *load, unsigned permille)
{
	uint64_t wanted = load->n_done * permille / 1000, seen = 0;

	for (unsigned i = 0; i < BUCKETS; i++) {
		seen += load->histogram[i];
		if (seen > wanted)
			return bucket_us(i);
	}
	return 0;
}

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec time;

	clock_gettime(clock, &time);
	return (uint64_t)time.tv_sec * NS_PER_SEC + (uint64_t)time.tv_nsec;
}

static struct snapshot take_snapshot(const struct load *load)
{
	return (struct snapshot){
		.now_ns = vhu_now_ns(),
		.backend_ns = process_cpu_ns(load->setup->process),
		.client_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID),
	};
}

/* xorshift64: the same order of offsets for every back-end. */
static uint64_t next_random(struct load *load)
{
	load->random ^= load->random << 13;
	load->random ^= load->random >> 7;
	load->random ^= load->random << 17;
	return load->random;
}

static int submit(struct load *load, struct client_queue *queue, unsigned slot)
{
	const struct workload *workload = load->setup->workload;
	uint64_t block = workload->random ? next_random(load) >> 8 : queue->next_block++;

	queue->slots[slot].begin_ns = load->now_ns;
	return client_add(queue, slot, workload->writes ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN,
			  block % load->n_blocks * workload->block_bytes, workload->block_bytes);
}

/*
 * What is done on a queue, and as much again. The clock is read once a batch: what is added now
 * begins when the last was done, a fraction of a microsecond before its kick.
 */
static int turn(struct load *load, struct client_queue *queue)
{
	uint16_t slots[CLIENT_DEPTH];
	int n = client_collect(queue, slots), r = 0;

	if (n <= 0)
		return n;
	load->now_ns = vhu_now_ns();
	load->n_done += (uint64_t)n;
	for (int i = 0; i < n; i++)
		load->histogram[bucket_of(load->now_ns - queue->slots[slots[i]].begin_ns)]++;
	for (int i = 0; i < n && r == 0 && !load->ends; i++)
		r = submit(load, queue, slots[i]);
	if (r == 0 && !load->ends)
		r = client_kick(queue);
	return r < 0 ? r : n;
}

static int turn_all(struct load *load)
{
	int n = 0, r = 0;

	for (unsigned i = 0; i < load->client.setup.n_queues && r >= 0; i++) {
		r = turn(load, &load->client.queues[i]);
		n += r;
	}
	if (r < 0)
		return r;
	return n ? 0 : client_wait(&load->client);
}

static int run_until(struct load *load, uint64_t end_ns)
{
	int r = 0;

	load->n_done = 0;
	memset(load->histogram, 0, sizeof(load->histogram));
	while (r == 0 && load->now_ns < end_ns)
		r = *load->setup->interrupted ? -EINTR : turn_all(load);
	return r;
}

static int begin(struct load *load)
{
	struct client *client = &load->client;
	unsigned n_queues = client->setup.n_queues;
	int r = 0;

	load->random = 0x2545f4914f6cdd1dull;
	load->n_blocks = client->capacity_bytes / load->setup->workload->block_bytes;
	load->now_ns = vhu_now_ns();
	for (unsigned i = 0; i < n_queues && r == 0; i++) {
		struct client_queue *queue = &client->queues[i];

		queue->next_block = load->n_blocks / n_queues * i;
		for (unsigned slot = 0; slot < client->setup.depth && r == 0; slot++)
			r = submit(load, queue, slot);
		if (r == 0)
			r = client_kick(queue);
	}
	return r;
}

static void compute(const struct load *load, const struct snapshot *from, const struct snapshot *to,
		    struct figures *ret_figures)
{
	double n = (double)load->n_done, ns = (double)(to->now_ns - from->now_ns);
	double backend_ns = (double)(to->backend_ns - from->backend_ns);

	*ret_figures = (struct figures){
		.iops = n / ns * 1e9,
		.p50_us = quantile_us(load, 500),
		.p99_us = quantile_us(load, 990),
		.cpu_us = backend_ns / n / 1e3,
		.backend_cpus = backend_ns / ns,
		.client_cpus = (double)(to->client_ns - from->client_ns) / ns,
	};
}

static int measure(struct load *load, struct figures *ret_figures)
{
	struct snapshot from, to;
	int r = begin(load);

	if (r == 0)
		r = run_until(load, load->now_ns + load->setup->warm_up_ns);
	if (r < 0)
		return r;
	from = take_snapshot(load);
	r = run_until(load, from.now_ns + load->setup->measure_ns);
	if (r < 0)
		return r;
	to = take_snapshot(load);
	/* The loop ends on a request, so there is one. */
	compute(load, &from, &to, ret_figures);
	load->ends = true;
	while (r == 0 && client_in_flight(&load->client))
		r = turn_all(load);
	return r;
}

/* The socket may not be there yet; a back-end that has ended will never make it. */
static int connect_to(struct load *load)
{
	uint64_t deadline_ns = vhu_now_ns() + CONNECT_NS;
	int r;

	do {
		r = client_connect(&load->client, CONNECT_TRY_MS);
	} while (r < 0 && process_lives(load->setup->process) && !*load->setup->interrupted &&
		 vhu_now_ns() < deadline_ns);
	return r;
}

static const char *why(int error)
{
	static const struct {
		int error;
		const char *why;
	} reasons[] = {
		{ -ETIMEDOUT, "did not answer in time" },
		{ -ECONNRESET, "closed the connection" },
		{ -EREMOTEIO, "refused a request of the protocol" },
		{ -EPROTO, "answered out of turn" },
		{ -EIO, "found a ring broken" },
		{ -EBADMSG, "failed a request" },
		{ -EILSEQ, "read or wrote wrong data" },
		{ -ENODEV, "has too few queues" },
		{ -EDOM, "has no disk that fits the workload" },
		{ -EINTR, "was interrupted" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(reasons); i++)
		if (reasons[i].error == error)
			return reasons[i].why;
	return strerror(-error);
}

int load_run(const struct load_setup *setup, struct figures *ret_figures, const char **ret_why)
{
	const struct client_setup client_setup = {
		.socket = setup->socket,
		.n_queues = setup->workload->n_queues,
		.depth = setup->workload->depth,
		.buffer_bytes = setup->workload->block_bytes,
		.polls = setup->workload->polls,
		.interrupted = setup->interrupted,
	};
	struct load *load = calloc(1, sizeof(*load));
	struct figures figures;
	int r;

	*ret_why = why(-ENOMEM);
	if (!load)
		return -ENOMEM;
	load->setup = setup;
	client_init(&load->client, &client_setup);
	r = connect_to(load);
	if (r < 0) {
		*ret_why = "did not listen";
	} else {
		r = client_open(&load->client);
		if (r == 0)
			r = verify(&load->client, setup->image_fd);
		if (r == 0)
			r = measure(load, &figures);
		if (r == 0)
			r = client_stop(&load->client);
		*ret_why = why(r);
	}
	client_finish(&load->client);
	free(load);
	if (r == 0)
		*ret_figures = figures;
	return r;
}
