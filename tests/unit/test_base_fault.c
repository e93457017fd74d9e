/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/cleanup.h"
#include "common/base/fault.h"

#define PAGES 8

static size_t page;

struct victim {
	int fd;
	volatile char *base; /* PAGES pages of 'A', aligned to PAGES pages */
	atomic_bool faulted;
	struct vhu_fault_guard guard;
};

static void victim_init(struct victim *v)
{
	char *space = mmap(NULL, 2 * PAGES * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *base;

	assert_ptr_not_equal(space, MAP_FAILED);
	base = space + PAGES * page - (uintptr_t)space % (PAGES * page);
	memset(v, 0, sizeof(*v));
	v->fd = memfd_create("vhu-test", MFD_CLOEXEC);
	assert_int_equal(ftruncate(v->fd, (off_t)(PAGES * page)), 0);
	v->base = mmap(base, PAGES * page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, v->fd,
		       0);
	assert_ptr_equal(v->base, base);
	memset(base, 'A', PAGES * page);
	munmap(space, (size_t)(base - space));
	munmap(base + PAGES * page, (size_t)(space + PAGES * page - base));
}

static void victim_guard(struct victim *v, size_t page_bytes)
{
	assert_int_equal(
		vhu_fault_guard(&v->guard, (void *)v->base, PAGES * page, page_bytes, &v->faulted),
		0);
}

static void victim_finish(struct victim *v)
{
	vhu_fault_unguard(&v->guard);
	munmap((void *)v->base, PAGES * page);
	close(v->fd);
}

static int setup(void **state)
{
	(void)state;
	alarm(60);
	page = (size_t)sysconf(_SC_PAGESIZE);
	return 0;
}

static void test_read(void **state)
{
	struct victim v, other;

	(void)state;
	victim_init(&v);
	victim_init(&other);
	victim_guard(&other, page);
	victim_guard(&v, page);
	assert_int_equal(ftruncate(v.fd, (off_t)page), 0);
	assert_int_equal(v.base[0], 'A');
	assert_false(v.faulted);
	errno = 4711;
	assert_int_equal(v.base[5 * page + 17], 0);
	assert_int_equal(errno, 4711);
	assert_true(v.faulted);
	assert_int_equal(v.base[0], 'A');

	assert_int_equal(other.base[5 * page], 'A');
	assert_false(other.faulted);
	victim_finish(&v);
	victim_finish(&other);
}

static void test_write(void **state)
{
	struct victim v;
	size_t i;

	(void)state;
	victim_init(&v);
	victim_guard(&v, page);
	assert_int_equal(ftruncate(v.fd, 0), 0);
	v.base[PAGES * page - 1] = 'x';
	assert_true(v.faulted);
	assert_int_equal(v.base[PAGES * page - 1], 'x');
	assert_int_equal(v.base[(PAGES - 1) * page], 0);

	/* Every page of it, by a copy as a request does it. */
	atomic_store(&v.faulted, false);
	memset((char *)v.base, 'y', PAGES * page);
	assert_true(v.faulted);
	for (i = 0; i < PAGES; i++)
		assert_int_equal(v.base[i * page], 'y');
	victim_finish(&v);
}

/* A mapping of huge pages can only be replaced in its own unit, counted from its start. */
static void test_large_pages(void **state)
{
	struct victim v;

	(void)state;
	victim_init(&v);
	victim_guard(&v, PAGES / 2 * page);
	assert_int_equal(ftruncate(v.fd, (off_t)((PAGES - 1) * page)), 0);
	assert_int_equal(v.base[(PAGES - 1) * page], 0);
	assert_true(v.faulted);
	assert_int_equal(v.base[PAGES / 2 * page], 0);
	assert_int_equal(v.base[PAGES / 2 * page - 1], 'A');
	victim_finish(&v);
}

/* A process may have only so many mappings, and a hole in one makes three of it. */
static void test_no_more_mappings(void **state)
{
	const size_t max = 1u << 17; /* vm.max_map_count is 65530 as a rule */
	char *comb = mmap(NULL, 2 * max * page, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct victim v;
	char first, last;
	size_t n = 0;

	(void)state;
	assert_ptr_not_equal(comb, MAP_FAILED);
	victim_init(&v);
	victim_guard(&v, page);
	assert_int_equal(ftruncate(v.fd, (off_t)page), 0);
	while (n < max && mprotect(comb + 2 * n * page, page, PROT_READ) == 0)
		n++;
	errno = 4711;
	last = v.base[4 * page];
	first = v.base[0];
	mprotect(comb, 2 * max * page, PROT_NONE); /* one mapping again */
	munmap(comb, 2 * max * page);
	if (n == max) {
		victim_finish(&v);
		skip();
	}
	assert_int_equal(errno, 4711);
	assert_true(v.faulted);
	assert_int_equal(last, 0);
	assert_int_equal(first, 0); /* the whole range was given up */
	victim_finish(&v);
}

enum how {
	UNGUARDED,
	NO_LONGER_GUARDED,
	BESIDE,
	KILLED
};

static void die(enum how how)
{
	struct rlimit no_core = { 0 };
	struct victim v, beside;

	setrlimit(RLIMIT_CORE, &no_core);
	/* Neither cmocka nor a sanitizer is to be asked. */
	signal(SIGBUS, SIG_DFL);
	if (vhu_fault_init() || vhu_fault_init())
		_exit(3);
	victim_init(&v);
	victim_init(&beside);
	if (how == NO_LONGER_GUARDED || how == BESIDE)
		victim_guard(&v, page);
	if (how == NO_LONGER_GUARDED)
		vhu_fault_unguard(&v.guard);
	if (ftruncate(v.fd, 0) < 0 || ftruncate(beside.fd, 0) < 0)
		_exit(2);
	if (how == KILLED)
		kill(getpid(), SIGBUS);
	else
		(how == BESIDE ? &beside : &v)->base[page] = 1;
	_exit(0);
}

static void test_elsewhere_kills(void **state)
{
	enum how how;
	int status;
	pid_t pid;

	(void)state;
	for (how = UNGUARDED; how <= KILLED; how++) {
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0)
			die(how);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), SIGBUS);
	}
}

#define CHURNERS 2
#define CHURNED 16

static atomic_bool churn_ends;

/*
 * These ranges lie where nothing is, and change all the time. The base of one state with the length
 * of the next would hold every address there is.
 */
static void *churn(void *data)
{
	struct vhu_fault_guard guards[CHURNED] = { 0 };
	size_t half = SIZE_MAX / 2 + 1;
	unsigned i;

	while (!atomic_load(&churn_ends)) {
		for (i = 0; i < CHURNED; i++) {
			if (vhu_fault_guard(&guards[i], (void *)half, half - page, page, data))
				return NULL;
		}
		for (i = 0; i < CHURNED; i++)
			vhu_fault_unguard(&guards[i]);
	}
	return data;
}

static void test_registry_in_motion(void **state)
{
	struct vhu_fault_guard before[CHURNERS * CHURNED] = { 0 };
	atomic_bool wrong = false;
	pthread_t threads[CHURNERS];
	struct victim v;
	void *result;
	size_t i;

	(void)state;
	/* The look-up of ours comes past the places of all the others. */
	for (i = 0; i < CHURNERS * CHURNED; i++)
		assert_int_equal(vhu_fault_guard(&before[i], (void *)page, page, page, &wrong), 0);
	victim_init(&v);
	victim_guard(&v, page);
	assert_int_equal(ftruncate(v.fd, 0), 0);
	for (i = 0; i < CHURNERS * CHURNED; i++)
		vhu_fault_unguard(&before[i]);
	for (i = 0; i < CHURNERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, churn, &wrong), 0);

	for (i = 0; i < 10000; i++) {
		atomic_store(&v.faulted, false);
		assert_int_equal(v.base[i % PAGES * page], 0);
		assert_true(v.faulted);
		assert_ptr_equal(mmap((void *)v.base, PAGES * page, PROT_READ | PROT_WRITE,
				      MAP_SHARED | MAP_FIXED, v.fd, 0),
				 v.base);
	}
	atomic_store(&churn_ends, true);
	for (i = 0; i < CHURNERS; i++) {
		assert_int_equal(pthread_join(threads[i], &result), 0);
		assert_ptr_equal(result, &wrong);
	}
	assert_false(wrong);
	victim_finish(&v);
}

static void test_full_registry(void **state)
{
	cleanup_free struct vhu_fault_guard *guards = calloc(VHU_FAULT_MAX, sizeof(*guards));
	char *fake = (char *)(16 * page);
	struct vhu_fault_guard one_more = { 0 };
	atomic_bool faulted = false;
	struct victim v;
	unsigned i;

	(void)state;
	for (i = 1; i < VHU_FAULT_MAX; i++)
		assert_int_equal(vhu_fault_guard(&guards[i], fake, page, page, &faulted), 0);
	victim_init(&v);
	victim_guard(&v, page);
	assert_int_equal(vhu_fault_guard(&one_more, fake, page, page, &faulted), -ENOSPC);
	vhu_fault_unguard(&one_more);

	assert_int_equal(ftruncate(v.fd, 0), 0);
	assert_int_equal(v.base[0], 0);
	assert_true(v.faulted);

	/* A slot in the middle is found again. */
	vhu_fault_unguard(&guards[VHU_FAULT_MAX / 2]);
	assert_int_equal(vhu_fault_guard(&one_more, fake, page, page, &faulted), 0);
	vhu_fault_unguard(&one_more);
	vhu_fault_unguard(&one_more);
	for (i = 1; i < VHU_FAULT_MAX; i++)
		vhu_fault_unguard(&guards[i]);
	assert_false(faulted);
	victim_finish(&v);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read),
		cmocka_unit_test(test_write),
		cmocka_unit_test(test_large_pages),
		cmocka_unit_test(test_no_more_mappings),
		cmocka_unit_test(test_elsewhere_kills),
		cmocka_unit_test(test_registry_in_motion),
		cmocka_unit_test(test_full_registry),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
