/* SPDX-License-Identifier: BSD-3-Clause */

/* What vhu-gpu shows: every pixel as it was drawn, through all that happens to a card. */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/frontend/iotlb.h"
#include "common/frontend/state.h"
#include "tests/device/screen.h"

#define BGRX VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM
#define WIDTH 640
#define HEIGHT 480
#define BYTES (4 * WIDTH * HEIGHT)
#define STATE_BYTES (16u << 20)

static struct virtio_gpu_rect all(void)
{
	return screen_rect(0, 0, WIDTH, HEIGHT);
}

static void redraw(struct screen *screen, uint32_t id, uint32_t seed)
{
	screen_draw(screen, 0, seed, WIDTH, HEIGHT);
	assert_int_equal(screen_transfer(screen, id, all(), 0), OK);
	assert_int_equal(screen_flush(screen, id, all()), OK);
}

static void shown(void **state)
{
	struct screen *screen = *state;
	unsigned n_scanouts;

	screen_start(screen, NULL);
	for (unsigned packed = 0; packed < 2; packed++) {
		screen_connect(screen, packed ? VHU_BIT(VHU_F_RING_PACKED) : 0);
		screen_plug(screen);
		screen_show(screen, 0, 1, 1, WIDTH, HEIGHT);
		screen_expect_picture(screen, 0, 1, WIDTH, HEIGHT);
		n_scanouts = screen->monitor.pictures[0].n_scanouts;
		for (uint32_t seed = 2; seed < 6; seed++)
			redraw(screen, 1, seed);
		screen_expect_picture(screen, 0, 5, WIDTH, HEIGHT);
		/* A size is told once. */
		assert_int_equal(screen->monitor.pictures[0].n_scanouts, n_scanouts);
		/* Of odd sizes, and several. */
		screen_show(screen, 0, 2, 6, 333, 77);
		screen_show(screen, 15, 3, 7, 1, 1);
		screen_expect_picture(screen, 0, 6, 333, 77);
		screen_expect_picture(screen, 15, 7, 1, 1);
		assert_int_equal(screen_unref(screen, 3), OK);
		screen_expect_off(screen, 15);
		assert_int_equal(screen_set_scanout(screen, 0, 0, all()), OK);
		screen_expect_off(screen, 0);
	}
}

/* Two resources in turn, as a driver flips pages; nothing but the last one has to be seen. */
static void flips(void **state)
{
	struct screen *screen = *state;
	unsigned n_scanouts;

	screen_begin(screen);
	screen_show(screen, 0, 1, 0, WIDTH, HEIGHT);
	screen_expect_picture(screen, 0, 0, WIDTH, HEIGHT);
	n_scanouts = screen->monitor.pictures[0].n_scanouts;
	assert_int_equal(screen_create(screen, 2, BGRX, WIDTH, HEIGHT), OK);
	assert_int_equal(screen_attach(screen, 2, BYTES, BYTES), OK);
	for (uint32_t i = 1; i <= 100; i++) {
		uint32_t id = 1 + i % 2;

		screen_draw(screen, id == 2 ? BYTES : 0, i, WIDTH, HEIGHT);
		assert_int_equal(screen_transfer(screen, id, all(), 0), OK);
		assert_int_equal(screen_set_scanout(screen, 0, id, all()), OK);
		assert_int_equal(screen_flush(screen, id, all()), OK);
	}
	screen_expect_picture(screen, 0, 100, WIDTH, HEIGHT);
	assert_int_equal(screen->monitor.pictures[0].n_scanouts, n_scanouts);
}

/* A part of a resource, drawn from the middle of its backing. */
static void parts(void **state)
{
	struct screen *screen = *state;
	struct virtio_gpu_rect part = screen_rect(100, 50, 200, 100);

	screen_begin(screen);
	assert_int_equal(screen_create(screen, 1, BGRX, WIDTH, HEIGHT), OK);
	assert_int_equal(screen_attach(screen, 1, 0, BYTES), OK);
	for (uint32_t y = 0; y < 100; y++)
		for (uint32_t x = 0; x < 200; x++)
			((uint32_t *)screen->pixels.host)[(50 + y) * WIDTH + 100 + x] =
				htole32(screen_color(9, x, y));
	assert_int_equal(screen_transfer(screen, 1, part, 4 * (50 * WIDTH + 100)), OK);
	assert_int_equal(screen_set_scanout(screen, 0, 1, part), OK);
	assert_int_equal(screen_flush(screen, 1, all()), OK);
	screen_expect_picture(screen, 0, 9, 200, 100);
}

/* A backing in 16,384 pieces, which lie backwards, and in one of them two bytes of a pixel. */
static void scattered(void **state)
{
	struct screen *screen = *state;
	enum { N = 16384, PIECE = 74 };
	struct virtio_gpu_mem_entry *entries = calloc(N, sizeof(*entries));
	char *pixels;

	screen_begin(screen);
	pixels = screen->pixels.host;
	screen_draw(screen, 4u << 20, 3, WIDTH, HEIGHT);
	assert_true(N * PIECE >= BYTES - 74 * 300);
	for (unsigned i = 0; i < N; i++) {
		uint64_t at = (uint64_t)(N - 1 - i) * (PIECE + 2);
		uint32_t n = i == N - 1 ? BYTES - (N - 1) * PIECE : PIECE;

		entries[i] = (struct virtio_gpu_mem_entry){ htole64(screen->pixels.gpa + at +
								    (i == N - 1 ? 3u << 20 : 0)),
							    htole32(n), 0 };
		memcpy(pixels + at + (i == N - 1 ? 3u << 20 : 0),
		       pixels + (4u << 20) + (size_t)i * PIECE, n);
	}
	assert_int_equal(screen_create(screen, 1, BGRX, WIDTH, HEIGHT), OK);
	assert_int_equal(screen_attach_entries(screen, 1, N, entries, N), OK);
	assert_int_equal(screen_transfer(screen, 1, all(), 0), OK);
	assert_int_equal(screen_set_scanout(screen, 0, 1, all()), OK);
	assert_int_equal(screen_flush(screen, 1, all()), OK);
	screen_expect_picture(screen, 0, 3, WIDTH, HEIGHT);
	free(entries);
}

/* --- cursors -------------------------------------------------------------------------------- */

struct cursor_expected {
	uint32_t x, y, side, n;
	bool visible;
};

static bool has_cursor(const struct monitor *monitor, void *data)
{
	const struct cursor_expected *e = data;
	const struct monitor_picture *picture = &monitor->pictures[0];

	if (picture->cursor_visible != e->visible)
		return false;
	if (!e->visible)
		return true;
	if (picture->cursor_x != e->x || picture->cursor_y != e->y || picture->hot_x != 3 ||
	    picture->hot_y != 4)
		return false;
	for (uint32_t i = 0; i < 64 * 64; i++) {
		uint32_t x = i % 64, y = i / 64;
		bool inside = x < e->side && y < e->side;
		uint32_t expected = inside ? 0x80000000 | screen_color(e->n, x, y) : 0;

		if (picture->cursor[i] != expected)
			return false;
	}
	return true;
}

static void expect_cursor(struct screen *screen, struct cursor_expected expected)
{
	assert_true(monitor_wait(&screen->monitor, has_cursor, &expected, WAIT_MS / 4));
}

static void make_cursor(struct screen *screen, uint32_t id, uint32_t side)
{
	/* Linux has cursors with alpha in resources without it. */
	uint32_t format = id % 2 ? VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM : BGRX;
	uint32_t *pixels = screen->pixels.host;

	for (uint32_t i = 0; i < side * side; i++)
		pixels[i] = htole32(0x80000000 | screen_color(id, i % side, i / side));
	assert_int_equal(screen_create(screen, id, format, side, side), OK);
	assert_int_equal(screen_attach(screen, id, 0, 4 * side * side), OK);
	assert_int_equal(screen_transfer(screen, id, screen_rect(0, 0, side, side), 0), OK);
}

static void cursors(void **state)
{
	struct screen *screen = *state;

	screen_begin(screen);
	screen_show(screen, 0, 9, 1, WIDTH, HEIGHT);
	make_cursor(screen, 1, 64);
	make_cursor(screen, 2, 32);
	assert_int_equal(screen_cursor(screen, VIRTIO_GPU_CMD_UPDATE_CURSOR, 0, 1, 10, 20), OK);
	expect_cursor(screen, (struct cursor_expected){ 10, 20, 64, 1, true });
	assert_int_equal(screen_cursor(screen, VIRTIO_GPU_CMD_MOVE_CURSOR, 0, 0, 11, 21), OK);
	expect_cursor(screen, (struct cursor_expected){ 11, 21, 64, 1, true });
	assert_int_equal(screen_cursor(screen, VIRTIO_GPU_CMD_UPDATE_CURSOR, 0, 2, 5, 6), OK);
	expect_cursor(screen, (struct cursor_expected){ 5, 6, 32, 2, true });
	assert_int_equal(screen_cursor(screen, VIRTIO_GPU_CMD_UPDATE_CURSOR, 0, 0, 5, 6), OK);
	expect_cursor(screen, (struct cursor_expected){ .visible = false });
	assert_int_equal(screen_cursor(screen, VIRTIO_GPU_CMD_UPDATE_CURSOR, 0, 1, 7, 8), OK);
	expect_cursor(screen, (struct cursor_expected){ 7, 8, 64, 1, true });
	/* A new monitor has it too. */
	screen_plug(screen);
	expect_cursor(screen, (struct cursor_expected){ 7, 8, 64, 1, true });
	screen_expect_picture(screen, 0, 1, WIDTH, HEIGHT);
}

/* --- what happens to a card ----------------------------------------------------------------- */

static void wait_for_word(const struct program *program, const char *word)
{
	bool said = false;

	for (unsigned i = 0; i < WAIT_MS / 10 && !said; i++) {
		char *text = program_said(program);

		said = strstr(text, word);
		free(text);
		sleep_ms(10);
	}
	assert_true(said);
}

/* Also when nobody looks, and when there is nothing to be seen. */
static void screenshots(void **state)
{
	struct screen *screen = *state;
	static const char *const args[] = { "--screenshot-dir", "DIR", NULL };

	screen_start(screen, args);
	screen_connect(screen, 0);
	kill(screen->program.pid, SIGUSR2);
	wait_for_word(&screen->program, "no screenshot: the guest shows nothing");
	screen_show(screen, 0, 1, 1, WIDTH, HEIGHT);
	screen_show(screen, 5, 2, 2, 64, 64);
	kill(screen->program.pid, SIGUSR2);
	wait_for_word(&screen->program, "screenshot of scanout 0: ");
	wait_for_word(&screen->program, "screenshot of scanout 5: ");
	screen_plug(screen);
	screen_expect_picture(screen, 0, 1, WIDTH, HEIGHT);
}

/* What is told a page at a time, in pieces that the IOMMU has in another order. */
static void behind_an_iommu(void **state)
{
	struct screen *screen = *state;
	static struct vhu_frontend_iotlb iotlb;
	struct virtio_gpu_mem_entry entries[8];
	const uint64_t offset = 1ull << 40;

	screen_start(screen, NULL);
	vhu_frontend_iotlb_init(&iotlb, &screen->frontend);
	assert_int_equal(vhu_frontend_iotlb_map_guest(&iotlb, offset), 0);
	screen_connect(screen, VHU_BIT(VHU_F_ACCESS_PLATFORM));
	screen_plug(screen);
	screen_draw(screen, 0, 5, WIDTH, HEIGHT);
	assert_int_equal(screen_create(screen, 1, BGRX, WIDTH, HEIGHT), OK);
	for (unsigned i = 0; i < 8; i++)
		entries[i] = (struct virtio_gpu_mem_entry){
			htole64(screen->pixels.gpa + offset + i * (BYTES / 8)), htole32(BYTES / 8),
			0
		};
	assert_int_equal(screen_attach_entries(screen, 1, 8, entries, 8), OK);
	assert_true(iotlb.n_misses >= BYTES / 4096);
	assert_int_equal(screen_transfer(screen, 1, all(), 0), OK);
	assert_int_equal(screen_set_scanout(screen, 0, 1, all()), OK);
	assert_int_equal(screen_flush(screen, 1, all()), OK);
	screen_expect_picture(screen, 0, 5, WIDTH, HEIGHT);
	assert_int_equal(screen_detach(screen, 1), OK);
	vhu_frontend_iotlb_finish(&iotlb);
}

/* As QEMU does at stop and cont: rings stop and go on, with another socket. */
static void stop_and_go_on(void **state)
{
	struct screen *screen = *state;

	screen_begin(screen);
	screen_show(screen, 0, 1, 1, WIDTH, HEIGHT);
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(vhu_driver_stop(&screen->control), 0);
		assert_int_equal(vhu_driver_stop(&screen->cursor), 0);
		screen_plug(screen);
		assert_int_equal(vhu_driver_start(&screen->control), 0);
		assert_int_equal(vhu_driver_start(&screen->cursor), 0);
		screen_expect_picture(screen, 0, 1 + i, WIDTH, HEIGHT);
		redraw(screen, 1, 2 + i);
		screen_expect_picture(screen, 0, 2 + i, WIDTH, HEIGHT);
	}
}

/* A driver that starts anew finds nothing; nor does the next session. */
static void start_anew(void **state)
{
	struct screen *screen = *state;

	screen_start(screen, NULL);
	for (unsigned i = 0; i < 3; i++) {
		screen_connect(screen, 0);
		screen_plug(screen);
		screen_show(screen, 0, 1, i, WIDTH, HEIGHT);
		screen_expect_picture(screen, 0, i, WIDTH, HEIGHT);
		assert_int_equal(vhu_driver_stop(&screen->control), 0);
		assert_int_equal(vhu_driver_stop(&screen->cursor), 0);
		assert_int_equal(vhu_frontend_tell(&screen->frontend, VHU_RESET_DEVICE), 0);
		assert_int_equal(vhu_driver_start(&screen->control), 0);
		assert_int_equal(vhu_driver_start(&screen->cursor), 0);
		assert_int_equal(screen_unref(screen, 1), ERR(INVALID_RESOURCE_ID));
		screen_expect_off(screen, 0);
		screen_show(screen, 0, 1, 10 + i, WIDTH, HEIGHT);
		screen_expect_picture(screen, 0, 10 + i, WIDTH, HEIGHT);
	}
}

/* Who looks reads nothing, goes away, or never comes: the driver does not notice. */
static void displays_that_fail(void **state)
{
	struct screen *screen = *state;
	uint64_t begun_ns;

	screen_begin(screen);
	screen->monitor.paused = true;
	screen_show(screen, 0, 1, 0, WIDTH, HEIGHT);
	begun_ns = vhu_now_ns();
	for (uint32_t i = 1; i <= 200; i++)
		redraw(screen, 1, i);
	assert_true(vhu_now_ns() - begun_ns < 4 * NS_PER_SEC * SLOWNESS);
	assert_true(program_rss_kib(&screen->program) < 60000 * SLOWNESS);
	screen->monitor.paused = false;
	screen_expect_picture(screen, 0, 200, WIDTH, HEIGHT);
	monitor_close(&screen->monitor);
	screen->has_monitor = false;
	redraw(screen, 1, 201);
	screen_plug(screen);
	screen_expect_picture(screen, 0, 201, WIDTH, HEIGHT);
	/* Twice without a word in between. */
	screen_plug(screen);
	screen_plug(screen);
	screen_expect_picture(screen, 0, 201, WIDTH, HEIGHT);
}

/* The program is killed, and another one goes on with its state: not a pixel is another one. */
static void saved_and_loaded(void **state)
{
	struct screen *screen = *state, *other;
	char *bytes = malloc(STATE_BYTES), *again = malloc(STATE_BYTES);
	size_t len, again_len;
	void *other_state;

	screen_begin(screen);
	screen_show(screen, 0, 1, 1, WIDTH, HEIGHT);
	screen_show(screen, 3, 77, 2, 123, 45);
	make_cursor(screen, 5, 64);
	assert_int_equal(screen_cursor(screen, VIRTIO_GPU_CMD_UPDATE_CURSOR, 0, 5, 9, 8), OK);
	assert_int_equal(vhu_driver_stop(&screen->control), 0);
	assert_int_equal(vhu_driver_stop(&screen->cursor), 0);
	assert_int_equal(vhu_frontend_save_state(&screen->frontend, bytes, STATE_BYTES, &len), 0);
	kill(screen->program.pid, SIGKILL);

	assert_int_equal(screen_setup(&other_state), 0);
	other = other_state;
	screen_start(other, NULL);
	screen_connect(other, 0);
	assert_int_equal(vhu_driver_stop(&other->control), 0);
	assert_int_equal(vhu_driver_stop(&other->cursor), 0);
	/* What is damaged is refused, and changes nothing. */
	assert_int_not_equal(vhu_frontend_load_state(&other->frontend, bytes, len - 1), 0);
	assert_int_equal(vhu_frontend_load_state(&other->frontend, bytes, len), 0);
	assert_int_equal(vhu_frontend_save_state(&other->frontend, again, STATE_BYTES, &again_len),
			 0);
	assert_int_equal(again_len, len);
	assert_memory_equal(again, bytes, len);
	assert_int_equal(vhu_driver_start(&other->control), 0);
	assert_int_equal(vhu_driver_start(&other->cursor), 0);
	screen_plug(other);
	screen_expect_picture(other, 0, 1, WIDTH, HEIGHT);
	screen_expect_picture(other, 3, 2, 123, 45);
	expect_cursor(other, (struct cursor_expected){ 9, 8, 64, 5, true });
	/* The backing is where it was. */
	redraw(other, 1, 4);
	screen_expect_picture(other, 0, 4, WIDTH, HEIGHT);
	assert_int_equal(screen_teardown(&other_state), 0);
	program_wait(&screen->program, WAIT_MS);
	screen->program.pid = 0;
	free(bytes);
	free(again);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		SCREEN_TEST(shown),
		SCREEN_TEST(flips),
		SCREEN_TEST(parts),
		SCREEN_TEST(scattered),
		SCREEN_TEST(cursors),
		SCREEN_TEST(screenshots),
		SCREEN_TEST(behind_an_iommu),
		SCREEN_TEST(stop_and_go_on),
		SCREEN_TEST(start_anew),
		SCREEN_TEST(displays_that_fail),
		SCREEN_TEST(saved_and_loaded),
	};

	signal(SIGPIPE, SIG_IGN);
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
