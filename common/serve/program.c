/* SPDX-License-Identifier: BSD-3-Clause */
#include "common/serve/program.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/json.h"
#include "common/base/log.h"
#include "common/base/num.h"
#include "common/serve/capabilities.h"

#define EXIT_USAGE 2

static const char *const log_levels[] = {
	[VHU_LOG_ERROR] = "error",
	[VHU_LOG_WARNING] = "warning",
	[VHU_LOG_INFO] = "info",
	[VHU_LOG_DEBUG] = "debug",
	NULL,
};

/* Of the process: wherever they stand among its devices. */
struct process_options {
	unsigned log_level;
	bool print_qemu_args;
	bool stats;
	bool answered; /* options that are looked for before the line is parsed, and --next */
};

/* A device and where it is served: what stands between two --next. */
struct group {
	struct run *run;
	struct vhu_endpoint endpoint;
	void *options;
	struct vhu_device *device; /* borrowed from the daemon */
};

struct binding {
	struct run *run;
	const struct vhu_program_signal *signal;
};

struct run {
	const struct vhu_program *program;
	struct process_options process;
	struct group *groups;
	unsigned n_groups;
	struct vhu_daemon *daemon;
	struct binding *bindings;
};

static int parse_fd(const struct vhu_option *option, void *field, const char *text,
		    const char **ret_why)
{
	uint64_t fd;
	int r = vhu_parse_u64(text, option->min, option->max, &fd);

	(void)ret_why;
	if (r == 0)
		*(int *)field = (int)fd;
	return r;
}

#define ENDPOINT(field) offsetof(struct vhu_endpoint, field)
static const struct vhu_option endpoint_rows[] = {
	{ .name = "socket-path", .alias = "socket", .letter = 's', .argument = "PATH",
	  .help = "listen on a Unix socket, made at PATH",
	  .parse = vhu_option_text, .offset = ENDPOINT(socket_path) },
	{ .name = "fd", .letter = 'f', .argument = "N",
	  .help = "use the socket handed over as file descriptor N, listening or connected",
	  .parse = parse_fd, .offset = ENDPOINT(fd), .max = INT_MAX },
	{ .name = "connect", .argument = "PATH",
	  .help = "connect to a front-end that listens at PATH; try again until it is there, and "
		  "after it went",
	  .parse = vhu_option_text, .offset = ENDPOINT(connect) },
	{ .name = "once",
	  .help = "end when the first front-end has gone",
	  .parse = vhu_option_flag, .offset = ENDPOINT(once) },
	{ .name = "inband-notifications",
	  .help = "offer kicks and calls as messages, for simulators; not to QEMU, which takes the "
		  "offer and does not keep it",
	  .parse = vhu_option_flag, .offset = ENDPOINT(inband) },
	{ .name = "control", .argument = "PATH",
	  .help = "take commands for this device at a Unix socket of our own user's, made at PATH: "
		  "\"help\" names them",
	  .parse = vhu_option_text, .offset = ENDPOINT(control) },
};

#define PROCESS(field) offsetof(struct process_options, field)
#define ANSWERED .parse = vhu_option_flag, .offset = PROCESS(answered)
enum { ROW_CAPABILITIES, ROW_HELP, ROW_VERSION };
static const struct vhu_option process_rows[] = {
	[ROW_CAPABILITIES] = { .name = "print-capabilities", .letter = 'c',
	  .help = "print what the program can do, as JSON, and exit", ANSWERED },
	[ROW_HELP] = { .name = "help", .letter = 'h',
	  .help = "print this and exit", ANSWERED },
	[ROW_VERSION] = { .name = "version", .letter = 'V',
	  .help = "print the version and exit", ANSWERED },
	{ .name = "print-qemu-args",
	  .help = "print what to add to QEMU's command line for this very command, and exit",
	  .parse = vhu_option_flag, .offset = PROCESS(print_qemu_args) },
	{ .name = "log-level", .argument = "LEVEL",
	  .help = "what is told: error, warning, info (default) or debug",
	  .parse = vhu_option_choice, .offset = PROCESS(log_level), .words = log_levels },
	{ .name = "stats",
	  .help = "print the counters, as SIGUSR1 does, at the end",
	  .parse = vhu_option_flag, .offset = PROCESS(stats) },
	{ .name = "next",
	  .help = "begin the options of another device, served by the same process at a socket "
		  "of its own",
	  ANSWERED },
};

#define N_TABLES 3
static void fill_tables(struct vhu_option_table tables[N_TABLES], const struct vhu_program *program,
			struct group *group, struct process_options *process)
{
	tables[0] = (struct vhu_option_table){
		"Device", program->options, program->n_options, group ? group->options : NULL };
	tables[1] = (struct vhu_option_table){
		"Front-end", endpoint_rows, ARRAY_SIZE(endpoint_rows),
		group ? &group->endpoint : NULL };
	tables[2] = (struct vhu_option_table){
		"Program", process_rows, ARRAY_SIZE(process_rows), process };
}

static void print_help(const struct vhu_program *program)
{
	struct vhu_option_table tables[N_TABLES];

	fill_tables(tables, program, NULL, NULL);
	printf("Usage: %s %s\n\n%s\n", program->name, program->example, program->summary);
	vhu_options_help(tables, N_TABLES);
}

static void print_version(const struct vhu_program *program)
{
	printf("%s %s\n", program->name, VHU_RELEASE);
}

/* Questions that are answered whatever else is on the line. */
static bool answer(const struct vhu_program *program, int argc, char **argv)
{
	static void (*const answers[])(const struct vhu_program *) = {
		[ROW_CAPABILITIES] = vhu_print_capabilities,
		[ROW_HELP] = print_help,
		[ROW_VERSION] = print_version,
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(answers); i++) {
		if (vhu_option_given(&process_rows[i], argc, argv)) {
			answers[i](program);
			return true;
		}
	}
	return false;
}

static struct group *add_group(struct run *run)
{
	struct group *groups = realloc(run->groups, (run->n_groups + 1) * sizeof(*groups));
	size_t bytes = run->program->options_bytes;
	struct group *group;

	if (!groups)
		return NULL;
	run->groups = groups;
	group = &groups[run->n_groups];
	*group = (struct group){
		.run = run,
		.endpoint.fd = -1,
		.options = calloc(1, bytes ? bytes : 1),
	};
	if (!group->options)
		return NULL;
	if (run->program->defaults)
		memcpy(group->options, run->program->defaults, bytes);
	run->n_groups++;
	return group;
}

static int parse_groups(struct run *run, int argc, char **argv)
{
	struct vhu_option_table tables[N_TABLES];
	struct group *group;
	int used, r;

	do {
		group = add_group(run);
		if (!group)
			return -ENOMEM;
		fill_tables(tables, run->program, group, &run->process);
		r = vhu_options_parse(argc, argv, tables, N_TABLES, &used);
		if (r < 0)
			return r;
		argc -= used - 1;
		argv += used - 1;
	} while (argc > 1);
	return 0;
}

static int print_qemu_args(const struct run *run)
{
	unsigned i;
	int r = 0;

	for (i = 0; i < run->n_groups; i++) {
		const struct vhu_endpoint *endpoint = &run->groups[i].endpoint;

		if (!endpoint->socket_path && !endpoint->connect) {
			vhu_error("--print-qemu-args needs --socket-path or --connect");
			return EXIT_USAGE;
		}
		if (endpoint->inband) {
			vhu_error("QEMU has no --inband-notifications");
			return EXIT_USAGE;
		}
	}
	vhu_print_qemu_memory();
	for (i = 0; i < run->n_groups && r == 0; i++)
		r = vhu_print_qemu_device(run->program, run->groups[i].options,
					  &run->groups[i].endpoint, i);
	putchar('\n');
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* The worst status of all devices; who has something else to say keeps all from being served. */
static int check_options(const struct run *run)
{
	const struct vhu_program *program = run->program;
	int status = VHU_PROGRAM_SERVE;
	unsigned i;

	for (i = 0; i < run->n_groups && program->instead && status != EXIT_USAGE; i++) {
		int said = program->instead(run->groups[i].options);

		if (said > status)
			status = said;
	}
	return status;
}

/* Whatever can be seen to be wrong before anything is opened, made or removed. */
static int check_endpoints(const struct run *run)
{
	int status = VHU_PROGRAM_SERVE;
	unsigned i;

	for (i = 0; i < run->n_groups && status == VHU_PROGRAM_SERVE; i++) {
		int r = vhu_endpoint_check(&run->groups[i].endpoint);

		if (r < 0)
			status = r == -EINVAL ? EXIT_USAGE : EXIT_FAILURE;
	}
	return status;
}

/* --- the commands of all programs ------------------------------------------------------------ */

static void command_info(void *data, const char *argument, struct vhu_control_request *request)
{
	const struct group *group = data;
	const struct vhu_program *program = group->run->program;
	const struct vhu_endpoint *endpoint = &group->endpoint;
	const char *path = endpoint->connect ? endpoint->connect : endpoint->socket_path;
	FILE *out = vhu_control_out(request);

	(void)argument;
	fprintf(out, ", \"program\": \"%s\", \"version\": \"%s\", \"type\": \"%s\"",
		program->name, VHU_RELEASE, program->type);
	if (path) {
		fputs(", \"socket\": ", out);
		vhu_json_put_text(out, path);
	}
	fprintf(out, ", \"connected\": %s",
		vhu_daemon_is_connected(group->run->daemon, group->device) ? "true" : "false");
	vhu_control_answer(request);
}

static void command_log_level(void *data, const char *argument,
			      struct vhu_control_request *request)
{
	enum vhu_log_level level;

	(void)data;
	if (vhu_log_parse_level(argument, &level) < 0) {
		vhu_control_refuse(request, "'%s' is no level: it must be error, warning, info or "
				   "debug", argument);
		return;
	}
	vhu_log_set_level(level);
	vhu_control_answer(request);
}

static void command_stats(void *data, const char *argument, struct vhu_control_request *request)
{
	const struct group *group = data;

	(void)argument;
	fputs(", \"stats\": ", vhu_control_out(request));
	group->run->program->print_stats(group->device, vhu_control_out(request));
	vhu_control_answer(request);
}

/* The last one is for a device that counts. */
static const struct vhu_control_command commands[] = {
	{ "info", NULL, "the program, its socket, and whether a front-end is connected",
	  command_info },
	{ "log-level", "LEVEL", "what the process tells: error, warning, info or debug",
	  command_log_level },
	{ "stats", NULL, "the counters, as SIGUSR1 prints them", command_stats },
};

static int add_device(struct run *run, unsigned i)
{
	const struct vhu_program *program = run->program;
	struct group *group = &run->groups[i];
	int r = program->make(group->options, &group->device);

	if (r < 0)
		return r;
	group->endpoint.commands[0] = (struct vhu_control_table){
		commands, ARRAY_SIZE(commands) - !program->print_stats, group };
	group->endpoint.commands[1] = (struct vhu_control_table){
		program->commands, program->n_commands, group->device };
	r = vhu_daemon_add(run->daemon, group->device, &group->endpoint);
	vhu_device_unref(group->device);
	return r;
}

/* One write a line: those of other threads do not mix with it. */
static void print_stats(const struct run *run)
{
	unsigned i;

	for (i = 0; i < run->n_groups && run->program->print_stats; i++) {
		char *line = NULL;
		size_t len;
		FILE *out = open_memstream(&line, &len);

		if (!out)
			return;
		run->program->print_stats(run->groups[i].device, out);
		putc('\n', out);
		if (fclose(out) == 0)
			fputs(line, stderr);
		free(line);
	}
}

static void on_stats_signal(void *data, uint32_t events)
{
	(void)events;
	print_stats(data);
}

static void on_signal(void *data, uint32_t events)
{
	const struct binding *binding = data;
	unsigned i;

	(void)events;
	for (i = 0; i < binding->run->n_groups; i++)
		binding->signal->fn(binding->run->groups[i].device);
}

static int bind_signals(struct run *run)
{
	const struct vhu_program *program = run->program;
	size_t i;
	int r = vhu_daemon_on_signal(run->daemon, SIGUSR1, on_stats_signal, run);

	run->bindings = calloc(program->n_signals + 1, sizeof(*run->bindings));
	if (!run->bindings)
		return -ENOMEM;
	for (i = 0; i < program->n_signals && r == 0; i++) {
		run->bindings[i] = (struct binding){ run, &program->signals[i] };
		r = vhu_daemon_on_signal(run->daemon, program->signals[i].signo, on_signal,
					 &run->bindings[i]);
	}
	return r;
}

/* Signals are taken first, so that no socket file is left when one comes. */
static int serve(struct run *run)
{
	unsigned i;
	int status, r = vhu_daemon_new(&run->daemon);

	if (r == 0)
		r = bind_signals(run);
	if (r < 0)
		vhu_error("cannot begin: %s", strerror(-r));
	for (i = 0; i < run->n_groups && r == 0; i++)
		r = add_device(run, i);
	if (r < 0)
		return EXIT_FAILURE;
	for (i = 0; i < run->n_groups && run->program->started; i++)
		run->program->started(run->groups[i].device);
	status = vhu_daemon_run(run->daemon);
	if (run->process.stats)
		print_stats(run);
	return status;
}

static int run_program(struct run *run, int argc, char **argv)
{
	int status;

	if (parse_groups(run, argc, argv) < 0)
		return EXIT_USAGE;
	vhu_log_set_level(run->process.log_level);
	status = check_options(run);
	if (status != VHU_PROGRAM_SERVE)
		return status;
	if (run->process.print_qemu_args)
		return print_qemu_args(run);
	status = check_endpoints(run);
	return status == VHU_PROGRAM_SERVE ? serve(run) : status;
}

int vhu_program_main(const struct vhu_program *program, int argc, char **argv)
{
	struct run run = { .program = program, .process.log_level = VHU_LOG_INFO };
	unsigned i;
	int status;

	vhu_log_set_program(program->name);
	if (answer(program, argc, argv))
		return EXIT_SUCCESS;
	status = run_program(&run, argc, argv);
	vhu_daemon_destroy(run.daemon);
	for (i = 0; i < run.n_groups; i++)
		free(run.groups[i].options);
	free(run.groups);
	free(run.bindings);
	return status;
}
