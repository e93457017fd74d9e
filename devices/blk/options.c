/* SPDX-License-Identifier: BSD-3-Clause */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/num.h"
#include "devices/blk/blk.h"
#include "devices/blk/io.h"
#include "devices/blk/request.h"

const struct vhu_blk_options vhu_blk_defaults = {
	.engine = "auto",
	.num_queues = VHU_MAX_QUEUES,
	.queue_size = 1024,
	.poll_us = VHU_BLK_POLL_AUTO,
};

typedef const struct vhu_blk_options options;

static bool is_sectors(uint64_t bytes)
{
	return bytes % VHU_BLK_SECTOR_BYTES == 0;
}

static bool is_null(options *o)
{
	return !strcmp(o->engine, "null");
}

static bool no_file(options *o)
{
	return !o->file && !is_null(o);
}

static bool unknown_engine(options *o)
{
	return !vhu_blk_io_find(o->engine, -1);
}

static bool null_with_file(options *o)
{
	return is_null(o) && (o->file || o->create || o->offset || o->partition || o->probe);
}

static bool null_without_size(options *o)
{
	return is_null(o) && !o->size;
}

static bool null_with_odd_size(options *o)
{
	return is_null(o) && o->block_size && o->size % o->block_size;
}

static bool bad_serial(options *o)
{
	size_t len = o->serial ? strlen(o->serial) : 0;

	for (size_t i = 0; i < len; i++)
		if (!isgraph((unsigned char)o->serial[i]))
			return true;
	return len > VIRTIO_BLK_ID_BYTES;
}

static bool bad_block_size(options *o)
{
	return o->block_size && (!is_pow2(o->block_size) || o->block_size < 512 ||
				 o->block_size > 4096);
}

static bool bad_num_queues(options *o)
{
	return o->num_queues < 1 || o->num_queues > VHU_MAX_QUEUES;
}

static bool bad_queue_size(options *o)
{
	return !is_pow2(o->queue_size) || o->queue_size < 4 || o->queue_size > 32768;
}

static bool bad_part(options *o)
{
	return !is_sectors(o->offset) || !is_sectors(o->size);
}

static bool two_parts(options *o)
{
	return o->partition && (o->offset || o->size);
}

static bool bad_create(options *o)
{
	return !is_sectors(o->create) || (o->block_size && o->create % o->block_size);
}

static bool create_with_part(options *o)
{
	return o->create && (o->partition || o->offset || o->size || o->read_only || o->probe);
}

static bool create_incoming(options *o)
{
	return o->create && o->incoming;
}

static bool probe_with_more(options *o)
{
	options *d = &vhu_blk_defaults;

	return o->probe && (o->serial || strcmp(o->engine, d->engine) ||
			    o->num_queues != d->num_queues || o->queue_size != d->queue_size ||
			    o->poll_us != d->poll_us || o->offset || o->size || o->partition ||
			    o->format || o->cache || o->discard || o->lock || o->read_only ||
			    o->incoming || o->force);
}

static bool json_alone(options *o)
{
	return o->json && !o->probe;
}

static const struct {
	bool (*is_wrong)(options *o);
	const char *why;
} rules[] = {
	{ unknown_engine, "--engine is one of auto, mmap, sync, null" },
	{ no_file, "give --file: the image file or block device to serve" },
	{ null_without_size, "--engine null has no file: give its --size" },
	{ null_with_file, "--engine null has no file: leave --file, --create, --offset, "
			  "--partition, --probe away" },
	{ bad_serial, "--serial is at most 20 printable characters without blanks" },
	{ bad_block_size, "--block-size is a power of two from 512 to 4096" },
	{ null_with_odd_size, "--engine null: --size is a multiple of --block-size" },
	{ bad_num_queues, "--num-queues is 1 to 64" },
	{ bad_queue_size, "--queue-size is a power of two from 4 to 32768" },
	{ bad_part, "--offset and --size are multiples of 512" },
	{ two_parts, "--partition already says where the disk is: leave --offset and --size away" },
	{ bad_create, "--create takes a multiple of 512 and of --block-size" },
	{ create_with_part, "--create makes a new disk: leave --read-only, --offset, --size, "
			    "--partition, --probe away" },
	{ create_incoming, "--incoming waits for a guest that has its disk already: leave "
			   "--create away" },
	{ probe_with_more, "--probe takes --file, --block-size and --json only" },
	{ json_alone, "--json is for --probe" },
};

int vhu_blk_options_check(const struct vhu_blk_options *o)
{
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
		if (rules[i].is_wrong(o)) {
			vhu_error("%s", rules[i].why);
			return -EINVAL;
		}
	}
	return 0;
}
