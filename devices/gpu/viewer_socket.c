/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The front-end's socket (vhost-user-gpu specification) as a viewer. A message is made when all
 * that went before it is out: what a slow peer has not been sent yet is not kept, but marked here.
 *
 * None of the protocol's features is used (the card makes its own EDIDs), so nothing has to wait
 * for the answer which of them there are.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/backend/gpu_channel.h"
#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "devices/gpu/output.h"

/* QEMU stops for the length of a message, and a peer that is slow gets newer pixels in the next. */
#define UPDATE_BYTES (512u << 10)
#define MODES_TIMEOUT_NS NS_PER_SEC

/* What the peer has not been told of a scanout. */
struct head {
	bool used;		     /* it has shown something, to whatever socket */
	bool told;		     /* the size, to this one */
	uint32_t width, height;	     /* as told */
	struct vhu_gpu_tiles tiles;
	bool cursor_image, cursor_place;
	bool has_image, has_place; /* that there are to tell */
};

struct gpu_socket {
	struct vhu_gpu_viewer viewer;
	struct vhu_loop *loop;
	const struct vhu_gpu_picture *pictures;
	struct vhu_gpu_display_stats *stats;
	struct vhu_gpu_channel *channel; /* NULL: none */
	bool blank, suspended;
	bool greeted; /* over this channel */
	bool asking;
	struct vhu_gpu_call features_call, modes_call;
	unsigned turn; /* whose tiles go next */
	struct head heads[VHU_GPU_OUTPUTS_MAX];
};

static struct gpu_socket *of(struct vhu_gpu_viewer *viewer)
{
	return container_of(viewer, struct gpu_socket, viewer);
}

/* --- what is shown --------------------------------------------------------------------------- */

static bool may_send(struct gpu_socket *s)
{
	return s->channel && s->greeted && !s->blank && !s->suspended &&
	       vhu_gpu_channel_is_empty(s->channel);
}

static bool send_message(struct gpu_socket *s, uint32_t request, const void *payload,
			 const struct iovec *pixels, unsigned n)
{
	struct vhu_gpu_message message = {
		.request = request,
		.payload = payload,
		.pixels = pixels,
		.n_pixels = n,
		.fd = -1,
	};

	return s->channel && vhu_gpu_channel_send(s->channel, &message, NULL) == 0;
}

/* QEMU makes a new surface of each, and has none before the first. */
static bool send_size(struct gpu_socket *s, unsigned i)
{
	const struct vhu_gpu_picture *picture = &s->pictures[i];
	struct vhu_gpu_scanout scanout = { i, picture->width, picture->height };
	struct head *head = &s->heads[i];

	if (!head->used || (head->told && head->width == picture->width &&
			    head->height == picture->height) ||
	    !send_message(s, VHU_GPU_SCANOUT, &scanout, NULL, 0))
		return false;
	head->told = true;
	head->width = picture->width;
	head->height = picture->height;
	return true;
}

static bool send_image(struct gpu_socket *s, const struct vhu_gpu_picture *picture,
		       const struct vhu_gpu_cursor_pos *pos)
{
	struct vhu_gpu_cursor_update update;

	update.pos = *pos;
	update.hot_x = picture->cursor.hot_x;
	update.hot_y = picture->cursor.hot_y;
	memcpy(update.pixels, picture->cursor.pixels, sizeof(update.pixels));
	return send_message(s, VHU_GPU_CURSOR_UPDATE, &update, NULL, 0);
}

/* An image also shows it: a new one waits while it is hidden. */
static bool send_cursor(struct gpu_socket *s, unsigned i)
{
	const struct vhu_gpu_picture *picture = &s->pictures[i];
	struct vhu_gpu_cursor_pos pos = { i, picture->cursor_x, picture->cursor_y };
	bool visible = picture->cursor_visible;
	struct head *head = &s->heads[i];

	if (visible && head->cursor_image) {
		if (!send_image(s, picture, &pos))
			return false;
		head->cursor_image = false;
	} else if (!head->cursor_place ||
		   !send_message(s, visible ? VHU_GPU_CURSOR_POS : VHU_GPU_CURSOR_POS_HIDE, &pos,
				 NULL, 0)) {
		return false;
	}
	head->cursor_place = false;
	vhu_counter_add(&s->stats->cursors, 1);
	return true;
}

/* A part for each line, unless they are in one piece. */
static unsigned point_at(const struct vhu_gpu_picture *picture, const struct vhu_gpu_rect *rect,
			 struct iovec iov[VHU_GPU_CHANNEL_PARTS])
{
	uint32_t *line = picture->pixels + (size_t)picture->width * rect->y + rect->x;
	size_t bytes = (size_t)VHU_GPU_PIXEL_BYTES * rect->width;

	if (rect->width == picture->width) {
		iov[0] = (struct iovec){ line, bytes * rect->height };
		return 1;
	}
	for (uint32_t y = 0; y < rect->height; y++, line += picture->width)
		iov[y] = (struct iovec){ line, bytes };
	return rect->height;
}

static bool send_tiles(struct gpu_socket *s, unsigned i)
{
	const struct vhu_gpu_picture *picture = &s->pictures[i];
	struct head *head = &s->heads[i];
	struct iovec iov[VHU_GPU_CHANNEL_PARTS];
	struct vhu_gpu_rect rect, rest;
	struct vhu_gpu_update update;

	if (!vhu_gpu_tiles_take(&head->tiles, UPDATE_BYTES, &rect))
		return false;
	rest = rect;
	if (rect.height > VHU_GPU_CHANNEL_PARTS) {
		rect.height = VHU_GPU_CHANNEL_PARTS / VHU_GPU_TILE * VHU_GPU_TILE;
		rest.y += rect.height;
		rest.height -= rect.height;
		vhu_gpu_tiles_add(&head->tiles, &rest);
	}
	update = (struct vhu_gpu_update){ i, rect.x, rect.y, rect.width, rect.height };
	if (!send_message(s, VHU_GPU_UPDATE, &update, iov, point_at(picture, &rect, iov))) {
		vhu_gpu_tiles_add(&head->tiles, &rect);
		return false;
	}
	vhu_counter_add(&s->stats->updates, 1);
	vhu_counter_add(&s->stats->update_bytes, (uint64_t)VHU_GPU_PIXEL_BYTES * rect.width *
							 rect.height);
	return true;
}

/* What is small goes first; of the pixels each scanout has its turn. */
static bool send_next(struct gpu_socket *s)
{
	for (unsigned i = 0; i < VHU_GPU_OUTPUTS_MAX; i++)
		if (send_size(s, i) || send_cursor(s, i))
			return true;
	for (unsigned n = 0; n < VHU_GPU_OUTPUTS_MAX; n++) {
		unsigned i = (s->turn + n) % VHU_GPU_OUTPUTS_MAX;

		if (send_tiles(s, i)) {
			s->turn = i + 1;
			return true;
		}
	}
	return false;
}

static void send_all(struct gpu_socket *s)
{
	while (may_send(s) && send_next(s))
		;
}

/* --- modes ----------------------------------------------------------------------------------- */

/* One that cannot be is nobody's wish. */
static struct vhu_gpu_mode mode_of(const struct virtio_gpu_display_one *one)
{
	struct vhu_gpu_mode mode = {
		.enabled = one->enabled != 0,
		.rect = { le32toh(one->r.x), le32toh(one->r.y), le32toh(one->r.width),
			  le32toh(one->r.height) },
	};

	if (mode.rect.width == 0 || mode.rect.width > VHU_GPU_SIDE_MAX || mode.rect.height == 0 ||
	    mode.rect.height > VHU_GPU_SIDE_MAX)
		mode = (struct vhu_gpu_mode){ .enabled = false };
	return mode;
}

static void tell_modes(struct gpu_socket *s, const struct virtio_gpu_resp_display_info *info)
{
	struct vhu_gpu_mode modes[VHU_GPU_OUTPUTS_MAX];

	for (unsigned i = 0; i < VHU_GPU_OUTPUTS_MAX; i++)
		modes[i] = mode_of(&info->pmodes[i]);
	s->viewer.sink->has_modes(s->viewer.sink, modes);
}

static void modes_done(struct vhu_gpu_call *call)
{
	struct gpu_socket *s = container_of(call, struct gpu_socket, modes_call);

	s->asking = false;
	if (call->result == 0)
		tell_modes(s, &call->reply->display_info);
	s->viewer.sink->answered(s->viewer.sink);
}

static void features_done(struct vhu_gpu_call *call)
{
	(void)call;
}

/* Is an answer to come? */
static bool ask_modes(struct gpu_socket *s)
{
	struct vhu_gpu_message message = { .request = VHU_GPU_GET_DISPLAY_INFO, .fd = -1 };

	if (s->asking)
		return true;
	if (!s->channel || s->suspended)
		return false;
	s->modes_call = (struct vhu_gpu_call){ .done = modes_done, .timeout_ns = MODES_TIMEOUT_NS };
	s->asking = vhu_gpu_channel_send(s->channel, &message, &s->modes_call) == 0;
	return s->asking;
}

void vhu_gpu_socket_ask_modes(struct vhu_gpu_viewer *viewer)
{
	if (!ask_modes(of(viewer)))
		viewer->sink->answered(viewer->sink);
}

/* --- the socket's lives ---------------------------------------------------------------------- */

static void greet(struct gpu_socket *s)
{
	struct vhu_gpu_message get = { .request = VHU_GPU_GET_PROTOCOL_FEATURES, .fd = -1 };
	uint64_t features = 0;

	if (s->greeted || s->suspended || !s->channel)
		return;
	s->greeted = true;
	s->features_call = (struct vhu_gpu_call){ .done = features_done };
	if (vhu_gpu_channel_send(s->channel, &get, &s->features_call) == 0 &&
	    send_message(s, VHU_GPU_SET_PROTOCOL_FEATURES, &features, NULL, 0))
		ask_modes(s);
}

/* Whether pictures are wanted may be another thing now, and something may be sent. */
static void go_on(struct gpu_socket *s)
{
	greet(s);
	s->viewer.sink->wants_changed(s->viewer.sink);
	send_all(s);
}

static void lost(void *data)
{
	struct gpu_socket *s = data;

	vhu_gpu_channel_destroy(steal_ptr(&s->channel));
	s->viewer.sink->wants_changed(s->viewer.sink);
}

static void room(void *data)
{
	go_on(data);
}

static const struct vhu_gpu_channel_ops channel_ops = { .lost = lost, .room = room };

/* Who comes anew has been told nothing. */
static void mark_all(struct gpu_socket *s)
{
	for (unsigned i = 0; i < VHU_GPU_OUTPUTS_MAX; i++) {
		struct head *head = &s->heads[i];

		head->told = false;
		vhu_gpu_tiles_add_all(&head->tiles);
		head->cursor_image = head->has_image;
		head->cursor_place = head->has_place;
	}
}

void vhu_gpu_socket_set(struct vhu_gpu_viewer *viewer, int fd)
{
	struct gpu_socket *s = of(viewer);
	int r = 0;

	vhu_gpu_channel_destroy(steal_ptr(&s->channel));
	s->greeted = false;
	if (fd >= 0) {
		vhu_counter_add(&s->stats->sockets, 1);
		r = vhu_gpu_channel_new(s->loop, fd, &channel_ops, s, &s->channel);
	}
	if (r < 0)
		vhu_error("GPU socket: %s; nothing is shown there", strerror(-r));
	mark_all(s);
	go_on(s);
}

void vhu_gpu_socket_suspend(struct vhu_gpu_viewer *viewer, bool suspended)
{
	struct gpu_socket *s = of(viewer);

	if (s->suspended == suspended)
		return;
	s->suspended = suspended;
	go_on(s);
}

/* --- viewer ---------------------------------------------------------------------------------- */

static bool wants(struct vhu_gpu_viewer *viewer)
{
	return may_send(of(viewer));
}

static void resized(struct vhu_gpu_viewer *viewer, const struct vhu_gpu_picture *picture)
{
	struct gpu_socket *s = of(viewer);
	struct head *head = &s->heads[picture->scanout];

	head->used = true;
	vhu_gpu_tiles_init(&head->tiles, picture->width, picture->height);
	if (!picture->width)
		send_all(s);
}

static void changed(struct vhu_gpu_viewer *viewer, const struct vhu_gpu_picture *picture,
		    const struct vhu_gpu_tiles *tiles)
{
	struct gpu_socket *s = of(viewer);

	vhu_gpu_tiles_merge(&s->heads[picture->scanout].tiles, tiles);
	send_all(s);
}

static void cursor(struct vhu_gpu_viewer *viewer, const struct vhu_gpu_picture *picture,
		   bool image)
{
	struct gpu_socket *s = of(viewer);
	struct head *head = &s->heads[picture->scanout];

	head->cursor_place = head->has_place = true;
	if (image)
		head->cursor_image = head->has_image = true;
	send_all(s);
}

static void free_socket(struct vhu_gpu_viewer *viewer)
{
	struct gpu_socket *s = of(viewer);

	vhu_gpu_channel_destroy(s->channel);
	free(s);
}

static const struct vhu_gpu_viewer_ops viewer_ops = {
	.wants = wants,
	.resized = resized,
	.changed = changed,
	.cursor = cursor,
	.free = free_socket,
};

int vhu_gpu_socket_new(bool blank, struct vhu_loop *loop, const struct vhu_gpu_picture *pictures,
		       struct vhu_gpu_output_sink *sink, struct vhu_gpu_display_stats *stats,
		       struct vhu_gpu_viewer **ret_viewer)
{
	struct gpu_socket *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->viewer.ops = &viewer_ops;
	s->viewer.sink = sink;
	s->blank = blank;
	s->loop = loop;
	s->pictures = pictures;
	s->stats = stats;
	*ret_viewer = &s->viewer;
	return 0;
}
