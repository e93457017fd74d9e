/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>

#include "common/base/log.h"
#include "devices/gpu/output.h"

int vhu_gpu_vnc_new(const struct vhu_gpu_options *options, struct vhu_loop *loop,
		    const struct vhu_gpu_picture *pictures, struct vhu_gpu_output_sink *sink,
		    struct vhu_gpu_display_stats *stats, struct vhu_gpu_viewer **ret_viewer)
{
	(void)options;
	(void)loop;
	(void)pictures;
	(void)sink;
	(void)stats;
	(void)ret_viewer;
	vhu_error("--vnc: this program was built without libvncserver");
	return -EOPNOTSUPP;
}

void vhu_gpu_vnc_start(struct vhu_gpu_viewer *viewer)
{
	(void)viewer;
}
