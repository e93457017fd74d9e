/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_BASE_CLEANUP_H
#define VHU_BASE_CLEANUP_H

/*
 * Scope-bound ownership. A local declared with one of these attributes is released when it
 * leaves its scope, unless a steal_*() took it out first.
 */

#include <stdlib.h>
#include <unistd.h>

static inline void cleanup_fd_fn(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void cleanup_free_fn(void *p)
{
	free(*(void **)p);
}

#define cleanup_fd __attribute__((cleanup(cleanup_fd_fn)))
#define cleanup_free __attribute__((cleanup(cleanup_free_fn)))

/* Takes the fd out of *fd, which becomes -1. */
static inline int steal_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

#define steal_ptr(pp) \
	({ \
		__typeof__(*(pp)) taken_ = *(pp); \
		*(pp) = NULL; \
		taken_; \
	})

/* Closes *fd when it is one, and forgets it. */
static inline void close_fd(int *fd)
{
	cleanup_fd_fn(fd);
	*fd = -1;
}

#endif
