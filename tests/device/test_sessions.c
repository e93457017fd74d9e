/* SPDX-License-Identifier: BSD-3-Clause */
/* A thousand sessions, half of them cut off: memory and open fds are as before. */
#include <string.h>

#include "common/base/num.h"
#include "tests/device/harness.h"

#define WARM_UP 100
#define SESSIONS 1000
/* Of a thousand sessions together: less than a page each. */
#define GROWTH_KIB 512

/* Gone amid a message, a stop, a start, or requests. */
static void cut_off(struct scene *scene, unsigned how)
{
	const struct vhu_vring_state index = { 0, 0 };
	struct vhu_frontend *frontend = &scene->frontend;

	switch (how % 4) {
	case 0:
		assert_int_equal(vhu_frontend_send_bytes(frontend, &index, 5, NULL, 0), 0);
		break;
	case 1:
		send_raw(frontend, VHU_GET_VRING_BASE, VHU_VERSION, &index, sizeof(index), NULL,
			 0);
		break;
	case 2:
		while (scene_add(scene, &scene->driver, 0) >= 0)
			;
		vhu_driver_kick(&scene->driver);
		break;
	default:
		send_raw(frontend, VHU_SET_BACKEND_REQ_FD, VHU_VERSION, NULL, 0, &frontend->fd, 0);
		break;
	}
	vhu_frontend_disconnect(frontend);
}

static void have_sessions(struct scene *scene, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		scene_ring(scene);
		scene_io(scene, &scene->driver);
		if (i % 2) {
			cut_off(scene, i / 2);
		} else {
			assert_int_equal(vhu_driver_stop(&scene->driver), 0);
			vhu_frontend_disconnect(&scene->frontend);
		}
	}
	program_wait_fds(&scene->program, scene->idle_fds);
}

static void thousand_sessions_leave_nothing(void **state)
{
	struct scene *scene = *state;
	unsigned before_kib, after_kib;

	have_sessions(scene, WARM_UP);
	before_kib = program_rss_kib(&scene->program);
	have_sessions(scene, SESSIONS);
	after_kib = program_rss_kib(&scene->program);
	print_message("%u KiB before, %u KiB after\n", before_kib, after_kib);
	/* Sanitizers keep what was freed. */
	if (SLOWNESS == 1)
		assert_true(after_kib < before_kib + GROWTH_KIB);
}

int main(int argc, char **argv)
{
	static const struct device_test tests[] = {
		DEVICE_TEST(thousand_sessions_leave_nothing, ON_BOTH | ON_IMAGE),
	};

	return run_device_tests(tests, ARRAY_SIZE(tests), argc, argv);
}
