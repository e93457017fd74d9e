/* SPDX-License-Identifier: BSD-3-Clause */

/* Guest memory that vhu-gpu shows where it is; and memory that goes away under it. */

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "tests/device/screen.h"

#define BGRX VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM
#define WIDTH 640
#define HEIGHT 480
#define BYTES (4 * WIDTH * HEIGHT)

static struct virtio_gpu_rect all(void)
{
	return screen_rect(0, 0, WIDTH, HEIGHT);
}

static uint32_t create_blob(struct screen *screen, uint32_t id, uint32_t blob_mem, uint64_t size,
			    const struct virtio_gpu_mem_entry *entries, uint32_t n)
{
	struct {
		struct virtio_gpu_resource_create_blob create;
		struct virtio_gpu_mem_entry entries[512];
	} command = { .create = {
			      .hdr.type = htole32(VIRTIO_GPU_CMD_RESOURCE_CREATE_BLOB),
			      .resource_id = htole32(id),
			      .blob_mem = htole32(blob_mem),
			      .nr_entries = htole32(n),
			      .size = htole64(size),
		      } };

	assert_true(n <= ARRAY_SIZE(command.entries));
	if (n)
		memcpy(command.entries, entries, n * sizeof(*entries));
	return screen_command(screen, &command, sizeof(command.create) + n * sizeof(*entries), 24);
}

static uint32_t set_scanout_blob(struct screen *screen, uint32_t id, uint32_t width,
				 uint32_t height, uint32_t stride, uint32_t offset)
{
	struct virtio_gpu_set_scanout_blob command = {
		.hdr.type = htole32(VIRTIO_GPU_CMD_SET_SCANOUT_BLOB),
		.r = screen_rect(0, 0, width, height),
		.resource_id = htole32(id),
		.width = htole32(width),
		.height = htole32(height),
		.format = htole32(BGRX),
		.strides = { htole32(stride) },
		.offsets = { htole32(offset) },
	};

	return screen_command(screen, &command, sizeof(command), 24);
}

/* Pages of it in any order; what the guest draws is seen without a transfer. */
static void blobs(void **state)
{
	struct screen *screen = *state;
	enum { PAGES = BYTES / 4096 };
	struct virtio_gpu_mem_entry entries[PAGES];
	char *pixels;

	screen_begin(screen);
	pixels = screen->pixels.host;
	for (unsigned order = 0; order < 2; order++) {
		for (unsigned i = 0; i < PAGES; i++) {
			uint64_t page = order ? (i * 7 + 3) % PAGES : i;

			entries[i] = (struct virtio_gpu_mem_entry){
				htole64(screen->pixels.gpa + 4096 * page), htole32(4096), 0
			};
		}
		assert_int_equal(create_blob(screen, 1, VIRTIO_GPU_BLOB_MEM_GUEST, BYTES, entries,
					     PAGES), OK);
		assert_int_equal(set_scanout_blob(screen, 1, WIDTH, HEIGHT, 4 * WIDTH, 0), OK);
		for (uint32_t seed = 1; seed < 4; seed++) {
			screen_draw(screen, 4u << 20, seed, WIDTH, HEIGHT);
			for (unsigned i = 0; i < PAGES; i++)
				memcpy(pixels + le64toh(entries[i].addr) - screen->pixels.gpa,
				       pixels + (4u << 20) + 4096 * (size_t)i, 4096);
			assert_int_equal(screen_flush(screen, 1, all()), OK);
			screen_expect_picture(screen, 0, seed, WIDTH, HEIGHT);
		}
		assert_int_equal(screen_unref(screen, 1), OK);
		screen_expect_off(screen, 0);
	}
}

/* One blob on two heads, as other images, while one of them flips through it. */
static void one_blob_on_two_heads(void **state)
{
	struct screen *screen = *state;
	struct virtio_gpu_mem_entry entry;
	struct virtio_gpu_set_scanout_blob other = {
		.hdr.type = htole32(VIRTIO_GPU_CMD_SET_SCANOUT_BLOB),
		.r = screen_rect(0, 0, 64, 64),
		.scanout_id = htole32(1),
		.resource_id = htole32(1),
		.width = htole32(64),
		.height = htole32(64),
		.format = htole32(BGRX),
		.strides = { htole32(4 * 64) },
		.offsets = { htole32(4u << 20) },
	};

	screen_begin(screen);
	entry = (struct virtio_gpu_mem_entry){ htole64(screen->pixels.gpa),
					       htole32(SCREEN_PIXEL_BYTES), 0 };
	assert_int_equal(create_blob(screen, 1, VIRTIO_GPU_BLOB_MEM_GUEST, SCREEN_PIXEL_BYTES,
				     &entry, 1), OK);
	screen_draw(screen, 4u << 20, 50, 64, 64);
	assert_int_equal(screen_command(screen, &other, sizeof(other), 24), OK);
	for (uint32_t i = 0; i < 20; i++) {
		uint32_t offset = (i % 3) * BYTES;

		screen_draw(screen, offset, i, WIDTH, HEIGHT);
		assert_int_equal(set_scanout_blob(screen, 1, WIDTH, HEIGHT, 4 * WIDTH, offset), OK);
		assert_int_equal(screen_flush(screen, 1, all()), OK);
	}
	screen_expect_picture(screen, 0, 19, WIDTH, HEIGHT);
	screen_expect_picture(screen, 1, 50, 64, 64);
	screen_draw(screen, 4u << 20, 51, 64, 64);
	assert_int_equal(screen_flush(screen, 1, all()), OK);
	screen_expect_picture(screen, 1, 51, 64, 64);
}

static void blobs_that_are_none(void **state)
{
	struct screen *screen = *state;
	struct virtio_gpu_mem_entry entry;

	screen_begin(screen);
	entry = (struct virtio_gpu_mem_entry){ htole64(screen->pixels.gpa), htole32(BYTES), 0 };
	assert_int_equal(create_blob(screen, 0, 1, BYTES, &entry, 1), ERR(INVALID_RESOURCE_ID));
	assert_int_equal(create_blob(screen, 1, 2, BYTES, &entry, 1), ERR(INVALID_PARAMETER));
	assert_int_equal(create_blob(screen, 1, 1, 0, &entry, 1), ERR(INVALID_PARAMETER));
	assert_int_equal(create_blob(screen, 1, 1, BYTES + 1, &entry, 1), ERR(INVALID_PARAMETER));
	assert_int_equal(create_blob(screen, 1, 1, UINT64_MAX, &entry, 1), ERR(INVALID_PARAMETER));
	assert_int_equal(create_blob(screen, 1, 1, BYTES, &entry, 0), ERR(INVALID_PARAMETER));
	entry.addr = htole64(1ull << 40);
	assert_int_equal(create_blob(screen, 1, 1, BYTES, &entry, 1), ERR(INVALID_PARAMETER));
	entry.addr = htole64(screen->pixels.gpa);
	assert_int_equal(create_blob(screen, 1, 1, BYTES, &entry, 1), OK);
	assert_int_equal(create_blob(screen, 1, 1, BYTES, &entry, 1), ERR(INVALID_RESOURCE_ID));
	assert_int_equal(set_scanout_blob(screen, 2, 64, 64, 256, 0), ERR(INVALID_RESOURCE_ID));
	assert_int_equal(set_scanout_blob(screen, 1, 64, 64, 255, 0), ERR(INVALID_PARAMETER));
	assert_int_equal(set_scanout_blob(screen, 1, 0, 64, 256, 0), ERR(INVALID_PARAMETER));
	assert_int_equal(set_scanout_blob(screen, 1, 64, 16385, 256, 0), ERR(INVALID_PARAMETER));
	assert_int_equal(set_scanout_blob(screen, 1, 64, 64, UINT32_MAX - 3, 0),
			 ERR(INVALID_PARAMETER));
	assert_int_equal(set_scanout_blob(screen, 1, WIDTH, HEIGHT, 4 * WIDTH, 4),
			 ERR(INVALID_PARAMETER));
	assert_int_equal(set_scanout_blob(screen, 1, 64, 64, 256, UINT32_MAX - 3),
			 ERR(INVALID_PARAMETER));
	assert_int_equal(set_scanout_blob(screen, 1, 64, 64, 256, BYTES - 64 * 256), OK);
	/* It is no picture of the other kind. */
	assert_int_equal(screen_set_scanout(screen, 0, 1, screen_rect(0, 0, 1, 1)),
			 ERR(INVALID_PARAMETER));
	assert_int_equal(screen_create(screen, 3, BGRX, 64, 64), OK);
	assert_int_equal(set_scanout_blob(screen, 3, 64, 64, 256, 0), ERR(INVALID_PARAMETER));
	/* Without its memory. */
	assert_int_equal(screen_detach(screen, 1), OK);
	screen_expect_off(screen, 0);
	assert_int_equal(set_scanout_blob(screen, 1, 64, 64, 256, 0), ERR(OUT_OF_MEMORY));
}

/* The memory under a backing goes: the pixels that there are stay, others do not come. */
static void memory_that_goes(void **state)
{
	struct screen *screen = *state;
	struct vhu_frontend *frontend = &screen->frontend;
	struct virtio_gpu_mem_entry entry = { htole64(1ull << 32), htole32(BYTES), 0 };
	int region;

	screen_begin(screen);
	region = vhu_guest_add(&frontend->guest, 1ull << 32, 2u << 20);
	assert_true(region >= 0);
	assert_int_equal(vhu_frontend_add_mem_reg(frontend, &frontend->guest.regions[region].wire,
						  frontend->guest.regions[region].fd), 0);
	screen_show(screen, 1, 8, 8, 64, 64);
	assert_int_equal(screen_create(screen, 1, BGRX, WIDTH, HEIGHT), OK);
	assert_int_equal(screen_attach_entries(screen, 1, 1, &entry, 1), OK);
	screen_draw(screen, 0, 1, WIDTH, HEIGHT);
	memcpy(frontend->guest.regions[region].host, screen->pixels.host, BYTES);
	assert_int_equal(screen_transfer(screen, 1, all(), 0), OK);
	assert_int_equal(screen_set_scanout(screen, 0, 1, all()), OK);
	assert_int_equal(create_blob(screen, 2, VIRTIO_GPU_BLOB_MEM_GUEST, BYTES, &entry, 1), OK);
	screen_expect_picture(screen, 0, 1, WIDTH, HEIGHT);
	assert_int_equal(vhu_frontend_rem_mem_reg(frontend,
						  &frontend->guest.regions[region].wire), 0);
	assert_int_equal(screen_transfer(screen, 1, all(), 0), ERR(UNSPEC));
	assert_int_equal(set_scanout_blob(screen, 2, WIDTH, HEIGHT, 4 * WIDTH, 0),
			 ERR(OUT_OF_MEMORY));
	assert_int_equal(screen_flush(screen, 1, all()), OK);
	screen_expect_picture(screen, 0, 1, WIDTH, HEIGHT);
	screen_expect_picture(screen, 1, 8, 64, 64);
	/* It comes back, and is what it was. */
	assert_int_equal(vhu_frontend_add_mem_reg(frontend, &frontend->guest.regions[region].wire,
						  frontend->guest.regions[region].fd), 0);
	screen_draw(screen, 0, 2, WIDTH, HEIGHT);
	memcpy(frontend->guest.regions[region].host, screen->pixels.host, BYTES);
	assert_int_equal(screen_transfer(screen, 1, all(), 0), OK);
	assert_int_equal(screen_flush(screen, 1, all()), OK);
	screen_expect_picture(screen, 0, 2, WIDTH, HEIGHT);
	assert_int_equal(set_scanout_blob(screen, 2, WIDTH, HEIGHT, 4 * WIDTH, 0), OK);
	assert_int_equal(vhu_frontend_rem_mem_reg(frontend,
						  &frontend->guest.regions[region].wire), 0);
	assert_int_equal(screen_flush(screen, 2, all()), OK);
	screen_expect_off(screen, 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		SCREEN_TEST(blobs),
		SCREEN_TEST(one_blob_on_two_heads),
		SCREEN_TEST(blobs_that_are_none),
		SCREEN_TEST(memory_that_goes),
	};

	signal(SIGPIPE, SIG_IGN);
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
