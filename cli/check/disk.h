/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_CLI_CHECK_DISK_H
#define VHU_CLI_CHECK_DISK_H

/* A disk as its driver sees it, for the cases of block devices (virtio 1.3, 5.2). */

#include <stdint.h>

#include <linux/virtio_blk.h>

#include "cli/check/check.h"

#define BLK_INITIALIZATION "virtio 1.3, 5.2.5.2"
#define BLK_OPERATION "virtio 1.3, 5.2.6"
#define BLK_DEVICE_OPERATION "virtio 1.3, 5.2.6.2"
#define BLK_STATUS_BYTE \
	"The final status byte is written by the device: either VIRTIO_BLK_S_OK for success, " \
	"VIRTIO_BLK_S_IOERR for device or driver error or VIRTIO_BLK_S_UNSUPP for a request " \
	"unsupported by device"

#define SECTOR 512u
#define DISK_DATA_BYTES (1u << 20)
#define NO_STATUS 0xff

struct disk {
	struct check *check;
	struct vhu_guest_buffer header, data, status;
	struct virtio_blk_config config;
	uint64_t capacity; /* sectors */
	uint32_t block;	   /* bytes; requests are of whole blocks where size is not the matter */
};

/* On queue 0, which runs, with the bits that are offered but for these. */
struct disk disk_open(struct check *check, uint64_t without);
/* Header, n_out bytes to the device or n_in from it, status. Returns the status. */
uint8_t disk_run(struct disk *disk, uint32_t type, uint64_t sector, uint32_t n_out, uint32_t n_in);

void expect_status(struct disk *disk, uint8_t status, uint8_t wanted, const char *what);
/* Either of the two that say no. */
void expect_refusal(struct disk *disk, uint8_t status, const char *what);
const char *disk_status_name(uint8_t status);

#endif
