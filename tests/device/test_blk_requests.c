/* SPDX-License-Identifier: BSD-3-Clause */
/* Each rule of blk.md, Requests, on a real image (virtio 1.3, 5.2.6). */
#include <endian.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/num.h"
#include "tests/device/disk.h"

#define CAPACITY (IMAGE_BYTES / SECTOR)
/* What the headers of Debian 12 do not have. */
#define GET_LIFETIME 10

static struct disk open_running_disk(void **state)
{
	struct disk disk;

	scene_ring(*state);
	disk_open(&disk, *state);
	return disk;
}

static void write_pattern(struct disk *disk, uint64_t sector, uint32_t len, uint32_t seed)
{
	fill_pattern(disk->data.host, len, seed);
	assert_int_equal(disk_run(disk, VIRTIO_BLK_T_OUT, sector, len, 0), VIRTIO_BLK_S_OK);
	assert_int_equal(disk->used_len, 1);
}

static bool image_has_pattern(struct disk *disk, uint64_t sector, uint32_t len, uint32_t seed)
{
	static uint8_t buf[DATA_BYTES];

	image_read(disk, sector * SECTOR, buf, len);
	return is_pattern(buf, len, seed);
}

static bool image_is_filled(struct disk *disk, uint64_t sector, uint32_t len, uint8_t byte)
{
	static uint8_t buf[DATA_BYTES];

	image_read(disk, sector * SECTOR, buf, len);
	return is_filled(buf, len, byte);
}

static void what_is_written_is_read(void **state)
{
	static const uint32_t lengths[] = { 512, 1024, 4096, 65536, 131072 + 512, DATA_BYTES };
	static const uint64_t sectors[] = { 0, 1, 7, 2048, 4095, 9999 };
	struct disk disk = open_running_disk(state);

	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		for (size_t k = 0; k < ARRAY_SIZE(sectors); k++) {
			uint32_t seed = (uint32_t)(i * 100 + k);

			write_pattern(&disk, sectors[k], lengths[i], seed);
			assert_true(image_has_pattern(&disk, sectors[k], lengths[i], seed));
			memset(disk.data.host, 0, lengths[i]);
			assert_int_equal(disk_run(&disk, VIRTIO_BLK_T_IN, sectors[k], 0,
						  lengths[i]), VIRTIO_BLK_S_OK);
			assert_int_equal(disk.used_len, lengths[i] + 1);
			assert_true(is_pattern(disk.data.host, lengths[i], seed));
		}
	}
	disk_close(&disk);
}

static void what_others_wrote_is_read(void **state)
{
	struct disk disk = open_running_disk(state);

	/* Twice, for an engine that had reason to remember the hole. */
	for (uint32_t seed = 1; seed < 20; seed++) {
		assert_int_equal(disk_run(&disk, VIRTIO_BLK_T_IN, 64, 0, 65536), 0);
		assert_true(seed == 1 ? is_filled(disk.data.host, 65536, 0)
				      : is_pattern(disk.data.host, 65536, seed - 1));
		fill_pattern(disk.data.host, 65536, seed);
		assert_int_equal(pwrite(disk.image_fd, disk.data.host, 65536, 64 * SECTOR), 65536);
	}
	disk_close(&disk);
}

static void odd_lengths_are_errors(void **state)
{
	static const uint32_t lengths[] = { 1, 100, 511, 513, 4095, 4097 };
	struct disk disk = open_running_disk(state);

	write_pattern(&disk, 0, 8192, 1);
	memset(disk.data.host, 0x55, 8192);
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		assert_int_equal(disk_run(&disk, VIRTIO_BLK_T_OUT, 0, lengths[i], 0),
				 VIRTIO_BLK_S_IOERR);
		assert_int_equal(disk_run(&disk, VIRTIO_BLK_T_IN, 0, 0, lengths[i]),
				 VIRTIO_BLK_S_IOERR);
		assert_true(is_filled(disk.data.host, 8192, 0x55));
	}
	assert_true(image_has_pattern(&disk, 0, 8192, 1));
	disk_close(&disk);
}

static void nothing_is_beyond_the_end(void **state)
{
	static const struct { uint64_t sector; uint32_t len; } bad[] = {
		{ CAPACITY, 512 }, { CAPACITY - 1, 1024 }, { CAPACITY - 2047, DATA_BYTES },
		{ CAPACITY + 1, 512 }, { 1ull << 32, 512 }, { 1ull << 54, 512 },
		{ 1ull << 55, 512 }, { (1ull << 55) - 1, 1024 }, { INT64_MAX, 512 },
		{ UINT64_MAX, 512 }, { UINT64_MAX - 1, 1024 }, { UINT64_MAX / 512, 4096 },
	};
	struct disk disk = open_running_disk(state);
	struct stat st;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(disk_run(&disk, VIRTIO_BLK_T_OUT, bad[i].sector, bad[i].len, 0),
				 VIRTIO_BLK_S_IOERR);
		assert_int_equal(disk_run(&disk, VIRTIO_BLK_T_IN, bad[i].sector, 0, bad[i].len),
				 VIRTIO_BLK_S_IOERR);
	}
	/* The last ones that are there. */
	write_pattern(&disk, CAPACITY - 1, 512, 2);
	write_pattern(&disk, CAPACITY - 2048, DATA_BYTES, 3);
	assert_int_equal(fstat(disk.image_fd, &st), 0);
	assert_int_equal(st.st_size, IMAGE_BYTES);
	disk_close(&disk);
}

static void unknown_types_are_unsupported(void **state)
{
	static const uint32_t types[] = { 2, 3, 5, 6, 7, 9, GET_LIFETIME, 12,
					  VIRTIO_BLK_T_SECURE_ERASE, 15, 16, 100, 0x80000000,
					  0x80000001, 0xffffffff };
	struct disk disk = open_running_disk(state);

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		assert_int_equal(disk_run(&disk, types[i], 0, 512, 0), VIRTIO_BLK_S_UNSUPP);
		assert_int_equal(disk_run(&disk, types[i], 0, 0, 512), VIRTIO_BLK_S_UNSUPP);
		assert_int_equal(disk.used_len, 1);
		assert_int_equal(disk_run(&disk, types[i], 0, 0, 0), VIRTIO_BLK_S_UNSUPP);
	}
	assert_true(image_is_filled(&disk, 0, 4096, 0));
	disk_close(&disk);
}

static void types_that_were_not_taken_are_unsupported(void **state)
{
	const uint64_t without = VHU_BIT(VIRTIO_BLK_F_FLUSH) | VHU_BIT(VIRTIO_BLK_F_DISCARD) |
				 VHU_BIT(VIRTIO_BLK_F_WRITE_ZEROES);
	const struct virtio_blk_discard_write_zeroes segment = { 0, htole32(8), 0 };
	struct disk disk;

	scene_ring_bits(*state, VHU_FRONTEND_FEATURES & ~without, VHU_FRONTEND_PROTOCOL_FEATURES);
	disk_open(&disk, *state);
	write_pattern(&disk, 0, 4096, 1);
	assert_int_equal(disk_run(&disk, VIRTIO_BLK_T_FLUSH, 0, 0, 0), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(disk_run_segments(&disk, VIRTIO_BLK_T_DISCARD, &segment, 1),
			 VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(disk_run_segments(&disk, VIRTIO_BLK_T_WRITE_ZEROES, &segment, 1),
			 VIRTIO_BLK_S_UNSUPP);
	assert_true(image_has_pattern(&disk, 0, 4096, 1));
	disk_close(&disk);
}

static void flush_is_answered(void **state)
{
	struct disk disk = open_running_disk(state);

	for (uint32_t i = 0; i < 5; i++) {
		write_pattern(&disk, i * 8, 4096, i);
		assert_int_equal(disk_run(&disk, VIRTIO_BLK_T_FLUSH, 0, 0, 0), VIRTIO_BLK_S_OK);
		assert_int_equal(disk.used_len, 1);
	}
	disk_close(&disk);
}

static void serial_is_20_bytes(void **state)
{
	static const char serial[VIRTIO_BLK_ID_BYTES] = IMAGE_SERIAL;
	struct disk disk = open_running_disk(state);

	memset(disk.data.host, 0x55, 512);
	assert_int_equal(disk_run(&disk, VIRTIO_BLK_T_GET_ID, 0, 0, 512), VIRTIO_BLK_S_OK);
	assert_int_equal(disk.used_len, VIRTIO_BLK_ID_BYTES + 1);
	assert_memory_equal(disk.data.host, serial, sizeof(serial));
	assert_true(is_filled((char *)disk.data.host + 20, 492, 0x55));
	assert_int_equal(disk_run(&disk, VIRTIO_BLK_T_GET_ID, 0, 0, VIRTIO_BLK_ID_BYTES), 0);
	/* Too short a buffer is filled and not passed. */
	memset(disk.data.host, 0x55, 512);
	assert_true(disk_run(&disk, VIRTIO_BLK_T_GET_ID, 0, 0, 7) >= 0);
	assert_true(disk.used_len <= 8);
	assert_true(is_filled((char *)disk.data.host + 7, 500, 0x55));
	disk_close(&disk);
}

/* A chain without a byte for the status comes back with length 0. */
static void no_status_no_answer(void **state)
{
	struct disk disk = open_running_disk(state);
	struct vhu_guest_buffer readable[2] = { disk.header, disk.data };
	uint32_t len = 1;

	memset(disk.header.host, 0, disk.header.len);
	((struct virtio_blk_outhdr *)disk.header.host)->type = htole32(VIRTIO_BLK_T_OUT);
	memset(disk.data.host, 0x55, 512);
	readable[1].len = 512;
	assert_int_equal(vhu_driver_run(disk.driver, readable, 2, 0, &len), 0);
	assert_int_equal(len, 0);
	assert_true(image_is_filled(&disk, 0, 512, 0));
	write_pattern(&disk, 0, 512, 1);
	disk_close(&disk);
}

static void short_headers_are_errors(void **state)
{
	struct disk disk = open_running_disk(state);
	struct vhu_guest_buffer buffers[2];

	memset(disk.header.host, 0, disk.header.len);
	for (uint32_t len = 0; len < 16; len++) {
		uint32_t used_len;

		buffers[0] = disk.header;
		buffers[0].len = len;
		buffers[1] = disk.status;
		*(uint8_t *)disk.status.host = NO_STATUS;
		assert_int_equal(
			vhu_driver_run(disk.driver, buffers + !len, len != 0, 1, &used_len), 0);
		assert_int_equal(used_len, 1);
		assert_int_equal(*(uint8_t *)disk.status.host, VIRTIO_BLK_S_IOERR);
	}
	disk_close(&disk);
}

/* DISCARD, WRITE_ZEROES. */

static struct virtio_blk_discard_write_zeroes segment_of(uint64_t sector, uint32_t n_sectors,
							 uint32_t flags)
{
	return (struct virtio_blk_discard_write_zeroes){ htole64(sector), htole32(n_sectors),
							 htole32(flags) };
}

/* The disk's first 64 KiB in a pattern. */
static struct disk open_patterned_disk(void **state)
{
	struct disk disk = open_running_disk(state);

	write_pattern(&disk, 0, 65536, 1);
	return disk;
}

static void expect_pattern_untouched(struct disk *disk)
{
	assert_true(image_has_pattern(disk, 0, 65536, 1));
}

static uint64_t blocks_of(const struct disk *disk)
{
	struct stat st;

	assert_int_equal(fstat(disk->image_fd, &st), 0);
	return (uint64_t)st.st_blocks;
}

static void segments_become_zeros(void **state)
{
	static const uint32_t types[] = { VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_WRITE_ZEROES };
	struct disk disk = open_running_disk(state);
	struct virtio_blk_discard_write_zeroes segments[3];
	uint8_t now[65536];

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		write_pattern(&disk, 0, 65536, 1);
		segments[0] = segment_of(8, 8, 0);
		segments[1] = segment_of(32, 16, 0);
		segments[2] = segment_of(120, 8, 0);
		assert_int_equal(disk_run_segments(&disk, types[i], segments, 3), VIRTIO_BLK_S_OK);
		assert_int_equal(disk.used_len, 1);
		assert_true(image_is_filled(&disk, 8, 4096, 0));
		assert_true(image_is_filled(&disk, 32, 8192, 0));
		assert_true(image_is_filled(&disk, 120, 4096, 0));
		/* The neighbours are as they were. */
		assert_true(image_has_pattern(&disk, 0, 4096, 1));
		fill_pattern(disk.data.host, 65536, 1);
		memset((char *)disk.data.host + 4096, 0, 4096);
		memset((char *)disk.data.host + 16384, 0, 8192);
		memset((char *)disk.data.host + 61440, 0, 4096);
		image_read(&disk, 0, now, sizeof(now));
		assert_memory_equal(now, disk.data.host, sizeof(now));
	}
	disk_close(&disk);
}

static void unaligned_segments_are_exact(void **state)
{
	struct disk disk = open_patterned_disk(state);
	struct virtio_blk_discard_write_zeroes segment = segment_of(3, 11, 0);
	uint8_t now[65536];

	assert_int_equal(disk_run_segments(&disk, VIRTIO_BLK_T_WRITE_ZEROES, &segment, 1), 0);
	fill_pattern(disk.data.host, 65536, 1);
	memset((char *)disk.data.host + 3 * SECTOR, 0, 11 * SECTOR);
	image_read(&disk, 0, now, sizeof(now));
	assert_memory_equal(now, disk.data.host, sizeof(now));
	disk_close(&disk);
}

/* With UNMAP the space is given back, without it is kept. */
static void unmap_is_honoured(void **state)
{
	struct disk disk = open_running_disk(state);
	struct virtio_blk_discard_write_zeroes segment = segment_of(0, 2048, 0);
	uint64_t full;

	write_pattern(&disk, 0, DATA_BYTES, 1);
	assert_int_equal(disk_run(&disk, VIRTIO_BLK_T_FLUSH, 0, 0, 0), VIRTIO_BLK_S_OK);
	full = blocks_of(&disk);
	assert_true(full >= DATA_BYTES / 512);
	assert_int_equal(disk_run_segments(&disk, VIRTIO_BLK_T_WRITE_ZEROES, &segment, 1), 0);
	assert_true(blocks_of(&disk) >= DATA_BYTES / 512);
	assert_true(image_is_filled(&disk, 0, DATA_BYTES, 0));
	write_pattern(&disk, 0, DATA_BYTES, 2);
	segment.flags = htole32(VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP);
	assert_int_equal(disk_run_segments(&disk, VIRTIO_BLK_T_WRITE_ZEROES, &segment, 1), 0);
	assert_true(blocks_of(&disk) <= full - DATA_BYTES / 512);
	assert_true(image_is_filled(&disk, 0, DATA_BYTES, 0));
	write_pattern(&disk, 0, DATA_BYTES, 3);
	segment.flags = 0;
	assert_int_equal(disk_run_segments(&disk, VIRTIO_BLK_T_DISCARD, &segment, 1), 0);
	assert_true(blocks_of(&disk) <= full - DATA_BYTES / 512);
	assert_int_equal(disk_run(&disk, VIRTIO_BLK_T_IN, 0, 0, DATA_BYTES), 0);
	assert_true(is_filled(disk.data.host, DATA_BYTES, 0));
	disk_close(&disk);
}

static void unknown_flags_are_unsupported(void **state)
{
	static const struct { uint32_t type, flags; } bad[] = {
		{ VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP },
		{ VIRTIO_BLK_T_DISCARD, 2 }, { VIRTIO_BLK_T_DISCARD, 0x80000000 },
		{ VIRTIO_BLK_T_WRITE_ZEROES, 2 }, { VIRTIO_BLK_T_WRITE_ZEROES, 3 },
		{ VIRTIO_BLK_T_WRITE_ZEROES, 0xffffffff },
	};
	struct disk disk = open_patterned_disk(state);
	struct virtio_blk_discard_write_zeroes segments[2];

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		/* One good segment before the bad one: not done either. */
		segments[0] = segment_of(0, 8, 0);
		segments[1] = segment_of(8, 8, bad[i].flags);
		assert_int_equal(disk_run_segments(&disk, bad[i].type, &segments[1], 1),
				 VIRTIO_BLK_S_UNSUPP);
		assert_int_equal(disk_run_segments(&disk, bad[i].type, segments, 2),
				 VIRTIO_BLK_S_UNSUPP);
		expect_pattern_untouched(&disk);
	}
	disk_close(&disk);
}

static void bad_segments_are_errors(void **state)
{
	static const uint32_t types[] = { VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_WRITE_ZEROES };
	const struct virtio_blk_discard_write_zeroes bad[] = {
		segment_of(CAPACITY, 1, 0), segment_of(CAPACITY - 1, 2, 0),
		segment_of(0, CAPACITY + 1, 0), segment_of(0, 0xffffffff, 0),
		segment_of(UINT64_MAX, 2, 0), segment_of(UINT64_MAX - 8, 16, 0),
		segment_of(1ull << 55, 8, 0),
	};
	struct disk disk = open_patterned_disk(state);
	struct virtio_blk_discard_write_zeroes two[2];

	for (size_t t = 0; t < ARRAY_SIZE(types); t++) {
		for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
			two[0] = segment_of(0, 8, 0);
			two[1] = bad[i];
			assert_int_equal(disk_run_segments(&disk, types[t], &bad[i], 1),
					 VIRTIO_BLK_S_IOERR);
			assert_int_equal(disk_run_segments(&disk, types[t], two, 2),
					 VIRTIO_BLK_S_IOERR);
		}
		/* No segment, and parts of one. */
		for (uint32_t len = 0; len < 48; len++)
			if (len % 16 || !len)
				assert_int_equal(disk_run(&disk, types[t], 0, len, 0),
						 VIRTIO_BLK_S_IOERR);
		expect_pattern_untouched(&disk);
	}
	disk_close(&disk);
}

/* One more than the config space says, of segments and of sectors. */
static void more_than_advertised_is_an_error(void **state)
{
	struct disk disk = open_patterned_disk(state);
	struct virtio_blk_config config;
	struct virtio_blk_discard_write_zeroes many[1024], one;
	uint32_t max_seg[2], max_sectors[2];

	assert_int_equal(vhu_frontend_get_config(&disk.scene->frontend, 0, &config,
						 sizeof(config)), 0);
	max_seg[0] = le32toh(config.max_discard_seg);
	max_seg[1] = le32toh(config.max_write_zeroes_seg);
	max_sectors[0] = le32toh(config.max_discard_sectors);
	max_sectors[1] = le32toh(config.max_write_zeroes_sectors);
	for (unsigned i = 0; i < 2; i++) {
		uint32_t type = i ? VIRTIO_BLK_T_WRITE_ZEROES : VIRTIO_BLK_T_DISCARD;

		assert_true(max_seg[i] > 1 && max_seg[i] < ARRAY_SIZE(many));
		for (unsigned k = 0; k <= max_seg[i]; k++)
			many[k] = segment_of(256 + k, 1, 0);
		assert_int_equal(disk_run_segments(&disk, type, many, max_seg[i] + 1),
				 VIRTIO_BLK_S_IOERR);
		assert_int_equal(disk_run_segments(&disk, type, many, max_seg[i]),
				 VIRTIO_BLK_S_OK);
		one = segment_of(0, max_sectors[i] + 1, 0);
		if (max_sectors[i] != UINT32_MAX)
			assert_int_equal(disk_run_segments(&disk, type, &one, 1),
					 VIRTIO_BLK_S_IOERR);
	}
	expect_pattern_untouched(&disk);
	disk_close(&disk);
}

/* A disk that is only read, whether or not the driver took the bit that says so. */
static void read_only_refuses_changes(void **state)
{
	static const uint64_t masks[] = { 0, VHU_BIT(VIRTIO_BLK_F_RO) };
	const struct virtio_blk_discard_write_zeroes segment = segment_of(0, 8, 0);
	struct disk disk;

	for (size_t i = 0; i < ARRAY_SIZE(masks); i++) {
		scene_ring_bits(*state, VHU_FRONTEND_FEATURES & ~masks[i],
				VHU_FRONTEND_PROTOCOL_FEATURES);
		disk_open(&disk, *state);
		assert_true(disk.scene->frontend.offered_features & VHU_BIT(VIRTIO_BLK_F_RO));
		fill_pattern(disk.data.host, 65536, 1);
		assert_int_equal(pwrite(disk.image_fd, disk.data.host, 65536, 0), 65536);
		assert_int_equal(disk_run(&disk, VIRTIO_BLK_T_OUT, 0, 512, 0), VIRTIO_BLK_S_IOERR);
		assert_int_equal(disk_run_segments(&disk, VIRTIO_BLK_T_DISCARD, &segment, 1),
				 VIRTIO_BLK_S_IOERR);
		assert_int_equal(disk_run_segments(&disk, VIRTIO_BLK_T_WRITE_ZEROES, &segment, 1),
				 VIRTIO_BLK_S_IOERR);
		expect_pattern_untouched(&disk);
		assert_int_equal(disk_run(&disk, VIRTIO_BLK_T_IN, 0, 0, 65536), VIRTIO_BLK_S_OK);
		assert_true(is_pattern(disk.data.host, 65536, 1));
		assert_int_equal(disk_run(&disk, VIRTIO_BLK_T_FLUSH, 0, 0, 0), VIRTIO_BLK_S_OK);
		assert_int_equal(disk_run(&disk, VIRTIO_BLK_T_GET_ID, 0, 0, 20), VIRTIO_BLK_S_OK);
		disk_close(&disk);
	}
}

int main(int argc, char **argv)
{
	static const struct device_test tests[] = {
		DEVICE_TEST(what_is_written_is_read, ON_IMAGE),
		DEVICE_TEST(what_others_wrote_is_read, ON_IMAGE),
		DEVICE_TEST(odd_lengths_are_errors, ON_IMAGE),
		DEVICE_TEST(nothing_is_beyond_the_end, ON_IMAGE),
		DEVICE_TEST(unknown_types_are_unsupported, ON_IMAGE),
		DEVICE_TEST(types_that_were_not_taken_are_unsupported, ON_IMAGE),
		DEVICE_TEST(flush_is_answered, ON_IMAGE),
		DEVICE_TEST(serial_is_20_bytes, ON_IMAGE),
		DEVICE_TEST(no_status_no_answer, ON_IMAGE),
		DEVICE_TEST(short_headers_are_errors, ON_IMAGE),
		DEVICE_TEST(segments_become_zeros, ON_IMAGE),
		DEVICE_TEST(unaligned_segments_are_exact, ON_IMAGE),
		DEVICE_TEST(unmap_is_honoured, ON_IMAGE),
		DEVICE_TEST(unknown_flags_are_unsupported, ON_IMAGE),
		DEVICE_TEST(bad_segments_are_errors, ON_IMAGE),
		DEVICE_TEST(more_than_advertised_is_an_error, ON_IMAGE),
		DEVICE_TEST(read_only_refuses_changes, ON_READ_ONLY),
	};

	return run_device_tests(tests, ARRAY_SIZE(tests), argc, argv);
}
