/* SPDX-License-Identifier: BSD-3-Clause */
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "common/base/num.h"
#include "common/frontend/driver_priv.h"
#include "common/memory/access.h"

#define SIZE_MAX_PACKED 32768
#define WRAP_BIT 0x8000u
#define AVAIL_BIT (1u << VRING_PACKED_DESC_F_AVAIL)
#define USED_BIT (1u << VRING_PACKED_DESC_F_USED)

static void *alloc_event(struct vhu_driver *driver, uint64_t *ret_gpa)
{
	return vhu_driver_alloc_area(driver, sizeof(struct vring_packed_desc_event), ret_gpa);
}

static int init(struct vhu_driver *driver)
{
	struct vhu_driver_packed *packed = &driver->packed;

	if (driver->size == 0 || driver->size > SIZE_MAX_PACKED)
		return -EINVAL;
	packed->desc = vhu_driver_alloc_area(driver, driver->size * (uint32_t)sizeof(*packed->desc),
					     &driver->desc_gpa);
	packed->driver_event = alloc_event(driver, &driver->avail_gpa);
	packed->device_event = alloc_event(driver, &driver->used_gpa);
	return packed->desc && packed->driver_event && packed->device_event ? 0 : -ENOMEM;
}

/* Both wrap counters begin at 1 (virtio 1.3, 2.8.1). */
static void reset(struct vhu_driver *driver)
{
	struct vhu_driver_packed *packed = &driver->packed;
	struct vhu_driver_place start = { 0, true };

	memset(packed->desc, 0, driver->size * sizeof(*packed->desc));
	memset(packed->driver_event, 0, sizeof(*packed->driver_event));
	memset(packed->device_event, 0, sizeof(*packed->device_event));
	packed->avail = packed->published = packed->used = start;
	packed->held_flags = 0;
	driver->base = vhu_driver_packed_layout.idle_base(driver);
}

static void advance(const struct vhu_driver *driver, struct vhu_driver_place *place, uint16_t n)
{
	uint32_t at = (uint32_t)place->at + n;

	if (at >= driver->size) {
		at -= driver->size;
		place->wrap = !place->wrap;
	}
	place->at = (uint16_t)at;
}

static bool same_place(struct vhu_driver_place a, struct vhu_driver_place b)
{
	return a.at == b.at && a.wrap == b.wrap;
}

static uint16_t off_wrap(struct vhu_driver_place place)
{
	return (uint16_t)(place.at | (place.wrap ? WRAP_BIT : 0));
}

/* Bits 0 to 15 for what is available, 16 to 31 for what is used (vhost-user, SET_VRING_BASE). */
static uint32_t idle_base(const struct vhu_driver *driver)
{
	uint32_t avail = off_wrap(driver->packed.avail);

	return avail | avail << 16;
}

/* Nothing in guest memory tells where the back-end was. */
static uint32_t crash_base(const struct vhu_driver *driver)
{
	return driver->base;
}

/* A buffer ID belongs to the last descriptor of a chain alone (virtio 1.3, 2.8.6). */
static void put(struct vhu_driver *driver, const struct vhu_guest_buffer *buffer, uint16_t id,
		uint16_t flags)
{
	struct vhu_driver_packed *packed = &driver->packed;
	struct vring_packed_desc *desc = &packed->desc[packed->avail.at];

	flags |= packed->avail.wrap ? AVAIL_BIT : USED_BIT;
	desc->addr = htole64(buffer->gpa + driver->iova_offset);
	desc->len = htole32(buffer->len);
	desc->id = htole16(flags & VRING_DESC_F_NEXT ? 0 : id);
	/* No chain behind this one can be seen either while its flags are held back. */
	if (same_place(packed->avail, packed->published))
		packed->held_flags = flags;
	else
		desc->flags = htole16(flags);
	advance(driver, &packed->avail, 1);
}

static void write_indirect(struct vhu_driver *driver, const struct vhu_guest_buffer *buffers,
			   uint16_t id, unsigned n_readable, unsigned n)
{
	struct vring_packed_desc *table = vhu_driver_table(driver, id);
	struct vhu_guest_buffer whole = vhu_driver_table_buffer(driver, id, n);

	for (unsigned i = 0; i < n; i++)
		table[i] = (struct vring_packed_desc){
			.addr = htole64(buffers[i].gpa + driver->iova_offset),
			.len = htole32(buffers[i].len),
			.flags = htole16(i >= n_readable ? VRING_DESC_F_WRITE : 0),
		};
	put(driver, &whole, id, VRING_DESC_F_INDIRECT);
}

static uint16_t add(struct vhu_driver *driver, const struct vhu_guest_buffer *buffers,
		    unsigned n_readable, unsigned n, bool indirect)
{
	uint16_t id = driver->free_head;

	driver->free_head = driver->slots[id].next;
	if (indirect) {
		write_indirect(driver, buffers, id, n_readable, n);
		return id;
	}
	for (unsigned i = 0; i < n; i++)
		put(driver, &buffers[i], id, vhu_driver_flags(i, n_readable, n));
	return id;
}

/* One load, since the two halves belong together (virtio 1.3, 2.8.10). */
static struct vring_packed_desc_event load_event(const struct vring_packed_desc_event *event)
{
	struct vring_packed_desc_event copy;
	uint32_t word = __atomic_load_n((const uint32_t *)(const void *)event, __ATOMIC_RELAXED);

	memcpy(&copy, &word, sizeof(copy));
	return copy;
}

static bool wants_kick(const struct vhu_driver *driver, struct vhu_driver_place before)
{
	const struct vhu_driver_packed *packed = &driver->packed;
	struct vring_packed_desc_event event = load_event(packed->device_event);
	uint16_t flags = le16toh(event.flags), at = le16toh(event.off_wrap);
	uint16_t new = packed->avail.at, old = before.at;

	if (!driver->event_idx || flags != VRING_PACKED_EVENT_FLAG_DESC)
		return flags != VRING_PACKED_EVENT_FLAG_DISABLE;
	/* All three counted from the start of this lap. */
	if (before.wrap != packed->avail.wrap)
		old -= driver->size;
	if (!!(at & WRAP_BIT) != packed->avail.wrap)
		return vring_need_event((uint16_t)((at & ~WRAP_BIT) - driver->size), new, old);
	return vring_need_event(at & (uint16_t)~WRAP_BIT, new, old);
}

static bool publish(struct vhu_driver *driver)
{
	struct vhu_driver_packed *packed = &driver->packed;
	struct vhu_driver_place before = packed->published;

	if (!same_place(packed->avail, before))
		vhu_store_release_le16(&packed->desc[before.at].flags, packed->held_flags);
	packed->published = packed->avail;
	vhu_full_barrier();
	return wants_kick(driver, before);
}

static bool has_used(const struct vhu_driver *driver)
{
	struct vhu_driver_place place = driver->packed.used;
	uint16_t flags = vhu_load_acquire_le16(&driver->packed.desc[place.at].flags);

	return (flags & (AVAIL_BIT | USED_BIT)) == (place.wrap ? AVAIL_BIT | USED_BIT : 0);
}

static int peek(struct vhu_driver *driver, uint32_t *ret_head, uint32_t *ret_len)
{
	const struct vring_packed_desc *desc = &driver->packed.desc[driver->packed.used.at];

	if (!has_used(driver))
		return 0;
	*ret_head = le16toh(desc->id);
	*ret_len = le32toh(desc->len);
	return 1;
}

static void release(struct vhu_driver *driver, uint16_t head)
{
	advance(driver, &driver->packed.used, driver->slots[head].n_descriptors);
	driver->slots[head].next = driver->free_head;
	driver->free_head = head;
}

static void ask_calls(struct vhu_driver *driver, bool wanted)
{
	struct vhu_driver_packed *packed = &driver->packed;
	uint16_t flags = VRING_PACKED_EVENT_FLAG_DISABLE;

	if (wanted)
		flags = driver->event_idx ? VRING_PACKED_EVENT_FLAG_DESC
					  : VRING_PACKED_EVENT_FLAG_ENABLE;
	if (wanted && driver->event_idx)
		vhu_store_le16(&packed->driver_event->off_wrap, off_wrap(packed->used));
	vhu_store_release_le16(&packed->driver_event->flags, flags);
}

const struct vhu_driver_layout vhu_driver_packed_layout = {
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
