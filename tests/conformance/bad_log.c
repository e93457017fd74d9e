/* SPDX-License-Identifier: BSD-3-Clause */
/* The dirty log of the back-end that breaks rules on demand. */
#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/num.h"
#include "tests/conformance/bad_parts.h"

#define PAGE 4096u

static struct {
	uint8_t *bits;
	uint64_t size, offset;
	int fd;
} dirty = { .fd = -1 };

void bad_forget_log(void)
{
	if (dirty.bits)
		munmap(dirty.bits, dirty.size);
	dirty.bits = NULL;
	close_fd(&dirty.fd);
}

static bool is_there(int fd, uint64_t size, uint64_t offset)
{
	struct stat st;

	return fstat(fd, &st) == 0 && size && range_fits(offset, size, (uint64_t)st.st_size);
}

int bad_set_log_base(struct vhu_message *message)
{
	struct vhu_log_base base = message->payload.log_base;
	void *bits;

	if (breaks("LOG-01"))
		return BAD_REPLIED;
	dies_of("LOG-12", !is_there(message->fds[0], base.size, base.offset) || base.size < 64);
	if (!is_there(message->fds[0], base.size, base.offset))
		return bad_reply_u64(message, EINVAL);
	bits = mmap(NULL, base.size, PROT_READ | PROT_WRITE, MAP_SHARED, message->fds[0],
		    breaks("LOG-05") ? 0 : (off_t)base.offset);
	if (bits == MAP_FAILED)
		return bad_reply_u64(message, EINVAL);
	bad_forget_log();
	dirty.bits = bits;
	dirty.size = base.size;
	dirty.offset = base.offset;
	dirty.fd = vhu_message_steal_fd(message, 0);
	return bad_reply_u64(message, 0);
}

int bad_set_log_fd(struct vhu_message *message)
{
	(void)message;
	return breaks("LOG-11") ? -EINVAL : 0;
}

static void mark_page(uint64_t page)
{
	uint8_t bit = (uint8_t)(1u << page % 8), *byte = &dirty.bits[page / 8], old;

	if (page / 8 >= dirty.size)
		return;
	if (!breaks("LOG-09")) {
		__atomic_fetch_or(byte, bit, __ATOMIC_SEQ_CST);
		return;
	}
	old = __atomic_load_n(byte, __ATOMIC_SEQ_CST);
	usleep(20);
	__atomic_store_n(byte, old | bit, __ATOMIC_SEQ_CST);
}

void bad_mark(uint64_t gpa, uint64_t len)
{
	uint64_t last = (gpa + len - 1) / PAGE;
	bool on = bad.acked & VHU_BIT(VHU_F_LOG_ALL) || breaks("LOG-04");

	if (!dirty.bits || !on || !len || breaks("LOG-02") ||
	    (breaks("LOG-07") && bad.n_regions > 1) || (breaks("LOG-08") && bad_is_packed()))
		return;
	if (!is_there(dirty.fd, dirty.size, dirty.offset)) {
		dies_of("LOG-13", true);
		return;
	}
	for (uint64_t page = gpa / PAGE; page <= (breaks("LOG-03") ? gpa / PAGE : last); page++)
		mark_page(page);
}

void bad_mark_used(const struct bad_ring *ring)
{
	if (ring->addr.flags & VHU_VRING_ADDR_LOG && !breaks("LOG-06"))
		bad_mark(ring->addr.log_gpa, 6 + 8ull * ring->vring.num);
}
