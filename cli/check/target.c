/* SPDX-License-Identifier: BSD-3-Clause */
#include "cli/check/target.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/fd.h"
#include "common/base/num.h"

#define PLACEHOLDER "{socket}"
/* How long a back-end may take to end by SIGTERM, when we are done with it. */
#define END_MS 5000
#define LOOK_MS 2

int check_target_init(struct check_target *target, const char *socket, const char *command)
{
	const char *tmp = getenv("TMPDIR");

	*target = (struct check_target){ .command = command, .pidfd = -1, .output_fd = -1 };
	if (socket) {
		if (strlen(socket) >= sizeof(target->socket))
			return -ENAMETOOLONG;
		strcpy(target->socket, socket);
		return 0;
	}
	/* A path too long for a socket's name is of no use. */
	if (!tmp || strlen(tmp) > 32)
		tmp = "/tmp";
	snprintf(target->dir, sizeof(target->dir), "%s/vhu-check.XXXXXX", tmp);
	if (!mkdtemp(target->dir))
		return -errno;
	snprintf(target->socket, sizeof(target->socket), "%s/socket", target->dir);
	return 0;
}

static void forget_process(struct check_target *target)
{
	check_target_listen(target);
	close_fd(&target->pidfd);
	close_fd(&target->output_fd);
	target->pid = 0;
}

bool check_target_has_ended(struct check_target *target)
{
	if (!target->command)
		return false;
	if (!target->pid)
		return true;
	check_target_listen(target);
	if (waitpid(target->pid, &target->status, WNOHANG) == 0)
		return false;
	/* What it left running would serve the next case. */
	kill(-target->pid, SIGKILL);
	forget_process(target);
	return true;
}

bool check_target_wait_end(struct check_target *target, int timeout_ms)
{
	uint64_t deadline_ns = vhu_now_ns() + (uint64_t)timeout_ms * NS_PER_MS;
	static const struct timespec pause = { .tv_nsec = LOOK_MS * (long)NS_PER_MS };

	while (!check_target_has_ended(target)) {
		if (vhu_now_ns() >= deadline_ns)
			return false;
		nanosleep(&pause, NULL);
	}
	return true;
}

bool check_target_is_listened_to(const struct check_target *target)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(address.sun_path, target->socket);
	return connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0;
}

void check_target_kill(struct check_target *target)
{
	if (!target->pid)
		return;
	kill(-target->pid, SIGKILL);
	waitpid(target->pid, &target->status, 0);
	forget_process(target);
}

void check_target_finish(struct check_target *target)
{
	if (target->pid) {
		kill(-target->pid, SIGTERM);
		check_target_wait_end(target, END_MS);
	}
	check_target_kill(target);
	if (*target->dir) {
		unlink(target->socket);
		rmdir(target->dir);
	}
}

/*
 * Of one simple command the shell need not stay, between us and the process: "NAME=x CMD", lists
 * and pipes are more than that.
 */
static const char *shell_prefix(const char *command)
{
	size_t word = strcspn(command, " \t\n");

	if (strpbrk(command, ";&|()<>\n") || memchr(command, '=', word) ||
	    !strncmp(command, "exec ", 5))
		return "";
	return "exec ";
}

/* The command with the socket's path in place of each {socket}; to be freed. */
static char *expand(const struct check_target *target)
{
	size_t n = 1;
	const char *from, *at;
	char *text, *to;

	for (at = target->command; (at = strstr(at, PLACEHOLDER)); at++)
		n++;
	text = malloc(strlen("exec ") + strlen(target->command) + n * sizeof(target->socket));
	if (!text)
		return NULL;
	to = text + sprintf(text, "%s", shell_prefix(target->command));
	for (from = target->command; (at = strstr(from, PLACEHOLDER));
	     from = at + strlen(PLACEHOLDER))
		to += sprintf(to, "%.*s%s", (int)(at - from), from, target->socket);
	strcpy(to, from);
	return text;
}

static void run_command(const char *command, int output_fd)
{
	const int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	sigset_t none;

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setrlimit(RLIMIT_CORE, &(struct rlimit){ 0 }); /* an end is told at once */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL); /* as a back-end is usually started */
	dup2(null_fd, STDIN_FILENO);
	dup2(output_fd, STDOUT_FILENO);
	dup2(output_fd, STDERR_FILENO);
	execl("/bin/sh", "sh", "-c", command, (char *)NULL);
	_exit(127);
}

int check_target_start(struct check_target *target)
{
	cleanup_free char *command = expand(target);
	int fds[2];

	check_target_kill(target);
	target->n_said = 0;
	/* One that was killed left it behind, and not every program removes it first. */
	unlink(target->socket);
	if (!command || pipe2(fds, O_CLOEXEC) < 0)
		return -ENOMEM;
	target->pid = fork();
	if (target->pid == 0)
		run_command(command, fds[1]);
	close(fds[1]);
	if (target->pid < 0) {
		close(fds[0]);
		target->pid = 0;
		return -errno;
	}
	setpgid(target->pid, target->pid);
	target->output_fd = fds[0];
	target->pidfd = (int)syscall(SYS_pidfd_open, target->pid, 0);
	return vhu_fd_set_nonblock(target->output_fd, true);
}

/* Keeps the end of what was said. */
static void keep(struct check_target *target, const char *text, size_t len)
{
	size_t room = sizeof(target->said) - 1, drop;

	if (len > room) {
		text += len - room;
		len = room;
	}
	drop = target->n_said + len > room ? target->n_said + len - room : 0;
	memmove(target->said, target->said + drop, target->n_said - drop);
	target->n_said -= drop;
	memcpy(target->said + target->n_said, text, len);
	target->n_said += len;
	target->said[target->n_said] = '\0';
}

/* A back-end that never stops talking is not listened to for ever. */
#define READS_AT_ONCE 64

void check_target_listen(struct check_target *target)
{
	char buf[4096];
	ssize_t n;

	for (unsigned i = 0; target->output_fd >= 0 && i < READS_AT_ONCE; i++) {
		n = read(target->output_fd, buf, sizeof(buf));
		if (n < 0)
			return;
		if (n == 0) {
			close_fd(&target->output_fd);
			return;
		}
		keep(target, buf, (size_t)n);
		if (target->verbose)
			fwrite(buf, 1, (size_t)n, stderr);
	}
}

int check_target_signal(const struct check_target *target)
{
	if (WIFSIGNALED(target->status))
		return WTERMSIG(target->status);
	if (WIFEXITED(target->status) && WEXITSTATUS(target->status) > 128 &&
	    WEXITSTATUS(target->status) < 128 + NSIG)
		return WEXITSTATUS(target->status) - 128;
	return 0;
}

void check_target_describe(const struct check_target *target, char *buf, size_t size)
{
	int signo = check_target_signal(target);

	if (signo)
		snprintf(buf, size, "was killed by signal %d (%s)", signo, strsignal(signo));
	else
		snprintf(buf, size, "ended with status %d", WEXITSTATUS(target->status));
}
