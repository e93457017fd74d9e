/* SPDX-License-Identifier: BSD-3-Clause */
#include "devices/gpu/screenshot.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <png.h>

#include "common/base/cleanup.h"
#include "common/base/fd.h"
#include "common/base/log.h"

/* Somebody may be waiting for it, and disks are large. */
#define COMPRESSION 3
#define NAMES_MAX 1000

static void say_error(png_structp png, png_const_charp why)
{
	vhu_debug("libpng: %s", why);
	longjmp(png_jmpbuf(png), 1);
}

static void say_warning(png_structp png, png_const_charp why)
{
	(void)png;
	vhu_debug("libpng: %s", why);
}

static void put_rows(png_structp png, png_infop info, const struct vhu_gpu_picture *picture)
{
	png_set_IHDR(png, info, picture->width, picture->height, 8, PNG_COLOR_TYPE_RGB,
		     PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
	png_set_compression_level(png, COMPRESSION);
	png_write_info(png, info);
	/* Blue is the lowest byte, and the highest one is nothing. */
	if (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__)
		png_set_bgr(png);
	png_set_filler(png, 0, __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? PNG_FILLER_AFTER :
									   PNG_FILLER_BEFORE);
	for (uint32_t y = 0; y < picture->height; y++)
		png_write_row(png, (png_const_bytep)(picture->pixels +
						     (size_t)picture->width * y));
	png_write_end(png, info);
}

static int write_file(FILE *file, const struct vhu_gpu_picture *picture)
{
	png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, say_error,
						  say_warning);
	png_infop info = png ? png_create_info_struct(png) : NULL;
	volatile int r = info ? 0 : -ENOMEM;

	if (info && setjmp(png_jmpbuf(png)) == 0) {
		png_init_io(png, file);
		put_rows(png, info, picture);
	} else if (info) {
		r = errno ? -errno : -EIO;
	}
	png_destroy_write_struct(&png, &info);
	return r;
}

/* Nothing that was there before is lost, as far as a file system has links. */
static int give_name(const char *from, const char *dir, const struct vhu_gpu_picture *picture,
		     char **ret_path)
{
	time_t now = time(NULL);
	char when[32];
	struct tm tm;

	localtime_r(&now, &tm);
	strftime(when, sizeof(when), "%Y%m%d-%H%M%S", &tm);
	for (unsigned i = 1; i < NAMES_MAX; i++) {
		cleanup_free char *path = NULL;
		char number[16] = "";

		if (i > 1)
			snprintf(number, sizeof(number), "-%u", i);
		if (asprintf(&path, "%s/vhu-gpu-%u-%s%s.png", dir, picture->scanout, when,
			     number) < 0)
			return -ENOMEM;
		if (link(from, path) == 0 ||
		    ((errno == EPERM || errno == EOPNOTSUPP) && access(path, F_OK) < 0 &&
		     rename(from, path) == 0)) {
			*ret_path = steal_ptr(&path);
			return 0;
		}
		if (errno != EEXIST && errno != EPERM && errno != EOPNOTSUPP)
			return -errno;
	}
	return -EEXIST;
}

static int write_as(const char *from, int fd, const struct vhu_gpu_picture *picture,
		    const char *dir, char **ret_path)
{
	FILE *file = fdopen(fd, "w");
	int r;

	if (!file) {
		r = -errno;
		close(fd);
		return r;
	}
	errno = 0;
	r = write_file(file, picture);
	/* Some file systems say only now that it could not be written. */
	if (fclose(file) && r == 0)
		r = -errno;
	return r < 0 ? r : give_name(from, dir, picture, ret_path);
}

int vhu_gpu_write_png(const struct vhu_gpu_picture *picture, const char *dir, char **ret_path)
{
	cleanup_free char *from = NULL;
	int fd, r;

	if (asprintf(&from, "%s/.vhu-gpu-%u-%d-%" PRIu64, dir, picture->scanout, getpid(),
		     vhu_now_ns()) < 0)
		return -ENOMEM;
	/* As any other new file: the umask says who may read it. */
	fd = open(from, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (fd < 0)
		return -errno;
	r = write_as(from, fd, picture, dir, ret_path);
	unlink(from);
	return r;
}
