/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_BASE_NUM_H
#define VHU_BASE_NUM_H

/* Arithmetic on numbers that a peer chose, and numbers that a person typed. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define container_of(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))

#define NS_PER_SEC 1000000000ull
#define NS_PER_MS 1000000ull
#define NS_PER_US 1000ull

/* True when a + b overflows; *ret_sum is valid only when it does not. */
static inline bool add_overflows(uint64_t a, uint64_t b, uint64_t *ret_sum)
{
	return __builtin_add_overflow(a, b, ret_sum);
}

static inline bool mul_overflows(uint64_t a, uint64_t b, uint64_t *ret_product)
{
	return __builtin_mul_overflow(a, b, ret_product);
}

/* True when [offset, offset + len) lies inside [0, size), overflow included. */
static inline bool range_fits(uint64_t offset, uint64_t len, uint64_t size)
{
	return offset <= size && len <= size - offset;
}

static inline bool ranges_overlap(uint64_t a, uint64_t a_len, uint64_t b, uint64_t b_len)
{
	return a_len && b_len && (a < b ? b - a < a_len : a - b < b_len);
}

static inline bool is_pow2(uint64_t n)
{
	return n && !(n & (n - 1));
}

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/*
 * A decimal number with nothing before or after it, in [min, max].
 * Returns 0, -EINVAL (not a number) or -ERANGE.
 */
int vhu_parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *ret_value);

/*
 * A size in bytes: a decimal number with an optional binary suffix K, M, G, T, P, in either case.
 * Errors as above.
 */
int vhu_parse_size(const char *text, uint64_t *ret_bytes);

#endif
