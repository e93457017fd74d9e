/* SPDX-License-Identifier: BSD-3-Clause */
/* What goes over the back-end's own channel, and the transfer of its state. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>

#include "common/base/cleanup.h"
#include "common/base/num.h"
#include "common/frontend/driver.h"
#include "common/frontend/iotlb.h"
#include "common/frontend/state.h"
#include "tests/unit/scripted_peer.h"

#define ACKS VHU_BIT(VHU_PROTOCOL_F_REPLY_ACK)
#define PLATFORM VHU_BIT(VHU_F_ACCESS_PLATFORM)
#define OFFSET 0x500000000000ull

/* A channel whose other end, which is returned, the test holds. */
static int open_channel(struct scripted_peer *peer)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds),
			 0);
	peer->frontend.channel_fd = fds[0];
	return fds[1];
}

static void ask(int channel, uint32_t request, const void *payload, uint32_t size)
{
	assert_int_equal(vhu_message_send(channel, request, VHU_VERSION | VHU_FLAG_NEED_REPLY,
					  payload, size, NULL, 0, 200),
			 0);
}

/* What the front-end answered to the last request. */
static uint64_t answer(int channel)
{
	struct vhu_receiver receiver;

	vhu_receiver_init(&receiver);
	assert_int_equal(vhu_receiver_read(&receiver, channel), 1);
	assert_int_equal(receiver.message.header.size, 8);
	return receiver.message.payload.u64;
}

static void ask_miss(int channel, uint64_t iova, uint8_t perm)
{
	struct vhu_iotlb_msg miss = { .iova = iova, .perm = perm, .type = VHU_IOTLB_MISS };

	ask(channel, VHU_BACKEND_IOTLB_MSG, &miss, sizeof(miss));
}

static void expect_iotlb(struct scripted_peer *peer, uint64_t iova, uint64_t size, uint64_t uaddr,
			 uint8_t perm, uint8_t type)
{
	const struct vhu_iotlb_msg message = { iova, size, uaddr, perm, type, { 0 } };

	peer_expect(peer, VHU_IOTLB_MSG, &message, sizeof(message));
}

static void test_misses(void **state)
{
	struct vhu_frontend_iotlb iotlb;
	struct scripted_peer peer;
	struct vhu_frontend *f = &peer.frontend;
	uint64_t uaddr;
	int channel;

	(void)state;
	peer_start(&peer, PLATFORM, ACKS);
	channel = open_channel(&peer);
	assert_true(vhu_guest_add(&f->guest, 0x1800, 0x10000) >= 0);
	uaddr = f->guest.regions[0].wire.uaddr;
	vhu_frontend_iotlb_init(&iotlb, f);
	assert_int_equal(vhu_frontend_iotlb_map_guest(&iotlb, OFFSET), 0);
	assert_int_equal(vhu_frontend_iotlb_map(&iotlb, 0x7000, 0x3800, 0x1000, 1), 0);
	assert_int_equal(vhu_frontend_iotlb_map(&iotlb, 0x7000, 0x11000, 0x1000, 1), -EINVAL);

	/* A whole page, and one that the mapping begins in the middle of. */
	peer_will_ack(&peer, VHU_IOTLB_MSG, 0);
	peer_will_ack(&peer, VHU_IOTLB_MSG, 0);
	ask_miss(channel, OFFSET + 0x3456, 3);
	ask_miss(channel, OFFSET + 0x1900, 2);
	assert_int_equal(vhu_frontend_serve(f), 0);
	assert_int_equal(answer(channel), 0);
	assert_int_equal(answer(channel), 0);
	expect_iotlb(&peer, OFFSET + 0x3000, 0x1000, uaddr + 0x1800, 3, VHU_IOTLB_UPDATE);
	expect_iotlb(&peer, OFFSET + 0x1800, 0x800, uaddr, 3, VHU_IOTLB_UPDATE);

	/* Nothing there, or not with that permission. */
	ask_miss(channel, 0x6fff, 1);
	ask_miss(channel, 0x7fff, 2);
	assert_int_equal(vhu_frontend_serve(f), 0);
	assert_int_equal(answer(channel), 1);
	assert_int_equal(answer(channel), 1);
	assert_int_equal(iotlb.n_unknown, 2);
	assert_int_equal(iotlb.n_misses, 4);
	assert_int_equal(iotlb.last_miss.iova, 0x7fff);

	/* Held, and then released; the whole mapping at once. */
	iotlb.hold = true;
	iotlb.page_bytes = 0;
	ask_miss(channel, 0x7100, 1);
	assert_int_equal(vhu_frontend_serve(f), 0);
	assert_int_equal(iotlb.n_held, 1);
	peer_will_ack(&peer, VHU_IOTLB_MSG, 1);
	assert_int_equal(vhu_frontend_iotlb_release(&iotlb), -EREMOTEIO);
	expect_iotlb(&peer, 0x7000, 0x1000, uaddr + 0x2000, 1, VHU_IOTLB_UPDATE);
	assert_int_equal(answer(channel), 0);

	close(channel);
	assert_int_equal(vhu_frontend_serve(f), -ECONNRESET);
	vhu_frontend_iotlb_finish(&iotlb);
	peer_finish(&peer);
}

static void test_unmap(void **state)
{
	struct vhu_iotlb_msg fail = { .iova = 0x55, .perm = 2, .type = VHU_IOTLB_ACCESS_FAIL };
	struct vhu_frontend_iotlb iotlb;
	struct scripted_peer peer;
	uint64_t uaddr;
	int channel;

	(void)state;
	peer_start(&peer, PLATFORM, ACKS);
	channel = open_channel(&peer);
	assert_true(vhu_guest_add(&peer.frontend.guest, 0, 0x10000) >= 0);
	uaddr = peer.frontend.guest.regions[0].wire.uaddr;
	vhu_frontend_iotlb_init(&iotlb, &peer.frontend);
	iotlb.page_bytes = 0;
	assert_int_equal(vhu_frontend_iotlb_map(&iotlb, 0x1000, 0, 0x3000, 3), 0);
	assert_int_equal(vhu_frontend_iotlb_map(&iotlb, 0x9000, 0x8000, 0x1000, 3), 0);

	/* Out of the middle of one. */
	for (int i = 0; i < 4; i++)
		peer_will_ack(&peer, VHU_IOTLB_MSG, 0);
	assert_int_equal(vhu_frontend_iotlb_unmap(&iotlb, 0x2000, 0x1000), 0);
	assert_int_equal(vhu_frontend_iotlb_answer(&iotlb, 0x2fff, 1), -EFAULT);
	assert_int_equal(vhu_frontend_iotlb_answer(&iotlb, 0x3000, 1), 0);
	assert_int_equal(vhu_frontend_iotlb_answer(&iotlb, 0x1fff, 1), 0);
	expect_iotlb(&peer, 0x2000, 0x1000, 0, 0, VHU_IOTLB_INVALIDATE);
	expect_iotlb(&peer, 0x3000, 0x1000, uaddr + 0x2000, 3, VHU_IOTLB_UPDATE);
	expect_iotlb(&peer, 0x1000, 0x1000, uaddr, 3, VHU_IOTLB_UPDATE);
	/* All there is. */
	assert_int_equal(vhu_frontend_iotlb_unmap(&iotlb, 0x1800, UINT64_MAX), 0);
	assert_int_equal(iotlb.n, 1);
	assert_int_equal(iotlb.maps[0].size, 0x800);
	expect_iotlb(&peer, 0x1800, UINT64_MAX, 0, 0, VHU_IOTLB_INVALIDATE);

	ask(channel, VHU_BACKEND_IOTLB_MSG, &fail, sizeof(fail));
	assert_int_equal(vhu_frontend_serve(&peer.frontend), 0);
	assert_int_equal(iotlb.n_access_fails, 1);
	assert_int_equal(iotlb.last_fail.iova, 0x55);
	close(channel);
	vhu_frontend_iotlb_finish(&iotlb);
	peer_finish(&peer);
}

/* Every address that the device is told is an I/O virtual one, in both layouts. */
static void test_driver_addresses(void **state)
{
	const struct vhu_guest_buffer buffers[2] = { { .gpa = 0x100, .len = 4 },
						     { .gpa = 0x200, .len = 4 } };
	struct vhu_frontend_iotlb iotlb;
	struct scripted_peer peer;
	struct vhu_driver driver;
	struct vhu_message message;

	(void)state;
	for (unsigned packed = 0; packed < 2; packed++) {
		peer_start(&peer,
			   PLATFORM | VHU_BIT(VHU_F_RING_INDIRECT_DESC) |
				   (packed ? VHU_BIT(VHU_F_RING_PACKED) : 0),
			   0);
		assert_true(vhu_guest_add(&peer.frontend.guest, 0, 0x100000) >= 0);
		vhu_frontend_iotlb_init(&iotlb, &peer.frontend);
		assert_int_equal(vhu_frontend_iotlb_map_guest(&iotlb, OFFSET), 0);
		assert_int_equal(vhu_driver_init(&driver, &peer.frontend, 0, 4), 0);
		assert_int_equal(vhu_driver_add(&driver, buffers, 1, 1, 0), 0);
		driver.indirect = false;
		assert_int_equal(vhu_driver_add(&driver, buffers, 1, 0, 0), 1);
		if (packed) {
			const struct vring_packed_desc *table = vhu_driver_table(&driver, 0);

			assert_int_equal(le64toh(table[1].addr), OFFSET + 0x200);
			assert_int_equal(le64toh(driver.packed.desc[0].addr),
					 OFFSET + driver.tables_gpa);
			assert_int_equal(le64toh(driver.packed.desc[1].addr), OFFSET + 0x100);
		} else {
			const struct vring_desc *table = vhu_driver_table(&driver, 0);

			assert_int_equal(le64toh(table[1].addr), OFFSET + 0x200);
			assert_int_equal(le64toh(driver.split.vring.desc[0].addr),
					 OFFSET + driver.tables_gpa);
			assert_int_equal(le64toh(driver.split.vring.desc[1].addr), OFFSET + 0x100);
		}
		assert_int_equal(vhu_driver_log(&driver, true, driver.used_gpa), 0);
		message = peer_asked(&peer, VHU_SET_VRING_ADDR);
		assert_int_equal(message.payload.vring_addr.desc_uaddr, OFFSET + driver.desc_gpa);
		assert_int_equal(message.payload.vring_addr.avail_uaddr, OFFSET + driver.avail_gpa);
		assert_int_equal(message.payload.vring_addr.used_uaddr, OFFSET + driver.used_gpa);
		assert_int_equal(message.payload.vring_addr.log_gpa, driver.used_gpa);
		vhu_driver_finish(&driver);
		vhu_frontend_iotlb_finish(&iotlb);
		peer_finish(&peer);
	}
}

static void test_in_band(void **state)
{
	const struct vhu_guest_buffer buffer = { .gpa = 0x100, .len = 4 };
	const struct vhu_vring_state ring = { 1, 0 };
	struct vhu_driver_used used;
	struct scripted_peer peer;
	struct vhu_driver driver;
	int channel;

	(void)state;
	peer_start(&peer, VHU_BIT(VHU_F_RING_EVENT_IDX), 0);
	channel = open_channel(&peer);
	peer.frontend.acked_protocol_features = VHU_BIT(VHU_PROTOCOL_F_INBAND_NOTIFICATIONS);
	assert_true(vhu_guest_add(&peer.frontend.guest, 0, 0x10000) >= 0);
	assert_int_equal(vhu_driver_init(&driver, &peer.frontend, 1, 4), 0);
	assert_int_equal(vhu_driver_set_up(&driver), 0);
	peer_asked(&peer, VHU_SET_VRING_NUM);
	peer_asked(&peer, VHU_SET_VRING_BASE);
	peer_asked(&peer, VHU_SET_VRING_ADDR);
	peer_expect(&peer, VHU_VRING_KICK, &ring, sizeof(ring));

	assert_int_equal(vhu_driver_add(&driver, &buffer, 1, 0, 9), 0);
	assert_int_equal(vhu_driver_kick(&driver), 1);
	peer_expect(&peer, VHU_VRING_KICK, &ring, sizeof(ring));
	ask(channel, VHU_BACKEND_VRING_CALL, &ring, sizeof(ring));
	ask(channel, VHU_BACKEND_VRING_ERR, &ring, sizeof(ring));
	/* The call is none of an entry, and the error is told. */
	assert_int_equal(vhu_driver_wait(&driver, &used), -EIO);
	assert_int_equal(vhu_driver_count_calls(&driver), 1);
	assert_int_equal(answer(channel), 0);
	assert_int_equal(answer(channel), 0);

	driver.split.vring.used->idx = htole16(1);
	assert_int_equal(vhu_driver_wait(&driver, &used), 0);
	assert_int_equal(used.token, 9);
	vhu_driver_finish(&driver);
	close(channel);
	peer_finish(&peer);
}

/* A ring that is polled has no kick fd, and nobody to kick. */
static void test_no_kick_fd(void **state)
{
	const struct vhu_guest_buffer buffer = { .gpa = 0x100, .len = 4 };
	struct scripted_peer peer;
	struct vhu_driver driver;
	const uint64_t no_fd = 2 | VHU_VRING_NO_FD;

	(void)state;
	peer_start(&peer, 0, 0);
	assert_true(vhu_guest_add(&peer.frontend.guest, 0, 0x10000) >= 0);
	assert_int_equal(vhu_driver_init(&driver, &peer.frontend, 2, 4), 0);
	close_fd(&driver.kick_fd);
	assert_int_equal(vhu_driver_set_up(&driver), 0);
	for (int i = 0; i < 5; i++) {
		struct vhu_receiver receiver;

		vhu_receiver_init(&receiver);
		assert_int_equal(vhu_receiver_read(&receiver, peer.fd), 1);
		vhu_receiver_finish(&receiver);
	}
	peer_expect(&peer, VHU_SET_VRING_KICK, &no_fd, sizeof(no_fd));
	assert_int_equal(vhu_driver_add(&driver, &buffer, 1, 0, 0), 0);
	assert_int_equal(vhu_driver_kick(&driver), 0);
	assert_int_equal(driver.n_kicks, 0);
	vhu_driver_finish(&driver);
	peer_finish(&peer);
}

/* Answers SET_DEVICE_STATE_FD; the state itself comes from or goes to what is given. */
static void will_transfer(struct scripted_peer *peer, uint64_t value, int fd)
{
	peer_will_reply(peer, VHU_SET_DEVICE_STATE_FD, &value, sizeof(value), fd);
}

static void test_state(void **state)
{
	const struct vhu_transfer_state save = { 0, 0 }, load = { 1, 0 };
	struct scripted_peer peer;
	struct vhu_message message;
	char buf[8];
	size_t len;
	int fds[2], fd;

	(void)state;
	peer_start(&peer, 0, ACKS);
	/* Ours: written by the back-end while we read, or by us while it reads. */
	will_transfer(&peer, 256, -1);
	assert_int_equal(vhu_frontend_open_state(&peer.frontend, VHU_FRONTEND_SAVE, &fd), 0);
	message = peer_asked(&peer, VHU_SET_DEVICE_STATE_FD);
	assert_memory_equal(&message.payload, &save, sizeof(save));
	assert_int_equal(write(message.fds[0], "ab", 2), 2);
	vhu_message_finish(&message);
	assert_int_equal(read(fd, buf, sizeof(buf)), 2);
	assert_int_equal(read(fd, buf, sizeof(buf)), 0);
	close(fd);
	will_transfer(&peer, 256, -1);
	peer_will_ack(&peer, VHU_CHECK_DEVICE_STATE, 0);
	assert_int_equal(vhu_frontend_load_state(&peer.frontend, "state", 5), 0);
	message = peer_asked(&peer, VHU_SET_DEVICE_STATE_FD);
	assert_memory_equal(&message.payload, &load, sizeof(load));
	assert_int_equal(read(message.fds[0], buf, sizeof(buf)), 5);
	assert_int_equal(read(message.fds[0], buf, sizeof(buf)), 0);
	vhu_message_finish(&message);
	peer_expect(&peer, VHU_CHECK_DEVICE_STATE, NULL, 0);

	/* Its own, with as much as there is room for, and with one byte more. */
	for (int i = 0; i < 2; i++) {
		assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
		assert_int_equal(write(fds[1], "12345678+", 8 + (size_t)i), 8 + i);
		close(fds[1]);
		will_transfer(&peer, 0, fds[0]);
		close(fds[0]);
		peer_will_ack(&peer, VHU_CHECK_DEVICE_STATE, 0);
		assert_int_equal(vhu_frontend_save_state(&peer.frontend, buf, sizeof(buf), &len),
				 i ? -EMSGSIZE : 0);
		assert_int_equal(len, 8);
		assert_memory_equal(buf, "12345678", 8);
	}
	peer_finish(&peer);
}

static void test_state_refused(void **state)
{
	static const struct {
		uint64_t value;
		bool with_fd;
		int result;
	} cases[] = {
		{ 257, false, -EREMOTEIO }, /* no, and no fd */
		{ 1, true, -EPROTO },	    /* no, and an fd: must not be */
		{ 0, false, -EPROTO },	    /* an fd that is not there */
		{ 256, true, -EPROTO },	    /* one that should not be */
	};
	struct scripted_peer peer;
	int event = eventfd(0, EFD_CLOEXEC), fd = -1;

	(void)state;
	peer_start(&peer, 0, ACKS);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		will_transfer(&peer, cases[i].value, cases[i].with_fd ? event : -1);
		assert_int_equal(vhu_frontend_open_state(&peer.frontend, 0, &fd), cases[i].result);
		assert_int_equal(fd, -1);
	}
	/* The transfer went well, what was made of it did not. */
	will_transfer(&peer, 256, -1);
	peer_will_ack(&peer, VHU_CHECK_DEVICE_STATE, 5);
	assert_int_equal(vhu_frontend_load_state(&peer.frontend, "x", 1), -EREMOTEIO);
	close(event);
	peer_finish(&peer);
}

static void test_shared_objects(void **state)
{
	static const uint8_t uuid[16] = "0123456789abcde";
	struct vhu_shmem_config config = { .n_regions = 2, .size = { 4096, 0, 8192 } }, got;
	struct scripted_peer peer;
	int event = eventfd(0, EFD_CLOEXEC), fd = -1;

	(void)state;
	peer_start(&peer, 0, ACKS);
	peer_will_reply(&peer, VHU_GET_SHARED_OBJECT, NULL, 0, event);
	assert_int_equal(vhu_frontend_get_shared_object(&peer.frontend, uuid, &fd), 0);
	assert_true(fd >= 0);
	close(fd);
	peer_expect(&peer, VHU_GET_SHARED_OBJECT, uuid, sizeof(uuid));
	peer_will_reply(&peer, VHU_GET_SHARED_OBJECT, uuid, sizeof(uuid), -1);
	assert_int_equal(vhu_frontend_get_shared_object(&peer.frontend, uuid, &fd), 0);
	assert_int_equal(fd, -1);
	peer_asked(&peer, VHU_GET_SHARED_OBJECT);

	peer_will_reply(&peer, VHU_GET_SHMEM_CONFIG, &config, sizeof(config), -1);
	assert_int_equal(vhu_frontend_get_shmem_config(&peer.frontend, &got), 0);
	assert_memory_equal(&got, &config, sizeof(got));
	close(event);
	peer_finish(&peer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_misses),		 cmocka_unit_test(test_unmap),
		cmocka_unit_test(test_driver_addresses), cmocka_unit_test(test_in_band),
		cmocka_unit_test(test_no_kick_fd),	 cmocka_unit_test(test_state),
		cmocka_unit_test(test_state_refused),	 cmocka_unit_test(test_shared_objects),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
