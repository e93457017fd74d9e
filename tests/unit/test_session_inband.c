/* SPDX-License-Identifier: BSD-3-Clause */
/* Kicks, calls and errors as messages (vhost-user, In-band notifications). */

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/backend/channel.h"
#include "common/backend/inband.h"
#include "tests/unit/session_rig.h"

#define INBAND VHU_BIT(VHU_PROTOCOL_F_INBAND_NOTIFICATIONS)
#define BITS (VHU_FRONTEND_PROTOCOL_FEATURES | INBAND)
#define SILENCE_MS 30

static struct rig rig;

static void negotiate(uint64_t bits)
{
	assert_int_equal(vhu_frontend_negotiate(&rig.frontend,
						VHU_FRONTEND_FEATURES &
							~VHU_BIT(VHU_F_RING_EVENT_IDX),
						bits),
			 0);
	assert_int_equal(vhu_frontend_share_memory(&rig.frontend), 0);
}

/* Offered, as by a program that was told to. */
static void start_bits(uint64_t bits)
{
	struct vhu_device_ops ops = rig_ops();

	rig_start(&rig, &ops);
	vhu_inband_offer(&rig.device->device);
	negotiate(bits);
}

static void start_rings(void)
{
	for (unsigned q = 0; q < RIG_QUEUES; q++) {
		assert_int_equal(vhu_driver_init(&rig.driver[q], &rig.frontend, q, 16), 0);
		assert_int_equal(vhu_driver_start(&rig.driver[q]), 0);
	}
}

static void start(void)
{
	start_bits(BITS);
	start_rings();
}

/* A request, and the in-band kick for it, which is answered. */
static void kick_one(unsigned q)
{
	struct vhu_guest_buffer buffer = vhu_guest_alloc(&rig.frontend.guest, 8, 8);

	assert_true(vhu_driver_add(&rig.driver[q], &buffer, 0, 1, 0) >= 0);
	vhu_driver_publish(&rig.driver[q]);
	assert_int_equal(vhu_frontend_set_vring(&rig.frontend, VHU_VRING_KICK, q, 0), 0);
}

static void take_used(unsigned q)
{
	struct vhu_driver_used used;

	assert_int_equal(vhu_driver_get(&rig.driver[q], &used), 1);
}

static void expect_message(uint32_t request, unsigned q, struct vhu_message *ret_message)
{
	assert_int_equal(vhu_frontend_next_request(&rig.frontend, ret_message), 0);
	assert_int_equal(ret_message->header.request, request);
	assert_true(ret_message->header.flags & VHU_FLAG_NEED_REPLY);
	assert_int_equal(ret_message->payload.vring_state.index, q);
	assert_int_equal(ret_message->payload.vring_state.num, 0);
}

static void expect_call(unsigned q)
{
	struct vhu_message message;

	expect_message(VHU_BACKEND_VRING_CALL, q, &message);
	assert_int_equal(vhu_frontend_answer(&rig.frontend, &message, 0, -1), 0);
}

static void expect_silence(void)
{
	struct pollfd p = { .fd = rig.frontend.channel_fd, .events = POLLIN };

	assert_int_equal(poll(&p, 1, SILENCE_MS), 0);
}

static void never_by_itself(void **state)
{
	struct vhu_device_ops ops = rig_ops();

	(void)state;
	rig_start(&rig, &ops);
	rig_bring_up(&rig);
	assert_false(rig.frontend.offered_protocol_features & INBAND);
	assert_int_equal(vhu_frontend_set_vring(&rig.frontend, VHU_VRING_KICK, 0, 0), -EREMOTEIO);
	rig_stop(&rig);
}

/* There is no other way to say that it cannot be. */
static void closed_without_what_it_needs(void **state)
{
	static const unsigned needed[] = { VHU_PROTOCOL_F_REPLY_ACK, VHU_PROTOCOL_F_BACKEND_REQ };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		uint64_t bits = BITS & ~VHU_BIT(needed[i]);
		struct vhu_header header = { VHU_SET_PROTOCOL_FEATURES,
					     VHU_VERSION | VHU_FLAG_NEED_REPLY, sizeof(bits) };

		start_bits(BITS & ~INBAND);
		assert_int_equal(vhu_frontend_send(&rig.frontend, &header, &bits, sizeof(bits),
						   NULL, 0),
				 0);
		assert_int_equal(vhu_frontend_wait_closed(&rig.frontend), 0);
		rig_disconnect(&rig);
		rig_connect(&rig);
		rig_bring_up(&rig);
		rig_echo(&rig, 0);
		rig_stop(&rig);
	}
}

static void all_by_messages(void **state)
{
	(void)state;
	start();
	for (unsigned i = 0; i < 100; i++) {
		rig_echo(&rig, 0);
		rig_echo(&rig, 1);
	}
	for (unsigned i = 0; i < 5000 && !vhu_driver_count_calls(&rig.driver[0]); i++) {
		assert_int_equal(vhu_frontend_serve(&rig.frontend), 0);
		usleep(1000);
	}
	assert_true(vhu_driver_count_calls(&rig.driver[0]) > 0);
	rig_stop(&rig);
}

/* The kick is answered when the request has been served. */
static void a_kick_is_processed_when_answered(void **state)
{
	(void)state;
	start();
	for (unsigned i = 0; i < 20; i++) {
		kick_one(0);
		take_used(0);
	}
	rig_stop(&rig);
}

static void calls_are_told_once_and_never_lost(void **state)
{
	struct vhu_message first;

	(void)state;
	start();
	kick_one(0);
	expect_message(VHU_BACKEND_VRING_CALL, 0, &first);
	for (unsigned i = 0; i < 5; i++)
		kick_one(0);
	expect_silence(); /* the first one is not answered */
	kick_one(1);
	expect_call(1); /* which is nothing to the other ring */
	assert_int_equal(vhu_frontend_answer(&rig.frontend, &first, 0, -1), 0);
	expect_call(0);
	expect_silence();
	kick_one(0);
	expect_call(0);
	expect_silence();
	for (unsigned i = 0; i < 7; i++)
		take_used(0);
	rig_stop(&rig);
}

static void no_message_for_a_stopped_ring(void **state)
{
	struct vhu_message first;

	(void)state;
	start();
	kick_one(0);
	expect_message(VHU_BACKEND_VRING_CALL, 0, &first);
	kick_one(0);
	take_used(0);
	take_used(0);
	assert_int_equal(vhu_driver_stop(&rig.driver[0]), 0);
	assert_int_equal(vhu_frontend_answer(&rig.frontend, &first, 0, -1), 0);
	kick_one(1);
	expect_call(1);
	expect_silence();
	/* What was owed then comes now. */
	assert_int_equal(vhu_driver_set_up(&rig.driver[0]), 0);
	expect_call(0);
	expect_silence();
	assert_int_equal(vhu_frontend_set_vring(&rig.frontend, VHU_SET_VRING_ENABLE, 0, 1), 0);
	kick_one(0);
	expect_call(0);
	take_used(0);
	rig_stop(&rig);
}

static void another_channel(void **state)
{
	struct vhu_message first;

	(void)state;
	start();
	kick_one(0);
	expect_message(VHU_BACKEND_VRING_CALL, 0, &first);
	kick_one(0);
	assert_int_equal(vhu_frontend_open_channel(&rig.frontend), 0);
	expect_call(0);
	expect_silence();
	kick_one(0);
	expect_call(0);
	rig_stop(&rig);
}

/* The front-end reads nothing until the socket and our queue are full. */
static void a_full_channel(void **state)
{
	struct vhu_message message;
	unsigned n = 0, n_told = 0, n_full = 0;

	(void)state;
	start();
	while (n_full < 20) {
		if (vhu_channel_send(rig.device->device.channel, VHU_BACKEND_CONFIG_CHANGE_MSG,
				     NULL, 0) == 0) {
			n++;
			n_full = 0;
		} else {
			n_full++;
			usleep(1000);
		}
	}
	assert_true(n > VHU_CHANNEL_QUEUE);
	kick_one(0);
	kick_one(1);
	kick_one(0);
	take_used(0);
	take_used(1);
	take_used(0);
	while (n_told < 2) {
		assert_int_equal(vhu_frontend_next_request(&rig.frontend, &message), 0);
		n_told += message.header.request == VHU_BACKEND_VRING_CALL;
		assert_int_equal(vhu_frontend_answer(&rig.frontend, &message, 0, -1), 0);
	}
	rig_stop(&rig);
}

static void an_fd_goes_before_messages(void **state)
{
	struct pollfd p = { .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), .events = POLLIN };
	int kick_fd = eventfd(0, EFD_CLOEXEC);

	(void)state;
	start();
	assert_int_equal(vhu_frontend_set_vring_fd(&rig.frontend, VHU_SET_VRING_CALL, 0, p.fd), 0);
	assert_int_equal(vhu_frontend_set_vring_fd(&rig.frontend, VHU_SET_VRING_KICK, 0, kick_fd),
			 0);
	kick_one(0);
	assert_int_equal(poll(&p, 1, 5000), 1);
	expect_silence();
	assert_int_equal(eventfd_write(kick_fd, 1), 0);
	/* No fd on purpose: the front-end looks for itself. */
	assert_int_equal(vhu_frontend_set_vring_fd(&rig.frontend, VHU_SET_VRING_CALL, 0, -1), 0);
	kick_one(0);
	expect_silence();
	take_used(0);
	take_used(0);
	close(p.fd);
	close(kick_fd);
	rig_stop(&rig);
}

/* An fd of a session whose rings never started is nothing to the next one. */
static void another_session_has_messages(void **state)
{
	int call_fd = eventfd(0, EFD_CLOEXEC);

	(void)state;
	start_bits(BITS);
	assert_int_equal(vhu_frontend_set_vring_fd(&rig.frontend, VHU_SET_VRING_CALL, 0, call_fd),
			 0);
	rig_disconnect(&rig);
	rig_connect(&rig);
	negotiate(BITS);
	start_rings();
	kick_one(0);
	expect_call(0);
	close(call_fd);
	rig_stop(&rig);
}

static int failing_event(struct vhu_device *device, unsigned event_id, uint32_t epoll_events,
			 unsigned worker_idx)
{
	struct vhu_vring *vring = vhu_device_vring(device, event_id);
	struct vhu_chain *chain = vring ? vhu_vring_pop(vring) : NULL;

	(void)epoll_events;
	(void)worker_idx;
	if (!chain)
		return 0;
	vhu_vring_push(vring, chain, 0);
	return -EIO;
}

static void a_broken_ring_says_so(void **state)
{
	struct vhu_device_ops ops = rig_ops();
	struct vhu_message message;

	(void)state;
	ops.handle_event = failing_event;
	ops.drain = NULL;
	rig_start(&rig, &ops);
	vhu_inband_offer(&rig.device->device);
	assert_int_equal(vhu_frontend_negotiate(&rig.frontend, VHU_FRONTEND_FEATURES, BITS), 0);
	assert_int_equal(vhu_frontend_share_memory(&rig.frontend), 0);
	assert_int_equal(vhu_driver_init(&rig.driver[1], &rig.frontend, 1, 16), 0);
	assert_int_equal(vhu_driver_start(&rig.driver[1]), 0);
	kick_one(1);
	expect_call(1);
	expect_message(VHU_BACKEND_VRING_ERR, 1, &message);
	assert_int_equal(vhu_frontend_answer(&rig.frontend, &message, 0, -1), 0);
	rig_stop(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(never_by_itself),
		cmocka_unit_test(closed_without_what_it_needs),
		cmocka_unit_test(all_by_messages),
		cmocka_unit_test(a_kick_is_processed_when_answered),
		cmocka_unit_test(calls_are_told_once_and_never_lost),
		cmocka_unit_test(no_message_for_a_stopped_ring),
		cmocka_unit_test(another_channel),
		cmocka_unit_test(a_full_channel),
		cmocka_unit_test(an_fd_goes_before_messages),
		cmocka_unit_test(another_session_has_messages),
		cmocka_unit_test(a_broken_ring_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
