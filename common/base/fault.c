/* SPDX-License-Identifier: BSD-3-Clause */
#include "common/base/fault.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * The handler runs wherever an access may fault, also in the middle of a sanitizer's own atomic
 * operation and under that one's locks: ThreadSanitizer is kept out of it.
 */
#if defined(__clang__) && __has_attribute(disable_sanitizer_instrumentation)
#define UNINSTRUMENTED __attribute__((disable_sanitizer_instrumentation))
#else
#define UNINSTRUMENTED
#endif

/*
 * The handler reads this table while others write it, and cannot lock. generation is odd while a
 * range is being changed; whoever sees it odd or changed passes over the range, which cannot be the
 * one that faulted: that one is guarded for as long as a thread touches it.
 */
struct range {
	atomic_uint generation;
	_Atomic uintptr_t base;
	_Atomic size_t len_bytes; /* 0: not in use */
	_Atomic size_t page_bytes;
	atomic_bool *_Atomic faulted;
};

static struct range ranges[VHU_FAULT_MAX];		 /* untouched pages of it cost nothing */
static atomic_uint n_ranges;				 /* no slot was ever used from here on */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* for writers */
static unsigned first_free;				 /* all below it are in use */
static struct sigaction previous;

static void set_range(struct range *range, uintptr_t base, size_t len_bytes, size_t page_bytes,
		      atomic_bool *faulted)
{
	atomic_fetch_add(&range->generation, 1);
	atomic_store(&range->base, base);
	atomic_store(&range->len_bytes, len_bytes);
	atomic_store(&range->page_bytes, page_bytes);
	atomic_store(&range->faulted, faulted);
	atomic_fetch_add(&range->generation, 1);
}

/* A copy of what the range was at one instant; false when it was being changed. */
UNINSTRUMENTED
static bool get_range(struct range *range, uintptr_t *ret_base, size_t *ret_len_bytes,
		      size_t *ret_page_bytes, atomic_bool **ret_faulted)
{
	unsigned generation = atomic_load(&range->generation);

	*ret_base = atomic_load(&range->base);
	*ret_len_bytes = atomic_load(&range->len_bytes);
	*ret_page_bytes = atomic_load(&range->page_bytes);
	*ret_faulted = atomic_load(&range->faulted);
	return generation % 2 == 0 && atomic_load(&range->generation) == generation;
}

UNINSTRUMENTED
static bool map_zeros(uintptr_t base, size_t len_bytes)
{
	/* Not the library's mmap(): the sanitizers' version of it is not for signal handlers. */
	long r = syscall(SYS_mmap, base, len_bytes, PROT_READ | PROT_WRITE,
			 MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0L);

	return r != -1;
}

/* Puts zeros over the page at address when it lies in a guarded range. */
UNINSTRUMENTED
static bool cover(uintptr_t address)
{
	unsigned i, n = atomic_load(&n_ranges);
	size_t len_bytes, page_bytes, offset;
	atomic_bool *faulted;
	uintptr_t base;

	for (i = 0; i < n; i++) {
		if (!get_range(&ranges[i], &base, &len_bytes, &page_bytes, &faulted) ||
		    address - base >= len_bytes)
			continue;
		/* First: who reads the zeros without a fault of its own must find it set. */
		atomic_store(faulted, true);
		offset = (address - base) / page_bytes * page_bytes;
		/* A hole splits a mapping, up to vm.max_map_count; the whole range never does. */
		return map_zeros(base + offset, page_bytes) || map_zeros(base, len_bytes);
	}
	return false;
}

UNINSTRUMENTED
static void on_sigbus(int signo, siginfo_t *info, void *context)
{
	bool is_fault = info->si_code > 0; /* else somebody's kill(2) */
	int saved_errno = errno;

	(void)context;
	if (!is_fault || !cover((uintptr_t)info->si_addr)) {
		/* The instruction faults again after we return; a kill must be sent anew. */
		sigaction(signo, &previous, NULL);
		if (!is_fault)
			raise(signo);
	}
	errno = saved_errno;
}

static int install(void)
{
	struct sigaction action = {
		.sa_sigaction = on_sigbus,
		.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART,
	};

	struct sigaction current;

	/* Asked anew each time: a library may have set a handler of its own since. */
	if (sigaction(SIGBUS, NULL, &current) < 0)
		return -errno;
	if (current.sa_flags & SA_SIGINFO && current.sa_sigaction == on_sigbus)
		return 0;
	previous = current;
	sigemptyset(&action.sa_mask);
	return sigaction(SIGBUS, &action, NULL) < 0 ? -errno : 0;
}

int vhu_fault_init(void)
{
	int r;

	pthread_mutex_lock(&lock);
	r = install();
	pthread_mutex_unlock(&lock);
	return r;
}

int vhu_fault_guard(struct vhu_fault_guard *guard, void *base, size_t len_bytes, size_t page_bytes,
		    atomic_bool *faulted)
{
	unsigned i;
	int r;

	assert(len_bytes && page_bytes && (uintptr_t)base % page_bytes == 0);
	pthread_mutex_lock(&lock);
	r = install();
	for (i = first_free; i < VHU_FAULT_MAX && atomic_load(&ranges[i].len_bytes); i++)
		;
	if (r == 0 && i == VHU_FAULT_MAX)
		r = -ENOSPC;
	if (r == 0) {
		set_range(&ranges[i], (uintptr_t)base, len_bytes, page_bytes, faulted);
		if (i == atomic_load(&n_ranges))
			atomic_store(&n_ranges, i + 1);
		guard->number = first_free = i + 1;
	}
	pthread_mutex_unlock(&lock);
	return r;
}

void vhu_fault_unguard(struct vhu_fault_guard *guard)
{
	if (!guard->number)
		return;
	pthread_mutex_lock(&lock);
	set_range(&ranges[guard->number - 1], 0, 0, 0, NULL);
	if (first_free >= guard->number)
		first_free = guard->number - 1;
	pthread_mutex_unlock(&lock);
	guard->number = 0;
}
