/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_CLI_CHECK_FACTS_H
#define VHU_CLI_CHECK_FACTS_H

/* What is known of the back-end before the first case. */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "common/wire/payload.h"
#include "common/wire/protocol.h"

struct check_facts {
	uint64_t features;
	uint64_t protocol_features; /* 0 without VHU_F_PROTOCOL_FEATURES */
	uint64_t n_queues;	    /* 1 when it does not say */
	uint64_t n_memory_slots;    /* 0 when it does not say */
	uint32_t config_bytes;	    /* how many of them it gave, at most VHU_CONFIG_MAX */
	uint8_t config[VHU_CONFIG_MAX];
	bool persistent; /* it outlives its connection */
};

/* "RING_PACKED", or "bit 57" (then in buf). device: whose bits 0 to 23 and 50 on are. */
const char *check_feature_name(const char *device, unsigned bit, char buf[16]);
const char *check_protocol_feature_name(unsigned bit, char buf[16]);
/* "GET_FEATURES", or "request 99". */
const char *check_request_name(uint32_t request, char buf[24]);

#endif
