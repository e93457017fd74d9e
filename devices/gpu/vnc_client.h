/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_DEVICES_GPU_VNC_CLIENT_H
#define VHU_DEVICES_GPU_VNC_CLIENT_H

/*
 * Who looks by VNC (RFC 6143), one at a time. libvncserver waits for a slow peer, in the middle of
 * a message even, so each client has a thread, with pixels and a screen of its own. The display's
 * thread fills those while it has the client, and never waits for it.
 */

#include <stdbool.h>
#include <stdint.h>

#include "devices/gpu/output.h"

enum vhu_gpu_vnc_event_type {
	VHU_GPU_VNC_KEY,
	VHU_GPU_VNC_POINTER,
	VHU_GPU_VNC_SIZE, /* it would like that one */
	VHU_GPU_VNC_IDLE, /* vhu_gpu_vnc_client_take() may succeed now */
	VHU_GPU_VNC_GONE, /* the last of it */
};

/* What a client says, to who reads events_fd. Written in one piece. */
struct vhu_gpu_vnc_event {
	unsigned client; /* its number */
	enum vhu_gpu_vnc_event_type type;
	uint32_t keysym;
	bool down;
	uint8_t buttons;
	uint32_t x, y;
	uint32_t width, height; /* of its screen at a place of the pointer, or wanted */
};

/* Borrowed for life. */
struct vhu_gpu_vnc_config {
	char password[9]; /* "": none is asked for */
	bool may_resize;
	int events_fd; /* a pipe, which may block */
};

struct vhu_gpu_vnc_client;

/*
 * A place for a client, with nobody there. All of a process are made before the first one is in
 * use: what libvncserver has for all of them is set up anew each time.
 */
int vhu_gpu_vnc_client_new(const struct vhu_gpu_vnc_config *config, unsigned number,
			   struct vhu_gpu_vnc_client **ret_client);
/* Whoever is there is thrown out. Not on the client's own thread. NULL is fine. */
void vhu_gpu_vnc_client_free(struct vhu_gpu_vnc_client *client);

/*
 * From here on: on the display's thread. Somebody comes, and the client is taken then. Takes fd,
 * below FD_SETSIZE; title is borrowed.
 */
int vhu_gpu_vnc_client_start(struct vhu_gpu_vnc_client *client, int fd, const char *title);
/*
 * True: it is still being let in. Who takes too long is thrown out; to be called once a second
 * until then.
 */
bool vhu_gpu_vnc_client_hurry(struct vhu_gpu_vnc_client *client);
/* After VHU_GPU_VNC_GONE: the place is free. */
void vhu_gpu_vnc_client_end(struct vhu_gpu_vnc_client *client);

/* False: it is busy, and VHU_GPU_VNC_IDLE comes. */
bool vhu_gpu_vnc_client_take(struct vhu_gpu_vnc_client *client);
/* It sends what it has been given. */
void vhu_gpu_vnc_client_release(struct vhu_gpu_vnc_client *client);

/*
 * While it is taken. It is as large as the picture then, and black if it was not; it stays as it is
 * for a picture that is off, or when there is no memory.
 */
void vhu_gpu_vnc_client_fit(struct vhu_gpu_vnc_client *client,
			    const struct vhu_gpu_picture *picture);
/* A part of a picture of its size. */
void vhu_gpu_vnc_client_draw(struct vhu_gpu_vnc_client *client,
			     const struct vhu_gpu_picture *picture,
			     const struct vhu_gpu_rect *rect);
void vhu_gpu_vnc_client_blank(struct vhu_gpu_vnc_client *client);
/* image: it is a new one, or shown or hidden, and has not just moved. */
void vhu_gpu_vnc_client_set_cursor(struct vhu_gpu_vnc_client *client,
				   const struct vhu_gpu_picture *picture, bool image);

#endif
