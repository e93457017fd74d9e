/* SPDX-License-Identifier: BSD-3-Clause */
/* What a GPU says to its display, and what it is answered. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/gpu_rig.h"

static void requests_have_their_form(void **state)
{
	static struct vhu_gpu_cursor_update cursor;
	struct vhu_gpu_cursor_pos pos = { 1, 2, 3 };
	struct vhu_gpu_scanout scanout = { 1, 640, 480 };

	(void)state;
	memset(&cursor, 0x5a, sizeof(cursor));
	assert_int_equal(gpu_send(VHU_GPU_CURSOR_POS, &pos), 0);
	assert_int_equal(gpu_send(VHU_GPU_CURSOR_POS_HIDE, &pos), 0);
	assert_int_equal(gpu_send(VHU_GPU_CURSOR_UPDATE, &cursor), 0);
	assert_int_equal(gpu_send(VHU_GPU_SCANOUT, &scanout), 0);
	assert_int_equal(gpu_expect_request(VHU_GPU_CURSOR_POS, &pos, 12), -1);
	assert_int_equal(gpu_expect_request(VHU_GPU_CURSOR_POS_HIDE, &pos, 12), -1);
	assert_int_equal(gpu_expect_request(VHU_GPU_CURSOR_UPDATE, &cursor, 16404), -1);
	assert_int_equal(gpu_expect_request(VHU_GPU_SCANOUT, &scanout, 12), -1);
	gpu_expect_nothing();
}

static void fds_go_with_their_message(void **state)
{
	struct vhu_gpu_dmabuf_scanout2 scanout = { .scanout = { .width = 64 }, .modifier = 9 };
	struct vhu_gpu_message message = { .request = VHU_GPU_DMABUF_SCANOUT, .payload = &scanout };
	struct stat mine, theirs;
	int fd;

	(void)state;
	message.fd = memfd_create("buffer", MFD_CLOEXEC);
	assert_int_equal(fstat(message.fd, &mine), 0);
	assert_int_equal(vhu_gpu_channel_send(gpu.channel, &message, NULL), 0);
	fd = gpu_expect_request(VHU_GPU_DMABUF_SCANOUT, &scanout, 40);
	assert_int_equal(fstat(fd, &theirs), 0);
	assert_int_equal(mine.st_ino, theirs.st_ino);
	close(fd);
	message.request = VHU_GPU_DMABUF_SCANOUT2;
	assert_int_equal(vhu_gpu_channel_send(gpu.channel, &message, NULL), -EOPNOTSUPP);
	gpu_set_features(1u << VHU_GPU_PROTOCOL_F_DMABUF2);
	assert_int_equal(vhu_gpu_channel_send(gpu.channel, &message, NULL), 0);
	fd = gpu_expect_request(VHU_GPU_DMABUF_SCANOUT2, &scanout, 48);
	assert_int_equal(fstat(fd, &theirs), 0);
	assert_int_equal(mine.st_ino, theirs.st_ino);
	close(fd);
	close(message.fd);
	message.fd = -1;
	assert_int_equal(vhu_gpu_channel_send(gpu.channel, &message, NULL), 0);
	assert_int_equal(gpu_expect_request(VHU_GPU_DMABUF_SCANOUT2, &scanout, 48), -1);
}

static void an_fd_behind_a_queue(void **state)
{
	struct vhu_gpu_dmabuf_scanout scanout = { .width = 64 };
	struct vhu_gpu_message message = { .request = VHU_GPU_DMABUF_SCANOUT, .payload = &scanout };
	uint32_t *frame = malloc(GPU_FRAME_BYTES);
	struct stat mine, theirs;
	int fd;

	(void)state;
	for (uint32_t i = 0; i < 20; i++)
		assert_int_equal(gpu_send_frame(frame, i), 0);
	message.fd = memfd_create("buffer", MFD_CLOEXEC);
	assert_int_equal(fstat(message.fd, &mine), 0);
	assert_int_equal(vhu_gpu_channel_send(gpu.channel, &message, NULL), 0);
	close(message.fd);
	for (uint32_t i = 0; i < 20; i++)
		gpu_expect_frame(frame, i);
	gpu_pump();
	fd = gpu_expect_request(VHU_GPU_DMABUF_SCANOUT, &scanout, 40);
	assert_int_equal(fstat(fd, &theirs), 0);
	assert_int_equal(mine.st_ino, theirs.st_ino);
	close(fd);
	free(frame);
}

static void replies_come_back(void **state)
{
	struct gpu_asked features = { 0 }, info = { 0 }, edid = { 0 }, update = { 0 };
	struct virtio_gpu_resp_display_info modes = { .pmodes[1] = { .enabled = 1 } };
	struct virtio_gpu_resp_edid block = { .size = 128, .edid = { 7, 8, 9 } };
	struct vhu_gpu_edid_request which = { 1 };
	struct vhu_gpu_update area = { 0, 1, 2, 3, 4 };
	uint64_t offered = 3;

	(void)state;
	assert_int_equal(gpu_ask(&edid, VHU_GPU_GET_EDID, &which), -EOPNOTSUPP);
	assert_int_equal(gpu_ask(&features, VHU_GPU_GET_PROTOCOL_FEATURES, NULL), 0);
	assert_int_equal(gpu_expect_request(VHU_GPU_GET_PROTOCOL_FEATURES, NULL, 0), -1);
	gpu_answer(VHU_GPU_GET_PROTOCOL_FEATURES, &offered, sizeof(offered));
	assert_int_equal(features.reply.u64, 3);
	gpu_set_features(3);
	assert_int_equal(gpu_ask(&info, VHU_GPU_GET_DISPLAY_INFO, NULL), 0);
	assert_int_equal(gpu_ask(&edid, VHU_GPU_GET_EDID, &which), 0);
	assert_int_equal(gpu_ask(&update, VHU_GPU_DMABUF_UPDATE, &area), 0);
	assert_int_equal(gpu_expect_request(VHU_GPU_GET_DISPLAY_INFO, NULL, 0), -1);
	assert_int_equal(gpu_expect_request(VHU_GPU_GET_EDID, &which, 4), -1);
	assert_int_equal(gpu_expect_request(VHU_GPU_DMABUF_UPDATE, &area, 20), -1);
	gpu_answer(VHU_GPU_GET_DISPLAY_INFO, &modes, sizeof(modes));
	assert_int_equal(edid.n_done + update.n_done, 0);
	gpu_answer(VHU_GPU_GET_EDID, &block, sizeof(block));
	gpu_answer(VHU_GPU_DMABUF_UPDATE, NULL, 0);
	assert_memory_equal(&info.reply.display_info, &modes, sizeof(modes));
	assert_memory_equal(&edid.reply.edid, &block, sizeof(block));
	assert_int_equal(features.n_done + info.n_done + edid.n_done + update.n_done, 4);
	assert_int_equal(features.result | info.result | edid.result | update.result, 0);
	assert_int_equal(gpu.n_lost, 0);
}

static void wrong_messages_are_refused(void **state)
{
	static char pixels[16 * 16 * 4];
	struct iovec iov = { pixels, sizeof(pixels) }, *many;
	struct vhu_gpu_update area = { .width = 16, .height = 16 };
	struct vhu_gpu_message message = { .request = VHU_GPU_UPDATE, .payload = &area,
					   .pixels = &iov, .n_pixels = 1 };
	struct gpu_asked asked = { .call.done = gpu_done };

	(void)state;
	assert_int_equal(gpu_send(0, NULL), -EINVAL);
	assert_int_equal(gpu_send(VHU_GPU_REQUEST_END, NULL), -EINVAL);
	assert_int_equal(gpu_send(UINT32_MAX, NULL), -EINVAL);
	assert_int_equal(gpu_send(VHU_GPU_GET_DISPLAY_INFO, NULL), -EINVAL);
	assert_int_equal(gpu_ask(&asked, VHU_GPU_SCANOUT, &area), -EINVAL);
	iov.iov_len--;
	assert_int_equal(vhu_gpu_channel_send(gpu.channel, &message, NULL), -EINVAL);
	iov.iov_len++;
	area.height = 0x40000010; /* x 64 bytes: as many in 32 bits */
	assert_int_equal(vhu_gpu_channel_send(gpu.channel, &message, NULL), -EINVAL);
	area.height = 16;
	message.request = VHU_GPU_SCANOUT;
	assert_int_equal(vhu_gpu_channel_send(gpu.channel, &message, NULL), -EINVAL);
	message.request = VHU_GPU_UPDATE;

	many = calloc(VHU_GPU_CHANNEL_PARTS + 1, sizeof(*many));
	many[0] = iov;
	message.pixels = many;
	message.n_pixels = VHU_GPU_CHANNEL_PARTS + 1;
	assert_int_equal(vhu_gpu_channel_send(gpu.channel, &message, NULL), -EINVAL);
	gpu_expect_nothing();
	message.n_pixels--;
	assert_int_equal(vhu_gpu_channel_send(gpu.channel, &message, NULL), 0);
	free(many);

	iov.iov_base = mmap(NULL, VHU_GPU_CHANNEL_BYTES, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS,
			    -1, 0);
	iov.iov_len = VHU_GPU_CHANNEL_BYTES;
	area.width = 4096;
	area.height = 4096;
	message.pixels = &iov;
	message.n_pixels = 1;
	assert_int_equal(vhu_gpu_channel_send(gpu.channel, &message, NULL), -EMSGSIZE);
	munmap(iov.iov_base, VHU_GPU_CHANNEL_BYTES);
	assert_int_equal(asked.n_done + gpu.n_lost, 0);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, gpu_setup, gpu_teardown)
	const struct CMUnitTest tests[] = {
		TEST(requests_have_their_form),
		TEST(fds_go_with_their_message),
		TEST(an_fd_behind_a_queue),
		TEST(replies_come_back),
		TEST(wrong_messages_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
