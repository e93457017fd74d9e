/* SPDX-License-Identifier: BSD-3-Clause */
/* What a ring marks in the dirty log (vhost-user, Migration). */

#include "tests/unit/packed_guest.h"

#include "common/memory/dirty_log.h"

#define PAGE 4096ull
#define SIZE 1024u /* its used ring has three pages, from one border on */
/* Past the end of the guest's memory, inside the log. */
#define LOG_GPA (GUEST_END + 0x10000)
#define LOG_BYTES ((LOG_GPA + 0x10000) / PAGE / 8)

static struct packed packed; /* its guest has the split rings too */
static struct guest *const guest = &packed.g;
static uint8_t *bits;
static int log_fd;

static void set_log(bool on)
{
	struct vhu_dirty_log *log = NULL;
	struct vhu_memory *next;

	if (on)
		assert_int_equal(vhu_dirty_log_new(log_fd, LOG_BYTES, 0, -1, guest->memory->health,
						   &log), 0);
	assert_int_equal(vhu_memory_with_log(guest->memory, log, &next), 0);
	vhu_dirty_log_unref(log);
	assert_int_equal(vhu_virtqueue_set_memory(&guest->q, next), 0);
	vhu_memory_unref(guest->memory);
	guest->memory = next;
}

static void set_log_address(bool on)
{
	guest->setup.log_device = on;
	guest->setup.log_gpa = LOG_GPA;
	assert_int_equal(vhu_virtqueue_set_addresses(&guest->q, &guest->setup), 0);
}

static void start(uint64_t features)
{
	if (features & PACKED)
		packed_start(&packed, SIZE, features);
	else
		guest_start(guest, SIZE, features);
	log_fd = memfd_create("log", MFD_CLOEXEC);
	assert_int_equal(ftruncate(log_fd, LOG_BYTES), 0);
	bits = mmap(NULL, LOG_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, log_fd, 0);
	assert_true(bits != MAP_FAILED);
}

static void finish(void)
{
	guest_finish(guest);
	munmap(bits, LOG_BYTES);
	close(log_fd);
}

/* These pages and no others, by guest address; then the log is clear again. */
static void expect_marks(unsigned n, const uint64_t *gpas)
{
	unsigned marked = 0;

	for (uint64_t i = 0; i < LOG_BYTES; i++)
		marked += (unsigned)__builtin_popcount(bits[i]);
	for (unsigned i = 0; i < n; i++)
		assert_true(bits[gpas[i] / PAGE / 8] >> gpas[i] / PAGE % 8 & 1);
	assert_int_equal(marked, n);
	memset(bits, 0, LOG_BYTES);
}
#define EXPECT_MARKS(...) \
	expect_marks(sizeof((uint64_t[]){ __VA_ARGS__ }) / sizeof(uint64_t), \
		     (uint64_t[]){ __VA_ARGS__ })
#define EXPECT_NO_MARKS() expect_marks(0, NULL)

/* A page to read, two pages and a piece of another to write, all apart. */
static struct vhu_chain *take_chain(void)
{
	struct vhu_chain *chain;

	guest_desc(guest->ring.desc, 0, GUEST_DATA, 16, NEXT, 1);
	guest_desc(guest->ring.desc, 1, GUEST_DATA + 4 * PAGE + 8, 4096, NEXT | WRITE, 2);
	guest_desc(guest->ring.desc, 2, GUEST_DATA + 9 * PAGE, 1, WRITE, 0);
	guest_offer(guest, 0);
	chain = vhu_virtqueue_pop(&guest->q);
	assert_non_null(chain);
	return chain;
}

static void the_whole_writable_part_is_marked(void **state)
{
	(void)state;
	start(0);
	set_log(true);
	vhu_virtqueue_push(&guest->q, take_chain(), 1);
	vhu_virtqueue_publish(&guest->q);
	EXPECT_MARKS(GUEST_DATA + 4 * PAGE, GUEST_DATA + 5 * PAGE, GUEST_DATA + 9 * PAGE);
	finish();
}

/* What the device wrote it wrote, whether or not the ring still works. */
static void a_broken_ring_marks_too(void **state)
{
	struct vhu_chain *chain;

	(void)state;
	start(0);
	set_log(true);
	set_log_address(true);
	chain = take_chain();
	vhu_virtqueue_break(&guest->q, "test");
	vhu_virtqueue_push(&guest->q, chain, 1);
	EXPECT_MARKS(GUEST_DATA + 4 * PAGE, GUEST_DATA + 5 * PAGE, GUEST_DATA + 9 * PAGE);
	finish();
}

static void the_log_is_turned_on_and_off_live(void **state)
{
	struct vhu_chain *chain;

	(void)state;
	start(0);
	vhu_virtqueue_push(&guest->q, take_chain(), 1);
	vhu_virtqueue_publish(&guest->q);
	EXPECT_NO_MARKS();
	/* What was taken before is marked when it comes back after. */
	chain = take_chain();
	set_log(true);
	vhu_virtqueue_push(&guest->q, chain, 1);
	vhu_virtqueue_publish(&guest->q);
	EXPECT_MARKS(GUEST_DATA + 4 * PAGE, GUEST_DATA + 5 * PAGE, GUEST_DATA + 9 * PAGE);
	chain = take_chain();
	set_log(false);
	vhu_virtqueue_push(&guest->q, chain, 1);
	vhu_virtqueue_publish(&guest->q);
	EXPECT_NO_MARKS();
	finish();
}

static void push_one(void)
{
	struct vhu_chain *chain;

	guest_offer_one(guest, 7, GUEST_DATA, 1, 0);
	chain = vhu_virtqueue_pop(&guest->q);
	assert_non_null(chain);
	vhu_virtqueue_push(&guest->q, chain, 0);
}

static void push_many(unsigned n)
{
	while (n--) {
		push_one();
		vhu_virtqueue_publish(&guest->q);
	}
	memset(bits, 0, LOG_BYTES);
}

/* Entry i lies at 4 + 8 * i: the last of page 0 is 510 and entry 511 is on both. */
static void the_used_ring_is_marked_where_it_is_said_to_be(void **state)
{
	(void)state;
	start(0);
	set_log(true);
	push_one();
	vhu_virtqueue_publish(&guest->q);
	EXPECT_NO_MARKS(); /* nobody asked */
	set_log_address(true);
	push_one();
	vhu_virtqueue_publish(&guest->q);
	EXPECT_MARKS(LOG_GPA);
	push_many(509);
	push_one();
	vhu_virtqueue_publish(&guest->q);
	EXPECT_MARKS(LOG_GPA, LOG_GPA + PAGE); /* 511 */
	push_many(511);
	push_one();
	vhu_virtqueue_publish(&guest->q);
	EXPECT_MARKS(LOG_GPA, LOG_GPA + PAGE, LOG_GPA + 2 * PAGE); /* 1023: and the index */
	/* A batch over the end of the ring. */
	push_many(1000);
	for (unsigned i = 0; i < 30; i++)
		push_one();
	EXPECT_NO_MARKS(); /* not shown yet */
	vhu_virtqueue_publish(&guest->q);
	EXPECT_MARKS(LOG_GPA, LOG_GPA + PAGE, LOG_GPA + 2 * PAGE);
	set_log_address(false);
	push_one();
	vhu_virtqueue_publish(&guest->q);
	EXPECT_NO_MARKS();
	finish();
}

static void a_malformed_chain_marks_only_its_entry(void **state)
{
	(void)state;
	start(0);
	set_log(true);
	set_log_address(true);
	guest_offer_one(guest, 3, GUEST_END, 16, WRITE);
	assert_null(vhu_virtqueue_pop(&guest->q));
	vhu_virtqueue_publish(&guest->q);
	EXPECT_MARKS(LOG_GPA);
	finish();
}

static void notification_words_are_marked(void **state)
{
	(void)state;
	start(0);
	set_log(true);
	set_log_address(true);
	vhu_virtqueue_enable_kicks(&guest->q);
	EXPECT_MARKS(LOG_GPA);
	vhu_virtqueue_disable_kicks(&guest->q);
	EXPECT_MARKS(LOG_GPA);
	finish();

	start(EVENT_IDX);
	set_log(true);
	set_log_address(true);
	vhu_virtqueue_enable_kicks(&guest->q);
	EXPECT_MARKS(LOG_GPA + 2 * PAGE);
	vhu_virtqueue_disable_kicks(&guest->q);
	EXPECT_NO_MARKS(); /* nothing is written */
	finish();
}

static void packed_push_one(void)
{
	struct vhu_chain *chain;

	packed_offer_one(&packed, 7, GUEST_DATA + 4 * PAGE, 1, WRITE);
	chain = vhu_virtqueue_pop(&guest->q);
	assert_non_null(chain);
	vhu_virtqueue_push(&guest->q, chain, 1);
}

/* There the descriptors themselves are written, 256 to a page: log_gpa has no part in it. */
static void a_packed_ring_is_marked_where_it_lies(void **state)
{
	(void)state;
	start(PACKED);
	set_log(true);
	packed_push_one();
	vhu_virtqueue_publish(&guest->q);
	EXPECT_MARKS(GUEST_DATA + 4 * PAGE); /* nobody asked for the ring */
	set_log_address(true);
	packed_push_one();
	EXPECT_MARKS(GUEST_DATA + 4 * PAGE);
	vhu_virtqueue_publish(&guest->q);
	EXPECT_MARKS(GUEST_GPA);
	for (unsigned i = 2; i < 254; i++)
		packed_push_one();
	vhu_virtqueue_publish(&guest->q);
	memset(bits, 0, LOG_BYTES);
	for (unsigned i = 0; i < 4; i++) /* over the end of a page */
		packed_push_one();
	vhu_virtqueue_publish(&guest->q);
	EXPECT_MARKS(GUEST_DATA + 4 * PAGE, GUEST_GPA, GUEST_GPA + PAGE);
	for (unsigned i = 258; i < SIZE - 2; i++)
		packed_push_one();
	vhu_virtqueue_publish(&guest->q);
	EXPECT_MARKS(GUEST_DATA + 4 * PAGE, GUEST_GPA + PAGE, GUEST_GPA + 2 * PAGE,
		     GUEST_GPA + 3 * PAGE);
	for (unsigned i = 0; i < 4; i++) /* over the end of the ring */
		packed_push_one();
	vhu_virtqueue_publish(&guest->q);
	EXPECT_MARKS(GUEST_DATA + 4 * PAGE, GUEST_GPA + 3 * PAGE, GUEST_GPA);
	for (unsigned i = 0; i < SIZE; i++) /* all of it at once */
		packed_push_one();
	vhu_virtqueue_publish(&guest->q);
	EXPECT_MARKS(GUEST_DATA + 4 * PAGE, GUEST_GPA, GUEST_GPA + PAGE, GUEST_GPA + 2 * PAGE,
		     GUEST_GPA + 3 * PAGE);
	finish();
}

static void packed_notification_words_are_marked(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		start(PACKED | (i ? EVENT_IDX : 0));
		set_log(true);
		set_log_address(true);
		vhu_virtqueue_enable_kicks(&guest->q);
		EXPECT_MARKS(GUEST_GPA + (GUEST_USED - GUEST_UADDR));
		vhu_virtqueue_disable_kicks(&guest->q);
		EXPECT_MARKS(GUEST_GPA + (GUEST_USED - GUEST_UADDR));
		vhu_virtqueue_disable_kicks(&guest->q);
		EXPECT_NO_MARKS(); /* nothing is written */
		finish();
	}
}

static void a_log_address_outside_the_log_ends_the_session(void **state)
{
	(void)state;
	start(0);
	set_log(true);
	guest->setup.log_device = true;
	guest->setup.log_gpa = UINT64_MAX - PAGE;
	assert_int_equal(vhu_virtqueue_set_addresses(&guest->q, &guest->setup), 0);
	push_one();
	assert_false(vhu_memory_faulted(guest->memory));
	vhu_virtqueue_publish(&guest->q);
	assert_true(vhu_memory_faulted(guest->memory));
	finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_whole_writable_part_is_marked),
		cmocka_unit_test(a_broken_ring_marks_too),
		cmocka_unit_test(the_log_is_turned_on_and_off_live),
		cmocka_unit_test(the_used_ring_is_marked_where_it_is_said_to_be),
		cmocka_unit_test(a_malformed_chain_marks_only_its_entry),
		cmocka_unit_test(notification_words_are_marked),
		cmocka_unit_test(a_packed_ring_is_marked_where_it_lies),
		cmocka_unit_test(packed_notification_words_are_marked),
		cmocka_unit_test(a_log_address_outside_the_log_ends_the_session),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
