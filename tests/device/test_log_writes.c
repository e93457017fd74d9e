/* SPDX-License-Identifier: BSD-3-Clause */
/* The dirty log under load: each byte that the program writes lies on a marked page. */
#include <endian.h>
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/num.h"
#include "common/frontend/log.h"
#include "tests/device/disk.h"

#define PAGE 4096ull
#define LOG_PROTOCOL (VHU_FRONTEND_PROTOCOL_FEATURES | VHU_BIT(VHU_PROTOCOL_F_LOG_SHMFD))
/* A bit for each page of the guest's 64 MiB, and of as much behind it. */
#define LOG_BYTES (2 * (64ull << 20) / PAGE / 8)
/* Outside guest memory, and inside the log. */
#define USED_LOG_GPA ((64ull << 20) + 512)
#define USED_BYTES (6 + 8 * RING_SIZE)
#define AREA_BYTES 16384u
#define N_AREAS 16u

/*
 * A thread that keeps the ring busy with requests that write all over the guest's memory. As a
 * front-end does, it takes the marks out while the program puts some in.
 */
struct writer {
	struct scene *scene;
	struct vhu_frontend_log log;
	uint8_t taken[LOG_BYTES]; /* the marks that it has taken out */
	pthread_t thread;
	pthread_mutex_t lock;  /* held while it writes to memory */
	bool stop;	       /* atomic */
	unsigned generation;   /* atomic: odd while the log is on and has been said to be so */
	struct vhu_guest_buffer areas, headers;
	struct request {
		unsigned generation;
		uint64_t gpa;
		uint32_t len;
		bool busy;
	} requests[N_AREAS];
	unsigned n_busy, n_checked, n_unmarked;
	int error;
};

static void fill_image(const struct scene *scene)
{
	cleanup_fd int fd = open(scene->program.image, O_WRONLY | O_CLOEXEC);
	char *data = malloc(DATA_BYTES);

	fill_pattern(data, DATA_BYTES, 7);
	assert_int_equal(pwrite(fd, data, DATA_BYTES, 0), DATA_BYTES);
	free(data);
}

static void take_mark(struct writer *w, uint64_t gpa)
{
	if (vhu_frontend_log_take(&w->log, gpa))
		w->taken[gpa / PAGE / 8] |= (uint8_t)(1u << gpa / PAGE % 8);
}

static bool is_marked(const struct writer *w, uint64_t gpa)
{
	return vhu_frontend_log_has(&w->log, gpa) ||
	       w->taken[gpa / PAGE / 8] >> gpa / PAGE % 8 & 1;
}

/* A device that fills a buffer, or a disk that reads into two of them and a status. */
static int add_request(struct writer *w, unsigned i)
{
	bool is_disk = w->scene->target->n_readable;
	uint64_t area = w->areas.gpa + i * AREA_BYTES;
	uint32_t len = (uint32_t)(rand() % 16 + 1) * SECTOR, at = (uint32_t)rand() % 4096;
	struct virtio_blk_outhdr *header = (struct virtio_blk_outhdr *)w->headers.host + i;
	struct vhu_guest_buffer buffers[] = {
		{ w->headers.gpa + i * sizeof(*header), sizeof(*header), NULL },
		{ area + at, len, NULL },
		{ area + at + len, 1, NULL },
	};

	*header = (struct virtio_blk_outhdr){ .sector = htole64((uint64_t)rand() % 1024) };
	for (uint64_t gpa = area; gpa < area + AREA_BYTES; gpa += PAGE)
		take_mark(w, gpa);
	w->requests[i] = (struct request){
		.generation = __atomic_load_n(&w->generation, __ATOMIC_ACQUIRE),
		.gpa = area + at,
		.len = len + is_disk,
		.busy = true,
	};
	w->n_busy++;
	return vhu_driver_add(&w->scene->driver, &buffers[!is_disk], is_disk, is_disk ? 2 : 1, i);
}

/* A request that began and ended while the log was on. */
static void check_request(struct writer *w, struct request *request, uint32_t used_len)
{
	uint64_t last = request->gpa + (used_len ? used_len : 1) - 1;

	request->busy = false;
	w->n_busy--;
	if (request->generation % 2 == 0 ||
	    request->generation != __atomic_load_n(&w->generation, __ATOMIC_ACQUIRE))
		return;
	w->n_checked++;
	for (uint64_t gpa = request->gpa; gpa / PAGE <= last / PAGE; gpa += PAGE)
		w->n_unmarked += !vhu_frontend_log_has(&w->log, gpa);
}

static int write_some(struct writer *w)
{
	struct vhu_driver_used used;
	int r = 0;

	for (unsigned i = 0; i < N_AREAS && r >= 0; i++)
		if (!w->requests[i].busy && rand() % 2)
			r = add_request(w, i);
	if (r >= 0)
		r = vhu_driver_kick(&w->scene->driver);
	while (r >= 0 && w->n_busy) {
		r = vhu_driver_wait(&w->scene->driver, &used);
		if (r == 0)
			check_request(w, &w->requests[used.token], used.len);
		if (rand() % 4 == 0)
			break;
	}
	return r < 0 ? r : 0;
}

static void *run_writer(void *data)
{
	struct writer *w = data;

	while (w->error == 0 && !__atomic_load_n(&w->stop, __ATOMIC_RELAXED)) {
		pthread_mutex_lock(&w->lock);
		w->error = write_some(w);
		pthread_mutex_unlock(&w->lock);
		sched_yield();
	}
	return NULL;
}

static void writer_begin(struct writer *w, struct scene *scene)
{
	struct vhu_guest *guest = &scene->frontend.guest;

	*w = (struct writer){ .scene = scene };
	assert_int_equal(vhu_frontend_log_init(&w->log, guest, LOG_BYTES, PAGE), 0);
	assert_int_equal(vhu_frontend_set_log(&scene->frontend, &w->log), 0);
	w->areas = vhu_guest_alloc(guest, N_AREAS * AREA_BYTES, PAGE);
	w->headers = vhu_guest_alloc(guest, N_AREAS * sizeof(struct virtio_blk_outhdr), PAGE);
	assert_non_null(w->headers.host);
	pthread_mutex_init(&w->lock, NULL);
	assert_int_equal(pthread_create(&w->thread, NULL, run_writer, w), 0);
}

/* Leaves some requests in flight. */
static void writer_end(struct writer *w)
{
	__atomic_store_n(&w->stop, true, __ATOMIC_RELAXED);
	pthread_join(w->thread, NULL);
	pthread_mutex_destroy(&w->lock);
	assert_int_equal(w->error, 0);
	assert_int_equal(w->n_unmarked, 0);
	assert_true(w->n_checked > 0);
}

static void toggle(struct writer *w)
{
	__atomic_fetch_add(&w->generation, w->generation % 2, __ATOMIC_SEQ_CST);
	assert_int_equal(vhu_frontend_set_logging(&w->scene->frontend, false), 0);
	sleep_ms((unsigned)rand() % 3);
	assert_int_equal(vhu_frontend_set_logging(&w->scene->frontend, true), 0);
	assert_int_equal(vhu_driver_log(&w->scene->driver, true, USED_LOG_GPA), 0);
	__atomic_fetch_add(&w->generation, 1, __ATOMIC_SEQ_CST);
	sleep_ms((unsigned)rand() % 5);
}

static uint64_t memory_bytes(const struct scene *scene)
{
	return scene->frontend.guest.regions[0].used_bytes;
}

static bool is_within(uint64_t gpa, uint64_t start, uint64_t len)
{
	return gpa >= start && gpa - start < len;
}

static bool is_packed(const struct writer *w)
{
	return w->scene->frontend.acked_features & VHU_BIT(VHU_F_RING_PACKED);
}

/* What only the driver writes; a packed ring's descriptors are written by both, again and again. */
static bool is_drivers(const struct writer *w, uint64_t gpa)
{
	const struct vhu_driver *driver = &w->scene->driver;
	uint64_t desc_bytes = sizeof(struct vring_desc);

	if (!is_packed(w) && is_within(gpa, driver->desc_gpa, RING_SIZE * desc_bytes))
		return true;
	return is_within(gpa, driver->avail_gpa, is_packed(w) ? 4 : 2 * (RING_SIZE + 3)) ||
	       is_within(gpa, driver->tables_gpa, RING_SIZE * VHU_DRIVER_TABLE * desc_bytes) ||
	       is_within(gpa, w->headers.gpa, w->headers.len);
}

/* A used ring is marked where it was said to be, all else where it lies. */
static uint64_t marked_at(const struct writer *w, uint64_t gpa)
{
	uint64_t used_gpa = w->scene->driver.used_gpa;

	if (!is_packed(w) && is_within(gpa, used_gpa, USED_BYTES))
		return USED_LOG_GPA + (gpa - used_gpa);
	return gpa;
}

/* Each byte that is not what it was, and that the program has written, lies on a marked page. */
static unsigned check_memory(const struct writer *w, const uint8_t *before)
{
	const uint8_t *now = (uint8_t *)w->scene->frontend.guest.regions[0].host;
	unsigned n_changed = 0;

	for (uint64_t gpa = 0; gpa < memory_bytes(w->scene); gpa++) {
		if (before[gpa] == now[gpa] || is_drivers(w, gpa))
			continue;
		n_changed++;
		assert_true(is_marked(w, marked_at(w, gpa)));
	}
	return n_changed;
}

/* The descriptors lie on a page, the rest of the ring on the next. */
static void start_ring(struct scene *scene)
{
	scene_negotiate_bits(scene, VHU_FRONTEND_FEATURES, LOG_PROTOCOL);
	scene->frontend.guest.regions[0].used_bytes = PAGE - RING_SIZE * sizeof(struct vring_desc);
	scene_driver(scene, &scene->driver, 0);
	scene->has_driver = true;
	assert_int_equal(vhu_driver_start(&scene->driver), 0);
}

static void what_is_written_is_marked(void **state)
{
	struct scene *scene = *state;
	struct writer w;
	uint8_t *before;

	if (scene->target->image_bytes)
		fill_image(scene);
	start_ring(scene);
	writer_begin(&w, scene);
	before = malloc(memory_bytes(scene));
	for (unsigned i = 0; i < 60; i++)
		toggle(&w);
	pthread_mutex_lock(&w.lock);
	w.generation += 2; /* of what is in flight nothing can be said */
	/* In this order: what is marked late was written before the copy. */
	memset(w.taken, 0, sizeof(w.taken));
	vhu_frontend_log_clear(&w.log);
	memcpy(before, scene->frontend.guest.regions[0].host, memory_bytes(scene));
	pthread_mutex_unlock(&w.lock);
	sleep_ms(200);
	writer_end(&w);
	assert_int_equal(vhu_driver_stop(&scene->driver), 0);
	assert_true(check_memory(&w, before) > 0);
	free(before);
	vhu_frontend_log_finish(&w.log);
}

int main(int argc, char **argv)
{
	static const struct device_test tests[] = {
		DEVICE_TEST(what_is_written_is_marked, ON_RNG | ON_IMAGE),
	};

	return run_device_tests(tests, ARRAY_SIZE(tests), argc, argv);
}
