/* SPDX-License-Identifier: BSD-3-Clause */

/* What becomes of a request: durability, errors, answers that come later, counters. */

#include "tests/unit/blk_rig.h"

/* virtio 1.3, 5.2.5.2 and 5.2.6.2: when is a write durable before it is answered? */
static void writethrough(void **state)
{
	static const struct {
		uint64_t features;
		bool writeback, unsafe, durable;
	} cases[] = {
		{ VHU_BLK_FEATURE(FLUSH) | VHU_BLK_FEATURE(CONFIG_WCE), true, false, false },
		{ VHU_BLK_FEATURE(FLUSH) | VHU_BLK_FEATURE(CONFIG_WCE), false, false, true },
		{ VHU_BLK_FEATURE(CONFIG_WCE), true, false, false },
		{ VHU_BLK_FEATURE(CONFIG_WCE), false, false, true },
		{ VHU_BLK_FEATURE(FLUSH), true, false, false },
		{ VHU_BLK_FEATURE(FLUSH), false, false, true },
		{ 0, true, false, true },
		{ 0, false, false, true },
		{ 0, true, true, false },
		{ VHU_BLK_FEATURE(CONFIG_WCE), false, true, false },
	};
	static struct segments_request request;
	static struct rig rig;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		unsigned flags = cases[i].durable ? VHU_BLK_DURABLE : 0;

		rig_init(&rig);
		rig.disk.features = cases[i].features | VHU_BLK_FEATURE(WRITE_ZEROES);
		rig.disk.writeback = cases[i].writeback;
		rig.disk.unsafe = cases[i].unsafe;
		assert_int_equal(run_type(&rig, VIRTIO_BLK_T_OUT, 0, 512, 0), OK);
		assert_int_equal(rig.fake.ops[0].flags, flags);
		set_header(&request.header, VIRTIO_BLK_T_WRITE_ZEROES, 0);
		set_segment(&request, 0, 0, 1, 0);
		assert_int_equal(run(&rig, &request, sizeof(request.header) + 16, 1), OK);
		assert_int_equal(rig.fake.ops[1].flags, flags);
	}
}

static void unsafe_flush_asks_nobody(void **state)
{
	static struct rig rig;

	(void)state;
	rig_init(&rig);
	rig.disk.unsafe = true;
	assert_int_equal(run_type(&rig, VIRTIO_BLK_T_FLUSH, 0, 0, 0), OK);
	assert_int_equal(rig.fake.n_ops, 0);
}

static void engine_errors(void **state)
{
	static const int errors[] = { -EIO, -ENOSPC, -EOPNOTSUPP, -EFAULT };
	static const uint32_t types[] = { VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT, VIRTIO_BLK_T_FLUSH };
	static struct rig rig;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		for (size_t j = 0; j < ARRAY_SIZE(types); j++) {
			rig_init(&rig);
			rig.fake.fail_from = 0;
			rig.fake.result = errors[i];
			assert_int_equal(run_type(&rig, types[j], 0, 512, 512), IOERR);
			assert_int_equal(rig.request.written, 1);
			assert_int_equal(rig.health.faulted, errors[i] == -EFAULT);
			assert_int_equal(vhu_counter_get(&rig.stats.errors), 1);
			/* The next one is not tainted, unless the memory is not there. */
			rig.fake.fail_from = UINT32_MAX;
			assert_int_equal(run_type(&rig, types[j], 0, 512, 512),
					 errors[i] == -EFAULT ? IOERR : OK);
		}
	}
	/* What was read before the error counts as written. */
	rig_init(&rig);
	rig.fake.fail_from = 0;
	rig.fake.result = -EIO;
	rig.fake.part_bytes = 512;
	assert_int_equal(run_type(&rig, VIRTIO_BLK_T_IN, 0, 0, 1024), IOERR);
	assert_int_equal(rig.request.written, 513);
}

/* Pages may be missing still: what moves data is told, and nothing else is different. */
static void partial_memory(void **state)
{
	static const uint32_t types[] = { VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT };
	static struct rig rig;

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		rig_init(&rig);
		rig.health.partial = i & 1;
		rig.disk.writeback = false;
		assert_int_equal(run_type(&rig, types[i / 2], 0, 512, 512), OK);
		assert_int_equal(rig.fake.n_ops, 1);
		assert_int_equal(rig.fake.ops[0].flags, (i & 1 ? VHU_BLK_PARTIAL : 0) |
							(i / 2 ? VHU_BLK_DURABLE : 0));
	}
}

/* What is read from memory that is gone is not what the driver wrote: nothing is done. */
static void faulted_memory(void **state)
{
	static const uint32_t types[] = { VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT, VIRTIO_BLK_T_FLUSH,
					  VIRTIO_BLK_T_GET_ID };
	static struct rig rig;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		rig_init(&rig);
		rig.health.faulted = true;
		assert_int_equal(run_type(&rig, types[i], 0, 512, 512), IOERR);
		assert_int_equal(rig.fake.n_ops, 0);
	}
}

static void the_answer_may_come_later(void **state)
{
	static struct rig rig;
	struct virtio_blk_outhdr header;
	uint8_t *buffer;

	(void)state;
	rig_init(&rig);
	rig.fake.fail_from = 0;
	rig.fake.result = VHU_BLK_LATER;
	set_header(&header, VIRTIO_BLK_T_IN, 0);
	for (int error = 0; error >= -EIO; error -= EIO) {
		rig.answers = 0;
		assert_false(run_cut(&rig, &header, sizeof(header), out_bytes, 513, 0, 0));
		assert_int_equal(out_bytes[512], UNTOUCHED);
		assert_int_equal(rig.answers, 0);
		if (!error)
			vhu_iov_write(&rig.fake.waiting->data, rig.fake.bytes + START, 512);
		rig.fake.waiting->done(rig.fake.waiting, error);
		assert_int_equal(rig.answers, 1);
		buffer = rig.iov[PIECES - 1].iov_base;
		assert_int_equal(buffer[512], error ? IOERR : OK);
		assert_int_equal(rig.request.written, error ? 1 : 513);
		for (unsigned i = 0; i < PIECES; i++)
			free(rig.iov[i].iov_base);
	}
}

static void the_disk_may_grow_and_shrink(void **state)
{
	static struct rig rig;

	(void)state;
	rig_init(&rig);
	rig.disk.capacity_sectors = 10;
	assert_int_equal(run_type(&rig, VIRTIO_BLK_T_IN, 10, 0, 512), IOERR);
	rig.disk.capacity_sectors = 11;
	assert_int_equal(run_type(&rig, VIRTIO_BLK_T_IN, 10, 0, 512), OK);
	rig.disk.capacity_sectors = 0;
	assert_int_equal(run_type(&rig, VIRTIO_BLK_T_OUT, 0, 512, 0), IOERR);
}

static void counters(void **state)
{
	static struct rig rig;

	(void)state;
	rig_init(&rig);
	run_type(&rig, VIRTIO_BLK_T_IN, 0, 0, 512);
	run_type(&rig, VIRTIO_BLK_T_IN, 0, 0, 1024);
	run_type(&rig, VIRTIO_BLK_T_OUT, 0, 4096, 0);
	run_type(&rig, VIRTIO_BLK_T_FLUSH, 0, 0, 0);
	run_type(&rig, VIRTIO_BLK_T_GET_ID, 0, 0, 20);
	run_type(&rig, VIRTIO_BLK_T_OUT, 0, 1, 0);
	run_type(&rig, 99, 0, 1, 0);
	assert_int_equal(vhu_counter_get(&rig.stats.reads), 2);
	assert_int_equal(vhu_counter_get(&rig.stats.read_bytes), 1536);
	assert_int_equal(vhu_counter_get(&rig.stats.writes), 1);
	assert_int_equal(vhu_counter_get(&rig.stats.written_bytes), 4096);
	assert_int_equal(vhu_counter_get(&rig.stats.flushes), 1);
	assert_int_equal(vhu_counter_get(&rig.stats.others), 1);
	assert_int_equal(vhu_counter_get(&rig.stats.errors), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writethrough),
		cmocka_unit_test(unsafe_flush_asks_nobody),
		cmocka_unit_test(engine_errors),
		cmocka_unit_test(partial_memory),
		cmocka_unit_test(faulted_memory),
		cmocka_unit_test(the_answer_may_come_later),
		cmocka_unit_test(the_disk_may_grow_and_shrink),
		cmocka_unit_test(counters),
	};

	vhu_log_set_level(VHU_LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
