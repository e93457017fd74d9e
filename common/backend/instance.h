/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_BACKEND_INSTANCE_H
#define VHU_BACKEND_INSTANCE_H

/* What a device embeds, and its life. */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/backend/device.h"
#include "common/backend/inband.h"
#include "common/base/loop.h"

struct vhu_device {
	const struct vhu_device_ops *ops;
	atomic_uint refs;
	union {
		pthread_mutex_t mutex;
		pthread_rwlock_t rwlock;
	} lock;
	unsigned n_queues, n_workers; /* constants, asked once */
	unsigned queue_size_max;
	uint64_t features, protocol_features; /* all that is offered */
	uint64_t *shmem_bytes;		      /* VHU_SHMEM_MAX, or NULL */
	struct vhu_vring *vrings;	      /* n_queues */
	struct vhu_worker *workers;	      /* n_workers */
	uint64_t poll_max_ns; /* how long a worker polls before it sleeps; adaptive below */
	struct vhu_loop *main_loop;
	/* Of the session there is. Main changes them with the mutex, others look with it. */
	pthread_mutex_t link_mutex;
	struct vhu_channel *channel; /* or NULL */
	uint64_t acked_protocol_features;
	bool running; /* a ring has started and not all have stopped */
	struct vhu_call config_call;
	atomic_flag config_posted;
	bool config_pending; /* a CONFIG_CHANGE waits for the first ring; main's */
	struct vhu_inband inband;
	struct vhu_call fault_call;
	atomic_flag fault_posted;
	/* The session's, or NULL; main's: guest memory was missing under an access. */
	void (*memory_faulted)(void *session);
	void *session;
};

#define VHU_POLL_DEFAULT_NS 64000ull

/*
 * Asks the constants, makes vrings and workers; no thread runs yet. The caller's reference is the
 * first. -EINVAL when what the slots answer does not fit together; then nothing is left behind and
 * destroy is not called.
 */
int vhu_device_init(struct vhu_device *device, const struct vhu_device_ops *ops);
struct vhu_device *vhu_device_ref(struct vhu_device *device);
/* At 0 the workers are stopped and joined, then ops->destroy. NULL is fine. */
void vhu_device_unref(struct vhu_device *device);

/* Main: from now on the device may be served; loop is borrowed for the device's life. */
int vhu_device_attach(struct vhu_device *device, struct vhu_loop *main_loop);

/*
 * For devices. Any thread: the config space has changed. The front-end is told when a session has a
 * channel and a ring runs, else after the next start; several in a row may be told once.
 */
void vhu_device_config_changed(struct vhu_device *device);

#endif
