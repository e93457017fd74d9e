/* SPDX-License-Identifier: BSD-3-Clause */
/* The IOMMU's side of the back-end that breaks rules on demand. */
#include <errno.h>

#include "common/base/num.h"
#include "tests/conformance/bad_parts.h"

#define ENTRIES 256
#define PAGE 4096u

static struct {
	unsigned n;
	struct vhu_iotlb_msg entries[ENTRIES];
	bool missed;
} tlb;

bool bad_has_iommu(void)
{
	return bad.acked & VHU_BIT(VHU_F_ACCESS_PLATFORM);
}

void bad_forget_iotlb(void)
{
	tlb.n = 0;
}

void bad_iotlb_begin(void)
{
	tlb.missed = false;
}

bool bad_iotlb_missed(void)
{
	return tlb.missed;
}

static void *miss(uint64_t iova, uint8_t perm)
{
	const struct vhu_iotlb_msg message = {
		.iova = iova,
		.perm = breaks("IOT-06") ? 3 : perm,
		.type = VHU_IOTLB_MISS,
	};

	tlb.missed = true;
	if (!breaks("IOT-01") && bad.channel_fd >= 0)
		vhu_message_send(bad.channel_fd, VHU_BACKEND_IOTLB_MSG, VHU_VERSION, &message,
				 sizeof(message), NULL, 0, 1000);
	return NULL;
}

/* Where iova is, and how many of len bytes are there in one piece. */
void *bad_at_iova(uint64_t iova, uint32_t *len, uint8_t perm)
{
	for (unsigned i = 0; i < tlb.n; i++) {
		const struct vhu_iotlb_msg *entry = &tlb.entries[i];
		uint64_t offset = iova - entry->iova;

		if (offset >= entry->size || (perm & ~entry->perm && !breaks("IOT-08")))
			continue;
		if (!breaks("IOT-05"))
			*len = (uint32_t)min_u64(*len, entry->size - offset);
		return bad_at_uaddr(entry->uaddr + offset, *len);
	}
	return miss(iova, perm);
}

/* A part of a ring, which is in one piece here as it is there. */
void *bad_at_ring(uint64_t address, uint64_t len, uint8_t perm)
{
	char *begin = NULL, *piece;

	if (!bad_has_iommu())
		return bad_at_uaddr(address, len);
	for (uint64_t done = 0; done < len;) {
		uint32_t n = (uint32_t)min_u64(len - done, PAGE - (address + done) % PAGE);

		piece = bad_at_iova(address + done, &n, perm);
		if (!piece || (begin && piece != begin + done))
			return NULL;
		begin = begin ? begin : piece;
		done += n;
	}
	return begin;
}

static int update(const struct vhu_iotlb_msg *message)
{
	uint64_t end;
	bool odd = !message->size || add_overflows(message->iova, message->size, &end) ||
		   !bad_at_uaddr(message->uaddr, message->size) || !message->perm ||
		   message->perm > 3;

	dies_of("IOT-11", odd);
	if (odd || tlb.n == ENTRIES)
		return breaks("IOT-09") ? 0 : EINVAL;
	tlb.entries[tlb.n++] = *message;
	for (unsigned i = 0; i < BAD_QUEUES; i++)
		bad_ring_run(&bad.rings[i]);
	return 0;
}

static int invalidate(const struct vhu_iotlb_msg *message)
{
	unsigned n = tlb.n;

	if (!breaks("IOT-03") && !breaks("IOT-10"))
		for (unsigned i = tlb.n; i-- > 0;)
			if (ranges_overlap(tlb.entries[i].iova, tlb.entries[i].size,
					   message->iova, message->size))
				tlb.entries[i] = tlb.entries[--tlb.n];
	for (unsigned i = 0; i < BAD_QUEUES && !breaks("IOT-04"); i++) {
		struct bad_ring *ring = &bad.rings[i];

		ring->unresolved |= ring->started;
		ring->started = false;
	}
	return breaks("IOT-02") && n == tlb.n ? EINVAL : 0;
}

int bad_iotlb_msg(struct vhu_message *message)
{
	const struct vhu_iotlb_msg *iotlb = &message->payload.iotlb;

	if (iotlb->type == VHU_IOTLB_UPDATE)
		return bad_reply_u64(message, (uint64_t)update(iotlb));
	if (iotlb->type == VHU_IOTLB_INVALIDATE)
		return bad_reply_u64(message, (uint64_t)invalidate(iotlb));
	return bad_reply_u64(message, EINVAL);
}
