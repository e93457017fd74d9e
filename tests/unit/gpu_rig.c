/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/unit/gpu_rig.h"

#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/fd.h"
#include "common/wire/message.h"

struct gpu_rig gpu;
static unsigned fds_before;

void gpu_destroy(void)
{
	vhu_gpu_channel_destroy(gpu.channel);
	gpu.channel = NULL;
}

static void lost(void *data)
{
	assert_ptr_equal(data, &gpu.n_lost);
	gpu.n_lost++;
	if (gpu.destroys)
		gpu_destroy();
}

static void room(void *data)
{
	assert_ptr_equal(data, &gpu.n_lost);
	gpu.n_room++;
	if (gpu.destroys)
		gpu_destroy();
}

static const struct vhu_gpu_channel_ops ops = { .lost = lost, .room = room };

void gpu_done(struct vhu_gpu_call *call)
{
	struct gpu_asked *asked = (struct gpu_asked *)call;

	asked->n_done++;
	asked->result = call->result;
	assert_int_equal(!!call->reply, call->result == 0);
	if (call->reply)
		asked->reply = *call->reply;
	if (gpu.destroys)
		gpu_destroy();
}

static unsigned open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

void gpu_open(void)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	gpu.display_fd = fds[1];
	assert_int_equal(vhu_gpu_channel_new(gpu.loop, fds[0], &ops, &gpu.n_lost, &gpu.channel), 0);
}

int gpu_setup(void **state)
{
	(void)state;
	gpu.n_lost = gpu.n_room = 0;
	gpu.destroys = false;
	fds_before = open_fds();
	assert_int_equal(vhu_loop_new(&gpu.loop), 0);
	gpu_open();
	return 0;
}

int gpu_teardown(void **state)
{
	(void)state;
	gpu_destroy();
	vhu_loop_destroy(gpu.loop);
	if (gpu.display_fd >= 0)
		close(gpu.display_fd);
	return open_fds() == fds_before ? 0 : -1;
}

void gpu_pump(void)
{
	while (vhu_loop_turn(gpu.loop, 0) > 0)
		;
}

int gpu_send(uint32_t request, const void *payload)
{
	struct vhu_gpu_message message = { .request = request, .payload = payload };

	return vhu_gpu_channel_send(gpu.channel, &message, NULL);
}

int gpu_ask(struct gpu_asked *asked, uint32_t request, const void *payload)
{
	struct vhu_gpu_message message = { .request = request, .payload = payload };

	asked->call.done = gpu_done;
	return vhu_gpu_channel_send(gpu.channel, &message, &asked->call);
}

void gpu_read(void *buf, size_t len)
{
	char *at = buf;

	while (len) {
		ssize_t n = recv(gpu.display_fd, at, len, MSG_DONTWAIT);

		if (n > 0) {
			at += n;
			len -= (size_t)n;
		} else {
			assert_int_equal(errno, EAGAIN);
			assert_true(vhu_loop_turn(gpu.loop, NS_PER_SEC) > 0);
		}
	}
}

/* The display reads the next request; its fd or -1. */
int gpu_expect_request(uint32_t request, const void *payload, uint32_t size)
{
	struct vhu_header header;
	int fds[VHU_FD_MAX];
	char buf[20000];
	size_t n_fds;

	assert_int_equal(vhu_fd_receive(gpu.display_fd, &header, sizeof(header), fds, &n_fds),
			 sizeof(header));
	assert_int_equal(header.request, request);
	assert_int_equal(header.flags, 0);
	assert_int_equal(header.size, size);
	assert_true(n_fds <= 1 && size <= sizeof(buf));
	gpu_read(buf, size);
	if (size)
		assert_memory_equal(buf, payload, size);
	return n_fds ? fds[0] : -1;
}

void gpu_expect_nothing(void)
{
	char byte;

	gpu_pump();
	assert_int_equal(recv(gpu.display_fd, &byte, 1, MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
}

void gpu_reply(uint32_t request, uint32_t flags, const void *payload, uint32_t size)
{
	assert_int_equal(vhu_message_send(gpu.display_fd, request, flags, payload, size, NULL,
					  0, 0),
			 0);
	gpu_pump();
}

void gpu_answer(uint32_t request, const void *payload, uint32_t size)
{
	gpu_reply(request, VHU_GPU_FLAG_REPLY, payload, size);
}

void gpu_set_features(uint64_t features)
{
	assert_int_equal(gpu_send(VHU_GPU_SET_PROTOCOL_FEATURES, &features), 0);
	assert_int_equal(gpu_expect_request(VHU_GPU_SET_PROTOCOL_FEATURES, &features, 8), -1);
}

int gpu_send_frame(uint32_t *frame, uint32_t seed)
{
	struct vhu_gpu_update area = { .scanout_id = seed, .width = GPU_SIDE, .height = GPU_SIDE };
	struct iovec iov[2] = { { frame, 100 }, { (char *)frame + 100, GPU_FRAME_BYTES - 100 } };
	struct vhu_gpu_message message = { .request = VHU_GPU_UPDATE, .payload = &area,
					   .pixels = iov, .n_pixels = 2 };

	for (uint32_t i = 0; i < GPU_SIDE * GPU_SIDE; i++)
		frame[i] = i * 2654435761u + seed;
	return vhu_gpu_channel_send(gpu.channel, &message, NULL);
}

void gpu_expect_frame(uint32_t *frame, uint32_t seed)
{
	struct {
		struct vhu_header header;
		struct vhu_gpu_update area;
	} start;

	gpu_read(&start, sizeof(start));
	assert_int_equal(start.header.request, VHU_GPU_UPDATE);
	assert_int_equal(start.header.size, 20 + GPU_FRAME_BYTES);
	assert_int_equal(start.area.scanout_id, seed);
	gpu_read(frame, GPU_FRAME_BYTES);
	for (uint32_t i = 0; i < GPU_SIDE * GPU_SIDE; i++)
		if (frame[i] != i * 2654435761u + seed)
			fail_msg("frame %u, pixel %u", seed, i);
}

void gpu_pump_until_done(const struct gpu_asked *asked)
{
	uint64_t end_ns = vhu_now_ns() + 5 * NS_PER_SEC;

	while (!asked->n_done && vhu_now_ns() < end_ns)
		vhu_loop_turn(gpu.loop, NS_PER_MS);
	assert_int_equal(asked->n_done, 1);
}
