/* SPDX-License-Identifier: BSD-3-Clause */
/* What is shown reaches a screen, as it is and no more of it than has changed. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/fd.h"
#include "common/base/num.h"
#include "tests/unit/display_rig.h"

#define PLAIN VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM
#define TILE_BYTES (4u * 64 * 64)

static void pictures_of_all_formats(void **state)
{
	static const uint32_t formats[] = { 1, 2, 3, 4, 67, 68, 121, 134 };
	/* Neither it nor its place is of whole tiles. */
	const struct vhu_gpu_rect part = { 13, 7, 200, 130 };

	(void)state;
	rig_start();
	screen_plug();
	for (unsigned i = 0; i < ARRAY_SIZE(formats); i++) {
		struct vhu_gpu_surface *surface = surface_make(formats[i], 250, 150);

		vhu_gpu_display_show(rig.display, 3, surface, &part);
		screen_expect(3, surface, &part);
		surface_draw(surface, &part, 2);
		vhu_gpu_display_damage(rig.display, 3, &(struct vhu_gpu_rect){ 0, 0, 200, 130 });
		screen_expect(3, surface, &part);
		vhu_gpu_surface_unref(surface);
	}
	assert_int_equal(rig.screen.heads[3].n_sizes, 1);
}

static void only_what_has_changed(void **state)
{
	struct vhu_gpu_surface *surface = surface_make(PLAIN, 1000, 500);
	struct vhu_gpu_rect all = surface_rect(surface), dot = { 130, 70, 1, 1 };
	uint64_t compared, changed;

	(void)state;
	rig_start();
	screen_plug();
	rig_show(0, surface);
	screen_expect(0, surface, &all);
	screen_settle();
	assert_int_equal(rig.screen.update_bytes, 4 * 1000 * 500);
	compared = RIG_COUNT(tiles_compared);
	changed = RIG_COUNT(tiles_changed);

	rig.screen.n_updates = 0;
	rig.screen.update_bytes = 0;
	surface_draw(surface, &dot, 2);
	vhu_gpu_display_damage(rig.display, 0, &all);
	screen_expect(0, surface, &all);
	screen_settle();
	assert_int_equal(rig.screen.n_updates, 1);
	assert_int_equal(rig.screen.update_bytes, TILE_BYTES);
	assert_int_equal(RIG_COUNT(tiles_compared) - compared, 16 * 8);
	assert_int_equal(RIG_COUNT(tiles_changed) - changed, 1);

	/* Nothing has. */
	vhu_gpu_display_damage(rig.display, 0, &all);
	screen_settle();
	assert_int_equal(rig.screen.n_updates, 1);

	/* Only what is damaged is looked at. */
	compared = RIG_COUNT(tiles_compared);
	vhu_gpu_display_damage(rig.display, 0, &(struct vhu_gpu_rect){ 63, 63, 2, 2 });
	vhu_gpu_display_damage(rig.display, 0, &(struct vhu_gpu_rect){ 1000, 0, 5, 5 });
	vhu_gpu_display_damage(rig.display, 0, &(struct vhu_gpu_rect){ 999, 499, -1u, -1u });
	screen_settle();
	assert_int_equal(RIG_COUNT(tiles_compared) - compared, 5);
	vhu_gpu_surface_unref(surface);
}

static void sizes(void **state)
{
	struct vhu_gpu_surface *a = surface_make(PLAIN, 320, 200);
	struct vhu_gpu_surface *b = surface_make(PLAIN, 320, 200);
	struct vhu_gpu_surface *black;
	struct vhu_gpu_rect all = surface_rect(a), half = { 0, 100, 320, 100 };

	(void)state;
	rig_start();
	screen_plug();
	rig_show(0, a);
	screen_expect(0, a, &all);
	surface_draw(b, &all, 9);
	rig_show(0, b);
	screen_expect(0, b, &all);
	assert_int_equal(rig.screen.heads[0].n_sizes, 1);
	vhu_gpu_display_show(rig.display, 0, b, &half);
	screen_expect(0, b, &half);
	assert_int_equal(rig.screen.heads[0].n_sizes, 2);
	vhu_gpu_display_show(rig.display, 0, NULL, NULL);
	SCREEN_UNTIL(rig.screen.heads[0].n_sizes == 3);
	assert_null(rig.screen.heads[0].pixels);
	vhu_gpu_display_damage(rig.display, 0, &all);

	/* What is black from the start is sent too. */
	rig.screen.update_bytes = 0;
	assert_int_equal(vhu_gpu_surface_new(PLAIN, 320, 200, &black), 0);
	rig_show(0, black);
	SCREEN_UNTIL(rig.screen.update_bytes == 4 * 320 * 200);
	vhu_gpu_surface_unref(black);
	vhu_gpu_surface_unref(a);
	vhu_gpu_surface_unref(b);
}

/* Updates that the channel would not take in one piece: of too many lines, of too many bytes. */
static void large_pictures(void **state)
{
	struct vhu_gpu_surface *surface = surface_make(PLAIN, 4096, 2500);
	struct vhu_gpu_rect all = surface_rect(surface), column = { 0, 0, 64, 2500 };

	(void)state;
	rig_start();
	screen_plug();
	rig_show(0, surface);
	screen_expect(0, surface, &all);
	screen_settle();
	rig.screen.update_bytes = 0;
	surface_draw(surface, &column, 5);
	vhu_gpu_display_damage(rig.display, 0, &all);
	screen_expect(0, surface, &all);
	screen_settle();
	assert_int_equal(rig.screen.update_bytes, 4 * 64 * 2500);
	vhu_gpu_surface_unref(surface);
}

/* A screen that does not read gets what is newest, and not all that was. */
static void slow_reader(void **state)
{
	struct vhu_gpu_surface *surface = surface_make(PLAIN, 1024, 768);
	struct vhu_gpu_rect all = surface_rect(surface);
	unsigned n;

	(void)state;
	rig_start();
	screen_plug();
	rig_show(0, surface);
	for (n = 2; n < 40; n++) {
		rig_draw_and_damage(0, surface, n);
		usleep(3000);
	}
	assert_true(RIG_COUNT(frames) == 38 && RIG_COUNT(superseded) > 30);
	screen_expect(0, surface, &all);
	screen_settle();
	/* What the socket holds was on its way. */
	assert_in_range(rig.screen.update_bytes, 4 * 1024 * 768, (8 << 20) + 2 * 4 * 1024 * 768);
	vhu_gpu_surface_unref(surface);
}

static void every_scanout(void **state)
{
	struct vhu_gpu_surface *surfaces[VHU_GPU_OUTPUTS_MAX];
	struct vhu_gpu_rect all = { 0, 0, 300, 200 };

	(void)state;
	rig_start();
	screen_plug();
	for (unsigned i = 0; i < VHU_GPU_OUTPUTS_MAX; i++) {
		surfaces[i] = surface_make(PLAIN, 300, 200);
		surface_draw(surfaces[i], &all, i);
		rig_show(i, surfaces[i]);
	}
	for (unsigned i = 0; i < VHU_GPU_OUTPUTS_MAX; i++) {
		screen_expect(i, surfaces[i], &all);
		vhu_gpu_surface_unref(surfaces[i]);
	}
}

/* The first after a rest at once, the next when it is time; what nobody sees is not looked at. */
static void frames_a_second(void **state)
{
	struct vhu_gpu_surface *surface = surface_make(PLAIN, 320, 200);
	struct vhu_gpu_rect all = surface_rect(surface);
	uint64_t start_ns, took_ns;
	unsigned n;

	(void)state;
	rig.options.max_fps = 4;
	rig_start();
	rig_show(0, surface);
	for (n = 2; n < 5; n++)
		rig_draw_and_damage(0, surface, n);
	usleep(20000);
	assert_int_equal(RIG_COUNT(looks), 0);
	start_ns = vhu_now_ns();
	screen_plug();
	screen_expect(0, surface, &all);
	assert_int_equal(RIG_COUNT(looks), 1);
	assert_true(RIG_COUNT(frames) == 3 && RIG_COUNT(superseded) == 2);
	for (; n < 10; n++)
		rig_draw_and_damage(0, surface, n);
	screen_expect(0, surface, &all);
	took_ns = vhu_now_ns() - start_ns;
	assert_in_range(took_ns, NS_PER_SEC / 4, RIG_PATIENCE_NS);
	assert_in_range(RIG_COUNT(looks), 2, 1 + took_ns / (NS_PER_SEC / 4));
	vhu_gpu_surface_unref(surface);
}

static void pictures_that_are_too_much(void **state)
{
	struct vhu_gpu_surface *large = surface_make(PLAIN, 512, 512);
	struct vhu_gpu_surface *small = surface_make(PLAIN, 256, 256);
	struct vhu_gpu_rect all = surface_rect(small);

	(void)state;
	rig.options.max_resource_mem = (1 << 20) + (256 << 10) - 1;
	rig_start();
	screen_plug();
	rig_show(0, large);
	SCREEN_UNTIL(rig.screen.heads[0].width == 512);
	rig_show(1, small);
	screen_settle();
	assert_int_equal(rig.screen.heads[1].width, 0);
	vhu_gpu_display_show(rig.display, 0, NULL, NULL);
	SCREEN_UNTIL(rig.screen.heads[0].width == 0);
	rig_show(1, small);
	screen_expect(1, small, &all);
	vhu_gpu_surface_unref(large);
	vhu_gpu_surface_unref(small);
}

/* Guest memory that has gone looks as it did. */
static void pixels_that_have_gone(void **state)
{
	struct vhu_gpu_surface *surface = surface_make(PLAIN, 128, 128);
	struct vhu_gpu_rect all = surface_rect(surface);
	char *pixels;

	(void)state;
	rig_start();
	screen_plug();
	rig_show(0, surface);
	screen_expect(0, surface, &all);
	pthread_mutex_lock(&surface->mutex);
	pixels = surface->pixels;
	surface->pixels = NULL;
	pthread_mutex_unlock(&surface->mutex);
	vhu_gpu_display_damage(rig.display, 0, &all);
	screen_settle();
	pthread_mutex_lock(&surface->mutex);
	surface->pixels = pixels;
	pthread_mutex_unlock(&surface->mutex);
	screen_expect(0, surface, &all);
	vhu_gpu_surface_unref(surface);
}

/* --- cursor ---------------------------------------------------------------------------------- */

static void set_cursor(uint32_t seed)
{
	struct vhu_gpu_cursor cursor = { 3, 4, { seed } };

	vhu_gpu_display_set_cursor(rig.display, 1, &cursor);
}

static void cursor(void **state)
{
	struct screen_head *head = &rig.screen.heads[1];

	(void)state;
	rig_start();
	screen_plug();
	vhu_gpu_display_move_cursor(rig.display, 1, 10, 20, true);
	SCREEN_UNTIL(head->n_moves == 1);
	assert_true(head->cursor_visible && head->cursor_x == 10 && head->cursor_y == 20);
	set_cursor(7);
	SCREEN_UNTIL(head->n_images == 1);
	assert_true(head->n_moves == 1 && head->cursor[0] == 7);
	assert_true(head->cursor_x == 10 && head->cursor_y == 20);
	vhu_gpu_display_move_cursor(rig.display, 1, 11, 21, false);
	SCREEN_UNTIL(head->n_moves == 2);
	assert_true(!head->cursor_visible && head->cursor_x == 11);
	/* One that is not seen waits until it is. */
	set_cursor(8);
	screen_settle();
	assert_true(head->n_images == 1 && !head->cursor_visible);
	vhu_gpu_display_move_cursor(rig.display, 1, 12, 22, true);
	SCREEN_UNTIL(head->n_images == 2);
	assert_true(head->cursor_visible && head->cursor[0] == 8 && head->cursor_x == 12);
	/* A new socket's peer knows nothing of it. */
	screen_plug();
	SCREEN_UNTIL(head->n_images == 1);
	assert_true(head->n_moves == 0 && head->cursor[0] == 8);
}

/* Until nothing more fits into the channel. */
static void wait_till_full(void)
{
	uint64_t n;

	do {
		n = RIG_COUNT(updates);
		usleep(50000);
	} while (!n || n != RIG_COUNT(updates));
}

static void cursor_of_a_slow_reader(void **state)
{
	struct vhu_gpu_surface *surface = surface_make(PLAIN, 2048, 2048);
	struct screen_head *head = &rig.screen.heads[1];

	(void)state;
	rig_start();
	screen_plug();
	set_cursor(1);
	rig_show(0, surface);
	wait_till_full();
	for (uint32_t n = 1; n <= 1000; n++)
		vhu_gpu_display_move_cursor(rig.display, 1, n, 0, true);
	set_cursor(2);
	SCREEN_UNTIL(head->cursor_x == 1000 && head->cursor[0] == 2);
	assert_true(head->n_images + head->n_moves < 10);
	vhu_gpu_surface_unref(surface);
}

struct shots_told {
	struct vhu_gpu_shots_call call;
	atomic_uint n;
};

static void count_told(struct vhu_gpu_shots_call *call, const struct vhu_gpu_shot *shots,
		       unsigned n, const char *error)
{
	(void)shots;
	assert_true(error && !n);
	container_of(call, struct shots_told, call)->n++;
}

/* Who waits for screenshots when the display ends is told, while it looks at a large one too. */
static void screenshots_at_the_end(void **state)
{
	struct vhu_gpu_surface *surface = surface_make(PLAIN, 4000, 3000);

	(void)state;
	rig.options.screenshot_dir = "/nowhere";
	for (unsigned round = 0; round < 6; round++) {
		struct shots_told told[3] = { 0 };

		rig_start();
		rig_show(0, surface);
		for (unsigned i = 0; i < ARRAY_SIZE(told); i++) {
			told[i].call.done = count_told;
			vhu_gpu_display_screenshot(rig.display, &told[i].call);
			usleep(i < round % 3 ? 1000 : 0);
		}
		vhu_loop_destroy(rig.loop);
		vhu_gpu_display_destroy(rig.display);
		rig.loop = NULL;
		rig.display = NULL;
		for (unsigned i = 0; i < ARRAY_SIZE(told); i++)
			assert_int_equal(told[i].n, 1);
		assert_int_equal(vhu_loop_new(&rig.loop), 0);
	}
	vhu_gpu_surface_unref(surface);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		TEST(pictures_of_all_formats),
		TEST(only_what_has_changed),
		TEST(sizes),
		TEST(large_pictures),
		TEST(slow_reader),
		TEST(every_scanout),
		TEST(frames_a_second),
		TEST(pictures_that_are_too_much),
		TEST(pixels_that_have_gone),
		TEST(cursor),
		TEST(cursor_of_a_slow_reader),
		TEST(screenshots_at_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
