/* SPDX-License-Identifier: BSD-3-Clause */
#include "devices/blk/copy.h"

#include <stdint.h>
#include <string.h>

#include "common/base/num.h"

/* Shorter ones are as fast either way. */
#define STREAM_MIN_BYTES 16384

#ifdef __SSE2__
#include <emmintrin.h>

#define LINE_BYTES 64

static void stream(char *to, const char *from, size_t len)
{
	size_t i, lines_bytes = (uintptr_t)to % sizeof(__m128i) ? 0 : len / LINE_BYTES * LINE_BYTES;

	for (i = 0; i < lines_bytes; i += LINE_BYTES) {
		const __m128i *src = (const __m128i *)(from + i);
		__m128i *dst = (__m128i *)(to + i);
		__m128i a = _mm_loadu_si128(src), b = _mm_loadu_si128(src + 1);
		__m128i c = _mm_loadu_si128(src + 2), d = _mm_loadu_si128(src + 3);

		_mm_stream_si128(dst, a);
		_mm_stream_si128(dst + 1, b);
		_mm_stream_si128(dst + 2, c);
		_mm_stream_si128(dst + 3, d);
	}
	memcpy(to + lines_bytes, from + lines_bytes, len - lines_bytes);
}

/* Streamed stores are ordered with nothing; the answer to the guest is to come after them. */
static void end_stream(void)
{
	_mm_sfence();
}
#else
static void stream(char *to, const char *from, size_t len)
{
	memcpy(to, from, len);
}

static void end_stream(void)
{
}
#endif

void vhu_blk_copy_to_disk(struct vhu_iov_cursor *data, char *to, size_t len)
{
	if (len < STREAM_MIN_BYTES) {
		vhu_iov_read(data, to, len);
		return;
	}
	while (len) {
		size_t piece_bytes = min_u64(len, data->iov->iov_len - data->offset);

		stream(to, (const char *)data->iov->iov_base + data->offset, piece_bytes);
		data->offset += piece_bytes;
		data->left -= piece_bytes;
		to += piece_bytes;
		len -= piece_bytes;
		if (len && data->offset == data->iov->iov_len) {
			data->iov++;
			data->n--;
			data->offset = 0;
		}
	}
	end_stream();
}
