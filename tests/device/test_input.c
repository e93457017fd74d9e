/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * vhu-input to a driver: what is typed comes out of the event queue, whatever the queue's size and
 * layout, and whatever drivers and front-ends do.
 */

#include <endian.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/device/input_stage.h"

/* Keys, motion and ten contacts: packets of up to 43 events, through whatever ring there is. */

#define ROUNDS 300
#define SLOTS 10

static char *write_rounds(void)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	for (unsigned i = 0; i < ROUNDS; i++) {
		fprintf(out, "E: 0.0 0001 %04x 1\n" SYN_LINE "E: 0.0 0001 %04x 0\n" SYN_LINE,
			i % 100 + 1, i % 100 + 1);
		for (unsigned j = 0; j < 5; j++)
			fprintf(out, "E: 0.0 0002 0000 %u\nE: 0.0 0002 0001 -1\n" SYN_LINE, j);
		for (unsigned slot = 0; slot < SLOTS; slot++)
			fprintf(out,
				"E: 0.0 0003 002f %u\nE: 0.0 0003 0039 %d\n"
				"E: 0.0 0003 0035 %u\nE: 0.0 0003 0036 %u\n",
				slot, i % 2 ? -1 : (int)(i * SLOTS + slot), i, i + slot);
		fprintf(out, "E: 0.0 0001 014a %u\n" SYN_LINE, !(i % 2));
	}
	fclose(out);
	return text;
}

struct tally {
	unsigned keys, touches, ids[SLOTS], packets;
	unsigned slot;
	bool torn; /* contacts have changed and BTN_TOUCH has not, in one packet */
	int64_t sums[2];
};

static void count_key(struct tally *tally, const struct input_event *event)
{
	if (event->code == BTN_TOUCH) {
		assert_int_equal(event->value, !(tally->touches % 2));
		tally->touches++;
		return;
	}
	assert_int_equal(event->code, tally->keys / 2 % 100 + 1);
	assert_int_equal(event->value, !(tally->keys % 2));
	tally->keys++;
}

static void count_event(struct tally *tally, const struct input_event *event)
{
	if (event->type == EV_KEY) {
		count_key(tally, event);
	} else if (event->type == EV_REL) {
		tally->sums[event->code] += event->value;
	} else if (event->type == EV_ABS && event->code == ABS_MT_SLOT) {
		tally->slot = (unsigned)event->value;
	} else if (event->type == EV_ABS && event->code == ABS_MT_TRACKING_ID) {
		unsigned n = tally->ids[tally->slot]++;

		assert_int_equal(event->value, n % 2 ? -1 : (int)(n * SLOTS + tally->slot));
	} else if (event->type == EV_SYN) {
		tally->packets++;
		for (unsigned i = 0; i < SLOTS; i++)
			assert_int_equal(tally->ids[i], tally->touches);
	}
}

/* The guest may hold up the client. Returns the process that writes. */
static pid_t send_in_background(struct stage *stage, const char *text)
{
	size_t len = strlen(text);
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid)
		return pid;
	while (len) {
		ssize_t n = send(stage->client, text, len, MSG_NOSIGNAL);

		if (n <= 0)
			_exit(1);
		text += n;
		len -= (size_t)n;
	}
	_exit(0);
}

static void nothing_is_lost(void **state)
{
	struct stage *stage = *state;
	char *text = write_rounds();

	for (size_t v = 0; v < N_STAGE_RINGS; v++) {
		struct tally tally = { 0 };
		unsigned n = 0;
		int status;
		pid_t pid;

		stage_connect(stage, &stage_rings[v], true);
		pid = send_in_background(stage, text);
		while (tally.touches < ROUNDS || tally.ids[SLOTS - 1] < ROUNDS) {
			struct input_event event = stage_next(stage);

			count_event(&tally, &event);
			/* A slow reader now and then: motion is merged. */
			if (n++ % 512 == 0)
				sleep_ms(20);
		}
		stage_expect(stage, EV_SYN, SYN_REPORT, 0);
		assert_int_equal(tally.keys, 2 * ROUNDS);
		assert_int_equal(tally.sums[REL_X], 10 * ROUNDS);
		assert_int_equal(tally.sums[REL_Y], -5 * ROUNDS);
		assert_true(tally.packets <= 8 * ROUNDS);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
	}
	free(text);
}

/* A guest that gives no buffers holds up the client, and nothing grows; then nothing is lost. */
static void a_guest_without_buffers(void **state)
{
	struct stage *stage = *state;
	char *text = write_rounds();
	struct tally tally = { 0 };
	unsigned rss_kib;
	pid_t pid;

	stage_connect(stage, &stage_rings[PACKED_4], false);
	sleep_ms(50);
	rss_kib = program_rss_kib(&stage->program);
	pid = send_in_background(stage, text);
	sleep_ms(200);
	assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
	assert_true(program_rss_kib(&stage->program) < rss_kib + 1024 * SLOWNESS);
	for (uint64_t i = 0; i < 4; i++)
		stage_add_buffer(stage, i);
	assert_true(vhu_driver_kick(&stage->event) >= 0);
	while (tally.touches < ROUNDS || tally.ids[SLOTS - 1] < ROUNDS) {
		struct input_event event = stage_next(stage);

		count_event(&tally, &event);
	}
	assert_int_equal(tally.keys, 2 * ROUNDS);
	assert_int_equal(tally.sums[REL_X], 10 * ROUNDS);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	free(text);
}

/* Whoever holds a key when the guest stops does not when it goes on, and then does again. */
static void keys_are_released_at_a_stop(void **state)
{
	struct stage *stage = *state;

	for (size_t v = 0; v < N_STAGE_RINGS; v++) {
		struct vhu_driver_used used;

		stage_connect(stage, &stage_rings[v], true);
		stage_type(stage->client, KEY_LINE(001e, 1) KEY_LINE(002a, 1) SYN_LINE);
		stage_expect(stage, EV_KEY, KEY_A, 1);
		stage_expect_packet(stage, EV_KEY, KEY_LEFTSHIFT, 1);
		assert_int_equal(vhu_driver_stop(&stage->event), 0);
		for (unsigned i = 0; i < 3; i++) {
			static const uint16_t codes[] = { KEY_A, KEY_LEFTSHIFT, SYN_REPORT };
			struct virtio_input_event event;

			assert_int_equal(vhu_driver_get(&stage->event, &used), 1);
			event = stage_take(stage, &used);
			assert_int_equal(le16toh(event.code), codes[i]);
			assert_int_equal(le32toh(event.value), 0);
			stage_add_buffer(stage, used.token);
		}
		assert_int_equal(vhu_driver_get(&stage->event, &used), 0);
		/* What comes meanwhile is not for the guest. */
		stage_type(stage->client, KEY_LINE(0030, 1) SYN_LINE KEY_LINE(0030, 0) SYN_LINE);
		sleep_ms(50);
		assert_int_equal(vhu_driver_start(&stage->event), 0);
		stage_expect(stage, EV_KEY, KEY_A, 1);
		stage_expect_packet(stage, EV_KEY, KEY_LEFTSHIFT, 1);
		stage_type(stage->client, KEY_LINE(001e, 0) KEY_LINE(002a, 0) SYN_LINE);
		stage_expect(stage, EV_KEY, KEY_A, 0);
		stage_expect_packet(stage, EV_KEY, KEY_LEFTSHIFT, 0);
		stage_expect_silence(stage);
	}
}

/* Two buffers of four are free, and three events to be written: the rest follows. */
static void a_stop_with_too_few_buffers(void **state)
{
	struct stage *stage = *state;
	struct vhu_driver_used used;
	uint64_t tokens[4];

	stage_connect(stage, &stage_rings[SPLIT_4], true);
	stage_type(stage->client, KEY_LINE(001e, 1) KEY_LINE(002a, 1) SYN_LINE);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(vhu_driver_wait(&stage->event, &used), 0);
		tokens[i] = used.token;
	}
	assert_int_equal(vhu_driver_stop(&stage->event), 0);
	assert_int_equal(vhu_driver_get(&stage->event, &used), 1);
	tokens[3] = used.token;
	assert_int_equal(le16toh(stage_take(stage, &used).code), KEY_A);
	assert_int_equal(vhu_driver_get(&stage->event, &used), 0);
	stage_type(stage->client, KEY_LINE(001e, 0) KEY_LINE(002a, 0) SYN_LINE);
	sleep_ms(50);
	for (unsigned i = 0; i < 4; i++)
		stage_add_buffer(stage, tokens[i]);
	vhu_driver_publish(&stage->event);
	assert_int_equal(vhu_driver_start(&stage->event), 0);
	stage_expect_packet(stage, EV_KEY, KEY_LEFTSHIFT, 0);
	stage_expect_silence(stage);
}

/* A driver that begins is told of what is held, whatever one before it was told. */
static void a_new_driver_hears_what_is_held(void **state)
{
	struct stage *stage = *state;

	stage_connect(stage, &stage_rings[SPLIT_4], true);
	stage_type(stage->client, KEY_LINE(001e, 1) SYN_LINE);
	stage_expect_packet(stage, EV_KEY, KEY_A, 1);
	for (size_t v = 0; v < N_STAGE_RINGS; v++) {
		stage_connect(stage, &stage_rings[v], true);
		stage_expect_packet(stage, EV_KEY, KEY_A, 1);
		assert_int_equal(vhu_frontend_tell(&stage->frontend, VHU_RESET_DEVICE), 0);
	}
	close(stage->client);
	stage->client = -1;
	stage_connect(stage, &stage_rings[SPLIT_4], true);
	stage_expect_silence(stage);
}

/* Of a screen with ten slots, a key and no more; what else is played is not there. */
static const char too_much[] =
	"N: Screen\nI: 3 1 1 1\nB: 00 0b\nB: 01 00 00 00 40\nB: 03 00 00 00 00 00 80 20 02\n"
	"A: 2f 0 9 0 0 0\nA: 35 0 99 0 0 0\nA: 39 0 99 0 0 0\nS: 00 1\n"
	KEY_LINE(001e, 1) KEY_LINE(0030, 1)
	"E: 0.0 0003 0000 44\nE: 0.0 0003 002f 1\nE: 0.0 0003 0039 5\nE: 0.0 0003 003a 55\n"
	"E: 0.0 0003 002f 20\nE: 0.0 0003 0039 6\nE: 0.0 0003 0035 60\n" SYN_LINE
	"E: 9999.0 0001 001e 0\nE: 9999.0 0000 0000 0\n";

static void play_too_much(struct stage *stage)
{
	char path[100];
	const char *args[] = { "--replay", path, NULL };
	FILE *file;

	snprintf(path, sizeof(path), "%s/recording", stage->program.dir);
	file = fopen(path, "we");
	assert_non_null(file);
	assert_true(fputs(too_much, file) >= 0);
	fclose(file);
	/* No program is ended before it has begun. */
	stage_connect(stage, &stage_rings[SPLIT_64], true);
	assert_int_equal(program_end(&stage->program), 0);
	program_start(&stage->program, "cli/vhu-input", args);
	close(stage->client);
	stage->client = open("/dev/null", O_RDONLY | O_CLOEXEC); /* nobody types */
	stage_connect(stage, &stage_rings[SPLIT_64], true);
	unlink(path);
}

/* A contact in slot 20 of 10 would be one in whatever slot the driver had last. */
static void no_repair_of_what_is_not_there(void **state)
{
	struct stage *stage = *state;
	struct vhu_driver_used used;

	play_too_much(stage);
	stage_expect(stage, EV_KEY, KEY_A, 1);
	stage_expect(stage, EV_ABS, ABS_MT_SLOT, 1);
	stage_expect_packet(stage, EV_ABS, ABS_MT_TRACKING_ID, 5);
	assert_int_equal(vhu_driver_stop(&stage->event), 0);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(vhu_driver_get(&stage->event, &used), 1);
	assert_int_equal(vhu_driver_get(&stage->event, &used), 0);
	assert_int_equal(vhu_driver_start(&stage->event), 0);
	stage_expect(stage, EV_ABS, ABS_MT_TRACKING_ID, 5);
	stage_expect_packet(stage, EV_KEY, KEY_A, 1);
	stage_expect_silence(stage);
}

/* The config space (virtio 1.3, 5.8.4), as QEMU goes about it: all bytes, for each one changed. */

static void get_config(struct stage *stage, struct virtio_input_config *config)
{
	assert_int_equal(vhu_frontend_get_config(&stage->frontend, 0, config, sizeof(*config)), 0);
}

static void ask_config(struct stage *stage, struct virtio_input_config *config, uint8_t select,
		       uint8_t subsel)
{
	config->select = select;
	assert_int_equal(vhu_frontend_set_config(&stage->frontend, 0, 0, config, sizeof(*config)),
			 0);
	config->subsel = subsel;
	assert_int_equal(vhu_frontend_set_config(&stage->frontend, 0, 0, config, sizeof(*config)),
			 0);
	get_config(stage, config);
	assert_int_equal(config->select, select);
	assert_int_equal(config->subsel, subsel);
}

/* Any part of it is as it is in the whole, and there is nothing behind it. */
static void read_in_parts(struct stage *stage, const struct virtio_input_config *whole)
{
	uint8_t bytes[sizeof(*whole) + 40] = { 0 }, part[sizeof(bytes)];

	memcpy(bytes, whole, sizeof(*whole));
	for (uint32_t at = 0; at < sizeof(bytes); at++) {
		uint32_t size = 1 + at * 7 % (uint32_t)(sizeof(bytes) - at);

		memset(part, 0xee, sizeof(part));
		assert_int_equal(vhu_frontend_get_config(&stage->frontend, at, part, size), 0);
		assert_memory_equal(part, bytes + at, size);
	}
}

/* A driver's own accesses, byte by byte, in any order. */
static void write_in_parts(struct stage *stage)
{
	const uint8_t name = VIRTIO_INPUT_CFG_ID_NAME, serial = VIRTIO_INPUT_CFG_ID_SERIAL;
	const uint8_t both[] = { VIRTIO_INPUT_CFG_ABS_INFO, ABS_MT_SLOT };
	const uint8_t one = 1, zero = 0;
	struct vhu_frontend *frontend = &stage->frontend;
	struct virtio_input_config config;

	assert_int_equal(vhu_frontend_set_config(frontend, 0, 0, both, 2), 0);
	get_config(stage, &config);
	assert_int_equal(config.size, 20);
	assert_int_equal(le32toh(config.u.abs.max), 15);
	read_in_parts(stage, &config);
	/* There is no name 47, nor 1. */
	assert_int_equal(vhu_frontend_set_config(frontend, 0, 0, &name, 1), 0);
	get_config(stage, &config);
	assert_int_equal(config.size, 0);
	assert_int_equal(vhu_frontend_set_config(frontend, 1, 0, &one, 1), 0);
	get_config(stage, &config);
	assert_int_equal(config.size, 0);
	assert_int_equal(vhu_frontend_set_config(frontend, 1, 0, &zero, 1), 0);
	get_config(stage, &config);
	assert_int_equal(config.size, strlen("vhu keyboard mouse touch"));
	read_in_parts(stage, &config);
	assert_int_equal(vhu_frontend_set_config(frontend, 0, 0, &serial, 1), 0);
	get_config(stage, &config);
	assert_int_equal(config.size, 4);
	read_in_parts(stage, &config);
}

static void config_space(void **state)
{
	struct stage *stage = *state;
	struct virtio_input_config config;

	stage_connect(stage, &stage_rings[SPLIT_4], true);
	get_config(stage, &config);
	assert_int_equal(config.size, 0);
	ask_config(stage, &config, VIRTIO_INPUT_CFG_ID_NAME, 0);
	assert_memory_equal(config.u.string, "vhu keyboard mouse touch", config.size);
	assert_int_equal(config.size, strlen("vhu keyboard mouse touch"));
	ask_config(stage, &config, VIRTIO_INPUT_CFG_ID_SERIAL, 0);
	assert_int_equal(config.size, 4);
	assert_memory_equal(config.u.string, "4711", 4);
	ask_config(stage, &config, VIRTIO_INPUT_CFG_ABS_INFO, ABS_MT_SLOT);
	assert_int_equal(config.size, 20);
	for (unsigned i = 0; i < 256; i++) {
		ask_config(stage, &config, (uint8_t)i, (uint8_t)(i * 7));
		ask_config(stage, &config, VIRTIO_INPUT_CFG_EV_BITS, (uint8_t)i);
		ask_config(stage, &config, VIRTIO_INPUT_CFG_ABS_INFO, (uint8_t)i);
	}
	write_in_parts(stage);
	get_config(stage, &config);
	/* A reset that the front-end's copy does not know of. */
	ask_config(stage, &config, VIRTIO_INPUT_CFG_ID_NAME, 0);
	assert_int_equal(vhu_frontend_tell(&stage->frontend, VHU_RESET_DEVICE), 0);
	ask_config(stage, &config, VIRTIO_INPUT_CFG_ID_SERIAL, 0);
	assert_int_equal(config.size, 4);
	/* Bytes that are not the driver's. */
	for (unsigned at = 2; at < sizeof(config); at += 19) {
		struct virtio_input_config wrong = config;

		((uint8_t *)&wrong)[at] ^= 1;
		expect_refused(&stage->frontend, vhu_frontend_set_config(&stage->frontend, 0, 0,
									 &wrong, sizeof(wrong)));
	}
	get_config(stage, &config);
	assert_int_equal(config.select, VIRTIO_INPUT_CFG_ID_SERIAL);
}

static void run_status(struct stage *stage, uint16_t type, uint16_t code, uint32_t len)
{
	struct virtio_input_event event = { htole16(type), htole16(code), htole32(1) };
	struct vhu_guest_buffer buffer = vhu_guest_alloc(&stage->frontend.guest, 64, 8);
	uint32_t written;

	assert_non_null(buffer.host);
	memcpy(buffer.host, &event, sizeof(event));
	buffer.len = len;
	assert_int_equal(vhu_driver_run(&stage->status, &buffer, 1, 0, &written), 0);
	assert_int_equal(written, 0);
}

/* Every buffer comes back, whatever is in it. */
static void status_queue(void **state)
{
	struct stage *stage = *state;

	for (size_t v = 0; v < N_STAGE_RINGS; v++) {
		stage_connect(stage, &stage_rings[v], true);
		for (unsigned type = 0; type <= EV_MAX + 1; type++)
			run_status(stage, (uint16_t)type, (uint16_t)(type * 257), 8);
		run_status(stage, EV_LED, LED_CAPSL, 8);
		run_status(stage, EV_MSC, MSC_SCAN, 8);
		run_status(stage, EV_REP, REP_DELAY, 8);
		run_status(stage, UINT16_MAX, UINT16_MAX, 8);
		run_status(stage, EV_LED, LED_CAPSL, 1);
		run_status(stage, EV_LED, LED_CAPSL, 7);
		run_status(stage, EV_LED, LED_CAPSL, 64);
		stage_expect_silence(stage);
	}
}

/* Buffers that no event fits come back empty, and the events wait for those that are right. */
static void buffers_of_any_size(void **state)
{
	struct stage *stage = *state;
	struct vhu_driver_used used;

	for (size_t v = 0; v < N_STAGE_RINGS; v++) {
		struct vhu_guest_buffer large, small;

		stage_connect(stage, &stage_rings[v], false);
		large = vhu_guest_alloc(&stage->frontend.guest, 100, 1);
		small = large;
		small.len = 7;
		assert_true(vhu_driver_add(&stage->event, &small, 0, 1, 0) >= 0);
		assert_true(vhu_driver_add(&stage->event, &small, 1, 0, 1) >= 0);
		assert_true(vhu_driver_add(&stage->event, &large, 0, 1, 2) >= 0);
		assert_true(vhu_driver_kick(&stage->event) >= 0);
		stage_expect_silence(stage);
		stage_type(stage->client, KEY_LINE(001e, 1) SYN_LINE);
		for (unsigned i = 0; i < 3; i++) {
			assert_int_equal(vhu_driver_wait(&stage->event, &used), 0);
			assert_int_equal(used.token, i);
			assert_int_equal(used.len, i < 2 ? 0 : 8);
		}
		assert_int_equal(vhu_driver_stop(&stage->event), 0);
		close(stage->client);
		stage->client = -1;
	}
}

/* Nothing happens: nothing is done. */
static void idle(void **state)
{
	struct stage *stage = *state;
	unsigned cpu_ms;

	stage_connect(stage, &stage_rings[SPLIT_64], true);
	stage_type(stage->client, KEY_LINE(001e, 1) SYN_LINE);
	stage_expect_packet(stage, EV_KEY, KEY_A, 1);
	cpu_ms = program_cpu_ms(&stage->program);
	sleep_ms(500);
	assert_true(program_cpu_ms(&stage->program) - cpu_ms <= 10);
}

static void statistics(void **state)
{
	struct stage *stage = *state;
	char *said = NULL;

	stage_connect(stage, &stage_rings[SPLIT_64], true);
	stage_type(stage->client, KEY_LINE(001e, 1) SYN_LINE KEY_LINE(001e, 0) SYN_LINE);
	stage_expect_packet(stage, EV_KEY, KEY_A, 1);
	stage_expect_packet(stage, EV_KEY, KEY_A, 0);
	run_status(stage, EV_LED, LED_CAPSL, 8);
	kill(stage->program.pid, SIGUSR1);
	for (unsigned i = 0; i < 500 && !(said && strstr(said, "log2_us")); i++) {
		free(said);
		sleep_ms(10);
		said = program_said(&stage->program);
	}
	assert_non_null(strstr(said, "\"packets\":2,\"events\":4,"));
	assert_non_null(strstr(said, "\"status_events\":1"));
	assert_non_null(strstr(said, "\"p99_us\":"));
	free(said);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		STAGE_TEST(nothing_is_lost),
		STAGE_TEST(a_guest_without_buffers),
		STAGE_TEST(keys_are_released_at_a_stop),
		STAGE_TEST(a_stop_with_too_few_buffers),
		STAGE_TEST(a_new_driver_hears_what_is_held),
		STAGE_TEST(no_repair_of_what_is_not_there),
		STAGE_TEST(config_space),
		STAGE_TEST(status_queue),
		STAGE_TEST(buffers_of_any_size),
		STAGE_TEST(idle),
		STAGE_TEST(statistics),
	};

	signal(SIGPIPE, SIG_IGN);
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
