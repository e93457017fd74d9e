/* SPDX-License-Identifier: BSD-3-Clause */
/* Rings start, stop, are enabled and disabled (vhost-user, Ring states). */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/check/check.h"
#include "common/base/fd.h"
#include "common/memory/access.h"

#define STATES "vhost-user, Ring states"
#define SUSPENDED "vhost-user, Suspended device state"
#define BASE "vhost-user, VHOST_USER_GET_VRING_BASE"
#define REQUEST CHECK_NEEDS_REQUEST
/* It is a race: a back-end that does not wait may still be done in time. */
#define STOP_ROUNDS 30

static void a_started_ring_is_served(struct check *check)
{
	check_ring(check, CHECK_FEATURES, CHECK_PROTOCOL);
	for (unsigned i = 0; i < 3 * CHECK_RING_SIZE; i++)
		expect_served(check, &check->ring);
}

/* The steps of it, each of which has to be accepted. */
static void a_ring_is_set_up(struct check *check)
{
	check_connect(check);
	check_negotiate(check, CHECK_FEATURES, CHECK_PROTOCOL);
	check_open_ring(check, &check->ring, 0, CHECK_RING_SIZE);
	expect_call(check, vhu_driver_start(&check->ring),
		    "SET_VRING_CALL, ERR, NUM, BASE, ADDR, KICK, ENABLE");
	expect_call(check, vhu_driver_stop(&check->ring), "SET_VRING_ENABLE, GET_VRING_BASE");
}

static void a_stopped_ring_rests(struct check *check)
{
	check_ring(check, CHECK_FEATURES, CHECK_PROTOCOL);
	expect_served(check, &check->ring);
	check_stop_ring(check, &check->ring);
	check_offer(check, &check->ring);
	expect_silence(check, &check->ring, "a stopped ring is not processed");
	/* Nor is it when it is enabled. */
	expect_call(check, check_enable_ring(check, true), "SET_VRING_ENABLE of a stopped ring");
	expect_silence(check, &check->ring, "a stopped ring is not processed though it is enabled");
}

/* All is said but SET_VRING_KICK. */
static void a_ring_that_never_started_rests(struct check *check)
{
	struct vhu_driver *ring = &check->ring;
	struct vhu_vring_addr addr = { .index = 0 };
	const struct vhu_guest *guest = &check->frontend.guest;

	check_ring(check, CHECK_FEATURES, CHECK_PROTOCOL);
	check_stop_ring(check, ring);
	check_connect(check);
	check_negotiate(check, CHECK_FEATURES, CHECK_PROTOCOL);
	vhu_driver_reset(ring);
	addr.desc_uaddr = vhu_guest_uaddr(guest, ring->desc_gpa);
	addr.avail_uaddr = vhu_guest_uaddr(guest, ring->avail_gpa);
	addr.used_uaddr = vhu_guest_uaddr(guest, ring->used_gpa);
	check_offer(check, ring);
	expect_call(check, vhu_frontend_set_vring(&check->frontend, VHU_SET_VRING_NUM, 0,
						  CHECK_RING_SIZE), "SET_VRING_NUM");
	expect_call(check, vhu_frontend_set_vring(&check->frontend, VHU_SET_VRING_BASE, 0, 0),
		    "SET_VRING_BASE");
	expect_call(check, vhu_frontend_set_vring_addr(&check->frontend, &addr), "SET_VRING_ADDR");
	expect_call(check, check_enable_ring(check, true), "SET_VRING_ENABLE");
	expect_silence(check, ring, "a ring is not processed before its kick");
}

/* SET_VRING_ENABLE first, then all else. */
static void enabled_before_the_start(struct check *check)
{
	struct vhu_driver *ring = &check->ring;
	int r;

	check_ring(check, CHECK_FEATURES, CHECK_PROTOCOL);
	check_stop_ring(check, ring);
	r = check_enable_ring(check, true);
	if (r == 0)
		r = vhu_driver_set_up(ring);
	if (r < 0)
		check_untried(check, "the ring cannot be started");
	check_kick(ring);
	expect_served(check, ring);
}

static void disabled_and_enabled_again(struct check *check)
{
	check_ring(check, CHECK_FEATURES, CHECK_PROTOCOL);
	for (unsigned i = 0; i < 5; i++) {
		expect_served(check, &check->ring);
		expect_call(check, check_enable_ring(check, false), "SET_VRING_ENABLE 0");
		expect_call(check, check_enable_ring(check, true), "SET_VRING_ENABLE 1");
		check_kick(&check->ring);
	}
	expect_served(check, &check->ring);
}

/* There is no SET_VRING_ENABLE for this front-end. */
static void without_protocol_features_rings_are_enabled(struct check *check)
{
	check_ring(check, CHECK_FEATURES & ~VHU_BIT(VHU_F_PROTOCOL_FEATURES), 0);
	expect_served(check, &check->ring);
}

static void expect_base(struct check *check, struct vhu_driver *ring, uint32_t wanted)
{
	uint32_t base = 0;

	expect_call(check, vhu_frontend_get_vring_base(&check->frontend, ring->index, &base),
		    "GET_VRING_BASE");
	expect(check, base == wanted, "the next index of the available ring",
	       "0x%x after %u requests", base, wanted);
}

static void the_base_is_the_next_index(struct check *check)
{
	check_ring(check, CHECK_FEATURES, CHECK_PROTOCOL);
	for (unsigned i = 0; i < CHECK_RING_SIZE + 7; i++)
		expect_served(check, &check->ring);
	expect_base(check, &check->ring, CHECK_RING_SIZE + 7);
}

static void a_ring_that_never_started_has_a_base(struct check *check)
{
	check_connect(check);
	check_negotiate(check, CHECK_FEATURES, CHECK_PROTOCOL);
	expect_base(check, &check->ring, 0);
}

/* Starts queue 0 as one that has come to that index already. */
static void start_at(struct check *check, uint16_t index)
{
	struct vhu_driver *ring = &check->ring;
	struct vhu_driver_split *split = &ring->split;

	check_ring(check, CHECK_FEATURES, CHECK_PROTOCOL);
	check_stop_ring(check, ring);
	vhu_driver_reset(ring);
	ring->base = split->avail_idx = split->published_idx = index;
	split->used_idx = split->seen_idx = index;
	vhu_store_le16(&split->vring.avail->idx, index);
	vhu_store_le16(&split->vring.used->idx, index);
	if (ring->event_idx)
		vhu_store_le16(&vring_avail_event(&split->vring), index);
	check_start_ring(check, ring);
}

static void a_ring_starts_at_its_base(struct check *check)
{
	start_at(check, 0x1234);
	expect_served(check, &check->ring);
	expect_served(check, &check->ring);
	expect_base(check, &check->ring, 0x1236);
}

static void indices_wrap_at_65536(struct check *check)
{
	start_at(check, 0xfff0);
	for (unsigned i = 0; i < 32; i++)
		expect_served(check, &check->ring);
	expect_base(check, &check->ring, 0x0010);
}

static void stop_and_start_go_on(struct check *check)
{
	check_ring(check, CHECK_FEATURES, CHECK_PROTOCOL);
	for (unsigned i = 0; i < 5; i++) {
		expect_served(check, &check->ring);
		expect_call(check, vhu_driver_stop(&check->ring),
			    "SET_VRING_ENABLE 0 and GET_VRING_BASE");
		expect(check, check->ring.base == i + 1, "the next index of the available ring",
		       "%u after %u requests", check->ring.base, i + 1);
		check_start_ring(check, &check->ring);
	}
	expect_served(check, &check->ring);
}

/* A front-end that starts a ring with requests in it. */
static void requests_from_before_the_start(struct check *check)
{
	check_ring(check, CHECK_FEATURES, CHECK_PROTOCOL);
	check_stop_ring(check, &check->ring);
	check_offer(check, &check->ring);
	vhu_fd_drain(check->ring.kick_fd);
	check_start_ring(check, &check->ring);
	expect_used(check, &check->ring, 1);
}

/* Stops a ring in the middle of its work. Returns how many requests it had taken. */
static unsigned stop_at_work(struct check *check)
{
	check_ring(check, CHECK_FEATURES, CHECK_PROTOCOL);
	check_fill_ring(check, &check->ring);
	check_stop_ring(check, &check->ring);
	return check->ring.base;
}

static void stop_completes_what_was_taken(struct check *check)
{
	for (unsigned round = 0; round < STOP_ROUNDS; round++) {
		unsigned taken = stop_at_work(check);
		uint16_t used = vhu_load_acquire_le16(&check->ring.split.vring.used->idx);

		expect(check, used == (uint16_t)taken,
		       "what was taken from the available ring is in the used ring",
		       "%u taken, %u used when GET_VRING_BASE was answered", taken, used);
		check_forget(check);
	}
}

static void a_suspended_device_writes_nothing(struct check *check)
{
	char *before = malloc(CHECK_MEMORY_BYTES);

	if (!before)
		check_untried(check, "no memory");
	for (unsigned round = 0; round < 4; round++) {
		const struct vhu_guest_region *region = &check->frontend.guest.regions[0];

		stop_at_work(check);
		memcpy(before, region->host, CHECK_MEMORY_BYTES);
		check_sleep_ms(CHECK_SILENCE_MS);
		expect(check, !memcmp(before, region->host, CHECK_MEMORY_BYTES),
		       "guest memory as it was when the last GET_VRING_BASE was answered",
		       "it was written to after that");
		check_forget(check);
	}
}

static void a_suspended_device_is_silent(struct check *check)
{
	struct pollfd pollfds[2];
	uint64_t n;

	stop_at_work(check);
	n = vhu_driver_count_calls(&check->ring);
	pollfds[0] = (struct pollfd){ .fd = check->ring.call_fd, .events = POLLIN };
	pollfds[1] = (struct pollfd){ .fd = check->frontend.channel_fd, .events = POLLIN };
	poll(pollfds, check->frontend.channel_fd >= 0 ? 2 : 1, 2 * CHECK_SILENCE_MS);
	expect(check, vhu_driver_count_calls(&check->ring) == n,
	       "no notification to the guest", "the call eventfd was written to");
	expect(check, check->frontend.channel_fd < 0 || !(pollfds[1].revents & POLLIN),
	       "no message to the front-end", "one came on the back-end's channel");
}

static void a_suspended_device_answers(struct check *check)
{
	uint64_t value;

	stop_at_work(check);
	expect_call(check, vhu_frontend_sync(&check->frontend), "GET_FEATURES");
	if (vhu_frontend_acked(&check->frontend, VHU_PROTOCOL_F_MQ))
		expect_call(check, vhu_frontend_ask_u64(&check->frontend, VHU_GET_QUEUE_NUM,
							&value), "GET_QUEUE_NUM");
	expect_base(check, &check->ring, check->ring.base);
}

/* QEMU does it when the guest masks an interrupt. Without the event index each request calls. */
static void the_call_fd_may_change(struct check *check)
{
	struct vhu_driver *ring = &check->ring;
	struct pollfd pollfd = { .events = POLLIN };

	check_ring(check, CHECK_FEATURES & ~VHU_BIT(VHU_F_RING_EVENT_IDX), CHECK_PROTOCOL);
	for (unsigned i = 0; i < 5; i++) {
		expect_served(check, ring);
		close(ring->call_fd);
		pollfd.fd = ring->call_fd = check_eventfd(check);
		expect_call(check, vhu_frontend_set_vring_fd(&check->frontend, VHU_SET_VRING_CALL,
							     0, ring->call_fd),
			    "SET_VRING_CALL on a running ring");
		if (vhu_frontend_sync(&check->frontend) < 0)
			check_untried(check, "GET_FEATURES fails");
		check_offer(check, ring);
		expect(check, poll(&pollfd, 1, check->timeout_ms) == 1,
		       "a notification by the new file descriptor", "none within %g s",
		       check->timeout_ms / 1000.0);
		expect_used(check, ring, 1);
	}
}

static void no_call_fd_is_needed(struct check *check)
{
	check_ring(check, CHECK_FEATURES, CHECK_PROTOCOL);
	expect_call(check,
		    vhu_frontend_set_vring_fd(&check->frontend, VHU_SET_VRING_CALL, 0, -1),
		    "SET_VRING_CALL without a file descriptor");
	check->ring.busy = true;
	for (unsigned i = 0; i < 10; i++)
		expect_served(check, &check->ring);
}

static void no_kick_fd_is_needed(struct check *check)
{
	struct vhu_driver *ring = &check->ring;
	int kick_fd;

	check_ring(check, CHECK_FEATURES, CHECK_PROTOCOL);
	check_stop_ring(check, ring);
	kick_fd = ring->kick_fd;
	ring->kick_fd = -1;
	expect_call(check, vhu_driver_start(ring), "starting a ring without a kick fd");
	ring->kick_fd = kick_fd;
	check_set_running(check);
	for (unsigned i = 0; i < 10; i++)
		expect_served(check, ring);
}

static void sizes_are_as_told(struct check *check)
{
	static const uint16_t sizes[] = { 4, 16, 128, 256 };

	check_ring(check, CHECK_FEATURES, CHECK_PROTOCOL);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct vhu_driver *ring = &check->ring;

		check_stop_ring(check, ring);
		/* It has a maximum, which it cannot tell, and at least the usual size. */
		if (sizes[i] > CHECK_RING_SIZE &&
		    vhu_frontend_set_vring(&check->frontend, VHU_SET_VRING_NUM, 0, sizes[i]) < 0)
			return;
		vhu_driver_finish(ring);
		check_open_ring(check, ring, 0, sizes[i]);
		check_start_ring(check, ring);
		for (unsigned n = 0; n < 2u * sizes[i] + 1; n++)
			expect_served(check, ring);
	}
}

static void other_rings_go_on(struct check *check)
{
	struct vhu_driver other;

	check_ring(check, CHECK_FEATURES, CHECK_PROTOCOL);
	check_open_ring(check, &other, 1, CHECK_RING_SIZE);
	check_start_ring(check, &other);
	expect_served(check, &check->ring);
	expect_served(check, &other);
	check_stop_ring(check, &check->ring);
	expect_served(check, &other);
	check_start_ring(check, &check->ring);
	expect_served(check, &check->ring);
	expect_served(check, &other);
}

static void reset_owner_keeps_the_session(struct check *check)
{
	struct vhu_frontend *frontend = &check->frontend;
	uint64_t acked;

	check_ring(check, CHECK_FEATURES, CHECK_PROTOCOL);
	expect_served(check, &check->ring);
	acked = frontend->acked_protocol_features;
	expect_call(check, vhu_frontend_tell(frontend, VHU_RESET_OWNER), "RESET_OWNER");
	expect_call(check, vhu_frontend_sync(frontend), "GET_FEATURES after it");
	if (acked & VHU_BIT(VHU_PROTOCOL_F_REPLY_ACK))
		expect_call(check, vhu_frontend_tell(frontend, VHU_SET_OWNER),
			    "SET_OWNER, with an ack, after it");
	expect_call(check, check_enable_ring(check, true), "SET_VRING_ENABLE after it");
	check_kick(&check->ring);
	expect_served(check, &check->ring);
}

static const struct check_case cases[] = {
	{ "STA-01", "a ring can be set up, enabled, disabled and stopped", STATES,
	  "The back-end must start a ring upon receiving a kick (that is, detecting that file "
	  "descriptor is readable) on the descriptor specified by VHOST_USER_SET_VRING_KICK ... "
	  "and stop a ring upon receiving VHOST_USER_GET_VRING_BASE.",
	  CHECK_MUST, .fn = a_ring_is_set_up },
	{ "STA-02", "a started and enabled ring is served", STATES,
	  "started and enabled: The back-end must process the ring normally, i.e. process all "
	  "requests and execute them.",
	  CHECK_MUST, .needs = REQUEST, .fn = a_started_ring_is_served },
	{ "STA-03", "a stopped ring rests, enabled or not", STATES,
	  "While a ring is stopped, the back-end must not process the ring at all, regardless of "
	  "whether it is enabled or disabled.",
	  CHECK_MUST, .needs = REQUEST, .fn = a_stopped_ring_rests },
	{ "STA-04", "a ring that has no kick yet rests", STATES,
	  "Each ring is initialized in a stopped and disabled state. The back-end must start a "
	  "ring upon receiving a kick ... on the descriptor specified by "
	  "VHOST_USER_SET_VRING_KICK",
	  CHECK_MUST, .needs = REQUEST, .fn = a_ring_that_never_started_rests },
	{ "STA-05", "a ring may be enabled before it is started", STATES,
	  "The enabled/disabled state should still be tracked, though, so it can come into "
	  "effect once the ring is started.",
	  CHECK_SHOULD, VHU_BIT(VHU_F_PROTOCOL_FEATURES), .needs = REQUEST,
	  .fn = enabled_before_the_start },
	{ "STA-06", "a ring can be disabled and enabled again", STATES,
	  "Rings can be enabled or disabled by VHOST_USER_SET_VRING_ENABLE.",
	  CHECK_MUST, VHU_BIT(VHU_F_PROTOCOL_FEATURES), .needs = REQUEST,
	  .fn = disabled_and_enabled_again },
	{ "STA-07", "without protocol features, rings are enabled", STATES,
	  "upon receiving a VHOST_USER_SET_FEATURES message from the front-end without "
	  "VHOST_USER_F_PROTOCOL_FEATURES set, the back-end must enable all rings immediately",
	  CHECK_MUST, .needs = REQUEST, .fn = without_protocol_features_rings_are_enabled },
	{ "STA-08", "GET_VRING_BASE gives the next index", BASE,
	  "For a split virtqueue, returns only the 16-bit next descriptor index to process in "
	  "the Available Ring.",
	  CHECK_MUST, .needs = REQUEST, .fn = the_base_is_the_next_index },
	{ "STA-09", "GET_VRING_BASE of a ring that never started", BASE,
	  "Stops the vring and returns the current descriptor index or indices",
	  CHECK_SHOULD, .fn = a_ring_that_never_started_has_a_base },
	{ "STA-10", "a ring starts at its base", "vhost-user, VHOST_USER_SET_VRING_BASE",
	  "For a split virtqueue, sets only the next descriptor index to process in the "
	  "Available Ring. The device is supposed to read the next index in the Used Ring from "
	  "the respective vring structure in guest memory.",
	  CHECK_MUST, .needs = REQUEST, .fn = a_ring_starts_at_its_base },
	{ "STA-11", "indices are of 16 bits and wrap",
	  "vhost-user, A vring descriptor index for split virtqueues",
	  "Bits 0-15: ... This is a free-running index that is not wrapped by the ring size. "
	  "Bits 16-31: Reserved (set to zero)",
	  CHECK_MUST, .needs = REQUEST, .fn = indices_wrap_at_65536 },
	{ "STA-12", "a ring that is stopped and started goes on where it was", BASE,
	  "Stops the vring and returns the current descriptor index or indices",
	  CHECK_MUST, .needs = REQUEST, .fn = stop_and_start_go_on },
	{ "STA-13", "requests from before the start are served", STATES,
	  "started and enabled: The back-end must process the ring normally, i.e. process all "
	  "requests and execute them.",
	  CHECK_MUST, .needs = REQUEST, .fn = requests_from_before_the_start },
	{ "STA-14", "GET_VRING_BASE completes what is in flight",
	  "vhost-user (QEMU 11), VHOST_USER_GET_VRING_BASE",
	  "By default, the back-end must complete all inflight I/O requests for the specified "
	  "vring before stopping it.",
	  CHECK_MUST, .needs = REQUEST, .fn = stop_completes_what_was_taken },
	{ "STA-15", "a suspended device writes nothing", SUSPENDED,
	  "While all vrings are stopped, the device is suspended. ... the device must: not write "
	  "to any guest memory regions",
	  CHECK_MUST, .needs = REQUEST, .fn = a_suspended_device_writes_nothing },
	{ "STA-16", "a suspended device is silent", SUSPENDED,
	  "the device must: ... not send any notifications to the guest, not send any messages "
	  "to the front-end",
	  CHECK_MUST, .needs = REQUEST, .fn = a_suspended_device_is_silent },
	{ "STA-17", "a suspended device answers", SUSPENDED,
	  "the device must: ... still process and reply to messages from the front-end.",
	  CHECK_MUST, .needs = REQUEST, .fn = a_suspended_device_answers },
	{ "STA-18", "the call fd of a running ring may change", STATES,
	  "While processing the rings (whether they are enabled or not), the back-end must "
	  "support changing some configuration aspects on the fly.",
	  CHECK_MUST, .needs = REQUEST, .fn = the_call_fd_may_change },
	{ "STA-19", "no call fd is needed", "vhost-user, VHOST_USER_SET_VRING_CALL",
	  "Bit 8 is the invalid FD flag. ... This signals that polling will be used instead of "
	  "waiting for the call.",
	  CHECK_MUST, .needs = REQUEST, .fn = no_call_fd_is_needed },
	{ "STA-20", "without a kick fd the ring is polled", "vhost-user, VHOST_USER_SET_VRING_KICK",
	  "Bit 8 is the invalid FD flag. ... This signals that polling should be used instead of "
	  "waiting for the kick.",
	  CHECK_SHOULD, .needs = REQUEST, .fn = no_kick_fd_is_needed },
	{ "STA-21", "rings have the size they are given", "vhost-user, VHOST_USER_SET_VRING_NUM",
	  "Set the size of the queue.",
	  CHECK_MUST, .needs = REQUEST, .fn = sizes_are_as_told },
	{ "STA-22", "a ring stops alone", STATES,
	  "stop a ring upon receiving VHOST_USER_GET_VRING_BASE",
	  CHECK_MUST, VHU_BIT(VHU_F_PROTOCOL_FEATURES), VHU_BIT(VHU_PROTOCOL_F_MQ),
	  REQUEST | CHECK_NEEDS_QUEUES, other_rings_go_on },
	{ "STA-23", "RESET_OWNER keeps the session", "vhost-user, VHOST_USER_RESET_OWNER",
	  "It is recommended that back-ends either ignore this message, or use it to disable all "
	  "rings.",
	  CHECK_SHOULD, VHU_BIT(VHU_F_PROTOCOL_FEATURES), .needs = REQUEST,
	  .fn = reset_owner_keeps_the_session },
};

const struct check_group check_states = {
	"states", "rings start, stop, are enabled and disabled", CHECK_GROUP(cases)
};
