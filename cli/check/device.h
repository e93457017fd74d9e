/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_CLI_CHECK_DEVICE_H
#define VHU_CLI_CHECK_DEVICE_H

/*
 * What is known of a type of device: which of its feature bits we take, and a request that changes
 * nothing and that a right device serves. For a device of unknown type there is no such request,
 * and cases that need one are skipped.
 */

#include <stdbool.h>
#include <stdint.h>

#include "cli/check/facts.h"
#include "common/frontend/guest.h"

#define CHECK_BUFFERS 4

struct check_request {
	struct vhu_guest_buffer buffers[CHECK_BUFFERS]; /* readable ones first */
	unsigned n_readable, n_writable;
};

static inline unsigned check_n_buffers(const struct check_request *request)
{
	return request->n_readable + request->n_writable;
}

struct check_device {
	const char *name;
	uint64_t features; /* bits of the type that we take when they are offered */
	/* Lengths of the request's buffers; 0 stands for the device's block size. */
	uint32_t lengths[CHECK_BUFFERS];
	unsigned n_readable, n_writable;
	bool one_queue; /* the first one takes requests, and no other */
	/* NULL when it can be used, else why not. */
	const char *(*refuse)(const struct check_facts *facts);
	/* Makes the request ready to be sent, also again. */
	void (*fill)(struct check_request *request);
	/* What is wrong with the request as it came back, or NULL. */
	const char *(*judge)(const struct check_request *request, uint32_t used_len);
};

extern const struct check_device check_device_generic, check_device_blk, check_device_gpu,
	check_device_rng, check_device_sound;

/* The device by its name; "auto" looks at the facts. NULL: no such name. */
const struct check_device *check_device_of(const char *name, const struct check_facts *facts);
static inline int check_device_has_requests(const struct check_device *device)
{
	return device->fill != NULL;
}

uint32_t check_block_size(const struct check_facts *facts);

#endif
