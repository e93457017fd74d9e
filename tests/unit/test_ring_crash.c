/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The device dies at any instant and is started again: each request comes back to the driver once.
 *
 * First instant by instant: a child runs a script of device and driver, an instruction at a time,
 * and after each that has changed anything the world is copied and the copy gets a new device,
 * either at once or when the driver has taken and submitted what it could. Then in the large: the
 * driver runs all the time, and the device is killed again and again, in its recovery too.
 */

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <linux/virtio_config.h>

#include "common/base/num.h"
#include "common/ring/inflight.h"
#include "tests/unit/crash_world.h"

/* A sanitized child takes long to be made and to be stepped. */
#ifdef __has_feature
#define HAS_FEATURE(name) __has_feature(name)
#else
#define HAS_FEATURE(name) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || HAS_FEATURE(address_sanitizer)
#define SCRIPT_STEPS 40
#define KILLS 30
#else
#define SCRIPT_STEPS 150
#define KILLS 250
#endif
#define PACKED (1ull << VIRTIO_F_RING_PACKED)
#define IN_ORDER (1ull << VIRTIO_F_IN_ORDER)

struct form {
	uint16_t size;
	uint64_t features;
};

static const struct form forms[] = {
	{ 4, 0 }, { 8, IN_ORDER }, { 4, PACKED }, { 5, PACKED }, { 4, PACKED | IN_ORDER }
};

static void expect_no_fault(const struct world *w, const char *when, uint64_t detail)
{
	if (w->notes->fault)
		fail_msg("%s ring of %u, %s %llu: %s", w->notes->packed ? "packed" : "split",
			 w->notes->size, when, (unsigned long long)detail, w->notes->fault);
}

static void device_turn(struct world *w, struct world_device *d, bool started)
{
	w->notes->in_device = 1;
	if (started)
		world_device_step(d);
	else if (world_device_start(d, w) < 0)
		world_fault(w, "the device does not start");
	w->notes->in_device = 0;
}

/* In the child. Bursts, so that batches and rings are at times full. */
static void run_script(struct world *w)
{
	struct world_device device;

	for (unsigned i = 0; i < SCRIPT_STEPS && !w->notes->fault; i++) {
		if (!world_draw(w, 4))
			world_collect(w);
		while (world_draw(w, 3) && world_submit(w))
			;
		device_turn(w, &device, i > 0);
	}
	_exit(0);
}

/* What the dead device left goes on with another. */
static void live_on(struct world *copy, const char *left, bool driver_first, uint64_t instant)
{
	struct world_device device;
	int r;

	memcpy(copy->mem, left, WORLD_BYTES);
	copy->random = instant * 0x9e3779b97f4a7c15ull | 1;
	if (driver_first) {
		world_collect(copy);
		while (world_submit(copy))
			;
	}
	r = world_device_start(&device, copy);
	if (r < 0)
		fail_msg("%s ring of %u, instant %llu: start: %d",
			 copy->notes->packed ? "packed" : "split", copy->notes->size,
			 (unsigned long long)instant, r);
	for (unsigned i = 0; i < 12; i++)
		world_device_step(&device);
	world_collect(copy);
	world_submit(copy);
	world_device_finish(&device);
	world_collect(copy);
	if (!world_is_idle(copy))
		world_fault(copy, "a request was lost");
	expect_no_fault(copy, driver_first ? "driver first, instant" : "instant", instant);
}

/* Steps the child to its end. Returns the number of instants that were looked at. */
static uint64_t step_through(pid_t child, struct world *w, struct world *copy)
{
	static char left[WORLD_BYTES];
	uint64_t n = 0;
	int status;

	memcpy(left, w->mem, WORLD_BYTES);
	while (waitpid(child, &status, 0) == child && WIFSTOPPED(status)) {
		assert_true(WSTOPSIG(status) == SIGTRAP || WSTOPSIG(status) == SIGSTOP);
		if (w->notes->in_device && memcmp(left, w->mem, WORLD_BYTES)) {
			memcpy(left, w->mem, WORLD_BYTES);
			live_on(copy, left, false, n);
			live_on(copy, left, true, n);
			n++;
		}
		assert_int_equal(ptrace(PTRACE_SINGLESTEP, child, NULL, NULL), 0);
	}
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	return n;
}

static void each_instant(const struct form *form, uint64_t seed)
{
	struct world w, copy;
	pid_t child;
	uint64_t n;

	world_init(&w, form->size, form->features, seed);
	world_init(&copy, form->size, form->features, seed);
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
			_exit(1);
		raise(SIGSTOP);
		run_script(&w);
	}
	n = step_through(child, &w, &copy);
	expect_no_fault(&w, "seed", seed);
	/* Less would be no test of it. */
	assert_in_range(n, SCRIPT_STEPS / 2, UINT32_MAX);
	assert_in_range(w.notes->n_finished, SCRIPT_STEPS / 20, UINT32_MAX);
	world_finish(&copy);
	world_finish(&w);
}

static void every_instant_is_recovered_from(void **state)
{
	cpu_set_t all, one;

	(void)state;
	/* On one CPU a step is quicker, as nobody has to be woken on another. */
	assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);
	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	for (size_t i = 0; i < ARRAY_SIZE(forms); i++)
		each_instant(&forms[i], i + 1);
	assert_int_equal(sched_setaffinity(0, sizeof(all), &all), 0);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_SEC + (uint64_t)now.tv_nsec;
}

static void drive(struct world *w, uint64_t ns)
{
	uint64_t end = now_ns() + ns;

	do {
		world_collect(w);
		world_submit(w);
	} while (now_ns() < end && !w->notes->fault);
}

/* In a child. It has its own copy of the random state, so each gets another one. */
static void serve_until_killed(struct world *w, uint64_t seed)
{
	struct world_device device;

	w->random = seed * 0x2545f4914f6cdd1dull | 1;
	__atomic_add_fetch(&w->notes->n_lives, 1, __ATOMIC_SEQ_CST);
	if (world_device_start(&device, w) < 0)
		world_fault(w, "the device does not start");
	while (!w->notes->fault)
		world_device_step(&device);
	_exit(1);
}

static void kill_again_and_again(const struct form *form)
{
	struct world_device device;
	struct world w;

	world_init(&w, form->size, form->features, 1);
	for (uint64_t i = 0; i < KILLS; i++) {
		pid_t child = fork();

		assert_true(child >= 0);
		if (!child)
			serve_until_killed(&w, i);
		while (__atomic_load_n(&w.notes->n_lives, __ATOMIC_SEQ_CST) <= i)
			sched_yield();
		drive(&w, world_draw(&w, 600) * NS_PER_US);
		kill(child, SIGKILL);
		assert_int_equal(waitpid(child, NULL, 0), child);
		expect_no_fault(&w, "kill", i);
	}
	assert_int_equal(world_device_start(&device, &w), 0);
	world_device_finish(&device);
	world_collect(&w);
	if (!world_is_idle(&w))
		world_fault(&w, "a request was lost");
	expect_no_fault(&w, "kill", KILLS);
	/* Many laps of the ring. */
	assert_in_range(w.notes->n_finished, KILLS / 2, UINT64_MAX);
	world_finish(&w);
}

static void kills_lose_nothing(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(forms); i++)
		kill_again_and_again(&forms[i]);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_instant_is_recovered_from),
		cmocka_unit_test(kills_lose_nothing),
	};

	return cmocka_run_group_tests_name("ring/crash", tests, NULL, NULL);
}
