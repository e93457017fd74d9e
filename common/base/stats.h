/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_BASE_STATS_H
#define VHU_BASE_STATS_H

/*
 * Counters with one writer each (a worker) and any number of readers. No read-modify-write and no
 * lock: a reader may see a value that is one event old, never a torn one.
 */

#include <stdatomic.h>
#include <stdint.h>

struct vhu_counter {
	_Atomic uint64_t value;
};

static inline void vhu_counter_add(struct vhu_counter *c, uint64_t n)
{
	uint64_t value = atomic_load_explicit(&c->value, memory_order_relaxed);

	atomic_store_explicit(&c->value, value + n, memory_order_relaxed);
}

/* While nobody counts. */
static inline void vhu_counter_set(struct vhu_counter *c, uint64_t value)
{
	atomic_store_explicit(&c->value, value, memory_order_relaxed);
}

static inline uint64_t vhu_counter_get(const struct vhu_counter *c)
{
	return atomic_load_explicit(&((struct vhu_counter *)c)->value, memory_order_relaxed);
}

#endif
