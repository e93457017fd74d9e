/* SPDX-License-Identifier: BSD-3-Clause */
#include "devices/blk/request.h"

#include <endian.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "common/memory/access.h"

/* How a type's function ends when the engine answers later. Other ends are VIRTIO_BLK_S_*. */
#define STATUS_LATER 256

/* A type of request (virtio 1.3, 5.2.6). */
struct vhu_blk_type {
	const char *name;
	int (*run)(struct vhu_blk_request *request);
	uint64_t feature; /* not negotiated: VIRTIO_BLK_S_UNSUPP; 0: always there */
	bool changes;	  /* the content, which a read-only disk refuses before all else */
	/* Where the type's counters are in struct vhu_blk_stats; 0 bytes_at: it counts no bytes. */
	size_t count_at, bytes_at;
	/* Of DISCARD, WRITE_ZEROES, SECURE_ERASE. */
	enum vhu_blk_op op;
	uint32_t max_sectors;
	uint32_t known_flags;
};

static bool has_feature(const struct vhu_blk_disk *disk, uint64_t feature)
{
	return atomic_load_explicit(&disk->features, memory_order_relaxed) & feature;
}

/*
 * Is each write durable before it is answered? The driver said so by the writeback field, or knows
 * of no cache at all (virtio 1.3, 5.2.6.2).
 */
static bool is_writethrough(const struct vhu_blk_disk *disk)
{
	if (disk->unsafe)
		return false;
	return !atomic_load_explicit(&disk->writeback, memory_order_relaxed) ||
	       !has_feature(disk, VHU_BLK_FEATURE(FLUSH) | VHU_BLK_FEATURE(CONFIG_WCE));
}

/* Does [sector, sector + len_bytes) lie on the disk? */
static bool is_on_disk(const struct vhu_blk_disk *disk, uint64_t sector, uint64_t len_bytes)
{
	return range_fits(sector, len_bytes / VHU_BLK_SECTOR_BYTES,
			  atomic_load_explicit(&disk->capacity_sectors, memory_order_relaxed));
}

static uint64_t file_offset(const struct vhu_blk_disk *disk, uint64_t sector)
{
	return disk->start_bytes + sector * VHU_BLK_SECTOR_BYTES;
}

/* How the engine's answer is told to the driver. */
static int status_of(struct vhu_blk_request *request, int result)
{
	if (result == VHU_BLK_LATER)
		return STATUS_LATER;
	if (result == 0)
		return VIRTIO_BLK_S_OK;
	if (result == -EFAULT)
		vhu_memory_note_fault(request->memory);
	vhu_log_limited(&request->stats->log_limit, VHU_LOG_WARNING,
			"blk: %s of %llu bytes at sector %llu failed: %s", request->type->name,
			(unsigned long long)request->op.len_bytes,
			(unsigned long long)request->sector, strerror(-result));
	return VIRTIO_BLK_S_IOERR;
}

static int submit(struct vhu_blk_request *request)
{
	struct vhu_blk_io *io = request->disk->io;

	return status_of(request, io->ops->submit(io, &request->op));
}

/* Data of IN and OUT: op.data is set. */
static int run_transfer(struct vhu_blk_request *request, enum vhu_blk_op op)
{
	const struct vhu_blk_disk *disk = request->disk;

	request->op.op = op;
	request->op.len_bytes = request->op.data.left;
	if (request->op.len_bytes % VHU_BLK_SECTOR_BYTES ||
	    !is_on_disk(disk, request->sector, request->op.len_bytes))
		return VIRTIO_BLK_S_IOERR;
	request->op.offset_bytes = file_offset(disk, request->sector);
	return submit(request);
}

/* The writable part without its last byte, the status. */
static void set_reply_data(struct vhu_blk_request *request)
{
	vhu_chain_writer(request->chain, &request->op.data);
	request->reply_bytes = --request->op.data.left;
}

static int run_in(struct vhu_blk_request *request)
{
	set_reply_data(request);
	return run_transfer(request, VHU_BLK_READ);
}

static int run_out(struct vhu_blk_request *request)
{
	if (is_writethrough(request->disk))
		request->op.flags |= VHU_BLK_DURABLE;
	return run_transfer(request, VHU_BLK_WRITE);
}

static int run_flush(struct vhu_blk_request *request)
{
	if (request->disk->unsafe)
		return VIRTIO_BLK_S_OK;
	request->op.op = VHU_BLK_FLUSH;
	return submit(request);
}

static int run_get_id(struct vhu_blk_request *request)
{
	set_reply_data(request);
	vhu_iov_write(&request->op.data, request->disk->serial, VIRTIO_BLK_ID_BYTES);
	return VIRTIO_BLK_S_OK;
}

static int run_get_lifetime(struct vhu_blk_request *request)
{
	struct vhu_blk_disk *disk = request->disk;
	struct vhu_blk_lifetime life;
	uint16_t words[3];

	set_reply_data(request);
	if (request->op.data.left < sizeof(words) ||
	    disk->get_lifetime(disk->lifetime_data, &life) < 0)
		return VIRTIO_BLK_S_IOERR;
	words[0] = htole16(life.pre_eol_info);
	words[1] = htole16(life.est_typ_a);
	words[2] = htole16(life.est_typ_b);
	vhu_iov_write(&request->op.data, words, sizeof(words));
	return VIRTIO_BLK_S_OK;
}

static int check_segment(const struct vhu_blk_request *request,
			 const struct virtio_blk_discard_write_zeroes *segment)
{
	uint32_t n_sectors = le32toh(segment->num_sectors);

	if (le32toh(segment->flags) & ~request->type->known_flags)
		return VIRTIO_BLK_S_UNSUPP;
	if (n_sectors > request->type->max_sectors ||
	    !is_on_disk(request->disk, le64toh(segment->sector),
			(uint64_t)n_sectors * VHU_BLK_SECTOR_BYTES))
		return VIRTIO_BLK_S_IOERR;
	return VIRTIO_BLK_S_OK;
}

static int run_segment(struct vhu_blk_request *request,
		       const struct virtio_blk_discard_write_zeroes *segment)
{
	bool may_unmap = le32toh(segment->flags) & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP;

	request->sector = le64toh(segment->sector);
	request->op.op = request->type->op;
	request->op.flags = may_unmap && request->disk->unmap ? VHU_BLK_UNMAP : 0;
	if (is_writethrough(request->disk))
		request->op.flags |= VHU_BLK_DURABLE;
	request->op.offset_bytes = file_offset(request->disk, request->sector);
	request->op.len_bytes = (uint64_t)le32toh(segment->num_sectors) * VHU_BLK_SECTOR_BYTES;
	return request->op.len_bytes ? submit(request) : VIRTIO_BLK_S_OK;
}

/* DISCARD, WRITE_ZEROES, SECURE_ERASE: nothing is done unless all segments are right. */
static int run_segments(struct vhu_blk_request *request)
{
	struct virtio_blk_discard_write_zeroes segments[VHU_BLK_MAX_SEGMENTS];
	size_t bytes = request->op.data.left, n = bytes / sizeof(segments[0]);
	int status = VIRTIO_BLK_S_OK;

	if (!n || bytes % sizeof(segments[0]) || n > ARRAY_SIZE(segments))
		return VIRTIO_BLK_S_IOERR;
	vhu_iov_read(&request->op.data, segments, bytes);
	if (vhu_memory_faulted(request->memory))
		return VIRTIO_BLK_S_IOERR;
	for (size_t i = 0; i < n && status == VIRTIO_BLK_S_OK; i++)
		status = check_segment(request, &segments[i]);
	for (size_t i = 0; i < n && status == VIRTIO_BLK_S_OK; i++)
		status = run_segment(request, &segments[i]);
	return status;
}

#define COUNTER(name) offsetof(struct vhu_blk_stats, name)

static const struct vhu_blk_type types[] = {
	[VIRTIO_BLK_T_IN] = {
		.name = "read",
		.run = run_in,
		.count_at = COUNTER(reads),
		.bytes_at = COUNTER(read_bytes),
	},
	[VIRTIO_BLK_T_OUT] = {
		.name = "write",
		.run = run_out,
		.changes = true,
		.count_at = COUNTER(writes),
		.bytes_at = COUNTER(written_bytes),
	},
	[VIRTIO_BLK_T_FLUSH] = {
		.name = "flush",
		.run = run_flush,
		.feature = VHU_BLK_FEATURE(FLUSH),
		.count_at = COUNTER(flushes),
	},
	[VIRTIO_BLK_T_GET_ID] = {
		.name = "get id",
		.run = run_get_id,
		.count_at = COUNTER(others),
	},
	[VIRTIO_BLK_T_GET_LIFETIME] = {
		.name = "get lifetime",
		.run = run_get_lifetime,
		.feature = VHU_BLK_FEATURE(LIFETIME),
		.count_at = COUNTER(others),
	},
	[VIRTIO_BLK_T_DISCARD] = {
		.name = "discard",
		.run = run_segments,
		.feature = VHU_BLK_FEATURE(DISCARD),
		.changes = true,
		.count_at = COUNTER(discards),
		.op = VHU_BLK_DISCARD,
		.max_sectors = VHU_BLK_MAX_DISCARD_SECTORS,
	},
	[VIRTIO_BLK_T_WRITE_ZEROES] = {
		.name = "write zeroes",
		.run = run_segments,
		.feature = VHU_BLK_FEATURE(WRITE_ZEROES),
		.changes = true,
		.count_at = COUNTER(zeroes),
		.op = VHU_BLK_ZERO,
		.max_sectors = VHU_BLK_MAX_ZEROES_SECTORS,
		.known_flags = VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP,
	},
	[VIRTIO_BLK_T_SECURE_ERASE] = {
		.name = "secure erase",
		.run = run_segments,
		.feature = VHU_BLK_FEATURE(SECURE_ERASE),
		.changes = true,
		.count_at = COUNTER(erases),
		.op = VHU_BLK_ERASE,
		.max_sectors = VHU_BLK_MAX_ERASE_SECTORS,
	},
};

static int run_type(struct vhu_blk_request *request, uint32_t number)
{
	const struct vhu_blk_disk *disk = request->disk;
	const struct vhu_blk_type *type = number < ARRAY_SIZE(types) ? &types[number] : NULL;

	if (!type || !type->run)
		return VIRTIO_BLK_S_UNSUPP;
	request->type = type;
	if (disk->read_only && type->changes)
		return VIRTIO_BLK_S_IOERR;
	if (type->feature && !has_feature(disk, type->feature))
		return VIRTIO_BLK_S_UNSUPP;
	return type->run(request);
}

/* The last byte of the writable part. */
static uint8_t *find_status(const struct vhu_chain *chain)
{
	const struct iovec *iov = vhu_chain_writable(chain) + chain->n_writable - 1;

	while (!iov->iov_len)
		iov--;
	return (uint8_t *)iov->iov_base + iov->iov_len - 1;
}

static void count(struct vhu_blk_stats *stats, size_t at, uint64_t n)
{
	vhu_counter_add((struct vhu_counter *)((char *)stats + at), n);
}

static void keep_account(const struct vhu_blk_request *request, int status)
{
	const struct vhu_blk_type *type = request->type;

	if (status != VIRTIO_BLK_S_OK) {
		vhu_counter_add(&request->stats->errors, 1);
		return;
	}
	count(request->stats, type->count_at, 1);
	if (type->bytes_at)
		count(request->stats, type->bytes_at, request->op.len_bytes);
}

/* The status is written last of all (virtio 1.3, 5.2.6). */
static void answer(struct vhu_blk_request *request, int status)
{
	request->written = 1;
	if (request->reply_bytes)
		request->written += (uint32_t)(request->reply_bytes - request->op.data.left);
	*find_status(request->chain) = (uint8_t)status;
	keep_account(request, status);
}

static void answer_later(struct vhu_blk_io_op *op, int result)
{
	struct vhu_blk_request *request = container_of(op, struct vhu_blk_request, op);

	answer(request, status_of(request, result));
	request->answered(request);
}

void vhu_blk_request_prefetch_data(const struct vhu_blk_disk *disk, const struct vhu_chain *chain)
{
	struct virtio_blk_outhdr header;

	if (!disk->io->ops->prefetch || !chain->n_readable || chain->iov->iov_len < sizeof(header))
		return;
	vhu_copy_once(&header, chain->iov->iov_base, sizeof(header));
	if (is_on_disk(disk, le64toh(header.sector), VHU_BLK_SECTOR_BYTES))
		disk->io->ops->prefetch(disk->io, file_offset(disk, le64toh(header.sector)));
}

/* Is what was read until now what the driver wrote? Zeros may stand for memory that was missing. */
static bool is_trusted(struct vhu_blk_request *request)
{
	if (vhu_memory_is_whole(request->memory))
		return true;
	request->op.flags = VHU_BLK_PARTIAL;
	return !vhu_memory_faulted(request->memory);
}

bool vhu_blk_request_run(struct vhu_blk_request *request)
{
	struct virtio_blk_outhdr header;
	int status = VIRTIO_BLK_S_IOERR;

	request->written = 0;
	request->type = NULL;
	request->reply_bytes = 0;
	request->op = (struct vhu_blk_io_op){ .done = answer_later };
	if (!request->chain->writable_bytes)
		return true;
	vhu_chain_reader(request->chain, &request->op.data);
	if (vhu_iov_read(&request->op.data, &header, sizeof(header)) == sizeof(header) &&
	    is_trusted(request)) {
		request->sector = le64toh(header.sector);
		status = run_type(request, le32toh(header.type));
	}
	if (status == STATUS_LATER)
		return false;
	answer(request, status);
	return true;
}
