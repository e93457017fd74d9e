/* SPDX-License-Identifier: BSD-3-Clause */
#include "cli/check/runner.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/check/check.h"
#include "common/base/cleanup.h"
#include "common/base/fd.h"
#include "common/base/num.h"

/* A case waits several times at most; one that takes longer is kept busy by the back-end. */
#define CASE_TIMEOUTS 8
#define CASE_EXTRA_MS 10000
/* How long the end of a process may come after that of its connection. */
#define GRACE_MS 1000
/* How long one that serves a single connection takes to go. */
#define GONE_MS 200
/* Whoever talks to a back-end that has ended needs no longer to see it. */
#define ENDED_MS 100

struct check_shared {
	struct check_record record;
	struct check_facts facts;
	bool met;
};

volatile int check_interrupted;

int check_runner_init(struct check_runner *runner, const char *socket, const char *command)
{
	void *shared = mmap(NULL, sizeof(*runner->shared), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	*runner = (struct check_runner){ .device = &check_device_generic };
	if (shared == MAP_FAILED)
		return -errno;
	runner->shared = shared;
	return check_target_init(&runner->target, socket, command);
}

void check_runner_finish(struct check_runner *runner)
{
	check_target_finish(&runner->target);
	if (runner->shared)
		munmap(runner->shared, sizeof(*runner->shared));
	runner->shared = NULL;
}

/* Processes that speak to the back-end. */

/* Config spaces are as large as their type makes them. QEMU asks a disk for the first of these. */
static void ask_config(struct vhu_frontend *frontend, struct check_facts *facts)
{
	static const uint32_t sizes[] = { 60, 36, 24, 8 };

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		int r = vhu_frontend_get_config(frontend, 0, facts->config, sizes[i]);

		if (r == 0)
			facts->config_bytes = sizes[i];
		if (r != -EREMOTEIO)
			return;
	}
}

static void ask_protocol(struct vhu_frontend *frontend, struct check_facts *facts)
{
	const uint64_t wanted = VHU_BIT(VHU_PROTOCOL_F_MQ) | VHU_BIT(VHU_PROTOCOL_F_CONFIG) |
				VHU_BIT(VHU_PROTOCOL_F_CONFIGURE_MEM_SLOTS);
	uint64_t *offered = &facts->protocol_features;

	if (vhu_frontend_ask_u64(frontend, VHU_GET_PROTOCOL_FEATURES, offered) < 0 ||
	    vhu_frontend_set_protocol_features(frontend, *offered & wanted) < 0)
		return;
	if (*offered & VHU_BIT(VHU_PROTOCOL_F_MQ))
		vhu_frontend_ask_u64(frontend, VHU_GET_QUEUE_NUM, &facts->n_queues);
	if (*offered & VHU_BIT(VHU_PROTOCOL_F_CONFIGURE_MEM_SLOTS))
		vhu_frontend_ask_u64(frontend, VHU_GET_MAX_MEM_SLOTS, &facts->n_memory_slots);
	if (*offered & VHU_BIT(VHU_PROTOCOL_F_CONFIG))
		ask_config(frontend, facts);
}

static const struct vhu_header get_features = { VHU_GET_FEATURES, VHU_VERSION, 0 };

/* What cannot be had is left out; a case will show it. Only GET_FEATURES has to be answered. */
static void run_meeting(struct check *check)
{
	struct check_facts *facts = (struct check_facts *)(uintptr_t)check->facts;
	struct vhu_frontend *frontend = &check->frontend;
	struct vhu_message reply;
	char buf[80];
	int r;

	facts->n_queues = 1;
	vhu_frontend_init(frontend);
	frontend->timeout_ms = check->timeout_ms;
	r = vhu_frontend_connect(frontend, check->socket);
	if (r < 0)
		check_untried(check, "connecting to %s: %s", check->socket, strerror(-r));
	r = check_exchange(check, &get_features, NULL, &reply);
	if (r == 0 && (reply.header.request != VHU_GET_FEATURES || reply.header.size < 8))
		r = -EPROTO;
	if (r < 0)
		check_untried(check, "GET_FEATURES: %s", check_explain(check, r, buf));
	facts->features = reply.payload.u64;
	if (facts->features & VHU_BIT(VHU_F_PROTOCOL_FEATURES))
		ask_protocol(frontend, facts);
	check_end(check, CHECK_PASS);
}

/* Is anybody there? */
static void run_greeting(struct check *check)
{
	vhu_frontend_init(&check->frontend);
	check->frontend.timeout_ms = check->timeout_ms;
	check_end(check, check_connect_served(check) < 0 ? CHECK_UNTRIED : CHECK_PASS);
}

/* The runner's side. */

static bool start(struct check_runner *runner)
{
	return runner->target.command && check_target_start(&runner->target) == 0;
}

/* A program of one session may die of SIGPIPE when that ends in the middle of an answer. */
static bool has_crashed(const struct check_runner *runner)
{
	int signo = check_target_signal(&runner->target);

	return signo && (runner->facts.persistent || signo != SIGPIPE);
}

/* One that was killed by a signal instead of ending is left as it is: settle() looks at it. */
static bool start_next(struct check_runner *runner)
{
	struct check_target *target = &runner->target;

	return check_target_wait_end(target, runner->timeout_ms) && !has_crashed(runner) &&
	       start(runner);
}

static void run_errand(struct check_runner *runner, int errand_fd)
{
	char errand, done;

	if (read(errand_fd, &errand, 1) != 1)
		return;
	done = (errand == CHECK_ERRAND_NEXT ? start_next(runner) : start(runner)) ? 'D' : 'E';
	if (write(errand_fd, &done, 1) < 0)
		return;
}

/* Until the process has ended (true), or has had its time, or the back-end has ended for good. */
static bool watch(struct check_runner *runner, int pidfd, int errand_fd, uint64_t deadline_ns,
		  bool target_stays)
{
	struct pollfd pollfds[] = {
		{ .fd = pidfd, .events = POLLIN },
		{ .fd = errand_fd, .events = POLLIN },
		{ .events = POLLIN },
		{ .events = POLLIN },
	};
	uint64_t now_ns;

	while ((now_ns = vhu_now_ns()) < deadline_ns && !check_interrupted) {
		pollfds[2].fd = runner->target.output_fd;
		pollfds[3].fd = target_stays ? runner->target.pidfd : -1;
		if (poll(pollfds, ARRAY_SIZE(pollfds),
			 (int)((deadline_ns - now_ns) / NS_PER_MS + 1)) < 0)
			continue;
		if (pollfds[0].revents)
			return true;
		if (pollfds[3].revents) {
			deadline_ns = min_u64(deadline_ns, now_ns + ENDED_MS * NS_PER_MS);
			target_stays = false;
		}
		check_target_listen(&runner->target);
		if (pollfds[1].revents & POLLIN)
			run_errand(runner, errand_fd);
		else if (pollfds[1].revents)
			pollfds[1].fd = -1;
	}
	return false;
}

/* The record of this process, for the handler. */
static struct check_record *own_record;

/* Only memory that the back-end has made shorter can do that. */
static void lose_memory(int signo)
{
	(void)signo;
	own_record->result = CHECK_FAIL;
	strcpy(own_record->expected, "the guest's memory stays as large as it is");
	strcpy(own_record->seen, "the file of the guest's memory was truncated");
	_exit(0);
}

static void describe_end(struct check_record *record, int status)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return;
	record->result = CHECK_FAIL;
	snprintf(record->expected, sizeof(record->expected), "the case runs to its end");
	snprintf(record->seen, sizeof(record->seen), "the process of the case died (%s)",
		 WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "by itself");
}

static void describe_no_end(struct check_runner *runner, const struct check_case *one,
			    uint64_t limit_ns, struct check_record *record)
{
	snprintf(record->expected, sizeof(record->expected), "the case comes to its end");
	if (runner->target.command && check_target_has_ended(&runner->target)) {
		record->result = one && one->level == CHECK_ROBUST ? CHECK_PASS : CHECK_FAIL;
		snprintf(record->seen, sizeof(record->seen), "the back-end has ended before");
		return;
	}
	record->result = CHECK_UNTRIED;
	snprintf(record->seen, sizeof(record->seen),
		 "the back-end kept the case busy for %u s (--timeout allows more)",
		 (unsigned)(limit_ns / NS_PER_SEC));
}

/* Runs it in a process, and returns what became of it in the shared record. */
static void run_process(struct check_runner *runner, const struct check_case *one,
			void (*fn)(struct check *check))
{
	struct check_record *record = &runner->shared->record;
	uint64_t start_ns = vhu_now_ns();
	uint64_t limit_ns = (uint64_t)runner->timeout_ms * CASE_TIMEOUTS * NS_PER_MS +
			    CASE_EXTRA_MS * NS_PER_MS;
	int errand_fds[2], pidfd, status = 0;
	pid_t pid;

	memset(record, 0, sizeof(*record));
	record->result = CHECK_UNTRIED;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, errand_fds) < 0)
		return;
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		static struct check check;

		close(errand_fds[0]);
		signal(SIGINT, SIG_DFL);
		signal(SIGTERM, SIG_DFL);
		signal(SIGHUP, SIG_DFL);
		own_record = record;
		signal(SIGBUS, lose_memory);
		check = (struct check){
			.now = one,
			.facts = &runner->shared->facts,
			.device = runner->device,
			.socket = runner->target.socket,
			.timeout_ms = runner->timeout_ms,
			.errand_fd = errand_fds[1],
			.record = record,
		};
		fn(&check);
	}
	close(errand_fds[1]);
	pidfd = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
	if (pidfd >= 0 && watch(runner, pidfd, errand_fds[0], start_ns + limit_ns,
				!one || runner->facts.persistent)) {
		waitpid(pid, &status, 0);
		describe_end(record, status);
	} else if (pid > 0) {
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		describe_no_end(runner, one, limit_ns, record);
	}
	close_fd(&pidfd);
	close(errand_fds[0]);
	record->duration_ms = (uint32_t)((vhu_now_ns() - start_ns) / NS_PER_MS);
}

static bool greet(struct check_runner *runner)
{
	run_process(runner, NULL, run_greeting);
	return runner->shared->record.result == CHECK_PASS;
}

/* How the back-end has ended, and its last words. */
static void note_last_words(const struct check_target *target, struct check_record *record)
{
	check_target_describe(target, record->backend, sizeof(record->backend));
	snprintf(record->said, sizeof(record->said), "%s", target->n_said ? target->said : "");
}

static void explain_missing(struct check_runner *runner, char *ret_why, size_t size)
{
	char end[200] = "";

	/* The end of its connection may come first. */
	if (runner->target.command && check_target_wait_end(&runner->target, GONE_MS))
		check_target_describe(&runner->target, end, sizeof(end));
	snprintf(ret_why, size, "%s%s%s%s%s", runner->shared->record.seen,
		 *end ? "; the command " : "", end, runner->target.n_said ? "\n" : "",
		 runner->target.n_said ? runner->target.said : "");
}

bool check_runner_meet(struct check_runner *runner, char *ret_why, size_t size)
{
	struct check_facts *facts = &runner->shared->facts;

	if (runner->target.command && !start(runner)) {
		snprintf(ret_why, size, "the command cannot be started");
		return false;
	}
	memset(facts, 0, sizeof(*facts));
	run_process(runner, NULL, run_meeting);
	if (runner->shared->record.result != CHECK_PASS) {
		explain_missing(runner, ret_why, size);
		return false;
	}
	if (check_target_wait_end(&runner->target, GONE_MS)) {
		if (check_target_is_listened_to(&runner->target)) {
			snprintf(ret_why, size,
				 "the command has ended, and somebody serves its socket: it has to "
				 "stay in the foreground");
			return false;
		}
	} else {
		facts->persistent = greet(runner);
	}
	if (!facts->persistent && !start(runner)) {
		snprintf(ret_why, size,
			 "it serves one connection and no second: let vhu-check start it (--exec)");
		return false;
	}
	runner->facts = *facts;
	return true;
}

/* What the back-end's end means for the case. */
static void note_end(struct check_runner *runner, const struct check_case *one,
		     struct check_record *record)
{
	const char *expected = "the back-end lives, or ends by itself";
	enum check_result verdict = one->needs & CHECK_MAY_DIE ? CHECK_WARN : CHECK_FAIL;
	bool passed = record->result != CHECK_FAIL;

	if (!has_crashed(runner)) {
		if (!runner->facts.persistent)
			return;
		/* To end instead of closing the connection is much, and no crash. */
		expected = "the back-end goes on, with or without this connection";
		passed = one->level == CHECK_ROBUST && record->result == CHECK_PASS;
		verdict = passed ? CHECK_WARN : record->result;
	}
	note_last_words(&runner->target, record);
	record->result = verdict;
	if (!passed)
		return;
	snprintf(record->expected, sizeof(record->expected), "%s", expected);
	snprintf(record->seen, sizeof(record->seen), "the back-end %s", record->backend);
}

static void note_hang(struct check_record *record, const char *what)
{
	snprintf(record->backend, sizeof(record->backend), "%s", what);
	if (record->result != CHECK_FAIL && record->result != CHECK_WARN) {
		snprintf(record->expected, sizeof(record->expected),
			 "the next connection is served");
		snprintf(record->seen, sizeof(record->seen), "%s", what);
	}
	record->result = CHECK_FAIL;
}

/* Odd input, or what led to a wrong answer, may have done harm that shows only later. */
static bool may_be_harmed(const struct check_case *one, const struct check_record *record)
{
	return one->level == CHECK_ROBUST ||
	       (record->result != CHECK_PASS && record->result != CHECK_SKIP);
}

/* Looks after the back-end when a case has ended, so that the next one finds it well. */
static bool settle(struct check_runner *runner, const struct check_case *one,
		   struct check_record *record)
{
	struct check_target *target = &runner->target;
	bool persistent = runner->facts.persistent;
	/* Nothing is to be seen of one that waits for its only connection. */
	bool served = persistent ? greet(runner) : !record->connected;
	const char *hang = persistent ? "it serves no new connection after this case"
				      : "it does not end although its front-end has gone";

	if (!target->command) {
		if (!served)
			note_hang(record, hang);
		return served;
	}
	/* A process that serves is not about to die; one that does not may be. */
	if (check_target_wait_end(target, served ? 0 : persistent ? GRACE_MS : runner->timeout_ms))
		note_end(runner, one, record);
	else if (!served)
		note_hang(record, hang);
	else if (!may_be_harmed(one, record))
		return true;
	return start(runner) && (!persistent || greet(runner));
}

static bool lacks_bits(uint64_t wanted, uint64_t offered, bool protocol, const char *device,
		       struct check_record *record)
{
	uint64_t missing = wanted & ~offered;
	char buf[16];
	unsigned bit;

	if (!missing)
		return false;
	bit = (unsigned)__builtin_ctzll(missing);
	snprintf(record->seen, sizeof(record->seen), "%sfeature bit %u (%s) was not offered",
		 protocol ? "protocol " : "", bit,
		 protocol ? check_protocol_feature_name(bit, buf)
			  : check_feature_name(device, bit, buf));
	return true;
}

/* Why the case cannot be run with this back-end, in the record. */
static bool is_skipped(const struct check_runner *runner, const struct check_case *one,
		       struct check_record *record)
{
	const struct check_facts *facts = &runner->facts;
	const struct check_device *device = runner->device;
	const struct {
		unsigned need;
		bool met;
		const char *why;
	} needs[] = {
		{ CHECK_NEEDS_REQUEST, check_device_has_requests(device),
		  "the requests of this device are not known (--device)" },
		{ CHECK_NEEDS_BLK, device == &check_device_blk, "not a block device (--device)" },
		{ CHECK_NEEDS_RNG, device == &check_device_rng,
		  "not an entropy device (--device)" },
		{ CHECK_NEEDS_QUEUES, facts->n_queues > 1 && !device->one_queue,
		  "requests are served by one queue" },
		{ CHECK_NEEDS_EXEC, runner->target.command,
		  "the back-end is not ours to start (--exec)" },
		{ CHECK_NEEDS_DESTRUCTIVE, runner->destructive,
		  "it writes to the disk (--destructive)" },
		{ CHECK_NEEDS_RECONNECT, facts->persistent,
		  "the back-end ends with its connection" },
	};
	const char *refusal = one->needs & CHECK_NEEDS_REQUEST && device->refuse
				      ? device->refuse(facts)
				      : NULL;

	if (lacks_bits(one->features, facts->features, false, device->name, record) ||
	    lacks_bits(one->protocol, facts->protocol_features, true, device->name, record))
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(needs); i++) {
		if (one->needs & needs[i].need && !needs[i].met) {
			snprintf(record->seen, sizeof(record->seen), "%s", needs[i].why);
			return true;
		}
	}
	if (refusal)
		snprintf(record->seen, sizeof(record->seen), "%s", refusal);
	return refusal;
}

bool check_runner_run(struct check_runner *runner, const struct check_case *one,
		      struct check_record *ret_record)
{
	bool goes_on;

	memset(ret_record, 0, sizeof(*ret_record));
	if (is_skipped(runner, one, ret_record)) {
		ret_record->result = CHECK_SKIP;
		return true;
	}
	runner->shared->facts = runner->facts;
	run_process(runner, one, check_run);
	*ret_record = runner->shared->record;
	if (check_interrupted) {
		ret_record->result = CHECK_NOT_RUN;
		return false;
	}
	goes_on = settle(runner, one, ret_record);
	return goes_on && !check_interrupted;
}
