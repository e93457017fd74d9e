/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_FRONTEND_DRIVER_SPLIT_H
#define VHU_FRONTEND_DRIVER_SPLIT_H

/*
 * The driver's half of a split ring (virtio 1.3, 2.7) in the guest's memory. Nothing on the way of
 * a request allocates, and none of add, get and kick makes a system call, but for the kick itself.
 * One thread a ring.
 *
 * The ring is open to who wants it broken: what add wrote is seen by the back-end only at the next
 * kick or publish, so a test adds a right chain, spoils vring.desc[head] or its table, and kicks.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/virtio_ring.h>

#include "common/frontend/frontend.h"

/* Entries of the indirect table that each head has; longer chains use the ring's descriptors. */
#define VHU_DRIVER_TABLE 128

struct vhu_driver_used {
	uint64_t token;
	uint32_t len;
	uint16_t head;
};

struct vhu_driver_slot {
	uint64_t token;
	uint16_t next; /* in the chain, or in the list of free ones */
	uint16_t n_descriptors;
	bool in_flight; /* the head of a chain that the back-end has */
};

struct vhu_driver_split {
	struct vhu_frontend *frontend; /* borrowed */
	uint32_t index;		       /* of the vring */
	struct vring vring;	       /* as mapped here */
	uint64_t desc_gpa, avail_gpa, used_gpa;
	bool event_idx;
	bool indirect; /* chains go to a table; the caller may turn it off */
	bool busy;     /* wait looks without sleeping; the caller's */
	uint16_t base; /* for the next start; stop sets it */
	uint16_t avail_idx, published_idx; /* written to the ring; and shown to the back-end */
	uint16_t used_idx, seen_idx;	   /* taken from the ring; and seen there */
	uint16_t n_free, free_head;
	struct vhu_driver_slot *slots;
	struct vring_desc *tables; /* VHU_DRIVER_TABLE for each head; NULL without INDIRECT */
	uint64_t tables_gpa;
	int kick_fd, call_fd, err_fd; /* owned, non-blocking */
	uint64_t n_kicks;	      /* sent */
	uint64_t n_calls;	      /* received; see vhu_driver_split_count_calls() */
};

/*
 * A ring of size (a power of two) in the frontend's guest memory, with what was negotiated for
 * rings. Sends nothing. -ENOMEM: the guest's memory is used up.
 */
int vhu_driver_split_init(struct vhu_driver_split *driver, struct vhu_frontend *frontend,
			  uint32_t index, uint16_t size);
/* Does not talk to the back-end. */
void vhu_driver_split_finish(struct vhu_driver_split *driver);

/*
 * set_up: CALL, ERR, NUM, BASE, ADDR, KICK. start: the same, then ENABLE. A front-end with several
 * rings may set all of them up before it enables the first.
 */
int vhu_driver_split_set_up(struct vhu_driver_split *driver);
int vhu_driver_split_start(struct vhu_driver_split *driver);
/* ENABLE 0 and GET_VRING_BASE, which is remembered for the next start. */
int vhu_driver_split_stop(struct vhu_driver_split *driver);
/* As a rebooted guest leaves a stopped ring: zeros, and nothing in flight. */
void vhu_driver_split_reset(struct vhu_driver_split *driver);

/*
 * Adds a chain: first the readable buffers, then the writable ones. Returns its head, which is also
 * the number of its indirect table, or -ENOSPC when there are too few free descriptors.
 */
int vhu_driver_split_add(struct vhu_driver_split *driver, const struct vhu_guest_buffer *buffers,
			 unsigned n_readable, unsigned n_writable, uint64_t token);
/* Makes any number available as a head, sense or none. No descriptor is taken or given back. */
void vhu_driver_split_add_head(struct vhu_driver_split *driver, uint16_t head, uint64_t token);
struct vring_desc *vhu_driver_split_table(struct vhu_driver_split *driver, uint16_t head);

/* Shows the back-end what was added. */
void vhu_driver_split_publish(struct vhu_driver_split *driver);
/* Publishes, and kicks if the back-end asks for it: 1 if it did, 0 if not, or negative errno. */
int vhu_driver_split_kick(struct vhu_driver_split *driver);

/*
 * The next chain that the back-end has used: 1; 0: there is none; -EPROTO: it gave back what it did
 * not have.
 */
int vhu_driver_split_get(struct vhu_driver_split *driver, struct vhu_driver_used *ret_used);
/*
 * Waits for it, asleep until the call unless busy: 0; -ETIMEDOUT and -ECONNRESET as ever; -EIO: the
 * back-end signalled the ring's err fd.
 */
int vhu_driver_split_wait(struct vhu_driver_split *driver, struct vhu_driver_used *ret_used);
/* Add, kick and wait, with nothing else in flight. ret_len (may be NULL): bytes written. */
int vhu_driver_split_run(struct vhu_driver_split *driver, const struct vhu_guest_buffer *buffers,
			 unsigned n_readable, unsigned n_writable, uint32_t *ret_len);

/*
 * Calls for used entries: want asks for one at the next entry, and returns true when there is an
 * entry already (a call for it may never come). Refuse asks for none.
 */
bool vhu_driver_split_want_call(struct vhu_driver_split *driver);
void vhu_driver_split_refuse_calls(struct vhu_driver_split *driver);
/* All the calls so far, those that wait in call_fd included. */
uint64_t vhu_driver_split_count_calls(struct vhu_driver_split *driver);

#endif
