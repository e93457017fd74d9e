/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_TESTS_UNIT_SOUND_RIG_H
#define VHU_TESTS_UNIT_SOUND_RIG_H

/* A stream and its driver, and a host that does what we want. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <stdatomic.h>

#include "common/base/fd.h"
#include "common/base/num.h"
#include "devices/sound/clock.h"
#include "devices/sound/stream.h"

#define RATE 48000
#define PERIOD 480
#define MESSAGES 8

/* The host. What it is to do is said by the test; open and close run in a thread of the port's. */
extern struct fake_host {
	atomic_int open_result;
	atomic_uint open_ms, opens, closes, resets, starts;
	atomic_int fails; /* what each call gives, or 0 */
	bool stands, has_no_clock;
	int64_t written; /* since the last reset */
	int64_t all;	 /* since ever */
	uint64_t started_ns;
} fake;

/* A device with one stream, and its driver. */
struct rig {
	struct vhu_loop *loop;
	struct vhu_sound_stream_sink sink;
	struct vhu_sound_stream stream;
	bool wanted; /* a pass of the queue */
	uint32_t answer;
	unsigned xruns, gone;
	bool is_there;
	uint64_t done; /* frames that came back */
	bool plays;    /* what comes back is queued again */
	bool polled;   /* but not before the queue is looked at */
	struct vhu_sound_message *later;
	struct vhu_sound_message messages[MESSAGES];
	struct iovec iov;
	char frames[4 * PERIOD];
};

int rig_setup(void **state);
int rig_teardown(void **state);
#define RIG_TEST(fn) cmocka_unit_test_setup_teardown(fn, rig_setup, rig_teardown)

/* One more message of a period. */
void rig_queue(struct rig *rig, struct vhu_sound_message *message);
/* The device's worker, for so long. */
void rig_run(struct rig *rig, unsigned ms);
uint32_t rig_set_params(struct rig *rig, uint8_t channels);
uint32_t rig_command(struct rig *rig, enum vhu_sound_command which);
/* Returns the answer to PREPARE, which comes within so long. */
uint32_t rig_prepare(struct rig *rig, unsigned ms);
/* It plays, and what comes back is queued again. */
void rig_begin(struct rig *rig);
/*
 * Frames have come back as by the clock: never more than so many ahead of it. How far behind it
 * they are is also a matter of what else the machine does.
 */
void rig_expect_pace(struct rig *rig, unsigned ms, unsigned off);

#endif
