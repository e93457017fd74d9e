/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The way of a request takes no lock and allocates nothing: the real programs, preloaded with what
 * counts both on their workers, before and after many requests.
 */
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/base/num.h"
#include "common/frontend/inflight.h"
#include "common/frontend/log.h"
#include "tests/device/count_calls.h"
#include "tests/device/disk.h"

#define SKIPPED 77
/* The mapped image is looked at once in 2 MiB of reads, until it is found to be in memory. */
#define WARM_UP 6000u
#define REQUESTS 5000u
#define BATCH 12u

static struct counts *counts;

/* Of the scene's buffers. */
struct request {
	unsigned n_readable, n_writable;
	uint32_t used_len;
};

/* In batches, so that there is polling, sleeping and waking, and more than one in flight. */
static void run(struct scene *scene, const struct request *request, unsigned n)
{
	struct vhu_driver_used used;

	for (unsigned i = 0; i < n; i += BATCH) {
		for (unsigned k = 0; k < BATCH; k++) {
			assert_true(vhu_driver_add(&scene->driver, scene->buffers,
						   request->n_readable, request->n_writable,
						   k) >= 0);
			if (k % 4 == 0)
				assert_true(vhu_driver_kick(&scene->driver) >= 0);
		}
		assert_true(vhu_driver_kick(&scene->driver) >= 0);
		for (unsigned k = 0; k < BATCH; k++) {
			assert_int_equal(vhu_driver_wait(&scene->driver, &used), 0);
			assert_int_equal(used.len, request->used_len);
		}
		if (i % (100 * BATCH) == 0)
			sleep_ms(2);
	}
}

static void expect_none(struct scene *scene, const struct request *request)
{
	uint64_t allocations, locks;

	run(scene, request, WARM_UP);
	allocations = atomic_load(&counts->worker_allocations);
	locks = atomic_load(&counts->worker_locks);
	/* The counting works: a worker maps its arena at a start, and main locks its channel. */
	assert_int_not_equal(allocations, 0);
	assert_int_not_equal(atomic_load(&counts->other_locks), 0);
	run(scene, request, REQUESTS);
	assert_int_equal(atomic_load(&counts->worker_allocations), allocations);
	assert_int_equal(atomic_load(&counts->worker_locks), locks);
}

/* What reads of an image find once it is in memory. */
static void fill_image(const struct scene *scene)
{
	char *data = calloc(1, DATA_BYTES);
	int fd;

	if (!scene->target->image_bytes)
		return;
	fd = open(scene->program.image, O_WRONLY | O_CLOEXEC);
	for (off_t at = 0; at < (off_t)scene->target->image_bytes; at += DATA_BYTES)
		assert_int_equal(pwrite(fd, data, DATA_BYTES, at), DATA_BYTES);
	close(fd);
	free(data);
}

/* Reads, and on a disk writes, by tables and by descriptors of the ring. */
static void run_all(struct scene *scene)
{
	const struct target *target = scene->target;
	struct request request = { target->n_readable, target->n_writable, target->used_len };
	struct virtio_blk_outhdr *header;

	expect_none(scene, &request);
	scene->driver.indirect = false;
	expect_none(scene, &request);
	if (!target->n_readable)
		return;
	request = (struct request){ 2, 1, 1 };
	header = scene->buffers[0].host;
	header->type = VIRTIO_BLK_T_OUT;
	expect_none(scene, &request);
	scene->driver.indirect = true;
	expect_none(scene, &request);
}

static void requests(void **state)
{
	struct scene *scene = *state;

	fill_image(scene);
	scene_ring(scene);
	run_all(scene);
}

static void without_event_idx(void **state)
{
	struct scene *scene = *state;

	fill_image(scene);
	scene_ring_bits(scene, VHU_FRONTEND_FEATURES & ~VHU_BIT(VHU_F_RING_EVENT_IDX),
			VHU_FRONTEND_PROTOCOL_FEATURES);
	run_all(scene);
}

/* What is in flight is on record. */
static void with_a_record(void **state)
{
	struct scene *scene = *state;
	struct vhu_record record;

	fill_image(scene);
	scene_negotiate_bits(scene, VHU_FRONTEND_FEATURES,
			     VHU_FRONTEND_PROTOCOL_FEATURES |
				     VHU_BIT(VHU_PROTOCOL_F_INFLIGHT_SHMFD));
	assert_int_equal(vhu_frontend_get_record(&scene->frontend, 1, RING_SIZE, &record), 0);
	assert_int_equal(vhu_frontend_set_record(&scene->frontend, &record), 0);
	scene_driver(scene, &scene->driver, 0);
	scene->has_driver = true;
	scene_buffers(scene, scene->buffers);
	assert_int_equal(vhu_driver_start(&scene->driver), 0);
	run_all(scene);
	vhu_record_finish(&record);
}

/* A migration is under way. */
static void with_a_log(void **state)
{
	struct scene *scene = *state;
	struct vhu_frontend_log log;

	fill_image(scene);
	scene_ring_bits(scene, VHU_FRONTEND_FEATURES,
			VHU_FRONTEND_PROTOCOL_FEATURES | VHU_BIT(VHU_PROTOCOL_F_LOG_SHMFD));
	assert_int_equal(vhu_frontend_log_init(&log, &scene->frontend.guest, 0, 0), 0);
	assert_int_equal(vhu_frontend_set_log(&scene->frontend, &log), 0);
	assert_int_equal(vhu_frontend_set_logging(&scene->frontend, true), 0);
	assert_int_equal(vhu_driver_log(&scene->driver, true, scene->driver.used_gpa), 0);
	run_all(scene);
	assert_int_not_equal(vhu_frontend_log_count(&log), 0);
	vhu_frontend_log_finish(&log);
}

int main(int argc, char **argv)
{
	static const struct device_test tests[] = {
		DEVICE_TEST(requests, ON_BOTH | ON_IMAGE),
		DEVICE_TEST(without_event_idx, ON_BOTH | ON_MMAP),
		DEVICE_TEST(with_a_record, ON_BOTH | ON_MMAP),
		DEVICE_TEST(with_a_log, ON_BOTH | ON_MMAP),
	};
	const char *build = getenv("VHU_BUILD");
	char library[4096], file[] = "/tmp/vhu-counts.XXXXXX";
	int fd, failed;

	if (SLOWNESS > 1) {
		puts("a sanitizer has its own allocator and locks");
		return SKIPPED;
	}
	fd = mkstemp(file);
	if (fd < 0 || ftruncate(fd, sizeof(*counts)) < 0)
		return 1;
	counts = mmap(NULL, sizeof(*counts), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (counts == MAP_FAILED)
		return 1;
	snprintf(library, sizeof(library), "%s/tests/device/libcount-calls.so",
		 build ? build : ".");
	setenv("LD_PRELOAD", library, 1);
	setenv(COUNTS_ENV, file, 1);
	failed = run_device_tests(tests, ARRAY_SIZE(tests), argc, argv);
	unlink(file);
	return failed;
}
