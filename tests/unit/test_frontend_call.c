/* SPDX-License-Identifier: BSD-3-Clause */
/* Our front-end's connection, requests and guest memory, against a small back-end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/num.h"
#include "common/frontend/frontend.h"
#include "tests/unit/fake_backend.h"

struct fixture {
	struct vhu_frontend frontend;
	struct fake_backend fake;
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

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	int fds[2];

	fixture->fds_before = count_fds();
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	vhu_frontend_init(&fixture->frontend);
	assert_int_equal(vhu_frontend_attach(&fixture->frontend, fds[1]), 0);
	fake_backend_start(&fixture->fake, fds[0]);
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;
	unsigned fds_before = fixture->fds_before, fds_after;

	vhu_frontend_finish(&fixture->frontend);
	fake_backend_join(&fixture->fake);
	free(fixture);
	fds_after = count_fds();
	if (fds_after != fds_before)
		print_error("%u fds before, %u after\n", fds_before, fds_after);
	return fds_after == fds_before ? 0 : -1;
}

static void test_negotiation_is_recorded(void **state)
{
	struct fixture *fixture = *state;
	struct vhu_frontend *f = &fixture->frontend;

	assert_int_equal(vhu_frontend_negotiate(f, ~0ull, ~0ull), 0);
	assert_int_equal(f->offered_features, VHU_FRONTEND_FEATURES);
	assert_int_equal(f->acked_features, VHU_FRONTEND_FEATURES);
	assert_int_equal(f->acked_protocol_features, VHU_FRONTEND_PROTOCOL_FEATURES);
	assert_int_equal(f->n_queues, FAKE_QUEUES);
	assert_int_equal(f->n_memory_slots, FAKE_REGIONS);
	assert_true(f->channel_fd >= 0);
}

static void test_answers(void **state)
{
	struct fixture *fixture = *state;
	struct vhu_frontend *f = &fixture->frontend;
	uint8_t config[60] = { 0 };
	uint64_t value;

	assert_int_equal(vhu_frontend_negotiate(f, VHU_FRONTEND_FEATURES,
						VHU_FRONTEND_PROTOCOL_FEATURES),
			 0);
	assert_int_equal(vhu_frontend_get_config(f, 0, config, sizeof(config)), 0);
	assert_int_equal(config[0], 0x77);
	assert_int_equal(config[59], 0x77);
	assert_int_equal(vhu_frontend_get_config(f, 1, config, sizeof(config)), -EREMOTEIO);
	assert_int_equal(vhu_frontend_set_config(f, 0, 0, config, 1), -EREMOTEIO);
	assert_int_equal(vhu_frontend_set_features(f, ~0ull), -EREMOTEIO);
	assert_int_equal(f->acked_features, VHU_FRONTEND_FEATURES);
	assert_int_equal(vhu_frontend_ask_u64(f, VHU_CHECK_DEVICE_STATE, &value), -EPROTO);
	/* Without acks nobody learns; but it has been handled. */
	f->acked_protocol_features &= ~VHU_BIT(VHU_PROTOCOL_F_REPLY_ACK);
	assert_int_equal(vhu_frontend_set_features(f, VHU_BIT(VHU_F_VERSION_1)), 0);
	assert_int_equal(fixture->fake.features, VHU_BIT(VHU_F_VERSION_1));
	/* Nobody asks, nobody learns. */
	f->no_acks = true;
	assert_int_equal(vhu_frontend_set_config(f, 0, 0, config, 1), 0);
	assert_int_equal(vhu_frontend_sync(f), 0);
}

static void *answer_channel(void *data)
{
	struct vhu_frontend *f = data;
	struct vhu_message message;
	intptr_t r = vhu_frontend_next_request(f, &message);

	if (r < 0)
		return (void *)r;
	r = message.header.request == VHU_BACKEND_CONFIG_CHANGE_MSG
		    ? vhu_frontend_answer(f, &message, 42, -1)
		    : -EPROTO;
	vhu_message_finish(&message);
	return (void *)r;
}

static void test_channel(void **state)
{
	struct fixture *fixture = *state;
	struct vhu_frontend *f = &fixture->frontend;
	struct vhu_message message;
	uint64_t answer = 0;

	assert_int_equal(vhu_frontend_negotiate(f, VHU_FRONTEND_FEATURES,
						VHU_FRONTEND_PROTOCOL_FEATURES),
			 0);
	f->no_acks = true; /* the back-end handles nothing before it has its answer */
	assert_int_equal(vhu_frontend_tell_u64(f, VHU_SET_STATUS, VHU_STATUS_DRIVER_OK), 0);
	assert_null(answer_channel(f));
	assert_int_equal(vhu_frontend_ask_u64(f, VHU_GET_STATUS, &answer), 0);
	assert_int_equal(answer, 42);
	f->timeout_ms = 50;
	assert_int_equal(vhu_frontend_next_request(f, &message), -ETIMEDOUT);
}

/* More fds than a back-end takes, and a header that means nothing. */
static void test_raw(void **state)
{
	struct fixture *fixture = *state;
	struct vhu_frontend *f = &fixture->frontend;
	struct vhu_header header = { VHU_GET_FEATURES, VHU_VERSION, 0 };
	struct vhu_message reply;
	int fds[100];

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = STDERR_FILENO;
	assert_int_equal(vhu_frontend_send(f, &header, NULL, 0, fds, VHU_FD_MAX), 0);
	assert_int_equal(vhu_frontend_receive(f, &reply), 0);
	assert_int_equal(reply.header.request, VHU_GET_FEATURES);
	vhu_message_finish(&reply);
	f->timeout_ms = 50;
	assert_int_equal(vhu_frontend_wait_closed(f), -ETIMEDOUT);
	f->timeout_ms = 5000;
	assert_int_equal(vhu_frontend_send(f, &header, NULL, 0, fds, ARRAY_SIZE(fds)), 0);
	assert_int_equal(vhu_frontend_wait_closed(f), 0);
	assert_int_equal(vhu_frontend_sync(f), -ECONNRESET);
	assert_int_equal(vhu_frontend_send_bytes(f, "x", 1, NULL, 0), -ECONNRESET);
}

static void test_deaf_back_end(void **state)
{
	struct vhu_frontend *f = calloc(1, sizeof(*f));
	char bytes[4096] = { 0 };
	int fds[2];
	int r;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	vhu_frontend_init(f);
	assert_int_equal(vhu_frontend_attach(f, fds[1]), 0);
	f->timeout_ms = 50;
	assert_int_equal(vhu_frontend_sync(f), -ETIMEDOUT);
	while ((r = vhu_frontend_send_bytes(f, bytes, sizeof(bytes), NULL, 0)) == 0)
		;
	assert_int_equal(r, -ETIMEDOUT);
	assert_int_equal(vhu_frontend_tell(f, VHU_SET_OWNER), -ETIMEDOUT);
	vhu_frontend_finish(f);
	close(fds[0]);
	free(f);
}

static void *listen_late(void *data)
{
	struct sockaddr_un *address = data;
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	usleep(50000);
	bind(listener, (struct sockaddr *)address, sizeof(*address));
	usleep(20000);
	listen(listener, 1);
	return (void *)(intptr_t)listener;
}

static void test_connect(void **state)
{
	struct vhu_frontend *f = calloc(1, sizeof(*f));
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char folder[] = "/tmp/vhu-frontend-XXXXXX";
	char too_long[200];
	pthread_t thread;
	void *listener;

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/s", folder);
	memset(too_long, 'x', sizeof(too_long) - 1);
	too_long[sizeof(too_long) - 1] = 0;
	vhu_frontend_init(f);
	assert_int_equal(vhu_frontend_connect(f, too_long), -ENAMETOOLONG);
	f->timeout_ms = 30;
	assert_int_equal(vhu_frontend_connect(f, address.sun_path), -ENOENT);
	assert_int_equal(vhu_frontend_sync(f), -ECONNRESET);
	f->timeout_ms = 5000;
	assert_int_equal(pthread_create(&thread, NULL, listen_late, &address), 0);
	assert_int_equal(vhu_frontend_connect(f, address.sun_path), 0);
	pthread_join(thread, &listener);
	close((int)(intptr_t)listener);
	vhu_frontend_finish(f);
	unlink(address.sun_path);
	rmdir(folder);
	free(f);
}

static void test_guest_memory(void **state)
{
	struct vhu_guest *guest = calloc(1, sizeof(*guest));
	struct vhu_guest_buffer buffer;
	const uint64_t page = 4096;

	(void)state;
	vhu_guest_init(guest);
	assert_int_equal(vhu_guest_add(guest, 0x10000, 2 * page), 0);
	assert_int_equal(vhu_guest_add_file(guest, 0x10000 + 2 * page, page, guest->regions[0].fd,
					    page),
			 1);
	assert_int_equal(vhu_guest_add(guest, 1ull << 40, page), 2);

	/* The second region is a window on the first one's other page. */
	strcpy(vhu_guest_at(guest, 0x10000 + page, 8), "shared");
	assert_string_equal(vhu_guest_at(guest, 0x10000 + 2 * page, 8), "shared");
	assert_null(vhu_guest_at(guest, 0x10000 + 2 * page - 1, 2));
	assert_null(vhu_guest_at(guest, 0xffff, 1));
	assert_null(vhu_guest_at(guest, ~0ull, 2));
	assert_int_equal(vhu_guest_uaddr(guest, 0x10000 + page) - vhu_guest_uaddr(guest, 0x10000),
			 page);
	assert_int_not_equal(vhu_guest_uaddr(guest, 0x10000 + 2 * page),
			     vhu_guest_uaddr(guest, 0x10000 + 2 * page - 1) + 1);
	assert_int_equal(vhu_guest_uaddr(guest, 0), 0);

	buffer = vhu_guest_alloc(guest, 1, 1);
	assert_int_equal(buffer.gpa, 0x10000);
	buffer = vhu_guest_alloc(guest, 16, 16);
	assert_int_equal(buffer.gpa, 0x10010);
	assert_ptr_equal(buffer.host, vhu_guest_at(guest, 0x10010, 16));
	assert_int_equal(vhu_guest_alloc(guest, 4096, 4096).gpa, 0x10000 + page);
	assert_int_equal(vhu_guest_alloc(guest, 4096, 4096).gpa, 0x10000 + 2 * page);
	assert_int_equal(vhu_guest_alloc(guest, 4096, 4096).gpa, 1ull << 40);
	assert_null(vhu_guest_alloc(guest, 4096, 4096).host);
	vhu_guest_finish(guest);
	free(guest);
}

#define WITH_FAKE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_FAKE(test_negotiation_is_recorded),
		WITH_FAKE(test_answers),
		WITH_FAKE(test_channel),
		WITH_FAKE(test_raw),
		cmocka_unit_test(test_deaf_back_end),
		cmocka_unit_test(test_connect),
		cmocka_unit_test(test_guest_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
