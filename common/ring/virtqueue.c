/* SPDX-License-Identifier: BSD-3-Clause */
#include <assert.h>
#include <errno.h>
#include <sys/mman.h>

#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "common/base/cleanup.h"
#include "common/base/num.h"
#include "common/ring/iommu.h"
#include "common/ring/inflight_priv.h"
#include "common/ring/layout_priv.h"

/*
 * The longest chain. A driver must not make one longer than the queue (virtio 1.3, 2.7.5.3.1), but
 * Linux does so with indirect tables where the device's own limits allow it (virtio_gpu's backing
 * pages on a queue of 64, virtio_blk on one of 128 with a larger seg_max), and QEMU's devices take
 * up to 1024 whatever the queue's size (VIRTQUEUE_MAX_SIZE, also IOV_MAX). So do we.
 */
#define CHAIN_MIN_LIMIT 1024
/* A buffer that crosses a border of regions needs one segment more; a chain may cross so many. */
#define REGION_CROSSINGS 64
/* Malformed chains in one pop: the longest one is a lot of work for nothing. */
#define MALFORMED_AT_ONCE 16

void vhu_virtqueue_init(struct vhu_virtqueue *q)
{
	*q = (struct vhu_virtqueue){ 0 };
}

static const struct vhu_ring_layout *layout_of(const struct vhu_virtqueue_setup *setup)
{
	return setup->features & 1ull << VIRTIO_F_RING_PACKED ? &vhu_ring_packed : &vhu_ring_split;
}

uint64_t vhu_virtqueue_logged_bytes(const struct vhu_virtqueue_setup *setup)
{
	const struct vhu_ring_layout *layout = layout_of(setup);

	return layout == &vhu_ring_split ? area_bytes(&layout->device, setup->size) : 0;
}

static int find_area(const struct vhu_ring_area *area, const struct vhu_memory *memory,
		     uint64_t uaddr, uint32_t size, void **ret_host)
{
	void *host = vhu_memory_from_uaddr(memory, uaddr, area_bytes(area, size));

	if (!host)
		return -EFAULT;
	/* It is in our address space that a misaligned index is torn. */
	if ((uintptr_t)host % area->align_bytes)
		return -EINVAL;
	*ret_host = host;
	return 0;
}

static int find_areas(struct vhu_virtqueue *q, const struct vhu_virtqueue_setup *setup,
		      const struct vhu_memory *memory)
{
	const struct vhu_ring_layout *layout = q->layout;
	void *desc, *driver, *device;
	int err;

	err = find_area(&layout->desc, memory, setup->desc_uaddr, q->size, &desc);
	if (!err)
		err = find_area(&layout->driver, memory, setup->driver_uaddr, q->size, &driver);
	if (!err)
		err = find_area(&layout->device, memory, setup->device_uaddr, q->size, &device);
	if (err)
		return err;
	q->desc = desc;
	q->driver = driver;
	q->device = device;
	return 0;
}

/*
 * Room for the worst case, which the kernel fills with pages only where they are used: short
 * chains and a queue that is never full leave nearly all of it untouched.
 */
static int allocate(struct vhu_virtqueue *q)
{
	uint64_t bytes = q->size *
			 (sizeof(*q->chains) + (uint64_t)q->max_segments * sizeof(*q->overflow));
	void *arena;

	if (bytes > SIZE_MAX)
		return -ENOMEM;
	arena = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (arena == MAP_FAILED)
		return -ENOMEM;
	q->arena_bytes = bytes;
	q->chains = arena;
	q->overflow = (struct iovec *)(q->chains + q->size);
	return 0;
}

static int begin(struct vhu_virtqueue *q, const struct vhu_memory *memory)
{
	int err = find_areas(q, &q->setup, memory);

	q->begun = true;
	return err ? err : q->layout->start(q, q->setup.base);
}

int vhu_virtqueue_start(struct vhu_virtqueue *q, const struct vhu_virtqueue_setup *setup,
			struct vhu_memory *memory)
{
	struct vhu_virtqueue next = {
		.layout = layout_of(setup),
		.memory = memory,
		.setup = *setup,
		.size = setup->size,
		.event_idx = setup->features & 1ull << VIRTIO_RING_F_EVENT_IDX,
		.indirect = setup->features & 1ull << VIRTIO_RING_F_INDIRECT_DESC,
		.in_order = setup->features & 1ull << VIRTIO_F_IN_ORDER,
		.malformed = q->malformed,
		.blind = setup->iotlb,
		.max_chain = (uint32_t)max_u64(setup->size, CHAIN_MIN_LIMIT),
	};
	int err;

	assert(!q->memory);
	if (!setup->size || setup->size > VHU_VIRTQUEUE_MAX_SIZE ||
	    (next.layout->power_of_two && !is_pow2(setup->size)))
		return -EINVAL;
	next.max_segments = next.max_chain + REGION_CROSSINGS;
	err = vhu_inflight_attach(&next);
	if (!err)
		err = next.blind ? 0 : begin(&next, memory);
	if (!err)
		err = allocate(&next);
	if (err) {
		vhu_inflight_detach(&next);
		return err;
	}
	vhu_memory_ref(memory);
	*q = next;
	return 0;
}

void vhu_virtqueue_stop(struct vhu_virtqueue *q)
{
	if (!q->memory)
		return;
	assert(!q->in_flight);
	if (q->setup.iotlb)
		vhu_virtqueue_forget_areas(q);
	munmap(q->chains, q->arena_bytes);
	vhu_inflight_detach(q);
	vhu_memory_unref(q->memory);
	q->memory = NULL;
	q->chains = q->free = NULL;
	q->overflow = NULL;
	q->desc = q->driver = q->device = NULL;
}

int vhu_virtqueue_set_addresses(struct vhu_virtqueue *q, const struct vhu_virtqueue_setup *setup)
{
	int err = q->setup.iotlb ? 0 : find_areas(q, setup, q->memory);

	if (err)
		return err;
	if (q->setup.iotlb)
		vhu_virtqueue_forget_areas(q);
	q->setup.desc_uaddr = setup->desc_uaddr;
	q->setup.driver_uaddr = setup->driver_uaddr;
	q->setup.device_uaddr = setup->device_uaddr;
	q->setup.log_device = setup->log_device;
	q->setup.log_gpa = setup->log_gpa;
	return 0;
}

int vhu_virtqueue_set_memory(struct vhu_virtqueue *q, struct vhu_memory *memory)
{
	struct vhu_memory *old = q->memory;
	int err = 0;

	q->memory = vhu_memory_ref(memory);
	q->cache = (struct vhu_memory_cache){ 0 };
	if (!q->setup.iotlb)
		err = find_areas(q, &q->setup, memory);
	else if (!q->in_flight) /* else nothing was taken away, and they are where they were */
		vhu_virtqueue_forget_areas(q);
	if (err) {
		q->desc = q->driver = q->device = NULL;
		vhu_virtqueue_break(q, "the ring is no longer in guest memory");
	}
	vhu_memory_unref(old);
	return err ? -EFAULT : 0;
}

void vhu_virtqueue_set_event_idx(struct vhu_virtqueue *q, bool on)
{
	q->event_idx = on;
}

uint32_t vhu_virtqueue_base(const struct vhu_virtqueue *q)
{
	return q->begun ? q->layout->base(q) : q->setup.base;
}

bool vhu_virtqueue_is_new(const struct vhu_virtqueue *q)
{
	if (!q->begun)
		return q->memory && q->setup.base == q->layout->initial_base;
	return q->device && q->layout->is_new(q);
}

static void put_back(struct vhu_virtqueue *q, struct vhu_chain *chain)
{
	if (q->inflight && chain->again) {
		q->inflight->n_again_popped--;
		q->avail_seen = q->next_avail;
		q->n_seen = 0;
	} else {
		q->layout->unpop(q, chain);
	}
	chain_put(q, chain);
}

/* Gives a malformed chain back to the driver; or to the ring when it is not its turn, or a miss. */
static bool give_back(struct vhu_virtqueue *q, struct vhu_chain *chain)
{
	bool is_next = !q->missed.access && (!q->in_order || q->in_flight == 1);

	if (is_next) {
		q->malformed++;
		q->layout->push(q, chain, 0);
		chain_put(q, chain);
	} else {
		put_back(q, chain);
	}
	return is_next;
}

/* Where the queue takes the next one of its kind. */
static inline uint16_t next_place(const struct vhu_virtqueue *q, const struct vhu_chain *chain)
{
	return q->inflight && chain->again ? (uint16_t)q->inflight->n_again_popped : q->next_avail;
}

/* A driver cannot keep us here by chains that go back unserved. */
struct vhu_chain *vhu_virtqueue_pop(struct vhu_virtqueue *q)
{
	for (unsigned n = 0; n < MALFORMED_AT_ONCE && (!q->blind || vhu_ring_see(q)); n++) {
		struct vhu_chain *chain = q->layout->pop(q);

		if (chain) {
			chain->next_place = next_place(q, chain);
			chain->turn = q->turn++;
			return chain;
		}
		if (!q->refused)
			return NULL;
		if (!give_back(q, steal_ptr(&q->refused)))
			break;
	}
	q->cut_short = !q->blind && !q->missed.access;
	return NULL;
}

void vhu_virtqueue_unpop(struct vhu_virtqueue *q, struct vhu_chain *chain)
{
	if (chain->next_place != next_place(q, chain)) {
		vhu_virtqueue_push(q, chain, 0);
		return;
	}
	put_back(q, chain);
	q->turn--;
}

void vhu_virtqueue_push(struct vhu_virtqueue *q, struct vhu_chain *chain, uint32_t written)
{
	assert(written <= chain->writable_bytes);
	assert(!q->in_order || (uint16_t)(chain->turn + q->in_flight) == q->turn);
	/* The whole part: of a request that failed nobody knows how far it came. */
	if (q->memory->log)
		vhu_memory_mark_pieces(q->memory, vhu_chain_writable(chain), chain->n_writable);
	if (!q->blind)
		q->layout->push(q, chain, written);
	chain_put(q, chain);
}

bool vhu_virtqueue_publish(struct vhu_virtqueue *q)
{
	return !q->blind && q->layout->publish(q);
}

bool vhu_virtqueue_has_news(struct vhu_virtqueue *q)
{
	return q->blind ? !q->broken : q->layout->has_news(q);
}

bool vhu_virtqueue_enable_kicks(struct vhu_virtqueue *q)
{
	return q->blind ? !q->broken : q->layout->enable_kicks(q);
}

void vhu_virtqueue_disable_kicks(struct vhu_virtqueue *q)
{
	if (!q->blind)
		q->layout->disable_kicks(q);
}

void vhu_virtqueue_break(struct vhu_virtqueue *q, const char *why)
{
	if (q->broken)
		return;
	q->broken = q->blind = true;
	q->why_broken = why;
}
