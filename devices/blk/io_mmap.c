/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reads and writes by copying from and to a mapping of the file, in those chunks of it that are
 * full of data and whose pages are in our page table: then a copy takes no fault. All else is left
 * to the sync engine, so that reading a hole fills no memory, and a file system without room gives
 * an error and no signal. When a copy does fault (the file was cut short), the mapping is given up
 * for good and the request is done anew by system calls.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/fault.h"
#include "common/base/log.h"
#include "common/base/num.h"
#include "devices/blk/copy.h"
#include "devices/blk/io.h"

#define CHUNK_BYTES (2ull << 20)
/* The file may grow by so much before the sync engine has to serve the rest of it. */
#define ROOM_BYTES (64ull << 30)

#define PREFETCH_LINES 8u

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

/*
 * What a chunk's word says: copy; full of data, but its pages are not in our page table yet; or so
 * many bytes more by system calls until the next look.
 */
#define CHUNK_FULL UINT32_MAX
#define CHUNK_DATA (UINT32_MAX - 1)

struct mapped {
	struct vhu_blk_io io;
	char *base;
	size_t len_bytes; /* a multiple of the chunk; reaches beyond the end of the file */
	bool read_only;
	struct vhu_fault_guard guard;
	atomic_bool faulted;
	atomic_flag told;
	_Atomic uint32_t *chunks;
	/*
	 * A look at a chunk and the making of holes do not mix. Nobody waits for it on the way of
	 * reads and writes.
	 */
	pthread_mutex_t mutex;
};

/*
 * By the page cache, which on tmpfs is all there is but for swap. SEEK_HOLE would search up to the
 * next hole, wherever that is. mincore() tells the truth only to who may write.
 */
static bool is_resident(const struct mapped *m, uint64_t offset)
{
	unsigned char pages[CHUNK_BYTES / 4096];
	size_t n = CHUNK_BYTES / (size_t)sysconf(_SC_PAGESIZE);

	if (m->read_only || mincore(m->base + offset, CHUNK_BYTES, pages) < 0)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!(pages[i] & 1))
			return false;
	return true;
}

static bool look_at(struct mapped *m, uint64_t chunk)
{
	uint64_t offset = chunk * CHUNK_BYTES;
	bool full;

	if (pthread_mutex_trylock(&m->mutex))
		return false;
	full = (atomic_load(&m->chunks[chunk]) == CHUNK_DATA || is_resident(m, offset)) &&
	       madvise(m->base + offset, CHUNK_BYTES, MADV_POPULATE_READ) == 0;
	atomic_store_explicit(&m->chunks[chunk], full ? CHUNK_FULL : (uint32_t)CHUNK_BYTES,
			      memory_order_release);
	pthread_mutex_unlock(&m->mutex);
	return full;
}

/* May len bytes of this chunk be copied? A look at it is due once in so many bytes that cannot. */
static bool chunk_is_full(struct mapped *m, uint64_t chunk, uint64_t len)
{
	uint32_t word = atomic_load_explicit(&m->chunks[chunk], memory_order_acquire);

	if (word == CHUNK_FULL)
		return true;
	if (word == CHUNK_DATA || word <= len)
		return look_at(m, chunk);
	/* Who loses the race only makes the next look come later. */
	atomic_compare_exchange_weak_explicit(&m->chunks[chunk], &word, word - (uint32_t)len,
					      memory_order_relaxed, memory_order_relaxed);
	return false;
}

static bool may_copy(struct mapped *m, const struct vhu_blk_io_op *op)
{
	uint64_t last = (op->offset_bytes + op->len_bytes - 1) / CHUNK_BYTES;

	if (!op->len_bytes || op->flags & VHU_BLK_PARTIAL || last >= m->len_bytes / CHUNK_BYTES ||
	    atomic_load_explicit(&m->faulted, memory_order_relaxed))
		return false;
	for (uint64_t i = op->offset_bytes / CHUNK_BYTES; i <= last; i++)
		if (!chunk_is_full(m, i, op->len_bytes))
			return false;
	return true;
}

static void tell_given_up(struct mapped *m)
{
	if (!atomic_flag_test_and_set(&m->told))
		vhu_warning("blk: the image was cut short or its file system is full: it is not "
			    "mapped any more");
}

static int transfer(struct mapped *m, struct vhu_blk_io_op *op)
{
	struct vhu_iov_cursor begin = op->data;
	char *at = m->base + op->offset_bytes;

	if (!may_copy(m, op))
		return vhu_blk_sync_submit(&m->io, op);
	if (op->op == VHU_BLK_READ)
		vhu_iov_write(&op->data, at, op->len_bytes);
	else
		vhu_blk_copy_to_disk(&op->data, at, op->len_bytes);

	/* The handler runs in the middle of the copy, or on another thread before our page went. */
	atomic_signal_fence(memory_order_seq_cst);
	if (atomic_load_explicit(&m->faulted, memory_order_acquire)) {
		tell_given_up(m);
		op->data = begin;
		return vhu_blk_sync_submit(&m->io, op);
	}
	if (op->flags & VHU_BLK_DURABLE)
		return vhu_blk_flush(&m->io.flush, m->io.fd);
	return 0;
}

static void forget_chunks(struct mapped *m, uint64_t first, uint64_t end)
{
	end = min_u64(end, m->len_bytes / CHUNK_BYTES);
	for (uint64_t i = first; i < end; i++)
		atomic_store_explicit(&m->chunks[i], 0, memory_order_release);
}

static int make_holes(struct mapped *m, struct vhu_blk_io_op *op)
{
	uint64_t end = op->offset_bytes + op->len_bytes;
	int r;

	pthread_mutex_lock(&m->mutex);
	forget_chunks(m, op->offset_bytes / CHUNK_BYTES, (end + CHUNK_BYTES - 1) / CHUNK_BYTES);
	r = vhu_blk_sync_submit(&m->io, op);
	pthread_mutex_unlock(&m->mutex);
	return r;
}

static int mmap_submit(struct vhu_blk_io *io, struct vhu_blk_io_op *op)
{
	struct mapped *m = container_of(io, struct mapped, io);

	switch (op->op) {
	case VHU_BLK_READ:
	case VHU_BLK_WRITE:
		return transfer(m, op);
	case VHU_BLK_FLUSH:
		return vhu_blk_sync_submit(io, op);
	default:
		return make_holes(m, op);
	}
}

/* The first lines; the processor goes on by itself then. A prefetch never faults. */
static void mmap_prefetch(struct vhu_blk_io *io, uint64_t offset_bytes)
{
	struct mapped *m = container_of(io, struct mapped, io);

	if (!range_fits(offset_bytes, PREFETCH_LINES * 64, m->len_bytes))
		return;
	for (unsigned i = 0; i < PREFETCH_LINES; i++)
		__builtin_prefetch(m->base + offset_bytes + i * 64);
}

static void mmap_resize(struct vhu_blk_io *io, uint64_t size_bytes)
{
	struct mapped *m = container_of(io, struct mapped, io);

	pthread_mutex_lock(&m->mutex);
	forget_chunks(m, size_bytes / CHUNK_BYTES, UINT64_MAX);
	pthread_mutex_unlock(&m->mutex);
}

static void mmap_close(struct vhu_blk_io *io)
{
	struct mapped *m = container_of(io, struct mapped, io);

	vhu_fault_unguard(&m->guard);
	if (m->base)
		munmap(m->base, m->len_bytes);
	free(m->chunks);
	pthread_mutex_destroy(&m->mutex);
	vhu_blk_io_finish(&m->io);
	free(m);
}

/* Which chunks have no hole, as the file is now. */
static void find_data(struct mapped *m, uint64_t size_bytes)
{
	off_t data, hole = 0;

	while ((data = lseek(m->io.fd, hole, SEEK_DATA)) >= 0) {
		hole = lseek(m->io.fd, data, SEEK_HOLE);
		if (hole < 0 || (uint64_t)hole > size_bytes)
			return;
		for (uint64_t i = ((uint64_t)data + CHUNK_BYTES - 1) / CHUNK_BYTES;
		     i < (uint64_t)hole / CHUNK_BYTES; i++)
			atomic_store(&m->chunks[i], CHUNK_DATA);
	}
}

static int map_file(struct mapped *m, bool read_only)
{
	struct stat st;
	void *base;

	if (fstat(m->io.fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -ENODEV;
	m->len_bytes = ((uint64_t)st.st_size + ROOM_BYTES) / CHUNK_BYTES * CHUNK_BYTES;
	m->chunks = calloc(m->len_bytes / CHUNK_BYTES, sizeof(*m->chunks));
	if (!m->chunks)
		return -ENOMEM;
	base = mmap(NULL, m->len_bytes, read_only ? PROT_READ : PROT_READ | PROT_WRITE, MAP_SHARED,
		    m->io.fd, 0);
	if (base == MAP_FAILED)
		return -errno;
	m->base = base;
	m->read_only = read_only;
	find_data(m, (uint64_t)st.st_size);
	/* A core dump of ours is not to hold the disk, nor a child of ours to see it. */
	madvise(base, m->len_bytes, MADV_DONTDUMP);
	madvise(base, m->len_bytes, MADV_DONTFORK);
	return vhu_fault_guard(&m->guard, base, m->len_bytes, (size_t)sysconf(_SC_PAGESIZE),
			       &m->faulted);
}

static int mmap_open(int fd, bool read_only, struct vhu_blk_io **ret_io)
{
	struct mapped *m = calloc(1, sizeof(*m));
	int r;

	if (!m)
		return -ENOMEM;
	r = vhu_blk_io_init(&m->io, &vhu_blk_io_mmap, fd);
	if (r < 0) {
		free(m);
		return r;
	}
	atomic_init(&m->faulted, false);
	atomic_flag_clear(&m->told);
	pthread_mutex_init(&m->mutex, NULL);
	r = map_file(m, read_only);
	if (r < 0) {
		mmap_close(&m->io);
		return r;
	}
	*ret_io = &m->io;
	return 0;
}

const struct vhu_blk_io_ops vhu_blk_io_mmap = {
	.name = "mmap",
	.in_order = true,
	.open = mmap_open,
	.close = mmap_close,
	.submit = mmap_submit,
	.prefetch = mmap_prefetch,
	.resize = mmap_resize,
};
