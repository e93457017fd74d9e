/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What vhu-gpu's commands cost, without a virtual machine.
 *
 *	bench-gpu VHU-GPU [ROUNDS [MS]]
 *
 * Commands a second: RESOURCE_FLUSH, one at a time and 16 in flight. Then TRANSFER_TO_HOST_2D of
 * whole pictures, whose backing is in one piece, in 1,000 and in 16,384, each after the one that it
 * comes before in memory, so that none can be joined: GB/s, and against memcpy() of the same pieces
 * here, in turn. Each is measured ROUNDS times for MS milliseconds; the medians are printed, and
 * the least and the most of the ratios.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/virtio_gpu.h>

#include "common/base/fd.h"
#include "common/base/num.h"
#include "common/frontend/driver.h"

#define RING 64
#define DEPTH 16
#define ROUNDS_MAX 99
#define PIXEL_BYTES 4u
#define LARGEST (3840u * 2160 * PIXEL_BYTES)
#define ENTRIES_MAX 16384u
#define GUEST_BYTES (64u << 20)
#define RESOURCE 1

struct slot {
	struct vhu_guest_buffer request, response;
};

struct bench {
	struct vhu_frontend frontend;
	struct vhu_driver control;
	struct slot slots[DEPTH];
	struct vhu_guest_buffer pixels, table;
	char *copy;
	unsigned rounds;
	uint64_t ns;
};

struct pieces {
	uint32_t width, height, n;
};

_Noreturn static void die(const char *what, int r)
{
	fprintf(stderr, "bench-gpu: %s: %s\n", what, strerror(-r));
	exit(1);
}

static void must(int r, const char *what)
{
	if (r < 0)
		die(what, r);
}

static struct vhu_guest_buffer get_memory(struct bench *b, uint32_t len)
{
	struct vhu_guest_buffer buffer = vhu_guest_alloc(&b->frontend.guest, len, 4096);

	if (!buffer.host)
		die("memory", -ENOMEM);
	return buffer;
}

static void bench_open(struct bench *b, const char *path)
{
	struct vhu_frontend *frontend = &b->frontend;

	vhu_frontend_init(frontend);
	must(vhu_guest_add(&frontend->guest, 0, GUEST_BYTES), "memory");
	must(vhu_frontend_connect(frontend, path), "the socket");
	must(vhu_frontend_negotiate(frontend, VHU_FRONTEND_FEATURES,
				    VHU_FRONTEND_PROTOCOL_FEATURES), "negotiation");
	must(vhu_frontend_share_memory(frontend), "memory");
	must(vhu_driver_init(&b->control, frontend, 0, RING), "a ring");
	must(vhu_driver_start(&b->control), "a ring");
	for (unsigned i = 0; i < DEPTH; i++) {
		b->slots[i].request = get_memory(b, 256);
		b->slots[i].response = get_memory(b, 256);
	}
	b->pixels = get_memory(b, LARGEST);
	b->table = get_memory(b, ENTRIES_MAX * sizeof(struct virtio_gpu_mem_entry));
	b->copy = malloc(LARGEST);
	if (!b->copy)
		die("memory", -ENOMEM);
	memset(b->pixels.host, 1, LARGEST);
	memset(b->copy, 2, LARGEST);
}

static void add(struct bench *b, unsigned slot, const void *command, uint32_t bytes,
		uint32_t table_bytes)
{
	struct vhu_guest_buffer buffers[3] = { b->slots[slot].request };
	unsigned n = 1;

	memcpy(buffers[0].host, command, bytes);
	buffers[0].len = bytes;
	if (table_bytes) {
		buffers[n] = b->table;
		buffers[n++].len = table_bytes;
	}
	buffers[n] = b->slots[slot].response;
	must(vhu_driver_add(&b->control, buffers, n, 1, slot), "a command");
}

static unsigned reap(struct bench *b)
{
	struct vhu_driver_used used;
	const struct virtio_gpu_ctrl_hdr *response;

	must(vhu_driver_wait(&b->control, &used), "an answer");
	response = b->slots[used.token].response.host;
	if (le32toh(response->type) != VIRTIO_GPU_RESP_OK_NODATA) {
		fprintf(stderr, "bench-gpu: answer %#x\n", le32toh(response->type));
		exit(1);
	}
	return (unsigned)used.token;
}

static void command(struct bench *b, const void *command, uint32_t bytes, uint32_t table_bytes)
{
	add(b, 0, command, bytes, table_bytes);
	must(vhu_driver_kick(&b->control), "a kick");
	reap(b);
}

/* How often a second, with depth of them in flight. */
static double run(struct bench *b, const void *command, uint32_t bytes, unsigned depth)
{
	uint64_t start = vhu_now_ns(), n = 0, now;

	for (unsigned i = 0; i < depth; i++)
		add(b, i, command, bytes, 0);
	must(vhu_driver_kick(&b->control), "a kick");
	do {
		add(b, reap(b), command, bytes, 0);
		must(vhu_driver_kick(&b->control), "a kick");
		n++;
		now = vhu_now_ns();
	} while (now - start < b->ns);
	for (unsigned i = 0; i < depth; i++)
		reap(b);
	return (double)(n + depth) * 1e9 / (double)(vhu_now_ns() - start);
}

/* Piece i of a picture; the last one also has what is left over. */
static uint32_t piece(const struct pieces *p, uint32_t i, uint32_t *ret_offset)
{
	uint32_t bytes = p->width * p->height * PIXEL_BYTES, each = bytes / p->n;
	uint32_t last = bytes - each * (p->n - 1);

	*ret_offset = i == p->n - 1 ? 0 : last + (p->n - 2 - i) * each;
	return i == p->n - 1 ? last : each;
}

static void copy_once(struct bench *b, const struct pieces *p)
{
	char *to = b->copy;

	for (uint32_t i = 0; i < p->n; i++) {
		uint32_t offset, bytes = piece(p, i, &offset);

		memcpy(to, (const char *)b->pixels.host + offset, bytes);
		to += bytes;
	}
	/* The compiler must not know that nobody looks. */
	__asm__ volatile("" : : "r"(b->copy) : "memory");
}

static double run_copies(struct bench *b, const struct pieces *p)
{
	uint64_t start = vhu_now_ns(), n = 0, now;

	do {
		copy_once(b, p);
		n++;
		now = vhu_now_ns();
	} while (now - start < b->ns);
	return (double)n * 1e9 / (double)(now - start);
}

static void make_resource(struct bench *b, const struct pieces *p)
{
	struct virtio_gpu_mem_entry *table = b->table.host;
	const struct virtio_gpu_resource_create_2d create = {
		.hdr.type = htole32(VIRTIO_GPU_CMD_RESOURCE_CREATE_2D),
		.resource_id = htole32(RESOURCE),
		.format = htole32(VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM),
		.width = htole32(p->width),
		.height = htole32(p->height),
	};
	const struct virtio_gpu_resource_attach_backing attach = {
		.hdr.type = htole32(VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING),
		.resource_id = htole32(RESOURCE),
		.nr_entries = htole32(p->n),
	};

	for (uint32_t i = 0; i < p->n; i++) {
		uint32_t offset, bytes = piece(p, i, &offset);

		table[i] = (struct virtio_gpu_mem_entry){
			.addr = htole64(b->pixels.gpa + offset),
			.length = htole32(bytes),
		};
	}
	command(b, &create, sizeof(create), 0);
	command(b, &attach, sizeof(attach), p->n * (uint32_t)sizeof(*table));
}

static void drop_resource(struct bench *b)
{
	const struct virtio_gpu_resource_unref unref = {
		.hdr.type = htole32(VIRTIO_GPU_CMD_RESOURCE_UNREF),
		.resource_id = htole32(RESOURCE),
	};

	command(b, &unref, sizeof(unref), 0);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double median(double *values, unsigned n)
{
	qsort(values, n, sizeof(*values), compare);
	return values[n / 2];
}

static void bench_transfer(struct bench *b, const struct pieces *p)
{
	const struct virtio_gpu_transfer_to_host_2d transfer = {
		.hdr.type = htole32(VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D),
		.r = { 0, 0, htole32(p->width), htole32(p->height) },
		.resource_id = htole32(RESOURCE),
	};
	double ours[ROUNDS_MAX], theirs[ROUNDS_MAX], ratios[ROUNDS_MAX];
	double bytes = (double)p->width * p->height * PIXEL_BYTES, ratio;

	make_resource(b, p);
	for (unsigned i = 0; i < b->rounds; i++) {
		theirs[i] = run_copies(b, p);
		ours[i] = run(b, &transfer, sizeof(transfer), 2);
		ratios[i] = ours[i] / theirs[i];
	}
	drop_resource(b);
	ratio = median(ratios, b->rounds);
	printf("transfer %4ux%-4u %5u pieces: %9.0f a second, %6.2f GB/s; memcpy %6.2f GB/s; "
	       "ratio %.2f (%.2f to %.2f)\n", p->width, p->height, p->n, median(ours, b->rounds),
	       median(ours, b->rounds) * bytes / 1e9, median(theirs, b->rounds) * bytes / 1e9,
	       ratio, ratios[0], ratios[b->rounds - 1]);
	fflush(stdout);
}

static void bench_commands(struct bench *b, unsigned depth)
{
	const struct pieces p = { 64, 64, 1 };
	const struct virtio_gpu_resource_flush flush = {
		.hdr.type = htole32(VIRTIO_GPU_CMD_RESOURCE_FLUSH),
		.r = { 0, 0, htole32(64), htole32(64) },
		.resource_id = htole32(RESOURCE),
	};
	double values[ROUNDS_MAX];

	make_resource(b, &p);
	for (unsigned i = 0; i < b->rounds; i++)
		values[i] = run(b, &flush, sizeof(flush), depth);
	drop_resource(b);
	printf("commands, %2u in flight: %9.0f a second\n", depth, median(values, b->rounds));
	fflush(stdout);
}

static pid_t start(const char *program, const char *path)
{
	pid_t pid = fork();

	if (pid < 0)
		die("fork", -errno);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execl(program, program, "--socket", path, "--log-level",
		      "warning", (char *)NULL);
		_exit(127);
	}
	return pid;
}

static int finish(struct bench *b, pid_t pid)
{
	int status;

	vhu_driver_finish(&b->control);
	vhu_frontend_finish(&b->frontend);
	free(b->copy);
	kill(pid, SIGTERM);
	if (waitpid(pid, &status, 0) < 0 || !WIFEXITED(status) || WEXITSTATUS(status)) {
		fprintf(stderr, "bench-gpu: vhu-gpu did not end well\n");
		return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	static const uint32_t sizes[][2] = { { 64, 64 }, { 1920, 1080 }, { 3840, 2160 } };
	static const uint32_t pieces[] = { 1, 1000, ENTRIES_MAX };
	struct bench b = {
		.rounds = argc > 2 ? (unsigned)atoi(argv[2]) : 9,
		.ns = (argc > 3 ? (uint64_t)atoi(argv[3]) : 200) * 1000000u,
	};
	char dir[] = "/tmp/bench-gpu.XXXXXX", path[sizeof(dir) + 16];
	pid_t pid;
	int r;

	if (argc < 2 || b.rounds < 1 || b.rounds > ROUNDS_MAX) {
		fprintf(stderr, "usage: bench-gpu VHU-GPU [ROUNDS [MS]]\n");
		return 2;
	}
	if (!mkdtemp(dir))
		die(dir, -errno);
	snprintf(path, sizeof(path), "%s/gpu.sock", dir);
	pid = start(argv[1], path);
	bench_open(&b, path);
	bench_commands(&b, 1);
	bench_commands(&b, DEPTH);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		for (size_t k = 0; k < ARRAY_SIZE(pieces); k++) {
			const struct pieces p = { sizes[i][0], sizes[i][1], pieces[k] };

			bench_transfer(&b, &p);
		}
	}
	r = finish(&b, pid);
	unlink(path);
	rmdir(dir);
	return r;
}
