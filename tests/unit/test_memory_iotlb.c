/* SPDX-License-Identifier: BSD-3-Clause */

/* The table of I/O virtual addresses, and views of pages that lie apart. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/num.h"
#include "common/memory/iotlb.h"
#include "common/memory/view.h"

#define PAGE 4096ull
#define PAGES 16
#define UADDR 0x7f0000000000ull
#define R VHU_ACCESS_READ
#define W VHU_ACCESS_WRITE
#define RW VHU_ACCESS_BOTH

struct rig {
	struct vhu_iotlb *iotlb;
	struct vhu_memory *memory;
	int fd;
	char *mem;
};

/* Two regions that adjoin in user addresses, the first 4 pages long, and nowhere else. */
static int setup(void **state)
{
	struct rig *rig = calloc(1, sizeof(*rig));
	struct vhu_memory_region regions[2] = {
		{ .gpa = 0, .size = 4 * PAGE, .uaddr = UADDR },
		{ .gpa = 1 << 20, .size = (PAGES - 4) * PAGE, .uaddr = UADDR + 4 * PAGE,
		  .mmap_offset = 4 * PAGE },
	};
	struct vhu_memory *empty;
	int fds[2];

	assert_non_null(rig);
	rig->iotlb = vhu_iotlb_new();
	assert_non_null(rig->iotlb);
	rig->fd = fds[0] = fds[1] = memfd_create("guest", MFD_CLOEXEC);
	assert_int_equal(ftruncate(rig->fd, PAGES * PAGE), 0);
	rig->mem = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, rig->fd, 0);
	assert_true(rig->mem != MAP_FAILED);
	for (unsigned i = 0; i < PAGES; i++)
		memset(rig->mem + i * PAGE, 'a' + (int)i, PAGE);
	assert_int_equal(vhu_memory_new(&empty), 0);
	assert_int_equal(vhu_memory_with_table(empty, regions, fds, 2, &rig->memory), 0);
	vhu_memory_unref(empty);
	*state = rig;
	return 0;
}

static int teardown(void **state)
{
	struct rig *rig = *state;

	vhu_memory_unref(rig->memory);
	munmap(rig->mem, PAGES * PAGE);
	close(rig->fd);
	free(rig->iotlb);
	free(rig);
	return 0;
}

static void update(struct vhu_iotlb *iotlb, uint64_t iova, uint64_t size, uint64_t uaddr,
		   unsigned access)
{
	assert_int_equal(vhu_iotlb_update(iotlb, iova, size, uaddr, access), 0);
}

static void invalidate(struct vhu_iotlb *iotlb, uint64_t iova, uint64_t size)
{
	uint64_t last = vhu_iotlb_last(&iova, size);

	vhu_iotlb_invalidate(iotlb, iova, last);
}

static void neighbours_become_one(void **state)
{
	struct vhu_iotlb *iotlb = ((struct rig *)*state)->iotlb;

	update(iotlb, 0x1000, PAGE, UADDR, RW);
	update(iotlb, 0x3000, PAGE, UADDR + 0x2000, RW);
	assert_int_equal(iotlb->n, 2);
	update(iotlb, 0x2000, PAGE, UADDR + 0x1000, RW);
	assert_int_equal(iotlb->n, 1);
	assert_int_equal(iotlb->ranges[0].first, 0x1000);
	assert_int_equal(iotlb->ranges[0].last, 0x3fff);
	/* Not: other rights; other places; a gap; the far ends of the address space. */
	update(iotlb, 0x4000, PAGE, UADDR + 0x3000, R);
	update(iotlb, 0x5000, PAGE, UADDR + 0x5000, R);
	update(iotlb, 0x7000, PAGE, UADDR + 0x7000, R);
	update(iotlb, 0, PAGE, UADDR - PAGE + 1, RW);
	update(iotlb, UINT64_MAX - 0xfff, PAGE, UADDR - 2 * PAGE + 1, RW);
	assert_int_equal(iotlb->n, 6);
}

static void a_hole_makes_two(void **state)
{
	struct rig *rig = *state;
	struct vhu_iotlb *iotlb = rig->iotlb;
	struct iovec iov[4];
	uint64_t missed;

	update(iotlb, 0x10000, 8 * PAGE, UADDR, RW);
	invalidate(iotlb, 0x12000, 2 * PAGE);
	assert_int_equal(iotlb->n, 2);
	assert_true(vhu_iotlb_allows(iotlb, 0x11fff, RW));
	assert_false(vhu_iotlb_allows(iotlb, 0x12000, R));
	assert_false(vhu_iotlb_allows(iotlb, 0x13fff, R));
	assert_true(vhu_iotlb_allows(iotlb, 0x14000, RW));
	assert_int_equal(vhu_iotlb_translate(iotlb, rig->memory, 0x14010, 8, RW, iov, 4, &missed),
			 1);
	assert_int_equal(*(char *)iov[0].iov_base, 'e');
	/* A part comes from elsewhere, with less. */
	update(iotlb, 0x11800, PAGE, UADDR + 8 * PAGE, R);
	assert_int_equal(vhu_iotlb_translate(iotlb, rig->memory, 0x117ff, 2, R, iov, 4, &missed),
			 2);
	assert_int_equal(*(char *)iov[0].iov_base, 'b');
	assert_int_equal(*(char *)iov[1].iov_base, 'i');
	assert_int_equal(vhu_iotlb_translate(iotlb, rig->memory, 0x117ff, 2, W, iov, 4, &missed),
			 -EAGAIN);
	assert_int_equal(missed, 0x11800);
	/* "No access" takes away. */
	update(iotlb, 0x11000, PAGE, 0xdead, 0);
	assert_false(vhu_iotlb_allows(iotlb, 0x11000, R));
	assert_false(vhu_iotlb_allows(iotlb, 0x11fff, R));
	assert_true(vhu_iotlb_allows(iotlb, 0x12000, R));
}

/* QEMU's intel-iommu takes the whole space back in pieces like these. */
static void everything_in_pieces(void **state)
{
	static const uint64_t pieces[][2] = {
		{ 0, 0xfee00000 },		     { 0xfef00000, 0xffffffff01100000 },
		{ 0, 0 },			     { 0x8000, 0 },
		{ 0, UINT64_MAX },		     { 1, UINT64_MAX },
		{ 0xfffffffffffff000, 0x2000 },	     { 0, 1ull << 47 },
		{ 1ull << 47, UINT64_MAX - (1ull << 47) + 1 },
	};
	struct vhu_iotlb *iotlb = ((struct rig *)*state)->iotlb;

	for (unsigned i = 0; i < ARRAY_SIZE(pieces); i++) {
		uint64_t iova = pieces[i][0], size = pieces[i][1];
		bool all = size == 0 || iova + (size - 1) < iova;

		vhu_iotlb_clear(iotlb);
		update(iotlb, 0, PAGE, UADDR, RW);
		update(iotlb, 0xfee00000, PAGE, UADDR, RW);
		update(iotlb, 0xfffff000, PAGE, UADDR, RW);
		update(iotlb, 1ull << 47, PAGE, UADDR, RW);
		update(iotlb, UINT64_MAX - 0xfff, PAGE, UADDR, RW);
		invalidate(iotlb, iova, size);
		assert_int_equal(vhu_iotlb_allows(iotlb, 0, R), !all && iova > 0);
		assert_int_equal(vhu_iotlb_allows(iotlb, 0xfee00fff, R),
				 !all && !range_fits(0xfee00fff - iova, 1, size));
		assert_int_equal(vhu_iotlb_allows(iotlb, UINT64_MAX, R),
				 !all && !range_fits(UINT64_MAX - iova, 1, size));
	}
}

static void what_is_no_range_is_refused(void **state)
{
	struct vhu_iotlb *iotlb = ((struct rig *)*state)->iotlb;

	assert_int_equal(vhu_iotlb_update(iotlb, 0x1000, 0, UADDR, RW), -EINVAL);
	assert_int_equal(vhu_iotlb_update(iotlb, 0x1000, PAGE, UADDR, 4), -EINVAL);
	assert_int_equal(vhu_iotlb_update(iotlb, 0x1000, UINT64_MAX, 0, RW), -EINVAL);
	assert_int_equal(vhu_iotlb_update(iotlb, 0x1000, PAGE, UINT64_MAX - 4094, RW), -EINVAL);
	assert_int_equal(iotlb->n, 0);
	/* All but one byte of everything is one; and the last page. */
	update(iotlb, 0, UINT64_MAX, 0, RW);
	update(iotlb, UINT64_MAX - 4095, PAGE, 0, RW);
	assert_true(vhu_iotlb_allows(iotlb, UINT64_MAX, RW));
	invalidate(iotlb, 0, 0);
	assert_int_equal(iotlb->n, 0);
}

static void what_is_not_there_is_told(void **state)
{
	struct rig *rig = *state;
	struct vhu_iotlb *iotlb = rig->iotlb;
	struct iovec iov[8];
	uint64_t missed = 1;

#define TRANSLATE(iova, len, access, max) \
	vhu_iotlb_translate(iotlb, rig->memory, iova, len, access, iov, max, &missed)
	assert_int_equal(TRANSLATE(0x1000, 0, R, 8), 0);
	assert_int_equal(TRANSLATE(0x1000, 1, R, 8), -EAGAIN);
	assert_int_equal(missed, 0x1000);
	update(iotlb, 0x1000, PAGE, UADDR + 3 * PAGE, R);
	update(iotlb, 0x2000, PAGE, UADDR + 4 * PAGE, R);
	update(iotlb, 0x3000, PAGE, UADDR, W);
	update(iotlb, 0x4000, PAGE, UADDR + 100 * PAGE, RW);
	update(iotlb, 0x8000, PAGE, UADDR + (PAGES - 1) * PAGE + 1, RW);
	/* One range, two regions. */
	assert_int_equal(TRANSLATE(0x1800, PAGE, R, 8), 2);
	assert_int_equal(iov[0].iov_len, PAGE / 2);
	assert_int_equal(*(char *)iov[0].iov_base, 'd');
	assert_int_equal(*(char *)iov[1].iov_base, 'e');
	assert_int_equal(TRANSLATE(0x1800, PAGE, R, 1), -E2BIG);
	assert_int_equal(TRANSLATE(0x1800, PAGE, R, 0), -E2BIG);
	assert_int_equal(TRANSLATE(0x1000, 2 * PAGE, W, 8), -EAGAIN);
	assert_int_equal(missed, 0x1000);
	assert_int_equal(TRANSLATE(0x2fff, 2, R, 8), -EAGAIN);
	assert_int_equal(missed, 0x3000);
	assert_int_equal(TRANSLATE(0x3000, PAGE, W, 8), 1);
	assert_int_equal(TRANSLATE(0x3000, PAGE, RW, 8), -EAGAIN);
	assert_int_equal(TRANSLATE(0x3fff, 1, W, 8), 1);
	/* Told, but not in the map: at all, or by one byte. */
	assert_int_equal(TRANSLATE(0x4000, 1, R, 8), -EFAULT);
	assert_int_equal(TRANSLATE(0x8000, PAGE - 1, R, 8), 1);
	assert_int_equal(TRANSLATE(0x8000, PAGE, R, 8), -EFAULT);
	assert_int_equal(TRANSLATE(UINT64_MAX, 2, R, 8), -EFAULT);
	assert_int_equal(TRANSLATE(UINT64_MAX, 1, R, 8), -EAGAIN);
	assert_int_equal(missed, UINT64_MAX);
	/* What is there no more, but was found a moment ago. */
	assert_int_equal(TRANSLATE(0x8000, 1, R, 8), 1);
	invalidate(iotlb, 0, UINT64_MAX);
	assert_int_equal(TRANSLATE(0x8000, 1, R, 8), -EAGAIN);
#undef TRANSLATE
}

/* A front-end cannot make it grow: the newest is always there, and older ones go. */
static void a_flood_is_bounded(void **state)
{
	struct vhu_iotlb *iotlb = ((struct rig *)*state)->iotlb;
	unsigned kept = 0;

	for (uint64_t i = 0; i < 3 * VHU_IOTLB_RANGES; i++) {
		update(iotlb, i * 2 * PAGE, PAGE, UADDR, RW);
		assert_true(iotlb->n <= VHU_IOTLB_RANGES);
		assert_true(vhu_iotlb_allows(iotlb, i * 2 * PAGE, RW));
		assert_int_equal(iotlb->evicted, i >= VHU_IOTLB_RANGES - 1);
	}
	for (uint64_t i = 0; i < 3 * VHU_IOTLB_RANGES; i++)
		kept += vhu_iotlb_allows(iotlb, i * 2 * PAGE, RW);
	assert_int_equal(kept, iotlb->n);
	assert_true(kept >= VHU_IOTLB_RANGES - 2);
	/* A hole in a full table finds room too. */
	for (unsigned i = 0; i < 100; i++)
		invalidate(iotlb, iotlb->ranges[i].first + 16, 16);
	assert_true(iotlb->n <= VHU_IOTLB_RANGES);
	invalidate(iotlb, 0, 0);
	assert_int_equal(iotlb->n, 0);
}

#define SPACE 96

/* Against a byte by byte model, at the beginning, in the middle and at the end of the space. */
static void as_a_model_says(void **state)
{
	static const uint64_t bases[] = { 0, 1ull << 47, UINT64_MAX - SPACE + 1 };
	struct vhu_iotlb *iotlb = ((struct rig *)*state)->iotlb;
	struct {
		uint64_t uaddr;
		unsigned access;
	} model[SPACE];

	srand(1);
	for (unsigned round = 0; round < 30000; round++) {
		uint64_t base = bases[round / 10000];
		unsigned at = (unsigned)rand() % SPACE;
		unsigned len = 1 + (unsigned)rand() % (round % 7 ? 8 : SPACE - at);
		unsigned access = (unsigned)rand() % 4;
		uint64_t uaddr = UADDR + at + (unsigned)rand() % 3;

		if (round % 10000 == 0) {
			vhu_iotlb_clear(iotlb);
			memset(model, 0, sizeof(model));
		}
		len = (unsigned)min_u64(len, SPACE - at);
		if (rand() % 3 == 0) {
			invalidate(iotlb, base + at, len);
			access = 0;
		} else {
			bool differs = false;

			for (unsigned i = 0; i < len; i++)
				differs |= model[at + i].access &&
					   (model[at + i].uaddr != uaddr + i ||
					    model[at + i].access & ~access);
			assert_int_equal(vhu_iotlb_contradicts(iotlb, base + at, len, uaddr,
							       access),
					 differs);
			update(iotlb, base + at, len, uaddr, access);
		}
		for (unsigned i = 0; i < len; i++) {
			model[at + i].uaddr = uaddr + i;
			model[at + i].access = access;
		}
		for (unsigned i = 0; i < SPACE; i++) {
			const struct vhu_iotlb_range *range = vhu_iotlb_at(iotlb, base + i);

			assert_int_equal(vhu_iotlb_allows(iotlb, base + i, R),
					 !!(model[i].access & R));
			assert_int_equal(vhu_iotlb_allows(iotlb, base + i, W),
					 !!(model[i].access & W));
			if (model[i].access)
				assert_int_equal(range->uaddr + (base + i - range->first),
						 model[i].uaddr);
		}
		for (unsigned i = 1; i < iotlb->n; i++)
			assert_true(iotlb->ranges[i - 1].last < iotlb->ranges[i].first);
	}
}

static void pages_apart_are_seen_in_a_row(void **state)
{
	struct rig *rig = *state;
	static const unsigned pages[] = { 7, 2, 11, 12, 3 };
	struct vhu_view view = { 0 };
	struct iovec pieces[ARRAY_SIZE(pages)], extra;
	atomic_bool faulted = false;
	void *host;
	char *seen;

	for (unsigned i = 0; i < ARRAY_SIZE(pages); i++)
		assert_int_equal(vhu_memory_translate_uaddr(rig->memory, UADDR + pages[i] * PAGE,
							    PAGE, &pieces[i], 1),
				 1);
	/* The first one from its middle, the last one to its middle. */
	pieces[0].iov_base = (char *)pieces[0].iov_base + 1000;
	pieces[0].iov_len -= 1000;
	pieces[4].iov_len = 48;
	assert_int_equal(vhu_view_make(&view, pieces, 5, &faulted, &host), 0);
	seen = (char *)host - 1000;
	for (unsigned i = 0; i < ARRAY_SIZE(pages); i++)
		assert_int_equal(seen[i * PAGE + 1020], 'a' + (int)pages[i]);
	/* It is the same memory. */
	seen[2 * PAGE] = 'X';
	assert_int_equal(rig->mem[11 * PAGE], 'X');
	rig->mem[2 * PAGE + 9] = 'Y';
	assert_int_equal(seen[PAGE + 9], 'Y');
	vhu_view_drop(&view);
	vhu_view_drop(&view);
	/* Pages that do not meet at their borders. */
	pieces[1].iov_len -= 1;
	assert_int_equal(vhu_view_make(&view, pieces, 5, &faulted, &host), -EINVAL);
	pieces[1].iov_len += 1;
	extra = pieces[2];
	extra.iov_base = (char *)extra.iov_base + 16;
	pieces[2] = extra;
	assert_int_equal(vhu_view_make(&view, pieces, 5, &faulted, &host), -EINVAL);
	assert_null(view.base);
}

/* A file that is cut short is no more dangerous through a view. */
static void a_view_is_guarded(void **state)
{
	struct rig *rig = *state;
	struct vhu_view view = { 0 };
	struct iovec pieces[2];
	atomic_bool faulted = false;
	void *host;

	vhu_memory_translate_uaddr(rig->memory, UADDR + 9 * PAGE, PAGE, &pieces[0], 1);
	vhu_memory_translate_uaddr(rig->memory, UADDR + 5 * PAGE, PAGE, &pieces[1], 1);
	assert_int_equal(vhu_view_make(&view, pieces, 2, &faulted, &host), 0);
	assert_int_equal(ftruncate(rig->fd, 6 * PAGE), 0);
	assert_int_equal(((volatile char *)host)[PAGE], 'f');
	assert_false(faulted);
	assert_int_equal(((volatile char *)host)[3], 0);
	assert_true(faulted);
	vhu_view_drop(&view);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	static const struct CMUnitTest tests[] = {
		TEST(neighbours_become_one),
		TEST(a_hole_makes_two),
		TEST(everything_in_pieces),
		TEST(what_is_no_range_is_refused),
		TEST(what_is_not_there_is_told),
		TEST(a_flood_is_bounded),
		TEST(as_a_model_says),
		TEST(pages_apart_are_seen_in_a_row),
		TEST(a_view_is_guarded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
