/* SPDX-License-Identifier: BSD-3-Clause */
/* A device behind an IOMMU (vhost-user, IOMMU support). */
#include <errno.h>
#include <string.h>

#include "cli/check/check.h"
#include "common/frontend/iotlb.h"

#define PLATFORM VHU_BIT(VHU_F_ACCESS_PLATFORM)
#define PACKED VHU_BIT(VHU_F_RING_PACKED)
#define CHANNEL (VHU_BIT(VHU_PROTOCOL_F_BACKEND_REQ) | VHU_BIT(VHU_PROTOCOL_F_REPLY_ACK))
#define PAGE VHU_FRONTEND_IOTLB_PAGE
/* Where the guest's memory is for the device, and what is mapped apart from it. */
#define OFFSET 0x700000000000ull
#define ELSEWHERE 0x10000000ull

struct scene {
	struct check *check;
	struct vhu_frontend_iotlb iotlb;
};

/* Memory is shared and mapped, and there is a ring that is not started. */
static void open_scene(struct check *check, struct scene *scene)
{
	scene->check = check;
	check_connect(check);
	check_negotiate(check, CHECK_FEATURES | PLATFORM, CHECK_PROTOCOL);
	vhu_frontend_iotlb_init(&scene->iotlb, &check->frontend);
	vhu_frontend_iotlb_map_guest(&scene->iotlb, OFFSET);
	check_open_ring(check, &check->ring, 0, CHECK_RING_SIZE);
	if (check_device_has_requests(check->device))
		check_make_request(check, &check->request);
}

/* Each buffer begins a page. */
static void open_ring(struct check *check, struct scene *scene)
{
	open_scene(check, scene);
	check_spread_request(check);
	check_start_ring(check, &check->ring);
}

static void misses_are_asked_for(struct check *check)
{
	struct scene scene;

	open_ring(check, &scene);
	for (unsigned i = 0; i < 3 * CHECK_RING_SIZE; i++)
		expect_served(check, &check->ring);
	expect(check, scene.iotlb.n_misses > 0, "misses of what the front-end never told",
	       "none, and yet the requests were served");
	expect(check, scene.iotlb.n_unknown == 0, "no miss of what no request mentions",
	       "%u of %u, the last miss is 0x%llx", scene.iotlb.n_unknown, scene.iotlb.n_misses,
	       (unsigned long long)scene.iotlb.last_miss.iova);
}

static void updates_and_invalidations_are_answered(struct check *check)
{
	struct scene scene;

	open_scene(check, &scene);
	expect_call(check, vhu_frontend_iotlb_answer(&scene.iotlb, OFFSET + 5 * PAGE, 3),
		    "IOTLB_MSG with an update");
	expect_call(check, vhu_frontend_iotlb_answer(&scene.iotlb, OFFSET + 5 * PAGE, 3),
		    "the same update again");
	expect_call(check, vhu_frontend_iotlb_unmap(&scene.iotlb, OFFSET + 5 * PAGE, PAGE),
		    "IOTLB_MSG with an invalidation");
	expect_call(check, vhu_frontend_iotlb_unmap(&scene.iotlb, OFFSET + 5 * PAGE, PAGE),
		    "an invalidation of what is not there");
	expect_call(check, vhu_frontend_iotlb_unmap(&scene.iotlb, 0, 1ull << 47),
		    "an invalidation of very much");
}

/* The buffers stand at addresses of their own, which lead to other memory from time to time. */
static void map_elsewhere(struct scene *scene, uint8_t readable_perm, uint8_t writable_perm)
{
	struct check *check = scene->check;
	struct check_request *request = &check->request;

	for (unsigned i = 0; i < check_n_buffers(request); i++) {
		struct vhu_guest_buffer *buffer = &request->buffers[i];
		uint64_t iova = ELSEWHERE + i * 0x100000ull;
		uint64_t size = (buffer->len + PAGE - 1) / PAGE * PAGE;
		bool writable = i >= request->n_readable;

		*buffer = check_alloc(check, buffer->len, PAGE);
		if (vhu_frontend_iotlb_map(&scene->iotlb, iova, buffer->gpa, size,
					   writable ? writable_perm : readable_perm) < 0)
			check_untried(check, "the table of mappings is full");
		/* The driver adds the offset; the device shall see iova. */
		buffer->gpa = iova - OFFSET;
	}
}

static void unmap_elsewhere(struct scene *scene)
{
	expect_call(scene->check, vhu_frontend_iotlb_unmap(&scene->iotlb, ELSEWHERE, 0x1000000),
		    "IOTLB_MSG with an invalidation");
}

static void invalidated_is_forgotten(struct check *check)
{
	struct scene scene;

	open_ring(check, &scene);
	for (unsigned i = 0; i < 10; i++) {
		map_elsewhere(&scene, 3, 3);
		expect_served(check, &check->ring);
		expect_served(check, &check->ring);
		unmap_elsewhere(&scene);
	}
	expect(check, scene.iotlb.n_unknown == 0, "no miss of what no request mentions",
	       "0x%llx", (unsigned long long)scene.iotlb.last_miss.iova);
}

static bool is_ring_page(const struct vhu_driver *ring, uint64_t iova)
{
	uint64_t page = (iova - OFFSET) / PAGE;

	return page == ring->desc_gpa / PAGE || page == ring->avail_gpa / PAGE ||
	       page == ring->used_gpa / PAGE;
}

static void wait_for_miss(struct check *check, struct scene *scene)
{
	for (unsigned i = 0; i < CHECK_LOOKS(check) && !scene->iotlb.n_held; i++) {
		check_sleep_ms(CHECK_LOOK_MS);
		expect_call(check, vhu_frontend_serve(&check->frontend), "its channel");
	}
	expect(check, scene->iotlb.n_held > 0, "a miss", "none");
}

/* All is gone: before anything else it has to ask where its ring is. */
static void the_rings_are_forgotten_too(struct check *check)
{
	const struct vhu_iotlb_msg all = { .size = UINT64_MAX, .type = VHU_IOTLB_INVALIDATE };
	struct scene scene;

	open_ring(check, &scene);
	/* The tables lie beside the ring. */
	check->ring.indirect = false;
	for (unsigned i = 0; i < 5; i++) {
		expect_served(check, &check->ring);
		expect_call(check, vhu_frontend_iotlb_send(&check->frontend, &all),
			    "an invalidation of all there is");
		scene.iotlb.hold = true;
		check_offer(check, &check->ring);
		wait_for_miss(check, &scene);
		expect(check, is_ring_page(&check->ring, scene.iotlb.held[0].iova),
		       "a miss of a part of the ring", "the first is of 0x%llx",
		       (unsigned long long)scene.iotlb.held[0].iova);
		expect_call(check, vhu_frontend_iotlb_release(&scene.iotlb), "an update");
		expect_used(check, &check->ring, 1);
	}
}

#define PATTERN 0x5a

static bool is_pattern(const void *host, uint32_t len)
{
	const uint8_t *bytes = host;

	for (uint32_t i = 0; i < len; i++)
		if (bytes[i] != PATTERN)
			return false;
	return true;
}

/* A buffer that begins in the one and goes on in the other, behind which nothing may change. */
static void scatter(struct scene *scene, struct vhu_guest_buffer *buffer, uint64_t iova)
{
	struct check *check = scene->check;
	const uint32_t before = buffer->len / 2, after = buffer->len - before;
	struct vhu_guest_buffer first = check_alloc(check, PAGE, PAGE), second;
	bool dull = is_pattern((char *)buffer->host + before, after);

	check_alloc(check, 3 * PAGE, PAGE);
	second = check_alloc(check, (after + PAGE) / PAGE * PAGE, PAGE);
	vhu_frontend_iotlb_map(&scene->iotlb, iova, first.gpa, PAGE, 3);
	vhu_frontend_iotlb_map(&scene->iotlb, iova + PAGE, second.gpa, second.len, 3);
	memset(first.host, PATTERN, PAGE);
	memset(second.host, PATTERN, second.len);
	buffer->gpa = iova + PAGE - before - OFFSET;
	expect_served(check, &check->ring);
	expect(check, is_pattern(first.host, PAGE - before), "nothing written before the buffer",
	       "a byte of its first page");
	expect(check, is_pattern((char *)second.host + after, second.len - after),
	       "nothing written behind the buffer", "a byte of its last page");
	/* What it wrote when the buffer was in one piece was something to be seen. */
	expect(check, dull || !is_pattern(second.host, after),
	       "the second part in the second page", "nothing was written there");
}

static void neighbours_need_not_be_neighbours(struct check *check)
{
	struct check_request *request = &check->request;
	struct scene scene;

	open_ring(check, &scene);
	expect_served(check, &check->ring);
	for (unsigned i = request->n_readable; i < check_n_buffers(request); i++)
		if (request->buffers[i].len >= 64)
			scatter(&scene, &request->buffers[i], ELSEWHERE + i * 0x100000ull);
}

/* Read-only for what the device reads, write-only for what it writes. */
static void permissions_are_as_needed(struct check *check)
{
	struct scene scene;

	open_ring(check, &scene);
	map_elsewhere(&scene, 1, 2);
	for (unsigned i = 0; i < 5; i++)
		expect_served(check, &check->ring);
	expect(check, scene.iotlb.n_unknown == 0, "misses with the permission that is needed",
	       "one for 0x%llx with permission %u",
	       (unsigned long long)scene.iotlb.last_miss.iova, scene.iotlb.last_miss.perm);
}

static void nobody_waits_for_a_miss(struct check *check)
{
	struct scene scene;

	open_ring(check, &scene);
	expect_served(check, &check->ring);
	map_elsewhere(&scene, 3, 3);
	scene.iotlb.hold = true;
	check_offer(check, &check->ring);
	wait_for_miss(check, &scene);
	expect_call(check, vhu_frontend_sync(&check->frontend),
		    "GET_FEATURES while a miss is not answered");
	expect_call(check, vhu_frontend_iotlb_release(&scene.iotlb), "the update at last");
	expect_used(check, &check->ring, 1);
}

/* The writable buffers are mapped for reading: not a byte of them may change. */
static void permissions_are_respected(struct check *check)
{
	struct check_request *request = &check->request;
	struct vhu_guest_buffer before[CHECK_BUFFERS];
	struct scene scene;

	open_ring(check, &scene);
	expect_served(check, &check->ring);
	map_elsewhere(&scene, 1, 1);
	check_add(check, &check->ring);
	for (unsigned i = 0; i < request->n_writable; i++) {
		before[i] = request->buffers[request->n_readable + i];
		memset(before[i].host, 0xa5, before[i].len);
		/* It knows the page, and what for. */
		expect_call(check,
			    vhu_frontend_iotlb_answer(&scene.iotlb, before[i].gpa + OFFSET, 1),
			    "IOTLB_MSG with an update");
	}
	vhu_driver_publish(&check->ring);
	check_kick(&check->ring);
	for (unsigned i = 0; i < 50; i++) {
		check_sleep_ms(10);
		if (vhu_frontend_serve(&check->frontend) < 0)
			break;
	}
	for (unsigned i = 0; i < request->n_writable; i++)
		for (unsigned k = 0; k < before[i].len; k++)
			expect(check, ((uint8_t *)before[i].host)[k] == 0xa5,
			       "nothing written to memory that is mapped for reading",
			       "byte %u of a buffer", k);
	expect_alive(check);
}

static void updates_lie_in_memory(struct check *check)
{
	struct scene scene;
	const struct vhu_iotlb_msg update = {
		.iova = ELSEWHERE,
		.size = PAGE,
		.uaddr = 0x1000,
		.perm = 3,
		.type = VHU_IOTLB_UPDATE,
	};
	int r;

	open_scene(check, &scene);
	r = vhu_frontend_iotlb_send(&check->frontend, &update);
	expect(check, r == -EREMOTEIO, "an answer that is not 0", "%s",
	       r == 0 ? "success" : "no answer");
}

static void survives_odd_messages(struct check *check)
{
	static const struct vhu_iotlb_msg odd[] = {
		{ 0, 0, 0, 3, VHU_IOTLB_UPDATE, { 0 } },
		{ 0, UINT64_MAX, 0, 3, VHU_IOTLB_UPDATE, { 0 } },
		{ UINT64_MAX, UINT64_MAX, UINT64_MAX, 3, VHU_IOTLB_UPDATE, { 0 } },
		{ OFFSET, PAGE, 0, 0xff, VHU_IOTLB_UPDATE, { 0 } },
		{ OFFSET, PAGE, 0, 0, VHU_IOTLB_UPDATE, { 0 } },
		{ UINT64_MAX, UINT64_MAX, 0, 0, VHU_IOTLB_INVALIDATE, { 0 } },
		{ 0, 0, 0, 0, VHU_IOTLB_INVALIDATE, { 0 } },
		{ OFFSET, PAGE, 0, 3, VHU_IOTLB_MISS, { 0 } },
		{ OFFSET, PAGE, 0, 3, VHU_IOTLB_ACCESS_FAIL, { 0 } },
		{ OFFSET, PAGE, 0, 3, 0, { 0 } },
		{ OFFSET, PAGE, 0, 3, 0xff, { 0 } },
	};
	struct scene scene;

	open_ring(check, &scene);
	expect_served(check, &check->ring);
	for (size_t i = 0; i < ARRAY_SIZE(odd); i++) {
		check_send_odd(check, VHU_IOTLB_MSG, VHU_VERSION, &odd[i], sizeof(odd[i]), NULL,
			       0);
		if (!expect_alive(check))
			return;
	}
}

/* Rings at addresses that nothing is behind. */
static void survives_rings_that_are_nowhere(struct check *check)
{
	struct scene scene;

	open_scene(check, &scene);
	scene.iotlb.n = 0;
	if (vhu_driver_start(&check->ring) == 0)
		check_offer(check, &check->ring);
	for (unsigned i = 0; i < 20; i++) {
		check_sleep_ms(10);
		if (vhu_frontend_serve(&check->frontend) < 0)
			break;
	}
	expect_alive(check);
}

#define SUPPORT "vhost-user, IOMMU support"
#define REQUEST CHECK_NEEDS_REQUEST
#define MISSES \
	"the back-end sends IOTLB miss messages for the guest virtual memory areas it needs to " \
	"access"
#define INVALIDATIONS \
	"For invalidation events, the iotlb payload has to be filled with the invalidation " \
	"message type (3), the I/O virtual address and the size."
#define WITHIN_REGIONS \
	"Addresses and size must be within vhost memory regions set via the " \
	"VHOST_USER_SET_MEM_TABLE request. ... On success, the back-end is expected to reply " \
	"with a zero payload, non-zero otherwise."

static const struct check_case cases[] = {
	{ "IOT-01", "misses are asked for, and requests served", SUPPORT, MISSES, CHECK_MUST,
	  PLATFORM, CHANNEL, REQUEST, misses_are_asked_for },
	{ "IOT-02", "updates and invalidations are answered with 0", SUPPORT,
	  "On success, the back-end is expected to reply with a zero payload, non-zero otherwise.",
	  CHECK_MUST, PLATFORM, CHANNEL, 0, updates_and_invalidations_are_answered },
	{ "IOT-03", "what was invalidated is asked for again", SUPPORT, INVALIDATIONS, CHECK_MUST,
	  PLATFORM, CHANNEL, REQUEST, invalidated_is_forgotten },
	{ "IOT-04", "an invalidation is one of the rings' addresses, too", SUPPORT, INVALIDATIONS,
	  CHECK_MUST, PLATFORM, CHANNEL, REQUEST, the_rings_are_forgotten_too },
	{ "IOT-05", "neighbouring addresses may lead to memory that lies apart",
	  "vhost-user, Memory access",
	  "Guest addresses are also called I/O virtual addresses (IOVAs). They are translated to "
	  "user addresses via the IOTLB.",
	  CHECK_MUST, PLATFORM, CHANNEL, REQUEST, neighbours_need_not_be_neighbours },
	{ "IOT-06", "a miss asks for no more permission than it needs", SUPPORT,
	  "For miss events, the iotlb payload has to be filled with the miss message type (1), the "
	  "I/O virtual address and the permissions flags. (A warning: nobody says which.)",
	  CHECK_SHOULD, PLATFORM, CHANNEL, REQUEST, permissions_are_as_needed },
	{ "IOT-07", "other messages are answered while a miss is not",
	  "vhost-user, IOMMU support, and VHOST_USER_GET_FEATURES",
	  "The front-end isn't expected to take the initiative to send IOTLB update messages",
	  CHECK_SHOULD, PLATFORM, CHANNEL, REQUEST, nobody_waits_for_a_miss },
	{ "IOT-08", "memory that is mapped for reading is not written", SUPPORT,
	  "For update events, the iotlb payload has to be filled with the update message type (2), "
	  "the I/O virtual address, the size, the user virtual address, and the permissions flags.",
	  CHECK_MUST, PLATFORM, CHANNEL, REQUEST, permissions_are_respected },
	{ "IOT-09", "an update that is in no region is refused", SUPPORT, WITHIN_REGIONS,
	  CHECK_SHOULD, PLATFORM, CHANNEL, 0, updates_lie_in_memory },
	{ "IOT-10", "a packed ring behind an IOMMU is served", SUPPORT, MISSES, CHECK_MUST,
	  PLATFORM | PACKED, CHANNEL, REQUEST, invalidated_is_forgotten },
	{ "IOT-11", "survives IOTLB messages that make no sense", SUPPORT, WITHIN_REGIONS,
	  CHECK_ROBUST, PLATFORM, CHANNEL, REQUEST, survives_odd_messages },
	{ "IOT-12", "survives rings that are mapped nowhere", SUPPORT,
	  "front-end sent nothing if the IOTLB miss message is invalid (invalid IOVA or "
	  "permission)",
	  CHECK_ROBUST, PLATFORM, CHANNEL, REQUEST, survives_rings_that_are_nowhere },
};

const struct check_group check_iotlb = {
	"iotlb", "a device behind an IOMMU", CHECK_GROUP(cases)
};
