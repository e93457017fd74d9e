/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Compares the pixels of PNGs; fails when there is a difference, and says how large it is.
 *
 *	picture same OTHER FILE
 *	picture pattern SEED WxH FILE	with the test picture that a guest draws
 *	picture size FILE		prints "WxH COLOURS"
 */
#include <png.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/qemu/guest/gpu_pattern.h"

struct picture {
	uint32_t width, height;
	uint8_t *pixels; /* red, green, blue */
};

_Noreturn static void die(const char *what, const char *why)
{
	fprintf(stderr, "picture: %s: %s\n", what, why);
	exit(2);
}

static void make(struct picture *picture, uint32_t width, uint32_t height)
{
	*picture = (struct picture){ .width = width, .height = height };
	picture->pixels = calloc((size_t)width * height, 3);
	if (!picture->pixels)
		die("memory", "none");
}

static void load(const char *path, struct picture *picture)
{
	png_image image = { .version = PNG_IMAGE_VERSION };

	if (!png_image_begin_read_from_file(&image, path))
		die(path, image.message);
	image.format = PNG_FORMAT_RGB;
	make(picture, image.width, image.height);
	if (!png_image_finish_read(&image, NULL, picture->pixels, 0, NULL))
		die(path, image.message);
}

static void draw(uint32_t seed, const char *size, struct picture *picture)
{
	uint32_t width, height;

	if (sscanf(size, "%ux%u", &width, &height) != 2)
		die(size, "no size");
	make(picture, width, height);
	for (size_t i = 0; i < (size_t)width * height; i++) {
		uint32_t pixel = gpu_pattern(seed, (uint32_t)(i % width), (uint32_t)(i / width));

		picture->pixels[3 * i] = (uint8_t)(pixel >> 16);
		picture->pixels[3 * i + 1] = (uint8_t)(pixel >> 8);
		picture->pixels[3 * i + 2] = (uint8_t)pixel;
	}
}

static const uint8_t *pixel_at(const struct picture *picture, uint32_t x, uint32_t y)
{
	return picture->pixels + ((size_t)y * picture->width + x) * 3;
}

static uint64_t count_differing(const struct picture *a, const struct picture *b)
{
	uint64_t n = 0;

	for (uint32_t y = 0; y < a->height; y++) {
		for (uint32_t x = 0; x < a->width; x++) {
			if (!memcmp(pixel_at(a, x, y), pixel_at(b, x, y), 3))
				continue;
			if (n++ == 0)
				printf("first at %u,%u\n", x, y);
		}
	}
	return n;
}

static int compare(const struct picture *a, const struct picture *b)
{
	uint64_t n;

	if (a->width != b->width || a->height != b->height) {
		printf("%ux%u against %ux%u\n", a->width, a->height, b->width, b->height);
		return 1;
	}
	n = count_differing(a, b);
	printf("%ux%u: %llu pixels differ\n", a->width, a->height, (unsigned long long)n);
	return n > 0;
}

/* No more than 256 colours are told apart: is it a picture at all? */
static int print_size(const struct picture *picture)
{
	uint32_t seen[256], n = 0;

	for (size_t i = 0; i < (size_t)picture->width * picture->height && n < 256; i++) {
		const uint8_t *rgb = picture->pixels + 3 * i;
		uint32_t pixel = (uint32_t)rgb[0] << 16 | (uint32_t)rgb[1] << 8 | rgb[2], k = 0;

		while (k < n && seen[k] != pixel)
			k++;
		if (k == n)
			seen[n++] = pixel;
	}
	printf("%ux%u %u\n", picture->width, picture->height, n);
	return 0;
}

int main(int argc, char **argv)
{
	struct picture a, b;
	const char *what = argc > 1 ? argv[1] : "";

	if (argc == 4 && !strcmp(what, "same")) {
		load(argv[2], &a);
		load(argv[3], &b);
		return compare(&a, &b);
	}
	if (argc == 5 && !strcmp(what, "pattern")) {
		draw((uint32_t)atoi(argv[2]), argv[3], &a);
		load(argv[4], &b);
		return compare(&a, &b);
	}
	if (argc == 3 && !strcmp(what, "size")) {
		load(argv[2], &a);
		return print_size(&a);
	}
	die("usage", "see the source");
}
