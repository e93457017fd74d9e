/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/num.h"
#include "common/frontend/guest.h"

#define FIRST_UADDR 0x100000000000ull
#define UADDR_GAP 0x200000ull

void vhu_guest_init(struct vhu_guest *guest)
{
	guest->n_regions = 0;
	guest->next_uaddr = FIRST_UADDR;
	guest->iova_offset = 0;
}

void vhu_guest_finish(struct vhu_guest *guest)
{
	for (unsigned i = 0; i < guest->n_regions; i++) {
		munmap(guest->regions[i].host, guest->regions[i].wire.size);
		close_fd(&guest->regions[i].fd);
	}
	vhu_guest_init(guest);
}

/* Takes fd, also on failure. */
static int add_region(struct vhu_guest *guest, uint64_t gpa, uint64_t size, int fd,
		      uint64_t mmap_offset)
{
	cleanup_fd int owned = fd;
	void *host;

	if (guest->n_regions == VHU_GUEST_REGIONS)
		return -ENOSPC;
	host = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)mmap_offset);
	if (host == MAP_FAILED)
		return -errno;
	guest->regions[guest->n_regions] = (struct vhu_guest_region){
		.wire = { gpa, size, guest->next_uaddr, mmap_offset },
		.fd = steal_fd(&owned),
		.host = host,
	};
	guest->next_uaddr += (size + 2 * UADDR_GAP - 1) & ~(UADDR_GAP - 1);
	return (int)guest->n_regions++;
}

int vhu_guest_add(struct vhu_guest *guest, uint64_t gpa, uint64_t size)
{
	cleanup_fd int fd = memfd_create("guest", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
		return -errno;
	return add_region(guest, gpa, size, steal_fd(&fd), 0);
}

int vhu_guest_add_file(struct vhu_guest *guest, uint64_t gpa, uint64_t size, int fd,
		       uint64_t mmap_offset)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	return copy < 0 ? -errno : add_region(guest, gpa, size, copy, mmap_offset);
}

struct vhu_guest_buffer vhu_guest_alloc(struct vhu_guest *guest, uint32_t len, uint32_t align)
{
	for (unsigned i = 0; i < guest->n_regions; i++) {
		struct vhu_guest_region *region = &guest->regions[i];
		uint64_t gpa = region->wire.gpa + region->used_bytes;
		uint64_t offset = ((gpa + align - 1) & ~((uint64_t)align - 1)) - region->wire.gpa;

		if (!range_fits(offset, len, region->wire.size))
			continue;
		region->used_bytes = offset + len;
		return (struct vhu_guest_buffer){
			.gpa = region->wire.gpa + offset,
			.len = len,
			.host = region->host + offset,
		};
	}
	return (struct vhu_guest_buffer){ 0 };
}

static const struct vhu_guest_region *find_region(const struct vhu_guest *guest, uint64_t gpa,
						  uint64_t len)
{
	for (unsigned i = 0; i < guest->n_regions; i++) {
		const struct vhu_wire_region *wire = &guest->regions[i].wire;

		if (gpa >= wire->gpa && range_fits(gpa - wire->gpa, len, wire->size))
			return &guest->regions[i];
	}
	return NULL;
}

void *vhu_guest_at(const struct vhu_guest *guest, uint64_t gpa, uint64_t len)
{
	const struct vhu_guest_region *region = find_region(guest, gpa, len);

	return region ? region->host + (gpa - region->wire.gpa) : NULL;
}

uint64_t vhu_guest_uaddr(const struct vhu_guest *guest, uint64_t gpa)
{
	const struct vhu_guest_region *region = find_region(guest, gpa, 1);

	return region ? region->wire.uaddr + (gpa - region->wire.gpa) : 0;
}
