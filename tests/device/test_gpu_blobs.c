/* SPDX-License-Identifier: BSD-3-Clause */

/* Guest memory that vhu-gpu shows where it is, and shares; and memory that goes away under it. */

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/device/screen.h"

#define BGRX VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM
#define WIDTH 640
#define HEIGHT 480
#define BYTES (4 * WIDTH * HEIGHT)
#define ENTRIES_MAX 1025

static struct virtio_gpu_rect all(void)
{
	return screen_rect(0, 0, WIDTH, HEIGHT);
}

static uint32_t create_blob(struct screen *screen, uint32_t id, uint32_t blob_mem, uint64_t size,
			    const struct virtio_gpu_mem_entry *entries, uint32_t n)
{
	struct {
		struct virtio_gpu_resource_create_blob create;
		struct virtio_gpu_mem_entry entries[ENTRIES_MAX];
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

/* --- shared --------------------------------------------------------------------------------- */

#define PAGE 4096u
#define SHARED_GPA (1ull << 32)

static void begin_to_share(struct screen *screen)
{
	static const char *const args[] = { "--log-level", "debug", NULL };

	screen_start(screen, args);
	screen_connect(screen, 0);
}

/* So much of the file, from its third page on. Takes fd. Returns the number of its region. */
static int add_file(struct screen *screen, uint64_t gpa, uint64_t bytes, int fd)
{
	struct vhu_guest *guest = &screen->frontend.guest;
	int region;

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)(2 * PAGE + bytes)), 0);
	region = vhu_guest_add_file(guest, gpa, bytes, fd, 2 * PAGE);
	close(fd);
	assert_true(region >= 0);
	assert_int_equal(vhu_frontend_add_mem_reg(&screen->frontend, &guest->regions[region].wire,
						  guest->regions[region].fd), 0);
	return region;
}

static int add_sealed(struct screen *screen, uint64_t gpa, uint64_t bytes)
{
	int fd = memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	return add_file(screen, gpa, bytes, fd);
}

static void get_uuid(struct screen *screen, uint32_t id, uint8_t uuid[16])
{
	struct virtio_gpu_resource_assign_uuid command = {
		.hdr.type = htole32(VIRTIO_GPU_CMD_RESOURCE_ASSIGN_UUID),
		.resource_id = htole32(id),
	};
	const struct virtio_gpu_resp_resource_uuid *answer = screen->response.host;

	assert_int_equal(screen_command(screen, &command, sizeof(command), sizeof(*answer)),
			 VIRTIO_GPU_RESP_OK_RESOURCE_UUID);
	memcpy(uuid, answer->uuid, 16);
}

static int get_shared(struct screen *screen, const uint8_t uuid[16])
{
	int fd = -7;

	assert_int_equal(vhu_frontend_get_shared_object(&screen->frontend, uuid, &fd), 0);
	return fd;
}

/* The program's, when it is done with those that came with the last message. */
static unsigned idle_fds(struct screen *screen)
{
	static const uint8_t nobody[16];

	assert_int_equal(get_shared(screen, nobody), -1);
	return program_fds(&screen->program);
}

static bool host_can_share(void)
{
	return access("/dev/udmabuf", R_OK | W_OK) == 0;
}

/* The blob is not given; *said is how far the log has been read. */
static void expect_not_shared(struct screen *screen, const uint8_t uuid[16], const char *why,
			      size_t *said)
{
	char *log;

	assert_int_equal(get_shared(screen, uuid), -1);
	log = program_said(&screen->program);
	if (!strstr(log + *said, why))
		fail_msg("no \"%s\" in:\n%s", why, log + *said);
	*said = strlen(log);
	free(log);
}

enum { BLOB_PAGES = 16 };

/*
 * All pages of two regions that adjoin: first, in one entry, those where they meet; the rest from
 * both ends on, as mappings may adjoin the other way round.
 */
static void create_shared(struct screen *screen, unsigned page_of[BLOB_PAGES])
{
	struct virtio_gpu_mem_entry entries[BLOB_PAGES - 1];

	page_of[0] = BLOB_PAGES / 2 - 1;
	page_of[1] = BLOB_PAGES / 2;
	for (unsigned i = 2; i < BLOB_PAGES; i++)
		page_of[i] = i % 2 ? i / 2 - 1 : BLOB_PAGES - i / 2;
	for (unsigned i = 1; i < BLOB_PAGES; i++)
		entries[i - 1] = (struct virtio_gpu_mem_entry){
			htole64(SHARED_GPA + page_of[i] * PAGE), htole32(PAGE), 0
		};
	entries[0] = (struct virtio_gpu_mem_entry){ htole64(SHARED_GPA + page_of[0] * PAGE),
						    htole32(2 * PAGE), 0 };
	assert_int_equal(create_blob(screen, 1, VIRTIO_GPU_BLOB_MEM_GUEST, BLOB_PAGES * PAGE,
				     entries, ARRAY_SIZE(entries)), OK);
}

/* One sees what the other writes, in either way. */
static void expect_same_pages(struct screen *screen, int fd, const unsigned page_of[BLOB_PAGES])
{
	const struct vhu_guest *guest = &screen->frontend.guest;
	volatile uint32_t *seen, *there;

	assert_int_equal(lseek(fd, 0, SEEK_END), BLOB_PAGES * PAGE);
	seen = mmap(NULL, BLOB_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(seen, MAP_FAILED);
	for (unsigned i = 0; i < BLOB_PAGES * PAGE / 4; i++) {
		there = vhu_guest_at(guest, SHARED_GPA + page_of[4 * i / PAGE] * PAGE +
						    4 * i % PAGE, 4);
		*there = i * 2654435761u;
		assert_int_equal(seen[i], i * 2654435761u);
		seen[i] = ~i;
		assert_int_equal(*there, ~i);
	}
	munmap((void *)(uintptr_t)seen, BLOB_PAGES * PAGE);
}

/* A blob is shared as a dma-buf of its pages, where the host has that. */
static void shared_blobs(void **state)
{
	struct screen *screen = *state;
	struct vhu_frontend *frontend = &screen->frontend;
	unsigned page_of[BLOB_PAGES], fds;
	const struct vhu_guest_region *region;
	uint8_t uuid[16];
	size_t said = 0;
	int first, last;

	begin_to_share(screen);
	add_sealed(screen, SHARED_GPA, BLOB_PAGES / 2 * PAGE);
	region = &frontend->guest.regions[add_sealed(screen, SHARED_GPA + BLOB_PAGES / 2 * PAGE,
						     BLOB_PAGES / 2 * PAGE)];
	create_shared(screen, page_of);
	get_uuid(screen, 1, uuid);
	fds = idle_fds(screen);
	if (!host_can_share()) {
		expect_not_shared(screen, uuid, "/dev/udmabuf cannot be opened", &said);
		program_wait_fds(&screen->program, fds);
		return;
	}
	first = get_shared(screen, uuid);
	expect_same_pages(screen, first, page_of);
	for (unsigned i = 0; i < 100; i++) {
		last = get_shared(screen, uuid);
		assert_true(last >= 0);
		close(last);
	}
	program_wait_fds(&screen->program, fds);
	/* Memory that has gone is not given any more, but nor is it taken away. */
	assert_int_equal(vhu_frontend_rem_mem_reg(frontend, &region->wire), 0);
	expect_not_shared(screen, uuid, "it has no memory", &said);
	assert_int_equal(vhu_frontend_add_mem_reg(frontend, &region->wire, region->fd), 0);
	last = get_shared(screen, uuid);
	assert_int_equal(screen_unref(screen, 1), OK);
	assert_int_equal(get_shared(screen, uuid), -1);
	expect_same_pages(screen, first, page_of);
	expect_same_pages(screen, last, page_of);
	program_wait_fds(&screen->program, fds);
	close(first);
	close(last);
}

static void blobs_not_to_be_shared(void **state)
{
	enum { UNSEALED = 1, PLAIN, SEALED, LARGE, KINDS };
	static const struct {
		unsigned kind;
		uint32_t offset, bytes, n_entries; /* every other page, again and again */
		const char *why;
	} cases[] = {
		{ UNSEALED, 0, PAGE, 1, "no memfd that is sealed" },
		{ PLAIN, 0, PAGE, 1, "no memfd that is sealed" },
		{ SEALED, 512, PAGE, 1, "not made of whole pages" },
		{ SEALED, 0, PAGE + 512, 1, "not made of whole pages" },
		{ SEALED, 0, PAGE, ENTRIES_MAX, "list_limit" },
		{ LARGE, 0, 65u << 20, 1, "size_limit_mb" },
	};
	struct virtio_gpu_mem_entry entries[ENTRIES_MAX];
	struct screen *screen = *state;
	size_t said = 0;
	uint8_t uuid[16];
	unsigned fds;

	begin_to_share(screen);
	add_file(screen, UNSEALED * SHARED_GPA, 8 * PAGE, memfd_create("unsealed", MFD_CLOEXEC));
	add_file(screen, PLAIN * SHARED_GPA, 8 * PAGE,
		 open(screen->program.dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
	add_sealed(screen, SEALED * SHARED_GPA, 8 * PAGE);
	add_sealed(screen, LARGE * SHARED_GPA, 65u << 20);
	fds = idle_fds(screen);
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		for (unsigned k = 0; k < cases[i].n_entries; k++)
			entries[k] = (struct virtio_gpu_mem_entry){
				htole64(cases[i].kind * SHARED_GPA + cases[i].offset +
					k % 2 * 2 * PAGE), htole32(cases[i].bytes), 0
			};
		assert_int_equal(create_blob(screen, 1, VIRTIO_GPU_BLOB_MEM_GUEST, cases[i].bytes,
					     entries, cases[i].n_entries), OK);
		get_uuid(screen, 1, uuid);
		expect_not_shared(screen, uuid, host_can_share() ? cases[i].why :
				  "/dev/udmabuf cannot be opened", &said);
		assert_int_equal(screen_detach(screen, 1), OK);
		expect_not_shared(screen, uuid, "it has no memory", &said);
		assert_int_equal(screen_unref(screen, 1), OK);
	}
	program_wait_fds(&screen->program, fds);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		SCREEN_TEST(blobs),
		SCREEN_TEST(one_blob_on_two_heads),
		SCREEN_TEST(blobs_that_are_none),
		SCREEN_TEST(memory_that_goes),
		SCREEN_TEST(shared_blobs),
		SCREEN_TEST(blobs_not_to_be_shared),
	};

	signal(SIGPIPE, SIG_IGN);
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
