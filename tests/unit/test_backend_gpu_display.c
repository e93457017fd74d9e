/* SPDX-License-Identifier: BSD-3-Clause */
/* Displays that are slow, silent, gone, or lie. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/wire/message.h"
#include "tests/unit/gpu_rig.h"

/* The socket is a blocking one, and full: nobody waits, memory is bounded, nothing is torn. */
static void a_slow_display(void **state)
{
	uint32_t *frame = malloc(GPU_FRAME_BYTES), n = 0;
	struct gpu_asked asked = { 0 };
	uint64_t offered = 0;
	int r;

	(void)state;
	while ((r = gpu_send_frame(frame, n)) == 0)
		n++;
	assert_int_equal(r, -EAGAIN);
	assert_true(n >= 60 && n <= 90);
	assert_int_equal(gpu_send_frame(frame, n), -EAGAIN);
	assert_int_equal(gpu_ask(&asked, VHU_GPU_GET_PROTOCOL_FEATURES, NULL), 0); /* small */
	gpu_pump();
	assert_int_equal(gpu.n_room, 0);
	for (uint32_t i = 0; i < n; i++)
		gpu_expect_frame(frame, i);
	assert_int_equal(gpu_expect_request(VHU_GPU_GET_PROTOCOL_FEATURES, NULL, 0), -1);
	gpu_answer(VHU_GPU_GET_PROTOCOL_FEATURES, &offered, sizeof(offered));
	assert_int_equal(asked.n_done, 1);
	assert_int_equal(gpu.n_room, 1);
	assert_int_equal(gpu_send_frame(frame, 7), 0);
	gpu_expect_frame(frame, 7);
	assert_int_equal(gpu.n_room, 1);
	free(frame);
}

/* Who sends only what is newest looks whether the last has gone, and is told when it has. */
static void a_look_at_the_queue(void **state)
{
	uint32_t *frame = malloc(GPU_FRAME_BYTES), n = 0;

	(void)state;
	while (vhu_gpu_channel_is_empty(gpu.channel) && n < 64)
		assert_int_equal(gpu_send_frame(frame, n++), 0);
	assert_true(n < 64);
	for (uint32_t i = 0; i < n; i++)
		gpu_expect_frame(frame, i);
	gpu_pump();
	assert_int_equal(gpu.n_room, 1);
	assert_true(vhu_gpu_channel_is_empty(gpu.channel));
	assert_int_equal(gpu_send_frame(frame, n), 0);
	gpu_expect_frame(frame, n);
	gpu_pump();
	assert_int_equal(gpu.n_room, 1);
	free(frame);
}

/* Small messages without end are bounded by their number; their fds go when they go. */
static void many_small_messages(void **state)
{
	struct vhu_gpu_dmabuf_scanout scanout = { .width = 1 };
	struct vhu_gpu_message message = { .request = VHU_GPU_DMABUF_SCANOUT, .payload = &scanout };
	unsigned n = 0;

	(void)state;
	message.fd = memfd_create("buffer", MFD_CLOEXEC);
	while (n < 20000 && vhu_gpu_channel_send(gpu.channel, &message, NULL) == 0) {
		n++;
		if (n == 500)
			message.request = VHU_GPU_SCANOUT; /* no fd */
	}
	assert_true(n < 20000 && n > VHU_GPU_CHANNEL_MESSAGES);
	close(message.fd);
}

/* As QEMU does for a scanout that it does not have; and one that answers late. */
static void what_is_never_answered(void **state)
{
	struct vhu_gpu_edid_request which = { 7 };
	struct virtio_gpu_resp_edid block = { .size = 1 }, late_block = { .size = 99 };
	uint64_t offered = 3;

	(void)state;
	gpu_set_features(3);
	for (unsigned late = 0; late < 2; late++) {
		struct gpu_asked first = { .call.timeout_ns = 20 * NS_PER_MS }, second = { 0 };

		assert_int_equal(gpu_ask(&first, VHU_GPU_GET_EDID, &which), 0);
		gpu_pump_until_done(&first);
		assert_int_equal(first.result, -ETIMEDOUT);
		assert_int_equal(gpu_ask(&second, VHU_GPU_GET_EDID, &which), 0);
		assert_int_equal(gpu_expect_request(VHU_GPU_GET_EDID, &which, 4), -1);
		assert_int_equal(gpu_expect_request(VHU_GPU_GET_PROTOCOL_FEATURES, NULL, 0), -1);
		assert_int_equal(gpu_expect_request(VHU_GPU_GET_EDID, &which, 4), -1);
		if (late)
			gpu_answer(VHU_GPU_GET_EDID, &late_block, sizeof(late_block));
		gpu_answer(VHU_GPU_GET_PROTOCOL_FEATURES, &offered, sizeof(offered));
		assert_int_equal(second.n_done, 0);
		gpu_answer(VHU_GPU_GET_EDID, &block, sizeof(block));
		assert_int_equal(second.n_done, 1);
		assert_int_equal(second.reply.edid.size, 1);
		assert_int_equal(first.n_done, 1);
	}
	assert_int_equal(gpu.n_lost, 0);
}

static void a_silent_display(void **state)
{
	static struct gpu_asked asked[1000];
	unsigned n = 0;

	(void)state;
	memset(asked, 0, sizeof(asked));
	for (; n < 1000; n++) {
		asked[n].call.timeout_ns = NS_PER_MS;
		if (gpu_ask(&asked[n], VHU_GPU_GET_DISPLAY_INFO, NULL) < 0)
			break;
	}
	assert_true(n > 100 && n < 1000);
	for (unsigned i = 0; i < n; i++) {
		gpu_pump_until_done(&asked[i]);
		assert_int_equal(asked[i].result, -ETIMEDOUT);
	}
	assert_int_equal(asked[n].n_done, 0);
	assert_int_equal(gpu.n_lost, 0);
}

static void displays_that_lie(void **state)
{
	static const struct {
		uint32_t request, flags, size;
	} lies[] = {
		{ VHU_GPU_GET_PROTOCOL_FEATURES, 0, 8 },
		{ VHU_GPU_GET_PROTOCOL_FEATURES, VHU_GPU_FLAG_REPLY, 0 },
		{ VHU_GPU_GET_PROTOCOL_FEATURES, VHU_GPU_FLAG_REPLY, 408 },
		{ VHU_GPU_GET_DISPLAY_INFO, VHU_GPU_FLAG_REPLY, 408 },
		{ VHU_GPU_DMABUF_UPDATE, VHU_GPU_FLAG_REPLY, 0 },
		{ VHU_GPU_SCANOUT, VHU_GPU_FLAG_REPLY, 0 },
		{ 0, VHU_GPU_FLAG_REPLY, 0 },
		{ VHU_GPU_REQUEST_END, VHU_GPU_FLAG_REPLY, 0 },
		{ UINT32_MAX, VHU_GPU_FLAG_REPLY, 0 },
	};
	static const char zeros[1024];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
		struct gpu_asked asked = { 0 };

		assert_int_equal(gpu_ask(&asked, VHU_GPU_GET_PROTOCOL_FEATURES, NULL), 0);
		gpu_reply(lies[i].request, lies[i].flags, zeros, lies[i].size);
		assert_int_equal(gpu.n_lost, i + 1);
		assert_int_equal(asked.n_done, 1);
		assert_int_equal(asked.result, -EPROTO);
		assert_int_equal(gpu_ask(&asked, VHU_GPU_GET_PROTOCOL_FEATURES, NULL), -ENOTCONN);
		/* The driver starts again, and there is a new one. */
		gpu_destroy();
		close(gpu.display_fd);
		gpu_open();
	}
}

static void a_size_without_measure(void **state)
{
	struct vhu_header header = { VHU_GPU_GET_PROTOCOL_FEATURES, VHU_GPU_FLAG_REPLY,
				     UINT32_MAX };
	struct gpu_asked asked = { 0 };

	(void)state;
	assert_int_equal(gpu_ask(&asked, VHU_GPU_GET_PROTOCOL_FEATURES, NULL), 0);
	assert_int_equal(write(gpu.display_fd, &header, sizeof(header)), sizeof(header));
	gpu_pump();
	assert_int_equal(gpu.n_lost, 1);
	assert_int_equal(asked.n_done, 1);
}

static void fds_that_nobody_wants(void **state)
{
	struct gpu_asked asked = { 0 };
	uint64_t offered = 1;

	(void)state;
	assert_int_equal(gpu_ask(&asked, VHU_GPU_GET_PROTOCOL_FEATURES, NULL), 0);
	assert_int_equal(vhu_message_send(gpu.display_fd, VHU_GPU_GET_PROTOCOL_FEATURES,
					  VHU_GPU_FLAG_REPLY, &offered, sizeof(offered),
					  &gpu.display_fd, 1, 0),
			 0);
	gpu_pump();
	assert_int_equal(asked.n_done, 1);
}

static void a_display_that_goes(void **state)
{
	uint32_t *frame = malloc(GPU_FRAME_BYTES);
	struct gpu_asked asked = { 0 };
	struct vhu_gpu_scanout scanout = { 0 };

	(void)state;
	assert_int_equal(gpu_ask(&asked, VHU_GPU_GET_DISPLAY_INFO, NULL), 0);
	for (uint32_t i = 0; i < 20; i++)
		assert_int_equal(gpu_send_frame(frame, i), 0);
	close(gpu.display_fd);
	gpu.display_fd = -1;
	gpu_pump();
	assert_int_equal(gpu.n_lost, 1);
	assert_int_equal(asked.n_done, 1);
	assert_int_equal(asked.result, -ENOTCONN);
	assert_int_equal(gpu_send(VHU_GPU_SCANOUT, &scanout), -ENOTCONN);
	assert_int_equal(gpu.n_lost, 1);
	free(frame);
}

/* Found out by a send, without a turn of the gpu.loop. */
static void gone_before_a_send(void **state)
{
	struct vhu_gpu_scanout scanout = { 0 };

	(void)state;
	close(gpu.display_fd);
	gpu.display_fd = -1;
	gpu.destroys = true;
	assert_int_equal(gpu_send(VHU_GPU_SCANOUT, &scanout), -ENOTCONN);
	assert_int_equal(gpu.n_lost, 1);
	assert_null(gpu.channel);
}

static void destroyed_with_all_open(void **state)
{
	struct vhu_gpu_dmabuf_scanout scanout = { .width = 1 };
	struct vhu_gpu_message message = { .request = VHU_GPU_DMABUF_SCANOUT, .payload = &scanout };
	uint32_t *frame = malloc(GPU_FRAME_BYTES);
	struct gpu_asked asked = { 0 };

	(void)state;
	assert_int_equal(gpu_ask(&asked, VHU_GPU_GET_DISPLAY_INFO, NULL), 0);
	for (uint32_t i = 0; i < 20; i++)
		assert_int_equal(gpu_send_frame(frame, i), 0);
	message.fd = memfd_create("buffer", MFD_CLOEXEC);
	assert_int_equal(vhu_gpu_channel_send(gpu.channel, &message, NULL), 0);
	close(message.fd);
	gpu_destroy();
	assert_int_equal(asked.n_done, 1);
	assert_int_equal(asked.result, -ENOTCONN);
	assert_int_equal(gpu.n_lost, 0);
	free(frame);
}

static void destroyed_in_callbacks(void **state)
{
	uint32_t *frame = malloc(GPU_FRAME_BYTES), n = 0;
	struct gpu_asked asked = { 0 }, timed = { .call.timeout_ns = NS_PER_MS };
	uint64_t offered = 0;

	(void)state;
	/* By an answer. */
	assert_int_equal(gpu_ask(&asked, VHU_GPU_GET_PROTOCOL_FEATURES, NULL), 0);
	gpu.destroys = true;
	gpu_answer(VHU_GPU_GET_PROTOCOL_FEATURES, &offered, sizeof(offered));
	assert_null(gpu.channel);
	close(gpu.display_fd);

	/* By a time-out. */
	gpu_open();
	assert_int_equal(gpu_ask(&timed, VHU_GPU_GET_PROTOCOL_FEATURES, NULL), 0);
	gpu_pump_until_done(&timed);
	assert_null(gpu.channel);
	close(gpu.display_fd);

	/* When there is room again. */
	gpu_open();
	while (gpu_send_frame(frame, n) == 0)
		n++;
	for (uint32_t i = 0; i < n; i++)
		gpu_expect_frame(frame, i);
	gpu_pump();
	assert_int_equal(gpu.n_room, 1);
	assert_null(gpu.channel);
	close(gpu.display_fd);

	/* When the display has gone. */
	gpu_open();
	close(gpu.display_fd);
	gpu.display_fd = -1;
	gpu_pump();
	assert_int_equal(gpu.n_lost, 1);
	assert_null(gpu.channel);
	free(frame);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, gpu_setup, gpu_teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_slow_display),
		TEST(a_look_at_the_queue),
		TEST(many_small_messages),
		TEST(what_is_never_answered),
		TEST(a_silent_display),
		TEST(displays_that_lie),
		TEST(a_size_without_measure),
		TEST(fds_that_nobody_wants),
		TEST(a_display_that_goes),
		TEST(gone_before_a_send),
		TEST(destroyed_with_all_open),
		TEST(destroyed_in_callbacks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
