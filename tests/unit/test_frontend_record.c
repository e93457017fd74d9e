/* SPDX-License-Identifier: BSD-3-Clause */
/* What our front-end keeps of a back-end's: the in-flight record, the dirty log, the base. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/num.h"
#include "common/frontend/driver.h"
#include "common/frontend/inflight.h"
#include "common/frontend/log.h"
#include "tests/unit/scripted_peer.h"

#define ACKS VHU_BIT(VHU_PROTOCOL_F_REPLY_ACK)

static int make_file(uint64_t size)
{
	int fd = memfd_create("record", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	return fd;
}

/* GET_INFLIGHT_FD for 2 queues of 64, answered with this and a file of 8 KiB. */
static int get_record(struct scripted_peer *peer, const struct vhu_inflight *answer, bool with_fd,
		      struct vhu_record *ret_record)
{
	const struct vhu_inflight asked = { .n_queues = 2, .queue_size = 64 };
	int fd = make_file(8192), r;

	peer_will_reply(peer, VHU_GET_INFLIGHT_FD, answer, VHU_INFLIGHT_SIZE, with_fd ? fd : -1);
	close(fd);
	r = vhu_frontend_get_record(&peer->frontend, 2, 64, ret_record);
	peer_expect(peer, VHU_GET_INFLIGHT_FD, &asked, sizeof(asked));
	return r;
}

static void test_record(void **state)
{
	const struct vhu_inflight answer = { 4096, 4096, 2, 64, 0 };
	struct vhu_record record = { 0 };
	struct vhu_record_packed *packed;
	struct vhu_record_split *split;
	struct scripted_peer peer;
	struct vhu_message message;
	struct stat ours, theirs;

	(void)state;
	peer_start(&peer, 0, ACKS);
	vhu_record_finish(&record); /* zeros are none */
	assert_int_equal(get_record(&peer, &answer, true, &record), 0);
	assert_ptr_equal(vhu_record_queue(&record, 0), record.host);
	assert_ptr_equal(vhu_record_queue(&record, 1), record.host + 2048);
	split = vhu_record_queue(&record, 0);
	split->desc_num = 64;
	split->desc[0].inflight = split->desc[63].inflight = 1;
	assert_int_equal(vhu_record_count_split(split), 2);
	packed = vhu_record_queue(&record, 1);
	packed->desc_num = 8;
	packed->desc[7].inflight = 1;
	packed->desc[8].inflight = 1; /* past the end */
	assert_int_equal(vhu_record_count_packed(packed), 1);

	peer_will_ack(&peer, VHU_SET_INFLIGHT_FD, 0);
	assert_int_equal(vhu_frontend_set_record(&peer.frontend, &record), 0);
	message = peer_asked(&peer, VHU_SET_INFLIGHT_FD);
	assert_int_equal(message.header.size, sizeof(answer));
	assert_memory_equal(&message.payload, &answer, sizeof(answer));
	assert_int_equal(message.n_fds, 1);
	assert_int_equal(fstat(record.fd, &ours), 0);
	assert_int_equal(fstat(message.fds[0], &theirs), 0);
	assert_int_equal(ours.st_ino, theirs.st_ino);
	vhu_message_finish(&message);
	vhu_record_finish(&record);
	peer_finish(&peer);
}

static void test_wrong_records(void **state)
{
	static const struct vhu_inflight wrong[] = {
		{ 0, 0, 2, 64, 0 },		       /* nothing */
		{ 4097, 4096, 2, 64, 0 },	       /* past the end of the file */
		{ 4096, UINT64_MAX - 4095, 2, 64, 0 }, /* no sum */
		{ 4096, 0, 0, 64, 0 },		       /* other queues */
		{ 4096, 0, 2, 65, 0 },		       /* of another size */
	};
	struct vhu_record record = { 0 };
	struct scripted_peer peer;

	(void)state;
	peer_start(&peer, 0, ACKS);
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		assert_int_equal(get_record(&peer, &wrong[i], true, &record), -EPROTO);
	assert_int_equal(
		get_record(&peer, &(struct vhu_inflight){ 4096, 0, 2, 64, 0 }, false, &record),
		-EPROTO);
	assert_null(record.host);
	peer_finish(&peer);
}

static void test_log(void **state)
{
	struct vhu_frontend_log log = { 0 };
	struct scripted_peer peer;
	struct vhu_message message;
	struct vhu_log_base base;
	uint8_t byte = 0x81;

	(void)state;
	peer_start(&peer, VHU_BIT(VHU_F_VERSION_1), ACKS | VHU_BIT(VHU_PROTOCOL_F_LOG_SHMFD));
	vhu_frontend_log_finish(&log); /* zeros are none */
	assert_true(vhu_guest_add(&peer.frontend.guest, 0x10000000, 0x8000) >= 0);
	assert_int_equal(vhu_frontend_log_init(&log, &peer.frontend.guest, 0, 8192), 0);
	assert_int_equal(log.size, 0x10008000 / 4096 / 8);
	assert_false(vhu_frontend_log_has(&log, 0x10008000));

	peer_will_ack(&peer, VHU_SET_LOG_BASE, 0);
	assert_int_equal(vhu_frontend_set_log(&peer.frontend, &log), 0);
	message = peer_asked(&peer, VHU_SET_LOG_BASE);
	base = message.payload.log_base;
	assert_int_equal(base.size, log.size);
	assert_int_equal(base.offset, 8192);
	assert_int_equal(message.n_fds, 1);

	/* What is written into the file that was passed is what is found marked. */
	assert_int_equal(pwrite(message.fds[0], &byte, 1, (off_t)(8192 + 0x10000000 / 4096 / 8)),
			 1);
	vhu_message_finish(&message);
	assert_int_equal(vhu_frontend_log_count(&log), 2);
	assert_true(vhu_frontend_log_has(&log, 0x10000fff));
	assert_false(vhu_frontend_log_has(&log, 0x10001000));
	assert_true(vhu_frontend_log_take(&log, 0x10007000));
	assert_false(vhu_frontend_log_take(&log, 0x10007000));
	assert_int_equal(vhu_frontend_log_count(&log), 1);
	vhu_frontend_log_clear(&log);
	assert_int_equal(vhu_frontend_log_count(&log), 0);
	vhu_frontend_log_finish(&log);
	peer_finish(&peer);
}

static void expect_features(struct scripted_peer *peer, uint64_t features)
{
	peer_expect(peer, VHU_SET_FEATURES, &features, sizeof(features));
}

static void test_logging(void **state)
{
	struct scripted_peer peer;
	struct vhu_driver driver;
	struct vhu_vring_addr addr;

	(void)state;
	peer_start(&peer, VHU_BIT(VHU_F_VERSION_1), ACKS);
	for (int i = 0; i < 2; i++)
		peer_will_ack(&peer, VHU_SET_FEATURES, 0);
	assert_int_equal(vhu_frontend_set_logging(&peer.frontend, true), 0);
	assert_int_equal(vhu_frontend_set_logging(&peer.frontend, false), 0);
	expect_features(&peer, VHU_BIT(VHU_F_VERSION_1) | VHU_BIT(VHU_F_LOG_ALL));
	expect_features(&peer, VHU_BIT(VHU_F_VERSION_1));

	assert_true(vhu_guest_add(&peer.frontend.guest, 0x100000, 0x100000) >= 0);
	assert_int_equal(vhu_driver_init(&driver, &peer.frontend, 3, 16), 0);
	addr = (struct vhu_vring_addr){
		.index = 3,
		.flags = VHU_VRING_ADDR_LOG,
		.desc_uaddr = vhu_guest_uaddr(&peer.frontend.guest, driver.desc_gpa),
		.used_uaddr = vhu_guest_uaddr(&peer.frontend.guest, driver.used_gpa),
		.avail_uaddr = vhu_guest_uaddr(&peer.frontend.guest, driver.avail_gpa),
		.log_gpa = 0x7654321,
	};
	for (int i = 0; i < 2; i++)
		peer_will_ack(&peer, VHU_SET_VRING_ADDR, 0);
	assert_int_equal(vhu_driver_log(&driver, true, 0x7654321), 0);
	assert_int_equal(vhu_driver_log(&driver, false, 0x7654321), 0);
	peer_expect(&peer, VHU_SET_VRING_ADDR, &addr, sizeof(addr));
	addr.flags = 0;
	addr.log_gpa = 0;
	peer_expect(&peer, VHU_SET_VRING_ADDR, &addr, sizeof(addr));
	vhu_driver_finish(&driver);
	peer_finish(&peer);
}

/* As QEMU: a split ring's from guest memory, a packed ring's as it last was. */
static void test_restored_base(void **state)
{
	struct scripted_peer peer;
	struct vhu_driver driver;

	(void)state;
	peer_start(&peer, 0, ACKS);
	assert_true(vhu_guest_add(&peer.frontend.guest, 0, 0x100000) >= 0);
	assert_int_equal(vhu_driver_init(&driver, &peer.frontend, 0, 16), 0);
	driver.base = 7;
	driver.split.vring.used->idx = htole16(12);
	vhu_driver_restore_base(&driver);
	assert_int_equal(driver.base, 12);
	vhu_driver_finish(&driver);

	peer.frontend.acked_features = VHU_BIT(VHU_F_RING_PACKED);
	assert_int_equal(vhu_driver_init(&driver, &peer.frontend, 0, 16), 0);
	assert_int_equal(driver.base, 0x80008000);
	driver.base = 0x80058003;
	vhu_driver_restore_base(&driver);
	assert_int_equal(driver.base, 0x80058003);
	vhu_driver_finish(&driver);
	peer_finish(&peer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_record),	      cmocka_unit_test(test_wrong_records),
		cmocka_unit_test(test_log),	      cmocka_unit_test(test_logging),
		cmocka_unit_test(test_restored_base),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
