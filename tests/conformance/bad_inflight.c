/* SPDX-License-Identifier: BSD-3-Clause */
/* The in-flight record of the back-end that breaks rules on demand, and that of split rings. */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/num.h"
#include "common/memory/access.h"
#include "tests/conformance/bad_parts.h"

struct entry {
	uint8_t inflight, padding[5];
	uint16_t next;
	uint64_t counter;
};

struct region {
	uint64_t features;
	uint16_t version, desc_num, last_batch_head, used_idx;
	struct entry desc[];
};

static struct {
	char *host;
	struct vhu_inflight wire;
	int fd;
	uint64_t counter;
} record = { .fd = -1 };

static uint64_t region_bytes(uint16_t queue_size)
{
	if (bad_is_packed())
		return bad_record_packed_bytes(queue_size);
	return sizeof(struct region) + queue_size * sizeof(struct entry);
}

void bad_forget_record(void)
{
	if (record.host)
		munmap(record.host, record.wire.mmap_size);
	record.host = NULL;
	close_fd(&record.fd);
}

static bool is_there(int fd, const struct vhu_inflight *wire)
{
	struct stat st;

	return fstat(fd, &st) == 0 && wire->n_queues && wire->queue_size &&
	       wire->mmap_size >= wire->n_queues * region_bytes(wire->queue_size) &&
	       range_fits(wire->mmap_offset, wire->mmap_size, (uint64_t)st.st_size);
}

int bad_get_inflight_fd(struct vhu_message *message)
{
	struct vhu_inflight wire = message->payload.inflight;
	cleanup_fd int fd = memfd_create("inflight", MFD_CLOEXEC);

	dies_of("INF-10", !wire.n_queues || !is_pow2(wire.queue_size) ||
				  wire.n_queues > BAD_QUEUES);
	wire.mmap_offset = 0;
	wire.mmap_size = wire.n_queues * region_bytes(wire.queue_size);
	if (fd < 0 || ftruncate(fd, (off_t)wire.mmap_size) < 0)
		return -errno;
	if (breaks("INF-01"))
		wire.mmap_size += 4096;
	vhu_message_send(bad.fd, message->header.request, VHU_VERSION | VHU_FLAG_REPLY, &wire,
			 VHU_INFLIGHT_SIZE, &fd, 1, 1000);
	return BAD_REPLIED;
}

int bad_set_inflight_fd(struct vhu_message *message)
{
	struct vhu_inflight wire = message->payload.inflight;
	bool odd = !is_there(message->fds[0], &wire);
	void *host;

	dies_of("INF-09", odd);
	if (odd || (breaks("INF-06") && bad.n_regions))
		return -EINVAL;
	host = mmap(NULL, wire.mmap_size, PROT_READ | PROT_WRITE, MAP_SHARED, message->fds[0],
		    (off_t)wire.mmap_offset);
	if (host == MAP_FAILED)
		return -errno;
	bad_forget_record();
	record.host = host;
	record.wire = wire;
	record.fd = vhu_message_steal_fd(message, 0);
	return 0;
}

void *bad_record_region(const struct bad_ring *ring)
{
	unsigned index = (unsigned)(ring - bad.rings);

	if (!record.host || index >= record.wire.n_queues)
		return NULL;
	if (!is_there(record.fd, &record.wire)) {
		dies_of("INF-13", true);
		return NULL;
	}
	return record.host + index * region_bytes(record.wire.queue_size);
}

/* What was in the used ring when it died, though the record does not say so. */
static bool finish_last_batch(struct region *region, uint16_t num, uint16_t used_idx)
{
	uint16_t head = region->last_batch_head, n = (uint16_t)(used_idx - region->used_idx);

	if (n > 1 && breaks("INF-16"))
		n = 1;
	for (; n && n <= num; n--) {
		if (head >= num)
			return false;
		region->desc[head].inflight = 0;
		head = region->desc[head].next;
	}
	region->used_idx = used_idx;
	return n == 0;
}

/* The one that was taken first of those in flight, after the one with that counter. */
static int next_in_flight(const struct region *region, uint16_t num, uint64_t after)
{
	int found = -1;

	for (int i = 0; i < num; i++)
		if (region->desc[i].inflight && region->desc[i].counter > after &&
		    (found < 0 || region->desc[i].counter < region->desc[found].counter))
			found = i;
	return found;
}

int bad_record_start(struct bad_ring *ring)
{
	struct region *region = bad_record_region(ring);
	uint16_t num = (uint16_t)ring->vring.num, n = 0;
	bool right;
	int head;

	if (!region)
		return 0;
	if (region->version == 0) {
		region->version = 1;
		region->desc_num = num;
		region->used_idx = ring->used_idx;
		return 0;
	}
	right = region->version == 1 && region->desc_num == num && num <= record.wire.queue_size;
	if (right && !breaks("INF-05"))
		right = finish_last_batch(region, num, ring->used_idx);
	dies_of("INF-11", !right);
	if (!right)
		return -EINVAL;
	record.counter = 0;
	while ((head = next_in_flight(region, num, record.counter)) >= 0) {
		record.counter = region->desc[head].counter;
		ring->again[n++] = (uint16_t)head;
	}
	ring->n_again = breaks("INF-04") ? 0 : n;
	ring->last_avail = (uint16_t)(ring->used_idx + n);
	/* INF-07: what nobody had taken is forgotten, too. */
	if (breaks("INF-07"))
		ring->last_avail = vhu_load_le16(&ring->vring.avail->idx);
	return 0;
}

void bad_record_take(const struct bad_ring *ring, uint16_t head)
{
	struct region *region = bad_record_region(ring);

	if (!region || head >= ring->vring.num)
		return;
	region->desc[head].counter = ++record.counter;
	region->desc[head].inflight = 1;
}

void bad_record_link(const struct bad_ring *ring, uint16_t head)
{
	struct region *region = bad_record_region(ring);

	if (!region || head >= ring->vring.num)
		return;
	region->desc[head].next = region->last_batch_head;
	region->last_batch_head = head;
}

void bad_record_done(const struct bad_ring *ring, uint16_t head)
{
	struct region *region = bad_record_region(ring);

	if (!region || head >= ring->vring.num)
		return;
	if (!breaks("INF-02"))
		region->desc[head].inflight = 0;
	region->used_idx = ring->used_idx;
}
