/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What moves with a disk besides its rings: the cache mode, which the driver has set and will not
 * set again, and what was counted. The data of the disk is shared by other ways.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "devices/blk/blk_priv.h"

/* Little-endian. Then the counters, queue by queue, each 64 bits. */
struct saved {
	uint32_t writeback; /* 0 or 1 */
	uint32_t n_queues;
	uint32_t n_counters;
	uint32_t zero;
};

static size_t bytes_of(uint32_t n_queues)
{
	return sizeof(struct saved) + (size_t)n_queues * VHU_BLK_COUNTERS * sizeof(uint64_t);
}

int vhu_blk_save(struct vhu_device *device, void **ret_bytes, size_t *ret_len)
{
	struct vhu_blk *blk = container_of(device, struct vhu_blk, device);
	struct saved *saved = malloc(bytes_of(blk->num_queues));
	uint64_t *count;

	if (!saved)
		return -ENOMEM;
	count = (uint64_t *)(saved + 1);
	*saved = (struct saved){
		.writeback = htole32(atomic_load(&blk->disk.writeback)),
		.n_queues = htole32(blk->num_queues),
		.n_counters = htole32(VHU_BLK_COUNTERS),
	};
	for (unsigned q = 0; q < blk->num_queues; q++)
		for (size_t i = 0; i < VHU_BLK_COUNTERS; i++)
			*count++ = htole64(vhu_counter_get(vhu_blk_counter(&blk->stats[q], i)));
	/*
	 * What runs the guest from now on is another's. An unsafe disk that nobody logged is not
	 * flushed yet: it keeps the image until the session ends.
	 */
	if (!blk->disk.unsafe)
		vhu_blk_let_go(blk);
	*ret_bytes = saved;
	*ret_len = bytes_of(blk->num_queues);
	return 0;
}

static int check(const struct saved *saved, size_t len)
{
	uint32_t n_queues = le32toh(saved->n_queues);

	if (le32toh(saved->writeback) > 1 || saved->zero || !n_queues ||
	    n_queues > VHU_MAX_QUEUES || le32toh(saved->n_counters) != VHU_BLK_COUNTERS)
		return -EINVAL;
	return len == bytes_of(n_queues) ? 0 : -EINVAL;
}

/* A disk with fewer queues than the source's keeps the sums. */
int vhu_blk_load(struct vhu_device *device, uint32_t version, const void *bytes, size_t len)
{
	struct vhu_blk *blk = container_of(device, struct vhu_blk, device);
	const char *count = (const char *)bytes + sizeof(struct saved);
	struct saved saved;
	int r;

	(void)version;
	if (len < sizeof(saved))
		return -EINVAL;
	memcpy(&saved, bytes, sizeof(saved));
	r = check(&saved, len);
	if (r < 0)
		return r;
	atomic_store(&blk->disk.writeback, le32toh(saved.writeback));
	for (unsigned q = 0; q < blk->num_queues; q++)
		for (size_t i = 0; i < VHU_BLK_COUNTERS; i++)
			vhu_counter_set(vhu_blk_counter(&blk->stats[q], i), 0);
	for (unsigned q = 0; q < le32toh(saved.n_queues); q++) {
		struct vhu_blk_stats *stats = &blk->stats[q % blk->num_queues];

		for (size_t i = 0; i < VHU_BLK_COUNTERS; i++, count += sizeof(uint64_t)) {
			uint64_t value;

			memcpy(&value, count, sizeof(value));
			vhu_counter_add(vhu_blk_counter(stats, i), le64toh(value));
		}
	}
	return 0;
}
