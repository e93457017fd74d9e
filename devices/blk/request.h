/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_DEVICES_BLK_REQUEST_H
#define VHU_DEVICES_BLK_REQUEST_H

/* Requests of the driver (virtio 1.3, 5.2.6): decoded, checked, done, answered. */

#include <linux/virtio_blk.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/num.h"
#include "common/memory/map.h"
#include "common/ring/chain.h"
#include "devices/blk/io.h"
#include "devices/blk/stats.h"

/* What the headers of Debian 12 do not have yet. */
#ifndef VIRTIO_BLK_F_LIFETIME
#define VIRTIO_BLK_F_LIFETIME 15
#define VIRTIO_BLK_T_GET_LIFETIME 10
#endif

#define VHU_BLK_SECTOR_BYTES 512u
#define VHU_BLK_FEATURE(name) (1ull << VIRTIO_BLK_F_##name)

/*
 * Most sectors of one segment, and segments of one request. Forgetting is quick, and mkfs of a
 * large disk wants much of it; zeros may have to be written.
 */
#define VHU_BLK_MAX_SEGMENTS 256u
#define VHU_BLK_MAX_DISCARD_SECTORS (2u << (30 - 9))
#define VHU_BLK_MAX_ZEROES_SECTORS (256u << (20 - 9))
#define VHU_BLK_MAX_ERASE_SECTORS VHU_BLK_MAX_DISCARD_SECTORS

/* virtio 1.3, 5.2.6: struct virtio_blk_lifetime, in the order of its fields. */
struct vhu_blk_lifetime {
	uint16_t pre_eol_info;
	uint16_t est_typ_a;
	uint16_t est_typ_b;
};

/* The disk as requests see it. */
struct vhu_blk_disk {
	struct vhu_blk_io *io;
	uint64_t start_bytes;		   /* in the file */
	_Atomic uint64_t capacity_sectors; /* main changes it */
	_Atomic uint64_t features;	   /* what the driver took */
	atomic_bool writeback;		   /* the config field */
	bool read_only;
	bool unsafe; /* nothing waits for stable storage */
	bool unmap;  /* zeros may become holes when the driver allows it */
	char serial[VIRTIO_BLK_ID_BYTES + 1];
	int (*get_lifetime)(void *data, struct vhu_blk_lifetime *ret_lifetime);
	void *lifetime_data;
};

struct vhu_blk_request {
	/* The caller's: set before it is run. */
	struct vhu_chain *chain;
	struct vhu_blk_disk *disk;
	struct vhu_blk_stats *stats;
	const struct vhu_memory *memory; /* what the chain points into */
	/* For an engine that answers later: the answer is in the chain. On the worker. */
	void (*answered)(struct vhu_blk_request *request);

	/* The answer. */
	uint32_t written; /* bytes of the writable part, for push */

	/* The request's own. */
	const struct vhu_blk_type *type;
	uint64_t sector;
	uint64_t reply_bytes; /* room for data in the writable part, if the type has any */
	struct vhu_blk_io_op op;
};

/*
 * Hints that a request comes up soon: its header, then (with that in the cache) the data it reads.
 * Nothing that is read here is relied on.
 */
static inline void vhu_blk_request_prefetch_header(const struct vhu_chain *chain)
{
	if (chain->n_readable)
		__builtin_prefetch(chain->iov->iov_base);
}
void vhu_blk_request_prefetch_data(const struct vhu_blk_disk *disk, const struct vhu_chain *chain);

/*
 * True: answered, push chain with written. False: answered() will be called, and the request must
 * stay where it is until then.
 */
bool vhu_blk_request_run(struct vhu_blk_request *request);

#endif
