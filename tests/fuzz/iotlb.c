/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * An IOTLB against a model of it that knows each byte of a small I/O virtual space: updates and
 * invalidations of any size and place, translations through them into two regions of memory.
 */

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/base/num.h"
#include "common/memory/iotlb.h"
#include "tests/fuzz/input.h"

#define SPACE 512u /* addresses that the model knows: 0 to SPACE - 1 */
#define UADDR 0x7f0000000000ull
#define REGION_BYTES 0x1000ull
#define PIECES_MAX 16

struct model {
	struct input *in;
	struct vhu_iotlb *iotlb;
	uint64_t uaddr[SPACE];
	uint8_t access[SPACE];
};

static struct vhu_memory *memory;

static void make_memory(void)
{
	struct vhu_memory_region regions[2];
	struct vhu_memory *none;
	int fd = memfd_create("guest", 0), fds[2] = { fd, fd };

	expect(fd >= 0 && ftruncate(fd, (off_t)(4 * REGION_BYTES)) == 0);
	for (unsigned i = 0; i < 2; i++)
		regions[i] = (struct vhu_memory_region){
			.gpa = i * 2 * REGION_BYTES,
			.size = REGION_BYTES,
			.uaddr = UADDR + i * REGION_BYTES,
			.mmap_offset = i * 2 * REGION_BYTES,
		};
	expect(vhu_memory_new(&none) == 0);
	expect(vhu_memory_with_table(none, regions, fds, 2, &memory) == 0);
	vhu_memory_unref(none);
	close(fd);
}

static uint64_t some_iova(struct input *in)
{
	return input_u8(in) < 240 ? input_u16(in) % (SPACE + 8) : input_u64(in);
}

static uint64_t some_size(struct input *in)
{
	return input_u8(in) < 200 ? input_below(in, 128) : input_u64(in);
}

static void update(struct model *m)
{
	uint64_t iova = some_iova(m->in), size = some_size(m->in);
	uint64_t uaddr = UADDR - 64 + input_u16(m->in) % (2 * REGION_BYTES);
	unsigned access = input_below(m->in, 5);
	uint64_t end;

	if (vhu_iotlb_update(m->iotlb, iova, size, uaddr, access) < 0) {
		expect(!size || access > VHU_ACCESS_BOTH ||
		       add_overflows(iova, size - 1, &end) ||
		       add_overflows(uaddr, size - 1, &end) || iova + size == 0 ||
		       uaddr + size == 0);
		return;
	}
	for (uint64_t i = iova; i < SPACE && i - iova < size; i++) {
		m->uaddr[i] = uaddr + (i - iova);
		m->access[i] = (uint8_t)access;
	}
}

static void invalidate(struct model *m)
{
	uint64_t first = some_iova(m->in), size = some_size(m->in);
	uint64_t last = vhu_iotlb_last(&first, size);

	vhu_iotlb_invalidate(m->iotlb, first, last);
	for (uint64_t i = first; i < SPACE && i <= last; i++)
		m->access[i] = 0;
}

static bool known(const struct model *m, uint64_t iova, unsigned access)
{
	return (m->access[iova] & access) == access;
}

/* Each byte where the model has it, and nothing that it has not. */
static void check_pieces(const struct model *m, uint64_t iova, const struct iovec *pieces, int n)
{
	for (int p = 0; p < n; p++)
		for (size_t i = 0; i < pieces[p].iov_len; i++, iova++)
			expect((char *)pieces[p].iov_base + i ==
			       vhu_memory_from_uaddr(memory, m->uaddr[iova], 1));
}

static void translate(struct model *m)
{
	uint64_t iova = input_u16(m->in) % SPACE, missed = 0, total = 0;
	uint64_t len = min_u64(1 + input_below(m->in, 128), SPACE - iova);
	unsigned access = 1 + input_below(m->in, 3);
	struct iovec pieces[PIECES_MAX];
	int n = vhu_iotlb_translate(m->iotlb, memory, iova, len, access, pieces, PIECES_MAX,
				    &missed);
	uint64_t bad = iova;

	while (bad < iova + len && known(m, bad, access))
		bad++;
	if (n == -EAGAIN) {
		expect(bad < iova + len && missed == bad);
	} else if (n == -EFAULT) {
		for (bad = iova; bad < iova + len; bad++)
			if (!vhu_memory_from_uaddr(memory, m->uaddr[bad], 1))
				return;
		expect(false);
	} else if (n != -E2BIG) {
		expect(n > 0 && n <= PIECES_MAX && bad == iova + len);
		check_pieces(m, iova, pieces, n);
		for (int i = 0; i < n; i++)
			total += pieces[i].iov_len;
		expect(total == len);
	}
}

static void allows(struct model *m)
{
	uint64_t iova = input_u16(m->in) % SPACE;
	unsigned access = 1 + input_below(m->in, 3);

	expect(vhu_iotlb_allows(m->iotlb, iova, access) == known(m, iova, access));
}

static void clear(struct model *m)
{
	vhu_iotlb_clear(m->iotlb);
	memset(m->access, 0, sizeof(m->access));
}

static void (*const ops[])(struct model *m) = {
	update, update, update, update, invalidate, invalidate, translate, translate, allows, clear,
};

static void check_order(const struct vhu_iotlb *iotlb)
{
	expect(iotlb->n <= VHU_IOTLB_RANGES);
	for (unsigned i = 0; i < iotlb->n; i++) {
		expect(iotlb->ranges[i].first <= iotlb->ranges[i].last);
		expect(!i || iotlb->ranges[i - 1].last < iotlb->ranges[i].first);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { .at = data, .left = size };
	struct model m = { .in = &in, .iotlb = vhu_iotlb_new() };

	if (!memory)
		make_memory();
	expect(m.iotlb);
	while (in.left) {
		ops[input_u8(&in) % ARRAY_SIZE(ops)](&m);
		check_order(m.iotlb);
	}
	free(m.iotlb);
	return 0;
}
