/* SPDX-License-Identifier: BSD-3-Clause */
/* The channel to the front-end: requests whose answer somebody waits for, and peers that lie. */

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/backend/channel.h"
#include "common/base/fd.h"
#include "common/wire/message.h"

static struct vhu_loop *loop;
static struct vhu_channel *channel;
static int peer_fd;
static struct vhu_receiver receiver;

/* A request, and how often and with what it was answered. */
struct asked {
	struct vhu_channel_call call;
	unsigned n_done;
	pthread_t thread;
	sem_t done;
};

static void done(struct vhu_channel_call *call)
{
	struct asked *asked = (struct asked *)call;

	asked->n_done++;
	asked->thread = pthread_self();
	if (call->loop)
		sem_post(&asked->done);
}

static unsigned open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static unsigned fds_before;

static int setup(void **state)
{
	int fds[2];

	(void)state;
	fds_before = open_fds();
	assert_int_equal(vhu_loop_new(&loop), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	peer_fd = fds[1];
	assert_int_equal(vhu_channel_new(loop, fds[0], &channel), 0);
	vhu_receiver_init(&receiver);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	vhu_channel_close(channel);
	vhu_channel_unref(channel);
	vhu_loop_destroy(loop);
	vhu_receiver_finish(&receiver);
	if (peer_fd >= 0)
		close(peer_fd);
	assert_int_equal(open_fds(), fds_before);
	return 0;
}

static void pump(void)
{
	while (vhu_loop_turn(loop, 0) > 0)
		;
}

/* Until it is answered, or for 5 s. */
static void pump_until_done(const struct asked *asked, unsigned n)
{
	uint64_t end_ns = vhu_now_ns() + 5 * NS_PER_SEC;

	while (asked->n_done < n && vhu_now_ns() < end_ns)
		vhu_loop_turn(loop, NS_PER_MS);
	assert_int_equal(asked->n_done, n);
}

static void ask_with(struct asked *asked, uint32_t request, int fd)
{
	static const struct vhu_shmem_map map = { .shmid = 3, .len = 4096 };
	bool is_map = request == VHU_BACKEND_SHMEM_MAP || request == VHU_BACKEND_SHMEM_UNMAP;

	asked->call.done = done;
	assert_int_equal(vhu_channel_call(channel, request, &map, is_map ? sizeof(map) : 16, fd,
					  &asked->call),
			 0);
}

static void ask(struct asked *asked, uint32_t request)
{
	ask_with(asked, request, -1);
}

/* The next request at the other end; the caller finishes receiver. */
static const struct vhu_message *next_request(void)
{
	pump();
	assert_int_equal(vhu_receiver_read(&receiver, peer_fd), 1);
	return &receiver.message;
}

static void expect_request(uint32_t request, bool wants_reply)
{
	const struct vhu_message *message = next_request();

	assert_int_equal(message->header.request, request);
	assert_int_equal(message->header.flags,
			 VHU_VERSION | (wants_reply ? VHU_FLAG_NEED_REPLY : 0));
	vhu_receiver_finish(&receiver);
}

static void answer(uint32_t request, uint64_t value, int fd)
{
	assert_int_equal(vhu_message_send(peer_fd, request, VHU_VERSION | VHU_FLAG_REPLY, &value,
					  sizeof(value), &fd, fd >= 0, 0),
			 0);
	pump();
}

static void expect_answer(const struct asked *asked, int result)
{
	assert_int_equal(asked->n_done, 1);
	assert_int_equal(asked->call.result, result);
}

static void an_fd_goes_out(void **state)
{
	int fd = memfd_create("object", MFD_CLOEXEC);
	const struct vhu_message *message;
	struct stat mine, theirs;
	struct asked asked = { 0 };

	(void)state;
	ask_with(&asked, VHU_BACKEND_SHMEM_MAP, fd);
	assert_int_equal(fstat(fd, &mine), 0);
	close(fd); /* it was only borrowed */
	message = next_request();
	assert_int_equal(message->n_fds, 1);
	assert_int_equal(message->payload.shmem_map.shmid, 3);
	assert_int_equal(fstat(message->fds[0], &theirs), 0);
	assert_int_equal(mine.st_ino, theirs.st_ino);
	vhu_receiver_finish(&receiver);
	assert_int_equal(asked.n_done, 0);
	answer(VHU_BACKEND_SHMEM_MAP, 0, -1);
	expect_answer(&asked, 0);
}

static void answers_go_to_who_asked(void **state)
{
	struct asked map = { 0 }, lookup = { 0 }, unmap = { 0 };
	int fd = memfd_create("object", MFD_CLOEXEC);

	(void)state;
	ask(&map, VHU_BACKEND_SHMEM_MAP);
	ask(&lookup, VHU_BACKEND_SHARED_OBJECT_LOOKUP);
	ask(&unmap, VHU_BACKEND_SHMEM_UNMAP);
	expect_request(VHU_BACKEND_SHMEM_MAP, true);
	expect_request(VHU_BACKEND_SHARED_OBJECT_LOOKUP, false); /* always has a reply */
	expect_request(VHU_BACKEND_SHMEM_UNMAP, true);
	answer(VHU_BACKEND_SHMEM_MAP, 1, -1);
	answer(VHU_BACKEND_SHARED_OBJECT_LOOKUP, 0, fd);
	answer(VHU_BACKEND_SHMEM_UNMAP, 0, fd); /* one that nobody wants */
	expect_answer(&map, -EREMOTEIO);
	expect_answer(&lookup, 0);
	expect_answer(&unmap, 0);
	assert_true(lookup.call.fd >= 0 && map.call.fd == -1 && unmap.call.fd == -1);
	close(lookup.call.fd);
	close(fd);
}

static void a_lookup_needs_its_fd(void **state)
{
	struct asked empty = { 0 }, no = { 0 };
	int fd = memfd_create("object", MFD_CLOEXEC);

	(void)state;
	ask(&empty, VHU_BACKEND_SHARED_OBJECT_LOOKUP);
	ask(&no, VHU_BACKEND_SHARED_OBJECT_LOOKUP);
	pump();
	answer(VHU_BACKEND_SHARED_OBJECT_LOOKUP, 0, -1);
	answer(VHU_BACKEND_SHARED_OBJECT_LOOKUP, 1, fd);
	expect_answer(&empty, -EPROTO);
	expect_answer(&no, -EREMOTEIO);
	assert_int_equal(no.call.fd, -1);
	close(fd);
}

/* The answer that comes late is not taken for that of the next request. */
static void time_runs_out_once(void **state)
{
	struct asked late = { .call.timeout_ns = 20 * NS_PER_MS }, next = { 0 };

	(void)state;
	ask(&late, VHU_BACKEND_SHMEM_MAP);
	pump_until_done(&late, 1);
	expect_answer(&late, -ETIMEDOUT);
	ask(&next, VHU_BACKEND_SHMEM_MAP);
	pump();
	answer(VHU_BACKEND_SHMEM_MAP, 1, -1);
	assert_int_equal(next.n_done, 0);
	answer(VHU_BACKEND_SHMEM_MAP, 0, -1);
	expect_answer(&next, 0);
	expect_answer(&late, -ETIMEDOUT);
}

/* Answers come in order: what is passed over will not be answered any more. */
static void one_that_is_never_answered(void **state)
{
	struct asked never = { .call.timeout_ns = 20 * NS_PER_MS }, next = { 0 }, last = { 0 };

	(void)state;
	ask(&never, VHU_BACKEND_SHMEM_MAP);
	pump_until_done(&never, 1);
	ask(&next, VHU_BACKEND_SHMEM_UNMAP);
	ask(&last, VHU_BACKEND_SHMEM_MAP);
	pump();
	answer(VHU_BACKEND_SHMEM_UNMAP, 0, -1);
	expect_answer(&next, 0);
	answer(VHU_BACKEND_SHMEM_MAP, 0, -1);
	expect_answer(&last, 0);
}

/* Nobody would take the answer, and the next one who asks would get it. */
static void a_lookup_is_for_somebody(void **state)
{
	static const uint8_t uuid[16];

	(void)state;
	assert_int_equal(vhu_channel_send(channel, VHU_BACKEND_SHARED_OBJECT_LOOKUP, uuid, 16),
			 -EINVAL);
}

/* A short time-out behind a long one. */
static void each_has_its_own_time(void **state)
{
	struct asked slow = { 0 }, quick = { .call.timeout_ns = 20 * NS_PER_MS };

	(void)state;
	ask(&slow, VHU_BACKEND_SHMEM_MAP);
	pump();
	ask(&quick, VHU_BACKEND_SHMEM_UNMAP);
	pump_until_done(&quick, 1);
	expect_answer(&quick, -ETIMEDOUT);
	assert_int_equal(slow.n_done, 0);
	answer(VHU_BACKEND_SHMEM_MAP, 0, -1);
	expect_answer(&slow, 0);
}

static void closing_answers_all(void **state)
{
	struct asked sent = { 0 }, queued = { 0 };
	int fd = memfd_create("object", MFD_CLOEXEC);

	(void)state;
	ask(&sent, VHU_BACKEND_SHMEM_MAP);
	pump();
	ask_with(&queued, VHU_BACKEND_SHMEM_MAP, fd);
	vhu_channel_close(channel);
	pump();
	expect_answer(&sent, -ENOTCONN);
	expect_answer(&queued, -ENOTCONN);
	assert_int_equal(vhu_channel_call(channel, VHU_BACKEND_SHMEM_MAP, NULL, 0, fd,
					  &sent.call),
			 -ENOTCONN);
	assert_int_equal(sent.n_done, 1);
	close(fd);
}

static void a_peer_that_goes_answers_all(void **state)
{
	struct asked asked = { 0 };

	(void)state;
	ask(&asked, VHU_BACKEND_SHMEM_MAP);
	pump();
	close(peer_fd);
	peer_fd = -1;
	pump_until_done(&asked, 1);
	expect_answer(&asked, -ENOTCONN);
	assert_int_equal(vhu_channel_send(channel, VHU_BACKEND_CONFIG_CHANGE_MSG, NULL, 0),
			 -ENOTCONN);
}

static void a_full_queue_says_so(void **state)
{
	struct asked asked = { .call.done = done };

	(void)state;
	for (unsigned i = 0; i < VHU_CHANNEL_QUEUE; i++)
		assert_int_equal(vhu_channel_send(channel, VHU_BACKEND_CONFIG_CHANGE_MSG, NULL, 0),
				 0);
	assert_int_equal(vhu_channel_send(channel, VHU_BACKEND_CONFIG_CHANGE_MSG, NULL, 0),
			 -EAGAIN);
	assert_int_equal(vhu_channel_call(channel, VHU_BACKEND_SHMEM_MAP, NULL, 0, 0, &asked.call),
			 -EAGAIN);
	expect_request(VHU_BACKEND_CONFIG_CHANGE_MSG, false);
	assert_int_equal(asked.n_done, 0);
	ask(&asked, VHU_BACKEND_SHMEM_MAP);
	vhu_channel_close(channel);
	expect_answer(&asked, -ENOTCONN);
}

/* A front-end that never answers stops us from asking, not from working. */
static void those_who_wait_are_bounded(void **state)
{
	static struct asked asked[1000];
	unsigned n = 0;
	int r = 0;

	(void)state;
	memset(asked, 0, sizeof(asked));
	while (r == 0 && n < 1000) {
		asked[n].call.done = done;
		r = vhu_channel_call(channel, VHU_BACKEND_SHMEM_MAP, NULL, 0, -1, &asked[n].call);
		n += r == 0;
		pump();
	}
	assert_int_equal(r, -EAGAIN);
	assert_int_equal(vhu_channel_send(channel, VHU_BACKEND_CONFIG_CHANGE_MSG, NULL, 0), 0);
	vhu_channel_close(channel);
	for (unsigned i = 0; i < n; i++)
		expect_answer(&asked[i], -ENOTCONN);
}

static void what_nobody_asked_is_dropped(void **state)
{
	struct asked asked = { 0 };
	int fd = memfd_create("object", MFD_CLOEXEC);

	(void)state;
	answer(VHU_BACKEND_SHMEM_MAP, 0, fd);
	ask(&asked, VHU_BACKEND_SHMEM_MAP);
	pump();
	answer(VHU_BACKEND_SHMEM_UNMAP, 0, fd);
	answer(77, 0, -1);
	assert_int_equal(vhu_message_send(peer_fd, VHU_BACKEND_SHMEM_MAP, VHU_VERSION, NULL, 0,
					  NULL, 0, 0),
			 0); /* no reply flag */
	pump();
	assert_int_equal(asked.n_done, 0);
	assert_int_equal(vhu_message_send(peer_fd, VHU_BACKEND_SHMEM_MAP,
					  VHU_VERSION | VHU_FLAG_REPLY, NULL, 0, NULL, 0, 0),
			 0); /* says nothing */
	pump();
	expect_answer(&asked, -EREMOTEIO);
	close(fd);
}

static void *run_loop(void *data)
{
	vhu_loop_run(data);
	return NULL;
}

static void an_answer_reaches_another_thread(void **state)
{
	struct asked asked = { 0 };
	struct vhu_loop *other;
	pthread_t thread;

	(void)state;
	assert_int_equal(vhu_loop_new(&other), 0);
	assert_int_equal(pthread_create(&thread, NULL, run_loop, other), 0);
	sem_init(&asked.done, 0, 0);
	asked.call.loop = other;
	ask(&asked, VHU_BACKEND_SHMEM_MAP);
	pump();
	answer(VHU_BACKEND_SHMEM_MAP, 0, -1);
	while (sem_wait(&asked.done))
		;
	expect_answer(&asked, 0);
	assert_true(pthread_equal(asked.thread, thread));
	vhu_loop_stop(other);
	pthread_join(thread, NULL);
	vhu_loop_destroy(other);
	sem_destroy(&asked.done);
}

static void close_it(struct vhu_channel_call *call)
{
	done(call);
	vhu_channel_close(channel);
}

static void closed_from_an_answer(void **state)
{
	struct asked first = { 0 }, second = { 0 };

	(void)state;
	ask(&first, VHU_BACKEND_SHMEM_MAP);
	first.call.done = close_it;
	ask(&second, VHU_BACKEND_SHMEM_MAP);
	pump();
	answer(VHU_BACKEND_SHMEM_MAP, 0, -1);
	expect_answer(&first, 0);
	expect_answer(&second, -ENOTCONN);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(an_fd_goes_out),
		TEST(answers_go_to_who_asked),
		TEST(a_lookup_needs_its_fd),
		TEST(time_runs_out_once),
		TEST(one_that_is_never_answered),
		TEST(a_lookup_is_for_somebody),
		TEST(each_has_its_own_time),
		TEST(closing_answers_all),
		TEST(a_peer_that_goes_answers_all),
		TEST(a_full_queue_says_so),
		TEST(those_who_wait_are_bounded),
		TEST(what_nobody_asked_is_dropped),
		TEST(an_answer_reaches_another_thread),
		TEST(closed_from_an_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
