/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>

#include "common/base/num.h"
#include "common/frontend/iotlb.h"

int vhu_frontend_iotlb_send(struct vhu_frontend *frontend, const struct vhu_iotlb_msg *message)
{
	struct vhu_message reply;
	int r = vhu_frontend_call(frontend, VHU_IOTLB_MSG, message, sizeof(*message), NULL, 0,
				  &reply);

	if (r < 0)
		return r;
	if (reply.header.size != sizeof(reply.payload.u64))
		r = -EPROTO;
	else if (reply.payload.u64)
		r = -EREMOTEIO;
	vhu_message_finish(&reply);
	return r;
}

static const struct vhu_iotlb_msg *find(const struct vhu_frontend_iotlb *iotlb, uint64_t iova,
					uint8_t perm)
{
	for (unsigned i = 0; i < iotlb->n; i++) {
		const struct vhu_iotlb_msg *map = &iotlb->maps[i];

		if (iova - map->iova < map->size && !(perm & ~map->perm))
			return map;
	}
	return NULL;
}

int vhu_frontend_iotlb_answer(struct vhu_frontend_iotlb *iotlb, uint64_t iova, uint8_t perm)
{
	const struct vhu_iotlb_msg *map = find(iotlb, iova, perm);
	struct vhu_iotlb_msg update;
	uint64_t before, after;

	if (!map)
		return -EFAULT;
	update = *map;
	if (iotlb->page_bytes) {
		before = min_u64(iova & (iotlb->page_bytes - 1), iova - map->iova);
		after = min_u64(iotlb->page_bytes - (iova & (iotlb->page_bytes - 1)),
				map->size - (iova - map->iova));
		update.iova = iova - before;
		update.uaddr = map->uaddr + (update.iova - map->iova);
		update.size = before + after;
	}
	return vhu_frontend_iotlb_send(iotlb->frontend, &update);
}

/* 0 also for a miss of what is not mapped would tell the back-end that an update has come. */
static uint64_t take_miss(struct vhu_frontend_iotlb *iotlb, const struct vhu_iotlb_msg *miss)
{
	iotlb->n_misses++;
	iotlb->last_miss = *miss;
	if (iotlb->hold && iotlb->n_held < VHU_FRONTEND_IOTLB_MAX) {
		iotlb->held[iotlb->n_held++] = *miss;
		return 0;
	}
	if (vhu_frontend_iotlb_answer(iotlb, miss->iova, miss->perm) == 0)
		return 0;
	iotlb->n_unknown++;
	return 1;
}

static uint64_t on_request(void *data, const struct vhu_message *request)
{
	struct vhu_frontend_iotlb *iotlb = data;
	const struct vhu_iotlb_msg *message = &request->payload.iotlb;

	if (request->header.request != VHU_BACKEND_IOTLB_MSG)
		return 0;
	switch (message->type) {
	case VHU_IOTLB_MISS:
		return take_miss(iotlb, message);
	case VHU_IOTLB_ACCESS_FAIL:
		iotlb->n_access_fails++;
		iotlb->last_fail = *message;
		return 0;
	default:
		return 1;
	}
}

void vhu_frontend_iotlb_init(struct vhu_frontend_iotlb *iotlb, struct vhu_frontend *frontend)
{
	*iotlb = (struct vhu_frontend_iotlb){
		.frontend = frontend,
		.page_bytes = VHU_FRONTEND_IOTLB_PAGE,
	};
	frontend->on_request = on_request;
	frontend->on_request_data = iotlb;
}

void vhu_frontend_iotlb_finish(struct vhu_frontend_iotlb *iotlb)
{
	if (iotlb->frontend && iotlb->frontend->on_request_data == iotlb)
		iotlb->frontend->on_request = NULL;
	iotlb->frontend = NULL;
}

static int add_map(struct vhu_frontend_iotlb *iotlb, const struct vhu_iotlb_msg *map)
{
	if (iotlb->n == VHU_FRONTEND_IOTLB_MAX)
		return -ENOSPC;
	iotlb->maps[iotlb->n++] = *map;
	return 0;
}

int vhu_frontend_iotlb_map(struct vhu_frontend_iotlb *iotlb, uint64_t iova, uint64_t gpa,
			   uint64_t size, uint8_t perm)
{
	const struct vhu_guest *guest = &iotlb->frontend->guest;
	struct vhu_iotlb_msg map = {
		.iova = iova,
		.size = size,
		.uaddr = vhu_guest_uaddr(guest, gpa),
		.perm = perm,
		.type = VHU_IOTLB_UPDATE,
	};

	return vhu_guest_at(guest, gpa, size) ? add_map(iotlb, &map) : -EINVAL;
}

int vhu_frontend_iotlb_map_guest(struct vhu_frontend_iotlb *iotlb, uint64_t offset)
{
	struct vhu_guest *guest = &iotlb->frontend->guest;
	int r = 0;

	guest->iova_offset = offset;
	for (unsigned i = 0; i < guest->n_regions && r == 0; i++) {
		const struct vhu_wire_region *wire = &guest->regions[i].wire;

		r = vhu_frontend_iotlb_map(iotlb, wire->gpa + offset, wire->gpa, wire->size, 3);
	}
	return r;
}

/* What is left of a mapping on both sides of [iova, iova + size). */
static int cut(struct vhu_frontend_iotlb *iotlb, struct vhu_iotlb_msg map, uint64_t iova,
	       uint64_t size)
{
	struct vhu_iotlb_msg below = map, above = map;
	uint64_t end, map_end = map.iova + map.size;
	int r = 0;

	if (add_overflows(iova, size, &end))
		end = UINT64_MAX;
	if (map.iova < iova) {
		below.size = iova - map.iova;
		r = add_map(iotlb, &below);
	}
	if (r == 0 && end < map_end) {
		above.iova = end;
		above.uaddr = map.uaddr + (end - map.iova);
		above.size = map_end - end;
		r = add_map(iotlb, &above);
	}
	return r;
}

int vhu_frontend_iotlb_unmap(struct vhu_frontend_iotlb *iotlb, uint64_t iova, uint64_t size)
{
	struct vhu_iotlb_msg message = { .iova = iova, .size = size, .type = VHU_IOTLB_INVALIDATE };
	unsigned n = iotlb->n;
	int r = 0;

	for (unsigned i = n; i-- > 0 && r == 0;) {
		struct vhu_iotlb_msg map = iotlb->maps[i];

		if (!ranges_overlap(map.iova, map.size, iova, size))
			continue;
		iotlb->maps[i] = iotlb->maps[--iotlb->n];
		r = cut(iotlb, map, iova, size);
	}
	return r < 0 ? r : vhu_frontend_iotlb_send(iotlb->frontend, &message);
}

int vhu_frontend_iotlb_release(struct vhu_frontend_iotlb *iotlb)
{
	unsigned n = iotlb->n_held;
	int r = 0;

	iotlb->hold = false;
	iotlb->n_held = 0;
	for (unsigned i = 0; i < n && r == 0; i++)
		r = vhu_frontend_iotlb_answer(iotlb, iotlb->held[i].iova, iotlb->held[i].perm);
	return r;
}
