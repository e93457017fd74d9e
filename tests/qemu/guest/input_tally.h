/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_TESTS_QEMU_GUEST_INPUT_TALLY_H
#define VHU_TESTS_QEMU_GUEST_INPUT_TALLY_H

/*
 * What events add up to, on both ends of the way: where they are made and where they arrive. Two
 * tallies that are written alike have the same transitions of keys, switches and contacts in the
 * same order, the same sums of motion, and end in the same state.
 */

#include <stdbool.h>
#include <stdint.h>

#include <linux/input.h>

#define TALLY_SLOTS 16
#define TALLY_AXIS_MAX 4095 /* of every axis that is made; in a whole packet x + y is this */

struct tally_line {
	uint64_t n, hash;
};

struct tally {
	struct tally_line keys, switches, contacts;
	int64_t rel[REL_CNT];
	int32_t abs[ABS_CNT];
	bool key[KEY_CNT], sw[SW_CNT];
	unsigned slot;
	bool contact[TALLY_SLOTS];
	int32_t x[TALLY_SLOTS], y[TALLY_SLOTS];

	/* Not of what is compared. */
	uint64_t events, packets, torn, longest;
	uint64_t most_released; /* keys and contacts, by one packet */
	uint64_t released, in_packet;
	int64_t packet_rel[REL_CNT];
};

void tally_event(struct tally *tally, unsigned type, unsigned code, int32_t value);
/* All but the state. */
void tally_forget(struct tally *tally);
/* To the file, at once and as a whole. */
void tally_write(const struct tally *tally, const char *path);

#endif
