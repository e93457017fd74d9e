/* SPDX-License-Identifier: BSD-3-Clause */

/* The in-flight record of a split ring. */

#include <stdlib.h>

#include <linux/virtio_ring.h>

#include "common/base/cleanup.h"
#include "common/memory/access.h"
#include "common/ring/inflight_priv.h"
#include "common/ring/layout_priv.h"

/*
 * A batch is given back by one store, that of the used index. Who dies before it has all of the
 * batch in flight still; who dies behind it leaves a used index that differs from the record's, and
 * the difference is the number of entries on top of this list that are in flight no more.
 */
void vhu_inflight_split_link(struct vhu_virtqueue *q)
{
	struct vhu_inflight_tracker *t = q->inflight;
	uint16_t head = t->last_batch_head;

	for (uint32_t i = 0; i < t->n_batch; i++) {
		inflight_store16(&t->split->desc[t->batch[i]].next, head);
		head = t->batch[i];
	}
	t->last_batch_head = head;
	inflight_store16(&t->split->last_batch_head, head);
}

/* The driver may use the same heads again at once, but we take none before this is done. */
void vhu_inflight_split_clear(struct vhu_virtqueue *q, uint16_t used_idx)
{
	struct vhu_inflight_tracker *t = q->inflight;

	for (uint32_t i = 0; i < t->n_batch; i++)
		inflight_store8(&t->split->desc[t->batch[i]].inflight, 0);
	inflight_store16(&t->split->used_idx, used_idx);
	t->n_batch = 0;
}

static bool is_in_flight(const struct vhu_inflight_split *record, uint32_t i)
{
	return __atomic_load_n(&record->desc[i].inflight, __ATOMIC_RELAXED);
}

static bool any_in_flight(const struct vhu_inflight_split *record, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (is_in_flight(record, i))
			return true;
	return false;
}

static int begin(struct vhu_virtqueue *q, uint16_t used_idx)
{
	struct vhu_inflight_tracker *t = q->inflight;

	for (uint32_t i = 0; i < q->size; i++)
		if (is_in_flight(t->split, i))
			inflight_store8(&t->split->desc[i].inflight, 0);
	t->split->features = 0;
	inflight_store16(&t->split->desc_num, (uint16_t)q->size);
	inflight_store16(&t->split->last_batch_head, 0);
	inflight_store16(&t->split->used_idx, used_idx);
	inflight_store16(&t->split->version, VHU_INFLIGHT_VERSION);
	return 0;
}

/* What was given back just before the end is in flight no more. */
static int finish_batch(struct vhu_inflight_tracker *t, uint32_t desc_num, uint16_t used_idx)
{
	uint16_t left = (uint16_t)(used_idx - inflight_load16(&t->split->used_idx));
	uint16_t entry = inflight_load16(&t->split->last_batch_head);

	if (left > desc_num)
		return -EBADMSG;
	while (left--) {
		if (entry >= desc_num)
			return -EBADMSG;
		inflight_store8(&t->split->desc[entry].inflight, 0);
		entry = inflight_load16(&t->split->desc[entry].next);
	}
	inflight_store16(&t->split->used_idx, used_idx);
	return 0;
}

int vhu_inflight_split_recover(struct vhu_virtqueue *q, uint32_t *base)
{
	const struct vring_used *used = q->device;
	uint16_t used_idx = vhu_load_le16(&used->idx);
	struct vhu_inflight_tracker *t = q->inflight;
	uint16_t version = inflight_load16(&t->split->version);
	uint32_t desc_num = inflight_load16(&t->split->desc_num), n = 0;
	cleanup_free struct vhu_inflight_found *found = NULL;
	int err;

	if (version == 0)
		return begin(q, used_idx);
	if (version != VHU_INFLIGHT_VERSION || t->split->features ||
	    desc_num > vhu_inflight_room(q))
		return -EBADMSG;
	*base = used_idx;
	/* It may have been another driver's, with another size. */
	if (!any_in_flight(t->split, desc_num))
		return begin(q, used_idx);
	if (desc_num < q->size)
		return -EBADMSG;
	err = finish_batch(t, desc_num, used_idx);
	if (err)
		return err;
	found = calloc(q->size, sizeof(*found));
	if (!found)
		return -ENOMEM;
	for (uint32_t i = 0; i < desc_num; i++) {
		if (!is_in_flight(t->split, i))
			continue;
		if (i >= q->size)
			return -EBADMSG;
		found[n++] = (struct vhu_inflight_found){ t->split->desc[i].counter, (uint16_t)i };
	}
	vhu_inflight_do_again(t, found, n);
	t->last_batch_head = inflight_load16(&t->split->last_batch_head);
	*base = (uint16_t)(used_idx + n);
	return 0;
}
