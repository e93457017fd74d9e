/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_SERVE_PROGRAM_H
#define VHU_SERVE_PROGRAM_H

/*
 * A program as data: what is its own stands in a struct vhu_program, and its main is one call. The
 * rest is the same in all of them: --socket-path, --fd, --connect, --once,
 * --inband-notifications, --control, --next, --log-level, --stats, --help, --version,
 * --print-capabilities, --print-qemu-args, signals and exit status.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "common/serve/control.h"
#include "common/serve/daemon.h"
#include "common/serve/options.h"

/* What a signal does to each device of the process, on main. */
struct vhu_program_signal {
	int signo;
	void (*fn)(struct vhu_device *device);
};

/* "instead" has nothing to say: go on and serve. */
#define VHU_PROGRAM_SERVE (-1)

struct vhu_program {
	const char *name;    /* "vhu-blk" */
	const char *summary; /* what it does, for --help */
	const char *example; /* the arguments of a usual call, for --help */

	/* --print-capabilities (vhost-user, Backend program conventions). */
	const char *type;
	const char *const *capabilities; /* NULL-terminated, or NULL for none */

	/* Its own options, one struct of options_bytes a device; defaults NULL: all zero. */
	const struct vhu_option *options;
	size_t n_options;
	size_t options_bytes;
	const void *defaults;

	/*
	 * Optional. Looks at the options of a device before anything is opened. Returns the exit
	 * status when something else was asked for and done (--probe) or when they do not fit
	 * together (2, said), else VHU_PROGRAM_SERVE. Called for each device, up to one whose
	 * options do not fit together; when one has something else to say, none is served.
	 */
	int (*instead)(const void *options);

	/* Makes the device; says itself what is wrong. The options live as long as the process. */
	int (*make)(const void *options, struct vhu_device **ret_device);
	/*
	 * Optional, on main. Every device of the process is made and at its socket: what make did
	 * can stay. A device for which this was not called goes because of another one.
	 */
	void (*started)(struct vhu_device *device);

	/*
	 * Optional, any thread. The device's counters as an object of JSON, without a newline: for
	 * SIGUSR1, --stats and the control socket.
	 */
	void (*print_stats)(struct vhu_device *device, FILE *out);

	/* Of the control socket; their data is the device. */
	const struct vhu_control_command *commands;
	size_t n_commands;

	const struct vhu_program_signal *signals;
	size_t n_signals;

	/* --print-qemu-args: "vhost-user-blk-pci"; ",num-queues=4" and the like go to out. */
	const char *qemu_device;
	const char *qemu_options; /* what it needs besides: "-vga none"; optional */
	void (*qemu_properties)(const void *options, FILE *out); /* optional */
	bool qemu_reconnects; /* QEMU's device bears a lost back-end */
};

/* Exit status: 0 done, 1 an error, 2 a wrong command line. */
int vhu_program_main(const struct vhu_program *program, int argc, char **argv);

#endif
