/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_BACKEND_WORKER_H
#define VHU_BACKEND_WORKER_H

/*
 * A worker: a thread with a loop that serves some of a device's queues (rust-vmm:
 * VringEpollHandler). It takes requests until its rings are empty, polls for a short time that
 * adapts to how often polling paid, then asks for kicks and sleeps.
 */

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/loop.h"
#include "common/backend/device.h"

struct vhu_worker {
	struct vhu_device *device;
	unsigned index;
	uint64_t queues; /* mask */
	struct vhu_loop *loop;
	pthread_t thread;
	bool running;	      /* main's */
	struct vhu_source *exit_source;
	bool exited; /* exit_event fired; the worker's */
	struct vhu_listener *listeners;
	uint64_t active;      /* mask: rings to take requests from; the worker's */
	uint64_t pending;     /* mask: rings with something to do; the worker's */
	uint64_t kickless;    /* mask: active rings without a kick fd */
	uint64_t poll_ns;     /* adapts between 0 and device->poll_max_ns */
	struct vhu_iotlb *iotlb;      /* of an IOMMU; NULL until there is one (miss.h) */
	uint64_t iotlb_users;	      /* mask: rings that use what was last taken out of it */
	uint64_t iotlb_denied;	      /* mask: rings that wait for more than it was last told */
	bool iotlb_answered;	      /* or there are such as waited for just that */
	uint64_t miss_patience_ns;    /* how long a ring waits for what it missed */
};

/*
 * An errand: work done on a worker's thread for another loop, and the answer brought back. It
 * belongs to who sent it, from vhu_errand_send() until back().
 */
struct vhu_errand {
	struct vhu_call call;
	struct vhu_worker *worker;
	struct vhu_loop *home;
	/* On the worker. Ends with vhu_errand_done(), at once or later, on that thread. */
	void (*work)(struct vhu_errand *errand);
	/* On home. */
	void (*back)(struct vhu_errand *errand);
	int result;
};

int vhu_worker_init(struct vhu_worker *worker, struct vhu_device *device, unsigned index,
		    uint64_t queues);
void vhu_worker_finish(struct vhu_worker *worker); /* stops and joins */

/* Main. Idempotent. */
int vhu_worker_run(struct vhu_worker *worker);

/*
 * Main. When the worker has no thread yet, the work is done here and back() is called before this
 * returns.
 */
void vhu_errand_send(struct vhu_errand *errand, struct vhu_worker *worker, struct vhu_loop *home);
void vhu_errand_done(struct vhu_errand *errand, int result);

/*
 * For devices, on the worker (or before its thread runs): the device's own fds. event_id is above
 * num_queues and unique on this worker; handle_event gets it. fd is borrowed until unregister.
 * -EINVAL, -EEXIST, -ENOENT, or of epoll_ctl.
 */
int vhu_worker_register_listener(struct vhu_worker *worker, int fd, uint32_t events,
				 unsigned event_id);
int vhu_worker_unregister_listener(struct vhu_worker *worker, unsigned event_id);

/* A ring of this worker has something to do: handle_event will be called. On the worker. */
void vhu_worker_wake_ring(struct vhu_worker *worker, unsigned queue);

/* The framework's: guest memory was missing under an access; the session is told. On the worker. */
void vhu_worker_memory_faulted(struct vhu_worker *worker);

struct vhu_worker *vhu_device_worker(struct vhu_device *device, unsigned worker_idx);

#endif
