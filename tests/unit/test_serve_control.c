/* SPDX-License-Identifier: BSD-3-Clause */

/* The control socket: what is answered, to whom, and what a client can not do. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/fd.h"
#include "common/base/num.h"
#include "common/serve/control.h"
#include "common/serve/listener.h"
#include "tests/unit/capture.h"

#define WAIT_NS (20 * NS_PER_SEC)
#define BIG_BYTES (4u << 20) /* more than a socket holds */
#define HELP(name) "{\"command\": \"" name "\", \"help\": \""

static char folder[64], path[80];
static struct vhu_loop *loop;
static struct vhu_control *control;
static struct vhu_control_request *kept;
static unsigned n_big;

/* --- commands -------------------------------------------------------------------------------- */

static void command_echo(void *data, const char *argument, struct vhu_control_request *request)
{
	assert_ptr_equal(data, &n_big);
	fprintf(vhu_control_out(request), ", \"said\": \"%s\"", argument);
	vhu_control_answer(request);
}

static void command_fail(void *data, const char *argument, struct vhu_control_request *request)
{
	(void)data;
	assert_null(argument);
	fputs("of no interest any more", vhu_control_out(request));
	vhu_control_refuse(request, "\"%d\" is wrong", 7);
}

static void command_big(void *data, const char *argument, struct vhu_control_request *request)
{
	(void)data;
	(void)argument;
	n_big++;
	fprintf(vhu_control_out(request), ", \"big\": \"%*s\"", (int)BIG_BYTES, "x");
	vhu_control_answer(request);
}

static void command_keep(void *data, const char *argument, struct vhu_control_request *request)
{
	(void)data;
	(void)argument;
	assert_null(kept);
	kept = request;
}

static const struct vhu_control_command commands[] = {
	{ "echo", "TEXT", "says it", command_echo },
	{ "fail", NULL, "is \"wrong\"", command_fail },
};
static const struct vhu_control_command more_commands[] = {
	{ "big", NULL, "says much", command_big },
	{ "keep", NULL, "says nothing yet", command_keep },
};

static int setup(void **state)
{
	static const struct vhu_control_table tables[] = {
		{ commands, ARRAY_SIZE(commands), &n_big },
		{ more_commands, ARRAY_SIZE(more_commands), NULL },
	};

	(void)state;
	snprintf(folder, sizeof(folder), "/tmp/vhu-control.XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/ctl", folder);
	kept = NULL;
	n_big = 0;
	return vhu_loop_new(&loop) || vhu_control_new(loop, path, tables, ARRAY_SIZE(tables),
						      &control);
}

/* The file is gone by then. */
static int teardown(void **state)
{
	(void)state;
	vhu_control_free(control);
	vhu_loop_destroy(loop);
	return rmdir(folder);
}

/* --- clients --------------------------------------------------------------------------------- */

static int open_client(void)
{
	int fd;

	assert_int_equal(vhu_socket_connect(path, &fd), 0);
	return fd;
}

static void turn(void)
{
	assert_true(vhu_loop_turn(loop, NS_PER_MS) >= 0);
}

static void turn_some(void)
{
	for (unsigned i = 0; i < 20; i++)
		assert_true(vhu_loop_turn(loop, 0) >= 0);
}

static void say(int fd, const char *bytes, size_t len)
{
	assert_int_equal(send(fd, bytes, len, MSG_NOSIGNAL), len);
}

/* Turns the loop until what comes is exactly that, and nothing behind it. */
static void expect(int fd, const char *wanted)
{
	uint64_t deadline_ns = vhu_now_ns() + WAIT_NS;
	size_t n = 0, len = strlen(wanted);
	char *got = calloc(1, len + 2);
	ssize_t r = 0;

	while (n < len && vhu_now_ns() < deadline_ns) {
		turn();
		r = recv(fd, got + n, len - n, 0);
		assert_true(r > 0 || (r < 0 && errno == EAGAIN));
		n += r > 0 ? (size_t)r : 0;
	}
	assert_string_equal(got, wanted);
	turn_some();
	assert_true(recv(fd, got, 1, 0) <= 0);
	free(got);
}

static void expect_end(int fd)
{
	uint64_t deadline_ns = vhu_now_ns() + WAIT_NS;
	char byte;
	ssize_t r;

	while ((r = recv(fd, &byte, 1, 0)) < 0 && errno == EAGAIN && vhu_now_ns() < deadline_ns)
		turn();
	assert_true(r == 0 || (r < 0 && errno == ECONNRESET));
}

static void ask(int fd, const char *line, const char *answer)
{
	say(fd, line, strlen(line));
	expect(fd, answer);
}

#define HI "{\"ok\": true, \"said\": \"hi\"}\n"

static void expect_served(void)
{
	int fd = open_client();

	ask(fd, "echo hi\n", HI);
	close(fd);
}

/* --- tests ----------------------------------------------------------------------------------- */

static void answers(void **state)
{
	int fd = open_client();

	(void)state;
	ask(fd, "echo hi\n", HI);
	ask(fd, " \techo  two  words \r\n",
	    "{\"ok\": true, \"said\": \"two  words\"}\n");
	ask(fd, "fail\n", "{\"ok\": false, \"error\": \"\\\"7\\\" is wrong\"}\n");
	ask(fd, "help\n",
	    "{\"ok\": true, \"commands\": [" HELP("help") "all commands\"}, " HELP("echo TEXT")
	    "says it\"}, " HELP("fail") "is \\\"wrong\\\"\"}, " HELP("big") "says much\"}, "
	    HELP("keep") "says nothing yet\"}]}\n");
	/* Several at once, one in pieces, and what cannot be among them. */
	ask(fd, "echo a\n\n  \necho b\nno\necho c\nec",
	    "{\"ok\": true, \"said\": \"a\"}\n{\"ok\": true, \"said\": \"b\"}\n"
	    "{\"ok\": false, \"error\": \"there is no command 'no': 'help' has all\"}\n"
	    "{\"ok\": true, \"said\": \"c\"}\n");
	ask(fd, "ho hi\n", HI);
	/* As socat does: all is said, and what is answered is waited for. */
	say(fd, "echo hi\necho hi\n", 16);
	shutdown(fd, SHUT_WR);
	expect(fd, HI HI);
	expect_end(fd);
	close(fd);
}

#define ERROR(text) "{\"ok\": false, \"error\": \"" text "\"}\n"

static void bad_lines(void **state)
{
	static char full[VHU_CONTROL_LINE_MAX + 1], longest[VHU_CONTROL_LINE_MAX];
	static char longest_answer[2 * VHU_CONTROL_LINE_MAX];
	static const struct {
		const char *line;
		size_t len;
		const char *answer; /* NULL: nothing */
		bool ends;
	} cases[] = {
#define LINE(text) text, sizeof(text) - 1
		{ LINE(""), NULL, true },
		{ LINE("\n\r\n \t\n"), NULL, true },
		{ LINE("ech hi\n"), ERROR("there is no command 'ech': 'help' has all") },
		{ LINE("ECHO hi\n"), ERROR("there is no command 'ECHO': 'help' has all") },
		{ LINE("echo\n"), ERROR("'echo' needs TEXT behind it") },
		{ LINE("echo \t \n"), ERROR("'echo' needs TEXT behind it") },
		{ LINE("fail now or never\n"),
		  ERROR("'fail' stands alone: 'now or never' is too much") },
		{ LINE("echo h\0i\n"), ERROR("a command is text: the line has a NUL byte in it") },
		{ LINE("\0\n"), ERROR("a command is text: the line has a NUL byte in it") },
		{ LINE("\xff\x01\"\\\xc3\n"),
		  ERROR("there is no command '\\ufffd\\u0001\\\"\\\\\\ufffd': "
			"'help' has all") },
		{ LINE("%s%n\n"), ERROR("there is no command '%s%n': 'help' has all") },
		{ LINE("echo hi"),
		  ERROR("a command is a line: no newline is behind 'echo hi'"), true },
		{ full, sizeof(full) - 1, ERROR("a line has at most 4096 bytes with its newline"),
		  true },
		{ full, sizeof(full), ERROR("a line has at most 4096 bytes with its newline"),
		  true },
		{ longest, sizeof(longest), longest_answer },
#undef LINE
	};

	(void)state;
	memset(full, 'x', sizeof(full));
	memset(longest, 'x', sizeof(longest));
	memcpy(longest, "echo ", 5);
	longest[sizeof(longest) - 1] = '\n';
	snprintf(longest_answer, sizeof(longest_answer), "{\"ok\": true, \"said\": \"%.*s\"}\n",
		 (int)sizeof(longest) - 6, longest + 5);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int fd = open_client();

		say(fd, cases[i].line, cases[i].len);
		if (cases[i].ends)
			shutdown(fd, SHUT_WR);
		if (cases[i].answer)
			expect(fd, cases[i].answer);
		if (cases[i].ends)
			expect_end(fd);
		else
			ask(fd, "echo hi\n", HI);
		close(fd);
	}
}

/* In the middle of whatever. */
static void clients_that_go(void **state)
{
	static const char *const said[] = {
		"", "ec", "echo hi", "echo hi\n", "echo hi\necho hi\nfai", "big\nbig\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(said); i++) {
		for (unsigned turns = 0; turns < 4; turns++) {
			int fd = open_client();

			for (unsigned k = 0; k < turns; k++)
				assert_true(vhu_loop_turn(loop, 0) >= 0);
			say(fd, said[i], strlen(said[i]));
			for (unsigned k = 0; k < turns; k++)
				assert_true(vhu_loop_turn(loop, 0) >= 0);
			close(fd);
		}
	}
	turn_some();
	expect_served();
}

/* A client that does not read has one answer made for it, whatever it asks for; others go on. */
static void a_client_that_does_not_read(void **state)
{
	char *answer = malloc(BIG_BYTES + 64);
	int fd = open_client();

	(void)state;
	while (send(fd, "big\nbig\n", 8, MSG_NOSIGNAL) == 8)
		turn_some();
	assert_int_equal(errno, EAGAIN);
	expect_served();
	assert_int_equal(n_big, 1);
	close(fd);

	fd = open_client();
	snprintf(answer, BIG_BYTES + 64, "{\"ok\": true, \"big\": \"%*s\"}\n" HI, (int)BIG_BYTES,
		 "x");
	ask(fd, "big\necho hi\n", answer);
	close(fd);
	free(answer);
}

/* Each turn of the loop one line, so that whoever else is to be served is. */
static void a_client_that_floods(void **state)
{
	int fd = open_client(), other = open_client();
	char lines[4000];

	(void)state;
	memset(lines, 'x', sizeof(lines));
	for (size_t i = 1; i < sizeof(lines); i += 2)
		lines[i] = '\n';
	say(fd, lines, sizeof(lines));
	for (unsigned i = 0; i < 4; i++)
		turn();
	say(other, "echo hi\n", 8);
	for (unsigned i = 0; i < 4; i++)
		turn();
	assert_int_equal(recv(other, lines, sizeof(lines), 0), strlen(HI));
	close(fd);
	close(other);
}

static void *answer_kept(void *data)
{
	(void)data;
	fputs(", \"late\": 1", vhu_control_out(kept));
	vhu_control_answer(kept);
	return NULL;
}

static void answer_from_a_thread(void)
{
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, answer_kept, NULL), 0);
	pthread_join(thread, NULL);
	kept = NULL;
}

static void answers_that_come_later(void **state)
{
	int fd = open_client();

	(void)state;
	say(fd, "keep\necho hi\n", 13);
	shutdown(fd, SHUT_WR);
	turn_some();
	expect_served();
	assert_non_null(kept);
	answer_from_a_thread();
	expect(fd, "{\"ok\": true, \"late\": 1}\n" HI);
	expect_end(fd);
	close(fd);
	/* The client has gone by then, which is not looked at again and again. */
	fd = open_client();
	say(fd, "keep\necho hi\n", 13);
	turn_some();
	close(fd);
	turn_some();
	assert_int_equal(vhu_loop_turn(loop, 0), 0);
	answer_from_a_thread();
	expect_served();
}

/* And so has the socket; what was asked for is answered all the same, to nobody. */
static void an_end_with_work_left(void **state)
{
	int fd = open_client(), slow = open_client();

	(void)state;
	say(fd, "keep\n", 5);
	say(slow, "big\n", 4);
	turn_some();
	vhu_control_free(control);
	control = NULL;
	assert_int_equal(access(path, F_OK), -1);
	expect_end(fd);
	answer_from_a_thread();
	close(fd);
	close(slow);
}

static void too_many_clients(void **state)
{
	int fds[VHU_CONTROL_CLIENTS_MAX], fd;

	(void)state;
	for (unsigned i = 0; i < VHU_CONTROL_CLIENTS_MAX; i++) {
		fds[i] = open_client();
		turn_some();
	}
	fd = open_client();
	expect(fd, ERROR("there are as many clients as may be: close one"));
	expect_end(fd);
	close(fd);
	ask(fds[3], "echo hi\n", HI);
	close(fds[3]);
	turn_some();
	expect_served();
	for (unsigned i = 0; i < VHU_CONTROL_CLIENTS_MAX; i++)
		if (i != 3)
			close(fds[i]);
}

/* One line in the log, no turning in circles, and as soon as there are some it goes on. */
static void no_descriptors(void **state)
{
	struct rlimit before, limit;
	struct capture capture;
	int fd = open_client(), free_fd;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	capture_begin(&capture, STDERR_FILENO);
	free_fd = dup(fd);
	close(free_fd);
	limit = (struct rlimit){ (rlim_t)free_fd, before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	turn_some();
	setrlimit(RLIMIT_NOFILE, &before);
	capture_end_line(&capture, "control: cannot accept a client: Too many open files");
	ask(fd, "echo hi\n", HI);
	expect_served();
	close(fd);
}

static void the_file(void **state)
{
	struct vhu_control *second;
	struct capture capture;
	struct stat st;
	mode_t mask = umask(0);
	int r;

	(void)state;
	capture_begin(&capture, STDERR_FILENO);
	r = vhu_control_new(loop, path, NULL, 0, &second);
	capture_end_line(&capture, "a program listens there");
	assert_int_equal(r, -EADDRINUSE);
	expect_served();
	vhu_control_free(control);
	assert_int_equal(access(path, F_OK), -1);
	r = vhu_control_new(loop, path, NULL, 0, &control);
	umask(mask);
	assert_int_equal(r, 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(answers),
		TEST(bad_lines),
		TEST(clients_that_go),
		TEST(a_client_that_does_not_read),
		TEST(a_client_that_floods),
		TEST(answers_that_come_later),
		TEST(an_end_with_work_left),
		TEST(too_many_clients),
		TEST(no_descriptors),
		TEST(the_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
