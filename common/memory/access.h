/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_MEMORY_ACCESS_H
#define VHU_MEMORY_ACCESS_H

/*
 * Reads and writes of words that the guest changes while we look. Each access is one load or store
 * of the full width, so nothing is read twice and no index is torn; virtio words are little-endian
 * (virtio 1.3, 2.4). le16/le32/le64 convert and are no-ops on a little-endian host.
 */

#include <endian.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

static inline uint16_t vhu_load_le16(const void *p)
{
	return le16toh(__atomic_load_n((const uint16_t *)p, __ATOMIC_RELAXED));
}

/* What the guest wrote before this index is visible after it. */
static inline uint16_t vhu_load_acquire_le16(const void *p)
{
	return le16toh(__atomic_load_n((const uint16_t *)p, __ATOMIC_ACQUIRE));
}

static inline void vhu_store_le16(void *p, uint16_t v)
{
	__atomic_store_n((uint16_t *)p, htole16(v), __ATOMIC_RELAXED);
}

/* What we wrote before this index is visible to who sees it. */
static inline void vhu_store_release_le16(void *p, uint16_t v)
{
	__atomic_store_n((uint16_t *)p, htole16(v), __ATOMIC_RELEASE);
}

static inline uint32_t vhu_load_le32(const void *p)
{
	return le32toh(__atomic_load_n((const uint32_t *)p, __ATOMIC_RELAXED));
}

static inline void vhu_store_le32(void *p, uint32_t v)
{
	__atomic_store_n((uint32_t *)p, htole32(v), __ATOMIC_RELAXED);
}

/* A store of ours, then a load of theirs, in that order on every CPU (event index handshake). */
static inline void vhu_full_barrier(void)
{
	atomic_thread_fence(memory_order_seq_cst);
}

/* Copies a structure out of guest memory once; the compiler may not go back for a field. */
static inline void vhu_copy_once(void *dst, const void *src, size_t len)
{
	memcpy(dst, src, len);
	atomic_signal_fence(memory_order_seq_cst);
}

#endif
