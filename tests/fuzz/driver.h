/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_TESTS_FUZZ_DRIVER_H
#define VHU_TESTS_FUZZ_DRIVER_H

/*
 * A whole device on the fuzzer's own thread: its rings, split, in a guest's memory of our own, and
 * a driver that puts into them what an input says.
 */

#include "common/backend/device.h"
#include "common/backend/worker.h"
#include "tests/fuzz/input.h"

#define DRIVER_QUEUES 4
#define DRIVER_SIZE 16
#define DRIVER_GPA 0x100000ull
#define DRIVER_BYTES 0x80000ull
/* Each ring has a page; behind them is what the descriptors point to. */
#define DRIVER_DATA 0x10000

struct driver {
	struct input *in;
	struct vhu_device *device;
	struct vhu_worker *worker;
	unsigned n_queues;
	uint16_t next_desc[DRIVER_QUEUES], avail_idx[DRIVER_QUEUES];
};

/* Of all runs. */
extern struct vhu_memory *driver_memory;
extern char *driver_guest;

typedef void (*driver_step)(struct driver *driver);

/* A run: steps that the input chooses, on a new device. In the end no fd of it is left. */
void driver_run(const uint8_t *data, size_t size, struct vhu_device *(*make)(void),
		unsigned n_queues, const driver_step *steps, unsigned n_steps);

void driver_reset(struct driver *driver);
/* The guest stops and goes on. What it gets then is what it had not got before. */
void driver_stop_and_go(struct driver *driver);
/* What there is to do is done; the device's own sources are waited for so long. */
void driver_turn(struct driver *driver, uint64_t timeout_ns);

/*
 * Offers a chain: so many readable bytes, of which the first len are these, and writable ones, in
 * pieces that the input chooses.
 */
void driver_offer(struct driver *driver, unsigned queue, const void *bytes, uint32_t len,
		  uint32_t readable, uint32_t writable);
/* Some bytes in the rings themselves. */
void driver_scribble(struct driver *driver);

#endif
