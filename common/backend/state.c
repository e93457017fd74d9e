/* SPDX-License-Identifier: BSD-3-Clause */
#include "common/backend/state.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/backend/slots.h"
#include "common/base/cleanup.h"
#include "common/base/fd.h"
#include "common/base/log.h"

#define MAGIC "vhustate"
#define FIRST_BYTES 4096

/* Numbers are little-endian: the destination may be another machine. */
struct header {
	char magic[8];
	char name[16]; /* of the device, zero-padded */
	uint32_t version;
	uint32_t zero;
	uint64_t len; /* of what follows */
};
static_assert(sizeof(struct header) == 40, "state header");

size_t vhu_state_max(const struct vhu_device *device)
{
	return sizeof(struct header) + (device->ops->state_bytes_max ?
						device->ops->state_bytes_max : VHU_STATE_MAX_BYTES);
}

int vhu_state_pack(struct vhu_device *device, void **ret_bytes, size_t *ret_len)
{
	struct header header = { .magic = MAGIC, .version = htole32(device->ops->state_version) };
	cleanup_free void *state = NULL;
	size_t len;
	char *bytes;
	int r = vhu_device_save(device, &state, &len);

	if (r == 0 && len > vhu_state_max(device) - sizeof(header))
		r = -EFBIG;
	if (r < 0) {
		vhu_error("%s: cannot save its state: %s", device->ops->name, strerror(-r));
		return r;
	}
	bytes = malloc(sizeof(header) + len);
	if (!bytes)
		return -ENOMEM;
	assert(strlen(device->ops->name) < sizeof(header.name));
	strcpy(header.name, device->ops->name);
	header.len = htole64(len);
	memcpy(bytes, &header, sizeof(header));
	if (len)
		memcpy(bytes + sizeof(header), state, len);
	*ret_bytes = bytes;
	*ret_len = sizeof(header) + len;
	return 0;
}

static int check_header(const struct vhu_device *device, const struct header *header, size_t len)
{
	if (memcmp(header->magic, MAGIC, sizeof(header->magic)) || header->zero ||
	    !memchr(header->name, '\0', sizeof(header->name))) {
		vhu_error("%s: what was to be loaded is no state of a device", device->ops->name);
		return -EINVAL;
	}
	if (strcmp(header->name, device->ops->name)) {
		vhu_error("%s: the state to be loaded is that of a device of another kind",
			  device->ops->name);
		return -EXDEV;
	}
	if (le32toh(header->version) > device->ops->state_version) {
		vhu_error("%s: the state to be loaded has version %u, this program knows up to %u",
			  device->ops->name, le32toh(header->version),
			  device->ops->state_version);
		return -EPROTONOSUPPORT;
	}
	if (le64toh(header->len) != len - sizeof(*header)) {
		vhu_error("%s: the state to be loaded should have %llu bytes and has %zu",
			  device->ops->name, (unsigned long long)le64toh(header->len),
			  len - sizeof(*header));
		return -EINVAL;
	}
	return 0;
}

int vhu_state_unpack(struct vhu_device *device, const void *bytes, size_t len)
{
	struct header header;
	int r;

	if (len < sizeof(header)) {
		vhu_error("%s: what was to be loaded is too short for a state", device->ops->name);
		return -EINVAL;
	}
	memcpy(&header, bytes, sizeof(header));
	r = check_header(device, &header, len);
	if (r < 0)
		return r;
	r = vhu_device_load(device, le32toh(header.version), (const char *)bytes + sizeof(header),
			    len - sizeof(header));
	if (r < 0)
		vhu_error("%s: cannot load its state: %s", device->ops->name, strerror(-r));
	return r;
}

/* The thread has one reference, which its post to main takes over; who made it the other. */
struct vhu_state_transfer {
	pthread_mutex_t mutex;
	unsigned refs;
	bool dropped;
	bool ended; /* main's */
	int result; /* the thread's, then main's */
	enum vhu_state_direction direction;
	int fd, wake_fd;
	uint64_t timeout_ns;
	char *bytes;
	size_t len, room, max; /* load: what is there, allocated, and the most that may be */
	struct vhu_loop *loop;
	struct vhu_call call;
	vhu_state_ended_fn fn;
	void *data;
};

static void unref(struct vhu_state_transfer *transfer)
{
	unsigned refs;

	pthread_mutex_lock(&transfer->mutex);
	refs = --transfer->refs;
	pthread_mutex_unlock(&transfer->mutex);
	if (refs)
		return;
	pthread_mutex_destroy(&transfer->mutex);
	close_fd(&transfer->fd);
	close_fd(&transfer->wake_fd);
	free(transfer->bytes);
	free(transfer);
}

static void ended_posted(struct vhu_call *call)
{
	struct vhu_state_transfer *transfer = container_of(call, struct vhu_state_transfer, call);

	if (!transfer->dropped) {
		transfer->ended = true;
		transfer->fn(transfer->data);
	}
	unref(transfer);
}

/* 0: fd is ready, or says why not when it is used. */
static int wait_for(struct vhu_state_transfer *transfer, short events)
{
	struct pollfd fds[2] = {
		{ .fd = transfer->fd, .events = events },
		{ .fd = transfer->wake_fd, .events = POLLIN },
	};
	int n = poll(fds, 2, (int)(transfer->timeout_ns / NS_PER_MS));

	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	if (fds[1].revents)
		return -ECANCELED;
	return n ? 0 : -ETIMEDOUT;
}

static int send_all(struct vhu_state_transfer *transfer)
{
	size_t done = 0;
	int r = 0;

	while (r == 0 && done < transfer->len) {
		ssize_t n;

		r = wait_for(transfer, POLLOUT);
		if (r < 0)
			break;
		n = write(transfer->fd, transfer->bytes + done, transfer->len - done);
		if (n >= 0)
			done += (size_t)n;
		else if (errno != EAGAIN && errno != EINTR)
			r = -errno;
	}
	return r;
}

static int make_room(struct vhu_state_transfer *transfer)
{
	size_t room = transfer->room ? 2 * transfer->room : FIRST_BYTES;
	char *bytes;

	if (transfer->len < transfer->room)
		return 0;
	if (transfer->len == transfer->max)
		return -EFBIG;
	if (room > transfer->max)
		room = transfer->max;
	bytes = realloc(transfer->bytes, room);
	if (!bytes)
		return -ENOMEM;
	transfer->bytes = bytes;
	transfer->room = room;
	return 0;
}

static int receive_all(struct vhu_state_transfer *transfer)
{
	for (;;) {
		ssize_t n;
		int r = make_room(transfer);

		if (r == 0)
			r = wait_for(transfer, POLLIN);
		if (r < 0)
			return r;
		n = read(transfer->fd, transfer->bytes + transfer->len,
			 transfer->room - transfer->len);
		if (n == 0)
			return 0;
		if (n > 0)
			transfer->len += (size_t)n;
		else if (errno != EAGAIN && errno != EINTR)
			return -errno;
	}
}

static void *transfer_thread(void *data)
{
	struct vhu_state_transfer *transfer = data;
	bool dropped;

	transfer->result = transfer->direction == VHU_STATE_SAVE ? send_all(transfer)
								 : receive_all(transfer);
	/* The end of the file is what tells the front-end that it has all. */
	close_fd(&transfer->fd);
	pthread_mutex_lock(&transfer->mutex);
	dropped = transfer->dropped;
	if (!dropped)
		vhu_loop_post(transfer->loop, &transfer->call);
	pthread_mutex_unlock(&transfer->mutex);
	if (dropped)
		unref(transfer);
	return NULL;
}

static int start_thread(struct vhu_state_transfer *transfer)
{
	sigset_t all, before;
	pthread_attr_t attr;
	pthread_t thread;
	int r;

	/* Signals are main's, and SIGPIPE nobody's. */
	sigfillset(&all);
	sigdelset(&all, SIGBUS);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = -pthread_create(&thread, &attr, transfer_thread, transfer);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return r;
}

bool vhu_state_fd_fits(int fd, enum vhu_state_direction direction)
{
	int mode = fcntl(fd, F_GETFL) & O_ACCMODE;

	return mode == O_RDWR || mode == (direction == VHU_STATE_SAVE ? O_WRONLY : O_RDONLY);
}

int vhu_state_transfer_new(struct vhu_loop *loop, enum vhu_state_direction direction, int fd,
			   void *bytes, size_t len, uint64_t timeout_ns, vhu_state_ended_fn ended,
			   void *data, struct vhu_state_transfer **ret_transfer)
{
	struct vhu_state_transfer *transfer = calloc(1, sizeof(*transfer));
	int r;

	if (!transfer) {
		close(fd);
		free(bytes);
		return -ENOMEM;
	}
	*transfer = (struct vhu_state_transfer){
		.refs = 2,
		.direction = direction,
		.fd = fd,
		.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
		.timeout_ns = timeout_ns,
		.bytes = bytes,
		.len = bytes ? len : 0,
		/* The end of file has to be seen, too. */
		.max = len + 1,
		.loop = loop,
		.call.fn = ended_posted,
		.fn = ended,
		.data = data,
	};
	pthread_mutex_init(&transfer->mutex, NULL);
	r = transfer->wake_fd < 0 ? -errno : vhu_fd_set_nonblock(fd, true);
	if (r == 0)
		r = start_thread(transfer);
	if (r < 0) {
		unref(transfer);
		unref(transfer);
		return r;
	}
	*ret_transfer = transfer;
	return 0;
}

void vhu_state_transfer_drop(struct vhu_state_transfer *transfer)
{
	if (!transfer)
		return;
	pthread_mutex_lock(&transfer->mutex);
	transfer->dropped = true;
	pthread_mutex_unlock(&transfer->mutex);
	(void)!eventfd_write(transfer->wake_fd, 1);
	unref(transfer);
}

int vhu_state_transfer_result(const struct vhu_state_transfer *transfer)
{
	return transfer->ended ? transfer->result : -EINPROGRESS;
}

const void *vhu_state_transfer_bytes(const struct vhu_state_transfer *transfer, size_t *ret_len)
{
	*ret_len = transfer->len;
	return transfer->bytes;
}

enum vhu_state_direction vhu_state_transfer_direction(const struct vhu_state_transfer *transfer)
{
	return transfer->direction;
}
