/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/device/input_stage.h"

#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define MEMORY_BYTES (4u << 20)

enum {
	QUEUE_EVENT,
	QUEUE_STATUS
};

const struct stage_ring stage_rings[N_STAGE_RINGS] = {
	[SPLIT_4] = { 0, 4 },
	[SPLIT_64] = { 0, 64 },
	[PACKED_4] = { VHU_BIT(VHU_F_RING_PACKED), 4 },
	[PACKED_64] = { VHU_BIT(VHU_F_RING_PACKED), 64 },
	[IN_ORDER_4] = { VHU_BIT(VHU_F_IN_ORDER), 4 },
};

const char *const stage_args[] = {
	"--stream", "DIR/stream", "--kind", "keyboard,mouse,touch", "--serial", "4711", NULL,
};

int stage_setup(void **state)
{
	struct stage *stage = calloc(1, sizeof(*stage));

	assert_non_null(stage);
	program_init(&stage->program, "/tmp");
	program_start(&stage->program, "cli/vhu-input", stage_args);
	vhu_frontend_init(&stage->frontend);
	stage->frontend.timeout_ms = WAIT_MS;
	assert_true(vhu_guest_add(&stage->frontend.guest, 0, MEMORY_BYTES) >= 0);
	stage->client = -1;
	*state = stage;
	return 0;
}

int stage_teardown(void **state)
{
	struct stage *stage = *state;
	char *said;
	int status = -1;

	if (stage->client >= 0)
		close(stage->client);
	vhu_frontend_finish(&stage->frontend);
	if (stage->has_drivers) {
		vhu_driver_finish(&stage->event);
		vhu_driver_finish(&stage->status);
	}
	if (stage->program.pid && program_lives(&stage->program))
		status = program_end(&stage->program);
	said = program_said(&stage->program);
	if (strstr(said, "Sanitizer") || strstr(said, "runtime error"))
		status = -1;
	if (status)
		fprintf(stderr, "status %d\n%s", status, said);
	free(said);
	program_finish(&stage->program);
	free(stage);
	return status;
}

int stage_connect_client(const struct stage *stage)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/stream", stage->program.dir);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

void stage_type(int fd, const char *text)
{
	size_t len = strlen(text);

	assert_int_equal(send(fd, text, len, MSG_NOSIGNAL), (ssize_t)len);
}

#define SYN_LINE "E: 0.0 0000 0000 0\n"
#define KEY_LINE(code, value) "E: 0.0 0001 " #code " " #value "\n"

void stage_add_buffer(struct stage *stage, uint64_t token)
{
	struct vhu_guest_buffer *buffer = &stage->buffers[token];

	memset(buffer->host, 0xee, buffer->len);
	assert_true(vhu_driver_add(&stage->event, buffer, 0, 1, token) >= 0);
}

/* A driver as Linux has it: the event queue is full of buffers before it starts. */
static void start_queues(struct stage *stage)
{
	vhu_driver_publish(&stage->event);
	assert_int_equal(vhu_driver_start(&stage->status), 0);
	assert_int_equal(vhu_driver_start(&stage->event), 0);
}

void stage_connect(struct stage *stage, const struct stage_ring *ring, bool fill)
{
	struct vhu_frontend *frontend = &stage->frontend;

	if (stage->has_drivers) {
		vhu_driver_finish(&stage->event);
		vhu_driver_finish(&stage->status);
	}
	frontend->guest.regions[0].used_bytes = 0;
	vhu_frontend_disconnect(frontend);
	assert_int_equal(vhu_frontend_connect(frontend, stage->program.socket), 0);
	assert_int_equal(vhu_frontend_negotiate(frontend, VHU_FRONTEND_FEATURES | ring->features,
						VHU_FRONTEND_PROTOCOL_FEATURES),
			 0);
	assert_int_equal(vhu_frontend_share_memory(frontend), 0);
	assert_int_equal(vhu_driver_init(&stage->event, frontend, QUEUE_EVENT, ring->size), 0);
	assert_int_equal(vhu_driver_init(&stage->status, frontend, QUEUE_STATUS, ring->size), 0);
	stage->has_drivers = true;
	for (uint64_t i = 0; i < ring->size; i++) {
		stage->buffers[i] = vhu_guest_alloc(&frontend->guest, 8, 8);
		assert_non_null(stage->buffers[i].host);
		if (fill)
			stage_add_buffer(stage, i);
	}
	start_queues(stage);
	if (stage->client < 0)
		stage->client = stage_connect_client(stage);
}

struct virtio_input_event stage_take(struct stage *stage, const struct vhu_driver_used *used)
{
	struct virtio_input_event event;

	assert_int_equal(used->len, sizeof(event));
	memcpy(&event, stage->buffers[used->token].host, sizeof(event));
	return event;
}

/* The next event; its buffer goes back to the queue. */
struct input_event stage_next(struct stage *stage)
{
	struct virtio_input_event event;
	struct vhu_driver_used used;

	assert_int_equal(vhu_driver_wait(&stage->event, &used), 0);
	event = stage_take(stage, &used);
	stage_add_buffer(stage, used.token);
	assert_true(vhu_driver_kick(&stage->event) >= 0);
	return (struct input_event){ .type = le16toh(event.type),
				     .code = le16toh(event.code),
				     .value = (int32_t)le32toh(event.value) };
}

void stage_expect(struct stage *stage, uint16_t type, uint16_t code, int32_t value)
{
	struct input_event event = stage_next(stage);

	assert_int_equal(event.type, type);
	assert_int_equal(event.code, code);
	assert_int_equal(event.value, value);
}

void stage_expect_packet(struct stage *stage, uint16_t type, uint16_t code, int32_t value)
{
	stage_expect(stage, type, code, value);
	stage_expect(stage, EV_SYN, SYN_REPORT, 0);
}

/* Everything that a client has sent so far has been read: an answer of the program follows it. */
void stage_expect_silence(struct stage *stage)
{
	struct vhu_driver_used used;

	sleep_ms(60 * SLOWNESS);
	assert_int_equal(vhu_driver_get(&stage->event, &used), 0);
}
