/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory on its way: who waits, who is woken with what, and who fails. */

#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/memory/userfault.h"

#define PAGE 4096ull
#define N_PAGES 8u
#define UADDR 0x7f0000000000ull
/* How long nothing must happen, to say that it does not; and the longest that anything takes. */
#define MOMENT_MS 50
#define LONG_MS 20000

struct fixture {
	int fd; /* guest memory, of which page 0 is there */
	int disk_fd;
	char *front; /* as the front-end has it mapped */
	struct vhu_memory *memory;
	struct vhu_userfault userfault;
};

/* Somebody who touches a page, in a thread. */
struct visitor {
	pthread_t thread;
	struct fixture *f;
	char *at;
	char seen;
	ssize_t result; /* of a system call, or -errno */
	atomic_bool done;
};

static void *read_page(void *data)
{
	struct visitor *v = data;

	v->seen = *(volatile char *)v->at;
	atomic_store(&v->done, true);
	return NULL;
}

/* From guest memory to the disk. */
static void *write_disk(void *data)
{
	struct visitor *v = data;

	v->result = pwrite(v->f->disk_fd, v->at, PAGE, 0);
	if (v->result < 0)
		v->result = -errno;
	atomic_store(&v->done, true);
	return NULL;
}

/* And back. */
static void *read_disk(void *data)
{
	struct visitor *v = data;

	v->result = pread(v->f->disk_fd, v->at, PAGE, 0);
	if (v->result < 0)
		v->result = -errno;
	atomic_store(&v->done, true);
	return NULL;
}

typedef void *visit_fn(void *);
static visit_fn *const visits[] = { read_page, write_disk, read_disk };
#define N_VISITS 3u

static char *page_at(const struct fixture *f, unsigned page)
{
	char *host = vhu_memory_from_gpa(f->memory, page * PAGE, PAGE);

	assert_non_null(host);
	return host;
}

static void visit(struct visitor *v, struct fixture *f, visit_fn *fn, unsigned page)
{
	*v = (struct visitor){ .f = f, .at = page_at(f, page) };
	assert_int_equal(pthread_create(&v->thread, NULL, fn, v), 0);
}

static void visit_ends(struct visitor *v)
{
	assert_int_equal(pthread_join(v->thread, NULL), 0);
	assert_true(v->done);
}

/* As a front-end would: the page that is asked for. */
static uint64_t next_fault(struct fixture *f)
{
	struct pollfd p = { .fd = f->userfault.fd, .events = POLLIN };
	struct uffd_msg message;

	assert_int_equal(poll(&p, 1, LONG_MS), 1);
	assert_int_equal(read(p.fd, &message, sizeof(message)), sizeof(message));
	assert_int_equal(message.event, UFFD_EVENT_PAGEFAULT);
	return message.arg.pagefault.address;
}

static void bring(struct fixture *f, unsigned page)
{
	struct uffdio_range range = { (uintptr_t)page_at(f, page), PAGE };

	memset(f->front + page * PAGE, (int)('a' + page), PAGE);
	assert_int_equal(ioctl(f->userfault.fd, UFFDIO_WAKE, &range), 0);
}

static void add_region(struct fixture *f, unsigned page, unsigned n)
{
	struct vhu_memory_region region = { page * PAGE, n * PAGE, UADDR + page * PAGE,
					    page * PAGE };
	struct vhu_memory *next;

	assert_int_equal(vhu_memory_with_region(f->memory, &region, f->fd, &next), 0);
	vhu_memory_unref(f->memory);
	f->memory = next;
}

static int set_up(void **state)
{
	static struct fixture f;

	if (!vhu_userfault_available())
		return 0;
	f.fd = memfd_create("guest", MFD_CLOEXEC);
	f.disk_fd = memfd_create("disk", MFD_CLOEXEC);
	assert_true(f.fd >= 0 && f.disk_fd >= 0);
	assert_int_equal(ftruncate(f.fd, N_PAGES * PAGE), 0);
	assert_int_equal(ftruncate(f.disk_fd, PAGE), 0);
	f.front = mmap(NULL, N_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, f.fd, 0);
	assert_true(f.front != MAP_FAILED);
	memset(f.front, 'a', PAGE);
	assert_int_equal(pwrite(f.disk_fd, "disk", 4, 0), 4);
	assert_int_equal(vhu_memory_new(&f.memory), 0);
	assert_int_equal(vhu_userfault_open(&f.userfault), 0);
	add_region(&f, 0, N_PAGES / 2);
	add_region(&f, N_PAGES / 2, N_PAGES / 2);
	assert_true(vhu_memory_is_whole(f.memory));
	assert_int_equal(vhu_userfault_register(&f.userfault, f.memory), 0);
	*state = &f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	if (!f)
		return 0;
	vhu_memory_unref(f->memory);
	vhu_userfault_close(&f->userfault);
	munmap(f->front, N_PAGES * PAGE);
	close(f->fd);
	close(f->disk_fd);
	return 0;
}

/* cmocka has put a handler of its own in place of that for faults. */
#define NEED(f) \
	do { \
		if (!(f)) \
			skip(); \
		assert_int_equal(vhu_fault_init(), 0); \
	} while (0)

static void missing_pages_are_waited_for(void **state)
{
	struct fixture *f = *state;
	struct visitor v;

	NEED(f);
	assert_false(vhu_memory_is_whole(f->memory));
	assert_int_equal(*page_at(f, 0), 'a');
	for (unsigned i = 0; i < N_VISITS; i++) {
		visit(&v, f, visits[i], 2 + 2 * i);
		assert_int_equal(next_fault(f), (uintptr_t)v.at);
		assert_false(v.done);
		bring(f, 2 + 2 * i);
		visit_ends(&v);
		assert_true(visits[i] == read_page ? v.seen == 'c' : v.result == PAGE);
	}
	assert_false(vhu_memory_faulted(f->memory));
}

static void abandoned_pages_fail(void **state)
{
	struct fixture *f = *state;
	struct visitor stuck[N_VISITS], later;
	char disk[PAGE];

	NEED(f);
	for (unsigned i = 0; i < N_VISITS; i++) {
		visit(&stuck[i], f, visits[i], 2 + 2 * i);
		next_fault(f);
	}
	usleep(MOMENT_MS * 1000);
	for (unsigned i = 0; i < N_VISITS; i++)
		assert_false(stuck[i].done);
	vhu_userfault_abandon(&f->userfault, f->memory);
	assert_true(vhu_memory_faulted(f->memory));
	vhu_userfault_close(&f->userfault);
	for (unsigned i = 0; i < N_VISITS; i++) {
		visit_ends(&stuck[i]);
		if (visits[i] != read_page)
			assert_int_equal(stuck[i].result, -EFAULT);
	}
	/* What was there is lost with the rest; what an instruction was given is for it alone. */
	for (unsigned i = 1; i < N_VISITS; i++) {
		visit(&later, f, visits[i], 0);
		visit_ends(&later);
		assert_int_equal(later.result, -EFAULT);
	}
	assert_int_equal(*(volatile char *)page_at(f, 0), 0);
	assert_int_equal(f->front[0], 'a');
	assert_int_equal(pread(f->disk_fd, disk, sizeof(disk), 0), sizeof(disk));
	assert_memory_equal(disk, "disk", 4);
}

/* The end of a postcopy: what has not come by then is what the file says, zeros. */
static void the_end_lets_all_go(void **state)
{
	struct fixture *f = *state;
	struct visitor v;

	NEED(f);
	visit(&v, f, read_page, 3);
	next_fault(f);
	vhu_userfault_unregister(&f->userfault, f->memory);
	vhu_userfault_close(&f->userfault);
	visit_ends(&v);
	assert_int_equal(v.seen, 0);
	assert_true(vhu_memory_is_whole(f->memory));
	visit(&v, f, write_disk, 5);
	visit_ends(&v);
	assert_int_equal(v.result, PAGE);
}

/* A map derived from one that is registered shares what waits with it. */
static void a_region_may_come_later(void **state)
{
	struct fixture *f = *state;
	struct vhu_memory_region region = { N_PAGES * PAGE, PAGE, UADDR + N_PAGES * PAGE, 0 };
	struct vhu_memory *next;
	struct visitor v;

	NEED(f);
	visit(&v, f, read_page, 6);
	next_fault(f);
	region.mmap_offset = PAGE;
	assert_int_equal(vhu_memory_with_region(f->memory, &region, f->fd, &next), 0);
	assert_int_equal(vhu_userfault_register(&f->userfault, next), 0);
	vhu_memory_unref(f->memory);
	f->memory = next;
	bring(f, 6);
	visit_ends(&v);
	assert_int_equal(v.seen, 'g');
	visit(&v, f, read_page, N_PAGES);
	assert_int_equal(next_fault(f), (uintptr_t)v.at);
	vhu_userfault_abandon(&f->userfault, next);
	visit_ends(&v);
	assert_true(vhu_memory_faulted(next));
}

/* Pages of a plain file cannot be on their way. */
static void not_every_file_will_do(void **state)
{
	struct fixture *f = *state;
	struct vhu_memory_region region = { N_PAGES * PAGE, PAGE, UADDR + N_PAGES * PAGE, 0 };
	int fd = open("/var/tmp", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
	struct vhu_memory *next;

	NEED(f);
	if (fd < 0 || ftruncate(fd, PAGE) < 0)
		skip();
	assert_int_equal(vhu_memory_with_region(f->memory, &region, fd, &next), 0);
	assert_int_equal(vhu_userfault_register(&f->userfault, next), -EINVAL);
	vhu_memory_unref(next);
	close(fd);
}

/* The machine need not have huge pages to spare: nobody brings the one that is asked for. */
static void huge_pages(void **state)
{
	struct fixture *f = *state;
	int fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB | MFD_HUGE_2MB);
	struct vhu_memory_region region = { 1ull << 30, 1ull << 20, UADDR + (1ull << 30),
					    1ull << 20 };
	struct vhu_memory *next;
	struct visitor v;

	NEED(f);
	if (fd < 0)
		skip();
	assert_int_equal(ftruncate(fd, 2 << 20), 0);
	assert_int_equal(vhu_memory_with_region(f->memory, &region, fd, &next), 0);
	assert_int_equal(vhu_userfault_register(&f->userfault, next), 0);
	vhu_memory_unref(f->memory);
	f->memory = next;
	visit(&v, f, write_disk, (1u << 30) / PAGE);
	assert_int_equal(next_fault(f), (uintptr_t)v.at - (1 << 20));
	vhu_userfault_abandon(&f->userfault, next);
	visit_ends(&v);
	assert_int_equal(v.result, -EFAULT);
	assert_int_equal(*(volatile char *)v.at, 0);
	close(fd);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(missing_pages_are_waited_for),
		TEST(abandoned_pages_fail),
		TEST(the_end_lets_all_go),
		TEST(a_region_may_come_later),
		TEST(not_every_file_will_do),
		TEST(huge_pages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
