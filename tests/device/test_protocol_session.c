/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Start and stop, lost kicks, reset, and front-ends that come, go, wait and do not read
 * (protocol.md: Rings, Reset or pause, Reconnect, What broke others).
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/fd.h"
#include "common/base/num.h"
#include "tests/device/harness.h"

static int enable(struct scene *scene, uint32_t on)
{
	return vhu_frontend_set_vring(&scene->frontend, VHU_SET_VRING_ENABLE, 0, on);
}

/* Requests that were there before; nobody kicks. A lost first kick hangs guests. */
static void start_looks_at_the_ring(void **state)
{
	struct scene *scene = *state;
	struct vhu_driver *driver = &scene->driver;

	scene_ring(scene);
	for (unsigned round = 0; round < 20; round++) {
		assert_int_equal(vhu_driver_stop(driver), 0);
		for (unsigned i = 0; i < 3; i++)
			assert_true(scene_add(scene, driver, i) >= 0);
		vhu_driver_publish(driver);
		assert_int_equal(vhu_driver_start(driver), 0);
		scene_collect(scene, driver, 3);
	}
}

static void enable_looks_at_the_ring(void **state)
{
	struct scene *scene = *state;
	struct vhu_driver *driver = &scene->driver;

	scene_ring(scene);
	for (unsigned round = 0; round < 20; round++) {
		assert_int_equal(enable(scene, 0), 0);
		assert_true(scene_add(scene, driver, 0) >= 0);
		vhu_driver_publish(driver);
		assert_int_equal(enable(scene, 1), 0);
		scene_collect(scene, driver, 1);
	}
}

/* What is not enabled takes nothing, costs nothing and forgets nothing. */
static void disabled_rings_rest(void **state)
{
	struct scene *scene = *state;
	struct vhu_driver *driver = &scene->driver;
	unsigned cpu_ms;

	scene_ring(scene);
	scene_io(scene, driver);
	assert_int_equal(enable(scene, 0), 0);
	assert_true(scene_add(scene, driver, 0) >= 0);
	assert_true(vhu_driver_kick(driver) >= 0);
	scene_expect_silence(driver);
	cpu_ms = program_cpu_ms(&scene->program);
	sleep_ms(200);
	assert_true(program_cpu_ms(&scene->program) - cpu_ms < 50);
	assert_int_equal(enable(scene, 1), 0);
	scene_collect(scene, driver, 1);
}

/* A ring that is started, and enabled only later; and one that is enabled before its start. */
static void enable_and_start_come_in_any_order(void **state)
{
	struct scene *scene = *state;
	struct vhu_driver *driver = &scene->driver;
	struct vhu_frontend *frontend = &scene->frontend;

	scene_ring(scene);
	assert_int_equal(vhu_driver_stop(driver), 0);
	/* Enabled already, so that the kick fd alone makes it go. */
	assert_int_equal(enable(scene, 1), 0);
	assert_true(scene_add(scene, driver, 0) >= 0);
	vhu_driver_publish(driver);
	assert_int_equal(vhu_frontend_set_vring(frontend, VHU_SET_VRING_BASE, 0, driver->base), 0);
	assert_int_equal(vhu_frontend_set_vring_fd(frontend, VHU_SET_VRING_CALL, 0,
						   driver->call_fd), 0);
	assert_int_equal(vhu_frontend_set_vring_fd(frontend, VHU_SET_VRING_KICK, 0,
						   driver->kick_fd), 0);
	scene_collect(scene, driver, 1);
	/* Stopped and disabled; then started: it waits. */
	assert_int_equal(vhu_driver_stop(driver), 0);
	assert_true(scene_add(scene, driver, 0) >= 0);
	vhu_driver_publish(driver);
	assert_int_equal(vhu_frontend_set_vring_fd(frontend, VHU_SET_VRING_CALL, 0,
						   driver->call_fd), 0);
	assert_int_equal(vhu_frontend_set_vring_fd(frontend, VHU_SET_VRING_KICK, 0,
						   driver->kick_fd), 0);
	scene_expect_silence(driver);
	assert_int_equal(enable(scene, 1), 0);
	scene_collect(scene, driver, 1);
}

/* Kick and call are closed by GET_VRING_BASE, and nothing is written to either any more. */
static void stop_closes_kick_and_call(void **state)
{
	struct scene *scene = *state;
	struct vhu_driver *driver = &scene->driver;
	unsigned n_fds;
	uint64_t n_calls;

	scene_ring(scene);
	scene_io(scene, driver);
	n_fds = scene_fds(scene);
	assert_int_equal(vhu_driver_stop(driver), 0);
	/* The device may have closed more, now that all its rings rest. */
	assert_true(scene_fds(scene) <= n_fds - 2);
	assert_true(scene_add(scene, driver, 0) >= 0);
	n_calls = vhu_driver_count_calls(driver);
	assert_true(vhu_driver_kick(driver) >= 0);
	scene_expect_silence(driver);
	assert_true(vhu_driver_count_calls(driver) == n_calls);
}

static void stopped_twice_is_stopped(void **state)
{
	struct scene *scene = *state;
	struct vhu_driver *driver = &scene->driver;
	uint32_t base;

	scene_ring(scene);
	scene_io(scene, driver);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(vhu_driver_stop(driver), 0);
		assert_int_equal(driver->base, vhu_driver_idle_base(driver));
	}
	/* Nothing says that a stopped ring cannot be asked by another message order. */
	assert_int_equal(vhu_frontend_get_vring_base(&scene->frontend, 0, &base), 0);
	assert_int_equal(base, vhu_driver_idle_base(driver));
}

/* The guest's fault, which the front-end cannot be told: no reason to end the session. */
static void bad_start_without_acks_breaks_the_ring(void **state)
{
	struct scene *scene = *state;
	struct vhu_frontend *frontend = &scene->frontend;
	struct vhu_driver *driver = &scene->driver;
	uint64_t desc_gpa, status;

	scene_ring(scene);
	assert_int_equal(vhu_driver_stop(driver), 0);
	frontend->no_acks = true;
	desc_gpa = driver->desc_gpa;
	driver->desc_gpa += 8;
	assert_int_equal(vhu_driver_start(driver), 0);
	assert_int_equal(vhu_frontend_ask_u64(frontend, VHU_GET_STATUS, &status), 0);
	assert_true(status & VHU_STATUS_NEEDS_RESET);
	assert_int_equal(vhu_driver_stop(driver), 0);
	driver->desc_gpa = desc_gpa;
	assert_int_equal(vhu_driver_start(driver), 0);
	assert_int_equal(vhu_frontend_sync(frontend), 0);
	vhu_fd_drain(driver->err_fd);
	scene_io(scene, driver);
	frontend->no_acks = false;
}

/* Deprecated: disables all rings, and no more than that. */
static void reset_owner_disables_rings(void **state)
{
	struct scene *scene = *state;
	struct vhu_driver *driver = &scene->driver;

	scene_ring(scene);
	scene_io(scene, driver);
	assert_int_equal(vhu_frontend_tell(&scene->frontend, VHU_RESET_OWNER), 0);
	assert_true(scene_add(scene, driver, 0) >= 0);
	assert_true(vhu_driver_kick(driver) >= 0);
	scene_expect_silence(driver);
	assert_int_equal(enable(scene, 1), 0);
	scene_collect(scene, driver, 1);
}

static void reset_device_stops_rings(void **state)
{
	struct scene *scene = *state;
	struct vhu_driver *driver = &scene->driver;
	uint64_t status;

	scene_ring(scene);
	for (unsigned round = 0; round < 10; round++) {
		scene_io(scene, driver);
		assert_int_equal(vhu_frontend_tell(&scene->frontend, VHU_RESET_DEVICE), 0);
		assert_int_equal(vhu_frontend_ask_u64(&scene->frontend, VHU_GET_STATUS, &status),
				 0);
		assert_int_equal(status, 0);
		assert_true(scene_add(scene, driver, 0) >= 0);
		assert_true(vhu_driver_kick(driver) >= 0);
		scene_expect_silence(driver);
		/* A driver that begins: zeros everywhere. */
		vhu_driver_reset(driver);
		assert_int_equal(vhu_driver_start(driver), 0);
	}
	scene_io(scene, driver);
}

/* As QEMU stops and starts for a pause, a snapshot, or a reboot without RESET_DEVICE. */
static void pause_and_reboot_go_on(void **state)
{
	struct scene *scene = *state;
	struct vhu_driver *driver = &scene->driver;

	scene_ring(scene);
	for (unsigned round = 0; round < 20; round++) {
		scene_io(scene, driver);
		assert_int_equal(vhu_driver_stop(driver), 0);
		assert_int_equal(driver->base, vhu_driver_idle_base(driver));
		assert_int_equal(vhu_frontend_tell_u64(&scene->frontend, VHU_SET_STATUS, 0), 0);
		if (round % 4 == 3)
			vhu_driver_reset(driver);
		assert_int_equal(vhu_frontend_set_features(&scene->frontend,
							   scene->frontend.acked_features), 0);
		assert_int_equal(vhu_driver_start(driver), 0);
	}
	scene_io(scene, driver);
}

static bool answers(struct vhu_frontend *frontend, int timeout_ms)
{
	struct pollfd pollfd = { .fd = frontend->fd, .events = POLLIN };

	return poll(&pollfd, 1, timeout_ms) > 0;
}

/* One at a time: the second waits, and is served when the first has gone, whichever way. */
static void second_frontend_waits(void **state)
{
	struct scene *scene = *state;
	struct vhu_frontend second;
	struct vhu_message reply;

	vhu_frontend_init(&second);
	for (unsigned round = 0; round < 5; round++) {
		scene_ring(scene);
		assert_int_equal(vhu_frontend_connect(&second, scene->program.socket), 0);
		send_raw(&second, VHU_GET_FEATURES, VHU_VERSION, NULL, 0, NULL, 0);
		assert_false(answers(&second, 30));
		scene_io(scene, &scene->driver);
		if (round % 2)
			send_raw(&scene->frontend, VHU_GET_FEATURES, 0, NULL, 0, NULL, 0);
		else
			vhu_frontend_disconnect(&scene->frontend);
		assert_int_equal(vhu_frontend_receive(&second, &reply), 0);
		assert_int_equal(reply.header.request, VHU_GET_FEATURES);
		vhu_frontend_disconnect(&second);
	}
	vhu_frontend_finish(&second);
}

/* One that waited and left before its turn. */
static void impatient_frontends_are_passed_over(void **state)
{
	struct scene *scene = *state;
	struct vhu_frontend others[8];

	scene_ring(scene);
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		vhu_frontend_init(&others[i]);
		assert_int_equal(vhu_frontend_connect(&others[i], scene->program.socket), 0);
		send_raw(&others[i], VHU_GET_FEATURES, VHU_VERSION, NULL, 0, NULL, 0);
	}
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		vhu_frontend_finish(&others[i]);
	scene_io(scene, &scene->driver);
	vhu_frontend_disconnect(&scene->frontend);
	scene_serves(scene);
}

/* Session state is per session: what the last front-end negotiated and set is gone. */
static void sessions_know_nothing_of_each_other(void **state)
{
	struct scene *scene = *state;
	struct vhu_frontend *frontend = &scene->frontend;
	cleanup_fd int fd = make_eventfd(0, 0);
	uint32_t base;

	scene_ring(scene);
	scene_io(scene, &scene->driver);
	scene_connect(scene);
	/* No protocol feature: an ack would be one too many. */
	send_raw(frontend, VHU_SET_OWNER, VHU_VERSION | VHU_FLAG_NEED_REPLY, NULL, 0, NULL, 0);
	assert_int_equal(vhu_frontend_sync(frontend), 0);
	assert_int_equal(vhu_frontend_get_vring_base(frontend, 0, &base), 0);
	assert_int_equal(base, 0);
	/* Neither memory nor addresses nor a size. */
	assert_int_equal(vhu_frontend_set_vring_fd(frontend, VHU_SET_VRING_KICK, 0, fd),
			 -ECONNRESET);
}

/* Replies that nobody reads fill the socket: the session may end or wait, and nobody else. */
static void fill_with_requests(struct vhu_frontend *frontend)
{
	struct vhu_header headers[64];
	uint64_t deadline_ns = vhu_now_ns() + 300 * NS_PER_MS;

	for (size_t i = 0; i < ARRAY_SIZE(headers); i++)
		headers[i] = (struct vhu_header){ VHU_GET_FEATURES, VHU_VERSION, 0 };
	frontend->timeout_ms = 50;
	while (vhu_now_ns() < deadline_ns &&
	       vhu_frontend_send_bytes(frontend, headers, sizeof(headers), NULL, 0) == 0)
		;
}

static void unread_replies_block_nobody(void **state)
{
	struct scene *scene = *state;

	scene_ring(scene);
	fill_with_requests(&scene->frontend);
	assert_true(program_lives(&scene->program));
	assert_int_equal(program_end(&scene->program), 0);
}

static void frontends_that_did_not_read_go(void **state)
{
	struct scene *scene = *state;

	scene_ring(scene);
	fill_with_requests(&scene->frontend);
	scene->frontend.timeout_ms = 5000;
	vhu_frontend_disconnect(&scene->frontend);
}

/* The channel is full of what the program does not ask for, and is not read. */
static void noise_on_the_channel_does_no_harm(void **state)
{
	struct scene *scene = *state;
	struct vhu_frontend *frontend = &scene->frontend;
	const struct vhu_header huge = { 1, VHU_VERSION | VHU_FLAG_REPLY, 0xffffffff };
	struct vhu_header replies[100];

	scene_ring(scene);
	for (size_t i = 0; i < ARRAY_SIZE(replies); i++)
		replies[i] = (struct vhu_header){ (uint32_t)i, VHU_VERSION | VHU_FLAG_REPLY, 0 };
	assert_true(write(frontend->channel_fd, replies, sizeof(replies)) > 0);
	scene_io(scene, &scene->driver);
	assert_true(write(frontend->channel_fd, &huge, sizeof(huge)) > 0);
	scene_io(scene, &scene->driver);
	close_fd(&frontend->channel_fd);
	scene_io(scene, &scene->driver);
	assert_int_equal(vhu_frontend_open_channel(frontend), 0);
	scene_io(scene, &scene->driver);
}

static void odd_channels_do_no_harm(void **state)
{
	struct scene *scene = *state;
	cleanup_fd int file = make_memfd(0), event = make_eventfd(1, 0);
	const int fds[] = { file, event };

	scene_ring(scene);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		int r = vhu_frontend_call(&scene->frontend, VHU_SET_BACKEND_REQ_FD, NULL, 0,
					  &fds[i], 1, NULL);

		assert_true(r == 0 || r == -EREMOTEIO);
		scene_io(scene, &scene->driver);
	}
}

/* Gone at once, with a ring full of requests in the program's hands. */
static void killed_frontend_is_forgotten(void **state)
{
	struct scene *scene = *state;
	int status;
	pid_t pid;

	for (unsigned round = 0; round < 10; round++) {
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			scene_ring(scene);
			for (unsigned i = 0; i < RING_SIZE; i++)
				scene_add(scene, &scene->driver, i);
			vhu_driver_kick(&scene->driver);
			raise(SIGKILL);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
	}
}

int main(int argc, char **argv)
{
	static const struct device_test tests[] = {
		DEVICE_TEST(start_looks_at_the_ring, ON_BOTH),
		DEVICE_TEST(enable_looks_at_the_ring, ON_BOTH),
		DEVICE_TEST(disabled_rings_rest, ON_BOTH),
		DEVICE_TEST(enable_and_start_come_in_any_order, ON_BOTH),
		DEVICE_TEST(stop_closes_kick_and_call, ON_BOTH),
		DEVICE_TEST(stopped_twice_is_stopped, ON_BOTH),
		DEVICE_TEST(bad_start_without_acks_breaks_the_ring, ON_BOTH),
		DEVICE_TEST(reset_owner_disables_rings, ON_BOTH),
		DEVICE_TEST(reset_device_stops_rings, ON_BOTH),
		DEVICE_TEST(pause_and_reboot_go_on, ON_BOTH),
		DEVICE_TEST(second_frontend_waits, ON_BOTH),
		DEVICE_TEST(impatient_frontends_are_passed_over, ON_BOTH),
		DEVICE_TEST(sessions_know_nothing_of_each_other, ON_BOTH),
		DEVICE_TEST(unread_replies_block_nobody, ON_BOTH),
		DEVICE_TEST(frontends_that_did_not_read_go, ON_BOTH),
		DEVICE_TEST(noise_on_the_channel_does_no_harm, ON_BOTH),
		DEVICE_TEST(odd_channels_do_no_harm, ON_BOTH),
		DEVICE_TEST(killed_frontend_is_forgotten, ON_BOTH),
	};

	return run_device_tests(tests, ARRAY_SIZE(tests), argc, argv);
}
