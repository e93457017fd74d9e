/* SPDX-License-Identifier: BSD-3-Clause */
#include "common/base/iov.h"

#include <errno.h>
#include <string.h>

#include "common/base/num.h"

void vhu_iov_cursor_init(struct vhu_iov_cursor *c, const struct iovec *iov, size_t n)
{
	*c = (struct vhu_iov_cursor){ .iov = iov, .n = n, .left = vhu_iov_length(iov, n) };
}

/* Moves past the next contiguous piece of at most len bytes. 0 < len <= c->left. */
static struct iovec next_piece(struct vhu_iov_cursor *c, size_t len)
{
	struct iovec piece;

	while (c->offset == c->iov->iov_len) {
		c->iov++;
		c->n--;
		c->offset = 0;
	}
	piece.iov_base = (char *)c->iov->iov_base + c->offset;
	piece.iov_len = min_u64(len, c->iov->iov_len - c->offset);
	c->offset += piece.iov_len;
	c->left -= piece.iov_len;
	return piece;
}

size_t vhu_iov_read(struct vhu_iov_cursor *c, void *buf, size_t len)
{
	size_t total = min_u64(len, c->left), done = 0;
	struct iovec piece;

	while (done < total) {
		piece = next_piece(c, total - done);
		memcpy((char *)buf + done, piece.iov_base, piece.iov_len);
		done += piece.iov_len;
	}
	return total;
}

size_t vhu_iov_write(struct vhu_iov_cursor *c, const void *buf, size_t len)
{
	size_t total = min_u64(len, c->left), done = 0;
	struct iovec piece;

	while (done < total) {
		piece = next_piece(c, total - done);
		memcpy(piece.iov_base, (const char *)buf + done, piece.iov_len);
		done += piece.iov_len;
	}
	return total;
}

size_t vhu_iov_fill(struct vhu_iov_cursor *c, int byte, size_t len)
{
	size_t total = min_u64(len, c->left), done = 0;
	struct iovec piece;

	while (done < total) {
		piece = next_piece(c, total - done);
		memset(piece.iov_base, byte, piece.iov_len);
		done += piece.iov_len;
	}
	return total;
}

size_t vhu_iov_skip(struct vhu_iov_cursor *c, size_t len)
{
	size_t total = min_u64(len, c->left), done = 0;

	while (done < total)
		done += next_piece(c, total - done).iov_len;
	return total;
}

int vhu_iov_take(struct vhu_iov_cursor *c, size_t len, struct iovec *out, size_t max)
{
	struct vhu_iov_cursor next = *c;
	struct iovec piece, *last;
	size_t n = 0;

	if (len > c->left)
		return -EINVAL;
	while (len) {
		piece = next_piece(&next, len);
		len -= piece.iov_len;
		last = n ? &out[n - 1] : NULL;
		if (last && (char *)last->iov_base + last->iov_len == piece.iov_base)
			last->iov_len += piece.iov_len;
		else if (n < max)
			out[n++] = piece;
		else
			return -E2BIG;
	}
	*c = next;
	return (int)n;
}

size_t vhu_iov_length(const struct iovec *iov, size_t n)
{
	size_t total = 0, i;

	for (i = 0; i < n; i++)
		total += iov[i].iov_len;
	return total;
}
