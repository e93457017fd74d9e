/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_FRONTEND_LOG_H
#define VHU_FRONTEND_LOG_H

/*
 * The dirty log of a migration (vhost-user, Migration). In QEMU's order: set_log, set_logging, then
 * vhu_driver_log() for each ring; all of it while rings run. To end it, the last two with false.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/frontend/frontend.h"

#define VHU_FRONTEND_LOG_PAGE 4096u

struct vhu_frontend_log {
	int fd; /* owned */
	uint64_t size, offset;
	uint8_t *bits; /* mapped here: size bytes from offset */
};

/*
 * A log of size bytes that lie at offset (in pages) in a memfd of their own; size 0: enough for all
 * of the guest's regions.
 */
int vhu_frontend_log_init(struct vhu_frontend_log *log, const struct vhu_guest *guest,
			  uint64_t size, uint64_t offset);
/* Also of zeros. */
void vhu_frontend_log_finish(struct vhu_frontend_log *log);

/* SET_LOG_BASE. */
int vhu_frontend_set_log(struct vhu_frontend *frontend, const struct vhu_frontend_log *log);
/* SET_FEATURES with LOG_ALL or without. */
int vhu_frontend_set_logging(struct vhu_frontend *frontend, bool on);

/* Whether the page of gpa is marked. */
bool vhu_frontend_log_has(const struct vhu_frontend_log *log, uint64_t gpa);
/* The same, and unmarks it, as a migration does before it sends the page. */
bool vhu_frontend_log_take(struct vhu_frontend_log *log, uint64_t gpa);
/* How many pages are marked. */
uint64_t vhu_frontend_log_count(const struct vhu_frontend_log *log);
void vhu_frontend_log_clear(struct vhu_frontend_log *log);

#endif
