/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>

#include "common/serve/program.h"
#include "devices/gpu/gpu.h"

#define EXIT_USAGE 2

static int parse_output(const struct vhu_option *option, void *field, const char *text,
			const char **ret_why)
{
	struct vhu_gpu_options *options = field;

	(void)option;
	*ret_why = "one of at most 16 outputs";
	if (options->n_outputs == VHU_GPU_OUTPUTS_MAX)
		return -EINVAL;
	if (vhu_gpu_output_parse(text, &options->outputs[options->n_outputs], ret_why) < 0)
		return -EINVAL;
	options->n_outputs++;
	return 0;
}

#define TO(field) offsetof(struct vhu_gpu_options, field)
static const struct vhu_option rows[] = {
	{ .name = "output", .argument = "WxH",
	  .help = "a monitor of that size; default: one, as large as the front-end says. WxH@HZ, "
		  "and behind it, with commas: name=TEXT, serial=TEXT, mm=WxH. May be given up to "
		  "16 times",
	  .parse = parse_output, .repeats = true },
	{ .name = "headless",
	  .help = "show nothing in the front-end's display",
	  .parse = vhu_option_flag, .offset = TO(headless) },
	{ .name = "screenshot-dir", .argument = "DIR",
	  .help = "where SIGUSR2 leaves a PNG of each output; default: the working directory",
	  .parse = vhu_option_text, .offset = TO(screenshot_dir) },
	{ .name = "max-fps", .argument = "N",
	  .help = "pictures shown a second at most; default: 60",
	  .parse = vhu_option_number, .offset = TO(max_fps), .min = 1, .max = 1000 },
	{ .name = "max-resource-mem", .argument = "SIZE",
	  .help = "memory that the guest's pixels may take; default: 1G",
	  .parse = vhu_option_size, .offset = TO(max_resource_mem), .min = 1 << 20 },
	{ .name = "max-resources", .argument = "N",
	  .help = "resources that the guest may have; default: 65536",
	  .parse = vhu_option_number, .offset = TO(max_resources), .min = 1, .max = 1 << 20 },
};

static const struct vhu_program_signal signals[] = {
	{ SIGUSR2, vhu_gpu_screenshot },
};

static int instead(const void *options)
{
	return vhu_gpu_options_check(options) < 0 ? EXIT_USAGE : VHU_PROGRAM_SERVE;
}

static int make(const void *options, struct vhu_device **ret_device)
{
	return vhu_gpu_new(options, ret_device);
}

static void print_properties(const void *data, FILE *out)
{
	const struct vhu_gpu_options *options = data;

	if (options->n_outputs > 1)
		fprintf(out, ",max_outputs=%u", options->n_outputs);
}

static const struct vhu_program program = {
	.name = "vhu-gpu",
	.summary = "Serves a virtio graphics card.",
	.example = "--socket-path /run/gpu.sock --output 1920x1080",
	.type = "gpu",
	.options = rows,
	.n_options = sizeof(rows) / sizeof(rows[0]),
	.options_bytes = sizeof(struct vhu_gpu_options),
	.defaults = &vhu_gpu_defaults,
	.instead = instead,
	.make = make,
	.print_stats = vhu_gpu_print_stats,
	.signals = signals,
	.n_signals = sizeof(signals) / sizeof(signals[0]),
	.qemu_device = "vhost-user-gpu-pci",
	.qemu_properties = print_properties,
};

int main(int argc, char **argv)
{
	return vhu_program_main(&program, argc, argv);
}
