/* SPDX-License-Identifier: BSD-3-Clause */
#include "devices/blk/lock.h"

#include <errno.h>
#include <fcntl.h>

/* Permission p is locked at USES + p by who uses it, at DENIES + p by who denies it to others. */
#define USES 100
#define DENIES 200

enum {
	CONSISTENT_READ,
	WRITE,
	WRITE_UNCHANGED,
	RESIZE,
	N_PERMISSIONS,
};

#define BIT(permission) (1u << (permission))

static int lock_byte(int fd, off_t byte)
{
	struct flock lock = { .l_type = F_RDLCK, .l_start = byte, .l_len = 1 };

	if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
		return 0;
	if (errno == EAGAIN || errno == EACCES)
		return -EBUSY;
	return errno == ENOLCK || errno == EINVAL || errno == ENOSYS ? -EOPNOTSUPP : -errno;
}

/* Has another description locked the byte? */
static int check_byte(int fd, off_t byte)
{
	struct flock lock = { .l_type = F_WRLCK, .l_start = byte, .l_len = 1 };

	if (fcntl(fd, F_OFD_GETLK, &lock) < 0)
		return -errno;
	return lock.l_type == F_UNLCK ? 0 : -EBUSY;
}

int vhu_blk_lock(int fd, bool read_only)
{
	unsigned uses = BIT(CONSISTENT_READ) | (read_only ? 0 : BIT(WRITE));
	unsigned denies = BIT(WRITE);
	int p, r = 0;

	/* Own locks first: of two who come at once, none may overlook the other. */
	for (p = 0; p < N_PERMISSIONS && r == 0; p++) {
		if (uses & BIT(p))
			r = lock_byte(fd, USES + p);
		if (r == 0 && denies & BIT(p))
			r = lock_byte(fd, DENIES + p);
	}
	for (p = 0; p < N_PERMISSIONS && r == 0; p++) {
		if (uses & BIT(p))
			r = check_byte(fd, DENIES + p);
		if (r == 0 && denies & BIT(p))
			r = check_byte(fd, USES + p);
	}
	return r;
}

void vhu_blk_unlock(int fd)
{
	struct flock lock = {
		.l_type = F_UNLCK,
		.l_start = USES,
		.l_len = DENIES + N_PERMISSIONS - USES,
	};

	fcntl(fd, F_OFD_SETLK, &lock);
}
