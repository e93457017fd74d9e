/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Serving, seen from outside: the program rng (its path is the argument) is started in all the ways
 * there are, used by front-ends, and ended.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/fd.h"
#include "common/base/num.h"
#include "common/frontend/driver.h"
#include "common/frontend/frontend.h"
#include "common/serve/listener.h"

#define GUEST_BYTES (1 << 20)
#define REQUEST_BYTES 64

static const char *program;
static int home_fd;
static char folder[64];
static pid_t pid;

static int setup(void **state)
{
	(void)state;
	alarm(60);
	snprintf(folder, sizeof(folder), "/tmp/vhu-serve.XXXXXX");
	return mkdtemp(folder) ? chdir(folder) : -1;
}

/* Sockets are gone by then: the programs removed theirs, the tests what they made. */
static int teardown(void **state)
{
	(void)state;
	if (pid > 0) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		pid = 0;
	}
	return fchdir(home_fd) || rmdir(folder);
}

/*
 * Starts the program. n_fds of fds become 3, 4, ...; with listen_fds as in socket activation.
 */
static void start_with(const int *fds, int n_fds, bool listen_fds, char **words)
{
	char text[2][16];
	int i;

	pid = fork();
	assert_true(pid >= 0);
	if (pid > 0)
		return;
	for (i = 0; i < n_fds; i++)
		if (dup2(fds[i], 3 + i) < 0)
			_exit(99);
	snprintf(text[0], sizeof(text[0]), "%d", (int)getpid());
	snprintf(text[1], sizeof(text[1]), "%d", n_fds);
	if (listen_fds) {
		setenv("LISTEN_PID", text[0], 1);
		setenv("LISTEN_FDS", text[1], 1);
	}
	words[0] = "rng";
	execv(program, words);
	_exit(99);
}

#define START(...) start_with(NULL, 0, false, (char *[]){ NULL, __VA_ARGS__, NULL })

/* Waits for the end; returns the exit status, or -1 when a signal ended it. */
static int end_status(void)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	pid = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Quick: less than the time that a drain is given. */
static void end_by(int signo)
{
	uint64_t start_ns = vhu_now_ns();

	assert_int_equal(kill(pid, signo), 0);
	assert_int_equal(end_status(), 0);
	assert_true(vhu_now_ns() - start_ns < 1500 * NS_PER_MS);
}

static bool exists(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

/* Takes fd, and returns one out of the way of the numbers that a child is to have. */
static int move_up(int fd)
{
	int up = fcntl(fd, F_DUPFD_CLOEXEC, 100);

	assert_true(up >= 100);
	close(fd);
	return up;
}

static int listen_at(const char *path)
{
	struct vhu_listener listener;

	assert_int_equal(vhu_listener_open(path, &listener), 0);
	free(listener.path);
	assert_int_equal(vhu_fd_set_nonblock(listener.fd, false), 0);
	return move_up(listener.fd);
}

/* A front-end with a running ring. */
struct user {
	struct vhu_frontend frontend;
	struct vhu_driver driver;
	struct vhu_guest_buffer buffer;
};

static void user_init(struct user *user)
{
	vhu_frontend_init(&user->frontend);
	assert_int_equal(vhu_guest_add(&user->frontend.guest, 0, GUEST_BYTES), 0);
}

static void user_read(struct user *user)
{
	static const char zeros[REQUEST_BYTES];
	uint32_t len = 0;

	memset(user->buffer.host, 0, REQUEST_BYTES);
	assert_int_equal(vhu_driver_run(&user->driver, &user->buffer, 0, 1, &len), 0);
	assert_int_equal(len, REQUEST_BYTES);
	assert_memory_not_equal(user->buffer.host, zeros, REQUEST_BYTES);
}

/* On a connection: from the first message to the first random bytes. */
static void user_begin(struct user *user)
{
	struct vhu_frontend *frontend = &user->frontend;

	assert_int_equal(vhu_frontend_negotiate(frontend, VHU_FRONTEND_FEATURES,
						VHU_FRONTEND_PROTOCOL_FEATURES), 0);
	assert_int_equal(vhu_frontend_share_memory(frontend), 0);
	assert_int_equal(vhu_driver_init(&user->driver, frontend, 0, 16), 0);
	assert_int_equal(vhu_driver_start(&user->driver), 0);
	user->buffer = vhu_guest_alloc(&frontend->guest, REQUEST_BYTES, 16);
	assert_non_null(user->buffer.host);
	user_read(user);
}

static void user_connect(struct user *user, const char *path)
{
	user_init(user);
	assert_int_equal(vhu_frontend_connect(&user->frontend, path), 0);
	user_begin(user);
}

static void user_attach(struct user *user, int fd)
{
	user_init(user);
	assert_int_equal(vhu_frontend_attach(&user->frontend, fd), 0);
	user_begin(user);
}

static void user_finish(struct user *user)
{
	vhu_driver_finish(&user->driver);
	vhu_frontend_finish(&user->frontend);
}

/* With a session at work and without; the socket goes with the program. */
static void test_signals(void **state)
{
	static const int signals[] = { SIGTERM, SIGINT };
	struct user user;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
		START("--socket-path", "s");
		user_connect(&user, "s");
		end_by(signals[i]);
		assert_false(exists("s"));
		assert_int_equal(vhu_frontend_wait_closed(&user.frontend), 0);
		user_finish(&user);

		START("--socket=s");
		user_connect(&user, "s");
		user_finish(&user);
		end_by(signals[i]);
		assert_false(exists("s"));
	}
}

static unsigned count_fds(void)
{
	char path[32];
	unsigned n = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	dir = opendir(path);
	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static void test_front_ends_in_turn(void **state)
{
	struct user first, second;
	unsigned n_fds = 0;

	(void)state;
	START("-s", "s");
	for (int i = 0; i < 20; i++) {
		user_connect(&first, "s");
		/* What the first session had, all have, and no more. */
		if (i == 0)
			n_fds = count_fds();
		assert_int_equal(count_fds(), n_fds);
		user_finish(&first);
	}
	/* Two at a time: the second one waits until the first has gone. */
	user_connect(&first, "s");
	user_init(&second);
	assert_int_equal(vhu_frontend_connect(&second.frontend, "s"), 0);
	second.frontend.timeout_ms = 200;
	assert_int_equal(vhu_frontend_sync(&second.frontend), -ETIMEDOUT);
	user_read(&first);
	user_finish(&first);
	vhu_frontend_finish(&second.frontend);
	user_connect(&second, "s");
	user_finish(&second);
	end_by(SIGTERM);
}

static void test_two_sockets(void **state)
{
	struct user a, b;

	(void)state;
	START("--socket", "a", "--next", "--log-level", "warning", "--socket", "b");
	user_connect(&a, "a");
	user_connect(&b, "b");
	user_read(&a);
	user_finish(&a);
	user_read(&b);
	user_connect(&a, "a");
	user_read(&b);
	end_by(SIGTERM);
	assert_false(exists("a"));
	assert_false(exists("b"));
	user_finish(&a);
	user_finish(&b);
}

static void test_connected_fd(void **state)
{
	struct user user;
	int pair[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	pair[1] = move_up(pair[1]);
	start_with(&pair[1], 1, false, (char *[]){ NULL, "--fd", "3", NULL });
	close(pair[1]);
	user_attach(&user, pair[0]);
	user_finish(&user);
	assert_int_equal(end_status(), 0);
}

/* A socket file that somebody else made stays. */
static void test_listening_fd(void **state)
{
	struct user user;
	int fd = listen_at("s");

	(void)state;
	start_with(&fd, 1, false, (char *[]){ NULL, "-f", "3", NULL });
	close(fd);
	for (int i = 0; i < 2; i++) {
		user_connect(&user, "s");
		user_finish(&user);
	}
	end_by(SIGTERM);
	assert_int_equal(unlink("s"), 0);
}

static void test_listen_fds(void **state)
{
	int fds[2] = { listen_at("a"), listen_at("b") };
	struct user a, b;

	(void)state;
	start_with(fds, 2, true, (char *[]){ NULL, "--next", "--once", NULL });
	close(fds[0]);
	close(fds[1]);
	user_connect(&a, "a");
	user_connect(&b, "b");
	user_read(&a);
	user_finish(&a);
	user_finish(&b);
	end_by(SIGTERM);
	assert_int_equal(unlink("a") | unlink("b"), 0);
}

/* The front-end listens: it may come late, go, and come back. */
static void test_connect(void **state)
{
	struct user user;
	int listen_fd;

	(void)state;
	START("--connect", "s");
	usleep(250000);
	listen_fd = listen_at("s");
	for (int i = 0; i < 2; i++) {
		user_attach(&user, accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC));
		user_finish(&user);
	}
	close(listen_fd);
	assert_int_equal(unlink("s"), 0);
	usleep(250000);
	end_by(SIGTERM);
}

static void test_once(void **state)
{
	struct user user;
	int listen_fd;

	(void)state;
	START("--socket", "s", "--once");
	user_connect(&user, "s");
	user_finish(&user);
	assert_int_equal(end_status(), 0);
	assert_false(exists("s"));

	listen_fd = listen_at("s");
	START("--connect", "s", "--once");
	user_attach(&user, accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC));
	user_finish(&user);
	assert_int_equal(end_status(), 0);
	close(listen_fd);
	assert_int_equal(unlink("s"), 0);
}

static void send_nonsense(void)
{
	struct vhu_frontend frontend;
	char bytes[64];

	vhu_frontend_init(&frontend);
	memset(bytes, 0xff, sizeof(bytes));
	assert_int_equal(vhu_frontend_connect(&frontend, "s"), 0);
	assert_int_equal(vhu_frontend_send_bytes(&frontend, bytes, sizeof(bytes), NULL, 0), 0);
	assert_int_equal(vhu_frontend_wait_closed(&frontend), 0);
	vhu_frontend_finish(&frontend);
}

static void test_bad_front_end(void **state)
{
	struct user user;

	(void)state;
	START("--socket", "s", "--log-level", "error");
	send_nonsense();
	user_connect(&user, "s");
	user_finish(&user);
	end_by(SIGTERM);
	/* Where it was the only one, its end by an error is the program's. */
	START("--socket", "s", "--once", "--log-level", "error");
	send_nonsense();
	assert_int_equal(end_status(), 1);
}

/* After a kill the file is there, and the next program takes its place. */
static void test_restart_after_kill(void **state)
{
	struct user user;

	(void)state;
	START("--socket", "s");
	user_connect(&user, "s");
	kill(pid, SIGKILL);
	assert_int_equal(end_status(), -1);
	user_finish(&user);
	assert_true(exists("s"));
	START("--socket", "s");
	/* The stale file refuses until it has been replaced; connect tries again. */
	user_connect(&user, "s");
	user_finish(&user);
	end_by(SIGTERM);
}

struct bad_line {
	char *words[8];
	int status;
};

static void test_bad_lines(void **state)
{
	static struct bad_line lines[] = {
		{ { NULL }, 2 },
		{ { NULL, "--socket" }, 2 },
		{ { NULL, "--socket", "s", "--bogus" }, 2 },
		{ { NULL, "--socket", "s", "--fd", "3" }, 2 },
		{ { NULL, "--socket", "s", "--next" }, 2 },
		{ { NULL, "--socket", "s", "--next", "--once" }, 2 },
		{ { NULL, "--socket", "s", "--log-level", "loud" }, 2 },
		{ { NULL, "--fd", "x" }, 2 },
		{ { NULL, "--fd", "1000" }, 1 },
		{ { NULL, "--socket", "s", "--next", "--socket", "no/such" }, 1 },
		{ { NULL, "--socket", "s", "--next", "--socket", "s" }, 1 },
		{ { NULL, "--socket", "/proc" }, 1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		start_with(NULL, 0, false, lines[i].words);
		assert_int_equal(end_status(), lines[i].status);
		assert_false(exists("s"));
	}
}

/* Runs a shell line with the program as $0; returns its standard output. */
static const char *output_of(const char *line, int *ret_status)
{
	static char text[4096];
	char command[8192];
	FILE *pipe;
	size_t n;

	snprintf(command, sizeof(command), "p='%s'; %s", program, line);
	pipe = popen(command, "r");
	assert_non_null(pipe);
	n = fread(text, 1, sizeof(text) - 1, pipe);
	text[n] = '\0';
	*ret_status = pclose(pipe);
	return text;
}

static void test_answers(void **state)
{
	static const char wanted[] =
		"-m 1G -object memory-backend-memfd,id=vhu-mem,size=1G,share=on \\\n"
		"-machine q35,memory-backend=vhu-mem \\\n"
		"-chardev 'socket,id=vhu0,path=/it'\\''s a,,b' \\\n"
		"-device vhost-user-rng-pci,chardev=vhu0 \\\n"
		"-chardev socket,id=vhu1,path=/c,server=on,wait=off \\\n"
		"-device vhost-user-rng-pci,chardev=vhu1\n";
	const char *text;
	char relative[128];
	int status;

	(void)state;
	text = output_of("$p --bogus x --print-capabilities --fd=no", &status);
	assert_int_equal(status, 0);
	assert_string_equal(text, "{\n  \"type\": \"rng\",\n  \"features\": []\n}\n");
	text = output_of("$p --version --bogus", &status);
	assert_int_equal(status, 0);
	assert_int_equal(strncmp(text, "rng ", 4), 0);
	text = output_of("$p --socket s --help", &status);
	assert_int_equal(status, 0);
	assert_non_null(strstr(text, "--socket-path, --socket, -s PATH"));
	text = output_of("$p --print-qemu-args --log-level=warning --socket \"/it's a,b\""
			 " --next --connect /c", &status);
	assert_int_equal(status, 0);
	assert_string_equal(text, wanted);
	text = output_of("$p --print-qemu-args --socket s 2>/dev/null", &status);
	snprintf(relative, sizeof(relative), ",path=%s/s \\", folder);
	assert_non_null(strstr(text, relative));
	output_of("$p --print-qemu-args --socket s --inband-notifications 2>/dev/null", &status);
	assert_int_equal(WEXITSTATUS(status), 2);
	assert_false(exists("s"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(test_signals),
		TEST(test_front_ends_in_turn),
		TEST(test_two_sockets),
		TEST(test_connected_fd),
		TEST(test_listening_fd),
		TEST(test_listen_fds),
		TEST(test_connect),
		TEST(test_once),
		TEST(test_bad_front_end),
		TEST(test_restart_after_kill),
		TEST(test_bad_lines),
		TEST(test_answers),
	};

	if (argc != 2)
		return 2;
	program = realpath(argv[1], NULL);
	home_fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
