/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_TESTS_DEVICE_LOAD_H
#define VHU_TESTS_DEVICE_LOAD_H

/* The scene's ring driven by a thread of its own, which knows nothing of stops and starts. */

#include <pthread.h>

#include "tests/device/harness.h"

struct load {
	struct scene *scene;
	pthread_t thread;
	uint64_t sent, done;
	bool stop; /* atomic */
	int error; /* -EILSEQ: a request was lost, or came twice */
};

/* The ring runs already. */
void load_begin(struct load *load, struct scene *scene);
/* Sends nothing more, and waits for what was sent. load->error tells how it went. */
void load_end(struct load *load);
/* Goes on until it fails, as it does when the program has gone. */
void load_wait(struct load *load);

#endif
