/* SPDX-License-Identifier: BSD-3-Clause */
/* Packed rings as the front-end sets them up: sizes, bases, and when the layout is known. */
#include "common/base/cleanup.h"
#include "common/base/num.h"
#include "tests/device/harness.h"

/* A packed ring may have any size, and its base has both indices and both wrap counters. */
static void sizes_and_bases_of_packed_rings(void **state)
{
	struct scene *scene = *state;
	struct vhu_frontend *frontend = &scene->frontend;
	const uint32_t max = scene->target->queue_size_max;
	const uint32_t bad[] = { 0, max + 1, 0x80000000, 0xffffffff }, good[] = { 1, 3, max };
	static const uint32_t bases[] = { 0x80008000, 0xffffffff, 0 };
	uint32_t base;

	scene_negotiate_bits(scene, VHU_FRONTEND_FEATURES | VHU_BIT(VHU_F_RING_PACKED),
			     VHU_FRONTEND_PROTOCOL_FEATURES);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		expect_refused(frontend,
			       vhu_frontend_set_vring(frontend, VHU_SET_VRING_NUM, 0, bad[i]));
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_int_equal(
			vhu_frontend_set_vring(frontend, VHU_SET_VRING_NUM, 0, good[i]), 0);
	for (size_t i = 0; i < ARRAY_SIZE(bases); i++) {
		assert_int_equal(
			vhu_frontend_set_vring(frontend, VHU_SET_VRING_BASE, 0, bases[i]), 0);
		assert_int_equal(vhu_frontend_get_vring_base(frontend, 0, &base), 0);
		assert_int_equal(base, bases[i]);
	}
}

/* Size and base may come before SET_FEATURES says which layout it is: the start is judged. */
static void layout_counts_at_the_start(void **state)
{
	static const struct {
		uint32_t size, base;
		bool packed, fine;
	} cases[] = {
		{ 5, 0x80008000, true, true },	 { 5, 0x80048004, true, true },
		{ 5, 0x80058005, true, false },	 { 8, 7, false, true },
		{ 8, 0x80008000, false, false }, { 5, 0, false, false },
	};
	struct scene *scene = *state;
	struct vhu_frontend *frontend = &scene->frontend;
	struct vhu_guest_buffer areas;
	uint32_t base;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t features = VHU_BIT(VHU_F_VERSION_1) | VHU_BIT(VHU_F_PROTOCOL_FEATURES) |
				    (cases[i].packed ? VHU_BIT(VHU_F_RING_PACKED) : 0);
		struct vhu_vring_addr addr = { .index = 0 };
		cleanup_fd int fd = make_eventfd(0, 0);
		int r;

		scene_connect(scene);
		assert_int_equal(vhu_frontend_set_protocol_features(
					 frontend, VHU_BIT(VHU_PROTOCOL_F_REPLY_ACK)), 0);
		assert_int_equal(vhu_frontend_share_memory(frontend), 0);
		frontend->guest.regions[0].used_bytes = 0;
		areas = vhu_guest_alloc(&frontend->guest, 4096, 4096);
		addr.desc_uaddr = vhu_guest_uaddr(&frontend->guest, areas.gpa);
		addr.avail_uaddr = addr.desc_uaddr + 1024;
		addr.used_uaddr = addr.desc_uaddr + 2048;
		assert_int_equal(vhu_frontend_set_vring(frontend, VHU_SET_VRING_NUM, 0,
							cases[i].size), 0);
		assert_int_equal(vhu_frontend_set_vring(frontend, VHU_SET_VRING_BASE, 0,
							cases[i].base), 0);
		assert_int_equal(vhu_frontend_set_vring_addr(frontend, &addr), 0);
		assert_int_equal(vhu_frontend_set_features(frontend, features), 0);
		r = vhu_frontend_set_vring_fd(frontend, VHU_SET_VRING_KICK, 0, fd);
		if (cases[i].fine)
			assert_int_equal(r, 0);
		else
			expect_refused(frontend, r);
		assert_int_equal(vhu_frontend_get_vring_base(frontend, 0, &base), 0);
		assert_int_equal(base, cases[i].base);
	}
}

int main(int argc, char **argv)
{
	static const struct device_test tests[] = {
		DEVICE_TEST(sizes_and_bases_of_packed_rings, ON_BOTH | SPLIT_ONLY),
		DEVICE_TEST(layout_counts_at_the_start, ON_BOTH | SPLIT_ONLY),
	};

	return run_device_tests(tests, ARRAY_SIZE(tests), argc, argv);
}
