/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/unit/blk_rig.h"

uint8_t out_bytes[65536];

/* Of the rig that was made last; the pieces of requests do not come from it. */
static struct vhu_memory memory;

static int fake_submit(struct vhu_blk_io *io, struct vhu_blk_io_op *op)
{
	struct fake_io *fake = (struct fake_io *)io;
	uint8_t *at = fake->bytes + op->offset_bytes;

	assert_true(fake->n_ops < ARRAY_SIZE(fake->ops));
	assert_true(op->offset_bytes % 512 == 0 && op->len_bytes % 512 == 0);
	assert_true(op->op == VHU_BLK_FLUSH || op->offset_bytes >= START);
	assert_true(op->offset_bytes + op->len_bytes <= sizeof(fake->bytes));
	fake->ops[fake->n_ops] = *op;
	if (fake->n_ops++ >= fake->fail_from) {
		if (op->op == VHU_BLK_READ)
			vhu_iov_write(&op->data, at, fake->part_bytes);
		fake->waiting = op;
		return fake->result;
	}
	if (op->op == VHU_BLK_READ)
		assert_int_equal(vhu_iov_write(&op->data, at, op->len_bytes), op->len_bytes);
	if (op->op == VHU_BLK_WRITE)
		assert_int_equal(vhu_iov_read(&op->data, at, op->len_bytes), op->len_bytes);
	return 0;
}

static const struct vhu_blk_io_ops fake_ops = { .name = "fake", .submit = fake_submit };

static int fake_lifetime(void *data, struct vhu_blk_lifetime *ret_lifetime)
{
	if (data)
		return -EIO;
	*ret_lifetime = (struct vhu_blk_lifetime){ 1, 0x203, 4 };
	return 0;
}

static void answered(struct vhu_blk_request *request)
{
	struct rig *rig = container_of(request, struct rig, request);

	rig->answers++;
}

void rig_init(struct rig *rig)
{
	memset(rig, 0, sizeof(*rig));
	rig->fake.io.ops = &fake_ops;
	rig->fake.fail_from = UINT32_MAX;
	for (size_t i = 0; i < sizeof(rig->fake.bytes); i++)
		rig->fake.bytes[i] = (uint8_t)(i * 7 + i / 512);
	rig->disk = (struct vhu_blk_disk){
		.io = &rig->fake.io,
		.start_bytes = START,
		.capacity_sectors = SECTORS,
		.features = ALL,
		.writeback = true,
		.unmap = true,
		.serial = SERIAL,
		.get_lifetime = fake_lifetime,
	};
	rig->request.disk = &rig->disk;
	rig->request.stats = &rig->stats;
	memory.health = &rig->health;
	rig->request.memory = &memory;
	rig->request.chain = &rig->chain;
	rig->request.answered = answered;
}

/* Adds bytes as up to three pieces, cut at a and b; from NULL: untouched room. */
static void add_part(struct rig *rig, const uint8_t *from, size_t len, size_t a, size_t b)
{
	size_t ends[] = { min_u64(a, len), min_u64(b, len), len }, begin = 0;

	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		struct iovec *piece = &rig->iov[rig->chain.n_readable + rig->chain.n_writable];
		size_t n = ends[i] - begin;

		piece->iov_base = malloc(n);
		piece->iov_len = n;
		if (from && n)
			memcpy(piece->iov_base, from + begin, n);
		else if (n)
			memset(piece->iov_base, UNTOUCHED, n);
		if (from)
			rig->chain.n_readable++;
		else
			rig->chain.n_writable++;
		begin = ends[i];
	}
	if (from)
		rig->chain.readable_bytes = len;
	else
		rig->chain.writable_bytes = len;
}

bool run_cut(struct rig *rig, const void *readable, size_t readable_bytes, uint8_t *out,
	     size_t writable_bytes, size_t a, size_t b)
{
	bool done;

	memset(&rig->chain, 0, sizeof(rig->chain));
	rig->chain.iov = rig->iov;
	add_part(rig, readable, readable_bytes, a, b);
	add_part(rig, NULL, writable_bytes, a, b);
	done = vhu_blk_request_run(&rig->request);
	for (unsigned i = 0; i < rig->chain.n_readable + rig->chain.n_writable; i++) {
		if (i >= rig->chain.n_readable && rig->iov[i].iov_len) {
			memcpy(out, rig->iov[i].iov_base, rig->iov[i].iov_len);
			out += rig->iov[i].iov_len;
		}
		if (done)
			free(rig->iov[i].iov_base);
	}
	return done;
}

uint8_t run(struct rig *rig, const void *readable, size_t readable_bytes, size_t writable_bytes)
{
	assert_true(run_cut(rig, readable, readable_bytes, out_bytes, writable_bytes, 0, 0));
	return out_bytes[writable_bytes - 1];
}

void set_header(struct virtio_blk_outhdr *header, uint32_t type, uint64_t sector)
{
	*header = (struct virtio_blk_outhdr){ .type = htole32(type), .sector = htole64(sector) };
}

uint8_t run_type(struct rig *rig, uint32_t type, uint64_t sector, size_t out_len, size_t in_len)
{
	struct out_request request;

	set_header(&request.header, type, sector);
	memset(request.data, 0x5a, sizeof(request.data));
	return run(rig, &request, sizeof(request.header) + out_len, in_len + 1);
}

void set_segment(struct segments_request *request, size_t i, uint64_t sector, uint32_t n_sectors,
		 uint32_t flags)
{
	request->segments[i] = (struct virtio_blk_discard_write_zeroes){
		.sector = htole64(sector),
		.num_sectors = htole32(n_sectors),
		.flags = htole32(flags),
	};
}
