/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * VNC as a viewer: a socket for each output, and who looks there. What a client that is busy has
 * not been given yet is marked here.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/fd.h"
#include "common/base/log.h"
#include "common/base/num.h"
#include "common/base/own_socket.h"
#include "devices/gpu/output.h"
#include "devices/gpu/remote_input.h"
#include "devices/gpu/vnc_client.h"

#define CLIENTS_MAX 16
#define RETRY_NS NS_PER_SEC
#define DOOR_NS NS_PER_SEC

/* Where an output is to be seen. */
struct place {
	struct vnc *vnc;
	unsigned scanout;
	char title[32];
	char *path; /* NULL: a port */
	struct vhu_own_socket socket;
	struct vhu_source *source;
};

/* Who looks, and what it has not been given yet. */
struct seat {
	struct vhu_gpu_vnc_client *client;
	bool used;
	unsigned scanout;
	bool types; /* it has touched keys or pointer */
	bool off;   /* the picture is, and it is to be black */
	bool cursor_image, cursor_place;
	bool cursor_shown; /* as it was given last */
	struct vhu_gpu_tiles tiles;
};

struct vnc {
	struct vhu_gpu_viewer viewer;
	struct vhu_loop *loop;
	const struct vhu_gpu_picture *pictures;
	struct vhu_gpu_display_stats *stats;
	struct vhu_gpu_vnc_config config;
	int events_fd; /* the reading end of config.events_fd */
	struct vhu_source *events, *retry, *door;
	struct vhu_gpu_remote_input *input; /* NULL: nobody hears keys and pointer */
	struct place places[VHU_GPU_OUTPUTS_MAX];
	unsigned n_places;
	struct seat seats[CLIENTS_MAX];
	struct vhu_log_limit log_limit, visits_limit;
};

static struct vnc *of(struct vhu_gpu_viewer *viewer)
{
	return container_of(viewer, struct vnc, viewer);
}

/* --- what is seen ---------------------------------------------------------------------------- */

static void fill(struct vnc *vnc, struct seat *seat)
{
	const struct vhu_gpu_picture *picture = &vnc->pictures[seat->scanout];
	struct vhu_gpu_rect rect;

	vhu_gpu_vnc_client_fit(seat->client, picture);
	if (seat->off)
		vhu_gpu_vnc_client_blank(seat->client);
	seat->off = false;
	while (vhu_gpu_tiles_take(&seat->tiles, UINT64_MAX, &rect))
		vhu_gpu_vnc_client_draw(seat->client, picture, &rect);
	seat->cursor_image |= seat->cursor_place && seat->cursor_shown != picture->cursor_visible;
	if (seat->cursor_image || seat->cursor_place)
		vhu_gpu_vnc_client_set_cursor(seat->client, picture, seat->cursor_image);
	seat->cursor_image = seat->cursor_place = false;
	seat->cursor_shown = picture->cursor_visible;
}

static void deliver(struct vnc *vnc, struct seat *seat)
{
	if (!seat->off && !seat->tiles.n && !seat->cursor_image && !seat->cursor_place)
		return;
	if (!vhu_gpu_vnc_client_take(seat->client))
		return;
	fill(vnc, seat);
	vhu_gpu_vnc_client_release(seat->client);
}

static bool looks_at(const struct seat *seat, const struct vhu_gpu_picture *picture)
{
	return seat->used && seat->scanout == picture->scanout;
}

static bool wants(struct vhu_gpu_viewer *viewer)
{
	struct vnc *vnc = of(viewer);

	for (unsigned i = 0; i < CLIENTS_MAX; i++)
		if (vnc->seats[i].used)
			return true;
	return false;
}

static void set_size(struct seat *seat, const struct vhu_gpu_picture *picture)
{
	seat->off = !picture->width;
	vhu_gpu_tiles_init(&seat->tiles, picture->width, picture->height);
}

static void resized(struct vhu_gpu_viewer *viewer, const struct vhu_gpu_picture *picture)
{
	struct vnc *vnc = of(viewer);

	for (unsigned i = 0; i < CLIENTS_MAX; i++) {
		if (!looks_at(&vnc->seats[i], picture))
			continue;
		set_size(&vnc->seats[i], picture);
		deliver(vnc, &vnc->seats[i]);
	}
}

static void changed(struct vhu_gpu_viewer *viewer, const struct vhu_gpu_picture *picture,
		    const struct vhu_gpu_tiles *tiles)
{
	struct vnc *vnc = of(viewer);

	for (unsigned i = 0; i < CLIENTS_MAX; i++) {
		if (!looks_at(&vnc->seats[i], picture))
			continue;
		vhu_gpu_tiles_merge(&vnc->seats[i].tiles, tiles);
		deliver(vnc, &vnc->seats[i]);
	}
}

static void cursor(struct vhu_gpu_viewer *viewer, const struct vhu_gpu_picture *picture,
		   bool image)
{
	struct vnc *vnc = of(viewer);

	for (unsigned i = 0; i < CLIENTS_MAX; i++) {
		struct seat *seat = &vnc->seats[i];

		if (!looks_at(seat, picture))
			continue;
		seat->cursor_place = true;
		seat->cursor_image |= image;
		deliver(vnc, seat);
	}
}

/* --- what is said ---------------------------------------------------------------------------- */

static void set_used(struct vnc *vnc, struct seat *seat, bool used)
{
	seat->used = used;
	vhu_counter_add(&vnc->stats->vnc_clients, used ? 1 : UINT64_MAX);
	vnc->viewer.sink->wants_changed(vnc->viewer.sink);
}

static void go(struct vnc *vnc, struct seat *seat)
{
	vhu_gpu_vnc_client_end(seat->client);
	if (seat->types)
		vhu_gpu_remote_input_release(vnc->input);
	vhu_log_limited(&vnc->visits_limit, VHU_LOG_INFO, "VNC: a viewer of %s has gone",
			vnc->places[seat->scanout].title);
	set_used(vnc, seat, false);
}

static void want_size(struct vnc *vnc, const struct seat *seat, uint32_t width, uint32_t height)
{
	struct vhu_gpu_mode mode = { true, { 0, 0, width, height } };

	vnc->viewer.sink->wants_mode(vnc->viewer.sink, seat->scanout, &mode);
}

static void hear(struct vnc *vnc, const struct vhu_gpu_vnc_event *event)
{
	struct seat *seat = &vnc->seats[event->client];

	switch (event->type) {
	case VHU_GPU_VNC_KEY:
	case VHU_GPU_VNC_POINTER:
		if (!vnc->input)
			break;
		seat->types = true;
		if (event->type == VHU_GPU_VNC_KEY)
			vhu_gpu_remote_input_key(vnc->input, event->keysym, event->down);
		else
			vhu_gpu_remote_input_point(vnc->input, event->buttons, event->x, event->y,
						   event->width, event->height);
		break;
	case VHU_GPU_VNC_SIZE:
		want_size(vnc, seat, event->width, event->height);
		break;
	case VHU_GPU_VNC_IDLE:
		if (seat->used)
			deliver(vnc, seat);
		break;
	case VHU_GPU_VNC_GONE:
		go(vnc, seat);
		break;
	}
}

static void on_events(void *data, uint32_t epoll_events)
{
	struct vnc *vnc = data;
	struct vhu_gpu_vnc_event events[64];
	ssize_t bytes = read(vnc->events_fd, events, sizeof(events));

	(void)epoll_events;
	for (ssize_t i = 0; i < bytes / (ssize_t)sizeof(events[0]); i++)
		hear(vnc, &events[i]);
}

/* --- who comes ------------------------------------------------------------------------------- */

static struct seat *free_seat(struct vnc *vnc)
{
	for (unsigned i = 0; i < CLIENTS_MAX; i++)
		if (!vnc->seats[i].used)
			return &vnc->seats[i];
	return NULL;
}

/* Takes fd. */
static int seat_client(struct place *place, struct seat *seat, int fd)
{
	const struct vhu_gpu_picture *picture = &place->vnc->pictures[place->scanout];
	int r = vhu_gpu_vnc_client_start(seat->client, fd, place->title);

	if (r < 0)
		return r;
	seat->scanout = place->scanout;
	seat->types = false;
	seat->cursor_image = seat->cursor_place = true;
	set_size(seat, picture);
	vhu_gpu_tiles_add_all(&seat->tiles);
	fill(place->vnc, seat);
	vhu_gpu_vnc_client_release(seat->client);
	return 0;
}

static void on_door(void *data, uint32_t events)
{
	struct vnc *vnc = data;
	bool any = false;

	(void)events;
	for (unsigned i = 0; i < CLIENTS_MAX; i++)
		any |= vnc->seats[i].used && vhu_gpu_vnc_client_hurry(vnc->seats[i].client);
	if (any)
		vhu_source_set_timer(vnc->door, DOOR_NS);
}

static void refuse(struct place *place, const char *why)
{
	vhu_log_limited(&place->vnc->log_limit, VHU_LOG_WARNING,
			"VNC: a viewer of %s was turned away: %s", place->title, why);
}

static void listen_all(struct vnc *vnc, uint32_t events)
{
	for (unsigned i = 0; i < vnc->n_places; i++)
		vhu_source_set_events(vnc->places[i].source, events);
}

static void on_retry(void *data, uint32_t events)
{
	(void)events;
	listen_all(data, EPOLLIN);
}

static void on_client(void *data, uint32_t events)
{
	struct place *place = data;
	struct vnc *vnc = place->vnc;
	cleanup_fd int fd = accept4(place->socket.fd, NULL, NULL, SOCK_CLOEXEC);
	struct seat *seat = free_seat(vnc);
	int r;

	(void)events;
	if (fd < 0) {
		if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
			return;
		refuse(place, strerror(errno));
		listen_all(vnc, 0);
		vhu_source_set_timer(vnc->retry, RETRY_NS);
		return;
	}
	/* libvncserver waits with select(). */
	if (!seat || fd >= FD_SETSIZE) {
		refuse(place, seat ? "too many files are open" : "16 are there already");
		return;
	}
	r = seat_client(place, seat, steal_fd(&fd));
	if (r < 0) {
		refuse(place, strerror(-r));
		return;
	}
	vhu_log_limited(&vnc->visits_limit, VHU_LOG_INFO, "VNC: a viewer of %s has come",
			place->title);
	vhu_source_set_timer(vnc->door, DOOR_NS);
	set_used(vnc, seat, true);
}

void vhu_gpu_vnc_start(struct vhu_gpu_viewer *viewer)
{
	listen_all(of(viewer), EPOLLIN);
}

/* --- beginning and end ----------------------------------------------------------------------- */

static int read_password(const char *file, char ret_password[9])
{
	cleanup_fd int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	char text[256];
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	size_t len;

	if (n < 0) {
		vhu_error("--vnc-password-file %s: %s", file, strerror(errno));
		return -errno;
	}
	text[n] = '\0';
	len = strcspn(text, "\r\n");
	if (len == 0) {
		vhu_error("--vnc-password-file %s: its first line is empty", file);
		return -EINVAL;
	}
	if (len > 8)
		vhu_warning("--vnc-password-file %s: VNC looks at 8 characters, of %zu", file, len);
	memcpy(ret_password, text, min_u64(len, 8));
	explicit_bzero(text, sizeof(text));
	return 0;
}

static int listen_at_port(struct place *place, unsigned port)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons((uint16_t)port),
	};
	const int on = 1;
	cleanup_fd int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(fd, CLIENTS_MAX) < 0)
		return -errno;
	place->socket.fd = steal_fd(&fd);
	return 0;
}

/* The outputs behind the first have PATH.1 or PORT + 1, and so on. */
static int open_place(struct vnc *vnc, const struct vhu_gpu_options *options)
{
	unsigned i = vnc->n_places;
	struct place *place = &vnc->places[i];
	const char *colon = strchr(options->vnc, ':');
	bool at_path = strncmp(options->vnc, "unix:", 5) == 0;
	unsigned port = at_path ? 0 : (unsigned)atoi(colon + 1) + i;
	int r;

	*place = (struct place){ .vnc = vnc, .scanout = i, .socket.fd = -1 };
	vnc->n_places++;
	snprintf(place->title, sizeof(place->title), "output %u", i);
	if (i < options->n_outputs && options->outputs[i].name[0])
		strcpy(place->title, options->outputs[i].name);
	if (at_path && asprintf(&place->path, i ? "%s.%u" : "%s", colon + 1, i) < 0)
		return -ENOMEM;
	r = at_path ? vhu_own_socket_listen(place->path, CLIENTS_MAX, &place->socket) :
		      listen_at_port(place, port);
	if (r < 0)
		vhu_error("--vnc %s: of output %u: cannot listen there: %s", options->vnc, i,
			  vhu_own_socket_explain(r));
	else
		r = vhu_loop_add_fd(vnc->loop, place->socket.fd, 0, on_client, place,
				    &place->source);
	return r;
}

static int open_parts(struct vnc *vnc)
{
	int pipe_fds[2];
	int r;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return -errno;
	vnc->events_fd = pipe_fds[0];
	vnc->config.events_fd = pipe_fds[1];
	r = vhu_fd_set_nonblock(vnc->events_fd, true);
	if (r == 0)
		r = vhu_loop_add_fd(vnc->loop, vnc->events_fd, EPOLLIN, on_events, vnc,
				    &vnc->events);
	if (r == 0)
		r = vhu_loop_add_timer(vnc->loop, on_retry, vnc, &vnc->retry);
	if (r == 0)
		r = vhu_loop_add_timer(vnc->loop, on_door, vnc, &vnc->door);
	for (unsigned i = 0; r == 0 && i < CLIENTS_MAX; i++)
		r = vhu_gpu_vnc_client_new(&vnc->config, i, &vnc->seats[i].client);
	return r;
}

static int open_input(struct vnc *vnc, const char *path)
{
	int r = vhu_gpu_remote_input_new(path, vnc->loop, &vnc->input);

	if (r < 0)
		vhu_error("--vnc-input %s: %s", path, vhu_own_socket_explain(r));
	return r;
}

static int open_all(struct vnc *vnc, const struct vhu_gpu_options *options)
{
	int r = 0;

	vnc->config.may_resize = options->n_outputs == 0;
	if (options->vnc_password_file)
		r = read_password(options->vnc_password_file, vnc->config.password);
	if (r < 0)
		return r;
	r = open_parts(vnc);
	if (r < 0)
		vhu_error("--vnc %s: %s", options->vnc, strerror(-r));
	if (r == 0 && options->vnc_input)
		r = open_input(vnc, options->vnc_input);
	for (unsigned i = 0; r == 0 && i < max_u64(options->n_outputs, 1); i++)
		r = open_place(vnc, options);
	return r;
}

static void free_vnc(struct vhu_gpu_viewer *viewer)
{
	struct vnc *vnc = of(viewer);

	/* Nobody waits for our ear any more. */
	vhu_source_remove(vnc->events);
	close_fd(&vnc->events_fd);
	for (unsigned i = 0; i < CLIENTS_MAX; i++)
		vhu_gpu_vnc_client_free(vnc->seats[i].client);
	close_fd(&vnc->config.events_fd);
	for (unsigned i = 0; i < vnc->n_places; i++) {
		vhu_source_remove(vnc->places[i].source);
		vhu_own_socket_close(&vnc->places[i].socket);
		free(vnc->places[i].path);
	}
	vhu_source_remove(vnc->retry);
	vhu_source_remove(vnc->door);
	vhu_gpu_remote_input_free(vnc->input);
	free(vnc);
}

static const struct vhu_gpu_viewer_ops viewer_ops = {
	.wants = wants,
	.resized = resized,
	.changed = changed,
	.cursor = cursor,
	.free = free_vnc,
};

int vhu_gpu_vnc_new(const struct vhu_gpu_options *options, struct vhu_loop *loop,
		    const struct vhu_gpu_picture *pictures, struct vhu_gpu_output_sink *sink,
		    struct vhu_gpu_display_stats *stats, struct vhu_gpu_viewer **ret_viewer)
{
	struct vnc *vnc = calloc(1, sizeof(*vnc));
	int r;

	if (!vnc)
		return -ENOMEM;
	vnc->viewer.ops = &viewer_ops;
	vnc->viewer.sink = sink;
	vnc->loop = loop;
	vnc->pictures = pictures;
	vnc->stats = stats;
	vnc->events_fd = vnc->config.events_fd = -1;
	r = open_all(vnc, options);
	if (r < 0) {
		free_vnc(&vnc->viewer);
		return r;
	}
	*ret_viewer = &vnc->viewer;
	return 0;
}
