/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/unit/session_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/num.h"

#define RELEASE_EVENT (RIG_QUEUES + 1)

static struct rig_device *rig_device(struct vhu_device *device)
{
	return (struct rig_device *)device;
}

static void enter(struct vhu_device *device)
{
	struct rig_device *d = rig_device(device);
	struct timespec moment = { .tv_nsec = 20000 };

	if (atomic_fetch_add(&d->n_inside, 1))
		atomic_fetch_add(&d->n_overlaps, 1);
	/* Long enough for another thread to run into us, if nothing keeps it out. */
	nanosleep(&moment, NULL);
}

static void leave(struct vhu_device *device)
{
	atomic_fetch_sub(&rig_device(device)->n_inside, 1);
}

static void enter_control(struct vhu_device *device)
{
	struct rig_device *d = rig_device(device);

	enter(device);
	if (!atomic_load(&d->control_thread))
		atomic_store(&d->control_thread, pthread_self());
	else if (!pthread_equal(d->control_thread, pthread_self()))
		atomic_fetch_add(&d->n_foreign, 1);
}

static unsigned num_queues(struct vhu_device *device)
{
	(void)device;
	return RIG_QUEUES;
}

static unsigned max_queue_size(struct vhu_device *device)
{
	(void)device;
	return 64;
}

static uint64_t features(struct vhu_device *device)
{
	(void)device;
	return 1ull << 5;
}

static void acked_features(struct vhu_device *device, uint64_t acked)
{
	enter_control(device);
	rig_device(device)->acked = acked;
	leave(device);
}

static void reset_device(struct vhu_device *device)
{
	enter_control(device);
	atomic_fetch_add(&rig_device(device)->n_reset, 1);
	leave(device);
}

static int get_config(struct vhu_device *device, uint32_t offset, uint32_t size, uint8_t *buf)
{
	struct rig_device *d = rig_device(device);

	enter_control(device);
	if (offset < sizeof(d->config))
		memcpy(buf, d->config + offset, min_u64(size, sizeof(d->config) - offset));
	leave(device);
	return 0;
}

static int set_config(struct vhu_device *device, uint32_t offset, uint32_t size,
		      const uint8_t *buf, uint32_t flags)
{
	struct rig_device *d = rig_device(device);

	(void)flags;
	enter_control(device);
	memcpy(d->config + offset, buf, size);
	leave(device);
	return 0;
}

static int update_memory(struct vhu_device *device, struct vhu_memory *memory)
{
	(void)memory;
	enter_control(device);
	atomic_fetch_add(&rig_device(device)->n_memory, 1);
	leave(device);
	return 0;
}

static void finish_request(struct vhu_vring *vring, struct vhu_chain *chain)
{
	struct vhu_iov_cursor reader, writer;
	uint8_t buf[64];
	size_t n;

	vhu_chain_reader(chain, &reader);
	vhu_chain_writer(chain, &writer);
	n = vhu_iov_write(&writer, buf, vhu_iov_read(&reader, buf, sizeof(buf)));
	vhu_vring_push(vring, chain, (uint32_t)n);
}

static void finish_held(struct rig_device *d, unsigned queue)
{
	struct vhu_vring *vring = vhu_device_vring(&d->device, queue);
	unsigned n = d->n_held[queue];

	d->n_held[queue] = 0;
	if (atomic_load(&d->unpops))
		while (n)
			vhu_vring_unpop(vring, d->held[queue][--n]);
	for (unsigned i = 0; i < n; i++)
		finish_request(vring, d->held[queue][i]);
}

static void leave_held(struct rig_device *d, unsigned queue)
{
	struct vhu_vring *vring = vhu_device_vring(&d->device, queue);
	unsigned n = d->n_held[queue];

	d->n_held[queue] = 0;
	for (unsigned i = 0; i < n; i++)
		vhu_vring_leave(vring, d->held[queue][i]);
}

static int handle_event(struct vhu_device *device, unsigned event_id, uint32_t epoll_events,
			unsigned worker_idx)
{
	struct rig_device *d = rig_device(device);
	struct vhu_vring *vring;
	struct vhu_chain *chain;

	(void)epoll_events;
	enter(device);
	atomic_store(&d->worker_thread, pthread_self());
	if (event_id == RELEASE_EVENT) {
		eventfd_t value;

		eventfd_read(d->release_fd, &value);
		for (unsigned q = 0; q < RIG_QUEUES; q++) {
			if (vhu_device_vring(device, q)->worker->index != worker_idx)
				continue;
			finish_held(d, q);
			vhu_vring_notify(vhu_device_vring(device, q));
		}
		leave(device);
		return 0;
	}
	vring = vhu_device_vring(device, event_id);
	if (atomic_load(&d->slow))
		usleep(1000000);
	while ((chain = vhu_vring_pop(vring))) {
		if (atomic_load(&d->hold))
			d->held[event_id][d->n_held[event_id]++] = chain;
		else
			finish_request(vring, chain);
	}
	leave(device);
	return 0;
}

static int start(struct vhu_device *device, unsigned queue, unsigned size)
{
	(void)queue;
	(void)size;
	enter(device);
	atomic_fetch_add(&rig_device(device)->n_start, 1);
	leave(device);
	return 0;
}

static void drain(struct vhu_device *device, unsigned queue, enum vhu_drain_reason reason)
{
	struct rig_device *d = rig_device(device);

	enter(device);
	atomic_fetch_add(&d->n_drain, 1);
	atomic_store(&d->last_reason, reason);
	if (reason == VHU_DRAIN_SUSPEND && atomic_load(&d->leaves))
		leave_held(d, queue);
	else if (atomic_load(&d->drain_at_once))
		finish_held(d, queue);
	leave(device);
}

static void suspended(struct vhu_device *device)
{
	enter_control(device);
	atomic_fetch_add(&rig_device(device)->n_suspended, 1);
	leave(device);
}

static void resumed(struct vhu_device *device)
{
	enter_control(device);
	atomic_fetch_add(&rig_device(device)->n_resumed, 1);
	leave(device);
}

static void destroy(struct vhu_device *device)
{
	atomic_fetch_add(&rig_device(device)->n_destroyed, 1);
}

struct vhu_device_ops rig_ops(void)
{
	return (struct vhu_device_ops){
		.name = "rig",
		.num_queues = num_queues,
		.max_queue_size = max_queue_size,
		.features = features,
		.acked_features = acked_features,
		.reset_device = reset_device,
		.get_config = get_config,
		.set_config = set_config,
		.update_memory = update_memory,
		.handle_event = handle_event,
		.start = start,
		.drain = drain,
		.suspended = suspended,
		.resumed = resumed,
		.destroy = destroy,
	};
}

static void *run_main(void *data)
{
	struct rig *rig = data;

	vhu_loop_run(rig->loop);
	return NULL;
}

static void session_closed(void *data, int error)
{
	struct rig *rig = data;

	rig->session = NULL;
	rig->close_error = error;
	sem_post(&rig->closed);
}

struct connect_call {
	struct vhu_call call;
	struct rig *rig;
	int fd;
	sem_t done;
};

/* Sessions are main's to make. */
static void make_session(struct vhu_call *call)
{
	struct connect_call *c = container_of(call, struct connect_call, call);

	assert_int_equal(vhu_session_new(&c->rig->device->device, c->rig->loop, c->fd,
					 session_closed, c->rig, &c->rig->session),
			 0);
	sem_post(&c->done);
}

void rig_connect(struct rig *rig)
{
	struct connect_call c = { .call.fn = make_session, .rig = rig };
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	c.fd = fds[0];
	sem_init(&c.done, 0, 0);
	vhu_loop_post(rig->loop, &c.call);
	while (sem_wait(&c.done))
		;
	sem_destroy(&c.done);
	assert_int_equal(vhu_frontend_attach(&rig->frontend, fds[1]), 0);
}

void rig_start(struct rig *rig, const struct vhu_device_ops *ops)
{
	struct rig_device *d = calloc(1, sizeof(*d));
	struct vhu_worker *worker;

	memset(rig, 0, sizeof(*rig));
	sem_init(&rig->closed, 0, 0);
	assert_non_null(d);
	rig->device = d;
	rig->ops = *ops;
	d->release_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_int_equal(vhu_device_init(&d->device, &rig->ops), 0);
	for (unsigned i = 0; (worker = vhu_device_worker(&d->device, i)); i++)
		assert_int_equal(vhu_worker_register_listener(worker, d->release_fd,
							      EPOLLIN, RELEASE_EVENT),
				 0);
	assert_int_equal(vhu_loop_new(&rig->loop), 0);
	assert_int_equal(vhu_device_attach(&d->device, rig->loop), 0);
	assert_int_equal(pthread_create(&rig->thread, NULL, run_main, rig), 0);
	vhu_frontend_init(&rig->frontend);
	assert_true(vhu_guest_add(&rig->frontend.guest, 0, 1 << 20) >= 0);
	rig_connect(rig);
}

void rig_disconnect(struct rig *rig)
{
	vhu_frontend_disconnect(&rig->frontend);
	while (sem_wait(&rig->closed))
		;
	for (unsigned q = 0; q < RIG_QUEUES; q++)
		if (rig->driver[q].slots)
			vhu_driver_finish(&rig->driver[q]);
	memset(rig->driver, 0, sizeof(rig->driver));
}

void rig_stop(struct rig *rig)
{
	if (rig->frontend.fd >= 0)
		rig_disconnect(rig);
	vhu_loop_stop(rig->loop);
	pthread_join(rig->thread, NULL);
	vhu_device_unref(&rig->device->device);
	assert_int_equal(rig->device->n_destroyed, 1);
	vhu_loop_destroy(rig->loop);
	vhu_frontend_finish(&rig->frontend);
	close(rig->device->release_fd);
	free(rig->device);
	sem_destroy(&rig->closed);
}

void rig_bring_up(struct rig *rig)
{
	struct vhu_frontend *f = &rig->frontend;

	assert_int_equal(vhu_frontend_negotiate(f, VHU_FRONTEND_FEATURES | rig->more_features,
						VHU_FRONTEND_PROTOCOL_FEATURES),
			 0);
	assert_int_equal(vhu_frontend_share_memory(f), 0);
	for (unsigned q = 0; q < RIG_QUEUES; q++) {
		assert_int_equal(vhu_driver_init(&rig->driver[q], f, q, 16), 0);
		assert_int_equal(vhu_driver_start(&rig->driver[q]), 0);
	}
}

void rig_echo(struct rig *rig, unsigned q)
{
	struct vhu_guest_buffer buffers[2] = {
		vhu_guest_alloc(&rig->frontend.guest, 32, 8),
		vhu_guest_alloc(&rig->frontend.guest, 32, 8),
	};
	uint32_t len;

	assert_non_null(buffers[1].host);
	memset(buffers[0].host, 0x5a, 32);
	assert_int_equal(vhu_driver_run(&rig->driver[q], buffers, 1, 1, &len), 0);
	assert_int_equal(len, 32);
	assert_memory_equal(buffers[0].host, buffers[1].host, 32);
}

void rig_release(struct rig *rig)
{
	eventfd_write(rig->device->release_fd, 1);
}

void rig_wait_for(atomic_uint *value, unsigned wanted)
{
	struct timespec moment = { .tv_nsec = 1000000 };

	for (int i = 0; i < 5000 && atomic_load(value) != wanted; i++)
		nanosleep(&moment, NULL);
	assert_int_equal(atomic_load(value), wanted);
}
