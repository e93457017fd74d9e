/* SPDX-License-Identifier: BSD-3-Clause */
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "common/base/num.h"
#include "common/frontend/driver_priv.h"
#include "common/memory/access.h"

static uint16_t slot_of(const struct vhu_driver *driver, uint16_t idx)
{
	return idx & (driver->size - 1);
}

static uint32_t avail_bytes(const struct vhu_driver *driver)
{
	return (uint32_t)sizeof(uint16_t) * (driver->size + 3u);
}

static uint32_t used_bytes(const struct vhu_driver *driver)
{
	return (uint32_t)(sizeof(uint16_t) * 3 + driver->size * sizeof(struct vring_used_elem));
}

static int init(struct vhu_driver *driver)
{
	struct vring *vring = &driver->split.vring;

	if (!is_pow2(driver->size))
		return -EINVAL;
	vring->num = driver->size;
	vring->desc = vhu_driver_alloc_area(driver, driver->size * (uint32_t)sizeof(*vring->desc),
					    &driver->desc_gpa);
	vring->avail = vhu_driver_alloc_area(driver, avail_bytes(driver), &driver->avail_gpa);
	vring->used = vhu_driver_alloc_area(driver, used_bytes(driver), &driver->used_gpa);
	return vring->desc && vring->avail && vring->used ? 0 : -ENOMEM;
}

static void reset(struct vhu_driver *driver)
{
	struct vring vring = driver->split.vring;

	memset(vring.desc, 0, driver->size * sizeof(*vring.desc));
	memset(vring.avail, 0, avail_bytes(driver));
	memset(vring.used, 0, used_bytes(driver));
	driver->split = (struct vhu_driver_split){
		.vring = vring,
		.free_tail = (uint16_t)(driver->size - 1),
	};
	driver->base = 0;
}

static uint32_t idle_base(const struct vhu_driver *driver)
{
	return driver->split.avail_idx;
}

/* Nobody but the ring remembers, and the ring does not know the back-end's available index. */
static uint32_t crash_base(const struct vhu_driver *driver)
{
	return vhu_load_acquire_le16(&driver->split.vring.used->idx);
}

static void write_desc(const struct vhu_driver *driver, struct vring_desc *desc,
		       const struct vhu_guest_buffer *buffer, uint16_t flags, uint16_t next)
{
	desc->addr = htole64(buffer->gpa + driver->iova_offset);
	desc->len = htole32(buffer->len);
	desc->flags = htole16(flags);
	desc->next = htole16(next);
}

static void write_indirect(struct vhu_driver *driver, const struct vhu_guest_buffer *buffers,
			   unsigned n_readable, unsigned n)
{
	uint16_t head = driver->free_head;
	struct vring_desc *table = vhu_driver_table(driver, head);
	struct vhu_guest_buffer whole = vhu_driver_table_buffer(driver, head, n);

	for (unsigned i = 0; i < n; i++)
		write_desc(driver, &table[i], &buffers[i], vhu_driver_flags(i, n_readable, n),
			   (uint16_t)(i + 1));
	write_desc(driver, &driver->split.vring.desc[head], &whole, VRING_DESC_F_INDIRECT, 0);
	driver->free_head = driver->slots[head].next;
}

static void write_direct(struct vhu_driver *driver, const struct vhu_guest_buffer *buffers,
			 unsigned n_readable, unsigned n)
{
	uint16_t at = driver->free_head;

	for (unsigned i = 0; i < n; i++) {
		uint16_t next = driver->slots[at].next;

		write_desc(driver, &driver->split.vring.desc[at], &buffers[i],
			   vhu_driver_flags(i, n_readable, n), i + 1 < n ? next : 0);
		at = next;
	}
	driver->free_head = at;
}

static void make_available(struct vhu_driver *driver, uint16_t head)
{
	struct vhu_driver_split *split = &driver->split;

	split->vring.avail->ring[slot_of(driver, split->avail_idx)] = htole16(head);
	split->avail_idx++;
}

static uint16_t add(struct vhu_driver *driver, const struct vhu_guest_buffer *buffers,
		    unsigned n_readable, unsigned n, bool indirect)
{
	uint16_t head = driver->free_head;

	if (indirect)
		write_indirect(driver, buffers, n_readable, n);
	else
		write_direct(driver, buffers, n_readable, n);
	make_available(driver, head);
	return head;
}

void vhu_driver_split_add_head(struct vhu_driver *driver, uint16_t head, uint64_t token)
{
	if (head < driver->size && !driver->slots[head].in_flight) {
		driver->slots[head].n_descriptors = 0;
		vhu_driver_mark_in_flight(driver, head, token, 0);
	}
	make_available(driver, head);
}

static bool publish(struct vhu_driver *driver)
{
	struct vhu_driver_split *split = &driver->split;
	uint16_t before = split->published_idx;

	split->published_idx = split->avail_idx;
	vhu_store_release_le16(&split->vring.avail->idx, split->avail_idx);
	vhu_full_barrier();
	if (driver->event_idx)
		return vring_need_event(vhu_load_le16(&vring_avail_event(&split->vring)),
					split->published_idx, before);
	return !(vhu_load_le16(&split->vring.used->flags) & VRING_USED_F_NO_NOTIFY);
}

static bool has_used(const struct vhu_driver *driver)
{
	const struct vhu_driver_split *split = &driver->split;

	return vhu_load_acquire_le16(&split->vring.used->idx) != split->used_idx;
}

static int peek(struct vhu_driver *driver, uint32_t *ret_head, uint32_t *ret_len)
{
	struct vhu_driver_split *split = &driver->split;
	const struct vring_used_elem *elem;

	if (split->seen_idx == split->used_idx) {
		split->seen_idx = vhu_load_acquire_le16(&split->vring.used->idx);
		if (split->seen_idx == split->used_idx)
			return 0;
		if ((uint16_t)(split->seen_idx - split->used_idx) >
		    (uint16_t)(split->published_idx - split->used_idx))
			return -EPROTO;
	}
	elem = &split->vring.used->ring[slot_of(driver, split->used_idx)];
	*ret_head = le32toh(elem->id);
	*ret_len = le32toh(elem->len);
	return 1;
}

/*
 * The last that were freed are the first to be taken again, but under IN_ORDER descriptors are
 * taken in the order of the ring (virtio 1.3, 2.7.9), which is the order they are freed in.
 */
static void release(struct vhu_driver *driver, uint16_t head)
{
	struct vhu_driver_split *split = &driver->split;
	struct vhu_driver_slot *slots = driver->slots;
	uint16_t n = slots[head].n_descriptors;
	uint16_t tail = head;

	split->used_idx++;
	if (n == 0)
		return;
	for (uint16_t i = 1; i < n; i++)
		tail = slots[tail].next;
	if (driver->in_order && driver->n_free) {
		slots[split->free_tail].next = head;
		split->free_tail = tail;
		return;
	}
	if (driver->n_free == 0)
		split->free_tail = tail;
	slots[tail].next = driver->free_head;
	driver->free_head = head;
}

static void ask_calls(struct vhu_driver *driver, bool wanted)
{
	struct vhu_driver_split *split = &driver->split;

	if (driver->event_idx)
		vhu_store_le16(&vring_used_event(&split->vring),
			       (uint16_t)(split->used_idx - (wanted ? 0 : 1)));
	else
		vhu_store_le16(&split->vring.avail->flags, wanted ? 0 : VRING_AVAIL_F_NO_INTERRUPT);
}

const struct vhu_driver_layout vhu_driver_split_layout = {
	.init = init,
	.reset = reset,
	.idle_base = idle_base,
	.crash_base = crash_base,
	.add = add,
	.publish = publish,
	.has_used = has_used,
	.peek = peek,
	.release = release,
	.ask_calls = ask_calls,
};
