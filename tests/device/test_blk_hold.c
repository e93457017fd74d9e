/* SPDX-License-Identifier: BSD-3-Clause */
/* Two programs and one image, as a migration has them: only one of them has it at a time. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/num.h"
#include "common/frontend/log.h"
#include "common/frontend/state.h"
#include "tests/device/disk.h"

#define BITS \
	(VHU_FRONTEND_PROTOCOL_FEATURES | VHU_BIT(VHU_PROTOCOL_F_LOG_SHMFD) | \
	 VHU_BIT(VHU_PROTOCOL_F_DEVICE_STATE))
#define KEPT_OUT "is locked by process"

/* Where the guest goes to: another program for the image of the scene. */
struct there {
	struct scene scene;
	struct target target;
	const char *args[12];
};

static void there_start(struct there *there, const struct scene *here, const char *option)
{
	unsigned n = 0;

	memset(there, 0, sizeof(*there));
	there->target = *here->target;
	there->target.args = there->args;
	there->scene.target = &there->target;
	while (here->target->args[n]) {
		there->args[n] = here->target->args[n];
		if (!strcmp(there->args[n], "DIR/image"))
			there->args[n] = here->program.image;
		n++;
	}
	there->args[n] = option;
	program_init(&there->scene.program, there->target.parent);
	program_start(&there->scene.program, there->target.path, there->args);
	vhu_frontend_init(&there->scene.frontend);
	there->scene.frontend.timeout_ms = WAIT_MS;
	assert_true(vhu_guest_add(&there->scene.frontend.guest, 0, 64 << 20) >= 0);
}

/* How often it has said so. */
static unsigned said(const struct scene *scene, const char *what)
{
	char *text = program_said(&scene->program);
	unsigned n = 0;

	for (const char *at = text; (at = strstr(at, what)); at++)
		n++;
	free(text);
	return n;
}

static void there_end(struct there *there)
{
	if (there->scene.has_driver)
		vhu_driver_finish(&there->scene.driver);
	vhu_frontend_finish(&there->scene.frontend);
	assert_int_equal(said(&there->scene, "Sanitizer"), 0);
	assert_int_equal(said(&there->scene, "runtime error"), 0);
	assert_int_equal(program_end(&there->scene.program), 0);
	program_finish(&there->scene.program);
}

/* What QEMU's programs look at before they write. */
static bool is_locked(const struct scene *scene)
{
	cleanup_fd int fd = open(scene->program.image, O_RDWR | O_CLOEXEC);
	struct flock lock = { .l_type = F_WRLCK, .l_start = 100, .l_len = 104 };

	assert_int_equal(fcntl(fd, F_OFD_GETLK, &lock), 0);
	return lock.l_type != F_UNLCK;
}

static bool is_broken(struct scene *scene)
{
	uint64_t status;

	assert_int_equal(vhu_frontend_ask_u64(&scene->frontend, VHU_GET_STATUS, &status), 0);
	return status & VHU_STATUS_NEEDS_RESET;
}

static void ring(struct scene *scene)
{
	scene_ring_bits(scene, VHU_FRONTEND_FEATURES, BITS);
}

static void restart(struct scene *scene)
{
	assert_int_equal(vhu_driver_stop(&scene->driver), 0);
	assert_int_equal(vhu_driver_start(&scene->driver), 0);
}

/* Stopped as at the source of a migration. */
static void leave(struct scene *scene)
{
	assert_int_equal(vhu_frontend_set_logging(&scene->frontend, true), 0);
	assert_int_equal(vhu_driver_stop(&scene->driver), 0);
}

static void a_second_program_is_refused(void **state)
{
	struct scene *here = *state;
	struct there there;

	ring(here);
	there_start(&there, here, NULL);
	assert_int_equal(program_wait(&there.scene.program, WAIT_MS), EXIT_FAILURE);
	assert_int_equal(said(&there.scene, KEPT_OUT), 1);
	assert_int_equal(said(&there.scene, "end that first"), 1);
	vhu_frontend_finish(&there.scene.frontend);
	program_finish(&there.scene.program);
	scene_io(here, &here->driver);
}

static void a_guest_migrates_there_and_back(void **state)
{
	struct scene *here = *state;
	struct there there;

	ring(here);
	scene_io(here, &here->driver);
	there_start(&there, here, "--incoming");
	scene_negotiate_bits(&there.scene, VHU_FRONTEND_FEATURES, BITS);
	for (unsigned i = 0; i < 3; i++) {
		assert_true(is_locked(here));
		leave(here);
		assert_false(is_locked(here));
		ring(&there.scene);
		scene_io(&there.scene, &there.scene.driver);
		assert_true(is_locked(here));
		leave(&there.scene);
		assert_false(is_locked(here));
		ring(here);
		scene_io(here, &here->driver);
	}
	assert_int_equal(said(here, KEPT_OUT), 0);
	assert_int_equal(said(&there.scene, KEPT_OUT), 0);
	there_end(&there);
}

/* Both rings break, and one line says why. */
static void who_comes_too_early_waits(void **state)
{
	struct scene *here = *state;
	struct vhu_driver second;
	struct there there;
	uint64_t n;

	ring(here);
	there_start(&there, here, "--incoming");
	ring(&there.scene);
	scene_driver(&there.scene, &second, 1);
	assert_int_equal(vhu_driver_start(&second), 0);
	assert_true(is_broken(&there.scene));
	assert_int_equal(read(there.scene.driver.err_fd, &n, sizeof(n)), sizeof(n));
	assert_int_equal(read(second.err_fd, &n, sizeof(n)), sizeof(n));
	assert_int_equal(said(&there.scene, KEPT_OUT), 1);
	assert_int_equal(said(&there.scene, "no request is served until that has ended"), 1);
	assert_true(scene_add(&there.scene, &there.scene.driver, 0) >= 0);
	assert_true(vhu_driver_kick(&there.scene.driver) >= 0);
	scene_expect_silence(&there.scene.driver);
	scene_io(here, &here->driver);

	/* It stays so while a ring of that run is left. */
	leave(here);
	restart(&there.scene);
	assert_true(is_broken(&there.scene));
	assert_int_equal(read(there.scene.driver.err_fd, &n, sizeof(n)), sizeof(n));
	assert_int_equal(vhu_driver_stop(&second), 0);
	restart(&there.scene);
	assert_false(is_broken(&there.scene));
	scene_collect(&there.scene, &there.scene.driver, 1);
	assert_int_equal(said(&there.scene, KEPT_OUT), 1);

	/* And now the first cannot go on. */
	assert_int_equal(vhu_driver_start(&here->driver), 0);
	assert_true(is_broken(here));
	assert_int_equal(read(here->driver.err_fd, &n, sizeof(n)), sizeof(n));
	assert_int_equal(said(here, KEPT_OUT), 1);
	vhu_driver_finish(&second);
	there_end(&there);
	restart(here);
	assert_false(is_broken(here));
	scene_io(here, &here->driver);
}

/* A pause is no migration. */
static void who_is_only_stopped_keeps_it(void **state)
{
	struct scene *here = *state;
	struct there there;

	ring(here);
	scene_io(here, &here->driver);
	assert_int_equal(vhu_driver_stop(&here->driver), 0);
	assert_true(is_locked(here));
	there_start(&there, here, "--incoming");
	ring(&there.scene);
	assert_true(is_broken(&there.scene));
	/* The log was on, and is off again: the migration was given up. */
	assert_int_equal(vhu_driver_start(&here->driver), 0);
	assert_int_equal(vhu_frontend_set_logging(&here->frontend, true), 0);
	assert_int_equal(vhu_frontend_set_logging(&here->frontend, false), 0);
	assert_int_equal(vhu_driver_stop(&here->driver), 0);
	assert_true(is_locked(here));
	assert_int_equal(vhu_driver_start(&here->driver), 0);
	assert_false(is_broken(here));
	there_end(&there);
}

static void who_gave_its_state_away_lets_go(void **state)
{
	struct scene *here = *state;
	char bytes[65536];
	size_t len;

	ring(here);
	assert_int_equal(vhu_driver_stop(&here->driver), 0);
	assert_true(is_locked(here));
	assert_int_equal(vhu_frontend_save_state(&here->frontend, bytes, sizeof(bytes), &len), 0);
	assert_false(is_locked(here));
	/* The guest did not go after all. */
	assert_int_equal(vhu_driver_start(&here->driver), 0);
	assert_true(is_locked(here));
	scene_io(here, &here->driver);
}

/* It may not all be on disk. */
static void who_is_unsafe_keeps_it(void **state)
{
	struct scene *here = *state;
	struct there there;
	char bytes[65536];
	size_t len;

	assert_int_equal(program_end(&here->program), 0);
	there_start(&there, here, "--cache=unsafe");
	ring(&there.scene);
	scene_io(&there.scene, &there.scene.driver);
	assert_int_equal(vhu_driver_stop(&there.scene.driver), 0);
	assert_int_equal(vhu_frontend_save_state(&there.scene.frontend, bytes, sizeof(bytes),
						 &len),
			 0);
	assert_true(is_locked(here));
	/* A migration has it flushed at the stop. */
	assert_int_equal(vhu_driver_start(&there.scene.driver), 0);
	leave(&there.scene);
	assert_false(is_locked(here));
	there_end(&there);
}

static bool is_free(const struct scene *scene)
{
	uint64_t deadline_ns = vhu_now_ns() + WAIT_MS * NS_PER_MS;

	while (is_locked(scene) && vhu_now_ns() < deadline_ns)
		sleep_ms(1);
	return !is_locked(scene);
}

/* Since Linux 6.5; Debian 12's headers are older. */
#define NR_CACHESTAT 451

/* Pages of the image that are not on disk yet, or negative when the kernel cannot tell. */
static int64_t dirty_pages(const struct disk *disk)
{
	const struct { uint64_t offset, len; } all = { 0, 0 };
	struct { uint64_t cached, dirty, in_writeback, evicted, recently_evicted; } pages;

	if (syscall(NR_CACHESTAT, disk->image_fd, &all, &pages, 0) < 0)
		return -1;
	return (int64_t)(pages.dirty + pages.in_writeback);
}

/* The guest may go on on another machine, which does not see our page cache. */
static void what_was_written_is_on_disk_at_a_stop(void **state)
{
	struct scene *here = *state;
	struct disk disk;

	ring(here);
	disk_open(&disk, here);
	fill_pattern(disk.data.host, DATA_BYTES, 1);
	assert_int_equal(disk_run(&disk, VIRTIO_BLK_T_OUT, 0, DATA_BYTES, 0), 0);
	if (dirty_pages(&disk) > 0) {
		assert_int_equal(vhu_driver_stop(&here->driver), 0);
		assert_int_equal(dirty_pages(&disk), 0);
	}
	disk_close(&disk);
}

/* As when the QEMU of the source is killed. */
static void who_lost_its_front_end_lets_go(void **state)
{
	struct scene *here = *state;

	ring(here);
	assert_true(is_locked(here));
	vhu_frontend_disconnect(&here->frontend);
	assert_true(is_free(here));
	ring(here);
	assert_true(is_locked(here));
	scene_io(here, &here->driver);
}

/* Nobody is kept out, nor does anybody keep us out. */
static void who_does_not_lock_shares(void **state)
{
	struct scene *here = *state;
	struct there there;

	ring(here);
	there_start(&there, here, "--lock=off");
	ring(&there.scene);
	scene_io(&there.scene, &there.scene.driver);
	scene_io(here, &here->driver);
	there_end(&there);
}

int main(int argc, char **argv)
{
	static const struct device_test tests[] = {
		DEVICE_TEST(a_second_program_is_refused, ON_IMAGE | SPLIT_ONLY),
		DEVICE_TEST(a_guest_migrates_there_and_back, ON_IMAGE),
		DEVICE_TEST(who_comes_too_early_waits, ON_IMAGE),
		DEVICE_TEST(who_is_only_stopped_keeps_it, ON_IMAGE | SPLIT_ONLY),
		DEVICE_TEST(what_was_written_is_on_disk_at_a_stop, ON_SYNC | SPLIT_ONLY),
		DEVICE_TEST(who_gave_its_state_away_lets_go, ON_IMAGE | SPLIT_ONLY),
		DEVICE_TEST(who_is_unsafe_keeps_it, ON_IMAGE | SPLIT_ONLY),
		DEVICE_TEST(who_lost_its_front_end_lets_go, ON_IMAGE | SPLIT_ONLY),
		DEVICE_TEST(who_does_not_lock_shares, ON_IMAGE | SPLIT_ONLY),
	};

	return run_device_tests(tests, ARRAY_SIZE(tests), argc, argv);
}
