/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_DEVICES_GPU_IDS_H
#define VHU_DEVICES_GPU_IDS_H

/* What the guest calls by a number of its own choice. */

#include <stdint.h>

#define VHU_GPU_ID_BUCKETS 4096

/* Embedded first in what has an id. */
struct vhu_gpu_id {
	uint32_t id;
	struct vhu_gpu_id *next;
};

/* Zero-initialised: empty. */
struct vhu_gpu_ids {
	struct vhu_gpu_id *buckets[VHU_GPU_ID_BUCKETS];
	unsigned n;
};

/* NULL: there is none. */
struct vhu_gpu_id *vhu_gpu_ids_find(const struct vhu_gpu_ids *ids, uint32_t id);
/* id->id is not there yet. */
void vhu_gpu_ids_add(struct vhu_gpu_ids *ids, struct vhu_gpu_id *id);
void vhu_gpu_ids_remove(struct vhu_gpu_ids *ids, const struct vhu_gpu_id *id);
/* Each, in no order; fn may remove the one that it is given. */
void vhu_gpu_ids_each(const struct vhu_gpu_ids *ids, void (*fn)(struct vhu_gpu_id *id, void *data),
		      void *data);

#endif
