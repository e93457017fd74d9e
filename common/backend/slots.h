/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_BACKEND_SLOTS_H
#define VHU_BACKEND_SLOTS_H

/*
 * What the framework does with a device. First checked wrappers around its slots, which the session
 * and the workers call: they bound the arguments, take the lock that the device declared, and know
 * what holds where a slot is not there. What a slot means and on which thread it runs is said in
 * device.h.
 */

#include "common/backend/device.h"

void vhu_device_acked_features(struct vhu_device *device, uint64_t features);
void vhu_device_reset_device(struct vhu_device *device);
void vhu_device_set_event_idx(struct vhu_device *device, bool enabled);
int vhu_device_get_config(struct vhu_device *device, uint32_t offset, uint32_t size, uint8_t *buf);
int vhu_device_set_config(struct vhu_device *device, uint32_t offset, uint32_t size,
			  const uint8_t *buf, uint32_t flags);
int vhu_device_update_memory(struct vhu_device *device, struct vhu_memory *memory);
void vhu_device_set_backend_req_fd(struct vhu_device *device, struct vhu_channel *channel);
int vhu_device_get_shared_object(struct vhu_device *device, const uint8_t uuid[16], int *ret_fd);
int vhu_device_set_gpu_socket(struct vhu_device *device, int fd);
int vhu_device_handle_event(struct vhu_device *device, unsigned event_id, uint32_t epoll_events,
			    unsigned worker_idx);
int vhu_device_set_device_state_fd(struct vhu_device *device, uint32_t direction, uint32_t phase,
				   int fd, int *ret_fd);
int vhu_device_check_device_state(struct vhu_device *device);
int vhu_device_save(struct vhu_device *device, void **ret_bytes, size_t *ret_len);
int vhu_device_load(struct vhu_device *device, uint32_t version, const void *bytes, size_t len);
bool vhu_device_poll(struct vhu_device *device, unsigned worker_idx);
int vhu_device_start(struct vhu_device *device, unsigned queue, unsigned size);
void vhu_device_farewell(struct vhu_device *device, unsigned queue);
void vhu_device_drain(struct vhu_device *device, unsigned queue, enum vhu_drain_reason reason);
void vhu_device_suspended(struct vhu_device *device);
void vhu_device_resumed(struct vhu_device *device);

/* Main: what a session has taken, and its channel and the state of the rings. */
void vhu_device_set_protocol_features(struct vhu_device *device, uint64_t acked);
void vhu_device_set_channel(struct vhu_device *device, struct vhu_channel *channel);
void vhu_device_set_running(struct vhu_device *device, bool running);

/*
 * Posts call to main unless *posted is set. What is posted holds a reference, since the device may
 * go before main comes to it; a device that is going posts nothing. Any thread.
 */
void vhu_device_post(struct vhu_device *device, atomic_flag *posted, struct vhu_call *call);

#endif
