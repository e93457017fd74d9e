/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/unit/crash_world.h"

#include <assert.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "common/memory/access.h"

#define GPA 0x10000u
#define UADDR 0x7f0000000000ull
/* Where things lie in the file. */
#define AT_DESC 0x0
#define AT_DRIVER 0x400
#define AT_DEVICE 0x600
#define AT_DATA 0x800 /* DATA_BYTES for each slot */
#define DATA_BYTES 0x80
#define GUEST_BYTES 0x1000
#define AT_RECORD 0x1000
#define RECORD_BYTES 0x400
#define AT_NOTES 0x2000
#define RESULT_BYTES 16
#define LONGEST 3 /* descriptors */
#define TABLE_AT 0x40

#define WRAP 0x8000u
#define AVAIL (1u << VRING_PACKED_DESC_F_AVAIL)
#define USED (1u << VRING_PACKED_DESC_F_USED)

static_assert(AT_NOTES + sizeof(struct world_notes) <= WORLD_BYTES, "the world");

uint32_t world_draw(struct world *w, uint32_t below)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return (uint32_t)((w->random >> 16) % below);
}

void world_fault(struct world *w, const char *fault)
{
	if (!w->notes->fault)
		w->notes->fault = fault;
}

static void make_map(struct world *w)
{
	struct vhu_memory_region region = { .gpa = GPA, .size = GUEST_BYTES, .uaddr = UADDR };
	struct vhu_memory *empty;

	assert(vhu_memory_new(&empty) == 0);
	assert(vhu_memory_with_table(empty, &region, &w->fd, 1, &w->memory) == 0);
	vhu_memory_unref(empty);
	assert(vhu_mapping_new(w->fd, AT_RECORD, RECORD_BYTES, w->memory->health, &w->mapping) ==
	       0);
}

void world_init(struct world *w, uint16_t size, uint64_t features, uint64_t seed)
{
	bool packed = features & 1ull << VIRTIO_F_RING_PACKED;

	memset(w, 0, sizeof(*w));
	w->fd = memfd_create("world", MFD_CLOEXEC);
	assert(w->fd >= 0 && ftruncate(w->fd, WORLD_BYTES) == 0);
	w->mem = mmap(NULL, WORLD_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, w->fd, 0);
	assert(w->mem != MAP_FAILED);
	make_map(w);
	w->notes = (struct world_notes *)(w->mem + AT_NOTES);
	w->record = w->mem + AT_RECORD;
	w->random = seed * 0x9e3779b97f4a7c15ull | 1;
	w->setup = (struct vhu_virtqueue_setup){
		.features = features | 1ull << VIRTIO_RING_F_INDIRECT_DESC,
		.size = size,
		.base = packed ? WRAP << 16 | WRAP : 0,
		.desc_uaddr = UADDR + AT_DESC,
		.driver_uaddr = UADDR + AT_DRIVER,
		.device_uaddr = UADDR + AT_DEVICE,
		.inflight = { w->mapping, w->mapping->host, RECORD_BYTES },
	};
	w->notes->size = w->notes->n_free = size;
	w->notes->packed = packed;
	w->notes->next_token = 1;
	w->notes->avail = w->notes->used = packed ? WRAP : 0;
	for (uint16_t i = 0; i < size; i++)
		w->notes->free[i] = i;
}

void world_finish(struct world *w)
{
	vhu_mapping_unref(w->mapping);
	vhu_memory_unref(w->memory);
	munmap(w->mem, WORLD_BYTES);
	close(w->fd);
}

/* --- the driver ------------------------------------------------------------------------------- */

struct buffer {
	uint64_t gpa;
	uint32_t len;
	bool writable;
};

static uint64_t *token_of(struct world *w, uint16_t slot)
{
	return (uint64_t *)(w->mem + AT_DATA + slot * DATA_BYTES);
}

/* A token to read, then up to two places for a result; or nonsense. Returns the buffers. */
static unsigned make_request(struct world *w, uint16_t slot, struct buffer *buffers)
{
	struct world_slot *s = &w->notes->slots[slot];
	uint64_t gpa = GPA + AT_DATA + slot * DATA_BYTES;
	unsigned n = 1 + world_draw(w, LONGEST);

	s->token = w->notes->next_token++;
	s->malformed = !world_draw(w, 10);
	*token_of(w, slot) = s->token;
	buffers[0] = (struct buffer){ s->malformed ? 0 : gpa, sizeof(s->token), false };
	for (unsigned i = 1; i < n; i++)
		buffers[i] = (struct buffer){ gpa + i * RESULT_BYTES, RESULT_BYTES, true };
	return n;
}

static uint16_t flags_of(const struct buffer *buffer, bool more)
{
	return (buffer->writable ? VRING_DESC_F_WRITE : 0) | (more ? VRING_DESC_F_NEXT : 0);
}

static uint64_t table_gpa(uint16_t slot)
{
	return GPA + AT_DATA + slot * DATA_BYTES + TABLE_AT;
}

static void submit_split(struct world *w, const struct buffer *buffers, unsigned n, bool indirect)
{
	struct world_notes *notes = w->notes;
	struct vring_desc *ring = (void *)(w->mem + AT_DESC);
	struct vring_avail *avail = (void *)(w->mem + AT_DRIVER);
	uint16_t head = notes->free[notes->n_free - 1], at = head;
	struct vring_desc *table = (void *)(w->mem + AT_DATA + head * DATA_BYTES + TABLE_AT);

	for (unsigned i = 0; i < n; i++) {
		uint16_t flags = flags_of(&buffers[i], i + 1 < n), next = (uint16_t)(i + 1);

		if (!indirect) {
			at = notes->free[--notes->n_free];
			next = i + 1 < n ? notes->free[notes->n_free - 1] : 0;
		}
		*(indirect ? &table[i] : &ring[at]) = (struct vring_desc){
			htole64(buffers[i].gpa), htole32(buffers[i].len), htole16(flags),
			htole16(next)
		};
	}
	if (indirect) {
		notes->n_free--;
		ring[head] = (struct vring_desc){ htole64(table_gpa(head)), htole32(16 * n),
						  htole16(VRING_DESC_F_INDIRECT), 0 };
	}
	avail->ring[notes->avail % notes->size] = htole16(head);
	vhu_store_release_le16(&avail->idx, ++notes->avail);
}

static uint16_t next_place(const struct world *w, uint16_t place)
{
	uint16_t next = (uint16_t)(place + 1);

	return (next & ~WRAP) < w->notes->size ? next : (uint16_t)(~place & WRAP);
}

static void submit_packed(struct world *w, uint16_t id, const struct buffer *buffers, unsigned n,
			  bool indirect)
{
	struct vring_packed_desc *ring = (void *)(w->mem + AT_DESC);
	struct vring_packed_desc *table = (void *)(w->mem + AT_DATA + id * DATA_BYTES + TABLE_AT);
	uint16_t first = w->notes->avail, first_flags = 0;
	unsigned n_ring = indirect ? 1 : n;

	for (unsigned i = 0; indirect && i < n; i++)
		table[i] = (struct vring_packed_desc){ htole64(buffers[i].gpa),
						       htole32(buffers[i].len), 0,
						       htole16(flags_of(&buffers[i], false)) };
	for (unsigned i = 0; i < n_ring; i++) {
		uint16_t place = w->notes->avail;
		struct vring_packed_desc *desc = &ring[place & ~WRAP];
		uint16_t flags = (uint16_t)(place & WRAP ? AVAIL : USED);

		flags |= indirect ? VRING_DESC_F_INDIRECT : flags_of(&buffers[i], i + 1 < n);
		desc->addr = htole64(indirect ? table_gpa(id) : buffers[i].gpa);
		desc->len = htole32(indirect ? 16 * n : buffers[i].len);
		desc->id = htole16(id);
		if (i == 0)
			first_flags = flags;
		else
			vhu_store_le16(&desc->flags, flags);
		w->notes->avail = next_place(w, place);
	}
	w->notes->n_free -= (uint16_t)n_ring;
	vhu_store_release_le16(&ring[first & ~WRAP].flags, first_flags);
}

static uint16_t free_slot(const struct world *w)
{
	uint16_t slot = 0;

	if (!w->notes->packed)
		return w->notes->free[w->notes->n_free - 1];
	while (w->notes->slots[slot].token)
		slot++;
	return slot;
}

bool world_submit(struct world *w)
{
	struct world_notes *notes = w->notes;
	struct buffer buffers[LONGEST];
	bool indirect = world_draw(w, 2);
	uint16_t slot;
	unsigned n;

	if (notes->n_free < LONGEST && (!notes->n_free || !indirect))
		return false;
	slot = free_slot(w);
	n = make_request(w, slot, buffers);
	notes->slots[slot].n_descriptors = (uint16_t)(indirect ? 1 : n);
	if (notes->packed)
		submit_packed(w, slot, buffers, n, indirect);
	else
		submit_split(w, buffers, n, indirect);
	return true;
}

static void give_back_split(struct world *w, uint16_t head)
{
	struct vring_desc *ring = (void *)(w->mem + AT_DESC);
	uint16_t at = head;

	for (unsigned i = 0; i < w->notes->slots[head].n_descriptors; i++) {
		w->notes->free[w->notes->n_free++] = at;
		at = le16toh(ring[at].next);
	}
}

static void came_back(struct world *w, uint32_t slot)
{
	struct world_slot *s = &w->notes->slots[slot];

	if (slot >= w->notes->size || !s->token) {
		world_fault(w, "the driver got back what it had not submitted");
		return;
	}
	if (!s->malformed && s->done != s->token)
		world_fault(w, "the driver got back what was not carried out");
	if (w->notes->packed)
		w->notes->n_free += s->n_descriptors;
	else
		give_back_split(w, (uint16_t)slot);
	s->token = 0;
	s->finished++;
	w->notes->n_finished++;
}

static bool next_used_split(struct world *w, uint32_t *ret_slot)
{
	struct vring_used *used = (void *)(w->mem + AT_DEVICE);

	if (vhu_load_acquire_le16(&used->idx) == w->notes->used)
		return false;
	*ret_slot = le32toh(used->ring[w->notes->used++ % w->notes->size].id);
	return true;
}

static bool next_used_packed(struct world *w, uint32_t *ret_slot)
{
	struct vring_packed_desc *ring = (void *)(w->mem + AT_DESC);
	struct vring_packed_desc *desc = &ring[w->notes->used & ~WRAP];
	uint16_t wanted = w->notes->used & WRAP ? AVAIL | USED : 0;
	unsigned span;

	if ((vhu_load_acquire_le16(&desc->flags) & (AVAIL | USED)) != wanted ||
	    w->notes->n_free == w->notes->size)
		return false;
	*ret_slot = le16toh(desc->id);
	span = *ret_slot < w->notes->size ? w->notes->slots[*ret_slot].n_descriptors : 1;
	while (span--)
		w->notes->used = next_place(w, w->notes->used);
	return true;
}

unsigned world_collect(struct world *w)
{
	uint32_t slot;
	unsigned n = 0;

	while (!w->notes->fault &&
	       (w->notes->packed ? next_used_packed : next_used_split)(w, &slot)) {
		came_back(w, slot);
		n++;
	}
	return n;
}

bool world_is_idle(const struct world *w)
{
	return w->notes->n_free == w->notes->size;
}

/* --- the device ------------------------------------------------------------------------------- */

int world_device_start(struct world_device *d, struct world *w)
{
	*d = (struct world_device){ .world = w };
	return vhu_virtqueue_start(&d->q, &w->setup, w->memory);
}

static uint64_t token_in(const struct vhu_chain *chain)
{
	struct vhu_iov_cursor reader;
	uint64_t token = 0;

	vhu_chain_reader(chain, &reader);
	vhu_iov_read(&reader, &token, sizeof(token));
	return token;
}

static void pop(struct world_device *d)
{
	struct world_notes *notes = d->world->notes;
	struct vhu_chain *chain = vhu_virtqueue_pop(&d->q);

	if (!chain)
		return;
	if (!world_draw(d->world, 8)) {
		vhu_virtqueue_unpop(&d->q, chain);
		return;
	}
	if (chain->head >= notes->size || notes->slots[chain->head].token != token_in(chain))
		world_fault(d->world, "the device was given what the driver does not wait for");
	d->held[d->n_held++] = chain;
}

static void push(struct world_device *d)
{
	struct world_notes *notes = d->world->notes;
	struct vhu_chain *chain;
	uint64_t token;
	unsigned i;

	if (!d->n_held)
		return;
	i = world_draw(d->world, d->q.in_order ? 1 : d->n_held);
	chain = d->held[i];
	memmove(&d->held[i], &d->held[i + 1], (--d->n_held - i) * sizeof(*d->held));
	token = token_in(chain);
	if (chain->head >= notes->size || notes->slots[chain->head].token != token)
		world_fault(d->world, "the device has what the driver does not wait for");
	else
		notes->slots[chain->head].done = token;
	vhu_virtqueue_push(&d->q, chain, chain->writable_bytes ? 1 : 0);
}

void world_device_step(struct world_device *d)
{
	unsigned what = world_draw(d->world, 8);

	if (what < 3)
		pop(d);
	else if (what < 6)
		push(d);
	else if (what == 6)
		vhu_virtqueue_publish(&d->q);
	if (d->q.broken)
		world_fault(d->world, d->q.why_broken);
}

void world_device_finish(struct world_device *d)
{
	for (unsigned n = 0; n < 64 && !d->q.broken; n++) {
		pop(d);
		pop(d);
		push(d);
		push(d);
		vhu_virtqueue_publish(&d->q);
	}
	if (d->n_held || d->q.in_flight)
		world_fault(d->world, "the device does not come to an end");
	else
		vhu_virtqueue_stop(&d->q);
}
