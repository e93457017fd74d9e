/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * For guests: churn DISK... with a worker for each, also for a disk that is named twice. Memory and
 * disk are filled with pages that are known by a number each; then pages go from the disk to
 * memory, from memory to the disk and from the processor to memory, at random and past the page
 * cache, and each round all of memory is looked at. Who migrates the guest and loses a write, the
 * back-end's or the processor's, is found out. Ends when the first page of the disk begins with
 * "stop", which the host writes there; then the disk is read once more.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096u
#define WORDS (PAGE / sizeof(uint64_t))
#define N_PAGES 8192u	/* 32 MiB of memory a worker */
#define N_BLOCKS 4096u	/* 16 MiB of disk a worker, one after the other */
#define RUN_MAX 16u	/* pages a request */
#define ACTIONS 400u	/* a round */
#define CONTROL_BYTES PAGE

static int disk;
static unsigned worker;
static uint64_t *memory; /* N_PAGES */
static uint64_t *block;	 /* one page, for what is not kept */
static uint64_t page_number[N_PAGES], block_number[N_BLOCKS], next_number;

static uint64_t word_of(uint64_t number, unsigned i)
{
	return (number + i) * 0x9e3779b97f4a7c15ull;
}

static void fill(uint64_t *page, uint64_t number)
{
	for (unsigned i = 0; i < WORDS; i++)
		page[i] = word_of(number, i);
}

static bool is_page(const uint64_t *page, uint64_t number)
{
	for (unsigned i = 0; i < WORDS; i++)
		if (page[i] != word_of(number, i))
			return false;
	return true;
}

static off_t offset_of(unsigned b)
{
	return CONTROL_BYTES + ((off_t)worker * N_BLOCKS + b) * PAGE;
}

static void fail(const char *what, unsigned where)
{
	printf("not ok: worker %u: %s %u: %s\n", worker, what, where, strerror(errno));
	exit(1);
}

static void from_disk(unsigned b, unsigned p, unsigned n)
{
	if (pread(disk, memory + p * WORDS, n * PAGE, offset_of(b)) != (ssize_t)(n * PAGE))
		fail("cannot read block", b);
	memcpy(&page_number[p], &block_number[b], n * sizeof(*page_number));
}

static void to_disk(unsigned b, unsigned p, unsigned n)
{
	if (pwrite(disk, memory + p * WORDS, n * PAGE, offset_of(b)) != (ssize_t)(n * PAGE))
		fail("cannot write block", b);
	memcpy(&block_number[b], &page_number[p], n * sizeof(*page_number));
}

static void from_processor(unsigned p, unsigned n)
{
	for (; n; n--, p++) {
		page_number[p] = next_number++ << 16;
		fill(memory + p * WORDS, page_number[p]);
	}
}

static unsigned at_random(unsigned n)
{
	return (unsigned)rand() % n;
}

static void act(void)
{
	unsigned n = 1 + at_random(RUN_MAX), kind = at_random(8);
	unsigned p = at_random(N_PAGES - n), b = at_random(N_BLOCKS - n);

	if (kind < 5)
		from_disk(b, p, n);
	else if (kind < 7)
		to_disk(b, p, n);
	else
		from_processor(p, n);
}

/* What was read from the disk and is not touched since is what a back-end without a log loses. */
static unsigned count_wrong_pages(void)
{
	unsigned n = 0;

	for (unsigned p = 0; p < N_PAGES; p++)
		n += !is_page(memory + p * WORDS, page_number[p]);
	return n;
}

static unsigned count_wrong_blocks(void)
{
	unsigned n = 0;

	for (unsigned b = 0; b < N_BLOCKS; b++) {
		if (pread(disk, block, PAGE, offset_of(b)) != PAGE)
			fail("cannot read block", b);
		n += !is_page(block, block_number[b]);
	}
	return n;
}

static bool is_told_to_stop(void)
{
	if (pread(disk, block, PAGE, 0) != PAGE)
		fail("cannot read block", 0);
	return !memcmp(block, "stop", 4);
}

static int run_worker(void)
{
	unsigned wrong;

	srand(worker + 1);
	next_number = (uint64_t)worker << 40;
	for (unsigned p = 0; p < N_PAGES; p++)
		from_processor(p, 1);
	for (unsigned b = 0; b < N_BLOCKS; b += RUN_MAX)
		to_disk(b, b, RUN_MAX);
	for (unsigned round = 1; !is_told_to_stop(); round++) {
		for (unsigned i = 0; i < ACTIONS; i++)
			act();
		wrong = count_wrong_pages();
		if (wrong) {
			errno = 0;
			fail("pages of memory are not what they were:", wrong);
		}
		printf("worker %u: round %u\n", worker, round);
	}
	wrong = count_wrong_blocks();
	if (wrong) {
		errno = 0;
		fail("blocks of the disk are not what they were:", wrong);
	}
	return 0;
}

int main(int argc, char **argv)
{
	unsigned failed = 0;
	int status;

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (worker = 0; (int)worker + 1 < argc; worker++) {
		if (fork())
			continue;
		disk = open(argv[worker + 1], O_RDWR | O_DIRECT);
		if (disk < 0)
			fail("cannot open disk", worker);
		memory = mmap(NULL, (N_PAGES + 1) * PAGE, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (memory == MAP_FAILED)
			return 2;
		block = memory + N_PAGES * WORDS;
		return run_worker();
	}
	while (wait(&status) > 0)
		failed += status != 0;
	return failed != 0;
}
