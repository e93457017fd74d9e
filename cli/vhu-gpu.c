/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/json.h"
#include "common/base/num.h"
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
	{ .name = "vnc", .argument = "ADDRESS",
	  .help = "show the outputs by VNC: unix:PATH or 127.0.0.1:PORT; those behind the "
		  "first at PATH.1, PORT + 1 and so on",
	  .parse = vhu_option_text, .offset = TO(vnc) },
	{ .name = "vnc-password-file", .argument = "FILE",
	  .help = "whose first line a viewer has to know; VNC looks at 8 characters",
	  .parse = vhu_option_text, .offset = TO(vnc_password_file) },
	{ .name = "vnc-input", .argument = "PATH",
	  .help = "where a viewer's keys and pointer go: the socket of a vhu-input --stream",
	  .parse = vhu_option_text, .offset = TO(vnc_input) },
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

static void shoot(struct vhu_device *device)
{
	vhu_gpu_screenshot(device, NULL);
}

static const struct vhu_program_signal signals[] = {
	{ SIGUSR2, shoot },
};

struct shots_wanted {
	struct vhu_gpu_shots_call call;
	struct vhu_control_request *request;
};

static void shots_done(struct vhu_gpu_shots_call *call, const struct vhu_gpu_shot *shots,
		       unsigned n, const char *error)
{
	struct shots_wanted *wanted = container_of(call, struct shots_wanted, call);
	FILE *out = vhu_control_out(wanted->request);

	fputs(", \"files\": [", out);
	for (unsigned i = 0; i < n; i++) {
		/* Who asks may be in another folder than we are. */
		char *path = realpath(shots[i].path, NULL);

		fprintf(out, "%s{\"scanout\": %u, \"width\": %" PRIu32 ", \"height\": %" PRIu32
			", \"file\": ", i ? ", " : "", shots[i].scanout, shots[i].width,
			shots[i].height);
		vhu_json_put_text(out, path ? path : shots[i].path);
		fputs("}", out);
		free(path);
	}
	fputs("]", out);
	if (error)
		vhu_control_refuse(wanted->request, "%s", error);
	else
		vhu_control_answer(wanted->request);
	free(wanted);
}

static void command_screenshot(void *device, const char *argument,
			       struct vhu_control_request *request)
{
	struct shots_wanted *wanted = malloc(sizeof(*wanted));

	(void)argument;
	if (!wanted) {
		vhu_control_refuse(request, "%s", strerror(ENOMEM));
		return;
	}
	wanted->call.done = shots_done;
	wanted->request = request;
	vhu_gpu_screenshot(device, &wanted->call);
}

static void command_outputs(void *device, const char *argument, struct vhu_control_request *request)
{
	(void)argument;
	fputs(", \"outputs\": ", vhu_control_out(request));
	vhu_gpu_print_outputs(device, vhu_control_out(request));
	vhu_control_answer(request);
}

static const struct vhu_control_command commands[] = {
	{ "screenshot", NULL, "a PNG of each output that shows something, as SIGUSR2 leaves it; "
	  "answered when they are written", command_screenshot },
	{ "outputs", NULL, "what each output shows, and the mode that the guest is told of",
	  command_outputs },
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
	.n_options = ARRAY_SIZE(rows),
	.options_bytes = sizeof(struct vhu_gpu_options),
	.defaults = &vhu_gpu_defaults,
	.instead = instead,
	.make = make,
	.print_stats = vhu_gpu_print_stats,
	.commands = commands,
	.n_commands = ARRAY_SIZE(commands),
	.started = vhu_gpu_started,
	.signals = signals,
	.n_signals = ARRAY_SIZE(signals),
	.qemu_device = "vhost-user-gpu-pci",
	.qemu_options = "-vga none",
	.qemu_properties = print_properties,
};

int main(int argc, char **argv)
{
	return vhu_program_main(&program, argc, argv);
}
