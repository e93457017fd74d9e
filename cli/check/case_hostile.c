/* SPDX-License-Identifier: BSD-3-Clause */
/* Front-ends and drivers that break the rules. Each was the end of some back-end. */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/check/check.h"
#include "common/memory/access.h"

#define REQUEST CHECK_NEEDS_REQUEST
#define MESSAGES "vhost-user, Front-end message types"
#define NOWHERE (1ull << 50)

static void connect_and_negotiate(struct check *check)
{
	check_connect(check);
	check_negotiate(check, CHECK_FEATURES, CHECK_PROTOCOL);
}

/* One past the end, and the largest there is. */
static void indices_past_the_end(struct check *check)
{
	static const uint32_t requests[] = {
		VHU_SET_VRING_NUM,  VHU_SET_VRING_BASE,	  VHU_GET_VRING_BASE,
		VHU_SET_VRING_ADDR, VHU_SET_VRING_ENABLE,
	};
	const uint32_t indices[] = { (uint32_t)check->facts->n_queues, 255, 0x7fffffff,
				     0xffffffff };

	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		for (size_t k = 0; k < ARRAY_SIZE(indices); k++) {
			struct vhu_vring_addr payload = { .index = indices[k], .flags = 1 };

			payload.flags = requests[i] != VHU_SET_VRING_ADDR;
			connect_and_negotiate(check);
			check_send_odd(check, requests[i], VHU_VERSION, &payload,
				       requests[i] == VHU_SET_VRING_ADDR ? sizeof(payload) : 8,
				       NULL, 0);
			expect_alive(check);
		}
	}
}

static void indices_with_fds_past_the_end(struct check *check)
{
	static const uint32_t requests[] = { VHU_SET_VRING_KICK, VHU_SET_VRING_CALL,
					     VHU_SET_VRING_ERR };
	const int fd = check_eventfd(check);

	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		const uint64_t values[] = { check->facts->n_queues & 0xff, 255, 255 | 256,
					    UINT64_MAX };

		for (size_t k = 0; k < ARRAY_SIZE(values); k++) {
			connect_and_negotiate(check);
			check_send_odd(check, requests[i], VHU_VERSION, &values[k], 8, &fd,
				       !(values[k] & VHU_VRING_NO_FD));
			expect_alive(check);
		}
	}
}

/* Flag and file descriptor do not agree. */
static void fds_that_are_missing(struct check *check)
{
	static const uint32_t requests[] = { VHU_SET_VRING_KICK, VHU_SET_VRING_CALL,
					     VHU_SET_VRING_ERR };
	static const uint64_t with = 0, without = VHU_VRING_NO_FD;
	const int fd = check_eventfd(check);

	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		connect_and_negotiate(check);
		check_send_odd(check, requests[i], VHU_VERSION, &with, 8, NULL, 0);
		expect_alive(check);
		connect_and_negotiate(check);
		check_send_odd(check, requests[i], VHU_VERSION, &without, 8, &fd, 1);
		expect_alive(check);
	}
}

static void odd_ring_sizes(struct check *check)
{
	static const uint32_t sizes[] = { 0, 1, 3, 65535, 65536, 0x80000000, 0xffffffff };

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		const struct vhu_vring_state state = { 0, sizes[i] };

		check_ring(check, CHECK_FEATURES, CHECK_PROTOCOL);
		if (vhu_driver_stop(&check->ring) < 0)
			check_untried(check, "the ring cannot be stopped");
		check_send_odd(check, VHU_SET_VRING_NUM, VHU_VERSION, &state, sizeof(state), NULL,
			       0);
		/* And the ring is started with it, where it was accepted. */
		if (expect_alive(check)) {
			const uint64_t kick = 0;

			check_send_odd(check, VHU_SET_VRING_KICK, VHU_VERSION, &kick, 8,
				       &check->ring.kick_fd, 1);
			check_kick(&check->ring);
			expect_alive(check);
		}
		vhu_driver_finish(&check->ring);
	}
}

static void odd_bases(struct check *check)
{
	static const uint32_t bases[] = { 0xffff, 0x10000, 0x80000000, 0xffffffff };

	for (size_t i = 0; i < ARRAY_SIZE(bases); i++) {
		check_ring(check, CHECK_FEATURES, CHECK_PROTOCOL);
		if (vhu_driver_stop(&check->ring) < 0)
			check_untried(check, "the ring cannot be stopped");
		check->ring.base = bases[i];
		(void)vhu_driver_start(&check->ring);
		check_kick(&check->ring);
		check_sleep_ms(20);
		check_forget(check);
	}
}

static void addresses_outside_the_memory(struct check *check)
{
	const struct vhu_wire_region *region;
	uint64_t base;

	check_ring(check, CHECK_FEATURES, CHECK_PROTOCOL);
	region = &check->frontend.guest.regions[0].wire;
	base = region->uaddr;
	const uint64_t odd[] = { 0, 1, NOWHERE, UINT64_MAX, UINT64_MAX - 15, base + 1,
				 base + region->size - 16, base + region->size };

	for (unsigned area = 0; area < 3; area++) {
		for (size_t i = 0; i < ARRAY_SIZE(odd); i++) {
			struct vhu_vring_addr addr = {
				.desc_uaddr = area == 0 ? odd[i] : base,
				.avail_uaddr = area == 1 ? odd[i] : base + 0x10000,
				.used_uaddr = area == 2 ? odd[i] : base + 0x20000,
			};
			const struct vhu_vring_state num = { 0, CHECK_RING_SIZE }, on = { 0, 1 };
			const uint64_t kick = 0;

			connect_and_negotiate(check);
			check_send_odd(check, VHU_SET_VRING_NUM, VHU_VERSION, &num, 8, NULL, 0);
			check_send_odd(check, VHU_SET_VRING_ADDR, VHU_VERSION, &addr, sizeof(addr),
				       NULL, 0);
			check_send_odd(check, VHU_SET_VRING_KICK, VHU_VERSION, &kick, 8,
				       &check->ring.kick_fd, 1);
			check_send_odd(check, VHU_SET_VRING_ENABLE, VHU_VERSION, &on, 8, NULL, 0);
			check_kick(&check->ring);
			expect_alive(check);
		}
	}
}

static void a_start_without_anything(struct check *check)
{
	static const uint64_t kick;
	const struct vhu_vring_state on = { 0, 1 };
	const int fd = check_eventfd(check);

	connect_and_negotiate(check);
	check_send_odd(check, VHU_SET_VRING_KICK, VHU_VERSION, &kick, 8, &fd, 1);
	check_send_odd(check, VHU_SET_VRING_ENABLE, VHU_VERSION, &on, 8, NULL, 0);
	(void)!write(fd, &(uint64_t){ 1 }, 8);
	check_sleep_ms(20);
	expect_alive(check);
}

/* A file, and the ends of a pipe and of a socket whose other ends are closed. */
static void odd_event_fds(struct check *check)
{
	int file = check_memfd(check, 0), pipe_fds[2], sockets[2];

	if (pipe(pipe_fds) < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) < 0)
		check_untried(check, "no pipe or socket");
	close(pipe_fds[0]);
	close(sockets[0]);
	const int odd[] = { file, pipe_fds[1], sockets[1] };

	for (size_t i = 0; i < ARRAY_SIZE(odd); i++) {
		static const uint64_t value;

		check_ring(check, CHECK_FEATURES, CHECK_PROTOCOL);
		check_send_odd(check, VHU_SET_VRING_CALL, VHU_VERSION, &value, 8, &odd[i], 1);
		check_send_odd(check, VHU_SET_VRING_ERR, VHU_VERSION, &value, 8, &odd[i], 1);
		if (check_device_has_requests(check->device)) {
			check_offer(check, &check->ring);
			check_sleep_ms(20);
		}
		check_send_odd(check, VHU_SET_VRING_KICK, VHU_VERSION, &value, 8, &odd[i], 1);
		expect_alive(check);
		check_forget(check);
	}
}

/* A call eventfd that blocks and is full: who writes to it waits. */
static void a_full_call_fd(struct check *check)
{
	const uint64_t almost = UINT64_MAX - 1;
	static const uint64_t value;
	int fd = check_eventfd(check);
	struct vhu_vring_state state = { 0, 0 };

	check_ring(check, CHECK_FEATURES & ~VHU_BIT(VHU_F_RING_EVENT_IDX), CHECK_PROTOCOL);
	if (write(fd, &almost, 8) != 8 || fcntl(fd, F_SETFL, 0) < 0)
		check_untried(check, "no full eventfd");
	check_send_odd(check, VHU_SET_VRING_CALL, VHU_VERSION, &value, 8, &fd, 1);
	for (unsigned i = 0; i < 4; i++) {
		check_offer(check, &check->ring);
		check_sleep_ms(10);
	}
	check_send_odd(check, VHU_GET_VRING_BASE, VHU_VERSION, &state, 8, NULL, 0);
	expect_alive(check);
}

/* Rings. */

static void open_ring(struct check *check)
{
	check_ring(check, CHECK_FEATURES, CHECK_PROTOCOL);
	expect_served(check, &check->ring);
}

/* Whatever becomes of the ring: kicked, given time, and left. */
static void leave_ring(struct check *check)
{
	vhu_driver_publish(&check->ring);
	check_kick(&check->ring);
	check_sleep_ms(20);
	expect_alive(check);
	check_forget(check);
}

static void available_indices_that_jump(struct check *check)
{
	static const uint16_t jumps[] = { CHECK_RING_SIZE + 1, 0x7fff, 0x8000, 0xffff };

	for (size_t i = 0; i < ARRAY_SIZE(jumps); i++) {
		open_ring(check);
		check->ring.split.avail_idx = (uint16_t)(check->ring.split.avail_idx + jumps[i]);
		leave_ring(check);
	}
}

static void heads_past_the_table(struct check *check)
{
	static const uint16_t heads[] = { CHECK_RING_SIZE, 0x8000, 0xffff };

	for (size_t i = 0; i < ARRAY_SIZE(heads); i++) {
		open_ring(check);
		vhu_driver_split_add_head(&check->ring, heads[i], 0);
		leave_ring(check);
	}
}

/* One descriptor of a chain of two, spoilt. */
struct spoilt {
	uint64_t gpa;
	uint32_t len;
	uint16_t flags, next;
};

static void spoil(struct check *check, const struct spoilt *spoilt, bool indirect)
{
	struct vhu_guest_buffer buffers[2];
	struct vring_desc *desc, good;
	int head;

	open_ring(check);
	check->ring.indirect = indirect;
	buffers[0] = check_alloc(check, 64, 64);
	buffers[1] = check_alloc(check, 64, 64);
	head = vhu_driver_add(&check->ring, buffers, check->request.n_readable ? 1 : 0,
			      check->request.n_readable ? 1 : 2, 0);
	if (head < 0)
		check_untried(check, "the ring is full");
	desc = indirect ? vhu_driver_table(&check->ring, (uint16_t)head)
			: &check->ring.split.vring.desc[head];
	good = *desc;
	*desc = (struct vring_desc){
		spoilt->gpa ? htole64(spoilt->gpa) : good.addr,
		spoilt->len ? htole32(spoilt->len) : good.len,
		(uint16_t)(good.flags | htole16(spoilt->flags)),
		spoilt->next ? htole16(spoilt->next) : good.next,
	};
	leave_ring(check);
}

static void malformed_chains(struct check *check)
{
	static const struct spoilt spoilt[] = {
		{ .gpa = NOWHERE },
		{ .gpa = CHECK_MEMORY_BYTES - 8 },
		{ .gpa = UINT64_MAX - 7 },
		{ .len = UINT32_MAX },
		{ .flags = VRING_DESC_F_NEXT, .next = 0xffff },
		{ .flags = VRING_DESC_F_NEXT, .next = CHECK_RING_SIZE },
		{ .flags = VRING_DESC_F_WRITE },
		{ .flags = VRING_DESC_F_INDIRECT },
		{ .flags = 0xfff8 },
	};
	bool tables = check->facts->features & VHU_BIT(VHU_F_RING_INDIRECT_DESC);

	for (size_t i = 0; i < ARRAY_SIZE(spoilt); i++) {
		spoil(check, &spoilt[i], false);
		if (tables)
			spoil(check, &spoilt[i], true);
	}
}

/* Each descriptor leads to itself, or in a circle. */
static void chains_without_an_end(struct check *check)
{
	for (unsigned length = 1; length <= 3; length++) {
		struct vring_desc *desc;
		uint16_t head;

		open_ring(check);
		check->ring.indirect = false;
		desc = check->ring.split.vring.desc;
		head = check_add(check, &check->ring);
		for (unsigned i = 0, at = head; i < length; i++) {
			desc[at].flags |= htole16(VRING_DESC_F_NEXT);
			if (i + 1 == length)
				desc[at].next = htole16(head);
			at = le16toh(desc[at].next) % CHECK_RING_SIZE;
		}
		leave_ring(check);
	}
}

static void odd_indirect_tables(struct check *check)
{
	static const struct spoilt spoilt[] = {
		{ .len = 15 }, { .len = 17 }, { .len = 16 * 40000 }, { .len = 0xfffffff0 },
		{ .gpa = NOWHERE }, { .gpa = UINT64_MAX - 15 },
		{ .gpa = CHECK_MEMORY_BYTES - 16, .len = 32 },
		{ .flags = VRING_DESC_F_NEXT, .next = 1 },
	};

	for (size_t i = 0; i <= ARRAY_SIZE(spoilt); i++) {
		struct vhu_guest_buffer buffers[2];
		struct vring_desc *desc;
		int head;

		open_ring(check);
		buffers[0] = check_alloc(check, 64, 64);
		buffers[1] = check_alloc(check, 64, 64);
		head = vhu_driver_add(&check->ring, buffers, 0, 2, 0);
		if (head < 0)
			check_untried(check, "the ring is full");
		desc = &check->ring.split.vring.desc[head];
		if (i == ARRAY_SIZE(spoilt)) {
			desc->len = 0;
		} else {
			desc->addr = spoilt[i].gpa ? htole64(spoilt[i].gpa) : desc->addr;
			desc->len = spoilt[i].len ? htole32(spoilt[i].len) : desc->len;
			desc->flags |= htole16(spoilt[i].flags);
			desc->next = htole16(spoilt[i].next);
		}
		leave_ring(check);
	}
}

/* All of the back-end's optional parts, with nothing in order. */
static void messages_out_of_order(struct check *check)
{
	static const struct { uint32_t request, size; bool fd; } odd[] = {
		{ VHU_SET_LOG_BASE, 16, true },	     { VHU_SET_LOG_FD, 0, true },
		{ VHU_SET_INFLIGHT_FD, 20, true },   { VHU_POSTCOPY_LISTEN, 0, false },
		{ VHU_POSTCOPY_END, 0, false },	     { VHU_IOTLB_MSG, 32, false },
		{ VHU_SET_BACKEND_REQ_FD, 0, true }, { VHU_SET_BACKEND_REQ_FD, 0, false },
		{ VHU_SET_VRING_ENDIAN, 8, false },  { VHU_SEND_RARP, 8, false },
		{ VHU_NET_SET_MTU, 8, false },	     { VHU_CREATE_CRYPTO_SESSION, 64, false },
		{ VHU_CLOSE_CRYPTO_SESSION, 8, false }, { VHU_GPU_SET_SOCKET, 0, true },
		{ VHU_VRING_KICK, 8, false },	     { VHU_GET_INFLIGHT_FD, 20, false },
		{ VHU_SET_DEVICE_STATE_FD, 8, true }, { VHU_CHECK_DEVICE_STATE, 0, false },
		{ VHU_GET_SHARED_OBJECT, 16, false }, { VHU_POSTCOPY_ADVISE, 0, false },
		{ VHU_SET_CONFIG, 12, false },	     { VHU_RESET_DEVICE, 0, false },
	};
	static const uint8_t zeros[64];
	const int fd = check_memfd(check, 0);

	for (size_t i = 0; i < ARRAY_SIZE(odd); i++) {
		/* Without a protocol feature that would allow it. */
		check_connect(check);
		check_negotiate(check, CHECK_FEATURES, 0);
		check_send_odd(check, odd[i].request, VHU_VERSION, zeros, odd[i].size, &fd,
			       odd[i].fd);
		expect_alive(check);
		/* With all of them. */
		check_connect(check);
		check_negotiate(check, CHECK_FEATURES, UINT64_MAX);
		check_send_odd(check, odd[i].request, VHU_VERSION, zeros, odd[i].size, &fd,
			       odd[i].fd);
		expect_alive(check);
	}
}

/* The file behind a part of the memory becomes shorter than was told, with a request in it. */
static void memory_that_is_taken_away(struct check *check)
{
	struct vhu_guest *guest = &check->frontend.guest;
	struct vhu_guest_buffer *last;
	const uint64_t gpa = 1ull << 30, bytes = 1 << 20;
	int fd = check_memfd(check, bytes);

	if (vhu_guest_add(guest, 0, CHECK_MEMORY_BYTES) < 0 ||
	    vhu_guest_add_file(guest, gpa, bytes, fd, 0) < 0)
		check_untried(check, "no memory");
	open_ring(check);
	last = &check->request.buffers[check_n_buffers(&check->request) - 1];
	last->gpa = gpa;
	if (ftruncate(fd, 0) < 0)
		check_untried(check, "the file cannot be truncated");
	check_add(check, &check->ring);
	leave_ring(check);
}

static const struct check_case cases[] = {
	{ "HOS-01", "survives vring indices past the last", MESSAGES,
	  "index: a 32-bit index",
	  CHECK_ROBUST, .fn = indices_past_the_end },
	{ "HOS-02", "survives vring indices past the last, with file descriptors", MESSAGES,
	  "Bits (0-7) of the payload contain the vring index.",
	  CHECK_ROBUST, .fn = indices_with_fds_past_the_end },
	{ "HOS-03", "survives an invalid FD flag that is wrong", MESSAGES,
	  "Bit 8 is the invalid FD flag. This flag is set when there is no file descriptor in "
	  "the ancillary data.",
	  CHECK_ROBUST, .fn = fds_that_are_missing },
	{ "HOS-04", "survives odd ring sizes", "virtio 1.3, 2.7",
	  "Queue Size value is always a power of 2. The maximum Queue Size value is 32768.",
	  CHECK_ROBUST, .fn = odd_ring_sizes },
	{ "HOS-05", "survives bases that do not fit the ring",
	  "vhost-user, VHOST_USER_SET_VRING_BASE",
	  "Sets the next index to use for descriptors in this vring",
	  CHECK_ROBUST, .fn = odd_bases },
	{ "HOS-06", "survives ring addresses outside the memory",
	  "vhost-user, VHOST_USER_SET_VRING_ADDR",
	  "Sets the addresses of the different aspects of the vring.",
	  CHECK_ROBUST, .fn = addresses_outside_the_memory },
	{ "HOS-07", "survives the start of a ring that was not set up", "vhost-user, Ring states",
	  "Each ring is initialized in a stopped and disabled state.",
	  CHECK_ROBUST, .fn = a_start_without_anything },
	{ "HOS-08", "survives event fds that are none, and closed pipes",
	  "vhost-user, VHOST_USER_SET_VRING_CALL",
	  "Set the event file descriptor to signal when buffers are used.",
	  CHECK_ROBUST, .fn = odd_event_fds },
	{ "HOS-09", "survives a call eventfd that blocks and is full",
	  "vhost-user, VHOST_USER_SET_VRING_CALL",
	  "Set the event file descriptor to signal when buffers are used.",
	  CHECK_ROBUST, .needs = REQUEST, .fn = a_full_call_fd },
	{ "HOS-10", "survives available indices that jump", "virtio 1.3, 2.7.13",
	  "the 16-bit idx value can always distinguish between a full and empty buffer",
	  CHECK_ROBUST, .needs = REQUEST, .fn = available_indices_that_jump },
	{ "HOS-11", "survives heads past the descriptor table", "virtio 1.3, 2.7.6",
	  "each ring entry refers to the head of a descriptor chain",
	  CHECK_ROBUST, .needs = REQUEST, .fn = heads_past_the_table },
	{ "HOS-12", "survives malformed chains", "virtio 1.3, 2.7.5.2",
	  "Drivers MUST NOT add a descriptor chain longer than 2^32 bytes in total",
	  CHECK_ROBUST, .needs = REQUEST, .fn = malformed_chains },
	{ "HOS-13", "survives chains without an end", "virtio 1.3, 2.7.5.2",
	  "this implies that loops in the descriptor chain are forbidden!",
	  CHECK_ROBUST, .needs = REQUEST, .fn = chains_without_an_end },
	{ "HOS-14", "survives odd indirect tables", "virtio 1.3, 2.7.5.3.1",
	  "A driver MUST NOT create a descriptor chain longer than the Queue Size of the device. "
	  "A driver MUST NOT set both VIRTQ_DESC_F_INDIRECT and VIRTQ_DESC_F_NEXT in flags.",
	  CHECK_ROBUST, VHU_BIT(VHU_F_RING_INDIRECT_DESC), .needs = REQUEST,
	  .fn = odd_indirect_tables },
	{ "HOS-15", "survives messages that are not in their place", MESSAGES,
	  "Any protocol extensions are gated by protocol feature bits",
	  CHECK_ROBUST, .fn = messages_out_of_order },
	{ "HOS-16", "survives memory that is taken away", "vhost-user, Memory region description",
	  "size: a 64-bit size ... mmap offset: a 64-bit offset where region starts in the mapped "
	  "memory",
	  CHECK_ROBUST, .needs = REQUEST | CHECK_MAY_DIE, .fn = memory_that_is_taken_away },
};

const struct check_group check_hostile = {
	"hostile", "front-ends and drivers that break the rules", CHECK_GROUP(cases)
};
