/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A whole device: an entropy source (virtio 1.3, 5.4). It has one queue and no config space; a
 * request is a buffer that the driver wants to have filled with random bytes.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include "common/backend/vring.h"
#include "common/base/num.h"
#include "common/serve/program.h"

/* Of one request: the device may use less than the whole buffer (virtio 1.3, 5.4.6.2). */
#define REQUEST_BYTES 65536

static unsigned rng_num_queues(struct vhu_device *device)
{
	(void)device;
	return 1;
}

static unsigned rng_max_queue_size(struct vhu_device *device)
{
	(void)device;
	return 1024;
}

static uint64_t rng_features(struct vhu_device *device)
{
	(void)device;
	return 0; /* the type has none; the framework adds those of the rings */
}

static int fill(const struct iovec *iov, unsigned n) /* returns bytes; -EFAULT: no such memory */
{
	unsigned written = 0, wanted;

	for (; n && written < REQUEST_BYTES; n--, iov++, written += wanted) {
		wanted = (unsigned)min_u64(iov->iov_len, REQUEST_BYTES - written);
		if (getrandom(iov->iov_base, wanted, 0) != (ssize_t)wanted)
			return -EFAULT;
	}
	return (int)written;
}

/* Ring event_id has requests. The framework tells the driver what was pushed. */
static int rng_handle_event(struct vhu_device *device, unsigned event_id, uint32_t epoll_events,
			    unsigned worker_idx)
{
	struct vhu_vring *vring = vhu_device_vring(device, event_id);
	struct vhu_chain *chain;
	int r = 0;

	(void)epoll_events, (void)worker_idx;
	while (r >= 0 && (chain = vhu_vring_pop(vring))) {
		r = fill(vhu_chain_writable(chain), chain->n_writable);
		vhu_vring_push(vring, chain, r < 0 ? 0 : (uint32_t)r);
	}
	return r < 0 ? r : 0;
}

static void rng_destroy(struct vhu_device *device)
{
	free(device);
}

static const struct vhu_device_ops rng_ops = {
	.name = "rng",
	.completes_in_order = true,
	.num_queues = rng_num_queues,
	.max_queue_size = rng_max_queue_size,
	.features = rng_features,
	.handle_event = rng_handle_event,
	.destroy = rng_destroy,
};

/* A device that has more to remember embeds struct vhu_device in a struct of its own. */
static int rng_make(const void *options, struct vhu_device **ret_device)
{
	struct vhu_device *device = calloc(1, sizeof(*device));
	int r = device ? vhu_device_init(device, &rng_ops) : -ENOMEM;

	(void)options;
	if (r < 0)
		free(device);
	else
		*ret_device = device;
	return r;
}

int main(int argc, char **argv)
{
	static const struct vhu_program program = { .name = "rng", .type = "rng", .make = rng_make,
						    .summary = "Serves random bytes to a guest.",
						    .example = "--socket-path PATH",
						    .qemu_device = "vhost-user-rng-pci" };

	return vhu_program_main(&program, argc, argv);
}
