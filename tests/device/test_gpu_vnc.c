/* SPDX-License-Identifier: BSD-3-Clause */

/* vhu-gpu seen by VNC: every pixel, whoever looks, and nobody is waited for. */

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "tests/device/screen.h"
#include "tests/device/viewer.h"

#define BGRX VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM
#define BGRA VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM
#define WIDTH 640
#define HEIGHT 480
#define SEATS 16

static const char *in_folder(const struct screen *screen, const char *name)
{
	static char path[4][128];
	static unsigned turn;
	char *text = path[turn++ % 4];

	snprintf(text, sizeof(path[0]), "%s/%s", screen->program.dir, name);
	return text;
}

static void begin(struct screen *screen, const char *const *args)
{
	screen_start(screen, args);
	screen_connect(screen, 0);
}

static bool has_said(const struct screen *screen, const char *text)
{
	cleanup_free char *said = program_said(&screen->program);

	return strstr(said, text);
}

static unsigned lines_said(const struct screen *screen)
{
	cleanup_free char *said = program_said(&screen->program);
	unsigned n = 0;

	for (const char *at = said; (at = strchr(at, '\n')); at++)
		n++;
	return n;
}

static const char *const plain[] = { "--vnc", "unix:DIR/vnc", NULL };

static void redraw(struct screen *screen, uint32_t id, uint32_t seed)
{
	struct virtio_gpu_rect rect = screen_rect(0, 0, WIDTH, HEIGHT);

	screen_draw(screen, 0, seed, WIDTH, HEIGHT);
	assert_int_equal(screen_transfer(screen, id, rect, 0), OK);
	assert_int_equal(screen_flush(screen, id, rect), OK);
}

/* --- pictures -------------------------------------------------------------------------------- */

struct expected {
	uint32_t seed, width, height;
	bool black;
};

static bool is_seen(const struct viewer *viewer, void *data)
{
	const struct expected *e = data;

	if (viewer->width != e->width || viewer->height != e->height)
		return false;
	for (uint32_t y = 0; y < e->height; y++)
		for (uint32_t x = 0; x < e->width; x++)
			if (viewer->pixels[y * e->width + x] !=
			    (e->black ? 0 : screen_color(e->seed, x, y) & 0xffffff))
				return false;
	return true;
}

static void expect_seen(struct viewer *viewer, uint32_t seed, uint32_t width, uint32_t height)
{
	struct expected e = { seed, width, height, false };

	viewer_expect(viewer, is_seen, &e);
}

static void expect_black(struct viewer *viewer, uint32_t width, uint32_t height)
{
	struct expected e = { 0, width, height, true };

	viewer_expect(viewer, is_seen, &e);
}

static void seen(void **state)
{
	struct screen *screen = *state;
	struct viewer early, late;

	begin(screen, plain);
	assert_true(viewer_open(&early, in_folder(screen, "vnc"), NULL));
	assert_string_equal(early.name, "output 0");
	expect_black(&early, WIDTH, HEIGHT);
	screen_show(screen, 0, 1, 1, WIDTH, HEIGHT);
	expect_seen(&early, 1, WIDTH, HEIGHT);
	assert_true(viewer_open(&late, in_folder(screen, "vnc"), NULL));
	expect_seen(&late, 1, WIDTH, HEIGHT);
	for (uint32_t seed = 2; seed < 8; seed++)
		redraw(screen, 1, seed);
	expect_seen(&early, 7, WIDTH, HEIGHT);
	expect_seen(&late, 7, WIDTH, HEIGHT);
	screen_show(screen, 0, 2, 8, 801, 77);
	expect_seen(&early, 8, 801, 77);
	viewer_close(&early);
	screen_show(screen, 0, 3, 9, 1024, 300);
	expect_seen(&late, 9, 1024, 300);
	/* Off: as large as it was. */
	assert_int_equal(screen_set_scanout(screen, 0, 0, screen_rect(0, 0, 0, 0)), OK);
	expect_black(&late, 1024, 300);
	assert_true(viewer_open(&early, in_folder(screen, "vnc"), NULL));
	screen_show(screen, 0, 4, 10, 64, 64);
	expect_seen(&late, 10, 64, 64);
	expect_seen(&early, 10, 64, 64);
	viewer_close(&early);
	viewer_close(&late);
}

/* The others see what is new, and the guest does not notice who reads nothing. */
static void slow(void **state)
{
	struct screen *screen = *state;
	struct viewer deaf, other;
	uint64_t begun_ns;

	begin(screen, plain);
	assert_true(viewer_open(&deaf, in_folder(screen, "vnc"), NULL));
	assert_true(viewer_open(&other, in_folder(screen, "vnc"), NULL));
	screen_show(screen, 0, 1, 0, WIDTH, HEIGHT);
	for (unsigned i = 0; i < 20; i++)
		viewer_look(&deaf, 0);
	begun_ns = vhu_now_ns();
	for (uint32_t seed = 1; seed <= 100; seed++)
		redraw(screen, 1, seed);
	assert_true(vhu_now_ns() - begun_ns < 4 * NS_PER_SEC * SLOWNESS);
	expect_seen(&other, 100, WIDTH, HEIGHT);
	assert_true(program_rss_kib(&screen->program) < 80000 * SLOWNESS);
	viewer_close(&other);
	/* It is still there at the end, in the middle of a picture. */
	close_fd(&deaf.fd);
	viewer_close(&deaf);
	assert_true(viewer_open(&deaf, in_folder(screen, "vnc"), NULL));
	screen_show(screen, 0, 2, 101, WIDTH, HEIGHT);
	for (unsigned i = 0; i < 20; i++)
		viewer_look(&deaf, 0);
	begun_ns = vhu_now_ns();
	assert_int_equal(program_end(&screen->program), 0);
	assert_true(vhu_now_ns() - begun_ns < NS_PER_SEC * SLOWNESS);
	screen->program.pid = 0;
	viewer_close(&deaf);
}

static void outputs(void **state)
{
	static const char *const args[] = { "--output", "640x480,name=Left", "--output", "800x600",
					    "--vnc", "unix:DIR/vnc", NULL };
	struct screen *screen = *state;
	struct viewer left, right;
	struct stat st;

	begin(screen, args);
	assert_int_equal(stat(in_folder(screen, "vnc.1"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_true(viewer_open(&left, in_folder(screen, "vnc"), NULL));
	assert_true(viewer_open(&right, in_folder(screen, "vnc.1"), NULL));
	assert_string_equal(left.name, "Left");
	assert_string_equal(right.name, "output 1");
	screen_show(screen, 0, 1, 1, WIDTH, HEIGHT);
	screen_show(screen, 1, 2, 2, 800, 600);
	expect_seen(&left, 1, WIDTH, HEIGHT);
	expect_seen(&right, 2, 800, 600);
	viewer_close(&left);
	viewer_close(&right);
}

/* The guest shows something, and somebody has seen it. */
static void begin_seen(struct screen *screen, struct viewer *viewer)
{
	begin(screen, plain);
	screen_show(screen, 0, 1, 1, WIDTH, HEIGHT);
	assert_true(viewer_open(viewer, in_folder(screen, "vnc"), NULL));
	expect_seen(viewer, 1, WIDTH, HEIGHT);
}

/* --- cursors --------------------------------------------------------------------------------- */

struct cursor_expected {
	uint32_t x, y;
	bool shown;
};

static bool cursor_is(const struct viewer *viewer, void *data)
{
	const struct cursor_expected *e = data;

	if (!e->shown)
		return viewer->n_cursors && viewer->cursor_width == 0;
	if (viewer->cursor_width != 64 || viewer->hot_x != 3 || viewer->hot_y != 4 ||
	    viewer->cursor_x != e->x || viewer->cursor_y != e->y)
		return false;
	for (uint32_t i = 0; i < VIEWER_CURSOR_PIXELS; i++)
		if (viewer->cursor[i] != (i % 3 ? (0xff0000 | i) : 0))
			return false;
	return true;
}

static void expect_cursor(struct viewer *viewer, struct cursor_expected e)
{
	viewer_expect(viewer, cursor_is, &e);
}

/* Opaque but for each third pixel. */
static void make_cursor(struct screen *screen, uint32_t id)
{
	uint32_t *pixels = screen->pixels.host;

	for (uint32_t i = 0; i < VIEWER_CURSOR_PIXELS; i++)
		pixels[i] = htole32(i % 3 ? 0xffff0000 | i : 0x00123456);
	assert_int_equal(screen_create(screen, id, BGRA, 64, 64), OK);
	assert_int_equal(screen_attach(screen, id, 0, 4 * VIEWER_CURSOR_PIXELS), OK);
	assert_int_equal(screen_transfer(screen, id, screen_rect(0, 0, 64, 64), 0), OK);
}

static void cursors(void **state)
{
	struct screen *screen = *state;
	struct viewer viewer;

	begin_seen(screen, &viewer);
	make_cursor(screen, 5);
	assert_int_equal(screen_cursor(screen, VIRTIO_GPU_CMD_UPDATE_CURSOR, 0, 5, 30, 40), OK);
	expect_cursor(&viewer, (struct cursor_expected){ 30, 40, true });
	assert_int_equal(screen_cursor(screen, VIRTIO_GPU_CMD_MOVE_CURSOR, 0, 5, 31, 47), OK);
	expect_cursor(&viewer, (struct cursor_expected){ 31, 47, true });
	assert_int_equal(screen_cursor(screen, VIRTIO_GPU_CMD_UPDATE_CURSOR, 0, 0, 0, 0), OK);
	expect_cursor(&viewer, (struct cursor_expected){ .shown = false });
	viewer_close(&viewer);
}

/* --- passwords ------------------------------------------------------------------------------- */

static void write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static void passwords(void **state)
{
	static const char *const args[] = { "--vnc", "unix:DIR/vnc", "--vnc-password-file",
					    "DIR/secret", NULL };
	struct screen *screen = *state;
	struct viewer viewer;
	uint64_t begun_ns;

	write_file(in_folder(screen, "secret"), "open sesame\n");
	begin(screen, args);
	begun_ns = vhu_now_ns();
	assert_false(viewer_open(&viewer, in_folder(screen, "vnc"), "wrong"));
	assert_true(vhu_now_ns() - begun_ns >= NS_PER_SEC);
	assert_true(has_said(screen, "a wrong password"));
	assert_false(viewer_open(&viewer, in_folder(screen, "vnc"), ""));
	/* VNC looks at 8. */
	assert_true(viewer_open(&viewer, in_folder(screen, "vnc"), "open sesaxx"));
	screen_show(screen, 0, 1, 1, WIDTH, HEIGHT);
	expect_seen(&viewer, 1, WIDTH, HEIGHT);
	viewer_close(&viewer);
}

/* One line each: what, which value, why. */
static void that_cannot_be(void **state)
{
	static const struct {
		const char *args[8];
		int status;
		const char *says;
	} rows[] = {
		{ { "--vnc", "unix:DIR/vnc", "--vnc-password-file", "DIR/none" }, 1,
		  "/none: No such file or directory\n" },
		{ { "--vnc", "unix:DIR/vnc", "--vnc-password-file", "DIR/empty" }, 1,
		  "/empty: its first line is empty\n" },
		{ { "--vnc", "unix:DIR/vnc", "--vnc-password-file", "DIR" }, 1,
		  ": Is a directory\n" },
		{ { "--vnc", "unix:DIR/empty" }, 1,
		  "/empty: of output 0: cannot listen there: it exists and is no socket\n" },
		{ { "--vnc", "unix:DIR/none/vnc" }, 1,
		  "/none/vnc: of output 0: cannot listen there: No such file or directory\n" },
		{ { "--vnc", "unix:DIR/vnc", "--output", "64x64", "--output", "64x64" }, 1,
		  "/vnc: of output 1: cannot listen there: it exists and is no socket\n" },
		{ { "--vnc", "127.0.0.1:5999" }, 2, "give --vnc-password-file" },
	};
	struct screen *screen = *state;
	struct stat st;

	write_file(in_folder(screen, "empty"), "\n");
	write_file(in_folder(screen, "vnc.1"), "");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *said = NULL;

		screen_start(screen, rows[i].args);
		assert_int_equal(program_wait(&screen->program, WAIT_MS), rows[i].status);
		said = program_said(&screen->program);
		assert_non_null(strstr(said, rows[i].says));
		assert_int_equal(lines_said(screen), i + 1);
		assert_int_equal(stat(in_folder(screen, "vnc"), &st), -1);
	}
}

/* --- sizes ----------------------------------------------------------------------------------- */

static struct virtio_gpu_rect mode_of(struct screen *screen)
{
	struct virtio_gpu_ctrl_hdr get = { .type = htole32(VIRTIO_GPU_CMD_GET_DISPLAY_INFO) };
	const struct virtio_gpu_resp_display_info *info = screen->response.host;

	assert_int_equal(screen_command(screen, &get, sizeof(get), sizeof(*info)),
			 VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
	return info->pmodes[0].r;
}

static bool status_is(const struct viewer *viewer, void *data)
{
	return viewer->resize_status == *(const int *)data;
}

static void expect_status(struct viewer *viewer, int status)
{
	viewer_expect(viewer, status_is, &status);
}

static void sizes(void **state)
{
	struct screen *screen = *state;
	struct viewer viewer;

	begin_seen(screen, &viewer);
	viewer_resize(&viewer, 1111, 777);
	expect_status(&viewer, 4);
	while (le32toh(mode_of(screen).width) != 1111)
		usleep(1000);
	assert_int_equal(le32toh(mode_of(screen).height), 777);
	/* The guest obeys. */
	screen_show(screen, 0, 2, 2, 1111, 777);
	expect_seen(&viewer, 2, 1111, 777);
	/* One that cannot be. */
	viewer_resize(&viewer, 20000, 10);
	expect_status(&viewer, 3);
	assert_int_equal(le32toh(mode_of(screen).width), 1111);
	viewer_close(&viewer);
}

static void sizes_that_are_fixed(void **state)
{
	static const char *const args[] = { "--output", "640x480", "--vnc", "unix:DIR/vnc", NULL };
	struct screen *screen = *state;
	struct viewer viewer;

	begin(screen, args);
	assert_true(viewer_open(&viewer, in_folder(screen, "vnc"), NULL));
	viewer_resize(&viewer, 1024, 768);
	expect_status(&viewer, 1);
	assert_int_equal(le32toh(mode_of(screen).width), 640);
	viewer_close(&viewer);
}

/* --- keys and pointer ------------------------------------------------------------------------ */

static void expect_line(FILE *lines, const char *expected)
{
	char line[128];

	assert_non_null(fgets(line, sizeof(line), lines));
	line[strcspn(line, "\n")] = '\0';
	assert_string_equal(line, expected);
}

static void typed(void **state)
{
	static const char *const args[] = { "--vnc", "unix:DIR/vnc", "--vnc-input", "DIR/hands",
					    NULL };
	struct screen *screen = *state;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	cleanup_fd int listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct viewer viewer;
	FILE *lines;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", in_folder(screen, "hands"));
	assert_int_equal(bind(listen_fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listen_fd, 1), 0);
	begin(screen, args);
	lines = fdopen(accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC), "r");
	assert_non_null(lines);
	assert_true(viewer_open(&viewer, in_folder(screen, "vnc"), NULL));
	viewer_key(&viewer, 'a', true);
	viewer_point(&viewer, 1, WIDTH - 1, 0);
	expect_line(lines, "E: 0.000000 0001 001e 1");
	expect_line(lines, "E: 0.000000 0000 0000 0");
	expect_line(lines, "E: 0.000000 0003 0000 32767");
	expect_line(lines, "E: 0.000000 0003 0001 0");
	expect_line(lines, "E: 0.000000 0001 0110 1");
	expect_line(lines, "E: 0.000000 0000 0000 0");
	/* What it held is let go of. */
	viewer_close(&viewer);
	expect_line(lines, "E: 0.000000 0001 001e 0");
	expect_line(lines, "E: 0.000000 0000 0000 0");
	expect_line(lines, "E: 0.000000 0001 0110 0");
	expect_line(lines, "E: 0.000000 0000 0000 0");
	fclose(lines);
}

/* --- bad input ------------------------------------------------------------------------------- */

static void say_and_leave(const char *path, const void *text, size_t len)
{
	cleanup_fd int fd = viewer_dial(path);

	assert_true(send(fd, text, len, MSG_NOSIGNAL) >= 0);
	usleep(20000);
}

static unsigned settled_fds(struct screen *screen)
{
	unsigned n = 0, before;

	do {
		before = n;
		usleep(200000);
		n = program_fds(&screen->program);
	} while (n != before);
	return n;
}

static void noise(void **state)
{
	static const struct {
		const char *text;
		size_t len;
	} texts[] = {
#define TEXT(t) { t, sizeof(t) - 1 }
		TEXT(""),
		TEXT("R"),
		TEXT("GET / HTTP/1.1\r\n\r\n"),
		TEXT("\0\0\0\0\0\0\0\0\0\0\0\0\0"),
		TEXT("RFB 999.999\n"),
		TEXT("RFB 003.008\n\xff"),
		TEXT("RFB 003.008\n\1"),
		/* Then: a message that is none; some cut off, too long or upside down. */
		TEXT("RFB 003.008\n\1\1\xee"),
		TEXT("RFB 003.008\n\1\1\2\0\xff\xff"),
		TEXT("RFB 003.008\n\1\1\6\0\0\0\xff\xff\xff\xff"),
		TEXT("RFB 003.008\n\1\1\6\0\0\0\x80\0\0\0"),
		TEXT("RFB 003.008\n\1\1\0\0\0\0\7\7\1\1\xff\xff\xff\xff\xff\xff\x99\x99\x99"
		     "\0\0\0"),
		TEXT("RFB 003.008\n\1\1\3\0\xff\xff\xff\xff\xff\xff\xff\xff"),
		TEXT("RFB 003.008\n\1\1\xfb\0\xff\xff\xff\xff\xff\0"),
		TEXT("RFB 003.008\n\1\1\x08\x01\x08\xff"),
		TEXT("RFB 003.008\n\1\1\7\1\2\3\4\5\6\7\x08\x09\x0a\x0b"),
#undef TEXT
	};
	struct screen *screen = *state;
	struct viewer viewer;
	unsigned n_fds;

	begin(screen, plain);
	screen_show(screen, 0, 1, 1, WIDTH, HEIGHT);
	say_and_leave(in_folder(screen, "vnc"), "", 0);
	n_fds = settled_fds(screen);
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		say_and_leave(in_folder(screen, "vnc"), texts[i].text, texts[i].len);
	assert_true(viewer_open(&viewer, in_folder(screen, "vnc"), NULL));
	expect_seen(&viewer, 1, WIDTH, HEIGHT);
	viewer_close(&viewer);
	for (unsigned i = 0; i < 100; i++)
		close(viewer_dial(in_folder(screen, "vnc")));
	program_wait_fds(&screen->program, n_fds);
	/* Who comes and goes fills no log. */
	assert_true(lines_said(screen) < 100);
}

/* Within the 100 ms in which libvncserver looks for a WebSocket. */
static int say_one_byte(const struct screen *screen)
{
	int fd = viewer_dial(in_folder(screen, "vnc"));

	sleep_ms(20);
	assert_int_equal(send(fd, "R", 1, MSG_NOSIGNAL), 1);
	return fd;
}

/* It would look for the rest for ever, and as fast as it can. */
static void hello_in_part(void **state)
{
	struct screen *screen = *state;
	struct pollfd fds = { .events = POLLIN };
	char bytes[64];
	ssize_t n;

	begin(screen, plain);
	fds.fd = say_one_byte(screen);
	do {
		assert_int_equal(poll(&fds, 1, WAIT_MS), 1);
		n = recv(fds.fd, bytes, sizeof(bytes), 0);
	} while (n > 0);
	close(fds.fd);
	/* And one is there at the end. */
	fds.fd = say_one_byte(screen);
	assert_int_equal(program_end(&screen->program), 0);
	close(fds.fd);
}

static void crowd(void **state)
{
	struct screen *screen = *state;
	struct viewer viewers[SEATS], more;

	begin(screen, plain);
	screen_show(screen, 0, 1, 1, WIDTH, HEIGHT);
	for (unsigned i = 0; i < SEATS; i++)
		assert_true(viewer_open(&viewers[i], in_folder(screen, "vnc"), NULL));
	assert_false(viewer_open(&more, in_folder(screen, "vnc"), NULL));
	assert_true(has_said(screen, "16 are there already"));
	for (unsigned i = 0; i < SEATS; i++)
		expect_seen(&viewers[i], 1, WIDTH, HEIGHT);
	viewer_close(&viewers[3]);
	while (!viewer_open(&more, in_folder(screen, "vnc"), NULL))
		usleep(10000);
	expect_seen(&more, 1, WIDTH, HEIGHT);
	viewer_close(&more);
	for (unsigned i = 0; i < SEATS; i++)
		viewer_close(&viewers[i]);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		SCREEN_TEST(seen),
		SCREEN_TEST(slow),
		SCREEN_TEST(outputs),
		SCREEN_TEST(cursors),
		SCREEN_TEST(passwords),
		SCREEN_TEST(that_cannot_be),
		SCREEN_TEST(sizes),
		SCREEN_TEST(sizes_that_are_fixed),
		SCREEN_TEST(typed),
		SCREEN_TEST(noise),
		SCREEN_TEST(hello_in_part),
		SCREEN_TEST(crowd),
	};

	signal(SIGPIPE, SIG_IGN);
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
