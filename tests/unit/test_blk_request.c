/* SPDX-License-Identifier: BSD-3-Clause */

/* virtio-blk requests (virtio 1.3, 5.2.6): any layout, every rule, whatever a driver may write. */

#include "tests/unit/blk_rig.h"

/* A write whose readable part is cut at any two places is the same write. */
static void any_layout_of_a_write(void **state)
{
	static struct rig rig;
	struct out_request request;
	size_t len = sizeof(request.header) + 512;
	uint8_t out[1];

	(void)state;
	rig_init(&rig);
	set_header(&request.header, VIRTIO_BLK_T_OUT, 3);
	for (size_t a = 0; a <= len; a++) {
		for (size_t b = a; b <= len; b += 1 + b / 64) {
			for (size_t i = 0; i < 512; i++)
				request.data[i] = (uint8_t)(i + a + b);
			rig.fake.n_ops = 0;
			assert_true(run_cut(&rig, &request, len, out, 1, a, b));
			assert_int_equal(out[0], VIRTIO_BLK_S_OK);
			assert_int_equal(rig.request.written, 1);
			assert_int_equal(rig.fake.n_ops, 1);
			assert_memory_equal(rig.fake.bytes + START + 3 * 512, request.data, 512);
		}
	}
}

static void any_layout_of_a_read(void **state)
{
	static struct rig rig;
	struct virtio_blk_outhdr header;
	uint8_t out[1025];

	(void)state;
	rig_init(&rig);
	set_header(&header, VIRTIO_BLK_T_IN, 5);
	for (size_t a = 0; a <= sizeof(out); a++) {
		for (size_t b = a; b <= sizeof(out); b += 1 + b / 64) {
			rig.fake.n_ops = 0;
			assert_true(run_cut(&rig, &header, sizeof(header), out, sizeof(out), a, b));
			assert_int_equal(out[1024], VIRTIO_BLK_S_OK);
			assert_int_equal(rig.request.written, sizeof(out));
			assert_memory_equal(out, rig.fake.bytes + START + 5 * 512, 1024);
		}
	}
}

struct rule {
	const char *name;
	uint32_t type;
	uint64_t sector;
	size_t out_len, in_len; /* besides header and status */
	uint64_t lacks;		/* features that the driver did not take */
	bool read_only;
	uint8_t status;
	uint32_t written;
	unsigned n_ops;
};

static const struct rule rules[] = {
	{ "read", VIRTIO_BLK_T_IN, 0, 0, 512, 0, false, OK, 513, 1 },
	{ "read of nothing", VIRTIO_BLK_T_IN, 0, 0, 0, 0, false, OK, 1, 1 },
	{ "read of the last sector", VIRTIO_BLK_T_IN, SECTORS - 1, 0, 512, 0, false, OK, 513, 1 },
	{ "read past the end", VIRTIO_BLK_T_IN, SECTORS, 0, 512, 0, false, IOERR, 1, 0 },
	{ "read across the end", VIRTIO_BLK_T_IN, SECTORS - 1, 0, 1024, 0, false, IOERR, 1, 0 },
	{ "read whose end overflows", VIRTIO_BLK_T_IN, UINT64_MAX, 0, 512, 0, false, IOERR, 1, 0 },
	{ "read whose offset overflows", VIRTIO_BLK_T_IN, 1ull << 55, 0, 512, 0, false, IOERR, 1,
	  0 },
	{ "read of 511 bytes", VIRTIO_BLK_T_IN, 0, 0, 511, 0, false, IOERR, 1, 0 },
	{ "read of 513 bytes", VIRTIO_BLK_T_IN, 0, 0, 513, 0, false, IOERR, 1, 0 },
	{ "read with data for the disk", VIRTIO_BLK_T_IN, 0, 512, 512, 0, false, OK, 513, 1 },
	{ "read of a read-only disk", VIRTIO_BLK_T_IN, 0, 0, 512, 0, true, OK, 513, 1 },
	{ "write", VIRTIO_BLK_T_OUT, 0, 512, 0, 0, false, OK, 1, 1 },
	{ "write with room for data", VIRTIO_BLK_T_OUT, 0, 512, 512, 0, false, OK, 1, 1 },
	{ "write of the last sectors", VIRTIO_BLK_T_OUT, SECTORS - 2, 1024, 0, 0, false, OK, 1, 1 },
	{ "write past the end", VIRTIO_BLK_T_OUT, SECTORS, 512, 0, 0, false, IOERR, 1, 0 },
	{ "write across the end", VIRTIO_BLK_T_OUT, SECTORS - 1, 1024, 0, 0, false, IOERR, 1, 0 },
	{ "write whose end overflows", VIRTIO_BLK_T_OUT, UINT64_MAX, 512, 0, 0, false, IOERR, 1,
	  0 },
	{ "write of 100 bytes", VIRTIO_BLK_T_OUT, 0, 100, 0, 0, false, IOERR, 1, 0 },
	{ "write to a read-only disk", VIRTIO_BLK_T_OUT, 0, 512, 0, 0, true, IOERR, 1, 0 },
	{ "write of nothing to a read-only disk", VIRTIO_BLK_T_OUT, 0, 0, 0, 0, true, IOERR, 1, 0 },
	{ "flush", VIRTIO_BLK_T_FLUSH, 0, 0, 0, 0, false, OK, 1, 1 },
	{ "flush of a read-only disk", VIRTIO_BLK_T_FLUSH, 0, 0, 0, 0, true, OK, 1, 1 },
	{ "flush of a sector far away", VIRTIO_BLK_T_FLUSH, UINT64_MAX, 0, 0, 0, false, OK, 1, 1 },
	{ "flush not negotiated", VIRTIO_BLK_T_FLUSH, 0, 0, 0, VHU_BLK_FEATURE(FLUSH), false,
	  UNSUPP, 1, 0 },
	{ "get id", VIRTIO_BLK_T_GET_ID, 0, 0, 20, 0, false, OK, 21, 0 },
	{ "get id, read-only", VIRTIO_BLK_T_GET_ID, 0, 0, 20, 0, true, OK, 21, 0 },
	{ "get id into little room", VIRTIO_BLK_T_GET_ID, 0, 0, 5, 0, false, OK, 6, 0 },
	{ "get id into much room", VIRTIO_BLK_T_GET_ID, 0, 0, 512, 0, false, OK, 21, 0 },
	{ "get id into no room", VIRTIO_BLK_T_GET_ID, 0, 0, 0, 0, false, OK, 1, 0 },
	{ "get lifetime", VIRTIO_BLK_T_GET_LIFETIME, 0, 0, 6, 0, false, OK, 7, 0 },
	{ "get lifetime into little room", VIRTIO_BLK_T_GET_LIFETIME, 0, 0, 5, 0, false, IOERR, 1,
	  0 },
	{ "get lifetime not negotiated", VIRTIO_BLK_T_GET_LIFETIME, 0, 0, 6,
	  VHU_BLK_FEATURE(LIFETIME), false, UNSUPP, 1, 0 },
	{ "SCSI command", VIRTIO_BLK_T_SCSI_CMD, 0, 0, 512, 0, false, UNSUPP, 1, 0 },
	{ "SCSI command with data", 3, 0, 512, 512, 0, false, UNSUPP, 1, 0 },
	{ "unknown type", 5, 0, 0, 512, 0, false, UNSUPP, 1, 0 },
	{ "type past the table", 15, 0, 0, 512, 0, false, UNSUPP, 1, 0 },
	{ "largest type", UINT32_MAX, 0, 0, 512, 0, false, UNSUPP, 1, 0 },
	{ "read with a barrier", VIRTIO_BLK_T_BARRIER, 0, 0, 512, 0, false, UNSUPP, 1, 0 },
	{ "discard of nothing", VIRTIO_BLK_T_DISCARD, 0, 0, 0, 0, false, IOERR, 1, 0 },
	{ "discard not negotiated", VIRTIO_BLK_T_DISCARD, 0, 16, 0, VHU_BLK_FEATURE(DISCARD),
	  false, UNSUPP, 1, 0 },
	{ "discard of a read-only disk", VIRTIO_BLK_T_DISCARD, 0, 16, 0, 0, true, IOERR, 1, 0 },
	{ "read-only, and not negotiated", VIRTIO_BLK_T_DISCARD, 0, 16, 0,
	  VHU_BLK_FEATURE(DISCARD), true, IOERR, 1, 0 },
	{ "write zeroes not negotiated", VIRTIO_BLK_T_WRITE_ZEROES, 0, 16, 0,
	  VHU_BLK_FEATURE(WRITE_ZEROES), false, UNSUPP, 1, 0 },
	{ "write zeroes, read-only", VIRTIO_BLK_T_WRITE_ZEROES, 0, 16, 0, 0, true, IOERR, 1, 0 },
	{ "secure erase not negotiated", VIRTIO_BLK_T_SECURE_ERASE, 0, 16, 0,
	  VHU_BLK_FEATURE(SECURE_ERASE), false, UNSUPP, 1, 0 },
	{ "secure erase, read-only", VIRTIO_BLK_T_SECURE_ERASE, 0, 16, 0, 0, true, IOERR, 1, 0 },
};

static void each_rule(void **state)
{
	static struct rig rig;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
		const struct rule *rule = &rules[i];
		uint8_t status;

		rig_init(&rig);
		rig.disk.features = ALL & ~rule->lacks;
		rig.disk.read_only = rule->read_only;
		status = run_type(&rig, rule->type, rule->sector, rule->out_len, rule->in_len);
		if (status != rule->status || rig.request.written != rule->written ||
		    rig.fake.n_ops != rule->n_ops)
			fail_msg("%s: status %u, written %u, %u operations", rule->name, status,
				 rig.request.written, rig.fake.n_ops);
	}
}

/* What is written into the buffers besides the status, and what is left alone. */
static void ids_and_lifetimes(void **state)
{
	static const uint8_t life[] = { 1, 0, 3, 2, 4, 0 };
	static struct rig rig;

	(void)state;
	rig_init(&rig);
	assert_int_equal(run_type(&rig, VIRTIO_BLK_T_GET_ID, 0, 0, 30), OK);
	assert_memory_equal(out_bytes, SERIAL, 20);
	for (size_t i = 20; i < 30; i++)
		assert_int_equal(out_bytes[i], UNTOUCHED);
	memset(rig.disk.serial, 0, sizeof(rig.disk.serial));
	memcpy(rig.disk.serial, "short", 5);
	assert_int_equal(run_type(&rig, VIRTIO_BLK_T_GET_ID, 0, 0, 20), OK);
	assert_memory_equal(out_bytes, "short\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);

	assert_int_equal(run_type(&rig, VIRTIO_BLK_T_GET_LIFETIME, 0, 0, 6), OK);
	assert_memory_equal(out_bytes, life, sizeof(life));
	rig.disk.lifetime_data = &rig;
	assert_int_equal(run_type(&rig, VIRTIO_BLK_T_GET_LIFETIME, 0, 0, 6), IOERR);
}

static void too_malformed(void **state)
{
	static struct rig rig;
	struct virtio_blk_outhdr header;

	(void)state;
	rig_init(&rig);
	set_header(&header, VIRTIO_BLK_T_OUT, 0);
	/* No room for a status. */
	assert_true(run_cut(&rig, &header, sizeof(header), out_bytes, 0, 0, 0));
	assert_int_equal(rig.request.written, 0);
	assert_true(run_cut(&rig, "", 0, out_bytes, 0, 0, 0));
	assert_int_equal(rig.request.written, 0);
	/* Room for one, but no header. */
	for (size_t len = 0; len < sizeof(header); len++) {
		assert_true(run_cut(&rig, &header, len, out_bytes, 513, len / 2, len));
		assert_int_equal(rig.request.written, 1);
		assert_int_equal(out_bytes[512], IOERR);
		assert_int_equal(out_bytes[0], UNTOUCHED);
	}
	assert_int_equal(rig.fake.n_ops, 0);
}

/* Whatever comes: one of three statuses, a true length, nothing outside the disk (fake_submit). */
static void anything_at_all(void **state)
{
	static uint8_t readable[sizeof(struct virtio_blk_outhdr) + 2048];
	static struct rig rig;

	(void)state;
	srandom(20240607);
	rig_init(&rig);
	for (unsigned i = 0; i < 50000; i++) {
		size_t in = (size_t)random() % 1100, out = (size_t)random() % sizeof(readable);
		size_t a = (size_t)random() % 64, b = a + (size_t)random() % 512;

		for (size_t j = 0; j < 64; j++)
			readable[j] = random() % 3 ? 0 : (uint8_t)random();
		readable[0] = (uint8_t)(random() % 18);
		rig.fake.n_ops = 0;
		assert_true(run_cut(&rig, readable, out, out_bytes, in, a, b));
		assert_true(rig.request.written <= in);
		assert_int_equal(rig.request.written > 0, in > 0);
		if (in)
			assert_true(out_bytes[in - 1] <= UNSUPP);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_layout_of_a_write),
		cmocka_unit_test(any_layout_of_a_read),
		cmocka_unit_test(each_rule),
		cmocka_unit_test(ids_and_lifetimes),
		cmocka_unit_test(too_malformed),
		cmocka_unit_test(anything_at_all),
	};

	vhu_log_set_level(VHU_LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
