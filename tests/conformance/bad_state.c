/* SPDX-License-Identifier: BSD-3-Clause */
/* The state, the shared objects and the shared memory of the back-end that breaks rules. */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/fd.h"
#include "common/base/num.h"
#include "tests/conformance/bad_parts.h"

#define NO_FD 256u

static const char own_state[64] = "the state of a back-end that has none to speak of";

static struct {
	pthread_t thread;
	bool loads, loaded;
	int fd;
	char buf[128];
	size_t len;
} transfer = { .fd = -1 };

/* All of it is read, and the first bytes are kept. */
static void *read_state(void *data)
{
	char rest[4096];
	ssize_t n;

	(void)data;
	transfer.len = 0;
	vhu_fd_set_nonblock(transfer.fd, false);
	while ((n = read(transfer.fd, rest, sizeof(rest))) > 0) {
		size_t room = sizeof(transfer.buf) - transfer.len;

		memcpy(transfer.buf + transfer.len, rest, min_u64(room, (uint64_t)n));
		transfer.len += min_u64(room, (uint64_t)n);
	}
	return NULL;
}

static void end_load(void)
{
	if (transfer.loads)
		pthread_join(transfer.thread, NULL);
	transfer.loaded = transfer.loads;
	transfer.loads = false;
	close_fd(&transfer.fd);
}

void bad_forget_state(void)
{
	end_load();
	transfer.loaded = false;
}

static int begin_load(struct vhu_message *message, int fd)
{
	if (breaks("DST-02"))
		return bad_reply_u64(message, EINVAL | NO_FD);
	transfer.fd = fd;
	if (breaks("DST-04"))
		read_state(NULL);
	else
		transfer.loads = pthread_create(&transfer.thread, NULL, read_state, NULL) == 0;
	return bad_reply_u64(message, NO_FD);
}

static int save(struct vhu_message *message, int fd)
{
	static unsigned n;

	if (breaks("DST-03") && n++)
		return bad_reply_u64(message, EINVAL | NO_FD);
	if (write(fd, own_state, sizeof(own_state)) != sizeof(own_state))
		return bad_reply_u64(message, EIO | NO_FD);
	/* DST-01: its end stays open. */
	if (!breaks("DST-01"))
		close(fd);
	return bad_reply_u64(message, NO_FD);
}

int bad_set_device_state_fd(struct vhu_message *message)
{
	const struct vhu_transfer_state *how = &message->payload.transfer;
	int fd;

	end_load();
	dies_of("DST-07", how->direction > 1 || how->phase);
	if (how->direction > 1 || how->phase)
		return bad_reply_u64(message, EINVAL | NO_FD);
	fd = vhu_message_steal_fd(message, 0);
	return how->direction ? begin_load(message, fd) : save(message, fd);
}

int bad_check_device_state(struct vhu_message *message)
{
	bool right;

	end_load();
	right = !transfer.loaded || (transfer.len == sizeof(own_state) &&
				     !memcmp(transfer.buf, own_state, sizeof(own_state)));
	dies_of("DST-06", !right);
	transfer.loaded = false;
	return bad_reply_u64(message, right || breaks("DST-05") ? 0 : EINVAL);
}

/* It has none. */
int bad_get_shared_object(struct vhu_message *message)
{
	int fd = STDERR_FILENO;

	vhu_message_send(bad.fd, message->header.request, VHU_VERSION | VHU_FLAG_REPLY, NULL, 0,
			 &fd, breaks("CHN-04") ? 1 : 0, 1000);
	return BAD_REPLIED;
}

int bad_get_shmem_config(struct vhu_message *message)
{
	struct vhu_shmem_config config = { .n_regions = 1, .size = { 4096 } };

	if (breaks("CHN-05"))
		config.size[0] = 100;
	vhu_message_send(bad.fd, message->header.request, VHU_VERSION | VHU_FLAG_REPLY, &config,
			 sizeof(config), NULL, 0, 1000);
	return BAD_REPLIED;
}
