/* SPDX-License-Identifier: BSD-3-Clause */
/* What is typed and pointed at reaches a vhu-input, whenever it comes. */
#include <linux/input-event-codes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/fd.h"
#include "common/base/num.h"
#include "devices/gpu/remote_input.h"

#define PATIENCE_NS (20 * NS_PER_SEC)

static char folder[64], path[80];
static struct vhu_loop *loop;
static struct vhu_gpu_remote_input *input;

static int listen_there(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	strcpy(address.sun_path, path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 4), 0);
	return fd;
}

static int accept_there(int listener)
{
	uint64_t end_ns = vhu_now_ns() + PATIENCE_NS;
	int fd = -1;

	while (fd < 0 && vhu_now_ns() < end_ns) {
		vhu_loop_turn(loop, 10 * NS_PER_SEC / 1000);
		fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	}
	assert_true(fd >= 0);
	return fd;
}

static void expect(int fd, const char *text)
{
	char got[4096];
	ssize_t n = recv(fd, got, sizeof(got) - 1, MSG_DONTWAIT);

	got[n > 0 ? n : 0] = '\0';
	assert_string_equal(got, text);
}

static int setup(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/vhu-remote-XXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/stream", folder);
	return vhu_loop_new(&loop);
}

static int teardown(void **state)
{
	(void)state;
	vhu_gpu_remote_input_free(input);
	input = NULL;
	vhu_loop_destroy(loop);
	unlink(path);
	return rmdir(folder);
}

static void keysyms(void **state)
{
	static const struct {
		uint32_t keysym;
		uint16_t code;
	} table[] = {
		{ 'a', KEY_A }, { 'A', KEY_A }, { 'p', KEY_P }, { '0', KEY_0 }, { ')', KEY_0 },
		{ '=', KEY_EQUAL }, { '~', KEY_GRAVE }, { '\\', KEY_BACKSLASH },
		{ '|', KEY_BACKSLASH },
		{ '?', KEY_SLASH }, { '"', KEY_APOSTROPHE }, { '}', KEY_RIGHTBRACE },
		{ ':', KEY_SEMICOLON }, { ' ', KEY_SPACE }, { 0xff0d, KEY_ENTER },
		{ 0xffbe, KEY_F1 }, { 0xffc7, KEY_F10 }, { 0xffc8, KEY_F11 }, { 0xffc9, KEY_F12 },
		{ 0xffd5, KEY_F24 }, { 0xffb0, KEY_KP0 }, { 0xffb6, KEY_KP6 }, { 0xffb9, KEY_KP9 },
		{ 0xffff, KEY_DELETE }, { 0, 0 }, { 0xe9, 0 }, { 0x7f, 0 }, { UINT32_MAX, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		assert_int_equal(vhu_gpu_key_of_keysym(table[i].keysym), table[i].code);
	for (uint32_t c = ' '; c <= '~'; c++)
		assert_int_not_equal(vhu_gpu_key_of_keysym(c), 0);
}

static void packets(void **state)
{
	int listener = listen_there(), fd;

	(void)state;
	assert_int_equal(vhu_gpu_remote_input_new(path, loop, &input), 0);
	fd = accept_there(listener);
	vhu_gpu_remote_input_key(input, 'A', true);
	vhu_gpu_remote_input_key(input, 'A', true);
	expect(fd, "E: 0.000000 0001 001e 1\nE: 0.000000 0000 0000 0\n");
	/* Shift was let go of first. */
	vhu_gpu_remote_input_key(input, 'a', false);
	expect(fd, "E: 0.000000 0001 001e 0\nE: 0.000000 0000 0000 0\n");
	vhu_gpu_remote_input_point(input, 1, 799, 0, 800, 600);
	expect(fd, "E: 0.000000 0003 0000 32767\nE: 0.000000 0003 0001 0\n"
		   "E: 0.000000 0001 0110 1\nE: 0.000000 0000 0000 0\n");
	vhu_gpu_remote_input_point(input, 1 | 16, 0, 9999, 800, 600);
	expect(fd, "E: 0.000000 0003 0000 0\nE: 0.000000 0003 0001 32767\n"
		   "E: 0.000000 0002 0008 -1\nE: 0.000000 0000 0000 0\n");
	vhu_gpu_remote_input_key(input, 'b', true);
	expect(fd, "E: 0.000000 0001 0030 1\nE: 0.000000 0000 0000 0\n");
	vhu_gpu_remote_input_release(input);
	expect(fd, "E: 0.000000 0001 0030 0\nE: 0.000000 0000 0000 0\n"
		   "E: 0.000000 0001 0110 0\nE: 0.000000 0000 0000 0\n");
	vhu_gpu_remote_input_release(input);
	expect(fd, "");
	close(fd);
	close(listener);
}

static void comes_and_goes(void **state)
{
	int listener, fd;

	(void)state;
	assert_int_equal(vhu_gpu_remote_input_new(path, loop, &input), 0);
	vhu_gpu_remote_input_key(input, 'a', true);
	listener = listen_there();
	fd = accept_there(listener);
	expect(fd, "");
	vhu_gpu_remote_input_key(input, 'a', true);
	close(fd);
	fd = accept_there(listener);
	/* It is held no more: the other side has let go of it. */
	vhu_gpu_remote_input_key(input, 'a', true);
	expect(fd, "E: 0.000000 0001 001e 1\nE: 0.000000 0000 0000 0\n");

	/* Nobody reads: the connection ends, and nothing has waited. */
	for (unsigned i = 0; i < 100000; i++)
		vhu_gpu_remote_input_key(input, 'b', i % 2 == 0);
	close(accept_there(listener));
	close(fd);
	close(listener);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(keysyms, setup, teardown),
		cmocka_unit_test_setup_teardown(packets, setup, teardown),
		cmocka_unit_test_setup_teardown(comes_and_goes, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
