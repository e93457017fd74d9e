/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/bench/blk_client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fd.h"
#include "common/base/num.h"

#define TIMEOUT_MS 5000
#define MEMORY_ALIGN 0x200000ull
#define PAGE_BYTES 4096
/* Header and status of a request lie together, as in a guest's driver. */
#define REQUEST_BYTES 64
#define STATUS_AT 32
/* What a status is before the back-end has written it. */
#define NO_STATUS 0xff
/* Looks at the rings between two at the clock, and how long a busy wait may miss anything else. */
#define SPINS 1024
#define SPIN_NS (10 * NS_PER_MS)

void client_init(struct client *client, const struct client_setup *setup)
{
	memset(client, 0, sizeof(*client));
	client->setup = *setup;
	vhu_frontend_init(&client->frontend);
}

void client_finish(struct client *client)
{
	for (unsigned i = 0; i < client->setup.n_queues; i++) {
		vhu_driver_finish(&client->queues[i].driver);
		free(client->queues[i].slots);
	}
	vhu_frontend_finish(&client->frontend);
}

int client_connect(struct client *client, int timeout_ms)
{
	int r;

	client->frontend.timeout_ms = timeout_ms;
	r = vhu_frontend_connect(&client->frontend, client->setup.socket);
	client->frontend.timeout_ms = TIMEOUT_MS;
	return r;
}

/* Room for three descriptors a request, should the back-end not know indirect tables. */
static uint16_t ring_size(const struct client *client)
{
	uint16_t size = 128;

	while (size < 3 * client->setup.depth)
		size = (uint16_t)(2 * size);
	return size;
}

static uint64_t align_up(uint64_t n, uint64_t align)
{
	return (n + align - 1) & ~(align - 1);
}

static int add_memory(struct client *client)
{
	const struct client_setup *setup = &client->setup;
	uint64_t ring = ring_size(client) * (VHU_DRIVER_TABLE + 2) * sizeof(struct vring_desc);
	uint64_t slot = setup->buffer_bytes + REQUEST_BYTES;
	uint64_t queue = ring + setup->depth * slot + 4 * PAGE_BYTES;
	int r = vhu_guest_add(&client->frontend.guest, 0,
			      align_up(setup->n_queues * queue, MEMORY_ALIGN));

	return r < 0 ? r : 0;
}

static struct vhu_guest_buffer part_of(const struct vhu_guest_buffer *whole, uint32_t offset,
				       uint32_t len)
{
	return (struct vhu_guest_buffer){ whole->gpa + offset, len, (char *)whole->host + offset };
}

static int add_slots(struct client *client, struct client_queue *queue)
{
	struct vhu_guest *guest = &client->frontend.guest;
	uint32_t depth = client->setup.depth, bytes = client->setup.buffer_bytes;
	struct vhu_guest_buffer requests, data;

	requests = vhu_guest_alloc(guest, depth * REQUEST_BYTES, PAGE_BYTES);
	data = vhu_guest_alloc(guest, depth * bytes, PAGE_BYTES);
	queue->slots = calloc(depth, sizeof(*queue->slots));
	if (!requests.host || !data.host || !queue->slots)
		return -ENOMEM;
	for (uint32_t i = 0; i < depth; i++) {
		struct client_slot *slot = &queue->slots[i];
		uint32_t at = i * REQUEST_BYTES;

		slot->header = part_of(&requests, at, sizeof(struct virtio_blk_outhdr));
		slot->data = part_of(&data, i * bytes, bytes);
		slot->status = part_of(&requests, at + STATUS_AT, 1);
	}
	memset(data.host, 0x5a, data.len);
	return 0;
}

static int read_config(struct client *client)
{
	struct vhu_frontend *frontend = &client->frontend;
	struct virtio_blk_config config;
	/* Up to blk_size, which every back-end has. */
	int r = vhu_frontend_get_config(frontend, 0, &config,
					offsetof(struct virtio_blk_config, physical_block_exp));

	if (r < 0)
		return r;
	client->capacity_bytes = le64toh(config.capacity) * 512;
	client->block_bytes = 512;
	if (frontend->acked_features & VHU_BIT(VIRTIO_BLK_F_BLK_SIZE))
		client->block_bytes = le32toh(config.blk_size);
	client->can_flush = frontend->acked_features & VHU_BIT(VIRTIO_BLK_F_FLUSH);
	if (!is_pow2(client->block_bytes) || client->setup.buffer_bytes % client->block_bytes != 0)
		return -EDOM;
	return client->capacity_bytes >= client->setup.buffer_bytes ? 0 : -EDOM;
}

static int start_queue(struct client *client, unsigned index)
{
	struct client_queue *queue = &client->queues[index];
	struct pollfd *pollfds = &client->pollfds[2 * index];
	int r = vhu_driver_init(&queue->driver, &client->frontend, index, ring_size(client));

	if (r == 0)
		r = add_slots(client, queue);
	if (r == 0)
		r = vhu_driver_start(&queue->driver);
	if (r < 0)
		return r;
	vhu_driver_refuse_calls(&queue->driver);
	pollfds[0] = (struct pollfd){ .fd = queue->driver.call_fd, .events = POLLIN };
	pollfds[1] = (struct pollfd){ .fd = queue->driver.err_fd, .events = POLLIN };
	return 0;
}

int client_open(struct client *client)
{
	struct vhu_frontend *frontend = &client->frontend;
	unsigned n_queues = client->setup.n_queues;
	int r = vhu_frontend_negotiate(frontend, VHU_FRONTEND_FEATURES,
				       VHU_FRONTEND_PROTOCOL_FEATURES);

	if (r == 0 && n_queues > max_u64(frontend->n_queues, 1))
		r = -ENODEV;
	if (r == 0)
		r = read_config(client);
	if (r == 0)
		r = add_memory(client);
	if (r == 0)
		r = vhu_frontend_share_memory(frontend);
	for (unsigned i = 0; i < n_queues && r == 0; i++)
		r = start_queue(client, i);
	client->pollfds[2 * n_queues] = (struct pollfd){ .fd = frontend->fd, .events = POLLRDHUP };
	return r;
}

int client_stop(struct client *client)
{
	int r = 0;

	for (unsigned i = 0; i < client->setup.n_queues && r == 0; i++) {
		struct vhu_driver *driver = &client->queues[i].driver;

		r = vhu_driver_stop(driver);
		if (r == 0 && driver->base != vhu_driver_idle_base(driver))
			r = -EPROTO;
	}
	return r;
}

int client_add(struct client_queue *queue, unsigned number, uint32_t type, uint64_t offset,
	       uint32_t len)
{
	struct client_slot *slot = &queue->slots[number];
	struct virtio_blk_outhdr *header = slot->header.host;
	struct vhu_guest_buffer buffers[3] = { slot->header };
	unsigned n = 1, n_readable;
	int r;

	slot->data.len = len;
	slot->offset = offset;
	header->type = htole32(type);
	header->ioprio = 0;
	header->sector = htole64(offset / 512);
	*(uint8_t *)slot->status.host = NO_STATUS;
	if (len)
		buffers[n++] = slot->data;
	n_readable = type == VIRTIO_BLK_T_IN ? 1 : n;
	buffers[n++] = slot->status;
	r = vhu_driver_add(&queue->driver, buffers, n_readable, n - n_readable, number);
	if (r < 0)
		return r;
	queue->n_in_flight++;
	return 0;
}

int client_kick(struct client_queue *queue)
{
	int r = vhu_driver_kick(&queue->driver);

	return r < 0 ? r : 0;
}

int client_collect(struct client_queue *queue, uint16_t ret_slots[CLIENT_DEPTH])
{
	struct vhu_driver_used used;
	int n = 0, r;

	while ((r = vhu_driver_get(&queue->driver, &used)) > 0) {
		const uint8_t *status = queue->slots[used.token].status.host;

		if (*status != VIRTIO_BLK_S_OK)
			return -EBADMSG;
		ret_slots[n++] = (uint16_t)used.token;
	}
	if (r < 0)
		return r;
	queue->n_in_flight -= (unsigned)n;
	return n;
}

unsigned client_in_flight(const struct client *client)
{
	unsigned n = 0;

	for (unsigned i = 0; i < client->setup.n_queues; i++)
		n += client->queues[i].n_in_flight;
	return n;
}

static bool any_used(const struct client *client)
{
	for (unsigned i = 0; i < client->setup.n_queues; i++)
		if (vhu_driver_has_used(&client->queues[i].driver))
			return true;
	return false;
}

static void spin(const struct client *client, uint64_t until_ns)
{
	do {
		for (unsigned i = 0; i < SPINS; i++) {
			if (any_used(client))
				return;
#if defined(__x86_64__) || defined(__i386__)
			__builtin_ia32_pause();
#endif
		}
	} while (vhu_now_ns() < until_ns);
}

/* Asks for calls; true when there is something already. */
static bool want_calls(struct client *client)
{
	bool any = false;

	for (unsigned i = 0; i < client->setup.n_queues; i++)
		any |= vhu_driver_want_call(&client->queues[i].driver);
	return any;
}

/* Up to timeout_ns for a call, or for what says that there will be none. */
static int sleep_for_calls(struct client *client, uint64_t timeout_ns)
{
	struct timespec timeout = {
		.tv_sec = (time_t)(timeout_ns / NS_PER_SEC),
		.tv_nsec = (long)(timeout_ns % NS_PER_SEC),
	};
	unsigned n = client->setup.n_queues;
	uint64_t count;
	int r = ppoll(client->pollfds, 2 * n + 1, &timeout, NULL);

	if (r < 0)
		return errno == EINTR ? 0 : -errno;
	for (unsigned i = 0; i < n; i++)
		vhu_driver_refuse_calls(&client->queues[i].driver);
	for (unsigned i = 0; i < n && r > 0; i++) {
		if (client->pollfds[2 * i + 1].revents)
			return -EIO;
		if (client->pollfds[2 * i].revents &&
		    read(client->pollfds[2 * i].fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
			return -errno;
	}
	return client->pollfds[2 * n].revents ? -ECONNRESET : 0;
}

int client_wait(struct client *client)
{
	uint64_t now_ns = vhu_now_ns(), deadline_ns = now_ns + TIMEOUT_MS * NS_PER_MS;
	int r = 0;

	while (!any_used(client) && r == 0) {
		if (*client->setup.interrupted)
			return -EINTR;
		if (now_ns >= deadline_ns)
			return -ETIMEDOUT;
		if (client->setup.polls) {
			spin(client, now_ns + SPIN_NS);
			r = any_used(client) ? 0 : sleep_for_calls(client, 0);
		} else if (!want_calls(client)) {
			r = sleep_for_calls(client, deadline_ns - now_ns);
		}
		now_ns = vhu_now_ns();
	}
	return r;
}
