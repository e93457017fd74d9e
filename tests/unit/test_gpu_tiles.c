/* SPDX-License-Identifier: BSD-3-Clause */
/* Sets of tiles against a plain table of pixels; surfaces and their references. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <linux/virtio_gpu.h>

#include "common/base/num.h"
#include "devices/gpu/tiles.h"

#define SIDE VHU_GPU_TILES_SIDE

/* What ought to be in the set. */
static bool table[SIDE][SIDE];
static struct vhu_gpu_tiles tiles, more;

static uint32_t tiles_of(uint32_t pixels)
{
	return (pixels + VHU_GPU_TILE - 1) / VHU_GPU_TILE;
}

static unsigned expect_table(void)
{
	unsigned n = 0;

	for (uint32_t y = 0; y < SIDE; y++)
		for (uint32_t x = 0; x < SIDE; x++) {
			assert_int_equal(vhu_gpu_tiles_have(&tiles, x, y), table[y][x]);
			n += table[y][x];
		}
	assert_int_equal(tiles.n, n);
	return n;
}

static void put_in_table(const struct vhu_gpu_rect *rect)
{
	for (uint64_t y = 0; y < tiles_of(tiles.height); y++)
		for (uint64_t x = 0; x < tiles_of(tiles.width); x++)
			table[y][x] |= ranges_overlap(64 * x, 64, rect->x, rect->width) &&
				       ranges_overlap(64 * y, 64, rect->y, rect->height) &&
				       rect->x < tiles.width && rect->y < tiles.height;
}

static void start(uint32_t width, uint32_t height)
{
	memset(table, 0, sizeof(table));
	vhu_gpu_tiles_init(&tiles, width, height);
	expect_table();
}

static void rectangles(void **state)
{
	static const struct vhu_gpu_rect rects[] = {
		{ 0, 0, 1, 1 },
		{ 63, 63, 2, 2 },
		{ 64, 64, 64, 64 },
		{ 0, 0, 0, 5 },
		{ 5, 5, 5, 0 },
		{ 4095, 100, 2, 1 },
		{ 4000, 0, 9000, 64 },
		{ 9999, 6999, 1, 1 },
		{ 10000, 0, 1, 1 },
		{ 0, 7000, 1, 1 },
		{ 9000, 6500, -1u, -1u },
		{ -1u, -1u, -1u, -1u },
		{ -1u, 0, 2, 2 },
		{ 0, 0, -1u, -1u },
	};

	(void)state;
	start(10000, 7000);
	for (unsigned i = 0; i < ARRAY_SIZE(rects); i++) {
		vhu_gpu_tiles_add(&tiles, &rects[i]);
		put_in_table(&rects[i]);
		expect_table();
	}
	assert_int_equal(tiles.n, tiles_of(10000) * tiles_of(7000));
	start(VHU_GPU_SIDE_MAX, VHU_GPU_SIDE_MAX);
	vhu_gpu_tiles_add_all(&tiles);
	assert_int_equal(tiles.n, SIDE * SIDE);
	start(0, 0);
	vhu_gpu_tiles_add_all(&tiles);
	vhu_gpu_tiles_add(&tiles, &rects[0]);
	assert_int_equal(tiles.n, 0);
}

/* What is taken: in the set, in the picture, not too large, and in the end all of it. */
static void take_all(uint64_t max_bytes)
{
	struct vhu_gpu_rect rect;
	unsigned n = expect_table();

	while (vhu_gpu_tiles_take(&tiles, max_bytes, &rect)) {
		uint32_t columns = tiles_of(rect.width), rows = tiles_of(rect.height);

		assert_true(columns && rows && rect.x % VHU_GPU_TILE == 0 &&
			    rect.y % VHU_GPU_TILE == 0);
		assert_true(range_fits(rect.x, rect.width, tiles.width) &&
			    range_fits(rect.y, rect.height, tiles.height));
		assert_true(columns * rows == 1 ||
			    (uint64_t)4 * rect.width * rect.height <= max_bytes);
		assert_true(rect.width % VHU_GPU_TILE == 0 ||
			    rect.x + rect.width == tiles.width);
		assert_true(rect.height % VHU_GPU_TILE == 0 ||
			    rect.y + rect.height == tiles.height);
		for (uint32_t y = 0; y < rows; y++)
			for (uint32_t x = 0; x < columns; x++) {
				bool *in = &table[rect.y / VHU_GPU_TILE + y]
						 [rect.x / VHU_GPU_TILE + x];

				assert_true(*in);
				*in = false;
			}
		n -= columns * rows;
		assert_int_equal(tiles.n, n);
	}
	assert_int_equal(expect_table(), 0);
}

static void taken_again(void **state)
{
	static const uint64_t limits[] = { 0, 1, 64 << 10, 1 << 20, UINT64_MAX };

	(void)state;
	srand(1);
	for (unsigned round = 0; round < 40; round++) {
		start(1 + (uint32_t)rand() % 5000, 1 + (uint32_t)rand() % 2000);
		for (unsigned i = (unsigned)rand() % 30; i; i--) {
			struct vhu_gpu_rect rect = { (uint32_t)rand() % 5000,
						     (uint32_t)rand() % 2000,
						     (uint32_t)rand() % 1500,
						     (uint32_t)rand() % 300 };

			vhu_gpu_tiles_add(&tiles, &rect);
			put_in_table(&rect);
		}
		take_all(limits[round % ARRAY_SIZE(limits)]);
	}
}

/* A whole picture is few large pieces, as wide as it is. */
static void whole_pictures_are_few_pieces(void **state)
{
	struct vhu_gpu_rect rect;
	unsigned n = 0;

	(void)state;
	start(1280, 800);
	vhu_gpu_tiles_add_all(&tiles);
	for (; vhu_gpu_tiles_take(&tiles, 1 << 20, &rect); n++)
		assert_int_equal(rect.width, 1280);
	assert_int_equal(n, 5);
}

static void merged(void **state)
{
	const struct vhu_gpu_rect a = { 0, 0, 700, 70 }, b = { 600, 60, 5000, 100 };

	(void)state;
	start(5000, 300);
	vhu_gpu_tiles_init(&more, 5000, 300);
	vhu_gpu_tiles_add(&tiles, &a);
	vhu_gpu_tiles_add(&more, &b);
	vhu_gpu_tiles_merge(&tiles, &more);
	put_in_table(&a);
	put_in_table(&b);
	expect_table();
}

/* --- surfaces -------------------------------------------------------------------------------- */

static unsigned n_released;

static void release(struct vhu_gpu_surface *surface)
{
	(void)surface;
	n_released++;
}

static void surfaces(void **state)
{
	struct vhu_gpu_surface *surface, *borrowed;
	char pixels[4 * 2 * 2];

	(void)state;
	assert_int_equal(vhu_gpu_surface_new(VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM, VHU_GPU_SIDE_MAX,
					     VHU_GPU_SIDE_MAX, &surface),
			 0);
	assert_int_equal(surface->bytes, (size_t)4 << 28);
	assert_int_equal(surface->stride_bytes, 4 * VHU_GPU_SIDE_MAX);
	assert_int_equal(surface->pixels[surface->bytes - 1], 0);
	assert_ptr_equal(vhu_gpu_surface_ref(surface), surface);
	vhu_gpu_surface_unref(surface);
	surface->pixels[0] = 1;
	vhu_gpu_surface_unref(surface);
	vhu_gpu_surface_unref(NULL);

	borrowed = calloc(1, sizeof(*borrowed));
	*borrowed = (struct vhu_gpu_surface){ .refs = 2, .pixels = pixels, .release = release };
	pthread_mutex_init(&borrowed->mutex, NULL);
	vhu_gpu_surface_unref(borrowed);
	assert_int_equal(n_released, 0);
	vhu_gpu_surface_unref(borrowed);
	assert_int_equal(n_released, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rectangles),
		cmocka_unit_test(taken_again),
		cmocka_unit_test(whole_pictures_are_few_pieces),
		cmocka_unit_test(merged),
		cmocka_unit_test(surfaces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
