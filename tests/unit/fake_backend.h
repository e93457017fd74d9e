/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_UNIT_FAKE_BACKEND_H
#define TESTS_UNIT_FAKE_BACKEND_H

/*
 * A small back-end in a thread of the test, with one queue. It copies the readable bytes of a chain
 * into the writable ones. Shares no code with the real one.
 */

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <linux/virtio_ring.h>

#include "common/wire/payload.h"

#define FAKE_REGIONS 4
#define FAKE_QUEUES 3

/* First bytes of a chain after which the ring is not served any more. */
#define FAKE_HANG 'H'
#define FAKE_DIE 'D'   /* the connection is closed */
#define FAKE_BREAK 'B' /* the err fd is signalled */

struct fake_backend {
	pthread_t thread;
	int fd;
	uint64_t offered_features, features;
	struct vhu_wire_region regions[FAKE_REGIONS];
	char *hosts[FAKE_REGIONS];
	unsigned n_regions;
	struct vring vring;
	uint16_t avail_idx;
	int kick_fd, call_fd, err_fd, channel_fd;
	bool enabled;
	uint64_t channel_reply;
};

/*
 * Takes fd, a connected socket, and serves it until its end. What it answers: every bit of
 * VHU_FRONTEND_FEATURES and VHU_FRONTEND_PROTOCOL_FEATURES; GET_CONFIG: bytes of 0x77, but no bytes
 * when the offset is not 0; SET_CONFIG: no; CHECK_DEVICE_STATE: as if it were GET_FEATURES. A
 * SET_STATUS with DRIVER_OK makes it send CONFIG_CHANGE_MSG and wait for the ack, which GET_STATUS
 * then tells. An unknown request ends it.
 */
void fake_backend_start(struct fake_backend *fake, int fd);
void fake_backend_join(struct fake_backend *fake);

#endif
