/* SPDX-License-Identifier: BSD-3-Clause */
/* Block devices: requests that write, only with --destructive. */
#include <endian.h>
#include <stdio.h>
#include <string.h>

#include "cli/check/disk.h"

#define WRITES (CHECK_NEEDS_REQUEST | CHECK_NEEDS_BLK | CHECK_NEEDS_DESTRUCTIVE)

static void fill(void *buf, size_t len, uint32_t seed)
{
	uint8_t *bytes = buf;

	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)((i + seed) * 2654435761u >> 13);
}

static void write_pattern(struct disk *disk, uint64_t sector, uint32_t len, uint32_t seed)
{
	fill(disk->data.host, len, seed);
	expect_status(disk, disk_run(disk, VIRTIO_BLK_T_OUT, sector, len, 0), VIRTIO_BLK_S_OK,
		      "a write");
}

static void expect_pattern(struct disk *disk, uint64_t sector, uint32_t len, uint32_t seed,
			   const char *expected)
{
	static uint8_t pattern[DISK_DATA_BYTES];

	fill(pattern, len, seed);
	memset(disk->data.host, 0x5a, len);
	expect_status(disk, disk_run(disk, VIRTIO_BLK_T_IN, sector, 0, len), VIRTIO_BLK_S_OK,
		      "a read");
	expect(disk->check, !memcmp(pattern, disk->data.host, len), expected, "other data");
}

static struct disk open_writable(struct check *check, uint32_t n_blocks)
{
	struct disk disk = disk_open(check, 0);

	if (check->facts->features & VHU_BIT(VIRTIO_BLK_F_RO))
		check_skip(check, "the disk is read-only");
	if (disk.capacity * SECTOR / disk.block < n_blocks)
		check_skip(check, "the disk has less than %u blocks", n_blocks);
	return disk;
}

static void what_is_written_is_read(struct check *check)
{
	struct disk disk = open_writable(check, 256);
	static const uint32_t blocks[] = { 1, 3, 8, 100 };

	for (uint32_t i = 0; i < ARRAY_SIZE(blocks); i++) {
		uint64_t sector = (uint64_t)i * 100 * disk.block / SECTOR % disk.capacity;
		uint32_t len = (uint32_t)min_u64(blocks[i] * disk.block, DISK_DATA_BYTES);

		sector = min_u64(sector, disk.capacity - len / SECTOR);
		write_pattern(&disk, sector, len, i);
		expect_pattern(&disk, sector, len, i, "what was written");
	}
}

static void writes_beyond_the_capacity(struct check *check)
{
	struct disk disk = open_writable(check, 2);
	const uint64_t per_block = disk.block / SECTOR;
	const uint64_t bad[] = { disk.capacity, 1ull << 54, 1ull << 55,
				 UINT64_MAX & ~(per_block - 1) };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		expect_refusal(&disk, disk_run(&disk, VIRTIO_BLK_T_OUT, bad[i], disk.block, 0),
			       "a write beyond the capacity");
}

/* In segment's form: virtio 1.3, 5.2.6. */
static uint8_t run_segments(struct disk *disk, uint32_t type,
			    const struct virtio_blk_discard_write_zeroes *segments, unsigned n)
{
	memcpy(disk->data.host, segments, n * sizeof(*segments));
	return disk_run(disk, type, 0, n * (uint32_t)sizeof(*segments), 0);
}

static struct virtio_blk_discard_write_zeroes segment_of(const struct disk *disk, uint32_t block,
							 uint32_t n_blocks, uint32_t flags)
{
	const uint32_t per_block = disk->block / SECTOR;

	return (struct virtio_blk_discard_write_zeroes){
		htole64((uint64_t)block * per_block), htole32(n_blocks * per_block), htole32(flags)
	};
}

static void zeroes_are_read(struct check *check)
{
	static const uint32_t flags[] = { 0, VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP };
	struct disk disk = open_writable(check, 32);

	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		const struct virtio_blk_discard_write_zeroes segment =
			segment_of(&disk, 4, 8, flags[i]);
		static const uint8_t zeros[65536];

		write_pattern(&disk, 0, 16 * disk.block, 1);
		if (run_segments(&disk, VIRTIO_BLK_T_WRITE_ZEROES, &segment, 1) != VIRTIO_BLK_S_OK)
			check_skip(check, "WRITE_ZEROES is not done (BLW-08)");
		expect_status(&disk, disk_run(&disk, VIRTIO_BLK_T_IN, 4 * disk.block / SECTOR, 0,
					 8 * disk.block), VIRTIO_BLK_S_OK, "a read");
		for (uint32_t at = 0; at < 8 * disk.block; at += disk.block)
			expect(check,
			       !memcmp((char *)disk.data.host + at, zeros, min_u64(disk.block,
								  sizeof(zeros))),
			       "zeroes", "something else, with flags %u", flags[i]);
		expect_pattern(&disk, 0, 4 * disk.block, 1, "what was written before the zeroes");
	}
}

static void unknown_flags(struct check *check)
{
	static const struct { uint32_t type, flags; uint64_t feature; } bad[] = {
		{ VIRTIO_BLK_T_DISCARD, 2, VHU_BIT(VIRTIO_BLK_F_DISCARD) },
		{ VIRTIO_BLK_T_DISCARD, 0x80000000, VHU_BIT(VIRTIO_BLK_F_DISCARD) },
		{ VIRTIO_BLK_T_WRITE_ZEROES, 2, VHU_BIT(VIRTIO_BLK_F_WRITE_ZEROES) },
		{ VIRTIO_BLK_T_WRITE_ZEROES, 0x80000001, VHU_BIT(VIRTIO_BLK_F_WRITE_ZEROES) },
	};
	struct disk disk = open_writable(check, 8);
	char what[60];

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		const struct virtio_blk_discard_write_zeroes segment =
			segment_of(&disk, 0, 1, bad[i].flags);

		if (!(check->facts->features & bad[i].feature))
			continue;
		snprintf(what, sizeof(what), "%s with flags 0x%x",
			 bad[i].type == VIRTIO_BLK_T_DISCARD ? "DISCARD" : "WRITE_ZEROES",
			 bad[i].flags);
		expect_status(&disk, run_segments(&disk, bad[i].type, &segment, 1),
			      VIRTIO_BLK_S_UNSUPP, what);
	}
}

static void discard_with_unmap(struct check *check)
{
	struct disk disk = open_writable(check, 8);
	const struct virtio_blk_discard_write_zeroes segment =
		segment_of(&disk, 0, 1, VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP);

	expect_status(&disk, run_segments(&disk, VIRTIO_BLK_T_DISCARD, &segment, 1),
		      VIRTIO_BLK_S_UNSUPP, "DISCARD with the unmap flag");
}

static void many_segments(struct check *check)
{
	struct disk disk = open_writable(check, 64);
	struct virtio_blk_discard_write_zeroes segments[16];
	uint32_t n = (uint32_t)min_u64(le32toh(disk.config.max_discard_seg), ARRAY_SIZE(segments));

	if (n < 2)
		check_skip(check, "max_discard_seg is %u", n);
	for (uint32_t i = 0; i < n; i++)
		segments[i] = segment_of(&disk, 2 * i, 1, 0);
	if (run_segments(&disk, VIRTIO_BLK_T_DISCARD, segments, 1) != VIRTIO_BLK_S_OK)
		check_skip(check, "DISCARD is not done (BLW-08)");
	write_pattern(&disk, 63 * disk.block / SECTOR, disk.block, 3);
	expect_status(&disk, run_segments(&disk, VIRTIO_BLK_T_DISCARD, segments, n),
		      VIRTIO_BLK_S_OK, "DISCARD of several segments");
	expect_pattern(&disk, 63 * disk.block / SECTOR, disk.block, 3,
		       "what was written and not discarded");
}

static void what_is_offered_is_done(struct check *check)
{
	struct disk disk = open_writable(check, 8);
	const struct virtio_blk_discard_write_zeroes segment = segment_of(&disk, 0, 1, 0);

	if (check->facts->features & VHU_BIT(VIRTIO_BLK_F_DISCARD))
		expect_status(&disk, run_segments(&disk, VIRTIO_BLK_T_DISCARD, &segment, 1),
			      VIRTIO_BLK_S_OK, "DISCARD of one block");
	if (check->facts->features & VHU_BIT(VIRTIO_BLK_F_WRITE_ZEROES))
		expect_status(&disk, run_segments(&disk, VIRTIO_BLK_T_WRITE_ZEROES, &segment, 1),
			      VIRTIO_BLK_S_OK, "WRITE_ZEROES of one block");
}

static void segments_beyond_the_capacity(struct check *check)
{
	struct disk disk = open_writable(check, 8);
	const struct virtio_blk_discard_write_zeroes bad[] = {
		{ htole64(disk.capacity), htole32(disk.block / SECTOR), 0 },
		{ htole64(UINT64_MAX - 7), htole32(16), 0 },
		{ htole64(1ull << 55), htole32(8), 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		expect_refusal(&disk, run_segments(&disk, VIRTIO_BLK_T_DISCARD, &bad[i], 1),
			       "DISCARD beyond the capacity");
}

static const struct check_case cases[] = {
	{ "BLW-01", "what is written is read", BLK_OPERATION,
	  "VIRTIO_BLK_T_OUT requests write the contents of data to the block device (in "
	  "multiples of 512 bytes).",
	  CHECK_MUST, .needs = WRITES, .fn = what_is_written_is_read },
	{ "BLW-02", "writes beyond the capacity fail", BLK_OPERATION, BLK_STATUS_BYTE,
	  CHECK_MUST, .needs = WRITES, .fn = writes_beyond_the_capacity },
	{ "BLW-03", "after WRITE_ZEROES there are zeroes", BLK_DEVICE_OPERATION,
	  "After a write zeroes command is completed, reads of the specified ranges of sectors "
	  "MUST return zeroes. This is true independent of whether unmap was set or clear.",
	  CHECK_MUST, VHU_BIT(VIRTIO_BLK_F_WRITE_ZEROES), .needs = WRITES, .fn = zeroes_are_read },
	{ "BLW-04", "unknown flags of segments are unsupported", BLK_DEVICE_OPERATION,
	  "The device MUST set the status byte to VIRTIO_BLK_S_UNSUPP for discard, secure erase "
	  "and write zeroes commands if any unknown flag is set.",
	  CHECK_MUST, .needs = WRITES, .fn = unknown_flags },
	{ "BLW-05", "DISCARD with the unmap flag is unsupported", BLK_DEVICE_OPERATION,
	  "the device MUST set the status byte to VIRTIO_BLK_S_UNSUPP for discard commands if "
	  "the unmap flag is set",
	  CHECK_MUST, VHU_BIT(VIRTIO_BLK_F_DISCARD), .needs = WRITES, .fn = discard_with_unmap },
	{ "BLW-06", "DISCARD takes several segments, where it says so", BLK_OPERATION,
	  "The maximum number of segments is max_discard_seg for discard commands",
	  CHECK_MUST, VHU_BIT(VIRTIO_BLK_F_DISCARD), .needs = WRITES, .fn = many_segments },
	{ "BLW-07", "DISCARD beyond the capacity fails", BLK_OPERATION, BLK_STATUS_BYTE,
	  CHECK_MUST, VHU_BIT(VIRTIO_BLK_F_DISCARD), .needs = WRITES,
	  .fn = segments_beyond_the_capacity },
	{ "BLW-08", "DISCARD and WRITE_ZEROES are done, where they are offered",
	  "virtio 1.3, 2.2.2",
	  "The device MUST NOT offer feature bits corresponding to features it would not support "
	  "if accepted by the driver (A warning: what holds the data may refuse it.)",
	  CHECK_SHOULD, .needs = WRITES, .fn = what_is_offered_is_done },
};

const struct check_group check_blk_write = {
	"blk-write", "block devices, requests that write", CHECK_GROUP(cases)
};
