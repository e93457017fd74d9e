/* SPDX-License-Identifier: BSD-3-Clause */

/* IN_ORDER, on both layouts: chains go back in the order in which they came (virtio 1.3, 6). */

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "tests/unit/ring_twin.h"

#define IN_ORDER (1ull << VIRTIO_F_IN_ORDER)

static void offer_good(struct twin *t, unsigned id)
{
	const struct element list[] = { { twin_zone(id), 8, NEXT },
					{ twin_zone(id) + 64, 8, WRITE } };

	twin_offer(t, id, list, 2);
}

static void offer_bad(struct twin *t, unsigned id)
{
	const struct element list[] = { { 0, 8, NEXT }, { twin_zone(id), 8, NEXT },
					{ twin_zone(id), 8, WRITE } };

	twin_offer(t, id, list, 3);
}

static struct vhu_chain *pop(struct twin *t, unsigned id)
{
	struct vhu_chain *chain = vhu_virtqueue_pop(&t->p.g.q);

	assert_non_null(chain);
	assert_int_equal(twin_id(t, chain), id);
	return chain;
}

static void expect_used(struct twin *t, unsigned id, uint32_t len)
{
	uint32_t used_len;
	unsigned used_id;

	assert_true(twin_get_used(t, &used_id, &used_len));
	assert_int_equal(used_id, id);
	assert_int_equal(used_len, len);
}

/* The malformed one stays where it is until those before it have gone back. */
static void malformed_waits_for_its_turn(void **state)
{
	struct vhu_chain *chains[2];
	struct twin t;

	(void)state;
	for (int packed = 0; packed < 2; packed++) {
		struct vhu_virtqueue *q = &t.p.g.q;

		twin_start(&t, packed, IN_ORDER);
		for (unsigned lap = 0; lap < 100; lap++) {
			uint32_t base;

			offer_good(&t, 0);
			offer_good(&t, 1);
			offer_bad(&t, 2);
			offer_bad(&t, 3);
			offer_good(&t, 4);
			chains[0] = pop(&t, 0);
			chains[1] = pop(&t, 1);
			base = vhu_virtqueue_base(q);
			for (unsigned i = 0; i < 3; i++) {
				q->cut_short = false;
				assert_null(vhu_virtqueue_pop(q));
				assert_true(q->cut_short);
				assert_int_equal(vhu_virtqueue_base(q), base);
				assert_int_equal(q->in_flight, 2);
				assert_int_equal(q->malformed, 2 * lap);
			}
			vhu_virtqueue_push(q, chains[0], 1);
			assert_null(vhu_virtqueue_pop(q));
			vhu_virtqueue_push(q, chains[1], 2);
			vhu_virtqueue_push(q, pop(&t, 4), 3);
			assert_int_equal(q->malformed, 2 * lap + 2);
			assert_true(vhu_virtqueue_publish(q));
			expect_used(&t, 0, 1);
			expect_used(&t, 1, 2);
			expect_used(&t, 2, 0);
			expect_used(&t, 3, 0);
			expect_used(&t, 4, 3);
		}
		twin_finish(&t);
	}
}

/* What is unpopped gets its turn again. */
static void unpop_keeps_the_order(void **state)
{
	struct vhu_chain *chains[3];
	struct twin t;

	(void)state;
	for (int packed = 0; packed < 2; packed++) {
		struct vhu_virtqueue *q = &t.p.g.q;

		twin_start(&t, packed, IN_ORDER);
		for (unsigned lap = 0; lap < 50; lap++) {
			for (unsigned id = 0; id < 3; id++)
				offer_good(&t, id);
			for (unsigned id = 0; id < 3; id++)
				chains[id] = pop(&t, id);
			vhu_virtqueue_unpop(q, chains[2]);
			vhu_virtqueue_unpop(q, chains[1]);
			chains[1] = pop(&t, 1);
			vhu_virtqueue_push(q, chains[0], 0);
			chains[2] = pop(&t, 2);
			vhu_virtqueue_push(q, chains[1], 1);
			vhu_virtqueue_push(q, chains[2], 2);
			vhu_virtqueue_publish(q);
			for (unsigned id = 0; id < 3; id++)
				expect_used(&t, id, id);
		}
		twin_finish(&t);
	}
}

/* A device that claims order and does not keep it is a bug of ours, not the guest's. */
static void push_out_of_order_is_our_bug(void **state)
{
	struct twin t;

	(void)state;
	for (int packed = 0; packed < 2; packed++) {
		struct vhu_chain *chains[2];
		int status;
		pid_t pid;

		twin_start(&t, packed, IN_ORDER);
		offer_good(&t, 0);
		offer_good(&t, 1);
		chains[0] = pop(&t, 0);
		chains[1] = pop(&t, 1);
		pid = fork();
		assert_true(pid >= 0);
		if (!pid) {
			setrlimit(RLIMIT_CORE, &(struct rlimit){ 0 });
			signal(SIGABRT, SIG_DFL);
			close(2);
			vhu_virtqueue_push(&t.p.g.q, chains[1], 0);
			_exit(0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
		vhu_virtqueue_push(&t.p.g.q, chains[0], 0);
		vhu_virtqueue_push(&t.p.g.q, chains[1], 0);
		twin_finish(&t);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(malformed_waits_for_its_turn),
		cmocka_unit_test(unpop_keeps_the_order),
		cmocka_unit_test(push_out_of_order_is_our_bug),
	};

	return cmocka_run_group_tests_name("ring/in order", tests, NULL, NULL);
}
