/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Messages through a socket, in pieces and with fds: what is received, and what the tables say of
 * it. Both directions' tables; no session.
 */

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/wire/message.h"
#include "common/wire/request.h"
#include "tests/fuzz/input.h"

#define FDS_SENT_MAX 12

struct line {
	struct input *in;
	struct vhu_receiver receiver;
	int ours, theirs;
};

static void send_piece(struct line *line, const void *bytes, size_t len, unsigned n_fds)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(FDS_SENT_MAX * sizeof(int))];
	} control = { 0 };
	struct iovec iov = { .iov_base = (void *)bytes, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (n_fds) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		for (unsigned i = 0; i < n_fds; i++)
			memcpy(CMSG_DATA(&control.align) + i * sizeof(int), &line->ours,
			       sizeof(int));
	}
	expect(sendmsg(line->theirs, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)len);
}

static void check_whole(struct line *line)
{
	struct vhu_message *message = &line->receiver.message;
	const struct vhu_request_rule *rule =
		input_u8(line->in) & 1 ? vhu_backend_request_rule(message->header.request)
				       : vhu_frontend_request_rule(message->header.request);

	expect(message->header.size <= sizeof(message->payload) && message->n_fds <= VHU_FD_MAX);
	if (vhu_request_check(rule, message) < 0)
		return;
	if (!rule || rule->fds == VHU_FDS_NONE)
		expect(message->n_fds == 0);
	if (rule && rule->fds == VHU_FDS_ONE)
		expect(message->n_fds == 1 && fcntl(message->fds[0], F_GETFD) == FD_CLOEXEC);
	if (rule)
		expect(message->header.size >= rule->min_size &&
		       message->header.size <= rule->max_size);
	if (rule && rule->index == VHU_INDEX_BITS07)
		expect(vhu_request_index(rule, message) <= VHU_VRING_INDEX_MASK);
}

/* False when the stream is not to be used any more. */
static bool receive(struct line *line)
{
	int r;

	while ((r = vhu_receiver_read(&line->receiver, line->ours)) == 1) {
		check_whole(line);
		vhu_receiver_finish(&line->receiver);
	}
	return r == -EAGAIN;
}

/* One message, cut where the input says. */
static bool send_message(struct line *line)
{
	struct input *in = line->in;
	uint8_t shape = input_u8(in);
	uint32_t request = shape & 1 ? input_u8(in) % 48 : (uint32_t)input_u64(in);
	const struct vhu_request_rule *rule = vhu_frontend_request_rule(request);
	struct {
		struct vhu_header header;
		uint8_t payload[sizeof(union vhu_payload) + 16];
	} message;
	unsigned n_fds = shape & 2 ? input_below(in, FDS_SENT_MAX + 1) : 0;
	size_t len, cut;

	message.header.request = request;
	message.header.flags = shape & 4 ? VHU_VERSION | (shape & 8) : (uint32_t)input_u64(in);
	message.header.size = rule && shape & 16 ? (shape & 32 ? rule->min_size : rule->max_size)
						 : (uint32_t)input_u64(in);
	input_bytes(in, message.payload, shape & 64 ? 64 : 8);
	memset(message.payload + 64, 0, sizeof(message.payload) - 64);
	len = sizeof(message.header) +
	      (message.header.size < sizeof(message.payload) ? message.header.size
							      : sizeof(message.payload));
	cut = shape & 128 ? input_u8(in) % len : 0;
	if (cut) {
		send_piece(line, &message, cut, n_fds);
		n_fds = input_below(in, 3);
		if (!receive(line))
			return false;
	}
	send_piece(line, (char *)&message + cut, len - cut, n_fds);
	return receive(line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { .at = data, .left = size };
	struct line line = { .in = &in };
	int ends[2], free_fd = lowest_fd();

	expect(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
	line.ours = ends[0];
	line.theirs = ends[1];
	vhu_receiver_init(&line.receiver);
	while (in.left && send_message(&line))
		;
	vhu_receiver_finish(&line.receiver);
	close(ends[0]);
	close(ends[1]);
	expect(lowest_fd() == free_fd);
	return 0;
}
