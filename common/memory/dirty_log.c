/* SPDX-License-Identifier: BSD-3-Clause */
#include "common/memory/dirty_log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/base/num.h"

#define PAGES_PER_BYTE 8

/* Takes a reference to mapping; on error none is kept. */
static int make_log(struct vhu_mapping *mapping, uint64_t size_bytes, int changed_fd,
		    struct vhu_dirty_log **ret_log)
{
	cleanup_free struct vhu_dirty_log *log = calloc(1, sizeof(*log));
	cleanup_fd int fd = changed_fd < 0 ? -1 : fcntl(changed_fd, F_DUPFD_CLOEXEC, 0);
	int r;

	if (!log)
		return -ENOMEM;
	if (changed_fd >= 0 && fd < 0)
		return -errno;
	r = vhu_notifier_init(&log->changed, fd);
	if (r < 0)
		return r;
	steal_fd(&fd);
	atomic_init(&log->refs, 1);
	log->mapping = vhu_mapping_ref(mapping);
	log->bits = (uint8_t *)mapping->host;
	log->size_bytes = size_bytes;
	*ret_log = steal_ptr(&log);
	return 0;
}

int vhu_dirty_log_new(int fd, uint64_t size, uint64_t offset, int changed_fd,
		      struct vhu_memory_health *health, struct vhu_dirty_log **ret_log)
{
	struct vhu_mapping *mapping;
	int r = vhu_mapping_new(fd, offset, size, health, &mapping);

	if (r < 0)
		return r;
	r = make_log(mapping, size, changed_fd, ret_log);
	vhu_mapping_unref(mapping);
	return r;
}

int vhu_dirty_log_with_fd(const struct vhu_dirty_log *log, int changed_fd,
			  struct vhu_dirty_log **ret_log)
{
	return make_log(log->mapping, log->size_bytes, changed_fd, ret_log);
}

struct vhu_dirty_log *vhu_dirty_log_ref(struct vhu_dirty_log *log)
{
	atomic_fetch_add(&log->refs, 1);
	return log;
}

void vhu_dirty_log_unref(struct vhu_dirty_log *log)
{
	if (!log || atomic_fetch_sub(&log->refs, 1) != 1)
		return;
	close_fd(&log->changed.fd);
	vhu_mapping_unref(log->mapping);
	free(log);
}

bool vhu_dirty_log_covers(const struct vhu_dirty_log *log, uint64_t gpa, uint64_t len)
{
	uint64_t last;

	return len == 0 || (!add_overflows(gpa, len - 1, &last) &&
			    last / VHU_LOG_PAGE_BYTES / PAGES_PER_BYTE < log->size_bytes);
}

/* Sets the bits of a byte at a time: the front-end takes bits out while we put some in. */
static void mark(const struct vhu_dirty_log *log, uint64_t first, uint64_t last)
{
	uint8_t news = 0;

	for (uint64_t page = first; page <= last; page = (page | (PAGES_PER_BYTE - 1)) + 1) {
		uint8_t bits = (uint8_t)(0xffu << page % PAGES_PER_BYTE);
		uint8_t *byte = &log->bits[page / PAGES_PER_BYTE];

		if (last - page < PAGES_PER_BYTE - 1 - page % PAGES_PER_BYTE)
			bits &= (uint8_t)(0xffu >> (PAGES_PER_BYTE - 1 - last % PAGES_PER_BYTE));
		news |= (uint8_t)(bits & ~__atomic_fetch_or(byte, bits, __ATOMIC_SEQ_CST));
	}
	if (news)
		vhu_notifier_signal(&log->changed);
}

static void note_unlogged(const struct vhu_memory *memory)
{
	atomic_store(&memory->health->unlogged, true);
	vhu_memory_note_fault(memory);
}

void vhu_memory_mark_range(const struct vhu_memory *memory, uint64_t gpa, uint64_t len)
{
	if (!vhu_dirty_log_covers(memory->log, gpa, len))
		note_unlogged(memory);
	else if (len)
		mark(memory->log, gpa / VHU_LOG_PAGE_BYTES, (gpa + len - 1) / VHU_LOG_PAGE_BYTES);
}

/* A piece may go on in the region that is mapped behind. */
static void mark_piece(const struct vhu_memory *memory, const char *host, uint64_t len)
{
	while (len) {
		const struct vhu_memory_slot *slot = vhu_memory_slot_of(memory, host);
		uint64_t offset, part;

		if (!slot) {
			note_unlogged(memory);
			return;
		}
		offset = (uint64_t)(host - slot->host);
		part = min_u64(len, slot->size - offset);
		vhu_memory_mark_range(memory, slot->gpa + offset, part);
		host += part;
		len -= part;
	}
}

void vhu_memory_mark_pieces(const struct vhu_memory *memory, const struct iovec *iov, size_t n)
{
	for (size_t i = 0; i < n; i++)
		mark_piece(memory, iov[i].iov_base, iov[i].iov_len);
}
