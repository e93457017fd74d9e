/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_TESTS_BENCH_BLK_VERIFY_H
#define VHU_TESTS_BENCH_BLK_VERIFY_H

/* Does a back-end keep data? On the queues and with the depth that are to be measured. */

#include <stdint.h>

#include "tests/bench/blk_client.h"

/* The host writes its pattern to where verify() will read. Returns 0 or negative errno. */
int verify_prepare(int image_fd, uint64_t image_bytes);
/*
 * 0; -EILSEQ: data was not what it should be; or as the calls of client.h. Leaves the queues empty.
 */
int verify(struct client *client, int image_fd);

#endif
