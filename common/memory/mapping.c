/* SPDX-License-Identifier: BSD-3-Clause */
#include "common/memory/mapping.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/num.h"

int vhu_memory_health_new(struct vhu_memory_health **ret_health)
{
	struct vhu_memory_health *health = calloc(1, sizeof(*health));

	if (!health)
		return -ENOMEM;
	atomic_init(&health->refs, 1);
	*ret_health = health;
	return 0;
}

struct vhu_memory_health *vhu_memory_health_ref(struct vhu_memory_health *health)
{
	atomic_fetch_add(&health->refs, 1);
	return health;
}

void vhu_memory_health_unref(struct vhu_memory_health *health)
{
	if (atomic_fetch_sub(&health->refs, 1) == 1)
		free(health);
}

struct vhu_mapping *vhu_mapping_ref(struct vhu_mapping *mapping)
{
	atomic_fetch_add(&mapping->refs, 1);
	return mapping;
}

void vhu_mapping_unref(struct vhu_mapping *mapping)
{
	if (atomic_fetch_sub(&mapping->refs, 1) != 1)
		return;
	/* The guard points into the health. */
	vhu_fault_unguard(&mapping->guard);
	munmap(mapping->base, mapping->len_bytes);
	close_fd(&mapping->fd);
	vhu_memory_health_unref(mapping->health);
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
		     struct vhu_memory_health *health, struct vhu_mapping *mapping)
{
	int r;

	/* NORESERVE: the front-end has set aside the huge pages that its file needs. */
	mapping->base = mmap(NULL, len_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
			     fd, (off_t)offset);
	if (mapping->base == MAP_FAILED)
		return -errno;
	mapping->len_bytes = len_bytes;
	/* A core file of ours is no place for the guest's memory; not every kernel can tell. */
	madvise(mapping->base, len_bytes, MADV_DONTDUMP);
	/* Sealed files too: a hole punched into huge pages cannot always be filled again. */
	r = vhu_fault_guard(&mapping->guard, mapping->base, len_bytes, page_bytes,
			    &health->faulted);
	if (r < 0)
		munmap(mapping->base, len_bytes);
	return r;
}

int vhu_mapping_new(int fd, uint64_t offset, uint64_t size, struct vhu_memory_health *health,
		    struct vhu_mapping **ret_mapping)
{
	cleanup_free struct vhu_mapping *mapping = calloc(1, sizeof(*mapping));
	uint64_t page_bytes, end, lead;
	int r;

	if (!mapping)
		return -ENOMEM;
	if (size == 0 || add_overflows(offset, size, &end) || end > INT64_MAX)
		return -EINVAL;
	r = check_file(fd, end, &page_bytes);
	if (r < 0)
		return r;
	lead = offset % page_bytes;
	r = map_range(fd, offset - lead, (lead + size + page_bytes - 1) / page_bytes * page_bytes,
		      page_bytes, health, mapping);
	if (r < 0)
		return r;
	mapping->host = mapping->base + lead;
	mapping->offset = offset;
	mapping->fd = -1;
	mapping->health = vhu_memory_health_ref(health);
	atomic_init(&mapping->refs, 1);
	*ret_mapping = steal_ptr(&mapping);
	return 0;
}
