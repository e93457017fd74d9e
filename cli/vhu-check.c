/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/check/report.h"
#include "cli/check/runner.h"
#include "common/base/log.h"
#include "common/base/num.h"
#include "common/serve/options.h"

enum { EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_GONE = 3 };

struct options {
	const char *socket, *command, *only, *skip, *json;
	const char *device;
	uint64_t timeout_s;
	bool list, destructive, verbose, help, version;
};

#define TO(field) offsetof(struct options, field)
static const struct vhu_option rows[] = {
	{ .name = "exec", .argument = "CMD",
	  .help = "start the back-end by this shell command, in which {socket} stands for its "
		  "socket, and again whenever it has ended; in place of SOCKET",
	  .parse = vhu_option_text, .offset = TO(command) },
	{ .name = "device", .argument = "TYPE",
	  .help = "whose requests to make: auto (default), generic (none), blk, gpu, "
		  "rng, sound",
	  .parse = vhu_option_text, .offset = TO(device) },
	{ .name = "destructive",
	  .help = "also run the cases that write to the disk: its content is lost",
	  .parse = vhu_option_flag, .offset = TO(destructive) },
	{ .name = "only", .argument = "LIST",
	  .help = "run only these groups and cases, with commas between them",
	  .parse = vhu_option_text, .offset = TO(only) },
	{ .name = "skip", .argument = "LIST",
	  .help = "leave these groups and cases out",
	  .parse = vhu_option_text, .offset = TO(skip) },
	{ .name = "list",
	  .help = "print the cases and exit; with --verbose, also the sentences they test",
	  .parse = vhu_option_flag, .offset = TO(list) },
	{ .name = "timeout", .argument = "SECONDS",
	  .help = "how long to wait for an answer, 1 to 600; default 5",
	  .parse = vhu_option_number, .offset = TO(timeout_s), .min = 1, .max = 600 },
	{ .name = "json", .argument = "FILE",
	  .help = "write a report in JSON; - for standard output, and then no TAP",
	  .parse = vhu_option_text, .offset = TO(json) },
	{ .name = "verbose",
	  .help = "let what the back-end says through to standard error",
	  .parse = vhu_option_flag, .offset = TO(verbose) },
	{ .name = "help", .help = "print this and exit",
	  .parse = vhu_option_flag, .offset = TO(help) },
	{ .name = "version", .help = "print the version and exit",
	  .parse = vhu_option_flag, .offset = TO(version) },
};

static const struct vhu_option *find_row(const char *word)
{
	if (strncmp(word, "--", 2))
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (!strcmp(rows[i].name, word + 2))
			return &rows[i];
	return NULL;
}

/* Takes the word that belongs to no option out of argv. NULL: there is none. */
static const char *take_socket(int *argc, char **argv)
{
	for (int i = 1; i < *argc; i++) {
		const struct vhu_option *row = find_row(argv[i]);
		const char *word = argv[i];

		if (*word != '-') {
			memmove(&argv[i], &argv[i + 1], sizeof(*argv) * (size_t)(*argc - i));
			(*argc)--;
			return word;
		}
		i += row && row->argument;
	}
	return NULL;
}

static void print_help(void)
{
	static const struct vhu_option_table table = { "Options", rows, ARRAY_SIZE(rows), NULL };

	puts("Usage: vhu-check SOCKET [OPTION...]\n"
	     "       vhu-check --exec 'CMD {socket}' [OPTION...]\n\n"
	     "Holds a vhost-user back-end against the specifications, and reports in TAP.");
	vhu_options_help(&table, 1);
	puts("\nExit status: 0 no failure, 1 some failed, 2 a wrong command line, 3 the back-end\n"
	     "cannot be reached, or could not be brought back.");
}

static void print_list(const struct options *options)
{
	for (size_t g = 0; g < check_n_groups; g++) {
		const struct check_group *group = check_groups[g];

		printf("%s: %s\n", group->name, group->about);
		for (size_t i = 0; i < group->n; i++) {
			const struct check_case *one = &group->cases[i];

			printf("  %s  %-10s  %s%s\n", one->id, check_level_name(one->level),
			       one->title,
			       one->needs & CHECK_NEEDS_DESTRUCTIVE ? " (destructive)" : "");
			if (options->verbose)
				printf("          %s: \"%s\"\n", one->section, one->text);
		}
	}
}

static int parse(int argc, char **argv, struct options *ret_options)
{
	struct vhu_option_table table = { "Options", rows, ARRAY_SIZE(rows), ret_options };
	static const struct check_facts nothing;
	int used;

	*ret_options = (struct options){ .device = "auto", .timeout_s = 5, .only = "", .skip = "" };
	ret_options->socket = take_socket(&argc, argv);
	if (vhu_options_parse(argc, argv, &table, 1, &used) < 0 ||
	    check_list_valid(ret_options->only) < 0 || check_list_valid(ret_options->skip) < 0)
		return -EINVAL;
	if (ret_options->help || ret_options->version || ret_options->list)
		return 0;
	if (!ret_options->socket == !ret_options->command) {
		vhu_error("either SOCKET or --exec 'CMD {socket}' is needed; --help tells more");
		return -EINVAL;
	}
	if (ret_options->command && !strstr(ret_options->command, "{socket}")) {
		vhu_error("--exec '%s': there is no {socket} in it", ret_options->command);
		return -EINVAL;
	}
	if (!check_device_of(ret_options->device, &nothing)) {
		vhu_error("--device '%s': must be one of auto, generic, blk, gpu, rng, sound",
			  ret_options->device);
		return -EINVAL;
	}
	return 0;
}

static bool is_wanted(const struct options *options, const struct check_group *group,
		      const struct check_case *one)
{
	return (!*options->only || check_list_has(options->only, group, one)) &&
	       !check_list_has(options->skip, group, one);
}

static int choose(const struct options *options, struct check_report *report)
{
	size_t n = 0;

	for (size_t g = 0; g < check_n_groups; g++)
		n += check_groups[g]->n;
	report->rows = calloc(n, sizeof(*report->rows));
	if (!report->rows)
		return -ENOMEM;
	for (size_t g = 0; g < check_n_groups; g++) {
		const struct check_group *group = check_groups[g];

		for (size_t i = 0; i < group->n; i++)
			if (is_wanted(options, group, &group->cases[i]))
				report->rows[report->n_rows++] = (struct check_row){
					group, &group->cases[i], { .result = CHECK_NOT_RUN }
				};
	}
	return 0;
}

static void run_rows(struct check_runner *runner, struct check_report *report, FILE *tap)
{
	static char bail_out[100];
	bool goes_on = true;

	if (tap)
		check_tap_begin(report, tap);
	for (size_t i = 0; i < report->n_rows && goes_on; i++) {
		struct check_row *row = &report->rows[i];

		goes_on = check_runner_run(runner, row->one, &row->record);
		if (tap)
			check_tap_row(report, i, tap);
		if (goes_on && !(tap && ferror(tap)))
			continue;
		snprintf(bail_out, sizeof(bail_out),
			 check_interrupted ? "interrupted in %s" :
			 goes_on ? "the report cannot be written since %s" :
				   "the back-end has not come back after %s",
			 row->one->id);
		report->bail_out = bail_out;
		goes_on = false;
	}
	if (tap)
		check_tap_end(report, tap);
}

static int run(const struct options *options, struct check_runner *runner, FILE *json)
{
	struct check_report report = { .runner = runner };
	char why[2600];
	bool failed;

	if (choose(options, &report) < 0)
		return EXIT_GONE;
	runner->timeout_ms = (int)options->timeout_s * 1000;
	runner->destructive = options->destructive;
	runner->target.verbose = options->verbose;
	if (!check_runner_meet(runner, why, sizeof(why))) {
		vhu_error("the back-end cannot be reached: %s", why);
		free(report.rows);
		return EXIT_GONE;
	}
	runner->device = check_device_of(options->device, &runner->facts);
	run_rows(runner, &report, json == stdout ? NULL : stdout);
	if (json)
		check_json_write(&report, json);
	if (report.bail_out)
		vhu_error("%s", report.bail_out);
	failed = check_count(&report, CHECK_FAIL) || check_count(&report, CHECK_UNTRIED);
	free(report.rows);
	return report.bail_out ? EXIT_GONE : failed ? EXIT_FAILED : EXIT_SUCCESS;
}

static void interrupt(int signo)
{
	(void)signo;
	check_interrupted = 1;
}

static int run_all(const struct options *options)
{
	struct check_runner runner;
	FILE *json = NULL;
	int status = EXIT_GONE, r;

	if (options->json) {
		json = strcmp(options->json, "-") ? fopen(options->json, "we") : stdout;
		if (!json) {
			vhu_error("%s: %s", options->json, strerror(errno));
			return EXIT_USAGE;
		}
	}
	r = check_runner_init(&runner, options->socket, options->command);
	if (r < 0)
		vhu_error("cannot begin: %s", strerror(-r));
	else
		status = run(options, &runner, json);
	check_runner_finish(&runner);
	if (json && (ferror(json) || fclose(json))) {
		vhu_error("%s: the report cannot be written", options->json);
		status = EXIT_GONE;
	}
	return status;
}

int main(int argc, char **argv)
{
	struct options options;

	vhu_log_set_program("vhu-check");
	signal(SIGPIPE, SIG_IGN);
	signal(SIGINT, interrupt);
	signal(SIGTERM, interrupt);
	if (signal(SIGHUP, interrupt) == SIG_IGN) /* nohup(1) */
		signal(SIGHUP, SIG_IGN);
	if (parse(argc, argv, &options) < 0)
		return EXIT_USAGE;
	if (options.help)
		print_help();
	else if (options.version)
		puts("vhu-check " VHU_RELEASE);
	else if (options.list)
		print_list(&options);
	else
		return run_all(&options);
	return EXIT_SUCCESS;
}
