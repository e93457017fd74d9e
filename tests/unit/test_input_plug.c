/* SPDX-License-Identifier: BSD-3-Clause */
/* Paths that are no event devices, or not for us; and the wait for one. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "devices/input/node.h"
#include "devices/input/plug.h"
#include "tests/unit/capture.h"

#define NOBODY 65534

static char dir[] = "/tmp/vhu-plug.XXXXXX";

static int enter_dir(void **state)
{
	(void)state;
	return mkdtemp(dir) && chmod(dir, 0755) == 0 ? chdir(dir) : -1;
}

static int leave_dir(void **state)
{
	(void)state;
	return chdir("/") == 0 ? rmdir(dir) : -1;
}

static void make_file(const char *path)
{
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	close(fd);
}

static void test_not_an_event_device(void **state)
{
	struct vhu_evdev *evdev = NULL;

	(void)state;
	make_file("file");
	assert_int_equal(mkfifo("fifo", 0600), 0);
	assert_int_equal(vhu_input_node_open("file", &evdev), -ENOTTY);
	assert_int_equal(vhu_input_node_open("fifo", &evdev), -ENOTTY);
	assert_int_equal(vhu_input_node_open(".", &evdev), -ENOTTY);
	assert_int_equal(vhu_input_node_open("/dev/null", &evdev), -ENOTTY);
	assert_int_equal(vhu_input_node_open("nothing", &evdev), -ENOENT);
	assert_int_equal(vhu_input_node_open("file/x", &evdev), -ENOTDIR);
	assert_null(evdev);
	unlink("file");
	unlink("fifo");
}

static void test_explanations(void **state)
{
	static const struct {
		int r;
		const char *says;
	} cases[] = {
		{ -EACCES, "(mode 600). Join that group" }, { -EACCES, "SUBSYSTEM==\"input\"" },
		{ -ENOENT, "--wait-device" },		  { -ENOTTY, "not an event device" },
		{ -EOPNOTSUPP, "without libevdev" },	  { -ENXIO, "No such device or address" },
	};

	struct capture capture;

	(void)state;
	make_file("node");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		capture_begin(&capture, STDERR_FILENO);
		vhu_input_node_explain("node", cases[i].r);
		capture_end_line(&capture, cases[i].says);
	}
	unlink("node");
}

/* As somebody else, of a node that is not his. */
static void test_no_permission(void **state)
{
	struct vhu_evdev *evdev;
	int status;
	pid_t pid;

	(void)state;
	if (geteuid() != 0 || mknod("node", S_IFCHR | 0600, makedev(13, 64)) < 0)
		skip();
	pid = fork();
	if (pid == 0)
		_exit(setresuid(NOBODY, NOBODY, NOBODY) < 0 ||
		      vhu_input_node_open("node", &evdev) != -EACCES);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	unlink("node");
}

struct finder {
	const char *path;
	unsigned n_looks;
	bool found;
};

static bool look(void *data)
{
	struct finder *finder = data;

	finder->n_looks++;
	finder->found = access(finder->path, F_OK) == 0;
	return finder->found;
}

static void turn_until(struct vhu_loop *loop, const bool *done)
{
	for (unsigned i = 0; i < 2000 && !*done; i++)
		assert_true(vhu_loop_turn(loop, 10000000) >= 0);
	assert_true(*done);
}

/* The folder is not there at first either, and goes in between. */
static void test_wait(void **state)
{
	char path[64];
	struct finder finder = { .path = path };
	struct vhu_input_plug plug = { 0 };
	struct vhu_loop *loop;
	unsigned n_looks;

	(void)state;
	snprintf(path, sizeof(path), "%s/input/by-id/mouse", dir);
	assert_int_equal(vhu_loop_new(&loop), 0);
	assert_int_equal(vhu_input_plug_wait(&plug, loop, path, look, &finder), 0);
	while (plug.tries)
		assert_true(vhu_loop_turn(loop, 10000000) >= 0);
	n_looks = finder.n_looks;
	assert_true(n_looks > 0);
	/* It sleeps until something changes. */
	assert_int_equal(vhu_loop_turn(loop, 300000000), 0);
	assert_int_equal(finder.n_looks, n_looks);

	mkdir("input", 0700);
	assert_true(vhu_loop_turn(loop, UINT64_MAX) > 0);
	mkdir("input/by-id", 0700);
	for (unsigned i = 0; i < 4; i++)
		assert_true(vhu_loop_turn(loop, 200000000) >= 0);
	rmdir("input/by-id");
	rmdir("input");
	for (unsigned i = 0; i < 200 && plug.tries; i++)
		assert_true(vhu_loop_turn(loop, 200000000) >= 0);
	assert_int_equal(vhu_loop_turn(loop, 300000000), 0);
	assert_false(finder.found);
	mkdir("input", 0700);
	mkdir("input/by-id", 0700);
	make_file("input/by-id/mouse");
	turn_until(loop, &finder.found);
	assert_false(plug.waits);
	vhu_loop_destroy(loop);
	unlink("input/by-id/mouse");
	rmdir("input/by-id");
	rmdir("input");
}

static void test_there_already(void **state)
{
	struct finder finder = { .path = "/" };
	struct vhu_input_plug plug = { 0 };
	struct vhu_loop *loop;

	(void)state;
	vhu_input_plug_stop(&plug);
	assert_int_equal(vhu_loop_new(&loop), 0);
	assert_int_equal(vhu_input_plug_wait(&plug, loop, NULL, look, &finder), 0);
	turn_until(loop, &finder.found);
	vhu_input_plug_stop(&plug);
	vhu_loop_destroy(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_not_an_event_device),
		cmocka_unit_test(test_explanations),
		cmocka_unit_test(test_no_permission),
		cmocka_unit_test(test_wait),
		cmocka_unit_test(test_there_already),
	};

	return cmocka_run_group_tests(tests, enter_dir, leave_dir);
}
