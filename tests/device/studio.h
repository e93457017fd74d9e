/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_TESTS_DEVICE_SOUND_STUDIO_H
#define VHU_TESTS_DEVICE_SOUND_STUDIO_H

/*
 * vhu-sound as a program, and a driver of ours that plays and records. Functions without a result
 * assert.
 */

#include <endian.h>

#include "common/base/num.h"
#include "devices/sound/protocol.h"
#include "tests/device/harness.h"

/* Messages that may be under way, and the bytes that each has room for. */
#define STUDIO_MESSAGES 64
#define STUDIO_DATA_BYTES 16384

/* The streams of a usual studio. */
enum {
	TO_WAV,
	FROM_WAV,
	TO_NULL,
	FROM_NULL,
	N_STREAMS
};

/* DIR/in.wav: s16, stereo, 48 kHz, a ramp. */
#define INPUT_FRAMES 12000

struct studio_message {
	struct vhu_guest_buffer header, data, status;
	bool under_way;
	uint32_t used_len;
};

struct studio {
	struct program program;
	struct vhu_frontend frontend;
	uint64_t refused; /* features that are not taken */
	struct vhu_driver control, event, tx, rx;
	bool has_drivers;
	struct vhu_guest_buffer request, response;
	struct vhu_guest_buffer events[8];
	struct studio_message messages[STUDIO_MESSAGES];
};

/* A folder with in.wav, a front-end; the program is not there yet. */
int studio_setup(void **state);
int studio_teardown(void **state);
#define STUDIO_TEST(fn) cmocka_unit_test_setup_teardown(fn, studio_setup, studio_teardown)
/* args, NULL-terminated: "DIR" in one stands for the folder. NULL: the usual streams. */
void studio_start(struct studio *studio, const char *const *args);
/* A new front-end with rings of that layout at work. */
void studio_connect(struct studio *studio, uint64_t ring_features);
/* Both, as most tests have it. */
void studio_begin(struct studio *studio);
/* A file of the folder, to be freed. */
void *studio_file(const struct studio *studio, const char *name, size_t *ret_bytes);

/*
 * A request and its answer: the status, or 0 when there was no room for it. payload_bytes is the
 * room behind the status.
 */
uint32_t studio_request(struct studio *studio, const void *request, size_t bytes,
			size_t payload_bytes);
/* Behind the status of the last answer. */
const void *studio_payload(const struct studio *studio);
uint32_t studio_query(struct studio *studio, uint32_t code, uint32_t start, uint32_t count,
		      uint32_t size, size_t room);
uint32_t studio_pcm(struct studio *studio, uint32_t code, uint32_t stream);
/* CTL_INFO and the like: nothing but the header, and so much room. */
uint32_t studio_control(struct studio *studio, uint32_t code, uint32_t id, size_t room);
/* The first value of a control; bytes of it and those behind it are sent. */
uint32_t studio_control_set(struct studio *studio, uint32_t id, uint32_t value, size_t bytes);
uint32_t studio_control_get(struct studio *studio, uint32_t id);
/* s16, 48 kHz, stereo: periods of so many frames, a buffer of periods. */
struct virtio_snd_pcm_set_params studio_params(uint32_t stream, uint32_t period_frames,
					       uint32_t periods);
uint32_t studio_set_params(struct studio *studio, const struct virtio_snd_pcm_set_params *params);
/* SET_PARAMS and PREPARE, with features. */
void studio_prepare(struct studio *studio, uint32_t stream, uint32_t period_frames,
		    uint32_t features);
void studio_expect_ok(uint32_t status);

/* Queues message token with bytes of the frames that follow number first: a ramp. No kick. */
void studio_queue(struct studio *studio, uint32_t stream, unsigned token, uint32_t first,
		  uint32_t bytes);
void studio_kick(struct studio *studio);
/* Takes what has been used on the tx or rx ring, without waiting. How many. */
unsigned studio_collect(struct studio *studio, bool capture);
/* Waits for one message; returns its token. */
unsigned studio_wait(struct studio *studio, bool capture);
uint32_t studio_status(const struct studio *studio, unsigned token);
/* The next event, or false after so long. */
bool studio_next_event(struct studio *studio, unsigned timeout_ms,
		       struct virtio_snd_event *ret_event);

/* Frame i of the ramp: left and right, s16. */
static inline uint32_t ramp(uint32_t i)
{
	return (i & 0xffff) | (~i & 0xffff) << 16;
}

#endif
