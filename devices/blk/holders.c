/* SPDX-License-Identifier: BSD-3-Clause */
#include "devices/blk/holders_priv.h"

#include <ctype.h>
#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "devices/blk/sysfs.h"

const char *const vhu_blk_hold_words[] = {
	[VHU_BLK_MOUNTED] = "mounted at",
	[VHU_BLK_SWAP] = "swap space",
	[VHU_BLK_HELD] = "used by block device",
	[VHU_BLK_LOCKED] = "locked by process",
	[VHU_BLK_OURS] = "used by",
};

/* One look for those who hold a device or file. */
struct search {
	const struct stat *st;
	dev_t device; /* or a partition of it */
	vhu_blk_holder_fn *fn;
	void *data;
};

static bool is_node_of(const char *path, dev_t device)
{
	struct stat st;

	return *path == '/' && stat(path, &st) == 0 && S_ISBLK(st.st_mode) && st.st_rdev == device;
}

/* Undoes the kernel's octal escapes (proc_pid_mountinfo(5)). */
static void unescape(char *text)
{
	char *to = text;

	while (*text) {
		if (text[0] == '\\' && isdigit((unsigned char)text[1])) {
			char digits[4] = { text[1], text[2], text[2] ? text[3] : '\0', '\0' };

			*to++ = (char)strtoul(digits, NULL, 8);
			text += 1 + strlen(digits);
		} else {
			*to++ = *text++;
		}
	}
	*to = '\0';
}

/* "36 35 98:0 /root /mount-point options - type source options" */
static void look_at_mount(const struct search *search, char *line)
{
	char point[4096], source[4096], *rest = strstr(line, " - ");
	unsigned maj, min;

	if (!rest || sscanf(line, "%*u %*u %u:%u %*s %4095s", &maj, &min, point) != 3 ||
	    sscanf(rest, " - %*s %4095s", source) != 1)
		return;
	unescape(source);
	/* btrfs and the like show a device number of their own. */
	if (makedev(maj, min) != search->device && !is_node_of(source, search->device))
		return;
	unescape(point);
	search->fn(search->data, VHU_BLK_MOUNTED, point);
}

static bool is_file_of(const char *path, const struct stat *st)
{
	struct stat other;

	return stat(path, &other) == 0 && other.st_dev == st->st_dev && other.st_ino == st->st_ino;
}

static void look_at_swap(const struct search *search, char *line)
{
	line[strcspn(line, " \t\n")] = '\0';
	unescape(line);
	if (S_ISBLK(search->st->st_mode) ? is_node_of(line, search->device) :
					   is_file_of(line, search->st))
		search->fn(search->data, VHU_BLK_SWAP, line);
}

static void each_line(const char *path, void (*look)(const struct search *, char *),
		      const struct search *search)
{
	FILE *file = fopen(path, "re");
	char *line = NULL;
	size_t size = 0;

	if (!file)
		return;
	while (getline(&line, &size, file) > 0)
		look(search, line);
	free(line);
	fclose(file);
}

static void each_entry(const char *folder,
		       void (*look)(const struct search *, const char *folder, const char *name),
		       const struct search *search)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;

	if (!dir)
		return;
	while ((entry = readdir(dir)))
		if (*entry->d_name != '.')
			look(search, folder, entry->d_name);
	closedir(dir);
}

static void look_at_holder(const struct search *search, const char *folder, const char *name)
{
	(void)folder;
	search->fn(search->data, VHU_BLK_HELD, name);
}

static void look_at_device(const struct search *search)
{
	char folder[VHU_BLK_SYSFS_PATH], holders[VHU_BLK_SYSFS_PATH + 16];

	each_line("/proc/self/mountinfo", look_at_mount, search);
	each_line("/proc/swaps", look_at_swap, search);
	vhu_blk_sysfs_folder(search->device, folder);
	snprintf(holders, sizeof(holders), "%s/holders", folder);
	each_entry(holders, look_at_holder, search);
}

static void look_at_partition(const struct search *search, const char *folder, const char *name)
{
	struct search partition = *search;
	char path[VHU_BLK_SYSFS_PATH + 256], numbers[32];
	unsigned maj, min;
	uint64_t number;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	if (vhu_blk_sysfs_number(path, "partition", &number) < 0 ||
	    vhu_blk_sysfs_line(path, "dev", numbers, sizeof(numbers)) < 0 ||
	    sscanf(numbers, "%u:%u", &maj, &min) != 2)
		return;
	partition.device = makedev(maj, min);
	look_at_device(&partition);
}

static void look_at_loop(const struct search *search, const char *folder, const char *name)
{
	char path[VHU_BLK_SYSFS_PATH], file[4096];

	snprintf(path, sizeof(path), "%s/%.64s", folder, name);
	if (vhu_blk_sysfs_line(path, "loop/backing_file", file, sizeof(file)) == 0 &&
	    is_file_of(file, search->st))
		search->fn(search->data, VHU_BLK_HELD, name);
}

void vhu_blk_device_holders(const struct stat *st, vhu_blk_holder_fn *fn, void *data)
{
	struct search search = { .st = st, .device = st->st_rdev, .fn = fn, .data = data };
	char folder[VHU_BLK_SYSFS_PATH];

	if (!S_ISBLK(st->st_mode)) {
		each_line("/proc/swaps", look_at_swap, &search);
		each_entry("/sys/block", look_at_loop, &search);
		return;
	}
	look_at_device(&search);
	vhu_blk_sysfs_folder(st->st_rdev, folder);
	each_entry(folder, look_at_partition, &search);
}

/* "lock:	1: OFDLCK ADVISORY  READ -1 fe:00:1234 100 101": the file is 1234 on fe:00. */
static bool has_lock_on(const char *fdinfo, const struct stat *st)
{
	FILE *file = fopen(fdinfo, "re");
	char *line = NULL;
	size_t size = 0;
	bool found = false;

	if (!file)
		return false;
	while (!found && getline(&line, &size, file) > 0) {
		unsigned maj, min;
		unsigned long inode;

		found = sscanf(line, "lock: %*s %*s %*s %*s %*s %x:%x:%lu", &maj, &min, &inode) ==
				3 &&
			makedev(maj, min) == st->st_dev && inode == st->st_ino;
	}
	free(line);
	fclose(file);
	return found;
}

/* By another fd than but_fd, that is. */
static bool process_has_lock(const char *process, const struct stat *st, int but_fd)
{
	char folder[64], path[64 + 256];
	struct dirent *entry;
	bool found = false;
	DIR *dir;

	snprintf(folder, sizeof(folder), "/proc/%.32s/fdinfo", process);
	dir = opendir(folder);
	if (!dir)
		return false;
	while (!found && (entry = readdir(dir))) {
		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		found = isdigit((unsigned char)*entry->d_name) && atoi(entry->d_name) != but_fd &&
			has_lock_on(path, st);
	}
	closedir(dir);
	return found;
}

void vhu_blk_lock_holders(const struct stat *st, int own_fd, vhu_blk_holder_fn *fn, void *data)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;

	if (!dir)
		return;
	while ((entry = readdir(dir))) {
		char folder[64], name[32] = "?", who[128];

		bool is_us = atoi(entry->d_name) == getpid();

		if (!isdigit((unsigned char)*entry->d_name) ||
		    !process_has_lock(entry->d_name, st, is_us ? own_fd : -1))
			continue;
		if (is_us) {
			fn(data, VHU_BLK_OURS, "another disk of this command");
			continue;
		}
		snprintf(folder, sizeof(folder), "/proc/%.32s", entry->d_name);
		vhu_blk_sysfs_line(folder, "comm", name, sizeof(name));
		snprintf(who, sizeof(who), "%.32s (%s)", entry->d_name, name);
		fn(data, VHU_BLK_LOCKED, who);
	}
	closedir(dir);
}
