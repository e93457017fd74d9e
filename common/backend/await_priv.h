/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_BACKEND_AWAIT_PRIV_H
#define VHU_BACKEND_AWAIT_PRIV_H

/*
 * Requests that have no answer yet, in the order they were sent in, which is that of the answers.
 * Whoever has waited too long is told so, but the entry stays: the answer may still come, and must
 * not be taken for that of a later request.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/base/loop.h"

#define VHU_AWAIT_MAX 256

struct vhu_await_entry {
	uint32_t request;
	uint32_t tag; /* the owner's */
	uint64_t deadline_ns;
	bool given_up; /* nobody waits any more */
	void *waiter;  /* the owner's; NULL is fine */
};

struct vhu_await {
	struct vhu_await_entry entries[VHU_AWAIT_MAX];
	unsigned first, n;
	uint64_t timer_ns; /* what the timer is set to, or 0 */
};

static inline bool vhu_await_is_full(const struct vhu_await *await)
{
	return await->n == VHU_AWAIT_MAX;
}

/* Not when it is full. */
void vhu_await_add(struct vhu_await *await, const struct vhu_await_entry *entry);
/* The oldest; false when there is none. */
bool vhu_await_first(const struct vhu_await *await, struct vhu_await_entry *ret_entry);
void vhu_await_drop_first(struct vhu_await *await);
/* Gives up one whose time is over: true, and what it was. */
bool vhu_await_expire(struct vhu_await *await, uint64_t now_ns, struct vhu_await_entry *ret_entry);
/* Sets the timer to when the next one will be over. */
void vhu_await_set_timer(struct vhu_await *await, struct vhu_source *timer);

#endif
