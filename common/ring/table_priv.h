/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_RING_TABLE_PRIV_H
#define VHU_RING_TABLE_PRIV_H

/* Descriptors and indirect tables as they lie in guest memory, for every layout. */

#include "common/memory/access.h"
#include "common/ring/layout_priv.h"

/* Of a descriptor, in every layout and table (virtio 1.3, 2.7.5, 2.8.13). */
#define DESCRIPTOR_BYTES 16

/* Where descriptors come from: the split ring's table, or an indirect one. */
struct table {
	const char *host; /* NULL when it crosses a border of regions */
	uint64_t gpa;
	uint32_t count;
	bool indirect;
};

/*
 * The indirect table of len bytes at gpa. This and those below return 0, -EINVAL: malformed, or
 * -EAGAIN: q->missed.
 */
int vhu_table_open(struct vhu_virtqueue *q, uint64_t gpa, uint32_t len, struct table *ret_table);
/* From one that does not lie in one piece (CVE-2018-1059). */
int vhu_table_fetch_pieces(struct vhu_virtqueue *q, const struct table *table, uint32_t i,
			   void *ret_descriptor);

/* A descriptor that was read, in our byte order. */
struct descriptor {
	uint64_t addr;
	uint32_t len;
	uint16_t third;	 /* split: flags; packed: buffer id */
	uint16_t fourth; /* split: next; packed: flags */
};

/* Reads a descriptor, once. In words: from a copy in memory each field comes later. */
static inline struct descriptor descriptor_read(const void *at)
{
	uint64_t addr, rest;

	vhu_copy_once(&addr, at, sizeof(addr));
	vhu_copy_once(&rest, (const char *)at + sizeof(addr), sizeof(rest));
	rest = le64toh(rest);
	return (struct descriptor){
		.addr = le64toh(addr),
		.len = (uint32_t)rest,
		.third = (uint16_t)(rest >> 32),
		.fourth = (uint16_t)(rest >> 48),
	};
}

/* Reads descriptor i, once. */
static inline int table_fetch(struct vhu_virtqueue *q, const struct table *table, uint32_t i,
			      struct descriptor *ret_descriptor)
{
	char copy[DESCRIPTOR_BYTES];
	int err;

	if (table->host) {
		*ret_descriptor = descriptor_read(table->host + (size_t)i * DESCRIPTOR_BYTES);
		return 0;
	}
	err = vhu_table_fetch_pieces(q, table, i, copy);
	if (!err)
		*ret_descriptor = descriptor_read(copy);
	return err;
}

#endif
