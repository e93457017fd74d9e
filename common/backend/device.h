/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_BACKEND_DEVICE_H
#define VHU_BACKEND_DEVICE_H

/*
 * The contract between the framework and a device. A device embeds struct vhu_device as its first
 * member, fills a struct vhu_device_ops and calls vhu_device_init(). The slots are the members of
 * the rust-vmm trait VhostUserBackend under their names, and a few more behind them.
 *
 * Threads. "main" runs the sessions and never blocks. "worker" is one of the device's own threads,
 * each with the queues that queues_per_thread gave it. "control" is main, or the first worker of
 * a device that has declared a lock, so that main never waits for one.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/memory/map.h"
#include "common/ring/chain.h"
#include "common/wire/payload.h"

#define VHU_MAX_QUEUES 64 /* a queue mask is 64 bits */
#define VHU_MAX_WORKERS VHU_MAX_QUEUES

struct vhu_channel;
struct vhu_device;
struct vhu_vring;
struct vhu_worker;

/* Who keeps the slots of one device apart (rust-vmm: T, Mutex<T>, RwLock<T>). */
enum vhu_locking {
	VHU_LOCK_NONE,	 /* the device sees to it */
	VHU_LOCK_MUTEX,	 /* one slot at a time */
	VHU_LOCK_RWLOCK, /* slots marked [read] may run together, the rest alone */
	VHU_LOCK_WORKER, /* one worker, and every slot not marked main runs on it: no lock needed */
};

enum vhu_drain_reason {
	VHU_DRAIN_STOP,		  /* GET_VRING_BASE */
	VHU_DRAIN_SUSPEND,	  /* the same, but chains may be left: vhu_vring_leave() */
	VHU_DRAIN_RESET,	  /* RESET_DEVICE */
	VHU_DRAIN_SESSION_GONE,	  /* the front-end closed, or the program ends */
	VHU_DRAIN_MEMORY_REMOVED, /* or by an IOMMU; the ring goes on afterwards */
};

struct vhu_device_ops {
	const char *name; /* "blk", for the log */
	enum vhu_locking locking;
	/*
	 * Each queue's chains are pushed in the order in which they were popped: IN_ORDER is
	 * offered (virtio 1.3, 6). Constant for life.
	 */
	bool completes_in_order;
	bool gives_host_notifiers; /* HOST_NOTIFIER is offered: see shared.h */
	/* The driver is called when a pass is over, not from its first push on. */
	bool calls_once;
	bool keeps_memory_files; /* the map's mappings have their files open */

	/*
	 * Required, main [read]. Queues, 1 to VHU_MAX_QUEUES, and the largest size of each, a power
	 * of two up to 32768. Constant for life.
	 */
	unsigned (*num_queues)(struct vhu_device *device);
	unsigned (*max_queue_size)(struct vhu_device *device);

	/* Required, main [read]. The type's own bits (virtio 1.3, 2.2), constant for life. */
	uint64_t (*features)(struct vhu_device *device);

	/*
	 * Optional. Bits that front-ends of this type let a driver have without asking the device;
	 * SET_FEATURES may have them, and it is as if it had not.
	 */
	uint64_t ignored_features;

	/* Optional, control. What the driver took: a subset of what was offered. May come again. */
	void (*acked_features)(struct vhu_device *device, uint64_t features);

	/*
	 * Optional, main [read]. Protocol bits; default: what the slots that are there imply. The
	 * framework masks them with what it can do.
	 */
	uint64_t (*protocol_features)(struct vhu_device *device);

	/*
	 * Optional, control. Back to the state before the driver's first word (virtio 1.3, 2.4); no
	 * queue is at work. For RESET_DEVICE, and for a driver that starts anew without one.
	 */
	void (*reset_device)(struct vhu_device *device);

	/* Optional, control. Was EVENT_IDX negotiated? The rings know already. */
	void (*set_event_idx)(struct vhu_device *device, bool enabled);

	/*
	 * Optional; default: no config space (then CONFIG is not offered). control, get [read].
	 * offset + size is at most VHU_CONFIG_MAX. get fills all size bytes, zeros past its end.
	 * set: flags 0 the driver writes, 1 a migration restores (vhost-user, Virtio device config
	 * space); front-ends rewrite unchanged bytes, which is no error. 0 or negative errno.
	 */
	int (*get_config)(struct vhu_device *device, uint32_t offset, uint32_t size, uint8_t *buf);
	int (*set_config)(struct vhu_device *device, uint32_t offset, uint32_t size,
			  const uint8_t *buf, uint32_t flags);

	/*
	 * Optional, control. A new map; borrowed (take a reference to keep it). What the device
	 * translated before is void. A negative errno is told to the front-end; the map holds.
	 */
	int (*update_memory)(struct vhu_device *device, struct vhu_memory *memory);

	/*
	 * Optional; default: the framework alone uses it. control. The channel to the front-end,
	 * borrowed (take a reference to keep it); NULL when it is gone.
	 */
	void (*set_backend_req_fd)(struct vhu_device *device, struct vhu_channel *channel);

	/*
	 * Optional; default: none is found. control. The caller owns *ret_fd. -ENOENT when the UUID
	 * is not known (vhost-user, VHOST_USER_GET_SHARED_OBJECT).
	 */
	int (*get_shared_object)(struct vhu_device *device, const uint8_t uuid[16], int *ret_fd);

	/*
	 * Optional; default: -EOPNOTSUPP. control. Takes fd, also on error. May come again; what is
	 * made of the last one goes when set_backend_req_fd says NULL.
	 */
	int (*set_gpu_socket)(struct vhu_device *device, int fd);

	/*
	 * Optional; default: one worker for all queues. Main, once, [read]. Fills masks[0 ..]
	 * with the queues of each worker, every queue in exactly one, and returns the number of
	 * workers.
	 */
	unsigned (*queues_per_thread)(struct vhu_device *device, uint64_t masks[VHU_MAX_WORKERS]);

	/*
	 * Optional; default: the framework's own. Main, once a worker, [read]. An fd, borrowed for
	 * life; when it becomes readable the worker leaves its rings alone for good. -1: none.
	 */
	int (*exit_event)(struct vhu_device *device, unsigned worker_idx);

	/*
	 * Required, worker. event_id below num_queues is a queue that has requests: pop, work, push
	 * until vhu_vring_pop() gives NULL; the framework tells the driver of it. Ids above
	 * num_queues are the device's own listeners (vhu_worker_register_listener). A negative
	 * errno for a queue marks that ring broken; the worker goes on. -EFAULT: guest memory is
	 * not there, and the session ends.
	 */
	int (*handle_event)(struct vhu_device *device, unsigned event_id, uint32_t epoll_events,
			    unsigned worker_idx);

	/*
	 * Optional, both; for a device that does without save and load below. control. Starts a
	 * transfer of the device's state through fd (direction 0 save, 1 load) and returns at once.
	 * Takes fd. *ret_fd: -1, or an fd for the front-end to use instead (vhost-user, Migrating
	 * back-end state).
	 */
	int (*set_device_state_fd)(struct vhu_device *device, uint32_t direction, uint32_t phase,
				   int fd, int *ret_fd);
	/* control [read]. 0, or how the transfer failed. */
	int (*check_device_state)(struct vhu_device *device);

	/*
	 * From here on: not in the trait.
	 *
	 * Optional, worker. A queue starts: room for its requests can be made here (size is final
	 * until drain). A negative errno marks the ring broken.
	 */
	int (*start)(struct vhu_device *device, unsigned queue, unsigned size);
	/*
	 * Optional, worker. A device with completions of its own: looks for them without waiting;
	 * true when there were any. Called over and over while the worker polls its rings, not when
	 * it is busy with them, nor when it sleeps: then a listener must wake it.
	 */
	bool (*poll)(struct vhu_device *device, unsigned worker_idx);
	/*
	 * Optional, worker. The front-end is about to disable or stop the queue, which is still at
	 * work: a last chance to pop as many as it has entries, and push, for a device that has
	 * something to say of itself. Not before a reset, nor when the front-end has gone.
	 */
	void (*farewell)(struct vhu_device *device, unsigned queue);
	/*
	 * Optional; default: nothing is ever in flight between two calls of handle_event.
	 * worker. Of a queue that start was called for, and did well: no further pop will succeed;
	 * every chain that was popped is to be pushed (or left, where reason allows it), now or
	 * soon: the front-end waits for it.
	 */
	void (*drain)(struct vhu_device *device, unsigned queue, enum vhu_drain_reason reason);
	/*
	 * Optional, control. All rings have stopped: no write to guest memory from now on; the
	 * first ring is about to start again.
	 */
	void (*suspended)(struct vhu_device *device);
	void (*resumed)(struct vhu_device *device);

	/*
	 * Optional, both; default: DEVICE_STATE is not offered. control, no queue is at work. save
	 * gives what the device at the destination must know, in a form of state_version:
	 * malloc()ed, the caller's then. load takes it up, of this version or an earlier one.
	 * Anyone may have touched it: check all. On an error nothing has changed.
	 */
	uint32_t state_version;
	size_t state_bytes_max; /* what load may be given; 0: VHU_STATE_MAX_BYTES */
	int (*save)(struct vhu_device *device, void **ret_bytes, size_t *ret_len);
	int (*load)(struct vhu_device *device, uint32_t version, const void *bytes, size_t len);

	/*
	 * Optional; default: SHMEM is not offered. Main, once, [read]. The sizes in bytes of the
	 * shared memory regions that the type has (virtio 1.3, 2.10), at the index that is their
	 * shmid; the rest stays zero. What is shown there: shared.h.
	 */
	void (*get_shmem_config)(struct vhu_device *device, uint64_t sizes[VHU_SHMEM_MAX]);

	/*
	 * Required when anything was allocated; the last reference went. Any thread. Frees
	 * device.
	 */
	void (*destroy)(struct vhu_device *device);
};

#include "common/backend/instance.h"

#endif
