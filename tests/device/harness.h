/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_TESTS_DEVICE_HARNESS_H
#define VHU_TESTS_DEVICE_HARNESS_H

/*
 * Tests of whole programs: each test has a fresh one, a folder of its own, and a front-end of ours
 * to misbehave with. What every test ends with is done here: the program still lives, serves a
 * well-behaved front-end, has as many open fds as before, ends cleanly on SIGTERM, and no sanitizer
 * has complained.
 *
 * Functions without a result assert; they are for the test's own thread.
 */

#include "common/frontend/driver.h"
#include "common/frontend/frontend.h"
#include "tests/device/program.h"

#define RING_SIZE 64
#define REQUEST_BUFFERS 3

/* What a test is run against: a program and a request that it answers. */
struct target {
	const char *name;
	const char *path;   /* below VHU_BUILD, or absolute */
	const char *parent; /* of the test's folder */
	/* NULL-terminated; a leading DIR/ stands for the test's folder. */
	const char *const *args;
	uint64_t image_bytes; /* of the file DIR/image, made before the start; 0: none */
	unsigned n_queues, queue_size_max;
	bool has_config;
	unsigned n_readable, n_writable;
	uint32_t lengths[REQUEST_BUFFERS];
	uint32_t used_len; /* of the request when it is served */
};

extern const struct target rng_target;
extern const struct target null_target; /* vhu-blk that answers at once, 4 queues */
/* vhu-blk with an image, 8 queues: on tmpfs by mmap, elsewhere by sync, and one to be read only. */
#define IMAGE_SERIAL "vhu-test-0123456789"
#define IMAGE_BYTES (32u << 20)
extern const struct target mmap_target;
extern const struct target sync_target;
extern const struct target read_only_target;

struct scene {
	const struct target *target;
	uint64_t ring_features; /* negotiated beside what the test asks for: its layout */
	struct program program;
	unsigned idle_fds;
	struct vhu_frontend frontend; /* the one that misbehaves */
	struct vhu_driver driver;
	bool has_driver;
	struct vhu_guest_buffer buffers[REQUEST_BUFFERS];
};

/* Each connects anew. negotiate: with memory; ring: with queue 0 of RING_SIZE running. */
void scene_connect(struct scene *scene);
void scene_negotiate(struct scene *scene);
void scene_negotiate_bits(struct scene *scene, uint64_t features, uint64_t protocol_features);
void scene_ring(struct scene *scene);
void scene_ring_bits(struct scene *scene, uint64_t features, uint64_t protocol_features);
/* The program's open fds, once it is done with what it was told. */
unsigned scene_fds(struct scene *scene);
/* A driver for that queue, not started; of a frontend that has negotiated. */
void scene_driver(struct scene *scene, struct vhu_driver *driver, uint32_t index);
/* Memory for the target's request. */
void scene_buffers(struct scene *scene, struct vhu_guest_buffer buffers[REQUEST_BUFFERS]);

/* Adds the target's request; returns its head. */
int scene_add(struct scene *scene, struct vhu_driver *driver, uint64_t token);
/* One request on the ring, served as it should be. */
void scene_io(struct scene *scene, struct vhu_driver *driver);
/* Waits for n requests that were added. */
void scene_collect(struct scene *scene, struct vhu_driver *driver, unsigned n);
/* Makes the ring one that cannot be read on; the back-end sees it at the next kick or publish. */
void scene_break(struct scene *scene, struct vhu_driver *driver);
/* Nothing is used within some time. */
void scene_expect_silence(struct vhu_driver *driver);
/* A well-behaved front-end is served, from connection to disconnection. */
void scene_serves(struct scene *scene);
/* The program ended the session, and goes on. */
void scene_expect_closed(struct scene *scene);

/* As vhu_frontend_send(), with flags as they stand and the size of the payload. */
void send_raw(struct vhu_frontend *frontend, uint32_t request, uint32_t flags, const void *payload,
	      uint32_t size, const int *fds, unsigned n_fds);
/* -EREMOTEIO with need_reply; the session goes on. */
void expect_refused(struct vhu_frontend *frontend, int result);
/* An eventfd with that count; flags of eventfd(2). */
int make_eventfd(uint64_t count, int flags);
/* A memfd of size bytes. */
int make_memfd(uint64_t size);

/* A test and what it runs against: each of its targets with split and with packed rings. */
enum {
	ON_RNG = 1,
	ON_BLK = 2,
	ON_BOTH = ON_RNG | ON_BLK,
	ON_MMAP = 4,
	ON_SYNC = 8,
	ON_IMAGE = ON_MMAP | ON_SYNC,
	ON_READ_ONLY = 16,
	SPLIT_ONLY = 0x100,
};
struct device_test {
	const char *name;
	void (*fn)(void **state);
	unsigned targets;
};
#define DEVICE_TEST(fn, targets) { #fn, fn, targets }

/* Runs them all, or those whose names fit argv[1]. Returns the exit status. */
int run_device_tests(const struct device_test *tests, size_t n, int argc, char **argv);

#endif
