/* SPDX-License-Identifier: BSD-3-Clause */
#include <inttypes.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/num.h"
#include "common/serve/program.h"
#include "devices/blk/blk.h"

#define EXIT_USAGE 2

static const char *const formats[] = {
	[VHU_BLK_FORMAT_AUTO] = "auto",
	[VHU_BLK_FORMAT_RAW] = "raw",
	NULL,
};

static const char *const caches[] = {
	[VHU_BLK_WRITEBACK] = "writeback",
	[VHU_BLK_WRITETHROUGH] = "writethrough",
	[VHU_BLK_UNSAFE] = "unsafe",
	NULL,
};

static const char *const discards[] = {
	[VHU_BLK_DISCARD_UNMAP] = "unmap",
	[VHU_BLK_DISCARD_IGNORE] = "ignore",
	NULL,
};

static const char *const locks[] = {
	[VHU_BLK_LOCK_AUTO] = "auto",
	[VHU_BLK_LOCK_OFF] = "off",
	NULL,
};

static int parse_poll(const struct vhu_option *option, void *field, const char *text,
		      const char **ret_why)
{
	if (strcmp(text, "auto"))
		return vhu_option_number(option, field, text, ret_why);
	*(uint64_t *)field = VHU_BLK_POLL_AUTO;
	return 0;
}

#define TO(field) offsetof(struct vhu_blk_options, field)
static const struct vhu_option rows[] = {
	{ .name = "blk-file", .alias = "file", .letter = 'b', .argument = "SPEC",
	  .help = "the disk: an image file, a block device, or LABEL=, UUID=, PARTLABEL=, "
		  "PARTUUID= and a name",
	  .parse = vhu_option_text, .offset = TO(file) },
	{ .name = "read-only", .letter = 'r',
	  .help = "the guest only reads, and others may read the file too",
	  .parse = vhu_option_flag, .offset = TO(read_only) },
	{ .name = "create", .argument = "SIZE",
	  .help = "make the file first, of this size (K, M, G, T); never one that is there",
	  .parse = vhu_option_size, .offset = TO(create), .min = 512, .max = INT64_MAX },
	{ .name = "format", .argument = "FORMAT",
	  .help = "auto (default): a container such as qcow2 is refused; raw: byte by byte "
		  "whatever it is",
	  .parse = vhu_option_choice, .offset = TO(format), .words = formats },
	{ .name = "offset", .argument = "BYTES",
	  .help = "where in the file the disk begins",
	  .parse = vhu_option_size, .offset = TO(offset), .max = INT64_MAX },
	{ .name = "size", .argument = "BYTES",
	  .help = "how much of the file is the disk; default: the rest, as it grows and shrinks",
	  .parse = vhu_option_size, .offset = TO(size), .min = 512, .max = INT64_MAX },
	{ .name = "partition", .argument = "N",
	  .help = "serve only this partition of the disk",
	  .parse = vhu_option_number, .offset = TO(partition), .min = 1, .max = 256 },
	{ .name = "serial", .argument = "TEXT",
	  .help = "at most 20 characters; default: from the partition table's or file system's "
		  "UUID",
	  .parse = vhu_option_text, .offset = TO(serial) },
	{ .name = "block-size", .argument = "BYTES",
	  .help = "logical block size, 512 to 4096; default: the device's, 512 for a file",
	  .parse = vhu_option_number, .offset = TO(block_size), .min = 512, .max = 4096 },
	{ .name = "num-queues", .argument = "N",
	  .help = "queues offered, 1 to 64 (default); each in use has a thread",
	  .parse = vhu_option_number, .offset = TO(num_queues), .min = 1, .max = VHU_MAX_QUEUES },
	{ .name = "queue-size", .argument = "N",
	  .help = "largest size of a queue, a power of two; default 1024",
	  .parse = vhu_option_number, .offset = TO(queue_size), .min = 4, .max = 32768 },
	{ .name = "engine", .argument = "NAME",
	  .help = "auto (default), mmap (copies, best on tmpfs), sync (system calls), null "
		  "(answers at once, needs --size)",
	  .parse = vhu_option_text, .offset = TO(engine) },
	{ .name = "cache", .argument = "MODE",
	  .help = "writeback (default): durable after a flush; writethrough: each write is; "
		  "unsafe: flushes are ignored",
	  .parse = vhu_option_choice, .offset = TO(cache), .words = caches },
	{ .name = "discard", .argument = "MODE",
	  .help = "unmap (default): what the guest discards is freed; ignore: it cannot discard",
	  .parse = vhu_option_choice, .offset = TO(discard), .words = discards },
	{ .name = "poll-us", .argument = "N",
	  .help = "longest time to poll for requests before sleeping, in microseconds; 0 never; "
		  "auto (default)",
	  .parse = parse_poll, .offset = TO(poll_us), .max = 1000000 },
	{ .name = "lock", .argument = "MODE",
	  .help = "auto (default): QEMU's locks keep other users of the image out; off: they do "
		  "not",
	  .parse = vhu_option_choice, .offset = TO(lock), .words = locks },
	{ .name = "incoming",
	  .help = "a running guest will migrate to here: lock the image when it comes, not now",
	  .parse = vhu_option_flag, .offset = TO(incoming) },
	{ .name = "force",
	  .help = "serve a block device although it is mounted, or a disk that another device uses",
	  .parse = vhu_option_flag, .offset = TO(force) },
	{ .name = "probe",
	  .help = "print what the file holds and who holds it, and exit; with --file, "
		  "--block-size and --json only",
	  .parse = vhu_option_flag, .offset = TO(probe) },
	{ .name = "json",
	  .help = "the same as JSON",
	  .parse = vhu_option_flag, .offset = TO(json) },
};

static const char *const capabilities[] = { "read-only", "blk-file", NULL };

static const struct vhu_program_signal signals[] = {
	{ SIGHUP, vhu_blk_check_size },
};

static void command_rescan(void *device, const char *argument, struct vhu_control_request *request)
{
	(void)argument;
	vhu_blk_check_size(device);
	fprintf(vhu_control_out(request), ", \"bytes\": %" PRIu64, vhu_blk_bytes(device));
	vhu_control_answer(request);
}

static const struct vhu_control_command commands[] = {
	{ "rescan", NULL, "look at the size of the image, as at SIGHUP; answers with it",
	  command_rescan },
};

static int instead(const void *data)
{
	const struct vhu_blk_options *options = data;

	if (vhu_blk_options_check(options) < 0)
		return EXIT_USAGE;
	if (!options->probe)
		return VHU_PROGRAM_SERVE;
	return vhu_blk_print_probe(options) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int make(const void *options, struct vhu_device **ret_device)
{
	return vhu_blk_new(options, ret_device);
}

/* QEMU's, unless told otherwise. */
#define QEMU_QUEUE_SIZE 128

/* QEMU takes a queue a vCPU by itself; what is said here is what we would refuse to exceed. */
static void print_properties(const void *data, FILE *out)
{
	const struct vhu_blk_options *options = data;

	if (options->num_queues < VHU_MAX_QUEUES)
		fprintf(out, ",num-queues=%u", (unsigned)options->num_queues);
	if (options->queue_size < QEMU_QUEUE_SIZE)
		fprintf(out, ",queue-size=%u", (unsigned)options->queue_size);
}

static const struct vhu_program program = {
	.name = "vhu-blk",
	.summary = "Serves an image file or a block device as a virtio disk.",
	.example = "--socket-path /run/disk.sock --file disk.img",
	.type = "block",
	.capabilities = capabilities,
	.options = rows,
	.n_options = ARRAY_SIZE(rows),
	.options_bytes = sizeof(struct vhu_blk_options),
	.defaults = &vhu_blk_defaults,
	.instead = instead,
	.make = make,
	.started = vhu_blk_keep,
	.print_stats = vhu_blk_print_stats,
	.commands = commands,
	.n_commands = ARRAY_SIZE(commands),
	.signals = signals,
	.n_signals = ARRAY_SIZE(signals),
	.qemu_device = "vhost-user-blk-pci",
	.qemu_properties = print_properties,
	.qemu_reconnects = true,
};

int main(int argc, char **argv)
{
	return vhu_program_main(&program, argc, argv);
}
