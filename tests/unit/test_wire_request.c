/* SPDX-License-Identifier: BSD-3-Clause */
/* The request tables: one right message for each request, and each way to spoil it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "common/base/num.h"
#include "common/wire/message.h"
#include "common/wire/request.h"

/* What protocol.md says of each request, told apart from the table under test. */
struct want {
	uint32_t request;
	const char *name;
	uint32_t min_size, max_size;
	unsigned n_fds; /* of a right message of max_size */
	bool surplus_fds_are_dropped;
	enum vhu_reply_rule reply;
	enum vhu_index_rule index;
	int gate;
};

#define U32 VHU_INDEX_U32
#define BITS VHU_INDEX_BITS07
#define ALWAYS VHU_REPLY_ALWAYS
#define NO VHU_NO_GATE

static const struct want frontend_wants[] = {
	{ 1, "GET_FEATURES", 0, 0, 0, true, ALWAYS, 0, NO },
	{ 2, "SET_FEATURES", 8, 8, 0, true, 0, 0, NO },
	{ 3, "SET_OWNER", 0, 0, 0, true, 0, 0, NO },
	{ 4, "RESET_OWNER", 0, 0, 0, true, 0, 0, NO },
	{ 5, "SET_MEM_TABLE", 8, 264, 0, false, 0, 0, NO },
	{ 6, "SET_LOG_BASE", 8, 16, 1, false, VHU_REPLY_LOG_BASE, 0, NO },
	{ 7, "SET_LOG_FD", 0, 0, 1, false, 0, 0, NO },
	{ 8, "SET_VRING_NUM", 8, 8, 0, true, 0, U32, NO },
	{ 9, "SET_VRING_ADDR", 40, 40, 0, true, 0, U32, NO },
	{ 10, "SET_VRING_BASE", 8, 8, 0, true, 0, U32, NO },
	{ 11, "GET_VRING_BASE", 8, 8, 0, true, ALWAYS, U32, NO },
	{ 12, "SET_VRING_KICK", 8, 8, 1, false, 0, BITS, NO },
	{ 13, "SET_VRING_CALL", 8, 8, 1, false, 0, BITS, NO },
	{ 14, "SET_VRING_ERR", 8, 8, 1, false, 0, BITS, NO },
	{ 15, "GET_PROTOCOL_FEATURES", 0, 0, 0, true, ALWAYS, 0, NO },
	{ 16, "SET_PROTOCOL_FEATURES", 8, 8, 0, true, 0, 0, NO },
	{ 17, "GET_QUEUE_NUM", 0, 0, 0, true, ALWAYS, 0, NO },
	{ 18, "SET_VRING_ENABLE", 8, 8, 0, true, 0, U32, NO },
	{ 19, "SEND_RARP", 8, 8, 0, true, 0, 0, 2 },
	{ 20, "NET_SET_MTU", 8, 8, 0, true, 0, 0, 4 },
	{ 21, "SET_BACKEND_REQ_FD", 0, 0, 1, false, 0, 0, 5 },
	{ 22, "IOTLB_MSG", 32, 32, 0, true, ALWAYS, 0, NO },
	{ 23, "SET_VRING_ENDIAN", 8, 8, 0, true, 0, U32, 6 },
	{ 24, "GET_CONFIG", 12, 268, 0, true, ALWAYS, 0, 9 },
	{ 25, "SET_CONFIG", 12, 268, 0, true, 0, 0, 9 },
	{ 26, "CREATE_CRYPTO_SESSION", 8, 4096, 0, true, ALWAYS, 0, 7 },
	{ 27, "CLOSE_CRYPTO_SESSION", 8, 8, 0, true, 0, 0, 7 },
	{ 28, "POSTCOPY_ADVISE", 0, 0, 0, true, ALWAYS, 0, 8 },
	{ 29, "POSTCOPY_LISTEN", 0, 0, 0, true, 0, 0, 8 },
	{ 30, "POSTCOPY_END", 0, 0, 0, true, ALWAYS, 0, 8 },
	{ 31, "GET_INFLIGHT_FD", 20, 24, 0, true, ALWAYS, 0, 12 },
	{ 32, "SET_INFLIGHT_FD", 20, 24, 1, false, 0, 0, 12 },
	{ 33, "GPU_SET_SOCKET", 0, 0, 1, false, 0, 0, NO },
	{ 34, "RESET_DEVICE", 0, 0, 0, true, 0, 0, 13 },
	{ 35, "VRING_KICK", 8, 8, 0, true, 0, U32, 14 },
	{ 36, "GET_MAX_MEM_SLOTS", 0, 0, 0, true, ALWAYS, 0, 15 },
	{ 37, "ADD_MEM_REG", 8, 40, 1, false, 0, 0, 15 },
	{ 38, "REM_MEM_REG", 40, 40, 0, true, 0, 0, 15 },
	{ 39, "SET_STATUS", 8, 8, 0, true, 0, 0, 16 },
	{ 40, "GET_STATUS", 0, 0, 0, true, ALWAYS, 0, 16 },
	{ 41, "GET_SHARED_OBJECT", 16, 16, 0, true, ALWAYS, 0, 18 },
	{ 42, "SET_DEVICE_STATE_FD", 8, 8, 1, false, ALWAYS, 0, 19 },
	{ 43, "CHECK_DEVICE_STATE", 0, 0, 0, true, ALWAYS, 0, 19 },
	{ 44, "GET_SHMEM_CONFIG", 0, 0, 0, true, ALWAYS, 0, 22 },
};

static const struct want backend_wants[] = {
	{ 1, "BACKEND_IOTLB_MSG", 32, 32, 0, true, 0, 0, 5 },
	{ 2, "BACKEND_CONFIG_CHANGE_MSG", 0, 0, 0, true, 0, 0, 9 },
	{ 3, "BACKEND_VRING_HOST_NOTIFIER_MSG", 24, 24, 1, false, 0, BITS, 11 },
	{ 4, "BACKEND_VRING_CALL", 8, 8, 0, true, 0, U32, 14 },
	{ 5, "BACKEND_VRING_ERR", 8, 8, 0, true, 0, U32, 14 },
	{ 6, "BACKEND_SHARED_OBJECT_ADD", 16, 16, 0, true, 0, 0, 18 },
	{ 7, "BACKEND_SHARED_OBJECT_REMOVE", 16, 16, 0, true, 0, 0, 18 },
	{ 8, "BACKEND_SHARED_OBJECT_LOOKUP", 16, 16, 0, true, ALWAYS, 0, 18 },
	{ 9, "BACKEND_SHMEM_MAP", 40, 40, 1, false, 0, 0, 22 },
	{ 10, "BACKEND_SHMEM_UNMAP", 40, 40, 0, true, 0, 0, 22 },
};

static const struct direction {
	const struct vhu_request_rule *(*rule)(uint32_t request);
	const struct want *wants;
	uint32_t n;
} directions[] = {
	{ vhu_frontend_request_rule, frontend_wants, ARRAY_SIZE(frontend_wants) },
	{ vhu_backend_request_rule, backend_wants, ARRAY_SIZE(backend_wants) },
};

typedef void (*want_fn)(const struct vhu_request_rule *rule, const struct want *want);

static void for_each_request(want_fn fn)
{
	for (size_t i = 0; i < ARRAY_SIZE(directions); i++)
		for (uint32_t k = 0; k < directions[i].n; k++) {
			const struct want *want = &directions[i].wants[k];
			const struct vhu_request_rule *rule = directions[i].rule(want->request);

			assert_non_null(rule);
			fn(rule, want);
		}
}

static void add_fds(struct vhu_message *message, unsigned n)
{
	while (n--) {
		int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

		assert_true(fd >= 0);
		message->fds[message->n_fds++] = fd;
	}
}

static void make(struct vhu_message *message, uint32_t request, uint32_t size, unsigned n_fds)
{
	vhu_message_init(message);
	message->header = (struct vhu_header){ request, VHU_VERSION, size };
	add_fds(message, n_fds);
}

/* Of the largest size there is; lengths inside the payload agree. */
static void make_right(struct vhu_message *message, const struct want *want)
{
	make(message, want->request, want->max_size, want->n_fds);
	if (want->max_size == 268)
		message->payload.config.size = 256;
}

/* Checks, finishes, and makes sure that each fd the message had is closed. */
static int check(const struct vhu_request_rule *rule, struct vhu_message *message)
{
	int fds[VHU_FD_MAX];
	unsigned n_fds = message->n_fds;
	int r;

	memcpy(fds, message->fds, sizeof(fds));
	r = vhu_request_check(rule, message);
	vhu_message_finish(message);
	for (unsigned i = 0; i < n_fds; i++)
		assert_int_equal(fcntl(fds[i], F_GETFD), -1);
	return r;
}

static int check_shape(uint32_t request, uint32_t size, unsigned n_fds)
{
	struct vhu_message message;

	make(&message, request, size, n_fds);
	return check(vhu_frontend_request_rule(request), &message);
}

static void expect_table(const struct vhu_request_rule *rule, const struct want *want)
{
	assert_string_equal(rule->name, want->name);
	assert_int_equal(rule->reply, want->reply);
	assert_int_equal(rule->index, want->index);
	assert_int_equal(rule->gate, want->gate);
}

static void test_tables(void **state)
{
	(void)state;
	for_each_request(expect_table);
}

static void expect_right(const struct vhu_request_rule *rule, const struct want *want)
{
	struct vhu_message message;

	make_right(&message, want);
	assert_int_equal(check(rule, &message), 0);

	/* need_reply, and bits that no version has a meaning for. */
	make_right(&message, want);
	message.header.flags |= VHU_FLAG_NEED_REPLY | 0xfffffff0u;
	assert_int_equal(check(rule, &message), 0);
}

static void test_right_messages(void **state)
{
	(void)state;
	for_each_request(expect_right);
}

static void expect_sizes(const struct vhu_request_rule *rule, const struct want *want)
{
	struct vhu_message message;

	make_right(&message, want);
	message.header.size = want->max_size + 1;
	assert_int_equal(check(rule, &message), -EPROTO);
	make_right(&message, want);
	message.header.size = want->min_size - 1;
	assert_int_equal(check(rule, &message), -EPROTO);
}

static void test_sizes(void **state)
{
	(void)state;
	for_each_request(expect_sizes);
}

static void expect_flags(const struct vhu_request_rule *rule, const struct want *want)
{
	static const uint32_t wrong[] = { 0, 2, 3, VHU_VERSION | VHU_FLAG_REPLY };

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct vhu_message message;

		make_right(&message, want);
		message.header.flags = wrong[i];
		assert_int_equal(check(rule, &message), -EPROTO);
	}
}

static void test_flags(void **state)
{
	(void)state;
	for_each_request(expect_flags);
}

static void expect_fds(const struct vhu_request_rule *rule, const struct want *want)
{
	static const unsigned surplus[] = { 1, 2, 7, 60 };
	struct vhu_message message;

	for (size_t i = 0; i < ARRAY_SIZE(surplus); i++) {
		make_right(&message, want);
		add_fds(&message, surplus[i]);
		assert_int_equal(check(rule, &message),
				 want->surplus_fds_are_dropped ? 0 : -EPROTO);
	}
	if (want->n_fds) {
		make_right(&message, want);
		close(message.fds[--message.n_fds]);
		assert_int_equal(check(rule, &message), -EPROTO);
	}
}

static void test_fds(void **state)
{
	(void)state;
	for_each_request(expect_fds);
}

/* Dropped at once, not when the message is finished. */
static void test_surplus_fds_leave_the_message(void **state)
{
	struct vhu_message message;
	int fd;

	(void)state;
	make(&message, VHU_GET_FEATURES, 0, 3);
	fd = message.fds[2];
	assert_int_equal(vhu_request_check(vhu_frontend_request_rule(VHU_GET_FEATURES), &message),
			 0);
	assert_int_equal(message.n_fds, 0);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	assert_int_equal(vhu_message_steal_fd(&message, 0), -1);
}

static int check_table(uint32_t n_regions, uint32_t size, unsigned n_fds)
{
	struct vhu_message message;

	make(&message, VHU_SET_MEM_TABLE, size, n_fds);
	message.payload.mem_table.n_regions = n_regions;
	return check(vhu_frontend_request_rule(VHU_SET_MEM_TABLE), &message);
}

static void test_mem_table(void **state)
{
	(void)state;
	for (uint32_t n = 0; n <= VHU_MEM_TABLE_MAX; n++) {
		assert_int_equal(check_table(n, 8 + n * 32, n), 0);
		assert_int_equal(check_table(n, sizeof(struct vhu_mem_table), n), 0);
		assert_int_equal(check_table(n, 8 + n * 32 - 1, n), -EPROTO);
		assert_int_equal(check_table(n, 8 + n * 32, n + 1), -EPROTO);
		if (n)
			assert_int_equal(check_table(n, 8 + n * 32, n - 1), -EPROTO);
	}
	assert_int_equal(check_table(9, sizeof(struct vhu_mem_table), 9), -EPROTO);
	assert_int_equal(check_table(0x08000000, 8, 0), -EPROTO);
	assert_int_equal(check_table(0xffffffff, 8, 0), -EPROTO);
	assert_int_equal(check_table(0xffffffff, sizeof(struct vhu_mem_table), 8), -EPROTO);
}

static void test_short_forms(void **state)
{
	(void)state;
	assert_int_equal(check_shape(VHU_ADD_MEM_REG, 8, 0), 0);
	assert_int_equal(check_shape(VHU_ADD_MEM_REG, 8, 1), -EPROTO);
	assert_int_equal(check_shape(VHU_SET_LOG_BASE, 8, 0), 0);
	assert_int_equal(check_shape(VHU_SET_LOG_BASE, 8, 1), -EPROTO);
	for (uint32_t size = 9; size < 16; size++)
		assert_int_equal(check_shape(VHU_SET_LOG_BASE, size, 1), -EPROTO);
	for (uint32_t size = 9; size < 40; size++)
		assert_int_equal(check_shape(VHU_ADD_MEM_REG, size, 1), -EPROTO);
	for (uint32_t size = 20; size <= 24; size++) {
		assert_int_equal(check_shape(VHU_GET_INFLIGHT_FD, size, 0), 0);
		assert_int_equal(check_shape(VHU_SET_INFLIGHT_FD, size, 1), 0);
	}
}

static int check_vring_fd(uint32_t request, uint64_t u64, unsigned n_fds)
{
	struct vhu_message message;

	make(&message, request, 8, n_fds);
	message.payload.u64 = u64;
	return check(vhu_frontend_request_rule(request), &message);
}

static void test_vring_fds(void **state)
{
	(void)state;
	for (uint32_t request = VHU_SET_VRING_KICK; request <= VHU_SET_VRING_ERR; request++) {
		assert_int_equal(check_vring_fd(request, 3, 1), 0);
		assert_int_equal(check_vring_fd(request, 3, 0), -EPROTO);
		assert_int_equal(check_vring_fd(request, 3 | VHU_VRING_NO_FD, 0), 0);
		assert_int_equal(check_vring_fd(request, 3 | VHU_VRING_NO_FD, 1), -EPROTO);
		assert_int_equal(check_vring_fd(request, 3, 2), -EPROTO);
	}
}

static int check_config(uint32_t request, uint32_t inner, uint32_t size)
{
	struct vhu_message message;

	make(&message, request, size, 0);
	message.payload.config.size = inner;
	return check(vhu_frontend_request_rule(request), &message);
}

static void test_config(void **state)
{
	(void)state;
	for (uint32_t request = VHU_GET_CONFIG; request <= VHU_SET_CONFIG; request++) {
		assert_int_equal(check_config(request, 0, 12), 0);
		assert_int_equal(check_config(request, 57, 69), 0);
		assert_int_equal(check_config(request, 256, 268), 0);
		assert_int_equal(check_config(request, 257, 269), -EPROTO);
		assert_int_equal(check_config(request, 57, 68), -EPROTO);
		assert_int_equal(check_config(request, 57, 70), -EPROTO);
		assert_int_equal(check_config(request, 0xffffffff, 12), -EPROTO);
		assert_int_equal(check_config(request, 0xfffffff4, 12), -EPROTO);
		assert_int_equal(check_config(request, 0xfffffff4, 0), -EPROTO);
	}
}

static void test_unknown(void **state)
{
	static const uint32_t unknown[] = { 0, 45, 46, 255, 0x7fffffff, 0x80000001, 0xffffffff };
	struct vhu_message message;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(unknown); i++) {
		assert_null(vhu_frontend_request_rule(unknown[i]));
		assert_null(vhu_backend_request_rule(unknown[i]));
	}
	assert_null(vhu_backend_request_rule(11));

	make(&message, 999, 17, 2);
	assert_int_equal(check(NULL, &message), 0);
	make(&message, 999, 17, 2);
	message.header.flags = VHU_VERSION | VHU_FLAG_REPLY;
	assert_int_equal(check(NULL, &message), -EPROTO);
	make(&message, 999, 17, 2);
	message.header.flags = 2;
	assert_int_equal(check(NULL, &message), -EPROTO);
}

static void test_index(void **state)
{
	struct vhu_message message;
	const struct vhu_request_rule *addr = vhu_frontend_request_rule(VHU_SET_VRING_ADDR);
	const struct vhu_request_rule *call = vhu_frontend_request_rule(VHU_SET_VRING_CALL);

	(void)state;
	vhu_message_init(&message);
	message.payload.vring_addr.index = 0xffffffff;
	assert_int_equal(vhu_request_index(addr, &message), 0xffffffff);
	message.payload.u64 = 0x1fe;
	assert_int_equal(vhu_request_index(call, &message), 0xfe);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tables),
		cmocka_unit_test(test_right_messages),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_flags),
		cmocka_unit_test(test_fds),
		cmocka_unit_test(test_surplus_fds_leave_the_message),
		cmocka_unit_test(test_mem_table),
		cmocka_unit_test(test_short_forms),
		cmocka_unit_test(test_vring_fds),
		cmocka_unit_test(test_config),
		cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_index),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
