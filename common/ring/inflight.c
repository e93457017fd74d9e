/* SPDX-License-Identifier: BSD-3-Clause */
#include "common/ring/inflight.h"

#include <stdlib.h>

#include "common/base/num.h"
#include "common/memory/mapping.h"
#include "common/ring/inflight_priv.h"
#include "common/ring/layout_priv.h"

uint64_t vhu_inflight_bytes(uint32_t queue_size)
{
	uint64_t bytes = max_u64(area_bytes(&vhu_ring_split.record, queue_size),
				 area_bytes(&vhu_ring_packed.record, queue_size));

	return (bytes + VHU_INFLIGHT_UNIT_BYTES - 1) / VHU_INFLIGHT_UNIT_BYTES *
	       VHU_INFLIGHT_UNIT_BYTES;
}

/* Where the version lies is the same in every layout. */
void vhu_inflight_forget(const struct vhu_inflight_region *region)
{
	struct vhu_inflight_split *record = region->record;

	if (record)
		inflight_store16(&record->version, 0);
}

uint32_t vhu_inflight_room(const struct vhu_virtqueue *q)
{
	const struct vhu_ring_area *form = &q->layout->record;
	uint64_t bytes = q->setup.inflight.size_bytes;

	if (bytes < form->fixed_bytes)
		return 0;
	return (uint32_t)min_u64((bytes - form->fixed_bytes) / form->entry_bytes,
				 VHU_VIRTQUEUE_MAX_SIZE);
}

int vhu_inflight_attach(struct vhu_virtqueue *q)
{
	struct vhu_inflight_tracker *t;

	if (!q->setup.inflight.record || vhu_inflight_room(q) < q->size)
		return 0;
	t = calloc(1, sizeof(*t) + 2ull * q->size * sizeof(*t->batch));
	if (!t)
		return -ENOMEM;
	t->record = q->setup.inflight.record;
	t->mapping = vhu_mapping_ref(q->setup.inflight.mapping);
	t->batch = (uint16_t *)(t + 1);
	t->again = t->batch + q->size;
	q->inflight = t;
	return 0;
}

void vhu_inflight_detach(struct vhu_virtqueue *q)
{
	if (!q->inflight)
		return;
	vhu_mapping_unref(q->inflight->mapping);
	free(q->inflight->links);
	free(q->inflight);
	q->inflight = NULL;
}

static int compare(const void *a, const void *b)
{
	const struct vhu_inflight_found *x = a, *y = b;

	return x->counter < y->counter ? -1 : x->counter > y->counter;
}

void vhu_inflight_do_again(struct vhu_inflight_tracker *t, struct vhu_inflight_found *found,
			   uint32_t n)
{
	qsort(found, n, sizeof(*found), compare);
	for (uint32_t i = 0; i < n; i++)
		t->again[i] = found[i].entry;
	t->n_again = n;
	t->counter = n ? found[n - 1].counter + 1 : 0;
}

void vhu_virtqueue_leave(struct vhu_virtqueue *q, struct vhu_chain *chain)
{
	assert(q->inflight);
	chain_put(q, chain);
}

uint32_t vhu_virtqueue_n_again(const struct vhu_virtqueue *q)
{
	return inflight_has_again(q) ? q->inflight->n_again - q->inflight->n_again_popped : 0;
}
