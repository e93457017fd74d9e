/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Command lines of vhu-blk that cannot be served: one clear line each, exit status not 0, nothing
 * created or changed.
 */
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/num.h"
#include "tests/device/harness.h"

#define NOBODY 65534
#define MAX_ARGS 16

#define VHU_BLK "cli/vhu-blk"
/* What is run: that, or a copy that others may read. */
static const char *vhu_blk = VHU_BLK;

static int setup(void **state)
{
	struct program *program = calloc(1, sizeof(*program));

	assert_non_null(program);
	program_init(program, "/var/tmp");
	*state = program;
	return 0;
}

static int teardown(void **state)
{
	struct program *program = *state;

	program_finish(program);
	free(program);
	return 0;
}

static void make_file(const struct program *program, const char *name, const void *begin,
		      size_t len, off_t size)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", program->dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, begin, len), (ssize_t)len);
	assert_int_equal(ftruncate(fd, size), 0);
	close(fd);
}

/* What is in the folder, but for logs: names, sizes, modes and times, one after the other. */
static char *look_at_folder(const struct program *program)
{
	char *text = NULL, path[400];
	struct dirent **entries;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	int n = scandir(program->dir, &entries, NULL, alphasort);

	assert_non_null(out);
	for (int i = 0; i < n; i++) {
		struct stat st;

		snprintf(path, sizeof(path), "%s/%s", program->dir, entries[i]->d_name);
		if (entries[i]->d_name[0] != '.' && strncmp(entries[i]->d_name, "log", 3) &&
		    lstat(path, &st) == 0)
			fprintf(out, "%s %lld %o %lld.%ld %lld\n", entries[i]->d_name,
				(long long)st.st_size, st.st_mode, (long long)st.st_mtim.tv_sec,
				st.st_mtim.tv_nsec, (long long)st.st_blocks);
		free(entries[i]);
	}
	free(entries);
	fclose(out);
	return text;
}

static int shell(const struct program *program, const char *command)
{
	char line[600];

	snprintf(line, sizeof(line), "cd %s && { %s; } >out 2>&1", program->dir, command);
	return system(line);
}

static unsigned count_lines(const char *text)
{
	unsigned n = 0;

	for (; *text; text++)
		n += *text == '\n';
	return n;
}

/* The program refuses to start, and its one line has these words. */
static void refuses(struct program *program, const char *words, const char *const *args)
{
	char *before, *after, *said;
	int status;

	unlink(program->log);
	before = look_at_folder(program);
	program_start(program, vhu_blk, args);
	status = program_wait(program, 10000 * SLOWNESS);
	after = look_at_folder(program);
	said = program_said(program);
	if (status < 1 || status > 2 || count_lines(said) != 1 || !strcasestr(said, words))
		fail_msg("status %d, no '%s' in one line of: %s", status, words, said);
	assert_int_equal(strncmp(said, "vhu-blk: ", 9), 0);
	assert_string_equal(before, after);
	free(before);
	free(after);
	free(said);
}

#define REFUSES(program, words, ...) \
	refuses(program, words, (const char *const[MAX_ARGS]){ __VA_ARGS__, NULL })

/* The program starts, and ends when told so. */
static void serves(struct program *program, const char *const *args)
{
	struct vhu_frontend frontend;

	program_start(program, vhu_blk, args);
	vhu_frontend_init(&frontend);
	frontend.timeout_ms = 10000;
	assert_int_equal(vhu_frontend_connect(&frontend, program->socket), 0);
	assert_int_equal(vhu_frontend_sync(&frontend), 0);
	vhu_frontend_finish(&frontend);
	assert_int_equal(program_end(program), 0);
}

#define SERVES(program, ...) serves(program, (const char *const[MAX_ARGS]){ __VA_ARGS__, NULL })

static void files_that_are_no_disks(void **state)
{
	struct program *program = *state;

	make_file(program, "odd", "", 0, 1000);
	make_file(program, "short", "", 0, 511);
	make_file(program, "empty", "", 0, 0);
	make_file(program, "good", "", 0, 1 << 20);
	REFUSES(program, "no such file", "--file", "DIR/missing");
	REFUSES(program, "no such file", "--file", "DIR/missing/image");
	REFUSES(program, "directory", "--file", program->dir);
	REFUSES(program, "multiple of 512", "--file", "DIR/odd");
	REFUSES(program, "multiple of 512", "--file", "DIR/short");
	REFUSES(program, "empty", "--file", "DIR/empty");
	REFUSES(program, "neither a file nor a block device", "--file", "/dev/null");
	REFUSES(program, "offset", "--file", "DIR/good", "--offset", "1M");
	REFUSES(program, "less than", "--file", "DIR/good", "--offset", "512K", "--size", "1M");
	REFUSES(program, "partition", "--file", "DIR/good", "--partition", "1");
	SERVES(program, "--file", "DIR/good");
}

static void containers_are_refused(void **state)
{
	static const struct { const char *name, *magic; size_t len; off_t at; } kinds[] = {
		{ "qcow2", "QFI\xfb\0\0\0\3", 8, 0 }, { "vhdx", "vhdxfile", 8, 0 },
		{ "vmdk", "KDMV\1\0\0\0", 8, 0 },     { "qed", "QED\0", 4, 0 },
		{ "vdi", "\x7f\x10\xda\xbe", 4, 64 },
	};
	struct program *program = *state;

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		char begin[128] = { 0 }, arg[64];

		memcpy(begin + kinds[i].at, kinds[i].magic, kinds[i].len);
		make_file(program, kinds[i].name, begin, sizeof(begin), 1 << 20);
		snprintf(arg, sizeof(arg), "%s/%s", program->dir, kinds[i].name);
		REFUSES(program, kinds[i].name, "--file", arg);
		REFUSES(program, "--format raw", "--file", arg, "--read-only");
		SERVES(program, "--file", arg, "--format", "raw");
	}
}

static void qemu_img_s_own_qcow2_is_refused(void **state)
{
	struct program *program = *state;
	char command[256];

	snprintf(command, sizeof(command), "qemu-img create -q -f qcow2 %s/image 64M 2>/dev/null",
		 program->dir);
	if (system(command))
		skip();
	REFUSES(program, "qcow2", "--file", "DIR/image");
}

static void copy_program(const struct program *program)
{
	char from[4096], to[128];
	struct stat st;
	int in, out;

	snprintf(from, sizeof(from), "%s/%s", getenv("VHU_BUILD"), VHU_BLK);
	snprintf(to, sizeof(to), "%s/vhu-blk", program->dir);
	in = open(from, O_RDONLY | O_CLOEXEC);
	out = open(to, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
	assert_true(in >= 0 && out >= 0 && fstat(in, &st) == 0);
	for (off_t left = st.st_size; left;) {
		ssize_t n = sendfile(out, in, NULL, (size_t)left);

		assert_true(n > 0);
		left -= n;
	}
	close(in);
	close(out);
}

/* Root reads all: another user must try. */
static void files_of_others_are_refused(void **state)
{
	struct program *program = *state;
	char copy[64];

	if (getuid())
		skip();
	copy_program(program);
	snprintf(copy, sizeof(copy), "%s/vhu-blk", program->dir);
	assert_int_equal(chmod(program->dir, 0777), 0);
	make_file(program, "image", "", 0, 1 << 20);
	vhu_blk = copy;
	program->uid = NOBODY;
	REFUSES(program, "permission denied", "--file", "DIR/image");
	REFUSES(program, "permission denied", "--file", "DIR/image", "--read-only");
	assert_int_equal(chmod(program->image, 0644), 0);
	REFUSES(program, "--read-only", "--file", "DIR/image");
	SERVES(program, "--file", "DIR/image", "--read-only");
	assert_int_equal(chmod(program->dir, 0755), 0);
	REFUSES(program, "permission denied", "--file", "DIR/new", "--create", "1M");
	vhu_blk = VHU_BLK;
}

static void lines_that_do_not_fit(void **state)
{
	struct program *program = *state;

	make_file(program, "image", "", 0, 1 << 20);
	REFUSES(program, "--file", "--engine", "sync");
	REFUSES(program, "--engine", "--file", "DIR/image", "--engine", "nonsense");
	REFUSES(program, "--nonsense", "--file", "DIR/image", "--nonsense");
	REFUSES(program, "--num-queues", "--file", "DIR/image", "--num-queues", "0");
	REFUSES(program, "--num-queues", "--file", "DIR/image", "--num-queues", "65");
	REFUSES(program, "--queue-size", "--file", "DIR/image", "--queue-size", "100");
	REFUSES(program, "--serial", "--file", "DIR/image", "--serial", "123456789012345678901");
	REFUSES(program, "--block-size", "--file", "DIR/image", "--block-size", "1000");
	REFUSES(program, "512", "--file", "DIR/image", "--offset", "100");
	REFUSES(program, "--block-size", "--file", "DIR/image", "--block-size", "8192");
	REFUSES(program, "--queue-size", "--file", "DIR/image", "--queue-size", "100",
		"--print-qemu-args");
	REFUSES(program, "--offset", "--file", "DIR/image", "--offset", "100",
		"--print-qemu-args");
	REFUSES(program, "--probe takes", "--file", "DIR/image", "--probe", "--offset", "512");
	REFUSES(program, "there already", "--file", "DIR/image", "--create", "1M");
	REFUSES(program, "512", "--file", "DIR/new", "--create", "1000");
	REFUSES(program, "--size", "--engine", "null");
	REFUSES(program, VHU_BLKID ? "no block device" : "built without libblkid", "--file",
		"UUID=00000000-0000-4000-8000-000000000000");
}

/* The limit of a user is an error like any other, and leaves nothing. */
static void files_over_the_limit(void **state)
{
	struct program *program = *state;
	struct rlimit old, low;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	low = (struct rlimit){ 1 << 20, old.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
	REFUSES(program, "file too large", "--file", "DIR/new", "--create", "2M");
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	SERVES(program, "--file", "DIR/new", "--create", "2M");
}

static void an_image_is_given_twice(void **state)
{
	struct program *program = *state;
	char other[64];

	make_file(program, "image", "", 0, 1 << 20);
	snprintf(other, sizeof(other), "%s/socket2", program->dir);
	REFUSES(program, "another disk of this command", "--log-level", "warning", "--file",
		"DIR/image", "--socket-path", other, "--next", "--file", "DIR/image");
	/* Nobody is waited for by then. */
	assert_int_equal(shell(program, "! $VHU_BUILD/cli/vhu-blk --socket a --file image --next "
			       "--socket b --file image 2>said && grep -q image said && "
			       "! grep waiting said"), 0);
}

/* Also: nothing is created for a disk that could not be served. */
static void sockets_that_cannot_be(void **state)
{
	struct program *program = *state, other;
	char long_path[200], missing[64], file[64];
	const char *const bad[][2] = {
		{ long_path, "has at most" }, { missing, "no such file" }, { file, "no socket" },
	};

	make_file(program, "image", "", 0, 1 << 20);
	make_file(program, "file", "", 0, 10);
	snprintf(long_path, sizeof(long_path), "%s/%0150d", program->dir, 0);
	snprintf(missing, sizeof(missing), "%s/missing/socket", program->dir);
	snprintf(file, sizeof(file), "%s/file", program->dir);
	other = *program;
	program->socket[0] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		REFUSES(program, bad[i][1], "--file", "DIR/image", "--socket-path", bad[i][0]);
		REFUSES(program, bad[i][1], "--file", "DIR/new", "--create", "1M", "--socket-path",
			bad[i][0]);
	}
	REFUSES(program, "where to serve", "--file", "DIR/image");
	snprintf(other.log, sizeof(other.log), "%s/log.other", program->dir);
	program_start(&other, vhu_blk,
		      (const char *const[]){ "--engine", "null", "--size", "1M", NULL });
	for (unsigned i = 0; i < 10000 && access(other.socket, F_OK); i++)
		sleep_ms(1);
	sleep_ms(50);
	REFUSES(program, "in use", "--file", "DIR/image", "--socket-path", other.socket);
	REFUSES(program, "in use", "--file", "DIR/new", "--create", "1M", "--socket-path",
		other.socket);
	assert_true(program_lives(&other));
	assert_int_equal(program_end(&other), 0);
	assert_int_not_equal(access(other.socket, F_OK), 0);
}

/* Locks as QEMU takes them: it and we keep one another out, in both directions. */
static void images_in_use_are_refused(void **state)
{
	struct program *program = *state, other;
	char command[256];

	make_file(program, "image", "", 0, 1 << 20);
	other = *program;
	snprintf(other.socket, sizeof(other.socket), "%s/socket2", program->dir);
	snprintf(other.log, sizeof(other.log), "%s/log.other", program->dir);
	program_start(&other, vhu_blk, (const char *const[]){ "--file", "DIR/image", NULL });
	for (unsigned i = 0; i < 10000 && access(other.socket, F_OK); i++)
		sleep_ms(1);
	sleep_ms(50);
	REFUSES(program, "image", "--file", "DIR/image");
	REFUSES(program, "image", "--file", "DIR/image", "--read-only");
	snprintf(command, sizeof(command), "qemu-io -f raw -c 'read 0 512' %s/image >%s/out 2>&1",
		 program->dir, program->dir);
	if (system("command -v qemu-io >/dev/null") == 0)
		assert_int_not_equal(system(command), 0);
	assert_int_equal(program_end(&other), 0);
	SERVES(program, "--file", "DIR/image");
	/* Who only reads may share. */
	program_start(&other, vhu_blk,
		      (const char *const[]){ "--file", "DIR/image", "--read-only", NULL });
	for (unsigned i = 0; i < 10000 && access(other.socket, F_OK); i++)
		sleep_ms(1);
	SERVES(program, "--file", "DIR/image", "--read-only");
	REFUSES(program, "image", "--file", "DIR/image");
	assert_int_equal(program_end(&other), 0);
}

static void images_that_qemu_has_are_refused(void **state)
{
	struct program *program = *state;
	char command[400];
	FILE *qemu;

	make_file(program, "image", "", 0, 1 << 20);
	if (system("command -v qemu-io >/dev/null"))
		skip();
	snprintf(command, sizeof(command), "exec qemu-io -f raw %s/image >%s/out 2>&1",
		 program->dir, program->dir);
	qemu = popen(command, "w");
	assert_non_null(qemu);
	/* Until it has the image. */
	for (unsigned i = 0; i < 100; i++) {
		snprintf(command, sizeof(command),
			 "qemu-io -f raw -c 'read 0 512' %s/image >/dev/null 2>&1", program->dir);
		if (system(command))
			break;
		sleep_ms(20);
	}
	REFUSES(program, "image", "--file", "DIR/image");
	fputs("quit\n", qemu);
	pclose(qemu);
	SERVES(program, "--file", "DIR/image");
}

/* What is printed and no disk is served for. */
static void answers(void **state)
{
	struct program *program = *state;

	make_file(program, "image", "", 0, 1 << 20);
	assert_int_equal(shell(program, "$VHU_BUILD/cli/vhu-blk --socket s --file image "
			       "--queue-size 64 --num-queues 2 --print-qemu-args | "
			       "grep -q 'vhu0,num-queues=2,queue-size=64$'"), 0);
	assert_int_equal(shell(program, "$VHU_BUILD/cli/vhu-blk --socket s --file image "
			       "--queue-size 128 --print-qemu-args | grep -q 'chardev=vhu0$'"), 0);
	assert_int_equal(shell(program, "$VHU_BUILD/cli/vhu-blk --probe --json --file image "
			       "--next --probe --json --file image >lines && "
			       "test $(grep -c '^{\"file\": \"image\", .*}$' lines) = 2"), 0);
	/* One that cannot be looked at keeps no other from being shown. */
	assert_int_equal(shell(program, "! $VHU_BUILD/cli/vhu-blk --probe --file missing "
			       "--next --probe --file image >lines && grep -q image lines"), 0);
}

static void swap_files_are_refused(void **state)
{
	struct program *program = *state;

	if (shell(program, "dd if=/dev/zero of=image bs=1M count=2 && chmod 600 image && "
		  "mkswap image && swapon image"))
		skip();
	REFUSES(program, "swap space", "--file", "DIR/image");
	REFUSES(program, "swap space", "--file", "DIR/image", "--read-only");
	assert_int_equal(shell(program, "swapoff image"), 0);
	SERVES(program, "--file", "DIR/image");
}

static void mounted_devices_are_refused(void **state)
{
	struct program *program = *state;
	char loop[64] = "", path[64];
	FILE *file;

	make_file(program, "image", "", 0, 8 << 20);
	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    shell(program, "mkdir mnt && mkfs.ext4 -q image && losetup -f --show image > loop"))
		skip();
	snprintf(path, sizeof(path), "%s/loop", program->dir);
	file = fopen(path, "re");
	assert_non_null(file);
	assert_int_equal(fscanf(file, "%63s", loop), 1);
	fclose(file);
	if (shell(program, "mount $(cat loop) mnt")) {
		shell(program, "losetup -d $(cat loop)");
		skip();
	}
	REFUSES(program, "mounted", "--file", loop);
	REFUSES(program, "mounted", "--file", loop, "--read-only");
	assert_int_equal(shell(program, "umount mnt"), 0);
	SERVES(program, "--file", loop);
	assert_int_equal(shell(program, "losetup -d $(cat loop)"), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(files_that_are_no_disks),
		TEST(containers_are_refused),
		TEST(qemu_img_s_own_qcow2_is_refused),
		TEST(files_of_others_are_refused),
		TEST(lines_that_do_not_fit),
		TEST(files_over_the_limit),
		TEST(an_image_is_given_twice),
		TEST(answers),
		TEST(swap_files_are_refused),
		TEST(sockets_that_cannot_be),
		TEST(images_in_use_are_refused),
		TEST(images_that_qemu_has_are_refused),
		TEST(mounted_devices_are_refused),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
