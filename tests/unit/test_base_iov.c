/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/iov.h"

/* "abc" "" "defgh" "ij", with empty elements at both ends; the first two pieces adjoin. */
struct sample {
	char text[8];
	char gap;
	char tail[2];
	struct iovec iov[6];
};

static void sample_init(struct sample *s, struct vhu_iov_cursor *c)
{
	memcpy(s->text, "abcdefgh", 8);
	memcpy(s->tail, "ij", 2);
	s->iov[0] = (struct iovec){ NULL, 0 };
	s->iov[1] = (struct iovec){ s->text, 3 };
	s->iov[2] = (struct iovec){ NULL, 0 };
	s->iov[3] = (struct iovec){ s->text + 3, 5 };
	s->iov[4] = (struct iovec){ s->tail, 2 };
	s->iov[5] = (struct iovec){ NULL, 0 };
	vhu_iov_cursor_init(c, s->iov, 6);
}

static void test_read(void **state)
{
	struct vhu_iov_cursor c;
	struct sample s;
	char buf[16];

	(void)state;
	sample_init(&s, &c);
	assert_int_equal(c.left, 10);
	assert_int_equal(vhu_iov_length(s.iov, 6), 10);
	assert_int_equal(vhu_iov_read(&c, buf, 0), 0);
	assert_int_equal(vhu_iov_read(&c, buf, 2), 2);
	assert_memory_equal(buf, "ab", 2);
	assert_int_equal(vhu_iov_read(&c, buf, 4), 4);
	assert_memory_equal(buf, "cdef", 4);
	assert_int_equal(c.left, 4);
	assert_int_equal(vhu_iov_read(&c, buf, sizeof(buf)), 4);
	assert_memory_equal(buf, "ghij", 4);
	assert_int_equal(vhu_iov_read(&c, buf, sizeof(buf)), 0);
	assert_int_equal(vhu_iov_skip(&c, 1), 0);
}

static void test_write_fill_skip(void **state)
{
	struct vhu_iov_cursor c;
	struct sample s;

	(void)state;
	sample_init(&s, &c);
	assert_int_equal(vhu_iov_write(&c, "1234", 4), 4);
	assert_int_equal(vhu_iov_skip(&c, 2), 2);
	assert_int_equal(vhu_iov_fill(&c, '-', 3), 3);
	assert_int_equal(vhu_iov_write(&c, "56", 2), 1);
	assert_memory_equal(s.text, "1234ef--", 8);
	assert_memory_equal(s.tail, "-5", 2);
	assert_int_equal(vhu_iov_fill(&c, 'x', SIZE_MAX), 0);
}

static void test_take(void **state)
{
	struct vhu_iov_cursor c, before;
	struct iovec out[4];
	struct sample s;

	(void)state;
	sample_init(&s, &c);
	assert_int_equal(vhu_iov_take(&c, 0, out, 0), 0);
	assert_int_equal(vhu_iov_skip(&c, 1), 1);
	/* Adjacent elements become one. */
	assert_int_equal(vhu_iov_take(&c, 5, out, 1), 1);
	assert_ptr_equal(out[0].iov_base, s.text + 1);
	assert_int_equal(out[0].iov_len, 5);

	before = c;
	assert_int_equal(vhu_iov_take(&c, 5, out, 4), -EINVAL);
	assert_memory_equal(&c, &before, sizeof(c));
	assert_int_equal(vhu_iov_take(&c, 3, out, 1), -E2BIG);
	assert_memory_equal(&c, &before, sizeof(c));

	assert_int_equal(vhu_iov_take(&c, 3, out, 4), 2);
	assert_ptr_equal(out[0].iov_base, s.text + 6);
	assert_int_equal(out[0].iov_len, 2);
	assert_ptr_equal(out[1].iov_base, s.tail);
	assert_int_equal(out[1].iov_len, 1);
	assert_int_equal(c.left, 1);
}

static void test_empty(void **state)
{
	struct vhu_iov_cursor c;
	struct iovec out;
	char byte;

	(void)state;
	vhu_iov_cursor_init(&c, NULL, 0);
	assert_int_equal(c.left, 0);
	assert_int_equal(vhu_iov_read(&c, &byte, 1), 0);
	assert_int_equal(vhu_iov_take(&c, 0, &out, 1), 0);
	assert_int_equal(vhu_iov_take(&c, 1, &out, 1), -EINVAL);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read),
		cmocka_unit_test(test_write_fill_skip),
		cmocka_unit_test(test_take),
		cmocka_unit_test(test_empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
