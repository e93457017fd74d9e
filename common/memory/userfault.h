/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_MEMORY_USERFAULT_H
#define VHU_MEMORY_USERFAULT_H

/*
 * Guest memory that is still on its way (vhost-user, Migration: postcopy). Whoever touches a page
 * that is not there, by an instruction or in a system call, waits until the front-end, which has
 * the userfaultfd too, has brought it. On main; a struct that is all zeros but for its fds (-1) has
 * nothing open.
 */

#include <stdbool.h>

#include "common/memory/map.h"

struct vhu_userfault {
	int fd;	      /* owned */
	int empty_fd; /* owned: a file without a byte, to take the place of what never came */
};

/*
 * Can this process have one that also holds up the kernel's accesses? What that needs is opened by
 * the first call and kept, so that rights may be dropped afterwards.
 */
bool vhu_userfault_available(void);

/* Returns 0 or negative errno, with nothing open. */
int vhu_userfault_open(struct vhu_userfault *userfault);
/* Nobody waits for pages that may be missing still: first unregister, or abandon. */
void vhu_userfault_close(struct vhu_userfault *userfault);

/*
 * From now on who touches a missing page of the map waits. Nobody may have touched the map yet. Its
 * health says that it is not whole. 0, or negative errno: then the map is not to be used.
 */
int vhu_userfault_register(const struct vhu_userfault *userfault, struct vhu_memory *memory);
/* Every page is there: the map is whole again. */
void vhu_userfault_unregister(const struct vhu_userfault *userfault, struct vhu_memory *memory);
/*
 * Nobody will bring the missing pages: every access to the map fails from now on, those that wait
 * included. None of them sees a page of zeros without the health's fault being set, and a system
 * call sees no such page at all.
 */
void vhu_userfault_abandon(const struct vhu_userfault *userfault, struct vhu_memory *memory);

#endif
