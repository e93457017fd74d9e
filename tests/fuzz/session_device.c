/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/fuzz/session_device.h"

#include <unistd.h>

#include "common/backend/vring.h"
#include "common/base/num.h"
#include "tests/fuzz/input.h"

#define QUEUE_SIZE_MAX 64
#define CONFIG_BYTES 16

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

static int handle_event(struct vhu_device *device, unsigned event_id, uint32_t epoll_events,
			unsigned worker_idx)
{
	struct vhu_vring *vring = vhu_device_vring(device, event_id);
	struct vhu_chain *chain;

	(void)epoll_events;
	expect(worker_idx == event_id);
	while ((chain = vhu_vring_pop(vring))) {
		struct vhu_iov_cursor reader, writer;
		char buf[256];
		size_t n;

		vhu_chain_reader(chain, &reader);
		vhu_chain_writer(chain, &writer);
		n = vhu_iov_write(&writer, buf, vhu_iov_read(&reader, buf, sizeof(buf)));
		vhu_vring_push(vring, chain, (uint32_t)n);
	}
	return 0;
}

const struct vhu_device_ops fuzz_device_ops = {
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
};
