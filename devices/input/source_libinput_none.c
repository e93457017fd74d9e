/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>

#include "common/base/log.h"
#include "devices/input/source.h"

static int none_open(const struct vhu_input_options *options, struct vhu_input_ident *ret_ident,
		     struct vhu_input_source **ret_source)
{
	(void)options;
	(void)ret_ident;
	(void)ret_source;
	vhu_error("built without libinput: no --seat, no --mode libinput");
	return -EOPNOTSUPP;
}

const struct vhu_input_source_ops vhu_input_source_libinput = {
	.name = "libinput",
	.open = none_open,
};
