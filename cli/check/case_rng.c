/* SPDX-License-Identifier: BSD-3-Clause */
/* Entropy devices (virtio 1.3, 5.4). */
#include <string.h>

#include "cli/check/check.h"

#define RNG (CHECK_NEEDS_REQUEST | CHECK_NEEDS_RNG)

static void buffers_of_any_length(struct check *check)
{
	check_ring(check, CHECK_FEATURES, CHECK_PROTOCOL);
	for (uint32_t len = 1; len <= 65536; len *= 4) {
		struct vhu_guest_buffer buffer = check_alloc(check, len, 1);
		uint32_t used_len = 0;

		expect_call(check, vhu_driver_run(&check->ring, &buffer, 0, 1, &used_len),
			    "a request");
		expect(check, used_len >= 1 && used_len <= len, "from one byte to the whole buffer",
		       "%u bytes for a buffer of %u", used_len, len);
	}
}

static void bytes_are_random(struct check *check)
{
	struct vhu_guest_buffer buffer;
	uint8_t first[64];
	uint32_t lens[2] = { 0 };

	check_ring(check, CHECK_FEATURES, CHECK_PROTOCOL);
	buffer = check_alloc(check, sizeof(first), 64);
	for (unsigned i = 0; i < 2; i++) {
		memset(buffer.host, 0, buffer.len);
		expect_call(check, vhu_driver_run(&check->ring, &buffer, 0, 1, &lens[i]),
			    "a request");
		if (!i)
			memcpy(first, buffer.host, sizeof(first));
	}
	if (lens[0] < 16 || lens[1] < 16)
		check_skip(check, "too few bytes at once to tell");
	expect(check, memcmp(first, buffer.host, min_u64(lens[0], lens[1])),
	       "other bytes each time", "the same bytes twice");
}

static const struct check_case cases[] = {
	{ "RNG-01", "at least one byte is placed in each buffer", "virtio 1.3, 5.4.6.2",
	  "The device MUST place one or more random bytes into the buffer, but it MAY use less "
	  "than the entire buffer length.",
	  CHECK_MUST, .needs = RNG, .fn = buffers_of_any_length },
	{ "RNG-02", "the bytes differ from request to request", "virtio 1.3, 5.4.6.2",
	  "The device MUST place one or more random bytes into the buffer",
	  CHECK_MUST, .needs = RNG, .fn = bytes_are_random },
};

const struct check_group check_rng = { "rng", "entropy devices", CHECK_GROUP(cases) };
