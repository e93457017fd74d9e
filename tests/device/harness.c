/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/device/harness.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/base/fd.h"
#include "common/base/num.h"

/* How long nothing has to happen until we believe that nothing will. */
#define SILENCE_MS 60
#define MEMORY_BYTES (64ull << 20)
/* Targets times layouts. */
#define VARIANTS 15

static const char *const no_args[] = { NULL };
static const char *const null_args[] = {
	"--engine", "null", "--size", "64M", "--num-queues", "4", NULL,
};

#define IMAGE_ARGS(engine) \
	"--file", "DIR/image", "--engine", engine, "--serial", IMAGE_SERIAL, "--num-queues", "8"
static const char *const mmap_args[] = { IMAGE_ARGS("mmap"), NULL };
static const char *const sync_args[] = { IMAGE_ARGS("sync"), NULL };
static const char *const read_only_args[] = { IMAGE_ARGS("auto"), "--read-only", NULL };

const struct target rng_target = {
	.name = "rng",
	.parent = "/tmp",
	.path = "tests/device/rng",
	.args = no_args,
	.n_queues = 1,
	.queue_size_max = 1024,
	.n_writable = 1,
	.lengths = { 64 },
	.used_len = 64,
};

#define BLK .path = "cli/vhu-blk", .queue_size_max = 1024, .has_config = true, .n_readable = 1, \
	    .n_writable = 2, .lengths = { 16, 512, 1 }
#define IMAGE BLK, .n_queues = 8, .used_len = 513, .image_bytes = IMAGE_BYTES

/* Its used length is that of the status alone: this engine moves nothing. */
const struct target null_target = {
	.name = "blk", BLK, .parent = "/tmp", .args = null_args, .n_queues = 4, .used_len = 1,
};
const struct target mmap_target = {
	.name = "mmap", IMAGE, .parent = "/dev/shm", .args = mmap_args,
};
const struct target sync_target = {
	.name = "sync", IMAGE, .parent = "/var/tmp", .args = sync_args,
};
const struct target read_only_target = {
	.name = "read_only", IMAGE, .parent = "/var/tmp", .args = read_only_args,
};

int make_eventfd(uint64_t count, int flags)
{
	int fd = eventfd(0, EFD_CLOEXEC | flags);

	assert_true(fd >= 0);
	if (count)
		assert_int_equal(write(fd, &count, sizeof(count)), sizeof(count));
	return fd;
}

int make_memfd(uint64_t size)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	return fd;
}

/* A scene: a program, and a front-end of ours. */

/* Nobody waits for a program that has failed. */
void scene_connect(struct scene *scene)
{
	struct vhu_frontend *frontend = &scene->frontend;
	uint64_t deadline_ns = vhu_now_ns() + WAIT_MS * NS_PER_MS;
	int timeout_ms = frontend->timeout_ms, r;

	vhu_frontend_disconnect(frontend);
	frontend->timeout_ms = 100;
	while ((r = vhu_frontend_connect(frontend, scene->program.socket)) < 0 &&
	       vhu_now_ns() < deadline_ns && program_lives(&scene->program))
		;
	frontend->timeout_ms = timeout_ms;
	if (r < 0 && !program_lives(&scene->program))
		print_error("%s", program_said(&scene->program));
	assert_int_equal(r, 0);
}

void scene_negotiate_bits(struct scene *scene, uint64_t features, uint64_t protocol_features)
{
	scene_connect(scene);
	assert_int_equal(vhu_frontend_negotiate(&scene->frontend, features | scene->ring_features,
						protocol_features),
			 0);
	assert_int_equal(vhu_frontend_share_memory(&scene->frontend), 0);
}

void scene_negotiate(struct scene *scene)
{
	scene_negotiate_bits(scene, VHU_FRONTEND_FEATURES, VHU_FRONTEND_PROTOCOL_FEATURES);
}

unsigned scene_fds(struct scene *scene)
{
	assert_int_equal(vhu_frontend_sync(&scene->frontend), 0);
	return program_fds(&scene->program);
}

void scene_driver(struct scene *scene, struct vhu_driver *driver, uint32_t index)
{
	assert_int_equal(vhu_driver_init(driver, &scene->frontend, index, RING_SIZE), 0);
}

void scene_buffers(struct scene *scene, struct vhu_guest_buffer buffers[REQUEST_BUFFERS])
{
	const struct target *target = scene->target;

	for (unsigned i = 0; i < target->n_readable + target->n_writable; i++) {
		buffers[i] = vhu_guest_alloc(&scene->frontend.guest, target->lengths[i], 16);
		assert_non_null(buffers[i].host);
		memset(buffers[i].host, 0, buffers[i].len);
	}
}

void scene_ring_bits(struct scene *scene, uint64_t features, uint64_t protocol_features)
{
	scene_negotiate_bits(scene, features, protocol_features);
	if (scene->has_driver)
		vhu_driver_finish(&scene->driver);
	scene->has_driver = false;
	scene->frontend.guest.regions[0].used_bytes = 0;
	scene_driver(scene, &scene->driver, 0);
	scene->has_driver = true;
	scene_buffers(scene, scene->buffers);
	assert_int_equal(vhu_driver_start(&scene->driver), 0);
}

void scene_ring(struct scene *scene)
{
	scene_ring_bits(scene, VHU_FRONTEND_FEATURES, VHU_FRONTEND_PROTOCOL_FEATURES);
}

int scene_add(struct scene *scene, struct vhu_driver *driver, uint64_t token)
{
	return vhu_driver_add(driver, scene->buffers, scene->target->n_readable,
			      scene->target->n_writable, token);
}

void scene_collect(struct scene *scene, struct vhu_driver *driver, unsigned n)
{
	struct vhu_driver_used used;

	while (n--) {
		assert_int_equal(vhu_driver_wait(driver, &used), 0);
		assert_int_equal(used.len, scene->target->used_len);
	}
}

void scene_io(struct scene *scene, struct vhu_driver *driver)
{
	assert_true(scene_add(scene, driver, 0) >= 0);
	assert_true(vhu_driver_kick(driver) >= 0);
	scene_collect(scene, driver, 1);
}

/* An index further ahead than the ring is long; a list of descriptors without an end. */
void scene_break(struct scene *scene, struct vhu_driver *driver)
{
	if (!(scene->frontend.acked_features & VHU_BIT(VHU_F_RING_PACKED))) {
		driver->split.avail_idx += RING_SIZE + 1;
		return;
	}
	assert_true(vhu_driver_add(driver, scene->buffers, 1, 0, 0) >= 0);
	driver->packed.held_flags |= VRING_DESC_F_NEXT;
}

void scene_expect_silence(struct vhu_driver *driver)
{
	struct vhu_driver_used used;

	sleep_ms(SILENCE_MS);
	assert_int_equal(vhu_driver_get(driver, &used), 0);
}

static void open_guest(struct vhu_frontend *frontend)
{
	vhu_frontend_init(frontend);
	frontend->timeout_ms = WAIT_MS;
	assert_true(vhu_guest_add(&frontend->guest, 0, MEMORY_BYTES) >= 0);
}

void scene_serves(struct scene *scene)
{
	struct scene good = {
		.target = scene->target,
		.ring_features = scene->ring_features,
		.program = scene->program,
	};

	open_guest(&good.frontend);
	scene_ring(&good);
	scene_io(&good, &good.driver);
	assert_int_equal(vhu_driver_stop(&good.driver), 0);
	assert_int_equal(good.driver.base, vhu_driver_idle_base(&good.driver));
	vhu_driver_finish(&good.driver);
	vhu_frontend_finish(&good.frontend);
}

void scene_expect_closed(struct scene *scene)
{
	assert_int_equal(vhu_frontend_wait_closed(&scene->frontend), 0);
	vhu_frontend_disconnect(&scene->frontend);
	assert_true(program_lives(&scene->program));
}

void send_raw(struct vhu_frontend *frontend, uint32_t request, uint32_t flags, const void *payload,
	      uint32_t size, const int *fds, unsigned n_fds)
{
	struct vhu_header header = { request, flags, size };
	int r = vhu_frontend_send(frontend, &header, payload, size, fds, n_fds);

	/* A program that has closed already is no failure of ours. */
	if (r != -ECONNRESET)
		assert_int_equal(r, 0);
}

void expect_refused(struct vhu_frontend *frontend, int result)
{
	assert_int_equal(result, -EREMOTEIO);
	assert_int_equal(vhu_frontend_sync(frontend), 0);
}

/* What every test begins and ends with. */

/* A target, and what its rings are. */
struct variant {
	const struct target *target;
	uint64_t ring_features;
};

static int setup(void **state)
{
	const struct variant *variant = *state;
	const struct target *target = variant->target;
	struct scene *scene = calloc(1, sizeof(*scene));

	assert_non_null(scene);
	*state = scene;
	scene->target = target;
	scene->ring_features = variant->ring_features;
	program_init(&scene->program, target->parent);
	if (target->image_bytes) {
		int fd = open(scene->program.image, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

		assert_true(fd >= 0);
		assert_int_equal(ftruncate(fd, (off_t)target->image_bytes), 0);
		close(fd);
	}
	program_start(&scene->program, target->path, target->args);
	open_guest(&scene->frontend);
	scene_serves(scene); /* threads and libraries have opened what they need */
	scene_connect(scene);
	scene->idle_fds = scene_fds(scene) - 1;
	vhu_frontend_disconnect(&scene->frontend);
	return 0;
}

/* Why the program did not end as it should, or NULL. */
static const char *check_end(struct scene *scene)
{
	static const char *const reports[] = { "Sanitizer", "runtime error", "Assertion" };
	char *said;
	const char *why = NULL;

	if (scene->program.pid && !program_lives(&scene->program))
		why = "the program has died";
	else if (scene->program.pid && program_end(&scene->program) != 0)
		why = "SIGTERM did not end the program with status 0 in time";
	said = program_said(&scene->program);
	for (size_t i = 0; i < ARRAY_SIZE(reports); i++)
		if (strstr(said, reports[i]))
			why = reports[i];
	if (why)
		fprintf(stderr, "%s\n%s", why, said);
	free(said);
	return why;
}

static int teardown(void **state)
{
	struct scene *scene = *state;
	bool ended = !scene->program.pid;
	const char *why;

	vhu_frontend_finish(&scene->frontend);
	if (scene->has_driver)
		vhu_driver_finish(&scene->driver);
	if (!ended && program_lives(&scene->program)) {
		program_wait_fds(&scene->program, scene->idle_fds);
		scene_serves(scene);
		program_wait_fds(&scene->program, scene->idle_fds);
	}
	why = check_end(scene);
	program_finish(&scene->program);
	free(scene);
	return why ? -1 : 0;
}

static const struct {
	const char *name;
	uint64_t features;
	unsigned excluded_by;
} layouts[] = {
	{ "", 0, 0 },
	{ "_packed", VHU_BIT(VHU_F_RING_PACKED), SPLIT_ONLY },
	{ "_in_order", VHU_BIT(VHU_F_IN_ORDER), 0 },
};

/* A name for each variant that the test is for. Returns how many there are. */
static size_t add_variants(const struct device_test *test, struct CMUnitTest *all,
			   struct variant *variants)
{
	static const struct target *const targets[] = {
		&rng_target, &null_target, &mmap_target, &sync_target, &read_only_target,
	};
	size_t n = 0;

	for (size_t i = 0; i < VARIANTS; i++) {
		size_t t = i % ARRAY_SIZE(targets), l = i / ARRAY_SIZE(targets);
		char *name;

		if (!(test->targets & 1u << t) || test->targets & layouts[l].excluded_by ||
		    asprintf(&name, "%s%s_%s", targets[t]->name, layouts[l].name, test->name) < 0)
			continue;
		variants[n] = (struct variant){ targets[t], layouts[l].features };
		all[n] = (struct CMUnitTest){ name, test->fn, setup, teardown, &variants[n] };
		n++;
	}
	return n;
}

int run_device_tests(const struct device_test *tests, size_t n, int argc, char **argv)
{
	struct CMUnitTest *all = calloc(VARIANTS * n, sizeof(*all));
	struct variant *variants = calloc(VARIANTS * n, sizeof(*variants));
	size_t n_all = 0;
	int failed;

	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < n; i++)
		n_all += add_variants(&tests[i], all + n_all, variants + n_all);
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	failed = _cmocka_run_group_tests("device", all, n_all, NULL, NULL);
	for (size_t i = 0; i < n_all; i++)
		free((char *)(uintptr_t)all[i].name);
	free(variants);
	free(all);
	return failed;
}
