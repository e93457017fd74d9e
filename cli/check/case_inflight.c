/* SPDX-License-Identifier: BSD-3-Clause */
/* What is in flight when a back-end dies (vhost-user, Inflight I/O tracking). */
#include <endian.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "cli/check/check.h"
#include "common/frontend/inflight.h"
#include "common/memory/access.h"

#define INFLIGHT VHU_BIT(VHU_PROTOCOL_F_INFLIGHT_SHMFD)
#define PACKED VHU_BIT(VHU_F_RING_PACKED)
#define SUSPEND VHU_BIT(VHU_PROTOCOL_F_GET_VRING_BASE_INFLIGHT)
#define PROTOCOL (CHECK_PROTOCOL | INFLIGHT)
#define SIZE CHECK_RING_SIZE
#define SPLIT_BYTES \
	(sizeof(struct vhu_record_split) + SIZE * sizeof(struct vhu_record_split_entry))
#define PACKED_BYTES \
	(sizeof(struct vhu_record_packed) + SIZE * sizeof(struct vhu_record_packed_entry))

static bool is_packed(const struct check *check)
{
	return check->frontend.acked_features & PACKED;
}

static void get_record(struct check *check, struct vhu_record *ret_record)
{
	char buf[80];
	int r = vhu_frontend_get_record(&check->frontend, 1, SIZE, ret_record);

	if (r < 0)
		check_untried(check, "GET_INFLIGHT_FD: %s", check_explain(check, r, buf));
}

static void set_record(struct check *check, const struct vhu_record *record)
{
	expect_call(check, vhu_frontend_set_record(&check->frontend, record), "SET_INFLIGHT_FD");
}

/* As QEMU: the record before memory and rings. */
static void open_ring(struct check *check, struct vhu_record *record)
{
	check_connect(check);
	check_negotiate_bits(check, CHECK_FEATURES, PROTOCOL | (check->now->protocol & SUSPEND));
	if (!record->host)
		get_record(check, record);
	set_record(check, record);
	check_share_memory(check);
	if (check->ring.slots)
		return;
	check_open_ring(check, &check->ring, 0, SIZE);
	if (check_device_has_requests(check->device))
		check_make_request(check, &check->request);
}

static void a_record_is_given(struct check *check)
{
	struct vhu_record record;

	check_connect(check);
	check_negotiate_bits(check, CHECK_FEATURES, PROTOCOL);
	expect_call(check, vhu_frontend_get_record(&check->frontend, 1, SIZE, &record),
		    "GET_INFLIGHT_FD, answered with a file that is as long as it says");
	set_record(check, &record);
}

/* The region of queue 0, which "can be implemented" as is drawn: then it is big enough for that. */
static void *region_of(struct check *check, const struct vhu_record *record)
{
	if (record->wire.mmap_size < (is_packed(check) ? PACKED_BYTES : SPLIT_BYTES))
		check_skip(check, "its record is smaller than that of the specification");
	return vhu_record_queue(record, 0);
}

/* Of a region that was in use. Its first fields are those of both layouts. */
static unsigned count(struct check *check, const struct vhu_record *record)
{
	void *region = region_of(check, record);
	const struct vhu_record_split *start = region;

	if (start->version != 1 || start->desc_num != SIZE)
		check_skip(check, "its record does not begin like that of the specification");
	return is_packed(check) ? vhu_record_count_packed(region) :
				  vhu_record_count_split(region);
}

static void nothing_stays_in_flight(struct check *check)
{
	struct vhu_record record = { 0 };

	open_ring(check, &record);
	check_start_ring(check, &check->ring);
	for (unsigned i = 0; i < 2 * SIZE + 5; i++)
		expect_served(check, &check->ring);
	expect_used(check, &check->ring, check_fill_ring(check, &check->ring));
	expect_call(check, vhu_driver_stop(&check->ring), "GET_VRING_BASE");
	expect(check, count(check, &record) == 0, "nothing in flight in the record",
	       "%u entries are", count(check, &record));
}

/* A back-end that died with all of it in flight, as its record would be. */
static unsigned die_at_work(struct check *check, struct vhu_record *record)
{
	unsigned n;

	open_ring(check, record);
	n = check_fill_ring(check, &check->ring);
	vhu_frontend_disconnect(&check->frontend);
	return n;
}

/* Each of n comes back once, and nothing more. */
static void expect_each_once(struct check *check, unsigned n)
{
	struct vhu_driver_used used;
	uint64_t seen[SIZE] = { 0 };
	char buf[80];

	for (unsigned i = 0; i < n; i++) {
		int r = vhu_driver_wait(&check->ring, &used);

		expect(check, r == 0, "every request comes back once", "%u of %u: %s", i, n,
		       r == -EPROTO ? "one came back that was not in flight" :
				      check_explain(check, r, buf));
		expect(check, used.token < SIZE && !seen[used.token]++, "each request once",
		       "number %llu again", (unsigned long long)used.token);
	}
	expect_silence(check, &check->ring, "nothing comes back twice");
}

/* The driver's requests are in the ring, and the record says that those were taken. */
static struct vhu_record_split *forge_split(struct check *check, struct vhu_record *record,
					    unsigned n)
{
	struct vhu_record_split *region = region_of(check, record);
	const struct vring *vring = &check->ring.split.vring;

	memset(region, 0, SPLIT_BYTES);
	region->version = 1;
	region->desc_num = SIZE;
	for (unsigned i = 0; i < n; i++) {
		uint16_t head = le16toh(vring->avail->ring[i]);

		region->desc[head].inflight = 1;
		region->desc[head].counter = i + 1;
	}
	return region;
}

/* The base as QEMU has it then: the used index. */
static void start_after_the_crash(struct check *check)
{
	vhu_driver_restore_base(&check->ring);
	check_start_ring(check, &check->ring);
}

static void what_was_in_flight_is_done(struct check *check)
{
	struct vhu_record record = { 0 };
	unsigned n;

	n = die_at_work(check, &record);
	forge_split(check, &record, n / 2);
	open_ring(check, &record);
	start_after_the_crash(check);
	expect_each_once(check, n);
	for (unsigned i = 0; i < SIZE; i++)
		expect_served(check, &check->ring);
}

/* The last batch was in the used ring already, but the record does not know it. */
static void last_batch(struct check *check, unsigned n_last)
{
	struct vhu_record record = { 0 };
	struct vhu_record_split *region;
	struct vring *vring = &check->ring.split.vring;
	struct vhu_driver_used used;
	unsigned n;

	n = die_at_work(check, &record);
	region = forge_split(check, &record, n);
	for (unsigned i = 0; i < n_last; i++) {
		uint16_t head = le16toh(vring->avail->ring[i]);

		vring->used->ring[i].id = htole32(head);
		vring->used->ring[i].len = 0;
		region->desc[head].next = region->last_batch_head;
		region->last_batch_head = head;
	}
	vring->used->idx = htole16((uint16_t)n_last);
	for (unsigned i = 0; i < n_last; i++)
		if (vhu_driver_get(&check->ring, &used) != 1)
			check_untried(check, "our own used ring cannot be read");
	open_ring(check, &record);
	start_after_the_crash(check);
	expect_each_once(check, n - n_last);
}

/* Who never uses more than one at a time has no other. */
static void the_last_one_is_done_only_once(struct check *check)
{
	last_batch(check, 1);
}

static void the_last_batch_is_done_only_once(struct check *check)
{
	last_batch(check, 2);
}

/* All is set up when it comes, but for the kick. */
static void the_record_may_come_after_the_ring(struct check *check)
{
	struct vhu_record record = { 0 };
	unsigned n = die_at_work(check, &record);

	forge_split(check, &record, n);
	check_connect(check);
	check_negotiate(check, CHECK_FEATURES, PROTOCOL);
	set_record(check, &record);
	start_after_the_crash(check);
	expect_each_once(check, n);
}

/* Killed at some instant of its work, many times; its record is all there is. */
static void killed_at_work(struct check *check)
{
	struct vhu_record record = { 0 };

	open_ring(check, &record);
	for (unsigned round = 0; round < 24; round++) {
		unsigned n;

		start_after_the_crash(check);
		if (round)
			for (unsigned i = 0; i < 7; i++)
				expect_served(check, &check->ring);
		/* The work begins just when the kill is on its way, sooner or later. */
		check_kill_backend(check);
		usleep(round * 10);
		n = check_fill_ring(check, &check->ring);
		check_await_backend(check);
		open_ring(check, &record);
		start_after_the_crash(check);
		expect_each_once(check, n);
		check_stop_ring(check, &check->ring);
	}
}

/* Of a split ring the two indices and the record have to agree; of a packed one, what comes. */
static void expect_recorded(struct check *check, const struct vhu_record *record)
{
	uint16_t used;

	if (is_packed(check))
		return;
	used = vhu_load_acquire_le16(&check->ring.split.vring.used->idx);
	expect(check, (uint16_t)(check->ring.base - used) == count(check, record),
	       "what was taken and is not used is in flight in the record",
	       "%u taken, %u used, %u in flight", check->ring.base, used, count(check, record));
}

static void a_stop_leaves_a_record(struct check *check)
{
	struct vhu_record record = { 0 };

	open_ring(check, &record);
	check_start_ring(check, &check->ring);
	for (unsigned round = 0; round < 20; round++) {
		unsigned n = check_fill_ring(check, &check->ring);

		expect_call(check, vhu_driver_stop(&check->ring), "GET_VRING_BASE");
		expect_recorded(check, &record);
		/* Another front-end has the same record, as after a migration. */
		vhu_frontend_disconnect(&check->frontend);
		open_ring(check, &record);
		check_start_ring(check, &check->ring);
		expect_each_once(check, n);
	}
}

static void survives_odd_records(struct check *check)
{
	static const struct vhu_inflight odd[] = {
		{ UINT64_MAX, 0, 1, SIZE, 0 },	   { 1 << 20, 0, 1, SIZE, 0 },
		{ 4096, UINT64_MAX - 8, 1, SIZE, 0 }, { 4096, 1 << 20, 1, SIZE, 0 },
		{ 16, 0, 1, SIZE, 0 },		   { 4096, 0, 0xffff, 0xffff, 0 },
		{ 4096, 0, 1, 0, 0 },		   { 4096, 0, 0, SIZE, 0 },
		{ 0, 0, 1, SIZE, 0 },
	};
	int fd = check_memfd(check, 8192);

	for (size_t i = 0; i < ARRAY_SIZE(odd); i++) {
		const struct vhu_record record = { .wire = odd[i], .fd = fd };

		check_connect(check);
		check_negotiate(check, CHECK_FEATURES, PROTOCOL);
		check_open_ring(check, &check->ring, 0, SIZE);
		if (check_device_has_requests(check->device))
			check_make_request(check, &check->request);
		/* Refused or taken: then the ring starts with it. */
		(void)vhu_frontend_set_record(&check->frontend, &record);
		if (vhu_driver_start(&check->ring) == 0 &&
		    check_device_has_requests(check->device))
			check_offer(check, &check->ring);
		check_sleep_ms(CHECK_SILENCE_MS / 3);
		expect_alive(check);
		check_forget(check);
	}
}

static void survives_odd_questions(struct check *check)
{
	static const struct { uint16_t n_queues, queue_size; } odd[] = {
		{ 0, 0 }, { 0xffff, 0xffff }, { 0, SIZE }, { 1, 0 }, { 1, 3 }, { 0xffff, 1 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(odd); i++) {
		const struct vhu_inflight asked = { .n_queues = odd[i].n_queues,
						    .queue_size = odd[i].queue_size };

		check_connect(check);
		check_negotiate(check, CHECK_FEATURES, PROTOCOL);
		check_send_odd(check, VHU_GET_INFLIGHT_FD, VHU_VERSION, &asked,
			       VHU_INFLIGHT_SIZE, NULL, 0);
		expect_alive(check);
		check_forget(check);
	}
}

/* Every byte of the record is what it should not be. */
static void survives_records_of_junk(struct check *check)
{
	static const uint8_t junk[] = { 0xff, 0x01, 0x80, 0x7f };

	for (size_t i = 0; i < ARRAY_SIZE(junk); i++) {
		struct vhu_record record = { 0 };
		uint8_t *region;

		open_ring(check, &record);
		check_fill_ring(check, &check->ring);
		vhu_frontend_disconnect(&check->frontend);
		region = vhu_record_queue(&record, 0);
		memset(region, junk[i], record.wire.mmap_size);
		/* One that passes for a record at first sight. */
		((struct vhu_record_split *)(void *)region)->version = 1;
		if (i & 1)
			((struct vhu_record_split *)(void *)region)->desc_num = SIZE;
		check_connect(check);
		check_negotiate_bits(check, CHECK_FEATURES, PROTOCOL);
		(void)vhu_frontend_set_record(&check->frontend, &record);
		check_share_memory(check);
		if (vhu_driver_start(&check->ring) == 0)
			check_kick(&check->ring);
		check_sleep_ms(CHECK_SILENCE_MS);
		expect_alive(check);
		vhu_record_finish(&record);
		check_forget(check);
	}
}

/* In a file of ours, since its own may be sealed. */
static void survives_a_record_that_shrinks(struct check *check)
{
	struct vhu_record own = { 0 }, record;

	check_connect(check);
	check_negotiate(check, CHECK_FEATURES, PROTOCOL);
	get_record(check, &own);
	record = own;
	record.fd = check_memfd(check, own.wire.mmap_offset + own.wire.mmap_size);
	open_ring(check, &record);
	check_start_ring(check, &check->ring);
	expect_served(check, &check->ring);
	if (ftruncate(record.fd, 0) < 0)
		check_untried(check, "the record cannot be truncated");
	check_offer(check, &check->ring);
	check_sleep_ms(CHECK_SILENCE_MS);
	expect_alive(check);
}

#define TRACKING "vhost-user, Inflight I/O tracking"
#define REQUEST CHECK_NEEDS_REQUEST
#define RESUBMIT \
	"When reconnecting: ... Resubmit inflight DescStateSplit entries in order of their " \
	"counter value"

#define LAST_BATCH \
	"If the value of used_idx does not match the idx value of used ring ... Set the inflight " \
	"field of each DescStateSplit entry to 0 in last batch list which starts from " \
	"last_batch_head"

#define GET_BASE "VHOST_USER_GET_VRING_BASE"
#define SUSPENDED \
	"If the VHOST_USER_PROTOCOL_F_GET_VRING_BASE_INFLIGHT protocol feature has been " \
	"negotiated, the back-end may suspend in-flight I/O requests and record them as " \
	"described in Inflight I/O tracking instead of completing them before stopping the vring."

static const struct check_case cases[] = {
	{ "INF-01", "a record is given", "vhost-user, VHOST_USER_GET_INFLIGHT_FD",
	  "this message is submitted by the front-end to get a shared buffer from back-end. The "
	  "shared buffer will be used to track inflight I/O by back-end.",
	  CHECK_MUST, .protocol = INFLIGHT, .fn = a_record_is_given },
	{ "INF-02", "what is done is not in flight any more", TRACKING,
	  "When supplying used buffers to the driver: ... Set the inflight field of each "
	  "DescStateSplit entry in the batch to 0",
	  CHECK_SHOULD, .protocol = INFLIGHT, .needs = REQUEST, .fn = nothing_stays_in_flight },
	{ "INF-03", "the same of a packed ring", TRACKING,
	  "When supplying used buffers to the driver: ... Set the inflight field of each head "
	  "DescStatePacked entry in the batch to 0",
	  CHECK_SHOULD, PACKED, INFLIGHT, REQUEST, nothing_stays_in_flight },
	{ "INF-04", "what was in flight is done, and what was not taken too", TRACKING, RESUBMIT,
	  CHECK_SHOULD, .protocol = INFLIGHT, .needs = REQUEST,
	  .fn = what_was_in_flight_is_done },
	{ "INF-05", "what was used last is not done twice", TRACKING, LAST_BATCH, CHECK_SHOULD,
	  .protocol = INFLIGHT, .needs = REQUEST,
	  .fn = the_last_one_is_done_only_once },
	{ "INF-06", "the record may come after memory", "vhost-user, VHOST_USER_SET_INFLIGHT_FD",
	  "this message is submitted by the front-end to send the shared inflight buffer back to "
	  "the back-end so that the back-end could get inflight I/O after a crash or restart.",
	  CHECK_SHOULD, .protocol = INFLIGHT, .needs = REQUEST,
	  .fn = the_record_may_come_after_the_ring },
	{ "INF-07", "killed at work, each request is done once", TRACKING, RESUBMIT, CHECK_MUST,
	  .protocol = INFLIGHT, .needs = REQUEST | CHECK_NEEDS_EXEC, .fn = killed_at_work },
	{ "INF-08", "the same of a packed ring", TRACKING,
	  "When reconnecting: ... Resubmit inflight DescStatePacked entries in order of their "
	  "counter value",
	  CHECK_MUST, PACKED, INFLIGHT, REQUEST | CHECK_NEEDS_EXEC, killed_at_work },
	{ "INF-09", "survives records that are not as long as they say",
	  "vhost-user, Inflight description", "a 64-bit size of area to track inflight I/O",
	  CHECK_ROBUST, .protocol = INFLIGHT, .fn = survives_odd_records },
	{ "INF-10", "survives questions for odd records",
	  "vhost-user, Inflight description", "a 16-bit number of virtqueues",
	  CHECK_ROBUST, .protocol = INFLIGHT, .fn = survives_odd_questions },
	{ "INF-11", "survives records of junk", TRACKING,
	  "Zero value indicates an uninitialized buffer",
	  CHECK_ROBUST, .protocol = INFLIGHT, .needs = REQUEST, .fn = survives_records_of_junk },
	{ "INF-12", "survives packed records of junk", TRACKING,
	  "Zero value indicates an uninitialized buffer",
	  CHECK_ROBUST, PACKED, INFLIGHT, REQUEST, survives_records_of_junk },
	{ "INF-13", "survives a record that is made shorter", TRACKING,
	  "share it with front-end for persistent",
	  CHECK_ROBUST, .protocol = INFLIGHT, .needs = REQUEST | CHECK_MAY_DIE,
	  .fn = survives_a_record_that_shrinks },
	{ "INF-14", "what a stop suspends is in the record", "vhost-user (QEMU 11), " GET_BASE,
	  SUSPENDED, CHECK_MUST, .protocol = INFLIGHT | SUSPEND, .needs = REQUEST,
	  .fn = a_stop_leaves_a_record },
	{ "INF-15", "the same of a packed ring", "vhost-user (QEMU 11), " GET_BASE, SUSPENDED,
	  CHECK_MUST, PACKED, INFLIGHT | SUSPEND, REQUEST, a_stop_leaves_a_record },
	{ "INF-16", "the last batch is not done twice", TRACKING, LAST_BATCH, CHECK_SHOULD,
	  .protocol = INFLIGHT, .needs = REQUEST, .fn = the_last_batch_is_done_only_once },
};

const struct check_group check_inflight = {
	"inflight", "what is in flight when a back-end dies", CHECK_GROUP(cases)
};
