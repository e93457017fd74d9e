/* SPDX-License-Identifier: BSD-3-Clause */
#include "common/ring/iommu.h"

#include <assert.h>
#include <string.h>

#include "common/base/num.h"
#include "common/ring/layout_priv.h"

#define IOMMU_PAGE 4096ull
/* The largest area with no two of its pages together. */
#define AREA_PIECES (VHU_VIRTQUEUE_MAX_SIZE * 16 / IOMMU_PAGE + 1)
/* More pieces than this are not compared with what is in flight: they are taken for all of it. */
#define COMPARED_PIECES 64

/* Where an area is to the driver, and where to us. */
struct place {
	const struct vhu_ring_area *area;
	uint64_t iova;
	void **host;
};

static void places_of(struct vhu_virtqueue *q, struct place ret_places[VHU_RING_AREAS])
{
	const struct vhu_ring_layout *layout = q->layout;
	const struct vhu_virtqueue_setup *setup = &q->setup;

	ret_places[0] = (struct place){ &layout->desc, setup->desc_uaddr, &q->desc };
	ret_places[1] = (struct place){ &layout->driver, setup->driver_uaddr, &q->driver };
	ret_places[2] = (struct place){ &layout->device, setup->device_uaddr, &q->device };
}

int vhu_ring_translate(struct vhu_virtqueue *q, uint64_t address, uint64_t len, uint8_t access,
		       struct iovec *iov, size_t max)
{
	uint64_t missed;
	int n;

	if (!q->setup.iotlb)
		return vhu_memory_translate(q->memory, &q->cache, address, len, iov, max);
	n = vhu_iotlb_translate(q->setup.iotlb, q->memory, address, len, access, iov, max, &missed);
	if (n != -EAGAIN)
		return n;
	if (access == q->denied.access && missed / IOMMU_PAGE == q->denied.iova / IOMMU_PAGE)
		return -EACCES;
	q->missed = (struct vhu_iotlb_miss){ .iova = missed, .access = access };
	return -EAGAIN;
}

int vhu_virtqueue_translate(struct vhu_virtqueue *q, uint64_t address, uint64_t len,
			    uint8_t access, struct iovec *iov, size_t max)
{
	return vhu_ring_translate(q, address, len, access, iov, max);
}

/* Makes one of pieces that lie in a row in our address space too. Returns how many are left. */
static size_t join(struct iovec *pieces, size_t n)
{
	size_t last = 0;

	for (size_t i = 1; i < n; i++) {
		if ((char *)pieces[last].iov_base + pieces[last].iov_len == pieces[i].iov_base)
			pieces[last].iov_len += pieces[i].iov_len;
		else
			pieces[++last] = pieces[i];
	}
	return last + 1;
}

static int find_area(struct vhu_virtqueue *q, const struct place *place, struct vhu_view *view)
{
	struct iovec pieces[AREA_PIECES];
	void *host;
	int n;

	n = vhu_ring_translate(q, place->iova, area_bytes(place->area, q->size),
			       place->area->access, pieces, ARRAY_SIZE(pieces));
	if (n < 0)
		return n;
	n = (int)join(pieces, (size_t)n);
	host = pieces[0].iov_base;
	if (n > 1) {
		struct vhu_memory_health *health = q->memory->health;
		int r = -EOPNOTSUPP;

		/* In a second mapping nobody would wait for pages that are on their way. */
		if (!health->partial)
			r = vhu_view_make(view, pieces, (size_t)n, &health->faulted, &host);
		if (r < 0)
			return r;
	}
	if ((uintptr_t)host % place->area->align_bytes)
		return -EFAULT;
	*place->host = host;
	return 0;
}

static void drop_areas(struct vhu_virtqueue *q)
{
	for (unsigned i = 0; i < VHU_RING_AREAS; i++)
		vhu_view_drop(&q->views[i]);
	q->desc = q->driver = q->device = NULL;
}

static int find_areas(struct vhu_virtqueue *q)
{
	struct place places[VHU_RING_AREAS];
	int r = 0;

	places_of(q, places);
	for (unsigned i = 0; i < VHU_RING_AREAS && r == 0; i++)
		r = find_area(q, &places[i], &q->views[i]);
	if (r == 0 && !q->begun) {
		r = q->layout->start(q, q->setup.base);
		if (r < 0)
			vhu_virtqueue_break(q, r == -EBADMSG ? "its in-flight record is damaged"
							: "its base is out of range");
		q->begun = r == 0;
	}
	if (r < 0)
		drop_areas(q);
	return r;
}

bool vhu_ring_see(struct vhu_virtqueue *q)
{
	int r;

	if (!q->blind)
		return true;
	if (q->broken)
		return false;
	r = find_areas(q);
	q->blind = r < 0;
	if (r == -EACCES)
		vhu_virtqueue_break(q, "the IOMMU denies access to the ring");
	else if (r == -EFAULT)
		vhu_virtqueue_break(q, "its addresses do not lie in guest memory");
	else if (r < 0 && r != -EAGAIN)
		vhu_virtqueue_break(q, "its pages cannot be mapped in a row");
	return r == 0;
}

void vhu_ring_mark(const struct vhu_virtqueue *q, const void *host, size_t len)
{
	while (len) {
		struct iovec piece = { .iov_base = (void *)host, .iov_len = len };

		for (unsigned i = 0; i < VHU_RING_AREAS; i++)
			if (vhu_view_behind(&q->views[i], host, len, &piece))
				break;
		vhu_memory_mark_pieces(q->memory, &piece, 1);
		host = (const char *)host + piece.iov_len;
		len -= piece.iov_len;
	}
}

void vhu_virtqueue_forget_areas(struct vhu_virtqueue *q)
{
	assert(q->setup.iotlb && !q->in_flight);
	drop_areas(q);
	q->blind = true;
}

static bool areas_lie_in(const struct vhu_virtqueue *q, uint64_t first, uint64_t last)
{
	struct place places[VHU_RING_AREAS];

	places_of((struct vhu_virtqueue *)q, places);
	for (unsigned i = 0; i < VHU_RING_AREAS; i++) {
		uint64_t bytes = area_bytes(places[i].area, q->size);

		if (places[i].iova <= last && places[i].iova + bytes > first)
			return true;
	}
	return false;
}

/* Where [first, last] is to us; -E2BIG when in too many pieces to be worth it. */
static int pieces_of(const struct vhu_virtqueue *q, uint64_t first, uint64_t last,
		     struct iovec pieces[COMPARED_PIECES])
{
	const struct vhu_iotlb_range *range = vhu_iotlb_at(q->setup.iotlb, first);
	const struct vhu_iotlb_range *end = q->setup.iotlb->ranges + q->setup.iotlb->n;
	int n = 0;

	for (; range < end && range->first <= last; range++) {
		uint64_t from = max_u64(range->first, first), to = min_u64(range->last, last);
		int r = vhu_memory_translate_uaddr(q->memory, range->uaddr + (from - range->first),
						   to - from + 1, pieces + n,
						   (size_t)(COMPARED_PIECES - n));

		if (r < 0)
			return r;
		n += r;
	}
	return n;
}

static bool chain_meets(const struct vhu_chain *chain, const struct iovec *pieces, int n)
{
	for (uint32_t i = 0; i < chain->n_readable + chain->n_writable; i++)
		for (int k = 0; k < n; k++)
			if (ranges_overlap((uintptr_t)chain->iov[i].iov_base, chain->iov[i].iov_len,
					   (uintptr_t)pieces[k].iov_base, pieces[k].iov_len))
				return true;
	return false;
}

static bool in_flight_meets(const struct vhu_virtqueue *q, const struct iovec *pieces, int n)
{
	uint64_t free[VHU_VIRTQUEUE_MAX_SIZE / 64] = { 0 };

	for (const struct vhu_chain *chain = q->free; chain; chain = chain->next)
		free[chain->slot / 64] |= 1ull << chain->slot % 64;
	for (uint32_t slot = 0; slot < q->fresh; slot++)
		if (!(free[slot / 64] & 1ull << slot % 64) &&
		    chain_meets(&q->chains[slot], pieces, n))
			return true;
	return false;
}

bool vhu_virtqueue_uses(const struct vhu_virtqueue *q, uint64_t first, uint64_t last)
{
	struct iovec pieces[COMPARED_PIECES];
	int n;

	if (!q->setup.iotlb)
		return false;
	if (!q->blind && areas_lie_in(q, first, last))
		return true;
	if (!q->in_flight)
		return false;
	n = pieces_of(q, first, last, pieces);
	return n < 0 || q->setup.iotlb->evicted || in_flight_meets(q, pieces, n);
}
