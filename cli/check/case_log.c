/* SPDX-License-Identifier: BSD-3-Clause */
/* The dirty log of a migration (vhost-user, Migration). */
#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include "cli/check/check.h"
#include "common/frontend/log.h"

#define PAGE VHU_FRONTEND_LOG_PAGE
#define SLOTS VHU_BIT(VHU_PROTOCOL_F_CONFIGURE_MEM_SLOTS)
#define LOG_ALL VHU_BIT(VHU_F_LOG_ALL)
#define LOG_SHMFD VHU_BIT(VHU_PROTOCOL_F_LOG_SHMFD)
#define PROTOCOL (CHECK_PROTOCOL | LOG_SHMFD)
/* Twice what the guest's memory needs: the upper half is for what lies outside. */
#define LOG_BYTES (2 * CHECK_MEMORY_BYTES / PAGE / 8)
#define OUTSIDE_GPA (CHECK_MEMORY_BYTES + 5 * PAGE)

/* The reply is demanded, what it says of success is not said. */
static void set_log(struct check *check, const struct vhu_frontend_log *log)
{
	char buf[80];
	int r = vhu_frontend_set_log(&check->frontend, log);

	if (r < 0 && r != -EREMOTEIO)
		check_untried(check, "SET_LOG_BASE: %s", check_explain(check, r, buf));
}

static void set_logging(struct check *check, bool on)
{
	expect_call(check, vhu_frontend_set_logging(&check->frontend, on),
		    on ? "SET_FEATURES with LOG_ALL" : "SET_FEATURES without LOG_ALL");
}

/* A ring at work, whose request's writable buffers have pages of their own, and a log. */
static void open_log(struct check *check, struct vhu_frontend_log *log, uint64_t offset)
{
	check_ring(check, CHECK_FEATURES, PROTOCOL);
	check_spread_request(check);
	expect_served(check, &check->ring);
	if (vhu_frontend_log_init(log, &check->frontend.guest, LOG_BYTES, offset) < 0)
		check_untried(check, "no memory");
	set_log(check, log);
}

static void expect_marked(struct check *check, const struct vhu_frontend_log *log, uint64_t gpa,
			  const char *what)
{
	expect(check, vhu_frontend_log_has(log, gpa), what, "page 0x%llx is not marked",
	       (unsigned long long)(gpa / PAGE));
}

static void set_log_base_is_answered(struct check *check)
{
	struct vhu_frontend_log log;
	int r;

	check_connect(check);
	check_negotiate(check, CHECK_FEATURES, PROTOCOL);
	if (vhu_frontend_log_init(&log, &check->frontend.guest, 0, 0) < 0)
		check_untried(check, "no memory");
	r = vhu_frontend_set_log(&check->frontend, &log);
	expect_call(check, r == -EREMOTEIO ? 0 : r, "SET_LOG_BASE");
	if (r == -EREMOTEIO)
		check_note(check, "its answer to SET_LOG_BASE is not 0");
	expect_call(check, vhu_frontend_sync(&check->frontend), "GET_FEATURES after it");
}

/* As QEMU begins, with rings live. */
static void writes_are_marked(struct check *check)
{
	const struct check_request *request = &check->request;
	struct vhu_frontend_log log;

	open_log(check, &log, 0);
	set_logging(check, true);
	for (unsigned round = 0; round < 5; round++) {
		vhu_frontend_log_clear(&log);
		expect_served(check, &check->ring);
		for (unsigned i = 0; i < request->n_writable; i++)
			expect_marked(check, &log, request->buffers[request->n_readable + i].gpa,
				      "the pages of each buffer that was written to");
	}
}

static void writes_across_pages_are_marked(struct check *check)
{
	struct check_request *request = &check->request;
	struct vhu_frontend_log log;

	open_log(check, &log, 0);
	set_logging(check, true);
	for (unsigned i = 0; i < request->n_writable; i++) {
		struct vhu_guest_buffer *buffer = &request->buffers[request->n_readable + i];
		struct vhu_guest_buffer room;
		uint32_t before = buffer->len / 2;

		if (buffer->len < 2)
			continue;
		room = check_alloc(check, 2 * PAGE + buffer->len, PAGE);
		buffer->gpa = room.gpa + PAGE - before;
		buffer->host = (char *)room.host + PAGE - before;
		expect_served(check, &check->ring);
		expect_marked(check, &log, buffer->gpa, "the first page of a buffer");
		expect_marked(check, &log, buffer->gpa + buffer->len - 1,
			      "the last page of a buffer");
	}
}

static void nothing_is_marked_when_off(struct check *check)
{
	struct vhu_frontend_log log;

	open_log(check, &log, 0);
	expect_served(check, &check->ring);
	expect(check, vhu_frontend_log_count(&log) == 0, "no mark before LOG_ALL", "%llu of them",
	       (unsigned long long)vhu_frontend_log_count(&log));
	set_logging(check, true);
	expect_served(check, &check->ring);
	set_logging(check, false);
	vhu_frontend_log_clear(&log);
	for (unsigned i = 0; i < 10; i++)
		expect_served(check, &check->ring);
	expect(check, vhu_frontend_log_count(&log) == 0, "no mark after LOG_ALL was taken back",
	       "%llu of them", (unsigned long long)vhu_frontend_log_count(&log));
}

static void the_log_begins_at_its_offset(struct check *check)
{
	const struct check_request *request = &check->request;
	struct vhu_frontend_log log;
	uint8_t before[PAGE];

	open_log(check, &log, PAGE);
	set_logging(check, true);
	expect_served(check, &check->ring);
	expect_marked(check, &log, request->buffers[request->n_readable].gpa,
		      "marks counted from the offset");
	if (pread(log.fd, before, sizeof(before), 0) != sizeof(before))
		check_untried(check, "the log cannot be read");
	for (unsigned i = 0; i < sizeof(before); i++)
		expect(check, !before[i], "nothing written before the offset", "byte %u is 0x%02x",
		       i, before[i]);
}

static void log_ring(struct check *check, bool on, uint64_t gpa)
{
	expect_call(check, vhu_driver_log(&check->ring, on, gpa),
		    on ? "SET_VRING_ADDR with the log flag" : "SET_VRING_ADDR without log flag");
}

static void the_used_ring_is_marked(struct check *check)
{
	struct vhu_frontend_log log;

	open_log(check, &log, 0);
	set_logging(check, true);
	log_ring(check, true, OUTSIDE_GPA);
	for (unsigned round = 0; round < 5; round++) {
		vhu_frontend_log_clear(&log);
		expect_served(check, &check->ring);
		expect_marked(check, &log, OUTSIDE_GPA,
			      "the used ring, at the address told, which is outside guest memory");
	}
	log_ring(check, false, 0);
	vhu_frontend_log_clear(&log);
	expect_served(check, &check->ring);
	expect(check, !vhu_frontend_log_has(&log, OUTSIDE_GPA),
	       "no mark of the used ring without the flag", "there is one");
}

/* The log was there before the region. */
static void memory_that_comes_later_is_logged(struct check *check)
{
	struct vhu_frontend *frontend = &check->frontend;
	struct check_request *request = &check->request;
	struct vhu_guest_region *region;
	struct vhu_frontend_log log;
	int i;

	open_log(check, &log, 0);
	set_logging(check, true);
	i = vhu_guest_add(&frontend->guest, CHECK_MEMORY_BYTES, 1 << 20);
	if (i < 0)
		check_untried(check, "no memory");
	region = &frontend->guest.regions[i];
	expect_call(check, vhu_frontend_add_mem_reg(frontend, &region->wire, region->fd),
		    "ADD_MEM_REG while writes are logged");
	for (unsigned k = 0; k < request->n_writable; k++) {
		struct vhu_guest_buffer *buffer = &request->buffers[request->n_readable + k];

		buffer->gpa = region->wire.gpa + (k + 3) * 4ull * PAGE;
		buffer->host = region->host + (k + 3) * 4ull * PAGE;
	}
	expect_served(check, &check->ring);
	expect_marked(check, &log, request->buffers[request->n_readable].gpa,
		      "writes to memory that was added later");
	/* A region of the first table is logged as before. */
	expect_call(check, vhu_frontend_rem_mem_reg(frontend, &region->wire), "REM_MEM_REG");
}

static void packed_rings_are_logged(struct check *check)
{
	writes_are_marked(check);
}

/* A bit beside the one that the device sets, which nobody but us touches. */
struct neighbour {
	uint8_t *byte;
	uint8_t bit;
	bool stop;
	unsigned long n_lost;
};

static void *flip(void *data)
{
	struct neighbour *n = data;

	while (!__atomic_load_n(&n->stop, __ATOMIC_RELAXED)) {
		__atomic_fetch_or(n->byte, n->bit, __ATOMIC_SEQ_CST);
		for (unsigned i = 0; i < 20; i++)
			if (!(__atomic_load_n(n->byte, __ATOMIC_SEQ_CST) & n->bit)) {
				n->n_lost++;
				break;
			}
		__atomic_fetch_and(n->byte, (uint8_t)~n->bit, __ATOMIC_SEQ_CST);
	}
	return NULL;
}

static void marks_are_atomic(struct check *check)
{
	struct vhu_frontend_log log;
	struct neighbour n = { .n_lost = 0 };
	uint64_t page;
	pthread_t thread;

	open_log(check, &log, 0);
	page = check->request.buffers[check->request.n_readable].gpa / PAGE;
	n.byte = &log.bits[page / 8];
	n.bit = (uint8_t)(page % 8 == 7 ? 1 : 0x80);
	set_logging(check, true);
	if (pthread_create(&thread, NULL, flip, &n))
		check_untried(check, "no thread");
	for (unsigned i = 0; i < 5000; i++) {
		expect_served(check, &check->ring);
		vhu_frontend_log_take(&log, page * PAGE);
	}
	__atomic_store_n(&n.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	expect(check, n.n_lost == 0, "a bit that we set in the log stays set",
	       "%lu times it was lost", n.n_lost);
}

static void nothing_is_marked_after_the_stop(struct check *check)
{
	struct vhu_frontend_log log;

	open_log(check, &log, 0);
	set_logging(check, true);
	log_ring(check, true, OUTSIDE_GPA);
	check_fill_ring(check, &check->ring);
	check_stop_ring(check, &check->ring);
	vhu_frontend_log_clear(&log);
	check_sleep_ms(2 * CHECK_SILENCE_MS);
	expect(check, vhu_frontend_log_count(&log) == 0, "no mark after the last GET_VRING_BASE",
	       "%llu of them", (unsigned long long)vhu_frontend_log_count(&log));
}

static void a_log_fd_is_taken(struct check *check)
{
	struct vhu_frontend_log log;
	int fd = check_eventfd(check);

	open_log(check, &log, 0);
	expect_call(check,
		    vhu_frontend_call(&check->frontend, VHU_SET_LOG_FD, NULL, 0, &fd, 1, NULL),
		    "SET_LOG_FD");
	set_logging(check, true);
	expect_served(check, &check->ring);
}

/* The request is sent; what becomes of it is the back-end's affair. */
static void provoke(struct check *check, const struct vhu_frontend_log *log)
{
	int r = vhu_frontend_set_log(&check->frontend, log);

	if (r == 0 || r == -EREMOTEIO)
		r = vhu_frontend_set_logging(&check->frontend, true);
	if (r == 0)
		r = vhu_driver_log(&check->ring, true, OUTSIDE_GPA);
	if (r == 0 || r == -EREMOTEIO)
		check_offer(check, &check->ring);
	check_sleep_ms(CHECK_SILENCE_MS);
	expect_alive(check);
	check_forget(check);
}

static void survives_odd_logs(struct check *check)
{
	static const struct {
		uint64_t size, offset, file_bytes;
	} odd[] = {
		{ 0, 0, PAGE },		     /* nothing */
		{ 1, 0, 1 },		     /* eight pages */
		{ LOG_BYTES, 0, 0 },	     /* an empty file */
		{ LOG_BYTES, PAGE, PAGE },   /* behind the end of the file */
		{ LOG_BYTES, UINT64_MAX - 8, PAGE },
		{ UINT64_MAX, 0, PAGE },
		{ UINT64_MAX, UINT64_MAX, PAGE },
	};

	for (size_t i = 0; i < ARRAY_SIZE(odd); i++) {
		const struct vhu_frontend_log log = {
			.fd = check_memfd(check, odd[i].file_bytes),
			.size = odd[i].size,
			.offset = odd[i].offset,
		};

		check_ring(check, CHECK_FEATURES, PROTOCOL);
		provoke(check, &log);
		close(log.fd);
	}
}

static void survives_a_log_that_shrinks(struct check *check)
{
	struct vhu_frontend_log log;

	open_log(check, &log, 0);
	set_logging(check, true);
	expect_served(check, &check->ring);
	if (ftruncate(log.fd, 0) < 0)
		check_untried(check, "the log cannot be truncated");
	check_offer(check, &check->ring);
	check_sleep_ms(CHECK_SILENCE_MS);
	expect_alive(check);
}

#define MIGRATION "vhost-user, Migration"
#define REQUEST CHECK_NEEDS_REQUEST

static const struct check_case cases[] = {
	{ "LOG-01", "SET_LOG_BASE is answered", "vhost-user, Communication",
	  "Most of the requests don't require replies, except for the following requests: ... "
	  "VHOST_USER_SET_LOG_BASE (if VHOST_USER_PROTOCOL_F_LOG_SHMFD)",
	  CHECK_MUST, .protocol = LOG_SHMFD, .fn = set_log_base_is_answered },
	{ "LOG-02", "writes to guest memory are marked", MIGRATION,
	  "All the modifications to memory pointed by vring \"descriptor\" should be marked.",
	  CHECK_MUST, LOG_ALL, LOG_SHMFD, REQUEST, writes_are_marked },
	{ "LOG-03", "each page of a buffer is marked", MIGRATION,
	  "page = addr / VHOST_LOG_PAGE; log[page / 8] |= 1 << page % 8. Where addr is the guest "
	  "physical address.",
	  CHECK_MUST, LOG_ALL, LOG_SHMFD, REQUEST, writes_across_pages_are_marked },
	{ "LOG-04", "nothing is marked before LOG_ALL and after it", MIGRATION,
	  "To start/stop logging of data/used ring writes, the front-end may send messages "
	  "VHOST_USER_SET_FEATURES with VHOST_F_LOG_ALL ... set to 1/0, respectively. (A warning: "
	  "a mark too many does no harm.)",
	  CHECK_SHOULD, LOG_ALL, LOG_SHMFD, REQUEST, nothing_is_marked_when_off },
	{ "LOG-05", "the log begins at its offset", MIGRATION,
	  "Log starts at the supplied offset in the supplied file descriptor.",
	  CHECK_MUST, LOG_ALL, LOG_SHMFD, REQUEST, the_log_begins_at_its_offset },
	{ "LOG-06", "the used ring is marked where the front-end says", MIGRATION,
	  "when logging modifications to the used ring (when VHOST_VRING_F_LOG is set for this "
	  "ring), log_guest_addr should be used to calculate the log offset ... this value might "
	  "be outside the legal guest physical address range",
	  CHECK_MUST, LOG_ALL, LOG_SHMFD, REQUEST, the_used_ring_is_marked },
	{ "LOG-07", "memory that comes later is logged", MIGRATION,
	  "The log covers from address 0 to the maximum of guest regions.",
	  CHECK_MUST, LOG_ALL, LOG_SHMFD | SLOTS, REQUEST, memory_that_comes_later_is_logged },
	{ "LOG-08", "a packed ring's writes are marked", MIGRATION,
	  "All the modifications to memory pointed by vring \"descriptor\" should be marked.",
	  CHECK_MUST, LOG_ALL | VHU_BIT(VHU_F_RING_PACKED), LOG_SHMFD, REQUEST,
	  packed_rings_are_logged },
	{ "LOG-09", "marks are made by atomic operations", MIGRATION,
	  "Use atomic operations, as the log may be concurrently manipulated.",
	  CHECK_MUST, LOG_ALL, LOG_SHMFD, REQUEST, marks_are_atomic },
	{ "LOG-10", "nothing is marked after the rings stopped", MIGRATION,
	  "Once the source has finished migration, rings will be stopped by the source (Suspended "
	  "device state). No further update must be done before rings are restarted.",
	  CHECK_MUST, LOG_ALL, LOG_SHMFD, REQUEST, nothing_is_marked_after_the_stop },
	{ "LOG-11", "SET_LOG_FD is taken", "vhost-user, VHOST_USER_SET_LOG_FD",
	  "Sets the logging file descriptor, which is passed as ancillary data.",
	  CHECK_SHOULD, LOG_ALL, LOG_SHMFD, REQUEST, a_log_fd_is_taken },
	{ "LOG-12", "survives logs that are too small or not there", MIGRATION,
	  "The size of the log is supplied as part of VhostUserMsg which should be large enough to "
	  "cover all known guest addresses.",
	  CHECK_ROBUST, LOG_ALL, LOG_SHMFD, REQUEST, survives_odd_logs },
	{ "LOG-13", "survives a log that is made shorter", MIGRATION,
	  "Log starts at the supplied offset in the supplied file descriptor.",
	  CHECK_ROBUST, LOG_ALL, LOG_SHMFD, REQUEST | CHECK_MAY_DIE,
	  survives_a_log_that_shrinks },
};

const struct check_group check_log = {
	"log", "the dirty log of a migration", CHECK_GROUP(cases)
};
