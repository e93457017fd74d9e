/* SPDX-License-Identifier: BSD-3-Clause */
#include "common/serve/daemon.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/backend/inband.h"
#include "common/base/cleanup.h"
#include "common/base/fault.h"
#include "common/base/fd.h"
#include "common/base/log.h"
#include "common/base/num.h"
#include "common/serve/listener.h"
#include "common/session/session.h"

#define BACKOFF_MIN_NS (100 * NS_PER_MS)
#define BACKOFF_MAX_NS (5 * NS_PER_SEC)

/*
 * One device at one endpoint. What happens between two sessions is its kind: a listener waits for
 * the next front-end, a client connects again, an inherited connection is done.
 */
struct service {
	TAILQ_ENTRY(service) link;
	struct vhu_daemon *daemon;
	struct vhu_device *device;
	const char *name;	      /* of the endpoint, for the log */
	struct vhu_control *control;  /* or NULL */
	struct vhu_listener listener; /* fd -1: not of this kind */
	const char *connect;	      /* NULL: not of this kind */
	int connected_fd;	      /* owned until it has its session; -1: not of this kind */
	bool once;
	bool done;
	struct vhu_session *session;
	uint64_t session_start_ns;
	struct vhu_source *source; /* the listener's; events 0 while there is a session */
	struct vhu_source *timer;  /* the next try, to connect or to accept */
	uint64_t backoff_ns;
	bool told_waiting;
};

struct vhu_daemon {
	struct vhu_loop *loop;
	TAILQ_HEAD(, service) services;
	struct vhu_source *signals[_NSIG];
	struct vhu_source *drain_timer;
	int inherited_fd, inherited_end; /* the next of LISTEN_FDS, and the one past the last */
	bool stopping;
	int status;
};

static void start_waiting(struct service *service);

static void finish_if_done(struct vhu_daemon *daemon)
{
	struct service *service;

	TAILQ_FOREACH(service, &daemon->services, link)
		if (!service->done)
			return;
	vhu_loop_stop(daemon->loop);
}

/* No further front-end, no further command. The session, if there is one, goes on. */
static void close_endpoint(struct service *service)
{
	vhu_source_remove(steal_ptr(&service->source));
	vhu_source_remove(steal_ptr(&service->timer));
	vhu_listener_close(&service->listener);
	close_fd(&service->connected_fd);
	vhu_control_free(steal_ptr(&service->control));
}

static void set_done(struct service *service)
{
	close_endpoint(service);
	service->done = true;
	finish_if_done(service->daemon);
}

static void try_later(struct service *service)
{
	vhu_source_set_timer(service->timer, service->backoff_ns);
	service->backoff_ns = min_u64(2 * service->backoff_ns, BACKOFF_MAX_NS);
}

static void session_closed(void *data, int error)
{
	struct service *service = data;
	struct vhu_daemon *daemon = service->daemon;
	bool last = service->once || (service->listener.fd < 0 && !service->connect);

	service->session = NULL;
	vhu_info("%s: the front-end is gone%s%s", service->name, error < 0 ? ": " : "",
		 error < 0 ? strerror(-error) : "");
	if (daemon->stopping || last) {
		if (!daemon->stopping && error < 0)
			daemon->status = 1;
		set_done(service);
		return;
	}
	/* A front-end that comes and goes must not make us spin. */
	if (vhu_now_ns() - service->session_start_ns >= BACKOFF_MAX_NS)
		service->backoff_ns = BACKOFF_MIN_NS;
	start_waiting(service);
}

/* Takes fd. */
static int start_session(struct service *service, int fd)
{
	int r = vhu_session_new(service->device, service->daemon->loop, fd, session_closed, service,
				&service->session);

	if (r < 0)
		vhu_error("%s: cannot serve the front-end: %s", service->name, strerror(-r));
	else
		vhu_info("%s: a front-end is connected", service->name);
	service->session_start_ns = vhu_now_ns();
	return r;
}

static void on_connection(void *data, uint32_t events)
{
	struct service *service = data;
	int fd = accept4(service->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (fd >= 0) {
		/* The next one waits in the backlog: a device has one session at a time. */
		vhu_source_set_events(service->source, 0);
		if (start_session(service, fd) == 0)
			return;
	} else if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED) {
		return;
	} else {
		vhu_error("%s: cannot accept a front-end: %s", service->name, strerror(errno));
		vhu_source_set_events(service->source, 0);
	}
	try_later(service);
}

static void try_to_connect(struct service *service)
{
	int fd, r = vhu_socket_connect(service->connect, &fd);

	if (r == 0)
		r = start_session(service, fd);
	else if (!service->told_waiting)
		vhu_info("%s: waiting for the front-end: %s", service->name, strerror(-r));
	service->told_waiting = r < 0;
	if (r < 0)
		try_later(service);
}

static void on_retry(void *data, uint32_t events)
{
	struct service *service = data;

	(void)events;
	if (service->connect)
		try_to_connect(service);
	else
		vhu_source_set_events(service->source, EPOLLIN);
}

/* For the next front-end. */
static void start_waiting(struct service *service)
{
	if (service->connect)
		try_later(service);
	else
		vhu_source_set_events(service->source, EPOLLIN);
}

static bool is_adopted(const struct vhu_daemon *daemon, int fd)
{
	const struct service *service;

	TAILQ_FOREACH(service, &daemon->services, link)
		if (fd == service->listener.fd || fd == service->connected_fd)
			return true;
	return false;
}

/* Takes fd, which came from outside, when it is a socket for us. */
static int adopt_socket(struct service *service, int fd)
{
	bool listens;
	int r;

	if (is_adopted(service->daemon, fd)) {
		vhu_error("file descriptor %d is given for two devices", fd);
		return -EBUSY;
	}
	r = vhu_socket_inspect(fd, &listens);
	if (r < 0)
		return r;
	*(listens ? &service->listener.fd : &service->connected_fd) = fd;
	r = vhu_fd_set_cloexec(fd);
	return r < 0 ? r : vhu_fd_set_nonblock(fd, true);
}

static unsigned count_kinds(const struct vhu_endpoint *endpoint)
{
	return !!endpoint->socket_path + !!endpoint->connect + (endpoint->fd >= 0);
}

static int open_endpoint(struct service *service, const struct vhu_endpoint *endpoint)
{
	struct vhu_daemon *daemon = service->daemon;

	assert(count_kinds(endpoint) <= 1);
	if (endpoint->connect) {
		service->connect = endpoint->connect;
		return vhu_socket_check_path(endpoint->connect);
	}
	if (endpoint->socket_path)
		return vhu_listener_open(endpoint->socket_path, &service->listener);
	if (endpoint->fd >= 0)
		return adopt_socket(service, endpoint->fd);
	if (daemon->inherited_fd == daemon->inherited_end) {
		vhu_error("LISTEN_FDS has fewer sockets than there are devices without one");
		return -EINVAL;
	}
	return adopt_socket(service, daemon->inherited_fd++);
}

int vhu_endpoint_check(const struct vhu_endpoint *endpoint)
{
	unsigned kinds = count_kinds(endpoint);
	bool listens;

	if (kinds > 1) {
		vhu_error("--socket-path, --fd and --connect exclude one another");
		return -EINVAL;
	}
	if (kinds == 0 && !vhu_listen_fds()) {
		vhu_error("where to serve? Give --socket-path, --fd or --connect");
		return -EINVAL;
	}
	if (endpoint->control) {
		int r = vhu_listener_check(endpoint->control);

		if (r < 0)
			return r;
	}
	if (endpoint->socket_path)
		return vhu_listener_check(endpoint->socket_path);
	if (endpoint->connect)
		return vhu_socket_check_path(endpoint->connect);
	return endpoint->fd < 0 ? 0 : vhu_socket_inspect(endpoint->fd, &listens);
}

static void destroy_service(struct service *service)
{
	close_endpoint(service);
	vhu_device_unref(service->device);
	free(service);
}

static int add_sources(struct service *service)
{
	struct vhu_loop *loop = service->daemon->loop;
	int r = vhu_loop_add_timer(loop, on_retry, service, &service->timer);

	if (r == 0 && service->listener.fd >= 0)
		r = vhu_loop_add_fd(loop, service->listener.fd, 0, on_connection, service,
				    &service->source);
	return r;
}

int vhu_daemon_add(struct vhu_daemon *daemon, struct vhu_device *device,
		   const struct vhu_endpoint *endpoint)
{
	struct service *service = calloc(1, sizeof(*service));
	int r;

	if (!service)
		return -ENOMEM;
	service->daemon = daemon;
	service->device = vhu_device_ref(device);
	service->once = endpoint->once;
	service->name = endpoint->socket_path ? endpoint->socket_path :
			endpoint->connect     ? endpoint->connect :
						"inherited socket";
	service->listener.fd = -1;
	service->connected_fd = -1;
	service->backoff_ns = BACKOFF_MIN_NS;
	if (endpoint->inband)
		vhu_inband_offer(device);
	r = vhu_device_attach(device, daemon->loop);
	if (r == 0)
		r = open_endpoint(service, endpoint);
	if (r == 0)
		r = add_sources(service);
	if (r == 0 && endpoint->control)
		r = vhu_control_new(daemon->loop, endpoint->control, endpoint->commands,
				    ARRAY_SIZE(endpoint->commands), &service->control);
	if (r < 0) {
		destroy_service(service);
		return r;
	}
	TAILQ_INSERT_TAIL(&daemon->services, service, link);
	return 0;
}

/* The files go; what was in flight is left to the kernel. */
static void end_at_once(struct vhu_daemon *daemon, const char *why)
{
	struct service *service;

	TAILQ_FOREACH(service, &daemon->services, link)
		close_endpoint(service);
	vhu_warning("%s: ending with requests in flight", why);
	_exit(1);
}

static void on_drain_timeout(void *data, uint32_t events)
{
	(void)events;
	end_at_once(data, "the rings did not drain in time");
}

static void on_end_signal(void *data, uint32_t events)
{
	struct vhu_daemon *daemon = data;
	struct service *service;

	(void)events;
	if (daemon->stopping)
		end_at_once(daemon, "told again to end");
	daemon->stopping = true;
	vhu_source_set_timer(daemon->drain_timer, VHU_DAEMON_DRAIN_NS);
	TAILQ_FOREACH(service, &daemon->services, link) {
		close_endpoint(service);
		if (service->session)
			vhu_session_close(service->session);
		else
			service->done = true;
	}
	finish_if_done(daemon);
}

int vhu_daemon_new(struct vhu_daemon **ret_daemon)
{
	struct vhu_daemon *daemon = calloc(1, sizeof(*daemon));
	int r;

	if (!daemon)
		return -ENOMEM;
	TAILQ_INIT(&daemon->services);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	r = vhu_fault_init();
	if (r == 0)
		r = vhu_loop_new(&daemon->loop);
	if (r == 0)
		r = vhu_daemon_on_signal(daemon, SIGTERM, on_end_signal, daemon);
	if (r == 0)
		r = vhu_daemon_on_signal(daemon, SIGINT, on_end_signal, daemon);
	if (r == 0)
		r = vhu_loop_add_timer(daemon->loop, on_drain_timeout, daemon,
				       &daemon->drain_timer);
	if (r < 0) {
		vhu_daemon_destroy(daemon);
		return r;
	}
	daemon->inherited_fd = VHU_LISTEN_FDS_START;
	daemon->inherited_end = VHU_LISTEN_FDS_START + (int)vhu_listen_fds();
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	*ret_daemon = daemon;
	return 0;
}

void vhu_daemon_destroy(struct vhu_daemon *daemon)
{
	struct service *service;

	if (!daemon)
		return;
	while ((service = TAILQ_FIRST(&daemon->services))) {
		TAILQ_REMOVE(&daemon->services, service, link);
		destroy_service(service);
	}
	/* Signals and the drain timer go with the loop. */
	vhu_loop_destroy(daemon->loop);
	free(daemon);
}

bool vhu_daemon_is_connected(const struct vhu_daemon *daemon, const struct vhu_device *device)
{
	const struct service *service;

	TAILQ_FOREACH(service, &daemon->services, link)
		if (service->device == device)
			return service->session;
	return false;
}

int vhu_daemon_on_signal(struct vhu_daemon *daemon, int signo, vhu_source_fn fn, void *data)
{
	assert(signo > 0 && signo < _NSIG);
	vhu_source_remove(steal_ptr(&daemon->signals[signo]));
	return vhu_loop_add_signal(daemon->loop, signo, fn, data, &daemon->signals[signo]);
}

static void start_service(struct service *service)
{
	if (service->connect) {
		try_to_connect(service);
	} else if (service->connected_fd < 0) {
		vhu_info("%s: waiting for a front-end", service->name);
		start_waiting(service);
	} else if (start_session(service, steal_fd(&service->connected_fd)) < 0) {
		service->daemon->status = 1;
		set_done(service);
	}
}

int vhu_daemon_run(struct vhu_daemon *daemon)
{
	struct service *service;
	int r;

	if (daemon->inherited_fd < daemon->inherited_end)
		vhu_warning("LISTEN_FDS has more sockets than there are devices");
	TAILQ_FOREACH(service, &daemon->services, link)
		start_service(service);
	r = vhu_loop_run(daemon->loop);
	if (r < 0) {
		vhu_error("cannot wait for events: %s", strerror(-r));
		return 1;
	}
	return daemon->status;
}
