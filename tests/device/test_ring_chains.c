/* SPDX-License-Identifier: BSD-3-Clause */
/* Chains that break a rule, odd ones that break none, broken rings (virtio 1.3, 2.7 and 2.8). */
#include <endian.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "common/base/num.h"
#include "tests/device/harness.h"

#define MEMORY_END (64ull << 20)
#define NOWHERE (1ull << 50)

/* A chain of three as the driver wrote it, about to be spoilt. */
struct chain {
	struct element {
		__u64 *addr;
		uint32_t *len;
		uint16_t *flags, *next; /* packed: no next */
	} head, d[3];			/* in the ring; in the ring or in the indirect table */
	uint16_t index[3];		/* split: where these are */
};

static void set_addr(struct element *d, uint64_t gpa, uint32_t len)
{
	*d->addr = htole64(gpa);
	*d->len = htole32(len);
}

static void link_to(struct element *d, unsigned next)
{
	*d->flags |= htole16(VRING_DESC_F_NEXT);
	*d->next = htole16((uint16_t)next);
}

static void buffer_nowhere(struct chain *c)
{
	set_addr(&c->d[1], NOWHERE, 16);
}

static void buffer_past_the_end(struct chain *c)
{
	set_addr(&c->d[1], MEMORY_END - 15, 16);
}

static void buffer_wraps(struct chain *c)
{
	set_addr(&c->d[1], UINT64_MAX - 7, 16);
}

static void buffer_huge(struct chain *c)
{
	set_addr(&c->d[1], 0, UINT32_MAX);
}

static void status_nowhere(struct chain *c)
{
	set_addr(&c->d[2], NOWHERE, 1);
}

static void writable_first(struct chain *c)
{
	*c->d[0].flags |= htole16(VRING_DESC_F_WRITE);
}

static void loop_of_three(struct chain *c)
{
	link_to(&c->d[2], c->index[0]);
}

static void loop_of_one(struct chain *c)
{
	link_to(&c->d[1], c->index[1]);
}

static void next_past_the_ring(struct chain *c)
{
	link_to(&c->d[1], RING_SIZE);
}

static void next_far_away(struct chain *c)
{
	link_to(&c->d[0], 0xffff);
}

static void table_in_table(struct chain *c)
{
	*c->d[1].flags |= htole16(VRING_DESC_F_INDIRECT);
}

static void table_of_odd_length(struct chain *c)
{
	*c->head.len = htole32(47);
}

static void table_too_short(struct chain *c)
{
	*c->head.len = htole32(15);
}

static void table_of_nothing(struct chain *c)
{
	*c->head.len = 0;
}

static void table_too_long(struct chain *c)
{
	*c->head.len = htole32(16 * 32769);
}

static void table_of_4_gib(struct chain *c)
{
	*c->head.len = htole32(0xfffffff0);
}

static void table_nowhere(struct chain *c)
{
	set_addr(&c->head, NOWHERE, 48);
}

static void table_past_the_end(struct chain *c)
{
	set_addr(&c->head, MEMORY_END - 32, 48);
}

static void table_wraps(struct chain *c)
{
	set_addr(&c->head, UINT64_MAX - 15, 48);
}

static void table_with_next(struct chain *c)
{
	link_to(&c->head, 0);
}

static void next_past_the_table(struct chain *c)
{
	link_to(&c->d[1], 3);
}

static void loop_in_the_table(struct chain *c)
{
	link_to(&c->d[2], 0);
}

static struct element split_element(struct vring_desc *desc)
{
	return (struct element){ &desc->addr, &desc->len, &desc->flags, &desc->next };
}

static struct element packed_element(struct vring_packed_desc *desc)
{
	return (struct element){ &desc->addr, &desc->len, &desc->flags, NULL };
}

static void fill_split(struct vhu_driver *driver, uint16_t head, struct chain *ret_chain)
{
	struct vring_desc *ring = driver->split.vring.desc;
	struct vring_desc *table = driver->indirect ? vhu_driver_table(driver, head) : ring;
	unsigned at = driver->indirect ? 0 : head;

	ret_chain->head = split_element(&ring[head]);
	for (unsigned i = 0; i < 3; i++) {
		ret_chain->d[i] = split_element(&table[at]);
		ret_chain->index[i] = (uint16_t)at;
		at = le16toh(table[at].next);
	}
}

/* begin: where the chain was added, which is not where the ring is shown next. */
static void fill_packed(struct vhu_driver *driver, uint16_t head, unsigned begin,
			struct chain *ret_chain)
{
	struct vring_packed_desc *ring = driver->packed.desc;
	struct vring_packed_desc *table = vhu_driver_table(driver, head);

	ret_chain->head = packed_element(&ring[begin]);
	for (unsigned i = 0; i < 3; i++)
		ret_chain->d[i] = packed_element(driver->indirect ? &table[i]
								  : &ring[(begin + i) % RING_SIZE]);
}

static bool is_packed(const struct scene *scene)
{
	return scene->frontend.acked_features & VHU_BIT(VHU_F_RING_PACKED);
}

/* One spoilt chain among good ones: it comes back with length 0, they are served. */
static void send_spoilt(struct scene *scene, void (*spoil)(struct chain *chain))
{
	struct vhu_driver *driver = &scene->driver;
	struct vhu_guest_buffer buffers[3];
	struct vhu_driver_used used;
	struct chain chain;
	unsigned begin;
	int bad;

	for (unsigned i = 0; i < 3; i++)
		buffers[i] = vhu_guest_alloc(&scene->frontend.guest, 512, 512);
	assert_true(scene_add(scene, driver, 1) >= 0);
	begin = driver->packed.avail.at;
	bad = vhu_driver_add(driver, buffers, 2, 1, 2);
	assert_true(bad >= 0);
	assert_true(scene_add(scene, driver, 3) >= 0);
	if (is_packed(scene))
		fill_packed(driver, (uint16_t)bad, begin, &chain);
	else
		fill_split(driver, (uint16_t)bad, &chain);
	spoil(&chain);
	assert_true(vhu_driver_kick(driver) >= 0);
	/* In any order: a device that looks ahead gives the bad one back before the good ones. */
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(vhu_driver_wait(driver, &used), 0);
		assert_int_equal(used.len, used.token == 2 ? 0 : scene->target->used_len);
	}
}

static void expect_whole(struct scene *scene)
{
	uint64_t status;

	assert_int_equal(vhu_frontend_ask_u64(&scene->frontend, VHU_GET_STATUS, &status), 0);
	assert_false(status & VHU_STATUS_NEEDS_RESET);
}

static void send_all(struct scene *scene, void (*const *spoils)(struct chain *), size_t n)
{
	for (size_t i = 0; i < n; i++)
		send_spoilt(scene, spoils[i]);
	expect_whole(scene);
}

static void malformed_chains_come_back_unserved(void **state)
{
	static void (*const spoils[])(struct chain *) = {
		buffer_nowhere, buffer_past_the_end, buffer_wraps,
		buffer_huge,	status_nowhere,	     writable_first,
	};
	struct scene *scene = *state;

	scene_ring(scene);
	scene->driver.indirect = false;
	send_all(scene, spoils, ARRAY_SIZE(spoils));
}

static void malformed_links_come_back_unserved(void **state)
{
	static void (*const spoils[])(struct chain *) = {
		loop_of_three,
		loop_of_one,
		next_past_the_ring,
		next_far_away,
	};
	struct scene *scene = *state;

	scene_ring(scene);
	scene->driver.indirect = false;
	send_all(scene, spoils, ARRAY_SIZE(spoils));
}

static void malformed_tables_come_back_unserved(void **state)
{
	static void (*const spoils[])(struct chain *) = {
		buffer_nowhere,	    buffer_past_the_end, buffer_wraps,	      buffer_huge,
		status_nowhere,	    writable_first,	 table_of_odd_length, table_too_short,
		table_of_nothing,   table_too_long,	 table_of_4_gib,      table_nowhere,
		table_past_the_end, table_wraps,
	};
	struct scene *scene = *state;

	scene_ring(scene);
	send_all(scene, spoils, ARRAY_SIZE(spoils));
}

/* In a packed ring's table of all flags only WRITE counts (virtio 1.3, 2.8.7). */
static void malformed_links_in_tables_come_back_unserved(void **state)
{
	static void (*const spoils[])(struct chain *) = {
		table_in_table, table_with_next,   next_past_the_table,
		next_far_away,	loop_in_the_table,
	};
	struct scene *scene = *state;

	scene_ring(scene);
	send_all(scene, spoils, ARRAY_SIZE(spoils));
}

/* A ring full of loops, over and over: each costs what the ring has entries and no more. */
static void many_loops_are_no_hang(void **state)
{
	struct scene *scene = *state;
	struct vhu_driver *driver = &scene->driver;
	struct vhu_driver_used used;
	struct chain chain;
	int head;

	scene_ring(scene);
	driver->indirect = false;
	for (unsigned round = 0; round < 50; round++) {
		while ((head = vhu_driver_add(driver, scene->buffers, 1, 0, 0)) >= 0) {
			fill_split(driver, (uint16_t)head, &chain);
			link_to(&chain.head, (unsigned)head);
		}
		assert_true(vhu_driver_kick(driver) >= 0);
		for (unsigned i = 0; i < RING_SIZE; i++) {
			assert_int_equal(vhu_driver_wait(driver, &used), 0);
			assert_int_equal(used.len, 0);
		}
	}
	scene_io(scene, driver);
}

static void indirect_must_be_negotiated(void **state)
{
	struct scene *scene = *state;
	struct vhu_driver *driver = &scene->driver;
	struct vhu_driver_used used;
	int head;

	scene_ring_bits(scene, VHU_FRONTEND_FEATURES & ~VHU_BIT(VHU_F_RING_INDIRECT_DESC),
			VHU_FRONTEND_PROTOCOL_FEATURES);
	head = vhu_driver_add(driver, scene->buffers, 0, 1, 0);
	assert_true(head >= 0);
	if (is_packed(scene)) {
		driver->packed.held_flags |= VRING_DESC_F_INDIRECT;
		driver->packed.desc[0].len = htole32(16);
	} else {
		driver->split.vring.desc[head].flags = htole16(VRING_DESC_F_INDIRECT);
		driver->split.vring.desc[head].len = htole32(16);
	}
	assert_true(vhu_driver_kick(driver) >= 0);
	assert_int_equal(vhu_driver_wait(driver, &used), 0);
	assert_int_equal(used.len, 0);
	scene_io(scene, driver);
}

/* Odd, and right. */

/* A second region right behind the first, so that a buffer can lie in both. */
static void add_neighbour(struct scene *scene)
{
	assert_true(vhu_guest_add(&scene->frontend.guest, MEMORY_END, 1 << 20) == 1);
}

static void write_guest(struct scene *scene, uint64_t gpa, const void *bytes, size_t len)
{
	const char *from = bytes;

	for (size_t i = 0; i < len; i++)
		*(char *)vhu_guest_at(&scene->frontend.guest, gpa + i, 1) = from[i];
}

static void buffers_may_cross_regions(void **state)
{
	struct scene *scene = *state;
	struct vhu_driver *driver = &scene->driver;

	add_neighbour(scene);
	scene_ring(scene);
	for (unsigned i = 0; i < scene->target->n_readable + scene->target->n_writable; i++) {
		struct vhu_guest_buffer at_home = scene->buffers[i];

		for (unsigned before = 0; before <= at_home.len; before++) {
			scene->buffers[i].gpa = MEMORY_END - before;
			scene_io(scene, driver);
		}
		scene->buffers[i] = at_home;
	}
	expect_whole(scene);
}

/* CVE-2018-1059: the part of the table behind the border was read from where it is not. */
static void tables_may_cross_regions(void **state)
{
	struct scene *scene = *state;
	struct vhu_driver *driver = &scene->driver;
	struct vhu_guest_buffer halves[REQUEST_BUFFERS + 1];
	unsigned n_readable = scene->target->n_readable;
	unsigned n = n_readable + scene->target->n_writable;

	add_neighbour(scene);
	scene_ring(scene);
	/* One more buffer than the request has, so that there is a table in any case. */
	memcpy(halves, scene->buffers, sizeof(scene->buffers));
	halves[n] = halves[n - 1];
	halves[n].len = 0;
	for (unsigned before = 1; before < (n + 1) * 16; before++) {
		unsigned begin = driver->packed.avail.at;
		int head = vhu_driver_add(driver, halves, n_readable, n + 1 - n_readable, 0);

		assert_true(head >= 0);
		write_guest(scene, MEMORY_END - before, vhu_driver_table(driver, (uint16_t)head),
			    (n + 1) * 16);
		if (is_packed(scene))
			driver->packed.desc[begin].addr = htole64(MEMORY_END - before);
		else
			driver->split.vring.desc[head].addr = htole64(MEMORY_END - before);
		assert_true(vhu_driver_kick(driver) >= 0);
		scene_collect(scene, driver, 1);
	}
}

static void empty_buffers_are_none(void **state)
{
	struct scene *scene = *state;
	struct vhu_driver *driver = &scene->driver;
	const struct target *target = scene->target;
	struct vhu_guest_buffer buffers[2 * REQUEST_BUFFERS];
	unsigned n = target->n_readable + target->n_writable;

	scene_ring(scene);
	for (int indirect = 0; indirect < 2; indirect++) {
		driver->indirect = indirect;
		for (unsigned i = 0; i < n; i++) {
			buffers[2 * i] = buffers[2 * i + 1] = scene->buffers[i];
			buffers[2 * i + (i + (unsigned)indirect) % 2].len = 0;
			buffers[2 * i + (i + (unsigned)indirect) % 2].gpa = NOWHERE;
		}
		assert_true(vhu_driver_add(driver, buffers, 2 * target->n_readable,
					   2 * target->n_writable, 0) >= 0);
		assert_true(vhu_driver_kick(driver) >= 0);
		scene_collect(scene, driver, 1);
	}
}

/* Broken rings. */

static bool is_signalled(int fd, int timeout_ms)
{
	struct pollfd pollfd = { .fd = fd, .events = POLLIN };

	return poll(&pollfd, 1, timeout_ms) > 0;
}

static void expect_broken(struct scene *scene, struct vhu_driver *driver)
{
	uint64_t status, n;

	assert_true(is_signalled(driver->err_fd, 10000));
	assert_int_equal(read(driver->err_fd, &n, sizeof(n)), sizeof(n));
	assert_int_equal(vhu_frontend_ask_u64(&scene->frontend, VHU_GET_STATUS, &status), 0);
	assert_true(status & VHU_STATUS_NEEDS_RESET);
}

/* GET_VRING_BASE, and a driver that begins anew. */
static void revive(struct scene *scene, struct vhu_driver *driver)
{
	assert_int_equal(vhu_driver_stop(driver), 0);
	expect_whole(scene);
	vhu_driver_reset(driver);
	assert_int_equal(vhu_driver_start(driver), 0);
	scene_io(scene, driver);
	assert_false(is_signalled(driver->err_fd, 0));
}

static void avail_jumps_break_the_ring(void **state)
{
	static const uint16_t jumps[] = { RING_SIZE + 1, 0x7fff, 0x8000, 0xffff };
	struct scene *scene = *state;
	struct vhu_driver *driver = &scene->driver;

	scene_ring(scene);
	for (size_t i = 0; i < ARRAY_SIZE(jumps); i++) {
		scene_io(scene, driver);
		driver->split.avail_idx += jumps[i];
		vhu_driver_publish(driver);
		assert_int_equal(write(driver->kick_fd, &(uint64_t){ 1 }, 8), 8);
		expect_broken(scene, driver);
		scene_expect_silence(driver);
		revive(scene, driver);
	}
}

static void heads_past_the_ring_break_it(void **state)
{
	static const uint16_t heads[] = { RING_SIZE, RING_SIZE + 1, 0x8000, 0xffff };
	struct scene *scene = *state;
	struct vhu_driver *driver = &scene->driver;

	scene_ring(scene);
	for (size_t i = 0; i < ARRAY_SIZE(heads); i++) {
		assert_true(scene_add(scene, driver, 0) >= 0);
		vhu_driver_split_add_head(driver, heads[i], 0);
		assert_true(scene_add(scene, driver, 0) >= 0);
		assert_true(vhu_driver_kick(driver) >= 0);
		expect_broken(scene, driver);
		revive(scene, driver);
	}
}

/* The program may see it while it polls, when it has asked for no kick. */
static void breaks_are_seen_without_a_kick(void **state)
{
	struct scene *scene = *state;
	struct vhu_driver *driver = &scene->driver;

	scene_ring(scene);
	driver->busy = true;
	for (unsigned round = 0; round < 50; round++) {
		for (unsigned i = 0; i < 20; i++)
			scene_io(scene, driver);
		scene_break(scene, driver);
		assert_true(vhu_driver_kick(driver) >= 0);
		expect_broken(scene, driver);
		revive(scene, driver);
	}
}

static void reset_device_revives_the_ring(void **state)
{
	struct scene *scene = *state;
	struct vhu_driver *driver = &scene->driver;

	scene_ring(scene);
	scene_break(scene, driver);
	assert_true(vhu_driver_kick(driver) >= 0);
	expect_broken(scene, driver);
	assert_int_equal(vhu_frontend_tell(&scene->frontend, VHU_RESET_DEVICE), 0);
	expect_whole(scene);
	vhu_driver_reset(driver);
	assert_int_equal(vhu_driver_start(driver), 0);
	scene_io(scene, driver);
}

/* Each queue has memory of its own: the workers of two may not be given the same. */
static void use_set(struct scene *scene, struct vhu_guest_buffer set[REQUEST_BUFFERS])
{
	memcpy(scene->buffers, set, sizeof(scene->buffers));
}

static void other_queues_go_on(void **state)
{
	struct scene *scene = *state;
	struct vhu_guest_buffer sets[4][REQUEST_BUFFERS];
	struct vhu_driver drivers[4];

	scene_ring(scene);
	scene_buffers(scene, sets[0]);
	for (unsigned i = 1; i < 4; i++) {
		scene_driver(scene, &drivers[i], i);
		scene_buffers(scene, sets[i]);
		assert_int_equal(vhu_driver_start(&drivers[i]), 0);
		use_set(scene, sets[i]);
		scene_io(scene, &drivers[i]);
	}
	use_set(scene, sets[1]);
	scene_break(scene, &drivers[1]);
	assert_true(vhu_driver_kick(&drivers[1]) >= 0);
	use_set(scene, sets[2]);
	scene_break(scene, &drivers[2]);
	assert_true(vhu_driver_kick(&drivers[2]) >= 0);
	expect_broken(scene, &drivers[1]);
	expect_broken(scene, &drivers[2]);
	for (unsigned i = 0; i < 50; i++) {
		use_set(scene, sets[0]);
		scene_io(scene, &scene->driver);
		use_set(scene, sets[3]);
		scene_io(scene, &drivers[3]);
	}
	assert_int_equal(vhu_driver_stop(&drivers[1]), 0);
	use_set(scene, sets[2]);
	revive(scene, &drivers[2]);
	use_set(scene, sets[3]);
	scene_io(scene, &drivers[3]);
	for (unsigned i = 1; i < 4; i++)
		vhu_driver_finish(&drivers[i]);
}

int main(int argc, char **argv)
{
	static const struct device_test tests[] = {
		DEVICE_TEST(malformed_chains_come_back_unserved, ON_BOTH),
		DEVICE_TEST(malformed_links_come_back_unserved, ON_BOTH | SPLIT_ONLY),
		DEVICE_TEST(malformed_tables_come_back_unserved, ON_BOTH),
		DEVICE_TEST(malformed_links_in_tables_come_back_unserved, ON_BOTH | SPLIT_ONLY),
		DEVICE_TEST(many_loops_are_no_hang, ON_BOTH | SPLIT_ONLY),
		DEVICE_TEST(indirect_must_be_negotiated, ON_BOTH),
		DEVICE_TEST(buffers_may_cross_regions, ON_BOTH),
		DEVICE_TEST(tables_may_cross_regions, ON_BOTH),
		DEVICE_TEST(empty_buffers_are_none, ON_BOTH),
		DEVICE_TEST(avail_jumps_break_the_ring, ON_BOTH | SPLIT_ONLY),
		DEVICE_TEST(heads_past_the_ring_break_it, ON_BOTH | SPLIT_ONLY),
		DEVICE_TEST(breaks_are_seen_without_a_kick, ON_BOTH),
		DEVICE_TEST(reset_device_revives_the_ring, ON_BOTH),
		DEVICE_TEST(other_queues_go_on, ON_BLK),
	};

	return run_device_tests(tests, ARRAY_SIZE(tests), argc, argv);
}
