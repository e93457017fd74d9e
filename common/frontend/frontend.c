/* SPDX-License-Identifier: BSD-3-Clause */
/* The connection: opening, messages in and out, the back-end's own channel. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "common/base/cleanup.h"
#include "common/base/fd.h"
#include "common/base/num.h"
#include "common/frontend/frontend.h"
#include "common/wire/request.h"

#define TIMEOUT_MS 5000
#define RETRY_MS 5
/* The kernel's limit on the fds of one message (SCM_MAX_FD). */
#define SEND_FD_MAX 253

static void forget_negotiation(struct vhu_frontend *frontend)
{
	frontend->offered_features = 0;
	frontend->acked_features = 0;
	frontend->offered_protocol_features = 0;
	frontend->acked_protocol_features = 0;
	frontend->n_queues = 0;
	frontend->n_memory_slots = 0;
	frontend->called = 0;
	frontend->broken = 0;
}

void vhu_frontend_init(struct vhu_frontend *frontend)
{
	frontend->fd = -1;
	frontend->channel_fd = -1;
	frontend->timeout_ms = TIMEOUT_MS;
	frontend->no_acks = false;
	frontend->on_request = NULL;
	frontend->on_request_data = NULL;
	forget_negotiation(frontend);
	vhu_receiver_init(&frontend->receiver);
	vhu_receiver_init(&frontend->channel_receiver);
	vhu_guest_init(&frontend->guest);
}

void vhu_frontend_finish(struct vhu_frontend *frontend)
{
	vhu_frontend_disconnect(frontend);
	vhu_guest_finish(&frontend->guest);
}

void vhu_frontend_disconnect(struct vhu_frontend *frontend)
{
	close_fd(&frontend->fd);
	close_fd(&frontend->channel_fd);
	vhu_receiver_finish(&frontend->receiver);
	vhu_receiver_finish(&frontend->channel_receiver);
	forget_negotiation(frontend);
}

static uint64_t deadline_of(const struct vhu_frontend *frontend)
{
	return vhu_now_ns() + (uint64_t)frontend->timeout_ms * NS_PER_MS;
}

static int try_connect(const struct sockaddr_un *address)
{
	cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0)
		return -errno;
	return steal_fd(&fd);
}

/* A back-end that is only just being started, or one whose backlog is full. */
static bool worth_another_try(int error)
{
	return error == -ENOENT || error == -ECONNREFUSED || error == -EAGAIN;
}

int vhu_frontend_connect(struct vhu_frontend *frontend, const char *path)
{
	static const struct timespec pause = { .tv_nsec = RETRY_MS * (long)NS_PER_MS };
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	uint64_t deadline_ns = deadline_of(frontend);
	int fd;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	strcpy(address.sun_path, path);
	while ((fd = try_connect(&address)) < 0) {
		if (!worth_another_try(fd) || vhu_now_ns() >= deadline_ns)
			return fd;
		nanosleep(&pause, NULL);
	}
	return vhu_frontend_attach(frontend, fd);
}

int vhu_frontend_attach(struct vhu_frontend *frontend, int fd)
{
	vhu_frontend_disconnect(frontend);
	frontend->fd = fd;
	return vhu_fd_set_nonblock(fd, true);
}

/* A peer that has gone looks the same whether we read or write. */
static int gone_is_reset(int error)
{
	return error == -EPIPE || error == -ENOTCONN || error == -EBADF ? -ECONNRESET : error;
}

static int wait_for(int fd, short events, uint64_t deadline_ns)
{
	struct pollfd pollfd = { .fd = fd, .events = events };
	uint64_t now_ns = vhu_now_ns();
	int r;

	if (now_ns >= deadline_ns)
		return -ETIMEDOUT;
	r = poll(&pollfd, 1, (int)((deadline_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS));
	return r < 0 && errno != EINTR ? -errno : 0;
}

static int receive(struct vhu_receiver *receiver, int fd, uint64_t deadline_ns,
		   struct vhu_message *ret_message)
{
	int r;

	while ((r = vhu_receiver_read(receiver, fd)) == -EAGAIN) {
		r = wait_for(fd, POLLIN, deadline_ns);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return gone_is_reset(r);
	*ret_message = receiver->message;
	vhu_receiver_init(receiver);
	return 0;
}

int vhu_frontend_receive(struct vhu_frontend *frontend, struct vhu_message *ret_message)
{
	return receive(&frontend->receiver, frontend->fd, deadline_of(frontend), ret_message);
}

int vhu_frontend_wait_closed(struct vhu_frontend *frontend)
{
	uint64_t deadline_ns = deadline_of(frontend);
	struct vhu_message message;
	int r;

	do {
		r = receive(&frontend->receiver, frontend->fd, deadline_ns, &message);
		if (r == 0)
			vhu_message_finish(&message);
	} while (r == 0);
	return r == -ECONNRESET ? 0 : r;
}

static int send_some(int fd, const void *bytes, size_t len, const int *fds, unsigned n_fds)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(SEND_FD_MAX * sizeof(int))];
	} control = { 0 };
	struct iovec iov = { .iov_base = (void *)(uintptr_t)bytes, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	if (n_fds) {
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(&control.header), fds, n_fds * sizeof(int));
	}
	n = sendmsg(fd, &msg, MSG_NOSIGNAL);
	return n < 0 ? -errno : (int)n;
}

int vhu_frontend_send_bytes(struct vhu_frontend *frontend, const void *bytes, size_t len,
			    const int *fds, unsigned n_fds)
{
	uint64_t deadline_ns = deadline_of(frontend);
	size_t sent = 0;
	int n;

	if (n_fds > SEND_FD_MAX)
		return -EINVAL;
	while (sent < len) {
		n = send_some(frontend->fd, (const char *)bytes + sent, len - sent, fds,
			      sent ? 0 : n_fds);
		if (n > 0)
			sent += (size_t)n;
		else if (n == -EAGAIN)
			n = wait_for(frontend->fd, POLLOUT, deadline_ns);
		if (n < 0)
			return gone_is_reset(n);
	}
	return 0;
}

int vhu_frontend_send(struct vhu_frontend *frontend, const struct vhu_header *header,
		      const void *payload, size_t payload_size, const int *fds, unsigned n_fds)
{
	struct {
		struct vhu_header header;
		uint8_t payload[sizeof(union vhu_payload)];
	} out = { .header = *header };

	if (payload_size > sizeof(out.payload))
		return -EINVAL;
	if (payload_size)
		memcpy(out.payload, payload, payload_size);
	return vhu_frontend_send_bytes(frontend, &out, sizeof(out.header) + payload_size, fds,
				       n_fds);
}

static int check_reply(const struct vhu_message *reply, uint32_t request, bool is_verdict)
{
	uint32_t flags = reply->header.flags & ~VHU_FLAG_NEED_REPLY;

	if (reply->header.request != request || flags != (VHU_VERSION | VHU_FLAG_REPLY))
		return -EPROTO;
	if (!is_verdict)
		return 0;
	if (reply->header.size != sizeof(uint64_t))
		return -EPROTO;
	return reply->payload.u64 ? -EREMOTEIO : 0;
}

int vhu_frontend_call(struct vhu_frontend *frontend, uint32_t request, const void *payload,
		      uint32_t payload_size, const int *fds, unsigned n_fds,
		      struct vhu_message *ret_reply)
{
	const struct vhu_request_rule *rule = vhu_frontend_request_rule(request);
	bool is_verdict = !rule || rule->reply != VHU_REPLY_ALWAYS;
	bool waits = !is_verdict;
	uint32_t flags = VHU_VERSION;
	struct vhu_message reply;
	int r;

	if (is_verdict && !frontend->no_acks &&
	    vhu_frontend_acked(frontend, VHU_PROTOCOL_F_REPLY_ACK)) {
		flags |= VHU_FLAG_NEED_REPLY;
		waits = true;
	}
	if (rule && rule->reply == VHU_REPLY_LOG_BASE &&
	    vhu_frontend_acked(frontend, VHU_PROTOCOL_F_LOG_SHMFD))
		waits = true;
	r = vhu_message_send(frontend->fd, request, flags, payload, payload_size, fds, n_fds,
			     frontend->timeout_ms);
	if (r < 0)
		return r == -EAGAIN ? -ETIMEDOUT : gone_is_reset(r);
	if (!waits)
		return frontend->no_acks ? 0 : vhu_frontend_sync(frontend);
	r = vhu_frontend_receive(frontend, &reply);
	if (r < 0)
		return r;
	r = check_reply(&reply, request, is_verdict);
	if (r < 0 || !ret_reply)
		vhu_message_finish(&reply);
	else
		*ret_reply = reply;
	return r;
}

int vhu_frontend_open_channel(struct vhu_frontend *frontend)
{
	int fds[2];
	int r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
		return -errno;
	close_fd(&frontend->channel_fd);
	vhu_receiver_finish(&frontend->channel_receiver);
	frontend->channel_fd = fds[0];
	r = vhu_frontend_call(frontend, VHU_SET_BACKEND_REQ_FD, NULL, 0, &fds[1], 1, NULL);
	close_fd(&fds[1]);
	return r;
}

int vhu_frontend_next_request(struct vhu_frontend *frontend, struct vhu_message *ret_message)
{
	const struct vhu_request_rule *rule;
	struct vhu_message message;
	int r = receive(&frontend->channel_receiver, frontend->channel_fd, deadline_of(frontend),
			&message);

	if (r < 0)
		return r;
	rule = vhu_backend_request_rule(message.header.request);
	r = rule ? vhu_request_check(rule, &message) : -EPROTO;
	if (r < 0)
		vhu_message_finish(&message);
	else
		*ret_message = message;
	return r;
}

int vhu_frontend_answer(struct vhu_frontend *frontend, const struct vhu_message *request,
			uint64_t value, int fd)
{
	const struct vhu_header *header = &request->header;
	const struct vhu_request_rule *rule = vhu_backend_request_rule(header->request);

	if (!(header->flags & VHU_FLAG_NEED_REPLY) && !(rule && rule->reply == VHU_REPLY_ALWAYS))
		return 0;
	return gone_is_reset(vhu_message_send(frontend->channel_fd, header->request,
					      VHU_VERSION | VHU_FLAG_REPLY, &value, sizeof(value),
					      &fd, fd >= 0 ? 1 : 0, frontend->timeout_ms));
}

static uint64_t take_request(struct vhu_frontend *frontend, const struct vhu_message *request)
{
	uint64_t ring = 1ull << (request->payload.vring_state.index & 63);

	if (request->header.request == VHU_BACKEND_VRING_CALL)
		frontend->called |= ring;
	else if (request->header.request == VHU_BACKEND_VRING_ERR)
		frontend->broken |= ring;
	else if (frontend->on_request)
		return frontend->on_request(frontend->on_request_data, request);
	return 0;
}

int vhu_frontend_serve(struct vhu_frontend *frontend)
{
	struct pollfd pollfd = { .fd = frontend->channel_fd, .events = POLLIN };
	struct vhu_message request;
	int r = 0;

	while (r == 0 && poll(&pollfd, 1, 0) > 0) {
		r = vhu_frontend_next_request(frontend, &request);
		if (r < 0)
			return r;
		r = vhu_frontend_answer(frontend, &request, take_request(frontend, &request), -1);
		vhu_message_finish(&request);
	}
	return r;
}
