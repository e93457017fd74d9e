/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/log.h"

/* Standard error goes to a file of its own between begin() and end(). */
struct capture {
	int fd;
	int real_stderr;
	char text[65536];
};

static void begin(struct capture *c)
{
	c->fd = memfd_create("vhu-test", MFD_CLOEXEC);
	/* The position of a memfd is not locked as a regular file's is; its end is. */
	assert_int_equal(fcntl(c->fd, F_SETFL, O_APPEND), 0);
	c->real_stderr = dup(STDERR_FILENO);
	assert_int_equal(dup2(c->fd, STDERR_FILENO), STDERR_FILENO);
}

static void end(struct capture *c)
{
	ssize_t n;

	assert_int_equal(dup2(c->real_stderr, STDERR_FILENO), STDERR_FILENO);
	n = pread(c->fd, c->text, sizeof(c->text) - 1, 0);
	assert_in_range(n, 0, sizeof(c->text) - 2);
	c->text[n] = '\0';
	close(c->fd);
	close(c->real_stderr);
}

static unsigned count_lines(const char *text)
{
	unsigned n = 0;

	for (; (text = strchr(text, '\n')); text++)
		n++;
	return n;
}

/* In a process of its own: where standard error goes is found out once. */
static void log_as_service(struct capture *c, int ino_delta)
{
	char stream[64];
	struct stat st;
	int status;
	pid_t pid;

	begin(c);
	assert_int_equal(fstat(c->fd, &st), 0);
	snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev,
		 (unsigned long long)st.st_ino + (unsigned long long)ino_delta);
	pid = fork();
	if (pid == 0) {
		setenv("JOURNAL_STREAM", stream, 1);
		vhu_error("one");
		vhu_warning("two");
		vhu_info("three");
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	end(c);
	assert_int_equal(status, 0);
}

static void test_journal(void **state)
{
	struct capture c;

	(void)state;
	log_as_service(&c, 0);
	assert_string_equal(c.text, "<3>one\n<4>two\n<6>three\n");
	/* Standard error was sent elsewhere since. */
	log_as_service(&c, 1);
	assert_string_equal(c.text, "vhu: one\nvhu: two\nvhu: three\n");
}

static void test_levels(void **state)
{
	static const char *const names[] = { "error", "warning", "info", "debug" };
	enum vhu_log_level level = VHU_LOG_ERROR;
	struct capture c;
	unsigned i;

	(void)state;
	for (i = 0; i < 4; i++) {
		assert_int_equal(vhu_log_parse_level(names[i], &level), 0);
		assert_int_equal(level, i);
	}
	assert_int_equal(vhu_log_parse_level("", &level), -EINVAL);
	assert_int_equal(vhu_log_parse_level("Error", &level), -EINVAL);
	assert_int_equal(level, VHU_LOG_DEBUG);

	assert_true(vhu_log_enabled(VHU_LOG_INFO));
	assert_false(vhu_log_enabled(VHU_LOG_DEBUG));
	begin(&c);
	vhu_info("seen %d", 1);
	vhu_debug("not seen");
	vhu_log_set_level(VHU_LOG_WARNING);
	vhu_info("not seen");
	vhu_warning("seen %d", 2);
	vhu_log_set_level(VHU_LOG_DEBUG);
	vhu_log_set_program("other");
	vhu_debug("seen %d", 3);
	vhu_log_set_program("vhu");
	vhu_log_set_level(VHU_LOG_INFO);
	end(&c);
	assert_string_equal(c.text, "vhu: seen 1\nvhu: seen 2\nother: seen 3\n");
}

static void test_one_line(void **state)
{
	struct capture c;
	char text[3000];

	(void)state;
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	begin(&c);
	errno = 4711;
	vhu_error("a\nb\033[2Jc\x7f");
	vhu_error("%s", text);
	assert_int_equal(errno, 4711);
	end(&c);
	assert_int_equal(count_lines(c.text), 2);
	assert_memory_equal(c.text, "vhu: a b [2Jc \nvhu: xxx", 23);
	assert_in_range(strlen(c.text), 1000, 1100);
	assert_int_equal(c.text[strlen(c.text) - 1], '\n');
}

static void test_limited(void **state)
{
	struct vhu_log_limit limit = { 0 };
	struct capture c;
	int i;

	(void)state;
	begin(&c);
	for (i = 0; i < 100; i++) {
		vhu_log_limited(&limit, VHU_LOG_WARNING, "trouble %d", i);
		vhu_log_limited(&limit, VHU_LOG_DEBUG, "too fine to count");
	}
	end(&c);
	assert_int_equal(count_lines(c.text), VHU_LOG_BURST);
	assert_non_null(strstr(c.text, "trouble 4\n"));

	/* As if the time had passed. */
	limit.window_start_ns -= VHU_LOG_WINDOW_NS;
	begin(&c);
	vhu_log_limited(&limit, VHU_LOG_WARNING, "trouble again");
	end(&c);
	assert_int_equal(count_lines(c.text), 2);
	assert_non_null(strstr(c.text, "95 more"));
	assert_non_null(strstr(c.text, "vhu: trouble again\n"));

	/* Nothing was left out in the meantime. */
	limit.window_start_ns -= VHU_LOG_WINDOW_NS;
	begin(&c);
	vhu_log_limited(&limit, VHU_LOG_WARNING, "trouble once more");
	end(&c);
	assert_string_equal(c.text, "vhu: trouble once more\n");
}

static void *chatter(void *data)
{
	int i;

	for (i = 0; i < 200; i++)
		vhu_info("%s%s%s", (char *)data, (char *)data, (char *)data);
	return NULL;
}

static void test_threads(void **state)
{
	static char words[4][9] = { "aaaaaaaa", "bbbbbbbb", "cccccccc", "dddddddd" };
	pthread_t threads[4];
	struct capture c;
	unsigned i, n;
	char *line;

	(void)state;
	begin(&c);
	for (i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, chatter, words[i]), 0);
	for (i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	end(&c);
	line = c.text;
	for (n = 0; *line; n++) {
		assert_memory_equal(line, "vhu: ", 5);
		line += 5;
		assert_int_equal(strspn(line, (char[]){ *line, '\0' }), 24);
		assert_int_equal(line[24], '\n');
		line += 25;
	}
	assert_int_equal(n, 800);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_journal), /* before this process writes a line */
		cmocka_unit_test(test_levels),	cmocka_unit_test(test_one_line),
		cmocka_unit_test(test_limited), cmocka_unit_test(test_threads),
	};

	unsetenv("JOURNAL_STREAM");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
