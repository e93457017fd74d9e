/* SPDX-License-Identifier: BSD-3-Clause */
#include "common/base/loop.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/num.h"

#define EVENTS_A_TURN 64

struct vhu_source {
	LIST_ENTRY(vhu_source) link;
	struct vhu_loop *loop;
	int fd;
	bool owns_fd; /* a timerfd or a signalfd */
	bool removed;
	vhu_source_fn fn;
	void *data;
};

LIST_HEAD(source_list, vhu_source);

struct vhu_loop {
	int epoll_fd;
	int wake_fd;
	bool dispatching;
	atomic_bool stopped;
	/* The loop may be about to wait, or waits: who posts has to wake it. */
	atomic_bool sleeping;
	struct vhu_call *_Atomic posts; /* the last one first */
	struct source_list sources;
	struct source_list removed; /* while dispatching: their events may be in the array */
};

int vhu_loop_new(struct vhu_loop **ret_loop)
{
	/* Edge-triggered, so that nobody has to read the wake-up. */
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };
	struct vhu_loop *loop = calloc(1, sizeof(*loop));
	int r;

	if (!loop)
		return -ENOMEM;
	LIST_INIT(&loop->sources);
	LIST_INIT(&loop->removed);
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop->epoll_fd < 0 || loop->wake_fd < 0 ||
	    epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->wake_fd, &event) < 0) {
		r = -errno;
		vhu_loop_destroy(loop);
		return r;
	}
	*ret_loop = loop;
	return 0;
}

/* The source takes fd when owns_fd, also on error. */
static int add_source(struct vhu_loop *loop, int fd, bool owns_fd, uint32_t events,
		      vhu_source_fn fn, void *data, struct vhu_source **ret_source)
{
	cleanup_fd int owned_fd = owns_fd ? fd : -1;
	cleanup_free struct vhu_source *source = calloc(1, sizeof(*source));
	struct epoll_event event = { .events = events, .data.ptr = source };

	if (!source)
		return -ENOMEM;
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
		return -errno;
	source->loop = loop;
	source->fd = fd;
	source->owns_fd = owns_fd;
	source->fn = fn;
	source->data = data;
	LIST_INSERT_HEAD(&loop->sources, source, link);
	steal_fd(&owned_fd);
	*ret_source = steal_ptr(&source);
	return 0;
}

int vhu_loop_add_fd(struct vhu_loop *loop, int fd, uint32_t events, vhu_source_fn fn, void *data,
		    struct vhu_source **ret_source)
{
	return add_source(loop, fd, false, events, fn, data, ret_source);
}

int vhu_loop_add_timer(struct vhu_loop *loop, vhu_source_fn fn, void *data,
		       struct vhu_source **ret_source)
{
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);

	return fd < 0 ? -errno : add_source(loop, fd, true, EPOLLIN, fn, data, ret_source);
}

int vhu_loop_add_signal(struct vhu_loop *loop, int signo, vhu_source_fn fn, void *data,
			struct vhu_source **ret_source)
{
	sigset_t set;
	int fd, r;

	sigemptyset(&set);
	if (sigaddset(&set, signo) < 0)
		return -errno;
	r = pthread_sigmask(SIG_BLOCK, &set, NULL);
	if (r != 0)
		return -r;
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? -errno : add_source(loop, fd, true, EPOLLIN, fn, data, ret_source);
}

int vhu_source_set_events(struct vhu_source *source, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = source };

	return epoll_ctl(source->loop->epoll_fd, EPOLL_CTL_MOD, source->fd, &event) < 0 ? -errno
											: 0;
}

static struct timespec timespec_from_ns(uint64_t ns)
{
	return (struct timespec){
		.tv_sec = (time_t)(ns / NS_PER_SEC),
		.tv_nsec = (long)(ns % NS_PER_SEC),
	};
}

int vhu_source_set_timer(struct vhu_source *source, uint64_t delay_ns)
{
	struct itimerspec when = { .it_value = timespec_from_ns(delay_ns) };

	return timerfd_settime(source->fd, 0, &when, NULL) < 0 ? -errno : 0;
}

void vhu_source_remove(struct vhu_source *source)
{
	struct vhu_loop *loop;
	int r;

	if (!source)
		return;
	loop = source->loop;
	LIST_REMOVE(source, link);
	/*
	 * It fails when the fd was closed first, which is our own bug: a peer that shares the open
	 * file keeps the entry alive, and its events would name a source that is gone.
	 */
	r = epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
	assert(r == 0);
	(void)r;
	if (source->owns_fd)
		close(source->fd);
	source->removed = true;
	if (loop->dispatching)
		LIST_INSERT_HEAD(&loop->removed, source, link);
	else
		free(source);
}

/* Returns the callbacks run: 0 or 1. */
static int dispatch(struct vhu_source *source, uint32_t events)
{
	struct signalfd_siginfo buf; /* a timer's count is shorter */

	if (!source || source->removed)
		return 0;
	if (source->owns_fd) {
		/* Nothing there: a callback before us has set the timer anew. */
		if (read(source->fd, &buf, sizeof(buf)) < 0)
			return 0;
		events = 0;
	}
	source->fn(source->data, events);
	return 1;
}

/* Runs what is posted now, in order; what that posts is for the next turn. */
static int run_posts(struct vhu_loop *loop)
{
	struct vhu_call *call, *next, *first = NULL;
	int n = 0;

	if (!vhu_loop_has_posts(loop))
		return 0;
	for (call = atomic_exchange(&loop->posts, NULL); call; call = next) {
		next = call->next;
		call->next = first;
		first = call;
	}
	for (call = first; call; call = next) {
		next = call->next;
		call->fn(call);
		n++;
	}
	return n;
}

void vhu_loop_destroy(struct vhu_loop *loop)
{
	if (!loop)
		return;
	assert(!loop->dispatching);
	while (run_posts(loop))
		;
	while (!LIST_EMPTY(&loop->sources))
		vhu_source_remove(LIST_FIRST(&loop->sources));
	close_fd(&loop->wake_fd);
	close_fd(&loop->epoll_fd);
	free(loop);
}

/* epoll_wait(2) in nanoseconds; UINT64_MAX: for ever. Returns the events or negative errno. */
static int wait_events(int epoll_fd, struct epoll_event *events, uint64_t timeout_ns)
{
	static atomic_bool only_ms; /* Linux before 5.11 */
	struct timespec timeout = timespec_from_ns(timeout_ns);
	uint64_t timeout_ms;
	int n;

	if (!atomic_load_explicit(&only_ms, memory_order_relaxed)) {
		n = epoll_pwait2(epoll_fd, events, EVENTS_A_TURN,
				 timeout_ns == UINT64_MAX ? NULL : &timeout, NULL);
		if (n >= 0 || errno != ENOSYS)
			return n < 0 ? -errno : n;
		atomic_store_explicit(&only_ms, true, memory_order_relaxed);
	}
	timeout_ms = min_u64(timeout_ns / NS_PER_MS + !!(timeout_ns % NS_PER_MS), INT_MAX);
	n = epoll_wait(epoll_fd, events, EVENTS_A_TURN,
		       timeout_ns == UINT64_MAX ? -1 : (int)timeout_ms);
	return n < 0 ? -errno : n;
}

int vhu_loop_turn(struct vhu_loop *loop, uint64_t timeout_ns)
{
	struct epoll_event events[EVENTS_A_TURN];
	struct vhu_source *source;
	int i, n, n_run = 0;

	assert(!loop->dispatching);
	if (timeout_ns) {
		/* Our flag, then their post; the poster: its post, then our flag. One is seen. */
		atomic_store(&loop->sleeping, true);
		if (atomic_load(&loop->posts))
			timeout_ns = 0;
	}
	n = wait_events(loop->epoll_fd, events, timeout_ns);
	atomic_store_explicit(&loop->sleeping, false, memory_order_relaxed);
	if (n < 0 && n != -EINTR)
		return n;

	loop->dispatching = true;
	for (i = 0; i < n; i++)
		n_run += dispatch(events[i].data.ptr, events[i].events);
	n_run += run_posts(loop);
	loop->dispatching = false;

	while ((source = LIST_FIRST(&loop->removed))) {
		LIST_REMOVE(source, link);
		free(source);
	}
	return n_run;
}

int vhu_loop_run(struct vhu_loop *loop)
{
	int r = 0;

	while (r >= 0 && !vhu_loop_stopped(loop))
		r = vhu_loop_turn(loop, UINT64_MAX);
	return r < 0 ? r : 0;
}

/* Fails only when the counter is full, and then the loop has been woken. */
static void wake(struct vhu_loop *loop)
{
	int saved_errno = errno;

	(void)!eventfd_write(loop->wake_fd, 1);
	errno = saved_errno;
}

void vhu_loop_stop(struct vhu_loop *loop)
{
	atomic_store(&loop->stopped, true);
	wake(loop);
}

bool vhu_loop_stopped(const struct vhu_loop *loop)
{
	return atomic_load_explicit(&loop->stopped, memory_order_relaxed);
}

void vhu_loop_post(struct vhu_loop *loop, struct vhu_call *call)
{
	struct vhu_call *last = atomic_load_explicit(&loop->posts, memory_order_relaxed);

	do {
		call->next = last;
	} while (!atomic_compare_exchange_weak(&loop->posts, &last, call));
	/* One write is enough for all who post before the loop is up. */
	if (atomic_load(&loop->sleeping) && atomic_exchange(&loop->sleeping, false))
		wake(loop);
}

bool vhu_loop_has_posts(const struct vhu_loop *loop)
{
	return atomic_load_explicit(&loop->posts, memory_order_relaxed);
}
