/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_FRONTEND_STATE_H
#define VHU_FRONTEND_STATE_H

/*
 * The back-end's own state in a migration (vhost-user, Migrating back-end state), through a pipe or
 * whatever the back-end answers with. Who loads a state ignores SIGPIPE.
 */

#include <stddef.h>

#include "common/frontend/frontend.h"

#define VHU_FRONTEND_SAVE 0u
#define VHU_FRONTEND_LOAD 1u

/*
 * SET_DEVICE_STATE_FD. *ret_fd, which the caller owns, is our end, non-blocking: to read from when
 * saving, to write to when loading. -EPROTO: an error and an fd at once, or no fd though promised.
 */
int vhu_frontend_open_state(struct vhu_frontend *frontend, uint32_t direction, int *ret_fd);
/* CHECK_DEVICE_STATE. */
int vhu_frontend_check_state(struct vhu_frontend *frontend);

/* All of it: up to size bytes, then the end of file, then the check. -EMSGSIZE: there is more. */
int vhu_frontend_save_state(struct vhu_frontend *frontend, void *buf, size_t size, size_t *ret_len);
int vhu_frontend_load_state(struct vhu_frontend *frontend, const void *buf, size_t len);

#endif
