/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_FRONTEND_GUEST_H
#define VHU_FRONTEND_GUEST_H

/*
 * The memory of the guest that we play: files mapped here, to be described to the back-end. Guest
 * addresses are the caller's choice, so regions may adjoin or leave gaps. User addresses are made
 * up, never where the memory is really mapped: a back-end in our own process that mistakes one for
 * the other is found out. Neighbours in guest memory are no neighbours in user addresses.
 */

#include <stdint.h>

#include "common/wire/payload.h"

#define VHU_GUEST_REGIONS 512

struct vhu_guest_region {
	struct vhu_wire_region wire; /* what the back-end is to be told */
	int fd;			     /* owned */
	char *host;
	uint64_t used_bytes; /* given out by vhu_guest_alloc() */
};

struct vhu_guest {
	unsigned n_regions;
	uint64_t next_uaddr;
	uint64_t iova_offset; /* I/O virtual address less guest address, under ACCESS_PLATFORM */
	struct vhu_guest_region regions[VHU_GUEST_REGIONS];
};

/* A piece of guest memory; also an element of a chain, where host does not matter. */
struct vhu_guest_buffer {
	uint64_t gpa;
	uint32_t len;
	void *host;
};

void vhu_guest_init(struct vhu_guest *guest);
void vhu_guest_finish(struct vhu_guest *guest);

/*
 * Adds a region: a memfd of its own, or a part of a file (fd is borrowed) that is large enough.
 * Returns its number or negative errno.
 */
int vhu_guest_add(struct vhu_guest *guest, uint64_t gpa, uint64_t size);
int vhu_guest_add_file(struct vhu_guest *guest, uint64_t gpa, uint64_t size, int fd,
		       uint64_t mmap_offset);

/*
 * Gives out memory that nobody had before, from the first region that has room (align is a power of
 * two). host is NULL when there is none left.
 */
struct vhu_guest_buffer vhu_guest_alloc(struct vhu_guest *guest, uint32_t len, uint32_t align);

/* Where [gpa, gpa + len) is mapped here, or NULL when it is not inside one region. */
void *vhu_guest_at(const struct vhu_guest *guest, uint64_t gpa, uint64_t len);
/* The user address of gpa, or 0 when no region has it. */
uint64_t vhu_guest_uaddr(const struct vhu_guest *guest, uint64_t gpa);

#endif
