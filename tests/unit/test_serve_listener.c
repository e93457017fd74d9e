/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/fd.h"
#include "common/base/num.h"
#include "common/serve/daemon.h"
#include "common/serve/listener.h"
#include "tests/unit/capture.h"

/* Each test has a folder of its own, and is in it. */
static char folder[64];
static int home_fd;

static int setup(void **state)
{
	(void)state;
	snprintf(folder, sizeof(folder), "/tmp/vhu-listener.XXXXXX");
	return mkdtemp(folder) ? chdir(folder) : -1;
}

/* A test leaves nothing behind but what it removes itself. */
static int teardown(void **state)
{
	(void)state;
	alarm(0);
	return fchdir(home_fd) || rmdir(folder);
}

static void bind_to(int fd, const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
}

/* As a program leaves it that was killed. */
static void make_stale(const char *path)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	bind_to(fd, path);
	close(fd);
}

static ino_t inode_of(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 ? st.st_ino : 0;
}

static void expect_refused(const char *path, int error, const char *said)
{
	struct vhu_listener listener = { .fd = -7 };
	struct capture capture;
	int r;

	capture_begin(&capture, STDERR_FILENO);
	r = vhu_listener_check(path);
	capture_end_line(&capture, said);
	assert_int_equal(r, error);
	capture_begin(&capture, STDERR_FILENO);
	r = vhu_listener_open(path, &listener);
	capture_end_line(&capture, said);
	assert_int_equal(r, error);
	assert_int_equal(listener.fd, -7);
}

/* A client gets through to this very listener. */
static void expect_listens(const struct vhu_listener *listener, const char *path)
{
	int client, server;

	assert_int_equal(vhu_socket_connect(path, &client), 0);
	server = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC);
	assert_true(server >= 0);
	close(server);
	close(client);
}

static void test_makes_and_removes(void **state)
{
	struct vhu_listener listener;
	struct stat st;
	mode_t mask = umask(027);

	(void)state;
	assert_int_equal(vhu_listener_check("s"), 0);
	assert_int_equal(inode_of("s"), 0);
	assert_int_equal(vhu_listener_open("s", &listener), 0);
	umask(mask);
	assert_int_equal(stat("s", &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_mode & 0777, 0750);
	expect_listens(&listener, "s");
	vhu_listener_close(&listener);
	assert_int_equal(inode_of("s"), 0);
	vhu_listener_close(&listener);
}

static void test_stale_is_replaced(void **state)
{
	struct vhu_listener listener;
	ino_t stale;

	(void)state;
	make_stale("s");
	stale = inode_of("s");
	assert_int_equal(vhu_listener_check("s"), 0);
	assert_int_equal(inode_of("s"), stale);
	assert_int_equal(vhu_listener_open("s", &listener), 0);
	expect_listens(&listener, "s");
	vhu_listener_close(&listener);
}

static void test_live_is_not_stolen(void **state)
{
	struct vhu_listener listener;
	int client;
	ino_t ino;

	(void)state;
	assert_int_equal(vhu_listener_open("s", &listener), 0);
	ino = inode_of("s");
	expect_refused("s", -EADDRINUSE, "socket 's' is in use");
	assert_int_equal(inode_of("s"), ino);
	/* Also when its backlog is full, which makes connect() fail. */
	assert_int_equal(listen(listener.fd, 0), 0);
	while (vhu_socket_connect("s", &client) == 0)
		; /* the clients end with the process */
	expect_refused("s", -EADDRINUSE, "socket 's' is in use");
	vhu_listener_close(&listener);
}

/* A datagram socket is in use although nobody can connect to it. */
static void test_live_of_another_type(void **state)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	(void)state;
	bind_to(fd, "s");
	expect_refused("s", -EADDRINUSE, "in use");
	close(fd);
	unlink("s");
}

static void test_other_files_are_left(void **state)
{
	ino_t ino;

	(void)state;
	fclose(fopen("file", "w"));
	assert_int_equal(mkdir("folder", 0700), 0);
	assert_int_equal(symlink("nowhere", "link"), 0);
	ino = inode_of("file");
	expect_refused("file", -EEXIST, "'file' exists and is no socket");
	expect_refused("folder", -EEXIST, "'folder' exists and is no socket");
	expect_refused("link", -EEXIST, "'link' exists and is no socket");
	expect_refused("file/s", -ENOTDIR, "file/s");
	assert_int_equal(inode_of("file"), ino);
	assert_int_equal(inode_of("nowhere"), 0);
	unlink("file");
	unlink("link");
	rmdir("folder");
}

static void test_path_length(void **state)
{
	struct vhu_listener listener;
	char path[VHU_SOCKET_PATH_MAX + 2];

	(void)state;
	memset(path, 'x', sizeof(path));
	path[VHU_SOCKET_PATH_MAX + 1] = '\0';
	expect_refused(path, -ENAMETOOLONG, "has 108 bytes; a socket's path has at most 107");
	path[VHU_SOCKET_PATH_MAX] = '\0';
	assert_int_equal(vhu_listener_open(path, &listener), 0);
	expect_listens(&listener, path);
	vhu_listener_close(&listener);
}

static void test_missing_folder(void **state)
{
	(void)state;
	expect_refused("no/such/s", -ENOENT, "cannot open the folder of socket 'no/such/s': No");
}

static void test_no_right_to_write(void **state)
{
	uid_t uid = geteuid();

	(void)state;
	assert_int_equal(chmod(".", 0555), 0);
	/* Root may write anywhere. */
	if (uid == 0)
		assert_int_equal(seteuid(65534), 0);
	expect_refused("s", -EACCES, "cannot make socket 's': Permission denied");
	assert_int_equal(seteuid(uid), 0);
	assert_int_equal(inode_of("s"), 0);
}

static void test_removes_only_its_own(void **state)
{
	struct vhu_listener listener, other;

	(void)state;
	assert_int_equal(vhu_listener_open("s", &listener), 0);
	assert_int_equal(unlink("s"), 0);
	assert_int_equal(vhu_listener_open("s", &other), 0);
	vhu_listener_close(&listener);
	expect_listens(&other, "s");
	vhu_listener_close(&other);
	assert_int_equal(inode_of("s"), 0);
}

/* Who holds the folder's lock is waited for, but not for ever: anybody could hold it. */
static void test_lock_is_waited_for(void **state)
{
	struct vhu_listener listener;
	int fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	uint64_t start_ns = vhu_now_ns();

	(void)state;
	assert_int_equal(flock(fd, LOCK_EX), 0);
	alarm(30);
	assert_int_equal(vhu_listener_open("s", &listener), 0);
	assert_true(vhu_now_ns() - start_ns > 500 * NS_PER_MS);
	vhu_listener_close(&listener);
	close(fd);
}

/* A child: tells whether it listens, and stays until all have told. */
static void race(int start_fd, int told_fd, int end_fd)
{
	struct vhu_listener listener;
	char byte = 0;

	alarm(30);
	if (read(start_fd, &byte, 1) == 0 && freopen("/dev/null", "w", stderr)) {
		byte = vhu_listener_open("s", &listener) == 0;
		if (write(told_fd, &byte, 1) == 1 && read(end_fd, &byte, 1) == 0)
			_exit(0);
	}
	_exit(1);
}

/* Many programs find the same stale file: one gets it, and the others leave it alone. */
static void test_race_for_a_stale_socket(void **state)
{
	enum { RACERS = 8, ROUNDS = 20 };
	int start[2], told[2], end[2], client, round, i, winners;
	char byte;

	(void)state;
	for (round = 0; round < ROUNDS; round++) {
		make_stale("s");
		assert_int_equal(pipe(start) | pipe(told) | pipe(end), 0);
		for (i = 0; i < RACERS; i++) {
			if (fork() == 0) {
				close(start[1]);
				close(end[1]);
				race(start[0], told[1], end[0]);
			}
		}
		close(start[0]);
		close(start[1]);
		close(told[1]);
		for (i = 0, winners = 0; i < RACERS; i++) {
			assert_int_equal(read(told[0], &byte, 1), 1);
			winners += byte;
		}
		assert_int_equal(winners, 1);
		assert_int_equal(vhu_socket_connect("s", &client), 0);
		close(client);
		close(told[0]);
		close(end[0]);
		close(end[1]);
		while (wait(NULL) > 0)
			;
		unlink("s");
	}
}

static void expect_no_socket(int fd, int error, const char *said)
{
	struct capture capture;
	bool listens;
	int r;

	capture_begin(&capture, STDERR_FILENO);
	r = vhu_socket_inspect(fd, &listens);
	capture_end_line(&capture, said);
	assert_int_equal(r, error);
}

static void test_inspect(void **state)
{
	struct vhu_listener listener;
	int pair[2], fd;
	bool listens;

	(void)state;
	assert_int_equal(vhu_listener_open("s", &listener), 0);
	assert_int_equal(vhu_socket_inspect(listener.fd, &listens), 0);
	assert_true(listens);
	vhu_listener_close(&listener);

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(vhu_socket_inspect(pair[0], &listens), 0);
	assert_false(listens);
	close(pair[1]);
	close(pair[0]);
	expect_no_socket(1000, -EBADF, "file descriptor 1000 is not open");

	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	expect_no_socket(fd, -ENOTCONN, "neither listens nor is connected");
	close(fd);
	fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	expect_no_socket(fd, -EPROTOTYPE, "is no Unix stream socket");
	close(fd);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	expect_no_socket(fd, -EPROTOTYPE, "is no Unix stream socket");
	close(fd);
	fd = open("/dev/null", O_RDWR);
	expect_no_socket(fd, -EPROTOTYPE, "is no Unix stream socket");
	close(fd);
}

static unsigned listen_fds(const char *pid, const char *fds)
{
	char own[32];

	snprintf(own, sizeof(own), "%d", (int)getpid());
	setenv("LISTEN_PID", pid ? pid : own, 1);
	setenv("LISTEN_FDS", fds, 1);
	return vhu_listen_fds();
}

static void test_listen_fds(void **state)
{
	struct vhu_daemon *daemon;

	(void)state;
	assert_int_equal(listen_fds("1", "2"), 0); /* another process was meant */
	assert_int_equal(listen_fds("", "2"), 0);
	assert_int_equal(listen_fds(NULL, "0"), 0);
	assert_int_equal(listen_fds(NULL, "-1"), 0);
	assert_int_equal(listen_fds(NULL, "x"), 0);
	assert_int_equal(listen_fds(NULL, "2"), 2);
	/* What this process starts must not believe that it was meant. */
	assert_int_equal(vhu_daemon_new(&daemon), 0);
	vhu_daemon_destroy(daemon);
	assert_null(getenv("LISTEN_FDS"));
	assert_null(getenv("LISTEN_PID"));
	assert_int_equal(vhu_listen_fds(), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_makes_and_removes),
		TEST(test_stale_is_replaced),
		TEST(test_live_is_not_stolen),
		TEST(test_live_of_another_type),
		TEST(test_other_files_are_left),
		TEST(test_path_length),
		TEST(test_missing_folder),
		TEST(test_no_right_to_write),
		TEST(test_removes_only_its_own),
		TEST(test_lock_is_waited_for),
		TEST(test_race_for_a_stale_socket),
		TEST(test_inspect),
		TEST(test_listen_fds),
	};

	home_fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
