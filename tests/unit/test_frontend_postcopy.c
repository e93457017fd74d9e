/* SPDX-License-Identifier: BSD-3-Clause */
/* Our front-end's postcopy, with a back-end that is a second mapping in this process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

#include "common/base/num.h"
#include "common/frontend/postcopy.h"
#include "tests/unit/scripted_peer.h"

#define GPA 0x100000ull
#define BYTES 0x10000u
#define PAGE 4096u
#define SPARE (4 * PAGE) /* never written */

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif

struct fixture {
	struct scripted_peer peer;
	struct vhu_frontend_postcopy postcopy;
	char *ours, *theirs;
	int uffd;
	bool slots;
};

/* Byte i of page n is n + i, but never 0. */
static uint8_t byte_at(size_t at)
{
	return (uint8_t)(at / PAGE * 7 + at % PAGE * 3) | 1;
}

static void map_theirs(struct fixture *fixture)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = { .mode = UFFDIO_REGISTER_MODE_MISSING };

	fixture->theirs = mmap(NULL, BYTES + SPARE, PROT_READ | PROT_WRITE, MAP_SHARED,
			       fixture->peer.frontend.guest.regions[0].fd, 0);
	assert_true(fixture->theirs != MAP_FAILED);
	fixture->uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
	assert_true(fixture->uffd >= 0);
	assert_int_equal(ioctl(fixture->uffd, UFFDIO_API, &api), 0);
	range.range.start = (uintptr_t)fixture->theirs;
	range.range.len = BYTES + SPARE;
	assert_int_equal(ioctl(fixture->uffd, UFFDIO_REGISTER, &range), 0);
}

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	struct vhu_frontend *f = &fixture->peer.frontend;

	peer_start(&fixture->peer, 0, VHU_BIT(VHU_PROTOCOL_F_REPLY_ACK));
	assert_true(vhu_guest_add(&f->guest, GPA, BYTES + SPARE) >= 0);
	fixture->ours = f->guest.regions[0].host;
	for (size_t i = 0; i < BYTES; i++)
		fixture->ours[i] = (char)byte_at(i);
	map_theirs(fixture);
	assert_int_equal(vhu_frontend_postcopy_init(&fixture->postcopy, f), 0);
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	vhu_frontend_postcopy_finish(&fixture->postcopy);
	munmap(fixture->theirs, BYTES + SPARE);
	close(fixture->uffd);
	peer_finish(&fixture->peer);
	free(fixture);
	return 0;
}

/* Answers to all up to the ack, which is then looked at; the base is wrong by that much. */
static int begin(struct fixture *fixture, bool slots, int64_t wrong_gpa)
{
	struct vhu_frontend_postcopy *postcopy = &fixture->postcopy;
	struct scripted_peer *peer = &fixture->peer;
	struct vhu_wire_region region = peer->frontend.guest.regions[0].wire;
	struct vhu_single_region single = { .region = region };
	struct vhu_mem_table table = { .n_regions = 1, .regions = { region } };
	uint32_t request = slots ? VHU_ADD_MEM_REG : VHU_SET_MEM_TABLE;
	const uint64_t zero = 0;
	int r;

	if (slots)
		peer->frontend.acked_protocol_features |=
			VHU_BIT(VHU_PROTOCOL_F_CONFIGURE_MEM_SLOTS);
	peer_will_reply(peer, VHU_POSTCOPY_ADVISE, NULL, 0, fixture->uffd);
	assert_int_equal(vhu_frontend_postcopy_advise(postcopy), 0);
	peer_expect(peer, VHU_POSTCOPY_ADVISE, NULL, 0);
	assert_int_equal(vhu_frontend_postcopy_take_out(postcopy, GPA + PAGE, BYTES - PAGE), 0);
	peer_will_ack(peer, VHU_POSTCOPY_LISTEN, 0);
	assert_int_equal(vhu_frontend_postcopy_listen(postcopy), 0);
	peer_expect(peer, VHU_POSTCOPY_LISTEN, NULL, 0);

	single.region.uaddr = table.regions[0].uaddr = (uintptr_t)fixture->theirs;
	single.region.gpa = table.regions[0].gpa += (uint64_t)wrong_gpa;
	peer_will_reply(peer, request, slots ? (void *)&single : (void *)&table, 40, -1);
	r = vhu_frontend_postcopy_share(postcopy);
	for (int i = 0; i < (r == 0 ? 2 : 1); i++) {
		struct vhu_message message = peer_asked(peer, request);

		assert_int_equal(message.header.flags, VHU_VERSION);
		assert_int_equal(message.header.size, i ? 8 : 40);
		assert_int_equal(message.n_fds, i ? 0 : 1);
		if (i)
			assert_int_equal(message.payload.u64, zero);
		vhu_message_finish(&message);
	}
	return r;
}

static void test_faults(void **state)
{
	struct fixture *fixture = *state;
	struct vhu_frontend_postcopy *postcopy = &fixture->postcopy;

	assert_int_equal(begin(fixture, fixture->slots, 0), 0);
	assert_int_equal(vhu_frontend_postcopy_probe(postcopy), 0);
	assert_true(vhu_frontend_postcopy_has(postcopy, GPA));
	assert_false(vhu_frontend_postcopy_has(postcopy, GPA + 5 * PAGE));
	/* Theirs, then ours, then what came for the other. */
	assert_int_equal((uint8_t)fixture->theirs[5 * PAGE + 9], byte_at(5 * PAGE + 9));
	assert_true(vhu_frontend_postcopy_has(postcopy, GPA + 5 * PAGE));
	assert_int_equal(atomic_load(&postcopy->n_faults), 1);
	assert_int_equal((uint8_t)fixture->ours[7 * PAGE], byte_at(7 * PAGE));
	assert_int_equal((uint8_t)fixture->theirs[7 * PAGE + 4095], byte_at(7 * PAGE + 4095));
	assert_int_equal(atomic_load(&postcopy->n_faults), 1);
	fixture->theirs[8 * PAGE] = 1;
	assert_int_equal((uint8_t)fixture->ours[8 * PAGE + 1], byte_at(8 * PAGE + 1));

	/* What was never written is of zeros, on both sides. */
	assert_int_equal(fixture->theirs[BYTES], 0);
	assert_int_equal(fixture->ours[BYTES + PAGE], 0);

	assert_int_equal(vhu_frontend_postcopy_push(postcopy), 0);
	peer_will_ack(&fixture->peer, VHU_POSTCOPY_END, 0);
	assert_int_equal(vhu_frontend_postcopy_end(postcopy), 0);
	peer_expect(&fixture->peer, VHU_POSTCOPY_END, NULL, 0);
	for (size_t i = 0; i < BYTES; i++)
		assert_int_equal((uint8_t)fixture->theirs[i], i == 8 * PAGE ? 1 : byte_at(i));
	assert_int_equal(atomic_load(&postcopy->n_faults), 3);
	fixture->ours[BYTES + 3 * PAGE] = 1; /* and nobody serves that any more */
}

static void test_slots(void **state)
{
	struct fixture *fixture = *state;

	fixture->slots = true;
	test_faults(state);
}

static void *touch(void *page)
{
	return (void *)(uintptr_t)(uint8_t) * (volatile char *)page;
}

static void test_hold(void **state)
{
	const struct timespec moment = { .tv_nsec = 20 * (long)NS_PER_MS };
	struct fixture *fixture = *state;
	struct vhu_frontend_postcopy *postcopy = &fixture->postcopy;
	pthread_t thread;
	void *value;

	assert_int_equal(begin(fixture, true, 0), 0);
	atomic_store(&postcopy->hold, true);
	assert_int_equal(pthread_create(&thread, NULL, touch, fixture->theirs + 3 * PAGE), 0);
	for (int i = 0; i < 500 && !atomic_load(&postcopy->n_faults); i++)
		nanosleep(&moment, NULL);
	assert_int_equal(atomic_load(&postcopy->n_faults), 1);
	nanosleep(&moment, NULL);
	assert_false(vhu_frontend_postcopy_has(postcopy, GPA + 3 * PAGE));
	atomic_store(&postcopy->hold, false);
	pthread_join(thread, &value);
	assert_int_equal((uintptr_t)value, byte_at(3 * PAGE));
	/* Held again, and given up: the thread ends all the same. */
	atomic_store(&postcopy->hold, true);
	vhu_frontend_postcopy_finish(postcopy);
}

/* An address where the userfaultfd watches nothing. */
static void test_wrong_base(void **state)
{
	struct fixture *fixture = *state;
	char *theirs = fixture->theirs;

	fixture->theirs = mmap(NULL, BYTES + SPARE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(fixture->theirs != MAP_FAILED);
	assert_int_equal(begin(fixture, false, 0), 0);
	assert_int_equal(vhu_frontend_postcopy_probe(&fixture->postcopy), -ENOENT);
	munmap(fixture->theirs, BYTES + SPARE);
	fixture->theirs = theirs;
}

static void test_wrong_answers(void **state)
{
	struct fixture *fixture = *state;
	struct scripted_peer *peer = &fixture->peer;
	const uint64_t zero = 0;

	peer_will_reply(peer, VHU_POSTCOPY_ADVISE, NULL, 0, -1);
	assert_int_equal(vhu_frontend_postcopy_advise(&fixture->postcopy), -EPROTO);
	peer_asked(peer, VHU_POSTCOPY_ADVISE);
	peer_will_reply(peer, VHU_POSTCOPY_ADVISE, &zero, 8, fixture->uffd);
	assert_int_equal(vhu_frontend_postcopy_advise(&fixture->postcopy), -EPROTO);
	peer_asked(peer, VHU_POSTCOPY_ADVISE);
	assert_int_equal(vhu_frontend_postcopy_take_out(&fixture->postcopy, GPA + 1, PAGE),
			 -EINVAL);
	assert_int_equal(
		vhu_frontend_postcopy_take_out(&fixture->postcopy, GPA, BYTES + SPARE + PAGE),
		-EINVAL);
	assert_int_equal(begin(fixture, true, 4096), -EPROTO);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(test_faults),     WITH(test_slots),	 WITH(test_hold),
		WITH(test_wrong_base), WITH(test_wrong_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
