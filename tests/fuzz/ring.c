/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * A virtqueue under a guest that writes anything anywhere, between any two calls of the device's.
 * IS_PACKED(how) says which layout, from the first byte of the input; WITH_RECORD whether there is
 * an in-flight record, which the front-end fills with anything too. Small memory of two adjoining
 * regions, so that what a guest would have to guess is met often.
 */

#include <endian.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "common/base/num.h"
#include "common/memory/map.h"
#include "common/memory/mapping.h"
#include "common/ring/virtqueue.h"
#include "tests/fuzz/input.h"

#define GPA 0x10000ull
#define UADDR 0x7f0000000000ull
#define REGION_BYTES 0x4000ull
#define MEMORY_BYTES (2 * REGION_BYTES)
#define SIZE_MAX_ENTRIES 64
#define RECORD_BYTES 0x1000ull
#define PACKED_INITIAL_BASE 0x80008000u

struct bench {
	struct input *in;
	struct vhu_virtqueue queue;
	struct vhu_virtqueue_setup setup;
	struct vhu_chain *held[SIZE_MAX_ENTRIES];
	unsigned n_held;
};

static struct vhu_memory *memory;
static char *guest; /* our view of it, as the guest's */
static struct vhu_mapping *record;

static void make_memory(void)
{
	struct vhu_memory_region regions[2];
	struct vhu_memory *none;
	int fd = memfd_create("guest", 0), fds[2] = { fd, fd };

	expect(fd >= 0 && ftruncate(fd, (off_t)MEMORY_BYTES) == 0);
	guest = mmap(NULL, MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	expect(guest != MAP_FAILED);
	for (unsigned i = 0; i < 2; i++)
		regions[i] = (struct vhu_memory_region){
			.gpa = GPA + i * REGION_BYTES,
			.size = REGION_BYTES,
			.uaddr = UADDR + i * REGION_BYTES,
			.mmap_offset = (1 - i) * REGION_BYTES, /* no neighbours here */
		};
	expect(vhu_memory_new(&none) == 0);
	expect(vhu_memory_with_table(none, regions, fds, 2, &memory) == 0);
	vhu_memory_unref(none);
	close(fd);
}

static void make_record(void)
{
	int fd = memfd_create("record", 0);

	expect(fd >= 0 && ftruncate(fd, (off_t)RECORD_BYTES) == 0);
	expect(vhu_mapping_new(fd, 0, RECORD_BYTES, memory->health, &record) == 0);
	close(fd);
}

/* A guest address: mostly of guest memory. */
static uint64_t some_gpa(struct input *in)
{
	return input_u8(in) < 240 ? GPA + input_u16(in) % (MEMORY_BYTES + 64) : input_u64(in);
}

static uint32_t some_length(struct input *in)
{
	static const uint32_t lengths[] = { 0, 1, 16, 48, 512, 4096, 0x4000, 0xffffffff };
	unsigned i = input_below(in, 2 * sizeof(lengths) / sizeof(*lengths));

	return i < sizeof(lengths) / sizeof(*lengths) ? lengths[i] : input_u16(in);
}

static char *guest_at(uint64_t offset)
{
	/* The regions lie the other way round in the file. */
	return guest + (offset % MEMORY_BYTES ^ REGION_BYTES);
}

static void write_guest(uint64_t offset, const void *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		*guest_at(offset + i) = ((const char *)bytes)[i];
}

/* Both layouts' descriptors have address and length in the same places. */
static void write_descriptor(struct bench *b)
{
	struct input *in = b->in;
	uint64_t table = input_u8(in) & 1 ? some_gpa(in) - GPA : b->setup.desc_uaddr - UADDR;
	struct {
		uint64_t addr;
		uint32_t len;
		uint16_t third, fourth;
	} desc = {
		.addr = htole64(some_gpa(in)),
		.len = htole32(some_length(in)),
		.third = htole16(input_u16(in)),
		.fourth = htole16(input_u16(in)),
	};

	write_guest(table + 16 * (input_u8(in) % SIZE_MAX_ENTRIES), &desc, sizeof(desc));
}

static void write_available(struct bench *b)
{
	uint64_t ring = b->setup.driver_uaddr - UADDR;
	uint16_t entry = htole16(input_below(b->in, SIZE_MAX_ENTRIES + 1));
	uint16_t idx;

	memcpy(&idx, guest_at(ring + 2), sizeof(idx));
	write_guest(ring + 4 + 2 * (le16toh(idx) % b->setup.size), &entry, sizeof(entry));
	idx = htole16(le16toh(idx) + 1);
	write_guest(ring + 2, &idx, sizeof(idx));
}

static void write_anything(struct bench *b)
{
	uint8_t bytes[32];
	size_t len = input_below(b->in, sizeof(bytes));
	uint64_t offset = input_u16(b->in);

	input_bytes(b->in, bytes, len);
	write_guest(offset, bytes, len);
}

static void write_record(struct bench *b)
{
	uint64_t at = input_u8(b->in) & 1 ? input_u8(b->in) % 32 : input_u16(b->in) % RECORD_BYTES;
	uint8_t bytes[32];
	size_t len = input_below(b->in, sizeof(bytes) + 1);

	input_bytes(b->in, bytes, len);
	if (WITH_RECORD)
		memcpy(record->host + at, bytes, min_u64(len, RECORD_BYTES - at));
}

/* The bytes from host on that lie in its region; 0: there is none. */
static uint64_t bytes_from(const char *host)
{
	for (unsigned i = 0; i < memory->n_slots; i++) {
		const struct vhu_memory_slot *slot = &memory->by_gpa[i];
		uint64_t offset = (uintptr_t)host - (uintptr_t)slot->host;

		if (offset < slot->size)
			return slot->size - offset;
	}
	return 0;
}

/* A piece may go on in the region that happens to be mapped behind. */
static bool in_memory(const struct iovec *piece)
{
	const char *host = piece->iov_base;
	uint64_t left = piece->iov_len, part;

	while (left) {
		part = min_u64(left, bytes_from(host));
		if (!part)
			return false;
		host += part;
		left -= part;
	}
	return piece->iov_len > 0;
}

static void check_chain(const struct bench *b, const struct vhu_chain *chain)
{
	size_t readable = 0, writable = 0;

	for (uint32_t i = 0; i < chain->n_readable + chain->n_writable; i++) {
		expect(in_memory(&chain->iov[i]));
		*(i < chain->n_readable ? &readable : &writable) += chain->iov[i].iov_len;
	}
	expect(readable == chain->readable_bytes && writable == chain->writable_bytes);
	expect(chain->slot < b->setup.size);
	for (unsigned i = 0; i < b->n_held; i++)
		expect(b->held[i] != chain && b->held[i]->slot != chain->slot);
}

static void pop(struct bench *b)
{
	struct vhu_chain *chain;

	b->queue.cut_short = false;
	chain = vhu_virtqueue_pop(&b->queue);
	if (!chain)
		return;
	check_chain(b, chain);
	expect(b->n_held < b->setup.size);
	b->held[b->n_held++] = chain;
}

/* As a device writes it, at most so much: the bytes may be the ring's own. */
static void push(struct bench *b, unsigned i)
{
	struct vhu_chain *chain = b->held[i];
	struct vhu_iov_cursor writer;
	size_t written;

	vhu_chain_writer(chain, &writer);
	written = vhu_iov_fill(&writer, 0xa5, input_u8(b->in));
	vhu_virtqueue_push(&b->queue, chain, (uint32_t)written);
	b->held[i] = b->held[--b->n_held];
}

static void push_one(struct bench *b)
{
	if (b->n_held)
		push(b, input_u8(b->in) % b->n_held);
}

static void unpop(struct bench *b)
{
	if (b->n_held)
		vhu_virtqueue_unpop(&b->queue, b->held[--b->n_held]);
}

static void publish(struct bench *b)
{
	vhu_virtqueue_publish(&b->queue);
}

static void look(struct bench *b)
{
	vhu_virtqueue_has_news(&b->queue);
}

static void ask_for_kicks(struct bench *b)
{
	vhu_virtqueue_enable_kicks(&b->queue);
}

static void refuse_kicks(struct bench *b)
{
	vhu_virtqueue_disable_kicks(&b->queue);
}

static bool start(struct bench *b, uint32_t base)
{
	b->setup.base = base;
	return vhu_virtqueue_start(&b->queue, &b->setup, memory) == 0;
}

static void stop(struct bench *b)
{
	while (b->n_held)
		push(b, b->n_held - 1);
	vhu_virtqueue_publish(&b->queue);
	vhu_virtqueue_stop(&b->queue);
}

/* The base that stop leaves must be one to start from; what a front-end wrote need not be. */
static void restart(struct bench *b)
{
	stop(b);
	if (!start(b, vhu_virtqueue_base(&b->queue))) {
		expect(WITH_RECORD);
		b->in->left = 0;
	}
}

/* What is held stays in the record, and comes again. */
static void leave(struct bench *b)
{
	if (!b->queue.inflight || b->queue.broken)
		return;
	while (b->n_held)
		vhu_virtqueue_leave(&b->queue, b->held[--b->n_held]);
	restart(b);
}

static void (*const ops[])(struct bench *b) = {
	write_descriptor, write_descriptor, write_descriptor, write_available, write_available,
	write_anything, pop, pop, pop, push_one, push_one, unpop, publish, look, ask_for_kicks,
	refuse_kicks, restart, leave, write_record,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { .at = data, .left = size };
	struct bench b = { .in = &in };
	uint8_t how = input_u8(&in);
	uint32_t base = (uint32_t)input_number(&in, 4);
	bool packed = IS_PACKED(how);

	if (!memory)
		make_memory();
	memset(guest, 0, MEMORY_BYTES);
	if (WITH_RECORD && !record)
		make_record();
	b.setup = (struct vhu_virtqueue_setup){
		.features = (packed ? 1ull << VIRTIO_F_RING_PACKED : 0) |
			    (how & 1 ? 1ull << VIRTIO_RING_F_EVENT_IDX : 0) |
			    (how & 2 ? 0 : 1ull << VIRTIO_RING_F_INDIRECT_DESC),
		.size = 1u << (how >> 2) % 7,
		.desc_uaddr = UADDR + (how & 32 ? 0x1000 : REGION_BYTES),
		.driver_uaddr = UADDR + 0x800,
		.device_uaddr = UADDR + 0xc00,
	};
	vhu_virtqueue_init(&b.queue);
	if (WITH_RECORD) {
		memset(record->host, 0, RECORD_BYTES);
		input_bytes(&in, record->host, 16 * input_below(&in, 32));
		b.setup.inflight = (struct vhu_inflight_region){
			.mapping = record,
			.record = record->host,
			.size_bytes = how & 64 ? RECORD_BYTES : RECORD_BYTES / 16,
		};
	}
	if (!start(&b, how & 64 ? base : packed ? PACKED_INITIAL_BASE : 0))
		return 0;
	while (in.left)
		ops[input_u8(&in) % (sizeof(ops) / sizeof(*ops))](&b);
	stop(&b);
	return 0;
}
