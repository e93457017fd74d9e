/* SPDX-License-Identifier: BSD-3-Clause */
/* Notifications by message, shared objects, and memory that the back-end shares. */
#include <string.h>
#include <unistd.h>

#include "cli/check/check.h"

#define INBAND VHU_BIT(VHU_PROTOCOL_F_INBAND_NOTIFICATIONS)
#define INBAND_NEEDS (VHU_BIT(VHU_PROTOCOL_F_BACKEND_REQ) | VHU_BIT(VHU_PROTOCOL_F_REPLY_ACK))
#define SHARED_OBJECT VHU_BIT(VHU_PROTOCOL_F_SHARED_OBJECT)
#define SHMEM VHU_BIT(VHU_PROTOCOL_F_SHMEM)
#define REQUEST CHECK_NEEDS_REQUEST

static void open_in_band(struct check *check)
{
	check_connect(check);
	check_negotiate(check, CHECK_FEATURES, CHECK_PROTOCOL | INBAND);
	check_open_ring(check, &check->ring, 0, CHECK_RING_SIZE);
	check_make_request(check, &check->request);
}

/* check_offer() kicks by eventfd. */
static void offer_by_message(struct check *check)
{
	check_add(check, &check->ring);
	if (vhu_driver_kick(&check->ring) < 0)
		check_untried(check, "VRING_KICK was not taken");
}

/* Without any eventfd, so that what is served was kicked by message, and waited for by one. */
static void kicks_and_calls_are_messages(struct check *check)
{
	open_in_band(check);
	expect_call(check, vhu_driver_start(&check->ring),
		    "VRING_KICK, which starts the ring, and SET_VRING_ENABLE");
	check_set_running(check);
	for (unsigned i = 0; i < 3 * CHECK_RING_SIZE; i++)
		expect_served(check, &check->ring);
	/* One that was asked for before there was anything to be called for. */
	vhu_driver_want_call(&check->ring);
	offer_by_message(check);
	for (unsigned i = 0; i < CHECK_LOOKS(check) && !vhu_driver_count_calls(&check->ring);
	     i++) {
		check_sleep_ms(CHECK_LOOK_MS);
		expect_call(check, vhu_frontend_serve(&check->frontend), "its channel");
	}
	expect(check, vhu_driver_count_calls(&check->ring) > 0, "VRING_CALL messages", "none");
}

/* An eventfd all the same: it is what is used. */
static void an_eventfd_is_preferred(struct check *check)
{
	open_in_band(check);
	check->ring.in_band = false;
	check_start_ring(check, &check->ring);
	for (unsigned i = 0; i < 10; i++)
		expect_served(check, &check->ring);
}

static void survives_kicks_of_no_ring(struct check *check)
{
	static const struct vhu_vring_state odd[] = {
		{ 1000, 0 }, { UINT32_MAX, 0 }, { 0, 1 }, { 0, UINT32_MAX },
	};

	for (size_t i = 0; i < ARRAY_SIZE(odd); i++) {
		check_connect(check);
		check_negotiate(check, CHECK_FEATURES, CHECK_PROTOCOL | INBAND);
		check_send_odd(check, VHU_VRING_KICK, VHU_VERSION, &odd[i], sizeof(odd[i]), NULL,
			       0);
		expect_alive(check);
		check_forget(check);
	}
}

static void an_unknown_object_has_no_fd(struct check *check)
{
	static const uint8_t uuids[][16] = {
		"\x6b\x1f\x02\x9a\x41\x7c\x4d\x0e\x93\x55\x20\xd8\x1a\xe4\x77\x3b",
		"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
		{ 0 },
	};
	int fd = -1;

	check_connect(check);
	check_negotiate(check, CHECK_FEATURES, CHECK_PROTOCOL | SHARED_OBJECT);
	for (size_t i = 0; i < ARRAY_SIZE(uuids); i++) {
		expect_call(check,
			    vhu_frontend_get_shared_object(&check->frontend, uuids[i], &fd),
			    "GET_SHARED_OBJECT");
		expect(check, fd < 0, "no fd for an object that nobody has", "one");
	}
	expect_call(check, vhu_frontend_sync(&check->frontend), "GET_FEATURES after it");
}

static void shared_memory_has_whole_pages(struct check *check)
{
	struct vhu_shmem_config config, again;
	long page = sysconf(_SC_PAGESIZE);

	check_connect(check);
	check_negotiate(check, CHECK_FEATURES, CHECK_PROTOCOL | SHMEM);
	expect_call(check, vhu_frontend_get_shmem_config(&check->frontend, &config),
		    "GET_SHMEM_CONFIG");
	for (unsigned i = 0; i < VHU_SHMEM_MAX; i++)
		expect(check, config.size[i] % (uint64_t)page == 0, "whole pages",
		       "region %u has 0x%llx bytes", i, (unsigned long long)config.size[i]);
	expect_call(check, vhu_frontend_get_shmem_config(&check->frontend, &again),
		    "GET_SHMEM_CONFIG again");
	expect(check, !memcmp(&config, &again, sizeof(config)), "the same answer twice",
	       "another one");
}

#define IN_BAND "vhost-user, In-band notifications"

static const struct check_case cases[] = {
	{ "CHN-01", "kicks and calls by message", "vhost-user, VHOST_USER_VRING_KICK",
	  "this message may be submitted by the front-end to indicate that a buffer was added to "
	  "the vring instead of signalling it using the vring's kick file descriptor",
	  CHECK_MUST, .protocol = INBAND | INBAND_NEEDS, .needs = REQUEST,
	  .fn = kicks_and_calls_are_messages },
	{ "CHN-02", "an eventfd is preferred to messages", "vhost-user, VHOST_USER_SET_VRING_KICK",
	  "it may however still be used to set an event file descriptor (which will be preferred "
	  "over the message) or to enable polling",
	  CHECK_MUST, .protocol = INBAND | INBAND_NEEDS, .needs = REQUEST,
	  .fn = an_eventfd_is_preferred },
	{ "CHN-03", "survives kicks of rings that are not there", IN_BAND,
	  "The state.num field is currently reserved and must be set to 0.",
	  CHECK_ROBUST, .protocol = INBAND | INBAND_NEEDS, .fn = survives_kicks_of_no_ring },
	{ "CHN-04", "an unknown shared object has no fd",
	  "vhost-user, VHOST_USER_GET_SHARED_OBJECT",
	  "Back-end will reply passing the fd when the operation is successful, or no fd "
	  "otherwise.",
	  CHECK_MUST, .protocol = SHARED_OBJECT, .fn = an_unknown_object_has_no_fd },
	{ "CHN-05", "shared memory regions have whole pages, and stay as they are",
	  "vhost-user (QEMU 11), VHOST_USER_GET_SHMEM_CONFIG",
	  "The shared information will remain valid and unchanged for the entire lifetime of the "
	  "connection. The Shared Memory Region size must be a multiple of the page size supported "
	  "by mmap(2).",
	  CHECK_MUST, .protocol = SHMEM, .fn = shared_memory_has_whole_pages },
};

const struct check_group check_channel = {
	"channel", "notifications by message, shared objects, shared memory", CHECK_GROUP(cases)
};
