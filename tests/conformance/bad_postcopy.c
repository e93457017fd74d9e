/* SPDX-License-Identifier: BSD-3-Clause */
/* Postcopy of the back-end that breaks rules on demand. */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/fd.h"
#include "tests/conformance/bad_parts.h"

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif

static struct {
	int uffd, stop_fd;
	bool listens, registered, watched;
	pthread_t watcher;
} postcopy = { .uffd = -1, .stop_fd = -1 };

static int open_userfaultfd(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);

	if (fd >= 0 && ioctl(fd, UFFDIO_API, &api) < 0)
		close_fd(&fd);
	return fd;
}

bool bad_postcopy_can(void)
{
	cleanup_fd int fd = open_userfaultfd();

	return fd >= 0;
}

static void unregister(void)
{
	for (unsigned i = 0; postcopy.registered && i < bad.n_regions; i++) {
		struct uffdio_range range = {
			(uintptr_t)bad.regions[i].host, bad.regions[i].wire.size
		};

		ioctl(postcopy.uffd, UFFDIO_UNREGISTER, &range);
	}
	postcopy.registered = false;
}

/* The thread that serves may wait for a page for ever: this one sees the connection end. */
static void *watch(void *data)
{
	struct pollfd pollfds[] = {
		{ .fd = postcopy.stop_fd, .events = POLLIN },
		{ .fd = bad.fd, .events = POLLRDHUP },
	};

	poll(pollfds, 2, -1);
	if (pollfds[1].revents && !breaks("PCY-10"))
		unregister();
	return data;
}

void bad_forget_postcopy(void)
{
	if (postcopy.watched) {
		vhu_fd_signal(postcopy.stop_fd);
		pthread_join(postcopy.watcher, NULL);
	}
	unregister();
	close_fd(&postcopy.uffd);
	close_fd(&postcopy.stop_fd);
	postcopy.listens = postcopy.watched = false;
}

int bad_postcopy_advise(struct vhu_message *message)
{
	bad_forget_postcopy();
	postcopy.uffd = open_userfaultfd();
	postcopy.stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	vhu_message_send(bad.fd, message->header.request, VHU_VERSION | VHU_FLAG_REPLY, NULL, 0,
			 &postcopy.uffd, postcopy.uffd >= 0 && !breaks("PCY-01") ? 1 : 0, 1000);
	return BAD_REPLIED;
}

int bad_postcopy_listen(struct vhu_message *message)
{
	(void)message;
	dies_of("PCY-11", postcopy.uffd < 0);
	if (postcopy.uffd < 0)
		return -EINVAL;
	postcopy.listens = true;
	return 0;
}

int bad_postcopy_end(struct vhu_message *message)
{
	bad_reply_u64(message, postcopy.listens ? 0 : EINVAL);
	if (breaks("PCY-08"))
		bad_reply_u64(message, 0);
	if (breaks("PCY-09"))
		unregister();
	else
		bad_forget_postcopy();
	return BAD_REPLIED;
}

bool bad_postcopy_listens(void)
{
	return postcopy.listens;
}

static void watch_memory(void)
{
	for (unsigned i = 0; i < bad.n_regions; i++) {
		struct uffdio_register range = {
			.range = { (uintptr_t)bad.regions[i].host, bad.regions[i].wire.size },
			.mode = UFFDIO_REGISTER_MODE_MISSING,
		};

		ioctl(postcopy.uffd, UFFDIO_REGISTER, &range);
	}
	postcopy.registered = true;
	postcopy.watched = pthread_create(&postcopy.watcher, NULL, watch, NULL) == 0;
}

/* Answers with where the last n regions were mapped; they are watched once that is acknowledged. */
int bad_postcopy_reply(const struct vhu_message *message, struct vhu_wire_region *regions,
		       unsigned n)
{
	bool table = message->header.request == VHU_SET_MEM_TABLE;

	for (unsigned i = 0; i < n && !breaks(table ? "PCY-03" : "PCY-02"); i++)
		regions[i].uaddr = (uintptr_t)bad.regions[bad.n_regions - n + i].host;
	if (breaks("PCY-06"))
		watch_memory();
	vhu_message_send(bad.fd, message->header.request, VHU_VERSION | VHU_FLAG_REPLY,
			 &message->payload, message->header.size, NULL, 0, 1000);
	if (breaks("PCY-06"))
		(void)*(volatile char *)(bad.regions[0].host + bad.regions[0].wire.size - 1);
	return BAD_REPLIED;
}

/* Is it the front-end's ack? Then *ret_result is what becomes of it. */
bool bad_postcopy_takes_ack(const struct vhu_message *message, int *ret_result)
{
	bool table = message->header.request == VHU_SET_MEM_TABLE;

	if (!postcopy.listens || message->n_fds || message->header.size != sizeof(uint64_t))
		return false;
	*ret_result = breaks(table ? "PCY-05" : "PCY-04") ? BAD_CLOSE : BAD_REPLIED;
	if (!postcopy.registered)
		watch_memory();
	return true;
}
