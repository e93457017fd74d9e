/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/device/program.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/base/fd.h"
#include "common/base/num.h"

void sleep_ms(unsigned ms)
{
	struct timespec time = { ms / 1000, (long)(ms % 1000) * 1000000 };

	nanosleep(&time, NULL);
}

void program_init(struct program *program, const char *parent)
{
	memset(program, 0, sizeof(*program));
	snprintf(program->dir, sizeof(program->dir), "%s/vhu-device.XXXXXX", parent);
	assert_non_null(mkdtemp(program->dir));
	snprintf(program->image, sizeof(program->image), "%s/image", program->dir);
	snprintf(program->socket, sizeof(program->socket), "%s/socket", program->dir);
	snprintf(program->log, sizeof(program->log), "%s/log", program->dir);
}

static const char *expand(const struct program *program, const char *arg)
{
	char *text;

	if (strncmp(arg, "DIR/", 4) || asprintf(&text, "%s/%s", program->dir, arg + 4) < 0)
		return arg;
	return text;
}

static void exec_program(const struct program *program, const char *path, const char *const *args)
{
	const char *build = getenv("VHU_BUILD");
	const char *argv[32] = { path };
	char file[4096];
	unsigned n = 1;
	int log = open(program->log, O_WRONLY | O_CREAT | O_APPEND, 0600);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setrlimit(RLIMIT_CORE, &(struct rlimit){ 0 }); /* a crash is told at once */
	snprintf(file, sizeof(file), "%s%s%s", *path == '/' ? "" : build ? build : ".",
		 *path == '/' ? "" : "/", path);
	while (*args && n < ARRAY_SIZE(argv) - 3)
		argv[n++] = expand(program, *args++);
	if (*program->socket) {
		argv[n++] = "--socket-path";
		argv[n] = program->socket;
	}
	dup2(log, STDERR_FILENO);
	if (program->uid && (setgroups(0, NULL) < 0 || setgid(program->uid) < 0 ||
			     setuid(program->uid) < 0))
		_exit(126);
	execv(file, (char *const *)(uintptr_t)argv);
	fprintf(stderr, "cannot run %s: %s\n", file, strerror(errno));
	_exit(127);
}

void program_start(struct program *program, const char *path, const char *const *args)
{
	program->pid = fork();
	assert_true(program->pid >= 0);
	if (program->pid == 0)
		exec_program(program, path, args);
}

static int status_of(int wait_status)
{
	return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
}

int program_wait(struct program *program, unsigned timeout_ms)
{
	uint64_t deadline_ns = vhu_now_ns() + timeout_ms * NS_PER_MS;
	int status, r;

	while ((r = waitpid(program->pid, &status, WNOHANG)) == 0 && vhu_now_ns() < deadline_ns)
		sleep_ms(1);
	if (r == 0) {
		kill(program->pid, SIGKILL);
		waitpid(program->pid, &status, 0);
	}
	program->pid = 0;
	return r == 0 ? -ETIMEDOUT : status_of(status);
}

int program_end(struct program *program)
{
	kill(program->pid, SIGTERM);
	return program_wait(program, END_MS);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void program_finish(struct program *program)
{
	if (program->pid > 0) {
		kill(program->pid, SIGKILL);
		waitpid(program->pid, NULL, 0);
	}
	program->pid = 0;
	nftw(program->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

bool program_lives(const struct program *program)
{
	siginfo_t info = { 0 };

	return waitid(P_PID, (id_t)program->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
	       info.si_pid == 0;
}

unsigned program_fds(const struct program *program)
{
	char path[64];
	unsigned n = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", program->pid);
	dir = opendir(path);
	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

void program_wait_fds(const struct program *program, unsigned n)
{
	uint64_t deadline_ns = vhu_now_ns() + WAIT_MS * NS_PER_MS;

	unsigned now;

	/* Looked at once each time: the next front-end may be waiting already. */
	while ((now = program_fds(program)) != n && vhu_now_ns() < deadline_ns)
		sleep_ms(1);
	assert_int_equal(now, n);
}

static void read_proc(const struct program *program, const char *file, char *buf, size_t size)
{
	char path[64];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", program->pid, file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	n = read(fd, buf, size - 1);
	close(fd);
	assert_true(n > 0);
	buf[n] = '\0';
}

unsigned program_rss_kib(const struct program *program)
{
	unsigned long total, resident;
	char buf[256];

	read_proc(program, "statm", buf, sizeof(buf));
	assert_int_equal(sscanf(buf, "%lu %lu", &total, &resident), 2);
	return (unsigned)(resident * (unsigned long)sysconf(_SC_PAGESIZE) / 1024);
}

unsigned program_cpu_ms(const struct program *program)
{
	unsigned long user, system;
	char buf[1024];

	read_proc(program, "stat", buf, sizeof(buf));
	assert_int_equal(sscanf(strrchr(buf, ')') + 2,
				"%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
				&system), 2);
	return (unsigned)((user + system) * 1000 / (unsigned long)sysconf(_SC_CLK_TCK));
}

char *program_said(const struct program *program)
{
	FILE *file = fopen(program->log, "re");
	char *text = calloc(1, 1 << 20);

	assert_non_null(text);
	if (!file)
		return text;
	text[fread(text, 1, (1 << 20) - 1, file)] = '\0';
	fclose(file);
	return text;
}
