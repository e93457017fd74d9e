/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/bench/blk_process.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/fd.h"
#include "common/base/num.h"

#define WORDS_MAX 64
#define WORD_CHARS 1024
/* A sanitized program looks for leaks before it ends. */
#define END_NS (15 * NS_PER_SEC)
#define EXIT_CANNOT_RUN 127

/* Returns what stands behind the placeholder at text, or NULL when there is none. */
static const char *placeholder_at(const char *text, const struct placeholder *placeholders,
				  const char **ret_value)
{
	for (const struct placeholder *p = placeholders; p->name; p++) {
		size_t len = strlen(p->name);

		if (text[0] == '{' && !strncmp(text + 1, p->name, len) && text[len + 1] == '}') {
			*ret_value = p->value;
			return text + len + 2;
		}
	}
	return NULL;
}

/* Returns a word of the command with its placeholders filled in, to be freed. */
static char *fill_in(const char *word, size_t len, const struct placeholder *placeholders)
{
	char *filled = malloc(WORD_CHARS);
	const char *end = word + len, *value, *behind;
	size_t used = 0;

	if (!filled)
		return NULL;
	while (word < end && used < WORD_CHARS - 1) {
		behind = placeholder_at(word, placeholders, &value);
		if (behind) {
			used += (size_t)snprintf(filled + used, WORD_CHARS - used, "%s", value);
			word = behind;
		} else {
			filled[used++] = *word++;
		}
	}
	if (word < end || used >= WORD_CHARS) {
		free(filled);
		return NULL;
	}
	filled[used] = '\0';
	return filled;
}

static void free_words(char **words)
{
	while (*words)
		free(*words++);
}

static int split(const char *command, const struct placeholder *placeholders,
		 char *words[WORDS_MAX + 1])
{
	unsigned n = 0;

	words[0] = NULL;
	for (command += strspn(command, " "); *command; command += strspn(command, " ")) {
		size_t len = strcspn(command, " ");

		if (n < WORDS_MAX)
			words[n] = fill_in(command, len, placeholders);
		if (n == WORDS_MAX || !words[n]) {
			free_words(words);
			return -E2BIG;
		}
		words[++n] = NULL;
		command += len;
	}
	return n ? 0 : -EINVAL;
}

static void exec_words(char **words, const char *log, int cpu)
{
	int out = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int in = open("/dev/null", O_RDONLY | O_CLOEXEC);
	cpu_set_t cpus;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	CPU_ZERO(&cpus);
	if (cpu != NO_CPU) {
		CPU_SET((unsigned)cpu, &cpus);
		sched_setaffinity(0, sizeof(cpus), &cpus);
	}
	dup2(in, STDIN_FILENO);
	dup2(out, STDOUT_FILENO);
	dup2(out, STDERR_FILENO);
	execvp(words[0], words);
	fprintf(stderr, "cannot run %s: %s\n", words[0], strerror(errno));
	_exit(EXIT_CANNOT_RUN);
}

int process_start(struct process *process, const char *command,
		  const struct placeholder *placeholders, int cpu)
{
	char *words[WORDS_MAX + 1];
	pid_t pid;
	int r = split(command, placeholders, words);

	if (r < 0)
		return r;
	/* What it said last time is not what it says now, should it never come to speak. */
	unlink(process->log);
	pid = fork();
	r = pid < 0 ? -errno : 0;
	if (pid == 0)
		exec_words(words, process->log, cpu);
	free_words(words);
	if (r == 0)
		process->pid = pid;
	return r;
}

bool process_lives(const struct process *process)
{
	siginfo_t info = { 0 };

	return waitid(P_PID, (id_t)process->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
	       info.si_pid == 0;
}

uint64_t process_cpu_ns(const struct process *process)
{
	struct timespec time;
	clockid_t clock;

	if (clock_getcpuclockid(process->pid, &clock) || clock_gettime(clock, &time) < 0)
		return 0;
	return (uint64_t)time.tv_sec * NS_PER_SEC + (uint64_t)time.tv_nsec;
}

/* The last line that is not empty; "" when there is none. */
static void read_last_line(const char *path, char *line, size_t size)
{
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	char buf[512], *start;
	off_t end = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
	ssize_t n = pread(fd, buf, sizeof(buf) - 1, end < 511 ? 0 : end - 511);

	buf[n > 0 ? n : 0] = '\0';
	while (n > 0 && buf[n - 1] == '\n')
		buf[--n] = '\0';
	start = strrchr(buf, '\n');
	snprintf(line, size, "%s", start ? start + 1 : buf);
}

static void describe(int status, bool early, bool killed, const char *log, char *text, size_t size)
{
	size_t used;
	char line[512];

	if (killed)
		snprintf(text, size, "did not end by SIGTERM");
	else if (WIFSIGNALED(status))
		snprintf(text, size, "died of signal %d (%s)", WTERMSIG(status),
			 strsignal(WTERMSIG(status)));
	else
		snprintf(text, size, "ended %swith status %d", early ? "by itself " : "",
			 WEXITSTATUS(status));
	read_last_line(log, line, sizeof(line));
	used = strlen(text);
	if (line[0])
		snprintf(text + used, size - used, ": %s", line);
}

/* A program that does not handle SIGTERM has ended as well as it can. */
static bool ended_well(int status)
{
	return WIFEXITED(status) ? WEXITSTATUS(status) == 0 : WTERMSIG(status) == SIGTERM;
}

int process_end(struct process *process, char *text, size_t size)
{
	static const struct timespec pause = { .tv_nsec = NS_PER_MS };
	uint64_t deadline_ns = vhu_now_ns() + END_NS;
	bool early = !process_lives(process), killed;
	int status = 0;
	pid_t pid;

	kill(process->pid, SIGTERM);
	while ((pid = waitpid(process->pid, &status, WNOHANG)) == 0 && vhu_now_ns() < deadline_ns)
		nanosleep(&pause, NULL);
	killed = pid == 0;
	if (killed) {
		kill(process->pid, SIGKILL);
		waitpid(process->pid, &status, 0);
	}
	process->pid = 0;
	if (!early && !killed && ended_well(status))
		return 0;
	describe(status, early, killed, process->log, text, size);
	return -ECHILD;
}
