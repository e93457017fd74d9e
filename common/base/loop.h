/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_BASE_LOOP_H
#define VHU_BASE_LOOP_H

/*
 * An epoll loop. All functions but vhu_loop_post() and vhu_loop_stop() belong to the thread that
 * runs the loop (or, before it runs, to the one that made it).
 */

#include <stdbool.h>
#include <stdint.h>

struct vhu_loop;
struct vhu_source;

/* events: EPOLL*; for a timer or a signal source 0. */
typedef void (*vhu_source_fn)(void *data, uint32_t events);

int vhu_loop_new(struct vhu_loop **ret_loop);
/* Also removes what sources are left, and runs what was posted and has not run. NULL is fine. */
void vhu_loop_destroy(struct vhu_loop *loop);

/*
 * fd is borrowed; remove the source before closing it. events: EPOLLIN, EPOLLOUT, EPOLLET ... With
 * EPOLLET each write to an eventfd is an event of its own, and nobody has to read the counter.
 */
int vhu_loop_add_fd(struct vhu_loop *loop, int fd, uint32_t events, vhu_source_fn fn, void *data,
		    struct vhu_source **ret_source);
/* One-shot timer, not armed yet. */
int vhu_loop_add_timer(struct vhu_loop *loop, vhu_source_fn fn, void *data,
		       struct vhu_source **ret_source);
/*
 * Blocks the signal in the calling thread and takes it by signalfd; other threads must not be there
 * yet. It stays blocked when the source goes, so that a late one does no harm.
 */
int vhu_loop_add_signal(struct vhu_loop *loop, int signo, vhu_source_fn fn, void *data,
			struct vhu_source **ret_source);

int vhu_source_set_events(struct vhu_source *source, uint32_t events);
/* From now; 0 disarms. */
int vhu_source_set_timer(struct vhu_source *source, uint64_t delay_ns);
/*
 * Takes the source. Allowed from within any callback, its own included; no callback of it follows,
 * even if its event was already fetched. NULL is fine.
 */
void vhu_source_remove(struct vhu_source *source);

/*
 * Waits up to timeout_ns (UINT64_MAX: for ever; 0: only looks) and dispatches once: sources, then
 * posts. Returns the number of callbacks run, or negative errno. Not from within a callback.
 */
int vhu_loop_turn(struct vhu_loop *loop, uint64_t timeout_ns);
/* Turns until vhu_loop_stop(). Returns 0 or negative errno. */
int vhu_loop_run(struct vhu_loop *loop);

/*
 * Any thread, also a signal handler: vhu_loop_run() returns after the turn at work, or at once when
 * it begins later.
 */
void vhu_loop_stop(struct vhu_loop *loop);
bool vhu_loop_stopped(const struct vhu_loop *loop);

/*
 * A call into the loop's thread. The struct belongs to the caller, holds at most one post at a
 * time, and is not touched by the loop any more once fn has begun.
 */
struct vhu_call {
	void (*fn)(struct vhu_call *call);
	struct vhu_call *next; /* the loop's */
};

/* Any thread; never blocks, never allocates. Calls run in the order they were posted. */
void vhu_loop_post(struct vhu_loop *loop, struct vhu_call *call);
/* One relaxed load: is something posted? For a thread that polls and does not turn the loop. */
bool vhu_loop_has_posts(const struct vhu_loop *loop);

#endif
