/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_MEMORY_MAP_H
#define VHU_MEMORY_MAP_H

/*
 * The guest's memory as the front-end told it (vhost-user, Memory region description): a map that
 * never changes. A change makes the next one; both share the mappings they have in common, and a
 * mapping goes with the last map that holds it. References are atomic, the rest is read-only.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "common/base/num.h"
#include "common/memory/mapping.h"

#define VHU_MEMORY_SLOTS 509 /* GET_MAX_MEM_SLOTS */

/* One region as on the wire; addresses and sizes in bytes. */
struct vhu_memory_region {
	uint64_t gpa;
	uint64_t size;
	uint64_t uaddr;
	uint64_t mmap_offset;
};

struct vhu_dirty_log; /* dirty_log.h */

/* One translated region of a map: guest address, front-end's user address, ours. */
struct vhu_memory_slot {
	uint64_t gpa;
	uint64_t size;
	uint64_t uaddr;
	char *host;
	struct vhu_mapping *mapping;
};

struct vhu_memory {
	atomic_uint refs;
	unsigned n_slots;
	struct vhu_memory_slot *by_gpa;	  /* sorted by gpa; holds the references to the mappings */
	struct vhu_memory_slot *by_uaddr; /* the same, sorted by uaddr */
	struct vhu_memory_health *health; /* shared by all maps derived from one empty map */
	struct vhu_dirty_log *log;	  /* a reference; NULL: writes are not logged */
	struct vhu_memory_slot slots[];
};

/* The first map of a session: no region. */
int vhu_memory_new(struct vhu_memory **ret_memory);
struct vhu_memory *vhu_memory_ref(struct vhu_memory *memory);
void vhu_memory_unref(struct vhu_memory *memory); /* NULL is fine */

/*
 * The next map: SET_MEM_TABLE replaces every region, ADD_MEM_REG adds one. fds are borrowed.
 * Refused with -EINVAL: size 0, address overflow, mmap_offset + size overflow, overlap of guest or
 * of user ranges; with -ERANGE: the file is shorter than mmap_offset + size; with -ENOSPC: more
 * than VHU_MEMORY_SLOTS; or the errno of fstat or mmap. old stays as it was.
 */
int vhu_memory_with_table(struct vhu_memory *old, const struct vhu_memory_region *regions,
			  const int *fds, unsigned n, struct vhu_memory **ret_memory);
int vhu_memory_with_region(struct vhu_memory *old, const struct vhu_memory_region *region, int fd,
			   struct vhu_memory **ret_memory);
/* The region whose gpa, size and uaddr are these; -ENOENT when there is none. */
int vhu_memory_without_region(struct vhu_memory *old, const struct vhu_memory_region *region,
			      struct vhu_memory **ret_memory);
/*
 * The same regions, and from now on this log (NULL: none), which all maps derived from it have too.
 */
int vhu_memory_with_log(struct vhu_memory *old, struct vhu_dirty_log *log,
			struct vhu_memory **ret_memory);

/* One-entry look-up cache: zero-initialised, of one thread and of one map (reset at a change). */
struct vhu_memory_cache {
	const struct vhu_memory_slot *slot;
};

/* Ours for guest physical [gpa, gpa + len) when the cached region holds all of it, else NULL. */
static inline char *vhu_memory_cached(const struct vhu_memory_cache *cache, uint64_t gpa,
				      uint64_t len)
{
	const struct vhu_memory_slot *slot = cache->slot;

	if (!slot || !range_fits(gpa - slot->gpa, len, slot->size))
		return NULL;
	return slot->host + (gpa - slot->gpa);
}

/* What vhu_memory_translate() does when the cache does not help. */
int vhu_memory_translate_pieces(const struct vhu_memory *memory, struct vhu_memory_cache *cache,
				uint64_t gpa, uint64_t len, struct iovec *iov, size_t max);

/*
 * Guest physical [gpa, gpa + len) as iovecs, split where regions meet. Returns the elements used,
 * 0 for len 0, -EFAULT when a byte lies outside all regions or the sum overflows, -E2BIG when max
 * is too small.
 */
static inline int vhu_memory_translate(const struct vhu_memory *memory,
				       struct vhu_memory_cache *cache, uint64_t gpa, uint64_t len,
				       struct iovec *iov, size_t max)
{
	char *host = vhu_memory_cached(cache, gpa, len);

	if (host && len && max) {
		*iov = (struct iovec){ .iov_base = host, .iov_len = len };
		return 1;
	}
	return vhu_memory_translate_pieces(memory, cache, gpa, len, iov, max);
}

/* The same by the front-end's user address. */
int vhu_memory_translate_uaddr(const struct vhu_memory *memory, uint64_t uaddr, uint64_t len,
			       struct iovec *iov, size_t max);

/* The same two as one contiguous piece inside one region, or NULL. Ring addresses come as uaddr. */
void *vhu_memory_from_gpa(const struct vhu_memory *memory, uint64_t gpa, uint64_t len);
void *vhu_memory_from_uaddr(const struct vhu_memory *memory, uint64_t uaddr, uint64_t len);
/* The region that an address of ours lies in, or NULL. */
const struct vhu_memory_slot *vhu_memory_slot_of(const struct vhu_memory *memory, const void *host);

/*
 * True once an access to any mapping of this session's maps has faulted (by SIGBUS, or noted after
 * an EFAULT): what was read since is not to be trusted, and the session must end.
 */
static inline bool vhu_memory_faulted(const struct vhu_memory *memory)
{
	/* After the reads that it is about. */
	atomic_thread_fence(memory_order_acquire);
	return atomic_load_explicit(&memory->health->faulted, memory_order_relaxed);
}

/*
 * False while pages may be missing (userfault.h), or when an access has faulted. An instruction is
 * then given a page of zeros in the end, a system call is not: what must not be zeros by mistake is
 * to be moved by system calls.
 */
static inline bool vhu_memory_is_whole(const struct vhu_memory *memory)
{
	return !atomic_load_explicit(&memory->health->partial, memory_order_relaxed) &&
	       !vhu_memory_faulted(memory);
}

static inline void vhu_memory_note_fault(const struct vhu_memory *memory)
{
	atomic_store_explicit(&memory->health->faulted, true, memory_order_relaxed);
}

#endif
