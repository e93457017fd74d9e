/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/num.h"

static void test_overflow(void **state)
{
	uint64_t value;

	(void)state;
	assert_false(add_overflows(UINT64_MAX - 1, 1, &value));
	assert_true(value == UINT64_MAX);
	assert_true(add_overflows(UINT64_MAX, 1, &value));
	assert_false(mul_overflows(1ull << 32, (1ull << 32) - 1, &value));
	assert_true(value == ((1ull << 32) - 1) << 32);
	assert_true(mul_overflows(1ull << 32, 1ull << 32, &value));
}

static void test_ranges(void **state)
{
	(void)state;
	assert_true(range_fits(0, 10, 10));
	assert_true(range_fits(10, 0, 10));
	assert_false(range_fits(11, 0, 10));
	assert_false(range_fits(1, 10, 10));
	assert_false(range_fits(UINT64_MAX, 2, 10));
	assert_false(range_fits(2, UINT64_MAX, 10));

	assert_true(ranges_overlap(0, 10, 9, 1));
	assert_true(ranges_overlap(9, 1, 0, 10));
	assert_true(ranges_overlap(5, 1, 0, 10));
	assert_false(ranges_overlap(0, 10, 10, 10));
	assert_false(ranges_overlap(10, 10, 0, 10));
	assert_false(ranges_overlap(5, 0, 0, 10));
	assert_true(ranges_overlap(UINT64_MAX, 1, UINT64_MAX - 1, 2));
	assert_false(ranges_overlap(UINT64_MAX, 1, 0, 1));
}

static void test_small_ones(void **state)
{
	struct {
		char lead[3];
		int member;
	} object;

	(void)state;
	assert_false(is_pow2(0));
	assert_true(is_pow2(1));
	assert_false(is_pow2(3));
	assert_true(is_pow2(1ull << 63));
	assert_true(min_u64(1, 2) == 1 && min_u64(2, 1) == 1);
	assert_true(max_u64(1, 2) == 2 && max_u64(2, 1) == 2);
	assert_ptr_equal(container_of(&object.member, __typeof__(object), member), &object);
}

static void test_parse_u64(void **state)
{
	static const struct {
		const char *text;
		uint64_t min, max;
		int result;
		uint64_t value;
	} cases[] = {
		{ "0", 0, 0, 0, 0 },
		{ "007", 0, 10, 0, 7 },
		{ "18446744073709551615", 0, UINT64_MAX, 0, UINT64_MAX },
		{ "18446744073709551616", 0, UINT64_MAX, -ERANGE, 0 },
		{ "99999999999999999999999999", 0, UINT64_MAX, -ERANGE, 0 },
		{ "99999999999999999999999999x", 0, UINT64_MAX, -EINVAL, 0 },
		{ "4", 5, 10, -ERANGE, 0 },
		{ "5", 5, 10, 0, 5 },
		{ "10", 5, 10, 0, 10 },
		{ "11", 5, 10, -ERANGE, 0 },
		{ "", 0, 10, -EINVAL, 0 },
		{ " 1", 0, 10, -EINVAL, 0 },
		{ "1 ", 0, 10, -EINVAL, 0 },
		{ "+1", 0, 10, -EINVAL, 0 },
		{ "-1", 0, 10, -EINVAL, 0 },
		{ "0x1", 0, 10, -EINVAL, 0 },
		{ "1K", 0, 10000, -EINVAL, 0 },
	};
	uint64_t value;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		value = 4711;
		assert_int_equal(vhu_parse_u64(cases[i].text, cases[i].min, cases[i].max, &value),
				 cases[i].result);
		assert_true(value == (cases[i].result ? 4711 : cases[i].value));
	}
}

static void test_parse_size(void **state)
{
	static const struct {
		const char *text;
		int result;
		uint64_t value;
	} cases[] = {
		{ "0", 0, 0 },
		{ "512", 0, 512 },
		{ "1K", 0, 1024 },
		{ "3k", 0, 3072 },
		{ "2M", 0, 2ull << 20 },
		{ "10G", 0, 10ull << 30 },
		{ "1t", 0, 1ull << 40 },
		{ "16383P", 0, 16383ull << 50 },
		{ "16384P", -ERANGE, 0 },
		{ "18446744073709551616", -ERANGE, 0 },
		{ "", -EINVAL, 0 },
		{ "K", -EINVAL, 0 },
		{ "1E", -EINVAL, 0 },
		{ "1KB", -EINVAL, 0 },
		{ "1 K", -EINVAL, 0 },
		{ "-1K", -EINVAL, 0 },
		{ "1.5G", -EINVAL, 0 },
	};
	uint64_t value;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		value = 4711;
		assert_int_equal(vhu_parse_size(cases[i].text, &value), cases[i].result);
		assert_true(value == (cases[i].result ? 4711 : cases[i].value));
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_overflow),   cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_small_ones), cmocka_unit_test(test_parse_u64),
		cmocka_unit_test(test_parse_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
