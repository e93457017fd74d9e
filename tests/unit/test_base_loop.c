/* SPDX-License-Identifier: BSD-3-Clause */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/fd.h"
#include "common/base/loop.h"
#include "common/base/num.h"

/* A lost wake-up is a loop that sleeps for ever: killed by this. */
static int setup(void **state)
{
	(void)state;
	alarm(120);
	return 0;
}

static unsigned count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

/* A source's data: what happened to it, and what it does then. */
struct probe {
	struct vhu_source *source;
	struct vhu_source *victim; /* removed by the callback */
	struct vhu_source *disarmed;
	unsigned n_calls;
	uint32_t events;
};

static void on_event(void *data, uint32_t events)
{
	struct probe *p = data;

	p->n_calls++;
	p->events = events;
	if (p->disarmed)
		assert_int_equal(vhu_source_set_timer(p->disarmed, 0), 0);
	if (p->victim)
		vhu_source_remove(p->victim);
}

static struct vhu_loop *new_loop(void)
{
	struct vhu_loop *loop = NULL;

	assert_int_equal(vhu_loop_new(&loop), 0);
	return loop;
}

static void test_fd(void **state)
{
	struct vhu_loop *loop = new_loop();
	struct probe p = { 0 };
	int pair[2];

	(void)state;
	assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
	assert_int_equal(vhu_loop_add_fd(loop, pair[0], EPOLLIN, on_event, &p, &p.source), 0);
	assert_int_equal(vhu_loop_turn(loop, 0), 0);
	assert_int_equal(write(pair[1], "x", 1), 1);
	assert_int_equal(vhu_loop_turn(loop, UINT64_MAX), 1);
	assert_int_equal(p.events, EPOLLIN);

	assert_int_equal(vhu_source_set_events(p.source, 0), 0);
	assert_int_equal(vhu_loop_turn(loop, 0), 0);
	close(pair[1]);
	assert_int_equal(vhu_loop_turn(loop, UINT64_MAX), 1);
	assert_int_equal(p.events, EPOLLHUP);
	assert_int_equal(p.n_calls, 2);
	vhu_source_remove(p.source);
	vhu_source_remove(NULL);
	assert_int_equal(vhu_loop_turn(loop, 0), 0);
	close(pair[0]);
	vhu_loop_destroy(loop);
}

static void test_edge(void **state)
{
	struct vhu_loop *loop = new_loop();
	struct probe p = { 0 };
	int fd = eventfd(0, 0), i;

	(void)state;
	assert_int_equal(vhu_loop_add_fd(loop, fd, EPOLLIN | EPOLLET, on_event, &p, &p.source), 0);
	for (i = 0; i < 3; i++) {
		assert_int_equal(eventfd_write(fd, 1), 0);
		assert_int_equal(vhu_loop_turn(loop, UINT64_MAX), 1);
		assert_int_equal(vhu_loop_turn(loop, 0), 0);
	}
	vhu_loop_destroy(loop);
	close(fd);
}

static void test_refused_fds(void **state)
{
	int file = memfd_create("vhu-test", MFD_CLOEXEC), fd = eventfd(0, 0);
	struct vhu_loop *loop = new_loop();
	struct probe p = { 0 };

	(void)state;
	assert_int_equal(vhu_loop_add_fd(loop, file, EPOLLIN, on_event, &p, &p.victim), -EPERM);
	assert_int_equal(vhu_loop_add_fd(loop, -1, EPOLLIN, on_event, &p, &p.victim), -EBADF);
	assert_int_equal(vhu_loop_add_fd(loop, fd, EPOLLIN, on_event, &p, &p.source), 0);
	assert_int_equal(vhu_loop_add_fd(loop, fd, EPOLLIN, on_event, &p, &p.victim), -EEXIST);
	assert_null(p.victim);
	vhu_loop_destroy(loop);
	close(fd);
	close(file);
}

static void test_removal_in_dispatch(void **state)
{
	struct vhu_loop *loop = new_loop();
	struct probe a = { 0 }, b = { 0 };
	int fds[2] = { eventfd(1, 0), eventfd(1, 0) };

	(void)state;
	/* Both are ready; whichever comes first removes the other, whose event was fetched. */
	assert_int_equal(vhu_loop_add_fd(loop, fds[0], EPOLLIN, on_event, &a, &a.source), 0);
	assert_int_equal(vhu_loop_add_fd(loop, fds[1], EPOLLIN, on_event, &b, &b.source), 0);
	a.victim = b.source;
	b.victim = a.source;
	assert_int_equal(vhu_loop_turn(loop, 0), 1);
	assert_int_equal(a.n_calls + b.n_calls, 1);

	/* The one that is left removes itself. */
	if (a.n_calls)
		a.victim = a.source;
	else
		b.victim = b.source;
	assert_int_equal(vhu_loop_turn(loop, 0), 1);
	assert_int_equal(vhu_loop_turn(loop, 0), 0);
	assert_int_equal(a.n_calls + b.n_calls, 2);
	vhu_loop_destroy(loop);
	close(fds[0]);
	close(fds[1]);
}

struct replacer {
	struct vhu_loop *loop;
	struct vhu_source *source;
	int fd;
	struct probe next;
};

static void replace(void *data, uint32_t events)
{
	struct replacer *r = data;

	assert_int_equal(events, EPOLLIN);
	vhu_source_remove(r->source);
	close(r->fd);
	r->fd = eventfd(1, 0);
	assert_int_equal(vhu_loop_add_fd(r->loop, r->fd, EPOLLIN, on_event, &r->next, &r->source),
			 0);
}

static void test_replacement_in_dispatch(void **state)
{
	struct replacer r = { .loop = new_loop(), .fd = eventfd(1, 0) };
	int first = r.fd;

	(void)state;
	assert_int_equal(vhu_loop_add_fd(r.loop, r.fd, EPOLLIN, replace, &r, &r.source), 0);
	assert_int_equal(vhu_loop_turn(r.loop, 0), 1);
	assert_int_equal(r.fd, first); /* the same number for another file */
	assert_int_equal(r.next.n_calls, 0);
	assert_int_equal(vhu_loop_turn(r.loop, 0), 1);
	assert_int_equal(r.next.n_calls, 1);
	vhu_loop_destroy(r.loop);
	close(r.fd);
}

static void test_timeout(void **state)
{
	struct vhu_loop *loop = new_loop();
	uint64_t start_ns = vhu_now_ns();

	(void)state;
	assert_int_equal(vhu_loop_turn(loop, 3500 * NS_PER_US), 0);
	assert_in_range(vhu_now_ns() - start_ns, 3500 * NS_PER_US, 30 * NS_PER_SEC);
	vhu_loop_destroy(loop);
}

static void test_timer(void **state)
{
	struct vhu_loop *loop = new_loop();
	struct probe a = { 0 }, b = { 0 };
	uint64_t start_ns = vhu_now_ns();

	(void)state;
	assert_int_equal(vhu_loop_add_timer(loop, on_event, &a, &a.source), 0);
	assert_int_equal(vhu_loop_add_timer(loop, on_event, &b, &b.source), 0);
	assert_int_equal(vhu_loop_turn(loop, 0), 0);
	assert_int_equal(vhu_source_set_timer(a.source, 2 * NS_PER_MS), 0);
	assert_int_equal(vhu_loop_turn(loop, UINT64_MAX), 1);
	assert_in_range(vhu_now_ns() - start_ns, 2 * NS_PER_MS, 30 * NS_PER_SEC);
	assert_int_equal(a.n_calls, 1);
	assert_int_equal(a.events, 0);
	/* Once only; and not at all when disarmed. */
	assert_int_equal(vhu_source_set_timer(a.source, 1), 0);
	assert_int_equal(vhu_source_set_timer(a.source, 0), 0);
	assert_int_equal(vhu_loop_turn(loop, 5 * NS_PER_MS), 0);

	/* Both have expired; whichever comes first disarms the other, whose event was fetched. */
	a.disarmed = b.source;
	b.disarmed = a.source;
	assert_int_equal(vhu_source_set_timer(a.source, 1), 0);
	assert_int_equal(vhu_source_set_timer(b.source, 1), 0);
	usleep(2000);
	assert_int_equal(vhu_loop_turn(loop, 0), 1);
	assert_int_equal(a.n_calls + b.n_calls, 2);
	assert_int_equal(vhu_loop_turn(loop, 0), 0);
	vhu_loop_destroy(loop);
}

static void test_signal(void **state)
{
	struct vhu_loop *loop = new_loop();
	struct probe p = { 0 };

	(void)state;
	assert_int_equal(vhu_loop_add_signal(loop, SIGUSR2, on_event, &p, &p.source), 0);
	assert_int_equal(vhu_loop_turn(loop, 0), 0);
	raise(SIGUSR2);
	raise(SIGUSR2);
	assert_int_equal(vhu_loop_turn(loop, UINT64_MAX), 1);
	assert_int_equal(vhu_loop_turn(loop, 0), 0);
	assert_int_equal(p.n_calls, 1);
	assert_int_equal(p.events, 0);
	vhu_source_remove(p.source);
	raise(SIGUSR2); /* would kill if it were not blocked any more */
	assert_int_equal(vhu_loop_turn(loop, 0), 0);
	assert_int_equal(vhu_loop_add_signal(loop, 4711, on_event, &p, &p.source), -EINVAL);
	vhu_loop_destroy(loop);
}

struct note {
	struct vhu_call call;
	struct vhu_loop *loop;
	struct note *then; /* posted by the call */
	struct vhu_source *victim;
	unsigned *counter;
	unsigned ran_as;
};

static void take_note(struct vhu_call *call)
{
	struct note *note = container_of(call, struct note, call);

	note->ran_as = ++*note->counter;
	if (note->then)
		vhu_loop_post(note->loop, &note->then->call);
	if (note->victim)
		vhu_source_remove(note->victim);
}

static void test_post(void **state)
{
	struct vhu_loop *loop = new_loop();
	int fd = eventfd(1, 0);
	struct note notes[4];
	struct probe p = { 0 };
	unsigned counter = 0, i;

	(void)state;
	for (i = 0; i < 4; i++)
		notes[i] = (struct note){ { take_note, NULL }, loop, NULL, NULL, &counter, 0 };
	notes[0].then = &notes[3];
	assert_int_equal(vhu_loop_add_fd(loop, fd, EPOLLIN, on_event, &p, &p.source), 0);
	notes[1].victim = p.source;

	assert_false(vhu_loop_has_posts(loop));
	for (i = 0; i < 3; i++)
		vhu_loop_post(loop, &notes[i].call);
	assert_true(vhu_loop_has_posts(loop));
	/* The source and three posts. What a post posts is for the next turn: no sleep then. */
	assert_int_equal(vhu_loop_turn(loop, UINT64_MAX), 4);
	for (i = 0; i < 3; i++)
		assert_int_equal(notes[i].ran_as, i + 1);
	assert_int_equal(notes[3].ran_as, 0);
	assert_int_equal(vhu_loop_turn(loop, UINT64_MAX), 1);
	assert_int_equal(notes[3].ran_as, 4);
	assert_false(vhu_loop_has_posts(loop));
	assert_int_equal(vhu_loop_turn(loop, 0), 0);
	vhu_loop_destroy(loop);
	close(fd);
}

#define POSTERS 4
#define POSTS_EACH 5000

struct poster {
	struct vhu_loop *loop;
	pthread_t thread;
	unsigned n_ran;
	unsigned *n_done; /* posters whose posts have all run */
	struct numbered {
		struct vhu_call call;
		struct poster *poster;
		unsigned number;
	} calls[POSTS_EACH];
};

static void run_numbered(struct vhu_call *call)
{
	struct numbered *numbered = container_of(call, struct numbered, call);
	struct poster *p = numbered->poster;

	assert_int_equal(numbered->number, p->n_ran);
	if (++p->n_ran == POSTS_EACH && ++*p->n_done == POSTERS)
		vhu_loop_stop(p->loop);
}

static void *post_all(void *data)
{
	struct poster *p = data;
	unsigned i;

	for (i = 0; i < POSTS_EACH; i++) {
		p->calls[i] = (struct numbered){ { run_numbered, NULL }, p, i };
		vhu_loop_post(p->loop, &p->calls[i].call);
		if (i % 512 == 0)
			usleep(200); /* the loop gets to sleep now and then */
	}
	return NULL;
}

static void test_post_from_threads(void **state)
{
	struct poster *posters = calloc(POSTERS, sizeof(*posters));
	struct vhu_loop *loop = new_loop();
	unsigned i, n_done = 0;

	(void)state;
	for (i = 0; i < POSTERS; i++) {
		posters[i].loop = loop;
		posters[i].n_done = &n_done;
		assert_int_equal(pthread_create(&posters[i].thread, NULL, post_all, &posters[i]),
				 0);
	}
	assert_int_equal(vhu_loop_run(loop), 0);
	for (i = 0; i < POSTERS; i++) {
		assert_int_equal(pthread_join(posters[i].thread, NULL), 0);
		assert_int_equal(posters[i].n_ran, POSTS_EACH);
	}
	vhu_loop_destroy(loop);
	free(posters);
}

/* One call goes back and forth between two loops, each of which sleeps meanwhile. */
struct ball {
	struct vhu_call call;
	struct vhu_loop *loops[2];
	unsigned n;
};

static void bounce(struct vhu_call *call)
{
	struct ball *ball = container_of(call, struct ball, call);

	if (++ball->n == 20000) {
		vhu_loop_stop(ball->loops[0]);
		vhu_loop_stop(ball->loops[1]);
		return;
	}
	vhu_loop_post(ball->loops[ball->n % 2], call);
}

static void *run_loop(void *data)
{
	return vhu_loop_run(data) == 0 ? data : NULL;
}

static void test_ping_pong(void **state)
{
	struct ball ball = { { bounce, NULL }, { new_loop(), new_loop() }, 0 };
	pthread_t thread;
	void *result;

	(void)state;
	vhu_loop_post(ball.loops[0], &ball.call);
	assert_int_equal(pthread_create(&thread, NULL, run_loop, ball.loops[1]), 0);
	assert_int_equal(vhu_loop_run(ball.loops[0]), 0);
	assert_int_equal(pthread_join(thread, &result), 0);
	assert_ptr_equal(result, ball.loops[1]);
	assert_int_equal(ball.n, 20000);
	vhu_loop_destroy(ball.loops[0]);
	vhu_loop_destroy(ball.loops[1]);
}

static struct vhu_loop *loop_of_handler;

static void stop_it(int signo)
{
	(void)signo;
	vhu_loop_stop(loop_of_handler);
}

static void test_stop(void **state)
{
	struct itimerval soon = { .it_value = { .tv_usec = 5000 } };
	struct sigaction action = { .sa_handler = stop_it }, old;

	(void)state;
	loop_of_handler = new_loop();
	assert_int_equal(sigaction(SIGVTALRM, &action, &old), 0);
	assert_false(vhu_loop_stopped(loop_of_handler));
	raise(SIGVTALRM);
	assert_true(vhu_loop_stopped(loop_of_handler));
	assert_int_equal(vhu_loop_run(loop_of_handler), 0);
	vhu_loop_destroy(loop_of_handler);

	/* While it sleeps. The timer of setup() is set again after. */
	loop_of_handler = new_loop();
	assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
	assert_int_equal(setitimer(ITIMER_REAL, &soon, NULL), 0);
	assert_int_equal(vhu_loop_run(loop_of_handler), 0);
	signal(SIGALRM, SIG_DFL);
	alarm(120);
	sigaction(SIGVTALRM, &old, NULL);
	vhu_loop_destroy(loop_of_handler);
}

static void test_destroy(void **state)
{
	unsigned counter = 0, n_fds = count_fds(), i;
	struct vhu_loop *loop = new_loop();
	struct probe p[4] = { 0 };
	struct note notes[2];
	int fd = eventfd(1, 0);

	(void)state;
	for (i = 0; i < 2; i++)
		notes[i] = (struct note){ { take_note, NULL }, loop, NULL, NULL, &counter, 0 };
	assert_int_equal(vhu_loop_add_fd(loop, fd, EPOLLIN, on_event, &p[0], &p[0].source), 0);
	assert_int_equal(vhu_loop_add_timer(loop, on_event, &p[1], &p[1].source), 0);
	assert_int_equal(vhu_loop_add_signal(loop, SIGUSR2, on_event, &p[2], &p[2].source), 0);
	assert_int_equal(vhu_loop_add_timer(loop, on_event, &p[3], &p[3].source), 0);
	/* A post may still post, and remove a source. */
	notes[0].then = &notes[1];
	notes[1].victim = p[3].source;
	vhu_loop_post(loop, &notes[0].call);
	vhu_loop_destroy(loop);
	assert_int_equal(counter, 2);
	for (i = 0; i < 4; i++)
		assert_int_equal(p[i].n_calls, 0);
	/* The borrowed one is still open. */
	assert_int_equal(close(fd), 0);
	assert_int_equal(count_fds(), n_fds);
	vhu_loop_destroy(NULL);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fd),
		cmocka_unit_test(test_edge),
		cmocka_unit_test(test_refused_fds),
		cmocka_unit_test(test_removal_in_dispatch),
		cmocka_unit_test(test_replacement_in_dispatch),
		cmocka_unit_test(test_timeout),
		cmocka_unit_test(test_timer),
		cmocka_unit_test(test_signal),
		cmocka_unit_test(test_post),
		cmocka_unit_test(test_post_from_threads),
		cmocka_unit_test(test_ping_pong),
		cmocka_unit_test(test_stop),
		cmocka_unit_test(test_destroy),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
