/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_DEVICES_INPUT_HANDOFF_H
#define VHU_DEVICES_INPUT_HANDOFF_H

/* Packets from the thread that reads a seat to the worker of a device. */

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "devices/input/source.h"

#define VHU_INPUT_HANDOFF_MAX 4096 /* events that wait */

struct vhu_input_timed {
	struct vhu_input_event event;
	uint64_t time_ns;
};

struct vhu_input_handoff {
	int fd; /* an eventfd: something is there; to be watched with EPOLLET */
	pthread_mutex_t mutex; /* of what follows */
	size_t n;
	bool lost; /* something did not fit, and nothing does until all is taken */
	int32_t lost_rel[REL_CNT];
	struct vhu_input_state state; /* after all that was put */
	unsigned filled; /* of events: the other one is emptied */
	struct vhu_input_timed events[2][VHU_INPUT_HANDOFF_MAX];
};

/* 0 or negative errno. */
int vhu_input_handoff_init(struct vhu_input_handoff *handoff);
void vhu_input_handoff_finish(struct vhu_input_handoff *handoff);

/* One thread. A whole packet; never waits for who takes. */
void vhu_input_handoff_put(struct vhu_input_handoff *handoff, const struct vhu_input_event *events,
			   size_t n, uint64_t time_ns);
/* Another one. All that is there; what was lost is made good by a resync. */
void vhu_input_handoff_take(struct vhu_input_handoff *handoff, struct vhu_input_source *source);

#endif
