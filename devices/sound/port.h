/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_DEVICES_SOUND_PORT_H
#define VHU_DEVICES_SOUND_PORT_H

/*
 * The life of a stream's host. Opening and closing may take long (a sound server that does not
 * answer), so each is done by a thread of its own, one at a time; the worker only says what it
 * wants. On the worker, but for init and finish.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/base/loop.h"
#include "devices/sound/host.h"

struct vhu_sound_port_job;

struct vhu_sound_port {
	const struct vhu_sound_host_ops *ops;
	const struct vhu_sound_stream_options *options; /* borrowed */
	struct vhu_loop *loop;
	struct vhu_sound_host *host; /* NULL unless it is open, and wanted as it is */
	struct vhu_sound_params params; /* wanted, or those of the host */
	bool wanted;
	struct vhu_sound_host *unwanted; /* to be closed */
	struct vhu_sound_port_job *job;	 /* NULL: no thread is at work */
	int event_fd;
	struct vhu_source *source;
	/* An open has ended: 0, or what it failed with (then nothing is wanted any more). */
	void (*opened)(struct vhu_sound_port *port, int result);
};

/* Main, before the worker runs. 0 or negative errno. */
int vhu_sound_port_init(struct vhu_sound_port *port, const struct vhu_sound_host_ops *ops,
			const struct vhu_sound_stream_options *options, struct vhu_loop *loop,
			void (*opened)(struct vhu_sound_port *port, int result));
/*
 * The worker has ended, its loop is gone. Waits for a thread at work, but not for ever: false when
 * it is left alone, with the options.
 */
bool vhu_sound_port_finish(struct vhu_sound_port *port);

/*
 * A host with these parameters is wanted. True: there it is, the one that was open before. Else
 * opened() will be called.
 */
bool vhu_sound_port_open(struct vhu_sound_port *port, const struct vhu_sound_params *params);
/* None is wanted any more. opened() will not be called. */
void vhu_sound_port_close(struct vhu_sound_port *port);

#endif
