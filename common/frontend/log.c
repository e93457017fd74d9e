/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/num.h"
#include "common/frontend/log.h"

/* "The log covers from address 0 to the maximum of guest regions." */
static uint64_t bytes_for(const struct vhu_guest *guest)
{
	uint64_t end = VHU_FRONTEND_LOG_PAGE;

	for (unsigned i = 0; i < guest->n_regions; i++)
		end = max_u64(end, guest->regions[i].wire.gpa + guest->regions[i].wire.size);
	return (end - 1) / VHU_FRONTEND_LOG_PAGE / 8 + 1;
}

int vhu_frontend_log_init(struct vhu_frontend_log *log, const struct vhu_guest *guest,
			  uint64_t size, uint64_t offset)
{
	cleanup_fd int fd = memfd_create("log", MFD_CLOEXEC);
	void *bits;

	if (size == 0)
		size = bytes_for(guest);
	if (fd < 0 || ftruncate(fd, (off_t)(offset + size)) < 0)
		return -errno;
	bits = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)offset);
	if (bits == MAP_FAILED)
		return -errno;
	*log = (struct vhu_frontend_log){ steal_fd(&fd), size, offset, bits };
	return 0;
}

void vhu_frontend_log_finish(struct vhu_frontend_log *log)
{
	if (!log->bits)
		return;
	munmap(log->bits, log->size);
	close_fd(&log->fd);
	log->bits = NULL;
}

int vhu_frontend_set_log(struct vhu_frontend *frontend, const struct vhu_frontend_log *log)
{
	struct vhu_log_base base = { .size = log->size, .offset = log->offset };

	return vhu_frontend_call(frontend, VHU_SET_LOG_BASE, &base, sizeof(base), &log->fd, 1,
				 NULL);
}

int vhu_frontend_set_logging(struct vhu_frontend *frontend, bool on)
{
	uint64_t others = frontend->acked_features & ~VHU_BIT(VHU_F_LOG_ALL);

	return vhu_frontend_set_features(frontend, others | (on ? VHU_BIT(VHU_F_LOG_ALL) : 0));
}

static uint8_t bit_of(uint64_t page)
{
	return (uint8_t)(1u << page % 8);
}

bool vhu_frontend_log_has(const struct vhu_frontend_log *log, uint64_t gpa)
{
	uint64_t page = gpa / VHU_FRONTEND_LOG_PAGE;

	return page / 8 < log->size &&
	       __atomic_load_n(&log->bits[page / 8], __ATOMIC_ACQUIRE) & bit_of(page);
}

bool vhu_frontend_log_take(struct vhu_frontend_log *log, uint64_t gpa)
{
	uint64_t page = gpa / VHU_FRONTEND_LOG_PAGE;

	return page / 8 < log->size &&
	       __atomic_fetch_and(&log->bits[page / 8], (uint8_t)~bit_of(page), __ATOMIC_ACQ_REL) &
		       bit_of(page);
}

uint64_t vhu_frontend_log_count(const struct vhu_frontend_log *log)
{
	uint64_t n = 0;

	for (uint64_t i = 0; i < log->size; i++)
		n += (unsigned)__builtin_popcount(__atomic_load_n(&log->bits[i], __ATOMIC_ACQUIRE));
	return n;
}

void vhu_frontend_log_clear(struct vhu_frontend_log *log)
{
	for (uint64_t i = 0; i < log->size; i++)
		__atomic_store_n(&log->bits[i], 0, __ATOMIC_RELEASE);
}
