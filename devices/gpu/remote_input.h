/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_DEVICES_GPU_REMOTE_INPUT_H
#define VHU_DEVICES_GPU_REMOTE_INPUT_H

/*
 * What who looks types and points at, as packets to the socket of a vhu-input --stream PATH --kind
 * keyboard,absolute. It may come later, go and come again: what is typed meanwhile is lost. Nothing
 * waits: a vhu-input that does not read loses the connection, and lets go of all keys with it.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/base/loop.h"

/* A Linux key code of a US keyboard for a keysym of X11; 0: there is no such key. */
uint16_t vhu_gpu_key_of_keysym(uint32_t keysym);

struct vhu_gpu_remote_input;

/* On the loop's thread, as all of it. Borrows path and loop for life. */
int vhu_gpu_remote_input_new(const char *path, struct vhu_loop *loop,
			     struct vhu_gpu_remote_input **ret_input);
void vhu_gpu_remote_input_free(struct vhu_gpu_remote_input *input); /* NULL is fine */

void vhu_gpu_remote_input_key(struct vhu_gpu_remote_input *input, uint32_t keysym, bool down);
/* A place in a picture of that size; buttons as RFB's PointerEvent has them (RFC 6143, 7.5.5). */
void vhu_gpu_remote_input_point(struct vhu_gpu_remote_input *input, uint8_t buttons, uint32_t x,
				uint32_t y, uint32_t width, uint32_t height);
/* Who held keys and buttons has gone. */
void vhu_gpu_remote_input_release(struct vhu_gpu_remote_input *input);

#endif
