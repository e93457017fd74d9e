/* SPDX-License-Identifier: BSD-3-Clause */
#include "devices/blk/image.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "common/base/num.h"
#include "devices/blk/holders_priv.h"
#include "devices/blk/lock.h"
#include "devices/blk/sysfs.h"

#define PAGE_BYTES 4096u

/* One line that names the image, what is wrong with it and what to do. Returns error. */
__attribute__((format(printf, 3, 4)))
static int refuse(const struct vhu_blk_image *image, int error, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	vhu_error("%s: %s", image->path, text);
	return error;
}

static bool is_spec(const char *file)
{
	static const char *const names[] = { "LABEL=", "UUID=", "PARTLABEL=", "PARTUUID=" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!strncmp(file, names[i], strlen(names[i])))
			return true;
	return false;
}

static int find_path(const struct vhu_blk_options *o, struct vhu_blk_image *image)
{
	cleanup_free char *second = NULL;
	int r;

	image->path = strdup(o->file);
	if (!image->path)
		return -ENOMEM;
	if (!is_spec(o->file))
		return 0;
	if (o->create)
		return refuse(image, -EINVAL, "--create makes files: give a path");
	free(steal_ptr(&image->path));
	r = vhu_blk_probe_resolve(o->file, &image->path, &second);
	if (second)
		return refuse(image, -ENOTUNIQ, "has %s, but so has %s: give a path", o->file,
			      second);
	if (r == -EOPNOTSUPP)
		vhu_error("%s: built without libblkid: give a path", o->file);
	else if (r < 0)
		vhu_error("%s: no block device has this (see blkid)", o->file);
	return r;
}

static bool is_link(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 && S_ISLNK(st.st_mode);
}

static int check_kind(const struct vhu_blk_options *o, struct vhu_blk_image *image)
{
	if (o->create)
		return 0;
	if (stat(image->path, &image->st) < 0) {
		int error = -errno;

		if (error == -ENOENT && is_link(image->path))
			return refuse(image, error, "is a symbolic link to where nothing is");
		if (error == -ENOENT)
			return refuse(image, error,
				      "there is no such file: --create SIZE would make it");
		return refuse(image, error, "%s", strerror(-error));
	}
	if (S_ISDIR(image->st.st_mode))
		return refuse(image, -EISDIR, "is a directory: name the image file in it");
	if (!S_ISREG(image->st.st_mode) && !S_ISBLK(image->st.st_mode))
		return refuse(image, -EINVAL, "is neither a file nor a block device");
	return 0;
}

struct first_holder {
	bool found;
	char text[256];
};

static void keep_first(void *data, enum vhu_blk_hold how, const char *who)
{
	struct first_holder *first = data;

	if (!first->found)
		snprintf(first->text, sizeof(first->text), "%s %s", vhu_blk_hold_words[how], who);
	first->found = true;
}

static int check_holders(const struct vhu_blk_options *o, struct vhu_blk_image *image)
{
	struct first_holder first = { .found = false };

	if (o->force || o->create)
		return 0;
	vhu_blk_device_holders(&image->st, keep_first, &first);
	if (!first.found)
		return 0;
	return refuse(image, -EBUSY, "is %s: release it first (--force serves it all the same)",
		      first.text);
}

static int create_file(const struct vhu_blk_options *o, struct vhu_blk_image *image)
{
	image->fd = open(image->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (image->fd < 0 && errno == EEXIST && is_link(image->path))
		return refuse(image, -EEXIST,
			      "is a symbolic link: --create takes the path of the file itself");
	if (image->fd < 0 && errno == EEXIST)
		return refuse(image, -EEXIST, "is there already: --create only makes new files");
	if (image->fd < 0)
		return refuse(image, -errno, "cannot be created: %s", strerror(errno));
	image->created = true;
	if (ftruncate(image->fd, (off_t)o->create) < 0)
		return refuse(image, -errno, "cannot have %" PRIu64 " bytes: %s", o->create,
			      strerror(errno));
	return 0;
}

static int access_of(const struct vhu_blk_image *image)
{
	return image->read_only ? O_RDONLY : O_RDWR;
}

static int open_existing(const struct vhu_blk_options *o, struct vhu_blk_image *image)
{
	image->fd = open(image->path, access_of(image) | O_CLOEXEC);
	if (image->fd >= 0)
		return 0;
	if (!o->read_only && (errno == EACCES || errno == EROFS || errno == EPERM))
		return refuse(image, -errno, "cannot be written: %s (--read-only only reads)",
			      strerror(errno));
	return refuse(image, -errno, "cannot be opened: %s", strerror(errno));
}

static int open_file(const struct vhu_blk_options *o, struct vhu_blk_image *image)
{
	int r;

	image->read_only = o->read_only;
	r = o->create ? create_file(o, image) : open_existing(o, image);
	if (r < 0)
		return r;
	if (fstat(image->fd, &image->st) < 0)
		return refuse(image, -errno, "%s", strerror(errno));
	image->locks = o->lock != VHU_BLK_LOCK_OFF;
	image->is_exclusive = S_ISBLK(image->st.st_mode) && !o->force;
	return 0;
}

/* What there is to be done about a holder who is found only when the guest has come. */
#define LATE "no request is served until that has ended and the guest was stopped and continued"

/* Exclusive among those who mount, hold or say so too. */
static int take_device(struct vhu_blk_image *image, bool is_late)
{
	struct first_holder first = { .found = false };
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", image->fd);
	image->exclusive_fd = open(path, access_of(image) | O_EXCL | O_CLOEXEC);
	if (image->exclusive_fd >= 0)
		return 0;
	if (errno != EBUSY)
		return refuse(image, -errno, "cannot be opened again: %s", strerror(errno));
	vhu_blk_lock_holders(&image->st, image->fd, keep_first, &first);
	return refuse(image, -EBUSY, "is %s: %s", first.found ? first.text : "in use",
		      is_late ? LATE : "release it first (--force serves it all the same)");
}

static int take_locks(struct vhu_blk_image *image, bool is_late)
{
	struct first_holder first = { .found = false };
	int r = vhu_blk_lock(image->fd, image->read_only);

	if (r == -EOPNOTSUPP) {
		vhu_info("%s: its file system has no locks", image->path);
		return 0;
	}
	if (r != -EBUSY)
		return r < 0 ? refuse(image, r, "cannot be locked: %s", strerror(-r)) : 0;
	vhu_blk_lock_holders(&image->st, image->fd, keep_first, &first);
	return refuse(image, r, "is %s: %s", first.found ? first.text : "locked by another process",
		      is_late ? LATE : "end that first, or let all only read");
}

int vhu_blk_image_take(struct vhu_blk_image *image, bool is_late)
{
	int r = image->is_exclusive ? take_device(image, is_late) : 0;

	if (r == 0 && image->locks)
		r = take_locks(image, is_late);
	if (r < 0)
		vhu_blk_image_give_up(image);
	/* What was read before it was ours may be another machine's old data. */
	else if (is_late && S_ISBLK(image->st.st_mode))
		posix_fadvise(image->fd, 0, 0, POSIX_FADV_DONTNEED);
	return r;
}

void vhu_blk_image_give_up(struct vhu_blk_image *image)
{
	if (image->locks)
		vhu_blk_unlock(image->fd);
	close_fd(&image->exclusive_fd);
}

static int take_now(const struct vhu_blk_options *o, struct vhu_blk_image *image)
{
	return o->incoming ? 0 : vhu_blk_image_take(image, false);
}

int vhu_blk_image_size(const struct vhu_blk_image *image, uint64_t *ret_bytes)
{
	struct stat st;

	if (S_ISBLK(image->st.st_mode))
		return ioctl(image->fd, BLKGETSIZE64, ret_bytes) < 0 ? -errno : 0;
	if (fstat(image->fd, &st) < 0)
		return -errno;
	*ret_bytes = (uint64_t)st.st_size;
	return 0;
}

int vhu_blk_image_measure(const struct vhu_blk_image *image, uint64_t *ret_bytes)
{
	uint64_t whole, bytes;
	int r = vhu_blk_image_size(image, &whole);

	if (r < 0)
		return r;
	bytes = whole > image->offset_bytes ? whole - image->offset_bytes : 0;
	if (image->fixed)
		bytes = min_u64(bytes, image->size_bytes);
	*ret_bytes = bytes / image->block_bytes * image->block_bytes;
	return 0;
}

static int find_partition(const struct vhu_blk_options *o, struct vhu_blk_image *image)
{
	struct vhu_blk_content content;
	int r = vhu_blk_probe_content(image->fd, 0, 0, image->block_bytes, &content);

	if (r == -EOPNOTSUPP)
		return refuse(image, r,
			      "built without libblkid: give --offset and --size for --partition");
	if (r < 0)
		return refuse(image, r, "its partition table cannot be read");
	for (unsigned i = 0; i < content.n_partitions; i++) {
		if (content.partitions[i].number != o->partition)
			continue;
		image->offset_bytes = content.partitions[i].offset_bytes;
		image->size_bytes = content.partitions[i].size_bytes;
		image->fixed = true;
		return 0;
	}
	return refuse(image, -ENOENT, "has no partition %" PRIu64 ": --probe shows what it has",
		      o->partition);
}

static int find_part(const struct vhu_blk_options *o, struct vhu_blk_image *image)
{
	struct vhu_blk_topology *t = &image->topology;
	int r = 0;

	image->offset_bytes = o->offset;
	image->size_bytes = o->size;
	image->fixed = o->size != 0;
	if (o->partition)
		r = find_partition(o, image);
	/* Where in the disk its first whole physical block begins. */
	t->alignment_offset = (uint32_t)((t->alignment_offset + t->physical -
					  image->offset_bytes % t->physical) % t->physical);
	return r;
}

static uint32_t fs_block(const struct stat *st)
{
	return is_pow2((uint64_t)st->st_blksize) && st->st_blksize <= PAGE_BYTES ?
		       (uint32_t)st->st_blksize :
		       PAGE_BYTES;
}

static int find_topology(const struct vhu_blk_options *o, struct vhu_blk_image *image)
{
	struct vhu_blk_topology *t = &image->topology;
	bool is_block = S_ISBLK(image->st.st_mode);
	char folder[VHU_BLK_SYSFS_PATH];
	int logical = VHU_BLK_SECTOR_BYTES;
	uint64_t granularity = 0;

	if (is_block && ioctl(image->fd, BLKSSZGET, &logical) < 0)
		return refuse(image, -errno, "cannot be asked for its block size: %s",
			      strerror(errno));
	if (vhu_blk_probe_topology(image->fd, t) < 0)
		*t = (struct vhu_blk_topology){ .physical = (uint32_t)logical };
	t->logical = (uint32_t)logical;
	t->physical = (uint32_t)max_u64(t->physical, t->logical);
	image->can_discard = true;
	if (is_block) {
		vhu_blk_sysfs_disk_folder(image->st.st_rdev, folder);
		if (vhu_blk_sysfs_number(folder, "queue/discard_granularity", &granularity) == 0)
			image->can_discard = granularity != 0;
	} else {
		/* A file is not laid out as the disk below is: the blocks are the file system's. */
		t->alignment_offset = 0;
		t->physical = (uint32_t)max_u64(t->physical, fs_block(&image->st));
		granularity = fs_block(&image->st);
	}
	t->min_io = (uint32_t)max_u64(t->min_io, t->physical);
	image->block_bytes = o->block_size ? (uint32_t)o->block_size : t->logical;
	image->discard_block_bytes = (uint32_t)max_u64(granularity, image->block_bytes);
	return 0;
}

static int check_size(const struct vhu_blk_options *o, struct vhu_blk_image *image)
{
	uint64_t whole, left, bytes;
	int r = vhu_blk_image_size(image, &whole);

	(void)o;
	if (r < 0)
		return refuse(image, r, "cannot be asked for its size: %s", strerror(-r));
	if (!whole)
		return refuse(image, -EINVAL, "is empty: give it a size, as with truncate -s SIZE");
	if (image->offset_bytes >= whole)
		return refuse(image, -ERANGE, "has %" PRIu64 " bytes, so that nothing is left at "
			      "offset %" PRIu64, whole, image->offset_bytes);
	left = whole - image->offset_bytes;
	if (image->fixed && image->size_bytes > left)
		return refuse(image, -ERANGE, "has %" PRIu64 " bytes at offset %" PRIu64
			      ", less than the %" PRIu64 " of the disk", left,
			      image->offset_bytes, image->size_bytes);
	bytes = image->fixed ? image->size_bytes : left;
	if (bytes % image->block_bytes)
		return refuse(image, -EINVAL, "the disk would have %" PRIu64 " bytes, no multiple "
			      "of %u: truncate -s %%%u rounds a file up, --size takes a part of it",
			      bytes, image->block_bytes, image->block_bytes);
	image->size_bytes = bytes;
	return 0;
}

static int check_format(const struct vhu_blk_options *o, struct vhu_blk_image *image)
{
	const char *name;

	if (o->format == VHU_BLK_FORMAT_RAW)
		return 0;
	name = vhu_blk_container_format(image->fd, image->offset_bytes);
	if (!name)
		return 0;
	return refuse(image, -EINVAL,
		      "is a %s container, no raw disk: convert it by qemu-img convert -O raw "
		      "(--format raw serves it byte by byte)", name);
}

/* The same for as long as the image is where it is (FNV-1a over where that is). */
static uint64_t hash_place(const struct stat *st)
{
	uint64_t words[2] = { S_ISBLK(st->st_mode) ? st->st_rdev : st->st_dev,
			      S_ISBLK(st->st_mode) ? 0 : st->st_ino };
	const unsigned char *bytes = (const unsigned char *)words;
	uint64_t hash = 0xcbf29ce484222325;

	for (size_t i = 0; i < sizeof(words); i++)
		hash = (hash ^ bytes[i]) * 0x100000001b3;
	return hash;
}

static int find_serial(const struct vhu_blk_options *o, struct vhu_blk_image *image)
{
	struct vhu_blk_content content;
	const char *id = "";

	if (o->serial) {
		snprintf(image->serial, sizeof(image->serial), "%s", o->serial);
		return 0;
	}
	if (vhu_blk_probe_content(image->fd, image->offset_bytes, image->size_bytes,
				  image->block_bytes, &content) == 0)
		id = *content.table_uuid ? content.table_uuid : content.uuid;
	if (*id)
		snprintf(image->serial, sizeof(image->serial), "%.*s", VIRTIO_BLK_ID_BYTES, id);
	else
		snprintf(image->serial, sizeof(image->serial), "vhu-%016" PRIx64,
			 hash_place(&image->st));
	return 0;
}

typedef int step_fn(const struct vhu_blk_options *o, struct vhu_blk_image *image);

static int take_steps(const struct vhu_blk_options *o, step_fn *const *steps, size_t n,
		      struct vhu_blk_image *ret_image)
{
	struct vhu_blk_image image = { .fd = -1, .exclusive_fd = -1 };
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++)
		r = steps[i](o, &image);
	if (r < 0)
		vhu_blk_image_close(&image);
	else
		*ret_image = image;
	return r;
}

int vhu_blk_image_open(const struct vhu_blk_options *options, struct vhu_blk_image *ret_image)
{
	static step_fn *const steps[] = {
		find_path,     check_kind, check_holders, open_file,  take_now,
		find_topology, find_part,  check_format,  check_size, find_serial,
	};

	return take_steps(options, steps, ARRAY_SIZE(steps), ret_image);
}

int vhu_blk_image_peek(const struct vhu_blk_options *options, struct vhu_blk_image *ret_image)
{
	static step_fn *const steps[] = { find_path, check_kind, open_file, find_topology };
	struct vhu_blk_options o = *options;

	o.read_only = true;
	o.force = true;
	return take_steps(&o, steps, ARRAY_SIZE(steps), ret_image);
}

/* Only what we made: another file may have taken its name since. */
static void remove_created(const struct vhu_blk_image *image)
{
	struct stat ours, named;

	if (fstat(image->fd, &ours) == 0 && stat(image->path, &named) == 0 &&
	    ours.st_dev == named.st_dev && ours.st_ino == named.st_ino)
		unlink(image->path);
}

void vhu_blk_image_close(struct vhu_blk_image *image)
{
	if (image->created)
		remove_created(image);
	close_fd(&image->exclusive_fd);
	close_fd(&image->fd);
	free(steal_ptr(&image->path));
}
