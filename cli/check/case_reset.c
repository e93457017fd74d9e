/* SPDX-License-Identifier: BSD-3-Clause */
/* Device status, reset, and front-ends that go and come. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/check/check.h"

#define STATUS VHU_BIT(VHU_PROTOCOL_F_STATUS)
#define RESET VHU_BIT(VHU_PROTOCOL_F_RESET_DEVICE)
#define REQUEST CHECK_NEEDS_REQUEST

static uint64_t get_status(struct check *check)
{
	uint64_t status = 0;

	expect_call(check, vhu_frontend_ask_u64(&check->frontend, VHU_GET_STATUS, &status),
		    "GET_STATUS");
	return status;
}

static void set_status(struct check *check, uint64_t status)
{
	expect_call(check, vhu_frontend_tell_u64(&check->frontend, VHU_SET_STATUS, status),
		    "SET_STATUS");
}

static void status_is_kept(struct check *check)
{
	static const uint64_t steps[] = {
		VHU_STATUS_ACKNOWLEDGE,
		VHU_STATUS_ACKNOWLEDGE | VHU_STATUS_DRIVER,
	};

	check_connect(check);
	check_negotiate(check, CHECK_FEATURES, CHECK_PROTOCOL);
	set_status(check, 0);
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		uint64_t status;

		set_status(check, steps[i]);
		status = get_status(check);
		expect(check, (status & steps[i]) == steps[i], "the bits that were set",
		       "0x%llx after SET_STATUS 0x%llx", (unsigned long long)status,
		       (unsigned long long)steps[i]);
	}
}

static void status_0_is_read_as_0(struct check *check)
{
	uint64_t status;

	check_connect(check);
	check_negotiate(check, CHECK_FEATURES, CHECK_PROTOCOL);
	set_status(check, VHU_STATUS_ACKNOWLEDGE | VHU_STATUS_DRIVER);
	set_status(check, 0);
	status = get_status(check);
	expect(check, status == 0, "0", "0x%llx", (unsigned long long)status);
}

static void a_reset_keeps_the_session(struct check *check)
{
	check_ring(check, CHECK_FEATURES, CHECK_PROTOCOL);
	for (unsigned i = 0; i < 3; i++) {
		expect_served(check, &check->ring);
		if (vhu_driver_stop(&check->ring) < 0)
			check_untried(check, "the ring cannot be stopped");
		expect_call(check, vhu_frontend_tell(&check->frontend, VHU_RESET_DEVICE),
			    "RESET_DEVICE");
		vhu_driver_reset(&check->ring);
		expect_call(check,
			    vhu_frontend_set_features(&check->frontend,
						      check->frontend.acked_features),
			    "SET_FEATURES after RESET_DEVICE");
		expect_call(check, vhu_driver_start(&check->ring), "starting the ring anew");
		check_set_running(check);
		check_kick(&check->ring);
	}
	expect_served(check, &check->ring);
}

static void a_reset_clears_the_status(struct check *check)
{
	uint64_t status;

	check_connect(check);
	check_negotiate(check, CHECK_FEATURES, CHECK_PROTOCOL);
	set_status(check, VHU_STATUS_ACKNOWLEDGE | VHU_STATUS_DRIVER);
	expect_call(check, vhu_frontend_tell(&check->frontend, VHU_RESET_DEVICE), "RESET_DEVICE");
	status = get_status(check);
	expect(check, status == 0, "status 0", "0x%llx", (unsigned long long)status);
}

static void a_reset_at_work(struct check *check)
{
	for (unsigned i = 0; i < 5; i++) {
		check_ring(check, CHECK_FEATURES, CHECK_PROTOCOL);
		check_fill_ring(check, &check->ring);
		check_send_odd(check, VHU_RESET_DEVICE, VHU_VERSION, NULL, 0, NULL, 0);
		expect_alive(check);
		check_forget(check);
	}
}

static const struct check_case reset_cases[] = {
	{ "RST-01", "GET_STATUS gives what SET_STATUS set", "vhost-user, VHOST_USER_GET_STATUS",
	  "this message is submitted by the front-end to query the back-end for its device "
	  "status as defined in the Virtio specification",
	  CHECK_MUST, .protocol = STATUS, .fn = status_is_kept },
	{ "RST-02", "status 0 is read as 0", "virtio 1.3, 2.4.1",
	  "A device MUST reinitialize device status to 0 after receiving a reset.",
	  CHECK_MUST, .protocol = STATUS, .fn = status_0_is_read_as_0 },
	{ "RST-03", "RESET_DEVICE makes ready for a new start",
	  "vhost-user, VHOST_USER_RESET_DEVICE",
	  "Ask the vhost user back-end to disable all rings and reset all internal device state "
	  "to the initial state, ready to be reinitialized. The back-end retains ownership of "
	  "the device throughout the reset operation.",
	  CHECK_MUST, .protocol = RESET, .needs = REQUEST, .fn = a_reset_keeps_the_session },
	{ "RST-04", "RESET_DEVICE clears the status", "virtio 1.3, 2.4.1",
	  "A device MUST reinitialize device status to 0 after receiving a reset.",
	  CHECK_MUST, .protocol = RESET | STATUS, .fn = a_reset_clears_the_status },
	{ "RST-05", "survives RESET_DEVICE in the middle of its work",
	  "vhost-user, VHOST_USER_RESET_DEVICE",
	  "disable all rings and reset all internal device state",
	  CHECK_ROBUST, .protocol = RESET, .needs = REQUEST, .fn = a_reset_at_work },
};

const struct check_group check_reset = {
	"reset", "device status and reset", CHECK_GROUP(reset_cases)
};

/* Front-ends that go and come. */

static void the_next_front_end_is_served(struct check *check)
{
	for (unsigned i = 0; i < 5; i++) {
		check_ring(check, CHECK_FEATURES, CHECK_PROTOCOL);
		expect_served(check, &check->ring);
		if (i % 2)
			check_fill_ring(check, &check->ring);
		check_forget(check);
	}
}

/* The last front-end negotiated all there is, and had a ring that was disabled. */
static void sessions_begin_anew(struct check *check)
{
	uint32_t base = 0;

	check_ring(check, CHECK_FEATURES, CHECK_PROTOCOL);
	for (unsigned i = 0; i < 5; i++)
		expect_served(check, &check->ring);
	if (check_enable_ring(check, false) < 0)
		check_untried(check, "SET_VRING_ENABLE fails");
	check_connect(check);
	expect_call(check, vhu_frontend_get_vring_base(&check->frontend, 0, &base),
		    "GET_VRING_BASE in a new session");
	expect(check, base == 0, "index 0 in a new session", "0x%x", base);
	check_forget(check);
	check_ring(check, CHECK_FEATURES & ~VHU_BIT(VHU_F_PROTOCOL_FEATURES), 0);
	expect_served(check, &check->ring);
}

static void many_short_connections(struct check *check)
{
	for (unsigned i = 0; i < 50; i++)
		expect_call(check, vhu_frontend_connect(&check->frontend, check->socket),
			    "a connection");
	check_connect(check);
	expect(check, expect_alive(check), "a connection after 50 others is served",
	       "the back-end closed it");
}

/* Replies that nobody reads fill the socket; few requests wait, for the sake of slow back-ends. */
static void replies_that_nobody_reads(struct check *check)
{
	struct vhu_header headers[8];
	const int smallest = 1;
	uint64_t deadline_ns = vhu_now_ns() + 300 * NS_PER_MS;

	for (size_t i = 0; i < ARRAY_SIZE(headers); i++)
		headers[i] = (struct vhu_header){ VHU_GET_FEATURES, VHU_VERSION, 0 };
	check_connect(check);
	check->frontend.timeout_ms = 50;
	if (setsockopt(check->frontend.fd, SOL_SOCKET, SO_SNDBUF, &smallest, sizeof(smallest)) < 0)
		check_untried(check, "the socket cannot be made small");
	while (vhu_now_ns() < deadline_ns &&
	       vhu_frontend_send_bytes(&check->frontend, headers, sizeof(headers), NULL, 0) == 0)
		;
}

/* A file descriptor of the session whose other end is ours. */
static void the_channel_goes_with_the_session(struct check *check)
{
	struct pollfd pollfd = { .events = POLLIN };

	check_connect(check);
	check_negotiate(check, CHECK_FEATURES, CHECK_PROTOCOL);
	pollfd.fd = dup(check->frontend.channel_fd);
	vhu_frontend_disconnect(&check->frontend);
	expect(check, poll(&pollfd, 1, check->timeout_ms) == 1,
	       "the back-end's channel is closed with the session",
	       "it is still open %g s after its end", check->timeout_ms / 1000.0);
}

static const struct check_case reconnect_cases[] = {
	{ "REC-01", "a front-end is served after another has gone",
	  "vhost-user, VHOST_USER_SET_OWNER",
	  "Issued when a new connection is established. It marks the sender as the front-end "
	  "that owns of the session.",
	  CHECK_SHOULD, .needs = REQUEST | CHECK_NEEDS_RECONNECT,
	  .fn = the_next_front_end_is_served },
	{ "REC-02", "a session begins anew", "vhost-user, VHOST_USER_SET_OWNER",
	  "This can be used on the back-end as a \"session start\" flag.",
	  CHECK_SHOULD, .needs = REQUEST | CHECK_NEEDS_RECONNECT, .fn = sessions_begin_anew },
	{ "REC-03", "survives many short connections", "vhost-user, Communication",
	  "If front-end is unable to send the full message or receives a wrong reply it will "
	  "close the connection. An optional reconnection mechanism can be implemented.",
	  CHECK_ROBUST, .needs = CHECK_NEEDS_RECONNECT, .fn = many_short_connections },
	{ "REC-04", "survives a front-end that reads no replies", "vhost-user, Communication",
	  "If front-end is unable to send the full message or receives a wrong reply it will "
	  "close the connection.",
	  CHECK_ROBUST, .fn = replies_that_nobody_reads },
	{ "REC-05", "the back-end's channel goes with the session",
	  "vhost-user, Back-end communication",
	  "The fd is provided via VHOST_USER_SET_BACKEND_REQ_FD ancillary data. (Kept ones add up "
	  "until there are no more to be had.)",
	  CHECK_ROBUST, .protocol = VHU_BIT(VHU_PROTOCOL_F_BACKEND_REQ),
	  .fn = the_channel_goes_with_the_session },
};

const struct check_group check_reconnect = {
	"reconnect", "front-ends that go and come", CHECK_GROUP(reconnect_cases)
};
