/* SPDX-License-Identifier: BSD-3-Clause */
/* Packed virtqueues (virtio 1.3, 2.8), and buffers used in order (2.7.9, 2.8.8, 6). */
#include <endian.h>
#include <errno.h>
#include <unistd.h>

#include "cli/check/check.h"
#include "common/memory/access.h"

#define REQUEST CHECK_NEEDS_REQUEST
#define PACKED VHU_BIT(VHU_F_RING_PACKED)
#define EVENT_IDX VHU_BIT(VHU_F_RING_EVENT_IDX)
#define INDIRECT VHU_BIT(VHU_F_RING_INDIRECT_DESC)
#define IN_ORDER VHU_BIT(VHU_F_IN_ORDER)
#define AVAIL_BIT (1u << VRING_PACKED_DESC_F_AVAIL)
#define USED_BIT (1u << VRING_PACKED_DESC_F_USED)
/* Few enough for the smallest ring in use, whatever the chains. */
#define ORDERED 8
/* Where a ring is in its second lap, three places on, and all is used. */
#define SOMEWHERE 0x00030003u

static void open_ring(struct check *check, uint64_t without)
{
	check_ring(check, CHECK_FEATURES & ~without, CHECK_PROTOCOL);
	expect_served(check, &check->ring);
}

/* Several laps: every place has been available and used with both values of the wrap counter. */
static void serve_laps(struct check *check)
{
	for (unsigned i = 0; i < 5u * check->ring.size; i++)
		expect_served(check, &check->ring);
}

static void lists_are_served(struct check *check)
{
	open_ring(check, INDIRECT);
	serve_laps(check);
}

static void tables_are_served(struct check *check)
{
	open_ring(check, 0);
	serve_laps(check);
}

static void no_event_index_is_needed(struct check *check)
{
	open_ring(check, EVENT_IDX);
	serve_laps(check);
}

static void any_size_will_do(struct check *check)
{
	static const uint16_t sizes[] = { 5, 7, 33, CHECK_RING_SIZE - 1 };

	open_ring(check, 0);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		check_stop_ring(check, &check->ring);
		vhu_driver_finish(&check->ring);
		check_open_ring(check, &check->ring, 0, sizes[i]);
		expect_call(check, vhu_driver_start(&check->ring), "a ring of that size");
		check_set_running(check);
		check_kick(&check->ring);
		serve_laps(check);
	}
}

static void full_rings_are_served(struct check *check)
{
	open_ring(check, INDIRECT);
	for (unsigned round = 0; round < 7; round++)
		expect_used(check, &check->ring, check_fill_ring(check, &check->ring));
}

static void expect_base(struct check *check)
{
	uint32_t wanted = vhu_driver_idle_base(&check->ring), base = 0;

	expect_call(check, vhu_frontend_get_vring_base(&check->frontend, 0, &base),
		    "GET_VRING_BASE");
	expect(check, base == wanted, "both places of the ring, each with its wrap counter",
	       "0x%08x where 0x%08x is right", base, wanted);
}

/* In each of the first three laps. */
static void the_base_has_both_places(struct check *check)
{
	open_ring(check, 0);
	for (unsigned round = 0; round < 9; round++) {
		for (unsigned i = 0; i < CHECK_RING_SIZE / 3; i++)
			expect_served(check, &check->ring);
		expect_base(check);
		expect_call(check, vhu_driver_stop(&check->ring), "SET_VRING_ENABLE 0");
		check_start_ring(check, &check->ring);
	}
}

static void a_ring_starts_at_its_base(struct check *check)
{
	struct vhu_driver_packed *packed = &check->ring.packed;

	open_ring(check, 0);
	check_stop_ring(check, &check->ring);
	vhu_driver_reset(&check->ring);
	packed->avail = packed->published = packed->used = (struct vhu_driver_place){ 3, false };
	for (unsigned i = 0; i < CHECK_RING_SIZE; i++)
		packed->desc[i].flags = i < 3 ? 0 : htole16(AVAIL_BIT | USED_BIT);
	check->ring.base = SOMEWHERE;
	check_start_ring(check, &check->ring);
	serve_laps(check);
	expect_base(check);
}

static void stop_completes_what_was_taken(struct check *check)
{
	for (unsigned round = 0; round < 10; round++) {
		check_ring(check, CHECK_FEATURES, CHECK_PROTOCOL);
		check_fill_ring(check, &check->ring);
		check_stop_ring(check, &check->ring);
		expect(check, (check->ring.base & 0xffff) == check->ring.base >> 16,
		       "what was taken from the ring is used", "the base 0x%08x",
		       check->ring.base);
		check_forget(check);
	}
}

/* One after another, so that each used descriptor is where the request began. */
static void used_descriptors_say_what_was_written(struct check *check)
{
	struct vhu_driver_packed *packed = &check->ring.packed;

	open_ring(check, 0);
	for (unsigned i = 0; i < 3 * CHECK_RING_SIZE; i++) {
		const struct vring_packed_desc *desc = &packed->desc[packed->used.at];
		uint16_t flags;

		expect_served(check, &check->ring);
		flags = le16toh(desc->flags);
		expect(check, !check->request.n_writable || flags & VRING_DESC_F_WRITE,
		       "VIRTQ_DESC_F_WRITE in the used descriptor of a request that was written to",
		       "flags 0x%04x", flags);
	}
}

/* The driver gives ID 0 to all but the last descriptor, and 0 is another chain's. */
static void the_last_descriptor_has_the_id(struct check *check)
{
	struct vhu_driver_used used;
	unsigned n;

	open_ring(check, INDIRECT);
	n = check_fill_ring(check, &check->ring);
	for (unsigned i = 0; i < n; i++)
		expect_call(check, vhu_driver_wait(&check->ring, &used),
			    "a used descriptor with the buffer ID of the list's last one");
}

/* Adds the request by a table, and has its flags changed before the device sees it. */
static struct vring_packed_desc *add_by_table(struct check *check)
{
	struct vhu_driver *ring = &check->ring;
	const struct check_request *request = &check->request;
	struct vhu_guest_buffer buffers[CHECK_BUFFERS + 1] = { { 0 } };
	unsigned n = check_n_buffers(request);
	int head;

	check->device->fill(&check->request);
	for (unsigned i = 0; i < n; i++)
		buffers[i] = request->buffers[i];
	/* An empty one more, so that there is a table in any case. */
	buffers[n] = buffers[n - 1];
	buffers[n].len = 0;
	head = vhu_driver_add(ring, buffers, request->n_readable,
			      n + 1 - request->n_readable, 0);
	if (head < 0)
		check_untried(check, "the ring is too small");
	return vhu_driver_table(ring, (uint16_t)head);
}

static void other_flags_in_a_table_are_ignored(struct check *check)
{
	unsigned n;

	open_ring(check, 0);
	n = check_n_buffers(&check->request);
	for (unsigned round = 0; round < 4; round++) {
		struct vring_packed_desc *table = add_by_table(check);

		for (unsigned i = 0; i <= n; i++) {
			table[i].flags |= htole16((uint16_t)(VRING_DESC_F_NEXT |
							     VRING_DESC_F_INDIRECT |
							     AVAIL_BIT | USED_BIT));
			table[i].id = htole16((uint16_t)(0xffff - i));
		}
		expect_done(check, &check->ring, "a table whose descriptors have reserved flags");
	}
}

static void write_at_a_table_is_ignored(struct check *check)
{
	open_ring(check, 0);
	for (unsigned round = 0; round < 4; round++) {
		add_by_table(check);
		check->ring.packed.held_flags |= VRING_DESC_F_WRITE;
		expect_done(check, &check->ring, "a table whose own descriptor says WRITE");
	}
}

/* Waits busily: there need not be a call. */
static void serve_busily(struct check *check)
{
	check->ring.busy = true;
	expect_served(check, &check->ring);
	check->ring.busy = false;
}

static void no_calls_when_disabled(struct check *check)
{
	struct vhu_driver *ring = &check->ring;
	uint64_t n;

	open_ring(check, 0);
	vhu_driver_refuse_calls(ring);
	/* One that was on its way. */
	check_sleep_ms(CHECK_SILENCE_MS);
	n = vhu_driver_count_calls(ring);
	for (unsigned i = 0; i < 20; i++)
		serve_busily(check);
	check_sleep_ms(CHECK_SILENCE_MS);
	expect(check, vhu_driver_count_calls(ring) == n, "no call while they are disabled",
	       "%llu of them for 20 requests",
	       (unsigned long long)(vhu_driver_count_calls(ring) - n));
}

/* Asked for at a place four further on: a call comes for that one, whatever comes before. */
static void the_event_descriptor_calls(struct check *check)
{
	struct vhu_driver *ring = &check->ring;
	struct vhu_driver_packed *packed = &ring->packed;
	uint64_t n;

	open_ring(check, 0);
	for (unsigned round = 0; round < CHECK_RING_SIZE; round++) {
		unsigned at = packed->used.at + 4u;
		bool wrap = packed->used.wrap != (at >= CHECK_RING_SIZE);

		vhu_store_le16(&packed->driver_event->off_wrap,
			       (uint16_t)(at % CHECK_RING_SIZE | (wrap ? 0x8000 : 0)));
		vhu_store_release_le16(&packed->driver_event->flags, VRING_PACKED_EVENT_FLAG_DESC);
		vhu_full_barrier();
		for (unsigned i = 0; i < 4; i++)
			serve_busily(check);
		n = vhu_driver_count_calls(ring);
		serve_busily(check);
		for (unsigned i = 0; i < CHECK_LOOKS(check) && vhu_driver_count_calls(ring) == n;
		     i++)
			check_sleep_ms(CHECK_LOOK_MS);
		expect(check, vhu_driver_count_calls(ring) > n,
		       "a call when the descriptor that was asked for is used", "none");
		vhu_driver_refuse_calls(ring);
	}
}

/* What breaks a ring: each with a connection of its own. */

static void spoil(struct check *check, void (*fn)(struct check *check))
{
	open_ring(check, 0);
	fn(check);
	vhu_driver_publish(&check->ring);
	check_kick(&check->ring);
	check_sleep_ms(CHECK_SILENCE_MS);
	expect_alive(check);
	check_forget(check);
	open_ring(check, 0);
	check_forget(check);
}

static void add_one(struct check *check)
{
	check->ring.indirect = false;
	if (vhu_driver_add(&check->ring, check->request.buffers, 0, 1, 0) < 0)
		check_untried(check, "the ring is too small");
}

static void without_an_end(struct check *check)
{
	add_one(check);
	check->ring.packed.held_flags |= VRING_DESC_F_NEXT;
}

/* Every descriptor is available and has NEXT. */
static void longer_than_the_ring(struct check *check)
{
	struct vhu_driver_packed *packed = &check->ring.packed;

	add_one(check);
	for (unsigned i = 0; i < CHECK_RING_SIZE; i++) {
		bool wrap = packed->published.wrap != (i < packed->published.at);

		packed->desc[i].flags = htole16(
			(uint16_t)(VRING_DESC_F_NEXT | (wrap ? AVAIL_BIT : USED_BIT)));
	}
	packed->held_flags |= VRING_DESC_F_NEXT;
}

static void a_buffer_nowhere(struct check *check)
{
	add_one(check);
	check->ring.packed.desc[check->ring.packed.published.at].addr = htole64(1ull << 50);
}

static void a_table_nowhere(struct check *check)
{
	struct vhu_driver_packed *packed = &check->ring.packed;

	add_by_table(check);
	packed->desc[packed->published.at].addr = htole64(UINT64_MAX - 15);
}

static void a_table_of_4_gib(struct check *check)
{
	struct vhu_driver_packed *packed = &check->ring.packed;

	add_by_table(check);
	packed->desc[packed->published.at].len = htole32(0xfffffff0);
}

static void survives_spoilt_lists(struct check *check)
{
	static void (*const spoils[])(struct check *) = {
		without_an_end, longer_than_the_ring, a_buffer_nowhere, a_table_nowhere,
		a_table_of_4_gib,
	};

	for (size_t i = 0; i < ARRAY_SIZE(spoils); i++)
		spoil(check, spoils[i]);
}

/* Places past the ring, and a used one ahead of the available one. */
static void survives_odd_bases(struct check *check)
{
	static const uint32_t bases[] = {
		0xffffffff, 0x80008000 | CHECK_RING_SIZE, 0x7fff8000, 0x80058000, 0x00008000, 0,
	};

	for (size_t i = 0; i < ARRAY_SIZE(bases); i++) {
		open_ring(check, 0);
		check_stop_ring(check, &check->ring);
		check->ring.base = bases[i];
		if (vhu_driver_start(&check->ring) == 0)
			check_offer(check, &check->ring);
		check_sleep_ms(CHECK_SILENCE_MS / 3);
		expect_alive(check);
		check_forget(check);
	}
}

/* In order. */

/*
 * A used entry speaks for all that were made available before it, so the order is seen in what was
 * done: each request has buffers of its own, and is looked at as soon as it is said to be used.
 */
static void in_order(struct check *check)
{
	struct check_request requests[ORDERED];
	struct vhu_driver_used used;
	const char *wrong;

	open_ring(check, 0);
	check->ring.busy = true;
	for (unsigned i = 0; i < ORDERED; i++)
		check_make_request(check, &requests[i]);
	for (unsigned round = 0; round < 10; round++) {
		for (unsigned i = 0; i < ORDERED; i++) {
			check->device->fill(&requests[i]);
			if (vhu_driver_add(&check->ring, requests[i].buffers,
					   requests[i].n_readable, requests[i].n_writable, i) < 0)
				check_untried(check, "the ring is too small");
		}
		vhu_driver_publish(&check->ring);
		check_kick(&check->ring);
		for (unsigned i = 0; i < ORDERED; i++) {
			expect_call(check, vhu_driver_wait(&check->ring, &used), "a request");
			expect(check, used.token == i, "buffers used as they were made available",
			       "number %llu when it was the turn of %u",
			       (unsigned long long)used.token, i);
			wrong = check->device->judge(&requests[i], used.len);
			expect(check, !wrong, "buffers used as they were made available",
			       "number %u is passed over, but %s", i, wrong);
		}
	}
}

#define PACKED_RINGS "virtio 1.3, 2.8"
#define WRAP_COUNTERS "virtio 1.3, 2.8.1"
#define NEXT_FLAG "virtio 1.3, 2.8.6"
#define INDIRECT_FLAG "virtio 1.3, 2.8.7"
#define SUPPRESSION "virtio 1.3, 2.8.10"
#define DESCRIPTOR_INDICES "vhost-user, Vring descriptor indices for packed virtqueues"
#define BITS_OF_A_BASE \
	"Bits 0-14: Index of the next Available Ring descriptor that the back-end will process. " \
	"... Bit 15: Driver (Available) Ring Wrap Counter. Bits 16-30: Index of the entry in the " \
	"Used Ring where the back-end will place the next descriptor. ... Bit 31: Device (Used) " \
	"Ring Wrap Counter"

static const struct check_case packed_cases[] = {
	{ "PKD-01", "a list of descriptors is served, and the wrap counters change", WRAP_COUNTERS,
	  "The device changes the value of this counter each time it uses the last descriptor in "
	  "the ring (after marking the last descriptor used).",
	  CHECK_MUST, PACKED, .needs = REQUEST, .fn = lists_are_served },
	{ "PKD-02", "an indirect table is served", INDIRECT_FLAG,
	  "the driver can store a (read-only by the device) table of indirect descriptors anywhere "
	  "in memory, and insert a descriptor in the main virtqueue (with Flags bit "
	  "VIRTQ_DESC_F_INDIRECT on) that refers to a buffer element containing this indirect "
	  "descriptor table",
	  CHECK_MUST, PACKED | INDIRECT, .needs = REQUEST, .fn = tables_are_served },
	{ "PKD-03", "a ring without EVENT_IDX is served", SUPPRESSION,
	  "Enable events for a specific descriptor ... Only valid if VIRTIO_F_EVENT_IDX has been "
	  "negotiated.",
	  CHECK_MUST, PACKED, .needs = REQUEST, .fn = no_event_index_is_needed },
	{ "PKD-04", "a size need not be a power of 2", "virtio 1.3, 2.8.10.1",
	  "The Queue Size value does not have to be a power of 2.",
	  CHECK_MUST, PACKED, .needs = REQUEST, .fn = any_size_will_do },
	{ "PKD-05", "a full ring is served", NEXT_FLAG,
	  "The device only writes out a single used descriptor for the whole list. It then skips "
	  "forward according to the number of descriptors in the list.",
	  CHECK_MUST, PACKED, .needs = REQUEST, .fn = full_rings_are_served },
	{ "PKD-06", "GET_VRING_BASE gives both places and both wrap counters", DESCRIPTOR_INDICES,
	  BITS_OF_A_BASE, CHECK_MUST, PACKED, .needs = REQUEST, .fn = the_base_has_both_places },
	{ "PKD-07", "a ring starts at its base", "vhost-user, VHOST_USER_SET_VRING_BASE",
	  "For a packed virtqueue, both indices are supplied, as they are not explicitly available "
	  "in memory.",
	  CHECK_MUST, PACKED, .needs = REQUEST, .fn = a_ring_starts_at_its_base },
	{ "PKD-08", "GET_VRING_BASE completes what is in flight",
	  "vhost-user (QEMU 11), VHOST_USER_GET_VRING_BASE",
	  "By default, the back-end must complete all inflight I/O requests for the specified "
	  "vring before stopping it.",
	  CHECK_MUST, PACKED, .needs = REQUEST, .fn = stop_completes_what_was_taken },
	{ "PKD-09", "a used descriptor says whether data was written", "virtio 1.3, 2.8.3",
	  "In a used descriptor, this bit is used to specify whether any data has been written by "
	  "the device into any parts of the buffer.",
	  CHECK_MUST, PACKED, .needs = REQUEST, .fn = used_descriptors_say_what_was_written },
	{ "PKD-10", "the buffer ID is that of the list's last descriptor", NEXT_FLAG,
	  "Buffer ID is included in the last descriptor in the list.",
	  CHECK_MUST, PACKED, .needs = REQUEST, .fn = the_last_descriptor_has_the_id },
	{ "PKD-11", "of the flags in a table only WRITE counts", INDIRECT_FLAG,
	  "The VIRTQ_DESC_F_WRITE flags bit is the only valid flag for descriptors in the indirect "
	  "table. Others are reserved and are ignored by the device. Buffer ID is also reserved "
	  "and is ignored by the device.",
	  CHECK_MUST, PACKED | INDIRECT, .needs = REQUEST,
	  .fn = other_flags_in_a_table_are_ignored },
	{ "PKD-12", "WRITE at a table is ignored", INDIRECT_FLAG,
	  "In descriptors with VIRTQ_DESC_F_INDIRECT set VIRTQ_DESC_F_WRITE is reserved and is "
	  "ignored by the device.",
	  CHECK_MUST, PACKED | INDIRECT, .needs = REQUEST, .fn = write_at_a_table_is_ignored },
	{ "PKD-13", "no call is made while they are disabled", SUPPRESSION,
	  "After writing out some descriptors, both the device and the driver are expected to "
	  "consult the relevant structure to find out whether a used respectively an available "
	  "buffer notification should be sent.",
	  CHECK_SHOULD, PACKED, .needs = REQUEST, .fn = no_calls_when_disabled },
	{ "PKD-14", "a call comes when the descriptor that was asked for is used", SUPPRESSION,
	  "Event will only trigger when this descriptor is made available/used respectively.",
	  CHECK_MUST, PACKED | EVENT_IDX | INDIRECT, .needs = REQUEST,
	  .fn = the_event_descriptor_calls },
	{ "PKD-15", "survives lists without an end, and addresses that are nowhere", PACKED_RINGS,
	  "A driver MUST NOT create a descriptor list longer than the Queue Size. This implies "
	  "that loops in the descriptor list are forbidden!",
	  CHECK_ROBUST, PACKED | INDIRECT, .needs = REQUEST,
	  .fn = survives_spoilt_lists },
	{ "PKD-16", "survives bases that no ring can have", DESCRIPTOR_INDICES, BITS_OF_A_BASE,
	  CHECK_ROBUST, PACKED, .needs = REQUEST, .fn = survives_odd_bases },
};

const struct check_group check_packed = {
	"packed", "packed virtqueues", CHECK_GROUP(packed_cases)
};

#define IN_ORDER_USE \
	"If VIRTIO_F_IN_ORDER has been negotiated, a device MUST use buffers in the same order " \
	"in which they have been available."

static const struct check_case order_cases[] = {
	{ "ORD-01", "a split ring is used in order", "virtio 1.3, 6.2", IN_ORDER_USE, CHECK_MUST,
	  IN_ORDER, .needs = REQUEST, .fn = in_order },
	{ "ORD-02", "a packed ring is used in order", "virtio 1.3, 6.2", IN_ORDER_USE, CHECK_MUST,
	  IN_ORDER | PACKED, .needs = REQUEST, .fn = in_order },
};

const struct check_group check_order = {
	"order", "buffers used in order", CHECK_GROUP(order_cases)
};
