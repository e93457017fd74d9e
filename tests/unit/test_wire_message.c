/* SPDX-License-Identifier: BSD-3-Clause */
/* Messages through a socket: any cut of the bytes, any fds, and no fd is ever lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/num.h"
#include "common/wire/message.h"

#define TIMEOUT_MS 2000

struct pair {
	int ours;  /* the receiver's, non-blocking */
	int peers; /* the sender's */
	unsigned fds_before;
};

static unsigned count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static void open_pair(struct pair *pair)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	pair->ours = fds[0];
	pair->peers = fds[1];
	assert_int_equal(vhu_fd_set_nonblock(pair->ours, true), 0);
}

static void close_pair(struct pair *pair)
{
	close_fd(&pair->ours);
	close_fd(&pair->peers);
}

static int setup(void **state)
{
	struct pair *pair = calloc(1, sizeof(*pair));

	pair->fds_before = count_fds();
	open_pair(pair);
	*state = pair;
	return 0;
}

/* Each test leaves only the sockets, so that none of them can lose an fd unnoticed. */
static int teardown(void **state)
{
	struct pair *pair = *state;
	unsigned fds_after;

	close_pair(pair);
	fds_after = count_fds();
	if (fds_after != pair->fds_before)
		print_error("%u fds before, %u after\n", pair->fds_before, fds_after);
	fds_after -= pair->fds_before;
	free(pair);
	return fds_after ? -1 : 0;
}

/* Sends bytes with n_fds descriptors of /dev/null, which are closed on this side. */
static void send_bytes(const struct pair *pair, const void *bytes, size_t len, unsigned n_fds)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(200 * sizeof(int))];
	} control;
	struct iovec iov = { .iov_base = (void *)(uintptr_t)bytes, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	int fds[200];

	for (unsigned i = 0; i < n_fds; i++)
		fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (n_fds) {
		memset(&control, 0, sizeof(control));
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(&control.header), fds, n_fds * sizeof(int));
	}
	assert_int_equal(sendmsg(pair->peers, &msg, MSG_NOSIGNAL), len);
	for (unsigned i = 0; i < n_fds; i++)
		close(fds[i]);
}

struct wire_message {
	struct vhu_header header;
	struct vhu_vring_addr addr;
} __attribute__((packed));

static const struct wire_message sample = {
	.header = { VHU_SET_VRING_ADDR, VHU_VERSION, sizeof(struct vhu_vring_addr) },
	.addr = { 1, 2, 0x1111, 0x2222, 0x3333, 0x4444 },
};

static void expect_sample(const struct vhu_receiver *receiver, unsigned n_fds)
{
	const struct vhu_message *message = &receiver->message;

	assert_memory_equal(&message->header, &sample.header, sizeof(sample.header));
	assert_memory_equal(&message->payload.vring_addr, &sample.addr, sizeof(sample.addr));
	assert_int_equal(message->n_fds, n_fds);
	for (unsigned i = 0; i < n_fds; i++)
		assert_int_equal(fcntl(message->fds[i], F_GETFD), FD_CLOEXEC);
}

static void test_byte_by_byte(void **state)
{
	const struct pair *pair = *state;
	struct vhu_receiver receiver;

	vhu_receiver_init(&receiver);
	for (size_t i = 0; i < sizeof(sample); i++) {
		assert_int_equal(vhu_receiver_read(&receiver, pair->ours), -EAGAIN);
		assert_int_equal(receiver.got, i);
		send_bytes(pair, (const char *)&sample + i, 1, 0);
	}
	assert_int_equal(vhu_receiver_read(&receiver, pair->ours), 1);
	expect_sample(&receiver, 0);
	vhu_receiver_finish(&receiver);
}

/* An fd may come with the first byte, a later one, or several of them. */
static void test_fds_on_any_byte(void **state)
{
	const struct pair *pair = *state;
	struct vhu_receiver receiver;

	vhu_receiver_init(&receiver);
	for (size_t with_fd = 0; with_fd < sizeof(sample); with_fd++) {
		for (size_t i = 0; i < sizeof(sample); i++)
			send_bytes(pair, (const char *)&sample + i, 1, i == with_fd ? 3 : 0);
		assert_int_equal(vhu_receiver_read(&receiver, pair->ours), 1);
		expect_sample(&receiver, 3);
		vhu_receiver_finish(&receiver);
	}
	for (size_t i = 0; i < sizeof(sample); i++)
		send_bytes(pair, (const char *)&sample + i, 1, 1);
	assert_int_equal(vhu_receiver_read(&receiver, pair->ours), 1);
	expect_sample(&receiver, sizeof(sample));
	vhu_receiver_finish(&receiver);
}

/* Messages that lie in the socket together do not run into each other; nor do their fds. */
static void test_several_at_once(void **state)
{
	const struct pair *pair = *state;
	struct vhu_receiver receiver;
	struct wire_message two[2] = { sample, sample };

	vhu_receiver_init(&receiver);
	send_bytes(pair, two, sizeof(two), 2);
	send_bytes(pair, &sample, sizeof(sample), 1);
	assert_int_equal(vhu_receiver_read(&receiver, pair->ours), 1);
	expect_sample(&receiver, 2);
	vhu_receiver_finish(&receiver);
	assert_int_equal(vhu_receiver_read(&receiver, pair->ours), 1);
	expect_sample(&receiver, 0);
	vhu_receiver_finish(&receiver);
	assert_int_equal(vhu_receiver_read(&receiver, pair->ours), 1);
	expect_sample(&receiver, 1);
	vhu_receiver_finish(&receiver);
	assert_int_equal(vhu_receiver_read(&receiver, pair->ours), -EAGAIN);
}

static void test_end_of_file(void **state)
{
	struct pair *pair = *state;
	struct vhu_receiver receiver;

	for (size_t cut = 0; cut < sizeof(sample); cut += 13) {
		vhu_receiver_init(&receiver);
		if (cut)
			send_bytes(pair, &sample, cut, 2);
		close_fd(&pair->peers);
		assert_int_equal(vhu_receiver_read(&receiver, pair->ours), -ECONNRESET);
		assert_int_equal(receiver.got, cut);
		assert_int_equal(receiver.message.n_fds, cut ? 2 : 0);
		vhu_receiver_finish(&receiver);
		close_pair(pair);
		open_pair(pair);
	}
}

static void test_oversize(void **state)
{
	const struct pair *pair = *state;
	static const uint32_t sizes[] = { sizeof(union vhu_payload) + 1, 0x80000000, 0xffffffff };
	struct vhu_receiver receiver;

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct vhu_header header = { VHU_SET_FEATURES, VHU_VERSION, sizes[i] };

		vhu_receiver_init(&receiver);
		send_bytes(pair, &header, sizeof(header), 1);
		assert_int_equal(vhu_receiver_read(&receiver, pair->ours), -EMSGSIZE);
		vhu_receiver_finish(&receiver);
	}
}

static void test_largest(void **state)
{
	const struct pair *pair = *state;
	struct vhu_header header = { 999, VHU_VERSION, sizeof(union vhu_payload) };
	uint8_t payload[sizeof(union vhu_payload)];
	struct vhu_receiver receiver;

	memset(payload, 0x5a, sizeof(payload));
	vhu_receiver_init(&receiver);
	send_bytes(pair, &header, sizeof(header), 0);
	send_bytes(pair, payload, sizeof(payload), 0);
	assert_int_equal(vhu_receiver_read(&receiver, pair->ours), 1);
	assert_memory_equal(receiver.message.payload.bytes, payload, sizeof(payload));
	vhu_receiver_finish(&receiver);
	assert_int_equal(receiver.message.payload.bytes[0], 0);
}

static void test_too_many_fds(void **state)
{
	const struct pair *pair = *state;
	struct vhu_receiver receiver;

	/* All in one piece, more than a read takes: the kernel cuts them off. */
	vhu_receiver_init(&receiver);
	send_bytes(pair, &sample, sizeof(sample), VHU_FD_MAX + 1);
	assert_int_equal(vhu_receiver_read(&receiver, pair->ours), -EMSGSIZE);
	vhu_receiver_finish(&receiver);
	assert_true(recv(pair->ours, (char[sizeof(sample)]){ 0 }, sizeof(sample), 0) >= 0);

	/* In pieces, each of which is small enough. */
	send_bytes(pair, &sample, 1, VHU_FD_MAX - 1);
	send_bytes(pair, (const char *)&sample + 1, sizeof(sample) - 1, 3);
	assert_int_equal(vhu_receiver_read(&receiver, pair->ours), -EMSGSIZE);
	assert_int_equal(receiver.message.n_fds, VHU_FD_MAX);
	vhu_receiver_finish(&receiver);
}

static void test_steal(void **state)
{
	const struct pair *pair = *state;
	struct vhu_receiver receiver;
	int fd;

	vhu_receiver_init(&receiver);
	send_bytes(pair, &sample, sizeof(sample), 2);
	assert_int_equal(vhu_receiver_read(&receiver, pair->ours), 1);
	fd = vhu_message_steal_fd(&receiver.message, 1);
	assert_true(fd >= 0);
	assert_int_equal(vhu_message_steal_fd(&receiver.message, 1), -1);
	assert_int_equal(vhu_message_steal_fd(&receiver.message, 2), -1);
	vhu_receiver_finish(&receiver);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	close(fd);
}

static void test_send(void **state)
{
	const struct pair *pair = *state;
	struct vhu_receiver receiver;
	int fds[2] = { STDIN_FILENO, STDERR_FILENO };

	vhu_receiver_init(&receiver);
	assert_int_equal(vhu_message_send(pair->peers, VHU_SET_VRING_ADDR, VHU_VERSION,
					  &sample.addr, sizeof(sample.addr), fds, 2, TIMEOUT_MS),
			 0);
	assert_int_equal(vhu_message_send(pair->peers, VHU_GET_FEATURES,
					  VHU_VERSION | VHU_FLAG_NEED_REPLY, NULL, 0, NULL, 0,
					  TIMEOUT_MS),
			 0);
	assert_int_equal(vhu_receiver_read(&receiver, pair->ours), 1);
	expect_sample(&receiver, 2);
	vhu_receiver_finish(&receiver);
	assert_int_equal(vhu_receiver_read(&receiver, pair->ours), 1);
	assert_int_equal(receiver.message.header.request, VHU_GET_FEATURES);
	assert_int_equal(receiver.message.header.flags, VHU_VERSION | VHU_FLAG_NEED_REPLY);
	assert_int_equal(receiver.message.header.size, 0);
	vhu_receiver_finish(&receiver);
}

/* A peer that does not read is no reason to wait for ever, and a gone one none for SIGPIPE. */
static void test_send_to_deaf_and_dead(void **state)
{
	struct pair *pair = *state;
	uint8_t payload[1024] = { 0 };
	uint64_t begin_ns;
	int r;

	vhu_fd_set_nonblock(pair->peers, true);
	do {
		r = vhu_message_send(pair->peers, 999, VHU_VERSION, payload, sizeof(payload),
				     NULL, 0, 0);
	} while (r == 0);
	assert_int_equal(r, -EAGAIN);
	begin_ns = vhu_now_ns();
	r = vhu_message_send(pair->peers, 999, VHU_VERSION, payload, sizeof(payload), NULL, 0, 50);
	assert_int_equal(r, -EAGAIN);
	assert_true(vhu_now_ns() - begin_ns >= 50 * NS_PER_MS);

	close_fd(&pair->ours);
	r = vhu_message_send(pair->peers, 999, VHU_VERSION, payload, sizeof(payload), NULL, 0,
			     TIMEOUT_MS);
	assert_int_equal(r, -EPIPE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_byte_by_byte, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fds_on_any_byte, setup, teardown),
		cmocka_unit_test_setup_teardown(test_several_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_end_of_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_oversize, setup, teardown),
		cmocka_unit_test_setup_teardown(test_largest, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_many_fds, setup, teardown),
		cmocka_unit_test_setup_teardown(test_steal, setup, teardown),
		cmocka_unit_test_setup_teardown(test_send, setup, teardown),
		cmocka_unit_test_setup_teardown(test_send_to_deaf_and_dead, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
