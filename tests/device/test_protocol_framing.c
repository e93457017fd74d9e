/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Messages that break framing end the session and not the program; fds that no rule wants are
 * closed; how a message is cut into pieces does not matter (protocol.md, Front-end messages).
 */
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/num.h"
#include "tests/device/harness.h"

/* More than one read of the back-end brings. */
#define MANY_FDS 100

/* By the specification, not by our own table: the size of each payload, and what ends a session. */
static const struct form {
	uint32_t request;
	uint32_t size, max_size; /* max_size 0: as size */
} forms[] = {
	{ VHU_GET_FEATURES, 0, 0 },	 { VHU_SET_FEATURES, 8, 0 },
	{ VHU_SET_OWNER, 0, 0 },	 { VHU_RESET_OWNER, 0, 0 },
	{ VHU_SET_MEM_TABLE, 8, 264 },	 { VHU_SET_LOG_BASE, 8, 16 },
	{ VHU_SET_LOG_FD, 0, 0 },	 { VHU_SET_VRING_NUM, 8, 0 },
	{ VHU_SET_VRING_ADDR, 40, 0 },	 { VHU_SET_VRING_BASE, 8, 0 },
	{ VHU_GET_VRING_BASE, 8, 0 },	 { VHU_SET_VRING_KICK, 8, 0 },
	{ VHU_SET_VRING_CALL, 8, 0 },	 { VHU_SET_VRING_ERR, 8, 0 },
	{ VHU_GET_PROTOCOL_FEATURES, 0, 0 }, { VHU_SET_PROTOCOL_FEATURES, 8, 0 },
	{ VHU_GET_QUEUE_NUM, 0, 0 },	 { VHU_SET_VRING_ENABLE, 8, 0 },
	{ VHU_SEND_RARP, 8, 0 },	 { VHU_NET_SET_MTU, 8, 0 },
	{ VHU_SET_BACKEND_REQ_FD, 0, 0 }, { VHU_IOTLB_MSG, 32, 0 },
	{ VHU_SET_VRING_ENDIAN, 8, 0 },	 { VHU_GET_CONFIG, 12, 268 },
	{ VHU_SET_CONFIG, 12, 268 },	 { VHU_POSTCOPY_ADVISE, 0, 0 },
	{ VHU_POSTCOPY_LISTEN, 0, 0 },	 { VHU_POSTCOPY_END, 0, 0 },
	{ VHU_GET_INFLIGHT_FD, 20, 24 }, { VHU_SET_INFLIGHT_FD, 20, 24 },
	{ VHU_GPU_SET_SOCKET, 0, 0 },	 { VHU_RESET_DEVICE, 0, 0 },
	{ VHU_VRING_KICK, 8, 0 },	 { VHU_GET_MAX_MEM_SLOTS, 0, 0 },
	{ VHU_ADD_MEM_REG, 8, 40 },	 { VHU_REM_MEM_REG, 40, 0 },
	{ VHU_SET_STATUS, 8, 0 },	 { VHU_GET_STATUS, 0, 0 },
	{ VHU_GET_SHARED_OBJECT, 16, 0 }, { VHU_SET_DEVICE_STATE_FD, 8, 0 },
	{ VHU_CHECK_DEVICE_STATE, 0, 0 }, { VHU_GET_SHMEM_CONFIG, 0, 0 },
};

/* A message that ends the session, and the next one is served. */
static void fatal(struct scene *scene, uint32_t request, uint32_t flags, const void *payload,
		  uint32_t size, const int *fds, unsigned n_fds)
{
	scene_connect(scene);
	send_raw(&scene->frontend, request, flags, payload, size, fds, n_fds);
	scene_expect_closed(scene);
	scene_connect(scene);
	assert_int_equal(vhu_frontend_sync(&scene->frontend), 0);
}

static void wrong_version_ends_the_session(void **state)
{
	static const uint32_t flags[] = { 0, 2, 3, VHU_FLAG_NEED_REPLY, 2 | VHU_FLAG_NEED_REPLY };

	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		fatal(*state, VHU_GET_FEATURES, flags[i], NULL, 0, NULL, 0);
}

static void reply_flag_ends_the_session(void **state)
{
	uint64_t zero = 0;

	fatal(*state, VHU_GET_FEATURES, VHU_VERSION | VHU_FLAG_REPLY, NULL, 0, NULL, 0);
	fatal(*state, VHU_SET_FEATURES, VHU_VERSION | VHU_FLAG_REPLY, &zero, 8, NULL, 0);
	fatal(*state, 1000, VHU_VERSION | VHU_FLAG_REPLY, NULL, 0, NULL, 0);
}

/* The header announces more than any message has; nobody waits for the rest. */
static void huge_size_ends_the_session(void **state)
{
	static const uint32_t sizes[] = { 4097, 65536, 0x7fffffff, 0x80000000, 0xffffffff };
	static const uint32_t requests[] = { VHU_GET_FEATURES, VHU_SET_MEM_TABLE, 1000 };
	struct scene *scene = *state;

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct vhu_header header = { requests[i % 3], VHU_VERSION, sizes[i] };

		scene_connect(scene);
		assert_int_equal(vhu_frontend_send(&scene->frontend, &header, NULL, 0, NULL, 0),
				 0);
		scene_expect_closed(scene);
	}
}

static void wrong_size_ends_the_session(void **state)
{
	static const uint8_t payload[300];

	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		const struct form *form = &forms[i];
		uint32_t max_size = form->max_size ? form->max_size : form->size;

		if (form->size)
			fatal(*state, form->request, VHU_VERSION, payload, form->size - 1, NULL, 0);
		fatal(*state, form->request, VHU_VERSION, payload, max_size + 1, NULL, 0);
	}
}

/* The length inside the message is not that of the header. */
static void wrong_inner_size_ends_the_session(void **state)
{
	static const uint32_t sizes[] = { 0, 7, 9, 256, 0xffffffff };
	struct vhu_config config = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		config.size = sizes[i];
		fatal(*state, VHU_GET_CONFIG, VHU_VERSION, &config, 20, NULL, 0);
		fatal(*state, VHU_SET_CONFIG, VHU_VERSION, &config, 20, NULL, 0);
	}
}

static void region_count_is_bounded(void **state)
{
	static const uint32_t counts[] = { 9, 64, 0x10000000, 0xffffffff };
	struct scene *scene = *state;
	struct vhu_mem_table table = { 0 };
	cleanup_fd int fd = make_memfd(4096);
	int fds[9];

	for (unsigned i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = fd;
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		table.n_regions = counts[i];
		fatal(scene, VHU_SET_MEM_TABLE, VHU_VERSION, &table, sizeof(table), fds, 8);
		fatal(scene, VHU_SET_MEM_TABLE, VHU_VERSION, &table, sizeof(table), fds, 9);
	}
	/* Two regions in a message that has room for one. */
	table.n_regions = 2;
	fatal(scene, VHU_SET_MEM_TABLE, VHU_VERSION, &table, 40, fds, 2);
}

static void missing_fds_end_the_session(void **state)
{
	struct scene *scene = *state;
	struct vhu_mem_table table = { .n_regions = 2 };
	struct vhu_single_region single = { 0 };
	cleanup_fd int fd = make_memfd(4096);
	uint64_t index = 0;

	fatal(scene, VHU_SET_MEM_TABLE, VHU_VERSION, &table, 72, &fd, 1);
	fatal(scene, VHU_SET_MEM_TABLE, VHU_VERSION, &table, 72, NULL, 0);
	fatal(scene, VHU_ADD_MEM_REG, VHU_VERSION, &single, sizeof(single), NULL, 0);
	fatal(scene, VHU_SET_BACKEND_REQ_FD, VHU_VERSION, NULL, 0, NULL, 0);
	fatal(scene, VHU_SET_VRING_KICK, VHU_VERSION, &index, 8, NULL, 0);
	fatal(scene, VHU_SET_VRING_CALL, VHU_VERSION, &index, 8, NULL, 0);
	fatal(scene, VHU_SET_VRING_ERR, VHU_VERSION, &index, 8, NULL, 0);
}

static void surplus_fds_end_the_session(void **state)
{
	struct scene *scene = *state;
	struct vhu_mem_table table = { .n_regions = 1, .regions[0] = { 0, 4096, 1 << 20, 0 } };
	struct vhu_single_region single = { .region = { 0, 4096, 1 << 20, 0 } };
	cleanup_fd int fd = make_memfd(4096);
	uint64_t index = 0, no_fd = VHU_VRING_NO_FD;
	int fds[MANY_FDS];

	for (unsigned i = 0; i < MANY_FDS; i++)
		fds[i] = fd;
	fatal(scene, VHU_SET_MEM_TABLE, VHU_VERSION, &table, 40, fds, 2);
	fatal(scene, VHU_ADD_MEM_REG, VHU_VERSION, &single, sizeof(single), fds, 2);
	fatal(scene, VHU_SET_BACKEND_REQ_FD, VHU_VERSION, NULL, 0, fds, 2);
	fatal(scene, VHU_SET_VRING_KICK, VHU_VERSION, &index, 8, fds, 2);
	fatal(scene, VHU_SET_VRING_CALL, VHU_VERSION, &index, 8, fds, 2);
	fatal(scene, VHU_SET_VRING_CALL, VHU_VERSION, &no_fd, 8, fds, 1);
	/* More than the back-end has room for: the kernel cuts them off. */
	fatal(scene, VHU_GET_FEATURES, VHU_VERSION, NULL, 0, fds, MANY_FDS);
	fatal(scene, VHU_SET_MEM_TABLE, VHU_VERSION, &table, 40, fds, MANY_FDS);
	vhu_frontend_disconnect(&scene->frontend);
	program_wait_fds(&scene->program, scene->idle_fds);
}

/* Others leaked eight a message. */
static void unwanted_fds_are_closed(void **state)
{
	struct scene *scene = *state;
	struct vhu_frontend *frontend = &scene->frontend;
	cleanup_fd int fd = make_eventfd(0, 0);
	int fds[8] = { fd, fd, fd, fd, fd, fd, fd, fd };
	struct vhu_vring_state index = { 0, 0 };
	struct vhu_message reply;
	unsigned n_fds;

	scene_negotiate(scene);
	n_fds = scene_fds(scene);
	for (int i = 0; i < 100; i++) {
		send_raw(frontend, VHU_GET_FEATURES, VHU_VERSION, NULL, 0, fds, 8);
		assert_int_equal(vhu_frontend_receive(frontend, &reply), 0);
		assert_int_equal(reply.header.request, VHU_GET_FEATURES);
		assert_int_equal(vhu_frontend_call(frontend, VHU_SET_VRING_ENABLE, &index, 8, fds,
						   8, NULL), 0);
	}
	assert_int_equal(scene_fds(scene), n_fds);
}

static void fds_of_a_torn_message_are_closed(void **state)
{
	struct vhu_header header = { VHU_SET_BACKEND_REQ_FD, VHU_VERSION, 0 };
	struct scene *scene = *state;
	cleanup_fd int fd = make_eventfd(0, 0);
	int fds[8] = { fd, fd, fd, fd, fd, fd, fd, fd };

	for (int i = 0; i < 20; i++) {
		scene_connect(scene);
		assert_int_equal(vhu_frontend_send_bytes(&scene->frontend, &header, 5, fds, 8), 0);
		vhu_frontend_disconnect(&scene->frontend);
	}
	program_wait_fds(&scene->program, scene->idle_fds);
}

/* Sends one byte at a time, the fd with byte number fd_at, each in a segment of its own. */
static void send_in_bytes(struct vhu_frontend *frontend, uint32_t request, uint32_t flags,
			  const void *payload, uint32_t size, int fd, uint32_t fd_at)
{
	struct {
		struct vhu_header header;
		uint8_t payload[64];
	} message = { .header = { request, flags, size } };
	const char *bytes = (const char *)&message;

	if (size)
		memcpy(message.payload, payload, size);
	for (uint32_t i = 0; i < sizeof(message.header) + size; i++) {
		bool has_fd = fd >= 0 && i == fd_at;

		assert_int_equal(vhu_frontend_send_bytes(frontend, bytes + i, 1, &fd, has_fd), 0);
		if (i % 8 == 0)
			sleep_ms(1); /* lets the back-end read a piece */
	}
}

static void expect_ack(struct vhu_frontend *frontend, uint32_t request, uint64_t value)
{
	struct vhu_message reply;

	assert_int_equal(vhu_frontend_receive(frontend, &reply), 0);
	assert_int_equal(reply.header.request, request);
	assert_int_equal(reply.payload.u64, value);
}

static void bytes_may_come_one_by_one(void **state)
{
	const uint32_t flags = VHU_VERSION | VHU_FLAG_NEED_REPLY;
	struct scene *scene = *state;
	struct vhu_frontend *frontend = &scene->frontend;
	struct vhu_guest_region *memory = &frontend->guest.regions[0];
	struct vhu_single_region single = { .region = memory->wire };
	struct vhu_message reply;

	scene_connect(scene);
	assert_int_equal(vhu_frontend_negotiate(frontend, VHU_FRONTEND_FEATURES,
						VHU_FRONTEND_PROTOCOL_FEATURES), 0);
	send_in_bytes(frontend, VHU_GET_FEATURES, VHU_VERSION, NULL, 0, -1, 0);
	assert_int_equal(vhu_frontend_receive(frontend, &reply), 0);
	assert_int_equal(reply.header.request, VHU_GET_FEATURES);
	for (uint32_t fd_at = 0; fd_at < 52; fd_at += 17) {
		send_in_bytes(frontend, VHU_ADD_MEM_REG, flags, &single, sizeof(single),
			      memory->fd, fd_at);
		expect_ack(frontend, VHU_ADD_MEM_REG, 0);
		send_in_bytes(frontend, VHU_REM_MEM_REG, flags, &single, sizeof(single), -1, 0);
		expect_ack(frontend, VHU_REM_MEM_REG, 0);
	}
}

static void messages_may_come_together(void **state)
{
	struct scene *scene = *state;
	struct vhu_frontend *frontend = &scene->frontend;
	struct {
		struct vhu_header header;
		uint64_t payload;
	} __attribute__((packed)) messages[100];
	struct vhu_message reply;

	scene_negotiate(scene);
	for (unsigned i = 0; i < ARRAY_SIZE(messages); i++) {
		messages[i].header = (struct vhu_header){
			VHU_SET_STATUS, VHU_VERSION | VHU_FLAG_NEED_REPLY, 8 };
		messages[i].payload = i % 2 ? 0x100 : i;
	}
	assert_int_equal(vhu_frontend_send_bytes(frontend, messages,
						 ARRAY_SIZE(messages) * sizeof(messages[0]), NULL,
						 0), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(messages); i++) {
		assert_int_equal(vhu_frontend_receive(frontend, &reply), 0);
		assert_int_equal(reply.header.request, VHU_SET_STATUS);
		assert_int_equal(!!reply.payload.u64, i % 2);
	}
}

/*
 * The order of a usual start, for a front-end that goes at each point of it. channel_fd: the
 * back-end's end of a socket.
 */
static void send_start_with(struct scene *scene, unsigned n_messages, size_t cut_bytes,
			    int channel_fd)
{
	struct vhu_frontend *frontend = &scene->frontend;
	struct vhu_guest_region *memory = &frontend->guest.regions[0];
	cleanup_fd int fd = make_eventfd(0, EFD_NONBLOCK);
	const struct vhu_vring_state num = { 0, RING_SIZE }, base = { 0, 0 }, on = { 0, 1 };
	const uint64_t features = VHU_BIT(VHU_F_PROTOCOL_FEATURES) | VHU_BIT(VHU_F_VERSION_1);
	const uint64_t protocol = VHU_BIT(VHU_PROTOCOL_F_CONFIGURE_MEM_SLOTS) |
				  VHU_BIT(VHU_PROTOCOL_F_BACKEND_REQ);
	const uint64_t index = 0;
	const struct vhu_single_region region = { .region = memory->wire };
	const struct vhu_vring_addr addr = {
		.desc_uaddr = memory->wire.uaddr,
		.avail_uaddr = memory->wire.uaddr + 4096,
		.used_uaddr = memory->wire.uaddr + 8192,
	};
	const struct {
		uint32_t request, size;
		const void *payload;
		int fd;
	} start[] = {
		{ VHU_GET_FEATURES, 0, NULL, -1 },
		{ VHU_GET_PROTOCOL_FEATURES, 0, NULL, -1 },
		{ VHU_SET_PROTOCOL_FEATURES, 8, &protocol, -1 },
		{ VHU_GET_QUEUE_NUM, 0, NULL, -1 },
		{ VHU_SET_BACKEND_REQ_FD, 0, NULL, channel_fd },
		{ VHU_SET_OWNER, 0, NULL, -1 },
		{ VHU_SET_VRING_CALL, 8, &index, fd },
		{ VHU_SET_FEATURES, 8, &features, -1 },
		{ VHU_ADD_MEM_REG, sizeof(region), &region, memory->fd },
		{ VHU_SET_VRING_NUM, 8, &num, -1 },
		{ VHU_SET_VRING_BASE, 8, &base, -1 },
		{ VHU_SET_VRING_ADDR, sizeof(addr), &addr, -1 },
		{ VHU_SET_VRING_KICK, 8, &index, fd },
		{ VHU_SET_VRING_ERR, 8, &index, fd },
		{ VHU_SET_VRING_ENABLE, 8, &on, -1 },
		{ VHU_REM_MEM_REG, sizeof(region), &region, -1 },
		{ VHU_GET_VRING_BASE, 8, &base, -1 },
	};

	assert_true(n_messages <= ARRAY_SIZE(start));
	for (unsigned i = 0; i < n_messages; i++)
		send_raw(frontend, start[i].request, VHU_VERSION, start[i].payload, start[i].size,
			 &start[i].fd, start[i].fd >= 0);
	if (cut_bytes && n_messages < ARRAY_SIZE(start)) {
		struct vhu_header header = { start[n_messages].request, VHU_VERSION,
					     start[n_messages].size };

		assert_int_equal(vhu_frontend_send_bytes(frontend, &header, cut_bytes,
							 &start[n_messages].fd,
							 start[n_messages].fd >= 0), 0);
	}
}
#define START_MESSAGES 17

static void send_start(struct scene *scene, unsigned n_messages, size_t cut_bytes)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	send_start_with(scene, n_messages, cut_bytes, fds[1]);
	close(fds[0]);
	close(fds[1]);
}

static void frontends_go_at_every_boundary(void **state)
{
	struct scene *scene = *state;

	for (unsigned n = 0; n <= START_MESSAGES; n++) {
		scene_connect(scene);
		send_start(scene, n, 0);
		vhu_frontend_disconnect(&scene->frontend);
		scene_connect(scene);
		send_start(scene, n, 0);
		/* Half of the connection closed: nothing follows, but we still listen. */
		shutdown(scene->frontend.fd, SHUT_WR);
		scene_expect_closed(scene);
	}
}

static void frontends_go_amid_messages(void **state)
{
	static const size_t cuts[] = { 1, 4, 11, 12 };
	struct scene *scene = *state;

	for (unsigned n = 0; n <= START_MESSAGES; n++) {
		scene_connect(scene);
		send_start(scene, n, cuts[n % ARRAY_SIZE(cuts)]);
		vhu_frontend_disconnect(&scene->frontend);
	}
}

/* All the same with acks, where the program has something to say to who has gone. */
static void frontends_go_without_reading(void **state)
{
	struct scene *scene = *state;

	for (unsigned n = 1; n <= 60; n++) {
		scene_negotiate(scene);
		for (unsigned i = 0; i < n; i++)
			send_raw(&scene->frontend, VHU_SET_OWNER,
				 VHU_VERSION | VHU_FLAG_NEED_REPLY, NULL, 0, NULL, 0);
		vhu_frontend_disconnect(&scene->frontend);
	}
}

static void noise_ends_the_session(void **state)
{
	struct scene *scene = *state;
	uint32_t noise[256], random = 1;

	for (unsigned round = 0; round < 50; round++) {
		for (unsigned i = 0; i < ARRAY_SIZE(noise); i++)
			noise[i] = random = random * 1664525 + 1013904223;
		scene_connect(scene);
		noise[1] = round % 2 ? noise[1] : VHU_VERSION;
		noise[0] = round % 3 ? noise[0] : noise[0] % 45;
		noise[2] = round % 5 ? noise[2] : noise[2] % 300;
		(void)vhu_frontend_send_bytes(&scene->frontend, noise, sizeof(noise), NULL, 0);
		shutdown(scene->frontend.fd, SHUT_WR);
		scene_expect_closed(scene);
	}
}

int main(int argc, char **argv)
{
	static const struct device_test tests[] = {
		DEVICE_TEST(wrong_version_ends_the_session, ON_BOTH),
		DEVICE_TEST(reply_flag_ends_the_session, ON_BOTH),
		DEVICE_TEST(huge_size_ends_the_session, ON_BOTH),
		DEVICE_TEST(wrong_size_ends_the_session, ON_BOTH),
		DEVICE_TEST(wrong_inner_size_ends_the_session, ON_BOTH),
		DEVICE_TEST(region_count_is_bounded, ON_BOTH),
		DEVICE_TEST(missing_fds_end_the_session, ON_BOTH),
		DEVICE_TEST(surplus_fds_end_the_session, ON_BOTH),
		DEVICE_TEST(unwanted_fds_are_closed, ON_BOTH),
		DEVICE_TEST(fds_of_a_torn_message_are_closed, ON_BOTH),
		DEVICE_TEST(bytes_may_come_one_by_one, ON_BOTH),
		DEVICE_TEST(messages_may_come_together, ON_BOTH),
		DEVICE_TEST(frontends_go_at_every_boundary, ON_BOTH),
		DEVICE_TEST(frontends_go_amid_messages, ON_BOTH),
		DEVICE_TEST(frontends_go_without_reading, ON_BOTH),
		DEVICE_TEST(noise_ends_the_session, ON_BOTH),
	};

	return run_device_tests(tests, ARRAY_SIZE(tests), argc, argv);
}
