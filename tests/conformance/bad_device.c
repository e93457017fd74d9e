/* SPDX-License-Identifier: BSD-3-Clause */
/* The disk, or the entropy device, of the back-end that breaks rules on demand. */
#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/base/num.h"
#include "tests/conformance/bad_backend.h"

#define SECTOR 512u
#define SEG_MAX 126
#define SEGMENTS_MAX 8

void bad_device_init(void)
{
	uint32_t seed = 1;

	bad.disk = malloc(BAD_DISK_BYTES);
	if (!bad.disk)
		abort();
	for (size_t i = 0; i < BAD_DISK_BYTES; i++)
		bad.disk[i] = (uint8_t)((seed = seed * 1103515245 + 12345) >> 16);
	bad.config = (struct virtio_blk_config){
		.capacity = htole64(BAD_DISK_BYTES / SECTOR),
		.seg_max = htole32(SEG_MAX),
		.blk_size = htole32(bad.block),
		.wce = 1,
		.unused = breaks("BLK-03"),
		.num_queues = htole16(BAD_QUEUES),
		.max_discard_sectors = htole32(BAD_DISK_BYTES / SECTOR),
		.max_discard_seg = htole32(SEGMENTS_MAX),
		.max_write_zeroes_sectors = htole32(BAD_DISK_BYTES / SECTOR),
		.max_write_zeroes_seg = htole32(SEGMENTS_MAX),
	};
}

/* The bytes of a side of a chain as one. */
static uint32_t total(const struct bad_segment *segments, unsigned n)
{
	uint32_t sum = 0;

	for (unsigned i = 0; i < n; i++)
		sum += segments[i].len;
	return sum;
}

static bool copy(const struct bad_segment *segments, unsigned n, uint32_t offset, void *buf,
		 uint32_t len, bool write)
{
	uint8_t *bytes = buf;

	for (unsigned i = 0; i < n && len; i++) {
		uint32_t part;

		if (offset >= segments[i].len) {
			offset -= segments[i].len;
			continue;
		}
		part = (uint32_t)min_u64(len, segments[i].len - offset);
		if (write ? !bad_write(segments[i].gpa + offset, bytes, part)
			  : !bad_read(segments[i].gpa + offset, bytes, part))
			return false;
		bytes += part;
		len -= part;
		offset = 0;
	}
	return !len;
}

struct request {
	const struct bad_segment *out, *in;
	unsigned n_out, n_in;
	uint32_t out_len, in_len; /* of data: without header and status */
	uint32_t type;
	uint64_t sector;
};

static bool is_beyond(uint64_t sector, uint64_t n_sectors)
{
	return !range_fits(sector, n_sectors, BAD_DISK_BYTES / SECTOR);
}

static uint8_t read_disk(const struct request *request)
{
	uint32_t len = request->in_len;
	uint64_t offset = request->sector * SECTOR;

	if (len % SECTOR)
		return breaks("BLK-10") ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR;
	if (breaks("BLK-05") && len % bad.block)
		return VIRTIO_BLK_S_IOERR;
	if (is_beyond(request->sector, len / SECTOR))
		return breaks("BLK-09") ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR;
	if (breaks("BLK-04") && !is_beyond(request->sector, 1) &&
	    is_beyond(request->sector, len / SECTOR + 1))
		return VIRTIO_BLK_S_IOERR;
	if (breaks("BLK-08") && request->n_in > 64)
		return VIRTIO_BLK_S_IOERR;
	if (breaks("BLK-06") && len > 8192)
		offset = 0, len -= 8192;
	/* One that lost its way among many. */
	if (breaks("BLK-07") && request->sector == 5 * (bad.block / SECTOR))
		offset = 0;
	return copy(request->in, request->n_in, 0, bad.disk + offset, len, true)
		       ? VIRTIO_BLK_S_OK
		       : VIRTIO_BLK_S_IOERR;
}

static uint8_t write_disk(const struct request *request)
{
	uint32_t len = request->out_len;
	uint64_t offset = request->sector * SECTOR;

	if (bad.read_only)
		return breaks("BLK-15") ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR;
	if (is_beyond(request->sector, len / SECTOR))
		return breaks("BLW-02") ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR;
	if (len % SECTOR)
		return VIRTIO_BLK_S_IOERR;
	if (breaks("BLW-01") && len > 4096)
		len -= SECTOR;
	return copy(request->out, request->n_out, 16, bad.disk + offset, len, false)
		       ? VIRTIO_BLK_S_OK
		       : VIRTIO_BLK_S_IOERR;
}

static uint8_t zero_segments(const struct request *request)
{
	struct virtio_blk_discard_write_zeroes segments[SEGMENTS_MAX];
	uint32_t n = request->out_len / sizeof(segments[0]);
	bool is_discard = request->type == VIRTIO_BLK_T_DISCARD;

	if (bad.read_only || !n || n > SEGMENTS_MAX || request->out_len % sizeof(segments[0]) ||
	    (breaks("BLW-06") && n > 1) ||
	    !copy(request->out, request->n_out, 16, segments, request->out_len, false))
		return VIRTIO_BLK_S_IOERR;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t flags = le32toh(segments[i].flags);

		if (flags > 1 && !breaks("BLW-04"))
			return VIRTIO_BLK_S_UNSUPP;
		if (flags & 1 && is_discard && !breaks("BLW-05"))
			return VIRTIO_BLK_S_UNSUPP;
		if (is_beyond(le64toh(segments[i].sector), le32toh(segments[i].num_sectors)))
			return breaks("BLW-07") ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR;
	}
	if (breaks("BLW-08"))
		return VIRTIO_BLK_S_IOERR;
	for (uint32_t i = 0; i < n && !breaks("BLW-03"); i++)
		memset(bad.disk + le64toh(segments[i].sector) * SECTOR, 0,
		       (size_t)le32toh(segments[i].num_sectors) * SECTOR);
	return VIRTIO_BLK_S_OK;
}

static uint8_t get_id(const struct request *request)
{
	char id[VIRTIO_BLK_ID_BYTES] = "bad";
	uint32_t len = breaks("BLK-13") ? 4 : sizeof(id);

	return copy(request->in, request->n_in, 0, id, (uint32_t)min_u64(len, request->in_len),
		    true)
		       ? VIRTIO_BLK_S_OK
		       : VIRTIO_BLK_S_IOERR;
}

static uint8_t flush(const struct request *request)
{
	(void)request;
	return breaks("BLK-14") ? VIRTIO_BLK_S_IOERR : VIRTIO_BLK_S_OK;
}

static uint8_t serve_request(const struct request *request)
{
	switch (request->type) {
	case VIRTIO_BLK_T_IN:
		return read_disk(request);
	case VIRTIO_BLK_T_OUT:
		return write_disk(request);
	case VIRTIO_BLK_T_FLUSH:
		return flush(request);
	case VIRTIO_BLK_T_GET_ID:
		return get_id(request);
	case VIRTIO_BLK_T_DISCARD:
	case VIRTIO_BLK_T_WRITE_ZEROES:
		return zero_segments(request);
	}
	if (breaks("BLK-12") && request->type < 100)
		return VIRTIO_BLK_S_OK;
	return breaks("BLK-11") ? VIRTIO_BLK_S_IOERR : VIRTIO_BLK_S_UNSUPP;
}

static uint32_t serve_blk(const struct bad_chain *chain)
{
	struct virtio_blk_outhdr header;
	struct request request = {
		.out = chain->segments, .n_out = chain->n_readable,
		.in = chain->segments + chain->n_readable, .n_in = chain->n - chain->n_readable,
	};
	uint8_t status;

	request.out_len = total(request.out, request.n_out);
	request.in_len = total(request.in, request.n_in);
	dies_of("BLK-16", request.out_len < sizeof(header) || !request.in_len);
	if (!request.in_len)
		return 0;
	request.in_len--;
	if (request.out_len < sizeof(header) ||
	    (breaks("SPL-01") && chain->segments[0].len < sizeof(header)) ||
	    (breaks("SPL-02") && request.in[request.n_in - 1].len != 1) ||
	    !copy(request.out, request.n_out, 0, &header, sizeof(header), false)) {
		status = VIRTIO_BLK_S_IOERR;
	} else {
		request.out_len -= (uint32_t)sizeof(header);
		request.type = le32toh(header.type);
		request.sector = le64toh(header.sector);
		status = serve_request(&request);
	}
	if (breaks("SPL-09"))
		bad_write(chain->segments[0].gpa, "x", 1);
	if (breaks("SPL-10"))
		bad_write(request.in[request.n_in - 1].gpa + 1, "x", 1);
	copy(request.in, request.n_in, request.in_len, &status, 1, true);
	return breaks("SPL-10") ? request.in_len + 1 : 1;
}

static uint32_t serve_rng(const struct bad_chain *chain)
{
	uint8_t bytes[256] = { 0 };
	uint32_t len = (uint32_t)min_u64(sizeof(bytes), total(chain->segments, chain->n));

	if (!breaks("RNG-02") && getrandom(bytes, len, 0) < 0)
		return 0;
	copy(chain->segments, chain->n, 0, bytes, len, true);
	return breaks("RNG-01") && total(chain->segments, chain->n) > 1024 ? 0 : len;
}

uint32_t bad_device_serve(struct bad_chain *chain)
{
	return bad.is_rng ? serve_rng(chain) : serve_blk(chain);
}
