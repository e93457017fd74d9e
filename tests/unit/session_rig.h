/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_TESTS_UNIT_SESSION_RIG_H
#define VHU_TESTS_UNIT_SESSION_RIG_H

/*
 * A session in this process: main loop in a thread of its own, a device that can hold requests back
 * until it is told, and our front-end at the other end of a socket pair.
 */

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "common/backend/device.h"
#include "common/backend/vring.h"
#include "common/backend/worker.h"
#include "common/frontend/driver.h"
#include "common/frontend/frontend.h"
#include "common/session/session.h"

#define RIG_QUEUES 2
#define RIG_HELD 64

/* Echoes the readable part into the writable one; counts what the framework calls. */
struct rig_device {
	struct vhu_device device;
	int release_fd; /* eventfd: complete what is held */
	atomic_bool hold;
	struct vhu_chain *held[RIG_QUEUES][RIG_HELD];
	atomic_uint n_held[RIG_QUEUES];
	atomic_bool drain_at_once;
	atomic_bool leaves; /* what it holds stays in the in-flight record when it may */
	atomic_bool unpops; /* what it holds goes back to the ring when it is told */
	atomic_bool slow; /* a request takes long */

	atomic_uint n_reset, n_suspended, n_resumed, n_memory, n_start, n_drain, n_destroyed;
	atomic_uint n_inside; /* slots being run just now */
	atomic_uint n_overlaps;
	atomic_uint n_foreign; /* slots run on another thread than the first control slot's */
	atomic_uint last_reason;
	_Atomic uint64_t acked;
	_Atomic pthread_t control_thread, worker_thread;
	uint8_t config[16];
};

struct rig {
	struct rig_device *device;
	struct vhu_device_ops ops;
	struct vhu_loop *loop;
	pthread_t thread;
	struct vhu_session *session;
	sem_t closed;
	int close_error;
	struct vhu_frontend frontend;
	uint64_t more_features; /* to be negotiated */
	struct vhu_driver driver[RIG_QUEUES];
};

/* ops is a copy of the rig's with what the test wants changed. */
struct vhu_device_ops rig_ops(void);
void rig_start(struct rig *rig, const struct vhu_device_ops *ops);
/* Another session for the same device, after the last one closed. */
void rig_connect(struct rig *rig);
void rig_disconnect(struct rig *rig);
void rig_stop(struct rig *rig);

/* Negotiates, shares memory, starts both rings. */
void rig_bring_up(struct rig *rig);
/* One echo through queue q; asserts that it came back. */
void rig_echo(struct rig *rig, unsigned q);
void rig_release(struct rig *rig);
/* Waits up to 5 s for *value to become wanted, and asserts it. */
void rig_wait_for(atomic_uint *value, unsigned wanted);

#endif
