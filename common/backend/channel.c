/* SPDX-License-Identifier: BSD-3-Clause */
#include "common/backend/channel.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/fd.h"
#include "common/base/log.h"
#include "common/base/num.h"
#include "common/wire/message.h"

/* The longest back-end request: SHMEM_MAP. */
#define PAYLOAD_MAX sizeof(struct vhu_shmem_map)

struct entry {
	uint32_t request;
	uint32_t payload_bytes;
	uint8_t payload[PAYLOAD_MAX];
};

struct vhu_channel {
	atomic_uint refs;
	struct vhu_loop *loop;

	/* Main's. */
	int fd;
	struct vhu_source *source;
	struct vhu_receiver receiver;

	/* Any thread's, under the mutex. */
	pthread_mutex_t mutex;
	struct entry queue[VHU_CHANNEL_QUEUE];
	unsigned first, n;
	bool closed;
	bool posted;
	struct vhu_call flush_call;
};

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
	pthread_mutex_lock(&channel->mutex);
	channel->first = (channel->first + 1) % VHU_CHANNEL_QUEUE;
	channel->n--;
	pthread_mutex_unlock(&channel->mutex);
}

static void flush(struct vhu_channel *channel)
{
	struct entry entry;

	while (channel->fd >= 0 && peek(channel, &entry)) {
		int r = vhu_message_send(channel->fd, entry.request, VHU_VERSION, entry.payload,
					 entry.payload_bytes, NULL, 0, 0);

		if (r == -EAGAIN) {
			vhu_source_set_events(channel->source, EPOLLIN | EPOLLOUT);
			return;
		}
		if (r < 0) {
			vhu_warning("back-end channel: %s; it is closed", strerror(-r));
			vhu_channel_close(channel);
			return;
		}
		drop_front(channel);
	}
	if (channel->source)
		vhu_source_set_events(channel->source, EPOLLIN);
}

static void flush_posted(struct vhu_call *call)
{
	struct vhu_channel *channel = container_of(call, struct vhu_channel, flush_call);

	pthread_mutex_lock(&channel->mutex);
	channel->posted = false;
	pthread_mutex_unlock(&channel->mutex);
	flush(channel);
	vhu_channel_unref(channel);
}

/*
 * We never ask for replies; what comes is taken off the socket and dropped, so much at a time that
 * others get their turn.
 */
static void drop_replies(struct vhu_channel *channel)
{
	int r = 1;

	for (unsigned i = 0; i < VHU_CHANNEL_QUEUE && r > 0; i++) {
		r = vhu_receiver_read(&channel->receiver, channel->fd);
		if (r > 0)
			vhu_receiver_finish(&channel->receiver);
	}
	if (r < 0 && r != -EAGAIN)
		vhu_channel_close(channel);
}

static void ready(void *data, uint32_t events)
{
	struct vhu_channel *channel = data;

	if (events & EPOLLOUT)
		flush(channel);
	if (channel->fd >= 0 && events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		drop_replies(channel);
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
	channel->flush_call.fn = flush_posted;
	pthread_mutex_init(&channel->mutex, NULL);
	vhu_receiver_init(&channel->receiver);
	r = vhu_fd_set_nonblock(fd, true);
	if (r == 0)
		r = vhu_loop_add_fd(main_loop, fd, EPOLLIN, ready, channel, &channel->source);
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

void vhu_channel_close(struct vhu_channel *channel)
{
	pthread_mutex_lock(&channel->mutex);
	channel->closed = true;
	channel->n = 0;
	pthread_mutex_unlock(&channel->mutex);
	vhu_source_remove(channel->source);
	channel->source = NULL;
	vhu_receiver_finish(&channel->receiver);
	close_fd(&channel->fd);
}

int vhu_channel_send(struct vhu_channel *channel, uint32_t request, const void *payload,
		     uint32_t payload_bytes)
{
	struct entry *entry;
	int r = 0;

	if (payload_bytes > PAYLOAD_MAX)
		return -EINVAL;
	pthread_mutex_lock(&channel->mutex);
	if (channel->closed) {
		r = -ENOTCONN;
	} else if (channel->n == VHU_CHANNEL_QUEUE) {
		r = -EAGAIN;
	} else {
		entry = &channel->queue[(channel->first + channel->n++) % VHU_CHANNEL_QUEUE];
		entry->request = request;
		entry->payload_bytes = payload_bytes;
		if (payload_bytes)
			memcpy(entry->payload, payload, payload_bytes);
		if (!channel->posted) {
			channel->posted = true;
			vhu_channel_ref(channel);
			vhu_loop_post(channel->loop, &channel->flush_call);
		}
	}
	pthread_mutex_unlock(&channel->mutex);
	return r;
}
