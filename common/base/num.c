/* SPDX-License-Identifier: BSD-3-Clause */
#include "common/base/num.h"

#include <errno.h>
#include <string.h>

/* The digits at the start of text; what follows them is at *ret_end. */
static int parse_digits(const char *text, const char **ret_end, uint64_t *ret_value)
{
	bool too_large = false;
	uint64_t value = 0;
	const char *p;

	for (p = text; *p >= '0' && *p <= '9'; p++) {
		too_large |= mul_overflows(value, 10, &value);
		too_large |= add_overflows(value, (uint64_t)(*p - '0'), &value);
	}
	if (p == text)
		return -EINVAL;
	*ret_end = p;
	*ret_value = too_large ? UINT64_MAX : value;
	return too_large ? -ERANGE : 0;
}

int vhu_parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *ret_value)
{
	const char *end = text;
	uint64_t value = 0;
	int r = parse_digits(text, &end, &value);

	if (r == -EINVAL || *end)
		return -EINVAL;
	if (r < 0 || value < min || value > max)
		return -ERANGE;
	*ret_value = value;
	return 0;
}

int vhu_parse_size(const char *text, uint64_t *ret_bytes)
{
	static const char suffixes[] = "KkMmGgTtPp";
	const char *end = text, *suffix;
	uint64_t value = 0, unit = 1;
	int r = parse_digits(text, &end, &value);

	if (r == -EINVAL)
		return r;
	if (*end) {
		suffix = strchr(suffixes, *end);
		if (!suffix || end[1])
			return -EINVAL;
		unit <<= 10 * ((suffix - suffixes) / 2 + 1);
	}
	if (r < 0 || mul_overflows(value, unit, &value))
		return -ERANGE;
	*ret_bytes = value;
	return 0;
}
