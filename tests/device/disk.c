/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/device/disk.h"

#include <endian.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "common/base/cleanup.h"

void disk_open_queue(struct disk *disk, struct scene *scene, struct vhu_driver *driver)
{
	struct vhu_guest *guest = &scene->frontend.guest;

	*disk = (struct disk){ .scene = scene, .driver = driver, .image_fd = -1 };
	disk->header = vhu_guest_alloc(guest, sizeof(struct virtio_blk_outhdr), 16);
	disk->data = vhu_guest_alloc(guest, DATA_BYTES, 4096);
	disk->status = vhu_guest_alloc(guest, 1, 1);
	assert_non_null(disk->header.host);
	assert_non_null(disk->data.host);
	assert_non_null(disk->status.host);
}

void disk_open(struct disk *disk, struct scene *scene)
{
	disk_open_queue(disk, scene, &scene->driver);
	disk->image_fd = open(scene->program.image, O_RDWR | O_CLOEXEC);
}

void disk_close(struct disk *disk)
{
	close_fd(&disk->image_fd);
}

int disk_run(struct disk *disk, uint32_t type, uint64_t sector, uint32_t n_out, uint32_t n_in)
{
	struct virtio_blk_outhdr *header = disk->header.host;
	struct vhu_guest_buffer buffers[3];
	unsigned n_readable = 1, n_writable = 1;
	int r;

	header->type = htole32(type);
	header->ioprio = 0;
	header->sector = htole64(sector);
	*(uint8_t *)disk->status.host = NO_STATUS;
	buffers[0] = disk->header;
	buffers[1] = disk->data;
	if (n_out || n_in) {
		buffers[1].len = n_out ? n_out : n_in;
		n_readable += n_out != 0;
		n_writable += n_in != 0;
	}
	buffers[n_readable + n_writable - 1] = disk->status;
	r = vhu_driver_run(disk->driver, buffers, n_readable, n_writable, &disk->used_len);
	return r < 0 ? r : *(uint8_t *)disk->status.host;
}

int disk_run_segments(struct disk *disk, uint32_t type,
		      const struct virtio_blk_discard_write_zeroes *segments, unsigned n)
{
	memcpy(disk->data.host, segments, n * sizeof(*segments));
	return disk_run(disk, type, 0, (uint32_t)(n * sizeof(*segments)), 0);
}

void fill_pattern(void *buf, size_t len, uint32_t seed)
{
	uint8_t *bytes = buf;
	uint32_t value = seed * 2654435761u + 1;

	for (size_t i = 0; i < len; i++) {
		value = value * 1664525 + 1013904223;
		bytes[i] = (uint8_t)(value >> 24);
	}
}

bool is_pattern(const void *buf, size_t len, uint32_t seed)
{
	const uint8_t *bytes = buf;
	uint32_t value = seed * 2654435761u + 1;

	for (size_t i = 0; i < len; i++) {
		value = value * 1664525 + 1013904223;
		if (bytes[i] != (uint8_t)(value >> 24))
			return false;
	}
	return true;
}

bool is_filled(const void *buf, size_t len, uint8_t byte)
{
	const uint8_t *bytes = buf;

	for (size_t i = 0; i < len; i++)
		if (bytes[i] != byte)
			return false;
	return true;
}

void image_read(const struct disk *disk, uint64_t offset, void *buf, size_t len)
{
	assert_int_equal(pread(disk->image_fd, buf, len, (off_t)offset), (ssize_t)len);
}
