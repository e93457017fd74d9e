/* SPDX-License-Identifier: BSD-3-Clause */
/* The dirty log (vhost-user, Migration): what is refused, and when it counts. */
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/num.h"
#include "common/frontend/log.h"
#include "tests/device/harness.h"

#define PAGE 4096ull
#define LOG_PROTOCOL (VHU_FRONTEND_PROTOCOL_FEATURES | VHU_BIT(VHU_PROTOCOL_F_LOG_SHMFD))
/* A bit for each page of the guest's 64 MiB, and of as much behind it. */
#define LOG_BYTES (2 * (64ull << 20) / PAGE / 8)
#define LOG_OFFSET PAGE
/* Outside guest memory, and inside the log. */
#define USED_LOG_GPA ((64ull << 20) + 512)
#define USED_BYTES (6 + 8 * RING_SIZE)

static void open_log(struct scene *scene, struct vhu_frontend_log *log)
{
	assert_int_equal(vhu_frontend_log_init(log, &scene->frontend.guest, LOG_BYTES, LOG_OFFSET),
			 0);
}

static int set_log_base(struct scene *scene, int fd, uint64_t size, uint64_t offset)
{
	const struct vhu_log_base base = { .size = size, .offset = offset };

	return vhu_frontend_call(&scene->frontend, VHU_SET_LOG_BASE, &base, sizeof(base), &fd, 1,
				 NULL);
}

static void log_all(struct scene *scene, bool on)
{
	assert_int_equal(vhu_frontend_set_logging(&scene->frontend, on), 0);
}

/* A ring that runs, and a log that the program knows. */
static void log_begin(struct scene *scene, struct vhu_frontend_log *log)
{
	open_log(scene, log);
	scene_ring_bits(scene, VHU_FRONTEND_FEATURES, LOG_PROTOCOL);
	assert_int_equal(vhu_frontend_set_log(&scene->frontend, log), 0);
}

/* What a device writes of a packed ring is marked where it lies, and no log address is needed. */
static uint64_t used_mark(const struct scene *scene)
{
	return scene->frontend.acked_features & VHU_BIT(VHU_F_RING_PACKED) ?
		       scene->driver.desc_gpa :
		       USED_LOG_GPA;
}

static void nothing_is_marked_when_off(void **state)
{
	struct scene *scene = *state;
	struct vhu_frontend_log log;

	log_begin(scene, &log);
	scene_io(scene, &scene->driver);
	assert_int_equal(vhu_driver_log(&scene->driver, true, USED_LOG_GPA), 0);
	scene_io(scene, &scene->driver);
	assert_int_equal(vhu_frontend_log_count(&log), 0);
	log_all(scene, true);
	scene_io(scene, &scene->driver);
	assert_true(vhu_frontend_log_has(&log, scene->buffers[scene->target->n_readable].gpa));
	assert_true(vhu_frontend_log_has(&log, used_mark(scene)));
	log_all(scene, false);
	vhu_frontend_log_clear(&log);
	for (unsigned i = 0; i < 20; i++)
		scene_io(scene, &scene->driver);
	assert_int_equal(vhu_driver_stop(&scene->driver), 0);
	assert_int_equal(vhu_frontend_log_count(&log), 0);
	vhu_frontend_log_finish(&log);
}

/* QEMU does so when the guest gets more memory: the old one is read once more after the answer. */
static void a_new_log_replaces_the_old_one(void **state)
{
	struct scene *scene = *state;
	struct vhu_frontend_log old, new;

	log_begin(scene, &old);
	log_all(scene, true);
	scene_io(scene, &scene->driver);
	open_log(scene, &new);
	assert_int_equal(vhu_frontend_set_log(&scene->frontend, &new), 0);
	assert_true(vhu_frontend_log_count(&old) > 0);
	assert_int_equal(vhu_frontend_log_count(&new), 0);
	vhu_frontend_log_clear(&old);
	scene_io(scene, &scene->driver);
	assert_int_equal(vhu_frontend_log_count(&old), 0);
	assert_true(vhu_frontend_log_count(&new) > 0);
	vhu_frontend_log_finish(&old);
	vhu_frontend_log_finish(&new);
}

static void regions_added_later_are_logged(void **state)
{
	struct scene *scene = *state;
	struct vhu_frontend *frontend = &scene->frontend;
	struct vhu_guest_buffer *buffer = &scene->buffers[scene->target->n_readable];
	struct vhu_guest_region *added;
	struct vhu_frontend_log log;
	int number;

	log_begin(scene, &log);
	log_all(scene, true);
	number = vhu_guest_add(&frontend->guest, 100ull << 20, 2 * PAGE);
	assert_true(number >= 0);
	added = &frontend->guest.regions[number];
	assert_int_equal(vhu_frontend_add_mem_reg(frontend, &added->wire, added->fd), 0);
	buffer->gpa = added->wire.gpa + PAGE + 8;
	buffer->host = added->host + PAGE + 8;
	scene_io(scene, &scene->driver);
	assert_true(vhu_frontend_log_has(&log, buffer->gpa));
	assert_false(vhu_frontend_log_has(&log, added->wire.gpa));
	vhu_frontend_log_finish(&log);
}

static void bad_logs_are_refused(void **state)
{
	static const struct { uint64_t size, offset; } bad[] = {
		{ 0, 0 }, { 0, LOG_BYTES }, { LOG_BYTES + 1, LOG_OFFSET },
		{ LOG_OFFSET + LOG_BYTES + 1, 0 }, { 1, LOG_OFFSET + LOG_BYTES },
		{ UINT64_MAX, 1 }, { 1, UINT64_MAX }, { UINT64_MAX, UINT64_MAX },
		{ 1ull << 63, 0 }, { 0, UINT64_MAX },
	};
	struct scene *scene = *state;
	struct vhu_frontend *frontend = &scene->frontend;
	uint64_t address = 0x7f0000000000;
	cleanup_fd int event = make_eventfd(0, 0);
	struct vhu_frontend_log log;
	unsigned n_fds;

	log_begin(scene, &log);
	log_all(scene, true);
	n_fds = scene_fds(scene);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		expect_refused(frontend, set_log_base(scene, log.fd, bad[i].size, bad[i].offset));
	expect_refused(frontend, set_log_base(scene, event, PAGE, 0));
	expect_refused(frontend, vhu_frontend_call(frontend, VHU_SET_LOG_BASE, &address,
						   sizeof(address), NULL, 0, NULL));
	assert_int_equal(scene_fds(scene), n_fds);
	/* The log that there was is still the one. */
	vhu_frontend_log_clear(&log);
	scene_io(scene, &scene->driver);
	assert_true(vhu_frontend_log_count(&log) > 0);

	/* Who does not ask for an answer must not go on as if there were a log. */
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct vhu_log_base base = { bad[i].size, bad[i].offset };

		scene_negotiate_bits(scene, VHU_FRONTEND_FEATURES, LOG_PROTOCOL);
		send_raw(frontend, VHU_SET_LOG_BASE, VHU_VERSION, &base, sizeof(base), &log.fd, 1);
		scene_expect_closed(scene);
	}
	scene_negotiate(scene);
	expect_refused(frontend, set_log_base(scene, log.fd, LOG_BYTES, LOG_OFFSET));
	vhu_frontend_log_finish(&log);
}

/* vhost-user, VHOST_USER_SET_LOG_BASE: with LOG_SHMFD a reply, whether or not it is asked for. */
static void the_log_is_always_confirmed(void **state)
{
	const struct vhu_log_base base = { LOG_BYTES, LOG_OFFSET };
	struct scene *scene = *state;
	struct vhu_frontend *frontend = &scene->frontend;
	struct vhu_message reply;
	struct vhu_frontend_log log;

	log_begin(scene, &log);
	for (unsigned i = 0; i < 2; i++) {
		send_raw(frontend, VHU_SET_LOG_BASE, VHU_VERSION | (i ? VHU_FLAG_NEED_REPLY : 0),
			 &base, sizeof(base), &log.fd, 1);
		assert_int_equal(vhu_frontend_receive(frontend, &reply), 0);
		assert_int_equal(reply.header.request, VHU_SET_LOG_BASE);
		assert_int_equal(reply.header.size, sizeof(reply.payload.u64));
		assert_true(reply.payload.u64 == 0);
		vhu_message_finish(&reply);
		assert_int_equal(vhu_frontend_sync(frontend), 0); /* and only once */
	}
	vhu_frontend_log_finish(&log);
}

static void a_used_ring_outside_the_log_is_refused(void **state)
{
	static const uint64_t last = LOG_BYTES * 8 * PAGE - USED_BYTES;
	static const uint64_t bad[] = {
		last + 1, LOG_BYTES * 8 * PAGE, UINT64_MAX, UINT64_MAX - 100, 1ull << 63,
	};
	struct scene *scene = *state;
	struct vhu_frontend_log log;

	log_begin(scene, &log);
	log_all(scene, true);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		expect_refused(&scene->frontend, vhu_driver_log(&scene->driver, true, bad[i]));
	assert_int_equal(vhu_driver_log(&scene->driver, true, last), 0);
	scene_io(scene, &scene->driver);
	assert_true(vhu_frontend_log_has(&log, last));
	/* One that was set before there was a log ends the session when it is used. */
	scene_ring_bits(scene, VHU_FRONTEND_FEATURES, LOG_PROTOCOL);
	assert_int_equal(vhu_driver_log(&scene->driver, true, UINT64_MAX - 100), 0);
	assert_int_equal(vhu_frontend_set_log(&scene->frontend, &log), 0);
	log_all(scene, true);
	assert_true(scene_add(scene, &scene->driver, 0) >= 0);
	assert_true(vhu_driver_kick(&scene->driver) >= 0);
	scene_expect_closed(scene);
	vhu_frontend_log_finish(&log);
}

static void a_log_too_small_ends_the_session(void **state)
{
	struct scene *scene = *state;
	struct vhu_frontend_log log;

	log_begin(scene, &log);
	assert_int_equal(set_log_base(scene, log.fd, 1, 0), 0);
	scene->buffers[scene->target->n_readable].gpa += 8 * PAGE;
	scene_io(scene, &scene->driver);
	log_all(scene, true);
	assert_true(scene_add(scene, &scene->driver, 0) >= 0);
	assert_true(vhu_driver_kick(&scene->driver) >= 0);
	scene_expect_closed(scene);
	vhu_frontend_log_finish(&log);
}

static void a_log_cut_short_ends_the_session(void **state)
{
	struct scene *scene = *state;
	struct vhu_frontend_log log;

	log_begin(scene, &log);
	log_all(scene, true);
	scene_io(scene, &scene->driver);
	assert_int_equal(ftruncate(log.fd, 0), 0);
	assert_true(scene_add(scene, &scene->driver, 0) >= 0);
	assert_true(vhu_driver_kick(&scene->driver) >= 0);
	scene_expect_closed(scene);
	vhu_frontend_log_finish(&log);
}

static int set_log_fd(struct scene *scene, int fd)
{
	return vhu_frontend_call(&scene->frontend, VHU_SET_LOG_FD, NULL, 0, &fd, 1, NULL);
}

static void changes_of_the_log_are_told(void **state)
{
	struct scene *scene = *state;
	cleanup_fd int first = make_eventfd(0, EFD_NONBLOCK);
	cleanup_fd int second = make_eventfd(0, EFD_NONBLOCK);
	struct vhu_frontend_log log;
	uint64_t count;

	open_log(scene, &log);
	scene_ring_bits(scene, VHU_FRONTEND_FEATURES, LOG_PROTOCOL);
	expect_refused(&scene->frontend, set_log_fd(scene, log.fd));
	assert_int_equal(set_log_fd(scene, first), 0);
	assert_int_equal(vhu_frontend_set_log(&scene->frontend, &log), 0);
	scene_io(scene, &scene->driver);
	assert_int_equal(read(first, &count, sizeof(count)), -1);
	log_all(scene, true);
	scene_io(scene, &scene->driver);
	assert_int_equal(read(first, &count, sizeof(count)), sizeof(count));
	assert_int_equal(set_log_fd(scene, second), 0);
	vhu_frontend_log_clear(&log);
	scene_io(scene, &scene->driver);
	assert_int_equal(read(first, &count, sizeof(count)), -1);
	assert_int_equal(read(second, &count, sizeof(count)), sizeof(count));
	vhu_frontend_log_finish(&log);
}

/* Nobody waits for who does not read it, blocking or not. */
static void a_full_log_fd_holds_up_nobody(void **state)
{
	struct scene *scene = *state;
	cleanup_fd int fd = make_eventfd(UINT64_MAX - 1, 0);
	struct vhu_frontend_log log;

	log_begin(scene, &log);
	assert_int_equal(set_log_fd(scene, fd), 0);
	log_all(scene, true);
	scene_io(scene, &scene->driver);
	vhu_frontend_log_clear(&log);
	scene_io(scene, &scene->driver);
	assert_int_equal(vhu_driver_stop(&scene->driver), 0);
	vhu_frontend_log_finish(&log);
}

int main(int argc, char **argv)
{
	static const struct device_test tests[] = {
		DEVICE_TEST(nothing_is_marked_when_off, ON_BOTH | ON_IMAGE),
		DEVICE_TEST(a_new_log_replaces_the_old_one, ON_BOTH),
		DEVICE_TEST(regions_added_later_are_logged, ON_BOTH),
		DEVICE_TEST(bad_logs_are_refused, ON_BOTH),
		DEVICE_TEST(the_log_is_always_confirmed, ON_BOTH),
		DEVICE_TEST(a_used_ring_outside_the_log_is_refused, ON_RNG | SPLIT_ONLY),
		DEVICE_TEST(a_log_too_small_ends_the_session, ON_BOTH),
		DEVICE_TEST(a_log_cut_short_ends_the_session, ON_BOTH),
		DEVICE_TEST(changes_of_the_log_are_told, ON_BOTH),
		DEVICE_TEST(a_full_log_fd_holds_up_nobody, ON_RNG),
	};

	return run_device_tests(tests, ARRAY_SIZE(tests), argc, argv);
}
