/* SPDX-License-Identifier: BSD-3-Clause */
/* Block devices: what changes nothing. */
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "cli/check/disk.h"

#define BLK (CHECK_NEEDS_REQUEST | CHECK_NEEDS_BLK)
/* Requests of a zoned device, which the headers of Debian 12 do not have. */
#define ZONE_APPEND 15
#define ZONE_REPORT 16
#define ZONE_OPEN 18
#define ZONE_CLOSE 20
#define ZONE_FINISH 22
#define ZONE_RESET 24
#define ZONE_RESET_ALL 26

/* Configuration and features. */

static void flush_comes_with_config_wce(struct check *check)
{
	expect(check, check->facts->features & VHU_BIT(VIRTIO_BLK_F_FLUSH),
	       "FLUSH (bit 9) is offered, as CONFIG_WCE is", "it is not");
}

static void flush_is_offered(struct check *check)
{
	expect(check, check->facts->features & VHU_BIT(VIRTIO_BLK_F_FLUSH), "FLUSH (bit 9)",
	       "it is not offered");
}

static void padding_is_zero(struct check *check)
{
	const uint32_t unused0 = 33, unused1 = 57;
	const uint8_t *config = check->facts->config;
	uint32_t n = check->facts->config_bytes;

	expect(check, n <= unused0 || !config[unused0], "unused0 is 0", "0x%x", config[unused0]);
	if (n >= unused1 + 3)
		expect(check, !config[unused1] && !config[unused1 + 1] && !config[unused1 + 2],
		       "unused1 is 0", "%02x %02x %02x", config[unused1], config[unused1 + 1],
		       config[unused1 + 2]);
}

/* Requests that change nothing. */

static void first_and_last_block(struct check *check)
{
	struct disk disk = disk_open(check, 0);
	uint64_t last = disk.capacity - disk.block / SECTOR;

	expect_status(&disk, disk_run(&disk, VIRTIO_BLK_T_IN, 0, 0, disk.block), VIRTIO_BLK_S_OK,
		      "a read of the first block");
	expect_status(&disk, disk_run(&disk, VIRTIO_BLK_T_IN, last, 0, disk.block), VIRTIO_BLK_S_OK,
		      "a read of the last block");
}

static void the_unit_is_512_bytes(struct check *check)
{
	struct disk disk = disk_open(check, 0);
	uint8_t first[SECTOR];

	if (disk.block == SECTOR)
		check_skip(check, "the blocks of this disk have 512 bytes");
	expect_status(&disk, disk_run(&disk, VIRTIO_BLK_T_IN, 1, 0, SECTOR), VIRTIO_BLK_S_OK,
		      "a read of 512 bytes at sector 1");
	memcpy(first, disk.data.host, SECTOR);
	expect_status(&disk, disk_run(&disk, VIRTIO_BLK_T_IN, 0, 0, disk.block), VIRTIO_BLK_S_OK,
		      "a read of the first block");
	expect(check, !memcmp(first, (char *)disk.data.host + SECTOR, SECTOR),
	       "sector 1 begins at byte 512", "it does not");
}

static void long_reads_are_many_short_ones(struct check *check)
{
	struct disk disk = disk_open(check, 0);
	uint32_t len = (uint32_t)min_u64(65536, disk.capacity * SECTOR / disk.block * disk.block);
	char *whole = malloc(len);

	if (!whole)
		check_untried(check, "no memory");
	expect_status(&disk, disk_run(&disk, VIRTIO_BLK_T_IN, 0, 0, len), VIRTIO_BLK_S_OK,
		      "a long read");
	memcpy(whole, disk.data.host, len);
	for (uint32_t at = 0; at < len; at += disk.block) {
		memset(disk.data.host, 0x5a, disk.block);
		expect_status(&disk,
			      disk_run(&disk, VIRTIO_BLK_T_IN, at / SECTOR, 0, disk.block),
			      VIRTIO_BLK_S_OK, "a read of one block");
		expect(check, !memcmp(whole + at, disk.data.host, disk.block),
		       "the same data by one read and by many", "other data at byte %u", at);
	}
}

/* As many data segments as the configuration space allows. */
static void seg_max_segments(struct check *check)
{
	struct disk disk = disk_open(check, 0);
	uint32_t n = le32toh(disk.config.seg_max);
	struct vhu_guest_buffer buffers[128];
	const struct virtio_blk_outhdr header = { .type = htole32(VIRTIO_BLK_T_IN) };

	/* So many that the ring, or the driver's table, still holds them. */
	n = (uint32_t)min_u64(n, check->ring.indirect ? 126 : CHECK_RING_SIZE - 2);
	n = (uint32_t)min_u64(n, disk.capacity * SECTOR / disk.block);
	if (!n)
		check_skip(check, "seg_max is 0");
	memcpy(disk.header.host, &header, sizeof(header));
	memset(disk.status.host, NO_STATUS, 1);
	buffers[0] = disk.header;
	for (uint32_t i = 0; i < n; i++)
		buffers[1 + i] = (struct vhu_guest_buffer){ disk.data.gpa + 4096 * i, disk.block,
							    NULL };
	buffers[1 + n] = disk.status;
	expect_call(check, vhu_driver_run(&check->ring, buffers, 1, n + 1, NULL),
		    "a read of seg_max segments");
	expect_status(&disk, *(volatile uint8_t *)disk.status.host, VIRTIO_BLK_S_OK,
		      "a read of seg_max segments");
}

static void reads_beyond_the_capacity(struct check *check)
{
	struct disk disk = disk_open(check, 0);
	const uint64_t per_block = disk.block / SECTOR;
	const uint64_t bad[] = { disk.capacity, disk.capacity + per_block, 1ull << 54, 1ull << 55,
				 INT64_MAX & ~(per_block - 1), UINT64_MAX & ~(per_block - 1) };
	char what[60];

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		snprintf(what, sizeof(what), "a read at sector 0x%llx of 0x%llx",
			 (unsigned long long)bad[i], (unsigned long long)disk.capacity);
		expect_refusal(&disk, disk_run(&disk, VIRTIO_BLK_T_IN, bad[i], 0, disk.block),
			       what);
	}
	expect_refusal(&disk, disk_run(&disk, VIRTIO_BLK_T_IN, disk.capacity - per_block, 0,
				  2 * disk.block),
		       "a read of two blocks at the last one");
}

static void odd_lengths(struct check *check)
{
	static const uint32_t lengths[] = { 1, 511, 513, 4097 };
	struct disk disk = disk_open(check, 0);
	char what[40];

	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		snprintf(what, sizeof(what), "a read of %u bytes", lengths[i]);
		expect_refusal(&disk, disk_run(&disk, VIRTIO_BLK_T_IN, 0, 0, lengths[i]), what);
	}
}

static void unknown_types(struct check *check)
{
	static const uint32_t types[] = { 100, 0x1000, 0x12345678 };
	struct disk disk = disk_open(check, 0);
	char what[40];

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		snprintf(what, sizeof(what), "type 0x%x", types[i]);
		expect_status(&disk, disk_run(&disk, types[i], 0, 0, disk.block),
			      VIRTIO_BLK_S_UNSUPP, what);
		expect_status(&disk, disk_run(&disk, types[i], 0, 0, 0), VIRTIO_BLK_S_UNSUPP, what);
	}
}

static void zones_without_zones(struct check *check)
{
	static const uint32_t types[] = { ZONE_REPORT, ZONE_OPEN,  ZONE_CLOSE,	  ZONE_FINISH,
					  ZONE_APPEND, ZONE_RESET, ZONE_RESET_ALL };
	struct disk disk = disk_open(check, 0);
	char what[40];

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		snprintf(what, sizeof(what), "type %u, of zoned devices", types[i]);
		expect_status(&disk,
			      disk_run(&disk, types[i], 0, 0, types[i] == ZONE_REPORT ? 4096 : 0),
			      VIRTIO_BLK_S_UNSUPP, what);
	}
}

static void the_id_is_ascii_and_padded(struct check *check)
{
	struct disk disk = disk_open(check, 0);
	const uint8_t *id = disk.data.host;
	unsigned len = 0;
	uint8_t status;

	memset(disk.data.host, 0x5a, SECTOR);
	status = disk_run(&disk, VIRTIO_BLK_T_GET_ID, 0, 0, VIRTIO_BLK_ID_BYTES);
	if (status == VIRTIO_BLK_S_UNSUPP)
		check_skip(check, "GET_ID is unsupported by this device");
	expect_status(&disk, status, VIRTIO_BLK_S_OK, "GET_ID");
	while (len < VIRTIO_BLK_ID_BYTES && id[len] >= 0x20 && id[len] < 0x7f)
		len++;
	for (unsigned i = len; i < VIRTIO_BLK_ID_BYTES; i++)
		expect(check, !id[i], "a NUL-padded ASCII string", "byte 0x%02x at place %u", id[i],
		       i);
}

static void flush_is_done(struct check *check)
{
	struct disk disk = disk_open(check, 0);

	expect_status(&disk, disk_run(&disk, VIRTIO_BLK_T_FLUSH, 0, 0, 0), VIRTIO_BLK_S_OK,
		      "FLUSH");
}

/* What was read there is written there, so that nothing changes if it is written. */
static void a_read_only_disk_refuses_writes(struct check *check)
{
	static const uint64_t without[] = { 0, VHU_BIT(VIRTIO_BLK_F_RO) };

	for (size_t i = 0; i < ARRAY_SIZE(without); i++) {
		struct disk disk = disk_open(check, without[i]);

		expect_status(&disk, disk_run(&disk, VIRTIO_BLK_T_IN, 0, 0, disk.block),
			      VIRTIO_BLK_S_OK, "a read");
		expect_status(&disk, disk_run(&disk, VIRTIO_BLK_T_OUT, 0, disk.block, 0),
			      VIRTIO_BLK_S_IOERR, "a write to a read-only disk");
	}
}

static void reads_at_once(struct check *check)
{
	struct disk disk = disk_open(check, 0);
	const uint32_t n = (uint32_t)min_u64(16, disk.capacity * SECTOR / disk.block);
	struct vhu_guest_buffer headers, statuses, wanted;
	struct vhu_driver_used used;

	headers = check_alloc(check, n * 16, 16);
	statuses = check_alloc(check, n, 1);
	wanted = check_alloc(check, n * disk.block, 512);
	expect_status(&disk, disk_run(&disk, VIRTIO_BLK_T_IN, 0, 0, n * disk.block),
		      VIRTIO_BLK_S_OK, "a long read");
	memcpy(wanted.host, disk.data.host, n * disk.block);
	memset(disk.data.host, 0x5a, n * disk.block);
	memset(statuses.host, NO_STATUS, n);
	for (uint32_t i = 0; i < n; i++) {
		const struct virtio_blk_outhdr header = {
			.type = htole32(VIRTIO_BLK_T_IN),
			.sector = htole64((uint64_t)i * disk.block / SECTOR),
		};
		const struct vhu_guest_buffer buffers[] = {
			{ headers.gpa + 16 * i, 16, NULL },
			{ disk.data.gpa + disk.block * i, disk.block, NULL },
			{ statuses.gpa + i, 1, NULL },
		};

		memcpy((char *)headers.host + 16 * i, &header, sizeof(header));
		if (vhu_driver_add(&check->ring, buffers, 1, 2, i) < 0)
			check_untried(check, "the ring is full");
	}
	vhu_driver_kick(&check->ring);
	for (uint32_t i = 0; i < n; i++)
		expect_call(check, vhu_driver_wait(&check->ring, &used), "reads at once");
	for (uint32_t i = 0; i < n; i++)
		expect_status(&disk, ((uint8_t *)statuses.host)[i], VIRTIO_BLK_S_OK,
			      "one of many reads at once");
	expect(check, !memcmp(wanted.host, disk.data.host, n * disk.block),
	       "the same data by one read and by many at once", "other data");
}

/* The header is too short, or there is no byte for the status. The device may stop there. */
static void odd_requests(struct check *check)
{
	static const uint32_t lengths[] = { 1, 8, 15, 16 };

	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		bool has_status = lengths[i] < 16;
		struct disk disk = disk_open(check, 0);
		struct vhu_guest_buffer buffers[2] = { disk.header, disk.status };

		memset(disk.header.host, 0, disk.header.len);
		memset(disk.status.host, NO_STATUS, 1);
		buffers[0].len = lengths[i];
		vhu_driver_add(&check->ring, buffers, 1, has_status, 0);
		vhu_driver_kick(&check->ring);
		check_sleep_ms(20);
		expect(check, *(volatile uint8_t *)disk.status.host != VIRTIO_BLK_S_OK,
		       "no success", "OK (0) for a header of %u bytes", lengths[i]);
		expect_alive(check);
		check_forget(check);
	}
}

static const struct check_case cases[] = {
	{ "BLK-01", "CONFIG_WCE comes with FLUSH", BLK_INITIALIZATION,
	  "Devices SHOULD always offer VIRTIO_BLK_F_FLUSH, and MUST offer it if they offer "
	  "VIRTIO_BLK_F_CONFIG_WCE.",
	  CHECK_MUST, VHU_BIT(VIRTIO_BLK_F_CONFIG_WCE), .needs = BLK,
	  .fn = flush_comes_with_config_wce },
	{ "BLK-02", "FLUSH is offered", BLK_INITIALIZATION,
	  "Devices SHOULD always offer VIRTIO_BLK_F_FLUSH",
	  CHECK_SHOULD, .needs = BLK, .fn = flush_is_offered },
	{ "BLK-03", "padding in the configuration space is 0", BLK_INITIALIZATION,
	  "The device MUST initialize padding bytes unused0 and unused1 to 0.",
	  CHECK_MUST, .needs = BLK, .fn = padding_is_zero },
	{ "BLK-04", "the first and the last block can be read", BLK_OPERATION,
	  "VIRTIO_BLK_T_IN requests populate data with the contents of sectors read from the "
	  "block device (in multiples of 512 bytes).",
	  CHECK_MUST, .needs = BLK, .fn = first_and_last_block },
	{ "BLK-05", "the unit is 512 bytes, whatever the block size", "virtio 1.3, 5.2.5",
	  "This does not affect the units used in the protocol (always 512 bytes), but awareness "
	  "of the correct value can affect performance.",
	  CHECK_SHOULD, .needs = BLK, .fn = the_unit_is_512_bytes },
	{ "BLK-06", "one long read is many short ones", BLK_OPERATION,
	  "VIRTIO_BLK_T_IN requests populate data with the contents of sectors read from the "
	  "block device",
	  CHECK_MUST, .needs = BLK, .fn = long_reads_are_many_short_ones },
	{ "BLK-07", "reads at once do not mix", BLK_OPERATION,
	  "The driver enqueues requests to the virtqueues, and they are used by the device (not "
	  "necessarily in order).",
	  CHECK_MUST, .needs = BLK, .fn = reads_at_once },
	{ "BLK-08", "a request has up to seg_max segments", "virtio 1.3, 5.2.3",
	  "VIRTIO_BLK_F_SEG_MAX (2): Maximum number of segments in a request is in seg_max.",
	  CHECK_MUST, VHU_BIT(VIRTIO_BLK_F_SEG_MAX), .needs = BLK, .fn = seg_max_segments },
	{ "BLK-09", "reads beyond the capacity fail", BLK_OPERATION, BLK_STATUS_BYTE,
	  CHECK_MUST, .needs = BLK, .fn = reads_beyond_the_capacity },
	{ "BLK-10", "reads that are no multiple of 512 bytes fail", "virtio 1.3, 5.2.6.1",
	  "The length of data MUST be a multiple of 512 bytes for VIRTIO_BLK_T_IN and "
	  "VIRTIO_BLK_T_OUT requests.",
	  CHECK_ROBUST, .needs = BLK, .fn = odd_lengths },
	{ "BLK-11", "unknown types are unsupported", BLK_OPERATION, BLK_STATUS_BYTE,
	  CHECK_MUST, .needs = BLK, .fn = unknown_types },
	{ "BLK-12", "zone requests are unsupported by who has no zones", BLK_DEVICE_OPERATION,
	  "If the VIRTIO_BLK_F_ZONED feature is not negotiated, the device MUST reject "
	  "VIRTIO_BLK_T_ZONE_REPORT, VIRTIO_BLK_T_ZONE_OPEN, VIRTIO_BLK_T_ZONE_CLOSE, "
	  "VIRTIO_BLK_T_ZONE_FINISH, VIRTIO_BLK_T_ZONE_APPEND, VIRTIO_BLK_T_ZONE_RESET and "
	  "VIRTIO_BLK_T_ZONE_RESET_ALL requests with VIRTIO_BLK_S_UNSUPP status.",
	  CHECK_MUST, .needs = BLK, .fn = zones_without_zones },
	{ "BLK-13", "the id is a NUL-padded string", BLK_OPERATION,
	  "The device ID string is a NUL-padded ASCII string up to 20 bytes long. If the string "
	  "is 20 bytes long then there is no NUL terminator.",
	  CHECK_SHOULD, .needs = BLK, .fn = the_id_is_ascii_and_padded },
	{ "BLK-14", "FLUSH is done", BLK_OPERATION, BLK_STATUS_BYTE,
	  CHECK_MUST, VHU_BIT(VIRTIO_BLK_F_FLUSH), .needs = BLK, .fn = flush_is_done },
	{ "BLK-15", "a read-only disk refuses writes", BLK_DEVICE_OPERATION,
	  "A device MUST set the status byte to VIRTIO_BLK_S_IOERR for a write request if the "
	  "VIRTIO_BLK_F_RO feature if offered, and MUST NOT write any data.",
	  CHECK_MUST, VHU_BIT(VIRTIO_BLK_F_RO), .needs = BLK,
	  .fn = a_read_only_disk_refuses_writes },
	{ "BLK-16", "survives requests without header or status", BLK_OPERATION,
	  "struct virtio_blk_req { le32 type; le32 reserved; le64 sector; u8 data[]; u8 status; "
	  "};",
	  CHECK_ROBUST, .needs = BLK, .fn = odd_requests },
};

const struct check_group check_blk = { "blk", "block devices", CHECK_GROUP(cases) };
