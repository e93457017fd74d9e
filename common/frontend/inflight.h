/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_FRONTEND_INFLIGHT_H
#define VHU_FRONTEND_INFLIGHT_H

/*
 * The in-flight record, which the front-end keeps for a back-end that dies (vhost-user, Inflight
 * I/O tracking). After a crash: connect and negotiate anew, share memory, set the record, then for
 * each ring vhu_driver_restore_base() and start; what was in flight arrives as if nothing had been.
 *
 * The layouts are here to be read, and to be spoilt.
 */

#include <assert.h>
#include <stdint.h>

#include "common/frontend/frontend.h"

struct vhu_record_split_entry {
	uint8_t inflight;
	uint8_t padding[5];
	uint16_t next;
	uint64_t counter;
};

struct vhu_record_split {
	uint64_t features;
	uint16_t version;
	uint16_t desc_num;
	uint16_t last_batch_head;
	uint16_t used_idx;
	struct vhu_record_split_entry desc[];
};

struct vhu_record_packed_entry {
	uint8_t inflight;
	uint8_t padding;
	uint16_t next;
	uint16_t last;
	uint16_t num;
	uint64_t counter;
	uint16_t id;
	uint16_t flags;
	uint32_t len;
	uint64_t addr;
};

struct vhu_record_packed {
	uint64_t features;
	uint16_t version;
	uint16_t desc_num;
	uint16_t free_head;
	uint16_t old_free_head;
	uint16_t used_idx;
	uint16_t old_used_idx;
	uint8_t used_wrap_counter;
	uint8_t old_used_wrap_counter;
	uint8_t padding[10]; /* 7 are named, the entries' alignment makes it so many */
	struct vhu_record_packed_entry desc[];
};

static_assert(sizeof(struct vhu_record_split_entry) == 16, "split entry");
static_assert(sizeof(struct vhu_record_split) == 16, "split region");
static_assert(sizeof(struct vhu_record_packed_entry) == 32, "packed entry");
static_assert(sizeof(struct vhu_record_packed) == 32, "packed region");

struct vhu_record {
	struct vhu_inflight wire; /* as the back-end told it, and as it shall be told */
	int fd;			  /* owned */
	char *host;		  /* mapped here, wire.mmap_size bytes */
};

/*
 * GET_INFLIGHT_FD for that many queues of that size; the record is mapped. -EPROTO: what came back
 * is not what was asked for, or the file is shorter than it says. The caller finishes it.
 */
int vhu_frontend_get_record(struct vhu_frontend *frontend, uint16_t n_queues, uint16_t queue_size,
			    struct vhu_record *ret_record);
/* SET_INFLIGHT_FD. */
int vhu_frontend_set_record(struct vhu_frontend *frontend, const struct vhu_record *record);
/* Also of zeros. */
void vhu_record_finish(struct vhu_record *record);

/* The region of one queue; which layout it has, the features tell. */
void *vhu_record_queue(const struct vhu_record *record, unsigned queue);
/* How many chains the region says are in flight. */
unsigned vhu_record_count_split(const struct vhu_record_split *region);
unsigned vhu_record_count_packed(const struct vhu_record_packed *region);

#endif
