/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the worker tells lies in a mailbox, the latest of each kind, until the thread takes it. The
 * thread need not be woken for pictures that it will look at anyway, or that nobody wants.
 */
#include <assert.h>

#include "common/base/cleanup.h"
#include "common/base/num.h"
#include "devices/gpu/display_priv.h"

/* The mutex is held. */
static void wake(struct vhu_gpu_display *display)
{
	if (!display->posted)
		vhu_loop_post(display->loop, &display->told);
	display->posted = true;
}

/* The mutex is held. There is something to look at. */
static void mark_dirty(struct vhu_gpu_display *display, struct vhu_gpu_head *head)
{
	head->dirty = true;
	if (display->rests)
		wake(display);
}

void vhu_gpu_display_show(struct vhu_gpu_display *display, unsigned scanout,
			  struct vhu_gpu_surface *surface, const struct vhu_gpu_rect *rect)
{
	struct vhu_gpu_head *head = &display->heads[scanout];
	struct vhu_gpu_surface *before;

	assert(!surface || (range_fits(rect->x, rect->width, surface->width) &&
			    range_fits(rect->y, rect->height, surface->height)));
	pthread_mutex_lock(&display->mutex);
	before = head->surface;
	head->surface = surface ? vhu_gpu_surface_ref(surface) : NULL;
	head->part = surface ? *rect : (struct vhu_gpu_rect){ 0 };
	vhu_gpu_tiles_init(&head->damage, head->part.width, head->part.height);
	vhu_gpu_tiles_add_all(&head->damage);
	if (before || surface)
		mark_dirty(display, head);
	pthread_mutex_unlock(&display->mutex);
	vhu_gpu_surface_unref(before);
}

void vhu_gpu_display_damage(struct vhu_gpu_display *display, unsigned scanout,
			    const struct vhu_gpu_rect *rect)
{
	struct vhu_gpu_head *head = &display->heads[scanout];

	pthread_mutex_lock(&display->mutex);
	vhu_gpu_tiles_add(&head->damage, rect);
	if (head->damage.n) {
		vhu_counter_add(&display->stats.frames, 1);
		vhu_counter_add(&display->stats.superseded, head->flushed);
		head->flushed = true;
		mark_dirty(display, head);
	}
	pthread_mutex_unlock(&display->mutex);
}

void vhu_gpu_display_set_cursor(struct vhu_gpu_display *display, unsigned scanout,
				const struct vhu_gpu_cursor *cursor)
{
	struct vhu_gpu_head *head = &display->heads[scanout];

	pthread_mutex_lock(&display->mutex);
	head->cursor = *cursor;
	head->cursor_image = display->cursors = true;
	wake(display);
	pthread_mutex_unlock(&display->mutex);
}

void vhu_gpu_display_move_cursor(struct vhu_gpu_display *display, unsigned scanout, uint32_t x,
				 uint32_t y, bool visible)
{
	struct vhu_gpu_head *head = &display->heads[scanout];

	pthread_mutex_lock(&display->mutex);
	head->cursor_x = x;
	head->cursor_y = y;
	head->cursor_visible = visible;
	head->cursor_place = display->cursors = true;
	wake(display);
	pthread_mutex_unlock(&display->mutex);
}

void vhu_gpu_display_set_socket(struct vhu_gpu_display *display, int fd)
{
	cleanup_fd int before = -1;

	pthread_mutex_lock(&display->mutex);
	before = display->socket_fd;
	display->socket_fd = fd;
	display->socket_is_new = true;
	wake(display);
	pthread_mutex_unlock(&display->mutex);
}

void vhu_gpu_display_suspend(struct vhu_gpu_display *display, bool suspended)
{
	pthread_mutex_lock(&display->mutex);
	display->suspended = suspended;
	wake(display);
	pthread_mutex_unlock(&display->mutex);
}

void vhu_gpu_display_start(struct vhu_gpu_display *display)
{
	pthread_mutex_lock(&display->mutex);
	display->start = true;
	wake(display);
	pthread_mutex_unlock(&display->mutex);
}

void vhu_gpu_display_screenshot(struct vhu_gpu_display *display, struct vhu_gpu_shots_call *call)
{
	pthread_mutex_lock(&display->mutex);
	display->shoot = true;
	if (call) {
		call->next = display->shoot_calls;
		display->shoot_calls = call;
	}
	wake(display);
	pthread_mutex_unlock(&display->mutex);
}

void vhu_gpu_display_modes(struct vhu_gpu_display *display,
			   struct vhu_gpu_mode ret_modes[VHU_GPU_OUTPUTS_MAX])
{
	pthread_mutex_lock(&display->mutex);
	for (unsigned i = 0; i < VHU_GPU_OUTPUTS_MAX; i++)
		ret_modes[i] = display->viewer_modes[i].enabled ? display->viewer_modes[i] :
								  display->modes[i];
	pthread_mutex_unlock(&display->mutex);
}

void vhu_gpu_display_shown(struct vhu_gpu_display *display,
			   struct vhu_gpu_shown ret_shown[VHU_GPU_OUTPUTS_MAX])
{
	pthread_mutex_lock(&display->mutex);
	for (unsigned i = 0; i < VHU_GPU_OUTPUTS_MAX; i++) {
		const struct vhu_gpu_head *head = &display->heads[i];

		ret_shown[i] = (struct vhu_gpu_shown){ head->part.width, head->part.height,
						       head->cursor_visible };
	}
	pthread_mutex_unlock(&display->mutex);
}

void vhu_gpu_display_ask_modes(struct vhu_gpu_display *display, struct vhu_gpu_display_call *call)
{
	call->next = NULL;
	pthread_mutex_lock(&display->mutex);
	vhu_gpu_display_append(&display->asks, call);
	wake(display);
	pthread_mutex_unlock(&display->mutex);
}
