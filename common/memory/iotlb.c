/* SPDX-License-Identifier: BSD-3-Clause */
#include "common/memory/iotlb.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/num.h"

struct vhu_iotlb *vhu_iotlb_new(void)
{
	return calloc(1, sizeof(struct vhu_iotlb));
}

void vhu_iotlb_clear(struct vhu_iotlb *iotlb)
{
	iotlb->n = iotlb->hit = iotlb->victim = 0;
	iotlb->evicted = false;
}

static unsigned index_at(const struct vhu_iotlb *iotlb, uint64_t iova)
{
	unsigned low = 0, high = iotlb->n, middle;

	/* All ranges below low end before iova, all from high on do not. */
	while (low < high) {
		middle = (low + high) / 2;
		if (iotlb->ranges[middle].last < iova)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void insert_at(struct vhu_iotlb *iotlb, unsigned i, const struct vhu_iotlb_range *range)
{
	struct vhu_iotlb_range *at = &iotlb->ranges[i];

	memmove(at + 1, at, (iotlb->n - i) * sizeof(*at));
	*at = *range;
	iotlb->n++;
}

static void remove_at(struct vhu_iotlb *iotlb, unsigned i, unsigned n)
{
	struct vhu_iotlb_range *at = &iotlb->ranges[i];

	memmove(at, at + n, (iotlb->n - i - n) * sizeof(*at));
	iotlb->n -= n;
}

/* For n more. The victims walk through the table, so that a new range has some time. */
static void make_room(struct vhu_iotlb *iotlb, unsigned n)
{
	while (iotlb->n + n > VHU_IOTLB_RANGES) {
		iotlb->victim = (iotlb->victim + 1) % iotlb->n;
		remove_at(iotlb, iotlb->victim, 1);
		iotlb->evicted = true;
	}
}

static void begin_after(struct vhu_iotlb_range *range, uint64_t last)
{
	range->uaddr += last + 1 - range->first;
	range->first = last + 1;
}

/*
 * Takes [first, last] out of what is there, which may make one range more. Returns where it would
 * be inserted.
 */
static unsigned cut(struct vhu_iotlb *iotlb, uint64_t first, uint64_t last)
{
	unsigned i = index_at(iotlb, first), end;
	struct vhu_iotlb_range *at = &iotlb->ranges[i];

	if (i < iotlb->n && at->first < first) {
		struct vhu_iotlb_range rest = *at;

		at->last = first - 1;
		i++;
		if (rest.last > last) {
			begin_after(&rest, last);
			insert_at(iotlb, i, &rest);
			return i;
		}
	}
	for (end = i; end < iotlb->n && iotlb->ranges[end].last <= last; end++)
		;
	remove_at(iotlb, i, end - i);
	if (i < iotlb->n && iotlb->ranges[i].first <= last)
		begin_after(&iotlb->ranges[i], last);
	return i;
}

/* The second, which is behind the first, goes on where that ends, in both address spaces. */
static bool joins(const struct vhu_iotlb_range *a, const struct vhu_iotlb_range *b)
{
	return b->first - a->last == 1 && a->access == b->access &&
	       b->uaddr - a->uaddr == b->first - a->first;
}

static bool range_is_valid(uint64_t iova, uint64_t size, uint64_t uaddr, unsigned access)
{
	uint64_t ignored;

	return size && access <= VHU_ACCESS_BOTH && !add_overflows(iova, size - 1, &ignored) &&
	       !(access && add_overflows(uaddr, size - 1, &ignored));
}

int vhu_iotlb_update(struct vhu_iotlb *iotlb, uint64_t iova, uint64_t size, uint64_t uaddr,
		     unsigned access)
{
	struct vhu_iotlb_range range = {
		.first = iova,
		.last = iova + (size - 1),
		.uaddr = uaddr,
		.access = (uint8_t)access,
	};
	unsigned i;

	if (!range_is_valid(iova, size, uaddr, access))
		return -EINVAL;
	make_room(iotlb, 2);
	i = cut(iotlb, range.first, range.last);
	if (!access)
		return 0;
	if (i < iotlb->n && joins(&range, &iotlb->ranges[i])) {
		range.last = iotlb->ranges[i].last;
		remove_at(iotlb, i, 1);
	}
	if (i > 0 && joins(&iotlb->ranges[i - 1], &range))
		iotlb->ranges[i - 1].last = range.last;
	else
		insert_at(iotlb, i, &range);
	return 0;
}

bool vhu_iotlb_contradicts(const struct vhu_iotlb *iotlb, uint64_t iova, uint64_t size,
			   uint64_t uaddr, unsigned access)
{
	const struct vhu_iotlb_range *range = vhu_iotlb_at(iotlb, iova);
	const struct vhu_iotlb_range *end = iotlb->ranges + iotlb->n;

	for (; range < end && range->first <= iova + (size - 1); range++)
		if (range->uaddr - range->first != uaddr - iova || range->access & ~access)
			return true;
	return false;
}

uint64_t vhu_iotlb_last(uint64_t *iova, uint64_t size)
{
	uint64_t last;

	if (!add_overflows(*iova, size - 1, &last))
		return last;
	*iova = 0;
	return UINT64_MAX;
}

void vhu_iotlb_invalidate(struct vhu_iotlb *iotlb, uint64_t first, uint64_t last)
{
	make_room(iotlb, 1);
	cut(iotlb, first, last);
}

const struct vhu_iotlb_range *vhu_iotlb_at(const struct vhu_iotlb *iotlb, uint64_t iova)
{
	return iotlb->ranges + index_at(iotlb, iova);
}

/* The range that iova lies in, if it allows that access, or NULL. */
static const struct vhu_iotlb_range *find(struct vhu_iotlb *iotlb, uint64_t iova, unsigned access)
{
	const struct vhu_iotlb_range *range = &iotlb->ranges[iotlb->hit];

	if (iotlb->hit >= iotlb->n || iova < range->first || iova > range->last) {
		range = vhu_iotlb_at(iotlb, iova);
		if (range == iotlb->ranges + iotlb->n || iova < range->first)
			return NULL;
		iotlb->hit = (unsigned)(range - iotlb->ranges);
	}
	return access & ~range->access ? NULL : range;
}

bool vhu_iotlb_allows(const struct vhu_iotlb *iotlb, uint64_t iova, unsigned access)
{
	const struct vhu_iotlb_range *range = vhu_iotlb_at(iotlb, iova);

	return range < iotlb->ranges + iotlb->n && iova >= range->first &&
	       !(access & ~range->access);
}

int vhu_iotlb_translate(struct vhu_iotlb *iotlb, const struct vhu_memory *memory, uint64_t iova,
			uint64_t len, unsigned access, struct iovec *iov, size_t max,
			uint64_t *ret_missed)
{
	uint64_t ignored, piece;
	size_t n = 0;
	int r;

	if (len && add_overflows(iova, len - 1, &ignored))
		return -EFAULT;
	for (; len; iova += piece, len -= piece, n += (size_t)r) {
		const struct vhu_iotlb_range *range = find(iotlb, iova, access);

		if (!range) {
			*ret_missed = iova;
			return -EAGAIN;
		}
		piece = min_u64(len - 1, range->last - iova) + 1;
		r = vhu_memory_translate_uaddr(memory, range->uaddr + (iova - range->first), piece,
					       iov + n, max - n);
		if (r < 0)
			return r;
	}
	return (int)n;
}
