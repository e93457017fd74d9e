/* SPDX-License-Identifier: BSD-3-Clause */
/* What a device shares by way of the front-end: objects, memory, the page of a notification. */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/backend/gpu_channel.h"
#include "common/backend/shared.h"
#include "common/base/cleanup.h"
#include "common/base/num.h"
#include "tests/unit/session_rig.h"

#define SHARING \
	(VHU_BIT(VHU_PROTOCOL_F_SHARED_OBJECT) | VHU_BIT(VHU_PROTOCOL_F_SHMEM) | \
	 VHU_BIT(VHU_PROTOCOL_F_HOST_NOTIFIER) | VHU_BIT(VHU_PROTOCOL_F_BACKEND_SEND_FD))
#define PAGE ((uint64_t)sysconf(_SC_PAGESIZE))
#define REGION 7
#define REGION_BYTES (16 * PAGE)

static struct rig rig;
static struct vhu_device *device;
static const uint8_t uuid[16] = "0123456789abcde", unknown[16];

static int get_shared_object(struct vhu_device *d, const uint8_t asked[16], int *ret_fd)
{
	(void)d;
	if (memcmp(asked, uuid, sizeof(uuid)))
		return -ENOENT;
	*ret_fd = memfd_create("object", MFD_CLOEXEC);
	return *ret_fd < 0 ? -errno : 0;
}

static void get_shmem_config(struct vhu_device *d, uint64_t sizes[VHU_SHMEM_MAX])
{
	(void)d;
	sizes[REGION] = REGION_BYTES;
	sizes[VHU_SHMEM_MAX - 1] = PAGE;
}

static void start_bits(const struct vhu_device_ops *ops, uint64_t bits)
{
	rig_start(&rig, ops);
	device = &rig.device->device;
	assert_int_equal(vhu_frontend_negotiate(&rig.frontend, VHU_FRONTEND_FEATURES,
						VHU_FRONTEND_PROTOCOL_FEATURES | bits),
			 0);
}

static struct vhu_device_ops sharing_ops(void)
{
	struct vhu_device_ops ops = rig_ops();

	ops.get_shared_object = get_shared_object;
	ops.get_shmem_config = get_shmem_config;
	ops.gives_host_notifiers = true;
	return ops;
}

/* Negotiated, and with rings at work. */
static void start_ring(uint32_t q)
{
	assert_int_equal(vhu_driver_init(&rig.driver[q], &rig.frontend, q, 16), 0);
	assert_int_equal(vhu_driver_start(&rig.driver[q]), 0);
}

static void start(void)
{
	struct vhu_device_ops ops = sharing_ops();

	start_bits(&ops, SHARING);
	assert_int_equal(vhu_frontend_share_memory(&rig.frontend), 0);
	start_ring(0);
}

struct asked {
	struct vhu_channel_call call;
	atomic_uint n_done;
};

static void done(struct vhu_channel_call *call)
{
	atomic_fetch_add(&((struct asked *)call)->n_done, 1);
}

/* The next request is this one; the caller finishes *ret_message. */
static void next(uint32_t request, bool wants_reply, struct vhu_message *ret_message)
{
	assert_int_equal(vhu_frontend_next_request(&rig.frontend, ret_message), 0);
	assert_int_equal(ret_message->header.request, request);
	assert_int_equal(!!(ret_message->header.flags & VHU_FLAG_NEED_REPLY), wants_reply);
}

static bool same_file(int a, int b)
{
	struct stat of_a, of_b;

	assert_int_equal(fstat(a, &of_a), 0);
	assert_int_equal(fstat(b, &of_b), 0);
	return of_a.st_ino == of_b.st_ino && of_a.st_dev == of_b.st_dev;
}

static void only_what_a_device_has_is_offered(void **state)
{
	struct vhu_device_ops ops = rig_ops();

	(void)state;
	start_bits(&ops, 0);
	assert_false(rig.frontend.offered_protocol_features & SHARING);
	assert_int_equal(vhu_device_shared_object_add(device, uuid), -EOPNOTSUPP);
	rig_stop(&rig);

	ops.get_shmem_config = get_shmem_config;
	start_bits(&ops, 0);
	assert_int_equal(rig.frontend.offered_protocol_features & SHARING,
			 VHU_BIT(VHU_PROTOCOL_F_SHMEM) |
				 VHU_BIT(VHU_PROTOCOL_F_BACKEND_SEND_FD));
	rig_stop(&rig);

	ops = rig_ops();
	ops.gives_host_notifiers = true;
	start_bits(&ops, 0);
	assert_int_equal(rig.frontend.offered_protocol_features & SHARING,
			 VHU_BIT(VHU_PROTOCOL_F_HOST_NOTIFIER) |
				 VHU_BIT(VHU_PROTOCOL_F_BACKEND_SEND_FD));
	rig_stop(&rig);
}

static void nothing_is_said_unasked(void **state)
{
	struct vhu_device_ops ops = sharing_ops();
	const struct vhu_shmem_range range = { REGION, 0, PAGE };
	struct asked asked = { .call.done = done };
	int fd = memfd_create("memory", MFD_CLOEXEC);

	(void)state;
	/* Not taken. */
	start_bits(&ops, 0);
	assert_int_equal(vhu_device_shared_object_add(device, uuid), -EOPNOTSUPP);
	assert_int_equal(vhu_device_shmem_unmap(device, &range, NULL), -EOPNOTSUPP);
	assert_int_equal(vhu_device_set_host_notifier(device, 0, -1, 0, NULL), -EOPNOTSUPP);
	rig_stop(&rig);

	/* Taken, but an fd must not go out. */
	start_bits(&ops, SHARING & ~VHU_BIT(VHU_PROTOCOL_F_BACKEND_SEND_FD));
	assert_int_equal(vhu_device_shmem_map(device, &range, fd, 0, true, NULL), -EOPNOTSUPP);
	rig_stop(&rig);

	/* All is there, but no ring runs; then one does, then none. */
	start_bits(&ops, SHARING);
	assert_int_equal(vhu_device_shared_object_add(device, uuid), -ESHUTDOWN);
	assert_int_equal(vhu_device_shmem_map(device, &range, fd, 0, true, &asked.call),
			 -ESHUTDOWN);
	assert_int_equal(vhu_frontend_share_memory(&rig.frontend), 0);
	start_ring(0);
	assert_int_equal(vhu_device_shared_object_add(device, uuid), 0);
	assert_int_equal(vhu_driver_stop(&rig.driver[0]), 0);
	assert_int_equal(vhu_device_shared_object_remove(device, uuid), -ESHUTDOWN);
	rig_disconnect(&rig);
	assert_int_equal(vhu_device_shared_object_remove(device, uuid), -ENOTCONN);
	assert_int_equal(asked.n_done, 0);
	rig_stop(&rig);
	close(fd);
}

static atomic_int when_reset, when_resumed, when_suspended;

static void remove_at_reset(struct vhu_device *d)
{
	when_reset = vhu_device_shared_object_remove(d, uuid);
}

static void add_when_resumed(struct vhu_device *d)
{
	when_resumed = vhu_device_shared_object_add(d, uuid);
}

static void add_when_suspended(struct vhu_device *d)
{
	when_suspended = vhu_device_shared_object_add(d, uuid);
}

/* A device that is resumed may say so, and the front-end has it before the first used buffer. */
static void from_resumed_to_suspended(void **state)
{
	struct vhu_device_ops ops = sharing_ops();
	struct vhu_message message;

	(void)state;
	ops.locking = VHU_LOCK_WORKER;
	ops.reset_device = remove_at_reset;
	ops.resumed = add_when_resumed;
	ops.suspended = add_when_suspended;
	start_bits(&ops, SHARING);
	assert_int_equal(vhu_frontend_share_memory(&rig.frontend), 0);
	when_reset = when_resumed = when_suspended = 1;
	start_ring(0);
	assert_int_equal(when_reset, 0);
	assert_int_equal(when_resumed, 0);
	next(VHU_BACKEND_SHARED_OBJECT_REMOVE, false, &message);
	next(VHU_BACKEND_SHARED_OBJECT_ADD, false, &message);
	assert_int_equal(vhu_driver_stop(&rig.driver[0]), 0);
	assert_int_equal(when_suspended, -ESHUTDOWN);
	rig_stop(&rig);
}

static void objects(void **state)
{
	struct asked found = { .call.done = done }, missing = { .call.done = done };
	struct vhu_message message;
	int fd = memfd_create("theirs", MFD_CLOEXEC);

	(void)state;
	start();
	assert_int_equal(vhu_device_shared_object_add(device, uuid), 0);
	assert_int_equal(vhu_device_shared_object_remove(device, uuid), 0);
	assert_int_equal(vhu_device_shared_object_lookup(device, uuid, &found.call), 0);
	assert_int_equal(vhu_device_shared_object_lookup(device, unknown, &missing.call), 0);
	next(VHU_BACKEND_SHARED_OBJECT_ADD, false, &message);
	assert_memory_equal(message.payload.uuid, uuid, sizeof(uuid));
	next(VHU_BACKEND_SHARED_OBJECT_REMOVE, false, &message);
	assert_memory_equal(message.payload.uuid, uuid, sizeof(uuid));
	next(VHU_BACKEND_SHARED_OBJECT_LOOKUP, false, &message);
	assert_int_equal(vhu_frontend_answer(&rig.frontend, &message, 0, fd), 0);
	next(VHU_BACKEND_SHARED_OBJECT_LOOKUP, false, &message);
	assert_int_equal(vhu_frontend_answer(&rig.frontend, &message, 1, -1), 0);
	rig_wait_for(&missing.n_done, 1);
	assert_int_equal(missing.call.result, -EREMOTEIO);
	assert_int_equal(found.call.result, 0);
	assert_true(same_file(found.call.fd, fd));
	close(found.call.fd);

	/* The other way round. */
	assert_int_equal(vhu_frontend_call(&rig.frontend, VHU_GET_SHARED_OBJECT, uuid, 16, NULL, 0,
					   &message),
			 0);
	assert_int_equal(message.n_fds, 1);
	vhu_message_finish(&message);
	assert_int_equal(vhu_frontend_call(&rig.frontend, VHU_GET_SHARED_OBJECT, unknown, 16, NULL,
					   0, &message),
			 0);
	assert_int_equal(message.n_fds, 0);
	close(fd);
	rig_stop(&rig);
}

static void memory_regions_are_told(void **state)
{
	struct vhu_message reply;
	const struct vhu_shmem_config *config = &reply.payload.shmem_config;

	(void)state;
	start();
	assert_int_equal(vhu_frontend_call(&rig.frontend, VHU_GET_SHMEM_CONFIG, NULL, 0, NULL, 0,
					   &reply),
			 0);
	assert_int_equal(reply.header.size, 2056);
	assert_int_equal(config->n_regions, 2);
	for (unsigned i = 0; i < VHU_SHMEM_MAX; i++)
		assert_int_equal(config->size[i], i == REGION		   ? REGION_BYTES :
						  i == VHU_SHMEM_MAX - 1 ? PAGE :
									   0);
	rig_stop(&rig);
}

static void memory_is_shown_and_taken_away(void **state)
{
	const struct vhu_shmem_range range = { REGION, 2 * PAGE, 3 * PAGE };
	struct asked map = { .call.done = done }, unmap = { .call.done = done };
	int fd = memfd_create("memory", MFD_CLOEXEC);
	const struct vhu_shmem_map *said;
	struct vhu_message message;

	(void)state;
	start();
	assert_int_equal(vhu_device_shmem_map(device, &range, fd, 5 * PAGE, true, &map.call), 0);
	next(VHU_BACKEND_SHMEM_MAP, true, &message);
	said = &message.payload.shmem_map;
	assert_int_equal(said->shmid, REGION);
	assert_int_equal(said->shm_offset, 2 * PAGE);
	assert_int_equal(said->len, 3 * PAGE);
	assert_int_equal(said->fd_offset, 5 * PAGE);
	assert_int_equal(said->flags, 1);
	assert_true(same_file(message.fds[0], fd));
	assert_int_equal(vhu_frontend_answer(&rig.frontend, &message, 0, -1), 0);
	vhu_message_finish(&message);
	rig_wait_for(&map.n_done, 1);
	assert_int_equal(map.call.result, 0);

	assert_int_equal(vhu_device_shmem_unmap(device, &range, &unmap.call), 0);
	next(VHU_BACKEND_SHMEM_UNMAP, true, &message);
	assert_int_equal(said->shmid, REGION);
	assert_int_equal(said->shm_offset, 2 * PAGE);
	assert_int_equal(said->len, 3 * PAGE);
	assert_int_equal(vhu_frontend_answer(&rig.frontend, &message, 9, -1), 0);
	rig_wait_for(&unmap.n_done, 1);
	assert_int_equal(unmap.call.result, -EREMOTEIO);

	/* Nobody wants to know. */
	assert_int_equal(vhu_device_shmem_map(device, &range, fd, 0, false, NULL), 0);
	next(VHU_BACKEND_SHMEM_MAP, false, &message);
	assert_int_equal(said->flags, 0);
	vhu_message_finish(&message);
	close(fd);
	rig_stop(&rig);
}

static void what_lies_outside_is_refused(void **state)
{
	const struct vhu_shmem_range bad[] = {
		{ REGION, 0, 0 },
		{ REGION, 0, 17 * PAGE },
		{ REGION, 16 * PAGE, PAGE },
		{ REGION, UINT64_MAX - PAGE + 1, PAGE },
		{ REGION, PAGE, UINT64_MAX - PAGE + 1 },
		{ REGION, 1, PAGE },
		{ REGION, 0, 100 },
		{ REGION + 1, 0, PAGE },
		{ VHU_SHMEM_MAX - 1, 0, 2 * PAGE },
	}, good = { REGION, 0, PAGE };
	int fd = memfd_create("memory", MFD_CLOEXEC);

	(void)state;
	start();
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(vhu_device_shmem_map(device, &bad[i], fd, 0, true, NULL), -EINVAL);
		assert_int_equal(vhu_device_shmem_unmap(device, &bad[i], NULL), -EINVAL);
	}
	assert_int_equal(vhu_device_shmem_map(device, &good, -1, 0, true, NULL), -EINVAL);
	assert_int_equal(vhu_device_shmem_map(device, &good, fd, 1, true, NULL), -EINVAL);
	assert_int_equal(vhu_device_shmem_map(device, &good, fd, (uint64_t)INT64_MAX + 1, true,
					      NULL),
			 -EINVAL);
	assert_int_equal(vhu_device_set_host_notifier(device, RIG_QUEUES, fd, 0, NULL), -EINVAL);
	assert_int_equal(vhu_device_set_host_notifier(device, 0, fd, 100, NULL), -EINVAL);
	close(fd);
	rig_stop(&rig);
}

static void a_page_for_notifications(void **state)
{
	struct asked asked = { .call.done = done };
	int fd = memfd_create("page", MFD_CLOEXEC);
	struct vhu_message message;

	(void)state;
	start();
	assert_int_equal(vhu_device_set_host_notifier(device, 1, fd, 3 * PAGE, &asked.call), 0);
	next(VHU_BACKEND_VRING_HOST_NOTIFIER_MSG, true, &message);
	assert_int_equal(message.payload.area.value, 1);
	assert_int_equal(message.payload.area.size, PAGE);
	assert_int_equal(message.payload.area.offset, 3 * PAGE);
	assert_true(same_file(message.fds[0], fd));
	assert_int_equal(vhu_frontend_answer(&rig.frontend, &message, 0, -1), 0);
	vhu_message_finish(&message);
	rig_wait_for(&asked.n_done, 1);
	assert_int_equal(asked.call.result, 0);
	assert_int_equal(vhu_device_set_host_notifier(device, 1, -1, 0, NULL), 0);
	next(VHU_BACKEND_VRING_HOST_NOTIFIER_MSG, false, &message);
	assert_int_equal(message.payload.area.value, 1 | VHU_VRING_NO_FD);
	assert_int_equal(message.n_fds, 0);
	close(fd);
	rig_stop(&rig);
}

static struct vhu_gpu_channel *display;
static atomic_uint n_displays;
static int refused_fd;

static void lose_display(struct vhu_device *d, struct vhu_channel *channel)
{
	(void)d;
	if (!channel)
		vhu_gpu_channel_destroy(steal_ptr(&display));
}

static int set_gpu_socket(struct vhu_device *d, int fd)
{
	static const struct vhu_gpu_channel_ops ops = { 0 };
	struct vhu_gpu_message ask = { .request = VHU_GPU_CURSOR_POS, .fd = -1 };
	const struct vhu_gpu_cursor_pos pos = { .x = 5 };
	int r;

	vhu_gpu_channel_destroy(steal_ptr(&display));
	r = vhu_gpu_channel_new(vhu_device_worker(d, 0)->loop, fd, &ops, NULL, &display);
	if (r < 0)
		return r;
	n_displays++;
	ask.payload = &pos;
	return vhu_gpu_channel_send(display, &ask, NULL);
}

static int refuse_gpu_socket(struct vhu_device *d, int fd)
{
	(void)d;
	close(fd);
	refused_fd = dup(STDERR_FILENO); /* of the same number */
	return -EINVAL;
}

/* Returns the display's end. */
static int give_gpu_socket(int expected)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(vhu_frontend_call(&rig.frontend, VHU_GPU_SET_SOCKET, NULL, 0, &pair[1], 1,
					   NULL),
			 expected);
	close(pair[1]);
	return pair[0];
}

static void expect_end(int display_fd)
{
	char bytes[64];
	ssize_t n;

	while ((n = read(display_fd, bytes, sizeof(bytes))) > 0)
		;
	assert_int_equal(n, 0);
	close(display_fd);
}

/* A socket for each start of the driver; the last one goes with the session. */
static void a_display(void **state)
{
	struct vhu_device_ops ops = rig_ops();
	int first_fd, second_fd;
	char bytes[24];

	(void)state;
	start_bits(&ops, 0);
	expect_end(give_gpu_socket(-EREMOTEIO));
	rig_stop(&rig);

	ops.set_gpu_socket = refuse_gpu_socket;
	start_bits(&ops, 0);
	expect_end(give_gpu_socket(-EREMOTEIO));
	assert_int_equal(close(refused_fd), 0);
	rig_stop(&rig);

	ops.locking = VHU_LOCK_WORKER;
	ops.set_gpu_socket = set_gpu_socket;
	ops.set_backend_req_fd = lose_display;
	start_bits(&ops, 0);
	first_fd = give_gpu_socket(0);
	second_fd = give_gpu_socket(0);
	expect_end(first_fd);
	assert_int_equal(read(second_fd, bytes, sizeof(bytes)), sizeof(bytes));
	assert_int_equal(n_displays, 2);
	rig_disconnect(&rig);
	expect_end(second_fd);
	rig_stop(&rig);
}

/* The front-end goes with a question open, and with one that is not sent yet. */
static void the_session_ends(void **state)
{
	struct asked asked[2] = { { .call.done = done }, { .call.done = done } };
	struct vhu_message message;

	(void)state;
	start();
	assert_int_equal(vhu_device_shared_object_lookup(device, uuid, &asked[0].call), 0);
	next(VHU_BACKEND_SHARED_OBJECT_LOOKUP, false, &message);
	assert_int_equal(vhu_device_shared_object_lookup(device, uuid, &asked[1].call), 0);
	rig_disconnect(&rig);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(asked[i].n_done, 1);
		assert_int_equal(asked[i].call.result, -ENOTCONN);
	}
	rig_connect(&rig);
	assert_int_equal(vhu_frontend_negotiate(&rig.frontend, VHU_FRONTEND_FEATURES,
						VHU_FRONTEND_PROTOCOL_FEATURES),
			 0);
	assert_int_equal(vhu_frontend_share_memory(&rig.frontend), 0);
	start_ring(0);
	assert_int_equal(vhu_device_shared_object_add(device, uuid), -EOPNOTSUPP);
	rig_stop(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_what_a_device_has_is_offered),
		cmocka_unit_test(nothing_is_said_unasked),
		cmocka_unit_test(from_resumed_to_suspended),
		cmocka_unit_test(objects),
		cmocka_unit_test(memory_regions_are_told),
		cmocka_unit_test(memory_is_shown_and_taken_away),
		cmocka_unit_test(what_lies_outside_is_refused),
		cmocka_unit_test(a_page_for_notifications),
		cmocka_unit_test(a_display),
		cmocka_unit_test(the_session_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
