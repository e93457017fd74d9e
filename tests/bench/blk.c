/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * vhu-blk and its peers in turn, over one image, through our own front-end: A B C A B C, so that
 * what else the machine does meets all of them. See --help.
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "common/base/num.h"
#include "common/serve/options.h"
#include "tests/bench/blk_load.h"
#include "tests/bench/blk_process.h"
#include "tests/bench/blk_report.h"

#define EXIT_USAGE 2
#define BACKENDS_MAX 16
#define WORKLOADS_MAX 64
#define FILL_BYTES (1u << 20)

#define QEMU_STORAGE_DAEMON(aio) \
	"qemu-storage-daemon --object iothread,id=thread " \
	"--blockdev driver=file,node-name=disk,filename={file},aio=" aio " " \
	"--export vhost-user-blk,id=export,node-name=disk,writable=on,num-queues={queues}," \
	"iothread=thread,addr.type=unix,addr.path={socket}"

struct backend {
	const char *name;
	const char *command;
};

static const struct backend known_backends[] = {
	{ "vhu-blk", "{vhu-blk} --socket {socket} --file {file} --engine {engine}" },
	{ "qemu-io_uring", QEMU_STORAGE_DAEMON("io_uring") },
	{ "qemu-threads", QEMU_STORAGE_DAEMON("threads") },
};

static const char usual_workloads[] =
	"randread:4096:1:1:sleep,randread:4096:32:1:sleep,randread:4096:128:1:sleep,"
	"randwrite:4096:1:1:sleep,randwrite:4096:32:1:sleep,randwrite:4096:128:1:sleep,"
	"read:128K:32:1:sleep,write:128K:32:1:sleep,randread:4096:32:2:sleep,"
	"randread:4096:1:1:poll,randread:4096:32:1:poll,randread:4096:128:2:poll";

static const char *const image_words[] = { "both", "tmpfs", "disk", NULL };
enum { IMAGES_BOTH, IMAGES_TMPFS, IMAGES_DISK };

struct options {
	const char *vhu_blk, *engine, *only, *dir;
	uint64_t image_bytes, reps, measure_ns, warm_up_ns;
	unsigned images, n_peers, n_workloads;
	struct backend peers[BACKENDS_MAX];
	struct workload workloads[WORKLOADS_MAX];
	bool json, help;
};

static int parse_peer(const struct vhu_option *option, void *field, const char *text,
		      const char **ret_why)
{
	struct options *options = field;
	const char *equals = strchr(text, '=');
	struct backend *peer = &options->peers[options->n_peers];

	(void)option;
	*ret_why = "NAME=COMMAND, with {socket} and {file} in the command";
	if (!equals || equals == text || !strstr(equals, "{socket}"))
		return -EINVAL;
	*ret_why = "given less often";
	if (options->n_peers == BACKENDS_MAX - ARRAY_SIZE(known_backends))
		return -E2BIG;
	peer->name = strndup(text, (size_t)(equals - text));
	peer->command = equals + 1;
	options->n_peers++;
	return peer->name ? 0 : -ENOMEM;
}

static int parse_workloads(const struct vhu_option *option, void *field, const char *text,
			   const char **ret_why)
{
	struct options *options = field;

	(void)option;
	*ret_why = "a list like randread:4096:32:1:sleep,write:128K:8:2:poll";
	options->n_workloads = 0;
	for (;; text++) {
		size_t len = strcspn(text, ",");

		if (options->n_workloads == WORKLOADS_MAX ||
		    workload_parse(text, len, &options->workloads[options->n_workloads]) < 0)
			return -EINVAL;
		options->n_workloads++;
		text += len;
		if (!*text)
			return 0;
	}
}

static int parse_seconds(const struct vhu_option *option, void *field, const char *text,
			 const char **ret_why)
{
	char *end;
	double seconds = strtod(text, &end);

	(void)option;
	*ret_why = "seconds from 0.01 to 600";
	if (end == text || *end || !(seconds >= 0.01 && seconds <= 600))
		return -EINVAL;
	*(uint64_t *)field = (uint64_t)(seconds * (double)NS_PER_SEC);
	return 0;
}

#define TO(field) offsetof(struct options, field)
static const struct vhu_option rows[] = {
	{ .name = "vhu-blk", .argument = "PATH",
	  .help = "our program; default: cli/vhu-blk of the build that VHU_BUILD names, or of our "
		  "own",
	  .parse = vhu_option_text, .offset = TO(vhu_blk) },
	{ .name = "engine", .argument = "NAME",
	  .help = "for vhu-blk; default auto",
	  .parse = vhu_option_text, .offset = TO(engine) },
	{ .name = "peer", .argument = "NAME=COMMAND", .repeats = true,
	  .help = "one more back-end: words with {socket}, {file} and {queues} in them, also "
		  "{vhu-blk} and {engine}; no shell reads them",
	  .parse = parse_peer },
	{ .name = "only", .argument = "NAMES",
	  .help = "leave out all but these back-ends, with commas between; known are vhu-blk, "
		  "qemu-io_uring, qemu-threads and the peers given. The first that is left is the "
		  "one that the others are compared with",
	  .parse = vhu_option_text, .offset = TO(only) },
	{ .name = "workloads", .argument = "LIST",
	  .help = "RW:BYTES:DEPTH:QUEUES:WAIT with commas between: randread, randwrite, read or "
		  "write; bytes of a request; requests in flight on each queue; queues; what "
		  "the client waits by: sleep or poll",
	  .parse = parse_workloads },
	{ .name = "images", .argument = "WHERE",
	  .help = "both (default), tmpfs (a file in /dev/shm), disk (a file in --dir)",
	  .parse = vhu_option_choice, .offset = TO(images), .words = image_words },
	{ .name = "dir", .argument = "DIR",
	  .help = "of the disk's image; default /var/tmp",
	  .parse = vhu_option_text, .offset = TO(dir) },
	{ .name = "size", .argument = "BYTES",
	  .help = "of the image, with a unit or without; default 256M",
	  .parse = vhu_option_size, .offset = TO(image_bytes), .min = 1 << 20,
	  .max = 1ull << 40 },
	{ .name = "reps", .argument = "N",
	  .help = "runs of each back-end, the medians of which are shown; default 5",
	  .parse = vhu_option_number, .offset = TO(reps), .min = 1, .max = RUNS_MAX },
	{ .name = "seconds", .argument = "S",
	  .help = "of each run; default 0.5",
	  .parse = parse_seconds, .offset = TO(measure_ns) },
	{ .name = "warm-up", .argument = "S",
	  .help = "before each run; default 0.3",
	  .parse = parse_seconds, .offset = TO(warm_up_ns) },
	{ .name = "json",
	  .help = "JSON with all runs, not a table of medians",
	  .parse = vhu_option_flag, .offset = TO(json) },
	{ .name = "help", .letter = 'h',
	  .help = "print this and exit",
	  .parse = vhu_option_flag, .offset = TO(help) },
};

struct image {
	const char *name;
	char path[256];
	int fd;
};

struct bench {
	struct options options;
	struct backend backends[BACKENDS_MAX];
	const char *names[BACKENDS_MAX];
	unsigned n_backends;
	int client_cpu, backend_cpu;
	char vhu_blk[512];
	char dir[40], socket[56], log[56];
	struct image images[2];
	unsigned n_images;
	struct result *results; /* of a row */
	bool failed;		/* the first back-end did */
};

static volatile sig_atomic_t interrupted;

static void interrupt(int signal)
{
	(void)signal;
	interrupted = 1;
}

/* Is the name among those of the list, with commas between? */
static bool is_listed(const char *list, const char *name)
{
	for (; list; list = strchr(list, ',')) {
		list += *list == ',';
		if (strcspn(list, ",") == strlen(name) && !strncmp(list, name, strlen(name)))
			return true;
	}
	return false;
}

static void add_backends(struct bench *bench, const struct backend *backends, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (bench->options.only && !is_listed(bench->options.only, backends[i].name))
			continue;
		bench->names[bench->n_backends] = backends[i].name;
		bench->backends[bench->n_backends++] = backends[i];
	}
}

static void find_vhu_blk(struct bench *bench)
{
	const char *build = getenv("VHU_BUILD");
	char self[400] = "";
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n > 0 && strrchr(self, '/'))
		*strrchr(self, '/') = '\0';
	if (bench->options.vhu_blk)
		snprintf(bench->vhu_blk, sizeof(bench->vhu_blk), "%s", bench->options.vhu_blk);
	else if (build)
		snprintf(bench->vhu_blk, sizeof(bench->vhu_blk), "%s/cli/vhu-blk", build);
	else
		snprintf(bench->vhu_blk, sizeof(bench->vhu_blk), "%s/../../cli/vhu-blk", self);
}

/* The first two CPUs that we may use: one is ours, one the back-ends'. */
static void pin(struct bench *bench)
{
	cpu_set_t allowed, ours;
	int found[2] = { NO_CPU, NO_CPU };
	unsigned n = 0;

	CPU_ZERO(&ours);
	if (sched_getaffinity(0, sizeof(allowed), &allowed) == 0)
		for (unsigned cpu = 0; cpu < CPU_SETSIZE && n < ARRAY_SIZE(found); cpu++)
			if (CPU_ISSET(cpu, &allowed))
				found[n++] = (int)cpu;
	bench->client_cpu = bench->backend_cpu = NO_CPU;
	if (n < ARRAY_SIZE(found))
		return;
	CPU_SET((unsigned)found[0], &ours);
	if (sched_setaffinity(0, sizeof(ours), &ours) < 0)
		return;
	bench->client_cpu = found[0];
	bench->backend_cpu = found[1];
}

/* Written all over: nobody is to be measured at holes. */
static int fill_image(const struct image *image, uint64_t bytes)
{
	cleanup_free char *data = malloc(FILL_BYTES);
	struct statfs fs;

	if (!data)
		return -ENOMEM;
	/* A full /dev/shm is felt by the whole machine. */
	if (fstatfs(image->fd, &fs) < 0 || fs.f_bavail < bytes / (uint64_t)fs.f_bsize)
		return -ENOSPC;
	for (size_t i = 0; i < FILL_BYTES; i++)
		data[i] = (char)(i * 7 + i / 251);
	for (uint64_t at = 0; at < bytes && !interrupted;) {
		ssize_t n = pwrite(image->fd, data, min_u64(FILL_BYTES, bytes - at), (off_t)at);

		if (n < 0)
			return -errno;
		at += (uint64_t)n;
	}
	if (interrupted)
		return -EINTR;
	return fsync(image->fd) < 0 ? -errno : 0;
}

static int add_image(struct bench *bench, const char *name, const char *dir)
{
	struct image *image = &bench->images[bench->n_images];
	int r;

	image->name = name;
	if (snprintf(image->path, sizeof(image->path), "%s/vhu-bench.XXXXXX", dir) >=
	    (int)sizeof(image->path))
		return -ENAMETOOLONG;
	image->fd = mkostemp(image->path, O_CLOEXEC);
	if (image->fd < 0) {
		r = -errno;
		vhu_error("%s: %s", dir, strerror(errno));
		return r;
	}
	bench->n_images++;
	r = fill_image(image, bench->options.image_bytes);
	if (r < 0)
		vhu_error("%s: cannot write the image: %s", dir, strerror(-r));
	return r;
}

static int add_images(struct bench *bench)
{
	const struct options *options = &bench->options;
	struct statfs fs;
	int r = 0;

	if (options->images != IMAGES_DISK)
		r = add_image(bench, "tmpfs", "/dev/shm");
	if (r == 0 && options->images != IMAGES_TMPFS) {
		if (statfs(options->dir, &fs) == 0 && fs.f_type == TMPFS_MAGIC)
			vhu_warning("%s is a tmpfs: what is called disk is none", options->dir);
		r = add_image(bench, "disk", options->dir);
	}
	return r;
}

static int set_up(struct bench *bench)
{
	struct sigaction action = { .sa_handler = interrupt };

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	pin(bench);
	find_vhu_blk(bench);
	bench->results = calloc(bench->n_backends, sizeof(*bench->results));
	strcpy(bench->dir, "/tmp/vhu-bench.XXXXXX");
	if (!bench->results || !mkdtemp(bench->dir)) {
		vhu_error("%s: %s", bench->dir, strerror(errno));
		bench->dir[0] = '\0';
		return -EIO;
	}
	snprintf(bench->socket, sizeof(bench->socket), "%s/socket", bench->dir);
	snprintf(bench->log, sizeof(bench->log), "%s/log", bench->dir);
	return add_images(bench);
}

static void clean_up(struct bench *bench)
{
	for (unsigned i = 0; i < bench->n_images; i++) {
		unlink(bench->images[i].path);
		close(bench->images[i].fd);
	}
	if (bench->dir[0]) {
		unlink(bench->socket);
		unlink(bench->log);
		rmdir(bench->dir);
	}
	for (unsigned i = 0; i < bench->options.n_peers; i++)
		free((char *)(uintptr_t)bench->options.peers[i].name);
	free(bench->results);
}

/* One back-end, from its start to its end. */
static int run_once(struct bench *bench, const struct image *image,
		    const struct workload *workload, unsigned backend,
		    struct figures *ret_figures, char *why, size_t why_size)
{
	char queues[8], end[240];
	const struct placeholder placeholders[] = {
		{ "vhu-blk", bench->vhu_blk }, { "engine", bench->options.engine },
		{ "socket", bench->socket },   { "file", image->path },
		{ "queues", queues },	       { NULL, NULL },
	};
	struct process process = { .log = bench->log };
	const struct load_setup setup = {
		.socket = bench->socket,
		.process = &process,
		.image_fd = image->fd,
		.workload = workload,
		.warm_up_ns = bench->options.warm_up_ns,
		.measure_ns = bench->options.measure_ns,
		.interrupted = &interrupted,
	};
	const char *what = "could not be started";
	int r, ended;

	snprintf(queues, sizeof(queues), "%u", workload->n_queues);
	unlink(bench->socket);
	r = load_prepare(&setup);
	if (r == 0)
		r = process_start(&process, bench->backends[backend].command, placeholders,
				  bench->backend_cpu);
	if (r < 0) {
		snprintf(why, why_size, "%s: %s", what, strerror(-r));
		return r;
	}
	r = load_run(&setup, ret_figures, &what);
	ended = process_end(&process, end, sizeof(end));
	if (r < 0 && ended < 0)
		snprintf(why, why_size, "%s; %s", what, end);
	else
		snprintf(why, why_size, "%s", r < 0 ? what : end);
	return r < 0 ? r : ended;
}

static void run_row(struct bench *bench, const struct image *image,
		    const struct workload *workload, const struct report_ops *report)
{
	unsigned n_runs = (unsigned)bench->options.reps;
	struct row row = {
		.image = image->name,
		.workload = workload,
		.n_backends = bench->n_backends,
		.n_runs = n_runs,
		.names = bench->names,
		.results = bench->results,
	};

	memset(bench->results, 0, bench->n_backends * sizeof(*bench->results));
	for (unsigned i = 0; i < n_runs * bench->n_backends && !interrupted; i++) {
		unsigned backend = i % bench->n_backends, run = i / bench->n_backends;
		struct result *result = &bench->results[backend];
		int r = run_once(bench, image, workload, backend, &result->runs[run],
				 result->failure, sizeof(result->failure));

		result->ok[run] = r == 0;
		result->n_failed += r < 0;
		bench->failed |= r < 0 && backend == 0;
	}
	if (!interrupted)
		report->row(&row);
}

static void run_all(struct bench *bench)
{
	const struct options *options = &bench->options;
	const struct report_ops *report = options->json ? &report_json : &report_markdown;
	const struct conditions conditions = {
		.n_runs = (unsigned)options->reps,
		.seconds = (double)options->measure_ns / (double)NS_PER_SEC,
		.image_bytes = options->image_bytes,
		.client_cpu = bench->client_cpu,
		.backend_cpu = bench->backend_cpu,
	};

	report->begin(&conditions);
	for (unsigned i = 0; i < bench->n_images; i++)
		for (unsigned w = 0; w < options->n_workloads && !interrupted; w++)
			run_row(bench, &bench->images[i], &options->workloads[w], report);
	report->end();
}

static int parse_options(struct options *options, int argc, char **argv)
{
	struct vhu_option_table table = { "Options", rows, ARRAY_SIZE(rows), options };
	const char *why;
	int used, r;

	*options = (struct options){
		.engine = "auto",
		.dir = "/var/tmp",
		.image_bytes = 256 << 20,
		.reps = 5,
		.measure_ns = NS_PER_SEC / 2,
		.warm_up_ns = 300 * NS_PER_MS,
	};
	parse_workloads(NULL, options, usual_workloads, &why);
	r = vhu_options_parse(argc, argv, &table, 1, &used);
	if (r == 0 && used != argc) {
		vhu_error("unknown option --next; --help lists them");
		r = -EINVAL;
	}
	if (r == 0 && options->help) {
		printf("Usage: bench-blk [--workloads LIST] [--peer NAME=COMMAND]...\n\n"
		       "Runs vhu-blk and peers in turn on one image, and prints medians and "
		       "ratios.\nThe exit code is 0 when the first back-end never failed.\n");
		vhu_options_help(&table, 1);
	}
	return r;
}

int main(int argc, char **argv)
{
	struct bench *bench = calloc(1, sizeof(*bench));
	int r;

	vhu_log_set_program("bench-blk");
	if (!bench)
		return EXIT_FAILURE;
	r = parse_options(&bench->options, argc, argv);
	add_backends(bench, known_backends, ARRAY_SIZE(known_backends));
	add_backends(bench, bench->options.peers, bench->options.n_peers);
	if (r == 0 && !bench->n_backends) {
		vhu_error("--only %s: no back-end has such a name", bench->options.only);
		r = -EINVAL;
	}
	if (r < 0 || bench->options.help) {
		clean_up(bench);
		free(bench);
		return r < 0 ? EXIT_USAGE : EXIT_SUCCESS;
	}
	r = set_up(bench);
	if (r == 0)
		run_all(bench);
	r = r < 0 || bench->failed || interrupted;
	clean_up(bench);
	free(bench);
	return r ? EXIT_FAILURE : EXIT_SUCCESS;
}
