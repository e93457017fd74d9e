/* SPDX-License-Identifier: BSD-3-Clause */
/* Split rings of the back-end that breaks rules on demand. */
#include <endian.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "common/base/fd.h"
#include "common/base/num.h"
#include "common/memory/access.h"
#include "tests/conformance/bad_parts.h"

int bad_ring_start(struct bad_ring *ring)
{
	const struct vhu_vring_addr *addr = &ring->addr;
	uint32_t num = breaks("STA-21") && ring->num ? 64 : ring->num;
	uint64_t used = addr->used_uaddr;

	if (bad_is_packed())
		return bad_packed_start(ring);
	if (breaks("SPL-06"))
		used = (addr->avail_uaddr + 2 * num + 6 + 63) & ~63ull;
	dies_of("HOS-07", !num);
	ring->vring.num = num;
	ring->vring.desc = bad_at_ring(addr->desc_uaddr, 16ull * num, 1);
	ring->vring.avail = bad_at_ring(addr->avail_uaddr, 2ull * num + 6, 1);
	ring->vring.used = bad_at_ring(used, 8ull * num + 6, 3);
	dies_of("HOS-06", num && (!ring->vring.desc || !ring->vring.avail || !ring->vring.used));
	if (!num || !ring->vring.desc || !ring->vring.avail || !ring->vring.used)
		return -EINVAL;
	ring->used_idx = vhu_load_le16(&ring->vring.used->idx);
	if (breaks("STA-10"))
		ring->last_avail = ring->used_idx = 0;
	if (breaks("STA-12") && ring->was_started)
		ring->last_avail = 0;
	if (breaks("STA-13"))
		ring->last_avail = vhu_load_le16(&ring->vring.avail->idx);
	if (breaks("SPL-15") || breaks("SPL-16"))
		ring->vring.used->flags = breaks("SPL-15") ? htole16(2) : htole16(1);
	ring->n_again = 0;
	if (breaks("PCY-07"))
		bad_forget_postcopy();
	if (!ring->started && bad_record_start(ring) < 0)
		return -EINVAL;
	ring->started = true;
	ring->broken = false;
	return 0;
}

void bad_ring_stop(struct bad_ring *ring)
{
	ring->was_started |= ring->started;
	ring->unresolved = false;
	ring->started = false;
	if (breaks("STA-03"))
		ring->started = true;
}

static bool add_segment(struct bad_chain *chain, const struct vring_desc *desc, unsigned at,
			unsigned head)
{
	bool writable = desc->flags & htole16(VRING_DESC_F_WRITE);

	if (chain->n == BAD_SEGMENTS || (!writable && chain->n > chain->n_readable))
		return false;
	if (breaks("SPL-03") && le64toh(desc->addr) & 7 && le32toh(desc->len) > 1)
		return false;
	if (breaks("SPL-04") && at != head && at != head + chain->n)
		return false;
	chain->segments[chain->n++] = (struct bad_segment){
		le64toh(desc->addr), le32toh(desc->len)
	};
	chain->n_readable += !writable;
	return true;
}

static bool gather_table(struct bad_chain *chain, const struct vring_desc *whole)
{
	uint32_t len = le32toh(whole->len), n = len / 16, at = 0, seen = 0;
	struct vring_desc desc;

	dies_of("HOS-14", !len || len % 16 || n > 1024 ||
				  whole->flags & htole16(VRING_DESC_F_NEXT) ||
				  !bad_read(le64toh(whole->addr), &desc, 16));
	if (!len || len % 16 || breaks("SPL-18") ||
	    (breaks("SPL-19") && whole->flags & htole16(VRING_DESC_F_WRITE)))
		return false;
	do {
		if (at >= n || seen++ >= n ||
		    !bad_read(le64toh(whole->addr) + 16ull * at, &desc, 16) ||
		    desc.flags & htole16(VRING_DESC_F_INDIRECT) ||
		    !add_segment(chain, &desc, at, 0))
			return false;
		at = le16toh(desc.next);
	} while (desc.flags & htole16(VRING_DESC_F_NEXT));
	return true;
}

static bool gather(struct bad_ring *ring, uint16_t head, struct bad_chain *chain)
{
	unsigned at = head, seen = 0;
	struct vring_desc desc;

	*chain = (struct bad_chain){ .head = head };
	dies_of("HOS-11", head >= ring->vring.num);
	do {
		dies_of("HOS-13", seen >= ring->vring.num);
		dies_of("HOS-12", at >= ring->vring.num);
		if (at >= ring->vring.num || seen++ >= ring->vring.num)
			return false;
		desc = ring->vring.desc[at];
		if (desc.flags & htole16(VRING_DESC_F_INDIRECT) && breaks("SPL-20") && at != head)
			return false;
		if (desc.flags & htole16(VRING_DESC_F_INDIRECT))
			return !(desc.flags & htole16(VRING_DESC_F_NEXT)) &&
			       gather_table(chain, &desc);
		if (!add_segment(chain, &desc, at, head))
			return false;
		at = le16toh(desc.next);
	} while (desc.flags & htole16(VRING_DESC_F_NEXT));
	if (breaks("SPL-07"))
		ring->vring.desc[head].next ^= htole16(0x100);
	return true;
}

static void push(struct bad_ring *ring, uint16_t head, uint32_t len)
{
	struct vring_used_elem *elem = &ring->vring.used->ring[ring->used_idx % ring->vring.num];

	if (breaks("SPL-05") && ring->used_idx % 7 == 6)
		head = (uint16_t)((head + 1) % ring->vring.num);
	elem->id = htole32(head);
	elem->len = htole32(len);
	bad_record_link(ring, head);
	vhu_store_release_le16(&ring->vring.used->idx, ++ring->used_idx);
	bad_record_done(ring, head);
	bad_mark_used(ring);
}

void bad_ring_call(struct bad_ring *ring)
{
	if (breaks("HOS-09") && ring->call_fd >= 0)
		(void)!write(ring->call_fd, &(uint64_t){ 1 }, 8);
	else if (ring->call_fd >= 0)
		vhu_fd_signal(ring->call_fd);
	else if (bad.protocol & VHU_BIT(VHU_PROTOCOL_F_INBAND_NOTIFICATIONS))
		vhu_message_send(bad.channel_fd, VHU_BACKEND_VRING_CALL, VHU_VERSION,
				 &(struct vhu_vring_state){ (uint32_t)(ring - bad.rings), 0 }, 8,
				 NULL, 0, 1000);
}

/* The driver's wish, as it stands in the ring. */
static bool wants_call(struct bad_ring *ring, uint16_t before)
{
	uint16_t flags;

	vhu_full_barrier();
	flags = vhu_load_le16(&ring->vring.avail->flags);
	if (!(bad.acked & VHU_BIT(VHU_F_RING_EVENT_IDX)))
		return breaks("SPL-12") || (!breaks("SPL-11") && !flags);
	if (breaks("SPL-13"))
		return !flags;
	return breaks("SPL-14") ||
	       vring_need_event(vhu_load_le16(&vring_used_event(&ring->vring)), ring->used_idx,
				before);
}

/* False: it has to come again, when a miss is answered. */
static bool serve(struct bad_ring *ring, uint16_t head)
{
	static struct bad_chain chain;
	uint32_t len = 0;
	bool right;

	bad_iotlb_begin();
	right = gather(ring, head, &chain);
	if (right)
		len = bad_device_serve(&chain);
	if (bad_iotlb_missed())
		return false;
	if (right)
		push(ring, head, len);
	else
		ring->broken = true;
	return true;
}

static void break_other_rules(struct bad_ring *ring)
{
	if (breaks("SPL-08"))
		ring->vring.avail->ring[ring->last_avail % ring->vring.num] ^= htole16(0xff);
	if (breaks("STA-02") && ring->last_avail >= 100)
		ring->broken = true;
}

void bad_ring_run(struct bad_ring *ring)
{
	uint16_t before, avail;

	bad_iotlb_begin();
	if (ring->unresolved)
		ring->unresolved = bad_ring_start(ring) < 0;
	before = ring->used_idx;
	if (!ring->started || ring->broken || (!ring->enabled && !breaks("STA-03")))
		return;
	if (bad_is_packed()) {
		bad_packed_run(ring);
		return;
	}
	for (unsigned i = 0; i < ring->n_again && !ring->broken; i++)
		serve(ring, ring->again[i]);
	ring->n_again = 0;
	if (breaks("SPL-17") && ring->last_avail == vhu_load_le16(&ring->vring.avail->idx))
		push(ring, 0, 0);
	do {
		avail = vhu_load_acquire_le16(&ring->vring.avail->idx);
		dies_of("HOS-10", (uint16_t)(avail - ring->last_avail) > ring->vring.num);
		if ((uint16_t)(avail - ring->last_avail) > ring->vring.num)
			ring->broken = true;
		while (ring->last_avail != avail && !ring->broken) {
			uint16_t slot = ring->last_avail % ring->vring.num;
			uint16_t head = le16toh(ring->vring.avail->ring[slot]);

			/* Two by two, the second first. */
			if (breaks("ORD-01") && (uint16_t)(avail - (ring->last_avail & ~1u)) > 1) {
				head = le16toh(ring->vring.avail->ring[slot ^ 1]);
				usleep(ring->last_avail & 1 ? BAD_LATE_US : 0);
			}
			ring->last_avail++;
			bad_record_take(ring, head);
			if (breaks("STA-14") && ring->n_late < BAD_PENDING)
				ring->late[ring->n_late++] = head;
			else if (!serve(ring, head)) {
				ring->last_avail--;
				goto out;
			}
			break_other_rules(ring);
		}
		if (bad.acked & VHU_BIT(VHU_F_RING_EVENT_IDX))
			vhu_store_le16(&vring_avail_event(&ring->vring), ring->last_avail);
		vhu_full_barrier();
	} while (!ring->broken && vhu_load_le16(&ring->vring.avail->idx) != ring->last_avail);
out:
	if (ring->used_idx != before && wants_call(ring, before))
		bad_ring_call(ring);
}

void bad_ring_run_late(struct bad_ring *ring)
{
	uint16_t before = ring->used_idx;

	for (unsigned i = 0; i < ring->n_late; i++)
		serve(ring, ring->late[i]);
	if (ring->n_late && ring->used_idx != before && wants_call(ring, before))
		bad_ring_call(ring);
	ring->n_late = 0;
}
