/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_BACKEND_INBAND_H
#define VHU_BACKEND_INBAND_H

/*
 * Calls and errors of rings as messages to the front-end (vhost-user, In-band notifications).
 * Workers note them, a bit a ring, and main sends them, so that none is lost and nobody waits
 * however slowly the front-end reads: what it has not been told yet is told once.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/loop.h"

struct vhu_channel;
struct vhu_device;

enum vhu_inband_kind {
	VHU_INBAND_CALL,
	VHU_INBAND_ERR,
	VHU_INBAND_KINDS
};

struct vhu_inband {
	_Atomic uint64_t due[VHU_INBAND_KINDS]; /* masks of rings */
	uint64_t owed;	     /* calls of rings that were stopped before they went out; main's */
	struct vhu_call call;
	atomic_flag posted;
};

/*
 * Before the device is served: INBAND_NOTIFICATIONS is offered. Not by itself, since QEMU
 * acknowledges it without having it.
 */
void vhu_inband_offer(struct vhu_device *device);

void vhu_inband_init(struct vhu_inband *inband);
/* Any thread, without a lock. */
void vhu_inband_tell(struct vhu_device *device, enum vhu_inband_kind kind, unsigned queue);
/* Main: the ring has stopped, and nothing more is said of it; or it starts again. */
void vhu_inband_stopped(struct vhu_device *device, unsigned queue);
void vhu_inband_started(struct vhu_device *device, unsigned queue);
/* Main: the device's channel is another one than old (NULL: there was none) or none. */
void vhu_inband_move(struct vhu_device *device, struct vhu_channel *old);

#endif
