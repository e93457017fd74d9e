/* SPDX-License-Identifier: BSD-3-Clause */
/* What a disk saves and loads, byte by byte. */

#include <endian.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/backend/slots.h"
#include "common/base/num.h"
#include "common/base/stats.h"
#include "devices/blk/blk.h"
#include "devices/blk/stats.h"
#include "tests/unit/capture.h"

#define MAX_QUEUES 8
#define VERSION 1

/* As it stands in the bytes. */
struct saved {
	uint32_t writeback, n_queues, n_counters, zero;
	uint64_t counts[MAX_QUEUES][VHU_BLK_COUNTERS];
};
#define BYTES(n_queues) offsetof(struct saved, counts[n_queues])

static struct vhu_device *make(unsigned n_queues)
{
	struct vhu_blk_options options = vhu_blk_defaults;
	struct vhu_device *device;

	options.engine = "null";
	options.size = 1 << 20;
	options.num_queues = n_queues;
	assert_int_equal(vhu_blk_new(&options, &device), 0);
	return device;
}

/* Counters that tell where they come from. */
static struct saved make_state(unsigned n_queues)
{
	struct saved saved = { 0, htole32(n_queues), htole32(VHU_BLK_COUNTERS), 0, { { 0 } } };

	for (unsigned q = 0; q < n_queues; q++)
		for (uint64_t i = 0; i < VHU_BLK_COUNTERS; i++)
			saved.counts[q][i] = htole64(1000 * (q + 1) + i);
	return saved;
}

static int load(struct vhu_device *device, const void *bytes, size_t len)
{
	return vhu_device_load(device, VERSION, bytes, len);
}

static struct saved state_of(struct vhu_device *device, unsigned n_queues)
{
	struct saved saved = { 0 };
	void *bytes;
	size_t len;

	assert_int_equal(vhu_device_save(device, &bytes, &len), 0);
	assert_int_equal(len, BYTES(n_queues));
	memcpy(&saved, bytes, len);
	free(bytes);
	return saved;
}

static uint64_t count(const struct saved *saved, unsigned queue, unsigned i)
{
	return le64toh(saved->counts[queue][i]);
}

static void all_counters_have_a_place(void **state)
{
	(void)state;
	assert_int_equal(VHU_BLK_COUNTERS * sizeof(struct vhu_counter),
			 offsetof(struct vhu_blk_stats, log_limit));
}

static void the_state_replaces_what_was_there(void **state)
{
	struct saved saved = make_state(3), other = make_state(3), now;
	struct vhu_device *device = make(3);
	struct capture capture;

	(void)state;
	other.counts[1][9] = htole64(5);
	assert_int_equal(load(device, &other, BYTES(3)), 0);
	saved.writeback = htole32(1);
	assert_int_equal(load(device, &saved, BYTES(3)), 0);
	now = state_of(device, 3);
	assert_memory_equal(&now, &saved, BYTES(3));
	capture_begin(&capture, STDERR_FILENO);
	vhu_blk_print_stats(device, stderr);
	assert_non_null(strstr(capture_end(&capture),
			       "{\"queue\": 1, \"reads\": 2000, \"read_bytes\": 2001, "
			       "\"writes\": 2002, \"written_bytes\": 2003, \"flushes\": 2004, "
			       "\"discards\": 2005, \"zeroes\": 2006, \"erases\": 2007, "
			       "\"others\": 2008, \"errors\": 2009}"));
	vhu_device_unref(device);
}

static void other_numbers_of_queues(void **state)
{
	struct vhu_device *fewer = make(2), *more = make(7);
	struct saved saved = make_state(5), full = make_state(7), now;

	(void)state;
	assert_int_equal(load(more, &full, BYTES(7)), 0);
	assert_int_equal(load(fewer, &saved, BYTES(5)), 0);
	assert_int_equal(load(more, &saved, BYTES(5)), 0);
	now = state_of(fewer, 2);
	assert_int_equal(count(&now, 0, 2), 1002 + 3002 + 5002);
	assert_int_equal(count(&now, 1, 2), 2002 + 4002);
	now = state_of(more, 7);
	assert_int_equal(count(&now, 4, 2), 5002);
	assert_int_equal(count(&now, 5, 2), 0);
	assert_int_equal(count(&now, 6, 2), 0);
	vhu_device_unref(fewer);
	vhu_device_unref(more);
}

/* Nothing has changed then. */
static void what_does_not_fit_is_refused(void **state)
{
	static const struct {
		size_t at;
		uint32_t value;
	} bad[] = { { 0, 2 }, { 0, UINT32_MAX }, { 4, 0 }, { 4, 1 }, { 4, 3 }, { 4, 65 },
		    { 4, 0x80000002 }, { 8, 9 }, { 8, 11 }, { 12, 1 } };
	struct saved good = make_state(2), before, now;
	struct vhu_device *device = make(2);

	(void)state;
	before = state_of(device, 2);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		char *bytes = malloc(BYTES(2));
		uint32_t value = htole32(bad[i].value);

		memcpy(bytes, &good, BYTES(2));
		memcpy(bytes + bad[i].at, &value, sizeof(value));
		assert_int_equal(load(device, bytes, BYTES(2)), -EINVAL);
		free(bytes);
	}
	for (size_t n = 0; n < BYTES(2); n++) {
		char *bytes = malloc(n ? n : 1);

		memcpy(bytes, &good, n);
		assert_int_equal(load(device, bytes, n), -EINVAL);
		free(bytes);
	}
	now = state_of(device, 2);
	assert_memory_equal(&now, &before, sizeof(now));
	assert_int_equal(load(device, &good, BYTES(2)), 0);
	vhu_device_unref(device);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_counters_have_a_place),
		cmocka_unit_test(the_state_replaces_what_was_there),
		cmocka_unit_test(other_numbers_of_queues),
		cmocka_unit_test(what_does_not_fit_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
