/* SPDX-License-Identifier: BSD-3-Clause */

/* The control socket of whole programs, with what each of them answers. */

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/device/screen.h"

#if VHU_PNG
#include <png.h>
#endif

#define ANSWER_BYTES 16384

/* --- a client -------------------------------------------------------------------------------- */

/* As soon as somebody listens. */
static int connect_to(const char *dir, const char *name)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct timeval wait = { WAIT_MS / 1000, 0 };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	unsigned tries = 0;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s", dir, name);
	while (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		assert_true(tries++ < WAIT_MS / 10);
		sleep_ms(10);
	}
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	return fd;
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* A line. */
static const char *hear(int fd)
{
	static char answer[ANSWER_BYTES];
	size_t n = 0;

	do {
		assert_true(n < sizeof(answer) - 1);
		assert_int_equal(recv(fd, answer + n, 1, 0), 1);
	} while (answer[n++] != '\n');
	answer[n - 1] = '\0';
	return answer;
}

static const char *ask(int fd, const char *command)
{
	say(fd, command);
	say(fd, "\n");
	return hear(fd);
}

/* The last counters that SIGUSR1 made the program print, to be freed. */
static char *printed_stats(const struct program *program)
{
	char *said, *line = NULL;

	kill(program->pid, SIGUSR1);
	for (unsigned i = 0; i < WAIT_MS / 10 && !line; i++) {
		sleep_ms(10);
		said = program_said(program);
		line = strstr(said, "\n{");
		line = line && strchr(line + 1, '\n') ? strndup(line + 1, strcspn(line + 1, "\n"))
						      : NULL;
		free(said);
	}
	assert_non_null(line);
	return line;
}

static void expect_same_stats(const struct program *program, int fd)
{
	char *stats = printed_stats(program), wanted[ANSWER_BYTES];

	snprintf(wanted, sizeof(wanted), "{\"ok\": true, \"stats\": %s}", stats);
	assert_string_equal(ask(fd, "stats"), wanted);
	free(stats);
}

/* --- screens --------------------------------------------------------------------------------- */

static const char *const screen_args[] = {
	"--control", "DIR/ctl", "--screenshot-dir", "DIR", "--output", "800x600", NULL
};

#if VHU_PNG
static void expect_png(const char *path, uint32_t seed, uint32_t width, uint32_t height)
{
	png_image image = { .version = PNG_IMAGE_VERSION };
	uint8_t *rgb = malloc((size_t)3 * width * height), *at = rgb;

	assert_true(png_image_begin_read_from_file(&image, path));
	assert_int_equal(image.width, width);
	assert_int_equal(image.height, height);
	image.format = PNG_FORMAT_RGB;
	assert_true(png_image_finish_read(&image, NULL, rgb, 0, NULL));
	for (uint32_t y = 0; y < height; y++)
		for (uint32_t x = 0; x < width; x++, at += 3)
			assert_int_equal((uint32_t)at[0] << 16 | (uint32_t)at[1] << 8 | at[2],
					 screen_color(seed, x, y));
	free(rgb);
}

/* *at moves behind it. */
static void expect_shot(const char **at, uint32_t scanout, uint32_t seed, uint32_t width,
			uint32_t height)
{
	char wanted[128], path[256];
	size_t len;

	snprintf(wanted, sizeof(wanted),
		 "{\"scanout\": %u, \"width\": %u, \"height\": %u, \"file\": \"", scanout, width,
		 height);
	assert_memory_equal(*at, wanted, strlen(wanted));
	*at += strlen(wanted);
	len = strcspn(*at, "\"");
	snprintf(path, sizeof(path), "%.*s", (int)len, *at);
	*at += len + 2;
	expect_png(path, seed, width, height);
}

static void screenshots(void **state)
{
	struct screen *screen = *state;
	static const char head[] = "{\"ok\": true, \"files\": [";
	const char *answer;
	int fd;

	screen_start(screen, screen_args);
	screen_connect(screen, 0);
	fd = connect_to(screen->program.dir, "ctl");
	assert_string_equal(ask(fd, "screenshot"), "{\"ok\": false, \"error\": "
			    "\"no screenshot: the guest shows nothing\"}");
	for (uint32_t seed = 1; seed < 4; seed++) {
		screen_show(screen, 0, 2 * seed, seed, 640, 480);
		screen_show(screen, 15, 2 * seed + 1, 100 + seed, 333, 77);
		answer = ask(fd, "screenshot");
		assert_memory_equal(answer, head, strlen(head));
		answer += strlen(head);
		expect_shot(&answer, 0, seed, 640, 480);
		assert_memory_equal(answer, ", ", 2);
		answer += 2;
		expect_shot(&answer, 15, 100 + seed, 333, 77);
		assert_string_equal(answer, "]}");
	}
	close(fd);
}

/* Of several at once each is answered, and who does not wait harms nobody, us neither. */
static void screenshots_at_once(void **state)
{
	struct screen *screen = *state;
	unsigned n_ok = 0;
	const char *answer;
	int fds[8], fd;

	screen_start(screen, screen_args);
	screen_connect(screen, 0);
	screen_show(screen, 0, 1, 1, 1024, 768);
	for (unsigned i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = connect_to(screen->program.dir, "ctl");
	for (unsigned i = 0; i < ARRAY_SIZE(fds); i++)
		say(fds[i], "screenshot\n");
	for (unsigned i = 0; i < ARRAY_SIZE(fds); i++) {
		answer = hear(fds[i]);
		n_ok += strstr(answer, "{\"ok\": true, \"files\": [{") == answer;
		if (!strstr(answer, "ok\": true"))
			assert_non_null(strstr(answer, "the last one is still being written"));
		close(fds[i]);
	}
	assert_true(n_ok > 0);
	fd = connect_to(screen->program.dir, "ctl");
	for (unsigned i = 0; i < 3; i++) {
		close(connect_to(screen->program.dir, "ctl"));
		say(fd, "screenshot\n");
		close(fd);
		fd = connect_to(screen->program.dir, "ctl");
		ask(fd, "stats");
	}
	/* The program ends with one at work. */
	say(fd, "screenshot\n");
	assert_int_equal(program_end(&screen->program), 0);
	close(fd);
}

static void no_folder_for_them(void **state)
{
	struct screen *screen = *state;
	static const char *const args[] = {
		"--control", "DIR/ctl", "--screenshot-dir", "DIR/none", NULL
	};
	char wanted[256];
	int fd;

	screen_start(screen, args);
	screen_connect(screen, 0);
	screen_show(screen, 3, 1, 1, 64, 64);
	fd = connect_to(screen->program.dir, "ctl");
	snprintf(wanted, sizeof(wanted),
		 "{\"ok\": false, \"error\": \"no screenshot of scanout 3 in %s/none: "
		 "No such file or directory\"}", screen->program.dir);
	assert_string_equal(ask(fd, "screenshot"), wanted);
	close(fd);
}
#endif

static void outputs(void **state)
{
	struct screen *screen = *state;
	int fd;

	screen_start(screen, screen_args);
	fd = connect_to(screen->program.dir, "ctl");
	assert_string_equal(ask(fd, "outputs"),
			    "{\"ok\": true, \"outputs\": [{\"scanout\": 0, \"width\": 0, "
			    "\"height\": 0, \"cursor\": false, "
			    "\"wanted\": {\"width\": 800, \"height\": 600}}]}");
	screen_connect(screen, 0);
	screen_show(screen, 0, 1, 1, 640, 480);
	screen_show(screen, 5, 2, 2, 64, 64);
	assert_int_equal(screen_cursor(screen, VIRTIO_GPU_CMD_UPDATE_CURSOR, 5, 2, 1, 1), OK);
	assert_string_equal(ask(fd, "outputs"),
			    "{\"ok\": true, \"outputs\": [{\"scanout\": 0, \"width\": 640, "
			    "\"height\": 480, \"cursor\": false, "
			    "\"wanted\": {\"width\": 800, \"height\": 600}}, {\"scanout\": 5, "
			    "\"width\": 64, \"height\": 64, \"cursor\": true}]}");
	expect_same_stats(&screen->program, fd);
	close(fd);
}

static int setup(void **state)
{
	struct program *program = calloc(1, sizeof(*program));

	assert_non_null(program);
	program_init(program, "/tmp");
	*state = program;
	return 0;
}

static int teardown(void **state)
{
	struct program *program = *state;
	char *said = program_said(program);
	int status = !!strstr(said, "Sanitizer");

	if (status)
		fputs(said, stderr);
	free(said);
	program_finish(program);
	free(program);
	return status;
}

/* --- input devices --------------------------------------------------------------------------- */

static void inputs(void **state)
{
	struct program *program = *state;
	const char *args[] = {
		"--replay", program->image, "--control", "DIR/ctl", "--replay-wait", NULL
	};
	FILE *file = fopen(program->image, "we");
	int fd;

	assert_non_null(file);
	fputs("N: Test\nI: 3 1 1 1\nB: 00 03\nB: 01 00 00 00 40\n"
	      "E: 0.0 0001 001e 1\nE: 0.0 0000 0000 0\n", file);
	fclose(file);
	program_start(program, "cli/vhu-input", args);
	fd = connect_to(program->dir, "ctl");
	assert_non_null(strstr(ask(fd, "stats"), "\"unheard\":0,"));
	assert_string_equal(ask(fd, "replay"), "{\"ok\": true}");
	for (unsigned i = 0; i < WAIT_MS && !strstr(ask(fd, "stats"), "\"unheard\":1,"); i++)
		sleep_ms(1);
	assert_non_null(strstr(ask(fd, "stats"), "\"unheard\":1,"));
	expect_same_stats(program, fd);
	close(fd);
	assert_int_equal(program_end(program), 0);

	args[4] = NULL;
	program_start(program, "cli/vhu-input", args);
	fd = connect_to(program->dir, "ctl");
	assert_string_equal(ask(fd, "replay"), "{\"ok\": false, \"error\": \"there is no recording "
			    "that waits: it takes --replay and --replay-wait\"}");
	close(fd);
	assert_int_equal(program_end(program), 0);
}

/* --- disks ----------------------------------------------------------------------------------- */

/* Two in one process, each with a socket of its own; the one of a program that was killed. */
static void disks(void **state)
{
	struct program *program = *state;
	static const char *const args[] = {
		"--engine", "null", "--size", "4M", "--socket", "DIR/other", "--control",
		"DIR/other.ctl", "--next", "--file", "DIR/image", "--control", "DIR/ctl", NULL
	};
	struct vhu_frontend frontend;
	char wanted[256], path[64];
	int fd, other_fd;

	close(open(program->image, O_CREAT | O_RDWR | O_CLOEXEC, 0600));
	assert_int_equal(truncate(program->image, 1 << 20), 0);
	program_start(program, "cli/vhu-blk", args);
	close(connect_to(program->dir, "ctl"));
	kill(program->pid, SIGKILL);
	program_wait(program, WAIT_MS);
	program_start(program, "cli/vhu-blk", args);
	fd = connect_to(program->dir, "ctl");
	other_fd = connect_to(program->dir, "other.ctl");
	assert_non_null(strstr(ask(fd, "info"), "\"program\": \"vhu-blk\", \"version\": \""));
	snprintf(wanted, sizeof(wanted), "\"type\": \"block\", \"socket\": \"%s\", "
		 "\"connected\": false}", program->socket);
	assert_non_null(strstr(ask(fd, "info"), wanted));
	vhu_frontend_init(&frontend);
	assert_int_equal(vhu_frontend_connect(&frontend, program->socket), 0);
	assert_int_equal(vhu_frontend_negotiate(&frontend, VHU_FRONTEND_FEATURES,
						VHU_FRONTEND_PROTOCOL_FEATURES), 0);
	assert_non_null(strstr(ask(fd, "info"), "\"connected\": true}"));
	assert_non_null(strstr(ask(other_fd, "info"), "/other\", \"connected\": false}"));
	vhu_frontend_finish(&frontend);

	assert_string_equal(ask(fd, "rescan"), "{\"ok\": true, \"bytes\": 1048576}");
	assert_int_equal(truncate(program->image, 3 << 20), 0);
	assert_string_equal(ask(fd, "rescan"), "{\"ok\": true, \"bytes\": 3145728}");
	assert_string_equal(ask(other_fd, "rescan"), "{\"ok\": true, \"bytes\": 4194304}");
	expect_same_stats(program, other_fd);
	assert_non_null(strstr(ask(fd, "stats"), "/image\", \"engine\": \""));
	assert_non_null(strstr(ask(fd, "help"), "{\"command\": \"log-level LEVEL\""));
	assert_string_equal(ask(fd, "log-level loud"), "{\"ok\": false, \"error\": \"'loud' is no "
			    "level: it must be error, warning, info or debug\"}");
	assert_string_equal(ask(fd, "log-level error"), "{\"ok\": true}");

	assert_int_equal(program_end(program), 0);
	snprintf(path, sizeof(path), "%s/ctl", program->dir);
	assert_int_equal(access(path, F_OK), -1);
	close(fd);
	close(other_fd);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
#if VHU_PNG
		SCREEN_TEST(screenshots),
		SCREEN_TEST(screenshots_at_once),
		SCREEN_TEST(no_folder_for_them),
#endif
		SCREEN_TEST(outputs),
		TEST(inputs),
		TEST(disks),
	};

	signal(SIGPIPE, SIG_IGN);
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
