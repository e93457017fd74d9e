/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_TESTS_FUZZ_INPUT_H
#define VHU_TESTS_FUZZ_INPUT_H

/*
 * What a fuzzer gives, read as decisions: numbers, choices among what matters, pieces of memory.
 * When it is used up everything is 0, so that each input is a whole run.
 */

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct input {
	const uint8_t *at;
	size_t left;
};

/* What must hold whatever comes; libFuzzer keeps the input that broke it. */
#define expect(condition) \
	do { \
		if (!(condition)) { \
			fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, \
				#condition); \
			abort(); \
		} \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline size_t input_bytes(struct input *in, void *buf, size_t len)
{
	size_t n = len < in->left ? len : in->left;

	memset(buf, 0, len);
	if (n)
		memcpy(buf, in->at, n);
	in->at += n;
	in->left -= n;
	return n;
}

static inline uint64_t input_number(struct input *in, size_t bytes)
{
	uint64_t value = 0;

	input_bytes(in, &value, bytes);
	return le64toh(value);
}

static inline uint8_t input_u8(struct input *in)
{
	return (uint8_t)input_number(in, 1);
}

static inline uint16_t input_u16(struct input *in)
{
	return (uint16_t)input_number(in, 2);
}

/* The lowest free fd: it is higher after a run that has left one open. */
static inline int lowest_fd(void)
{
	int fd = dup(STDERR_FILENO);

	expect(fd >= 0);
	close(fd);
	return fd;
}

/* 0 to n - 1; n is small. */
static inline unsigned input_below(struct input *in, unsigned n)
{
	return n ? input_u8(in) % n : 0;
}

/* A number of 64 bits as peers use them: small, or near a power of two, or any. */
static inline uint64_t input_u64(struct input *in)
{
	uint8_t kind = input_u8(in);

	if (kind < 96)
		return kind;
	if (kind < 192)
		return (1ull << (kind % 64)) - 1 + input_below(in, 3);
	return input_number(in, 8);
}

#endif
