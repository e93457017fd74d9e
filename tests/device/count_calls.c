/* SPDX-License-Identifier: BSD-3-Clause */
/* Preloaded: stands before the C library, counts, and goes on to it. See count_calls.h. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "tests/device/count_calls.h"

static struct counts *counts;

__attribute__((constructor)) static void map_counts(void)
{
	const char *path = getenv(COUNTS_ENV);
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;

	if (fd < 0)
		abort();
	counts = (struct counts *)syscall(SYS_mmap, NULL, sizeof(*counts), PROT_READ | PROT_WRITE,
					  MAP_SHARED, fd, 0);
	if (counts == MAP_FAILED)
		abort();
	close(fd);
}

/* A thread gets its name when it runs already, and is a worker from then on. */
static bool is_worker(void)
{
	static __thread bool known __attribute__((tls_model("initial-exec")));
	char name[16] = "";

	if (!known && prctl(PR_GET_NAME, name) == 0)
		known = !strncmp(name, "vhu-", 4) && name[strlen(name) - 1] <= '9';
	return known;
}

static void count(_Atomic uint64_t *worker, _Atomic uint64_t *other)
{
	int saved_errno = errno;

	atomic_fetch_add(is_worker() ? worker : other, 1);
	errno = saved_errno;
}

static void allocates(void)
{
	if (counts)
		count(&counts->worker_allocations, &counts->other_allocations);
}

static void locks(void)
{
	if (counts)
		count(&counts->worker_locks, &counts->other_locks);
}

/* Memory. The C library's own names for these; what calls dlsym() here would call itself. */

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t align, size_t size);
void __libc_free(void *p);

void *malloc(size_t size)
{
	allocates();
	return __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
	allocates();
	return __libc_calloc(n, size);
}

void *realloc(void *p, size_t size)
{
	allocates();
	return __libc_realloc(p, size);
}

void *aligned_alloc(size_t align, size_t size)
{
	allocates();
	return __libc_memalign(align, size);
}

int posix_memalign(void **ret_p, size_t align, size_t size)
{
	allocates();
	*ret_p = __libc_memalign(align, size);
	return *ret_p ? 0 : ENOMEM;
}

void free(void *p)
{
	allocates();
	__libc_free(p);
}

void *mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
	allocates();
	return (void *)syscall(SYS_mmap, addr, len, prot, flags, fd, offset);
}

int munmap(void *addr, size_t len)
{
	allocates();
	return (int)syscall(SYS_munmap, addr, len);
}

/* Locks. */

#define NEXT(name) ((__typeof__(&name))(uintptr_t)dlsym(RTLD_NEXT, #name))
#define COUNTED(name, params, args) \
	int name params \
	{ \
		locks(); \
		return NEXT(name) args; \
	}

COUNTED(pthread_mutex_lock, (pthread_mutex_t *mutex), (mutex))
COUNTED(pthread_mutex_trylock, (pthread_mutex_t *mutex), (mutex))
COUNTED(pthread_mutex_timedlock, (pthread_mutex_t *mutex, const struct timespec *until),
	(mutex, until))
COUNTED(pthread_rwlock_rdlock, (pthread_rwlock_t *lock), (lock))
COUNTED(pthread_rwlock_tryrdlock, (pthread_rwlock_t *lock), (lock))
COUNTED(pthread_rwlock_wrlock, (pthread_rwlock_t *lock), (lock))
COUNTED(pthread_rwlock_trywrlock, (pthread_rwlock_t *lock), (lock))
COUNTED(pthread_spin_lock, (pthread_spinlock_t *lock), (lock))
COUNTED(pthread_cond_wait, (pthread_cond_t *cond, pthread_mutex_t *mutex), (cond, mutex))
COUNTED(pthread_cond_timedwait,
	(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *until),
	(cond, mutex, until))
COUNTED(sem_wait, (sem_t *sem), (sem))
