/* SPDX-License-Identifier: BSD-3-Clause */

/* Screenshots: what libpng reads of one is what was there; and what cannot be written. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <glob.h>
#include <png.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "devices/gpu/screenshot.h"

#define WIDTH 333
#define HEIGHT 77

static uint32_t pixels[WIDTH * HEIGHT];
static char dir[] = "/tmp/vhu-png.XXXXXX";

static struct vhu_gpu_picture draw(uint32_t seed)
{
	for (uint32_t i = 0; i < WIDTH * HEIGHT; i++)
		pixels[i] = (i + seed) * 2654435761u; /* the highest byte too, which is nothing */
	return (struct vhu_gpu_picture){ .scanout = 3, .width = WIDTH, .height = HEIGHT,
					 .pixels = pixels };
}

static void expect_file(const char *path, uint32_t seed)
{
	png_image image = { .version = PNG_IMAGE_VERSION };
	static uint8_t rgb[3 * WIDTH * HEIGHT];

	assert_true(png_image_begin_read_from_file(&image, path));
	assert_int_equal(image.width, WIDTH);
	assert_int_equal(image.height, HEIGHT);
	assert_int_equal(image.format, PNG_FORMAT_RGB);
	assert_true(png_image_finish_read(&image, NULL, rgb, 0, NULL));
	for (uint32_t i = 0; i < WIDTH * HEIGHT; i++) {
		uint32_t pixel = (i + seed) * 2654435761u;

		assert_int_equal(rgb[3 * i], pixel >> 16 & 0xff);
		assert_int_equal(rgb[3 * i + 1], pixel >> 8 & 0xff);
		assert_int_equal(rgb[3 * i + 2], pixel & 0xff);
	}
}

/* How many files of any name. */
static size_t count_files(void)
{
	char pattern[64];
	glob_t found;
	size_t n;

	snprintf(pattern, sizeof(pattern), "%s/{*,.[!.]*}", dir);
	n = glob(pattern, GLOB_BRACE, NULL, &found) == 0 ? found.gl_pathc : 0;
	globfree(&found);
	return n;
}

/* Several in one second: none takes the place of another one. */
static void written(void **state)
{
	char *paths[3];

	(void)state;
	for (uint32_t i = 0; i < 3; i++) {
		struct vhu_gpu_picture picture = draw(i);

		assert_int_equal(vhu_gpu_write_png(&picture, dir, &paths[i]), 0);
		assert_non_null(strstr(paths[i], "/vhu-gpu-3-"));
	}
	assert_int_equal(count_files(), 3);
	for (uint32_t i = 0; i < 3; i++) {
		expect_file(paths[i], i);
		unlink(paths[i]);
		free(paths[i]);
	}
}

/* Who may see the guest's screen is for the umask to say. */
static void for_its_owner(void **state)
{
	struct vhu_gpu_picture picture = draw(0);
	mode_t before = umask(077);
	struct stat st;
	char *path;

	(void)state;
	assert_int_equal(vhu_gpu_write_png(&picture, dir, &path), 0);
	umask(before);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	unlink(path);
	free(path);
}

static void not_written(void **state)
{
	struct vhu_gpu_picture picture = draw(0);
	struct rlimit before, limit;
	char *path;

	(void)state;
	assert_int_equal(vhu_gpu_write_png(&picture, "/nowhere", &path), -ENOENT);
	assert_int_equal(vhu_gpu_write_png(&picture, "/dev/null", &path), -ENOTDIR);
	/* A disk that is full leaves nothing behind. */
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	limit = (struct rlimit){ 5000, before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_int_equal(vhu_gpu_write_png(&picture, dir, &path), -EFBIG);
	setrlimit(RLIMIT_FSIZE, &before);
	assert_int_equal(count_files(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(written),
		cmocka_unit_test(for_its_owner),
		cmocka_unit_test(not_written),
	};
	int r;

	if (!mkdtemp(dir))
		return 1;
	r = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(dir);
	return r;
}
