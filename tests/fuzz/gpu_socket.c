/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The front-end's socket of vhu-gpu with any front-end at its other end: it reads when it likes,
 * answers rightly, late, wrongly or never, goes and comes again. What it is sent must make sense,
 * and in the end its pictures are ours. Time passes as the input says.
 */

#include <errno.h>
#include <sys/socket.h>

#include "common/base/fd.h"
#include "common/base/log.h"
#include "common/base/num.h"
#include "common/wire/gpu_protocol.h"
#include "devices/gpu/output.h"
#include "tests/fuzz/clock.h"
#include "tests/fuzz/input.h"

#define SEND_BYTES 8192 /* in the kernel, so that it is full soon */
#define ASKED_MAX 8

/* A scanout as the peer sees it. */
struct seen {
	uint32_t width, height;
	uint32_t *pixels;
	uint32_t cursor_x, cursor_y, cursor_seed;
	bool cursor_visible;
};

struct scene {
	struct input *in;
	struct vhu_loop *loop;
	struct vhu_gpu_output_sink sink;
	struct vhu_gpu_display_stats stats;
	struct vhu_gpu_viewer *viewer;
	struct vhu_gpu_picture *pictures;
	bool placed[VHU_GPU_OUTPUTS_MAX], has_image[VHU_GPU_OUTPUTS_MAX];
	bool suspended, owed; /* an answer to vhu_gpu_socket_ask_modes() */
	uint64_t n_sent;      /* when it was suspended */

	int peer; /* -1: none */
	struct seen seen[VHU_GPU_OUTPUTS_MAX];
	char *bytes; /* of a message that has not come as a whole */
	size_t n_bytes;
	uint32_t asked[ASKED_MAX];
	unsigned n_asked;
};

static const unsigned scanouts[] = { 0, 1, 15 };
static const struct vhu_gpu_rect sizes[] = {
	{ 0 }, { 0, 0, 1, 1 }, { 0, 0, 64, 64 }, { 0, 0, 65, 63 }, { 0, 0, 190, 130 },
	{ 0, 0, 130, 1100 },
};

/* --- what is otherwise than the system has it ------------------------------------------------- */

int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t len);
int __real_setsockopt(int fd, int level, int name, const void *value, socklen_t len);

int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	int bytes = SEND_BYTES;

	(void)value;
	return __real_setsockopt(fd, level, name, &bytes, len);
}

/* --- the peer -------------------------------------------------------------------------------- */

static void forget(struct scene *s)
{
	for (unsigned i = 0; i < VHU_GPU_OUTPUTS_MAX; i++)
		free(s->seen[i].pixels);
	memset(s->seen, 0, sizeof(s->seen));
	free(s->bytes);
	s->bytes = NULL;
	s->n_bytes = 0;
	s->n_asked = 0;
	if (s->peer >= 0)
		close(s->peer);
	s->peer = -1;
}

static void see_size(struct scene *s, const struct vhu_gpu_scanout *scanout)
{
	struct seen *seen = &s->seen[scanout->scanout_id];

	free(seen->pixels);
	seen->width = scanout->width;
	seen->height = scanout->height;
	seen->pixels = calloc((size_t)scanout->width * scanout->height + 1, 4);
}

static void see_update(struct scene *s, const struct vhu_gpu_update *update, const char *pixels)
{
	struct seen *seen = &s->seen[update->scanout_id];

	expect(range_fits(update->x, update->width, seen->width) &&
	       range_fits(update->y, update->height, seen->height));
	for (uint32_t y = 0; y < update->height; y++)
		memcpy(seen->pixels + (size_t)seen->width * (update->y + y) + update->x,
		       pixels + (size_t)4 * update->width * y, (size_t)4 * update->width);
}

static void see_cursor(struct scene *s, uint32_t request,
		       const struct vhu_gpu_cursor_update *update)
{
	struct seen *seen = &s->seen[update->pos.scanout_id];

	seen->cursor_x = update->pos.x;
	seen->cursor_y = update->pos.y;
	seen->cursor_visible = request != VHU_GPU_CURSOR_POS_HIDE;
	if (request == VHU_GPU_CURSOR_UPDATE)
		seen->cursor_seed = update->pixels[0];
}

static void see(struct scene *s, const struct vhu_header *header, const char *payload)
{
	union {
		uint32_t scanout_id;
		struct vhu_gpu_scanout scanout;
		struct vhu_gpu_update update;
		struct vhu_gpu_cursor_update cursor;
	} is = { 0 };

	memcpy(&is, payload, min_u64(header->size, sizeof(is)));
	expect(header->flags == 0 && is.scanout_id < VHU_GPU_OUTPUTS_MAX);
	switch (header->request) {
	case VHU_GPU_GET_PROTOCOL_FEATURES:
	case VHU_GPU_GET_DISPLAY_INFO:
		expect(header->size == 0);
		if (s->n_asked < ASKED_MAX)
			s->asked[s->n_asked++] = header->request;
		break;
	case VHU_GPU_SET_PROTOCOL_FEATURES:
		expect(header->size == sizeof(uint64_t));
		break;
	case VHU_GPU_SCANOUT:
		expect(header->size == sizeof(is.scanout));
		see_size(s, &is.scanout);
		break;
	case VHU_GPU_UPDATE:
		expect(header->size ==
		       sizeof(is.update) + (size_t)4 * is.update.width * is.update.height);
		see_update(s, &is.update, payload + sizeof(is.update));
		break;
	default:
		expect(header->request >= VHU_GPU_CURSOR_POS &&
		       header->request <= VHU_GPU_CURSOR_UPDATE);
		see_cursor(s, header->request, &is.cursor);
		break;
	}
}

static void see_all(struct scene *s)
{
	struct vhu_header header;
	size_t at = 0;

	while (s->n_bytes - at >= sizeof(header)) {
		memcpy(&header, s->bytes + at, sizeof(header));
		if (s->n_bytes - at - sizeof(header) < header.size)
			break;
		see(s, &header, s->bytes + at + sizeof(header));
		at += sizeof(header) + header.size;
	}
	s->n_bytes -= at;
	memmove(s->bytes, s->bytes + at, s->n_bytes);
}

/* Returns the bytes; 0 when none have come; negative: there is no peer, or the socket is closed. */
static ssize_t read_some(struct scene *s, size_t most)
{
	static char buf[65536];
	ssize_t n = s->peer < 0 ? -1 : recv(s->peer, buf, min_u64(most, sizeof(buf)), MSG_DONTWAIT);

	if (n < 0)
		return s->peer >= 0 && errno == EAGAIN ? 0 : -1;
	if (n == 0)
		return -1;
	s->bytes = realloc(s->bytes, s->n_bytes + (size_t)n);
	memcpy(s->bytes + s->n_bytes, buf, (size_t)n);
	s->n_bytes += (size_t)n;
	see_all(s);
	return n;
}

static void say(struct scene *s, uint32_t request, uint32_t flags, uint32_t size, size_t bytes)
{
	struct {
		struct vhu_header header;
		char payload[2048];
	} message = { .header = { request, flags, size } };

	/* What matters of it is in front; the rest is zeros. */
	input_bytes(s->in, message.payload, min_u64(bytes, input_u8(s->in)));
	if (s->peer >= 0)
		(void)!send(s->peer, &message, sizeof(message.header) + bytes,
			    MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void peer_reads(struct scene *s)
{
	read_some(s, (size_t)1 << input_below(s->in, 17));
}

static void peer_answers(struct scene *s)
{
	uint32_t request = s->asked[0], size;

	if (!s->n_asked)
		return;
	memmove(s->asked, s->asked + 1, sizeof(s->asked[0]) * --s->n_asked);
	size = request == VHU_GPU_GET_DISPLAY_INFO ? sizeof(struct virtio_gpu_resp_display_info)
						   : sizeof(uint64_t);
	/* Or does not. */
	if (input_u8(s->in) < 224)
		say(s, request, VHU_GPU_FLAG_REPLY, size, size);
}

static void peer_lies(struct scene *s)
{
	static const uint32_t lengths[] = { 0, 4, 8, 407, 408, 409, 1056, 2048, UINT32_MAX };
	uint32_t size = lengths[input_below(s->in, ARRAY_SIZE(lengths))];
	size_t bytes = min_u64(size, 2048);

	say(s, input_below(s->in, 14), input_u8(s->in) < 224 ? VHU_GPU_FLAG_REPLY : 0, size,
	    input_u8(s->in) < 224 ? bytes : bytes / 2);
}

/* --- the card -------------------------------------------------------------------------------- */

static unsigned some_scanout(struct scene *s)
{
	return scanouts[input_below(s->in, ARRAY_SIZE(scanouts))];
}

static void draw(struct scene *s, struct vhu_gpu_picture *picture, const struct vhu_gpu_rect *rect)
{
	uint32_t seed = input_u8(s->in) * 0x01010101u;

	for (uint32_t y = rect->y; y < rect->y + rect->height; y++)
		for (uint32_t x = rect->x; x < rect->x + rect->width; x++)
			picture->pixels[(size_t)picture->width * y + x] = seed + y * 4096 + x;
}

static void resize(struct scene *s)
{
	struct vhu_gpu_picture *picture = &s->pictures[some_scanout(s)];
	const struct vhu_gpu_rect *size = &sizes[input_below(s->in, ARRAY_SIZE(sizes))];
	uint32_t *before = picture->pixels;
	struct vhu_gpu_tiles tiles;

	picture->width = size->width;
	picture->height = size->height;
	picture->pixels = calloc((size_t)size->width * size->height + 1, 4);
	s->viewer->ops->resized(s->viewer, picture);
	free(before);
	if (!size->width)
		return;
	draw(s, picture, size);
	vhu_gpu_tiles_init(&tiles, size->width, size->height);
	vhu_gpu_tiles_add_all(&tiles);
	s->viewer->ops->changed(s->viewer, picture, &tiles);
}

static void change(struct scene *s)
{
	struct vhu_gpu_picture *picture = &s->pictures[some_scanout(s)];
	struct vhu_gpu_rect rect;
	struct vhu_gpu_tiles tiles;

	if (!picture->width)
		return;
	rect.x = input_u8(s->in) % picture->width;
	rect.y = input_u16(s->in) % picture->height;
	rect.width = 1 + input_u8(s->in) % (picture->width - rect.x);
	rect.height = 1 + input_u16(s->in) % (picture->height - rect.y);
	draw(s, picture, &rect);
	vhu_gpu_tiles_init(&tiles, picture->width, picture->height);
	vhu_gpu_tiles_add(&tiles, &rect);
	s->viewer->ops->changed(s->viewer, picture, &tiles);
}

static void cursor(struct scene *s)
{
	unsigned i = some_scanout(s);
	uint8_t how = input_u8(s->in);

	s->pictures[i].cursor_x = input_u8(s->in);
	s->pictures[i].cursor_visible = how & 1;
	s->placed[i] = true;
	if (how & 2) {
		s->pictures[i].cursor.pixels[0] = input_u8(s->in);
		s->has_image[i] = true;
	}
	s->viewer->ops->cursor(s->viewer, &s->pictures[i], how & 2);
}

static void set_socket(struct scene *s)
{
	int fds[2];

	forget(s);
	if (input_u8(s->in) < 32) {
		vhu_gpu_socket_set(s->viewer, -1);
		return;
	}
	expect(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
	s->peer = fds[1];
	vhu_gpu_socket_set(s->viewer, fds[0]);
}

static uint64_t n_sent(const struct scene *s)
{
	return vhu_counter_get(&s->stats.updates) + vhu_counter_get(&s->stats.cursors);
}

static void suspend(struct scene *s, bool suspended)
{
	expect(!s->suspended || s->n_sent == n_sent(s));
	s->suspended = suspended;
	vhu_gpu_socket_suspend(s->viewer, suspended);
	s->n_sent = n_sent(s);
}

static void suspend_or_not(struct scene *s)
{
	suspend(s, input_u8(s->in) & 1);
}

static void ask(struct scene *s)
{
	s->owed = true;
	vhu_gpu_socket_ask_modes(s->viewer);
}

static void wait(struct scene *s)
{
	clock_ns += input_u8(s->in) * (NS_PER_SEC / 32);
	vhu_loop_turn(s->loop, 0);
}

static void (*const ops[])(struct scene *s) = {
	peer_reads, peer_reads, peer_answers, peer_lies, forget,	 resize, change, change,
	cursor,	    set_socket, ask,	      wait,	 suspend_or_not, wait,
};

static void wants_changed(struct vhu_gpu_output_sink *sink)
{
	(void)sink;
}

static void has_modes(struct vhu_gpu_output_sink *sink,
		      const struct vhu_gpu_mode modes[VHU_GPU_OUTPUTS_MAX])
{
	(void)sink;
	for (unsigned i = 0; i < VHU_GPU_OUTPUTS_MAX; i++)
		expect(!modes[i].enabled ||
		       (modes[i].rect.width - 1 < VHU_GPU_SIDE_MAX &&
			modes[i].rect.height - 1 < VHU_GPU_SIDE_MAX));
}

static void answered(struct vhu_gpu_output_sink *sink)
{
	container_of(sink, struct scene, sink)->owed = false;
}

/* A peer that is still there has all of it, once it has read. */
static void compare(struct scene *s)
{
	bool closed = false, quiet = false;

	suspend(s, false);
	while (!closed && !quiet) {
		ssize_t n = read_some(s, SIZE_MAX);

		/* What is asked still is given up. */
		clock_ns += NS_PER_SEC / 4;
		closed = n < 0;
		quiet = vhu_loop_turn(s->loop, 0) <= 0 && n == 0 && read_some(s, SIZE_MAX) == 0;
	}
	for (unsigned i = 0; !closed && i < VHU_GPU_OUTPUTS_MAX; i++) {
		const struct vhu_gpu_picture *picture = &s->pictures[i];
		const struct seen *seen = &s->seen[i];

		expect(seen->width == picture->width && seen->height == picture->height);
		expect(!seen->width || memcmp(seen->pixels, picture->pixels,
					      (size_t)4 * seen->width * seen->height) == 0);
		expect(!s->placed[i] || (seen->cursor_x == picture->cursor_x &&
					 seen->cursor_visible == picture->cursor_visible));
		expect(!s->has_image[i] || !picture->cursor_visible ||
		       seen->cursor_seed == picture->cursor.pixels[0]);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { .at = data, .left = size };
	struct scene s = {
		.in = &in,
		.peer = -1,
		.sink = { wants_changed, has_modes, NULL, answered },
	};
	int fd = lowest_fd();

	vhu_log_set_level(VHU_LOG_ERROR);
	s.pictures = calloc(VHU_GPU_OUTPUTS_MAX, sizeof(*s.pictures));
	for (unsigned i = 0; i < VHU_GPU_OUTPUTS_MAX; i++)
		s.pictures[i].scanout = i;
	expect(vhu_loop_new(&s.loop) == 0);
	expect(vhu_gpu_socket_new(false, s.loop, s.pictures, &s.sink, &s.stats, &s.viewer) == 0);
	while (in.left)
		ops[input_u8(&in) % ARRAY_SIZE(ops)](&s);
	compare(&s);
	s.viewer->ops->free(s.viewer);
	expect(!s.owed);
	vhu_loop_destroy(s.loop);
	forget(&s);
	for (unsigned i = 0; i < VHU_GPU_OUTPUTS_MAX; i++)
		free(s.pictures[i].pixels);
	free(s.pictures);
	expect(lowest_fd() == fd);
	return 0;
}
