/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_TESTS_DEVICE_DISK_H
#define VHU_TESTS_DEVICE_DISK_H

/* A virtio disk (virtio 1.3, 5.2) as its driver sees it, and the image behind it. */

#include <linux/virtio_blk.h>

#include "tests/device/harness.h"

#define SECTOR 512u
#define DATA_BYTES (1u << 20)
/* What no device answers. */
#define NO_STATUS 0xaa

struct disk {
	struct scene *scene;
	struct vhu_driver *driver;
	struct vhu_guest_buffer header, data, status;
	uint32_t used_len; /* of the last request */
	int image_fd;	   /* -1 for a disk without one */
};

/* Of the scene's queue 0, which runs. */
void disk_open(struct disk *disk, struct scene *scene);
/* Another queue, for another thread; not started. */
void disk_open_queue(struct disk *disk, struct scene *scene, struct vhu_driver *driver);
void disk_close(struct disk *disk);

/*
 * One request in the usual layout: header, n_out bytes of data to be read by the device or n_in to
 * be written, status. Returns the status, or negative errno; for any thread.
 */
int disk_run(struct disk *disk, uint32_t type, uint64_t sector, uint32_t n_out, uint32_t n_in);
/* With n segments of DISCARD and the like, in data. */
int disk_run_segments(struct disk *disk, uint32_t type,
		      const struct virtio_blk_discard_write_zeroes *segments, unsigned n);

/* A pattern that differs from place to place and from seed to seed. */
void fill_pattern(void *buf, size_t len, uint32_t seed);
bool is_pattern(const void *buf, size_t len, uint32_t seed);
bool is_filled(const void *buf, size_t len, uint8_t byte);
/* The bytes of the image, by read(2). */
void image_read(const struct disk *disk, uint64_t offset, void *buf, size_t len);

#endif
