/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_BASE_JSON_H
#define VHU_BASE_JSON_H

#include <stdio.h>

/*
 * A string of JSON (RFC 8259) with its quotes. JSON is UTF-8, and names of files need not be: a
 * byte of no character becomes a replacement character.
 */
void vhu_json_put_text(FILE *out, const char *text);

#endif
