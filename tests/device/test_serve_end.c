/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The end of a program while requests are in flight: a child serves a device that completes them
 * only long after it was asked to, or never.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/backend/vring.h"
#include "common/backend/worker.h"
#include "common/base/fd.h"
#include "common/base/num.h"
#include "common/frontend/driver.h"
#include "common/frontend/frontend.h"
#include "common/serve/daemon.h"

#define EVENT_TIMER 2
#define NEVER 0

static int home_fd;
static char folder[64];
static pid_t pid;
static struct vhu_frontend frontend;
static struct vhu_driver driver;

/* Holds a request until drain_ns after the drain began. */
struct slow {
	struct vhu_device device;
	struct vhu_chain *held;
	uint64_t drain_ns;
	int timer_fd;
};

static unsigned slow_num_queues(struct vhu_device *device)
{
	(void)device;
	return 1;
}

static unsigned slow_max_queue_size(struct vhu_device *device)
{
	(void)device;
	return 16;
}

static uint64_t slow_features(struct vhu_device *device)
{
	(void)device;
	return 0;
}

static int slow_handle_event(struct vhu_device *device, unsigned event_id, uint32_t epoll_events,
			     unsigned worker_idx)
{
	struct slow *slow = container_of(device, struct slow, device);
	struct vhu_vring *vring = vhu_device_vring(device, 0);
	struct vhu_chain *chain;

	(void)epoll_events;
	(void)worker_idx;
	if (event_id == 0) {
		while ((chain = vhu_vring_pop(vring)))
			slow->held = chain;
	} else {
		vhu_fd_drain(slow->timer_fd);
		vhu_vring_push(vring, slow->held, 1);
		vhu_vring_notify(vring);
	}
	return 0;
}

static void slow_drain(struct vhu_device *device, unsigned queue, enum vhu_drain_reason reason)
{
	struct slow *slow = container_of(device, struct slow, device);
	struct itimerspec when = { .it_value.tv_nsec = (long)slow->drain_ns };

	(void)queue;
	(void)reason;
	timerfd_settime(slow->timer_fd, 0, &when, NULL);
}

static void slow_destroy(struct vhu_device *device)
{
	free(container_of(device, struct slow, device));
}

static const struct vhu_device_ops slow_ops = {
	.name = "slow",
	.num_queues = slow_num_queues,
	.max_queue_size = slow_max_queue_size,
	.features = slow_features,
	.handle_event = slow_handle_event,
	.drain = slow_drain,
	.destroy = slow_destroy,
};

static void write_letter(void *data, uint32_t events)
{
	(void)events;
	(void)!write(STDOUT_FILENO, data, 1);
}

/* In the child; returns its exit status, or 99 when it could not begin. */
static int serve(uint64_t drain_ns)
{
	struct vhu_endpoint endpoint = { .socket_path = "s", .fd = -1 };
	struct slow *slow = calloc(1, sizeof(*slow));
	struct vhu_daemon *daemon;
	int status;

	if (!slow || vhu_daemon_new(&daemon) < 0 || vhu_device_init(&slow->device, &slow_ops) < 0)
		return 99;
	slow->drain_ns = drain_ns;
	slow->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (vhu_worker_register_listener(vhu_device_worker(&slow->device, 0), slow->timer_fd,
					 EPOLLIN, EVENT_TIMER) < 0 ||
	    vhu_daemon_on_signal(daemon, SIGHUP, write_letter, "x") < 0 ||
	    vhu_daemon_on_signal(daemon, SIGHUP, write_letter, "h") < 0 ||
	    vhu_daemon_on_signal(daemon, SIGUSR1, write_letter, "u") < 0 ||
	    vhu_daemon_add(daemon, &slow->device, &endpoint) < 0)
		return 99;
	vhu_device_unref(&slow->device);
	status = vhu_daemon_run(daemon);
	vhu_daemon_destroy(daemon);
	return status;
}

/* The child, and a request that it holds. */
static void begin(uint64_t drain_ns)
{
	struct vhu_guest_buffer buffer;

	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(serve(drain_ns));
	vhu_frontend_init(&frontend);
	assert_int_equal(vhu_guest_add(&frontend.guest, 0, 1 << 20), 0);
	assert_int_equal(vhu_frontend_connect(&frontend, "s"), 0);
	assert_int_equal(vhu_frontend_negotiate(&frontend, VHU_FRONTEND_FEATURES,
						VHU_FRONTEND_PROTOCOL_FEATURES), 0);
	assert_int_equal(vhu_frontend_share_memory(&frontend), 0);
	assert_int_equal(vhu_driver_init(&driver, &frontend, 0, 16), 0);
	assert_int_equal(vhu_driver_start(&driver), 0);
	buffer = vhu_guest_alloc(&frontend.guest, 16, 16);
	assert_true(vhu_driver_add(&driver, &buffer, 0, 1, 7) >= 0);
	assert_true(vhu_driver_kick(&driver) >= 0);
	/* So that it is popped, not only kicked. */
	usleep(100000);
}

/* The status and how long it took from start_ns. Nothing but the child's own removal clears "s". */
static int end_status(uint64_t start_ns, uint64_t *ret_ms)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	pid = 0;
	*ret_ms = (vhu_now_ns() - start_ns) / NS_PER_MS;
	assert_int_equal(access("s", F_OK), -1);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void send_signal(int signo)
{
	assert_int_equal(kill(pid, signo), 0);
}

static void test_drain_is_waited_for(void **state)
{
	struct vhu_driver_used used;
	uint64_t start_ns, ms;

	(void)state;
	begin(500 * NS_PER_MS);
	start_ns = vhu_now_ns();
	send_signal(SIGTERM);
	assert_int_equal(end_status(start_ns, &ms), 0);
	assert_in_range(ms, 450, 1900);
	assert_int_equal(vhu_driver_get(&driver, &used), 1);
	assert_int_equal(used.token, 7);
	assert_int_equal(used.len, 1);
}

static void test_drain_that_never_ends(void **state)
{
	uint64_t start_ns, ms;

	(void)state;
	begin(NEVER);
	start_ns = vhu_now_ns();
	send_signal(SIGTERM);
	assert_int_equal(end_status(start_ns, &ms), 1);
	assert_in_range(ms, 1900, 4000);
}

static void test_second_signal(void **state)
{
	uint64_t start_ns, ms;

	(void)state;
	begin(NEVER);
	start_ns = vhu_now_ns();
	send_signal(SIGTERM);
	usleep(200000);
	send_signal(SIGINT);
	assert_int_equal(end_status(start_ns, &ms), 1);
	assert_in_range(ms, 200, 1500);
}

/* The front-end is gone, and its session drains already. */
static void test_signal_while_draining(void **state)
{
	uint64_t start_ns, ms;

	(void)state;
	begin(500 * NS_PER_MS);
	vhu_frontend_disconnect(&frontend);
	usleep(100000);
	start_ns = vhu_now_ns();
	send_signal(SIGTERM);
	assert_int_equal(end_status(start_ns, &ms), 0);
	assert_in_range(ms, 100, 1500);

	vhu_driver_finish(&driver);
	vhu_frontend_finish(&frontend);
	begin(NEVER);
	vhu_frontend_disconnect(&frontend);
	usleep(100000);
	start_ns = vhu_now_ns();
	send_signal(SIGTERM);
	assert_int_equal(end_status(start_ns, &ms), 1);
	assert_in_range(ms, 1900, 4000);
}

/* A request is in flight, and main still hears: the callback that was set last. */
static void test_other_signals(void **state)
{
	uint64_t ms;
	int out[2], saved = dup(STDOUT_FILENO);
	char letters[2];

	(void)state;
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	fflush(stdout);
	dup2(out[1], STDOUT_FILENO);
	begin(1);
	dup2(saved, STDOUT_FILENO);
	close(saved);
	close(out[1]);
	send_signal(SIGHUP);
	assert_int_equal(read(out[0], &letters[0], 1), 1);
	send_signal(SIGUSR1);
	assert_int_equal(read(out[0], &letters[1], 1), 1);
	assert_memory_equal(letters, "hu", 2);
	send_signal(SIGTERM);
	assert_int_equal(end_status(vhu_now_ns(), &ms), 0);
	close(out[0]);
}

static int setup(void **state)
{
	(void)state;
	alarm(60);
	snprintf(folder, sizeof(folder), "/tmp/vhu-serve.XXXXXX");
	return mkdtemp(folder) ? chdir(folder) : -1;
}

static int teardown(void **state)
{
	(void)state;
	if (pid > 0) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		pid = 0;
	}
	vhu_driver_finish(&driver);
	vhu_frontend_finish(&frontend);
	return fchdir(home_fd) || rmdir(folder);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_drain_is_waited_for),
		TEST(test_drain_that_never_ends),
		TEST(test_second_signal),
		TEST(test_signal_while_draining),
		TEST(test_other_signals),
	};

	home_fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
