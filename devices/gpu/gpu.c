/* SPDX-License-Identifier: BSD-3-Clause */
#include "devices/gpu/gpu.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/backend/worker.h"
#include "common/base/num.h"
#include "common/wire/protocol.h"
#include "devices/gpu/command.h"
#include "devices/gpu/resources.h"

static struct vhu_gpu *gpu_of(struct vhu_device *device)
{
	return container_of(device, struct vhu_gpu, device);
}

static unsigned gpu_num_queues(struct vhu_device *device)
{
	(void)device;
	return VHU_GPU_N_QUEUES;
}

static unsigned gpu_max_queue_size(struct vhu_device *device)
{
	(void)device;
	return VHU_GPU_QUEUE_MAX;
}

static uint64_t gpu_features(struct vhu_device *device)
{
	(void)device;
	return 1u << VIRTIO_GPU_F_EDID | 1u << VIRTIO_GPU_F_RESOURCE_UUID |
	       1u << VIRTIO_GPU_F_RESOURCE_BLOB;
}

static void gpu_acked_features(struct vhu_device *device, uint64_t features)
{
	gpu_of(device)->features = features;
}

/* --- config space (virtio 1.3, 5.7.4) ------------------------------------------------------- */

static int gpu_get_config(struct vhu_device *device, uint32_t offset, uint32_t size, uint8_t *buf)
{
	const struct vhu_gpu *gpu = gpu_of(device);
	const struct virtio_gpu_config config = {
		.events_read = htole32(gpu->events),
		.num_scanouts = htole32((uint32_t)max_u64(gpu->options->n_outputs, 1)),
	};

	if (offset < sizeof(config))
		memcpy(buf, (const char *)&config + offset,
		       min_u64(size, sizeof(config) - offset));
	return 0;
}

/* Only events_clear is there to be written; its ones take away events. */
static int gpu_set_config(struct vhu_device *device, uint32_t offset, uint32_t size,
			  const uint8_t *buf, uint32_t flags)
{
	struct virtio_gpu_config config = { 0 };

	(void)flags;
	if (offset < sizeof(config))
		memcpy((char *)&config + offset, buf, min_u64(size, sizeof(config) - offset));
	gpu_of(device)->events &= ~le32toh(config.events_clear);
	return 0;
}

static void modes_changed(void *data)
{
	struct vhu_gpu *gpu = data;

	gpu->events |= VIRTIO_GPU_EVENT_DISPLAY;
	vhu_device_config_changed(&gpu->device);
}

/* --- the contract --------------------------------------------------------------------------- */

static int gpu_handle_event(struct vhu_device *device, unsigned event_id, uint32_t epoll_events,
			    unsigned worker_idx)
{
	(void)epoll_events;
	(void)worker_idx;
	vhu_gpu_handle_queue(gpu_of(device), event_id);
	return 0;
}

static void gpu_drain(struct vhu_device *device, unsigned queue, enum vhu_drain_reason reason)
{
	(void)reason;
	if (queue != VHU_GPU_CONTROL)
		return;
	vhu_gpu_answer_modes(gpu_of(device));
	vhu_gpu_forget_entries(gpu_of(device));
}

static int gpu_update_memory(struct vhu_device *device, struct vhu_memory *memory)
{
	struct vhu_gpu *gpu = gpu_of(device);

	gpu->renderer->ops->update_memory(gpu->renderer, memory);
	vhu_gpu_show_blobs_again(gpu);
	return 0;
}

static void reset(struct vhu_gpu *gpu)
{
	vhu_gpu_remove_all(gpu);
	gpu->events = 0;
	for (unsigned i = 0; i < VHU_GPU_OUTPUTS_MAX; i++) {
		gpu->cursors[i] = (struct vhu_gpu_cursor_state){ 0 };
		vhu_gpu_display_move_cursor(gpu->display, i, 0, 0, false);
	}
}

static void gpu_reset_device(struct vhu_device *device)
{
	reset(gpu_of(device));
}

static void gpu_set_backend_req_fd(struct vhu_device *device, struct vhu_channel *channel)
{
	struct vhu_gpu *gpu = gpu_of(device);

	if (channel)
		return;
	/* The session has ended. */
	reset(gpu);
	vhu_gpu_display_set_socket(gpu->display, -1);
}

static int gpu_set_gpu_socket(struct vhu_device *device, int fd)
{
	vhu_gpu_display_set_socket(gpu_of(device)->display, fd);
	return 0;
}

static void gpu_suspended(struct vhu_device *device)
{
	vhu_gpu_display_suspend(gpu_of(device)->display, true);
}

static void gpu_resumed(struct vhu_device *device)
{
	vhu_gpu_display_suspend(gpu_of(device)->display, false);
}

static void dispose(struct vhu_gpu *gpu)
{
	if (gpu->renderer)
		vhu_gpu_remove_all(gpu);
	vhu_gpu_display_destroy(gpu->display);
	if (gpu->renderer)
		gpu->renderer->ops->close(gpu->renderer);
	free(gpu);
}

static void gpu_destroy(struct vhu_device *device)
{
	dispose(gpu_of(device));
}

static const struct vhu_device_ops gpu_ops = {
	.name = "gpu",
	.locking = VHU_LOCK_WORKER,
	.keeps_memory_files = true, /* for udmabuf.h */
	.num_queues = gpu_num_queues,
	.max_queue_size = gpu_max_queue_size,
	.features = gpu_features,
	/* QEMU 10 offers a card's driver what it likes itself, and this is on there. */
	.ignored_features = VHU_BIT(VHU_F_RING_RESET),
	.acked_features = gpu_acked_features,
	.reset_device = gpu_reset_device,
	.get_config = gpu_get_config,
	.set_config = gpu_set_config,
	.update_memory = gpu_update_memory,
	.set_backend_req_fd = gpu_set_backend_req_fd,
	.get_shared_object = vhu_gpu_get_shared_object,
	.set_gpu_socket = gpu_set_gpu_socket,
	.handle_event = gpu_handle_event,
	.drain = gpu_drain,
	.suspended = gpu_suspended,
	.resumed = gpu_resumed,
	.state_version = 1,
	/* Pixels, and as much again. */
	.state_bytes_max = 4ull << 30,
	.save = vhu_gpu_save,
	.load = vhu_gpu_load,
	.destroy = gpu_destroy,
};

/* --- its making ----------------------------------------------------------------------------- */

static void renderer_done(struct vhu_gpu_renderer_sink *sink, uint64_t token, uint32_t response)
{
	vhu_gpu_answer_held(container_of(sink, struct vhu_gpu, renderer_sink), token, response);
}

static const struct vhu_gpu_display_ops display_ops = {
	.modes_changed = modes_changed,
};

void vhu_gpu_started(struct vhu_device *device)
{
	vhu_gpu_display_start(gpu_of(device)->display);
}

void vhu_gpu_screenshot(struct vhu_device *device, struct vhu_gpu_shots_call *call)
{
	vhu_gpu_display_screenshot(gpu_of(device)->display, call);
}

int vhu_gpu_new(const struct vhu_gpu_options *options, struct vhu_device **ret_device)
{
	struct vhu_gpu *gpu;
	int r = vhu_gpu_options_check(options);

	if (r < 0)
		return r;
	gpu = calloc(1, sizeof(*gpu));
	if (!gpu)
		return -ENOMEM;
	gpu->options = options;
	gpu->renderer_sink.done = renderer_done;
	r = vhu_gpu_renderer_2d.open(&gpu->renderer_sink, &gpu->renderer);
	if (r == 0)
		r = vhu_device_init(&gpu->device, &gpu_ops);
	if (r < 0) {
		dispose(gpu);
		return r;
	}
	r = vhu_gpu_display_new(options, vhu_device_worker(&gpu->device, 0)->loop, &display_ops,
				gpu, &gpu->display);
	if (r < 0) {
		vhu_device_unref(&gpu->device);
		return r;
	}
	*ret_device = &gpu->device;
	return 0;
}
