/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/device/dirty_log.h"

#include <string.h>
#include <sys/mman.h>

#include "common/base/cleanup.h"

void log_open(struct dirty_log *log)
{
	log->fd = make_memfd(LOG_OFFSET + LOG_BYTES);
	log->mapped = mmap(NULL, LOG_OFFSET + LOG_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
			   log->fd, 0);
	assert_ptr_not_equal(log->mapped, MAP_FAILED);
	log->bits = log->mapped + LOG_OFFSET;
	memset(log->taken, 0, sizeof(log->taken));
}

void log_close(struct dirty_log *log)
{
	munmap(log->mapped, LOG_OFFSET + LOG_BYTES);
	close_fd(&log->fd);
}

bool is_marked(const struct dirty_log *log, uint64_t gpa)
{
	uint8_t byte = __atomic_load_n(&log->bits[gpa / PAGE / 8], __ATOMIC_ACQUIRE);

	return byte >> gpa / PAGE % 8 & 1;
}

void take_mark(struct dirty_log *log, uint64_t gpa)
{
	uint64_t at = gpa / PAGE / 8;
	uint8_t bit = (uint8_t)(1u << gpa / PAGE % 8);

	log->taken[at] |= __atomic_fetch_and(&log->bits[at], (uint8_t)~bit, __ATOMIC_SEQ_CST) & bit;
}

bool was_taken(const struct dirty_log *log, uint64_t gpa)
{
	return log->taken[gpa / PAGE / 8] >> gpa / PAGE % 8 & 1;
}

int set_log_base(struct scene *scene, int fd, uint64_t size, uint64_t offset)
{
	const struct vhu_log_base base = { .size = size, .offset = offset };

	return vhu_frontend_call(&scene->frontend, VHU_SET_LOG_BASE, &base, sizeof(base), &fd, 1,
				 NULL);
}

void use_log(struct scene *scene, const struct dirty_log *log)
{
	assert_int_equal(set_log_base(scene, log->fd, LOG_BYTES, LOG_OFFSET), 0);
}

void log_all(struct scene *scene, bool on)
{
	uint64_t features = scene->frontend.acked_features & ~LOG_ALL;

	assert_int_equal(vhu_frontend_set_features(&scene->frontend, features | (on ? LOG_ALL : 0)),
			 0);
}

int set_used_log(struct scene *scene, uint32_t flags, uint64_t log_gpa)
{
	const struct vhu_guest *guest = &scene->frontend.guest;
	const struct vhu_vring_addr addr = {
		.flags = flags,
		.desc_uaddr = vhu_guest_uaddr(guest, scene->driver.desc_gpa),
		.avail_uaddr = vhu_guest_uaddr(guest, scene->driver.avail_gpa),
		.used_uaddr = vhu_guest_uaddr(guest, scene->driver.used_gpa),
		.log_gpa = log_gpa,
	};

	return vhu_frontend_set_vring_addr(&scene->frontend, &addr);
}

void log_used(struct scene *scene, bool on)
{
	assert_int_equal(set_used_log(scene, on ? VHU_VRING_ADDR_LOG : 0, USED_LOG_GPA), 0);
}

void log_begin(struct scene *scene, struct dirty_log *log)
{
	log_open(log);
	scene_ring_bits(scene, VHU_FRONTEND_FEATURES, LOG_PROTOCOL);
	use_log(scene, log);
}

unsigned count_marks(const struct dirty_log *log)
{
	unsigned n = 0;

	for (uint64_t i = 0; i < LOG_BYTES; i++)
		n += (unsigned)__builtin_popcount(log->bits[i]);
	return n;
}
