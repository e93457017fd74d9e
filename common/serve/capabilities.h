/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_SERVE_CAPABILITIES_H
#define VHU_SERVE_CAPABILITIES_H

/*
 * What a program says of itself for other programs: --print-capabilities (vhost-user, Backend
 * program conventions) and --print-qemu-args. Both on standard output.
 */

#include "common/serve/daemon.h"
#include "common/serve/program.h"

/* {"type": ..., "features": [...]} */
void vhu_print_capabilities(const struct vhu_program *program);

/* The guest's memory, which vhost-user needs shared: once a QEMU. */
void vhu_print_qemu_memory(void);

/*
 * The chardev and the device for the index-th endpoint of the process, shell-quoted. -EINVAL,
 * said, when it has no path that QEMU could be told.
 */
int vhu_print_qemu_device(const struct vhu_program *program, const void *options,
			  const struct vhu_endpoint *endpoint, unsigned index);

#endif
