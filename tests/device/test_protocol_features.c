/* SPDX-License-Identifier: BSD-3-Clause */
/* What is offered and taken, acks, and requests that are not for us (protocol.md). */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/num.h"
#include "tests/device/harness.h"

#define NEED_REPLY (VHU_VERSION | VHU_FLAG_NEED_REPLY)
#define ONLY_ACKS VHU_BIT(VHU_PROTOCOL_F_REPLY_ACK)

static void features_are_those_of_the_rings(void **state)
{
	static const unsigned wanted[] = { VHU_F_RING_INDIRECT_DESC, VHU_F_RING_EVENT_IDX,
					   VHU_F_PROTOCOL_FEATURES, VHU_F_VERSION_1,
					   VHU_F_RING_PACKED, VHU_F_IN_ORDER };
	struct scene *scene = *state;
	uint64_t features, again;

	scene_connect(scene);
	assert_int_equal(
		vhu_frontend_ask_u64(&scene->frontend, VHU_GET_FEATURES, &features), 0);
	assert_int_equal(vhu_frontend_ask_u64(&scene->frontend, VHU_GET_FEATURES, &again), 0);
	assert_true(features == again);
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
		assert_true(features & VHU_BIT(wanted[i]));
	assert_false(features & VHU_BIT(VHU_F_RING_RESET));
}

static void protocol_features_are_those_we_have(void **state)
{
	static const unsigned never[] = {
		VHU_PROTOCOL_F_RARP, VHU_PROTOCOL_F_MTU, VHU_PROTOCOL_F_CROSS_ENDIAN,
		VHU_PROTOCOL_F_CRYPTO_SESSION, VHU_PROTOCOL_F_HOST_NOTIFIER,
		VHU_PROTOCOL_F_INBAND_NOTIFICATIONS, VHU_PROTOCOL_F_XEN_MMAP,
	};
	struct scene *scene = *state;
	uint64_t offered;

	scene_connect(scene);
	assert_int_equal(vhu_frontend_ask_u64(&scene->frontend, VHU_GET_PROTOCOL_FEATURES,
					      &offered), 0);
	for (size_t i = 0; i < ARRAY_SIZE(never); i++)
		assert_false(offered & VHU_BIT(never[i]));
	assert_int_equal(!!(offered & VHU_BIT(VHU_PROTOCOL_F_CONFIG)), scene->target->has_config);
	assert_true((offered | VHU_BIT(VHU_PROTOCOL_F_CONFIG)) >=
		    VHU_FRONTEND_PROTOCOL_FEATURES);
}

static void limits_are_told(void **state)
{
	struct scene *scene = *state;

	scene_negotiate(scene);
	assert_int_equal(scene->frontend.n_queues, scene->target->n_queues);
	assert_int_equal(scene->frontend.n_memory_slots, 509);
}

static void unoffered_features_are_refused(void **state)
{
	static const unsigned bits[] = { 22, VHU_F_RING_RESET, 41, 63 };
	struct scene *scene = *state;
	struct vhu_frontend *frontend = &scene->frontend;

	scene_negotiate(scene);
	for (size_t i = 0; i < ARRAY_SIZE(bits); i++) {
		uint64_t features = frontend->acked_features | VHU_BIT(bits[i]);

		assert_false(frontend->offered_features & VHU_BIT(bits[i]));
		expect_refused(frontend, vhu_frontend_set_features(frontend, features));
	}
}

static void unoffered_protocol_features_are_refused(void **state)
{
	static const unsigned bits[] = { VHU_PROTOCOL_F_XEN_MMAP,
					 VHU_PROTOCOL_F_INBAND_NOTIFICATIONS, 40, 63 };
	struct scene *scene = *state;
	struct vhu_frontend *frontend = &scene->frontend;

	scene_negotiate(scene);
	for (size_t i = 0; i < ARRAY_SIZE(bits); i++) {
		uint64_t features = frontend->acked_protocol_features | VHU_BIT(bits[i]);

		expect_refused(frontend, vhu_frontend_set_protocol_features(frontend, features));
	}
}

/* Without an ack nobody could tell the front-end that the two ends disagree. */
static void unoffered_features_end_a_session_without_acks(void **state)
{
	struct scene *scene = *state;
	struct vhu_frontend *frontend = &scene->frontend;

	scene_connect(scene);
	assert_int_equal(vhu_frontend_set_features(frontend, VHU_BIT(63)), -ECONNRESET);
	scene_connect(scene);
	assert_int_equal(vhu_frontend_set_protocol_features(frontend, VHU_BIT(63)), -ECONNRESET);
}

/* Every request of ours that asks for an ack gets exactly one. */
static void each_request_is_acked_once(void **state)
{
	struct scene *scene = *state;
	struct vhu_frontend *frontend = &scene->frontend;
	const struct vhu_wire_region *region = &frontend->guest.regions[0].wire;
	struct vhu_vring_addr addr = { .index = 0 };
	cleanup_fd int fd = make_eventfd(0, 0);

	scene_negotiate(scene);
	addr.desc_uaddr = addr.avail_uaddr = addr.used_uaddr = region->uaddr;
#define ACKED(call) \
	do { \
		assert_int_equal(call, 0); \
		assert_int_equal(vhu_frontend_sync(frontend), 0); \
	} while (0)
	ACKED(vhu_frontend_tell(frontend, VHU_SET_OWNER));
	ACKED(vhu_frontend_tell(frontend, VHU_SET_OWNER));
	ACKED(vhu_frontend_set_features(frontend, frontend->acked_features));
	ACKED(vhu_frontend_set_protocol_features(frontend, frontend->acked_protocol_features));
	ACKED(vhu_frontend_open_channel(frontend));
	ACKED(vhu_frontend_open_channel(frontend));
	ACKED(vhu_frontend_rem_mem_reg(frontend, region));
	ACKED(vhu_frontend_add_mem_reg(frontend, region, frontend->guest.regions[0].fd));
	ACKED(vhu_frontend_set_mem_table(frontend, region, &frontend->guest.regions[0].fd, 1));
	ACKED(vhu_frontend_set_vring(frontend, VHU_SET_VRING_NUM, 0, 16));
	ACKED(vhu_frontend_set_vring(frontend, VHU_SET_VRING_BASE, 0, 3));
	ACKED(vhu_frontend_set_vring_addr(frontend, &addr));
	ACKED(vhu_frontend_set_vring_fd(frontend, VHU_SET_VRING_CALL, 0, fd));
	ACKED(vhu_frontend_set_vring_fd(frontend, VHU_SET_VRING_ERR, 0, fd));
	ACKED(vhu_frontend_set_vring(frontend, VHU_SET_VRING_ENABLE, 0, 0));
	ACKED(vhu_frontend_tell_u64(frontend, VHU_SET_STATUS, VHU_STATUS_DRIVER));
	ACKED(vhu_frontend_tell(frontend, VHU_RESET_DEVICE));
	ACKED(vhu_frontend_tell(frontend, VHU_RESET_OWNER));
#undef ACKED
}

static void no_ack_comes_unasked(void **state)
{
	struct scene *scene = *state;
	struct vhu_frontend *frontend = &scene->frontend;

	scene_negotiate(scene);
	frontend->no_acks = true;
	for (int i = 0; i < 10; i++)
		assert_int_equal(vhu_frontend_tell(frontend, VHU_SET_OWNER), 0);
	frontend->no_acks = false;
	/* A stray ack would be taken for the answer to this. */
	assert_int_equal(vhu_frontend_sync(frontend), 0);
}

static void no_ack_comes_unnegotiated(void **state)
{
	struct scene *scene = *state;
	struct vhu_frontend *frontend = &scene->frontend;

	scene_negotiate_bits(scene, VHU_FRONTEND_FEATURES,
			     VHU_FRONTEND_PROTOCOL_FEATURES & ~ONLY_ACKS);
	send_raw(frontend, VHU_SET_OWNER, NEED_REPLY, NULL, 0, NULL, 0);
	assert_int_equal(vhu_frontend_sync(frontend), 0);
}

static void need_reply_adds_nothing_to_a_reply(void **state)
{
	struct scene *scene = *state;
	struct vhu_frontend *frontend = &scene->frontend;
	struct vhu_message reply;

	scene_negotiate(scene);
	for (unsigned i = 0; i < 3; i++) {
		send_raw(frontend, VHU_GET_QUEUE_NUM, NEED_REPLY, NULL, 0, NULL, 0);
		assert_int_equal(vhu_frontend_receive(frontend, &reply), 0);
		assert_int_equal(reply.header.request, VHU_GET_QUEUE_NUM);
		assert_int_equal(reply.header.size, sizeof(uint64_t));
		assert_int_equal(reply.payload.u64, scene->target->n_queues);
	}
	assert_int_equal(vhu_frontend_sync(frontend), 0);
}

static void unknown_requests_are_refused_or_ignored(void **state)
{
	static const uint32_t requests[] = { 0, 45, 100, 1000, 0x80000001, 0xffffffff };
	struct scene *scene = *state;
	struct vhu_frontend *frontend = &scene->frontend;
	cleanup_fd int fd = make_eventfd(0, 0);
	int fds[] = { fd, fd, fd };
	uint64_t payload[8] = { 1, 2, 3 };
	unsigned n_fds;

	scene_negotiate(scene);
	n_fds = scene_fds(scene);
	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		expect_refused(frontend, vhu_frontend_call(frontend, requests[i], payload,
							   sizeof(payload), fds, 3, NULL));
		send_raw(frontend, requests[i], VHU_VERSION, payload, sizeof(payload), fds, 3);
		assert_int_equal(vhu_frontend_sync(frontend), 0);
	}
	assert_int_equal(scene_fds(scene), n_fds);
}

/* Parts of the protocol that are decoded and refused; the second table's always have a reply. */
static void foreign_requests_are_refused(void **state)
{
	static const struct { uint32_t request, size; } acked[] = {
		{ VHU_SEND_RARP, 8 }, { VHU_NET_SET_MTU, 8 }, { VHU_SET_VRING_ENDIAN, 8 },
		{ VHU_CLOSE_CRYPTO_SESSION, 8 }, { VHU_POSTCOPY_LISTEN, 0 }, { VHU_VRING_KICK, 8 },
	}, replied[] = {
		{ VHU_IOTLB_MSG, 32 }, { VHU_CREATE_CRYPTO_SESSION, 64 },
		{ VHU_GET_SHARED_OBJECT, 16 }, { VHU_GET_SHMEM_CONFIG, 0 },
		{ VHU_POSTCOPY_ADVISE, 0 }, { VHU_POSTCOPY_END, 0 },
		{ VHU_GET_INFLIGHT_FD, 20 }, { VHU_CHECK_DEVICE_STATE, 0 },
	}, with_fd[] = {
		{ VHU_GPU_SET_SOCKET, 0 }, { VHU_SET_LOG_BASE, 16 }, { VHU_SET_INFLIGHT_FD, 20 },
	};
	static const uint32_t payload[16] = { 0, 1 };
	struct scene *scene = *state;
	struct vhu_frontend *frontend = &scene->frontend;
	cleanup_fd int fd = make_eventfd(0, 0);
	struct vhu_message reply;

	scene_negotiate(scene);
	for (size_t i = 0; i < ARRAY_SIZE(acked); i++)
		expect_refused(frontend, vhu_frontend_call(frontend, acked[i].request, payload,
							   acked[i].size, NULL, 0, NULL));
	for (size_t i = 0; i < ARRAY_SIZE(with_fd); i++)
		expect_refused(frontend, vhu_frontend_call(frontend, with_fd[i].request, payload,
							   with_fd[i].size, &fd, 1, NULL));
	for (size_t i = 0; i < ARRAY_SIZE(replied); i++) {
		scene_negotiate(scene);
		send_raw(frontend, replied[i].request, VHU_VERSION, payload, replied[i].size, NULL,
			 0);
		if (vhu_frontend_receive(frontend, &reply) < 0)
			scene_expect_closed(scene);
		else
			assert_true(!reply.header.size || reply.payload.u64);
	}
}

/* Each of these depends on a bit that this front-end did not take. */
static void ungated_requests_are_refused(void **state)
{
	static const struct { uint32_t request, size; int fds; } gated[] = {
		{ VHU_SET_CONFIG, 12, 0 }, { VHU_SET_BACKEND_REQ_FD, 0, 1 },
		{ VHU_RESET_DEVICE, 0, 0 }, { VHU_ADD_MEM_REG, 40, 1 }, { VHU_REM_MEM_REG, 40, 0 },
		{ VHU_SET_STATUS, 8, 0 }, { VHU_SET_INFLIGHT_FD, 20, 1 },
	};
	static const uint32_t replied[] = { VHU_GET_MAX_MEM_SLOTS, VHU_GET_STATUS };
	static const uint32_t payload[16];
	struct scene *scene = *state;
	struct vhu_frontend *frontend = &scene->frontend;
	cleanup_fd int fd = make_memfd(4096);

	scene_negotiate_bits(scene, VHU_FRONTEND_FEATURES, ONLY_ACKS);
	for (size_t i = 0; i < ARRAY_SIZE(gated); i++)
		expect_refused(frontend,
			       vhu_frontend_call(frontend, gated[i].request, payload,
						 gated[i].size, &fd, (unsigned)gated[i].fds, NULL));
	for (size_t i = 0; i < ARRAY_SIZE(replied); i++) {
		scene_negotiate_bits(scene, VHU_FRONTEND_FEATURES, ONLY_ACKS);
		send_raw(frontend, replied[i], VHU_VERSION, NULL, 0, NULL, 0);
		scene_expect_closed(scene);
	}
}

/* SET_VRING_ENABLE does not exist for this front-end: rings are enabled from the start. */
static void old_protocol_is_served(void **state)
{
	struct scene *scene = *state;

	scene_ring_bits(scene, VHU_FRONTEND_FEATURES & ~VHU_BIT(VHU_F_PROTOCOL_FEATURES), 0);
	scene_io(scene, &scene->driver);
	assert_int_equal(vhu_driver_stop(&scene->driver), 0);
	assert_int_equal(scene->driver.base, vhu_driver_idle_base(&scene->driver));
}

/* SET_MEM_TABLE, no acks, no channel; but rings must be enabled. */
static void no_protocol_feature_is_needed(void **state)
{
	struct scene *scene = *state;

	scene_ring_bits(scene, VHU_FRONTEND_FEATURES, 0);
	scene_io(scene, &scene->driver);
	assert_int_equal(vhu_driver_stop(&scene->driver), 0);
	assert_int_equal(scene->driver.base, vhu_driver_idle_base(&scene->driver));
}

/* A ring that waits for SET_VRING_ENABLE need not do so any more. */
static void features_without_protocol_features_enable_rings(void **state)
{
	struct scene *scene = *state;
	struct vhu_frontend *frontend = &scene->frontend;

	scene_ring(scene);
	assert_int_equal(vhu_frontend_set_vring(frontend, VHU_SET_VRING_ENABLE, 0, 0), 0);
	assert_true(scene_add(scene, &scene->driver, 0) >= 0);
	vhu_driver_publish(&scene->driver);
	scene_expect_silence(&scene->driver);
	assert_int_equal(vhu_frontend_set_features(frontend,
						   frontend->acked_features &
							   ~VHU_BIT(VHU_F_PROTOCOL_FEATURES)), 0);
	scene_collect(scene, &scene->driver, 1);
}

static void features_come_again_with_rings_live(void **state)
{
	struct scene *scene = *state;
	struct vhu_frontend *frontend = &scene->frontend;
	uint64_t with, without;

	scene_ring(scene);
	with = frontend->acked_features;
	without = with & ~VHU_BIT(VHU_F_RING_EVENT_IDX);
	for (int i = 0; i < 20; i++) {
		bool event_idx = i % 2;

		assert_int_equal(vhu_frontend_set_features(frontend, event_idx ? with : without),
				 0);
		scene->driver.event_idx = event_idx;
		vhu_driver_want_call(&scene->driver);
		assert_true(scene_add(scene, &scene->driver, 0) >= 0);
		vhu_driver_publish(&scene->driver);
		/* The driver and the device have switched at different times: kick in any case. */
		assert_int_equal(write(scene->driver.kick_fd, &(uint64_t){ 1 }, 8), 8);
		scene_collect(scene, &scene->driver, 1);
	}
}

static void status_is_kept(void **state)
{
	struct scene *scene = *state;
	struct vhu_frontend *frontend = &scene->frontend;
	uint64_t status;

	scene_negotiate(scene);
	for (uint64_t i = 0; i < 16; i++) {
		assert_int_equal(vhu_frontend_tell_u64(frontend, VHU_SET_STATUS, i), 0);
		assert_int_equal(vhu_frontend_ask_u64(frontend, VHU_GET_STATUS, &status), 0);
		assert_int_equal(status, i);
	}
	expect_refused(frontend, vhu_frontend_tell_u64(frontend, VHU_SET_STATUS, 0x100));
	expect_refused(frontend, vhu_frontend_tell_u64(frontend, VHU_SET_STATUS, UINT64_MAX));
}

/* QEMU sends it at every stop. */
static void status_0_is_no_reset(void **state)
{
	struct scene *scene = *state;

	scene_ring(scene);
	scene_io(scene, &scene->driver);
	assert_int_equal(vhu_frontend_tell_u64(&scene->frontend, VHU_SET_STATUS, 0), 0);
	scene_io(scene, &scene->driver);
	assert_int_equal(vhu_driver_stop(&scene->driver), 0);
	assert_int_equal(scene->driver.base, vhu_driver_idle_base(&scene->driver));
}

static int get_config(struct vhu_frontend *frontend, uint32_t offset, uint32_t size)
{
	uint8_t buf[VHU_CONFIG_MAX];

	return vhu_frontend_get_config(frontend, offset, buf, size);
}

static void config_is_bounded(void **state)
{
	static const struct { uint32_t offset, size; } bad[] = {
		{ 1, 256 }, { 256, 1 }, { 257, 0 }, { 0xffffffff, 1 }, { 0xfffffff0, 0x20 },
	};
	struct scene *scene = *state;
	struct vhu_frontend *frontend = &scene->frontend;
	uint8_t whole[VHU_CONFIG_MAX], part[60], zeros[VHU_CONFIG_MAX] = { 0 };

	scene_negotiate(scene);
	assert_int_equal(vhu_frontend_get_config(frontend, 0, whole, sizeof(whole)), 0);
	for (uint32_t size = 0; size <= sizeof(part); size++) {
		assert_int_equal(vhu_frontend_get_config(frontend, size, part, size), 0);
		assert_memory_equal(part, whole + size, size);
	}
	/* Past the end of the device's own struct there are zeros. */
	assert_memory_equal(whole + 128, zeros, 128);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(get_config(frontend, bad[i].offset, bad[i].size), -EREMOTEIO);
		expect_refused(frontend, vhu_frontend_set_config(frontend, bad[i].offset, 0, zeros,
								 bad[i].size));
	}
}

static void config_writes_are_checked(void **state)
{
	struct scene *scene = *state;
	struct vhu_frontend *frontend = &scene->frontend;
	uint8_t whole[VHU_CONFIG_MAX], after[VHU_CONFIG_MAX];

	scene_negotiate(scene);
	assert_int_equal(vhu_frontend_get_config(frontend, 0, whole, sizeof(whole)), 0);
	/* Unchanged bytes are no error; a changed capacity is. */
	assert_int_equal(vhu_frontend_set_config(frontend, 0, 0, whole, 60), 0);
	whole[0] ^= 1;
	expect_refused(frontend, vhu_frontend_set_config(frontend, 0, 0, whole, 8));
	expect_refused(frontend, vhu_frontend_set_config(frontend, 0, 0, whole, 60));
	whole[0] ^= 1;
	expect_refused(frontend, vhu_frontend_set_config(frontend, 0, 2, whole, 8));
	expect_refused(frontend, vhu_frontend_set_config(frontend, 0, 0xffffffff, whole, 8));
	assert_int_equal(vhu_frontend_get_config(frontend, 0, after, sizeof(after)), 0);
	assert_memory_equal(whole, after, sizeof(whole));
}

static void no_config_space_no_config_requests(void **state)
{
	struct scene *scene = *state;
	struct vhu_frontend *frontend = &scene->frontend;

	scene_negotiate(scene);
	expect_refused(frontend, vhu_frontend_set_config(frontend, 0, 0, "", 1));
	assert_true(get_config(frontend, 0, 8) < 0);
	assert_true(program_lives(&scene->program));
}

int main(int argc, char **argv)
{
	static const struct device_test tests[] = {
		DEVICE_TEST(features_are_those_of_the_rings, ON_BOTH),
		DEVICE_TEST(protocol_features_are_those_we_have, ON_BOTH),
		DEVICE_TEST(limits_are_told, ON_BOTH),
		DEVICE_TEST(unoffered_features_are_refused, ON_BOTH),
		DEVICE_TEST(unoffered_protocol_features_are_refused, ON_BOTH),
		DEVICE_TEST(unoffered_features_end_a_session_without_acks, ON_BOTH),
		DEVICE_TEST(each_request_is_acked_once, ON_BOTH),
		DEVICE_TEST(no_ack_comes_unasked, ON_BOTH),
		DEVICE_TEST(no_ack_comes_unnegotiated, ON_BOTH),
		DEVICE_TEST(need_reply_adds_nothing_to_a_reply, ON_BOTH),
		DEVICE_TEST(unknown_requests_are_refused_or_ignored, ON_BOTH),
		DEVICE_TEST(foreign_requests_are_refused, ON_BOTH),
		DEVICE_TEST(ungated_requests_are_refused, ON_BOTH),
		DEVICE_TEST(old_protocol_is_served, ON_BOTH),
		DEVICE_TEST(no_protocol_feature_is_needed, ON_BOTH),
		DEVICE_TEST(features_without_protocol_features_enable_rings, ON_BOTH),
		DEVICE_TEST(features_come_again_with_rings_live, ON_BOTH),
		DEVICE_TEST(status_is_kept, ON_BOTH),
		DEVICE_TEST(status_0_is_no_reset, ON_BOTH),
		DEVICE_TEST(config_is_bounded, ON_BLK),
		DEVICE_TEST(config_writes_are_checked, ON_BLK),
		DEVICE_TEST(no_config_space_no_config_requests, ON_RNG),
	};

	return run_device_tests(tests, ARRAY_SIZE(tests), argc, argv);
}
