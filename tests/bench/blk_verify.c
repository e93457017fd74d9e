/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/bench/blk_verify.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/num.h"

/* The area is the first part of the image, as far as the requests of a pass reach. */
#define REQUESTS 256
#define AREA_MAX (8ull << 20)
#define HOST_SEED 0x9e3779b97f4a7c15ull
#define CLIENT_SEED 0xc2b2ae3d27d4eb4full

/* Every eight bytes tell where they belong, and who wrote them. */
static uint64_t word_at(uint64_t offset, uint64_t seed)
{
	return (offset + 8) * seed;
}

static void fill(void *data, uint64_t offset, uint64_t len, uint64_t seed)
{
	uint64_t *words = data;

	for (uint64_t i = 0; i < len / 8; i++)
		words[i] = word_at(offset + i * 8, seed);
}

static bool is_filled(const void *data, uint64_t offset, uint64_t len, uint64_t seed)
{
	const uint64_t *words = data;

	for (uint64_t i = 0; i < len / 8; i++)
		if (words[i] != word_at(offset + i * 8, seed))
			return false;
	return true;
}

int verify_prepare(int image_fd, uint64_t image_bytes)
{
	uint64_t len = min_u64(image_bytes, AREA_MAX);
	cleanup_free void *data = malloc(len);
	ssize_t n;

	if (!data)
		return -ENOMEM;
	fill(data, 0, len, HOST_SEED);
	n = pwrite(image_fd, data, len, 0);
	if (n < 0)
		return -errno;
	return (uint64_t)n == len ? 0 : -ENOSPC;
}

static int check_host(int image_fd, uint64_t len)
{
	cleanup_free void *data = malloc(len);
	ssize_t n;

	if (!data)
		return -ENOMEM;
	n = pread(image_fd, data, len, 0);
	if (n < 0)
		return -errno;
	return (uint64_t)n == len && is_filled(data, 0, len, CLIENT_SEED) ? 0 : -EILSEQ;
}

struct pass {
	uint32_t type;
	uint64_t seed;
};

/* A walk of all slots over the area, side by side, with requests of several lengths. */
struct walk {
	const struct pass *pass;
	unsigned n;
	uint64_t offset;
};

static uint32_t next_len(const struct client *client, unsigned n)
{
	const uint32_t lens[] = { client->block_bytes, client->setup.buffer_bytes,
				  client->setup.buffer_bytes / 2 };
	uint32_t len = lens[n % ARRAY_SIZE(lens)];

	return len < client->block_bytes ? client->block_bytes : len - len % client->block_bytes;
}

/* Returns 1, 0 at the end of the walk, or negative errno. */
static int step(struct client *client, struct client_queue *queue, unsigned number,
		struct walk *walk)
{
	struct client_slot *slot = &queue->slots[number];
	uint32_t len = next_len(client, walk->n);
	uint64_t end = min_u64(client->capacity_bytes, AREA_MAX);
	int r;

	if (walk->n == REQUESTS || len > end - walk->offset)
		return 0;
	fill(slot->data.host, walk->offset, len,
	     walk->pass->type == VIRTIO_BLK_T_OUT ? walk->pass->seed : 1);
	r = client_add(queue, number, walk->pass->type, walk->offset, len);
	if (r < 0)
		return r;
	walk->offset += len;
	walk->n++;
	return 1;
}

static int check(const struct client_slot *slot, const struct pass *pass)
{
	if (pass->type == VIRTIO_BLK_T_IN &&
	    !is_filled(slot->data.host, slot->offset, slot->data.len, pass->seed))
		return -EILSEQ;
	return 0;
}

/* What was done is checked, and its slots go on. */
static int turn(struct client *client, struct client_queue *queue, struct walk *walk)
{
	uint16_t slots[CLIENT_DEPTH];
	int n = client_collect(queue, slots), r = 0;

	if (n <= 0)
		return n;
	for (int i = 0; i < n && r >= 0; i++) {
		r = check(&queue->slots[slots[i]], walk->pass);
		if (r == 0)
			r = step(client, queue, slots[i], walk);
	}
	return r < 0 ? r : client_kick(queue);
}

static int begin(struct client *client, struct walk *walk)
{
	int r = 0;

	for (unsigned number = 0; number < client->setup.depth; number++)
		for (unsigned i = 0; i < client->setup.n_queues && r >= 0; i++)
			r = step(client, &client->queues[i], number, walk);
	for (unsigned i = 0; i < client->setup.n_queues && r >= 0; i++)
		r = client_kick(&client->queues[i]);
	return r < 0 ? r : 0;
}

static int walk_over(struct client *client, const struct pass *pass, uint64_t *ret_len)
{
	struct walk walk = { .pass = pass };
	int r = begin(client, &walk);

	while (r == 0 && client_in_flight(client)) {
		r = client_wait(client);
		for (unsigned i = 0; i < client->setup.n_queues && r == 0; i++)
			r = turn(client, &client->queues[i], &walk);
	}
	if (r == 0)
		*ret_len = walk.offset;
	return r;
}

static int flush(struct client *client)
{
	struct client_queue *queue = &client->queues[0];
	uint16_t slots[CLIENT_DEPTH];
	int r = client_add(queue, 0, VIRTIO_BLK_T_FLUSH, 0, 0);

	if (r == 0)
		r = client_kick(queue);
	if (r == 0)
		r = client_wait(client);
	if (r == 0)
		r = client_collect(queue, slots);
	return r < 0 ? r : 0;
}

int verify(struct client *client, int image_fd)
{
	static const struct pass passes[] = {
		{ VIRTIO_BLK_T_IN, HOST_SEED },
		{ VIRTIO_BLK_T_OUT, CLIENT_SEED },
		{ VIRTIO_BLK_T_IN, CLIENT_SEED },
	};
	uint64_t len = 0;
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(passes) && r == 0; i++)
		r = walk_over(client, &passes[i], &len);
	if (r == 0 && client->can_flush)
		r = flush(client);
	return r < 0 ? r : check_host(image_fd, len);
}
