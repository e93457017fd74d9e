/* SPDX-License-Identifier: BSD-3-Clause */
#include "devices/gpu/udmabuf.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/udmabuf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "common/base/num.h"
#include "common/memory/map.h"

static int refuse(int error, const char *why)
{
	vhu_debug("a blob is not to be had as a dma-buf: %s (%s)", why, strerror(-error));
	return error;
}

/* What adjoins here may be of two regions: it is told apart. Returns false when list is full. */
static bool add_piece(struct udmabuf_create_list *list, unsigned max, struct iovec piece,
		      const struct vhu_memory *memory)
{
	while (piece.iov_len && list->count < max) {
		const struct vhu_memory_slot *slot = vhu_memory_slot_of(memory, piece.iov_base);
		size_t at = (size_t)((char *)piece.iov_base - slot->host);
		size_t bytes = min_u64(piece.iov_len, slot->size - at);

		list->list[list->count++] = (struct udmabuf_create_item){
			.memfd = (uint32_t)slot->mapping->fd,
			.offset = slot->mapping->offset + at,
			.size = bytes,
		};
		piece.iov_base = (char *)piece.iov_base + bytes;
		piece.iov_len -= bytes;
	}
	return piece.iov_len == 0;
}

/* The kernel has one error for most of it. */
static const char *why_not(const struct udmabuf_create_list *list)
{
	for (unsigned i = 0; i < list->count; i++) {
		const struct udmabuf_create_item *item = &list->list[i];
		int seals = fcntl((int)item->memfd, F_GET_SEALS);

		if (seals < 0 || !(seals & F_SEAL_SHRINK))
			return "guest memory is no memfd that is sealed against shrinking";
		if ((item->offset | item->size) % (uint64_t)sysconf(_SC_PAGESIZE))
			return "it is not made of whole pages";
	}
	return "it may be beyond size_limit_mb or list_limit of the kernel's udmabuf";
}

int vhu_gpu_udmabuf_new(const struct vhu_gpu_backing *backing, const struct vhu_memory *memory)
{
	unsigned max = backing->n_iov + VHU_MEMORY_SLOTS;
	cleanup_free struct udmabuf_create_list *list =
		calloc(1, sizeof(*list) + max * sizeof(list->list[0]));
	cleanup_fd int device = -1;
	int fd, error;

	if (!list)
		return -ENOMEM;
	if (!backing->iov)
		return refuse(-EFAULT, "it has no memory");
	/* Pages that are still to come would be taken for empty ones. */
	if (!vhu_memory_is_whole(memory))
		return refuse(-EAGAIN, "guest memory is not all there yet");
	device = open("/dev/udmabuf", O_RDWR | O_CLOEXEC);
	if (device < 0)
		return refuse(-errno, "/dev/udmabuf cannot be opened");
	list->flags = UDMABUF_FLAGS_CLOEXEC;
	for (unsigned i = 0; i < backing->n_iov; i++)
		if (!add_piece(list, max, backing->iov[i], memory))
			return refuse(-E2BIG, "it is in too many pieces");
	fd = ioctl(device, UDMABUF_CREATE_LIST, list);
	error = -errno;
	return fd < 0 ? refuse(error, why_not(list)) : fd;
}
