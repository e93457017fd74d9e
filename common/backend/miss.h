/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_BACKEND_MISS_H
#define VHU_BACKEND_MISS_H

/*
 * Rings behind an IOMMU (vhost-user, IOMMU support). Nobody waits for the front-end: a ring that
 * misses an address asks for it and is parked, which is as idle as disabled, until an update
 * answers. All on the ring's worker, each of which has an IOTLB of its own.
 */

#include <stdint.h>

#include "common/backend/vring.h"
#include "common/wire/payload.h"

/* How long a ring waits for an answer before it is broken. */
#define VHU_MISS_PATIENCE_NS (30 * NS_PER_SEC)

/* For a ring that starts; NULL when there is no memory. */
struct vhu_iotlb *vhu_worker_start_iotlb(struct vhu_worker *worker);
/*
 * What the front-end said: an update or an invalidation, checked. Returns 0 or negative errno.
 * worker->iotlb_users are the rings that still use what goes: it has gone when each has been
 * drained and vhu_vring_look_again() was called. worker->iotlb_denied are those for which an update
 * allows less than they asked for: where it has answered no ring of any worker it is their answer,
 * and vhu_vring_deny() tells them.
 */
int vhu_worker_iotlb_told(struct vhu_worker *worker, const struct vhu_iotlb_msg *msg);
void vhu_vring_deny(struct vhu_vring *vring);
void vhu_vring_look_again(struct vhu_vring *vring);

/* What misses are sent on; NULL for none. A reference is taken. */
void vhu_vring_set_channel(struct vhu_vring *vring, struct vhu_channel *channel);
/* The queue has missed an address. */
void vhu_vring_park(struct vhu_vring *vring);
/* The ring stops: what was asked for is not waited for any more. */
void vhu_vring_forget_miss(struct vhu_vring *vring);

#endif
