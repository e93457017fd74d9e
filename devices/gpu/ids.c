/* SPDX-License-Identifier: BSD-3-Clause */
#include "devices/gpu/ids.h"

#include <stddef.h>

static uint32_t bucket_of(uint32_t id)
{
	return id * 2654435761u >> 20;
}

_Static_assert(VHU_GPU_ID_BUCKETS == 1 << 12, "bucket_of() gives 12 bits");

struct vhu_gpu_id *vhu_gpu_ids_find(const struct vhu_gpu_ids *ids, uint32_t id)
{
	struct vhu_gpu_id *at = ids->buckets[bucket_of(id)];

	while (at && at->id != id)
		at = at->next;
	return at;
}

void vhu_gpu_ids_add(struct vhu_gpu_ids *ids, struct vhu_gpu_id *id)
{
	struct vhu_gpu_id **bucket = &ids->buckets[bucket_of(id->id)];

	id->next = *bucket;
	*bucket = id;
	ids->n++;
}

void vhu_gpu_ids_remove(struct vhu_gpu_ids *ids, const struct vhu_gpu_id *id)
{
	struct vhu_gpu_id **at = &ids->buckets[bucket_of(id->id)];

	while (*at != id)
		at = &(*at)->next;
	*at = id->next;
	ids->n--;
}

void vhu_gpu_ids_each(const struct vhu_gpu_ids *ids, void (*fn)(struct vhu_gpu_id *id, void *data),
		      void *data)
{
	for (unsigned i = 0; i < VHU_GPU_ID_BUCKETS; i++)
		for (struct vhu_gpu_id *at = ids->buckets[i], *next; at; at = next) {
			next = at->next;
			fn(at, data);
		}
}
