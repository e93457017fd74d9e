/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_DEVICES_GPU_GPU_H
#define VHU_DEVICES_GPU_GPU_H

/* The virtio graphics card (virtio 1.3, 5.7). */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "common/backend/device.h"

#define VHU_GPU_OUTPUTS_MAX 16	   /* VIRTIO_GPU_MAX_SCANOUTS */
#define VHU_GPU_SIDE_MAX 16384	   /* of anything that has a width and a height, in pixels */
#define VHU_GPU_OUTPUT_SIDE_MIN 64 /* of a monitor */

/* A monitor as the guest sees it. */
struct vhu_gpu_output {
	uint32_t width, height;	      /* 0: as large as the front-end says, or 1280x800 */
	uint32_t refresh_hz;	      /* 0: 60 */
	uint32_t width_mm, height_mm; /* 0: by 96 dots an inch */
	char name[14], serial[14];    /* of the EDID: printable, without spaces at the ends */
};

struct vhu_gpu_options {
	struct vhu_gpu_output outputs[VHU_GPU_OUTPUTS_MAX];
	unsigned n_outputs;	    /* 0: one, of the front-end's size */
	bool headless;		    /* a GPU socket is taken, but nothing is shown there */
	const char *screenshot_dir; /* NULL: the working directory */
	/* "unix:PATH" or "127.0.0.1:PORT", of the first output; or NULL */
	const char *vnc;
	const char *vnc_password_file;
	const char *vnc_input; /* the socket of a vhu-input --stream */
	uint64_t max_fps;
	uint64_t max_resource_mem; /* bytes of pixels kept for the guest */
	uint64_t max_resources;
};

extern const struct vhu_gpu_options vhu_gpu_defaults;

/* WxH[@HZ][,name=TEXT][,serial=TEXT][,mm=WxH]. -EINVAL: *ret_why completes "must be ...". */
int vhu_gpu_output_parse(const char *text, struct vhu_gpu_output *ret_output, const char **ret_why);
/* What does not fit together: said, -EINVAL. */
int vhu_gpu_options_check(const struct vhu_gpu_options *options);

/* options is borrowed for life. Says itself what is wrong. */
int vhu_gpu_new(const struct vhu_gpu_options *options, struct vhu_device **ret_device);

/* Main. All devices of the process are made. */
void vhu_gpu_started(struct vhu_device *device);
/* A screenshot that has been written. */
struct vhu_gpu_shot {
	unsigned scanout;
	uint32_t width, height;
	char *path;
};

/* Who is told of screenshots: once, on any thread, with all that were written. */
struct vhu_gpu_shots_call {
	/* error: why there are not all, or none; else NULL. All is gone with the return. */
	void (*done)(struct vhu_gpu_shots_call *call, const struct vhu_gpu_shot *shots, unsigned n,
		     const char *error);
	struct vhu_gpu_shots_call *next; /* the display's */
};

/*
 * Any thread. A PNG of each scanout that shows something, in options->screenshot_dir. call may be
 * NULL.
 */
void vhu_gpu_screenshot(struct vhu_device *device, struct vhu_gpu_shots_call *call);
/* Any thread. A list of JSON: what each scanout shows, and the mode that it is to have. */
void vhu_gpu_print_outputs(struct vhu_device *device, FILE *out);
/* Any thread. The counters as an object of JSON, without a newline. */
void vhu_gpu_print_stats(struct vhu_device *device, FILE *out);

#endif
