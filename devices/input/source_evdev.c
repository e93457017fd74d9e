/* SPDX-License-Identifier: BSD-3-Clause */
/* A source that is one event device of the kernel; one that comes back when it was unplugged. */
#include "devices/input/source.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>

#include "common/base/cleanup.h"
#include "common/base/fd.h"
#include "common/base/log.h"
#include "devices/input/node.h"
#include "devices/input/plug.h"

/* Events taken before the ring has its turn. */
#define READ_EVENTS 128

struct evdev_source {
	struct vhu_input_source source;
	const char *path; /* NULL: it came as an fd */
	bool by_link;	  /* path is a name that udev gives to the same device again */
	struct vhu_input_ident ident;
	struct vhu_evdev *evdev; /* NULL: it has gone */
	struct vhu_input_plug plug;
	struct vhu_source *fd_source, *more_timer;
	char label[VHU_INPUT_TEXT_MAX + 1];
};

static struct evdev_source *of(struct vhu_input_source *source)
{
	return (struct evdev_source *)source;
}

static bool return_device(void *data);

static void lose(struct evdev_source *s, int why)
{
	int r;

	vhu_info("%s: unplugged (%s); all its keys are up, and it may come back", s->label,
		 strerror(-why));
	vhu_source_remove(s->fd_source);
	s->fd_source = NULL;
	vhu_evdev_free(s->evdev);
	s->evdev = NULL;
	s->source.grabbed = false;
	vhu_input_source_release(&s->source);
	r = vhu_input_plug_wait(&s->plug, s->source.loop, s->path, return_device, s);
	if (r < 0)
		vhu_error("%s: cannot wait for its return: %s", s->label, strerror(-r));
}

/* What a guest is not told of: echoes of its own LEDs, the bounds of unnumbered contacts. */
static bool is_for_guest(const struct evdev_source *s, const struct vhu_input_event *event)
{
	if (event->type == EV_SYN)
		return event->code == SYN_REPORT;
	return event->type != EV_LED && event->type != EV_SND && event->type != EV_REP &&
	       vhu_input_ident_has(&s->ident, event->type, event->code);
}

static void read_events(struct evdev_source *s)
{
	struct vhu_input_event event;
	uint64_t time_ns;
	int r;

	for (unsigned i = 0; i < READ_EVENTS; i++) {
		r = vhu_evdev_next(s->evdev, &event, &time_ns);
		if (r == -EAGAIN)
			return;
		if (r < 0) {
			lose(s, r);
			return;
		}
		if (is_for_guest(s, &event))
			vhu_input_source_event(&s->source, event.type, event.code, event.value,
					       time_ns);
	}
	/* The rest may be in libevdev's hands, of which epoll knows nothing. */
	vhu_source_set_timer(s->more_timer, 1);
}

static void on_events(void *data, uint32_t events)
{
	struct evdev_source *s = data;

	(void)events;
	if (s->evdev)
		read_events(s);
}

/* The device works: from here on its events are ours. */
static int take_up(struct evdev_source *s)
{
	int r = vhu_loop_add_fd(s->source.loop, vhu_evdev_fd(s->evdev), EPOLLIN, on_events, s,
				&s->fd_source);

	if (r < 0)
		return r;
	vhu_evdev_state(s->evdev, &s->source.state);
	s->source.sink->resync(s->source.sink, &s->source.state);
	return 0;
}

static bool is_ours(struct evdev_source *s, const char *path, int *ret_r)
{
	struct vhu_input_ident ident;
	struct vhu_evdev *evdev;

	*ret_r = vhu_input_node_open(path, &evdev);
	if (*ret_r < 0)
		return false;
	vhu_evdev_ident(evdev, &ident);
	if (!vhu_input_ident_same(&ident, &s->ident)) {
		vhu_evdev_free(evdev);
		return false;
	}
	s->evdev = evdev;
	return true;
}

static bool is_ours_too(const char *path, void *data)
{
	int r;

	return is_ours(data, path, &r);
}

/* By its path, and where that is only a number also by what the device says of itself. */
static bool return_device(void *data)
{
	struct evdev_source *s = data;
	int r = -ENOENT;

	if (!s->path || !is_ours(s, s->path, &r))
		if (!s->by_link)
			vhu_input_node_each(is_ours_too, s);
	if (!s->evdev) {
		if (s->plug.tries == 1 && (r == -EACCES || r == -EPERM))
			vhu_input_node_explain(s->path, r);
		return false;
	}
	vhu_info("%s: plugged in again", s->label);
	r = take_up(s);
	if (r < 0) {
		vhu_error("%s: cannot watch it: %s", s->label, strerror(-r));
		vhu_evdev_free(s->evdev);
		s->evdev = NULL;
		return false;
	}
	return true;
}

/* --- before the worker ---------------------------------------------------------------------- */

struct wait {
	struct evdev_source *s;
	struct vhu_loop *loop;
	int result;
};

static bool find_first(void *data)
{
	struct wait *wait = data;

	wait->result = vhu_input_node_open(wait->s->path, &wait->s->evdev);
	/* Until udev has seen it nobody may open it. */
	if (wait->result == -ENOENT ||
	    (wait->result == -EACCES && wait->s->plug.tries > 1))
		return false;
	vhu_loop_stop(wait->loop);
	return true;
}

static void on_signal(void *data, uint32_t events)
{
	struct wait *wait = data;

	(void)events;
	wait->result = -EINTR;
	vhu_loop_stop(wait->loop);
}

/* What the guest is told must be known before it asks, so there is nothing to serve until then. */
static int wait_for_first(struct evdev_source *s)
{
	struct wait wait = { .s = s };
	struct vhu_source *unused;
	int r = vhu_loop_new(&wait.loop);

	if (r < 0)
		return r;
	r = vhu_loop_add_signal(wait.loop, SIGTERM, on_signal, &wait, &unused);
	if (r == 0)
		r = vhu_loop_add_signal(wait.loop, SIGINT, on_signal, &wait, &unused);
	if (r == 0)
		r = vhu_input_plug_wait(&s->plug, wait.loop, s->path, find_first, &wait);
	if (r == 0) {
		vhu_info("waiting for %s", s->path);
		r = vhu_loop_run(wait.loop);
	}
	vhu_input_plug_stop(&s->plug);
	vhu_loop_destroy(wait.loop);
	return r < 0 ? r : wait.result;
}

static int open_path(struct evdev_source *s, bool wait)
{
	struct stat st;
	int r = vhu_input_node_open(s->path, &s->evdev);

	if ((r == -ENOENT || r == -EACCES) && wait)
		r = wait_for_first(s);
	if (r == -EINTR)
		vhu_info("no longer waiting for %s", s->path);
	else if (r < 0)
		vhu_input_node_explain(s->path, r);
	if (r < 0)
		return r;
	s->by_link = lstat(s->path, &st) == 0 && S_ISLNK(st.st_mode);
	return 0;
}

static int open_fd(struct evdev_source *s, int64_t number)
{
	int fd = (int)number, r;

	if (number > INT_MAX || fcntl(fd, F_GETFD) < 0) {
		vhu_error("--device-fd %lld: it is not open", (long long)number);
		return -EBADF;
	}
	r = vhu_fd_set_cloexec(fd);
	if (r == 0)
		r = vhu_fd_set_nonblock(fd, true);
	if (r == 0)
		r = vhu_evdev_new(fd, &s->evdev);
	if (r < 0)
		vhu_error("--device-fd %d: %s", fd,
			  r == -ENOTTY ? "it is not an event device" : strerror(-r));
	return r;
}

static int open_source(const struct vhu_input_options *options, struct vhu_input_ident *ret_ident,
		       struct vhu_input_source **ret_source)
{
	struct evdev_source *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	s->path = options->evdev_path;
	r = s->path ? open_path(s, options->wait_device) : open_fd(s, options->device_fd);
	if (r < 0) {
		free(s);
		return r;
	}
	vhu_evdev_ident(s->evdev, &s->ident);
	snprintf(s->label, sizeof(s->label), "%s", s->path ? s->path : s->ident.name);
	vhu_input_source_init(&s->source, &vhu_input_source_evdev, s->label);
	*ret_ident = s->ident;
	*ret_source = &s->source;
	return 0;
}

static int attach(struct vhu_input_source *source, struct vhu_loop *loop,
		  struct vhu_input_sink *sink)
{
	struct evdev_source *s = of(source);
	int r;

	source->loop = loop;
	source->sink = sink;
	r = vhu_loop_add_timer(loop, on_events, s, &s->more_timer);
	return r < 0 ? r : take_up(s);
}

static int grab(struct vhu_input_source *source, bool on)
{
	struct evdev_source *s = of(source);

	return s->evdev ? vhu_evdev_grab(s->evdev, on) : -ENODEV;
}

static void write_event(struct vhu_input_source *source, const struct vhu_input_event *event)
{
	struct evdev_source *s = of(source);

	if (s->evdev)
		vhu_evdev_write(s->evdev, event->type, event->code, event->value);
}

/* The loop has gone, and what was in it. */
static void close_source(struct vhu_input_source *source)
{
	struct evdev_source *s = of(source);

	if (s->plug.waits)
		close(s->plug.fd);
	vhu_evdev_free(s->evdev);
	free(s);
}

const struct vhu_input_source_ops vhu_input_source_evdev = {
	.name = "evdev",
	.open = open_source,
	.attach = attach,
	.grab = grab,
	.write = write_event,
	.close = close_source,
};
