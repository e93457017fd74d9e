/* SPDX-License-Identifier: BSD-3-Clause */
#include "common/backend/worker.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "common/backend/miss.h"
#include "common/backend/slots.h"
#include "common/backend/vring.h"
#include "common/base/fd.h"
#include "common/base/log.h"
#include "common/base/num.h"
#include "common/wire/protocol.h"

/* Passes between two looks at fds while rings keep the worker busy. */
#define BUSY_PASSES 16
/* A first polling time, when a wake-up came so soon that polling would have met it. */
#define POLL_START_NS (4 * NS_PER_US)
/* How often a ring without a kick fd is looked at while nothing else happens. */
#define KICKLESS_NS (50 * NS_PER_US)

struct vhu_listener {
	struct vhu_listener *next;
	struct vhu_worker *worker;
	struct vhu_source *source;
	unsigned event_id;
};

static unsigned next_ring(uint64_t *mask)
{
	unsigned index = (unsigned)__builtin_ctzll(*mask);

	*mask &= *mask - 1;
	return index;
}

/*
 * A look at a ring may also find that it is broken, or that guest memory was missing when the
 * device touched it between two passes: the pass that follows tells.
 */
static void note_look(struct vhu_worker *worker, unsigned index, bool news)
{
	const struct vhu_virtqueue *queue = &worker->device->vrings[index].queue;

	if (news || queue->broken || vhu_memory_faulted(queue->memory))
		worker->pending |= VHU_BIT(index);
}

/* One pass over every ring that is pending. True when some ring was served. */
static bool process_pending(struct vhu_worker *worker)
{
	uint64_t todo = worker->pending & worker->active;

	/* The kick of a ring that is not active is forgotten: activation looks at the ring. */
	worker->pending = 0;
	if (!todo)
		return false;
	while (todo) {
		unsigned index = next_ring(&todo);

		if (vhu_vring_process(&worker->device->vrings[index]))
			worker->pending |= VHU_BIT(index) & worker->active;
	}
	return true;
}

static bool look_at_rings(struct vhu_worker *worker)
{
	uint64_t rings = worker->active;

	while (rings) {
		unsigned index = next_ring(&rings);

		note_look(worker, index,
			  vhu_virtqueue_has_news(&worker->device->vrings[index].queue));
	}
	return worker->pending;
}

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

/* Waits for the driver without sleeping. True when there is something to do. */
static bool poll_rings(struct vhu_worker *worker, uint64_t since_ns)
{
	if (!worker->poll_ns || !worker->active)
		return false;
	do {
		for (unsigned i = 0; i < 16; i++) {
			if (look_at_rings(worker) || vhu_loop_has_posts(worker->loop) ||
			    vhu_device_poll(worker->device, worker->index))
				return true;
			relax();
		}
	} while (vhu_now_ns() - since_ns < worker->poll_ns);
	return false;
}

/* Asks for kicks on all rings. True when a request slipped in before. */
static bool ask_for_kicks(struct vhu_worker *worker)
{
	uint64_t rings = worker->active;

	while (rings) {
		unsigned index = next_ring(&rings);

		note_look(worker, index,
			  vhu_virtqueue_enable_kicks(&worker->device->vrings[index].queue));
	}
	return worker->pending;
}

/*
 * Polling pays when requests come within what we are ready to poll. It grows while they do and
 * shrinks while they do not, so that an idle or a slow guest costs nothing.
 */
static void adapt_polling(struct vhu_worker *worker, uint64_t idle_ns)
{
	uint64_t max_ns = worker->device->poll_max_ns;

	if (idle_ns <= max_ns)
		worker->poll_ns = min_u64(max_ns, max_u64(2 * worker->poll_ns, POLL_START_NS));
	else
		worker->poll_ns = worker->poll_ns > POLL_START_NS ? worker->poll_ns / 2 : 0;
}

/* Nothing is pending: polls, then sleeps until something is. */
static void wait_for_work(struct vhu_worker *worker)
{
	uint64_t since_ns = vhu_now_ns();
	int n;

	if (poll_rings(worker, since_ns) || ask_for_kicks(worker))
		return;
	n = vhu_loop_turn(worker->loop, worker->kickless ? KICKLESS_NS : UINT64_MAX);
	if (worker->kickless)
		look_at_rings(worker);
	/* What a device would have found by polling is as good as a request. */
	if (worker->pending || (n > 0 && worker->device->ops->poll))
		adapt_polling(worker, vhu_now_ns() - since_ns);
}

static void *worker_thread(void *data)
{
	struct vhu_worker *worker = data;
	unsigned busy = 0;

	while (!vhu_loop_stopped(worker->loop)) {
		if (!process_pending(worker))
			wait_for_work(worker);
		if (++busy >= BUSY_PASSES || vhu_loop_has_posts(worker->loop)) {
			vhu_loop_turn(worker->loop, 0);
			if (worker->kickless)
				look_at_rings(worker);
			busy = 0;
		}
	}
	return NULL;
}

/*
 * The rings are left alone from now on. The thread stays, for what main asks it: a drain and a stop
 * must still be possible.
 */
static void exit_requested(void *data, uint32_t events)
{
	struct vhu_worker *worker = data;
	uint64_t rings = worker->active;

	(void)events;
	vhu_source_remove(worker->exit_source);
	worker->exit_source = NULL;
	worker->exited = true;
	while (rings)
		vhu_vring_set_active(&worker->device->vrings[next_ring(&rings)], false);
	vhu_warning("%s: worker %u was told to exit", worker->device->ops->name, worker->index);
}

int vhu_worker_init(struct vhu_worker *worker, struct vhu_device *device, unsigned index,
		    uint64_t queues)
{
	int exit_fd = -1, r;

	memset(worker, 0, sizeof(*worker));
	worker->device = device;
	worker->index = index;
	worker->queues = queues;
	worker->miss_patience_ns = VHU_MISS_PATIENCE_NS;
	r = vhu_loop_new(&worker->loop);
	if (r < 0)
		return r;
	if (device->ops->exit_event)
		exit_fd = device->ops->exit_event(device, index);
	if (exit_fd < 0)
		return 0;
	r = vhu_loop_add_fd(worker->loop, exit_fd, EPOLLIN, exit_requested, worker,
			    &worker->exit_source);
	if (r < 0)
		vhu_worker_finish(worker);
	return r;
}

void vhu_worker_finish(struct vhu_worker *worker)
{
	if (worker->running) {
		vhu_loop_stop(worker->loop);
		pthread_join(worker->thread, NULL);
		worker->running = false;
	}
	while (worker->listeners)
		vhu_worker_unregister_listener(worker, worker->listeners->event_id);
	vhu_source_remove(worker->exit_source);
	worker->exit_source = NULL;
	vhu_loop_destroy(worker->loop);
	worker->loop = NULL;
	free(worker->iotlb);
	worker->iotlb = NULL;
}

int vhu_worker_run(struct vhu_worker *worker)
{
	sigset_t all, before;
	char name[16];
	int r;

	if (worker->running)
		return 0;
	/* Signals are main's; SIGBUS must stay open, a fault is delivered where it happens. */
	sigfillset(&all);
	sigdelset(&all, SIGBUS);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = -pthread_create(&worker->thread, NULL, worker_thread, worker);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r < 0) {
		vhu_error("%s: cannot start worker %u: %s", worker->device->ops->name,
			  worker->index, strerror(-r));
		return r;
	}
	worker->running = true;
	snprintf(name, sizeof(name), "vhu-%s-%u", worker->device->ops->name, worker->index);
	pthread_setname_np(worker->thread, name);
	return 0;
}

static void errand_work(struct vhu_call *call)
{
	struct vhu_errand *errand = container_of(call, struct vhu_errand, call);

	errand->work(errand);
}

static void errand_back(struct vhu_call *call)
{
	struct vhu_errand *errand = container_of(call, struct vhu_errand, call);

	errand->back(errand);
}

void vhu_errand_send(struct vhu_errand *errand, struct vhu_worker *worker, struct vhu_loop *home)
{
	errand->worker = worker;
	errand->home = home;
	if (!worker->running) {
		errand->work(errand);
		return;
	}
	errand->call.fn = errand_work;
	vhu_loop_post(worker->loop, &errand->call);
}

void vhu_errand_done(struct vhu_errand *errand, int result)
{
	errand->result = result;
	if (!errand->worker->running) {
		errand->back(errand);
		return;
	}
	errand->call.fn = errand_back;
	vhu_loop_post(errand->home, &errand->call);
}

static void listener_ready(void *data, uint32_t events)
{
	struct vhu_listener *listener = data;
	struct vhu_worker *worker = listener->worker;
	int r = vhu_device_handle_event(worker->device, listener->event_id, events, worker->index);

	if (r < 0)
		vhu_error("%s: event %u: %s", worker->device->ops->name, listener->event_id,
			  strerror(-r));
}

static struct vhu_listener **find_listener(struct vhu_worker *worker, unsigned event_id)
{
	struct vhu_listener **at = &worker->listeners;

	while (*at && (*at)->event_id != event_id)
		at = &(*at)->next;
	return at;
}

int vhu_worker_register_listener(struct vhu_worker *worker, int fd, uint32_t events,
				 unsigned event_id)
{
	struct vhu_listener *listener;
	int r;

	if (event_id <= worker->device->n_queues)
		return -EINVAL;
	if (*find_listener(worker, event_id))
		return -EEXIST;
	listener = calloc(1, sizeof(*listener));
	if (!listener)
		return -ENOMEM;
	listener->worker = worker;
	listener->event_id = event_id;
	r = vhu_loop_add_fd(worker->loop, fd, events, listener_ready, listener, &listener->source);
	if (r < 0) {
		free(listener);
		return r;
	}
	listener->next = worker->listeners;
	worker->listeners = listener;
	return 0;
}

int vhu_worker_unregister_listener(struct vhu_worker *worker, unsigned event_id)
{
	struct vhu_listener **at = find_listener(worker, event_id);
	struct vhu_listener *listener = *at;

	if (!listener)
		return -ENOENT;
	*at = listener->next;
	vhu_source_remove(listener->source);
	free(listener);
	return 0;
}

void vhu_worker_wake_ring(struct vhu_worker *worker, unsigned queue)
{
	worker->pending |= VHU_BIT(queue);
}

void vhu_worker_memory_faulted(struct vhu_worker *worker)
{
	struct vhu_device *device = worker->device;

	vhu_device_post(device, &device->fault_posted, &device->fault_call);
}

struct vhu_worker *vhu_device_worker(struct vhu_device *device, unsigned worker_idx)
{
	return worker_idx < device->n_workers ? &device->workers[worker_idx] : NULL;
}
