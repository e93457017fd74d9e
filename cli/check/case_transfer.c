/* SPDX-License-Identifier: BSD-3-Clause */
/* The back-end's own state in a migration (vhost-user, Migrating back-end state). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/check/check.h"
#include "common/frontend/state.h"

#define DEVICE_STATE VHU_BIT(VHU_PROTOCOL_F_DEVICE_STATE)
#define PROTOCOL (CHECK_PROTOCOL | DEVICE_STATE)
#define STATE_BYTES (16u << 20)

/* A device that has worked and is suspended. */
static void open_suspended(struct check *check)
{
	if (check_device_has_requests(check->device)) {
		check_ring(check, CHECK_FEATURES, PROTOCOL);
		expect_served(check, &check->ring);
		check_stop_ring(check, &check->ring);
		return;
	}
	check_connect(check);
	check_negotiate(check, CHECK_FEATURES, PROTOCOL);
}

/* The state is at *ret_state; freed with the process. */
static size_t save(struct check *check, char **ret_state)
{
	char *state = malloc(STATE_BYTES);
	size_t len = 0;

	if (!state)
		check_untried(check, "no memory");
	expect_call(check,
		    vhu_frontend_save_state(&check->frontend, state, STATE_BYTES, &len),
		    "SET_DEVICE_STATE_FD to save, the state up to its end, CHECK_DEVICE_STATE");
	*ret_state = state;
	return len;
}

static void a_state_is_saved(struct check *check)
{
	char *state;

	open_suspended(check);
	check_note(check, "the state has %zu bytes", save(check, &state));
}

static void load(struct check *check, const char *state, size_t len)
{
	expect_call(check, vhu_frontend_load_state(&check->frontend, state, len),
		    "SET_DEVICE_STATE_FD to load, the state that was saved, CHECK_DEVICE_STATE");
}

static void goes_on(struct check *check)
{
	if (!check_device_has_requests(check->device))
		return;
	check_start_ring(check, &check->ring);
	expect_served(check, &check->ring);
}

static void what_was_saved_is_loaded(struct check *check)
{
	char *state;
	size_t len;

	open_suspended(check);
	len = save(check, &state);
	check_forget(check);
	open_suspended(check);
	load(check, state, len);
	goes_on(check);
}

static void a_failed_migration_goes_on(struct check *check)
{
	char *state;

	open_suspended(check);
	for (unsigned i = 0; i < 3; i++)
		save(check, &state);
	goes_on(check);
}

/* Nobody reads, or writes, at our end: the answer comes all the same, and others' do. */
static void transfers_hold_up_nobody(struct check *check)
{
	uint64_t value;
	int fd;

	for (uint32_t direction = 0; direction < 2; direction++) {
		open_suspended(check);
		expect_call(check, vhu_frontend_open_state(&check->frontend, direction, &fd),
			    "SET_DEVICE_STATE_FD");
		expect_call(check, vhu_frontend_ask_u64(&check->frontend,
							VHU_GET_PROTOCOL_FEATURES, &value),
			    "GET_PROTOCOL_FEATURES while the state is transferred");
		close(fd);
		check_forget(check);
	}
}

/* A few bytes fewer than there were; where there are none there is nothing to cut. */
static void half_a_state_is_refused(struct check *check)
{
	char *state;
	size_t len;
	int r;

	open_suspended(check);
	len = save(check, &state);
	if (len < 2)
		check_skip(check, "its state has %zu bytes", len);
	r = vhu_frontend_load_state(&check->frontend, state, len / 2);
	expect(check, r == -EREMOTEIO, "CHECK_DEVICE_STATE tells of the failure", "%s",
	       r == 0 ? "success" : "no answer");
}

static void survives_odd_states(struct check *check)
{
	char *junk = malloc(STATE_BYTES);
	static const size_t sizes[] = { 0, 1, 100, 4096, STATE_BYTES };

	if (!junk)
		check_untried(check, "no memory");
	memset(junk, 0xc7, STATE_BYTES);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		open_suspended(check);
		/* It may take it, refuse it or go. */
		(void)vhu_frontend_load_state(&check->frontend, junk, sizes[i]);
		expect_alive(check);
		check_forget(check);
	}
}

static void survives_odd_transfers(struct check *check)
{
	static const struct vhu_transfer_state odd[] = {
		{ 2, 0 }, { 0, 1 }, { UINT32_MAX, UINT32_MAX },
	};
	int fd = check_eventfd(check);

	for (size_t i = 0; i < ARRAY_SIZE(odd); i++) {
		open_suspended(check);
		check_send_odd(check, VHU_SET_DEVICE_STATE_FD, VHU_VERSION, &odd[i],
			       sizeof(odd[i]), &fd, 1);
		expect_alive(check);
		check_forget(check);
	}
	open_suspended(check);
	check_send_odd(check, VHU_CHECK_DEVICE_STATE, VHU_VERSION, NULL, 0, NULL, 0);
	expect_alive(check);
}

#define STATE "vhost-user, Migrating back-end state"
#define SET "vhost-user, VHOST_USER_SET_DEVICE_STATE_FD"

static const struct check_case cases[] = {
	{ "DST-01", "a state is saved, and its end is the end of file", STATE,
	  "The writing end will write all the data it has into it, signalling the end of data by "
	  "closing its end.",
	  CHECK_MUST, .protocol = DEVICE_STATE, .fn = a_state_is_saved },
	{ "DST-02", "what was saved is loaded", STATE,
	  "After reading the state data from the channel, the destination back-end must "
	  "deserialize its internal state from that data and set itself up to allow the driver to "
	  "seamlessly resume operation on the VIRTIO level.",
	  CHECK_MUST, .protocol = DEVICE_STATE, .fn = what_was_saved_is_loaded },
	{ "DST-03", "a migration that fails is as if there was none", STATE,
	  "If the migration fails, then the source can transparently resume operation until "
	  "another migration attempt is made.",
	  CHECK_MUST, .protocol = DEVICE_STATE, .fn = a_failed_migration_goes_on },
	{ "DST-04", "messages are answered while a state is transferred",
	  "vhost-user, Suspended device state",
	  "the device must: ... still process and reply to messages from the front-end.",
	  CHECK_MUST, .protocol = DEVICE_STATE, .fn = transfers_hold_up_nobody },
	{ "DST-05", "half a state is no success", "vhost-user, VHOST_USER_CHECK_DEVICE_STATE",
	  "check whether the back-end was able to successfully fully process the state. The value "
	  "returned indicates success or error; 0 is success, any non-zero value is an error.",
	  CHECK_SHOULD, .protocol = DEVICE_STATE, .fn = half_a_state_is_refused },
	{ "DST-06", "survives states that are none", STATE,
	  "the destination back-end must deserialize its internal state from that data",
	  CHECK_ROBUST, .protocol = DEVICE_STATE, .fn = survives_odd_states },
	{ "DST-07", "survives directions and phases that are none", SET,
	  "The request payload contains parameters for the subsequent data transfer",
	  CHECK_ROBUST, .protocol = DEVICE_STATE, .fn = survives_odd_transfers },
};

const struct check_group check_transfer = {
	"transfer", "the back-end's own state in a migration", CHECK_GROUP(cases)
};
