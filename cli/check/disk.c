/* SPDX-License-Identifier: BSD-3-Clause */
#include "cli/check/disk.h"

#include <endian.h>
#include <stdio.h>
#include <string.h>

struct disk disk_open(struct check *check, uint64_t without)
{
	struct disk disk = { .check = check, .block = check_block_size(check->facts) };

	check_ring(check, CHECK_FEATURES & ~without, CHECK_PROTOCOL);
	disk.header = check_alloc(check, sizeof(struct virtio_blk_outhdr), 16);
	disk.data = check_alloc(check, DISK_DATA_BYTES, 4096);
	disk.status = check_alloc(check, 1, 1);
	memcpy(&disk.config, check->facts->config, sizeof(disk.config));
	disk.capacity = le64toh(disk.config.capacity);
	return disk;
}

uint8_t disk_run(struct disk *disk, uint32_t type, uint64_t sector, uint32_t n_out, uint32_t n_in)
{
	const struct virtio_blk_outhdr header = { .type = htole32(type),
						  .sector = htole64(sector) };
	struct vhu_guest_buffer buffers[4];
	unsigned n = 0;

	memcpy(disk->header.host, &header, sizeof(header));
	memset(disk->status.host, NO_STATUS, 1);
	buffers[n++] = disk->header;
	if (n_out) {
		buffers[n] = disk->data;
		buffers[n++].len = n_out;
	}
	if (n_in) {
		buffers[n] = disk->data;
		buffers[n++].len = n_in;
	}
	buffers[n++] = disk->status;
	expect_call(disk->check,
		    vhu_driver_run(&disk->check->ring, buffers, 1 + !!n_out, 1 + !!n_in, NULL),
		    "a request");
	return *(volatile uint8_t *)disk->status.host;
}

const char *disk_status_name(uint8_t status)
{
	static const char *const names[] = { "OK (0)", "IOERR (1)", "UNSUPP (2)" };

	if (status == NO_STATUS)
		return "no status";
	return status < ARRAY_SIZE(names) ? names[status] : "an unknown status";
}

void expect_status(struct disk *disk, uint8_t status, uint8_t wanted, const char *what)
{
	char expected[60];

	snprintf(expected, sizeof(expected), "status %s", disk_status_name(wanted));
	expect(disk->check, status == wanted, expected, "%s for %s", disk_status_name(status),
	       what);
}

void expect_refusal(struct disk *disk, uint8_t status, const char *what)
{
	expect(disk->check, status == VIRTIO_BLK_S_IOERR || status == VIRTIO_BLK_S_UNSUPP,
	       "status IOERR (or UNSUPP)", "%s for %s", disk_status_name(status), what);
}
