/* SPDX-License-Identifier: BSD-3-Clause */
/* Our split driver against a small back-end, and on a ring that has none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/base/num.h"
#include "common/frontend/driver.h"
#include "common/frontend/frontend.h"
#include "tests/unit/fake_backend.h"

#define MEMORY_BYTES (1u << 20)
#define RING_SIZE 16

struct fixture {
	struct vhu_frontend frontend;
	struct vhu_driver driver;
	struct fake_backend fake;
	unsigned fds_before;
};

static unsigned count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	int fds[2];

	fixture->fds_before = count_fds();
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	vhu_frontend_init(&fixture->frontend);
	assert_int_equal(vhu_frontend_attach(&fixture->frontend, fds[1]), 0);
	fake_backend_start(&fixture->fake, fds[0]);
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;
	unsigned fds_before = fixture->fds_before, fds_after;

	vhu_driver_finish(&fixture->driver);
	vhu_frontend_finish(&fixture->frontend);
	fake_backend_join(&fixture->fake);
	free(fixture);
	fds_after = count_fds();
	if (fds_after != fds_before)
		print_error("%u fds before, %u after\n", fds_before, fds_after);
	return fds_after == fds_before ? 0 : -1;
}

/* A started ring, with these of the features. */
static void start(struct fixture *fixture, uint64_t features)
{
	struct vhu_frontend *f = &fixture->frontend;

	assert_int_equal(vhu_frontend_negotiate(f, features, VHU_FRONTEND_PROTOCOL_FEATURES), 0);
	assert_int_equal(vhu_guest_add(&f->guest, 0, MEMORY_BYTES), 0);
	assert_int_equal(vhu_guest_add(&f->guest, MEMORY_BYTES, MEMORY_BYTES), 1);
	assert_int_equal(vhu_frontend_share_memory(f), 0);
	assert_int_equal(vhu_driver_init(&fixture->driver, f, 0, RING_SIZE), 0);
	assert_int_equal(vhu_driver_start(&fixture->driver), 0);
}

/* Readable text, cut in two, and room for its echo, cut in two. */
struct echo_request {
	struct vhu_guest_buffer buffers[4];
	char *text;
	char *room;
};

static struct echo_request make_request(struct vhu_frontend *f, const char *text)
{
	struct vhu_guest_buffer in = vhu_guest_alloc(&f->guest, 64, 64);
	struct vhu_guest_buffer out = vhu_guest_alloc(&f->guest, 64, 64);

	assert_non_null(in.host);
	assert_non_null(out.host);
	strcpy(in.host, text);
	return (struct echo_request){
		.buffers = {
			{ .gpa = in.gpa, .len = 3 },
			{ .gpa = in.gpa + 3, .len = 61 },
			{ .gpa = out.gpa, .len = 33 },
			{ .gpa = out.gpa + 33, .len = 31 },
		},
		.text = in.host,
		.room = out.host,
	};
}

static int run_text(struct fixture *fixture, const char *text)
{
	struct echo_request request = make_request(&fixture->frontend, text);
	uint32_t len = 0;
	int r = vhu_driver_run(&fixture->driver, request.buffers, 2, 2, &len);

	if (r < 0)
		return r;
	assert_int_equal(len, 64);
	assert_string_equal(request.room, text);
	return 0;
}

static void test_old_protocol(void **state)
{
	struct fixture *fixture = *state;

	start(fixture, VHU_BIT(VHU_F_VERSION_1));
	assert_int_equal(fixture->frontend.acked_protocol_features, 0);
	assert_false(fixture->driver.indirect);
	assert_int_equal(run_text(fixture, "plain"), 0);
}

static void run_many(struct fixture *fixture, uint64_t ring_features, bool busy)
{
	start(fixture, VHU_BIT(VHU_F_PROTOCOL_FEATURES) | VHU_BIT(VHU_F_VERSION_1) | ring_features);
	fixture->driver.busy = busy;
	if (busy)
		vhu_driver_refuse_calls(&fixture->driver);
	for (int i = 0; i < 5 * RING_SIZE + 3; i++)
		assert_int_equal(run_text(fixture, i & 1 ? "odd" : "even"), 0);
	assert_int_equal(fixture->driver.n_free, RING_SIZE);
	if (busy)
		assert_int_equal(vhu_driver_count_calls(&fixture->driver), 0);
}

static void test_echo_direct(void **state)
{
	run_many(*state, 0, false);
}

static void test_echo_indirect(void **state)
{
	run_many(*state, VHU_BIT(VHU_F_RING_INDIRECT_DESC), false);
}

static void test_echo_event_idx(void **state)
{
	run_many(*state, VHU_BIT(VHU_F_RING_EVENT_IDX), false);
}

static void test_echo_busy(void **state)
{
	run_many(*state,
		 VHU_BIT(VHU_F_RING_EVENT_IDX) | VHU_BIT(VHU_F_RING_INDIRECT_DESC), true);
}

static void test_echo_busy_without_event_idx(void **state)
{
	run_many(*state, 0, true);
}

/* Fills the ring, kicks once, and takes all back by its tokens. */
static void test_batch(void **state)
{
	struct fixture *fixture = *state;
	struct vhu_driver *driver = &fixture->driver;
	struct echo_request request;
	struct vhu_driver_used used;
	unsigned n = 0;
	int r;

	start(fixture, VHU_FRONTEND_FEATURES);
	driver->indirect = false;
	request = make_request(&fixture->frontend, "batch");
	for (int round = 0; round < 3; round++) {
		for (n = 0; (r = vhu_driver_add(driver, request.buffers, 2, 2, n)) >= 0; n++)
			;
		assert_int_equal(r, -ENOSPC);
		assert_int_equal(n, RING_SIZE / 4);
		assert_int_equal(driver->n_free, 0);
		assert_int_equal(vhu_driver_get(driver, &used), 0);
		assert_int_equal(vhu_driver_kick(driver), 1);
		for (unsigned i = 0; i < n; i++) {
			assert_int_equal(vhu_driver_wait(driver, &used), 0);
			assert_int_equal(used.token, i);
			assert_int_equal(used.len, 64);
		}
		assert_int_equal(driver->n_free, RING_SIZE);
	}
	assert_int_equal(driver->n_kicks, 3);
	assert_in_range(vhu_driver_count_calls(driver), 1, 3 * n);
	assert_int_equal(vhu_driver_add(driver, request.buffers, 0, 0, 0), -EINVAL);
}

static void test_stop_and_restart(void **state)
{
	struct fixture *fixture = *state;
	struct vhu_driver *driver = &fixture->driver;

	start(fixture, VHU_FRONTEND_FEATURES);
	for (int i = 0; i < 5; i++)
		assert_int_equal(run_text(fixture, "before"), 0);
	assert_int_equal(vhu_driver_stop(driver), 0);
	assert_int_equal(driver->base, 5);
	assert_int_equal(vhu_driver_start(driver), 0);
	assert_int_equal(run_text(fixture, "after"), 0);

	assert_int_equal(vhu_driver_stop(driver), 0);
	vhu_driver_reset(driver);
	assert_int_equal(vhu_driver_start(driver), 0);
	assert_int_equal(run_text(fixture, "rebooted"), 0);
	assert_int_equal(driver->split.vring.used->idx, 1);
}

static void test_hang_die_break(void **state)
{
	static const struct {
		const char *text;
		int error;
	} cases[] = {
		{ "Hang", -ETIMEDOUT },
		{ "Die", -ECONNRESET },
		{ "Break", -EIO },
	};

	for (size_t i = 0; i < 2 * ARRAY_SIZE(cases); i++) {
		struct fixture *fixture;

		assert_int_equal(setup(state), 0);
		fixture = *state;
		start(fixture, VHU_FRONTEND_FEATURES);
		fixture->driver.busy = i & 1;
		if (cases[i / 2].error == -ETIMEDOUT)
			fixture->frontend.timeout_ms = 100;
		assert_int_equal(run_text(fixture, cases[i / 2].text), cases[i / 2].error);
		assert_int_equal(teardown(state), 0);
	}
}

/* A driver on a ring that this test plays the back-end of, with no connection at all. */
static void make_lonely(struct fixture *fixture, uint64_t features)
{
	vhu_frontend_init(&fixture->frontend);
	fixture->frontend.acked_features = features;
	assert_int_equal(vhu_guest_add(&fixture->frontend.guest, 0, MEMORY_BYTES), 0);
	assert_int_equal(vhu_driver_init(&fixture->driver, &fixture->frontend, 0, RING_SIZE), 0);
}

static void finish_lonely(struct fixture *fixture)
{
	vhu_driver_finish(&fixture->driver);
	vhu_frontend_finish(&fixture->frontend);
}

static void test_kick_suppression(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	struct vhu_driver *driver = &fixture->driver;
	const struct vhu_guest_buffer buffer = { .gpa = 64, .len = 8 };

	(void)state;
	make_lonely(fixture, VHU_BIT(VHU_F_RING_EVENT_IDX));
	/* avail_event 2: a kick when the third entry has come. */
	vring_avail_event(&driver->split.vring) = 2;
	for (int i = 0; i < 5; i++) {
		assert_true(vhu_driver_add(driver, &buffer, 1, 0, 0) >= 0);
		assert_int_equal(driver->split.vring.avail->idx, i);
		assert_int_equal(vhu_driver_kick(driver), i == 2);
		assert_int_equal(driver->split.vring.avail->idx, i + 1);
	}
	finish_lonely(fixture);

	make_lonely(fixture, 0);
	driver->split.vring.used->flags = VRING_USED_F_NO_NOTIFY;
	assert_true(vhu_driver_add(driver, &buffer, 1, 0, 0) >= 0);
	assert_int_equal(vhu_driver_kick(driver), 0);
	driver->split.vring.used->flags = 0;
	assert_int_equal(vhu_driver_kick(driver), 1);
	assert_int_equal(driver->n_kicks, 1);
	finish_lonely(fixture);
	free(fixture);
}

static void test_wrong_used_entries(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	struct vhu_driver *driver = &fixture->driver;
	const struct vhu_guest_buffer buffer = { .gpa = 64, .len = 8 };
	struct vhu_driver_used used;
	struct vring *vring = &driver->split.vring;

	(void)state;
	make_lonely(fixture, 0);
	vring->used->idx = 1; /* nothing was available */
	assert_int_equal(vhu_driver_get(driver, &used), -EPROTO);
	vhu_driver_reset(driver);

	assert_int_equal(vhu_driver_add(driver, &buffer, 1, 0, 7), 0);
	assert_int_equal(vhu_driver_add(driver, &buffer, 1, 0, 8), 1);
	assert_true(vhu_driver_kick(driver) >= 0);
	vring->used->ring[0].id = RING_SIZE; /* no such head */
	vring->used->idx = 1;
	assert_int_equal(vhu_driver_get(driver, &used), -EPROTO);
	vring->used->ring[0].id = 1;
	vring->used->ring[0].len = 5;
	assert_int_equal(vhu_driver_get(driver, &used), 1);
	assert_int_equal(used.token, 8);
	assert_int_equal(used.len, 5);
	vring->used->ring[1].id = 1; /* the same again */
	vring->used->idx = 2;
	assert_int_equal(vhu_driver_get(driver, &used), -EPROTO);
	finish_lonely(fixture);
	free(fixture);
}

static void test_broken_chains_can_be_made(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	struct vhu_driver *driver = &fixture->driver;
	const struct vhu_guest_buffer buffers[3] = { { .gpa = 64, .len = 8 },
						     { .gpa = 72, .len = 9 },
						     { .gpa = 96, .len = 1 } };
	const struct vring_desc *table;
	struct vhu_driver_used used;

	(void)state;
	make_lonely(fixture, VHU_BIT(VHU_F_RING_INDIRECT_DESC));
	assert_int_equal(vhu_driver_add(driver, buffers, 1, 2, 0), 0);
	table = vhu_driver_table(driver, 0);
	assert_int_equal(driver->split.vring.desc[0].flags, VRING_DESC_F_INDIRECT);
	assert_int_equal(driver->split.vring.desc[0].len, 3 * sizeof(*table));
	assert_ptr_equal(
		vhu_guest_at(&fixture->frontend.guest, driver->split.vring.desc[0].addr, 48),
		table);
	assert_int_equal(table[0].flags, VRING_DESC_F_NEXT);
	assert_int_equal(table[1].flags, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE);
	assert_int_equal(table[2].flags, VRING_DESC_F_WRITE);
	assert_int_equal(table[1].len, 9);

	/* A head that is none, and one that was never added: given back, it has its token. */
	vhu_driver_split_add_head(driver, 0xffff, 1);
	vhu_driver_split_add_head(driver, 9, 2);
	assert_int_equal(vhu_driver_kick(driver), 1);
	assert_int_equal(driver->split.vring.avail->ring[1], 0xffff);
	driver->split.vring.used->ring[0].id = 9;
	driver->split.vring.used->idx = 1;
	assert_int_equal(vhu_driver_get(driver, &used), 1);
	assert_int_equal(used.token, 2);
	assert_int_equal(driver->n_free, RING_SIZE - 1);
	finish_lonely(fixture);

	/* No room for a ring: nothing is left behind. */
	vhu_frontend_init(&fixture->frontend);
	assert_int_equal(vhu_guest_add(&fixture->frontend.guest, 0, 4096), 0);
	assert_int_equal(vhu_driver_init(driver, &fixture->frontend, 0, 1024), -ENOMEM);
	assert_int_equal(vhu_driver_init(driver, &fixture->frontend, 0, 12), -EINVAL);
	vhu_frontend_finish(&fixture->frontend);
	free(fixture);
}

#define WITH_FAKE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_FAKE(test_old_protocol),
		WITH_FAKE(test_echo_direct),
		WITH_FAKE(test_echo_indirect),
		WITH_FAKE(test_echo_event_idx),
		WITH_FAKE(test_echo_busy),
		WITH_FAKE(test_echo_busy_without_event_idx),
		WITH_FAKE(test_batch),
		WITH_FAKE(test_stop_and_restart),
		cmocka_unit_test(test_hang_die_break),
		cmocka_unit_test(test_kick_suppression),
		cmocka_unit_test(test_wrong_used_entries),
		cmocka_unit_test(test_broken_chains_can_be_made),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
