/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_FRONTEND_DRIVER_PRIV_H
#define VHU_FRONTEND_DRIVER_PRIV_H

/* What differs between split and packed, below common/frontend/driver.c. */

#include "common/frontend/driver.h"

struct vhu_driver_layout {
	int (*init)(struct vhu_driver *driver); /* areas in guest memory */
	void (*reset)(struct vhu_driver *driver);
	uint32_t (*idle_base)(const struct vhu_driver *driver);
	uint32_t (*crash_base)(const struct vhu_driver *driver);
	/*
	 * One chain of n buffers, for which there is room, indirect or not. Returns its head; the
	 * rest of the head's slot is the caller's to fill in.
	 */
	uint16_t (*add)(struct vhu_driver *driver, const struct vhu_guest_buffer *buffers,
			unsigned n_readable, unsigned n, bool indirect);
	/* Shows what was added. True when the back-end asks for a kick because of it. */
	bool (*publish)(struct vhu_driver *driver);
	bool (*has_used)(const struct vhu_driver *driver);
	/* What the ring says at the place where the next chain will be used: 1, 0 or -EPROTO. */
	int (*peek)(struct vhu_driver *driver, uint32_t *ret_head, uint32_t *ret_len);
	/* Steps over one used chain and gives its descriptors back. */
	void (*release)(struct vhu_driver *driver, uint16_t head);
	void (*ask_calls)(struct vhu_driver *driver, bool wanted);
};

extern const struct vhu_driver_layout vhu_driver_split_layout;
extern const struct vhu_driver_layout vhu_driver_packed_layout;

/* Of the i-th descriptor of a list of n. */
static inline uint16_t vhu_driver_flags(unsigned i, unsigned n_readable, unsigned n)
{
	return (uint16_t)((i >= n_readable ? VRING_DESC_F_WRITE : 0) |
			  (i + 1 < n ? VRING_DESC_F_NEXT : 0));
}

/* A zeroed area in guest memory. */
void *vhu_driver_alloc_area(struct vhu_driver *driver, uint32_t bytes, uint64_t *ret_gpa);
/* The descriptor of a whole indirect table. */
struct vhu_guest_buffer vhu_driver_table_buffer(const struct vhu_driver *driver, uint16_t head,
						unsigned n);
/* The head of the chain is in the back-end's hands from now on. */
void vhu_driver_mark_in_flight(struct vhu_driver *driver, uint16_t head, uint64_t token,
			       uint32_t writable_len);

#endif
