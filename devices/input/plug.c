/* SPDX-License-Identifier: BSD-3-Clause */
#include "devices/input/plug.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "common/base/num.h"
#include "devices/input/node.h"

/* udev gives a new node its rights and its links a while after the kernel has made it. */
#define TRY_NS (100 * NS_PER_MS)
#define N_TRIES 30

/* All folders on the way: each may come and go with what is in it. */
static void watch_folders(struct vhu_input_plug *plug, const char *path)
{
	char folder[PATH_MAX];
	size_t len;

	for (const char *end = strchr(path, '/'); end; end = strchr(end + 1, '/')) {
		len = (size_t)(end - path) + (end == path);
		if (len >= sizeof(folder))
			return;
		memcpy(folder, path, len);
		folder[len] = '\0';
		inotify_add_watch(plug->fd, folder, IN_CREATE | IN_MOVED_TO | IN_ATTRIB);
	}
}

static void watch(struct vhu_input_plug *plug)
{
	watch_folders(plug, VHU_INPUT_NODES "/event");
	if (plug->path)
		watch_folders(plug, plug->path);
}

static void on_try(void *data, uint32_t events)
{
	struct vhu_input_plug *plug = data;

	(void)events;
	watch(plug);
	if (plug->found(plug->data))
		vhu_input_plug_stop(plug);
	else if (--plug->tries)
		vhu_source_set_timer(plug->timer, TRY_NS);
}

static void on_change(void *data, uint32_t events)
{
	struct vhu_input_plug *plug = data;
	char changes[4096];

	(void)events;
	while (read(plug->fd, changes, sizeof(changes)) > 0)
		;
	plug->tries = N_TRIES;
	vhu_source_set_timer(plug->timer, 1);
}

int vhu_input_plug_wait(struct vhu_input_plug *plug, struct vhu_loop *loop, const char *path,
			bool (*found)(void *data), void *data)
{
	int r;

	*plug = (struct vhu_input_plug){
		.path = path,
		.found = found,
		.data = data,
		.fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC),
		.tries = N_TRIES,
	};
	if (plug->fd < 0)
		return -errno;
	plug->waits = true;
	r = vhu_loop_add_fd(loop, plug->fd, EPOLLIN, on_change, plug, &plug->source);
	if (r == 0)
		r = vhu_loop_add_timer(loop, on_try, plug, &plug->timer);
	if (r < 0) {
		vhu_input_plug_stop(plug);
		return r;
	}
	watch(plug);
	/* It may have come before anyone watched. */
	return vhu_source_set_timer(plug->timer, 1);
}

void vhu_input_plug_stop(struct vhu_input_plug *plug)
{
	if (!plug->waits)
		return;
	plug->waits = false;
	vhu_source_remove(plug->source);
	vhu_source_remove(plug->timer);
	close(plug->fd);
}
