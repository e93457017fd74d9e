/* SPDX-License-Identifier: BSD-3-Clause */
#include "common/base/json.h"

#include <stddef.h>

#include "common/base/num.h"

/* The bytes of the UTF-8 character that text begins with (RFC 3629), or 0 for none. */
static size_t utf8_bytes(const char *text)
{
	static const struct {
		unsigned char first, last, second_first, second_last, bytes;
	} rows[] = {
		{ 0x01, 0x7f, 0, 0, 1 },	 { 0xc2, 0xdf, 0x80, 0xbf, 2 },
		{ 0xe0, 0xe0, 0xa0, 0xbf, 3 }, { 0xe1, 0xec, 0x80, 0xbf, 3 },
		{ 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 },
		{ 0xf0, 0xf0, 0x90, 0xbf, 4 }, { 0xf1, 0xf3, 0x80, 0xbf, 4 },
		{ 0xf4, 0xf4, 0x80, 0x8f, 4 },
	};
	const unsigned char *c = (const unsigned char *)text;
	size_t i = 0, n;

	while (i < ARRAY_SIZE(rows) && (c[0] < rows[i].first || c[0] > rows[i].last))
		i++;
	if (i == ARRAY_SIZE(rows))
		return 0;
	if (rows[i].bytes > 1 && (c[1] < rows[i].second_first || c[1] > rows[i].second_last))
		return 0;
	for (n = 2; n < rows[i].bytes; n++)
		if ((c[n] & 0xc0) != 0x80)
			return 0;
	return rows[i].bytes;
}

void vhu_json_put_text(FILE *out, const char *text)
{
	size_t n;

	putc('"', out);
	for (; *text; text += n ? n : 1) {
		n = utf8_bytes(text);
		if (!n)
			fputs("\\ufffd", out);
		else if (*text == '"' || *text == '\\')
			fprintf(out, "\\%c", *text);
		else if (n == 1 && *text < 0x20)
			fprintf(out, "\\u%04x", (unsigned)*text);
		else
			fwrite(text, n, 1, out);
	}
	putc('"', out);
}
