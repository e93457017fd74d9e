/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_BACKEND_VRING_H
#define VHU_BACKEND_VRING_H

/*
 * A vring: a virtqueue with its kick, call and err fds and its state (vhost-user, Ring states).
 * What the front-end configures is main's; a started ring belongs to its worker, and main reaches
 * it by an errand only.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/backend/device.h"
#include "common/base/fd.h"
#include "common/base/log.h"
#include "common/base/stats.h"
#include "common/ring/virtqueue.h"

struct vhu_channel;
struct vhu_errand;
struct vhu_source;

/* Requests taken in one go before other rings and main get their turn. */
#define VHU_VRING_BUDGET 64
/*
 * The driver is told of the first request of a pass and of each so many, not only at its end: while
 * a driver that slept wakes up, the rest is done. It costs no call where the driver wants none.
 */
#define VHU_VRING_NOTIFY_EACH 8

struct vhu_vring {
	struct vhu_device *device;
	struct vhu_worker *worker;
	unsigned index;

	/* Main's: what was set, and whether the ring is started (its worker has it). */
	struct vhu_virtqueue_setup setup;
	bool has_addr;
	bool started;
	bool enabled;
	int call_fd; /* owned, -1 for none; closed when the worker has let go of it */
	bool call_was_set; /* to an fd or to none: then calls are not in-band */

	/* The worker's from start to stop; main's otherwise. */
	struct vhu_virtqueue queue;
	int kick_fd; /* owned, -1 for none */
	struct vhu_notifier err;  /* its fd is owned */
	struct vhu_notifier call; /* its fd is call_fd */
	struct vhu_source *kick_source;
	bool kicks_inband, calls_inband, errs_inband; /* where there is no fd */
	bool live;    /* started, with a working queue */
	bool begun;   /* the device's start slot has run */
	bool on;      /* enabled, as far as the front-end goes */
	bool active;  /* live, on and not parked: requests are taken */
	bool in_pass;
	unsigned budget, pushed; /* in this pass */
	struct vhu_errand *draining; /* told when nothing is in flight any more */
	struct vhu_log_limit log_limit;
	uint64_t malformed_told;
	atomic_bool broken; /* any thread may look */

	/* A ring that is parked until the IOMMU tells this (miss.h). */
	struct vhu_iotlb_miss asked;
	bool asked_sent;
	uint64_t asked_until_ns;
	struct vhu_source *asked_timer;
	struct vhu_channel *channel; /* a reference; NULL: the front-end gave none */

	struct vhu_counter requests, passes, calls;
};

/*
 * For devices, on the ring's worker. pop: the next request or NULL (nothing there, the pass has had
 * its share, the ring waits for the guest's IOMMU, is stopping or broken): then return from
 * handle_event. The chain is the device's until push.
 */
struct vhu_vring *vhu_device_vring(struct vhu_device *device, unsigned queue);
struct vhu_chain *vhu_vring_pop(struct vhu_vring *vring);
/*
 * For an address that the last popped chain holds in its bytes: vhu_virtqueue_translate(). What it
 * missed is asked for when the chain is put off: it is popped again when the IOMMU has told.
 */
int vhu_vring_translate(struct vhu_vring *vring, uint64_t address, uint64_t len, uint8_t access,
			struct iovec *iov, size_t max);
void vhu_vring_put_off(struct vhu_vring *vring, struct vhu_chain *chain);
/* Puts the last popped chain back; several in reverse order (see vhu_virtqueue_unpop()). */
void vhu_vring_unpop(struct vhu_vring *vring, struct vhu_chain *chain);
/* written: bytes of the writable part that were written. */
void vhu_vring_push(struct vhu_vring *vring, struct vhu_chain *chain, uint32_t written);
/*
 * In a drain with reason VHU_DRAIN_SUSPEND: gives up a chain that is not finished. Nothing of its
 * work may touch guest memory or the backing any more; whoever serves the ring next does it again.
 * With IN_ORDER: this one and all that were popped behind it.
 */
void vhu_vring_leave(struct vhu_vring *vring, struct vhu_chain *chain);
/*
 * Shows pushed requests to the driver and calls it if it wants. Done by the framework during
 * and after handle_event; a device calls it when it pushes from elsewhere.
 */
void vhu_vring_notify(struct vhu_vring *vring);

/* The framework's own. On main, or by errand on the worker, as session says. */
void vhu_vring_init(struct vhu_vring *vring, struct vhu_device *device, unsigned index);
void vhu_vring_finish(struct vhu_vring *vring);
/* On the worker: takes the ring up; returns 0, or negative errno with the ring broken. */
int vhu_vring_start(struct vhu_vring *vring, struct vhu_memory *memory);
/* On the worker, drained: goes on where it is, by what setup says now. Returns as start. */
int vhu_vring_restart(struct vhu_vring *vring, struct vhu_memory *memory);
/* On the worker: after kick_fd changed. Returns 0 or negative errno of epoll_ctl. */
int vhu_vring_watch_kick(struct vhu_vring *vring);
/* On the worker: enabled or disabled; looks at the ring at once. */
void vhu_vring_set_active(struct vhu_vring *vring, bool active);
/* On the worker: disabled by the front-end; the device has a last word. */
void vhu_vring_rest(struct vhu_vring *vring);
/* On the worker: no further pop; the errand is done when nothing is in flight. */
void vhu_vring_drain(struct vhu_vring *vring, enum vhu_drain_reason reason,
		     struct vhu_errand *errand);
/*
 * On the worker, drained: leaves the ring; kick and call are closed; setup.base is the next
 * index.
 */
void vhu_vring_stop(struct vhu_vring *vring);
/* Main, stopped: what the front-end had set goes. */
void vhu_vring_forget(struct vhu_vring *vring);
/* On the worker: one pass over a ring that is pending. True when more is left for another pass. */
bool vhu_vring_process(struct vhu_vring *vring);
/*
 * On the worker: err fd, NEEDS_RESET; why is a constant text. The ring is left alone from now
 * on.
 */
void vhu_vring_break(struct vhu_vring *vring, const char *why);

#endif
