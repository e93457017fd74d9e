/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Any layout is legal: the device may not rely on how a request is cut into descriptors
 * (virtio 1.3, 2.6.4, 5.2.6). And many queues at once.
 */
#include <endian.h>
#include <pthread.h>
#include <string.h>

#include "common/base/num.h"
#include "tests/device/disk.h"

#define MAX_PIECES 100
#define STREAM_BYTES 16384
/* So far apart that no two pieces touch. */
#define STRIDE 8192

/* What the device reads, and what it writes, as streams of bytes; cut into pieces of any length. */
struct layout {
	struct vhu_guest_buffer arena;
	uint8_t readable[STREAM_BYTES], writable[STREAM_BYTES];
	uint32_t n_readable, n_writable;
};

/* Cuts len bytes into pieces of piece bytes, the first one of first bytes. Returns their number. */
static unsigned cut(const struct layout *layout, unsigned used, uint32_t len, uint32_t first,
		    uint32_t piece, struct vhu_guest_buffer *buffers)
{
	unsigned n = 0;

	for (uint32_t at = 0; at < len; n++) {
		uint32_t size = n ? piece : first;

		if (size > len - at)
			size = len - at;
		buffers[n].gpa = layout->arena.gpa + (uint64_t)(used + n) * STRIDE;
		buffers[n].host = (char *)layout->arena.host + (size_t)(used + n) * STRIDE;
		buffers[n].len = size;
		at += size;
		assert_true(used + n + 1 < MAX_PIECES);
	}
	return n;
}

static int run_layout(struct disk *disk, struct layout *layout, uint32_t first, uint32_t piece)
{
	struct vhu_guest_buffer buffers[MAX_PIECES];
	unsigned n_readable = cut(layout, 0, layout->n_readable, first, piece, buffers);
	unsigned n_writable = cut(layout, n_readable, layout->n_writable, first, piece,
				  buffers + n_readable);
	uint32_t at = 0;
	int r;

	for (unsigned i = 0; i < n_readable; i++) {
		memcpy(buffers[i].host, layout->readable + at, buffers[i].len);
		at += buffers[i].len;
	}
	for (unsigned i = 0; i < n_writable; i++)
		memset(buffers[n_readable + i].host, NO_STATUS, buffers[n_readable + i].len);
	r = vhu_driver_run(disk->driver, buffers, n_readable, n_writable, &disk->used_len);
	at = 0;
	for (unsigned i = n_readable; i < n_readable + n_writable; i++) {
		memcpy(layout->writable + at, buffers[i].host, buffers[i].len);
		at += buffers[i].len;
	}
	return r < 0 ? r : layout->writable[layout->n_writable - 1];
}

static void set_header(struct layout *layout, uint32_t type, uint64_t sector)
{
	struct virtio_blk_outhdr header = { htole32(type), 0, htole64(sector) };

	memcpy(layout->readable, &header, sizeof(header));
}

/* Writes and reads n_sectors, cut in this way, and looks at the image in between. */
static void try_cut(struct disk *disk, struct layout *layout, uint32_t n_sectors, uint32_t first,
		    uint32_t piece)
{
	uint32_t bytes = n_sectors * SECTOR, seed = first * 1000 + piece;
	uint8_t image[STREAM_BYTES];

	set_header(layout, VIRTIO_BLK_T_OUT, 100);
	fill_pattern(layout->readable + 16, bytes, seed);
	layout->n_readable = 16 + bytes;
	layout->n_writable = 1;
	assert_int_equal(run_layout(disk, layout, first, piece), VIRTIO_BLK_S_OK);
	assert_int_equal(disk->used_len, 1);
	image_read(disk, 100 * SECTOR, image, bytes);
	assert_true(is_pattern(image, bytes, seed));

	set_header(layout, VIRTIO_BLK_T_IN, 100);
	layout->n_readable = 16;
	layout->n_writable = bytes + 1;
	assert_int_equal(run_layout(disk, layout, first, piece), VIRTIO_BLK_S_OK);
	assert_int_equal(disk->used_len, bytes + 1);
	assert_true(is_pattern(layout->writable, bytes, seed));
}

static void layouts_do_not_matter(void **state)
{
	static const uint32_t firsts[] = { 1, 2, 15, 16, 17, 511, 512, 513, 528, 529 };
	static const uint32_t pieces[] = { 13, 15, 16, 17, 100, 511, 512, 513, 4096 };
	struct scene *scene = *state;
	static struct layout layout;
	struct disk disk;

	scene_ring(scene);
	disk_open(&disk, scene);
	layout.arena = vhu_guest_alloc(&scene->frontend.guest, MAX_PIECES * STRIDE, 4096);
	assert_non_null(layout.arena.host);
	for (int indirect = 0; indirect < 2; indirect++) {
		scene->driver.indirect = indirect;
		for (size_t i = 0; i < ARRAY_SIZE(firsts); i++)
			for (size_t k = 0; k < ARRAY_SIZE(pieces); k++)
				try_cut(&disk, &layout, pieces[k] < 100 ? 1 : 8, firsts[i],
					pieces[k]);
	}
	disk_close(&disk);
}

/* Every byte a descriptor of its own: the segments of a discard, the serial. */
static void small_requests_in_bytes(void **state)
{
	static const char serial[VIRTIO_BLK_ID_BYTES] = IMAGE_SERIAL;
	const struct virtio_blk_discard_write_zeroes segment = { htole64(101), htole32(2), 0 };
	struct scene *scene = *state;
	static struct layout layout;
	struct disk disk;
	uint8_t image[4 * SECTOR];

	scene_ring(scene);
	disk_open(&disk, scene);
	layout.arena = vhu_guest_alloc(&scene->frontend.guest, MAX_PIECES * STRIDE, 4096);
	try_cut(&disk, &layout, 4, 16, 512);
	set_header(&layout, VIRTIO_BLK_T_GET_ID, 0);
	layout.n_readable = 16;
	layout.n_writable = sizeof(serial) + 1;
	assert_int_equal(run_layout(&disk, &layout, 1, 1), VIRTIO_BLK_S_OK);
	assert_memory_equal(layout.writable, serial, sizeof(serial));
	set_header(&layout, VIRTIO_BLK_T_WRITE_ZEROES, 0);
	memcpy(layout.readable + 16, &segment, sizeof(segment));
	layout.n_readable = 32;
	layout.n_writable = 1;
	assert_int_equal(run_layout(&disk, &layout, 1, 1), VIRTIO_BLK_S_OK);
	image_read(&disk, 100 * SECTOR, image, sizeof(image));
	assert_false(is_filled(image, SECTOR, 0));
	assert_true(is_filled(image + SECTOR, 2 * SECTOR, 0));
	assert_false(is_filled(image + 3 * SECTOR, SECTOR, 0));
	disk_close(&disk);
}

/* Eight queues, a thread each, on a part of the disk that is its own. */
#define N_QUEUES 8
#define ROUNDS (400 / SLOWNESS)
#define PART_BYTES (IMAGE_BYTES / N_QUEUES)
#define BLOCK 4096u

struct worker {
	pthread_t thread;
	struct vhu_driver driver;
	struct disk disk;
	unsigned number;
	uint32_t seeds[PART_BYTES / BLOCK]; /* of each block; 0: zeros */
	int error;
};

static uint64_t block_sector(const struct worker *worker, uint32_t block)
{
	return (worker->number * (uint64_t)PART_BYTES + (uint64_t)block * BLOCK) / SECTOR;
}

static int check_block(struct worker *worker, uint32_t block)
{
	struct disk *disk = &worker->disk;
	uint32_t seed = worker->seeds[block];
	int r = disk_run(disk, VIRTIO_BLK_T_IN, block_sector(worker, block), 0, BLOCK);

	if (r)
		return r < 0 ? r : -EIO;
	if (seed ? is_pattern(disk->data.host, BLOCK, seed) : is_filled(disk->data.host, BLOCK, 0))
		return 0;
	return -EILSEQ;
}

static int change_block(struct worker *worker, uint32_t block, uint32_t seed)
{
	struct virtio_blk_discard_write_zeroes segment = {
		htole64(block_sector(worker, block)), htole32(BLOCK / SECTOR), 0 };
	struct disk *disk = &worker->disk;

	if (seed % 8 == 0) {
		worker->seeds[block] = 0;
		return disk_run_segments(disk, VIRTIO_BLK_T_WRITE_ZEROES, &segment, 1);
	}
	worker->seeds[block] = seed;
	fill_pattern(disk->data.host, BLOCK, seed);
	return disk_run(disk, VIRTIO_BLK_T_OUT, block_sector(worker, block), BLOCK, 0);
}

static void *run_worker(void *data)
{
	struct worker *worker = data;
	uint32_t random = worker->number + 1, n_blocks = ARRAY_SIZE(worker->seeds);
	int r = 0;

	for (unsigned i = 0; i < ROUNDS && r == 0; i++) {
		random = random * 1664525 + 1013904223;
		r = change_block(worker, (random >> 8) % n_blocks, random >> 4 | 1u << 28);
		if (r == 0)
			r = check_block(worker, (random >> 16) % n_blocks);
		if (r == 0 && i % 50 == 0)
			r = disk_run(&worker->disk, VIRTIO_BLK_T_FLUSH, 0, 0, 0);
	}
	worker->error = r;
	return NULL;
}

static bool part_is_right(const struct worker *worker, const struct disk *image)
{
	uint8_t block[BLOCK];

	for (uint32_t i = 0; i < ARRAY_SIZE(worker->seeds); i++) {
		image_read(image, block_sector(worker, i) * SECTOR, block, BLOCK);
		if (worker->seeds[i] ? !is_pattern(block, BLOCK, worker->seeds[i])
				     : !is_filled(block, BLOCK, 0))
			return false;
	}
	return true;
}

static void queues_work_at_once(void **state)
{
	struct scene *scene = *state;
	static struct worker workers[N_QUEUES];
	struct disk disk;

	memset(workers, 0, sizeof(workers));
	scene_ring(scene);
	disk_open(&disk, scene);
	assert_int_equal(vhu_driver_stop(&scene->driver), 0);
	for (unsigned i = 0; i < N_QUEUES; i++) {
		workers[i].number = i;
		scene_driver(scene, &workers[i].driver, i);
		disk_open_queue(&workers[i].disk, scene, &workers[i].driver);
		assert_int_equal(vhu_driver_start(&workers[i].driver), 0);
	}
	for (unsigned i = 0; i < N_QUEUES; i++)
		assert_int_equal(pthread_create(&workers[i].thread, NULL, run_worker, &workers[i]),
				 0);
	for (unsigned i = 0; i < N_QUEUES; i++)
		pthread_join(workers[i].thread, NULL);
	for (unsigned i = 0; i < N_QUEUES; i++) {
		assert_int_equal(workers[i].error, 0);
		assert_int_equal(vhu_driver_stop(&workers[i].driver), 0);
		assert_true(part_is_right(&workers[i], &disk));
		vhu_driver_finish(&workers[i].driver);
	}
	disk_close(&disk);
}

int main(int argc, char **argv)
{
	static const struct device_test tests[] = {
		DEVICE_TEST(layouts_do_not_matter, ON_IMAGE),
		DEVICE_TEST(small_requests_in_bytes, ON_IMAGE),
		DEVICE_TEST(queues_work_at_once, ON_IMAGE),
	};

	return run_device_tests(tests, ARRAY_SIZE(tests), argc, argv);
}
