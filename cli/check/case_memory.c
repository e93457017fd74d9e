/* SPDX-License-Identifier: BSD-3-Clause */
/* The guest's memory: tables, slots, addresses. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/check/check.h"

#define ACCESS "vhost-user, Memory access"
#define SLOTS VHU_BIT(VHU_PROTOCOL_F_CONFIGURE_MEM_SLOTS)
#define ACKS VHU_BIT(VHU_PROTOCOL_F_REPLY_ACK)
#define NO_SLOTS (CHECK_PROTOCOL & ~SLOTS)
#define REQUEST CHECK_NEEDS_REQUEST
/* Of the regions that the cases add. */
#define REGION_BYTES 0x200000ull
#define GAP 0x40000000ull
/* Regions added in one go, at most: each is a mapping of the back-end. */
#define MANY_SLOTS 32

static void add_region(struct check *check, uint64_t gpa, uint64_t size)
{
	if (vhu_guest_add(&check->frontend.guest, gpa, size) < 0)
		check_untried(check, "no memory for another region");
}

/* Lets the request's buffer lie at gpa, where the guest has memory. */
static void move_buffer(struct check *check, struct vhu_guest_buffer *buffer, uint64_t gpa)
{
	buffer->gpa = gpa;
	buffer->host = vhu_guest_at(&check->frontend.guest, gpa, buffer->len);
	if (!buffer->host)
		check_untried(check, "a buffer outside the guest");
}

/* All of them, a page from one to the next. */
static void move_buffers(struct check *check, uint64_t gpa)
{
	for (unsigned i = 0; i < check_n_buffers(&check->request); i++)
		move_buffer(check, &check->request.buffers[i], gpa + 0x1000 * i);
}

static void share(struct check *check, uint64_t protocol, const char *what)
{
	add_region(check, 0, CHECK_MEMORY_BYTES);
	add_region(check, GAP, REGION_BYTES);
	check_connect(check);
	if (vhu_frontend_negotiate(&check->frontend,
				   VHU_BIT(VHU_F_VERSION_1) | VHU_BIT(VHU_F_PROTOCOL_FEATURES),
				   protocol) < 0)
		check_untried(check, "negotiation fails");
	expect_call(check, vhu_frontend_share_memory(&check->frontend), what);
	expect_call(check, vhu_frontend_sync(&check->frontend), "GET_FEATURES after it");
}

static void a_table_is_accepted(struct check *check)
{
	share(check, NO_SLOTS, "SET_MEM_TABLE");
}

static void regions_are_accepted(struct check *check)
{
	share(check, CHECK_PROTOCOL, "ADD_MEM_REG");
}

/* Ring and buffers in regions of their own, with gaps between them. */
static void several_regions(struct check *check, uint64_t protocol)
{
	add_region(check, 0, CHECK_MEMORY_BYTES);
	for (unsigned i = 1; i <= CHECK_BUFFERS; i++)
		add_region(check, i * GAP, REGION_BYTES);
	check_connect(check);
	check_negotiate(check, CHECK_FEATURES, protocol);
	check_open_ring(check, &check->ring, 0, CHECK_RING_SIZE);
	check_make_request(check, &check->request);
	expect_call(check, vhu_driver_start(&check->ring), "starting a ring in the first region");
	check_set_running(check);
	check_kick(&check->ring);
	for (unsigned i = 0; i < check_n_buffers(&check->request); i++)
		move_buffer(check, &check->request.buffers[i], (i + 1) * GAP + 0x1000);
	expect_served(check, &check->ring);
	for (unsigned i = 0; i < check_n_buffers(&check->request); i++)
		move_buffer(check, &check->request.buffers[i],
			    (i + 1) * GAP + REGION_BYTES - check->request.buffers[i].len);
	expect_served(check, &check->ring);
}

static void a_table_of_regions(struct check *check)
{
	several_regions(check, NO_SLOTS);
}

static void regions_one_by_one(struct check *check)
{
	several_regions(check, CHECK_PROTOCOL);
}

/* Two regions of one file, in the other order than in the guest. */
static void offsets_into_the_file(struct check *check)
{
	struct vhu_guest *guest = &check->frontend.guest;
	int fd = check_memfd(check, 2 * CHECK_MEMORY_BYTES);

	if (vhu_guest_add_file(guest, 0, CHECK_MEMORY_BYTES, fd, CHECK_MEMORY_BYTES) < 0 ||
	    vhu_guest_add_file(guest, GAP, REGION_BYTES, fd, 0x3000) < 0)
		check_untried(check, "no memory");
	check_ring(check, CHECK_FEATURES, CHECK_PROTOCOL);
	expect_served(check, &check->ring);
	move_buffers(check, GAP);
	expect_served(check, &check->ring);
}

/* A guest that was rebooted into other memory: the same addresses, another file. */
static void a_table_replaces_the_last(struct check *check)
{
	struct vhu_guest *guest = &check->frontend.guest;
	struct vhu_guest_region *region = &guest->regions[0];

	check_ring(check, CHECK_FEATURES, NO_SLOTS);
	expect_served(check, &check->ring);
	if (vhu_driver_stop(&check->ring) < 0)
		check_untried(check, "the ring cannot be stopped");
	vhu_driver_finish(&check->ring);
	vhu_guest_finish(guest);
	vhu_guest_init(guest);
	add_region(check, 0, CHECK_MEMORY_BYTES);
	expect_call(check, vhu_frontend_set_mem_table(&check->frontend, &region->wire, &region->fd,
						      1), "SET_MEM_TABLE again");
	check_open_ring(check, &check->ring, 0, CHECK_RING_SIZE);
	check_make_request(check, &check->request);
	check_start_ring(check, &check->ring);
	expect_served(check, &check->ring);
}

/* As QEMU plugs memory into a guest at work. */
static void a_table_with_rings_running(struct check *check)
{
	check_ring(check, CHECK_FEATURES, NO_SLOTS);
	expect_served(check, &check->ring);
	add_region(check, GAP, REGION_BYTES);
	expect_call(check, vhu_frontend_share_memory(&check->frontend),
		    "SET_MEM_TABLE with one more region, while the ring runs");
	expect_served(check, &check->ring);
	move_buffers(check, GAP);
	expect_served(check, &check->ring);
}

static void add_a_region_with_rings_running(struct check *check)
{
	const struct vhu_guest_region *region = &check->frontend.guest.regions[1];

	check_ring(check, CHECK_FEATURES, CHECK_PROTOCOL);
	expect_served(check, &check->ring);
	add_region(check, GAP, REGION_BYTES);
	expect_call(check, vhu_frontend_add_mem_reg(&check->frontend, &region->wire, region->fd),
		    "ADD_MEM_REG while the ring runs");
	move_buffers(check, GAP);
	expect_served(check, &check->ring);
}

static void a_region_is_known_by_its_addresses(struct check *check)
{
	const struct vhu_guest_region *region = &check->frontend.guest.regions[1];
	struct vhu_wire_region wire;

	add_region(check, 0, CHECK_MEMORY_BYTES);
	add_region(check, GAP, REGION_BYTES);
	check_connect(check);
	check_negotiate(check, CHECK_FEATURES, CHECK_PROTOCOL);
	for (unsigned i = 0; i < 3; i++) {
		wire = region->wire;
		wire.mmap_offset = i * 0x1000;
		expect_call(check, vhu_frontend_rem_mem_reg(&check->frontend, &wire),
			    "REM_MEM_REG with some mmap offset");
		expect_call(check, vhu_frontend_add_mem_reg(&check->frontend, &region->wire,
							    region->fd),
			    "ADD_MEM_REG of the same region again");
	}
}

static void an_fd_of_a_removed_region_is_closed(struct check *check)
{
	const struct vhu_guest_region *region = &check->frontend.guest.regions[1];
	struct vhu_single_region single = { .padding = 0 };
	struct pollfd pollfd = { .events = POLLIN };
	int pipe_fds[2];

	if (pipe(pipe_fds) < 0)
		check_untried(check, "no pipe");
	add_region(check, 0, CHECK_MEMORY_BYTES);
	add_region(check, GAP, REGION_BYTES);
	check_connect(check);
	check_negotiate(check, CHECK_FEATURES, CHECK_PROTOCOL);
	single.region = region->wire;
	/* It may be accepted or not. */
	check_send_odd(check, VHU_REM_MEM_REG, VHU_VERSION, &single, sizeof(single), &pipe_fds[1],
		       1);
	close(pipe_fds[1]);
	expect_alive(check);
	pollfd.fd = pipe_fds[0];
	expect(check, poll(&pollfd, 1, check->timeout_ms) == 1 && pollfd.revents & POLLHUP,
	       "the back-end has closed the file descriptor", "it keeps it open");
}

static void slots_are_counted(struct check *check)
{
	uint64_t n = 0;

	check_connect(check);
	check_negotiate(check, CHECK_FEATURES, CHECK_PROTOCOL);
	expect_call(check, vhu_frontend_ask_u64(&check->frontend, VHU_GET_MAX_MEM_SLOTS, &n),
		    "GET_MAX_MEM_SLOTS");
	expect(check, n >= 1, "at least one memory slot", "%llu", (unsigned long long)n);
}

static void slots_that_are_counted_are_there(struct check *check)
{
	uint64_t n = min_u64(check->facts->n_memory_slots, MANY_SLOTS);

	if (!n)
		check_skip(check, "the back-end tells no number of memory slots");
	add_region(check, 0, CHECK_MEMORY_BYTES);
	check_connect(check);
	check_negotiate(check, CHECK_FEATURES, CHECK_PROTOCOL);
	for (unsigned i = 1; i < n; i++) {
		const struct vhu_guest_region *region = &check->frontend.guest.regions[i];
		char what[40];

		add_region(check, i * GAP, REGION_BYTES);
		snprintf(what, sizeof(what), "ADD_MEM_REG number %u", i + 1);
		expect_call(check,
			    vhu_frontend_add_mem_reg(&check->frontend, &region->wire, region->fd),
			    what);
	}
}

static void a_buffer_may_lie_in_two_regions(struct check *check)
{
	unsigned n;

	add_region(check, 0, CHECK_MEMORY_BYTES);
	add_region(check, CHECK_MEMORY_BYTES, REGION_BYTES);
	check_ring(check, CHECK_FEATURES, CHECK_PROTOCOL);
	n = check_n_buffers(&check->request);
	for (unsigned i = 0; i < n; i++) {
		struct vhu_guest_buffer *buffer = &check->request.buffers[i];
		struct vhu_guest_buffer home = *buffer;
		char *low, *high;

		/* Headers in two pieces are another matter (SPL-01). */
		if (buffer->len < 64)
			continue;
		buffer->gpa = CHECK_MEMORY_BYTES - buffer->len / 2;
		low = vhu_guest_at(&check->frontend.guest, buffer->gpa, home.len / 2);
		high = vhu_guest_at(&check->frontend.guest, CHECK_MEMORY_BYTES,
				    home.len - home.len / 2);
		/* What the request says is filled in at home, and copied to both parts. */
		check_add(check, &check->ring);
		memcpy(low, home.host, home.len / 2);
		memcpy(high, (char *)home.host + home.len / 2, home.len - home.len / 2);
		expect_done(check, &check->ring, "a request with a buffer in two regions");
		*buffer = home;
	}
}

/* What no front-end sends. */

static void odd_tables(struct check *check)
{
	const int fd = check_memfd(check, 0x10000);
	const struct {
		uint32_t n_regions, n_sent;
		struct vhu_wire_region region;
	} odd[] = {
		{ 0, 0, { 0 } },
		{ 0xffffffff, 1, { 0, 0x10000, 0x10000, 0 } },
		{ 9, 1, { 0, 0x10000, 0x10000, 0 } },
		{ 2, 1, { 0, 0x10000, 0x10000, 0 } },
		{ 1, 1, { 0, 0, 0x10000, 0 } },			       /* nothing */
		{ 1, 1, { 0, UINT64_MAX, 0x10000, 0 } },	       /* everything */
		{ 1, 1, { UINT64_MAX - 0xfff, 0x10000, 0x10000, 0 } }, /* past the end */
		{ 1, 1, { 0, 0x10000, UINT64_MAX - 0xfff, 0 } },
		{ 1, 1, { 0, 0x10000, 0x10000, UINT64_MAX - 0xfff } },
		{ 1, 1, { 0, 0x10000, 0x10000, 0x1001 } },
	};

	for (size_t i = 0; i < ARRAY_SIZE(odd); i++) {
		struct vhu_mem_table table = { .n_regions = odd[i].n_regions };

		table.regions[0] = odd[i].region;
		check_connect(check);
		check_negotiate(check, CHECK_FEATURES, NO_SLOTS);
		check_send_odd(check, VHU_SET_MEM_TABLE, VHU_VERSION, &table,
			       offsetof(struct vhu_mem_table, regions[odd[i].n_sent]), &fd,
			       odd[i].n_sent);
		expect_alive(check);
	}
}

static void odd_regions(struct check *check)
{
	static const struct vhu_wire_region odd[] = {
		{ GAP, 0, GAP, 0 },
		{ GAP, UINT64_MAX, GAP, 0 },
		{ UINT64_MAX - 0xfff, 0x10000, GAP, 0 },
		{ GAP, 0x10000, UINT64_MAX - 0xfff, 0 },
		{ GAP, 0x10000, GAP, UINT64_MAX - 0xfff },
		{ 0, 0x10000, GAP, 0 }, /* on top of another */
	};
	const int fd = check_memfd(check, 0x10000);

	for (size_t i = 0; i < ARRAY_SIZE(odd); i++) {
		struct vhu_single_region single = { .region = odd[i] };

		check_connect(check);
		check_negotiate(check, CHECK_FEATURES, CHECK_PROTOCOL);
		check_send_odd(check, VHU_REM_MEM_REG, VHU_VERSION, &single, sizeof(single), NULL,
			       0);
		if (!expect_alive(check))
			continue;
		check_send_odd(check, VHU_ADD_MEM_REG, VHU_VERSION, &single, sizeof(single), &fd,
			       1);
		if (!expect_alive(check))
			continue;
		check_send_odd(check, VHU_ADD_MEM_REG, VHU_VERSION, &single, sizeof(single), NULL,
			       0);
		expect_alive(check);
	}
}

static const struct check_case cases[] = {
	{ "MEM-01", "a table of regions with gaps between them", ACCESS,
	  "User addresses map to the vhost memory region containing that user address. ... Guest "
	  "addresses map to the vhost memory region containing that guest address.",
	  CHECK_MUST, .needs = REQUEST, .fn = a_table_of_regions },
	{ "MEM-02", "a region may begin anywhere in its file",
	  "vhost-user, Memory region description",
	  "mmap offset: a 64-bit offset where region starts in the mapped memory",
	  CHECK_MUST, .needs = REQUEST, .fn = offsets_into_the_file },
	{ "MEM-03", "a table replaces the one before", "vhost-user, VHOST_USER_SET_MEM_TABLE",
	  "Sets the memory map regions on the back-end so it can translate the vring addresses.",
	  CHECK_MUST, .needs = REQUEST, .fn = a_table_replaces_the_last },
	{ "MEM-04", "a table may come while rings run", "vhost-user, Ring states",
	  "While processing the rings (whether they are enabled or not), the back-end must "
	  "support changing some configuration aspects on the fly.",
	  CHECK_MUST, .needs = REQUEST, .fn = a_table_with_rings_running },
	{ "MEM-05", "a buffer may lie in two regions", ACCESS,
	  "Guest addresses map to the vhost memory region containing that guest address.",
	  CHECK_MUST, .needs = REQUEST, .fn = a_buffer_may_lie_in_two_regions },
	{ "MEM-06", "regions are added one by one", "vhost-user, VHOST_USER_ADD_MEM_REG",
	  "The message payload contains a memory region descriptor struct, describing a region "
	  "of guest memory which the back-end device must map in.",
	  CHECK_MUST, .protocol = SLOTS, .needs = REQUEST, .fn = regions_one_by_one },
	{ "MEM-07", "a region may be added while rings run", "vhost-user, VHOST_USER_ADD_MEM_REG",
	  "this message is used to set and update the memory tables of the back-end device",
	  CHECK_MUST, .protocol = SLOTS, .needs = REQUEST, .fn = add_a_region_with_rings_running },
	{ "MEM-08", "a region is removed whatever mmap offset is named",
	  "vhost-user, VHOST_USER_REM_MEM_REG",
	  "The memory region to be removed is identified by its guest address, user address and "
	  "size. The mmap offset is ignored.",
	  CHECK_MUST, .protocol = SLOTS | ACKS, .fn = a_region_is_known_by_its_addresses },
	{ "MEM-09", "a file descriptor with REM_MEM_REG is closed",
	  "vhost-user, VHOST_USER_REM_MEM_REG",
	  "If a file descriptor is passed, the back-end MUST close it without using it "
	  "otherwise.",
	  CHECK_MUST, .protocol = SLOTS, .fn = an_fd_of_a_removed_region_is_closed },
	{ "MEM-10", "GET_MAX_MEM_SLOTS tells a number of slots",
	  "vhost-user, VHOST_USER_GET_MAX_MEM_SLOTS",
	  "The back-end should return the message with a u64 payload containing the maximum "
	  "number of memory slots",
	  CHECK_SHOULD, .protocol = SLOTS, .fn = slots_are_counted },
	{ "MEM-11", "as many slots as it tells are there (32 are tried)",
	  "vhost-user, VHOST_USER_GET_MAX_MEM_SLOTS",
	  "the maximum number of memory slots for QEMU to expose to the guest",
	  CHECK_MUST, .protocol = SLOTS, .fn = slots_that_are_counted_are_there },
	{ "MEM-12", "survives odd memory tables",
	  "vhost-user, Multiple Memory regions description",
	  "num regions: a 32-bit number of regions ... regions: regions field contains 8 regions",
	  CHECK_ROBUST, .fn = odd_tables },
	{ "MEM-13", "survives odd regions", "vhost-user, Memory region description",
	  "guest address ... size ... user address ... mmap offset",
	  CHECK_ROBUST, .protocol = SLOTS, .fn = odd_regions },
	{ "MEM-14", "a table is accepted", "vhost-user, VHOST_USER_SET_MEM_TABLE",
	  "Sets the memory map regions on the back-end so it can translate the vring addresses.",
	  CHECK_MUST, .fn = a_table_is_accepted },
	{ "MEM-15", "regions are accepted one by one", "vhost-user, VHOST_USER_ADD_MEM_REG",
	  "describing a region of guest memory which the back-end device must map in",
	  CHECK_MUST, .protocol = SLOTS, .fn = regions_are_accepted },
};

const struct check_group check_memory = {
	"memory", "tables, slots and addresses", CHECK_GROUP(cases)
};
