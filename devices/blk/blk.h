/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_DEVICES_BLK_BLK_H
#define VHU_DEVICES_BLK_BLK_H

/* A virtio disk (virtio 1.3, 5.2) whose content is a file or a block device of the host. */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "common/backend/device.h"

enum vhu_blk_format {
	VHU_BLK_FORMAT_AUTO, /* raw, and a file that looks like a container image is refused */
	VHU_BLK_FORMAT_RAW,
};

enum vhu_blk_cache {
	VHU_BLK_WRITEBACK,    /* durable after FLUSH; the driver may switch */
	VHU_BLK_WRITETHROUGH, /* each write is durable; the driver may switch */
	VHU_BLK_UNSAFE,	      /* nothing is ever waited for */
};

enum vhu_blk_discard {
	VHU_BLK_DISCARD_UNMAP,
	VHU_BLK_DISCARD_IGNORE, /* not offered */
};

enum vhu_blk_lock {
	VHU_BLK_LOCK_AUTO, /* where the file system has locks */
	VHU_BLK_LOCK_OFF,
};

#define VHU_BLK_POLL_AUTO UINT64_MAX

struct vhu_blk_options {
	const char *file;    /* a path, or LABEL=, UUID=, PARTLABEL=, PARTUUID= and a name */
	const char *serial;
	const char *engine;  /* "auto", "mmap", "sync", "null" */
	uint64_t block_size; /* logical, bytes; 0: the backing's */
	uint64_t num_queues;
	uint64_t queue_size;
	uint64_t poll_us;
	uint64_t offset, size; /* the part of the file that is the disk, bytes; size 0: the rest */
	uint64_t partition;    /* the same by the partition table; 0: no */
	uint64_t create;       /* bytes of a new file; 0: the file is there */
	unsigned format;       /* enum vhu_blk_format and so on */
	unsigned cache;
	unsigned discard;
	unsigned lock;
	bool read_only;
	bool incoming; /* locked when the first ring starts, not before */
	bool force;    /* also a device that is mounted or has holders */
	bool probe; /* these two are the program's */
	bool json;
};

extern const struct vhu_blk_options vhu_blk_defaults;

/* Do the options fit together? Touches nothing. 0 or -EINVAL; says what is wrong. */
int vhu_blk_options_check(const struct vhu_blk_options *options);

/* Opens the disk; says what is wrong. The options are borrowed until this returns. */
int vhu_blk_new(const struct vhu_blk_options *options, struct vhu_device **ret_device);

/*
 * Main. The program serves the disk now: a file that --create made stays. It is removed with a
 * device for which this was not called.
 */
void vhu_blk_keep(struct vhu_device *device);

/*
 * Main. Looks at the size of the backing; the driver is told when it has changed. Also done once a
 * second while rings run.
 */
void vhu_blk_check_size(struct vhu_device *device);
/* Any thread. The size that the guest was last told. */
uint64_t vhu_blk_bytes(struct vhu_device *device);

/* Any thread. The counters as an object of JSON, without a newline. */
void vhu_blk_print_stats(struct vhu_device *device, FILE *out);

/* What options->file is, and who holds it, on standard output. 0 or negative errno, said. */
int vhu_blk_print_probe(const struct vhu_blk_options *options);

#endif
