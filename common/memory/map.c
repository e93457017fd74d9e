/* SPDX-License-Identifier: BSD-3-Clause */
#include "common/memory/map.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/num.h"
#include "common/memory/dirty_log.h"

/* All that can be wrong with one region; on success *ret_slot has a reference to its mapping. */
static int map_region(const struct vhu_memory_region *region, int fd,
		      struct vhu_memory_health *health, struct vhu_memory_slot *ret_slot)
{
	struct vhu_mapping *mapping;
	uint64_t ignored;
	int r;

	if (add_overflows(region->gpa, region->size, &ignored) ||
	    add_overflows(region->uaddr, region->size, &ignored))
		return -EINVAL;
	r = vhu_mapping_new(fd, region->mmap_offset, region->size, health, &mapping);
	if (r < 0)
		return r;
	/* When there are too many open files it is done without. */
	if (health->keeps_files)
		mapping->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	*ret_slot = (struct vhu_memory_slot){
		.gpa = region->gpa,
		.size = region->size,
		.uaddr = region->uaddr,
		.host = mapping->host,
		.mapping = mapping,
	};
	return 0;
}

/* A map with room for n slots and none filled. health and log (may be NULL) are referenced. */
static struct vhu_memory *alloc_map(unsigned n, struct vhu_memory_health *health,
				    struct vhu_dirty_log *log)
{
	struct vhu_memory *memory = calloc(1, sizeof(*memory) + 2 * n * sizeof(memory->slots[0]));

	if (!memory)
		return NULL;
	atomic_init(&memory->refs, 1);
	memory->by_gpa = memory->slots;
	memory->by_uaddr = memory->slots + n;
	memory->health = vhu_memory_health_ref(health);
	memory->log = log ? vhu_dirty_log_ref(log) : NULL;
	return memory;
}

static int compare_gpa(const void *a, const void *b)
{
	const struct vhu_memory_slot *x = a, *y = b;

	return (x->gpa > y->gpa) - (x->gpa < y->gpa);
}

static int compare_uaddr(const void *a, const void *b)
{
	const struct vhu_memory_slot *x = a, *y = b;

	return (x->uaddr > y->uaddr) - (x->uaddr < y->uaddr);
}

/* Sorts the filled slots; takes memory, and gives it out when no two regions overlap. */
static int publish(struct vhu_memory *memory, struct vhu_memory **ret_memory)
{
	struct vhu_memory_slot *g = memory->by_gpa, *u = memory->by_uaddr;
	unsigned i;

	memcpy(u, g, memory->n_slots * sizeof(*g));
	qsort(g, memory->n_slots, sizeof(*g), compare_gpa);
	qsort(u, memory->n_slots, sizeof(*u), compare_uaddr);
	for (i = 1; i < memory->n_slots; i++) {
		if (g[i].gpa - g[i - 1].gpa < g[i - 1].size ||
		    u[i].uaddr - u[i - 1].uaddr < u[i - 1].size) {
			vhu_memory_unref(memory);
			return -EINVAL;
		}
	}
	*ret_memory = memory;
	return 0;
}

static void share_slot(struct vhu_memory *memory, const struct vhu_memory_slot *slot)
{
	vhu_mapping_ref(slot->mapping);
	memory->by_gpa[memory->n_slots++] = *slot;
}

int vhu_memory_new(struct vhu_memory **ret_memory)
{
	struct vhu_memory_health *health;
	struct vhu_memory *memory;
	int r = vhu_memory_health_new(&health);

	if (r < 0)
		return r;
	memory = alloc_map(0, health, NULL);
	vhu_memory_health_unref(health);
	if (!memory)
		return -ENOMEM;
	*ret_memory = memory;
	return 0;
}

struct vhu_memory *vhu_memory_ref(struct vhu_memory *memory)
{
	atomic_fetch_add(&memory->refs, 1);
	return memory;
}

void vhu_memory_unref(struct vhu_memory *memory)
{
	unsigned i;

	if (!memory || atomic_fetch_sub(&memory->refs, 1) != 1)
		return;
	for (i = 0; i < memory->n_slots; i++)
		vhu_mapping_unref(memory->by_gpa[i].mapping);
	vhu_dirty_log_unref(memory->log);
	vhu_memory_health_unref(memory->health);
	free(memory);
}

int vhu_memory_with_table(struct vhu_memory *old, const struct vhu_memory_region *regions,
			  const int *fds, unsigned n, struct vhu_memory **ret_memory)
{
	struct vhu_memory *memory;
	int r;

	if (n > VHU_MEMORY_SLOTS)
		return -ENOSPC;
	memory = alloc_map(n, old->health, old->log);
	if (!memory)
		return -ENOMEM;
	for (; memory->n_slots < n; memory->n_slots++) {
		r = map_region(&regions[memory->n_slots], fds[memory->n_slots], memory->health,
			       &memory->by_gpa[memory->n_slots]);
		if (r < 0) {
			vhu_memory_unref(memory);
			return r;
		}
	}
	return publish(memory, ret_memory);
}

int vhu_memory_with_region(struct vhu_memory *old, const struct vhu_memory_region *region, int fd,
			   struct vhu_memory **ret_memory)
{
	struct vhu_memory *memory;
	unsigned i;
	int r;

	if (old->n_slots == VHU_MEMORY_SLOTS)
		return -ENOSPC;
	memory = alloc_map(old->n_slots + 1, old->health, old->log);
	if (!memory)
		return -ENOMEM;
	for (i = 0; i < old->n_slots; i++)
		share_slot(memory, &old->by_gpa[i]);
	r = map_region(region, fd, memory->health, &memory->by_gpa[i]);
	if (r < 0) {
		vhu_memory_unref(memory);
		return r;
	}
	memory->n_slots++;
	return publish(memory, ret_memory);
}

int vhu_memory_without_region(struct vhu_memory *old, const struct vhu_memory_region *region,
			      struct vhu_memory **ret_memory)
{
	struct vhu_memory *memory;
	unsigned i, gone;

	for (gone = 0; gone < old->n_slots; gone++) {
		if (old->by_gpa[gone].gpa == region->gpa &&
		    old->by_gpa[gone].size == region->size &&
		    old->by_gpa[gone].uaddr == region->uaddr)
			break;
	}
	if (gone == old->n_slots)
		return -ENOENT;
	memory = alloc_map(old->n_slots - 1, old->health, old->log);
	if (!memory)
		return -ENOMEM;
	for (i = 0; i < old->n_slots; i++) {
		if (i != gone)
			share_slot(memory, &old->by_gpa[i]);
	}
	return publish(memory, ret_memory);
}

int vhu_memory_with_log(struct vhu_memory *old, struct vhu_dirty_log *log,
			struct vhu_memory **ret_memory)
{
	struct vhu_memory *memory = alloc_map(old->n_slots, old->health, log);

	if (!memory)
		return -ENOMEM;
	for (unsigned i = 0; i < old->n_slots; i++)
		share_slot(memory, &old->by_gpa[i]);
	return publish(memory, ret_memory);
}

static inline uint64_t slot_start(const struct vhu_memory_slot *slot, bool by_uaddr)
{
	return by_uaddr ? slot->uaddr : slot->gpa;
}

/* The slot that address lies in, or NULL. */
static inline const struct vhu_memory_slot *find_slot(const struct vhu_memory *memory,
						      uint64_t address, bool by_uaddr)
{
	const struct vhu_memory_slot *slots = by_uaddr ? memory->by_uaddr : memory->by_gpa;
	unsigned low = 0, high = memory->n_slots, middle;

	/* All slots below low start at or below address, all from high on start above it. */
	while (low < high) {
		middle = (low + high) / 2;
		if (slot_start(&slots[middle], by_uaddr) <= address)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == 0 || address - slot_start(&slots[low - 1], by_uaddr) >= slots[low - 1].size)
		return NULL;
	return &slots[low - 1];
}

/* The pieces from slot on, which address lies in; slots are sorted by what address is. */
static int take_pieces(const struct vhu_memory_slot *slot, const struct vhu_memory_slot *end,
		       uint64_t address, uint64_t len, bool by_uaddr, struct iovec *iov, size_t max)
{
	uint64_t offset, piece;
	size_t n;

	/* No region reaches past the address space: a sum that overflows runs out of slots. */
	for (n = 0; len; n++, slot++, address += piece, len -= piece) {
		if (slot == end || address - slot_start(slot, by_uaddr) >= slot->size)
			return -EFAULT;
		if (n == max)
			return -E2BIG;
		offset = address - slot_start(slot, by_uaddr);
		piece = min_u64(len, slot->size - offset);
		iov[n] = (struct iovec){ .iov_base = slot->host + offset, .iov_len = piece };
	}
	return (int)n;
}

int vhu_memory_translate_pieces(const struct vhu_memory *memory, struct vhu_memory_cache *cache,
				uint64_t gpa, uint64_t len, struct iovec *iov, size_t max)
{
	const struct vhu_memory_slot *slot;

	if (len == 0)
		return 0;
	slot = find_slot(memory, gpa, false);
	if (!slot)
		return -EFAULT;
	cache->slot = slot;
	return take_pieces(slot, memory->by_gpa + memory->n_slots, gpa, len, false, iov, max);
}

int vhu_memory_translate_uaddr(const struct vhu_memory *memory, uint64_t uaddr, uint64_t len,
			       struct iovec *iov, size_t max)
{
	const struct vhu_memory_slot *slot;

	if (len == 0)
		return 0;
	slot = find_slot(memory, uaddr, true);
	if (!slot)
		return -EFAULT;
	return take_pieces(slot, memory->by_uaddr + memory->n_slots, uaddr, len, true, iov, max);
}

static inline void *find_piece(const struct vhu_memory *memory, uint64_t address, uint64_t len,
			       bool by_uaddr)
{
	const struct vhu_memory_slot *slot = find_slot(memory, address, by_uaddr);
	uint64_t offset;

	if (!slot)
		return NULL;
	offset = address - slot_start(slot, by_uaddr);
	return range_fits(offset, len, slot->size) ? slot->host + offset : NULL;
}

void *vhu_memory_from_gpa(const struct vhu_memory *memory, uint64_t gpa, uint64_t len)
{
	return find_piece(memory, gpa, len, false);
}

void *vhu_memory_from_uaddr(const struct vhu_memory *memory, uint64_t uaddr, uint64_t len)
{
	return find_piece(memory, uaddr, len, true);
}

const struct vhu_memory_slot *vhu_memory_slot_of(const struct vhu_memory *memory, const void *host)
{
	for (unsigned i = 0; i < memory->n_slots; i++) {
		const struct vhu_memory_slot *slot = &memory->by_gpa[i];

		if ((uintptr_t)host - (uintptr_t)slot->host < slot->size)
			return slot;
	}
	return NULL;
}
