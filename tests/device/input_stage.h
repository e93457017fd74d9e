/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_TESTS_DEVICE_INPUT_STAGE_H
#define VHU_TESTS_DEVICE_INPUT_STAGE_H

/*
 * vhu-input as a program, with a stream as its source, a client that types there, and a front-end
 * of ours that reads. Functions without a result assert.
 */

#include <linux/input.h>
#include <linux/virtio_input.h>

#include "common/base/num.h"
#include "tests/device/harness.h"

#define STAGE_QUEUE_MAX 64

struct stage {
	struct program program;
	struct vhu_frontend frontend;
	struct vhu_driver event, status;
	bool has_drivers;
	struct vhu_guest_buffer buffers[STAGE_QUEUE_MAX];
	int client;
};

/* A ring's layout and size. */
struct stage_ring {
	uint64_t features;
	uint16_t size;
};

enum {
	SPLIT_4,
	SPLIT_64,
	PACKED_4,
	PACKED_64,
	IN_ORDER_4,
	N_STAGE_RINGS
};
extern const struct stage_ring stage_rings[N_STAGE_RINGS];
extern const char *const stage_args[];

int stage_setup(void **state);
int stage_teardown(void **state);
#define STAGE_TEST(fn) cmocka_unit_test_setup_teardown(fn, stage_setup, stage_teardown)

int stage_connect_client(const struct stage *stage);
void stage_type(int fd, const char *text);
#define SYN_LINE "E: 0.0 0000 0000 0\n"
#define KEY_LINE(code, value) "E: 0.0 0001 " #code " " #value "\n"

/* The event queue's buffer of that number, eight bytes; the back-end sees it at the next kick. */
void stage_add_buffer(struct stage *stage, uint64_t token);
/* A new front-end with both queues at work; fill: the event queue is full of buffers by then. */
void stage_connect(struct stage *stage, const struct stage_ring *ring, bool fill);

struct virtio_input_event stage_take(struct stage *stage, const struct vhu_driver_used *used);
/* The next event; its buffer goes back to the queue. */
struct input_event stage_next(struct stage *stage);
void stage_expect(struct stage *stage, uint16_t type, uint16_t code, int32_t value);
/* It, and SYN_REPORT. */
void stage_expect_packet(struct stage *stage, uint16_t type, uint16_t code, int32_t value);
/* Nothing comes within some time. */
void stage_expect_silence(struct stage *stage);

#endif
