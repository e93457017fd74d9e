/* SPDX-License-Identifier: BSD-3-Clause */
#include <assert.h>

#include "common/backend/await_priv.h"
#include "common/base/fd.h"
#include "common/base/num.h"

static struct vhu_await_entry *at(struct vhu_await *await, unsigned i)
{
	return &await->entries[(await->first + i) % VHU_AWAIT_MAX];
}

void vhu_await_add(struct vhu_await *await, const struct vhu_await_entry *entry)
{
	assert(!vhu_await_is_full(await));
	*at(await, await->n++) = *entry;
}

bool vhu_await_first(const struct vhu_await *await, struct vhu_await_entry *ret_entry)
{
	if (!await->n)
		return false;
	*ret_entry = await->entries[await->first];
	return true;
}

void vhu_await_drop_first(struct vhu_await *await)
{
	await->first = (await->first + 1) % VHU_AWAIT_MAX;
	await->n--;
}

bool vhu_await_expire(struct vhu_await *await, uint64_t now_ns, struct vhu_await_entry *ret_entry)
{
	for (unsigned i = 0; i < await->n; i++) {
		struct vhu_await_entry *entry = at(await, i);

		if (!entry->given_up && entry->deadline_ns <= now_ns) {
			entry->given_up = true;
			*ret_entry = *entry;
			return true;
		}
	}
	return false;
}

void vhu_await_set_timer(struct vhu_await *await, struct vhu_source *timer)
{
	uint64_t next_ns = UINT64_MAX, now_ns = vhu_now_ns();

	for (unsigned i = 0; i < await->n; i++)
		if (!at(await, i)->given_up)
			next_ns = min_u64(next_ns, at(await, i)->deadline_ns);
	if (next_ns == UINT64_MAX)
		next_ns = 0;
	if (next_ns == await->timer_ns)
		return;
	await->timer_ns = next_ns;
	vhu_source_set_timer(timer, next_ns ? max_u64(next_ns, now_ns + 1) - now_ns : 0);
}
