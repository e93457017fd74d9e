/* SPDX-License-Identifier: BSD-3-Clause */
/* What no host gives out; the rest is for the device's tests. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/memory/map.h"
#include "devices/gpu/udmabuf.h"

/* A dma-buf has all its pages: one that postcopy is still to bring would be empty for ever. */
static void test_memory_that_is_to_come(void **state)
{
	const struct vhu_memory_region region = { .size = 1 << 16 };
	const struct vhu_gpu_range range = { .gpa = 4096, .bytes = 8192 };
	int fd = memfd_create("guest", MFD_CLOEXEC), r;
	struct vhu_memory *none, *memory;
	struct vhu_gpu_backing backing;

	(void)state;
	assert_int_equal(ftruncate(fd, 1 << 16), 0);
	assert_int_equal(vhu_memory_new(&none), 0);
	none->health->keeps_files = true;
	assert_int_equal(vhu_memory_with_region(none, &region, fd, &memory), 0);
	assert_int_equal(vhu_gpu_backing_init(&backing, &range, 1, memory), 0);
	memory->health->partial = true;
	assert_int_equal(vhu_gpu_udmabuf_new(&backing, memory), -EAGAIN);
	/* It is all there, but not sealed. */
	memory->health->partial = false;
	r = vhu_gpu_udmabuf_new(&backing, memory);
	assert_true(r < 0 && r != -EAGAIN);
	vhu_gpu_backing_finish(&backing);
	vhu_memory_unref(memory);
	vhu_memory_unref(none);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memory_that_is_to_come),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
