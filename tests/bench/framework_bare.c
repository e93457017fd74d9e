/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/bench/framework_bare.h"

#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "common/memory/access.h"

#define AVAIL (1 << VRING_PACKED_DESC_F_AVAIL)
#define USED (1 << VRING_PACKED_DESC_F_USED)
#define WRAP_SHIFT VRING_PACKED_EVENT_F_WRAP_CTR

void bare_init(struct bare *bare, const struct vhu_virtqueue_setup *setup,
	       const struct vhu_memory *memory)
{
	*bare = (struct bare){
		.host = memory->by_gpa[0].host,
		.gpa = memory->by_gpa[0].gpa,
		.desc = vhu_memory_from_uaddr(memory, setup->desc_uaddr, 1),
		.driver = vhu_memory_from_uaddr(memory, setup->driver_uaddr, 1),
		.device = vhu_memory_from_uaddr(memory, setup->device_uaddr, 1),
		.size = setup->size,
		.event_idx = setup->features & 1ull << VIRTIO_RING_F_EVENT_IDX,
		.avail_wrap = true,
		.used_wrap = true,
	};
}

static inline char *host_of(const struct bare *bare, uint64_t gpa)
{
	return bare->host + (le64toh(gpa) - bare->gpa);
}

static inline void take(struct bare *bare, uint64_t addr, uint32_t len, uint16_t flags)
{
	uint32_t n = bare->n_readable + bare->n_writable;

	bare->iov[n] = (struct iovec){ host_of(bare, addr), le32toh(len) };
	if (le16toh(flags) & VRING_DESC_F_WRITE)
		bare->n_writable++;
	else
		bare->n_readable++;
}

/* The chain that was read: from here on it would be a device's. */
static inline void hand_over(struct bare *bare)
{
	__asm__ volatile("" : : "r"(bare) : "memory");
	bare->n_readable = bare->n_writable = 0;
}

static inline void read_split(struct bare *bare, uint16_t head)
{
	const struct vring_desc *table = bare->desc, *desc = &table[head];

	if (le16toh(desc->flags) & VRING_DESC_F_INDIRECT)
		desc = table = (void *)host_of(bare, desc->addr);
	for (;; desc = &table[le16toh(desc->next)]) {
		take(bare, desc->addr, desc->len, desc->flags);
		if (!(le16toh(desc->flags) & VRING_DESC_F_NEXT))
			return;
	}
}

/* Publishes from old on, and asks for a kick. True when the driver wants a call. */
static inline bool show_split(struct bare *bare, uint16_t old)
{
	const struct vring_avail *avail = bare->driver;
	struct vring_used *used = bare->device;
	bool call;

	vhu_store_release_le16(&used->idx, bare->next_used);
	vhu_full_barrier();
	call = bare->event_idx ? vring_need_event(vhu_load_le16(&avail->ring[bare->size]),
						  bare->next_used, old)
			       : !vhu_load_le16(&avail->flags);
	if (bare->event_idx)
		vhu_store_le16(&used->ring[bare->size], bare->next_avail);
	else
		vhu_store_le16(&used->flags, 0);
	vhu_full_barrier();
	return call;
}

unsigned bare_serve_split(struct bare *bare, unsigned batch)
{
	const struct vring_avail *avail = bare->driver;
	struct vring_used *used = bare->device;
	uint16_t mask = (uint16_t)(bare->size - 1), old = bare->next_used;
	unsigned n = 0;

	while (bare->next_avail != vhu_load_acquire_le16(&avail->idx)) {
		uint16_t head = le16toh(avail->ring[bare->next_avail++ & mask]);

		read_split(bare, head);
		hand_over(bare);
		used->ring[bare->next_used++ & mask] = (struct vring_used_elem){ htole32(head),
										 htole32(1) };
		if (++n % batch == 0) {
			show_split(bare, old);
			old = bare->next_used;
		}
	}
	return n;
}

static inline void move_on(const struct bare *bare, uint16_t *offset, bool *wrap, unsigned n)
{
	*offset = (uint16_t)(*offset + n);
	if (*offset >= bare->size) {
		*offset = (uint16_t)(*offset - bare->size);
		*wrap = !*wrap;
	}
}

static inline bool is_available(const struct bare *bare)
{
	const struct vring_packed_desc *ring = bare->desc;
	uint16_t flags = vhu_load_acquire_le16(&ring[bare->next_avail].flags);

	return (flags & (AVAIL | USED)) == (bare->avail_wrap ? AVAIL : USED);
}

/* Returns the descriptors that the list takes. */
static inline unsigned read_packed(struct bare *bare, uint16_t *ret_id)
{
	const struct vring_packed_desc *ring = bare->desc, *desc = &ring[bare->next_avail];
	unsigned span = 1;

	*ret_id = desc->id;
	if (le16toh(desc->flags) & VRING_DESC_F_INDIRECT) {
		const struct vring_packed_desc *table = (void *)host_of(bare, desc->addr);

		for (unsigned i = 0; i < le32toh(desc->len) / sizeof(*table); i++)
			take(bare, table[i].addr, table[i].len, table[i].flags);
		move_on(bare, &bare->next_avail, &bare->avail_wrap, 1);
		return 1;
	}
	for (;; span++) {
		desc = &ring[bare->next_avail];
		take(bare, desc->addr, desc->len, desc->flags);
		move_on(bare, &bare->next_avail, &bare->avail_wrap, 1);
		if (!(le16toh(desc->flags) & VRING_DESC_F_NEXT))
			break;
	}
	*ret_id = desc->id;
	return span;
}

/* As show_split(); the first used descriptor of the batch and its flags are those. */
static inline bool show_packed(struct bare *bare, uint16_t first, uint16_t flags)
{
	struct vring_packed_desc *ring = bare->desc;
	uint32_t event, wish = VRING_PACKED_EVENT_FLAG_ENABLE;
	bool call;

	vhu_store_release_le16(&ring[first].flags, flags);
	vhu_full_barrier();
	event = vhu_load_le32(bare->driver);
	call = event >> 16 == VRING_PACKED_EVENT_FLAG_DESC
		       ? vring_need_event((uint16_t)event & 0x7fff, bare->next_used, first)
		       : event >> 16 == VRING_PACKED_EVENT_FLAG_ENABLE;
	if (bare->event_idx)
		wish = bare->next_avail | (uint32_t)bare->avail_wrap << WRAP_SHIFT |
		       VRING_PACKED_EVENT_FLAG_DESC << 16;
	vhu_store_le32(bare->device, wish);
	vhu_full_barrier();
	return call;
}

unsigned bare_serve_packed(struct bare *bare, unsigned batch)
{
	struct vring_packed_desc *ring = bare->desc;
	uint16_t first = bare->next_used, first_flags = 0;
	unsigned n = 0;

	while (is_available(bare)) {
		struct vring_packed_desc *used = &ring[bare->next_used];
		uint16_t flags = bare->used_wrap ? AVAIL | USED | VRING_DESC_F_WRITE
						 : VRING_DESC_F_WRITE;
		uint16_t id;
		unsigned span = read_packed(bare, &id);

		hand_over(bare);
		used->id = id;
		used->len = htole32(1);
		if (n % batch)
			vhu_store_le16(&used->flags, flags);
		else
			first_flags = flags;
		move_on(bare, &bare->next_used, &bare->used_wrap, span);
		if (++n % batch == 0) {
			show_packed(bare, first, first_flags);
			first = bare->next_used;
		}
	}
	return n;
}
