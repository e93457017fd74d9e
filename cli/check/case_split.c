/* SPDX-License-Identifier: BSD-3-Clause */
/* Split virtqueues (virtio 1.3, 2.7). */
#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "cli/check/check.h"
#include "common/base/fd.h"
#include "common/memory/access.h"

#define FRAMING "virtio 1.3, 2.7.4.1"
#define TABLE "virtio 1.3, 2.7.5.1"
#define INDIRECT_TABLE "virtio 1.3, 2.7.5.3.2"
#define USED_NOTIFICATION "virtio 1.3, 2.7.7.2"
#define USED_RING "virtio 1.3, 2.7.8.2"
#define AVAIL_NOTIFICATION "virtio 1.3, 2.7.10.2"
#define REQUEST CHECK_NEEDS_REQUEST
#define EVENT_IDX VHU_BIT(VHU_F_RING_EVENT_IDX)
#define INDIRECT VHU_BIT(VHU_F_RING_INDIRECT_DESC)
#define PIECES 16
#define GUARD_BYTES 64
#define GUARD 0xc3

static void open_ring(struct check *check, uint64_t without)
{
	check_ring(check, CHECK_FEATURES & ~without, CHECK_PROTOCOL);
	expect_served(check, &check->ring);
}

struct pieces {
	struct vhu_guest_buffer buffers[PIECES];
	unsigned n_readable, n_writable;
};

/* The request cut in pieces of at most max bytes. */
static struct pieces cut(const struct check_request *request, uint32_t max)
{
	struct pieces pieces = { .n_readable = 0 };
	unsigned n = 0;

	for (unsigned i = 0; i < check_n_buffers(request); i++) {
		struct vhu_guest_buffer rest = request->buffers[i];
		/* A long one is a few small pieces and a large one. */
		unsigned most = rest.len > max * 4 ? 3 : PIECES;

		while (rest.len && n < PIECES) {
			uint32_t len = most ? (uint32_t)min_u64(rest.len, max) : rest.len;

			pieces.buffers[n] = rest;
			pieces.buffers[n++].len = len;
			rest.gpa += len;
			rest.len -= len;
			most -= most > 0;
		}
		if (i < request->n_readable)
			pieces.n_readable = n;
	}
	pieces.n_writable = n - pieces.n_readable;
	return pieces;
}

/* As drivers make it, whole; but a request of one buffer is cut in two, for the sake of a table. */
static struct pieces for_a_table(const struct check_request *request)
{
	bool single = check_n_buffers(request) == 1;

	return cut(request, single ? request->buffers[0].len / 2 : UINT32_MAX / 4);
}

static uint16_t add_pieces(struct check *check, const struct pieces *pieces)
{
	int head;

	check->device->fill(&check->request);
	head = vhu_driver_add(&check->ring, pieces->buffers, pieces->n_readable,
			      pieces->n_writable, 0);
	if (head < 0)
		check_untried(check, "the chain does not fit");
	return (uint16_t)head;
}

static void any_arrangement(struct check *check)
{
	static const uint32_t sizes[] = { 1, 3, 8, 100 };

	open_ring(check, 0);
	check->ring.indirect = false;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		const struct pieces pieces = cut(&check->request, sizes[i]);

		add_pieces(check, &pieces);
		expect_done(check, &check->ring, "a request in pieces");
	}
}

static void indirect_tables(struct check *check)
{
	struct pieces pieces;

	open_ring(check, 0);
	pieces = for_a_table(&check->request);
	for (unsigned i = 0; i < 2 * CHECK_RING_SIZE; i++) {
		add_pieces(check, &pieces);
		expect_done(check, &check->ring, "a request in a table");
	}
}

/* Writable buffers side by side as one descriptor: data and status of a disk. */
static void buffers_in_one_descriptor(struct check *check)
{
	struct check_request *request = &check->request;
	struct vhu_guest_buffer joined[2] = { { 0 } }, whole[2];
	unsigned first, n;

	open_ring(check, 0);
	for (unsigned side = 0; side < 2; side++) {
		first = side ? request->n_readable : 0;
		n = side ? request->n_writable : request->n_readable;
		for (unsigned i = first; i < first + n; i++)
			joined[side].len += request->buffers[i].len;
		whole[side] = check_alloc(check, joined[side].len ? joined[side].len : 1, 512);
		joined[side].gpa = whole[side].gpa;
		for (unsigned i = first, at = 0; i < first + n; i++) {
			request->buffers[i].gpa = whole[side].gpa + at;
			request->buffers[i].host = (char *)whole[side].host + at;
			at += request->buffers[i].len;
		}
	}
	check->device->fill(request);
	first = request->n_readable ? 0 : 1;
	vhu_driver_add(&check->ring, &joined[first], request->n_readable ? 1 : 0,
		       request->n_writable ? 1 : 0, 0);
	expect_done(check, &check->ring, "a request whose buffers are joined");
}

/* Buffers at odd addresses. */
static void any_alignment(struct check *check)
{
	open_ring(check, 0);
	for (unsigned shift = 1; shift < 16; shift += 2) {
		for (unsigned i = 0; i < check_n_buffers(&check->request); i++) {
			struct vhu_guest_buffer *buffer = &check->request.buffers[i];
			uint32_t len = buffer->len;

			*buffer = check_alloc(check, len + 16, 16);
			buffer->gpa += shift;
			buffer->host = (char *)buffer->host + shift;
			buffer->len = len;
		}
		expect_served(check, &check->ring);
	}
}

/* Direct chains in which next leads back and forth. */
static void descriptors_in_any_order(struct check *check)
{
	struct check_request *request = &check->request;
	struct vring_desc *desc;
	unsigned n;

	open_ring(check, 0);
	check->ring.indirect = false;
	desc = check->ring.split.vring.desc;
	n = check_n_buffers(request);
	for (unsigned round = 0; round < 8; round++) {
		/* Each but the head is moved to the far end of the table, backwards. */
		uint16_t at = check_add(check, &check->ring);

		for (unsigned i = 1; i < n; i++) {
			uint16_t next = le16toh(desc[at].next);
			uint16_t to = (uint16_t)(CHECK_RING_SIZE - 1 - i * 2 - round);

			desc[to] = desc[next];
			desc[at].next = htole16(to);
			at = to;
		}
		expect_done(check, &check->ring, "a chain in another order");
	}
}

static void a_full_ring_comes_back(struct check *check)
{
	bool seen[CHECK_RING_SIZE];
	struct vhu_driver_used used;

	open_ring(check, 0);
	for (unsigned round = 0; round < 10; round++) {
		unsigned n = check_fill_ring(check, &check->ring);

		memset(seen, 0, sizeof(seen));
		for (unsigned i = 0; i < n; i++) {
			int r = vhu_driver_wait(&check->ring, &used);
			char buf[80];

			expect(check, r == 0, "each request comes back once", "after %u of %u: %s",
			       i, n,
			       r == -EPROTO ? "a used entry that names no chain of ours"
					    : check_explain(check, r, buf));
			expect(check, !seen[used.token], "each request comes back once",
			       "one came twice");
			seen[used.token] = true;
		}
	}
	expect_served(check, &check->ring);
}

/* What the device must not write to. */

static void the_descriptor_table_is_not_written(struct check *check)
{
	struct vring_desc before[CHECK_RING_SIZE];
	struct vring *vring = &check->ring.split.vring;

	open_ring(check, 0);
	check->ring.indirect = false;
	for (unsigned i = 0; i < CHECK_RING_SIZE; i++) {
		check_add(check, &check->ring);
		memcpy(before, vring->desc, sizeof(before));
		expect_done(check, &check->ring, "a request");
		expect(check, !memcmp(before, vring->desc, sizeof(before)),
		       "the descriptor table as the driver wrote it", "it was written to");
	}
}

static void the_available_ring_is_not_written(struct check *check)
{
	struct vring *vring = &check->ring.split.vring;
	uint16_t before[CHECK_RING_SIZE + 2];

	open_ring(check, 0);
	for (unsigned i = 0; i < CHECK_RING_SIZE; i++) {
		check_add(check, &check->ring);
		vhu_driver_publish(&check->ring);
		memcpy(before, vring->avail, sizeof(before));
		check_kick(&check->ring);
		expect_used(check, &check->ring, 1);
		expect(check, !memcmp(before, vring->avail, sizeof(before)),
		       "the available ring as the driver wrote it", "it was written to");
	}
}

static void readable_buffers_are_not_written(struct check *check)
{
	uint8_t before[512];

	open_ring(check, 0);
	if (!check->request.n_readable)
		check_skip(check, "the requests of this device have no readable buffer");
	check->device->fill(&check->request);
	memcpy(before, check->request.buffers[0].host, check->request.buffers[0].len);
	for (unsigned i = 0; i < 10; i++) {
		expect_served(check, &check->ring);
		expect(check,
		       !memcmp(before, check->request.buffers[0].host,
			       check->request.buffers[0].len),
		       "the readable buffer as the driver wrote it", "it was written to");
	}
}

static void nothing_beyond_the_buffers(struct check *check)
{
	unsigned n;

	open_ring(check, 0);
	n = check_n_buffers(&check->request);
	for (unsigned i = 0; i < n; i++) {
		struct vhu_guest_buffer *buffer = &check->request.buffers[i];
		uint32_t len = buffer->len;

		*buffer = check_alloc(check, len + 2 * GUARD_BYTES, 64);
		memset(buffer->host, GUARD, buffer->len);
		buffer->gpa += GUARD_BYTES;
		buffer->host = (char *)buffer->host + GUARD_BYTES;
		buffer->len = len;
	}
	for (unsigned round = 0; round < 10; round++) {
		expect_served(check, &check->ring);
		for (unsigned i = 0; i < n; i++) {
			const uint8_t *at = check->request.buffers[i].host;

			for (unsigned k = 1; k <= GUARD_BYTES; k++)
				expect(check,
				       at[-(int)k] == GUARD &&
					       at[check->request.buffers[i].len + k - 1] == GUARD,
				       "nothing is written beside the buffers",
				       "a byte beside buffer %u was", i);
		}
	}
}

/* Notifications. */

static bool is_called(struct check *check, int timeout_ms)
{
	struct pollfd pollfd = { .fd = check->ring.call_fd, .events = POLLIN };

	return poll(&pollfd, 1, timeout_ms) > 0;
}

/* A request, and whether a notification came with it. */
static void run_and_expect_call(struct check *check, bool wanted)
{
	struct vhu_driver *ring = &check->ring;
	uint64_t deadline_ns = vhu_now_ns() + (uint64_t)check->timeout_ms * NS_PER_MS;

	check_add(check, ring);
	vhu_driver_kick(ring);
	while (!vhu_driver_has_used(ring) && vhu_now_ns() < deadline_ns)
		check_sleep_ms(1);
	expect(check, vhu_driver_has_used(ring), "the request is used", "it is not within %g s",
	       check->timeout_ms / 1000.0);
	if (wanted)
		expect(check, is_called(check, check->timeout_ms), "a notification",
		       "the request was used without one");
	else
		expect(check, !is_called(check, CHECK_SILENCE_MS), "no notification", "one came");
	vhu_driver_count_calls(ring);
	expect_used(check, ring, 1);
}

/* What came until now. */
static void drop_calls(struct check *check)
{
	check_sleep_ms(20);
	vhu_driver_count_calls(&check->ring);
}

static void used_event_of(struct check *check, uint16_t event)
{
	vhu_store_le16(&vring_used_event(&check->ring.split.vring), event);
	vhu_full_barrier();
}

static void flags_0_ask_for_a_call(struct check *check)
{
	struct vring *vring = &check->ring.split.vring;

	open_ring(check, EVENT_IDX);
	for (unsigned i = 0; i < 20; i++) {
		drop_calls(check);
		vhu_store_le16(&vring->avail->flags, 0);
		used_event_of(check, (uint16_t)(i * 0x1111)); /* not negotiated */
		run_and_expect_call(check, true);
	}
}

static void flags_1_ask_for_none(struct check *check)
{
	open_ring(check, EVENT_IDX);
	drop_calls(check);
	for (unsigned i = 0; i < 3; i++) {
		vhu_store_le16(&check->ring.split.vring.avail->flags, VRING_AVAIL_F_NO_INTERRUPT);
		run_and_expect_call(check, false);
	}
}

static void used_event_asks_for_a_call(struct check *check)
{
	struct vhu_driver *ring = &check->ring;

	open_ring(check, 0);
	for (unsigned i = 0; i < 20; i++) {
		drop_calls(check);
		/* With the event index negotiated, this bit means nothing. */
		vhu_store_le16(&ring->split.vring.avail->flags, i % 2);
		used_event_of(check, ring->split.used_idx);
		run_and_expect_call(check, true);
	}
}

static void used_event_asks_for_none(struct check *check)
{
	struct vhu_driver *ring = &check->ring;

	open_ring(check, 0);
	drop_calls(check);
	for (unsigned i = 0; i < 3; i++) {
		used_event_of(check, (uint16_t)(ring->split.used_idx - 1));
		run_and_expect_call(check, false);
	}
}

static void used_flags_are_0_or_1(struct check *check)
{
	bool event_idx = check->now->features & EVENT_IDX;

	open_ring(check, event_idx ? 0 : EVENT_IDX);
	for (unsigned i = 0; i < 20; i++) {
		uint16_t flags;

		expect_served(check, &check->ring);
		flags = vhu_load_le16(&check->ring.split.vring.used->flags);
		expect(check, flags <= !event_idx, event_idx ? "0" : "0 or 1", "0x%x", flags);
	}
}

static void spurious_kicks_do_nothing(struct check *check)
{
	open_ring(check, 0);
	for (unsigned i = 0; i < 100; i++)
		check_kick(&check->ring);
	expect_silence(check, &check->ring, "nothing is used that was not made available");
	expect_served(check, &check->ring);
}

/* Indirect descriptors. */

static void the_write_flag_of_a_table_is_ignored(struct check *check)
{
	struct pieces pieces;

	open_ring(check, 0);
	pieces = for_a_table(&check->request);
	for (unsigned i = 0; i < 5; i++) {
		uint16_t head = add_pieces(check, &pieces);

		check->ring.split.vring.desc[head].flags |= htole16(VRING_DESC_F_WRITE);
		expect_done(check, &check->ring, "a request in a table that says WRITE");
	}
}

/* The first part of the request in the ring, the rest in a table. */
static void a_chain_may_end_in_a_table(struct check *check)
{
	struct vhu_guest_buffer table;
	struct vring_desc *desc, *entries;
	struct pieces pieces;
	uint16_t second;
	unsigned n;

	open_ring(check, 0);
	check->ring.indirect = false;
	pieces = for_a_table(&check->request);
	n = pieces.n_readable + pieces.n_writable;
	table = check_alloc(check, PIECES * sizeof(*entries), 64);
	entries = table.host;
	desc = check->ring.split.vring.desc;
	second = le16toh(desc[add_pieces(check, &pieces)].next);
	for (unsigned i = 0, at = second; i < n - 1; i++) {
		entries[i] = desc[at];
		at = le16toh(desc[at].next);
		entries[i].next = htole16((uint16_t)(i + 1));
	}
	desc[second] = (struct vring_desc){
		htole64(table.gpa), htole32((uint32_t)((n - 1) * sizeof(*entries))),
		htole16(VRING_DESC_F_INDIRECT), 0
	};
	expect_done(check, &check->ring, "a chain that ends in a table");
}

/* The three areas far apart, in another order, aligned as little as they have to be. */
static void areas_lie_anywhere(struct check *check)
{
	struct vhu_driver *ring = &check->ring;
	struct vhu_guest_buffer used, avail, desc;

	check_ring(check, CHECK_FEATURES, CHECK_PROTOCOL);
	if (vhu_driver_stop(ring) < 0)
		check_untried(check, "the ring cannot be stopped");
	used = check_alloc(check, 8 * CHECK_RING_SIZE + 16, 64);
	avail = check_alloc(check, 2 * CHECK_RING_SIZE + 16, 64);
	desc = check_alloc(check, 16 * CHECK_RING_SIZE + 32, 64);
	ring->used_gpa = used.gpa + 4;
	ring->avail_gpa = avail.gpa + 2;
	ring->desc_gpa = desc.gpa + 16;
	ring->split.vring.used = (void *)((char *)used.host + 4);
	ring->split.vring.avail = (void *)((char *)avail.host + 2);
	ring->split.vring.desc = (void *)((char *)desc.host + 16);
	vhu_driver_reset(ring);
	check_start_ring(check, ring);
	for (unsigned i = 0; i < 2 * CHECK_RING_SIZE; i++)
		expect_served(check, ring);
}

static const struct check_case cases[] = {
	{ "SPL-01", "a request may be cut into descriptors anywhere", FRAMING,
	  "The device MUST NOT make assumptions about the particular arrangement of descriptors.",
	  CHECK_MUST, .needs = REQUEST, .fn = any_arrangement },
	{ "SPL-02", "neighbouring buffers may be one descriptor", FRAMING,
	  "The device MUST NOT make assumptions about the particular arrangement of descriptors.",
	  CHECK_MUST, .needs = REQUEST, .fn = buffers_in_one_descriptor },
	{ "SPL-03", "buffers need no alignment", "virtio 1.3, 2.7.5",
	  "The descriptor table refers to the buffers the driver is using for the device. addr "
	  "is a physical address",
	  CHECK_MUST, .needs = REQUEST, .fn = any_alignment },
	{ "SPL-04", "descriptors of a chain may lie in any order", "virtio 1.3, 2.7.5",
	  "the buffers can be chained via next",
	  CHECK_MUST, .needs = REQUEST, .fn = descriptors_in_any_order },
	{ "SPL-05", "a full ring comes back, each request once", "virtio 1.3, 2.7.8",
	  "Each entry in the ring is a pair: id indicates the head entry of the descriptor chain "
	  "describing the buffer (this matches an entry placed in the available ring by the "
	  "guest earlier)",
	  CHECK_MUST, .needs = REQUEST, .fn = a_full_ring_comes_back },
	{ "SPL-06", "the three areas may lie anywhere", "virtio 1.3, 2.7",
	  "each part is physically-contiguous in guest memory, and has different alignment "
	  "requirements: ... 16, 2, 4",
	  CHECK_MUST, .needs = REQUEST, .fn = areas_lie_anywhere },
	{ "SPL-07", "the descriptor table is not written to", TABLE,
	  "A device MUST NOT write to any descriptor table entry.",
	  CHECK_MUST, .needs = REQUEST, .fn = the_descriptor_table_is_not_written },
	{ "SPL-08", "the available ring is not written to", "virtio 1.3, 2.7.6",
	  "It is only written by the driver and read by the device.",
	  CHECK_MUST, .needs = REQUEST, .fn = the_available_ring_is_not_written },
	{ "SPL-09", "readable buffers are not written to", TABLE,
	  "A device MUST NOT write to a device-readable buffer",
	  CHECK_MUST, .needs = REQUEST, .fn = readable_buffers_are_not_written },
	{ "SPL-10", "nothing is written beside the buffers", USED_RING,
	  "The device MUST write at least len bytes to descriptor, beginning at the first "
	  "device-writable buffer",
	  CHECK_MUST, .needs = REQUEST, .fn = nothing_beyond_the_buffers },
	{ "SPL-11", "without the event index, flags 0 ask for a notification", USED_NOTIFICATION,
	  "If the VIRTIO_F_EVENT_IDX feature bit is not negotiated: The device MUST ignore the "
	  "used_event value. After the device writes a descriptor index into the used ring: ... "
	  "If flags is 0, the device MUST send a notification.",
	  CHECK_MUST, .needs = REQUEST, .fn = flags_0_ask_for_a_call },
	{ "SPL-12", "without the event index, flags 1 ask for none", USED_NOTIFICATION,
	  "If flags is 1, the device SHOULD NOT send a notification.",
	  CHECK_SHOULD, .needs = REQUEST, .fn = flags_1_ask_for_none },
	{ "SPL-13", "used_event asks for a notification, whatever flags are", USED_NOTIFICATION,
	  "The device MUST ignore the lower bit of flags. ... If the idx field in the used ring "
	  "(which determined where that descriptor index was placed) was equal to used_event, "
	  "the device MUST send a notification.",
	  CHECK_MUST, EVENT_IDX, .needs = REQUEST, .fn = used_event_asks_for_a_call },
	{ "SPL-14", "another used_event asks for none", USED_NOTIFICATION,
	  "Otherwise the device SHOULD NOT send a notification.",
	  CHECK_SHOULD, EVENT_IDX, .needs = REQUEST, .fn = used_event_asks_for_none },
	{ "SPL-15", "without the event index, flags of the used ring are 0 or 1",
	  AVAIL_NOTIFICATION,
	  "If the VIRTIO_F_EVENT_IDX feature bit is not negotiated: The device MUST set flags to "
	  "0 or 1.",
	  CHECK_MUST, .needs = REQUEST, .fn = used_flags_are_0_or_1 },
	{ "SPL-16", "with the event index, flags of the used ring are 0", AVAIL_NOTIFICATION,
	  "if the VIRTIO_F_EVENT_IDX feature bit is negotiated: The device MUST set flags to 0.",
	  CHECK_MUST, EVENT_IDX, .needs = REQUEST, .fn = used_flags_are_0_or_1 },
	{ "SPL-17", "spurious notifications do nothing", AVAIL_NOTIFICATION,
	  "The device MUST handle spurious notifications from the driver.",
	  CHECK_MUST, .needs = REQUEST, .fn = spurious_kicks_do_nothing },
	{ "SPL-18", "requests in indirect tables are served", "virtio 1.3, 2.7.5.3",
	  "the driver can store a table of indirect descriptors anywhere in memory, and insert a "
	  "descriptor in main virtqueue (with flags&VIRTQ_DESC_F_INDIRECT on)",
	  CHECK_MUST, INDIRECT, .needs = REQUEST, .fn = indirect_tables },
	{ "SPL-19", "the write flag of an indirect table is ignored", INDIRECT_TABLE,
	  "The device MUST ignore the write-only flag (flags&VIRTQ_DESC_F_WRITE) in the "
	  "descriptor that refers to an indirect table.",
	  CHECK_MUST, INDIRECT, .needs = REQUEST, .fn = the_write_flag_of_a_table_is_ignored },
	{ "SPL-20", "a chain may end in an indirect table", INDIRECT_TABLE,
	  "The device MUST handle the case of zero or more normal chained descriptors followed "
	  "by a single descriptor with flags&VIRTQ_DESC_F_INDIRECT.",
	  CHECK_MUST, INDIRECT, .needs = REQUEST, .fn = a_chain_may_end_in_a_table },
};

const struct check_group check_split = {
	"split", "split virtqueues", CHECK_GROUP(cases)
};
