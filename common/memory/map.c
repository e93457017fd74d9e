/* SPDX-License-Identifier: BSD-3-Clause */
#include "common/memory/map.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/fault.h"
#include "common/base/num.h"

struct vhu_mapping {
	atomic_uint refs;
	char *base;
	size_t len_bytes;
	struct vhu_fault_guard guard;
};

static void mapping_unref(struct vhu_mapping *mapping)
{
	if (atomic_fetch_sub(&mapping->refs, 1) != 1)
		return;
	vhu_fault_unguard(&mapping->guard);
	munmap(mapping->base, mapping->len_bytes);
	free(mapping);
}

/* Sets *ret_page_bytes to the unit in which the file is mapped and unmapped. */
static int check_file(int fd, uint64_t end, uint64_t *ret_page_bytes)
{
	struct statfs fs;
	struct stat st;

	if (fstat(fd, &st) < 0 || fstatfs(fd, &fs) < 0)
		return -errno;
	/* A device has no st_size that says anything. */
	if (S_ISREG(st.st_mode) && end > (uint64_t)st.st_size)
		return -ERANGE;
	*ret_page_bytes = (uint64_t)(fs.f_type == HUGETLBFS_MAGIC ? fs.f_bsize
								  : sysconf(_SC_PAGESIZE));
	return 0;
}

static int map_range(int fd, uint64_t offset, uint64_t len_bytes, uint64_t page_bytes,
		     struct vhu_memory_health *health, struct vhu_mapping **ret_mapping)
{
	cleanup_free struct vhu_mapping *mapping = calloc(1, sizeof(*mapping));
	int r;

	if (!mapping)
		return -ENOMEM;
	/* NORESERVE: the front-end has set aside the huge pages that its file needs. */
	mapping->base = mmap(NULL, len_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
			     fd, (off_t)offset);
	if (mapping->base == MAP_FAILED)
		return -errno;
	/* A core file of ours is no place for the guest's memory; not every kernel can tell. */
	madvise(mapping->base, len_bytes, MADV_DONTDUMP);
	/* Sealed files too: a hole punched into huge pages cannot always be filled again. */
	r = vhu_fault_guard(&mapping->guard, mapping->base, len_bytes, page_bytes,
			    &health->faulted);
	if (r < 0) {
		munmap(mapping->base, len_bytes);
		return r;
	}
	mapping->len_bytes = len_bytes;
	atomic_init(&mapping->refs, 1);
	*ret_mapping = steal_ptr(&mapping);
	return 0;
}

/* All that can be wrong with one region; on success *ret_slot has a reference to its mapping. */
static int map_region(const struct vhu_memory_region *region, int fd,
		      struct vhu_memory_health *health, struct vhu_memory_slot *ret_slot)
{
	uint64_t page_bytes, end, offset, lead, ignored;
	struct vhu_mapping *mapping = NULL;
	int r;

	if (region->size == 0 || add_overflows(region->gpa, region->size, &ignored) ||
	    add_overflows(region->uaddr, region->size, &ignored) ||
	    add_overflows(region->mmap_offset, region->size, &end) || end > INT64_MAX)
		return -EINVAL;
	r = check_file(fd, end, &page_bytes);
	if (r < 0)
		return r;
	lead = region->mmap_offset % page_bytes;
	offset = region->mmap_offset - lead;
	r = map_range(fd, offset, (end - offset + page_bytes - 1) / page_bytes * page_bytes,
		      page_bytes, health, &mapping);
	if (r < 0)
		return r;
	*ret_slot = (struct vhu_memory_slot){
		.gpa = region->gpa,
		.size = region->size,
		.uaddr = region->uaddr,
		.host = mapping->base + lead,
		.mapping = mapping,
	};
	return 0;
}

/* A map with room for n slots and none filled; health is borrowed, and referenced. */
static struct vhu_memory *alloc_map(unsigned n, struct vhu_memory_health *health)
{
	struct vhu_memory *memory = calloc(1, sizeof(*memory) + 2 * n * sizeof(memory->slots[0]));

	if (!memory)
		return NULL;
	atomic_init(&memory->refs, 1);
	memory->by_gpa = memory->slots;
	memory->by_uaddr = memory->slots + n;
	memory->health = health;
	atomic_fetch_add(&health->refs, 1);
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
	atomic_fetch_add(&slot->mapping->refs, 1);
	memory->by_gpa[memory->n_slots++] = *slot;
}

int vhu_memory_new(struct vhu_memory **ret_memory)
{
	cleanup_free struct vhu_memory_health *health = calloc(1, sizeof(*health));
	struct vhu_memory *memory = health ? alloc_map(0, health) : NULL;

	if (!memory)
		return -ENOMEM;
	steal_ptr(&health);
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
		mapping_unref(memory->by_gpa[i].mapping);
	/* After the guards, which point into it. */
	if (atomic_fetch_sub(&memory->health->refs, 1) == 1)
		free(memory->health);
	free(memory);
}

int vhu_memory_with_table(struct vhu_memory *old, const struct vhu_memory_region *regions,
			  const int *fds, unsigned n, struct vhu_memory **ret_memory)
{
	struct vhu_memory *memory;
	int r;

	if (n > VHU_MEMORY_SLOTS)
		return -ENOSPC;
	memory = alloc_map(n, old->health);
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
	memory = alloc_map(old->n_slots + 1, old->health);
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
	memory = alloc_map(old->n_slots - 1, old->health);
	if (!memory)
		return -ENOMEM;
	for (i = 0; i < old->n_slots; i++) {
		if (i != gone)
			share_slot(memory, &old->by_gpa[i]);
	}
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

int vhu_memory_translate_pieces(const struct vhu_memory *memory, struct vhu_memory_cache *cache,
				uint64_t gpa, uint64_t len, struct iovec *iov, size_t max)
{
	const struct vhu_memory_slot *slot, *end = memory->by_gpa + memory->n_slots;
	uint64_t offset, piece;
	size_t n;

	if (len == 0)
		return 0;
	slot = find_slot(memory, gpa, false);
	if (!slot)
		return -EFAULT;
	cache->slot = slot;
	/* No region reaches past the address space: a sum that overflows runs out of slots. */
	for (n = 0; len; n++, slot++, gpa += piece, len -= piece) {
		if (slot == end || gpa - slot->gpa >= slot->size)
			return -EFAULT;
		if (n == max)
			return -E2BIG;
		offset = gpa - slot->gpa;
		piece = min_u64(len, slot->size - offset);
		iov[n] = (struct iovec){ .iov_base = slot->host + offset, .iov_len = piece };
	}
	return (int)n;
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
