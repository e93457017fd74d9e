/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/fuzz/session_device.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/backend/vring.h"
#include "common/backend/worker.h"
#include "common/base/cleanup.h"
#include "common/base/fd.h"
#include "common/base/num.h"
#include "tests/fuzz/input.h"

#define QUEUE_SIZE_MAX 64
#define CONFIG_BYTES 16
#define DRAIN_EVENT (N_QUEUES + 1)

int memory_fd = -1;

static unsigned num_queues(struct vhu_device *device)
{
	(void)device;
	return N_QUEUES;
}

static unsigned max_queue_size(struct vhu_device *device)
{
	(void)device;
	return QUEUE_SIZE_MAX;
}

static uint64_t features(struct vhu_device *device)
{
	(void)device;
	return 1;
}

static unsigned queues_per_thread(struct vhu_device *device, uint64_t masks[VHU_MAX_WORKERS])
{
	(void)device;
	for (unsigned i = 0; i < N_QUEUES; i++)
		masks[i] = 1ull << i;
	return N_QUEUES;
}

static int get_config(struct vhu_device *device, uint32_t offset, uint32_t size, uint8_t *buf)
{
	(void)device;
	expect(range_fits(offset, size, VHU_CONFIG_MAX));
	memset(buf, 1, offset < CONFIG_BYTES ? min_u64(size, CONFIG_BYTES - offset) : 0);
	return 0;
}

static int set_config(struct vhu_device *device, uint32_t offset, uint32_t size,
		      const uint8_t *buf, uint32_t flags)
{
	(void)device;
	(void)buf;
	(void)flags;
	expect(range_fits(offset, size, VHU_CONFIG_MAX));
	return offset + size <= CONFIG_BYTES ? 0 : -1;
}

static int get_shared_object(struct vhu_device *device, const uint8_t uuid[16], int *ret_fd)
{
	(void)device;
	if (uuid[0] & 1)
		return -1;
	*ret_fd = dup(memory_fd);
	return 0;
}

static int set_gpu_socket(struct vhu_device *device, int fd)
{
	(void)device;
	close(fd);
	return 0;
}

static int save(struct vhu_device *device, void **ret_bytes, size_t *ret_len)
{
	(void)device;
	*ret_bytes = calloc(1, STATE_BYTES);
	*ret_len = STATE_BYTES;
	return *ret_bytes ? 0 : -1;
}

static int load(struct vhu_device *device, uint32_t version, const void *bytes, size_t len)
{
	(void)device;
	expect(version <= 1);
	return len == STATE_BYTES && memchr(bytes, 0, len) ? 0 : -1;
}

static void get_shmem_config(struct vhu_device *device, uint64_t sizes[VHU_SHMEM_MAX])
{
	(void)device;
	sizes[1] = MEMORY_BYTES;
}

static struct fuzz_device *fuzz_device(struct vhu_device *device)
{
	return container_of(device, struct fuzz_device, device);
}

static void finish(struct vhu_vring *vring, struct vhu_chain *chain)
{
	struct vhu_iov_cursor reader, writer;
	char buf[256];
	size_t n;

	vhu_chain_reader(chain, &reader);
	vhu_chain_writer(chain, &writer);
	n = vhu_iov_write(&writer, buf, vhu_iov_read(&reader, buf, sizeof(buf)));
	vhu_vring_push(vring, chain, (uint32_t)n);
}

static void finish_held(struct fuzz_device *fuzz, unsigned queue)
{
	struct vhu_chain *chain = steal_ptr(&fuzz->held[queue]);

	if (chain)
		finish(vhu_device_vring(&fuzz->device, queue), chain);
}

static int handle_event(struct vhu_device *device, unsigned event_id, uint32_t epoll_events,
			unsigned worker_idx)
{
	struct fuzz_device *fuzz = fuzz_device(device);
	struct vhu_vring *vring = vhu_device_vring(device, worker_idx);
	struct vhu_chain *chain;

	(void)epoll_events;
	expect(event_id == worker_idx || event_id == DRAIN_EVENT);
	if (event_id == DRAIN_EVENT)
		vhu_fd_drain(fuzz->drain_fds[worker_idx]);
	finish_held(fuzz, worker_idx);
	while (event_id != DRAIN_EVENT && (chain = vhu_vring_pop(vring))) {
		if (chain->head & 1 && !fuzz->held[worker_idx])
			fuzz->held[worker_idx] = chain;
		else
			finish(vring, chain);
	}
	vhu_vring_notify(vring);
	return 0;
}

/* What is held is done at once, left, or done when the worker comes to it. */
static void drain(struct vhu_device *device, unsigned queue, enum vhu_drain_reason reason)
{
	struct fuzz_device *fuzz = fuzz_device(device);
	struct vhu_chain *chain = fuzz->held[queue];

	if (chain && chain->head & 2)
		expect(eventfd_write(fuzz->drain_fds[queue], 1) == 0);
	else if (chain && reason == VHU_DRAIN_SUSPEND)
		vhu_vring_leave(vhu_device_vring(device, queue), steal_ptr(&fuzz->held[queue]));
	else
		finish_held(fuzz, queue);
}

static void destroy(struct vhu_device *device)
{
	for (unsigned i = 0; i < N_QUEUES; i++) {
		expect(!fuzz_device(device)->held[i]);
		close(fuzz_device(device)->drain_fds[i]);
	}
}

static const struct vhu_device_ops ops = {
	.name = "fuzz",
	.num_queues = num_queues,
	.max_queue_size = max_queue_size,
	.features = features,
	.queues_per_thread = queues_per_thread,
	.get_config = get_config,
	.set_config = set_config,
	.get_shared_object = get_shared_object,
	.set_gpu_socket = set_gpu_socket,
	.handle_event = handle_event,
	.state_version = 1,
	.save = save,
	.load = load,
	.get_shmem_config = get_shmem_config,
	.gives_host_notifiers = true,
	.drain = drain,
	.destroy = destroy,
};

void fuzz_device_init(struct fuzz_device *fuzz)
{
	*fuzz = (struct fuzz_device){ .held = { NULL } };
	expect(vhu_device_init(&fuzz->device, &ops) == 0);
	for (unsigned i = 0; i < N_QUEUES; i++) {
		fuzz->drain_fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		expect(vhu_worker_register_listener(vhu_device_worker(&fuzz->device, i),
						    fuzz->drain_fds[i], EPOLLIN, DRAIN_EVENT) == 0);
	}
}
