/* SPDX-License-Identifier: BSD-3-Clause */

/* vhu-input to the programs that type through its stream, right and wrong. */

#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/device/input_stage.h"

struct line_case {
	const char *line, *answer;
};

static const struct line_case line_cases[] = {
	{ "x\n", "line 1 does not begin with" },
	{ "# a comment\nN: whatever\n\nE: 1\n", "line 4 is not E: SECONDS" },
	{ KEY_LINE(0300, 1), "line 1 is of a code that the device does not have" },
	{ KEY_LINE(001e, 3), "line 1 is of a key, with a value" },
	{ "E: 0.0 0003 002f 16\n", "line 1 is of a slot" },
	{ "E: 0.0 0003 002f -1\n", "line 1 is of a slot" },
	{ "E: 0.0 0000 0002 0\n", "line 1 is a SYN other" },
};

/* The client is told, and what it held is released; another one goes on. */
static void wrong_lines(void **state)
{
	struct stage *stage = *state;

	stage_connect(stage, &stage_rings[SPLIT_4], true);
	for (size_t i = 0; i < ARRAY_SIZE(line_cases); i++) {
		int fd = stage_connect_client(stage);
		char answer[200];
		ssize_t n;

		stage_type(fd, line_cases[i].line);
		n = recv(fd, answer, sizeof(answer) - 1, 0);
		assert_true(n > 0);
		answer[n] = '\0';
		if (!strstr(answer, line_cases[i].answer))
			fail_msg("%s: %s", line_cases[i].answer, answer);
		assert_int_equal(recv(fd, answer, sizeof(answer), 0), 0);
		close(fd);
	}
	stage_type(stage->client, KEY_LINE(001e, 1) SYN_LINE);
	stage_expect_packet(stage, EV_KEY, KEY_A, 1);
}

static void clients_come_and_go(void **state)
{
	struct stage *stage = *state;
	int fds[20];
	char byte;

	stage_connect(stage, &stage_rings[SPLIT_4], true);
	stage_type(stage->client, KEY_LINE(001e, 1) SYN_LINE);
	stage_expect_packet(stage, EV_KEY, KEY_A, 1);
	/* Another holds the same, and another key; what has no end is no packet. */
	fds[0] = stage_connect_client(stage);
	stage_type(fds[0], KEY_LINE(001e, 1) KEY_LINE(0030, 1) SYN_LINE KEY_LINE(002e, 1));
	stage_expect(stage, EV_KEY, KEY_A, 1);
	stage_expect_packet(stage, EV_KEY, KEY_B, 1);
	close(fds[0]);
	stage_expect_packet(stage, EV_KEY, KEY_B, 0);
	/* Each has a slot of its own. */
	fds[0] = stage_connect_client(stage);
	stage_type(stage->client, "E: 0.0 0003 002f 1\nE: 0.0 0003 0039 5\n" SYN_LINE);
	stage_expect(stage, EV_ABS, ABS_MT_SLOT, 1);
	stage_expect_packet(stage, EV_ABS, ABS_MT_TRACKING_ID, 5);
	stage_type(fds[0], "E: 0.0 0003 0039 6\n" SYN_LINE);
	stage_expect(stage, EV_ABS, ABS_MT_SLOT, 0);
	stage_expect_packet(stage, EV_ABS, ABS_MT_TRACKING_ID, 6);
	stage_type(stage->client, "E: 0.0 0003 0039 -1\n" SYN_LINE);
	stage_expect(stage, EV_ABS, ABS_MT_SLOT, 1);
	stage_expect_packet(stage, EV_ABS, ABS_MT_TRACKING_ID, -1);
	/* One in the same slot leaves: the contact is the other's, too. */
	fds[1] = stage_connect_client(stage);
	stage_type(fds[1], "E: 0.0 0003 0039 7\r\n" SYN_LINE);
	stage_expect(stage, EV_ABS, ABS_MT_SLOT, 0);
	stage_expect_packet(stage, EV_ABS, ABS_MT_TRACKING_ID, 7);
	close(fds[1]);
	stage_expect_silence(stage);
	close(fds[0]);
	stage_expect_packet(stage, EV_ABS, ABS_MT_TRACKING_ID, -1);
	/* The first one is there still: 15 more. */
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = stage_connect_client(stage);
	for (size_t i = 15; i < ARRAY_SIZE(fds); i++)
		assert_int_equal(recv(fds[i], &byte, 1, 0), 1);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		if (i < 15)
			assert_int_equal(recv(fds[i], &byte, 1, MSG_DONTWAIT), -1);
		close(fds[i]);
	}
	stage_type(stage->client, KEY_LINE(001e, 0) SYN_LINE);
	stage_expect_packet(stage, EV_KEY, KEY_A, 0);
	stage_expect_silence(stage);
}

static void two_at_one_socket(void **state)
{
	struct stage *stage = *state;
	struct program second;
	char path[100];
	const char *second_args[] = { "--stream", path, NULL };
	char *said;

	stage_connect(stage, &stage_rings[SPLIT_4], true);
	snprintf(path, sizeof(path), "%s/stream", stage->program.dir);
	program_init(&second, "/tmp");
	program_start(&second, "cli/vhu-input", second_args);
	assert_int_equal(program_wait(&second, WAIT_MS), 1);
	said = program_said(&second);
	assert_non_null(strstr(said, "a program listens there"));
	free(said);
	stage_type(stage->client, KEY_LINE(001e, 1) SYN_LINE);
	stage_expect_packet(stage, EV_KEY, KEY_A, 1);
	/* The file of one that was killed is no hindrance. */
	kill(stage->program.pid, SIGKILL);
	program_wait(&stage->program, WAIT_MS);
	program_start(&second, "cli/vhu-input", second_args);
	close(stage->client);
	for (unsigned i = 0; i < 1000 && access(second.socket, F_OK); i++)
		sleep_ms(10);
	stage->client = stage_connect_client(stage);
	assert_int_equal(program_end(&second), 0);
	assert_int_equal(access(path, F_OK), -1);
	program_finish(&second);
	program_start(&stage->program, "cli/vhu-input", stage_args);
	sleep_ms(100);
}

/* A recording that was given by mistake, say. */
static void a_file_is_left_alone(void **state)
{
	struct program program;
	char path[100], *said;
	const char *args[] = { "--stream", path, NULL };
	FILE *file;

	(void)state;
	program_init(&program, "/tmp");
	snprintf(path, sizeof(path), "%s/recording", program.dir);
	file = fopen(path, "we");
	assert_non_null(file);
	fclose(file);
	program_start(&program, "cli/vhu-input", args);
	assert_int_equal(program_wait(&program, WAIT_MS), 1);
	said = program_said(&program);
	assert_non_null(strstr(said, "it exists and is no socket"));
	free(said);
	assert_int_equal(unlink(path), 0);
	program_finish(&program);
}

static void a_list_of_nothing(void **state)
{
	const char *args[] = { "--list", NULL };
	struct program program;
	glob_t found;
	char *said;

	(void)state;
	if (glob("/dev/input/event*", 0, NULL, &found) == 0) {
		globfree(&found);
		skip();
	}
	program_init(&program, "/tmp");
	program_start(&program, "cli/vhu-input", args);
	assert_int_equal(program_wait(&program, WAIT_MS), 0);
	said = program_said(&program);
	assert_non_null(strstr(said, "no event device"));
	free(said);
	program_finish(&program);
}

/* Waits until the program has said the one or, where there is one, the other. */
static bool is_said(const struct program *program, const char *text, const char *or)
{
	bool found = false;

	for (unsigned i = 0; i < WAIT_MS / 10 && !found; i++) {
		char *said = program_said(program);

		found = strstr(said, text) || (or && strstr(said, or));
		free(said);
		if (!found)
			sleep_ms(10);
	}
	return found;
}

/* It is played all the same, but nobody should take it for heard. */
static void a_replay_to_nobody(void **state)
{
	struct program program;
	char path[100];
	const char *args[] = { "--replay", path, "--replay-wait", NULL };
	FILE *file;

	(void)state;
	program_init(&program, "/tmp");
	snprintf(path, sizeof(path), "%s/recording", program.dir);
	file = fopen(path, "we");
	assert_non_null(file);
	fputs("N: Test\nI: 3 1 1 1\nB: 00 03\nB: 01 00 00 00 40\n" KEY_LINE(001e, 1) SYN_LINE,
	      file);
	fclose(file);
	program_start(&program, "cli/vhu-input", args);
	assert_true(is_said(&program, "waiting for a front-end", NULL));
	kill(program.pid, SIGUSR2);
	assert_true(is_said(&program, "no guest listened", NULL));
	kill(program.pid, SIGUSR1);
	assert_true(is_said(&program, "\"unheard\":1,", NULL));
	assert_int_equal(unlink(path), 0);
	program_finish(&program);
}

static void a_seat_of_nothing(void **state)
{
	const char *args[] = { "--seat", "vhu-nowhere", NULL };
	struct program program;

	(void)state;
	program_init(&program, "/tmp");
	program_start(&program, "cli/vhu-input", args);
	assert_true(is_said(&program, "a seat without a device", "built without libinput"));
	program_finish(&program);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		STAGE_TEST(wrong_lines),
		STAGE_TEST(clients_come_and_go),
		STAGE_TEST(two_at_one_socket),
		cmocka_unit_test(a_file_is_left_alone),
		cmocka_unit_test(a_list_of_nothing),
		cmocka_unit_test(a_replay_to_nobody),
		cmocka_unit_test(a_seat_of_nothing),
	};

	signal(SIGPIPE, SIG_IGN);
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
