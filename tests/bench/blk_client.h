/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_TESTS_BENCH_BLK_CLIENT_H
#define VHU_TESTS_BENCH_BLK_CLIENT_H

/*
 * A virtio-blk driver for load: on each queue a fixed number of slots, and a slot is a request with
 * its own buffer. One thread, whatever the number of queues. Calls return 0 or negative errno:
 * besides those of frontend.h -EIO (the back-end signalled an err fd), -EBADMSG (a request failed),
 * -EINTR (*interrupted became true), and of open -ENODEV (fewer queues than wanted) and -EDOM (its
 * blocks are no part of the buffers).
 */

#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include <linux/virtio_blk.h>

#include "common/frontend/driver.h"
#include "common/frontend/frontend.h"

#define CLIENT_QUEUES 16
#define CLIENT_DEPTH 256

struct client_setup {
	const char *socket;
	unsigned n_queues, depth;
	uint32_t buffer_bytes; /* of a slot */
	bool polls;	       /* looks for what is used, instead of sleeping until called */
	const volatile sig_atomic_t *interrupted;
};

struct client_slot {
	struct vhu_guest_buffer header, status;
	struct vhu_guest_buffer data; /* len is that of the last request */
	uint64_t offset;	      /* likewise */
	uint64_t begin_ns;	      /* the caller's */
};

struct client_queue {
	struct vhu_driver driver;
	struct client_slot *slots;
	unsigned n_in_flight; /* added and not yet collected */
	uint64_t next_block;  /* the caller's */
};

struct client {
	struct client_setup setup;
	struct vhu_frontend frontend;
	struct client_queue queues[CLIENT_QUEUES];
	struct pollfd pollfds[2 * CLIENT_QUEUES + 1];
	uint64_t capacity_bytes;
	uint32_t block_bytes; /* logical */
	bool can_flush;
};

void client_init(struct client *client, const struct client_setup *setup);
/* Until the queues run; tries for timeout_ms to connect. */
int client_connect(struct client *client, int timeout_ms);
int client_open(struct client *client);
/* Stops the queues, which must be empty. */
int client_stop(struct client *client);
void client_finish(struct client *client);

/* Adds a request of the slot's, VIRTIO_BLK_T_IN, OUT or FLUSH; unseen until the kick. */
int client_add(struct client_queue *queue, unsigned slot, uint32_t type, uint64_t offset,
	       uint32_t len);
int client_kick(struct client_queue *queue);
/* The slots whose requests have been done since: their number, or negative errno. */
int client_collect(struct client_queue *queue, uint16_t ret_slots[CLIENT_DEPTH]);
unsigned client_in_flight(const struct client *client);
/* Until there is something to collect on any queue. */
int client_wait(struct client *client);

#endif
