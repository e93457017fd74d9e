/* SPDX-License-Identifier: BSD-3-Clause */
#include "common/backend/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "common/backend/await_priv.h"
#include "common/base/cleanup.h"
#include "common/base/fd.h"
#include "common/base/log.h"
#include "common/base/num.h"
#include "common/wire/message.h"
#include "common/wire/request.h"

/* The longest back-end request: SHMEM_MAP. */
#define PAYLOAD_MAX sizeof(struct vhu_shmem_map)

struct entry {
	uint32_t request;
	uint32_t flags;
	uint32_t payload_bytes;
	int fd; /* owned; -1 none */
	uint8_t payload[PAYLOAD_MAX];
};

struct vhu_channel {
	atomic_uint refs;
	struct vhu_loop *loop;

	/* Main's. */
	int fd;
	struct vhu_source *source;
	bool socket_is_full;
	struct vhu_source *timer; /* of the answer that is due first */
	struct vhu_receiver receiver;
	struct notices {
		uint32_t request;
		uint64_t due, out; /* masks of rings: to be told; told and not answered */
	} notices[2];

	/* Any thread's, under the mutex. */
	pthread_mutex_t mutex;
	struct entry queue[VHU_CHANNEL_QUEUE];
	unsigned first, n;
	struct vhu_await await; /* waiters are calls; NULL: a notice of the ring that is the tag */
	bool closed;
	bool posted;
	struct vhu_call flush_call;
};

static struct notices *notices_of(struct vhu_channel *channel, uint32_t request)
{
	return &channel->notices[request == VHU_BACKEND_VRING_ERR];
}

/* The entry at the front, copied out: the socket is not written under the mutex. */
static bool peek(struct vhu_channel *channel, struct entry *ret_entry)
{
	bool there;

	pthread_mutex_lock(&channel->mutex);
	there = channel->n > 0;
	if (there)
		*ret_entry = channel->queue[channel->first];
	pthread_mutex_unlock(&channel->mutex);
	return there;
}

static void drop_front(struct vhu_channel *channel)
{
	int fd;

	pthread_mutex_lock(&channel->mutex);
	fd = steal_fd(&channel->queue[channel->first].fd);
	channel->first = (channel->first + 1) % VHU_CHANNEL_QUEUE;
	channel->n--;
	pthread_mutex_unlock(&channel->mutex);
	close_fd(&fd);
}

static int send_queue(struct vhu_channel *channel)
{
	struct entry entry;
	int r = 0;

	while (r == 0 && peek(channel, &entry)) {
		r = vhu_message_send(channel->fd, entry.request, entry.flags, entry.payload,
				     entry.payload_bytes, &entry.fd, entry.fd >= 0, 0);
		if (r == 0)
			drop_front(channel);
	}
	return r;
}

/* Under the mutex, with room in the queue and, for wait, among those who wait. Takes entry->fd. */
static void enqueue(struct vhu_channel *channel, const struct entry *entry,
		    const struct vhu_await_entry *wait)
{
	channel->queue[(channel->first + channel->n++) % VHU_CHANNEL_QUEUE] = *entry;
	if (wait)
		vhu_await_add(&channel->await, wait);
}

/* Under the mutex. */
static void enqueue_notice(struct vhu_channel *channel, struct notices *notices, unsigned ring)
{
	struct vhu_vring_state state = { .index = ring };
	struct entry entry = {
		.request = notices->request,
		.flags = VHU_VERSION | VHU_FLAG_NEED_REPLY,
		.payload_bytes = sizeof(state),
		.fd = -1,
	};
	struct vhu_await_entry wait = {
		.request = notices->request,
		.tag = ring,
		.deadline_ns = vhu_now_ns() + VHU_CHANNEL_TIMEOUT_NS,
	};

	memcpy(entry.payload, &state, sizeof(state));
	enqueue(channel, &entry, &wait);
	notices->due &= ~VHU_BIT(ring);
	notices->out |= VHU_BIT(ring);
}

/* As many as there is room for. True when there were any. */
static bool enqueue_notices(struct vhu_channel *channel)
{
	bool any = false;

	pthread_mutex_lock(&channel->mutex);
	for (unsigned i = 0; i < ARRAY_SIZE(channel->notices); i++) {
		struct notices *notices = &channel->notices[i];
		uint64_t rings;

		while ((rings = notices->due & ~notices->out) && channel->n < VHU_CHANNEL_QUEUE &&
		       !vhu_await_is_full(&channel->await)) {
			enqueue_notice(channel, notices, (unsigned)__builtin_ctzll(rings));
			any = true;
		}
	}
	pthread_mutex_unlock(&channel->mutex);
	return any;
}

static void flush(struct vhu_channel *channel)
{
	bool is_full;
	int r;

	if (channel->fd < 0)
		return;
	do
		r = send_queue(channel);
	while (r == 0 && enqueue_notices(channel));
	if (r < 0 && r != -EAGAIN) {
		vhu_warning("back-end channel: %s; it is closed", strerror(-r));
		vhu_channel_close(channel);
		return;
	}
	is_full = r == -EAGAIN;
	if (channel->socket_is_full != is_full)
		vhu_source_set_events(channel->source, EPOLLIN | (is_full ? EPOLLOUT : 0));
	channel->socket_is_full = is_full;
}

static void done_posted(struct vhu_call *post)
{
	struct vhu_channel_call *call = container_of(post, struct vhu_channel_call, post);

	call->done(call);
}

/* Takes fd. Not under the mutex. */
static void finish_call(struct vhu_channel *channel, struct vhu_channel_call *call, int result,
			int fd)
{
	call->result = result;
	call->fd = fd;
	if (!call->loop || call->loop == channel->loop) {
		call->done(call);
		return;
	}
	call->post.fn = done_posted;
	vhu_loop_post(call->loop, &call->post);
}

static void set_timer(struct vhu_channel *channel)
{
	pthread_mutex_lock(&channel->mutex);
	if (channel->timer)
		vhu_await_set_timer(&channel->await, channel->timer);
	pthread_mutex_unlock(&channel->mutex);
}

/* A notice is answered, or will not be. */
static void finish_notice(struct vhu_channel *channel, const struct vhu_await_entry *entry)
{
	notices_of(channel, entry->request)->out &= ~VHU_BIT(entry->tag);
}

static void time_over(void *data, uint32_t events)
{
	struct vhu_channel *channel = vhu_channel_ref(data);
	uint64_t now_ns = vhu_now_ns();
	struct vhu_await_entry late;
	bool found;

	(void)events;
	do {
		pthread_mutex_lock(&channel->mutex);
		found = vhu_await_expire(&channel->await, now_ns, &late);
		pthread_mutex_unlock(&channel->mutex);
		if (found && late.waiter)
			finish_call(channel, late.waiter, -ETIMEDOUT, -1);
		else if (found)
			finish_notice(channel, &late);
	} while (found);
	flush(channel);
	set_timer(channel);
	vhu_channel_unref(channel);
}

static void flush_posted(struct vhu_call *call)
{
	struct vhu_channel *channel = container_of(call, struct vhu_channel, flush_call);

	pthread_mutex_lock(&channel->mutex);
	channel->posted = false;
	pthread_mutex_unlock(&channel->mutex);
	flush(channel);
	set_timer(channel);
	vhu_channel_unref(channel);
}

static int verdict(const struct vhu_message *reply, bool wants_fd)
{
	if (reply->header.size != sizeof(reply->payload.u64) || reply->payload.u64)
		return -EREMOTEIO;
	return wants_fd && !reply->n_fds ? -EPROTO : 0;
}

/*
 * What answers the oldest request is for who made it; what nobody asked for is dropped. A front-end
 * answers in order: what was given up and is passed over never gets an answer.
 */
static void take_reply(struct vhu_channel *channel, struct vhu_message *reply)
{
	bool wants_fd = reply->header.request == VHU_BACKEND_SHARED_OBJECT_LOOKUP;
	struct vhu_await_entry asker;
	bool found = false;
	int r;

	if (!(reply->header.flags & VHU_FLAG_REPLY))
		return;
	pthread_mutex_lock(&channel->mutex);
	while (!found && vhu_await_first(&channel->await, &asker)) {
		found = asker.request == reply->header.request;
		if (!found && !asker.given_up)
			break;
		vhu_await_drop_first(&channel->await);
	}
	pthread_mutex_unlock(&channel->mutex);
	if (!found || asker.given_up)
		return;
	if (!asker.waiter) {
		finish_notice(channel, &asker);
		return;
	}
	r = verdict(reply, wants_fd);
	finish_call(channel, asker.waiter, r,
		    r == 0 && wants_fd ? vhu_message_steal_fd(reply, 0) : -1);
}

/* So many at a time that others get their turn. */
static void read_replies(struct vhu_channel *channel)
{
	int r = 1;

	for (unsigned i = 0; i < VHU_CHANNEL_QUEUE && r > 0 && channel->fd >= 0; i++) {
		r = vhu_receiver_read(&channel->receiver, channel->fd);
		if (r > 0) {
			struct vhu_message reply = channel->receiver.message;

			vhu_receiver_init(&channel->receiver);
			take_reply(channel, &reply);
			vhu_message_finish(&reply);
		}
	}
	if (r < 0 && r != -EAGAIN)
		vhu_channel_close(channel);
	/* Room among those who wait for an answer may be room for a notice. */
	flush(channel);
	set_timer(channel);
}

static void ready(void *data, uint32_t events)
{
	struct vhu_channel *channel = vhu_channel_ref(data);

	if (events & EPOLLOUT)
		flush(channel);
	if (channel->fd >= 0 && events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		read_replies(channel);
	vhu_channel_unref(channel);
}

int vhu_channel_new(struct vhu_loop *main_loop, int fd, struct vhu_channel **ret_channel)
{
	struct vhu_channel *channel = calloc(1, sizeof(*channel));
	int r;

	if (!channel) {
		close(fd);
		return -ENOMEM;
	}
	atomic_init(&channel->refs, 1);
	channel->loop = main_loop;
	channel->fd = fd;
	channel->notices[0].request = VHU_BACKEND_VRING_CALL;
	channel->notices[1].request = VHU_BACKEND_VRING_ERR;
	channel->flush_call.fn = flush_posted;
	pthread_mutex_init(&channel->mutex, NULL);
	vhu_receiver_init(&channel->receiver);
	r = vhu_fd_set_nonblock(fd, true);
	if (r == 0)
		r = vhu_loop_add_fd(main_loop, fd, EPOLLIN, ready, channel, &channel->source);
	if (r == 0)
		r = vhu_loop_add_timer(main_loop, time_over, channel, &channel->timer);
	if (r < 0) {
		vhu_channel_close(channel);
		vhu_channel_unref(channel);
		return r;
	}
	*ret_channel = channel;
	return 0;
}

struct vhu_channel *vhu_channel_ref(struct vhu_channel *channel)
{
	atomic_fetch_add_explicit(&channel->refs, 1, memory_order_relaxed);
	return channel;
}

void vhu_channel_unref(struct vhu_channel *channel)
{
	if (!channel || atomic_fetch_sub_explicit(&channel->refs, 1, memory_order_acq_rel) != 1)
		return;
	pthread_mutex_destroy(&channel->mutex);
	free(channel);
}

/* What is queued goes unsent. The next of those who wait for an answer, or NULL. */
static struct vhu_channel_call *abandon(struct vhu_channel *channel)
{
	struct vhu_await_entry oldest;

	for (; channel->n; channel->n--) {
		close_fd(&channel->queue[channel->first].fd);
		channel->first = (channel->first + 1) % VHU_CHANNEL_QUEUE;
	}
	while (vhu_await_first(&channel->await, &oldest)) {
		vhu_await_drop_first(&channel->await);
		if (!oldest.given_up && oldest.waiter)
			return oldest.waiter;
	}
	return NULL;
}

void vhu_channel_close(struct vhu_channel *channel)
{
	struct vhu_channel_call *call;

	vhu_source_remove(steal_ptr(&channel->source));
	vhu_source_remove(steal_ptr(&channel->timer));
	vhu_receiver_finish(&channel->receiver);
	close_fd(&channel->fd);
	do {
		pthread_mutex_lock(&channel->mutex);
		channel->closed = true;
		call = abandon(channel);
		pthread_mutex_unlock(&channel->mutex);
		if (call)
			finish_call(channel, call, -ENOTCONN, -1);
	} while (call);
}

/* Under the mutex. */
static void post_flush(struct vhu_channel *channel)
{
	if (channel->posted)
		return;
	channel->posted = true;
	vhu_channel_ref(channel);
	vhu_loop_post(channel->loop, &channel->flush_call);
}

int vhu_channel_call(struct vhu_channel *channel, uint32_t request, const void *payload,
		     uint32_t payload_bytes, int fd, struct vhu_channel_call *call)
{
	const struct vhu_request_rule *rule = vhu_backend_request_rule(request);
	struct entry entry = { .request = request, .flags = VHU_VERSION, .fd = -1,
			       .payload_bytes = payload_bytes };
	struct vhu_await_entry wait = { .request = request, .waiter = call };
	bool is_answered = rule && rule->reply == VHU_REPLY_ALWAYS;
	int r = 0;

	if (payload_bytes > PAYLOAD_MAX || (is_answered && !call))
		return -EINVAL;
	if (payload_bytes)
		memcpy(entry.payload, payload, payload_bytes);
	if (call && !is_answered)
		entry.flags |= VHU_FLAG_NEED_REPLY;
	if (call)
		wait.deadline_ns = vhu_now_ns() + (call->timeout_ns ? call->timeout_ns
								    : VHU_CHANNEL_TIMEOUT_NS);
	if (fd >= 0) {
		entry.fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		if (entry.fd < 0)
			return -errno;
	}
	pthread_mutex_lock(&channel->mutex);
	if (channel->closed)
		r = -ENOTCONN;
	else if (channel->n == VHU_CHANNEL_QUEUE || (call && vhu_await_is_full(&channel->await)))
		r = -EAGAIN;
	if (r == 0) {
		enqueue(channel, &entry, call ? &wait : NULL);
		post_flush(channel);
	}
	pthread_mutex_unlock(&channel->mutex);
	if (r < 0)
		close_fd(&entry.fd);
	return r;
}

int vhu_channel_send(struct vhu_channel *channel, uint32_t request, const void *payload,
		     uint32_t payload_bytes)
{
	return vhu_channel_call(channel, request, payload, payload_bytes, -1, NULL);
}

void vhu_channel_notify(struct vhu_channel *channel, uint32_t request, uint64_t rings)
{
	notices_of(channel, request)->due |= rings;
	flush(channel);
	set_timer(channel);
}

uint64_t vhu_channel_withdraw(struct vhu_channel *channel, uint32_t request, uint64_t rings)
{
	struct notices *notices = notices_of(channel, request);
	uint64_t unanswered = (notices->due | notices->out) & rings;

	notices->due &= ~rings;
	return unanswered;
}
