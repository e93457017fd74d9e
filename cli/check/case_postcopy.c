/* SPDX-License-Identifier: BSD-3-Clause */
/* The destination of a postcopy migration (vhost-user, Migration; POSTCOPY_ADVISE and on). */
#include <errno.h>
#include <string.h>

#include "cli/check/check.h"
#include "common/frontend/postcopy.h"

#define PAGE CHECK_PAGE
#define SLOTS VHU_BIT(VHU_PROTOCOL_F_CONFIGURE_MEM_SLOTS)
#define PROTOCOL (CHECK_PROTOCOL | VHU_BIT(VHU_PROTOCOL_F_PAGEFAULT))

struct scene {
	struct check *check;
	struct vhu_frontend_postcopy postcopy;
	uint64_t hole_gpa, hole_end; /* the request's buffers */
};

/* Up to the ADVISE, with a ring that is not started and a request in pages of its own. */
static void open_scene(struct check *check, struct scene *scene, uint64_t protocol)
{
	struct vhu_frontend *frontend = &check->frontend;
	int r;

	*scene = (struct scene){ .check = check };
	check_connect(check);
	check_negotiate_bits(check, CHECK_FEATURES, protocol);
	if (vhu_guest_add(&frontend->guest, 0, CHECK_MEMORY_BYTES) < 0)
		check_untried(check, "no memory");
	check_open_ring(check, &check->ring, 0, CHECK_RING_SIZE);
	scene->hole_gpa = check_alloc(check, PAGE, PAGE).gpa;
	if (check_device_has_requests(check->device))
		check_make_request(check, &check->request);
	scene->hole_end = check_alloc(check, PAGE, PAGE).gpa;
	r = vhu_frontend_postcopy_init(&scene->postcopy, frontend);
	if (r < 0)
		check_skip(check, "vhu-check has no userfaultfd here: %s", strerror(-r));
}

static int map(struct scene *scene)
{
	int r = vhu_frontend_postcopy_advise(&scene->postcopy);

	if (r == 0)
		r = vhu_frontend_postcopy_listen(&scene->postcopy);
	return r < 0 ? r : vhu_frontend_postcopy_map(&scene->postcopy);
}

/* The ack has no answer; whether it was taken shows at the next message. */
static int acknowledge(struct scene *scene)
{
	int r = vhu_frontend_postcopy_ack(&scene->postcopy);

	return r < 0 ? r : vhu_frontend_sync(&scene->check->frontend);
}

/* All of that is another case's matter; a table is what most back-ends understand. */
static void begin(struct check *check, struct scene *scene)
{
	char buf[80];
	int r;

	open_scene(check, scene, PROTOCOL & ~SLOTS);
	r = map(scene);
	if (r == 0)
		r = acknowledge(scene);
	if (r == 0 && vhu_frontend_postcopy_probe(&scene->postcopy) < 0)
		check_untried(check, "the bases of SET_MEM_TABLE are wrong");
	if (r < 0)
		check_untried(check, "bringing the back-end into postcopy: %s",
			      check_explain(check, r, buf));
}

static void end(struct scene *scene)
{
	expect_call(scene->check, vhu_frontend_postcopy_push(&scene->postcopy), "pushing pages");
	expect_call(scene->check, vhu_frontend_postcopy_end(&scene->postcopy), "POSTCOPY_END");
}

static void advise_gives_a_userfaultfd(struct check *check)
{
	struct scene scene;

	open_scene(check, &scene, PROTOCOL);
	expect_call(check, vhu_frontend_postcopy_advise(&scene.postcopy), "POSTCOPY_ADVISE");
}

static void bases(struct check *check, uint64_t protocol, const char *what)
{
	struct scene scene;

	open_scene(check, &scene, protocol);
	expect_call(check, map(&scene), what);
	/* Memory need not be watched before the ack, and whether that is taken is another case. */
	if (acknowledge(&scene) == 0)
		expect(check, vhu_frontend_postcopy_probe(&scene.postcopy) != -ENOENT,
		       "memory that the userfaultfd watches at each base",
		       "none there; the first base is 0x%llx, and 0x%llx its user address",
		       (unsigned long long)vhu_frontend_postcopy_base(&scene.postcopy),
		       (unsigned long long)check->frontend.guest.regions[0].wire.uaddr);
}

static void slots_are_answered_with_bases(struct check *check)
{
	bases(check, PROTOCOL, "ADD_MEM_REG, answered with where the region is mapped");
}

static void tables_are_answered_with_bases(struct check *check)
{
	bases(check, PROTOCOL & ~SLOTS, "SET_MEM_TABLE, answered with where the regions are");
}

static void ack(struct check *check, uint64_t protocol, const char *what)
{
	struct scene scene;

	open_scene(check, &scene, protocol);
	if (map(&scene) < 0)
		check_untried(check, "the memory was not answered with its bases");
	expect_call(check, acknowledge(&scene), what);
	end(&scene);
}

static void slots_are_acknowledged(struct check *check)
{
	ack(check, PROTOCOL, "GET_FEATURES after the ack, an ADD_MEM_REG of 8 bytes and no fd");
}

static void tables_are_acknowledged(struct check *check)
{
	ack(check, PROTOCOL & ~SLOTS, "GET_FEATURES after the ack, a SET_MEM_TABLE of 8 bytes");
}

static void no_fault_before_the_ack(struct check *check)
{
	struct scene scene;

	open_scene(check, &scene, PROTOCOL);
	if (map(&scene) < 0)
		check_untried(check, "the memory was not answered with its bases");
	check_sleep_ms(CHECK_SILENCE_MS);
	expect(check, atomic_load(&scene.postcopy.n_faults) == 0, "no fault before the ack",
	       "%u of them", atomic_load(&scene.postcopy.n_faults));
}

static void take_out(struct scene *scene)
{
	int r = vhu_frontend_postcopy_take_out(&scene->postcopy, scene->hole_gpa,
					       scene->hole_end - scene->hole_gpa);

	if (r < 0)
		check_untried(scene->check, "making a hole in guest memory: %s", strerror(-r));
}

/* The buffers of a request are not there when it is sent. */
static void serve_from_nothing(struct scene *scene)
{
	check_add(scene->check, &scene->check->ring);
	take_out(scene);
	expect_done(scene->check, &scene->check->ring,
		    "a request whose pages have yet to come");
}

static void pages_are_waited_for(struct check *check)
{
	struct scene scene;

	begin(check, &scene);
	check_start_ring(check, &check->ring);
	for (unsigned i = 0; i < 10; i++)
		serve_from_nothing(&scene);
	expect(check, atomic_load(&scene.postcopy.n_faults) > 0,
	       "faults on the userfaultfd that was passed", "none in 10 requests");
	end(&scene);
	for (unsigned i = 0; i < 10; i++)
		expect_served(check, &check->ring);
}

/* With need_reply too it is one message: what follows is answered in its turn. */
static void the_end_has_one_reply(struct check *check)
{
	struct vhu_message reply;
	struct scene scene;

	begin(check, &scene);
	expect_call(check, vhu_frontend_postcopy_push(&scene.postcopy), "pushing pages");
	check_send_odd(check, VHU_POSTCOPY_END, VHU_VERSION | VHU_FLAG_NEED_REPLY, NULL, 0, NULL,
		       0);
	expect_call(check, vhu_frontend_receive(&check->frontend, &reply), "POSTCOPY_END");
	expect(check, reply.header.request == VHU_POSTCOPY_END && reply.header.size == 8,
	       "an answer of a u64", "request %u with %u bytes", reply.header.request,
	       reply.header.size);
	expect(check, reply.payload.u64 == 0, "success", "%llu",
	       (unsigned long long)reply.payload.u64);
	expect_call(check, vhu_frontend_sync(&check->frontend), "GET_FEATURES after it");
}

static void memory_is_as_ever_after_the_end(struct check *check)
{
	struct scene scene;
	const struct vhu_guest_region *region = &check->frontend.guest.regions[0];

	begin(check, &scene);
	end(&scene);
	expect_call(check,
		    vhu_frontend_set_mem_table(&check->frontend, &region->wire, &region->fd, 1),
		    "SET_MEM_TABLE, with a plain ack, after POSTCOPY_END");
	check_start_ring(check, &check->ring);
	expect_served(check, &check->ring);
}

/* The source dies, and with it the page that a request waits for. */
static void survives_the_end_of_the_connection(struct check *check)
{
	struct scene scene;

	begin(check, &scene);
	check_start_ring(check, &check->ring);
	check_add(check, &check->ring);
	take_out(&scene);
	atomic_store(&scene.postcopy.hold, true);
	vhu_driver_publish(&check->ring);
	check_kick(&check->ring);
	for (unsigned i = 0; i < 100 && !atomic_load(&scene.postcopy.n_faults); i++)
		check_sleep_ms(10);
	vhu_frontend_disconnect(&check->frontend);
	vhu_frontend_postcopy_finish(&scene.postcopy);
	check_forget(check);
	check_ring(check, CHECK_FEATURES, CHECK_PROTOCOL);
	expect_served(check, &check->ring);
}

static void survives_messages_out_of_order(struct check *check)
{
	static const uint32_t orders[][3] = {
		{ VHU_POSTCOPY_LISTEN, VHU_POSTCOPY_END, VHU_POSTCOPY_ADVISE },
		{ VHU_POSTCOPY_END, VHU_POSTCOPY_END, VHU_POSTCOPY_LISTEN },
		{ VHU_POSTCOPY_ADVISE, VHU_POSTCOPY_ADVISE, VHU_POSTCOPY_END },
		{ VHU_POSTCOPY_ADVISE, VHU_POSTCOPY_LISTEN, VHU_POSTCOPY_LISTEN },
	};

	for (size_t i = 0; i < ARRAY_SIZE(orders); i++) {
		check_connect(check);
		check_negotiate(check, CHECK_FEATURES, PROTOCOL);
		for (unsigned k = 0; k < 3; k++)
			check_send_odd(check, orders[i][k], VHU_VERSION, NULL, 0, NULL, 0);
		expect_alive(check);
		check_forget(check);
	}
}

#define PAGEFAULT VHU_BIT(VHU_PROTOCOL_F_PAGEFAULT)
#define SECTION(name) "vhost-user, VHOST_USER_" name
#define ACKNOWLEDGED \
	"QEMU will then reply back to the list of mappings with an empty " \
	"VHOST_USER_SET_MEM_TABLE as an acknowledgement; only upon reception of this message may " \
	"the guest start accessing the memory and generating faults."
#define APPLY_ACCORDINGLY \
	"For further details on postcopy, see VHOST_USER_SET_MEM_TABLE. They apply to " \
	"VHOST_USER_ADD_MEM_REG accordingly. (There: " ACKNOWLEDGED ")"

static const struct check_case cases[] = {
	{ "PCY-01", "POSTCOPY_ADVISE is answered with a userfaultfd", SECTION("POSTCOPY_ADVISE"),
	  "the back-end must open a userfaultfd for later use", CHECK_MUST, .protocol = PAGEFAULT,
	  .fn = advise_gives_a_userfaultfd },
	{ "PCY-02", "ADD_MEM_REG is answered with the base", SECTION("ADD_MEM_REG"),
	  "In postcopy mode (see VHOST_USER_POSTCOPY_LISTEN), the back-end replies with the bases "
	  "of the memory mapped region to the front-end.",
	  CHECK_MUST, .protocol = PAGEFAULT | SLOTS, .fn = slots_are_answered_with_bases },
	{ "PCY-03", "SET_MEM_TABLE is answered with the bases", SECTION("SET_MEM_TABLE"),
	  "When VHOST_USER_POSTCOPY_LISTEN has been received, SET_MEM_TABLE replies with the bases "
	  "of the memory mapped regions to the front-end.",
	  CHECK_MUST, .protocol = PAGEFAULT, .fn = tables_are_answered_with_bases },
	{ "PCY-04", "the ack to the base of a region is taken", SECTION("ADD_MEM_REG"),
	  APPLY_ACCORDINGLY, CHECK_MUST, .protocol = PAGEFAULT | SLOTS,
	  .fn = slots_are_acknowledged },
	{ "PCY-05", "the ack to the bases of a table is taken", SECTION("SET_MEM_TABLE"),
	  ACKNOWLEDGED, CHECK_MUST, .protocol = PAGEFAULT, .fn = tables_are_acknowledged },
	{ "PCY-06", "no page is touched before the ack", SECTION("SET_MEM_TABLE"),
	  "The back-end must have mmap'd the regions but not yet accessed them and should not yet "
	  "generate a userfault event.",
	  CHECK_MUST, .protocol = PAGEFAULT, .fn = no_fault_before_the_ack },
	{ "PCY-07", "pages that have yet to come are waited for", SECTION("POSTCOPY_LISTEN"),
	  "The back-end must ensure that shared memory is registered with userfaultfd to cause "
	  "faulting of non-present pages.",
	  CHECK_MUST, .protocol = PAGEFAULT, .needs = CHECK_NEEDS_REQUEST,
	  .fn = pages_are_waited_for },
	{ "PCY-08", "POSTCOPY_END has one reply, and it is success", SECTION("POSTCOPY_END"),
	  "The reply is an acknowledgement only. ... The value returned is an error indication; 0 "
	  "is success.",
	  CHECK_MUST, .protocol = PAGEFAULT, .fn = the_end_has_one_reply },
	{ "PCY-09", "after POSTCOPY_END memory is told as ever", SECTION("POSTCOPY_END"),
	  "The front-end advises that postcopy migration has now completed. The back-end must "
	  "disable the userfaultfd.",
	  CHECK_MUST, .protocol = PAGEFAULT, .needs = CHECK_NEEDS_REQUEST,
	  .fn = memory_is_as_ever_after_the_end },
	{ "PCY-10", "survives the end of the connection while it waits for a page",
	  "vhost-user, Migration",
	  "The front-end services requests on the userfaultfd for pages that are accessed",
	  CHECK_ROBUST, .protocol = PAGEFAULT, .needs = CHECK_NEEDS_REQUEST,
	  .fn = survives_the_end_of_the_connection },
	{ "PCY-11", "survives POSTCOPY messages out of order", SECTION("POSTCOPY_LISTEN"),
	  "This is always sent sometime after a VHOST_USER_POSTCOPY_ADVISE", CHECK_ROBUST,
	  .protocol = PAGEFAULT, .fn = survives_messages_out_of_order },
};

const struct check_group check_postcopy = { "postcopy", "the destination of a postcopy migration",
					    CHECK_GROUP(cases) };
