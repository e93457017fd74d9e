/* SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/json.h"
#include "common/base/num.h"

/* Whatever bytes a text has, what is put is a string of JSON in UTF-8. */
static void texts(void **state)
{
	static const struct {
		const char *text, *put;
	} cases[] = {
		{ "", "" },
		{ "a \"b\" \\c/", "a \\\"b\\\" \\\\c/" },
		{ "\x80", "\\ufffd" },
		{ "a\xc3", "a\\ufffd" },
		{ "\xc3\xa4", "\xc3\xa4" },
		{ "\xc0\xaf", "\\ufffd\\ufffd" },
		{ "\xe2\x82\xac", "\xe2\x82\xac" },
		{ "\xe2\x82", "\\ufffd\\ufffd" },
		{ "\xed\xa0\x80", "\\ufffd\\ufffd\\ufffd" },
		{ "\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80" },
		{ "\xf4\x90\x80\x80", "\\ufffd\\ufffd\\ufffd\\ufffd" },
		{ "\x01\xff\n", "\\u0001\\ufffd\\u000a" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char wanted[64], *put = NULL;
		size_t len;
		FILE *out = open_memstream(&put, &len);

		assert_non_null(out);
		vhu_json_put_text(out, cases[i].text);
		fclose(out);
		snprintf(wanted, sizeof(wanted), "\"%s\"", cases[i].put);
		assert_string_equal(put, wanted);
		free(put);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
