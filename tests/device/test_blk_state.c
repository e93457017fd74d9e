/* SPDX-License-Identifier: BSD-3-Clause */
/* The state of a disk, saved from one process and loaded into another; and transfers gone wrong. */
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/fd.h"
#include "common/base/num.h"
#include "tests/device/disk.h"

#define BITS (VHU_FRONTEND_PROTOCOL_FEATURES | VHU_BIT(VHU_PROTOCOL_F_DEVICE_STATE))
#define SAVE 0u
#define LOAD 1u
#define NO_FD (1ull << 8)
#define REFUSED (NO_FD | 1)
#define STATE_BYTES 65536

static uint64_t set_fd(struct vhu_frontend *frontend, uint32_t direction, uint32_t phase, int fd)
{
	struct vhu_transfer_state asked = { direction, phase };
	struct vhu_message reply;
	uint64_t value;

	assert_int_equal(vhu_frontend_call(frontend, VHU_SET_DEVICE_STATE_FD, &asked, sizeof(asked),
					   &fd, 1, &reply),
			 0);
	value = reply.payload.u64;
	assert_int_equal(reply.header.size, sizeof(value));
	assert_int_equal(reply.n_fds, 0);
	vhu_message_finish(&reply);
	return value;
}

static uint64_t check(struct vhu_frontend *frontend)
{
	uint64_t value;

	assert_int_equal(vhu_frontend_ask_u64(frontend, VHU_CHECK_DEVICE_STATE, &value), 0);
	return value;
}

static void make_pipe(int fds[2])
{
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
}

static size_t save(struct vhu_frontend *frontend, char *state)
{
	size_t len = 0;
	int fds[2];
	ssize_t n;

	make_pipe(fds);
	assert_int_equal(set_fd(frontend, SAVE, 0, fds[1]), NO_FD);
	close(fds[1]);
	while ((n = read(fds[0], state + len, STATE_BYTES - len)) > 0)
		len += (size_t)n;
	assert_int_equal(n, 0);
	close(fds[0]);
	assert_int_equal(check(frontend), 0);
	return len;
}

/* What CHECK says. */
static uint64_t load(struct vhu_frontend *frontend, const char *state, size_t len)
{
	int fds[2];

	make_pipe(fds);
	assert_int_equal(set_fd(frontend, LOAD, 0, fds[0]), NO_FD);
	close(fds[0]);
	assert_int_equal(write(fds[1], state, len), len);
	close(fds[1]);
	return check(frontend);
}

static uint8_t get_wce(struct vhu_frontend *frontend)
{
	uint8_t wce;

	assert_int_equal(vhu_frontend_get_config(frontend, offsetof(struct virtio_blk_config, wce),
						 &wce, 1),
			 0);
	return wce;
}

static void set_wce(struct vhu_frontend *frontend, uint8_t wce)
{
	assert_int_equal(vhu_frontend_set_config(frontend, offsetof(struct virtio_blk_config, wce),
						 0, &wce, 1),
			 0);
}

/* The queues' counters, as the program prints them; to be freed. */
static char *counters(const struct program *program)
{
	uint64_t end_ns = vhu_now_ns() + WAIT_MS * NS_PER_MS;
	char *before = program_said(program), *said, *line, *end;

	kill(program->pid, SIGUSR1);
	for (;;) {
		said = program_said(program);
		line = strstr(said + strlen(before), "\"queues\": ");
		end = line ? strstr(line, "]}") : NULL;
		if (end)
			break;
		free(said);
		assert_true(vhu_now_ns() < end_ns);
		sleep_ms(1);
	}
	end[1] = '\0';
	line = strdup(line);
	free(before);
	free(said);
	return line;
}

/* Leaves queue 0 stopped; what was counted differs from one counter to the next. */
static void work(struct scene *scene)
{
	struct disk disk;

	scene_ring_bits(scene, VHU_FRONTEND_FEATURES, BITS);
	disk_open(&disk, scene);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(disk_run(&disk, VIRTIO_BLK_T_OUT, i, 1024, 0), 0);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(disk_run(&disk, VIRTIO_BLK_T_IN, i, 0, 512), 0);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(disk_run(&disk, VIRTIO_BLK_T_FLUSH, 0, 0, 0), 0);
	assert_int_equal(disk_run(&disk, VIRTIO_BLK_T_IN, UINT32_MAX, 0, 512),
			 VIRTIO_BLK_S_IOERR);
	disk_close(&disk);
	assert_int_equal(vhu_driver_stop(&scene->driver), 0);
}

/* Another process for the same target, with an image of its own, and no ring yet. */
static void open_other(struct scene *other, const struct target *target)
{
	memset(other, 0, sizeof(*other));
	other->target = target;
	program_init(&other->program, target->parent);
	close(open(other->program.image, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
	assert_int_equal(truncate(other->program.image, (off_t)target->image_bytes), 0);
	program_start(&other->program, target->path, target->args);
	vhu_frontend_init(&other->frontend);
	other->frontend.timeout_ms = WAIT_MS;
	assert_true(vhu_guest_add(&other->frontend.guest, 0, 64 << 20) >= 0);
	scene_negotiate_bits(other, VHU_FRONTEND_FEATURES, BITS);
}

static void close_other(struct scene *other)
{
	if (other->has_driver)
		vhu_driver_finish(&other->driver);
	vhu_frontend_finish(&other->frontend);
	assert_int_equal(program_end(&other->program), 0);
	program_finish(&other->program);
}

static void moves_to_another_process(void **state)
{
	struct scene *scene = *state, other;
	char bytes[STATE_BYTES], again[STATE_BYTES];
	char *here, *there;
	size_t len;

	work(scene);
	set_wce(&scene->frontend, 0);
	len = save(&scene->frontend, bytes);
	open_other(&other, scene->target);
	assert_int_equal(get_wce(&other.frontend), 1);
	assert_int_equal(load(&other.frontend, bytes, len), 0);
	assert_int_equal(get_wce(&other.frontend), 0);
	here = counters(&scene->program);
	there = counters(&other.program);
	assert_string_equal(here, there);
	assert_non_null(strstr(here, "\"read_bytes\": "));
	assert_int_equal(save(&other.frontend, again), len);
	assert_memory_equal(again, bytes, len);
	free(here);
	free(there);

	/* The ring goes on there; the state survives its session and a reset of the device. */
	work(&other);
	assert_int_equal(vhu_frontend_tell(&other.frontend, VHU_RESET_DEVICE), 0);
	scene_negotiate_bits(&other, VHU_FRONTEND_FEATURES, BITS);
	assert_int_equal(get_wce(&other.frontend), 0);
	work(scene);
	here = counters(&scene->program);
	there = counters(&other.program);
	assert_string_equal(here, there);
	free(here);
	free(there);
	close_other(&other);
	set_wce(&scene->frontend, 1);
}

/* Migrations fail, and are tried again. */
static void again_and_again(void **state)
{
	struct scene *scene = *state;
	char bytes[STATE_BYTES];
	size_t len = 0;
	int fds[2];

	scene_negotiate_bits(scene, VHU_FRONTEND_FEATURES, BITS);
	for (unsigned i = 0; i < 20; i++) {
		len = save(&scene->frontend, bytes);
		assert_int_equal(load(&scene->frontend, bytes, len), 0);
	}
	/* Ended and never checked. */
	make_pipe(fds);
	assert_int_equal(set_fd(&scene->frontend, SAVE, 0, fds[1]), NO_FD);
	close(fds[1]);
	while (read(fds[0], bytes, sizeof(bytes)) > 0)
		;
	close(fds[0]);
	assert_int_equal(vhu_frontend_sync(&scene->frontend), 0);
	sleep_ms(20);
	len = save(&scene->frontend, bytes);
	assert_int_equal(load(&scene->frontend, bytes, len), 0);
}

static void bad_requests_are_refused(void **state)
{
	struct scene *scene = *state;
	struct vhu_frontend *frontend = &scene->frontend;
	unsigned n_fds;
	int fds[2];

	scene_negotiate_bits(scene, VHU_FRONTEND_FEATURES, BITS);
	make_pipe(fds);
	n_fds = scene_fds(scene);
	assert_int_not_equal(check(frontend), 0);
	assert_int_equal(set_fd(frontend, SAVE, 0, fds[0]), REFUSED);
	assert_int_equal(set_fd(frontend, LOAD, 0, fds[1]), REFUSED);
	assert_int_equal(set_fd(frontend, 2, 0, fds[1]), REFUSED);
	assert_int_equal(set_fd(frontend, UINT32_MAX, 0, fds[1]), REFUSED);
	assert_int_equal(set_fd(frontend, SAVE, 1, fds[1]), REFUSED);
	assert_int_not_equal(check(frontend), 0);
	assert_int_equal(scene_fds(scene), n_fds);

	/* One at a time. */
	assert_int_equal(set_fd(frontend, LOAD, 0, fds[0]), NO_FD);
	assert_int_equal(set_fd(frontend, SAVE, 0, fds[1]), REFUSED);
	assert_int_equal(set_fd(frontend, LOAD, 0, fds[0]), REFUSED);
	close(fds[0]);
	close(fds[1]);
	assert_int_not_equal(check(frontend), 0); /* nothing came */
	assert_int_not_equal(check(frontend), 0);
	program_wait_fds(&scene->program, n_fds);
}

static void rings_must_rest(void **state)
{
	struct scene *scene = *state;
	struct vhu_frontend *frontend = &scene->frontend;
	char bytes[STATE_BYTES];
	size_t len;
	int fds[2];

	scene_negotiate_bits(scene, VHU_FRONTEND_FEATURES, BITS);
	set_wce(frontend, 0);
	len = save(frontend, bytes);
	set_wce(frontend, 1);
	make_pipe(fds);
	scene_ring_bits(scene, VHU_FRONTEND_FEATURES, BITS);
	assert_int_equal(set_fd(frontend, SAVE, 0, fds[1]), REFUSED);
	assert_int_equal(set_fd(frontend, LOAD, 0, fds[0]), REFUSED);
	assert_int_equal(vhu_driver_stop(&scene->driver), 0);

	/* They start while it is under way: nothing is loaded. */
	assert_int_equal(set_fd(frontend, LOAD, 0, fds[0]), NO_FD);
	assert_int_equal(write(fds[1], bytes, len), len);
	assert_int_equal(vhu_driver_start(&scene->driver), 0);
	close(fds[0]);
	close(fds[1]);
	assert_int_not_equal(check(frontend), 0);
	assert_int_equal(get_wce(frontend), 1);
	scene_io(scene, &scene->driver);
}

static void what_is_no_state_is_refused(void **state)
{
	struct scene *scene = *state;
	struct vhu_frontend *frontend = &scene->frontend;
	char bytes[STATE_BYTES];
	size_t len;

	scene_negotiate_bits(scene, VHU_FRONTEND_FEATURES, BITS);
	set_wce(frontend, 0);
	len = save(frontend, bytes);
	set_wce(frontend, 1);
	for (size_t n = 0; n < len; n += n < 64 ? 1 : 97)
		assert_int_not_equal(load(frontend, bytes, n), 0);
	assert_int_not_equal(load(frontend, bytes, len + 1), 0);
	memcpy(bytes + 8, "gpu", 4);
	assert_int_not_equal(load(frontend, bytes, len), 0);
	assert_int_equal(get_wce(frontend), 1);
}

/* The front-end goes while its transfer hangs, first unasked, then with CHECK unanswered. */
static void a_session_that_goes(void **state)
{
	struct scene *scene = *state;
	int fds[2];

	make_pipe(fds);
	for (unsigned asked = 0; asked < 2; asked++) {
		scene_negotiate_bits(scene, VHU_FRONTEND_FEATURES, BITS);
		assert_int_equal(set_fd(&scene->frontend, LOAD, 0, fds[0]), NO_FD);
		if (asked)
			send_raw(&scene->frontend, VHU_CHECK_DEVICE_STATE, VHU_VERSION, NULL, 0,
				 NULL, 0);
		sleep_ms(20);
		vhu_frontend_disconnect(&scene->frontend);
		program_wait_fds(&scene->program, scene->idle_fds);
		scene_serves(scene);
	}
	close(fds[0]);
	close(fds[1]);
}

static void sigterm_in_the_middle(void **state)
{
	struct scene *scene = *state;
	int fds[2];

	make_pipe(fds);
	scene_negotiate_bits(scene, VHU_FRONTEND_FEATURES, BITS);
	assert_int_equal(set_fd(&scene->frontend, LOAD, 0, fds[0]), NO_FD);
	send_raw(&scene->frontend, VHU_CHECK_DEVICE_STATE, VHU_VERSION, NULL, 0, NULL, 0);
	sleep_ms(20);
	assert_int_equal(program_end(&scene->program), 0);
	close(fds[0]);
	close(fds[1]);
}

int main(int argc, char **argv)
{
	static const struct device_test tests[] = {
		DEVICE_TEST(moves_to_another_process, ON_IMAGE),
		DEVICE_TEST(again_and_again, ON_MMAP),
		DEVICE_TEST(bad_requests_are_refused, ON_MMAP),
		DEVICE_TEST(rings_must_rest, ON_MMAP),
		DEVICE_TEST(what_is_no_state_is_refused, ON_MMAP),
		DEVICE_TEST(a_session_that_goes, ON_MMAP),
		DEVICE_TEST(sigterm_in_the_middle, ON_MMAP),
	};

	return run_device_tests(tests, ARRAY_SIZE(tests), argc, argv);
}
