/* SPDX-License-Identifier: BSD-3-Clause */

/* DISCARD, WRITE_ZEROES, SECURE_ERASE (virtio 1.3, 5.2.6): segments, their flags and limits. */

#include <sys/mman.h>
#include <unistd.h>

#include "common/base/fault.h"
#include "tests/unit/blk_rig.h"

struct segment_case {
	const char *name;
	uint32_t type;
	size_t n;
	struct {
		uint64_t sector;
		uint32_t n_sectors, flags;
	} segments[3];
	uint8_t status;
	unsigned n_ops;
};

static const struct segment_case segment_cases[] = {
	{ "discard", VIRTIO_BLK_T_DISCARD, 1, { { 8, 8, 0 } }, OK, 1 },
	{ "discard of three", VIRTIO_BLK_T_DISCARD, 3, { { 0, 1, 0 }, { 9, 3, 0 }, { 60, 4, 0 } },
	  OK, 3 },
	{ "discard of everything", VIRTIO_BLK_T_DISCARD, 1, { { 0, SECTORS, 0 } }, OK, 1 },
	{ "discard of no sector", VIRTIO_BLK_T_DISCARD, 1, { { 8, 0, 0 } }, OK, 0 },
	{ "discard past the end", VIRTIO_BLK_T_DISCARD, 1, { { SECTORS, 1, 0 } }, IOERR, 0 },
	{ "discard across the end", VIRTIO_BLK_T_DISCARD, 1, { { 60, 5, 0 } }, IOERR, 0 },
	{ "discard whose end overflows", VIRTIO_BLK_T_DISCARD, 1, { { UINT64_MAX, 2, 0 } }, IOERR,
	  0 },
	{ "discard with unmap", VIRTIO_BLK_T_DISCARD, 1, { { 8, 8, 1 } }, UNSUPP, 0 },
	{ "discard with an unknown flag", VIRTIO_BLK_T_DISCARD, 1, { { 8, 8, 1u << 31 } }, UNSUPP,
	  0 },
	{ "the second segment is wrong", VIRTIO_BLK_T_DISCARD, 2, { { 0, 8, 0 }, { 63, 2, 0 } },
	  IOERR, 0 },
	{ "the third has a flag", VIRTIO_BLK_T_DISCARD, 3,
	  { { 0, 8, 0 }, { 8, 2, 0 }, { 16, 8, 2 } }, UNSUPP, 0 },
	{ "zeroes", VIRTIO_BLK_T_WRITE_ZEROES, 1, { { 8, 8, 0 } }, OK, 1 },
	{ "zeroes with unmap", VIRTIO_BLK_T_WRITE_ZEROES, 2, { { 8, 8, 1 }, { 0, 8, 1 } }, OK, 2 },
	{ "zeroes with an unknown flag", VIRTIO_BLK_T_WRITE_ZEROES, 1, { { 8, 8, 3 } }, UNSUPP, 0 },
	{ "zeroes across the end", VIRTIO_BLK_T_WRITE_ZEROES, 1, { { 1, SECTORS, 0 } }, IOERR, 0 },
	{ "erase", VIRTIO_BLK_T_SECURE_ERASE, 1, { { 8, 8, 0 } }, OK, 1 },
	{ "erase with unmap", VIRTIO_BLK_T_SECURE_ERASE, 1, { { 8, 8, 1 } }, UNSUPP, 0 },
	{ "erase across the end", VIRTIO_BLK_T_SECURE_ERASE, 1, { { 63, 2, 0 } }, IOERR, 0 },
};

static void each_segment_rule(void **state)
{
	static struct segments_request request;
	static struct rig rig;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(segment_cases); i++) {
		const struct segment_case *c = &segment_cases[i];
		uint8_t status;

		rig_init(&rig);
		set_header(&request.header, c->type, 77777);
		for (size_t j = 0; j < c->n; j++)
			set_segment(&request, j, c->segments[j].sector, c->segments[j].n_sectors,
				    c->segments[j].flags);
		status = run(&rig, &request, sizeof(request.header) + 16 * c->n, 1);
		if (status != c->status || rig.fake.n_ops != c->n_ops)
			fail_msg("%s: status %u, %u operations", c->name, status, rig.fake.n_ops);
		for (size_t j = 0; j < rig.fake.n_ops; j++) {
			assert_int_equal(rig.fake.ops[j].offset_bytes,
					 START + c->segments[j].sector * 512);
			assert_int_equal(rig.fake.ops[j].len_bytes, c->segments[j].n_sectors * 512);
		}
	}
}

/* What the config space says is the most is taken, and one more is not. */
static void segment_limits(void **state)
{
	static struct segments_request request;
	static struct rig rig;
	size_t most = sizeof(request.header) + 16 * VHU_BLK_MAX_SEGMENTS;

	(void)state;
	rig_init(&rig);
	rig.fake.result = 0;
	set_header(&request.header, VIRTIO_BLK_T_DISCARD, 0);
	for (size_t i = 0; i <= VHU_BLK_MAX_SEGMENTS; i++)
		set_segment(&request, i, i % SECTORS, 1, 0);
	assert_int_equal(run(&rig, &request, most, 1), OK);
	assert_int_equal(rig.fake.n_ops, VHU_BLK_MAX_SEGMENTS);
	rig.fake.n_ops = 0;
	assert_int_equal(run(&rig, &request, most + 16, 1), IOERR);
	assert_int_equal(run(&rig, &request, most - 1, 1), IOERR);
	assert_int_equal(run(&rig, &request, sizeof(request.header) + 15, 1), IOERR);

	rig.disk.capacity_sectors = 1ull << 40;
	set_segment(&request, 0, 0, VHU_BLK_MAX_DISCARD_SECTORS + 1, 0);
	assert_int_equal(run(&rig, &request, sizeof(request.header) + 16, 1), IOERR);
	set_header(&request.header, VIRTIO_BLK_T_WRITE_ZEROES, 0);
	set_segment(&request, 0, 0, VHU_BLK_MAX_ZEROES_SECTORS + 1, 0);
	assert_int_equal(run(&rig, &request, sizeof(request.header) + 16, 1), IOERR);
	set_segment(&request, 0, 0, UINT32_MAX, 0);
	assert_int_equal(run(&rig, &request, sizeof(request.header) + 16, 1), IOERR);
	assert_int_equal(rig.fake.n_ops, 0);
}

static void a_failed_segment_fails_the_request(void **state)
{
	static struct segments_request request;
	static struct rig rig;

	(void)state;
	rig_init(&rig);
	rig.fake.fail_from = 1;
	rig.fake.result = -EIO;
	set_header(&request.header, VIRTIO_BLK_T_DISCARD, 0);
	for (size_t i = 0; i < 3; i++)
		set_segment(&request, i, i, 1, 0);
	assert_int_equal(run(&rig, &request, sizeof(request.header) + 48, 1), IOERR);
	assert_int_equal(rig.fake.n_ops, 2);
	assert_int_equal(vhu_counter_get(&rig.stats.errors), 1);
	assert_int_equal(vhu_counter_get(&rig.stats.discards), 0);
}

/* Zeros become holes only where both sides allow it. */
static void unmap_needs_both(void **state)
{
	static struct segments_request request;
	static struct rig rig;

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		bool driver = i & 1, disk = i & 2;

		rig_init(&rig);
		rig.disk.unmap = disk;
		set_header(&request.header, VIRTIO_BLK_T_WRITE_ZEROES, 0);
		set_segment(&request, 0, 0, 1, driver);
		assert_int_equal(run(&rig, &request, sizeof(request.header) + 16, 1), OK);
		assert_int_equal(rig.fake.ops[0].flags, driver && disk ? VHU_BLK_UNMAP : 0);
	}
}

/* The header is there, and the length of the segment, but not where it begins: not at 0. */
static void segment_that_is_not_there(void **state)
{
	static struct rig rig;
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct vhu_fault_guard guard = { 0 };
	struct virtio_blk_outhdr header;
	struct { uint32_t n_sectors, flags; } rest = { htole32(8), 0 };
	uint8_t status = UNTOUCHED;
	int empty = memfd_create("empty", MFD_CLOEXEC);
	void *gone = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, empty, 0);

	(void)state;
	rig_init(&rig);
	assert_true(gone != MAP_FAILED);
	assert_int_equal(vhu_fault_guard(&guard, gone, page, page, &rig.health.faulted), 0);
	set_header(&header, VIRTIO_BLK_T_WRITE_ZEROES, 0);
	rig.iov[0] = (struct iovec){ &header, sizeof(header) };
	rig.iov[1] = (struct iovec){ gone, 8 };
	rig.iov[2] = (struct iovec){ &rest, sizeof(rest) };
	rig.iov[3] = (struct iovec){ &status, 1 };
	rig.chain = (struct vhu_chain){
		.iov = rig.iov, .n_readable = 3, .n_writable = 1,
		.readable_bytes = 32, .writable_bytes = 1,
	};
	assert_true(vhu_blk_request_run(&rig.request));
	assert_int_equal(status, IOERR);
	assert_int_equal(rig.fake.n_ops, 0);
	assert_true(rig.health.faulted);
	vhu_fault_unguard(&guard);
	munmap(gone, page);
	close(empty);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_segment_rule),
		cmocka_unit_test(segment_limits),
		cmocka_unit_test(a_failed_segment_fails_the_request),
		cmocka_unit_test(unmap_needs_both),
		cmocka_unit_test(segment_that_is_not_there),
	};

	vhu_log_set_level(VHU_LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
