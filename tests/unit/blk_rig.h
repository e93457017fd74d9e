/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_UNIT_BLK_RIG_H
#define TESTS_UNIT_BLK_RIG_H

/* A disk whose engine is an array, and requests for it in pieces. */

#include <endian.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/log.h"
#include "devices/blk/request.h"

#define SECTORS 64
#define START 4096 /* of the disk in its file */
#define UNTOUCHED 0xee
#define SERIAL "a serial of 20 chars"

#define ALL \
	(VHU_BLK_FEATURE(FLUSH) | VHU_BLK_FEATURE(CONFIG_WCE) | VHU_BLK_FEATURE(DISCARD) | \
	 VHU_BLK_FEATURE(WRITE_ZEROES) | VHU_BLK_FEATURE(SECURE_ERASE) | \
	 VHU_BLK_FEATURE(LIFETIME))

/* An engine on an array that writes down what it was asked. */
struct fake_io {
	struct vhu_blk_io io;
	uint8_t bytes[START + SECTORS * 512];
	struct vhu_blk_io_op ops[512];
	unsigned n_ops;
	int result;
	unsigned fail_from; /* the first operation that gives result */
	size_t part_bytes;  /* what a failing read does before it fails */
	struct vhu_blk_io_op *waiting;
};

/* A request in pieces, each of which is a buffer of its own so that a sanitizer sees its ends. */
#define PIECES 6
struct rig {
	struct fake_io fake;
	struct vhu_blk_disk disk;
	struct vhu_blk_stats stats;
	struct vhu_memory_health health;
	struct vhu_chain chain;
	struct iovec iov[PIECES];
	struct vhu_blk_request request;
	unsigned answers;
};

struct out_request {
	struct virtio_blk_outhdr header;
	uint8_t data[8192];
};

struct segments_request {
	struct virtio_blk_outhdr header;
	struct virtio_blk_discard_write_zeroes segments[VHU_BLK_MAX_SEGMENTS + 1];
};

/* The writable part of the last run(). */
extern uint8_t out_bytes[65536];

void rig_init(struct rig *rig);

/*
 * Runs a request whose two parts are each cut at a and b. out gets the writable part, which must
 * hold writable bytes. True: answered.
 */
bool run_cut(struct rig *rig, const void *readable, size_t readable_bytes, uint8_t *out,
	     size_t writable_bytes, size_t a, size_t b);

/* With both parts in one piece, the writable one in out_bytes; returns the status. */
uint8_t run(struct rig *rig, const void *readable, size_t readable_bytes, size_t writable_bytes);

/* out_len bytes for the disk, in_len for what it answers besides the status. */
uint8_t run_type(struct rig *rig, uint32_t type, uint64_t sector, size_t out_len, size_t in_len);

void set_header(struct virtio_blk_outhdr *header, uint32_t type, uint64_t sector);
void set_segment(struct segments_request *request, size_t i, uint64_t sector, uint32_t n_sectors,
		 uint32_t flags);

#define OK VIRTIO_BLK_S_OK
#define IOERR VIRTIO_BLK_S_IOERR
#define UNSUPP VIRTIO_BLK_S_UNSUPP

#endif
