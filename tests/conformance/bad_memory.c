/* SPDX-License-Identifier: BSD-3-Clause */
/* The guest's memory, for the back-end that breaks rules on demand. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/num.h"
#include "tests/conformance/bad_parts.h"

static unsigned n_known_regions(void)
{
	return breaks("MEM-01") && bad.n_regions ? 1 : bad.n_regions;
}

void *bad_at_uaddr(uint64_t uaddr, uint64_t len)
{
	for (unsigned i = 0; i < bad.n_regions; i++) {
		const struct bad_region *region = &bad.regions[i];

		if (range_fits(uaddr - region->wire.uaddr, len, region->wire.size))
			return region->host + (uaddr - region->wire.uaddr);
	}
	return NULL;
}

/* Where gpa is, and how many of len bytes are there in one piece. */
static char *at_gpa(uint64_t gpa, uint32_t *len, bool write)
{
	if (bad_has_iommu())
		return bad_at_iova(gpa, len, write ? 2 : 1);
	for (unsigned i = 0; i < n_known_regions(); i++) {
		const struct bad_region *region = &bad.regions[i];
		uint64_t offset = gpa - region->wire.gpa;

		if (offset >= region->wire.size)
			continue;
		if (breaks("MEM-05") && !range_fits(offset, *len, region->wire.size))
			return NULL;
		*len = (uint32_t)min_u64(*len, region->wire.size - offset);
		return region->host + offset;
	}
	return NULL;
}

static sigjmp_buf fault;

static void on_fault(int signo)
{
	(void)signo;
	siglongjmp(fault, 1);
}

/* The file behind a region may have become shorter (HOS-16). */
static bool copy_part(char *to, const char *from, size_t n)
{
	if (!breaks("HOS-16"))
		signal(SIGBUS, on_fault);
	if (sigsetjmp(fault, 1))
		return false;
	memcpy(to, from, n);
	return true;
}

static bool copy(uint64_t gpa, void *buf, uint32_t len, bool write)
{
	char *bytes = buf;

	while (len) {
		uint32_t n = len;
		char *at = at_gpa(gpa, &n, write);

		if (!at || !copy_part(write ? at : bytes, write ? bytes : at, n))
			return false;
		gpa += n;
		bytes += n;
		len -= n;
	}
	return true;
}

bool bad_read(uint64_t gpa, void *buf, uint32_t len)
{
	return copy(gpa, buf, len, false);
}

bool bad_write(uint64_t gpa, const void *buf, uint32_t len)
{
	if (!copy(gpa, (void *)(uintptr_t)buf, len, true))
		return false;
	bad_mark(gpa, len);
	return true;
}

static void unmap(unsigned i)
{
	munmap(bad.regions[i].host, bad.regions[i].wire.size);
	bad.regions[i] = bad.regions[--bad.n_regions];
}

static bool is_odd(const struct vhu_wire_region *region, int fd)
{
	struct stat st;
	uint64_t end;

	if (!region->size || add_overflows(region->gpa, region->size, &end) ||
	    add_overflows(region->uaddr, region->size, &end) ||
	    add_overflows(region->mmap_offset, region->size, &end) || fstat(fd, &st) < 0 ||
	    end > (uint64_t)st.st_size || region->mmap_offset % 4096)
		return true;
	for (unsigned i = 0; i < bad.n_regions; i++)
		if (ranges_overlap(region->gpa, region->size, bad.regions[i].wire.gpa,
				   bad.regions[i].wire.size))
			return true;
	return false;
}

static int map(const struct vhu_wire_region *region, int fd)
{
	off_t offset = breaks("MEM-02") ? 0 : (off_t)region->mmap_offset;
	void *host;

	if (bad.n_regions == (breaks("MEM-11") ? 4 : BAD_REGIONS) || is_odd(region, fd))
		return -EINVAL;
	host = mmap(NULL, region->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset);
	if (host == MAP_FAILED)
		return -errno;
	bad.regions[bad.n_regions++] = (struct bad_region){ *region, host };
	/* No case's rule: it takes the memory away from under the front-end. */
	return breaks("truncate") ? ftruncate(fd, 0) : 0;
}

/* Their rings lie where they lay, in the same files mapped anew. */
static void restart_rings(void)
{
	for (unsigned i = 0; i < BAD_QUEUES; i++)
		if (bad.rings[i].started && bad_ring_start(&bad.rings[i]) < 0)
			bad.rings[i].started = false;
}

int bad_set_mem_table(struct vhu_message *message)
{
	struct vhu_mem_table *table = &message->payload.mem_table;
	int r = 0;

	if (bad_postcopy_takes_ack(message, &r))
		return r;
	if (breaks("MEM-14") || (breaks("MEM-04") && bad_any_started()))
		return -EINVAL;
	if (breaks("MEM-03") && bad.n_regions)
		return 0;
	while (bad.n_regions)
		unmap(bad.n_regions - 1);
	for (unsigned i = 0; i < table->n_regions && r == 0; i++)
		r = map(&table->regions[i], message->fds[i]);
	dies_of("MEM-12", r < 0);
	if (r == 0 && bad_postcopy_listens())
		return bad_postcopy_reply(message, table->regions, table->n_regions);
	restart_rings();
	return r;
}

int bad_add_mem_reg(struct vhu_message *message)
{
	int r;

	if (bad_postcopy_takes_ack(message, &r))
		return r;
	if (breaks("MEM-15"))
		return -EINVAL;
	if (breaks("MEM-07") && bad_any_started())
		return 0;
	if (breaks("MEM-06"))
		while (bad.n_regions)
			unmap(0);
	r = message->n_fds == 1 ? map(&message->payload.region.region, message->fds[0]) : -EINVAL;
	dies_of("MEM-13", r < 0);
	if (r == 0 && bad_postcopy_listens())
		return bad_postcopy_reply(message, &message->payload.region.region, 1);
	return r;
}

int bad_rem_mem_reg(struct vhu_message *message)
{
	const struct vhu_wire_region *region = &message->payload.region.region;

	for (unsigned i = 0; i < bad.n_regions; i++) {
		const struct vhu_wire_region *known = &bad.regions[i].wire;

		if (known->gpa != region->gpa || known->uaddr != region->uaddr ||
		    known->size != region->size ||
		    (breaks("MEM-08") && known->mmap_offset != region->mmap_offset))
			continue;
		unmap(i);
		return 0;
	}
	return -ENOENT;
}

int bad_get_max_mem_slots(struct vhu_message *message)
{
	return bad_reply_u64(message, breaks("MEM-10") ? 0 : BAD_REGIONS);
}

void bad_forget_memory(void)
{
	while (bad.n_regions)
		unmap(bad.n_regions - 1);
}
