/* SPDX-License-Identifier: BSD-3-Clause */
/* The lives of the front-end's socket, and who may sit at the other end of it. */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/fd.h"
#include "common/base/num.h"
#include "tests/unit/display_rig.h"

#define PLAIN VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM

static struct vhu_gpu_surface *picture;
static struct vhu_gpu_rect all;

/* A card that shows something already. */
static int setup(void **state)
{
	if (rig_setup(state) < 0)
		return -1;
	picture = surface_make(PLAIN, 1024, 768);
	all = surface_rect(picture);
	rig_start();
	rig_show(0, picture);
	return 0;
}

static int teardown(void **state)
{
	vhu_gpu_surface_unref(picture);
	return rig_teardown(state);
}

/* --- its lives ------------------------------------------------------------------------------- */

static void greeting(void **state)
{
	(void)state;
	screen_plug();
	screen_expect(0, picture, &all);
	screen_settle();
	assert_int_equal(rig.screen.n_features, 1);
	assert_int_equal(rig.screen.n_asked, 1);
	assert_int_equal(rig.screen.heads[0].n_sizes, 1);
	assert_int_equal(rig.screen.update_bytes, 4 * 1024 * 768);
	assert_int_equal(RIG_COUNT(sockets), 1);
}

/* As at each DRIVER_OK; also in mid-frame, and twice at once. */
static void another_socket(void **state)
{
	int twice[2], old;

	(void)state;
	screen_plug();
	while (RIG_COUNT(updates) == 0)
		usleep(1000);
	for (unsigned i = 0; i < 20; i++) {
		old = dup(rig.screen.fd);
		rig_draw_and_damage(0, picture, i);
		if (i % 3)
			assert_true(screen_read(5000));
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, twice), 0);
		if (i % 2)
			vhu_gpu_display_set_socket(rig.display, twice[0]);
		else
			close(twice[0]);
		screen_plug();
		screen_expect(0, picture, &all);
		assert_int_equal(rig.screen.heads[0].n_sizes, 1);
		assert_int_equal(poll(&(struct pollfd){ .fd = old }, 1, 5000), 1);
		close(old);
		close(twice[1]);
	}
}

/* Off when the new one comes: its peer may show what was there before. */
static void off_is_told_too(void **state)
{
	(void)state;
	screen_plug();
	screen_expect(0, picture, &all);
	vhu_gpu_display_show(rig.display, 0, NULL, NULL);
	SCREEN_UNTIL(rig.screen.heads[0].n_sizes == 2);
	screen_plug();
	SCREEN_UNTIL(rig.screen.heads[0].n_sizes == 1);
	screen_settle();
	assert_int_equal(rig.screen.heads[0].width, 0);
	assert_int_equal(rig.screen.n_updates, 0);
}

static void taken_away(void **state)
{
	uint64_t looks;

	(void)state;
	screen_plug();
	screen_expect(0, picture, &all);
	screen_settle();
	vhu_gpu_display_set_socket(rig.display, -1);
	screen_expect_closed();
	looks = RIG_COUNT(looks);
	for (unsigned i = 5; i < 10; i++) {
		rig_draw_and_damage(0, picture, i);
		usleep(3000);
	}
	assert_int_equal(RIG_COUNT(looks), looks);
	screen_plug();
	screen_expect(0, picture, &all);
}

static void suspended(void **state)
{
	struct rig_ask ask;

	(void)state;
	screen_plug();
	screen_expect(0, picture, &all);
	screen_settle();
	vhu_gpu_display_suspend(rig.display, true);
	/* The thread has heard of it. */
	rig_ask(&ask);
	rig_wait_done(&ask);
	rig.screen.n_messages = 0;
	for (unsigned i = 5; i < 10; i++) {
		rig_draw_and_damage(0, picture, i);
		vhu_gpu_display_move_cursor(rig.display, 0, i, i, true);
		usleep(3000);
	}
	rig_ask(&ask);
	rig_wait_done(&ask);
	screen_settle();
	assert_int_equal(rig.screen.n_messages, 0);
	vhu_gpu_display_suspend(rig.display, false);
	screen_expect(0, picture, &all);
	SCREEN_UNTIL(rig.screen.heads[0].cursor_x == 9);
	assert_int_equal(rig.screen.heads[0].n_moves, 1);
	assert_int_equal(rig.screen.heads[0].n_sizes, 1);

	/* A socket that comes meanwhile is greeted afterwards. */
	vhu_gpu_display_suspend(rig.display, true);
	screen_plug();
	screen_settle();
	assert_int_equal(rig.screen.n_messages, 0);
	vhu_gpu_display_suspend(rig.display, false);
	screen_expect(0, picture, &all);
	assert_int_equal(rig.screen.n_features, 1);
}

static void headless(void **state)
{
	(void)state;
	vhu_gpu_display_move_cursor(rig.display, 0, 1, 1, true);
	screen_plug();
	SCREEN_UNTIL(rig.screen.n_messages == 3);
	screen_settle();
	assert_int_equal(rig.screen.n_messages, 3);
	assert_true(rig.screen.n_features == 1 && rig.screen.n_asked == 1);
	assert_int_equal(RIG_COUNT(looks), 0);
}

static int setup_headless(void **state)
{
	if (rig_setup(state) < 0)
		return -1;
	picture = surface_make(PLAIN, 64, 64);
	rig.options.headless = true;
	rig_start();
	rig_show(0, picture);
	return 0;
}

/* What was told too late for the thread is let go. */
static void ends_with_all_open(void **state)
{
	static struct rig_ask ask;

	(void)state;
	rig.screen.silent = true;
	screen_plug();
	for (unsigned i = 0; i < 100; i++)
		rig_draw_and_damage(0, picture, i);
	rig_ask(&ask);
	screen_plug();
}

/* --- who lies -------------------------------------------------------------------------------- */

#define REPLY VHU_GPU_FLAG_REPLY

/* In place of the answers to all that is asked at first. */
static const struct lie {
	uint32_t request, flags, size, bytes;
} lies[] = {
	{ VHU_GPU_GET_PROTOCOL_FEATURES, REPLY, 4, 4 },
	{ VHU_GPU_GET_PROTOCOL_FEATURES, REPLY, 16, 16 },
	{ VHU_GPU_GET_PROTOCOL_FEATURES, REPLY, UINT32_MAX, 8 },
	{ VHU_GPU_GET_PROTOCOL_FEATURES, 0, 8, 8 },
	{ VHU_GPU_GET_DISPLAY_INFO, REPLY, 407, 407 },
	{ VHU_GPU_GET_DISPLAY_INFO, REPLY, 409, 409 },
	{ VHU_GPU_GET_EDID, REPLY, 1056, 1056 },
	{ VHU_GPU_DMABUF_UPDATE, REPLY, 0, 0 },
	{ VHU_GPU_UPDATE, REPLY, 20, 20 },
	{ 0, REPLY, 8, 8 },
	{ UINT32_MAX, REPLY, 8, 8 },
};

static void liars(void **state)
{
	static const char zeros[2048];

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(lies); i++) {
		const struct lie *lie = &lies[i];

		screen_plug();
		screen_send(lie->request, lie->flags, lie->size, zeros, lie->bytes);
		screen_expect_closed();
		rig_draw_and_damage(0, picture, i);
		screen_plug();
		screen_expect(0, picture, &all);
	}
}

/* Half of an answer, and no more; or nothing from the start. */
static void goes_away(void **state)
{
	struct vhu_header header = { VHU_GPU_GET_PROTOCOL_FEATURES, REPLY, 8 };

	(void)state;
	for (unsigned bytes = 0; bytes <= sizeof(header); bytes += 4) {
		screen_plug();
		if (bytes)
			assert_int_equal(send(rig.screen.fd, &header, bytes, 0), bytes);
		if (bytes % 8)
			assert_true(screen_read(5000));
		screen_unplug();
		rig_draw_and_damage(0, picture, bytes);
	}
	screen_plug();
	screen_expect(0, picture, &all);
}

/* Whatever the front-end may hand over as a socket. */
static void no_socket_at_all(void **state)
{
	int ends[2];

	(void)state;
	assert_int_equal(pipe(ends), 0);
	vhu_gpu_display_set_socket(rig.display, ends[0]);
	rig_draw_and_damage(0, picture, 2);
	vhu_gpu_display_set_socket(rig.display, ends[1]);
	rig_draw_and_damage(0, picture, 3);
	vhu_gpu_display_set_socket(rig.display, memfd_create("no socket", 0));
	rig_draw_and_damage(0, picture, 4);
	usleep(10000);
	vhu_gpu_display_set_socket(rig.display, socket(AF_UNIX, SOCK_STREAM, 0));
	usleep(10000);
	vhu_gpu_display_set_socket(rig.display, socket(AF_UNIX, SOCK_DGRAM, 0));
	rig_draw_and_damage(0, picture, 5);
	usleep(10000);
	screen_plug();
	screen_expect(0, picture, &all);
}

/* Pictures do not wait for what is asked. */
static void never_answers(void **state)
{
	(void)state;
	rig.screen.silent = true;
	screen_plug();
	screen_expect(0, picture, &all);
	rig_draw_and_damage(0, picture, 3);
	screen_expect(0, picture, &all);
}

/* --- modes ----------------------------------------------------------------------------------- */

static void set_mode(unsigned i, uint32_t x, uint32_t y, uint32_t width, uint32_t height)
{
	rig.screen.info.hdr.type = htole32(VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
	rig.screen.info.pmodes[i] = (struct virtio_gpu_display_one){
		.r = { htole32(x), htole32(y), htole32(width), htole32(height) },
		.enabled = htole32(1),
	};
}

static void modes(void **state)
{
	struct vhu_gpu_mode wanted[VHU_GPU_OUTPUTS_MAX];
	struct rig_ask ask, asks[20];
	unsigned n_asked;

	(void)state;
	/* Nobody is there to be asked. */
	rig_ask(&ask);
	rig_wait_done(&ask);
	vhu_gpu_display_modes(rig.display, wanted);
	assert_false(wanted[0].enabled);

	set_mode(0, 0, 0, 1920, 1080);
	set_mode(1, 1920, 7, 640, 480);
	set_mode(2, 0, 0, 0, 480);
	set_mode(3, 0, 0, 640, 16385);
	set_mode(4, 0, 0, UINT32_MAX, UINT32_MAX);
	screen_plug();
	for (unsigned i = 0; i < ARRAY_SIZE(asks); i++)
		rig_ask(&asks[i]);
	for (unsigned i = 0; i < ARRAY_SIZE(asks); i++)
		rig_wait_done(&asks[i]);
	vhu_gpu_display_modes(rig.display, wanted);
	assert_true(wanted[0].enabled && wanted[0].rect.width == 1920 &&
		    wanted[0].rect.height == 1080);
	assert_true(wanted[1].enabled && wanted[1].rect.x == 1920 && wanted[1].rect.y == 7 &&
		    wanted[1].rect.width == 640 && wanted[1].rect.height == 480);
	for (unsigned i = 2; i < VHU_GPU_OUTPUTS_MAX; i++)
		assert_false(wanted[i].enabled);
	/* Those who came while an answer was outstanding had that one. */
	n_asked = rig.screen.n_asked;
	assert_in_range(n_asked, 1, ARRAY_SIZE(asks) / 2);

	rig_ask(&ask);
	rig_wait_done(&ask);
	assert_int_equal(rig.screen.n_asked, n_asked + 1);
	set_mode(1, 1920, 7, 800, 600);
	rig_ask(&ask);
	rig_wait_done(&ask);
	vhu_gpu_display_modes(rig.display, wanted);
	assert_int_equal(wanted[1].rect.width, 800);
	/* The front-end tells the guest itself. */
	assert_int_equal(rig.n_modes_changed, 0);
}

static void modes_that_nobody_tells(void **state)
{
	struct rig_ask ask, other;
	uint64_t start_ns;

	(void)state;
	set_mode(0, 0, 0, 1920, 1080);
	screen_plug();
	rig_ask(&ask);
	rig_wait_done(&ask);
	rig.screen.silent = true;
	start_ns = vhu_now_ns();
	rig_ask(&ask);
	usleep(20000);
	rig_ask(&other);
	rig_wait_done(&ask);
	rig_wait_done(&other);
	assert_in_range(vhu_now_ns() - start_ns, NS_PER_SEC / 2, 10 * NS_PER_SEC);

	/* Who goes away instead of an answer does not keep anyone waiting. */
	start_ns = vhu_now_ns();
	rig_ask(&ask);
	screen_settle();
	screen_unplug();
	rig_wait_done(&ask);
	assert_in_range(vhu_now_ns() - start_ns, 0, NS_PER_SEC * 3 / 4);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(greeting),
		TEST(another_socket),
		TEST(off_is_told_too),
		TEST(taken_away),
		TEST(suspended),
		cmocka_unit_test_setup_teardown(headless, setup_headless, teardown),
		TEST(ends_with_all_open),
		TEST(liars),
		TEST(goes_away),
		TEST(no_socket_at_all),
		TEST(never_answers),
		TEST(modes),
		TEST(modes_that_nobody_tells),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
