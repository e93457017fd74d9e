/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_FRONTEND_DRIVER_H
#define VHU_FRONTEND_DRIVER_H

/*
 * The driver's half of a ring in the guest's memory, split or packed (virtio 1.3, 2.7 and 2.8) as
 * was negotiated. Nothing on the way of a request allocates, and none of add, get and kick makes a
 * system call, but for the kick itself. One thread a ring.
 *
 * The ring is open to who wants it broken: what add wrote is seen by the back-end only at the next
 * kick or publish, so a test adds a right chain, spoils its descriptors or its table, and kicks.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/frontend/driver_packed.h"
#include "common/frontend/driver_split.h"
#include "common/frontend/frontend.h"

/* Entries of the indirect table that each head has; longer chains use the ring's descriptors. */
#define VHU_DRIVER_TABLE 128

struct vhu_driver_layout;

struct vhu_driver_used {
	uint64_t token;
	uint32_t len;
	uint16_t head;
};

struct vhu_driver_slot {
	uint64_t token;
	uint32_t writable_len;
	uint16_t n_descriptors;
	uint16_t next;	/* split: in the chain; in both: in the list of free ones */
	uint16_t later; /* the head that was added after this one */
	bool in_flight; /* the head of a chain that the back-end has */
};

struct vhu_driver {
	const struct vhu_driver_layout *layout;
	struct vhu_frontend *frontend; /* borrowed */
	uint32_t index;		       /* of the vring */
	uint16_t size;
	bool event_idx, in_order;
	bool indirect;	 /* chains go to a table; the caller may turn it off */
	bool busy;	 /* wait looks without sleeping; the caller's */
	bool in_band;  /* kicks and calls are messages; from what was negotiated */
	bool in_batch;	 /* of used chains, under IN_ORDER; it ends with last */
	uint32_t base;	 /* for the next start; stop sets it */
	uint16_t n_free; /* descriptors */
	uint16_t free_head, oldest, newest, n_in_flight;
	struct vhu_driver_used last;
	struct vhu_driver_slot *slots;
	uint64_t desc_gpa, avail_gpa, used_gpa; /* packed: the driver's and the device's area */
	char *tables; /* VHU_DRIVER_TABLE descriptors for each head; NULL without INDIRECT */
	uint64_t tables_gpa;
	uint64_t iova_offset; /* of every address that the device is told */
	uint64_t log_gpa;     /* of the used ring, when log_used */
	bool log_used;
	int kick_fd, call_fd, err_fd; /* owned, non-blocking; -1: none, by the caller's wish */
	uint64_t n_kicks;	      /* sent */
	uint64_t n_calls;	      /* received; see vhu_driver_count_calls() */
	union {
		struct vhu_driver_split split;
		struct vhu_driver_packed packed;
	};
};

/*
 * A ring of size (split: a power of two) in the frontend's guest memory, with what was negotiated
 * for rings. Sends nothing. -ENOMEM: the guest's memory is used up.
 */
int vhu_driver_init(struct vhu_driver *driver, struct vhu_frontend *frontend, uint32_t index,
		    uint16_t size);
/* Does not talk to the back-end. */
void vhu_driver_finish(struct vhu_driver *driver);

/*
 * set_up: CALL, ERR, NUM, BASE, ADDR, KICK (in-band: no fds). start: the same, then ENABLE. A
 * front-end with several rings may set all of them up before it enables the first.
 */
int vhu_driver_set_up(struct vhu_driver *driver);
int vhu_driver_start(struct vhu_driver *driver);
/* ENABLE 0 and GET_VRING_BASE, which is remembered for the next start. */
int vhu_driver_stop(struct vhu_driver *driver);
/*
 * SET_VRING_ADDR with the flag that has the used ring logged, at the guest address log_gpa, or
 * without; the ring may run.
 */
int vhu_driver_log(struct vhu_driver *driver, bool on, uint64_t log_gpa);
/*
 * Sets base as QEMU has it after the back-end died: split: the used index in guest memory; packed:
 * what it was at the last start or stop.
 */
void vhu_driver_restore_base(struct vhu_driver *driver);
/* As a rebooted guest leaves a stopped ring: zeros, and nothing in flight. */
void vhu_driver_reset(struct vhu_driver *driver);
/* The base that a back-end stops at when it has used all that it was shown. */
uint32_t vhu_driver_idle_base(const struct vhu_driver *driver);

/*
 * Adds a chain: first the readable buffers, then the writable ones. Returns its head (packed: its
 * buffer ID), which is also the number of its indirect table, or -ENOSPC when there are too few
 * free descriptors.
 */
int vhu_driver_add(struct vhu_driver *driver, const struct vhu_guest_buffer *buffers,
		   unsigned n_readable, unsigned n_writable, uint64_t token);
/* Of struct vring_desc or struct vring_packed_desc. */
void *vhu_driver_table(const struct vhu_driver *driver, uint16_t head);

/* Shows the back-end what was added. */
void vhu_driver_publish(struct vhu_driver *driver);
/* Publishes, and kicks if the back-end asks for it: 1 if it did, 0 if not, or negative errno. */
int vhu_driver_kick(struct vhu_driver *driver);

/* Whether the back-end has used anything that was not taken yet. */
bool vhu_driver_has_used(const struct vhu_driver *driver);
/*
 * The next chain that the back-end has used: 1; 0: there is none; -EPROTO: it gave back what it did
 * not have. Under IN_ORDER the chains that a batch skipped come with their whole writable length.
 */
int vhu_driver_get(struct vhu_driver *driver, struct vhu_driver_used *ret_used);
/*
 * Waits for it, asleep until the call unless busy: 0; -ETIMEDOUT and -ECONNRESET as ever; -EIO: the
 * back-end signalled the ring's err fd.
 */
int vhu_driver_wait(struct vhu_driver *driver, struct vhu_driver_used *ret_used);
/* Add, kick and wait, with nothing else in flight. ret_len (may be NULL): bytes written. */
int vhu_driver_run(struct vhu_driver *driver, const struct vhu_guest_buffer *buffers,
		   unsigned n_readable, unsigned n_writable, uint32_t *ret_len);

/*
 * Calls for used chains: want asks for one at the next, and returns true when there is one already
 * (a call for it may never come). Refuse asks for none.
 */
bool vhu_driver_want_call(struct vhu_driver *driver);
void vhu_driver_refuse_calls(struct vhu_driver *driver);
/* All the calls so far, those that wait in call_fd included. */
uint64_t vhu_driver_count_calls(struct vhu_driver *driver);

#endif
