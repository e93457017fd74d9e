/* SPDX-License-Identifier: BSD-3-Clause */
#include "devices/gpu/display.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "common/base/cleanup.h"
#include "common/base/fd.h"
#include "common/base/log.h"
#include "common/base/num.h"
#include "devices/gpu/display_priv.h"
#include "devices/gpu/picture.h"

/* --- looking --------------------------------------------------------------------------------- */

/* Pictures are the guest's wish too, and held against the same limit. */
static void fit(struct vhu_gpu_display *display, struct vhu_gpu_picture *picture, uint32_t width,
		uint32_t height)
{
	uint64_t bytes = (uint64_t)4 * width * height;
	uint64_t others = display->picture_bytes -
			  (uint64_t)4 * picture->width * picture->height;
	uint32_t *before;

	if (bytes > display->options->max_resource_mem - others)
		width = height = 0;
	before = vhu_gpu_picture_resize(picture, width, height);
	display->picture_bytes = others + (uint64_t)4 * picture->width * picture->height;
	if (bytes && !picture->width)
		vhu_log_limited(&display->log_limit, VHU_LOG_WARNING,
				"scanout %u: no memory for its picture", picture->scanout);
	for (unsigned i = 0; i < display->n_viewers; i++)
		display->viewers[i]->ops->resized(display->viewers[i], picture);
	free(before);
}

/* What is to be looked at, with a reference: what is new is for the next look. */
static bool take_damage(struct vhu_gpu_display *display, struct vhu_gpu_head *head,
			struct vhu_gpu_surface **ret_surface, struct vhu_gpu_rect *ret_part)
{
	bool dirty;

	pthread_mutex_lock(&display->mutex);
	dirty = head->dirty;
	if (dirty) {
		*ret_surface = head->surface ? vhu_gpu_surface_ref(head->surface) : NULL;
		*ret_part = head->part;
		display->damage = head->damage;
		vhu_gpu_tiles_init(&head->damage, head->part.width, head->part.height);
		head->dirty = head->flushed = false;
	}
	pthread_mutex_unlock(&display->mutex);
	return dirty;
}

static void look_at(struct vhu_gpu_display *display, unsigned scanout)
{
	struct vhu_gpu_picture *picture = &display->pictures[scanout];
	struct vhu_gpu_surface *surface;
	struct vhu_gpu_rect part;
	bool resized;

	if (!take_damage(display, &display->heads[scanout], &surface, &part))
		return;
	vhu_counter_add(&display->stats.looks, 1);
	resized = part.width != picture->width || part.height != picture->height;
	if (resized)
		fit(display, picture, part.width, part.height);
	if (picture->width) {
		vhu_gpu_picture_update(picture, surface, &part, &display->damage,
				       &display->changed, &display->stats);
		if (resized)
			vhu_gpu_tiles_add_all(&display->changed);
		for (unsigned i = 0; display->changed.n && i < display->n_viewers; i++)
			display->viewers[i]->ops->changed(display->viewers[i], picture,
							  &display->changed);
	}
	vhu_gpu_surface_unref(surface);
}

static void look(struct vhu_gpu_display *display)
{
	uint64_t interval_ns = NS_PER_SEC / max_u64(display->options->max_fps, 1);
	uint64_t since_ns = vhu_now_ns(), took_ns;

	display->timing = true;
	for (unsigned i = 0; i < VHU_GPU_OUTPUTS_MAX; i++)
		look_at(display, i);
	took_ns = vhu_now_ns() - since_ns;
	vhu_source_set_timer(display->timer, took_ns < interval_ns ? interval_ns - took_ns : 1);
}

static bool anyone_wants(const struct vhu_gpu_display *display)
{
	for (unsigned i = 0; i < display->n_viewers; i++)
		if (display->viewers[i]->ops->wants(display->viewers[i]))
			return true;
	return false;
}

static bool any_dirty(const struct vhu_gpu_display *display)
{
	for (unsigned i = 0; i < VHU_GPU_OUTPUTS_MAX; i++)
		if (display->heads[i].dirty)
			return true;
	return false;
}

/* Whenever it may have become time for it. */
static void look_if_due(struct vhu_gpu_display *display)
{
	bool wanted, due;

	if (display->timing)
		return;
	wanted = anyone_wants(display);
	pthread_mutex_lock(&display->mutex);
	due = wanted && any_dirty(display);
	display->rests = wanted && !due;
	pthread_mutex_unlock(&display->mutex);
	if (due)
		look(display);
}

static void on_time(void *data, uint32_t events)
{
	struct vhu_gpu_display *display = data;

	(void)events;
	display->timing = false;
	look_if_due(display);
}

/* --- what the worker tells ------------------------------------------------------------------- */

static void take_cursor(struct vhu_gpu_display *display, unsigned scanout)
{
	struct vhu_gpu_picture *picture = &display->pictures[scanout];
	struct vhu_gpu_head *head = &display->heads[scanout];
	bool image, place;

	pthread_mutex_lock(&display->mutex);
	image = head->cursor_image;
	place = head->cursor_place;
	head->cursor_image = head->cursor_place = false;
	if (image)
		picture->cursor = head->cursor;
	picture->cursor_x = head->cursor_x;
	picture->cursor_y = head->cursor_y;
	picture->cursor_visible = head->cursor_visible;
	pthread_mutex_unlock(&display->mutex);
	for (unsigned i = 0; (image || place) && i < display->n_viewers; i++)
		display->viewers[i]->ops->cursor(display->viewers[i], picture, image);
}

/* As they are now, whether anybody else looks or not. */
static void take_shots(struct vhu_gpu_display *display, struct vhu_gpu_shots_call *calls)
{
	for (unsigned i = 0; i < VHU_GPU_OUTPUTS_MAX; i++)
		look_at(display, i);
	vhu_gpu_shots_take(display->shots, display->pictures, calls);
}

static void on_told(struct vhu_call *call)
{
	struct vhu_gpu_display *display = container_of(call, struct vhu_gpu_display, told);
	struct vhu_gpu_display_call *asks;
	struct vhu_gpu_shots_call *shoot_calls;
	bool socket_is_new, suspended, cursors, shoot, start;
	int fd;

	/* Told after the thread's last turn. */
	if (!display->socket)
		return;
	pthread_mutex_lock(&display->mutex);
	display->posted = false;
	socket_is_new = display->socket_is_new;
	fd = display->socket_fd;
	display->socket_is_new = false;
	display->socket_fd = -1;
	suspended = display->suspended;
	asks = steal_ptr(&display->asks);
	cursors = display->cursors;
	display->cursors = false;
	shoot = display->shoot;
	display->shoot = false;
	shoot_calls = steal_ptr(&display->shoot_calls);
	start = display->start;
	display->start = false;
	pthread_mutex_unlock(&display->mutex);

	if (start && display->vnc)
		vhu_gpu_vnc_start(display->vnc);
	/* Nothing goes to the last socket any more, or to a new one while suspended. */
	if (suspended)
		vhu_gpu_socket_suspend(display->socket, true);
	if (socket_is_new)
		vhu_gpu_socket_set(display->socket, fd);
	vhu_gpu_socket_suspend(display->socket, suspended);
	for (unsigned i = 0; cursors && i < VHU_GPU_OUTPUTS_MAX; i++)
		take_cursor(display, i);
	if (asks) {
		vhu_gpu_display_append(&display->asking, asks);
		vhu_gpu_socket_ask_modes(display->socket);
	}
	if (shoot)
		take_shots(display, shoot_calls);
	look_if_due(display);
}

/* --- what the worker is told ----------------------------------------------------------------- */

static void on_answers(void *data, uint32_t events)
{
	struct vhu_gpu_display *display = data;
	struct vhu_gpu_display_call *call, *next;
	bool modes_changed;

	(void)events;
	pthread_mutex_lock(&display->mutex);
	modes_changed = display->modes_changed;
	display->modes_changed = false;
	call = steal_ptr(&display->answered);
	pthread_mutex_unlock(&display->mutex);
	if (modes_changed)
		display->ops->modes_changed(display->data);
	for (; call; call = next) {
		next = call->next;
		call->done(call);
	}
}

static struct vhu_gpu_display *display_of(struct vhu_gpu_output_sink *sink)
{
	return container_of(sink, struct vhu_gpu_display, sink);
}

static void wants_changed(struct vhu_gpu_output_sink *sink)
{
	look_if_due(display_of(sink));
}

static void has_modes(struct vhu_gpu_output_sink *sink,
		      const struct vhu_gpu_mode modes[VHU_GPU_OUTPUTS_MAX])
{
	struct vhu_gpu_display *display = display_of(sink);

	pthread_mutex_lock(&display->mutex);
	memcpy(display->modes, modes, sizeof(display->modes));
	pthread_mutex_unlock(&display->mutex);
}

static void wants_mode(struct vhu_gpu_output_sink *sink, unsigned scanout,
		       const struct vhu_gpu_mode *mode)
{
	struct vhu_gpu_display *display = display_of(sink);
	struct vhu_gpu_mode *known = &display->viewer_modes[scanout];
	bool other;

	pthread_mutex_lock(&display->mutex);
	other = known->enabled != mode->enabled ||
		memcmp(&known->rect, &mode->rect, sizeof(mode->rect)) != 0;
	*known = *mode;
	display->modes_changed |= other;
	pthread_mutex_unlock(&display->mutex);
	if (other)
		eventfd_write(display->answers_fd, 1);
}

static void answered(struct vhu_gpu_output_sink *sink)
{
	struct vhu_gpu_display *display = display_of(sink);

	pthread_mutex_lock(&display->mutex);
	vhu_gpu_display_append(&display->answered, steal_ptr(&display->asking));
	pthread_mutex_unlock(&display->mutex);
	eventfd_write(display->answers_fd, 1);
}

const struct vhu_gpu_display_stats *vhu_gpu_display_stats(const struct vhu_gpu_display *display)
{
	return &display->stats;
}

/* --- the thread ------------------------------------------------------------------------------ */

static void *display_thread(void *data)
{
	struct vhu_gpu_display *display = data;

	vhu_loop_run(display->loop);
	return NULL;
}

/* With the fd to the worker, whose loop removes the source. */
static int run(struct vhu_gpu_display *display, struct vhu_loop *worker_loop)
{
	struct vhu_source *source;
	sigset_t all, before;
	int r;

	r = vhu_loop_add_fd(worker_loop, display->answers_fd, EPOLLIN | EPOLLET, on_answers,
			    display, &source);
	if (r < 0)
		return r;
	/* Signals are main's; SIGBUS must stay open, a fault is delivered where it happens. */
	sigfillset(&all);
	sigdelset(&all, SIGBUS);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = -pthread_create(&display->thread, NULL, display_thread, display);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r < 0)
		vhu_source_remove(source);
	else
		pthread_setname_np(display->thread, "vhu-gpu-display");
	return r;
}

static int open_parts(struct vhu_gpu_display *display)
{
	int r = vhu_loop_new(&display->loop);

	if (r < 0)
		return r;
	display->answers_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (display->answers_fd < 0)
		return -errno;
	r = vhu_loop_add_timer(display->loop, on_time, display, &display->timer);
	if (r < 0)
		return r;
	r = vhu_gpu_shots_new(display->options->screenshot_dir, &display->shots);
	if (r < 0)
		return r;
	r = vhu_gpu_socket_new(display->options->headless, display->loop, display->pictures,
			       &display->sink, &display->stats, &display->socket);
	if (r < 0)
		return r;
	display->viewers[display->n_viewers++] = display->socket;
	return 0;
}

/* Says itself what is wrong. */
static int open_vnc(struct vhu_gpu_display *display)
{
	int r = vhu_gpu_vnc_new(display->options, display->loop, display->pictures, &display->sink,
				&display->stats, &display->vnc);

	if (r == 0)
		display->viewers[display->n_viewers++] = display->vnc;
	return r;
}

static int say(int r)
{
	if (r < 0)
		vhu_error("display: %s", strerror(-r));
	return r;
}

static void free_display(struct vhu_gpu_display *display)
{
	for (unsigned i = 0; i < display->n_viewers; i++)
		display->viewers[i]->ops->free(display->viewers[i]);
	display->socket = NULL;
	vhu_gpu_shots_refuse(display->shoot_calls, "no screenshot: the card is at its end");
	vhu_gpu_shots_free(display->shots);
	vhu_source_remove(display->timer);
	vhu_loop_destroy(display->loop);
	close_fd(&display->answers_fd);
	close_fd(&display->socket_fd);
	for (unsigned i = 0; i < VHU_GPU_OUTPUTS_MAX; i++) {
		vhu_gpu_surface_unref(display->heads[i].surface);
		free(display->pictures[i].pixels);
	}
	pthread_mutex_destroy(&display->mutex);
	free(display);
}

int vhu_gpu_display_new(const struct vhu_gpu_options *options, struct vhu_loop *loop,
			const struct vhu_gpu_display_ops *ops, void *data,
			struct vhu_gpu_display **ret_display)
{
	struct vhu_gpu_display *display = calloc(1, sizeof(*display));
	int r;

	if (!display)
		return -ENOMEM;
	display->options = options;
	display->ops = ops;
	display->data = data;
	display->told.fn = on_told;
	display->socket_fd = display->answers_fd = -1;
	display->sink = (struct vhu_gpu_output_sink){
		.wants_changed = wants_changed,
		.has_modes = has_modes,
		.wants_mode = wants_mode,
		.answered = answered,
	};
	for (unsigned i = 0; i < VHU_GPU_OUTPUTS_MAX; i++)
		display->pictures[i].scanout = i;
	pthread_mutex_init(&display->mutex, NULL);
	r = say(open_parts(display));
	if (r == 0 && options->vnc)
		r = open_vnc(display);
	if (r == 0)
		r = say(run(display, loop));
	if (r < 0) {
		free_display(display);
		return r;
	}
	*ret_display = display;
	return 0;
}

void vhu_gpu_display_destroy(struct vhu_gpu_display *display)
{
	if (!display)
		return;
	vhu_loop_stop(display->loop);
	pthread_join(display->thread, NULL);
	free_display(display);
}
