/* SPDX-License-Identifier: BSD-3-Clause */
/* The dirty log: which bits are set, by whom, and what is not a log. */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/num.h"
#include "common/memory/dirty_log.h"

#define PAGE 4096ull
#define UADDR 0x7f0000000000ull
#define LOG_BYTES 64u /* 512 pages */
#define LOG_OFFSET 4104u

struct fixture {
	int fd; /* of guest memory and of the log */
	int log_fd;
	uint8_t *bits; /* as the front-end has them mapped */
	struct vhu_memory *memory;
};

static struct vhu_memory_region region_at(uint64_t page, uint64_t n_pages)
{
	return (struct vhu_memory_region){ page * PAGE, n_pages * PAGE, UADDR + page * PAGE, 0 };
}

static void replace(struct vhu_memory **memory, struct vhu_memory *next)
{
	vhu_memory_unref(*memory);
	*memory = next;
}

static void add_region(struct fixture *f, uint64_t page, uint64_t n_pages)
{
	struct vhu_memory_region region = region_at(page, n_pages);
	struct vhu_memory *next;

	assert_int_equal(vhu_memory_with_region(f->memory, &region, f->fd, &next), 0);
	replace(&f->memory, next);
}

static void set_log(struct fixture *f, struct vhu_dirty_log *log)
{
	struct vhu_memory *next;

	assert_int_equal(vhu_memory_with_log(f->memory, log, &next), 0);
	replace(&f->memory, next);
}

static void set_new_log(struct fixture *f, uint64_t size, int changed_fd)
{
	struct vhu_dirty_log *log;

	assert_int_equal(vhu_dirty_log_new(f->log_fd, size, LOG_OFFSET, changed_fd,
					   f->memory->health, &log), 0);
	set_log(f, log);
	vhu_dirty_log_unref(log);
}

static int make_file(off_t size)
{
	int fd = memfd_create("log", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, size), 0);
	return fd;
}

/* 16 pages of guest memory at 0, and a log of 512 pages. */
static int setup(void **state)
{
	static struct fixture f;
	char *mapped;

	f.fd = make_file(16 * PAGE);
	f.log_fd = make_file(LOG_OFFSET + LOG_BYTES);
	mapped = mmap(NULL, LOG_OFFSET + LOG_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, f.log_fd,
		      0);
	assert_ptr_not_equal(mapped, MAP_FAILED);
	f.bits = (uint8_t *)mapped + LOG_OFFSET;
	assert_int_equal(vhu_memory_new(&f.memory), 0);
	add_region(&f, 0, 16);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	vhu_memory_unref(f->memory);
	munmap(f->bits - LOG_OFFSET, LOG_OFFSET + LOG_BYTES);
	close(f->fd);
	close(f->log_fd);
	return 0;
}

static bool is_marked(const struct fixture *f, uint64_t page)
{
	return f->bits[page / 8] >> page % 8 & 1;
}

/* Just the pages from first to last; then the log is clear again. */
static void expect_marks(struct fixture *f, uint64_t first, uint64_t last)
{
	for (uint64_t page = 0; page < 8 * LOG_BYTES; page++)
		assert_int_equal(is_marked(f, page), page >= first && page <= last);
	memset(f->bits, 0, LOG_BYTES);
}

static void every_touched_page_is_marked(void **state)
{
	static const struct { uint64_t gpa, len, first, last; } cases[] = {
		{ 0, 1, 0, 0 }, { PAGE - 1, 1, 0, 0 }, { PAGE - 1, 2, 0, 1 }, { PAGE, 1, 1, 1 },
		{ 0, 8 * PAGE, 0, 7 }, { 0, 8 * PAGE + 1, 0, 8 }, { 7 * PAGE, 2 * PAGE, 7, 8 },
		{ 3 * PAGE + 7, 2 * PAGE, 3, 5 }, { 5 * PAGE, 40 * PAGE, 5, 44 },
		{ 8 * PAGE, 8 * PAGE, 8, 15 }, { 0, 512 * PAGE, 0, 511 },
		{ 512 * PAGE - 1, 1, 511, 511 }, { 0, 0, 1, 0 }, { UINT64_MAX, 0, 1, 0 },
	};
	struct fixture *f = *state;

	set_new_log(f, LOG_BYTES, -1);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		vhu_memory_mark(f->memory, cases[i].gpa, cases[i].len);
		expect_marks(f, cases[i].first, cases[i].last);
	}
	assert_false(vhu_memory_faulted(f->memory));
}

/* Where in our memory a piece lies says where in the guest's. */
static void pieces_are_marked_by_guest_address(void **state)
{
	struct fixture *f = *state;
	struct iovec iov[2];

	set_new_log(f, LOG_BYTES, -1);
	add_region(f, 100, 8);
	iov[0].iov_base = vhu_memory_from_gpa(f->memory, 102 * PAGE + 5, 2 * PAGE);
	iov[0].iov_len = 2 * PAGE;
	vhu_memory_mark_pieces(f->memory, iov, 1);
	expect_marks(f, 102, 104);
	iov[1].iov_base = vhu_memory_from_gpa(f->memory, 15 * PAGE, 1);
	iov[1].iov_len = PAGE;
	vhu_memory_mark_pieces(f->memory, iov, 2);
	assert_true(is_marked(f, 15));
	memset(&f->bits[1], 0, 1);
	expect_marks(f, 102, 104);
}

/* A chain's pieces are merged where two regions happen to be mapped side by side. */
static void a_piece_may_go_on_in_another_region(void **state)
{
	struct fixture *f = *state;
	const struct vhu_memory_slot *slots;
	struct iovec iov;

	set_new_log(f, LOG_BYTES, -1);
	for (unsigned i = 1; i < 20; i++)
		add_region(f, 16 + 20 * i, 16);
	slots = f->memory->by_gpa;
	for (unsigned i = 0; i < f->memory->n_slots; i++) {
		for (unsigned j = 0; j < f->memory->n_slots; j++) {
			if (slots[i].host + slots[i].size != slots[j].host)
				continue;
			iov.iov_base = slots[i].host + 14 * PAGE;
			iov.iov_len = 3 * PAGE;
			vhu_memory_mark_pieces(f->memory, &iov, 1);
			assert_true(is_marked(f, slots[i].gpa / PAGE + 14));
			assert_true(is_marked(f, slots[i].gpa / PAGE + 15));
			assert_true(is_marked(f, slots[j].gpa / PAGE));
			assert_false(is_marked(f, slots[j].gpa / PAGE + 1));
			assert_false(vhu_memory_faulted(f->memory));
			return;
		}
	}
	skip(); /* the kernel has put no two of them side by side */
}

static void the_log_goes_with_the_map(void **state)
{
	struct fixture *f = *state;
	struct vhu_memory_region region = region_at(200, 4);
	struct vhu_memory *next;

	vhu_memory_mark(f->memory, 0, PAGE);
	expect_marks(f, 1, 0);
	set_new_log(f, LOG_BYTES, -1);
	add_region(f, 200, 4);
	vhu_memory_mark(f->memory, 201 * PAGE, 1);
	expect_marks(f, 201, 201);
	assert_int_equal(vhu_memory_without_region(f->memory, &region, &next), 0);
	replace(&f->memory, next);
	vhu_memory_mark(f->memory, 0, 1);
	expect_marks(f, 0, 0);
	assert_int_equal(vhu_memory_with_table(f->memory, &region, &f->fd, 1, &next), 0);
	replace(&f->memory, next);
	vhu_memory_mark(f->memory, 200 * PAGE, 1);
	expect_marks(f, 200, 200);
	set_log(f, NULL);
	vhu_memory_mark(f->memory, 200 * PAGE, 1);
	expect_marks(f, 1, 0);
	assert_non_null(vhu_memory_from_gpa(f->memory, 200 * PAGE, PAGE));
}

static void a_page_outside_the_log_ends_the_session(void **state)
{
	static const struct { uint64_t gpa, len; } cases[] = {
		{ 512 * PAGE, 1 }, { 511 * PAGE, PAGE + 1 }, { 0, UINT64_MAX },
		{ UINT64_MAX, 1 }, { UINT64_MAX - 1, 5 }, { 1ull << 63, 1 },
	};
	struct fixture *f = *state;

	set_new_log(f, LOG_BYTES, -1);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_false(vhu_dirty_log_covers(f->memory->log, cases[i].gpa, cases[i].len));
		f->memory->health->faulted = f->memory->health->unlogged = false;
		vhu_memory_mark(f->memory, cases[i].gpa, cases[i].len);
		assert_true(vhu_memory_faulted(f->memory));
		assert_true(f->memory->health->unlogged);
		expect_marks(f, 1, 0);
	}
	assert_true(vhu_dirty_log_covers(f->memory->log, 511 * PAGE, PAGE));
}

static void a_log_cut_short_ends_the_session(void **state)
{
	struct fixture *f = *state;

	set_new_log(f, LOG_BYTES, -1);
	assert_int_equal(ftruncate(f->log_fd, 0), 0);
	vhu_memory_mark(f->memory, 3 * PAGE, 1);
	assert_true(vhu_memory_faulted(f->memory));
	assert_false(f->memory->health->unlogged);
}

static void bad_logs_are_refused(void **state)
{
	struct fixture *f = *state;
	const uint64_t size = LOG_OFFSET + LOG_BYTES;
	const struct { uint64_t size, offset; int result; } cases[] = {
		{ 0, 0, -EINVAL }, { 0, size, -EINVAL }, { size + 1, 0, -ERANGE },
		{ 1, size, -ERANGE }, { LOG_BYTES + 1, LOG_OFFSET, -ERANGE },
		{ UINT64_MAX, 1, -EINVAL }, { 1, UINT64_MAX, -EINVAL },
		{ UINT64_MAX, UINT64_MAX, -EINVAL }, { 1ull << 63, 0, -EINVAL },
		{ INT64_MAX, 0, -ERANGE },
	};
	int read_only = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	struct vhu_dirty_log *log = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(vhu_dirty_log_new(f->log_fd, cases[i].size, cases[i].offset, -1,
						   f->memory->health, &log), cases[i].result);
	assert_int_equal(vhu_dirty_log_new(read_only, 1, 0, -1, f->memory->health, &log), -EACCES);
	assert_int_equal(vhu_dirty_log_new(f->log_fd, 1, 0, f->fd, f->memory->health, &log),
			 -EINVAL);
	assert_null(log);
	close(read_only);
}

static void only_news_is_told(void **state)
{
	struct fixture *f = *state;
	int first = eventfd(0, EFD_NONBLOCK), second = eventfd(0, EFD_NONBLOCK);
	struct vhu_dirty_log *log;
	uint64_t count;

	set_new_log(f, LOG_BYTES, first);
	vhu_memory_mark(f->memory, 0, 20 * PAGE);
	assert_int_equal(read(first, &count, sizeof(count)), sizeof(count));
	vhu_memory_mark(f->memory, 5 * PAGE, 3 * PAGE);
	assert_int_equal(read(first, &count, sizeof(count)), -1);
	f->bits[0] = 0;
	vhu_memory_mark(f->memory, 0, 20 * PAGE);
	assert_int_equal(read(first, &count, sizeof(count)), sizeof(count));

	assert_int_equal(vhu_dirty_log_with_fd(f->memory->log, second, &log), 0);
	set_log(f, log);
	vhu_dirty_log_unref(log);
	vhu_memory_mark(f->memory, 30 * PAGE, 1);
	assert_int_equal(read(first, &count, sizeof(count)), -1);
	assert_int_equal(read(second, &count, sizeof(count)), sizeof(count));
	assert_true(is_marked(f, 30));
	close(first);
	close(second);
}

#define ROUNDS 300000

static void *mark_odd_pages(void *data)
{
	struct fixture *f = data;

	for (unsigned i = 0; i < ROUNDS; i++)
		for (uint64_t page = 1; page < 16; page += 2)
			vhu_memory_mark(f->memory, page * PAGE, 1);
	return NULL;
}

/*
 * Each of two threads has its own pages of the same bytes of the log, and we take the bits out as a
 * front-end does: nobody's bit is lost.
 */
static void two_threads_share_a_byte(void **state)
{
	struct fixture *f = *state;
	pthread_t other;

	set_new_log(f, LOG_BYTES, -1);
	assert_int_equal(pthread_create(&other, NULL, mark_odd_pages, f), 0);
	for (unsigned i = 0; i < ROUNDS; i++) {
		for (uint64_t page = 0; page < 16; page += 2)
			vhu_memory_mark(f->memory, page * PAGE, 1);
		for (unsigned byte = 0; byte < 2; byte++)
			assert_int_equal(__atomic_fetch_and(&f->bits[byte], 0xaa,
							    __ATOMIC_SEQ_CST) & 0x55, 0x55);
	}
	pthread_join(other, NULL);
	assert_int_equal(f->bits[0], 0xaa);
	assert_int_equal(f->bits[1], 0xaa);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(every_touched_page_is_marked),
		TEST(pieces_are_marked_by_guest_address),
		TEST(a_piece_may_go_on_in_another_region),
		TEST(the_log_goes_with_the_map),
		TEST(a_page_outside_the_log_ends_the_session),
		TEST(a_log_cut_short_ends_the_session),
		TEST(bad_logs_are_refused),
		TEST(only_news_is_told),
		TEST(two_threads_share_a_byte),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
