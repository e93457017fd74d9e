/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/device/viewer.h"

#include <arpa/inet.h>
#include <endian.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <rfb/rfbproto.h>

#include "common/base/cleanup.h"
#include "common/base/num.h"
#include "tests/device/harness.h"

/* Not in every rfbproto.h. */
#define ENCODING_EXTENDED_SIZE (-308)
#define SET_DESKTOP_SIZE 251

static void say(struct viewer *viewer, const void *data, size_t len)
{
	assert_int_equal(send(viewer->fd, data, len, MSG_NOSIGNAL), len);
}

/* False: the end. */
static bool take(struct viewer *viewer, void *data, size_t len)
{
	struct pollfd fds = { viewer->fd, POLLIN, 0 };
	ssize_t n;

	for (size_t done = 0; done < len; done += (size_t)n) {
		assert_int_equal(poll(&fds, 1, WAIT_MS), 1);
		n = recv(viewer->fd, (char *)data + done, len - done, 0);
		if (n <= 0)
			return false;
	}
	return true;
}

static void take_all(struct viewer *viewer, void *data, size_t len)
{
	assert_true(take(viewer, data, len));
}

/* --- greeting -------------------------------------------------------------------------------- */

int viewer_dial(const char *path)
{
	struct sockaddr_un at_path = { .sun_family = AF_UNIX };
	struct sockaddr_in at_port = { .sin_family = AF_INET };
	bool is_path = strchr(path, '/') != NULL;
	int fd = socket(is_path ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	strncpy(at_path.sun_path, path, sizeof(at_path.sun_path) - 1);
	at_port.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	at_port.sin_port = htons((uint16_t)atoi(path));
	assert_int_equal(is_path ? connect(fd, (struct sockaddr *)&at_path, sizeof(at_path)) :
				   connect(fd, (struct sockaddr *)&at_port, sizeof(at_port)), 0);
	return fd;
}

static void encrypt(unsigned char challenge[16], const char *password)
{
	char copy[9] = "";

	strncpy(copy, password, 8);
	rfbEncryptBytes(challenge, copy);
}

static bool authenticate(struct viewer *viewer, const char *password)
{
	unsigned char n, types[8], challenge[16];
	uint32_t result;

	if (!take(viewer, &n, 1))
		return false;
	assert_in_range(n, 1, sizeof(types));
	take_all(viewer, types, n);
	assert_non_null(memchr(types, password ? rfbSecTypeVncAuth : rfbSecTypeNone, n));
	/* None that was not asked for. */
	assert_true(!password || !memchr(types, rfbSecTypeNone, n));
	say(viewer, &(char){ password ? rfbSecTypeVncAuth : rfbSecTypeNone }, 1);
	if (password) {
		take_all(viewer, challenge, sizeof(challenge));
		encrypt(challenge, password);
		say(viewer, challenge, sizeof(challenge));
	}
	return take(viewer, &result, 4) && result == 0;
}

static void set_size(struct viewer *viewer, uint32_t width, uint32_t height)
{
	free(viewer->pixels);
	viewer->width = width;
	viewer->height = height;
	viewer->pixels = calloc((size_t)width * height, 4);
	assert_non_null(viewer->pixels);
}

static void initialize(struct viewer *viewer)
{
	const int32_t encodings[] = { rfbEncodingRaw, ENCODING_EXTENDED_SIZE,
				      (int32_t)rfbEncodingRichCursor,
				      (int32_t)rfbEncodingPointerPos };
	rfbServerInitMsg init;
	rfbSetEncodingsMsg set = { .type = rfbSetEncodings };
	uint32_t len;

	say(viewer, &(char){ 1 }, 1);
	take_all(viewer, &init, sz_rfbServerInitMsg);
	assert_int_equal(init.format.bitsPerPixel, 32);
	assert_int_equal(init.format.redShift, 16);
	assert_int_equal(init.format.blueShift, 0);
	len = ntohl(init.nameLength);
	assert_true(len < sizeof(viewer->name));
	take_all(viewer, viewer->name, len);
	set_size(viewer, ntohs(init.framebufferWidth), ntohs(init.framebufferHeight));
	set.nEncodings = htons(ARRAY_SIZE(encodings));
	say(viewer, &set, sz_rfbSetEncodingsMsg);
	for (size_t i = 0; i < ARRAY_SIZE(encodings); i++)
		say(viewer, &(uint32_t){ htonl((uint32_t)encodings[i]) }, 4);
}

bool viewer_open(struct viewer *viewer, const char *path, const char *password)
{
	char version[12];

	*viewer = (struct viewer){ .resize_reason = -1, .resize_status = -1 };
	viewer->fd = viewer_dial(path);
	if (!take(viewer, version, sizeof(version))) {
		viewer_close(viewer);
		return false;
	}
	assert_memory_equal(version, "RFB 003.008\n", 12);
	say(viewer, version, sizeof(version));
	if (!authenticate(viewer, password)) {
		viewer_close(viewer);
		return false;
	}
	initialize(viewer);
	return true;
}

void viewer_close(struct viewer *viewer)
{
	close_fd(&viewer->fd);
	free(viewer->pixels);
	viewer->pixels = NULL;
}

/* --- updates --------------------------------------------------------------------------------- */

static void take_raw(struct viewer *viewer, const rfbRectangle *rect)
{
	assert_true(rect->x + rect->w <= viewer->width && rect->y + rect->h <= viewer->height);
	for (uint32_t y = rect->y; y < (uint32_t)rect->y + rect->h; y++) {
		uint32_t *line = viewer->pixels + (size_t)y * viewer->width + rect->x;

		take_all(viewer, line, (size_t)4 * rect->w);
		for (uint32_t x = 0; x < rect->w; x++)
			line[x] = le32toh(line[x]) & 0xffffff;
	}
}

static void take_cursor(struct viewer *viewer, const rfbRectangle *rect)
{
	uint32_t pixels[VIEWER_CURSOR_PIXELS];
	unsigned char mask[VIEWER_CURSOR_PIXELS / 8];
	uint32_t stride = (rect->w + 7u) / 8;

	assert_true(rect->w <= 64 && rect->h <= 64);
	take_all(viewer, pixels, (size_t)4 * rect->w * rect->h);
	take_all(viewer, mask, (size_t)stride * rect->h);
	for (uint32_t y = 0; y < rect->h; y++)
		for (uint32_t x = 0; x < rect->w; x++)
			viewer->cursor[y * rect->w + x] =
				mask[y * stride + x / 8] >> (7 - x % 8) & 1 ?
					le32toh(pixels[y * rect->w + x]) & 0xffffff : 0;
	viewer->cursor_width = rect->w;
	viewer->cursor_height = rect->h;
	viewer->hot_x = rect->x;
	viewer->hot_y = rect->y;
	viewer->n_cursors++;
}

static void take_size(struct viewer *viewer, const rfbRectangle *rect)
{
	unsigned char n[4];
	char screen[16];

	take_all(viewer, n, sizeof(n));
	for (unsigned i = 0; i < n[0]; i++)
		take_all(viewer, screen, sizeof(screen));
	viewer->resize_reason = rect->x;
	viewer->resize_status = rect->y;
	if (rect->y == 0 && (rect->w != viewer->width || rect->h != viewer->height))
		set_size(viewer, rect->w, rect->h);
}

static void take_rect(struct viewer *viewer)
{
	rfbFramebufferUpdateRectHeader header;
	rfbRectangle rect;

	take_all(viewer, &header, sz_rfbFramebufferUpdateRectHeader);
	rect = (rfbRectangle){ ntohs(header.r.x), ntohs(header.r.y), ntohs(header.r.w),
			       ntohs(header.r.h) };
	switch ((int32_t)ntohl(header.encoding)) {
	case rfbEncodingRaw:
		take_raw(viewer, &rect);
		break;
	case ENCODING_EXTENDED_SIZE:
		take_size(viewer, &rect);
		break;
	case (int32_t)rfbEncodingRichCursor:
		take_cursor(viewer, &rect);
		break;
	case (int32_t)rfbEncodingPointerPos:
		viewer->cursor_x = rect.x;
		viewer->cursor_y = rect.y;
		break;
	default:
		fail_msg("encoding %d", (int)ntohl(header.encoding));
	}
}

bool viewer_look(struct viewer *viewer, int timeout_ms)
{
	rfbFramebufferUpdateRequestMsg request = {
		.type = rfbFramebufferUpdateRequest,
		.incremental = 1,
		.w = htons((uint16_t)viewer->width),
		.h = htons((uint16_t)viewer->height),
	};
	struct pollfd fds = { viewer->fd, POLLIN, 0 };
	rfbFramebufferUpdateMsg update;

	say(viewer, &request, sz_rfbFramebufferUpdateRequestMsg);
	if (poll(&fds, 1, timeout_ms) != 1)
		return false;
	take_all(viewer, &update, sz_rfbFramebufferUpdateMsg);
	assert_int_equal(update.type, rfbFramebufferUpdate);
	for (unsigned i = 0; i < ntohs(update.nRects); i++)
		take_rect(viewer);
	return true;
}

void viewer_expect(struct viewer *viewer, bool (*fn)(const struct viewer *viewer, void *data),
		   void *data)
{
	uint64_t end_ns = vhu_now_ns() + WAIT_MS * NS_PER_MS;

	while (!fn(viewer, data)) {
		assert_true(vhu_now_ns() < end_ns);
		viewer_look(viewer, 100);
	}
}

/* --- what it says ---------------------------------------------------------------------------- */

void viewer_key(struct viewer *viewer, uint32_t keysym, bool down)
{
	rfbKeyEventMsg key = { .type = rfbKeyEvent, .down = down, .key = htonl(keysym) };

	say(viewer, &key, sz_rfbKeyEventMsg);
}

void viewer_point(struct viewer *viewer, uint8_t buttons, uint16_t x, uint16_t y)
{
	rfbPointerEventMsg point = { rfbPointerEvent, buttons, htons(x), htons(y) };

	say(viewer, &point, sz_rfbPointerEventMsg);
}

void viewer_resize(struct viewer *viewer, uint16_t width, uint16_t height)
{
	const uint16_t message[] = {
		htons(SET_DESKTOP_SIZE << 8), htons(width), htons(height), htons(1 << 8),
		0, 0, 0, 0, htons(width), htons(height), 0, 0,
	};

	say(viewer, message, sizeof(message));
}
