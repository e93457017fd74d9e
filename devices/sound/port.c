/* SPDX-License-Identifier: BSD-3-Clause */
#include "devices/sound/port.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "common/base/fd.h"
#include "common/base/log.h"

/* What the end of the program waits for a thread that a sound server keeps waiting. */
#define FINISH_SECONDS 2

/* Of the thread, until it has signalled event_fd. */
struct vhu_sound_port_job {
	pthread_t thread;
	const struct vhu_sound_host_ops *ops;
	const struct vhu_sound_stream_options *options;
	struct vhu_sound_params params;
	struct vhu_sound_host *host; /* to close, or what was opened */
	bool opens;
	int result;
	int event_fd;
};

static void *work(void *data)
{
	struct vhu_sound_port_job *job = data;

	if (job->opens)
		job->result = job->ops->open(job->options, &job->params, &job->host);
	else
		job->ops->close(job->host);
	vhu_fd_signal(job->event_fd);
	return NULL;
}

static int begin(struct vhu_sound_port *port, struct vhu_sound_host *host)
{
	struct vhu_sound_port_job *job = calloc(1, sizeof(*job));
	int r;

	if (!job)
		return -ENOMEM;
	*job = (struct vhu_sound_port_job){
		.ops = port->ops,
		.options = port->options,
		.params = port->params,
		.host = host,
		.opens = !host,
		.event_fd = port->event_fd,
	};
	r = -pthread_create(&job->thread, NULL, work, job);
	if (r < 0) {
		free(job);
		return r;
	}
	port->job = job;
	return 0;
}

/* It has no holes. */
static bool same_params(const struct vhu_sound_params *a, const struct vhu_sound_params *b)
{
	return !memcmp(a, b, sizeof(*a));
}

/* Does what is to be done next, if anything. */
static void go_on(struct vhu_sound_port *port)
{
	int r;

	if (port->job)
		return;
	if (port->unwanted) {
		r = begin(port, port->unwanted);
		if (r < 0)
			port->ops->close(port->unwanted);
		port->unwanted = NULL;
	}
	if (port->job || !port->wanted || port->host)
		return;
	r = begin(port, NULL);
	if (r < 0) {
		port->wanted = false;
		port->opened(port, r);
	}
}

static void take_opened(struct vhu_sound_port *port, const struct vhu_sound_port_job *job)
{
	if (job->result == 0 && port->wanted && same_params(&port->params, &job->params)) {
		port->host = job->host;
		port->opened(port, 0);
	} else if (job->result == 0) {
		port->unwanted = job->host;
	} else if (port->wanted && same_params(&port->params, &job->params)) {
		port->wanted = false;
		port->opened(port, job->result);
	}
}

static void on_done(void *data, uint32_t events)
{
	struct vhu_sound_port *port = data;
	struct vhu_sound_port_job *job = port->job;

	(void)events;
	vhu_fd_drain(port->event_fd);
	if (!job)
		return;
	pthread_join(job->thread, NULL);
	port->job = NULL;
	if (job->opens)
		take_opened(port, job);
	free(job);
	go_on(port);
}

int vhu_sound_port_init(struct vhu_sound_port *port, const struct vhu_sound_host_ops *ops,
			const struct vhu_sound_stream_options *options, struct vhu_loop *loop,
			void (*opened)(struct vhu_sound_port *port, int result))
{
	*port = (struct vhu_sound_port){
		.ops = ops,
		.options = options,
		.loop = loop,
		.opened = opened,
		.event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC),
	};
	if (port->event_fd < 0)
		return -errno;
	return vhu_loop_add_fd(loop, port->event_fd, EPOLLIN, on_done, port, &port->source);
}

static bool join(struct vhu_sound_port_job *job)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += FINISH_SECONDS;
	return pthread_timedjoin_np(job->thread, NULL, &until) == 0;
}

bool vhu_sound_port_finish(struct vhu_sound_port *port)
{
	struct vhu_sound_port_job *job = port->job;

	if (!port->ops)
		return true;
	if (job && !join(job)) {
		/* It will never be heard of again; what it holds must outlive it. */
		vhu_warning("%s: the host does not answer; left alone", port->options->where);
		pthread_detach(job->thread);
		return false;
	}
	if (job && job->opens && job->result == 0)
		port->ops->close(job->host);
	free(job);
	if (port->unwanted)
		port->ops->close(port->unwanted);
	if (port->host)
		port->ops->close(port->host);
	if (port->event_fd >= 0)
		close(port->event_fd);
	return true;
}

bool vhu_sound_port_open(struct vhu_sound_port *port, const struct vhu_sound_params *params)
{
	if (port->host && !same_params(&port->params, params)) {
		port->unwanted = port->host;
		port->host = NULL;
	}
	port->params = *params;
	port->wanted = true;
	go_on(port);
	return port->host;
}

void vhu_sound_port_close(struct vhu_sound_port *port)
{
	port->wanted = false;
	if (port->host)
		port->unwanted = port->host;
	port->host = NULL;
	go_on(port);
}
