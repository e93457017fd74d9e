/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_SESSION_SESSION_H
#define VHU_SESSION_SESSION_H

/*
 * One connection of a front-end to a device, from SET_OWNER to the closing of the socket. All on
 * the main loop; a handler whose answer must wait parks the session, and nothing more is read from
 * it until the reply is out. What a session knows goes with it; the device stays.
 */

#include <stdbool.h>

#include "common/backend/device.h"
#include "common/base/loop.h"

struct vhu_session;

/*
 * The session is over and gone; called once, on main, from the loop. error: 0 when the front-end
 * closed.
 */
typedef void (*vhu_session_closed_fn)(void *data, int error);

/*
 * Begins to serve. Takes fd, also on error. The device is referenced, and must not have another
 * session. Returns 0 or negative errno.
 */
int vhu_session_new(struct vhu_device *device, struct vhu_loop *loop, int fd,
		    vhu_session_closed_fn closed, void *data, struct vhu_session **ret_session);

/*
 * Ends the session: rings are drained and stopped, then closed() is called, never before this
 * returns. Idempotent.
 */
void vhu_session_close(struct vhu_session *session);

#endif
