/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/num.h"
#include "common/memory/map.h"

#define KIB 1024ull
#define MIB (1024 * KIB)
#define UADDR 0x7f0000000000ull /* where the front-end has guest address 0 */

/* A file of so many bytes in which each 64-bit word is its own offset. */
static int make_file(size_t size)
{
	int fd = memfd_create("vhu-test-map", MFD_CLOEXEC);
	uint64_t *words, i;

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	words = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(words, MAP_FAILED);
	for (i = 0; i < size / 8; i++)
		words[i] = i * 8;
	munmap(words, size);
	return fd;
}

static uint64_t word_at(const void *p)
{
	uint64_t word;

	memcpy(&word, p, sizeof(word));
	return word;
}

/* Mappings in this process of files by make_file(). */
static unsigned count_mappings(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[512];
	unsigned n = 0;

	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps))
		n += strstr(line, "vhu-test-map") != NULL;
	fclose(maps);
	return n;
}

static bool is_mapped(const void *address)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	unsigned long start, end;
	bool found = false;
	char line[512];

	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%lx-%lx", &start, &end) == 2)
			found |= (uintptr_t)address >= start && (uintptr_t)address < end;
	}
	fclose(maps);
	return found;
}

static struct vhu_memory_region region_at(uint64_t gpa, uint64_t size, uint64_t mmap_offset)
{
	return (struct vhu_memory_region){ gpa, size, UADDR + gpa, mmap_offset };
}

static struct vhu_memory *empty_map(void)
{
	struct vhu_memory *memory = NULL;

	assert_int_equal(vhu_memory_new(&memory), 0);
	return memory;
}

/* The map with one region more; the old reference is given up. */
static struct vhu_memory *add(struct vhu_memory *old, struct vhu_memory_region region, int fd)
{
	struct vhu_memory *memory = NULL;

	assert_int_equal(vhu_memory_with_region(old, &region, fd, &memory), 0);
	vhu_memory_unref(old);
	return memory;
}

static void test_empty(void **state)
{
	struct vhu_memory_region region = region_at(0, 4096, 0);
	struct vhu_memory *memory = empty_map(), *next = NULL;
	struct vhu_memory_cache cache = { 0 };
	struct iovec iov;

	(void)state;
	assert_int_equal(vhu_memory_translate(memory, &cache, 0, 0, &iov, 1), 0);
	assert_int_equal(vhu_memory_translate(memory, &cache, 0, 1, &iov, 1), -EFAULT);
	assert_null(vhu_memory_from_gpa(memory, 0, 1));
	assert_null(vhu_memory_from_uaddr(memory, UADDR, 1));
	assert_int_equal(vhu_memory_without_region(memory, &region, &next), -ENOENT);
	assert_int_equal(vhu_memory_with_table(memory, NULL, NULL, 0, &next), 0);
	assert_int_equal(next->n_slots, 0);
	assert_false(vhu_memory_faulted(memory));
	vhu_memory_unref(memory);
	vhu_memory_unref(next);
	vhu_memory_unref(NULL);
}

static void test_bad_regions(void **state)
{
	int fd = make_file(64 * KIB), other = make_file(64 * KIB), fds[2] = { fd, other };
	const struct {
		int result;
		struct vhu_memory_region region;
	} cases[] = {
		{ -EINVAL, { 0, 0, UADDR, 0 } },
		{ -EINVAL, { UINT64_MAX - 4095, 4096, UADDR, 0 } },
		{ -EINVAL, { 0, 4096, UINT64_MAX - 4095, 0 } },
		{ -EINVAL, { 0, 4096, UADDR, UINT64_MAX - 4095 } },
		{ -EINVAL, { 0, 4096, UADDR, INT64_MAX - 4094 } },
		{ -EINVAL, { 0, UINT64_MAX, 0, 0 } },
		{ -ERANGE, { 0, 64 * KIB + 1, UADDR, 0 } },
		{ -ERANGE, { 0, 4096, UADDR, 61 * KIB } },
		{ -ERANGE, { 0, 1ull << 40, UADDR, 0 } },
		/* Each overlaps the region that is there, guest or user: 64 KiB from 1 MiB. */
		{ -EINVAL, { 1 * MIB, 4096, UADDR, 0 } },
		{ -EINVAL, { 1 * MIB + 32 * KIB, 64 * KIB, UADDR, 0 } },
		{ -EINVAL, { 1 * MIB - 4096, 8192, UADDR, 0 } },
		{ -EINVAL, { 0, 4096, UADDR + 1 * MIB, 0 } },
		{ -EINVAL, { 0, 8192, UADDR + 1 * MIB - 4097, 0 } },
	};
	struct vhu_memory *memory = add(empty_map(), region_at(1 * MIB, 64 * KIB, 0), fd);
	struct vhu_memory *next = NULL;
	struct vhu_memory_region pair[2];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(vhu_memory_with_region(memory, &cases[i].region, other, &next),
				 cases[i].result);
		/* In a table of two, as the second. */
		pair[0] = region_at(1 * MIB, 64 * KIB, 0);
		pair[1] = cases[i].region;
		assert_int_equal(vhu_memory_with_table(memory, pair, fds, 2, &next),
				 cases[i].result);
		assert_null(next);
		assert_int_equal(count_mappings(), 1);
	}
	assert_int_equal(memory->n_slots, 1);
	assert_non_null(vhu_memory_from_gpa(memory, 1 * MIB, 64 * KIB));
	vhu_memory_unref(memory);
	assert_int_equal(count_mappings(), 0);
	close(fd);
	close(other);
}

static void test_bad_files(void **state)
{
	struct vhu_memory_region region = region_at(0, 4096, 0);
	struct vhu_memory *memory = empty_map(), *next = NULL;
	int fd = make_file(4096), event = eventfd(0, 0), read_only;
	char path[64];

	(void)state;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	read_only = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(vhu_memory_with_region(memory, &region, -1, &next), -EBADF);
	assert_int_equal(vhu_memory_with_region(memory, &region, read_only, &next), -EACCES);
	assert_int_equal(vhu_memory_with_region(memory, &region, event, &next), -ENODEV);
	assert_null(next);
	vhu_memory_unref(memory);
	close(read_only);
	close(fd);
	close(event);
}

static void test_slots(void **state)
{
	static struct vhu_memory_region table[VHU_MEMORY_SLOTS + 1];
	static int fds[VHU_MEMORY_SLOTS + 1];
	int fd = make_file((VHU_MEMORY_SLOTS + 1) * 4096);
	struct vhu_memory *memory = empty_map(), *next = NULL;
	unsigned i, mixed;

	(void)state;
	for (i = 0; i <= VHU_MEMORY_SLOTS; i++) {
		/* In no order: 509 is prime. User addresses run the other way; gaps of a page. */
		mixed = i * 100 % VHU_MEMORY_SLOTS + i / VHU_MEMORY_SLOTS * VHU_MEMORY_SLOTS;
		table[i] = (struct vhu_memory_region){ mixed * 8192ull, 4096,
						       UADDR - mixed * 8192ull, mixed * 4096ull };
		fds[i] = fd;
		if (i < VHU_MEMORY_SLOTS)
			memory = add(memory, table[i], fd);
	}
	assert_int_equal(vhu_memory_with_region(memory, &table[VHU_MEMORY_SLOTS], fd, &next),
			 -ENOSPC);
	assert_int_equal(vhu_memory_with_table(memory, table, fds, VHU_MEMORY_SLOTS + 1, &next),
			 -ENOSPC);
	assert_int_equal(count_mappings(), VHU_MEMORY_SLOTS);
	assert_int_equal(vhu_memory_with_table(memory, table, fds, VHU_MEMORY_SLOTS, &next), 0);
	assert_int_equal(count_mappings(), 2 * VHU_MEMORY_SLOTS);
	vhu_memory_unref(memory);
	assert_int_equal(count_mappings(), VHU_MEMORY_SLOTS);
	for (i = 0; i < VHU_MEMORY_SLOTS; i++) {
		void *p = vhu_memory_from_gpa(next, i * 8192ull + 8, 4088);

		assert_non_null(p);
		assert_true(word_at(p) == i * 4096 + 8);
		assert_ptr_equal(vhu_memory_from_uaddr(next, UADDR - i * 8192ull + 8, 4088), p);
		assert_null(vhu_memory_from_gpa(next, i * 8192ull + 8, 4089));
		assert_null(vhu_memory_from_gpa(next, i * 8192ull + 4096, 1));
		assert_null(vhu_memory_from_uaddr(next, UADDR - i * 8192ull - 1, 1));
	}
	vhu_memory_unref(next);
	assert_int_equal(count_mappings(), 0);
	close(fd);
}

/* Nothing says that a region begins on a page of its file. */
static void test_unaligned_offset(void **state)
{
	int fd = make_file(64 * KIB);
	struct vhu_memory *memory = add(empty_map(), region_at(0, 8 * KIB, 4096 + 512), fd);

	(void)state;
	assert_true(word_at(vhu_memory_from_gpa(memory, 0, 8 * KIB)) == 4096 + 512);
	assert_true(word_at(vhu_memory_from_gpa(memory, 8 * KIB - 8, 8)) == 12 * KIB + 512 - 8);
	assert_null(vhu_memory_from_gpa(memory, 0, 8 * KIB + 1));
	vhu_memory_unref(memory);
	assert_int_equal(count_mappings(), 0);
	close(fd);
}

/*
 * a: 0 to 16 KiB, b: on to 32 KiB, from elsewhere in the file; a gap; c: 48 to 64 KiB. Also a
 * region at the very end of what can be addressed.
 */
static struct vhu_memory *make_abc(int fd)
{
	struct vhu_memory *memory = empty_map();
	struct vhu_memory_region last = { UINT64_MAX - 8191, 8191, UADDR - MIB, 0 };

	memory = add(memory, region_at(48 * KIB, 16 * KIB, 0), fd);
	memory = add(memory, region_at(0, 16 * KIB, 32 * KIB), fd);
	memory = add(memory, last, fd);
	return add(memory, region_at(16 * KIB, 16 * KIB, 16 * KIB), fd);
}

static void test_translate(void **state)
{
	static const struct {
		uint64_t gpa, len;
		size_t max;
		int result;
	} cases[] = {
		{ 0, 16 * KIB, 1, 1 },
		{ 8 * KIB, 0, 1, 0 },
		{ 16 * KIB - 8, 8, 1, 1 },
		{ 16 * KIB - 8, 16, 2, 2 },
		{ 16 * KIB - 8, 16, 1, -E2BIG },
		{ 0, 32 * KIB, 2, 2 },
		{ 0, 32 * KIB + 1, 4, -EFAULT },
		{ 32 * KIB - 1, 2, 4, -EFAULT },
		{ 32 * KIB, 1, 4, -EFAULT },
		{ 48 * KIB - 1, 2, 4, -EFAULT },
		{ 24 * KIB, 32 * KIB, 4, -EFAULT },
		{ 64 * KIB, 1, 4, -EFAULT },
		{ 63 * KIB, 1 * KIB, 4, 1 },
		{ 0, UINT64_MAX, 4, -EFAULT },
		{ 48 * KIB, UINT64_MAX, 4, -EFAULT },
		{ UINT64_MAX - 1, 1, 4, 1 },
		{ UINT64_MAX - 1, 2, 4, -EFAULT },
		{ UINT64_MAX - 1, 8 * KIB, 4, -EFAULT },
		{ UINT64_MAX, 1, 4, -EFAULT },
		{ UINT64_MAX, UINT64_MAX, 4, -EFAULT },
		{ 0, 0, 4, 0 },
		{ 40 * KIB, 0, 4, 0 },
		{ 0, 1, 0, -E2BIG },
	};
	int fd = make_file(64 * KIB), round, r;
	struct vhu_memory *memory = make_abc(fd);
	struct vhu_memory_cache cache = { 0 };
	struct iovec iov[4];
	uint64_t total;
	size_t i;

	(void)state;
	/* Twice: with the cache as the case before left it, and as the case itself does. */
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		for (round = 0; round < 2; round++) {
			r = vhu_memory_translate(memory, &cache, cases[i].gpa, cases[i].len, iov,
						 cases[i].max);
			assert_int_equal(r, cases[i].result);
			for (total = 0; r > 0; r--)
				total += iov[r - 1].iov_len;
			assert_true(cases[i].result < 0 || total == cases[i].len);
		}
	}
	assert_int_equal(vhu_memory_translate(memory, &cache, 16 * KIB - 8, 16, iov, 4), 2);
	assert_true(word_at(iov[0].iov_base) == 48 * KIB - 8);
	assert_true(word_at(iov[1].iov_base) == 16 * KIB);
	/* One piece inside one region, or nothing. */
	assert_null(vhu_memory_from_gpa(memory, 16 * KIB - 8, 16));
	assert_null(vhu_memory_from_uaddr(memory, UADDR + 16 * KIB - 8, 16));
	assert_ptr_equal(vhu_memory_from_uaddr(memory, UADDR + 16 * KIB - 8, 8), iov[0].iov_base);
	assert_null(vhu_memory_from_gpa(memory, 16 * KIB, UINT64_MAX));
	assert_null(vhu_memory_from_uaddr(memory, 0, 1));
	vhu_memory_unref(memory);
	close(fd);
}

static void test_cache(void **state)
{
	int fd = make_file(64 * KIB);
	struct vhu_memory *memory = make_abc(fd);
	struct vhu_memory_cache cache = { 0 };
	struct iovec iov[2];

	(void)state;
	assert_null(vhu_memory_cached(&cache, 0, 1));
	assert_int_equal(vhu_memory_translate(memory, &cache, 48 * KIB, 8, iov, 2), 1);
	assert_true(word_at(iov[0].iov_base) == 0);
	assert_true(cache.slot->gpa == 48 * KIB);
	assert_ptr_equal(vhu_memory_cached(&cache, 48 * KIB + 8, 16 * KIB - 8),
			 (char *)iov[0].iov_base + 8);
	assert_null(vhu_memory_cached(&cache, 48 * KIB + 8, 16 * KIB - 7));
	assert_null(vhu_memory_cached(&cache, 48 * KIB - 1, 1));

	/* A miss takes the other region in, a hit leaves the cache alone, a failure too. */
	assert_int_equal(vhu_memory_translate(memory, &cache, 16 * KIB, 8, iov, 2), 1);
	assert_true(word_at(iov[0].iov_base) == 16 * KIB);
	assert_true(cache.slot->gpa == 16 * KIB);
	assert_int_equal(vhu_memory_translate(memory, &cache, 40 * KIB, 8, iov, 2), -EFAULT);
	assert_int_equal(vhu_memory_translate(memory, &cache, 32 * KIB - 8, 8, iov, 2), 1);
	assert_true(word_at(iov[0].iov_base) == 32 * KIB - 8);
	assert_true(cache.slot->gpa == 16 * KIB);
	vhu_memory_unref(memory);
	close(fd);
}

static void test_sharing(void **state)
{
	struct vhu_memory_region a = region_at(0, 16 * KIB, 0), b = region_at(1 * MIB, 4096, 0);
	struct vhu_memory *one, *two, *three = NULL, *four = NULL;
	int fd = make_file(64 * KIB);
	void *host;

	(void)state;
	one = add(empty_map(), a, fd);
	host = vhu_memory_from_gpa(one, 0, 1);
	two = add(vhu_memory_ref(one), b, fd);
	assert_int_equal(count_mappings(), 2);
	assert_ptr_equal(vhu_memory_from_gpa(two, 0, 1), host);
	assert_null(vhu_memory_from_gpa(one, 1 * MIB, 1));

	/* All three must agree; where it is in its file does not matter. */
	a.size--;
	assert_int_equal(vhu_memory_without_region(two, &a, &three), -ENOENT);
	a.size++;
	a.uaddr++;
	assert_int_equal(vhu_memory_without_region(two, &a, &three), -ENOENT);
	a.uaddr--;
	a.mmap_offset = 4711;
	assert_int_equal(vhu_memory_without_region(two, &a, &three), 0);
	assert_null(vhu_memory_from_gpa(three, 0, 1));
	assert_non_null(vhu_memory_from_gpa(three, 1 * MIB, 1));
	assert_int_equal(vhu_memory_without_region(three, &b, &four), 0);

	/* What is gone from the newest map stays for those who hold an older one. */
	assert_int_equal(count_mappings(), 2);
	vhu_memory_unref(three);
	vhu_memory_unref(two);
	assert_int_equal(count_mappings(), 1);
	assert_true(word_at((char *)host + 8) == 8);
	vhu_memory_unref(one);
	assert_int_equal(count_mappings(), 0);
	assert_false(is_mapped(host));
	assert_false(vhu_memory_faulted(four));
	vhu_memory_unref(four);
	close(fd);
}

/* A session may want the files: each is a copy, and goes with the last map that has the region. */
static void test_kept_files(void **state)
{
	struct vhu_memory *memory = empty_map(), *without;
	struct vhu_memory_region region = region_at(0, 64 * KIB, 4 * KIB);
	int fd = make_file(80 * KIB), copy;
	const struct vhu_memory_slot *slot;
	uint64_t word;

	(void)state;
	memory = add(memory, region, fd);
	assert_int_equal(memory->by_gpa[0].mapping->fd, -1);
	vhu_memory_unref(memory);
	memory = empty_map();
	memory->health->keeps_files = true;
	memory = add(memory, region, fd);
	close(fd);
	slot = &memory->by_gpa[0];
	copy = slot->mapping->fd;
	assert_int_equal(fcntl(copy, F_GETFD), FD_CLOEXEC);
	assert_int_equal(slot->mapping->offset, 4 * KIB);
	assert_int_equal(pread(copy, &word, 8, (off_t)slot->mapping->offset + 16), 8);
	assert_int_equal(word, word_at(slot->host + 16));
	assert_int_equal(vhu_memory_without_region(memory, &region, &without), 0);
	vhu_memory_unref(without);
	assert_int_equal(fcntl(copy, F_GETFD), FD_CLOEXEC);
	vhu_memory_unref(memory);
	assert_int_equal(fcntl(copy, F_GETFD), -1);
}

static void test_truncated_file(void **state)
{
	struct vhu_memory *old, *memory, *stranger = empty_map();
	int fd = make_file(64 * KIB), sound = make_file(4096);
	volatile char *host;

	(void)state;
	old = add(empty_map(), region_at(0, 64 * KIB, 0), fd);
	memory = add(vhu_memory_ref(old), region_at(1 * MIB, 4096, 0), sound);
	host = vhu_memory_from_gpa(memory, 0, 64 * KIB);
	assert_int_equal(ftruncate(fd, 16 * KIB), 0);
	assert_int_equal(host[8], 8);
	assert_false(vhu_memory_faulted(memory));
	assert_int_equal(host[32 * KIB], 0);
	host[63 * KIB] = 'x';
	assert_true(vhu_memory_faulted(memory));
	assert_true(vhu_memory_faulted(old));
	assert_false(vhu_memory_faulted(stranger));
	vhu_memory_note_fault(stranger);
	assert_true(vhu_memory_faulted(stranger));

	vhu_memory_unref(old);
	vhu_memory_unref(memory);
	vhu_memory_unref(stranger);
	assert_int_equal(count_mappings(), 0);
	/* The zeros that went over the holes went too. */
	assert_false(is_mapped((void *)(host + 32 * KIB)));
	assert_false(is_mapped((void *)(host + 63 * KIB)));
	close(fd);
	close(sound);
}

/*
 * Huge pages are mapped, replaced and unmapped whole. The machine need not have any to spare: an
 * access then faults as one past the end of the file does.
 */
static void test_huge_pages(void **state)
{
	int fd = memfd_create("vhu-test-map", MFD_CLOEXEC | MFD_HUGETLB | MFD_HUGE_2MB), r;
	struct vhu_memory_region region = region_at(0, 2 * MIB, 1 * MIB + 8 * KIB);
	struct vhu_memory *memory = empty_map(), *next = NULL;
	volatile char *host;

	(void)state;
	if (fd < 0 || ftruncate(fd, 4 * MIB) < 0) {
		vhu_memory_unref(memory);
		skip();
	}
	r = vhu_memory_with_region(memory, &region, fd, &next);
	vhu_memory_unref(memory);
	assert_int_equal(r, 0);
	host = vhu_memory_from_gpa(next, 0, 2 * MIB);
	assert_int_equal((uintptr_t)host % (2 * MIB), 1 * MIB + 8 * KIB);
	host[0] = 'a';
	host[2 * MIB - 1] = 'b';
	assert_int_equal(host[0], 'a');
	assert_int_equal(host[2 * MIB - 1], 'b');

	assert_int_equal(ftruncate(fd, 0), 0);
	host[4096] = 'c';
	host[1 * MIB] = 'd';
	assert_true(vhu_memory_faulted(next));
	assert_int_equal(host[4096], 'c');
	assert_int_equal(host[1 * MIB], 'd');
	vhu_memory_unref(next);
	assert_false(is_mapped((void *)host));
	assert_false(is_mapped((void *)(host + 2 * MIB)));
	close(fd);
}

static void *hold_and_drop(void *data)
{
	struct vhu_memory *memory = data;
	int i;

	for (i = 0; i < 20000; i++)
		vhu_memory_unref(vhu_memory_ref(memory));
	vhu_memory_unref(memory);
	return NULL;
}

static void test_references_of_threads(void **state)
{
	int fd = make_file(64 * KIB), i;
	struct vhu_memory *memory = add(empty_map(), region_at(0, 64 * KIB, 0), fd);
	pthread_t threads[4];

	(void)state;
	for (i = 0; i < 4; i++)
		assert_int_equal(
			pthread_create(&threads[i], NULL, hold_and_drop, vhu_memory_ref(memory)),
			0);
	vhu_memory_unref(memory);
	for (i = 0; i < 4; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(count_mappings(), 0);
	close(fd);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_bad_regions),
		cmocka_unit_test(test_bad_files),
		cmocka_unit_test(test_slots),
		cmocka_unit_test(test_unaligned_offset),
		cmocka_unit_test(test_translate),
		cmocka_unit_test(test_cache),
		cmocka_unit_test(test_sharing),
		cmocka_unit_test(test_kept_files),
		cmocka_unit_test(test_truncated_file),
		cmocka_unit_test(test_huge_pages),
		cmocka_unit_test(test_references_of_threads),
	};

	alarm(120);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
