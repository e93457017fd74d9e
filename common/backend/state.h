/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_BACKEND_STATE_H
#define VHU_BACKEND_STATE_H

/*
 * The state of a device on its way to another back-end (vhost-user, Migrating back-end state): a
 * transfer copies bytes between memory and the front-end's fd, in a thread of its own, and the
 * bytes are those that the save slot gave and the load slot takes, behind a header.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/backend/device.h"
#include "common/base/num.h"

/* The most that is taken in of a device that does not say otherwise. */
#define VHU_STATE_MAX_BYTES (64u << 20)
/* A transfer in which nothing moves for so long has failed. */
#define VHU_STATE_TIMEOUT_NS (30 * NS_PER_SEC)

enum vhu_state_direction {
	VHU_STATE_SAVE = 0,
	VHU_STATE_LOAD = 1,
};

/*
 * Control. pack: what the save slot gives, behind the header; the caller frees *ret_bytes. unpack:
 * checks what was received and gives it to the load slot. -EINVAL: not a whole state; -EXDEV: that
 * of another device; -EPROTONOSUPPORT: of a later version; or what the slot returns. Both log.
 */
int vhu_state_pack(struct vhu_device *device, void **ret_bytes, size_t *ret_len);
int vhu_state_unpack(struct vhu_device *device, const void *bytes, size_t len);
/* The most that may be of such a device, header included. */
size_t vhu_state_max(const struct vhu_device *device);

struct vhu_state_transfer;

/* On main, once, unless the transfer was dropped before. */
typedef void (*vhu_state_ended_fn)(void *data);

/* Can fd carry a state in that direction? */
bool vhu_state_fd_fits(int fd, enum vhu_state_direction direction);
/*
 * Main. To save: writes bytes to fd, and closes it. To load: reads fd to its end, at most len
 * bytes; bytes is NULL. Takes fd and bytes (malloc), also on error. What holds the thread up (a
 * peer that shares the open file can make it blocking) holds up nobody else.
 */
int vhu_state_transfer_new(struct vhu_loop *loop, enum vhu_state_direction direction, int fd,
			   void *bytes, size_t len, uint64_t timeout_ns, vhu_state_ended_fn ended,
			   void *data, struct vhu_state_transfer **ret_transfer);
/* Main. Ends it if it has not ended, without a word; ended is not called any more. NULL is fine. */
void vhu_state_transfer_drop(struct vhu_state_transfer *transfer);

/* Main. -EINPROGRESS, 0 or why it failed: -ETIMEDOUT, -EFBIG, what read and write say. */
int vhu_state_transfer_result(const struct vhu_state_transfer *transfer);
/* What was loaded; borrowed. */
const void *vhu_state_transfer_bytes(const struct vhu_state_transfer *transfer, size_t *ret_len);
enum vhu_state_direction vhu_state_transfer_direction(const struct vhu_state_transfer *transfer);

#endif
