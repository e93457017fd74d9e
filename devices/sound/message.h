/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_DEVICES_SOUND_MESSAGE_H
#define VHU_DEVICES_SOUND_MESSAGE_H

/* Messages of the tx and rx queues (virtio 1.3, 5.14.6.8). */

#include <stdint.h>

#include "common/ring/chain.h"

/* A buffer of the driver. It lives in an array of its queue, at the chain's slot. */
struct vhu_sound_message {
	struct vhu_chain *chain;
	struct vhu_iov_cursor data; /* moves on as frames do */
	uint32_t frames, left;
	uint64_t turn; /* when it was popped */
	struct vhu_sound_message *next;
};

#endif
