/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_DEVICES_BLK_IMAGE_H
#define VHU_DEVICES_BLK_IMAGE_H

/* The file or block device behind a disk: opened, checked, locked, measured. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "devices/blk/blk.h"
#include "devices/blk/probe.h"
#include "devices/blk/request.h"

struct vhu_blk_image {
	int fd;	    /* owned */
	char *path; /* owned; as opened */
	struct stat st;
	bool created;	       /* by us: removed at close */
	bool read_only;
	bool locks;	       /* is to be locked, and opened exclusively (a block device) */
	bool is_exclusive;
	int exclusive_fd;      /* owned; -1 none */
	bool fixed;	       /* the disk is a part of the file whose size was told */
	uint64_t offset_bytes; /* the disk in the file */
	uint64_t size_bytes;
	uint32_t block_bytes;  /* logical */
	uint32_t discard_block_bytes;
	bool can_discard;
	struct vhu_blk_topology topology;
	char serial[VIRTIO_BLK_ID_BYTES + 1];
};

/* Logs in one line what is wrong; then nothing was created or changed. 0 or negative errno. */
int vhu_blk_image_open(const struct vhu_blk_options *options, struct vhu_blk_image *ret_image);
void vhu_blk_image_close(struct vhu_blk_image *image);

/*
 * Keeps others away, who must not be there: the locks, and a block device opened for us alone. Done
 * by open unless the disk is incoming; then is_late, and once more after giving it up. Says who is
 * there and what to do. 0 or negative errno.
 */
int vhu_blk_image_take(struct vhu_blk_image *image, bool is_late);
void vhu_blk_image_give_up(struct vhu_blk_image *image);

/* The size of the whole file or device as it is now, bytes. 0 or negative errno. */
int vhu_blk_image_size(const struct vhu_blk_image *image, uint64_t *ret_bytes);
/* The size of the disk, bytes: what is there of it now, in whole blocks. */
int vhu_blk_image_measure(const struct vhu_blk_image *image, uint64_t *ret_bytes);

/* Opens for a look only: no lock, no check. For --probe. Says what is wrong. */
int vhu_blk_image_peek(const struct vhu_blk_options *options, struct vhu_blk_image *ret_image);

/* The name of the container format that fd has at offset, or NULL for none that is known. */
const char *vhu_blk_container_format(int fd, uint64_t offset_bytes);

#endif
