/* SPDX-License-Identifier: BSD-3-Clause */
/* The connections of the back-end that breaks rules on demand, and its main. */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/fd.h"
#include "common/base/num.h"
#include "tests/conformance/bad_parts.h"

/* Shorter than vhu-check waits, longer than a message takes. */
#define LOOK_MS 5
/* Of rings whose addresses are known. */
#define TRACKING \
	(VHU_BIT(VHU_PROTOCOL_F_INFLIGHT_SHMFD) | \
	 VHU_BIT(VHU_PROTOCOL_F_GET_VRING_BASE_INFLIGHT))

/* What a bare one offers at most. */
#define BARE \
	(VHU_BIT(VHU_PROTOCOL_F_CONFIG) | VHU_BIT(VHU_PROTOCOL_F_LOG_SHMFD) | \
	 VHU_BIT(VHU_PROTOCOL_F_INFLIGHT_SHMFD) | VHU_BIT(VHU_PROTOCOL_F_PAGEFAULT))
#define BARE_DELAY_US 1000

struct bad_backend bad;

bool breaks(const char *id)
{
	return !strcmp(bad.rule, id);
}

void dies_of(const char *id, bool odd)
{
	if (odd && breaks(id))
		abort();
}

/* Suspended: what must not be done then. */
static void misbehave_when_suspended(void)
{
	struct bad_ring *ring = &bad.rings[0];

	if (!ring->was_started || bad_any_started() || !ring->vring.used)
		return;
	if (breaks("STA-15"))
		ring->vring.used->flags++;
	if (breaks("STA-16"))
		bad_ring_call(ring);
	if (breaks("LOG-10"))
		bad_mark(0, 1);
}

static void look_at_rings(const struct pollfd *pollfds, bool idle)
{
	for (unsigned i = 0; i < BAD_QUEUES; i++) {
		struct bad_ring *ring = &bad.rings[i];

		if (pollfds[i].revents)
			vhu_fd_drain(ring->kick_fd);
		if (pollfds[i].revents || ring->polled || breaks("STA-04"))
			bad_ring_run(ring);
		if (idle && ring->n_late)
			bad_ring_run_late(ring);
	}
}

/* As if they had a thread of their own, which is faster. */
static void look_at_rings_first(struct pollfd *pollfds)
{
	if (!bad.bare || !bad_any_started())
		return;
	usleep(BARE_DELAY_US);
	poll(pollfds, BAD_QUEUES, 0);
	look_at_rings(pollfds, false);
}

static void serve_connection(void)
{
	struct vhu_receiver receiver;
	struct pollfd pollfds[BAD_QUEUES + 1];
	bool goes_on = true;
	int n;

	vhu_receiver_init(&receiver);
	while (goes_on) {
		for (unsigned i = 0; i < BAD_QUEUES; i++)
			pollfds[i] = (struct pollfd){ bad.rings[i].kick_fd, POLLIN, 0 };
		pollfds[BAD_QUEUES] = (struct pollfd){ bad.fd, POLLIN, 0 };
		n = poll(pollfds, BAD_QUEUES + 1, bad.rings[0].polled ? 1 : LOOK_MS);
		/* STA-17: deaf when all rings are stopped. */
		if (pollfds[BAD_QUEUES].revents &&
		    !(breaks("STA-17") && bad.rings[0].was_started && !bad_any_started())) {
			look_at_rings_first(pollfds);
			goes_on = bad_receive(&receiver);
		}
		look_at_rings(pollfds, n == 0);
		if (n == 0)
			misbehave_when_suspended();
	}
	vhu_receiver_finish(&receiver);
}

static void forget_session(void)
{
	for (unsigned i = 0; i < BAD_QUEUES; i++) {
		struct bad_ring *ring = &bad.rings[i];

		close_fd(&ring->kick_fd);
		close_fd(&ring->call_fd);
		close_fd(&ring->err_fd);
		if (!breaks("REC-02"))
			*ring = (struct bad_ring){ .kick_fd = -1, .call_fd = -1, .err_fd = -1 };
		ring->vring.used = NULL;
		ring->started = false;
	}
	bad_forget_postcopy();
	bad_forget_memory();
	bad_forget_iotlb();
	bad_forget_log();
	bad_forget_record();
	bad_forget_state();
	close_fd(&bad.channel_fd);
	close_fd(&bad.fd);
	bad.acked = bad.protocol = bad.status = 0;
}

/* Back-ends that are none: what vhu-check has to bear. */
static void serve_hostile(const char *mode)
{
	const struct vhu_header headers[64] = {
		{ VHU_GET_FEATURES, VHU_VERSION | VHU_FLAG_REPLY,
		  !strcmp(mode, "huge") ? UINT32_MAX : 8 },
	};
	int fds[8] = { 2, 2, 2, 2, 2, 2, 2, 2 };
	char bytes[64];
	bool goes_on = strcmp(mode, "close");

	while (goes_on && vhu_fd_set_nonblock(bad.fd, false) == 0) {
		if (!strcmp(mode, "flood"))
			goes_on = send(bad.fd, headers, sizeof(headers), MSG_NOSIGNAL) > 0;
		else
			goes_on = recv(bad.fd, bytes, sizeof(bytes), 0) > 0;
		if (!strcmp(mode, "exit"))
			_exit(7);
		if (!strcmp(mode, "huge") || !strcmp(mode, "fds"))
			vhu_fd_send(bad.fd, headers, sizeof(headers[0]) + 8, fds,
				    !strcmp(mode, "fds") ? ARRAY_SIZE(fds) : 0, 1000);
	}
}

static int listen_at(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	unlink(path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(fd, 16) < 0) {
		perror(path);
		exit(2);
	}
	return fd;
}

static void offer(void)
{
	bad.offered = VHU_BIT(VHU_F_VERSION_1) | VHU_BIT(VHU_F_RING_INDIRECT_DESC) |
		      VHU_BIT(VHU_F_RING_EVENT_IDX) | VHU_BIT(VHU_F_PROTOCOL_FEATURES);
	bad.protocol_offered = VHU_BIT(VHU_PROTOCOL_F_MQ) | VHU_BIT(VHU_PROTOCOL_F_REPLY_ACK) |
			       VHU_BIT(VHU_PROTOCOL_F_BACKEND_REQ) |
			       VHU_BIT(VHU_PROTOCOL_F_CONFIG) |
			       VHU_BIT(VHU_PROTOCOL_F_RESET_DEVICE) |
			       VHU_BIT(VHU_PROTOCOL_F_CONFIGURE_MEM_SLOTS) |
			       VHU_BIT(VHU_PROTOCOL_F_STATUS);
	bad.offered |= VHU_BIT(VHU_F_LOG_ALL);
	bad.protocol_offered |= TRACKING | VHU_BIT(VHU_PROTOCOL_F_LOG_SHMFD) |
				VHU_BIT(VHU_PROTOCOL_F_DEVICE_STATE) |
				VHU_BIT(VHU_PROTOCOL_F_SHARED_OBJECT) |
				VHU_BIT(VHU_PROTOCOL_F_SHMEM);
	if (bad.packed)
		bad.offered |= VHU_BIT(VHU_F_RING_PACKED) | VHU_BIT(VHU_F_IN_ORDER);
	if (bad.iommu) {
		bad.offered |= VHU_BIT(VHU_F_ACCESS_PLATFORM);
		bad.protocol_offered &= ~TRACKING;
	}
	if (bad_postcopy_can())
		bad.protocol_offered |= VHU_BIT(VHU_PROTOCOL_F_PAGEFAULT);
	if (bad.is_rng)
		bad.protocol_offered &= ~VHU_BIT(VHU_PROTOCOL_F_CONFIG);
	else
		bad.offered |= VHU_BIT(VIRTIO_BLK_F_SEG_MAX) | VHU_BIT(VIRTIO_BLK_F_BLK_SIZE) |
			       VHU_BIT(VIRTIO_BLK_F_FLUSH) | VHU_BIT(VIRTIO_BLK_F_CONFIG_WCE) |
			       VHU_BIT(VIRTIO_BLK_F_DISCARD) | VHU_BIT(VIRTIO_BLK_F_WRITE_ZEROES);
	if (bad.bare)
		bad.protocol_offered &= BARE;
	if (bad.legacy)
		bad.offered &= ~VHU_BIT(VHU_F_PROTOCOL_FEATURES);
	if (bad.read_only)
		bad.offered |= VHU_BIT(VIRTIO_BLK_F_RO);
	if (breaks("FEA-02"))
		bad.offered &= ~VHU_BIT(VHU_F_VERSION_1);
	if (breaks("PRO-02"))
		bad.protocol_offered &= ~VHU_BIT(VHU_PROTOCOL_F_MQ);
	if (breaks("PRO-06") || breaks("CHN-01") || breaks("CHN-02") || breaks("CHN-03"))
		bad.protocol_offered |= VHU_BIT(VHU_PROTOCOL_F_INBAND_NOTIFICATIONS);
	if (breaks("BLK-01") || breaks("BLK-02"))
		bad.offered &= ~VHU_BIT(VIRTIO_BLK_F_FLUSH);
}

int main(int argc, char **argv)
{
	const char *path = NULL, *hostile = NULL;
	int listen_fd;

	bad = (struct bad_backend){ .rule = "", .block = 512, .fd = -1, .channel_fd = -1 };
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--rng"))
			bad.is_rng = true;
		else if (!strcmp(argv[i], "--packed"))
			bad.packed = true;
		else if (!strcmp(argv[i], "--iommu"))
			bad.iommu = true;
		else if (!strcmp(argv[i], "--read-only"))
			bad.read_only = true;
		else if (!strcmp(argv[i], "--bare"))
			bad.bare = true;
		else if (!strcmp(argv[i], "--legacy"))
			bad.legacy = true;
		else if (!strcmp(argv[i], "--break") && i + 1 < argc)
			bad.rule = argv[++i];
		else if (!strcmp(argv[i], "--hostile") && i + 1 < argc)
			hostile = argv[++i];
		else
			path = argv[i];
	}
	if (!path)
		return 2;
	signal(SIGPIPE, SIG_IGN);
	if (breaks("BLK-05"))
		bad.block = 4096;
	for (unsigned i = 0; i < BAD_QUEUES; i++)
		bad.rings[i] = (struct bad_ring){ .kick_fd = -1, .call_fd = -1, .err_fd = -1 };
	bad_device_init();
	offer();
	listen_fd = listen_at(path);
	while ((bad.fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
		bad.n_connections++;
		dies_of("REC-03", bad.n_connections > 40);
		if (hostile)
			serve_hostile(hostile);
		else
			serve_connection();
		forget_session();
	}
	return 1;
}
